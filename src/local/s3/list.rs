//! Answers the calls that list a bucket.
//!
//! - <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>
//! - <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>

use super::{
    answer::Error,
    bucket::{Bucket, Content, Version, is_id},
    query::Query,
    xml::{self, Encoding, NAMESPACE, leaf},
};

const OWNER: &str =
    "<Owner><ID>79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be</ID></Owner>";

/// A version in a list.
struct Entry<'a> {
    key: &'a str,
    version: &'a Version,
    is_latest: bool,
}

/// Returns the answer to ListObjectVersions.
pub(super) fn versions(name: &str, bucket: &Bucket, query: &Query) -> Result<String, Error> {
    query.only(&["versions", "prefix", "key-marker", "version-id-marker", "max-keys", "encoding-type"])?;
    let (encoding, max_keys) = (query.encoding()?, query.max_keys()?);
    let prefix = query.get("prefix").unwrap_or_default();
    let key_marker = query.get("key-marker").unwrap_or_default();
    let id_marker = query.get("version-id-marker");
    let is_after = after(bucket, key_marker, id_marker)?;
    let entries = bucket.listed(prefix, key_marker).flat_map(|(key, versions)| {
        versions.iter().enumerate().map(move |(at, version)| Entry { key, version, is_latest: at == 0 })
    });
    let mut entries = entries.filter(|entry| is_after(entry.key, entry.version));
    let page: Vec<Entry<'_>> = entries.by_ref().take(max_keys).collect();
    let next = page.last().filter(|_| entries.next().is_some());

    let mut xml = begin("ListVersionsResult", name, encoding);
    leaf(&mut xml, "Prefix", &encoding.encode(prefix));
    leaf(&mut xml, "KeyMarker", &encoding.encode(key_marker));
    leaf(&mut xml, "VersionIdMarker", id_marker.unwrap_or_default());
    if let Some(Entry { key, version, .. }) = next {
        leaf(&mut xml, "NextKeyMarker", &encoding.encode(key));
        leaf(&mut xml, "NextVersionIdMarker", &version.id);
    }
    leaf(&mut xml, "MaxKeys", &max_keys.to_string());
    leaf(&mut xml, "IsTruncated", flag(next.is_some()));
    for entry in &page {
        write_version(&mut xml, entry, encoding);
    }
    xml.push_str("</ListVersionsResult>");
    Ok(xml)
}

/// Returns the condition for entries after the markers. With a version's id, those are the older
/// versions of its key, and all later keys.
fn after<'a>(
    bucket: &Bucket,
    key_marker: &'a str,
    id_marker: Option<&str>,
) -> Result<impl Fn(&str, &Version) -> bool + use<'a>, Error> {
    let serial = match id_marker {
        None => None,
        Some("") => {
            let why = "A version-id marker cannot be empty.";
            return Err(Error::invalid_argument(why, "version-id-marker", ""));
        }
        Some(id) if key_marker.is_empty() => {
            let why = "A version-id marker cannot be specified without a key marker.";
            return Err(Error::invalid_argument(why, "version-id-marker", id));
        }
        Some(id) => {
            let serial = bucket.serial(key_marker, id).filter(|_| is_id(id));
            Some(serial.ok_or_else(|| Error::invalid_version_id("version-id-marker", id))?)
        }
    };
    Ok(move |key: &str, version: &Version| {
        let is_older = || key == key_marker && serial.is_some_and(|serial| version.serial < serial);
        key_marker.is_empty() || key > key_marker || is_older()
    })
}

fn write_version(xml: &mut String, entry: &Entry<'_>, encoding: Encoding) {
    let Entry { key, version, is_latest } = entry;
    let name = if version.content.is_some() { "Version" } else { "DeleteMarker" };
    xml.extend(["<", name, ">"]);
    leaf(xml, "Key", &encoding.encode(key));
    leaf(xml, "VersionId", &version.id);
    leaf(xml, "IsLatest", flag(*is_latest));
    write_modified(xml, version);
    if let Some(content) = &version.content {
        write_content(xml, content);
    }
    xml.push_str(OWNER);
    xml.extend(["</", name, ">"]);
}

/// Returns the answer to ListObjectsV2.
pub(super) fn objects(name: &str, bucket: &Bucket, query: &Query) -> Result<String, Error> {
    query.only(&["list-type", "prefix", "start-after", "continuation-token", "max-keys", "encoding-type"])?;
    let (encoding, max_keys) = (query.encoding()?, query.max_keys()?);
    let prefix = query.get("prefix").unwrap_or_default();
    let token = query.get("continuation-token");
    let start = match token {
        Some(token) => read_token(token)?,
        None => query.get("start-after").unwrap_or_default().to_owned(),
    };
    let current = bucket.listed(prefix, &start).filter_map(|(key, versions)| {
        let version = versions.first()?;
        Some((key, version, version.content.as_ref()?))
    });
    let mut rest = current.filter(|(key, ..)| start.is_empty() || **key > *start);
    let page: Vec<(&str, &Version, &Content)> = rest.by_ref().take(max_keys).collect();
    let next = page.last().filter(|_| rest.next().is_some());

    let mut xml = begin("ListBucketResult", name, encoding);
    leaf(&mut xml, "Prefix", &encoding.encode(prefix));
    if let Some(start) = query.get("start-after") {
        leaf(&mut xml, "StartAfter", &encoding.encode(start));
    }
    if let Some(token) = token {
        leaf(&mut xml, "ContinuationToken", token);
    }
    if let Some((key, ..)) = next {
        leaf(&mut xml, "NextContinuationToken", &token_after(key));
    }
    leaf(&mut xml, "KeyCount", &page.len().to_string());
    leaf(&mut xml, "MaxKeys", &max_keys.to_string());
    leaf(&mut xml, "IsTruncated", flag(next.is_some()));
    for (key, version, content) in page {
        xml.push_str("<Contents>");
        leaf(&mut xml, "Key", &encoding.encode(key));
        write_modified(&mut xml, version);
        write_content(&mut xml, content);
        xml.push_str("</Contents>");
    }
    xml.push_str("</ListBucketResult>");
    Ok(xml)
}

/// Returns the opaque token that continues a list after a key. Like S3's, it needs escapes in a URL.
fn token_after(key: &str) -> String {
    let mut token = "1/".to_owned();
    token.extend(key.bytes().map(|byte| format!("{byte:02x}")));
    token + "+="
}

fn read_token(token: &str) -> Result<String, Error> {
    let read = || {
        let digits = token.strip_prefix("1/")?.strip_suffix("+=")?;
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
    };
    let why = "The continuation token provided is incorrect";
    read().ok_or_else(|| Error::invalid_argument(why, "continuation-token", token))
}

fn begin(root: &str, name: &str, encoding: Encoding) -> String {
    let mut xml = xml::document();
    xml.extend(["<", root, " xmlns=\"", NAMESPACE, "\">"]);
    leaf(&mut xml, "Name", name);
    if encoding == Encoding::Url {
        leaf(&mut xml, "EncodingType", "url");
    }
    xml
}

fn write_modified(xml: &mut String, version: &Version) {
    leaf(xml, "LastModified", &humantime::format_rfc3339_millis(version.modified).to_string());
}

fn write_content(xml: &mut String, content: &Content) {
    leaf(xml, "ETag", &format!("\"{}\"", content.etag));
    leaf(xml, "Size", &content.bytes.len().to_string());
    leaf(xml, "StorageClass", content.storage_class.name());
}

const fn flag(is_set: bool) -> &'static str {
    if is_set { "true" } else { "false" }
}
