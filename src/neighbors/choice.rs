//! Chooses what to list of a bucket, so that few calls say the most about the changed keys.
//!
//! The wildcards to choose from are the common prefixes of changed keys. One of them is only known if
//! everything below it is listed. So the choice begins at the common prefix of all changed keys. While
//! more keys lie below it than the remaining calls can list, it goes on to the longer prefix with the most
//! changed keys that are not listed yet. The last page before a gap says how many objects
//! to expect for each changed key in it.

use std::{iter, ops::Range};

use super::{Neighbors, Span, after_prefix};

/// The number of keys in a page of a listing.
pub(super) const PAGE: u16 = 1_000;

/// The changed keys of a bucket that a plan has to fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The bucket's name, in lower case.
    pub bucket: String,
    /// The keys: sorted, without duplicates.
    pub keys: Vec<&'a [u8]>,
}

/// The beginning of a page to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The prefix of the keys to list.
    pub(super) prefix: Vec<u8>,
    /// The key after which the page begins.
    pub(super) after: Option<Vec<u8>>,
}

/// A prefix, and the changed keys that begin with it.
struct Branch {
    prefix: Vec<u8>,
    /// The first key beyond those with the prefix. `None` if there is none.
    until: Option<Vec<u8>>,
    keys: Range<usize>,
}

/// A range of keys that is not listed.
struct Gap<'k> {
    /// The key after which a listing of it begins. `None` for the beginning of the branch.
    after: Option<&'k [u8]>,
    /// The changed keys in it.
    keys: Range<usize>,
    /// The expected number of pages.
    pages: usize,
}

impl Branch {
    fn span(&self) -> Span<'_> {
        Span { from: &self.prefix, until: self.until.as_deref() }
    }
}

impl Wanted<'_> {
    /// Returns where to list next, with at most `calls` calls. At most `at_once` pages are asked for
    /// now. Empty if no page is worth a call.
    pub(super) fn next(&self, known: &Neighbors, calls: usize, at_once: usize) -> Vec<Start> {
        let is_new: Vec<bool> = self.keys.iter().map(|key| !known.knows(&self.bucket, key)).collect();
        let unlisted = |keys: &Range<usize>| is_new[keys.clone()].iter().filter(|is_new| **is_new).count();
        let mut branch = self.branch(0..self.keys.len());
        let (gaps, pages) = loop {
            let gaps = self.gaps(&branch, known);
            let pages: usize = gaps.iter().map(|gap| gap.pages).sum();
            if pages <= calls {
                break (gaps, pages);
            }
            match self.narrower(&branch).max_by_key(&unlisted) {
                Some(keys) if unlisted(&keys) > 1 => branch = self.branch(keys),
                _ => return Vec::new(),
            }
        };
        // Ranges without changes matter only to the wildcards around them.
        let (mut with, without): (Vec<_>, Vec<_>) = gaps.into_iter().partition(|gap| !gap.keys.is_empty());
        let room = at_once.saturating_sub(with.len());
        if let Some(Gap { keys, .. }) = with.iter().max_by_key(|gap| gap.keys.len()) {
            // Several listings of one range at the same time meet in the middle of a page, so each has to
            // be worth it.
            let (keys, parts) = (keys.clone(), (pages / 2).clamp(1, room + 1).min(keys.len()));
            let inner = (1..parts).map(|part| self.keys[keys.start + part * keys.len() / parts]);
            with.extend(inner.map(|after| Gap { after: Some(after), keys: 0..0, pages: 0 }));
        }
        let starts = with.into_iter().chain(without).take(calls.min(at_once));
        starts
            .map(|gap| Start { prefix: branch.prefix.clone(), after: gap.after.map(<[u8]>::to_vec) })
            .collect()
    }

    /// Returns the branch of these changed keys, of which there is at least one.
    fn branch(&self, keys: Range<usize>) -> Branch {
        let shared = &self.keys[keys.start][..self.shared(&keys)];
        // S3 takes no prefix that ends within a character.
        let prefix = shared.utf8_chunks().next().map_or(&b""[..], |chunk| chunk.valid().as_bytes());
        Branch { prefix: prefix.to_vec(), until: after_prefix(prefix), keys }
    }

    /// Returns the length of the longest common prefix of these changed keys.
    fn shared(&self, keys: &Range<usize>) -> usize {
        let (first, last) = (self.keys[keys.start], self.keys[keys.end - 1]);
        first.iter().zip(last).take_while(|(a, b)| a == b).count()
    }

    /// Returns the changed keys of each longer prefix within a branch.
    fn narrower(&self, branch: &Branch) -> impl Iterator<Item = Range<usize>> {
        let shared = self.shared(&branch.keys);
        let mut left = branch.keys.clone();
        iter::from_fn(move || {
            let first = self.keys[left.clone()].first()?.get(shared);
            let count = self.keys[left.clone()].partition_point(|key| key.get(shared) <= first);
            let run = left.start..left.start + count;
            left.start = run.end;
            Some(run)
        })
    }

    /// Returns the changed keys in a range.
    fn within(&self, Span { from, until }: Span<'_>) -> Range<usize> {
        let first = self.keys.partition_point(|key| *key < from);
        let count = self.keys[first..].partition_point(|key| until.is_none_or(|until| *key < until));
        first..first + count
    }

    /// Returns the ranges of keys of a branch that are not listed.
    fn gaps<'k>(&self, branch: &'k Branch, known: &'k Neighbors) -> Vec<Gap<'k>> {
        let mut span = branch.span();
        let mut gaps = Vec::new();
        while let Some(Span { from, until }) = known.gap(&self.bucket, span) {
            let keys = self.within(Span { from, until });
            let (mut after, mut pages) = (None, 1);
            if *from != *branch.prefix
                && let Some((page, count)) = known.page_before(&self.bucket, from)
            {
                after = known.last_before(&self.bucket, from);
                // The gap is probably like the page before it.
                pages =
                    (keys.len() * count).div_ceil(self.within(page).len().max(1) * usize::from(PAGE)).max(1);
            }
            gaps.push(Gap { after, keys, pages });
            match until {
                Some(next) if until != span.until => span.from = next,
                _ => break,
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(keys: &[String]) -> Wanted<'_> {
        let mut keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
        keys.sort_unstable();
        Wanted { bucket: "site".to_owned(), keys }
    }

    /// Lists a bucket as the choice says, with at most `calls` calls. Returns the number of calls.
    fn ask(wanted: &Wanted<'_>, bucket: &[String], calls: usize, known: &mut Neighbors) -> usize {
        let mut sorted: Vec<&[u8]> = bucket.iter().map(String::as_bytes).collect();
        sorted.sort_unstable();
        let mut asked = 0;
        loop {
            let starts = wanted.next(known, calls - asked, 6);
            if starts.is_empty() {
                return asked;
            }
            asked += starts.len();
            for Start { prefix, after } in starts {
                let is_meant = |key: &&&[u8]| {
                    key.starts_with(&prefix) && after.as_deref().is_none_or(|after| **key > after)
                };
                let mut keys = sorted.iter().filter(is_meant).copied();
                let page: Vec<&[u8]> = keys.by_ref().take(PAGE.into()).collect();
                known.add_page("site", &prefix, after.as_deref(), &page, keys.next().is_none());
            }
        }
    }

    fn numbered(directory: &str, count: usize) -> impl Iterator<Item = String> + use<> {
        let directory = directory.to_owned();
        (0..count).map(move |index| format!("{directory}{index:06}"))
    }

    #[test]
    fn a_small_bucket_takes_one_call() {
        let bucket: Vec<String> = numbered("docs/", 900).collect();
        let changed: Vec<String> = bucket.iter().step_by(3).cloned().collect();
        let mut known = Neighbors::default();
        assert_eq!(ask(&wanted(&changed), &bucket, 30, &mut known), 1);
        assert!(known.is_listed("site", b"docs/000") && !known.is_listed("site", b"doc"));
    }

    #[test]
    fn a_bucket_that_fits_is_listed_whole() {
        let bucket: Vec<String> = (0..9).flat_map(|at| numbered(&format!("{at}/"), 1_100)).collect();
        let changed: Vec<String> = bucket.iter().step_by(7).cloned().collect();
        let mut known = Neighbors::default();
        let calls = ask(&wanted(&changed), &bucket, 30, &mut known);
        assert!(known.is_listed("site", b""), "{calls}");
        assert!(calls <= 14, "{calls} calls for 10 pages");
        let unlisted = |key: &&String| !known.keys("site").any(|other| other == key.as_bytes());
        assert!(bucket.iter().filter(unlisted).all(|key| changed.contains(key)));
    }

    #[test]
    fn the_prefixes_with_the_most_changes_come_first_in_a_large_bucket() {
        let large = numbered("assets/", 100_000).chain(numbered("media/", 100_000));
        let bucket: Vec<String> =
            large.chain(numbered("blog/", 3_000)).chain(numbered("docs/", 2_000)).collect();
        let some =
            numbered("assets/", 100_000).step_by(1_000).chain(numbered("media/", 100_000).step_by(900));
        let pages = numbered("blog/", 3_000).step_by(2).chain(numbered("docs/", 2_000).step_by(4));
        let changed: Vec<String> = some.chain(pages).collect();
        let mut known = Neighbors::default();
        assert_eq!(ask(&wanted(&changed), &bucket, 30, &mut known), 30);
        assert!(known.is_listed("site", b"blog/00") && known.is_listed("site", b"docs/00"));
    }

    #[test]
    fn a_prefix_is_whole_characters() {
        let changed = ["\u{e4}1".to_owned(), "\u{e5}2".to_owned()];
        let starts = wanted(&changed).next(&Neighbors::default(), 30, 6);
        assert_eq!(starts, [Start { prefix: Vec::new(), after: None }]);
    }

    #[test]
    fn nothing_is_listed_twice() {
        let changed = ["a/1".to_owned(), "a/2".to_owned()];
        let mut known = Neighbors::default();
        known.add("site", b"a", ["a/1", "a/3"]);
        assert_eq!(wanted(&changed).next(&known, 30, 6), []);
        assert_eq!(wanted(&changed).next(&Neighbors::default(), 0, 6), []);
    }
}
