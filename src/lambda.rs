//! Reads the settings of functions from AWS Lambda, and where their events come from.

use std::{
    collections::BTreeMap,
    fmt::Display,
    time::{Duration, Instant},
};

use http::{Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::cloudfront::{Client, Received, Scope, lambda, retry, waits};

/// Number of parts of a function's ARN without a version or an alias.
const PARTS_OF_ARN: usize = 7;

/// Time limit for all attempts.
const LIMIT: Duration = Duration::from_secs(30);

/// Time limit for one attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// The maximum wait before the second attempt. It doubles for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The bytes to percent-encode in a segment of a URL's path.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The reason why a call failed. Displays on one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of {subject:?} failed: {text}")]
pub struct Error {
    operation: &'static str,
    /// The function, or the region.
    subject: String,
    /// The HTTP status. `None` if no answer came.
    status: Option<u16>,
    text: String,
}

impl Error {
    /// Returns the operation that failed, such as `ListFunctions`.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns whether the function does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND.as_u16())
    }

    /// Returns whether the credentials do not allow the call.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.status == Some(StatusCode::FORBIDDEN.as_u16())
    }

    /// Returns whether the same call may succeed later.
    fn is_transient(&self) -> bool {
        self.status.is_none_or(|status| status == 429 || status >= 500)
    }
}

/// A function, as far as it is needed. Lambda writes `null` for what a function does not have.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Function {
    /// The name or the ARN by which the caller named it.
    #[serde(skip)]
    asked: String,
    /// The function's region.
    #[serde(skip)]
    region: String,
    /// The name.
    #[serde(rename = "FunctionName")]
    pub name: String,
    /// The ARN.
    #[serde(rename = "FunctionArn")]
    pub arn: String,
    /// The state, such as `Active`. `None` in a list.
    pub state: Option<String>,
    /// The reason for the state. `None` if there is none.
    pub state_reason: Option<String>,
    /// The result of the last update, such as `Successful`. `None` in a list.
    pub last_update_status: Option<String>,
    /// The reason for that result. `None` if there is none.
    pub last_update_status_reason: Option<String>,
    /// The timeout in seconds.
    #[serde(default, deserialize_with = "or_default")]
    pub timeout: u64,
    #[serde(default, deserialize_with = "or_default")]
    environment: Environment,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    #[serde(default, deserialize_with = "or_default")]
    variables: BTreeMap<String, String>,
    /// The reason why the caller may not read the variables. `None` if the caller may.
    error: Option<serde::de::IgnoredAny>,
}

impl Function {
    /// Returns the environment variables. `None` if the caller may not decrypt them.
    #[must_use]
    pub fn variables(&self) -> Option<&BTreeMap<String, String>> {
        let Environment { variables, error } = &self.environment;
        error.is_none().then_some(variables)
    }

    /// Returns the name or the ARN without a version or an alias.
    fn unqualified(&self) -> String {
        let parts = if self.asked.starts_with("arn:") { PARTS_OF_ARN } else { 1 };
        self.asked.split(':').take(parts).collect::<Vec<_>>().join(":")
    }

    /// Returns the region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// An event source mapping, by which Lambda polls a queue for a function.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mapping {
    /// The id.
    #[serde(rename = "UUID", default, deserialize_with = "or_default")]
    pub id: String,
    /// The ARN of the queue or stream. `None` for sources without one.
    pub event_source_arn: Option<String>,
    /// The state, such as `Enabled`.
    pub state: Option<String>,
    /// The number of seconds for which Lambda collects messages.
    #[serde(rename = "MaximumBatchingWindowInSeconds", default, deserialize_with = "or_default")]
    pub window: u64,
    /// The extensions of the function's answer, such as `ReportBatchItemFailures`.
    #[serde(default, deserialize_with = "or_default")]
    pub function_response_types: Vec<String>,
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(alias = "Functions", alias = "EventSourceMappings")]
    entries: Vec<T>,
    #[serde(rename = "NextMarker")]
    next_marker: Option<String>,
}

/// An answer of GetFunctionConcurrency.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Concurrency {
    reserved_concurrent_executions: Option<u64>,
}

/// An answer that is an error.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default, alias = "Message")]
    message: String,
}

/// Reads a value, or the default for `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Returns a function, which `name` names by its name or its ARN, with or without a version or an alias. Without an ARN,
/// it is one in `region`.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>
///
/// # Errors
///
/// This and the other functions retry transient errors. They return the error that Lambda answers, or the reason why
/// there is no valid answer.
pub async fn function(client: &Client, name: &str, region: &str) -> Result<Function, Error> {
    let region = region_of(name).unwrap_or(region);
    let path = format!("2015-03-31/functions/{}/configuration", encoded(name));
    let call = Call { client, operation: "GetFunctionConfiguration", subject: name, region };
    let function: Function = call.answer(&path).await?;
    Ok(Function { asked: name.to_owned(), region: region.to_owned(), ..function })
}

/// Returns all functions of a region.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html>
///
/// # Errors
///
/// As [`function`].
pub async fn functions(client: &Client, region: &str) -> Result<Vec<Function>, Error> {
    let call = Call { client, operation: "ListFunctions", subject: region, region };
    let found: Vec<Function> = call.list("2015-03-31/functions", '?').await?;
    let named =
        |function: Function| Function { asked: function.name.clone(), region: region.to_owned(), ..function };
    Ok(found.into_iter().map(named).collect())
}

/// Returns the event source mappings of a function.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html>
///
/// # Errors
///
/// As [`function`].
pub async fn mappings(client: &Client, function: &Function) -> Result<Vec<Mapping>, Error> {
    let call = Call::of(client, "ListEventSourceMappings", function);
    let name = encoded(&function.asked);
    call.list(&format!("2015-03-31/event-source-mappings?FunctionName={name}"), '&').await
}

/// Returns the number of environments that are reserved for a function. `None` if none are. `Some(0)` turns the
/// function off.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConcurrency.html>
///
/// # Errors
///
/// As [`function`].
pub async fn reserved_concurrency(client: &Client, function: &Function) -> Result<Option<u64>, Error> {
    let path = format!("2019-09-30/functions/{}/concurrency", encoded(&function.unqualified()));
    let call = Call::of(client, "GetFunctionConcurrency", function);
    let answer: Concurrency = call.answer(&path).await?;
    Ok(answer.reserved_concurrent_executions)
}

/// A call of an operation.
#[derive(Clone, Copy)]
struct Call<'a> {
    client: &'a Client,
    operation: &'static str,
    /// The function, or the region.
    subject: &'a str,
    region: &'a str,
}

impl<'a> Call<'a> {
    fn of(client: &'a Client, operation: &'static str, function: &'a Function) -> Self {
        Self { client, operation, subject: &function.asked, region: &function.region }
    }

    /// Makes the call for each page of a list. `separator` stands between the path and the marker.
    async fn list<T: DeserializeOwned>(self, path: &str, separator: char) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        let mut marker = String::new();
        loop {
            let page: Page<T> = self.answer(&format!("{path}{marker}")).await?;
            found.extend(page.entries);
            match page.next_marker.filter(|next| !next.is_empty()) {
                Some(next) => marker = format!("{separator}Marker={}", encoded(&next)),
                None => return Ok(found),
            }
        }
    }

    /// Makes the call, with retries, and parses the answer.
    async fn answer<A: DeserializeOwned>(self, path: &str) -> Result<A, Error> {
        retry(waits(FIRST_WAIT), Instant::now() + LIMIT, Error::is_transient, || self.attempt(path)).await
    }

    async fn attempt<A: DeserializeOwned>(self, path: &str) -> Result<A, Error> {
        let Self { client, operation, subject, region } = self;
        let failed = |status, text| Error { operation, subject: subject.to_owned(), status, text };
        let url = format!("{}/{path}", lambda(client.settings(), region));
        let request =
            Request::get(url).body(String::new()).map_err(|error| failed(Some(400), error.to_string()))?;
        let answer = client.send(Scope { service: "lambda", region }, request, ATTEMPT_LIMIT).await;
        let Received { status, headers, body } = answer.map_err(|error| failed(None, error.to_string()))?;
        if status != 200 {
            let Problem { message } = serde_json::from_slice(&body).unwrap_or_default();
            // The code may have a URL behind a colon.
            let code =
                headers.get("x-amzn-errortype").and_then(|code| code.split(':').next()).unwrap_or_default();
            let text = client.presentable(format!("{code} (HTTP {status}): {message}"));
            return Err(failed(Some(status), text.trim_start().to_owned()));
        }
        serde_json::from_slice(&body)
            .map_err(|error| failed(Some(status), client.presentable(error.to_string())))
    }
}

/// Encodes a segment of a path, or a value of a query.
fn encoded(text: &str) -> impl Display {
    utf8_percent_encode(text, IN_SEGMENT)
}

/// Returns the region in a function's ARN. `None` if the text is none.
fn region_of(function: &str) -> Option<&str> {
    let region = function.strip_prefix("arn:")?.split(':').nth(2)?;
    // A request with credentials must not go to any other host.
    let is_region = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (!region.is_empty() && region.bytes().all(is_region)).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_says_where_the_function_is() {
        assert_eq!(
            region_of("arn:aws:lambda:eu-west-1:123456789012:function:invalidator"),
            Some("eu-west-1")
        );
        assert_eq!(region_of("arn:aws:lambda:evil.example/:123456789012:function:x"), None);
        assert_eq!(region_of("arn:aws:lambda::1:function:x"), None);
        assert_eq!(region_of("invalidator"), None);
        assert_eq!(region_of("123456789012:function:invalidator"), None);
    }

    #[test]
    fn null_stands_for_what_a_function_does_not_have() {
        let function = r#"{"FunctionName": "f", "FunctionArn": "a", "State": null, "StateReason": null,
            "LastUpdateStatus": null, "Timeout": null, "Environment": null}"#;
        let function: Function = serde_json::from_str(function).expect("a function");
        assert_eq!(function.variables(), Some(&BTreeMap::new()));
        let hidden = r#"{"FunctionName": "f", "FunctionArn": "a", "Timeout": 3,
            "Environment": {"Variables": null, "Error": {"ErrorCode": "AccessDeniedException", "Message": "no"}}}"#;
        let hidden: Function = serde_json::from_str(hidden).expect("a function");
        assert_eq!(hidden.variables(), None);
        let mapping = r#"{"UUID": "u", "EventSourceArn": null, "State": null,
            "MaximumBatchingWindowInSeconds": null, "FunctionResponseTypes": null}"#;
        let mapping: Mapping = serde_json::from_str(mapping).expect("a mapping");
        assert_eq!((mapping.window, mapping.function_response_types.len()), (0, 0));
    }

    #[test]
    fn versions_and_aliases_are_cut_off() {
        let unqualified = |asked: &str| {
            let function = r#"{"FunctionName": "f", "FunctionArn": "a"}"#;
            let function: Function = serde_json::from_str(function).expect("a function");
            Function { asked: asked.to_owned(), ..function }.unqualified()
        };
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:f";
        assert_eq!(unqualified(&format!("{arn}:live")), arn);
        assert_eq!(unqualified(arn), arn);
        assert_eq!([unqualified("f"), unqualified("f:3")], ["f", "f"]);
    }
}
