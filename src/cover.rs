//! Few items that cover many: what to send when a batch changes more paths than one
//! wants to pay for or CloudFront takes.
//!
//! Folding is a guess about what is in the bucket besides what changed, since a
//! wildcard also purges that: its **collateral**. Nobody listed the bucket, so the
//! expected collateral of the wildcard for a common beginning is estimated as
//!
//! > the square root of the number of directories that the changed paths below it are
//! > in, halved for each directory that it is deep and for each byte of an unfinished
//! > name at its end, + 1/400 for each path that a directory below it lacks,
//!
//! and never less than that of all the wildcards within it, whose purge it includes.
//! A path is lacking where another directory has it whose last two names are the same:
//! it is likely there, too, and did not change. (Of `1.0/java/util/list.html`,
//! `2.0/java/util/list.html` and `2.0/java/util/map.html`, the first `java/util/` lacks
//! `map.html`.) Half a name is shared by few other names; a deeper directory holds
//! less; and what changes in many directories at once was likely generated anew, so
//! that ten of them hide less than ten times what one does. docs/cover.md shows how well
//! that does.
//!
//! [`cover`] finds the items with the least sum of that, exactly. A wildcard need not
//! end at a `/`: the branching points of the tree of all paths, byte by byte, are all
//! tried.
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

use crate::path::{Item, Kind};
use directories::Directories;
pub use search::Effort;
use search::{Fold, Row, cheapest};

/// How much of what is in a directory is in one of those within it, and how many of
/// the names that begin alike still do one byte later.
const PER_STEP: f64 = 1.0 / 2.0;

/// What a path counts that is likely there and did not change.
const PER_PATH_LACKING: f64 = 1.0 / 400.0;

/// How much one invalidation may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Items in all: exact paths, wildcards and cache tags. At least 1.
    pub items: usize,
    /// How many of them may be wildcards. At least 1.
    pub wildcards: usize,
}

/// Items that cover what was asked for, and how good they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Cover {
    /// What is to be sent, in the order of the wire. None covers another.
    pub items: Vec<Covering>,
    /// The expected collateral of what was folded: see the [module](self). Infinite
    /// where nothing narrower than `/*` fits.
    pub cost: f64,
    /// What no cover within the budget can cost less than. The same as `cost`, unless the
    /// search was cut short.
    pub at_least: f64,
}

/// An item of a [`Cover`], and why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covering {
    /// What is sent.
    pub item: Item,
    /// How many different items that were asked for it covers.
    pub covers: usize,
    /// Whether it is there only to save items: a wildcard that nobody asked for.
    pub folded: bool,
}

/// Neighbours with a common beginning, which one wildcard could replace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// What they have in common: what stands before the `*`.
    pub stem: &'a str,
    /// How many different directories they are in.
    pub directories: usize,
    /// How many paths the directories below the stem are known to lack: those that a
    /// directory with the same last two names has somewhere in the batch, and that one
    /// has not.
    pub lacking: usize,
    /// What the next narrower candidates within it come to together.
    pub within: f64,
}

/// What a wildcard for these is expected to purge besides: see the [module](self). In
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

/// The items within `budget` that cover all of `items` at the least expected
/// collateral.
///
/// What fits is only freed of duplicates and of what another item covers; nothing is
/// folded. `/*` comes only when nothing narrower fits. Cache tags are never folded;
/// where they alone leave no room, `/*` stands for them too, as it purges everything.
/// The order of `items` and duplicates in it change nothing.
///
/// Exact where the search takes at most [`Effort::LABELS`], as it does for every deploy that
/// docs/cover.md measures. For others it is a good cover whose distance from the best is at
/// most `cost - at_least`.
#[must_use]
pub fn cover(items: impl IntoIterator<Item = Item>, budget: Budget) -> Cover {
    cover_by(items, budget, Effort::default(), expected_collateral)
}

/// Covers as [`cover`] does, by another measure of collateral, such as one that knows the
/// bucket, and with this much work.
#[must_use]
pub fn cover_by(
    items: impl IntoIterator<Item = Item>,
    budget: Budget,
    effort: Effort<'_>,
    collateral: impl Fn(&Candidate<'_>) -> f64,
) -> Cover {
    cover_list(items.into_iter().collect(), budget, effort, collateral)
}

/// Covers a list of items. Apart from [`cover_by`] so that the search is compiled once, not for
/// every kind of iterator.
fn cover_list(
    mut paths: Vec<Item>,
    budget: Budget,
    effort: Effort<'_>,
    collateral: impl Fn(&Candidate<'_>) -> f64,
) -> Cover {
    let is_tag = |item: &Item| item.kind() == Kind::Tag;
    // Mostly there are none, and many paths need not be moved.
    let mut tags: Vec<Item> = Vec::new();
    if paths.iter().any(is_tag) {
        (tags, paths) = paths.into_iter().partition(is_tag);
    }
    tags.sort_by_cached_key(|tag| (tag.as_str().to_ascii_lowercase(), tag.clone()));
    tags.dedup_by(|next, kept| kept.covers(next));
    // A wildcard comes right before what it covers.
    paths.sort_unstable_by(|a, b| {
        let exact = |item: &Item| item.kind() == Kind::Exact;
        a.stem().cmp(b.stem()).then(exact(a).cmp(&exact(b)))
    });
    paths.dedup();
    let asked = paths.len() + tags.len();
    let leaves = without_covered(paths);

    let room = budget.items.checked_sub(tags.len());
    let folded = room.and_then(|items| fold(leaves, Budget { items, ..budget }, effort, collateral));
    let mut cover = folded.unwrap_or_else(|| {
        let everything = Covering { item: Item::everything(), covers: asked, folded: true };
        tags.clear();
        Cover { items: vec![everything], cost: f64::INFINITY, at_least: f64::INFINITY }
    });
    cover.items.extend(tags.into_iter().map(|item| Covering { item, covers: 1, folded: false }));
    cover.items.sort_unstable_by(|a, b| a.item.cmp(&b.item));
    cover
}

/// The items that no other covers, each with how many it stands for.
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

/// The best cover of paths, or nothing where only `/*` would do.
fn fold(
    leaves: Vec<Covering>,
    budget: Budget,
    effort: Effort<'_>,
    collateral: impl Fn(&Candidate<'_>) -> f64,
) -> Option<Cover> {
    let wildcard: Vec<bool> = leaves.iter().map(|leaf| leaf.item.kind() == Kind::Wildcard).collect();
    let forced = wildcard.iter().filter(|wildcard| **wildcard).count();
    if leaves.len() <= budget.items && forced <= budget.wildcards {
        return Some(Cover { items: leaves, cost: 0.0, at_least: 0.0 });
    }
    let branches = branches(&leaves);
    let folds = candidates(&leaves, &branches, collateral);
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

/// A run of leaves and what they share. A batch has far less than 2^32 of anything.
#[derive(Clone, Copy, Debug)]
struct Branch {
    start: u32,
    end: u32,
    /// How many bytes of their beginning.
    len: u32,
    /// How long the shortest of the directories is that they are in.
    directory: u32,
}

impl Branch {
    /// Returns the indices of the leaves.
    const fn leaves(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Every run of leaves that share more of their beginning than they do with those
/// beside it: the branching points of the tree of paths, but for the root, in the
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

/// The directory that a path is in, with its slash.
fn directory(leaf: &Covering) -> &str {
    let stem = leaf.item.stem();
    &stem[..stem.rfind('/').map_or(0, |slash| slash + 1)]
}

/// The branches with what it costs to fold them.
fn candidates(
    leaves: &[Covering],
    branches: &[Branch],
    collateral: impl Fn(&Candidate<'_>) -> f64,
) -> Vec<Fold> {
    let directories = Directories::of(leaves.iter().map(|leaf| leaf.item.stem()));
    let around = parents(branches);
    let mut within = vec![0.0; branches.len()];
    let mut folds = Vec::with_capacity(branches.len());
    // From the innermost outwards.
    for (index, branch) in branches.iter().enumerate().rev() {
        let (run, len) = (branch.leaves(), branch.len as usize);
        let below = directories.below(&run, len);
        // And the one that the stem itself is in, where some path is directly in it.
        let outer = usize::from(branch.directory < branch.len);
        let candidate = Candidate {
            stem: &leaves[run.start].item.stem()[..len],
            directories: below.holding + outer,
            lacking: below.lacking,
            within: within[index],
        };
        let cost = collateral(&candidate);
        if let Some(parent) = around[index] {
            within[parent] += cost;
        }
        folds.push(Fold { leaves: run, cost });
    }
    folds.reverse();
    folds
}

/// For each branch, the index of the one that it is directly within.
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
