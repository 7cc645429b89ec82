//! Which paths a behaviour's pattern matches.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, percent_decode};

use crate::path::{Spelling, UNSAFE};

/// The path pattern of a behaviour, such as `images/*.jpg`: `*` is any number of
/// characters, slashes too, `?` is one; the rest is itself, case and all.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html>
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PathPattern(Box<[u8]>);

impl PathPattern {
    /// The pattern as it stands in a configuration. A slash at its beginning changes
    /// nothing.
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.strip_prefix('/').unwrap_or(pattern).as_bytes().into())
    }

    /// Returns what stands before the first `*` or `?`.
    pub(super) fn literal_beginning(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| matches!(byte, b'*' | b'?'));
        &self.0[..end.unwrap_or(self.0.len())]
    }

    /// Whether it matches a path, which is given without the slash at its beginning.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let pattern = &*self.0;
        let (mut at, mut seen) = (0, 0);
        // Where to go on when what follows the last `*` does not match: behind it, with
        // one more character left to it.
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

/// How many bytes the first character has. A byte that begins none is one.
fn character(text: &[u8]) -> usize {
    1 + text.iter().skip(1).take_while(|byte| text[0] >= 0xC0 && **byte & 0xC0 == 0x80).count()
}

/// Returns every way in which CloudFront may read the path of an object when it looks for the
/// behavior: as viewers send it in a spelling, or without the escapes, which is not
/// documented; and each also without empty and dot segments, which is.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html>
pub(super) fn readings(key: &[u8], spelling: Spelling) -> Vec<Cow<'_, [u8]>> {
    // A "~" viewers send as it is, and a "?" would begin a query.
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

/// A path without empty and dot segments.
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
    fn patterns() {
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
    fn a_pattern_is_never_slow() {
        let pattern = PathPattern::new(&"*a".repeat(100));
        assert!(!pattern.matches(format!("{}b", "a".repeat(1_000)).as_bytes()));
    }

    #[test]
    fn ways_to_read_a_path() {
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
