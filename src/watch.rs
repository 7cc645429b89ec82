//! Filters changes by bucket, key and kind of event before any distribution is considered.

use std::{fmt, str::FromStr};

use fast_glob::glob_match;
use serde::Serialize;
use thiserror::Error;

use crate::event::{Change, Effect};

/// The buckets and keys to watch.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The names of the buckets. Empty for all buckets.
    pub buckets: Vec<String>,
    /// Globs for the keys to watch: a key must match at least one. `None` for all keys.
    pub include: Option<Vec<Glob>>,
    /// Globs for the keys to ignore, even if they match `include`.
    pub exclude: Vec<Glob>,
}

impl Watch {
    /// Returns the reason to ignore a change. `None` if the change is watched.
    #[must_use]
    pub fn ignores(&self, change: &Change) -> Option<Unwatched> {
        if change.effect == Effect::None {
            return Some(Unwatched::Event);
        }
        if !self.buckets.is_empty() && !self.buckets.iter().any(|bucket| **bucket == *change.bucket) {
            return Some(Unwatched::Bucket);
        }
        let has_globs = self.include.is_some() || !self.exclude.is_empty();
        if !has_globs || change.effect == Effect::WholeBucket {
            return None;
        }
        let matches = |globs: &Vec<Glob>| globs.iter().any(|glob| glob.is_match(change.key.as_bytes()));
        let is_included = self.include.as_ref().is_none_or(matches);
        (!is_included || matches(&self.exclude)).then_some(Unwatched::Key)
    }
}

/// The reason to ignore a change, whichever distributions serve its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unwatched {
    /// The event leaves the object's content unchanged.
    Event,
    /// The bucket is not in the configured list.
    Bucket,
    /// The key matches no `include` glob, or it matches an `exclude` glob.
    Key,
}

impl fmt::Display for Unwatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "changes no content",
            Self::Bucket => "bucket not in INVALIDATOR_BUCKETS",
            Self::Key => "left out by INVALIDATOR_INCLUDE or INVALIDATOR_EXCLUDE",
        })
    }
}

/// A pattern for keys.
///
/// `*` and `?` match within a segment and `**` matches across segments. `{a,b}` matches either
/// alternative, `[a-z]` and `[!a-z]` match one byte, and `\` escapes the next character.
///
/// ```
/// use cloudfront_invalidator::watch::Glob;
///
/// let maps: Glob = "**/*.{map,txt}".parse()?;
/// assert!(maps.is_match(b"js/a.map") && maps.is_match(b"robots.txt"));
/// assert!("{a,b".parse::<Glob>().is_err());
/// # Ok::<(), cloudfront_invalidator::watch::NotAGlob>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

/// An error for a glob that would match nothing, or other keys than it seems to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{glob:?} {why}")]
pub struct NotAGlob {
    glob: String,
    why: &'static str,
}

impl Glob {
    /// Returns whether a key matches.
    #[must_use]
    pub fn is_match(&self, key: &[u8]) -> bool {
        glob_match(self.0.as_bytes(), key)
    }

    /// Parses a comma-separated list of globs. A comma that is escaped or inside `{…}` or `[…]` is
    /// part of its glob. Skips empty globs.
    pub fn list(text: &str) -> impl Iterator<Item = Result<Self, NotAGlob>> {
        let mut braces = 0_usize;
        let mut rest = Some(text);
        std::iter::from_fn(move || {
            let glob = rest?;
            let comma = tokens(glob).find(|(token, _)| {
                match token {
                    Token::Open => braces += 1,
                    Token::Close => braces = braces.saturating_sub(1),
                    _ => {}
                }
                *token == Token::Comma && braces == 0
            });
            rest = comma.as_ref().map(|(_, at)| &glob[at + 1..]);
            Some(comma.map_or(glob, |(_, at)| &glob[..at]))
        })
        .map(str::trim)
        .filter(|glob| !glob.is_empty())
        .map(str::parse)
    }
}

impl FromStr for Glob {
    type Err = NotAGlob;

    fn from_str(glob: &str) -> Result<Self, NotAGlob> {
        match problem(glob) {
            Some(why) => Err(NotAGlob { glob: glob.to_owned(), why }),
            None => Ok(Self(glob.into())),
        }
    }
}

/// Returns the problem with a glob, if it has one. The `fast_glob` crate reports no errors: it
/// would match nothing, or other keys than the glob seems to mean.
fn problem(glob: &str) -> Option<&'static str> {
    if glob.starts_with('/') {
        return Some("matches no key: keys have no leading \"/\"; for one that does, write \"[/]\"");
    }
    if glob.starts_with('!') {
        return Some(
            "would match every key but those: exclude them instead, or write \"[!]…\" for a key that \
             begins with \"!\"",
        );
    }
    let mut braces = 0_usize;
    for (token, _) in tokens(glob) {
        match token {
            Token::Other | Token::Comma => {}
            Token::Open => braces += 1,
            Token::Close if braces == 0 => return Some("has a \"}\" that no \"{\" opens"),
            Token::Close => braces -= 1,
            Token::Wrong(why) => return Some(why),
        }
    }
    (braces > 0).then_some("has a \"{\" that no \"}\" closes")
}

/// A part of a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// A `{`.
    Open,
    /// A `}`.
    Close,
    /// A `,`, in braces or not.
    Comma,
    /// Any other character, an escaped character, or a class.
    Other,
    /// A part that breaks a rule, with the error text.
    Wrong(&'static str),
}

/// Splits a glob into tokens, each with its position.
fn tokens(glob: &str) -> impl Iterator<Item = (Token, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let text = &glob[at..];
        let (token, len) = match text.chars().next()? {
            '\\' => match text[1..].chars().next() {
                Some(escaped) => (Token::Other, 1 + escaped.len_utf8()),
                None => (Token::Wrong("ends in a \"\\\" that escapes nothing"), 1),
            },
            '[' => class(text),
            '{' => (Token::Open, 1),
            '}' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            other => (Token::Other, other.len_utf8()),
        };
        at += len;
        Some((token, at - len))
    })
}

/// Reads the class at the beginning of a glob. Returns its token and length.
fn class(glob: &str) -> (Token, usize) {
    let negated = glob[1..].strip_prefix(['!', '^']).unwrap_or(&glob[1..]);
    // A "]" as the first character is a member of the class.
    let first = negated.chars().next().map_or(0, char::len_utf8);
    let Some(end) = negated[first..].find(']').map(|end| first + end) else {
        return (Token::Wrong("has a \"[\" that no \"]\" closes"), glob.len());
    };
    let len = glob.len() - negated.len() + end + 1;
    if negated[..end].is_ascii() {
        (Token::Other, len)
    } else {
        (Token::Wrong("has a class of non-ASCII characters: write alternatives such as {ä,ö}"), len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misleading_globs_are_refused() {
        for good in ["a", "**", "[]]", "[!]]", "[!a]", "{a,{b,c}}", "\\{", "a]", "é*", "{ä,ö}", "[{]", "a!"]
        {
            assert!(good.parse::<Glob>().is_ok(), "{good}");
        }
        for bad in ["/a", "!a", "[a", "[]", "[!]", "{a", "a}", "a\\", "[é]", "{[}", "{a,b}}"] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_split_at_commas_outside_of_braces_and_classes() {
        let list = |text: &str| -> Vec<String> {
            let shown = |glob: Result<Glob, NotAGlob>| glob.map_or_else(|why| why.glob, |glob| glob.0.into());
            Glob::list(text).map(shown).collect()
        };
        assert_eq!(list("a, b,,c "), ["a", "b", "c"]);
        assert_eq!(list("{a,b}/*,c"), ["{a,b}/*", "c"]);
        assert_eq!(list("{a,{b,c},d},e"), ["{a,{b,c},d}", "e"]);
        assert_eq!(list("[,],[],],[!],],d"), ["[,]", "[],]", "[!],]", "d"]);
        assert_eq!(list("a\\,b,c"), ["a\\,b", "c"]);
        assert_eq!(list("a},b"), ["a}", "b"]);
        assert_eq!(list("{a,b"), ["{a,b"], "an open brace takes the rest");
        assert_eq!(list("[a,b"), ["[a,b"], "and so does an open class");
        assert_eq!(list(""), [""; 0]);
    }
}
