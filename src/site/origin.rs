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
    Endpoint::of(domain).map(|endpoint| endpoint.bucket)
}

/// What a domain of S3's stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The bucket, or what looks like one: see [`bucket_of`].
    pub bucket: String,
    /// The region. None where the domain does not tell: it is old, or global.
    pub region: Option<String>,
    /// Whether it serves a website: index documents for directories.
    pub is_website: bool,
    /// What the domains of the partition end with, such as `amazonaws.com`.
    pub partition: &'static str,
}

impl Endpoint {
    /// A bucket of which only the name is known.
    #[must_use]
    pub fn named(bucket: &str) -> Self {
        let bucket = bucket.to_owned();
        Self { bucket, region: None, is_website: false, partition: &PARTITIONS[1][1..] }
    }

    /// What `domain` stands for, if it is one of S3's that names a bucket.
    #[must_use]
    pub fn of(domain: &str) -> Option<Self> {
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        let mut suffixes = PARTITIONS.into_iter();
        let (host, partition) =
            suffixes.find_map(|suffix| Some((domain.strip_suffix(suffix)?, &suffix[1..])))?;
        let mut labels: Vec<&str> = host.split('.').collect();
        // From the right, since a bucket's name may have dots.
        let (service, region) = match labels.pop()? {
            "s3-global" if labels.pop()? == "accesspoint" => ("s3", None),
            region if is_region(region) => {
                let service = labels.pop()?;
                (if service == "dualstack" { labels.pop()? } else { service }, Some(region))
            }
            service => match service.strip_prefix("s3-").map(|rest| (rest, rest.strip_prefix("website-"))) {
                Some((_, Some(region))) if is_region(region) => ("s3-website", Some(region)),
                Some((region, None)) if is_region(region) => ("s3", Some(region)),
                Some(("external-1", None)) => ("s3", Some("us-east-1")),
                _ => (service, None),
            },
        };
        let is_s3 = match service {
            "s3" => true,
            // These are always of a region.
            "s3-fips" | "s3-website" => region.is_some(),
            _ => false,
        };
        let bucket = labels.join(".");
        (is_s3 && !bucket.is_empty()).then(|| Self {
            bucket,
            region: region.map(str::to_owned),
            is_website: service == "s3-website",
            partition,
        })
    }
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
    fn what_domains_stand_for() {
        let endpoint = |domain: &str| {
            let Endpoint { bucket, region, is_website, partition } = Endpoint::of(domain)?;
            Some((bucket, region.unwrap_or_default(), is_website, partition))
        };
        let expected = |bucket: &str, region: &str, is_website, partition| {
            Some((bucket.to_owned(), region.to_owned(), is_website, partition))
        };
        assert_eq!(endpoint("a.s3.amazonaws.com"), expected("a", "", false, "amazonaws.com"));
        assert_eq!(
            endpoint("a.b.s3-website.cn-north-1.amazonaws.com.cn"),
            expected("a.b", "cn-north-1", true, "amazonaws.com.cn")
        );
        assert_eq!(
            endpoint("a.s3-website-us-east-1.amazonaws.com"),
            expected("a", "us-east-1", true, "amazonaws.com")
        );
        assert_eq!(
            endpoint("a.s3-external-1.amazonaws.com"),
            expected("a", "us-east-1", false, "amazonaws.com")
        );
        assert_eq!(endpoint("a.s3.dualstack.eu-west-1.amazonaws.com").expect("one").1, "eu-west-1");
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
