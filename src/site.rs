//! Which paths a distribution serves an object under: [`Site::paths`].
//!
//! A [`Site`] is built from this deployment's configuration ([`Site::given`]), or from the
//! distribution's own ([`Site::of`]).

mod bucket;
mod caching;
mod distribution;
mod endpoint;
mod form;
mod object;
mod origin_path;
mod pattern;
#[cfg(test)]
mod samples;
mod serving;
mod tenant;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use percent_encoding::percent_decode_str;

use self::{
    bucket::Buckets,
    pattern::PathPattern,
    serving::{CacheKey, Route, Source},
    tenant::Values,
};
pub use self::{
    bucket::{BucketAlias, BucketName, NotABucketAlias, NotABucketName},
    caching::{Caching, Errors},
    distribution::{
        Behavior, Details, Distribution, DistributionId, EdgeFunction, ErrorPage, NoDistribution,
        NotADistribution, NotADistributionName, Origin, OriginGroup, QueryStrings, managed_policy,
    },
    endpoint::{Endpoint, Location},
    form::{Form, Forms},
    object::Object,
    origin_path::{NotAnOriginPath, OriginPath},
    serving::{Directory, Serving, Unserved},
    tenant::Tenant,
};
use crate::path::Item;

/// Minimum error-caching TTL, in seconds, for which a changed error page is worth a `/*`. Shorter
/// ones expire soon enough by themselves.
pub const LASTING_ERROR: i64 = 60;

/// The known sites that a batch concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites {
    /// The sites, one for each distribution.
    pub list: Vec<Arc<Site>>,
    /// Whether the list comes from `INVALIDATOR_DISTRIBUTIONS`. A request that names no
    /// distribution then means all of them.
    pub named: bool,
    /// Whether a distribution that the configuration names could not be found. If so, a
    /// message that concerns all of them is not reported as done.
    pub unresolved: bool,
    /// The buckets, in lower case, that distributions missing from the list may serve as well, because
    /// the distributions could not be listed.
    pub unknown: BTreeSet<Box<str>>,
    /// The distributions that could not be read, by the buckets, in lower case, that they may serve.
    pub unread: BTreeMap<Box<str>, Vec<DistributionId>>,
    /// The distributions behind the names in requests, except for ids. A name that is missing here
    /// could not be looked up.
    pub by_name: BTreeMap<String, Result<Vec<DistributionId>, NoDistribution>>,
    /// The distributions that serve the watched buckets. `None` if no request needs them or if they
    /// could not be looked up.
    pub of_watched: Option<Result<Vec<DistributionId>, NoDistribution>>,
    /// Whether the list is older than it should be, because CloudFront could not be reached. If
    /// so, a change is not ignored merely because none of these sites serves it.
    pub is_old: bool,
}

impl Sites {
    /// Returns whether a distribution could not be read, or some of its tenants could not.
    #[must_use]
    pub fn is_unread(&self, distribution: &DistributionId) -> bool {
        self.unread.values().flatten().any(|unread| unread == distribution)
    }
}

/// A distribution or a distribution tenant, and how it serves the objects of its buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The distribution or tenant.
    pub distribution: DistributionId,
    /// The distribution whose configuration the tenant uses. `None` for a distribution, or if
    /// unknown.
    pub parent: Option<Arc<DistributionId>>,
    /// The number of enabled tenants of the same distribution that serve the same objects under the
    /// same paths, including this one. 1 for a distribution.
    pub peers: usize,
    /// An alias of the distribution, or else its domain. A domain of the tenant. `None` if unknown.
    pub name: Option<Box<str>>,
    /// The edge functions that may request objects other than those that the paths name.
    pub rewrites: Arc<[Rewrite]>,
    /// Whether the distribution reads cache tags, so that you can invalidate by tag. `None` if
    /// unknown.
    pub has_cache_tags: Option<bool>,
    /// The lifetime of what it caches. `None` if its configuration is unknown.
    pub caching: Option<Caching>,
    serving: Arc<Serving>,
}

/// An edge function of a site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rewrite {
    /// The pattern of the function's behavior. `*` for the default one.
    pub behavior: String,
    /// The function.
    pub function: EdgeFunction,
}

impl Site {
    /// Creates the site of a distribution whose configuration is unknown. It serves the keys below
    /// `origin_path` of every bucket.
    #[must_use]
    pub fn given(distribution: DistributionId, origin_path: OriginPath, forms: Forms) -> Self {
        let source = Source { buckets: Buckets::Any, path: origin_path, is_website: None };
        let route = Route { pattern: None, sources: vec![0], cache_key: CacheKey::Path, rewrites: false };
        let serving = Serving {
            sources: vec![source],
            routes: [route].into(),
            default_root_object: Box::default(),
            lasting_error_pages: Vec::new(),
            forms,
        };
        Self {
            distribution,
            parent: None,
            peers: 1,
            name: None,
            rewrites: [].into(),
            has_cache_tags: None,
            caching: None,
            serving: Arc::new(serving),
        }
    }

    /// Creates the site of another distribution or tenant that serves the same objects.
    #[must_use]
    pub fn with_id(&self, distribution: DistributionId) -> Self {
        Self { distribution, ..self.clone() }
    }

    /// Creates the site of a distribution from its configuration. If it is unknown whether a
    /// behavior's cache key contains query strings, this assumes that it does.
    #[must_use]
    pub fn of(distribution: &Distribution, aliases: &[BucketAlias], forms: Forms) -> Self {
        let (sources, source_of) = Self::sources(distribution, aliases, None);
        let route = |behavior: &Behavior| {
            let origins = distribution.origins_of(&behavior.target).into_iter();
            let has_query = match &behavior.query_strings {
                QueryStrings::Known(known) => *known,
                QueryStrings::OfPolicy(id) => managed_policy(id).unwrap_or(true),
            };
            Route {
                pattern: behavior.pattern.as_deref().map(PathPattern::new),
                sources: origins.filter_map(|origin| source_of[origin]).collect(),
                cache_key: if has_query { CacheKey::PathAndQuery } else { CacheKey::Path },
                rewrites: !behavior.edge_functions.is_empty(),
            }
        };
        let routes = distribution.behaviors.iter().map(route).collect();
        let decoded = |path: &str| -> Box<[u8]> {
            percent_decode_str(path.strip_prefix('/').unwrap_or(path)).collect()
        };
        let lasting = distribution.error_pages.iter().filter(|page| page.min_ttl >= LASTING_ERROR);
        let lasting_error_pages = lasting.filter_map(|error| error.page.as_deref()).map(decoded).collect();
        let rewrites = |behavior: &Behavior| {
            let pattern = behavior.pattern.clone().unwrap_or_else(|| "*".to_owned());
            let functions = behavior.edge_functions.clone().into_iter();
            functions.map(move |function| Rewrite { behavior: pattern.clone(), function })
        };
        let serving = Serving {
            sources,
            routes,
            default_root_object: decoded(&distribution.default_root_object),
            lasting_error_pages,
            forms,
        };
        Self {
            distribution: distribution.id.clone(),
            parent: None,
            peers: 1,
            name: distribution.names().next().map(Box::from),
            rewrites: distribution.behaviors.iter().flat_map(rewrites).collect(),
            has_cache_tags: distribution.has_cache_tags,
            caching: Some(Caching::of(distribution)),
            serving: Arc::new(serving),
        }
    }

    /// Returns the sources of a distribution, and the index of each origin's source. The index is
    /// `None` for an origin that is not a bucket. An origin that depends on a parameter without a
    /// value in `values` has a source that serves no bucket.
    fn sources(
        distribution: &Distribution,
        aliases: &[BucketAlias],
        values: Option<Values<'_>>,
    ) -> (Vec<Source>, Vec<Option<usize>>) {
        let mut sources = Vec::new();
        let mut source_of = Vec::with_capacity(distribution.origins.len());
        for origin in &distribution.origins {
            let source = if origin.has_placeholder() {
                let filled = values.and_then(|values| origin.filled(|name| values.of(name)));
                // CloudFront fills an origin once, so names of parameters in values have no meaning.
                let filled = filled.filter(|origin| !origin.has_placeholder());
                Some(filled.and_then(|origin| Source::of(&origin, aliases)).unwrap_or_default())
            } else {
                Source::of(origin, aliases)
            };
            source_of.push(source.is_some().then_some(sources.len()));
            sources.extend(source);
        }
        (sources, source_of)
    }

    /// Returns how the distribution serves objects.
    #[must_use]
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// Returns the paths of an object: see [`Serving::paths`].
    ///
    /// # Errors
    ///
    /// Returns the reason if the distribution does not serve the object.
    pub fn paths(&self, bucket: &str, key: &[u8]) -> Result<Vec<(Item, Form)>, Unserved> {
        self.serving.paths(bucket, key)
    }
}
