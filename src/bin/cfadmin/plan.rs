//! `cfadmin plan`: the invalidations that an event leads to, and why.

use std::time::Instant;

use clap::Args;
use cloudfront_invalidator::{Invalidator, config::Config};

use crate::{
    Exit, LIMIT, Stop,
    account::{Asking, Connection, client_of},
    input::{Events, exit, variables},
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin plan events/put.json
  cfadmin plan --distributions E1A2B3C4D5E6F7.json --all - < event.json";

/// Show what the function would send for an event, and why, without contacting CloudFront
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    events: Events,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    asking: Asking,

    /// Show every change behind a path instead of the first few
    #[arg(long)]
    all: bool,
}

/// The invocation id of a plan: constant, so that the same event gives the same plan.
const INVOCATION: &str = "plan";

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let given = arguments.connection.distributions.are_given();
    let (mut config, max_attempts) = Config::of_caller(variables(!given))?;
    let asking = arguments.asking.client(&mut config, &arguments.connection, max_attempts).await?;
    let events = arguments.events.read()?;
    let local = if given { Some(arguments.connection.distributions.start(Vec::new()).await?) } else { None };
    let mut invalidator = Invalidator::new(Config { dry_run: true, ..config }, local.as_ref().map(client_of));
    if let Some(client) = asking {
        invalidator = invalidator.asking(client);
    }
    let mut done = true;
    for (name, event) in events {
        let report = invalidator.run(&event, INVOCATION, Instant::now() + LIMIT).await;
        arguments.events.write(&name, &report, report.explain(invalidator.policy(), arguments.all))?;
        done &= report.is_done();
    }
    Ok(exit(done))
}
