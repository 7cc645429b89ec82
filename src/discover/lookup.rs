//! The client, the deadline and the clock of a lookup.

use std::time::{Duration, Instant, SystemTime};

use futures_util::{Stream, StreamExt};

use super::FRESH;
use crate::cloudfront::{Client, Error};

/// A lookup in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup<'a> {
    pub(super) client: Option<&'a Client>,
    pub(super) deadline: Instant,
    /// The beginning of the lookup, by the wall clock and by the monotonic clock.
    pub(super) begun: (SystemTime, Instant),
}

impl<'a> Lookup<'a> {
    /// Returns the client, and the time that is left for a call.
    ///
    /// # Errors
    ///
    /// Fails if there is no client, so that no call can be made.
    pub(super) fn client(&self) -> Result<(&'a Client, Duration), Error> {
        let client = self.client.ok_or_else(Error::offline)?;
        Ok((client, self.deadline.saturating_duration_since(Instant::now())))
    }

    /// Waits for calls until the deadline at the latest.
    pub(super) async fn in_time<T>(&self, calls: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout_at(self.deadline.into(), calls).await.map_err(|_| Error::too_late())
    }

    /// Passes the answers of calls to `take` as they come, until the deadline at the latest. If one
    /// fails, still takes the others, and returns the first error.
    pub(super) async fn each<K, T>(
        self,
        mut calls: impl Stream<Item = (K, Result<T, Error>)> + Unpin,
        mut take: impl FnMut(K, Result<T, Error>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        // One call that hangs must not discard the answers of the others.
        loop {
            match self.in_time(calls.next()).await {
                Ok(Some((of, answer))) => outcome = outcome.and(take(of, answer)),
                Ok(None) => return outcome,
                Err(error) => return outcome.and(Err(error)),
            }
        }
    }

    /// Returns the wall clock's time. Computes it from the beginning of the lookup, so that tests
    /// can set it.
    pub(super) fn now(&self) -> SystemTime {
        self.begun.0 + self.begun.1.elapsed()
    }

    /// Returns the time since `then`. If the clock has been set back since, returns
    /// [`Duration::MAX`], so that nothing old is taken as new.
    pub(super) fn since(&self, then: SystemTime) -> Duration {
        self.now().duration_since(then).unwrap_or(Duration::MAX)
    }

    /// Returns whether less than [`FRESH`] has passed since a time.
    pub(super) fn is_fresh(&self, then: SystemTime) -> bool {
        self.since(then) < FRESH
    }

    /// Returns the same lookup with a deadline no later than [`FRESH`] from now.
    pub(super) fn fresh(self) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + FRESH), ..self }
    }

    /// Returns the same lookup with a deadline at which a list from `then` is no longer fresh.
    pub(super) fn while_fresh(self, then: SystemTime) -> Self {
        let left = FRESH.saturating_sub(self.since(then));
        Self { deadline: self.deadline.min(Instant::now() + left), ..self }
    }

    /// Returns the same lookup with a deadline that leaves a third of the time for everything else.
    pub(super) fn long(self) -> Self {
        let left = self.deadline.saturating_duration_since(Instant::now());
        Self { deadline: Instant::now() + left.saturating_sub(left / 3), ..self }
    }
}
