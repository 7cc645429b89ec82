//! The finder's memory: the last list, and the reason why there may be no newer one.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use super::{
    BRIDGED, FRESH, Found, Search,
    listing::{KnownDetails, Listing},
    lookup::Lookup,
    name::Name,
};
use crate::{
    cloudfront::Error,
    event::Batch,
    site::{Distribution, DistributionId, NoDistribution},
    watch::Watch,
};

/// CloudFront's answers from earlier batches.
#[derive(Debug, Default)]
pub(super) struct Memory {
    listing: Option<Listing>,
    /// The last failure to list the distributions, and its time.
    failed: Option<(Error, SystemTime)>,
    details: KnownDetails,
}

/// The distributions that requests need, except for those that they name by id.
pub(super) struct Requested<'a> {
    /// The names as the requests write them.
    names: BTreeSet<&'a str>,
    /// The watched buckets. `None` unless a request names no distribution and the configuration
    /// names none either.
    watched: Option<&'a [String]>,
}

impl<'a> Requested<'a> {
    pub(super) fn of(batch: &'a Batch, watch: &'a Watch, is_named: bool) -> Self {
        let names = batch.requests.iter().filter_map(|request| request.distribution.as_deref());
        let is_id = |name: &&str| name.parse::<DistributionId>().is_ok();
        let has_nameless = batch.requests.iter().any(|request| request.distribution.is_none());
        let watched = (has_nameless && !is_named).then_some(&*watch.buckets);
        let mut requested = Self { names: BTreeSet::new(), watched };
        requested.names.extend(names.filter(|name| !is_id(name)));
        requested
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.watched.is_none()
    }
}

impl Memory {
    /// Forgets the list of distributions.
    pub(super) fn forget(&mut self) {
        self.listing = None;
    }

    /// Finds the distributions that the configuration names.
    pub(super) async fn named(&mut self, search: &Search, lookup: Lookup<'_>) -> Found {
        let (failure, bridged) = self.list(search, lookup.fresh(), |_| true).await;
        let mut sites = search.given();
        let Some(listing) = &self.listing else {
            sites.unresolved = true;
            return Found { sites, failure, bridged };
        };
        let mut missing = Vec::new();
        for domain in search.domains() {
            let ids = listing.with_domain(domain);
            if ids.is_empty() {
                missing.push(domain);
            }
            for id in ids {
                search.add(&mut sites, id);
            }
        }
        sites.unresolved = !missing.is_empty();
        let missing = sites
            .unresolved
            .then(|| Error::no_such_distribution(listing.no_such(missing.join(" or ")).to_string()));
        Found { sites, failure: failure.or(missing), bridged }
    }

    /// Finds the distributions that serve these buckets.
    pub(super) async fn serving(
        &mut self,
        buckets: &BTreeSet<String>,
        search: &Search,
        lookup: Lookup<'_>,
    ) -> Found {
        // Reading configurations takes time, during which the list ages.
        let is_complete =
            |listing: &Listing| listing.serving(buckets).iter().all(|index| listing.is_read(*index));
        let lookup = lookup.fresh();
        let (mut failure, bridged) = self.list(search, lookup, is_complete).await;
        let mut found = Found { bridged, ..Found::default() };
        found.sites.is_old = bridged.is_some();
        let Some(listing) = &mut self.listing else {
            found.sites.unknown.extend(buckets.iter().map(|bucket| Box::from(&**bucket)));
            return Found { failure, ..found };
        };
        let indices = listing.serving(buckets);
        if let Err(error) = listing.read(&indices, &mut self.details, search, lookup).await {
            failure.get_or_insert(error);
        }
        let unknown = buckets.iter().filter(|bucket| listing.is_unknown(bucket));
        found.sites.unknown.extend(unknown.map(|bucket| Box::from(&**bucket)));
        found.sites.list = indices.into_iter().filter_map(|index| listing.site(index)).collect();
        Found { failure, ..found }
    }

    /// Finds the distributions that the requests need, and adds them to `found`.
    pub(super) async fn resolve(
        &mut self,
        requested: &Requested<'_>,
        search: &Search,
        lookup: Lookup<'_>,
        found: &mut Found,
    ) {
        let mut names = Vec::new();
        for text in &requested.names {
            match text.parse::<Name>() {
                Ok(name) => names.push((*text, name)),
                Err(why) => _ = found.sites.by_name.insert((*text).to_owned(), Err(why.into())),
            }
        }
        if requested.watched.is_some_and(<[String]>::is_empty) {
            found.sites.of_watched = Some(Err(NoDistribution::Unnamed));
        }
        let watched = requested.watched.filter(|buckets| !buckets.is_empty());
        if names.is_empty() && watched.is_none() {
            return;
        }
        // After any failure in this batch, use the list as it is.
        if found.failure.is_none() {
            let (failure, bridged) = self.list(search, lookup.fresh(), |_| true).await;
            (found.failure, found.bridged) = (failure, found.bridged.or(bridged));
        }
        let Some(listing) = &self.listing else { return };
        for (text, name) in names {
            let ids = listing.named(&name);
            let answer = if ids.is_empty() { Err(listing.no_such(name.to_string())) } else { Ok(ids) };
            found.sites.by_name.insert(text.to_owned(), answer);
        }
        if let Some(buckets) = watched {
            let buckets: Vec<String> = buckets.iter().map(|bucket| bucket.to_ascii_lowercase()).collect();
            let ids = listing.ids(&listing.serving(&buckets));
            let none = NoDistribution::UnservedBuckets;
            found.sites.of_watched = Some(if ids.is_empty() { Err(none) } else { Ok(ids) });
        }
    }

    /// Lists the distributions, unless the last list is fresh and complete. On failure, returns the
    /// error, and the age of the outdated list that remains in use.
    async fn list(
        &mut self,
        search: &Search,
        lookup: Lookup<'_>,
        is_complete: impl Fn(&Listing) -> bool,
    ) -> (Option<Error>, Option<Duration>) {
        let is_usable = |listing: &Listing| lookup.is_fresh(listing.begun) && is_complete(listing);
        if self.listing.as_ref().is_some_and(is_usable) {
            return (None, None);
        }
        let begun = lookup.now();
        let error = match self.just_failed(lookup) {
            Some(error) => error,
            None => match list(lookup).await {
                Ok(distributions) => {
                    self.details.retain(|id, _| distributions.iter().any(|one| one.id == *id));
                    self.listing = Some(Listing::new(distributions, &search.aliases, begun));
                    self.failed = None;
                    return (None, None);
                }
                Err(error) => {
                    self.failed = Some((error.clone(), begun));
                    error
                }
            },
        };
        self.listing.take_if(|listing| lookup.since(listing.begun) >= BRIDGED);
        let age = self.listing.as_ref().map(|listing| lookup.since(listing.begun));
        // A fresh list is not outdated: it was to be renewed only because it was incomplete.
        (Some(error), age.filter(|age| *age >= FRESH))
    }

    /// Returns the last failure to list the distributions, if it is too recent to try again and
    /// there is an older list to use.
    fn just_failed(&self, lookup: Lookup<'_>) -> Option<Error> {
        let (error, at) = self.failed.as_ref()?;
        (lookup.is_fresh(*at) && self.listing.is_some()).then(|| error.clone())
    }
}

/// Lists the account's distributions.
async fn list(lookup: Lookup<'_>) -> Result<Vec<Distribution>, Error> {
    let (client, limit) = lookup.client()?;
    lookup.in_time(client.distributions(limit)).await?
}
