//! Follows an invalidation until it is completed: what `wait` and `invalidate --wait` share.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant, SystemTime},
};

use cloudfront_invalidator::{
    cloudfront::{Error, Invalidation},
    site::DistributionId,
    text::counted,
};
use humantime::{format_rfc3339_millis, format_rfc3339_seconds};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    Exit, Stop,
    account::Session,
    out::{Output, mark},
};

/// The time within which 95 % of invalidations are completed.
///
/// <https://aws.amazon.com/about-aws/whats-new/2026/04/cloudfront-invalidation-cache-tag>
const USUAL: Duration = Duration::from_secs(25);

/// The longest `--timeout`, in seconds: a week.
pub(crate) const MAX_TIMEOUT: u64 = 7 * 86_400;

/// The JSON document of an invalidation.
#[derive(Serialize)]
struct InvalidationJson<'a> {
    distribution: &'a DistributionId,
    #[serde(flatten)]
    invalidation: &'a Invalidation,
    /// The time of its creation, in RFC 3339 format and UTC.
    created: Option<String>,
}

/// Formats a time with its milliseconds, if it has any, as in the list of invalidations.
fn rfc3339(time: SystemTime) -> String {
    let has_millis = time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.subsec_millis() > 0);
    if has_millis { format_rfc3339_millis(time) } else { format_rfc3339_seconds(time) }.to_string()
}

/// Prints an invalidation with its paths, or with their number unless `with_paths`.
pub(crate) fn show(
    output: &Output,
    distribution: &DistributionId,
    invalidation: &Invalidation,
    with_paths: bool,
) -> Result<(), Stop> {
    let created = invalidation.created.map(rfc3339);
    output.print(&InvalidationJson { distribution, invalidation, created }, |out| {
        let Invalidation { id, status, paths, .. } = invalidation;
        writeln!(out, "{distribution}  {id}  {status}  {}", counted(paths.len(), "path"))?;
        let shown = if with_paths { &paths[..] } else { &[] };
        shown.iter().try_for_each(|path| writeln!(out, "  {path}"))
    })
}

/// Follows an invalidation until it is completed or `limit` has passed. Shows a progress bar on a
/// terminal and otherwise prints a line for each poll. Returns the exit code and the last known
/// state, which is `None` if Ctrl-C came before the first answer. If the invalidation is still
/// pending, prints the command that continues to wait.
pub(crate) async fn follow(
    account: &Session,
    distribution: &DistributionId,
    id: &str,
    limit: Duration,
    output: &Output,
) -> Result<(Exit, Option<Invalidation>), Error> {
    let Session { client, options, .. } = account;
    let begun = Instant::now();
    let silent = output.quiet || output.json;
    let bar = if silent { ProgressBar::hidden() } else { bar(id) };
    let on_terminal = stderr().is_terminal();
    let mut last = None;
    let tell = |seen: &Invalidation| {
        last = Some(seen.clone());
        bar.set_message(seen.status.clone());
        if !silent && !on_terminal {
            eprintln!("{id}  {}  {} s{}", seen.status, begun.elapsed().as_secs(), mark());
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
        eprintln!("the invalidation continues; to wait again: cfadmin wait {distribution} {id}{options}");
        return Ok((Exit::Interrupted, last));
    };
    let seen = followed?;
    if seen.is_completed() {
        return Ok((Exit::Done, Some(seen)));
    }
    eprintln!(
        "not completed after {} s; to wait on: cfadmin wait {distribution} {id}{options}",
        limit.as_secs()
    );
    Ok((Exit::TimedOut, Some(seen)))
}

/// Creates a bar that is full when 95 % of invalidations are completed, since CloudFront reports
/// no progress. indicatif hides it if standard error is no terminal.
fn bar(id: &str) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(USUAL.as_millis()).unwrap_or(u64::MAX));
    let look =
        format!("{{prefix}}  {{msg}}  {{wide_bar}}  {{elapsed}}, 95 % take at most {} s", USUAL.as_secs());
    let style = ProgressStyle::with_template(&look).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("=> ")).with_prefix(id.to_owned())
}
