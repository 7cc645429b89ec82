//! Simulates Amazon S3: buckets that keep versions of objects with their headers, and the calls that
//! list and describe them.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html>

mod answer;
mod bucket;
mod date;
mod list;
mod query;
mod rest;
mod xml;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

pub(super) use self::{
    answer::Error,
    bucket::{Bucket, Content, Version},
    date::http_date,
    rest::Call,
};

/// The state of a bucket's versioning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versioning {
    /// Each object replaces the one before. Its version's id is `null`.
    #[default]
    Unversioned,
    /// Every object and every delete marker becomes a version with an id of its own.
    Enabled,
    /// Each object and each delete marker replaces the version with the id `null`. The others stay.
    Suspended,
}

/// The storage class of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageClass {
    /// S3 Standard.
    #[default]
    Standard,
    /// S3 Standard-Infrequent Access.
    StandardIa,
    /// S3 Intelligent-Tiering.
    IntelligentTiering,
    /// S3 Glacier Instant Retrieval.
    GlacierIr,
    /// S3 Glacier Flexible Retrieval, which does not serve the content.
    Glacier,
    /// S3 Glacier Deep Archive, which does not serve the content.
    DeepArchive,
}

impl StorageClass {
    /// Returns the name that S3 gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::StandardIa => "STANDARD_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::GlacierIr => "GLACIER_IR",
            Self::Glacier => "GLACIER",
            Self::DeepArchive => "DEEP_ARCHIVE",
        }
    }

    pub(super) const fn is_readable(self) -> bool {
        !matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

/// The encryption of the objects that are put into a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// SSE-S3. The entity tag depends on the content only.
    #[default]
    S3,
    /// SSE-KMS. Every upload has another entity tag.
    Kms,
}

impl Encryption {
    pub(super) const fn algorithm(self) -> &'static str {
        match self {
            Self::S3 => "AES256",
            Self::Kms => "aws:kms",
        }
    }
}

/// An object to put into a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// The content.
    pub content: Vec<u8>,
    /// The headers to keep, with names in any case: `Cache-Control`, `Content-Type`, `Content-Encoding`,
    /// `Content-Disposition`, `Content-Language`, `Expires`, `x-amz-website-redirect-location` and
    /// `x-amz-meta-…`. Without a `Content-Type` it is `binary/octet-stream`.
    pub headers: Vec<(String, String)>,
    /// The storage class.
    pub storage_class: StorageClass,
    /// The entity tag without quotes, such as `…-2` of a multipart upload. `None` for a digest of the
    /// content, or in a bucket with SSE-KMS for one that no other upload has.
    pub etag: Option<String>,
    /// The time at which a multipart upload began, which S3 reports as the time of modification.
    /// `None` for the present.
    pub began: Option<SystemTime>,
}

/// The result of putting an object into a bucket, with what S3's event says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutResult {
    /// The version's id. `None` in an unversioned bucket.
    pub version_id: Option<String>,
    /// The entity tag, without quotes.
    pub etag: String,
    /// The number of bytes.
    pub size: u64,
    /// The time of modification, in whole seconds.
    pub modified: SystemTime,
    /// The time of the call.
    pub time: SystemTime,
    /// A hexadecimal number that grows with each change to the server's buckets.
    pub sequencer: String,
}

/// The result of deleting an object or a version, with what S3's event says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteResult {
    /// The change.
    pub deleted: Deleted,
    /// The time of the call.
    pub time: SystemTime,
    /// A hexadecimal number that grows with each change to the server's buckets.
    pub sequencer: String,
}

/// The change that deleting an object or a version made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// An object or a version that does not exist was not deleted.
    Nothing,
    /// A version or a delete marker is gone for good.
    Permanently {
        /// The version's id. `None` in an unversioned bucket.
        version_id: Option<String>,
    },
    /// A delete marker is the current version now.
    Marker {
        /// The marker's id.
        version_id: String,
    },
}

/// An object as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The version's id. `None` in an unversioned bucket.
    pub version_id: Option<String>,
    /// The content.
    pub content: Vec<u8>,
    /// The headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The entity tag, without quotes.
    pub etag: String,
    /// The time of modification, in whole seconds.
    pub modified: SystemTime,
    /// The storage class.
    pub storage_class: StorageClass,
}

/// All buckets, by name. A bucket comes into being with the first change to it.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    buckets: BTreeMap<String, Bucket>,
    /// The number of changes so far.
    changes: u64,
}

impl Buckets {
    /// Returns a bucket, which is created if there is none.
    pub(super) fn bucket(&mut self, name: &str) -> &mut Bucket {
        self.buckets.entry(name.to_owned()).or_default()
    }

    pub(super) fn existing(&self, name: &str) -> Option<&Bucket> {
        self.buckets.get(name)
    }

    pub(super) fn put(&mut self, bucket: &str, key: &str, upload: Upload, now: SystemTime) -> PutResult {
        let serial = self.next_serial();
        let bucket = self.bucket(bucket);
        let content = Content::new(upload.content, upload.headers, upload.storage_class);
        let etag = upload.etag.unwrap_or_else(|| match bucket.encryption {
            Encryption::S3 => digest(&content.bytes),
            Encryption::Kms => digest(&serial.to_be_bytes()),
        });
        let content = Content { etag: etag.clone(), encryption: bucket.encryption, ..content };
        let size = content.bytes.len() as u64;
        let modified = whole_seconds(upload.began.unwrap_or(now));
        let version_id = bucket.add(key, Some(content), modified, serial);
        PutResult { version_id, etag, size, modified, time: now, sequencer: sequencer(serial) }
    }

    pub(super) fn delete(&mut self, bucket: &str, key: &str, now: SystemTime) -> DeleteResult {
        let serial = self.next_serial();
        let deleted = self.bucket(bucket).delete(key, whole_seconds(now), serial);
        DeleteResult { deleted, time: now, sequencer: sequencer(serial) }
    }

    pub(super) fn delete_version(
        &mut self,
        bucket: &str,
        key: &str,
        version_id: &str,
        now: SystemTime,
    ) -> DeleteResult {
        let serial = self.next_serial();
        let deleted = self.bucket(bucket).delete_version(key, version_id);
        DeleteResult { deleted, time: now, sequencer: sequencer(serial) }
    }

    /// Deletes the versions that have not been current for `older_than`. Returns their keys and ids.
    pub(super) fn expire_noncurrent(
        &mut self,
        bucket: &str,
        older_than: Duration,
        now: SystemTime,
    ) -> Vec<(String, String)> {
        self.bucket(bucket)
            .expire_noncurrent(|since| now.duration_since(since).unwrap_or_default() >= older_than)
    }

    fn next_serial(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }
}

/// Returns the entity tag, without quotes, of an object with this content.
fn digest(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let half = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
    format!("{half:032x}")
}

/// Returns the sequencer of the change with this number.
fn sequencer(serial: u64) -> String {
    format!("{:016X}", 0x0060_0000_0000_0000 | serial)
}

/// Returns a time without the part below a second, as S3 reports it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
