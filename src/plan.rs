//! A [`Batch`] and the sites it concerns become a [`Plan`]: a value that says what
//! is to be sent and who waits for it. Showing it is a dry run.
//!
//! Distributions of which a batch asks the same are planned once. A [`Planner`] makes one
//! invalidation after the other, so that each can be sent, and forgotten, before the next is
//! made.

mod demand;

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::demand::{Cause, Rejected};
use self::demand::{Demand, Group};
use crate::{
    cover::{Budget, Cover, Covering, Effort, cover_by, expected_collateral},
    event::Batch,
    path::{Item, Kind},
    site::{DistributionId, Form, Sites, Unserved},
    watch::{Unwatched, Watch},
};

/// What this deployment does with changes: everything that a plan depends on
/// besides the batch and the sites.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which changes are looked at.
    pub watch: Watch,
    /// How much one invalidation may hold.
    pub budget: Budget,
    /// Whether invalidations are made that a person asks for.
    pub manual: bool,
}

/// What is to be sent for a batch, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// At most one for a distribution, in the order of their ids.
    pub invalidations: Vec<Invalidation>,
    /// Changes that need none: index in the batch, and why.
    pub ignored: Vec<(usize, Ignored)>,
    /// Requests that cannot be done: index of the message, and why.
    pub rejected: Vec<(usize, Rejected)>,
    /// Indices of the messages that are not done whatever is sent, since some of the
    /// distributions that they concern could not be found out: sorted, each once.
    pub waiting: Vec<usize>,
}

/// Why a change leads to no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Ignored {
    /// The change does not count.
    Unwatched(Unwatched),
    /// No distribution serves the object.
    Unserved(Unserved),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwatched(why) => why.fmt(f),
            Self::Unserved(why) => why.fmt(f),
        }
    }
}

/// One call of CreateInvalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The distribution.
    pub distribution: DistributionId,
    /// What to purge there.
    pub purge: Arc<Purge>,
    /// The same for the same batch, another for any other: see [`plan`].
    pub caller_reference: String,
}

/// What to purge in one distribution, or in several of which a batch asks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The items, in the order of the wire. After [`Invalidation::shorten`], only the first ones.
    pub items: Arc<[Covering]>,
    /// How many items there are.
    pub item_count: usize,
    /// How many of them are wildcards.
    pub wildcard_count: usize,
    /// Indices of the messages that are done only when this is: sorted, each once.
    pub messages: Vec<usize>,
    /// How many changes it is for.
    pub change_count: usize,
    /// Indices of the first [`Purge::MOST_CHANGES`] of them.
    pub changes: Vec<usize>,
    /// The time of the oldest of them, in milliseconds since 1970.
    pub oldest: Option<u64>,
    /// Whether time ran out, so that more is purged than the budget makes necessary.
    pub is_hasty: bool,
}

impl Purge {
    /// Maximum number of changes that it names.
    pub const MOST_CHANGES: usize = 5;

    /// Returns how many bytes the items have on the wire.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.iter().map(|one| one.item.as_str().len()).sum()
    }
}

impl Invalidation {
    /// Returns the reference for a part of it, or for other items that stand for such a part:
    /// the same for the same ones of the same batch, another for any others.
    #[must_use]
    pub fn reference_of<'a>(&'a self, part: impl IntoIterator<Item = &'a Item>) -> String {
        let mut hash = Fields::default();
        hash.add(self.distribution.as_str().as_bytes());
        for item in part {
            hash.add(item.as_str().as_bytes());
        }
        hash.add(self.caller_reference.as_bytes());
        hash.hex()
    }

    /// Returns the items as CloudFront takes them.
    #[must_use]
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &str> {
        self.purge.items.iter().map(|covering| covering.item.as_str())
    }

    /// Drops all items but those that have at most `bytes` together. The counts stay.
    pub fn shorten(&mut self, mut bytes: usize) {
        let fits = |one: &&Covering| {
            let left = bytes.checked_sub(one.item.as_str().len());
            bytes = left.unwrap_or(0);
            left.is_some()
        };
        let fitting = self.purge.items.iter().take_while(fits).count();
        if fitting < self.purge.items.len() {
            let items = self.purge.items[..fitting].into();
            self.purge = Arc::new(Purge { items, ..Purge::clone(&self.purge) });
        }
    }
}

impl Plan {
    /// Returns how many paths CloudFront bills for it: every item counts as one.
    #[must_use]
    pub fn billed_paths(&self) -> usize {
        self.invalidations.iter().map(|invalidation| invalidation.purge.item_count).sum()
    }
}

/// How thoroughly there is time to plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// The best cover.
    Thorough,
    /// A cover that is quickly found.
    Hasty,
    /// `/*`, without a look at the paths.
    Everything,
}

/// Plans one invalidation for each distribution that a change or request concerns.
///
/// The caller reference is a SHA-256 over the distribution, the items and the
/// identity of each cause, whatever their order and however often each was
/// delivered. So the same batch delivered again is the same invalidation to
/// CloudFront, which bills and purges once, while a later change of the same keys
/// is a new one.
///
/// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>
#[must_use]
pub fn plan(batch: &Batch, policy: &Policy, sites: &Sites) -> Plan {
    let mut planner = Planner::new(batch, policy, sites);
    let mut invalidations = Vec::new();
    while let Some(invalidation) = planner.next(&|| Pace::Thorough) {
        invalidations.push(invalidation);
    }
    planner.finish(invalidations)
}

/// Maximum number of bytes of covers that are kept for distributions that serve in other ways
/// and still need the same paths.
const MOST_KEPT: usize = 4 * 1024 * 1024;

/// A plan in the making: see [`plan`].
#[derive(Debug)]
pub struct Planner<'a> {
    policy: &'a Policy,
    demand: Demand<'a>,
    /// Whether no change may be ignored for what the sites say, which is no longer sure.
    is_old: bool,
    /// How many labels each group may take.
    labels: usize,
    /// How many groups were begun.
    begun: usize,
    /// The group that is being handed out: what to purge, its digest, and how many of its
    /// distributions have it.
    current: Option<(Arc<Purge>, [u8; 32], usize)>,
    kept: Vec<Kept>,
    kept_bytes: usize,
}

/// A cover that may be needed again.
#[derive(Debug)]
struct Kept {
    /// Of what was to be covered.
    digest: [u8; 32],
    items: Arc<[Covering]>,
    is_hasty: bool,
}

impl<'a> Planner<'a> {
    /// Begins a plan.
    #[must_use]
    pub fn new(batch: &'a Batch, policy: &'a Policy, sites: &'a Sites) -> Self {
        let demand = Demand::of(batch, policy, sites);
        Self {
            policy,
            is_old: sites.is_old,
            labels: Effort::LABELS / demand.groups.len().max(1),
            demand,
            begun: 0,
            current: None,
            kept: Vec::new(),
            kept_bytes: 0,
        }
    }

    /// Plans the next invalidation, as thoroughly as `pace` says at the time. `None` after the
    /// last one.
    ///
    /// The order is that of the distributions' ids, but that those of which the batch asks the
    /// same follow each other.
    pub fn next(&mut self, pace: &dyn Fn() -> Pace) -> Option<Invalidation> {
        loop {
            if let Some((purge, digest, given)) = &mut self.current {
                let group = &self.demand.groups[self.begun - 1];
                if let Some(distribution) = group.distributions.get(*given) {
                    *given += 1;
                    let mut hash = Fields::default();
                    hash.add(distribution.as_str().as_bytes());
                    hash.add(digest);
                    return Some(Invalidation {
                        distribution: distribution.clone(),
                        purge: Arc::clone(purge),
                        caller_reference: hash.hex(),
                    });
                }
            }
            if self.begun == self.demand.groups.len() {
                return None;
            }
            self.begun += 1;
            self.current = self.purge(self.begun - 1, pace).map(|(purge, digest)| (purge, digest, 0));
        }
    }

    /// Ends the plan, whose invalidations are these.
    #[must_use]
    pub fn finish(self, mut invalidations: Vec<Invalidation>) -> Plan {
        let Demand { batch, ignored, rejected, mut waiting, .. } = self.demand;
        let ignored = ignored.into_iter().enumerate().filter_map(|(index, why)| Some((index, why?)));
        let (ignored, unsure): (Vec<_>, Vec<_>) =
            ignored.partition(|(_, why)| !(self.is_old && matches!(why, Ignored::Unserved(_))));
        waiting.extend(unsure.into_iter().map(|(index, _)| batch.changes[index].message));
        waiting.sort_unstable();
        waiting.dedup();
        invalidations.sort_by(|a, b| a.distribution.cmp(&b.distribution));
        Plan { invalidations, ignored, rejected, waiting }
    }

    /// Plans what to purge in the distributions of a group, with a digest of it and of its causes.
    /// `None` for nothing.
    fn purge(&mut self, group: usize, pace: &dyn Fn() -> Pace) -> Option<(Arc<Purge>, [u8; 32])> {
        let group = &self.demand.groups[group];
        let is_last_resort = pace() == Pace::Everything;
        let (mut causes, mut items) = (Vec::new(), Vec::new());
        let mut served = Vec::new();
        for index in self.demand.changes(group) {
            if is_last_resort {
                causes.push(self.demand.cause(index));
                served.push(index);
                continue;
            }
            match self.demand.paths(group, index) {
                Ok((cause, paths)) => {
                    causes.push(cause);
                    items.extend(paths.into_iter().map(|(item, _)| item));
                    served.push(index);
                }
                Err(why) => {
                    if let Some(Ignored::Unserved(known)) = &mut self.demand.ignored[index] {
                        *known = known.later(why);
                    }
                }
            }
        }
        for index in &served {
            self.demand.ignored[*index] = None;
        }
        for (cause, requested) in self.demand.requests(group) {
            causes.push(cause);
            items.extend_from_slice(requested);
        }
        if causes.is_empty() {
            return None;
        }
        if is_last_resort {
            items = vec![Item::everything()];
        }
        let oldest = causes.iter().filter_map(|cause| match cause {
            Cause::Change(change) => change.time,
            Cause::Request(_) => None,
        });
        let (oldest, change_count) = (oldest.min(), served.len());
        served.truncate(Purge::MOST_CHANGES);
        let mut messages: Vec<usize> = causes.iter().map(Cause::message).collect();
        messages.sort_unstable();
        messages.dedup();
        let (items, is_hasty) = self.cover(items, pace);
        let digest = digest(&items, &causes);
        let purge = Purge {
            item_count: items.len(),
            wildcard_count: items.iter().filter(|one| one.item.kind() == Kind::Wildcard).count(),
            items,
            messages,
            change_count,
            changes: served,
            oldest,
            is_hasty: is_hasty || is_last_resort,
        };
        Some((Arc::new(purge), digest))
    }

    /// Covers items within the budget, or finds the cover that was made of the same ones, and
    /// tells whether time ran out.
    fn cover(&mut self, items: Vec<Item>, pace: &dyn Fn() -> Pace) -> (Arc<[Covering]>, bool) {
        let digest = (self.demand.groups.len() > 1).then(|| {
            let mut hash = Fields::default();
            for item in &items {
                hash.add(item.as_str().as_bytes());
            }
            hash.bytes()
        });
        if let Some(kept) = self.kept.iter().find(|kept| Some(kept.digest) == digest) {
            return (Arc::clone(&kept.items), kept.is_hasty);
        }
        let is_late = || pace() > Pace::Thorough;
        let effort = Effort { labels: self.labels, is_late: &is_late };
        let Cover { items, cost, at_least } =
            cover_by(items, self.policy.budget, effort, expected_collateral);
        let is_hasty = cost > at_least && is_late();
        let items: Arc<[Covering]> = items.into();
        let bytes = items.iter().map(|one| one.item.as_str().len()).sum::<usize>();
        if let Some(digest) = digest
            && self.kept_bytes + bytes <= MOST_KEPT
        {
            self.kept_bytes += bytes;
            self.kept.push(Kept { digest, items: Arc::clone(&items), is_hasty });
        }
        (items, is_hasty)
    }
}

/// Why one item is in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Index of the invalidation among those that were asked about.
    pub invalidation: usize,
    /// Index of the item in the invalidation.
    pub covering: usize,
    /// What asked for it.
    pub cause: Cause<'a>,
    /// What the cause asked for, which may be folded into the item that is sent.
    pub item: Item,
    /// How that follows from the cause.
    pub form: Form,
}

/// Finds every reason for every item of `invalidations`, which were planned from these.
#[must_use]
pub fn reasons<'a>(
    batch: &'a Batch,
    policy: &Policy,
    sites: &'a Sites,
    invalidations: &[Invalidation],
) -> Vec<Reason<'a>> {
    let demand = Demand::of(batch, policy, sites);
    let mut reasons = Vec::new();
    for (index, invalidation) in invalidations.iter().enumerate() {
        let asks = |group: &&Group<'_>| group.distributions.contains(&invalidation.distribution);
        let Some(group) = demand.groups.iter().find(asks) else { continue };
        let by_stem = ByStem::of(&invalidation.purge.items);
        let mut find = |cause, item: Item, form| {
            if let Some(covering) = by_stem.covering(&item) {
                reasons.push(Reason { invalidation: index, covering, cause, item, form });
            }
        };
        for change in demand.changes(group) {
            let Ok((cause, paths)) = demand.paths(group, change) else { continue };
            for (item, form) in paths {
                find(cause, item, form);
            }
        }
        for (cause, requested) in demand.requests(group) {
            for item in requested {
                find(cause, item.clone(), Form::Request);
            }
        }
    }
    reasons
}

/// The items of a cover, of which none covers another, in the order of their stems.
struct ByStem<'a> {
    items: &'a [Covering],
    order: Vec<usize>,
}

impl<'a> ByStem<'a> {
    fn of(items: &'a [Covering]) -> Self {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_unstable_by_key(|index| items[*index].item.stem());
        Self { items, order }
    }

    /// Returns the index of the item that covers `asked`.
    fn covering(&self, asked: &Item) -> Option<usize> {
        if let [everything] = self.items
            && everything.item == Item::everything()
        {
            return Some(0);
        }
        if asked.kind() == Kind::Tag {
            return self.items.iter().position(|one| one.item.covers(asked));
        }
        // The stem of a wildcard that covers it begins it. Whatever is between the two in this
        // order begins with that stem as well, and would be covered itself.
        let after = self.order.partition_point(|index| self.items[*index].item.stem() <= asked.stem());
        let nearest = self.order[..after].last()?;
        self.items[*nearest].item.covers(asked).then_some(*nearest)
    }
}

/// Hashes what is purged and why, in an order that does not depend on that of the causes.
fn digest(items: &[Covering], causes: &[Cause<'_>]) -> [u8; 32] {
    let mut identities: Vec<_> = causes.iter().map(Cause::identity).collect();
    identities.sort_unstable();
    identities.dedup();
    let mut hash = Fields::default();
    hash.add(&(items.len() as u64).to_le_bytes());
    for covering in items {
        hash.add(covering.item.as_str().as_bytes());
    }
    for field in identities.into_iter().flatten() {
        hash.add(field);
    }
    hash.bytes()
}

/// A SHA-256 over fields. Each goes in behind its length, so that no two lists of fields make
/// the same bytes.
#[derive(Default)]
struct Fields(Sha256);

impl Fields {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    fn hex(self) -> String {
        self.bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
