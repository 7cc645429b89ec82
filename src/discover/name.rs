//! The names by which configurations and requests refer to distributions.

use std::{fmt, str::FromStr};

use crate::site::{DistributionId, NotADistributionName};

/// A distribution as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The id of the distribution or tenant.
    Id(DistributionId),
    /// A domain: the distribution's own, an alias, an origin's, or a tenant's. Finding the
    /// distribution takes CloudFront's list of distributions.
    Domain(String),
}

impl FromStr for Target {
    type Err = NotADistributionName;

    fn from_str(text: &str) -> Result<Self, NotADistributionName> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_*".contains(&byte);
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) if text.contains('.') && text.len() <= 255 && text.bytes().all(fits) => {
                Ok(Self::Domain(text.to_ascii_lowercase()))
            }
            Err(_) => Err(NotADistributionName::new(text)),
        }
    }
}

/// A name in a request. It may refer to several distributions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The id of a distribution or tenant, or a domain of it or of an origin.
    Domain(String),
    /// The name of an origin bucket, in lower case.
    Bucket(String),
}

impl FromStr for Name {
    type Err = NotADistributionName;

    fn from_str(text: &str) -> Result<Self, NotADistributionName> {
        match text.strip_prefix("s3://").map(|bucket| bucket.trim_end_matches('/')) {
            Some(bucket) if !bucket.is_empty() && !bucket.contains('/') => {
                Ok(Self::Bucket(bucket.to_ascii_lowercase()))
            }
            Some(_) => Err(NotADistributionName::new(text)),
            None => text.parse().map(|target| match target {
                Target::Id(id) => Self::Domain(id.to_string()),
                Target::Domain(domain) => Self::Domain(domain),
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
