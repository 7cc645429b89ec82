//! Decides which paths invalidations have purged since the objects behind them changed.
//!
//! [`judge`] compares what has to be purged ([`Need`]) with the invalidations of the distributions ([`Purge`]). It
//! never takes a path for purged unless a completed invalidation covers it that was created after the change.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::{
    path::{Item, Kind},
    site::DistributionId,
};

/// A path that has to be purged in a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The distribution or tenant.
    pub distribution: DistributionId,
    /// The path.
    pub item: Item,
    /// The time from which an invalidation counts, in milliseconds since 1970.
    pub from: u64,
}

/// An invalidation of a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The distribution or tenant.
    pub distribution: DistributionId,
    /// The time of its creation, in milliseconds since 1970. `None` if unknown: then it does not count.
    pub created: Option<u64>,
    /// Whether the caller created it after it had learned of every change. It then counts for all of them,
    /// whatever the clocks say.
    pub is_own: bool,
    /// Whether every edge location has purged the items.
    pub is_completed: bool,
    /// The items as CloudFront lists them.
    pub items: Vec<Item>,
}

/// The state of a path that has to be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Purged by the completed invalidation with this index.
    Purged(usize),
    /// Covered by the invalidation with this index, which is in progress.
    Pending(usize),
    /// Covered by no invalidation that counts.
    Missing,
}

/// Returns the state of each need, in order. If several invalidations cover it, the completed ones come first,
/// and then those that come first in the list.
#[must_use]
pub fn judge(needs: &[Need], purges: &[Purge]) -> Vec<State> {
    let mut by_distribution: BTreeMap<&DistributionId, Vec<(usize, Index<'_>)>> = BTreeMap::new();
    for (number, purge) in purges.iter().enumerate() {
        by_distribution.entry(&purge.distribution).or_default().push((number, Index::of(purge)));
    }
    for of_one in by_distribution.values_mut() {
        of_one.sort_by_key(|(_, index)| !index.purge.is_completed);
    }
    let state = |need: &Need| {
        let mut covering = by_distribution.get(&need.distribution).into_iter().flatten();
        match covering.find(|(_, index)| index.counts_for(need)) {
            Some((number, index)) if index.purge.is_completed => State::Purged(*number),
            Some((number, _)) => State::Pending(*number),
            None => State::Missing,
        }
    };
    needs.iter().map(state).collect()
}

/// The items of an invalidation, for fast lookups: both sides may have thousands.
struct Index<'a> {
    purge: &'a Purge,
    paths: HashSet<&'a str>,
    stems: HashSet<&'a str>,
    /// The lengths of the stems.
    lengths: BTreeSet<usize>,
    tags: Vec<&'a Item>,
}

impl<'a> Index<'a> {
    fn of(purge: &'a Purge) -> Self {
        let of_kind = |kind| purge.items.iter().filter(move |item| item.kind() == kind);
        let stems: HashSet<&str> = of_kind(Kind::Wildcard).map(Item::stem).collect();
        Self {
            purge,
            paths: of_kind(Kind::Exact).map(Item::as_str).collect(),
            lengths: stems.iter().map(|stem| stem.len()).collect(),
            stems,
            tags: of_kind(Kind::Tag).collect(),
        }
    }

    /// Returns whether the invalidation was created after the change, and covers the path.
    fn counts_for(&self, need: &Need) -> bool {
        let Purge { created, is_own, .. } = self.purge;
        (*is_own || created.is_some_and(|created| created >= need.from)) && self.covers(&need.item)
    }

    /// Returns what [`Item::covers`] returns for any of the items, except that `/*` covers tags as well.
    fn covers(&self, item: &Item) -> bool {
        let begins_with_stem = |stem: &str| {
            let mut lengths = self.lengths.iter().take_while(|length| **length <= stem.len());
            lengths.any(|length| stem.get(..*length).is_some_and(|stem| self.stems.contains(stem)))
        };
        match item.kind() {
            Kind::Exact => self.paths.contains(item.as_str()) || begins_with_stem(item.stem()),
            Kind::Wildcard => begins_with_stem(item.stem()),
            Kind::Tag => self.stems.contains("/") || self.tags.iter().any(|tag| tag.covers(item)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn id(number: u8) -> DistributionId {
        format!("E{number}").parse().expect("an id")
    }

    /// Returns items whose paths often begin alike.
    fn item() -> impl Strategy<Value = Item> {
        let path = vec(prop::sample::select(vec!["a", "b", "/", "%20", "?"]), 0..4);
        let path = (path, any::<bool>()).prop_map(|(parts, is_wildcard)| {
            Item::listed(&format!("/{}{}", parts.concat(), if is_wildcard { "*" } else { "" }))
        });
        let tag = prop::sample::select(vec!["#a", "#A", "#b"]).prop_map(Item::listed);
        prop_oneof![8 => path, 1 => tag]
    }

    fn need() -> impl Strategy<Value = Need> {
        (0..3_u8, item(), 0..5_u64).prop_map(|(number, item, from)| Need {
            distribution: id(number),
            item,
            from,
        })
    }

    fn purge() -> impl Strategy<Value = Purge> {
        let created = prop::option::weighted(0.9, 0..5_u64);
        let flags = (prop::bool::weighted(0.1), any::<bool>());
        (0..3_u8, created, flags, vec(item(), 0..5)).prop_map(
            |(number, created, (is_own, is_completed), items)| Purge {
                distribution: id(number),
                created,
                is_own,
                is_completed,
                items,
            },
        )
    }

    /// Returns whether an invalidation purges what is needed, as it is written in CloudFront's documentation.
    fn purges(purge: &Purge, need: &Need) -> bool {
        let everything = Item::everything();
        let is_late_enough = purge.is_own || purge.created.is_some_and(|created| created >= need.from);
        purge.distribution == need.distribution
            && is_late_enough
            && purge.items.iter().any(|item| *item == everything || item.covers(&need.item))
    }

    proptest! {
        #[test]
        fn a_path_is_purged_if_and_only_if_a_completed_later_invalidation_covers_it(
            needs in vec(need(), 0..8),
            all in vec(purge(), 0..8),
        ) {
            let states = judge(&needs, &all);
            prop_assert_eq!(states.len(), needs.len());
            for (need, state) in needs.iter().zip(states) {
                let covering = || all.iter().filter(|purge| purges(purge, need));
                match state {
                    State::Purged(number) => {
                        prop_assert!(all[number].is_completed && purges(&all[number], need));
                    }
                    State::Pending(number) => {
                        prop_assert!(!all[number].is_completed && purges(&all[number], need));
                        prop_assert!(!covering().any(|purge| purge.is_completed));
                    }
                    State::Missing => prop_assert!(covering().next().is_none()),
                }
            }
        }
    }

    #[test]
    fn only_invalidations_after_the_change_count() {
        let need = Need { distribution: id(1), item: Item::listed("/a.html"), from: 10 };
        let purge = |created, is_completed, item| Purge {
            distribution: id(1),
            created,
            is_own: false,
            is_completed,
            items: vec![Item::listed(item)],
        };
        let state = |purge| judge(std::slice::from_ref(&need), &[purge])[0];
        assert_eq!(state(purge(Some(9), true, "/a.html")), State::Missing);
        assert_eq!(state(purge(Some(10), true, "/a.html")), State::Purged(0));
        assert_eq!(state(purge(Some(10), false, "/a*")), State::Pending(0));
        assert_eq!(state(purge(Some(10), true, "/*")), State::Purged(0));
        assert_eq!(state(purge(Some(10), true, "/a.html*")), State::Purged(0));
        assert_eq!(state(purge(Some(10), true, "/a.htm")), State::Missing);
        assert_eq!(state(purge(None, true, "/*")), State::Missing);
        assert_eq!(state(Purge { is_own: true, ..purge(None, true, "/*") }), State::Purged(0));
        assert_eq!(state(Purge { distribution: id(2), ..purge(Some(10), true, "/*") }), State::Missing);
    }
}
