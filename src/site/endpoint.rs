//! The part of S3 that an origin serves, from its domain and path.

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

/// The part of S3 that an origin serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The bucket, or an access point's alias, which looks like a bucket's name. `None` if viewers
    /// name the bucket in the first segment of the path that they request.
    pub bucket: Option<String>,
    /// The directory in the bucket, written as in the origin's path.
    pub directory: &'a str,
}

impl<'a> Location<'a> {
    /// Parses an origin's domain and path. Returns `None` if the domain is not an S3 endpoint.
    ///
    /// Recognizes REST endpoints of every style, website endpoints, and access points, including
    /// multi-region ones. The bucket is in the domain or, in path style, the first segment of the
    /// path. In a domain, case has no meaning, so the result has that bucket in lower case.
    ///
    /// ```
    /// use cloudfront_invalidator::site::Location;
    ///
    /// let bucket = |domain, path| Location::of(domain, path)?.bucket;
    /// assert_eq!(bucket("www.example.com.s3.eu-west-1.amazonaws.com", "/v1").as_deref(), Some("www.example.com"));
    /// assert_eq!(bucket("site.s3-website-us-east-1.amazonaws.com", "").as_deref(), Some("site"));
    /// assert_eq!(bucket("s3.eu-west-1.amazonaws.com", "/site/v1").as_deref(), Some("site"));
    /// assert_eq!(Location::of("site.example.com", ""), None);
    /// ```
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistS3AndCustomOrigins.html>
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
    #[must_use]
    pub fn of(domain: &str, path: &'a str) -> Option<Self> {
        let (endpoint, bucket) = Endpoint::parse(domain)?;
        if !bucket.is_empty() {
            return Some(Self { endpoint, bucket: Some(bucket), directory: path });
        }
        let path = path.trim_matches('/');
        let (bucket, directory) = path.split_once('/').unwrap_or((path, ""));
        let bucket = (!bucket.is_empty()).then(|| bucket.to_owned());
        Some(Self { endpoint, bucket, directory })
    }
}

/// An S3 endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The region. `None` if the domain names none, as in legacy and global endpoints.
    pub region: Option<String>,
    /// Whether it is a website endpoint, which serves index documents for directories.
    pub is_website: bool,
    /// The partition's domain, such as `amazonaws.com`.
    pub partition: &'static str,
}

impl Default for Endpoint {
    /// Returns the REST endpoint of an unknown region.
    fn default() -> Self {
        Self { region: None, is_website: false, partition: &PARTITIONS[1][1..] }
    }
}

impl Endpoint {
    /// Parses a domain. Returns the endpoint, and the bucket in the domain in lower case. The bucket
    /// is empty in path style.
    fn parse(domain: &str) -> Option<(Self, String)> {
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        let (host, partition) =
            PARTITIONS.into_iter().find_map(|suffix| Some((domain.strip_suffix(suffix)?, &suffix[1..])))?;
        // A bucket's name may contain dots, so match S3's labels from the right.
        let labels: Vec<&str> = host.split('.').collect();
        let (bucket, region, kind) = match &labels[..] {
            [bucket @ .., "s3"] => (bucket, None, Kind::Rest),
            [bucket @ .., "accesspoint", "s3-global"]
            | [bucket @ .., "s3-accelerate"]
            | [bucket @ .., "s3-accelerate", "dualstack"] => (bucket, None, Kind::HostOnly),
            [bucket @ .., "s3-external-1"] => (bucket, Some("us-east-1"), Kind::Rest),
            [bucket @ .., "s3" | "s3-fips", "dualstack", region]
            | [bucket @ .., "s3" | "s3-fips", region]
                if is_region(region) =>
            {
                (bucket, Some(*region), Kind::Rest)
            }
            [bucket @ .., "s3-website", region] if is_region(region) => {
                (bucket, Some(*region), Kind::Website)
            }
            // The legacy style joins the service and the region with a hyphen.
            [bucket @ .., last] => {
                let styles = [("s3-website-", Kind::Website), ("s3-fips-", Kind::Rest), ("s3-", Kind::Rest)];
                let region = |(style, kind)| Some((last.strip_prefix(style)?, kind));
                let (region, kind) = styles.into_iter().find_map(region)?;
                (bucket, is_region(region).then_some(Some(region))?, kind)
            }
            [] => return None,
        };
        if bucket.is_empty() && kind != Kind::Rest {
            return None;
        }
        let endpoint =
            Self { region: region.map(str::to_owned), is_website: kind == Kind::Website, partition };
        Some((endpoint, bucket.join(".")))
    }
}

/// A kind of S3 endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An endpoint where the path may name the bucket.
    Rest,
    /// A REST endpoint where only the domain names the bucket.
    HostOnly,
    /// A website endpoint. Only the domain names the bucket.
    Website,
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
    fn the_bucket_of_every_endpoint_style_is_found() {
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
            ("site.s3-accelerate.amazonaws.com", Some("site")),
            ("site.s3-accelerate.dualstack.amazonaws.com", Some("site")),
            ("site.s3-accelerate.eu-west-1.amazonaws.com", None),
            ("s3-accelerate.amazonaws.com", None),
            ("s3-website.eu-central-1.amazonaws.com", None),
            ("s3-website-us-east-1.amazonaws.com", None),
            ("accesspoint.s3-global.amazonaws.com", None),
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
            let location = Location::of(domain, "/v1");
            assert_eq!(location.as_ref().and_then(|one| one.bucket.as_deref()), bucket, "{domain}");
            assert!(location.is_none_or(|one| one.directory == "/v1"), "{domain}");
        }
    }

    #[test]
    fn the_path_names_the_bucket_if_the_domain_does_not() {
        for domain in [
            "s3.amazonaws.com",
            "S3.EU-Central-1.amazonaws.com.",
            "s3-eu-west-1.amazonaws.com",
            "s3-external-1.amazonaws.com",
            "s3-fips.us-gov-west-1.amazonaws.com",
            "s3-fips-us-gov-west-1.amazonaws.com",
            "s3-fips.dualstack.us-gov-west-1.amazonaws.com",
            "s3.dualstack.us-east-2.amazonaws.com",
            "s3.cn-north-1.amazonaws.com.cn",
            "s3.us-iso-east-1.c2s.ic.gov",
        ] {
            for (path, bucket, directory) in [
                ("/site", Some("site"), ""),
                ("/site/", Some("site"), ""),
                ("/site/a/b%20c", Some("site"), "a/b%20c"),
                ("/Old_Site/Live", Some("Old_Site"), "Live"),
                ("/www.example.com/v1", Some("www.example.com"), "v1"),
                ("", None, ""),
                ("/", None, ""),
            ] {
                let location = Location::of(domain, path).expect("a location");
                assert_eq!(location.bucket.as_deref(), bucket, "{domain} {path}");
                assert_eq!(location.directory, directory, "{domain} {path}");
                assert!(!location.endpoint.is_website);
            }
        }
        assert_eq!(Location::of("s3.example.com", "/site"), None);
    }

    #[test]
    fn endpoints_have_a_region_and_a_partition() {
        let endpoint = |domain: &str| {
            let (Endpoint { region, is_website, partition }, bucket) = Endpoint::parse(domain)?;
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
        for (domain, region) in [
            ("a.s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3-fips-us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ] {
            assert_eq!(endpoint(domain).expect("an endpoint").1, region, "{domain}");
        }
    }
}
