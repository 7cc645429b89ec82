//! The finder's memory: the last list, and the reason why there may be no newer one.

use std::{
    collections::BTreeSet,
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    BRIDGED, FRESH, Found, Search, TENANTS_FRESH,
    listing::{KnownDetails, Listing},
    lookup::Lookup,
    name::Name,
    tenants::{Tenants, Wanted},
};
use crate::{
    cloudfront::Error,
    event::Batch,
    site::{Distribution, DistributionId, NoDistribution, Site, Tenant},
    watch::Watch,
};

/// CloudFront's answers from earlier batches.
#[derive(Debug, Default)]
pub(super) struct Memory {
    listing: Option<Listing>,
    /// The last failure to list the distributions, and its time.
    failed: Option<(Error, SystemTime)>,
    details: KnownDetails,
    tenants: Tenants,
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
    /// Forgets the lists of distributions and tenants.
    pub(super) fn forget(&mut self) {
        self.listing = None;
        self.tenants.forget();
    }

    /// Finds the distributions that the configuration names.
    pub(super) async fn named(&mut self, search: &Search, lookup: Lookup<'_>) -> Found {
        let listed = self.list(search, lookup.fresh(), &|_| true).await;
        let want = |listing: &Listing, wanted: &mut Wanted| {
            listing.want_tenants(wanted, &called(listing, search.domains()), false);
        };
        let (failure, bridged) = self.list_tenants(search, lookup, listed, &want).await;
        let mut sites = search.given();
        let Some(listing) = &self.listing else {
            sites.unresolved = true;
            return Found { sites, failure, bridged };
        };
        let mut all = search.ids();
        let mut missing = Vec::new();
        for domain in search.domains() {
            match self.called(listing, domain, most(bridged), lookup) {
                Some(ids) if ids.is_empty() => missing.push(domain),
                Some(ids) => {
                    let peers = ids.iter().filter(|id| id.is_tenant()).count().max(1);
                    all.extend(ids.into_iter().map(|id| if id.is_tenant() { (id, peers) } else { (id, 1) }));
                }
                None => sites.unresolved = true,
            }
        }
        sites.list = search.sites_of(all);
        let missing = (!missing.is_empty())
            .then(|| Error::no_such_distribution(listing.no_such(missing.join(" or ")).to_string()));
        sites.unresolved |= missing.is_some();
        Found { sites, failure: failure.or(missing), bridged }
    }

    /// Finds the distributions and tenants that serve these buckets, or only those that `named` names.
    pub(super) async fn serving(
        &mut self,
        buckets: &BTreeSet<String>,
        named: Option<&BTreeSet<&str>>,
        search: &Search,
        lookup: Lookup<'_>,
    ) -> Found {
        let serving = |listing: &Listing| {
            // A tenant does not tell its distribution.
            let is_named = |id: &DistributionId| named.is_none_or(|named| named.contains(id.as_str()));
            listing.serving(buckets, |one| one.multi_tenant || is_named(&one.id))
        };
        // Reading configurations takes time, during which the list ages.
        let is_complete = |listing: &Listing| serving(listing).iter().all(|index| listing.is_read(*index));
        let listed = self.list(search, lookup.fresh(), &is_complete).await;
        let want = |listing: &Listing, wanted: &mut Wanted| {
            listing.want_tenants(wanted, &serving(listing), true);
        };
        let (mut failure, bridged) = self.list_tenants(search, lookup, listed, &want).await;
        let mut found = Found { bridged, ..Found::default() };
        found.sites.is_old = bridged.is_some();
        let Some(listing) = &self.listing else {
            found.sites.unknown.extend(buckets.iter().map(|bucket| Box::from(&**bucket)));
            return Found { failure, ..found };
        };
        let indices = serving(listing);
        if let Err(error) = self.read(&indices, search, lookup, bridged).await {
            failure.get_or_insert(error);
        }
        let Some(listing) = &self.listing else { return Found { failure, ..found } };
        for bucket in buckets {
            let mut unread = listing.unread(bucket);
            unread.retain(|id| indices.iter().any(|index| listing.distribution(*index).id == *id));
            if !unread.is_empty() {
                found.sites.unread.insert(Box::from(&**bucket), unread);
            }
        }
        for index in indices {
            // A distribution's own site has one of the buckets. A tenant's may have others.
            let serves = |site: &&Arc<Site>| {
                site.parent.is_none() || buckets.iter().any(|bucket| site.serving().serves(bucket))
            };
            found.sites.list.extend(listing.sites(index).iter().filter(serves).cloned());
        }
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
        let watched = watched
            .map(|buckets| buckets.iter().map(|bucket| bucket.to_ascii_lowercase()).collect::<Vec<String>>());
        let of_names = names.iter().filter_map(|(_, name)| match name {
            Name::Bucket(bucket) => Some(bucket),
            Name::Domain(_) => None,
        });
        let buckets: Vec<&String> = of_names.chain(watched.iter().flatten()).collect();
        // After any failure in this batch, use the lists as they are.
        if found.failure.is_none() {
            let listed = self.list(search, lookup.fresh(), &|_| true).await;
            let want = |listing: &Listing, wanted: &mut Wanted| {
                let domains = names.iter().filter_map(|(_, name)| match name {
                    Name::Domain(domain) => Some(&**domain),
                    Name::Bucket(_) => None,
                });
                listing.want_tenants(wanted, &called(listing, domains), false);
                listing.want_tenants(wanted, &listing.serving(buckets.iter().copied(), |_| true), true);
            };
            let (failure, bridged) = self.list_tenants(search, lookup, listed, &want).await;
            (found.failure, found.bridged) = (failure, found.bridged.or(bridged));
        }
        let Some(listing) = &self.listing else { return };
        // The parameters and the defaults decide which tenants serve a bucket.
        let indices = listing.serving(buckets.iter().copied(), |one| one.multi_tenant);
        if !indices.is_empty()
            && let Err(error) = self.read(&indices, search, lookup, found.bridged).await
        {
            found.failure.get_or_insert(error);
        }
        let Some(listing) = &self.listing else { return };
        for (text, name) in names {
            let ids = match &name {
                Name::Domain(domain) => self.called(listing, domain, most(found.bridged), lookup),
                Name::Bucket(bucket) => listing.of(bucket),
            };
            if let Some(ids) = ids {
                let answer = if ids.is_empty() { Err(listing.no_such(name.to_string())) } else { Ok(ids) };
                found.sites.by_name.insert(text.to_owned(), answer);
            }
        }
        if let Some(buckets) = watched {
            let mut all = Some(BTreeSet::new());
            for bucket in &buckets {
                all = all.zip(listing.of(bucket)).map(|(mut all, ids)| {
                    all.extend(ids);
                    all
                });
            }
            let none = NoDistribution::UnservedBuckets;
            found.sites.of_watched =
                all.map(|ids| if ids.is_empty() { Err(none) } else { Ok(ids.into_iter().collect()) });
        }
    }

    /// Returns the distributions with a domain, or the tenants of those that have tenants. If there
    /// are none, returns the tenants with this domain or name. Returns `None` if tenants that may
    /// have it are not known.
    fn called(
        &self,
        listing: &Listing,
        domain: &str,
        most: Duration,
        lookup: Lookup<'_>,
    ) -> Option<Vec<DistributionId>> {
        let tenants = |index: usize| self.tenants.of(&listing.distribution(index).id, most, lookup);
        let indices = listing.with_domain(domain);
        let mut ids = Vec::new();
        for &index in &indices {
            let distribution = listing.distribution(index);
            if distribution.multi_tenant {
                ids.extend(tenants(index)?.iter().map(|one| one.id.clone()));
            } else {
                ids.push(distribution.id.clone());
            }
        }
        if indices.is_empty() {
            let mut is_unknown = false;
            for index in listing.with_tenants() {
                let called = |list: &[Tenant]| {
                    ids.extend(list.iter().filter(|one| one.is_called(domain)).map(|one| one.id.clone()));
                };
                is_unknown |= tenants(index).map(called).is_none();
            }
            if ids.is_empty() && is_unknown {
                return None;
            }
        }
        Some(ids)
    }

    /// Reads the configurations of these distributions in the list that are not known yet.
    async fn read(
        &mut self,
        indices: &BTreeSet<usize>,
        search: &Search,
        lookup: Lookup<'_>,
        bridged: Option<Duration>,
    ) -> Result<(), Error> {
        let Some(listing) = &mut self.listing else { return Ok(()) };
        let lookup = if bridged.is_some() { lookup.fresh() } else { lookup.while_fresh(listing.begun) };
        listing.read(indices, &mut self.details, (&self.tenants, most(bridged)), search, lookup).await
    }

    /// Lists the tenants that `want` adds, unless the last list is fresh. `listed` is the result of
    /// [`list`](Self::list). After a failure, does nothing. Returns the same as `list`.
    async fn list_tenants(
        &mut self,
        search: &Search,
        lookup: Lookup<'_>,
        listed: (Option<Error>, Option<Duration>),
        want: &(dyn Fn(&Listing, &mut Wanted) + Sync),
    ) -> (Option<Error>, Option<Duration>) {
        let (None, Some(listing)) = (&listed.0, &mut self.listing) else { return listed };
        let (mut all, mut wanted) = (Wanted::new(), Wanted::new());
        want(listing, &mut all);
        let is_missing = |(id, parameters): &(_, bool)| !self.tenants.has(id, *parameters, lookup);
        wanted.extend(all.into_iter().filter(is_missing));
        if wanted.is_empty() {
            return listed;
        }
        // An account may have 10,000 tenants, and a page of the list has 100.
        let outcome = self.tenants.renew(&wanted, lookup.long()).await;
        for distribution in wanted.keys() {
            listing.forget(distribution);
        }
        // Listing tenants takes time, during which the list of distributions ages.
        let is_young = |listing: &Listing| lookup.since(listing.begun) < FRESH / 2;
        let (failure, bridged) = self.list(search, lookup.fresh(), &is_young).await;
        (failure.or(outcome.err()), bridged)
    }

    /// Lists the distributions, unless the last list is fresh and complete. On failure, returns the
    /// error, and the age of the outdated list that remains in use.
    async fn list(
        &mut self,
        search: &Search,
        lookup: Lookup<'_>,
        is_complete: &(dyn Fn(&Listing) -> bool + Sync),
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
                    let is_listed =
                        |(id, _): &(DistributionId, _)| distributions.iter().any(|one| one.id == *id);
                    let known = mem::take(&mut self.details);
                    self.details.extend(known.into_iter().filter(is_listed));
                    self.tenants.keep(&distributions);
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

/// Returns the indices of the distributions with these domains. For a domain that no distribution
/// has, returns those whose tenants may have it.
fn called<'d>(listing: &Listing, domains: impl Iterator<Item = &'d str>) -> BTreeSet<usize> {
    let mut indices = BTreeSet::new();
    for domain in domains {
        let named = listing.with_domain(domain);
        indices.extend(if named.is_empty() { listing.with_tenants() } else { named });
    }
    indices
}

/// Returns the maximum age of a list of tenants. `bridged` is the age of the old list of
/// distributions that is in use because CloudFront is unreachable.
fn most(bridged: Option<Duration>) -> Duration {
    if bridged.is_some() { BRIDGED } else { TENANTS_FRESH }
}

/// Lists the account's distributions.
async fn list(lookup: Lookup<'_>) -> Result<Vec<Distribution>, Error> {
    let (client, limit) = lookup.client()?;
    lookup.in_time(client.distributions(limit)).await?
}
