use stale_drafts_import::mapping::Mapping;
use stale_drafts_import::sources::Sources;
use stale_drafts_import::verify::{VerifyError, verify};

use super::counted;
use super::database::Database;
use crate::exit::{Code, Error};
use crate::output::{self, GOOD, WARNING, count, note, one_line, say, styled};

/// `import verify`: names what differs.
pub fn run(sources: &Sources, mapping: &Mapping, database: &Database, json: bool) -> Result<Code, Error> {
    let verdict =
        counted(sources, |progress| verify(sources, mapping, &mut |sql| database.query(sql), progress));
    let verdict = verdict.map_err(|error| match error {
        VerifyError::Source(error) => Error::new(Code::InvalidInput, error.to_string()),
        VerifyError::Database(error) => Error::new(Code::Unreachable, error),
    })?;
    if json {
        output::json(&verdict.json());
    } else {
        for what in &verdict.named {
            say(one_line(what));
        }
        for what in &verdict.named_moved_on {
            note(format!("has moved on: {}", one_line(what)));
        }
        if verdict.differences > verdict.named.len() as u64 {
            note("…");
        }
    }
    note(format!(
        "Compared {} and {}, {} of them in every field. {} can't be read there. {} moved on here.",
        count(verdict.creations, "creation"),
        count(verdict.users, "balance"),
        verdict.sampled,
        count(verdict.unreadable, "document"),
        if verdict.moved_on == 1 { String::from("1 has") } else { format!("{} have", verdict.moved_on) },
    ));
    if verdict.differences > 0 {
        note(styled(WARNING, format!("{}.", count(verdict.differences, "difference"))));
        return Ok(Code::Differs);
    }
    note(styled(GOOD, "Everything that can be read is here, to the token."));
    Ok(Code::Done)
}
