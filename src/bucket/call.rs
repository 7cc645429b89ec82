//! Calls of S3's API: builds them, and makes them with retries.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use http::{Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use tokio::time::sleep;

use super::{
    Bucket, Error,
    address::{address, is_region},
    error::Kind,
    xml::{Invalid, Problem},
};
use crate::cloudfront::{Received, Scope, waits};

/// The bytes to percent-encode in a query. S3 encodes the same ones when it checks a signature.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The bytes to percent-encode in a key.
const IN_KEY: &AsciiSet = &IN_QUERY.remove(b'/');

/// Maximum number of attempts, unless the settings say otherwise.
pub(super) const ATTEMPTS: u32 = 4;

/// The maximum wait before the second attempt. It doubles for each further one.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Time limit for one attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);

/// A call of an operation on a bucket.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    method: Method,
    /// The encoded key. Empty for an operation on the bucket itself.
    key: String,
    /// The encoded query.
    query: String,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    /// The reason why the call cannot be made. `None` if it can.
    invalid: Option<&'static str>,
}

impl Call {
    /// Creates a call that reads something of the bucket itself.
    pub(super) const fn of_bucket(operation: &'static str) -> Self {
        Self {
            operation,
            method: Method::GET,
            key: String::new(),
            query: String::new(),
            headers: &[],
            body: String::new(),
            invalid: None,
        }
    }

    /// Creates a call that replaces a configuration of the bucket, with these headers.
    #[cfg(feature = "cli")]
    pub(super) fn that_puts(
        operation: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: String,
    ) -> Self {
        Self { method: Method::PUT, headers, body, ..Self::of_bucket(operation) }
    }

    /// Creates a call that looks an object up.
    pub(super) fn of_object(operation: &'static str, key: &[u8]) -> Self {
        Self {
            method: Method::HEAD,
            key: percent_encode(key, IN_KEY).to_string(),
            // Without a key, the call would look up the bucket.
            invalid: key.is_empty().then_some("the key is empty"),
            ..Self::of_bucket(operation)
        }
    }

    /// Adds a parameter to the query.
    pub(super) fn with(mut self, name: &str, value: &[u8]) -> Self {
        let separator = if self.query.is_empty() { "" } else { "&" };
        let _ = write!(self.query, "{separator}{name}={}", percent_encode(value, IN_QUERY));
        if std::str::from_utf8(value).is_err() {
            // The signature would be of other bytes.
            self.invalid = Some("keys that are not UTF-8 cannot be listed");
        }
        self
    }

    /// Adds a parameter to the query if it has a value.
    pub(super) fn with_some(self, name: &str, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl Bucket<'_> {
    /// Requests a page of a list. If the answer is over the size limit, requests a smaller page.
    pub(super) async fn page(&self, call: &Call, max_keys: u16, deadline: Instant) -> Result<Vec<u8>, Error> {
        // S3 answers a request for nothing as if there were nothing.
        let mut max_keys = max_keys.max(1);
        loop {
            let part = call.clone().with("max-keys", max_keys.to_string().as_bytes());
            match self.call(&part, deadline).await {
                Ok(answer) => return Ok(answer.body),
                Err(error) if error.kind == Kind::TooLong && max_keys > 1 => max_keys /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a call, and returns its answer with status 200. Retries transient errors with growing waits
    /// until `deadline`. Follows S3 to another region once.
    pub(super) async fn call(&self, call: &Call, deadline: Instant) -> Result<Received, Error> {
        let most = self.client.settings().max_attempts.unwrap_or(ATTEMPTS);
        let mut waits = waits(FIRST_WAIT);
        let mut made = 0;
        loop {
            let region = self.region();
            let error = match self.attempt(call, region, deadline).await {
                Ok(answer) if answer.status == 200 => return Ok(answer),
                Ok(answer) if self.is_elsewhere(&answer, region) => continue,
                Ok(answer) => self.refusal(call, &answer),
                Err(error) => error,
            };
            made += 1;
            let wait = waits.next().unwrap_or_default();
            if error.kind != Kind::Transient || made >= most || Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    /// Makes one attempt, and returns its answer with any status.
    pub(super) async fn attempt(
        &self,
        call: &Call,
        region: &str,
        deadline: Instant,
    ) -> Result<Received, Error> {
        let failed = |kind, why: &str| self.error(call, kind, why.to_owned());
        let limit = deadline.saturating_duration_since(Instant::now()).min(ATTEMPT_LIMIT);
        if limit.is_zero() {
            return Err(failed(Kind::Transient, "there was no time left"));
        }
        if let Some(why) = call.invalid {
            return Err(failed(Kind::Other, why));
        }
        let mut url = address(&self.name, region, self.client.settings())
            .ok_or_else(|| failed(Kind::Other, "the name or the region is invalid"))?;
        url.push_str(&call.key);
        if !call.query.is_empty() {
            url.push('?');
            url.push_str(&call.query);
        }
        let mut request = Request::builder().method(call.method.clone()).uri(url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(call.body.clone());
        let request = request.map_err(|error| failed(Kind::Other, &error.to_string()))?;
        let answer = self.client.send(Scope { service: "s3", region }, request, limit).await;
        answer.map_err(|error| {
            let kind = match error {
                _ if error.is_unreachable() => Kind::Transient,
                _ if error.is_too_long() => Kind::TooLong,
                _ => Kind::Other,
            };
            failed(kind, &error.to_string())
        })
    }

    /// Returns whether S3 says that the bucket is not in `region`, and remembers the region that it
    /// names. It may do so only once.
    pub(super) fn is_elsewhere(&self, answer: &Received, region: &str) -> bool {
        let named = answer.headers.get("x-amz-bucket-region");
        match (answer.status, named) {
            (300..=400, Some(named)) if named != region && is_region(named) => {
                **self.redirected.get_or_init(|| named.into()) != *region
            }
            _ => false,
        }
    }

    /// Creates the error for an answer that is not the expected one.
    fn refusal(&self, call: &Call, answer: &Received) -> Error {
        let Problem { code, message } = Problem::of(&answer.body);
        let status = answer.status;
        let text = match (&*code, &*message) {
            ("", _) => format!("HTTP {status}"),
            (code, "") => format!("{code} (HTTP {status})"),
            (code, message) => format!("{code} (HTTP {status}): {message}"),
        };
        self.error(call, Kind::of(status, &code), self.client.presentable(text))
    }

    /// Returns the region as far as it is known: the one that S3 named, or else the one in which the calls began.
    #[must_use]
    pub fn region(&self) -> &str {
        self.redirected.get().unwrap_or(&self.region)
    }

    /// Creates the error for an answer that is not what S3 documents.
    pub(super) fn invalid(&self, call: &Call, why: &Invalid) -> Error {
        self.error(call, Kind::Other, why.to_string())
    }

    fn error(&self, call: &Call, kind: Kind, text: String) -> Error {
        Error { operation: call.operation, bucket: self.name.clone(), kind, text }
    }
}
