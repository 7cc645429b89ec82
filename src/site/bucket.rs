//! Bucket names, and the aliases under which origins reach buckets.

use std::str::FromStr;

use thiserror::Error;

use super::Location;

/// A bucket's name, valid under today's rules or those of us-east-1 before March 2018.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketName(String);

/// The error for text that is not a valid bucket name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a bucket name: give the name alone, without s3:// or arn:")]
pub struct NotABucketName(String);

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0
    }
}

impl FromStr for BucketName {
    type Err = NotABucketName;

    fn from_str(name: &str) -> Result<Self, NotABucketName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if (3..=255).contains(&name.len()) && name.bytes().all(fits) {
            Ok(Self(name.to_owned()))
        } else {
            Err(NotABucketName(name.to_owned()))
        }
    }
}

/// A name under which an origin reaches a bucket: an access point's alias, or the host of a proxy.
/// Several buckets may share an alias, such as those behind a multi-region access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketAlias {
    /// The origin's domain, or the part of it that names the bucket in an S3 endpoint.
    pub alias: String,
    /// The bucket's name.
    pub bucket: String,
}

/// The error for text that is not a bucket alias.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotABucketAlias {
    /// Text that does not have the form `alias=bucket`.
    #[error("{0:?} is not a bucket alias: one looks like my-access-point-abc123-s3alias=my-bucket")]
    Form(String),
    /// An invalid bucket name.
    #[error(transparent)]
    Bucket(#[from] NotABucketName),
}

impl FromStr for BucketAlias {
    type Err = NotABucketAlias;

    fn from_str(text: &str) -> Result<Self, NotABucketAlias> {
        let pair = text.split_once('=').map(|(alias, bucket)| (alias.trim(), bucket.trim()));
        let (alias, bucket) = pair
            .filter(|(alias, _)| !alias.is_empty())
            .ok_or_else(|| NotABucketAlias::Form(text.to_owned()))?;
        let bucket: BucketName = bucket.parse()?;
        Ok(Self { alias: alias.to_ascii_lowercase(), bucket: bucket.into() })
    }
}

/// The buckets behind an origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Buckets {
    /// The buckets with these names, in lower case.
    Named(Vec<String>),
    /// Every bucket, each below its own name: viewers request `/bucket/key`.
    InPath,
    /// Every bucket, because the distribution's configuration is unknown.
    Any,
}

impl Buckets {
    /// Returns the buckets behind an origin with this location and domain: the one that the location
    /// names, and those that it or the domain is an alias for. Returns `None` if there are none.
    pub(super) fn of(location: Option<&Location<'_>>, domain: &str, aliases: &[BucketAlias]) -> Option<Self> {
        if location.is_some_and(|location| location.bucket.is_none()) {
            return Some(Self::InPath);
        }
        let own = location.and_then(|location| location.bucket.as_deref());
        let reaches = |alias: &str| {
            alias.eq_ignore_ascii_case(domain) || own.is_some_and(|name| alias.eq_ignore_ascii_case(name))
        };
        let of_aliases = aliases.iter().filter(|one| reaches(&one.alias)).map(|one| &*one.bucket);
        let names: Vec<String> = own.into_iter().chain(of_aliases).map(str::to_ascii_lowercase).collect();
        (!names.is_empty()).then_some(Self::Named(names))
    }

    /// Returns whether they include a bucket.
    pub(super) fn include(&self, bucket: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name.eq_ignore_ascii_case(bucket)),
            Self::InPath | Self::Any => true,
        }
    }

    /// Returns their names. `None` if they are all buckets.
    pub(super) fn names(&self) -> Option<&[String]> {
        match self {
            Self::Named(names) => Some(names),
            Self::InPath | Self::Any => None,
        }
    }
}
