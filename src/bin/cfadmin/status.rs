//! `cfadmin status`, `cfadmin wait` and `cfadmin listinvalidations`: what became of
//! invalidations.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use clap::Args;
use cloudfront_invalidator::{
    cloudfront::{Client, Invalidation},
    report::counted,
    site::DistributionId,
};

use crate::{Exit, Stop, account::Connection, input::document, target};

/// Show an invalidation: its status and paths
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// A distribution's id, an alias or domain of it, the domain of an origin, or a bucket (s3:// and its name)
    target: String,

    /// The invalidation's id
    id: String,

    /// As a JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

/// Wait until an invalidation is completed
#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    /// A distribution's id, an alias or domain of it, the domain of an origin, or a bucket (s3:// and its name)
    target: String,

    /// The invalidation's id
    id: String,

    /// Wait no longer than this
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,

    /// Print nothing but errors
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    connection: Connection,
}

/// List the invalidations of a distribution, newest first
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// A distribution's id, an alias or domain of it, the domain of an origin, or a bucket (s3:// and its name)
    target: String,

    /// With their paths, which takes a call for each
    #[arg(long)]
    paths: bool,

    /// One JSON document for each, a line each
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn status(arguments: &StatusArguments) -> Result<Exit, Stop> {
    let (_local, client) = arguments.connection.client().await?;
    let distribution = target::find_one(&client, &arguments.target).await?;
    let seen = client
        .invalidation(distribution.as_str(), &arguments.id)
        .await
        .map_err(Stop::of("GetInvalidation"))?;
    let print = |mut out: io::StdoutLock<'_>| {
        if arguments.json {
            return document(&mut out, &seen);
        }
        writeln!(out, "{distribution}  {}  {}  {}", seen.id, seen.status, counted(seen.paths.len(), "path"))?;
        seen.paths.iter().try_for_each(|path| writeln!(out, "  {path}"))
    };
    print(io::stdout().lock()).map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}

pub(crate) async fn wait(arguments: &WaitArguments) -> Result<Exit, Stop> {
    let (_local, client) = arguments.connection.client().await?;
    let distribution = target::find_one(&client, &arguments.target).await?;
    let limit = Duration::from_secs(arguments.timeout);
    let Some(completed) = follow(&client, &distribution, &arguments.id, limit, arguments.quiet).await? else {
        return Ok(Exit::TimedOut);
    };
    if !arguments.quiet {
        let mut out = io::stdout().lock();
        writeln!(out, "{distribution}  {}  {}", completed.id, completed.status)
            .map_err(Stop::io("standard output"))?;
    }
    Ok(Exit::Done)
}

pub(crate) async fn list(arguments: &ListArguments) -> Result<Exit, Stop> {
    let (_local, client) = arguments.connection.client().await?;
    let distribution = target::find_one(&client, &arguments.target).await?;
    let listed = client.invalidations(distribution.as_str()).await.map_err(Stop::of("ListInvalidations"))?;
    let mut out = io::stdout().lock();
    for summary in listed {
        let mut shown = serde_json::to_value(&summary).unwrap_or_default();
        let mut paths = Vec::new();
        if arguments.paths {
            let seen = client.invalidation(distribution.as_str(), &summary.id).await;
            paths = seen.map_err(Stop::of("GetInvalidation"))?.paths;
            shown["paths"] = paths.clone().into();
        }
        let written = if arguments.json {
            document(&mut out, &shown)
        } else {
            writeln!(out, "{}  {:<10}  {}", summary.id, summary.status, summary.created)
                .and_then(|()| paths.iter().try_for_each(|path| writeln!(out, "  {path}")))
        };
        written.map_err(Stop::io("standard output"))?;
    }
    out.flush().map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}

/// Follows an invalidation until it is completed, telling on the terminal's last line how
/// long that took so far. None where the time is over, or the person has enough: then how
/// to go on is said.
pub(crate) async fn follow(
    client: &Client,
    distribution: &DistributionId,
    id: &str,
    limit: Duration,
    quiet: bool,
) -> Result<Option<Invalidation>, Stop> {
    let begun = Instant::now();
    let on_terminal = io::stderr().is_terminal();
    let tell = |seen: &Invalidation| {
        let seconds = begun.elapsed().as_secs();
        match (quiet, on_terminal) {
            (true, _) => {}
            (false, true) => eprint!("\r{id}  {}  {seconds} s; usual are 5 to 25 s ", seen.status),
            (false, false) => eprintln!("{id}  {}  {seconds} s", seen.status),
        }
    };
    let followed = tokio::select! {
        followed = client.follow(distribution.as_str(), id, limit, tell) => followed,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nit goes on; to wait again: cfadmin wait {distribution} {id}");
            return Ok(None);
        }
    };
    if on_terminal && !quiet {
        eprintln!();
    }
    let seen = followed.map_err(Stop::of("GetInvalidation"))?;
    if !seen.is_completed() {
        eprintln!("not completed after {} s; to wait on: cfadmin wait {distribution} {id}", limit.as_secs());
    }
    Ok(seen.is_completed().then_some(seen))
}
