//! Writes JSON that is safe to print anywhere: no text from outside can forge a line, move a cursor
//! or change the reading direction.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

use crate::text::is_unseen;

/// Formats a value as one line of JSON in which every invisible character is escaped. A parser
/// reads the same strings as it would without the escapes.
pub fn to_json(value: &impl Serialize) -> String {
    let mut json = Vec::with_capacity(256);
    // Strings, numbers and lists of them always serialize, and writing to a vector never fails.
    let written = value.serialize(&mut Serializer::with_formatter(&mut json, Escaping));
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8(json).unwrap_or_default()
}

/// A formatter for compact JSON that also escapes invisible characters.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        // Most fragments are plain ASCII, which is quick to check.
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        while let Some((at, unseen)) = rest.char_indices().find(|(_, c)| is_unseen(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in unseen.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + unseen.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::to_json;

    #[test]
    fn invisible_characters_are_escaped_and_parse_to_the_same_string() {
        let text = "a\u{7f}\u{9b}31m\u{61c}\u{202e}\u{2028}\u{feff}\u{e0041}ü\"\n\u{1b}";
        let json = to_json(&text);
        assert_eq!(json, r#""a\u007f\u009b31m\u061c\u202e\u2028\ufeff\udb40\udc41ü\"\n\u001b""#);
        assert_eq!(serde_json::from_str::<String>(&json).expect("a string"), text);
    }
}
