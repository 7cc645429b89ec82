//! Reads metrics from log lines in CloudWatch's embedded metric format, and answers GetMetricData.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Server, lock, wire::Refusal};

/// Maximum number of queries of a call.
const MOST_QUERIES: usize = 500;

/// Ages from which only periods of five minutes, and of an hour, are kept.
const AGES: [(Duration, u64); 2] =
    [(Duration::from_hours(15 * 24), 300), (Duration::from_hours(63 * 24), 3_600)];

/// The values of all metrics.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// The time in milliseconds since 1970 and the value of each data point.
    values: BTreeMap<Series, Vec<(u64, f64)>>,
    /// Whether the caller may not read metrics.
    is_denied: bool,
}

/// A metric with its dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: BTreeSet<Dimension>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

/// The part of a log line that describes its metrics.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    timestamp: u64,
    cloud_watch_metrics: Vec<Directive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: String,
    dimensions: Vec<Vec<String>>,
    metrics: Vec<Definition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Definition {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    start_time: f64,
    end_time: f64,
    metric_data_queries: Vec<Query>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    id: String,
    metric_stat: MetricStat,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Series,
    period: u64,
    stat: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Found<'a> {
    id: &'a str,
    label: &'a str,
    timestamps: Vec<u64>,
    values: Vec<f64>,
    status_code: &'static str,
}

impl Server {
    /// Reads a line of the function's log. Keeps the metrics that it contains in the embedded metric
    /// format, and ignores any other line.
    pub fn log(&self, line: &str) {
        lock(&self.store).metrics.log(line);
    }

    /// Sets whether CloudWatch denies every call.
    pub fn set_metrics_denied(&self, is_denied: bool) {
        lock(&self.store).metrics.is_denied = is_denied;
    }
}

impl Metrics {
    fn log(&mut self, line: &str) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        let Ok(Description { timestamp, cloud_watch_metrics }) = serde_json::from_value(line["_aws"].clone())
        else {
            return;
        };
        for Directive { namespace, dimensions, metrics } in cloud_watch_metrics {
            for names in dimensions {
                let dimension = |name: String| {
                    let value = line[&name].as_str()?.to_owned();
                    Some(Dimension { name, value })
                };
                let Some(dimensions) = names.into_iter().map(dimension).collect::<Option<BTreeSet<_>>>()
                else {
                    continue;
                };
                for Definition { name } in &metrics {
                    let (namespace, metric_name) = (namespace.clone(), name.clone());
                    let series = Series { namespace, metric_name, dimensions: dimensions.clone() };
                    let value = &line[name];
                    let values = value.as_array().map_or_else(|| vec![value], |all| all.iter().collect());
                    let values = values.into_iter().filter_map(|value| Some((timestamp, value.as_f64()?)));
                    self.values.entry(series).or_default().extend(values);
                }
            }
        }
    }

    /// Answers a call at the simulated time `now`.
    pub(super) fn answer(&self, body: &[u8], now: SystemTime) -> Result<String, Refusal> {
        if self.is_denied {
            let why = "User is not authorized to perform: cloudwatch:GetMetricData because no identity-based \
                       policy allows the cloudwatch:GetMetricData action";
            return Err(Refusal::new(400, "AccessDeniedException", why));
        }
        let Request { start_time, end_time, metric_data_queries: queries, next_token } =
            serde_json::from_slice(body)
                .map_err(|why| Refusal::new(400, "SerializationException", &why.to_string()))?;
        let invalid = |why: &str| Err(Refusal::new(400, "ValidationError", why));
        if next_token.is_some() {
            return Err(Refusal::new(400, "InvalidNextToken", "No answer has a next page."));
        }
        if start_time >= end_time {
            return invalid("The parameter StartTime must be less than the parameter EndTime.");
        }
        if queries.is_empty() || queries.len() > MOST_QUERIES {
            return invalid("The collection MetricDataQueries must have a size between 1 and 500.");
        }
        let start = Duration::try_from_secs_f64(start_time).unwrap_or_default();
        let age = now.duration_since(SystemTime::UNIX_EPOCH + start).unwrap_or_default();
        let mut ids = BTreeSet::new();
        let mut results = Vec::new();
        for Query { id, metric_stat: MetricStat { metric, period, stat } } in &queries {
            let is_id = id.starts_with(|c: char| c.is_ascii_lowercase())
                && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_id || !ids.insert(id) {
                return invalid("The value for parameter MetricDataQueries.Id is not unique or not valid.");
            }
            let kept = AGES.iter().filter(|(old, _)| age > *old).map(|(_, period)| *period).max();
            let kept = kept.unwrap_or(60);
            if *period == 0 || !period.is_multiple_of(kept) {
                return invalid(&format!("The parameter Period must be a multiple of {kept}."));
            }
            if stat != "Sum" {
                return invalid("The parameter MetricStat.Stat is none that is simulated.");
            }
            let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
            for (time, value) in self.values.get(metric).into_iter().flatten() {
                let seconds = time / 1_000;
                if (start_time..end_time).contains(&Duration::from_secs(seconds).as_secs_f64()) {
                    *sums.entry(seconds - seconds % period).or_default() += value;
                }
            }
            let newest_first = sums.into_iter().rev();
            let (timestamps, values) = newest_first.unzip();
            results.push(Found {
                id,
                label: &metric.metric_name,
                timestamps,
                values,
                status_code: "Complete",
            });
        }
        Ok(json!({"MetricDataResults": results, "Messages": []}).to_string())
    }
}
