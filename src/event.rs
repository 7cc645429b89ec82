//! Parses events into a [`Batch`] of [`Change`]s. No other module knows the format of an event.
//!
//! The parser recognizes an event by its own type field (`eventSource`, `source`, `Event`, `Type`) if
//! it has one, and otherwise by a field that only its kind has. It borrows only the fields that it
//! needs. Envelopes nest: the same
//! code parses an S3 notification that arrives directly and one inside an SNS message inside an SQS
//! message. Parsing never fails as a whole: an unreadable [`Message`] records its error, and the
//! other messages are unaffected.
//!
//! | envelope | recognized by | parsed in |
//! |---|---|---|
//! | S3 notification | `Records[].eventSource` is `aws:s3` | `s3` |
//! | SQS batch | `Records[].eventSource` is `aws:sqs`; from EventBridge Pipes, a bare list of such records | `sqs` |
//! | received SQS messages | `Messages` | `sqs` |
//! | SNS notification | `Records[].EventSource` is `aws:sns`, or `Type` | `sns` |
//! | EventBridge event | `source` is `aws.s3` | `eventbridge` |
//! | failed invocation, redriven | `requestPayload` | `destination` |
//! | S3 test event | `Event` is `s3:TestEvent` | this file |
//! | manual event | `paths` | `manual` |
//! | narrowed message | `narrowed` | `narrowed` |

mod cloudtrail;
mod destination;
mod eventbridge;
mod manual;
mod narrowed;
mod s3;
mod sns;
mod sqs;

use std::{borrow::Cow, collections::BTreeMap, fmt, iter, mem, ops::Range, sync::Arc};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

pub use self::narrowed::{Content, Narrowed, NarrowedMessage};
use crate::text::Plain;

/// Maximum depth of nested envelopes. AWS nests at most four: an SQS message that holds the record
/// of a failed invocation by SNS, whose notification holds an S3 event. Deeper nesting is an attack
/// or a loop.
pub const MAX_DEPTH: usize = 8;

/// Maximum total size of nested envelopes in bytes, since all of them are in memory at once. Lambda
/// delivers at most 6 MB, and one SQS message holds at most 1 MB.
const MOST_NESTED: usize = 16 * 1024 * 1024;

/// Maximum number of bytes of the input that an error quotes.
const MOST_QUOTED: usize = 160;

/// The content of one invocation's event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The units that succeed or fail as a whole: the SQS messages, or else the event itself.
    pub messages: Vec<Message>,
    /// Every S3 event in the messages, in order of appearance and including duplicates.
    pub changes: Vec<Change>,
    /// Invalidations requested by hand.
    pub requests: Vec<Request>,
    /// Total number of paths in `requests`.
    pub requested_paths: usize,
    /// The parts of the batch that concern only some distributions.
    pub narrowed: Vec<Narrowed>,
    /// The ARN of the SQS queue that the messages come from. `None` if they come from none.
    pub queue: Option<Box<str>>,
    /// The id of the version that each change created, by the index of the change. `None` if it created
    /// none, or one without an id or with the id `null`. Empty unless [`Reading::versions`] is set.
    pub versions: Vec<Option<Box<str>>>,
    /// The regions of the buckets, by name, as far as the events say. Empty unless [`Reading::versions`]
    /// is set.
    pub regions: BTreeMap<Arc<str>, Box<str>>,
}

impl Batch {
    /// Returns the indices of the changes that are not in narrowed messages, in order.
    pub fn own_changes(&self) -> impl Iterator<Item = usize> {
        outside(self.narrowed.iter().map(|part| part.changes.clone()), self.changes.len())
    }

    /// Returns the region of a bucket. `None` if it is unknown.
    #[must_use]
    pub fn region(&self, bucket: &str) -> Option<&str> {
        self.regions.get(bucket).map(|region| &**region)
    }

    /// Returns the indices of the requests that are not in narrowed messages, in order.
    pub fn own_requests(&self) -> impl Iterator<Item = usize> {
        outside(self.narrowed.iter().map(|part| part.requests.clone()), self.requests.len())
    }

    /// Adds a change, sharing the strings that equal those of the previous change to save memory.
    fn push(&mut self, mut change: Change) {
        if let Some(before) = self.changes.last() {
            let share = |text: &mut Arc<str>, before: &Arc<str>| {
                if text == before {
                    text.clone_from(before);
                }
            };
            share(&mut change.bucket, &before.bucket);
            share(&mut change.event, &before.event);
            share(&mut change.identity, &before.identity);
        }
        self.changes.push(change);
    }

    /// Adds a change. Keeps its version and the region of its bucket if `reading` says so.
    fn push_reading(
        &mut self,
        reading: Reading,
        change: Change,
        version: Option<Box<str>>,
        region: Option<Text<'_>>,
    ) {
        if reading.versions {
            self.versions.push(version);
            if let Some(region) = full(region)
                && !self.regions.contains_key(&change.bucket)
            {
                self.regions.insert(Arc::clone(&change.bucket), region.into_boxed());
            }
        }
        self.push(change);
    }
}

/// Returns the numbers below `end` outside of these ranges, which are in order.
fn outside(ranges: impl Iterator<Item = Range<usize>>, end: usize) -> impl Iterator<Item = usize> {
    let mut begin = 0;
    ranges.chain(iter::once(end..end)).flat_map(move |range| mem::replace(&mut begin, range.end)..range.start)
}

/// A unit of work that is completed or returned to the queue as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The SQS message id with which the message can return to the queue. `None` if only the whole
    /// invocation can fail.
    pub id: Option<Box<str>>,
    /// The first error, if part of the message cannot be read. The batch still contains the parts
    /// that can.
    pub unreadable: Option<Box<Unreadable>>,
}

/// An S3 event about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the message that contains it.
    pub message: usize,
    /// The bucket's name. Consecutive changes share the string.
    pub bucket: Arc<str>,
    /// The object's key.
    pub key: Key,
    /// The event's name: `ObjectCreated:Put` in a notification, `Object Created` on EventBridge.
    /// Consecutive changes share the string.
    pub event: Arc<str>,
    /// The event's effect on the content that CloudFront serves.
    pub effect: Effect,
    /// The time of the event in milliseconds since 1970. `None` if the event does not say.
    pub time: Option<u64>,
    /// An identifier that stays the same when the change is delivered again, and differs for a
    /// later change to the same object: the sequencer, or else the id of the EventBridge event, of
    /// the message or of the invocation. Consecutive changes share the string.
    pub identity: Arc<str>,
}

/// The effect of an S3 event on the content that CloudFront serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The object was created, replaced or removed.
    Content,
    /// Objects in the bucket were created, replaced or removed, but the event does not name them.
    /// The key is empty.
    WholeBucket,
    /// A known event that leaves the content unchanged, such as a new tag.
    None,
    /// An event about an object that this version does not know. The content may have changed.
    Unknown,
}

impl Effect {
    /// Returns whether an event with this effect must name an object.
    const fn needs_object(self) -> bool {
        matches!(self, Self::Content | Self::Unknown)
    }
}

/// An invalidation requested by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Index of the message that contains it.
    pub message: usize,
    /// The paths, wildcards and tags as typed.
    pub paths: Vec<String>,
    /// The distribution. `None` if the request names none.
    pub distribution: Option<String>,
    /// An identifier that differs for a later request for the same paths: the id of the message, or
    /// else of the invocation.
    pub identity: Box<str>,
}

/// An object's key: bytes that are usually UTF-8.
///
/// `Display` escapes control characters and invalid UTF-8, so no key can forge a log line or move a
/// terminal's cursor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// Decodes a key as S3 writes it in notifications and lists, exactly once, to the bytes that it
    /// stores. The key is form-encoded: `+` is a space, and an invalid escape stays as it is.
    pub(crate) fn decode(key: &str) -> Self {
        let spaced = if key.contains('+') { Cow::Owned(key.replace('+', " ")) } else { Cow::Borrowed(key) };
        Self::from(Cow::from(percent_decode_str(&spaced)).into_owned())
    }

    /// Returns the bytes as S3 stores them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<B: Into<Box<[u8]>>> From<B> for Key {
    fn from(bytes: B) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            Plain(chunk.valid()).fmt(f)?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Key {
    /// Serializes the key as text, with invalid UTF-8 as replacement characters.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The reason why a message cannot be read. Most messages quote the input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The input is not the expected JSON.
    #[error("{what} cannot be read: {error}: {found}")]
    Json {
        /// The kind of input, such as "an S3 record".
        what: &'static str,
        /// The parser's error.
        error: String,
        /// The beginning of the input.
        found: String,
    },
    /// The input comes from a service that this function does not support.
    #[error(
        "{what} {name} is not for this function, which reads S3, SQS, SNS and EventBridge's aws.s3 events"
    )]
    Foreign {
        /// The kind of input, such as "a record from".
        what: &'static str,
        /// The service's name, quoted.
        name: String,
    },
    /// The input has no type field that this function knows.
    #[error("not a known event (S3, SQS, SNS, EventBridge, or {{\"paths\": [\"/…\"]}}): {found}")]
    Shape {
        /// The beginning of the input.
        found: String,
    },
    /// An S3 record has an unsupported major version.
    #[error("an S3 record has eventVersion {0}; only 2.x is supported")]
    Version(String),
    /// A record lacks a required field.
    #[error("{what} has no {field}")]
    Missing {
        /// The kind of record.
        what: &'static str,
        /// The field that is absent or empty.
        field: &'static str,
    },
    /// The message is an SNS confirmation of a subscription or of its end.
    #[error("an SNS {0}, not a notification: confirm or remove the subscription at the topic")]
    Subscription(String),
    /// Envelopes nest deeper than [`MAX_DEPTH`].
    #[error("envelopes nest more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Nested envelopes are too large in total.
    #[error("nested envelopes have more than {MOST_NESTED} bytes in total")]
    TooLarge,
    /// A manual event has no paths, or too many.
    #[error("manual event: {0}")]
    Request(String),
    /// A narrowed message is not as the function writes it.
    #[error("a narrowed message has {0}")]
    Narrowed(String),
}

impl Unreadable {
    fn json(what: &'static str, error: &serde_json::Error, found: &[u8]) -> Self {
        let error = error.to_string().chars().take(MOST_QUOTED).collect();
        Self::Json { what, error, found: beginning(found) }
    }
}

/// Quotes the beginning of `bytes`, up to [`MOST_QUOTED`] bytes.
fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_QUOTED)]);
    let more = if bytes.len() > MOST_QUOTED { "…" } else { "" };
    format!("{text:?}{more}")
}

/// The optional parts of an event to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether to keep the ids of versions and the regions of buckets, which take memory.
    pub versions: bool,
}

/// Parses an event in any known envelope.
///
/// `invocation` is an id that stays the same when the invocation is retried. It identifies changes
/// that have no sequencer and no envelope with an id.
#[must_use]
pub fn read(event: &[u8], invocation: &str) -> Batch {
    read_with(event, invocation, Reading::default())
}

/// Parses an event as [`read`] does, and keeps what `reading` says.
#[must_use]
pub fn read_with(event: &[u8], invocation: &str, reading: Reading) -> Batch {
    let mut batch = Batch::default();
    if let Err(unreadable) = whole(&mut batch, without_mark(event), invocation, reading) {
        batch.messages.push(Message { id: None, unreadable: Some(unreadable.into()) });
    }
    batch
}

/// Parses the outermost envelope. Each SQS record in it becomes a message of its own.
fn whole(batch: &mut Batch, event: &[u8], invocation: &str, reading: Reading) -> Result<(), Unreadable> {
    let envelope = Envelope::read(event)?;
    let records = envelope.records.as_deref().or(envelope.list.as_deref()).unwrap_or_default();
    if records.iter().any(|record| source(record).as_deref() == Ok("aws:sqs")) {
        // S3 sends one event per message.
        batch.messages.reserve(records.len());
        batch.changes.reserve(records.len());
        // Lambda delivers the messages of one queue.
        batch.queue = records.first().and_then(|record| sqs::queue(record));
        for record in records {
            let (id, attributes, read) = match sqs::read(record) {
                Ok(message) => (message.id(), message.attributes(), message.body()),
                Err(unreadable) => (sqs::id(record), None, Err(unreadable)),
            };
            let message = batch.messages.len();
            batch.messages.push(Message { id: id.clone(), unreadable: None });
            let id = id.as_deref().unwrap_or(invocation);
            let origin = Origin { message, id, attributes, depth: 1, bytes: 0, reading };
            let outcome = read.and_then(|body| origin.read(batch, body.as_bytes()));
            batch.messages[message].unreadable = outcome.err().map(Box::new);
        }
    } else {
        batch.messages.push(Message::default());
        let origin = Origin { message: 0, id: invocation, attributes: None, depth: 0, bytes: 0, reading };
        batch.messages[0].unreadable = origin.envelope(batch, event, &envelope).err().map(Box::new);
    }
    Ok(())
}

/// The origin of the input being parsed.
#[derive(Clone, Copy)]
struct Origin<'a> {
    /// Index of the message that contains the input.
    message: usize,
    /// The id of the innermost envelope that has one, or else of the invocation.
    id: &'a str,
    /// The attributes of the SQS message.
    attributes: Option<&'a RawValue>,
    /// Number of envelopes around the input.
    depth: usize,
    /// Total size in bytes of the nested envelopes so far.
    bytes: usize,
    reading: Reading,
}

impl Origin<'_> {
    /// Returns whether SQS may have delivered the message before.
    fn is_redelivered(&self) -> bool {
        self.attributes.is_some_and(|attributes| sqs::receive_count(attributes) > 1)
    }

    /// Parses one envelope into `batch`.
    fn read(self, batch: &mut Batch, json: &[u8]) -> Result<(), Unreadable> {
        let json = without_mark(json);
        self.envelope(batch, json, &Envelope::read(json)?)
    }

    /// Parses an envelope inside this one. `id` is the inner envelope's own id, if it has one.
    fn inside(self, batch: &mut Batch, json: &str, id: Option<&str>) -> Result<(), Unreadable> {
        if self.depth >= MAX_DEPTH {
            return Err(Unreadable::TooDeep);
        }
        let bytes = self.bytes + json.len();
        if bytes > MOST_NESTED {
            return Err(Unreadable::TooLarge);
        }
        let id = id.unwrap_or(self.id);
        Origin { id, depth: self.depth + 1, bytes, ..self }.read(batch, json.as_bytes())
    }

    fn envelope(self, batch: &mut Batch, json: &[u8], envelope: &Envelope<'_>) -> Result<(), Unreadable> {
        let is_request = envelope.paths.is_some() || envelope.distribution.is_some();
        if is_request && envelope.is_of_aws() {
            return Err(Unreadable::Shape { found: beginning(json) });
        }
        if let Some(records) = &envelope.records {
            return each(records, |record| self.record(batch, record));
        }
        if let Some(list) = &envelope.list {
            return each(list, |entry| match source(entry) {
                Ok(_) => self.record(batch, entry),
                // The entry is not a record but a complete event.
                Err(_) => self.inside(batch, entry.get(), None),
            });
        }
        if let Some(messages) = &envelope.messages {
            return each(messages, |message| {
                let (body, id) = sqs::received(message)?;
                self.inside(batch, &body, id.as_deref())
            });
        }
        if envelope.event.as_ref().is_some_and(|event| event.0 == "s3:TestEvent") {
            return Ok(());
        }
        if envelope.narrowed.is_some() {
            return narrowed::read(batch, json, self);
        }
        let source = envelope.source.as_ref().map(|text| &*text.0);
        let kind = envelope.kind.as_ref().map(|text| &*text.0);
        match (source, kind) {
            (Some("aws.s3"), _) => eventbridge::read(batch, json, self),
            (Some(name), _) => {
                let name = beginning(name.as_bytes());
                Err(Unreadable::Foreign { what: "an EventBridge event from", name })
            }
            (None, Some("Notification")) => {
                sns::read(json)?.message(|message, id| self.inside(batch, message, id))
            }
            _ if envelope.payload.is_some() => {
                destination::read(json)?.event(|event, id| self.inside(batch, event, id))
            }
            (None, Some(kind)) if kind.ends_with("Confirmation") => {
                Err(Unreadable::Subscription(beginning(kind.as_bytes())))
            }
            _ if is_request => {
                let request = manual::read(json, batch.requested_paths, self)?;
                batch.requested_paths += request.paths.len();
                batch.requests.push(request);
                Ok(())
            }
            _ => Err(Unreadable::Shape { found: beginning(json) }),
        }
    }

    fn record(self, batch: &mut Batch, record: &RawValue) -> Result<(), Unreadable> {
        match &*source(record)? {
            "aws:s3" => s3::read(batch, record, self),
            "aws:sns" => sns::record(record)?.message(|message, id| self.inside(batch, message, id)),
            "aws:sqs" => self.inside(batch, &sqs::read(record)?.body()?, None),
            name => {
                let name = beginning(name.as_bytes());
                Err(Unreadable::Foreign { what: "a record from", name })
            }
        }
    }
}

/// Parses all records, even after a failure, and returns the first error.
fn each<'a>(
    records: &[&'a RawValue],
    mut read: impl FnMut(&'a RawValue) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let mut first_bad = None;
    for record in records {
        let read = read(record);
        first_bad = first_bad.or(read.err());
    }
    first_bad.map_or(Ok(()), Err)
}

/// Strips the byte order mark that some editors and shells put before JSON.
fn without_mark(json: &[u8]) -> &[u8] {
    json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json)
}

/// The fields by which an envelope is recognized. Fields that belong to one kind of envelope are
/// only detected here; that kind's own module parses them.
#[derive(Default, Deserialize)]
struct Envelope<'a> {
    /// The entries, if the envelope is a bare list, as from EventBridge Pipes.
    #[serde(skip)]
    list: Option<Vec<&'a RawValue>>,
    /// The messages, if the envelope is the output of `aws sqs receive-message`.
    #[serde(borrow, rename = "Messages")]
    messages: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "Records")]
    records: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    source: Option<Text<'a>>,
    #[serde(borrow, rename = "Event")]
    event: Option<Text<'a>>,
    #[serde(borrow, rename = "Type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, rename = "requestPayload")]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    narrowed: Option<&'a RawValue>,
    #[serde(borrow)]
    paths: Option<&'a RawValue>,
    #[serde(borrow)]
    distribution: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Returns whether the envelope has a field that only AWS services set.
    const fn is_of_aws(&self) -> bool {
        let says_what = self.source.is_some() || self.event.is_some() || self.kind.is_some();
        let has_several = self.records.is_some() || self.messages.is_some();
        says_what || has_several || self.payload.is_some()
    }

    fn read(json: &'a [u8]) -> Result<Self, Unreadable> {
        let unreadable = |error| Unreadable::json("the event", &error, json);
        // Serde would read an array as a struct, element by element.
        if json.trim_ascii_start().first() == Some(&b'[') {
            let list: Vec<&RawValue> = serde_json::from_slice(json).map_err(unreadable)?;
            if list.is_empty() {
                return Err(Unreadable::Shape { found: beginning(json) });
            }
            return Ok(Self { list: Some(list), ..Self::default() });
        }
        serde_json::from_slice(json).map_err(unreadable)
    }
}

/// Returns the service that a record names as its source.
fn source(record: &RawValue) -> Result<Cow<'_, str>, Unreadable> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, rename = "eventSource", alias = "EventSource")]
        source: Option<Text<'a>>,
    }
    let said: Said<'_> = parse("a record", record)?;
    said.source.map(|text| text.0).ok_or(Unreadable::Missing { what: "a record", field: "eventSource" })
}

/// A string that is borrowed from the JSON unless it contains an escape.
///
/// Serde borrows a bare `Cow` and an `Option<Text>`, but never an `Option<Cow<str>>`.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn into_boxed(self) -> Box<str> {
        self.0.into()
    }
}

/// Returns the text, or `None` if it is absent or empty.
fn full(text: Option<Text<'_>>) -> Option<Text<'_>> {
    text.filter(|text| !text.0.is_empty())
}

/// Parses the fields of a record that `T` needs. `what` names the kind of record in errors.
fn parse<'a, T: Deserialize<'a>>(what: &'static str, record: &'a RawValue) -> Result<T, Unreadable> {
    let json = record.get();
    if json.starts_with('[') {
        return Err(Unreadable::Shape { found: beginning(json.as_bytes()) });
    }
    serde_json::from_str(json).map_err(|error| Unreadable::json(what, &error, json.as_bytes()))
}
