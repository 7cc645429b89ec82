//! S3 changes become CloudFront invalidations, in one straight line:
//!
//! ```text
//! bytes ──event──▶ Batch ──site, path──▶ items ──cover──▶ fewer ──plan──▶ Plan ──submit──▶ Outcome ──report──▶ answer, log
//!        what changed    what CloudFront       as few as the      one invalidation       CloudFront     who hears what
//!                        serves it as          budget allows      per distribution
//! ```
//!
//! [`run`] is the line. Everything but `submit` is a pure function, so a dry run is
//! the same line stopped after the plan. The function (`src/main.rs`), the command
//! line (`src/bin/cfadmin`) and the tests all enter at the left, with bytes.
//!
//! In reading order:
//!
//! - [`event`] reads what AWS sends, in whatever envelope
//! - [`path`] says what CloudFront calls an object
//! - [`site`] says which paths of a distribution an object is served under
//! - [`cover`] finds few items that cover many
//! - [`plan`] says what is to be sent, and who waits for it
//! - [`cloudfront`] is the API
//! - [`submit`] sends
//! - [`report`] makes the answer, the log, and what people read
//! - [`config`] reads what the environment says
//! - `local` is a CloudFront on loopback (cargo feature `local`)

pub mod cloudfront;
pub mod config;
pub mod cover;
pub mod event;
#[cfg(feature = "local")]
pub mod local;
pub mod path;
pub mod plan;
pub mod report;
pub mod site;
pub mod submit;

use std::time::Instant;

use crate::{cloudfront::Client, plan::Policy, report::Report};

/// The whole line: reads the event, plans, and sends what is planned by `deadline`.
///
/// `invocation` is an id that stays the same when the event is delivered again
/// because it failed. Without a client nothing is sent, and the report tells of the
/// plan alone.
pub async fn run(
    event: &[u8],
    invocation: &str,
    policy: &Policy,
    client: Option<&Client>,
    deadline: Instant,
) -> Report {
    let batch = event::read(event, invocation);
    let plan = plan::plan(&batch, policy);
    let outcome = match client {
        Some(client) => Some(submit::submit(client, &plan, deadline).await),
        None => None,
    };
    Report { batch, plan, outcome }
}
