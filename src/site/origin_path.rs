//! The origin path: the directory of a bucket that a distribution serves.

use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The directory in the bucket that CloudFront puts before every path in its requests to the
/// origin.
///
/// As text, it is written as in the distribution's configuration, with escapes. It is empty for the
/// bucket's root. Otherwise it begins with a slash and does not end with one.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesOrigin.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OriginPath {
    /// The prefix of the keys below the directory, decoded and with a slash at the end. Empty for
    /// the bucket's root.
    prefix: Box<[u8]>,
}

/// The error for text that is not a valid origin path.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not an origin path: one begins with \"/\" and does not end with it, such as \"/site\"")]
pub struct NotAnOriginPath(String);

impl OriginPath {
    /// Parses the origin path in a distribution's configuration, with or without slashes at its
    /// ends.
    pub(super) fn of_configuration(path: &str) -> Self {
        Self::below(path.trim_matches('/'))
    }

    fn below(directory: &str) -> Self {
        let slash = (!directory.is_empty()).then_some(b'/');
        Self { prefix: percent_decode_str(directory).chain(slash).collect() }
    }

    /// Returns the key of the object with this path below the directory.
    pub(super) fn join(&self, path: &[u8]) -> Vec<u8> {
        [&*self.prefix, path].concat()
    }

    /// Returns the prefix of the keys below this directory: decoded, with a slash at the end. Empty for
    /// the bucket's root.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Returns the rest of a key below this directory. `None` if the key is elsewhere. Only whole
    /// segments count: `/prod` does not serve `production/a.css`.
    pub(super) fn strip<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(&*self.prefix)
    }
}

impl FromStr for OriginPath {
    type Err = NotAnOriginPath;

    fn from_str(path: &str) -> Result<Self, NotAnOriginPath> {
        match path.strip_prefix('/') {
            _ if path.is_empty() => Ok(Self::default()),
            Some(directory) if !path.ends_with('/') => Ok(Self::below(directory)),
            _ => Err(NotAnOriginPath(path.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_are_stripped() {
        let strip = |path: &str, key: &'static str| {
            let rest = OriginPath::of_configuration(path).strip(key.as_bytes());
            rest.map(|rest| String::from_utf8_lossy(rest).into_owned())
        };
        assert_eq!(strip("", "a/b").as_deref(), Some("a/b"));
        assert_eq!(strip("/prod", "prod/a").as_deref(), Some("a"));
        assert_eq!(strip("/prod/", "prod/a").as_deref(), Some("a"));
        assert_eq!(strip("/prod", "production/a"), None);
        assert_eq!(strip("/prod", "prod"), None);
        assert_eq!(strip("/a/b%20c", "a/b c/d").as_deref(), Some("d"));
    }
}
