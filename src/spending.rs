//! Spends the month's allowance of paths: decides how many each batch gets, and which distributions have to wait.
//!
//! [`allowance`](crate::allowance) has the rule. This module remembers what the rule depends on. It keeps nothing
//! between environments: CloudWatch knows the month ([`usage`](crate::usage)), and what has to wait is in the queue.
//!
//! While an environment pauses, changes wait in the queue, in narrowed messages. The wait must end even if changes
//! never stop:
//!
//! - Changes that have waited for [`WINDOW`] do not wait for a pause again, unless paths are scarce.
//! - While they are scarce, changes that have waited are purged by `/*`. All that is older needs no purge of its own
//!   then, so each environment makes a change wait only once. Whether a change without a time is older is unknown, so
//!   the first rule holds for it in any case.

use std::{
    cell::RefCell,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    allowance::{Standing, WINDOW, budget, pause},
    cloudfront::{Client, Error},
    cover::Budget,
    event::{Batch, NarrowedMessage},
    path::Item,
    plan::Invalidation,
    site::DistributionId,
    submit::{Created, Part, Sent},
    usage::{Meter, Month},
};

/// The length of the intervals for which sent paths are counted together, in milliseconds.
const INTERVAL: u64 = 30_000;

/// The most that the clocks of S3 and CloudFront are assumed to differ, in milliseconds.
const SKEW: u64 = 2_000;

/// The allowance of a deployment, and what this environment has sent of it.
#[derive(Debug)]
pub struct Spending {
    meter: Meter,
    recent: Mutex<Recent>,
}

/// The actions of this environment in the last [`WINDOW`].
#[derive(Debug, Default)]
struct Recent {
    /// The numbers of paths that were sent, each with the beginning of its interval.
    sent: Vec<(u64, usize)>,
    /// The last purge of each distribution, in the order of their ids.
    purges: Vec<Purged>,
}

/// A purge of a distribution.
#[derive(Debug)]
struct Purged {
    distribution: DistributionId,
    /// The time at which it began, in milliseconds since 1970.
    at: u64,
    /// The only item, and the time at which CloudFront created the invalidation. `None` if there were several items, or
    /// CloudFront has not accepted it.
    created: Option<(Item, u64)>,
    /// Whether changes wait for the next one.
    is_awaited: bool,
}

/// The paths that a batch may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The budget of each invalidation.
    pub budget: Budget,
    /// Minimum time between two purges of a distribution. Zero if there is none.
    pub pause: Duration,
    /// Whether the month has too few paths left.
    pub is_scarce: bool,
    /// The reason why CloudWatch did not tell what was sent this month.
    pub failure: Option<Error>,
}

impl Spending {
    /// Creates the state of an environment that has sent nothing. `allowance` is the number of paths a month.
    #[must_use]
    pub fn new(allowance: NonZeroUsize) -> Self {
        Self { meter: Meter::new(allowance), recent: Mutex::default() }
    }

    /// Decides what a batch may spend that needs invalidations for so many distributions. Asks CloudWatch, within
    /// `time`, if it did not tell lately what was sent this month. `now` is in milliseconds since 1970.
    async fn grant(
        &self,
        client: Option<&Client>,
        time: Duration,
        now: u64,
        distributions: usize,
        most: Budget,
    ) -> Grant {
        let (month, failure) = self.meter.month(client, time, now).await;
        let mut recent = self.recent();
        recent.forget(now);
        // Another environment may have sent as many since the reading as this one.
        let left = month.allowance.saturating_sub(month.sent.saturating_add(month.own));
        let sent = recent.sent.iter().map(|(_, paths)| paths).sum();
        let standing = Standing { left, days: month.days_left(), recent: sent };
        Grant {
            budget: budget(standing, distributions, most),
            pause: pause(standing, distributions),
            is_scarce: standing.is_scarce(distributions),
            failure,
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The spending of one batch. Without a limit, it allows everything and remembers nothing.
pub struct Purse<'a> {
    spending: Option<&'a Spending>,
    /// Returns the present time in milliseconds since 1970.
    present: &'a dyn Fn() -> u64,
    grant: Option<Grant>,
    /// The invalidations that have to wait.
    withheld: RefCell<Vec<Invalidation>>,
}

impl<'a> Purse<'a> {
    /// Creates the purse of a batch. `present` returns the present time in milliseconds since 1970.
    #[must_use]
    pub fn new(spending: Option<&'a Spending>, present: &'a dyn Fn() -> u64) -> Self {
        Self { spending, present, grant: None, withheld: RefCell::default() }
    }

    /// Returns whether there is a limit.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.spending.is_some()
    }

    /// Decides what the batch may spend, which needs invalidations for so many distributions, and returns the budget
    /// of each. Asks CloudWatch within `time` if necessary. Changes wait only if they `may_wait`.
    pub async fn open(
        &mut self,
        client: Option<&Client>,
        time: Duration,
        distributions: usize,
        most: Budget,
        may_wait: bool,
    ) -> Budget {
        let Some(spending) = self.spending else { return most };
        let mut grant = spending.grant(client, time, (self.present)(), distributions, most).await;
        if !may_wait {
            grant.pause = Duration::ZERO;
        }
        let budget = grant.budget;
        self.grant = Some(grant);
        budget
    }

    /// Returns the next invalidation of a batch that may be sent now. Withholds those whose distributions have to
    /// wait.
    pub fn next(
        &self,
        batch: &Batch,
        planned: &mut dyn FnMut() -> Option<Invalidation>,
    ) -> Option<Invalidation> {
        loop {
            let mut one = planned()?;
            if is_exempt(&one) {
                return Some(one);
            }
            let is_scarce = self.grant.as_ref().is_some_and(|grant| grant.is_scarce);
            let messages = one.part.map_or(&[][..], |part| &batch.narrowed[part].messages);
            let has_waited =
                |message: &NarrowedMessage| rest(message.since, WINDOW, (self.present)()).is_zero();
            let may_wait = (is_scarce && one.purge.newest.is_some()) || !messages.iter().any(has_waited);
            if may_wait && !self.rest(&one.distribution).is_zero() {
                self.withheld.borrow_mut().push(one);
                continue;
            }
            let is_awaited = self.begin(&one.distribution);
            // CloudFront recognizes what may exist already only as it was.
            let is_pinned = messages.iter().any(|message| message.pinned);
            if is_scarce && !is_pinned && (is_awaited || one.part.is_some()) {
                one.widen();
            }
            return Some(one);
        }
    }

    /// Records that a purge of the distribution begins. Returns whether changes have been waiting for it.
    fn begin(&self, distribution: &DistributionId) -> bool {
        let Some(spending) = self.spending else { return false };
        let at = (self.present)();
        let mut recent = spending.recent();
        match recent.find(distribution) {
            Ok(index) => {
                let last = &mut recent.purges[index];
                (last.at, last.created) = (at, None);
                last.is_awaited
            }
            Err(index) => {
                let distribution = distribution.clone();
                recent.purges.insert(index, Purged { distribution, at, created: None, is_awaited: false });
                false
            }
        }
    }

    /// Records the result of an invalidation that was sent.
    pub fn record(&self, invalidation: &Invalidation, result: &Sent) {
        let Some(spending) = self.spending else { return };
        let (now, purge) = ((self.present)(), &invalidation.purge);
        let paths = result.billed_paths(purge.item_count);
        spending.meter.sent(paths, now);
        let mut recent = spending.recent();
        recent.add(paths, now);
        if is_exempt(invalidation) {
            return;
        }
        let Some(last) = recent.last(&invalidation.distribution) else { return };
        if let Sent::Failed(_) = result {
            last.at = 0;
            return;
        }
        last.is_awaited = false;
        last.created = match (result, &*purge.items) {
            (Sent::Accepted(Created { at: Some(at), .. }), [covering]) => Some((covering.item.clone(), *at)),
            (Sent::Folded(Part { created: Created { at: Some(at), .. }, items }, _), _)
                if items.len() == 1 =>
            {
                Some((items[0].clone(), *at))
            }
            _ => None,
        };
    }

    /// Returns the invalidations that were withheld, with their results. Those that the last purge of the
    /// distribution covers are done.
    pub fn withheld(&self) -> Vec<(Invalidation, Sent)> {
        let decided = |one: Invalidation| {
            let result = if self.covers(&one) {
                Sent::AlreadyDone { is_new: false }
            } else {
                Sent::Failed(Error::saved())
            };
            (one, result)
        };
        self.withheld.take().into_iter().map(decided).collect()
    }

    /// Returns whether the last purge of the distribution covers an invalidation: it was created after all its
    /// changes. Otherwise, the distribution is awaited from now on.
    fn covers(&self, invalidation: &Invalidation) -> bool {
        let Some(spending) = self.spending else { return false };
        let (mut recent, purge) = (spending.recent(), &invalidation.purge);
        let Some(last) = recent.last(&invalidation.distribution) else { return false };
        let covers = |(item, at): &(Item, u64)| {
            purge.newest.is_some_and(|newest| newest.saturating_add(SKEW) <= *at)
                && purge.items.iter().all(|one| item.covers(&one.item))
        };
        let is_covered = last.created.as_ref().is_some_and(covers);
        last.is_awaited |= !is_covered;
        is_covered
    }

    fn pause(&self) -> Duration {
        self.grant.as_ref().map_or(Duration::ZERO, |grant| grant.pause)
    }

    /// Returns the time until a distribution may be purged again.
    #[must_use]
    pub fn rest(&self, distribution: &DistributionId) -> Duration {
        let last = |spending: &Spending| Some(spending.recent().last(distribution)?.at);
        let last = self.spending.and_then(last);
        last.map_or(Duration::ZERO, |at| rest(at, self.pause(), (self.present)()))
    }

    /// Returns the figures of the month after the batch, and what the batch was allowed to spend. Both are `None`
    /// without a limit, and if the purse was not opened.
    pub async fn close(self) -> (Option<Month>, Option<Grant>) {
        let Some((spending, grant)) = self.spending.zip(self.grant) else { return (None, None) };
        let (month, _) = spending.meter.month(None, Duration::ZERO, (self.present)()).await;
        (Some(month), Some(grant))
    }
}

impl Recent {
    /// Returns the index of the last purge of a distribution, or the one at which to insert it.
    fn find(&self, distribution: &DistributionId) -> Result<usize, usize> {
        self.purges.binary_search_by(|last| last.distribution.cmp(distribution))
    }

    /// Returns the last purge of a distribution.
    fn last(&mut self, distribution: &DistributionId) -> Option<&mut Purged> {
        self.find(distribution).ok().map(|index| &mut self.purges[index])
    }

    /// Adds paths that were sent.
    fn add(&mut self, paths: usize, now: u64) {
        let begin = now - now % INTERVAL;
        match self.sent.iter_mut().find(|(known, _)| *known == begin) {
            Some((_, known)) => *known += paths,
            None => self.sent.push((begin, paths)),
        }
    }

    /// Forgets what is older than [`WINDOW`].
    fn forget(&mut self, now: u64) {
        self.sent.retain(|(begin, _)| !rest(*begin, WINDOW, now).is_zero());
        self.purges.retain(|last| !rest(last.at, WINDOW, now).is_zero() || last.is_awaited);
    }
}

/// Returns whether an invalidation neither waits nor makes others wait: a person who requests a path gets it, and what
/// has no items is not sent.
fn is_exempt(invalidation: &Invalidation) -> bool {
    invalidation.purge.is_requested || invalidation.purge.items.is_empty()
}

/// Returns the rest of a pause that began at `since`. Times are in milliseconds since 1970. A clock that was set back
/// does not prolong the pause.
fn rest(since: u64, pause: Duration, now: u64) -> Duration {
    pause.saturating_sub(Duration::from_millis(now.saturating_sub(since)))
}
