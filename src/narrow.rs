//! Narrows what is left of a batch: writes messages that name only the distributions for which
//! something is left to do, and puts them into the queue in place of the messages that came from it.
//!
//! Without this, a message that some distributions have accepted and others have not would return as
//! it came, and in other company it would be purged and billed again by those that have accepted it.
//!
//! A message is replaced if a part of it is done, if a call for it may have had an effect although
//! it seems to have failed, or if CloudFront's pace left no time for it. A message with which nothing
//! happened returns to the queue as it is, so that SQS counts its receives.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    cloudfront::{Client, Error},
    event::{Batch, Content},
    plan::{Ignored, Plan, sorted},
    queue::{LONGEST_DELAY, MOST_BYTES, NotSent, Outgoing, Queue},
    site::DistributionId,
    submit::{Outcome, Sent},
};

/// Maximum number of messages to write for one batch. If more distributions are left, each message
/// names several.
const MOST_MESSAGES: usize = 200;

/// Maximum number of distributions that a message names.
const MOST_NAMES: usize = 200;

/// Maximum number of bytes of the messages with one content, unless each names [`MOST_NAMES`].
const MOST_BYTES_OF_CONTENT: usize = 16 * 1024 * 1024;

/// Number of bytes of a message to reserve for everything but its content and the ids of
/// distributions.
const OVERHEAD: usize = 256;

/// Maximum number of bytes of an id in a message.
const ID_BYTES: usize = 72;

/// The time before what failed is delivered again for the first time. Later, it returns to the queue.
const AFTER_FAILURE: Duration = Duration::from_mins(1);

/// Maximum time in milliseconds for which a narrowed message is written anew. After that it returns to
/// the queue, so that SQS counts its receives and moves it to the dead-letter queue in the end.
const LONGEST_PUT_OFF: u64 = 12 * 60 * 60 * 1_000;

/// An invalidation that CloudFront has not accepted, or only in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The distribution.
    pub distribution: DistributionId,
    /// The part of the batch: see [`Invalidation::part`](crate::plan::Invalidation::part).
    pub part: Option<usize>,
    /// Indices of the messages that need it: sorted, without duplicates.
    pub messages: Arc<[usize]>,
    /// Indices of the changes and of the requests that are left: sorted, without duplicates. `None` for
    /// all in these messages.
    pub only: Option<Causes>,
    /// The reason.
    pub why: Why,
}

/// Indices of changes and of requests in a batch.
pub type Causes = (Vec<usize>, Vec<usize>);

/// An item that CloudFront did not accept with the rest of its invalidation, and what needs it.
#[derive(Clone, Copy, Debug)]
pub struct Undone<'a> {
    /// Index of the invalidation in the plan.
    pub invalidation: usize,
    /// Indices of messages.
    pub messages: &'a [usize],
    /// Indices of changes.
    pub changes: &'a [usize],
    /// Indices of requests.
    pub requests: &'a [usize],
}

/// The reason why something is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The pace of calls left no time.
    PutOff,
    /// The call failed, but may have had an effect.
    Uncertain,
    /// The call failed.
    Failed,
}

impl Why {
    fn of(error: &Error) -> Self {
        match error {
            error if error.is_put_off() => Self::PutOff,
            error if error.is_uncertain() => Self::Uncertain,
            _ => Self::Failed,
        }
    }
}

/// Returns what is left of a plan. `undone` has the items that CloudFront did not accept of
/// invalidations of which it accepted others.
pub fn left<'a>(plan: &Plan, outcome: &Outcome, undone: impl IntoIterator<Item = Undone<'a>>) -> Vec<Left> {
    let mut parts: BTreeMap<usize, [Vec<usize>; 3]> = BTreeMap::new();
    for Undone { invalidation, messages, changes, requests } in undone {
        let known = parts.entry(invalidation).or_default();
        for (known, more) in known.iter_mut().zip([messages, changes, requests]) {
            known.extend(more);
        }
    }
    let mut left = Vec::new();
    for (index, (invalidation, sent)) in plan.invalidations.iter().zip(&outcome.0).enumerate() {
        let (messages, only, error) = match sent {
            Sent::Failed(error) => (Arc::clone(&invalidation.messages), None, error),
            Sent::Isolated(isolated) => match parts.get_mut(&index).map(|part| mem::take(part).map(sorted)) {
                Some([messages, changes, requests]) => {
                    // Only the same content makes sure that CloudFront recognizes what it may have.
                    let only = (!isolated.error.is_uncertain()).then_some((changes, requests));
                    (messages.into(), only, &isolated.error)
                }
                None => continue,
            },
            Sent::Accepted(_) | Sent::Folded(..) | Sent::AlreadyDone { .. } => continue,
        };
        let (distribution, part) = (invalidation.distribution.clone(), invalidation.part);
        left.push(Left { distribution, part, messages, only, why: Why::of(error) });
    }
    let unread = plan.unread.iter().map(|(distribution, messages)| Left {
        distribution: distribution.clone(),
        part: None,
        messages: messages.as_slice().into(),
        only: None,
        why: Why::Failed,
    });
    left.extend(unread);
    left
}

/// The result of narrowing the messages of a batch that were not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Indices of the messages in whose place others are in the queue: sorted, without duplicates.
    pub replaced: Vec<usize>,
    /// The number of messages that were written.
    pub written: usize,
    /// The time until the last distribution has its turn, at the current pace. Zero if the pace is not the
    /// reason.
    pub expected: Duration,
    /// The reason why messages could not be written. The messages that need them are not replaced.
    pub failure: Option<NotSent>,
}

/// The moment of narrowing.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The time in milliseconds since 1970.
    pub now: u64,
    /// The average time between two calls that CloudFront accepts.
    pub interval: Duration,
    /// Returns the time until the month's allowance permits to purge a distribution.
    pub pause: &'a dyn Fn(&DistributionId) -> Duration,
}

/// Writes messages for what is left of a batch, before `deadline`.
pub async fn narrow(
    batch: &Batch,
    plan: &Plan,
    left: &[Left],
    moment: Moment<'_>,
    to: (&Queue, &Client),
    deadline: Instant,
) -> Narrowing {
    if left.is_empty() {
        return Narrowing::default();
    }
    let planned = Planned::new(batch, plan, left, moment);
    // The index of the order of each message, in the order in which they are written.
    let mut written_for = Vec::new();
    let mut impossible = BTreeSet::new();
    let orders = planned.orders.iter().enumerate();
    let messages = orders.flat_map(|(index, order)| {
        let messages = order.messages(batch, planned.names);
        if messages.is_empty() {
            impossible.insert(index);
        }
        written_for.extend(std::iter::repeat_n(index, messages.len()));
        messages
    });
    let (queue, client) = to;
    let (written, failure) = queue.send(client, messages, deadline).await;
    // The orders of which a message was not written, or none was planned.
    let mut unwritten = impossible.clone();
    if failure.is_some() {
        let begun = written_for.last().map_or(0, |last| last + 1);
        unwritten.extend(begun..planned.orders.len());
        let is_missing = |number: &usize| written.binary_search(number).is_err();
        unwritten.extend((0..written_for.len()).filter(is_missing).map(|number| written_for[number]));
    }
    let mut kept = BTreeSet::new();
    kept.extend(unwritten.into_iter().flat_map(|order| planned.orders[order].replaces.iter().copied()));
    let mut replaced = planned.replaced;
    replaced.retain(|message| !kept.contains(message));
    let too_large = || (!impossible.is_empty()).then(NotSent::too_large);
    let failure = failure.or_else(too_large);
    Narrowing { replaced, written: written.len(), expected: planned.expected, failure }
}

/// The messages to write.
struct Planned {
    /// Indices of the messages to replace, sorted.
    replaced: Vec<usize>,
    orders: Vec<Order>,
    /// The number of distributions that each message names.
    names: usize,
    /// See [`Narrowing::expected`].
    expected: Duration,
}

/// Messages to write with the same content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Order {
    /// Indices of the messages that these replace.
    replaces: Vec<usize>,
    changes: Vec<usize>,
    requests: Vec<usize>,
    share: usize,
    budget: Option<[usize; 2]>,
    since: u64,
    pinned: bool,
    /// The distributions, each with the time before it is its turn.
    distributions: Vec<(DistributionId, Duration)>,
}

impl Order {
    /// Writes the messages, each for up to `names` distributions. Returns none if the content does not
    /// fit into messages.
    fn messages(&self, batch: &Batch, names: usize) -> Vec<Outgoing> {
        let bytes = |content: &Content| content.bytes() + OVERHEAD;
        let Some(contents) = self.contents(batch, MOST_BYTES - OVERHEAD - MOST_NAMES * ID_BYTES) else {
            return Vec::new();
        };
        let total: usize = contents.iter().map(bytes).sum();
        let fewest = (self.distributions.len() * total).div_ceil(MOST_BYTES_OF_CONTENT);
        let names = names.max(fewest).min(MOST_NAMES);
        let mut messages = Vec::new();
        for distributions in self.distributions.chunks(names) {
            let ids: Vec<&str> = distributions.iter().map(|(id, _)| id.as_str()).collect();
            let delay = distributions[0].1;
            messages.extend(contents.iter().map(|content| {
                let body = content.message(&ids, self.since, self.pinned);
                Outgoing { body, delay }
            }));
        }
        messages
    }

    /// Writes the content, in parts of at most `most_bytes`. Returns `None` if a single change or all
    /// requests together are larger.
    fn contents(&self, batch: &Batch, most_bytes: usize) -> Option<Vec<Content>> {
        let mut contents = Vec::new();
        let mut parts = vec![(&self.changes[..], &self.requests[..])];
        while let Some((changes, requests)) = parts.pop() {
            let content = Content::new(batch, changes, requests, self.share, self.budget);
            if content.bytes() <= most_bytes {
                contents.push(content);
            } else if !requests.is_empty() && !changes.is_empty() {
                parts.extend([(changes, &[][..]), (&[][..], requests)]);
            } else if changes.len() > 1 {
                let (first, second) = changes.split_at(changes.len() / 2);
                parts.extend([(second, &[][..]), (first, &[][..])]);
            } else if requests.len() > 1 {
                let (first, second) = requests.split_at(requests.len() / 2);
                parts.extend([(&[][..], second), (&[][..], first)]);
            } else {
                return None;
            }
        }
        Some(contents)
    }
}

/// The result for a message.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Whether a part of it is done.
    is_begun: bool,
    /// The first reason for which another part is not.
    why: Option<Why>,
}

impl Planned {
    fn new(batch: &Batch, plan: &Plan, left: &[Left], moment: Moment<'_>) -> Self {
        let fates = fates(batch, plan, left);
        let narrowed = narrowed(batch);
        let is_blocked = |message: usize| {
            batch.messages[message].id.is_none()
                || batch.messages[message].unreadable.is_some()
                || plan.waiting.binary_search(&message).is_ok()
                || plan.rejected.iter().any(|(rejected, _)| *rejected == message)
        };
        let is_replaced = |message: usize| {
            let fate = fates[message];
            let of = narrowed.get(&message);
            let is_recent = of.is_none_or(|of| moment.now.saturating_sub(of.since) < LONGEST_PUT_OFF);
            let is_due = match fate.why {
                Some(why) if fate.is_begun || why == Why::PutOff => is_recent,
                Some(Why::Uncertain) => of.is_none(),
                Some(_) | None => false,
            };
            is_due && !is_blocked(message)
        };
        let replaced: Vec<usize> =
            (0..batch.messages.len()).filter(|message| is_replaced(*message)).collect();
        let (orders, turns) = orders(batch, plan, left, &replaced, &narrowed, moment);
        let count: usize = orders.iter().map(|order| order.distributions.len()).sum();
        let (names, expected) = (count.div_ceil(MOST_MESSAGES).max(1), moment.interval * turns);
        Self { replaced, orders, names, expected }
    }
}

/// Returns what happened to each message.
fn fates(batch: &Batch, plan: &Plan, left: &[Left]) -> Vec<Fate> {
    let mut fates = vec![Fate::default(); batch.messages.len()];
    let mut still_left: BTreeMap<(&DistributionId, Option<usize>), &[usize]> = BTreeMap::new();
    for Left { distribution, part, messages, only, why } in left {
        still_left.insert((distribution, *part), messages);
        let all = part.map(|part| &batch.narrowed[part]).map(|part| part.changes.len() + part.requests.len());
        let some = only.as_ref().map(|(changes, requests)| changes.len() + requests.len());
        for &message in &**messages {
            let fate = &mut fates[message];
            fate.is_begun |= some.is_some() && some < all;
            fate.why = fate.why.map_or(Some(*why), |other| Some(other.min(*why)));
        }
    }
    for invalidation in &plan.invalidations {
        let left =
            still_left.get(&(&invalidation.distribution, invalidation.part)).copied().unwrap_or_default();
        for message in &*invalidation.messages {
            fates[*message].is_begun |= left.binary_search(message).is_err();
        }
    }
    fates
}

/// A narrowed message of the batch, and the place of its content.
#[derive(Clone, Copy, Debug)]
struct Said {
    part: usize,
    since: u64,
    pinned: bool,
}

/// Returns the narrowed messages of a batch by index.
fn narrowed(batch: &Batch) -> BTreeMap<usize, Said> {
    let mut said = BTreeMap::new();
    for (part, narrowed) in batch.narrowed.iter().enumerate() {
        let messages = narrowed.messages.iter();
        said.extend(messages.map(|one| (one.message, Said { part, since: one.since, pinned: one.pinned })));
    }
    said
}

/// Plans what to write in place of these messages. Also returns the number of distributions that wait for
/// their turn.
///
/// Unites, for each distribution, the changes that were put off and certainly have no invalidation yet. Otherwise,
/// distributions that get changes faster than CloudFront accepts invalidations would have more and
/// more messages. Everything else keeps its content: a part of it may exist already, and CloudFront
/// recognizes only the same paths for the same changes.
fn orders(
    batch: &Batch,
    plan: &Plan,
    left: &[Left],
    replaced: &[usize],
    narrowed: &BTreeMap<usize, Said>,
    moment: Moment<'_>,
) -> (Vec<Order>, u32) {
    // The rest of each distribution. The second part of the key keeps parts separate that must not be united.
    type Alone = Option<(Option<usize>, Why)>;
    // The properties that messages with the same content share: the messages that they replace, the rest of those,
    // and whether they are pinned and planned anew.
    type Same<'a> = (Vec<usize>, Option<&'a Causes>, bool, bool);
    let mut wanted: BTreeMap<(&DistributionId, Alone), Vec<&Left>> = BTreeMap::new();
    for one in left {
        let Left { distribution, part, messages, only, why } = one;
        let said = messages.iter().find_map(|message| narrowed.get(message));
        let is_pinned = said.is_some_and(|said| said.pinned);
        let alone = (*why != Why::PutOff || is_pinned || only.is_some()).then_some((*part, *why));
        wanted.entry((distribution, alone)).or_default().push(one);
    }
    let mut orders: Vec<Order> = Vec::new();
    let mut known: BTreeMap<Same<'_>, usize> = BTreeMap::new();
    let mut turns = 0;
    for ((distribution, alone), left) in wanted {
        let messages = left.iter().flat_map(|left| &*left.messages).copied();
        let messages = sorted(messages.filter(|message| replaced.binary_search(message).is_ok()).collect());
        if messages.is_empty() {
            continue;
        }
        let said = || messages.iter().filter_map(|message| narrowed.get(message));
        let pinned = said().any(|said| said.pinned) || matches!(alone, Some((_, Why::Uncertain)));
        let delay = match alone {
            None | Some((_, Why::PutOff)) => {
                let pause = (moment.pause)(distribution);
                if pause.is_zero() {
                    turns += 1;
                    moment.interval * turns
                } else {
                    pause
                }
            }
            Some(_) => AFTER_FAILURE,
        };
        let turn = (distribution.clone(), whole_seconds(delay));
        let since = said().map(|said| said.since).min().unwrap_or(moment.now);
        let only = if let [Left { only: Some(only), .. }] = &left[..] { Some(only) } else { None };
        // Changes that were certainly not sent are planned anew, with the budget of that time.
        let is_anew = alone.is_none();
        let index = *known.entry((messages.clone(), only, pinned, is_anew)).or_insert(orders.len());
        if index == orders.len() {
            let mut order = content_of(batch, plan, &messages, narrowed);
            if let Some((changes, requests)) = only {
                (order.changes, order.requests) = (changes.clone(), requests.clone());
            }
            let budget = order.budget.filter(|_| !is_anew);
            orders.push(Order { replaces: messages, since, pinned, budget, ..order });
        }
        orders[index].distributions.push(turn);
    }
    (orders, turns)
}

/// Rounds a delay up to whole seconds that SQS accepts.
fn whole_seconds(delay: Duration) -> Duration {
    Duration::from_secs(delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).min(LONGEST_DELAY)
}

/// Returns an order with the changes and requests in these messages that count, and the share and the budget of
/// planning.
fn content_of(batch: &Batch, plan: &Plan, messages: &[usize], narrowed: &BTreeMap<usize, Said>) -> Order {
    let mut parts: BTreeSet<usize> = BTreeSet::new();
    parts.extend(messages.iter().filter_map(|message| Some(narrowed.get(message)?.part)));
    let is_own = |message: usize| messages.binary_search(&message).is_ok();
    let is_ignored = |index: &usize| {
        let known = plan.ignored.binary_search_by_key(index, |(index, _)| *index);
        known.is_ok_and(|at| matches!(plan.ignored[at].1, Ignored::Unwatched(_)))
    };
    let own_changes = batch.own_changes().filter(|index| is_own(batch.changes[*index].message));
    let mut changes: Vec<usize> = own_changes.filter(|index| !is_ignored(index)).collect();
    let own_requests = batch.own_requests().filter(|index| is_own(batch.requests[*index].message));
    let mut requests: Vec<usize> = own_requests.collect();
    let has_own = !changes.is_empty() || !requests.is_empty();
    let mut share = if has_own { plan.share } else { 1 };
    let mut budget = None;
    for part in parts.into_iter().map(|part| &batch.narrowed[part]) {
        changes.extend(part.changes.clone());
        requests.extend(part.requests.clone());
        share = share.max(part.share);
        budget = budget.or(part.budget);
    }
    let budget = budget.or_else(|| plan.budget.map(|budget| [budget.items, budget.wildcards]));
    Order { changes, requests, share, budget, ..Order::default() }
}
