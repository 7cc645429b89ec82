//! The function's metrics: one log line in the embedded metric format for each invocation.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Invocation, Report, json::to_json, log::timestamp, price::MILLS_PER_PATH};
use crate::{
    cloudfront::Error,
    plan::Ignored,
    submit::{Part, Sent},
    usage::{Month, NAMESPACE, PATHS, Source},
    versions::Needless,
};

/// A metric: its name, its unit, and how it follows from the counts of an invocation. `None` leaves
/// it out.
type Metric = (&'static str, &'static str, fn(&Counts) -> Option<Number>);

/// Every metric, in the order of the log line. Metrics of what happens only sometimes, such as failures,
/// are sent only if it happened, since CloudWatch bills a metric for each hour in which it is sent.
const TABLE: [Metric; 21] = [
    ("Changes", "Count", |counts| number(counts.changes)),
    ("Ignored", "Count", |counts| number(counts.ignored)),
    ("Invalidations", "Count", |counts| number(counts.invalidations)),
    (PATHS, PATHS_UNIT, |counts| number(counts.paths)),
    ("Wildcards", "Count", |counts| number(counts.wildcards)),
    ("BilledCents", "None", |counts| Some(Number::Part(counts.cents))),
    ("PathsThisMonth", "Count", |counts| number(counts.month.as_ref()?.sent)),
    ("PathsForecast", "Count", |counts| number(counts.month.as_ref()?.forecast())),
    ("OldestChangeAge", "Milliseconds", |counts| counts.oldest_change_age.map(Number::Whole)),
    ("Busy", "Count", |counts| failures(counts.busy)),
    ("Denied", "Count", |counts| failures(counts.denied)),
    ("Failed", "Count", |counts| failures(counts.failed)),
    ("RejectedPaths", "Count", |counts| failures(counts.rejected_paths)),
    ("Unreadable", "Count", |counts| failures(counts.unreadable)),
    ("OldListings", "Count", |counts| failures(counts.old_listings)),
    ("Narrowed", "Count", |counts| failures(counts.narrowed)),
    ("OldestWaiting", "Milliseconds", |counts| counts.oldest_waiting.map(Number::Whole)),
    ("UnknownEvents", "Count", |counts| failures(counts.unknown_events)),
    ("Unchanged", "Count", |counts| failures(counts.unchanged)),
    ("New", "Count", |counts| failures(counts.new)),
    ("Unjudged", "Count", |counts| failures(counts.unjudged)),
];

/// The unit of the metric [`PATHS`].
const PATHS_UNIT: &str = "Count";

/// Returns the name and unit of every metric, in the order of the log line.
pub fn metrics() -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.iter().map(|&(name, unit, _)| (name, unit))
}

/// The counts of one invocation.
struct Counts {
    changes: usize,
    ignored: usize,
    invalidations: usize,
    paths: usize,
    wildcards: usize,
    cents: f64,
    /// The figures of the month. `None` if they are only a guess, or there is no limit.
    month: Option<Month>,
    /// Milliseconds.
    oldest_change_age: Option<u64>,
    busy: usize,
    denied: usize,
    failed: usize,
    rejected_paths: usize,
    unreadable: usize,
    old_listings: usize,
    narrowed: usize,
    /// Milliseconds.
    oldest_waiting: Option<u64>,
    unknown_events: usize,
    unchanged: usize,
    new: usize,
    unjudged: usize,
}

/// The value of a metric.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Part(f64),
}

fn number(count: usize) -> Option<Number> {
    u64::try_from(count).ok().map(Number::Whole)
}

/// Returns the count of what happens only sometimes, or `None` if it did not happen.
fn failures(count: usize) -> Option<Number> {
    number(count).filter(|_| count > 0)
}

/// The log line. Its fields are in the order of the specification's example.
struct Line<'a> {
    ended: u64,
    invocation: &'a Invocation<'a>,
    counts: &'a Counts,
    /// Whether all functions share a metric of the paths.
    shares_paths: bool,
}

impl Line<'_> {
    /// Returns the metrics to send: name, unit and value.
    fn sent(&self) -> impl Iterator<Item = (&'static str, &'static str, Number)> {
        TABLE.iter().filter_map(|&(name, unit, value)| Some((name, unit, value(self.counts)?)))
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Directive<'a> {
            timestamp: u64,
            cloud_watch_metrics: &'a [Group<'a>],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Group<'a> {
            namespace: &'a str,
            dimensions: [&'a [&'a str]; 1],
            metrics: &'a [Definition<'a>],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Definition<'a> {
            name: &'a str,
            unit: &'a str,
        }
        let metrics: Vec<_> = self.sent().map(|(name, unit, _)| Definition { name, unit }).collect();
        let group = |dimensions, metrics| Group { namespace: NAMESPACE, dimensions: [dimensions], metrics };
        let groups =
            [group(&["FunctionName"], &metrics), group(&[], &[Definition { name: PATHS, unit: PATHS_UNIT }])];
        let cloud_watch_metrics = if self.shares_paths { &groups[..] } else { &groups[..1] };
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("_aws", &Directive { timestamp: self.ended, cloud_watch_metrics })?;
        line.serialize_entry("timestamp", &timestamp(self.ended))?;
        line.serialize_entry("FunctionName", self.invocation.function_name)?;
        line.serialize_entry("requestId", self.invocation.request_id)?;
        for (name, _, value) in self.sent() {
            line.serialize_entry(name, &value)?;
        }
        line.end()
    }
}

impl Report {
    /// Returns the log line. A dry run counts nothing as sent.
    #[must_use]
    pub fn metrics(&self, invocation: &Invocation<'_>) -> String {
        let shares_paths = self.month.is_some();
        to_json(&Line { ended: self.ended, invocation, counts: &self.counts(), shares_paths })
    }

    fn counts(&self) -> Counts {
        let all = 0..self.plan.invalidations.len();
        let (mut invalidations, mut wildcards, mut rejected_paths) = (0, 0, 0);
        for index in all.clone() {
            match self.sent(index) {
                Some(Sent::Accepted(created)) if created.is_new => {
                    invalidations += 1;
                    wildcards += self.plan.invalidations[index].purge.wildcard_count;
                }
                Some(Sent::Folded(part, _)) if part.created.is_new => {
                    invalidations += 1;
                    wildcards += part.wildcards();
                }
                Some(Sent::Isolated(isolated)) => {
                    let new = || isolated.accepted.iter().filter(|part| part.created.is_new);
                    invalidations += new().count();
                    wildcards += new().map(Part::wildcards).sum::<usize>();
                    rejected_paths += isolated.refused.len();
                }
                Some(Sent::Accepted(_) | Sent::Folded(..) | Sent::AlreadyDone { .. } | Sent::Failed(_))
                | None => {}
            }
        }
        let paths = if self.outcome.is_some() { self.billed_paths() } else { 0 };
        let failures: Vec<_> = self.failures().map(|(_, error)| error).chain(self.lookup_failure()).collect();
        let needless = |why: Needless| {
            self.plan.ignored.iter().filter(|(_, ignored)| *ignored == Ignored::Needless(why)).count()
        };
        let cents = f64::from(u32::try_from(paths * MILLS_PER_PATH).unwrap_or(u32::MAX)) / 10.0;
        let of = |question: fn(&Error) -> bool| failures.iter().filter(|error| question(error)).count();
        Counts {
            changes: self.batch.changes.len(),
            ignored: self.plan.ignored.len(),
            invalidations,
            paths,
            wildcards,
            cents,
            month: self.month.filter(|month| month.source != Source::Guessed),
            oldest_change_age: all.filter_map(|index| self.age(index)).max(),
            busy: of(Error::is_busy),
            denied: of(Error::is_denied),
            failed: failures.len() - of(Error::is_put_off),
            rejected_paths,
            unreadable: self.unreadable().count(),
            old_listings: usize::from(self.found.bridged.is_some()),
            narrowed: self.narrowing.written,
            oldest_waiting: self.oldest_waiting(),
            unknown_events: self.unknown_events().count(),
            unchanged: needless(Needless::Unchanged),
            new: needless(Needless::New),
            unjudged: self.findings.unjudged,
        }
    }
}
