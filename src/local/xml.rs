//! Writes the JSON of the AWS command line as CloudFront's XML.

use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use quick_xml::escape::escape;
use serde_json::Value;

/// The time of the last change, the same for every resource.
pub(super) const MODIFIED: &str = "2026-01-01T00:00:00.000Z";

/// Returns the version of a resource. Different resources have different versions.
pub(super) fn etag(resource: &Value) -> String {
    let mut hash = DefaultHasher::new();
    resource.to_string().hash(&mut hash);
    format!("E{:X}", hash.finish())
}

/// Adds the XML declaration.
pub(super) fn document(xml: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n{xml}")
}

/// Writes an element that contains only text.
pub(super) fn leaf(xml: &mut String, name: &str, text: &str) {
    let _ = write!(xml, "<{name}>{}</{name}>", escape(text));
}

/// Writes a value of any type as an element. Leaves out `null`.
pub(super) fn element(xml: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => leaf(xml, name, if *flag { "true" } else { "false" }),
        Value::Number(number) => leaf(xml, name, &number.to_string()),
        Value::String(text) => leaf(xml, name, text),
        Value::Array(members) => list(xml, name, member_of(name), members),
        Value::Object(fields) => {
            let _ = write!(xml, "<{name}>");
            for (field, value) in fields {
                match value {
                    Value::Array(members) if field == "Items" => list(xml, field, member_of(name), members),
                    value => element(xml, field, value),
                }
            }
            let _ = write!(xml, "</{name}>");
        }
    }
}

fn list(xml: &mut String, name: &str, member: &str, members: &[Value]) {
    let _ = write!(xml, "<{name}>");
    for value in members {
        element(xml, member, value);
    }
    let _ = write!(xml, "</{name}>");
}

/// Returns the name of a list's members in the XML. The JSON does not contain it.
fn member_of(list: &str) -> &'static str {
    match list {
        "Aliases" => "CNAME",
        "Origins" => "Origin",
        "CustomHeaders" => "OriginCustomHeader",
        "OriginSslProtocols" => "SslProtocol",
        "OriginGroups" => "OriginGroup",
        "Members" => "OriginGroupMember",
        "StatusCodes" => "StatusCode",
        "CacheBehaviors" => "CacheBehavior",
        "AllowedMethods" | "CachedMethods" => "Method",
        "FunctionAssociations" => "FunctionAssociation",
        "LambdaFunctionAssociations" => "LambdaFunctionAssociation",
        "CustomErrorResponses" => "CustomErrorResponse",
        "TrustedSigners" => "AwsAccountNumber",
        "TrustedKeyGroups" => "KeyGroup",
        "GeoRestriction" | "Locations" => "Location",
        "Tags" => "Tag",
        "Headers" | "QueryStringCacheKeys" | "WhitelistedNames" | "QueryStrings" | "Cookies" => "Name",
        _ => "member",
    }
}
