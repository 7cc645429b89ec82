//! The objects that an upload changed, as `aws s3 sync` and `aws s3 cp` print them.

use std::{collections::BTreeSet, path::Path};

use crate::{Stop, input};

/// An object that an upload put or deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Changed {
    pub(crate) bucket: String,
    pub(crate) key: Vec<u8>,
    /// Whether it was deleted.
    pub(crate) is_deleted: bool,
}

/// The output of an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upload {
    /// The objects that it changed: sorted, without duplicates.
    pub(crate) changed: Vec<Changed>,
    /// The lines about objects that could not be uploaded or deleted.
    pub(crate) failed: Vec<String>,
    /// Whether it was a dry run, which changes nothing.
    pub(crate) is_dry_run: bool,
}

/// Reads the output of an upload from a file, or from standard input if the file is "-".
pub(crate) fn read(file: &Path) -> Result<Upload, Stop> {
    let bytes = input::read(file, "the output of aws s3 sync")?;
    parse(&bytes).map_err(|why| Stop::Usage(format!("{}: {why}", file.display())))
}

/// Parses the output of `aws s3 sync`, `cp`, `mv` and `rm`. Lines with an object alone, as `s3://bucket/key`, count as
/// changed objects.
///
/// # Errors
///
/// Returns the reason for the first line that is none of these.
fn parse(bytes: &[u8]) -> Result<Upload, String> {
    let mut upload = Upload::default();
    let mut changed = BTreeSet::new();
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    // The progress ends with a carriage return, and blanks that hide the rest of a longer one.
    for line in bytes.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = trim_end(line);
        let (line, is_dry_run) = match line.strip_prefix(b"(dryrun) ") {
            Some(line) => (line, true),
            None => (line, false),
        };
        upload.is_dry_run |= is_dry_run;
        match objects(line) {
            Some(objects) => changed.extend(objects),
            None if is_failure(line) => upload.failed.push(String::from_utf8_lossy(line).into_owned()),
            None if is_progress(line) => {}
            None => {
                let line: String = String::from_utf8_lossy(line).chars().take(120).collect();
                return Err(format!(
                    "{line:?} is no line of \"aws s3 sync\"; write one object on each line, as s3://bucket/key"
                ));
            }
        }
    }
    upload.changed = changed.into_iter().collect();
    Ok(upload)
}

/// Returns the line without the blanks that the progress bar leaves at its end. A key may end in a blank, too, but
/// then the line has no more than that.
fn trim_end(line: &[u8]) -> &[u8] {
    let blanks = line.iter().rev().take_while(|byte| **byte == b' ').count();
    if blanks > 1 { &line[..line.len() - blanks] } else { line }
}

/// Returns the objects that a line reports as changed. `None` if it is another line.
fn objects(line: &[u8]) -> Option<Vec<Changed>> {
    if line.starts_with(b"s3://") {
        return Some(vec![object(line, false)?]);
    }
    let rest = |verb: &str| line.strip_prefix(verb.as_bytes());
    if let Some(deleted) = rest("delete: ") {
        return Some(vec![object(deleted, true)?]);
    }
    if rest("download: ").is_some() {
        return Some(Vec::new());
    }
    let (from, to) = split(rest("upload: ").or_else(|| rest("copy: ")).or_else(|| rest("move: "))?)?;
    let moved = rest("move: ").and_then(|_| object(from, true));
    let put = object(to, false);
    // A move to this machine only deletes the object.
    (put.is_some() || moved.is_some()).then(|| put.into_iter().chain(moved).collect())
}

/// Splits `FROM to TO`.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let last = |word: &[u8]| line.windows(word.len()).rposition(|window| window == word);
    let at = last(b" to s3://").or_else(|| last(b" to "))?;
    Some((&line[..at], &line[at + 4..]))
}

/// Parses `s3://bucket/key`.
fn object(address: &[u8], is_deleted: bool) -> Option<Changed> {
    let rest = address.strip_prefix(b"s3://")?;
    let slash = rest.iter().position(|byte| *byte == b'/')?;
    let bucket = str::from_utf8(&rest[..slash]).ok()?.to_owned();
    let key = rest[slash + 1..].to_vec();
    (!bucket.is_empty() && !key.is_empty()).then_some(Changed { bucket, key, is_deleted })
}

/// Returns whether a line says that something was not uploaded or deleted.
fn is_failure(line: &[u8]) -> bool {
    ["upload", "copy", "move", "delete", "download"]
        .iter()
        .any(|verb| line.strip_prefix(verb.as_bytes()).is_some_and(|rest| rest.starts_with(b" failed: ")))
}

/// Returns whether a line is empty, or shows the progress or a warning.
fn is_progress(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"Completed ") || line.starts_with(b"warning: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str) -> Vec<String> {
        let shown = |one: Changed| {
            let sign = if one.is_deleted { '-' } else { '+' };
            format!("{sign}{}/{}", one.bucket, String::from_utf8_lossy(&one.key))
        };
        parse(text.as_bytes()).expect("an upload").changed.into_iter().map(shown).collect()
    }

    #[test]
    fn lines_of_the_aws_cli_are_read() {
        let progress = "Completed 12 Bytes/24 Bytes (1.2 KiB/s) with 2 file(s) remaining\r";
        let text = format!(
            "{progress}upload: ./index.html to s3://site/live/index.html              \n\
             {progress}upload: docs/a to b.html to s3://site/live/docs/a to b.html\r\n\
             copy: s3://other/x.html to s3://site/x.html\n\
             move: s3://site/old name.html to s3://site/new name.html\n\
             delete: s3://site/gone.html\n\
             download: s3://site/y.html to ./y.html\n\
             warning: Skipping file /tmp/x. File does not exist.\n\n\
             s3://site/alone \n"
        );
        assert_eq!(
            changed(&text),
            [
                "+site/alone ",
                "-site/gone.html",
                "+site/live/docs/a to b.html",
                "+site/live/index.html",
                "+site/new name.html",
                "-site/old name.html",
                "+site/x.html",
            ]
        );
        assert_eq!(changed("move: s3://site/a.html to ./a.html\n"), ["-site/a.html"]);
        assert_eq!(changed(""), [""; 0]);
    }

    #[test]
    fn a_dry_run_and_failures_are_noticed() {
        let text = "(dryrun) upload: ./a to s3://site/a\n(dryrun) delete: s3://site/b\n";
        let upload = parse(text.as_bytes()).expect("an upload");
        assert!(upload.is_dry_run && upload.changed.len() == 2, "{upload:?}");
        let failure =
            "upload failed: ./a to s3://site/a An error occurred (AccessDenied) when calling PutObject";
        let upload = parse(failure.as_bytes()).expect("an upload");
        assert_eq!((upload.changed.len(), &*upload.failed), (0, &[failure.to_owned()][..]));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "fatal error: Unable to locate credentials",
            "/index.html",
            "s3://site",
            "upload: ./a",
            "delete: b",
        ] {
            let why = parse(line.as_bytes()).expect_err("no line of an upload");
            assert!(why.contains(line) && why.contains("s3://bucket/key"), "{why}");
        }
    }
}
