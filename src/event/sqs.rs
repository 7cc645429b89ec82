//! SQS messages from Lambda's event source mapping or `aws sqs receive-message`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, Unreadable, full, parse};

const WHAT: &str = "an SQS message";

/// A message in the batch.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow, rename = "messageId")]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
}

pub(super) fn read(record: &RawValue) -> Result<Record<'_>, Unreadable> {
    parse(WHAT, record)
}

/// Parses a message as `aws sqs receive-message` prints it, and returns its body and its id.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Message.html>
pub(super) fn received(message: &RawValue) -> Result<(Cow<'_, str>, Option<Cow<'_, str>>), Unreadable> {
    #[derive(Deserialize)]
    struct Received<'a> {
        #[serde(borrow, rename = "MessageId")]
        id: Option<Text<'a>>,
        #[serde(borrow, rename = "Body")]
        body: Option<Text<'a>>,
    }
    let received: Received<'_> = parse(WHAT, message)?;
    let body = received.body.ok_or(Unreadable::Missing { what: WHAT, field: "Body" })?;
    Ok((body.0, full(received.id).map(|id| id.0)))
}

/// Returns the id of a record that otherwise cannot be read, so that it alone can return to the
/// queue.
pub(super) fn id(record: &RawValue) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, rename = "messageId")]
        id: Option<Text<'a>>,
    }
    let named: Named<'_> = parse(WHAT, record).ok()?;
    full(named.id).map(Text::into_boxed)
}

/// Returns the ARN of the queue that a record comes from.
pub(super) fn queue(record: &RawValue) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Sent<'a> {
        #[serde(borrow, rename = "eventSourceARN")]
        queue: Option<Text<'a>>,
    }
    let sent: Sent<'_> = parse(WHAT, record).ok()?;
    full(sent.queue).map(Text::into_boxed)
}

/// Returns how often SQS has delivered the message with these attributes, this time included. SQS
/// counts approximately. Returns 1 if the attributes do not say.
pub(super) fn receive_count(attributes: &RawValue) -> u64 {
    #[derive(Deserialize)]
    struct Counted<'a> {
        #[serde(borrow, rename = "ApproximateReceiveCount")]
        count: Option<Text<'a>>,
    }
    let counted = parse::<Counted<'_>>(WHAT, attributes).ok().and_then(|counted| counted.count);
    counted.and_then(|count| count.0.parse().ok()).unwrap_or(1)
}

impl<'a> Record<'a> {
    /// Returns the message's attributes, which SQS sets.
    pub(super) const fn attributes(&self) -> Option<&'a RawValue> {
        self.attributes
    }

    /// Returns the message id. An empty id counts as none, because reporting it as failed would
    /// make Lambda fail the whole batch.
    pub(super) fn id(&self) -> Option<Box<str>> {
        self.id.as_ref().map(|id| &*id.0).filter(|id| !id.is_empty()).map(Box::from)
    }

    /// Returns the message's body.
    pub(super) fn body(self) -> Result<Cow<'a, str>, Unreadable> {
        self.body.map(|body| body.0).ok_or(Unreadable::Missing { what: WHAT, field: "body" })
    }
}
