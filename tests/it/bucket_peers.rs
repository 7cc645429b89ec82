//! The client of S3 against moto and ministack, two independent implementations of S3 from PyPI.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    bucket::{Bucket, Marker, ObjectsQuery, Readiness, Replaced, S3, Version, Versioning, VersionsQuery},
    cloudfront::{Client, Settings},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use crate::peers::{Peer, send};

/// Keys that clients and servers like to change, in the order of their bytes. None has a line break: moto
/// refuses it, and ministack does not encode it in lists of versions.
const KEYS: [&str; 11] = [
    " leading and trailing ",
    "%20",
    "+",
    "a b+c%2F&<d>'\"~.html",
    "a//b",
    "a/b",
    "control\u{1}\t\u{7f}",
    "dir/",
    "dir/index.html",
    "ümläut/日本.css",
    "😀",
];

/// Headers that are stored with every object.
const HEADERS: &str =
    "Cache-Control: max-age=60\r\nContent-Type: text/x-test\r\nx-amz-meta-zeta: z\r\nx-amz-meta-alpha: a";

/// Sends a request for a path of the bucket, and returns the answer with its head.
#[track_caller]
fn call(peer: &Peer, method: &str, path: &str, headers: &str, body: &str) -> String {
    let head =
        format!("{method} /site{path} HTTP/1.1{}{headers}", if headers.is_empty() { "" } else { "\r\n" });
    let answer = send(peer.endpoint(), &head, ("test", "s3"), body);
    assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
    answer
}

fn path(key: &str) -> String {
    format!("/{}", percent_encode(key.as_bytes(), NON_ALPHANUMERIC))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Lists all versions in pages of this size.
async fn versions(bucket: &Bucket<'_>, max_keys: u16) -> Vec<Version> {
    let mut all = Vec::new();
    let mut next: Option<Marker> = None;
    loop {
        let query = VersionsQuery {
            prefix: b"",
            key_marker: next.as_ref().map(|next| next.key.as_bytes()),
            version_id_marker: next.as_ref().and_then(|next| next.version.as_deref()),
            max_keys,
        };
        let page = bucket.versions(&query, soon()).await.expect("a page");
        all.extend(page.entries);
        next = page.next;
        if next.is_none() || all.len() > 1_000 {
            return all;
        }
    }
}

/// Lists the keys of all objects in pages of this size.
async fn keys(bucket: &Bucket<'_>, max_keys: u16) -> Vec<String> {
    let mut all = Vec::new();
    let mut next: Option<Box<str>> = None;
    loop {
        let query =
            ObjectsQuery { prefix: b"", start_after: None, continuation_token: next.as_deref(), max_keys };
        let page = bucket.objects(&query, soon()).await.expect("a page");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        all.extend(page.entries.iter().map(|object| text(object.key.as_bytes())));
        next = page.next;
        if next.is_none() || all.len() > 1_000 {
            return all;
        }
    }
}

/// Reads the settings of a bucket with this versioning. moto gives the document with the versioning
/// another name than S3 does, so its answer must be an error.
async fn readiness(bucket: &Bucket<'_>, versioning: Versioning) -> Readiness {
    let mut readiness = bucket.readiness(soon()).await;
    if readiness.versioning.is_none() {
        let error = readiness.unknown.remove(0).to_string();
        assert!(error.contains("no valid VersioningConfiguration"), "{error}");
        readiness.versioning = Some(versioning);
    }
    readiness
}

/// Checks the answers of a server about a bucket with odd keys, versions and delete markers.
async fn check(peer: &Peer) {
    let client = Client::new(Settings::local(peer.endpoint()));
    let bucket = S3::of(&client).bucket("site", None);
    let error = bucket
        .versions(
            &VersionsQuery { prefix: b"", key_marker: None, version_id_marker: None, max_keys: 9 },
            soon(),
        )
        .await;
    let error = error.expect_err("no bucket").to_string();
    assert!(error.contains("NoSuchBucket (HTTP 404)"), "{error}");
    call(peer, "PUT", "", "", "");
    let off = Readiness {
        versioning: Some(Versioning::Off),
        replaced: Some(Replaced::Kept),
        uses_kms: Some(false),
        unknown: Vec::new(),
    };
    assert_eq!(readiness(&bucket, Versioning::Off).await, off);
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    call(peer, "PUT", "?versioning", "", body);

    for key in KEYS {
        call(peer, "PUT", &path(key), "", "one");
        call(peer, "PUT", &path(key), HEADERS, "two two");
    }
    call(peer, "DELETE", &path("a/b"), "", "");

    let all = versions(&bucket, 1_000).await;
    let shown: Vec<(&[u8], bool, bool, u64)> =
        all.iter().map(|one| (one.key.as_bytes(), one.is_latest, one.is_marker, one.size)).collect();
    let mut expected: Vec<(&[u8], bool, bool, u64)> = Vec::new();
    for key in KEYS {
        let is_deleted = key == "a/b";
        if is_deleted {
            expected.push((key.as_bytes(), true, true, 0));
        }
        expected.extend([(key.as_bytes(), !is_deleted, false, 7), (key.as_bytes(), false, false, 3)]);
    }
    assert_eq!(shown, expected);
    assert_eq!(versions(&bucket, 5).await, all, "in pages");
    let there: Vec<&str> = KEYS.into_iter().filter(|key| *key != "a/b").collect();
    assert_eq!(keys(&bucket, 1_000).await, there);
    assert_eq!(keys(&bucket, 5).await, there, "in pages");

    for version in &all {
        let of_version = bucket.head(version.key.as_bytes(), Some(&version.id), soon()).await;
        let of_version = of_version.unwrap_or_else(|error| panic!("{}: {error}", version.key));
        let current = bucket.head(version.key.as_bytes(), None, soon()).await.expect("an answer");
        if version.is_latest {
            assert_eq!(of_version, current, "{}", version.key);
        }
        assert_eq!(of_version.is_none(), version.is_marker, "{}", version.key);
        let Some(head) = of_version else { continue };
        assert_eq!((&head.etag, head.size), (&version.etag, version.size));
        assert_eq!(head.modified / 1_000, version.modified / 1_000);
        assert_eq!(head.version.as_ref(), Some(&version.id));
        if version.size == 7 {
            let headers: Vec<(&str, &str)> =
                head.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(
                headers,
                [
                    ("cache-control", "max-age=60"),
                    ("content-type", "text/x-test"),
                    ("x-amz-meta-alpha", "a"),
                    ("x-amz-meta-zeta", "z"),
                ],
                "{}",
                version.key
            );
        }
    }
    assert_eq!(bucket.head(b"missing", None, soon()).await, Ok(None));

    let rule = "<LifecycleConfiguration><Rule><ID>old</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>\
                <NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration></Rule>\
                </LifecycleConfiguration>";
    call(peer, "PUT", "?lifecycle", "", rule);
    let kms = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
               <SSEAlgorithm>aws:kms</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
               </ServerSideEncryptionConfiguration>";
    call(peer, "PUT", "?encryption", "", kms);
    let expected = Readiness {
        versioning: Some(Versioning::Enabled),
        replaced: Some(Replaced::ExpireAfterDays(30)),
        uses_kms: Some(true),
        unknown: Vec::new(),
    };
    assert_eq!(readiness(&bucket, Versioning::Enabled).await, expected);
}

#[tokio::test]
#[ignore = "needs moto_server: make test"]
async fn moto_lists_versions_of_odd_keys() {
    check(&Peer::moto()).await;
}

#[tokio::test]
#[ignore = "needs ministack: make test"]
async fn ministack_lists_versions_of_odd_keys() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bucket");
    std::fs::create_dir_all(&folder).expect("a folder");
    check(&Peer::ministack_with("cloudfront,s3", &folder)).await;
}
