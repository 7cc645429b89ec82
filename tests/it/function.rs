//! Sends events in each envelope to the function's binary, and checks its requests to CloudFront,
//! its answers and its log.

use std::time::Duration;

use cloudfront_invalidator::local::{Fault, Server};
use cloudfront_invalidator::report::metrics;
use serde_json::{Value, json};

use crate::support::{
    Answer, Function, cloudfront, eventbridge, s3, s3_record, sns, sns_straight, sqs, test_event,
};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// Returns the paths of each invalidation, oldest first.
fn sent(cloudfront: &Server) -> Vec<Vec<String>> {
    cloudfront.recorded().into_iter().map(|recorded| recorded.paths).collect()
}

async fn one() -> (Server, Function) {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let function = Function::start(&cloudfront.endpoint_url(), &[]).await;
    (cloudfront, function)
}

#[tokio::test]
async fn an_event_in_any_envelope_makes_one_invalidation() {
    let (cloudfront, mut function) = one().await;
    let put = s3("a b", "1");
    let raw = eventbridge("a b", "1");
    let envelopes = [
        put.clone(),
        raw.clone(),
        sns_straight(&put),
        sqs([("m", put.to_string())]),
        sqs([("m", raw.to_string())]),
        sqs([("m", sns(&put).to_string())]),
        sqs([("m", sns(&raw).to_string())]),
        json!({"paths": ["/a b"]}),
    ];
    for (number, event) in envelopes.iter().enumerate() {
        // Give each change its own sequencer. Otherwise all of them make the same invalidation.
        let event = event.to_string().replace("\"1\"", &format!("\"{number}\""));
        let event = event.replace("\\\"1\\\"", &format!("\\\"{number}\\\""));
        let event = event.replace("\\\\\\\"1\\\\\\\"", &format!("\\\\\\\"{number}\\\\\\\""));
        let Answer::Response(answer) = function.invoke(event).await else { panic!("failed") };
        if answer.get("batchItemFailures").is_some() {
            assert_eq!(answer, json!({"batchItemFailures": []}));
        } else {
            let paths = answer["invalidations"][0]["paths"].clone();
            // The manual event contains only one of the two spellings.
            assert!([json!(["/a%20b", "/a+b"]), json!(["/a%20b"])].contains(&paths), "{paths}");
            assert_eq!(answer["invalidations"][0]["status"], "InProgress");
            assert_eq!(answer["billed_paths"].as_u64(), paths.as_array().map(|paths| paths.len() as u64));
        }
    }
    let typed = sent(&cloudfront).split_off(envelopes.len() - 1);
    assert_eq!(typed, [["/a%20b"]]);
    assert_eq!(sent(&cloudfront)[..envelopes.len() - 1], vec![vec!["/a%20b", "/a+b"]; envelopes.len() - 1]);
}

#[tokio::test]
async fn an_event_without_changes_succeeds() {
    let (cloudfront, mut function) = one().await;
    for event in [json!({"Records": []}), test_event(), sns_straight(&test_event())] {
        let Answer::Response(answer) = function.invoke(event.to_string()).await else { panic!("failed") };
        assert_eq!(answer, json!({"invalidations": [], "ignored": [], "unreadable": [], "billed_paths": 0}));
    }
    let answer = function.invoke(sqs([("m", test_event().to_string())]).to_string()).await;
    assert_eq!(answer.handed_back(), [""; 0]);
    assert_eq!(cloudfront.calls(), 0);
}

#[tokio::test]
async fn only_the_unreadable_messages_return_to_the_queue() {
    let (cloudfront, mut function) = one().await;
    let batch = sqs([
        ("m0", s3("a", "1").to_string()),
        ("m1", "not an event".to_owned()),
        ("m2", json!({"paths": ["/*/a"]}).to_string()),
        ("m3", s3("b", "2").to_string()),
    ]);
    let answer = function.invoke(batch.to_string()).await;
    assert_eq!(answer.handed_back(), ["m1", "m2"]);
    assert_eq!(sent(&cloudfront), [["/a", "/b"]]);
    let line = function.logged(|line| line["level"] == "ERROR").await;
    assert_eq!(line["error_type"], "EventUnreadable");
    assert_eq!(line["count"], 2);
    assert!(line["errors"][0].as_str().is_some_and(|error| error.contains("not an event")), "{line}");
}

#[tokio::test]
async fn an_unreadable_event_fails_the_invocation() {
    let (cloudfront, mut function) = one().await;
    for event in
        ["", "{", "\u{feff}{}", "17", "{\"Records\":[{\"eventSource\":\"aws:s3\"}]}", "{\"paths\":[]}"]
    {
        assert_eq!(function.invoke(event).await.error_type(), "EventUnreadable", "{event:?}");
    }
    assert_eq!(function.invoke(&b"\xff\xfe"[..]).await.error_type(), "EventUnreadable");
    assert_eq!(cloudfront.calls(), 0);
    // If one of several records is unreadable, the function purges the others and fails, so that
    // Lambda retries the event.
    let mut bad = s3_record("a", "1");
    bad["s3"]["object"] = json!({});
    let answer = function.invoke(json!({"Records": [bad, s3_record("b", "2")]}).to_string()).await;
    assert_eq!(answer.error_type(), "EventUnreadable");
    assert_eq!(answer.message(), "an S3 record has no object key");
    assert_eq!(sent(&cloudfront), [["/b"]]);
}

#[tokio::test]
async fn the_error_of_a_manual_event_names_every_problem() {
    let (cloudfront, mut function) = one().await;
    let event = json!({"paths": ["/ok", "", "/a*b"], "distribution": "e1"});
    let answer = function.invoke(event.to_string()).await;
    assert_eq!(answer.error_type(), "EventUnreadable");
    assert_eq!(
        answer.message(),
        "manual event: \"e1\" is not a distribution: give its id, such as E1A2B3C4D5E6F7, a domain of it or of \
         an origin, such as www.example.com, or, in a manual event, its bucket, such as s3://my-bucket; \
         \"\" is not a path: write \"/\" for the root, or \"/*\" for everything; \
         \"/a*b\" has a \"*\" before its end, where CloudFront takes it literally and purges nothing: \
         end the path at the first \"*\""
    );
    assert_eq!(cloudfront.calls(), 0);
}

#[tokio::test]
async fn a_repeated_batch_makes_no_second_invalidation() {
    let (cloudfront, mut function) = one().await;
    let batch = |ids: [&'static str; 2], sequencer: &str| {
        sqs([(ids[0], s3("a", "1").to_string()), (ids[1], s3("b", sequencer).to_string())]).to_string()
    };
    for ids in [["m0", "m1"], ["m1", "m0"], ["x", "y"]] {
        assert_eq!(function.invoke(batch(ids, "2")).await.handed_back(), [""; 0]);
    }
    assert_eq!(cloudfront.recorded().len(), 1);
    function.invoke(batch(["m0", "m1"], "3")).await;
    let recorded = cloudfront.recorded();
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[0].paths, recorded[1].paths);
    assert_ne!(recorded[0].caller_reference, recorded[1].caller_reference);
}

#[tokio::test]
async fn an_answer_without_an_invalidation_is_not_a_success() {
    let endpoint =
        answering("<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"></Invalidation>");
    let mut function = Function::start(&endpoint, &[("AWS_MAX_ATTEMPTS", "2")]).await;
    let answer = function.invoke(sqs([("m", s3("a", "1").to_string())]).to_string()).await;
    assert_eq!(answer.handed_back(), ["m"]);
    assert_eq!(function.invoke(s3("a", "1").to_string()).await.error_type(), "CloudFrontUnreachable");
}

#[tokio::test]
async fn a_used_caller_reference_counts_as_success() {
    let (cloudfront, mut function) = one().await;
    for (status, code, message) in [
        (409, "InvalidationBatchAlreadyExists", "Invalidation batch already exists."),
        (
            400,
            "InvalidArgument",
            "Your request contains a caller reference that was used for a previous invalidation batch for the same \
             distribution.",
        ),
        (
            400,
            "InvalidArgument",
            "Your request contains a caller reference that was used for a previous invalidation batch for the same \
             distribution tenant.",
        ),
    ] {
        let fault = Fault::Refuse { status, code: code.to_owned(), message: message.to_owned() };
        cloudfront.inject(None, fault.clone());
        let answer = function.invoke(sqs([("m", s3("a", message).to_string())]).to_string()).await;
        assert_eq!(answer.handed_back(), [""; 0], "{code}");
        cloudfront.inject(None, fault);
        let Answer::Response(answer) = function.invoke(s3("a", message).to_string()).await else {
            panic!("failed")
        };
        assert_eq!(answer["invalidations"][0]["status"], "AlreadyDone");
        assert_eq!(answer["billed_paths"], 0);
    }
}

#[tokio::test]
async fn only_the_messages_of_a_failed_distribution_return_to_the_queue() {
    let cloudfront = cloudfront(&["E1", "E2"]).await;
    let mut function =
        Function::start(&cloudfront.endpoint_url(), &[("INVALIDATOR_DISTRIBUTIONS", "E1,E2")]).await;
    let ask = |distribution: &str| json!({"paths": ["/a"], "distribution": distribution}).to_string();
    let batch = sqs([("m0", ask("E1")), ("m1", ask("E2")), ("m2", ask("E3")), ("m3", ask("E1"))]);
    let denied = "User is not authorized to perform: cloudfront:CreateInvalidation";
    cloudfront.inject(Some("E2"), refusal(403, "AccessDenied", denied));
    let answer = function.invoke(batch.to_string()).await;
    assert_eq!(answer.handed_back(), ["m1", "m2"]);
    let line = function.logged(|line| line["distribution"] == "E2").await;
    assert_eq!(line["error_type"], "CloudFrontDenied");
    assert_eq!(line["error"], format!("AccessDenied (HTTP 403): {denied}"));

    // Without a queue, Lambda retries the whole invocation. The distribution that succeeded is not
    // invalidated again.
    cloudfront.inject(Some("E2"), refusal(403, "AccessDenied", denied));
    let put = s3("b", "1").to_string();
    let before = cloudfront.recorded().len();
    let answer = function.invoke(put.clone()).await;
    assert_eq!(answer.error_type(), "CloudFrontDenied");
    assert_eq!(answer.message(), format!("E2: AccessDenied (HTTP 403): {denied}"));
    assert!(matches!(function.invoke(put).await, Answer::Response(_)));
    let recorded = cloudfront.recorded().split_off(before);
    let distributions: Vec<&str> = recorded.iter().map(|recorded| &*recorded.distribution).collect();
    assert_eq!(distributions, ["E1", "E2"]);
}

pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Fault {
    Fault::Refuse { status, code: code.to_owned(), message: message.to_owned() }
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_shows_the_plan() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let variables =
        [("INVALIDATOR_DRY_RUN", "true"), ("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let mut function = Function::start(&cloudfront.endpoint_url(), &variables).await;
    let Answer::Response(answer) = function.invoke(s3("index.html", "1").to_string()).await else {
        panic!("failed")
    };
    assert_eq!(answer["invalidations"][0]["paths"], json!(["/", "/index.html"]));
    assert_eq!(answer["invalidations"][0].get("id"), None);
    assert_eq!(cloudfront.calls(), 0);
    let line = function.logged(|line| line["message"] == "would be invalidated").await;
    assert_eq!(line["paths"], json!(["/", "/index.html"]));
    function.logged(|line| line["message"] == "dry run").await;
    let metrics = function.logged(|line| line["_aws"].is_object()).await;
    assert_eq!((&metrics["Changes"], &metrics["Paths"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn an_invocation_and_its_invalidations_are_logged() {
    let (_cloudfront, mut function) = one().await;
    let mut tagged = s3_record("a", "2");
    tagged["eventName"] = "ObjectTagging:Put".into();
    let event = json!({"Records": [s3_record("a%0A%1B[2J", "1"), tagged]});
    function.invoke_as("the-request", SECONDS(30), event.to_string()).await;
    let line = function.logged(|line| line["message"] == "done").await;
    assert_eq!((&line["level"], &line["requestId"]), (&json!("INFO"), &json!("the-request")));
    assert_eq!(
        (&line["messages"], &line["changes"], &line["billed_paths"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!(line["ignored"], json!({"event": 1}));
    let invalidation = function.logged(|line| line["message"] == "invalidated").await;
    assert_eq!((&invalidation["level"], &invalidation["requestId"]), (&json!("INFO"), &json!("the-request")));
    assert_eq!(invalidation["objects"], json!([{"bucket": "site", "key": "a\n\u{1b}[2J"}]));
    assert_eq!(invalidation["changes"], 1);
    assert_eq!(invalidation["distribution"], "E1EXAMPLE");
    assert_eq!(invalidation["id"], "I0000000000001");
    assert_eq!(invalidation["paths"], json!(["/a%0A%1B%5B2J"]));
    assert_eq!((&invalidation["path_count"], &invalidation["wildcard_count"]), (&json!(1), &json!(0)));
    function.logged(|line| line["_aws"].is_object()).await;
    assert_eq!(function.log().len(), 3);
}

#[tokio::test]
async fn metrics_are_in_the_embedded_format() {
    let (cloudfront, mut function) = one().await;
    let mut old = s3_record("old", "1");
    old["eventTime"] = "2026-01-01T00:00:00.000Z".into();
    let mut odd = s3_record("x~1", "3");
    odd["eventTime"] = "yesterday".into();
    let event = json!({"Records": [old, s3_record("new", "2"), odd]});
    function.invoke_as("the-request", SECONDS(30), event.to_string()).await;
    let line = function.logged(|line| line["_aws"].is_object()).await;
    let directive = &line["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(directive["Namespace"], "CloudFrontInvalidator");
    assert_eq!(directive["Dimensions"], json!([["FunctionName"]]));
    assert!(line["FunctionName"].as_str().is_some_and(|name| !name.is_empty()), "{line}");
    let named: Vec<&str> = directive["Metrics"]
        .as_array()
        .expect("metrics")
        .iter()
        .map(|metric| metric["Name"].as_str().expect("a name"))
        .collect();
    let always =
        ["Changes", "Ignored", "Invalidations", "Paths", "Wildcards", "BilledCents", "OldestChangeAge"];
    assert_eq!(named, always);
    assert!(named.iter().all(|name| line[name].is_number()), "{line}");
    assert_eq!((&line["Changes"], &line["Paths"], &line["Wildcards"]), (&json!(3), &json!(3), &json!(1)));
    assert_eq!((&line["Invalidations"], &line["BilledCents"]), (&json!(1), &json!(1.5)));
    let at = line["_aws"]["Timestamp"].as_u64().expect("a time");
    let begun = 1_767_225_600_000;
    assert_eq!(line["OldestChangeAge"].as_u64().map(|age| at - age), Some(begun));

    cloudfront.inject(None, refusal(403, "AccessDenied", "no"));
    function.invoke(s3("b", "1").to_string()).await;
    let line = function.logged(|line| line["Denied"] == 1).await;
    assert_eq!((&line["Failed"], &line["Busy"], &line["Paths"]), (&json!(1), &Value::Null, &json!(0)));
    for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().expect("metrics") {
        let known = metrics().any(|(name, unit)| metric == &json!({"Name": name, "Unit": unit}));
        assert!(known && line[metric["Name"].as_str().expect("a name")].is_number(), "{metric}");
    }
}

#[tokio::test]
async fn metrics_can_be_turned_off() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = Function::start(&cloudfront.endpoint_url(), &[("INVALIDATOR_METRICS", "false")]).await;
    function.invoke(s3("a", "1").to_string()).await;
    function.invoke(s3("b", "1").to_string()).await;
    function.logged(|line| line["message"] == "done").await;
    assert!(function.log().iter().all(|line| !line.contains("_aws")));
}

#[tokio::test]
async fn the_event_in_a_lambda_failure_record_is_read() {
    let (cloudfront, mut function) = one().await;
    let record = json!({
        "version": "1.0",
        "timestamp": "2026-11-22T14:00:01.037Z",
        "requestContext": {
            "requestId": "the-failed-one",
            "functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:f:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"paths": ["/a"]},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "", "errorType": "CloudFrontBusy"},
    });
    let batch =
        sqs([("one", record.to_string()), ("two", json!({"requestPayload": s3("b", "1")}).to_string())]);
    for _ in 0..2 {
        assert_eq!(function.invoke(batch.to_string()).await.handed_back(), [""; 0]);
    }
    let recorded = cloudfront.recorded();
    assert_eq!(recorded.len(), 1, "the second batch makes no new invalidation");
    assert_eq!(recorded[0].paths, ["/a", "/b"]);
}

#[tokio::test]
async fn an_unknown_event_is_purged_counted_and_logged_once() {
    let (cloudfront, mut function) = one().await;
    let mut record = s3_record("a", "1");
    record["eventName"] = "ObjectTeleported:Put".into();
    let event = json!({"Records": [record.clone(), record.clone()]}).to_string();
    for _ in 0..2 {
        let Answer::Response(answer) = function.invoke(event.clone()).await else { panic!("failed") };
        assert_eq!(answer["invalidations"][0]["paths"], json!(["/a"]));
    }
    let teleported = json!({
        "source": "aws.s3", "detail-type": "Object Teleported", "id": "1",
        "detail": {"bucket": {"name": "site"}, "object": {"key": "b"}},
    });
    assert!(matches!(function.invoke(teleported.to_string()).await, Answer::Response(_)));
    assert_eq!(sent(&cloudfront), [["/a"], ["/b"]]);
    function.logged(|line| line["UnknownEvents"] == 2).await;
    let warnings: Vec<Value> = function
        .log()
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &Value| line["level"] == "WARN")
        .collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert_eq!(warnings[0]["event"], "ObjectTeleported:Put");
    // An unknown event without an object returns to the queue.
    record["s3"]["object"] = json!({});
    let nameless = sqs([("m", json!({"Records": [record]}).to_string())]).to_string();
    assert_eq!(function.invoke(nameless).await.handed_back(), ["m"]);
}

#[tokio::test]
async fn a_cloudtrail_deletion_without_keys_purges_everything() {
    let (cloudfront, mut function) = one().await;
    let call = |name: &str, parameters: Value| {
        json!({
            "version": "0", "id": "c1", "detail-type": "AWS API Call via CloudTrail", "source": "aws.s3",
            "time": "2026-11-22T14:00:00Z",
            "detail": {"eventSource": "s3.amazonaws.com", "eventName": name, "requestParameters": parameters},
        })
    };
    let deleted = call("DeleteObjects", json!({"bucketName": "site", "delete": ""}));
    for _ in 0..2 {
        assert!(matches!(function.invoke(deleted.to_string()).await, Answer::Response(_)));
    }
    assert_eq!(sent(&cloudfront), [["/*"]]);
    let line = function.logged(|line| line["level"] == "WARN").await;
    assert_eq!(line["bucket"], "site");
    assert!(line["message"].as_str().expect("a message").contains("use S3's own events"));
    let warned = function.log().iter().filter(|line| line.contains("\"WARN\"")).count();
    assert_eq!(warned, 1);
}

#[tokio::test]
async fn a_wrong_configuration_ends_the_function_and_logs_every_problem() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let variables = [
        ("INVALIDATOR_DISTRIBUTIONS", ""),
        ("INVALIDATOR_ORIGIN_PATH", "/site"),
        ("INVALIDATOR_MAX_PATHS", "none"),
        ("INVALIDATOR_PATHS", "x"),
        ("AWS_SECRET_ACCESS_KEY", ""),
    ];
    let function = Function::start(&cloudfront.endpoint_url(), &variables).await;
    let (status, log) = function.ended().await;
    assert_eq!(status.code(), Some(1));
    let line: Value = serde_json::from_str(&log).expect("one line of JSON");
    assert_eq!((&line["level"], &line["error_type"]), (&json!("ERROR"), &json!("ConfigurationInvalid")));
    let problems: Vec<&str> =
        line["problems"].as_array().expect("problems").iter().filter_map(Value::as_str).collect();
    assert_eq!(problems.len(), 4, "{problems:#?}");
    let named =
        ["INVALIDATOR_PATHS", "INVALIDATOR_ORIGIN_PATH", "INVALIDATOR_MAX_PATHS", "AWS_SECRET_ACCESS_KEY"];
    for (problem, name) in problems.iter().zip(named) {
        assert!(problem.contains(name), "{problem}");
    }
}

#[tokio::test]
async fn no_secret_reaches_the_log_or_an_answer() {
    let token = "IQoJb3JpZ2luX2VjEBYaCXVzLWVhc3QtMSJHMEUCIQD/+a==&<\"";
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let variables =
        [("AWS_SESSION_TOKEN", token), ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY")];
    let mut function = Function::start(&cloudfront.endpoint_url(), &variables).await;
    let encoded = token.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
    let entities = token.bytes().fold(String::new(), |text, byte| format!("{text}&#x{byte:x};"));
    let quoted =
        refusal(403, "AccessDenied", &format!("{encoded} {entities} wJalrXUtnFEMI/K7MDENG+bP… {token}"));
    for fault in [Fault::WrongSignature, quoted] {
        // The function retries a signature error once, because a wrong clock may be the cause.
        cloudfront.inject(None, fault.clone());
        cloudfront.inject(None, fault);
        let answer = function.invoke(s3("a", "1").to_string()).await;
        assert_eq!(answer.error_type(), "CloudFrontDenied");
        assert!(answer.message().contains("[redacted]") && !answer.message().contains('\n'), "{answer:?}");
        let line = function.logged(|line| line["level"] == "ERROR").await;
        assert!(line["error"].as_str().expect("an error").contains("[redacted]"), "{line}");
        let everything = format!("{answer:?}{}", function.log().concat());
        for secret in ["IQoJb3", "wJalrX", "%49%51%6F", "&#x49;", "a==", "AKIAEXAMPLE"] {
            assert!(!everything.contains(secret), "{secret}: {everything}");
        }
    }
}

#[tokio::test]
async fn invisible_characters_are_escaped_in_the_log() {
    let (_cloudfront, mut function) = one().await;
    let odd = "a\u{9b}31m\u{7f}\u{202e}\u{61c}\u{feff}\u{2028}\u{e0041}";
    let messages = [
        ("m1", s3(odd, "1").to_string()),
        ("m2", json!({"source": odd}).to_string()),
        (odd, s3("b", "1").to_string().replace("ObjectCreated", &format!("Object{odd}"))),
    ];
    function.invoke(sqs(messages).to_string()).await;
    let line = function.logged(|line| line["message"] == "invalidated").await;
    assert_eq!(line["objects"][0]["key"], odd, "a JSON parser restores the key");
    function.logged(|line| line["_aws"].is_object()).await;
    let straight = function.invoke(s3(odd, "2").to_string()).await;
    assert!(matches!(straight, Answer::Response(_)));
    for line in function.log() {
        let unseen = |c: char| c.is_control() || "\u{202e}\u{61c}\u{feff}\u{2028}\u{e0041}".contains(c);
        assert!(!line.contains(unseen), "{line:?}");
    }
}

/// Checks that log filters can find errors: Lambda treats a line without a level as INFO.
#[tokio::test]
async fn every_line_has_a_timestamp_and_a_level() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let variables = [("INVALIDATOR_SITES_TTL", "300"), ("AWS_MAX_ATTEMPTS", "1")];
    let mut function = Function::start(&cloudfront.endpoint_url(), &variables).await;
    cloudfront.inject(None, refusal(403, "AccessDenied", "no"));
    function.invoke(sqs([("m", s3("a", "1").to_string()), ("n", "nonsense".to_owned())]).to_string()).await;
    function.logged(|line| line["_aws"].is_object()).await;
    let lines = function.log();
    assert!(lines.len() >= 5, "{lines:#?}");
    for line in lines {
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let timestamp = line["timestamp"].as_str().expect("a timestamp");
        let at = humantime::parse_rfc3339(timestamp).expect("a time by RFC 3339");
        assert!(at.elapsed().expect("one in the past") < Duration::from_mins(5));
        assert!(line["level"].is_string() || line["_aws"].is_object(), "{line}");
    }
    let retired = function.logged(|line| line["variable"] == "INVALIDATOR_SITES_TTL").await;
    assert_eq!(retired["level"], "WARN");
}

#[tokio::test]
async fn an_answer_about_another_invalidation_is_not_a_success() {
    let endpoint = answering(
        "<Invalidation xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Id>I1</Id>\
        <Status>Completed</Status><CreateTime>2026-11-22T00:00:00Z</CreateTime><InvalidationBatch><Paths>\
        <Quantity>1</Quantity><Items><Path>/a</Path></Items></Paths><CallerReference>another</CallerReference>\
        </InvalidationBatch></Invalidation>",
    );
    let mut function = Function::start(&endpoint, &[]).await;
    let answer = function.invoke(sqs([("m", s3("a", "1").to_string())]).to_string()).await;
    assert_eq!(answer.handed_back(), ["m"]);
    let line = function.logged(|line| line["level"] == "ERROR").await;
    assert!(line["error"].as_str().expect("an error").ends_with("has the reference \"another\""), "{line}");
}

/// Starts a server that answers every request with status 201 and this body, and returns its URL.
fn answering(body: &'static str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut vec![0; 65_536]);
            let length = body.len();
            let head =
                format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = write!(stream, "{head}{body}");
        }
    });
    endpoint
}
