//! `cfadmin completions`: a completion script for a shell.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{Exit, Stop};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin completions bash > ~/.local/share/bash-completion/completions/cfadmin";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut crate::Arguments::command(), "cfadmin", &mut script);
    io::stdout().lock().write_all(&script).map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}
