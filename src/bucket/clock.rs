//! Reads the time of S3's clock, with which S3 dates objects.

use std::time::Instant;

use tokio::time::sleep;

use super::{
    Bucket, Error,
    call::{ATTEMPTS, Call, FIRST_WAIT},
    error::Kind,
    xml::Invalid,
};
use crate::{cloudfront::waits, time::http_milliseconds};

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
        let mut waits = waits(FIRST_WAIT).take(ATTEMPTS as usize - 1);
        loop {
            match self.attempt(&call, self.region(), deadline).await {
                Ok(answer) => {
                    // Remembers the region that S3 names.
                    self.is_elsewhere(&answer, self.region());
                    let date = answer.headers.get(DATE).and_then(http_milliseconds);
                    return date.ok_or_else(|| self.invalid(&call, &Invalid::Missing(DATE)));
                }
                Err(error) if error.kind == Kind::Transient => match waits.next() {
                    Some(wait) if Instant::now() + wait < deadline => sleep(wait).await,
                    _ => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }
}
