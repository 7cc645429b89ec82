//! Divides the month's allowance of paths among the batches.
//!
//! CloudFront bills each path beyond the first 1,000 of a month. Nobody knows how many batches are still to
//! come, so each gets a share of what is left:
//!
//! ```text
//! share = (left - 60) / (2 × days left + 5)
//! ```
//!
//! The reserve of 60 pays for changes that arrive when nothing else is left.
//!
//! A deploy may arrive as many batches, since Lambda polls the queue with five batches at a time. A share for each
//! would use up the month in a few deploys, and a smaller one would fold each batch into few wildcards. So an
//! environment pauses after it has sent half a share. Changes that arrive meanwhile wait in the queue and are
//! purged together, with one share. The pause is one minute for each share that the environment sent in the last
//! ten minutes, and at most ten minutes. It is always ten minutes while a share has less than one path for each
//! distribution and one more.
//!
//! The limits change in steps of a third or a half, so that a batch that is delivered again nearly always gets the
//! same ones. docs/cost.md shows what the rule costs three real sites, and which others were tried.
//!
//! ```
//! use std::time::Duration;
//! use cloudfront_invalidator::{allowance::{Standing, budget, pause}, cover::Budget};
//!
//! let most = Budget { items: 150, wildcards: 15 };
//! let new_month = Standing { left: 1_000, days: 30.0, recent: 0 };
//! assert_eq!(budget(new_month, 1, most), Budget { items: 12, wildcards: 12 });
//! assert_eq!(pause(new_month, 1), Duration::ZERO);
//! let used_up = Standing { left: 0, days: 12.0, recent: 0 };
//! assert_eq!(budget(used_up, 1, most), Budget { items: 1, wildcards: 1 });
//! assert_eq!(pause(used_up, 1), Duration::from_mins(10));
//! ```

use std::time::Duration;

use crate::cover::Budget;

/// The number of shares to keep for each day that is left.
const SHARES_PER_DAY: f64 = 2.0;

/// The number of shares to keep in any case.
const SHARES: f64 = 5.0;

/// The number of paths to keep for changes that arrive when nothing else is left.
const RESERVE: usize = 60;

/// The pause for each share that an environment sent in the last [`WINDOW`].
const PAUSE: Duration = Duration::from_mins(1);

/// The shortest pause.
const SHORTEST: Duration = Duration::from_secs(30);

/// The time for which what was sent leads to a pause, and the longest pause.
pub const WINDOW: Duration = Duration::from_mins(10);

/// The state of the allowance when a batch is planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The number of paths that are left this month.
    pub left: usize,
    /// The number of days that are left of the month, today included.
    pub days: f64,
    /// The number of paths that this environment sent in the last [`WINDOW`].
    pub recent: usize,
}

impl Standing {
    /// Returns the number of paths for a batch.
    #[expect(clippy::cast_precision_loss, reason = "a number of paths, far below 2^52")]
    fn share(self) -> f64 {
        self.left.saturating_sub(RESERVE) as f64 / (SHARES_PER_DAY * self.days + SHARES)
    }

    /// Returns whether a share has less than one path for each of so many distributions and one more.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a number of distributions, far below 2^52")]
    pub fn is_scarce(self, distributions: usize) -> bool {
        self.share() < distributions.max(1).saturating_add(1) as f64
    }
}

/// Returns the limits for the invalidation of each of so many distributions in a batch: at least one path, and
/// never more than `most`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of paths and distributions, far below 2^52")]
pub fn budget(standing: Standing, distributions: usize, most: Budget) -> Budget {
    let share = standing.share() / distributions.max(1) as f64;
    // The steps are 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on.
    let (mut items, mut next) = (1, 2);
    while items < most.items && next as f64 <= share {
        (items, next) = (next, (2 * items).max(next + 1));
    }
    let items = items.min(most.items);
    Budget { items, wildcards: items.min(most.wildcards) }
}

/// Returns the minimum time between two invalidations of a distribution by the same environment, if a batch
/// concerns so many distributions. Zero if the environment need not pause. Changes that arrive earlier wait for
/// the end of the pause and are purged together.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a number of paths, far below 2^52")]
pub fn pause(standing: Standing, distributions: usize) -> Duration {
    if standing.is_scarce(distributions) {
        return WINDOW;
    }
    let sent = standing.recent as f64 / standing.share();
    let pause = PAUSE.mul_f64(sent.min(WINDOW.div_duration_f64(PAUSE)));
    if pause < SHORTEST { Duration::ZERO } else { pause }
}
