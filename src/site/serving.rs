//! Maps the key of an object to the paths under which a distribution serves it.

use std::{borrow::Cow, fmt, sync::Arc};

use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::{
    BucketAlias, Form, Forms, Origin, OriginPath,
    bucket::Buckets,
    pattern::{PathPattern, readings},
};
use crate::{
    order,
    path::{Item, Kind, Spelling},
};

/// The settings by which a distribution serves the objects of its buckets. They are equal for
/// distributions that serve the same objects under the same paths, even if the distributions differ
/// otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Serving {
    pub(super) sources: Vec<Source>,
    /// The behaviors in configuration order, the default one last.
    pub(super) routes: Arc<[Route]>,
    /// The object that viewers get for `/`, as a key below the origin path. Empty if there is none.
    pub(super) default_root_object: Box<[u8]>,
    /// The error pages that CloudFront caches for at least [`LASTING_ERROR`](super::LASTING_ERROR)
    /// seconds under each path that failed, as keys below the origin path.
    pub(super) lasting_error_pages: Vec<Box<[u8]>>,
    pub(super) forms: Forms,
}

/// A directory of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Directory<'a> {
    /// The bucket's name, in lower case.
    pub bucket: &'a str,
    /// The beginning of the keys in the directory. Empty for the whole bucket.
    pub prefix: &'a [u8],
}

/// An origin that is a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) buckets: Buckets,
    pub(super) path: OriginPath,
    /// Whether it is a website endpoint, which takes a `+` literally. `None` if unknown.
    pub(super) is_website: Option<bool>,
}

/// A behavior, reduced to what decides between paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// The pattern that a path must match. `None` for the default behavior, which matches every
    /// path.
    pub(super) pattern: Option<PathPattern>,
    /// The indices of the sources that CloudFront may request a path from.
    pub(super) sources: Vec<usize>,
    pub(super) cache_key: CacheKey,
    /// Whether an edge function may request an object other than the one that the path names.
    pub(super) rewrites: bool,
}

/// The parts of a URL that are in a cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum CacheKey {
    Path,
    PathAndQuery,
}

/// The reason why a distribution does not serve an object.
///
/// The variants are in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unserved {
    /// A bucket that is not an origin.
    #[serde(rename = "unserved")]
    Bucket,
    /// A key outside the origin path of every origin that is the bucket.
    OriginPath,
    /// Behaviors that send every path of the object to another origin.
    Behavior,
}

impl Unserved {
    /// Returns the reason from the later check. If several origins or distributions do not serve an
    /// object, that reason says the most.
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

impl Default for Source {
    /// Returns a source that serves no bucket.
    fn default() -> Self {
        Self { buckets: Buckets::Named(Vec::new()), path: OriginPath::default(), is_website: None }
    }
}

impl Source {
    /// Creates the source of an origin. Returns `None` if the origin is not a bucket.
    pub(super) fn of(origin: &Origin, aliases: &[BucketAlias]) -> Option<Self> {
        let is_website = origin.location().map(|location| location.endpoint.is_website);
        Some(Self { buckets: origin.buckets(aliases)?, path: origin.directory(), is_website })
    }

    /// Returns the path of an object, without the first slash. `None` if the object is outside the
    /// origin path.
    fn path_of<'k>(&self, bucket: &str, key: &'k [u8]) -> Option<Cow<'k, [u8]>> {
        match self.buckets {
            Buckets::InPath => Some(Cow::Owned([bucket.as_bytes(), b"/", key].concat())),
            Buckets::Named(_) | Buckets::Any => self.path.strip(key).map(Cow::Borrowed),
        }
    }

    /// Returns the spellings of a path under which the source serves an object.
    fn spellings(&self, path: &[u8]) -> impl Iterator<Item = Spelling> {
        let serves = |spelling: &Spelling| match spelling {
            Spelling::Escaped => true,
            Spelling::PlusForSpace => self.is_website != Some(true),
            Spelling::PlainPlus => self.is_website != Some(false),
        };
        Spelling::ALL.into_iter().filter(serves).filter(|spelling| spelling.concerns(path))
    }
}

impl Serving {
    /// Returns the directories of buckets outside which the distribution serves no key, sorted and
    /// without overlaps. `None` if it may serve any bucket.
    #[must_use]
    pub fn directories(&self) -> Option<Vec<Directory<'_>>> {
        let mut directories = Vec::new();
        for source in &self.sources {
            let prefix = source.path.prefix();
            directories.extend(source.buckets.names()?.iter().map(|bucket| Directory { bucket, prefix }));
        }
        order::sort(&mut directories, Ord::cmp);
        directories
            .dedup_by(|inner, outer| inner.bucket == outer.bucket && inner.prefix.starts_with(outer.prefix));
        Some(directories)
    }

    /// Returns whether the distribution serves any object of a bucket.
    #[must_use]
    pub fn serves(&self, bucket: &str) -> bool {
        self.sources.iter().any(|source| source.buckets.include(bucket))
    }

    /// Returns the paths under which CloudFront may have cached an object. Each path occurs once.
    /// If several forms lead to the same path, it has the first one.
    ///
    /// # Errors
    ///
    /// Returns the reason if the distribution does not serve the object.
    pub fn paths(&self, bucket: &str, key: &[u8]) -> Result<Vec<(Item, Form)>, Unserved> {
        let mut paths: Vec<(Item, Form)> = Vec::new();
        let mut why = Unserved::Bucket;
        // The sources whose origin path contains the key.
        let mut holders = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            if !source.buckets.include(bucket) {
                continue;
            }
            let Some(object) = source.path_of(bucket, key) else {
                why = why.later(Unserved::OriginPath);
                continue;
            };
            why = Unserved::Behavior;
            holders.push(index);
            let cache_key_of =
                |path: &[u8]| source.spellings(path).filter_map(|one| self.cache_key(path, one, index)).max();
            let own = cache_key_of(&object);
            if own.is_some() && self.lasting_error_pages.iter().any(|page| **page == *object) {
                return Ok(vec![(Item::everything(), Form::ErrorPage)]);
            }
            for (path, form) in self.requested(&object) {
                for spelling in source.spellings(&path) {
                    // AWS does not document whether CloudFront chooses the behavior of the default
                    // root object by `/` or by the object's own path, so try both.
                    let cache_key = self.cache_key(&path, spelling, index);
                    let Some(cache_key) = cache_key.or(own.filter(|_| form == Form::Root)) else { continue };
                    let found = self.item(&path, spelling, cache_key, form);
                    if !paths.iter().any(|(item, _)| *item == found.0) {
                        paths.push(found);
                    }
                }
            }
        }
        if paths.is_empty() && why == Unserved::Behavior {
            paths = self.rewritten(&holders);
        }
        if paths.is_empty() { Err(why) } else { Ok(paths) }
    }

    /// Returns the prefixes of keys outside which the distribution serves no object of a bucket under a
    /// path that begins with `stem`, unless an edge function rewrites the path. There may be more
    /// prefixes than necessary, and shorter ones. `stem` begins with a slash and ends after a whole
    /// character.
    #[must_use]
    pub fn keys_below(&self, bucket: &str, stem: &str) -> Vec<Vec<u8>> {
        // A plus may stand for a space or for itself.
        let certain = stem.split('+').next().unwrap_or_default();
        let path: Vec<u8> = percent_decode_str(certain.strip_prefix('/').unwrap_or(certain)).collect();
        let below = |source: &Source| match source.buckets {
            Buckets::InPath => {
                let own = [bucket.as_bytes(), b"/"].concat();
                match path.strip_prefix(&own[..]) {
                    Some(key) => Some(key.to_vec()),
                    None => own.starts_with(&path).then(Vec::new),
                }
            }
            Buckets::Named(_) | Buckets::Any => {
                source.buckets.include(bucket).then(|| source.path.join(&path))
            }
        };
        self.sources.iter().filter_map(below).collect()
    }

    /// Returns the item for a path. It is a wildcard if query strings are in the cache key, or as
    /// `forms.query_strings` says if that is set.
    fn item(&self, path: &[u8], spelling: Spelling, cache_key: CacheKey, form: Form) -> (Item, Form) {
        let item = Item::spelled(path, spelling);
        let has_query = self.forms.query_strings.unwrap_or(cache_key == CacheKey::PathAndQuery);
        if has_query && item.kind() == Kind::Exact {
            (item.with_any_query(), Form::AnyQuery)
        } else {
            (item, form)
        }
    }

    /// Returns the paths that viewers request to get the object with this path.
    fn requested<'k>(&self, object: &'k [u8]) -> impl Iterator<Item = (Cow<'k, [u8]>, Form)> {
        let is_root = !self.default_root_object.is_empty() && *self.default_root_object == *object;
        let root = is_root.then_some((Cow::Borrowed(&b""[..]), Form::Root));
        [(Cow::Borrowed(object), Form::Object)].into_iter().chain(root).chain(self.forms.of(object))
    }

    /// Returns the cache key of a path that CloudFront may request from a source. `None` if it
    /// requests the path elsewhere. If the readings of the path have different keys, returns the
    /// larger one.
    fn cache_key(&self, path: &[u8], spelling: Spelling, source: usize) -> Option<CacheKey> {
        let at_source = |route: &Route| route.sources.contains(&source).then_some(route.cache_key);
        if let [route @ Route { pattern: None, .. }] = &self.routes[..] {
            return at_source(route);
        }
        readings(path, spelling).iter().filter_map(|reading| at_source(self.route(reading)?)).max()
    }

    /// Returns the behavior for a path: the first one whose pattern matches.
    fn route(&self, path: &[u8]) -> Option<&Route> {
        self.routes.iter().find(|route| route.pattern.as_ref().is_none_or(|pattern| pattern.matches(path)))
    }

    /// Returns the items for an object that only an edge function can reach. For each behavior with
    /// such a function and one of these sources, that is a wildcard for the literal beginning of
    /// its pattern.
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
}
