//! Serves the objects of buckets to viewers, and caches them until they are purged.

use std::{collections::BTreeMap, time::Instant};

use http::Uri;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The buckets, and the cache in front of them. Every answer, errors included, stays in the cache
/// until it is purged.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// The objects, by bucket and key.
    objects: BTreeMap<(String, String), Vec<u8>>,
    /// The cache, by distribution and by path with query string.
    kept: BTreeMap<(String, String), Kept>,
}

/// A cached answer.
#[derive(Clone, Debug)]
struct Kept {
    object: Option<Vec<u8>>,
    since: Instant,
}

/// An answer to a viewer.
#[derive(Clone, Debug)]
pub(super) struct Viewed {
    /// The content. `None` if there is no such object.
    pub(super) object: Option<Vec<u8>>,
    pub(super) x_cache: &'static str,
    /// The number of seconds in the cache. `None` if the origin just answered.
    pub(super) age: Option<u64>,
}

/// Returns the entity tag of an object with this content.
pub(super) fn etag(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let half = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
    format!("\"{half:032x}\"")
}

impl Edge {
    /// Puts an object, or deletes it if `content` is `None`.
    pub(super) fn put(&mut self, bucket: &str, key: &str, content: Option<Vec<u8>>) {
        let name = (bucket.to_owned(), key.to_owned());
        match content {
            Some(content) => self.objects.insert(name, content),
            None => self.objects.remove(&name),
        };
    }

    /// Returns an object by its path at S3's own endpoint: `/bucket/key`.
    pub(super) fn object(&self, path: &str) -> Option<&Vec<u8>> {
        let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8_lossy();
        let (bucket, key) = path.split_once('/')?;
        self.objects.get(&(bucket.to_owned(), key.to_owned()))
    }

    /// Answers a viewer of a distribution with this configuration.
    pub(super) fn view(&mut self, distribution: &str, config: &Value, url: &Uri) -> Viewed {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let name = (distribution.to_owned(), path.to_owned());
        if let Some(Kept { object, since }) = self.kept.get(&name) {
            let x_cache = if object.is_some() { "Hit from cloudfront" } else { "Error from cloudfront" };
            return Viewed { object: object.clone(), x_cache, age: Some(since.elapsed().as_secs()) };
        }
        let object =
            origin(config, url.path()).and_then(|(bucket, key)| self.objects.get(&(bucket, key))).cloned();
        self.kept.insert(name, Kept { object: object.clone(), since: Instant::now() });
        let x_cache = if object.is_some() { "Miss from cloudfront" } else { "Error from cloudfront" };
        Viewed { object, x_cache, age: None }
    }

    /// Removes what these items match from the cache. Each query string is a path of its own.
    pub(super) fn purge(&mut self, distribution: &str, items: &[String]) {
        self.kept.retain(|(of, path), _| {
            of != distribution
                || !items.iter().any(|item| match item.strip_suffix('*') {
                    Some(start) => path.starts_with(start),
                    None => item == path,
                })
        });
    }
}

/// Returns the bucket and key that a distribution requests for a path.
fn origin(config: &Value, path: &str) -> Option<(String, String)> {
    let items = |list: &str| config[list]["Items"].as_array().cloned().unwrap_or_default();
    let matches = |behavior: &Value| {
        let pattern = behavior["PathPattern"].as_str().unwrap_or_default();
        is_match(pattern.trim_start_matches('/').as_bytes(), path.trim_start_matches('/').as_bytes())
    };
    let behavior = items("CacheBehaviors").into_iter().find(matches);
    let behavior = behavior.unwrap_or_else(|| config["DefaultCacheBehavior"].clone());
    let origin = items("Origins").into_iter().find(|origin| origin["Id"] == behavior["TargetOriginId"])?;
    let domain = origin["DomainName"].as_str()?;
    let (bucket, rest) = domain.split_once(".s3")?;
    let root = config["DefaultRootObject"].as_str().unwrap_or_default();
    let path = if path == "/" { root } else { path }.trim_start_matches('/');
    let directory = origin["OriginPath"].as_str().unwrap_or_default().trim_matches('/');
    // S3's REST endpoint decodes a plus to a space; its website endpoints do not.
    let is_website = rest.starts_with("-website");
    let path = if is_website { path.to_owned() } else { path.replace('+', " ") };
    let mut key = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    if !directory.is_empty() {
        key = format!("{directory}/{key}");
    }
    if is_website && (key.is_empty() || key.ends_with('/')) {
        key.push_str("index.html");
    }
    Some((bucket.to_owned(), key))
}

/// Returns whether a path pattern matches a path.
fn is_match(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern, path) {
        ([b'*', rest @ ..], _) => (0..=path.len()).any(|skipped| is_match(rest, &path[skipped..])),
        ([b'?', pattern @ ..], [_, path @ ..]) => is_match(pattern, path),
        ([one, pattern @ ..], [other, path @ ..]) => one == other && is_match(pattern, path),
        (pattern, path) => pattern.is_empty() && path.is_empty(),
    }
}
