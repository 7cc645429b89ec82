//! `cfadmin completions` and `cfadmin man`: what shells and readers want.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{Exit, Stop};

/// Print a script that completes cfadmin's commands in a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    shell: Shell,
}

/// Print the manual page of cfadmin or of one of its commands
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    command: Option<String>,
}

pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut crate::Arguments::command(), "cfadmin", &mut script);
    io::stdout().lock().write_all(&script).map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}

pub(crate) fn man(arguments: &ManArguments) -> Result<Exit, Stop> {
    let mut command = crate::Arguments::command();
    command.build();
    let page = match &arguments.command {
        None => command,
        Some(name) => command
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Stop::Usage(format!("there is no command {name:?}: see cfadmin help")))?,
    };
    clap_mangen::Man::new(page).render(&mut io::stdout().lock()).map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}
