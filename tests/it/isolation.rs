//! A path that CloudFront refuses does not keep the others from being purged.

use std::{collections::BTreeSet, time::Duration};

use cloudfront_invalidator::local::{Fault, Options, Server};
use serde_json::json;

use crate::{
    function::refusal,
    support::{Answer, Function, narrowed, s3, sqs},
};

/// Starts a CloudFront that refuses every path that contains one of these texts, and a function.
async fn refusing(refuses: &[&str], variables: &[(&str, &str)]) -> (Server, Function) {
    let refuses = refuses.iter().map(|text| (*text).to_owned()).collect();
    let cloudfront = Server::start(Options { refuses, ..Options::default() }).await.expect("a CloudFront");
    let function = Function::start(&cloudfront.endpoint_url(), variables).await;
    (cloudfront, function)
}

/// Returns a batch of puts, one message for each key. The message id is the key.
fn batch(keys: &[String]) -> String {
    let bodies: Vec<(&str, String)> = keys.iter().map(|key| (&**key, s3(key, "1").to_string())).collect();
    sqs(bodies).to_string()
}

fn purged(cloudfront: &Server) -> BTreeSet<String> {
    cloudfront.recorded().into_iter().flat_map(|recorded| recorded.paths).collect()
}

fn keys(many: usize) -> Vec<String> {
    (0..many).map(|number| format!("docs/page-{number:03}.html")).collect()
}

#[tokio::test]
async fn a_refused_path_is_widened_and_the_others_are_sent() {
    let (cloudfront, mut function) = refusing(&["@"], &[]).await;
    let mut keys = keys(140);
    keys.push("img/logo@2x.png".to_owned());
    keys.push("img/b(1).png".to_owned());
    assert_eq!(function.invoke(batch(&keys)).await.handed_back(), [""; 0]);
    let mut expected: BTreeSet<String> = keys.iter().map(|key| format!("/{key}")).collect();
    expected.remove("/img/logo@2x.png");
    expected.insert("/img/logo*".to_owned());
    assert_eq!(purged(&cloudfront), expected);
    // One call for all paths, one for the plain ones, one for the two odd ones, one for each of
    // these, and one for the wildcard.
    assert_eq!(cloudfront.calls(), 6);
    let line = function.logged(|line| line["level"] == "ERROR").await;
    assert_eq!(line["error_type"], "PathRejected");
    assert_eq!((&line["path"], &line["instead"]), (&json!("/img/logo@2x.png"), &json!("/img/logo*")));
    assert_eq!(line["objects"], json!([{"bucket": "site", "key": "img/logo@2x.png"}]));
    let line = function.logged(|line| line["message"] == "invalidated").await;
    assert_eq!(line["ids"].as_array().map(Vec::len), Some(3));
    let metrics = function.logged(|line| line["_aws"].is_object()).await;
    assert_eq!((&metrics["Paths"], &metrics["Invalidations"]), (&json!(142), &json!(3)));
    assert_eq!((&metrics["RejectedPaths"], &metrics["Wildcards"]), (&json!(1), &json!(1)));

    // The same batch makes the same calls again, and nothing is purged or billed twice.
    let before = cloudfront.recorded().len();
    assert_eq!(function.invoke(batch(&keys)).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.recorded().len(), before);
}

#[tokio::test]
async fn a_refused_plain_path_is_found_with_few_calls() {
    let (cloudfront, mut function) = refusing(&["page-077"], &[]).await;
    let keys = keys(150);
    assert_eq!(function.invoke(batch(&keys)).await.handed_back(), [""; 0]);
    assert!(cloudfront.calls() <= 20, "{} calls", cloudfront.calls());
    let purged = purged(&cloudfront);
    assert!(purged.contains("/docs/*") && !purged.contains("/docs/page-077.html"));
    assert_eq!(purged.len(), 150);
}

#[tokio::test]
async fn only_messages_whose_paths_stay_refused_return_to_the_queue() {
    let (cloudfront, mut function) = refusing(&["/bad"], &[]).await;
    let keys = ["a.css", "bad/x+y.js", "b.css", "index.html"].map(str::to_owned);
    assert_eq!(function.invoke(batch(&keys)).await.handed_back(), ["bad/x+y.js"]);
    let purged = purged(&cloudfront);
    assert_eq!(purged.into_iter().collect::<Vec<_>>(), ["/", "/a.css", "/b.css", "/index.html"]);
    let line = function.logged(|line| line["level"] == "ERROR" && line["path"].is_string()).await;
    assert_eq!((&line["path"], &line["instead"]), (&json!("/bad/x%2By.js"), &json!(null)));

    // Without a queue, the refused path fails the invocation.
    let answer = function.invoke(s3("bad/z", "1").to_string()).await;
    assert_eq!(answer.error_type(), "PathRejected");
    // No wildcard covers a tag, so nothing can replace a refused one.
    let (_cloudfront, mut function) = refusing(&["#"], &[]).await;
    let tags = sqs([("t", json!({"paths": ["#v1"]}).to_string()), ("m", s3("a", "1").to_string())]);
    assert_eq!(function.invoke(tags.to_string()).await.handed_back(), ["t"]);
}

#[tokio::test]
async fn many_refused_paths_take_a_bounded_number_of_calls() {
    let (cloudfront, mut function) = refusing(&["e"], &[]).await;
    let keys: Vec<String> = keys(120);
    assert_eq!(function.invoke(batch(&keys)).await.handed_back(), [""; 0]);
    assert_eq!(cloudfront.calls(), 1 + 48 + 1);
    assert_eq!(purged(&cloudfront).into_iter().collect::<Vec<_>>(), ["/docs/*"]);
    let line = function.logged(|line| line["level"] == "ERROR").await;
    assert_eq!(line["instead"], "/docs/*");
}

#[tokio::test]
async fn failures_during_the_search_lose_no_message() {
    for fault in [refusal(403, "AccessDenied", "No."), Fault::Close, refusal(503, "ServiceUnavailable", "x")]
    {
        let (cloudfront, mut function) = refusing(&["@"], &[("AWS_MAX_ATTEMPTS", "1")]).await;
        let keys = ["a", "b", "c@d"].map(str::to_owned);
        cloudfront.inject(None, refusal(400, "InvalidArgument", "one or more invalid invalidation paths."));
        cloudfront.inject(None, fault.clone());
        let answer = function.invoke(batch(&keys)).await;
        let is_certain = cloudfront.sent().is_empty();
        let left: &[&str] = if is_certain { &["a", "b", "c@d"] } else { &[] };
        assert_eq!(answer.handed_back(), left, "{fault:?}");
        let again = if is_certain { batch(&keys) } else { narrowed(&cloudfront) };
        assert_eq!(function.invoke(again).await.handed_back(), [""; 0], "{fault:?}");
        assert_eq!(purged(&cloudfront).into_iter().collect::<Vec<_>>(), ["/a", "/b", "/c*"]);
    }
    // The time runs out during the search.
    let (cloudfront, mut function) = refusing(&["@"], &[]).await;
    cloudfront.inject(None, refusal(400, "InvalidArgument", "one or more invalid invalidation paths."));
    cloudfront.inject(None, Fault::Hang);
    let keys = ["a", "c@d"].map(str::to_owned);
    let answer = function.invoke_within(Duration::from_millis(1_500), batch(&keys)).await;
    assert_eq!(answer.handed_back(), [""; 0]);
    assert_eq!(function.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront).into_iter().collect::<Vec<_>>(), ["/a", "/c*"]);
}

#[tokio::test]
async fn manual_events_can_be_turned_off() {
    let (cloudfront, mut function) = refusing(&[], &[("INVALIDATOR_MANUAL", "false")]).await;
    let answer = function.invoke(json!({"paths": ["/*"]}).to_string()).await;
    assert_eq!(answer.error_type(), "EventUnreadable");
    assert!(answer.message().contains("manual events are turned off"));
    let mixed = sqs([("t", json!({"paths": ["/*"]}).to_string()), ("m", s3("a", "1").to_string())]);
    assert_eq!(function.invoke(mixed.to_string()).await.handed_back(), ["t"]);
    assert_eq!(purged(&cloudfront).into_iter().collect::<Vec<_>>(), ["/a"]);
    assert!(matches!(function.invoke(s3("b", "1").to_string()).await, Answer::Response(_)));
}
