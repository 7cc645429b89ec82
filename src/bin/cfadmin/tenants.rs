//! Distribution tenants, as commands list, find and count them.

use cloudfront_invalidator::{
    cloudfront::{Client, Error},
    site::{BucketAlias, Distribution, DistributionId, Tenant},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::LIMIT;

/// Maximum number of tenants of one distribution to show, unless the command is to list them all.
pub(crate) const MOST_SHOWN: usize = 20;

/// Maximum number of calls that read tenants at the same time.
const AT_ONCE: usize = 8;

/// A distribution with the number of its tenants.
#[derive(Serialize)]
pub(crate) struct Counted {
    #[serde(flatten)]
    pub(crate) distribution: Distribution,
    /// The number of tenants, including disabled ones. `None` if the distribution is not multi-tenant,
    /// or if its tenants could not be listed.
    tenants: Option<usize>,
    #[serde(skip)]
    disabled: usize,
}

impl Counted {
    /// Counts the tenants of a distribution. If they cannot be listed, warns and leaves the number
    /// out.
    pub(crate) async fn of(client: &Client, distribution: Distribution) -> Self {
        let mut counted = Self { distribution, tenants: None, disabled: 0 };
        let Distribution { id, multi_tenant, .. } = &counted.distribution;
        if *multi_tenant {
            match client.tenants(id, LIMIT).await {
                Ok(tenants) => {
                    counted.tenants = Some(tenants.len());
                    counted.disabled = tenants.iter().filter(|one| !one.enabled).count();
                }
                Err(error) => eprintln!("cfadmin: cannot list the tenants of {id}: {error}"),
            }
        }
        counted
    }

    /// Returns the number of tenants, and of the disabled ones if there are any. `None` if it is not
    /// known or there can be none.
    pub(crate) fn text(&self) -> Option<String> {
        let text = self.tenants?.to_string();
        Some(if self.disabled > 0 { format!("{text}, {} of them disabled", self.disabled) } else { text })
    }
}

/// Finds the tenant with this name or domain among those of the listed distributions.
pub(crate) async fn called(
    client: &Client,
    listed: &[Distribution],
    name: &str,
) -> Result<Option<Tenant>, Error> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_name {
        return find(client, listed, |tenant| tenant.is_called(name)).await;
    }
    if name.is_empty() || !listed.iter().any(|one| one.multi_tenant) {
        return Ok(None);
    }
    // One call finds a tenant by its name, while a list of tenants may have 100 pages.
    match client.tenant(name, LIMIT).await {
        Ok(tenant) => Ok(Some(tenant)),
        Err(error) if error.is_no_such_distribution() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds the tenant that viewers reach under this host, among those of the listed distributions.
pub(crate) async fn with_domain(
    client: &Client,
    listed: &[Distribution],
    host: &str,
) -> Result<Option<Tenant>, Error> {
    let is_host = |domain: &String| domain.eq_ignore_ascii_case(host);
    find(client, listed, |tenant| tenant.domains.iter().any(is_host)).await
}

async fn find(
    client: &Client,
    listed: &[Distribution],
    is_it: impl Fn(&Tenant) -> bool,
) -> Result<Option<Tenant>, Error> {
    for parent in listed.iter().filter(|one| one.multi_tenant) {
        let tenants = client.tenants(&parent.id, LIMIT).await?;
        if let Some(tenant) = tenants.into_iter().find(&is_it) {
            return Ok(Some(tenant));
        }
    }
    Ok(None)
}

/// Lists the enabled tenants of a distribution.
pub(crate) async fn enabled(client: &Client, distribution: &DistributionId) -> Result<Vec<Tenant>, Error> {
    let mut tenants = client.tenants(distribution, LIMIT).await?;
    tenants.retain(|one| one.enabled);
    Ok(tenants)
}

/// Lists the enabled tenants of a distribution that have a bucket as an origin. Reads each of them if
/// the origins depend on their parameters.
pub(crate) async fn with_bucket(
    client: &Client,
    distribution: &Distribution,
    bucket: &str,
    aliases: &[BucketAlias],
) -> Result<Vec<Tenant>, Error> {
    let tenants = enabled(client, &distribution.id).await?;
    if !distribution.has_placeholders() {
        return Ok(tenants);
    }
    let defaults = client.details(&distribution.id, LIMIT).await?.parameters;
    let read = |tenant: Tenant| async move {
        match client.tenant(tenant.id.as_str(), LIMIT).await {
            Ok(tenant) => Ok(Some(tenant)),
            // Somebody deleted it after it was listed.
            Err(error) if error.is_no_such_distribution() => Ok(None),
            Err(error) => Err(error),
        }
    };
    let read = stream::iter(tenants).map(read).buffered(AT_ONCE);
    let mut tenants: Vec<Tenant> = read.try_filter_map(async |one| Ok(one)).try_collect().await?;
    tenants.retain(|one| distribution.of_tenant(one, &defaults).has_bucket(bucket, aliases));
    Ok(tenants)
}
