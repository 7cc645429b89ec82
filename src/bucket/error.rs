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
    /// The object or the version does not exist.
    Missing,
    /// The bucket has no such configuration.
    NotConfigured,
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

    /// Returns whether there is no such bucket.
    #[must_use]
    pub fn is_no_such_bucket(&self) -> bool {
        self.text.starts_with("NoSuchBucket ")
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
            (404 | 405, "") => Self::Missing,
            (404, "NoSuchLifecycleConfiguration" | "ServerSideEncryptionConfigurationNotFoundError") => {
                Self::NotConfigured
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classified_by_status_and_code() {
        for (status, code, kind) in [
            (503, "SlowDown", Kind::Transient),
            (503, "", Kind::Transient),
            (500, "InternalError", Kind::Transient),
            (429, "", Kind::Transient),
            (400, "RequestTimeout", Kind::Transient),
            (403, "AccessDenied", Kind::Denied),
            (403, "", Kind::Denied),
            (404, "", Kind::Missing),
            (405, "", Kind::Missing),
            (404, "NoSuchLifecycleConfiguration", Kind::NotConfigured),
            (404, "ServerSideEncryptionConfigurationNotFoundError", Kind::NotConfigured),
            (404, "NoSuchBucket", Kind::Other),
            (405, "MethodNotAllowed", Kind::Other),
            (400, "InvalidArgument", Kind::Other),
            (301, "PermanentRedirect", Kind::Other),
        ] {
            assert_eq!(Kind::of(status, code), kind, "{status} {code}");
        }
    }
}
