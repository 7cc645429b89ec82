//! Reads the time of S3's clock, with which S3 dates objects.

use std::time::Instant;

use super::{
    Bucket, Error,
    call::{ATTEMPTS, Call, FIRST_WAIT},
    error::Kind,
    xml::Invalid,
};
use crate::{
    cloudfront::{retry, waits},
    time::http_milliseconds,
};

/// The header with the time of an answer.
const DATE: &str = "date";

impl Bucket<'_> {
    /// Returns the time of S3's clock, in milliseconds since 1970. S3 cuts it to seconds. Every answer has it,
    /// even one that denies the call.
    ///
    /// # Errors
    ///
    /// Fails if S3 does not answer until `deadline`, or not with a date.
    pub async fn clock(&self, deadline: Instant) -> Result<u64, Error> {
        let call = Call::of_bucket("ListObjectsV2").with("list-type", b"2").with("max-keys", b"1");
        let waits = waits(FIRST_WAIT).take(ATTEMPTS as usize - 1);
        let is_transient = |error: &Error| error.kind == Kind::Transient;
        let answer =
            retry(waits, deadline, is_transient, || self.attempt(&call, self.region(), deadline)).await?;
        // Remembers the region that S3 names.
        self.is_elsewhere(&answer, self.region());
        let date = answer.headers.get(DATE).and_then(http_milliseconds);
        date.ok_or_else(|| self.invalid(&call, &Invalid::Missing(DATE)))
    }
}
