//! The distribution that a command acts on.

use std::{
    fmt::Write,
    time::{Instant, SystemTime},
};

use clap::Args;
use cloudfront_invalidator::{
    discover::{Finder, Search},
    event::{Batch, Request},
    site::{Distribution, DistributionId},
};

use crate::{LIMIT, Stop, account::Session};

/// The target argument of a command.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Distribution or tenant: its id, an alias or domain name, an origin's domain name, or a bucket (s3:// and its name)
    target: String,
}

impl Target {
    /// Finds the distributions that match the target. Returns an id as it is, without a call to
    /// CloudFront.
    ///
    /// # Errors
    ///
    /// If nothing matches, or if several distributions match and `all` is false.
    pub(crate) async fn find(&self, account: &Session, all: bool) -> Result<Vec<DistributionId>, Stop> {
        let Self { target } = self;
        if let Ok(id) = target.parse() {
            return Ok(vec![id]);
        }
        let listed = account.client.distributions(LIMIT).await.map_err(Stop::of("ListDistributions"))?;
        let aliases = &account.config.search.aliases;
        let meant = |one: &&Distribution| match target.strip_prefix("s3://") {
            Some(bucket) => one.has_bucket(bucket.trim_end_matches('/'), aliases),
            None => one.is_called(target),
        };
        let found: Vec<&Distribution> = listed.iter().filter(meant).collect();
        let may_be_tenant = if found.is_empty() { &listed.iter().collect() } else { &found };
        if may_be_tenant.iter().any(|one| one.multi_tenant) {
            return self.find_with_tenants(account, all).await;
        }
        match &found[..] {
            [] => {
                let listed: Vec<&Distribution> = listed.iter().collect();
                Err(Stop::NotFound(format!("no distribution matches {target:?}; there {}", list(&listed))))
            }
            [_, _, ..] if !all => Err(Stop::Usage(format!(
                "several distributions match {target:?}; name one by its id or pass --all; there {}",
                list(&found)
            ))),
            _ => Ok(found.into_iter().map(|one| one.id.clone()).collect()),
        }
    }

    /// Finds the distributions and tenants that match the target, as the function does for a manual
    /// event.
    async fn find_with_tenants(&self, account: &Session, all: bool) -> Result<Vec<DistributionId>, Stop> {
        let Self { target } = self;
        let request = Request {
            message: 0,
            paths: Vec::new(),
            distribution: Some(target.clone()),
            identity: Box::default(),
        };
        let batch = Batch { requests: vec![request], ..Batch::default() };
        let config = &account.config;
        let finder = Finder::new(Search { distributions: Vec::new(), ..config.search.clone() });
        let (watch, client) = (&config.policy.watch, Some(&account.client));
        let mut found = finder.find(&batch, watch, client, Instant::now() + LIMIT, SystemTime::now()).await;
        match (found.sites.by_name.remove(target), found.failure) {
            (_, Some(failure)) => Err(Stop::of("ListDistributionTenants")(failure)),
            (Some(Ok(ids)), _) if ids.len() > 1 && !all => Err(Stop::Usage(format!(
                "several distributions or tenants match {target:?}; name one by its id or pass --all; there are {}",
                joined(&ids)
            ))),
            (Some(Ok(ids)), _) => Ok(ids),
            (Some(Err(why)), _) => Err(Stop::NotFound(why.to_string())),
            (None, _) => Err(Stop::NotFound(format!("no distribution or tenant matches {target:?}"))),
        }
    }

    /// Finds the only distribution that matches the target.
    pub(crate) async fn find_one(&self, account: &Session) -> Result<DistributionId, Stop> {
        let mut found = self.find(account, false).await?;
        found.pop().ok_or_else(|| Stop::NotFound(format!("no distribution matches {:?}", self.target)))
    }
}

/// Returns the first ids, and the number of the others.
fn joined(ids: &[DistributionId]) -> String {
    const MOST: usize = 20;
    let mut text = ids.iter().take(MOST).map(DistributionId::as_str).collect::<Vec<_>>().join(", ");
    if ids.len() > MOST {
        let _ = write!(text, " and {} more", ids.len() - MOST);
    }
    text
}

fn list(distributions: &[&Distribution]) -> String {
    let mut text = if distributions.is_empty() { "is none".to_owned() } else { "are".to_owned() };
    for distribution in distributions {
        let names: Vec<&str> = distribution.names().collect();
        let _ = write!(text, "\n  {}  {}", distribution.id, names.join(", "));
    }
    text
}
