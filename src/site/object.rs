//! Maps a path that viewers request to the object that the origin serves.

use percent_encoding::percent_decode_str;

use super::{Distribution, Endpoint, Location, Origin, pattern::PathPattern};

/// An object behind a distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The endpoint of the object's bucket.
    pub endpoint: Endpoint,
    /// The bucket, or an access point's alias.
    pub bucket: String,
    /// The object's key.
    pub key: Vec<u8>,
}

impl Distribution {
    /// Returns how specifically the distribution matches `host`: `usize::MAX` for its own domain or
    /// an exact alias, the length of the suffix for an alias that begins with `*.`, and `None` for
    /// no match. If several aliases match, the most specific one counts.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/CNAMEs.html>
    #[must_use]
    pub fn answers(&self, host: &str) -> Option<usize> {
        let exactness = |alias: &str| match alias.strip_prefix('*') {
            Some(rest) => {
                let at = host.len().checked_sub(rest.len()).filter(|at| *at > 0)?;
                host.get(at..)?.eq_ignore_ascii_case(rest).then_some(rest.len())
            }
            None => alias.eq_ignore_ascii_case(host).then_some(usize::MAX),
        };
        self.names().filter_map(exactness).max()
    }

    /// Returns the objects that may be behind a path. Viewers get the first one that exists.
    ///
    /// `path` is written as in a URL, without the query. `index_document` is the document that
    /// website endpoints serve for a directory. The result is empty if the behavior may send the
    /// request to an origin that is not a bucket. An edge function may request other objects.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html>
    #[must_use]
    pub fn objects(&self, path: &str, index_document: &str) -> Vec<Object> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let matches = |pattern: &String| PathPattern::new(pattern).matches(path.as_bytes());
        let mut behaviors = self.behaviors.iter();
        let Some(behavior) = behaviors.find(|behavior| behavior.pattern.as_ref().is_none_or(matches)) else {
            return Vec::new();
        };
        let path = if path.is_empty() { &*self.default_root_object } else { path };
        let object = |origin: &Origin| {
            let Location { endpoint, bucket, .. } = origin.location()?;
            let path = path.strip_prefix('/').unwrap_or(path);
            // REST endpoints decode a plus as a space.
            let path = if endpoint.is_website { path.to_owned() } else { path.replace('+', " ") };
            let key: Vec<u8> = percent_decode_str(&path).collect();
            let (bucket, key) = if let Some(bucket) = bucket {
                (bucket, &*key)
            } else {
                let slash = key.iter().position(|byte| *byte == b'/')?;
                (String::from_utf8(key[..slash].to_vec()).ok()?, &key[slash + 1..])
            };
            let mut key = origin.directory().join(key);
            if endpoint.is_website && (key.is_empty() || key.ends_with(b"/")) {
                key.extend_from_slice(index_document.as_bytes());
            }
            (!key.is_empty()).then_some(Object { endpoint, bucket, key })
        };
        // The primary origin of a group comes first.
        let origins = match self.origin_groups.iter().find(|group| group.id == behavior.target) {
            Some(group) => {
                group.members.iter().filter_map(|id| self.origins.iter().find(|one| one.id == *id)).collect()
            }
            None => self.origins.iter().filter(|one| one.id == behavior.target).collect::<Vec<_>>(),
        };
        // Only a bucket's answer can be known.
        origins.into_iter().map(object).collect::<Option<_>>().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{OriginGroup, samples};

    fn distribution() -> Distribution {
        use samples::{behavior, origin};
        let origins = vec![
            origin("pages", "site.s3.eu-west-1.amazonaws.com", "/live%20one"),
            origin("docs", "docs.s3-website-us-east-1.amazonaws.com", ""),
            origin("api", "api.example.com", ""),
            origin("old", "s3.eu-west-1.amazonaws.com", "/Old_Site/live"),
            origin("any", "s3.eu-west-1.amazonaws.com", ""),
        ];
        let behaviors = vec![
            behavior(Some("/docs/*"), "docs"),
            behavior(Some("api/*"), "api"),
            behavior(Some("both*"), "both"),
            behavior(Some("old/*"), "old"),
            behavior(Some("any*"), "any"),
            behavior(None, "pages"),
        ];
        Distribution {
            aliases: vec!["example.com".to_owned(), "*.example.com".to_owned()],
            origin_groups: vec![OriginGroup {
                id: "both".to_owned(),
                members: vec!["docs".to_owned(), "pages".to_owned()],
            }],
            ..samples::distribution(origins, behaviors)
        }
    }

    #[test]
    fn a_path_maps_to_objects() {
        let objects = |path: &str| {
            let objects = distribution().objects(path, "home.html");
            let shown =
                objects.iter().map(|one| format!("{}/{}", one.bucket, String::from_utf8_lossy(&one.key)));
            shown.collect::<Vec<_>>()
        };
        assert_eq!(objects("/"), ["site/live one/index.html"]);
        assert_eq!(objects("/a%20b+c%2Bd.html"), ["site/live one/a b c+d.html"]);
        assert_eq!(objects("/docs/a+b%2Bc"), ["docs/docs/a+b+c"], "website endpoints take a plus as it is");
        assert_eq!(objects("/docs/"), ["docs/docs/home.html"]);
        assert_eq!(objects("/docs/a"), ["docs/docs/a"]);
        assert_eq!(objects("/blog/"), ["site/live one/blog/"], "S3 itself has no index documents");
        assert_eq!(objects("/both/x"), ["docs/both/x", "site/live one/both/x"]);
        assert_eq!(objects("/api/x"), [""; 0]);
        assert_eq!(objects("/old/a+b"), ["Old_Site/live/old/a b"], "the origin's path names the bucket");
        assert_eq!(objects("/any_Bucket/a%2Fb"), ["any_Bucket/a/b"], "the viewer's path names the bucket");
        assert_eq!(objects("/any_Bucket"), [""; 0], "a list of objects, not an object");
    }

    #[test]
    fn exact_names_are_more_specific_than_wildcard_aliases() {
        let answers = |host: &str| distribution().answers(host);
        assert_eq!(answers("Example.com"), Some(usize::MAX));
        assert_eq!(answers("d1.cloudfront.net"), Some(usize::MAX));
        assert_eq!(answers("www.example.com"), Some(".example.com".len()));
        assert_eq!(answers("a.b.example.com"), Some(".example.com".len()));
        for other in [".example.com", "example.org", "ü.com", "xexample.com", "üexample.com"] {
            assert_eq!(answers(other), None, "{other}");
        }
    }
}
