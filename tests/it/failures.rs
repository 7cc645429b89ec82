//! CloudFront refuses requests, is busy, hangs or goes away, and no message is lost.

use std::time::Duration;

use cloudfront_invalidator::local::{Fault, Options, Server};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    function::refusal,
    support::{Answer, Function, cloudfront, narrowed, s3, sqs},
};

async fn start(cloudfront: &Server, variables: &[(&str, &str)]) -> Function {
    Function::start(&cloudfront.endpoint_url(), variables).await
}

fn batch(sequencer: &str) -> String {
    sqs([("m0", s3("a", sequencer).to_string()), ("m1", s3("b", sequencer).to_string())]).to_string()
}

#[tokio::test]
async fn each_cloudfront_error_has_its_error_type() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    for (number, (status, code, error_type)) in [
        (500, "InternalError", "CloudFrontBusy"),
        (503, "ServiceUnavailable", "CloudFrontBusy"),
        (403, "AccessDenied", "CloudFrontDenied"),
        (403, "ExpiredToken", "CloudFrontDenied"),
        (404, "NoSuchDistribution", "NoSuchDistribution"),
        (400, "MissingBody", "CloudFrontFailed"),
        (405, "MethodNotAllowed", "CloudFrontFailed"),
        (404, "Gone", "CloudFrontFailed"),
        (400, "RequestExpired", "CloudFrontDenied"),
        (400, "Throttling", "CloudFrontBusy"),
        (400, "SlowDown", "CloudFrontBusy"),
        (429, "NeverHeardOfIt", "CloudFrontBusy"),
    ]
    .into_iter()
    .enumerate()
    {
        let sequencer = number.to_string();
        cloudfront.inject(None, refusal(status, code, "because"));
        if status == 400 {
            // A process that was throttled waits before further calls.
            function = start(&cloudfront, &[("AWS_MAX_ATTEMPTS", "1")]).await;
        }
        let answer = function.invoke(batch(&sequencer)).await;
        // Throttled invalidations are put off. Those that may have had an effect keep their content.
        let is_narrowed = error_type == "CloudFrontBusy";
        let left: &[&str] = if is_narrowed { &[] } else { &["m0", "m1"] };
        assert_eq!(answer.handed_back(), left, "{code}");
        assert_eq!(cloudfront.sent().len(), usize::from(is_narrowed), "{code}");

        cloudfront.inject(None, refusal(status, code, "because"));
        let answer = function.invoke(s3("a", &sequencer).to_string()).await;
        assert_eq!(answer.error_type(), error_type, "{code}");
        assert_eq!(answer.message(), format!("E1EXAMPLE: {code} (HTTP {status}): because"));

        // The queue delivers the changes again, and this time it succeeds.
        let again = if is_narrowed { narrowed(&cloudfront) } else { batch(&sequencer) };
        assert_eq!(function.invoke(again).await.handed_back(), [""; 0]);
        assert_eq!(cloudfront.recorded().len(), number + 1);
    }
}

#[tokio::test]
async fn other_messages_about_a_caller_reference_do_not_count_as_success() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    for (number, complaint) in [
        "The caller reference is too long.",
        "A path is wrong: /a caller reference that was used for a previous invalidation batch",
        "Your request contains a caller reference that was used for a previous invalidation batch for the same \
         distributions.",
    ]
    .into_iter()
    .enumerate()
    {
        cloudfront.inject(None, refusal(400, "InvalidArgument", complaint));
        assert_eq!(function.invoke(batch(&number.to_string())).await.handed_back(), [""; 0]);
        assert_eq!(cloudfront.recorded().len(), 2 * (number + 1), "sent in parts");
    }
}

#[tokio::test]
async fn log_lines_and_errors_are_bounded_for_any_event() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    let long = "x".repeat(300_000);
    for event in [
        json!({"paths": vec!["a**"; 20_000]}),
        json!({"source": long}),
        json!({"paths": ["/a"], &long: 1}),
        json!({"Records": [{"eventSource": long}]}),
        json!({"Type": format!("{long}Confirmation")}),
        json!({"Records": vec![json!({"eventSource": "aws:s3"}); 5_000]}),
        sqs((0..5_000).map(|_| ("m", "x".to_owned()))),
    ] {
        let logged = function.log().len();
        let answer = function.invoke(event.to_string()).await;
        if let Answer::Error { message, .. } = answer {
            assert!(message.len() < 10_000, "{} bytes", message.len());
        }
        while function.log().len() < logged + 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(function.log().iter().all(|line| line.len() < 10_000));
    }
}

#[tokio::test]
async fn only_transient_errors_are_retried() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    for fault in [
        refusal(503, "ServiceUnavailable", "internal"),
        Fault::Close,
        refusal(400, "TooManyInvalidationsInProgress", "exceed"),
        refusal(429, "NeverHeardOfIt", "slow down"),
        refusal(400, "Throttling", "Rate exceeded"),
    ] {
        let calls = cloudfront.calls();
        let sequencer = calls.to_string();
        cloudfront.inject(None, fault);
        assert_eq!(function.invoke(batch(&sequencer)).await.handed_back(), [""; 0]);
        assert_eq!(cloudfront.calls(), calls + 2);
    }
    assert_eq!(cloudfront.recorded().len(), 5);
    // Other errors are not retried.
    let calls = cloudfront.calls();
    cloudfront.inject(None, refusal(403, "AccessDenied", "No."));
    assert_eq!(function.invoke(batch("denied")).await.handed_back(), ["m0", "m1"]);
    assert_eq!(cloudfront.calls(), calls + 1);
}

#[tokio::test]
async fn a_lost_answer_does_not_cause_a_second_invalidation() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    cloudfront.inject(None, Fault::LoseAnswer);
    assert_eq!(function.invoke(batch("1")).await.handed_back(), [""; 0]);
    assert_eq!((cloudfront.calls(), cloudfront.recorded().len()), (2, 1));

    // The same holds if the function does not retry, and the queue delivers the changes again.
    let mut function = start(&cloudfront, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    cloudfront.inject(None, Fault::LoseAnswer);
    assert_eq!(function.invoke(batch("2")).await.handed_back(), [""; 0]);
    assert_eq!(function.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    assert_eq!((cloudfront.calls(), cloudfront.recorded().len()), (4, 2));

    // Or if the changes cannot be put into the queue, so that the batch returns.
    cloudfront.inject(None, Fault::LoseAnswer);
    cloudfront.inject_send(refusal(403, "AccessDenied", "no"));
    assert_eq!(function.invoke(batch("3")).await.handed_back(), ["m0", "m1"]);
    assert_eq!(function.invoke(batch("3")).await.handed_back(), [""; 0]);
    assert_eq!((cloudfront.calls(), cloudfront.recorded().len()), (6, 3));
}

#[tokio::test]
async fn a_hang_leaves_only_the_messages_of_its_distribution() {
    let cloudfront = cloudfront(&["E1EXAMPLE", "E2"]).await;
    let mut function = start(&cloudfront, &[("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE,E2")]).await;
    cloudfront.inject(Some("E2"), Fault::Hang);
    let hung = sqs([
        ("m0", json!({"paths": ["/a"], "distribution": "E1EXAMPLE"}).to_string()),
        ("m1", json!({"paths": ["/b"], "distribution": "E2"}).to_string()),
    ]);
    // The function stops one second before Lambda would end it: here after half a second.
    let answer = function.invoke_within(Duration::from_millis(1_500), hung.to_string()).await;
    assert_eq!(answer.handed_back(), [""; 0]);
    assert!(cloudfront.sent()[0].body.contains("/b") && !cloudfront.sent()[0].body.contains("/a"));
    let line = function.logged(|line| line["level"] == "ERROR").await;
    assert_eq!((&line["distribution"], &line["error_type"]), (&json!("E2"), &json!("CloudFrontUnreachable")));
    // It is ready for the next batch.
    assert_eq!(function.invoke(batch("1")).await.handed_back(), [""; 0]);
}

#[tokio::test]
async fn every_message_returns_to_the_queue_if_no_time_is_left() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    let answer = function.invoke_within(Duration::from_millis(900), batch("1")).await;
    assert_eq!(answer.handed_back(), ["m0", "m1"]);
}

#[tokio::test]
async fn no_message_is_lost_if_cloudfront_dies_during_a_call() {
    let dying = cloudfront(&["E1EXAMPLE"]).await;
    let endpoint = dying.endpoint_url();
    let mut function = start(&dying, &[("AWS_MAX_ATTEMPTS", "2")]).await;
    assert_eq!(function.invoke(batch("1")).await.handed_back(), [""; 0]);

    // CloudFront receives the call, does not answer it, and goes away.
    dying.inject(None, Fault::Hang);
    let killer = async {
        while dying.calls() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(dying);
    };
    let second = batch("2");
    let (answer, ()) = tokio::join!(function.invoke(second), killer);
    assert_eq!(answer.handed_back(), ["m0", "m1"]);
    let answer = function.invoke(s3("c", "3").to_string()).await;
    assert_eq!(answer.error_type(), "CloudFrontUnreachable");
    assert!(answer.message().contains("onnect"), "the cause is missing: {}", answer.message());
    drop(function);

    // CloudFront is back when the queue delivers the messages again.
    let alive = cloudfront(&["E1EXAMPLE"]).await;
    assert_ne!(alive.endpoint_url(), endpoint);
    let mut function = start(&alive, &[]).await;
    assert_eq!(function.invoke(batch("2")).await.handed_back(), [""; 0]);
    assert_eq!(alive.recorded()[0].paths, ["/a", "/b"]);
}

/// The status arrives and the rest of the answer does not, so the outcome is unknown.
#[tokio::test]
async fn a_truncated_answer_is_retried() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let real = cloudfront.endpoint_url().replace("http://", "");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let between = format!("http://{}", listener.local_addr().expect("its address"));
    let cut = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request).await.expect("a request");
        let half =
            b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n<?xml version=\"1.0\"?><Invalidation>";
        stream.write_all(half).await.expect("half an answer");
        drop(stream);
        let (mut stream, _) = listener.accept().await.expect("another connection");
        let mut real = TcpStream::connect(real).await.expect("CloudFront");
        let _ = copy_bidirectional(&mut stream, &mut real).await;
    };
    let mut function = Function::start(&between, &[]).await;
    let event = s3("a", "1").to_string();
    let answer = tokio::select! {
        answer = function.invoke(event) => answer,
        () = cut => panic!("the function ended"),
    };
    assert!(matches!(answer, Answer::Response(_)), "{answer:?}");
    assert_eq!(cloudfront.recorded()[0].paths, ["/a"]);
}

/// The first answer contains CloudFront's time, so the second attempt is signed with the right one.
#[tokio::test]
async fn a_wrong_clock_is_retried_once() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let skewed = |code: &str| Fault::Refuse {
        status: 403,
        code: code.to_owned(),
        message: "Signature expired".to_owned(),
    };
    let mut function = start(&cloudfront, &[]).await;
    cloudfront.inject(None, skewed("RequestExpired"));
    assert_eq!(function.invoke(batch("1")).await.handed_back(), [""; 0]);
    // The function retries only once.
    cloudfront.inject(None, skewed("RequestTimeTooSkewed"));
    cloudfront.inject(None, skewed("SignatureDoesNotMatch"));
    let answer = function.invoke(s3("c", "2").to_string()).await;
    assert_eq!(answer.error_type(), "CloudFrontDenied");
    assert_eq!(cloudfront.created(), 1);
}

/// Returns a batch of puts that make 15 wildcards, in three directories. `number` tells repeated
/// puts of the same keys apart.
fn many(number: usize) -> String {
    let keys = (0..15).map(|n| format!("{}/{n}/x~", ["a", "b", "c"][n % 3]));
    let bodies: Vec<(String, String)> =
        keys.map(|key| (format!("m-{key}"), s3(&key, &number.to_string()).to_string())).collect();
    sqs(bodies.iter().map(|(id, body)| (&**id, body.clone()))).to_string()
}

/// Returns the numbers of paths and wildcards in each invalidation, oldest first.
fn sizes(cloudfront: &Server) -> Vec<(usize, usize)> {
    let size = |paths: &[String]| (paths.len(), paths.iter().filter(|path| path.ends_with('*')).count());
    cloudfront.recorded().iter().map(|one| size(&one.paths)).collect()
}

#[tokio::test]
async fn a_request_that_never_fits_the_quota_is_folded() {
    // An earlier invalidation keeps one wildcard in progress for the whole test.
    for (quota, expected) in [(15, 7), (6, 3), (3, 1)] {
        let options = Options {
            completes_after: Duration::from_hours(1),
            wildcards_in_progress: quota,
            ..Options::default()
        };
        let cloudfront = Server::start(options).await.expect("a CloudFront");
        let mut function = start(&cloudfront, &[]).await;
        assert_eq!(
            function.invoke(sqs([("m", s3("x~", "1").to_string())]).to_string()).await.handed_back(),
            [""; 0]
        );
        let calls = cloudfront.calls();
        let answer = function.invoke_within(Duration::from_secs(3), many(1)).await;
        assert_eq!(answer.handed_back(), [""; 0], "{quota}");
        let (paths, wildcards) = sizes(&cloudfront)[1];
        assert!(wildcards <= expected && paths <= 15, "{quota}: {paths}, {wildcards}");
        let line = function.logged(|line| line["folded_from"].is_number()).await;
        assert_eq!((&line["level"], &line["path_count"]), (&json!("WARN"), &json!(paths)), "{line}");
        let why = line["folded_because"].as_str().expect("a reason");
        assert!(why.starts_with("TooManyInvalidationsInProgress"), "{why}");
        let metrics = function.logged(|line| line["Wildcards"] == wildcards).await;
        assert_eq!(metrics["Paths"], paths);
        // The function retries the full request for half of the two seconds that it has, and then
        // sends at most three smaller ones.
        let made = cloudfront.calls() - calls;
        assert!((3..=12).contains(&made), "{made} calls");
    }
}

#[tokio::test]
async fn a_quota_that_stays_full_costs_three_more_calls() {
    let options =
        Options { completes_after: Duration::from_hours(1), wildcards_in_progress: 1, ..Options::default() };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let mut function = start(&cloudfront, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    assert_eq!(
        function.invoke(sqs([("m", s3("x~", "1").to_string())]).to_string()).await.handed_back(),
        [""; 0]
    );
    let calls = cloudfront.calls();
    assert_eq!(function.invoke(many(1)).await.handed_back().len(), 15);
    assert_eq!(cloudfront.calls() - calls, 4);
    let line = function.logged(|line| line["level"] == "ERROR").await;
    assert_eq!(line["error_type"], "CloudFrontBusy");
}

#[tokio::test]
async fn a_full_quota_is_retried_before_items_are_folded() {
    let options = Options {
        completes_after: Duration::from_millis(700),
        wildcards_in_progress: 15,
        ..Options::default()
    };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let mut function = start(&cloudfront, &[]).await;
    for number in 0..2 {
        assert_eq!(function.invoke(many(number)).await.handed_back(), [""; 0]);
    }
    let sizes = sizes(&cloudfront);
    assert_eq!(sizes, [(15, 15); 2], "the quota was free again in time");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_folded() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    for _ in 0..2 {
        cloudfront.inject(None, refusal(413, "BatchTooLarge", "Invalidation batch specified is too large."));
    }
    assert_eq!(function.invoke(many(1)).await.handed_back(), [""; 0]);
    assert_eq!(sizes(&cloudfront), [(3, 3)]);
    assert_eq!(cloudfront.calls(), 3);
}

#[tokio::test]
async fn an_existing_invalidation_is_not_billed_again() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[]).await;
    assert_eq!(function.invoke(batch("1")).await.handed_back(), [""; 0]);
    function.logged(|line| line["message"] == "invalidated" && line["existed"].is_null()).await;
    // The function recognizes an existing invalidation only if it is more than two seconds old.
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    assert_eq!(function.invoke(batch("1")).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["message"] == "existed already").await;
    assert_eq!((&line["existed"], &line["id"]), (&json!(true), &json!("I0000000000001")));
    let metrics = function.logged(|line| line["Paths"] == 0).await;
    assert_eq!(metrics["Invalidations"], 0);
    assert_eq!(cloudfront.created(), 1);

    // If only the answer was lost, this invocation created the invalidation and reports its cost.
    cloudfront.inject(None, Fault::LoseAnswer);
    let Answer::Response(answer) = function.invoke(s3("c", "2").to_string()).await else { panic!("failed") };
    assert_eq!((&answer["billed_paths"], &answer["invalidations"][0]["existed"]), (&json!(1), &json!(null)));
    assert_eq!(cloudfront.created(), 2);
}

#[tokio::test]
async fn messages_return_to_the_queue_while_a_quota_is_full() {
    let options = Options {
        completes_after: Duration::from_millis(300),
        wildcards_in_progress: 1,
        ..Options::default()
    };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let mut function = start(&cloudfront, &[("AWS_MAX_ATTEMPTS", "1")]).await;
    let wildcard = |sequencer: &str| sqs([("m", s3("a~", sequencer).to_string())]).to_string();
    assert_eq!(function.invoke(wildcard("1")).await.handed_back(), [""; 0]);
    let answer = function.invoke(s3("a~", "2").to_string()).await;
    assert_eq!(answer.error_type(), "CloudFrontBusy");
    assert!(answer.message().contains("TooManyInvalidationsInProgress (HTTP 400)"), "{}", answer.message());
    let mut tries = 0;
    while !function.invoke(wildcard("2")).await.handed_back().is_empty() {
        tries += 1;
        assert!(tries < 1_000, "the quota never becomes free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cloudfront.recorded().len(), 2);
}

#[tokio::test]
async fn every_odd_key_is_sent_as_a_path_that_cloudfront_accepts() {
    let cloudfront = cloudfront(&["E1EXAMPLE"]).await;
    let mut function = start(&cloudfront, &[("INVALIDATOR_MAX_PATHS", "3000")]).await;
    let odd: Vec<String> = (1..=255_u8).map(|byte| format!("k{byte}/{}", char::from(byte))).collect();
    let bodies: Vec<(String, String)> =
        odd.iter().map(|key| (format!("m-{key}"), s3(key, "1").to_string())).collect();
    let event = sqs(bodies.iter().map(|(id, body)| (&**id, body.clone())));
    assert_eq!(function.invoke(event.to_string()).await.handed_back(), [""; 0]);
    // A space and a plus can each be written in two ways.
    assert_eq!(cloudfront.recorded()[0].paths.len(), 257);
    assert!(matches!(
        function.invoke(json!({"paths": ["/ü ~[x]", "#ok"]}).to_string()).await,
        Answer::Response(_)
    ));
}
