//! The AWS JSON 1.0 protocol, in which the queues and metrics are called.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>

use http::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
    request::Parts,
};
use serde_json::json;

use super::wire::Refusal;

/// The media type of the protocol.
pub(super) const MEDIA_TYPE: &str = "application/x-amz-json-1.0";

/// A service, with the only operation that it has here.
#[derive(Debug)]
pub(super) struct Service {
    /// The name in signatures.
    name: &'static str,
    /// The value of the header `x-amz-target`.
    target: &'static str,
    /// The beginning of the names of its errors.
    namespace: &'static str,
    /// The beginning of the codes of its errors in the older query protocol.
    query_namespace: &'static str,
}

/// Amazon SQS.
pub(super) const SQS: Service = Service {
    name: "sqs",
    target: "AmazonSQS.SendMessageBatch",
    namespace: "com.amazonaws.sqs",
    query_namespace: "AWS.SimpleQueueService.",
};

/// Amazon CloudWatch.
pub(super) const CLOUDWATCH: Service = Service {
    name: "monitoring",
    target: "GraniteServiceVersion20100801.GetMetricData",
    namespace: "com.amazonaws.cloudwatch",
    query_namespace: "",
};

/// Returns a header, or an empty text if there is none.
fn header<'a>(request: &'a Parts, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

impl Service {
    /// Returns whether a request calls this operation.
    pub(super) fn is_called(&self, request: &Parts) -> bool {
        header(request, "x-amz-target") == self.target
    }

    /// Checks that a request calls the operation, signed for the service.
    pub(super) fn authorize(&self, request: &Parts) -> Result<(), Refusal> {
        let authorization = header(request, AUTHORIZATION.as_str());
        let Some(authorization) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else {
            let why = "Request is missing Authentication Token";
            return Err(Refusal::new(403, "MissingAuthenticationToken", why));
        };
        if !self.is_scope_of(authorization) {
            let why = format!("Credential should be scoped to correct service: '{}'.", self.name);
            return Err(Refusal::new(403, "InvalidSignatureException", &why));
        }
        let is_post = request.method == Method::POST && request.uri.path() == "/";
        if is_post && self.is_called(request) && header(request, CONTENT_TYPE.as_str()) == MEDIA_TYPE {
            Ok(())
        } else {
            Err(Refusal::unknown_operation())
        }
    }

    /// Returns whether the credential's scope is `DATE/REGION/SERVICE/aws4_request`.
    fn is_scope_of(&self, authorization: &str) -> bool {
        let credential = authorization.split(',').find_map(|part| part.trim().strip_prefix("Credential="));
        let scope: Vec<&str> = credential.unwrap_or_default().rsplit('/').take(4).collect();
        let [end, service, region, date] = scope[..] else { return false };
        end == "aws4_request" && service == self.name && !region.is_empty() && date.len() == 8
    }

    /// Formats an error answer: the value of the header `x-amzn-query-error`, and the body.
    pub(super) fn error(&self, refusal: &Refusal) -> (String, String) {
        let Refusal { status, code, message } = refusal;
        let query_code = if code == "QueueDoesNotExist" { "NonExistentQueue" } else { code };
        let fault = if *status >= 500 { "Receiver" } else { "Sender" };
        let body = json!({"__type": format!("{}#{code}", self.namespace), "message": message});
        (format!("{}{query_code};{fault}", self.query_namespace), body.to_string())
    }
}
