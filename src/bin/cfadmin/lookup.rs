//! Finds the distribution or tenant behind a URL's host.

use std::{collections::BTreeMap, mem};

use cloudfront_invalidator::{
    cloudfront::Client,
    site::{Distribution, Object},
};

use crate::{LIMIT, Stop, account::Connection, errors::explain, tenants};

/// The account's distributions, listed once.
#[derive(Default)]
pub(crate) struct Lookup {
    listed: Option<Result<Vec<Distribution>, String>>,
    complete: Vec<Distribution>,
}

impl Lookup {
    /// Finds the distribution with a host, or the one of the tenant with it, as its viewers reach it.
    pub(crate) async fn distribution(
        &mut self,
        client: &Client,
        connection: &Connection,
        host: &str,
    ) -> Result<&Distribution, String> {
        if self.listed.is_none() {
            let listed = client.distributions(LIMIT).await;
            self.listed = Some(listed.map_err(|why| explain(&why, connection)));
        }
        let listed = match &self.listed {
            Some(Ok(listed)) => &listed[..],
            Some(Err(why)) => return Err(why.clone()),
            None => &[],
        };
        let direct = listed.iter().filter(|one| !one.multi_tenant);
        let found = direct.filter_map(|one| Some((one.answers(host)?, one)));
        let found = found.max_by_key(|(exactness, _)| *exactness).map(|(_, one)| one);
        let is_it = |one: &Distribution| match found {
            Some(found) => one.id == found.id,
            None => one.answers(host).is_some(),
        };
        if let Some(at) = self.complete.iter().position(is_it) {
            return Ok(&self.complete[at]);
        }
        let complete = match found {
            Some(found) => client.with_details(found.clone(), LIMIT).await.map_err(Stop::from),
            None => tenant(client, listed, host).await,
        };
        self.complete.push(complete.map_err(|why| match why {
            Stop::CloudFront(error) => explain(&error, connection),
            other => other.to_string(),
        })?);
        Ok(&self.complete[self.complete.len() - 1])
    }
}

/// Finds the tenant with this domain among those of the listed distributions. Returns its
/// distribution as its viewers reach it.
async fn tenant(client: &Client, listed: &[Distribution], host: &str) -> Result<Distribution, Stop> {
    let found = tenants::with_domain(client, listed, host).await?;
    let with_parent = found.and_then(|tenant| {
        let parent = listed.iter().find(|one| one.id == *tenant.distribution)?;
        Some((tenant, parent))
    });
    let Some((tenant, parent)) = with_parent else {
        return Err(Stop::NotFound(format!("no distribution of this account serves {host:?}")));
    };
    let tenant = client.tenant(tenant.id.as_str(), LIMIT).await?;
    let mut details = client.details(&parent.id, LIMIT).await?;
    let defaults = mem::take(&mut details.parameters);
    let mut distribution = parent.of_tenant(&tenant, &defaults);
    distribution.add_details(details, &BTreeMap::new());
    Ok(distribution)
}

/// Formats an object as `s3://bucket/key`.
pub(crate) fn shown(object: &Object) -> String {
    format!("s3://{}/{}", object.bucket, String::from_utf8_lossy(&object.key))
}
