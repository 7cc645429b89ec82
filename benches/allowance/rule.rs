//! The rules that the bench compares.

use std::time::Duration;

use cloudfront_invalidator::{
    allowance::{Standing, budget, pause},
    cover::Budget,
};

/// The limits of a batch without an allowance.
pub(crate) const MOST: Budget = Budget { items: 150, wildcards: 15 };

/// A rule that divides the allowance among the batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// As many paths as a batch may have at most.
    Unlimited,
    /// The function's rule.
    Chosen,
    /// The allowance divided by the days of the month, for each day.
    Daily,
    /// The function's rule with other constants.
    Shares(Shares),
}

/// The constants of the function's rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shares {
    pub(crate) per_batch: f64,
    pub(crate) per_day: f64,
    pub(crate) spare: f64,
    /// The part of what was sent in the last ten minutes that counts against the share.
    pub(crate) weight: f64,
    pub(crate) fine: bool,
    pub(crate) brief_at: f64,
    /// The share in paths below which an environment purges only every ten minutes.
    pub(crate) scarce: f64,
    /// The pause once the share of the ten minutes is used up.
    pub(crate) brief: Duration,
}

/// The state of the allowance when a batch arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) standing: Standing,
    /// The number of paths that were sent on this day.
    pub(crate) today: usize,
    /// The allowance, divided by the days of the month.
    pub(crate) daily: f64,
}

impl Rule {
    /// Returns the limits of a batch, and the minimum time since the last invalidation.
    #[expect(clippy::cast_precision_loss, reason = "numbers of paths, far below 2^52")]
    pub(crate) fn limits(self, State { standing, today, daily }: State) -> (Budget, Duration) {
        match self {
            Self::Unlimited => (MOST, Duration::ZERO),
            Self::Chosen => (budget(standing, 1, MOST), pause(standing, 1)),
            Self::Daily => (within(0.5 * (daily - today as f64)), Duration::ZERO),
            Self::Shares(Shares { per_batch: grow, per_day, spare, weight, fine, brief_at, scarce, brief }) => {
                let shares = per_day * standing.days + spare;
                let share = (standing.left as f64 - weight).max(0.0) / shares;
                let recent = standing.recent as f64;
                let pause = if share < scarce {
                    Duration::from_mins(10)
                } else if recent > 0.0 && recent >= brief_at * share {
                    if grow > 0.5 { brief.mul_f64((recent / share).min(600.0)).min(Duration::from_mins(10)) } else { brief }
                } else {
                    Duration::ZERO
                };
                (if fine { finely(share) } else { within(share) }, pause)
            }
        }
    }
}

/// Returns the limits for so many paths, as a power of two.
#[expect(clippy::cast_precision_loss, reason = "a number of paths, far below 2^52")]
fn within(paths: f64) -> Budget {
    let mut items = 1;
    while items < MOST.items && (2 * items) as f64 <= paths {
        items *= 2;
    }
    let items = items.min(MOST.items);
    Budget { items, wildcards: items.min(MOST.wildcards) }
}

fn finely(paths: f64) -> Budget {
    let mut items = 1;
    let next = |items: usize| if items < 2 { 2 } else if items.is_power_of_two() { items + items / 2 } else { items + items / 3 };
    while items < MOST.items && next(items) as f64 <= paths {
        items = next(items);
    }
    let items = items.min(MOST.items);
    Budget { items, wildcards: items.min(MOST.wildcards) }
}
