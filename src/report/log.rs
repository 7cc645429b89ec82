//! The log: lines of JSON, which is what Lambda's own log tools read and what no
//! key can break out of.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{EVENT_UNREADABLE, Report, Sending};
use crate::{
    config::{MOST_PATHS, Problems},
    event::{Change, Key},
    path::Item,
    site::{DistributionId, Ignored},
    submit::Sent,
};

/// How many bytes of paths a line holds of one invalidation. CloudWatch takes much longer
/// lines, but nobody reads them.
const MOST_PATH_BYTES: usize = 64 * 1024;

/// How many unreadable messages a line tells of.
const MOST_UNREADABLE: usize = 20;

/// How many refused paths are told of, a line each.
const MOST_REFUSED: usize = 20;

/// How many things that were told are remembered, of a kind.
const MOST_TOLD: usize = 1_000;

/// How much of such a name is told.
const MOST_NAME: usize = 100;

/// How many objects a line names of those that an invalidation is for.
const MOST_OBJECTS: usize = 5;

/// Which invocation of which function is told of.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Lambda's id for it.
    pub request_id: &'a str,
    /// What the function is called.
    pub function_name: &'a str,
}

/// Makes log lines, and remembers what need not be said again.
#[derive(Debug, Default)]
pub struct Log {
    unknown: BTreeSet<String>,
    unserved: BTreeSet<String>,
    sites: BTreeSet<(DistributionId, String)>,
}

/// Whether this is to be told: only once, as long as there is room to remember it.
fn is_news<T: Ord>(told: &mut BTreeSet<T>, news: T) -> bool {
    told.len() < MOST_TOLD && told.insert(news)
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    level: &'static str,
    message: &'a str,
    #[serde(rename = "requestId", skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(flatten)]
    fields: T,
}

impl<T: Serialize> Line<'_, T> {
    fn json(&self) -> String {
        // Strings, numbers and lists of them always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Log {
    /// The lines that tell of an invocation: one for each invalidation, one of all that was
    /// done, one more for each kind of thing that went wrong or is new.
    pub fn lines(&mut self, report: &Report, request_id: &str) -> Vec<String> {
        let mut lines = self.unknown_events(report, request_id);
        self.unserved_buckets(report, request_id, &mut lines);
        self.doubtful_sites(report, request_id, &mut lines);
        lines.extend(look_up(report, request_id));
        lines.extend(
            (0..report.plan.invalidations.len()).map(|index| invalidation(report, index, request_id)),
        );
        lines.push(summary(report, request_id));
        lines.extend(unreadable(report, request_id));
        lines.extend(refused(report, request_id));
        lines
    }

    fn unknown_events(&mut self, report: &Report, request_id: &str) -> Vec<String> {
        #[derive(Serialize)]
        struct Fields<'a> {
            event: &'a str,
        }
        let mut lines = Vec::new();
        for &(index, why) in &report.plan.ignored {
            let event = &report.batch.changes[index].event;
            let event = event.split_at_checked(MOST_NAME).map_or(&**event, |(beginning, _)| beginning);
            if why == Ignored::UnknownEvent && is_news(&mut self.unknown, event.to_owned()) {
                let message = "unknown S3 event, ignored from now on without another word";
                lines.push(Line { level: "WARN", message, request_id, fields: Fields { event } }.json());
            }
        }
        lines
    }

    fn unserved_buckets(&mut self, report: &Report, request_id: &str, lines: &mut Vec<String>) {
        #[derive(Serialize)]
        struct Fields<'a> {
            bucket: &'a str,
        }
        let unserved = report.plan.ignored.iter().filter(|(_, why)| *why == Ignored::Unserved);
        for bucket in unserved.map(|(index, _)| &*report.batch.changes[*index].bucket) {
            if !self.unserved.contains(bucket) && is_news(&mut self.unserved, bucket.to_owned()) {
                let message =
                    "no distribution has this bucket as an origin, ignored from now on without another word";
                lines.push(Line { level: "WARN", message, request_id, fields: Fields { bucket } }.json());
            }
        }
    }

    fn doubtful_sites(&mut self, report: &Report, request_id: &str, lines: &mut Vec<String>) {
        #[derive(Serialize)]
        struct Fields<'a> {
            distribution: &'a DistributionId,
            #[serde(skip_serializing_if = "str::is_empty")]
            behavior: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            function: &'a str,
        }
        for site in &report.found.sites.list {
            let distribution = &site.distribution;
            for (behavior, function) in &site.edge_functions {
                if is_news(&mut self.sites, (distribution.clone(), behavior.clone())) {
                    let message = "a function at the edge may ask for other objects than the path says, \
                               so that paths may be missing";
                    let fields = Fields { distribution, behavior, function };
                    lines.push(Line { level: "WARN", message, request_id, fields }.json());
                }
            }
            if site.multi_tenant && is_news(&mut self.sites, (distribution.clone(), String::new())) {
                let message = "viewers reach this distribution only through tenants, whose own origin paths \
                               are not known, so that paths may be missing";
                let fields = Fields { distribution, behavior: "", function: "" };
                lines.push(Line { level: "WARN", message, request_id, fields }.json());
            }
        }
    }

    /// The line for a configuration with which the function cannot start.
    #[must_use]
    pub fn misconfigured(problems: &Problems) -> String {
        #[derive(Serialize)]
        struct Fields<'a> {
            error_type: &'static str,
            problems: &'a [String],
        }
        let fields = Fields { error_type: "ConfigurationInvalid", problems: &problems.0 };
        Line { level: "ERROR", message: &problems.to_string(), request_id: "", fields }.json()
    }
}

/// The line of the invalidation at `index`.
fn invalidation(report: &Report, index: usize, request_id: &str) -> String {
    #[derive(Serialize)]
    struct Fields<'a> {
        #[serde(flatten)]
        shown: Shown<'a>,
        changes: usize,
        /// The first ones.
        objects: Vec<Object<'a>>,
        /// When the oldest change was, in milliseconds before CloudFront took the paths.
        #[serde(skip_serializing_if = "Option::is_none")]
        oldest_change_age: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<&'static str>,
    }
    let planned = &report.plan.invalidations[index];
    let changes: Vec<&Change> = report.changes_of(planned).collect();
    let fields = Fields {
        shown: Shown::of(report.sending(index)),
        changes: changes.len(),
        objects: changes.into_iter().take(MOST_OBJECTS).map(Object::of).collect(),
        oldest_change_age: report.age(index),
        hint: hint(report, index),
    };
    let (level, message) = match (&report.outcome, &fields.shown.sending.error) {
        (None, _) => ("INFO", "would be invalidated"),
        (Some(_), None) => ("INFO", "invalidated"),
        (Some(_), Some(_)) => ("ERROR", "invalidation failed"),
    };
    Line { level, message, request_id, fields }.json()
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

fn summary(report: &Report, request_id: &str) -> String {
    #[derive(Serialize)]
    struct Fields {
        messages: usize,
        handed_back: usize,
        changes: usize,
        ignored: BTreeMap<Ignored, usize>,
        unreadable: usize,
        invalidations: usize,
        billed_paths: usize,
    }
    let mut ignored = BTreeMap::new();
    for &(_, why) in &report.plan.ignored {
        *ignored.entry(why).or_default() += 1;
    }
    let fields = Fields {
        messages: report.batch.messages.len(),
        handed_back: report.failed_messages().len(),
        changes: report.batch.changes.len(),
        ignored,
        unreadable: report.unreadable().count(),
        invalidations: report.plan.invalidations.len(),
        billed_paths: report.billed_paths(),
    };
    let message = match &report.outcome {
        None => "dry run",
        Some(_) if fields.handed_back > 0 => "not everything done",
        Some(_) if fields.invalidations == 0 => "nothing to invalidate",
        Some(_) => "done",
    };
    Line { level: "INFO", message, request_id, fields }.json()
}

/// A line for each path that CloudFront refuses, with what stands for it and what it is
/// about.
fn refused(report: &Report, request_id: &str) -> Vec<String> {
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
        let Some(Sent::Apart(apart)) = report.sent(behind.invalidation) else { return None };
        let refused = apart.refused.iter().find(|refused| refused.item == behind.item)?;
        let instead = &refused.instead;
        let invalidation = &report.plan.invalidations[behind.invalidation];
        let fields = Fields {
            error_type: "PathRejected",
            distribution: &invalidation.distribution,
            path: invalidation.items[behind.item].item.as_str(),
            instead: instead.as_ref().map(Item::as_str),
            objects: behind.objects.iter().map(|(bucket, key)| Object { bucket, key }).collect(),
        };
        let message = match instead {
            Some(_) if refused.alone => "CloudFront refuses this path, something wider was purged instead",
            Some(_) => "CloudFront refuses this path or one beside it, something wider was purged instead",
            None => "CloudFront refuses this path and what is wider, handed back",
        };
        Some(Line { level: "ERROR", message, request_id, fields }.json())
    });
    told.take(MOST_REFUSED).collect()
}

/// What would help against a quota that is full, where the invalidation at `index` met it.
fn hint(report: &Report, index: usize) -> Option<&'static str> {
    let invalidation = &report.plan.invalidations[index];
    let Some(Sent::Failed(error)) = report.sent(index) else { return None };
    let folded = invalidation.items.iter().any(|one| one.folded);
    let exact: usize = invalidation.items.iter().map(|one| one.covers).sum();
    let fits = error.is_full() && folded && exact <= MOST_PATHS;
    fits.then_some(
        "wildcards in progress may be what is scarce, and without folding the paths would fit: lower \
         INVALIDATOR_MAX_WILDCARDS and raise INVALIDATOR_MAX_PATHS",
    )
}

fn look_up(report: &Report, request_id: &str) -> Option<String> {
    let fields = report.look_up()?;
    let (level, message) = match fields.waiting {
        0 => ("WARN", "distributions could not be looked up, what was found before is used"),
        _ => ("ERROR", "distributions could not be looked up, handed back"),
    };
    Some(Line { level, message, request_id, fields }.json())
}

fn unreadable(report: &Report, request_id: &str) -> Option<String> {
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
    let message = "cannot be read, handed back";
    (count > 0).then(|| Line { level: "ERROR", message, request_id, fields }.json())
}

/// An invalidation with as many of its paths as a line should hold.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    sending: Sending<'a>,
    path_count: usize,
    wildcard_count: usize,
}

impl<'a> Shown<'a> {
    fn of(mut sending: Sending<'a>) -> Self {
        let path_count = sending.paths.len();
        let wildcard_count = sending.paths.iter().filter(|path| path.ends_with('*')).count();
        let mut room = MOST_PATH_BYTES;
        let fits = |path: &&str| {
            let left = room.checked_sub(path.len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let shown = sending.paths.iter().copied().take_while(fits).count();
        sending.paths.truncate(shown);
        Self { sending, path_count, wildcard_count }
    }
}
