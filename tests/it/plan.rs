//! Batches to plans: examples, and properties of every plan.

use std::{collections::BTreeSet, sync::Arc};

use cloudfront_invalidator::{
    config::Config,
    event::{self, Batch, Change, Effect, Key},
    path::Item,
    plan::{Ignored, Plan, Policy, Purge, plan, reasons},
    site::{Behavior, Distribution, DistributionId, Forms, Origin, QueryStrings, Site, Sites, Unserved},
    watch::Unwatched,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{
    path::any_key,
    support::{form_encoded, s3, s3_record, sqs},
};

/// The policy and the sites with which a batch is planned.
struct Settings {
    policy: Policy,
    sites: Sites,
}

fn policy(variables: &[(&str, &str)]) -> Settings {
    let all = [&[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")], variables].concat();
    let config = Config::read(all).expect("a configuration");
    Settings { policy: config.policy, sites: config.search.given() }
}

fn planned(event: &Value, settings: &Settings) -> Plan {
    planned_in(event, "invocation", settings)
}

fn planned_in(event: &Value, invocation: &str, settings: &Settings) -> Plan {
    plan(&event::read(event.to_string().as_bytes(), invocation), &settings.policy, &settings.sites)
}

/// Returns the paths that a put of `key` purges.
fn paths(variables: &[(&str, &str)], key: &str) -> Vec<String> {
    let plan = planned(&s3(key, "1"), &policy(variables));
    plan.invalidations.iter().flat_map(|one| one.paths().map(str::to_owned)).collect()
}

#[test]
fn the_variables_decide_the_forms_of_a_path() {
    assert_eq!(paths(&[], "docs/index.html"), ["/docs/", "/docs/index.html"]);
    let bare = [("INVALIDATOR_BARE_DIRECTORIES", "true")];
    assert_eq!(paths(&bare, "docs/index.html"), ["/docs", "/docs/", "/docs/index.html"]);
    assert_eq!(paths(&bare, "index.html"), ["/", "/index.html"]);
    let clean = [("INVALIDATOR_CLEAN_URLS", "true")];
    assert_eq!(paths(&clean, "about.html"), ["/about", "/about.html"]);
    assert_eq!(paths(&clean, "docs/index.html"), ["/docs/", "/docs/index", "/docs/index.html"]);
    assert_eq!(paths(&clean, "docs/.html"), ["/docs/.html"]);
    let query = [("INVALIDATOR_QUERY_STRINGS", "true")];
    assert_eq!(paths(&query, "a.jpg"), ["/a.jpg*"]);
    assert_eq!(paths(&query, "docs/index.html"), ["/docs/*"]);
    let document = [("INVALIDATOR_INDEX_DOCUMENT", "default.htm")];
    assert_eq!(paths(&document, "a/default.htm"), ["/a/", "/a/default.htm"]);
    assert_eq!(paths(&document, "a/index.html"), ["/a/index.html"]);
    let none = [("INVALIDATOR_INDEX_DOCUMENT", "")];
    assert_eq!(paths(&none, "index.html"), ["/index.html"]);
    assert_eq!(paths(&none, "docs/"), ["/docs/"]);
}

#[test]
fn paths_are_relative_to_the_origin_path() {
    let origin = [("INVALIDATOR_ORIGIN_PATH", "/site")];
    assert_eq!(paths(&origin, "site/index.html"), ["/", "/index.html"]);
    assert_eq!(paths(&origin, "site/"), ["/"]);
    assert_eq!(paths(&origin, "site"), [""; 0]);
    assert_eq!(paths(&origin, "site//a"), ["//a"]);
    // The variable is percent-encoded, as the origin path is in a distribution's configuration.
    let escaped = [("INVALIDATOR_ORIGIN_PATH", "/my%20site")];
    assert_eq!(paths(&escaped, "my site/a"), ["/a"]);
    assert_eq!(paths(&escaped, "my%20site/a"), [""; 0]);
}

#[test]
fn include_and_exclude_select_keys_by_globs() {
    let included = |include: &str, key: &str| !paths(&[("INVALIDATOR_INCLUDE", include)], key).is_empty();
    assert!(included("*.css", "a.css") && !included("*.css", "b/a.css"), "* stays within a segment");
    assert!(included("**/*.css", "b/c/a.css") && included("**/*.css", "a.css"), "** crosses segments");
    assert!(included("site/**, *.{html,xml}", "feed.xml") && included("site/**", "site/a/b"));
    assert!(!included("site/**", "site") && !included("site/**", "my-site/a"));
    assert!(included("a+b c*", "a+b c.txt"), "a glob matches the decoded key");
    assert!(included(",", "anything"), "an empty list includes every key");
    let tricky = "tmp[{]/**,a[],]b,logs\\,1,{x,y[,]},z";
    for key in ["tmp{/x", "a]b", "a,b", "logs,1", "x", "y,", "z"] {
        assert!(included(tricky, key), "{key}");
    }
    assert!(!included(tricky, "logs") && !included(tricky, "y") && !included(tricky, "b"));
    let excluded = [("INVALIDATOR_INCLUDE", "**"), ("INVALIDATOR_EXCLUDE", "logs/**,*.tmp")];
    assert_eq!(paths(&excluded, "logs/1"), [""; 0]);
    assert_eq!(paths(&excluded, "a.tmp"), [""; 0]);
    assert_eq!(paths(&excluded, "a/a.tmp"), ["/a/a.tmp"]);
}

#[test]
fn ignored_changes_are_listed_with_the_reason() {
    let mut tagged = s3_record("a", "1");
    tagged["eventName"] = "ObjectTagging:Put".into();
    let mut unknown = s3_record("a", "2");
    unknown["eventName"] = "ObjectTeleported:Put".into();
    let mut elsewhere = s3_record("site/a", "3");
    elsewhere["s3"]["bucket"]["name"] = "other".into();
    let records = json!({"Records": [
        tagged, unknown, elsewhere, s3_record("site/a.tmp", "4"), s3_record("b", "5"), s3_record("site/a", "6"),
    ]});
    let plan = planned(
        &records,
        &policy(&[
            ("INVALIDATOR_BUCKETS", "site"),
            ("INVALIDATOR_EXCLUDE", "**/*.tmp"),
            ("INVALIDATOR_ORIGIN_PATH", "/site"),
        ]),
    );
    let outside = Ignored::Unserved(Unserved::OriginPath);
    let [event, bucket, key] = [Unwatched::Event, Unwatched::Bucket, Unwatched::Key].map(Ignored::Unwatched);
    let expected = [event, outside, bucket, key, outside];
    assert_eq!(plan.ignored, expected.into_iter().enumerate().collect::<Vec<_>>());
    assert_eq!(plan.invalidations[0].paths().collect::<Vec<_>>(), ["/a"]);
}

#[test]
fn each_distribution_gets_one_invalidation() {
    let two = policy(&[("INVALIDATOR_DISTRIBUTIONS", "E2,E1")]);
    let batch = sqs([
        ("m0", s3("a", "1").to_string()),
        ("m1", json!({"paths": ["/b"], "distribution": "E2"}).to_string()),
        ("m2", json!({"paths": ["/c"], "distribution": "E3"}).to_string()),
        ("m3", json!({"paths": ["/d"]}).to_string()),
    ]);
    let plan = planned(&batch, &two);
    let shown: Vec<_> = plan
        .invalidations
        .iter()
        .map(|one| (one.distribution.as_str(), one.paths().collect::<Vec<_>>(), &one.messages[..]))
        .collect();
    assert_eq!(
        shown,
        [
            ("E1", vec!["/a", "/d"], &[0, 3][..]),
            ("E2", vec!["/a", "/b", "/d"], &[0, 1, 3]),
            ("E3", vec!["/c"], &[2]),
        ]
    );
    assert_eq!(plan.billed_paths(), 6);
    let references: BTreeSet<_> = plan.invalidations.iter().map(|one| &one.caller_reference).collect();
    assert_eq!(references.len(), 3);
}

/// Creates an SQS batch with a narrowed message for these distributions, with a put of `a` and with a
/// request of `/b` for E0, if wanted.
fn narrowed(distributions: &[&str], has_put: bool, has_request: bool) -> Value {
    let put = json!({"bucket": "site", "event": "ObjectCreated:Put", "effect": "content",
        "objects": [["a", "1", null]]});
    let request = json!({"paths": ["/b"], "distribution": "E0", "identity": "m"});
    let some = |has: bool, one: &Value| if has { vec![one.clone()] } else { Vec::new() };
    let content =
        json!({"share": 1, "changes": some(has_put, &put), "requests": some(has_request, &request)});
    let body =
        json!({"narrowed": {"version": 1, "distributions": distributions, "since": 1, "content": content}});
    sqs([("m0", body.to_string())])
}

#[test]
fn narrowed_messages_wait_for_what_could_not_be_read() {
    let Settings { policy, mut sites } = policy(&[("INVALIDATOR_DISTRIBUTIONS", "dt_a")]);
    let id = |text: &str| text.parse::<DistributionId>().expect("an id");
    // One tenant of E1 could be read, and neither E0 nor the other tenants of E1.
    let mut site = Site::clone(&sites.list[0]);
    site.parent = Some(Arc::new(id("E1")));
    sites.list = vec![Arc::new(site)];
    sites.unread.insert("site".into(), vec![id("E0"), id("E1")]);
    let settings = Settings { policy, sites };
    let told = |event: &Value| {
        let plan = planned(event, &settings);
        assert_eq!(plan.gone, []);
        let sent = plan
            .invalidations
            .iter()
            .map(|one| format!("{} {}", one.distribution, one.paths().collect::<Vec<_>>().join(" ")));
        let unread = plan.unread.iter().map(|(id, messages)| format!("unread {id} {messages:?}"));
        let waiting = plan.waiting.iter().map(|message| format!("waiting {message}"));
        sent.chain(unread).chain(waiting).collect::<Vec<_>>()
    };
    assert_eq!(told(&narrowed(&["dt_a"], true, false)), ["dt_a /a"]);
    // E1 stands for all of its tenants.
    assert_eq!(told(&narrowed(&["E1"], true, false)), ["dt_a /a", "unread E1 [0]"]);
    assert_eq!(told(&narrowed(&["E0"], true, false)), ["unread E0 [0]"]);
    // A tenant may be one of any distribution.
    assert_eq!(told(&narrowed(&["dt_a", "dt_b"], true, false)), ["dt_a /a", "waiting 0"]);
    // A request does not need what could not be read, but it waits for the changes beside it.
    assert_eq!(told(&narrowed(&["E0"], false, true)), ["E0 /b"]);
    assert_eq!(told(&narrowed(&["E0"], true, true)), ["unread E0 [0]"]);
}

/// Creates an SQS batch of puts from the message id, key and sequencer of each.
fn batch_of(puts: &[(String, Vec<u8>, u8)]) -> Value {
    let body = |key: &[u8], sequencer: u8| {
        json!({"Records": [s3_record(&form_encoded(key), &sequencer.to_string())]}).to_string()
    };
    sqs(puts.iter().map(|(id, key, sequencer)| (&**id, body(key, *sequencer))))
}

fn any_puts() -> impl Strategy<Value = Vec<(String, Vec<u8>, u8)>> {
    let puts = vec((any_key(), any::<u8>()), 1..20);
    puts.prop_map(|puts| {
        puts.into_iter().enumerate().map(|(n, (key, sequencer))| (format!("m{n}"), key, sequencer)).collect()
    })
}

proptest! {
    /// Checks that the items of a plan cover every path of every changed key.
    #[test]
    fn every_change_is_covered(puts in any_puts(), most in 1_usize..12) {
        let Settings { policy, sites } = policy(&[("INVALIDATOR_MAX_PATHS", &most.to_string())]);
        let batch = event::read(batch_of(&puts).to_string().as_bytes(), "invocation");
        let plan = plan(&batch, &policy, &sites);
        let [invalidation] = &plan.invalidations[..] else { panic!("one distribution, one invalidation") };
        prop_assert!(invalidation.purge.items.len() <= most);
        for (message, (_, key, _)) in puts.iter().enumerate() {
            for item in Item::of_any_endpoint(key) {
                prop_assert!(invalidation.purge.items.iter().any(|one| one.item.covers(&item)), "{item}");
            }
            prop_assert!(invalidation.messages.contains(&message));
        }
        // Every item has a reason, and every message is the cause of an item.
        let reasons = reasons(&batch, &policy, &sites, &plan.invalidations);
        for index in 0..invalidation.purge.items.len() {
            prop_assert!(reasons.iter().any(|reason| reason.covering == index));
        }
        for message in 0..puts.len() {
            prop_assert!(reasons.iter().any(|reason| reason.cause.message() == message));
        }
    }

    /// Checks that the order of the changes, duplicates and message ids do not affect the request.
    #[test]
    fn the_same_changes_make_the_same_request(puts in any_puts(), shift in 0_usize..20) {
        let policy = policy(&[]);
        let first = planned(&batch_of(&puts), &policy);
        let mut again = puts.clone();
        again.rotate_left(shift % puts.len());
        again.extend(puts.iter().map(|(id, key, sequencer)| (format!("again-{id}"), key.clone(), *sequencer)));
        let again = planned(&batch_of(&again), &policy);
        prop_assert_eq!(&first.invalidations[0].purge.items, &again.invalidations[0].purge.items);
        prop_assert_eq!(&first.invalidations[0].caller_reference, &again.invalidations[0].caller_reference);
    }

    /// Checks that a later change of the same keys gets another caller reference.
    #[test]
    fn a_later_change_makes_another_request(mut puts in any_puts(), which in 0_usize..20) {
        let policy = policy(&[]);
        let first = planned(&batch_of(&puts), &policy);
        let which = which % puts.len();
        let key = puts[which].1.clone();
        let taken: Vec<u8> = puts.iter().filter(|put| put.1 == key).map(|put| put.2).collect();
        puts[which].2 = (0..=255).find(|free| !taken.contains(free)).expect("an unused sequencer");
        let later = planned(&batch_of(&puts), &policy);
        prop_assert_ne!(&first.invalidations[0].caller_reference, &later.invalidations[0].caller_reference);
    }
}

/// Creates a distribution from the domain and the path of each origin. The first origin is that of the
/// default behavior; the others get the paths below `b/`, `bb/` and so on.
fn distribution(number: usize, origins: &[(&str, &str)]) -> Distribution {
    let origin = |(index, (domain, path)): (usize, &(&str, &str))| Origin {
        id: index.to_string(),
        domain_name: (*domain).to_owned(),
        path: (*path).to_owned(),
    };
    let behavior = |index: usize| Behavior {
        pattern: (index > 0).then(|| format!("{}/*", "b".repeat(index))),
        target: index.to_string(),
        query_strings: QueryStrings::Known(false),
        edge_functions: Vec::new(),
        has_lambda: false,
    };
    Distribution {
        id: format!("E{number}").parse().expect("an id"),
        domain_name: format!("d{number}.cloudfront.net"),
        aliases: Vec::new(),
        status: "Deployed".to_owned(),
        enabled: true,
        staging: false,
        multi_tenant: false,
        origins: origins.iter().enumerate().map(origin).collect(),
        origin_groups: Vec::new(),
        behaviors: (0..origins.len()).rev().map(behavior).collect(),
        error_pages: Vec::new(),
        default_root_object: "a".to_owned(),
        has_cache_tags: None,
        etag: None,
        modified: None,
    }
}

/// Creates the sites of some distributions from their origins.
fn any_sites() -> impl Strategy<Value = Vec<Arc<Site>>> {
    let domains = ["one.s3.amazonaws.com", "two.s3.amazonaws.com", "s3.amazonaws.com", "api.example.com"];
    let paths = ["", "/a", "/a/a", "/b", "/ab", "/a%20b", "/%C3%A9", "/one", "/one/a"];
    let forms = Forms {
        index_document: "a".to_owned(),
        bare_directories: true,
        clean_urls: false,
        query_strings: None,
    };
    vec(vec((select(domains.to_vec()), select(paths.to_vec())), 1..4), 1..8).prop_map(move |all| {
        let sites = all
            .iter()
            .enumerate()
            .map(|(number, origins)| Arc::new(Site::of(&distribution(number, origins), &[], forms.clone())));
        sites.collect()
    })
}

/// Creates changes of objects, or of whole buckets, for which the key is `None`.
fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let piece = select(&["a", "b", "/", "a/", "é/", "é", " ", "\u{10ffff}"][..]);
    let key = prop_oneof![12 => vec(piece, 1..6).prop_map(|pieces| Some(pieces.concat())), 1 => Just(None)];
    let bucket = select(&["one", "two", "One", "three"][..]);
    vec((bucket, key, 0..9_u64), 1..40).prop_map(|all| {
        let change = |(message, (bucket, key, number)): (usize, (&str, Option<String>, u64))| Change {
            message,
            bucket: bucket.into(),
            effect: if key.is_some() { Effect::Content } else { Effect::WholeBucket },
            key: Key::from(key.unwrap_or_default().into_bytes()),
            event: "ObjectCreated:Put".into(),
            time: Some(number),
            identity: number.to_string().into(),
        };
        all.into_iter().enumerate().map(change).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Checks that a plan is what follows from mapping every change by the rules of every site.
    #[test]
    fn a_plan_maps_every_change_by_every_site(list in any_sites(), changes in any_changes()) {
        let Settings { policy, .. } =
            policy(&[("INVALIDATOR_MAX_PATHS", "3000"), ("INVALIDATOR_MAX_WILDCARDS", "3000")]);
        let batch = Batch { changes, ..Batch::default() };
        let sites = Sites { list, ..Sites::default() };
        let plan = plan(&batch, &policy, &sites);
        let mut planned = plan.invalidations.iter();
        let mut ignored = vec![Some(Unserved::Bucket); batch.changes.len()];
        for site in &sites.list {
            let (mut items, mut served) = (BTreeSet::new(), Vec::new());
            for (index, change) in batch.changes.iter().enumerate() {
                let paths = match change.effect {
                    Effect::WholeBucket if site.serving().serves(&change.bucket) => Ok(vec![Item::everything()]),
                    Effect::WholeBucket => Err(Unserved::Bucket),
                    _ => site
                        .paths(&change.bucket, change.key.as_bytes())
                        .map(|paths| paths.into_iter().map(|(item, _)| item).collect()),
                };
                match paths {
                    Ok(paths) => {
                        items.extend(paths);
                        served.push(index);
                        ignored[index] = None;
                    }
                    Err(why) => ignored[index] = ignored[index].map(|known| known.later(why)),
                }
            }
            if served.is_empty() {
                continue;
            }
            let is_needed = |item: &&Item| !items.iter().any(|other| other != *item && other.covers(item));
            let expected: BTreeSet<&str> = items.iter().filter(is_needed).map(Item::as_str).collect();
            let invalidation = planned.next().expect("an invalidation of each distribution that serves one");
            prop_assert_eq!(&invalidation.distribution, &site.distribution);
            prop_assert_eq!(invalidation.paths().collect::<BTreeSet<_>>(), expected);
            prop_assert_eq!(&invalidation.messages[..], &served);
            prop_assert_eq!(invalidation.purge.change_count, served.len());
            let oldest = served.iter().filter_map(|index| batch.changes[*index].time).min();
            prop_assert_eq!(invalidation.purge.oldest, oldest);
            served.truncate(Purge::MOST_CHANGES);
            prop_assert_eq!(&invalidation.purge.changes, &served);
        }
        prop_assert!(planned.next().is_none());
        let ignored = ignored.into_iter().enumerate();
        let expected: Vec<_> = ignored.filter_map(|(index, why)| Some((index, Ignored::Unserved(why?)))).collect();
        prop_assert_eq!(plan.ignored, expected);
    }
}

#[test]
fn a_change_without_sequencer_is_identified_by_its_message_or_invocation() {
    let policy = policy(&[]);
    let mut record = s3_record("a", "1");
    record["s3"]["object"].as_object_mut().expect("an object").remove("sequencer");
    let body = json!({"Records": [record]});
    let reference = |event: &Value, invocation: &str| {
        planned_in(event, invocation, &policy).invalidations[0].caller_reference.clone()
    };
    let in_message = |id| reference(&sqs([(id, body.to_string())]), "i");
    assert_eq!(in_message("m1"), in_message("m1"));
    assert_ne!(in_message("m1"), in_message("m2"));
    assert_eq!(reference(&body, "i1"), reference(&body, "i1"));
    assert_ne!(reference(&body, "i1"), reference(&body, "i2"));
    let manual = json!({"paths": ["/a"]});
    assert_eq!(reference(&manual, "i1"), reference(&manual, "i1"));
    assert_ne!(reference(&manual, "i1"), reference(&manual, "i2"));
    // A sequencer identifies the change, so the message and the invocation do not matter.
    assert_eq!(reference(&s3("a", "1"), "i1"), reference(&sqs([("m1", s3("a", "1").to_string())]), "i2"));
}
