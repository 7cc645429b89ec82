//! Why CloudFront did not do it, as answers to questions.

use std::iter;

use aws_sdk_cloudfront::error::{BuildError, ProvideErrorMetadata, SdkError};
use http_body_util::LengthLimitError;
use thiserror::Error;

use super::secrets::Secrets;
use crate::text::chain;

/// What CloudFront says of a caller reference that was used before, seen in the field. Documented is
/// a code of its own, which was not seen.
const REFERENCE_USED: &str = "Your request contains a caller reference that was used for a previous \
                              invalidation batch for the same distribution.";

/// Maximum number of characters of a caller reference that an error quotes.
const MOST_REFERENCE: usize = 80;

/// Maximum number of characters of an error.
const MOST_TEXT: usize = 2_000;

/// Why CloudFront did not do it.
///
/// Displays the whole chain of causes, which the SDK's own error hides behind
/// "service error".
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct Error {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AlreadyDone,
    /// The same, of an invalidation that an attempt without an answer may have created.
    JustDone,
    Busy,
    Full,
    Denied,
    /// The signature, or its time: the clocks may differ.
    Unsigned,
    NoSuchDistribution,
    NoSuchInvalidation,
    PathRejected,
    TooLarge,
    /// The answer is longer than it may be.
    TooLong,
    Unreachable,
    Other,
}

impl Error {
    const fn new(kind: Kind, text: String) -> Self {
        Self { kind, text }
    }

    /// Makes it fit to be shown: in one line, of limited length, without any of these secrets.
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

    /// An answer came, without what it should hold.
    pub(super) fn no_answer(missing: &str) -> Self {
        Self::new(Kind::Unreachable, format!("CloudFront's answer has no {missing}"))
    }

    /// Makes an error of an answer that is about another invalidation.
    pub(super) fn other_invalidation(sent: &str, answered: &str) -> Self {
        let answered: String = answered.chars().take(MOST_REFERENCE).collect();
        Self::new(
            Kind::Other,
            format!("CloudFront's answer to the caller reference {sent:?} has {answered:?}"),
        )
    }

    /// One answer, or several together, took too long.
    pub(crate) fn too_late() -> Self {
        Self::new(Kind::Unreachable, "CloudFront's answers took too long".to_owned())
    }

    /// There is no such distribution: what was looked for, and what there is.
    pub(crate) const fn no_such_distribution(text: String) -> Self {
        Self::new(Kind::NoSuchDistribution, text)
    }

    /// CloudFront would have to be asked, and may not be.
    pub(crate) fn offline() -> Self {
        Self::new(
            Kind::Other,
            "distributions would have to be looked up, and CloudFront is not asked".to_owned(),
        )
    }

    /// The reference was used before. Since a reference stands for one distribution
    /// and one set of paths, this very invalidation exists.
    ///
    /// Documented as `InvalidationBatchAlreadyExists`; seen in the field as an
    /// `InvalidArgument` that speaks of the caller reference.
    #[must_use]
    pub fn is_already_done(&self) -> bool {
        matches!(self.kind, Kind::AlreadyDone | Kind::JustDone)
    }

    /// Returns whether it is [already done](Self::is_already_done) by an earlier attempt of the
    /// same call, as far as one can tell.
    #[must_use]
    pub fn is_just_done(&self) -> bool {
        self.kind == Kind::JustDone
    }

    /// Makes an error of a further attempt, after one that had no answer.
    pub(super) fn after_no_answer(self) -> Self {
        match self.kind {
            Kind::AlreadyDone => Self { kind: Kind::JustDone, ..self },
            _ => self,
        }
    }

    /// CloudFront has too much to do; the same call will succeed later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, Kind::Busy | Kind::Full)
    }

    /// Too many invalidations are in progress: a kind of [busy](Self::is_busy) that ends
    /// when some of them are completed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.kind == Kind::Full
    }

    /// The credentials do not allow it.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.kind, Kind::Denied | Kind::Unsigned)
    }

    /// A kind of [denied](Self::is_denied) that may come of a wrong clock.
    pub(super) fn is_unsigned(&self) -> bool {
        self.kind == Kind::Unsigned
    }

    /// The account has no such distribution.
    #[must_use]
    pub fn is_no_such_distribution(&self) -> bool {
        self.kind == Kind::NoSuchDistribution
    }

    /// The account has no such distribution, or the distribution no such invalidation.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind, Kind::NoSuchDistribution | Kind::NoSuchInvalidation)
    }

    /// Returns whether the answer was longer than an answer may be.
    pub(super) fn is_too_long(&self) -> bool {
        self.kind == Kind::TooLong
    }

    /// CloudFront refuses one of the paths, without saying which.
    #[must_use]
    pub fn is_path_rejected(&self) -> bool {
        self.kind == Kind::PathRejected
    }

    /// More paths than CloudFront takes in one request.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    /// No answer came, in time or at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// A name for this kind of error that alarms can rely on.
    #[must_use]
    pub const fn error_type(&self) -> &'static str {
        match self.kind {
            Kind::AlreadyDone | Kind::JustDone => "InvalidationExists",
            Kind::Busy | Kind::Full => "CloudFrontBusy",
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

/// A request that cannot even be built.
impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::new(Kind::Other, chain(&error))
    }
}

impl<E> From<SdkError<E>> for Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let (code, message) = (error.meta().code(), error.meta().message());
        let (kind, text) = match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let text = match (code, message) {
                    (Some(code), Some(message)) => format!("{code} (HTTP {status}): {message}"),
                    (Some(code), None) => format!("{code} (HTTP {status})"),
                    (None, _) => format!("HTTP {status}: {}", chain(&error)),
                };
                (Kind::of(code.unwrap_or_default(), message.unwrap_or_default(), status), text)
            }
            _ if is_too_long(&error) => (Kind::TooLong, chain(&error)),
            // No answer, or one that broke off.
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => (Kind::Unreachable, chain(&error)),
            // Connections cut are of no kind, and so are credentials that are not found.
            SdkError::DispatchFailure(failure) if !failure.is_user() => {
                let text = chain(&error);
                (if text.contains("credentials") { Kind::Other } else { Kind::Unreachable }, text)
            }
            // A request that cannot be built or sent.
            _ => (Kind::Other, chain(&error)),
        };
        Self::new(kind, text)
    }
}

impl Kind {
    /// What an answer means. CloudFront models few of the codes that it sends, and
    /// throttles with status 400.
    ///
    /// <https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateInvalidation.html>
    fn of(code: &str, message: &str, status: u16) -> Self {
        match code {
            "InvalidationBatchAlreadyExists" => Self::AlreadyDone,
            "InvalidArgument" if message.trim() == REFERENCE_USED => Self::AlreadyDone,
            "TooManyInvalidationsInProgress" => Self::Full,
            "BandwidthLimitExceeded"
            | "EC2ThrottledException"
            | "LimitExceededException"
            | "PriorRequestNotComplete"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestTimeout"
            | "SlowDown"
            | "ThrottledException"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "TransactionInProgressException" => Self::Busy,
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
                429 | 500.. => Self::Busy,
                400 if code == "InvalidArgument" => Self::PathRejected,
                _ => Self::Other,
            },
        }
    }
}

/// Returns whether the answer was longer than [`Http`](super::Http) reads.
fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<LengthLimitError>)
}
