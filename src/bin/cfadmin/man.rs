//! `cfadmin man`: the manual pages.

use std::io::{self, Write};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::{Exit, Stop};

/// Commands to copy from the help.
const EXAMPLES: &str = "Examples:
  cfadmin man invalidate | man -l -";

/// Print the manual page of cfadmin or of one of its commands
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    command: Option<String>,
}

/// The variables that cfadmin reads.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("AWS_PROFILE", "The profile, unless --profile is given."),
    ("AWS_REGION", "The region, unless --region is given."),
    ("AWS_ENDPOINT_URL_CLOUDFRONT, AWS_ENDPOINT_URL", "The endpoint, unless --endpoint-url is given."),
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "Credentials, instead of those of a profile.",
    ),
    ("AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE", "Other files than those below."),
    ("AWS_MAX_ATTEMPTS", "Maximum number of attempts of each call."),
    ("INVALIDATOR_*", "The settings of the function."),
    ("NO_COLOR, CLICOLOR_FORCE", "Whether the output has colors."),
];

/// The files that cfadmin reads.
const FILES: [(&str, &str); 3] = [
    ("~/.aws/config", "Profiles, with their regions and endpoints."),
    ("~/.aws/credentials", "Access keys."),
    ("~/.aws/sso/cache", "The sessions of aws sso login."),
];

pub(crate) fn run(arguments: &Arguments) -> Result<Exit, Stop> {
    let mut command = crate::Arguments::command();
    command.build();
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let page = match &arguments.command {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            Stop::Usage(format!("unknown command {name:?}; cfadmin help lists the commands"))
        })?,
    };
    let mut text = Vec::new();
    render(&page, &help, &mut text).map_err(Stop::io("the page"))?;
    io::stdout().lock().write_all(&text).map_err(Stop::io("standard output"))?;
    Ok(Exit::Done)
}

/// Writes the page of a command. `help` is the end of the help of cfadmin.
fn render(command: &Command, help: &str, out: &mut dyn Write) -> io::Result<()> {
    let section = |help: &str, name: &str| {
        let (_, rest) = help.split_once(&format!("{name}:\n"))?;
        rest.split("\n\n").next().map(str::to_owned)
    };
    let own = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    if let Some(examples) = section(&own, "Examples") {
        writeln!(out, ".SH EXAMPLES\n.nf")?;
        examples.lines().try_for_each(|line| writeln!(out, "{}", escaped(line.trim_start())))?;
        writeln!(out, ".fi")?;
    }
    for (name, terms) in [("ENVIRONMENT", &ENVIRONMENT[..]), ("FILES", &FILES)] {
        writeln!(out, ".SH {name}")?;
        terms
            .iter()
            .try_for_each(|(term, text)| writeln!(out, ".TP\n{}\n{}", escaped(term), escaped(text)))?;
    }
    writeln!(out, ".SH \"EXIT STATUS\"")?;
    for line in section(help, "Exit codes").unwrap_or_default().lines() {
        let (code, meaning) = line.trim_start().split_once("  ").unwrap_or((line, ""));
        writeln!(out, ".TP\n{code}\n{}", escaped(meaning))?;
    }
    if command.get_version().is_some() {
        man.render_version_section(out)?;
    }
    Ok(())
}

/// Escapes text for roff.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
