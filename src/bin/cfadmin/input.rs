//! What the subcommands share: events to read, and the environment.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use cloudfront_invalidator::{config::DISTRIBUTIONS, report::Report};

use crate::{Exit, Stop, out::Output};

/// The distribution that stands in where none is configured and none is contacted.
const EXAMPLE: &str = "E1EXAMPLE";

/// Events, and how to show what becomes of them.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Files with an event each, as Lambda would get it; "-" for standard input
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<PathBuf>,

    #[command(flatten)]
    output: Output,
}

impl Events {
    /// The events: name and bytes. All are read before anything is done.
    pub(crate) fn read(&self) -> Result<Vec<(String, Vec<u8>)>, Stop> {
        let standard = Path::new("-");
        if self.events.iter().filter(|name| *name == standard).count() > 1 {
            return Err(Stop::Usage("standard input (\"-\") can be read only once".to_owned()));
        }
        let read = |path: &PathBuf| {
            let name = path.display().to_string();
            let mut bytes = Vec::new();
            let read = if path == standard {
                io::stdin().lock().read_to_end(&mut bytes)
            } else {
                File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
            };
            read.map_err(Stop::io(&name))?;
            Ok((name, bytes))
        };
        self.events.iter().map(read).collect()
    }

    /// Writes what became of one event.
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

/// The bucket and the key that a person means by `s3://bucket/key`.
pub(crate) fn object(text: &str) -> Option<(&str, &str)> {
    let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
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

/// Failed if anything of any event was not done.
pub(crate) const fn exit(all_done: bool) -> Exit {
    if all_done { Exit::Done } else { Exit::Failed }
}
