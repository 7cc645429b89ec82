//! The command line: what the function would do, shown or done from here.

mod account;
mod explain;
mod input;
mod invoke;
mod plan;
mod sites;

use std::{io, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

/// S3 changes become CloudFront invalidations.
///
/// Takes its configuration from the same INVALIDATOR_* variables as the function.
#[derive(Debug, Parser)]
#[command(name = "cfadmin", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 something failed, 2 wrong usage or configuration";

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Arguments),
    Invoke(invoke::Arguments),
    Sites(sites::Arguments),
    Explain(explain::Arguments),
}

/// How long one event or look-up may take: as long as the function gets by default.
const LIMIT: Duration = Duration::from_secs(30);

/// How it ended, as the shell is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    Failed,
}

/// Why nothing was done at all.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// The configuration cannot be.
    #[error("{0}")]
    Configuration(#[from] cloudfront_invalidator::config::Problems),
    /// The arguments contradict each other.
    #[error("{0}")]
    Usage(String),
    /// CloudFront did not do it.
    #[error("{}: {_0}", _0.error_type())]
    CloudFront(#[from] cloudfront_invalidator::cloudfront::Error),
    /// Files, streams, sockets.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
}

impl Stop {
    /// An I/O error that says what it was about.
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io(what, error)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Plan(arguments) => plan::run(&arguments).await,
        Command::Invoke(arguments) => invoke::run(&arguments).await,
        Command::Sites(arguments) => sites::run(&arguments).await,
        Command::Explain(arguments) => explain::run(&arguments).await,
    };
    match outcome {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        // Whoever reads the output has seen enough.
        Err(Stop::Io(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("cfadmin: {stop}");
            ExitCode::from(if matches!(stop, Stop::Io(..) | Stop::CloudFront(_)) { 1 } else { 2 })
        }
    }
}
