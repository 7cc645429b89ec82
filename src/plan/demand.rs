//! Determines what the changes and requests of a batch require of each distribution.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use thiserror::Error;

use crate::{
    event::{Batch, Change, Effect, Request},
    path::{Item, ParseItemError},
    plan::{Ignored, Policy},
    site::{DistributionId, Form, NoDistribution, Serving, Site, Sites, Unserved},
    text::joined,
};

/// A reason for an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// A change of an object or of a whole bucket.
    Change(&'a Change),
    /// A manual request.
    Request(&'a Request),
}

impl Cause<'_> {
    /// Returns the index of the message that contained the cause.
    #[must_use]
    pub const fn message(&self) -> usize {
        match self {
            Self::Change(change) => change.message,
            Self::Request(request) => request.message,
        }
    }

    /// Returns the fields that distinguish the cause from every other, in a fixed order.
    pub(super) fn identity(&self) -> [&[u8]; 5] {
        match self {
            Self::Change(change) => [
                b"change",
                change.bucket.as_bytes(),
                change.key.as_bytes(),
                change.event.as_bytes(),
                change.identity.as_bytes(),
            ],
            Self::Request(request) => [b"request", b"", b"", b"", request.identity.as_bytes()],
        }
    }
}

/// Distributions that serve objects in the same way and that the same requests name, so that they
/// need the same purge.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// The distributions, in the order of their ids.
    pub(super) distributions: Vec<DistributionId>,
    /// The rules by which they serve objects. `None` for distributions that only requests name.
    serving: Option<&'a Serving>,
    /// Indices of the requests that name them, in order.
    requests: Vec<usize>,
}

/// The changes and requests of a batch, by the distributions that they concern, and those that lead
/// to nothing.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    pub(super) batch: &'a Batch,
    pub(super) groups: Vec<Group<'a>>,
    /// Indices of the changes that count, in order.
    watched: Vec<usize>,
    /// The same indices by bucket, in lower case. Empty if every group serves any bucket.
    by_bucket: BTreeMap<String, Vec<usize>>,
    /// The items of each request, in the order of the batch. Empty for a rejected request.
    requested: Vec<Vec<Item>>,
    /// The reason why each change leads to nothing, as far as it is known before planning.
    pub(super) ignored: Vec<Option<Ignored>>,
    /// Requests that cannot be carried out: the index of the message, and the reason.
    pub(super) rejected: Vec<(usize, Rejected)>,
    /// Indices of the messages that concern distributions that could not be determined.
    pub(super) waiting: Vec<usize>,
}

impl<'a> Demand<'a> {
    pub(super) fn of(batch: &'a Batch, policy: &Policy, sites: &'a Sites) -> Self {
        let mut demand = Self {
            batch,
            groups: Vec::new(),
            watched: Vec::new(),
            by_bucket: BTreeMap::new(),
            requested: Vec::new(),
            ignored: Vec::with_capacity(batch.changes.len()),
            rejected: Vec::new(),
            waiting: Vec::new(),
        };
        demand.watch(policy, sites);
        let served = |site: &'a Arc<Site>| (site.distribution.clone(), (Some(site.serving()), Vec::new()));
        let mut by_distribution: BTreeMap<DistributionId, (Option<&Serving>, Vec<usize>)> = BTreeMap::new();
        by_distribution.extend(sites.list.iter().map(served));
        for (index, request) in batch.requests.iter().enumerate() {
            let (items, distributions) = match resolve(request, policy, sites) {
                Ok((items, Some(distributions))) => (items, distributions),
                Ok((items, None)) => {
                    demand.waiting.push(request.message);
                    (items, Vec::new())
                }
                Err(why) => {
                    demand.rejected.push((request.message, why));
                    (Vec::new(), Vec::new())
                }
            };
            demand.requested.push(items);
            for distribution in distributions {
                by_distribution.entry(distribution).or_default().1.push(index);
            }
        }
        let mut known: HashMap<(Option<&Serving>, Vec<usize>), usize> = HashMap::new();
        for (distribution, (serving, requests)) in by_distribution {
            let next = demand.groups.len();
            let index = *known.entry((serving, requests.clone())).or_insert(next);
            if index == next {
                demand.groups.push(Group { distributions: Vec::new(), serving, requests });
            }
            demand.groups[index].distributions.push(distribution);
        }
        demand
    }

    /// Finds the changes that count, and those whose distributions could not be determined.
    fn watch(&mut self, policy: &Policy, sites: &Sites) {
        let any_bucket = sites.list.iter().all(|site| site.serving().buckets().is_none());
        for (index, change) in self.batch.changes.iter().enumerate() {
            let unwatched = policy.watch.ignores(change);
            if unwatched.is_none() {
                let bucket = change.bucket.to_ascii_lowercase();
                let is_unknown = sites.unresolved || sites.unknown.contains(&*bucket);
                if is_unknown {
                    self.waiting.push(change.message);
                }
                if !sites.unresolved {
                    self.watched.push(index);
                    if !any_bucket {
                        self.by_bucket.entry(bucket).or_default().push(index);
                    }
                }
                self.ignored.push((!is_unknown).then_some(Ignored::Unserved(Unserved::Bucket)));
            } else {
                self.ignored.push(unwatched.map(Ignored::Unwatched));
            }
        }
    }

    /// Returns the indices of the changes in the buckets that a group serves, in order.
    pub(super) fn changes(&self, group: &Group<'_>) -> Vec<usize> {
        let Some(serving) = group.serving else { return Vec::new() };
        let Some(buckets) = serving.buckets() else { return self.watched.clone() };
        let mut changes: Vec<usize> =
            buckets.iter().filter_map(|bucket| self.by_bucket.get(*bucket)).flatten().copied().collect();
        changes.sort_unstable();
        changes
    }

    /// Returns the requests that concern a group, each with its items.
    pub(super) fn requests(&self, group: &Group<'_>) -> impl Iterator<Item = (Cause<'a>, &[Item])> {
        group
            .requests
            .iter()
            .map(|&index| (Cause::Request(&self.batch.requests[index]), &*self.requested[index]))
    }

    /// Returns the paths under which a group serves the object of a change.
    ///
    /// # Errors
    ///
    /// Returns the reason why the group does not serve the object.
    pub(super) fn paths(
        &self,
        group: &Group<'_>,
        change: usize,
    ) -> Result<(Cause<'a>, Vec<(Item, Form)>), Unserved> {
        let change = &self.batch.changes[change];
        let serving = group.serving.ok_or(Unserved::Bucket)?;
        if change.effect == Effect::WholeBucket {
            let all = vec![(Item::everything(), Form::WholeBucket)];
            return serving
                .serves(&change.bucket)
                .then_some((Cause::Change(change), all))
                .ok_or(Unserved::Bucket);
        }
        Ok((Cause::Change(change), serving.paths(&change.bucket, change.key.as_bytes())?))
    }

    /// Returns the change with this index as a cause.
    pub(super) fn cause(&self, change: usize) -> Cause<'a> {
        Cause::Change(&self.batch.changes[change])
    }
}

/// The reason why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// The configuration turns manual events off.
    #[error("manual events are turned off (INVALIDATOR_MANUAL=false)")]
    TurnedOff,
    /// The distribution or some of the paths are invalid. The error reports every problem, and
    /// nothing is purged: a person who mistyped one path of several must not think that it was
    /// purged.
    #[error("{}", problems(distribution.as_ref(), paths))]
    Invalid {
        /// The problem with the distribution.
        distribution: Option<NoDistribution>,
        /// The problems with the paths.
        paths: Vec<ParseItemError>,
    },
}

fn problems(distribution: Option<&NoDistribution>, paths: &[ParseItemError]) -> String {
    let distribution = distribution.map(ToString::to_string);
    joined(distribution.into_iter().chain(paths.iter().map(ToString::to_string)), "; ")
}

/// Parses the items of a request and finds its distributions. Returns `None` instead of the
/// distributions if they could not be looked up.
fn resolve(
    request: &Request,
    policy: &Policy,
    sites: &Sites,
) -> Result<(Vec<Item>, Option<Vec<DistributionId>>), Rejected> {
    if !policy.manual {
        return Err(Rejected::TurnedOff);
    }
    let (mut items, mut wrong) = (Vec::with_capacity(request.paths.len()), Vec::new());
    for path in &request.paths {
        match path.parse() {
            Ok(item) => items.push(item),
            Err(why) => wrong.push(why),
        }
    }
    match distributions(request, sites) {
        Ok(distributions) if wrong.is_empty() => Ok((items, distributions)),
        found => Err(Rejected::Invalid { distribution: found.err(), paths: wrong }),
    }
}

/// Finds the distributions of a request. Returns `None` if they could not be looked up.
fn distributions(request: &Request, sites: &Sites) -> Result<Option<Vec<DistributionId>>, NoDistribution> {
    let Some(name) = &request.distribution else {
        if sites.unresolved {
            return Ok(None);
        }
        if sites.named {
            return Ok(Some(sites.list.iter().map(|site| site.distribution.clone()).collect()));
        }
        return sites.of_watched.clone().transpose();
    };
    match name.parse() {
        Ok(id) => Ok(Some(vec![id])),
        Err(_) => sites.by_name.get(name).cloned().transpose(),
    }
}
