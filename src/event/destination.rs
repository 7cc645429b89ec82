//! Records of asynchronous invocations that failed for good. Lambda puts the original event into
//! such a record, which arrives here when the dead-letter queue is redriven.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Text, Unreadable};

const WHAT: &str = "a record of a failed invocation";

/// The fields of the record that are needed.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow, rename = "requestContext")]
    context: Option<Context<'a>>,
    #[serde(borrow, rename = "requestPayload")]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: Option<Text<'a>>,
}

pub(super) fn read(json: &[u8]) -> Result<Record<'_>, Unreadable> {
    serde_json::from_slice(json).map_err(|error| Unreadable::json(WHAT, &error, json))
}

impl Record<'_> {
    /// Passes the event and the id of its invocation to `read`.
    pub(super) fn event(
        &self,
        read: impl FnOnce(&str, Option<&str>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let payload = self.payload.ok_or(Unreadable::Missing { what: WHAT, field: "requestPayload" })?;
        let id = self.context.as_ref().and_then(|context| context.request_id.as_ref());
        read(payload.get(), id.map(|id| &*id.0).filter(|id| !id.is_empty()))
    }
}
