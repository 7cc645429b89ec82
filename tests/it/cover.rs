//! Covers, in which a few items replace many: examples, and properties of every cover.

use std::collections::{BTreeMap, BTreeSet};

use cloudfront_invalidator::{
    cover::{Budget, Candidate, cover, expected_collateral},
    path::{Item, Kind},
};
use percent_encoding::percent_decode_str;
use proptest::{collection::vec, prelude::*, sample::select};

use crate::path::any_key;

/// Asserts that the cover of `given`, as a user types them, is `expected`.
fn check(items: usize, wildcards: usize, given: &[&str], expected: &[&str]) {
    let given = given.iter().map(|typed| typed.parse::<Item>().expect("an item"));
    let cover = cover(given, Budget { items, wildcards });
    let wire: Vec<&str> = cover.items.iter().map(|one| one.item.as_str()).collect();
    assert_eq!(wire, expected);
}

#[test]
fn items_within_the_budget_are_not_folded() {
    check(3, 1, &["/c", "/a", "/b", "/a"], &["/a", "/b", "/c"]);
    check(150, 15, &["/docs/", "/docs/index.html", "/"], &["/", "/docs/", "/docs/index.html"]);
}

#[test]
fn items_that_another_item_covers_are_left_out() {
    check(9, 9, &["/a*", "/a", "/a!", "/ab/c", "/ab*", "/b"], &["/a*", "/b"]);
    check(9, 9, &["#T", "#t", "#u", "/T"], &["#T", "#u", "/T"]);
}

#[test]
fn the_narrowest_wildcard_that_fits_is_chosen() {
    check(2, 1, &["/a/x1", "/a/x2", "/b"], &["/a/x*", "/b"]);
    check(2, 1, &["/a b1", "/a b2", "/a!"], &["/a!", "/a%20b*"]);
    check(1, 1, &["/é1", "/è1"], &["/*"]);
    check(2, 1, &["/é1", "/é2", "/x"], &["/%C3%A9*", "/x"]);
    check(1, 1, &["/docs/", "/docs/index.html"], &["/docs/*"]);
    check(1, 1, &["/a", "/b"], &["/*"]);
    check(1, 1, &["/a"], &["/a"]);
}

#[test]
fn wildcards_have_their_own_budget() {
    check(9, 1, &["/a1*", "/a2*", "/b"], &["/a*", "/b"]);
    check(9, 1, &["/a*", "/b*"], &["/*"]);
}

#[test]
fn tags_are_never_folded() {
    check(3, 1, &["#a1", "#a2", "/x1", "/x2"], &["#a1", "#a2", "/x*"]);
    // The tags use up the budget, and no wildcard but `/*` replaces a tag.
    check(2, 1, &["#a1", "#a2", "/x1"], &["/*"]);
    check(1, 1, &["#a1", "#a2"], &["/*"]);
}

/// Generates keys with many common prefixes and branches, so that many covers are possible.
fn branching_key() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec!["a", "b", "c", "/", "/", "é", "è", " ", "!", "~", "index.html"];
    vec(select(pieces), 1..8).prop_map(|pieces| pieces.concat().into_bytes())
}

fn any_items(most: usize) -> impl Strategy<Value = Vec<Item>> {
    let tag = "#[a-cA-C]{1,2}".prop_map(|tag| tag.parse().expect("a tag"));
    let item = |key: Vec<u8>| Item::from_key(&key);
    vec(prop_oneof![8 => branching_key().prop_map(item), 8 => any_key().prop_map(item), 1 => tag], 0..most)
}

/// Computes a cover, and returns the first law of covers that it breaks as an error.
fn obeys_the_laws(items: &[Item], budget: Budget) -> Result<(), String> {
    let law = |holds: bool, broken: &dyn Fn() -> String| if holds { Ok(()) } else { Err(broken()) };
    let cover = cover(items.to_vec(), budget);
    let sent: Vec<&Item> = cover.items.iter().map(|one| &one.item).collect();
    let everything = sent == [&Item::everything()];
    let wildcards = sent.iter().filter(|item| item.kind() == Kind::Wildcard).count();

    law(sent.len() <= budget.items, &|| format!("{} items", sent.len()))?;
    law(wildcards <= budget.wildcards, &|| format!("{wildcards} wildcards"))?;
    law(sent.is_sorted(), &|| format!("{sent:?} is not sorted"))?;
    // Look up each prefix of an item instead of its neighbors in the sort order: `!` to `)` sort
    // before `*`, so a wildcard does not precede everything that it covers.
    let stems: BTreeSet<&str> =
        sent.iter().filter(|item| item.kind() == Kind::Wildcard).map(|item| item.stem()).collect();
    let exact: BTreeSet<&str> = sent.iter().map(|item| item.as_str()).collect();
    let covering = |path: &str, least: usize| {
        (least..=path.len())
            .filter(|end| path.is_char_boundary(*end))
            .find(|end| stems.contains(&path[..*end]))
    };
    for item in items {
        let found = match item.kind() {
            Kind::Tag => sent.iter().any(|one| one.covers(item)),
            _ => exact.contains(item.as_str()) || covering(item.stem(), 1).is_some(),
        };
        law(everything || found, &|| format!("{item} is not covered"))?;
    }
    for item in &sent {
        let itself = usize::from(item.kind() == Kind::Wildcard);
        let covers =
            stems.iter().filter(|stem| item.kind() != Kind::Tag && item.stem().starts_with(**stem)).count();
        law(covers <= itself, &|| format!("{item} is covered by another"))?;
    }
    let given: BTreeSet<&Item> = items.iter().collect();
    let valid = items.iter().all(|item| percent_decode_str(item.stem()).decode_utf8().is_ok());
    for one in &cover.items {
        law(one.folded || given.contains(&one.item), &|| format!("{} was not given", one.item))?;
        law(one.folded || one.item.kind() != Kind::Tag || one.covers == 1, &|| {
            format!("the tag {} covers others", one.item)
        })?;
        let stem = one.item.stem();
        let finished = percent_decode_str(stem).decode_utf8().is_ok();
        law(finished || !valid, &|| format!("{stem} ends within a character"))?;
    }
    let total: usize = cover.items.iter().map(|one| one.covers).sum();
    let tags: BTreeSet<String> = items
        .iter()
        .filter(|one| one.kind() == Kind::Tag)
        .map(|tag| tag.as_str().to_ascii_lowercase())
        .collect();
    let paths = given.iter().filter(|item| item.kind() != Kind::Tag).count();
    law(total == paths + tags.len(), &|| format!("covers {total} of {paths} paths and {} tags", tags.len()))?;
    let exact = cover.at_least.total_cmp(&cover.cost).is_eq();
    let promised = paths <= 20_000 && budget.items * budget.wildcards <= 150 * 15;
    let near = cover.at_least <= cover.cost && cover.cost <= cover.at_least * 1.01;
    law(exact || (near && !promised), &|| {
        format!("a cover costs {}, and another may cost only {}", cover.cost, cover.at_least)
    })
}

/// Returns the number of paths that the directories below `stem` lack, although other directories
/// with the same last two names have them.
fn lacking(leaves: &[&Item], stem: &str) -> usize {
    let mut paths_in: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for leaf in leaves {
        let path = leaf.stem();
        let ends: Vec<usize> = path.match_indices('/').map(|(slash, _)| slash + 1).collect();
        for (index, end) in ends.iter().enumerate() {
            let name = &path[*end..ends.get(index + 1).copied().unwrap_or(path.len())];
            let names = paths_in.entry(&path[..*end]).or_default();
            if !name.is_empty() {
                *names.entry(name).or_default() += 1;
            }
        }
    }
    let called = |directory: &str| {
        let names: Vec<&str> = directory.trim_end_matches('/').split('/').collect();
        names[names.len().saturating_sub(2)..].join("/")
    };
    let lacks = |(directory, own): (&&str, &BTreeMap<&str, usize>)| {
        let mut all: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, names) in paths_in.iter().filter(|(other, _)| called(other) == called(directory)) {
            for (name, paths) in names {
                let most = all.entry(name).or_default();
                *most = (*most).max(*paths);
            }
        }
        all.iter().filter(|(name, _)| !own.contains_key(**name)).map(|(_, paths)| paths).sum::<usize>()
    };
    paths_in.iter().filter(|(directory, _)| directory.starts_with(stem)).map(lacks).sum()
}

/// Returns the cost of the best cover, found by trying every set of wildcards. `None` if only `/*`
/// fits the budget.
fn least_cost(items: &[Item], budget: Budget) -> Option<f64> {
    let mut leaves: Vec<&Item> = items.iter().filter(|item| item.kind() != Kind::Tag).collect();
    leaves.sort_unstable();
    leaves.dedup();
    let all = leaves.clone();
    leaves.retain(|leaf| !all.iter().any(|other| other != leaf && other.covers(leaf)));
    let mut stems: Vec<Item> = Vec::new();
    for one in &leaves {
        for other in leaves.iter().filter(|other| other != &one) {
            stems.push(one.wildcard(one.common_stem(other)));
        }
    }
    stems.sort_unstable_by_key(|stem| (usize::MAX - stem.stem().len(), stem.clone()));
    stems.dedup();
    stems.retain(|stem| *stem != Item::everything());

    // Go from the innermost stem outward, because each costs at least as much as those within it.
    let mut costs: Vec<f64> = Vec::new();
    for (index, stem) in stems.iter().enumerate() {
        let below = leaves.iter().filter(|leaf| stem.covers(leaf));
        let directories: BTreeSet<&str> =
            below.map(|leaf| &leaf.stem()[..=leaf.stem().rfind('/').expect("a slash")]).collect();
        let inner: Vec<usize> = (0..index).filter(|inner| stem.covers(&stems[*inner])).collect();
        let outermost =
            |one: &&usize| !inner.iter().any(|other| other != *one && stems[*other].covers(&stems[**one]));
        let within: f64 = inner.iter().filter(outermost).map(|one| costs[*one]).sum();
        let candidate = Candidate {
            stem: stem.stem(),
            directories: directories.len(),
            lacking: lacking(&leaves, stem.stem()),
            within,
        };
        costs.push(expected_collateral(&candidate));
    }

    (0..1_u32 << stems.len())
        .filter_map(|chosen| {
            let chosen: Vec<usize> = (0..stems.len()).filter(|index| chosen >> index & 1 == 1).collect();
            let left = leaves.iter().filter(|leaf| !chosen.iter().any(|index| stems[*index].covers(leaf)));
            let (exact, forced): (Vec<&&Item>, Vec<&&Item>) =
                left.partition(|leaf| leaf.kind() == Kind::Exact);
            let wildcards = chosen.len() + forced.len();
            let fits = wildcards <= budget.wildcards && wildcards + exact.len() <= budget.items;
            fits.then(|| chosen.iter().map(|index| costs[*index]).sum())
        })
        .min_by(f64::total_cmp)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_cover_obeys_the_laws(items in any_items(60), most in 1_usize..40, wildcards in 1_usize..8) {
        obeys_the_laws(&items, Budget { items: most, wildcards }).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_cover_costs_no_more_than_the_best_one(
        items in any_items(10), most in 1_usize..9, wildcards in 1_usize..5,
    ) {
        let paths: Vec<Item> = items.into_iter().filter(|item| item.kind() != Kind::Tag).collect();
        let budget = Budget { items: most, wildcards };
        let cost = cover(paths.clone(), budget).cost;
        match least_cost(&paths, budget) {
            None => prop_assert!(cost.is_infinite(), "{cost}, but only /* fits"),
            Some(least) => prop_assert!((cost - least).abs() <= 1e-9 * least, "{cost}, but {least} is possible"),
        }
    }

    #[test]
    fn a_larger_budget_never_costs_more(
        items in any_items(60), most in 1_usize..30, wildcards in 1_usize..6, more in 0_usize..5, wider in 0_usize..3,
    ) {
        let cost = |items: &[Item], most, wildcards| cover(items.to_vec(), Budget { items: most, wildcards }).cost;
        let (little, much) = (cost(&items, most, wildcards), cost(&items, most + more, wildcards + wider));
        prop_assert!(much <= little * (1.0 + 1e-9), "cost {much} instead of at most {little}");
    }

    #[test]
    fn order_and_duplicates_change_nothing(
        items in any_items(60), twice in any_items(10), most in 1_usize..40,
    ) {
        let budget = Budget { items: most, wildcards: 3 };
        let once = [items.clone(), twice.clone()].concat();
        let again = [twice.clone(), items.into_iter().rev().collect(), twice].concat();
        prop_assert_eq!(cover(once, budget), cover(again, budget));
    }
}

/// Returns shapes of keys that an attacker who can upload objects under any name could choose.
fn shapes() -> Vec<(&'static str, Vec<String>)> {
    let chain = |piece: &str, most: usize| (1..=most).map(|n| piece.repeat(n)).collect::<Vec<_>>();
    let numbers = |most: usize| 0..most;
    let binary = |n: usize| (0..14).map(|bit| if n >> bit & 1 == 0 { 'a' } else { 'b' }).collect::<String>();
    vec![
        ("a chain of directories", chain("a/", 500)),
        ("a chain of names", chain("a", 1_000)),
        (
            "a chain with a leaf at each step",
            chain("a/", 500).iter().map(|path| format!("{path}x")).collect(),
        ),
        (
            "a chain with a leaf after each step",
            chain("b/", 500).iter().map(|path| format!("{path}c")).collect(),
        ),
        ("siblings", numbers(10_000).map(|n| format!("dir/{n:05}.html")).collect()),
        ("all different first bytes", (' '..='~').map(|c| format!("{c}x")).collect()),
        ("one long common prefix", numbers(1_000).map(|n| format!("{}{n}", "x".repeat(1_000))).collect()),
        ("different within an escape", ('\u{400}'..'\u{600}').map(|c| format!("k{c}")).collect()),
        ("a full binary tree", numbers(3_000).map(binary).collect()),
        ("a full binary tree of directories", numbers(1_000).map(|n| binary(n).replace('a', "a/")).collect()),
        ("forced wildcards", numbers(3_000).map(|n| format!("{:03}/{n}~", n % 100)).collect()),
    ]
}

#[test]
fn adversarial_shapes_obey_the_laws() {
    for (name, keys) in shapes() {
        let items: Vec<Item> = keys.iter().map(|key| Item::from_key(key.as_bytes())).collect();
        for (most, wildcards) in [(150, 15), (15, 10), (1, 1), (1_000, 50)] {
            let budget = Budget { items: most, wildcards };
            obeys_the_laws(&items, budget).unwrap_or_else(|law| panic!("{name} within {budget:?}: {law}"));
        }
    }
}
