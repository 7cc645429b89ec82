//! Few items that cover many: what to send when a batch changes more paths than
//! one wants to pay for or CloudFront takes.

use std::cmp::Ordering;

use crate::path::{Item, Kind};

/// How much one invalidation may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Items in all: exact paths, wildcards and cache tags. At least 1.
    pub items: usize,
    /// How many of them may be wildcards. At least 1.
    pub wildcards: usize,
}

/// An item of a [`cover`], and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covering {
    /// What is sent.
    pub item: Item,
    /// How many different items that were asked for it covers.
    pub covers: usize,
    /// Whether it is there only to save items: a wildcard that nobody asked for.
    pub folded: bool,
}

/// Items within `budget` that together cover all of `items`, in the order of the
/// wire.
///
/// What fits is only freed of duplicates and of what another item covers. What does
/// not fit is folded: paths that share a beginning of at least so many bytes become
/// the wildcard for what they share, for the longest such beginning that brings the
/// whole within budget, so that `/*` comes only when nothing narrower fits. Cache
/// tags are never folded; where they alone leave no room, `/*` stands for them too,
/// as it purges everything.
#[must_use]
pub fn cover(items: impl IntoIterator<Item = Item>, budget: Budget) -> Vec<Covering> {
    let (mut tags, mut paths): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.kind() == Kind::Tag);
    tags.sort_by_cached_key(|tag| (tag.as_str().to_ascii_lowercase(), tag.clone()));
    tags.dedup_by(|next, kept| kept.covers(next));
    // A wildcard comes right before what it covers.
    paths.sort_unstable_by(|a, b| {
        let exact = |item: &Item| item.kind() == Kind::Exact;
        a.stem().cmp(b.stem()).then(exact(a).cmp(&exact(b)))
    });
    paths.dedup();
    let asked = paths.len() + tags.len();
    let paths = without_covered(paths);

    let room = Budget { items: budget.items.saturating_sub(tags.len()), ..budget };
    let folded = match tags.len().cmp(&budget.items) {
        Ordering::Greater => None,
        _ if fits(&paths, room) => Some(paths),
        _ => fold(&paths, room),
    };
    let mut covering = if let Some(mut covering) = folded {
        covering.extend(tags.into_iter().map(|item| Covering { item, covers: 1, folded: false }));
        covering
    } else {
        vec![Covering { item: Item::everything(), covers: asked, folded: true }]
    };
    covering.sort_unstable_by(|a, b| a.item.cmp(&b.item));
    covering
}

fn fits(covering: &[Covering], budget: Budget) -> bool {
    let wildcards = covering.iter().filter(|one| one.item.kind() == Kind::Wildcard).count();
    covering.len() <= budget.items && wildcards <= budget.wildcards
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

/// `paths` with all that share enough of their beginning folded, or nothing where
/// not even the shortest beginning makes them fit.
fn fold(paths: &[Covering], budget: Budget) -> Option<Vec<Covering>> {
    let shared: Vec<usize> = paths.windows(2).map(|pair| pair[0].item.common_stem(&pair[1].item)).collect();
    let mut lengths = shared.clone();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
        .into_iter()
        .rev()
        .map(|length| fold_at(paths, &shared, length))
        .find(|folded| fits(folded, budget))
}

/// `paths` with every run of neighbours that share `length` bytes or more folded.
fn fold_at(paths: &[Covering], shared: &[usize], length: usize) -> Vec<Covering> {
    let mut folded = Vec::new();
    let mut start = 0;
    while let Some(first) = paths.get(start) {
        let more = shared[start..].iter().take_while(|&&bytes| bytes >= length).count();
        let run = &paths[start..=start + more];
        folded.push(match shared[start..start + more].iter().min() {
            None => first.clone(),
            Some(&common) => Covering {
                item: first.item.wildcard(common),
                covers: run.iter().map(|one| one.covers).sum(),
                folded: true,
            },
        });
        start += more + 1;
    }
    folded
}
