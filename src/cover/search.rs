//! The cheapest way through a row of leaves, where some runs of neighbours may be
//! replaced by one wildcard: exact, under a budget of items and one of wildcards.
//!
//! Leaves stand at 0, 1, … in sorted order, and every fold replaces a run of them;
//! runs nest or lie apart. So a cover is a path from 0 to the last leaf's end, by
//! steps over one leaf (an item) and leaps over a run (an item and a wildcard, at the
//! run's cost), and the best one is a shortest path under two limits. It is found by
//! labels: all ways to reach a point of which none is beaten in cost, items and
//! wildcards at once. Two things keep them few:
//!
//! - A price on items and one on wildcards make it a plain shortest path, which
//!   gives, for every point, a lower bound on what the rest must cost (Lagrangian
//!   relaxation). A first search that keeps only the few most promising labels gives
//!   an upper bound. A label that cannot get below it is dropped; no optimum is lost.
//! - A point has at most one label for each number of items and wildcards, so there
//!   are never more than points × items × wildcards.

use std::ops::Range;

/// How many labels a point keeps in the first, quick search.
const FEW: usize = 24;

/// How many labels the exact search may make before the quick one's answer has to
/// do: more than there can be for 20,000 paths at the default budget, each of whose
/// points and folds has at most 150 × 15.
const MOST_LABELS: usize = 100_000_000;

/// Slack for rounding when bounds are compared.
const ROUNDING: f64 = 1e-9;

const NONE: u32 = u32::MAX;

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

/// A way to reach a point.
#[derive(Clone, Copy, Debug)]
struct Label {
    cost: f64,
    items: u32,
    wildcards: u32,
    /// The leaps so far: the index of the last in `Search::leaps`.
    leaps: u32,
    /// The leap by which it has just arrived, if it has.
    arrived_by: u32,
}

/// What items and wildcards cost in the relaxed problem.
#[derive(Clone, Copy, Debug, Default)]
struct Prices {
    item: f64,
    wildcard: f64,
}

/// The cheapest cover of the row, or nothing where none is within the budget.
pub(super) fn cheapest(row: &Row<'_>) -> Option<Found> {
    let mut search = Search::new(row);
    if search.least_items[0] > row.max_items || search.least_wildcards[0] > row.max_wildcards {
        return None;
    }
    search.price();
    let quick = search.walk(f64::INFINITY, FEW);
    let beyond = quick.as_ref().map_or(f64::INFINITY, |found| found.cost);
    match search.walk(beyond, usize::MAX) {
        Some(exact) => Some(Found { at_least: exact.cost, ..exact }),
        None => quick.map(|found| Found { at_least: search.bound.min(found.cost), ..found }),
    }
}

struct Search<'a> {
    row: &'a Row<'a>,
    /// For each point, which folds begin there.
    starts: Vec<Range<usize>>,
    /// For each point, how few items cover the rest.
    least_items: Vec<usize>,
    /// For each point, how few wildcards cover the rest.
    least_wildcards: Vec<usize>,
    prices: Prices,
    /// For each point, the least that the rest costs at those prices.
    rest: Vec<f64>,
    /// For each point, the fold with which that begins, if with any.
    chosen: Vec<u32>,
    /// What no cover within the budget can cost less than.
    bound: f64,
    /// Leaps made on the way: the fold, and the leap before.
    leaps: Vec<(u32, u32)>,
}

impl<'a> Search<'a> {
    fn new(row: &'a Row<'a>) -> Self {
        let points = row.wildcard.len() + 1;
        let mut starts = Vec::with_capacity(points);
        let mut next = 0;
        for point in 0..points {
            let begin = next;
            while row.folds.get(next).is_some_and(|fold| fold.leaves.start == point) {
                next += 1;
            }
            starts.push(begin..next);
        }
        let mut least_items = vec![0; points];
        let mut least_wildcards = vec![0; points];
        for point in (0..points - 1).rev() {
            least_items[point] = 1 + least_items[point + 1];
            least_wildcards[point] = usize::from(row.wildcard[point]) + least_wildcards[point + 1];
            for fold in &row.folds[starts[point].clone()] {
                least_items[point] = least_items[point].min(1 + least_items[fold.leaves.end]);
                least_wildcards[point] = least_wildcards[point].min(1 + least_wildcards[fold.leaves.end]);
            }
        }
        Self {
            row,
            starts,
            least_items,
            least_wildcards,
            prices: Prices::default(),
            rest: vec![0.0; points],
            chosen: vec![NONE; points],
            bound: 0.0,
            leaps: Vec::new(),
        }
    }

    /// Finds prices at which the relaxed problem says the most about the real one.
    fn price(&mut self) {
        let start = self.row.folds.iter().map(|fold| fold.cost).fold(f64::MIN_POSITIVE, f64::max) / 1024.0;
        let (mut item, mut best) = (start, (f64::NEG_INFINITY, Prices::default()));
        maximise(start, |wildcard| {
            let mut touching = Touching { value: f64::NEG_INFINITY, slope: 0.0 };
            item = maximise(item.max(start / 1024.0), |item| {
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
    /// Leaves in `rest` what each point's rest costs.
    fn relax(&mut self, prices: Prices) -> (Touching, f64) {
        let points = self.rest.len();
        self.rest[points - 1] = 0.0;
        self.chosen[points - 1] = NONE;
        for point in (0..points - 1).rev() {
            let own = if self.row.wildcard[point] { prices.wildcard } else { 0.0 };
            let mut least = prices.item + own + self.rest[point + 1];
            let mut chosen = NONE;
            for index in self.starts[point].clone() {
                let fold = &self.row.folds[index];
                let cost = fold.cost + prices.item + prices.wildcard + self.rest[fold.leaves.end];
                if cost < least {
                    (least, chosen) = (cost, number(index));
                }
            }
            self.rest[point] = least;
            self.chosen[point] = chosen;
        }
        let (mut items, mut wildcards, mut point) = (0.0, 0.0, 0);
        while point < points - 1 {
            items += 1.0;
            if self.chosen[point] == NONE {
                wildcards += f64::from(u8::from(self.row.wildcard[point]));
                point += 1;
            } else {
                wildcards += 1.0;
                point = self.row.folds[self.chosen[point] as usize].leaves.end;
            }
        }
        let (max_items, max_wildcards) = (real(self.row.max_items), real(self.row.max_wildcards));
        let value = self.rest[0] - prices.item * max_items - prices.wildcard * max_wildcards;
        (Touching { value, slope: items - max_items }, wildcards - max_wildcards)
    }

    /// Walks the row with labels, of which each point keeps at most `most`, and which
    /// may not come to cost more than `beyond`. Nothing where that leads nowhere, or
    /// takes more labels than may be made.
    fn walk(&mut self, beyond: f64, most: usize) -> Option<Found> {
        let points = self.rest.len();
        self.leaps.clear();
        let mut arriving: Vec<Vec<Label>> = vec![Vec::new(); points];
        arriving[0].push(Label { cost: 0.0, items: 0, wildcards: 0, leaps: NONE, arrived_by: NONE });
        let mut made = 0_usize;
        for point in 0..points - 1 {
            let mut labels = std::mem::take(&mut arriving[point]);
            self.settle(point, &mut labels, most);
            made += labels.len() * (1 + self.starts[point].len());
            if made > MOST_LABELS {
                return None;
            }
            for index in self.starts[point].clone() {
                let fold = &self.row.folds[index];
                let end = fold.leaves.end;
                arriving[end].extend(labels.iter().filter_map(|label| {
                    let label = Label {
                        cost: label.cost + fold.cost,
                        items: label.items + 1,
                        wildcards: label.wildcards + 1,
                        arrived_by: number(index),
                        ..*label
                    };
                    self.is_promising(end, &label, beyond).then_some(label)
                }));
            }
            let own = u32::from(self.row.wildcard[point]);
            for label in &mut labels {
                label.items += 1;
                label.wildcards += own;
            }
            labels.retain(|label| self.is_promising(point + 1, label, beyond));
            // Most points are reached in no other way, and then nothing is copied.
            if arriving[point + 1].is_empty() {
                arriving[point + 1] = labels;
            } else {
                arriving[point + 1].append(&mut labels);
            }
        }
        let mut last = std::mem::take(&mut arriving[points - 1]);
        self.settle(points - 1, &mut last, usize::MAX);
        let best = last.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost))?;
        let mut folds = Vec::new();
        let mut leap = best.leaps;
        while leap != NONE {
            let (fold, before) = self.leaps[leap as usize];
            folds.push(fold as usize);
            leap = before;
        }
        folds.reverse();
        Some(Found { folds, cost: best.cost, at_least: 0.0 })
    }

    /// Whether a label may still come to a cover within budget that costs no more
    /// than `beyond`.
    fn is_promising(&self, point: usize, label: &Label, beyond: f64) -> bool {
        label.items as usize + self.least_items[point] <= self.row.max_items
            && label.wildcards as usize + self.least_wildcards[point] <= self.row.max_wildcards
            && self.comes_to(point, label) <= beyond + beyond.min(f64::MAX).abs() * ROUNDING
    }

    /// What a cover that begins with this label costs at least.
    fn comes_to(&self, point: usize, label: &Label) -> f64 {
        let items_left = real(self.row.max_items) - f64::from(label.items);
        let wildcards_left = real(self.row.max_wildcards) - f64::from(label.wildcards);
        label.cost + self.rest[point] - self.prices.item * items_left - self.prices.wildcard * wildcards_left
    }

    /// Keeps the labels that no other beats in every respect, `most` of them at the
    /// most, and writes down the leaps by which they came.
    fn settle(&mut self, point: usize, labels: &mut Vec<Label>, most: usize) {
        if labels.iter().any(|label| label.arrived_by != NONE) {
            unbeaten(labels);
        }
        if labels.len() > most {
            let worth = |label: &Label| self.comes_to(point, label);
            labels.select_nth_unstable_by(most, |a, b| worth(a).total_cmp(&worth(b)));
            labels.truncate(most);
        }
        for label in labels {
            if label.arrived_by != NONE {
                let leap = number(self.leaps.len());
                self.leaps.push((label.arrived_by, label.leaps));
                (label.leaps, label.arrived_by) = (leap, NONE);
            }
        }
    }
}

/// Removes every label for which another has no more items, no more wildcards and no
/// higher cost.
fn unbeaten(labels: &mut Vec<Label>) {
    labels.sort_unstable_by(|a, b| {
        (a.wildcards, a.items).cmp(&(b.wildcards, b.items)).then(a.cost.total_cmp(&b.cost))
    });
    // For what was kept so far: items ascending, cost descending.
    let mut stairs: Vec<(u32, f64)> = Vec::new();
    labels.retain(|label| {
        let above = stairs.partition_point(|&(items, _)| items <= label.items);
        if above > 0 && stairs[above - 1].1 <= label.cost {
            return false;
        }
        let beaten = stairs[above..].iter().take_while(|&&(_, cost)| cost >= label.cost).count();
        let same = usize::from(above > 0 && stairs[above - 1].0 == label.items);
        stairs.splice(above - same..above + beaten, [(label.items, label.cost)]);
        true
    });
}

/// A line that touches a function at one place.
#[derive(Clone, Copy, Debug)]
struct Touching {
    value: f64,
    slope: f64,
}

/// Where a concave, piecewise linear function of a price is highest, as nearly as a
/// few looks tell. Each look is where the lines that touch on either side of the top
/// meet, which is the top itself as soon as both belong to it.
fn maximise(start: f64, mut at: impl FnMut(f64) -> Touching) -> f64 {
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

/// Leaves, folds and leaps are counted in 32 bits: there is no memory for more.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of items, far below 2^52")]
const fn real(count: usize) -> f64 {
    count as f64
}
