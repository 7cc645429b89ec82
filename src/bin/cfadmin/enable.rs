//! `cfadmin enable`: makes buckets send their events to EventBridge.

use std::{
    io::{self, Write},
    time::Instant,
};

use clap::Args;
use cloudfront_invalidator::{
    bucket::{Destination, Error, Notifications, S3},
    text::Plain,
};
use serde::Serialize;

use crate::{
    Exit, LIMIT, Stop,
    account::Connection,
    confirm::{ask, can_ask},
    name,
    out::Output,
};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin enable s3://my-bucket
  cfadmin enable s3://my-bucket s3://my-other-bucket --yes";

/// Make a bucket send its events to EventBridge, from where they reach the function
///
/// Shows the other notifications of the bucket, which stay as they are, and asks before it changes anything. Needs the
/// credentials of the bucket's owner.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Buckets
    #[arg(required = true, value_name = "BUCKET", value_parser = name::bucket)]
    buckets: Vec<String>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Show what would change, and change nothing
    #[arg(short = 'n', long, conflicts_with = "yes")]
    dry_run: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// The JSON document of a bucket.
#[derive(Serialize)]
struct BucketJson<'a> {
    bucket: &'a str,
    /// Whether it sent its events to EventBridge before.
    was_on: bool,
    /// Whether it sends them there now.
    is_on: bool,
    /// The notifications that stay as they are.
    others: &'a [Destination],
}

pub(crate) async fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    if !arguments.yes && !arguments.dry_run && !can_ask() {
        let why = "this changes the notifications of buckets; look at them with --dry-run, then pass --yes";
        return Err(Stop::Usage(why.to_owned()));
    }
    let (_service, client) = arguments.connection.client(None).await?;
    for name in &arguments.buckets {
        let bucket = S3::of(&client).bucket(name, None);
        let present = bucket.notifications(Instant::now() + LIMIT).await.map_err(|error| failed(&error))?;
        let show = |is_on| {
            let (was_on, others) = (present.event_bridge, &*present.destinations);
            let document = BucketJson { bucket: name, was_on, is_on, others };
            arguments.output.print(&document, |out| write_bucket(out, &document))
        };
        if present.event_bridge || arguments.dry_run {
            show(present.event_bridge)?;
            continue;
        }
        if !arguments.yes {
            preview(name, &present);
            if !ask("make it send its events to EventBridge, too?")? {
                return Err(Stop::Usage(format!("s3://{name} was not changed")));
            }
        }
        bucket
            .turn_on_event_bridge(&present, Instant::now() + LIMIT)
            .await
            .map_err(|error| failed(&error))?;
        show(true)?;
    }
    Ok(Exit::Done)
}

/// Converts an error of S3.
fn failed(error: &Error) -> Stop {
    let text = explain(error);
    if error.is_no_such_bucket() { Stop::NotFound(text) } else { Stop::Service(text) }
}

/// Formats an error of a call about notifications, with the permission to allow if it is missing.
pub(crate) fn explain(error: &Error) -> String {
    if !error.is_denied() {
        return error.to_string();
    }
    let action = match error.operation() {
        "PutBucketNotificationConfiguration" => "s3:PutBucketNotification",
        _ => "s3:GetBucketNotification",
    };
    format!("{error}; allow {action}, or use the credentials of the bucket's owner")
}

/// Prints the present notifications of a bucket, before the question.
fn preview(name: &str, present: &Notifications) {
    let kept = if present.destinations.is_empty() { "it has no notifications" } else { "it keeps" };
    eprintln!("s3://{name} does not send its events to EventBridge; {kept}");
    for destination in &present.destinations {
        eprintln!("  {}", shown(destination));
    }
}

/// Formats a notification, such as `arn:…:queue  s3:ObjectCreated:*  docs/*.html`.
fn shown(destination: &Destination) -> String {
    let filter = destination.filter().map_or(String::new(), |filter| format!("  {filter}"));
    Plain(&format!("{}  {}{filter}", destination.arn, destination.events.join(" "))).to_string()
}

fn write_bucket(out: &mut dyn Write, document: &BucketJson<'_>) -> io::Result<()> {
    let state = match (document.was_on, document.is_on) {
        (true, _) => "sends its events to EventBridge already",
        (false, true) => "sends its events to EventBridge now; the first may take five minutes",
        (false, false) => "would send its events to EventBridge",
    };
    writeln!(out, "s3://{}  {state}", document.bucket)?;
    document.others.iter().try_for_each(|other| writeln!(out, "  keeps {}", shown(other)))
}
