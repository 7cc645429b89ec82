//! Finds the [`Sites`] of a batch: the distributions and tenants that the configuration names by id,
//! or those that CloudFront lists for a bucket, a domain or an alias.
//!
//! [`Finder`] remembers CloudFront's answers. While CloudFront can be reached, it uses a list of
//! distributions for at most [`FRESH`], and a list of tenants for at most [`TENANTS_FRESH`].
//! A new list is cheap, because a distribution's configuration is read again only if its `ETag`
//! changed. If CloudFront is unreachable, the finder uses the last list for up to [`BRIDGED`]. A change
//! that no listed distribution serves then returns to the queue instead of being ignored, and a
//! distribution that is too new for the list is missed.

mod listing;
mod lookup;
mod memory;
mod name;
mod tenants;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::Mutex;

pub use self::name::Target;
use self::{
    lookup::Lookup,
    memory::{Memory, Requested},
};
use crate::{
    cloudfront::{Client, Error},
    event::Batch,
    site::{BucketAlias, DistributionId, Forms, OriginPath, Site, Sites},
    watch::Watch,
};

/// Maximum age of the list of distributions while CloudFront can be reached.
pub const FRESH: Duration = Duration::from_secs(10);

/// Maximum age of the lists of tenants while CloudFront can be reached. An account may have 10,000
/// tenants, so these lists are long.
pub const TENANTS_FRESH: Duration = Duration::from_mins(1);

/// Maximum number of calls that read configurations at the same time.
const AT_ONCE: usize = 8;

/// Maximum age of the list while CloudFront is unreachable.
pub const BRIDGED: Duration = Duration::from_mins(15);

/// The configuration for finding distributions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The distributions. If empty, the distributions that have an event's bucket as an origin.
    pub distributions: Vec<Target>,
    /// The origin path of the named distributions.
    pub origin_path: OriginPath,
    /// The forms of an object's path.
    pub forms: Forms,
    /// The names under which origins reach buckets.
    pub aliases: Vec<BucketAlias>,
}

impl Search {
    /// Returns whether CloudFront has to list the distributions.
    #[must_use]
    pub fn needs_lookup(&self) -> bool {
        self.distributions.is_empty() || self.domains().next().is_some()
    }

    /// Returns the sites of the distributions that the configuration names by id.
    #[must_use]
    pub fn given(&self) -> Sites {
        Sites { list: self.sites_of(self.ids()), named: !self.distributions.is_empty(), ..Sites::default() }
    }

    /// Returns the ids in the configuration, each with its number of peers.
    fn ids(&self) -> BTreeMap<DistributionId, usize> {
        let mut ids = BTreeMap::new();
        ids.extend(self.distributions.iter().filter_map(|target| match target {
            Target::Id(id) => Some((id.clone(), 1)),
            Target::Domain(_) => None,
        }));
        ids
    }

    fn domains(&self) -> impl Iterator<Item = &str> {
        self.distributions.iter().filter_map(|target| match target {
            Target::Id(_) => None,
            Target::Domain(domain) => Some(&**domain),
        })
    }

    /// Returns the sites of these distributions, which serve every bucket as the configuration says.
    fn sites_of(&self, ids: BTreeMap<DistributionId, usize>) -> Vec<Arc<Site>> {
        let mut common = None;
        let site = |(id, peers): (DistributionId, usize)| {
            let given = || Site::given(id.clone(), self.origin_path.clone(), self.forms.clone());
            let mut site = common.get_or_insert_with(given).with_id(id);
            site.peers = peers;
            Arc::new(site)
        };
        ids.into_iter().map(site).collect()
    }
}

/// The sites of a batch, and what went wrong while finding them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The sites.
    pub sites: Sites,
    /// The reason why sites may be missing or outdated. `None` if the lookup succeeded.
    pub failure: Option<Error>,
    /// The age of the old list that is in use because CloudFront is unreachable. `None` if the list
    /// is fresh.
    pub bridged: Option<Duration>,
}

/// Finds sites, and remembers CloudFront's answers from one batch to the next.
#[derive(Debug)]
pub struct Finder {
    search: Search,
    memory: Mutex<Memory>,
}

impl Finder {
    /// Creates a finder that remembers nothing yet.
    #[must_use]
    pub fn new(search: Search) -> Self {
        Self { search, memory: Mutex::default() }
    }

    /// Finds the sites of the watched changes, and the distributions of the requests. If the
    /// configuration names distributions, finds all of those instead. Calls CloudFront only if the
    /// batch needs it.
    ///
    /// `now` is the wall clock's time, because the monotonic clock stops while Lambda freezes the
    /// function.
    pub async fn find(
        &self,
        batch: &Batch,
        watch: &Watch,
        client: Option<&Client>,
        deadline: Instant,
        now: SystemTime,
    ) -> Found {
        let lookup = Lookup { client, deadline, begun: (now, Instant::now()) };
        let is_named = !self.search.distributions.is_empty();
        let buckets = buckets(batch, watch);
        let requested = Requested::of(batch, watch, is_named);
        let is_needed = !buckets.is_empty() || !batch.requests.is_empty();
        let mut memory = self.memory.lock().await;
        let mut found = match is_named {
            true if self.search.needs_lookup() && is_needed => memory.named(&self.search, lookup).await,
            true => Found { sites: self.search.given(), ..Found::default() },
            false if buckets.is_empty() => Found::default(),
            false => memory.serving(&buckets, named(batch).as_ref(), &self.search, lookup).await,
        };
        if !requested.is_empty() {
            memory.resolve(&requested, &self.search, lookup, &mut found).await;
        }
        found
    }

    /// Forgets the list of distributions. Call this when CloudFront no longer finds one of them.
    pub async fn forget(&self) {
        self.memory.lock().await.forget();
    }
}

/// Returns the distributions and tenants that narrowed messages name, if all changes are in such
/// messages.
fn named(batch: &Batch) -> Option<BTreeSet<&str>> {
    if batch.own_changes().next().is_some() {
        return None;
    }
    let mut named = BTreeSet::new();
    let messages = batch.narrowed.iter().flat_map(|part| &part.messages);
    named.extend(messages.flat_map(|message| &message.distributions).map(|id| &**id));
    Some(named)
}

/// Returns the buckets, in lower case, of the watched changes.
fn buckets(batch: &Batch, watch: &Watch) -> BTreeSet<String> {
    let mut buckets = BTreeSet::new();
    let mut last = None;
    for change in batch.changes.iter().filter(|change| watch.ignores(change).is_none()) {
        if last != Some(&change.bucket) {
            buckets.insert(change.bucket.to_ascii_lowercase());
            last = Some(&change.bucket);
        }
    }
    buckets
}
