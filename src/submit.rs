//! A [`Plan`] becomes an [`Outcome`]: every invalidation is sent, all at the same
//! time, and each says for itself how it went.

use std::time::Instant;

use futures_util::future::join_all;

use crate::{
    cloudfront::{Client, Error, Invalidation},
    plan::{self, Plan},
};

/// How each invalidation of a plan went, in the order of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome(pub Vec<Sent>);

/// How one invalidation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// CloudFront took it, now or when the same call was made before.
    Accepted(Invalidation),
    /// CloudFront says that its reference was used before: it exists, but its id
    /// was not told.
    AlreadyDone,
    /// It may not exist. The messages that need it are not done.
    Failed(Error),
}

/// Sends every invalidation of the plan. What has no answer by `deadline` failed.
pub async fn submit(client: &Client, plan: &Plan, deadline: Instant) -> Outcome {
    Outcome(join_all(plan.invalidations.iter().map(|one| send(client, one, deadline))).await)
}

async fn send(client: &Client, invalidation: &plan::Invalidation, deadline: Instant) -> Sent {
    let distribution = invalidation.distribution.as_str();
    let reference = &invalidation.caller_reference;
    let limit = deadline.saturating_duration_since(Instant::now());
    match client.create_invalidation(distribution, invalidation.paths(), reference, limit).await {
        Ok(created) => Sent::Accepted(created),
        Err(error) if error.is_already_done() => Sent::AlreadyDone,
        Err(error) => Sent::Failed(error),
    }
}
