//! Serves the objects of buckets to viewers, and caches them until they are purged.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::Uri;
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::s3::{Bucket, Buckets, Content, Version, http_date};

/// The time for which CloudFront keeps an error, unless the distribution's configuration says
/// otherwise.
const ERROR_TTL: Duration = Duration::from_secs(10);

/// The statuses of errors that CloudFront keeps without a custom error response.
const KEPT_ERRORS: [u16; 7] = [404, 414, 500, 501, 502, 503, 504];

/// The cache in front of the buckets.
#[derive(Debug)]
pub(super) struct Edge {
    /// The cache, by distribution and by path with query string.
    kept: BTreeMap<(String, String), Kept>,
    /// Whether errors stay in the cache only for their time. Otherwise, every answer stays until it
    /// is purged.
    errors_expire: bool,
}

/// A cached answer.
#[derive(Clone, Debug)]
struct Kept {
    answer: Answer,
    since: SystemTime,
    /// The end of an error's time. `None` if the answer stays until it is purged.
    until: Option<SystemTime>,
}

/// The answer of an origin, or of CloudFront in its place.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// Whether the origin answered with an error, which a custom error page may hide.
    is_error: bool,
}

/// An answer to a viewer.
#[derive(Clone, Debug)]
pub(super) struct Viewed {
    pub(super) answer: Answer,
    pub(super) x_cache: &'static str,
    /// The number of seconds in the cache. `None` if the origin just answered.
    pub(super) age: Option<u64>,
}

/// The treatment of an error.
#[derive(Clone, Copy, Debug)]
struct ErrorRule<'a> {
    /// The path of the page that viewers get. `None` for the origin's own answer.
    page: Option<&'a str>,
    /// The status with which viewers get the page.
    status: u16,
    ttl: Duration,
}

impl Answer {
    fn error(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), is_error: true }
    }
}

impl Edge {
    pub(super) const fn new(errors_expire: bool) -> Self {
        Self { kept: BTreeMap::new(), errors_expire }
    }

    /// Answers a viewer of a distribution with this configuration.
    pub(super) fn view(
        &mut self,
        (distribution, config): (&str, &Value),
        url: &Uri,
        buckets: &Buckets,
        now: SystemTime,
    ) -> Viewed {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let name = (distribution.to_owned(), path.to_owned());
        let is_fresh = |kept: &&Kept| kept.until.is_none_or(|until| now < until);
        if let Some(Kept { answer, since, .. }) = self.kept.get(&name).filter(is_fresh) {
            let x_cache = if answer.is_error { "Error from cloudfront" } else { "Hit from cloudfront" };
            let age = now.duration_since(*since).unwrap_or_default().as_secs();
            return Viewed { answer: answer.clone(), x_cache, age: Some(age) };
        }
        let (answer, ttl) = answer(config, url.path(), buckets);
        let ttl = ttl.filter(|ttl| !self.errors_expire || !ttl.is_zero());
        match (&answer, ttl) {
            (Answer { is_error: true, .. }, None) => self.kept.remove(&name),
            (_, ttl) => {
                let until = ttl.filter(|_| self.errors_expire).map(|ttl| now + ttl);
                self.kept.insert(name, Kept { answer: answer.clone(), since: now, until })
            }
        };
        let x_cache = if answer.is_error { "Error from cloudfront" } else { "Miss from cloudfront" };
        Viewed { answer, x_cache, age: None }
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

/// Returns what CloudFront answers without its cache, and for an error the time for which it keeps
/// it. `None` if it does not keep it.
fn answer(config: &Value, path: &str, buckets: &Buckets) -> (Answer, Option<Duration>) {
    let answer = fetch(config, path, buckets);
    if !answer.is_error {
        return (answer, None);
    }
    let Some(rule) = error_rule(config, answer.status) else {
        let ttl = KEPT_ERRORS.contains(&answer.status).then_some(ERROR_TTL);
        return (answer, ttl);
    };
    let answer = match rule.page.map(|page| fetch(config, page, buckets)) {
        Some(page) if !page.is_error => Answer { status: rule.status, is_error: true, ..page },
        Some(missing) => missing,
        None => answer,
    };
    (answer, Some(rule.ttl))
}

/// Returns the custom error response for a status.
fn error_rule(config: &Value, status: u16) -> Option<ErrorRule<'_>> {
    let mut rules = config["CustomErrorResponses"]["Items"].as_array()?.iter();
    let rule = rules.find(|rule| rule["ErrorCode"] == status)?;
    let page = rule["ResponsePagePath"].as_str().filter(|page| !page.is_empty());
    let shown = rule["ResponseCode"].as_str().and_then(|code| code.parse().ok());
    let ttl = rule["ErrorCachingMinTTL"].as_u64().map_or(ERROR_TTL, Duration::from_secs);
    Some(ErrorRule { page, status: shown.unwrap_or(status), ttl })
}

/// Returns what the origin answers.
fn fetch(config: &Value, path: &str, buckets: &Buckets) -> Answer {
    let Some(Source { bucket, key, is_website }) = source(config, path) else { return Answer::error(404) };
    let Some(bucket) = buckets.existing(&bucket) else { return Answer::error(404) };
    let current = bucket.current(&key).and_then(|version| Some((version, version.content.as_ref()?)));
    match current {
        Some((version, content)) => serve(bucket, version, content, is_website),
        None if bucket.lists_for_viewers => Answer::error(404),
        None => Answer::error(403),
    }
}

/// Returns S3's answer with an object.
fn serve(bucket: &Bucket, version: &Version, content: &Content, is_website: bool) -> Answer {
    const REDIRECT: &str = "x-amz-website-redirect-location";
    if !content.storage_class.is_readable() {
        return Answer::error(403);
    }
    if let Some((_, location)) = content.headers.iter().find(|(name, _)| is_website && name == REDIRECT) {
        let headers = vec![("location".to_owned(), location.clone())];
        return Answer { status: 301, headers, body: Bytes::new(), is_error: false };
    }
    let mut headers = content.headers.clone();
    headers.push(("etag".to_owned(), format!("\"{}\"", content.etag)));
    headers.push(("last-modified".to_owned(), http_date(version.modified)));
    if let Some(id) = bucket.shown(version.id.clone()) {
        headers.push(("x-amz-version-id".to_owned(), id));
    }
    Answer { status: 200, headers, body: content.bytes.clone(), is_error: false }
}

/// The place from which a distribution requests a path.
struct Source {
    bucket: String,
    key: String,
    /// Whether it is the bucket's website endpoint.
    is_website: bool,
}

/// Returns the bucket and key that a distribution requests for a path.
fn source(config: &Value, path: &str) -> Option<Source> {
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
    Some(Source { bucket: bucket.to_owned(), key, is_website })
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
