//! Finds the [`Sites`] of a batch: as they are named in the configuration, without
//! asking anybody, or among the account's distributions, as CloudFront describes them.
//!
//! What was found is remembered, but a decision rests on knowledge that is at most [`FRESH`].
//! Listing the distributions is cheap: only configurations that have another `ETag` than before
//! are read again. If listing fails, the last list is used for as long as [`BRIDGED`]. What is
//! not known is marked as unknown, so that messages wait for it and nothing is taken for done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;

use crate::{
    cloudfront::{Client, Error},
    event::Batch,
    site::{Details, Distribution, DistributionId, Forms, OriginPath, QueryStrings, Site, Sites},
    text::joined,
    watch::Watch,
};

/// How old the knowledge of the distributions may be on which a decision rests.
pub const FRESH: Duration = Duration::from_secs(10);

/// How old it may be while the distributions cannot be looked up.
pub const BRIDGED: Duration = Duration::from_mins(15);

/// How many distributions are read at the same time.
const AT_ONCE: usize = 8;

/// Which distributions this deployment is for, and what is known of them beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The distributions. None: those that have the bucket of an event as an origin.
    pub distributions: Vec<Target>,
    /// The directory that those serve which are named.
    pub origin_path: OriginPath,
    /// Under which paths objects are asked for.
    pub forms: Forms,
    /// Names under which an origin hides a bucket, each with the bucket.
    pub aliases: Vec<(String, String)>,
}

/// A distribution as a configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By its id.
    Id(DistributionId),
    /// By its own domain, an alias, or the domain of an origin; to be looked up.
    Name(String),
}

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte);
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) if text.contains('.') && text.len() <= 255 && text.bytes().all(fits) => {
                Ok(Self::Name(text.to_ascii_lowercase()))
            }
            Err(_) => Err(NotATarget(text.chars().take(80).collect())),
        }
    }
}

/// What a person calls distributions other than by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    /// By a domain of theirs, or of one of their origins.
    Domain(String),
    /// By a bucket that is their origin, in lower case.
    Bucket(String),
}

impl FromStr for Name {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        match text.strip_prefix("s3://").map(|bucket| bucket.trim_end_matches('/')) {
            Some(bucket) if !bucket.is_empty() && !bucket.contains('/') => {
                Ok(Self::Bucket(bucket.to_ascii_lowercase()))
            }
            Some(_) => Err(NotATarget(text.chars().take(80).collect())),
            None => text.parse().map(|target| match target {
                Target::Id(id) => Self::Domain(id.to_string()),
                Target::Name(domain) => Self::Domain(domain),
            }),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => f.write_str(domain),
            Self::Bucket(bucket) => write!(f, "s3://{bucket}"),
        }
    }
}

/// What was given as a distribution's id or name cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no distribution: give its id, such as E1A2B3C4D5E6F7, a domain of it or of an origin, such as \
     www.example.com, or, in a manual event, its bucket, such as s3://my-bucket"
)]
pub struct NotATarget(String);

impl Search {
    /// Whether CloudFront has to be asked which distributions those are.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.distributions.is_empty() || self.names().next().is_some()
    }

    /// The sites of the distributions that are given by their ids.
    #[must_use]
    pub fn given(&self) -> Sites {
        let ids = self.distributions.iter().filter_map(|target| match target {
            Target::Id(id) => Some(id.clone()),
            Target::Name(_) => None,
        });
        let mut sites = Sites { named: !self.distributions.is_empty(), ..Sites::default() };
        ids.for_each(|id| self.add(&mut sites, id));
        sites
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.distributions.iter().filter_map(|target| match target {
            Target::Id(_) => None,
            Target::Name(name) => Some(&**name),
        })
    }

    fn add(&self, sites: &mut Sites, id: DistributionId) {
        if sites.of(&id).is_none() {
            sites.list.push(Arc::new(Site::given(id, self.origin_path.clone(), self.forms.clone())));
        }
    }
}

/// The sites for a batch, and what went wrong on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The sites.
    pub sites: Sites,
    /// Why they may not be all, or not as they are now.
    pub failure: Option<Error>,
    /// The age of the list that is used although a newer one could not be had.
    pub bridged: Option<Duration>,
}

/// Finds sites, and remembers them.
#[derive(Debug)]
pub struct Finder {
    search: Search,
    memory: Mutex<Memory>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Memory {
    listing: Option<Listing>,
    /// When listing last failed, and why.
    failed: Option<(Error, SystemTime)>,
    /// Details of distributions, each with the `ETag` of the configuration that they are from.
    details: BTreeMap<DistributionId, (String, Details)>,
}

/// Every distribution of the account, at one time.
#[derive(Debug)]
struct Listing {
    begun: SystemTime,
    distributions: Vec<Distribution>,
    /// Indices of the enabled ones that have a bucket as an origin, by its name in lower case.
    by_bucket: BTreeMap<String, Vec<usize>>,
    /// The account's own cache policies, if they had to be known.
    policies: Option<BTreeMap<String, bool>>,
    /// The site of each distribution that was read since. `None` for one that is gone.
    sites: BTreeMap<usize, Option<Arc<Site>>>,
}

impl Listing {
    fn new(distributions: Vec<Distribution>, aliases: &[(String, String)], begun: SystemTime) -> Self {
        let mut by_bucket: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, distribution) in distributions.iter().enumerate().filter(|(_, one)| one.enabled) {
            for bucket in distribution.buckets(aliases) {
                by_bucket.entry(bucket).or_default().push(index);
            }
        }
        Self { begun, distributions, by_bucket, policies: None, sites: BTreeMap::new() }
    }

    /// Returns the distributions that are called so.
    fn called(&self, name: &Name) -> Vec<DistributionId> {
        let ids = |index: &usize| self.distributions[*index].id.clone();
        match name {
            Name::Domain(domain) => {
                let called = self.distributions.iter().filter(|one| one.is_called(domain));
                called.map(|one| one.id.clone()).collect()
            }
            Name::Bucket(bucket) => self.by_bucket.get(bucket).into_iter().flatten().map(ids).collect(),
        }
    }

    /// Says that no distribution is called so, and what there is.
    fn no_such(&self, name: &str) -> String {
        let known = self.distributions.iter().filter_map(|one| one.names().next()).map(str::to_owned);
        let known = joined(known, ", ");
        let known = if known.is_empty() { "none" } else { &known };
        format!("no distribution is called {name}, and none has an origin there; there are {known}")
    }

    /// Returns the indices of the distributions that serve one of these buckets.
    fn concerned(&self, buckets: &BTreeSet<String>) -> BTreeSet<usize> {
        buckets.iter().filter_map(|bucket| self.by_bucket.get(bucket)).flatten().copied().collect()
    }
}

/// Who is asked, and for how long.
#[derive(Clone, Copy, Debug)]
struct Asking<'a> {
    client: Option<&'a Client>,
    deadline: Instant,
    /// The time by the clock, and by the steady one.
    begun: (SystemTime, Instant),
}

impl<'a> Asking<'a> {
    /// Returns the client, and how long a call may take.
    fn client(&self) -> Result<(&'a Client, Duration), Error> {
        let client = self.client.ok_or_else(Error::not_asked)?;
        Ok((client, self.deadline.saturating_duration_since(Instant::now())))
    }

    /// Waits for several calls, unless they take too long together.
    async fn in_time<T>(&self, calls: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout_at(self.deadline.into(), calls).await.map_err(|_| Error::too_late())
    }

    /// Returns the time. The clock is not read again: tests set it.
    fn now(&self) -> SystemTime {
        self.begun.0 + self.begun.1.elapsed()
    }

    /// Returns how long ago that was. Clocks are set back at times: then it was long ago.
    fn since(&self, then: SystemTime) -> Duration {
        self.now().duration_since(then).unwrap_or(Duration::MAX)
    }

    /// Returns the same with the end of [`FRESH`] as the deadline, counted from now.
    fn fresh(self) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + FRESH), ..self }
    }
}

impl Finder {
    /// Makes a finder of these.
    #[must_use]
    pub fn new(search: Search) -> Self {
        Self { search, memory: Mutex::default() }
    }

    /// Finds the sites that the changes of a batch concern which are looked at, and, where the
    /// deployment names its distributions, all of those. Asks nobody if the batch needs nobody.
    ///
    /// `now` is the time by the clock, since a frozen function's steady one does not go on.
    pub async fn find(
        &self,
        batch: &Batch,
        watch: &Watch,
        client: Option<&Client>,
        deadline: Instant,
        now: SystemTime,
    ) -> Found {
        let asking = Asking { client, deadline, begun: (now, Instant::now()) };
        let names_all = !self.search.distributions.is_empty();
        let mut buckets = BTreeSet::new();
        let mut last = None;
        for change in batch.changes.iter().filter(|change| watch.ignores(change).is_none()) {
            if last != Some(&change.bucket) {
                buckets.insert(change.bucket.to_ascii_lowercase());
                last = Some(&change.bucket);
            }
        }
        let requests = Asked::of(batch, watch, names_all);
        let is_concerned = !buckets.is_empty() || !batch.requests.is_empty();
        let mut memory = self.memory.lock().await;
        let mut found = match names_all {
            true if self.search.asks() && is_concerned => memory.with_names(&self.search, asking).await,
            true => Found { sites: self.search.given(), ..Found::default() },
            false if buckets.is_empty() => Found::default(),
            false => memory.with_buckets(&buckets, &self.search, asking).await,
        };
        if !requests.is_empty() {
            memory.answer(&requests, &self.search, asking, &mut found).await;
        }
        found
    }

    /// Forgets the list of distributions, which has one that is not there.
    pub async fn forget(&self) {
        self.memory.lock().await.listing = None;
    }
}

/// The distributions that requests ask for other than by id.
struct Asked<'a> {
    /// As they write it, each once.
    names: BTreeSet<&'a str>,
    /// The buckets that are watched, if some request names no distribution, and none is given.
    watched: Option<&'a [String]>,
}

impl<'a> Asked<'a> {
    fn of(batch: &'a Batch, watch: &'a Watch, names_all: bool) -> Self {
        let named = batch.requests.iter().filter_map(|request| request.distribution.as_deref());
        let by_id = |name: &&str| name.parse::<DistributionId>().is_ok();
        let names_none = batch.requests.iter().any(|request| request.distribution.is_none());
        let watched = (names_none && !names_all).then_some(&*watch.buckets);
        Self { names: named.filter(|name| !by_id(name)).collect(), watched }
    }

    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.watched.is_none()
    }
}

impl Memory {
    /// Finds the distributions that requests ask for.
    async fn answer(&mut self, asked: &Asked<'_>, search: &Search, asking: Asking<'_>, found: &mut Found) {
        let mut names = Vec::new();
        for name in &asked.names {
            match name.parse::<Name>() {
                Ok(parsed) => names.push((*name, parsed)),
                Err(why) => _ = found.sites.called.insert((*name).to_owned(), Err(why.to_string())),
            }
        }
        if asked.watched.is_some_and(<[String]>::is_empty) {
            let why = "it names no distribution, and neither does INVALIDATOR_DISTRIBUTIONS; with \
                       INVALIDATOR_BUCKETS, it would be for all that serve those";
            found.sites.watched = Some(Err(why.to_owned()));
        }
        let watched = asked.watched.filter(|buckets| !buckets.is_empty());
        if names.is_empty() && watched.is_none() {
            return;
        }
        // What was just found, or could not be, is not asked for again.
        if found.failure.is_none() {
            let is_usable = |listing: &Listing| asking.since(listing.begun) < FRESH;
            let (failure, bridged) = self.list(search, asking.fresh(), is_usable).await;
            (found.failure, found.bridged) = (failure, found.bridged.or(bridged));
        }
        let Some(listing) = &self.listing else { return };
        for (text, name) in names {
            let ids = listing.called(&name);
            let answer = if ids.is_empty() { Err(listing.no_such(&name.to_string())) } else { Ok(ids) };
            found.sites.called.insert(text.to_owned(), answer);
        }
        if let Some(buckets) = watched {
            let buckets: BTreeSet<String> =
                buckets.iter().map(|bucket| bucket.to_ascii_lowercase()).collect();
            let concerned = listing.concerned(&buckets);
            let ids: Vec<_> =
                concerned.iter().map(|index| listing.distributions[*index].id.clone()).collect();
            let none = || "no distribution serves the buckets of INVALIDATOR_BUCKETS".to_owned();
            found.sites.watched = Some(if ids.is_empty() { Err(none()) } else { Ok(ids) });
        }
    }

    async fn with_names(&mut self, search: &Search, asking: Asking<'_>) -> Found {
        let is_usable = |listing: &Listing| asking.since(listing.begun) < FRESH;
        let (failure, bridged) = self.list(search, asking.fresh(), is_usable).await;
        let mut sites = search.given();
        let Some(listing) = &self.listing else {
            sites.unresolved = true;
            return Found { sites, failure, bridged };
        };
        let listed = &listing.distributions;
        let mut missing = Vec::new();
        for name in search.names() {
            let before = missing.len();
            missing.push(name);
            for distribution in listed.iter().filter(|distribution| distribution.is_called(name)) {
                missing.truncate(before);
                search.add(&mut sites, distribution.id.clone());
            }
        }
        sites.unresolved = !missing.is_empty();
        let missing =
            sites.unresolved.then(|| Error::no_such_distribution(listing.no_such(&missing.join(" or "))));
        Found { sites, failure: failure.or(missing), bridged }
    }

    async fn with_buckets(
        &mut self,
        buckets: &BTreeSet<String>,
        search: &Search,
        asking: Asking<'_>,
    ) -> Found {
        // What has to be read takes time, in which the list grows older.
        let is_usable = |listing: &Listing| {
            let is_read = |index: &usize| listing.sites.contains_key(index);
            asking.since(listing.begun) < FRESH && listing.concerned(buckets).iter().all(is_read)
        };
        let asking = asking.fresh();
        let (mut failure, bridged) = self.list(search, asking, is_usable).await;
        let Self { listing, details, .. } = self;
        let mut found = Found { bridged, ..Found::default() };
        found.sites.is_old = bridged.is_some();
        let Some(listing) = listing else {
            found.sites.unknown = buckets.iter().map(|bucket| Box::from(&**bucket)).collect();
            return Found { failure, ..found };
        };
        let concerned = listing.concerned(buckets);
        if let Err(error) = listing.read(&concerned, details, search, asking).await {
            failure.get_or_insert(error);
        }
        let unread = |bucket: &&String| {
            let mut serving = listing.by_bucket.get(*bucket).into_iter().flatten();
            serving.any(|index| !listing.sites.contains_key(index))
        };
        found.sites.unknown = buckets.iter().filter(unread).map(|bucket| Box::from(&**bucket)).collect();
        let sites = concerned.iter().filter_map(|index| listing.sites.get(index)?.clone());
        found.sites.list = sites.collect();
        Found { failure, ..found }
    }

    /// Lists the distributions, unless the last list is usable. Returns why that failed, if it
    /// did, and the age of the list that is used in its place.
    async fn list(
        &mut self,
        search: &Search,
        asking: Asking<'_>,
        is_usable: impl Fn(&Listing) -> bool,
    ) -> (Option<Error>, Option<Duration>) {
        if self.listing.as_ref().is_some_and(is_usable) {
            return (None, None);
        }
        let begun = asking.now();
        let just_failed =
            |(_, at): &&(Error, SystemTime)| asking.since(*at) < FRESH && self.listing.is_some();
        let just_failed = self.failed.as_ref().filter(just_failed).map(|(error, _)| error.clone());
        let error = if let Some(error) = just_failed {
            error
        } else {
            let listed = async {
                let (client, limit) = asking.client()?;
                asking.in_time(client.distributions(limit)).await?
            };
            match listed.await {
                Ok(listed) => {
                    self.details.retain(|id, _| listed.iter().any(|one| one.id == *id));
                    self.listing = Some(Listing::new(listed, &search.aliases, begun));
                    self.failed = None;
                    return (None, None);
                }
                Err(error) => {
                    self.failed = Some((error.clone(), begun));
                    error
                }
            }
        };
        self.listing.take_if(|listing| asking.since(listing.begun) >= BRIDGED);
        let age = self.listing.as_ref().map(|listing| asking.since(listing.begun));
        // One that is not old yet was to be renewed only to read more after it.
        let age = age.filter(|age| *age >= FRESH);
        (Some(error), age)
    }
}

impl Listing {
    /// Reads what the list does not tell of these distributions, as far as that is not known. One
    /// that cannot be read does not keep the others from being read.
    async fn read(
        &mut self,
        concerned: &BTreeSet<usize>,
        details: &mut BTreeMap<DistributionId, (String, Details)>,
        search: &Search,
        asking: Asking<'_>,
    ) -> Result<(), Error> {
        let unread: Vec<usize> =
            concerned.iter().filter(|index| !self.sites.contains_key(index)).copied().collect();
        let mut outcome = Ok(());
        let mut to_ask = Vec::new();
        let mut known: Vec<(usize, Option<Details>)> = Vec::new();
        for index in unread {
            let Distribution { id, etag, .. } = &self.distributions[index];
            match details.get(id).filter(|(of, _)| Some(of) == etag.as_ref()) {
                Some((_, details)) => known.push((index, Some(details.clone()))),
                None => to_ask.push(index),
            }
        }
        if let Ok((client, limit)) = asking.client() {
            let distributions = &self.distributions;
            let ask =
                |index: usize| async move { (index, client.details(&distributions[index].id, limit).await) };
            let mut answers = stream::iter(to_ask).map(ask).buffer_unordered(AT_ONCE);
            // What came in time counts, whatever hangs beside it.
            loop {
                let (index, answer) = match asking.in_time(answers.next()).await {
                    Ok(Some(answer)) => answer,
                    Ok(None) => break,
                    Err(error) => {
                        outcome = outcome.and(Err(error));
                        break;
                    }
                };
                let Distribution { id, etag, .. } = &distributions[index];
                match answer {
                    Ok(answer) => {
                        if let Some(etag) = etag {
                            details.insert(id.clone(), (etag.clone(), answer.clone()));
                        }
                        known.push((index, Some(answer)));
                    }
                    // It was deleted in the meantime.
                    Err(error) if error.is_no_such_distribution() => known.push((index, None)),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
        }
        for (index, details) in known {
            let site = match details {
                Some(details) => match self.site(index, details, search, asking).await {
                    Ok(site) => Some(Arc::new(site)),
                    Err(error) => {
                        outcome = outcome.and(Err(error));
                        continue;
                    }
                },
                None => None,
            };
            self.sites.insert(index, site);
        }
        outcome
    }

    /// Makes the site of a distribution with these details.
    async fn site(
        &mut self,
        index: usize,
        details: Details,
        search: &Search,
        asking: Asking<'_>,
    ) -> Result<Site, Error> {
        let mut distribution = self.distributions[index].clone();
        if let Some(known) = search.forms.query_strings {
            // It is said already, and nobody needs to be asked.
            let behaviors = distribution.behaviors.iter_mut();
            behaviors.for_each(|behavior| behavior.query_strings = QueryStrings::Known(known));
        }
        if distribution.needs_policies() && self.policies.is_none() {
            let (client, limit) = asking.client()?;
            self.policies = Some(asking.in_time(client.cache_policies(limit)).await??);
        }
        distribution.complete(details, self.policies.as_ref().unwrap_or(&BTreeMap::new()));
        Ok(Site::of(&distribution, &search.aliases, search.forms.clone()))
    }
}
