//! A [`Batch`] and the sites it concerns become a [`Plan`]: a value that says what
//! is to be sent and who waits for it. Showing it is a dry run.

use std::{collections::BTreeSet, fmt::Write};

use sha2::{Digest, Sha256};

use crate::{
    cover::{Budget, Covering, cover},
    event::{Batch, Change, Request},
    path::{Item, TypedError},
    site::{DistributionId, Form, Ignored, NotADistribution, Site, Watch},
};

/// What this deployment does with changes: everything that a plan depends on
/// besides the batch.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which changes are looked at.
    pub watch: Watch,
    /// The distributions, each once.
    pub sites: Vec<Site>,
    /// How much one invalidation may hold.
    pub budget: Budget,
}

/// What is to be sent for a batch, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// At most one for a distribution, in the order of their ids.
    pub invalidations: Vec<Invalidation>,
    /// Changes that need none: index in the batch, and why.
    pub ignored: Vec<(usize, Ignored)>,
    /// Requests that cannot be done: index of the message, and why.
    pub rejected: Vec<(usize, String)>,
}

/// One call of CreateInvalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// The distribution.
    pub distribution: DistributionId,
    /// What to purge, in the order of the wire.
    pub items: Vec<Covering>,
    /// The same for the same batch, another for any other: see [`plan`].
    pub caller_reference: String,
    /// Indices of the messages that are done only when this is: sorted, each once.
    pub messages: Vec<usize>,
}

impl Invalidation {
    /// The items as CloudFront takes them.
    #[must_use]
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &str> {
        self.items.iter().map(|covering| covering.item.as_str())
    }
}

impl Plan {
    /// How many paths CloudFront bills for it: every item counts as one.
    #[must_use]
    pub fn billed_paths(&self) -> usize {
        self.invalidations.iter().map(|invalidation| invalidation.items.len()).sum()
    }
}

/// What asks for an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// An object changed.
    Change(&'a Change),
    /// A person asked.
    Request(&'a Request),
}

impl Cause<'_> {
    /// Index of the message that brought it.
    #[must_use]
    pub const fn message(&self) -> usize {
        match self {
            Self::Change(change) => change.message,
            Self::Request(request) => request.message,
        }
    }

    /// What tells it from every other cause, in a fixed order of fields.
    fn identity(&self) -> [&[u8]; 5] {
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
pub fn plan(batch: &Batch, policy: &Policy) -> Plan {
    let demand = Demand::of(batch, policy);
    let mut invalidations = Vec::new();
    for distribution in demand.distributions(policy) {
        let (mut items, mut causes) = (Vec::new(), Vec::new());
        for wanted in demand.of_distribution(distribution, policy) {
            causes.push(wanted.cause);
            items.extend(wanted.items.into_iter().map(|(item, _)| item));
        }
        if !items.is_empty() {
            let items = cover(items, policy.budget).items;
            let caller_reference = caller_reference(distribution, &items, &causes);
            let mut messages: Vec<usize> = causes.iter().map(Cause::message).collect();
            messages.sort_unstable();
            messages.dedup();
            let distribution = distribution.clone();
            invalidations.push(Invalidation { distribution, items, caller_reference, messages });
        }
    }
    Plan { invalidations, ignored: demand.ignored, rejected: demand.rejected }
}

/// Why one item is in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Index of the invalidation in the plan.
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

/// Every reason for every item of `plan`, which was made from these.
#[must_use]
pub fn reasons<'a>(batch: &'a Batch, policy: &Policy, plan: &Plan) -> Vec<Reason<'a>> {
    let demand = Demand::of(batch, policy);
    let mut reasons = Vec::new();
    for (index, invalidation) in plan.invalidations.iter().enumerate() {
        for wanted in demand.of_distribution(&invalidation.distribution, policy) {
            for (item, form) in wanted.items {
                let covers =
                    |covering: &Covering| covering.item.covers(&item) || covering.item == Item::everything();
                if let Some(covering) = invalidation.items.iter().position(covers) {
                    let cause = wanted.cause;
                    reasons.push(Reason { invalidation: index, covering, cause, item, form });
                }
            }
        }
    }
    reasons
}

/// A batch without what leads to nothing, before it is spread over distributions.
struct Demand<'a> {
    changes: Vec<&'a Change>,
    orders: Vec<Order<'a>>,
    ignored: Vec<(usize, Ignored)>,
    rejected: Vec<(usize, String)>,
}

/// What a cause asks of one distribution, each item with how it follows.
struct Wanted<'a> {
    cause: Cause<'a>,
    items: Vec<(Item, Form)>,
}

impl<'a> Demand<'a> {
    fn of(batch: &'a Batch, policy: &Policy) -> Self {
        let mut demand = Self {
            changes: Vec::with_capacity(batch.changes.len()),
            orders: Vec::with_capacity(batch.requests.len()),
            ignored: Vec::new(),
            rejected: Vec::new(),
        };
        for (index, change) in batch.changes.iter().enumerate() {
            match policy.ignores(change) {
                Some(why) => demand.ignored.push((index, why)),
                None => demand.changes.push(change),
            }
        }
        for request in &batch.requests {
            match Order::read(request) {
                Ok(order) => demand.orders.push(order),
                Err(why) => demand.rejected.push((request.message, why)),
            }
        }
        demand
    }

    /// Every distribution that may get an invalidation, sorted.
    fn distributions<'s>(&'s self, policy: &'s Policy) -> BTreeSet<&'s DistributionId> {
        let configured = policy.sites.iter().map(|site| &site.distribution);
        configured.chain(self.orders.iter().filter_map(|order| order.distribution.as_ref())).collect()
    }

    fn of_distribution<'s>(
        &'s self,
        distribution: &'s DistributionId,
        policy: &'s Policy,
    ) -> impl Iterator<Item = Wanted<'a>> + 's {
        let site = policy.sites.iter().find(|site| site.distribution == *distribution);
        let changes = self.changes.iter().filter_map(move |change| {
            let items = site?.paths(change.key.as_bytes())?;
            Some(Wanted { cause: Cause::Change(change), items })
        });
        let orders = self.orders.iter().filter_map(move |order| {
            let meant = match &order.distribution {
                Some(named) => named == distribution,
                None => site.is_some(),
            };
            let items = order.items.iter().map(|item| (item.clone(), Form::Typed)).collect();
            meant.then_some(Wanted { cause: Cause::Request(order.request), items })
        });
        changes.chain(orders)
    }
}

impl Policy {
    /// Why this change leads to no invalidation, if it does not.
    fn ignores(&self, change: &Change) -> Option<Ignored> {
        self.watch.ignores(change).or_else(|| {
            let key = change.key.as_bytes();
            let served = self.sites.iter().any(|site| site.origin_path.serves(key));
            (!served).then_some(Ignored::OriginPath)
        })
    }
}

/// How many mistakes of a request are told.
const MOST_PROBLEMS: usize = 20;

/// A request whose items and distribution are in order.
struct Order<'a> {
    request: &'a Request,
    distribution: Option<DistributionId>,
    items: Vec<Item>,
}

impl<'a> Order<'a> {
    /// All or nothing: a person who mistyped one path is told, rather than left to
    /// think that it was purged.
    fn read(request: &'a Request) -> Result<Self, String> {
        let mut problems: Vec<String> = Vec::new();
        let mut distribution = None;
        if let Some(id) = &request.distribution {
            match id.parse() {
                Ok(id) => distribution = Some(id),
                Err(why) => problems.push(NotADistribution::to_string(&why)),
            }
        }
        let mut items = Vec::with_capacity(request.paths.len());
        for typed in &request.paths {
            match typed.parse() {
                Ok(item) => items.push(item),
                Err(why) => problems.push(TypedError::to_string(&why)),
            }
        }
        match problems.len().saturating_sub(MOST_PROBLEMS) {
            _ if problems.is_empty() => return Ok(Self { request, distribution, items }),
            0 => {}
            more => {
                problems.truncate(MOST_PROBLEMS);
                problems.push(format!("and {more} more"));
            }
        }
        Err(problems.join("; "))
    }
}

fn caller_reference(distribution: &DistributionId, items: &[Covering], causes: &[Cause<'_>]) -> String {
    let mut identities: Vec<_> = causes.iter().map(Cause::identity).collect();
    identities.sort_unstable();
    identities.dedup();

    let mut hash = Sha256::new();
    // Every field goes in behind its length, so that no two lists of fields can
    // make the same bytes.
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(distribution.as_str().as_bytes());
    field(&(items.len() as u64).to_le_bytes());
    for covering in items {
        field(covering.item.as_str().as_bytes());
    }
    identities.into_iter().flatten().for_each(field);
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
