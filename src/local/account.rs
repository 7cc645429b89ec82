//! Reads distributions, their tenants and cache policies in the JSON of the AWS command line, and
//! writes them in CloudFront's XML.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use thiserror::Error;

use super::{
    tenant::Tenant,
    wire::{NAMESPACE, Refusal, TenantsRequest},
    xml::{self, MODIFIED, document, element, leaf},
};

/// The distributions, distribution tenants and cache policies of an account.
#[derive(Clone, Debug, Default)]
pub struct Account {
    distributions: Vec<Described>,
    tenants: Vec<Tenant>,
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
    /// The time of the last change.
    modified: String,
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
         list-distributions, get-distribution-tenant, list-distribution-tenants, get-cache-policy or \
         list-cache-policies prints, a DistributionConfig, or a list of those"
    )]
    Unknown(String),
    /// A configuration whose distribution has no id.
    #[error("the configuration of a distribution does not contain its id")]
    Nameless,
    /// A configuration whose distribution has the id of another one.
    #[error("two distributions have the id {0}")]
    Taken(String),
}

impl NotAnAccount {
    fn unknown(document: &Value) -> Self {
        Self::Unknown(document.to_string().chars().take(80).collect())
    }
}

impl Account {
    /// Adds the output of the AWS command line: of `get-distribution-config`, `get-distribution`,
    /// `list-distributions`, `get-distribution-tenant`, `list-distribution-tenants`,
    /// `get-cache-policy` or `list-cache-policies`, or a list of those.
    ///
    /// A configuration, alone or with its `ETag`, does not contain the distribution's id, which is then
    /// `name`.
    ///
    /// If a tenant is there already, only the fields that the document has are replaced: a list of
    /// tenants lacks their parameters.
    ///
    /// # Errors
    ///
    /// Fails if the input is not JSON, is none of these documents, or has a distribution without an id
    /// of its own.
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

    /// Returns the id and configuration of the distribution or tenant that viewers reach under
    /// `host`. Viewers reach a distribution for tenants only through its tenants.
    pub(super) fn reached(&self, host: &str) -> Option<(&str, Cow<'_, Value>)> {
        let is_called = |one: &&Described| {
            let aliases = one.config["Aliases"]["Items"].as_array().into_iter().flatten();
            one.domain_name == host || aliases.filter_map(Value::as_str).any(|alias| alias == host)
        };
        if let Some(tenant) = self.tenants.iter().find(|tenant| tenant.serves(host)) {
            let distribution = self.described(tenant.distribution()).ok()?;
            return Some((&tenant.id, Cow::Owned(tenant.fill(&distribution.config))));
        }
        let mut direct = self.distributions.iter().filter(|one| !one.is_tenant_only());
        direct.find(is_called).map(|one| (&*one.id, Cow::Borrowed(&one.config)))
    }

    /// Returns whether only the tenants of this distribution have viewers.
    pub(super) fn is_tenant_only(&self, id: &str) -> bool {
        self.described(id).is_ok_and(Described::is_tenant_only)
    }

    /// Returns the tenant with this id.
    pub(super) fn tenant(&self, id: &str) -> Result<&Tenant, Refusal> {
        self.tenants.iter().find(|tenant| tenant.id == id).ok_or_else(Refusal::no_such_tenant)
    }

    /// Returns the tenant with this id, name or ARN.
    pub(super) fn identified(&self, identifier: &str) -> Result<&Tenant, Refusal> {
        self.tenants.iter().find(|tenant| tenant.is_called(identifier)).ok_or_else(Refusal::no_such_tenant)
    }

    fn add_document(&mut self, mut document: Value, name: Option<&str>) -> Result<(), NotAnAccount> {
        if let Some(Value::Array(items)) = document.pointer_mut("/DistributionList/Items").map(Value::take) {
            return items.into_iter().try_for_each(|item| {
                let about = item.clone();
                self.describe(about["Id"].as_str(), &about, item)
            });
        }
        if document["DistributionList"].is_object() {
            return Ok(());
        }
        if document["Distribution"].is_object() {
            let mut distribution = document["Distribution"].take();
            let config = distribution["DistributionConfig"].take();
            return self.describe(distribution["Id"].as_str(), &distribution, config);
        }
        if document["DistributionConfig"].is_object() {
            let config = document["DistributionConfig"].take();
            return self.describe(name, &Value::Null, config);
        }
        if document["Origins"].is_object() && document["DefaultCacheBehavior"].is_object() {
            return self.describe(name, &Value::Null, document);
        }
        if document["DistributionTenant"].is_object() {
            return self.add_tenant(document["DistributionTenant"].take());
        }
        if let Some(Value::Array(tenants)) = document.pointer_mut("/DistributionTenantList").map(Value::take)
        {
            return tenants.into_iter().try_for_each(|tenant| self.add_tenant(tenant));
        }
        if let Some(Value::Array(items)) = document.pointer_mut("/CachePolicyList/Items").map(Value::take) {
            return items.into_iter().try_for_each(|item| self.add_document(item, name));
        }
        match document.pointer("/CachePolicy/Id").and_then(Value::as_str).map(str::to_owned) {
            Some(id) => {
                self.policies.insert(id, document["CachePolicy"]["CachePolicyConfig"].take());
                Ok(())
            }
            None => Err(NotAnAccount::unknown(&document)),
        }
    }

    fn add_tenant(&mut self, fields: Value) -> Result<(), NotAnAccount> {
        let tenant = Tenant::new(fields).map_err(|fields| NotAnAccount::unknown(&fields))?;
        match self.tenants.iter_mut().find(|other| other.id == tenant.id) {
            Some(known) => known.add(tenant),
            None => self.tenants.push(tenant),
        }
        Ok(())
    }

    fn describe(&mut self, id: Option<&str>, about: &Value, config: Value) -> Result<(), NotAnAccount> {
        let id = id.ok_or(NotAnAccount::Nameless)?.to_owned();
        if self.distributions.iter().any(|other| other.id == id) {
            return Err(NotAnAccount::Taken(id));
        }
        let told = |field: &str| about[field].as_str().map(str::to_owned);
        let domain_name =
            told("DomainName").unwrap_or_else(|| format!("d{}.cloudfront.net", id.to_ascii_lowercase()));
        let status = told("Status").unwrap_or_else(|| "Deployed".to_owned());
        let modified = told("LastModifiedTime").unwrap_or_else(|| MODIFIED.to_owned());
        self.distributions.push(Described { id, domain_name, status, modified, config });
        Ok(())
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
                leaf(&mut xml, "ETag", &xml::etag(&distribution.config));
            }
            leaf(&mut xml, "DomainName", &distribution.domain_name);
            // These fields are written above, or are missing from CloudFront's list too.
            let untold = [
                "Id",
                "ARN",
                "ETag",
                "Status",
                "LastModifiedTime",
                "DomainName",
                "DefaultRootObject",
                "TenantConfig",
            ];
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

    /// Returns the answer to ListDistributionTenants, with at most `page` tenants.
    pub(super) fn list_tenants(&self, request: &TenantsRequest, page: usize) -> String {
        let mut rest: Vec<&Tenant> = self.tenants.iter().filter(|tenant| tenant.is_wanted(request)).collect();
        let after = rest.iter().position(|tenant| tenant.id == request.marker).map_or(0, |index| index + 1);
        rest.drain(..after);
        let page = &rest[..rest.len().min(request.max_items.unwrap_or(page).clamp(1, page))];
        let mut xml = format!("<ListDistributionTenantsResult xmlns=\"{NAMESPACE}\">");
        if let Some(last) = page.last().filter(|_| page.len() < rest.len()) {
            leaf(&mut xml, "NextMarker", &last.id);
        }
        xml.push_str("<DistributionTenantList>");
        for tenant in page {
            tenant.summarize(&mut xml);
        }
        xml.push_str("</DistributionTenantList></ListDistributionTenantsResult>");
        document(&xml)
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
    fn is_tenant_only(&self) -> bool {
        self.config["ConnectionMode"] == "tenant-only"
    }

    fn about(&self, xml: &mut String) {
        leaf(xml, "Id", &self.id);
        leaf(xml, "ARN", &format!("arn:aws:cloudfront::123456789012:distribution/{}", self.id));
        leaf(xml, "Status", &self.status);
        leaf(xml, "LastModifiedTime", &self.modified);
    }
}
