//! The command line: what the function would do, shown or done from here.

mod account;
mod cost;
mod explain;
mod input;
mod invalidate;
mod invoke;
mod ls;
mod out;
mod plan;
mod shell;
mod sites;
mod status;
mod target;
mod verify;

use std::{io, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use cloudfront_invalidator::{cloudfront::Error, text::Plain};

/// S3 changes become CloudFront invalidations.
///
/// Takes its configuration from the same INVALIDATOR_* variables as the function.
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
    List(status::ListArguments),
    Status(status::StatusArguments),
    Wait(status::WaitArguments),
    Verify(verify::Arguments),
    Cost(cost::Arguments),
    Plan(plan::Arguments),
    Invoke(invoke::Arguments),
    Sites(sites::Arguments),
    Explain(explain::Arguments),
    Completions(shell::CompletionsArguments),
    Man(shell::ManArguments),
}

/// How long one event or look-up may take: as long as the function gets by default.
const LIMIT: Duration = Duration::from_secs(30);

/// How it ended, as the shell is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    Failed,
    NotFound,
    TimedOut,
    /// By the person, with Ctrl-C.
    Interrupted,
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
    /// There is no such distribution or invalidation.
    #[error("{0}")]
    NotFound(String),
    /// CloudFront did not do it.
    #[error("{kind}: {0}", kind = .0.error_type())]
    CloudFront(Error),
    /// The credentials do not allow it: the action, and what CloudFront said.
    #[error("cloudfront:{0} is not allowed: {1}")]
    Denied(&'static str, Error),
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

    /// What CloudFront said when it was asked for this action.
    fn of(action: &'static str) -> impl FnOnce(Error) -> Self {
        move |error| match error {
            error if error.is_denied() => Self::Denied(action, error),
            error if error.is_not_found() => Self::NotFound(error.to_string()),
            error => Self::CloudFront(error),
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
        Command::List(arguments) => status::list(&arguments).await,
        Command::Status(arguments) => status::status(&arguments).await,
        Command::Wait(arguments) => status::wait(&arguments).await,
        Command::Verify(arguments) => verify::run(&arguments).await,
        Command::Cost(arguments) => cost::run(&arguments).await,
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
        Command::Sites(arguments) => sites::run(&arguments).await,
        Command::Explain(arguments) => explain::run(&arguments).await,
    };
    match outcome {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Failed) => ExitCode::from(1),
        Ok(Exit::NotFound) => ExitCode::from(3),
        Ok(Exit::TimedOut) => ExitCode::from(124),
        Ok(Exit::Interrupted) => ExitCode::from(130),
        // Whoever reads the output has seen enough.
        Err(Stop::Io(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(stop) => {
            let stop_text = stop.to_string();
            // A list of what there is has lines of its own.
            let lines: Vec<String> = stop_text.lines().map(|line| Plain(line).to_string()).collect();
            eprintln!("cfadmin: {}", lines.join("\n"));
            ExitCode::from(match stop {
                Stop::Io(..) | Stop::CloudFront(_) | Stop::Denied(..) => 1,
                Stop::Configuration(_) | Stop::Usage(_) => 2,
                Stop::NotFound(_) => 3,
            })
        }
    }
}
