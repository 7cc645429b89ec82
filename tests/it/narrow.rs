//! The rest of a batch goes back into the queue for the distributions that are left, and nothing is
//! billed twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use cloudfront_invalidator::local::{Fault, Options, Rate, Server};
use serde_json::{Value, json};

use crate::{
    function::refusal,
    support::{Answer, Function, cloudfront, narrowed, s3, sqs},
};

/// The largest message that SQS accepts.
const MOST_BYTES: usize = 1024 * 1024;

/// The ids of so many distributions.
fn ids(many: usize) -> Vec<String> {
    (0..many).map(|number| format!("E{number:03}")).collect()
}

/// Starts a CloudFront with these distributions that accepts 15 calls. Its clock stands still.
async fn throttling(ids: &[String]) -> Server {
    let rate = Some(Rate::CLOUDFRONT);
    let options = Options { distributions: ids.to_vec(), rate, speed: 0, ..Options::default() };
    Server::start(options).await.expect("a CloudFront")
}

async fn start(cloudfront: &Server, ids: &str) -> Function {
    let variables = [("INVALIDATOR_DISTRIBUTIONS", ids), ("AWS_MAX_ATTEMPTS", "1")];
    Function::start(&cloudfront.endpoint_url(), &variables).await
}

fn put(id: &str, key: &str, sequencer: &str) -> (String, String) {
    (id.to_owned(), s3(key, sequencer).to_string())
}

fn batch(messages: &[(String, String)]) -> String {
    sqs(messages.iter().map(|(id, body)| (&**id, body.clone()))).to_string()
}

/// Returns the invalidations: the distribution, and the paths.
fn purged(cloudfront: &Server) -> Vec<String> {
    let told = |one: cloudfront_invalidator::local::Recorded| {
        format!("{} {}", one.distribution, one.paths.join(" "))
    };
    let mut purged: Vec<String> = cloudfront.recorded().into_iter().map(told).collect();
    purged.sort();
    purged
}

fn denied() -> Fault {
    refusal(403, "AccessDenied", "no")
}

#[tokio::test]
async fn a_distribution_that_fails_does_not_affect_the_others() {
    let cloudfront = cloudfront(&["E1", "E2"]).await;
    let mut function = start(&cloudfront, "E1,E2").await;
    cloudfront.inject(Some("E2"), denied());
    let first = batch(&[put("m0", "a", "1"), put("m1", "b", "2")]);
    assert_eq!(function.invoke(first).await.handed_back(), [""; 0]);
    let sent = cloudfront.take_sent();
    assert_eq!(sent.len(), 1);
    let body: Value = serde_json::from_str(&sent[0].body).expect("JSON");
    assert_eq!(body["narrowed"]["distributions"], json!(["E2"]));
    assert_eq!((sent[0].queue.as_str(), sent[0].delay), ("changes", Duration::from_mins(1)));

    // It fails again, in the company of another change, and returns to the queue as it is.
    cloudfront.inject(Some("E2"), denied());
    let left = (sent[0].id.clone(), sent[0].body.clone());
    let second = batch(&[put("m2", "c", "3"), left.clone()]);
    assert_eq!(function.invoke(second).await.handed_back(), [&*left.0]);
    // The other change may not have been tried after that.
    let others = cloudfront.take_sent().into_iter().map(|other| (other.id, other.body));
    let last = batch(&others.chain([left]).collect::<Vec<_>>());
    assert_eq!(function.invoke(last).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront), ["E1 /a /b", "E1 /c", "E2 /a /b", "E2 /c"]);
    assert_eq!(cloudfront.sent(), []);
}

#[tokio::test]
async fn a_lost_answer_is_not_billed_twice_in_any_company() {
    let cloudfront = cloudfront(&["E1", "E2"]).await;
    let mut function = start(&cloudfront, "E1,E2").await;
    cloudfront.inject(Some("E2"), Fault::LoseAnswer);
    let first = batch(&[put("m0", "a", "1"), put("m1", "b", "2")]);
    assert_eq!(function.invoke(first).await.handed_back(), [""; 0]);
    // Another process gets what is left together with other changes, and its answer is lost, too.
    let left = &cloudfront.take_sent()[0];
    let left = (left.id.clone(), left.body.clone());
    let company = batch(&[put("m2", "a", "3"), left.clone()]);
    cloudfront.inject(Some("E2"), Fault::LoseAnswer);
    let mut other = start(&cloudfront, "E1,E2").await;
    assert_eq!(other.invoke(company).await.handed_back(), [&*left.0]);
    // The message arrives twice, and then once more.
    let twice = batch(&[left.clone(), (format!("{}-again", left.0), left.1.clone()), put("m3", "d", "4")]);
    assert_eq!(function.invoke(twice).await.handed_back(), [""; 0]);
    assert_eq!(function.invoke(batch(&[left])).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront), ["E1 /a", "E1 /a /b", "E1 /d", "E2 /a", "E2 /a /b", "E2 /d"]);
}

#[tokio::test]
async fn the_messages_return_if_the_queue_does_not_take_others_in_their_place() {
    let faults = [denied(), refusal(503, "ServiceUnavailable", "x"), Fault::Close, Fault::Hang];
    for fault in faults {
        let cloudfront = cloudfront(&["E1", "E2"]).await;
        let mut function = start(&cloudfront, "E1,E2").await;
        cloudfront.inject(Some("E2"), denied());
        (0..3).for_each(|_| cloudfront.inject_send(fault.clone()));
        let event = batch(&[put("m0", "a", "1")]);
        let answer = function.invoke_within(Duration::from_secs(3), event).await;
        assert_eq!(answer.handed_back(), ["m0"], "{fault:?}");
        let line = function.logged(|line| line["replaced"] == 0 && line["error"].is_string()).await;
        assert_eq!(line["level"], "ERROR", "{fault:?}");
    }
    // A failure that does not last is no problem.
    let cloudfront = cloudfront(&["E1", "E2"]).await;
    let mut function = start(&cloudfront, "E1,E2").await;
    for fault in [refusal(503, "ServiceUnavailable", "x"), Fault::Close, Fault::LoseAnswer] {
        cloudfront.inject(Some("E2"), denied());
        cloudfront.inject_send(fault.clone());
        let event = batch(&[put("m0", "a", "1")]);
        assert_eq!(function.invoke(event).await.handed_back(), [""; 0], "{fault:?}");
    }
}

#[tokio::test]
async fn only_the_messages_in_whose_place_others_are_do_not_return() {
    let cloudfront = cloudfront(&["E1", "E2", "E3"]).await;
    let mut function = start(&cloudfront, "E1,E2,E3").await;
    let request = |id: &str, path: &str, distribution: &str| {
        (id.to_owned(), json!({"paths": [path], "distribution": distribution}).to_string())
    };
    for id in ["E2", "E3"] {
        cloudfront.inject(Some(id), Fault::Close);
    }
    cloudfront.fail_entry(1);
    (0..2).for_each(|_| cloudfront.fail_entry(0));
    let event = batch(&[request("m1", "/a", "E1"), request("m2", "/b", "E2"), request("m3", "/c", "E3")]);
    assert_eq!(function.invoke(event).await.handed_back(), ["m3"]);
    assert_eq!(function.invoke(narrowed(&cloudfront)).await.handed_back(), [""; 0]);
    assert_eq!(purged(&cloudfront), ["E1 /a", "E2 /b"]);
}

#[tokio::test]
async fn throttled_distributions_get_messages_that_come_when_it_is_their_turn() {
    let ids = ids(60);
    let cloudfront = throttling(&ids).await;
    let mut function =
        Function::start(&cloudfront.endpoint_url(), &[("INVALIDATOR_DISTRIBUTIONS", &*ids.join(","))]).await;
    let event = batch(&[put("m0", "a", "1")]);
    let answer = function.invoke_within(Duration::from_secs(3), event).await;
    assert_eq!(answer.handed_back(), [""; 0]);
    assert_eq!(cloudfront.created(), 15);
    assert!(cloudfront.calls() <= 15 + 8, "{} calls", cloudfront.calls());
    let sent = cloudfront.take_sent();
    let delays: Vec<u64> = sent.iter().map(|message| message.delay.as_secs()).collect();
    assert_eq!(delays.len(), 45);
    assert!(delays.is_sorted() && delays.windows(2).all(|pair| pair[1] - pair[0] <= 4), "{delays:?}");
    assert!((1..=4).contains(&delays[0]) && (80..=180).contains(&delays[44]), "{delays:?}");
    let line = function.logged(|line| line["replaced"] == 1 && line["written"] == 45).await;
    assert_eq!(line["level"], "INFO");
    let expected = line["expected_seconds"].as_u64().expect("a time");
    assert!(expected <= delays[44] && expected + 1 >= delays[44], "{expected}, {delays:?}");
    function.logged(|line| line["Narrowed"] == 45 && line["OldestWaiting"].is_number()).await;
    assert!(function.log().iter().all(|line| !line.contains("\"ERROR\"")));

    // They are still throttled: they are put off again. Together with other changes for the same
    // distribution, they become one message.
    let mut other = start(&cloudfront, &ids.join(",")).await;
    let names = |body: &str| serde_json::from_str::<Value>(body).expect("JSON")["narrowed"].clone();
    let mut messages: Vec<(String, String)> =
        sent.iter().map(|message| (message.id.clone(), message.body.clone())).collect();
    messages.push(put("m1", "b", "2"));
    let answer = other.invoke_within(Duration::from_secs(3), batch(&messages)).await;
    assert_eq!(answer.handed_back(), [""; 0]);
    let again = cloudfront.take_sent();
    assert_eq!(again.len(), 60);
    let mut changes: BTreeMap<usize, usize> = BTreeMap::new();
    for message in &again {
        let body = names(&message.body);
        assert_eq!(body["distributions"].as_array().map(Vec::len), Some(1));
        let objects = body["content"]["changes"][0]["objects"].as_array().expect("objects").len();
        *changes.entry(objects).or_default() += 1;
    }
    assert_eq!(changes, BTreeMap::from([(1, 15), (2, 45)]));
    assert_eq!(cloudfront.created(), 15);
}

#[tokio::test]
async fn messages_that_were_put_off_for_half_a_day_return_to_the_queue() {
    let ids = ids(16);
    let cloudfront = throttling(&ids).await;
    let mut function = start(&cloudfront, &ids.join(",")).await;
    assert_eq!(function.invoke(batch(&[put("m0", "a", "1")])).await.handed_back(), [""; 0]);
    let sent = cloudfront.take_sent().pop().expect("a message");
    let mut body: Value = serde_json::from_str(&sent.body).expect("JSON");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis();
    let hours = |hours: u128| u64::try_from(now - hours * 3_600_000).expect("a time");
    for (ago, returns) in [(11, false), (13, true)] {
        body["narrowed"]["since"] = hours(ago).into();
        let event = batch(&[("n".to_owned(), body.to_string())]);
        let answer = function.invoke_within(Duration::from_secs(2), event).await;
        assert_eq!(answer.handed_back(), if returns { &["n"][..] } else { &[] });
        assert_eq!(cloudfront.take_sent().len(), usize::from(!returns));
    }
    // So do those of which a part is done and another part keeps failing.
    let cloudfront = self::cloudfront(&["E1", "E2"]).await;
    let mut function = start(&cloudfront, "E1,E2").await;
    body["narrowed"]["distributions"] = json!(["E1", "E2"]);
    for (ago, returns) in [(11, false), (13, true)] {
        body["narrowed"]["since"] = hours(ago).into();
        cloudfront.inject(Some("E2"), denied());
        let answer = function.invoke(batch(&[("n".to_owned(), body.to_string())])).await;
        assert_eq!(answer.handed_back(), if returns { &["n"][..] } else { &[] });
        assert_eq!(cloudfront.take_sent().len(), usize::from(!returns));
    }
    assert_eq!(purged(&cloudfront), ["E1 /a"]);
}

#[tokio::test]
async fn a_batch_of_any_size_is_narrowed() {
    // Keys of a usual length, and the longest ones.
    for (many, length, most) in [(3_000, 60, 1), (2_500, 1_000, 4)] {
        let cloudfront = cloudfront(&["E1", "E2"]).await;
        let mut function = start(&cloudfront, "E1,E2").await;
        let key = |number: usize| format!("{number}-{}", "é".repeat((length - 6) / 2));
        let puts: Vec<(String, String)> = (0..many)
            .map(|number| put(&format!("m{number}"), &key(number), &format!("{number:X}")))
            .collect();
        cloudfront.inject(Some("E2"), denied());
        let answer = function.invoke(batch(&puts)).await;
        assert_eq!(answer.handed_back(), [""; 0]);
        let sent = cloudfront.take_sent();
        assert!((1..=most).contains(&sent.len()), "{} messages", sent.len());
        let mut found = BTreeSet::new();
        for message in &sent {
            assert!(message.body.len() <= MOST_BYTES);
            let body: Value = serde_json::from_str(&message.body).expect("JSON");
            let objects = body["narrowed"]["content"]["changes"][0]["objects"].as_array().expect("objects");
            found.extend(objects.iter().map(|object| object[0].as_str().expect("a key").to_owned()));
        }
        assert_eq!(found, (0..many).map(key).collect());
        let first = batch(&[(sent[0].id.clone(), sent[0].body.clone())]);
        assert_eq!(function.invoke(first).await.handed_back(), [""; 0]);
        let memory = function.peak_memory();
        assert!(memory <= 64 * 1024, "{memory} KiB");
    }
}

#[tokio::test]
async fn forged_messages_gain_nothing() {
    let cloudfront = cloudfront(&["E1", "E2"]).await;
    let mut function = start(&cloudfront, "E1").await;
    let good = json!({"narrowed": {"version": 1, "distributions": ["E1"], "since": 1, "content": {"share": 1,
        "changes": [{"bucket": "site", "event": "ObjectCreated:Put", "effect": "content",
            "objects": [["a", "1", null]]}]}}});
    let changed = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).expect("a field") = value;
        body.to_string()
    };
    let garbled = [
        changed("/narrowed/version", json!(2)),
        changed("/narrowed/distributions", json!([])),
        changed("/narrowed/distributions", json!(["../E1"])),
        changed("/narrowed/distributions", json!("E1")),
        changed("/narrowed/content", json!({})),
        changed("/narrowed/content", json!({"share": 1, "changes": [{"bucket": "site"}]})),
        changed("/narrowed/content", json!({"share": 1, "else": 1})),
        changed("/narrowed/content/changes/0/effect", json!("everything")),
        changed("/narrowed/content/changes/0/objects", json!(vec![json!(["a", "1", null]); 50_001])),
        changed("/narrowed", json!(["E1"])),
        changed("/narrowed", json!(null)),
        good.to_string().replace("\"narrowed\"", "\"paths\": [\"/*\"], \"narrowed\""),
        good.to_string()[..100].to_owned(),
    ];
    for (number, body) in garbled.into_iter().enumerate() {
        let message = (format!("m{number}"), body.clone());
        let answer = function.invoke(batch(&[message])).await;
        assert_eq!(answer.handed_back(), [format!("m{number}")], "{body}");
    }
    // A distribution that the configuration does not name, or that does not exist.
    for other in ["E2", "E9", "dt_1"] {
        let body = changed("/narrowed/distributions", json!([other]));
        assert_eq!(function.invoke(batch(&[("m".to_owned(), body)])).await.handed_back(), [""; 0], "{other}");
        let line = function.logged(|line| line["distributions"] == json!([other])).await;
        assert_eq!((&line["level"], &line["count"]), (&json!("INFO"), &json!(1)));
    }
    assert_eq!((cloudfront.calls(), cloudfront.sent().len()), (0, 0));
    assert_eq!(function.invoke(batch(&[("m".to_owned(), good.to_string())])).await.handed_back(), [""; 0]);
    // By hand, without a queue.
    let Answer::Response(_) = function.invoke(good.to_string()).await else { panic!("failed") };
    assert_eq!(purged(&cloudfront), ["E1 /a"]);
}

#[tokio::test]
async fn events_that_came_through_no_queue_are_not_narrowed() {
    let cloudfront = cloudfront(&["E1", "E2"]).await;
    let mut function = start(&cloudfront, "E1,E2").await;
    cloudfront.inject(Some("E2"), denied());
    assert_eq!(function.invoke(s3("a", "1").to_string()).await.error_type(), "CloudFrontDenied");
    // Nor are those whose queue is unknown.
    cloudfront.inject(Some("E2"), denied());
    let mut event = sqs([("m", s3("a", "2").to_string())]);
    event["Records"][0]["eventSourceARN"] = "arn:aws:kinesis:eu-central-1:123456789012:stream/x".into();
    assert_eq!(function.invoke(event.to_string()).await.handed_back(), ["m"]);
    assert_eq!(cloudfront.sent(), []);
}

#[tokio::test]
async fn only_the_changes_that_cloudfront_refuses_stay_in_a_narrowed_message() {
    let options = Options {
        distributions: ["E1", "E2"].map(str::to_owned).to_vec(),
        refuses: vec!["hopeless".to_owned()],
        ..Options::default()
    };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let mut function = start(&cloudfront, "E1,E2").await;
    // One answer is lost, so all changes stay together at first.
    cloudfront.inject(Some("E2"), Fault::LoseAnswer);
    let event = batch(&[put("m0", "a", "1"), put("m1", "hopeless/x", "2"), put("m2", "b", "3")]);
    assert_eq!(function.invoke(event).await.handed_back(), [""; 0]);
    let left = cloudfront.take_sent();
    let keys = |body: &str| {
        let body: Value = serde_json::from_str(body).expect("JSON");
        let objects = body["narrowed"]["content"]["changes"][0]["objects"].clone();
        objects.as_array().expect("objects").iter().map(|object| object[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(left.iter().map(|message| keys(&message.body).len()).collect::<Vec<_>>(), [1, 3]);
    let event = batch(&left.iter().map(|one| (one.id.clone(), one.body.clone())).collect::<Vec<_>>());
    assert_eq!(function.invoke(event).await.handed_back(), [&*left[0].id], "nothing in it is done");
    let left = cloudfront.take_sent();
    assert_eq!(keys(&left[0].body), ["hopeless/x"]);
    let event = batch(&[(left[0].id.clone(), left[0].body.clone())]);
    assert_eq!(function.invoke(event).await.handed_back(), [&*left[0].id]);
    let all: BTreeSet<String> = purged(&cloudfront).into_iter().collect();
    assert_eq!(all, ["E1 /a", "E1 /b", "E2 /a", "E2 /b"].map(str::to_owned).into());
    assert_eq!(cloudfront.created(), all.len(), "nothing is billed twice");
}
