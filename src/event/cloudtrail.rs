//! S3 API calls that CloudTrail reports to EventBridge. Older EventBridge rules match these.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-s3.html> and
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-s3-info.html>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Change, Effect, Key, Origin, Text, Unreadable, full, parse};

const WHAT: &str = "a CloudTrail event";

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, rename = "eventName")]
    name: Option<Text<'a>>,
    #[serde(borrow, rename = "errorCode")]
    error: Option<Text<'a>>,
    #[serde(borrow, rename = "requestParameters")]
    parameters: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Parameters<'a> {
    #[serde(borrow, rename = "bucketName")]
    bucket: Option<Text<'a>>,
    #[serde(borrow)]
    key: Option<Text<'a>>,
}

/// Parses a call into a change without a time, which the caller adds. CloudTrail does not encode
/// the key.
pub(super) fn change(detail: Option<&RawValue>, origin: Origin<'_>) -> Result<Change, Unreadable> {
    let missing = |field| Unreadable::Missing { what: WHAT, field };
    let call: Call<'_> = parse(WHAT, detail.ok_or_else(|| missing("detail"))?)?;
    let name = full(call.name).ok_or_else(|| missing("eventName"))?;
    let effect = if full(call.error).is_some() { Effect::None } else { effect(&name.0) };
    let parameters = match call.parameters.map(|parameters| parse::<Parameters<'_>>(WHAT, parameters)) {
        Some(Ok(parameters)) => parameters,
        Some(Err(unreadable)) if effect != Effect::None => return Err(unreadable),
        _ => Parameters::default(),
    };
    let empty = || Text(Cow::Borrowed(""));
    let bucket = match full(parameters.bucket) {
        Some(bucket) => bucket,
        None if effect == Effect::None => empty(),
        None => return Err(missing("bucketName")),
    };
    let (key, effect) = match (full(parameters.key), effect) {
        (Some(key), effect) => (key, effect),
        (None, Effect::Content | Effect::WholeBucket) => (empty(), Effect::WholeBucket),
        (None, Effect::None) => (empty(), Effect::None),
        (None, Effect::Unknown) => return Err(missing("key")),
    };
    Ok(Change {
        message: origin.message,
        bucket: bucket.0.into(),
        key: Key::from(key.0.as_bytes()),
        event: format!("{} (CloudTrail)", name.0).into(),
        effect,
        time: None,
        identity: origin.id.into(),
    })
}

/// Returns the effect of a call on objects.
fn effect(name: &str) -> Effect {
    match name {
        "CompleteMultipartUpload" | "CopyObject" | "DeleteObject" | "PostObject" | "PutObject" => {
            Effect::Content
        }
        // CloudTrail does not record the keys.
        "DeleteObjects" => Effect::WholeBucket,
        "AbortMultipartUpload"
        | "CreateMultipartUpload"
        | "RestoreObject"
        | "UploadPart"
        | "UploadPartCopy" => Effect::None,
        _ if ["Get", "Head", "List", "Select"].iter().any(|read| name.starts_with(read)) => Effect::None,
        // These calls concern buckets or an object's metadata, not its content.
        _ if ["Acl", "Bucket", "LegalHold", "Retention", "Tagging"]
            .iter()
            .any(|part| name.contains(part)) =>
        {
            Effect::None
        }
        _ => Effect::Unknown,
    }
}
