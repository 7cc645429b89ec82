//! Reports what happened to a batch: to Lambda and the queue ([`Report::answer`]), to machines
//! (`Serialize`), to people (`Display`, [`Report::explain`]) and to the log ([`Log`]).

mod ended;
mod json;
mod log;
mod metrics;
mod price;
mod tenants;
mod text;

#[cfg(feature = "function")]
use aws_lambda_events::sqs::SqsBatchResponse;
use serde::Serialize;
#[cfg(feature = "function")]
use serde_json::value::RawValue;

pub use self::{
    ended::{Behind, Ended},
    json::to_json,
    log::{Invocation, Log},
    metrics::metrics,
    price::{FREE_PATHS, dollars, thousands, used},
};
#[cfg(feature = "function")]
use crate::text::{Plain, joined};
use crate::{
    bucket,
    cloudfront::Error,
    discover::Found,
    event::{Batch, Change, Effect, Key},
    narrow::Narrowing,
    neighbors::Listed,
    path::Item,
    plan::{Ignored, Invalidation, Known, Plan, Purge, sorted},
    spending::Grant,
    submit::{Outcome, Part, Sent},
    usage::{Month, Source},
    versions::Findings,
};

/// The `errorType` of an event, or a part of one, that cannot be parsed or processed.
pub const EVENT_UNREADABLE: &str = "EventUnreadable";

/// A batch, the plan for it, and the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The batch.
    pub batch: Batch,
    /// The sites that the batch concerns, as far as they could be found.
    pub found: Found,
    /// The plan for the batch.
    pub plan: Plan,
    /// The results of the plan. `None` in a dry run, which sends nothing.
    pub outcome: Option<Outcome>,
    /// The time at which the work ended, in milliseconds since 1970.
    pub ended: u64,
    /// The narrowed messages that replace messages which are not done.
    pub narrowing: Narrowing,
    /// The differences that S3 knows of.
    pub findings: Findings,
    /// The result of listing the buckets. `None` if that was not necessary.
    pub listing: Option<Listed<bucket::Error>>,
    /// The paths that were sent this month. `None` without a limit, and for a batch that needed nothing.
    pub month: Option<Month>,
    /// The paths that the batch was allowed to spend. `None` as above.
    pub grant: Option<Grant>,
    /// The items that CloudFront refused or never received, and what needs them.
    behind: Vec<Behind>,
}

/// Maximum number of ignored changes, and of unreadable messages, in the function's answer. Lambda
/// accepts answers of up to 6 MB.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
#[cfg(feature = "function")]
const MOST_ENTRIES: usize = 500;

/// Maximum number of bytes of paths in the function's answer.
#[cfg(feature = "function")]
const MOST_ANSWER_BYTES: usize = 1024 * 1024;

/// An invocation that failed as a whole, so that Lambda retries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A stable name that alarms can match.
    pub error_type: &'static str,
    /// The errors, in one line.
    pub message: String,
}

impl Report {
    /// Creates the report on a batch that ended at `ended`, in milliseconds since 1970. `results`
    /// is `None` in a dry run.
    #[must_use]
    pub fn new(
        batch: Batch,
        found: Found,
        plan: Plan,
        results: Option<(Outcome, Vec<Behind>)>,
        ended: u64,
    ) -> Self {
        let (outcome, behind) =
            results.map_or((None, Vec::new()), |(outcome, behind)| (Some(outcome), behind));
        let (narrowing, findings) = (Narrowing::default(), Findings::default());
        Self {
            batch,
            found,
            plan,
            outcome,
            ended,
            narrowing,
            findings,
            listing: None,
            month: None,
            grant: None,
            behind,
        }
    }

    /// Adds what became of the messages that are not done.
    #[must_use]
    pub fn with_narrowing(self, narrowing: Narrowing) -> Self {
        Self { narrowing, ..self }
    }

    /// Adds the result of listing the buckets.
    #[must_use]
    pub fn with_listing(self, listing: Option<Listed<bucket::Error>>) -> Self {
        Self { listing, ..self }
    }

    /// Adds the paths that were sent this month.
    #[must_use]
    pub fn with_month(self, month: Option<Month>) -> Self {
        Self { month, ..self }
    }

    /// Adds what the batch was allowed to spend.
    #[must_use]
    pub fn with_grant(self, grant: Option<Grant>) -> Self {
        Self { grant, ..self }
    }

    /// Adds what S3 says about the changes.
    #[must_use]
    pub fn with_findings(self, findings: Findings) -> Self {
        Self { findings, ..self }
    }

    /// Returns what the plan rests on.
    const fn known(&self) -> Known<'_> {
        Known { sites: &self.found.sites, findings: &self.findings }
    }

    /// Returns the function's answer to Lambda.
    ///
    /// For an SQS batch, the answer lists the messages that return to the queue: those that could
    /// not be parsed or processed, those with a change that a failed invalidation was to purge, and
    /// those whose distributions could not be determined. For any other event, the answer is the
    /// report itself.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>
    ///
    /// # Errors
    ///
    /// Fails if something that failed cannot return to the queue on its own, because it did not
    /// come in an SQS message, or the message has no id.
    #[cfg(feature = "function")]
    pub fn answer(&self) -> Result<Box<RawValue>, Failure> {
        let failed = self.failed_messages();
        let queued = self.batch.messages.iter().any(|message| message.id.is_some());
        let mut response = SqsBatchResponse::default();
        for &message in &failed {
            let Some(id) = &self.batch.messages[message].id else {
                return Err(self.failure());
            };
            response.add_failure(&**id);
        }
        let json = if queued {
            to_json(&response)
        } else {
            to_json(&self.document(MOST_ENTRIES, MOST_ANSWER_BYTES))
        };
        RawValue::from_string(json)
            .map_err(|error| Failure { error_type: "AnswerUnwritable", message: error.to_string() })
    }

    /// Returns whether no message has to return to the queue. In a dry run, planning a message is
    /// enough.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.failed_messages().is_empty()
    }

    /// Returns the number of paths that CloudFront bills: those of the invalidations that it
    /// created or, in a dry run, would create. It does not bill an invalidation again that already
    /// existed.
    #[must_use]
    pub fn billed_paths(&self) -> usize {
        let billed = |index: usize| {
            let planned = self.plan.invalidations[index].purge.item_count;
            self.sent(index).map_or(planned, |sent| sent.billed_paths(planned))
        };
        (0..self.plan.invalidations.len()).map(billed).sum()
    }

    /// Returns the errors of the calls that failed: of the lookup, and of each invalidation.
    pub fn errors(&self) -> impl Iterator<Item = &Error> {
        self.lookup_failure().into_iter().chain(self.failures().map(|(_, error)| error))
    }

    /// Returns the indices of the messages that return to the queue: sorted, without duplicates.
    fn failed_messages(&self) -> Vec<usize> {
        let mut failed: Vec<usize> = self.unreadable().map(|(message, _)| message).collect();
        failed.extend(&self.plan.waiting);
        for (index, sent) in self.outcome.iter().flat_map(|Outcome(sent)| sent.iter().enumerate()) {
            if matches!(sent, Sent::Failed(_)) {
                failed.extend(&*self.plan.invalidations[index].messages);
            }
        }
        failed.extend(self.plan.unread.iter().flat_map(|(_, messages)| messages));
        failed.extend(self.behind.iter().filter(|one| !one.is_done).flat_map(|one| &one.messages));
        let mut failed = sorted(failed);
        failed.retain(|message| self.narrowing.replaced.binary_search(message).is_err());
        failed
    }

    /// Returns the index of each message that could not be parsed or processed, with the reason.
    fn unreadable(&self) -> impl Iterator<Item = (usize, String)> {
        let unread =
            self.batch.messages.iter().enumerate().filter_map(|(index, message)| {
                message.unreadable.as_ref().map(|why| (index, why.to_string()))
            });
        let rejected =
            self.plan.rejected.iter().map(|(message, why)| (*message, format!("manual event: {why}")));
        unread.chain(rejected)
    }

    /// Returns the invalidations that may not exist, or only in part, each with its error.
    fn failures(&self) -> impl Iterator<Item = (&Invalidation, &Error)> {
        self.plan.invalidations.iter().enumerate().filter_map(|(index, invalidation)| {
            match self.sent(index) {
                Some(Sent::Failed(error)) => Some((invalidation, error)),
                Some(Sent::Isolated(isolated)) if isolated.undone().next().is_some() => {
                    Some((invalidation, &isolated.error))
                }
                _ => None,
            }
        })
    }

    /// Returns the error for which messages are not done because distributions are unknown.
    fn lookup_failure(&self) -> Option<&Error> {
        let is_needed = !self.plan.waiting.is_empty() || !self.plan.unread.is_empty();
        self.found.failure.as_ref().filter(|_| is_needed)
    }

    /// Returns the number of messages that need distributions that are unknown.
    fn waiting(&self) -> usize {
        let unread = self.plan.unread.iter().flat_map(|(_, messages)| messages);
        sorted(self.plan.waiting.iter().chain(unread).copied().collect()).len()
    }

    /// Returns the changes that were purged although their event is unknown.
    fn unknown_events(&self) -> impl Iterator<Item = &Change> {
        let is_ignored =
            |index: &usize| self.plan.ignored.binary_search_by_key(index, |(index, _)| *index).is_ok();
        let changes = self.batch.changes.iter().enumerate();
        let unknown = changes.filter(|(_, change)| change.effect == Effect::Unknown);
        unknown.filter(move |(index, _)| !is_ignored(index)).map(|(_, change)| change)
    }

    /// Returns the age of the oldest change behind the invalidation at `index`, in milliseconds.
    /// `None` if the change has no time, or if CloudFront did not accept the invalidation or only
    /// said that it existed.
    fn age(&self, index: usize) -> Option<u64> {
        if !matches!(self.sent(index)?, Sent::Accepted(_) | Sent::Folded(..) | Sent::Isolated(_)) {
            return None;
        }
        Some(self.ended.saturating_sub(self.plan.invalidations[index].purge.oldest?))
    }

    /// Returns the age of the oldest change that CloudFront has not accepted, in milliseconds.
    fn oldest_waiting(&self) -> Option<u64> {
        let oldest = self.failures().filter_map(|(invalidation, _)| invalidation.purge.oldest).min()?;
        Some(self.ended.saturating_sub(oldest))
    }

    /// Returns the result of the invalidation at `index`. `None` in a dry run.
    fn sent(&self, index: usize) -> Option<&Sent> {
        self.outcome.as_ref()?.0.get(index)
    }

    #[cfg(feature = "function")]
    fn failure(&self) -> Failure {
        let mut failures: Vec<(&'static str, String)> =
            self.unreadable().map(|(_, why)| (EVENT_UNREADABLE, why)).collect();
        if let Some(error) = self.lookup_failure() {
            failures.push((error.error_type(), format!("distribution lookup: {error}")));
        }
        failures.extend(self.failures().map(|(invalidation, error)| {
            (error.error_type(), format!("{}: {error}", invalidation.distribution))
        }));
        Failure {
            error_type: failures.first().map_or(EVENT_UNREADABLE, |(error_type, _)| error_type),
            message: Plain(&joined(failures.into_iter().map(|(_, why)| why), "; ")).to_string(),
        }
    }
}

/// Serializes the report as one object with `invalidations`, `ignored`, `unreadable`,
/// `billed_paths`, `month` if there is a limit, and `look_up` if the distribution lookup failed.
impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document(usize::MAX, usize::MAX).serialize(serializer)
    }
}

/// The report in its machine-readable form.
#[derive(Serialize)]
struct ReportJson<'a> {
    invalidations: Vec<Sending<'a>>,
    ignored: Vec<Passed<'a>>,
    /// The number of ignored changes that are left out.
    #[serde(skip_serializing_if = "is_zero")]
    more_ignored: usize,
    unreadable: Vec<Unread<'a>>,
    billed_paths: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    month: Option<MonthJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    look_up: Option<LookUp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A change that led to no invalidation.
#[derive(Serialize)]
struct Passed<'a> {
    bucket: &'a str,
    key: &'a Key,
    event: &'a str,
    reason: Ignored,
}

/// A message that could not be parsed or processed.
#[derive(Serialize)]
struct Unread<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    error: String,
}

impl Report {
    /// Builds the document, with at most `entries` ignored changes and unreadable messages, and
    /// with at most `bytes` of paths in all.
    fn document(&self, entries: usize, bytes: usize) -> ReportJson<'_> {
        let each = bytes / self.plan.invalidations.len().max(1);
        let passed = |&(index, reason): &(usize, Ignored)| {
            let change = &self.batch.changes[index];
            Passed { bucket: &change.bucket, key: &change.key, event: &change.event, reason }
        };
        let unread = |(message, error): (usize, String)| Unread {
            message: self.batch.messages[message].id.as_deref(),
            error,
        };
        ReportJson {
            invalidations: self.sendings().map(|sending| sending.shortened(each)).collect(),
            ignored: self.plan.ignored.iter().take(entries).map(passed).collect(),
            more_ignored: self.plan.ignored.len().saturating_sub(entries),
            unreadable: self.unreadable().take(entries).map(unread).collect(),
            billed_paths: self.billed_paths(),
            month: self.month.as_ref().map(|month| MonthJson {
                sent: month.sent,
                allowance: month.allowance,
                forecast: month.forecast(),
                source: month.source,
                pause_seconds: self
                    .grant
                    .as_ref()
                    .map(|grant| grant.pause.as_secs())
                    .filter(|pause| *pause > 0),
            }),
            look_up: self.look_up(),
        }
    }
}

/// The figures of the month.
#[derive(Serialize)]
struct MonthJson {
    sent: usize,
    allowance: usize,
    forecast: usize,
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_seconds: Option<u64>,
}

/// A failed lookup of the distributions.
#[derive(Serialize)]
struct LookUp {
    error_type: &'static str,
    error: String,
    /// The number of messages that return to the queue because of it.
    waiting: usize,
    /// The age of the earlier list that is used instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    list_age_seconds: Option<u64>,
}

/// An invalidation in its machine-readable form, with its result.
#[derive(Serialize)]
struct Sending<'a> {
    distribution: &'a str,
    /// The paths, or the first ones if there are too many to show.
    paths: Vec<&'a str>,
    /// The total number of paths. `None` if `paths` has them all; log lines always have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wildcard_count: Option<usize>,
    caller_reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// The ids of the parts, if it was sent in parts to isolate refused paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    /// Whether it existed before, so that CloudFront does not bill it again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    existed: bool,
    /// The number of planned paths, if CloudFront accepted only fewer, wider ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded_from: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Sending<'_> {
    /// Keeps only the first paths, up to `bytes` in all. Counts the paths before it drops any.
    fn shortened(mut self, mut bytes: usize) -> Self {
        let fits = |path: &&str| {
            let left = bytes.checked_sub(path.len());
            bytes = left.unwrap_or(0);
            left.is_some()
        };
        let fitting = self.paths.iter().copied().take_while(fits).count();
        if fitting < self.paths.len() {
            self = self.counted();
            self.paths.truncate(fitting);
        }
        self
    }

    /// Sets the counts, unless they are set already.
    fn counted(mut self) -> Self {
        let wildcards = self.paths.iter().filter(|path| path.ends_with('*')).count();
        self.path_count.get_or_insert(self.paths.len());
        self.wildcard_count.get_or_insert(wildcards);
        self
    }
}

impl Report {
    fn look_up(&self) -> Option<LookUp> {
        let failure = self.found.failure.as_ref()?;
        let (error_type, error) = (failure.error_type(), failure.to_string());
        let list_age_seconds = self.found.bridged.map(|age| age.as_secs());
        Some(LookUp { error_type, error, waiting: self.waiting(), list_age_seconds })
    }

    fn sendings(&self) -> impl Iterator<Item = Sending<'_>> {
        (0..self.plan.invalidations.len()).map(|index| self.sending(index))
    }

    fn sending(&self, index: usize) -> Sending<'_> {
        let invalidation = &self.plan.invalidations[index];
        let (mut id, mut ids, mut status, mut error) = (None, Vec::new(), None, None);
        let (mut existed, mut folded) = (false, false);
        let mut paths: Vec<&str> = invalidation.paths().collect();
        let Purge { mut item_count, mut wildcard_count, .. } = *invalidation.purge;
        match self.sent(index) {
            None => {}
            Some(Sent::Accepted(created)) => {
                (id, status, existed) = (Some(&*created.id), Some(&*created.status), !created.is_new);
            }
            Some(Sent::Folded(part, _)) => {
                let Part { created, items } = part;
                (id, status, existed) = (Some(&*created.id), Some(&*created.status), !created.is_new);
                folded = true;
                paths = items.iter().map(Item::as_str).collect();
                (item_count, wildcard_count) = (items.len(), part.wildcards());
            }
            Some(Sent::AlreadyDone { is_new }) => (status, existed) = (Some("AlreadyDone"), !is_new),
            Some(Sent::Failed(failure)) => error = Some(failure),
            Some(Sent::Isolated(isolated)) => {
                ids = isolated.accepted.iter().map(|part| &*part.created.id).collect();
                status = Some("Apart");
                error = isolated.undone().next().map(|_| &isolated.error);
            }
        }
        Sending {
            distribution: invalidation.distribution.as_str(),
            path_count: (paths.len() < item_count).then_some(item_count),
            wildcard_count: (paths.len() < item_count).then_some(wildcard_count),
            paths,
            caller_reference: &invalidation.caller_reference,
            id,
            ids,
            status,
            existed,
            folded_from: folded.then_some(invalidation.purge.item_count),
            error_type: error.map(Error::error_type),
            error: error.map(ToString::to_string),
        }
    }
}
