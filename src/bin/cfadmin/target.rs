//! The distribution that a command acts on.

use std::fmt::Write;

use clap::Args;
use cloudfront_invalidator::site::{Distribution, DistributionId};

use crate::{LIMIT, Stop, account::Session};

/// The target argument of a command.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Distribution: its id, an alias or domain name, an origin's domain name, or a bucket (s3:// and its name)
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

    /// Finds the only distribution that matches the target.
    pub(crate) async fn find_one(&self, account: &Session) -> Result<DistributionId, Stop> {
        let mut found = self.find(account, false).await?;
        found.pop().ok_or_else(|| Stop::NotFound(format!("no distribution matches {:?}", self.target)))
    }
}

fn list(distributions: &[&Distribution]) -> String {
    let mut text = if distributions.is_empty() { "is none".to_owned() } else { "are".to_owned() };
    for distribution in distributions {
        let names: Vec<&str> = distribution.names().collect();
        let _ = write!(text, "\n  {}  {}", distribution.id, names.join(", "));
    }
    text
}
