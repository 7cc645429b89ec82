//! Bytes in, a [`Batch`] of [`Change`]s out: the only room that knows what an
//! event looks like.
//!
//! An event is told by what it says it is (`eventSource`, `source`, `Event`,
//! `Type`), never by which structure happens to parse, and is read through small
//! borrowed views of the fields that are used. Envelopes nest: an S3 notification
//! in an SNS message in an SQS message is read by the same code as one that came
//! straight. Reading never fails as a whole: what cannot be read is a [`Message`]
//! that says so, and the messages beside it are not touched.
//!
//! | envelope | told by | read in |
//! |---|---|---|
//! | S3 notification | `Records[].eventSource` is `aws:s3` | `s3` |
//! | SQS batch | `Records[].eventSource` is `aws:sqs`; the same as a list, from a pipe | `sqs` |
//! | received SQS messages | `Messages` | `sqs` |
//! | SNS notification | `Records[].EventSource` is `aws:sns`, or `Type` | `sns` |
//! | EventBridge event | `source` is `aws.s3` | `eventbridge` |
//! | failed invocation, redriven | `requestPayload` | `destination` |
//! | S3 test event | `Event` is `s3:TestEvent` | here |
//! | manual event | `paths` | `manual` |

mod cloudtrail;
mod destination;
mod eventbridge;
mod manual;
mod s3;
mod sns;
mod sqs;
mod time;

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::text::Plain;

/// Maximum depth of nested envelopes. AWS makes four: a message from SQS with a failed invocation
/// by SNS, which had an event of S3's. More than this is an attack or a loop.
pub const MAX_DEPTH: usize = 8;

/// Maximum number of bytes in envelopes that are within each other: each is in memory at the same
/// time. Lambda delivers six megabytes, and SQS one in each message.
const MOST_NESTED: usize = 16 * 1024 * 1024;

/// How many bytes of what was found an error quotes.
const MOST_QUOTED: usize = 160;

/// What one invocation brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What is answered for as a whole: each SQS message, or else the one event.
    pub messages: Vec<Message>,
    /// Every S3 event in them, in order of appearance, duplicates included.
    pub changes: Vec<Change>,
    /// Invalidations that a person asked for.
    pub requests: Vec<Request>,
    /// How many paths those have together.
    pub typed_paths: usize,
}

impl Batch {
    /// Adds a change, which shares with the one before what is the same.
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
}

/// The unit that is done or handed back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The SQS message id by which it can be handed back. None where only the
    /// invocation as a whole can fail.
    pub id: Option<Box<str>>,
    /// Why some or all of it could not be read. What could be read of it is in the
    /// batch all the same.
    pub unreadable: Option<Box<Unreadable>>,
}

/// One S3 event about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the message that brought it.
    pub message: usize,
    /// The bucket's name. Changes one after the other share it.
    pub bucket: Arc<str>,
    /// The object's key.
    pub key: Key,
    /// What happened: `ObjectCreated:Put` from a notification, `Object Created`
    /// from EventBridge. Changes one after the other share it, too.
    pub event: Arc<str>,
    /// Whether that changes what CloudFront serves.
    pub effect: Effect,
    /// When it happened, in milliseconds since 1970, where the event says so.
    pub time: Option<u64>,
    /// Tells this change from a later one of the same object, and is the same when
    /// it is delivered again: the sequencer, else the EventBridge id, else the id
    /// of the message, else of the invocation. Changes one after the other share it.
    pub identity: Arc<str>,
}

/// Whether an S3 event changes what CloudFront serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Content was created, replaced or removed.
    Content,
    /// The same of objects of the bucket that the event does not name. The key is empty.
    WholeBucket,
    /// A known event that leaves the content as it was, such as a tag.
    None,
    /// An event that this version does not know, about an object. It may have changed.
    Unknown,
}

impl Effect {
    /// Returns whether an event with this effect has to name an object.
    const fn needs_object(self) -> bool {
        matches!(self, Self::Content | Self::Unknown)
    }
}

/// An invalidation that a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Index of the message that brought it.
    pub message: usize,
    /// The paths, wildcards and tags as typed.
    pub paths: Vec<String>,
    /// The distribution, where the person named one.
    pub distribution: Option<String>,
    /// Tells this request from a later one for the same paths: the id of the
    /// message, else of the invocation.
    pub identity: Box<str>,
}

/// An object's key: bytes, mostly UTF-8.
///
/// Displays with control characters and bytes that are no UTF-8 escaped, so that
/// no key can forge a log line or move a terminal's cursor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// The bytes, as S3 stores them.
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
    /// As text, with the replacement character for what is no UTF-8.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Why a message cannot be read. Each text quotes what was found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// It is not the JSON that it should be.
    #[error("{what} cannot be read: {error}: {found}")]
    Json {
        /// What it said it was.
        what: &'static str,
        /// What the parser says.
        error: String,
        /// The beginning of it.
        found: String,
    },
    /// It says to be something else.
    #[error(
        "{what} {name} is not for this function, which reads S3, SQS, SNS and EventBridge's aws.s3 events"
    )]
    Foreign {
        /// What kind of thing names itself so.
        what: &'static str,
        /// The name, quoted.
        name: String,
    },
    /// It does not say what it is.
    #[error("no event that is known here (S3, SQS, SNS, EventBridge, or {{\"paths\": [\"/…\"]}}): {found}")]
    Shape {
        /// The beginning of it.
        found: String,
    },
    /// A record of a version whose meaning is not known.
    #[error("an S3 record of eventVersion {0}: only 2.x is known")]
    Version(String),
    /// A record that lacks what it is about.
    #[error("{what} has no {field}")]
    Missing {
        /// What kind of record.
        what: &'static str,
        /// The field that is absent or empty.
        field: &'static str,
    },
    /// SNS asks whether the queue or function wants its messages.
    #[error("an SNS {0}, not a notification: confirm or remove the subscription at the topic")]
    Subscription(String),
    /// Envelopes in envelopes in envelopes.
    #[error("envelopes nest more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Large envelopes in large envelopes.
    #[error("envelopes within each other have more than {MOST_NESTED} bytes")]
    TooLarge,
    /// A request by hand that asks for nothing that can be done.
    #[error("manual event: {0}")]
    Request(String),
}

impl Unreadable {
    fn json(what: &'static str, error: &serde_json::Error, found: &[u8]) -> Self {
        let error = error.to_string().chars().take(MOST_QUOTED).collect();
        Self::Json { what, error, found: beginning(found) }
    }
}

/// As much of `bytes` as an error message should quote, quoted.
fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_QUOTED)]);
    let more = if bytes.len() > MOST_QUOTED { "…" } else { "" };
    format!("{text:?}{more}")
}

/// Reads an event, whatever envelope it comes in.
///
/// `invocation` is the id that stays the same when the invocation is retried: what
/// identifies a change that carries no sequencer and came in nothing with an id.
#[must_use]
pub fn read(event: &[u8], invocation: &str) -> Batch {
    let mut batch = Batch::default();
    if let Err(unreadable) = whole(&mut batch, without_mark(event), invocation) {
        batch.messages.push(Message { id: None, unreadable: Some(unreadable.into()) });
    }
    batch
}

/// Reads the outermost envelope, whose SQS records are messages of their own.
fn whole(batch: &mut Batch, event: &[u8], invocation: &str) -> Result<(), Unreadable> {
    let envelope = Envelope::read(event)?;
    let records = envelope.records.as_deref().or(envelope.list.as_deref()).unwrap_or_default();
    if records.iter().any(|record| source(record).as_deref() == Ok("aws:sqs")) {
        // S3 sends an event a message.
        batch.messages.reserve(records.len());
        batch.changes.reserve(records.len());
        for record in records {
            let (id, read) = match sqs::read(record) {
                Ok(message) => (message.id(), message.body()),
                Err(unreadable) => (sqs::id(record), Err(unreadable)),
            };
            let message = batch.messages.len();
            batch.messages.push(Message { id: id.clone(), unreadable: None });
            let origin = Origin { message, id: id.as_deref().unwrap_or(invocation), depth: 1, bytes: 0 };
            let outcome = read.and_then(|body| origin.read(batch, body.as_bytes()));
            batch.messages[message].unreadable = outcome.err().map(Box::new);
        }
    } else {
        batch.messages.push(Message::default());
        let origin = Origin { message: 0, id: invocation, depth: 0, bytes: 0 };
        batch.messages[0].unreadable = origin.envelope(batch, event, &envelope).err().map(Box::new);
    }
    Ok(())
}

/// Where what is being read came from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    /// Index of the message that answers for it.
    message: usize,
    /// The innermost id around it.
    id: &'a str,
    /// How many envelopes are around it.
    depth: usize,
    /// How many bytes those have that are within others.
    bytes: usize,
}

impl Origin<'_> {
    /// Reads one envelope into `batch`.
    fn read(self, batch: &mut Batch, json: &[u8]) -> Result<(), Unreadable> {
        let json = without_mark(json);
        self.envelope(batch, json, &Envelope::read(json)?)
    }

    /// Reads the envelope that is inside this one, which has an id of its own.
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
        let asks = envelope.paths.is_some() || envelope.distribution.is_some();
        if asks && envelope.is_of_aws() {
            return Err(Unreadable::Shape { found: beginning(json) });
        }
        if let Some(records) = &envelope.records {
            return each(records, |record| self.record(batch, record));
        }
        if let Some(list) = &envelope.list {
            return each(list, |entry| match source(entry) {
                Ok(_) => self.record(batch, entry),
                // No record, but an event of its own.
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
        let source = envelope.source.as_ref().map(|text| &*text.0);
        let kind = envelope.kind.as_ref().map(|text| &*text.0);
        match (source, kind) {
            (Some("aws.s3"), _) => {
                batch.push(eventbridge::read(json, self)?);
                Ok(())
            }
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
            _ if asks => {
                let request = manual::read(json, batch.typed_paths, self)?;
                batch.typed_paths += request.paths.len();
                batch.requests.push(request);
                Ok(())
            }
            _ => Err(Unreadable::Shape { found: beginning(json) }),
        }
    }

    fn record(self, batch: &mut Batch, record: &RawValue) -> Result<(), Unreadable> {
        match &*source(record)? {
            "aws:s3" => {
                batch.push(s3::read(record, self)?);
                Ok(())
            }
            "aws:sns" => sns::record(record)?.message(|message, id| self.inside(batch, message, id)),
            "aws:sqs" => self.inside(batch, &sqs::read(record)?.body()?, None),
            name => {
                let name = beginning(name.as_bytes());
                Err(Unreadable::Foreign { what: "a record from", name })
            }
        }
    }
}

/// Reads each of some records. One that is bad does not keep the others from being read.
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

/// Returns JSON without the byte order mark that some editors and shells put before it.
fn without_mark(json: &[u8]) -> &[u8] {
    json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json)
}

/// What an envelope says it is. Fields that only one kind has are not read here,
/// only looked for.
#[derive(Default, Deserialize)]
struct Envelope<'a> {
    /// The entries, if it is a list: as EventBridge's pipes deliver them.
    #[serde(skip)]
    list: Option<Vec<&'a RawValue>>,
    /// What `aws sqs receive-message` prints.
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
    paths: Option<&'a RawValue>,
    #[serde(borrow)]
    distribution: Option<&'a RawValue>,
}

impl<'a> Envelope<'a> {
    /// Whether a service of AWS wrapped something in it.
    const fn is_of_aws(&self) -> bool {
        let says_what = self.source.is_some() || self.event.is_some() || self.kind.is_some();
        let has_several = self.records.is_some() || self.messages.is_some();
        says_what || has_several || self.payload.is_some()
    }

    fn read(json: &'a [u8]) -> Result<Self, Unreadable> {
        let unreadable = |error| Unreadable::json("the event", &error, json);
        // Serde would take an array for a structure, field by field.
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

/// The service that a record says it is from.
fn source(record: &RawValue) -> Result<Cow<'_, str>, Unreadable> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, rename = "eventSource", alias = "EventSource")]
        source: Option<Text<'a>>,
    }
    let said: Said<'_> = parse("a record", record)?;
    said.source.map(|text| text.0).ok_or(Unreadable::Missing { what: "a record", field: "eventSource" })
}

/// A string that is borrowed from the JSON where no escape stands in it.
///
/// Serde borrows a bare `Cow` and an `Option` of this, but never an
/// `Option<Cow<str>>`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn into_boxed(self) -> Box<str> {
        self.0.into()
    }
}

/// The text, unless it is absent or empty.
fn full(text: Option<Text<'_>>) -> Option<Text<'_>> {
    text.filter(|text| !text.0.is_empty())
}

/// Reads a view of a record.
fn parse<'a, T: Deserialize<'a>>(what: &'static str, record: &'a RawValue) -> Result<T, Unreadable> {
    let json = record.get();
    if json.starts_with('[') {
        return Err(Unreadable::Shape { found: beginning(json.as_bytes()) });
    }
    serde_json::from_str(json).map_err(|error| Unreadable::json(what, &error, json.as_bytes()))
}
