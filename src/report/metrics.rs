//! What CloudWatch counts: one line in the embedded metric format for each invocation.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Invocation, Report, json::to_json, log::timestamp, price::MILLS_PER_PATH};
use crate::{
    cloudfront::Error,
    submit::{Part, Sent},
};

/// Where CloudWatch keeps them.
const NAMESPACE: &str = "CloudFrontInvalidator";

/// Every metric: its name and unit. Those of failures are only there where something
/// failed, since CloudWatch bills a metric for the hours in which it is sent.
pub const METRICS: [(&str, &str); 14] = [
    ("Changes", "Count"),
    ("Ignored", "Count"),
    ("Invalidations", "Count"),
    ("Paths", "Count"),
    ("Wildcards", "Count"),
    ("BilledCents", "None"),
    ("OldestChangeAge", "Milliseconds"),
    ("Busy", "Count"),
    ("Denied", "Count"),
    ("Failed", "Count"),
    ("RejectedPaths", "Count"),
    ("Unreadable", "Count"),
    ("OldListings", "Count"),
    ("UnknownEvents", "Count"),
];

/// What is sent of a metric.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Part(f64),
}

impl Number {
    fn count(count: usize) -> Option<Self> {
        u64::try_from(count).ok().map(Self::Whole)
    }
}

/// One line, whose fields stand in the order of the specification's example.
struct Line<'a> {
    ended: u64,
    invocation: &'a Invocation<'a>,
    values: [Option<Number>; METRICS.len()],
}

impl Line<'_> {
    /// The metrics that are sent, each with its name, unit and value.
    fn sent(&self) -> impl Iterator<Item = (&'static str, &'static str, Number)> {
        METRICS.iter().zip(self.values).filter_map(|((name, unit), value)| Some((*name, *unit, value?)))
    }
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Directive<'a> {
            timestamp: u64,
            cloud_watch_metrics: [Group<'a>; 1],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Group<'a> {
            namespace: &'a str,
            dimensions: [[&'a str; 1]; 1],
            metrics: Vec<Metric<'a>>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Metric<'a> {
            name: &'a str,
            unit: &'a str,
        }
        let metrics = self.sent().map(|(name, unit, _)| Metric { name, unit }).collect();
        let group = Group { namespace: NAMESPACE, dimensions: [["FunctionName"]], metrics };
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("_aws", &Directive { timestamp: self.ended, cloud_watch_metrics: [group] })?;
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
    /// The line. Nothing is counted as sent in a dry run.
    #[must_use]
    pub fn metrics(&self, invocation: &Invocation<'_>) -> String {
        let line = Line { ended: self.ended, invocation, values: self.values() };
        to_json(&line)
    }

    /// The values of the [`METRICS`], in their order.
    fn values(&self) -> [Option<Number>; METRICS.len()] {
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
        let look_up = self.found.failure.as_ref().filter(|_| !self.plan.waiting.is_empty());
        let failures: Vec<_> = self.failures().map(|(_, error)| error).chain(look_up).collect();
        let cents = f64::from(u32::try_from(paths * MILLS_PER_PATH).unwrap_or(u32::MAX)) / 10.0;
        let of = |question: fn(&Error) -> bool| failures.iter().filter(|error| question(error)).count();
        // Left out where nothing failed.
        let failed = |count: usize| Number::count(count).filter(|_| count > 0);
        [
            Number::count(self.batch.changes.len()),
            Number::count(self.plan.ignored.len()),
            Number::count(invalidations),
            Number::count(paths),
            Number::count(wildcards),
            Some(Number::Part(cents)),
            all.filter_map(|index| self.age(index)).max().map(Number::Whole),
            failed(of(Error::is_busy)),
            failed(of(Error::is_denied)),
            failed(failures.len()),
            failed(rejected_paths),
            failed(self.unreadable().count()),
            failed(usize::from(self.found.bridged.is_some())),
            failed(self.unknown_events().count()),
        ]
    }
}
