//! What viewers get from the simulated CloudFront: objects with their headers, and errors that stay in
//! the cache for a while.

use std::time::Duration;

use cloudfront_invalidator::local::{Options, Server, StorageClass, Upload, Versioning};
use serde_json::{Value, json};

use crate::{
    local::{Answer, send, signed},
    local_s3::{HEADERS, header, with_headers},
    sites::{DOMAIN, account, changed, plain},
    support::{Function, S3Event, sqs},
};

/// Starts a server with this distribution, whose errors expire, and with a clock that stands still.
async fn start(distribution: Value) -> Server {
    let account = account(&[distribution]);
    let options = Options { distributions: Vec::new(), account, errors_expire: true, ..Options::default() };
    let server = Server::start(options).await.expect("a server");
    server.stop_clock();
    server
}

/// Sends a request as a viewer of the distribution `E1`.
async fn viewed(server: &Server, start: &str) -> Answer {
    send(&server.endpoint_url(), start, "Host: e1.example.com\r\n", "").await.expect("an answer")
}

async fn view(server: &Server, path: &str) -> (u16, String) {
    let answer = viewed(server, &format!("GET {path}")).await;
    (answer.status, answer.body)
}

/// Purges a path.
async fn purge(server: &Server, path: &str) {
    let reference = server.created();
    let batch = format!(
        "<InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>{path}</Path></Items></Paths>\
         <CallerReference>{reference}</CallerReference></InvalidationBatch>"
    );
    let start = "POST /2020-05-31/distribution/E1/invalidation";
    let answer = send(&server.endpoint_url(), start, &signed("cloudfront"), &batch).await;
    assert_eq!(answer.expect("an answer").status, 201);
}

fn upload(content: &str) -> Upload {
    Upload { content: content.into(), ..Upload::default() }
}

#[tokio::test]
async fn viewers_get_the_headers_with_which_the_content_was_cached() {
    let server = start(plain("E1", DOMAIN)).await;
    server.set_versioning("site", Versioning::Enabled);
    let first = server.put_object("site", "a", with_headers("same"));
    let check = async |x_cache: &str, age: Option<&str>| {
        for method in ["GET", "HEAD"] {
            let answer = viewed(&server, &format!("{method} /a")).await;
            for (name, value) in HEADERS {
                assert_eq!(header(&answer, name), Some(value));
            }
            assert_eq!(header(&answer, "content-length"), Some("4"));
            assert_eq!(answer.body, if method == "GET" { "same" } else { "" });
            if method == "GET" {
                assert_eq!((header(&answer, "x-cache"), header(&answer, "age")), (Some(x_cache), age));
            }
            assert_eq!(header(&answer, "x-amz-version-id"), first.version_id.as_deref());
            assert!(header(&answer, "last-modified").is_some(), "{answer:?}");
        }
    };
    check("Miss from cloudfront", None).await;
    // The content stays the same, so only the headers are stale.
    server.put_object("site", "a", upload("same"));
    server.advance(Duration::from_hours(1));
    check("Hit from cloudfront", Some("3600")).await;
    purge(&server, "/a").await;
    let fresh = viewed(&server, "GET /a").await;
    assert_eq!(header(&fresh, "cache-control"), None);
    assert_eq!(header(&fresh, "content-type"), Some("binary/octet-stream"));
}

#[tokio::test]
async fn a_website_endpoint_redirects_and_archived_objects_are_forbidden() {
    let server = start(plain("E1", "site.s3-website.eu-central-1.amazonaws.com")).await;
    server.put_object("site", "a", with_headers("x"));
    let answer = viewed(&server, "GET /a").await;
    assert_eq!((answer.status, header(&answer, "location")), (301, Some("/elsewhere")));
    for (storage_class, status) in [
        (StorageClass::GlacierIr, 200),
        (StorageClass::StandardIa, 200),
        (StorageClass::IntelligentTiering, 200),
        (StorageClass::Glacier, 403),
        (StorageClass::DeepArchive, 403),
    ] {
        server.put_object("site", "b", Upload { storage_class, ..upload("x") });
        purge(&server, "/b").await;
        assert_eq!(view(&server, "/b").await.0, status, "{storage_class:?}");
    }
}

#[tokio::test]
async fn a_missing_object_is_requested_again_after_ten_seconds() {
    let server = start(plain("E1", DOMAIN)).await;
    assert_eq!(view(&server, "/a").await.0, 404);
    server.put("site", "a", Some(b"x"));
    server.advance(Duration::from_secs(9));
    let kept = viewed(&server, "GET /a").await;
    assert_eq!((kept.status, header(&kept, "age")), (404, Some("9")));
    assert_eq!(header(&kept, "x-cache"), Some("Error from cloudfront"));
    server.advance(Duration::from_secs(1));
    assert_eq!(view(&server, "/a").await, (200, "x".to_owned()));
    server.put("site", "a", None);
    server.advance(Duration::from_hours(1));
    assert_eq!(view(&server, "/a").await.0, 200, "content stays until it is purged");
}

#[tokio::test]
async fn by_default_errors_stay_until_they_are_purged() {
    let account = account(&[plain("E1", DOMAIN)]);
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let server = Server::start(options).await.expect("a server");
    assert_eq!(view(&server, "/a").await.0, 404);
    server.put("site", "a", Some(b"x"));
    server.advance(Duration::from_hours(1));
    assert_eq!(view(&server, "/a").await.0, 404);
    purge(&server, "/a").await;
    assert_eq!(view(&server, "/a").await.0, 200);
}

/// Creates a distribution with a custom error response for a status.
fn with_error(status: u16, page: &str, shown: &str, ttl: u64) -> Value {
    changed("E1", DOMAIN, |config| {
        config["CustomErrorResponses"] = json!({"Quantity": 1, "Items": [{
            "ErrorCode": status,
            "ResponsePagePath": page,
            "ResponseCode": shown,
            "ErrorCachingMinTTL": ttl,
        }]});
    })
}

#[tokio::test]
async fn a_custom_error_page_stays_under_the_path_that_failed() {
    let server = start(with_error(404, "/index.html", "200", 300)).await;
    server.put("site", "index.html", Some(b"old"));
    let first = viewed(&server, "GET /deep/link").await;
    assert_eq!((first.status, &*first.body), (200, "old"));
    assert_eq!(header(&first, "x-cache"), Some("Error from cloudfront"));
    server.put("site", "index.html", Some(b"new"));
    purge(&server, "/index.html").await;
    server.advance(Duration::from_secs(299));
    assert_eq!(view(&server, "/deep/link").await, (200, "old".to_owned()));
    assert_eq!(view(&server, "/index.html").await, (200, "new".to_owned()));
    server.advance(Duration::from_secs(1));
    assert_eq!(view(&server, "/deep/link").await, (200, "new".to_owned()));
    server.put("site", "index.html", None);
    purge(&server, "/*").await;
    assert_eq!(view(&server, "/deep/link").await.0, 404, "the page is missing too");
}

#[tokio::test]
async fn the_lifetime_of_errors_follows_the_custom_error_response() {
    for (ttl, kept) in [(0, 200), (60, 404)] {
        let server = start(with_error(404, "", "", ttl)).await;
        assert_eq!(view(&server, "/a").await.0, 404);
        server.put("site", "a", Some(b"x"));
        server.advance(Duration::from_secs(30));
        assert_eq!(view(&server, "/a").await.0, kept, "{ttl} s");
    }
}

#[tokio::test]
async fn a_distribution_that_may_not_list_the_bucket_gets_403_which_is_not_cached() {
    for (distribution, kept) in
        [(plain("E1", DOMAIN), (200, "x")), (with_error(403, "/404.html", "404", 60), (404, "page"))]
    {
        let server = start(distribution).await;
        server.set_lists_for_viewers("site", false);
        server.put("site", "404.html", Some(b"page"));
        let first = view(&server, "/a").await.0;
        assert_eq!(first, if kept.0 == 200 { 403 } else { 404 });
        server.put("site", "a", Some(b"x"));
        assert_eq!(view(&server, "/a").await, (kept.0, kept.1.to_owned()));
    }
}

#[tokio::test]
async fn events_of_changes_are_those_of_s3() {
    let server = start(plain("E1", DOMAIN)).await;
    let unversioned = server.put_object("site", "a b", upload("one"));
    let record = S3Event::put("site", "a b", &unversioned).record();
    let object =
        json!({"key": "a+b", "eTag": unversioned.etag, "size": 3, "sequencer": unversioned.sequencer});
    assert_eq!((&record["eventVersion"], &record["s3"]["object"]), (&json!("2.6"), &object));
    let time = humantime::format_rfc3339_millis(server.now()).to_string();
    assert_eq!(record["eventTime"], json!(time));

    server.set_versioning("site", Versioning::Enabled);
    let new = server.put_object("site", "a b", upload("new"));
    let marker = server.delete("site", "a b");
    let mut ids = Vec::new();
    let events = [
        Some(S3Event::put("site", "a b", &new)),
        S3Event::deleted("site", "a b", &marker),
        S3Event::deleted("site", "a b", &server.delete_version("site", "a b", "null")),
        S3Event::deleted("site", "a b", &server.delete_version("site", "a b", "null")),
    ];
    let events: Vec<S3Event> = events.into_iter().flatten().collect();
    for event in &events {
        let (record, bridged) = (event.record(), event.eventbridge());
        let (own, other) = (&record["s3"]["object"], &bridged["detail"]["object"]);
        assert_eq!((&own["key"], &other["key"]), (&json!("a+b"), &json!("a b")));
        for (name, bridged) in [("eTag", "etag"), ("versionId", "version-id"), ("sequencer", "sequencer")] {
            assert_eq!(own[name], other[bridged]);
        }
        let names = [&record["eventName"], &bridged["detail-type"], &bridged["detail"]["deletion-type"]];
        ids.push((names.map(|name| name.as_str().unwrap_or_default().to_owned()), own["versionId"].clone()));
    }
    let deleted = "Object Deleted";
    let named = |names: [&str; 3], id: Value| (names.map(str::to_owned), id);
    let Some(marker) = events[1].record()["s3"]["object"]["versionId"].as_str().map(str::to_owned) else {
        panic!("no version of the marker");
    };
    assert_eq!(
        ids,
        [
            named(["ObjectCreated:Put", "Object Created", ""], json!(new.version_id)),
            named(["ObjectRemoved:DeleteMarkerCreated", deleted, "Delete Marker Created"], json!(marker)),
            named(["ObjectRemoved:Delete", deleted, "Permanently Deleted"], json!("null")),
        ]
    );
    let expired = events[2].clone().named("LifecycleExpiration:Delete").eventbridge();
    assert_eq!(expired["detail"]["reason"], "Lifecycle Expiration");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_reads_the_events_of_changes() {
    let server = start(plain("E1", DOMAIN)).await;
    let event = |key: &str| S3Event::put("site", key, &server.put_object("site", key, upload("x")));
    let bodies = [event("one a").notification().to_string(), event("two b").eventbridge().to_string()];
    let mut function = Function::start(&server.endpoint_url(), &[("INVALIDATOR_DISTRIBUTIONS", "")]).await;
    let batch = sqs(bodies.map(|body| ("m", body)));
    assert_eq!(function.invoke(batch.to_string()).await.handed_back(), [""; 0]);
    let sent: Vec<String> = server.recorded().into_iter().flat_map(|one| one.paths).collect();
    for path in ["/one%20a", "/two%20b"] {
        assert!(sent.iter().any(|one| one == path), "{sent:?}");
    }
}
