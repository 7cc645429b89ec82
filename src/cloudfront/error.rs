//! The error of a call to CloudFront, which answers questions about what happened.

use std::iter;

use aws_sdk_cloudfront::error::{BuildError, ErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::{
    interceptors::context::Error as ErasedError, orchestrator::HttpResponse,
};
use http_body_util::LengthLimitError;
use thiserror::Error;

use super::secrets::Secrets;
use crate::text::chain;

/// The beginning of CloudFront's message for a caller reference that was used before, as observed. AWS
/// documents an error code of its own for this case, which was never observed.
const REFERENCE_USED: &str = "Your request contains a caller reference that was used for a previous \
                              invalidation batch for the same distribution";

/// The endings of that message. The one for tenants was never observed.
const OF_THE_SAME: [&str; 2] = [".", " tenant."];

/// Maximum number of characters of a caller reference that an error quotes.
const MOST_REFERENCE: usize = 80;

/// Maximum number of characters of an error.
const MOST_TEXT: usize = 2_000;

/// The reason why a call to CloudFront failed.
///
/// Displays the whole chain of causes, which the SDK's own error hides behind "service error".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct Error {
    kind: Kind,
    text: String,
    /// The operation that failed. `None` if nothing was called.
    operation: Option<&'static str>,
    /// Whether the call may have had an effect nevertheless.
    is_uncertain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AlreadyDone,
    /// Already done, perhaps by an earlier attempt of the same call that got no answer.
    JustDone,
    Busy,
    /// Too many calls.
    Throttled,
    /// Not called, because the pace of calls left no time for it.
    PutOff,
    /// Not called, to save the month's paths.
    Saved,
    Full,
    Denied,
    /// A wrong signature, or a wrong time in it: the clocks may differ.
    Unsigned,
    NoSuchDistribution,
    NoSuchInvalidation,
    PathRejected,
    TooLarge,
    /// An answer over the size limit.
    TooLong,
    Unreachable,
    Other,
}

impl Error {
    const fn new(kind: Kind, text: String) -> Self {
        let is_uncertain = matches!(kind, Kind::Unreachable | Kind::Busy | Kind::TooLong);
        Self { kind, text, operation: None, is_uncertain }
    }

    /// Prepares the error for display: redacts the secrets, puts the text on one line, and limits
    /// its length.
    pub(super) fn presentable(self, secrets: &Secrets) -> Self {
        let text = secrets.redact(&self.text);
        let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
        let mut text = lines.collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = text.char_indices().nth(MOST_TEXT) {
            text.truncate(end);
            text.push('…');
        }
        Self { text, ..self }
    }

    /// Adds the operation that failed.
    pub(crate) const fn of(mut self, operation: &'static str) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Creates the error for an answer that lacks a required part.
    pub(super) fn no_answer(missing: &str) -> Self {
        Self::new(Kind::Unreachable, format!("CloudFront's answer has no {missing}"))
    }

    /// Creates an error of no particular kind.
    pub(crate) const fn other(text: String) -> Self {
        Self::new(Kind::Other, text)
    }

    /// Creates the error for a call without a complete answer.
    pub(crate) const fn unreachable(text: String) -> Self {
        Self::new(Kind::Unreachable, text)
    }

    /// Creates the error for an answer that ended before it was complete.
    pub(super) fn incomplete(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(if is_too_long(error) { Kind::TooLong } else { Kind::Unreachable }, chain(error))
    }

    /// Creates the error for an answer about another invalidation.
    pub(super) fn other_invalidation(sent: &str, answered: &str) -> Self {
        let answered: String = answered.chars().take(MOST_REFERENCE).collect();
        Self::new(
            Kind::Other,
            format!("CloudFront's answer to the caller reference {sent:?} has the reference {answered:?}"),
        )
    }

    /// Creates the error for one or more answers that took too long.
    pub(crate) fn too_late() -> Self {
        Self::new(Kind::Unreachable, "CloudFront took too long to answer".to_owned())
    }

    /// Creates the error for a call that was not made, because CloudFront throttles others.
    pub(crate) fn put_off() -> Self {
        Self::new(Kind::PutOff, "put off: CloudFront throttles, and there was too little time".to_owned())
    }

    /// Creates the error for a call that was not made, to save the month's paths.
    pub(crate) fn saved() -> Self {
        Self::new(Kind::Saved, "put off to save the month's paths".to_owned())
    }

    /// Creates the error for a distribution that does not exist. `text` names it and those that do.
    pub(crate) const fn no_such_distribution(text: String) -> Self {
        Self::new(Kind::NoSuchDistribution, text)
    }

    /// Creates the error for a lookup without access to CloudFront.
    pub(crate) fn offline() -> Self {
        Self::new(
            Kind::Other,
            "cannot look up distributions offline: set INVALIDATOR_DISTRIBUTIONS or pass --distributions"
                .to_owned(),
        )
    }

    /// Returns whether the caller reference was used before. Because a reference stands for one
    /// distribution and one set of paths, this very invalidation exists.
    ///
    /// AWS documents the code `InvalidationBatchAlreadyExists` for this case. CloudFront has been
    /// observed to answer `InvalidArgument` with a message about the caller reference instead.
    #[must_use]
    pub fn is_already_done(&self) -> bool {
        matches!(self.kind, Kind::AlreadyDone | Kind::JustDone)
    }

    /// Returns whether an earlier attempt of the same call, which got no answer, has probably
    /// created the invalidation: a kind of [already done](Self::is_already_done).
    #[must_use]
    pub fn is_just_done(&self) -> bool {
        self.kind == Kind::JustDone
    }

    /// Converts the error of an attempt that follows one without an answer.
    pub(super) fn after_no_answer(self) -> Self {
        match self.kind {
            Kind::AlreadyDone => Self { kind: Kind::JustDone, ..self },
            _ => self,
        }
    }

    /// Returns whether CloudFront is too busy. The same call will succeed later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Busy | Kind::Throttled | Kind::PutOff | Kind::Full)
    }

    /// Returns whether there are too many calls: a kind of [busy](Self::is_busy) that ends when
    /// callers slow down.
    pub(super) fn is_throttled(&self) -> bool {
        self.kind == Kind::Throttled
    }

    /// Returns whether the call certainly had no effect only because there are too many calls, or was not
    /// made [to save paths](Self::is_saved).
    #[must_use]
    pub fn is_put_off(&self) -> bool {
        matches!(self.kind, Kind::Throttled | Kind::PutOff | Kind::Saved) && !self.is_uncertain
    }

    /// Returns whether the call was not made, to save the month's paths.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.kind == Kind::Saved
    }

    /// Returns whether the call may have had an effect nevertheless, because an answer was lost or
    /// CloudFront failed.
    #[must_use]
    pub const fn is_uncertain(&self) -> bool {
        self.is_uncertain
    }

    /// Adds that an earlier attempt of the same call may have had an effect.
    pub(super) fn or_uncertain(mut self, is_uncertain: bool) -> Self {
        self.is_uncertain |= is_uncertain;
        self
    }

    /// Returns whether too many invalidations are in progress: a kind of [busy](Self::is_busy) that
    /// ends when some of them are completed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind == Kind::Full
    }

    /// Returns whether the credentials do not allow the call.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.kind, Kind::Denied | Kind::Unsigned)
    }

    /// Returns whether the signature was rejected: a kind of [denied](Self::is_denied) that a wrong
    /// clock may cause.
    pub(super) fn is_unsigned(&self) -> bool {
        self.kind == Kind::Unsigned
    }

    /// Returns whether the account has no such distribution.
    #[must_use]
    pub fn is_no_such_distribution(&self) -> bool {
        self.kind == Kind::NoSuchDistribution
    }

    /// Returns whether the account has no such distribution, or the distribution has no such
    /// invalidation.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind, Kind::NoSuchDistribution | Kind::NoSuchInvalidation)
    }

    /// Returns whether the answer was over the size limit.
    pub(crate) fn is_too_long(&self) -> bool {
        self.kind == Kind::TooLong
    }

    /// Returns whether CloudFront refuses one of the paths. It does not say which.
    #[must_use]
    pub fn is_path_rejected(&self) -> bool {
        self.kind == Kind::PathRejected
    }

    /// Returns whether the request has more paths than CloudFront accepts.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    /// Returns whether no complete answer came in time.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// Returns the operation that failed, such as `CreateInvalidation`. `None` if nothing was called.
    #[must_use]
    pub const fn operation(&self) -> Option<&'static str> {
        self.operation
    }

    /// Returns a stable name for this kind of error, for use in alarms.
    #[must_use]
    pub const fn error_type(&self) -> &'static str {
        match self.kind {
            Kind::AlreadyDone | Kind::JustDone => "InvalidationExists",
            Kind::Busy | Kind::Throttled | Kind::PutOff | Kind::Full => "CloudFrontBusy",
            Kind::Saved => "SavingPaths",
            Kind::Denied | Kind::Unsigned => "CloudFrontDenied",
            Kind::NoSuchDistribution => "NoSuchDistribution",
            Kind::NoSuchInvalidation => "NoSuchInvalidation",
            Kind::PathRejected => "PathRejected",
            Kind::TooLarge => "BatchTooLarge",
            Kind::Unreachable => "CloudFrontUnreachable",
            Kind::TooLong => "AnswerTooLong",
            Kind::Other => "CloudFrontFailed",
        }
    }
}

/// Converts the error for a request that cannot be built.
impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::new(Kind::Other, chain(&error))
    }
}

impl Error {
    /// Creates the error for a call that the SDK made. `metadata` returns what an error of the operation
    /// says.
    pub(super) fn of_call(
        error: &SdkError<ErasedError, HttpResponse>,
        metadata: fn(&ErasedError) -> Option<&ErrorMetadata>,
    ) -> Self {
        let metadata = error.as_service_error().and_then(metadata);
        let code = metadata.and_then(ErrorMetadata::code);
        let message = metadata.and_then(ErrorMetadata::message);
        let (kind, text) = match error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let text = match (code, message) {
                    (Some(code), Some(message)) => format!("{code} (HTTP {status}): {message}"),
                    (Some(code), None) => format!("{code} (HTTP {status})"),
                    (None, _) => format!("HTTP {status}: {}", chain(error)),
                };
                (Kind::of(code.unwrap_or_default(), message.unwrap_or_default(), status), text)
            }
            _ if is_too_long(error) => (Kind::TooLong, chain(error)),
            // No answer, or an incomplete one.
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => (Kind::Unreachable, chain(error)),
            // The SDK gives no kind of its own to cut connections or to missing credentials, so
            // only the text tells them apart.
            SdkError::DispatchFailure(failure) if !failure.is_user() => {
                let text = chain(error);
                (if text.contains("credentials") { Kind::Other } else { Kind::Unreachable }, text)
            }
            // A request that cannot be built or sent.
            _ => (Kind::Other, chain(error)),
        };
        Self::new(kind, text)
    }
}

impl Kind {
    /// Classifies an answer by its code, message and status. CloudFront's model has few of the
    /// codes that it sends, and it throttles with status 400.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>
    fn of(code: &str, message: &str, status: u16) -> Self {
        match code {
            "InvalidationBatchAlreadyExists" => Self::AlreadyDone,
            "InvalidArgument" if says_reference_used(message) => Self::AlreadyDone,
            "TooManyInvalidationsInProgress" => Self::Full,
            "BandwidthLimitExceeded"
            | "EC2ThrottledException"
            | "LimitExceededException"
            | "PriorRequestNotComplete"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "SlowDown"
            | "ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "TransactionInProgressException" => Self::Throttled,
            "RequestTimeout" => Self::Busy,
            "BatchTooLarge" => Self::TooLarge,
            "NoSuchDistribution" | "EntityNotFound" => Self::NoSuchDistribution,
            "NoSuchInvalidation" => Self::NoSuchInvalidation,
            "InvalidSignatureException"
            | "RequestExpired"
            | "RequestInTheFuture"
            | "RequestTimeTooSkewed"
            | "SignatureDoesNotMatch" => Self::Unsigned,
            "AccessDenied"
            | "ExpiredToken"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException" => Self::Denied,
            _ => match status {
                401 | 403 => Self::Denied,
                413 => Self::TooLarge,
                429 => Self::Throttled,
                500.. => Self::Busy,
                400 if code == "InvalidArgument" => Self::PathRejected,
                _ => Self::Other,
            },
        }
    }
}

/// Returns whether a message says that the caller reference was used before.
fn says_reference_used(message: &str) -> bool {
    message.trim().strip_prefix(REFERENCE_USED).is_some_and(|ending| OF_THE_SAME.contains(&ending))
}

/// Returns whether the answer was longer than the limit of [`Http`](super::Http).
fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<LengthLimitError>)
}
