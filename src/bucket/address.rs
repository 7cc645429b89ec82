//! The addresses of buckets.

use std::fmt::Write;

use crate::cloudfront::{Settings, domain_of};

/// Returns the URL of a bucket, with a slash at the end. `None` if the name or the region is invalid.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/dual-stack-endpoints.html>
pub(super) fn address(bucket: &str, region: &str, settings: &Settings) -> Option<String> {
    if !is_bucket(bucket) || !is_region(region) {
        return None;
    }
    if let Some(url) = &settings.s3_endpoint_url {
        return Some(format!("{}/{bucket}/", url.trim_end_matches('/')));
    }
    let mut host = String::from(if settings.use_fips { "s3-fips" } else { "s3" });
    if settings.use_dual_stack {
        host.push_str(".dualstack");
    }
    let _ = write!(host, ".{region}.{}", domain_of(region));
    Some(if is_label(bucket) {
        format!("https://{bucket}.{host}/")
    } else {
        format!("https://{host}/{bucket}/")
    })
}

/// Returns whether a text can be the name of a region. S3 events and answers contain such names, and a
/// request with credentials must not go to any other host.
pub(super) fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Returns whether a text can be the name of a bucket. Old buckets may have upper-case letters and
/// underscores.
fn is_bucket(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.starts_with('.') && !text.is_empty() && text.bytes().all(is_name)
}

/// Returns whether a bucket's name can be a label of a host name that S3's certificate covers.
fn is_label(bucket: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    bucket.len() <= 63 && !bucket.starts_with('-') && !bucket.ends_with('-') && bucket.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(bucket: &str, region: &str, change: impl Fn(&mut Settings)) -> Option<String> {
        let mut settings = Settings::new("an id", "a secret", None);
        change(&mut settings);
        address(bucket, region, &settings)
    }

    #[test]
    fn the_address_of_a_bucket_follows_from_its_region_and_name() {
        for (bucket, region, expected) in [
            ("site", "us-east-1", "https://site.s3.us-east-1.amazonaws.com/"),
            ("my-site-1", "eu-central-2", "https://my-site-1.s3.eu-central-2.amazonaws.com/"),
            ("www.example.com", "eu-west-1", "https://s3.eu-west-1.amazonaws.com/www.example.com/"),
            ("Old_Site", "us-east-1", "https://s3.us-east-1.amazonaws.com/Old_Site/"),
            ("-x", "us-east-1", "https://s3.us-east-1.amazonaws.com/-x/"),
            ("site", "cn-north-1", "https://site.s3.cn-north-1.amazonaws.com.cn/"),
            ("site", "us-gov-west-1", "https://site.s3.us-gov-west-1.amazonaws.com/"),
            ("site", "eusc-de-east-1", "https://site.s3.eusc-de-east-1.amazonaws.eu/"),
            ("site", "us-iso-east-1", "https://site.s3.us-iso-east-1.c2s.ic.gov/"),
        ] {
            assert_eq!(with(bucket, region, |_| ()).as_deref(), Some(expected));
        }
        let long = "x".repeat(64);
        let expected = format!("https://s3.us-east-1.amazonaws.com/{long}/");
        assert_eq!(with(&long, "us-east-1", |_| ()), Some(expected), "a label has at most 63 characters");
    }

    #[test]
    fn fips_and_dual_stack_have_hosts_of_their_own() {
        let url = |fips, dual_stack| {
            let url = with("site", "us-west-2", |settings| {
                (settings.use_fips, settings.use_dual_stack) = (fips, dual_stack);
            });
            url.expect("a URL")
        };
        assert_eq!(url(true, false), "https://site.s3-fips.us-west-2.amazonaws.com/");
        assert_eq!(url(false, true), "https://site.s3.dualstack.us-west-2.amazonaws.com/");
        assert_eq!(url(true, true), "https://site.s3-fips.dualstack.us-west-2.amazonaws.com/");
    }

    #[test]
    fn a_configured_endpoint_gets_the_bucket_in_the_path() {
        for endpoint in ["http://[::1]:9", "http://[::1]:9/"] {
            let url =
                with("site", "us-east-1", |settings| settings.s3_endpoint_url = Some(endpoint.to_owned()));
            assert_eq!(url.as_deref(), Some("http://[::1]:9/site/"));
        }
    }

    #[test]
    fn names_from_events_cannot_lead_to_another_host_or_operation() {
        for bucket in ["", ".", "..", "a/b", "a?b", "a#b", "a b", "a%2Fb", "a@b", "a:b", "ü", "a\n"] {
            assert_eq!(with(bucket, "us-east-1", |_| ()), None, "{bucket:?}");
        }
        for region in ["", "evil.example", "us-east-1.evil.example/", "a/b", "a@b", "a?", "ü", "a:1"] {
            assert_eq!(with("site", region, |_| ()), None, "{region:?}");
        }
    }
}
