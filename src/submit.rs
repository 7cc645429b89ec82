//! Sends the invalidations of a [`Plan`](crate::plan::Plan), several at a time, and records how
//! each went.
//!
//! Some errors need more than a retry. If CloudFront still has too many invalidations in progress
//! after some time, or the request is too large, this module folds the items into fewer wildcards. If
//! CloudFront refuses a path, it refuses the whole request and does not say which path it was;
//! `isolation` finds out.

mod folding;
mod isolation;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;

use self::{
    folding::{Accepted, create},
    isolation::Isolation,
};
use crate::{
    cloudfront::{Client, Creation, Error, Invalidation},
    path::{Item, Kind},
    plan,
    site::DistributionId,
    time::since_1970,
};

/// Maximum number of invalidations in flight. CloudFront accepts about one call every two seconds,
/// after a burst of several.
const MOST_AT_ONCE: usize = 8;

/// Maximum number of bytes of paths in flight, unless a single invalidation has more. Each path is
/// in memory several times: in the plan, in the request and in its body.
const MOST_BYTES_AT_ONCE: usize = 1024 * 1024;

/// The results of a plan's invalidations, in the order of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome(pub Vec<Sent>);

/// The result of one invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// CloudFront accepted it, now or when an earlier delivery of the batch sent it.
    Accepted(Created),
    /// CloudFront had too many invalidations in progress, or the request was too large; the error
    /// says which. It accepted fewer, wider items.
    Folded(Part, Error),
    /// CloudFront reported that the caller reference was used before. The invalidation exists, but
    /// its id is unknown.
    AlreadyDone {
        /// Whether an earlier attempt of this invocation probably created it.
        is_new: bool,
    },
    /// It failed, and may not exist. The messages that need it return to the queue.
    Failed(Error),
    /// CloudFront refused one or more of its paths. The rest was sent in parts, as far as possible.
    Isolated(Isolated),
}

impl Sent {
    /// Returns the number of paths that CloudFront bills for an invalidation of so many planned items: it does not
    /// bill one again that existed.
    #[must_use]
    pub fn billed_paths(&self, planned: usize) -> usize {
        let new = |part: &Part| if part.created.is_new { part.items.len() } else { 0 };
        match self {
            Self::AlreadyDone { is_new: true } | Self::Accepted(Created { is_new: true, .. }) => planned,
            Self::Folded(part, _) => new(part),
            Self::Isolated(isolated) => isolated.accepted.iter().map(new).sum(),
            Self::Accepted(_) | Self::AlreadyDone { .. } | Self::Failed(_) => 0,
        }
    }
}

/// An invalidation that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The id that CloudFront gave it.
    pub id: String,
    /// `InProgress` or `Completed`.
    pub status: String,
    /// Whether this call created it, so that it is billed.
    pub is_new: bool,
    /// The time of its creation by CloudFront's clock, in milliseconds since 1970. `None` if CloudFront did not say.
    pub at: Option<u64>,
}

impl Created {
    fn of(creation: Creation) -> Self {
        let Creation { invalidation: Invalidation { id, status, created, .. }, is_new } = creation;
        Self { id, status, is_new, at: created.and_then(since_1970) }
    }
}

/// A part of a planned invalidation that CloudFront accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The invalidation that CloudFront created.
    pub created: Created,
    /// The items in it.
    pub items: Vec<Item>,
}

impl Part {
    /// Returns how many of the items are wildcards.
    #[must_use]
    pub fn wildcards(&self) -> usize {
        self.items.iter().filter(|item| item.kind() == Kind::Wildcard).count()
    }
}

/// An invalidation that was sent in parts to isolate the paths that CloudFront refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolated {
    /// The parts that CloudFront accepted.
    pub accepted: Vec<Part>,
    /// The items that CloudFront refused.
    pub refused: Vec<Refused>,
    /// Indices of the items that could not be sent, so that CloudFront's verdict is unknown.
    pub unsent: Vec<usize>,
    /// The last error.
    pub error: Error,
}

/// An item that CloudFront refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The index of the item in the planned invalidation.
    pub item: usize,
    /// Whether CloudFront refused it on its own, not only together with others.
    pub alone: bool,
    /// The wildcard that CloudFront accepted instead. `None` if it accepted none.
    pub instead: Option<Item>,
}

impl Isolated {
    /// Returns the indices of the items that may not have been purged.
    pub fn undone(&self) -> impl Iterator<Item = usize> {
        let refused = self.refused.iter().filter(|refused| refused.instead.is_none());
        refused.map(|refused| refused.item).chain(self.unsent.iter().copied())
    }
}

/// Sends each invalidation as soon as `next` returns it, and passes it to `done` with its result. A
/// call without an answer by `deadline` has failed. An invalidation without items is put off. If the
/// caller may not invalidate a distribution, or it does not exist, makes no further call for it.
///
/// Limits the calls and the bytes in flight. Calls `next` only below the limit of calls; one planned
/// invalidation may wait until its bytes fit.
pub async fn submit(
    client: &Client,
    mut next: impl FnMut() -> Option<plan::Invalidation>,
    deadline: Instant,
    mut done: impl FnMut(plan::Invalidation, Sent),
) {
    let mut in_flight = FuturesUnordered::new();
    let mut bytes_in_flight = 0;
    let mut planned = None;
    let mut planning = Duration::ZERO;
    // The distributions for which every call fails.
    let mut failing: BTreeMap<DistributionId, Error> = BTreeMap::new();
    loop {
        if planned.is_none() && in_flight.len() < MOST_AT_ONCE {
            let begun = Instant::now();
            planned = next().map(|invalidation| (invalidation.purge.bytes(), invalidation));
            planning = begun.elapsed();
        }
        let has_room = |bytes: usize| in_flight.is_empty() || bytes_in_flight + bytes <= MOST_BYTES_AT_ONCE;
        let finished = match planned.take_if(|(bytes, _)| has_room(*bytes)) {
            Some((bytes, invalidation)) => {
                let put_off = || invalidation.purge.items.is_empty().then(Error::put_off);
                let known = failing.get(&invalidation.distribution).cloned();
                if let Some(error) = known.or_else(put_off) {
                    done(invalidation, Sent::Failed(error));
                    continue;
                }
                bytes_in_flight += bytes;
                in_flight.push(async move {
                    let sent = send(client, &invalidation, deadline).await;
                    (bytes, invalidation, sent)
                });
                // Planning blocks this thread. If it takes long, let this request get on its way
                // before planning the next one.
                timeout(planning, in_flight.next()).await.ok().flatten()
            }
            None => match in_flight.next().await {
                Some(finished) => Some(finished),
                None => return,
            },
        };
        if let Some((bytes, invalidation, sent)) = finished {
            bytes_in_flight -= bytes;
            if let Sent::Failed(error) = &sent
                && (error.is_denied() || error.is_no_such_distribution())
            {
                failing.insert(invalidation.distribution.clone(), error.clone());
            }
            done(invalidation, sent);
        }
    }
}

async fn send(client: &Client, invalidation: &plan::Invalidation, deadline: Instant) -> Sent {
    let items: Vec<&Item> = invalidation.purge.items.iter().map(|one| &one.item).collect();
    let reference = &invalidation.caller_reference;
    match create(client, invalidation, &items, reference, deadline).await {
        Ok(Accepted { created, folded: None }) => Sent::Accepted(created),
        Ok(Accepted { created, folded: Some((items, why)) }) => Sent::Folded(Part { created, items }, why),
        Err(error) if error.is_already_done() => Sent::AlreadyDone { is_new: error.is_just_done() },
        Err(error) if error.is_path_rejected() => {
            Sent::Isolated(Isolation::new(client, invalidation, deadline, error).run().await)
        }
        Err(error) => Sent::Failed(error),
    }
}
