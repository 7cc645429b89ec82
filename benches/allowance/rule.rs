//! The rules that the bench compares.

use std::time::Duration;

use cloudfront_invalidator::{
    allowance::{Standing, WINDOW, budget, pause},
    cover::Budget,
};

/// The limits of a batch without an allowance.
pub(crate) const MOST: Budget = Budget { items: 150, wildcards: 15 };

/// A rule that limits the batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// The same limits for every batch.
    Fixed(usize),
    /// The allowance divided by the days of the month. A batch gets half of what is left of the day.
    Daily,
    /// A part of a share, against which counts what was sent in the last ten minutes. The pause is ten minutes
    /// while a share is less than one path, and there is none before.
    Counted(Counted),
    /// The function's rule with other constants.
    Paused(Paused),
    /// The function's rule.
    Chosen,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    /// The part of a share for a batch.
    pub(crate) per_batch: f64,
    pub(crate) per_day: f64,
    pub(crate) spare: f64,
    /// Whether what was sent in the last ten minutes counts, and whether there is a pause.
    pub(crate) window: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paused {
    pub(crate) per_day: f64,
    pub(crate) spare: f64,
    pub(crate) reserve: usize,
    /// The pause for each share that was sent in the last ten minutes.
    pub(crate) pause: Duration,
}

impl Paused {
    /// The function's constants.
    pub(crate) const CHOSEN: Self =
        Self { per_day: 2.0, spare: 5.0, reserve: 60, pause: Duration::from_mins(1) };
}

/// The state of the allowance when a batch arrives.
#[derive(Clone, Copy)]
pub(crate) struct State {
    pub(crate) standing: Standing,
    /// The number of paths that were sent on this day.
    pub(crate) today: usize,
    /// The allowance, divided by the days of the month.
    pub(crate) daily: f64,
}

impl Rule {
    /// Returns the limits of a batch, and the minimum time since the last invalidation.
    pub(crate) fn limits(self, State { standing, today, daily }: State) -> (Budget, Duration) {
        let Standing { left, days, recent } = standing;
        match self {
            Self::Fixed(items) => (within(real(items)), Duration::ZERO),
            Self::Daily => (within(0.5 * (daily - real(today))), Duration::ZERO),
            Self::Counted(Counted { per_batch, per_day, spare, window }) => {
                let recent = if window { recent } else { 0 };
                let share = real(left + recent.min(left)) / (per_day * days + spare);
                let pause = if window && share < 1.0 { WINDOW } else { Duration::ZERO };
                (within(per_batch * (share - real(recent))), pause)
            }
            Self::Paused(Paused { per_day, spare, reserve, pause }) => {
                let share = real(left.saturating_sub(reserve)) / (per_day * days + spare);
                let sent = real(recent) / share;
                let pause = match sent {
                    _ if share < 2.0 => WINDOW,
                    ..0.5 => Duration::ZERO,
                    _ => pause.mul_f64(sent.min(10.0)).min(WINDOW),
                };
                (within(share), pause)
            }
            Self::Chosen => (budget(standing, 1, MOST), pause(standing, 1)),
        }
    }
}

/// Returns the limits for so many paths, in the steps of the function.
fn within(paths: f64) -> Budget {
    let steps = (0..8).flat_map(|step| [2 << step, 3 << step]);
    let items = steps.take_while(|items| real(*items) <= paths).last().unwrap_or(1);
    let items = if real(MOST.items) <= paths { MOST.items } else { items.min(MOST.items) };
    Budget { items, wildcards: items.min(MOST.wildcards) }
}

#[expect(clippy::cast_precision_loss, reason = "a number of paths or objects, far below 2^52")]
pub(crate) const fn real(count: usize) -> f64 {
    count as f64
}
