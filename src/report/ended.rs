//! Collects the invalidations that have ended, and keeps of each what the report needs.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    event::{Batch, Key},
    narrow::Undone,
    order,
    plan::{Cause, Invalidation, Known, Policy, reasons},
    submit::{Isolated, Outcome, Sent},
};

/// Maximum number of bytes of paths that a report keeps. The rest is dropped once it is sent,
/// because hundreds of distributions may have megabytes each.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Maximum number of objects to name for an item.
const MOST_BEHIND: usize = 5;

/// The result of an invalidation and, if it was sent in parts, the items that CloudFront did not
/// accept.
type Result = (Sent, Vec<Behind>);

/// The invalidations of a batch that have ended.
#[derive(Debug)]
pub struct Ended {
    list: Vec<(Invalidation, Option<Result>)>,
    bytes: usize,
    is_dry: bool,
}

/// An item that CloudFront refused or never received, and what needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Index of the invalidation in the plan.
    pub(super) invalidation: usize,
    /// Index of the item in the invalidation.
    pub(super) item: usize,
    /// The item as text.
    pub(super) path: Box<str>,
    /// Whether CloudFront accepted a wider item instead, so that nothing is left to do.
    pub(super) is_done: bool,
    /// Indices of the messages that need the item.
    pub(super) messages: Vec<usize>,
    /// Indices of the changes that need the item.
    changes: Vec<usize>,
    /// Indices of the requests that need the item.
    requests: Vec<usize>,
    /// The bucket and key of the first objects that need it.
    pub(super) objects: Vec<(Arc<str>, Key)>,
}

impl Behind {
    /// Returns what needs the item. `None` if it is done.
    #[must_use]
    pub fn undone(&self) -> Option<Undone<'_>> {
        let Self { invalidation, is_done, messages, changes, requests, .. } = self;
        (!is_done).then_some(Undone { invalidation: *invalidation, messages, changes, requests })
    }
}

impl Ended {
    /// Creates an empty list. In a dry run, nothing is sent.
    #[must_use]
    pub const fn new(is_dry: bool) -> Self {
        Self { list: Vec::new(), bytes: 0, is_dry }
    }

    /// Adds an invalidation that was planned but not sent.
    pub fn planned(&mut self, invalidation: Invalidation) {
        self.add(invalidation, None);
    }

    /// Adds an invalidation that was sent, with its result. The other arguments are those that it
    /// was planned from.
    pub fn sent(
        &mut self,
        invalidation: Invalidation,
        sent: Sent,
        batch: &Batch,
        policy: &Policy,
        known: Known<'_>,
    ) {
        let behind = match &sent {
            Sent::Isolated(isolated) => behind(&invalidation, isolated, batch, policy, known),
            _ => Vec::new(),
        };
        self.add(invalidation, Some((sent, behind)));
    }

    /// Returns whether CloudFront reported that one of the distributions does not exist.
    #[must_use]
    pub fn any_distribution_is_gone(&self) -> bool {
        let is_gone = |(_, sent): &(Invalidation, Option<Result>)| matches!(sent, Some((Sent::Failed(error), _)) if error.is_no_such_distribution());
        self.list.iter().any(is_gone)
    }

    fn add(&mut self, mut invalidation: Invalidation, sent: Option<Result>) {
        // Invalidations that purge the same share one `Purge` and end at about the same time, so
        // count its bytes only once.
        let mut latest = self.list.iter().rev().take(16);
        if !latest.any(|(other, _)| Arc::ptr_eq(&other.purge, &invalidation.purge)) {
            invalidation.shorten(MOST_BYTES - self.bytes);
            self.bytes += invalidation.purge.bytes();
        }
        self.list.push((invalidation, sent));
    }

    /// Returns the invalidations in the order of a plan, with their results. The results are `None`
    /// in a dry run.
    #[must_use]
    pub fn in_order(mut self) -> (Vec<Invalidation>, Option<(Outcome, Vec<Behind>)>) {
        order::sort(&mut self.list, |(a, _), (b, _)| a.in_order(b));
        let (invalidations, sent): (Vec<_>, Vec<_>) = self.list.into_iter().unzip();
        let results = (!self.is_dry).then(|| {
            let (sent, behind): (Vec<_>, Vec<_>) = sent.into_iter().flatten().unzip();
            let numbered = behind.into_iter().enumerate().flat_map(|(invalidation, behind)| {
                behind.into_iter().map(move |behind| Behind { invalidation, ..behind })
            });
            (Outcome(sent), numbered.collect())
        });
        (invalidations, results)
    }
}

/// Finds the messages and objects that need the items that CloudFront refused or never received.
fn behind(
    invalidation: &Invalidation,
    isolated: &Isolated,
    batch: &Batch,
    policy: &Policy,
    known: Known<'_>,
) -> Vec<Behind> {
    let widened = isolated.refused.iter().filter(|refused| refused.instead.is_some());
    let done = widened.map(|refused| (refused.item, true));
    let mut behind = BTreeMap::new();
    for (item, is_done) in isolated.undone().map(|item| (item, false)).chain(done) {
        let path = invalidation.purge.items[item].item.as_str().into();
        let none = Behind {
            invalidation: 0,
            item,
            path,
            is_done,
            messages: Vec::new(),
            changes: Vec::new(),
            requests: Vec::new(),
            objects: Vec::new(),
        };
        behind.insert(item, none);
    }
    if behind.is_empty() {
        return Vec::new();
    }
    for reason in reasons(batch, policy, known, std::slice::from_ref(invalidation)) {
        let Some(behind) = behind.get_mut(&reason.covering) else { continue };
        match invalidation.part {
            Some(_) => behind.messages = invalidation.messages.to_vec(),
            None => behind.messages.push(reason.cause.message()),
        }
        match reason.cause {
            Cause::Change(change) => {
                behind.changes.push(reason.index);
                if behind.objects.len() < MOST_BEHIND {
                    behind.objects.push((change.bucket.clone(), change.key.clone()));
                }
            }
            Cause::Request(_) => behind.requests.push(reason.index),
        }
    }
    behind.into_values().collect()
}
