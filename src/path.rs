//! What CloudFront calls an object: the only room that knows the syntax of an
//! invalidation's items.
//!
//! The rules are CloudFront's, from [Specify the files to invalidate][spec] and
//! [Specify cache tags][tags], with two things that the field taught: S3's REST endpoints
//! read a plain `+` in a URL as a space, and website endpoints as itself, so that a key
//! with either has several URLs ([`Spelling`]); and `~` and `'` cannot be relied on to
//! match in any spelling.
//!
//! ```
//! use cloudfront_invalidator::path::Item;
//!
//! // A key is data: every byte of it stands for itself.
//! assert_eq!(Item::from_key("my photo?.jpg".as_bytes()).as_str(), "/my%20photo%3F.jpg");
//!
//! // What a person types is a path already: escapes and queries keep their meaning.
//! assert_eq!("img.jpg?w=100".parse::<Item>()?.as_str(), "/img.jpg?w=100");
//!
//! // Where matching is doubtful, the item is widened, never narrowed.
//! assert_eq!(Item::from_key(b"js/runtime~main.js").as_str(), "/js/runtime*");
//! # Ok::<(), cloudfront_invalidator::path::ParseItemError>(())
//! ```
//!
//! [spec]: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html
//! [tags]: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-tags.html

use std::{borrow::Cow, fmt, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode, utf8_percent_encode};
use thiserror::Error;

use crate::text::is_unseen;

/// CloudFront's limit on one path, in characters.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html>
pub const MAX_LENGTH: usize = 4_000;

/// CloudFront's limit on one cache tag, in characters, without its `#`.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-tags.html>
pub const MAX_TAG_LENGTH: usize = 256;

/// What must be percent-encoded in a path wherever it comes from: control
/// characters and RFC 1738's unsafe ones (section 2.2), `%` aside. Bytes outside
/// ASCII are always encoded. Encoding anything else is a different path to
/// CloudFront, which then purges nothing.
pub(crate) const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'~');

/// [`UNSAFE`], and what is syntax in a path but data in a key: `%` begins no
/// escape there, `?` no query string, and S3 serves `+` only as `%2B`.
const KEY: &AsciiSet = &UNSAFE.add(b'%').add(b'?').add(b'+');

/// One item of an invalidation: an exact path, a wildcard or a cache tag, spelled
/// as it goes on the wire.
///
/// Holds nothing that CloudFront would refuse: a path begins with `/`, is
/// printable ASCII with what is unsafe escaped, at most [`MAX_LENGTH`] long; a
/// tag begins with `#`. A path that ends in `*` is a wildcard, because CloudFront
/// makes it one. [`Item::from_key`] and [`FromStr`] are the doors, and they never
/// make a wildcard or a tag of a key by accident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item(Box<str>);

/// A way in which URLs spell the spaces and pluses of a key. Each is a cache entry of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// `%20` and `%2B`: every endpoint of S3's reads them as what they are.
    Escaped,
    /// `+` for a space, and `%2B`: REST endpoints read a `+` as a space, and S3's console writes
    /// URLs so.
    PlusForSpace,
    /// `%20`, and `+` for itself: website endpoints take a `+` as it is.
    PlainPlus,
}

impl Spelling {
    /// Every spelling.
    pub const ALL: [Self; 3] = [Self::Escaped, Self::PlusForSpace, Self::PlainPlus];

    /// Returns whether it spells a key differently from [`Spelling::Escaped`], or is that.
    #[must_use]
    pub fn concerns(self, key: &[u8]) -> bool {
        match self {
            Self::Escaped => true,
            Self::PlusForSpace => key.contains(&b' '),
            Self::PlainPlus => key.contains(&b'+'),
        }
    }

    /// Spells bytes of a key, of which `escaped` has to be escaped: `%` and `+` among them.
    pub(crate) fn spell<'b>(self, bytes: &'b [u8], escaped: &'static AsciiSet) -> Cow<'b, str> {
        let spelled = Cow::from(percent_encode(bytes, escaped));
        // What looks like such an escape in the key has its `%` escaped.
        match self {
            Self::PlusForSpace if spelled.contains("%20") => spelled.replace("%20", "+").into(),
            Self::PlainPlus if spelled.contains("%2B") => spelled.replace("%2B", "+").into(),
            _ => spelled,
        }
    }
}

/// What CloudFront makes of an [`Item`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Purges one URL.
    Exact,
    /// Purges every URL that begins with what stands before the `*`.
    Wildcard,
    /// Purges every object that carries the tag.
    Tag,
}

impl Item {
    /// The path under which CloudFront serves the object with this key, as long as
    /// nothing between the two rewrites it.
    ///
    /// Keys are opaque: no cleaning, no Unicode normalisation, a leading or double
    /// slash stays. Three kinds of key become a wildcard, since no exact path can
    /// be relied on to match them: with a `~` or a `'` (ends before the first of
    /// them), ending in `*` (always a wildcard to CloudFront), and those longer
    /// than a path may be.
    ///
    /// Spaces and pluses are escaped: see [`Item::spelled`] for the other ways.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        Self::spelled(key, Spelling::Escaped)
    }

    /// Returns the paths of an object whose origin may be any endpoint of S3's: in every spelling,
    /// each once.
    #[must_use]
    pub fn of_any_endpoint(key: &[u8]) -> Vec<Self> {
        let spellings = Spelling::ALL.into_iter().filter(|spelling| spelling.concerns(key));
        let mut items: Vec<Self> = spellings.map(|spelling| Self::spelled(key, spelling)).collect();
        items.dedup();
        items
    }

    /// Returns the path of [`Item::from_key`] in a spelling.
    #[must_use]
    pub fn spelled(key: &[u8], spelling: Spelling) -> Self {
        let doubtful = key.iter().position(|byte| is_doubtful(*byte));
        let certain = &key[..doubtful.unwrap_or(key.len())];
        let mut path = String::with_capacity(key.len() + 8);
        path.push('/');
        path.push_str(&spelling.spell(certain, KEY));
        if doubtful.is_some() || path.len() > MAX_LENGTH {
            let end = if path.len() < MAX_LENGTH { path.len() } else { wildcard_end(&path, MAX_LENGTH - 1) };
            path.truncate(end);
            path.push('*');
        }
        Self(path.into())
    }

    /// `/*`: every object of the distribution, tagged or not.
    #[must_use]
    pub fn everything() -> Self {
        Self("/*".into())
    }

    /// The item on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the wildcard for everything that begins with the literal beginning of a pattern, such
    /// as `/media/` of `media/*`: as a configuration writes it, without the slash at its beginning.
    #[must_use]
    pub fn beginning_with(literal: &str) -> Self {
        let path = encode_typed(&format!("/{literal}"));
        let certain = first_doubtful(&path).unwrap_or(path.len());
        Self(format!("{}*", &path[..wildcard_end(&path, certain.min(MAX_LENGTH - 1))]).into())
    }

    /// What CloudFront makes of it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.0.starts_with('#') {
            Kind::Tag
        } else if self.0.ends_with('*') {
            Kind::Wildcard
        } else {
            Kind::Exact
        }
    }

    /// The path without the `*` of a wildcard: what every URL that it purges
    /// begins with. For an exact path and a tag, all of it.
    #[must_use]
    pub fn stem(&self) -> &str {
        match self.kind() {
            Kind::Wildcard => &self.0[..self.0.len() - 1],
            Kind::Exact | Kind::Tag => &self.0,
        }
    }

    /// Whether purging this also purges all that `other` would.
    ///
    /// Tags compare without regard to case, as CloudFront does. That `/*` also
    /// purges every tagged object is not looked at here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.kind(), other.kind()) {
            (Kind::Tag, Kind::Tag) => self.0.eq_ignore_ascii_case(&other.0),
            (Kind::Tag, _) | (_, Kind::Tag) => false,
            (Kind::Wildcard, _) => other.stem().starts_with(self.stem()),
            (Kind::Exact, _) => self == other,
        }
    }

    /// The wildcard for this path and whatever query string follows it: `/path*`,
    /// the only form that CloudFront documents for that. Covers more: `/a.js*`
    /// also purges `/a.json`. A wildcard and a tag stay as they are.
    #[must_use]
    pub fn with_any_query(&self) -> Self {
        match self.kind() {
            Kind::Exact => self.wildcard(self.0.len()),
            Kind::Wildcard | Kind::Tag => self.clone(),
        }
    }

    /// The narrowest wildcard at or above the first `len` bytes of this path.
    ///
    /// # Panics
    ///
    /// On a tag, which has no prefixes.
    #[must_use]
    pub fn wildcard(&self, len: usize) -> Self {
        assert!(self.kind() != Kind::Tag, "a cache tag has no wildcard: {self}");
        let stem = self.stem();
        let end = wildcard_end(stem, len.min(stem.len()).min(MAX_LENGTH - 1));
        Self(format!("{}*", &stem[..end]).into())
    }

    /// What to purge instead where CloudFront refuses this: the wildcard that ends before
    /// the first byte that could be the reason, which is any but letters, digits, `/`,
    /// `-`, `_` and `.`; where there is none, the directory that it is in, and then those
    /// around it. None for a tag and for everything.
    #[must_use]
    pub fn wider(&self) -> Option<Self> {
        if self.kind() == Kind::Tag || *self == Self::everything() {
            return None;
        }
        let stem = self.stem();
        let end = self.suspect().unwrap_or_else(|| {
            let last = stem.len() - usize::from(self.kind() == Kind::Wildcard);
            stem[..last].rfind('/').map_or(1, |slash| slash + 1)
        });
        Some(self.wildcard(end))
    }

    /// Whether nothing in it gives a reason to refuse it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.suspect().is_none()
    }

    /// Where its first byte is that CloudFront might refuse.
    fn suspect(&self) -> Option<usize> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        self.stem().bytes().position(|byte| !plain(byte))
    }

    /// How many bytes of their stems two paths share, as far as a wildcard may
    /// reach: see [`Item::wildcard`].
    #[must_use]
    pub fn common_stem(&self, other: &Self) -> usize {
        let (one, two) = (self.stem(), other.stem());
        let same = one.bytes().zip(two.bytes()).take_while(|(a, b)| a == b).count();
        wildcard_end(one, same).min(wildcard_end(two, same))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why [`Item::from_key`] makes a wildcard of this key, if it does.
#[must_use]
pub fn why_widened(key: &[u8]) -> Option<&'static str> {
    match key.iter().find(|byte| is_doubtful(**byte)) {
        Some(b'~') => Some("CloudFront cannot match \"~\""),
        Some(_) => Some("CloudFront may not match \"'\""),
        None if key.ends_with(b"*") => Some("a \"*\" at the end is always a wildcard"),
        None if Item::from_key(key).kind() == Kind::Wildcard => Some("longer than a path may be"),
        None => None,
    }
}

/// CloudFront supports `~` "whether it's URL-encoded or not" in no invalidation,
/// and has refused a raw `'` in the field; whether `%27` matches is unproven.
const fn is_doubtful(byte: u8) -> bool {
    matches!(byte, b'~' | b'\'')
}

/// The last place at or before `len` where a wildcard's stem may end: not before
/// the first `/`, not inside a percent escape, not after the escapes of an
/// unfinished UTF-8 character.
///
/// Depends on what stands before it alone, so that two paths with a common beginning
/// agree on it.
fn wildcard_end(path: &str, len: usize) -> usize {
    let bytes = path.as_bytes();
    let mut end = len;
    for back in 1..=2 {
        if end >= back && bytes[end - back] == b'%' {
            end -= back;
            break;
        }
    }
    while let Some(start) = unfinished_character(&bytes[..end]) {
        end = start;
    }
    end.max(1)
}

/// Where the escapes of a UTF-8 character begin that `path` ends in and does not
/// finish.
fn unfinished_character(path: &[u8]) -> Option<usize> {
    let mut start = path.len();
    // At most three continuation bytes follow the first of a character.
    for continuing in 0..=3 {
        start = start.checked_sub(3)?;
        let expected = match escape_at(path, start)? {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 1,
            0xE0..=0xEF => 2,
            0xF0..=0xF4 => 3,
            _ => 0,
        };
        return (continuing < expected).then_some(start);
    }
    None
}

/// The byte that the percent escape at `at` stands for, if there is one.
fn escape_at(path: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = path.get(at..at + 3)? else {
        return None;
    };
    let digit = |c: u8| char::from(c).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Why what a person typed is no item. Each message quotes it and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseItemError {
    /// Nothing was typed.
    #[error("\"\" is no path: write \"/\" for the root, or \"/*\" for everything")]
    Empty,
    /// What Git Bash on Windows makes of a path.
    #[error(
        "{0:?} is a path of Windows, which Git Bash makes of one that begins with \"/\": set \
         MSYS_NO_PATHCONV=1, or leave out the first \"/\""
    )]
    Windows(String),
    /// The name of a file, or a backslash for a slash.
    #[error("{0:?} is the path of a file: write the path of its URL, such as \"/docs/index.html\"")]
    File(String),
    /// An address of something else than a URL's path.
    #[error(
        "{0:?} is no path of a URL: write what follows the host, such as \"/docs/index.html\"; keys of objects \
         are for cfadmin's --keys"
    )]
    Address(String),
    /// Several paths in one.
    #[error(
        "{0:?} seems to be several paths: write each by itself; if it is one, write \"%20\" for the space, or end \
         it after the comma with a \"*\""
    )]
    Several(String),
    /// Quotation marks or brackets around a path.
    #[error("{0:?} is in quotation marks or brackets: leave them out")]
    Quoted(String),
    /// Characters that are not seen, such as those that text pasted from a page brings.
    #[error(
        "{0:?} has characters that are not seen: type it anew, or escape them if they are part of the path"
    )]
    Unseen(String),
    /// A whole URL, which would be taken for a path and purge nothing.
    #[error("{0:?} is a URL: write only its path, from the first \"/\" after the host")]
    Url(String),
    /// White space at an end, which would be part of the path.
    #[error(
        "{0:?} begins or ends with white space: leave it out, or write \"%20\" if it is part of the path"
    )]
    Space(String),
    /// An escaped `*` where a wildcard was surely meant.
    #[error("{0:?} ends in an escaped \"*\", which is no wildcard and purges nothing: write \"*\"")]
    EscapedWildcard(String),
    /// A `*` that CloudFront would take literally.
    #[error(
        "{0:?} has a \"*\" before its end, where CloudFront takes it literally and purges nothing: \
         end the path at the first \"*\""
    )]
    InnerWildcard(String),
    /// Longer than CloudFront takes.
    #[error(
        "{path:?}… is {length} characters long once encoded and CloudFront takes {MAX_LENGTH}: \
         end it earlier, with a \"*\""
    )]
    TooLong {
        /// The beginning of what was typed.
        path: String,
        /// Its length on the wire.
        length: usize,
    },
    /// Begins with `#`, but cannot be a cache tag.
    #[error("{tag:?} is no cache tag: {why}; for a path that begins with \"#\", write \"/%23…\"")]
    Tag {
        /// The beginning of what was typed.
        tag: String,
        /// The rule that it breaks.
        why: &'static str,
    },
}

impl FromStr for Item {
    type Err = ParseItemError;

    /// The item that a person means by `typed`.
    ///
    /// Supplies the leading slash, encodes what must be, keeps valid escapes and a
    /// query string, and takes `#tag` for a cache tag. A `~` or `'`, raw or
    /// encoded, widens as in [`Item::from_key`].
    fn from_str(typed: &str) -> Result<Self, ParseItemError> {
        if typed.is_empty() {
            return Err(ParseItemError::Empty);
        }
        if typed.starts_with('#') {
            return tag(typed);
        }
        if typed.trim() != typed {
            return Err(ParseItemError::Space(beginning(typed)));
        }
        if let Some(error) = surely_no_path(typed) {
            return Err(error(beginning(typed)));
        }
        if typed.len() >= 3 && typed.as_bytes()[typed.len() - 3..].eq_ignore_ascii_case(b"%2a") {
            return Err(ParseItemError::EscapedWildcard(beginning(typed)));
        }
        if typed.find('*').is_some_and(|at| at + 1 < typed.len()) {
            return Err(ParseItemError::InnerWildcard(beginning(typed)));
        }
        let mut path = encode_typed(typed);
        if let Some(at) = first_doubtful(&path) {
            path.truncate(at);
            path.push('*');
        }
        if path.len() > MAX_LENGTH {
            return Err(ParseItemError::TooLong { path: beginning(typed), length: path.len() });
        }
        Ok(Self(path.into()))
    }
}

/// Returns what is wrong with text that is surely no path, although it could be sent as one, and
/// would purge nothing.
fn surely_no_path(typed: &str) -> Option<fn(String) -> ParseItemError> {
    let bytes = typed.as_bytes();
    let has_scheme = |scheme: &str| {
        bytes.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    // The query is data: "/go?to=C:/" is a path.
    let path = typed.split('?').next().unwrap_or_default();
    let is_drive = matches!(bytes, [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    let is_of_windows = path.starts_with('\\') || (path.contains('\\') && !path.contains('/'));
    let is_file = is_of_windows || ["./", "../", "~/"].iter().any(|begin| path.starts_with(begin));
    let mut later_words = path.split_whitespace().skip(1);
    if is_drive {
        Some(ParseItemError::Windows)
    } else if is_url(typed) {
        Some(ParseItemError::Url)
    } else if ["s3://", "arn:", "file:"].into_iter().any(has_scheme) || is_distribution(typed) {
        Some(ParseItemError::Address)
    } else if typed.ends_with("\\*") {
        Some(ParseItemError::EscapedWildcard)
    } else if is_file {
        Some(ParseItemError::File)
    } else if is_quoted(typed) {
        Some(ParseItemError::Quoted)
    } else if path.contains(",/") || later_words.any(|word| word.starts_with(['/', '#'])) {
        Some(ParseItemError::Several)
    } else if typed.chars().any(|c| !c.is_ascii() && is_unseen(c)) {
        Some(ParseItemError::Unseen)
    } else {
        None
    }
}

/// Returns whether it looks like the id of a distribution, such as `E1A2B3C4D5E6F7`.
fn is_distribution(typed: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let has_digit = typed.bytes().any(|byte| byte.is_ascii_digit());
    (13..=14).contains(&typed.len()) && typed.starts_with('E') && typed.bytes().all(fits) && has_digit
}

/// Returns whether text begins with a quotation mark, or with a bracket and has a slash, as lists
/// and placeholders do.
fn is_quoted(typed: &str) -> bool {
    const MARKS: [char; 8] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}'];
    typed.starts_with(MARKS) || (typed.starts_with(['[', '{', '<']) && typed.contains('/'))
}

/// Whether someone typed a URL, or the host of one before the path.
fn is_url(typed: &str) -> bool {
    let host = typed.trim_start_matches('/').split('/').next().unwrap_or_default().to_ascii_lowercase();
    matches!(&*host, "http:" | "https:") || host.ends_with(".cloudfront.net")
}

/// `typed` with its leading slash, and with everything unsafe encoded except the
/// escapes that are there already.
fn encode_typed(typed: &str) -> String {
    let mut path = String::with_capacity(typed.len() + 8);
    if !typed.starts_with('/') {
        path.push('/');
    }
    let mut rest = typed;
    while let Some(at) = rest.find('%') {
        path.extend(utf8_percent_encode(&rest[..at], UNSAFE));
        let escape = escape_at(rest.as_bytes(), at).is_some();
        path.push_str(if escape { "%" } else { "%25" });
        rest = &rest[at + 1..];
    }
    path.extend(utf8_percent_encode(rest, UNSAFE));
    path
}

/// Where the first doubtful character of an encoded path begins, raw or escaped.
fn first_doubtful(path: &str) -> Option<usize> {
    let bytes = path.as_bytes();
    (0..bytes.len()).find(|&at| is_doubtful(bytes[at]) || escape_at(bytes, at).is_some_and(is_doubtful))
}

fn tag(typed: &str) -> Result<Item, ParseItemError> {
    let name = &typed[1..];
    let why = if name.is_empty() {
        "nothing follows the \"#\""
    } else if name.len() > MAX_TAG_LENGTH {
        "a tag has at most 256 characters"
    } else if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
        "a tag is printable ASCII without spaces and commas"
    } else if name.ends_with('*') {
        "tags have no wildcards"
    } else {
        return Ok(Item(typed.into()));
    };
    Err(ParseItemError::Tag { tag: beginning(typed), why })
}

/// As much of `typed` as an error message should quote.
fn beginning(typed: &str) -> String {
    typed.chars().take(120).collect()
}
