//! `cfadmin ls`: lists the account's distributions.

use clap::Args;
use cloudfront_invalidator::site::Distribution;

use crate::{Exit, LIMIT, Stop, account::Connection, out::Output};

/// List the account's distributions
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let listed = account.client.distributions(LIMIT).await.map_err(Stop::of("ListDistributions"))?;
    arguments.output.table(&["ID", "STATUS", "DOMAIN", "ALIASES", "ORIGINS"], &listed, |distribution| {
        let Distribution { id, domain_name, aliases, .. } = distribution;
        let status = if distribution.enabled { &*distribution.status } else { "Disabled" };
        let origins: Vec<String> = distribution
            .origins
            .iter()
            .map(|origin| format!("{}{}", origin.domain_name, origin.path))
            .collect();
        let aliases = if aliases.is_empty() { "-".to_owned() } else { aliases.join(", ") };
        let cells = vec![id.to_string(), status.to_owned(), domain_name.clone(), aliases, origins.join(", ")];
        (cells, Vec::new())
    })?;
    Ok(Exit::Done)
}
