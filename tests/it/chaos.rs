//! Runs the real function between a simulated queue and a CloudFront with random faults, and checks
//! that no change is lost.
//!
//! `make chaos SEED=7 CHANGES=100000` runs these tests with another seed and length.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    time::{Duration, Instant},
};

use cloudfront_invalidator::{
    config::Config,
    event,
    local::{Account, Fault, Options, Recorded, Server},
    plan::plan,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::{
    function::refusal,
    sites::{self, DOMAIN, changed},
    support::{Answer, Function, eventbridge, s3, s3_record, sns, sqs},
};

/// Number of receives after which a message goes to the dead-letter queue. It is lower than in the
/// template, so that messages that can never succeed end soon.
const MOST_RECEIVES: usize = 10;

/// The same number while configurations change, which makes about every third invocation fail.
const MOST_RECEIVES_LOOKING_UP: usize = 40;

const DISTRIBUTIONS: [&str; 2] = ["E1EXAMPLE", "E2EXAMPLE"];

/// Directory that CloudFront refuses in every path, even in a wildcard.
const HOPELESS: &str = "hopeless/";

/// Character that CloudFront refuses in a path. It accepts a wildcard that ends before it.
const REFUSED: &str = "@";

/// A generator of pseudorandom numbers that depend only on the seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Returns a number below `many`, or 0 if `many` is 0.
    pub(crate) fn of(&mut self, many: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(many.max(1)).expect("a number")).expect("a number")
    }

    /// Returns true for `often` of a thousand calls, on average.
    pub(crate) fn happens(&mut self, often: usize) -> bool {
        self.of(1_000) < often
    }
}

/// A message in the simulated queue.
struct Message {
    id: String,
    body: String,
    /// The keys that changed. Empty for a narrowed message, which the function wrote.
    keys: Vec<String>,
    /// Whether no delivery can ever succeed.
    hopeless: bool,
    /// The number of invalidations that existed when the message was sent.
    sent_after: usize,
    receives: usize,
    /// The first round in which the queue may deliver it.
    visible: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    Done,
    Dead,
}

/// The counts that the tests print and check.
#[derive(Default)]
struct Tally {
    changes: usize,
    batches: usize,
    redeliveries: usize,
    duplicates: usize,
    narrowed: usize,
    faults: BTreeMap<&'static str, usize>,
    /// The number of paths in the plans of all batches.
    planned: usize,
}

struct Chaos {
    dice: Dice,
    /// Whether the function has to look up the distributions. Their configurations then change.
    looks_up: bool,
    cloudfront: Server,
    function: Option<Function>,
    /// The function's configuration, to compute the plan of each batch.
    config: Config,
    messages: Vec<Message>,
    round: usize,
    tally: Tally,
}

const VARIABLES: [(&str, &str); 2] =
    [("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE,E2EXAMPLE"), ("INVALIDATOR_INDEX_DOCUMENT", "")];

/// Creates an account with [`DISTRIBUTIONS`] in a version of their configuration and, if
/// `has_third`, another distribution that serves the bucket as well.
fn account(version: usize, has_third: bool) -> Account {
    let third = has_third.then_some("E3EXAMPLE");
    let distributions = DISTRIBUTIONS.into_iter().chain(third).map(|id| {
        changed(id, DOMAIN, |config| {
            config["DefaultRootObject"] = "".into();
            config["Comment"] = format!("version {version}").into();
        })
    });
    sites::account(&distributions.collect::<Vec<_>>())
}

impl Chaos {
    async fn new(seed: u64, looks_up: bool) -> Self {
        let options = Options {
            distributions: if looks_up { Vec::new() } else { DISTRIBUTIONS.map(str::to_owned).to_vec() },
            account: if looks_up { account(0, true) } else { Account::default() },
            refuses: vec![HOPELESS.to_owned(), REFUSED.to_owned()],
            completes_after: Duration::from_millis(150),
            ..Options::default()
        };
        let owned = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            dice: Dice(seed),
            looks_up,
            cloudfront: Server::start(options).await.expect("a CloudFront"),
            function: None,
            config: Config::read(owned).expect("a configuration"),
            messages: Vec::new(),
            round: 0,
            tally: Tally::default(),
        }
    }

    /// Returns a random key of a site, in most cases a plain one.
    fn key(&mut self) -> String {
        let number = self.dice.of(4_000);
        let directory = ["blog", "docs/api/v1", "img", "a b", "münchen"][number % 5];
        let name = match self.dice.of(60) {
            0 => format!("x@{number}.png"),
            1 => format!("{number}~tmp.js"),
            2 => format!("c++ {number}%.html"),
            3 => format!("{number}*"),
            _ => format!("page-{number}.html"),
        };
        format!("{directory}/{name}")
    }

    /// Sends a random message to the queue.
    fn send(&mut self) {
        let number = self.messages.len();
        let sequencer = format!("{number:016X}");
        let mut keys = vec![self.key()];
        let mut hopeless = false;
        let body = match self.dice.of(100) {
            0..60 => s3(&keys[0], &sequencer),
            60..75 => eventbridge(&keys[0], &sequencer),
            75..85 => sns(&s3(&keys[0], &sequencer)),
            85..97 => {
                keys.push(self.key());
                let record =
                    |key: &String| s3_record(&crate::support::form_encoded(key.as_bytes()), &sequencer);
                json!({"Records": keys.iter().map(record).collect::<Vec<_>>()})
            }
            97 => {
                hopeless = true;
                json!({"Records": [{"eventSource": "aws:nonsense"}]})
            }
            98 => {
                hopeless = true;
                keys = vec![format!("{HOPELESS}{number}")];
                s3(&keys[0], &sequencer)
            }
            // A manual event has to name a distribution if the function looks them up.
            _ if self.looks_up => s3(&keys[0], &sequencer),
            _ => {
                json!({"paths": [format!("/{}", keys[0].replace('%', "%25").replace('+', "%2B").replace('*', "%2A.")) ]})
            }
        };
        if body.get("paths").is_some() {
            keys[0] = keys[0].replace('*', "*.");
        }
        self.tally.changes += keys.len();
        self.messages.push(Message {
            id: format!("m{number}"),
            body: body.to_string(),
            keys,
            hopeless,
            sent_after: self.cloudfront.created(),
            receives: 0,
            visible: self.round,
            state: State::Waiting,
        });
    }

    /// Receives the messages that the function sent.
    fn receive_narrowed(&mut self) {
        for message in self.cloudfront.take_sent() {
            self.tally.narrowed += 1;
            self.messages.push(Message {
                id: format!("n{}", self.tally.narrowed),
                hopeless: message.body.contains(HOPELESS),
                body: message.body,
                keys: Vec::new(),
                sent_after: 0,
                receives: 0,
                visible: self.round + self.dice.of(4),
                state: State::Waiting,
            });
        }
    }

    /// Returns the messages to deliver now, in random order. Sometimes adds one that is already
    /// done, because SQS may deliver a message twice.
    fn receive(&mut self) -> Vec<usize> {
        let most = [1, 10, 100, 600, 1_500][self.dice.of(5)];
        let round = self.round;
        let ready = |message: &Message| message.state == State::Waiting && message.visible <= round;
        let mut batch: Vec<usize> =
            (0..self.messages.len()).filter(|index| ready(&self.messages[*index])).collect();
        for index in (1..batch.len()).rev() {
            let other = self.dice.of(index + 1);
            batch.swap(index, other);
        }
        batch.truncate(most);
        if self.dice.happens(100) && !self.messages.is_empty() {
            let again = self.dice.of(self.messages.len());
            if self.messages[again].state == State::Done && !batch.contains(&again) {
                self.tally.duplicates += 1;
                batch.push(again);
            }
        }
        batch
    }

    /// Returns a random fault of CloudFront with its name, or `None` for no fault.
    fn fault(&mut self) -> Option<(&'static str, Fault)> {
        let faults: [(&str, Fault); 9] = [
            ("503", refusal(503, "ServiceUnavailable", "internal")),
            ("throttled", refusal(400, "Throttling", "Rate exceeded")),
            ("429", refusal(429, "SomethingNew", "slow down")),
            ("full", refusal(400, "TooManyInvalidationsInProgress", "exceed")),
            ("denied", refusal(403, "AccessDenied", "for a moment")),
            ("refused", refusal(400, "InvalidArgument", "one or more invalid invalidation paths.")),
            ("hang", Fault::Hang),
            ("cut", Fault::Close),
            ("answer lost", Fault::LoseAnswer),
        ];
        let which = self.dice.of(faults.len());
        // A hang lasts until the deadline, and a throttled call waits for two seconds, so keep these rare
        // to keep the test short.
        let often = if ["hang", "throttled", "429"].contains(&faults[which].0) { 50 } else { 250 };
        self.dice.happens(often).then(|| faults[which].clone())
    }

    /// Sometimes changes the account, and sometimes makes a later read of it fail.
    fn change(&mut self) {
        if self.dice.happens(300) {
            *self.tally.faults.entry("configuration changed").or_default() += 1;
            let has_third = self.dice.happens(500);
            self.cloudfront.change(account(self.round, has_third));
        }
        if self.dice.happens(200) {
            *self.tally.faults.entry("not read").or_default() += 1;
            let operation = ["ListDistributions", "GetDistributionConfig"][self.dice.of(2)];
            let fault = [
                refusal(503, "ServiceUnavailable", "internal"),
                refusal(403, "AccessDenied", "no"),
                Fault::Close,
            ];
            let fault = fault[self.dice.of(3)].clone();
            self.cloudfront.inject_read(operation, self.dice.of(3), fault);
        }
    }

    /// Invokes the function with a batch, with random faults, and sometimes kills it.
    async fn invoke(&mut self, batch: &[usize]) {
        let messages = || batch.iter().map(|index| &self.messages[*index]);
        let mut event = sqs(messages().map(|message| (&*message.id, message.body.clone())));
        for (record, message) in event["Records"].as_array_mut().expect("records").iter_mut().zip(messages())
        {
            record["attributes"]["ApproximateReceiveCount"] = (message.receives + 1).to_string().into();
        }
        let event = event.to_string();
        self.tally.batches += 1;
        let read = event::read(event.as_bytes(), "invocation");
        self.tally.planned += plan(&read, &self.config.policy, &self.config.search.given()).billed_paths();
        let mut function = if let Some(function) = self.function.take() {
            function
        } else {
            let mut variables = VARIABLES;
            if self.looks_up {
                variables[0].1 = "";
            }
            Function::start(&self.cloudfront.endpoint_url(), &variables).await
        };
        if self.looks_up {
            self.change();
        }
        for _ in 0..2 {
            if let Some((name, fault)) = self.fault() {
                *self.tally.faults.entry(name).or_default() += 1;
                let only = [None, Some(DISTRIBUTIONS[0]), Some(DISTRIBUTIONS[1])][self.dice.of(3)];
                self.cloudfront.inject(only, fault);
            }
        }
        if self.dice.happens(40) {
            *self.tally.faults.entry("killed").or_default() += 1;
            let later = Duration::from_millis(self.dice.roll() % 40);
            function.invoke_and_kill(later, event).await;
            self.receive_narrowed();
            self.fail(batch.iter().copied());
            return;
        }
        if self.dice.happens(50) {
            *self.tally.faults.entry("not sent").or_default() += 1;
            let faults = [Fault::Close, Fault::LoseAnswer, refusal(403, "AccessDenied", "no")];
            self.cloudfront.inject_send(faults[self.dice.of(3)].clone());
        }
        let left = Duration::from_millis(3_000 + self.dice.roll() % 2_000);
        let begun = Instant::now();
        let answer = function.invoke_within(left, event).await;
        // A process that was throttled waits before each call, so go on with a new one.
        self.function = (begun.elapsed() < Duration::from_secs(1)).then_some(function);
        self.receive_narrowed();
        self.settle(batch, &answer);
    }

    /// Handles the answer as Lambda does: deletes the messages that succeeded, and returns the
    /// others to the queue.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>
    fn settle(&mut self, batch: &[usize], answer: &Answer) {
        let failures = match answer {
            Answer::Error { .. } => None,
            Answer::Response(response) => match &response["batchItemFailures"] {
                Value::Null => Some(BTreeSet::new()),
                Value::Array(failures) => failures
                    .iter()
                    .map(|failure| failure["itemIdentifier"].as_str().map(str::to_owned))
                    .collect(),
                _ => None,
            },
        };
        // If the answer contains an id that is not in the batch, Lambda retries the whole batch.
        let known = |ids: &BTreeSet<String>| {
            ids.iter().all(|id| batch.iter().any(|index| self.messages[*index].id == **id))
        };
        let failures: Option<BTreeSet<String>> = failures.filter(known);
        let failed =
            |index: &usize| failures.as_ref().is_none_or(|ids| ids.contains(&self.messages[*index].id));
        let (failed, done): (Vec<usize>, Vec<usize>) = batch.iter().copied().partition(failed);
        for index in done {
            self.messages[index].state = State::Done;
        }
        self.fail(failed.into_iter());
    }

    fn fail(&mut self, messages: impl Iterator<Item = usize>) {
        for index in messages {
            let later = 1 + self.dice.of(6);
            let message = &mut self.messages[index];
            // A duplicate of a message that is done is no longer in the queue.
            if message.state == State::Done {
                continue;
            }
            message.receives += 1;
            message.visible = self.round + later;
            let most = if self.looks_up { MOST_RECEIVES_LOOKING_UP } else { MOST_RECEIVES };
            if message.receives >= most {
                message.state = State::Dead;
            } else {
                self.tally.redeliveries += 1;
            }
        }
    }

    async fn run(&mut self, changes: usize) {
        while self.tally.changes < changes
            || self.messages.iter().any(|message| message.state == State::Waiting)
        {
            self.round += 1;
            let wave = if self.tally.changes < changes { self.dice.of(changes / 8 + 20) } else { 0 };
            for _ in 0..wave {
                self.send();
            }
            let batch = self.receive();
            if !batch.is_empty() {
                self.invoke(&batch).await;
            }
        }
    }

    /// Returns the keys in narrowed messages in the dead-letter queue, with the distributions.
    fn dead_narrowed(&self) -> BTreeSet<(Vec<u8>, String)> {
        let mut dead = BTreeSet::new();
        for message in self.messages.iter().filter(|message| message.state == State::Dead) {
            let batch = event::read(message.body.as_bytes(), "i");
            for part in &batch.narrowed {
                for change in &batch.changes[part.changes.clone()] {
                    let names = part.messages.iter().flat_map(|message| &message.distributions);
                    dead.extend(names.map(|id| (change.key.as_bytes().to_vec(), id.to_string())));
                }
            }
        }
        dead
    }

    /// Returns the keys that were lost: their message is done, but no invalidation purged them
    /// after it was sent.
    fn lost(&self, recorded: &[Recorded]) -> Vec<String> {
        let mut purged = BTreeMap::new();
        for distribution in DISTRIBUTIONS {
            purged.insert(distribution, Purged::of(distribution, recorded));
        }
        let dead = self.dead_narrowed();
        let mut lost = Vec::new();
        for message in self.messages.iter().filter(|message| message.state == State::Done) {
            for key in &message.keys {
                for (distribution, purged) in &purged {
                    let is_dead = || dead.contains(&(key.clone().into_bytes(), (*distribution).to_owned()));
                    if !purged.covers(key, message.sent_after) && !is_dead() {
                        lost.push(format!("{} in {distribution}: {key:?}", message.id));
                    }
                }
            }
        }
        lost
    }
}

/// The paths that were purged in a distribution, each with the number of the last invalidation that
/// purged it.
#[derive(Default)]
struct Purged {
    /// The decoded paths without a wildcard.
    exact: BTreeMap<Vec<u8>, usize>,
    /// The decoded beginnings of the paths that end in a wildcard.
    below: BTreeMap<Vec<u8>, usize>,
}

impl Purged {
    fn of(distribution: &str, recorded: &[Recorded]) -> Self {
        let mut purged = Self::default();
        for (number, one) in recorded.iter().enumerate().filter(|(_, one)| one.distribution == distribution) {
            for path in &one.paths {
                let (paths, stem) = match path.strip_suffix('*') {
                    Some(stem) => (&mut purged.below, stem),
                    None => (&mut purged.exact, &**path),
                };
                paths.insert(percent_decode_str(&stem[1..]).collect(), number);
            }
        }
        purged
    }

    fn covers(&self, key: &str, after: usize) -> bool {
        let key = key.as_bytes();
        let late = |number: Option<&usize>| number.is_some_and(|number| *number >= after);
        late(self.exact.get(key)) || (0..=key.len()).any(|end| late(self.below.get(&key[..end])))
    }
}

#[tokio::test]
async fn no_change_is_lost_whatever_fails() {
    run(false).await;
}

#[tokio::test]
async fn no_change_is_lost_while_configurations_change() {
    run(true).await;
}

/// Returns the number in an environment variable, or `default` if it is not set.
pub(crate) fn number(name: &str, default: usize) -> usize {
    let set = env::var(name).ok().filter(|value| !value.is_empty());
    set.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

async fn run(looks_up: bool) {
    let (seed, changes) = (number("SEED", 1), number("CHANGES", 2_000));
    let mut chaos = Chaos::new(u64::try_from(seed).expect("a seed"), looks_up).await;
    chaos.run(changes).await;

    let recorded = chaos.cloudfront.recorded();
    let lost = chaos.lost(&recorded);
    let is_counted = |one: &&Recorded| DISTRIBUTIONS.contains(&&*one.distribution);
    let billed: usize = recorded.iter().filter(is_counted).map(|one| one.paths.len()).sum();
    let dead: Vec<&Message> = chaos.messages.iter().filter(|message| message.state == State::Dead).collect();
    let unjust = dead.iter().filter(|message| !message.hopeless).count();
    let Tally { changes, batches, redeliveries, duplicates, narrowed, faults, planned } = &chaos.tally;
    let mut told = format!(
        "seed {seed}: {changes} changes, {batches} batches, {} invalidations, {billed} paths billed of {planned} planned, \
         {redeliveries} redeliveries, {duplicates} duplicates, {narrowed} narrowed messages, {} dead letters\nfaults:",
        recorded.len(),
        dead.len(),
    );
    for (name, often) in faults {
        write!(told, " {often} {name},").expect("text");
    }
    println!("{told}\nlost: {}", lost.len());
    assert_eq!(lost, [""; 0], "{told}");
    assert_eq!(unjust, 0, "{unjust} dead letters could have succeeded: {told}");
    // The plans do not include the wildcards that replace refused paths. Each delivery of a refused
    // key adds at most one to each distribution.
    let refused = chaos.messages.iter().flat_map(|message| &message.keys);
    let refused = refused.filter(|key| key.contains(REFUSED) || key.contains(HOPELESS)).count();
    let widened = DISTRIBUTIONS.len() * refused * MOST_RECEIVES_LOOKING_UP;
    assert!(billed <= planned + widened, "{told}");
}
