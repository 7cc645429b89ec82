//! What the batches of a deploy contain, and how they are folded.

use std::{collections::HashMap, rc::Rc};

use cloudfront_invalidator::{
    cover::{Budget, cover},
    path::{Item, Kind},
};

use crate::{history::Deploy, pollers::Gathered};

/// Changes that are purged together.
#[derive(Default)]
pub(crate) struct Changes {
    /// The number of changes.
    pub(crate) count: usize,
    /// The batches of this deploy.
    pub(crate) batches: Vec<usize>,
    /// The paths that earlier deploys left.
    pub(crate) earlier: Vec<Item>,
}

/// The paths that purge some changes.
#[derive(Clone)]
pub(crate) struct Folded {
    /// The number of paths.
    pub(crate) paths: usize,
    /// Whether no wildcard replaces other paths.
    pub(crate) is_exact: bool,
    /// The wildcards among the paths.
    pub(crate) wildcards: Rc<[String]>,
}

/// The content of the batches of a deploy.
pub(crate) trait Content {
    /// Folds changes into paths within a budget.
    fn fold(&mut self, changes: &Changes, budget: Budget) -> Folded;

    /// Returns the paths of changes, for purging them with those of the next deploy.
    fn paths(&self, changes: &Changes) -> Vec<Item>;
}

/// A full upload. Only the number of paths counts.
pub(crate) struct Everything;

impl Content for Everything {
    fn fold(&mut self, changes: &Changes, budget: Budget) -> Folded {
        let (count, items) = (changes.count, budget.items);
        Folded { paths: count.min(items), is_exact: count <= items, wildcards: Rc::default() }
    }

    fn paths(&self, _changes: &Changes) -> Vec<Item> {
        Vec::new()
    }
}

/// The changed objects of a deploy, and the covers that were made of them.
pub(crate) struct Difference<'d> {
    deploy: &'d Deploy,
    batches: &'d [Gathered],
    covers: HashMap<(Vec<usize>, usize), Folded>,
}

impl<'d> Difference<'d> {
    pub(crate) fn new(deploy: &'d Deploy, batches: &'d [Gathered]) -> Self {
        Self { deploy, batches, covers: HashMap::new() }
    }
}

impl Content for Difference<'_> {
    fn fold(&mut self, changes: &Changes, budget: Budget) -> Folded {
        if !changes.earlier.is_empty() {
            return folded(self.paths(changes), budget);
        }
        let known = (changes.batches.clone(), budget.items);
        if let Some(folded) = self.covers.get(&known) {
            return folded.clone();
        }
        let folded = folded(self.paths(changes), budget);
        self.covers.insert(known, folded.clone());
        folded
    }

    fn paths(&self, changes: &Changes) -> Vec<Item> {
        let messages = changes.batches.iter().flat_map(|batch| &self.batches[*batch].messages);
        let paths = messages.map(|message| Item::from_key(&self.deploy.changed[*message]));
        paths.chain(changes.earlier.iter().cloned()).collect()
    }
}

/// Covers paths within a budget.
fn folded(paths: Vec<Item>, budget: Budget) -> Folded {
    let cover = cover(paths, budget);
    let wildcards = cover.items.iter().filter(|one| one.item.kind() == Kind::Wildcard);
    Folded {
        paths: cover.items.len(),
        is_exact: !cover.items.iter().any(|one| one.folded),
        wildcards: wildcards.map(|one| one.item.to_string()).collect(),
    }
}
