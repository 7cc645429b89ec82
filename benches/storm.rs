//! Simulates what a storm of changes does to the queue and to CloudFront's quotas, with the
//! template's settings, the real cover and the real division of the allowance. docs/operations.md
//! shows the resulting table.
//!
//! ```sh
//! cargo bench --bench storm
//! ```
//!
//! The simulation advances second by second. These numbers come from the AWS documentation, the
//! template, and what is known of CloudFront:
//!
//! - Five pollers gather batches of up to 3,000 messages for up to ten seconds, and two environments
//!   take them.
//! - A batch returns after 190 seconds and becomes a dead letter after 240 receives.
//! - CloudFront allows 150 paths and one wildcard a second, and a call every two seconds.
//!
//! An invocation behaves as the function does: it retries for half of its 29 seconds, and then
//! folds what it sends. AWS does not document how much CloudFront accepts at once. The simulation
//! assumes one second's worth of paths, 15 wildcards and 15 calls, and that CloudFront accepts a request
//! as a whole or not at all. With an allowance, the storm comes on the first day of a month of thirty days.

#[path = "lambda/ledger.rs"]
mod ledger;

#[path = "lambda/pollers.rs"]
mod pollers;

use std::collections::{BTreeMap, VecDeque};

use cloudfront_invalidator::{
    allowance::{budget, pause},
    cover::{Budget, cover},
    path::{Item, Kind},
    report::{FREE_PATHS, dollars},
};
use ledger::{Allowance, Ledger};
use pollers::{ENVIRONMENTS, gather};

const RETRIES_FOR: u64 = 29;
const FOLDS_AFTER: u64 = 14;
const COMES_AGAIN_AFTER: u64 = 190;
const MOST_RECEIVES: u32 = 240;
/// The limits of a batch.
const MOST: Budget = Budget { items: 150, wildcards: 15 };

/// A quota of CloudFront, which refills with time.
struct Quota {
    left: usize,
    most: usize,
    /// The number of seconds after which some are added, and their number.
    refill: (u64, usize),
}

impl Quota {
    const fn new(most: usize, refill: (u64, usize)) -> Self {
        Self { left: most, most, refill }
    }

    fn refill(&mut self, now: u64) {
        let (seconds, more) = self.refill;
        if now.is_multiple_of(seconds) {
            self.left = self.most.min(self.left + more);
        }
    }
}

/// Changes that are purged together.
#[derive(Clone, Default)]
struct Batch {
    /// The second of its first change.
    since: u64,
    changes: Vec<Item>,
    receives: u32,
}

/// An invocation.
struct Running {
    batch: Batch,
    begun: u64,
    items: usize,
    wildcards: usize,
}

impl Running {
    /// Returns the paths, and the wildcards among them, that the function sends at this second.
    fn sends(&self, now: u64) -> (usize, usize) {
        let (items, wildcards) = match (now - self.begun).saturating_sub(FOLDS_AFTER) {
            0 => (usize::MAX, usize::MAX),
            1 => (15, 7),
            2 => (4, 3),
            _ => (1, 1),
        };
        (self.items.min(items), self.wildcards.min(wildcards))
    }
}

/// An environment of the function.
#[derive(Default)]
struct Environment {
    running: Option<Running>,
    /// The second of the last invalidation.
    last: Option<u64>,
    /// The changes that wait for the end of a pause, and the second at which it ends.
    waiting: Option<(u64, Batch)>,
}

/// The results of a storm.
#[derive(Default)]
struct Storm {
    seconds: u64,
    invalidations: u64,
    retries: u64,
    dead: u64,
    oldest: u64,
    paths: usize,
}

/// Returns the path of a change: the site has a hundred pages in each of a hundred sections of each volume.
fn path(n: usize) -> Item {
    let key = format!("volume-{}/section-{}/page-{n}.html", n / 10_000, n / 100 % 100);
    Item::from_key(key.as_bytes())
}

/// Returns the limits of a batch, and the pause in seconds.
fn limits(ledger: &mut Ledger, environment: usize, now: u64, allowance: Option<usize>) -> (Budget, u64) {
    let Some(paths) = allowance else { return (MOST, 0) };
    let standing = ledger.standing(environment, 1_000 * now, Allowance { paths, since: 0, days: 30.0 });
    (budget(standing, 1, MOST), pause(standing, 1).as_secs())
}

fn storm(changes: usize, a_second: u64, allowance: Option<usize>) -> Storm {
    let mut storm = Storm::default();
    let mut arriving = gather(changes, a_second, 1).into_iter().peekable();
    let mut ready: VecDeque<Batch> = VecDeque::new();
    let mut returned: BTreeMap<u64, Vec<Batch>> = BTreeMap::new();
    let mut environments: [Environment; ENVIRONMENTS] = Default::default();
    let mut ledger = Ledger::default();
    let mut paths = Quota::new(150, (1, 150));
    let mut wildcards = Quota::new(15, (1, 1));
    let mut calls = Quota::new(15, (2, 1));
    for now in 0.. {
        for quota in [&mut paths, &mut wildcards, &mut calls] {
            quota.refill(now);
        }
        ready.extend(returned.remove(&now).unwrap_or_default());
        while let Some(batch) = arriving.next_if(|batch| batch.closed <= 1_000 * now) {
            let since = batch.messages[0] as u64 / a_second;
            let changes = batch.messages.into_iter().map(path).collect();
            ready.push_back(Batch { since, changes, receives: 0 });
        }
        for (index, environment) in environments.iter_mut().enumerate() {
            // CloudFront accepts a request if all quotas allow it.
            if let Some(running) = environment.running.take() {
                let (items, wild) = running.sends(now);
                if items <= paths.left && wild <= wildcards.left && calls.left > 0 {
                    paths.left -= items;
                    wildcards.left -= wild;
                    calls.left -= 1;
                    ledger.send(index, 1_000 * now, items);
                    storm.paths += items;
                    storm.invalidations += 1;
                    storm.oldest = storm.oldest.max(now - running.batch.since);
                    environment.last = Some(now);
                } else if now < running.begun + RETRIES_FOR {
                    environment.running = Some(running);
                } else {
                    storm.retries += 1;
                    if running.batch.receives >= MOST_RECEIVES {
                        storm.dead += 1;
                    } else {
                        returned.entry(now + COMES_AGAIN_AFTER).or_default().push(running.batch);
                    }
                }
            }
            while environment.running.is_none() {
                let (limit, pause) = limits(&mut ledger, index, now, allowance);
                let due = environment.waiting.take_if(|(due, _)| *due <= now);
                let is_due = due.is_some();
                let Some(mut batch) = due.map(|(_, batch)| batch).or_else(|| ready.pop_front()) else {
                    break;
                };
                batch.receives += 1;
                let until = environment.last.map_or(0, |last| last + pause);
                let folded = |batch: &Batch| cover(batch.changes.iter().cloned(), limit).items;
                if !is_due && now < until {
                    // The message in the queue has the paths that purge what waits.
                    let (_, waiting) = environment
                        .waiting
                        .get_or_insert_with(|| (until, Batch { since: batch.since, ..Batch::default() }));
                    waiting.changes.extend(batch.changes);
                    waiting.changes = folded(waiting).into_iter().map(|one| one.item).collect();
                } else {
                    let items = folded(&batch);
                    let wildcards = items.iter().filter(|one| one.item.kind() == Kind::Wildcard).count();
                    let items = items.len();
                    environment.running = Some(Running { batch, begun: now, items, wildcards });
                }
            }
        }
        let is_idle =
            |environment: &Environment| environment.running.is_none() && environment.waiting.is_none();
        if arriving.peek().is_none()
            && ready.is_empty()
            && returned.is_empty()
            && environments.iter().all(is_idle)
        {
            storm.seconds = now;
            return storm;
        }
    }
    storm
}

fn main() {
    println!(
        "| changes | a second | `PathsPerMonth` | done after | oldest change | invalidations | retries | dead letters | paths | $ |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let minutes = |seconds: u64| format!("{} min", seconds.div_ceil(60));
    for (changes, a_second) in [(10_000, 100), (100_000, 500), (1_000_000, 1_000), (1_000_000, 3_500)] {
        for allowance in [None, Some(1_000)] {
            let Storm { seconds, invalidations, retries, dead, oldest, paths } =
                storm(changes, a_second, allowance);
            let (done, oldest) = (minutes(seconds), minutes(oldest));
            let dollars = dollars(paths.saturating_sub(FREE_PATHS));
            let allowance = allowance.map_or("none".to_owned(), |paths| paths.to_string());
            println!(
                "| {changes} | {a_second} | {allowance} | {done} | {oldest} | {invalidations} | {retries} | {dead} \
                 | {paths} | {dollars} |"
            );
        }
    }
}
