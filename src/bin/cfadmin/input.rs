//! Input that subcommands share: events and the environment.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Args;
use cloudfront_invalidator::{config::DISTRIBUTIONS, report::Report};
use http::Uri;

use crate::{Exit, Stop, out::Output};

/// The distribution of commands that contact nobody and have none configured.
const EXAMPLE: &str = "E1EXAMPLE";

/// The name of standard input.
pub(crate) const STANDARD: &str = "-";

/// The events of a command, and its output options.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Files with one event each, as Lambda receives it; "-" for standard input
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

impl Events {
    /// Reads all events. Returns the name and bytes of each.
    pub(crate) fn read(&self) -> Result<Vec<(String, Vec<u8>)>, Stop> {
        let read = |path: &PathBuf| Ok((path.display().to_string(), read(path, "an event")?));
        self.events.iter().map(read).collect()
    }

    /// Prints the result of one event.
    pub(crate) fn write(
        &self,
        name: &str,
        report: &Report,
        text: impl std::fmt::Display,
    ) -> Result<(), Stop> {
        self.output.print(report, |out| {
            if self.events.len() > 1 {
                return writeln!(out, "== {name}\n{text}");
            }
            write!(out, "{text}")
        })
    }
}

/// Reads a file, or standard input if it is `-`. On a terminal, says that `what` has to be typed.
///
/// # Errors
///
/// If the file cannot be read, or standard input was read already.
pub(crate) fn read(path: &Path, what: &str) -> Result<Vec<u8>, Stop> {
    static WAS_READ: AtomicBool = AtomicBool::new(false);
    if path != Path::new(STANDARD) {
        return fs::read(path).map_err(Stop::io(path.display().to_string()));
    }
    if WAS_READ.swap(true, Ordering::Relaxed) {
        return Err(Stop::Usage("standard input (\"-\") can be read only once".to_owned()));
    }
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        let end = if cfg!(windows) { "Ctrl-Z and Enter" } else { "Ctrl-D" };
        eprintln!("reading {what} from the terminal; end with {end}");
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(Stop::io("standard input"))?;
    Ok(bytes)
}

/// Splits `s3://bucket/key` into bucket and key. `None` if either is missing.
pub(crate) fn object(text: &str) -> Option<(&str, &str)> {
    let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

/// Parses a URL. Its scheme may be missing.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url: Uri =
        full.parse().map_err(|why| format!("{why}; write a URL as https://www.example.com/a%20b"))?;
    match url.scheme_str() {
        Some("https" | "http") if url.host().is_some_and(|host| !host.is_empty()) => Ok(url),
        _ => Err("invalid URL; write it as https://www.example.com/index.html".to_owned()),
    }
}

/// Returns the environment. If `has_example` is true and the environment names no distribution, it
/// names an example.
pub(crate) fn variables(has_example: bool) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = env::vars_os().collect();
    let is_named = |(name, value): &(OsString, OsString)| {
        name == DISTRIBUTIONS && !value.to_string_lossy().trim().is_empty()
    };
    if has_example && !variables.iter().any(is_named) {
        variables.push((DISTRIBUTIONS.into(), EXAMPLE.into()));
    }
    variables
}

/// Returns the exit code: failed unless everything was done.
pub(crate) const fn exit(all_done: bool) -> Exit {
    if all_done { Exit::Done } else { Exit::Failed }
}
