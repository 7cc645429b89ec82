//! `cfadmin status`: the status and paths of an invalidation.

use clap::Args;

use crate::{Exit, Stop, account::Connection, follow::show, out::Output, target::Target};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin status www.example.com I2J0I21PCUYOIK";

/// Show the status and paths of an invalidation
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Invalidation id
    id: String,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let distribution = arguments.target.find_one(&account).await?;
    match account.client.invalidation(&distribution, &arguments.id).await {
        Ok(seen) => show(&arguments.output, &distribution, &seen, true)?,
        Err(error) => return Err(arguments.target.explain(&account, error).await),
    }
    Ok(Exit::Done)
}
