//! A [`Batch`] and the sites it concerns become a [`Plan`]: a value that says what
//! is to be sent and who waits for it. Showing it is a dry run.

use std::{collections::BTreeMap, fmt::Write};

use sha2::{Digest, Sha256};

use crate::{
    cover::{Budget, Covering, cover},
    event::{Batch, Change, Request},
    path::{Item, TypedError},
    site::{DistributionId, Form, Ignored, NotADistribution, Sites, Watch},
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
    pub rejected: Vec<(usize, String)>,
    /// Indices of the messages that nothing is planned for yet, since it is not known
    /// which distributions they concern: sorted, each once.
    pub waiting: Vec<usize>,
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
    /// The reference for a part of it, or for other items that stand for such a part:
    /// the same for the same ones of the same batch, another for any others.
    #[must_use]
    pub fn reference_of<'a>(&'a self, part: impl ExactSizeIterator<Item = &'a Item>) -> String {
        reference(&self.distribution, part, [self.caller_reference.as_bytes()])
    }

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
pub fn plan(batch: &Batch, policy: &Policy, sites: &Sites) -> Plan {
    let demand = Demand::of(batch, policy, sites);
    let mut invalidations = Vec::with_capacity(demand.wanted.len());
    for (distribution, wanted) in demand.wanted {
        let (mut items, mut causes) = (Vec::new(), Vec::with_capacity(wanted.len()));
        for Wanted { cause, items: asked } in wanted {
            causes.push(cause);
            items.extend(asked.into_iter().map(|(item, _)| item));
        }
        let items = cover(items, policy.budget).items;
        let caller_reference = caller_reference(&distribution, &items, &causes);
        let mut messages: Vec<usize> = causes.iter().map(Cause::message).collect();
        messages.sort_unstable();
        messages.dedup();
        invalidations.push(Invalidation { distribution, items, caller_reference, messages });
    }
    Plan { invalidations, ignored: demand.ignored, rejected: demand.rejected, waiting: demand.waiting }
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
pub fn reasons<'a>(batch: &'a Batch, policy: &Policy, sites: &Sites, plan: &Plan) -> Vec<Reason<'a>> {
    let mut demand = Demand::of(batch, policy, sites);
    let mut reasons = Vec::new();
    for (index, invalidation) in plan.invalidations.iter().enumerate() {
        for Wanted { cause, items } in demand.wanted.remove(&invalidation.distribution).unwrap_or_default() {
            for (item, form) in items {
                let covers =
                    |covering: &Covering| covering.item.covers(&item) || covering.item == Item::everything();
                if let Some(covering) = invalidation.items.iter().position(covers) {
                    reasons.push(Reason { invalidation: index, covering, cause, item, form });
                }
            }
        }
    }
    reasons
}

/// What a batch asks of each distribution, and what leads to nothing.
#[derive(Default)]
struct Demand<'a> {
    /// In the order of the batch, changes first. Nobody wants nothing.
    wanted: BTreeMap<DistributionId, Vec<Wanted<'a>>>,
    ignored: Vec<(usize, Ignored)>,
    rejected: Vec<(usize, String)>,
    waiting: Vec<usize>,
}

/// What a cause asks of one distribution, each item with how it follows.
struct Wanted<'a> {
    cause: Cause<'a>,
    items: Vec<(Item, Form)>,
}

impl<'a> Demand<'a> {
    fn of(batch: &'a Batch, policy: &Policy, sites: &Sites) -> Self {
        let mut demand = Self::default();
        for (index, change) in batch.changes.iter().enumerate() {
            if let Err(why) = demand.change(change, policy, sites) {
                demand.ignored.push((index, why));
            }
        }
        for request in &batch.requests {
            if let Err(why) = demand.request(request, policy, sites) {
                demand.rejected.push((request.message, why));
            }
        }
        demand.waiting.sort_unstable();
        demand.waiting.dedup();
        demand
    }

    fn change(&mut self, change: &'a Change, policy: &Policy, sites: &Sites) -> Result<(), Ignored> {
        policy.watch.ignores(change).map_or(Ok(()), Err)?;
        if sites.unresolved || sites.doubtful.contains(&*change.bucket) {
            self.waiting.push(change.message);
            return Ok(());
        }
        let mut served = Err(Ignored::Unserved);
        for site in &sites.list {
            match site.paths(&change.bucket, change.key.as_bytes()) {
                Ok(items) => {
                    self.want(&site.distribution, Cause::Change(change), items);
                    served = Ok(());
                }
                Err(why) => served = served.map_err(|known| why.max(known)),
            }
        }
        served
    }

    fn request(&mut self, request: &'a Request, policy: &Policy, sites: &Sites) -> Result<(), String> {
        if !policy.manual {
            return Err("manual events are turned off (INVALIDATOR_MANUAL=false)".to_owned());
        }
        let order = Order::read(request)?;
        let mut want = |distribution: &DistributionId| {
            let items: Vec<_> = order.items.iter().map(|item| (item.clone(), Form::Typed)).collect();
            if !items.is_empty() {
                self.want(distribution, Cause::Request(request), items);
            }
        };
        match &order.distribution {
            Some(distribution) => want(distribution),
            None if sites.unresolved => self.waiting.push(request.message),
            None if sites.named => sites.list.iter().for_each(|site| want(&site.distribution)),
            None => {
                return Err("it names no distribution, and neither does INVALIDATOR_DISTRIBUTIONS".to_owned());
            }
        }
        Ok(())
    }

    fn want(&mut self, distribution: &DistributionId, cause: Cause<'a>, items: Vec<(Item, Form)>) {
        let wanted = Wanted { cause, items };
        match self.wanted.get_mut(distribution) {
            Some(others) => others.push(wanted),
            None => _ = self.wanted.insert(distribution.clone(), vec![wanted]),
        }
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
        for typed in &request.paths {
            match typed.parse() {
                Ok(item) => items.push(item),
                Err(why) => problems.push(TypedError::to_string(&why)),
            }
        }
        match problems.len().saturating_sub(MOST_PROBLEMS) {
            _ if problems.is_empty() => return Ok(Self { distribution, items }),
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

    let items = items.iter().map(|covering| &covering.item);
    reference(distribution, items, identities.into_iter().flatten())
}

/// A SHA-256 over a distribution, items, and what tells them from the same ones at
/// another time.
fn reference<'a>(
    distribution: &DistributionId,
    items: impl ExactSizeIterator<Item = &'a Item>,
    identities: impl IntoIterator<Item = &'a [u8]>,
) -> String {
    let mut hash = Sha256::new();
    // Every field goes in behind its length, so that no two lists of fields can
    // make the same bytes.
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(distribution.as_str().as_bytes());
    field(&(items.len() as u64).to_le_bytes());
    for item in items {
        field(item.as_str().as_bytes());
    }
    identities.into_iter().for_each(field);
    hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
