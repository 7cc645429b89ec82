//! cfadmin: purges paths, and shows or does what the function would do.

mod account;
mod changed;
mod completions;
mod confirm;
mod cost;
mod doctor;
mod enable;
mod errors;
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
mod name;
mod objects;
mod out;
mod plan;
mod purges;
mod settings;
mod sites;
mod status;
mod target;
mod tenants;
mod typed;
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
#[command(name = "cfadmin", version, arg_required_else_help = true, after_help = HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    connection: account::Connection,

    #[command(flatten)]
    output: out::Output,
}

/// The end of the help: commands to copy, and the exit codes, which `man` shows, too.
const HELP: &str = r#"Examples:
  cfadmin invalidate www.example.com /index.html "/docs/*" --wait
  cfadmin verify https://www.example.com/index.html
  cfadmin ls --profile site
  cfadmin cost --local

Exit codes:
    0  done
    1  something failed
    2  wrong usage or configuration
    3  not found
  124  not completed in time
  130  interrupted"#;

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
    Enable(enable::Arguments),
    Doctor(doctor::Arguments),
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
    /// An error from CloudFront, or one that prevented the call.
    #[error("{0}")]
    CloudFront(Error),
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
        if error.is_not_found() { Self::NotFound(error.to_string()) } else { Self::CloudFront(error) }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { command, connection, output } = Arguments::parse();
    let outcome = match connection.check().map(|()| command) {
        Err(stop) => Err(stop),
        Ok(Command::Plan(arguments)) => plan::run(&arguments).await,
        Ok(Command::Invoke(arguments)) => invoke::run(&arguments).await,
        Ok(Command::Invalidate(arguments)) => invalidate::run(&arguments).await,
        Ok(Command::Ls(arguments)) => ls::run(&arguments).await,
        Ok(Command::List(arguments)) => listinvalidations::run(&arguments).await,
        Ok(Command::Status(arguments)) => status::run(&arguments).await,
        Ok(Command::Wait(arguments)) => wait::run(&arguments).await,
        Ok(Command::History(arguments)) => history::run(&arguments).await,
        Ok(Command::Verify(arguments)) => verify::run(&arguments).await,
        Ok(Command::Cost(arguments)) => cost::run(&arguments).await,
        Ok(Command::Completions(arguments)) => completions::run(&arguments),
        Ok(Command::Man(arguments)) => man::run(&arguments),
        Ok(Command::Sites(arguments)) => sites::run(&arguments).await,
        Ok(Command::Enable(arguments)) => enable::run(&arguments).await,
        Ok(Command::Doctor(arguments)) => doctor::run(&arguments).await,
        Ok(Command::Explain(arguments)) => explain::run(&arguments).await,
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
            let stop_text = match &stop {
                Stop::CloudFront(error) => errors::explain(error, &connection),
                other => other.to_string(),
            };
            // Some errors list distributions, one per line.
            let lines: Vec<String> = stop_text.lines().map(|line| Plain(line).to_string()).collect();
            eprintln!("cfadmin: {}", lines.join("\n"));
            if let Stop::CloudFront(error) = &stop
                && output.debug
            {
                eprintln!("  {}", Plain(&error.to_string()));
            }
            ExitCode::from(match stop {
                Stop::Io(..) | Stop::CloudFront(_) | Stop::Service(_) => 1,
                Stop::Configuration(_) | Stop::Usage(_) => 2,
                Stop::NotFound(_) => 3,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_examples_that_it_accepts() {
        Arguments::command().debug_assert();
        let mut command = Arguments::command();
        let commands: Vec<clap::Command> = command.get_subcommands().cloned().collect();
        for command in commands.iter().chain([&mut command].map(|command| &*command)) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.strip_prefix("Examples:\n").expect("examples");
            let examples = examples.split("\n\n").next().unwrap_or_default();
            for example in examples.lines() {
                let typed = example.split(['<', '>']).next().unwrap_or_default();
                let typed = &typed[typed.find("cfadmin").expect("a command")..];
                let typed =
                    typed.split(" | ").next().unwrap_or_default().replace("Language: de", "Language:de");
                let words = typed.split_whitespace().map(|word| word.trim_matches('"'));
                assert!(Arguments::try_parse_from(words).is_ok(), "{example}");
            }
        }
    }
}
