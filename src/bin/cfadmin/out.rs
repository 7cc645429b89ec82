//! The output of commands: text, JSON documents, or nothing.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use anstyle::{AnsiColor, Style};
use clap::Args;
use cloudfront_invalidator::report::to_json;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::Stop;

/// Options for the output of a command. They may stand before and after the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Print JSON documents, one per line
    #[arg(short, long, global = true)]
    pub(crate) json: bool,

    /// Print errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Show the whole error of a call that failed, without credentials
    #[arg(long, global = true)]
    pub(crate) debug: bool,
}

/// The style of a table's headings.
const HEADING: Style = Style::new().bold();

/// The style of a good result.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();

/// The style of a bad result.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// A row of a table: its cells, and indented lines below it.
pub(crate) type Row = (Vec<String>, Vec<String>);

impl Output {
    /// Prints one result: `document` with `--json`, otherwise what `text` writes.
    pub(crate) fn print(
        &self,
        document: &impl Serialize,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Stop> {
        if self.quiet {
            return Ok(());
        }
        let mut out = Self::stream();
        let written = if self.json { line(&mut out, document) } else { marked(&mut out, text) };
        written.and_then(|()| out.flush()).map_err(Stop::io("standard output"))
    }

    /// Prints a list: a document for each entry with `--json`, otherwise a table.
    pub(crate) fn table<T: Serialize>(
        &self,
        headings: &[&str],
        things: &[T],
        row: impl Fn(&T) -> Row,
    ) -> Result<(), Stop> {
        if self.quiet {
            return Ok(());
        }
        let mut out = Self::stream();
        let written = if self.json {
            things.iter().try_for_each(|thing| line(&mut out, thing))
        } else {
            rows(&mut out, headings, &things.iter().map(row).collect::<Vec<_>>(), terminal_width())
        };
        written.and_then(|()| out.flush()).map_err(Stop::io("standard output"))
    }

    /// Returns standard output, with colors on a terminal unless `NO_COLOR` is set.
    fn stream() -> impl Write {
        io::LineWriter::new(anstream::stdout().lock())
    }
}

/// The mark of a process that calls a CloudFront on this machine.
static IS_SIMULATED: AtomicBool = AtomicBool::new(false);

/// Marks all later output as that of a CloudFront on this machine.
pub(crate) fn mark_as_simulated() {
    IS_SIMULATED.store(true, Ordering::Relaxed);
}

/// Returns the mark for the end of a line about what a simulated CloudFront did. Empty if it is AWS's.
pub(crate) fn mark() -> &'static str {
    if IS_SIMULATED.load(Ordering::Relaxed) { "  (simulated)" } else { "" }
}

/// A document about what a simulated CloudFront did.
#[derive(Serialize)]
struct Simulated<'a, T: Serialize> {
    #[serde(flatten)]
    document: &'a T,
    simulated: bool,
}

/// Writes a JSON document as one line.
fn line(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    if mark().is_empty() {
        writeln!(out, "{}", to_json(document))
    } else {
        writeln!(out, "{}", to_json(&Simulated { document, simulated: true }))
    }
}

/// Writes a text. Marks its lines if they are about a simulated CloudFront, except indented ones.
fn marked(out: &mut dyn Write, text: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if mark().is_empty() {
        return text(out);
    }
    let mut whole = Vec::new();
    text(&mut whole)?;
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        let (line, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |line| (line, b"\n"));
        let mark = if line.is_empty() || line.starts_with(b" ") { "" } else { mark() };
        out.write_all(&[line, mark.as_bytes(), end].concat())?;
    }
    Ok(())
}

/// Writes a table that is at most `limit` columns wide. Cuts cells with an ellipsis if it has to, but
/// not those of the first column, and no lines below rows.
fn rows(out: &mut dyn Write, headings: &[&str], rows: &[Row], limit: Option<usize>) -> io::Result<()> {
    let width = |column: usize, heading: &str| {
        let cells = rows.iter().filter_map(|(cells, _)| cells.get(column));
        cells.map(|cell| cell.width()).chain([heading.len()]).max().unwrap_or_default()
    };
    let mut widths: Vec<usize> =
        headings.iter().enumerate().map(|(column, heading)| width(column, heading)).collect();
    let between = GAP.len() * headings.len().saturating_sub(1) + mark().len();
    // The first column has ids, which people copy.
    if let (Some(limit), [first, others @ ..]) = (limit, &mut widths[..]) {
        fit(others, limit.saturating_sub(between + *first));
    }
    let cells = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, &width)| {
            let cell = cut(cell, width);
            let missing = width.saturating_sub(cell.width());
            format!("{cell}{:missing$}", "")
        });
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    writeln!(out, "{HEADING}{}{HEADING:#}", cells(&mut headings.iter().copied()))?;
    for (row, below) in rows {
        writeln!(out, "{}{}", cells(&mut row.iter().map(String::as_str)), mark())?;
        below.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}

/// The space between two columns.
const GAP: &str = "  ";

/// Minimum width of a column that is cut.
const LEAST: usize = 4;

/// Takes width from the widest columns, one at a time, until their sum is at most `limit`.
fn fit(widths: &mut [usize], limit: usize) {
    while widths.iter().sum::<usize>() > limit {
        match widths.iter_mut().max() {
            Some(widest) if *widest > LEAST => *widest -= 1,
            _ => return,
        }
    }
}

/// Cuts a text to a number of columns, with an ellipsis. A wide character takes two columns.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let mut columns = 1;
    let fitting = text.chars().take_while(|c| {
        columns += c.width().unwrap_or_default();
        columns <= width
    });
    Cow::Owned(fitting.chain(['…']).collect())
}

/// Returns the width of the terminal. `None` if the output is no terminal, since a program that reads it
/// wants all of it.
fn terminal_width() -> Option<usize> {
    let (terminal_size::Width(width), _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width)).filter(|width| *width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_the_terminal() {
        let row = |cells: &[&str]| (cells.iter().map(ToString::to_string).collect(), Vec::new());
        let table =
            [row(&["E1", "日本語日本語.example.com, www.example.com", "x"]), row(&["E2", "short", "y"])];
        for limit in [11, 12, 30, 60] {
            let mut out = Vec::new();
            rows(&mut out, &["ID", "NAMES", "Z"], &table, Some(limit)).expect("a table");
            let shown = anstream::adapter::strip_bytes(&out).into_vec();
            let shown = String::from_utf8(shown).expect("text");
            assert!(shown.lines().all(|line| line.width() <= limit), "{limit}\n{shown}");
            assert_eq!(shown.contains('…'), limit < 50, "{limit}\n{shown}");
        }
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("日本語", 6), "日本語");
        let mut widths = [3, 90, 40, 5];
        fit(&mut widths, 50);
        assert_eq!(widths, [3, 21, 21, 5]);
        fit(&mut widths, 0);
        assert_eq!(widths, [3, 4, 4, 4]);
    }
}
