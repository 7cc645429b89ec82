//! Reads the settings of queues, and how many messages are in them.

use std::{
    collections::BTreeMap,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{ATTEMPTS, Queue, WAIT};
use crate::{
    cloudfront::{Client, retry},
    rpc::Failure,
};

/// The settings of a queue, and the numbers of its messages, which SQS only estimates.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html>
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attributes {
    /// The number of messages that wait.
    #[serde(rename = "ApproximateNumberOfMessages", deserialize_with = "number")]
    pub waiting: u64,
    /// The number of messages that were received, but not deleted.
    #[serde(rename = "ApproximateNumberOfMessagesNotVisible", deserialize_with = "number")]
    pub in_flight: u64,
    /// The number of messages that wait for the end of their delay.
    #[serde(rename = "ApproximateNumberOfMessagesDelayed", deserialize_with = "number")]
    pub delayed: u64,
    /// The number of seconds for which a received message stays invisible.
    #[serde(deserialize_with = "number")]
    pub visibility_timeout: u64,
    /// The dead-letter queue. `None` if there is none.
    #[serde(default, deserialize_with = "embedded")]
    pub redrive_policy: Option<Redrive>,
    /// The services and accounts that the policy of the queue lets send messages, such as `events.amazonaws.com`, or `*`
    /// for everyone. Conditions of the policy may exclude some messages of theirs.
    #[serde(rename = "Policy", default, deserialize_with = "senders")]
    pub senders: Vec<String>,
}

/// The queue for messages that keep failing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redrive {
    /// The ARN of the queue.
    #[serde(rename = "deadLetterTargetArn")]
    pub queue: String,
    /// The number of receives after which a message goes there.
    #[serde(deserialize_with = "number")]
    pub max_receive_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    queue_url: &'a str,
    attribute_names: [&'a str; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    attributes: Attributes,
}

impl Queue {
    /// Reads the attributes of the queue. Retries transient errors until `deadline`.
    ///
    /// # Errors
    ///
    /// Returns the error that SQS answers, or the reason why there is no valid answer, in one line.
    pub async fn attributes(&self, client: &Client, deadline: Instant) -> Result<Attributes, String> {
        let operation = self.operation("AmazonSQS.GetQueueAttributes");
        let request = Request { queue_url: &self.url, attribute_names: ["All"] };
        let request = serde_json::to_string(&request).map_err(|error| error.to_string())?;
        let waits = std::iter::repeat_n(WAIT, ATTEMPTS as usize - 1);
        let attempt = async || {
            let limit = deadline.saturating_duration_since(Instant::now()).min(ATTEMPT_LIMIT);
            let answer = operation.call(client, request.clone(), limit).await?;
            operation.parse::<Answer>(&answer)
        };
        let answer = retry(waits, deadline, |failure: &Failure| failure.is_transient, attempt).await;
        answer.map(|answer| answer.attributes).map_err(|failure| failure.error.to_string())
    }
}

/// Time limit for one attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// A number, which SQS and policies write as text or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(u64),
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match Number::deserialize(deserializer)? {
        Number::Text(text) => u64::from_str(&text).map_err(D::Error::custom),
        Number::Plain(number) => Ok(number),
    }
}

/// Parses a JSON document in a text. `None` if the text is empty.
fn embedded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Redrive>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&text).map(Some).map_err(D::Error::custom)
}

/// Returns the services and accounts that a policy allows to send messages.
fn senders<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Policy { statement } = serde_json::from_str(&text).map_err(D::Error::custom)?;
    // A statement may name the actions that it does not concern instead.
    let sends = |one: &Statement| {
        one.action.as_ref().is_none_or(|all| all.slice().iter().any(|action| allows_sending(action)))
    };
    let allowing = statement.list().into_iter().filter(|one| one.effect == "Allow" && sends(one));
    let names = allowing.flat_map(|one| match one.principal {
        Some(Principal::Named(kinds)) => kinds.into_values().flat_map(OneOrMore::list).collect(),
        Some(Principal::Any(name)) => vec![name],
        None => Vec::new(),
    });
    Ok(names.collect())
}

/// Returns whether an action, which may end in a wildcard, includes sending messages.
fn allows_sending(action: &str) -> bool {
    const SENDS: &str = "sqs:sendmessage";
    let action = action.to_ascii_lowercase();
    match action.strip_suffix('*') {
        Some(beginning) => SENDS.starts_with(beginning),
        None => action == SENDS,
    }
}

/// The policy of a queue, as far as it is needed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    statement: OneOrMore<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    action: Option<OneOrMore<String>>,
    principal: Option<Principal>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Principal {
    /// The names of each kind, such as `Service`.
    Named(BTreeMap<String, OneOrMore<String>>),
    /// `*`, for everyone.
    Any(String),
}

/// A value that a policy may write alone or in a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

impl<T> OneOrMore<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::More(list) => list,
            Self::One(one) => vec![one],
        }
    }

    fn slice(&self) -> &[T] {
        match self {
            Self::More(list) => list,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_numbers_and_documents_in_text() {
        let statement =
            |principal, action| json!({"Effect": "Allow", "Principal": principal, "Action": action});
        let read = |policy: &str, redrive: &str| {
            let attributes = json!({
                "ApproximateNumberOfMessages": "3", "ApproximateNumberOfMessagesNotVisible": "2",
                "ApproximateNumberOfMessagesDelayed": "1", "VisibilityTimeout": "190", "QueueArn": "x",
                "Policy": policy, "RedrivePolicy": redrive,
            });
            serde_json::from_value::<Attributes>(attributes)
        };
        let policy = json!({"Statement": [
            statement(json!({"Service": "events.amazonaws.com"}), json!("sqs:SendMessage")),
            statement(json!({"Service": ["s3.amazonaws.com", "sns.amazonaws.com"]}), json!(["SQS:SendMessage"])),
            statement(json!({"Service": "other.amazonaws.com"}), json!("sqs:ReceiveMessage")),
            statement(json!({"AWS": "123456789012"}), json!("sqs:Send*")),
            statement(json!({"AWS": "*"}), json!("*")),
            statement(json!("*"), json!("sqs:Receive*")),
            {"Effect": "Deny", "Principal": {"Service": "denied.amazonaws.com"}, "Action": "sqs:*"},
        ]});
        let redrive = r#"{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:dead", "maxReceiveCount": "240"}"#;
        let attributes = read(&policy.to_string(), redrive).expect("attributes");
        let Attributes { waiting, in_flight, delayed, visibility_timeout, redrive_policy, senders } =
            attributes;
        assert_eq!((waiting, in_flight, delayed, visibility_timeout), (3, 2, 1, 190));
        let queue = "arn:aws:sqs:eu-west-1:1:dead".to_owned();
        assert_eq!(redrive_policy, Some(Redrive { queue, max_receive_count: 240 }));
        let expected = ["events.amazonaws.com", "s3.amazonaws.com", "sns.amazonaws.com", "123456789012", "*"];
        assert_eq!(senders, expected);
        let one = json!({"Statement": statement(json!({"Service": "x"}), json!("*"))});
        assert_eq!(read(&one.to_string(), "").map(|read| read.senders).expect("attributes"), ["x"]);
        assert!(read("", "{}").is_err());
        assert_eq!(read("", "").map(|read| read.redrive_policy).expect("attributes"), None);
    }
}
