//! Turns S3 object-change events into CloudFront invalidations.
//!
//! Plan what an event invalidates, without a call to AWS:
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use cloudfront_invalidator::{Config, Invalidator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::read([("INVALIDATOR_DISTRIBUTIONS", "E1EXAMPLE")])?;
//! let invalidator = Invalidator::new(config, None);
//!
//! let event = r#"{"detail-type": "Object Created", "source": "aws.s3",
//!     "detail": {"bucket": {"name": "my-bucket"}, "object": {"key": "docs/my photo.jpg"}}}"#;
//! let deadline = Instant::now() + Duration::from_secs(10);
//! let report = invalidator.run(event, "my-invocation", deadline).await;
//! assert!(report.is_done());
//! println!("{}", report.explain(invalidator.policy(), true));
//! # Ok(())
//! # }
//! ```
//!
//! [`InvalidationRequest`] sends paths that you name yourself.
//!
//! The folder `examples` has three programs: `purge` purges paths and waits until CloudFront has done it, `paths` prints
//! the paths under which a distribution serves objects, and `lambda` is a Lambda function of your own around
//! [`Invalidator`].
//!
//! Only [`Invalidator`] and the types that this page re-exports follow semantic versioning. The modules are public for
//! the function, for cfadmin and for the tests, and change without notice.
//!
//! # Modules
//!
//! [`Invalidator::run`] passes an event through the modules in this order:
//!
//! ```text
//! bytes ─event─▶ Batch ─watch, site, path─▶ items ─cover─▶ fewer items ─plan─▶ Plan ─submit─▶ results ─narrow─▶ what is left ─report─▶ answer, log
//! ```
//!
//! `discover` and `submit` call CloudFront, `versions` and `neighbors` ask S3, `usage` asks CloudWatch, and `narrow` calls SQS; the others are pure functions. A dry run stops after the
//! plan. The function (`src/main.rs`), cfadmin (`src/bin/cfadmin`) and the tests all call `run`.
//!
//! In reading order:
//!
//! - [`event`] reads events in every envelope in which AWS delivers them
//! - [`watch`] decides which changes count
//! - [`path`] spells the paths and wildcards of an object key
//! - [`site`] maps an object to the paths under which a distribution serves it
//! - [`discover`] finds the distributions that serve a bucket
//! - [`bucket`] asks S3 for the objects and versions of a bucket
//! - [`versions`] decides which changes made no difference
//! - [`cover`] folds many paths into few, with the least collateral
//! - [`neighbors`] lists what the buckets hold around the changed keys
//! - [`allowance`] divides the month's paths among the batches
//! - [`plan`] decides which invalidations to send, and which messages depend on each
//! - [`cloudfront`] is the client of CloudFront's API
//! - [`submit`] sends the invalidations
//! - [`usage`] reads how many paths were sent this month
//! - `rpc` calls services in AWS's JSON protocol
//! - [`queue`] sends messages to the queue that a batch came from, and reads the settings of queues
//! - [`narrow`] writes messages for what is left of a batch
//! - [`spending`] decides how many paths a batch gets, and what has to wait
//! - [`request`] is an invalidation of paths that the caller names
//! - [`report`] writes the answer, the log, the metrics and the texts for people
//! - [`config`] reads the environment variables
//! - [`text`] makes text from outside safe to print
//! - `order` sorts lists with little code
//! - `time` parses times as AWS writes them, and finds the month of a time
//! - `coverage` decides which paths were purged since they changed (feature `cli`)
//! - `lambda` reads the settings of functions (feature `cli`)
//! - `verify` compares what viewers get with what the bucket holds (feature `cli`)
//! - `local` is a CloudFront on loopback (feature `local`)

pub mod allowance;
pub mod bucket;
pub mod cloudfront;
pub mod config;
pub mod cover;
#[cfg(feature = "cli")]
pub mod coverage;
pub mod discover;
pub mod event;
#[cfg(feature = "cli")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
pub mod narrow;
pub mod neighbors;
mod order;
pub mod path;
pub mod plan;
pub mod queue;
pub mod report;
pub mod request;
mod rpc;
pub mod site;
pub mod spending;
pub mod submit;
pub mod text;
mod time;
pub mod usage;
#[cfg(feature = "cli")]
pub mod verify;
pub mod versions;
pub mod watch;

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    bucket::S3,
    discover::Finder,
    event::Reading,
    narrow::{Moment, Narrowing},
    neighbors::Neighbors,
    plan::{Known, Pace, Planner, Policy},
    queue::Queue,
    report::{Behind, Ended},
    spending::{Purse, Spending},
    versions::Findings,
};
pub use crate::{
    cloudfront::{Client, Settings},
    config::Config,
    path::Item,
    report::Report,
    request::InvalidationRequest,
    site::DistributionId,
    time::since_1970,
};

/// Turns events into invalidations. Remembers the account's distributions from one event to the next.
#[derive(Debug)]
pub struct Invalidator {
    policy: Policy,
    finder: Finder,
    client: Option<Client>,
    /// The client that asks S3, if it is another one.
    asking: Option<Client>,
    dry_run: bool,
    /// The month's allowance of paths. `None` if there is no limit.
    spending: Option<Spending>,
}

impl Invalidator {
    /// Creates an invalidator with this configuration. Without a client it looks up no distributions
    /// and sends nothing.
    #[must_use]
    pub fn new(config: Config, client: Option<Client>) -> Self {
        let Config { policy, search, dry_run, metrics: _, monthly_paths, retired: _ } = config;
        let spending = monthly_paths.map(Spending::new);
        Self { policy, finder: Finder::new(search), client, asking: None, dry_run, spending }
    }

    /// Asks S3 with this client instead of the one that it was created with.
    #[must_use]
    pub fn asking(self, client: Client) -> Self {
        Self { asking: Some(client), ..self }
    }

    /// Reads the event, plans the invalidations and, unless this is a dry run, sends them before
    /// `deadline`.
    ///
    /// `invocation` is an id that stays the same when the event is delivered again after a failure.
    pub async fn run(&self, event: impl AsRef<[u8]>, invocation: &str, deadline: Instant) -> Report {
        self.run_at(now(), event, invocation, deadline).await
    }

    /// Does the same as [`Invalidator::run`] at another time than the present, in milliseconds since 1970. Only the
    /// allowance of paths depends on it. So tests and simulations need not take a month.
    pub async fn run_at(
        &self,
        received: u64,
        event: impl AsRef<[u8]>,
        invocation: &str,
        deadline: Instant,
    ) -> Report {
        let reading = Reading { versions: !self.policy.skip.is_off() };
        let batch = event::read_with(event.as_ref(), invocation, reading);
        // A large event takes more memory than everything derived from it.
        drop(event);
        let client = self.client.as_ref();
        let begun = Instant::now();
        let left = deadline.saturating_duration_since(begun);
        // The lookup may take half of the time.
        let found =
            self.finder.find(&batch, &self.policy.watch, client, begun + left / 2, SystemTime::now()).await;
        let mut findings = Findings::default();
        let asked = self.asking.as_ref().or(client);
        if let Some(client) = asked {
            // S3 may take what is left of the first half.
            let asking = (&self.policy.watch, self.policy.skip);
            findings = versions::ask(&batch, asking, &found.sites, client, begun + left / 2, now()).await;
        }
        let client = client.filter(|_| !self.dry_run);
        let queue = client.and_then(|client| Queue::of_arn(batch.queue.as_deref()?, client));
        let submit_until = if queue.is_some() { begun + left * 5 / 6 } else { deadline };
        // Planning may take a quarter of the time. It then becomes coarser, except that a dry run never
        // resorts to `/*`. While calls wait for their turn, nothing is planned, so that time does not
        // count.
        let (spent, since) = (Cell::new(Duration::ZERO), Cell::new(Instant::now()));
        let pace = || match spent.get() + since.get().elapsed() {
            _ if queue.is_some() && Instant::now() >= submit_until => Pace::PutOff,
            spent if spent < left / 4 => Pace::Thorough,
            spent if spent < left * 7 / 24 || client.is_none() => Pace::Hasty,
            _ => Pace::Everything,
        };
        let known = Known { sites: &found.sites, findings: &findings };
        let mut planner = Planner::new(&batch, &self.policy, known);
        let present = || received + u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut purse = Purse::new(self.spending.as_ref(), &present);
        if purse.is_limited()
            && let distributions @ 1.. = planner.distributions(&|| begun.elapsed() > left / 2)
        {
            // Only a queue can make changes wait.
            let (most, may_wait) = (self.policy.budget, queue.is_some());
            let budget = purse.open(asked, left / 8, distributions, most, may_wait).await;
            planner = planner.limited(budget);
        }
        let mut listing = None;
        if self.policy.list_bucket
            && let Some(client) = asked
        {
            let wanted = planner.wanted(&|| begun.elapsed() > left / 2);
            if !wanted.is_empty() {
                let mut known = Neighbors::default();
                let rest = deadline.saturating_duration_since(Instant::now());
                let open = |name: &str| S3::of(client).bucket(name, batch.region(name));
                listing = Some(neighbors::list(&mut known, wanted, open, rest / 3).await);
                planner = planner.knowing(known);
            }
        }
        let mut ended = Ended::new(client.is_none());
        let mut next = || {
            since.set(Instant::now());
            let next = planner.next(&pace);
            spent.set(spent.get() + since.get().elapsed());
            next
        };
        if let Some(client) = client {
            let done = |one, result| {
                purse.record(&one, &result);
                ended.sent(one, result, &batch, &self.policy, known);
            };
            submit::submit(client, || purse.next(&batch, &mut next), submit_until, done).await;
            for (one, result) in purse.withheld() {
                ended.sent(one, result, &batch, &self.policy, known);
            }
        } else {
            std::iter::from_fn(&mut next).for_each(|one| ended.planned(one));
        }
        if ended.any_distribution_is_gone() {
            self.finder.forget().await;
        }
        let (invalidations, results) = ended.in_order();
        let plan = planner.finish(invalidations);
        let mut narrowing = Narrowing::default();
        if let (Some(client), Some(queue), Some((outcome, behind))) = (client, queue, &results) {
            let left = narrow::left(&plan, outcome, behind.iter().filter_map(Behind::undone));
            let pause = |distribution: &DistributionId| purse.rest(distribution);
            let moment = Moment { now: present(), interval: client.interval(), pause: &pause };
            narrowing = narrow::narrow(&batch, &plan, &left, moment, (&queue, client), deadline).await;
        }
        let (month, grant) = purse.close().await;
        let report = Report::new(batch, found, plan, results, present()).with_month(month).with_grant(grant);
        report.with_findings(findings).with_listing(listing).with_narrowing(narrowing)
    }

    /// Returns the policy for changes.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// Returns the time in milliseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    since_1970(SystemTime::now()).unwrap_or_default()
}
