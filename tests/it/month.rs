//! The month's allowance in the real function: what it asks, sends, puts off, logs and counts.

use std::time::{Duration, SystemTime};

use cloudfront_invalidator::{
    local::{Fault, Options, Server},
    now,
};
use humantime::format_rfc3339_millis;
use serde_json::{Value, json};

use crate::{
    function::refusal,
    support::{Function, narrowed, s3, sqs},
};

const DISTRIBUTIONS: [&str; 2] = ["E1", "E2"];

async fn cloudfront() -> Server {
    let distributions = DISTRIBUTIONS.map(str::to_owned).to_vec();
    let options = Options { distributions, completes_after: Duration::ZERO, ..Options::default() };
    Server::start(options).await.expect("a CloudFront")
}

/// Starts the function with an allowance of paths.
async fn start(cloudfront: &Server, ids: &str, allowance: &str) -> Function {
    let variables = [("INVALIDATOR_DISTRIBUTIONS", ids), ("INVALIDATOR_MONTHLY_PATHS", allowance)];
    Function::start(&cloudfront.endpoint_url(), &variables).await
}

/// Logs paths that some function sent this month.
fn log(cloudfront: &Server, paths: usize) {
    let metrics = [json!({"Name": "Paths", "Unit": "Count"})];
    let group = json!({"Namespace": "CloudFrontInvalidator", "Dimensions": [[]], "Metrics": metrics});
    let line = json!({"_aws": {"Timestamp": now(), "CloudWatchMetrics": [group]}, "Paths": paths});
    cloudfront.log(&line.to_string());
}

/// Builds the batch of changes of these keys, whose messages and sequencers begin with `batch`.
fn batch(batch: &str, keys: impl IntoIterator<Item = String>) -> String {
    batch_of(SystemTime::now(), batch, keys)
}

/// Builds a batch of changes at this time.
fn batch_of(time: SystemTime, batch: &str, keys: impl IntoIterator<Item = String>) -> String {
    let message = |(number, key): (usize, String)| {
        let mut event = s3(&key, &format!("{batch}{number:06X}"));
        event["Records"][0]["eventTime"] = format_rfc3339_millis(time).to_string().into();
        (format!("{batch}{number}"), event.to_string())
    };
    let messages: Vec<(String, String)> = keys.into_iter().enumerate().map(message).collect();
    sqs(messages.iter().map(|(id, body)| (&**id, body.clone()))).to_string()
}

/// Returns so many keys in directories of ten.
fn keys(many: usize) -> impl Iterator<Item = String> {
    (0..many).map(|number| format!("{}/{number}.html", number / 10))
}

fn asked(cloudfront: &Server) -> usize {
    cloudfront.reads().iter().filter(|operation| **operation == "GetMetricData").count()
}

/// Returns the number of paths of each invalidation, oldest first.
fn sent(cloudfront: &Server) -> Vec<(String, usize)> {
    let count = |one: cloudfront_invalidator::local::Recorded| (one.distribution, one.paths.len());
    cloudfront.recorded().into_iter().map(count).collect()
}

#[tokio::test]
async fn the_function_asks_once_and_says_what_is_used() {
    let cloudfront = cloudfront().await;
    log(&cloudfront, 340);
    let mut function = start(&cloudfront, "E1", "1000").await;
    // Neither the start nor a batch that needs nothing asks.
    let ignored = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectTagging:Put",
        "s3": {"bucket": {"name": "site"}, "object": {"key": "a"}}}]});
    function.invoke(ignored.to_string()).await;
    function.logged(|line| line["message"] == "nothing to invalidate").await;
    assert_eq!(asked(&cloudfront), 0);
    for number in ["1", "2"] {
        assert_eq!(function.invoke(batch(number, keys(1))).await.handed_back(), [""; 0]);
    }
    let line = function.logged(|line| line["paths_this_month"] == 342).await;
    assert_eq!((&line["message"], &line["paths_per_month"]), (&json!("done"), &json!(1_000)));
    let line = function.logged(|line| line["PathsThisMonth"] == 342).await;
    assert!(line["PathsForecast"].as_u64() >= Some(342), "{line}");
    assert_eq!(asked(&cloudfront), 1);
    assert!(function.log().iter().all(|line| !line.contains("\"WARN\"")), "{:?}", function.log());
}

#[tokio::test]
async fn without_a_limit_nothing_is_asked_and_nothing_waits() {
    let cloudfront = cloudfront().await;
    log(&cloudfront, 100_000);
    let mut function = start(&cloudfront, "E1", "0").await;
    for number in ["1", "2"] {
        assert_eq!(function.invoke(batch(number, keys(100))).await.handed_back(), [""; 0]);
    }
    assert_eq!((asked(&cloudfront), cloudfront.sent().len()), (0, 0));
    assert_eq!(sent(&cloudfront), [("E1".to_owned(), 100), ("E1".to_owned(), 100)]);
    assert!(function.log().iter().all(|line| !line.contains("paths_this_month")));
}

#[tokio::test]
async fn changes_wait_once_few_paths_are_left_and_are_purged_together() {
    let cloudfront = cloudfront().await;
    log(&cloudfront, 1_000);
    let mut function = start(&cloudfront, "E1", "1000").await;
    assert_eq!(function.invoke(batch("1", keys(30))).await.handed_back(), [""; 0]);
    let warning = function.logged(|line| line["level"] == "WARN").await;
    assert_eq!((&warning["paths_this_month"], &warning["paths_per_month"]), (&json!(1_001), &json!(1_000)));
    assert!(
        warning["message"].as_str().is_some_and(|text| text.contains("raise PathsPerMonth")),
        "{warning}"
    );
    // The next changes wait for ten minutes.
    assert_eq!(function.invoke(batch("2", keys(3))).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["error_type"] == "SavingPaths").await;
    assert_eq!(line["message"], "put off to save the month's paths");
    let waiting = cloudfront.sent();
    assert_eq!(waiting.len(), 1);
    assert!((590..=600).contains(&waiting[0].delay.as_secs()), "{:?}", waiting[0].delay);
    assert_eq!(sent(&cloudfront), [("E1".to_owned(), 1)]);
    // Another environment, which has purged nothing yet, purges everything: changes have waited.
    let mut other = start(&cloudfront, "E1", "1000").await;
    let waited = narrowed(&cloudfront);
    assert_eq!(other.invoke(waited.clone()).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.recorded()[1].paths, ["/*"]);
    // What came before that needs no purge of its own.
    let earlier = SystemTime::now() - Duration::from_mins(1);
    assert_eq!(other.invoke(batch_of(earlier, "3", keys(3))).await.handed_back(), [""; 0]);
    other.logged(|line| line["message"] == "existed already").await;
    assert_eq!((sent(&cloudfront).len(), cloudfront.sent().len()), (2, 0));
    // Nothing failed, and CloudFront is not busy.
    let is_counted = |line: &String| line.contains("\"Busy\"") || line.contains("\"Failed\":1");
    assert!(!function.log().iter().any(is_counted), "{:?}", function.log());
}

#[tokio::test]
async fn people_and_events_without_a_queue_do_not_wait() {
    let cloudfront = cloudfront().await;
    log(&cloudfront, 5_000);
    let mut function = start(&cloudfront, "E1", "1000").await;
    let paths: Vec<String> = (0..40).map(|number| format!("/p{number}")).collect();
    for _ in 0..2 {
        function.invoke(json!({"paths": paths}).to_string()).await;
        function.invoke(s3("a/b.html", "1").to_string()).await;
    }
    let counts: Vec<usize> = sent(&cloudfront).into_iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [40, 1, 40]);
    assert_eq!(cloudfront.sent(), []);
    function.logged(|line| line["PathsThisMonth"] == 5_081).await;
}

#[tokio::test]
async fn a_purge_goes_ahead_if_cloudwatch_does_not_answer() {
    let cloudfront = cloudfront().await;
    cloudfront.set_metrics_denied(true);
    let mut function = start(&cloudfront, "E1", "1000").await;
    assert_eq!(function.invoke(batch("1", keys(1))).await.handed_back(), [""; 0]);
    let line = function.logged(|line| line["level"] == "WARN" && line["error"].is_string()).await;
    assert!(line["message"].as_str().is_some_and(|text| text.contains("assuming a steady rate")), "{line}");
    assert_eq!(sent(&cloudfront), [("E1".to_owned(), 1)]);
    // A guess is no metric.
    let line = function.logged(|line| line["Paths"] == 1).await;
    assert_eq!(line["PathsThisMonth"], Value::Null);
}

#[tokio::test]
async fn an_uncertain_invalidation_is_planned_with_the_budget_that_it_had() {
    let cloudfront = cloudfront().await;
    let mut function = start(&cloudfront, "E1,E2", "30000").await;
    cloudfront.inject(Some("E2"), Fault::LoseAnswer);
    cloudfront.inject(Some("E2"), refusal(403, "AccessDenied", "no"));
    assert_eq!(function.invoke(batch("1", keys(300))).await.handed_back(), [""; 0]);
    let first = sent(&cloudfront);
    assert!(first.len() == 2 && first[0].1 == first[1].1 && first[0].1 > 20, "{first:?}");
    // By the time the message comes back, the month is nearly used up.
    log(&cloudfront, 29_000);
    let mut other = start(&cloudfront, "E1,E2", "30000").await;
    assert_eq!(other.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    assert_eq!(sent(&cloudfront), first);
}

#[tokio::test]
async fn a_request_in_a_batch_of_changes_neither_waits_nor_is_folded() {
    let cloudfront = cloudfront().await;
    log(&cloudfront, 1_000);
    let mut function = start(&cloudfront, "E1", "1000").await;
    let earlier = SystemTime::now() - Duration::from_mins(1);
    assert_eq!(function.invoke(batch_of(earlier, "1", keys(3))).await.handed_back(), [""; 0]);
    // The purge covers this change, but not the request.
    let mut event: Value = serde_json::from_str(&batch_of(earlier, "2", keys(1))).expect("JSON");
    let paths: Vec<String> = (0..20).map(|number| format!("/x/{number}")).collect();
    let request = sqs([("r", json!({"paths": paths}).to_string())])["Records"][0].clone();
    event["Records"].as_array_mut().expect("records").push(request);
    assert_eq!(function.invoke(event.to_string()).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.sent(), []);
    assert_eq!(sent(&cloudfront), [("E1".to_owned(), 1), ("E1".to_owned(), 21)]);
    // It starts no pause of its own, nor ends one.
    assert_eq!(function.invoke(batch("3", keys(1))).await.handed_back(), [""; 0]);
    assert_eq!((sent(&cloudfront).len(), cloudfront.take_sent().len()), (2, 1));
}

#[tokio::test]
async fn messages_of_one_distribution_count_once() {
    let cloudfront = cloudfront().await;
    let mut function = start(&cloudfront, "E1", "20000").await;
    let mut messages = Vec::new();
    for number in 0..30 {
        let content = json!({"share": 1, "changes": [{"bucket": "site", "event": "ObjectCreated:Put",
            "effect": "content", "objects": [[format!("{number}.html"), number.to_string(), now()]]}]});
        let body =
            json!({"narrowed": {"version": 1, "distributions": ["E1"], "since": now(), "content": content}});
        messages.push((format!("m{number}"), body.to_string()));
    }
    let event = sqs(messages.iter().map(|(id, body)| (&**id, body.clone()))).to_string();
    assert_eq!(function.invoke(event).await.handed_back(), [""; 0]);
    function.logged(|line| line["message"] == "done" || line["message"] == "not everything done").await;
    assert!(function.log().iter().all(|line| !line.contains("too few paths")), "{:?}", function.log());
    assert!(cloudfront.recorded().iter().all(|one| one.paths != ["/*"]));
}

#[tokio::test]
async fn what_may_exist_is_not_widened() {
    let cloudfront = cloudfront().await;
    log(&cloudfront, 1_000);
    let mut function = start(&cloudfront, "E1,E2", "1000").await;
    cloudfront.inject(Some("E2"), Fault::LoseAnswer);
    cloudfront.inject(Some("E2"), refusal(403, "AccessDenied", "no"));
    assert_eq!(function.invoke(batch("1", ["docs/a.html".to_owned()])).await.handed_back(), [""; 0]);
    let first = sent(&cloudfront);
    let mut other = start(&cloudfront, "E1,E2", "1000").await;
    assert_eq!(other.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    assert_eq!(sent(&cloudfront), first);
}

#[tokio::test]
async fn a_change_without_a_time_is_not_taken_for_purged_and_waits_only_once() {
    let cloudfront = cloudfront().await;
    log(&cloudfront, 1_000);
    let mut function = start(&cloudfront, "E1", "1000").await;
    assert_eq!(
        function.invoke(batch("1", ["docs/a.html", "x.html"].map(str::to_owned))).await.handed_back(),
        [""; 0]
    );
    assert_eq!(cloudfront.recorded()[0].paths, ["/*"]);
    // The message may contain changes that are newer than its time, because it united several.
    let waiting = |minutes: u64| {
        let since = now() - minutes * 60_000;
        let content = json!({"share": 1, "changes": [{"bucket": "site", "event": "ObjectCreated:Put",
            "effect": "content", "objects": [["docs/b.html", minutes.to_string(), null]]}]});
        let body =
            json!({"narrowed": {"version": 1, "distributions": ["E1"], "since": since, "content": content}});
        sqs([("m", body.to_string())]).to_string()
    };
    assert_eq!(function.invoke(waiting(1)).await.handed_back(), [""; 0]);
    assert_eq!((sent(&cloudfront).len(), cloudfront.take_sent().len()), (1, 1));
    assert_eq!(function.invoke(waiting(11)).await.handed_back(), [""; 0]);
    assert_eq!((sent(&cloudfront).len(), cloudfront.sent().len()), (2, 0));
}
