//! cfadmin: purges paths, and shows or does what the function would do.

mod account;
mod changed;
mod completions;
mod cost;
mod explain;
mod follow;
mod history;
mod input;
mod invalidate;
mod invoke;
mod listinvalidations;
mod look;
mod lookup;
mod ls;
mod man;
mod out;
mod plan;
mod purges;
mod sites;
mod status;
mod target;
mod tenants;
mod uploaded;
mod verify;
mod wait;
mod waited;
mod when;

use std::{io, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use cloudfront_invalidator::{cloudfront::Error, text::Plain};

/// Purge CloudFront paths and inspect invalidations.
///
/// Reads the same INVALIDATOR_* environment variables as the function.
#[derive(Debug, Parser)]
#[command(name = "cfadmin", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 something failed, 2 wrong usage or configuration, 3 not found, \
                          124 not completed in time, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    Invalidate(invalidate::Arguments),
    Ls(ls::Arguments),
    #[command(name = "listinvalidations")]
    List(listinvalidations::Arguments),
    Status(status::Arguments),
    Wait(wait::Arguments),
    History(history::Arguments),
    Verify(verify::Arguments),
    Cost(cost::Arguments),
    Plan(plan::Arguments),
    Invoke(invoke::Arguments),
    Sites(sites::Arguments),
    Explain(explain::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// The time limit of an event or a lookup: the function's default timeout.
const LIMIT: Duration = Duration::from_secs(30);

/// The result of a command, which becomes the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    Failed,
    NotFound,
    TimedOut,
    /// Ctrl-C.
    Interrupted,
}

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// Invalid configuration.
    #[error("{0}")]
    Configuration(#[from] cloudfront_invalidator::config::Problems),
    /// Invalid arguments.
    #[error("{0}")]
    Usage(String),
    /// An unknown distribution or invalidation.
    #[error("{0}")]
    NotFound(String),
    /// An error from CloudFront.
    #[error("{kind}: {0}", kind = .0.error_type())]
    CloudFront(Error),
    /// An operation that the credentials do not allow, and CloudFront's answer.
    #[error("cloudfront:{0} is not allowed: {1}")]
    Denied(&'static str, Error),
    /// An error from another service than CloudFront.
    #[error("{0}")]
    Service(String),
    /// A failed file, stream or socket, and its name.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
}

impl Stop {
    /// Converts an I/O error of `what`.
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io(what, error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error.operation() {
            Some(operation) if error.is_denied() => Self::Denied(operation, error),
            _ if error.is_not_found() => Self::NotFound(error.to_string()),
            _ => Self::CloudFront(error),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Plan(arguments) => plan::run(&arguments).await,
        Command::Invoke(arguments) => invoke::run(&arguments).await,
        Command::Invalidate(arguments) => invalidate::run(&arguments).await,
        Command::Ls(arguments) => ls::run(&arguments).await,
        Command::List(arguments) => listinvalidations::run(&arguments).await,
        Command::Status(arguments) => status::run(&arguments).await,
        Command::Wait(arguments) => wait::run(&arguments).await,
        Command::History(arguments) => history::run(&arguments).await,
        Command::Verify(arguments) => verify::run(&arguments).await,
        Command::Cost(arguments) => cost::run(&arguments).await,
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Sites(arguments) => sites::run(&arguments).await,
        Command::Explain(arguments) => explain::run(&arguments).await,
    };
    match outcome {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        Ok(Exit::NotFound) => ExitCode::from(3),
        Ok(Exit::TimedOut) => ExitCode::from(124),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        // The reader of the output closed the pipe, as `head` does.
        Err(Stop::Io(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(stop) => {
            let stop_text = stop.to_string();
            // Some errors list distributions, one per line.
            let lines: Vec<String> = stop_text.lines().map(|line| Plain(line).to_string()).collect();
            eprintln!("cfadmin: {}", lines.join("\n"));
            ExitCode::from(match stop {
                Stop::Io(..) | Stop::CloudFront(_) | Stop::Denied(..) | Stop::Service(_) => 1,
                Stop::Configuration(_) | Stop::Usage(_) => 2,
                Stop::NotFound(_) => 3,
            })
        }
    }
}
