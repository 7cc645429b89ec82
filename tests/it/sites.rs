//! The function's binary without configured distributions: it looks up which distributions serve a
//! bucket, and under which paths.

use std::time::Duration;

use cloudfront_invalidator::local::{Account, Fault, Options, Server};
use serde_json::{Value, json};

use crate::support::{Answer, Function, narrowed, s3, sqs};

const EXAMPLE: &[u8] = include_bytes!("../../samples/E1EXAMPLE.json");
const POLICIES: &[u8] = include_bytes!("../../samples/policies.json");

/// Creates a distribution as `get-distribution` prints it. Its only origin is at `domain`.
pub(crate) fn plain(id: &str, domain: &str) -> Value {
    json!({"Distribution": {
        "Id": id,
        "Status": "Deployed",
        "DomainName": format!("{}.cloudfront.net", id.to_lowercase()),
        "DistributionConfig": {
            "Enabled": true,
            "Staging": false,
            "Aliases": {"Quantity": 1, "Items": [format!("{}.example.com", id.to_lowercase())]},
            "DefaultRootObject": "index.html",
            "Origins": {"Quantity": 1, "Items": [{"Id": "o", "DomainName": domain, "OriginPath": ""}]},
            "DefaultCacheBehavior": {
                "TargetOriginId": "o",
                "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
            },
        },
    }})
}

/// Creates the same distribution with a change to its configuration.
pub(crate) fn changed(id: &str, domain: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut distribution = plain(id, domain);
    change(&mut distribution["Distribution"]["DistributionConfig"]);
    distribution
}

pub(crate) const DOMAIN: &str = "site.s3.eu-central-1.amazonaws.com";

pub(crate) fn account(distributions: &[Value]) -> Account {
    let mut account = Account::default();
    account.add(json!(distributions).to_string().as_bytes(), None).expect("distributions");
    account
}

/// Starts a CloudFront with these distributions, and a function that has to look them up.
pub(crate) async fn with(account: Account, variables: &[(&str, &str)]) -> (Server, Function) {
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let all = [&[("INVALIDATOR_DISTRIBUTIONS", "")], variables].concat();
    let function = Function::start(&cloudfront.endpoint_url(), &all).await;
    (cloudfront, function)
}

/// Creates an SQS batch of puts in a bucket.
pub(crate) fn puts(bucket: &str, keys: &[&str], sequencer: &str) -> String {
    let body = |key: &str| s3(key, sequencer).to_string().replace("\"site\"", &format!("\"{bucket}\""));
    let messages: Vec<(String, String)> =
        keys.iter().enumerate().map(|(n, key)| (format!("m{n}"), body(key))).collect();
    sqs(messages.iter().map(|(id, body)| (&**id, body.clone()))).to_string()
}

/// Returns the distribution and paths of each invalidation, oldest first.
pub(crate) fn sent(cloudfront: &Server) -> Vec<(String, Vec<String>)> {
    cloudfront.recorded().into_iter().map(|one| (one.distribution, one.paths)).collect()
}

/// Returns the paths that the function purges after a put of `key` in the bucket `site`.
pub(crate) async fn paths(account: &Account, variables: &[(&str, &str)], key: &str) -> Vec<String> {
    let (cloudfront, mut function) = with(account.clone(), variables).await;
    assert_eq!(function.invoke(puts("site", &[key], "1")).await.handed_back(), [""; 0]);
    sent(&cloudfront).into_iter().flat_map(|(_, paths)| paths).collect()
}

fn refusal(status: u16, code: &str) -> Fault {
    Fault::Refuse { status, code: code.to_owned(), message: "No.".to_owned() }
}

#[tokio::test]
async fn the_configuration_of_the_distribution_decides_the_paths() {
    let mut account = Account::default();
    account.add(EXAMPLE, Some("E1EXAMPLE")).expect("a distribution");
    account.add(POLICIES, None).expect("policies");
    let cases: &[(&str, &[&str])] = &[
        ("live/index.html", &["/", "/index.html"]),
        ("live/docs/index.html", &["/docs/", "/docs/index.html"]),
        ("live/a b.html", &["/a%20b.html", "/a+b.html"]),
        ("live//double", &["//double"]),
        // `/images/*` leads to another origin, but the edge function of the default behavior may
        // rewrite any path to this object.
        ("live/images/a.jpg", &["/*"]),
        ("media/images/a.jpg", &["/images/a.jpg*"]),
        ("media/a.jpg", &[]),
        // CloudFront ignores empty segments when it looks for the behavior of a path.
        ("media//images/a.jpg", &["//images/a.jpg*"]),
        ("lively/a", &[]),
        ("index.html", &[]),
        // `search*` leads to an origin group with this bucket, and caches by query string.
        ("live/search.html", &["/search.html*"]),
        ("live/search/index.html", &["/search/*"]),
        ("live/api/index.html", &["/*"]),
        ("live/Api/a", &["/Api/a"]),
        ("live/errors/gone.html", &["/*"]),
        ("live/errors/sorry.html", &["/errors/sorry.html"]),
        ("media/errors/gone.html", &[]),
    ];
    for (key, expected) in cases {
        assert_eq!(paths(&account, &[], key).await, *expected, "{key}");
    }
    let off = [("INVALIDATOR_QUERY_STRINGS", "false")];
    assert_eq!(paths(&account, &off, "media/images/a.jpg").await, ["/images/a.jpg"]);
    let always = [("INVALIDATOR_QUERY_STRINGS", "true")];
    assert_eq!(paths(&account, &always, "live/a.html").await, ["/a.html*"]);
    // Without the cache policy, the function has to assume that query strings are in the cache key.
    let mut alone = Account::default();
    alone.add(EXAMPLE, Some("E1EXAMPLE")).expect("a distribution");
    assert_eq!(paths(&alone, &[], "media/images/a.jpg").await, ["/images/a.jpg*"]);
}

#[tokio::test]
async fn a_bucket_is_recognized_by_its_own_domains_and_aliases_only() {
    let expected = ["/a"];
    for domain in [
        DOMAIN,
        "SITE.s3.amazonaws.com",
        "site.s3-eu-west-1.amazonaws.com",
        "site.s3-website-us-east-1.amazonaws.com",
        "site.s3-website.eu-central-1.amazonaws.com",
        "site.s3.dualstack.eu-central-1.amazonaws.com",
        "site.s3.cn-north-1.amazonaws.com.cn",
        "site.s3-accelerate.amazonaws.com",
        "site.s3-accelerate.dualstack.amazonaws.com",
    ] {
        assert_eq!(paths(&account(&[plain("E1", domain)]), &[], "a").await, expected, "{domain}");
    }
    for domain in
        ["mysite.s3.amazonaws.com", "site-old.s3.amazonaws.com", "www.site.s3.amazonaws.com", "site.com"]
    {
        assert_eq!(paths(&account(&[plain("E1", domain)]), &[], "a").await, [""; 0], "{domain}");
    }
    let dotted = account(&[plain("E1", "www.example.com.s3-website-us-east-1.amazonaws.com")]);
    let (cloudfront, mut function) = with(dotted, &[]).await;
    function.invoke(puts("www.example.com", &["a"], "1")).await;
    assert_eq!(sent(&cloudfront)[0].1, expected);

    let point = "point-abc-s3alias.s3.eu-central-1.amazonaws.com";
    let hidden = account(&[plain("E1", point), plain("E2", "x.mrap.accesspoint.s3-global.amazonaws.com")]);
    assert_eq!(paths(&hidden, &[], "a").await, [""; 0]);
    let aliases = [("INVALIDATOR_BUCKET_ALIASES", "point-abc-s3alias=site, x.mrap=site, x.mrap=other")];
    assert_eq!(paths(&hidden, &aliases, "a").await, ["/a", "/a"]);
}

#[tokio::test]
async fn a_bucket_in_the_path_of_an_origin_is_recognized() {
    let domain = "s3.eu-central-1.amazonaws.com";
    let cases: [(&str, &str, &[&str]); 8] = [
        ("/site", "live/a b", &["/live/a%20b", "/live/a+b"]),
        ("/Site/live", "live/index.html", &["/", "/index.html"]),
        ("/site/live", "lively/a", &[]),
        ("/site/live", "site/live/a", &[]),
        ("/my-point-s3alias/live", "live/a", &["/a"]),
        ("/other", "a", &[]),
        // Without a bucket in the origin's path, viewers name it.
        ("", "live/a", &["/site/live/a"]),
        ("", "docs/index.html", &["/site/docs/", "/site/docs/index.html"]),
    ];
    let aliases = [("INVALIDATOR_BUCKET_ALIASES", "my-point-s3alias=site")];
    for (path, key, expected) in cases {
        let distribution =
            changed("E1", domain, |config| config["Origins"]["Items"][0]["OriginPath"] = path.into());
        assert_eq!(paths(&account(&[distribution]), &aliases, key).await, expected, "{path} {key}");
    }
    let named = changed("E1", domain, |config| config["Origins"]["Items"][0]["OriginPath"] = "/site".into());
    let (cloudfront, mut function) = with(account(&[named, plain("E2", domain)]), &[]).await;
    for (bucket, expected) in [("s3://site", &["E1", "E2"][..]), ("s3://Old_Bucket", &["E2"])] {
        let before = cloudfront.recorded().len();
        function.invoke(json!({"paths": ["/x"], "distribution": bucket}).to_string()).await;
        let mut purged: Vec<String> =
            sent(&cloudfront).split_off(before).into_iter().map(|(id, _)| id).collect();
        purged.sort();
        assert_eq!(purged, expected, "{bucket}");
    }
    function.invoke(puts("Old_Bucket", &["a"], "1")).await;
    assert_eq!(sent(&cloudfront).last().expect("an invalidation").1, ["/Old_Bucket/a"]);
}

#[tokio::test]
async fn exactly_the_distributions_that_serve_the_bucket_are_invalidated() {
    let website = "site.s3-website-us-east-1.amazonaws.com";
    let (cloudfront, mut function) = with(
        account(&[
            plain("E1", "other.s3.eu-central-1.amazonaws.com"),
            plain("E2", DOMAIN),
            changed("E3", DOMAIN, |config| config["Enabled"] = false.into()),
            changed("E4", website, |config| config["Origins"]["Items"][0]["OriginPath"] = "/v2".into()),
            changed("E5", DOMAIN, |config| config["Staging"] = true.into()),
        ]),
        &[],
    )
    .await;
    let batch = puts("site", &["a", "v2/docs/index.html"], "1");
    assert_eq!(function.invoke(batch).await.handed_back(), [""; 0]);
    let mut all = sent(&cloudfront);
    all.sort();
    let both = ["/a", "/v2/docs/", "/v2/docs/index.html"];
    let expected: [(&str, &[&str]); 3] =
        [("E2", &both), ("E4", &["/docs/", "/docs/index.html"]), ("E5", &both)];
    for ((distribution, paths), (expected_of, expected)) in all.iter().zip(expected) {
        assert_eq!((distribution.as_str(), &paths[..]), (expected_of, &expected.map_owned()[..]));
    }
    assert_eq!(all.len(), 3);
}

/// Conversion to owned strings, to compare with recorded paths.
trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}

impl MapOwned for [&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[tokio::test]
async fn all_pages_of_the_list_are_read_but_only_the_configurations_in_question() {
    let mut distributions: Vec<Value> = (0..250)
        .map(|n| plain(&format!("E{n:03}"), &format!("b{n}.s3.eu-central-1.amazonaws.com")))
        .collect();
    distributions[249] = plain("E249", DOMAIN);
    let (cloudfront, mut function) = with(account(&distributions), &[]).await;
    assert_eq!(function.invoke(puts("site", &["a"], "1")).await.handed_back(), [""; 0]);
    assert_eq!(sent(&cloudfront), [("E249".to_owned(), vec!["/a".to_owned()])]);
    let first = ["ListDistributions", "ListDistributions", "ListDistributions", "GetDistributionConfig"];
    assert_eq!(cloudfront.reads(), first);
    // The function remembers the list and the configuration.
    assert_eq!(function.invoke(puts("site", &["b"], "2")).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.reads(), first);
    // Another bucket needs another configuration. The list ages while that is read, so the function
    // renews the list first.
    assert_eq!(function.invoke(puts("b7", &["c"], "3")).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.reads()[first.len()..], first);
    assert_eq!(cloudfront.recorded().len(), 3);
}

#[tokio::test]
async fn a_bucket_that_no_distribution_serves_is_ignored_and_logged_once() {
    let (cloudfront, mut function) = with(account(&[plain("E1", DOMAIN)]), &[]).await;
    for sequencer in ["1", "2"] {
        assert_eq!(function.invoke(puts("logs", &["a"], sequencer)).await.handed_back(), [""; 0]);
    }
    // The list stays valid for ten seconds, so the second batch needs no lookup.
    assert_eq!(cloudfront.reads(), ["ListDistributions"]);
    assert_eq!(cloudfront.calls(), 0);
    function.logged(|line| line["ignored"]["unserved"] == 1).await;
    let told = function.log().iter().filter(|line| line.contains("\"bucket\":\"logs\"")).count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn messages_return_to_the_queue_if_the_lookup_fails() {
    let mut distributions: Vec<Value> =
        (0..150).map(|n| plain(&format!("E{n:03}"), "x.example.com")).collect();
    distributions[0] = plain("E000", DOMAIN);
    distributions[149] = plain("E149", DOMAIN);
    // The operation, the number of its calls that succeed first, the fault, the error type, and the
    // number of distributions that are invalidated despite the fault.
    let faults: [(&str, usize, Fault, &str, usize); 7] = [
        ("ListDistributions", 0, refusal(403, "AccessDenied"), "CloudFrontDenied", 0),
        ("ListDistributions", 0, refusal(400, "Throttling"), "CloudFrontBusy", 0),
        ("ListDistributions", 1, refusal(403, "AccessDenied"), "CloudFrontDenied", 0),
        ("ListDistributions", 1, Fault::Hang, "CloudFrontUnreachable", 0),
        ("GetDistributionConfig", 1, refusal(403, "AccessDenied"), "CloudFrontDenied", 1),
        ("GetDistributionConfig", 0, Fault::Close, "CloudFrontUnreachable", 1),
        ("GetDistributionConfig", 0, Fault::Hang, "CloudFrontUnreachable", 1),
    ];
    for (operation, after, fault, error_type, purged) in faults {
        let told = format!("{operation} after {after}: {fault:?}");
        let (cloudfront, mut function) = with(account(&distributions), &[("AWS_MAX_ATTEMPTS", "1")]).await;
        cloudfront.inject_read(operation, after, fault);
        let batch = puts("site", &["a", "b"], "1");
        let answer = function.invoke_within(Duration::from_secs(4), batch.clone()).await;
        // Of two distributions, one may be done. The queue then gets a message for the other.
        let is_narrowed = purged > 0;
        let left: &[&str] = if is_narrowed { &[] } else { &["m0", "m1"] };
        assert_eq!(answer.handed_back(), left, "{told}");
        assert_eq!((cloudfront.created(), cloudfront.sent().len()), (purged, purged), "{told}");
        let line = function.logged(|line| line["waiting"] == 2).await;
        assert_eq!(
            (&line["level"], &line["error_type"]),
            (&json!("ERROR"), &json!(error_type)),
            "{told} {line}"
        );
        let again = if is_narrowed { narrowed(&cloudfront) } else { batch };
        assert_eq!(function.invoke(again).await.handed_back(), [""; 0], "{told}");
        assert_eq!(cloudfront.recorded().len(), 2, "no distribution is invalidated twice: {told}");
    }
    // An event that does not come from a queue fails the invocation.
    let (cloudfront, mut function) = with(account(&distributions), &[]).await;
    cloudfront.inject_read("ListDistributions", 0, refusal(403, "AccessDenied"));
    let answer = function.invoke(s3("a", "1").to_string()).await;
    assert_eq!(answer.error_type(), "CloudFrontDenied");
    assert!(answer.message().starts_with("distribution lookup: AccessDenied (HTTP 403): No."));
}

#[tokio::test]
async fn ignored_changes_and_distributions_named_by_id_need_no_lookup() {
    let (cloudfront, mut function) = with(account(&[plain("E1", DOMAIN)]), &[]).await;
    let mut tagged = s3("a", "1");
    tagged["Records"][0]["eventName"] = "ObjectTagging:Put".into();
    assert!(matches!(function.invoke(tagged.to_string()).await, Answer::Response(_)));
    let named = json!({"paths": ["/a"], "distribution": "E1"});
    assert!(matches!(function.invoke(named.to_string()).await, Answer::Response(_)));
    assert_eq!(cloudfront.reads(), [""; 0]);
    assert_eq!(cloudfront.recorded().len(), 1);
    let unnamed = function.invoke(json!({"paths": ["/a"]}).to_string()).await;
    assert_eq!(unnamed.error_type(), "EventUnreadable");
    assert!(unnamed.message().contains("it names no distribution"), "{}", unnamed.message());
}

#[tokio::test]
async fn a_manual_event_invalidates_the_named_distribution_or_all_of_the_watched_buckets() {
    let four = account(&[
        plain("E1", DOMAIN),
        plain("E2", "site.s3-website-us-east-1.amazonaws.com"),
        plain("E3", "other.s3.eu-central-1.amazonaws.com"),
        changed("E4", DOMAIN, |config| config["Enabled"] = false.into()),
    ]);
    let (cloudfront, mut function) = with(four, &[("INVALIDATOR_BUCKETS", "site,media")]).await;
    for (distribution, expected) in [
        (None, &["E1", "E2"][..]),
        (Some("E3"), &["E3"]),
        (Some("e3.example.com"), &["E3"]),
        (Some("E1.cloudfront.net"), &["E1"]),
        (Some(DOMAIN), &["E1", "E4"]),
        (Some("s3://other"), &["E3"]),
        (Some("s3://site/"), &["E1", "E2"]),
    ] {
        let before = cloudfront.created();
        let mut event = json!({"paths": ["/a", "/b*"]});
        if let Some(distribution) = distribution {
            event["distribution"] = distribution.into();
        }
        let answer = function.invoke(event.to_string()).await;
        assert!(matches!(answer, Answer::Response(_)), "{distribution:?}: {answer:?}");
        let mut purged: Vec<String> =
            sent(&cloudfront).split_off(before).into_iter().map(|(distribution, _)| distribution).collect();
        purged.sort();
        assert_eq!(purged, expected, "{distribution:?}");
    }
    assert_eq!(cloudfront.reads(), ["ListDistributions"], "one list is enough for ten seconds");
    for (wrong, why) in [
        ("www.example.com", "no distribution or origin is called www.example.com; known distributions: e1"),
        ("s3://nobody", "no distribution or origin is called s3://nobody; known distributions: e1"),
        ("s3://site/a", "\"s3://site/a\" is not a distribution: give its id"),
        ("site", "\"site\" is not a distribution: give its id"),
    ] {
        let answer = function.invoke(json!({"paths": ["/a"], "distribution": wrong}).to_string()).await;
        assert_eq!(answer.error_type(), "EventUnreadable", "{wrong}");
        assert!(answer.message().contains(why), "{wrong}: {}", answer.message());
    }
}

#[tokio::test]
async fn the_name_in_a_manual_event_is_looked_up_even_if_ids_are_configured() {
    let two = account(&[plain("E1", DOMAIN), plain("E2", "other.s3.amazonaws.com")]);
    let (cloudfront, mut function) =
        with(two, &[("INVALIDATOR_DISTRIBUTIONS", "E1"), ("AWS_MAX_ATTEMPTS", "1")]).await;
    let named = json!({"paths": ["/a"], "distribution": "e2.example.com"}).to_string();
    assert!(matches!(function.invoke(named.clone()).await, Answer::Response(_)));
    assert_eq!(sent(&cloudfront)[0].0, "E2");
    // Without the permission, only the message that needs the lookup returns to the queue.
    let (cloudfront, mut function) = with(
        account(&[plain("E1", DOMAIN)]),
        &[("INVALIDATOR_DISTRIBUTIONS", "E1"), ("AWS_MAX_ATTEMPTS", "1")],
    )
    .await;
    cloudfront.inject_read("ListDistributions", 0, refusal(403, "AccessDenied"));
    let batch = sqs([("m0", named), ("m1", s3("a", "1").to_string())]).to_string();
    assert_eq!(function.invoke(batch).await.handed_back(), ["m0"]);
    assert_eq!(cloudfront.created(), 1);
    let line = function.logged(|line| line["waiting"] == 1).await;
    assert_eq!(line["error_type"], "CloudFrontDenied");
}

#[tokio::test]
async fn behaviors_are_matched_by_the_spelling_that_viewers_use() {
    let plus_elsewhere = |domain: &str| {
        account(&[changed("E1", domain, |config| {
            config["CacheBehaviors"] = json!({"Quantity": 1, "Items": [{
                "PathPattern": "*+*", "TargetOriginId": "elsewhere",
                "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
            }]});
        })])
    };
    // Viewers request a plus as `%2B`, which the pattern does not match.
    assert_eq!(paths(&plus_elsewhere(DOMAIN), &[], "c++/a.html").await, ["/c%2B%2B/a.html"]);
    // A `+` for a space matches the pattern, which leads to another origin.
    assert_eq!(paths(&plus_elsewhere(DOMAIN), &[], "a b").await, ["/a%20b"]);
    let website = "site.s3-website-us-east-1.amazonaws.com";
    assert_eq!(paths(&plus_elsewhere(website), &[], "a+b c").await, ["/a%2Bb%20c"]);
}

#[tokio::test]
async fn every_form_of_a_key_has_every_spelling() {
    let rooted = |domain: &str| {
        account(&[changed("E1", domain, |config| config["DefaultRootObject"] = "a b/index.html".into())])
    };
    let key = "a b/index.html";
    let expected = ["/", "/a%20b/", "/a%20b/index.html", "/a+b/", "/a+b/index.html"];
    assert_eq!(paths(&rooted(DOMAIN), &[], key).await, expected);
    let queries = [("INVALIDATOR_QUERY_STRINGS", "true"), ("INVALIDATOR_INDEX_DOCUMENT", "")];
    let plain = account(&[plain("E1", DOMAIN)]);
    assert_eq!(paths(&plain, &queries, "a b.jpg").await, ["/a%20b.jpg*", "/a+b.jpg*"]);
    // Each spelling is widened from the same character on.
    assert_eq!(paths(&plain, &[], "a b~c d").await, ["/a%20b*", "/a+b*"]);
    assert_eq!(paths(&plain, &[], "a~b c").await, ["/a*"]);
    let hidden = account(&[self::plain("E1", "cdn.example.com")]);
    let aliases = [("INVALIDATOR_BUCKET_ALIASES", "cdn.example.com=site")];
    let any = ["/a%20b%2Bc", "/a%20b+c", "/a+b%2Bc"];
    assert_eq!(paths(&hidden, &aliases, "a b+c").await, any, "behind a proxy, the endpoint is unknown");
}

#[tokio::test]
async fn an_object_without_a_path_is_widened_to_the_pattern_of_the_edge_function() {
    let function = |name: &str| {
        json!({"Quantity": 1, "Items": [{
            "FunctionARN": format!("arn:aws:cloudfront::1:function/{name}"), "EventType": "viewer-request",
        }]})
    };
    let site = |patterns: &[(&str, bool)], default: &str| {
        account(&[changed("E1", DOMAIN, |config| {
            let behavior = |(pattern, has_function): &(&str, bool)| {
                let mut behavior = json!({
                    "PathPattern": pattern, "TargetOriginId": "o",
                    "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
                });
                if *has_function {
                    behavior["FunctionAssociations"] = function(pattern);
                }
                behavior
            };
            let items: Vec<Value> = patterns.iter().map(behavior).collect();
            config["CacheBehaviors"] = json!({"Quantity": items.len(), "Items": items});
            config["DefaultCacheBehavior"]["TargetOriginId"] = default.into();
        })])
    };
    let strips = site(&[("media/*", true)], "elsewhere");
    assert_eq!(paths(&strips, &[], "a.jpg").await, ["/media/*"]);
    assert_eq!(paths(&strips, &[], "media/a.jpg").await, ["/media/a.jpg"], "a path leads to this object");
    let several = site(&[("/img/*", true), ("*.jpg", false), ("v?/it's/*", true)], "elsewhere");
    assert_eq!(paths(&several, &[], "a.png").await, ["/img/*", "/v*"]);
    assert_eq!(paths(&site(&[("*.jpg", true)], "elsewhere"), &[], "a.png").await, ["/*"]);
    assert_eq!(paths(&site(&[("it's/*", true)], "elsewhere"), &[], "a").await, ["/it*"]);
    assert_eq!(paths(&site(&[("feed.xml", true)], "elsewhere"), &[], "rss/a.xml").await, ["/feed.xml*"]);
    assert_eq!(
        paths(&site(&[("media/*", false)], "elsewhere"), &[], "a.png").await,
        [""; 0],
        "no edge function rewrites paths"
    );
}

#[tokio::test]
async fn distributions_can_be_named_by_their_domains() {
    let three = account(&[
        plain("E1", "other.s3.eu-central-1.amazonaws.com"),
        plain("E2", DOMAIN),
        plain("E3", DOMAIN),
    ]);
    for (name, distributions) in [
        ("e2.example.com", &["E2"][..]),
        ("E2.CloudFront.net", &["E2"]),
        (DOMAIN, &["E2", "E3"]),
        ("E1,e3.example.com", &["E1", "E3"]),
    ] {
        let (cloudfront, mut function) = with(three.clone(), &[("INVALIDATOR_DISTRIBUTIONS", name)]).await;
        assert_eq!(function.invoke(puts("site", &["a"], "1")).await.handed_back(), [""; 0], "{name}");
        let manual = function.invoke(json!({"paths": ["/b"]}).to_string()).await;
        assert!(matches!(manual, Answer::Response(_)), "{name}");
        let mut purged: Vec<String> =
            sent(&cloudfront).into_iter().map(|(distribution, _)| distribution).collect();
        purged.sort();
        purged.dedup();
        assert_eq!(purged, distributions, "{name}");
        assert_eq!(cloudfront.recorded().len(), 2 * distributions.len(), "{name}");
        assert_eq!(cloudfront.reads(), ["ListDistributions"], "{name}");
    }
    let (cloudfront, mut function) =
        with(three, &[("INVALIDATOR_DISTRIBUTIONS", "E1,www.example.com")]).await;
    let answer = function.invoke(puts("site", &["a"], "1")).await;
    assert_eq!(answer.handed_back(), ["m0"]);
    let line = function.logged(|line| line["error_type"] == "NoSuchDistribution").await;
    let why = "no distribution or origin is called www.example.com; known distributions: e1.example.com, \
               e2.example.com, e3.example.com";
    assert_eq!(line["error"], why);
    assert_eq!(cloudfront.calls(), 0);
}

#[tokio::test]
async fn configured_ids_need_no_lookup() {
    let (cloudfront, mut function) =
        with(account(&[plain("E1", "x.example.com")]), &[("INVALIDATOR_DISTRIBUTIONS", "E1")]).await;
    assert_eq!(function.invoke(puts("site", &["a"], "1")).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.reads(), [""; 0]);
    assert_eq!(cloudfront.recorded().len(), 1);
}

#[tokio::test]
async fn each_edge_function_causes_one_warning() {
    let lambda = |event: &str| json!({"LambdaFunctionARN": format!("arn:aws:lambda:us-east-1:1:function:{event}:1"), "EventType": event});
    let site = changed("E1", DOMAIN, |config| {
        config["DefaultCacheBehavior"]["LambdaFunctionAssociations"] = json!({"Quantity": 3, "Items": [
            lambda("viewer-response"), lambda("origin-request"), lambda("viewer-request"),
        ]});
    });
    let (_cloudfront, mut function) = with(account(&[site, plain("E2", DOMAIN)]), &[]).await;
    for sequencer in ["1", "2"] {
        assert_eq!(function.invoke(puts("site", &["a"], sequencer)).await.handed_back(), [""; 0]);
    }
    for event in ["origin-request", "viewer-request"] {
        let name = format!("{event} arn:aws:lambda:us-east-1:1:function:{event}:1");
        let line = function.logged(|line| line["function"] == name).await;
        assert_eq!((&line["level"], &line["distribution"]), (&json!("WARN"), &json!("E1")));
        assert_eq!(line["behavior"], "*");
    }
    let warned = function.log().iter().filter(|line| line.contains("\"level\":\"WARN\"")).count();
    assert_eq!(warned, 2);
}

#[tokio::test]
async fn cache_tags_for_a_distribution_that_reads_none_cause_a_warning() {
    let reads = changed("E2", DOMAIN, |config| {
        config["CacheTagConfig"] = json!({"HeaderName": "x-amz-meta-cache-tag"});
    });
    let (_cloudfront, mut function) =
        with(account(&[plain("E1", DOMAIN), reads]), &[("INVALIDATOR_BUCKETS", "site")]).await;
    let tag = json!({"paths": ["#release:1"]}).to_string();
    let batch = sqs([("m0", s3("a", "1").to_string()), ("m1", tag)]).to_string();
    assert_eq!(function.invoke(batch).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["level"] == "WARN").await;
    assert_eq!(line["distribution"], "E1");
    assert!(line["message"].as_str().expect("a message").contains("CacheTagConfig"));
    assert_eq!(function.log().iter().filter(|line| line.contains("CacheTagConfig")).count(), 1);
}
