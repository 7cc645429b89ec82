//! `cfadmin listinvalidations`: the invalidations of a distribution or tenant.

use std::cmp::Reverse;

use clap::Args;
use cloudfront_invalidator::cloudfront::Summary;
use serde::Serialize;

use crate::{Exit, Stop, account::Connection, out::Output, target::Target};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin listinvalidations www.example.com --limit 10
  cfadmin listinvalidations E1A2B3C4D5E6F7 --paths";

/// List the invalidations of a distribution or tenant, newest first
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Show the paths of each invalidation (one more API call for each)
    #[arg(long)]
    paths: bool,

    /// Show only the newest
    #[arg(short = 'l', long, value_name = "N")]
    limit: Option<usize>,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// An invalidation of the list, with its paths if `--paths` is given.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let distribution = arguments.target.find_one(&account).await?;
    let mut summaries = match account.client.invalidations(&distribution).await {
        Ok(summaries) => summaries,
        Err(error) => return Err(arguments.target.explain(&account, error).await),
    };
    if summaries.is_empty() {
        arguments.target.must_have_invalidations(&account).await?;
    }
    // CloudFront documents this order, but emulators have others.
    summaries.sort_by_key(|one| Reverse(one.at));
    summaries.truncate(arguments.limit.unwrap_or(usize::MAX));
    let mut listed = Vec::new();
    for summary in summaries {
        let paths = if arguments.paths {
            let seen = account.client.invalidation(&distribution, &summary.id).await;
            Some(seen?.paths)
        } else {
            None
        };
        listed.push(Listed { summary, paths });
    }
    let headings = ["ID", "STATUS", "CREATED", "PATHS"];
    arguments.output.table(&headings[..if arguments.paths { 4 } else { 3 }], &listed, |one| {
        let Summary { id, status, created, .. } = one.summary.clone();
        let count = one.paths.as_ref().map(|paths| paths.len().to_string());
        ([id, status, created].into_iter().chain(count).collect(), one.paths.clone().unwrap_or_default())
    })?;
    Ok(Exit::Done)
}
