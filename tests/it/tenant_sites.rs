//! Multi-tenant distributions: the function invalidates their tenants.

use std::time::Duration;

use cloudfront_invalidator::{
    cloudfront::{Client, Settings},
    local::{Account, Fault, Server},
    site::{DistributionId, Sites},
};
use serde_json::{Value, json};

use crate::{
    discover::{SECOND, Scene},
    function::refusal,
    sites::{DOMAIN, changed, plain, puts, sent, with},
    support::{Answer, narrowed, sqs},
};

/// The age at which a list of tenants is too old to be reused.
const LATER: Duration = Duration::from_secs(61);

/// Creates a multi-tenant distribution with one origin. The parameter `place` is `common` by default.
pub(crate) fn parent(id: &str, domain: &str, path: &str) -> Value {
    changed(id, domain, |config| {
        config["ConnectionMode"] = "tenant-only".into();
        config["Origins"]["Items"][0]["OriginPath"] = path.into();
        config["TenantConfig"] = json!({"ParameterDefinitions": [
            {"Name": "place", "Definition": {"StringSchema": {"Required": false, "DefaultValue": "common"}}},
        ]});
    })
}

/// Creates a tenant of the distribution E1, as `get-distribution-tenant` prints it.
pub(crate) fn tenant(name: &str, place: Option<&str>) -> Value {
    let parameters: Vec<Value> = place.iter().map(|place| json!({"Name": "place", "Value": place})).collect();
    json!({"DistributionTenant": {
        "Id": format!("dt_{name}"),
        "DistributionId": "E1",
        "Name": format!("tenant-{name}"),
        "Domains": [{"Domain": format!("{name}.example.org"), "Status": "active"}],
        "Parameters": parameters,
        "Enabled": true,
        "Status": "Deployed",
    }})
}

/// Returns an account with a distribution, a cache policy, and a distribution with a tenant, all of one bucket.
pub(crate) fn every_kind() -> Account {
    let mut account = Account::default();
    let example = include_bytes!("../../samples/E1EXAMPLE.json");
    account.add(example, Some("E1EXAMPLE")).expect("a distribution");
    account.add(include_bytes!("../../samples/policies.json"), None).expect("policies");
    for document in [parent("E1", DOMAIN, "/{{place}}"), tenant("a", Some("live"))] {
        account.add(document.to_string().as_bytes(), None).expect("a distribution and its tenant");
    }
    account
}

pub(crate) fn disabled(name: &str) -> Value {
    let mut tenant = tenant(name, None);
    tenant["DistributionTenant"]["Enabled"] = false.into();
    tenant
}

pub(crate) fn account(documents: &[Value]) -> Account {
    let mut account = Account::default();
    for document in documents {
        account.add(document.to_string().as_bytes(), None).expect("an account");
    }
    account
}

/// Returns each tenant or distribution with the paths that were purged there, sorted.
pub(crate) fn purged(cloudfront: &Server) -> Vec<String> {
    let mut all: Vec<String> =
        sent(cloudfront).iter().map(|(id, paths)| format!("{id} {}", paths.join(" "))).collect();
    all.sort();
    all
}

/// Returns what is purged after a put.
async fn after(documents: &[Value], bucket: &str, key: &str) -> Vec<String> {
    let (cloudfront, mut function) = with(account(documents), &[]).await;
    assert_eq!(function.invoke(puts(bucket, &[key], "1")).await.handed_back(), [""; 0]);
    purged(&cloudfront)
}

#[test]
fn the_ids_of_tenants_and_distributions_differ() {
    let is_tenant = |id: &str| id.parse::<DistributionId>().ok().map(|id| id.is_tenant());
    assert_eq!(is_tenant("dt_2yN4wAFw2eVNfkz9"), Some(true));
    assert_eq!(is_tenant("E1EXAMPLE"), Some(false));
    for wrong in ["dt_", "dt_a-b", "dt_ä", "DT_A", "dt", "e1example", "", &format!("dt_{}", "a".repeat(62))]
    {
        assert_eq!(is_tenant(wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn enabled_tenants_are_purged_instead_of_their_distribution() {
    let documents =
        [parent("E1", DOMAIN, ""), plain("E2", DOMAIN), tenant("a", None), disabled("b"), tenant("c", None)];
    let (cloudfront, mut function) = with(account(&documents), &[]).await;
    assert_eq!(function.invoke(puts("site", &["index.html"], "1")).await.handed_back(), [""; 0]);
    let paths = "/ /index.html";
    assert_eq!(
        purged(&cloudfront),
        [format!("E2 {paths}"), format!("dt_a {paths}"), format!("dt_c {paths}")]
    );
    let mut reads = cloudfront.reads();
    reads.sort_unstable();
    let expected =
        ["GetDistributionConfig", "GetDistributionConfig", "ListDistributionTenants", "ListDistributions"];
    assert_eq!(reads, expected, "without placeholders, no tenant is read");
    assert!(!function.log().iter().any(|line| line.contains("\"WARN\"")), "{:?}", function.log());
    // Without enabled tenants, nobody can have cached an object.
    assert_eq!(after(&[parent("E1", DOMAIN, ""), disabled("b")], "site", "a").await, [""; 0]);
}

#[tokio::test]
async fn parameters_decide_which_tenants_are_purged() {
    let tenants = [tenant("a", Some("one")), tenant("b", Some("two")), tenant("c", None)];
    let of = |domain: &str, path: &str| [&[parent("E1", domain, path)], &tenants[..]].concat();
    let in_path = of(DOMAIN, "/{{place}}");
    assert_eq!(after(&in_path, "site", "one/x").await, ["dt_a /x"]);
    assert_eq!(after(&in_path, "site", "common/x").await, ["dt_c /x"]);
    assert_eq!(after(&in_path, "site", "three/x").await, [""; 0]);
    assert_eq!(after(&in_path, "other", "one/x").await, [""; 0]);
    let in_domain = of("site-{{place}}.s3.eu-central-1.amazonaws.com", "/v1");
    assert_eq!(after(&in_domain, "site-two", "v1/x").await, ["dt_b /x"]);
    assert_eq!(after(&in_domain, "site-common", "v1/x").await, ["dt_c /x"]);
    assert_eq!(after(&in_domain, "site-two", "v2/x").await, [""; 0]);
    assert_eq!(after(&in_domain, "site-three", "v1/x").await, [""; 0]);
    let unknown = of("site-{{other}}.s3.eu-central-1.amazonaws.com", "");
    assert_eq!(after(&unknown, "site-one", "x").await, [""; 0]);
}

#[tokio::test]
async fn changes_of_tenants_take_effect_within_a_minute() {
    let of = |tenants: &[Value]| account(&[&[parent("E1", DOMAIN, "/{{place}}")], tenants].concat());
    let first = [tenant("a", Some("one")), tenant("b", Some("one"))];
    let scene = Scene::new(of(&first)).await;
    let count = |operation: &str| scene.cloudfront.reads().iter().filter(|one| **one == operation).count();
    let key = "one/x";
    assert_eq!(scene.paths(Duration::ZERO, key).await, ["dt_a/x", "dt_b/x"]);
    assert_eq!((count("ListDistributionTenants"), count("GetDistributionTenant")), (1, 2));
    // One is new, one has changed, and one is unchanged.
    scene.cloudfront.change(of(&[first[0].clone(), tenant("b", Some("two")), tenant("c", Some("one"))]));
    assert_eq!(scene.paths(59 * SECOND, key).await, ["dt_a/x", "dt_b/x"]);
    assert_eq!((count("ListDistributionTenants"), count("GetDistributionTenant")), (1, 2));
    assert_eq!(scene.paths(LATER, key).await, ["dt_a/x", "dt_c/x"]);
    assert_eq!((count("ListDistributionTenants"), count("GetDistributionTenant")), (2, 4));
    scene.cloudfront.change(of(&[disabled("a"), tenant("c", Some("one"))]));
    assert_eq!(scene.paths(2 * LATER, key).await, ["dt_c/x"]);
    // A new origin path of the distribution takes effect within ten seconds, as always.
    let moved = [parent("E1", DOMAIN, "/v2/{{place}}"), tenant("c", Some("one"))];
    scene.cloudfront.change(account(&moved));
    assert_eq!(scene.paths(2 * LATER + 11 * SECOND, "v2/one/x").await, ["dt_c/x"]);
    assert_eq!((count("ListDistributionTenants"), count("GetDistributionTenant")), (3, 4));
}

#[tokio::test]
async fn what_is_left_for_a_tenant_that_vanished_is_done() {
    let of = |names: &[&str]| {
        let tenants = names.iter().map(|name| tenant(name, None));
        account(&[parent("E1", DOMAIN, "")].into_iter().chain(tenants).collect::<Vec<_>>())
    };
    let (cloudfront, mut function) = with(of(&["a", "b"]), &[]).await;
    assert_eq!(function.invoke(puts("site", &["x"], "1")).await.handed_back(), [""; 0]);
    cloudfront.change(of(&["a"]));
    assert_eq!(function.invoke(puts("site", &["y"], "2")).await.handed_back(), [""; 0]);
    assert!(cloudfront.sent()[0].body.contains("dt_b"));
    assert_eq!(function.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    assert_eq!(function.logged(|line| line["count"] == 1).await["distributions"], json!(["dt_b"]));
    assert_eq!(purged(&cloudfront), ["dt_a /x", "dt_a /y", "dt_b /x"]);
}

#[tokio::test]
async fn tenants_are_listed_from_all_pages() {
    let tenants = (0..250).map(|number| tenant(&format!("n{number}"), None));
    let all: Vec<Value> = [parent("E1", DOMAIN, "")].into_iter().chain(tenants).collect();
    let scene = Scene::new(account(&all)).await;
    let (found, plan) = scene.at(Duration::ZERO, "site", "a").await;
    assert_eq!(plan.invalidations.len(), 250);
    assert!(found.sites.list.iter().all(|site| site.peers == 250));
    let lists = scene.cloudfront.reads().into_iter().filter(|one| *one == "ListDistributionTenants");
    assert_eq!(lists.count(), 3);
}

/// A failure: the origin's domain and path, the operation that fails, the bucket of a put, whether its
/// message waits, and what is purged nevertheless.
type Failure = (&'static str, &'static str, &'static str, &'static str, bool, &'static [&'static str]);

#[tokio::test]
async fn messages_wait_if_tenants_cannot_be_read() {
    let tenants = [tenant("a", Some("one")), tenant("b", Some("two"))];
    let of = |domain: &str, path: &str| {
        let distributions = [parent("E1", domain, path), plain("E2", "other.s3.eu-central-1.amazonaws.com")];
        account(&[&distributions, &tenants[..]].concat())
    };
    let any = "{{place}}.s3.eu-central-1.amazonaws.com";
    let cases: [Failure; 7] = [
        (DOMAIN, "", "ListDistributionTenants", "site", true, &[]),
        (DOMAIN, "", "ListDistributionTenants", "other", false, &["E2 /x"]),
        (any, "", "ListDistributionTenants", "other", true, &["E2 /x"]),
        (DOMAIN, "/{{place}}", "ListDistributionTenants", "site", true, &[]),
        (DOMAIN, "", "GetDistributionTenant", "site", false, &["dt_a /x", "dt_b /x"]),
        (any, "", "GetDistributionTenant", "other", true, &["E2 /x"]),
        (DOMAIN, "", "GetDistributionConfig", "site", true, &[]),
    ];
    for (domain, path, operation, bucket, waits, expected) in cases {
        let case = format!("{domain} {path} {operation} {bucket}");
        let (cloudfront, mut function) = with(of(domain, path), &[("AWS_MAX_ATTEMPTS", "1")]).await;
        cloudfront.inject_read(operation, 0, refusal(403, "AccessDenied", "no"));
        let answer = function.invoke(puts(bucket, &["x"], "1")).await;
        // If something was purged, the queue gets a message for the distribution of the tenants.
        let is_narrowed = waits && !expected.is_empty();
        assert_eq!(answer.handed_back(), if waits && !is_narrowed { &["m0"][..] } else { &[] }, "{case}");
        assert_eq!(cloudfront.sent().len(), usize::from(is_narrowed), "{case}");
        assert_eq!(purged(&cloudfront), expected, "{case}");
        let again = if is_narrowed { narrowed(&cloudfront) } else { puts(bucket, &["x"], "1") };
        assert_eq!(function.invoke(again).await.handed_back(), [""; 0], "{case}");
    }
    // A list that hangs leaves time for the other distributions.
    let (cloudfront, mut function) = with(of(any, ""), &[("AWS_MAX_ATTEMPTS", "1")]).await;
    cloudfront.inject_read("ListDistributionTenants", 0, Fault::Hang);
    let answer = function.invoke_within(4 * SECOND, puts("other", &["x"], "1")).await;
    assert_eq!(answer.handed_back(), [""; 0]);
    assert!(cloudfront.sent()[0].body.contains("E1"));
    assert_eq!(purged(&cloudfront), ["E2 /x"]);
    // The tenants that could be read are purged.
    let (cloudfront, mut function) = with(of(DOMAIN, "/{{place}}"), &[("AWS_MAX_ATTEMPTS", "1")]).await;
    cloudfront.inject_read("GetDistributionTenant", 1, refusal(403, "AccessDenied", "no"));
    let batch = puts("site", &["one/x", "two/x"], "1");
    let answer = function.invoke(batch.clone()).await;
    assert_eq!((answer.handed_back().len(), cloudfront.sent().len(), cloudfront.created()), (1, 1, 1));
    // One message returns, since nothing was purged for it, and the other is replaced.
    for again in [narrowed(&cloudfront), batch] {
        assert_eq!(function.invoke(again).await.handed_back(), [""; 0]);
    }
    assert_eq!(purged(&cloudfront), ["dt_a /x", "dt_b /x"]);
}

#[tokio::test]
async fn a_tenant_that_cannot_be_read_twice_is_not_lost() {
    let tenants = [tenant("a", Some("one")), tenant("b", Some("one"))];
    let documents = [&[parent("E1", DOMAIN, "/{{place}}")], &tenants[..]].concat();
    let (cloudfront, mut function) = with(account(&documents), &[("AWS_MAX_ATTEMPTS", "1")]).await;
    cloudfront.inject_read("GetDistributionTenant", 1, refusal(403, "AccessDenied", "no"));
    assert_eq!(function.invoke(puts("site", &["one/x"], "1")).await.handed_back(), [""; 0]);
    cloudfront.inject_read("GetDistributionTenant", 0, refusal(403, "AccessDenied", "no"));
    let mut deliveries = 0;
    while !cloudfront.sent().is_empty() {
        deliveries += 1;
        assert_eq!(function.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    }
    assert_eq!(deliveries, 2);
    assert_eq!(purged(&cloudfront), ["dt_a /x", "dt_b /x"]);
}

#[tokio::test]
async fn tenants_that_cannot_be_listed_again_are_known_while_cloudfront_is_unreachable() {
    let scene = Scene::new(account(&[parent("E1", DOMAIN, ""), tenant("a", None)])).await;
    assert_eq!(scene.paths(Duration::ZERO, "x").await, ["dt_a/x"]);
    for (after, unreachable, planned, waits) in [
        (2 * LATER, "ListDistributionTenants", 0, true),
        (3 * LATER, "ListDistributions", 1, false),
        (17 * LATER, "ListDistributions", 0, true),
    ] {
        scene.cloudfront.inject_read(unreachable, 0, refusal(503, "ServiceUnavailable", "internal"));
        let (found, plan) = scene.at(after, "site", "x").await;
        assert_eq!(plan.invalidations.len(), planned, "{after:?}");
        let Sites { unknown, unread, .. } = &found.sites;
        assert_eq!(unknown.contains("site") || unread.contains_key("site"), waits, "{after:?}");
        assert!(found.failure.is_some());
    }
}

#[tokio::test]
async fn tenants_can_be_named() {
    let documents = [
        parent("E1", DOMAIN, "/{{place}}"),
        changed("E2", "api.example.com", |config| config["Aliases"] = json!({"Quantity": 0})),
        tenant("a", Some("one")),
        tenant("b", Some("two")),
        disabled("c"),
    ];
    let names: [(&str, &[&str]); 6] = [
        ("dt_a", &["dt_a"]),
        ("A.example.org", &["dt_a"]),
        ("e1.example.com", &["dt_a", "dt_b"]),
        (DOMAIN, &["dt_a", "dt_b"]),
        ("api.example.com", &["E2"]),
        ("s3://site", &["dt_a", "dt_b"]),
    ];
    for (name, expected) in names {
        let (cloudfront, mut function) = with(account(&documents), &[]).await;
        let event = json!({"paths": ["/x"], "distribution": name}).to_string();
        assert!(matches!(function.invoke(event).await, Answer::Response(_)), "{name}");
        let expected: Vec<String> = expected.iter().map(|id| format!("{id} /x")).collect();
        assert_eq!(purged(&cloudfront), expected, "{name}");
        let reads = cloudfront.reads();
        assert!(name != "dt_a" || reads.is_empty(), "an id needs no lookup");
        assert!(name != "api.example.com" || reads == ["ListDistributions"], "{reads:?}");
        if name.starts_with("s3://") {
            continue;
        }
        // The same name in the configuration.
        let variables = [("INVALIDATOR_DISTRIBUTIONS", name), ("INVALIDATOR_ORIGIN_PATH", "/v1")];
        let (cloudfront, mut function) = with(account(&documents), &variables).await;
        assert_eq!(function.invoke(puts("site", &["v1/x"], "1")).await.handed_back(), [""; 0], "{name}");
        assert_eq!(purged(&cloudfront), expected, "{name}");
    }
    // A disabled tenant, and a name that nothing has.
    for name in ["c.example.org", "d.example.org"] {
        let (cloudfront, mut function) = with(account(&documents), &[]).await;
        let event = json!({"paths": ["/x"], "distribution": name}).to_string();
        assert_eq!(function.invoke(event).await.error_type(), "EventUnreadable", "{name}");
        assert_eq!(purged(&cloudfront), [""; 0], "{name}");
    }
    // Without a name, all tenants that serve the watched buckets are meant.
    let watched = [("INVALIDATOR_BUCKETS", "site")];
    let (cloudfront, mut function) = with(account(&documents), &watched).await;
    assert!(matches!(function.invoke(json!({"paths": ["/x"]}).to_string()).await, Answer::Response(_)));
    assert_eq!(purged(&cloudfront), ["dt_a /x", "dt_b /x"]);
    // One list is enough for several names.
    let (cloudfront, mut function) = with(account(&documents), &[]).await;
    let names = ["a.example.org", "s3://site", "e1.example.com"];
    let messages = names.map(|name| (name, json!({"paths": ["/x"], "distribution": name}).to_string()));
    assert_eq!(function.invoke(sqs(messages).to_string()).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront), ["dt_a /x", "dt_b /x"]);
    let lists = cloudfront.reads().into_iter().filter(|one| *one == "ListDistributionTenants").count();
    assert_eq!(lists, 1);
    // Tenants that cannot be listed may have the name.
    for name in ["a.example.org", "e1.example.com", "s3://site"] {
        let variables = [("AWS_MAX_ATTEMPTS", "1")];
        let (cloudfront, mut function) = with(account(&documents), &variables).await;
        cloudfront.inject_read("ListDistributionTenants", 0, refusal(403, "AccessDenied", "no"));
        let event = json!({"paths": ["/x"], "distribution": name}).to_string();
        assert_eq!(function.invoke(event).await.error_type(), "CloudFrontDenied", "{name}");
        assert_eq!(purged(&cloudfront), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn the_client_reads_the_invalidations_of_a_tenant() {
    let scene = Scene::new(account(&[parent("E1", DOMAIN, ""), tenant("a", Some("one"))])).await;
    let client = Client::new(Settings::local(&scene.cloudfront.endpoint_url()));
    let id = "dt_a".parse().expect("an id");
    let limit = 5 * SECOND;
    let created = client.create_invalidation(&id, ["/x"].into_iter(), "r", limit).await.expect("a creation");
    assert!(created.is_new);
    let seen = client.invalidation(&id, &created.invalidation.id).await.expect("an invalidation");
    assert_eq!(seen.paths, ["/x"]);
    let listed = client.invalidations(&id).await.expect("a list");
    assert_eq!(listed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&seen.id]);
    let tenant = client.tenant("tenant-a", limit).await.expect("a tenant");
    assert_eq!(tenant.id, id);
    assert_eq!(tenant.parameters, Some(vec![("place".to_owned(), "one".to_owned())]));
    let gone = "dt_b".parse().expect("an id");
    let error =
        client.create_invalidation(&gone, ["/x"].into_iter(), "r", limit).await.expect_err("an error");
    assert!(error.is_no_such_distribution());
}

#[tokio::test]
async fn ten_thousand_tenants_need_less_than_10_mb() {
    let mut peaks = Vec::new();
    for count in [100_usize, 10_000] {
        let tenants = (0..count).map(|number| tenant(&format!("2yN4wAFw2eVNfkz9{number:011}"), None));
        let all: Vec<Value> = [parent("E1", DOMAIN, "/v1")].into_iter().chain(tenants).collect();
        let (cloudfront, mut function) = with(account(&all), &[]).await;
        // No tenant serves the key, so this measures only the lists.
        for (key, sequencer) in [("x", "1"), ("y", "2")] {
            assert_eq!(function.invoke(puts("site", &[key], sequencer)).await.handed_back(), [""; 0]);
        }
        assert_eq!(cloudfront.created(), 0);
        let lists = cloudfront.reads().into_iter().filter(|one| *one == "ListDistributionTenants").count();
        assert_eq!(lists, count.div_ceil(100));
        peaks.push(function.peak_memory());
    }
    assert!(peaks[1] - peaks[0] < 10 * 1024, "{peaks:?} KiB");
}
