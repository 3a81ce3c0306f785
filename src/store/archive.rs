//! Retention: what ended long ago is found by rowid, read as one JSON document each, and removed in one transaction.
//!
//! Two searches go through the rows. The first takes what comes before the first row that is too young, and costs next to nothing while
//! there is nothing. The second looks behind that one, for what a move or an import has brought there, or what a row with a time in the
//! future is in front of: some rows an hour, and once a day at most from the beginning.
//!
//! The documents that are in the archive are compared with the rows before these are removed, whole: so what is removed is what was
//! written there, whatever came in between.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compaction::compacted_id;
use super::rows::unsigned;
use super::typed::{json_text, only, typed};
use super::{DatabaseError, Param, Row, Statement, json};
use crate::rules::Timestamp;

/// So many rows are looked at at once.
const WINDOW: u32 = 2_000;
/// The search begins again at the first row after this time, for those that could not be archived before.
const AGAIN_AFTER_MS: u32 = 86_400_000;
/// One that is under way has the search to itself for so long.
const LEASE_MS: u32 = 600_000;
/// Where nobody has asked for so long after it was due, archiving was switched off.
const ON_AGAIN_AFTER_MS: u32 = 7_200_000;
/// The search behind younger rows looks at so many in an hour at least, and at the most. Between the two it takes a week.
const FEWEST_BEHIND: u32 = 5_000;
const MOST_BEHIND: u32 = 50_000;
const HOURS_BEHIND: u32 = 168;
/// A creation whose texts have more bytes stays: with every character escaped it would be longer than the database takes.
const MAX_BYTES: u32 = 250_000;

/// Takes the turn to archive: a row for [`archive_turn`], or none. A time far in the future, by another clock, is not waited for.
const TAKE_TURN: &str = "UPDATE stale_drafts_archive_scan SET due_at = ?1 + ?2, since = iif(?1 - due_at > ?4, ?1, since),
       after_rowid = iif(abs(?1 - begun_at) >= ?3, 0, after_rowid), begun_at = iif(abs(?1 - begun_at) >= ?3, ?1, begun_at),
       behind_rowid = iif(abs(?1 - begun_at) >= ?3, ifnull(behind_rowid, 0), behind_rowid)
     WHERE due_at <= ?1 OR due_at > ?1 + 7200000
     RETURNING after_rowid, behind_rowid";

const END_TURN: &str =
    "UPDATE stale_drafts_archive_scan SET after_rowid = ?1, behind_rowid = ?2, due_at = ?3, ended_at = ?4";

/// Whether `c` ended before ?1, and nothing may become of it any more. A late result may be restored. A sweep's row can be compared
/// with what it did for as long as it is kept. What an app has attached goes only if it never failed: a late write of the app is told
/// by it, see docs/attach.md. Nor does what is on the way to another shard. A BLOB in a time is no JSON: such a row stays, and holds up no other.
macro_rules! over {
    () => {
        "c.status <> 'pending' AND c.status <> 'processing' AND c.listed_at < ?1
         AND iif(c.finished_at IS NULL AND c.settled_elsewhere = 1, c.listed_at >= 1000000000000,
           typeof(c.finished_at) = 'integer' AND c.finished_at >= 1000000000000 AND c.finished_at < ?1)
         AND max(ifnull(c.restored_at, 0), ifnull(c.late_at, 0), ifnull(c.deleted_at, 0)) < ?1
         AND NOT (c.status = 'failed' AND c.late_at IS NOT NULL)
         AND typeof(c.created_at) <> 'blob' AND typeof(c.queued_at) <> 'blob' AND typeof(c.started_at) <> 'blob' AND typeof(c.heartbeat_at) <> 'blob' AND typeof(c.extended_until) <> 'blob'
         AND (c.balance_elsewhere = 0 OR c.status <> 'failed' AND c.restored_at IS NULL AND instr(c.id, '~') = 0)
         AND (c.sweep_id IS NULL OR NOT EXISTS (SELECT 1 FROM stale_drafts_sweeps WHERE id = c.sweep_id))
         AND (c.attempt = 1 AND c.restored_at IS NULL OR NOT EXISTS (SELECT 1 FROM stale_drafts_attempts AS a
           CROSS JOIN stale_drafts_sweeps AS s ON s.id = a.sweep_id WHERE a.creation_id = c.id)
           AND NOT EXISTS (SELECT 1 FROM stale_drafts_attempts WHERE creation_id = c.id
             AND (typeof(started_at) = 'blob' OR typeof(heartbeat_at) = 'blob' OR typeof(finished_at) = 'blob')))
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = c.user_id)"
    };
}

/// What the ledger has of `c`.
macro_rules! entries {
    () => {
        "(SELECT * FROM stale_drafts_ledger WHERE entry_key IN ('charge:' || c.id, 'refund:' || c.id, 'restore:' || c.id)
           UNION ALL SELECT * FROM stale_drafts_ledger INDEXED BY stale_drafts_ledger_retries
           WHERE c.charge > 1 AND creation_id = c.id AND entry_key <> type || ':' || creation_id)"
    };
}

/// The hour of a creation, by which the archive is ordered: of its charge, which the ledger keeps, else of itself.
macro_rules! hour {
    () => {
        "strftime('%Y-%m-%d/%H', ifnull((SELECT created_at FROM stale_drafts_ledger
           WHERE entry_key = 'charge:' || c.id AND created_at BETWEEN 1000000000000 AND 253402300799999),
           iif(c.listed_at >= 1000000000000, c.listed_at, c.finished_at)) / 1000, 'unixepoch')"
    };
}

/// The next rows in the order in which they came: what of them is over, and where the search goes on. `young` is the first that was
/// made too late: what comes after it normally was, too, so where it is the first one, no other is read. `left` are those that seem to be over and stay.
const SCAN: &str = concat!(
    "WITH rows AS MATERIALIZED (
       SELECT c.rowid AS at, c.id, c.status, c.listed_at, c.finished_at, ",
    over!(),
    " AS over,
         length(CAST(c.prompt AS BLOB)) + ifnull(length(CAST(c.error AS BLOB)), 0) + ifnull(length(CAST(c.result_url AS BLOB)), 0)
           + iif(c.attempt = 1 AND c.restored_at IS NULL, 0, (SELECT ifnull(sum(600 + ifnull(length(CAST(error AS BLOB)), 0)), 0)
             FROM stale_drafts_attempts WHERE creation_id = c.id)) AS bytes
       FROM (SELECT *, rowid FROM stale_drafts_creations WHERE rowid > ?2 ORDER BY rowid LIMIT
         iif((SELECT listed_at FROM stale_drafts_creations WHERE rowid > ?2 ORDER BY rowid LIMIT 1) >= ?1, 1, CAST(?3 AS INTEGER))) AS c)
     SELECT count(*) AS rows, ifnull(max(at), ?2) AS last, min(at) FILTER (WHERE listed_at >= ?1) AS young,
       count(*) FILTER (WHERE status <> 'pending' AND status <> 'processing' AND listed_at < ?1 AND NOT (over AND bytes <= ?4)) AS left,
       (SELECT json_group_array(json_array(id, hour, bytes)) FROM (SELECT c.id, ",
    hour!(),
    " AS hour, c.bytes FROM rows AS c WHERE c.over AND c.bytes <= ?4 ORDER BY hour, c.id)) AS candidates
     FROM rows"
);

/// The first row after ?2 that is over, of as many as may be looked at: how far that is, and which row is the newest of all.
const BEHIND: &str = concat!(
    "WITH bounds AS (SELECT ifnull((SELECT max(rowid) FROM stale_drafts_creations), 0) AS newest,
       ifnull((SELECT min(rowid) FROM stale_drafts_creations), 0) AS oldest),
     looked AS (SELECT newest, CAST(?2 + min(max((newest - oldest) / ?5, ?3), ?4) AS INTEGER) AS until FROM bounds)
     SELECT newest, until, (SELECT c.rowid FROM stale_drafts_creations AS c WHERE c.rowid > ?2 AND c.rowid <= looked.until AND ",
    over!(),
    " ORDER BY c.rowid LIMIT 1) AS first FROM looked"
);

/// One JSON document with everything that is here of `c`; a column that is NULL is left out. In parts, since D1 takes 32 arguments of a
/// function.
macro_rules! document {
    () => {
        concat!(
            "json_patch(json_patch(json_patch('{}',
         json_object('id', c.id, 'user_id', c.user_id, 'kind', c.kind, 'prompt', c.prompt, 'status', c.status, 'attempt', c.attempt,
           'tokens', c.tokens, 'created_at', c.created_at, 'queued_at', c.queued_at, 'started_at', c.started_at,
           'heartbeat_at', c.heartbeat_at, 'finished_at', c.finished_at, 'error', c.error, 'error_code', c.error_code)),
         json_object('worker', c.worker, 'fence', c.fence, 'progress', c.progress, 'result_url', c.result_url,
           'late_result_url', c.late_result_url, 'late_at', c.late_at, 'restored_at', c.restored_at, 'deleted_at', c.deleted_at,
           'charge', nullif(c.charge, 1), 'tokens_used', c.tokens_used,
           'settled_elsewhere', nullif(c.settled_elsewhere, 0), 'balance_elsewhere', nullif(c.balance_elsewhere, 0))),
         json_object('stuck_status', c.stuck_status, 'age_ms', c.age_ms, 'max_age_ms', c.max_age_ms, 'rule', c.rule, 'sweep_id', c.sweep_id, 'extended_until', c.extended_until,
           'event', c.event, 'event_destinations', nullif(c.event_destinations, 0),
           'attempts', json(iif(c.attempt = 1 AND c.restored_at IS NULL, NULL, (SELECT json_group_array(json(json_patch('{}', json_object(
             'attempt', attempt, 'outcome', outcome, 'tokens_used', tokens_used, 'worker', worker, 'fence', fence, 'started_at', started_at,
             'heartbeat_at', heartbeat_at, 'finished_at', finished_at, 'error', error, 'error_code', error_code,
             'stuck_status', stuck_status, 'age_ms', age_ms, 'max_age_ms', max_age_ms, 'rule', rule, 'sweep_id', sweep_id))))
             FROM (SELECT * FROM stale_drafts_attempts WHERE creation_id = c.id ORDER BY attempt)))),
           'ledger', json((SELECT json_group_array(json(json_patch('{}', json_object('entry_key', entry_key, 'tokens', tokens,
             'created_at', created_at, 'sweep_id', sweep_id))))
             FROM (SELECT * FROM ",
            entries!(),
            " ORDER BY created_at, entry_key)))))"
        )
    };
}

const DOCUMENTS: &str = concat!(
    "SELECT ",
    document!(),
    " AS document
     FROM json_each(?2) AS j CROSS JOIN stale_drafts_creations AS c ON c.id = j.value WHERE ",
    over!()
);

/// What is removed by this transaction: those that are over, and are what was written to the archive, to the letter.
const BEGIN: &str = concat!(
    "INSERT INTO stale_drafts_archiving (one, object, ids)
     SELECT 1, ?2, json_group_array(c.id) FROM json_each(?3) AS j CROSS JOIN stale_drafts_creations AS c ON c.id = j.value ->> 'id'
     WHERE ",
    over!(),
    " AND j.value = ",
    document!(),
    " HAVING count(*) > 0"
);

/// The creations that are removed.
macro_rules! removed {
    () => {
        "stale_drafts_archiving CROSS JOIN json_each(ids) AS j CROSS JOIN stale_drafts_creations AS c ON c.id = j.value"
    };
}

/// The sums of what is removed.
macro_rules! sums {
    () => {
        concat!(
            "sum((SELECT ifnull(sum(tokens), 0) FROM ",
            entries!(),
            ")) AS tokens, min(nullif(c.listed_at, 0)) AS first_created_at, max(nullif(c.listed_at, 0)) AS last_created_at"
        )
    };
}

/// The same content may come to be archived again: the row of an app that is attached, or an import, may bring it in anew.
const ADD_OBJECT: &str = concat!(
    "INSERT INTO stale_drafts_archives
       (object, first_id, last_id, creations, failed, retried, tokens, first_created_at, last_created_at, archived_at)
     SELECT object, min(c.id), max(c.id), count(*),
       sum((c.sweep_id IS NOT NULL) + (SELECT count(*) FROM stale_drafts_attempts
         WHERE creation_id = c.id AND outcome <> 'retried' AND sweep_id IS NOT NULL)),
       sum((SELECT count(*) FROM stale_drafts_attempts WHERE creation_id = c.id AND outcome = 'retried')), ",
    sums!(),
    ", ?1 FROM ",
    removed!(),
    " WHERE true GROUP BY object
     ON CONFLICT (object) DO UPDATE SET creations = creations + excluded.creations, tokens = tokens + excluded.tokens,
       failed = failed + excluded.failed, retried = retried + excluded.retried, archived_at = excluded.archived_at"
);

const ADD_USERS: &str = concat!(
    "INSERT INTO stale_drafts_archived_users (user_id, creations, deleted, tokens, first_created_at, last_created_at)
     SELECT c.user_id, count(*), sum(c.deleted_at IS NOT NULL), ",
    sums!(),
    " FROM ",
    removed!(),
    " WHERE true GROUP BY c.user_id
     ON CONFLICT (user_id) DO UPDATE SET creations = creations + excluded.creations, deleted = deleted + excluded.deleted,
       tokens = tokens + excluded.tokens,
       first_created_at = min(ifnull(first_created_at, excluded.first_created_at), ifnull(excluded.first_created_at, first_created_at)),
       last_created_at = max(ifnull(last_created_at, excluded.last_created_at), ifnull(excluded.last_created_at, last_created_at))"
);

const REMOVE_ATTEMPTS: &str = "DELETE FROM stale_drafts_attempts
     WHERE creation_id IN (SELECT value FROM stale_drafts_archiving CROSS JOIN json_each(ids))";
const REMOVE: &str = "DELETE FROM stale_drafts_creations
     WHERE id IN (SELECT value FROM stale_drafts_archiving CROSS JOIN json_each(ids))";
const END: &str = "DELETE FROM stale_drafts_archiving RETURNING json_array_length(ids) AS archived";

/// What is known of a creation that is not here: what the ledger keeps of it, or that this is in the sum of a month, and the objects
/// that may hold it. ?2 is the time in its id, for one that cost nothing.
const ARCHIVED: &str = concat!(
    "WITH compacted AS (SELECT k.hour, u.user_id FROM stale_drafts_compacted_creations AS k
       CROSS JOIN stale_drafts_compacted_users AS u ON u.number = k.owner WHERE k.id = ",
    compacted_id!("?1"),
    "),
     charge AS (SELECT coalesce((SELECT created_at FROM stale_drafts_ledger WHERE entry_key = 'charge:' || ?1),
       (SELECT hour * 3600000 FROM compacted), ?2) AS at),
     place AS (SELECT 'creations/' || strftime('%Y-%m-%d/%H/', at / 1000, 'unixepoch') AS prefix FROM charge
       WHERE at BETWEEN 1000000000000 AND 253402300799999)
     SELECT prefix, (SELECT at FROM charge) AS at, (SELECT json_group_array(object) FROM (SELECT object FROM stale_drafts_archives
         WHERE object >= prefix AND object < rtrim(prefix, '/') || '0' AND ?1 BETWEEN first_id AND last_id ORDER BY object LIMIT 20)) AS objects,
       ifnull((SELECT user_id FROM stale_drafts_ledger WHERE entry_key = 'charge:' || ?1), (SELECT user_id FROM compacted)) AS user_id,
       (SELECT strftime('ledger/%Y-%m/', hour * 3600, 'unixepoch') FROM compacted) AS ledger_prefix
     FROM place"
);

const ARCHIVED_OF_USER: &str = "SELECT creations - deleted AS creations, first_created_at, last_created_at
     FROM stale_drafts_archived_users WHERE user_id = ?1 AND creations > deleted";

/// Takes the turn to archive: see [`archive_turn`].
pub fn take_archive_turn(now: Timestamp) -> Statement {
    Statement::new(TAKE_TURN, [now.into(), LEASE_MS.into(), AGAIN_AFTER_MS.into(), ON_AGAIN_AFTER_MS.into()])
}

/// How far the two searches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct ArchiveTurn {
    /// The row after which the first one goes on.
    pub after_rowid: i64,
    /// The row after which the one behind younger rows goes on; `None` where it has been to the end today.
    pub behind_rowid: Option<i64>,
}

/// Where to go on, from the rows of [`take_archive_turn`]; `None` if it is not our turn.
///
/// # Errors
///
/// [`DatabaseError`] if the row is not what was asked for.
pub fn archive_turn(rows: Vec<Row>) -> Result<Option<ArchiveTurn>, DatabaseError> {
    rows.into_iter().next().map(typed).transpose()
}

/// A column of a row.
pub(super) fn column<'a, T>(
    row: &'a Row,
    name: &str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<T, DatabaseError> {
    let other = || DatabaseError::new(format!("unexpected result of the database: `{name}`"));
    row.get(name).and_then(read).ok_or_else(other)
}

/// Ends the turn: where the next one goes on, and when.
pub fn end_archive_turn(turn: ArchiveTurn, due_at: Timestamp, now: Timestamp) -> Statement {
    let behind = turn.behind_rowid.map_or(Param::Null, Param::Integer);
    Statement::new(END_TURN, [Param::Integer(turn.after_rowid), behind, due_at.into(), now.into()])
}

/// Looks behind younger rows, after `rowid`, for what ended before `before`: see [`behind_of`].
pub fn behind(before: Timestamp, rowid: i64) -> Statement {
    let bounds = [FEWEST_BEHIND.into(), MOST_BEHIND.into(), HOURS_BEHIND.into()];
    Statement::new(
        BEHIND,
        [before.into(), Param::Integer(rowid)].into_iter().chain(bounds).collect::<Vec<_>>(),
    )
}

/// What [`behind`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Something that is over: it is after this row.
    Found(i64),
    /// Nothing as far as this row, where the search goes on.
    Nothing(i64),
    /// Nothing, and no row is left.
    End,
}

/// Reads the row of [`behind`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not what was asked for.
pub fn behind_of(rows: Vec<Row>) -> Result<Behind, DatabaseError> {
    #[derive(Deserialize)]
    struct Looked {
        newest: i64,
        until: i64,
        first: Option<i64>,
    }
    let Looked { newest, until, first } = only(rows)?;
    Ok(match first {
        Some(first) => Behind::Found(first.saturating_sub(1)),
        None if until < newest => Behind::Nothing(until),
        None => Behind::End,
    })
}

/// Looks at the next rows after `after_rowid` for what ended before `before`: see [`scanned`].
pub fn scan(before: Timestamp, after_rowid: i64) -> Statement {
    Statement::new(SCAN, [before.into(), Param::Integer(after_rowid), WINDOW.into(), MAX_BYTES.into()])
}

/// What [`scan`] has found.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Scanned {
    rows: u32,
    /// The last row that was looked at.
    pub last: i64,
    young: Option<i64>,
    /// Creations that seem to be over, and stay: their times can't be read, or are BLOBs, a late result may be restored, or they are too long.
    pub left: u64,
    /// What may be archived: id, hour (`2026-01-05/13`) and about how many bytes; in the order of hours and ids.
    #[serde(deserialize_with = "json_text")]
    pub candidates: Vec<(String, String, u64)>,
}

impl Scanned {
    /// After which row the search goes on.
    pub fn next(&self) -> i64 {
        self.young.map_or(self.last, |young| young.saturating_sub(1))
    }

    /// Whether nothing that is old enough is expected after these.
    pub fn is_last(&self) -> bool {
        self.young.is_some() || self.rows < WINDOW
    }
}

/// Reads the row of [`scan`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not what was asked for.
pub fn scanned(rows: Vec<Row>) -> Result<Scanned, DatabaseError> {
    only(rows)
}

/// The documents of those of `ids` that ended before `before`, in that order: rows for [`documents_of`].
pub fn documents(ids: &[&str], before: Timestamp) -> Statement {
    Statement::new(DOCUMENTS, [before.into(), Param::Text(json(ids))])
}

/// Reads the rows of [`documents`]: each is JSON, and one line of an object.
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn documents_of(rows: &[Row]) -> Result<Vec<&str>, DatabaseError> {
    rows.iter().map(|row| column(row, "document", Value::as_str)).collect()
}

/// Removes the creations that are as `documents` say, which `object` holds, and notes that: see [`removed`]. `documents` is a JSON
/// array, of less than 2,000,000 bytes.
pub fn remove(object: &str, documents: String, before: Timestamp, now: Timestamp) -> [Statement; 6] {
    [
        Statement::new(BEGIN, [before.into(), object.into(), Param::Text(documents)]),
        Statement::new(ADD_OBJECT, [now.into()]),
        Statement::new(ADD_USERS, []),
        Statement::new(REMOVE_ATTEMPTS, []),
        Statement::new(REMOVE, []),
        Statement::new(END, []),
    ]
}

/// How many creations [`remove`] has removed, from its results.
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn removed(results: &[Vec<Row>]) -> Result<u64, DatabaseError> {
    let row = results.last().and_then(|rows| rows.first());
    row.map_or(Ok(0), |row| column(row, "archived", Value::as_u64))
}

/// A row if anything is archived.
pub fn has_archives() -> Statement {
    Statement::new("SELECT 1 AS there FROM stale_drafts_archives LIMIT 1", [])
}

/// Where a creation is that is not here: rows for [`place_of`]. `created_at` is the time in its id, if that has one.
pub fn archived(id: &str, created_at: Option<Timestamp>) -> Statement {
    Statement::new(ARCHIVED, [id.into(), created_at.map_or(Param::Null, Param::from)])
}

/// Where the archive has a creation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ArchivePlace {
    /// What the keys of the objects of its hour begin with.
    pub prefix: String,
    /// A time in that hour: of its charge, if that is known.
    #[serde(skip_serializing)]
    pub at: i64,
    /// The keys of those that may hold it, at most 20.
    #[serde(deserialize_with = "json_text")]
    pub objects: Vec<String>,
    /// What the keys of the objects with its entries begin with, if they are in the sums of months: see docs/retention.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_prefix: Option<String>,
    /// Its owner, if it was charged.
    #[serde(skip_serializing)]
    pub user_id: Option<String>,
}

/// Reads the rows of [`archived`]; `None` if nothing says when it was made.
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn place_of(rows: Vec<Row>) -> Result<Option<ArchivePlace>, DatabaseError> {
    rows.into_iter().next().map(typed).transpose()
}

/// What of a user's is archived, without what the user had deleted: rows for [`archived_of`].
pub fn archived_of_user(user_id: &str) -> Statement {
    Statement::new(ARCHIVED_OF_USER, [user_id.into()])
}

/// What of a user's is archived.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ArchivedOfUser {
    /// How many creations.
    pub creations: u64,
    /// When the oldest was made, in epoch milliseconds; `None` if no time can be read.
    #[serde(deserialize_with = "unsigned")]
    pub first_created_at: Option<u64>,
    /// The newest.
    #[serde(deserialize_with = "unsigned")]
    pub last_created_at: Option<u64>,
}

/// Reads the rows of [`archived_of_user`]; `None` if nothing is.
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn archived_of(rows: Vec<Row>) -> Result<Option<ArchivedOfUser>, DatabaseError> {
    rows.into_iter().next().map(typed).transpose()
}
