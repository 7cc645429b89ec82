//! Changes that made no difference: what the function purges of a bucket that keeps versions.

use std::time::Duration;

use cloudfront_invalidator::local::{
    Account, DeleteResult, Fault, Options, PutResult, Server, StorageClass, Upload, Versioning,
};
use serde_json::{Value, json};

use crate::{
    cfadmin::cfadmin,
    function::refusal,
    support::{Function, S3Event, narrowed, sqs},
};

const BUCKET: &str = "site";

/// The settings of most tests. Every upload of a test is later.
const SKIP: [(&str, &str); 2] =
    [("INVALIDATOR_DISTRIBUTIONS", ""), ("INVALIDATOR_SKIP_UNCHANGED_SINCE", "2026-11-01")];

/// Creates a distribution for the bucket, with these changes to its configuration.
pub(crate) fn distribution(id: &str, changes: &[(&str, Value)]) -> Value {
    let mut config = json!({
        "CallerReference": id,
        "Comment": "",
        "Enabled": true,
        "DefaultRootObject": "index.html",
        "Origins": {"Quantity": 1, "Items": [{
            "Id": "pages",
            "DomainName": "site.s3.eu-central-1.amazonaws.com",
            "OriginPath": "",
            "S3OriginConfig": {"OriginAccessIdentity": ""},
        }]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "pages",
            "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
        },
        "CustomErrorResponses": {"Quantity": 0},
    });
    let mut about = json!({"Id": id, "LastModifiedTime": "2026-01-01T00:00:00Z"});
    for (pointer, value) in changes {
        match pointer.strip_prefix("about") {
            Some(field) => about[field.trim_start_matches('/')] = value.clone(),
            None => *config.pointer_mut(pointer).expect("a field") = value.clone(),
        }
    }
    about["DistributionConfig"] = config;
    json!({"Distribution": about})
}

/// A bucket behind distributions, and the function that watches it.
struct Site {
    server: Server,
    function: Function,
}

impl Site {
    /// Starts one distribution, and the function with these variables and [`SKIP`].
    async fn start(variables: &[(&str, &str)]) -> Self {
        Self::with(&[distribution("E1", &[])], variables).await
    }

    async fn with(distributions: &[Value], variables: &[(&str, &str)]) -> Self {
        let mut account = Account::default();
        for distribution in distributions {
            account.add(distribution.to_string().as_bytes(), None).expect("a distribution");
        }
        let options = Options { distributions: Vec::new(), account, ..Options::default() };
        let server = Server::start(options).await.expect("a CloudFront");
        server.set_versioning(BUCKET, Versioning::Enabled);
        let variables = [&SKIP, variables].concat();
        let function = Function::start(&server.endpoint_url(), &variables).await;
        Self { server, function }
    }

    /// Uploads an object.
    fn put(&self, key: &str, content: &str) -> PutResult {
        self.upload(key, Upload { content: content.into(), ..Upload::default() })
    }

    fn upload(&self, key: &str, upload: Upload) -> PutResult {
        self.server.put_object(BUCKET, key, upload)
    }

    /// Delivers these events in one batch, and returns the paths that it purges: of each distribution,
    /// with the id before it if there are several.
    async fn purged_by(&mut self, events: &[Value]) -> Vec<String> {
        let before = self.server.created();
        let bodies = events.iter().enumerate().map(|(index, event)| (format!("m{index}"), event.to_string()));
        let messages: Vec<(String, String)> = bodies.collect();
        let batch = sqs(messages.iter().map(|(id, body)| (&**id, body.clone())));
        assert_eq!(self.function.invoke(batch.to_string()).await.handed_back(), [""; 0]);
        let recorded = self.server.recorded().split_off(before);
        let ids: std::collections::BTreeSet<&String> = recorded.iter().map(|one| &one.distribution).collect();
        let name =
            |id: &str, path: &String| if ids.len() > 1 { format!("{id} {path}") } else { path.clone() };
        recorded.iter().flat_map(|one| one.paths.iter().map(|path| name(&one.distribution, path))).collect()
    }

    /// Returns the number of calls of S3's API.
    fn asked(&self) -> usize {
        let of_s3 = |operation: &&&str| matches!(**operation, "ListObjectVersions" | "HeadObject");
        self.server.reads().iter().filter(of_s3).count()
    }
}

/// Returns the event of an upload.
fn created(key: &str, put: &PutResult) -> Value {
    S3Event::put(BUCKET, key, put).notification()
}

fn deleted(key: &str, result: &DeleteResult) -> Value {
    S3Event::deleted(BUCKET, key, result).expect("an event").notification()
}

#[tokio::test]
async fn a_full_upload_purges_exactly_what_differs() {
    let mut site = Site::start(&[]).await;
    let keys = ["index.html", "a b+c.html", "docs/é~1.html", "docs/b.html", "x/\u{1}.txt", "x//y"];
    let first: Vec<Value> = keys.iter().map(|key| created(key, &site.put(key, key))).collect();
    assert_eq!(site.purged_by(&first).await.len(), 8, "everything is new");
    let second: Vec<Value> = keys
        .iter()
        .map(|key| created(key, &site.put(key, if *key == "docs/b.html" { "other" } else { key })))
        .collect();
    assert_eq!(site.purged_by(&second).await, ["/docs/b.html"]);
    let line = site.function.logged(|line| line["Unchanged"] == 5).await;
    assert_eq!((&line["Ignored"], &line["Unjudged"]), (&json!(5), &Value::Null));
    site.function.logged(|line| line["ignored"] == json!({"unchanged": 5})).await;

    // The same events, delivered again or in other company, make no difference either.
    assert_eq!(site.purged_by(&second[..3]).await, [""; 0]);
    let third = created("new.html", &site.put("new.html", "new"));
    assert_eq!(site.purged_by(&[second[0].clone(), third, second[4].clone()]).await, ["/new.html"]);
}

#[tokio::test]
async fn events_from_eventbridge_are_judged_as_well() {
    let mut site = Site::start(&[]).await;
    site.put("a", "1");
    let again = S3Event::put(BUCKET, "a", &site.put("a", "1")).eventbridge();
    let other = S3Event::put(BUCKET, "a", &site.put("a", "2")).eventbridge();
    assert_eq!(site.purged_by(&[again]).await, [""; 0]);
    assert_eq!(site.purged_by(&[other]).await, ["/a"]);
}

#[tokio::test]
async fn headers_that_viewers_get_are_a_difference() {
    let mut site = Site::start(&[]).await;
    let upload = |headers: &[(&str, &str)]| Upload {
        content: b"same".to_vec(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Upload::default()
    };
    let different = [
        ("Cache-Control", "max-age=60"),
        ("Content-Type", "text/html"),
        ("Content-Encoding", "br"),
        ("Content-Disposition", "attachment"),
        ("Content-Language", "de"),
        ("Expires", "Thu, 01 Dec 2026 16:00:00 GMT"),
        ("x-amz-website-redirect-location", "/b"),
        ("x-amz-meta-author", "x"),
    ];
    for header in different {
        site.upload("a", upload(&[]));
        let with = created("a", &site.upload("a", upload(&[header])));
        assert_eq!(site.purged_by(&[with]).await, ["/a"], "{header:?}");
        let again = created("a", &site.upload("a", upload(&[header])));
        assert_eq!(site.purged_by(&[again]).await, [""; 0], "{header:?}");
        let without = created("a", &site.upload("a", upload(&[])));
        assert_eq!(site.purged_by(&[without]).await, ["/a"], "{header:?}");
    }
    for (name, before, after) in
        [("x-amz-meta-mtime", "1", "2"), ("x-amz-meta-s3cmd-attrs", "atime:1", "atime:2")]
    {
        site.upload("a", upload(&[(name, before)]));
        let again = created("a", &site.upload("a", upload(&[(name, after)])));
        assert_eq!(site.purged_by(&[again]).await, [""; 0], "{name}");
    }
}

#[tokio::test]
async fn whatever_is_in_doubt_is_purged() {
    let mut site = Site::start(&[]).await;
    let same = |etag: &str| Upload { content: b"1".to_vec(), etag: Some(etag.into()), ..Upload::default() };

    site.put("a", "1");
    let current = created("a", &site.put("a", "1"));
    let twelve_hours_ago = std::time::SystemTime::now() - Duration::from_hours(12);
    let old = humantime::format_rfc3339_millis(twelve_hours_ago).to_string();
    let cases = [
        ("no version", "/s3/object/versionId", Value::Null),
        ("the version null", "/s3/object/versionId", json!("null")),
        ("a version that does not exist", "/s3/object/versionId", json!("an_id_that_is_not_there")),
        ("an old event", "/eventTime", json!(old)),
        ("an event without a time", "/eventTime", Value::Null),
    ];
    for (number, (case, pointer, value)) in cases.into_iter().enumerate() {
        let mut event = current.clone();
        let record = &mut event["Records"][0];
        *record.pointer_mut(pointer).expect("a field") = value;
        record["s3"]["object"]["sequencer"] = json!(format!("{number}"));
        assert_eq!(site.purged_by(&[event]).await, ["/a"], "{case}");
    }
    assert_eq!(site.purged_by(&[current]).await, [""; 0], "no doubt");

    site.upload("kms", same("one"));
    let kms = created("kms", &site.upload("kms", same("other")));
    assert_eq!(site.purged_by(&[kms]).await, ["/kms"], "another ETag");
    let archived = Upload { storage_class: StorageClass::Glacier, ..same("one") };
    site.upload("cold", archived);
    let restored = created("cold", &site.upload("cold", same("one")));
    assert_eq!(site.purged_by(&[restored]).await, ["/cold"], "a version below that nobody can read");

    site.put("gone", "1");
    let gone = deleted("gone", &site.server.delete(BUCKET, "gone"));
    let back = created("gone", &site.put("gone", "1"));
    assert_eq!(site.purged_by(std::slice::from_ref(&gone)).await, ["/gone"]);
    assert_eq!(site.purged_by(&[back]).await, ["/gone"], "a delete marker below");

    let replaced = site.put("b", "1");
    site.put("b", "2");
    let again = created("b", &site.put("b", "1"));
    assert_eq!(site.purged_by(&[again]).await, ["/b"], "an earlier content again");
    let removed = site.server.delete_version(BUCKET, "b", replaced.version_id.as_deref().expect("an id"));
    assert_eq!(site.purged_by(&[deleted("b", &removed)]).await, ["/b"], "a version that was removed");
}

#[tokio::test]
async fn each_event_of_a_key_is_judged_by_the_version_below_its_own() {
    let mut site = Site::start(&[]).await;
    site.put("a", "1");
    let same = created("a", &site.put("a", "1"));
    let other = created("a", &site.put("a", "2"));
    let same_again = created("a", &site.put("a", "2"));
    assert_eq!(site.purged_by(&[same_again.clone(), same.clone()]).await, [""; 0]);
    assert_eq!(site.purged_by(&[same_again, other, same]).await, ["/a"]);
}

#[tokio::test]
async fn uploads_before_the_given_time_or_the_last_change_of_the_configuration_do_not_count() {
    let tomorrow = humantime::format_rfc3339_seconds(std::time::SystemTime::now() + Duration::from_hours(24));
    let tomorrow = tomorrow.to_string();
    let mut site = Site::start(&[("INVALIDATOR_SKIP_UNCHANGED_SINCE", &tomorrow)]).await;
    site.put("a", "1");
    let again = created("a", &site.put("a", "1"));
    assert_eq!(site.purged_by(&[again]).await, ["/a"]);

    // Of two distributions, only the one that changed has to know.
    let changed = distribution("E2", &[("about/LastModifiedTime", json!(tomorrow))]);
    let mut site = Site::with(&[distribution("E1", &[]), changed], &[]).await;
    site.put("a", "1");
    let (again, other) = (site.put("a", "1"), site.put("b", "1"));
    assert_eq!(site.purged_by(&[created("a", &again)]).await, ["/a"]);
    assert_eq!(site.server.recorded()[0].distribution, "E2");
    let both = site.purged_by(&[created("a", &again), created("b", &other)]).await;
    assert_eq!(both, ["E1 /b", "E2 /a", "E2 /b"]);
}

#[tokio::test]
async fn a_lasting_error_may_outlast_an_upload() {
    let errors = |code: u16, ttl: u32| json!({"Quantity": 1, "Items": [{"ErrorCode": code, "ErrorCachingMinTTL": ttl}]});
    for (code, ttl, expected) in
        [(404, 59, &[][..]), (404, 60, &["/a"]), (403, 60, &["/a"]), (500, 3_600, &[])]
    {
        let lasting = distribution("E1", &[("/CustomErrorResponses", errors(code, ttl))]);
        let mut site = Site::with(&[lasting], &[]).await;
        site.put("a", "1");
        let again = created("a", &site.put("a", "1"));
        assert_eq!(site.purged_by(&[again]).await, expected, "{code}, {ttl} s");
    }
}

#[tokio::test]
async fn new_objects_are_skipped_only_where_errors_heal_by_themselves() {
    let lambda = json!({
        "TargetOriginId": "pages",
        "ViewerProtocolPolicy": "allow-all",
        "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
        "LambdaFunctionAssociations": {"Quantity": 1, "Items": [{
            "EventType": "origin-response",
            "LambdaFunctionARN": "arn:aws:lambda:us-east-1:123456789012:function:edge:1",
        }]},
    });
    let website = json!("site.s3-website.eu-central-1.amazonaws.com");
    let errors = json!({"Quantity": 1, "Items": [{"ErrorCode": 403, "ErrorCachingMinTTL": 11}]});
    let brief = json!({"Quantity": 1, "Items": [{"ErrorCode": 404, "ErrorCachingMinTTL": 10}]});
    let cases = [
        (None, &[][..]),
        (Some(("/CustomErrorResponses", brief)), &[]),
        (Some(("/CustomErrorResponses", errors)), &["/a"]),
        (Some(("/DefaultCacheBehavior", lambda)), &["/a"]),
        (Some(("/Origins/Items/0/DomainName", website)), &["/a"]),
    ];
    for (change, expected) in cases {
        let changes: Vec<_> = change.into_iter().collect();
        let variables = [("INVALIDATOR_SKIP_UNCHANGED_SINCE", ""), ("INVALIDATOR_SKIP_NEW", "true")];
        let mut site = Site::with(&[distribution("E1", &changes)], &variables).await;
        let new = created("a", &site.put("a", "1"));
        assert_eq!(site.purged_by(&[new]).await, expected, "{changes:?}");
        // An object that was uploaded again is not new.
        let again = created("a", &site.put("a", "1"));
        assert_eq!(site.purged_by(&[again]).await, ["/a"], "{changes:?}");
        assert!(!site.server.reads().contains(&"HeadObject"), "no headers are needed");
        site.server.delete(BUCKET, "a");
        let back = created("a", &site.put("a", "1"));
        assert_eq!(site.purged_by(&[back]).await, ["/a"], "{changes:?}");
    }
}

#[tokio::test]
async fn failures_of_s3_never_fail_a_batch() {
    let fault = |status: u16, code: &str| refusal(status, code, "because");
    let faults = [
        ("ListObjectVersions", fault(403, "AccessDenied"), 1),
        ("ListObjectVersions", fault(404, "NoSuchBucket"), 1),
        ("HeadObject", fault(403, "AccessDenied"), 1),
        ("ListObjectVersions", fault(503, "SlowDown"), 20),
        ("HeadObject", Fault::Close, 20),
    ];
    for (operation, fault, times) in faults {
        let mut site = Site::start(&[]).await;
        site.put("a", "1");
        let again = created("a", &site.put("a", "1"));
        (0..times).for_each(|_| site.server.inject_read(operation, 0, fault.clone()));
        let event = sqs([("m", again.to_string())]).to_string();
        let answer = site.function.invoke_within(Duration::from_secs(6), event).await;
        assert_eq!(answer.handed_back(), [""; 0], "{operation}, {fault:?}");
        assert_eq!(site.server.recorded()[0].paths, ["/a"], "{operation}, {fault:?}");
        site.function.logged(|line| line["Unjudged"] == 1).await;
        let line = site.function.logged(|line| line["level"] == "WARN" && line["changes"] == 1).await;
        let error = line["error"].as_str().expect("a reason");
        assert!(error.contains(operation) && error.contains(BUCKET), "{error}");
        assert!(site.function.log().iter().all(|line| !line.contains("no log may show")));
    }
    // Transient failures are no obstacle.
    let mut site = Site::start(&[]).await;
    site.put("a", "1");
    let again = created("a", &site.put("a", "1"));
    site.server.inject_read("ListObjectVersions", 0, fault(503, "SlowDown"));
    site.server.inject_read("HeadObject", 0, Fault::Close);
    assert_eq!(site.purged_by(&[again]).await, [""; 0]);
}

#[tokio::test]
async fn s3_is_not_asked_unless_it_matters() {
    let off = [("INVALIDATOR_SKIP_UNCHANGED_SINCE", "")];
    let mut site = Site::start(&off).await;
    site.put("a", "1");
    let again = created("a", &site.put("a", "1"));
    assert_eq!(site.purged_by(&[again]).await, ["/a"]);
    assert_eq!(site.asked(), 0, "turned off");

    let mut site = Site::start(&[("INVALIDATOR_EXCLUDE", "*.map")]).await;
    let ignored = created("a.map", &site.put("a.map", "1"));
    let elsewhere = S3Event::put("other", "a", &site.server.put_object("other", "a", Upload::default()));
    let removed = deleted("a", &{
        site.put("a", "1");
        site.server.delete(BUCKET, "a")
    });
    assert_eq!(site.purged_by(&[ignored, elsewhere.notification(), removed]).await, ["/a"]);
    assert_eq!(site.asked(), 0, "nothing to ask");
    let new = created("b", &site.put("b", "1"));
    assert_eq!(site.purged_by(&[new]).await, ["/b"]);
    assert_eq!(site.asked(), 1, "no headers of an object without a version below");
}

#[tokio::test]
async fn neighboring_keys_are_judged_with_few_lists() {
    let mut site = Site::start(&[]).await;
    let key = |number: usize| format!("docs/{}/{number}.html", number % 7);
    let events: Vec<Value> = (0..1_000)
        .map(|number| {
            site.put(&key(number), "1");
            created(&key(number), &site.put(&key(number), if number == 500 { "2" } else { "1" }))
        })
        .collect();
    assert_eq!(site.purged_by(&events).await, [format!("/{}", key(500))]);
    let lists = site.server.reads().iter().filter(|one| **one == "ListObjectVersions").count();
    assert!(lists <= 20, "{lists} lists");
    let heads = site.server.reads().iter().filter(|one| **one == "HeadObject").count();
    assert_eq!(heads, 2 * 999);
}

#[tokio::test]
async fn long_histories_and_many_neighbors_do_not_hide_a_version() {
    let mut site = Site::start(&[]).await;
    for number in 0..300 {
        site.put(&format!("page-1{number:03}"), "neighbor");
    }
    let mut events = Vec::new();
    for key in ["page-1", "page-1150", "page-1299", "page-2", "pagé"] {
        (0..40).for_each(|number| drop(site.put(key, &number.to_string())));
        events.push(created(key, &site.put(key, "39")));
        (0..20).for_each(|number| drop(site.put(key, &number.to_string())));
    }
    let different = created("page-1150", &site.put("page-1150", "last"));
    assert_eq!(site.purged_by(&events).await, [""; 0]);
    assert_eq!(site.purged_by(&[different]).await, ["/page-1150"]);
}

#[tokio::test]
async fn what_is_left_of_a_batch_is_judged_again() {
    let mut site = Site::with(&[distribution("E1", &[]), distribution("E2", &[])], &[]).await;
    site.put("a", "1");
    site.put("b", "1");
    let events = [created("a", &site.put("a", "1")), created("b", &site.put("b", "2"))];
    site.server.inject(Some("E2"), refusal(403, "AccessDenied", "no"));
    assert_eq!(site.purged_by(&events).await, ["/b"]);
    // The batch has only the changes of the message, not those that were skipped with it.
    let left = narrowed(&site.server);
    assert!(left.contains("\\\"region\\\":\\\"eu-central-1\\\""), "{left}");
    assert_eq!(site.function.invoke(left).await.handed_back(), [""; 0]);
    let recorded = site.server.recorded();
    assert_eq!((&*recorded[1].distribution, &*recorded[1].paths), ("E2", &["/b".to_owned()][..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cfadmin_says_which_objects_need_no_purge() {
    let site = Site::start(&[]).await;
    site.put("a", "1");
    let events = [created("a", &site.put("a", "1")), created("b", &site.put("b", "1"))];
    let records: Vec<&Value> = events.iter().map(|event| &event["Records"][0]).collect();
    let event = json!({"Records": records}).to_string();
    let endpoint = site.server.endpoint_url();
    let variables = [
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("INVALIDATOR_DISTRIBUTIONS", "E1"),
        ("INVALIDATOR_SKIP_UNCHANGED_SINCE", "2026-11-01"),
    ];
    let shown = |arguments: &[&str]| {
        let output = cfadmin(arguments, &variables, &event);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let plan: Value = serde_json::from_str(&shown(&["plan", "--json", "--ask-bucket", "-"])).expect("JSON");
    assert_eq!(
        (&plan["ignored"][0]["key"], &plan["ignored"][0]["reason"]),
        (&json!("a"), &json!("unchanged"))
    );
    assert_eq!(plan["billed_paths"], 1);
    assert!(shown(&["plan", "--ask-bucket", "-"]).contains("uploaded again without a change"));
    let plan: Value = serde_json::from_str(&shown(&["plan", "--json", "-"])).expect("JSON");
    assert_eq!(plan["billed_paths"], 2, "without the option, S3 is not asked");
    let explained = shown(&["explain", "--ask-bucket", "s3://site/a"]);
    assert!(explained.contains("needs no purge: uploaded again without a change"), "{explained}");
    assert!(!shown(&["explain", "--ask-bucket", "s3://site/b"]).contains("needs no purge"));
    let invoked: Value = serde_json::from_str(&shown(&["invoke", "--json", "-"])).expect("JSON");
    assert_eq!(invoked["billed_paths"], 1, "the function's settings apply");

    site.server.set_denied(BUCKET, true);
    let denied = shown(&["plan", "--ask-bucket", "-"]);
    assert!(denied.contains("NOT JUDGED  ListObjectVersions of the bucket \"site\" failed: "), "{denied}");
    assert!(denied.contains("; 2 changes purged without asking S3"), "{denied}");
    site.server.set_denied(BUCKET, false);

    let nothing_to_ask = cfadmin(&["plan", "--ask-bucket", "-"], &variables[..5], &event);
    assert_eq!(nothing_to_ask.status.code(), Some(2));
}

#[tokio::test]
async fn named_distributions_skip_unchanged_objects_but_no_new_ones() {
    let variables = [("INVALIDATOR_DISTRIBUTIONS", "E1"), ("INVALIDATOR_SKIP_NEW", "true")];
    let mut site = Site::start(&variables).await;
    let new = created("a", &site.put("a", "1"));
    let again = created("a", &site.put("a", "1"));
    assert_eq!(site.purged_by(&[new]).await, ["/a"]);
    assert_eq!(site.purged_by(&[again]).await, [""; 0]);
}
