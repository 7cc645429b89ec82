//! What this deployment looks at, and why it passes over the rest.

use std::{fmt, str::FromStr};

use fast_glob::glob_match;
use serde::Serialize;
use thiserror::Error;

use crate::event::{Change, Effect};

/// Which changes are looked at: those of these buckets whose key fits.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The buckets' names. Empty: any.
    pub buckets: Vec<String>,
    /// Globs of which a key must match one. None: every key is in.
    pub include: Option<Vec<Glob>>,
    /// Globs of which a key may match none.
    pub exclude: Vec<Glob>,
}

/// A pattern of keys: `*` and `?` stay within a segment, `**` crosses, `{a,b}` is either,
/// `[a-z]` and `[!a-z]` are one byte, `\` makes the next character itself.
///
/// ```
/// use cloudfront_invalidator::site::Glob;
///
/// let maps: Glob = "**/*.{map,txt}".parse()?;
/// assert!(maps.is_match(b"js/a.map") && maps.is_match(b"robots.txt"));
/// assert!("{a,b".parse::<Glob>().is_err());
/// # Ok::<(), cloudfront_invalidator::site::NotAGlob>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

/// What was given as a glob would match nothing, or not what it seems to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{glob:?} {why}")]
pub struct NotAGlob {
    glob: String,
    why: &'static str,
}

impl Glob {
    /// Whether a key fits.
    #[must_use]
    pub fn is_match(&self, key: &[u8]) -> bool {
        glob_match(self.0.as_bytes(), key)
    }
}

impl FromStr for Glob {
    type Err = NotAGlob;

    fn from_str(glob: &str) -> Result<Self, NotAGlob> {
        match why_not(glob) {
            Some(why) => Err(NotAGlob { glob: glob.to_owned(), why }),
            None => Ok(Self(glob.into())),
        }
    }
}

/// What is wrong with a glob, of which its matcher would say nothing.
fn why_not(glob: &str) -> Option<&'static str> {
    if glob.starts_with('/') {
        return Some("matches no key: keys have no leading \"/\"; for one that does, write \"[/]\"");
    }
    if glob.starts_with('!') {
        return Some(
            "would match all but that: exclude it instead, or write \"[!]…\" for a key that begins so",
        );
    }
    let mut alternatives = 0_u32;
    let mut rest = glob.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => {
                return Some("ends in a \"\\\", which is to be followed by something");
            }
            '[' => {
                let class = rest.as_str();
                let negated = class.strip_prefix(['!', '^']).unwrap_or(class);
                // The first may be a bracket that does not close.
                let first = negated.chars().next().map_or(0, char::len_utf8);
                let Some(end) = negated[first..].find(']') else {
                    return Some("has a \"[\" that no \"]\" closes");
                };
                if !negated[..first + end].is_ascii() {
                    return Some("has a class of other than ASCII characters: write alternatives, {ä,ö}");
                }
                rest = negated[first + end + 1..].chars();
            }
            '{' => alternatives += 1,
            '}' if alternatives == 0 => return Some("has a \"}\" that no \"{\" opens"),
            '}' => alternatives -= 1,
            _ => {}
        }
    }
    (alternatives > 0).then_some("has a \"{\" that no \"}\" closes")
}

/// Why a change leads to no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// The event changes no content.
    Event,
    /// The bucket is not one of those configured.
    Bucket,
    /// The key is not among those included, or is excluded.
    Key,
    /// No distribution has the bucket as an origin.
    Unserved,
    /// The key lies outside the origin path of every distribution.
    OriginPath,
    /// Every path that it would have is served from somewhere else.
    Behavior,
}

impl Ignored {
    /// Returns whether the distributions' configurations are the reason.
    #[must_use]
    pub const fn is_of_sites(self) -> bool {
        matches!(self, Self::Unserved | Self::OriginPath | Self::Behavior)
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "changes no content",
            Self::Bucket => "bucket not in INVALIDATOR_BUCKETS",
            Self::Key => "left out by INVALIDATOR_INCLUDE or INVALIDATOR_EXCLUDE",
            Self::Unserved => "no distribution has this bucket as an origin",
            Self::OriginPath => "outside the origin path",
            Self::Behavior => "no behavior serves its path from this bucket",
        })
    }
}

impl Watch {
    /// Why this change is not looked at, if it is not.
    #[must_use]
    pub fn ignores(&self, change: &Change) -> Option<Ignored> {
        if change.effect == Effect::None {
            return Some(Ignored::Event);
        }
        if !self.buckets.is_empty() && !self.buckets.iter().any(|bucket| **bucket == *change.bucket) {
            return Some(Ignored::Bucket);
        }
        let looks_at_keys = self.include.is_some() || !self.exclude.is_empty();
        if !looks_at_keys || change.effect == Effect::WholeBucket {
            return None;
        }
        let fits = |globs: &Vec<Glob>| globs.iter().any(|glob| glob.is_match(change.key.as_bytes()));
        (!self.include.as_ref().is_none_or(fits) || fits(&self.exclude)).then_some(Ignored::Key)
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn globs_that_could_not_be_meant_are_refused() {
        for good in ["a", "**", "[]]", "[!]]", "[!a]", "{a,{b,c}}", "\\{", "a]", "é*", "{ä,ö}", "[{]", "a!"]
        {
            assert!(good.parse::<Glob>().is_ok(), "{good}");
        }
        for bad in ["/a", "!a", "[a", "[]", "[!]", "{a", "a}", "a\\", "[é]", "{[}", "{a,b}}"] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
    }
}
