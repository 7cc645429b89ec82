//! Events to batches: every envelope, and input that is unreadable.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use aws_lambda_events::{eventbridge::EventBridgeEvent, s3::S3Event, sns::SnsEvent, sqs::SqsEvent};
use cloudfront_invalidator::event::{Batch, Effect, MAX_DEPTH, read};
use percent_encoding::percent_decode_str;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use crate::{
    path::any_key,
    support::{eventbridge, form_encoded, s3, s3_record, sns, sns_straight, sqs, test_event},
};

/// Asserts the bucket and key of each change in `event`, and for each message why it is unreadable,
/// or `None` if it is readable.
fn check(event: &Value, changes: &[&str], unreadable: &[Option<&str>]) {
    let batch = read(event.to_string().as_bytes(), "invocation");
    let found: Vec<String> =
        batch.changes.iter().map(|change| format!("{}/{}", change.bucket, change.key)).collect();
    assert_eq!(found, changes, "{event:#}");
    assert_eq!(batch.messages.len(), unreadable.len(), "{event:#}");
    for (message, expected) in batch.messages.iter().zip(unreadable) {
        let found = message.unreadable.as_ref().map(ToString::to_string);
        match (&found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) if found.contains(expected) => {}
            _ => panic!("{found:?} instead of {expected:?} in {event:#}"),
        }
    }
}

#[test]
fn changes_are_read_from_every_envelope() {
    let record = s3("a b", "1");
    check(&record, &["site/a b"], &[None]);
    check(&sqs([("m", record.to_string())]), &["site/a b"], &[None]);
    check(&sqs([("m", sns(&record).to_string())]), &["site/a b"], &[None]);
    check(&sns_straight(&record), &["site/a b"], &[None]);
    let raw = eventbridge("a+b", "1");
    check(&raw, &["site/a+b"], &[None]);
    check(&sqs([("m", raw.to_string())]), &["site/a+b"], &[None]);
    check(&sns_straight(&raw), &["site/a+b"], &[None]);
    check(&sqs([("m", sns(&raw).to_string())]), &["site/a+b"], &[None]);
    check(&sqs([("m", sns_straight(&record).to_string())]), &["site/a b"], &[None]);
}

#[test]
fn the_s3_test_event_contains_no_changes() {
    let test = test_event();
    check(&test, &[], &[None]);
    check(&sqs([("m", test.to_string())]), &[], &[None]);
    check(&sqs([("m", sns(&test).to_string())]), &[], &[None]);
    check(&sns_straight(&test), &[], &[None]);
}

#[test]
fn an_empty_list_of_records_contains_no_changes() {
    check(&json!({"Records": []}), &[], &[None]);
    check(&sqs([("m", json!({"Records": []}).to_string())]), &[], &[None]);
}

#[test]
fn other_shapes_are_unreadable() {
    for (event, why) in [
        (json!({}), "not a known event"),
        (json!(null), "cannot be read"),
        (json!([]), "not a known event"),
        (json!([1]), "cannot be read"),
        (json!("Records"), "cannot be read"),
        (json!({"Records": null}), "not a known event"),
        (json!({"Records": {}}), "cannot be read"),
        (json!({"Records": [{}]}), "a record has no eventSource"),
        (json!({"Records": [[]]}), "not a known event"),
        (
            json!({"Records": [{"eventSource": "aws:dynamodb"}]}),
            "a record from \"aws:dynamodb\" is not for this",
        ),
        (
            json!({"source": "aws.ec2", "detail-type": "x"}),
            "an EventBridge event from \"aws.ec2\" is not for this",
        ),
        (json!({"source": "aws.s3"}), "an EventBridge event has no detail-type"),
        (
            json!({"source": "aws.s3", "detail-type": "Object Created"}),
            "an EventBridge event has no bucket name",
        ),
        (json!({"Type": "SubscriptionConfirmation"}), "confirm or remove the subscription"),
        (json!({"Type": "Notification"}), "an SNS notification has no Message"),
        (json!({"Event": "s3:OtherEvent"}), "not a known event"),
        (json!({"Event": "s3:TestEvent", "paths": ["/a"]}), "not a known event"),
        (json!({"Records": [], "paths": ["/a"]}), "not a known event"),
        (json!({"paths": []}), "manual event: no paths"),
        (json!({"distribution": "E1"}), "manual event: no paths"),
        (json!({"paths": "/a"}), "a manual event cannot be read"),
        (json!({"paths": ["/a"], "distributions": ["E1"]}), "unknown field `distributions`"),
    ] {
        check(&event, &[], &[Some(why)]);
        check(
            &sqs([("m", event.to_string()), ("n", s3("a", "1").to_string())]),
            &["site/a"],
            &[Some(why), None],
        );
    }
}

#[test]
fn only_the_fields_that_are_used_are_required() {
    let bare = json!({
        "eventSource": "aws:s3",
        "eventName": "ObjectRemoved:Delete",
        "s3": {"bucket": {"name": "site"}, "object": {"key": "a"}},
    });
    check(&json!({"Records": [bare]}), &["site/a"], &[None]);
    for (pointer, why) in [
        ("/eventName", "an S3 record has no eventName"),
        ("/s3/bucket/name", "an S3 record has no bucket name"),
        ("/s3/object/key", "an S3 record has no object key"),
    ] {
        for nothing in [json!(null), json!("")] {
            let mut record = bare.clone();
            *record.pointer_mut(pointer).expect("a field") = nothing;
            // The other record is still read.
            check(&json!({"Records": [record, s3_record("b", "1")]}), &["site/b"], &[Some(why)]);
        }
    }
}

#[test]
fn any_minor_version_of_major_version_2_is_read() {
    for (version, readable) in
        [("2.0", true), ("2.6", true), ("2.17", true), ("2", true), ("3.0", false), ("21.0", false)]
    {
        let mut record = s3_record("a", "1");
        record["eventVersion"] = version.into();
        let batch = read(json!({"Records": [record]}).to_string().as_bytes(), "i");
        assert_eq!(batch.messages[0].unreadable.is_none(), readable, "{version}");
        assert_eq!(batch.changes.len(), usize::from(readable), "{version}");
    }
}

#[test]
fn the_event_name_decides_the_effect() {
    let effect = |event: Value| read(event.to_string().as_bytes(), "i").changes[0].effect;
    let notified = |name: &str| {
        let mut record = s3_record("a", "1");
        record["eventName"] = name.into();
        effect(json!({"Records": [record]}))
    };
    for name in [
        "ObjectCreated:Put",
        "ObjectCreated:Post",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectCreated:SomethingNew",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
        "LifecycleExpiration:DeleteMarkerCreated",
        "s3:ObjectCreated:Put",
    ] {
        assert_eq!(notified(name), Effect::Content, "{name}");
    }
    for name in [
        "ObjectRestore:Post",
        "ObjectRestore:Completed",
        "ObjectRestore:Delete",
        "Replication:OperationFailedReplication",
        "LifecycleTransition",
        "IntelligentTiering",
        "ObjectTagging:Put",
        "ObjectTagging:Delete",
        "ObjectAcl:Put",
        "ObjectAnnotation:Put",
        "ObjectRetention:Put",
        "ReducedRedundancyLostObject",
    ] {
        assert_eq!(notified(name), Effect::None, "{name}");
    }
    assert_eq!(notified("ObjectCreatedButNot"), Effect::Unknown);

    let bridged = |kind: &str, detail: Value| {
        effect(json!({"source": "aws.s3", "id": "x", "detail-type": kind, "detail": detail}))
    };
    let detail = json!({"bucket": {"name": "site"}, "object": {"key": "a"}});
    assert_eq!(bridged("Object Created", detail.clone()), Effect::Content);
    assert_eq!(bridged("Object Deleted", detail.clone()), Effect::Content);
    assert_eq!(bridged("Object Restore Completed", detail.clone()), Effect::None);
    assert_eq!(bridged("Object Tags Added", detail), Effect::None);
    assert_eq!(
        bridged("Object Teleported", json!({"bucket": {"name": "b"}, "object": {"key": "a"}})),
        Effect::Unknown
    );
    assert_eq!(bridged("Object Tags Added", json!("x")), Effect::None);
    // An unknown event without an object key is unreadable.
    check(
        &json!({"source": "aws.s3", "detail-type": "Something New", "detail": {"bucket": {"name": "b"}}}),
        &[],
        &[Some("an EventBridge event has no object key")],
    );
    let odd = json!({"Records": [{"eventSource": "aws:s3", "eventName": "BucketThing:Put", "s3": {"bucket": "b"}}]});
    check(&odd, &[], &[Some("an S3 record cannot be read")]);
}

#[test]
fn the_expiration_of_an_old_version_has_no_effect() {
    let effect = |event: Value| read(event.to_string().as_bytes(), "i").changes[0].effect;
    let notified = |name: &str, version: Value| {
        let mut record = s3_record("a", "1");
        record["eventName"] = name.into();
        record["s3"]["object"]["versionId"] = version;
        effect(json!({"Records": [record]}))
    };
    let bridged = |reason: &str, kind: &str, version: Value| {
        let object = json!({"key": "a", "version-id": version});
        effect(json!({"source": "aws.s3", "id": "x", "detail-type": "Object Deleted", "detail": {
            "bucket": {"name": "site"}, "object": object, "reason": reason, "deletion-type": kind,
        }}))
    };
    let (old, expiration, for_good) =
        (json!("3HL4kqtJ"), "LifecycleExpiration:Delete", "Permanently Deleted");
    assert_eq!(notified(expiration, old.clone()), Effect::None);
    assert_eq!(notified("s3:LifecycleExpiration:Delete", old.clone()), Effect::None);
    assert_eq!(bridged("Lifecycle Expiration", for_good, old.clone()), Effect::None);
    // Without a version id, the object itself expired.
    for none in [json!("null"), json!(""), json!(null)] {
        assert_eq!(notified(expiration, none.clone()), Effect::Content);
        assert_eq!(bridged("Lifecycle Expiration", for_good, none), Effect::Content);
    }
    // The current version expires with a delete marker. An explicit deletion may concern any
    // version.
    assert_eq!(notified("LifecycleExpiration:DeleteMarkerCreated", old.clone()), Effect::Content);
    assert_eq!(notified("ObjectRemoved:Delete", old.clone()), Effect::Content);
    assert_eq!(notified("ObjectRemoved:DeleteMarkerCreated", old.clone()), Effect::Content);
    assert_eq!(bridged("Lifecycle Expiration", "Delete Marker Created", old.clone()), Effect::Content);
    assert_eq!(bridged("DeleteObject", for_good, old), Effect::Content);
}

#[test]
fn cloudtrail_events_are_read() {
    let call = |name: &str, parameters: Value, error: Value| {
        json!({
            "version": "0", "id": "c1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.s3",
            "time": "2026-11-22T14:00:00Z",
            "detail": {
                "eventSource": "s3.amazonaws.com", "eventName": name, "errorCode": error,
                "requestParameters": parameters,
            },
        })
    };
    let object = json!({"bucketName": "site", "key": "a b+c%20"});
    let changed = |name: &str| {
        let batch = read(call(name, object.clone(), json!(null)).to_string().as_bytes(), "i");
        let change = &batch.changes[0];
        assert_eq!((&*change.bucket, &*change.identity), ("site", "c1"));
        assert_eq!(change.time, Some(1_795_356_000_000));
        (change.effect, change.key.to_string())
    };
    for name in ["PutObject", "CopyObject", "CompleteMultipartUpload", "PostObject", "DeleteObject"] {
        assert_eq!(changed(name), (Effect::Content, "a b+c%20".to_owned()), "{name}");
        let failed = read(call(name, object.clone(), json!("AccessDenied")).to_string().as_bytes(), "i");
        assert_eq!(failed.changes[0].effect, Effect::None, "{name}");
    }
    for name in
        ["GetObject", "HeadObject", "ListObjects", "PutObjectAcl", "DeleteObjectTagging", "UploadPart"]
    {
        assert_eq!(changed(name).0, Effect::None, "{name}");
    }
    assert_eq!(changed("TeleportObject").0, Effect::Unknown);
    let effect = |name: &str, parameters: Value| {
        read(call(name, parameters, json!(null)).to_string().as_bytes(), "i").changes[0].effect
    };
    let bucket = json!({"bucketName": "site"});
    assert_eq!(effect("DeleteObjects", bucket.clone()), Effect::WholeBucket);
    assert_eq!(effect("PostObject", bucket.clone()), Effect::WholeBucket, "only the form may have the key");
    assert_eq!(effect("PutBucketPolicy", bucket.clone()), Effect::None);
    assert_eq!(effect("ListBuckets", json!(null)), Effect::None);
    for (name, parameters, why) in [
        ("TeleportObject", bucket, "a CloudTrail event has no key"),
        ("DeleteObjects", json!(null), "a CloudTrail event has no bucketName"),
        ("PutObject", json!("x"), "a CloudTrail event cannot be read"),
        ("", json!({}), "a CloudTrail event has no eventName"),
    ] {
        check(&call(name, parameters, json!(null)), &[], &[Some(why)]);
    }
}

#[test]
fn lists_of_records_and_received_messages_are_read() {
    // EventBridge Pipes send the list of records without an envelope.
    let batch =
        sqs([("m1", s3("a", "1").to_string()), ("m2", "x".to_owned()), ("m3", s3("b", "1").to_string())]);
    check(&batch["Records"], &["site/a", "site/b"], &[None, Some("the event cannot be read"), None]);
    let ids: Vec<_> = read(batch["Records"].to_string().as_bytes(), "i").messages;
    assert_eq!(
        ids.iter().filter_map(|message| message.id.as_deref()).collect::<Vec<_>>(),
        ["m1", "m2", "m3"]
    );
    check(&json!([eventbridge("a", "1"), eventbridge("b", "2")]), &["site/a", "site/b"], &[None]);
    check(&json!([s3("a", "1"), {"paths": []}]), &["site/a"], &[Some("manual event: no paths")]);
    check(&s3("a", "1")["Records"], &["site/a"], &[None]);
    // The output of `aws sqs receive-message`.
    let received = json!({"Messages": [
        {"MessageId": "m1", "ReceiptHandle": "AQEB", "MD5OfBody": "x", "Body": s3("a", "1").to_string()},
        {"MessageId": "m2", "Body": eventbridge("b", "1").to_string()},
        {"MessageId": "m3"},
    ]});
    check(&received, &["site/a", "site/b"], &[Some("an SQS message has no Body")]);
    let mut nameless = s3_record("a", "1");
    nameless["s3"]["object"].as_object_mut().expect("an object").remove("sequencer");
    let received =
        json!({"Messages": [{"MessageId": "m1", "Body": json!({"Records": [nameless]}).to_string()}]});
    assert_eq!(&*read(received.to_string().as_bytes(), "i").changes[0].identity, "m1");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let marked = |event: &Value| format!("\u{feff}{event}");
    let batch = read(marked(&s3("a", "1")).as_bytes(), "i");
    assert_eq!((batch.changes.len(), &batch.messages[0].unreadable), (1, &None));
    let batch = read(marked(&sqs([("m", marked(&s3("a", "1")))])).as_bytes(), "i");
    assert_eq!((batch.changes.len(), &batch.messages[0].unreadable), (1, &None));
}

#[test]
fn keys_of_notifications_are_decoded_once() {
    for (written, key) in [
        ("a+b%2Bc", &b"a b+c"[..]),
        ("a%2520b", b"a%20b"),
        ("a%2Fb", b"a/b"),
        ("%E2%82%AC", "€".as_bytes()),
        ("%ff", b"\xff"),
        ("100%", b"100%"),
        ("é", "é".as_bytes()),
    ] {
        let batch = read(json!({"Records": [s3_record(written, "1")]}).to_string().as_bytes(), "i");
        assert_eq!(batch.changes[0].key.as_bytes(), key);
    }
    let batch = read(eventbridge("a+b%2Bc", "1").to_string().as_bytes(), "i");
    assert_eq!(batch.changes[0].key.as_bytes(), b"a+b%2Bc");
}

#[test]
fn control_characters_in_keys_are_shown_escaped() {
    let batch =
        read(eventbridge("a\n{\"level\":\"INFO\"}\u{1b}[2J\u{7f}\u{85}é", "1").to_string().as_bytes(), "i");
    assert_eq!(batch.changes[0].key.to_string(), "a\\n{\"level\":\"INFO\"}\\u{1b}[2J\\u{7f}\\u{85}é");
    let batch = read(json!({"Records": [s3_record("a%FFb", "1")]}).to_string().as_bytes(), "i");
    assert_eq!(batch.changes[0].key.to_string(), "a\\xffb");
}

#[test]
fn direction_overrides_in_keys_are_shown_escaped() {
    let batch = read(eventbridge("a\u{202e}b", "1").to_string().as_bytes(), "i");
    assert_eq!(batch.changes[0].key.to_string(), "a\\u{202e}b");
}

#[test]
fn one_bad_message_does_not_affect_the_others() {
    let good = s3("a", "1").to_string();
    let bad = |record: &str| {
        let batch = sqs([("first", good.clone()), ("last", good.clone())]).to_string();
        batch.replacen("},{", &format!("}},{record},{{"), 1)
    };
    let cases: [(&str, Option<&str>); 9] = [
        (r#"{"eventSource":"aws:sqs","messageId":"x","body":"\ud800"}"#, Some("x")),
        (r#"{"eventSource":"aws:sqs","messageId":"x","body":17}"#, Some("x")),
        (r#"{"eventSource":"aws:sqs","messageId":"x","body":"","body":""}"#, Some("x")),
        (r#"{"eventSource":"aws:sqs","messageId":"x"}"#, Some("x")),
        (r#"{"eventSource":"aws:sqs","messageId":"x","body":""}"#, Some("x")),
        (r#"{"eventSource":"aws:sqs","messageId":"","body":""}"#, None),
        (r#"{"eventSource":"aws:sqs","messageId":5,"body":""}"#, None),
        (r#"{"eventSource":"aws:kinesis"}"#, None),
        ("17", None),
    ];
    for (record, id) in cases {
        let batch = read(bad(record).as_bytes(), "i");
        assert_eq!(batch.changes.len(), 2, "{record}");
        let ids: Vec<_> = batch.messages.iter().map(|message| message.id.as_deref()).collect();
        assert_eq!(ids, [Some("first"), id, Some("last")], "{record}");
        let unreadable: Vec<_> = batch.messages.iter().map(|message| message.unreadable.is_some()).collect();
        assert_eq!(unreadable, [false, true, false], "{record}");
    }
}

#[test]
fn the_nesting_of_envelopes_is_bounded() {
    let mut event = s3("a", "1");
    for _ in 0..MAX_DEPTH {
        event = sns(&event);
    }
    check(&event, &["site/a"], &[None]);
    check(&sns(&event), &[], &[Some("envelopes nest more than 8 deep")]);
    let deep = "[".repeat(1_000_000);
    let batch = read(format!("{{\"Records\":{deep}").as_bytes(), "i");
    assert!(batch.messages[0].unreadable.is_some());
    let batch = read(sqs([("m", format!("{{\"paths\":{deep}"))]).to_string().as_bytes(), "i");
    assert!(batch.messages[0].unreadable.is_some());
}

/// Returns the example events of `aws_lambda_events` by path, from the folder where cargo keeps it.
fn reference_events() -> BTreeMap<String, Vec<u8>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("metadata in JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let events = packages.iter().find(|package| package["name"] == "aws_lambda_events").expect("the crate");
    let manifest = PathBuf::from(events["manifest_path"].as_str().expect("a path"));
    let directory = manifest.with_file_name("src").join("fixtures");
    let files =
        fs::read_dir(directory).expect("the crate's examples").map(|entry| entry.expect("an entry").path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| (path.display().to_string(), fs::read(path).expect("an example"))).collect()
}

#[test]
fn agrees_with_aws_lambda_events_on_all_of_its_examples() {
    let examples = reference_events();
    assert!(examples.len() > 100, "only {} examples", examples.len());
    let mut kinds = BTreeMap::new();
    for (name, bytes) in examples {
        let batch = read(&bytes, "invocation");
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let record = &value["Records"][0];
        let source = [&record["eventSource"], &record["EventSource"], &value["source"]]
            .into_iter()
            .find_map(Value::as_str)
            .unwrap_or_default();
        let kind = match source {
            "aws:s3" => agrees_with_s3(&batch, &serde_json::from_slice(&bytes).expect("an S3 event"), &name),
            "aws:sqs" => {
                agrees_with_sqs(&batch, &serde_json::from_slice(&bytes).expect("an SQS event"), &name)
            }
            "aws:sns" => {
                agrees_with_sns(&batch, &serde_json::from_slice(&bytes).expect("an SNS event"), &name)
            }
            "aws.s3" => {
                let event: EventBridgeEvent<Value> =
                    serde_json::from_slice(&bytes).expect("an EventBridge event");
                assert_eq!(*batch.changes[0].event, *event.detail_type, "{name}");
                "eventbridge"
            }
            _ => {
                assert_eq!(batch.changes, [], "{name}");
                assert!(batch.messages.iter().all(|message| message.unreadable.is_some()), "{name}");
                "foreign"
            }
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert!(
        kinds["s3"] >= 2 && kinds["sqs"] >= 2 && kinds["sns"] >= 3 && kinds["foreign"] > 100,
        "{kinds:?}"
    );
}

fn agrees_with_s3(batch: &Batch, event: &S3Event, name: &str) -> &'static str {
    assert!(batch.messages.iter().all(|message| message.unreadable.is_none()), "{name}");
    assert_eq!(batch.changes.len(), event.records.len(), "{name}");
    for (change, record) in batch.changes.iter().zip(&event.records) {
        let key = record.s3.object.key.as_deref().expect("a key").replace('+', " ");
        assert_eq!(change.key.as_bytes(), percent_decode_str(&key).collect::<Vec<u8>>(), "{name}");
        assert_eq!(Some(&*change.bucket), record.s3.bucket.name.as_deref(), "{name}");
        assert_eq!(Some(&*change.event), record.event_name.as_deref(), "{name}");
        assert_eq!(Some(&*change.identity), record.s3.object.sequencer.as_deref(), "{name}");
    }
    "s3"
}

fn agrees_with_sqs(batch: &Batch, event: &SqsEvent, name: &str) -> &'static str {
    let ours: Vec<_> = batch.messages.iter().map(|message| message.id.as_deref()).collect();
    let theirs: Vec<_> = event.records.iter().map(|record| record.message_id.as_deref()).collect();
    assert_eq!(ours, theirs, "{name}");
    "sqs"
}

fn agrees_with_sns(batch: &Batch, event: &SnsEvent, name: &str) -> &'static str {
    // No example contains an S3 event, so the error quotes the beginning of each SNS message.
    let quoted: Vec<_> = batch.messages.iter().filter_map(|message| message.unreadable.as_ref()).collect();
    assert_eq!(quoted.len(), 1, "{name}");
    let first = event.records[0].sns.message.chars().take(10).collect::<String>();
    assert!(quoted[0].to_string().contains(first.escape_debug().to_string().trim()), "{name}: {}", quoted[0]);
    "sns"
}

/// Wraps an event in one of the three envelopes.
fn wrapped(inner: &Value, envelope: u8) -> Value {
    match envelope % 3 {
        0 => sns(inner),
        1 => sns_straight(inner),
        _ => sqs([("inner", inner.to_string())]),
    }
}

/// Returns the value at `index` within `value`, counted depth first. 0 is `value` itself. `None` if
/// there are fewer values.
fn nth(value: &mut Value, mut index: usize) -> Option<&mut Value> {
    fn walk<'a>(value: &'a mut Value, index: &mut usize) -> Option<&'a mut Value> {
        if *index == 0 {
            return Some(value);
        }
        *index -= 1;
        match value {
            Value::Array(items) => items.iter_mut().find_map(|item| walk(item, index)),
            Value::Object(fields) => fields.values_mut().find_map(|field| walk(field, index)),
            _ => None,
        }
    }
    walk(value, &mut index)
}

proptest! {
    /// Checks that nested envelopes return the keys that were put into them, in order.
    #[test]
    fn keys_come_out_of_any_nesting(keys in vec(any_key(), 1..6), envelopes in vec(0_u8..3, 0..5)) {
        let bodies: Vec<String> = keys.iter().enumerate().map(|(number, key)| {
            let record = s3_record(&form_encoded(key), &number.to_string());
            let event = json!({"Records": [record]});
            envelopes.iter().fold(event, |inner, envelope| wrapped(&inner, *envelope)).to_string()
        }).collect();
        let ids: Vec<String> = (0..keys.len()).map(|number| format!("m{number}")).collect();
        let event = sqs(ids.iter().map(|id| &**id).zip(bodies));
        let batch = read(event.to_string().as_bytes(), "i");
        prop_assert!(batch.messages.iter().all(|message| message.unreadable.is_none()));
        let found: Vec<&[u8]> = batch.changes.iter().map(|change| change.key.as_bytes()).collect();
        prop_assert_eq!(found, keys.iter().map(|key| &**key).collect::<Vec<_>>());
        for (number, change) in batch.changes.iter().enumerate() {
            prop_assert_eq!(change.message, number);
            prop_assert_eq!(batch.messages[number].id.as_deref(), Some(&*ids[number]));
        }
    }

    /// Checks that random bytes are reported as one unreadable message.
    #[test]
    fn random_bytes_are_one_unreadable_message(bytes in vec(any::<u8>(), 0..200)) {
        let batch = read(&bytes, "i");
        prop_assert_eq!(batch.messages.len(), 1);
        prop_assert!(batch.messages[0].unreadable.is_some());
    }

    /// Checks that a message with a wrong value in any place is read or reported as unreadable, and
    /// that the other message is read.
    #[test]
    fn a_wrong_value_in_a_message_does_not_affect_the_others(
        place in 0_usize..60,
        wrong in prop_oneof![
            Just(json!(null)), Just(json!(17)), Just(json!("")), Just(json!([])), Just(json!({})),
            Just(json!(true)), Just(json!([[1]])), Just(json!("\u{0}")), Just(json!({"Records": []})),
        ],
        envelope in 0_u8..3,
    ) {
        let mut inner = wrapped(&json!({"Records": [s3_record("a", "1"), s3_record("b", "2")]}), envelope);
        if let Some(place) = nth(&mut inner, place) {
            *place = wrong;
        }
        let good = s3("good", "3").to_string();
        let batch = read(sqs([("x", inner.to_string()), ("y", good)]).to_string().as_bytes(), "i");
        prop_assert_eq!(batch.messages.len(), 2);
        prop_assert!(batch.messages[1].unreadable.is_none());
        prop_assert!(batch.changes.iter().any(|change| change.message == 1));
        let lost = batch.changes.iter().all(|change| change.message == 1);
        let nothing_to_do = inner == json!({"Records": []}) || inner["Records"] == json!([]);
        prop_assert!(!lost || batch.messages[0].unreadable.is_some() || nothing_to_do, "{inner} was dropped");
    }
}
