//! A managed export: what `gcloud firestore export` leaves, and Google's emulator.

mod entity;
mod log;

use std::fs::{self, File};
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use prost::Message as _;

use super::{Counted, Each, SourceError, at};
use crate::document::{Item, Unreadable};

pub use self::log::is_log;

/// Reads all documents of an export's folder.
pub fn read_folder(folder: &Path, bytes: &AtomicU64, each: Each<'_>) -> Result<ControlFlow<()>, SourceError> {
    let expected = overall(folder)?;
    let mut seen = 0_u64;
    for path in files(folder)? {
        let file = File::open(&path).map_err(|error| at(&path, error.to_string()))?;
        let mut counted = |item| {
            seen = seen.saturating_add(1);
            each(item)
        };
        if read(&path, &mut Counted { inner: file, bytes }, &mut counted)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    if let Some(expected) = expected.filter(|expected| *expected != seen) {
        let reason = format!(
            "the export says that it holds {expected} documents, and {seen} are there: copy it again"
        );
        return Ok(each(Item::Unreadable(Unreadable { path: folder.display().to_string(), reason })));
    }
    Ok(ControlFlow::Continue(()))
}

/// Reads one file of records.
pub fn read(path: &Path, reader: &mut dyn Read, each: Each<'_>) -> Result<ControlFlow<()>, SourceError> {
    let mut records = log::Records::new(reader);
    loop {
        let record = match records.next() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(ControlFlow::Continue(())),
            Err(reason) => return Err(at(path, reason)),
        };
        let item = entity::document(record).map_or_else(
            |reason| {
                let path = format!("{} at byte {}", path.display(), records.begun());
                Item::Unreadable(Unreadable { path, reason })
            },
            Item::Document,
        );
        if each(item).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

/// The files of records, in order.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut found = Vec::new();
    gather(folder, &mut found)?;
    let number =
        |path: &Path| -> Option<u64> { path.file_name()?.to_str()?.strip_prefix("output-")?.parse().ok() };
    let mut numbered: Vec<_> = found
        .into_iter()
        .filter_map(|path| Some((path.parent()?.to_owned(), number(&path)?, path)))
        .collect();
    numbered.sort();
    if numbered.is_empty() {
        let reason = "it holds no `output-0`: expected the folder of `gcloud firestore export`, with `all_namespaces` in it; \
                      name files of JSON one by one";
        return Err(at(folder, reason.into()));
    }
    Ok(numbered.into_iter().map(|(_, _, path)| path).collect())
}

fn gather(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let failed = |error: std::io::Error| at(folder, error.to_string());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() { gather(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

/// What an export says about itself. Only the numbers are read.
#[derive(Clone, PartialEq, prost::Message)]
struct Overall {
    #[prost(message, repeated, tag = "1")]
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Part {
    #[prost(uint64, optional, tag = "3")]
    documents: Option<u64>,
}

/// How many documents the export says that it holds. The file is written last, so without it the export was cut off.
fn overall(folder: &Path) -> Result<Option<u64>, SourceError> {
    let mut found = Vec::new();
    gather(folder, &mut found)?;
    let is_overall = |path: &&PathBuf| path.extension().is_some_and(|name| name == "overall_export_metadata");
    let Some(path) = found.iter().find(is_overall) else {
        let reason =
            "there is no `.overall_export_metadata`: the export has not ended, or was copied in part";
        return Err(at(folder, reason.into()));
    };
    let file = File::open(path).map_err(|error| at(path, error.to_string()))?;
    let mut records = log::Records::new(file);
    let record = records.next().map_err(|reason| at(path, reason))?;
    let Some(overall) = record.and_then(|record| Overall::decode(record).ok()) else { return Ok(None) };
    let counts: Option<Vec<_>> = overall.parts.iter().map(|part| part.documents).collect();
    Ok(counts
        .filter(|counts| !counts.is_empty())
        .map(|counts| counts.into_iter().fold(0, u64::saturating_add)))
}
