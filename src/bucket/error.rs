//! The error of a call to S3.

/// The reason why a call to S3 failed. Displays on one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of the bucket {bucket:?} failed: {text}")]
pub struct Error {
    pub(super) operation: &'static str,
    pub(super) bucket: Box<str>,
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// S3 is busy, or there is no complete answer.
    Transient,
    /// An answer over the size limit.
    TooLong,
    Denied,
    /// The object, the version or the configuration does not exist.
    Missing,
    Other,
}

impl Error {
    /// Returns the operation that failed, such as `ListObjectVersions`.
    #[must_use]
    pub const fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns whether the credentials do not allow the call.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.kind == Kind::Denied
    }

    /// Returns whether what the call asks for does not exist.
    pub(super) fn is_missing(&self) -> bool {
        self.kind == Kind::Missing
    }
}

impl Kind {
    /// Classifies an answer by its status and S3's code, which the answer to a HEAD request lacks.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
    pub(super) fn of(status: u16, code: &str) -> Self {
        match (status, code) {
            (_, "SlowDown" | "RequestTimeout" | "Throttling") | (429 | 500.., _) => Self::Transient,
            (403, _) => Self::Denied,
            // HeadObject answers 405 if the version is a delete marker.
            (
                404 | 405,
                ""
                | "NoSuchKey"
                | "NoSuchVersion"
                | "NoSuchLifecycleConfiguration"
                | "ServerSideEncryptionConfigurationNotFoundError",
            ) => Self::Missing,
            _ => Self::Other,
        }
    }
}
