//! SNS notifications, delivered directly to Lambda or in the body of an SQS message.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html> and
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, Unreadable, parse};

const WHAT: &str = "an SNS notification";

/// The envelope that a topic puts around a message.
#[derive(Deserialize)]
pub(super) struct Notification<'a> {
    #[serde(borrow, rename = "MessageId")]
    id: Option<Text<'a>>,
    #[serde(borrow, rename = "Message")]
    message: Option<Text<'a>>,
}

/// Parses a notification from the body of an SQS message.
pub(super) fn read(json: &[u8]) -> Result<Notification<'_>, Unreadable> {
    serde_json::from_slice(json).map_err(|error| Unreadable::json(WHAT, &error, json))
}

/// Parses the notification in a record that SNS delivered directly to Lambda.
pub(super) fn record(record: &RawValue) -> Result<Notification<'_>, Unreadable> {
    #[derive(Deserialize)]
    struct Record<'a> {
        #[serde(borrow, rename = "Sns")]
        sns: Option<Notification<'a>>,
    }
    let record: Record<'_> = parse(WHAT, record)?;
    record.sns.ok_or(Unreadable::Missing { what: WHAT, field: "Sns" })
}

impl Notification<'_> {
    /// Passes the message and its id to `read`.
    pub(super) fn message(
        &self,
        read: impl FnOnce(&str, Option<&str>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let message = self.message.as_ref().ok_or(Unreadable::Missing { what: WHAT, field: "Message" })?;
        read(&message.0, self.id.as_ref().map(|id| &*id.0).filter(|id| !id.is_empty()))
    }
}
