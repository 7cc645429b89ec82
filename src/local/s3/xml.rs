//! Writes XML as S3 does.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// The characters that `encoding-type=url` escapes. A space becomes a plus.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b' ');

/// The encoding of keys in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Text, with references for the characters that XML does not allow. XML 1.0 does not allow those
    /// references either, so some parsers refuse them.
    Plain,
    Url,
}

impl Encoding {
    pub(super) fn encode(self, key: &str) -> String {
        match self {
            Self::Plain => key.to_owned(),
            Self::Url => utf8_percent_encode(key, ENCODED).to_string().replace(' ', "+"),
        }
    }
}

/// Begins a document.
pub(super) fn document() -> String {
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned()
}

/// Writes an element that contains only text.
pub(super) fn leaf(xml: &mut String, name: &str, text: &str) {
    let _ = write!(xml, "<{name}>");
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\t' | '\n' => xml.push(c),
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {
                let _ = write!(xml, "&#x{:x};", u32::from(c));
            }
            c => xml.push(c),
        }
    }
    let _ = write!(xml, "</{name}>");
}
