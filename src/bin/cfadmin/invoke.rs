//! `cfadmin invoke`: processes an event as the function does.

use std::time::Instant;

use clap::Args;
use cloudfront_invalidator::{
    Invalidator,
    cloudfront::{Client, Profile},
    config::Config,
    request::unique,
};

use crate::{
    Exit, LIMIT, Stop,
    account::{Asking, Distributions, client_of},
    input::{Events, exit, variables},
};

/// Process an event as the function does
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    events: Events,

    /// Use a CloudFront on this machine instead of AWS
    #[arg(long)]
    local: bool,

    #[command(flatten)]
    distributions: Distributions,

    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let is_local = arguments.local || arguments.distributions.are_given();
    let stands_in = is_local && !arguments.distributions.are_given();
    let (mut config, max_attempts) = Config::of_caller(variables(stands_in))?;
    // Without --local, the function's settings apply as they are.
    let asking = if is_local || arguments.asking.ask_bucket {
        arguments.asking.client(&mut config, max_attempts).await?
    } else {
        None
    };
    let events = arguments.events.read()?;
    let local = if is_local {
        let ids = config.search.given().list.iter().map(|site| site.distribution.to_string()).collect();
        Some(arguments.distributions.start(ids).await?)
    } else {
        None
    };
    let client = match &local {
        _ if config.dry_run && !config.search.needs_lookup() => None,
        Some(local) => Some(client_of(local)),
        None => Some(Client::of_profile(&Profile::load(max_attempts, None, None, None).await)),
    };
    let mut invalidator = Invalidator::new(config, client);
    if let Some(client) = asking {
        invalidator = invalidator.asking(client);
    }
    let mut done = true;
    for (number, (name, event)) in events.into_iter().enumerate() {
        // As Lambda does, give each invocation an id of its own, so that a manual event sent twice
        // makes two invalidations.
        let invocation = format!("{}-{number}", unique());
        let report = invalidator.run(&event, &invocation, Instant::now() + LIMIT).await;
        arguments.events.write(&name, &report, &report)?;
        done &= report.is_done();
    }
    Ok(exit(done))
}
