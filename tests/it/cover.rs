//! Few items that cover many.

use std::collections::BTreeSet;

use cloudfront_invalidator::{
    cover::{Budget, cover},
    path::{Item, Kind},
};
use proptest::{collection::vec, prelude::*};

use crate::path::any_key;

/// The cover of these, written as they are typed.
fn check(items: usize, wildcards: usize, given: &[&str], expected: &[&str]) {
    let given = given.iter().map(|typed| typed.parse::<Item>().expect("an item"));
    let covering = cover(given, Budget { items, wildcards }).items;
    let wire: Vec<&str> = covering.iter().map(|one| one.item.as_str()).collect();
    assert_eq!(wire, expected);
}

#[test]
fn what_fits_is_sent_as_it_is() {
    check(3, 1, &["/c", "/a", "/b", "/a"], &["/a", "/b", "/c"]);
    check(150, 15, &["/docs/", "/docs/index.html", "/"], &["/", "/docs/", "/docs/index.html"]);
}

#[test]
fn what_another_item_covers_is_left_out() {
    check(9, 9, &["/a*", "/a", "/a!", "/ab/c", "/ab*", "/b"], &["/a*", "/b"]);
    check(9, 9, &["#T", "#t", "#u", "/T"], &["#T", "#u", "/T"]);
}

#[test]
fn the_tightest_prefix_folds() {
    check(2, 1, &["/a/x1", "/a/x2", "/b"], &["/a/x*", "/b"]);
    check(2, 1, &["/a b1", "/a b2", "/a!"], &["/a!", "/a%20b*"]);
    check(1, 1, &["/é1", "/è1"], &["/*"]);
    check(2, 1, &["/é1", "/é2", "/x"], &["/%C3%A9*", "/x"]);
    check(1, 1, &["/docs/", "/docs/index.html"], &["/docs/*"]);
    check(1, 1, &["/a", "/b"], &["/*"]);
    check(1, 1, &["/a"], &["/a"]);
}

#[test]
fn wildcards_are_scarce_too() {
    check(9, 1, &["/a1*", "/a2*", "/b"], &["/a*", "/b"]);
    check(9, 1, &["/a*", "/b*"], &["/*"]);
}

#[test]
fn tags_are_never_folded() {
    check(3, 1, &["#a1", "#a2", "/x1", "/x2"], &["#a1", "#a2", "/x*"]);
    // They leave no room: everything is what covers them.
    check(2, 1, &["#a1", "#a2", "/x1"], &["/*"]);
    check(1, 1, &["#a1", "#a2"], &["/*"]);
}

fn any_items() -> impl Strategy<Value = Vec<Item>> {
    let tag = "#[a-cA-C]{1,2}".prop_map(|tag| tag.parse().expect("a tag"));
    vec(prop_oneof![12 => any_key().prop_map(|key| Item::from_key(&key)), 1 => tag], 0..60)
}

proptest! {
    #[test]
    fn a_cover_covers_within_budget(items in any_items(), most in 1_usize..40, wildcards in 1_usize..8) {
        let covering = cover(items.clone(), Budget { items: most, wildcards }).items;
        let sent: Vec<&Item> = covering.iter().map(|one| &one.item).collect();
        let everything = sent == [&Item::everything()];

        prop_assert!(sent.len() <= most);
        prop_assert!(sent.iter().filter(|item| item.kind() == Kind::Wildcard).count() <= wildcards);
        for item in &items {
            prop_assert!(everything || sent.iter().any(|one| one.covers(item)), "{item} is not covered");
        }
        for (index, one) in sent.iter().enumerate() {
            for (other_index, other) in sent.iter().enumerate() {
                prop_assert!(index == other_index || !one.covers(other), "{one} covers {other}");
            }
        }
        prop_assert!(sent.is_sorted());
        let given: BTreeSet<&Item> = items.iter().collect();
        for one in &covering {
            prop_assert!(one.folded || given.contains(&one.item), "{} from nowhere", one.item);
        }
    }

    #[test]
    fn order_and_duplicates_change_nothing(items in any_items(), most in 1_usize..40, seed in any::<u64>()) {
        let budget = Budget { items: most, wildcards: 3 };
        let mut shuffled = [items.clone(), items.clone()].concat();
        let mut state = seed;
        for index in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(index, usize::try_from(state >> 33).expect("31 bits") % (index + 1));
        }
        prop_assert_eq!(cover(items, budget), cover(shuffled, budget));
    }
}
