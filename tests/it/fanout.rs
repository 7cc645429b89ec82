//! Runs the real function with 60 distributions and a CloudFront that throttles, while answers get lost and
//! the function is killed. One distribution fails for good. Checks that nothing is lost, and that nothing is
//! billed twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use cloudfront_invalidator::local::{Fault, Options, Rate, Server};
use serde_json::Value;

use crate::{
    chaos::Dice,
    function::refusal,
    support::{Answer, Function, s3, sqs},
};

/// Number of receives after which a message goes to the dead-letter queue.
const MOST_RECEIVES: usize = 20;

const DISTRIBUTIONS: usize = 60;

/// Number of changes, each in a message of its own.
const CHANGES: usize = 24;

/// A message in the simulated queue.
struct Message {
    id: String,
    body: String,
    receives: usize,
}

impl Message {
    /// Returns whether it is only for the distribution that does not exist.
    fn is_hopeless(&self) -> bool {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["narrowed"]["distributions"] == serde_json::json!([id(DISTRIBUTIONS - 1)])
    }
}

fn id(number: usize) -> String {
    format!("E{number:03}")
}

fn key(number: usize) -> String {
    format!("page-{number}.html")
}

/// Returns the event with which the queue delivers these messages.
fn event(messages: &[Message]) -> String {
    let mut event = sqs(messages.iter().map(|message| (&*message.id, message.body.clone())));
    for (record, message) in event["Records"].as_array_mut().expect("records").iter_mut().zip(messages) {
        record["attributes"]["ApproximateReceiveCount"] = (message.receives + 1).to_string().into();
    }
    event.to_string()
}

#[tokio::test]
async fn many_distributions_lose_nothing_and_are_billed_once() {
    let ids: Vec<String> = (0..DISTRIBUTIONS).map(id).collect();
    let options = Options {
        distributions: ids[..DISTRIBUTIONS - 1].to_vec(),
        rate: Some(Rate { per_second: 20.0, burst: 15 }),
        ..Options::default()
    };
    let cloudfront = Server::start(options).await.expect("a CloudFront");
    let variables = [("INVALIDATOR_DISTRIBUTIONS", &*ids.join(",")), ("INVALIDATOR_MAX_PATHS", "3000")];
    let mut dice = Dice(7);
    let mut function = None;
    let (mut waiting, mut dead): (Vec<Message>, Vec<Message>) = (Vec::new(), Vec::new());
    let (mut sent, mut invocations) = (0, 0);
    // The keys that a crash may have made the function purge twice: those in messages that came for all
    // distributions.
    let mut crashed = BTreeSet::new();
    while sent < CHANGES || !waiting.is_empty() {
        let wave = if sent < CHANGES { 1 + dice.of(5) } else { 0 };
        for number in sent..(sent + wave).min(CHANGES) {
            let body = s3(&key(number), &format!("{number:X}")).to_string();
            waiting.push(Message { id: format!("m{number}"), body, receives: 0 });
        }
        sent = (sent + wave).min(CHANGES);
        for index in (1..waiting.len()).rev() {
            waiting.swap(index, dice.of(index + 1));
        }
        let mut batch = waiting.split_off(waiting.len() - (1 + dice.of(waiting.len())));
        // The delays of narrowed messages, roughly: one call for each.
        tokio::time::sleep(Duration::from_millis(50) * u32::try_from(batch.len().min(15)).expect("a number"))
            .await;
        // Faults wait until their distribution is called, so do not let them pile up.
        if sent < CHANGES || dice.happens(200) {
            let faults = [Fault::LoseAnswer, Fault::Close, refusal(503, "ServiceUnavailable", "x")];
            cloudfront.inject(Some(&id(dice.of(DISTRIBUTIONS - 1))), faults[dice.of(3)].clone());
        }
        let endpoint = cloudfront.endpoint_url();
        let mut process: Function = match function.take() {
            Some(process) => process,
            None => Function::start(&endpoint, &variables).await,
        };
        invocations += 1;
        if dice.happens(80) {
            process.invoke_and_kill(Duration::from_millis(dice.roll() % 60), event(&batch)).await;
            let narrowed = !cloudfront.sent().is_empty();
            let is_own = |message: &&Message| narrowed || !message.body.contains("\"narrowed\"");
            let bodies: String = batch.iter().filter(is_own).map(|message| &*message.body).collect();
            crashed.extend((0..CHANGES).map(key).filter(|key| bodies.contains(&**key)));
            for message in &mut batch {
                message.receives += 1;
            }
        } else {
            let begun = Instant::now();
            let answer = process.invoke_within(Duration::from_millis(2_500), event(&batch)).await;
            // A process that was throttled waits before each call, so go on with a new one.
            function = (begun.elapsed() < Duration::from_millis(500) && dice.happens(500)).then_some(process);
            let Answer::Response(_) = &answer else { panic!("failed: {answer:?}") };
            let failed: BTreeSet<String> = answer.handed_back().into_iter().map(str::to_owned).collect();
            batch.retain(|message| failed.contains(&message.id));
            for message in &mut batch {
                message.receives += 1;
            }
        }
        let (done, again): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|one| one.receives >= MOST_RECEIVES);
        dead.extend(done);
        waiting.extend(again);
        for (number, one) in cloudfront.take_sent().into_iter().enumerate() {
            waiting.push(Message { id: format!("n{invocations}-{number}"), body: one.body, receives: 0 });
        }
        assert!(invocations < 2_000, "{} messages are left", waiting.len());
    }

    let mut times: BTreeMap<(String, String), usize> = BTreeMap::new();
    for one in cloudfront.recorded() {
        for path in one.paths {
            *times.entry((one.distribution.clone(), path)).or_default() += 1;
        }
    }
    for distribution in &ids[..DISTRIBUTIONS - 1] {
        for key in (0..CHANGES).map(key) {
            let often = times.get(&(distribution.clone(), format!("/{key}"))).copied().unwrap_or_default();
            assert!(often >= 1, "{key} is lost in {distribution}");
            assert!(often == 1 || crashed.contains(&key), "{key} was purged {often} times in {distribution}");
        }
    }
    assert!(crashed.len() < CHANGES, "all keys were in a crash: {crashed:?}");
    assert!(dead.iter().all(Message::is_hopeless), "only one distribution fails for good");
    let lost: String = dead.iter().map(|message| &*message.body).collect();
    assert!((0..CHANGES).map(key).all(|key| lost.contains(&key)), "its changes are dead letters");
    println!(
        "{CHANGES} changes for {DISTRIBUTIONS} distributions: {invocations} invocations, {} calls, {} of them throttled, \
         {} keys in a crash",
        cloudfront.calls(),
        cloudfront.throttled(),
        crashed.len()
    );
}
