//! The client of S3: the requests that it sends, and what it makes of the answers.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    bucket::{Bucket, Object, ObjectsQuery, Page, S3, VersionsQuery},
    cloudfront::{Client, Settings},
    local::{Encryption, Options, Server, StorageClass, Upload, Versioning},
};
use serde_json::{Value, json};

use crate::{
    cfadmin::cfadmin_at,
    peers::Peer,
    scripted::{
        Answer::{self, Cut, Full, Hang},
        Scripted,
    },
    sites::{account, plain},
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY";

const TOKEN: &str = "a-session-token";

impl Scripted {
    /// Creates a client with credentials.
    fn client(&self) -> Client {
        let mut settings = Settings::new("AKIDEXAMPLE12", SECRET, Some(TOKEN));
        settings.endpoint_url = Some(self.endpoint.clone());
        settings.s3_endpoint_url = Some(self.endpoint.clone());
        Client::new(settings)
    }

    /// Returns the first line of each request.
    fn lines(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("requests");
        requests.iter().map(|request| request.lines().next().expect("a line").to_owned()).collect()
    }

    /// Returns the region in the signature of each request.
    fn regions(&self) -> Vec<String> {
        let requests = self.requests.lock().expect("requests");
        let region = |request: &String| {
            let scope = request.split_once("Credential=AKIDEXAMPLE12/").expect("a signature").1;
            let mut parts = scope.split('/').skip(1);
            let region = parts.next().expect("a region").to_owned();
            assert!(parts.next().is_some_and(|service| service == "s3"), "{request}");
            region
        };
        requests.iter().map(region).collect()
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn ok(body: &str) -> Answer {
    Full("200 OK", &[], body.to_owned())
}

fn refused(status: &'static str, headers: &'static [&'static str], code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    );
    Full(status, headers, body)
}

const EMPTY: &str = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";

const ALL: VersionsQuery<'_> =
    VersionsQuery { prefix: b"", key_marker: None, version_id_marker: None, max_keys: 1_000 };

/// Lists all versions, and returns their number or the error as text.
async fn versions(bucket: &Bucket<'_>) -> Result<usize, String> {
    let page = bucket.versions(&ALL, soon()).await;
    page.map(|page| page.entries.len()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn requests_are_signed_and_keep_keys_as_they_are() {
    let server = Scripted::start(vec![Full("404 Not Found", &[], String::new())]).await;
    let client = server.client();
    let bucket = S3::of(&client).bucket("site", Some("eu-west-1"));
    let keys: [(&[u8], &str); 9] = [
        (b"a/../b", "a/../b"),
        (b"//x", "//x"),
        (b".", "."),
        (b"..", ".."),
        (b"a b+c%20", "a%20b%2Bc%2520"),
        (b"\x00\r\n\x7f", "%00%0D%0A%7F"),
        (b"\xff\xfe", "%FF%FE"),
        ("ü?#&=".as_bytes(), "%C3%BC%3F%23%26%3D"),
        (b"AZaz09-_.~'()*!", "AZaz09-_.~%27%28%29%2A%21"),
    ];
    for (key, _) in keys {
        assert_eq!(bucket.head(key, None, soon()).await, Ok(None));
    }
    assert_eq!(bucket.head(b"a", Some("3/L4+kq="), soon()).await, Ok(None));
    let mut expected: Vec<String> =
        keys.iter().map(|(_, path)| format!("HEAD /site/{path} HTTP/1.1")).collect();
    expected.push("HEAD /site/a?versionId=3%2FL4%2Bkq%3D HTTP/1.1".to_owned());
    assert_eq!(server.lines(), expected);
    assert!(server.regions().iter().all(|region| region == "eu-west-1"));
    for request in &*server.requests.lock().expect("requests") {
        let request = request.to_ascii_lowercase();
        assert!(request.contains("x-amz-content-sha256: ") && request.contains("x-amz-security-token: "));
    }
}

#[tokio::test]
async fn queries_are_encoded_as_s3_encodes_them() {
    let server = Scripted::start(vec![
        ok(EMPTY),
        ok(EMPTY),
        ok("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
    ])
    .await;
    let client = server.client();
    let bucket = S3::of(&client).bucket("site", None);
    assert_eq!(versions(&bucket).await, Ok(0));
    let query = VersionsQuery {
        prefix: "a b/ü".as_bytes(),
        key_marker: Some(b"a b/+\r"),
        version_id_marker: Some("1/2+"),
        max_keys: 7,
    };
    assert!(bucket.versions(&query, soon()).await.is_ok());
    let query = ObjectsQuery {
        prefix: b"a",
        start_after: Some(b"a~"),
        continuation_token: Some("1+/="),
        max_keys: 9,
    };
    assert!(bucket.objects(&query, soon()).await.is_ok());
    assert_eq!(
        server.lines(),
        [
            "GET /site/?versions=&encoding-type=url&prefix=&max-keys=1000 HTTP/1.1",
            "GET /site/?versions=&encoding-type=url&prefix=a%20b%2F%C3%BC&key-marker=a%20b%2F%2B%0D\
             &version-id-marker=1%2F2%2B&max-keys=7 HTTP/1.1",
            "GET /site/?list-type=2&encoding-type=url&prefix=a&start-after=a~&continuation-token=1%2B%2F%3D\
             &max-keys=9 HTTP/1.1",
        ]
    );
    // The signature would be of other bytes.
    let query = VersionsQuery { prefix: b"\xff", ..ALL };
    assert!(bucket.versions(&query, soon()).await.is_err());
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
#[ignore = "needs botocore: make test"]
async fn signatures_are_those_of_botocore() {
    let server = Scripted::start(vec![Full("404 Not Found", &[], String::new())]).await;
    let client = server.client();
    let bucket = S3::of(&client).bucket("Old_site.x", Some("eu-west-1"));
    // Every byte, and paths that must not be normalized.
    let every: Vec<Vec<u8>> = (0..=255).map(|byte| vec![b'a', byte, b'b']).collect();
    let odd = ["a/../b", "a/./b", "//x", "/", ".", "..", "a//", "%2F%252F+ ", "日本/😀"];
    for key in every.iter().map(Vec::as_slice).chain(odd.map(str::as_bytes)) {
        assert_eq!(bucket.head(key, Some("+/=%&?null"), soon()).await, Ok(None));
        let query =
            VersionsQuery { prefix: key, key_marker: Some(key), version_id_marker: Some("a+b"), max_keys: 9 };
        // No list is expected, and a key that is not UTF-8 is not requested.
        assert!(bucket.versions(&query, soon()).await.is_err());
    }
    let requests = server.requests.lock().expect("requests").clone();
    assert_eq!(requests.len(), every.len() + 128 + 2 * odd.len());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/signatures.py");
    let mut python = Command::new(Peer::programs().join("python"))
        .arg(script)
        .args(["AKIDEXAMPLE12", SECRET, TOKEN])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python; `make venv` installs it");
    let input = serde_json::to_vec(&requests).expect("JSON");
    python.stdin.take().expect("a pipe").write_all(&input).expect("a reader");
    let output = python.wait_with_output().expect("an exit");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn an_object_has_the_headers_that_viewers_get() {
    let headers = &[
        "ETag: \"0123\"",
        "Content-Length: 77",
        "Last-Modified: Sun, 22 Nov 2026 14:00:01 GMT",
        "X-Amz-Meta-Z: last",
        "X-Amz-Meta-A: first",
        "Cache-Control: max-age=60",
        "Content-Type: text/html",
        "X-Amz-Version-Id: v1",
        "X-Amz-Storage-Class: STANDARD",
        "Server: AmazonS3",
    ];
    let lacking =
        |name: &str| headers.iter().copied().filter(|one| !one.starts_with(name)).collect::<Vec<_>>();
    let leak = |headers: Vec<&'static str>| -> &'static [&'static str] { headers.leak() };
    let server = Scripted::start(vec![
        Full("200 OK", headers, String::new()),
        Full("405 Method Not Allowed", &["x-amz-delete-marker: true"], String::new()),
        Full("200 OK", leak(lacking("ETag")), String::new()),
        Full("200 OK", leak(lacking("Last-Modified")), String::new()),
        Full("200 OK", leak(lacking("Content-Length")), String::new()),
        Full("403 Forbidden", &[], String::new()),
        Full("400 Bad Request", &[], String::new()),
    ])
    .await;
    let client = server.client();
    let bucket = S3::of(&client).bucket("site", None);
    let head = bucket.head(b"a", None, soon()).await.expect("an answer").expect("an object");
    assert_eq!((&*head.etag, head.size, head.modified), ("0123", 77, 1_795_356_001_000));
    assert_eq!(head.version.as_deref(), Some("v1"));
    let shown: Vec<(&str, &str)> = head.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        shown,
        [
            ("cache-control", "max-age=60"),
            ("content-type", "text/html"),
            ("x-amz-meta-a", "first"),
            ("x-amz-meta-z", "last"),
        ]
    );
    assert_eq!(bucket.head(b"a", Some("marker"), soon()).await, Ok(None));
    for header in ["ETag", "Last-Modified", "Content-Length"] {
        let error = bucket.head(b"a", None, soon()).await.expect_err(header);
        assert!(error.to_string().contains(&header.to_lowercase()) && !error.is_denied(), "{error}");
    }
    let error = bucket.head(b"a", None, soon()).await.expect_err("an error");
    assert!(error.is_denied());
    assert_eq!(error.to_string(), "HeadObject of the bucket \"site\" failed: HTTP 403");
    assert!(!bucket.head(b"a", None, soon()).await.expect_err("an error").is_denied());
    assert!(bucket.head(b"", None, soon()).await.is_err(), "this would ask for the bucket");
    assert_eq!(server.lines().len(), 7);
}

#[tokio::test]
async fn only_transient_errors_are_retried() {
    let busy = refused("503 Slow Down", &[], "SlowDown", "Please reduce your request rate.");
    let server =
        Scripted::start(vec![busy.clone(), Cut, Full("500 Oops", &[], String::new()), ok(EMPTY)]).await;
    let client = server.client();
    assert_eq!(versions(&S3::of(&client).bucket("site", None)).await, Ok(0));
    assert_eq!(server.lines().len(), 4);

    let server = Scripted::start(vec![busy]).await;
    let client = server.client();
    let error = versions(&S3::of(&client).bucket("site", None)).await;
    let expected = "ListObjectVersions of the bucket \"site\" failed: SlowDown (HTTP 503): Please reduce your \
                    request rate.";
    assert_eq!(error, Err(expected.to_owned()));
    assert_eq!(server.lines().len(), 4);

    let server = Scripted::start(vec![refused("400 Bad", &[], "InvalidArgument", "max-keys")]).await;
    let client = server.client();
    assert!(versions(&S3::of(&client).bucket("site", None)).await.is_err());
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_denied_call_fails_at_once_and_its_error_has_no_secrets() {
    let quoted = format!("User x\nis not allowed; x-amz-security-token:a-session-token {SECRET}");
    let server = Scripted::start(vec![refused("403 Forbidden", &[], "AccessDenied", &quoted)]).await;
    let client = server.client();
    let bucket = S3::of(&client).bucket("site", None);
    let error = bucket.versions(&ALL, soon()).await.expect_err("an error");
    assert!(error.is_denied());
    assert_eq!(error.operation(), "ListObjectVersions");
    assert_eq!(
        error.to_string(),
        "ListObjectVersions of the bucket \"site\" failed: AccessDenied (HTTP 403): User x is not allowed; \
         x-amz-security-token:[redacted] [redacted]"
    );
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn a_bucket_in_another_region_is_found_once() {
    let elsewhere = |region: &'static [&'static str]| refused("301 Moved", region, "PermanentRedirect", "x");
    let server = Scripted::start(vec![elsewhere(&["x-amz-bucket-region: eu-west-1"]), ok(EMPTY)]).await;
    let client = server.client();
    let bucket = S3::of(&client).bucket("site", None);
    assert_eq!(versions(&bucket).await, Ok(0));
    assert_eq!(versions(&bucket).await, Ok(0));
    assert_eq!(server.regions(), ["us-east-1", "eu-west-1", "eu-west-1"]);

    // A HEAD request with the wrong region gets 400.
    let bad = Full("400 Bad Request", &["x-amz-bucket-region: ap-south-1"], String::new());
    let server = Scripted::start(vec![bad, Full("404 Not Found", &[], String::new())]).await;
    let client = server.client();
    assert_eq!(S3::of(&client).bucket("site", Some("eu-west-1")).head(b"a", None, soon()).await, Ok(None));
    assert_eq!(server.regions(), ["eu-west-1", "ap-south-1"]);

    for answers in [
        vec![elsewhere(&["x-amz-bucket-region: eu-west-1"]), elsewhere(&["x-amz-bucket-region: eu-west-2"])],
        vec![elsewhere(&["x-amz-bucket-region: evil.example/"])],
        vec![elsewhere(&["x-amz-bucket-region: us-east-1"])],
        vec![elsewhere(&[])],
    ] {
        let number = answers.len();
        let server = Scripted::start(answers).await;
        let client = server.client();
        let error = versions(&S3::of(&client).bucket("site", None)).await.expect_err("an error");
        assert!(error.contains("PermanentRedirect"), "{error}");
        assert_eq!(server.lines().len(), number);
    }
}

#[tokio::test]
async fn nothing_is_waited_for_beyond_the_deadline() {
    let server = Scripted::start(vec![Hang]).await;
    let client = server.client();
    let bucket = S3::of(&client).bucket("site", None);
    let begun = Instant::now();
    let error = bucket.versions(&ALL, begun + Duration::from_millis(300)).await.expect_err("an error");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}: {error}", begun.elapsed());
    assert!(bucket.versions(&ALL, Instant::now()).await.is_err());
    assert_eq!(server.lines().len(), 1, "no request without time for it");
}

#[tokio::test]
async fn names_that_would_lead_elsewhere_are_not_requested() {
    let server = Scripted::start(vec![ok(EMPTY)]).await;
    let client = server.client();
    for (name, region) in [("../other", None), ("a?b", None), ("", None), ("site", Some("evil.example/"))] {
        let error = versions(&S3::of(&client).bucket(name, region)).await.expect_err("an error");
        assert!(error.contains("invalid"), "{error}");
    }
    assert_eq!(server.lines(), [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_requested_in_parts() {
    let filler = "x".repeat(3_000_000);
    let long =
        format!("<ListBucketResult><!--{filler}--><IsTruncated>false</IsTruncated></ListBucketResult>");
    let short = "<ListBucketResult><IsTruncated>true</IsTruncated>\
                 <NextContinuationToken>more</NextContinuationToken></ListBucketResult>";
    let server = Scripted::start(vec![ok(&long), ok(&long), ok(short)]).await;
    let client = server.client();
    let query = ObjectsQuery { prefix: b"", start_after: None, continuation_token: None, max_keys: 1_000 };
    let page: Page<Object, Box<str>> =
        S3::of(&client).bucket("site", None).objects(&query, soon()).await.expect("a page");
    assert_eq!(page, Page { entries: Vec::new(), next: Some("more".into()) });
    let sizes: Vec<bool> = server
        .lines()
        .iter()
        .zip(["max-keys=1000 ", "max-keys=500 ", "max-keys=250 "])
        .map(|(line, expected)| line.contains(expected))
        .collect();
    assert_eq!(sizes, [true; 3]);
}

#[tokio::test]
async fn hostile_answers_are_errors() {
    let nested = "<a>".repeat(500_000);
    let list = |content: &str| {
        format!("<ListVersionsResult><IsTruncated>false</IsTruncated>{content}</ListVersionsResult>")
    };
    let laughs = r#"<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"#;
    for (what, body) in [
        ("10 MB", list(&"x".repeat(10_000_000))),
        ("deep nesting", list(&nested)),
        ("only beginnings", nested.clone()),
        ("entities", format!("{laughs}{}", list("<Version><Key>&b;</Key></Version>"))),
        ("a file", r#"<!DOCTYPE x SYSTEM "file:///etc/passwd"><ListVersionsResult/>"#.to_owned()),
        ("no XML", "\u{1}\u{2}".to_owned()),
        ("cut off", list("")[..40].to_owned()),
        ("nothing", String::new()),
        ("another document", "<html><body>Welcome</body></html>".to_owned()),
    ] {
        for status in ["200 OK", "403 Forbidden"] {
            let server = Scripted::start(vec![Full(status, &[], body.clone())]).await;
            let client = server.client();
            let bucket = S3::of(&client).bucket("site", None);
            let error = bucket.versions(&ALL, soon()).await.expect_err(what).to_string();
            assert!(error.len() < 3_000 && !error.contains('\n'), "{what}: {error}");
        }
    }
}

#[tokio::test]
async fn versions_and_their_order_come_from_s3() {
    let local = Server::start(Options::default()).await.expect("a server");
    local.set_versioning("site", Versioning::Enabled);
    local.set_region("site", "eu-west-1");
    let upload = |content: &str, storage_class| Upload {
        content: content.into(),
        headers: vec![("Cache-Control".to_owned(), "no-cache".to_owned())],
        storage_class,
        ..Upload::default()
    };
    let old = local.put_object("site", "a \r\n+ü", upload("old", StorageClass::DeepArchive));
    local.delete("site", "a \r\n+ü");
    let new = local.put_object("site", "a \r\n+ü", upload("newer", StorageClass::Standard));

    let client = Client::new(Settings::local(&local.endpoint_url()));
    let bucket = S3::of(&client).bucket("site", None);
    let page = bucket.versions(&ALL, soon()).await.expect("a page");
    assert_eq!(page.next, None);
    let shown: Vec<_> =
        page.entries.iter().map(|one| (one.is_latest, one.is_marker, one.is_archived, one.size)).collect();
    assert_eq!(shown, [(true, false, false, 5), (false, true, false, 0), (false, false, true, 3)]);
    let [current, marker, first] = &page.entries[..] else { panic!("three versions") };
    assert_eq!((&*current.etag, Some(&*current.id)), (&*new.etag, new.version_id.as_deref()));
    assert_eq!((&*first.etag, Some(&*first.id)), (&*old.etag, old.version_id.as_deref()));
    assert!(page.entries.iter().all(|one| one.key.as_bytes() == "a \r\n+ü".as_bytes()));
    let head = bucket
        .head(first.key.as_bytes(), Some(&first.id), soon())
        .await
        .expect("an answer")
        .expect("an object");
    assert_eq!((head.etag, head.modified), (first.etag.clone(), first.modified));
    assert!(head.headers.contains(&("cache-control".into(), "no-cache".into())));
    assert_eq!(bucket.head(marker.key.as_bytes(), Some(&marker.id), soon()).await, Ok(None));
    let query = ObjectsQuery { prefix: b"a ", start_after: None, continuation_token: None, max_keys: 9 };
    let objects = bucket.objects(&query, soon()).await.expect("a page").entries;
    assert_eq!(objects.len(), 1);
    assert_eq!((&objects[0].key, &objects[0].etag, objects[0].size), (&current.key, &current.etag, 5));
    local.set_denied("site", true);
    assert!(bucket.versions(&ALL, soon()).await.expect_err("an error").is_denied());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_shows_whether_a_bucket_keeps_replaced_versions() {
    let account = account(&[plain("E1", "site.s3.eu-central-1.amazonaws.com")]);
    let local = Server::start(Options { account, ..Options::default() }).await.expect("a server");
    let sites = |more: &[&str]| {
        let arguments = [&["sites", "site"], more].concat();
        let output = tokio::task::block_in_place(|| cfadmin_at(&local.endpoint_url(), &arguments));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        String::from_utf8(output.stdout).expect("text")
    };
    let settings = "  settings  BucketNames=site 'IndexDocument=\"\"'\n            IndexDocument: S3's REST endpoint has no \
                    index documents, and no function at the edge adds them\n";
    let text = || {
        let shown = sites(&[]);
        let (_, bucket) = shown.split_once("s3://site  eu-central-1\n").expect("the bucket");
        bucket.strip_suffix(settings).expect("the settings").to_owned()
    };
    let document = || -> Value {
        serde_json::from_str(sites(&["--json"]).lines().last().expect("a line")).expect("a document")
    };
    local.set_versioning("site", Versioning::Unversioned);
    assert_eq!(text(), "  versions  off: INVALIDATOR_SKIP_UNCHANGED_SINCE needs versioning to be enabled\n");
    local.set_versioning("site", Versioning::Suspended);
    assert!(text().starts_with("  versions  suspended: "));
    local.set_versioning("site", Versioning::Enabled);
    assert_eq!(
        text(),
        "  versions  kept: with INVALIDATOR_SKIP_UNCHANGED_SINCE, uploads that change nothing invalidate nothing\n  \
         replaced  versions stay, and cost money: a lifecycle rule can expire them \
         (NoncurrentVersionExpiration)\n"
    );
    let rule = "<LifecycleConfiguration><Rule><Status>Enabled</Status><NoncurrentVersionExpiration>\
                <NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>";
    local.set_lifecycle("site", Some(rule));
    assert!(text().ends_with("  replaced  versions expire after 1 day\n"), "{}", text());
    local.set_lifecycle("site", Some(&rule.replace("<Status>", "<Prefix>a/</Prefix><Status>")));
    local.set_encryption("site", Encryption::Kms);
    let shown = text();
    assert!(shown.contains("  replaced  versions of some objects expire"), "{shown}");
    assert!(shown.contains("  KMS       encrypts new objects"), "{shown}");
    let known = json!({
        "bucket": "site", "region": "eu-central-1", "versioning": "enabled", "replaced": "expire_in_part",
        "uses_kms": true, "unknown": [],
    });
    let mut shown = document();
    assert!(shown.as_object_mut().expect("an object").remove("settings").is_some());
    assert_eq!(shown, known);

    local.set_denied("site", true);
    let shown = text();
    assert_eq!(shown.lines().count(), 3, "{shown}");
    for (line, operation) in
        shown.lines().zip(["GetBucketVersioning", "GetBucketLifecycleConfiguration", "GetBucketEncryption"])
    {
        let expected =
            format!("  unknown   {operation} of the bucket \"site\" failed: AccessDenied (HTTP 403)");
        assert!(line.starts_with(&expected), "{line}");
    }
    let shown = document();
    assert_eq!((&shown["versioning"], shown["unknown"].as_array().map(Vec::len)), (&Value::Null, Some(3)));
}
