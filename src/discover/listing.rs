//! The list of an account's distributions.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream};

use super::{
    AT_ONCE, Search,
    lookup::Lookup,
    tenants::{Tenants, Wanted},
};
use crate::{
    cloudfront::Error,
    site::{BucketAlias, Details, Distribution, DistributionId, NoDistribution, QueryStrings, Site, Tenant},
    text::joined,
};

/// The details of distributions, with the `ETag` of the configuration that they come from.
pub(super) type KnownDetails = BTreeMap<DistributionId, (String, Details)>;

/// All distributions of the account at one moment.
#[derive(Debug)]
pub(super) struct Listing {
    /// When the call that returned the list began.
    pub(super) begun: SystemTime,
    distributions: Vec<Distribution>,
    /// The indices of the enabled distributions, by origin bucket in lower case.
    by_bucket: BTreeMap<String, Vec<usize>>,
    /// The indices of the enabled distributions that may serve any bucket.
    of_any: Vec<usize>,
    /// The account's own cache policies by id: `true` if query strings are in the cache key. `None`
    /// until a distribution needs them.
    policies: Option<BTreeMap<String, bool>>,
    /// The knowledge about each distribution. `None` if it has not been read.
    read: Vec<Option<Read>>,
}

/// A distribution that has been read.
#[derive(Clone, Debug, Default)]
struct Read {
    /// The distribution's site, or those of its tenants. Empty if it no longer exists.
    sites: Vec<Arc<Site>>,
    /// Whether tenants are missing, because they could not be read.
    is_partial: bool,
}

impl Listing {
    pub(super) fn new(distributions: Vec<Distribution>, aliases: &[BucketAlias], begun: SystemTime) -> Self {
        let mut by_bucket: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut of_any = Vec::new();
        for (index, distribution) in distributions.iter().enumerate().filter(|(_, one)| one.enabled) {
            match distribution.buckets(aliases) {
                Some(buckets) => {
                    for bucket in buckets {
                        by_bucket.entry(bucket).or_default().push(index);
                    }
                }
                None => of_any.push(index),
            }
        }
        let read = vec![None; distributions.len()];
        Self { begun, distributions, by_bucket, of_any, policies: None, read }
    }

    /// Returns the indices of the distributions with a domain: their own, an alias, or an origin's.
    pub(super) fn with_domain(&self, domain: &str) -> Vec<usize> {
        let named = self.distributions.iter().enumerate().filter(|(_, one)| one.is_called(domain));
        named.map(|(index, _)| index).collect()
    }

    /// Returns the indices of the enabled distributions that have tenants.
    pub(super) fn with_tenants(&self) -> Vec<usize> {
        let all = self.distributions.iter().enumerate();
        all.filter(|(_, one)| one.enabled && one.multi_tenant).map(|(index, _)| index).collect()
    }

    /// Returns the error for a name that no distribution has.
    pub(super) fn no_such(&self, name: String) -> NoDistribution {
        let known = self.distributions.iter().filter_map(|one| one.names().next()).map(str::to_owned);
        let known = joined(known, ", ");
        NoDistribution::Unknown { name, known: if known.is_empty() { "none".to_owned() } else { known } }
    }

    /// Returns the indices of the distributions that may serve any of these buckets and that are needed.
    pub(super) fn serving<'b>(
        &self,
        buckets: impl IntoIterator<Item = &'b String>,
        is_needed: impl Fn(&Distribution) -> bool,
    ) -> BTreeSet<usize> {
        let mut indices = BTreeSet::new();
        for bucket in buckets {
            let of_bucket = self.of_bucket(bucket);
            indices.extend(of_bucket.filter(|index| is_needed(&self.distributions[**index])));
        }
        indices
    }

    /// Returns the indices of the distributions that may serve this bucket.
    fn of_bucket(&self, bucket: &str) -> impl Iterator<Item = &usize> {
        self.by_bucket.get(bucket).into_iter().flatten().chain(&self.of_any)
    }

    /// Returns the distribution with this index.
    pub(super) fn distribution(&self, index: usize) -> &Distribution {
        &self.distributions[index]
    }

    /// Adds the tenants that are needed for these distributions, as far as they have tenants.
    /// `parameters` says whether it matters which objects the tenants serve.
    pub(super) fn want_tenants<'i>(
        &self,
        wanted: &mut Wanted,
        indices: impl IntoIterator<Item = &'i usize>,
        parameters: bool,
    ) {
        let all = indices.into_iter().map(|index| &self.distributions[*index]);
        for distribution in all.filter(|one| one.multi_tenant) {
            *wanted.entry(distribution.id.clone()).or_default() |=
                parameters && distribution.has_placeholders();
        }
    }

    /// Returns whether a distribution's configuration, and that of its tenants, has been read.
    pub(super) fn is_read(&self, index: usize) -> bool {
        self.read[index].as_ref().is_some_and(|read| !read.is_partial)
    }

    /// Returns the distributions that may serve this bucket and have not been read, or whose tenants
    /// have not.
    pub(super) fn unread(&self, bucket: &str) -> Vec<DistributionId> {
        let unread = self.of_bucket(bucket).filter(|index| !self.is_read(**index));
        unread.map(|index| self.distributions[*index].id.clone()).collect()
    }

    /// Returns the sites of a distribution: its own, or those of its tenants. Empty if it no longer
    /// exists or has not been read.
    pub(super) fn sites(&self, index: usize) -> &[Arc<Site>] {
        self.read[index].as_ref().map_or(&[], |read| &read.sites)
    }

    /// Returns the distributions and tenants that serve a bucket. `None` if tenants that may serve it
    /// have not been read.
    pub(super) fn of(&self, bucket: &str) -> Option<Vec<DistributionId>> {
        let mut ids = Vec::new();
        for &index in self.of_bucket(bucket) {
            let distribution = &self.distributions[index];
            if !distribution.multi_tenant {
                ids.push(distribution.id.clone());
                continue;
            }
            if !self.is_read(index) {
                return None;
            }
            let sites = self.sites(index).iter().filter(|site| site.serving().serves(bucket));
            ids.extend(sites.map(|site| site.distribution.clone()));
        }
        Some(ids)
    }

    /// Forgets the sites of a distribution's tenants.
    pub(super) fn forget(&mut self, distribution: &DistributionId) {
        let is_it = |(one, _): &(&Distribution, _)| one.id == *distribution;
        self.distributions.iter().zip(&mut self.read).filter(is_it).for_each(|(_, read)| *read = None);
    }

    /// Reads the configurations of these distributions that are not known yet. If one fails, still
    /// reads the others, and returns the first error. Uses lists of tenants up to the given age.
    pub(super) async fn read(
        &mut self,
        indices: &BTreeSet<usize>,
        known: &mut KnownDetails,
        tenants: (&Tenants, Duration),
        search: &Search,
        lookup: Lookup<'_>,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        let (mut read, mut unread) = (Vec::new(), Vec::new());
        for index in indices.iter().copied().filter(|index| !self.is_read(*index)) {
            let Distribution { id, etag, .. } = &self.distributions[index];
            match known.get(id).filter(|(of, _)| Some(of) == etag.as_ref()) {
                Some((_, details)) => read.push((index, Some(details.clone()))),
                None => unread.push(index),
            }
        }
        if let Ok((client, limit)) = lookup.client() {
            let distributions = &self.distributions;
            let get =
                |index: usize| async move { (index, client.details(&distributions[index].id, limit).await) };
            let calls = stream::iter(unread).map(get).buffer_unordered(AT_ONCE);
            let taken = lookup.each(calls, |index, answer| {
                let Distribution { id, etag, .. } = &distributions[index];
                match answer {
                    Ok(details) => {
                        if let Some(etag) = etag {
                            known.insert(id.clone(), (etag.clone(), details.clone()));
                        }
                        read.push((index, Some(details)));
                    }
                    Err(error) if error.is_no_such_distribution() => read.push((index, None)),
                    Err(error) => return Err(error),
                }
                Ok(())
            });
            outcome = taken.await;
        }
        for (index, details) in read {
            let Some(details) = details else {
                self.read[index] = Some(Read::default());
                continue;
            };
            let of_distribution = tenants.0.of(&self.distributions[index].id, tenants.1, lookup);
            match self.create_sites(index, details, of_distribution, search, lookup).await {
                Ok(read) => self.read[index] = Some(read),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Creates the site of a distribution with these details, or those of its tenants. Reads the
    /// account's cache policies if the distribution uses them.
    async fn create_sites(
        &mut self,
        index: usize,
        mut details: Details,
        tenants: Option<&[Tenant]>,
        search: &Search,
        lookup: Lookup<'_>,
    ) -> Result<Read, Error> {
        let mut distribution = self.distributions[index].clone();
        if let Some(known) = search.forms.query_strings {
            // The function's own setting overrides the policies, so there is no need to read them.
            let behaviors = distribution.behaviors.iter_mut();
            behaviors.for_each(|behavior| behavior.query_strings = QueryStrings::Known(known));
        }
        if distribution.needs_policies() && self.policies.is_none() {
            let (client, limit) = lookup.client()?;
            self.policies = Some(lookup.in_time(client.cache_policies(limit)).await??);
        }
        let defaults = mem::take(&mut details.parameters);
        distribution.add_details(details, self.policies.as_ref().unwrap_or(&BTreeMap::new()));
        let (aliases, forms) = (&search.aliases, search.forms.clone());
        if !distribution.multi_tenant {
            let site = Site::of(&distribution, aliases, forms);
            return Ok(Read { sites: vec![Arc::new(site)], is_partial: false });
        }
        let Some(tenants) = tenants else { return Ok(Read { sites: Vec::new(), is_partial: true }) };
        let sites = Site::of_tenants(&distribution, &defaults, tenants, aliases, forms);
        let is_partial = sites.len() < tenants.len();
        Ok(Read { sites, is_partial })
    }
}
