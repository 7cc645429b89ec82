//! Turns budgets into costs by prices, and finds the prices that give the best bound.

use super::ROUNDING;

/// The prices of items and wildcards in the relaxed problem.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prices {
    pub(super) item: f64,
    pub(super) wildcard: f64,
}

impl Prices {
    /// Returns the price of one item, which may be a wildcard.
    pub(super) fn of(self, wildcard: bool) -> f64 {
        self.item + if wildcard { self.wildcard } else { 0.0 }
    }
}

/// A line that touches a function at one point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touching {
    pub(super) value: f64,
    pub(super) slope: f64,
}

/// Returns the price at which a concave, piecewise linear function is highest, as nearly as a few
/// evaluations can tell.
///
/// Each evaluation is at the price where the lines that touch the function on either side of its
/// maximum meet. Once both lines run through the maximum, that price is the maximum itself.
///
/// If `is_late`, settles for a price beyond the maximum, where the function no longer rises.
pub(super) fn maximise(start: f64, is_late: &dyn Fn() -> bool, mut at: impl FnMut(f64) -> Touching) -> f64 {
    const LOOKS: usize = 12;
    const STRETCHES: usize = 40;
    let mut low = (0.0, at(0.0));
    if low.1.slope <= 0.0 {
        return 0.0;
    }
    let mut high = (start, at(start));
    for _ in 0..STRETCHES {
        if high.1.slope <= 0.0 {
            break;
        }
        low = high;
        high = (high.0 * 8.0, at(high.0 * 8.0));
    }
    for _ in 0..LOOKS {
        if is_late() {
            return high.0;
        }
        let ((low_price, below), (high_price, above)) = (low, high);
        let rise = above.value - below.value + below.slope * low_price - above.slope * high_price;
        let price = rise / (below.slope - above.slope);
        let meeting = below.value + below.slope * (price - low_price);
        if !(low_price < price && price < high_price) {
            break;
        }
        let touching = at(price);
        if touching.value >= meeting - meeting.abs() * ROUNDING {
            return price;
        }
        if touching.slope > 0.0 {
            low = (price, touching);
        } else {
            high = (price, touching);
        }
    }
    if low.1.value > high.1.value { low.0 } else { high.0 }
}
