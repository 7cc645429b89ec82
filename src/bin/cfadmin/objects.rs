//! Maps changed objects to the paths under which distributions serve them, as the function does.

use std::time::{Instant, SystemTime};

use cloudfront_invalidator::{
    cloudfront::Client,
    config::Config,
    cover::Budget,
    discover::{Finder, Search},
    event::{Batch, Change, Effect, Key},
    path::Item,
    plan::{Ignored, Policy, Purge, plan},
    site::{DistributionId, Sites},
    watch::Watch,
};

use crate::{LIMIT, Stop, changed::Changed};

/// Returns the change of an object, as S3 reports it.
pub(crate) fn change(bucket: &str, key: Key, is_deleted: bool) -> Change {
    Change {
        message: 0,
        bucket: bucket.into(),
        key,
        event: if is_deleted { "ObjectRemoved:Delete" } else { "ObjectCreated:Put" }.into(),
        effect: Effect::Content,
        time: None,
        identity: "cfadmin".into(),
    }
}

/// Finds the sites that a batch concerns.
pub(crate) async fn sites(
    batch: &Batch,
    search: &Search,
    watch: &Watch,
    client: Option<&Client>,
) -> Result<Sites, Stop> {
    let finder = Finder::new(search.clone());
    let found = finder.find(batch, watch, client, Instant::now() + LIMIT, SystemTime::now()).await;
    found.failure.map_or(Ok(found.sites), |failure| Err(failure.into()))
}

/// The paths of objects, by distribution.
pub(crate) struct Paths {
    by_distribution: Vec<(DistributionId, Vec<Item>)>,
    /// The objects that lead to no path, each with the reason.
    pub(crate) ignored: Vec<String>,
}

impl Paths {
    /// Finds the distributions that serve the objects, and the paths of the objects in each.
    pub(crate) async fn of(objects: &[Changed], config: &Config, client: &Client) -> Result<Self, Stop> {
        let changes = objects.iter().map(|one| change(&one.bucket, one.key.clone().into(), one.is_deleted));
        let batch = Batch { changes: changes.collect(), ..Batch::default() };
        let sites = sites(&batch, &config.search, &config.policy.watch, Some(client)).await?;
        // The options of the command limit the paths.
        let budget = Budget { items: usize::MAX, wildcards: usize::MAX };
        let policy = Policy { budget, ..config.policy.clone() };
        let plan = plan(&batch, &policy, &sites);
        let items = |purge: &Purge| purge.items.iter().map(|covering| covering.item.clone()).collect();
        let planned = plan.invalidations.iter();
        let by_distribution = planned.map(|one| (one.distribution.clone(), items(&one.purge))).collect();
        let reason = |(index, why): &(usize, Ignored)| {
            let Changed { bucket, key, .. } = &objects[*index];
            format!("s3://{bucket}/{}: {why}", String::from_utf8_lossy(key))
        };
        Ok(Self { by_distribution, ignored: plan.ignored.iter().map(reason).collect() })
    }

    /// Returns the paths in a distribution. Empty if it serves none of the objects.
    pub(crate) fn of_distribution(&self, id: &DistributionId) -> Vec<Item> {
        let own = self.by_distribution.iter().filter(|(distribution, _)| distribution == id);
        own.flat_map(|(_, items)| items.iter().cloned()).collect()
    }
}
