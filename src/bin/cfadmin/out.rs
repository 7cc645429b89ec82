//! What commands print: text for people, documents for machines, or nothing.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use clap::Args;
use cloudfront_invalidator::report::to_json;
use serde::Serialize;

use crate::Stop;

/// How to print what a command has to tell.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// JSON documents instead of text, a line each
    #[arg(long)]
    pub(crate) json: bool,

    /// Print nothing but errors; the exit code tells the rest
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// What a table's headings look like on a terminal.
const HEADING: Style = Style::new().bold();

/// What is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();

/// What is not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// A row of a table: its cells, and lines that belong below it.
pub(crate) type Row = (Vec<String>, Vec<String>);

impl Output {
    /// Prints one thing: the document, or what `text` writes.
    pub(crate) fn print(
        &self,
        document: &impl Serialize,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Stop> {
        if self.quiet {
            return Ok(());
        }
        let mut out = Self::stream();
        let written = if self.json { line(&mut out, document) } else { text(&mut out) };
        written.and_then(|()| out.flush()).map_err(Stop::io("standard output"))
    }

    /// Prints many things: a document for each, or a table.
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
            rows(&mut out, headings, &things.iter().map(row).collect::<Vec<_>>())
        };
        written.and_then(|()| out.flush()).map_err(Stop::io("standard output"))
    }

    /// Standard output, which has colours on terminals whose owner did not set
    /// `NO_COLOR`.
    fn stream() -> impl Write {
        io::LineWriter::new(anstream::stdout().lock())
    }
}

/// Writes a JSON document on a line of its own.
fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    writeln!(out, "{}", to_json(value))
}

fn rows(out: &mut dyn Write, headings: &[&str], rows: &[Row]) -> io::Result<()> {
    let width = |column: usize, heading: &str| {
        let cells = rows.iter().filter_map(|(cells, _)| cells.get(column));
        cells.map(|cell| cell.chars().count()).chain([heading.len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> =
        headings.iter().enumerate().map(|(column, heading)| width(column, heading)).collect();
    let cells = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    writeln!(out, "{HEADING}{}{HEADING:#}", cells(&mut headings.iter().copied()))?;
    for (row, below) in rows {
        writeln!(out, "{}", cells(&mut row.iter().map(String::as_str)))?;
        below.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}
