//! Writes the log as lines of JSON. Lambda's log tools read this format, and no key can break out
//! of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use humantime::format_rfc3339_millis;
use serde::Serialize;

use super::{EVENT_UNREADABLE, Report, Sending, is_zero, json::to_json};
use crate::{
    cloudfront::Error,
    config::Problems,
    event::{Change, Effect, Key},
    narrow::Narrowing,
    path::Item,
    plan::{Ignored, Invalidation},
    site::{DistributionId, Rewrite, Unserved},
    submit::Sent,
    usage::Source,
    versions::Findings,
};

/// Maximum number of bytes of paths in the line of one invalidation. CloudWatch accepts much longer
/// lines, but nobody reads them.
const MOST_PATH_BYTES: usize = 64 * 1024;

/// Maximum number of bytes of paths in all lines of an invocation together.
const MOST_PATH_BYTES_TOGETHER: usize = 1024 * 1024;

/// Maximum number of unreadable messages that a line describes.
const MOST_UNREADABLE: usize = 20;

/// Maximum number of refused paths to log in an invocation, one line each.
const MOST_REFUSED: usize = 20;

/// Maximum number of distributions that a line names.
const MOST_GONE: usize = 20;

/// Maximum number of things of one kind to log once and remember.
const MOST_TOLD: usize = 1_000;

/// Maximum number of bytes of an unknown event's name to log.
const MOST_NAME: usize = 100;

/// An invocation of a function.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Lambda's id for it.
    pub request_id: &'a str,
    /// The name of the function.
    pub function_name: &'a str,
}

/// A writer of log lines that remembers what it has already logged once.
#[derive(Debug, Default)]
pub struct Log {
    unknown: BTreeSet<String>,
    nameless: BTreeSet<String>,
    unserved: BTreeSet<String>,
    sites: BTreeSet<(DistributionId, String)>,
}

/// Remembers `news`, and returns whether to log it: only the first time, and only while fewer than
/// [`MOST_TOLD`] are remembered.
fn is_news<T: Ord>(told: &mut BTreeSet<T>, news: T) -> bool {
    told.len() < MOST_TOLD && told.insert(news)
}

/// The fields that every line of an invocation has.
#[derive(Clone, Copy)]
struct Context<'a> {
    request_id: &'a str,
    /// The time in milliseconds since 1970.
    at: u64,
}

impl<'a> Context<'a> {
    /// Formats a line. It needs a valid timestamp: without one, Lambda treats it as INFO, whatever
    /// its level.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>
    fn line(self, level: &'static str, message: &'a str, fields: impl Serialize) -> String {
        #[derive(Serialize)]
        struct Line<'a, T: Serialize> {
            timestamp: String,
            level: &'static str,
            message: &'a str,
            #[serde(rename = "requestId", skip_serializing_if = "str::is_empty")]
            request_id: &'a str,
            #[serde(flatten)]
            fields: T,
        }
        to_json(&Line { timestamp: timestamp(self.at), level, message, request_id: self.request_id, fields })
    }
}

/// Formats a time in milliseconds since 1970 according to RFC 3339.
pub(super) fn timestamp(at: u64) -> String {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(at);
    format_rfc3339_millis(at).to_string()
}

impl Log {
    /// Returns the lines of an invocation: one for each invalidation, one that sums up the
    /// invocation, and more for whatever went wrong or is new.
    pub fn lines(&mut self, report: &Report, request_id: &str) -> Vec<String> {
        let context = Context { request_id, at: report.ended };
        let mut lines = self.unknown_events(report, context);
        self.nameless_deletions(report, context, &mut lines);
        self.unserved_buckets(report, context, &mut lines);
        self.doubtful_sites(report, context, &mut lines);
        lines.extend(look_up(report, context));
        lines.extend(unjudged(report, context));
        lines.extend((0..report.plan.invalidations.len()).map(|index| invalidation(report, index, context)));
        lines.extend(unlisted(report, context));
        lines.extend(hasty(report, context));
        lines.extend(gone(report, context));
        lines.extend(narrowed(report, context));
        lines.extend(uncounted(report, context));
        lines.extend(scarce(report, context));
        lines.push(summary(report, context));
        lines.extend(unreadable(report, context));
        lines.extend(refused(report, context));
        lines
    }

    fn unknown_events(&mut self, report: &Report, context: Context<'_>) -> Vec<String> {
        #[derive(Serialize)]
        struct Fields<'a> {
            event: &'a str,
        }
        let mut lines = Vec::new();
        for change in report.unknown_events() {
            let event = change.event.split_at_checked(MOST_NAME).map_or(&*change.event, |(begin, _)| begin);
            if is_news(&mut self.unknown, event.to_owned()) {
                let message = "unknown S3 event, purged as a change (logged once)";
                lines.push(context.line("WARN", message, Fields { event }));
            }
        }
        lines
    }

    fn nameless_deletions(&mut self, report: &Report, context: Context<'_>, lines: &mut Vec<String>) {
        #[derive(Serialize)]
        struct Fields<'a> {
            bucket: &'a str,
        }
        let whole = report.batch.changes.iter().filter(|change| change.effect == Effect::WholeBucket);
        for bucket in whole.map(|change| &*change.bucket) {
            if !self.nameless.contains(bucket) && is_news(&mut self.nameless, bucket.to_owned()) {
                let message = "CloudTrail does not name the deleted objects, so everything that this bucket serves \
                               was purged; use S3's own events (logged once)";
                lines.push(context.line("WARN", message, Fields { bucket }));
            }
        }
    }

    fn unserved_buckets(&mut self, report: &Report, context: Context<'_>, lines: &mut Vec<String>) {
        #[derive(Serialize)]
        struct Fields<'a> {
            bucket: &'a str,
        }
        let unserved =
            report.plan.ignored.iter().filter(|(_, why)| *why == Ignored::Unserved(Unserved::Bucket));
        for bucket in unserved.map(|(index, _)| &*report.batch.changes[*index].bucket) {
            if !self.unserved.contains(bucket) && is_news(&mut self.unserved, bucket.to_owned()) {
                let message =
                    "no distribution has this bucket as an origin; its changes are ignored (logged once)";
                lines.push(context.line("WARN", message, Fields { bucket }));
            }
        }
    }

    fn doubtful_sites(&mut self, report: &Report, context: Context<'_>, lines: &mut Vec<String>) {
        #[derive(Serialize)]
        struct Fields<'a> {
            distribution: &'a DistributionId,
            #[serde(skip_serializing_if = "str::is_empty")]
            behavior: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            function: &'a str,
        }
        let has_tags = |one: &&Invalidation| one.paths().any(|path| path.starts_with('#'));
        let tagged: Vec<&Invalidation> = report.plan.invalidations.iter().filter(has_tags).collect();
        for site in &report.found.sites.list {
            // Tenants have the functions of their distribution, so one warning is enough.
            let distribution = site.parent.as_deref().unwrap_or(&site.distribution);
            for Rewrite { behavior, function } in &*site.rewrites {
                let function = &function.to_string();
                if is_news(&mut self.sites, (distribution.clone(), format!("{behavior} {function}"))) {
                    let message = "a function at the edge may request other objects than the path names, \
                                   so the invalidation may miss paths";
                    let fields = Fields { distribution, behavior, function };
                    lines.push(context.line("WARN", message, fields));
                }
            }
            if site.has_cache_tags == Some(false)
                && tagged.iter().any(|one| one.distribution == site.distribution)
                && is_news(&mut self.sites, (distribution.clone(), "#".to_owned()))
            {
                let message =
                    "cache tags purge nothing in this distribution: its configuration has no CacheTagConfig";
                let fields = Fields { distribution, behavior: "", function: "" };
                lines.push(context.line("WARN", message, fields));
            }
        }
    }

    /// Returns the line for a configuration with which the function cannot start. `at` is the time
    /// in milliseconds since 1970.
    #[must_use]
    pub fn misconfigured(problems: &Problems, at: u64) -> String {
        #[derive(Serialize)]
        struct Fields<'a> {
            error_type: &'static str,
            problems: &'a [String],
        }
        let fields = Fields { error_type: "ConfigurationInvalid", problems: &problems.0 };
        Context { request_id: "", at }.line("ERROR", &problems.to_string(), fields)
    }

    /// Returns the line for a variable that no longer has any effect. `at` is the time in
    /// milliseconds since 1970.
    #[must_use]
    pub fn retired(variable: &str, at: u64) -> String {
        #[derive(Serialize)]
        struct Fields<'a> {
            variable: &'a str,
        }
        let message = "this variable no longer has any effect; remove it";
        Context { request_id: "", at }.line("WARN", message, Fields { variable })
    }
}

/// Returns the line of the invalidation at `index`.
fn invalidation(report: &Report, index: usize, context: Context<'_>) -> String {
    #[derive(Serialize)]
    struct Fields<'a> {
        #[serde(flatten)]
        sending: Sending<'a>,
        changes: usize,
        /// The first objects that need it.
        objects: Vec<Object<'a>>,
        /// The age of the oldest change when the invocation ended, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        oldest_change_age: Option<u64>,
        /// The error for which CloudFront accepted only fewer, wider paths.
        #[serde(skip_serializing_if = "Option::is_none")]
        folded_because: Option<String>,
    }
    let planned = &report.plan.invalidations[index];
    let bytes = MOST_PATH_BYTES.min(MOST_PATH_BYTES_TOGETHER / report.plan.invalidations.len());
    let first = planned.purge.changes.iter().map(|change| Object::of(&report.batch.changes[*change]));
    let fields = Fields {
        sending: report.sending(index).counted().shortened(bytes),
        changes: planned.purge.change_count,
        objects: first.collect(),
        oldest_change_age: report.age(index),
        folded_because: match report.sent(index) {
            Some(Sent::Folded(_, why)) => Some(why.to_string()),
            _ => None,
        },
    };
    let sending = &fields.sending;
    let is =
        |kind: fn(&Error) -> bool| matches!(report.sent(index), Some(Sent::Failed(error)) if kind(error));
    let (level, message) = match (&report.outcome, &sending.error) {
        (None, _) => ("INFO", "would be invalidated"),
        (Some(_), Some(_)) if is(Error::is_saved) => ("INFO", "put off to save the month's paths"),
        (Some(_), Some(_)) if is(Error::is_put_off) => ("INFO", "put off: CloudFront throttles"),
        (Some(_), Some(_)) => ("ERROR", "invalidation failed"),
        (Some(_), None) if sending.existed => ("INFO", "existed already"),
        (Some(_), None) if sending.folded_from.is_some() => ("WARN", "invalidated with fewer, wider paths"),
        (Some(_), None) => ("INFO", "invalidated"),
    };
    context.line(level, message, fields)
}

/// Returns the line that counts the invalidations for which there was too little time to plan, or
/// `None` if there are none.
fn hasty(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields {
        invalidations: usize,
    }
    let hasty = report.plan.invalidations.iter().filter(|one| one.purge.is_hasty);
    let fields = Fields { invalidations: hasty.count() };
    let message =
        "planning ran out of time, so paths are wider than necessary; give the function more memory";
    (fields.invalidations > 0).then(|| context.line("WARN", message, fields))
}

/// Returns the line about distributions that narrowed messages name and that need nothing any more, or
/// `None` if there are none.
fn gone(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields<'a> {
        count: usize,
        distributions: &'a [DistributionId],
    }
    let gone = &report.plan.gone;
    let fields = Fields { count: gone.len(), distributions: &gone[..gone.len().min(MOST_GONE)] };
    let message = "nothing is left to do for these distributions";
    (fields.count > 0).then(|| context.line("INFO", message, fields))
}

/// Returns the line about a bucket that could not be listed.
fn unlisted(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields {
        error: String,
    }
    let error = report.listing.as_ref()?.failure.as_ref()?.to_string();
    let message = "a bucket could not be listed, so the wildcards may be wider than necessary";
    Some(context.line("WARN", message, Fields { error }))
}

/// Returns the line about what is left to do, or `None` if nothing was narrowed.
fn narrowed(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields {
        replaced: usize,
        written: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        expected_seconds: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    }
    let Narrowing { replaced, written, expected, failure } = &report.narrowing;
    let fields = Fields {
        replaced: replaced.len(),
        written: *written,
        expected_seconds: (!expected.is_zero()).then_some(expected.as_secs()),
        error: failure.as_ref().map(ToString::to_string),
    };
    let (level, message) = match failure {
        Some(_) => ("ERROR", "narrowed messages could not be sent; the messages return to the queue"),
        None => ("INFO", "narrowed messages for the distributions that are left are in the queue"),
    };
    (fields.written > 0 || failure.is_some()).then(|| context.line(level, message, fields))
}

#[derive(Serialize)]
struct Object<'a> {
    bucket: &'a str,
    key: &'a Key,
}

impl<'a> Object<'a> {
    fn of(change: &'a Change) -> Self {
        Self { bucket: &change.bucket, key: &change.key }
    }
}

/// Returns the line about a month of which CloudWatch did not tell what was sent.
fn uncounted(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields {
        error: String,
    }
    let error = report.grant.as_ref()?.failure.as_ref()?.to_string();
    let message = match report.month?.source {
        Source::Guessed => {
            "CloudWatch did not say how many paths were sent this month; assuming a steady rate"
        }
        Source::Old | Source::Read => {
            "CloudWatch did not say how many paths were sent this month; using what it last said"
        }
    };
    Some(context.line("WARN", message, Fields { error }))
}

/// Returns the line about a month that has too few paths left, or `None` if it has enough.
fn scarce(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields {
        paths_this_month: usize,
        paths_per_month: usize,
    }
    let (month, grant) = (report.month?, report.grant.as_ref()?);
    let message = "too few paths are left this month, so each distribution is purged with one path and, if the changes \
                   come from a queue, by each environment at most every ten minutes; if that is too coarse, raise \
                   PathsPerMonth: each path beyond the account's 1,000 costs $0.005";
    let fields = Fields { paths_this_month: month.sent, paths_per_month: month.allowance };
    grant.is_scarce.then(|| context.line("WARN", message, fields))
}

fn summary(report: &Report, context: Context<'_>) -> String {
    #[derive(Serialize)]
    struct Fields {
        messages: usize,
        handed_back: usize,
        #[serde(skip_serializing_if = "is_zero")]
        replaced: usize,
        changes: usize,
        ignored: BTreeMap<Ignored, usize>,
        unreadable: usize,
        invalidations: usize,
        billed_paths: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        paths_this_month: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        paths_per_month: Option<usize>,
    }
    let mut ignored = BTreeMap::new();
    for &(_, why) in &report.plan.ignored {
        *ignored.entry(why).or_default() += 1;
    }
    let fields = Fields {
        messages: report.batch.messages.len(),
        handed_back: report.failed_messages().len(),
        replaced: report.narrowing.replaced.len(),
        changes: report.batch.changes.len(),
        ignored,
        unreadable: report.unreadable().count(),
        invalidations: report.plan.invalidations.len(),
        billed_paths: report.billed_paths(),
        paths_this_month: report.month.map(|month| month.sent),
        paths_per_month: report.month.map(|month| month.allowance),
    };
    let message = match &report.outcome {
        None => "dry run",
        Some(_) if fields.handed_back + fields.replaced > 0 => "not everything done",
        Some(_) if fields.invalidations == 0 => "nothing to invalidate",
        Some(_) => "done",
    };
    context.line("INFO", message, fields)
}

/// Returns a line for each path that CloudFront refused, with the path that was purged instead and
/// the objects that need it.
fn refused(report: &Report, context: Context<'_>) -> Vec<String> {
    #[derive(Serialize)]
    struct Fields<'a> {
        error_type: &'static str,
        distribution: &'a DistributionId,
        path: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        instead: Option<&'a str>,
        objects: Vec<Object<'a>>,
    }
    let told = report.behind.iter().filter_map(|behind| {
        let Some(Sent::Isolated(isolated)) = report.sent(behind.invalidation) else { return None };
        let refused = isolated.refused.iter().find(|refused| refused.item == behind.item)?;
        let instead = &refused.instead;
        let invalidation = &report.plan.invalidations[behind.invalidation];
        let fields = Fields {
            error_type: "PathRejected",
            distribution: &invalidation.distribution,
            path: &behind.path,
            instead: instead.as_ref().map(Item::as_str),
            objects: behind.objects.iter().map(|(bucket, key)| Object { bucket, key }).collect(),
        };
        let message = match instead {
            Some(_) if refused.alone => "CloudFront refused this path; a wider one was purged instead",
            Some(_) => "CloudFront refused this path or one sent with it; a wider one was purged instead",
            None => "CloudFront refused this path and every wider one; its messages return to the queue",
        };
        Some(context.line("ERROR", message, fields))
    });
    told.take(MOST_REFUSED).collect()
}

/// Returns the line about changes about which S3 could not be asked, or `None` if there are none.
fn unjudged(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields {
        changes: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    }
    let Findings { unjudged, failure, .. } = &report.findings;
    let fields = Fields { changes: *unjudged, error: failure.as_ref().map(ToString::to_string) };
    let message = "S3 could not be asked which objects differ; they are purged";
    (fields.changes > 0).then(|| context.line("WARN", message, fields))
}

fn look_up(report: &Report, context: Context<'_>) -> Option<String> {
    let fields = report.look_up()?;
    let message = match (fields.list_age_seconds, fields.waiting) {
        (Some(age), 0) => format!("distribution lookup failed; using the list from {age} s ago"),
        (Some(age), _) => format!(
            "distribution lookup failed; using the list from {age} s ago, and messages that need a newer one \
             return to the queue"
        ),
        (None, _) => "distribution lookup failed; the messages that need it return to the queue".to_owned(),
    };
    let level = if fields.waiting == 0 { "WARN" } else { "ERROR" };
    Some(context.line(level, &message, fields))
}

fn unreadable(report: &Report, context: Context<'_>) -> Option<String> {
    #[derive(Serialize)]
    struct Fields {
        error_type: &'static str,
        count: usize,
        errors: Vec<String>,
    }
    let count = report.unreadable().count();
    let errors = report.unreadable().take(MOST_UNREADABLE).map(|(message, why)| {
        match &report.batch.messages[message].id {
            Some(id) => format!("{id}: {why}"),
            None => why,
        }
    });
    let fields = Fields { error_type: EVENT_UNREADABLE, count, errors: errors.collect() };
    let message = "messages could not be parsed or processed; they return to the queue";
    (count > 0).then(|| context.line("ERROR", message, fields))
}
