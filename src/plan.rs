//! Turns a [`Batch`] and the sites that it concerns into a [`Plan`]: a value that says what to
//! send, and which messages depend on it. A dry run prints the plan and sends nothing.
//!
//! Distributions that need the same purge are planned once. A [`Planner`] makes one invalidation at
//! a time, so that each can be sent and dropped before the next one is made.

mod collateral;
mod demand;
mod digest;
mod limits;
mod reasons;

use std::{cmp::Ordering, collections::BTreeSet, fmt, sync::Arc};

use serde::Serialize;

use self::{
    collateral::Collateral,
    demand::{Demand, Group, ignore},
    digest::{Fields, digest},
};
pub use self::{
    demand::{Cause, MOST_PEERS, Rejected},
    reasons::{Reason, reasons},
};
use crate::{
    cover::{Budget, Cover, Covering, Effort, cover_by, cover_measured, expected_collateral},
    event::Batch,
    neighbors::{Neighbors, Wanted},
    order,
    path::{Item, Kind},
    site::{DistributionId, Sites, Unserved},
    versions::{Findings, Needless, Skip},
    watch::{Unwatched, Watch},
};

/// The settings of a deployment that a plan depends on.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The buckets and keys whose changes count.
    pub watch: Watch,
    /// The limits of one invalidation.
    pub budget: Budget,
    /// Whether manual requests are carried out.
    pub manual: bool,
    /// The changes to skip if they made no difference.
    pub skip: Skip,
    /// Whether to list the buckets if a batch exceeds the budget.
    pub list_bucket: bool,
}

/// The knowledge that a plan for a batch rests on.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The sites that it concerns.
    pub sites: &'a Sites,
    /// The differences that S3 knows of, for each of its changes.
    pub findings: &'a Findings,
}

impl<'a> From<&'a Sites> for Known<'a> {
    /// Returns what is known if S3 was not asked.
    fn from(sites: &'a Sites) -> Self {
        static NOTHING: Findings = Findings::nothing();
        Self { sites, findings: &NOTHING }
    }
}

/// The invalidations to send for a batch, and the changes and requests that lead to none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The invalidations: for each distribution at most one, and one more for each different content of
    /// the narrowed messages that name it. In the order of the distributions' ids.
    pub invalidations: Vec<Invalidation>,
    /// Changes that need no invalidation: the index in the batch, and the reason.
    pub ignored: Vec<(usize, Ignored)>,
    /// Requests that cannot be carried out: the index of the message, and the reason.
    pub rejected: Vec<(usize, Rejected)>,
    /// Indices of the messages that return to the queue whatever is sent, because some of the
    /// distributions that they concern could not be determined. Sorted, without duplicates.
    pub waiting: Vec<usize>,
    /// The distributions that could not be read, with the indices of the messages that may need them:
    /// sorted, without duplicates.
    pub unread: Vec<(DistributionId, Vec<usize>)>,
    /// The distributions that narrowed messages name and that no longer need anything: they do not
    /// serve the objects any more, or do not exist.
    pub gone: Vec<DistributionId>,
    /// The number of groups of distributions that shared the effort of planning what is not in narrowed
    /// messages.
    pub share: usize,
    /// The budget of what is not in narrowed messages. `None` if it is that of the policy.
    pub budget: Option<Budget>,
}

/// The reason why a change leads to no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Ignored {
    /// A change that does not count.
    Unwatched(Unwatched),
    /// A change of an object that no distribution serves.
    Unserved(Unserved),
    /// A change that made no difference to the viewers of any distribution.
    Needless(Needless),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwatched(why) => why.fmt(f),
            Self::Unserved(why) => why.fmt(f),
            Self::Needless(why) => why.fmt(f),
        }
    }
}

/// A call of CreateInvalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The distribution.
    pub distribution: DistributionId,
    /// The index in [`Batch::narrowed`] of the part that this is for. `None` for everything that is not
    /// in a narrowed message.
    pub part: Option<usize>,
    /// Indices of the messages that are done only once this invalidation exists. Sorted, without
    /// duplicates.
    pub messages: Arc<[usize]>,
    /// The items to purge there, and what they are for.
    pub purge: Arc<Purge>,
    /// The caller reference. With the same sites, policy and knowledge of the buckets, the same batch gives
    /// the same one unless planning ran out of time, and any other batch a different one: see [`plan`].
    pub caller_reference: String,
}

/// The items to purge in one distribution, or in several that need the same purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The items, in the order in which they are sent. After [`Invalidation::shorten`], only the
    /// first ones. Empty if there was no time to plan them.
    pub items: Arc<[Covering]>,
    /// The number of items, including those that [`Invalidation::shorten`] dropped.
    pub item_count: usize,
    /// The number of wildcards among them.
    pub wildcard_count: usize,
    /// The number of changes that led to it.
    pub change_count: usize,
    /// Indices of the first [`Purge::MOST_CHANGES`] of those changes.
    pub changes: Vec<usize>,
    /// The time of the oldest change, in milliseconds since 1970. `None` if no change has a time.
    pub oldest: Option<u64>,
    /// The time of the newest change, in milliseconds since 1970. `None` if some change has no time, or if a person
    /// requested some of it.
    pub newest: Option<u64>,
    /// Whether a person requested some of it.
    pub is_requested: bool,
    /// Whether planning ran out of time, so that this may purge more than the budget requires.
    pub is_hasty: bool,
}

impl Purge {
    /// Maximum number of changes in `changes`.
    pub const MOST_CHANGES: usize = 5;

    /// Returns the total length of the items in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.iter().map(|one| one.item.as_str().len()).sum()
    }
}

impl Invalidation {
    /// Orders invalidations for a plan. No two of a plan are equal.
    #[must_use]
    pub fn in_order(&self, other: &Self) -> Ordering {
        let own = (&self.distribution, &self.caller_reference, self.part);
        own.cmp(&(&other.distribution, &other.caller_reference, other.part))
    }

    /// Returns the caller reference for sending a part of the items, or other items in place of
    /// such a part. The same items of the same invalidation always give the same reference, and any
    /// other items a different one.
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

    /// Replaces the items by `/*`.
    pub fn widen(&mut self) {
        let everything = Item::everything();
        if self.purge.items.iter().any(|one| one.item == everything) {
            return;
        }
        self.caller_reference = self.reference_of([&everything]);
        let covers = self.purge.items.iter().map(|one| one.covers).sum();
        let items = [Covering { item: everything, covers, folded: true }].into();
        self.purge = Arc::new(Purge { items, item_count: 1, wildcard_count: 1, ..Purge::clone(&self.purge) });
    }

    /// Returns the items in the form in which CloudFront accepts them.
    #[must_use]
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &str> {
        self.purge.items.iter().map(|covering| covering.item.as_str())
    }

    /// Keeps only as many of the first items as fit into `bytes`. The counts stay as they are.
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
    /// Returns the number of paths that CloudFront bills for the plan: one for each item.
    #[must_use]
    pub fn billed_paths(&self) -> usize {
        self.invalidations.iter().map(|invalidation| invalidation.purge.item_count).sum()
    }
}

/// The thoroughness of planning that the remaining time allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// The search for the best cover.
    Thorough,
    /// A cover that is quick to find.
    Hasty,
    /// `/*`, without computing any paths.
    Everything,
    /// Too late to send anything: an invalidation without items, which only says what is left to do.
    PutOff,
}

/// Plans one invalidation for each distribution that a change or request concerns.
///
/// What a narrowed message contains is planned for itself, whichever messages come with it, and with the
/// same result as when it was narrowed. So CloudFront recognizes an invalidation that it has already.
///
/// The caller reference is a SHA-256 over the distribution, the items and the identity of each
/// cause. The order of the causes and the number of times that each was delivered do not affect it.
/// If SQS delivers the same batch again, CloudFront therefore recognizes the invalidation, and
/// bills and purges only once. A later change of the same keys is a new invalidation.
///
/// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>
#[must_use]
pub fn plan<'a>(batch: &'a Batch, policy: &'a Policy, known: impl Into<Known<'a>>) -> Plan {
    let mut planner = Planner::new(batch, policy, known);
    let mut invalidations = Vec::new();
    while let Some(invalidation) = planner.next(&|| Pace::Thorough) {
        invalidations.push(invalidation);
    }
    planner.finish(invalidations)
}

/// Maximum number of bytes of covers to keep for reuse. Distributions that serve objects in
/// different ways often still need the same paths.
const MOST_KEPT: usize = 4 * 1024 * 1024;

/// A [`Plan`] in progress: see [`plan`].
#[derive(Debug)]
pub struct Planner<'a> {
    policy: &'a Policy,
    /// The budget for changes. `None` for that of the policy.
    budget: Option<Budget>,
    demand: Demand<'a>,
    /// The content of the buckets, as far as it is known.
    neighbors: Neighbors,
    /// Whether the sites may be out of date. The message of a change that they do not serve then
    /// returns to the queue: the change must not be ignored.
    is_old: bool,
    /// The number of groups begun so far.
    begun: usize,
    /// The group that [`Planner::next`] is working through.
    current: Option<Current>,
    kept: Vec<Kept>,
    kept_bytes: usize,
}

/// A group whose purge is planned.
#[derive(Debug)]
struct Current {
    purge: Arc<Purge>,
    /// The digest of the purge.
    digest: [u8; 32],
    /// The messages that need the purge, if they do not depend on the distribution.
    messages: Arc<[usize]>,
    /// The number of distributions that already have their invalidation.
    given: usize,
}

/// A cover that another group may need again.
#[derive(Debug)]
struct Kept {
    /// The digest of the items to cover, of the budget and of the effort.
    digest: [u8; 32],
    items: Arc<[Covering]>,
    is_hasty: bool,
}

impl<'a> Planner<'a> {
    /// Starts a plan.
    #[must_use]
    pub fn new(batch: &'a Batch, policy: &'a Policy, known: impl Into<Known<'a>>) -> Self {
        let known = known.into();
        Self {
            policy,
            budget: None,
            is_old: known.sites.is_old,
            demand: Demand::of(batch, policy, known),
            neighbors: Neighbors::default(),
            begun: 0,
            current: None,
            kept: Vec::new(),
            kept_bytes: 0,
        }
    }

    /// Returns the changed keys of the groups that exceed the budget, so that knowing what else the
    /// buckets hold would make a better plan. Stops early if it is late.
    #[must_use]
    pub fn wanted(&self, is_late: &dyn Fn() -> bool) -> Vec<Wanted<'a>> {
        let mut indices = Vec::new();
        for group in self.demand.groups.iter().filter(|group| !group.is_crowd) {
            if is_late() {
                break;
            }
            let mut changes = self.demand.changes(group);
            changes.retain(|index| self.demand.skips(group, *index).is_none());
            if self.exceeds(group, &changes) {
                indices.extend(changes);
            }
        }
        let by_bucket = self.demand.keys(&sorted(indices)).into_iter();
        by_bucket.map(|(bucket, keys)| Wanted { bucket, keys }).collect()
    }

    /// Returns whether a group, which serves these changes, needs more items than the budget allows.
    fn exceeds(&self, group: &Group<'_>, changes: &[usize]) -> bool {
        let requested = self.demand.requests(group).flat_map(|(_, _, items)| items.iter().cloned());
        let paths = changes.iter().filter_map(|index| self.demand.paths(group, *index).ok());
        let budget = self.budget(group, self.demand.requests(group).next().is_none());
        let mut items = BTreeSet::new();
        let mut wildcards = 0;
        for item in requested.chain(paths.flat_map(|(_, paths)| paths).map(|(item, _)| item)) {
            if item == Item::everything() {
                return false;
            }
            let is_wildcard = item.kind() == Kind::Wildcard;
            wildcards += usize::from(items.insert(item) && is_wildcard);
            if items.len() > budget.items || wildcards > budget.wildcards {
                return true;
            }
        }
        false
    }

    /// Plans with this knowledge of the buckets from now on.
    #[must_use]
    pub fn knowing(self, neighbors: Neighbors) -> Self {
        Self { neighbors, ..self }
    }

    /// Plans the next invalidation, as thoroughly as `pace` allows at the time. Returns `None`
    /// after the last one.
    ///
    /// Those of narrowed messages come first. Otherwise, they come in the order of the distributions'
    /// ids, except that distributions that need the same purge follow one another.
    pub fn next(&mut self, pace: &dyn Fn() -> Pace) -> Option<Invalidation> {
        loop {
            if let Some(Current { purge, digest, messages, given }) = &mut self.current {
                let group = &self.demand.groups[self.begun - 1];
                if let Some(distribution) = group.distributions.get(*given) {
                    *given += 1;
                    let mut hash = Fields::default();
                    hash.add(distribution.as_str().as_bytes());
                    hash.add(digest);
                    let narrowed = self.demand.narrowed_of(group);
                    return Some(Invalidation {
                        distribution: distribution.clone(),
                        part: narrowed.map(|_| group.part),
                        messages: match narrowed {
                            Some(_) => self.demand.messages(group, distribution).into(),
                            None => Arc::clone(messages),
                        },
                        purge: Arc::clone(purge),
                        caller_reference: hash.hex(),
                    });
                }
            }
            if self.begun == self.demand.groups.len() {
                return None;
            }
            self.begun += 1;
            self.current = self.purge(self.begun - 1, pace);
        }
    }

    /// Completes the plan, which made these invalidations.
    #[must_use]
    pub fn finish(self, mut invalidations: Vec<Invalidation>) -> Plan {
        let share = self.demand.own_share();
        let Demand { batch, ignored, rejected, mut waiting, unread, gone, .. } = self.demand;
        let ignored = ignored.into_iter().enumerate().filter_map(|(index, why)| Some((index, why?)));
        let (ignored, unsure): (Vec<_>, Vec<_>) =
            ignored.partition(|(_, why)| !(self.is_old && matches!(why, Ignored::Unserved(_))));
        waiting.extend(unsure.into_iter().map(|(index, _)| batch.changes[index].message));
        if self.is_old {
            waiting.extend(gone.iter().flat_map(|(_, messages)| messages));
        }
        let waiting = sorted(waiting);
        order::sort(&mut invalidations, Invalidation::in_order);
        let unread = unread.into_iter().map(|(distribution, messages)| (distribution, sorted(messages)));
        let gone = gone.into_iter().filter(|_| !self.is_old).map(|(distribution, _)| distribution);
        let (unread, gone) = (unread.collect(), gone.collect());
        Plan { invalidations, ignored, rejected, waiting, unread, gone, share, budget: self.budget }
    }

    /// Plans what to purge in the distributions of a group. Returns `None` if there is nothing to
    /// purge.
    fn purge(&mut self, group: usize, pace: &dyn Fn() -> Pace) -> Option<Current> {
        let group = &self.demand.groups[group];
        let is_last_resort = pace() == Pace::Everything;
        let (mut causes, mut items) = (Vec::new(), Vec::new());
        let mut served = Vec::new();
        for index in self.demand.changes(group) {
            let needless = self.demand.skips(group, index);
            if is_last_resort && needless.is_none() {
                causes.push(self.demand.cause(index));
                served.push(index);
                continue;
            }
            match (self.demand.paths(group, index), needless) {
                (Err(why), _) => ignore(&mut self.demand.ignored[index], Ignored::Unserved(why)),
                (Ok(_), Some(why)) => ignore(&mut self.demand.ignored[index], Ignored::Needless(why)),
                (Ok((cause, paths)), None) => {
                    causes.push(cause);
                    items.extend(paths.into_iter().map(|(item, _)| item));
                    served.push(index);
                }
            }
        }
        for index in &served {
            self.demand.ignored[*index] = None;
        }
        for (_, cause, requested) in self.demand.requests(group) {
            causes.push(cause);
            items.extend_from_slice(requested);
        }
        if causes.is_empty() {
            let needless = self.demand.narrowed_of(group).map_or(&[][..], |_| &group.distributions);
            let gone = needless.iter().map(|id| (id.clone(), self.demand.messages(group, id).to_vec()));
            let gone: Vec<_> = gone.collect();
            self.demand.gone.extend(gone);
            return None;
        }
        if is_last_resort {
            items = vec![Item::everything()];
        }
        if pace() == Pace::PutOff {
            items.clear();
        }
        let time = |cause: &Cause<'_>| match cause {
            Cause::Change(change) => change.time,
            Cause::Request(_) => None,
        };
        let oldest = causes.iter().filter_map(time).min();
        let newest = causes.iter().try_fold(0, |newest, cause| Some(time(cause)?.max(newest)));
        let change_count = served.len();
        let is_requested = causes.len() > change_count;
        let messages = sorted(causes.iter().map(Cause::message).collect());
        let labels = Effort::LABELS / self.demand.share(group).max(1);
        let budget = self.budget(group, !is_requested);
        let is_late = || pace() != Pace::Thorough;
        let effort = Effort { labels, is_late: &is_late };
        let (items, is_hasty) = match self.collateral(group, &items, &served, budget, effort) {
            Some(mut known) => covered(cover_measured(items, budget, effort, &mut known), effort),
            None => self.cover(items, budget, effort),
        };
        served.truncate(Purge::MOST_CHANGES);
        let digest = digest(&items, &causes);
        let purge = Purge {
            item_count: items.len(),
            wildcard_count: items.iter().filter(|one| one.item.kind() == Kind::Wildcard).count(),
            items,
            change_count,
            changes: served,
            oldest,
            newest,
            is_requested,
            is_hasty: is_hasty || is_last_resort,
        };
        Some(Current { purge: Arc::new(purge), digest, messages: messages.into(), given: 0 })
    }

    /// Returns the measure for covering the items of a group, which serves these changes, by what is
    /// known of the buckets. `None` if nothing is known, the items fit the budget, or it is late.
    fn collateral<'c>(
        &'c self,
        group: &'c Group<'a>,
        items: &[Item],
        served: &[usize],
        Budget { items: most, wildcards }: Budget,
        effort: Effort<'_>,
    ) -> Option<Collateral<'c>> {
        let is_wildcard = |item: &&Item| item.kind() == Kind::Wildcard;
        let fits = items.len() <= most && items.iter().filter(is_wildcard).count() <= wildcards;
        if self.neighbors.is_empty() || fits || group.is_crowd {
            return None;
        }
        let (changed, share) = (self.demand.keys(served), self.demand.share(group));
        Collateral::of(group.serving?, &self.neighbors, changed, share, effort.is_late)
    }

    /// Covers the items within the budget, or reuses the cover of an earlier group with the same
    /// items. Also returns whether time ran out.
    fn cover(&mut self, items: Vec<Item>, budget: Budget, effort: Effort<'_>) -> (Arc<[Covering]>, bool) {
        let digest = (self.demand.groups.len() > 1).then(|| {
            let mut hash = Fields::default();
            for number in [effort.labels, budget.items, budget.wildcards] {
                hash.add(&(number as u64).to_le_bytes());
            }
            for item in &items {
                hash.add(item.as_str().as_bytes());
            }
            hash.bytes()
        });
        if let Some(kept) = self.kept.iter().find(|kept| Some(kept.digest) == digest) {
            return (Arc::clone(&kept.items), kept.is_hasty);
        }
        let (items, is_hasty) = covered(cover_by(items, budget, effort, expected_collateral), effort);
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

/// Returns the items of a cover, and whether time ran out.
fn covered(cover: Cover, effort: Effort<'_>) -> (Arc<[Covering]>, bool) {
    let Cover { items, cost, at_least } = cover;
    (items.into(), cost > at_least && (effort.is_late)())
}

/// Sorts indices and drops duplicates.
pub(crate) fn sorted(mut indices: Vec<usize>) -> Vec<usize> {
    indices.sort_unstable();
    indices.dedup();
    indices
}
