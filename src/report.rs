//! What happened, told to everyone who has to hear it: Lambda and the queue
//! ([`Report::answer`]), machines (`Serialize`), people (`Display`,
//! [`Report::explain`]) and the log ([`Log`]).

mod log;
mod metrics;
mod price;
mod text;

use std::{collections::BTreeMap, sync::Arc};

#[cfg(feature = "function")]
use aws_lambda_events::sqs::SqsBatchResponse;
use serde::Serialize;
#[cfg(feature = "function")]
use serde_json::value::{RawValue, to_raw_value};

pub use self::{
    log::{Invocation, Log},
    metrics::METRICS,
    price::{FREE_PATHS, dollars},
    text::counted,
};
use crate::{
    cloudfront::Error,
    discover::Found,
    event::{Batch, Change, Key},
    plan::{Cause, Invalidation, Plan, Policy, reasons},
    site::Ignored,
    submit::{Outcome, Sent},
};

/// The `errorType` of an event, or a part of one, that cannot be read or done.
pub const EVENT_UNREADABLE: &str = "EventUnreadable";

/// A batch, what was planned for it, and how that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What came in.
    pub batch: Batch,
    /// The sites that it concerns, as far as they could be found.
    pub found: Found,
    /// What was to be done.
    pub plan: Plan,
    /// How it went. None where nothing was sent because nothing should be.
    pub outcome: Option<Outcome>,
    /// When that was, in milliseconds since 1970.
    pub ended: u64,
    /// What is behind the items that CloudFront refused or never saw.
    behind: Vec<Behind>,
}

/// What is behind an item of an invalidation that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Behind {
    invalidation: usize,
    item: usize,
    /// Whether something else stands for it, so that it is done.
    is_done: bool,
    /// Indices of the messages that need it.
    messages: Vec<usize>,
    /// The first objects: bucket and key of each.
    objects: Vec<(Arc<str>, Key)>,
}

/// How many objects are told of behind an item.
const MOST_BEHIND: usize = 5;

/// An invocation that failed as a whole, so that Lambda invokes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A name that alarms can rely on.
    pub error_type: &'static str,
    /// Everything that went wrong.
    pub message: String,
}

impl Report {
    /// The report on a batch, planned by this policy, as of `ended`: milliseconds since
    /// 1970.
    #[must_use]
    pub fn new(
        batch: Batch,
        found: Found,
        plan: Plan,
        outcome: Option<Outcome>,
        policy: &Policy,
        ended: u64,
    ) -> Self {
        let behind = outcome
            .as_ref()
            .map_or_else(Vec::new, |Outcome(sent)| behind(&batch, policy, &found, &plan, sent));
        Self { batch, found, plan, outcome, ended, behind }
    }

    /// What Lambda is told.
    ///
    /// For an SQS batch the messages that have to come again: each that could not be
    /// read, each with a change that some failed invalidation was to purge, and each of
    /// which it is not known who serves it. For everything else the report itself.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>
    ///
    /// # Errors
    ///
    /// Something failed that cannot be handed back alone, because it came in no SQS
    /// message or in one without an id.
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
        let json = if queued { to_raw_value(&response) } else { to_raw_value(self) };
        json.map_err(|error| Failure { error_type: "AnswerUnwritable", message: error.to_string() })
    }

    /// Whether everything that was asked for is done, or was only to be planned.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.failed_messages().is_empty()
    }

    /// How many paths CloudFront bills: those of the invalidations that it took or,
    /// where none was sent, would be sent.
    #[must_use]
    pub fn billed_paths(&self) -> usize {
        let billed = |index: usize| match self.sent(index) {
            None | Some(Sent::Accepted(_)) => self.plan.invalidations[index].items.len(),
            Some(Sent::Apart(apart)) => apart.accepted.iter().map(|one| one.paths.len()).sum(),
            Some(Sent::AlreadyDone | Sent::Failed(_)) => 0,
        };
        (0..self.plan.invalidations.len()).map(billed).sum()
    }

    /// Indices of the messages that are not done: sorted, each once.
    fn failed_messages(&self) -> Vec<usize> {
        let mut failed: Vec<usize> = self.unreadable().map(|(message, _)| message).collect();
        failed.extend(&self.plan.waiting);
        for (index, sent) in self.outcome.iter().flat_map(|Outcome(sent)| sent.iter().enumerate()) {
            if matches!(sent, Sent::Failed(_)) {
                failed.extend(&self.plan.invalidations[index].messages);
            }
        }
        failed.extend(self.behind.iter().filter(|one| !one.is_done).flat_map(|one| &one.messages));
        failed.sort_unstable();
        failed.dedup();
        failed
    }

    /// What could not be read or done: index of the message, and why.
    fn unreadable(&self) -> impl Iterator<Item = (usize, String)> {
        let unread =
            self.batch.messages.iter().enumerate().filter_map(|(index, message)| {
                message.unreadable.as_ref().map(|why| (index, why.to_string()))
            });
        let rejected =
            self.plan.rejected.iter().map(|(message, why)| (*message, format!("manual event: {why}")));
        unread.chain(rejected)
    }

    /// The invalidations that may not exist, or not all of them, and why.
    fn failures(&self) -> impl Iterator<Item = (&Invalidation, &Error)> {
        self.plan.invalidations.iter().enumerate().filter_map(|(index, invalidation)| {
            match self.sent(index) {
                Some(Sent::Failed(error)) => Some((invalidation, error)),
                Some(Sent::Apart(apart)) if apart.undone().next().is_some() => {
                    Some((invalidation, &apart.error))
                }
                _ => None,
            }
        })
    }

    /// What an invalidation is to purge: the changes that count of the messages that need
    /// it.
    fn changes_of(&self, invalidation: &Invalidation) -> impl Iterator<Item = &Change> {
        let counts = |(index, change): &(usize, &Change)| {
            let ignored = self.plan.ignored.binary_search_by_key(index, |(index, _)| *index).is_ok();
            !ignored && invalidation.messages.binary_search(&change.message).is_ok()
        };
        self.batch.changes.iter().enumerate().filter(counts).map(|(_, change)| change)
    }

    /// How long ago the oldest change was, in milliseconds, whose invalidation at `index`
    /// CloudFront took.
    fn age(&self, index: usize) -> Option<u64> {
        if !matches!(self.sent(index)?, Sent::Accepted(_) | Sent::Apart(_)) {
            return None;
        }
        let oldest =
            self.changes_of(&self.plan.invalidations[index]).filter_map(|change| change.time).min()?;
        Some(self.ended.saturating_sub(oldest))
    }

    /// How the invalidation at `index` went, if it was sent.
    fn sent(&self, index: usize) -> Option<&Sent> {
        self.outcome.as_ref()?.0.get(index)
    }

    #[cfg(feature = "function")]
    fn failure(&self) -> Failure {
        let mut failures: Vec<(&'static str, String)> =
            self.unreadable().map(|(_, why)| (EVENT_UNREADABLE, why)).collect();
        if let Some(error) = self.found.failure.as_ref().filter(|_| !self.plan.waiting.is_empty()) {
            failures.push((error.error_type(), format!("look-up of distributions: {error}")));
        }
        failures.extend(self.failures().map(|(invalidation, error)| {
            (error.error_type(), format!("{}: {error}", invalidation.distribution))
        }));
        Failure {
            error_type: failures.first().map_or(EVENT_UNREADABLE, |(error_type, _)| error_type),
            message: told(failures.into_iter().map(|(_, why)| why)),
        }
    }
}

/// What is behind the items of invalidations that were taken apart, but for those that
/// CloudFront took.
fn behind(batch: &Batch, policy: &Policy, found: &Found, plan: &Plan, sent: &[Sent]) -> Vec<Behind> {
    let mut behind: BTreeMap<(usize, usize), Behind> = BTreeMap::new();
    for (invalidation, sent) in sent.iter().enumerate() {
        let Sent::Apart(apart) = sent else { continue };
        let widened = apart.refused.iter().filter(|refused| refused.instead.is_some());
        let done = widened.map(|refused| (refused.item, true));
        for (item, is_done) in apart.undone().map(|item| (item, false)).chain(done) {
            let none = Behind { invalidation, item, is_done, messages: Vec::new(), objects: Vec::new() };
            behind.insert((invalidation, item), none);
        }
    }
    if behind.is_empty() {
        return Vec::new();
    }
    for reason in reasons(batch, policy, &found.sites, plan) {
        let Some(behind) = behind.get_mut(&(reason.invalidation, reason.covering)) else { continue };
        behind.messages.push(reason.cause.message());
        if let Cause::Change(change) = reason.cause
            && behind.objects.len() < MOST_BEHIND
        {
            behind.objects.push((change.bucket.clone(), change.key.clone()));
        }
    }
    behind.into_values().collect()
}

/// The texts in one, as many as a message should hold.
#[cfg(feature = "function")]
fn told(texts: impl ExactSizeIterator<Item = String>) -> String {
    const MOST: usize = 20;
    let more = texts.len().saturating_sub(MOST);
    let rest = (more > 0).then(|| format!("and {more} more"));
    texts.take(MOST).chain(rest).collect::<Vec<_>>().join("; ")
}

/// The report as machines read it: one object with `invalidations`, `ignored`,
/// `unreadable`, `billed_paths` and, where the distributions could not be looked up,
/// `look_up`.
impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            invalidations: Vec<Sending<'a>>,
            ignored: Vec<Passed<'a>>,
            unreadable: Vec<Unread<'a>>,
            billed_paths: usize,
            #[serde(skip_serializing_if = "Option::is_none")]
            look_up: Option<LookUp>,
        }
        #[derive(Serialize)]
        struct Passed<'a> {
            bucket: &'a str,
            key: &'a Key,
            event: &'a str,
            reason: Ignored,
        }
        #[derive(Serialize)]
        struct Unread<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
            error: String,
        }
        Document {
            invalidations: self.sendings().collect(),
            ignored: self
                .plan
                .ignored
                .iter()
                .map(|&(index, reason)| {
                    let change = &self.batch.changes[index];
                    Passed { bucket: &change.bucket, key: &change.key, event: &change.event, reason }
                })
                .collect(),
            unreadable: self
                .unreadable()
                .map(|(message, error)| Unread { message: self.batch.messages[message].id.as_deref(), error })
                .collect(),
            billed_paths: self.billed_paths(),
            look_up: self.look_up(),
        }
        .serialize(serializer)
    }
}

/// How looking up the distributions failed.
#[derive(Serialize)]
struct LookUp {
    error_type: &'static str,
    error: String,
    /// How many messages wait for it.
    waiting: usize,
}

/// One invalidation as it is shown, with what CloudFront said of it.
#[derive(Serialize)]
struct Sending<'a> {
    distribution: &'a str,
    paths: Vec<&'a str>,
    caller_reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// Those of the parts, where it was taken apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Report {
    fn look_up(&self) -> Option<LookUp> {
        let failure = self.found.failure.as_ref()?;
        let (error_type, error) = (failure.error_type(), failure.to_string());
        Some(LookUp { error_type, error, waiting: self.plan.waiting.len() })
    }

    fn sendings(&self) -> impl Iterator<Item = Sending<'_>> {
        (0..self.plan.invalidations.len()).map(|index| self.sending(index))
    }

    fn sending(&self, index: usize) -> Sending<'_> {
        let invalidation = &self.plan.invalidations[index];
        let (mut id, mut ids, mut status, mut error) = (None, Vec::new(), None, None);
        match self.sent(index) {
            None => {}
            Some(Sent::Accepted(created)) => (id, status) = (Some(&*created.id), Some(&*created.status)),
            Some(Sent::AlreadyDone) => status = Some("AlreadyDone"),
            Some(Sent::Failed(failure)) => error = Some(failure),
            Some(Sent::Apart(apart)) => {
                ids = apart.accepted.iter().map(|one| &*one.id).collect();
                status = Some("Apart");
                error = apart.undone().next().map(|_| &apart.error);
            }
        }
        Sending {
            distribution: invalidation.distribution.as_str(),
            paths: invalidation.paths().collect(),
            caller_reference: &invalidation.caller_reference,
            id,
            ids,
            status,
            error_type: error.map(Error::error_type),
            error: error.map(ToString::to_string),
        }
    }
}
