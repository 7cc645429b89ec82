//! Folding with knowledge of the buckets: laws of the planner, and the function with a simulated S3.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    config::Config,
    event::{Batch, Change, Effect, Key},
    local::Server,
    neighbors::{Listed, MOST_CALLS, Neighbors, Source, list},
    path::{Item, Kind},
    plan::{Pace, Plan, Planner, Policy, plan},
    site::{Site, Sites},
};
use proptest::{
    collection::{btree_set, vec},
    prelude::*,
    sample::select,
};
use serde_json::json;

use crate::support::{Function, cloudfront, s3_record, sqs};

const BUCKET: &str = "site";

/// Creates the changes of objects with these keys.
fn batch(keys: &BTreeSet<String>) -> Batch {
    let change = |key: &String| Change {
        message: 0,
        bucket: BUCKET.into(),
        key: Key::from(key.as_bytes()),
        event: "ObjectCreated:Put".into(),
        effect: Effect::Content,
        time: None,
        identity: "1".into(),
    };
    Batch { changes: keys.iter().map(change).collect(), ..Batch::default() }
}

fn settings(variables: &[(&str, &str)]) -> (Policy, Sites) {
    let all = [&[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")], variables].concat();
    let config = Config::read(all).expect("a configuration");
    (config.policy, config.search.given())
}

/// Plans the changes, with this knowledge of the bucket.
fn planned(changed: &BTreeSet<String>, known: Neighbors, (policy, sites): &(Policy, Sites)) -> Plan {
    let batch = batch(changed);
    let mut planner = Planner::new(&batch, policy, sites).knowing(known);
    let mut invalidations = Vec::new();
    while let Some(next) = planner.next(&|| Pace::Thorough) {
        invalidations.push(next);
    }
    planner.finish(invalidations)
}

fn items(plan: &Plan) -> Vec<&Item> {
    plan.invalidations.iter().flat_map(|one| one.purge.items.iter()).map(|one| &one.item).collect()
}

/// Returns the knowledge of a whole bucket.
fn all_of(keys: &BTreeSet<String>) -> Neighbors {
    let mut known = Neighbors::default();
    known.add(BUCKET, b"", keys);
    known
}

/// Returns the number of unchanged objects that each wildcard purges, summed up.
fn collateral(plan: &Plan, bucket: &BTreeSet<String>, changed: &BTreeSet<String>, site: &Site) -> usize {
    let unchanged = bucket.difference(changed);
    let paths: Vec<Vec<Item>> = unchanged
        .map(|key| {
            site.paths(BUCKET, key.as_bytes()).expect("paths").into_iter().map(|(item, _)| item).collect()
        })
        .collect();
    let purges =
        |item: &Item| paths.iter().filter(|paths| paths.iter().any(|path| item.covers(path))).count();
    items(plan).into_iter().filter(|item| item.kind() == Kind::Wildcard).map(purges).sum()
}

/// Generates the keys of a bucket with many common prefixes.
fn keys(most: usize) -> impl Strategy<Value = BTreeSet<String>> {
    keys_of(most, vec!["a", "ab", "b", "b b", "c+", "\u{e9}"])
}

fn keys_of(most: usize, segments: Vec<&'static str>) -> impl Strategy<Value = BTreeSet<String>> {
    let segment = select(segments);
    btree_set(vec(segment, 1..4).prop_map(|segments| segments.join("/")), 1..most)
}

/// Segments of keys that have one path each.
const ONE_PATH: [&str; 6] = ["a", "ab", "b", "bc", "d", "\u{e9}"];

const BUDGET: [(&str, &str); 3] =
    [("INVALIDATOR_MAX_PATHS", "4"), ("INVALIDATOR_MAX_WILDCARDS", "2"), ("INVALIDATOR_INDEX_DOCUMENT", "")];

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn knowledge_never_leaves_a_change_out(
        bucket in keys(40), changed in keys(20), listed in vec(select(vec!["", "a", "a/", "b", "ab/b"]), 0..3),
        forms in select(vec!["", "index.html", "a"]),
    ) {
        let variables = [("INVALIDATOR_MAX_PATHS", "4"), ("INVALIDATOR_MAX_WILDCARDS", "2"),
            ("INVALIDATOR_INDEX_DOCUMENT", forms)];
        let settings = settings(&variables);
        let mut known = Neighbors::default();
        for prefix in listed {
            known.add(BUCKET, prefix.as_bytes(), bucket.iter().filter(|key| key.starts_with(prefix)));
        }
        let plan = planned(&changed, known, &settings);
        let items = items(&plan);
        prop_assert!(items.len() <= 4);
        prop_assert!(items.iter().filter(|item| item.kind() == Kind::Wildcard).count() <= 2);
        for key in &changed {
            for (path, _) in settings.1.list[0].paths(BUCKET, key.as_bytes()).expect("paths") {
                prop_assert!(items.iter().any(|item| item.covers(&path)), "{path} of {items:?}");
            }
        }
    }

    #[test]
    fn the_keys_below_a_stem_include_every_object_with_such_a_path(
        key in keys(2), len in 1_usize..12, origin in select(vec!["", "/a", "/b%20b"]), clean in any::<bool>(),
    ) {
        let clean = if clean { "true" } else { "false" };
        let variables = [("INVALIDATOR_ORIGIN_PATH", origin), ("INVALIDATOR_INDEX_DOCUMENT", "ab"),
            ("INVALIDATOR_BARE_DIRECTORIES", clean)];
        let (_, sites) = settings(&variables);
        let key = key.first().expect("a key").as_bytes();
        for (item, _) in sites.list[0].paths(BUCKET, key).into_iter().flatten() {
            let wildcard = item.wildcard(len);
            let below = sites.list[0].serving().keys_below(BUCKET, wildcard.stem());
            prop_assert!(below.iter().any(|prefix| key.starts_with(prefix)), "{wildcard}: {below:?}");
        }
    }

    #[test]
    fn whoever_knows_the_bucket_purges_no_more(
        bucket in keys_of(60, ONE_PATH.to_vec()), changed in keys_of(20, ONE_PATH.to_vec()),
    ) {
        let settings = settings(&BUDGET);
        let site = &settings.1.list[0];
        let cost = |plan: &Plan| collateral(plan, &bucket, &changed, site);
        let knowing = planned(&changed, all_of(&bucket), &settings);
        let estimated = plan(&batch(&changed), &settings.0, &settings.1);
        prop_assert!(cost(&knowing) <= cost(&estimated), "{:?} {:?}", items(&knowing), items(&estimated));
    }

    #[test]
    fn without_knowledge_the_plan_is_the_same(changed in keys(20)) {
        let settings = settings(&BUDGET);
        let plan = plan(&batch(&changed), &settings.0, &settings.1);
        prop_assert_eq!(&planned(&changed, Neighbors::default(), &settings), &plan);
        let mut elsewhere = Neighbors::default();
        elsewhere.add("other", b"", ["a/a"]);
        prop_assert_eq!(planned(&changed, elsewhere, &settings), plan);
    }

    #[test]
    fn the_order_of_the_knowledge_makes_no_difference(bucket in keys(40), changed in keys(20)) {
        let settings = settings(&BUDGET);
        let in_order = |prefixes: [&str; 3]| {
            let mut known = Neighbors::default();
            for prefix in prefixes {
                known.add(BUCKET, prefix.as_bytes(), bucket.iter().filter(|key| key.starts_with(prefix)));
            }
            planned(&changed, known, &settings)
        };
        prop_assert_eq!(in_order(["a", "ab", "b"]), in_order(["b", "ab", "a"]));
    }
}

/// Creates keys: so many in each directory.
fn directories(directories: &[(&str, usize)]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (directory, count) in directories {
        keys.extend((0..*count).map(|index| format!("{directory}/{index:05}")));
    }
    keys
}

#[test]
fn a_directory_that_changed_whole_is_folded_before_a_full_one() {
    // The two directories look the same to whoever sees only the changes.
    let changed = directories(&[("one", 6), ("two", 6)]);
    let mut bucket = directories(&[("one", 6), ("two", 500)]);
    let sent = |bucket: &BTreeSet<String>| {
        let variables = [("INVALIDATOR_MAX_PATHS", "7"), ("INVALIDATOR_MAX_WILDCARDS", "1")];
        let plan = planned(&changed, all_of(bucket), &settings(&variables));
        items(&plan).into_iter().find(|item| item.kind() == Kind::Wildcard).map(ToString::to_string)
    };
    assert_eq!(sent(&bucket).as_deref(), Some("/one/0000*"));
    bucket = directories(&[("one", 500), ("two", 6)]);
    assert_eq!(sent(&bucket).as_deref(), Some("/two/0000*"));
}

#[test]
fn what_is_not_listed_is_not_taken_for_empty() {
    // `one` is known to hold three unchanged objects, and `two` to hold many. Of `zoo`, nothing is known.
    let changed = directories(&[("one", 6), ("two", 6), ("zoo", 6)]);
    let mut known = Neighbors::default();
    known.add(BUCKET, b"one/", directories(&[("one", 9)]));
    known.add(BUCKET, b"two/", directories(&[("two", 500)]));
    let variables = [("INVALIDATOR_MAX_PATHS", "13"), ("INVALIDATOR_MAX_WILDCARDS", "1")];
    let plan = planned(&changed, known, &settings(&variables));
    let wildcards: Vec<_> = items(&plan).into_iter().filter(|item| item.kind() == Kind::Wildcard).collect();
    assert_eq!(wildcards, [&"/one/0000*".parse::<Item>().expect("an item")]);
}

#[test]
fn only_a_batch_that_exceeds_the_budget_wants_to_know() {
    let wanted = |count: usize, variables: &[(&str, &str)]| {
        let (policy, sites) = settings(variables);
        let batch = batch(&directories(&[("a", count)]));
        let wanted = Planner::new(&batch, &policy, &sites).wanted(&|| false);
        wanted.iter().map(|one| one.keys.len()).collect::<Vec<_>>()
    };
    assert_eq!(wanted(150, &[]), [0; 0]);
    assert_eq!(wanted(151, &[]), [151]);
    assert_eq!(wanted(16, &[("INVALIDATOR_QUERY_STRINGS", "true")]), [16], "too many wildcards");
    assert_eq!(wanted(200, &[("INVALIDATOR_ORIGIN_PATH", "/b")]), [0; 0], "none of them is served");
}

/// A bucket that answers the first calls and then fails.
struct Failing<'a> {
    keys: &'a BTreeMap<String, usize>,
    answers: std::cell::Cell<usize>,
}

impl Source for &Failing<'_> {
    type Error = &'static str;

    fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        _deadline: Instant,
    ) -> impl Future<Output = Result<(Vec<Key>, bool), Self::Error>> {
        let left = self.answers.get().checked_sub(1);
        self.answers.set(left.unwrap_or_default());
        let is_meant = |key: &&[u8]| key.starts_with(prefix) && after.is_none_or(|after| *key > after);
        let mut keys = self.keys.keys().map(String::as_bytes).filter(is_meant).map(Key::from);
        let page: Vec<Key> = keys.by_ref().take(1_000).collect();
        let is_last = keys.next().is_none();
        std::future::ready(left.map(|_| (page, is_last)).ok_or("denied"))
    }
}

#[tokio::test]
async fn listing_is_bounded_and_keeps_what_it_learned_before_a_failure() {
    let bucket: BTreeMap<String, usize> = (0..50_000).map(|index| (format!("a/{index:05}"), 0)).collect();
    let changed: BTreeSet<String> = bucket.keys().step_by(100).cloned().collect();
    let (policy, sites) = settings(&[]);
    let batch = batch(&changed);
    let wanted = || Planner::new(&batch, &policy, &sites).wanted(&|| false);
    let source = |answers: usize| Failing { keys: &bucket, answers: answers.into() };

    let mut known = Neighbors::default();
    let all = source(usize::MAX);
    let listed = list(&mut known, wanted(), |_| &all, Duration::from_mins(1)).await;
    assert_eq!(listed, Listed { calls: MOST_CALLS, failure: None });
    assert!(known.keys(BUCKET).count() > 20_000);

    let mut known = Neighbors::default();
    let failing = source(1);
    let listed = list(&mut known, wanted(), |_| &failing, Duration::from_mins(1)).await;
    assert_eq!(listed.failure, Some("denied"));
    assert!(listed.calls < 10, "{listed:?}");
    assert!(known.keys(BUCKET).count() > 900);

    let mut known = Neighbors::default();
    let late = source(usize::MAX);
    let listed: Listed<&str> = list(&mut known, wanted(), |_| &late, Duration::ZERO).await;
    assert_eq!(listed, Listed { calls: 0, failure: None });
    assert!(known.is_empty());
}

/// Fills the bucket: of `one`, all objects change, and of `two` only every fiftieth.
fn fill(cloudfront: &Server) -> BTreeSet<String> {
    for key in directories(&[("one", 100), ("two", 5_000)]) {
        cloudfront.put(BUCKET, &key, Some(b"x"));
    }
    let two = directories(&[("two", 5_000)]);
    directories(&[("one", 100)]).into_iter().chain(two.into_iter().step_by(50)).collect()
}

/// Starts the function with a bucket, and sends it the changes.
async fn deployed(cloudfront: &Server, variables: &[(&str, &str)]) -> (Function, Vec<String>) {
    let changed = fill(cloudfront);
    let endpoint = cloudfront.endpoint_url();
    let budget = [
        ("AWS_ENDPOINT_URL_S3", &*endpoint),
        ("INVALIDATOR_MAX_PATHS", "110"),
        ("INVALIDATOR_MAX_WILDCARDS", "1"),
    ];
    let mut function = Function::start(&endpoint, &[&budget[..], variables].concat()).await;
    let records: Vec<_> = changed.iter().map(|key| s3_record(key, "1")).collect();
    let event = sqs([("m", json!({"Records": records}).to_string())]);
    assert_eq!(function.invoke(event.to_string()).await.handed_back(), [""; 0]);
    let wildcards =
        cloudfront.recorded().into_iter().flat_map(|one| one.paths).filter(|path| path.ends_with('*'));
    (function, wildcards.collect())
}

#[tokio::test]
async fn the_function_lists_the_bucket_and_folds_what_changed_whole() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let (_, wildcards) = deployed(&cloudfront, &[("INVALIDATOR_LIST_BUCKET", "true")]).await;
    assert_eq!(wildcards, ["/one/000*"]);
    let reads = cloudfront.reads();
    assert!(
        (1..=10).contains(&reads.len()) && reads.iter().all(|read| *read == "ListObjectsV2"),
        "{reads:?}"
    );
}

#[tokio::test]
async fn the_function_asks_nothing_unless_it_is_told_to() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let (_, wildcards) = deployed(&cloudfront, &[]).await;
    assert_eq!(wildcards.len(), 1);
    assert_eq!(cloudfront.reads(), [""; 0]);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_listed_fails_no_batch() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    cloudfront.set_denied(BUCKET, true);
    let (function, wildcards) = deployed(&cloudfront, &[("INVALIDATOR_LIST_BUCKET", "true")]).await;
    assert_eq!(wildcards.len(), 1);
    let line = function.logged(|line| line["level"] == "WARN").await;
    assert!(
        line["message"].as_str().expect("a message").starts_with("a bucket could not be listed"),
        "{line}"
    );
    assert!(line["error"].as_str().expect("an error").contains("ListObjectsV2"), "{line}");
}

#[tokio::test]
async fn thirty_thousand_keys_take_few_megabytes() {
    let mut peaks = Vec::new();
    for lists in ["false", "true"] {
        let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
        let key = |index: usize| format!("{:0>50}/{index:09}", index % 7);
        for index in 0..29_000 {
            cloudfront.put(BUCKET, &key(index), Some(b"x"));
        }
        let endpoint = cloudfront.endpoint_url();
        let variables = [("AWS_ENDPOINT_URL_S3", &*endpoint), ("INVALIDATOR_LIST_BUCKET", lists)];
        let mut function = Function::start(&endpoint, &variables).await;
        let records: Vec<_> = (0..29_000).step_by(10).map(|index| s3_record(&key(index), "1")).collect();
        let event = sqs([("m", json!({"Records": records}).to_string())]);
        assert_eq!(function.invoke(event.to_string()).await.handed_back(), [""; 0]);
        assert_eq!(cloudfront.reads().len() >= 29, lists == "true");
        peaks.push(function.peak_memory());
    }
    assert!(peaks[1] < peaks[0] + 16 * 1024, "{peaks:?} KiB");
}
