//! Origin paths: the directory of a bucket that a distribution serves.

use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The directory in the bucket that CloudFront puts before every path when it asks
/// the origin, written as in the distribution's configuration: escapes and all.
/// Empty for the bucket's root, else begins with a slash and ends without one.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesOrigin.html>
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OriginPath {
    /// What the keys below it begin with: decoded, with a slash at the end.
    prefix: Box<[u8]>,
}

/// What was given as an origin path cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no origin path: one begins with \"/\" and does not end with it, such as \"/site\"")]
pub struct NotAnOriginPath(String);

impl OriginPath {
    /// The one of a distribution, however its slashes were written.
    pub(super) fn of_configuration(path: &str) -> Self {
        Self::below(path.trim_matches('/'))
    }

    fn below(directory: &str) -> Self {
        let slash = (!directory.is_empty()).then_some(b'/');
        Self { prefix: percent_decode_str(directory).chain(slash).collect() }
    }

    /// The key below this directory that has this path.
    pub(super) fn join(&self, path: &[u8]) -> Vec<u8> {
        [&*self.prefix, path].concat()
    }

    /// What remains of a key below this directory. Whole segments only: `/prod`
    /// does not serve `production/a.css`.
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
    fn origin_paths() {
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
