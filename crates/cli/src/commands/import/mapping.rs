use std::fs;
use std::path::Path;

use stale_drafts_import::guess::guess;
use stale_drafts_import::mapping::Mapping;
use stale_drafts_import::sources::Sources;

use super::arguments::Source;
use super::counted;
use crate::exit::{Code, Error};
use crate::output::{self, note};

/// The mapping to use.
pub struct Chosen {
    pub mapping: Mapping,
    /// Nobody has said that it is right.
    pub guessed: bool,
}

/// Reads the mapping, takes it from the options if they say everything, or guesses what they leave out.
pub fn choose(source: &Source, sources: &Sources) -> Result<Chosen, Error> {
    let invalid = |message: String| Error::new(Code::InvalidInput, message);
    if let Some(path) = &source.mapping {
        let read = fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| text.parse());
        let mapping: Mapping =
            read.map_err(|error| invalid(format!("the mapping `{}`: {error}", path.display())))?;
        let mapping = replace(mapping, source);
        mapping.check().map_err(|error| invalid(format!("the mapping: {error}")))?;
        return Ok(Chosen { mapping, guessed: false });
    }
    let stated = replace(Mapping::default(), source);
    if stated.check().is_ok() {
        return Ok(Chosen { mapping: stated, guessed: false });
    }
    if sources.paths.iter().any(|path| path == Path::new("-")) {
        return Err(invalid(String::from(
            "a mapping can't be guessed from stdin, which can be read only once: pass --mapping",
        )));
    }
    let guessed =
        counted(sources, |progress| guess(sources, progress)).map_err(|error| invalid(error.to_string()))?;
    let mapping = replace(guessed.mapping, source);
    note("No mapping was given. This is a guess:");
    for line in &guessed.notes {
        note(format!("- {}", output::one_line(line)));
    }
    if let Err(error) = mapping.check() {
        print(&mapping);
        return Err(invalid(format!("the guessed mapping is not enough: {error}")));
    }
    Ok(Chosen { mapping, guessed: true })
}

/// What the options say stands instead.
fn replace(mut mapping: Mapping, source: &Source) -> Mapping {
    if source.collection.is_some() {
        mapping.collection.clone_from(&source.collection);
    }
    if source.users.is_some() {
        (mapping.users, mapping.balances) = (source.users.clone(), None);
    }
    if source.balances.is_some() {
        (mapping.users, mapping.balances) = (None, source.balances.clone());
    }
    mapping.fields.extend(source.fields.iter().cloned());
    mapping.values.extend(source.values.iter().cloned());
    mapping.statuses.extend(source.statuses.iter().cloned());
    mapping.times = source.times.or(mapping.times);
    mapping.times_without_offset = source.times_without_offset.or(mapping.times_without_offset);
    mapping
}

/// Prints a guessed mapping, to be saved, and says why nothing was done.
pub fn refuse(mapping: &Mapping) -> Error {
    print(mapping);
    let message = "nothing was done by a guessed mapping: save the one above, correct it, and pass --mapping; \
                   or pass --accept-guesses";
    Error::new(Code::InvalidInput, message)
}

fn print(mapping: &Mapping) {
    output::json(&serde_json::to_value(mapping).unwrap_or_default());
}
