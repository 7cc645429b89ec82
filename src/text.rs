//! Formats text for people: untrusted input made safe to show, counts, lists and errors.

use std::{
    error::Error,
    fmt::{self, Write},
    iter,
};

/// Untrusted text that is safe to show. `Display` escapes every character that could forge a line,
/// move a terminal's cursor or change the reading direction.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if is_unseen(c) { write!(f, "{}", c.escape_default()) } else { f.write_char(c) }
        })
    }
}

/// Returns whether a character is invisible but can change how the text around it looks. These are
/// control characters (including DEL and C1), format characters (including zero-width and
/// bidirectional ones), and line and paragraph separators.
///
/// <https://www.unicode.org/reports/tr44/#General_Category_Values>: Cc, Cf, Zl and Zp
pub(crate) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0001}'..='\u{e007f}'
        )
}

/// Formats a count with its noun: "1 path", "2 paths".
#[must_use]
pub fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Maximum number of entries that [`joined`] shows.
const MOST_JOINED: usize = 20;

/// Joins texts with a separator. After the first twenty, adds only the number of the others: "and 3
/// more".
#[must_use]
pub fn joined(texts: impl IntoIterator<Item = String>, separator: &str) -> String {
    let mut texts = texts.into_iter();
    let mut shown: Vec<String> = texts.by_ref().take(MOST_JOINED).collect();
    match texts.count() {
        0 => {}
        more => shown.push(format!("and {more} more")),
    }
    shown.join(separator)
}

/// Formats an error with its causes: "request failed: connection refused". Leaves out a cause that
/// the text so far already ends with.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in iter::successors(Some(error), |&error| error.source()) {
        let cause = error.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
