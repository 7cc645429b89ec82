//! The tenants of multi-tenant distributions, as far as they are known.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream};

use super::{AT_ONCE, TENANTS_FRESH, lookup::Lookup};
use crate::{
    cloudfront::Error,
    order,
    site::{Distribution, DistributionId, Tenant},
};

/// CloudFront's lists of tenants, by distribution.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    known: Vec<Known>,
}

/// The enabled tenants of a distribution.
#[derive(Debug)]
struct Known {
    distribution: DistributionId,
    /// When the call that returned the list began. `None` if the list must not be used again.
    begun: Option<SystemTime>,
    list: Vec<Tenant>,
}

/// The distributions whose tenants are needed: `true` if the parameters of the tenants are needed as
/// well.
pub(super) type Wanted = BTreeMap<DistributionId, bool>;

impl Tenants {
    /// Marks all lists as too old. Keeps them, so that parameters need not be read again.
    pub(super) fn forget(&mut self) {
        self.known.iter_mut().for_each(|known| known.begun = None);
    }

    /// Forgets the tenants of all other distributions.
    pub(super) fn keep(&mut self, distributions: &[Distribution]) {
        self.known.retain(|known| distributions.iter().any(|one| one.id == known.distribution));
    }

    /// Returns the enabled tenants of a distribution. `None` if the list is older than `most`.
    pub(super) fn of(
        &self,
        distribution: &DistributionId,
        most: Duration,
        lookup: Lookup<'_>,
    ) -> Option<&[Tenant]> {
        let known = self.known.iter().find(|known| known.distribution == *distribution)?;
        (lookup.since(known.begun?) < most).then_some(&known.list)
    }

    /// Returns whether the tenants of a distribution are known and fresh, and so are their parameters
    /// if those are needed.
    pub(super) fn has(&self, distribution: &DistributionId, parameters: bool, lookup: Lookup<'_>) -> bool {
        let list = self.of(distribution, TENANTS_FRESH, lookup);
        list.is_some_and(|list| !parameters || list.iter().all(|one| one.parameters.is_some()))
    }

    /// Lists the tenants of these distributions unless the last list is fresh, and reads the
    /// parameters of the tenants that are new or have changed. If a call fails, still makes the
    /// others, and returns the first error.
    pub(super) async fn renew(&mut self, wanted: &Wanted, lookup: Lookup<'_>) -> Result<(), Error> {
        let listed = self.list(wanted, lookup).await;
        listed.and(self.read_parameters(wanted, lookup).await)
    }

    async fn list(&mut self, wanted: &Wanted, lookup: Lookup<'_>) -> Result<(), Error> {
        let (client, limit) = lookup.client()?;
        let outdated = |id: &&DistributionId| self.of(id, TENANTS_FRESH, lookup).is_none();
        let outdated: Vec<&DistributionId> = wanted.keys().filter(outdated).collect();
        let list = |id| async move { ((id, lookup.now()), client.tenants(id, limit).await) };
        let calls = stream::iter(outdated).map(list).buffer_unordered(AT_ONCE);
        lookup
            .each(calls, |(id, begun), answer| {
                let list = match answer {
                    Ok(list) => list,
                    Err(error) if error.is_no_such_distribution() => Vec::new(),
                    Err(error) => return Err(error),
                };
                let at = self.known.iter().position(|known| known.distribution == *id);
                let before = at.map(|at| self.known.swap_remove(at).list).unwrap_or_default();
                let list = with_parameters(list, before);
                self.known.push(Known { distribution: id.clone(), begun: Some(begun), list });
                Ok(())
            })
            .await
    }

    async fn read_parameters(&mut self, wanted: &Wanted, lookup: Lookup<'_>) -> Result<(), Error> {
        let (client, limit) = lookup.client()?;
        let mut outcome = Ok(());
        for (distribution, _) in wanted.iter().filter(|(_, parameters)| **parameters) {
            let known = self.known.iter_mut().find(|known| known.distribution == *distribution);
            let Some(Known { list, .. }) = known else { continue };
            let unread = list.iter().enumerate().filter(|(_, one)| one.parameters.is_none());
            let unread: Vec<(usize, DistributionId)> =
                unread.map(|(index, one)| (index, one.id.clone())).collect();
            let get = |(index, id): (usize, DistributionId)| async move {
                (index, client.tenant(id.as_str(), limit).await)
            };
            let calls = stream::iter(unread).map(get).buffer_unordered(AT_ONCE);
            let read = lookup.each(calls, |index, answer| {
                match answer {
                    Ok(read) => {
                        list[index].parameters = read.parameters;
                        list[index].etag = read.etag.or(list[index].etag.take());
                    }
                    Err(error) if error.is_no_such_distribution() => list[index].enabled = false,
                    Err(error) => return Err(error),
                }
                Ok(())
            });
            outcome = outcome.and(read.await);
            list.retain(|one| one.enabled);
        }
        outcome
    }
}

/// Returns the enabled tenants of a list. They have the parameters that were read before, unless
/// their `ETag` has changed since.
fn with_parameters(mut list: Vec<Tenant>, mut before: Vec<Tenant>) -> Vec<Tenant> {
    order::sort(&mut before, |a, b| a.id.cmp(&b.id));
    list.retain(|one| one.enabled);
    for tenant in &mut list {
        if let Ok(at) = before.binary_search_by(|one| one.id.cmp(&tenant.id))
            && tenant.etag.is_some()
            && before[at].etag == tenant.etag
        {
            tenant.parameters = before[at].parameters.take();
        }
    }
    list.shrink_to_fit();
    list
}
