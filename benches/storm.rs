//! Simulates what a storm of changes does to the queue and to CloudFront's quotas, with the
//! template's settings and the real cover. docs/operations.md shows the resulting table.
//!
//! ```sh
//! cargo bench --bench storm
//! ```
//!
//! The simulation advances second by second. These numbers come from the AWS documentation and the
//! template:
//!
//! - A batch has up to 3,000 messages, and two invocations run at a time.
//! - A batch returns after 190 seconds and becomes a dead letter after 240 receives.
//! - CloudFront allows 150 paths and one wildcard a second.
//!
//! An invocation behaves as the function does: it retries for half of its 29 seconds, and then
//! folds what it sends. AWS does not document how much CloudFront accepts at once. The simulation
//! assumes one second's worth of paths and 15 wildcards, and that CloudFront accepts a request as a
//! whole or not at all.

use std::collections::BTreeMap;

use cloudfront_invalidator::{
    cover::{Budget, cover},
    path::Item,
    report::{FREE_PATHS, dollars},
};

const BATCH: usize = 3_000;
const WINDOW: u64 = 10;
const INVOCATIONS: usize = 2;
const RETRIES_FOR: u64 = 29;
const FOLDS_AFTER: u64 = 14;
const COMES_AGAIN_AFTER: u64 = 190;
const MOST_RECEIVES: u32 = 240;
/// The paths that CloudFront accepts: each second, and at most at once.
const PATHS: (u64, u64) = (150, 150);
/// The wildcards that CloudFront accepts: each second, and at most at once.
const WILDCARDS: (u64, u64) = (1, 15);

/// A batch of messages that are received together.
#[derive(Clone, Copy)]
struct Batch {
    /// The second of its first change.
    since: u64,
    paths: u64,
    wildcards: u64,
    receives: u32,
}

impl Batch {
    /// Returns the batch as the function sends it this many seconds after the start of the
    /// invocation.
    fn after(self, seconds: u64) -> Self {
        let (paths, wildcards) = match seconds.saturating_sub(FOLDS_AFTER) {
            0 => (u64::MAX, u64::MAX),
            1 => (15, 7),
            2 => (4, 3),
            _ => (1, 1),
        };
        Self { paths: self.paths.min(paths), wildcards: self.wildcards.min(wildcards), ..self }
    }
}

/// The results of a storm.
#[derive(Default)]
struct Storm {
    seconds: u64,
    batches: u64,
    retries: u64,
    dead: u64,
    oldest: u64,
    paths: u64,
}

/// Returns the keys of a site: a hundred pages in each of a hundred sections of each volume.
fn keys(from: usize, to: usize) -> impl Iterator<Item = Item> {
    let key = |n: usize| format!("volume-{}/section-{}/page-{n}.html", n / 10_000, n / 100 % 100);
    (from..to).map(move |n| Item::from_key(key(n).as_bytes()))
}

fn storm(changes: usize, a_second: usize, budget: Budget) -> Storm {
    let mut storm = Storm::default();
    let (mut arrived, mut received) = (0, 0);
    // The second at which Lambda began to gather the next batch.
    let mut gathering: Option<u64> = None;
    let mut ready: Vec<Batch> = Vec::new();
    let mut returned: BTreeMap<u64, Vec<Batch>> = BTreeMap::new();
    // The running invocations: the batch, and the second at which it began.
    let mut running: Vec<(Batch, u64)> = Vec::new();
    let (mut paths_left, mut wildcards_left) = (PATHS.1, WILDCARDS.1);
    for now in 0.. {
        arrived = changes.min(arrived + a_second);
        paths_left = PATHS.1.max(budget.items as u64).min(paths_left + PATHS.0);
        wildcards_left = WILDCARDS.1.max(budget.wildcards as u64).min(wildcards_left + WILDCARDS.0);
        ready.extend(returned.remove(&now).unwrap_or_default());

        // CloudFront accepts a batch if both quotas allow it.
        running.retain(|(batch, begun)| {
            let batch = batch.after(now - begun);
            if batch.paths <= paths_left && batch.wildcards <= wildcards_left {
                paths_left -= batch.paths;
                wildcards_left -= batch.wildcards;
                storm.paths += batch.paths;
                storm.batches += 1;
                storm.oldest = storm.oldest.max(now - batch.since);
                return false;
            }
            if now >= begun + RETRIES_FOR {
                storm.retries += 1;
                if batch.receives >= MOST_RECEIVES {
                    storm.dead += 1;
                } else {
                    returned.entry(now + COMES_AGAIN_AFTER).or_default().push(batch);
                }
                return false;
            }
            true
        });

        // Lambda waits until a batch is full or the window ends.
        while running.len() < INVOCATIONS {
            let waiting = arrived - received;
            if let Some(batch) = ready.pop() {
                running.push((Batch { receives: batch.receives + 1, ..batch }, now));
            } else if waiting > 0
                && (waiting >= BATCH || gathering.is_some_and(|begun| now >= begun + WINDOW))
            {
                let upto = arrived.min(received + BATCH);
                let folded = cover(keys(received, upto), budget).items;
                let wildcards = folded.iter().filter(|one| one.item.as_str().ends_with('*')).count();
                let since = (received / a_second) as u64;
                let (paths, wildcards) = (folded.len() as u64, wildcards as u64);
                running.push((Batch { since, paths, wildcards, receives: 1 }, now));
                (received, gathering) = (upto, None);
            } else {
                gathering = gathering.or((waiting > 0).then_some(now));
                break;
            }
        }
        if received == changes && running.is_empty() && ready.is_empty() && returned.is_empty() {
            storm.seconds = now;
            return storm;
        }
    }
    storm
}

fn main() {
    println!(
        "| changes | a second | budget | done after | oldest change | invalidations | retries | dead letters | paths | $ |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let minutes = |seconds: u64| format!("{} min", seconds.div_ceil(60));
    for (changes, a_second) in [(10_000, 100), (100_000, 500), (1_000_000, 1_000)] {
        for (items, wildcards) in [(150, 15), (50, 15), (15, 10)] {
            let Storm { seconds, batches, retries, dead, oldest, paths } =
                storm(changes, a_second, Budget { items, wildcards });
            let (done, oldest) = (minutes(seconds), minutes(oldest));
            let billed = usize::try_from(paths).unwrap_or(usize::MAX).saturating_sub(FREE_PATHS);
            let dollars = dollars(billed);
            println!(
                "| {changes} | {a_second} | {items}, {wildcards} | {done} | {oldest} | {batches} | {retries} | {dead} \
                 | {paths} | {dollars} |"
            );
        }
    }
}
