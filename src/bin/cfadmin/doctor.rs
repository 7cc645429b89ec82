//! `cfadmin doctor`: checks the chain from a bucket to its distributions.

mod bucket;
mod chain;
mod checks;
mod distributions;
mod function;
mod kept;
mod queues;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use clap::Args;
use cloudfront_invalidator::text::Plain;
use serde::Serialize;

use self::checks::Options;
use crate::{
    Exit, Stop,
    account::Connection,
    name,
    out::{BAD, GOOD, Output},
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin doctor s3://my-bucket
  cfadmin doctor s3://my-bucket --function cloudfront-invalidator-Function-1A2B3C4D5E6F";

/// The limits of the checks.
const UNSEEN: &str =
    "This reads settings only. It does not look at the EventBridge rule, the function's role, or its log.";

/// Check the chain from a bucket to the distributions, and say what is missing
///
/// Looks at the notifications of the bucket, the function, its queue and dead letters, and the distributions. Changes
/// nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Bucket
    #[arg(value_parser = name::bucket)]
    bucket: String,

    /// Lambda function (name or ARN) [default: those in the bucket's region that have the bucket in their settings]
    #[arg(long, value_name = "NAME")]
    function: Option<String>,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// A part without a gap.
    Ok,
    /// A finding that may be on purpose.
    Note,
    /// A setting that could not be read.
    Unknown,
    /// A gap that prevents purges.
    Wrong,
}

/// A check of a part of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    /// The part, such as `bucket`.
    part: &'static str,
    verdict: Verdict,
    text: String,
    /// The next step for the caller. `None` if there is none.
    next: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let (_service, client) = arguments.connection.client(None).await?;
    let chain = chain::read(&client, arguments).await?;
    let (own, profile) = (arguments.connection.options(), arguments.connection.profile_option());
    let checks = checks::of(&chain, Options { own: &own, profile: &profile });
    for check in &checks {
        arguments.output.print(check, |out| show(out, check))?;
    }
    if !arguments.output.quiet && !arguments.output.json {
        eprintln!("{UNSEEN}");
    }
    let is_good = |check: &Check| matches!(check.verdict, Verdict::Ok | Verdict::Note);
    Ok(if checks.iter().all(is_good) { Exit::Done } else { Exit::Failed })
}

fn show(out: &mut dyn Write, check: &Check) -> io::Result<()> {
    const NOTE: Style = AnsiColor::Yellow.on_default();
    let Check { part, verdict, text, next } = check;
    let (style, word) = match verdict {
        Verdict::Ok => (GOOD, "ok"),
        Verdict::Note => (NOTE, "note"),
        Verdict::Unknown => (BAD, "unknown"),
        Verdict::Wrong => (BAD, "wrong"),
    };
    writeln!(out, "{style}{word:<7}{style:#}  {part:<12}  {}", Plain(text))?;
    match next {
        Some(next) => writeln!(out, "         {:<12}  {}", "next:", Plain(next)),
        None => Ok(()),
    }
}
