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
