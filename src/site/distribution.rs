//! The parts of a distribution's configuration that decide which paths serve which objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU64,
    str::FromStr,
};

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{BucketAlias, Location, OriginPath, bucket::Buckets};

/// The id of a distribution or of a distribution tenant.
///
/// A distribution's consists of upper-case letters and digits, such as `E1EXAMPLE`. A tenant's is
/// `dt_` and letters and digits, such as `dt_2yN4wAFw2eVNfkz9`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DistributionId(Box<str>);

/// The error for text that is not a valid distribution id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a distribution id: one looks like E1A2B3C4D5E6F7, upper-case letters and digits, or like \
     dt_2yN4wAFw2eVNfkz9 for a distribution tenant"
)]
pub struct NotADistribution(String);

/// The beginning of a distribution tenant's id.
const TENANT: &str = "dt_";

impl DistributionId {
    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it is the id of a distribution tenant.
    #[must_use]
    pub fn is_tenant(&self) -> bool {
        self.0.starts_with(TENANT)
    }
}

impl FromStr for DistributionId {
    type Err = NotADistribution;

    fn from_str(id: &str) -> Result<Self, NotADistribution> {
        let (own, fits): (&str, fn(&u8) -> bool) = match id.strip_prefix(TENANT) {
            Some(own) => (own, u8::is_ascii_alphanumeric),
            None => (id, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
        };
        if !own.is_empty() && id.len() <= 64 && own.as_bytes().iter().all(fits) {
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
    "{0:?} is not a distribution: give its id, such as E1A2B3C4D5E6F7, a domain of it or of an origin, such \
     as www.example.com, or, in a manual event, its bucket, such as s3://my-bucket"
)]
pub struct NotADistributionName(String);

impl NotADistributionName {
    /// Creates the error for this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(80).collect())
    }
}

/// The reason why a request concerns no distribution.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoDistribution {
    /// A request that names no distribution, while the configuration names neither distributions
    /// nor buckets.
    #[error(
        "it names no distribution, and neither does INVALIDATOR_DISTRIBUTIONS; name one, or set \
         INVALIDATOR_BUCKETS to mean every distribution that serves those buckets"
    )]
    Unnamed,
    /// An invalid name.
    #[error(transparent)]
    InvalidName(#[from] NotADistributionName),
    /// A name that no distribution has.
    #[error("no distribution or origin is called {name}; known distributions: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names of the account's distributions, or "none".
        known: String,
    },
    /// A request that names no distribution, while no distribution serves the configured buckets.
    #[error("no distribution serves the buckets of INVALIDATOR_BUCKETS")]
    UnservedBuckets,
}

/// A distribution as CloudFront describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// The distribution's id.
    pub id: DistributionId,
    /// The domain name that CloudFront gave it, such as `d111111abcdef8.cloudfront.net`.
    pub domain_name: String,
    /// The alternate domain names.
    pub aliases: Vec<String>,
    /// The status: `Deployed` or `InProgress`.
    pub status: String,
    /// Whether it answers viewers.
    pub enabled: bool,
    /// Whether it is the staging distribution of a continuous deployment.
    pub staging: bool,
    /// Whether viewers reach it only through [tenants](super::Tenant). CloudFront then accepts
    /// invalidations only of the tenants.
    pub multi_tenant: bool,
    /// The origins, in configuration order.
    pub origins: Vec<Origin>,
    /// The groups of origins that replace each other when one fails.
    pub origin_groups: Vec<OriginGroup>,
    /// The behaviors, in configuration order. The first one that matches a path counts. The default
    /// behavior is the last.
    pub behaviors: Vec<Behavior>,
    /// The settings for errors of the origins.
    pub error_pages: Vec<ErrorPage>,
    /// The object that viewers get for `/`: a path without its first slash. Empty if there is none,
    /// or before it is read, because the list of distributions does not include it.
    pub default_root_object: String,
    /// Whether it reads cache tags. `None` before that is read, because the list of distributions
    /// does not include it.
    #[serde(skip)]
    pub has_cache_tags: Option<bool>,
    /// The version of its configuration, from the list of distributions. `None` if the list has
    /// none.
    #[serde(skip)]
    pub etag: Option<String>,
    /// The time of the last change of its configuration, in milliseconds since 1970. `None` if CloudFront
    /// does not say.
    #[serde(skip)]
    pub modified: Option<NonZeroU64>,
}

/// The settings of a distribution that the list of distributions does not include.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// The object that viewers get for `/`: a path without its first slash. Empty if there is none.
    pub default_root_object: String,
    /// Whether the distribution reads cache tags from a header of the origin's answers.
    pub has_cache_tags: bool,
    /// The default values of the parameters that tenants may set, by name.
    pub parameters: Vec<(String, String)>,
}

/// An origin of a distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The id by which behaviors and groups refer to it.
    pub id: String,
    /// The origin's host.
    pub domain_name: String,
    /// The directory on the host that CloudFront serves.
    pub path: String,
}

/// A group of origins. CloudFront sends a request to another one when the first fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OriginGroup {
    /// The id by which behaviors refer to it.
    pub id: String,
    /// The ids of its origins.
    pub members: Vec<String>,
}

/// The settings for paths that match a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Behavior {
    /// The path pattern. `None` for the default behavior, which matches every path.
    pub pattern: Option<String>,
    /// The id of an origin or a group.
    pub target: String,
    /// The use of query strings in the cache key.
    pub query_strings: QueryStrings,
    /// The edge functions that may request an object other than the one that the path names.
    pub edge_functions: Vec<EdgeFunction>,
    /// Whether it runs a Lambda@Edge function, which may change how long an answer is cached.
    #[serde(skip)]
    pub has_lambda: bool,
}

/// A CloudFront function or a Lambda@Edge function that runs before CloudFront sends a request to
/// the origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeFunction {
    /// The event that runs it: `viewer-request` or `origin-request`.
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

/// The use of query strings in a cache key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryStrings {
    /// A known setting: `true` if query strings are in the cache key.
    Known(bool),
    /// The setting of the cache policy with this id.
    OfPolicy(String),
}

/// The settings for an error of the origin: the page that viewers get instead, and its caching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorPage {
    /// The HTTP status of the origin's answer.
    pub code: i32,
    /// The path of the page that viewers get. `None` if they get the error itself.
    pub page: Option<String>,
    /// Minimum number of seconds for which CloudFront caches it under the path that failed. It does
    /// so for longer if the origin's answer has a larger `max-age`.
    pub min_ttl: i64,
}

impl Distribution {
    /// Returns whether `name` is the distribution's id, its own domain, an alias, or the domain of
    /// one of its origins. Ignores case.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        same(self.id.as_str())
            || same(&self.domain_name)
            || self.aliases.iter().any(|alias| same(alias))
            || self.origins.iter().any(|origin| same(&origin.domain_name))
    }

    /// Returns whether a behavior uses one of the account's own cache policies, which still has to
    /// be read.
    #[must_use]
    pub fn needs_policies(&self) -> bool {
        self.behaviors.iter().any(|behavior| matches!(behavior.query_strings, QueryStrings::OfPolicy(_)))
    }

    /// Adds what the list of distributions does not include: the details, and whether query strings
    /// are in the cache key. `policies` says so for each of the account's own cache policies.
    /// Assumes that a missing policy has query strings in the key.
    pub fn add_details(&mut self, details: Details, policies: &BTreeMap<String, bool>) {
        self.default_root_object = details.default_root_object;
        self.has_cache_tags = Some(details.has_cache_tags);
        for behavior in &mut self.behaviors {
            if let QueryStrings::OfPolicy(id) = &behavior.query_strings {
                behavior.query_strings = QueryStrings::Known(policies.get(id).copied().unwrap_or(true));
            }
        }
    }

    /// Returns the buckets that are origins of the distribution, in lower case. An origin refers to
    /// a bucket by its name or by one of these aliases. `None` if it may serve any bucket.
    #[must_use]
    pub fn buckets(&self, aliases: &[BucketAlias]) -> Option<BTreeSet<String>> {
        let mut buckets = BTreeSet::new();
        for origin in &self.origins {
            if let Some(reached) = origin.buckets(aliases) {
                buckets.extend(reached.names()?.iter().cloned());
            }
        }
        Some(buckets)
    }

    /// Returns whether a bucket is an origin of the distribution, by its name or one of these
    /// aliases.
    #[must_use]
    pub fn has_bucket(&self, bucket: &str, aliases: &[BucketAlias]) -> bool {
        self.origins.iter().any(|origin| origin.is_bucket(bucket, aliases))
    }

    /// Returns whether an origin depends on the parameters of tenants.
    #[must_use]
    pub fn has_placeholders(&self) -> bool {
        self.origins.iter().any(Origin::has_placeholder)
    }

    /// Returns the distribution's host names: its aliases, then its domain.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().chain([&self.domain_name]).map(String::as_str)
    }

    /// Returns the indices of the origins that a behavior with this target sends requests to.
    #[must_use]
    pub fn origins_of(&self, target: &str) -> Vec<usize> {
        let group = self.origin_groups.iter().find(|group| group.id == target);
        let asked =
            |id: &str| id == target || group.is_some_and(|group| group.members.iter().any(|one| one == id));
        (0..self.origins.len()).filter(|index| asked(&self.origins[*index].id)).collect()
    }
}

/// The beginning and the end of a parameter's name in an origin's domain or path.
const PLACEHOLDER: (&str, &str) = ("{{", "}}");

impl Origin {
    /// Returns the part of S3 that the origin serves. `None` if the origin is not S3, if only an
    /// alias says that it is, or if the bucket depends on a parameter of tenants.
    #[must_use]
    pub fn location(&self) -> Option<Location<'_>> {
        let location = Location::of(&self.domain_name, &self.path)?;
        location.bucket.as_ref().is_none_or(|name| !name.contains(PLACEHOLDER.0)).then_some(location)
    }

    /// Returns whether the origin may serve a bucket, by the bucket's name or one of these aliases.
    #[must_use]
    pub fn is_bucket(&self, bucket: &str, aliases: &[BucketAlias]) -> bool {
        self.buckets(aliases).is_some_and(|buckets| buckets.include(bucket))
    }

    /// Returns the buckets that may be behind the origin. `None` if it is not a bucket.
    pub(super) fn buckets(&self, aliases: &[BucketAlias]) -> Option<Buckets> {
        let location = self.location();
        let of_tenant = self.domain_name.contains(PLACEHOLDER.0)
            || location.is_none() && Location::of(&self.domain_name, &self.path).is_some();
        if of_tenant {
            return Some(Buckets::Any);
        }
        Buckets::of(location.as_ref(), &self.domain_name, aliases)
    }

    /// Returns the directory that the origin serves.
    #[must_use]
    pub fn directory(&self) -> OriginPath {
        OriginPath::of_configuration(self.location().map_or(&*self.path, |location| location.directory))
    }

    /// Returns whether the domain or the path contains the name of a parameter, as `{{name}}`.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.domain_name.contains(PLACEHOLDER.0) || self.path.contains(PLACEHOLDER.0)
    }

    /// Returns the origin with the values of parameters in place of their names. `value` returns the
    /// value of a parameter. Returns `None` if a value is missing.
    pub(super) fn filled<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Option<Self> {
        let domain_name = filled(&self.domain_name, &value)?;
        Some(Self { id: self.id.clone(), domain_name, path: filled(&self.path, &value)? })
    }
}

/// Returns a text with the values of parameters in place of their names. `None` if a value is
/// missing.
fn filled<'v>(mut text: &str, value: impl Fn(&str) -> Option<&'v str>) -> Option<String> {
    let mut result = String::with_capacity(text.len());
    while let Some((before, rest)) = text.split_once(PLACEHOLDER.0) {
        let (name, behind) = rest.split_once(PLACEHOLDER.1)?;
        result.push_str(before);
        result.push_str(value(name.trim())?);
        text = behind;
    }
    result.push_str(text);
    Some(result)
}

/// Returns whether a cache policy that AWS manages has query strings in its cache key. `None` for
/// any other policy.
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
