//! A distribution's configuration, as far as it decides what is served as what.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{BucketAlias, buckets_of};

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

/// The error for text that cannot name a distribution.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no distribution: give its id, such as E1A2B3C4D5E6F7, a domain of it or of an origin, such as \
     www.example.com, or, in a manual event, its bucket, such as s3://my-bucket"
)]
pub struct NotADistributionName(String);

impl NotADistributionName {
    /// Creates the error for this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(80).collect())
    }
}

/// Why a request is for no distribution.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoDistribution {
    /// The request names no distribution, and the configuration names neither distributions nor
    /// buckets.
    #[error(
        "it names no distribution, and neither does INVALIDATOR_DISTRIBUTIONS; with INVALIDATOR_BUCKETS, it \
         would be for all that serve those"
    )]
    Unnamed,
    /// The name is not valid.
    #[error(transparent)]
    InvalidName(#[from] NotADistributionName),
    /// No distribution has the name.
    #[error("no distribution is called {name}, and none has an origin there; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names of the account's distributions, or "none".
        known: String,
    },
    /// The request names no distribution, and none serves the configured buckets.
    #[error("no distribution serves the buckets of INVALIDATOR_BUCKETS")]
    UnservedBuckets,
}

/// A distribution as CloudFront describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// Its id.
    pub id: DistributionId,
    /// The name that CloudFront gave it, such as `d111111abcdef8.cloudfront.net`.
    pub domain_name: String,
    /// The names that it has besides.
    pub aliases: Vec<String>,
    /// `Deployed` or `InProgress`.
    pub status: String,
    /// Whether it answers viewers at all.
    pub enabled: bool,
    /// Whether it is the staging half of a continuous deployment.
    pub staging: bool,
    /// Whether viewers reach it only through distribution tenants.
    pub multi_tenant: bool,
    /// Where it gets objects.
    pub origins: Vec<Origin>,
    /// Origins that stand in for each other.
    pub origin_groups: Vec<OriginGroup>,
    /// Which path is served from where: the first that matches counts. The default one
    /// is the last.
    pub behaviors: Vec<Behavior>,
    /// What viewers get instead of an error.
    pub error_pages: Vec<ErrorPage>,
    /// What viewers get for `/`: a path without its first slash. Empty for nothing, and
    /// for what was not read yet: the list of distributions does not tell.
    pub default_root_object: String,
    /// Whether it reads cache tags. `None` before that is read: the list of distributions does not
    /// tell.
    #[serde(skip)]
    pub has_cache_tags: Option<bool>,
    /// The version of its configuration, as the list of distributions has it. `None` where the
    /// list has none.
    #[serde(skip)]
    pub etag: Option<String>,
}

/// What the list of distributions does not tell of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// What viewers get for `/`: a path without its first slash. Empty for nothing.
    pub default_root_object: String,
    /// Whether it reads cache tags from a header of the origin's answers.
    pub has_cache_tags: bool,
}

/// One origin of a distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// What behaviours and groups call it.
    pub id: String,
    /// The host that it is on.
    pub domain_name: String,
    /// The directory there that holds what is served.
    pub path: String,
}

/// Origins of which one is asked when another fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OriginGroup {
    /// What behaviours call it.
    pub id: String,
    /// The ids of its origins.
    pub members: Vec<String>,
}

/// How paths that match a pattern are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Behavior {
    /// Which paths. None: all, the default behaviour.
    pub pattern: Option<String>,
    /// The id of an origin or a group.
    pub target: String,
    /// Whether query strings are part of what is cached.
    pub query_strings: QueryStrings,
    /// The edge functions that may request another object than the path names.
    pub edge_functions: Vec<EdgeFunction>,
}

/// A CloudFront function, or a Lambda@Edge function, that runs before CloudFront sends a request to
/// the origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeFunction {
    /// The event that it runs at: `viewer-request` or `origin-request`.
    pub event: String,
    /// The function's ARN.
    pub arn: String,
}

impl fmt::Display for EdgeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.event, self.arn)
    }
}

impl Serialize for EdgeFunction {
    /// Serializes the event and the ARN as an array.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [&self.event, &self.arn].serialize(serializer)
    }
}

/// Whether query strings are in the cache key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryStrings {
    /// It is known.
    Known(bool),
    /// The cache policy with this id tells.
    OfPolicy(String),
}

/// How an error of the origin is kept, and what viewers get instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorPage {
    /// The HTTP status that the origin answered.
    pub code: i32,
    /// The path of the page that viewers get. `None` for the error itself.
    pub page: Option<String>,
    /// For how many seconds at least it stays cached under the path that failed: longer if the
    /// origin's answer has a larger `max-age`.
    pub min_ttl: i64,
}

impl Distribution {
    /// Whether it is called that: by its id, its own domain, an alias, or the domain of
    /// one of its origins.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        same(self.id.as_str())
            || same(&self.domain_name)
            || self.aliases.iter().any(|alias| same(alias))
            || self.origins.iter().any(|origin| same(&origin.domain_name))
    }

    /// Returns whether cache policies of the account's own have to be known.
    #[must_use]
    pub fn needs_policies(&self) -> bool {
        self.behaviors.iter().any(|behavior| matches!(behavior.query_strings, QueryStrings::OfPolicy(_)))
    }

    /// Adds what the list of distributions does not tell: its details, and, for each of the
    /// account's own cache policies, whether query strings are in the cache key. A policy that is
    /// not there is taken to have them.
    pub fn add_details(&mut self, details: Details, policies: &BTreeMap<String, bool>) {
        self.default_root_object = details.default_root_object;
        self.has_cache_tags = Some(details.has_cache_tags);
        for behavior in &mut self.behaviors {
            if let QueryStrings::OfPolicy(id) = &behavior.query_strings {
                behavior.query_strings = QueryStrings::Known(policies.get(id).copied().unwrap_or(true));
            }
        }
    }

    /// Returns the buckets that are origins of the distribution, by their names or by these
    /// aliases, in lower case.
    #[must_use]
    pub fn buckets(&self, aliases: &[BucketAlias]) -> BTreeSet<String> {
        let mut buckets = BTreeSet::new();
        for origin in &self.origins {
            buckets.extend(buckets_of(&origin.domain_name, aliases));
        }
        buckets
    }

    /// Returns whether a bucket is an origin of the distribution, by its name or one of these
    /// aliases.
    #[must_use]
    pub fn has_bucket(&self, bucket: &str, aliases: &[BucketAlias]) -> bool {
        self.origins.iter().any(|origin| origin.is_bucket(bucket, aliases))
    }

    /// Returns the names of the distribution for people: its aliases, then its domain.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().chain([&self.domain_name]).map(String::as_str)
    }

    /// The indices of the origins that a behaviour with this target asks.
    #[must_use]
    pub fn origins_of(&self, target: &str) -> Vec<usize> {
        let group = self.origin_groups.iter().find(|group| group.id == target);
        let asked =
            |id: &str| id == target || group.is_some_and(|group| group.members.iter().any(|one| one == id));
        (0..self.origins.len()).filter(|index| asked(&self.origins[*index].id)).collect()
    }
}

impl Origin {
    /// Returns whether the origin is a bucket, by the bucket's name or one of these aliases.
    #[must_use]
    pub fn is_bucket(&self, bucket: &str, aliases: &[BucketAlias]) -> bool {
        buckets_of(&self.domain_name, aliases).iter().any(|name| name.eq_ignore_ascii_case(bucket))
    }
}

/// Whether a cache policy of AWS's own has query strings in its key. None for a policy
/// of somebody's own.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html>
#[must_use]
pub fn managed_policy(id: &str) -> Option<bool> {
    match id {
        // CachingOptimized, CachingOptimizedForUncompressedObjects, CachingDisabled,
        // UseOriginCacheControlHeaders.
        "658327ea-f89d-4fab-a63d-7e88639e58f6"
        | "b2884449-e4de-46a7-ac36-70bc7f1ddd6d"
        | "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
        | "83da9c7e-98b4-4e11-a168-04f0df8e2c65" => Some(false),
        // UseOriginCacheControlHeaders-QueryStrings, Amplify, Elemental-MediaPackage.
        "4cc15a8a-d715-48a4-82b8-cc0b614638fe"
        | "2e54312d-136d-493c-8eb9-b001f22f67d2"
        | "08627262-05a9-4f76-9ded-b50ca2e3a84f" => Some(true),
        _ => None,
    }
}
