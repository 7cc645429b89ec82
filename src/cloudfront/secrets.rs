//! Keeps credentials out of errors.
//!
//! CloudFront's `SignatureDoesNotMatch` quotes the request that it signed, including the session
//! token, and proxies quote the requests that they receive.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The replacement for a secret.
const REDACTED: &str = "[redacted]";

/// Minimum number of bytes from the beginning of a secret to redact. A quoted secret may be cut
/// off.
const LEAST: usize = 8;

/// The names of the request fields whose values are secrets, even those of other callers.
const NAMES: [&str; 3] = ["x-amz-security-token", "x-amz-signature", "signature="];

/// The credentials that no text may show.
#[derive(Clone, Default)]
pub(super) struct Secrets(Arc<Mutex<Vec<String>>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Adds secrets. Ignores those that are too short to be credentials.
    pub(super) fn add<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            if secret.len() >= LEAST && !known.iter().any(|other| other == secret) {
                known.push(secret.to_owned());
            }
        }
    }

    /// Replaces every secret in a text: these secrets in every spelling, whole or cut off, and the
    /// values of the fields in [`NAMES`].
    pub(super) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut redacted = String::new();
        let (mut copied, mut at) = (0, 0);
        while at < text.len() {
            let end = known.iter().filter_map(|secret| end_of(secret, text, at)).max();
            let end = end.map(|end| (at, end)).or_else(|| end_of_named(text, at));
            match end {
                Some((begin, end)) => {
                    redacted.push_str(&text[copied..begin]);
                    redacted.push_str(REDACTED);
                    (copied, at) = (end, end);
                }
                None => at += text[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        redacted.push_str(&text[copied..]);
        Cow::Owned(redacted)
    }
}

/// Returns the end of the secret if it begins at `at`, whole or cut off. `None` if it does not.
fn end_of(secret: &str, text: &str, at: usize) -> Option<usize> {
    let (mut end, mut found) = (at, 0);
    for expected in secret.bytes() {
        match spelled(expected, &text.as_bytes()[end..]) {
            Some(len) => end += len,
            None => break,
        }
        found += 1;
    }
    (found >= LEAST && text.is_char_boundary(end)).then_some(end)
}

/// Returns the number of leading bytes of a text that spell `expected`: literally, percent-encoded
/// (`%2B`, or `%252B` if encoded twice), as an XML entity (`&#43;`, `&#x2b;`, `&amp;`), or escaped
/// in JSON (`\u002b`, `\/`). `None` if the text begins with something else.
fn spelled(expected: u8, text: &[u8]) -> Option<usize> {
    let hex = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    let is_it = |code: Option<u32>| code == Some(u32::from(expected));
    let encoded = match text {
        [b'%', b'2', b'5', digits @ ..] if is_it(digits.get(..2).and_then(hex)) => Some(5),
        [b'%', digits @ ..] => is_it(digits.get(..2).and_then(hex)).then_some(3),
        [b'\\', b'u', digits @ ..] => is_it(digits.get(..4).and_then(hex)).then_some(6),
        [b'\\', escaped, ..] => (*escaped == expected).then_some(2),
        [b'&', b'a', b'm', b'p', b';', ..] => (expected == b'&').then_some(5),
        [b'&', b'#', b'x' | b'X', number @ ..] => {
            let digits = number.iter().take(6).position(|byte| *byte == b';');
            digits.filter(|digits| is_it(hex(&number[..*digits]))).map(|digits| digits + 4)
        }
        [b'&', b'#', number @ ..] => {
            let digits = number.iter().take(6).position(|byte| *byte == b';');
            let code = |digits: usize| std::str::from_utf8(&number[..digits]).ok()?.parse().ok();
            digits.filter(|digits| is_it(code(*digits))).map(|digits| digits + 3)
        }
        _ => None,
    };
    // A character that introduces such a spelling may also be part of the secret itself.
    encoded.or_else(|| (text.first() == Some(&expected)).then_some(1))
}

/// Returns the beginning and the end of the value that follows one of the [`NAMES`] at `at`.
fn end_of_named(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let name = NAMES.iter().find(|name| {
        bytes[at..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    })?;
    let is_between = |byte: &u8| b":=\"'\\ ".contains(byte);
    let is_secret = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=%_-.~".contains(byte);
    let mut begin = at + name.len();
    begin += bytes[begin..].iter().take_while(|byte| is_between(byte)).count();
    let end = begin + bytes[begin..].iter().take_while(|byte| is_secret(byte)).count();
    (end - begin >= LEAST).then_some((begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "IQoJb3JpZ2lu/X2Vj+EGoa==&\"x";

    fn redact(text: &str) -> String {
        let secrets = Secrets::default();
        secrets.add([TOKEN, "short"]);
        secrets.redact(text).into_owned()
    }

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        let percent = TOKEN.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02x}"));
        for spelling in [
            TOKEN,
            "IQoJb3JpZ2lu%2FX2Vj%2BEGoa%3D%3D%26%22x",
            "IQoJb3JpZ2lu%2fX2Vj%2bEGoa%3d%3d%26%22x",
            "IQoJb3JpZ2lu%252FX2Vj%252BEGoa%253D%253D%2526%2522x",
            "IQoJb3JpZ2lu/X2Vj+EGoa==&#38;&#34;x",
            "IQoJb3JpZ2lu/X2Vj+EGoa==&amp;\"x",
            "IQoJb3JpZ2lu&#x2F;X2Vj&#x2b;EGoa&#x003D;&#61;&#x26;&#34;x",
            "IQoJb3JpZ2lu\\/X2Vj\\u002bEGoa==&\\\"x",
            &percent,
        ] {
            assert_eq!(redact(&format!("a:{spelling}\nb")), "a:[redacted]\nb", "{spelling}");
        }
        assert_eq!(redact(&TOKEN[..12]), "[redacted]", "cut off");
        assert_eq!(redact(&format!("{TOKEN}{TOKEN}")), "[redacted][redacted]");
    }

    #[test]
    fn other_text_stays_as_it_is() {
        for text in ["", "IQoJ", "short", "üüüüüüüü%", "%", "&#x", "&#;", "\\u12", "the signature is wrong"]
        {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn values_of_secret_fields_are_redacted() {
        let text = "host:x\nx-amz-security-token:FwoGZXIvYXdzEBY+/=\n\nX-Amz-Signature=0123456789abcdef&a";
        let expected = "host:x\nx-amz-security-token:[redacted]\n\nX-Amz-Signature=[redacted]&a";
        assert_eq!(redact(text), expected);
        assert_eq!(
            redact("host;x-amz-date;x-amz-security-token\n"),
            "host;x-amz-date;x-amz-security-token\n"
        );
    }
}
