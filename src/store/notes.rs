//! What operators did to one creation or one sweep, and what they noted about it: rows of the audit with a subject.

use serde::{Deserialize, Serialize};

use super::{Param, Statement};
use crate::rules::Timestamp;

/// So many of one subject are shown, the newest ones.
const SHOWN: u32 = 100;

const NOTE_CREATION: &str = "INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject)
     SELECT ?1, ?2, ?3, 'note', ?4, 'creation:' || id FROM stale_drafts_creations WHERE id = ?5
     ON CONFLICT (id) DO NOTHING";

const NOTE_SWEEP: &str = "INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject)
     SELECT ?1, ?2, ?3, 'note', ?4, 'sweep:' || id FROM stale_drafts_sweeps WHERE id = ?5
     ON CONFLICT (id) DO NOTHING";

/// Apart, for the answer of the first try may be lost: the second writes nothing, and is answered all the same.
const NOTED: &str = "SELECT id FROM stale_drafts_audit WHERE id = ?1";

/// Only if the statement before has changed something.
const ACTED: &str = "INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject)
     SELECT ?1, ?2, ?3, ?4, ?5, 'creation:' || ?6 WHERE changes() > 0 ON CONFLICT (id) DO NOTHING";

const ABOUT: &str = "SELECT id, at, actor, action, detail FROM (
       SELECT id, at, actor, action, detail FROM stale_drafts_audit INDEXED BY stale_drafts_audit_of_subject
       WHERE subject = ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id";

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The creation with this id.
    Creation(&'a str),
    /// The sweep with this id.
    Sweep(&'a str),
}

/// Notes something, if what it is about is there: then the last statement gives a row. `id` is a UUIDv7.
pub fn note(id: &str, actor: &str, text: &str, about: Subject<'_>, now: Timestamp) -> [Statement; 2] {
    let (sql, subject) = match about {
        Subject::Creation(creation) => (NOTE_CREATION, creation),
        Subject::Sweep(sweep) => (NOTE_SWEEP, sweep),
    };
    let note = [id.into(), now.into(), actor.into(), text.into(), subject.into()];
    [Statement::new(sql, note), Statement::new(NOTED, [id.into()])]
}

/// Who does something to a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acting<'a> {
    /// The id of the row of the audit, a UUIDv7.
    pub audit_id: &'a str,
    /// Who: a token's name.
    pub actor: &'a str,
}

/// Keeps who did what to a creation, if the statement before has done it.
pub(super) fn acted(id: &str, by: Acting<'_>, action: &str, detail: String, now: Timestamp) -> Statement {
    let Acting { audit_id, actor } = by;
    Statement::new(
        ACTED,
        [audit_id.into(), now.into(), actor.into(), action.into(), Param::Text(detail), id.into()],
    )
}

/// What operators did to it and noted about it, the oldest first: rows for [`Act`].
pub fn acts(about: Subject<'_>) -> Statement {
    let subject = match about {
        Subject::Creation(id) => format!("creation:{id}"),
        Subject::Sweep(id) => format!("sweep:{id}"),
    };
    Statement::new(ABOUT, [Param::Text(subject), SHOWN.into()])
}

/// What an operator did, or noted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Act {
    /// Its id.
    pub id: String,
    /// When, in epoch milliseconds.
    pub at: u64,
    /// Who: a token's name.
    pub actor: String,
    /// `note`, or what was done.
    pub action: String,
    /// The note, or with what it was done.
    pub detail: String,
}
