//! Where a distribution gets its objects: which bucket, and which directory of it.

use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// What the domains of AWS end with, a partition each.
const PARTITIONS: [&str; 7] = [
    ".amazonaws.com.cn",
    ".amazonaws.com",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// The bucket that a domain is the endpoint of, in lower case, if it is one of S3's: a
/// REST endpoint of any age, or a website. For the alias of an access point it is the
/// alias, which looks like a bucket; for that of a multi-region access point, too.
///
/// ```
/// use cloudfront_invalidator::site::bucket_of;
///
/// assert_eq!(bucket_of("www.example.com.s3.eu-west-1.amazonaws.com").as_deref(), Some("www.example.com"));
/// assert_eq!(bucket_of("site.s3-website-us-east-1.amazonaws.com").as_deref(), Some("site"));
/// assert_eq!(bucket_of("site.example.com"), None);
/// ```
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistS3AndCustomOrigins.html>
#[must_use]
pub fn bucket_of(domain: &str) -> Option<String> {
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
    let host = PARTITIONS.iter().find_map(|partition| domain.strip_suffix(partition))?;
    let mut labels: Vec<&str> = host.split('.').collect();
    // From the right, since a bucket's name may have dots.
    let service = match labels.pop()? {
        "s3-global" => return (labels.pop()? == "accesspoint").then(|| labels.join(".")),
        region if is_region(region) => {
            let service = labels.pop()?;
            if service == "dualstack" { labels.pop()? } else { service }
        }
        service => service.split_once('-').map_or(service, |(_, region)| {
            let region = region.strip_prefix("website-").unwrap_or(region);
            let known = service.starts_with("s3-") && (is_region(region) || region == "external-1");
            if known { "s3" } else { "" }
        }),
    };
    let bucket = labels.join(".");
    (matches!(service, "s3" | "s3-fips" | "s3-website") && !bucket.is_empty()).then_some(bucket)
}

/// Whether this is a region's name, such as `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let Some((place, number)) = label.rsplit_once('-') else { return false };
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    numbered && place.contains('-') && place.split('-').all(word)
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
    /// The one of a distribution, however its slashes were written.
    pub(super) fn of_configuration(path: &str) -> Self {
        Self::below(path.trim_matches('/'))
    }

    fn below(directory: &str) -> Self {
        let slash = (!directory.is_empty()).then_some(b'/');
        Self { prefix: percent_decode_str(directory).chain(slash).collect() }
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
    fn domains_of_buckets() {
        let cases = [
            ("site.s3.amazonaws.com", Some("site")),
            ("site.s3.eu-central-1.amazonaws.com", Some("site")),
            ("Site.S3.EU-Central-1.AmazonAWS.com", Some("site")),
            ("site.s3.eu-central-1.amazonaws.com.", Some("site")),
            ("site.s3-eu-west-1.amazonaws.com", Some("site")),
            ("site.s3-external-1.amazonaws.com", Some("site")),
            ("site.s3.dualstack.us-east-2.amazonaws.com", Some("site")),
            ("site.s3-fips.us-gov-west-1.amazonaws.com", Some("site")),
            ("site.s3-fips.dualstack.us-gov-west-1.amazonaws.com", Some("site")),
            ("site.s3.cn-north-1.amazonaws.com.cn", Some("site")),
            ("site.s3.eusc-de-east-1.amazonaws.eu", Some("site")),
            ("site.s3.us-iso-east-1.c2s.ic.gov", Some("site")),
            ("site.s3-website-us-east-1.amazonaws.com", Some("site")),
            ("site.s3-website.eu-central-1.amazonaws.com", Some("site")),
            ("site.s3-website.cn-northwest-1.amazonaws.com.cn", Some("site")),
            ("www.example.com.s3-website-us-east-1.amazonaws.com", Some("www.example.com")),
            ("www.example.com.s3.us-east-1.amazonaws.com", Some("www.example.com")),
            ("a.s3.s3.eu-west-1.amazonaws.com", Some("a.s3")),
            ("a.s3.eu-west-1.s3.amazonaws.com", Some("a.s3.eu-west-1")),
            ("my-point-abc-s3alias.s3.eu-west-1.amazonaws.com", Some("my-point-abc-s3alias")),
            ("mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com", Some("mfzwi23gnjvgw.mrap")),
            ("s3.amazonaws.com", None),
            ("s3.eu-central-1.amazonaws.com", None),
            ("site.s3-accelerate.amazonaws.com", None),
            ("site.s3.example.com", None),
            ("site.s3.amazonaws.com.example.com", None),
            ("site.s3-website.amazonaws.com.evil", None),
            ("site.execute-api.eu-central-1.amazonaws.com", None),
            ("site-s3.eu-central-1.amazonaws.com", None),
            ("site.nots3.eu-central-1.amazonaws.com", None),
            ("elb-1.eu-central-1.elb.amazonaws.com", None),
            ("site.s3-control.eu-central-1.amazonaws.com", None),
            ("example.com", None),
            ("", None),
        ];
        for (domain, bucket) in cases {
            assert_eq!(bucket_of(domain).as_deref(), bucket, "{domain}");
        }
    }

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
