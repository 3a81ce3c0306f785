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

use clap::Parser as _;

use crate::args::{Arguments, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
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
