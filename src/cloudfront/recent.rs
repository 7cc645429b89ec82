//! Lists invalidations page by page, so that a caller can stop at the oldest one that it needs.

use std::time::SystemTime;

use aws_sdk_cloudfront::types::{InvalidationList, InvalidationSummary};

use super::{
    COMPLETED, Client, Error, READ_LIMIT,
    api::{
        ListInvalidations, ListInvalidationsForDistributionTenant,
        ListInvalidationsForDistributionTenantInput, ListInvalidationsInput,
    },
    next_page,
};
use crate::site::DistributionId;

/// An invalidation in CloudFront's list, with the time of its creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The id that CloudFront gave it.
    pub id: String,
    /// Whether every edge location has purged the items.
    pub is_completed: bool,
    /// The time of its creation. `None` if CloudFront's answer has no valid one.
    pub created: Option<SystemTime>,
}

/// A page of invalidations, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentPage {
    /// The invalidations.
    pub invalidations: Vec<Recent>,
    /// The marker of the next page. `None` on the last one.
    pub next: Option<String>,
}

impl Client {
    /// Lists a page of the invalidations of a distribution or tenant, newest first. `marker` is the one that the
    /// page before names, and `None` for the first page.
    ///
    /// # Errors
    ///
    /// See [`Client::create_invalidation`].
    pub async fn recent_invalidations(
        &self,
        distribution: &DistributionId,
        marker: Option<String>,
    ) -> Result<RecentPage, Error> {
        let id = distribution.as_str();
        let before = marker.clone();
        let page = |list: Option<InvalidationList>| {
            let list = list.ok_or_else(|| Error::no_answer("list"))?;
            let next = next_page(list.is_truncated, list.next_marker, before.as_ref())?;
            let invalidations = list.items.unwrap_or_default().into_iter().map(Recent::from).collect();
            Ok(RecentPage { invalidations, next })
        };
        if distribution.is_tenant() {
            let of = ListInvalidationsForDistributionTenantInput::builder().id(id);
            let input = of.set_marker(marker).build()?;
            let read = self.read::<ListInvalidationsForDistributionTenant, _>(input, READ_LIMIT, |answer| {
                page(answer.invalidation_list)
            });
            return read.await;
        }
        let input = ListInvalidationsInput::builder().distribution_id(id).set_marker(marker).build()?;
        self.read::<ListInvalidations, _>(input, READ_LIMIT, |answer| page(answer.invalidation_list)).await
    }
}

impl From<InvalidationSummary> for Recent {
    fn from(summary: InvalidationSummary) -> Self {
        Self {
            id: summary.id,
            is_completed: summary.status.eq_ignore_ascii_case(COMPLETED),
            created: summary.create_time.try_into().ok(),
        }
    }
}
