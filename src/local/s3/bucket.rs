//! Keeps the versions of a bucket's objects.

use std::{collections::BTreeMap, time::SystemTime};

use hyper::body::Bytes;
use sha2::{Digest, Sha256};

use super::{Deleted, Encryption, Object, StorageClass, Versioning};

/// The id of the versions that are made without versioning.
const NULL: &str = "null";

/// A bucket and its settings.
#[derive(Debug)]
pub(in super::super) struct Bucket {
    pub(in super::super) versioning: Versioning,
    /// The versions of each key, newest first. No list is empty.
    keys: BTreeMap<String, Vec<Version>>,
    /// The number of every version that ever was, by its id.
    serials: BTreeMap<String, u64>,
    pub(in super::super) encryption: Encryption,
    /// The XML of the lifecycle configuration. `None` if there is none.
    pub(in super::super) lifecycle: Option<String>,
    /// The XML of the notification configuration. `None` if there is none.
    pub(in super::super) notifications: Option<String>,
    /// The region. `None` if the bucket answers in every region.
    pub(in super::super) region: Option<String>,
    /// Whether every call for the bucket is denied.
    pub(in super::super) is_denied: bool,
    /// Whether the origin of a distribution may list the bucket, so that S3 tells it which objects
    /// are missing.
    pub(in super::super) lists_for_viewers: bool,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            versioning: Versioning::default(),
            keys: BTreeMap::new(),
            serials: BTreeMap::new(),
            encryption: Encryption::default(),
            lifecycle: None,
            notifications: None,
            region: None,
            is_denied: false,
            lists_for_viewers: true,
        }
    }
}

/// A version of an object, or a delete marker.
#[derive(Clone, Debug)]
pub(in super::super) struct Version {
    pub(in super::super) id: String,
    /// The number of the change that made it.
    pub(super) serial: u64,
    pub(in super::super) modified: SystemTime,
    /// `None` for a delete marker.
    pub(in super::super) content: Option<Content>,
}

/// The content of a version, and what S3 knows of it.
#[derive(Clone, Debug)]
pub(in super::super) struct Content {
    pub(in super::super) bytes: Bytes,
    /// The headers, with lower-case names.
    pub(in super::super) headers: Vec<(String, String)>,
    /// The entity tag, without quotes.
    pub(in super::super) etag: String,
    pub(in super::super) storage_class: StorageClass,
    pub(super) encryption: Encryption,
}

impl Content {
    /// Creates the content of an upload, with S3's default content type, and without an entity tag.
    pub(super) fn new(content: Vec<u8>, headers: Vec<(String, String)>, storage_class: StorageClass) -> Self {
        let mut headers: Vec<(String, String)> =
            headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        if !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "binary/octet-stream".to_owned()));
        }
        let encryption = Encryption::default();
        Self { bytes: Bytes::from(content), headers, etag: String::new(), storage_class, encryption }
    }
}

impl Bucket {
    /// Makes an object, or a delete marker if `content` is `None`, the current version. Returns its id,
    /// `None` in an unversioned bucket.
    pub(super) fn add(
        &mut self,
        key: &str,
        content: Option<Content>,
        modified: SystemTime,
        serial: u64,
    ) -> Option<String> {
        let id = match self.versioning {
            Versioning::Enabled => new_id(serial),
            Versioning::Unversioned | Versioning::Suspended => NULL.to_owned(),
        };
        let versions = self.keys.entry(key.to_owned()).or_default();
        versions.retain(|version| version.id != id);
        versions.insert(0, Version { id: id.clone(), serial, modified, content });
        self.serials.insert(id.clone(), serial);
        self.shown(id)
    }

    /// Deletes an object as a call without a version's id does.
    pub(super) fn delete(&mut self, key: &str, modified: SystemTime, serial: u64) -> Deleted {
        if self.versioning == Versioning::Unversioned {
            return self.delete_version(key, NULL);
        }
        match self.add(key, None, modified, serial) {
            Some(version_id) => Deleted::Marker { version_id },
            None => Deleted::Nothing,
        }
    }

    /// Deletes a version or a delete marker for good.
    pub(super) fn delete_version(&mut self, key: &str, id: &str) -> Deleted {
        let Some(versions) = self.keys.get_mut(key) else { return Deleted::Nothing };
        let Some(at) = versions.iter().position(|version| version.id == id) else { return Deleted::Nothing };
        versions.remove(at);
        if versions.is_empty() {
            self.keys.remove(key);
        }
        Deleted::Permanently { version_id: self.shown(id.to_owned()) }
    }

    /// Deletes the versions whose successor's time `is_due` accepts. Returns their keys and ids.
    pub(super) fn expire_noncurrent(&mut self, is_due: impl Fn(SystemTime) -> bool) -> Vec<(String, String)> {
        let mut expired = Vec::new();
        for (key, versions) in &mut self.keys {
            let due: Vec<String> = versions
                .windows(2)
                .filter(|pair| is_due(pair[0].modified))
                .map(|pair| pair[1].id.clone())
                .collect();
            versions.retain(|version| !due.contains(&version.id));
            expired.extend(due.into_iter().map(|id| (key.clone(), id)));
        }
        expired
    }

    /// Returns the current version of a key, which may be a delete marker.
    pub(in super::super) fn current(&self, key: &str) -> Option<&Version> {
        self.keys.get(key)?.first()
    }

    pub(super) fn version(&self, key: &str, id: &str) -> Option<&Version> {
        self.keys.get(key)?.iter().find(|version| version.id == id)
    }

    pub(in super::super) fn object(&self, key: &str) -> Option<Object> {
        let version = self.current(key)?;
        let content = version.content.as_ref()?;
        Some(Object {
            version_id: self.shown(version.id.clone()),
            content: content.bytes.to_vec(),
            headers: content.headers.clone(),
            etag: content.etag.clone(),
            modified: version.modified,
            storage_class: content.storage_class,
        })
    }

    /// Returns the keys that begin with `prefix`, at or after `start`, and their versions, newest first.
    /// S3 orders keys by their bytes.
    pub(super) fn listed<'a>(
        &'a self,
        prefix: &'a str,
        start: &str,
    ) -> impl Iterator<Item = (&'a str, &'a [Version])> + use<'a> {
        let all = self.keys.range(start.max(prefix).to_owned()..);
        let all = all.map(|(key, versions)| (&**key, &**versions));
        all.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Returns the number of the change that made a version, even if it is gone by now. `None` if
    /// there never was such a version.
    pub(super) fn serial(&self, key: &str, id: &str) -> Option<u64> {
        if id == NULL {
            // Nothing is older than a version that is gone.
            return Some(self.version(key, id).map_or(0, |version| version.serial));
        }
        self.serials.get(id).copied()
    }

    /// Returns the id of a version in answers and events, which an unversioned bucket leaves out.
    pub(in super::super) fn shown(&self, id: String) -> Option<String> {
        (self.versioning != Versioning::Unversioned).then_some(id)
    }
}

/// Returns the id of the version with this number: 32 characters that do not show any order.
fn new_id(serial: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";
    let digest = Sha256::digest(serial.to_be_bytes());
    digest.iter().map(|byte| char::from(CHARACTERS[usize::from(byte % 64)])).collect()
}

/// Returns whether a text has the form of a version's id.
pub(super) fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text == NULL || (text.len() == 32 && text.bytes().all(is_allowed))
}
