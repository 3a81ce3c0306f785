//! Retries of many failed creations at once, each as it was previewed. They are found like what operators find otherwise: see `explorer`.

use serde::{Deserialize, Serialize};

use super::creations::{record_retried, retried};
use super::explorer::{WINDOW, Window, sought, window};
use super::rows::{elsewhere, flag, unsigned};
use super::typed::{only, typed_rows};
use super::{DatabaseError, LOOKED_AT, Param, Row, Sought, Statement, json};
use crate::rules::{Elsewhere, Timestamp};

/// Whether a failed creation is one that can be retried at all, whatever its owner's balance.
macro_rules! can_be_retried {
    () => {
        "c.status = 'failed' AND c.deleted_at IS NULL AND c.settled_elsewhere = 0 AND c.balance_elsewhere = 0"
    };
}

/// The creation `c` is the one in `j`, at the attempt that was previewed. The unary `+` keeps SQLite on the primary key.
macro_rules! as_previewed {
    () => {
        "c.id = j.value ->> 'id' AND +c.attempt = j.value ->> 'attempt'
         AND (j.value ->> 'user_id' IS NULL OR +c.user_id = j.value ->> 'user_id')"
    };
}

/// The same, where this transaction has chosen it: the trace of the attempt that is retried comes in before its creation moves on, so there
/// is one of a present attempt only then.
macro_rules! chosen {
    () => {
        concat!(
            as_previewed!(),
            " AND +c.status = 'failed'
         AND EXISTS (SELECT 1 FROM stale_drafts_attempts AS a
           WHERE a.creation_id = c.id AND a.attempt = c.attempt AND a.outcome = 'failed')"
        )
    };
}

/// The id of what the audit says of the creation in `j`: that of the whole, ?3, with its place for the last 12 digits.
macro_rules! audit_id {
    ($whole:literal) => {
        concat!("substr(", $whole, ", 1, 24) || printf('%012x', j.value ->> 'place')")
    };
}

/// Of the window before the row ?1, those that are sought and can be retried, the newest first, ?12 at most.
#[rustfmt::skip]
const FAILED: &str = concat!(
    "SELECT c.id, c.user_id, c.attempt, c.rowid AS place, c.listed_at FROM stale_drafts_creations AS c NOT INDEXED
     WHERE ", window!(), " AND ", sought!(), " AND ", can_be_retried!(), " ORDER BY c.rowid DESC LIMIT ?12"
);

/// Chooses those of the plan ?1 that are still as they were previewed, as far as each owner's balance goes in the plan's order: the rule
/// `rules::covered`. What the charges are compared with is the balance before the first of them, so none of them can fail and take the
/// others with it.
#[rustfmt::skip]
const CHOOSE: &str = concat!(
    record_retried!(), "FROM (
       SELECT c.*, sum(c.tokens) OVER (PARTITION BY c.user_id ORDER BY j.key ROWS UNBOUNDED PRECEDING) AS due, b.tokens AS balance
       FROM json_each(?1) AS j
       CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
       LEFT JOIN stale_drafts_balances AS b ON b.user_id = c.user_id
       WHERE ", as_previewed!(), " AND +", can_be_retried!(), "
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = c.user_id))
     WHERE due <= ifnull(balance, 0)"
);

/// Who retried it, for its timeline.
#[rustfmt::skip]
const AUDIT_EACH: &str = concat!(
    "INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject)
     SELECT ", audit_id!("?3"), ", ?2, ?4, 'retry_in_bulk', ?5, 'creation:' || c.id
     FROM json_each(?1) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     WHERE ", chosen!(), "
     ON CONFLICT (id) DO NOTHING"
);

/// How many, if any: `changes()` is what the statement before has inserted.
const AUDIT: &str = "INSERT INTO stale_drafts_audit (id, at, actor, action, detail)
     SELECT ?1, ?2, ?3, 'retry_many', changes() || ?4 WHERE changes() > 0
     ON CONFLICT (id) DO NOTHING";

#[rustfmt::skip]
const RETRY: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     SET ", retried!("?3"), "
     FROM j WHERE ", chosen!()
);

/// What there is of each in the plan ?1, in its order; ?2 is the id of the request that has retried it.
#[rustfmt::skip]
const STATE: &str = concat!(
    "SELECT j.value ->> 'place' AS place, c.user_id, c.kind, c.status, c.attempt, c.tokens, c.error_code, c.rule,
       CASE typeof(c.finished_at) WHEN 'integer' THEN c.finished_at END AS finished_at, c.late_at, c.deleted_at,
       CASE WHEN c.settled_elsewhere = 1 THEN 'settled' WHEN c.balance_elsewhere = 1 THEN 'balance' END AS elsewhere,
       EXISTS (SELECT 1 FROM stale_drafts_attempts AS a
         WHERE a.creation_id = c.id AND a.attempt = j.value ->> 'attempt' AND a.outcome = 'failed') AS is_retried,
       EXISTS (SELECT 1 FROM stale_drafts_audit AS a WHERE a.id = ", audit_id!("?2"), ") AS is_done,
       EXISTS (SELECT 1 FROM stale_drafts_held WHERE user_id = c.user_id) AS moves,
       ifnull((SELECT tokens FROM stale_drafts_balances WHERE user_id = c.user_id), 0) AS balance
     FROM json_each(?1) AS j LEFT JOIN stale_drafts_creations AS c
       ON c.id = j.value ->> 'id' AND (j.value ->> 'user_id' IS NULL OR +c.user_id = j.value ->> 'user_id')
     ORDER BY j.key"
);

/// A failed creation, as it was previewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetryRow<'a> {
    /// Its place in the whole plan.
    pub place: usize,
    /// Its id.
    pub id: &'a str,
    /// Its owner, if the plan names one.
    pub user_id: Option<&'a str>,
    /// The attempt that has failed.
    pub attempt: u32,
}

/// A failed creation that was found, and its place among all rows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FailedPlace {
    /// Its id.
    pub id: String,
    /// Its owner.
    pub user_id: String,
    /// The attempt that has failed.
    pub attempt: u32,
    /// Its place.
    pub place: i64,
    /// When it was made.
    pub listed_at: i64,
}

/// What one question has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// The creations, the newest first.
    pub rows: Vec<FailedPlace>,
    /// Where the next question goes on; `None` at the end.
    pub next: Option<i64>,
    /// When the oldest row was made that was looked at.
    pub back_to: Option<i64>,
}

/// What is sought among the newest creations before a place and can be retried, at most `limit`: for [`Looked::read`].
pub fn failed(sought: &Sought<'_>, before: i64, limit: u32) -> [Statement; 2] {
    [
        Statement::new(FAILED, sought.params(before, limit)),
        Statement::new(WINDOW, [Param::Integer(before), LOOKED_AT.into()]),
    ]
}

impl Looked {
    /// From the results of [`failed`] with this `limit`.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(results: Vec<Vec<Row>>, limit: u32) -> Result<Self, DatabaseError> {
        let [rows, window]: [Vec<Row>; 2] =
            results.try_into().map_err(|_| DatabaseError::new("expected two results"))?;
        if window.is_empty() {
            return Ok(Looked::default());
        }
        let window: Window = only(window)?;
        let rows: Vec<FailedPlace> = typed_rows(rows)?;
        let full = rows.last().filter(|_| rows.len() >= limit as usize);
        let (next, back_to) = window.end(full.map(|row| (row.place, row.listed_at)));
        Ok(Looked { rows, next, back_to: Some(back_to) })
    }
}

/// Who retries them, and what the audit says of it.
#[derive(Clone, Copy, Debug)]
pub struct RetryAudit<'a> {
    /// The id of the whole request: a UUIDv7. What is written of each creation has an id that is made of it.
    pub id: &'a str,
    /// Who.
    pub actor: &'a str,
    /// Why; nothing if it is empty.
    pub reason: &'a str,
}

/// Retries those of a plan that are still as they were previewed, as far as their owners' balances go; at most 1,000 of them, for the plan is
/// one text. The last statement says what has become of each: rows for [`retry_rows`]. `notify` is where their events go.
pub fn retry_many(
    plan: &[RetryRow<'_>],
    audit: RetryAudit<'_>,
    notify: u32,
    now: Timestamp,
) -> [Statement; 5] {
    let RetryAudit { id, actor, reason } = audit;
    let rows = || Param::Text(json(plan));
    let first = plan.first().map_or(0, |row| row.place);
    // The whole may take several transactions: each has a row of its own, after those of its creations.
    let whole = format!("{}f{first:011x}", id.get(..24).unwrap_or(id));
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let counted = format!(" of {} failed creations{because}", plan.len());
    [
        Statement::new(CHOOSE, [rows(), now.into()]),
        Statement::new(AUDIT_EACH, [rows(), now.into(), id.into(), actor.into(), reason.into()]),
        Statement::new(AUDIT, [Param::Text(whole), now.into(), actor.into(), Param::Text(counted)]),
        Statement::new(RETRY, [rows(), now.into(), notify.into()]),
        retry_state(plan, id),
    ]
}

/// What there is of each in a plan; `id` is that of the request that has retried it, or empty. Rows for [`retry_rows`].
pub fn retry_state(plan: &[RetryRow<'_>], id: &str) -> Statement {
    Statement::new(STATE, [Param::Text(json(plan)), id.into()])
}

/// What there is of a creation in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryState {
    /// Its place in the whole plan.
    pub place: usize,
    /// It itself; `None` if there is none with its id, or it is another owner's.
    pub creation: Option<RetryCreation>,
}

/// A creation in a plan, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RetryCreation {
    /// Its owner.
    pub user_id: String,
    /// Its kind.
    pub kind: String,
    /// Its status.
    pub status: String,
    /// The present attempt.
    pub attempt: u32,
    /// What a retry charges.
    pub tokens: u64,
    /// Why it failed.
    pub error_code: Option<String>,
    /// The entry of the policy by which a sweep failed it.
    pub rule: Option<String>,
    /// When it failed.
    #[serde(deserialize_with = "unsigned")]
    pub finished_at: Option<u64>,
    /// When a result came too late.
    #[serde(deserialize_with = "unsigned")]
    pub late_at: Option<u64>,
    /// When its owner deleted it.
    #[serde(deserialize_with = "unsigned")]
    pub deleted_at: Option<u64>,
    /// Where its money is, if it is not here.
    #[serde(deserialize_with = "elsewhere")]
    pub elsewhere: Option<Elsewhere>,
    /// Whether the attempt of the plan was retried by hand, whoever did.
    #[serde(deserialize_with = "flag")]
    pub is_retried: bool,
    /// Whether this request has.
    #[serde(deserialize_with = "flag")]
    pub is_done: bool,
    /// Whether its owner is on the way to another database.
    #[serde(deserialize_with = "flag")]
    pub moves: bool,
    /// Its owner's balance.
    pub balance: u64,
}

/// The rows of [`retry_state`], in the plan's order.
///
/// # Errors
///
/// [`DatabaseError`] if they are not of the shape that was asked for.
pub fn retry_rows(rows: Vec<Row>) -> Result<Vec<RetryState>, DatabaseError> {
    #[derive(Deserialize)]
    struct Place {
        place: usize,
        user_id: Option<String>,
    }
    let places: Vec<Place> = typed_rows(rows.clone())?;
    let state = |(row, Place { place, user_id }): (Row, Place)| {
        let there = user_id.is_some();
        let creation = there.then(|| typed_rows(vec![row])).transpose()?;
        Ok(RetryState { place, creation: creation.and_then(|rows| rows.into_iter().next()) })
    };
    rows.into_iter().zip(places).map(state).collect()
}
