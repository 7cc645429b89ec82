//! What the subcommands share: events to read, configuration, output to write.

use std::{
    env, fs,
    io::{self, Read, Write},
};

use clap::Args;
use cloudfront_invalidator::{
    config::{Config, DISTRIBUTIONS},
    report::Report,
};

use crate::{Exit, Stop};

/// The distribution that stands in where none is configured and none is contacted.
const EXAMPLE: &str = "E1EXAMPLE";

/// Events, and how to show what becomes of them.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Files with an event each, as Lambda would get it; "-" for standard input
    #[arg(required = true, value_name = "EVENT")]
    events: Vec<String>,

    /// One JSON document per event, a line each
    #[arg(long)]
    pub(crate) json: bool,
}

impl Events {
    /// The events: name and bytes. All are read before anything is done.
    pub(crate) fn read(&self) -> Result<Vec<(&str, Vec<u8>)>, Stop> {
        let read = |name: &String| {
            if name == "-" {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
            } else {
                fs::read(name)
            }
        };
        self.events.iter().map(|name| Ok((&**name, read(name).map_err(Stop::io(name))?))).collect()
    }

    /// Writes what became of one event.
    pub(crate) fn write(
        &self,
        name: &str,
        report: &Report,
        text: impl std::fmt::Display,
    ) -> Result<(), Stop> {
        let mut out = io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer(&mut out, report).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else if self.events.len() > 1 {
            writeln!(out, "== {name}\n{text}")
        } else {
            write!(out, "{text}")
        };
        written.and_then(|()| out.flush()).map_err(Stop::io("standard output"))
    }
}

/// The configuration in the environment, with the example distribution where it
/// names none and `example` allows it.
pub(crate) fn config(example: bool) -> Result<Config, Stop> {
    let mut variables: Vec<(String, String)> = env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let named = |(name, value): &(String, String)| name == DISTRIBUTIONS && !value.trim().is_empty();
    if example && !variables.iter().any(named) {
        variables.push((DISTRIBUTIONS.to_owned(), EXAMPLE.to_owned()));
    }
    Ok(Config::read(variables)?)
}

/// Failed if anything of any event was not done.
pub(crate) const fn exit(all_done: bool) -> Exit {
    if all_done { Exit::Done } else { Exit::Failed }
}
