//! Finds the [`Sites`] of a batch: as they are named in the configuration, without
//! asking anybody, or among the account's distributions, as CloudFront describes them.
//!
//! What was found is kept for a while. It is looked up again when that is over and when
//! a bucket is unknown. Where that fails, what was found before is used; what was never
//! found out is doubtful, so that messages wait for it and nothing is taken for done.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::{
    cloudfront::{Client, Error},
    event::Batch,
    site::{Distribution, DistributionId, Forms, OriginPath, QueryStrings, Site, Sites, Watch},
};

/// How long what was found is looked up at the earliest again, where something is
/// missing in it or the last time failed.
const RETRY_AFTER: Duration = Duration::from_mins(1);

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
    /// How long what was found is good for.
    pub ttl: Duration,
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

/// What was given as a distribution's id or name cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no distribution: give its id, such as E1A2B3C4D5E6F7, or a domain of it or of an origin, such as \
     www.example.com"
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
}

/// Finds sites, and remembers them.
#[derive(Debug)]
pub struct Finder {
    search: Search,
    known: Mutex<Known>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Known {
    /// Every distribution of the account, and when they were listed.
    listed: Option<(Vec<Distribution>, SystemTime)>,
    /// When listing them last failed, and why.
    failed: Option<(Error, SystemTime)>,
    /// The sites that were read in full: since the last listing, or before.
    read: BTreeMap<DistributionId, (Arc<Site>, SystemTime)>,
}

/// Who is asked, and for how long.
#[derive(Clone, Copy, Debug)]
struct Asking<'a> {
    client: Option<&'a Client>,
    deadline: Instant,
    now: SystemTime,
}

impl Asking<'_> {
    /// The client, and how long a call may take.
    fn client(&self) -> Result<(&Client, Duration), Error> {
        let client = self.client.ok_or_else(Error::not_asked)?;
        Ok((client, self.deadline.saturating_duration_since(Instant::now())))
    }

    /// What comes of several calls, unless they take too long together.
    async fn in_time<T>(&self, calls: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout_at(self.deadline.into(), calls).await.map_err(|_| Error::too_late())
    }

    /// How long ago that was. Clocks are set back at times: then it was long ago.
    fn since(&self, then: SystemTime) -> Duration {
        self.now.duration_since(then).unwrap_or(Duration::MAX)
    }
}

impl Finder {
    /// Finds these.
    #[must_use]
    pub fn new(search: Search) -> Self {
        Self { search, known: Mutex::default() }
    }

    /// The sites that the changes of a batch concern which are looked at, and, where the
    /// deployment names its distributions, all of those. Nobody is asked where the batch
    /// needs nobody.
    ///
    /// Time is that of the clock, since a frozen function's own does not go on.
    pub async fn find(
        &self,
        batch: &Batch,
        watch: &Watch,
        client: Option<&Client>,
        deadline: Instant,
        now: SystemTime,
    ) -> Found {
        let buckets: BTreeSet<&str> = batch
            .changes
            .iter()
            .filter(|change| watch.ignores(change).is_none())
            .map(|change| &*change.bucket)
            .collect();
        let asking = Asking { client, deadline, now };
        let mut known = self.known.lock().await;
        if self.search.distributions.is_empty() {
            known.with_buckets(&buckets, &self.search, asking).await
        } else if self.search.asks() && !(buckets.is_empty() && batch.requests.is_empty()) {
            known.with_names(&self.search, asking).await
        } else {
            Found { sites: self.search.given(), failure: None }
        }
    }
}

impl Known {
    async fn with_names(&mut self, search: &Search, asking: Asking<'_>) -> Found {
        let called = |listed: &[Distribution], name: &str| listed.iter().any(|one| one.is_called(name));
        let failure =
            self.list(search, asking, |listed| search.names().all(|name| called(listed, name))).await;
        let listed = self.listed();
        let mut sites = search.given();
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
        let missing = sites.unresolved.then(|| {
            let known: Vec<&str> = listed.iter().filter_map(|one| one.names().next()).take(20).collect();
            Error::no_such_distribution(format!(
                "no distribution is called {}, and none has an origin there; there are {}",
                missing.join(" or "),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            ))
        });
        Found { sites, failure: failure.or(missing) }
    }

    async fn with_buckets(&mut self, buckets: &BTreeSet<&str>, search: &Search, asking: Asking<'_>) -> Found {
        let mut found = Found::default();
        if buckets.is_empty() {
            return found;
        }
        let serves = |distribution: &Distribution, bucket: &str| {
            distribution.enabled && distribution.has_bucket(bucket, &search.aliases)
        };
        let has = |listed: &[Distribution], bucket: &str| listed.iter().any(|one| serves(one, bucket));
        found.failure =
            self.list(search, asking, |listed| buckets.iter().all(|bucket| has(listed, bucket))).await;
        let unlisted = found.failure.is_some();
        let concerned: Vec<Distribution> = self
            .listed()
            .iter()
            .filter(|one| buckets.iter().any(|bucket| serves(one, bucket)))
            .cloned()
            .collect();
        if let Err(failure) = self.read(&concerned, search, asking).await {
            found.failure.get_or_insert(failure);
        }
        let known = |one: &Distribution| self.read.get(&one.id).map(|(site, _)| Arc::clone(site));
        found.sites.list.extend(concerned.iter().filter_map(known));
        let in_doubt = buckets.iter().filter(|bucket| {
            // What nobody is known to serve may be served by one that could not be seen.
            let unseen = unlisted && !has(self.listed(), bucket);
            unseen || concerned.iter().any(|one| known(one).is_none() && serves(one, bucket))
        });
        found.sites.doubtful = in_doubt.map(|bucket| Box::from(*bucket)).collect();
        found
    }

    fn listed(&self) -> &[Distribution] {
        self.listed.as_ref().map_or(&[], |(listed, _)| listed)
    }

    /// Lists the distributions if that is due: never done, too long ago, or, where they
    /// do not `suffice`, some time ago. Answers why that failed, or failed just before.
    async fn list(
        &mut self,
        search: &Search,
        asking: Asking<'_>,
        suffice: impl Fn(&[Distribution]) -> bool,
    ) -> Option<Error> {
        if let Some((listed, at)) = &self.listed {
            let age = asking.since(*at);
            let good_for = if suffice(listed) { search.ttl } else { search.ttl.min(RETRY_AFTER) };
            if age < good_for {
                return None;
            }
            if let Some((failure, at)) = &self.failed
                && asking.since(*at) < RETRY_AFTER
            {
                return Some(failure.clone());
            }
        }
        let listed = async {
            let (client, limit) = asking.client()?;
            asking.in_time(client.distributions(limit)).await?
        };
        match listed.await {
            Ok(listed) => {
                self.listed = Some((listed, asking.now));
                self.failed = None;
                None
            }
            Err(failure) => {
                self.failed = Some((failure.clone(), asking.now));
                Some(failure)
            }
        }
    }

    /// Reads what the list does not tell of these distributions, unless that was done
    /// since they were listed.
    async fn read(
        &mut self,
        concerned: &[Distribution],
        search: &Search,
        asking: Asking<'_>,
    ) -> Result<(), Error> {
        let Some((_, listed_at)) = self.listed else { return Ok(()) };
        let fresh = |id: &DistributionId| self.read.get(id).is_some_and(|(_, at)| *at >= listed_at);
        let stale: Vec<&Distribution> = concerned.iter().filter(|one| !fresh(&one.id)).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let (client, limit) = asking.client()?;
        let mut outcome = Ok(());
        for some in stale.chunks(AT_ONCE) {
            let read = some.iter().map(|distribution| {
                let mut distribution = (*distribution).clone();
                if let Some(known) = search.forms.query_strings {
                    // It is said already, and nobody needs to be asked.
                    let behaviors = distribution.behaviors.iter_mut();
                    behaviors.for_each(|behavior| behavior.query_strings = QueryStrings::Known(known));
                }
                client.complete(distribution, limit)
            });
            for read in asking.in_time(join_all(read)).await? {
                match read {
                    Ok(distribution) => {
                        let site = Site::of(&distribution, &search.aliases, search.forms.clone());
                        self.read.insert(distribution.id, (Arc::new(site), asking.now));
                    }
                    Err(failure) => outcome = outcome.and(Err(failure)),
                }
            }
        }
        outcome
    }
}
