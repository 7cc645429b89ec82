//! S3 events from EventBridge.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Change, Effect, Key, Origin, Text, Unreadable, cloudtrail, full, parse, s3::Entity};
use crate::time::milliseconds;

const WHAT: &str = "an EventBridge event";

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow, rename = "detail-type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

/// Parses one event. Unlike an S3 notification, EventBridge does not encode the key.
pub(super) fn read(json: &[u8], origin: Origin<'_>) -> Result<Change, Unreadable> {
    let event: Event<'_> =
        serde_json::from_slice(json).map_err(|error| Unreadable::json(WHAT, &error, json))?;
    let kind = full(event.kind).ok_or(Unreadable::Missing { what: WHAT, field: "detail-type" })?;
    let id = full(event.id);
    let origin = Origin { id: id.as_ref().map_or(origin.id, |id| &id.0), ..origin };
    let time = event.time.and_then(|time| milliseconds(&time.0));
    let change = if kind.0 == "AWS API Call via CloudTrail" {
        cloudtrail::change(event.detail, origin)?
    } else {
        let effect = effect(&kind.0);
        let entity = Entity::read(WHAT, event.detail, effect)?;
        let is_expired = kind.0 == "Object Deleted" && entity.is_version() && is_expired(event.detail);
        let effect = if is_expired { Effect::None } else { effect };
        entity.change(WHAT, kind, effect, origin, |key| Key::from(key.as_bytes()))?
    };
    Ok(Change { time, ..change })
}

/// Returns whether the event says that a lifecycle rule removed a version permanently.
fn is_expired(detail: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Deletion<'a> {
        #[serde(borrow)]
        reason: Option<Text<'a>>,
        #[serde(borrow, rename = "deletion-type")]
        kind: Option<Text<'a>>,
    }
    let deletion = detail.and_then(|detail| parse::<Deletion<'_>>(WHAT, detail).ok());
    let says = |text: Option<Text<'_>>, said: &str| text.is_some_and(|text| text.0 == said);
    deletion.is_some_and(|deletion| {
        says(deletion.reason, "Lifecycle Expiration") && says(deletion.kind, "Permanently Deleted")
    })
}

/// Returns the effect of an event on the content, by its `detail-type`.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html>
fn effect(kind: &str) -> Effect {
    match kind {
        "Object Created" | "Object Deleted" => Effect::Content,
        "Object ACL Updated"
        | "Object Access Tier Changed"
        | "Object Annotation Created"
        | "Object Annotation Removed"
        | "Object Restore Completed"
        | "Object Restore Expired"
        | "Object Restore Initiated"
        | "Object Retention Updated"
        | "Object Storage Class Changed"
        | "Object Tags Added"
        | "Object Tags Deleted" => Effect::None,
        _ => Effect::Unknown,
    }
}
