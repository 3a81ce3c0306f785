//! `mark-stale-drafts`: what an operator sees and does at 3 a.m.
//!
//! A thin shell around the Worker's API: it asks, shows, confirms and sends; the Worker decides and writes. Data goes to
//! stdout, everything else to stderr.

mod api;
mod args;
mod commands;
mod exit;
mod output;
mod plain;
mod plans;
mod settings;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args as _, CommandFactory as _, FromArgMatches as _};

use crate::args::{Arguments, Command, Sweep};
use crate::exit::Failure;

/// The arguments. What is a sweep's before a command that is none is an error: it must not be passed over.
fn arguments() -> Result<Arguments, clap::Error> {
    let mut program = Arguments::command();
    let matches = program.get_matches_mut();
    if let Some(command) = matches.subcommand_name() {
        let sweep = Sweep::augment_args(clap::Command::new("sweep"));
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if let Some(flag) = sweep.get_arguments().find(|argument| given(argument.get_id().as_str())) {
            let flag = flag.get_long().unwrap_or_default();
            let message = format!(
                "`--{flag}` before `{command}` is a sweep's: leave it out, or give it after `{command}` if that has it"
            );
            return Err(program.error(ErrorKind::ArgumentConflict, message));
        }
    }
    Arguments::from_arg_matches(&matches)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match run(&arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            anstream::eprintln!(
                "{}error:{} {}",
                output::ERROR.render(),
                output::ERROR.render_reset(),
                failure.message
            );
            failure.code.into()
        }
    }
}

fn run(arguments: &Arguments) -> Result<exit::Code, Failure> {
    match &arguments.command {
        Some(Command::Completions { shell }) => return commands::shell::completions(*shell),
        Some(Command::Man) => return commands::shell::man(),
        Some(Command::Token { name, scopes }) => return commands::token::make(name, scopes),
        _ => {}
    }
    let api = settings::connect(&arguments.connection)?;
    let json = arguments.json;
    match &arguments.command {
        None => commands::sweep::run(&api, &arguments.sweep, json),
        Some(Command::Count { bands }) => commands::list::count(&api, bands.as_deref(), json),
        Some(Command::List { user, status, limit, cursor }) => {
            commands::list::creations(&api, user, status.as_deref(), *limit, cursor.as_deref(), json)
        }
        Some(Command::Explain { id }) => commands::explain::run(&api, id, json),
        Some(Command::Restore { id }) => commands::restore::run(&api, id, json),
        Some(Command::Events { due, limit, cursor }) => {
            commands::events::list(&api, *due, *limit, cursor.as_deref(), json)
        }
        Some(Command::Replay { ids, .. }) => commands::events::replay(&api, ids, json),
        Some(Command::Sweeps { limit, cursor }) => {
            commands::list::sweeps(&api, *limit, cursor.as_deref(), json)
        }
        Some(Command::Doctor) => commands::doctor::run(&api, json),
        Some(Command::Completions { .. } | Command::Man | Command::Token { .. }) => Ok(exit::Code::Done),
    }
}
