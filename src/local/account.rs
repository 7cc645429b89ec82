//! Reads distributions and cache policies in the JSON of the AWS command line, and writes them in
//! CloudFront's XML.

use std::{
    collections::BTreeMap,
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use quick_xml::escape::escape;
use serde_json::Value;
use thiserror::Error;

use super::wire::{NAMESPACE, Refusal};

/// The time of the last change, the same for every resource.
const MODIFIED: &str = "2026-01-01T00:00:00.000Z";

/// The distributions and cache policies of an account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    distributions: Vec<Described>,
    policies: BTreeMap<String, Value>,
    /// Whether the list of distributions lacks their `ETag`s, as it does in emulators. CloudFront's
    /// list has them.
    pub without_etags: bool,
}

/// A distribution with its configuration.
#[derive(Clone, Debug)]
struct Described {
    id: String,
    domain_name: String,
    status: String,
    config: Value,
}

/// The error for input that does not describe an account.
#[derive(Debug, Error)]
pub enum NotAnAccount {
    /// Invalid JSON.
    #[error("invalid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A document of an unknown kind. Its beginning is quoted.
    #[error(
        "{0} is no distribution: give what `aws cloudfront get-distribution-config`, get-distribution, \
         list-distributions, get-cache-policy or list-cache-policies prints, or a list of those"
    )]
    Unknown(String),
}

impl Account {
    /// Adds the output of the AWS command line: of `get-distribution-config`, `get-distribution`,
    /// `list-distributions`, `get-cache-policy` or `list-cache-policies`, or a list of those.
    ///
    /// A configuration does not contain the distribution's id. Its distribution gets the id `name`
    /// or, if that is `None` or taken, `E1EXAMPLE`, `E2EXAMPLE` and so on.
    ///
    /// # Errors
    ///
    /// Fails if the input is not JSON, or is none of these documents.
    pub fn add(&mut self, json: &[u8], name: Option<&str>) -> Result<(), NotAnAccount> {
        let document: Value = serde_json::from_slice(json)?;
        match document {
            Value::Array(documents) => documents.into_iter().try_for_each(|one| self.add_document(one, name)),
            document => self.add_document(document, name),
        }
    }

    /// Returns the ids of the distributions.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.distributions.iter().map(|distribution| &*distribution.id)
    }

    /// Returns the id and configuration of the distribution that viewers reach under `host`.
    pub(super) fn reached(&self, host: &str) -> Option<(&str, &Value)> {
        let is_called = |one: &&Described| {
            let aliases = one.config["Aliases"]["Items"].as_array().into_iter().flatten();
            one.domain_name == host || aliases.filter_map(Value::as_str).any(|alias| alias == host)
        };
        self.distributions.iter().find(is_called).map(|one| (&*one.id, &one.config))
    }

    fn add_document(&mut self, mut document: Value, name: Option<&str>) -> Result<(), NotAnAccount> {
        if let Some(Value::Array(items)) = document.pointer_mut("/DistributionList/Items").map(Value::take) {
            for item in items {
                let about = item.clone();
                self.describe(about["Id"].as_str(), &about, item);
            }
            return Ok(());
        }
        if document["DistributionList"].is_object() {
            return Ok(());
        }
        if document["Distribution"].is_object() {
            let mut distribution = document["Distribution"].take();
            let config = distribution["DistributionConfig"].take();
            self.describe(distribution["Id"].as_str(), &distribution, config);
            return Ok(());
        }
        if document["DistributionConfig"].is_object() {
            let config = document["DistributionConfig"].take();
            self.describe(name, &Value::Null, config);
            return Ok(());
        }
        if let Some(Value::Array(items)) = document.pointer_mut("/CachePolicyList/Items").map(Value::take) {
            return items.into_iter().try_for_each(|item| self.add_document(item, name));
        }
        match document.pointer("/CachePolicy/Id").and_then(Value::as_str).map(str::to_owned) {
            Some(id) => {
                self.policies.insert(id, document["CachePolicy"]["CachePolicyConfig"].take());
                Ok(())
            }
            None => Err(NotAnAccount::Unknown(document.to_string().chars().take(80).collect())),
        }
    }

    fn describe(&mut self, id: Option<&str>, about: &Value, config: Value) {
        let number = self.distributions.len() + 1;
        let taken = |id: &&str| self.distributions.iter().all(|other| other.id != **id);
        let id = id.filter(taken).map_or_else(|| format!("E{number}EXAMPLE"), str::to_owned);
        let told = |field: &str| about[field].as_str().map(str::to_owned);
        let domain_name =
            told("DomainName").unwrap_or_else(|| format!("d{}.cloudfront.net", id.to_ascii_lowercase()));
        let status = told("Status").unwrap_or_else(|| "Deployed".to_owned());
        self.distributions.push(Described { id, domain_name, status, config });
    }

    /// Returns the answer to ListDistributions.
    pub(super) fn list(&self, marker: &str, max_items: usize) -> String {
        let after = self.distributions.iter().position(|one| one.id == marker).map_or(0, |index| index + 1);
        let rest = &self.distributions[after..];
        let page = &rest[..rest.len().min(max_items)];
        let mut xml = format!("<DistributionList xmlns=\"{NAMESPACE}\">");
        leaf(&mut xml, "Marker", marker);
        if let Some(last) = page.last().filter(|_| page.len() < rest.len()) {
            leaf(&mut xml, "NextMarker", &last.id);
        }
        leaf(&mut xml, "MaxItems", &max_items.to_string());
        leaf(&mut xml, "IsTruncated", if page.len() < rest.len() { "true" } else { "false" });
        leaf(&mut xml, "Quantity", &page.len().to_string());
        xml.push_str("<Items>");
        for distribution in page {
            xml.push_str("<DistributionSummary>");
            distribution.about(&mut xml);
            if !self.without_etags {
                leaf(&mut xml, "ETag", &distribution.etag());
            }
            leaf(&mut xml, "DomainName", &distribution.domain_name);
            // These fields are written above, or are missing from CloudFront's list too.
            let untold =
                ["Id", "ARN", "ETag", "Status", "LastModifiedTime", "DomainName", "DefaultRootObject"];
            let told = distribution.config.as_object().into_iter().flatten();
            for (name, value) in told.filter(|(name, _)| !untold.contains(&name.as_str())) {
                element(&mut xml, name, value);
            }
            xml.push_str("</DistributionSummary>");
        }
        xml.push_str("</Items></DistributionList>");
        document(&xml)
    }

    /// Returns the answer to GetDistribution.
    pub(super) fn distribution(&self, id: &str, in_progress: usize) -> Result<String, Refusal> {
        let distribution = self.described(id)?;
        let mut xml = format!("<Distribution xmlns=\"{NAMESPACE}\">");
        distribution.about(&mut xml);
        leaf(&mut xml, "InProgressInvalidationBatches", &in_progress.to_string());
        leaf(&mut xml, "DomainName", &distribution.domain_name);
        element(&mut xml, "DistributionConfig", &distribution.config);
        xml.push_str("</Distribution>");
        Ok(document(&xml))
    }

    /// Returns the answer to GetDistributionConfig.
    pub(super) fn config(&self, id: &str) -> Result<String, Refusal> {
        let mut xml = String::new();
        element(&mut xml, "DistributionConfig", &self.described(id)?.config);
        Ok(document(&xml))
    }

    /// Returns the answer to ListCachePolicies. All policies count as custom ones.
    pub(super) fn cache_policies(&self, marker: &str, max_items: usize) -> String {
        let after = |id: &&String| marker.is_empty() || id.as_str() > marker;
        let rest: Vec<&String> = self.policies.keys().filter(after).collect();
        let page = &rest[..rest.len().min(max_items)];
        let mut xml = format!("<CachePolicyList xmlns=\"{NAMESPACE}\">");
        if let Some(last) = page.last().filter(|_| page.len() < rest.len()) {
            leaf(&mut xml, "NextMarker", last);
        }
        leaf(&mut xml, "MaxItems", &max_items.to_string());
        leaf(&mut xml, "Quantity", &page.len().to_string());
        xml.push_str("<Items>");
        for id in page {
            xml.push_str("<CachePolicySummary><Type>custom</Type><CachePolicy>");
            leaf(&mut xml, "Id", id);
            leaf(&mut xml, "LastModifiedTime", MODIFIED);
            element(&mut xml, "CachePolicyConfig", &self.policies[*id]);
            xml.push_str("</CachePolicy></CachePolicySummary>");
        }
        xml.push_str("</Items></CachePolicyList>");
        document(&xml)
    }

    fn described(&self, id: &str) -> Result<&Described, Refusal> {
        self.distributions.iter().find(|one| one.id == id).ok_or_else(Refusal::no_such_distribution)
    }
}

impl Described {
    /// Returns the version of the configuration. Different configurations have different versions.
    fn etag(&self) -> String {
        let mut hash = DefaultHasher::new();
        self.config.to_string().hash(&mut hash);
        format!("E{:X}", hash.finish())
    }

    fn about(&self, xml: &mut String) {
        leaf(xml, "Id", &self.id);
        leaf(xml, "ARN", &format!("arn:aws:cloudfront::123456789012:distribution/{}", self.id));
        leaf(xml, "Status", &self.status);
        leaf(xml, "LastModifiedTime", MODIFIED);
    }
}

fn document(xml: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n{xml}")
}

fn leaf(xml: &mut String, name: &str, text: &str) {
    let _ = write!(xml, "<{name}>{}</{name}>", escape(text));
}

fn element(xml: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => leaf(xml, name, if *flag { "true" } else { "false" }),
        Value::Number(number) => leaf(xml, name, &number.to_string()),
        Value::String(text) => leaf(xml, name, text),
        Value::Array(members) => list(xml, name, "member", members),
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
        "GeoRestriction" => "Location",
        "Headers" | "QueryStringCacheKeys" | "WhitelistedNames" | "QueryStrings" | "Cookies" => "Name",
        _ => "member",
    }
}
