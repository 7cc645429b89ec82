//! SQS messages as Lambda's event source mapping delivers them.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, Unreadable, full, parse};

const WHAT: &str = "an SQS message";

/// One message of the batch.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow, rename = "messageId")]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
}

pub(super) fn read(record: &RawValue) -> Result<Record<'_>, Unreadable> {
    parse(WHAT, record)
}

/// Reads a message as `aws sqs receive-message` prints it: its body and its id.
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

/// The id of a record that cannot be read otherwise, so that it can still be
/// handed back alone.
pub(super) fn id(record: &RawValue) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, rename = "messageId")]
        id: Option<Text<'a>>,
    }
    let named: Named<'_> = parse(WHAT, record).ok()?;
    named.id.filter(|id| !id.0.is_empty()).map(Text::into_boxed)
}

impl<'a> Record<'a> {
    /// The message id. An empty one counts as none: handing it back would make
    /// Lambda fail the whole batch.
    pub(super) fn id(&self) -> Option<Box<str>> {
        self.id.as_ref().map(|id| &*id.0).filter(|id| !id.is_empty()).map(Box::from)
    }

    /// What was sent to the queue.
    pub(super) fn body(self) -> Result<Cow<'a, str>, Unreadable> {
        self.body.map(|body| body.0).ok_or(Unreadable::Missing { what: WHAT, field: "body" })
    }
}
