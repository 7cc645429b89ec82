//! Answers SendMessageBatch as strictly as Amazon SQS, keeps the messages, and describes the queues.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Fault, Server, lock, wire::Refusal};

/// Maximum number of messages in one batch.
const MOST_ENTRIES: usize = 10;

/// Maximum number of bytes of all messages of a batch together.
const MOST_BYTES: usize = 1024 * 1024;

/// A message that was sent, for callers to inspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// The id that the sender gave to the entry of the batch.
    pub id: String,
    /// The name of the queue.
    pub queue: String,
    /// The body, as sent.
    pub body: String,
    /// The time for which the message stays invisible.
    pub delay: Duration,
}

/// The messages of all queues, and the pending faults.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// The messages, oldest first.
    pub(super) sent: Vec<SentMessage>,
    pub(super) faults: VecDeque<Fault>,
    /// Index of the entry that fails in each of the next batches.
    pub(super) failing: VecDeque<usize>,
    /// The number of messages that were ever sent.
    total: usize,
    /// The attributes of queues that differ from the default, by queue.
    attributes: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    message_body: String,
    delay_seconds: Option<i64>,
}

/// The result of a batch. Like SQS, it leaves out an empty list.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BatchResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<Successful>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Successful {
    id: String,
    message_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: &'static str,
}

impl Queues {
    /// Keeps the messages of a batch that is sent to one of `queues`, and returns the answer.
    pub(super) fn send(&mut self, queues: &[String], body: &[u8]) -> Result<String, Refusal> {
        let batch: Batch = serde_json::from_slice(body)
            .map_err(|why| Refusal::new(400, "SerializationException", &why.to_string()))?;
        let queue = queue_name(&batch.queue_url)
            .ok_or_else(|| Refusal::new(404, "InvalidAddress", "The queue's URL is not valid."))?;
        if !queues.contains(&queue) {
            return Err(Refusal::new(400, "QueueDoesNotExist", "The specified queue does not exist."));
        }
        check(&batch.entries)?;
        let failing = self.failing.pop_front();
        let mut result = BatchResult::default();
        for (index, Entry { id, message_body, delay_seconds }) in batch.entries.into_iter().enumerate() {
            let accepted = if failing == Some(index) {
                Err((false, "InternalError", "The request failed because of an internal error."))
            } else {
                accept(&message_body, delay_seconds.unwrap_or_default())
            };
            match accepted {
                Ok(delay) => {
                    self.total += 1;
                    let message_id = format!("00000000-0000-4000-8000-{:012}", self.total);
                    result.successful.push(Successful { id: id.clone(), message_id });
                    self.sent.push(SentMessage { id, queue: queue.clone(), body: message_body, delay });
                }
                Err((sender_fault, code, message)) => {
                    result.failed.push(Failed { id, sender_fault, code, message });
                }
            }
        }
        serde_json::to_string(&result).map_err(|why| Refusal::new(500, "InternalError", &why.to_string()))
    }
}

impl Queues {
    /// Returns the answer to GetQueueAttributes, with all attributes. By default, a queue is that of the template,
    /// with the dead-letter queue `dead-letters`.
    pub(super) fn attributes(&self, queues: &[String], body: &[u8]) -> Result<String, Refusal> {
        let request: serde_json::Value = serde_json::from_slice(body)
            .map_err(|why| Refusal::new(400, "SerializationException", &why.to_string()))?;
        let queue = request["QueueUrl"].as_str().and_then(queue_name);
        let queue = queue
            .filter(|queue| queues.contains(queue))
            .ok_or_else(|| Refusal::new(400, "QueueDoesNotExist", "The specified queue does not exist."))?;
        let waiting = self.sent.iter().filter(|message| message.queue == queue).count();
        let mut attributes = json!({
            "ApproximateNumberOfMessages": waiting.to_string(),
            "ApproximateNumberOfMessagesNotVisible": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
            "VisibilityTimeout": "190",
        });
        if queue != DEAD_LETTERS {
            let redrive = json!({
                "deadLetterTargetArn": format!("arn:aws:sqs:eu-central-1:123456789012:{DEAD_LETTERS}"),
                "maxReceiveCount": 240,
            });
            let policy = json!({"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": format!("arn:aws:sqs:eu-central-1:123456789012:{queue}"),
            }]});
            attributes["RedrivePolicy"] = json!(redrive.to_string());
            attributes["Policy"] = json!(policy.to_string());
        }
        for (name, value) in self.attributes.get(&queue).into_iter().flatten() {
            attributes[name] = json!(value);
        }
        Ok(json!({"Attributes": attributes}).to_string())
    }
}

impl Server {
    /// Sets an attribute of a queue, such as `VisibilityTimeout`, for GetQueueAttributes. It has no other effect.
    pub fn set_queue_attribute(&self, queue: &str, name: &str, value: &str) {
        let attributes = &mut lock(&self.store).queues.attributes;
        attributes.entry(queue.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }
}

/// The queue for the dead letters of the others.
const DEAD_LETTERS: &str = "dead-letters";

/// Returns the name in a queue's URL, whose path ends in the account's number and the name.
fn queue_name(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    url.host()?;
    let (before, name) = url.path().rsplit_once('/')?;
    let (_, account) = before.rsplit_once('/')?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_account && !name.is_empty()).then(|| name.to_owned())
}

/// Checks the rules for a batch as a whole.
fn check(entries: &[Entry]) -> Result<(), Refusal> {
    let refuse = |code, why| Err(Refusal::new(400, code, why));
    if entries.is_empty() {
        return refuse("EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry.");
    }
    if entries.len() > MOST_ENTRIES {
        return refuse("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.");
    }
    let is_valid = |id: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=80).contains(&id.len()) && id.bytes().all(is_allowed)
    };
    if !entries.iter().all(|entry| is_valid(&entry.id)) {
        let why = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can \
                   be at most 80 letters long.";
        return refuse("InvalidBatchEntryId", why);
    }
    let mut ids = BTreeSet::new();
    if !entries.iter().all(|entry| ids.insert(&entry.id)) {
        return refuse("BatchEntryIdsNotDistinct", "Two or more batch entries have the same Id.");
    }
    if entries.iter().map(|entry| entry.message_body.len()).sum::<usize>() > MOST_BYTES {
        let why = "Batch requests cannot be longer than 1048576 bytes.";
        return refuse("BatchRequestTooLong", why);
    }
    Ok(())
}

/// Checks one message, and returns its delay. An error says whether the sender caused it, and has
/// SQS's code and message.
fn accept(body: &str, delay_seconds: i64) -> Result<Duration, (bool, &'static str, &'static str)> {
    let delay = u64::try_from(delay_seconds).ok().filter(|seconds| *seconds <= 900).ok_or((
        true,
        "InvalidParameterValue",
        "Value for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
    ))?;
    if body.is_empty() || !body.chars().all(is_allowed) {
        let why = "The message contains characters outside the allowed set.";
        return Err((true, "InvalidMessageContents", why));
    }
    Ok(Duration::from_secs(delay))
}

/// Returns whether a message may contain a character: those of XML 1.0.
const fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}
