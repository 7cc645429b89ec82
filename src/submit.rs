//! A [`Plan`] becomes an [`Outcome`]: every invalidation is sent, all at the same
//! time, and each says for itself how it went.
//!
//! CloudFront refuses a request as a whole for one path that it does not like, and does
//! not say which. Such an invalidation is taken apart: what is fine is sent without what
//! is not, and what is refused alone is sent as a wildcard that ends before what may be
//! the reason. Where that would take too many calls, the rest is sent as such wildcards
//! without looking further: too much is purged then, and nothing is lost.

use std::{collections::VecDeque, time::Instant};

use futures_util::future::join_all;

use crate::{
    cloudfront::{Client, Error, Invalidation},
    cover::{Budget, cover},
    path::Item,
    plan::{self, Plan},
};

/// How many calls it may take to find the paths that CloudFront refuses: as many as for
/// three or four among the 150 of an invalidation. And as many more to send what stands
/// for them.
const MOST_CALLS: usize = 48;

/// As how many wildcards what was refused is sent: more are folded, since CloudFront does
/// not take many at once.
const MOST_WIDENED: usize = 8;

/// How each invalidation of a plan went, in the order of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome(pub Vec<Sent>);

/// How one invalidation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// CloudFront took it, now or when the same call was made before.
    Accepted(Invalidation),
    /// CloudFront says that its reference was used before: it exists, but its id
    /// was not told.
    AlreadyDone,
    /// It may not exist. The messages that need it are not done.
    Failed(Error),
    /// CloudFront refused one of its paths, and took it in parts.
    Apart(Apart),
}

/// An invalidation that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// The invalidations that hold what CloudFront took.
    pub accepted: Vec<Invalidation>,
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

/// Sends every invalidation of the plan. What has no answer by `deadline` failed.
pub async fn submit(client: &Client, plan: &Plan, deadline: Instant) -> Outcome {
    Outcome(join_all(plan.invalidations.iter().map(|one| send(client, one, deadline))).await)
}

async fn send(client: &Client, invalidation: &plan::Invalidation, deadline: Instant) -> Sent {
    let distribution = invalidation.distribution.as_str();
    let reference = &invalidation.caller_reference;
    let limit = deadline.saturating_duration_since(Instant::now());
    match client.create_invalidation(distribution, invalidation.paths(), reference, limit).await {
        Ok(created) => Sent::Accepted(created),
        Err(error) if error.is_already_done() => Sent::AlreadyDone,
        Err(error) if error.is_path_rejected() => {
            Sent::Apart(TakingApart::new(client, invalidation, deadline, error).run().await)
        }
        Err(error) => Sent::Failed(error),
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
        let all = 0..self.invalidation.items.len();
        let (plain, odd) = all.partition(|index| self.item(*index).is_plain());
        self.find(VecDeque::from([plain, odd])).await;
        self.widen().await;
        self.apart.refused.sort_unstable_by_key(|refused| refused.item);
        self.apart.unsent.sort_unstable();
        self.apart
    }

    fn item(&self, index: usize) -> &'a Item {
        &self.invalidation.items[index].item
    }

    /// Sends groups of items, and halves of those that are refused, until what is refused
    /// is single.
    async fn find(&mut self, mut groups: VecDeque<Vec<usize>>) {
        // All of them together were refused already.
        let whole = self.invalidation.items.len();
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
        let limit = self.deadline.saturating_duration_since(Instant::now());
        let distribution = self.invalidation.distribution.as_str();
        let paths = items.iter().map(|item| item.as_str());
        match self.client.create_invalidation(distribution, paths, &reference, limit).await {
            Ok(created) => {
                self.apart.accepted.push(created);
                Ok(())
            }
            Err(error) if error.is_already_done() => Ok(()),
            Err(error) => Err(error),
        }
    }
}
