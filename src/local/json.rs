//! The AWS JSON 1.0 protocol, in which the queues and metrics are called.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html>

use std::sync::Mutex;

use http::{
    Method, Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use serde_json::json;

use super::{Closed, Fault, Store, happen, lock, read, whole, wire::Refusal, wrong_signature};

/// The media type of the protocol.
const MEDIA_TYPE: &str = "application/x-amz-json-1.0";

/// A service, with one of its operations.
#[derive(Debug)]
struct Service {
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
const SQS: Service = Service {
    name: "sqs",
    target: "AmazonSQS.SendMessageBatch",
    namespace: "com.amazonaws.sqs",
    query_namespace: "AWS.SimpleQueueService.",
};

/// Amazon SQS, as it describes queues.
const QUEUE_SETTINGS: Service = Service { target: "AmazonSQS.GetQueueAttributes", ..SQS };

/// Amazon CloudWatch.
const CLOUDWATCH: Service = Service {
    name: "monitoring",
    target: "GraniteServiceVersion20100801.GetMetricData",
    namespace: "com.amazonaws.cloudwatch",
    query_namespace: "",
};

/// Returns a header, or an empty text if there is none.
fn header<'a>(request: &'a Parts, name: &str) -> &'a str {
    request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The beginning of a signature.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256 ";

/// Returns whether a request is signed, with the scope `DATE/REGION/SERVICE/aws4_request`.
pub(super) fn is_signed_for(request: &Parts, service: &str) -> bool {
    let Some(authorization) = header(request, AUTHORIZATION.as_str()).strip_prefix(ALGORITHM) else {
        return false;
    };
    let scope = scope(authorization);
    scope.is_some_and(|(own, region, date)| own == service && !region.is_empty() && date.len() == 8)
}

/// Returns the service, the region and the date of a signature's scope, `DATE/REGION/SERVICE/aws4_request`. `None` if it
/// has another form. `authorization` is the header without the name of the algorithm.
pub(super) fn scope(authorization: &str) -> Option<(&str, &str, &str)> {
    let credential = authorization.split(',').find_map(|part| part.trim().strip_prefix("Credential="))?;
    let mut parts = credential.rsplit('/');
    let scope = (parts.next()? == "aws4_request").then(|| parts.next().zip(parts.next()))?;
    let ((service, region), date) = scope.zip(parts.next())?;
    Some((service, region, date))
}

impl Service {
    /// Returns whether a request calls this operation.
    fn is_called(&self, request: &Parts) -> bool {
        header(request, "x-amz-target") == self.target
    }

    /// Checks that a request calls the operation, signed for the service.
    fn authorize(&self, request: &Parts) -> Result<(), Refusal> {
        if !header(request, AUTHORIZATION.as_str()).starts_with(ALGORITHM) {
            let why = "Request is missing Authentication Token";
            return Err(Refusal::new(403, "MissingAuthenticationToken", why));
        }
        if !is_signed_for(request, self.name) {
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

    /// Formats an error answer: the value of the header `x-amzn-query-error`, and the body.
    fn error(&self, refusal: &Refusal) -> (String, String) {
        let Refusal { status, code, message } = refusal;
        let query_code = if code == "QueueDoesNotExist" { "NonExistentQueue" } else { code };
        let fault = if *status >= 500 { "Receiver" } else { "Sender" };
        let body = json!({"__type": format!("{}#{code}", self.namespace), "message": message});
        (format!("{}{query_code};{fault}", self.query_namespace), body.to_string())
    }
}

/// Answers a call in the AWS JSON protocol: of CloudWatch or SQS.
pub(super) async fn answer(
    store: &Mutex<Store>,
    request: &Parts,
    body: Incoming,
) -> Result<Response<Full<Bytes>>, Closed> {
    let body = whole(body).await?;
    let services = [CLOUDWATCH, QUEUE_SETTINGS];
    let service = services.into_iter().find(|service| service.is_called(request)).unwrap_or(SQS);
    let reply = match service.authorize(request) {
        Ok(()) if service.target == CLOUDWATCH.target => {
            let answer = |store: &Store| store.metrics.answer(&body, store.clock.now());
            read(store, "GetMetricData", answer).await?.map(|answer| answer.body)
        }
        Ok(()) if service.target == QUEUE_SETTINGS.target => {
            let answer = |store: &Store| store.queues.attributes(&store.options.queues, &body);
            read(store, "GetQueueAttributes", answer).await?.map(|answer| answer.body)
        }
        Ok(()) => send_batch(store, request, &body).await?,
        Err(refusal) => Err(refusal),
    };
    let (status, error, body) = match reply {
        Ok(body) => (200, None, body),
        Err(refusal) => {
            let (error, body) = service.error(&refusal);
            (refusal.status, Some(error), body)
        }
    };
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, MEDIA_TYPE);
    if let Some(error) = error {
        response = response.header("x-amzn-query-error", error);
    }
    response.body(Full::new(Bytes::from(body))).map_err(|_| Closed)
}

/// Sends a batch of messages, after any fault that happens to it.
async fn send_batch(
    store: &Mutex<Store>,
    request: &Parts,
    body: &[u8],
) -> Result<Result<String, Refusal>, Closed> {
    let fault = lock(store).queues.faults.pop_front();
    if fault == Some(Fault::WrongSignature) {
        return Ok(Err(wrong_signature(request)));
    }
    if let Err(refusal) = happen(fault.as_ref()).await? {
        return Ok(Err(refusal));
    }
    let Store { options, queues, .. } = &mut *lock(store);
    let sent = queues.send(&options.queues, body);
    if fault == Some(Fault::LoseAnswer) { Err(Closed) } else { Ok(sent) }
}
