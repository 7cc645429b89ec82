//! A plan becomes an [`Outcome`]: every invalidation is sent, several at the same
//! time, and each says for itself how it went.
//!
//! CloudFront refuses a request as a whole for one path that it does not like, and does
//! not say which. Such an invalidation is taken apart: what is fine is sent without what
//! is not, and what is refused alone is sent as a wildcard that ends before what may be
//! the reason. Where that would take too many calls, the rest is sent as such wildcards
//! without looking further: too much is purged then, and nothing is lost.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;

use crate::{
    cloudfront::{Client, Creation, Error, Invalidation, Patience},
    cover::{Budget, cover},
    path::{Item, Kind},
    plan,
};

/// How many calls it may take to find the paths that CloudFront refuses: as many as for
/// three or four among the 150 of an invalidation. And as many more to send what stands
/// for them.
const MOST_CALLS: usize = 48;

/// As how many wildcards what was refused is sent: more are folded, since CloudFront does
/// not take many at once.
const MOST_WIDENED: usize = 8;

/// Maximum number of invalidations that are under way at a time. CloudFront takes about one call
/// every two seconds, and some more at once.
const MOST_AT_ONCE: usize = 8;

/// Maximum number of bytes of paths that are under way at a time, unless one invalidation has
/// more. Each is in memory several times: in the plan, in the request, in its body.
const MOST_BYTES_AT_ONCE: usize = 1024 * 1024;

/// How each invalidation of a plan went, in the order of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome(pub Vec<Sent>);

/// How one invalidation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// CloudFront took it, now or when the same call was made before.
    Accepted(Created),
    /// Too much was in progress for it, or it was too large. CloudFront took fewer, wider items.
    Folded(Part, Error),
    /// CloudFront says that its reference was used before: it exists, but its id
    /// was not told.
    AlreadyDone {
        /// Whether this invocation created it, as far as one can tell.
        is_new: bool,
    },
    /// It may not exist. The messages that need it are not done.
    Failed(Error),
    /// CloudFront refused one of its paths, and took it in parts.
    Apart(Apart),
}

/// An invalidation that CloudFront created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// CloudFront's id for it.
    pub id: String,
    /// `InProgress` or `Completed`.
    pub status: String,
    /// Whether it did not exist before, so that it is billed.
    pub is_new: bool,
}

/// A part of an invalidation that CloudFront took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The invalidation that holds it.
    pub created: Created,
    /// What it purges.
    pub items: Vec<Item>,
}

impl Part {
    /// Returns how many of its items are wildcards.
    #[must_use]
    pub fn wildcards(&self) -> usize {
        self.items.iter().filter(|item| item.kind() == Kind::Wildcard).count()
    }
}

/// An invalidation that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// What CloudFront took.
    pub accepted: Vec<Part>,
    /// The items that CloudFront refuses.
    pub refused: Vec<Refused>,
    /// The items of which it is not known what CloudFront thinks of them, by their index.
    pub unsent: Vec<usize>,
    /// What was in the way last.
    pub error: Error,
}

/// An item that CloudFront refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its index in the plan.
    pub item: usize,
    /// Whether it was refused by itself, and not only together with others.
    pub alone: bool,
    /// The wildcard that CloudFront took instead, if it took one.
    pub instead: Option<Item>,
}

impl Apart {
    /// The items that may not be purged, by their index in the plan.
    pub fn undone(&self) -> impl Iterator<Item = usize> {
        let refused = self.refused.iter().filter(|refused| refused.instead.is_none());
        refused.map(|refused| refused.item).chain(self.unsent.iter().copied())
    }
}

/// Sends the invalidations that `next` gives, each as soon as it is given, and hands each to
/// `done` with how it went. What has no answer by `deadline` failed.
///
/// Only some are under way at a time, and `next` is not asked for another one before there is
/// room.
pub async fn submit(
    client: &Client,
    mut next: impl FnMut() -> Option<plan::Invalidation>,
    deadline: Instant,
    mut done: impl FnMut(plan::Invalidation, Sent),
) {
    let mut sending = FuturesUnordered::new();
    let mut bytes_at_once = 0;
    let mut waiting = None;
    let mut planning = Duration::ZERO;
    loop {
        if waiting.is_none() && sending.len() < MOST_AT_ONCE {
            let begun = Instant::now();
            waiting = next().map(|invalidation| (invalidation.purge.bytes(), invalidation));
            planning = begun.elapsed();
        }
        let has_room = |bytes: usize| sending.is_empty() || bytes_at_once + bytes <= MOST_BYTES_AT_ONCE;
        let ended = match waiting.take_if(|(bytes, _)| has_room(*bytes)) {
            Some((bytes, invalidation)) => {
                bytes_at_once += bytes;
                sending.push(async move {
                    let sent = send(client, &invalidation, deadline).await;
                    (bytes, invalidation, sent)
                });
                // Nothing is sent while the next one is planned. Where that takes long, let this
                // one get on its way before.
                timeout(planning, sending.next()).await.ok().flatten()
            }
            None => match sending.next().await {
                Some(ended) => Some(ended),
                None => return,
            },
        };
        if let Some((bytes, invalidation, sent)) = ended {
            bytes_at_once -= bytes;
            done(invalidation, sent);
        }
    }
}

/// Budgets of items and wildcards that are tried one after the other where an invalidation does not
/// fit into what CloudFront still takes. The last one is the least that there is.
const FOLDS: [Budget; 3] = [
    Budget { items: 15, wildcards: 7 },
    Budget { items: 4, wildcards: 3 },
    Budget { items: 1, wildcards: 1 },
];

async fn send(client: &Client, invalidation: &plan::Invalidation, deadline: Instant) -> Sent {
    let items: Vec<&Item> = invalidation.purge.items.iter().map(|one| &one.item).collect();
    let reference = &invalidation.caller_reference;
    let error = match create(client, invalidation, &items, reference, deadline).await {
        Ok(Taken { created, instead: None }) => return Sent::Accepted(created),
        Ok(Taken { created, instead: Some((items, why)) }) => {
            return Sent::Folded(Part { created, items }, why);
        }
        Err(error) => error,
    };
    if error.is_already_done() {
        Sent::AlreadyDone { is_new: error.is_just_done() }
    } else if error.is_path_rejected() {
        Sent::Apart(TakingApart::new(client, invalidation, deadline, error).run().await)
    } else {
        Sent::Failed(error)
    }
}

/// What CloudFront took.
struct Taken {
    created: Created,
    /// The fewer, wider items that it took instead of those that were sent, and why.
    instead: Option<(Vec<Item>, Error)>,
}

/// Creates an invalidation of some items for a distribution.
///
/// If too much is in progress, it waits for up to half of the time that is left. If that is not
/// enough, or the request is too large, it folds the items more and more: a quota that the request
/// can never meet would keep its messages coming back for ever.
async fn create(
    client: &Client,
    invalidation: &plan::Invalidation,
    items: &[&Item],
    reference: &str,
    deadline: Instant,
) -> Result<Taken, Error> {
    let distribution = invalidation.distribution.as_str();
    let left = || deadline.saturating_duration_since(Instant::now());
    let paths = items.iter().map(|item| item.as_str());
    let patience = Patience { limit: left(), while_full: left() / 2 };
    let why = match client.create_invalidation(distribution, paths, reference, patience).await {
        Ok(creation) => return Ok(Taken { created: Created::of(creation), instead: None }),
        Err(error) if error.is_full() || error.is_too_large() => error,
        Err(error) => return Err(error),
    };
    let mut known: Vec<Item> = items.iter().copied().cloned().collect();
    let mut last = why.clone();
    for budget in FOLDS {
        let folded: Vec<Item> =
            cover(known.iter().cloned(), budget).items.into_iter().map(|one| one.item).collect();
        if folded == known {
            continue;
        }
        let reference = invalidation.reference_of(&folded);
        let paths = folded.iter().map(Item::as_str);
        let patience = Patience { limit: left(), while_full: Duration::ZERO };
        match client.create_invalidation(distribution, paths, &reference, patience).await {
            Ok(creation) => {
                return Ok(Taken { created: Created::of(creation), instead: Some((folded, why)) });
            }
            Err(error) if error.is_full() || error.is_too_large() => last = error,
            Err(error) => return Err(error),
        }
        known = folded;
    }
    Err(last)
}

impl Created {
    fn of(creation: Creation) -> Self {
        let Creation { invalidation: Invalidation { id, status, .. }, is_new } = creation;
        Self { id, status, is_new }
    }
}

/// On the way to the paths that CloudFront refuses.
struct TakingApart<'a> {
    client: &'a Client,
    invalidation: &'a plan::Invalidation,
    deadline: Instant,
    calls: usize,
    apart: Apart,
}

impl<'a> TakingApart<'a> {
    fn new(
        client: &'a Client,
        invalidation: &'a plan::Invalidation,
        deadline: Instant,
        error: Error,
    ) -> Self {
        let apart = Apart { accepted: Vec::new(), refused: Vec::new(), unsent: Vec::new(), error };
        Self { client, invalidation, deadline, calls: 0, apart }
    }

    async fn run(mut self) -> Apart {
        // What gives no reason to be refused is hardly refused, and is sent first.
        let all = 0..self.invalidation.purge.items.len();
        let (plain, odd) = all.partition(|index| self.item(*index).is_plain());
        self.find(VecDeque::from([plain, odd])).await;
        self.widen().await;
        self.apart.refused.sort_unstable_by_key(|refused| refused.item);
        self.apart.unsent.sort_unstable();
        self.apart
    }

    fn item(&self, index: usize) -> &'a Item {
        &self.invalidation.purge.items[index].item
    }

    /// Sends groups of items, and halves of those that are refused, until what is refused
    /// is single.
    async fn find(&mut self, mut groups: VecDeque<Vec<usize>>) {
        // All of them together were refused already.
        let whole = self.invalidation.purge.items.len();
        while let Some(group) = groups.pop_front() {
            let known = group.len() == whole;
            let refused = match group.as_slice() {
                [] => continue,
                _ if self.calls >= MOST_CALLS => {
                    self.refuse(&group, false);
                    continue;
                }
                _ if known => true,
                _ => match self.send(group.iter().map(|index| self.item(*index)).collect()).await {
                    Ok(()) => continue,
                    Err(error) if error.is_path_rejected() => true,
                    Err(error) => {
                        self.apart.error = error;
                        false
                    }
                },
            };
            match group.as_slice() {
                [_] if refused => self.refuse(&group, true),
                _ if refused => {
                    let (one, other) = group.split_at(group.len() / 2);
                    groups.push_front(other.to_vec());
                    groups.push_front(one.to_vec());
                }
                _ => {
                    // What keeps this one from being sent keeps the others, too.
                    self.apart.unsent.extend(group);
                    self.apart.unsent.extend(groups.drain(..).flatten());
                }
            }
        }
    }

    fn refuse(&mut self, items: &[usize], alone: bool) {
        let refused = items.iter().map(|&item| Refused { item, alone, instead: None });
        self.apart.refused.extend(refused);
    }

    /// Sends wildcards for what is refused: together, or else halves of them, until what
    /// is refused even so is single.
    async fn widen(&mut self) {
        let wider = (0..self.apart.refused.len())
            .filter_map(|at| Some((at, self.item(self.apart.refused[at].item).wider()?)));
        let mut groups = VecDeque::from([wider.collect::<Vec<(usize, Item)>>()]);
        let most_calls = self.calls + MOST_CALLS;
        while let Some(mut group) = groups.pop_front() {
            if group.is_empty() || self.calls >= most_calls {
                continue;
            }
            let budget = Budget { items: MOST_WIDENED, wildcards: MOST_WIDENED };
            let folded = cover(group.iter().map(|(_, item)| item.clone()), budget).items;
            match self.send(folded.iter().map(|one| &one.item).collect()).await {
                Ok(()) => {
                    for (at, item) in &group {
                        let instead = folded.iter().find(|one| one.item.covers(item));
                        self.apart.refused[*at].instead = instead.map(|one| one.item.clone());
                    }
                }
                Err(error) if error.is_path_rejected() && group.len() > 1 => {
                    let other = group.split_off(group.len() / 2);
                    groups.push_front(other);
                    groups.push_front(group);
                }
                Err(error) if error.is_path_rejected() => {}
                Err(error) => {
                    // What keeps these from being sent keeps the others, too.
                    self.apart.error = error;
                    return;
                }
            }
        }
    }

    /// Sends some items, of the invalidation or in the place of some.
    async fn send(&mut self, items: Vec<&Item>) -> Result<(), Error> {
        self.calls += 1;
        let reference = self.invalidation.reference_of(items.iter().copied());
        match create(self.client, self.invalidation, &items, &reference, self.deadline).await {
            Ok(Taken { created, instead }) => {
                let sent = || items.into_iter().cloned().collect();
                let items = instead.map_or_else(sent, |(items, _)| items);
                self.apart.accepted.push(Part { created, items });
                Ok(())
            }
            Err(error) if error.is_already_done() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
