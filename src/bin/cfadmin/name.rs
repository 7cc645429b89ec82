//! The names of distributions and tenants, as people type and copy them.

use cloudfront_invalidator::site::BucketName;

/// The name of a target: an id, a host, a tenant's name, or a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The name alone. A bucket may begin with `s3://`.
    pub(crate) text: String,
    /// The path of a URL that names its host. `None` if the URL has none.
    pub(crate) path: Option<String>,
}

impl Name {
    /// Parses a name, an ARN, or a URL, whose host is the name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let named =
            |text: &str, path: Option<&str>| Self { text: text.to_owned(), path: path.map(str::to_owned) };
        if text.starts_with("arn:") {
            let parts: Vec<&str> = text.splitn(6, ':').collect();
            return match parts[..] {
                [_, _, "cloudfront", _, _, resource] => {
                    Ok(named(resource.rsplit('/').next().unwrap_or_default(), None))
                }
                [_, _, "s3", _, _, resource] => {
                    let bucket = resource.split('/').next().unwrap_or_default();
                    Ok(named(&format!("s3://{bucket}"), None))
                }
                _ => Err("it is neither the ARN of a distribution or a tenant, nor of a bucket".to_owned()),
            };
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(named(text, None)) };
        if !["http", "https"].contains(&&*scheme.to_ascii_lowercase()) {
            return Ok(named(text, None));
        }
        // Browsers do not send the fragment.
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let host = rest[..at].rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        if host.is_empty() {
            return Err("the URL has no host; write it as https://www.example.com/docs/a.html".to_owned());
        }
        Ok(named(host, Some(&rest[at..]).filter(|path| !path.is_empty())))
    }
}

/// Parses the name of a bucket, alone, as `s3://my-bucket`, or as an ARN.
pub(crate) fn bucket(text: &str) -> Result<String, String> {
    let wrong = || "write it as s3://my-bucket".to_owned();
    let Name { text, path: None } = Name::parse(text)? else { return Err(wrong()) };
    let name = text.strip_prefix("s3://").unwrap_or(&text).trim_end_matches('/');
    let name: BucketName = name.parse().map_err(|_| wrong())?;
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_name_an_address_or_an_arn() {
        for text in ["my-bucket", "s3://my-bucket", "s3://my-bucket/", "arn:aws-cn:s3:::my-bucket"] {
            assert_eq!(bucket(text).as_deref(), Ok("my-bucket"), "{text}");
        }
        for text in ["s3://my-bucket/docs", "s3://", "https://www.example.com/", "arn:aws:sqs:x:1:q"] {
            assert!(bucket(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arns_and_urls_are_names() {
        for (text, name, path) in [
            ("E1EXAMPLE", "E1EXAMPLE", None),
            ("s3://site", "s3://site", None),
            ("arn:aws:cloudfront::123456789012:distribution/E1EXAMPLE", "E1EXAMPLE", None),
            ("arn:aws-cn:cloudfront::123456789012:distribution-tenant/dt_a", "dt_a", None),
            ("arn:aws:s3:::site", "s3://site", None),
            ("https://www.example.com", "www.example.com", None),
            ("https://www.example.com/", "www.example.com", Some("/")),
            ("HTTP://u@www.example.com:8080/a?b#c", "www.example.com", Some("/a?b")),
            ("https://www.example.com?a", "www.example.com", Some("?a")),
        ] {
            let expected = Name { text: name.to_owned(), path: path.map(str::to_owned) };
            assert_eq!(Name::parse(text), Ok(expected), "{text}");
        }
        assert!(Name::parse("https:///a").is_err());
        assert!(Name::parse("arn:aws:iam::123456789012:role/x").is_err());
    }
}
