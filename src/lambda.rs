//! Reads the environment variables of a function from AWS Lambda.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use http::{Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::cloudfront::{Client, Received, Scope, lambda, waits};

/// The operation, as AWS names it.
const OPERATION: &str = "GetFunctionConfiguration";

/// Time limit for all attempts.
const LIMIT: Duration = Duration::from_secs(30);

/// Time limit for one attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// The maximum wait before the second attempt. It doubles for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The bytes to percent-encode in a segment of a URL's path.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The reason why the variables could not be read. Displays on one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{OPERATION} of {function:?} failed: {text}")]
pub struct Error {
    function: String,
    /// The HTTP status. `None` if no answer came.
    status: Option<u16>,
    text: String,
}

impl Error {
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

/// An answer of GetFunctionConfiguration, as far as it is needed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    environment: Option<Environment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

/// An answer that is an error.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default, alias = "Message")]
    message: String,
}

/// Returns the environment variables of a function, which `function` names by its name or its ARN. Without an ARN, it
/// is one in the region of `client`. Retries transient errors.
///
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>
///
/// # Errors
///
/// Returns the error that Lambda answers, or the reason why there is no valid answer.
pub async fn variables(client: &Client, function: &str) -> Result<BTreeMap<String, String>, Error> {
    let deadline = Instant::now() + LIMIT;
    let mut waits = waits(FIRST_WAIT);
    loop {
        let error = match attempt(client, function).await {
            Ok(variables) => return Ok(variables),
            Err(error) => error,
        };
        let wait = waits.next().unwrap_or_default();
        if !error.is_transient() || Instant::now() + wait >= deadline {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
    }
}

async fn attempt(client: &Client, function: &str) -> Result<BTreeMap<String, String>, Error> {
    let failed = |status, text| Error { function: function.to_owned(), status, text };
    let region = region(function).unwrap_or(&client.settings().region);
    let endpoint = lambda(client.settings(), region);
    let url = format!(
        "{endpoint}/2015-03-31/functions/{}/configuration",
        utf8_percent_encode(function, IN_SEGMENT)
    );
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
    let read = serde_json::from_slice::<Configuration>(&body);
    let read = read.map_err(|error| failed(Some(status), client.presentable(error.to_string())))?;
    Ok(read.environment.map(|environment| environment.variables).unwrap_or_default())
}

/// Returns the region in a function's ARN. `None` if the text is none.
fn region(function: &str) -> Option<&str> {
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
        assert_eq!(region("arn:aws:lambda:eu-west-1:123456789012:function:invalidator"), Some("eu-west-1"));
        assert_eq!(region("arn:aws:lambda:evil.example/:123456789012:function:x"), None);
        assert_eq!(region("arn:aws:lambda::1:function:x"), None);
        assert_eq!(region("invalidator"), None);
        assert_eq!(region("123456789012:function:invalidator"), None);
    }
}
