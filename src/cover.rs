//! Folds many paths into few items, for a batch that changes more paths than you want to pay for or
//! CloudFront accepts.
//!
//! A wildcard also purges objects that did not change: its **collateral**. Unless the function lists the
//! bucket, it has to estimate how many those are. The expected collateral of the
//! wildcard for a common prefix is
//!
//! ```text
//! sqrt(directories) / 2^(depth + name) + lacking / 400
//! ```
//!
//! - `directories` is the number of directories that the changed paths with this prefix are in.
//! - `depth` is the number of directories in the prefix, including the root.
//! - `name` is the number of bytes of an unfinished name at the end of the prefix.
//! - `lacking` is the number of paths that the directories below the prefix lack.
//!
//! The estimate is never less than the sum for the next narrower wildcards within this one, which
//! purges everything that they do.
//!
//! A directory lacks a path if another directory with the same last two names has it. The path
//! probably exists there too and did not change. For example, of `1.0/java/util/list.html`,
//! `2.0/java/util/list.html` and `2.0/java/util/map.html`, the first `java/util/` lacks `map.html`.
//!
//! The formula rests on three observations. Few other names share the first half of a name. A
//! deeper directory holds fewer objects. Changes in many directories at once usually mean that a
//! tool has generated them anew, so ten such directories hide fewer than ten times as many
//! unchanged objects as one. docs/cover.md shows how accurate the estimate is.
//!
//! [`cover`] finds the items with the least total collateral, exactly unless the search is cut short:
//! see [`Effort`]. A wildcard need not end at a
//! `/`: the search tries every branching point of the tree of all paths, byte by byte.
//!
//! ```
//! use cloudfront_invalidator::{cover::{Budget, cover}, path::Item};
//!
//! let keys = ["blog/2026/a.html", "blog/2026/b.html", "blog/2026/c.html", "about.html", "feed.xml"];
//! let items = keys.iter().map(|key| Item::from_key(key.as_bytes()));
//! let cover = cover(items, Budget { items: 3, wildcards: 1 });
//! let sent: Vec<&str> = cover.items.iter().map(|one| one.item.as_str()).collect();
//! assert_eq!(sent, ["/about.html", "/blog/2026/*", "/feed.xml"]);
//! ```

mod directories;
mod search;

use std::ops::Range;

use crate::{
    order,
    path::{Item, Kind},
};
use directories::Directories;
pub use search::Effort;
use search::{Fold, Row, cheapest};

/// The share of a directory's objects that one directory within it holds, and the share of the
/// names with a common beginning that still agree one byte later.
const PER_STEP: f64 = 1.0 / 2.0;

/// The collateral of a path that a directory lacks.
const PER_PATH_LACKING: f64 = 1.0 / 400.0;

/// The limits of one invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The maximum number of items: exact paths, wildcards and cache tags together. At least 1.
    pub items: usize,
    /// The maximum number of wildcards among them. At least 1.
    pub wildcards: usize,
}

/// Items that cover the given ones, and how good they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Cover {
    /// The items to send, in that order. None of them covers another.
    pub items: Vec<Covering>,
    /// The expected collateral of the wildcards that replaced other items: see the [module](self).
    /// Infinite if nothing narrower than `/*` fits.
    pub cost: f64,
    /// The lower bound: no cover within the budget costs less. Equal to `cost` unless the search
    /// was cut short.
    pub at_least: f64,
}

/// An item of a [`Cover`], and why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covering {
    /// The item to send.
    pub item: Item,
    /// The number of different given items that it covers.
    pub covers: usize,
    /// Whether it is there only to save items: a wildcard that replaces given ones.
    pub folded: bool,
}

/// Neighboring paths with a common prefix, which one wildcard could replace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// The common prefix: the text before the `*`.
    pub stem: &'a str,
    /// The number of different directories that they are in.
    pub directories: usize,
    /// The number of paths that the directories below the stem are known to lack. A directory lacks
    /// a path if another one in the batch with the same last two names has it.
    pub lacking: usize,
    /// The total collateral of the next narrower candidates within this one.
    pub within: f64,
}

/// Returns the expected collateral of a wildcard for this candidate: see the [module](self). It has
/// no unit; only the proportions matter.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a number of paths, far below 2^52")]
pub fn expected_collateral(candidate: &Candidate<'_>) -> f64 {
    let stem = candidate.stem;
    let name = stem.len() - stem.rfind('/').map_or(0, |slash| slash + 1);
    let depth = stem.bytes().filter(|byte| *byte == b'/').count();
    let narrowed = PER_STEP.powi(i32::try_from(depth + name).unwrap_or(i32::MAX));
    let alone = (candidate.directories as f64).sqrt() * narrowed;
    (alone + PER_PATH_LACKING * candidate.lacking as f64).max(candidate.within)
}

/// A measure of the collateral of wildcards.
pub trait Measure {
    /// Looks at all candidates before any of them gets a cost. Their `within` is not known yet.
    fn prepare(&mut self, _candidates: &mut dyn Iterator<Item = Candidate<'_>>) {}

    /// Returns the collateral of a wildcard for this candidate. It must not be less than
    /// [`Candidate::within`].
    fn cost(&self, candidate: &Candidate<'_>) -> f64;
}

/// A function as a measure.
struct Function<F>(F);

impl<F: Fn(&Candidate<'_>) -> f64> Measure for Function<F> {
    fn cost(&self, candidate: &Candidate<'_>) -> f64 {
        (self.0)(candidate)
    }
}

/// Returns the items within `budget` that cover all of `items` at the least expected collateral.
///
/// If the items fit the budget, this only removes duplicates and items that another one covers, and
/// folds nothing. It returns `/*` only if nothing narrower fits. Cache tags are never folded; if
/// they alone exceed the budget, `/*` replaces them too, because it purges everything. The order of
/// `items` and duplicates among them make no difference.
///
/// The result is exact if the search makes at most [`Effort::LABELS`] labels, as it does for every
/// deploy that docs/cover.md measures. Otherwise it is a good cover that costs at most `cost -
/// at_least` more than the best one.
#[must_use]
pub fn cover(items: impl IntoIterator<Item = Item>, budget: Budget) -> Cover {
    cover_by(items, budget, Effort::default(), expected_collateral)
}

/// Covers items as [`cover`] does, but with this effort and another measure of collateral, such as
/// one that knows the content of the bucket.
#[must_use]
pub fn cover_by(
    items: impl IntoIterator<Item = Item>,
    budget: Budget,
    effort: Effort<'_>,
    collateral: impl Fn(&Candidate<'_>) -> f64,
) -> Cover {
    cover_measured(items.into_iter().collect(), budget, effort, &mut Function(collateral))
}

/// Covers items as [`cover_by`] does, with a measure that may look at all candidates first.
#[must_use]
pub fn cover_measured(
    mut paths: Vec<Item>,
    budget: Budget,
    effort: Effort<'_>,
    measure: &mut dyn Measure,
) -> Cover {
    let is_tag = |item: &Item| item.kind() == Kind::Tag;
    // Most batches have no tags. Partitioning only if there are some avoids moving many paths.
    let mut tags: Vec<Item> = Vec::new();
    if paths.iter().any(is_tag) {
        (tags, paths) = paths.into_iter().partition(is_tag);
    }
    order::sort(&mut tags, |a, b| {
        let lower = |tag: &Item| tag.as_str().to_ascii_lowercase();
        lower(a).cmp(&lower(b)).then_with(|| a.cmp(b))
    });
    tags.dedup_by(|next, kept| kept.covers(next));
    // The order puts a wildcard right before the items that it covers.
    paths.sort_unstable_by(|a, b| {
        let exact = |item: &Item| item.kind() == Kind::Exact;
        a.stem().cmp(b.stem()).then(exact(a).cmp(&exact(b)))
    });
    paths.dedup();
    let given = paths.len() + tags.len();
    let leaves = without_covered(paths);

    let room = budget.items.checked_sub(tags.len());
    let folded = room.and_then(|items| fold(leaves, Budget { items, ..budget }, effort, measure));
    let mut cover = folded.unwrap_or_else(|| {
        let everything = Covering { item: Item::everything(), covers: given, folded: true };
        tags.clear();
        Cover { items: vec![everything], cost: f64::INFINITY, at_least: f64::INFINITY }
    });
    cover.items.extend(tags.into_iter().map(|item| Covering { item, covers: 1, folded: false }));
    order::sort(&mut cover.items, |a, b| a.item.cmp(&b.item));
    cover
}

/// Returns the items that no other one covers, each with the number of items that it stands for.
fn without_covered(sorted: Vec<Item>) -> Vec<Covering> {
    let mut kept: Vec<Covering> = Vec::with_capacity(sorted.len());
    for item in sorted {
        match kept.last_mut() {
            Some(last) if last.item.covers(&item) => last.covers += 1,
            _ => kept.push(Covering { item, covers: 1, folded: false }),
        }
    }
    kept
}

/// Returns the best cover of the paths. `None` if nothing narrower than `/*` fits.
fn fold(
    leaves: Vec<Covering>,
    budget: Budget,
    effort: Effort<'_>,
    measure: &mut dyn Measure,
) -> Option<Cover> {
    let wildcard: Vec<bool> = leaves.iter().map(|leaf| leaf.item.kind() == Kind::Wildcard).collect();
    let forced = wildcard.iter().filter(|wildcard| **wildcard).count();
    if leaves.len() <= budget.items && forced <= budget.wildcards {
        return Some(Cover { items: leaves, cost: 0.0, at_least: 0.0 });
    }
    let branches = branches(&leaves);
    let folds = candidates(&leaves, &branches, measure);
    let lengths: Vec<u32> = branches.iter().map(|branch| branch.len).collect();
    drop(branches);
    let (max_items, max_wildcards) = (budget.items, budget.wildcards);
    let row = Row { wildcard: &wildcard, folds: &folds, max_items, max_wildcards };
    let found = cheapest(&row, effort)?;

    let mut items = Vec::with_capacity(budget.items);
    let mut next = 0;
    for &index in &found.folds {
        let run = folds[index].leaves.clone();
        items.extend_from_slice(&leaves[next..run.start]);
        items.push(Covering {
            item: leaves[run.start].item.wildcard(lengths[index] as usize),
            covers: leaves[run.clone()].iter().map(|leaf| leaf.covers).sum(),
            folded: true,
        });
        next = run.end;
    }
    items.extend_from_slice(&leaves[next..]);
    Some(Cover { items, cost: found.cost, at_least: found.at_least })
}

/// A run of leaves with a common prefix. A batch has far fewer than 2^32 leaves or bytes.
#[derive(Clone, Copy, Debug)]
struct Branch {
    start: u32,
    end: u32,
    /// The length of the common prefix in bytes.
    len: u32,
    /// The length of the shortest directory that one of the leaves is in.
    directory: u32,
}

impl Branch {
    /// Returns the indices of the leaves.
    const fn leaves(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Returns every run of leaves that share a longer prefix with one another than with the leaves
/// beside the run. These are the branching points of the tree of paths, except the root, in the
/// order of their first leaves and from wide to narrow.
fn branches(leaves: &[Covering]) -> Vec<Branch> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut branches: Vec<Branch> = Vec::with_capacity(leaves.len());
    let mut open: Vec<Branch> = Vec::new();
    for (index, leaf) in leaves.iter().enumerate() {
        let next = leaves.get(index + 1);
        let shared = number(next.map_or(0, |next| leaf.item.common_stem(&next.item)));
        let (start, directory) = (number(index), number(directory(leaf).len()));
        let mut closed = Branch { start, end: start + 1, len: u32::MAX, directory };
        while let Some(branch) = open.pop_if(|branch| branch.len > shared) {
            let directory = branch.directory.min(closed.directory);
            closed = Branch { end: start + 1, directory, ..branch };
            branches.push(closed);
        }
        match open.last_mut() {
            Some(branch) if branch.len == shared => branch.directory = branch.directory.min(closed.directory),
            _ => open.push(Branch { len: shared, ..closed }),
        }
    }
    branches.retain(|branch| branch.len > 1);
    branches.sort_unstable_by_key(|branch| (branch.start, branch.len));
    branches
}

/// Returns the directory that a path is in, with its slash.
fn directory(leaf: &Covering) -> &str {
    let stem = leaf.item.stem();
    &stem[..stem.rfind('/').map_or(0, |slash| slash + 1)]
}

/// Returns a fold for each branch, with its cost.
fn candidates(leaves: &[Covering], branches: &[Branch], measure: &mut dyn Measure) -> Vec<Fold> {
    let directories = Directories::of(leaves.iter().map(|leaf| leaf.item.stem()));
    let candidate = |branch: &Branch, within: f64| {
        let (run, len) = (branch.leaves(), branch.len as usize);
        let below = directories.below(&run, len);
        // Add the directory that the stem itself is in, if some path is directly in it.
        let outer = usize::from(branch.directory < branch.len);
        Candidate {
            stem: &leaves[run.start].item.stem()[..len],
            directories: below.holding + outer,
            lacking: below.lacking,
            within,
        }
    };
    measure.prepare(&mut branches.iter().map(|branch| candidate(branch, 0.0)));
    let around = parents(branches);
    let mut within = vec![0.0; branches.len()];
    let mut folds = Vec::with_capacity(branches.len());
    // Visit the innermost branches first, so that `within` is complete for those around them.
    for (index, branch) in branches.iter().enumerate().rev() {
        let cost = measure.cost(&candidate(branch, within[index]));
        if let Some(parent) = around[index] {
            within[parent] += cost;
        }
        folds.push(Fold { leaves: branch.leaves(), cost });
    }
    folds.reverse();
    folds
}

/// Returns, for each branch, the index of the innermost branch that contains it.
fn parents(branches: &[Branch]) -> Vec<Option<usize>> {
    let mut around: Vec<usize> = Vec::new();
    let parent = |(index, branch): (usize, &Branch)| {
        while around.pop_if(|outer| branches[*outer].end <= branch.start).is_some() {}
        let parent = around.last().copied();
        around.push(index);
        parent
    };
    branches.iter().enumerate().map(parent).collect()
}
