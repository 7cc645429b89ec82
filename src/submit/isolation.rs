//! Isolates the paths that CloudFront refuses.
//!
//! CloudFront refuses a whole request for one bad path and does not name it. The search therefore
//! sends the items in groups and halves each group that CloudFront refuses, until each refused item
//! is alone. It then replaces these items by wildcards that end before the byte that may be the
//! reason, at most eight in one request, and halves that request if CloudFront refuses
//! it, too. If the search needs too many calls, it widens all remaining items in the same way.

use std::{collections::VecDeque, time::Instant};

use super::{
    Isolated, Part, Refused,
    folding::{Accepted, create},
};
use crate::{
    cloudfront::{Client, Error},
    cover::{Budget, Covering, cover},
    order,
    path::Item,
    plan,
};

/// Maximum number of calls to find the refused items: enough for three or four among 150. The
/// search may make as many calls again to send wildcards for them.
const MOST_CALLS: usize = 48;

/// Maximum number of wildcards for the refused items. CloudFront allows few in progress.
const MOST_WIDENED: usize = 8;

/// The search for the items that CloudFront refuses.
pub(super) struct Isolation<'a> {
    client: &'a Client,
    invalidation: &'a plan::Invalidation,
    deadline: Instant,
    calls: usize,
    isolated: Isolated,
}

/// CloudFront's answer to some items.
enum Verdict {
    Accepted,
    Refused,
    /// The call failed for another reason, as every later one would.
    Unknown(Error),
}

impl<'a> Isolation<'a> {
    /// Starts the search after CloudFront refused all items together with `error`.
    pub(super) const fn new(
        client: &'a Client,
        invalidation: &'a plan::Invalidation,
        deadline: Instant,
        error: Error,
    ) -> Self {
        let isolated = Isolated { accepted: Vec::new(), refused: Vec::new(), unsent: Vec::new(), error };
        Self { client, invalidation, deadline, calls: 0, isolated }
    }

    /// Sends every item, as it is or widened, as far as CloudFront accepts it.
    pub(super) async fn run(mut self) -> Isolated {
        let items = 0..self.invalidation.purge.items.len();
        // Plain items are unlikely to be the culprit, so send them first.
        let (plain, odd) = items.partition(|index| self.item(*index).is_plain());
        self.find(VecDeque::from([plain, odd])).await;
        self.widen().await;
        order::sort(&mut self.isolated.refused, |one, other| one.item.cmp(&other.item));
        self.isolated.unsent.sort_unstable();
        self.isolated
    }

    fn item(&self, index: usize) -> &'a Item {
        &self.invalidation.purge.items[index].item
    }

    /// Sends each group. Splits a refused group in two and sends both parts, down to single items or
    /// until [`MOST_CALLS`] are made.
    async fn find(&mut self, mut groups: VecDeque<Vec<usize>>) {
        while let Some(group) = groups.pop_front() {
            if group.is_empty() {
                continue;
            }
            if self.calls >= MOST_CALLS {
                self.refuse(&group, false);
                continue;
            }
            match self.verdict(&group).await {
                Verdict::Accepted => {}
                Verdict::Refused if group.len() == 1 => self.refuse(&group, true),
                Verdict::Refused => halve(&mut groups, group),
                Verdict::Unknown(error) => {
                    self.isolated.error = error;
                    self.isolated.unsent.extend(group.into_iter().chain(groups.into_iter().flatten()));
                    return;
                }
            }
        }
    }

    /// Returns CloudFront's verdict on a group. The verdict on all items together is known; any
    /// other takes a call.
    async fn verdict(&mut self, group: &[usize]) -> Verdict {
        if group.len() == self.invalidation.purge.items.len() {
            return Verdict::Refused;
        }
        self.send(group.iter().map(|index| self.item(*index)).collect()).await
    }

    fn refuse(&mut self, items: &[usize], alone: bool) {
        let refused = items.iter().map(|&item| Refused { item, alone, instead: None });
        self.isolated.refused.extend(refused);
    }

    /// Sends wildcards for the refused items: for all of them together, then for halves.
    async fn widen(&mut self) {
        let wider = (0..self.isolated.refused.len())
            .filter_map(|at| Some((at, self.item(self.isolated.refused[at].item).wider()?)));
        let mut groups = VecDeque::from([wider.collect::<Vec<(usize, Item)>>()]);
        let most_calls = self.calls + MOST_CALLS;
        while let Some(group) = groups.pop_front() {
            if group.is_empty() || self.calls >= most_calls {
                continue;
            }
            let budget = Budget { items: MOST_WIDENED, wildcards: MOST_WIDENED };
            let wildcards = cover(group.iter().map(|(_, item)| item.clone()), budget).items;
            match self.send(wildcards.iter().map(|one| &one.item).collect()).await {
                Verdict::Accepted => self.replace(&group, &wildcards),
                Verdict::Refused if group.len() == 1 => {}
                Verdict::Refused => halve(&mut groups, group),
                Verdict::Unknown(error) => {
                    self.isolated.error = error;
                    return;
                }
            }
        }
    }

    /// Records which of `wildcards` CloudFront accepted for each refused item of a group.
    fn replace(&mut self, group: &[(usize, Item)], wildcards: &[Covering]) {
        for (at, item) in group {
            let instead = wildcards.iter().find(|one| one.item.covers(item));
            self.isolated.refused[*at].instead = instead.map(|one| one.item.clone());
        }
    }

    async fn send(&mut self, items: Vec<&Item>) -> Verdict {
        self.calls += 1;
        let reference = self.invalidation.reference_of(items.iter().copied());
        match create(self.client, self.invalidation, &items, &reference, self.deadline).await {
            Ok(Accepted { created, folded }) => {
                let as_sent = || items.into_iter().cloned().collect();
                let items = folded.map_or_else(as_sent, |(items, _)| items);
                self.isolated.accepted.push(Part { created, items });
                Verdict::Accepted
            }
            Err(error) if error.is_already_done() => Verdict::Accepted,
            Err(error) if error.is_path_rejected() => Verdict::Refused,
            Err(error) => Verdict::Unknown(error),
        }
    }
}

/// Puts both halves of a refused group in front of the other groups.
fn halve<T>(groups: &mut VecDeque<Vec<T>>, mut group: Vec<T>) {
    let other = group.split_off(group.len() / 2);
    groups.push_front(other);
    groups.push_front(group);
}
