//! Which distribution a person means.

use std::fmt::Write;

use cloudfront_invalidator::{
    cloudfront::Client,
    site::{Distribution, DistributionId},
};

use crate::{LIMIT, Stop};

/// The distributions that `target` means: an id, an alias, CloudFront's own domain, the
/// domain of an origin, or a bucket as `s3://bucket`. An id is taken as it is, and nobody
/// asked. Several only if `all` is true.
pub(crate) async fn find(client: &Client, target: &str, all: bool) -> Result<Vec<DistributionId>, Stop> {
    if let Ok(id) = target.parse() {
        return Ok(vec![id]);
    }
    let listed = client.distributions(LIMIT).await.map_err(Stop::of("ListDistributions"))?;
    let meant = |one: &&Distribution| match target.strip_prefix("s3://") {
        Some(bucket) => one.has_bucket(bucket.trim_end_matches('/'), &[]),
        None => one.is_called(target),
    };
    let found: Vec<&Distribution> = listed.iter().filter(meant).collect();
    match found.len() {
        0 => Err(Stop::NotFound(format!("no distribution is {target:?}; there {}", table(&listed)))),
        1 => Ok(found.into_iter().map(|one| one.id.clone()).collect()),
        _ if all => Ok(found.into_iter().map(|one| one.id.clone()).collect()),
        _ => {
            let found: Vec<Distribution> = found.into_iter().cloned().collect();
            Err(Stop::Usage(format!(
                "{target:?} may mean several, say which or --all; there {}",
                table(&found)
            )))
        }
    }
}

/// The one distribution that `target` means.
pub(crate) async fn find_one(client: &Client, target: &str) -> Result<DistributionId, Stop> {
    let mut found = find(client, target, false).await?;
    found.pop().ok_or_else(|| Stop::NotFound(format!("no distribution is {target:?}")))
}

fn table(distributions: &[Distribution]) -> String {
    let mut text = if distributions.is_empty() { "is none".to_owned() } else { "are".to_owned() };
    for distribution in distributions {
        let names: Vec<&str> = distribution.names().collect();
        let _ = write!(text, "\n  {}  {}", distribution.id, names.join(", "));
    }
    text
}
