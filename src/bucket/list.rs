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
        insertion_sort(&mut entries);
    }
    Ok(Page { entries, next })
}

/// Sorts versions by key, the newest first, and keeps the order of those that are equal. A page has at most
/// 1,000, and this takes less code than the library's sort.
fn insertion_sort(entries: &mut [Version]) {
    let order = |entry: &Version| (!entry.is_latest, Reverse(entry.modified));
    for next in 1..entries.len() {
        let (sorted, entry) = (&entries[..next], &entries[next]);
        let at = sorted.partition_point(|one| {
            one.key.cmp(&entry.key).then_with(|| order(one).cmp(&order(entry))).is_le()
        });
        entries[at..=next].rotate_right(1);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of AWS's documentation of ListObjectVersions.
    const EXAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
    <Name>bucket</Name>
    <Prefix>my</Prefix>
    <KeyMarker/>
    <VersionIdMarker/>
    <MaxKeys>5</MaxKeys>
    <IsTruncated>false</IsTruncated>
    <Version>
        <Key>my-image.jpg</Key>
        <VersionId>3/L4kqtJl40Nr8X8gdRQBpUMLUo</VersionId>
        <IsLatest>true</IsLatest>
        <LastModified>2009-10-12T17:50:30.000Z</LastModified>
        <ETag>"fba9dede5f27731c9771645a39863328"</ETag>
        <Size>434234</Size>
        <StorageClass>STANDARD</StorageClass>
        <Owner>
            <ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID>
            <DisplayName>mtd@amazon.com</DisplayName>
        </Owner>
    </Version>
    <DeleteMarker>
        <Key>my-second-image.jpg</Key>
        <VersionId>03jpff543dhffds434rfdsFDN943fdsFkdmqnh892</VersionId>
        <IsLatest>true</IsLatest>
        <LastModified>2009-11-12T17:50:30.000Z</LastModified>
        <Owner>
            <ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID>
            <DisplayName>mtd@amazon.com</DisplayName>
        </Owner>
    </DeleteMarker>
    <Version>
        <Key>my-second-image.jpg</Key>
        <VersionId>QUpfdndhfd8438MNFDN93jdnJFkdmqnh893</VersionId>
        <IsLatest>false</IsLatest>
        <LastModified>2009-10-10T17:50:30.000Z</LastModified>
        <ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag>
        <Size>166434</Size>
        <StorageClass>GLACIER</StorageClass>
        <Owner>
            <ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID>
            <DisplayName>mtd@amazon.com</DisplayName>
        </Owner>
    </Version>
</ListVersionsResult>"#;

    fn version(key: &str, id: &str, modified: u64) -> Version {
        Version {
            key: Key::from(key.as_bytes()),
            id: id.into(),
            is_marker: false,
            is_latest: true,
            is_archived: false,
            etag: "".into(),
            size: 0,
            modified,
        }
    }

    #[test]
    fn versions_and_delete_markers_keep_their_order() {
        let expected = vec![
            Version {
                etag: "fba9dede5f27731c9771645a39863328".into(),
                size: 434_234,
                ..version("my-image.jpg", "3/L4kqtJl40Nr8X8gdRQBpUMLUo", 1_255_369_830_000)
            },
            Version {
                is_marker: true,
                ..version(
                    "my-second-image.jpg",
                    "03jpff543dhffds434rfdsFDN943fdsFkdmqnh892",
                    1_258_048_230_000,
                )
            },
            Version {
                etag: "9b2cf535f27731c974343645a3985328".into(),
                size: 166_434,
                is_latest: false,
                is_archived: true,
                ..version("my-second-image.jpg", "QUpfdndhfd8438MNFDN93jdnJFkdmqnh893", 1_255_197_030_000)
            },
        ];
        assert_eq!(versions(EXAMPLE.as_bytes()), Ok(Page { entries: expected, next: None }));
    }

    #[test]
    fn delete_markers_after_all_versions_are_sorted_in() {
        let entry = |kind: &str, key: &str, id: u32, is_latest: bool| {
            format!(
                "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{is_latest}</IsLatest>\
                 <LastModified>2026-01-01T00:00:0{id}Z</LastModified><ETag>x</ETag><Size>1</Size></{kind}>"
            )
        };
        let entries = [
            entry("Version", "a", 3, true),
            entry("Version", "a", 1, false),
            entry("Version", "b", 4, false),
            entry("DeleteMarker", "a", 2, false),
            entry("DeleteMarker", "b", 4, true),
        ];
        let answer = format!(
            "<ListVersionsResult><IsTruncated>false</IsTruncated>{}</ListVersionsResult>",
            entries.concat()
        );
        let page = versions(answer.as_bytes()).expect("a page");
        let order: Vec<_> =
            page.entries.iter().map(|one| (one.key.to_string(), &*one.id, one.is_marker)).collect();
        let order: Vec<_> = order.iter().map(|(key, id, is_marker)| (&**key, *id, *is_marker)).collect();
        assert_eq!(
            order,
            [("a", "3", false), ("a", "2", true), ("a", "1", false), ("b", "4", true), ("b", "4", false)]
        );
    }

    /// Returns a list of objects with this beginning and one object with this key.
    fn one(head: &str, key: &str) -> String {
        format!(
            "<ListBucketResult>{head}<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z\
             </LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass>\
             </Contents></ListBucketResult>"
        )
    }

    #[test]
    fn keys_are_decoded_if_and_only_if_they_are_encoded() {
        const COMPLETE: &str = "<IsTruncated>false</IsTruncated>";
        let key = |head: &str, key: &str| {
            let page = objects(one(head, key).as_bytes()).expect("a page");
            page.entries[0].key.as_bytes().to_vec()
        };
        let encoded = format!("<EncodingType>url</EncodingType>{COMPLETE}");
        assert_eq!(key(&encoded, "a+b%2Bc%25/%C3%BC%00%0D%0A"), "a b+c%/ü\0\r\n".as_bytes());
        assert_eq!(key(&encoded, "%FFx"), b"\xffx");
        assert_eq!(key(COMPLETE, "a+b%2Bc&amp;&#13;&#x1;"), b"a+b%2Bc&\r\x01");
        assert_eq!(key(COMPLETE, " ü <!-- x --><![CDATA[<&]]> "), " ü <& ".as_bytes());
    }

    #[test]
    fn a_truncated_list_has_a_marker() {
        let answer = |next: &str| {
            let answer = format!(
                "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>{next}\
                 </ListVersionsResult>"
            );
            versions(answer.as_bytes()).map(|page| page.next)
        };
        let marker = |version: Option<&str>| {
            Ok(Some(Marker { key: Key::from(&b"a b"[..]), version: version.map(Into::into) }))
        };
        let next = "<NextKeyMarker>a+b</NextKeyMarker>";
        assert_eq!(answer(next), marker(None));
        assert_eq!(
            answer(&format!("{next}<NextVersionIdMarker>1+2</NextVersionIdMarker>")),
            marker(Some("1+2"))
        );
        assert_eq!(answer(""), Err(Invalid::Missing("NextKeyMarker")));
        let objects = |head: &str| objects(one(head, "a").as_bytes()).map(|page| page.next);
        let truncated = "<IsTruncated>true</IsTruncated>";
        assert_eq!(
            objects(&format!("{truncated}<NextContinuationToken>1+/=%</NextContinuationToken>")),
            Ok(Some("1+/=%".into()))
        );
        assert_eq!(objects(truncated), Err(Invalid::Missing("NextContinuationToken")));
        assert_eq!(objects(""), Err(Invalid::Missing("IsTruncated")));
    }

    #[test]
    fn an_empty_list_has_no_entries() {
        let answer = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
        assert_eq!(versions(answer.as_bytes()), Ok(Page { entries: Vec::new(), next: None }));
        let answer =
            "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
        assert_eq!(objects(answer.as_bytes()), Ok(Page { entries: Vec::new(), next: None }));
    }

    #[test]
    fn an_entry_without_a_required_element_is_an_error() {
        for name in ["Key", "VersionId", "LastModified", "ETag", "Size"] {
            let renamed = EXAMPLE.replace(&format!("<{name}>"), "<X>").replace(&format!("</{name}>"), "</X>");
            assert_eq!(versions(renamed.as_bytes()), Err(Invalid::Missing(name)));
        }
        let negative = EXAMPLE.replace("434234", "-1");
        assert_eq!(versions(negative.as_bytes()), Err(Invalid::Missing("Size")));
        let yesterday = EXAMPLE.replace("2009-11-12T17:50:30.000Z", "yesterday");
        assert_eq!(versions(yesterday.as_bytes()), Err(Invalid::Missing("LastModified")));
    }

    #[test]
    fn no_broken_answer_is_a_page_and_none_panics() {
        for end in 0..EXAMPLE.len() {
            assert!(versions(&EXAMPLE.as_bytes()[..end]).is_err(), "cut off at {end}");
        }
        let deep = "<a>".repeat(100_000);
        let entities = r#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>"#;
        let in_list = |content: &str| {
            format!("<ListVersionsResult><IsTruncated>false</IsTruncated>{content}</ListVersionsResult>")
        };
        assert!(versions(in_list("").as_bytes()).is_ok());
        for broken in [
            String::new(),
            "\0".to_owned(),
            "<".to_owned(),
            "plain text".to_owned(),
            "<html><body>Bad gateway</body></html>".to_owned(),
            deep.clone(),
            in_list(&deep),
            in_list(&"<a>".repeat(20)),
            in_list("<a></b>"),
            in_list("<Version><Key>&b;</Key></Version>"),
            in_list("&#0;"),
            in_list("&#xD800;"),
            in_list("&#99999999999;"),
            in_list("& x"),
            in_list("<Version/>"),
            in_list("<DeleteMarker></DeleteMarker>"),
            format!("{entities}{}", in_list("&b;")),
            format!("{}{}", in_list(""), in_list("")),
            in_list("").replace("ListVersionsResult", "ListBucketResult"),
        ] {
            let beginning: String = broken.chars().take(80).collect();
            assert!(versions(broken.as_bytes()).is_err(), "{beginning}");
        }
        for (at, _) in EXAMPLE.bytes().enumerate() {
            for byte in [b'<', b'>', b'&', 0, 0xff] {
                let mut changed = EXAMPLE.as_bytes().to_vec();
                changed[at] = byte;
                // It may still be valid.
                let _ = versions(&changed);
            }
        }
    }
}
