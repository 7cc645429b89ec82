//! The cheapest way through a row of leaves, where some runs of neighbours may be
//! replaced by one wildcard: exact, under a budget of items and one of wildcards.
//!
//! Leaves stand at 0, 1, … in sorted order, and every fold replaces a run of them;
//! runs nest or lie apart. So a cover is a path from 0 to the last leaf's end, by
//! steps over one leaf (an item) and leaps over a run (an item and a wildcard, at the
//! run's cost), and the best one is a shortest path under two limits. It is found by
//! labels: all ways to reach a point of which none is beaten in cost, items and
//! wildcards at once. What keeps that fast:
//!
//! - A price on items and one on wildcards make it a plain shortest path, which
//!   gives, for every step and leap, a lower bound on what a cover with it must cost
//!   (Lagrangian relaxation). The covers met while looking for the best prices give an
//!   upper bound.
//! - The search looks for a cover that costs no more than a little above the lower
//!   bound and, where there is none, for one that costs no more than a little more, up
//!   to the upper one. What it finds first is the best there is.
//! - Steps and leaps that cannot be in such a cover are left out. Mostly few leaps
//!   remain, and the row shrinks to the points where they begin and end.
//! - Labels that cannot become such a cover are dropped. A label that has spent little
//!   on items and much on wildcards is not judged by the prices that are best for the
//!   whole, so each is held against dozens of prices.
//! - A point has at most one label for each number of items and wildcards, so there
//!   are never more than points × items × wildcards.
//!
//! The work is bounded by the number of labels, not by time, so that the same row gives the same
//! cover on a slow machine. Beyond that bound, the cover is the better one of those that the
//! prices gave and of a search that keeps few labels at each point.

mod prices;
mod walk;

use std::{fmt, ops::Range};

use prices::{Prices, Touching, maximise};
use walk::{TooMany, Walk};

/// Maximum number of labels that a point keeps where the exact search would take too long.
const FEW: usize = 24;

/// Maximum number of points at which labels are judged by many prices: memory for 7 MB.
const MOST_COUNTED: usize = 20_000;

/// Slack for rounding when bounds are compared.
const ROUNDING: f64 = 1e-9;

const NONE: u32 = u32::MAX;

/// How much work a search may do.
#[derive(Clone, Copy)]
pub struct Effort<'a> {
    /// Maximum number of labels that the search makes before it falls back to a cover that is
    /// good but perhaps not the best.
    pub labels: usize,
    /// Whether to fall back at once, since time runs out. Unlike the number of labels, this may
    /// differ from one machine to the next.
    pub is_late: &'a dyn Fn() -> bool,
}

impl Effort<'_> {
    /// Maximum number of labels for one batch: some tenths of a second of work. The largest
    /// deploy of a real site so far takes 76,000 at the default budget, and 1.4 million at 600
    /// items.
    pub const LABELS: usize = 3_000_000;
}

impl Default for Effort<'_> {
    /// All the labels of a batch, and never late.
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

/// What is to be covered, and within what.
pub(super) struct Row<'a> {
    /// For each leaf, whether it is a wildcard itself.
    pub(super) wildcard: &'a [bool],
    /// In the order of their first leaves.
    pub(super) folds: &'a [Fold],
    pub(super) max_items: usize,
    pub(super) max_wildcards: usize,
}

/// A cover of the row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Indices of the folds that are made, in order.
    pub(super) folds: Vec<usize>,
    /// What they cost together.
    pub(super) cost: f64,
    /// What no cover within the budget can cost less than.
    pub(super) at_least: f64,
}

/// Finds the cheapest cover of the row. `None` if none is within the budget.
pub(super) fn cheapest(row: &Row<'_>, effort: Effort<'_>) -> Option<Found> {
    let mut search = Search::new(row);
    if search.least_items(0) > row.max_items || search.least_wildcards(0) > row.max_wildcards {
        return None;
    }
    search.price(effort);
    // The best is mostly near the bound, and to search what is near is quick: so look a
    // little beyond the bound, then twice as far, and so on. What is found first
    // is the best.
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
            // Only below what was looked for is everything looked at.
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

/// What is left of a row: the points that matter, and the ways between them.
struct Shrunk {
    /// The leaf at which each point is.
    points: Vec<usize>,
    /// From each point to the next, the items and wildcards of the leaves between.
    /// None where some of them must be folded.
    steps: Vec<Option<(u32, u32)>>,
    /// In the order of their first points: the points, and the index in the row.
    leaps: Vec<(Range<usize>, usize)>,
}

struct Search<'a> {
    row: &'a Row<'a>,
    /// For each point, how many folds begin before it; and how many there are.
    starts: Vec<u32>,
    /// For each point, how few items and how few wildcards cover the rest.
    least: Vec<(u32, u32)>,
    prices: Prices,
    /// For each point, the least that the rest costs at those prices.
    rest: Vec<f64>,
    /// For each point, the fold with which that begins, if with any.
    chosen: Vec<u32>,
    /// What no cover within the budget can cost less than.
    bound: f64,
    /// What the best cover within the budget does not cost more than, if there is one.
    beyond: f64,
    /// The cheapest cover within the budget that some prices gave.
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
            // No cover makes a fold twice.
            beyond: row.folds.iter().map(|fold| fold.cost).sum(),
            relaxed: None,
        }
    }

    /// Returns the indices of the folds that begin at a point.
    fn beginning_at(&self, point: usize) -> Range<usize> {
        self.starts[point] as usize..self.starts[point + 1] as usize
    }

    /// Returns how few items cover the rest from a point on.
    fn least_items(&self, point: usize) -> usize {
        self.least[point].0 as usize
    }

    /// Returns how few wildcards cover the rest from a point on.
    fn least_wildcards(&self, point: usize) -> usize {
        self.least[point].1 as usize
    }

    /// Finds prices at which the relaxed problem says the most about the real one.
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

    /// The cheapest way through the row where items and wildcards may be had at these
    /// prices beyond the budget and are paid back for what is left of it: its cost
    /// with its slope in the price of items, and the slope in that of wildcards.
    /// Leaves in `rest` what each point's rest costs, and in `beyond` what it costs
    /// where it is within the budget.
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

    /// What is left of the row without the steps and leaps that no cover below
    /// `beyond` has.
    fn shrink(&self) -> Shrunk {
        let leaves = self.row.wildcard.len();
        // The least that it costs to come to each point, as `rest` is from there on.
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

    /// `beyond`, with some slack for rounding.
    fn rounded_beyond(&self) -> f64 {
        self.beyond * (1.0 + ROUNDING)
    }
}

/// Leaves, folds and leaps are counted in 32 bits: there is no memory for more.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of items, far below 2^52")]
const fn real(count: usize) -> f64 {
    count as f64
}
