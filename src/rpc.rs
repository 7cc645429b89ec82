//! Calls services other than CloudFront and S3 in AWS's JSON protocol.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};

use crate::cloudfront::{Client, Error, Received, Scope};

/// An operation of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'a> {
    /// The service's name in errors.
    pub(crate) service: &'static str,
    /// The operation's name in the protocol, such as `AmazonSQS.SendMessageBatch`.
    pub(crate) target: &'static str,
    pub(crate) scope: Scope<'a>,
    /// The service's URL.
    pub(crate) endpoint: &'a str,
}

/// A failed call.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The reason. It is [unreachable](Error::is_unreachable) if no valid answer came.
    pub(crate) error: Error,
    /// Whether the same call may succeed later.
    pub(crate) is_transient: bool,
}

impl Operation<'_> {
    /// Makes one call, and returns the body of the answer. Takes at most `limit`.
    pub(crate) async fn call(
        &self,
        client: &Client,
        request: String,
        limit: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let service = self.service;
        let request = http::Request::post(self.endpoint)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", self.target)
            .body(request)
            .map_err(|error| Failure { error: Error::other(error.to_string()), is_transient: false })?;
        let Received { status, body, .. } = client
            .send(self.scope, request, limit)
            .await
            .map_err(|error| Failure::no_answer(format!("no answer from {service}: {error}")))?;
        if status == 200 {
            return Ok(body);
        }
        let Problem { code, message } = serde_json::from_slice(&body).unwrap_or_default();
        let code = code.rsplit_once('#').map_or(&*code, |(_, code)| code);
        let is_transient = status >= 500 || status == 429 || code.contains("Throttl");
        let text = client.presentable(format!("{service} answered {code} (HTTP {status}): {message}"));
        Err(Failure { error: Error::other(text), is_transient })
    }

    /// Parses the body of an answer.
    pub(crate) fn parse<A: DeserializeOwned>(&self, body: &[u8]) -> Result<A, Failure> {
        let unreadable = |error| format!("unreadable answer from {}: {error}", self.service);
        serde_json::from_slice(body).map_err(|error| Failure::no_answer(unreadable(error)))
    }
}

impl Failure {
    const fn no_answer(text: String) -> Self {
        Self { error: Error::unreachable(text), is_transient: true }
    }
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default, rename = "__type")]
    code: String,
    #[serde(default, alias = "Message")]
    message: String,
}
