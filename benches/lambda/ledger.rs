//! What each environment of the function knows of the paths that were sent in the month.

use std::collections::VecDeque;

use cloudfront_invalidator::allowance::{Standing, WINDOW};

use crate::pollers::ENVIRONMENTS;

/// The minimum time between two readings of the month's total, in milliseconds.
const READING: u64 = 300_000;

/// The time until a reading shows what was sent.
const LAG: u64 = 120_000;

/// The paths that were sent, by time.
#[derive(Default)]
struct Sent {
    list: VecDeque<(u64, usize)>,
    sum: usize,
}

impl Sent {
    fn add(&mut self, time: u64, paths: usize) {
        self.list.push_back((time, paths));
        self.sum += paths;
    }

    /// Returns the number of paths sent after `time`, and forgets the others.
    fn after(&mut self, time: u64) -> usize {
        while let Some((_, paths)) = self.list.pop_front_if(|(sent, _)| *sent <= time) {
            self.sum -= paths;
        }
        self.sum
    }
}

/// The knowledge of an environment.
#[derive(Default)]
struct Known {
    /// The time of the last reading, and the total that it showed.
    reading: Option<(u64, usize)>,
    /// The number of paths that the environment sent since then.
    own: usize,
    recent: Sent,
}

/// The allowance at a time.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    /// The number of paths for the month.
    pub(crate) paths: usize,
    /// The beginning of the month.
    pub(crate) since: u64,
    /// The number of days that are left of it, today included.
    pub(crate) days: f64,
}

/// The paths that were sent in the month. Times are in milliseconds.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) total: usize,
    /// The paths that a reading does not show yet.
    unseen: Sent,
    environments: [Known; ENVIRONMENTS],
}

impl Ledger {
    /// Returns what an environment knows of an allowance. It guesses that the other environment sent as much
    /// as it did itself since the last reading.
    pub(crate) fn standing(&mut self, environment: usize, now: u64, allowance: Allowance) -> Standing {
        let unseen = self.unseen.after(now.saturating_sub(LAG));
        let known = &mut self.environments[environment];
        known.reading.take_if(|(at, _)| *at < allowance.since || now >= *at + READING);
        let (_, read) = *known.reading.get_or_insert_with(|| {
            known.own = 0;
            (now, self.total.saturating_sub(unseen))
        });
        let left = allowance.paths.saturating_sub(read + 2 * known.own);
        let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
        Standing { left, days: allowance.days, recent: known.recent.after(now.saturating_sub(window)) }
    }

    /// Records what an environment sent.
    pub(crate) fn send(&mut self, environment: usize, now: u64, paths: usize) {
        self.total += paths;
        self.unseen.add(now, paths);
        let known = &mut self.environments[environment];
        known.own += paths;
        known.recent.add(now, paths);
    }
}
