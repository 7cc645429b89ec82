//! What the changes and requests of a batch ask of each distribution.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    event::{Batch, Change, Effect, Request},
    path::{Item, TypedError},
    plan::{Ignored, Policy},
    site::{DistributionId, Form, Serving, Site, Sites, Unserved},
    text::joined,
};

/// What asks for an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// An object changed.
    Change(&'a Change),
    /// A person asked.
    Request(&'a Request),
}

impl Cause<'_> {
    /// Returns the index of the message that brought it.
    #[must_use]
    pub const fn message(&self) -> usize {
        match self {
            Self::Change(change) => change.message,
            Self::Request(request) => request.message,
        }
    }

    /// Returns what tells it from every other cause, in a fixed order of fields.
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

/// Distributions of which a batch asks the same.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// In the order of their ids.
    pub(super) distributions: Vec<DistributionId>,
    /// How they serve objects. `None` for distributions that only requests name.
    serving: Option<&'a Serving>,
    /// Indices of the requests, in order.
    requests: Vec<usize>,
}

/// What a batch asks of each distribution, and what leads to nothing.
#[derive(Debug)]
pub(super) struct Demand<'a> {
    pub(super) batch: &'a Batch,
    pub(super) groups: Vec<Group<'a>>,
    /// Indices of the changes that count, in order.
    watched: Vec<usize>,
    /// The same by bucket, in lower case. Empty if every group serves any bucket.
    by_bucket: BTreeMap<String, Vec<usize>>,
    /// The items of each request, in the order of the batch. Empty for a rejected one.
    typed: Vec<Vec<Item>>,
    /// For each change, why it leads to nothing, as far as that is known beforehand.
    pub(super) ignored: Vec<Option<Ignored>>,
    /// Requests that cannot be done: index of the message, and why.
    pub(super) rejected: Vec<(usize, String)>,
    /// Indices of the messages that concern distributions that could not be found out.
    pub(super) waiting: Vec<usize>,
}

impl<'a> Demand<'a> {
    pub(super) fn of(batch: &'a Batch, policy: &Policy, sites: &'a Sites) -> Self {
        let mut demand = Self {
            batch,
            groups: Vec::new(),
            watched: Vec::new(),
            by_bucket: BTreeMap::new(),
            typed: Vec::new(),
            ignored: Vec::with_capacity(batch.changes.len()),
            rejected: Vec::new(),
            waiting: Vec::new(),
        };
        demand.watch(policy, sites);
        let served = |site: &'a Arc<Site>| (site.distribution.clone(), (Some(site.serving()), Vec::new()));
        let mut asked: BTreeMap<DistributionId, (Option<&Serving>, Vec<usize>)> =
            sites.list.iter().map(served).collect();
        for (index, request) in batch.requests.iter().enumerate() {
            let (items, distributions) = match ordered(request, policy, sites) {
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
            demand.typed.push(items);
            for distribution in distributions {
                asked.entry(distribution).or_default().1.push(index);
            }
        }
        let mut known: HashMap<(Option<&Serving>, Vec<usize>), usize> = HashMap::new();
        for (distribution, (serving, requests)) in asked {
            let next = demand.groups.len();
            let index = *known.entry((serving, requests.clone())).or_insert(next);
            if index == next {
                demand.groups.push(Group { distributions: Vec::new(), serving, requests });
            }
            demand.groups[index].distributions.push(distribution);
        }
        demand
    }

    /// Finds the changes that count, and those that wait.
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
        group.requests.iter().map(|&index| (Cause::Request(&self.batch.requests[index]), &*self.typed[index]))
    }

    /// Returns the paths under which a group serves what changed.
    ///
    /// # Errors
    ///
    /// Why it does not serve it.
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

    /// Returns the cause that a change is.
    pub(super) fn cause(&self, change: usize) -> Cause<'a> {
        Cause::Change(&self.batch.changes[change])
    }
}

/// Reads the items of a request, and the distributions that it is for: `None` if they could not be
/// looked up.
///
/// # Errors
///
/// Everything that is wrong with it. A person who mistyped one path of several has to know, rather
/// than think that it was purged.
fn ordered(
    request: &Request,
    policy: &Policy,
    sites: &Sites,
) -> Result<(Vec<Item>, Option<Vec<DistributionId>>), String> {
    if !policy.manual {
        return Err("manual events are turned off (INVALIDATOR_MANUAL=false)".to_owned());
    }
    let mut problems = Vec::new();
    let distributions = distributions(request, sites).unwrap_or_else(|why| {
        problems.push(why);
        None
    });
    let mut items = Vec::with_capacity(request.paths.len());
    for typed in &request.paths {
        match typed.parse() {
            Ok(item) => items.push(item),
            Err(why) => problems.push(TypedError::to_string(&why)),
        }
    }
    if problems.is_empty() { Ok((items, distributions)) } else { Err(joined(problems, "; ")) }
}

/// Finds the distributions that a request is for.
fn distributions(request: &Request, sites: &Sites) -> Result<Option<Vec<DistributionId>>, String> {
    let Some(name) = &request.distribution else {
        if sites.unresolved {
            return Ok(None);
        }
        if sites.named {
            return Ok(Some(sites.list.iter().map(|site| site.distribution.clone()).collect()));
        }
        return sites.watched.clone().transpose();
    };
    match name.parse() {
        Ok(id) => Ok(Some(vec![id])),
        Err(_) => sites.called.get(name).cloned().transpose(),
    }
}
