//! Knows the keys that the buckets hold beside the changed ones, as far as they were listed, so that
//! the planner can count what a wildcard would purge needlessly.
//!
//! Knowledge never decides what to purge, only how to fold it. A listing that is incomplete, old or
//! wrong makes a plan more expensive, but no plan leaves a changed object out.

mod choice;
mod listing;

use std::collections::BTreeMap;

pub use self::{
    choice::Wanted,
    listing::{Listed, MOST_CALLS, Source, list},
};

/// Maximum number of bytes of keys to keep: 30,000 keys of 140 bytes. Keys beyond it count as not
/// listed.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Maximum length of a key in bytes.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
const MOST_KEY: usize = 1_024;

/// The keys that the buckets are known to hold.
#[derive(Clone, Debug, Default)]
pub struct Neighbors {
    /// The pages of each bucket, by its name in lower case. In the order of their first possible keys.
    buckets: BTreeMap<Box<str>, Vec<Page>>,
    /// The number of bytes of all keys.
    bytes: usize,
}

/// A range of keys, of which all that exist are known.
#[derive(Clone, Debug)]
struct Page {
    from: Box<[u8]>,
    until: Option<Box<[u8]>>,
    /// The keys, one after the other. Many small allocations would take more memory than the keys.
    text: Box<[u8]>,
    /// The end of each key in `text`.
    ends: Box<[u32]>,
}

/// A range of keys in the order of their bytes, which is the order of S3's listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span<'a> {
    /// The first possible key.
    pub(crate) from: &'a [u8],
    /// The first key beyond the range. `None` if there is none.
    pub(crate) until: Option<&'a [u8]>,
}

impl Page {
    fn span(&self) -> Span<'_> {
        Span { from: &self.from, until: self.until.as_deref() }
    }

    fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            let key = &self.text[start..end];
            start = end;
            key
        })
    }
}

impl Span<'_> {
    fn contains(&self, key: &[u8]) -> bool {
        self.from <= key && self.until.is_none_or(|until| key < until)
    }
}

/// Returns the first key that is greater than every key with this prefix. `None` if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

impl Neighbors {
    /// Returns whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Adds all keys of a bucket that begin with `prefix`, in the order of S3's listings.
    pub fn add<K: AsRef<[u8]>>(&mut self, bucket: &str, prefix: &[u8], keys: impl IntoIterator<Item = K>) {
        self.insert(bucket, prefix.into(), after_prefix(prefix), keys);
    }

    /// Adds the keys that a listing of `prefix` returned, in its order. The listing started after the
    /// key `after`. If there are more keys than these, `is_last` is false.
    pub fn add_page<K: AsRef<[u8]>>(
        &mut self,
        bucket: &str,
        prefix: &[u8],
        after: Option<&[u8]>,
        keys: &[K],
        is_last: bool,
    ) {
        // The caller knows about the key `after` itself.
        let from = after.unwrap_or(prefix);
        let until = match keys.last() {
            _ if is_last => after_prefix(prefix),
            Some(last) => Some(successor(last.as_ref())),
            None => return,
        };
        self.insert(bucket, from.into(), until, keys);
    }

    fn insert<K: AsRef<[u8]>>(
        &mut self,
        bucket: &str,
        from: Box<[u8]>,
        mut until: Option<Vec<u8>>,
        keys: impl IntoIterator<Item = K>,
    ) {
        let bucket = bucket.to_ascii_lowercase();
        let known = self.buckets.get(&*bucket).map_or(&[][..], Vec::as_slice);
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for key in keys {
            let key = key.as_ref();
            let is_known = known.iter().any(|page| page.span().contains(key));
            if is_known || !(Span { from: &from, until: until.as_deref() }).contains(key) {
                continue;
            }
            if self.bytes + text.len() + key.len() > MOST_BYTES {
                until = Some(key.to_vec());
                break;
            }
            text.extend_from_slice(key);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        if until.as_deref().is_some_and(|until| until <= &*from) {
            return;
        }
        self.bytes += text.len();
        let page = Page { from, until: until.map(Into::into), text: text.into(), ends: ends.into() };
        let pages = self.buckets.entry(bucket.into()).or_default();
        pages.insert(pages.partition_point(|other| other.from <= page.from), page);
    }

    /// Returns whether there is no room for more keys.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes + MOST_KEY > MOST_BYTES
    }

    /// Returns the known keys of a bucket, whose name is in lower case. Each occurs once.
    pub fn keys(&self, bucket: &str) -> impl Iterator<Item = &[u8]> {
        self.pages(bucket).iter().flat_map(Page::keys)
    }

    /// Returns whether every key of a bucket that begins with `prefix` is known.
    #[must_use]
    pub fn is_listed(&self, bucket: &str, prefix: &[u8]) -> bool {
        let until = after_prefix(prefix);
        self.gap(bucket, Span { from: prefix, until: until.as_deref() }).is_none()
    }

    /// Returns whether it is known that a bucket holds this key, or that it does not.
    pub(crate) fn knows(&self, bucket: &str, key: &[u8]) -> bool {
        self.pages(bucket).iter().any(|page| page.span().contains(key))
    }

    /// Returns the first range of keys within `span` that were not listed. `None` if all were.
    pub(crate) fn gap<'a>(&'a self, bucket: &str, span: Span<'a>) -> Option<Span<'a>> {
        let mut from = span.from;
        for page in self.pages(bucket) {
            if *page.from > *from {
                let ends = [Some(&*page.from), span.until];
                return Some(Span { from, until: ends.into_iter().flatten().min() });
            }
            from = from.max(page.until.as_deref()?);
            if span.until.is_some_and(|until| until <= from) {
                return None;
            }
        }
        Some(Span { from, until: span.until })
    }

    /// Returns the number of known keys of a bucket, whose name is in lower case.
    #[must_use]
    pub fn count(&self, bucket: &str) -> usize {
        self.pages(bucket).iter().map(|page| page.ends.len()).sum()
    }

    /// Returns the range of the page that ends at `until`, and the number of keys in it.
    fn page_before(&self, bucket: &str, until: &[u8]) -> Option<(Span<'_>, usize)> {
        let ending = self.pages(bucket).iter().filter(|page| page.until.as_deref() == Some(until));
        ending.map(|page| (page.span(), page.ends.len())).max_by_key(|(_, count)| *count)
    }

    /// Returns a key between which and `until`, the end of a page, the bucket holds no other.
    fn last_before(&self, bucket: &str, until: &[u8]) -> Option<&[u8]> {
        let begun = self.pages(bucket).iter().filter(|page| *page.from < *until);
        begun.map(|page| page.keys().filter(|key| *key < until).last().unwrap_or(&page.from)).max()
    }

    fn pages(&self, bucket: &str) -> &[Page] {
        self.buckets.get(bucket).map_or(&[], Vec::as_slice)
    }
}

/// Returns the next possible key.
fn successor(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(neighbors: &Neighbors) -> Vec<&str> {
        neighbors.keys("site").map(|key| std::str::from_utf8(key).expect("text")).collect()
    }

    #[test]
    fn pages_that_touch_list_a_prefix_together() {
        let mut neighbors = Neighbors::default();
        neighbors.add_page("Site", b"a/", None, &["a/1", "a/2"], false);
        assert!(!neighbors.is_listed("site", b"a/") && neighbors.is_listed("site", b"a/1"));
        assert!(!neighbors.is_listed("site", b"a/2"), "a/2x may exist");
        assert!(!neighbors.is_listed("site", b""));
        neighbors.add_page("site", b"a/", Some(b"a/2"), &["a/3"], true);
        assert!(neighbors.is_listed("site", b"a/") && neighbors.is_listed("site", b"a/3"));
        assert!(!neighbors.is_listed("site", b"a") && !neighbors.is_listed("other", b"a/"));
        assert_eq!(keys(&neighbors), ["a/1", "a/2", "a/3"]);
    }

    #[test]
    fn keys_that_are_known_twice_occur_once() {
        let mut neighbors = Neighbors::default();
        neighbors.add("site", b"a/", ["a/1", "a/2"]);
        neighbors.add("site", b"", ["A", "a/1", "a/2", "b"]);
        let mut all = keys(&neighbors);
        all.sort_unstable();
        assert_eq!(all, ["A", "a/1", "a/2", "b"]);
        assert!(neighbors.is_listed("site", b""));
    }

    #[test]
    fn gaps_lie_between_the_pages() {
        let mut neighbors = Neighbors::default();
        let all = Span { from: b"", until: None };
        assert_eq!(neighbors.gap("site", all), Some(all));
        neighbors.add("site", b"b/", ["b/1"]);
        assert_eq!(neighbors.gap("site", all), Some(Span { from: b"", until: Some(b"b/") }));
        neighbors.add_page("site", b"", None, &["a", "b/"], false);
        assert_eq!(neighbors.gap("site", all), Some(Span { from: b"b0", until: None }));
        let within = Span { from: b"b/2", until: Some(b"c") };
        assert_eq!(neighbors.gap("site", within), Some(Span { from: b"b0", until: Some(b"c") }));
        neighbors.add_page("site", b"", Some(b"b/x"), &["c"], true);
        assert_eq!(neighbors.gap("site", all), None);
    }

    #[test]
    fn what_does_not_fit_into_memory_is_not_listed() {
        let mut neighbors = Neighbors::default();
        let long: Vec<String> =
            (0..9).map(|index| format!("{index}{}", "x".repeat(MOST_BYTES / 8))).collect();
        neighbors.add_page("site", b"", None, &long, true);
        assert!(neighbors.is_listed("site", b"0") && !neighbors.is_listed("site", b"8"));
        assert!(neighbors.keys("site").map(<[u8]>::len).sum::<usize>() <= MOST_BYTES);
    }

    #[test]
    fn the_last_bytes_have_no_successor() {
        assert_eq!(after_prefix(b""), None);
        assert_eq!(after_prefix(b"\xff\xff"), None);
        assert_eq!(after_prefix(b"a\xff").as_deref(), Some(&b"b"[..]));
    }
}
