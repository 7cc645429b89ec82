//! The pace at which CloudFront accepts invalidations.
//!
//! CloudFront limits the calls of CreateInvalidation for the whole account, to one every two seconds
//! after a burst of about 15, and answers every further call with an error. [`Pace`] learns the limit
//! from these answers, and [`Turns`] makes all calls of a client keep to it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync;

/// The rate to assume after the first throttled call, in calls per second: CloudFront's default.
///
/// <https://github.com/aws/aws-sdk-js/issues/3983>
const FIRST_RATE: f64 = 0.5;

/// Minimum rate, in calls per second. Others in the account may use up nearly all of it.
const LEAST_RATE: f64 = 0.05;

/// The factor by which the rate shrinks when CloudFront throttles although the pace is kept.
const SLOWER: f64 = 0.7;

/// The factor by which the rate grows with each accepted call.
const FASTER: f64 = 1.03;

/// Maximum number of calls at once after a time without calls.
const BURST: f64 = 10.0;

/// The rate at which CloudFront accepts calls, as learnt from its answers. There is no limit until
/// CloudFront throttles a call.
///
/// Times are durations since 1970. The clock may stop and may be set back.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Calls per second. `None` while no limit is known.
    rate: Option<f64>,
    /// The number of calls that may begin at once, at the time `at`.
    left: f64,
    at: Duration,
    /// The time of the last throttled answer.
    throttled: Duration,
}

impl Pace {
    /// Begins a call.
    ///
    /// # Errors
    ///
    /// Returns how long to wait before the call may begin.
    pub fn begin(&mut self, now: Duration) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.left = (self.left + since * rate).min(BURST);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / rate))
    }

    /// Records that CloudFront accepted a call.
    pub fn accepted(&mut self) {
        // A rate that allows every burst is no limit.
        self.rate = self.rate.map(|rate| rate * FASTER).filter(|rate| *rate < BURST);
    }

    /// Records that CloudFront throttled a call that began at `begun`.
    pub fn throttled(&mut self, begun: Duration, now: Duration) {
        // The calls of one burst are throttled together. They say no more than the first of them.
        if begun >= self.throttled {
            self.rate = Some(self.rate.map_or(FIRST_RATE, |rate| (rate * SLOWER).max(LEAST_RATE)));
        }
        (self.left, self.at, self.throttled) = (0.0, now, now);
    }

    /// Returns the average time between two calls. Zero while no limit is known.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate))
    }
}

/// Lets the calls of all clones begin one after the other, as fast as the [`Pace`] allows.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pace: Mutex<Pace>,
    /// Held by the call that is the next to begin. The others wait for it in the order in which they
    /// came.
    next: sync::Mutex<()>,
}

impl Turns {
    /// Waits until a call may begin. Returns `None` at once if that is not before `deadline`;
    /// otherwise the time at which the call begins.
    pub(super) async fn take(&self, deadline: Instant) -> Option<Duration> {
        let in_time = tokio::time::timeout_at(deadline.into(), self.0.next.lock()).await;
        let _next = in_time.ok()?;
        loop {
            let now = now();
            let begun = self.with(|pace| pace.begin(now));
            let Err(wait) = begun else { return Some(now) };
            if Instant::now() + wait >= deadline {
                return None;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Records that CloudFront accepted a call.
    pub(super) fn accepted(&self) {
        self.with(Pace::accepted);
    }

    /// Records that CloudFront throttled a call that began at `begun`.
    pub(super) fn throttled(&self, begun: Duration) {
        let now = now();
        self.with(|pace| pace.throttled(begun, now));
    }

    /// Returns [`Pace::interval`].
    pub(super) fn interval(&self) -> Duration {
        self.with(|pace| pace.interval())
    }

    fn with<T>(&self, with: impl FnOnce(&mut Pace) -> T) -> T {
        with(&mut self.0.pace.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the wall clock's time. The monotonic clock stops while Lambda freezes the function.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    #[test]
    fn calls_have_no_limit_until_one_is_throttled() {
        let mut pace = Pace::default();
        assert!((0..100).all(|_| pace.begin(at(0)).is_ok()));
        assert_eq!(pace.interval(), Duration::ZERO);
        pace.throttled(at(0), at(1));
        assert_eq!(pace.begin(at(1)), Err(Duration::from_secs(2)));
        assert_eq!(pace.begin(at(3)), Ok(()));
        assert_eq!(pace.begin(at(3)), Err(Duration::from_secs(2)));
    }

    #[test]
    fn a_burst_that_is_throttled_slows_the_pace_only_once() {
        let mut pace = Pace::default();
        for _ in 0..8 {
            pace.throttled(at(0), at(1));
        }
        assert_eq!(pace.interval(), Duration::from_secs(2));
        pace.throttled(at(3), at(4));
        assert!(pace.interval() > Duration::from_millis(2_800), "{pace:?}");
    }

    #[test]
    fn the_pace_recovers_and_never_stops() {
        let mut pace = Pace::default();
        (0..100).for_each(|second| pace.throttled(at(second), at(second)));
        assert!(pace.interval() <= Duration::from_secs(20), "{pace:?}");
        (0..200).for_each(|_| pace.accepted());
        assert!(pace.interval() < Duration::from_millis(500), "{pace:?}");
    }

    #[test]
    fn a_time_without_calls_allows_a_burst() {
        let mut pace = Pace::default();
        pace.throttled(at(0), at(0));
        let begun = (0..100).filter(|_| pace.begin(at(3_600)).is_ok()).count();
        assert_eq!(begun, 10);
        // A clock that was set back must not block calls for longer than usual.
        assert!(pace.begin(at(0)).expect_err("a wait") <= Duration::from_secs(2));
    }
}
