//! `cfadmin plan`: what would be sent, and why.

use std::time::Instant;

use clap::Args;
use cloudfront_invalidator::{config::Config, run as line};

use crate::{
    Exit, Stop,
    input::{Events, exit, variables_with_example},
};

/// Show what would be sent for an event, and why; nothing is contacted
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    events: Events,

    /// Show every change behind a path, not only the first few
    #[arg(long)]
    all: bool,
}

/// The id of an invocation that never happens: fixed, so that a plan of the same
/// event is the same plan.
const INVOCATION: &str = "plan";

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let policy = Config::read(variables_with_example())?.policy;
    let mut done = true;
    for (name, event) in arguments.events.read()? {
        let report = line(&event, INVOCATION, &policy, None, Instant::now()).await;
        arguments.events.write(&name, &report, report.explain(&policy, arguments.all))?;
        done &= report.is_done();
    }
    Ok(exit(done))
}
