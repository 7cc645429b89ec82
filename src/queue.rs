//! Sends messages to the SQS queue that a batch came from, and reads the settings of queues.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>

#[cfg(feature = "cli")]
mod attributes;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

#[cfg(feature = "cli")]
pub use self::attributes::{Attributes, Redrive};
use crate::{
    cloudfront::{Client, Error, Scope, domain},
    rpc::{Failure, Operation},
};

/// Maximum number of bytes of one message, and of all messages of one call. SQS allows 1 MiB.
pub const MOST_BYTES: usize = 1_048_576;

/// Maximum number of messages of one call.
const MOST_MESSAGES: usize = 10;

/// Maximum time for which SQS can delay a message.
pub const LONGEST_DELAY: Duration = Duration::from_mins(15);

/// Maximum number of attempts for one call. A message that is sent twice does no harm.
const ATTEMPTS: u32 = 3;

/// The wait between two attempts.
const WAIT: Duration = Duration::from_millis(200);

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The text.
    pub body: String,
    /// The time before SQS delivers the message, in whole seconds up to [`LONGEST_DELAY`].
    pub delay: Duration,
}

/// The reason why messages could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSent(String);

impl NotSent {
    /// Creates the error for a message that is too large for SQS.
    #[must_use]
    pub fn too_large() -> Self {
        Self(format!("a change or request takes more than {MOST_BYTES} bytes, which is all that SQS allows"))
    }
}

/// An SQS queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    region: String,
    /// The URL of the service.
    endpoint: String,
    /// The URL by which the service knows the queue.
    url: String,
}

impl Queue {
    /// Finds the queue with this ARN, such as `arn:aws:sqs:eu-central-1:123456789012:changes`. Returns
    /// `None` if the text is not the ARN of a queue.
    #[must_use]
    pub fn of_arn(arn: &str, client: &Client) -> Option<Self> {
        let settings = client.settings();
        let mut parts = arn.split(':');
        let [Some("arn"), Some(partition), Some("sqs"), Some(region), Some(account), Some(name), None] =
            [(); 7].map(|()| parts.next())
        else {
            return None;
        };
        let is_word = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if ![partition, region, account, name].into_iter().all(is_word) {
            return None;
        }
        let endpoint = match &settings.sqs_endpoint_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if settings.use_dual_stack && partition == "aws" => format!("https://sqs.{region}.api.aws"),
            None => {
                let service = if settings.use_fips { "sqs-fips" } else { "sqs" };
                format!("https://{service}.{region}.{}", domain(partition))
            }
        };
        let url = format!("{endpoint}/{account}/{name}");
        Some(Self { region: region.to_owned(), endpoint, url })
    }

    /// Sends the messages in order, before `deadline`. Returns the numbers of those that were sent. If one
    /// cannot be sent, does not go on after its call, and returns the reason as well. Messages with other
    /// numbers may have been sent, too.
    pub async fn send(
        &self,
        client: &Client,
        messages: impl IntoIterator<Item = Outgoing>,
        deadline: Instant,
    ) -> (Vec<usize>, Option<NotSent>) {
        let mut messages = messages.into_iter().enumerate().peekable();
        let mut sent = Vec::new();
        while messages.peek().is_some() {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            while let Some((number, Outgoing { body, delay })) = messages.next_if(|(_, next)| {
                entries.len() < MOST_MESSAGES && (bytes == 0 || bytes + next.body.len() <= MOST_BYTES)
            }) {
                bytes += body.len();
                let delay_seconds = delay.min(LONGEST_DELAY).as_secs();
                entries.push(Entry { id: number.to_string(), message_body: body, delay_seconds });
            }
            let numbers = |entries: &[Entry]| -> Vec<usize> {
                entries.iter().filter_map(|entry| entry.id.parse().ok()).collect()
            };
            let all = numbers(&entries);
            let failure = self.send_batch(client, &mut entries, deadline).await.err();
            let left = numbers(&entries);
            sent.extend(all.into_iter().filter(|number| failure.is_none() || !left.contains(number)));
            if failure.is_some() {
                return (sent, failure);
            }
        }
        (sent, None)
    }

    /// Sends up to ten messages with one call, and calls again for those that SQS did not take. After a
    /// failure, only those that may not have been sent are left in `entries`.
    async fn send_batch(
        &self,
        client: &Client,
        entries: &mut Vec<Entry>,
        deadline: Instant,
    ) -> Result<(), NotSent> {
        let mut last = NotSent("no time left to call SQS".to_owned());
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(WAIT).await;
            }
            let limit = deadline.saturating_duration_since(Instant::now());
            if limit.is_zero() {
                break;
            }
            match self.call(client, entries, limit).await {
                Ok(failed) if failed.is_empty() => return Ok(()),
                Ok(failed) => {
                    entries.retain(|entry| failed.iter().any(|failed| failed.id == entry.id));
                    let Failed { code, message, sender_fault, .. } = &failed[0];
                    last = NotSent(format!("SQS refused a message: {code}: {message}"));
                    if *sender_fault {
                        break;
                    }
                }
                Err(Failure { error, is_transient }) => {
                    last = NotSent(error.to_string());
                    if !is_transient {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Creates an operation of SQS, in the queue's region.
    fn operation(&self, target: &'static str) -> Operation<'_> {
        let scope = Scope { service: "sqs", region: &self.region };
        Operation { service: "SQS", target, scope, endpoint: &self.endpoint }
    }

    /// Makes one call and returns the messages that SQS did not take.
    async fn call(
        &self,
        client: &Client,
        entries: &[Entry],
        limit: Duration,
    ) -> Result<Vec<Failed>, Failure> {
        let operation = self.operation("AmazonSQS.SendMessageBatch");
        let request = serde_json::to_string(&Request { queue_url: &self.url, entries });
        let request = request
            .map_err(|error| Failure { error: Error::other(error.to_string()), is_transient: false })?;
        let answer = operation.call(client, request, limit).await?;
        Ok(operation.parse::<Answer>(&answer)?.failed)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    queue_url: &'a str,
    entries: &'a [Entry],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    message_body: String,
    delay_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    sender_fault: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudfront::Settings;

    #[test]
    fn the_url_of_a_queue_follows_from_its_arn() {
        let url = |arn: &str, change: fn(&mut Settings)| {
            let mut settings = Settings::new("an id", "a secret", None);
            change(&mut settings);
            Queue::of_arn(arn, &Client::new(settings)).map(|queue| queue.url)
        };
        let plain = |arn: &str| url(arn, |_| ());
        let expected = |url: &str| Some(url.to_owned());
        assert_eq!(
            plain("arn:aws:sqs:eu-central-1:123456789012:changes"),
            expected("https://sqs.eu-central-1.amazonaws.com/123456789012/changes")
        );
        assert_eq!(
            plain("arn:aws-cn:sqs:cn-north-1:123456789012:a_b-c"),
            expected("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/a_b-c")
        );
        assert_eq!(
            url("arn:aws:sqs:us-east-1:1:q", |settings| settings.use_fips = true),
            expected("https://sqs-fips.us-east-1.amazonaws.com/1/q")
        );
        assert_eq!(
            url("arn:aws:sqs:us-east-1:1:q", |settings| settings.use_dual_stack = true),
            expected("https://sqs.us-east-1.api.aws/1/q")
        );
        let local = |settings: &mut Settings| settings.sqs_endpoint_url = Some("http://[::1]:9/".to_owned());
        assert_eq!(url("arn:aws:sqs:us-east-1:1:q", local), expected("http://[::1]:9/1/q"));
        for other in [
            "",
            "arn:aws:sns:us-east-1:1:q",
            "arn:aws:sqs:us-east-1:1",
            "arn:aws:sqs:us-east-1:1:q:x",
            "arn:aws:sqs:evil.example/:1:q",
            "arn:aws:sqs::1:q",
        ] {
            assert_eq!(plain(other), None, "{other}");
        }
    }
}
