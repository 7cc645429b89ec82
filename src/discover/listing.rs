//! The list of an account's distributions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use futures_util::{StreamExt, stream};

use super::{Search, lookup::Lookup, name::Name};
use crate::{
    cloudfront::Error,
    site::{BucketAlias, Details, Distribution, DistributionId, NoDistribution, QueryStrings, Site},
    text::joined,
};

/// Maximum number of configurations to read at the same time.
const AT_ONCE: usize = 8;

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
    /// The sites of the distributions that have been read, by index. `None` for a distribution that
    /// no longer exists.
    sites: BTreeMap<usize, Option<Arc<Site>>>,
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
        Self { begun, distributions, by_bucket, of_any, policies: None, sites: BTreeMap::new() }
    }

    /// Returns the distributions that a request means by `name`.
    pub(super) fn named(&self, name: &Name) -> Vec<DistributionId> {
        match name {
            Name::Domain(domain) => self.with_domain(domain),
            Name::Bucket(bucket) => self.ids(self.of_bucket(bucket)),
        }
    }

    /// Returns the distributions with a domain: their own, an alias, or an origin's.
    pub(super) fn with_domain(&self, domain: &str) -> Vec<DistributionId> {
        let named = self.distributions.iter().filter(|one| one.is_called(domain));
        named.map(|one| one.id.clone()).collect()
    }

    /// Returns the error for a name that no distribution has.
    pub(super) fn no_such(&self, name: String) -> NoDistribution {
        let known = self.distributions.iter().filter_map(|one| one.names().next()).map(str::to_owned);
        let known = joined(known, ", ");
        NoDistribution::Unknown { name, known: if known.is_empty() { "none".to_owned() } else { known } }
    }

    /// Returns the indices of the distributions that may serve any of these buckets.
    pub(super) fn serving<'b>(&self, buckets: impl IntoIterator<Item = &'b String>) -> BTreeSet<usize> {
        let mut indices = BTreeSet::new();
        for bucket in buckets {
            indices.extend(self.of_bucket(bucket));
        }
        indices
    }

    /// Returns the indices of the distributions that may serve this bucket.
    fn of_bucket(&self, bucket: &str) -> impl Iterator<Item = &usize> {
        self.by_bucket.get(bucket).into_iter().flatten().chain(&self.of_any)
    }

    /// Returns the ids of the distributions with these indices.
    pub(super) fn ids<'i>(&self, indices: impl IntoIterator<Item = &'i usize>) -> Vec<DistributionId> {
        indices.into_iter().map(|index| self.distributions[*index].id.clone()).collect()
    }

    /// Returns whether a distribution's configuration has been read.
    pub(super) fn is_read(&self, index: usize) -> bool {
        self.sites.contains_key(&index)
    }

    /// Returns whether the configuration of any distribution that serves this bucket has not been
    /// read.
    pub(super) fn is_unknown(&self, bucket: &str) -> bool {
        self.of_bucket(bucket).any(|index| !self.is_read(*index))
    }

    /// Returns the site of a distribution. `None` if it no longer exists or has not been read.
    pub(super) fn site(&self, index: usize) -> Option<Arc<Site>> {
        self.sites.get(&index)?.clone()
    }

    /// Reads the configurations of these distributions that are not known yet. If one fails, still
    /// reads the others, and returns the first error.
    pub(super) async fn read(
        &mut self,
        indices: &BTreeSet<usize>,
        known: &mut KnownDetails,
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
            let mut answers = stream::iter(unread).map(get).buffer_unordered(AT_ONCE);
            // One call that hangs must not discard the answers of the others.
            loop {
                let (index, answer) = match lookup.in_time(answers.next()).await {
                    Ok(Some(answer)) => answer,
                    Ok(None) => break,
                    Err(error) => {
                        outcome = outcome.and(Err(error));
                        break;
                    }
                };
                let Distribution { id, etag, .. } = &distributions[index];
                match answer {
                    Ok(details) => {
                        if let Some(etag) = etag {
                            known.insert(id.clone(), (etag.clone(), details.clone()));
                        }
                        read.push((index, Some(details)));
                    }
                    Err(error) if error.is_no_such_distribution() => read.push((index, None)),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
        }
        for (index, details) in read {
            let Some(details) = details else {
                self.sites.insert(index, None);
                continue;
            };
            match self.create_site(index, details, search, lookup).await {
                Ok(site) => _ = self.sites.insert(index, Some(Arc::new(site))),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Creates the site of a distribution with these details. Reads the account's cache policies if
    /// the distribution uses them.
    async fn create_site(
        &mut self,
        index: usize,
        details: Details,
        search: &Search,
        lookup: Lookup<'_>,
    ) -> Result<Site, Error> {
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
        distribution.add_details(details, self.policies.as_ref().unwrap_or(&BTreeMap::new()));
        Ok(Site::of(&distribution, &search.aliases, search.forms.clone()))
    }
}
