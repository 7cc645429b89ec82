//! The law of skipping: once everything was purged after the given time, and when the queue is empty,
//! no viewer gets content or a header that differs from the bucket, except errors that heal within ten
//! seconds.
//!
//! Runs the real function on random histories of a bucket with versions, behind distributions that
//! cache. `make chaos SEED=7 CHANGES=100000` runs these tests with another seed and length.

mod changes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::{Duration, SystemTime},
};

use cloudfront_invalidator::local::{Account, Fault, Options, Server, StorageClass, Upload, Versioning};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    chaos::{Dice, number},
    function::refusal,
    support::{Answer, Function, S3Event, sqs},
    unchanged::distribution,
};

const BUCKET: &str = "site";

/// The ids of the distributions.
const IDS: [&str; 3] = ["E1", "E2", "E3"];

/// The keys. A distribution with the origin path `/next` serves those in that directory.
const KEYS: [&str; 10] =
    ["a", "a.html", "b/c", "d e", "f", "next/a", "next/a.html", "next/b/c", "next/d e", "next/g"];

/// The headers that viewers get and that may differ from the bucket: S3's time and version, and the
/// times that upload tools keep.
const EXEMPT: [&str; 4] = ["last-modified", "x-amz-version-id", "x-amz-meta-mtime", "x-amz-meta-s3cmd-attrs"];

/// The headers of the connection and of CloudFront.
const OF_CLOUDFRONT: [&str; 5] = ["age", "content-length", "date", "x-amz-cf-pop", "x-cache"];

/// The number of changes after which the queue is emptied and all viewers look.
const ROUND: usize = 25;

const DAY: Duration = Duration::from_hours(24);

/// The variant of the law to test.
#[derive(Clone, Copy)]
struct Law {
    /// Whether the function looks up the distributions. Their configurations then change.
    looks_up: bool,
    skips_new: bool,
}

/// A distribution as it is configured now.
struct Configured {
    id: &'static str,
    /// The beginning of the keys that it serves.
    directory: &'static str,
    /// The time in seconds for which it keeps the errors 403 and 404. `None` for CloudFront's default.
    error_ttl: Option<u16>,
    modified: SystemTime,
    /// The keys that changed since the function is responsible for what is cached of them: since the
    /// given time and the last change of the configuration.
    due: BTreeSet<&'static str>,
}

impl Configured {
    fn document(&self) -> Value {
        let error = |code: u16| json!({"ErrorCode": code, "ErrorCachingMinTTL": self.error_ttl});
        let errors: Vec<Value> = self.error_ttl.iter().flat_map(|_| [error(403), error(404)]).collect();
        let path = self.directory.strip_suffix('/').map(|directory| format!("/{directory}"));
        let changes = [
            ("/Origins/Items/0/OriginPath", json!(path.unwrap_or_default())),
            ("/CustomErrorResponses", json!({"Quantity": errors.len(), "Items": errors})),
            ("about/LastModifiedTime", json!(humantime::format_rfc3339_millis(self.modified).to_string())),
        ];
        distribution(self.id, &changes)
    }

    /// Returns the path under which viewers get an object. `None` if the distribution does not serve it.
    fn path(&self, key: &str) -> Option<String> {
        Some(format!("/{}", key.strip_prefix(self.directory)?.replace(' ', "%20")))
    }
}

/// A message in the simulated queue.
struct Message {
    id: String,
    body: Value,
    /// The simulated and the real time at which it was sent.
    sent: (SystemTime, SystemTime),
    /// The first delivery that may contain it.
    visible: usize,
    is_done: bool,
}

/// A version that an upload made, or the delete marker of a deletion.
struct Made {
    key: &'static str,
    id: String,
}

/// The content and the sorted headers that viewers get of an object. `None` for an error.
type Seen = Option<(String, Vec<(String, String)>)>;

struct Fresh {
    dice: Dice,
    law: Law,
    server: Server,
    since: SystemTime,
    distributions: Vec<Configured>,
    function: Option<Function>,
    /// The content and headers that were uploaded last.
    current: BTreeMap<&'static str, Upload>,
    made: Vec<Made>,
    /// Two keys that change, and are looked at, most often.
    often: [&'static str; 2],
    messages: Vec<Message>,
    deliveries: usize,
    changes: usize,
    /// Every step, for the message of a failure.
    history: Vec<String>,
    /// The numbers of changes that the function skipped.
    skipped: BTreeMap<&'static str, u64>,
}

impl Fresh {
    /// Starts with objects that were uploaded, cached, and changed again before the given time, of
    /// which no event ever arrived.
    async fn new(seed: u64, law: Law) -> Self {
        let options = Options {
            distributions: Vec::new(),
            completes_after: Duration::ZERO,
            errors_expire: true,
            ..Options::default()
        };
        let server = Server::start(options).await.expect("a CloudFront");
        server.stop_clock();
        server.set_versioning(BUCKET, Versioning::Enabled);
        server.set_lists_for_viewers(BUCKET, seed.is_multiple_of(2));
        let now = server.now();
        let configured = |id| Configured {
            id,
            directory: "",
            // Named distributions have to keep errors for less than a minute.
            error_ttl: if law.looks_up { None } else { Some(59) },
            modified: now - DAY,
            due: BTreeSet::new(),
        };
        let mut fresh = Self {
            dice: Dice(seed),
            law,
            since: now,
            server,
            distributions: IDS.into_iter().map(configured).collect(),
            function: None,
            current: BTreeMap::new(),
            made: Vec::new(),
            often: [KEYS[0], KEYS[5]],
            messages: Vec::new(),
            deliveries: 0,
            changes: 0,
            history: Vec::new(),
            skipped: BTreeMap::new(),
        };
        fresh.configure();
        for _ in 0..4 * KEYS.len() {
            fresh.change();
            fresh.view().await;
        }
        fresh.server.advance(Duration::from_millis(500));
        fresh.since = fresh.server.now();
        fresh.messages.clear();
        fresh.distributions.iter_mut().for_each(|one| one.due.clear());
        fresh.history.push("the given time".to_owned());
        if law.skips_new {
            fresh.begin_anew();
        }
        fresh
    }

    /// Lets distributions that are looked up keep errors briefly, requests that everything is purged, and
    /// gives the present as the time since when it is.
    fn begin_anew(&mut self) {
        if self.law.looks_up {
            for one in &mut self.distributions {
                (one.error_ttl, one.modified) = (None, self.server.now());
            }
            self.configure();
        }
        self.stop();
        self.server.advance(Duration::from_millis(1));
        self.since = self.server.now();
        for id in IDS {
            self.queue(json!({"distribution": id, "paths": ["/*"]}), 0);
        }
        self.distributions.iter_mut().for_each(|one| one.due.extend(KEYS));
        self.history.push("the given time, and everything is to be purged".to_owned());
    }

    /// Makes CloudFront use the configurations.
    fn configure(&self) {
        let mut account = Account::default();
        for one in &self.distributions {
            account.add(one.document().to_string().as_bytes(), None).expect("a distribution");
        }
        self.server.change(account);
    }

    /// Changes the configuration of a distribution at random.
    fn reconfigure(&mut self) {
        let which = self.dice.of(self.distributions.len());
        let (kind, ttl) = (self.dice.of(3), [None, Some(10), Some(59), Some(60)][self.dice.of(4)]);
        let one = &mut self.distributions[which];
        // While errors last, nothing is skipped.
        let kind = if one.error_ttl == Some(60) { 1 } else { kind };
        match kind {
            0 => one.directory = if one.directory.is_empty() { "next/" } else { "" },
            1 => one.error_ttl = ttl,
            _ => {}
        }
        one.modified = self.server.now();
        one.due.clear();
        self.history.push(format!(
            "{} is changed: directory {:?}, errors {:?}",
            one.id, one.directory, one.error_ttl
        ));
        self.configure();
        // CloudFront deploys it for longer than the function remembers the configuration before.
        self.stop();
    }

    /// Ends the function's process.
    fn stop(&mut self) {
        if let Some(function) = self.function.take() {
            self.count(&function);
        }
    }

    /// Adds what a process has logged about skipped changes.
    fn count(&mut self, function: &Function) {
        let lines = function.log();
        for line in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            for reason in ["unchanged", "new"] {
                *self.skipped.entry(reason).or_default() += line["ignored"][reason].as_u64().unwrap_or(0);
            }
        }
    }

    fn note(&mut self, key: &str, what: &str) {
        self.history.push(format!("{} {key:?} {what}", humantime::format_rfc3339_millis(self.server.now())));
    }

    /// Sends the event of a change to the queue, which delivers it now or much later.
    fn send(&mut self, event: &S3Event) {
        self.changes += 1;
        let body = if self.dice.happens(250) { event.eventbridge() } else { event.notification() };
        let later = [0, 0, 2, 12][self.dice.of(4)];
        self.queue(body, later);
    }

    fn queue(&mut self, body: Value, later: usize) {
        self.messages.push(Message {
            id: format!("m{}", self.messages.len()),
            body,
            sent: (self.server.now(), SystemTime::now()),
            visible: self.deliveries + later,
            is_done: false,
        });
    }

    /// Returns the body of a message with times as if the simulated time were the real one, since the
    /// function's own clock cannot be moved.
    fn aged(&self, message: &Message) -> String {
        let (simulated, real) = message.sent;
        let now = SystemTime::now();
        let age = self.server.now().duration_since(simulated).expect("the past");
        let mut body = message.body.clone();
        if let Some(changes) = body.pointer_mut("/narrowed/content/changes") {
            let past = age.saturating_sub(now.duration_since(real).unwrap_or_default());
            let past = u64::try_from(past.as_millis()).expect("a time");
            let objects = changes.as_array_mut().expect("changes").iter_mut();
            for object in objects.flat_map(|one| one["objects"].as_array_mut().expect("objects")) {
                object[2] = (object[2].as_u64().expect("a time") - past).into();
            }
        } else {
            let time = humantime::format_rfc3339_millis(now - age).to_string();
            let field = if body["Records"].is_array() { "/Records/0/eventTime" } else { "/time" };
            if let Some(told) = body.pointer_mut(field) {
                *told = time.into();
            }
        }
        body.to_string()
    }

    /// Delivers some messages to the function, in any order, some of them again, with random faults.
    async fn deliver(&mut self) {
        self.deliveries += 1;
        let most = [1, 5, 30, 200][self.dice.of(4)];
        let is_ready = |one: &Message| !one.is_done && one.visible <= self.deliveries;
        let mut batch: Vec<usize> =
            (0..self.messages.len()).filter(|index| is_ready(&self.messages[*index])).collect();
        for index in (1..batch.len()).rev() {
            batch.swap(index, self.dice.of(index + 1));
        }
        batch.truncate(most);
        if self.dice.happens(150) && !self.messages.is_empty() {
            let again = self.dice.of(self.messages.len());
            if !batch.contains(&again) {
                batch.push(again);
            }
        }
        if batch.is_empty() {
            return;
        }
        let messages = batch.iter().map(|index| &self.messages[*index]);
        let event = sqs(messages.map(|one| (&*one.id, self.aged(one)))).to_string();
        self.fail_something();
        let function = match self.function.take() {
            Some(function) => function,
            None => self.start().await,
        };
        if self.dice.happens(20) {
            let later = Duration::from_millis(self.dice.roll() % 15);
            self.count(&function);
            function.invoke_and_kill(later, event).await;
        } else {
            self.invoke(function, event, &batch).await;
        }
        for sent in self.server.take_sent() {
            let body = serde_json::from_str(&sent.body).expect("JSON");
            let later = self.dice.of(6);
            self.queue(body, later);
        }
    }

    /// Invokes the function, and deletes the messages that succeeded from the queue.
    async fn invoke(&mut self, mut function: Function, event: String, batch: &[usize]) {
        let answer = function.invoke_within(Duration::from_secs(6), event).await;
        if matches!(answer, Answer::Response(_)) {
            let left = answer.handed_back();
            for index in batch {
                let message = &mut self.messages[*index];
                message.is_done |= !left.contains(&&*message.id);
            }
        }
        self.function = Some(function);
    }

    async fn start(&self) -> Function {
        let since = humantime::format_rfc3339_millis(self.since).to_string();
        let variables = [
            ("INVALIDATOR_DISTRIBUTIONS", if self.law.looks_up { "" } else { "E1,E2,E3" }),
            ("INVALIDATOR_SKIP_UNCHANGED_SINCE", &*since),
            ("INVALIDATOR_SKIP_NEW", if self.law.skips_new { "true" } else { "" }),
        ];
        Function::start(&self.server.endpoint_url(), &variables).await
    }

    /// Sometimes makes a call of S3 or CloudFront fail.
    fn fail_something(&mut self) {
        if self.dice.happens(60) {
            let faults =
                [refusal(403, "AccessDenied", "no"), refusal(503, "SlowDown", "slow down"), Fault::Close];
            let operation = ["ListObjectVersions", "HeadObject"][self.dice.of(2)];
            let fault = faults[self.dice.of(3)].clone();
            self.server.inject_read(operation, self.dice.of(4), fault);
        }
        if self.dice.happens(60) {
            let faults = [
                refusal(403, "AccessDenied", "no"),
                refusal(503, "ServiceUnavailable", "internal"),
                Fault::LoseAnswer,
            ];
            let only = [None, Some(IDS[0]), Some(IDS[1])][self.dice.of(3)];
            self.server.inject(only, faults[self.dice.of(3)].clone());
        }
    }

    /// Lets a viewer look at a random object in a random distribution.
    async fn view(&mut self) {
        let key = self.key();
        let one = &self.distributions[self.dice.of(self.distributions.len())];
        let (id, path) = (one.id, one.path(key));
        if let Some(path) = path {
            seen(&self.server, id, &path).await;
        }
    }

    /// Lets some time pass: mostly seconds, and sometimes more than lifecycle rules wait.
    fn pass_time(&mut self) {
        if self.dice.happens(30) {
            let hours = [1, 13, 25, 49][self.dice.of(4)];
            self.server.advance(Duration::from_hours(hours));
            self.expire();
        } else {
            self.server.advance(Duration::from_millis([0, 0, 300, 1_000, 7_000][self.dice.of(5)]));
        }
    }

    async fn run(&mut self, changes: usize) {
        while self.changes < changes {
            let until = self.changes + ROUND;
            // The same file in two directories, which may be that of one path before and after a change.
            let which = self.dice.of(4);
            self.often = [KEYS[which], KEYS[5 + which]];
            while self.changes < until {
                self.change();
                for _ in 0..self.dice.of(5) {
                    self.view().await;
                }
                if self.law.looks_up && self.dice.happens(40) {
                    self.reconfigure();
                } else if self.law.skips_new && self.dice.happens(40) {
                    self.begin_anew();
                }
                self.pass_time();
                if self.dice.happens(500) {
                    self.deliver().await;
                }
            }
            while self.messages.iter().any(|message| !message.is_done) {
                self.deliver().await;
            }
            self.check().await;
        }
        self.stop();
    }

    /// Compares what viewers get ten seconds later with the bucket.
    async fn check(&mut self) {
        self.server.advance(Duration::from_secs(10));
        for one in &self.distributions {
            for key in &one.due {
                let Some(path) = one.path(key) else { continue };
                let is = seen(&self.server, one.id, &path).await;
                let should_be = held(&self.server, key);
                if is != should_be {
                    let mut told = format!("{} {path}: viewers get {is:?}, not {should_be:?}", one.id);
                    let about = |line: &&String| line.contains(&format!(" {key:?} ")) || !line.contains('"');
                    let history = self.history.iter().filter(|line| about(line) || line.contains(one.id));
                    let history: Vec<&String> = history.collect();
                    for line in &history[history.len().saturating_sub(40)..] {
                        write!(told, "\n{line}").expect("text");
                    }
                    panic!("{told}");
                }
            }
        }
    }
}

/// Returns what a viewer gets.
async fn seen(server: &Server, id: &str, path: &str) -> Seen {
    let host = format!("d{}.cloudfront.net", id.to_ascii_lowercase());
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let address = server.endpoint_url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let (status, headers) = head.split_once("\r\n").expect("headers");
    let headers = headers.lines().map(|line| line.split_once(": ").expect("a header"));
    let is_of_cloudfront = |name: &str| OF_CLOUDFRONT.contains(&name) || name == "connection";
    let headers = headers.filter(|(name, _)| !EXEMPT.contains(name) && !is_of_cloudfront(name));
    let mut headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    headers.sort();
    status.contains(" 200 ").then(|| (body.to_owned(), headers))
}

/// Returns what viewers should get of an object.
fn held(server: &Server, key: &str) -> Seen {
    let object = server.object(BUCKET, key)?;
    if object.storage_class == StorageClass::Glacier {
        return None;
    }
    let mut headers = object.headers;
    headers.retain(|(name, _)| !EXEMPT.contains(&&**name));
    headers.push(("etag".to_owned(), format!("\"{}\"", object.etag)));
    headers.sort();
    Some((String::from_utf8(object.content).expect("text"), headers))
}

async fn obey(law: Law) {
    let seed = u64::try_from(number("SEED", 1)).expect("a seed");
    let mut fresh = Fresh::new(seed, law).await;
    fresh.run(number("CHANGES", 600)).await;
    println!("seed {seed}: {} changes, skipped: {:?}", fresh.changes, fresh.skipped);
    assert!(fresh.skipped["unchanged"] > 0, "the test must not be vacuous: {:?}", fresh.skipped);
    let may_skip_new = law.skips_new && law.looks_up;
    assert_eq!(fresh.skipped["new"] > 0, may_skip_new, "{:?}", fresh.skipped);
}

#[tokio::test]
async fn viewers_get_what_the_bucket_holds_although_unchanged_objects_are_skipped() {
    obey(Law { looks_up: true, skips_new: false }).await;
}

#[tokio::test]
async fn viewers_get_what_the_bucket_holds_although_new_objects_are_skipped() {
    obey(Law { looks_up: true, skips_new: true }).await;
}

#[tokio::test]
async fn viewers_of_named_distributions_get_what_the_bucket_holds() {
    obey(Law { looks_up: false, skips_new: true }).await;
}
