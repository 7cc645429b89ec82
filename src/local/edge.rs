//! What viewers get: the objects of buckets, kept until they are purged.

use std::{collections::BTreeMap, time::Instant};

use http::Uri;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Buckets, and the cache before them. Everything that was asked for once stays in the
/// cache, errors too, until it is purged.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// By bucket and key.
    objects: BTreeMap<(String, String), Vec<u8>>,
    /// By distribution, and path with query.
    kept: BTreeMap<(String, String), Kept>,
}

/// What is in the cache.
#[derive(Clone, Debug)]
struct Kept {
    object: Option<Vec<u8>>,
    since: Instant,
}

/// An answer to a viewer.
#[derive(Clone, Debug)]
pub(super) struct Viewed {
    /// None: it is not there.
    pub(super) object: Option<Vec<u8>>,
    pub(super) x_cache: &'static str,
    /// For how many seconds it was kept.
    pub(super) age: Option<u64>,
}

/// The entity tag of an object with this content.
pub(super) fn etag(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let half = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
    format!("\"{half:032x}\"")
}

impl Edge {
    /// Puts an object, or takes it away.
    pub(super) fn put(&mut self, bucket: &str, key: &str, content: Option<Vec<u8>>) {
        let name = (bucket.to_owned(), key.to_owned());
        match content {
            Some(content) => self.objects.insert(name, content),
            None => self.objects.remove(&name),
        };
    }

    /// An object, by the path of S3's own endpoint: `/bucket/key`.
    pub(super) fn object(&self, path: &str) -> Option<&Vec<u8>> {
        let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8_lossy();
        let (bucket, key) = path.split_once('/')?;
        self.objects.get(&(bucket.to_owned(), key.to_owned()))
    }

    /// What a viewer gets from a distribution that is configured so.
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

    /// Forgets what these items name. Every query is kept apart.
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

/// The bucket and key that a distribution asks for a path.
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
    // S3 itself reads a plus as a space, its websites do not.
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

/// Whether a path pattern matches.
fn is_match(pattern: &[u8], path: &[u8]) -> bool {
    match (pattern, path) {
        ([b'*', rest @ ..], _) => (0..=path.len()).any(|skipped| is_match(rest, &path[skipped..])),
        ([b'?', pattern @ ..], [_, path @ ..]) => is_match(pattern, path),
        ([one, pattern @ ..], [other, path @ ..]) => one == other && is_match(pattern, path),
        (pattern, path) => pattern.is_empty() && path.is_empty(),
    }
}
