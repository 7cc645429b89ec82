//! What CloudWatch counts: one line in the embedded metric format for each invocation.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde::Serialize;
use serde_json::{Value, json};

use super::{Invocation, Report, price::MILLS_PER_PATH};
use crate::submit::Sent;

/// Where CloudWatch keeps them.
const NAMESPACE: &str = "CloudFrontInvalidator";

/// Every metric: its name and unit. Those of failures are only there where something
/// failed, since CloudWatch bills a metric for the hours in which it is sent.
pub const METRICS: [(&str, &str); 12] = [
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
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Values {
    changes: usize,
    ignored: usize,
    invalidations: usize,
    paths: usize,
    wildcards: usize,
    billed_cents: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_change_age: Option<u64>,
    #[serde(skip_serializing_if = "is_none")]
    busy: usize,
    #[serde(skip_serializing_if = "is_none")]
    denied: usize,
    #[serde(skip_serializing_if = "is_none")]
    failed: usize,
    #[serde(skip_serializing_if = "is_none")]
    rejected_paths: usize,
    #[serde(skip_serializing_if = "is_none")]
    unreadable: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// The line. Nothing is counted as sent in a dry run.
    #[must_use]
    pub fn metrics(&self, invocation: &Invocation<'_>) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Line<'a> {
            #[serde(rename = "_aws")]
            directive: Value,
            function_name: &'a str,
            #[serde(rename = "requestId")]
            request_id: &'a str,
            #[serde(flatten)]
            values: Value,
        }
        // Numbers always serialize.
        let values = serde_json::to_value(self.values()).unwrap_or_default();
        let sent = METRICS.iter().filter(|(name, _)| values.get(name).is_some());
        let sent: Vec<Value> = sent.map(|(name, unit)| json!({"Name": name, "Unit": unit})).collect();
        let directive = json!({
            "Timestamp": self.ended,
            "CloudWatchMetrics":
                [{"Namespace": NAMESPACE, "Dimensions": [["FunctionName"]], "Metrics": sent}],
        });
        let Invocation { function_name, request_id } = *invocation;
        let line = Line { directive, function_name, request_id, values };
        serde_json::to_string(&line).unwrap_or_default()
    }

    fn values(&self) -> Values {
        let all = 0..self.plan.invalidations.len();
        let (mut invalidations, mut wildcards, mut rejected_paths) = (0, 0, 0);
        for index in all.clone() {
            let is_wildcard = |path: &&str| path.ends_with('*');
            match self.sent(index) {
                Some(Sent::Accepted(_)) => {
                    invalidations += 1;
                    wildcards += self.plan.invalidations[index].paths().filter(is_wildcard).count();
                }
                Some(Sent::Apart(apart)) => {
                    invalidations += apart.accepted.len();
                    let paths = apart.accepted.iter().flat_map(|one| one.paths.iter().map(String::as_str));
                    wildcards += paths.filter(is_wildcard).count();
                    rejected_paths += apart.refused.len();
                }
                Some(Sent::AlreadyDone | Sent::Failed(_)) | None => {}
            }
        }
        let paths = if self.outcome.is_some() { self.billed_paths() } else { 0 };
        let look_up = self.found.failure.as_ref().filter(|_| !self.plan.waiting.is_empty());
        let failures: Vec<_> = self.failures().map(|(_, error)| error).chain(look_up).collect();
        Values {
            changes: self.batch.changes.len(),
            ignored: self.plan.ignored.len(),
            invalidations,
            paths,
            wildcards,
            billed_cents: f64::from(u32::try_from(paths * MILLS_PER_PATH).unwrap_or(u32::MAX)) / 10.0,
            oldest_change_age: all.filter_map(|index| self.age(index)).max(),
            busy: failures.iter().filter(|error| error.is_busy()).count(),
            denied: failures.iter().filter(|error| error.is_denied()).count(),
            failed: failures.len(),
            rejected_paths,
            unreadable: self.unreadable().count(),
        }
    }
}
