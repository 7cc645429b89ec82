//! What one distribution serves, and under which paths: [`Site::paths`] answers
//! for a key. Also what this deployment watches at all: [`Watch`].

use std::{fmt, iter, str::FromStr};

use globset::{Candidate, GlobSet};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use thiserror::Error;

use crate::{
    event::{Change, Effect},
    path::{Item, Kind},
};

/// The id of a distribution, such as `E1EXAMPLE`: upper-case letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DistributionId(Box<str>);

/// What was given as a distribution's id cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no distribution id: one looks like E1A2B3C4D5E6F7, upper-case letters and digits")]
pub struct NotADistribution(String);

impl DistributionId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DistributionId {
    type Err = NotADistribution;

    fn from_str(id: &str) -> Result<Self, NotADistribution> {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if !id.is_empty() && id.len() <= 64 && id.bytes().all(fits) {
            Ok(Self(id.into()))
        } else {
            Err(NotADistribution(id.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for DistributionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A distribution, and how it serves the objects of the bucket behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Where the invalidation goes.
    pub distribution: DistributionId,
    /// The directory in the bucket that the distribution serves.
    pub origin_path: OriginPath,
    /// Under which paths an object is asked for.
    pub forms: Forms,
}

impl Site {
    /// The paths under which viewers may have cached the object with this key, each
    /// with the form that it is. None for a key outside the origin path, which the
    /// distribution does not serve.
    #[must_use]
    pub fn paths(&self, key: &[u8]) -> Option<Vec<(Item, Form)>> {
        let served = self.origin_path.strip(key)?;
        let mut paths = vec![(Item::from_key(served), Form::Object)];
        let mut add = |key: &[u8], form| paths.push((Item::from_key(key), form));
        let index = self.forms.index_document.as_bytes();
        if let Some(directory) = served.strip_suffix(index)
            && !index.is_empty()
            && (directory.is_empty() || directory.ends_with(b"/"))
        {
            add(directory, Form::Directory);
            if self.forms.bare_directories
                && let Some(bare) = directory.strip_suffix(b"/")
            {
                add(bare, Form::BareDirectory);
            }
        }
        if self.forms.clean_urls
            && let Some(page) = served.strip_suffix(b".html")
            && !page.is_empty()
            && !page.ends_with(b"/")
        {
            add(page, Form::CleanUrl);
        }
        if self.forms.query_strings {
            for (item, form) in &mut paths {
                if item.kind() == Kind::Exact {
                    *item = item.with_any_query();
                    *form = Form::AnyQuery;
                }
            }
        }
        Some(paths)
    }
}

/// Under which paths an object is asked for, besides its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms {
    /// The document that is served for its directory. Empty: none is.
    pub index_document: String,
    /// Whether the directory is also asked for without its slash.
    pub bare_directories: bool,
    /// Whether `.html` pages are also asked for without their suffix.
    pub clean_urls: bool,
    /// Whether query strings are part of what is cached, so that every path has
    /// variants: each becomes the wildcard `/path*`.
    pub query_strings: bool,
}

/// How a path follows from a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The object's own path.
    Object,
    /// The directory whose index document it is.
    Directory,
    /// That directory without its slash.
    BareDirectory,
    /// The page without `.html`.
    CleanUrl,
    /// One of these with whatever query string follows it.
    AnyQuery,
    /// Not from a key: as a person typed it.
    Typed,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "object",
            Self::Directory => "directory of",
            Self::BareDirectory => "directory without slash of",
            Self::CleanUrl => "page without .html of",
            Self::AnyQuery => "with any query string, of",
            Self::Typed => "typed",
        })
    }
}

/// The directory in the bucket that CloudFront puts before every path when it asks
/// the origin, written as in the distribution's configuration: escapes and all.
/// Empty for the bucket's root, else begins with a slash and ends without one.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesOrigin.html>
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPath {
    /// What the keys below it begin with: decoded, with a slash at the end.
    prefix: Box<[u8]>,
}

/// What was given as an origin path cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no origin path: one begins with \"/\" and does not end with it, such as \"/site\"")]
pub struct NotAnOriginPath(String);

impl OriginPath {
    /// Whether the distribution serves the object with this key.
    #[must_use]
    pub fn serves(&self, key: &[u8]) -> bool {
        self.strip(key).is_some()
    }

    /// What remains of a key below this directory. Whole segments only: `/prod`
    /// does not serve `production/a.css`.
    fn strip<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(&*self.prefix)
    }
}

impl FromStr for OriginPath {
    type Err = NotAnOriginPath;

    fn from_str(path: &str) -> Result<Self, NotAnOriginPath> {
        match path.strip_prefix('/') {
            _ if path.is_empty() => Ok(Self::default()),
            Some(directory) if !path.ends_with('/') => {
                let prefix = percent_decode_str(directory).chain(iter::once(b'/')).collect();
                Ok(Self { prefix })
            }
            _ => Err(NotAnOriginPath(path.to_owned())),
        }
    }
}

/// Which changes are looked at: those of these buckets whose key fits.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The buckets' names. Empty: any.
    pub buckets: Vec<String>,
    /// Globs of which a key must match one. None: every key is in.
    pub include: Option<GlobSet>,
    /// Globs of which a key may match none.
    pub exclude: GlobSet,
}

/// Why a change leads to no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// The event changes no content.
    Event,
    /// The event is unknown to this version.
    UnknownEvent,
    /// The bucket is not one of those configured.
    Bucket,
    /// The key is not among those included, or is excluded.
    Key,
    /// The key lies outside the origin path of every distribution.
    OriginPath,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "changes no content",
            Self::UnknownEvent => "unknown event",
            Self::Bucket => "bucket not in INVALIDATOR_BUCKETS",
            Self::Key => "left out by INVALIDATOR_INCLUDE or INVALIDATOR_EXCLUDE",
            Self::OriginPath => "outside INVALIDATOR_ORIGIN_PATH",
        })
    }
}

impl Watch {
    /// Why this change is not looked at, if it is not.
    #[must_use]
    pub fn ignores(&self, change: &Change) -> Option<Ignored> {
        match change.effect {
            Effect::None => return Some(Ignored::Event),
            Effect::Unknown => return Some(Ignored::UnknownEvent),
            Effect::Content => {}
        }
        if !self.buckets.is_empty() && !self.buckets.iter().any(|bucket| **bucket == *change.bucket) {
            return Some(Ignored::Bucket);
        }
        if self.include.is_none() && self.exclude.is_empty() {
            return None;
        }
        let key = Candidate::from_bytes(change.key.as_bytes());
        let included = self.include.as_ref().is_none_or(|globs| globs.is_match_candidate(&key));
        (!included || self.exclude.is_match_candidate(&key)).then_some(Ignored::Key)
    }
}
