//! The month's allowance of paths: what a month costs at most, and how long changes wait once it is used up.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, UNIX_EPOCH},
};

use cloudfront_invalidator::{
    Client, Config, Invalidator, Settings,
    local::{Options, Recorded, Server},
    now,
    path::Item,
    report::{Invocation, Report},
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{chaos::Dice, support::s3};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// The longest that metrics take from the log to CloudWatch.
const LAG: u64 = 2 * MINUTE;

/// The time after which every environment knows what was sent: that of a reading, and the lag.
const KNOWN_AFTER: u64 = LAG + 5 * MINUTE;

/// The pause of a distribution once the allowance is nearly used up.
const PAUSE: u64 = 10 * MINUTE;

/// The time after which a message returns.
const INVISIBLE: u64 = 190 * SECOND;

const DISTRIBUTIONS: [&str; 2] = ["E1EXAMPLE", "E2EXAMPLE"];

/// A message in the queue.
#[derive(Clone)]
struct Message {
    id: String,
    body: String,
    receives: u32,
}

/// An invalidation that was created.
struct Purge {
    at: u64,
    environment: usize,
    created: Recorded,
}

/// A deployment with a simulated clock: its environments, its queue, CloudFront and CloudWatch.
struct Deployment {
    server: Server,
    allowance: usize,
    /// The time, in milliseconds since 1970: the one of the server's stopped clock.
    now: u64,
    /// The beginning of the month.
    begin: u64,
    environments: Vec<(usize, Invalidator)>,
    /// The number of environments that were ever started.
    started: usize,
    /// The messages by the time at which they become visible.
    queue: BTreeMap<u64, Vec<Message>>,
    /// The log lines that have not reached CloudWatch yet, by the time at which they do.
    lines: BTreeMap<u64, Vec<String>>,
    purges: Vec<Purge>,
    /// The time of each change by its key.
    changes: BTreeMap<String, u64>,
}

impl Deployment {
    async fn start(allowance: usize) -> Self {
        let distributions = DISTRIBUTIONS.map(str::to_owned).to_vec();
        let completes_after = Duration::ZERO;
        let options = Options { distributions, completes_after, ..Options::default() };
        let server = Server::start(options).await.expect("a server");
        let begin = next_month(now());
        server.stop_clock();
        server.advance(Duration::from_millis(begin - now()));
        let mut deployment = Self {
            server,
            allowance,
            now: begin,
            begin,
            environments: Vec::new(),
            started: 0,
            queue: BTreeMap::new(),
            lines: BTreeMap::new(),
            purges: Vec::new(),
            changes: BTreeMap::new(),
        };
        deployment.cold_start(0);
        deployment.cold_start(1);
        deployment
    }

    /// Replaces one of the two environments.
    fn cold_start(&mut self, which: usize) {
        let ids = DISTRIBUTIONS.join(",");
        let allowance = self.allowance.to_string();
        let variables = [("INVALIDATOR_DISTRIBUTIONS", &*ids), ("INVALIDATOR_MONTHLY_PATHS", &*allowance)];
        let config = Config::read(variables).expect("a configuration");
        let client = Client::new(Settings::local(&self.server.endpoint_url()));
        let environment = (self.started, Invalidator::new(config, Some(client)));
        self.started += 1;
        match self.environments.get_mut(which) {
            Some(old) => *old = environment,
            None => self.environments.push(environment),
        }
    }

    /// Puts a change into the queue.
    fn change(&mut self, key: &str) {
        self.changes.insert(key.to_owned(), self.now);
        let time = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(self.now));
        let mut event = s3(key, &format!("{:016X}", self.changes.len()));
        event["Records"][0]["eventTime"] = json!(time.to_string());
        let message =
            Message { id: format!("m{}", self.changes.len()), body: event.to_string(), receives: 0 };
        self.queue.entry(self.now).or_default().push(message);
    }

    /// Delivers a batch of the messages that are visible to an environment. Returns its report. `None` if there is no
    /// message.
    async fn deliver(&mut self, which: usize, most: usize) -> Option<Report> {
        let mut batch: Vec<Message> = Vec::new();
        let visible: Vec<u64> = self.queue.range(..=self.now).map(|(at, _)| *at).collect();
        for at in visible {
            let mut messages = self.queue.remove(&at).expect("messages");
            let rest = messages.split_off(messages.len().min(most - batch.len()));
            batch.extend(messages);
            if !rest.is_empty() {
                self.queue.insert(at, rest);
            }
        }
        if batch.is_empty() {
            return None;
        }
        let arrived: Vec<u64> = self.lines.range(..=self.now).map(|(at, _)| *at).collect();
        for line in arrived.iter().flat_map(|at| self.lines.remove(at).expect("lines")) {
            self.server.log(&line);
        }
        for message in &mut batch {
            message.receives += 1;
        }
        let (environment, invalidator) = &self.environments[which];
        let deadline = Instant::now() + Duration::from_secs(20);
        let report = invalidator.run_at(self.now, event(&batch), "i", deadline).await;
        let invocation = Invocation { request_id: "i", function_name: "f" };
        self.lines.entry(self.now + LAG - SECOND).or_default().push(report.metrics(&invocation));
        let answer = serde_json::to_value(report.answer().expect("an answer")).expect("JSON");
        let failed = answer["batchItemFailures"].as_array().expect("a list");
        let is_failed = |message: &&Message| failed.iter().any(|one| one["itemIdentifier"] == *message.id);
        let returned = batch.iter().filter(is_failed).cloned();
        self.queue.entry(self.now + INVISIBLE).or_default().extend(returned);
        for sent in self.server.take_sent() {
            let at = self.now + u64::try_from(sent.delay.as_millis()).expect("a delay");
            let message = Message { id: sent.id, body: sent.body, receives: 0 };
            self.queue.entry(at).or_default().push(message);
        }
        for created in self.server.recorded().split_off(self.purges.len()) {
            self.purges.push(Purge { at: self.now, environment: *environment, created });
        }
        Some(report)
    }

    /// Lets time pass, and delivers every message that becomes visible until then.
    async fn pass(&mut self, until: u64, dice: &mut Dice) {
        while let Some((at, _)) = self.queue.iter().find(|(_, messages)| !messages.is_empty())
            && *at <= until
        {
            self.advance((*at).max(self.now));
            let most = 1 + dice.of(100);
            self.deliver(dice.of(2), most).await;
        }
        self.advance(until);
    }

    fn advance(&mut self, to: u64) {
        self.server.advance(Duration::from_millis(to - self.now));
        self.now = to;
    }

    /// Checks that nothing but one path at a time was sent once the allowance was known to be used up, and that the
    /// distributions had their pauses.
    fn check_bill(&self) {
        let mut paths = 0;
        let mut used_up = None;
        let mut last: BTreeMap<(usize, &str), u64> = BTreeMap::new();
        for Purge { at, environment, created } in &self.purges {
            paths += created.paths.len();
            if used_up.is_some_and(|used_up| *at > used_up + KNOWN_AFTER) {
                assert_eq!(created.paths.len(), 1, "{:?}", created.paths);
                let before = last.insert((*environment, &created.distribution), *at);
                let pause = before.map_or(u64::MAX, |before| at - before);
                assert!(pause >= PAUSE - 5 * SECOND, "{} after {pause} ms", created.distribution);
            }
            if paths >= self.allowance {
                used_up.get_or_insert(*at);
            }
        }
    }

    /// Checks that every change was purged in every distribution, and soon after it was first delivered.
    fn check_freshness(&self) {
        for (key, changed) in &self.changes {
            let item: Item = Item::from_key(key.as_bytes());
            for distribution in DISTRIBUTIONS {
                let covers = |path: &String| path.parse::<Item>().is_ok_and(|path| path.covers(&item));
                let purge = self.purges.iter().find(|purge| {
                    let Purge { at, created, .. } = purge;
                    *at >= *changed
                        && created.distribution == distribution
                        && created.paths.iter().any(covers)
                });
                let purge = purge.unwrap_or_else(|| panic!("{key} is stale in {distribution}"));
                let waited = (purge.at - changed) / SECOND;
                assert!(waited * SECOND <= 3 * PAUSE + MINUTE, "{key} waited {waited} s in {distribution}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Checks law 12 with random changes, batches, redeliveries and cold starts, in two environments.
    #[test]
    fn a_month_costs_its_allowance_and_nothing_stays_stale(seed: u64, allowance in select(vec![5_usize, 40, 200])) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut dice = Dice(seed);
            let mut deployment = Deployment::start(allowance).await;
            let mut old = Vec::new();
            for number in 0..150 {
                for _ in 0..=[0, 0, 3, 40][dice.of(4)] {
                    let key = format!("{}/{}/{number}-{}.html", dice.of(3), dice.of(9), dice.roll());
                    deployment.change(&key);
                }
                old.extend(deployment.queue.values().flatten().filter(|_| dice.happens(50)).take(3).cloned());
                if dice.happens(100) && !old.is_empty() {
                    deployment.queue.entry(deployment.now).or_default().push(old.swap_remove(dice.of(old.len())));
                }
                if dice.happens(30) {
                    deployment.cold_start(dice.of(2));
                }
                let longest = [30 * SECOND, 5 * MINUTE, 20 * MINUTE, DAY / 2][dice.of(4)];
                let until = deployment.now + dice.roll() % longest;
                deployment.pass(until, &mut dice).await;
            }
            let until = deployment.now + DAY;
            deployment.pass(until, &mut dice).await;
            assert!(until < deployment.begin + 28 * DAY, "the month is over");
            assert!(deployment.queue.values().all(Vec::is_empty), "messages are left");
            deployment.check_bill();
            deployment.check_freshness();
        });
    }
}

/// Returns the beginning of the month after a time. Both are milliseconds since 1970.
fn next_month(time: u64) -> u64 {
    let month = |time: u64| {
        humantime::format_rfc3339(UNIX_EPOCH + Duration::from_millis(time)).to_string()[..7].to_owned()
    };
    let mut next = time - time % DAY;
    while month(next) == month(time) {
        next += DAY;
    }
    next
}

/// Builds the event for a batch.
fn event(batch: &[Message]) -> String {
    let record = |message: &Message| {
        json!({
            "messageId": message.id,
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": message.receives.to_string(), "SentTimestamp": "1795358400000"},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:changes",
            "awsRegion": "eu-central-1",
        })
    };
    json!({"Records": batch.iter().map(record).collect::<Vec<Value>>()}).to_string()
}
