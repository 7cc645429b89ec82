//! S3 changes become CloudFront invalidations, in one straight line:
//!
//! ```text
//! bytes ──event──▶ Batch ──site, path──▶ items ──cover──▶ fewer ──plan──▶ Plan ──submit──▶ Outcome ──report──▶ answer, log
//!        what changed    what CloudFront       as few as the      one invalidation       CloudFront     who hears what
//!                        serves it as          budget allows      per distribution
//! ```
//!
//! [`Invalidator::run`] is the line. Everything but `discover` and `submit`, which ask
//! CloudFront, is a pure function, so a dry run is the same line stopped after the plan.
//! The function (`src/main.rs`), the command line (`src/bin/cfadmin`) and the tests all
//! enter at the left, with bytes.
//!
//! In reading order:
//!
//! - [`event`] reads what AWS sends, in whatever envelope
//! - [`path`] says what CloudFront calls an object
//! - [`site`] says which paths of a distribution an object is served under
//! - [`discover`] finds the distributions that serve a bucket
//! - [`cover`] finds few items that cover many
//! - [`plan`] says what is to be sent, and who waits for it
//! - [`cloudfront`] is the API
//! - [`submit`] sends
//! - [`request`] is an invalidation that a person asks for
//! - [`report`] makes the answer, the log, and what people read
//! - [`config`] reads what the environment says
//! - [`text`] is text for people
//! - `local` is a CloudFront on loopback (cargo feature `local`)

pub mod cloudfront;
pub mod config;
pub mod cover;
pub mod discover;
pub mod event;
#[cfg(feature = "local")]
pub mod local;
pub mod path;
pub mod plan;
pub mod report;
pub mod request;
pub mod site;
pub mod submit;
pub mod text;
#[cfg(feature = "cli")]
pub mod verify;
pub mod watch;

use std::time::{Instant, SystemTime};

use crate::{
    cloudfront::Client,
    config::Config,
    discover::Finder,
    plan::{Pace, Planner, Policy},
    report::{Ended, Report},
};

/// The whole line, with what it remembers from one event to the next.
#[derive(Debug)]
pub struct Invalidator {
    policy: Policy,
    finder: Finder,
    client: Option<Client>,
    dry_run: bool,
}

impl Invalidator {
    /// One that does what the configuration says. Without a client nothing is sent and
    /// nobody asked.
    #[must_use]
    pub fn new(config: Config, client: Option<Client>) -> Self {
        let Config { policy, search, dry_run, metrics: _, retired: _ } = config;
        Self { policy, finder: Finder::new(search), client, dry_run }
    }

    /// Reads the event, plans, and, unless it is a dry run, sends what is planned by
    /// `deadline`.
    ///
    /// `invocation` is an id that stays the same when the event is delivered again
    /// because it failed.
    pub async fn run(&self, event: impl AsRef<[u8]>, invocation: &str, deadline: Instant) -> Report {
        let batch = event::read(event.as_ref(), invocation);
        // A large one takes more memory than all that comes of it.
        drop(event);
        let client = self.client.as_ref();
        let begun = Instant::now();
        let left = deadline.saturating_duration_since(begun);
        // Finding the sites may take half of the time.
        let found =
            self.finder.find(&batch, &self.policy.watch, client, begun + left / 2, SystemTime::now()).await;
        let client = client.filter(|_| !self.dry_run);
        // Planning may take another quarter as thoroughly as it should. What nobody sends is never
        // too late.
        let pace = || match Instant::now() {
            now if now < begun + left * 3 / 4 => Pace::Thorough,
            now if now < begun + left * 7 / 8 || client.is_none() => Pace::Hasty,
            _ => Pace::Everything,
        };
        let mut planner = Planner::new(&batch, &self.policy, &found.sites);
        let mut ended = Ended::new(client.is_none());
        let mut next = || planner.next(&pace);
        match client {
            Some(client) => {
                let done = |one, sent| ended.sent(one, sent, &batch, &self.policy, &found.sites);
                submit::submit(client, next, deadline, done).await;
                if ended.any_distribution_is_gone() {
                    self.finder.forget().await;
                }
            }
            None => std::iter::from_fn(&mut next).for_each(|one| ended.planned(one)),
        }
        let (invalidations, results) = ended.in_order();
        let plan = planner.finish(invalidations);
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        Report::new(batch, found, plan, results, at)
    }

    /// What it does with changes.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}
