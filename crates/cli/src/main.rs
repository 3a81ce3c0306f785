//! `mark-stale-drafts`: what an operator looks at and does at 3 a.m.
//!
//! The command asks, shows, confirms and sends; the Worker decides and writes. Data goes to stdout, everything else to
//! stderr.

mod api;
mod args;
mod commands;
mod connection;
mod exit;
mod format;
mod output;
mod saved_plans;
mod until;

use std::io::ErrorKind::BrokenPipe;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args as _, CommandFactory as _, FromArgMatches as _};

use crate::args::{Arguments, Command, Ledger, Sweep};
use crate::exit::{Code, Error};
use crate::output::{ERROR, note, styled};

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => return show_usage(&error),
    };
    let code = run(&arguments).unwrap_or_else(|error| {
        note(format!("{} {}", styled(ERROR, "error:"), error.message));
        error.code
    });
    match output::write_error() {
        None => code.into(),
        // What the command found stays its exit code: only a success becomes a failure.
        Some(error) => {
            note(format!("{} stdout can't be written: {error}", styled(ERROR, "error:")));
            if code == Code::Done { Code::Failed.into() } else { code.into() }
        }
    }
}

/// Reads the arguments. An option of a sweep before another command is an error: nobody would notice that it does nothing.
fn arguments() -> Result<Arguments, clap::Error> {
    let mut program = Arguments::command();
    let matches = program.try_get_matches_from_mut(std::env::args_os())?;
    if let Some(command) = matches.subcommand_name() {
        let sweep = Sweep::augment_args(clap::Command::new("sweep"));
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if let Some(option) = sweep.get_arguments().find(|argument| given(argument.get_id().as_str())) {
            let option = option.get_long().unwrap_or_default();
            let message = format!(
                "`--{option}` before `{command}` is an option of a sweep: remove it, or write it after `{command}` if that has it"
            );
            return Err(program.error(ErrorKind::ArgumentConflict, message));
        }
    }
    Arguments::from_arg_matches(&matches)
}

/// Prints the help, the version, or what is wrong with the arguments.
fn show_usage(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(failed) if !error.use_stderr() && failed.kind() != BrokenPipe => Code::Failed.into(),
        _ if error.use_stderr() => Code::InvalidInput.into(),
        _ => Code::Done.into(),
    }
}

fn run(arguments: &Arguments) -> Result<Code, Error> {
    match &arguments.command {
        Some(Command::Completions { shell }) => return Ok(commands::completions::completions(*shell)),
        Some(Command::Man) => return commands::completions::man(),
        Some(Command::Token { name, scopes }) => return commands::token::make(name, scopes),
        Some(Command::Import(command)) => return commands::import::run(command, arguments.json),
        _ => {}
    }
    let api = connection::connect(&arguments.connection)?;
    let json = arguments.json;
    match &arguments.command {
        None => commands::sweep::run(&api, &arguments.sweep, json),
        Some(Command::Count { bands }) => commands::count::run(&api, bands.as_deref(), json),
        Some(Command::List { user, status, page }) => {
            commands::list::run(&api, user, status.as_deref(), page, json)
        }
        Some(Command::Ledger { command: Some(Ledger::Compact(compact)), .. }) => {
            commands::compact::run(&api, compact, json)
        }
        Some(Command::Ledger { user, page, .. }) => {
            commands::ledger::run(&api, user.as_deref().unwrap_or_default(), page, json)
        }
        Some(Command::Explain { id, whose }) => commands::explain::run(&api, id, whose.user.as_deref(), json),
        Some(Command::Extend(extend)) => commands::extend::run(&api, extend, json),
        Some(Command::Extensions { command }) => commands::extend::extensions(&api, command.as_ref(), json),
        Some(Command::Restore { id, whose }) => commands::restore::run(&api, id, whose.user.as_deref(), json),
        Some(Command::Retry(retry)) => commands::retry::run(&api, retry, json),
        Some(Command::Cancel { ids, whose }) => commands::cancel::run(&api, ids, whose.user.as_deref(), json),
        Some(Command::Fail { ids, error, whose }) => {
            commands::fail::run(&api, ids, whose.user.as_deref(), error, json)
        }
        Some(Command::Search { search, page }) => commands::search::run(&api, search, page, json),
        Some(Command::Note { id, text, sweep: true, .. }) => commands::note::sweep(&api, id, text, json),
        Some(Command::Note { id, text, whose, .. }) => {
            commands::note::creation(&api, id, whose.user.as_deref(), text, json)
        }
        Some(Command::Events { due, page }) => commands::events::list(&api, *due, page, json),
        Some(Command::Replay { ids, .. }) => commands::events::replay(&api, ids, json),
        Some(Command::Sweeps { page }) => commands::sweeps::run(&api, page, json),
        Some(Command::Shards { command }) => commands::shards::run(&api, command.as_ref(), json),
        Some(Command::Doctor) => commands::doctor::run(&api, json),
        Some(Command::Completions { .. } | Command::Man | Command::Token { .. } | Command::Import(_)) => {
            Ok(Code::Done)
        }
    }
}
