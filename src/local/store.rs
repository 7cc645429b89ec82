//! Holds the state of the account: its invalidations, the pending faults, the buckets, the cache, the
//! queues, the metrics, and the functions.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use super::{
    Fault, Options,
    clock::Clock,
    edge::Edge,
    functions::Function,
    metrics::Metrics,
    rate::Tokens,
    rules,
    s3::Buckets,
    sqs::Queues,
    wire::{self, InvalidationBatch, Refusal, Summary, TenantsRequest},
};

/// Maximum number of items in one request. CloudFront's limit is not documented, but its quota
/// allows no more to be in progress.
const MOST_ITEMS: usize = 3_000;

/// Number of invalidations, distributions or policies on a page, unless the request wants fewer.
const PAGE: usize = 100;

/// The page of a list that a request wants.
struct Paging<'a> {
    /// The last entry of the previous page.
    marker: &'a str,
    max_items: usize,
}

impl<'a> Paging<'a> {
    fn of(query: &'a str) -> Self {
        let parameter = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
                .map(|(_, value)| value)
        };
        let max_items = parameter("MaxItems").and_then(|most| most.parse().ok()).unwrap_or(PAGE);
        Self { marker: parameter("Marker").unwrap_or_default(), max_items: max_items.clamp(1, PAGE) }
    }
}

/// The subject of an invalidation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Distribution(&'a str),
    /// A tenant of a distribution.
    Tenant(&'a str),
}

impl<'a> Target<'a> {
    pub(super) const fn id(self) -> &'a str {
        match self {
            Self::Distribution(id) | Self::Tenant(id) => id,
        }
    }
}

/// An invalidation that was created, for callers to inspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// CloudFront's id for it.
    pub id: String,
    /// The distribution or the distribution tenant.
    pub distribution: String,
    /// The items that it purges, as sent.
    pub paths: Vec<String>,
    /// The reference that it was created with.
    pub caller_reference: String,
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    batch: InvalidationBatch,
    /// The id of the distribution or tenant.
    distribution: String,
    created: SystemTime,
    completes: Instant,
}

impl Stored {
    /// Returns the answer to CreateInvalidation and GetInvalidation.
    pub(super) fn answer(&self) -> String {
        wire::invalidation(self.summary(), &self.batch)
    }

    fn summary(&self) -> Summary<'_> {
        Summary {
            id: &self.id,
            create_time: humantime::format_rfc3339_millis(self.created).to_string(),
            status: if self.in_progress() { "InProgress" } else { "Completed" },
        }
    }

    fn in_progress(&self) -> bool {
        Instant::now() < self.completes
    }
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) options: Options,
    /// The invalidations of all distributions and tenants, oldest first.
    invalidations: Vec<Stored>,
    /// Indices of the invalidations, by distribution or tenant and caller reference.
    references: BTreeMap<(String, String), usize>,
    pub(super) faults: Vec<(Option<String>, Fault)>,
    pub(super) calls: usize,
    /// The tokens for calls that create invalidations. `None` if their rate has no limit.
    tokens: Option<Tokens>,
    pub(super) throttled: usize,
    /// The faults of calls that only read: the operation, the number of its calls that come before,
    /// and the fault.
    pub(super) read_faults: Vec<(&'static str, usize, Fault)>,
    pub(super) reads: Vec<&'static str>,
    pub(super) clock: Clock,
    pub(super) buckets: Buckets,
    pub(super) edge: Edge,
    pub(super) queues: Queues,
    pub(super) metrics: Metrics,
    pub(super) functions: Vec<Function>,
}

impl Store {
    pub(super) fn new(options: Options) -> Self {
        Self {
            tokens: options.rate.map(Tokens::full),
            throttled: 0,
            edge: Edge::new(options.errors_expire),
            options,
            invalidations: Vec::new(),
            references: BTreeMap::new(),
            faults: Vec::new(),
            calls: 0,
            read_faults: Vec::new(),
            reads: Vec::new(),
            clock: Clock::default(),
            buckets: Buckets::default(),
            queues: Queues::default(),
            metrics: Metrics::default(),
            functions: Vec::new(),
        }
    }

    /// Counts a call that creates an invalidation, and refuses it if there were too many.
    pub(super) fn admit(&mut self) -> Result<(), Refusal> {
        self.calls += 1;
        let speed = self.options.speed;
        if self.tokens.as_mut().is_none_or(|tokens| tokens.take(speed)) {
            return Ok(());
        }
        self.throttled += 1;
        Err(Refusal::new(400, "Throttling", "Rate exceeded"))
    }

    /// Takes the fault that happens to a call that creates an invalidation, if any.
    pub(super) fn next_fault(&mut self, distribution: &str) -> Option<Fault> {
        let meant =
            |(only, _): &(Option<String>, Fault)| only.as_deref().is_none_or(|only| only == distribution);
        let at = self.faults.iter().position(meant)?;
        Some(self.faults.remove(at).1)
    }

    /// Records a call that only reads, and takes the fault that happens to it, if any.
    pub(super) fn next_read_fault(&mut self, operation: &'static str) -> Option<Fault> {
        self.reads.push(operation);
        let at = self.read_faults.iter().position(|(only, ..)| *only == operation)?;
        match &mut self.read_faults[at].1 {
            0 => Some(self.read_faults.remove(at).2),
            before => {
                *before -= 1;
                None
            }
        }
    }

    /// Returns the answer to ListDistributions.
    pub(super) fn distributions(&self, query: &str) -> String {
        let Paging { marker, max_items } = Paging::of(query);
        self.options.account.list(marker, max_items)
    }

    /// Returns the answer to ListDistributionTenants.
    pub(super) fn tenants(&self, request: &TenantsRequest) -> Result<String, Refusal> {
        if let Some(distribution) = &request.association_filter.distribution_id
            && !self.has_distribution(distribution)
        {
            let why = "The specified distribution does not exist.";
            return Err(Refusal::new(404, "EntityNotFound", why));
        }
        Ok(self.options.account.list_tenants(request, PAGE))
    }

    /// Returns the answer to ListCachePolicies.
    pub(super) fn cache_policies(&self, query: &str) -> String {
        let Paging { marker, max_items } = Paging::of(query);
        self.options.account.cache_policies(marker, max_items)
    }

    /// Returns the answer to GetDistribution.
    pub(super) fn distribution(&self, id: &str) -> Result<String, Refusal> {
        let mine =
            self.invalidations.iter().filter(|stored| stored.distribution == id && stored.in_progress());
        self.options.account.distribution(id, mine.count())
    }

    pub(super) const fn created(&self) -> usize {
        self.invalidations.len()
    }

    pub(super) fn recorded(&self) -> Vec<Recorded> {
        let recorded = |stored: &Stored| Recorded {
            id: stored.id.clone(),
            distribution: stored.distribution.clone(),
            paths: stored.batch.paths.items.paths.clone(),
            caller_reference: stored.batch.caller_reference.clone(),
        };
        self.invalidations.iter().map(recorded).collect()
    }

    pub(super) fn create(&mut self, target: Target<'_>, batch: InvalidationBatch) -> Result<Stored, Refusal> {
        self.must_exist(target)?;
        let distribution = target.id();
        // CloudFront was seen to answer so: https://github.com/domits1/Domits/issues/3250.
        if self.options.account.is_tenant_only(distribution) {
            return Err(Refusal::no_such_distribution());
        }
        let items = &batch.paths.items.paths;
        if batch.paths.quantity != items.len() {
            let why = "The value of Quantity and the size of Items don't match.";
            return Err(Refusal::new(400, "InconsistentQuantities", why));
        }
        if items.len() > MOST_ITEMS {
            let why = "Invalidation batch specified is too large.";
            return Err(Refusal::new(413, "BatchTooLarge", why));
        }
        let refused = |item: &String| self.options.refuses.iter().any(|text| item.contains(text));
        if items.is_empty() || items.iter().any(|item| rules::is_invalid(item) || refused(item)) {
            let why = "Your request contains one or more invalid invalidation paths.";
            return Err(Refusal::new(400, "InvalidArgument", why));
        }
        let reference = (distribution.to_owned(), batch.caller_reference.clone());
        if let Some(&index) = self.references.get(&reference) {
            let existing = &self.invalidations[index];
            if existing.batch == batch {
                return Ok(existing.clone());
            }
            let why = "Your request contains a caller reference that was used for a previous \
                       invalidation batch for the same distribution.";
            return Err(Refusal::new(400, "InvalidArgument", why));
        }
        self.must_have_room(distribution, items)?;
        let stored = Stored {
            id: format!("I{:013}", self.invalidations.len() + 1),
            batch,
            distribution: distribution.to_owned(),
            created: self.clock.now(),
            completes: Instant::now() + self.options.completes_after,
        };
        self.edge.purge(distribution, &stored.batch.paths.items.paths);
        self.references.insert(reference, self.invalidations.len());
        self.invalidations.push(stored.clone());
        Ok(stored)
    }

    pub(super) fn get(&self, target: Target<'_>, id: &str) -> Result<Stored, Refusal> {
        self.must_exist(target)?;
        self.invalidations
            .iter()
            .find(|stored| stored.distribution == target.id() && stored.id == id)
            .cloned()
            .ok_or_else(|| {
                Refusal::new(404, "NoSuchInvalidation", "The specified invalidation does not exist.")
            })
    }

    /// Returns a page of the invalidations of a distribution or tenant, newest first. The `Marker` and
    /// `MaxItems` of `query` select the page.
    pub(super) fn list(&self, target: Target<'_>, query: &str) -> Result<String, Refusal> {
        self.must_exist(target)?;
        let Paging { marker, max_items } = Paging::of(query);
        let newest_first: Vec<&Stored> =
            self.invalidations.iter().rev().filter(|stored| stored.distribution == target.id()).collect();
        let start = newest_first.iter().position(|stored| stored.id == marker).map_or(0, |at| at + 1);
        let rest = &newest_first[start..];
        let page = &rest[..rest.len().min(max_items)];
        let summaries = page.iter().map(|stored| stored.summary()).collect();
        let next = page.last().filter(|_| page.len() < rest.len()).map(|last| &*last.id);
        Ok(wire::list(marker, max_items, summaries, next))
    }

    fn must_exist(&self, target: Target<'_>) -> Result<(), Refusal> {
        match target {
            Target::Distribution(id) if self.has_distribution(id) => Ok(()),
            Target::Distribution(_) => Err(Refusal::no_such_distribution()),
            Target::Tenant(id) => self.options.account.tenant(id).map(|_| ()),
        }
    }

    fn has_distribution(&self, id: &str) -> bool {
        let Options { distributions, account, .. } = &self.options;
        distributions.iter().map(String::as_str).chain(account.ids()).any(|known| known == id)
    }

    fn must_have_room(&self, distribution: &str, items: &[String]) -> Result<(), Refusal> {
        let in_progress = self
            .invalidations
            .iter()
            .filter(|stored| stored.distribution == distribution && stored.in_progress())
            .flat_map(|stored| &stored.batch.paths.items.paths);
        let (mut wildcards, mut paths) = (0, 0);
        for item in in_progress.chain(items) {
            if rules::is_wildcard(item) {
                wildcards += 1;
            } else {
                paths += 1;
            }
        }
        if wildcards > self.options.wildcards_in_progress || paths > self.options.paths_in_progress {
            let why = "Processing your request will cause you to exceed the maximum number of \
                       in-progress wildcard invalidations or paths.";
            return Err(Refusal::new(400, "TooManyInvalidationsInProgress", why));
        }
        Ok(())
    }
}
