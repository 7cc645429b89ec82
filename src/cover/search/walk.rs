//! Walks with labels through the remains of a row.

use super::{Effort, Found, MOST_COUNTED, NONE, Search, Shrunk, number, prices::Prices, real};

/// Maximum number of labels that wait at points ahead, which take 16 MB of memory.
const MOST_WAITING: usize = 500_000;

/// Maximum number of leaps in the trail, which take 8 MB of memory.
const MOST_LEAPS: usize = 1_000_000;

/// The number of points between two looks at the clock.
const POINTS_A_LOOK: usize = 64;

/// The multiples of the best prices by which labels are judged: those for items, and those for
/// wildcards.
const ITEM_PRICES: [f64; 9] = [0.25, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0, 4.0];
const WILDCARD_PRICES: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// A way to reach a point.
#[derive(Clone, Copy, Debug)]
struct Label {
    cost: f64,
    items: u32,
    wildcards: u32,
    /// Index in the trail of the last leap so far, or [`NONE`].
    leaps: u32,
    /// The fold of the leap by which it has just arrived, or [`NONE`]. It is not yet in the trail.
    arrived_by: u32,
}

/// The leaps made: for each, the fold and the index of the leap before.
type Trail = Vec<(u32, u32)>;

/// Lower bounds on the cost of the rest of a shrunk row, from each of its points and at several
/// prices.
struct Outlook {
    /// The prices, the best ones first.
    prices: Vec<Prices>,
    /// The lower bounds: for each point, one at each of the prices.
    rest: Vec<f64>,
}

impl Outlook {
    fn new(search: &Search<'_>, shrunk: &Shrunk) -> Self {
        let best = search.prices;
        let mut prices = vec![best];
        // For more points, the bounds would take too much memory.
        if shrunk.points.len() <= MOST_COUNTED {
            let at = |item, wildcard| Prices { item: best.item * item, wildcard: best.wildcard * wildcard };
            prices.extend(
                ITEM_PRICES.iter().flat_map(|item| WILDCARD_PRICES.map(|wildcard| at(item, wildcard))),
            );
        }
        let many = prices.len();
        let mut rest = vec![f64::INFINITY; shrunk.points.len() * many];
        let mut leaps = shrunk.leaps.iter().rev().peekable();
        for point in (0..shrunk.points.len()).rev() {
            let (here, later) = rest[point * many..].split_at_mut(many);
            match shrunk.steps.get(point) {
                None => here.fill(0.0),
                Some(None) => {}
                Some(Some((items, wildcards))) => {
                    for ((here, next), prices) in here.iter_mut().zip(&*later).zip(&prices) {
                        *here =
                            next + f64::from(*items) * prices.item + f64::from(*wildcards) * prices.wildcard;
                    }
                }
            }
            while let Some((run, index)) = leaps.next_if(|(run, _)| run.start == point) {
                let cost = search.row.folds[*index].cost;
                let there = &later[(run.end - point - 1) * many..];
                for ((here, there), prices) in here.iter_mut().zip(there).zip(&prices) {
                    *here = here.min(cost + prices.of(true) + there);
                }
            }
        }
        Self { prices, rest }
    }

    /// Returns lower bounds on the cost of the rest from this point on with so many items and
    /// wildcards left. There is one at each of the prices, the best ones first.
    fn from(&self, point: usize, items: f64, wildcards: f64) -> impl Iterator<Item = f64> {
        let rest = &self.rest[point * self.prices.len()..];
        rest.iter()
            .zip(&self.prices)
            .map(move |(rest, price)| rest - price.item * items - price.wildcard * wildcards)
    }
}

/// A walk through the remains of a row.
pub(super) struct Walk<'a> {
    search: &'a Search<'a>,
    shrunk: &'a Shrunk,
    outlook: Outlook,
    trail: Trail,
}

impl<'a> Walk<'a> {
    pub(super) fn new(search: &'a Search<'a>, shrunk: &'a Shrunk) -> Self {
        Self { search, shrunk, outlook: Outlook::new(search, shrunk), trail: Vec::new() }
    }

    /// Finds the best cover with at most `most` labels at a point. Subtracts the labels that it
    /// makes from `effort`. Returns `None` if no label reaches the end.
    ///
    /// # Errors
    ///
    /// Returns [`TooMany`] if it needs more labels, memory or time than it may use.
    pub(super) fn run(mut self, most: usize, effort: &mut Effort<'_>) -> Result<Option<Found>, TooMany> {
        let Shrunk { steps, leaps, .. } = self.shrunk;
        let mut waiting = 1;
        let mut arriving: Vec<Vec<Label>> = vec![Vec::new(); steps.len() + 1];
        arriving[0].push(Label { cost: 0.0, items: 0, wildcards: 0, leaps: NONE, arrived_by: NONE });
        let mut leaps = leaps.iter().peekable();
        for (point, step) in steps.iter().enumerate() {
            let mut labels = std::mem::take(&mut arriving[point]);
            waiting -= labels.len();
            self.settle(point, &mut labels, most);
            let mut made = labels.len();
            while let Some((run, index)) = leaps.next_if(|(run, _)| run.start == point) {
                made += labels.len();
                let cost = self.search.row.folds[*index].cost;
                let there = &mut arriving[run.end];
                let before = there.len();
                there.extend(labels.iter().filter_map(|label| {
                    let label = Label {
                        cost: label.cost + cost,
                        items: label.items + 1,
                        wildcards: label.wildcards + 1,
                        arrived_by: number(*index),
                        ..*label
                    };
                    self.is_promising(run.end, &label).then_some(label)
                }));
                waiting += there.len() - before;
            }
            effort.labels = effort.labels.checked_sub(made).ok_or(TooMany)?;
            let is_late = point % POINTS_A_LOOK == 0 && most == usize::MAX && (effort.is_late)();
            if is_late || waiting > MOST_WAITING || self.trail.len() > MOST_LEAPS {
                return Err(TooMany);
            }
            let Some((items, wildcards)) = *step else { continue };
            for label in &mut labels {
                label.items += items;
                label.wildcards += wildcards;
            }
            labels.retain(|label| self.is_promising(point + 1, label));
            waiting += labels.len();
            arriving[point + 1].append(&mut labels);
        }
        let mut labels = arriving.pop().unwrap_or_default();
        self.settle(steps.len(), &mut labels, usize::MAX);
        Ok(labels.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost)).map(|best| self.found(&best)))
    }

    /// Returns the cover that a label at the end stands for.
    fn found(&self, label: &Label) -> Found {
        let leap = |index: u32| self.trail.get(index as usize);
        let leaps = std::iter::successors(leap(label.leaps), |(_, before)| leap(*before));
        let mut folds: Vec<usize> = leaps.map(|(fold, _)| *fold as usize).collect();
        folds.reverse();
        Found { folds, cost: label.cost, at_least: 0.0 }
    }

    /// Returns whether a label may still become a cover within the budget that costs no more than
    /// the limit of this pass.
    fn is_promising(&self, point: usize, label: &Label) -> bool {
        let row = self.search.row;
        let leaf = self.shrunk.points[point];
        label.items as usize + self.search.least_items(leaf) <= row.max_items
            && label.wildcards as usize + self.search.least_wildcards(leaf) <= row.max_wildcards
            && self.comes_to(point, label).all(|cost| cost <= self.search.rounded_beyond())
    }

    /// Returns lower bounds on the cost of a cover that begins with this label, at several prices,
    /// the best ones first.
    fn comes_to(&self, point: usize, label: &Label) -> impl Iterator<Item = f64> {
        let items = real(self.search.row.max_items) - f64::from(label.items);
        let wildcards = real(self.search.row.max_wildcards) - f64::from(label.wildcards);
        let cost = label.cost;
        self.outlook.from(point, items, wildcards).map(move |rest| cost + rest)
    }

    /// Keeps the labels that no other one beats, at most `most` of them, and adds the leaps by
    /// which they arrived to the trail.
    fn settle(&mut self, point: usize, labels: &mut Vec<Label>, most: usize) {
        if labels.iter().any(|label| label.arrived_by != NONE) {
            unbeaten(labels);
        }
        if labels.len() > most {
            let worth = |label: &Label| self.comes_to(point, label).next().unwrap_or(label.cost);
            labels.select_nth_unstable_by(most, |a, b| worth(a).total_cmp(&worth(b)));
            labels.truncate(most);
        }
        for label in labels {
            if label.arrived_by != NONE {
                let leap = number(self.trail.len());
                self.trail.push((label.arrived_by, label.leaps));
                (label.leaps, label.arrived_by) = (leap, NONE);
            }
        }
    }
}

/// The error of a search that exceeds its limits.
pub(super) struct TooMany;

/// Removes every label that another one beats, with no more items, no more wildcards and no higher
/// cost.
fn unbeaten(labels: &mut Vec<Label>) {
    labels.sort_unstable_by(|a, b| {
        (a.wildcards, a.items).cmp(&(b.wildcards, b.items)).then(a.cost.total_cmp(&b.cost))
    });
    // The labels kept so far, with items ascending and cost descending.
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
