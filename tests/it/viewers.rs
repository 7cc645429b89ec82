//! Viewers never get stale objects, which is the purpose of the project. These tests run a
//! CloudFront that caches the answers to viewers, change objects, and let the function invalidate
//! them. They also test `cfadmin verify`, which requests objects as a viewer does.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use cloudfront_invalidator::local::{Account, Fault, Options, Server};
use serde_json::{Value, json};

use crate::{
    cfadmin::cfadmin_at,
    sites::plain,
    support::{Function, s3, sqs},
};

/// Starts a CloudFront with one distribution, without edge functions. Its alias is `localhost`. It
/// serves a bucket's website, and `get/*` from the bucket itself.
async fn site() -> Server {
    let mut account = Account::default();
    let distribution = json!({"Distribution": {
        "Id": "E1EXAMPLE",
        "Status": "Deployed",
        "DomainName": "de1example.cloudfront.net",
        "DistributionConfig": {
            "Enabled": true,
            "Staging": false,
            "Aliases": {"Quantity": 1, "Items": ["localhost"]},
            "DefaultRootObject": "",
            "Origins": {"Quantity": 2, "Items": [
                {"Id": "pages", "DomainName": "site.s3-website-us-east-1.amazonaws.com", "OriginPath": ""},
                {"Id": "files", "DomainName": "site.s3.us-east-1.amazonaws.com", "OriginPath": "/files"},
            ]},
            "CacheBehaviors": {"Quantity": 1, "Items": [
                {"PathPattern": "get/*", "TargetOriginId": "files",
                 "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6"},
            ]},
            "DefaultCacheBehavior": {
                "TargetOriginId": "pages",
                "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
            },
        },
    }});
    account.add(distribution.to_string().as_bytes(), None).expect("a distribution");
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    Server::start(options).await.expect("a CloudFront")
}

fn port(cloudfront: &Server) -> String {
    cloudfront.endpoint_url().rsplit(':').next().expect("a port").to_owned()
}

/// Requests a path as a viewer does, and returns the body. `None` if the status is not 200.
async fn view(cloudfront: &Server, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let address = cloudfront.endpoint_url().trim_start_matches("http://").to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    });
    let answer = answer.await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// The keys of objects, each with every path under which viewers get it.
const OBJECTS: [(&str, &[&str]); 9] = [
    ("index.html", &["/", "/index.html"]),
    ("docs/index.html", &["/docs/", "/docs/index.html"]),
    ("a b+c & (d).html", &["/a%20b%2Bc%20&%20(d).html", "/a%20b+c%20&%20(d).html"]),
    ("ümläut/ä.css", &["/%C3%BCml%C3%A4ut/%C3%A4.css"]),
    ("runtime~main.js", &["/runtime~main.js", "/runtime%7Emain.js"]),
    ("it's.txt", &["/it's.txt", "/it%27s.txt"]),
    ("files/get/tool-1.2+x.tgz", &["/get/tool-1.2%2Bx.tgz"]),
    ("files/get/my tool+x.tgz", &["/get/my%20tool%2Bx.tgz", "/get/my+tool%2Bx.tgz"]),
    ("100%.txt", &["/100%25.txt"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_never_get_stale_objects() {
    let cloudfront = site().await;
    let variables = [("INVALIDATOR_DISTRIBUTIONS", "")];
    let mut function = Function::start(&cloudfront.endpoint_url(), &variables).await;
    // CloudFront also caches that an object is missing. The objects are then created, replaced,
    // deleted and created again.
    for (round, content) in [None, Some("first"), Some("second"), None, Some("third")].into_iter().enumerate()
    {
        for (key, _) in OBJECTS {
            cloudfront.put("site", key, content.map(str::as_bytes));
        }
        if round > 0 {
            let (_, paths) = OBJECTS[0];
            let before = view(&cloudfront, paths[0]).await;
            assert_ne!(before.as_deref(), content, "the cache still holds the old object");
            let event = if content.is_some() { "ObjectCreated:Put" } else { "ObjectRemoved:Delete" };
            let bodies = OBJECTS
                .map(|(key, _)| s3(key, &round.to_string()).to_string().replace("ObjectCreated:Put", event));
            let batch = sqs(bodies.iter().map(|body| ("m", body.clone())));
            assert_eq!(function.invoke(batch.to_string()).await.handed_back(), [""; 0]);
        }
        for (key, paths) in OBJECTS {
            for path in paths {
                assert_eq!(view(&cloudfront, path).await.as_deref(), content, "{key} under {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn created_invalidations_are_reported_although_another_failed() {
    let mut account = Account::default();
    for id in ["E1", "E2", "E3"] {
        let distribution = plain(id, "site.s3.us-east-1.amazonaws.com");
        account.add(distribution.to_string().as_bytes(), None).expect("a distribution");
    }
    let options = Options { distributions: Vec::new(), account, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let denied =
        Fault::Refuse { status: 403, code: "AccessDenied".to_owned(), message: "not this one".to_owned() };
    cloudfront.inject(Some("E2"), denied);
    let arguments = ["invalidate", "s3://site", "/a", "--all", "--wait", "--timeout", "0", "--json"];
    let output = tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), &arguments));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cloudfront:CreateInvalidation is not allowed"), "{said}");
    let shown = String::from_utf8(output.stdout).expect("text");
    let told: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of: Vec<&Value> = told.iter().map(|one| &one["distribution"]).collect();
    assert_eq!(of, ["E1", "E3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_reports_stale_objects_until_they_are_invalidated() {
    let cloudfront = site().await;
    let url = |path: &str| format!("http://localhost:{}{path}", port(&cloudfront));
    let verify = |paths: &[&str], more: &[&str]| {
        let urls: Vec<String> = paths.iter().map(|path| url(path)).collect();
        let arguments: Vec<&str> = ["verify", "--json"]
            .into_iter()
            .chain(urls.iter().map(String::as_str))
            .chain(more.iter().copied())
            .collect();
        let output = tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), &arguments));
        let text = String::from_utf8(output.stdout).expect("text");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let documents: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a document")).collect();
        assert_eq!(documents.len(), paths.len(), "{said}");
        (output.status.code().expect("a code"), documents)
    };
    let verdicts = |documents: &[Value]| -> Vec<String> {
        documents.iter().map(|one| one["verdict"].as_str().expect("a verdict").to_owned()).collect()
    };
    let key = "docs/a b+ü's.html";
    let path = "/docs/a%20b%2B%C3%BC's.html";
    cloudfront.put("site", key, Some(b"first"));
    cloudfront.put("site", "docs/index.html", Some(b"first"));
    let (code, first) = verify(&[path, "/docs/"], &[]);
    assert_eq!((code, verdicts(&first)), (0, vec!["current".to_owned(); 2]), "{first:?}");
    assert_eq!(first[0]["object"], "s3://site/docs/a b+ü's.html");
    assert_eq!(first[0]["distribution"], "E1EXAMPLE");
    assert_eq!(first[1]["object"], "s3://site/docs/index.html");

    cloudfront.put("site", key, Some(b"second"));
    let (code, second) = verify(&[path, "/docs/"], &[]);
    assert_eq!((code, verdicts(&second)), (1, vec!["stale".to_owned(), "current".to_owned()]), "{second:?}");
    let fields: Vec<&String> = second[0].as_object().expect("an object").keys().collect();
    let documented = [
        "age",
        "distribution",
        "etag",
        "last_modified",
        "location",
        "object",
        "object_etag",
        "pop",
        "reason",
        "status",
        "url",
        "verdict",
        "x_cache",
    ];
    assert_eq!(fields, documented);

    let purge = ["invalidate", "E1EXAMPLE", "--keys", key];
    assert!(tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), &purge)).status.success());
    let (code, third) = verify(&[path], &[]);
    assert_eq!((code, verdicts(&third)), (0, vec!["current".to_owned()]), "{third:?}");

    cloudfront.put("site", key, None);
    assert_eq!(verdicts(&verify(&[path], &[]).1), ["stale"], "deleted, but viewers still get it");
    assert!(tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), &purge)).status.success());
    let (code, fourth) = verify(&[path], &[]);
    assert_eq!((code, verdicts(&fourth)), (3, vec!["absent".to_owned()]), "deleted, or mistyped");
    assert_eq!(verify(&[path], &["--deleted"]).0, 0, "deleted, and viewers do not get it");
    assert_eq!(verify(&["/docs/", path], &[]).0, 3, "one of the two is absent");

    let object = format!("s3://site/{key}");
    assert_eq!(verdicts(&verify(&["/docs/"], &["--object", &object]).1), ["stale"], "another object");
    let etag = first[1]["etag"].as_str().expect("an entity tag");
    assert_eq!(verify(&["/docs/"], &["--etag", etag]).0, 0);
    assert_eq!(verify(&["/docs/"], &["--etag", etag.trim_matches('"')]).0, 0, "quotes do not matter");
    assert_eq!(verify(&["/docs/"], &["--etag", "another"]).0, 1);

    let elsewhere = format!("http://127.0.0.1:{}/docs/", port(&cloudfront));
    let output =
        tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), &["verify", &elsewhere]));
    let shown = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.contains("unknown: the answer does not come from CloudFront"), "{shown}");
    let nobody = ["verify", "http://127.0.0.1:1/"];
    let output = tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), &nobody));
    assert!(String::from_utf8_lossy(&output.stdout).contains("127.0.0.1 does not answer"));
    for wrong in
        [&["verify"][..], &["verify", "ftp://a/b"], &["verify", "https://a/b c"], &["verify", "a", "-H", "x"]]
    {
        let output = tokio::task::block_in_place(|| cfadmin_at(&cloudfront.endpoint_url(), wrong));
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
