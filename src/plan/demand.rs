//! What the changes and requests of a batch ask of each distribution.

use std::collections::{BTreeMap, HashMap};

use crate::{
    event::{Batch, Change, Request},
    path::{Item, TypedError},
    plan::Policy,
    site::{DistributionId, Form, Ignored, NotADistribution, Serving, Sites},
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
        let mut asked: BTreeMap<&DistributionId, (Option<&Serving>, Vec<usize>)> =
            sites.list.iter().map(|site| (&site.distribution, (Some(site.serving()), Vec::new()))).collect();
        let orders: Vec<Order> = batch.requests.iter().map(|request| demand.order(request, policy)).collect();
        for (index, (request, order)) in batch.requests.iter().zip(&orders).enumerate() {
            match &order.distribution {
                _ if order.items.is_empty() => {}
                Some(distribution) => asked.entry(distribution).or_default().1.push(index),
                None if sites.unresolved => demand.waiting.push(request.message),
                None if sites.named => {
                    for site in &sites.list {
                        asked.entry(&site.distribution).or_default().1.push(index);
                    }
                }
                None => {
                    let why = "it names no distribution, and neither does INVALIDATOR_DISTRIBUTIONS";
                    demand.rejected.push((request.message, why.to_owned()));
                }
            }
        }
        let mut known: HashMap<(Option<&Serving>, Vec<usize>), usize> = HashMap::new();
        for (distribution, (serving, requests)) in asked {
            let next = demand.groups.len();
            let index = *known.entry((serving, requests.clone())).or_insert(next);
            if index == next {
                demand.groups.push(Group { distributions: Vec::new(), serving, requests });
            }
            demand.groups[index].distributions.push(distribution.clone());
        }
        demand.typed = orders.into_iter().map(|order| order.items).collect();
        demand
    }

    /// Finds the changes that count, and those that wait.
    fn watch(&mut self, policy: &Policy, sites: &Sites) {
        let any_bucket = sites.list.iter().all(|site| site.serving().buckets().is_none());
        for (index, change) in self.batch.changes.iter().enumerate() {
            let ignored = policy.watch.ignores(change);
            if ignored.is_none() {
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
                self.ignored.push((!is_unknown).then_some(Ignored::Unserved));
            } else {
                self.ignored.push(ignored);
            }
        }
    }

    fn order(&mut self, request: &Request, policy: &Policy) -> Order {
        let read = if policy.manual {
            Order::read(request)
        } else {
            Err("manual events are turned off (INVALIDATOR_MANUAL=false)".to_owned())
        };
        read.unwrap_or_else(|why| {
            self.rejected.push((request.message, why));
            Order { distribution: None, items: Vec::new() }
        })
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
    ) -> Result<(Cause<'a>, Vec<(Item, Form)>), Ignored> {
        let change = &self.batch.changes[change];
        let serving = group.serving.ok_or(Ignored::Unserved)?;
        Ok((Cause::Change(change), serving.paths(&change.bucket, change.key.as_bytes())?))
    }

    /// Returns the cause that a change is.
    pub(super) fn cause(&self, change: usize) -> Cause<'a> {
        Cause::Change(&self.batch.changes[change])
    }
}

/// How many mistakes of a request are told.
const MOST_PROBLEMS: usize = 20;

/// A request whose items and distribution are in order.
struct Order {
    distribution: Option<DistributionId>,
    items: Vec<Item>,
}

impl Order {
    /// All or nothing: a person who mistyped one path is told, rather than left to
    /// think that it was purged.
    fn read(request: &Request) -> Result<Self, String> {
        let mut problems: Vec<String> = Vec::new();
        let mut distribution = None;
        if let Some(id) = &request.distribution {
            match id.parse() {
                Ok(id) => distribution = Some(id),
                Err(why) => problems.push(NotADistribution::to_string(&why)),
            }
        }
        let mut items = Vec::with_capacity(request.paths.len());
        let mut more = 0;
        for typed in &request.paths {
            match typed.parse() {
                Ok(item) => items.push(item),
                Err(why) if problems.len() < MOST_PROBLEMS => problems.push(TypedError::to_string(&why)),
                Err(_) => more += 1,
            }
        }
        if problems.is_empty() {
            return Ok(Self { distribution, items });
        }
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        Err(problems.join("; "))
    }
}
