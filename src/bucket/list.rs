//! Reads lists of objects and versions.

use std::cmp::Reverse;

use super::{
    Marker, Object, Page, Version,
    xml::{Invalid, read},
};
use crate::{event::Key, time::milliseconds};

/// The storage classes whose objects cannot be read unless they are restored first.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html>
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Reads an answer of ListObjectVersions.
///
/// # Errors
///
/// Fails if the answer is not complete and valid.
pub(super) fn versions(answer: &[u8]) -> Result<Page<Version>, Invalid> {
    let list = List::read(answer, "ListVersionsResult")?;
    let key = |key: &str| list.key(key);
    let next = list.next("NextKeyMarker")?.map(|next| Marker {
        key: key(next),
        version: (!list.version.is_empty()).then(|| list.version.as_str().into()),
    });
    let mut entries = Vec::with_capacity(list.entries.len());
    for entry in &list.entries {
        let Entry { id, is_marker, is_latest, storage_class, etag, size, modified, .. } = entry;
        entries.push(Version {
            key: key(&entry.key),
            id: required(id, "VersionId")?.into(),
            is_marker: *is_marker,
            is_latest: *is_latest,
            is_archived: ARCHIVES.contains(&&**storage_class),
            etag: if *is_marker { "".into() } else { required(etag, "ETag")?.into() },
            size: if *is_marker { 0 } else { number(size, "Size")? },
            modified: time(modified)?,
        });
    }
    // S3 lists versions and delete markers in one order. Others list all markers after all versions.
    if !entries.is_sorted_by_key(|entry| &entry.key) {
        entries.sort_by(|a, b| {
            let order = |entry: &Version| (!entry.is_latest, Reverse(entry.modified));
            a.key.cmp(&b.key).then_with(|| order(a).cmp(&order(b)))
        });
    }
    Ok(Page { entries, next })
}

/// Reads an answer of ListObjectsV2.
///
/// # Errors
///
/// Fails if the answer is not complete and valid.
pub(super) fn objects(answer: &[u8]) -> Result<Page<Object, Box<str>>, Invalid> {
    let list = List::read(answer, "ListBucketResult")?;
    let next = list.next("NextContinuationToken")?.map(Into::into);
    let mut entries = Vec::with_capacity(list.entries.len());
    for Entry { key, etag, size, modified, .. } in &list.entries {
        entries.push(Object {
            key: list.key(key),
            etag: required(etag, "ETag")?.into(),
            size: number(size, "Size")?,
            modified: time(modified)?,
        });
    }
    Ok(Page { entries, next })
}

/// A list as S3 spells it.
#[derive(Debug, Default)]
struct List {
    entries: Vec<Entry>,
    is_url_encoded: bool,
    is_truncated: Option<bool>,
    /// The key or the token that continues the list.
    next: String,
    /// The version that continues the list.
    version: String,
}

/// An entry of a list, with its texts as S3 spells them. Those that it lacks are empty.
#[derive(Debug, Default)]
struct Entry {
    key: String,
    id: String,
    etag: String,
    size: String,
    modified: String,
    storage_class: String,
    is_latest: bool,
    is_marker: bool,
}

impl List {
    fn read(answer: &[u8], root: &'static str) -> Result<Self, Invalid> {
        let mut list = Self::default();
        let mut entry = Entry::default();
        read(answer, root, &mut |parent, name, text| {
            match (parent, name) {
                ("Version" | "DeleteMarker" | "Contents", _) => entry.set(name, text),
                (_, "Version" | "DeleteMarker" | "Contents") => {
                    required(&entry.key, "Key")?;
                    entry.is_marker = name == "DeleteMarker";
                    list.entries.push(std::mem::take(&mut entry));
                }
                (_, "EncodingType") => list.is_url_encoded = text == "url",
                (_, "IsTruncated") => list.is_truncated = text.parse().ok(),
                (_, "NextKeyMarker" | "NextContinuationToken") => text.clone_into(&mut list.next),
                (_, "NextVersionIdMarker") => text.clone_into(&mut list.version),
                _ => {}
            }
            Ok(())
        })?;
        Ok(list)
    }

    /// Returns what continues the list. `None` if the list is complete.
    fn next(&self, name: &'static str) -> Result<Option<&str>, Invalid> {
        match self.is_truncated {
            Some(false) => Ok(None),
            Some(true) => required(&self.next, name).map(Some),
            None => Err(Invalid::Missing("IsTruncated")),
        }
    }

    /// Decodes a key.
    fn key(&self, text: &str) -> Key {
        if self.is_url_encoded { Key::decode(text) } else { Key::from(text.as_bytes()) }
    }
}

impl Entry {
    fn set(&mut self, name: &str, text: &str) {
        let field = match name {
            "Key" => &mut self.key,
            "VersionId" => &mut self.id,
            "ETag" => {
                text.trim_matches('"').clone_into(&mut self.etag);
                return;
            }
            "Size" => &mut self.size,
            "LastModified" => &mut self.modified,
            "StorageClass" => &mut self.storage_class,
            "IsLatest" => {
                self.is_latest = text == "true";
                return;
            }
            _ => return,
        };
        text.clone_into(field);
    }
}

fn required<'t>(text: &'t str, name: &'static str) -> Result<&'t str, Invalid> {
    if text.is_empty() { Err(Invalid::Missing(name)) } else { Ok(text) }
}

fn number(text: &str, name: &'static str) -> Result<u64, Invalid> {
    text.parse().map_err(|_| Invalid::Missing(name))
}

fn time(text: &str) -> Result<u64, Invalid> {
    milliseconds(text).ok_or(Invalid::Missing("LastModified"))
}
