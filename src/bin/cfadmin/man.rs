//! `cfadmin man`: the manual pages.

use std::io;

use clap::{Args, CommandFactory};

use crate::{Exit, Stop};

/// Print the manual page of cfadmin or of one of its commands
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    command: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let mut command = crate::Arguments::command();
    command.build();
    let page = match &arguments.command {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            Stop::Usage(format!("unknown command {name:?}; cfadmin help lists the commands"))
        })?,
    };
    clap_mangen::Man::new(page).render(&mut io::stdout().lock()).map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}
