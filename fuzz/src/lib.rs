//! Checks that must hold for any bytes. The fuzzer calls them with generated input, and the tests
//! call them with the input that the fuzzer found.

use std::sync::Arc;

use cloudfront_invalidator::{
    config,
    cover::{Budget, cover as best_cover},
    discover::Found,
    event::{Effect, read},
    path::{Item, Kind},
    plan::{Policy, plan},
    report::{Log, Report},
    site::{
        Behavior, BucketAlias, Distribution, EdgeFunction, ErrorPage, Form, Forms, Origin, OriginGroup,
        OriginPath, QueryStrings, Site, Sites,
    },
    versions::Skip,
    watch::Watch,
};
use percent_encoding::percent_decode_str;

/// Turns bytes into a batch, a plan, an answer and a log. Checks that nothing panics, that no
/// change is lost, and that the input cannot forge output.
pub fn event(data: &[u8]) {
    let batch = read(data, "invocation");
    assert!(!batch.messages.is_empty() || batch.changes.is_empty());
    let known = |message: usize| assert!(message < batch.messages.len());
    batch.changes.iter().for_each(|change| known(change.message));
    batch.requests.iter().for_each(|request| known(request.message));

    let id = "E1EXAMPLE".parse().expect("an id");
    let site = Site::given(id, OriginPath::default(), forms(None));
    let sites = Sites { list: vec![Arc::new(site)], named: true, ..Sites::default() };
    let budget = Budget { items: config::DEFAULT_MAX_PATHS, wildcards: config::DEFAULT_MAX_WILDCARDS };
    let policy =
        Policy { watch: Watch::default(), budget, manual: true, list_bucket: false, skip: Skip::default() };
    let plan = plan(&batch, &policy, &sites);
    for change in batch.changes.iter().filter(|change| change.effect == Effect::Content) {
        let item = Item::from_key(change.key.as_bytes());
        let [invalidation] = &plan.invalidations[..] else { panic!("one distribution") };
        assert!(invalidation.purge.items.iter().any(|one| one.item.covers(&item)));
        assert!(invalidation.messages.contains(&change.message));
    }
    let report = Report::new(batch, Found { sites, ..Found::default() }, plan, None, 0);
    match report.answer() {
        Ok(answer) => drop(serde_json::from_str::<serde_json::Value>(answer.get()).expect("JSON")),
        Err(failure) => assert!(!failure.error_type.is_empty() && failure.message.len() < 100_000),
    }
    for line in Log::default().lines(&report, "request") {
        assert!(!line.contains(['\n', '\r', '\u{1b}']), "{line:?}");
        let line: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
        assert!(line["level"].is_string());
    }
    let shown = report.explain(&policy, true).to_string();
    assert!(!shown.contains(['\r', '\u{1b}', '\u{0}']), "{shown:?}");
}

/// Turns a key into a path. Checks that CloudFront accepts the path, and that it is the key or
/// covers it.
pub fn key(data: &[u8]) {
    let item = Item::from_key(data);
    is_acceptable(&item);
    let stem: Vec<u8> = percent_decode_str(&item.stem()[1..]).collect();
    match item.kind() {
        Kind::Exact => assert_eq!(stem, data),
        Kind::Wildcard => assert!(data.starts_with(&stem)),
        Kind::Tag => panic!("a key became the tag {item}"),
    }
}

/// Parses a path or tag as a person would type it. Checks that the result is an item that
/// CloudFront accepts, or an error of limited length.
pub fn typed(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Item>() {
        Ok(item) => {
            assert_eq!(item.kind() == Kind::Tag, text.starts_with('#'));
            is_acceptable(&item);
            assert_eq!(item.as_str().parse::<Item>().as_ref(), Ok(&item), "the item parses to itself");
        }
        Err(why) => assert!(why.to_string().len() < 10_000),
    }
}

/// Covers the keys, one on each line, within the budget in the first two bytes. Checks that the
/// cover keeps to the budget and covers every key.
pub fn cover(data: &[u8]) {
    let [items, wildcards, rest @ ..] = data else { return };
    let budget = Budget { items: usize::from(*items).max(1), wildcards: usize::from(*wildcards % 32).max(1) };
    let asked: Vec<Item> = rest.split(|byte| *byte == b'\n').map(Item::from_key).collect();
    let found = best_cover(asked.iter().cloned(), budget);
    assert!(found.items.len() <= budget.items);
    let folded = found.items.iter().filter(|one| one.item.kind() == Kind::Wildcard).count();
    assert!(folded <= budget.wildcards);
    for item in &asked {
        assert!(found.items.iter().any(|one| one.item.covers(item)), "{item} is not covered");
    }
    assert!(found.at_least <= found.cost);
}

/// Maps a key to the paths of a distribution. The input lines are the bucket, the key and then the
/// distribution's configuration. Checks that CloudFront accepts the paths.
pub fn site(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let (bucket, key, flags) = (next(), next(), next());
    let flag = |index: usize| flags.as_bytes().get(index).is_some_and(|byte| byte % 2 == 1);
    let mut distribution = Distribution {
        id: "E1EXAMPLE".parse().expect("an id"),
        domain_name: next(),
        aliases: vec![next()],
        status: next(),
        enabled: flag(0),
        staging: flag(1),
        multi_tenant: flag(2),
        origins: vec![
            Origin { id: "0".to_owned(), domain_name: format!("{bucket}.s3.amazonaws.com"), path: next() },
            Origin { id: "1".to_owned(), domain_name: next(), path: next() },
        ],
        origin_groups: vec![OriginGroup { id: "2".to_owned(), members: vec!["1".to_owned(), next()] }],
        behaviors: Vec::new(),
        error_pages: vec![ErrorPage {
            code: 404,
            page: Some(next()),
            min_ttl: if flag(3) { 300 } else { 10 },
        }],
        default_root_object: next(),
        has_cache_tags: None,
        etag: None,
        modified: None,
    };
    for pattern in lines {
        let edge_functions =
            vec![EdgeFunction { event: "viewer-request".to_owned(), arn: pattern.to_owned() }];
        let target = pattern.len() % 3;
        let query_strings = match pattern.len() % 5 {
            0 => QueryStrings::OfPolicy(pattern.to_owned()),
            number => QueryStrings::Known(number % 2 == 0),
        };
        let pattern = (!pattern.is_empty()).then(|| pattern.to_owned());
        distribution.behaviors.push(Behavior {
            pattern,
            target: target.to_string(),
            query_strings,
            edge_functions,
            has_lambda: false,
        });
    }
    let alias = distribution.origins[1].domain_name.clone();
    let aliases = vec![BucketAlias { alias, bucket: bucket.clone() }];
    let site = Site::of(&distribution, &aliases, forms(flag(4).then_some(flag(5))));
    if let Ok(paths) = site.paths(&bucket, key.as_bytes()) {
        assert!(!paths.is_empty());
        for (index, (item, form)) in paths.iter().enumerate() {
            is_acceptable(item);
            assert!(
                *form == Form::ErrorPage
                    || *item != Item::everything()
                    || key.len() < 2
                    || item.stem() == "/"
            );
            assert!(!paths[..index].iter().any(|(other, _)| other == item), "{item} twice");
        }
    }
}

fn forms(query_strings: Option<bool>) -> Forms {
    Forms { index_document: "index.html".to_owned(), bare_directories: true, clean_urls: true, query_strings }
}

/// Asserts that an item follows CloudFront's documented rules.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html>
fn is_acceptable(item: &Item) {
    let text = item.as_str();
    if item.kind() == Kind::Tag {
        assert!((2..=257).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
        return;
    }
    assert!(text.starts_with('/') && text.len() <= 4_000, "{text:?}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    assert!(
        !text.contains(['<', '>', '"', '#', '{', '}', '|', '\\', '^', '~', '[', ']', '`', '\'']),
        "{text:?}"
    );
}
