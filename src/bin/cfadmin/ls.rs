//! `cfadmin ls`: the account's distributions.

use std::io::{self, Write};

use clap::Args;

use crate::{Exit, LIMIT, Stop, account::Connection, input::document};

/// List the account's distributions
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One JSON document for each, a line each
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let (_local, client) = arguments.connection.client().await?;
    let listed = client.distributions(LIMIT).await.map_err(Stop::of("ListDistributions"))?;
    let mut out = io::stdout().lock();
    for distribution in &listed {
        let written = if arguments.json {
            document(&mut out, distribution)
        } else {
            let names: Vec<&str> = distribution.names().collect();
            let origins: Vec<String> = distribution
                .origins
                .iter()
                .map(|origin| format!("{}{}", origin.domain_name, origin.path))
                .collect();
            let status = if distribution.enabled { &*distribution.status } else { "Disabled" };
            writeln!(out, "{}  {status:<10}  {}  {}", distribution.id, names.join(", "), origins.join(", "))
        };
        written.map_err(Stop::io("standard output"))?;
    }
    out.flush().map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}
