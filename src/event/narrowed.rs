//! Narrowed messages: changes and requests that are left to do for some distributions only.
//!
//! The function itself writes them ([`Content`]) when a part of a batch is done, and reads them when
//! the queue delivers them. They can only narrow what the events in them ask for, so they give no
//! power to whoever else may send to the queue.
//!
//! ```json
//! {"narrowed": {"version": 1, "distributions": ["E1EXAMPLE"], "since": 1795358400000, "content":
//!     {"share": 60, "changes": [{"bucket": "site", "event": "ObjectCreated:Put", "effect": "content",
//!         "objects": [["docs/a.html", "0055AED6DCD90281E5", 1795358390000]]}]}}}
//! ```

use std::{borrow::Cow, fmt::Write, ops::Range, sync::Arc};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{
    Batch, Change, Effect, Key, Origin, Request, Text, Unreadable, full, manual::MOST_PATHS_TOGETHER,
};
use crate::order;

const WHAT: &str = "a narrowed message";

/// The version of the format.
const VERSION: u8 = 1;

/// Maximum number of changes in one message.
const MOST_CHANGES: usize = 50_000;

/// Maximum number of changes in all narrowed messages of a batch, so that they fit in memory.
const MOST_CHANGES_TOGETHER: usize = 100_000;

/// Maximum number of distributions that one message names.
const MOST_DISTRIBUTIONS: usize = 10_000;

/// A part of a batch that concerns only some distributions: the content of one or more narrowed
/// messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// The SHA-256 of the content.
    digest: [u8; 32],
    /// The number of groups of distributions that shared the effort of planning when the part was
    /// first planned. The same number gives the same plan.
    pub share: usize,
    /// The budget with which the part was first planned: the numbers of items and of wildcards. `None` if it was not
    /// limited, or is planned anew.
    pub budget: Option<[usize; 2]>,
    /// The indices of its changes in the batch.
    pub changes: Range<usize>,
    /// The indices of its requests in the batch.
    pub requests: Range<usize>,
    /// The messages with this content.
    pub messages: Vec<NarrowedMessage>,
}

/// A narrowed message without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarrowedMessage {
    /// Index of the message in the batch.
    pub message: usize,
    /// The distributions that it names.
    pub distributions: Vec<Box<str>>,
    /// The time of the first narrowing, in milliseconds since 1970.
    pub since: u64,
    /// Whether an invalidation of this content may exist already, so that only the same content
    /// makes sure that nothing is billed twice.
    pub pinned: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    narrowed: Body<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    version: u8,
    #[serde(borrow)]
    distributions: Vec<Text<'a>>,
    since: u64,
    #[serde(default)]
    pinned: bool,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Parts<'a> {
    share: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget: Option<[usize; 2]>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Changes<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<Requested>,
}

/// Changes that share a bucket, an event and an effect.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Changes<'a> {
    bucket: Arc<str>,
    event: Arc<str>,
    effect: EffectName,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    region: Option<Text<'a>>,
    #[serde(borrow)]
    objects: Vec<Object<'a>>,
}

/// The key with escapes, the identity, the time and, if it is known, the version of a change.
#[derive(Deserialize, Serialize)]
struct Object<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")] Option<Text<'a>>,
);

/// The effects of changes that may be left to do.
#[derive(Clone, Copy, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum EffectName {
    Content,
    WholeBucket,
    Unknown,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Requested {
    paths: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    distribution: Option<String>,
    identity: Box<str>,
}

/// Parses a narrowed message into `batch`.
pub(super) fn read(batch: &mut Batch, json: &[u8], origin: Origin<'_>) -> Result<(), Unreadable> {
    let unreadable = |error| Unreadable::json(WHAT, &error, json);
    let Envelope { narrowed: body } = serde_json::from_slice(json).map_err(unreadable)?;
    let wrong = |why: &str| Err(Unreadable::Narrowed(why.to_owned()));
    if body.version != VERSION {
        return wrong("a version that this function does not know");
    }
    if body.distributions.is_empty() || body.distributions.len() > MOST_DISTRIBUTIONS {
        return wrong("no distribution, or too many");
    }
    if !body.distributions.iter().all(|id| is_id(&id.0)) {
        return wrong("a distribution that is none");
    }
    let message = NarrowedMessage {
        message: origin.message,
        distributions: body.distributions.into_iter().map(Text::into_boxed).collect(),
        since: body.since,
        pinned: body.pinned || origin.is_redelivered(),
    };
    let content = body.content.get();
    let digest = Sha256::digest(content).into();
    // A change for many distributions comes in as many messages: parse it only once.
    if let Some(known) = batch.narrowed.iter_mut().find(|known| known.digest == digest) {
        known.messages.push(message);
        return Ok(());
    }
    let parts: Parts<'_> = serde_json::from_str(content).map_err(unreadable)?;
    let count: usize = parts.changes.iter().map(|changes| changes.objects.len()).sum();
    let before: usize = batch.narrowed.iter().map(|narrowed| narrowed.changes.len()).sum();
    let paths: usize = parts.requests.iter().map(|request| request.paths.len()).sum();
    if count > MOST_CHANGES
        || before + count > MOST_CHANGES_TOGETHER
        || batch.requested_paths + paths > MOST_PATHS_TOGETHER
    {
        return wrong("more changes or paths than fit in one batch");
    }
    batch.requested_paths += paths;
    let (first_change, first_request) = (batch.changes.len(), batch.requests.len());
    for Changes { bucket, event, effect, region, objects } in parts.changes {
        let effect = match effect {
            EffectName::Content => Effect::Content,
            EffectName::WholeBucket => Effect::WholeBucket,
            EffectName::Unknown => Effect::Unknown,
        };
        let mut region = region;
        for Object(key, identity, time, version) in objects {
            let version = if origin.reading.versions { full(version).map(Text::into_boxed) } else { None };
            let change = Change {
                message: origin.message,
                bucket: Arc::clone(&bucket),
                key: Key::from(percent_decode_str(&key).collect::<Box<[u8]>>()),
                event: Arc::clone(&event),
                effect,
                time,
                identity: identity.into(),
            };
            batch.push_reading(origin.reading, change, version, region.take());
        }
    }
    for Requested { paths, distribution, identity } in parts.requests {
        batch.requests.push(Request { message: origin.message, paths, distribution, identity });
    }
    batch.narrowed.push(Narrowed {
        digest,
        share: parts.share.max(1),
        budget: parts.budget,
        changes: first_change..batch.changes.len(),
        requests: first_request..batch.requests.len(),
        messages: vec![message],
    });
    Ok(())
}

/// Returns whether a text can be the id of a distribution or of a distribution tenant.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The content of narrowed messages to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    json: String,
}

impl Content {
    /// Writes these changes and requests of a batch. The order of the indices does not matter, and a
    /// change that was delivered twice is written once. `share` and `budget` are those of [`Narrowed`].
    #[must_use]
    pub fn new(
        batch: &Batch,
        changes: &[usize],
        requests: &[usize],
        share: usize,
        budget: Option<[usize; 2]>,
    ) -> Self {
        let mut changes = changes.to_vec();
        let by_group = |a: usize, b: usize| {
            let (a, b) = (&batch.changes[a], &batch.changes[b]);
            let of_group = (&a.bucket, &a.event, a.effect as u8).cmp(&(&b.bucket, &b.event, b.effect as u8));
            of_group.then_with(|| (&a.key, &a.identity).cmp(&(&b.key, &b.identity)))
        };
        order::sort_indices(&mut changes, &by_group);
        changes.dedup_by(|a, b| by_group(*a, *b).is_eq());
        let mut groups: Vec<Changes<'_>> = Vec::new();
        for index in changes {
            let change = &batch.changes[index];
            let effect = match change.effect {
                Effect::WholeBucket => EffectName::WholeBucket,
                Effect::Unknown => EffectName::Unknown,
                Effect::Content | Effect::None => EffectName::Content,
            };
            let fits = |group: &&mut Changes<'_>| {
                group.bucket == change.bucket && group.event == change.event && group.effect == effect
            };
            let text = |text| Text(Cow::Borrowed(text));
            let object = Object(
                escaped(change.key.as_bytes()),
                Cow::Borrowed(&*change.identity),
                change.time,
                batch.versions.get(index).and_then(|version| version.as_deref()).map(text),
            );
            match groups.last_mut().filter(fits) {
                Some(group) => group.objects.push(object),
                None => groups.push(Changes {
                    bucket: Arc::clone(&change.bucket),
                    event: Arc::clone(&change.event),
                    effect,
                    region: batch.region(&change.bucket).map(text),
                    objects: vec![object],
                }),
            }
        }
        let mut requests: Vec<&Request> = requests.iter().map(|index| &batch.requests[*index]).collect();
        order::sort(&mut requests, |a, b| {
            (&a.identity, &a.paths, &a.distribution).cmp(&(&b.identity, &b.paths, &b.distribution))
        });
        let requests = requests.into_iter().map(|request| Requested {
            paths: request.paths.clone(),
            distribution: request.distribution.clone(),
            identity: request.identity.clone(),
        });
        let parts = Parts { share, budget, changes: groups, requests: requests.collect() };
        let json = serde_json::to_string(&parts).unwrap_or_default();
        Self { json: allowed(json) }
    }

    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Writes a message with this content for some distributions. `since` and `pinned` are those of
    /// [`NarrowedMessage`].
    #[must_use]
    pub fn message(&self, distributions: &[&str], since: u64, pinned: bool) -> String {
        let mut body = String::with_capacity(self.json.len() + 100 + 20 * distributions.len());
        let distributions = serde_json::to_string(distributions).unwrap_or_default();
        let pinned = if pinned { ",\"pinned\":true" } else { "" };
        let _ = write!(
            body,
            "{{\"narrowed\":{{\"version\":{VERSION},\"distributions\":{distributions},\"since\":{since}\
             {pinned},\"content\":{}}}}}",
            self.json
        );
        body
    }
}

/// Writes a key as text. A key with a `%`, or one that is not valid UTF-8, gets percent escapes.
fn escaped(key: &[u8]) -> Cow<'_, str> {
    const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains('%') => Cow::Borrowed(text),
        _ => percent_encode(key, ESCAPED).into(),
    }
}

/// Escapes the characters in JSON that SQS does not allow in a message. JSON escapes the others, which
/// are control characters, in any case.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
fn allowed(json: String) -> String {
    if json.contains(['\u{fffe}', '\u{ffff}']) {
        json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    } else {
        json
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Reading, read_with};
    use super::*;

    /// Returns the batch with one SQS message that has this body.
    fn delivered(body: &str) -> Batch {
        let record = serde_json::json!({"eventSource": "aws:sqs", "messageId": "m", "body": body});
        read_with(
            serde_json::json!({"Records": [record]}).to_string().as_bytes(),
            "i",
            Reading { versions: true },
        )
    }

    proptest! {
        #[test]
        fn a_narrowed_message_has_the_changes_that_were_written(
            keys in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..40), "[0-9A-F]{1,6}"), 1..20),
            version in proptest::option::of("[0-9A-Za-z._-]{1,40}"),
            paths in proptest::collection::vec("[^\u{0}]{1,10}", 0..4),
            budget in proptest::option::of([1..100_usize, 1..100]),
            pinned: bool,
        ) {
            let mut batch = Batch::default();
            for (key, identity) in keys {
                let change = Change {
                    message: 0,
                    bucket: "site\u{ffff}".into(),
                    key: Key::from(key),
                    event: "ObjectCreated:Put".into(),
                    effect: Effect::Content,
                    time: Some(5),
                    identity: identity.into(),
                };
                let (version, region) = (version.as_deref().map(Box::from), Text("eu-central-1".into()));
                batch.push_reading(Reading { versions: true }, change, version, Some(region));
            }
            batch.requests.push(Request { message: 0, paths, distribution: None, identity: "r".into() });
            let all: Vec<usize> = (0..batch.changes.len()).collect();
            let body = Content::new(&batch, &all, &[0], 3, budget).message(&["E1"], 7, pinned);
            let is_allowed = |c: char| c >= ' ' && !['\u{fffe}', '\u{ffff}'].contains(&c);
            prop_assert!(body.chars().all(is_allowed));

            let read = delivered(&body);
            prop_assert_eq!(&read.messages[0].unreadable, &None);
            prop_assert_eq!(&read.regions, &batch.regions);
            let change = |(change, version): (&Change, &Option<Box<str>>)| {
                (change.key.clone(), change.identity.clone(), change.bucket.clone(), version.clone())
            };
            let mut expected: Vec<_> = batch.changes.iter().zip(&batch.versions).map(change).collect();
            expected.sort();
            expected.dedup();
            let mut found: Vec<_> = read.changes.iter().zip(&read.versions).map(change).collect();
            found.sort();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(&read.requests, &batch.requests);
            let narrowed = &read.narrowed[0];
            prop_assert_eq!((narrowed.share, narrowed.budget), (3, budget));
            prop_assert_eq!(narrowed.messages[0].pinned, pinned);
            prop_assert_eq!(&*narrowed.messages[0].distributions[0], "E1");
        }
    }
}
