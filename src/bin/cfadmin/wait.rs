//! `cfadmin wait`: waits until an invalidation is completed.

use std::time::Duration;

use clap::Args;

use crate::{
    Exit, Stop,
    account::Connection,
    follow::{MAX_TIMEOUT, follow, show},
    out::Output,
    target::Target,
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin wait www.example.com I2J0I21PCUYOIK --timeout 120";

/// Wait until an invalidation is completed
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Invalidation id
    id: String,

    /// Maximum time to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(..=MAX_TIMEOUT))]
    timeout: u64,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let distribution = arguments.target.find_one(&account).await?;
    let limit = Duration::from_secs(arguments.timeout);
    let followed = follow(&account, &distribution, &arguments.id, limit, &arguments.output).await;
    let (exit, seen) = match followed {
        Ok(followed) => followed,
        Err(error) => return Err(arguments.target.explain(&account, error).await),
    };
    if let Some(seen) = seen {
        show(&arguments.output, &distribution, &seen, false)?;
    }
    Ok(exit)
}
