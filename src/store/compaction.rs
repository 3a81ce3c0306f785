//! Compaction of the ledger: the entries of archived creations become one entry for each user and month, with their sum.
//!
//! What is summed up is written to the archive first, and then compared, to the letter, in the transaction that takes it out. The
//! triggers of `migrations/0007_compaction.sql` see to it that a carry gains exactly what leaves.

use serde_json::Value;

use super::archive::column;
use super::{DatabaseError, Param, Row, Statement, json};
use crate::rules::Timestamp;

/// So many entries are looked at at once.
const WINDOW: u32 = 5_000;
/// A compaction of which nothing has come for so long was stopped.
const AT_IT_MS: u32 = 60_000;

/// A creation's id as `stale_drafts_compacted_creations` has it.
macro_rules! compacted_id {
    ($id:literal) => {
        concat!(
            "iif(length(",
            $id,
            ") = 36 AND length(replace(",
            $id,
            ", '-', '')) = 32 AND ",
            $id,
            " = lower(",
            $id,
            ")
           AND substr(",
            $id,
            ", 9, 1) || substr(",
            $id,
            ", 14, 1) || substr(",
            $id,
            ", 19, 1) || substr(",
            $id,
            ", 24, 1) = '----',
           ifnull(unhex(replace(",
            $id,
            ", '-', '')), ",
            $id,
            "), ",
            $id,
            ")"
        )
    };
}
pub(super) use compacted_id;

/// Whether the entries of the creation `$id` of the user `$user` may be summed up: it is archived, all of them, of every charge, are of
/// before ?1, and nobody is moving them.
macro_rules! compactable {
    ($id:literal, $user:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM stale_drafts_creations AS c WHERE c.id = ",
            $id,
            ")
         AND EXISTS (SELECT 1 FROM stale_drafts_archived_users AS a WHERE a.user_id = ",
            $user,
            ")
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users AS m WHERE m.user_id = ",
            $user,
            ")
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger AS e
           WHERE e.entry_key IN ('charge:' || ",
            $id,
            ", 'refund:' || ",
            $id,
            ", 'restore:' || ",
            $id,
            ")
             AND NOT (e.created_at >= 1000000000000 AND e.created_at < ?1))
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger AS e INDEXED BY stale_drafts_ledger_retries
           WHERE e.creation_id = ",
            $id,
            " AND e.entry_key <> e.type || ':' || e.creation_id
             AND NOT (e.created_at >= 1000000000000 AND e.created_at < ?1))"
        )
    };
}

/// The next entries of the keys from ?2 to ?3, and of which creations all entries may be summed up, month by month. A creation is found
/// by its charge; one that was settled elsewhere and restored has no other entry than that.
#[rustfmt::skip]
const SCAN: &str = concat!(
    "WITH slice AS MATERIALIZED (
       SELECT entry_key, user_id, type, creation_id, created_at FROM stale_drafts_ledger
       WHERE entry_key > ?2 AND entry_key < ?3 ORDER BY entry_key LIMIT ?4)
     SELECT count(*) AS rows, max(entry_key) AS last,
       (SELECT json_group_array(json_array(creation_id, month)) FROM (
          SELECT s.creation_id, strftime('%Y-%m', s.created_at / 1000, 'unixepoch') AS month FROM slice AS s
          WHERE ", compactable!("s.creation_id", "s.user_id"), "
            AND (s.type = 'charge' OR NOT EXISTS (SELECT 1 FROM stale_drafts_ledger AS h WHERE h.entry_key = 'charge:' || s.creation_id))
          ORDER BY month, s.entry_key)) AS candidates
     FROM slice"
);

/// The key of the carry that takes `l` up.
macro_rules! carry {
    () => {
        "'carry:' || l.user_id || ':' || strftime('%Y-%m', l.created_at / 1000, 'unixepoch')"
    };
}

/// One JSON document with all of the entry `l`, and the key of what takes it up.
#[rustfmt::skip]
macro_rules! document {
    () => {
        concat!(
            "json_patch('{}', json_object('entry_key', l.entry_key, 'user_id', l.user_id, 'type', l.type, 'creation_id', l.creation_id,
         'sweep_id', l.sweep_id, 'tokens', l.tokens, 'created_at', l.created_at, 'carry', ", carry!(), "))"
        )
    };
}

#[rustfmt::skip]
const DOCUMENTS: &str = concat!(
    "WITH found AS (
       SELECT l.* FROM json_each(?2) AS j CROSS JOIN stale_drafts_ledger AS l
         ON l.entry_key IN ('charge:' || j.value, 'refund:' || j.value, 'restore:' || j.value)
       UNION ALL
       SELECT l.* FROM json_each(?2) AS j CROSS JOIN stale_drafts_ledger AS l INDEXED BY stale_drafts_ledger_retries
         ON l.creation_id = j.value AND l.entry_key <> l.type || ':' || l.creation_id)
     SELECT ", document!(), " AS document, ", carry!(), " AS carry FROM found AS l
     WHERE ", compactable!("l.creation_id", "l.user_id"), " ORDER BY carry, l.entry_key"
);

/// Which of these carries there are already.
const CARRIES: &str = "SELECT l.entry_key AS carry, 0 AS entries FROM json_each(?1) AS j CROSS JOIN stale_drafts_ledger AS l ON l.entry_key = j.value";

/// Sums up what is as it was written to the archive, to the letter: a trigger does the rest. A creation's charge comes first, as its hour
/// is taken from that.
#[rustfmt::skip]
const COMPACT: &str = concat!(
    "INSERT INTO stale_drafts_compacting (carry, user_id, created_at, entries)
     SELECT ", carry!(), " AS carry, l.user_id, CAST(strftime('%s', l.created_at / 1000, 'unixepoch', 'start of month') AS INTEGER) * 1000,
       json_group_array(l.entry_key)
     FROM json_each(?2) AS j CROSS JOIN stale_drafts_ledger AS l ON l.entry_key = j.value ->> 'entry_key'
     WHERE j.value = ", document!(), " AND ", compactable!("l.creation_id", "l.user_id"), "
     GROUP BY carry ORDER BY carry
     RETURNING carry, json_array_length(entries) AS entries"
);

const AT_IT: &str =
    "INSERT OR REPLACE INTO stale_drafts_compaction (one, actor, until) VALUES (1, ?1, ?2 + ?3)";

const NOTE: &str = "INSERT INTO stale_drafts_audit (id, at, actor, action, detail) SELECT ?1, ?2, ?3, 'compact_ledger', ?4 WHERE changes() > 0";

/// Looks at the next entries, after the key `after` and before `until`, for those of before `before`: see [`entries_scanned`].
pub fn scan_entries(before: Timestamp, after: &str, until: &str) -> Statement {
    Statement::new(SCAN, [before.into(), after.into(), until.into(), WINDOW.into()])
}

/// What [`scan_entries`] has found.
#[derive(Clone, Debug, Default)]
pub struct EntriesScanned {
    rows: u64,
    /// The last key that was looked at; `None` if there is none.
    pub last: Option<String>,
    /// Creations whose entries may be summed up, with the month of the first, such as `2026-01`; in the order of months.
    pub candidates: Vec<(String, String)>,
}

impl EntriesScanned {
    /// Whether there are none after these.
    pub fn is_last(&self) -> bool {
        self.rows < u64::from(WINDOW)
    }
}

/// Who is at a compaction at `now`: a row with the `actor`, or none.
pub fn compaction_under_way(now: Timestamp) -> Statement {
    let sql = "SELECT actor FROM stale_drafts_compaction WHERE until BETWEEN ?1 AND ?1 + ?2";
    Statement::new(sql, [now.into(), AT_IT_MS.into()])
}

/// Notes that a compaction of this one has come to its end, by a request that began at `now`. What somebody else is at, or a later request,
/// goes on.
pub fn end_compaction(actor: &str, now: Timestamp) -> Statement {
    let sql = "DELETE FROM stale_drafts_compaction WHERE actor = ?1 AND until <= ?2 + ?3";
    Statement::new(sql, [actor.into(), now.into(), AT_IT_MS.into()])
}

/// Reads the row of [`scan_entries`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not what was asked for.
pub fn entries_scanned(rows: &[Row]) -> Result<EntriesScanned, DatabaseError> {
    let Some(row) = rows.first() else { return Ok(EntriesScanned::default()) };
    let candidates = column(row, "candidates", Value::as_str)?;
    let candidates = serde_json::from_str(candidates)
        .map_err(|error| DatabaseError::new(format!("a result of the database: `candidates`: {error}")))?;
    let last = row.get("last").and_then(Value::as_str).map(str::to_owned);
    Ok(EntriesScanned { rows: column(row, "rows", Value::as_u64)?, last, candidates })
}

/// The entries of those of `creations` whose entries are all of before `before`: rows for [`entries_of`].
pub fn entry_documents(creations: &[&str], before: Timestamp) -> Statement {
    Statement::new(DOCUMENTS, [before.into(), Param::Text(json(creations))])
}

/// An entry that may be summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryDocument<'a> {
    /// It as JSON: one line of an object.
    pub document: &'a str,
    /// The key of the entry that takes it up.
    pub carry: &'a str,
}

/// Reads the rows of [`entry_documents`].
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn entries_of(rows: &[Row]) -> Result<Vec<EntryDocument<'_>>, DatabaseError> {
    let text = |row, name| column(row, name, Value::as_str);
    rows.iter()
        .map(|row| Ok(EntryDocument { document: text(row, "document")?, carry: text(row, "carry")? }))
        .collect()
}

/// Which of these carries there are already: rows for [`carried`].
pub fn carries(keys: &[&str]) -> Statement {
    Statement::new(CARRIES, [Param::Text(json(keys))])
}

/// Sums up the entries that are as `documents` say, a JSON array of less than 2,000,000 bytes, and notes in the audit, under `id`, that
/// `actor` did so, with `detail`: rows for [`carried`] are the first result.
pub fn compact(
    documents: String,
    before: Timestamp,
    id: &str,
    actor: &str,
    detail: &str,
    now: Timestamp,
) -> [Statement; 3] {
    [
        Statement::new(COMPACT, [before.into(), Param::Text(documents)]),
        Statement::new(NOTE, [id.into(), now.into(), actor.into(), detail.into()]),
        Statement::new(AT_IT, [actor.into(), now.into(), AT_IT_MS.into()]),
    ]
}

/// A carry, with how many entries it stands for, or has gained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried<'a> {
    /// Its key.
    pub carry: &'a str,
    /// How many entries.
    pub entries: u64,
}

/// Reads rows with carries.
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn carried(rows: &[Row]) -> Result<Vec<Carried<'_>>, DatabaseError> {
    let read = |row| {
        Ok(Carried {
            carry: column(row, "carry", Value::as_str)?,
            entries: column(row, "entries", Value::as_u64)?,
        })
    };
    rows.iter().map(read).collect()
}
