//! Lists invalidations page by page, so that a caller can stop at the oldest one that it needs.

use aws_sdk_cloudfront::types::InvalidationList;

use super::{
    Client, Error, READ_LIMIT, Summary,
    api::{
        ListInvalidations, ListInvalidationsForDistributionTenant,
        ListInvalidationsForDistributionTenantInput, ListInvalidationsInput,
    },
    next_page,
};
use crate::site::DistributionId;

/// A page of invalidations, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentPage {
    /// The invalidations.
    pub invalidations: Vec<Summary>,
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
            let invalidations = list.items.unwrap_or_default().into_iter().map(Summary::from).collect();
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
