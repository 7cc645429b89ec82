//! Reads the histories of the sites: every deploy, with the content of the bucket after it.

use std::{collections::BTreeSet, rc::Rc, time::Instant};

use cloudfront_invalidator::{
    event::{Batch, Change, Effect, Key},
    neighbors::Source,
    path::Item,
};

use crate::recorded::{Unchanged, changes};

/// Maximum number of keys in a deploy. Larger ones are left out, because a batch of events holds no
/// more.
const MOST_CHANGES: usize = 10_000;

/// A deploy of a site.
pub(crate) struct Deploy {
    /// The paths of the objects that it put or deleted.
    pub(crate) changed: Vec<Item>,
    /// The keys of these objects: sorted.
    keys: Vec<Rc<[u8]>>,
    /// The keys that it put: sorted.
    put: Vec<Rc<[u8]>>,
    unchanged: Unchanged,
    /// The number of keys in the bucket after it.
    bucket: usize,
}

impl Deploy {
    /// Returns whether to measure covers of this many items on the deploy: it has more changes than
    /// that, but is not a whole new site.
    pub(crate) fn counts(&self, items: usize) -> bool {
        let changed = self.changed.len();
        changed > items && changed <= MOST_CHANGES && changed * 10 < self.bucket * 9
    }

    /// Returns the number of objects that did not change.
    pub(crate) fn unchanged(&self) -> usize {
        self.unchanged.0.len()
    }

    /// Returns the batch of events of the deploy.
    pub(crate) fn batch(&self) -> Batch {
        let change = |key: &Rc<[u8]>| Change {
            message: 0,
            bucket: BUCKET.into(),
            key: Key::from(&**key),
            event: "ObjectCreated:Put".into(),
            effect: Effect::Content,
            time: None,
            identity: "1".into(),
        };
        Batch { changes: self.keys.iter().map(change).collect(), ..Batch::default() }
    }

    /// Returns the number of unchanged objects whose path begins with `stem`.
    pub(crate) fn unchanged_below(&self, stem: &str) -> usize {
        self.unchanged.below(stem)
    }

    /// Returns the number of unchanged objects that the paths in `sent` purge.
    pub(crate) fn collateral(&self, sent: &BTreeSet<String>) -> usize {
        self.unchanged.collateral(sent.iter().map(String::as_str))
    }
}

/// The bucket of every site.
const BUCKET: &str = "site";

/// The bucket after a deploy, as S3 lists it.
pub(crate) struct Listing<'d> {
    pub(crate) deploy: &'d Deploy,
    /// Maximum number of keys in an answer.
    pub(crate) page: usize,
}

impl Source for Listing<'_> {
    type Error = std::convert::Infallible;

    async fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        _deadline: Instant,
    ) -> Result<(Vec<Key>, bool), Self::Error> {
        let is_meant = |key: &&[u8]| key.starts_with(prefix) && after.is_none_or(|after| *key > after);
        let page = |keys: &'_ [Rc<[u8]>]| -> Vec<Key> {
            let first = keys.partition_point(|key| **key < *prefix);
            let from = keys[first..].iter().map(|key| &**key).filter(is_meant);
            from.take(self.page + 1).map(Key::from).collect()
        };
        let mut keys = [page(&self.deploy.unchanged.0), page(&self.deploy.put)].concat();
        keys.sort_unstable();
        let is_last = keys.len() <= self.page;
        keys.truncate(self.page);
        Ok((keys, is_last))
    }
}

/// Reads every deploy of a site that may count for some budget.
pub(crate) fn deploys(site: &str) -> Vec<Deploy> {
    let mut bucket: BTreeSet<Rc<[u8]>> = BTreeSet::new();
    let mut changed: BTreeSet<Rc<[u8]>> = BTreeSet::new();
    let mut deploys = Vec::new();
    for change in changes(site) {
        match change {
            None => deploys.extend(finish(&mut changed, &bucket)),
            Some((is_put, key)) => {
                changed.insert(Rc::clone(&key));
                if is_put {
                    bucket.insert(key)
                } else {
                    bucket.remove(&key)
                };
            }
        }
    }
    deploys.extend(finish(&mut changed, &bucket));
    deploys
}

/// Returns the deploy that changed these keys and left the bucket like this. `None` if it cannot
/// count for any budget. Clears `changed` for the next deploy.
fn finish(changed: &mut BTreeSet<Rc<[u8]>>, bucket: &BTreeSet<Rc<[u8]>>) -> Option<Deploy> {
    let changed = std::mem::take(changed);
    (1..=MOST_CHANGES).contains(&changed.len()).then(|| Deploy {
        changed: changed.iter().map(|key| Item::from_key(key)).collect(),
        put: changed.intersection(bucket).cloned().collect(),
        unchanged: Unchanged(bucket.difference(&changed).cloned().collect()),
        bucket: bucket.len(),
        keys: changed.into_iter().collect(),
    })
}
