//! The simulated time, which tests move forward.

use std::time::{Duration, Instant, SystemTime};

/// A clock that starts with the server and never goes back.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    start: SystemTime,
    /// The sum of all moves forward.
    ahead: Duration,
    /// The time since the start at which the clock was stopped. `None` if it runs.
    stopped: Option<Duration>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), start: SystemTime::now(), ahead: Duration::ZERO, stopped: None }
    }
}

impl Clock {
    pub(super) fn now(&self) -> SystemTime {
        self.start + self.stopped.unwrap_or_else(|| self.started.elapsed()) + self.ahead
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.ahead += by;
    }

    /// Stops the clock at a full second, so that only [`Clock::advance`] moves it.
    pub(super) fn stop(&mut self) {
        self.stopped.get_or_insert_with(|| self.started.elapsed());
        let now = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now.subsec_nanos() > 0 {
            self.ahead += Duration::from_secs(now.as_secs() + 1).saturating_sub(now);
        }
    }
}
