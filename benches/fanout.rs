//! Simulates one change for many distributions, against the rate at which CloudFront accepts
//! invalidations, with the real [`Pace`]. docs/operations.md shows the resulting table.
//!
//! ```sh
//! cargo bench --bench fanout
//! ```
//!
//! These numbers come from the template, and from what is known of CloudFront:
//!
//! - CloudFront accepts a call every two seconds, after a burst of 15. An answer takes 0.2 seconds.
//! - Two environments run at a time. Lambda waits for ten seconds before it passes on what is in the queue.
//! - An invocation makes calls for five sixths of 29 seconds, and at most eight at the same time.
//!
//! The function sends narrowed messages for the rest, each delayed until its turn. "Cold" means that every
//! invocation runs in a new environment, which knows nothing of the pace.

use std::{collections::VecDeque, time::Duration};

use cloudfront_invalidator::cloudfront::Pace;

const STEP: Duration = Duration::from_millis(100);
const RATE: f64 = 0.5;
const BURST: f64 = 15.0;
const ANSWER: Duration = Duration::from_millis(200);
const ENVIRONMENTS: usize = 2;
const WINDOW: Duration = Duration::from_secs(10);
const CALLS_FOR: Duration = Duration::from_millis(29_000 * 5 / 6);
const MOST_AT_ONCE: usize = 8;
const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// A message in the queue.
struct Message {
    visible: Duration,
    distributions: Vec<usize>,
}

/// An environment of the function.
#[derive(Default)]
struct Environment {
    pace: Pace,
    /// The end of the time for calls. `None` while no invocation runs.
    until: Option<Duration>,
    waiting: VecDeque<usize>,
    /// The calls without an answer: the distribution, the beginning, and whether CloudFront accepted it.
    calls: Vec<(usize, Duration, bool)>,
    put_off: Vec<usize>,
}

/// The results of a simulation.
#[derive(Default)]
struct Results {
    done_after: Duration,
    calls: usize,
    throttled: usize,
    invocations: usize,
    /// The number of deliveries of messages for each distribution.
    deliveries: Vec<usize>,
}

fn simulate(distributions: usize, changes: usize, is_cold: bool) -> Results {
    let mut results = Results { deliveries: vec![0; distributions * changes], ..Results::default() };
    let all = |change: usize| (change * distributions..(change + 1) * distributions).collect();
    let mut queue: Vec<Message> =
        (0..changes).map(|change| Message { visible: Duration::ZERO, distributions: all(change) }).collect();
    let mut environments: Vec<Environment> = (0..ENVIRONMENTS).map(|_| Environment::default()).collect();
    let (mut tokens, mut left) = (BURST, distributions * changes);
    let mut now = Duration::ZERO;
    while left > 0 {
        now += STEP;
        tokens = (tokens + RATE * STEP.as_secs_f64()).min(BURST);
        for environment in &mut environments {
            let Some(until) = environment.until else {
                if !queue.iter().any(|message| message.visible + WINDOW <= now) {
                    continue;
                }
                // The changes of several batches come in as many invocations.
                let is_first = |message: &Message| message.distributions.len() == distributions;
                let only_one = queue.iter().any(|message| message.visible <= now && is_first(message));
                let mut taken = 0;
                queue.retain(|message| {
                    let is_taken = message.visible <= now && !(only_one && taken > 0);
                    if is_taken {
                        taken += 1;
                        environment.waiting.extend(&message.distributions);
                    }
                    !is_taken
                });
                environment.waiting.iter().for_each(|one| results.deliveries[*one] += 1);
                results.invocations += 1;
                environment.until = Some(now + CALLS_FOR);
                if is_cold {
                    environment.pace = Pace::default();
                }
                continue;
            };
            let Environment { pace, waiting, calls, put_off, .. } = environment;
            calls.retain(|&(distribution, begun, is_accepted)| {
                let is_pending = begun + ANSWER > now;
                if !is_pending && is_accepted {
                    pace.accepted();
                    left -= 1;
                    results.done_after = now;
                } else if !is_pending {
                    pace.throttled(begun, now);
                    waiting.push_back(distribution);
                }
                is_pending
            });
            while calls.len() < MOST_AT_ONCE && !waiting.is_empty() {
                match pace.begin(now) {
                    Ok(()) => {
                        let is_accepted = tokens >= 1.0;
                        tokens -= f64::from(u8::from(is_accepted));
                        results.calls += 1;
                        results.throttled += usize::from(!is_accepted);
                        calls.extend(waiting.pop_front().map(|one| (one, now, is_accepted)));
                    }
                    Err(wait) if now + wait < until => break,
                    Err(_) => put_off.extend(waiting.drain(..)),
                }
            }
            if waiting.is_empty() && calls.is_empty() {
                put_off.sort_unstable();
                let interval = pace.interval();
                queue.extend(put_off.drain(..).zip(1..).map(|(distribution, turn)| {
                    let delay = (interval * turn).min(LONGEST_DELAY);
                    Message { visible: now + delay, distributions: vec![distribution] }
                }));
                environment.until = None;
            }
        }
    }
    results
}

fn main() {
    println!(
        "| distributions | changes | environments | done after | calls for each | throttled | deliveries, at most | invocations |"
    );
    println!("|---:|---:|---|---:|---:|---:|---:|---:|");
    for (distributions, changes) in [(1, 1), (10, 1), (60, 1), (300, 1), (60, 2), (300, 2)] {
        for is_cold in [false, true] {
            let Results { done_after, calls, throttled, invocations, deliveries } =
                simulate(distributions, changes, is_cold);
            let each = f64::from(u32::try_from(calls).unwrap_or(u32::MAX))
                / f64::from(u32::try_from(distributions * changes).unwrap_or(u32::MAX));
            println!(
                "| {distributions} | {changes} | {} | {} s | {each:.2} | {throttled} | {} | {invocations} |",
                if is_cold { "cold" } else { "warm" },
                done_after.as_secs(),
                deliveries.iter().max().copied().unwrap_or_default(),
            );
        }
    }
}
