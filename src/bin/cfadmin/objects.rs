//! Maps changed objects to the paths under which distributions serve them, as the function does.

use std::time::{Instant, SystemTime};

use cloudfront_invalidator::{
    cloudfront::Client,
    config::Config,
    cover::Budget,
    discover::Finder,
    event::{Batch, Change, Effect},
    path::Item,
    plan::{Ignored, Policy, plan},
    site::DistributionId,
};

use crate::{LIMIT, Stop, changed::Changed};

/// The paths of objects, by distribution.
pub(crate) struct Paths {
    by_distribution: Vec<(DistributionId, Vec<Item>)>,
    /// The objects that lead to no path, each with the reason.
    pub(crate) ignored: Vec<String>,
}

impl Paths {
    /// Finds the distributions that serve the objects, and the paths of the objects in each.
    pub(crate) async fn of(objects: &[Changed], config: &Config, client: &Client) -> Result<Self, Stop> {
        let change = |(number, object): (usize, &Changed)| Change {
            message: 0,
            bucket: object.bucket.as_str().into(),
            key: object.key.clone().into(),
            event: if object.is_deleted { "ObjectRemoved:Delete" } else { "ObjectCreated:Put" }.into(),
            effect: Effect::Content,
            time: None,
            identity: number.to_string().into(),
        };
        let batch = Batch { changes: objects.iter().enumerate().map(change).collect(), ..Batch::default() };
        let finder = Finder::new(config.search.clone());
        let (watch, until) = (&config.policy.watch, Instant::now() + LIMIT);
        let found = finder.find(&batch, watch, Some(client), until, SystemTime::now()).await;
        if let Some(failure) = found.failure {
            return Err(failure.into());
        }
        // The options of the command limit the paths.
        let budget = Budget { items: usize::MAX, wildcards: usize::MAX };
        let policy = Policy { budget, ..config.policy.clone() };
        let plan = plan(&batch, &policy, &found.sites);
        let items = |purge: &cloudfront_invalidator::plan::Purge| {
            purge.items.iter().map(|covering| covering.item.clone()).collect()
        };
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
