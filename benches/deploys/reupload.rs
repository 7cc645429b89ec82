//! Measures deploys that upload the whole site again, with and without asking S3 what really changed.
//!
//! The planner gets the findings that S3 would lead to. For a sample of the deploys, a simulated S3 holds
//! the site, and the function's own calls must lead to the same findings.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    rc::Rc,
    time::{Duration, Instant, SystemTime},
};

use cloudfront_invalidator::{
    cloudfront::{Client, Settings},
    cover::Budget,
    event::{Batch, Change, Effect, Key},
    local::{Options, PutResult, Server, Upload, Versioning},
    path::Item,
    plan::{Known, Policy, plan},
    site::{Caching, Errors, Sites},
    versions::{Finding, Findings, Needless, Skip, ask},
    watch::Watch,
};

use crate::{
    recorded::{SITES, changes},
    rules::{real, site},
};

/// The default budget.
const BUDGET: Budget = Budget { items: 150, wildcards: 15 };

/// Maximum number of events in a batch, which is the template's default: about as many fit.
const BATCH: usize = 3_000;

/// The time of the setting, in milliseconds since 1970. Every upload is later.
const SINCE: u64 = 2;

const BUCKET: &str = "site";

/// The number of deploys of which one really asks the simulated S3.
const SAMPLED: usize = 100;

/// A way to ask the simulated S3.
#[derive(Clone, Copy)]
struct Sample {
    /// The number of earlier versions of each object.
    earlier: usize,
    /// Whether to ask for headers as well.
    headers: bool,
}

/// The samples. The number of earlier versions does not affect the calls for headers.
const SAMPLES: [Sample; 3] = [
    Sample { earlier: 1, headers: true },
    Sample { earlier: 4, headers: false },
    Sample { earlier: 16, headers: false },
];

/// The rows of the table: their names, and what is skipped.
const ROWS: [(&str, Skip); 3] = [
    ("neither", Skip { unchanged_since: None, new: false }),
    ("`SkipUnchangedSince`", Skip { unchanged_since: Some(SINCE), new: false }),
    ("`SkipUnchangedSince` and `SkipNew`", Skip { unchanged_since: Some(SINCE), new: true }),
];

/// The dollars for a path, a list and a HEAD request.
const PRICES: [f64; 3] = [0.005, 0.005 / 1_000.0, 0.0004 / 1_000.0];

/// The event of an object in a full upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The object is as it was.
    Unchanged,
    /// It has another content.
    Changed,
    /// It was deleted by an earlier deploy and is back.
    Restored,
    /// It is new.
    New,
    /// It is gone.
    Deleted,
}

/// The keys of a batch, with what happens to them.
type Events<'d> = Vec<(&'d [u8], Event)>;

/// A deploy that uploads the whole site again.
struct Deploy {
    /// The event of each object, by key.
    events: BTreeMap<Rc<[u8]>, Event>,
    /// The paths of the objects that are as they were.
    unchanged: Vec<Item>,
}

impl Deploy {
    /// Returns the share of the unchanged objects that these paths purge, and their number.
    fn collateral(&self, sent: &BTreeSet<Item>) -> (f64, usize) {
        let wildcards: Vec<&Item> = sent.iter().filter(|item| item.as_str().ends_with('*')).collect();
        let is_purged =
            |item: &&Item| sent.contains(item) || wildcards.iter().any(|wildcard| wildcard.covers(item));
        let purged = self.unchanged.iter().filter(is_purged).count();
        (real(purged) / real(self.unchanged.len().max(1)), purged)
    }

    /// Returns the events in batches, in the order of the keys, as upload tools cause them.
    fn batches(&self) -> Vec<Events<'_>> {
        let events: Vec<_> = self.events.iter().map(|(key, event)| (&**key, *event)).collect();
        events.chunks(BATCH).map(<[_]>::to_vec).collect()
    }
}

/// Reads the deploys of a site, and passes each to `measure`.
fn replay(site: &str, mut measure: impl FnMut(&Deploy)) {
    let mut bucket: BTreeSet<Rc<[u8]>> = BTreeSet::new();
    let mut known: BTreeSet<Rc<[u8]>> = BTreeSet::new();
    let mut events = BTreeMap::new();
    let mut finish = |changed: &mut BTreeMap<Rc<[u8]>, Event>, bucket: &BTreeSet<Rc<[u8]>>| {
        let mut events = std::mem::take(changed);
        if events.is_empty() {
            return;
        }
        let mut unchanged = Vec::new();
        for key in bucket {
            if !events.contains_key(key) {
                unchanged.push(Item::from_key(key));
                events.insert(Rc::clone(key), Event::Unchanged);
            }
        }
        measure(&Deploy { events, unchanged });
    };
    for change in changes(site) {
        match change {
            None => finish(&mut events, &bucket),
            Some((true, key)) => {
                let is_known = !known.insert(Rc::clone(&key));
                let event = match (bucket.insert(Rc::clone(&key)), is_known) {
                    (false, _) => Event::Changed,
                    (true, true) => Event::Restored,
                    (true, false) => Event::New,
                };
                events.insert(key, event);
            }
            Some((false, key)) => {
                bucket.remove(&key);
                events.insert(key, Event::Deleted);
            }
        }
    }
    finish(&mut events, &bucket);
}

/// The totals of a setting over all deploys.
#[derive(Default)]
struct Total {
    invalidations: usize,
    paths: usize,
    wildcards: usize,
    collateral: usize,
    share: f64,
}

impl Total {
    /// Adds what the function sends for a deploy.
    fn add(&mut self, deploy: &Deploy, policy: &Policy, sites: &Sites) {
        let mut sent = BTreeSet::new();
        for events in deploy.batches() {
            let batch = batch(events.iter().map(|(key, event)| change(key, *event, None)));
            let findings = Findings::new(events.iter().map(|(_, event)| finding(*event)).collect());
            let plan = plan(&batch, policy, Known { sites, findings: &findings });
            self.invalidations += plan.invalidations.len();
            for invalidation in &plan.invalidations {
                self.paths += invalidation.purge.item_count;
                self.wildcards += invalidation.purge.wildcard_count;
                sent.extend(invalidation.purge.items.iter().map(|covering| covering.item.clone()));
            }
        }
        let (share, purged) = deploy.collateral(&sent);
        self.share += share;
        self.collateral += purged;
    }

    fn row(&self, name: &str, deploys: usize, s3: &str) -> String {
        let billed = real(self.paths) * PRICES[0];
        let share = 100.0 * self.share / real(deploys);
        let Self { invalidations, paths, wildcards, collateral, .. } = self;
        format!(
            "| {name} | {invalidations} | {paths} | {wildcards} | ${billed:.2} | {s3} | {collateral} | {share:.2} % |"
        )
    }
}

/// Returns what S3 says about an event.
const fn finding(event: Event) -> Finding {
    match event {
        Event::Unchanged => Finding::Same(SINCE + 1),
        Event::New => Finding::First,
        Event::Changed | Event::Restored | Event::Deleted => Finding::Different,
    }
}

fn change(key: &[u8], event: Event, time: Option<u64>) -> Change {
    let name = if event == Event::Deleted { "ObjectRemoved:Delete" } else { "ObjectCreated:Put" };
    Change {
        message: 0,
        bucket: BUCKET.into(),
        key: Key::from(key),
        event: name.into(),
        effect: Effect::Content,
        time,
        identity: "1".into(),
    }
}

fn batch(changes: impl Iterator<Item = Change>) -> Batch {
    Batch { changes: changes.collect(), ..Batch::default() }
}

/// The caching of the distribution: CloudFront's defaults, in a configuration that is older than the setting.
const CACHING: Caching = Caching { modified: NonZeroU64::new(SINCE - 1), errors: Errors::Brief };

fn sites() -> Sites {
    let mut site = site();
    site.caching = Some(CACHING);
    Sites { list: vec![site.into()], ..Sites::default() }
}

fn policy(skip: Skip) -> Policy {
    Policy { watch: Watch::default(), budget: BUDGET, manual: false, skip, list_bucket: false }
}

/// The calls that a sample of the deploys made.
#[derive(Default)]
struct Calls {
    deploys: usize,
    uploads: usize,
    lists: usize,
    heads: usize,
}

impl Calls {
    /// Uploads a site again to a simulated S3, and asks it as the function does.
    async fn add(&mut self, deploy: &Deploy, Sample { earlier, headers }: Sample) {
        let skip = Skip { unchanged_since: headers.then_some(SINCE), new: true };
        let server = Server::start(Options::default()).await.expect("a simulated S3");
        server.set_versioning(BUCKET, Versioning::Enabled);
        let client = Client::new(Settings::local(&server.endpoint_url()));
        for (key, event) in &deploy.events {
            prepare(&server, key, *event, earlier);
        }
        let uploads = deploy.events.iter().map(|(key, event)| (key, *event, upload(&server, key, *event)));
        let uploads: Vec<_> = uploads.collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
        let now = u64::try_from(now.as_millis()).expect("a time");
        self.deploys += 1;
        for part in uploads.chunks(BATCH) {
            let mut batch = batch(part.iter().map(|(key, event, _)| change(key, *event, Some(now))));
            let version = |put: &Option<PutResult>| put.as_ref()?.version_id.as_deref().map(Box::from);
            batch.versions = part.iter().map(|(_, _, put)| version(put)).collect();
            let deadline = Instant::now() + Duration::from_mins(10);
            let found = ask(&batch, (&Watch::default(), skip), &sites(), &client, deadline, now).await;
            let rule = skip.rule(Some(&CACHING));
            for (index, (key, event, _)) in part.iter().enumerate() {
                let expected: Option<Needless> = rule.skips(finding(*event));
                assert_eq!(rule.skips(found.of(index)), expected, "{:?}", String::from_utf8_lossy(key));
            }
            assert_eq!(found.failure, None);
            self.uploads += batch.versions.iter().flatten().count();
            let unchanged = part.iter().filter(|(_, event, _)| *event == Event::Unchanged).count();
            assert_eq!(found.heads, if headers { 2 * unchanged } else { 0 });
            self.lists += found.lists;
            self.heads += found.heads;
        }
    }
}

/// Uploads the versions that an object has before a deploy.
fn prepare(server: &Server, key: &[u8], event: Event, earlier: usize) {
    let key = std::str::from_utf8(key).expect("a key in UTF-8");
    let content = || Upload { content: b"before".to_vec(), ..Upload::default() };
    if event != Event::New {
        (0..earlier).for_each(|_| drop(server.put_object(BUCKET, key, content())));
    }
    if event == Event::Restored {
        server.delete(BUCKET, key);
    }
}

/// Uploads or deletes an object in a deploy. `None` if it is deleted.
fn upload(server: &Server, key: &[u8], event: Event) -> Option<PutResult> {
    let key = std::str::from_utf8(key).expect("a key in UTF-8");
    if event == Event::Deleted {
        server.delete(BUCKET, key);
        return None;
    }
    let content = if event == Event::Unchanged { "before" } else { "after" };
    Some(server.put_object(BUCKET, key, Upload { content: content.into(), ..Upload::default() }))
}

/// The totals of all deploys.
#[derive(Default)]
struct Measured {
    deploys: usize,
    /// The number of objects that were uploaded again as they were.
    unchanged: usize,
    /// The number of objects that were uploaded with another content.
    changed: usize,
    new: usize,
    deleted: usize,
    /// The totals of each of [`ROWS`].
    totals: [Total; ROWS.len()],
    /// The calls in each of [`SAMPLES`].
    calls: [Calls; SAMPLES.len()],
}

impl Measured {
    /// Replays the histories of all sites.
    fn all() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (sites, policies) = (sites(), ROWS.map(|(_, skip)| policy(skip)));
        let mut measured = Self::default();
        for name in SITES {
            replay(name, |deploy| {
                measured.count(deploy);
                for (total, policy) in measured.totals.iter_mut().zip(&policies) {
                    total.add(deploy, policy, &sites);
                }
                if measured.deploys % SAMPLED == SAMPLED / 2 {
                    for (calls, sample) in measured.calls.iter_mut().zip(SAMPLES) {
                        runtime.block_on(calls.add(deploy, sample));
                    }
                }
            });
        }
        measured
    }

    fn count(&mut self, deploy: &Deploy) {
        self.deploys += 1;
        for event in deploy.events.values() {
            *match event {
                Event::Unchanged => &mut self.unchanged,
                Event::Changed | Event::Restored => &mut self.changed,
                Event::New => &mut self.new,
                Event::Deleted => &mut self.deleted,
            } += 1;
        }
    }
}

/// Prints the table.
pub(crate) fn print() {
    let Measured { deploys, unchanged, changed, new, deleted, totals, calls } = Measured::all();
    let uploads = unchanged + changed + new;
    println!("\nEverything uploaded again, {deploys} deploys, 150 items of which 15 may be wildcards.");
    println!("{unchanged} objects unchanged, {changed} changed, {new} new, {deleted} deleted.\n");
    println!(
        "| | invalidations | paths | wildcards among them | billed | lists | HEADs | billed by S3 | collateral \
         | purged of what did not change |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let lists = real(uploads) * real(calls[0].lists) / real(calls[0].uploads);
    let heads = real(2 * unchanged);
    let dollars = lists * PRICES[1] + heads * PRICES[2];
    let asked = format!("{lists:.0} | {heads:.0} | ${dollars:.2}");
    for ((name, skip), total) in ROWS.iter().zip(&totals) {
        println!("{}", total.row(name, deploys, if skip.is_off() { "0 | 0 | $0.00" } else { &asked }));
    }
    println!("\nCalls of S3, one deploy of {SAMPLED}:\n");
    println!("| earlier versions of each object | deploys | uploads | lists | HEADs |");
    println!("|---:|---:|---:|---:|---:|");
    for (Calls { deploys, uploads, lists, heads, .. }, Sample { earlier, headers }) in
        calls.iter().zip(SAMPLES)
    {
        let heads = if headers { heads.to_string() } else { "as above".to_owned() };
        println!("| {earlier} | {deploys} | {uploads} | {lists} | {heads} |");
    }
}
