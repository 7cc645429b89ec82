//! `cfadmin status`, `cfadmin wait` and `cfadmin listinvalidations`: what became of
//! invalidations.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::{Client, Invalidation, Summary},
    site::DistributionId,
    text::counted,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{Exit, Stop, account::Connection, out::Output, target::Target};

/// Within which time 95 % of invalidations are completed.
///
/// <https://aws.amazon.com/about-aws/whats-new/2026/04/cloudfront-invalidation-cache-tag>
const USUAL: Duration = Duration::from_secs(25);

/// The longest that anybody waits: a week.
pub(crate) const MOST_SECONDS: u64 = 7 * 86_400;

/// Show an invalidation: its status and paths
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    target: Target,

    /// The invalidation's id
    id: String,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// Wait until an invalidation is completed
#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    #[command(flatten)]
    target: Target,

    /// The invalidation's id
    id: String,

    /// Wait no longer than this
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(..=MOST_SECONDS))]
    timeout: u64,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// List the invalidations of a distribution, newest first
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    target: Target,

    /// With their paths, which takes a call for each
    #[arg(long)]
    paths: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// An invalidation as machines read it.
#[derive(Serialize)]
struct InvalidationJson<'a> {
    distribution: &'a DistributionId,
    #[serde(flatten)]
    invalidation: &'a Invalidation,
}

/// One of a list, with its paths where they are asked for.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
}

pub(crate) async fn status(arguments: &StatusArguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let distribution = arguments.target.find_one(&account).await?;
    let seen = account.client.invalidation(&distribution, &arguments.id).await;
    show(&arguments.output, &distribution, &seen.map_err(Stop::of("GetInvalidation"))?, true)?;
    Ok(Exit::Done)
}

pub(crate) async fn wait(arguments: &WaitArguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let distribution = arguments.target.find_one(&account).await?;
    let limit = Duration::from_secs(arguments.timeout);
    let (exit, seen) =
        follow(&account.client, &distribution, &arguments.id, limit, &arguments.output).await?;
    if let Some(seen) = seen {
        show(&arguments.output, &distribution, &seen, false)?;
    }
    Ok(exit)
}

pub(crate) async fn list(arguments: &ListArguments) -> Result<Exit, Stop> {
    let account = arguments.connection.open().await?;
    let distribution = arguments.target.find_one(&account).await?;
    let summaries = account.client.invalidations(&distribution).await;
    let mut listed = Vec::new();
    for summary in summaries.map_err(Stop::of("ListInvalidations"))? {
        let paths = if arguments.paths {
            let seen = account.client.invalidation(&distribution, &summary.id).await;
            Some(seen.map_err(Stop::of("GetInvalidation"))?.paths)
        } else {
            None
        };
        listed.push(Listed { summary, paths });
    }
    arguments.output.table(&["ID", "STATUS", "CREATED"], &listed, |one| {
        let Summary { id, status, created } = one.summary.clone();
        (vec![id, status, created], one.paths.clone().unwrap_or_default())
    })?;
    Ok(Exit::Done)
}

/// Prints what is known of an invalidation, `with_paths` or only their number.
pub(crate) fn show(
    output: &Output,
    distribution: &DistributionId,
    invalidation: &Invalidation,
    with_paths: bool,
) -> Result<(), Stop> {
    output.print(&InvalidationJson { distribution, invalidation }, |out| {
        let Invalidation { id, status, paths, .. } = invalidation;
        writeln!(out, "{distribution}  {id}  {status}  {}", counted(paths.len(), "path"))?;
        let shown = if with_paths { &paths[..] } else { &[] };
        shown.iter().try_for_each(|path| writeln!(out, "  {path}"))
    })
}

/// Follows an invalidation until it is completed, with a bar on a terminal, and a line for
/// each look elsewhere. How it ended, and what was last seen, which is nothing where the
/// person had enough at once. Where it is not completed, how to go on is said.
pub(crate) async fn follow(
    client: &Client,
    distribution: &DistributionId,
    id: &str,
    limit: Duration,
    output: &Output,
) -> Result<(Exit, Option<Invalidation>), Stop> {
    let begun = Instant::now();
    let silent = output.quiet || output.json;
    let bar = if silent { ProgressBar::hidden() } else { bar(id) };
    let on_terminal = stderr().is_terminal();
    let mut last = None;
    let tell = |seen: &Invalidation| {
        last = Some(seen.clone());
        bar.set_message(seen.status.clone());
        if !silent && !on_terminal {
            eprintln!("{id}  {}  {} s", seen.status, begun.elapsed().as_secs());
        }
    };
    let moved = async {
        loop {
            let elapsed = begun.elapsed().min(USUAL);
            bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let followed = tokio::select! {
        followed = client.follow(distribution, id, limit, tell) => Some(followed),
        _ = tokio::signal::ctrl_c() => None,
        () = moved => None,
    };
    bar.finish_and_clear();
    let Some(followed) = followed else {
        eprintln!("it goes on; to wait again: cfadmin wait {distribution} {id}");
        return Ok((Exit::Interrupted, last));
    };
    let seen = followed.map_err(Stop::of("GetInvalidation"))?;
    if seen.is_completed() {
        return Ok((Exit::Done, Some(seen)));
    }
    eprintln!("not completed after {} s; to wait on: cfadmin wait {distribution} {id}", limit.as_secs());
    Ok((Exit::TimedOut, Some(seen)))
}

/// A bar that is full when most invalidations are completed, since CloudFront does not
/// tell how far one is. Hidden where standard error is no terminal.
fn bar(id: &str) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(USUAL.as_millis()).unwrap_or(u64::MAX));
    let look =
        format!("{{prefix}}  {{msg}}  {{wide_bar}}  {{elapsed}}, 95 % take at most {} s", USUAL.as_secs());
    let style = ProgressStyle::with_template(&look).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("=> ")).with_prefix(id.to_owned())
}
