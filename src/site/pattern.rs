//! Matches paths against the pattern of a behavior.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, percent_decode};

use crate::path::{Spelling, UNSAFE};

/// The path pattern of a behavior, such as `images/*.jpg`. `*` matches any number of characters,
/// including slashes, and `?` matches one. Everything else matches itself, with the same case.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html>
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PathPattern(Box<[u8]>);

impl PathPattern {
    /// Creates a pattern from its text in a configuration. A leading slash makes no difference.
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.strip_prefix('/').unwrap_or(pattern).as_bytes().into())
    }

    /// Returns the part before the first `*` or `?`.
    pub(super) fn literal_beginning(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| matches!(byte, b'*' | b'?'));
        &self.0[..end.unwrap_or(self.0.len())]
    }

    /// Returns whether the pattern matches a path, which has no leading slash.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let pattern = &*self.0;
        let (mut at, mut seen) = (0, 0);
        // The positions at which to resume after a mismatch: after the last `*` in the pattern,
        // and in the path after the bytes that this `*` has taken so far.
        let mut again = None;
        loop {
            match pattern.get(at) {
                None if seen == path.len() => return true,
                Some(b'*') => {
                    again = Some((at + 1, seen));
                    at += 1;
                    continue;
                }
                Some(b'?') if seen < path.len() => {
                    (at, seen) = (at + 1, seen + character(&path[seen..]));
                    continue;
                }
                Some(byte) if path.get(seen) == Some(byte) => {
                    (at, seen) = (at + 1, seen + 1);
                    continue;
                }
                _ => {}
            }
            match again {
                Some((behind, from)) if from < path.len() => {
                    again = Some((behind, from + 1));
                    (at, seen) = (behind, from + 1);
                }
                _ => return false,
            }
        }
    }
}

/// Returns the length of the first character in bytes. A byte that begins no UTF-8 sequence counts
/// as a character.
fn character(text: &[u8]) -> usize {
    1 + text.iter().skip(1).take_while(|byte| text[0] >= 0xC0 && **byte & 0xC0 == 0x80).count()
}

/// Returns every form of an object's path that CloudFront may compare with the patterns of
/// behaviors.
///
/// One is the path as viewers send it in this spelling. Another is the same path with its escapes
/// decoded, which AWS does not document. Each also comes without empty and dot segments, which AWS
/// does document.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html>
pub(super) fn readings(key: &[u8], spelling: Spelling) -> Vec<Cow<'_, [u8]>> {
    // Viewers send a "~" without escaping it. An unescaped "?" would begin a query.
    const ESCAPED: &AsciiSet = &UNSAFE.add(b'%').add(b'?').add(b'+').remove(b'~');
    let sent = match spelling.spell(key, ESCAPED) {
        Cow::Borrowed(sent) => Cow::Borrowed(sent.as_bytes()),
        Cow::Owned(sent) => Cow::Owned(sent.into_bytes()),
    };
    let unescaped: Vec<u8> = percent_decode(&sent).collect();
    let mut readings = vec![sent];
    if *readings[0] != *unescaped {
        readings.push(Cow::Owned(unescaped));
    }
    for index in 0..readings.len() {
        let normal = normalized(&readings[index]);
        if normal != *readings[index] {
            readings.push(Cow::Owned(normal));
        }
    }
    readings
}

/// Returns a path without its empty and dot segments.
fn normalized(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                if last {
                    kept.push(b"");
                }
            }
            b"" if !last => {}
            _ => kept.push(segment),
        }
    }
    kept.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths() {
        let cases = [
            ("*", "", true),
            ("*", "a/b", true),
            ("images/*", "images/a/b.jpg", true),
            ("/images/*", "images/a.jpg", true),
            ("images/*", "Images/a.jpg", false),
            ("images/*", "images", false),
            ("*.jpg", "a/b.jpg", true),
            ("*.jpg", "a/b.jpg2", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "a/c", true),
            ("a?c", "ac", false),
            ("a??c", "abc", false),
            ("*a*b", "xaxxab", true),
            ("*a*b", "xaxxa", false),
            ("a*b*c?", "a123b45bcc4", true),
            ("", "", true),
            ("", "a", false),
            ("index.html", "index.html", true),
            ("index.html", "index-html", false),
        ];
        for (pattern, path, matches) in cases {
            let found = PathPattern::new(pattern).matches(path.as_bytes());
            assert_eq!(found, matches, "{pattern} and {path}");
        }
    }

    #[test]
    fn many_wildcards_do_not_make_matching_slow() {
        let pattern = PathPattern::new(&"*a".repeat(100));
        assert!(!pattern.matches(format!("{}b", "a".repeat(1_000)).as_bytes()));
    }

    #[test]
    fn readings_of_a_path() {
        let read = |key: &str, spelling: Spelling| -> Vec<String> {
            let text = |reading: &Cow<'_, [u8]>| String::from_utf8_lossy(reading).into_owned();
            readings(key.as_bytes(), spelling).iter().map(text).collect()
        };
        let escaped = |key: &str| read(key, Spelling::Escaped);
        assert_eq!(escaped("a/b.jpg"), ["a/b.jpg"]);
        assert_eq!(escaped("a b"), ["a%20b", "a b"]);
        assert_eq!(escaped("a//b"), ["a//b", "a/b"]);
        assert_eq!(escaped("a/./b/../c"), ["a/./b/../c", "a/c"]);
        assert_eq!(escaped("a/.."), ["a/..", ""]);
        assert_eq!(escaped("é/"), ["%C3%A9/", "é/"]);
        assert_eq!(escaped("a+ b"), ["a%2B%20b", "a+ b"]);
        assert_eq!(read("a+ b", Spelling::PlusForSpace), ["a%2B+b", "a++b"]);
        assert_eq!(read("a+ b", Spelling::PlainPlus), ["a+%20b", "a+ b"]);
    }
}
