//! Spends the month's allowance of paths: decides how many each batch gets, and which distributions have to wait.
//!
//! [`allowance`](crate::allowance) has the rule. This module remembers what the rule depends on. It keeps nothing
//! between environments: CloudWatch knows the month ([`usage`](crate::usage)), and what has to wait is in the queue.
//!
//! Once the allowance is nearly used up, an environment purges each distribution at most once in
//! [`WINDOW`]. What comes earlier waits in the queue. The wait must end even if changes never stop. So
//! after it, `/*` is purged, and what this covers needs no purge of its own.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    allowance::{Standing, WINDOW, budget},
    cloudfront::{Client, Error},
    cover::Budget,
    path::Item,
    plan::Invalidation,
    site::DistributionId,
    submit::{Created, Sent},
    usage::{Meter, Month},
};

/// The length of the intervals for which sent paths are counted together, in milliseconds.
const INTERVAL: u64 = 30_000;

/// The most that the clocks of S3 and of this machine are assumed to differ, in milliseconds.
const SKEW: u64 = 2_000;

/// The allowance of a deployment, and what this environment has sent of it.
#[derive(Debug)]
pub struct Spending {
    meter: Meter,
    recent: Mutex<Recent>,
}

/// What this environment did in the last [`WINDOW`].
#[derive(Debug, Default)]
struct Recent {
    /// The numbers of paths that were sent, each with the beginning of its interval.
    sent: Vec<(u64, usize)>,
    /// The last purge of each distribution.
    purges: BTreeMap<DistributionId, Purged>,
}

/// A purge of a distribution.
#[derive(Debug)]
struct Purged {
    /// The time at which it began, in milliseconds since 1970.
    at: u64,
    /// The only item. `None` if there were several, or CloudFront has not accepted it.
    item: Option<Item>,
    /// Whether changes wait for the next one.
    is_awaited: bool,
}

/// What a batch may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The budget of each invalidation.
    pub budget: Budget,
    /// Minimum time between two purges of a distribution. Zero if there is none.
    pub pause: Duration,
    /// The reason why CloudWatch did not tell what was sent this month.
    pub failure: Option<Error>,
}

/// The decision about an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send it.
    Now,
    /// Send `/*` in its place: changes have been waiting.
    Everything,
    /// Do not send it, unless what was sent before covers it.
    Wait,
}

impl Spending {
    /// Creates the state of an environment that has sent nothing. `allowance` is the number of paths a month.
    #[must_use]
    pub fn new(allowance: NonZeroUsize) -> Self {
        Self { meter: Meter::new(allowance), recent: Mutex::default() }
    }

    /// Decides what a batch may spend that needs invalidations for so many distributions. Asks CloudWatch, within
    /// `time`, if it did not tell lately what was sent this month. `now` is in milliseconds since 1970.
    pub async fn grant(
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
        let left = month.allowance.saturating_sub(month.sent + month.own);
        let sent = recent.sent.iter().map(|(_, paths)| paths).sum();
        let standing = Standing { left, days: month.days_left(), recent: sent };
        let pause = if standing.is_scarce(distributions) { WINDOW } else { Duration::ZERO };
        Grant { budget: budget(standing, distributions, most), pause, failure }
    }

    /// Returns what is known of the month, without asking CloudWatch.
    pub async fn month(&self, now: u64) -> Month {
        self.meter.month(None, Duration::ZERO, now).await.0
    }

    /// Decides about an invalidation, and remembers it if it is to be sent.
    pub fn turn(&self, invalidation: &Invalidation, pause: Duration, now: u64) -> Turn {
        let Invalidation { distribution, part, purge, .. } = invalidation;
        if purge.items.is_empty() {
            return Turn::Now;
        }
        let mut recent = self.recent();
        let last = recent.purges.get_mut(distribution);
        // A person who requests a path gets it.
        if let Some(last) = &last
            && purge.change_count > 0
            && !rest(last.at, pause, now).is_zero()
        {
            return Turn::Wait;
        }
        let is_awaited = last.is_some_and(|last| last.is_awaited);
        recent.purges.insert(distribution.clone(), Purged { at: now, item: None, is_awaited });
        if !pause.is_zero() && purge.change_count > 0 && (is_awaited || part.is_some()) {
            Turn::Everything
        } else {
            Turn::Now
        }
    }

    /// Records the result of an invalidation that was to be sent.
    pub fn sent(&self, invalidation: &Invalidation, sent: &Sent, now: u64) {
        let Invalidation { distribution, purge, .. } = invalidation;
        let paths = sent.billed_paths(purge.item_count);
        self.meter.sent(paths, now);
        let mut recent = self.recent();
        let begin = now - now % INTERVAL;
        match recent.sent.iter_mut().find(|(known, _)| *known == begin) {
            Some((_, known)) => *known += paths,
            None => recent.sent.push((begin, paths)),
        }
        let Some(last) = recent.purges.get_mut(distribution) else { return };
        if let Sent::Failed(_) = sent {
            last.at = 0;
            return;
        }
        last.is_awaited = false;
        // One that existed before says nothing of changes since then.
        if let (Sent::Accepted(Created { is_new: true, .. }), [covering]) = (sent, &*purge.items) {
            last.item = Some(covering.item.clone());
        }
    }

    /// Returns the result of an invalidation that was not sent, because the distribution has to wait. It is done
    /// nevertheless if the last purge covers it. `received` is the time at which the batch was received.
    pub fn instead(&self, invalidation: &Invalidation, received: u64) -> Sent {
        if self.covers(invalidation, received) {
            Sent::AlreadyDone { is_new: false }
        } else {
            Sent::Failed(Error::saved())
        }
    }

    /// Returns whether the last purge of the distribution covers an invalidation of a batch that was received at
    /// `received`: all its changes are older than that purge. Otherwise, the distribution is awaited from now on.
    fn covers(&self, invalidation: &Invalidation, received: u64) -> bool {
        let purge = &invalidation.purge;
        let mut recent = self.recent();
        let Some(last) = recent.purges.get_mut(&invalidation.distribution) else { return false };
        let is_older = last.at >= received || purge.newest.is_some_and(|newest| newest + SKEW <= last.at);
        let covers = |item: &Item| purge.items.iter().all(|one| item.covers(&one.item));
        let is_covered = is_older && last.item.as_ref().is_some_and(covers) && !purge.items.is_empty();
        last.is_awaited |= !is_covered;
        is_covered
    }

    /// Returns the time until a distribution may be purged again.
    pub fn rest(&self, distribution: &DistributionId, pause: Duration, now: u64) -> Duration {
        self.recent().purges.get(distribution).map_or(Duration::ZERO, |last| rest(last.at, pause, now))
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    /// Forgets what is older than [`WINDOW`].
    fn forget(&mut self, now: u64) {
        self.sent.retain(|(begin, _)| !rest(*begin, WINDOW, now).is_zero());
        self.purges.retain(|_, last| !rest(last.at, WINDOW, now).is_zero() || last.is_awaited);
    }
}

/// Returns the rest of a pause that began at `since`. Times are in milliseconds since 1970. A clock that was set back
/// does not prolong the pause.
fn rest(since: u64, pause: Duration, now: u64) -> Duration {
    pause.saturating_sub(Duration::from_millis(now.saturating_sub(since)))
}
