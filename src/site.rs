//! What one distribution serves, and under which paths: [`Site::paths`] answers
//! for an object.
//!
//! A site is made of what the configuration of this deployment says of a distribution
//! ([`Site::given`]), or of the distribution's own configuration ([`Site::of`]).

mod distribution;
mod object;
mod origin;
mod pattern;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use serde::Serialize;

pub use self::{
    distribution::{
        Behavior, Details, Distribution, DistributionId, ErrorPage, NotADistribution, Origin, OriginGroup,
        QueryStrings, managed_policy,
    },
    object::Object,
    origin::{Endpoint, NotAnOriginPath, OriginPath, bucket_of},
};
use crate::path::{Item, Kind, Spelling};
use pattern::{PathPattern, readings};

/// For how many seconds an error page may stay cached under the paths that failed before
/// it is worth purging everything: what stays for less heals by itself.
pub const LASTING_ERROR: i64 = 60;

/// The sites of this deployment, as far as they are known for a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites {
    /// The sites, each distribution once.
    pub list: Vec<Arc<Site>>,
    /// Whether they are those that the deployment names, which a person means who names
    /// none.
    pub named: bool,
    /// Whether some that it names could not be found, so that nothing may be taken for
    /// done that concerns all of them.
    pub unresolved: bool,
    /// The buckets, in lower case, that may be served by distributions besides these: by some
    /// that could not be read, or seen.
    pub unknown: BTreeSet<Box<str>>,
    /// What requests name other than by id, as they write it: the distributions that are meant, or
    /// why there are none. A name that is not in it could not be looked up.
    pub called: BTreeMap<String, Result<Vec<DistributionId>, String>>,
    /// The distributions that serve the buckets that are watched, or why there are none. `None` if
    /// no request needs them, or they could not be looked up.
    pub watched: Option<Result<Vec<DistributionId>, String>>,
    /// Whether they are as they were some time ago, since they could not be looked up now. Then
    /// no change may be ignored for what they say.
    pub is_old: bool,
}

impl Sites {
    /// The site of this distribution.
    #[must_use]
    pub fn of(&self, distribution: &DistributionId) -> Option<&Site> {
        self.list.iter().find(|site| site.distribution == *distribution).map(|site| &**site)
    }
}

/// A distribution, and how it serves the objects of the buckets behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the invalidation goes.
    pub distribution: DistributionId,
    /// What people call it, where that is known: an alias, or CloudFront's own name.
    pub name: Option<String>,
    /// Functions at the edge that may make other paths of what is served, each with the
    /// pattern of the behaviour that it belongs to.
    pub edge_functions: Vec<(String, String)>,
    /// Whether viewers reach it only through distribution tenants.
    pub multi_tenant: bool,
    /// Whether it reads cache tags, so that they can be purged. `None` if its configuration is not
    /// known.
    pub has_cache_tags: Option<bool>,
    serving: Serving,
}

/// How a distribution serves the objects of buckets: equal for distributions that serve the
/// same objects under the same paths, whatever else they serve.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serving {
    sources: Vec<Source>,
    /// The default one is the last.
    routes: Vec<Route>,
    /// Empty for none.
    default_root_object: Box<[u8]>,
    /// The pages that stay cached under paths that failed.
    lasting_error_pages: Vec<Box<[u8]>>,
    forms: Forms,
}

/// A bucket behind a distribution.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    /// The bucket's names in lower case. `None` for any bucket.
    buckets: Option<Vec<String>>,
    path: OriginPath,
    /// Whether it is a website endpoint, which takes a `+` as it is. `None` if nobody knows.
    is_website: Option<bool>,
}

impl Source {
    fn is(&self, bucket: &str) -> bool {
        self.buckets.as_ref().is_none_or(|names| names.iter().any(|name| name.eq_ignore_ascii_case(bucket)))
    }

    /// Returns the spellings under which it serves a key.
    fn spellings(&self, key: &[u8]) -> impl Iterator<Item = Spelling> {
        let serves = |spelling: &Spelling| match spelling {
            Spelling::Escaped => true,
            Spelling::PlusForSpace => self.is_website != Some(true),
            Spelling::PlainPlus => self.is_website != Some(false),
        };
        Spelling::ALL.into_iter().filter(serves).filter(|spelling| spelling.concerns(key))
    }
}

/// Which sources paths of a pattern come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Route {
    /// None: every path.
    pattern: Option<PathPattern>,
    /// Indices of the sources.
    sources: Vec<usize>,
    query_strings: bool,
    /// Whether a function at the edge may ask for another object than the path says.
    rewrites: bool,
}

impl Site {
    /// A distribution of which only this is known: it serves every bucket that there are
    /// events of, below `origin_path`.
    #[must_use]
    pub fn given(distribution: DistributionId, origin_path: OriginPath, forms: Forms) -> Self {
        Self {
            distribution,
            name: None,
            edge_functions: Vec::new(),
            multi_tenant: false,
            has_cache_tags: None,
            serving: Serving {
                sources: vec![Source { buckets: None, path: origin_path, is_website: None }],
                routes: vec![Route {
                    pattern: None,
                    sources: vec![0],
                    query_strings: false,
                    rewrites: false,
                }],
                default_root_object: Box::default(),
                lasting_error_pages: Vec::new(),
                forms,
            },
        }
    }

    /// A distribution as its own configuration has it. `aliases` are names under which
    /// an origin may hide a bucket, each with the bucket: those of access points.
    ///
    /// Where it is not known whether query strings are in the cache key, they are taken
    /// to be.
    #[must_use]
    pub fn of(distribution: &Distribution, aliases: &[(String, String)], forms: Forms) -> Self {
        let mut sources = Vec::new();
        // The source of each origin. One that is no bucket has none.
        let mut source_of = Vec::with_capacity(distribution.origins.len());
        for origin in &distribution.origins {
            let buckets = buckets_of(&origin.domain_name, aliases);
            source_of.push((!buckets.is_empty()).then_some(sources.len()));
            if !buckets.is_empty() {
                let path = OriginPath::of_configuration(&origin.path);
                let is_website = Endpoint::of(&origin.domain_name).map(|endpoint| endpoint.is_website);
                sources.push(Source { buckets: Some(buckets), path, is_website });
            }
        }
        let route = |behavior: &Behavior| Route {
            pattern: behavior.pattern.as_deref().map(PathPattern::new),
            sources: distribution
                .origins_of(&behavior.target)
                .into_iter()
                .filter_map(|origin| source_of[origin])
                .collect(),
            query_strings: match &behavior.query_strings {
                QueryStrings::Known(known) => *known,
                QueryStrings::OfPolicy(id) => managed_policy(id).unwrap_or(true),
            },
            rewrites: !behavior.edge_functions.is_empty(),
        };
        let decoded = |path: &str| -> Box<[u8]> {
            percent_decode_str(path.strip_prefix('/').unwrap_or(path)).collect()
        };
        let lasting = distribution.error_pages.iter().filter(|page| page.min_ttl >= LASTING_ERROR);
        let lasting = lasting.filter_map(|error| error.page.as_deref());
        let functions = |behavior: &Behavior| {
            let pattern = behavior.pattern.clone().unwrap_or_else(|| "*".to_owned());
            let named = behavior.edge_functions.clone().into_iter();
            named.map(move |(event, arn)| (pattern.clone(), format!("{event} {arn}")))
        };
        Self {
            distribution: distribution.id.clone(),
            name: distribution.names().next().map(str::to_owned),
            edge_functions: distribution.behaviors.iter().flat_map(functions).collect(),
            multi_tenant: distribution.multi_tenant,
            has_cache_tags: distribution.has_cache_tags,
            serving: Serving {
                routes: distribution.behaviors.iter().map(route).collect(),
                sources,
                default_root_object: decoded(&distribution.default_root_object),
                lasting_error_pages: lasting.map(decoded).collect(),
                forms,
            },
        }
    }

    /// Returns how it serves objects.
    #[must_use]
    pub const fn serving(&self) -> &Serving {
        &self.serving
    }

    /// Returns the paths of an object: see [`Serving::paths`].
    ///
    /// # Errors
    ///
    /// Why the distribution does not serve it.
    pub fn paths(&self, bucket: &str, key: &[u8]) -> Result<Vec<(Item, Form)>, Unserved> {
        self.serving.paths(bucket, key)
    }
}

impl Serving {
    /// Returns the names of the buckets that it serves, in lower case, each once. `None` for any
    /// bucket.
    #[must_use]
    pub fn buckets(&self) -> Option<BTreeSet<&str>> {
        let mut names = BTreeSet::new();
        for source in &self.sources {
            names.extend(source.buckets.as_ref()?.iter().map(String::as_str));
        }
        Some(names)
    }

    /// The paths under which viewers may have cached an object, each with the form that
    /// it is, the same path only once.
    ///
    /// # Errors
    ///
    /// Why the distribution does not serve it.
    pub fn paths(&self, bucket: &str, key: &[u8]) -> Result<Vec<(Item, Form)>, Unserved> {
        let mut paths: Vec<(Item, Form)> = Vec::new();
        let mut why = Unserved::Bucket;
        let mut reached = Vec::new();
        for (index, source) in self.sources.iter().enumerate().filter(|(_, source)| source.is(bucket)) {
            let Some(served) = source.path.strip(key) else {
                why = why.later(Unserved::OriginPath);
                continue;
            };
            reached.push(index);
            let own =
                source.spellings(served).filter_map(|spelling| self.route(served, spelling, index)).max();
            if own.is_some() && self.lasting_error_pages.iter().any(|page| **page == *served) {
                return Ok(vec![(Item::everything(), Form::ErrorPage)]);
            }
            for (viewed, form) in self.viewed(served) {
                for spelling in source.spellings(&viewed) {
                    // Whether the behavior of "/" or that of the object counts is not documented.
                    let routed = self.route(&viewed, spelling, index);
                    let Some(query_strings) = routed.or(own.filter(|_| form == Form::Root)) else {
                        why = why.later(Unserved::Behavior);
                        continue;
                    };
                    let item = Item::spelled(&viewed, spelling);
                    let any_query =
                        self.forms.query_strings.unwrap_or(query_strings) && item.kind() == Kind::Exact;
                    let path = if any_query { (item.with_any_query(), Form::AnyQuery) } else { (item, form) };
                    if !paths.iter().any(|(item, _)| *item == path.0) {
                        paths.push(path);
                    }
                }
            }
        }
        if paths.is_empty() && why == Unserved::Behavior {
            paths = self.rewritten(&reached);
        }
        if paths.is_empty() { Err(why) } else { Ok(paths) }
    }

    /// Returns whether it serves any object of a bucket.
    #[must_use]
    pub fn serves(&self, bucket: &str) -> bool {
        self.sources.iter().any(|source| source.is(bucket))
    }

    /// Returns what functions at the edge may serve objects of these sources as that no path
    /// reaches: all that the patterns of their behaviors begin with.
    fn rewritten(&self, sources: &[usize]) -> Vec<(Item, Form)> {
        let reaches =
            |route: &&Route| route.rewrites && route.sources.iter().any(|one| sources.contains(one));
        let mut paths: Vec<(Item, Form)> = Vec::new();
        for route in self.routes.iter().filter(reaches) {
            let literal = route.pattern.as_ref().map_or(&b""[..], PathPattern::literal_beginning);
            let item = Item::beginning_with(&String::from_utf8_lossy(literal));
            if !paths.iter().any(|(other, _)| *other == item) {
                paths.push((item, Form::EdgeFunction));
            }
        }
        paths
    }

    /// What viewers may ask for to get the object with this path.
    fn viewed<'k>(&self, served: &'k [u8]) -> impl Iterator<Item = (Cow<'k, [u8]>, Form)> {
        let is_root = !self.default_root_object.is_empty() && *self.default_root_object == *served;
        let root = is_root.then_some((Cow::Borrowed(&b""[..]), Form::Root));
        [(Cow::Borrowed(served), Form::Object)].into_iter().chain(root).chain(self.forms.of(served))
    }

    /// Whether some way to read a path finds a behaviour that asks this source; and
    /// whether query strings are in the cache key of one that does.
    fn route(&self, key: &[u8], spelling: Spelling, source: usize) -> Option<bool> {
        // With one behaviour for everything there is nothing to read.
        if let [Route { pattern: None, sources, query_strings, .. }] = &self.routes[..] {
            return sources.contains(&source).then_some(*query_strings);
        }
        let found = |reading: Cow<'_, [u8]>| {
            let matches =
                |route: &&Route| route.pattern.as_ref().is_none_or(|pattern| pattern.matches(&reading));
            let route = self.routes.iter().find(matches)?;
            route.sources.contains(&source).then_some(route.query_strings)
        };
        readings(key, spelling).into_iter().filter_map(found).max()
    }
}

/// Why a distribution does not serve an object.
///
/// The variants are in the order in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unserved {
    /// No origin is the object's bucket.
    #[serde(rename = "unserved")]
    Bucket,
    /// The key is outside of the origin path of every origin that is the bucket.
    OriginPath,
    /// A behavior sends every path of the object to another origin.
    Behavior,
}

impl Unserved {
    /// Returns the reason that was found at the later check. It says the most about an object that
    /// several origins, or several distributions, do not serve.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        self.max(other)
    }
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bucket => "no distribution has this bucket as an origin",
            Self::OriginPath => "outside the origin path",
            Self::Behavior => "no behavior serves its path from this bucket",
        })
    }
}

impl Distribution {
    /// Whether one of its origins is that bucket, by its name or one of these aliases.
    #[must_use]
    pub fn has_bucket(&self, bucket: &str, aliases: &[(String, String)]) -> bool {
        self.origins.iter().any(|origin| origin.is_bucket(bucket, aliases))
    }
}

impl Origin {
    /// Whether it is that bucket, by its name or one of these aliases.
    #[must_use]
    pub fn is_bucket(&self, bucket: &str, aliases: &[(String, String)]) -> bool {
        buckets_of(&self.domain_name, aliases).iter().any(|name| name.eq_ignore_ascii_case(bucket))
    }
}

/// The buckets that are behind a host: the one that it names, or those that it is an
/// alias of.
fn buckets_of(domain: &str, aliases: &[(String, String)]) -> Vec<String> {
    let named = bucket_of(domain);
    let stands_for = |alias: &str| {
        alias.eq_ignore_ascii_case(domain)
            || named.as_deref().is_some_and(|name| alias.eq_ignore_ascii_case(name))
    };
    let behind = aliases.iter().filter(|(alias, _)| stands_for(alias));
    named.iter().cloned().chain(behind.map(|(_, bucket)| bucket.to_ascii_lowercase())).collect()
}

/// Under which paths an object is asked for, besides its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forms {
    /// The document that is served for its directory. Empty: none is.
    pub index_document: String,
    /// Whether the directory is also asked for without its slash.
    pub bare_directories: bool,
    /// Whether `.html` pages are also asked for without their suffix.
    pub clean_urls: bool,
    /// Whether query strings are part of what is cached, so that every path has
    /// variants: each becomes the wildcard `/path*`. None: as the distribution's
    /// configuration has it, where it is known.
    pub query_strings: Option<bool>,
}

impl Forms {
    /// The other paths of an object that is served under this one.
    fn of<'k>(&self, served: &'k [u8]) -> impl Iterator<Item = (Cow<'k, [u8]>, Form)> + use<'k> {
        let index = self.index_document.as_bytes();
        let directory = served
            .strip_suffix(index)
            .filter(|directory| !index.is_empty() && (directory.is_empty() || directory.ends_with(b"/")));
        let bare = directory.filter(|_| self.bare_directories).and_then(|path| path.strip_suffix(b"/"));
        let page = served
            .strip_suffix(b".html")
            .filter(|page| self.clean_urls && !page.is_empty() && !page.ends_with(b"/"));
        let forms = [(directory, Form::Directory), (bare, Form::BareDirectory), (page, Form::CleanUrl)];
        forms.into_iter().filter_map(|(path, form)| Some((Cow::Borrowed(path?), form)))
    }
}

/// How a path follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The object's own path.
    Object,
    /// The root, whose object it is.
    Root,
    /// The directory whose index document it is.
    Directory,
    /// That directory without its slash.
    BareDirectory,
    /// The page without `.html`.
    CleanUrl,
    /// One of these with whatever query string follows it.
    AnyQuery,
    /// Everything, since it is what failed paths show, and nobody can list those.
    ErrorPage,
    /// Everything that a behavior's pattern begins with, since only its function at the edge knows
    /// which paths it serves the object as.
    EdgeFunction,
    /// Everything, since objects of the bucket were deleted that the event does not name.
    WholeBucket,
    /// Not from a key: as a person typed it.
    Typed,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::Root => "default root object:",
            Self::Directory => "directory of",
            Self::BareDirectory => "directory without slash of",
            Self::CleanUrl => "page without .html of",
            Self::AnyQuery => "with any query string, of",
            Self::ErrorPage => "cached wherever an error showed",
            Self::EdgeFunction => "wherever a function at the edge serves",
            Self::WholeBucket => "objects that the event does not name, of",
            Self::Typed => "typed",
        })
    }
}
