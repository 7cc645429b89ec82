//! Folds an invalidation that CloudFront does not accept in full.

use std::time::{Duration, Instant};

use super::Created;
use crate::{
    cloudfront::{Client, Error, Patience},
    cover::{Budget, cover},
    path::Item,
    plan,
};

/// The budgets to try one after the other, down to a single wildcard.
const BUDGETS: [Budget; 3] = [
    Budget { items: 15, wildcards: 7 },
    Budget { items: 4, wildcards: 3 },
    Budget { items: 1, wildcards: 1 },
];

/// The invalidation that CloudFront accepted.
pub(super) struct Accepted {
    pub(super) created: Created,
    /// The fewer, wider items that it holds, and why they were folded. `None` if it holds the items
    /// as they were given.
    pub(super) folded: Option<(Vec<Item>, Error)>,
}

/// Creates an invalidation of these items.
///
/// If CloudFront has too many invalidations in progress, retries for half of the time that is left.
/// After that, or at once if the request is too large, folds the items further and further.
/// Otherwise a request that can never fit would return to the queue again and again.
pub(super) async fn create(
    client: &Client,
    invalidation: &plan::Invalidation,
    items: &[&Item],
    reference: &str,
    deadline: Instant,
) -> Result<Accepted, Error> {
    let distribution = &invalidation.distribution;
    let left = || deadline.saturating_duration_since(Instant::now());
    let paths = items.iter().map(|item| item.as_str());
    let patience = Patience { limit: left(), while_full: left() / 2 };
    let why = match client.create_invalidation(distribution, paths, reference, patience).await {
        Ok(creation) => return Ok(Accepted { created: Created::of(creation), folded: None }),
        Err(error) if error.is_full() || error.is_too_large() => error,
        Err(error) => return Err(error),
    };
    let mut items: Vec<Item> = items.iter().copied().cloned().collect();
    let mut last = why.clone();
    for budget in BUDGETS {
        let folded: Vec<Item> =
            cover(items.iter().cloned(), budget).items.into_iter().map(|one| one.item).collect();
        if folded == items {
            continue;
        }
        items = folded;
        let reference = invalidation.reference_of(&items);
        let paths = items.iter().map(Item::as_str);
        let patience = Patience { limit: left(), while_full: Duration::ZERO };
        match client.create_invalidation(distribution, paths, &reference, patience).await {
            Ok(creation) => {
                return Ok(Accepted { created: Created::of(creation), folded: Some((items, why)) });
            }
            Err(error) if error.is_full() || error.is_too_large() => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}
