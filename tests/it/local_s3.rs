//! The simulated S3: the versions, delete markers and headers that its calls show. Every request goes
//! over a connection.

use std::time::{Duration, SystemTime};

use cloudfront_invalidator::local::{
    Deleted, Encryption, Fault, Options, PutResult, Server, StorageClass, Upload, Versioning,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;

use crate::{
    local::{Answer, send, signed},
    support::form_encoded,
};

async fn start() -> Server {
    Server::start(Options::default()).await.expect("a server")
}

/// Starts a server with a bucket, `site`, that keeps versions, and a clock that stands still.
async fn versioned() -> Server {
    let server = start().await;
    server.stop_clock();
    server.set_versioning("site", Versioning::Enabled);
    server
}

fn upload(content: &str) -> Upload {
    Upload { content: content.into(), ..Upload::default() }
}

fn put(server: &Server, key: &str, content: &str) -> PutResult {
    server.put_object("site", key, upload(content))
}

/// Puts an object, and returns the id of its version.
fn put_version(server: &Server, key: &str, content: &str) -> String {
    put(server, key, content).version_id.expect("a version")
}

/// Deletes an object, and returns the id of the delete marker.
fn delete(server: &Server, key: &str) -> String {
    match server.delete("site", key).deleted {
        Deleted::Marker { version_id } => version_id,
        other => panic!("no marker: {other:?}"),
    }
}

/// Sends a signed request to an endpoint.
pub(crate) async fn call(endpoint: &str, start: &str) -> Option<Answer> {
    let headers = signed("s3") + "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n";
    send(endpoint, start, &headers, "").await
}

async fn get(server: &Server, path: &str) -> Answer {
    call(&server.endpoint_url(), &format!("GET {path}")).await.expect("an answer")
}

async fn head(server: &Server, path: &str) -> Answer {
    call(&server.endpoint_url(), &format!("HEAD {path}")).await.expect("an answer")
}

/// Escapes a text for a URL.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Returns the texts of all elements with this name, without the escapes of XML.
pub(crate) fn texts(xml: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&begin).skip(1).filter_map(|part| part.split_once(&end));
    parts.map(|(text, _)| text.replace("&quot;", "\"").replace("&amp;", "&")).collect()
}

fn text(xml: &str, name: &str) -> String {
    texts(xml, name).first().cloned().unwrap_or_default()
}

/// An entry in a list of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) is_marker: bool,
    pub(crate) is_latest: bool,
}

/// Returns the entries of a list of versions in the order of the document.
pub(crate) fn entries(xml: &str) -> Vec<Entry> {
    let starts = ["<Version>", "<DeleteMarker>"];
    let mut starts: Vec<usize> =
        starts.iter().flat_map(|start| xml.match_indices(start).map(|(at, _)| at)).collect();
    starts.sort_unstable();
    let entry = |at: &usize| {
        let element = &xml[*at..];
        Entry {
            key: text(element, "Key"),
            id: text(element, "VersionId"),
            is_marker: element.starts_with("<DeleteMarker>"),
            is_latest: text(element, "IsLatest") == "true",
        }
    };
    starts.iter().map(entry).collect()
}

fn entry(key: &str, id: &str, is_latest: bool) -> Entry {
    Entry { key: key.to_owned(), id: id.to_owned(), is_marker: false, is_latest }
}

fn marker(key: &str, id: &str, is_latest: bool) -> Entry {
    Entry { is_marker: true, ..entry(key, id, is_latest) }
}

/// Returns the value of a header in an answer.
pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let lines = answer.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[tokio::test]
async fn versions_and_markers_come_together_by_key_and_newest_first() {
    let server = versioned().await;
    let upper = put_version(&server, "Z", "x");
    let umlaut = put_version(&server, "é", "x");
    let first = put_version(&server, "a", "one");
    let folder = put_version(&server, "a/", "");
    let second = put_version(&server, "a", "two");
    let gone = delete(&server, "a");
    let third = put_version(&server, "a", "three");
    let never = delete(&server, "b");
    let answer = get(&server, "/site?versions").await;
    assert_eq!((answer.status, header(&answer, "content-type")), (200, Some("application/xml")));
    let expected = [
        entry("Z", &upper, true),
        entry("a", &third, true),
        marker("a", &gone, false),
        entry("a", &second, false),
        entry("a", &first, false),
        entry("a/", &folder, true),
        marker("b", &never, true),
        entry("é", &umlaut, true),
    ];
    assert_eq!(entries(&answer.body), expected);
    assert_eq!(text(&answer.body, "IsTruncated"), "false");
    assert_eq!(texts(&answer.body, "NextKeyMarker"), [""; 0]);
    assert_eq!(texts(&answer.body, "Size"), ["1", "5", "3", "3", "0", "1"]);
    let only = get(&server, "/site?versions&prefix=a").await;
    assert_eq!(entries(&only.body), expected[1..6]);
    assert_eq!(entries(&get(&server, "/site?versions&prefix=a%2F").await.body), expected[5..6]);
    let ids = [&upper, &umlaut, &first, &second, &third];
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
}

/// Returns every page of a list of versions, each with at most `page` entries.
async fn pages(server: &Server, page: usize) -> Vec<Vec<Entry>> {
    let mut pages = Vec::new();
    let mut markers = String::new();
    loop {
        let path = format!("/site?versions&encoding-type=url&max-keys={page}{markers}");
        let body = get(server, &path).await.body;
        pages.push(entries(&body));
        assert!(pages.len() <= 12, "the list does not end");
        if text(&body, "IsTruncated") == "false" {
            assert_eq!(texts(&body, "NextKeyMarker").len() + texts(&body, "NextVersionIdMarker").len(), 0);
            return pages;
        }
        let next = (text(&body, "NextKeyMarker"), text(&body, "NextVersionIdMarker"));
        markers = format!("&key-marker={}&version-id-marker={}", next.0, next.1);
    }
}

#[tokio::test]
async fn pages_of_versions_continue_where_the_one_before_ended() {
    let server = versioned().await;
    for key in ["a b", "a+b", "a/b", "c"] {
        put(&server, key, "one");
        delete(&server, key);
        put(&server, key, "two");
    }
    let whole = pages(&server, 1_000).await;
    assert_eq!((whole.len(), whole[0].len()), (1, 12));
    for size in 1..=12 {
        let pages = pages(&server, size).await;
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == size), "{size}");
        assert_eq!(pages.concat(), whole[0], "{size}");
        assert_eq!(pages.len(), 12_usize.div_ceil(size));
    }
    let none = get(&server, "/site?versions&max-keys=0").await.body;
    assert_eq!((entries(&none).len(), &*text(&none, "IsTruncated")), (0, "false"));
}

#[tokio::test]
async fn a_list_after_the_oldest_version_of_a_key_begins_with_the_next_key() {
    let server = versioned().await;
    let old = put_version(&server, "a", "one");
    let new = put_version(&server, "a", "two");
    let other = put_version(&server, "b", "one");
    let after = async |markers: String| {
        entries(&get(&server, &format!("/site?versions&max-keys=1&key-marker=a{markers}")).await.body)
    };
    assert_eq!(after(format!("&version-id-marker={new}")).await, [entry("a", &old, false)]);
    assert_eq!(after(format!("&version-id-marker={old}")).await, [entry("b", &other, true)]);
    assert_eq!(after(String::new()).await, [entry("b", &other, true)], "a key alone skips its versions");
    // A version that is deleted between two pages still marks its place.
    server.delete_version("site", "a", &new);
    assert_eq!(after(format!("&version-id-marker={new}")).await, [entry("a", &old, true)]);
}

#[tokio::test]
async fn a_removed_marker_makes_the_older_version_current() {
    let server = versioned().await;
    let old = put_version(&server, "a", "one");
    let gone = delete(&server, "a");
    assert_eq!(server.object("site", "a"), None);
    assert_eq!(head(&server, "/site/a").await.status, 404);
    let removed = server.delete_version("site", "a", &gone);
    assert_eq!(removed.deleted, Deleted::Permanently { version_id: Some(gone.clone()) });
    assert_eq!(server.delete_version("site", "a", &gone).deleted, Deleted::Nothing);
    let object = server.object("site", "a").expect("an object");
    assert_eq!((object.content, object.version_id), (b"one".to_vec(), Some(old.clone())));
    assert_eq!(head(&server, "/site/a").await.status, 200);
    assert_eq!(entries(&get(&server, "/site?versions").await.body), [entry("a", &old, true)]);
    server.delete_version("site", "a", &old);
    assert_eq!(entries(&get(&server, "/site?versions").await.body), []);
}

#[tokio::test]
async fn without_versioning_an_object_replaces_the_one_before() {
    let server = start().await;
    assert_eq!(put(&server, "a", "one").version_id, None);
    assert_eq!(put(&server, "a", "two").version_id, None);
    assert_eq!(entries(&get(&server, "/site?versions").await.body), [entry("a", "null", true)]);
    let described = head(&server, "/site/a?versionId=null").await;
    assert_eq!((described.status, header(&described, "content-length")), (200, Some("3")));
    assert_eq!(header(&described, "x-amz-version-id"), None);
    assert_eq!(server.delete("site", "a").deleted, Deleted::Permanently { version_id: None });
    assert_eq!(server.delete("site", "a").deleted, Deleted::Nothing);
    assert_eq!(entries(&get(&server, "/site?versions").await.body), []);
}

#[tokio::test]
async fn suspended_versioning_replaces_only_the_null_version() {
    let server = start().await;
    put(&server, "a", "before");
    server.set_versioning("site", Versioning::Enabled);
    let kept = put_version(&server, "a", "kept");
    let list = async || entries(&get(&server, "/site?versions").await.body);
    assert_eq!(list().await, [entry("a", &kept, true), entry("a", "null", false)]);

    server.set_versioning("site", Versioning::Suspended);
    assert_eq!(put_version(&server, "a", "suspended"), "null");
    assert_eq!(list().await, [entry("a", "null", true), entry("a", &kept, false)]);
    assert_eq!(header(&head(&server, "/site/a").await, "x-amz-version-id"), Some("null"));
    assert_eq!(delete(&server, "a"), "null");
    assert_eq!(list().await, [marker("a", "null", true), entry("a", &kept, false)]);
    server.delete_version("site", "a", "null");
    assert_eq!(list().await, [entry("a", &kept, true)]);

    server.set_versioning("site", Versioning::Enabled);
    let again = put_version(&server, "a", "again");
    assert_eq!(list().await, [entry("a", &again, true), entry("a", &kept, false)]);
    for status in [Versioning::Unversioned, Versioning::Enabled, Versioning::Suspended] {
        server.set_versioning("site", status);
        let shown = text(&get(&server, "/site?versioning").await.body, "Status");
        let expected = if status == Versioning::Unversioned { String::new() } else { format!("{status:?}") };
        assert_eq!(shown, expected);
    }
}

/// The headers that S3 keeps.
pub(crate) const HEADERS: [(&str, &str); 9] = [
    ("Cache-Control", "public, max-age=60"),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Encoding", "gzip"),
    ("Content-Disposition", "attachment; filename=\"a.html\""),
    ("Content-Language", "de"),
    ("Expires", "Wed, 21 Oct 2037 07:28:00 GMT"),
    ("x-amz-website-redirect-location", "/elsewhere"),
    ("x-amz-meta-Build", "17"),
    ("x-amz-meta-author", "=?UTF-8?B?SsO8cmdlbg==?="),
];

pub(crate) fn with_headers(content: &str) -> Upload {
    let headers = HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Upload { headers: headers.into(), ..upload(content) }
}

#[tokio::test]
async fn head_shows_every_version_with_its_own_headers() {
    let server = versioned().await;
    let plain = server.put_object("site", "a", upload("one"));
    server.advance(Duration::from_hours(1));
    let full = server.put_object("site", "a", with_headers("three"));
    let (old, new) = (plain.version_id.expect("a version"), full.version_id.expect("a version"));
    for path in ["/site/a".to_owned(), format!("/site/a?versionId={new}")] {
        let answer = head(&server, &path).await;
        assert_eq!((answer.status, &*answer.body), (200, ""));
        for (name, value) in HEADERS {
            assert_eq!(header(&answer, name), Some(value));
        }
        assert_eq!(header(&answer, "content-length"), Some("5"));
        assert_eq!(header(&answer, "etag"), Some(&*format!("\"{}\"", full.etag)));
        assert_eq!(header(&answer, "x-amz-version-id"), Some(&*new));
        assert_eq!(header(&answer, "x-amz-storage-class"), None);
    }
    let before = head(&server, &format!("/site/a?versionId={old}")).await;
    assert_eq!(header(&before, "content-type"), Some("binary/octet-stream"));
    assert_eq!(header(&before, "cache-control"), None);
    assert_eq!(header(&before, "x-amz-version-id"), Some(&*old));
    let last_modified = |answer: &Answer| {
        let date = header(answer, "last-modified").expect("a date").to_owned();
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
        date
    };
    assert_ne!(last_modified(&before), last_modified(&head(&server, "/site/a").await));
}

#[tokio::test]
async fn head_of_a_delete_marker_is_an_error_that_names_it() {
    let server = versioned().await;
    let old = put_version(&server, "a", "one");
    let gone = delete(&server, "a");
    let current = head(&server, "/site/a").await;
    assert_eq!((current.status, header(&current, "x-amz-delete-marker")), (404, Some("true")));
    assert_eq!(header(&current, "x-amz-version-id"), Some(&*gone));
    let named = head(&server, &format!("/site/a?versionId={gone}")).await;
    assert_eq!((named.status, header(&named, "x-amz-delete-marker")), (405, Some("true")));
    assert_eq!((header(&named, "allow"), header(&named, "x-amz-version-id")), (Some("DELETE"), Some(&*gone)));
    assert_eq!(head(&server, &format!("/site/a?versionId={old}")).await.status, 200);
    let never = head(&server, "/site/b").await;
    assert_eq!((never.status, header(&never, "x-amz-delete-marker")), (404, None));
    for (id, status) in [("null", 404), (&*"x".repeat(32), 404), ("invalid", 400), ("", 400)] {
        assert_eq!(head(&server, &format!("/site/a?versionId={id}")).await.status, status, "{id}");
    }
}

#[tokio::test]
async fn keys_are_encoded_on_demand() {
    let server = versioned().await;
    let keys = ["a b+c&d/(1)~*.html", "tab\tline\n", "bell\u{7}\r", "ü\u{FFFE}", "100%<x>"];
    for key in keys {
        put(&server, key, "x");
    }
    for list in ["versions", "list-type=2"] {
        let encoded = get(&server, &format!("/site?{list}&encoding-type=url")).await.body;
        let mut found = texts(&encoded, "Key");
        assert_eq!(text(&encoded, "EncodingType"), "url");
        let mut expected = keys.map(|key| form_encoded(key.as_bytes()));
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        let plain = get(&server, &format!("/site?{list}")).await.body;
        let found = texts(&plain, "Key");
        let expected = ["100%&lt;x&gt;", "a b+c&d/(1)~*.html", "bell&#x7;&#xd;", "tab\tline\n", "ü&#xfffe;"];
        assert_eq!(found, expected);
        assert_eq!(texts(&plain, "EncodingType"), [""; 0]);
    }
    for key in keys {
        assert_eq!(head(&server, &format!("/site/{}", escaped(key))).await.status, 200, "{key:?}");
        let path = format!("/site?versions&encoding-type=url&prefix={}", escaped(key));
        let body = get(&server, &path).await.body;
        let encoded = form_encoded(key.as_bytes());
        assert_eq!((text(&body, "Prefix"), texts(&body, "Key")), (encoded.clone(), vec![encoded]));
    }
    assert_eq!(head(&server, "/site/a+b%2Bc&d/(1)~*.html").await.status, 200, "a plus is a space");
}

#[tokio::test]
async fn objects_are_listed_without_markers_and_in_pages() {
    let server = versioned().await;
    for key in ["a", "b+c", "b c", "d", "e"] {
        put(&server, key, "old");
        put(&server, key, key);
    }
    delete(&server, "d");
    let all = get(&server, "/site?list-type=2").await.body;
    assert_eq!(texts(&all, "Key"), ["a", "b c", "b+c", "e"]);
    assert_eq!((text(&all, "KeyCount"), text(&all, "IsTruncated")), ("4".to_owned(), "false".to_owned()));
    assert_eq!(texts(&all, "Size"), ["1", "3", "3", "1"], "the current versions");
    assert_eq!(texts(&all, "StorageClass"), ["STANDARD"; 4]);
    for size in 1..=4 {
        let (mut keys, mut next) = (Vec::new(), String::new());
        loop {
            let body = get(&server, &format!("/site?list-type=2&max-keys={size}{next}")).await.body;
            keys.extend(texts(&body, "Key"));
            match texts(&body, "NextContinuationToken").first() {
                Some(token) => next = format!("&continuation-token={}", escaped(token)),
                None => break,
            }
            assert_eq!(text(&body, "IsTruncated"), "true");
        }
        assert_eq!(keys, ["a", "b c", "b+c", "e"], "{size}");
    }
    let after = get(&server, "/site?list-type=2&start-after=b%20c").await.body;
    assert_eq!(texts(&after, "Key"), ["b+c", "e"]);
    assert_eq!(texts(&get(&server, "/site?list-type=2&prefix=b%2B").await.body, "Key"), ["b+c"]);
    let wrong = get(&server, "/site?list-type=2&continuation-token=x").await;
    assert_eq!((wrong.status, text(&wrong.body, "Code")), (400, "InvalidArgument".to_owned()));
}

#[tokio::test]
async fn wrong_calls_get_the_errors_of_s3() {
    let server = versioned().await;
    let id = put_version(&server, "a", "x");
    server.set_region("far", "ap-south-1");
    server.put_object("secret", "a", upload("x"));
    server.set_denied("secret", true);
    for (path, status, code) in [
        ("/nowhere?versions", 404, "NoSuchBucket"),
        ("/nowhere?list-type=2", 404, "NoSuchBucket"),
        ("/secret?versions", 403, "AccessDenied"),
        ("/secret?lifecycle", 403, "AccessDenied"),
        ("/site?lifecycle", 404, "NoSuchLifecycleConfiguration"),
        ("/site?versions&max-keys=x", 400, "InvalidArgument"),
        ("/site?versions&max-keys=-1", 400, "InvalidArgument"),
        ("/site?versions&encoding-type=xml", 400, "InvalidArgument"),
        (&format!("/site?versions&version-id-marker={id}"), 400, "InvalidArgument"),
        ("/site?versions&key-marker=a&version-id-marker=", 400, "InvalidArgument"),
        ("/site?versions&key-marker=a&version-id-marker=unknown", 400, "InvalidArgument"),
        ("/site?versions&prefix=%FF", 400, "InvalidURI"),
        ("/site?versions&delimiter=/", 501, "NotImplemented"),
        ("/site?uploads", 501, "NotImplemented"),
        ("/far?versions", 301, "PermanentRedirect"),
    ] {
        let answer = get(&server, path).await;
        assert_eq!((answer.status, &*text(&answer.body, "Code")), (status, code), "{path}: {answer:?}");
        assert!(answer.body.contains("<Message>") && answer.body.contains("<RequestId>"), "{answer:?}");
    }
    assert_eq!(header(&get(&server, "/far?versions").await, "x-amz-bucket-region"), Some("ap-south-1"));
    for (path, status) in [("/nowhere/a", 404), ("/secret/a", 403), ("/far/a", 301)] {
        let answer = head(&server, path).await;
        assert_eq!((answer.status, &*answer.body), (status, ""), "HEAD has no body");
    }
    let digest = "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n".to_owned();
    for (headers, status, code) in [
        (String::new(), 403, "AccessDenied"),
        (digest.clone() + &signed("cloudfront"), 400, "AuthorizationHeaderMalformed"),
        (signed("s3"), 400, "InvalidRequest"),
    ] {
        let answer =
            send(&server.endpoint_url(), "GET /site?versions", &headers, "").await.expect("an answer");
        assert_eq!((answer.status, &*text(&answer.body, "Code")), (status, code));
    }
    server.set_denied("secret", false);
    assert_eq!(head(&server, "/secret/a").await.status, 200);
}

#[tokio::test]
async fn faults_happen_to_calls_of_s3_and_all_are_counted() {
    let server = versioned().await;
    put(&server, "a", "x");
    let slow = Fault::Refuse { status: 503, code: "SlowDown".to_owned(), message: "Slower.".to_owned() };
    server.inject_read("ListObjectVersions", 1, slow.clone());
    assert_eq!(get(&server, "/site?versions").await.status, 200);
    assert_eq!(get(&server, "/site?list-type=2").await.status, 200, "another operation");
    let refused = get(&server, "/site?versions").await;
    assert_eq!((refused.status, text(&refused.body, "Code")), (503, "SlowDown".to_owned()));
    assert!(refused.body.contains("<Error><Code>"), "S3's own form: {}", refused.body);
    assert_eq!(get(&server, "/site?versions").await.status, 200, "once");

    server.inject_read("ListObjectsV2", 0, Fault::WrongSignature);
    let wrong = get(&server, "/site?list-type=2").await;
    assert_eq!(text(&wrong.body, "Code"), "SignatureDoesNotMatch");
    let endpoint = server.endpoint_url();
    for fault in [Fault::Close, Fault::LoseAnswer] {
        server.inject_read("HeadObject", 0, fault);
        assert!(call(&endpoint, "HEAD /site/a").await.is_none());
    }
    server.inject_read("HeadObject", 0, Fault::Hang);
    timeout(Duration::from_millis(50), call(&endpoint, "HEAD /site/a")).await.expect_err("no answer");
    server.inject_read("HeadObject", 0, slow);
    assert_eq!(head(&server, "/site/a").await.status, 503);
    assert_eq!(get(&server, "/site?versioning").await.status, 200);
    let lists = ["ListObjectVersions", "ListObjectsV2", "ListObjectVersions", "ListObjectVersions"];
    let others = ["ListObjectsV2", "HeadObject", "HeadObject", "HeadObject", "HeadObject"];
    assert_eq!(server.reads(), [&lists[..], &others, &["GetBucketVersioning"]].concat());
}

#[tokio::test]
async fn entity_tags_depend_on_the_content_except_with_kms() {
    let server = versioned().await;
    assert_eq!(put(&server, "a", "x").etag, put(&server, "b", "x").etag);
    assert_ne!(put(&server, "a", "x").etag, put(&server, "a", "y").etag);
    let encryption = async || text(&get(&server, "/site?encryption").await.body, "SSEAlgorithm");
    assert_eq!(encryption().await, "AES256");
    server.set_encryption("site", Encryption::Kms);
    assert_eq!(encryption().await, "aws:kms");
    assert_ne!(put(&server, "a", "x").etag, put(&server, "a", "x").etag);
    assert_eq!(header(&head(&server, "/site/a").await, "x-amz-server-side-encryption"), Some("aws:kms"));
    let parts = Upload { etag: Some("d41d8cd98f00b204e9800998ecf8427e-2".to_owned()), ..upload("x") };
    server.put_object("site", "a", Upload { storage_class: StorageClass::Glacier, ..parts.clone() });
    let described = head(&server, "/site/a").await;
    assert_eq!(header(&described, "etag"), Some("\"d41d8cd98f00b204e9800998ecf8427e-2\""));
    assert_eq!(header(&described, "x-amz-storage-class"), Some("GLACIER"));
    let listed = get(&server, "/site?versions").await.body;
    assert_eq!(text(&listed, "ETag"), "\"d41d8cd98f00b204e9800998ecf8427e-2\"");
    assert_eq!(text(&listed, "StorageClass"), "GLACIER");
    let rules = "<LifecycleConfiguration><Rule/></LifecycleConfiguration>";
    server.set_lifecycle("site", Some(rules));
    assert!(get(&server, "/site?lifecycle").await.body.ends_with(rules));
}

#[tokio::test]
async fn times_are_whole_seconds_of_the_simulated_clock() {
    let server = versioned().await;
    let start = server.now();
    let first = put(&server, "a", "one");
    server.advance(Duration::from_millis(1_500));
    let second = put(&server, "a", "two");
    assert_eq!(second.time, start + Duration::from_millis(1_500));
    assert_eq!(second.modified, start + Duration::from_secs(1), "without the part below a second");
    let began = server.put_object("site", "a", Upload { began: Some(first.time), ..upload("parts") });
    assert_eq!((began.modified, began.time), (first.modified, second.time));
    let shown = texts(&get(&server, "/site?versions").await.body, "LastModified");
    let expected = [first.modified, second.modified, first.modified]
        .map(|time: SystemTime| humantime::format_rfc3339_millis(time).to_string());
    assert_eq!(shown, expected);
    assert!(shown.iter().all(|time| time.strip_suffix(".000Z").is_some()), "{shown:?}");
    assert!(first.sequencer < second.sequencer && second.sequencer < began.sequencer);
}

#[tokio::test]
async fn a_lifecycle_rule_deletes_versions_that_were_replaced_long_ago() {
    let server = versioned().await;
    let day = Duration::from_hours(24);
    let one = put_version(&server, "a", "one");
    server.advance(30 * day);
    let two = put_version(&server, "a", "two");
    server.advance(3 * day);
    let three = put_version(&server, "a", "three");
    assert_eq!(server.expire_noncurrent("site", 4 * day), []);
    server.advance(day);
    assert_eq!(server.expire_noncurrent("site", 4 * day), [("a".to_owned(), one)], "not by its own age");
    let left = [entry("a", &three, true), entry("a", &two, false)];
    assert_eq!(entries(&get(&server, "/site?versions").await.body), left);
    server.advance(1_000 * day);
    assert_eq!(server.expire_noncurrent("site", 4 * day), [("a".to_owned(), two)]);
    assert_eq!(server.object("site", "a").expect("the current one").content, b"three");
}
