//! `import`: what another system holds, into SQL; and the comparison afterwards.

pub mod arguments;
mod database;
mod files;
mod mapping;
mod report;
mod verify;

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use stale_drafts_import::report::Report;
use stale_drafts_import::sources::Sources;
use stale_drafts_import::sql::Script;
use stale_drafts_import::{ImportError, import};

use self::arguments::{Import, Source};
use self::files::Whole;
use self::mapping::Chosen;
use crate::exit::{Code, Error};
use crate::output::{self, note};

/// Runs one of the commands.
pub fn run(command: &Import, json: bool) -> Result<Code, Error> {
    match command {
        Import::Firestore { source, accept_guesses, dry_run, output, unreadable } => {
            firestore(source, *accept_guesses, *dry_run, output, unreadable.as_deref(), json)
        }
        Import::Verify { source, accept_guesses, database, remote, wrangler, .. } => {
            let sources = sources(source);
            let chosen = mapping::choose(source, &sources)?;
            if chosen.guessed && !accept_guesses {
                return Err(mapping::refuse(&chosen.mapping));
            }
            verify::run(
                &sources,
                &chosen.mapping,
                &database::Database::new(wrangler, database, *remote),
                json,
            )
        }
    }
}

fn firestore(
    source: &Source,
    accept_guesses: bool,
    dry_run: bool,
    path: &Path,
    unreadable: Option<&Path>,
    json: bool,
) -> Result<Code, Error> {
    let sources = sources(source);
    let chosen = mapping::choose(source, &sources)?;
    if dry_run || chosen.guessed && !accept_guesses {
        return look(&sources, &chosen, dry_run, json);
    }
    let failed = |error| stopped(error, path);
    let beside = || path.with_file_name("unreadable.ndjson");
    let list = unreadable.map_or_else(beside, Path::to_owned);
    let report = if path == Path::new("-") {
        let mut script = Script::new(BufWriter::new(std::io::stdout().lock()))
            .map_err(|error| failed(ImportError::Write(error)))?;
        let report = write(&sources, &chosen, &mut script, &list)?;
        script.end().map_err(|error| failed(ImportError::Write(error)))?;
        report
    } else {
        let mut file = Whole::create(path)?;
        let mut script = Script::new(&mut file).map_err(|error| failed(ImportError::Write(error)))?;
        let report = write(&sources, &chosen, &mut script, &list)?;
        script.end().map_err(|error| failed(ImportError::Write(error)))?;
        file.finish()?;
        report
    };
    if path == Path::new("-") {
        note(report::line(&report));
    } else if json {
        output::json(&json!({ "output": path, "report": report.json() }));
    } else {
        report::show(&report);
        note(format!(
            "Wrote `{0}`: run `npx wrangler d1 execute NAME --remote --file {0}`, or with `--local`.",
            path.display()
        ));
    }
    if report.unreadable > 0 {
        note(format!("What can't be read is in `{}`.", list.display()));
    }
    Ok(code(&report))
}

/// Writes the SQL, and the list of what is unreadable.
fn write<W: Write>(
    sources: &Sources,
    chosen: &Chosen,
    script: &mut Script<W>,
    list: &Path,
) -> Result<Report, Error> {
    let mut unreadable = Whole::create(list)?;
    let report = counted(sources, |progress| {
        import(
            sources,
            &chosen.mapping,
            Some(script),
            &mut |found| writeln!(unreadable, "{}", json!({ "path": found.path, "reason": found.reason })),
            progress,
        )
    });
    let report = report.map_err(|error| stopped(error, list))?;
    unreadable.finish()?;
    Ok(report)
}

/// Counts, and writes nothing.
fn look(sources: &Sources, chosen: &Chosen, dry_run: bool, json: bool) -> Result<Code, Error> {
    let report = counted(sources, |progress| {
        import::<Vec<u8>>(sources, &chosen.mapping, None, &mut |_| Ok(()), progress)
    });
    let report = report.map_err(|error| stopped(error, Path::new("-")))?;
    if dry_run {
        if json {
            output::json(
                &json!({ "mapping": chosen.mapping, "guessed": chosen.guessed, "report": report.json() }),
            );
        } else {
            report::show(&report);
        }
        return Ok(code(&report));
    }
    for line in report::lines(&report) {
        note(line);
    }
    Err(mapping::refuse(&chosen.mapping))
}

/// What could not be read is work that was not done.
fn code(report: &Report) -> Code {
    if report.unreadable > 0 { Code::PartlyDone } else { Code::Done }
}

fn stopped(error: ImportError, path: &Path) -> Error {
    match error {
        ImportError::Source(error) => Error::new(Code::InvalidInput, error.to_string()),
        ImportError::Write(error) => {
            Error::new(Code::Failed, format!("`{}` can't be written: {error}", path.display()))
        }
    }
}

fn sources(source: &Source) -> Sources {
    Sources { node_path: source.node_path.clone(), ..Sources::new(source.sources.iter().cloned()) }
}

/// Runs what reads all sources, and shows on a terminal how far it is.
fn counted<T>(sources: &Sources, run: impl FnOnce(&mut dyn FnMut()) -> T) -> T {
    let bar = ProgressBar::new(sources.bytes());
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {bytes} of {total_bytes}, {msg} documents, {elapsed}")
    {
        bar.set_style(style);
    }
    let mut documents = 0_u64;
    let result = run(&mut || {
        documents = documents.saturating_add(1);
        if documents.is_multiple_of(1_000) {
            bar.set_message(documents.to_string());
            bar.set_position(sources.bytes_read.load(Ordering::Relaxed));
        }
    });
    bar.finish_and_clear();
    result
}
