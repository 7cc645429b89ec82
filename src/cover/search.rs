//! Finds the cheapest cover of a row of leaves, in which one wildcard may replace a run of
//! neighbors. The result is exact, under a budget of items and one of wildcards.
//!
//! Leaves stand at 0, 1, … in sorted order, and every fold replaces a run of them. Any two runs are
//! nested or disjoint. A cover is a path from 0 to the end of the last leaf. It takes steps over
//! one leaf (an item) and leaps over a run (an item and a wildcard, at the cost of the run). The
//! best cover is a shortest path under two limits.
//!
//! The search finds it with labels. A label is one way to reach a point, and a point keeps each
//! label unless another one is at least as good in cost, items and wildcards. The following keeps
//! the search fast:
//!
//! - A price on items and one on wildcards turn the problem into a plain shortest path. For every
//!   step and leap, that path gives a lower bound on the cost of a cover that uses it (Lagrangian
//!   relaxation). The covers met on the way to the best prices give an upper bound.
//! - The search looks for a cover that costs little more than the lower bound. If there is none, it
//!   allows a little more, up to the upper bound. The first cover within the limit of its pass is
//!   the best.
//! - Steps and leaps that cannot be in such a cover are left out. Usually few leaps remain, and the
//!   row shrinks to the points where they begin and end.
//! - Labels that cannot become such a cover are dropped. The prices that are best for the whole row
//!   are a poor judge of a label that has spent little on items and much on wildcards, so each
//!   label is judged by dozens of prices.
//! - A point has at most one label for each number of items and wildcards, so there are never more
//!   than points × items × wildcards labels.
//!
//! The main limit on the work is a number of labels, so that the same row gives the same cover on any
//! machine. Only [`Effort::is_late`](super::Effort) depends on time. Beyond the limit, the result is
//! the best cover known so far or, if cheaper, that of a search that keeps few labels at each point.

mod prices;
mod walk;

use std::{fmt, ops::Range};

use prices::{Prices, Touching, maximise};
use walk::{TooMany, Walk};

/// Maximum number of labels that a point keeps if the exact search would take too long.
const FEW: usize = 24;

/// Maximum number of points for which labels are judged by many prices, which take 7 MB of memory.
const MOST_COUNTED: usize = 20_000;

/// Tolerance for rounding errors when bounds are compared.
const ROUNDING: f64 = 1e-9;

const NONE: u32 = u32::MAX;

/// The amount of work that a search may do.
#[derive(Clone, Copy)]
pub struct Effort<'a> {
    /// Maximum number of labels that the search makes before it falls back to a cover that is good
    /// but perhaps not the best.
    pub labels: usize,
    /// Whether to fall back at once because time is running out. Unlike the number of labels, this
    /// may differ from one machine to the next.
    pub is_late: &'a dyn Fn() -> bool,
}

impl Effort<'_> {
    /// Maximum number of labels for one batch, which take some tenths of a second. The largest
    /// deploy of a real site so far takes 76,000 at the default budget, and 1.4 million at 600
    /// items.
    pub const LABELS: usize = 3_000_000;
}

impl Default for Effort<'_> {
    /// Returns the effort for a whole batch without a time limit.
    fn default() -> Self {
        Self { labels: Self::LABELS, is_late: &|| false }
    }
}

impl fmt::Debug for Effort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effort").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// A run of leaves that one wildcard can replace.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub(super) leaves: Range<usize>,
    pub(super) cost: f64,
}

/// The leaves to cover, the folds to choose from, and the budget.
pub(super) struct Row<'a> {
    /// A flag for each leaf that is a wildcard itself.
    pub(super) wildcard: &'a [bool],
    /// The possible folds, in the order of their first leaves.
    pub(super) folds: &'a [Fold],
    pub(super) max_items: usize,
    pub(super) max_wildcards: usize,
}

/// A cover of the row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Indices of the folds to make, in order.
    pub(super) folds: Vec<usize>,
    /// The total cost of the folds.
    pub(super) cost: f64,
    /// The lower bound: no cover within the budget costs less.
    pub(super) at_least: f64,
}

/// Finds the cheapest cover of the row. Returns `None` if none is within the budget.
pub(super) fn cheapest(row: &Row<'_>, effort: Effort<'_>) -> Option<Found> {
    let mut search = Search::new(row);
    if search.least_items(0) > row.max_items || search.least_wildcards(0) > row.max_wildcards {
        return None;
    }
    search.price(effort);
    // The best cover usually costs little more than the lower bound, and a search that stays near
    // the bound is fast. So allow a little more than the bound, then twice as much, and so on. The
    // first cover within such a limit is the best one.
    let mut known = search.beyond;
    let mut best = search.relaxed.take();
    let mut ahead = (known - search.bound) / 64.0;
    if search.bound > 0.0 {
        ahead = ahead.min(search.bound / 1024.0);
    }
    let mut left = effort;
    loop {
        search.beyond = known.min(search.bound + ahead);
        match Walk::new(&search, &search.shrink()).run(usize::MAX, &mut left) {
            Ok(Some(found)) if found.cost <= search.rounded_beyond() => {
                return Some(Found { at_least: found.cost, ..found });
            }
            // This cover costs more than the limit of this pass, so a cheaper one may exist; keep
            // it as a fallback.
            Ok(Some(found)) => {
                known = known.min(found.cost);
                best = best.filter(|best| best.cost <= found.cost).or(Some(found));
            }
            Ok(None) if search.beyond >= known || ahead <= 0.0 => break,
            Ok(None) => {}
            Err(TooMany) => break,
        }
        ahead *= 2.0;
    }
    search.beyond = known;
    let is_late = (effort.is_late)();
    let quick = if is_late && best.is_some() {
        None
    } else {
        let labels = if is_late { 0 } else { effort.labels };
        let few = (labels / (row.wildcard.len() + row.folds.len())).clamp(1, FEW);
        let mut unbounded = Effort { labels: usize::MAX, ..effort };
        Walk::new(&search, &search.shrink()).run(few, &mut unbounded).ok().flatten()
    };
    let found = best.into_iter().chain(quick).min_by(|a, b| a.cost.total_cmp(&b.cost))?;
    Some(Found { at_least: search.bound.min(found.cost), ..found })
}

/// The remains of a row: the points that matter, and the ways between them.
struct Shrunk {
    /// The leaf at each point.
    points: Vec<usize>,
    /// The items and wildcards of the leaves from each point to the next. `None` if some of these
    /// leaves must be folded.
    steps: Vec<Option<(u32, u32)>>,
    /// The leaps, in the order of their first points: the range of points, and the fold's index in
    /// the row.
    leaps: Vec<(Range<usize>, usize)>,
}

struct Search<'a> {
    row: &'a Row<'a>,
    /// The number of folds that begin before each point. The last entry is the total.
    starts: Vec<u32>,
    /// The least numbers of items and of wildcards that cover the rest from each point on. They may
    /// belong to different covers.
    least: Vec<(u32, u32)>,
    prices: Prices,
    /// The least cost of the rest from each point on, at those prices.
    rest: Vec<f64>,
    /// The fold at which the cheapest rest from each point begins, or [`NONE`] if it begins with a
    /// step.
    chosen: Vec<u32>,
    /// The lower bound: no cover within the budget costs less.
    bound: f64,
    /// The upper bound: the best cover within the budget, if there is one, does not cost more.
    beyond: f64,
    /// The cheapest cover within the budget that the prices gave so far.
    relaxed: Option<Found>,
}

impl<'a> Search<'a> {
    fn new(row: &'a Row<'a>) -> Self {
        let points = row.wildcard.len() + 1;
        let mut starts = Vec::with_capacity(points + 1);
        let mut next = 0;
        for point in 0..points {
            starts.push(number(next));
            while row.folds.get(next).is_some_and(|fold| fold.leaves.start == point) {
                next += 1;
            }
        }
        starts.push(number(next));
        let mut least: Vec<(u32, u32)> = vec![(0, 0); points];
        let mut folds = row.folds.iter().rev().peekable();
        for point in (0..points - 1).rev() {
            let (items, wildcards) = least[point + 1];
            let (mut items, mut wildcards) = (items + 1, wildcards + u32::from(row.wildcard[point]));
            while let Some(fold) = folds.next_if(|fold| fold.leaves.start == point) {
                items = items.min(1 + least[fold.leaves.end].0);
                wildcards = wildcards.min(1 + least[fold.leaves.end].1);
            }
            least[point] = (items, wildcards);
        }
        Self {
            row,
            starts,
            least,
            prices: Prices::default(),
            rest: vec![0.0; points],
            chosen: vec![NONE; points],
            bound: 0.0,
            // No cover makes a fold twice, so none costs more than all folds together.
            beyond: row.folds.iter().map(|fold| fold.cost).sum(),
            relaxed: None,
        }
    }

    /// Returns the indices of the folds that begin at a point.
    fn beginning_at(&self, point: usize) -> Range<usize> {
        self.starts[point] as usize..self.starts[point + 1] as usize
    }

    /// Returns the least number of items that cover the rest from a point on.
    fn least_items(&self, point: usize) -> usize {
        self.least[point].0 as usize
    }

    /// Returns the least number of wildcards that cover the rest from a point on.
    fn least_wildcards(&self, point: usize) -> usize {
        self.least[point].1 as usize
    }

    /// Finds the prices at which the relaxed problem gives the highest lower bound.
    fn price(&mut self, effort: Effort<'_>) {
        let start = self.row.folds.iter().map(|fold| fold.cost).fold(f64::MIN_POSITIVE, f64::max) / 1024.0;
        let (mut item, mut best) = (start, (f64::NEG_INFINITY, Prices::default()));
        maximise(start, effort.is_late, |wildcard| {
            let mut touching = Touching { value: f64::NEG_INFINITY, slope: 0.0 };
            item = maximise(item.max(start / 1024.0), effort.is_late, |item| {
                let (relaxed, wildcards) = self.relax(Prices { item, wildcard });
                if relaxed.value > touching.value {
                    touching = Touching { value: relaxed.value, slope: wildcards };
                }
                if relaxed.value > best.0 {
                    best = (relaxed.value, Prices { item, wildcard });
                }
                relaxed
            });
            touching
        });
        self.prices = best.1;
        self.relax(best.1);
        self.bound = best.0.max(0.0);
    }

    /// Solves the relaxed problem: finds the cheapest way through the row if items and wildcards
    /// beyond the budget can be bought at these prices, and those left over are refunded.
    ///
    /// Returns the value of the solution with its slope in the price of items, and the slope in the
    /// price of wildcards. Stores the cost of the rest from each point on in `rest`. If the
    /// solution is within the budget, lowers `beyond` to its cost.
    fn relax(&mut self, prices: Prices) -> (Touching, f64) {
        let points = self.rest.len();
        self.rest[points - 1] = 0.0;
        self.chosen[points - 1] = NONE;
        for point in (0..points - 1).rev() {
            let mut least = prices.of(self.row.wildcard[point]) + self.rest[point + 1];
            let mut chosen = NONE;
            for index in self.beginning_at(point) {
                let fold = &self.row.folds[index];
                let cost = fold.cost + prices.of(true) + self.rest[fold.leaves.end];
                if cost < least {
                    (least, chosen) = (cost, number(index));
                }
            }
            self.rest[point] = least;
            self.chosen[point] = chosen;
        }
        let (mut items, mut wildcards, mut cost, mut point) = (0.0, 0.0, 0.0, 0);
        let mut folds = Vec::new();
        while point < points - 1 {
            items += 1.0;
            if self.chosen[point] == NONE {
                wildcards += f64::from(u8::from(self.row.wildcard[point]));
                point += 1;
            } else {
                let fold = &self.row.folds[self.chosen[point] as usize];
                wildcards += 1.0;
                cost += fold.cost;
                folds.push(self.chosen[point] as usize);
                point = fold.leaves.end;
            }
        }
        let (max_items, max_wildcards) = (real(self.row.max_items), real(self.row.max_wildcards));
        let value = self.rest[0] - prices.item * max_items - prices.wildcard * max_wildcards;
        if items <= max_items && wildcards <= max_wildcards {
            self.beyond = self.beyond.min(cost);
            if self.relaxed.as_ref().is_none_or(|known| cost < known.cost) {
                self.relaxed = Some(Found { folds, cost, at_least: 0.0 });
            }
        }
        (Touching { value, slope: items - max_items }, wildcards - max_wildcards)
    }

    /// Returns the row, leaving out steps and leaps that the prices prove too expensive for a cover
    /// that costs at most `beyond`.
    fn shrink(&self) -> Shrunk {
        let leaves = self.row.wildcard.len();
        // The least cost of reaching each point, as `rest` is the least cost from there on.
        let mut come = vec![f64::INFINITY; leaves + 1];
        come[0] = 0.0;
        let most = self.row.max_items;
        let paid_back = self.prices.item * real(most) + self.prices.wildcard * real(self.row.max_wildcards);
        let promising = |come: f64, cost: f64, end: usize| {
            come + cost + self.rest[end] - paid_back <= self.rounded_beyond()
        };
        let step = |leaf: usize| self.prices.of(self.row.wildcard[leaf]);
        let mut kept = Vec::new();
        let mut is_point = vec![false; leaves + 1];
        (is_point[0], is_point[leaves]) = (true, true);
        for leaf in 0..leaves {
            come[leaf + 1] = come[leaf + 1].min(come[leaf] + step(leaf));
            for index in self.beginning_at(leaf) {
                let fold = &self.row.folds[index];
                let cost = fold.cost + self.prices.of(true);
                let end = fold.leaves.end;
                come[end] = come[end].min(come[leaf] + cost);
                if promising(come[leaf], cost, end) {
                    (is_point[leaf], is_point[end]) = (true, true);
                    kept.push(index);
                }
            }
        }
        let points: Vec<usize> = (0..=leaves).filter(|leaf| is_point[*leaf]).collect();
        let steps = points.windows(2).map(|pair| {
            let whole = (pair[0]..pair[1]).all(|leaf| promising(come[leaf], step(leaf), leaf + 1));
            let wildcards = self.row.wildcard[pair[0]..pair[1]].iter().filter(|wildcard| **wildcard).count();
            whole.then(|| (number(pair[1] - pair[0]), number(wildcards)))
        });
        let point = |leaf: usize| points.binary_search(&leaf).unwrap_or(points.len());
        let leaps = kept.iter().map(|&index| {
            let run = &self.row.folds[index].leaves;
            (point(run.start)..point(run.end), index)
        });
        Shrunk { steps: steps.collect(), leaps: leaps.collect(), points }
    }

    /// Returns `beyond` with some tolerance for rounding errors.
    fn rounded_beyond(&self) -> f64 {
        self.beyond * (1.0 + ROUNDING)
    }
}

/// Converts a count of leaves, folds or leaps to 32 bits. More of them would not fit into memory.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of items, far below 2^52")]
const fn real(count: usize) -> f64 {
    count as f64
}
