//! Brings a Firestore app into Stale Drafts: sources into documents, documents into rows by a mapping, rows into SQL. And compares
//! the database with the source afterwards.
//!
//! ```
//! use stale_drafts_import::{import, mapping::Mapping, sources::Sources, sql::Script};
//!
//! let mapping: Mapping = r#"{"users": "users", "fields": {"balance": "tokenBalance"}}"#.parse()?;
//! let sources = Sources::new([concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/import/fixtures/small/managed")]);
//! let mut sql = Vec::new();
//! let mut script = Script::new(&mut sql)?;
//! let report = import(&sources, &mapping, Some(&mut script), &mut |_| Ok(()), &mut || ())?;
//! assert_eq!((report.users, report.balances, report.unreadable), (5, 370, 0));
//! script.end()?;
//! assert!(String::from_utf8(sql)?.contains("('user-1', 37)"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod creation;
pub mod document;
pub mod guess;
pub mod mapping;
pub mod report;
pub mod sources;
pub mod sql;
pub mod verify;

mod balances;
mod time;

use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::creation::{Read, Reader};
use crate::document::{Item, Unreadable};
use crate::mapping::Mapping;
use crate::report::Report;
use crate::sources::{SourceError, Sources};
use crate::sql::Script;

/// Why an import ended early.
#[derive(Debug)]
pub enum ImportError {
    /// A source can't be read to its end.
    Source(SourceError),
    /// The SQL, or the list of what is unreadable, can't be written.
    Write(io::Error),
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ImportError::Source(error) => error.fmt(formatter),
            ImportError::Write(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<SourceError> for ImportError {
    fn from(error: SourceError) -> Self {
        ImportError::Source(error)
    }
}

/// Reads sources by a mapping, and writes what they hold into `script`, if there is one. `unreadable` gets what can't be read;
/// `progress` is called after each document.
///
/// # Errors
///
/// [`ImportError`]. What was written until then is of no use.
pub fn import<W: Write>(
    sources: &Sources,
    mapping: &Mapping,
    mut script: Option<&mut Script<W>>,
    unreadable: &mut dyn FnMut(&Unreadable) -> io::Result<()>,
    progress: &mut dyn FnMut(),
) -> Result<Report, ImportError> {
    let mut report = Report::default();
    let mut written = Ok(());
    each_row(sources, mapping, &mut |row| {
        report.documents = report.documents.saturating_add(1);
        let result = match &row {
            Row::Creation(creation) => {
                report.creation(creation);
                script.as_mut().map_or(Ok(()), |script| script.creation(creation))
            }
            Row::User(user) => {
                report.user(user);
                script.as_mut().map_or(Ok(()), |script| script.user(user))
            }
            Row::Other(collection) => {
                report.other(collection);
                Ok(())
            }
            Row::Unreadable(found) => {
                report.unreadable(found);
                unreadable(found)
            }
        };
        progress();
        match result {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                written = Err(ImportError::Write(error));
                ControlFlow::Break(())
            }
        }
    })?;
    written.map(|()| report)
}

/// What a source gives by a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A creation.
    Creation(Box<creation::Creation>),
    /// A user's balance.
    User(creation::User),
    /// A document of this collection, which the mapping does not name.
    Other(String),
    /// What can't be read.
    Unreadable(Unreadable),
}

/// Reads the rows of sources, and those of the file of balances, if the mapping names one.
///
/// # Errors
///
/// [`SourceError`] if a file can't be read to its end.
pub fn each_row(
    sources: &Sources,
    mapping: &Mapping,
    each: &mut dyn FnMut(Row) -> ControlFlow<()>,
) -> Result<(), SourceError> {
    let mut reader = Reader::new(mapping);
    let mut stopped = false;
    sources.read(&mut |item| {
        let row = match item {
            Item::Unreadable(unreadable) => Row::Unreadable(unreadable),
            Item::Document(document) => match reader.read(&document) {
                Ok(Read::Other) => Row::Other(document.collection().to_owned()),
                read => row(read),
            },
        };
        let next = each(row);
        stopped = next.is_break();
        next
    })?;
    match &mapping.balances {
        Some(path) if !stopped => {
            balances::read(path, &mut |user_id, tokens| each(row(reader.balance(user_id, tokens))))
        }
        _ => Ok(()),
    }
}

fn row(read: Result<Read, Unreadable>) -> Row {
    match read {
        Ok(Read::Creation(creation)) => Row::Creation(creation),
        Ok(Read::User(user)) => Row::User(user),
        Ok(Read::Other) => Row::Other(String::new()),
        Err(unreadable) => Row::Unreadable(unreadable),
    }
}
