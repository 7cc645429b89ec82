//! Reads distribution tenants in the JSON of the AWS command line, writes them in CloudFront's XML,
//! and fills their parameters into the configuration of their distribution.

use serde_json::{Value, json};

use super::{
    wire::{NAMESPACE, TenantsRequest},
    xml::{self, MODIFIED, document, element, leaf},
};

/// A tenant of a distribution: some domains, and values for the parameters in its configuration.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub(super) id: String,
    /// All fields, in an object, under the names that CloudFront gives them.
    fields: Value,
}

impl Tenant {
    /// Creates a tenant from its fields. Returns them if there is no id among them.
    pub(super) fn new(mut fields: Value) -> Result<Self, Value> {
        let Some(id) = fields["Id"].as_str().map(str::to_owned) else { return Err(fields) };
        if let Value::Object(fields) = &mut fields {
            fields.remove("ETag");
            fields.insert("CreatedTime".to_owned(), MODIFIED.into());
            fields.insert("LastModifiedTime".to_owned(), MODIFIED.into());
        }
        Ok(Self { id, fields })
    }

    /// Replaces the fields that `other` has.
    pub(super) fn add(&mut self, other: Self) {
        if let (Value::Object(fields), Value::Object(others)) = (&mut self.fields, other.fields) {
            fields.extend(others);
        }
    }

    /// Returns the id of the tenant's distribution.
    pub(super) fn distribution(&self) -> &str {
        self.text("DistributionId")
    }

    /// Returns whether this is the tenant's id, name or ARN.
    pub(super) fn is_called(&self, identifier: &str) -> bool {
        !identifier.is_empty() && [&*self.id, self.text("Name"), &self.arn()].contains(&identifier)
    }

    /// Returns whether a request for a list wants the tenant.
    pub(super) fn is_wanted(&self, request: &TenantsRequest) -> bool {
        let is = |field: &str, wanted: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| self.text(field) == wanted)
        };
        is("DistributionId", &request.association_filter.distribution_id)
            && is("ConnectionGroupId", &request.association_filter.connection_group_id)
    }

    /// Returns whether viewers get answers under `host`.
    pub(super) fn serves(&self, host: &str) -> bool {
        let mut domains = self.fields["Domains"].as_array().into_iter().flatten();
        self.fields["Enabled"] != false
            && domains.any(|domain| domain["Domain"] == host && domain["Status"] != "inactive")
    }

    /// Returns the version of the tenant, which its parameters are part of.
    pub(super) fn etag(&self) -> String {
        xml::etag(&self.fields)
    }

    /// Returns the answer to GetDistributionTenant.
    pub(super) fn answer(&self) -> String {
        let mut xml = format!("<DistributionTenant xmlns=\"{NAMESPACE}\">");
        self.about(&mut xml);
        element(&mut xml, "Tags", &self.fields["Tags"]);
        element(&mut xml, "Parameters", &self.fields["Parameters"]);
        xml.push_str("</DistributionTenant>");
        document(&xml)
    }

    /// Writes the tenant as an entry of a list, which has no parameters.
    pub(super) fn summarize(&self, xml: &mut String) {
        xml.push_str("<DistributionTenantSummary>");
        self.about(xml);
        leaf(xml, "ETag", &self.etag());
        xml.push_str("</DistributionTenantSummary>");
    }

    fn about(&self, xml: &mut String) {
        let defaults = json!({
            "Name": self.id,
            "Arn": self.arn(),
            "Domains": [],
            "Enabled": true,
            "Status": "Deployed",
        });
        for name in [
            "Id",
            "DistributionId",
            "Name",
            "Arn",
            "Domains",
            "ConnectionGroupId",
            "Customizations",
            "CreatedTime",
            "LastModifiedTime",
            "Enabled",
            "Status",
        ] {
            let value = &self.fields[name];
            element(xml, name, if value.is_null() { &defaults[name] } else { value });
        }
    }

    /// Returns the configuration of the tenant's distribution, with the values of the parameters in
    /// its origins.
    pub(super) fn fill(&self, config: &Value) -> Value {
        let mut filled = config.clone();
        let origins = filled.pointer_mut("/Origins/Items").and_then(Value::as_array_mut);
        for origin in origins.into_iter().flatten() {
            for field in ["DomainName", "OriginPath"] {
                if let Some(Value::String(text)) = origin.get_mut(field) {
                    *text = self.fill_text(config, text);
                }
            }
        }
        filled
    }

    /// Replaces each `{{name}}` in a text with the value of that parameter. Leaves those without a
    /// value.
    fn fill_text(&self, config: &Value, text: &str) -> String {
        let mut parts = text.split("{{");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let named = part.split_once("}}");
            match named.and_then(|(name, rest)| Some((self.parameter(config, name)?, rest))) {
                Some((value, rest)) => filled.extend([value, rest]),
                None => filled.extend(["{{", part]),
            }
        }
        filled
    }

    /// Returns the value of a parameter: the tenant's own, or the default in the configuration.
    fn parameter<'a>(&'a self, config: &'a Value, name: &str) -> Option<&'a str> {
        let find = |list: &'a Value| list.as_array()?.iter().find(|one| one["Name"] == name);
        let own = find(&self.fields["Parameters"]).and_then(|parameter| parameter["Value"].as_str());
        own.or_else(|| {
            let definition = find(&config["TenantConfig"]["ParameterDefinitions"])?;
            definition["Definition"]["StringSchema"]["DefaultValue"].as_str()
        })
    }

    fn arn(&self) -> String {
        let told = self.fields["Arn"].as_str().map(str::to_owned);
        told.unwrap_or_else(|| format!("arn:aws:cloudfront::123456789012:distribution-tenant/{}", self.id))
    }

    fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }
}
