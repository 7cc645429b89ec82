//! Divides the month's allowance of paths among the batches.
//!
//! CloudFront bills each path beyond the first 1,000 of a month. Nobody knows how many batches are still to
//! come, so each gets a share of what is left:
//!
//! ```text
//! share = left / (days left × 0.7 + 5)
//! ```
//!
//! A deploy may arrive as many batches, since Lambda polls the queue with five batches at a time. So what was sent
//! in the last ten minutes counts against the share, and a batch gets half of the rest. The first batches of
//! a deploy are precise, and a storm of changes soon gets one path for each batch.
//!
//! The shares change in steps of a factor of two, so that a batch that is delivered again nearly always gets the
//! same budget. docs/cost.md shows what the rule costs three real sites, and which others were tried.
//!
//! ```
//! use cloudfront_invalidator::{allowance::{Standing, budget}, cover::Budget};
//!
//! let most = Budget { items: 150, wildcards: 15 };
//! let new_month = Standing { left: 1_000, days: 30.0, recent: 0 };
//! assert_eq!(budget(new_month, 1, most), Budget { items: 16, wildcards: 15 });
//! let used_up = Standing { left: 0, days: 12.0, recent: 0 };
//! assert_eq!(budget(used_up, 1, most), Budget { items: 1, wildcards: 1 });
//! ```

use std::time::Duration;

use crate::cover::Budget;

/// The number of shares to keep for each day that is left.
const SHARES_PER_DAY: f64 = 0.7;

/// The number of shares to keep in any case.
const SHARES: f64 = 5.0;

/// The part of what is left of a share that one batch may use, since others of the same deploy may follow.
const PER_BATCH: f64 = 0.5;

/// The time for which what was sent counts against the share. Once the allowance is nearly used up, it is also the
/// minimum time between two invalidations of a distribution by the same environment.
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
    /// Returns the number of paths for the changes of a [`WINDOW`].
    #[expect(clippy::cast_precision_loss, reason = "a number of paths, far below 2^52")]
    fn share(self) -> f64 {
        (self.left + self.recent.min(self.left)) as f64 / (SHARES_PER_DAY * self.days + SHARES)
    }

    /// Returns whether the share of each of so many distributions is less than one path.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a number of distributions, far below 2^52")]
    pub fn is_scarce(self, distributions: usize) -> bool {
        self.share() < distributions.max(1) as f64
    }
}

/// Returns the limits for the invalidation of each of so many distributions in a batch: at least one path, and
/// never more than `most`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of paths and distributions, far below 2^52")]
pub fn budget(standing: Standing, distributions: usize, most: Budget) -> Budget {
    let left = PER_BATCH * (standing.share() - standing.recent as f64) / distributions.max(1) as f64;
    let mut items = 1;
    while items < most.items && (2 * items) as f64 <= left {
        items *= 2;
    }
    let items = items.min(most.items);
    Budget { items, wildcards: items.min(most.wildcards) }
}
