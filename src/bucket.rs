//! The client of S3: lists the objects and versions of a bucket, and looks objects up.
//!
//! It signs its requests itself and sends them over the connections of CloudFront's client, because
//! S3's SDK would add 0.6 MB to the function.

mod address;
mod call;
#[cfg(feature = "cli")]
mod clock;
mod error;
mod list;
#[cfg(feature = "cli")]
mod notifications;
#[cfg(feature = "cli")]
mod readiness;
mod xml;

use std::{sync::OnceLock, time::Instant};

pub use self::error::Error;
#[cfg(feature = "cli")]
pub use self::notifications::{Destination, Notifications};
#[cfg(feature = "cli")]
pub use self::readiness::{Readiness, Replaced, Versioning};
use self::{call::Call, error::Kind, xml::Invalid};
use crate::{
    cloudfront::{Client, Received},
    event::Key,
    order,
    time::http_milliseconds,
};

/// A client for S3. It uses the credentials and connections of a client for CloudFront.
#[derive(Clone, Copy, Debug)]
pub struct S3<'a> {
    client: &'a Client,
}

/// A bucket in a region.
#[derive(Debug)]
pub struct Bucket<'a> {
    client: &'a Client,
    name: Box<str>,
    region: Box<str>,
    /// The region that S3 named, if it is another one.
    redirected: OnceLock<Box<str>>,
}

/// The versions to list.
#[derive(Clone, Copy, Debug)]
pub struct VersionsQuery<'a> {
    /// The beginning of the keys.
    pub prefix: &'a [u8],
    /// The key after which to begin. `None` for the beginning of the list.
    pub key_marker: Option<&'a [u8]>,
    /// The version of `key_marker` after which to begin. `None` to begin with the next key.
    pub version_id_marker: Option<&'a str>,
    /// Maximum number of entries, up to 1,000.
    pub max_keys: u16,
}

/// The objects to list.
#[derive(Clone, Copy, Debug)]
pub struct ObjectsQuery<'a> {
    /// The beginning of the keys.
    pub prefix: &'a [u8],
    /// The key after which to begin. `None` for the beginning of the list.
    pub start_after: Option<&'a [u8]>,
    /// The [`Page::next`] of the page before. It takes precedence over `start_after`.
    pub continuation_token: Option<&'a str>,
    /// Maximum number of entries, up to 1,000.
    pub max_keys: u16,
}

/// A part of a list. It may have fewer entries than the query allows, even none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, M = Marker> {
    /// The entries, sorted by key.
    pub entries: Vec<T>,
    /// The marker that continues the list. `None` on the last page.
    pub next: Option<M>,
}

/// The place in a list of versions after which the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The key.
    pub key: Key,
    /// The version of the key. `None` if the next page begins with the next key.
    pub version: Option<Box<str>>,
}

/// A version of an object, or a delete marker. The versions of a key are in order, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The object's key.
    pub key: Key,
    /// The version id. `null` for a version from a time without versioning.
    pub id: Box<str>,
    /// Whether it is a delete marker, which has no content.
    pub is_marker: bool,
    /// Whether it is the current version.
    pub is_latest: bool,
    /// Whether the content is in an archive, where nobody can read it unless it was restored.
    pub is_archived: bool,
    /// The entity tag without quotes, as in events. Empty for a delete marker.
    pub etag: Box<str>,
    /// The number of bytes.
    pub size: u64,
    /// The time of the upload in milliseconds since 1970. S3 rounds it to seconds.
    pub modified: u64,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The object's key.
    pub key: Key,
    /// The entity tag without quotes, as in events.
    pub etag: Box<str>,
    /// The number of bytes.
    pub size: u64,
    /// The time of the upload in milliseconds since 1970. S3 rounds it to seconds.
    pub modified: u64,
}

/// An object as viewers get it, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The entity tag without quotes, as in events.
    pub etag: Box<str>,
    /// The number of bytes.
    pub size: u64,
    /// The time of the upload in milliseconds since 1970. S3 rounds it to seconds.
    pub modified: u64,
    /// The version id. `None` if the bucket never had versioning.
    pub version: Option<Box<str>>,
    /// The headers that were stored with the object and that viewers get, sorted by their lower-case
    /// names.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

/// The headers that S3 stores with an object. It also stores those that begin with [`METADATA`].
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>
const STORED: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];

/// The beginning of the names of headers that users define.
const METADATA: &str = "x-amz-meta-";

impl<'a> S3<'a> {
    /// Creates a client that uses the credentials and connections of `client`.
    #[must_use]
    pub const fn of(client: &'a Client) -> Self {
        Self { client }
    }

    /// Returns a bucket in this region, or in the client's own if it is `None`. If S3 says that the
    /// bucket is in another region, the calls go there.
    #[must_use]
    pub fn bucket(self, name: &str, region: Option<&str>) -> Bucket<'a> {
        let region = region.unwrap_or(&self.client.settings().region);
        Bucket { client: self.client, name: name.into(), region: region.into(), redirected: OnceLock::new() }
    }
}

impl Bucket<'_> {
    /// Lists versions and delete markers, at most one page of them.
    ///
    /// Retries transient errors with growing waits until `deadline`.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>
    ///
    /// # Errors
    ///
    /// Returns the error that S3 answers, or the reason why there is no valid answer.
    pub async fn versions(
        &self,
        query: &VersionsQuery<'_>,
        deadline: Instant,
    ) -> Result<Page<Version>, Error> {
        let VersionsQuery { prefix, key_marker, version_id_marker, max_keys } = *query;
        let call = Call::of_bucket("ListObjectVersions")
            .with("versions", b"")
            .with("encoding-type", b"url")
            .with("prefix", prefix)
            .with_some("key-marker", key_marker)
            .with_some("version-id-marker", version_id_marker.map(str::as_bytes));
        let answer = self.page(&call, max_keys, deadline).await?;
        list::versions(&answer).map_err(|why| self.invalid(&call, &why))
    }

    /// Lists objects, at most one page of them.
    ///
    /// Retries transient errors with growing waits until `deadline`.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
    ///
    /// # Errors
    ///
    /// Returns the error that S3 answers, or the reason why there is no valid answer.
    pub async fn objects(
        &self,
        query: &ObjectsQuery<'_>,
        deadline: Instant,
    ) -> Result<Page<Object, Box<str>>, Error> {
        let ObjectsQuery { prefix, start_after, continuation_token, max_keys } = *query;
        let call = Call::of_bucket("ListObjectsV2")
            .with("list-type", b"2")
            .with("encoding-type", b"url")
            .with("prefix", prefix)
            .with_some("start-after", start_after)
            .with_some("continuation-token", continuation_token.map(str::as_bytes));
        let answer = self.page(&call, max_keys, deadline).await?;
        list::objects(&answer).map_err(|why| self.invalid(&call, &why))
    }

    /// Looks up a version of an object, or the current one. `None` if it does not exist or is a delete
    /// marker.
    ///
    /// Retries transient errors with growing waits until `deadline`.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
    ///
    /// # Errors
    ///
    /// Returns the error that S3 answers, or the reason why there is no valid answer. Without the
    /// permission to list the bucket, S3 [denies](Error::is_denied) the call for an object that does
    /// not exist.
    pub async fn head(
        &self,
        key: &[u8],
        version: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<Head>, Error> {
        let call = Call::of_object("HeadObject", key).with_some("versionId", version.map(str::as_bytes));
        let answer = match self.call(&call, deadline).await {
            Ok(answer) => answer,
            Err(error) if error.kind == Kind::Missing => return Ok(None),
            Err(error) => return Err(error),
        };
        Head::of(&answer).map(Some).map_err(|why| self.invalid(&call, &why))
    }
}

impl Head {
    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// Fails if the answer has no entity tag, size or time.
    fn of(answer: &Received) -> Result<Self, Invalid> {
        let get = |name| answer.headers.get(name).ok_or(Invalid::Missing(name));
        let is_stored = |name: &str| STORED.contains(&name) || name.starts_with(METADATA);
        let stored = answer.headers.iter().filter(|(name, _)| is_stored(name));
        let mut headers: Vec<(Box<str>, Box<str>)> =
            stored.map(|(name, value)| (name.into(), value.into())).collect();
        order::sort(&mut headers, Ord::cmp);
        let (size, modified) = ("content-length", "last-modified");
        Ok(Self {
            etag: get("etag")?.trim_matches('"').into(),
            size: get(size)?.parse().map_err(|_| Invalid::Missing(size))?,
            modified: http_milliseconds(get(modified)?).ok_or(Invalid::Missing(modified))?,
            version: answer.headers.get("x-amz-version-id").map(Into::into),
            headers,
        })
    }
}
