//! Finds the version below each of many versions of a bucket, with few calls.

use std::time::Instant;

use crate::{
    bucket::{Bucket, Error, Page, Version, VersionsQuery},
    event::Key,
};

/// Maximum number of entries of a page: S3's own limit.
const MOST_ENTRIES: u16 = 1_000;

/// The number of entries to ask for if a page is to show one version and the one below it. A few more
/// than two, because newer versions come first.
const FEW_ENTRIES: u16 = 8;

/// A version whose predecessor is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question<'b> {
    pub(super) key: &'b Key,
    pub(super) version: &'b str,
    /// Indices of the changes that created it. More than one if the event was delivered repeatedly.
    pub(super) changes: Vec<usize>,
}

/// The result of comparing a version with the one below it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It differs from the version below, or it is not there.
    Different,
    /// There is no version below.
    First,
    /// It has the content of the version below.
    SameContent {
        /// The id of the version below.
        below: Box<str>,
        /// The time at which that version was uploaded, in milliseconds since 1970.
        uploaded: u64,
    },
}

/// The way to ask for the next version.
enum Mode {
    /// Lists the versions of many neighboring keys: at most this many entries.
    Neighbors(u16),
    /// Lists the versions of one key.
    OneKey,
}

impl Mode {
    fn neighbors(entries: usize) -> Self {
        let entries = u16::try_from(entries).unwrap_or(u16::MAX);
        Self::Neighbors(entries.clamp(FEW_ENTRIES, MOST_ENTRIES))
    }
}

/// Answers these questions, which are sorted by key, until `deadline`. Returns what was seen, in order,
/// the error that ended the walk, if any, and the number of lists.
///
/// A version whose upload began before `begun_after`, in milliseconds since 1970, counts as different. A
/// multipart upload may take days, and lifecycle rules count the days of the version below from its
/// beginning.
///
/// Begins each list at the next key that is left. A list that answers many questions makes the next one
/// longer, and one that answers a single question, because the keys have long histories or many
/// neighbors, shows that asking for each key on its own is better.
pub(super) async fn walk(
    bucket: &Bucket<'_>,
    questions: &[Question<'_>],
    begun_after: u64,
    deadline: Instant,
) -> (Vec<Seen>, Option<Error>, usize) {
    let mut seen = Vec::with_capacity(questions.len());
    let mut mode = Mode::neighbors(questions.len() * 4);
    let mut lists = 0;
    // The last key whose versions have all been listed.
    let mut listed: Option<Key> = None;
    while let Some(question) = questions.get(seen.len()) {
        let key = question.key.as_bytes();
        let (page, prefix) = match mode {
            Mode::Neighbors(max_keys) => {
                let before = before(key);
                let after = listed.as_ref().map_or(before, |listed| before.max(listed.as_bytes()));
                let key_marker = Some(after).filter(|after| !after.is_empty());
                let query = VersionsQuery { prefix: b"", key_marker, version_id_marker: None, max_keys };
                (bucket.versions(&query, deadline).await, &b""[..])
            }
            Mode::OneKey => {
                let few = VersionsQuery {
                    prefix: key,
                    key_marker: None,
                    version_id_marker: None,
                    max_keys: FEW_ENTRIES,
                };
                let mut page = bucket.versions(&few, deadline).await;
                if page.as_ref().is_ok_and(|page| answer(page, key, question, begun_after).is_none()) {
                    lists += 1;
                    page = bucket.versions(&VersionsQuery { max_keys: MOST_ENTRIES, ..few }, deadline).await;
                }
                (page, key)
            }
        };
        lists += 1;
        let page = match page {
            Ok(page) => page,
            Err(error) => return (seen, Some(error), lists),
        };
        let begun = seen.len();
        while let Some(next) = questions.get(seen.len())
            && let Some(answer) = answer(&page, prefix, next, begun_after)
        {
            seen.push(answer);
        }
        let answered = seen.len() - begun;
        if answered == 0 && matches!(mode, Mode::OneKey) {
            // More versions came after this one than a page holds.
            seen.push(Seen::Different);
        }
        mode = match mode {
            Mode::Neighbors(_) if answered > 1 => Mode::neighbors(answered * 8),
            Mode::Neighbors(_) | Mode::OneKey => Mode::OneKey,
        };
        listed = complete_until(&page).cloned();
    }
    (seen, None, lists)
}

/// Returns a text shortly before a key in the order of keys: the key without its last character.
fn before(key: &[u8]) -> &[u8] {
    let last = key.iter().rposition(|byte| !(0x80..0xC0).contains(byte)).unwrap_or(0);
    &key[..last]
}

/// Returns the last key of a page whose versions are all on it.
fn complete_until(page: &Page<Version>) -> Option<&Key> {
    let last = &page.entries.last()?.key;
    if is_complete(page, last) {
        return Some(last);
    }
    page.entries.iter().rev().map(|entry| &entry.key).find(|key| *key != last)
}

/// Returns whether no later page has more versions of a key on this page.
fn is_complete(page: &Page<Version>, key: &Key) -> bool {
    page.next.as_ref().is_none_or(|next| next.version.is_none() || next.key != *key)
}

/// Returns what a page says about a version. `None` if it does not reach far enough. The page must begin
/// before the versions of the key, and have only keys with this prefix.
fn answer(page: &Page<Version>, prefix: &[u8], question: &Question<'_>, begun_after: u64) -> Option<Seen> {
    if !question.key.as_bytes().starts_with(prefix) {
        return None;
    }
    let begin = page.entries.partition_point(|entry| entry.key < *question.key);
    let of_key = &page.entries[begin..];
    let end = of_key.partition_point(|entry| entry.key == *question.key);
    let is_beyond = begin < page.entries.len() || page.next.is_none();
    let is_complete = is_beyond && is_complete(page, question.key);
    let versions = &of_key[..end];
    let Some(at) = versions.iter().position(|version| *version.id == *question.version) else {
        return is_complete.then_some(Seen::Different);
    };
    let own = &versions[at];
    if own.modified < begun_after {
        return Some(Seen::Different);
    }
    let Some(below) = versions.get(at + 1) else { return is_complete.then_some(Seen::First) };
    let is_content =
        |version: &Version| !version.is_marker && !version.is_archived && !version.etag.is_empty();
    let is_same = is_content(own) && is_content(below) && own.etag == below.etag && own.size == below.size;
    Some(if is_same {
        Seen::SameContent { below: below.id.clone(), uploaded: below.modified }
    } else {
        Seen::Different
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Marker;

    fn key(key: &str) -> Key {
        Key::from(key.as_bytes())
    }

    fn version(id: &str) -> Version {
        Version {
            key: key("a"),
            id: id.into(),
            is_marker: false,
            is_latest: false,
            is_archived: false,
            etag: "etag".into(),
            size: 1,
            modified: 5,
        }
    }

    /// Returns what a page says about the version `own` of the key `a`.
    fn says(entries: Vec<Version>, next: Option<Marker>) -> Option<Seen> {
        let key = key("a");
        let question = Question { key: &key, version: "own", changes: vec![0] };
        answer(&Page { entries, next }, b"", &question, 5)
    }

    #[test]
    fn only_two_versions_that_viewers_can_read_have_the_same_content() {
        let same = Some(Seen::SameContent { below: "below".into(), uploaded: 5 });
        let pair = || [version("own"), version("below")];
        assert_eq!(says(pair().into(), None), same);
        let changes: [fn(&mut Version); 4] = [
            |one| one.is_marker = true,
            |one| one.is_archived = true,
            |one| one.etag = "another".into(),
            |one| one.size = 2,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            for which in 0..2 {
                let mut pair = pair();
                change(&mut pair[which]);
                assert_eq!(says(pair.into(), None), Some(Seen::Different), "{number}, {which}");
            }
        }
        let without = pair().map(|one| Version { etag: "".into(), ..one });
        assert_eq!(says(without.into(), None), Some(Seen::Different), "nothing is known of the content");
        let [own, below] = pair();
        let long = Version { modified: 4, ..own };
        assert_eq!(says(vec![long.clone(), below], None), Some(Seen::Different), "a long upload");
        assert_eq!(says(vec![long], None), Some(Seen::Different), "a long upload");
    }

    #[test]
    fn a_page_says_nothing_about_versions_on_the_next_one() {
        let marker = |key_marker: &str, version: Option<&str>| {
            Some(Marker { key: key(key_marker), version: version.map(Into::into) })
        };
        let (own, other) = (|| version("own"), || version("newer"));
        let after = || Version { key: key("b"), ..version("x") };
        assert_eq!(says(vec![own()], None), Some(Seen::First));
        assert_eq!(says(vec![own()], marker("a", None)), Some(Seen::First));
        assert_eq!(says(vec![own()], marker("a", Some("own"))), None);
        assert_eq!(says(vec![own(), after()], marker("b", Some("x"))), Some(Seen::First));
        assert_eq!(says(vec![other()], None), Some(Seen::Different));
        assert_eq!(says(vec![other()], marker("a", Some("newer"))), None);
        let before = Version { key: key("A"), ..version("x") };
        assert_eq!(says(vec![before.clone()], None), Some(Seen::Different));
        assert_eq!(says(vec![before], marker("A", None)), None);
    }

    #[test]
    fn a_page_says_nothing_about_keys_without_its_prefix() {
        let key = key("b");
        let question = Question { key: &key, version: "own", changes: vec![0] };
        assert_eq!(answer(&Page { entries: vec![version("own")], next: None }, b"a", &question, 0), None);
    }
}
