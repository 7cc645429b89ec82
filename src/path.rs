//! The items of an invalidation: paths, wildcards and cache tags. No other module knows their
//! syntax.
//!
//! The rules come from CloudFront's documentation: [Specify the files to invalidate][spec] and
//! [Specify cache tags][tags]. Two more come from experience:
//!
//! - S3's REST endpoints read a plain `+` in a URL as a space, and website endpoints read it as
//!   `+`. A key with a space or a `+` therefore has several URLs: see [`Spelling`].
//! - Paths with `~`, as CloudFront documents, or with `'` do not match reliably in any spelling.
//!
//! ```
//! use cloudfront_invalidator::path::Item;
//!
//! // A key is data: every byte stands for itself.
//! assert_eq!(Item::from_key("my photo?.jpg".as_bytes()).as_str(), "/my%20photo%3F.jpg");
//!
//! // A person types a path, not a key: escapes and queries keep their meaning.
//! assert_eq!("img.jpg?w=100".parse::<Item>()?.as_str(), "/img.jpg?w=100");
//!
//! // If an exact path may not match, the item becomes a wildcard that does.
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

/// CloudFront's maximum length of a path, in characters.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html>
pub const MAX_LENGTH: usize = 4_000;

/// CloudFront's maximum length of a cache tag, in characters and without the `#`.
///
/// <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-tags.html>
pub const MAX_TAG_LENGTH: usize = 256;

/// The ASCII characters to percent-encode in every path: control characters and the unsafe
/// characters of RFC 1738 (section 2.2) except `%`. Bytes outside ASCII are always encoded. No other
/// character of a typed path may be encoded: to CloudFront that is a different path, and
/// invalidating it purges nothing. Keys need three more: see [`KEY`].
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

/// The characters to percent-encode in a key: [`UNSAFE`] and those that are syntax in a path but
/// data in a key. In a key, `%` begins no escape and `?` no query string, and every S3 endpoint
/// reads `%2B` as `+`.
const KEY: &AsciiSet = &UNSAFE.add(b'%').add(b'?').add(b'+');

/// An item of an invalidation: an exact path, a wildcard or a cache tag, in the spelling that is
/// sent to CloudFront.
///
/// An item follows CloudFront's rules. A path begins with `/`, is printable ASCII with unsafe
/// characters escaped, and is at most [`MAX_LENGTH`] long. A tag begins with `#`. A path that ends
/// in `*` is a wildcard, because CloudFront treats it as one. Create items with [`Item::from_key`]
/// for keys and [`FromStr`] for typed text: neither turns a key into a wildcard or a tag by
/// accident.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item(Box<str>);

/// A way to spell the spaces and pluses of a key in a URL. CloudFront caches each spelling
/// separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// `%20` and `%2B`: every S3 endpoint reads them as a space and a plus.
    Escaped,
    /// `+` for a space, and `%2B` for a plus. REST endpoints read a `+` as a space, and the S3
    /// console writes URLs this way.
    PlusForSpace,
    /// `%20` for a space, and `+` for itself. Website endpoints read a `+` literally.
    PlainPlus,
}

impl Spelling {
    /// All spellings.
    pub const ALL: [Self; 3] = [Self::Escaped, Self::PlusForSpace, Self::PlainPlus];

    /// Returns whether this spelling of the key is [`Spelling::Escaped`] or differs from it.
    #[must_use]
    pub fn concerns(self, key: &[u8]) -> bool {
        match self {
            Self::Escaped => true,
            Self::PlusForSpace => key.contains(&b' '),
            Self::PlainPlus => key.contains(&b'+'),
        }
    }

    /// Spells bytes of a key and escapes the characters in `escaped`, which must include `%` and
    /// `+`.
    pub(crate) fn spell<'b>(self, bytes: &'b [u8], escaped: &'static AsciiSet) -> Cow<'b, str> {
        let spelled = Cow::from(percent_encode(bytes, escaped));
        // The `%` of a literal "%20" or "%2B" in the key is escaped, so the replacement cannot hit
        // it.
        match self {
            Self::PlusForSpace if spelled.contains("%20") => spelled.replace("%20", "+").into(),
            Self::PlainPlus if spelled.contains("%2B") => spelled.replace("%2B", "+").into(),
            _ => spelled,
        }
    }
}

/// The kind of an [`Item`], by the way CloudFront reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An exact path. CloudFront purges one URL.
    Exact,
    /// A path that ends in `*`. CloudFront purges every URL that begins with the text before it.
    Wildcard,
    /// A cache tag. CloudFront purges every object that carries it.
    Tag,
}

impl Item {
    /// Creates the path under which CloudFront serves the object with this key, if nothing rewrites
    /// the path on the way to the origin.
    ///
    /// Keys are opaque: there is no cleanup and no Unicode normalization, and leading or double
    /// slashes stay. Three kinds of key become a wildcard, because no exact path reliably matches
    /// them:
    ///
    /// - keys with a `~` or a `'`: the wildcard ends before the first of them
    /// - keys that end in `*`, which CloudFront always reads as a wildcard
    /// - keys whose path would be longer than [`MAX_LENGTH`]
    ///
    /// Escapes spaces and pluses. For other spellings, see [`Item::spelled`].
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        Self::spelled(key, Spelling::Escaped)
    }

    /// Creates the paths of an object that any kind of S3 endpoint may serve: one path per
    /// spelling, sorted and without duplicates.
    #[must_use]
    pub fn of_any_endpoint(key: &[u8]) -> Vec<Self> {
        let spellings = Spelling::ALL.into_iter().filter(|spelling| spelling.concerns(key));
        let mut items: Vec<Self> = spellings.map(|spelling| Self::spelled(key, spelling)).collect();
        // Only what is written of a key counts: two spellings of a key that is cut may be equal.
        items.sort_unstable();
        items.dedup();
        items
    }

    /// Creates the path of a key like [`Item::from_key`], but in the given spelling.
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

    /// Creates the wildcard `/*` for every object of the distribution, with or without tags.
    #[must_use]
    pub fn everything() -> Self {
        Self("/*".into())
    }

    /// Creates an item from CloudFront's own list, exactly as it is written there.
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn listed(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the item as it is sent to CloudFront.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Creates the wildcard for all paths that begin with `literal`, the literal prefix of a path
    /// pattern without its leading slash. For the pattern `media/*`, the prefix is `media/` and the
    /// wildcard `/media/*`.
    #[must_use]
    pub fn beginning_with(literal: &str) -> Self {
        let path = encode_typed(&format!("/{literal}"));
        let certain = first_doubtful(&path).unwrap_or(path.len());
        Self(format!("{}*", &path[..wildcard_end(&path, certain.min(MAX_LENGTH - 1))]).into())
    }

    /// Returns the kind of the item.
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

    /// Returns the text before the `*` of a wildcard, with which every URL that it purges begins.
    /// For an exact path or a tag, returns the whole item.
    #[must_use]
    pub fn stem(&self) -> &str {
        match self.kind() {
            Kind::Wildcard => &self.0[..self.0.len() - 1],
            Kind::Exact | Kind::Tag => &self.0,
        }
    }

    /// Returns whether purging this item also purges everything that `other` would.
    ///
    /// Compares tags case-insensitively, as CloudFront does. Ignores that `/*` also purges every
    /// tagged object.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self.kind(), other.kind()) {
            (Kind::Tag, Kind::Tag) => self.0.eq_ignore_ascii_case(&other.0),
            (Kind::Tag, _) | (_, Kind::Tag) => false,
            (Kind::Wildcard, _) => other.stem().starts_with(self.stem()),
            (Kind::Exact, _) => self == other,
        }
    }

    /// Returns a wildcard for this path with any query string: `/path*`, the only form that
    /// CloudFront documents for this. It covers more than that: `/a.js*` also purges `/a.json`.
    /// Returns wildcards and tags unchanged.
    #[must_use]
    pub fn with_any_query(&self) -> Self {
        match self.kind() {
            Kind::Exact => self.wildcard(self.0.len()),
            Kind::Wildcard | Kind::Tag => self.clone(),
        }
    }

    /// Creates the narrowest valid wildcard whose stem is at most the first `len` bytes of this
    /// path's stem.
    ///
    /// # Panics
    ///
    /// Panics on a tag, which has no prefixes.
    #[must_use]
    pub fn wildcard(&self, len: usize) -> Self {
        assert!(self.kind() != Kind::Tag, "a cache tag has no wildcard: {self}");
        let stem = self.stem();
        let end = wildcard_end(stem, len.min(stem.len()).min(MAX_LENGTH - 1));
        Self(format!("{}*", &stem[..end]).into())
    }

    /// Returns a wider wildcard to purge if CloudFront refuses this item.
    ///
    /// The wildcard ends before the first byte that could be the reason: any byte except letters,
    /// digits, `/`, `-`, `_` and `.`. If there is no such byte, it covers the directory that
    /// contains the item, so that repeated calls go up one directory at a time. `None` for a tag
    /// and for `/*`.
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

    /// Returns whether the item has no character that could make CloudFront refuse it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.suspect().is_none()
    }

    /// Returns the position of the first byte that could make CloudFront refuse the item.
    fn suspect(&self) -> Option<usize> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        self.stem().bytes().position(|byte| !plain(byte))
    }

    /// Returns the length of the longest common stem of two paths at which a wildcard may end: see
    /// [`Item::wildcard`].
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

/// Returns the reason why [`Item::from_key`] turns this key into a wildcard. `None` if it does not.
#[must_use]
pub fn why_widened(key: &[u8]) -> Option<&'static str> {
    match key.iter().find(|byte| is_doubtful(**byte)) {
        Some(b'~') => Some("CloudFront cannot match \"~\""),
        Some(_) => Some("CloudFront may not match \"'\""),
        None if key.ends_with(b"*") => Some("a \"*\" at the end is always a wildcard"),
        None if Item::from_key(key).kind() == Kind::Wildcard => Some("longer than CloudFront accepts"),
        None => None,
    }
}

/// Returns whether a path with this byte may not match. CloudFront's documentation says that it
/// does not support `~` in invalidations, "whether it's URL-encoded or not". CloudFront has refused
/// a raw `'` in practice, and whether `%27` matches is unproven.
const fn is_doubtful(byte: u8) -> bool {
    matches!(byte, b'~' | b'\'')
}

/// Returns the last position at or before `len` where a wildcard's stem may end. The stem includes
/// the first `/` and ends neither inside a percent escape nor after the escapes of an incomplete
/// UTF-8 character.
///
/// The result depends only on the text before `len`, so it is the same for all paths that share
/// that text.
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

/// Returns the position of the first escape of an incomplete UTF-8 character at the end of `path`.
/// `None` if the path does not end in one.
fn unfinished_character(path: &[u8]) -> Option<usize> {
    let mut start = path.len();
    // A character's first byte has at most three continuation bytes.
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

/// Decodes the percent escape at `at`. `None` if there is no valid escape.
fn escape_at(path: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = path.get(at..at + 3)? else {
        return None;
    };
    let digit = |c: u8| char::from(c).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// An error for typed text that is not a valid item. Each message quotes the text and says what to
/// do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseItemError {
    /// The text is empty.
    #[error("\"\" is not a path: write \"/\" for the root, or \"/*\" for everything")]
    Empty,
    /// A Windows path, into which Git Bash on Windows converts arguments that begin with `/`.
    #[error(
        "{0:?} is a Windows path; Git Bash converts arguments that begin with \"/\": set \
         MSYS_NO_PATHCONV=1, or leave out the first \"/\""
    )]
    Windows(String),
    /// A path in a file system, or a path with backslashes for slashes.
    #[error("{0:?} is a file path: write the path of the URL, such as \"/docs/index.html\"")]
    File(String),
    /// An S3 URI, an ARN, a file URL or the id of a distribution.
    #[error(
        "{0:?} is not the path of a URL: write the part after the host, such as \"/docs/index.html\"; for \
         object keys, use cfadmin's --keys"
    )]
    Address(String),
    /// Several paths in one text.
    #[error(
        "{0:?} seems to be several paths: write each one separately; if it is one path, write \"%20\" for \
         the space, or end it after the comma with a \"*\""
    )]
    Several(String),
    /// Quotation marks or brackets around a path.
    #[error("{0:?} is in quotation marks or brackets: leave them out")]
    Quoted(String),
    /// Invisible characters, which often come with text pasted from a web page.
    #[error("{0:?} has invisible characters: type it again, or escape them if they are part of the path")]
    Unseen(String),
    /// A whole URL, which would purge nothing if it were sent as a path.
    #[error("{0:?} is a URL: write only its path, from the first \"/\" after the host")]
    Url(String),
    /// White space at the beginning or end, which would become part of the path.
    #[error(
        "{0:?} begins or ends with white space: leave it out, or write \"%20\" if it is part of the path"
    )]
    Space(String),
    /// An escaped `*` at the end, where the person surely meant a wildcard.
    #[error("{0:?} ends in an escaped \"*\", which is not a wildcard and purges nothing: write \"*\"")]
    EscapedWildcard(String),
    /// A `*` before the end, which CloudFront takes literally.
    #[error(
        "{0:?} has a \"*\" before its end, where CloudFront takes it literally and purges nothing: \
         end the path at the first \"*\""
    )]
    InnerWildcard(String),
    /// A path that is longer than CloudFront accepts.
    #[error(
        "{path:?}… is {length} characters long once encoded, and CloudFront accepts {MAX_LENGTH}: \
         end it earlier, with a \"*\""
    )]
    TooLong {
        /// The beginning of the typed text.
        path: String,
        /// The length of the encoded path.
        length: usize,
    },
    /// Text that begins with `#` but is not a valid cache tag.
    #[error("{tag:?} is not a valid cache tag: {why}; for a path that begins with \"#\", write \"/%23…\"")]
    Tag {
        /// The beginning of the typed text.
        tag: String,
        /// The rule that it breaks.
        why: &'static str,
    },
}

impl FromStr for Item {
    type Err = ParseItemError;

    /// Parses the path, wildcard or cache tag that a person typed.
    ///
    /// Adds a missing leading slash, encodes unsafe characters, keeps valid escapes and a query
    /// string, and reads `#tag` as a cache tag. Text with a `~` or a `'`, raw or encoded, becomes a
    /// wildcard, as in [`Item::from_key`].
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

/// Returns the error for text that is surely not a path. CloudFront would accept it as one and
/// purge nothing.
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

/// Returns whether the text looks like the id of a distribution, such as `E1A2B3C4D5E6F7`.
fn is_distribution(typed: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let has_digit = typed.bytes().any(|byte| byte.is_ascii_digit());
    (13..=14).contains(&typed.len()) && typed.starts_with('E') && typed.bytes().all(fits) && has_digit
}

/// Returns whether the text begins with a quotation mark, or begins with a bracket and has a slash,
/// as lists and placeholders do.
fn is_quoted(typed: &str) -> bool {
    const MARKS: [char; 8] = ['"', '\'', '`', '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}'];
    typed.starts_with(MARKS) || (typed.starts_with(['[', '{', '<']) && typed.contains('/'))
}

/// Returns whether the text is a URL, or a path with a CloudFront host before it.
fn is_url(typed: &str) -> bool {
    let host = typed.trim_start_matches('/').split('/').next().unwrap_or_default().to_ascii_lowercase();
    matches!(&*host, "http:" | "https:") || host.ends_with(".cloudfront.net")
}

/// Adds a missing leading slash and encodes all unsafe characters. Keeps existing escapes.
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

/// Returns the position of the first character of an encoded path, raw or escaped, that may not
/// match: see [`is_doubtful`].
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

/// Returns as much of the typed text as an error message should quote.
fn beginning(typed: &str) -> String {
    typed.chars().take(120).collect()
}
