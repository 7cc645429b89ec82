//! Finds out why each item is in a plan.

use super::{
    Covering, Invalidation, Known, Policy,
    demand::{Cause, Demand, Group},
};
use crate::{
    event::Batch,
    order,
    path::{Item, Kind},
    site::Form,
};

/// The reason why an item is in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Index of the invalidation in the list that was passed to [`reasons`].
    pub invalidation: usize,
    /// Index of the item in the invalidation.
    pub covering: usize,
    /// The change or request that needs the item.
    pub cause: Cause<'a>,
    /// The cause's index among the changes or the requests of the batch.
    pub index: usize,
    /// The item that the cause itself needs. It may have been folded into the item that is sent.
    pub item: Item,
    /// The form in which `item` follows from the cause.
    pub form: Form,
}

/// Finds every reason for every item of `invalidations`, which were planned from the other
/// arguments.
#[must_use]
pub fn reasons<'a>(
    batch: &'a Batch,
    policy: &Policy,
    known: impl Into<Known<'a>>,
    invalidations: &[Invalidation],
) -> Vec<Reason<'a>> {
    let demand = Demand::of(batch, policy, known.into());
    let mut reasons = Vec::new();
    for (index, invalidation) in invalidations.iter().enumerate() {
        let part = invalidation.part.unwrap_or(batch.narrowed.len());
        let is_its = |group: &&Group<'_>| {
            group.part == part && group.distributions.contains(&invalidation.distribution)
        };
        let Some(group) = demand.groups.iter().find(is_its) else { continue };
        let by_stem = ByStem::of(&invalidation.purge.items);
        let mut find = |(cause, of), item: Item, form| {
            if let Some(covering) = by_stem.covering(&item) {
                reasons.push(Reason { invalidation: index, covering, cause, index: of, item, form });
            }
        };
        for change in demand.changes(group) {
            if demand.skips(group, change).is_some() {
                continue;
            }
            let Ok((cause, paths)) = demand.paths(group, change) else { continue };
            for (item, form) in paths {
                find((cause, change), item, form);
            }
        }
        for (request, cause, requested) in demand.requests(group) {
            for item in requested {
                find((cause, request), item.clone(), Form::Request);
            }
        }
    }
    reasons
}

/// The items of a cover in the order of their stems. None of them covers another.
struct ByStem<'a> {
    items: &'a [Covering],
    order: Vec<usize>,
}

impl<'a> ByStem<'a> {
    fn of(items: &'a [Covering]) -> Self {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order::sort_indices(&mut order, &|a, b| items[a].item.stem().cmp(items[b].item.stem()));
        Self { items, order }
    }

    /// Returns the index of the item that covers `asked`.
    fn covering(&self, asked: &Item) -> Option<usize> {
        if let [everything] = self.items
            && everything.item == Item::everything()
        {
            return Some(0);
        }
        if asked.kind() == Kind::Tag {
            return self.items.iter().position(|one| one.item.covers(asked));
        }
        // The stem of a wildcard that covers `asked` is a prefix of its stem. Every stem between
        // the two in this order also begins with that prefix, so the wildcard would cover that item
        // as well, and a cover holds no such item. Only the nearest item can therefore cover
        // `asked`.
        let after = self.order.partition_point(|index| self.items[*index].item.stem() <= asked.stem());
        let nearest = self.order[..after].last()?;
        self.items[*nearest].item.covers(asked).then_some(*nearest)
    }
}
