//! Replays the history of a site, with the times of its deploys.

use std::{collections::BTreeSet, rc::Rc};

use crate::{
    month::DAY,
    recorded::{Unchanged, changes, lines},
};

/// A deploy of a site.
pub(crate) struct Deploy {
    /// The time of its commit, in milliseconds since 1970.
    pub(crate) time: u64,
    /// The time of the next one's commit.
    pub(crate) next: Option<u64>,
    /// The keys that it put or deleted: sorted.
    pub(crate) changed: Vec<Rc<[u8]>>,
    /// The other keys.
    pub(crate) unchanged: Unchanged,
}

/// Passes each deploy of a site to `measure`, as if it had been so many days later.
pub(crate) fn replay(site: &str, days_later: u64, mut measure: impl FnMut(&Deploy)) {
    let times = lines(&format!("{site}-dates")).map(|line| {
        let (_, seconds) = line.split_once(' ').expect("a deploy and its time");
        1_000 * seconds.parse::<u64>().expect("a time") + days_later * DAY
    });
    let mut times = times.peekable();
    let mut bucket: BTreeSet<Rc<[u8]>> = BTreeSet::new();
    let mut changed: BTreeSet<Rc<[u8]>> = BTreeSet::new();
    let mut time = None;
    for change in changes(site).chain([None]) {
        let Some((is_put, key)) = change else {
            if let Some(time) = time {
                let unchanged = Unchanged(bucket.difference(&changed).cloned().collect());
                let changed = std::mem::take(&mut changed).into_iter().collect();
                measure(&Deploy { time, next: times.peek().copied(), changed, unchanged });
            }
            time = times.next();
            continue;
        };
        changed.insert(Rc::clone(&key));
        if is_put {
            bucket.insert(key)
        } else {
            bucket.remove(&key)
        };
    }
}
