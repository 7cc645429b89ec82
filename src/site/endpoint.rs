//! The domains of S3's endpoints.

/// The domain suffixes of AWS, one for each partition.
const PARTITIONS: [&str; 7] = [
    ".amazonaws.com.cn",
    ".amazonaws.com",
    ".amazonaws.eu",
    ".c2s.ic.gov",
    ".sc2s.sgov.gov",
    ".cloud.adc-e.uk",
    ".csp.hci.ic.gov",
];

/// Returns the bucket of an S3 endpoint's domain, in lower case.
///
/// Recognizes REST endpoints of every style and website endpoints. For the endpoint of an access
/// point, including multi-region ones, returns the access point's alias, which looks like a bucket
/// name. Returns `None` for any other domain.
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

/// An S3 endpoint with a bucket in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The bucket, or an access point's alias: see [`bucket_of`].
    pub bucket: String,
    /// The region. `None` if the domain names none, as in legacy and global endpoints.
    pub region: Option<String>,
    /// Whether it is a website endpoint, which serves index documents for directories.
    pub is_website: bool,
    /// The partition's domain, such as `amazonaws.com`.
    pub partition: &'static str,
}

impl Endpoint {
    /// Returns the REST endpoint of a bucket whose region is unknown.
    #[must_use]
    pub fn named(bucket: &str) -> Self {
        let bucket = bucket.to_owned();
        Self { bucket, region: None, is_website: false, partition: &PARTITIONS[1][1..] }
    }

    /// Parses a domain. Returns `None` if it is not an S3 endpoint or does not name a bucket.
    #[must_use]
    pub fn of(domain: &str) -> Option<Self> {
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        let (host, partition) =
            PARTITIONS.into_iter().find_map(|suffix| Some((domain.strip_suffix(suffix)?, &suffix[1..])))?;
        // A bucket's name may contain dots, so match S3's labels from the right.
        let labels: Vec<&str> = host.split('.').collect();
        let (bucket, region, is_website) = match &labels[..] {
            [bucket @ .., "s3"] | [bucket @ .., "accesspoint", "s3-global"] => (bucket, None, false),
            [bucket @ .., "s3-external-1"] => (bucket, Some("us-east-1"), false),
            [bucket @ .., "s3" | "s3-fips", "dualstack", region]
            | [bucket @ .., "s3" | "s3-fips", region]
                if is_region(region) =>
            {
                (bucket, Some(*region), false)
            }
            [bucket @ .., "s3-website", region] if is_region(region) => (bucket, Some(*region), true),
            // The legacy style joins the service and the region with a hyphen.
            [bucket @ .., last] => {
                match last.strip_prefix("s3-website-").or_else(|| last.strip_prefix("s3-")) {
                    Some(region) if is_region(region) => {
                        (bucket, Some(region), last.starts_with("s3-website-"))
                    }
                    _ => return None,
                }
            }
            [] => return None,
        };
        let (bucket, region) = (bucket.join("."), region.map(str::to_owned));
        (!bucket.is_empty()).then_some(Self { bucket, region, is_website, partition })
    }
}

/// Returns whether a label is a region's name, such as `us-gov-west-1`.
fn is_region(label: &str) -> bool {
    let Some((place, number)) = label.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && place.contains('-') && place.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_of_finds_the_bucket_of_every_endpoint_style() {
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
    fn endpoints_have_a_region_and_a_partition() {
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
        assert_eq!(endpoint("a.s3.dualstack.eu-west-1.amazonaws.com").expect("an endpoint").1, "eu-west-1");
    }
}
