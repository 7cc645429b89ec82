//! S3 event notifications.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Change, Effect, Key, Origin, Text, Unreadable, beginning, full, parse};
use crate::time::milliseconds;

const WHAT: &str = "an S3 record";

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "eventVersion")]
    version: Option<Text<'a>>,
    #[serde(borrow, rename = "eventName")]
    name: Option<Text<'a>>,
    #[serde(borrow, rename = "eventTime")]
    time: Option<Text<'a>>,
    #[serde(borrow)]
    s3: Option<&'a RawValue>,
}

/// The object of an S3 event. A notification's `s3` and EventBridge's `detail` share this format.
#[derive(Default, Deserialize)]
pub(super) struct Entity<'a> {
    #[serde(borrow)]
    bucket: Option<Bucket<'a>>,
    #[serde(borrow)]
    object: Option<Object<'a>>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    sequencer: Option<Text<'a>>,
    #[serde(borrow, rename = "versionId", alias = "version-id")]
    version: Option<Text<'a>>,
}

/// Parses one record. Only the fields that are needed must be present.
pub(super) fn read(record: &RawValue, origin: Origin<'_>) -> Result<Change, Unreadable> {
    let record: Record<'_> = parse(WHAT, record)?;
    if let Some(version) = record.version.filter(|version| major(&version.0) != "2") {
        return Err(Unreadable::Version(beginning(version.0.as_bytes())));
    }
    let event = full(record.name).ok_or(Unreadable::Missing { what: WHAT, field: "eventName" })?;
    let effect = effect(&event.0);
    let time = record.time.and_then(|time| milliseconds(&time.0));
    let entity = Entity::read(WHAT, record.s3, effect)?;
    let is_expiration = event.0.trim_start_matches("s3:") == "LifecycleExpiration:Delete";
    let effect = if is_expiration && entity.is_version() { Effect::None } else { effect };
    let change = entity.change(WHAT, event, effect, origin, Key::decode)?;
    Ok(Change { time, ..change })
}

impl<'a> Entity<'a> {
    /// Parses the object in `json`. If the event changes no object, absent or malformed JSON counts
    /// as no object.
    pub(super) fn read(
        what: &'static str,
        json: Option<&'a RawValue>,
        effect: Effect,
    ) -> Result<Self, Unreadable> {
        match json.map(|json| parse(what, json)) {
            Some(Err(unreadable)) if effect.needs_object() => Err(unreadable),
            Some(Ok(entity)) => Ok(entity),
            Some(Err(_)) | None => Ok(Self::default()),
        }
    }

    /// Returns whether the object has a version id. A lifecycle rule that permanently removes a
    /// version with an id does not change the content: a current version expires by getting a
    /// delete marker, which is another event.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-configure-notification.html>
    pub(super) fn is_version(&self) -> bool {
        let version = self.object.as_ref().and_then(|object| object.version.as_ref());
        version.is_some_and(|version| !matches!(&*version.0, "" | "null"))
    }

    /// Creates the change to this object, with its key decoded by `decode` and without a time,
    /// which the caller adds.
    pub(super) fn change(
        self,
        what: &'static str,
        event: Text<'_>,
        effect: Effect,
        origin: Origin<'_>,
        decode: impl Fn(&str) -> Key,
    ) -> Result<Change, Unreadable> {
        let known = |text: Option<Text<'a>>, field| match full(text) {
            Some(text) => Ok(text),
            // Only an event that changes an object must name it.
            None if !effect.needs_object() => Ok(Text(Cow::Borrowed(""))),
            None => Err(Unreadable::Missing { what, field }),
        };
        let bucket = known(self.bucket.and_then(|bucket| bucket.name), "bucket name")?;
        let Object { key, sequencer, version: _ } = self.object.unwrap_or_default();
        let key = known(key, "object key")?;
        Ok(Change {
            message: origin.message,
            bucket: bucket.0.into(),
            key: decode(&key.0),
            event: event.0.into(),
            effect,
            time: None,
            identity: full(sequencer).map_or_else(|| origin.id.into(), |sequencer| sequencer.0.into()),
        })
    }
}

/// Returns the major version. S3's documentation says to compare it for equality; minor versions
/// only add fields.
fn major(version: &str) -> &str {
    version.split_once('.').map_or(version, |(major, _)| major)
}

/// Returns the effect of an event on the content, by its family: the part of the name before `:`.
///
/// Lifecycle deletions have a family of their own; S3 sends no `ObjectRemoved` event for them.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html>
fn effect(event: &str) -> Effect {
    let name = event.strip_prefix("s3:").unwrap_or(event);
    let family = name.split_once(':').map_or(name, |(family, _)| family);
    match family {
        "ObjectCreated" | "ObjectRemoved" | "LifecycleExpiration" => Effect::Content,
        "IntelligentTiering"
        | "LifecycleTransition"
        | "ObjectAcl"
        | "ObjectAnnotation"
        | "ObjectRestore"
        | "ObjectRetention"
        | "ObjectTagging"
        | "ReducedRedundancyLostObject"
        | "Replication" => Effect::None,
        _ => Effect::Unknown,
    }
}
