//! `cfadmin invoke`: processes an event as the function does.

use std::time::Instant;

use clap::Args;
use cloudfront_invalidator::{Invalidator, cloudfront::Client, config::Config, request::unique, text::Plain};

use crate::{
    Exit, LIMIT, Stop,
    account::{Asking, Connection, client_of},
    errors::translate,
    input::{Events, exit, variables},
    out::mark_as_simulated,
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin invoke --local events/put.json
  cfadmin invoke event.json --profile site";

/// Process an event as the function does
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    events: Events,

    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let connection = &arguments.connection;
    let is_given = connection.distributions.are_given();
    let is_local = connection.local || is_given;
    let stands_in = is_local && !is_given;
    let (mut config, max_attempts) = Config::of_caller(variables(stands_in))?;
    // Without --local, the function's settings apply as they are.
    let asking = if is_local || arguments.asking.ask_bucket {
        arguments.asking.client(&mut config, connection, max_attempts).await?
    } else {
        None
    };
    let events = arguments.events.read()?;
    let local = if is_local {
        mark_as_simulated();
        let ids = config.search.given().list.iter().map(|site| site.distribution.to_string()).collect();
        Some(connection.distributions.start(ids).await?)
    } else {
        None
    };
    let client = match &local {
        _ if config.dry_run && !config.search.needs_lookup() => None,
        Some(local) => Some(client_of(local)),
        None => Some(Client::of_profile(&connection.load(max_attempts).await)),
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
        let mut text = report.to_string();
        for error in report.errors().filter(|_| !arguments.events.output.debug) {
            if let Some(translated) = translate(error, connection) {
                text = text.replace(&Plain(&error.to_string()).to_string(), &translated);
            }
        }
        arguments.events.write(&name, &report, text)?;
        done &= report.is_done();
    }
    Ok(exit(done))
}
