//! What workers, owners and operators report, and the lists of what there is.
//!
//! Each report is one transaction: a guarded write, and then a read of the row. Where the write did not take effect, the
//! row says why.

use serde::Deserialize;

use super::rows::{cell, unsigned};
use super::sweep::{active, candidate};
use super::{CandidateRow, DatabaseError, Page, Param, Row, Statement};
use crate::rules::{Report, Snapshot, Status, Timestamp};

/// How long the trace of a start that came once more is kept.
pub(super) const DAY_MS: u64 = 86_400_000;

const CREATE: &str =
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
     VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6) ON CONFLICT (id) DO NOTHING";

const START: &str =
    "UPDATE stale_drafts_creations SET status = 'processing', started_at = ?2, heartbeat_at = NULL, progress = NULL, worker = ?3,
       fence = attempt || '.' || ?4
     WHERE id = ?1 AND status = 'pending'";

/// The trace of a start that comes once more, if the attempt still is what that was decided on.
const STARTED_AGAIN: &str = "INSERT INTO stale_drafts_repeated_starts (at, creation_id, attempt, after_ms)
     SELECT ?3, id, attempt, ?4 FROM stale_drafts_creations WHERE id = ?1 AND status = 'processing' AND fence = ?2
     ON CONFLICT DO NOTHING";

/// Such traces are removed where new ones come in, so that nothing is to be done where none do.
const FORGET_STARTS: &str = "DELETE FROM stale_drafts_repeated_starts WHERE at < ?1";

const HEARTBEAT: &str = "UPDATE stale_drafts_creations SET heartbeat_at = ?2, progress = ifnull(?4, progress)
     WHERE id = ?1 AND status = 'processing' AND fence = ?3";

const COMPLETE: &str = "UPDATE stale_drafts_creations SET status = 'draft', finished_at = ?2, result_url = ?4
     WHERE id = ?1 AND status = 'processing' AND fence = ?3";

/// A result that comes too late is kept, the first of them: of the attempt that failed, or of one before.
const KEEP: &str = "UPDATE stale_drafts_creations SET late_result_url = ?4, late_at = ?2
     WHERE id = ?1 AND late_at IS NULL AND deleted_at IS NULL
       AND ((status = 'failed' AND fence = ?3)
         OR (status IN ('pending', 'processing', 'failed')
           AND EXISTS (SELECT 1 FROM stale_drafts_attempts WHERE creation_id = ?1 AND fence = ?3)))";

const FAIL: &str =
    "UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?2, error_code = ?4, error = ?5,
       event = 'failed', event_destinations = ?6
     WHERE id = ?1 AND ((status = 'processing' AND fence = ?3) OR (status = 'pending' AND ?3 IS NULL))";

const PUBLISH: &str = "UPDATE stale_drafts_creations SET status = 'published'
     WHERE id = ?1 AND status = 'draft' AND deleted_at IS NULL AND user_id = ?2";

/// What is the owner's goes; what the ledger refers to stays.
const DELETE: &str =
    "UPDATE stale_drafts_creations SET deleted_at = ?3, prompt = '', result_url = NULL, late_result_url = NULL,
       late_at = NULL
     WHERE id = ?1 AND status IN ('draft', 'published', 'failed') AND deleted_at IS NULL AND user_id = ?2";

/// The failure that a restore is about to undo.
const RECORD_FAILURE: &str = "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, fence, started_at, heartbeat_at,
       finished_at, error, error_code, stuck_status, age_ms, max_age_ms, rule, sweep_id)
     SELECT id, attempt, 'restored', worker, fence, started_at, heartbeat_at, ifnull(finished_at, ?2), error, error_code,
       stuck_status, age_ms, max_age_ms, rule, sweep_id
     FROM stale_drafts_creations WHERE id = ?1 AND status = 'failed' AND late_at IS NOT NULL AND deleted_at IS NULL";

/// The trigger `stale_drafts_creations_are_charged_again` charges.
const RESTORE: &str = "UPDATE stale_drafts_creations SET status = 'draft', result_url = late_result_url, finished_at = late_at,
       restored_at = ?2, error = NULL, error_code = NULL, stuck_status = NULL, age_ms = NULL, max_age_ms = NULL,
       rule = NULL, sweep_id = NULL, event = 'restored', event_destinations = ?3
     WHERE id = ?1 AND status = 'failed' AND late_at IS NOT NULL AND deleted_at IS NULL";

#[rustfmt::skip]
const CREATION: &str = concat!(
    "SELECT json_array(", candidate!(), ", worker, fence, prompt, error_code, result_url, late_at, restored_at, deleted_at,
       CASE typeof(finished_at) WHEN 'integer' THEN finished_at END) AS creation
     FROM stale_drafts_creations WHERE id = ?1"
);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NewCreation<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its owner, who is charged.
    pub user_id: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// What the owner asks for: untrusted text.
    pub prompt: &'a str,
    /// What it costs, at most 2^53 − 1.
    pub tokens: u64,
}

/// Makes a creation unless it is there, and reads it.
pub fn create(new: NewCreation<'_>, now: Timestamp) -> [Statement; 2] {
    let NewCreation { id, user_id, kind, prompt, tokens } = new;
    let tokens = Param::Integer(i64::try_from(tokens).unwrap_or(i64::MAX));
    let params = [id.into(), user_id.into(), kind.into(), prompt.into(), tokens, now.into()];
    [Statement::new(CREATE, params), creation(id)]
}

/// What a report writes beside what the rules need of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// The random part of the fence that a start gives.
    pub random: &'a str,
    /// How far a heartbeat says that it is, in percent.
    pub progress: Option<u32>,
    /// Why it failed, in words.
    pub error: &'a str,
    /// Whose it must be, for what owners report.
    pub user_id: &'a str,
    /// Whether a result that comes too late is kept.
    pub keep: bool,
    /// Where the event of a failure or a restore goes: see `stale_drafts_events.destinations`.
    pub notify: u32,
}

/// The writes of a report, and a read of the creation after them.
pub fn report(id: &str, report: &Report<'_>, details: &Details<'_>, now: Timestamp) -> Vec<Statement> {
    let Details { random, progress, error, user_id, keep, notify } = *details;
    let (id_, now_): (Param, Param) = (id.into(), now.into());
    let mut batch = match *report {
        Report::Start { worker } => vec![Statement::new(START, [id_, now_, worker.into(), random.into()])],
        Report::Heartbeat { fence } => {
            let progress = progress.map_or(Param::Null, Param::from);
            vec![Statement::new(HEARTBEAT, [id_, now_, fence.into(), progress])]
        }
        Report::Complete { fence, result_url } => {
            let params = [id_, now_, fence.into(), result_url.into()];
            let late = keep.then(|| Statement::new(KEEP, params.clone()));
            [Statement::new(COMPLETE, params)].into_iter().chain(late).collect()
        }
        Report::Fail { fence, error_code } => {
            let params = [id_, now_, fence.into(), error_code.into(), error.into(), notify.into()];
            vec![Statement::new(FAIL, params)]
        }
        Report::Publish => vec![Statement::new(PUBLISH, [id_, user_id.into()])],
        Report::Delete => vec![Statement::new(DELETE, [id_, user_id.into(), now_])],
        Report::Restore => vec![
            Statement::new(RECORD_FAILURE, [id_.clone(), now_.clone()]),
            Statement::new(RESTORE, [id_, now_, notify.into()]),
        ],
    };
    batch.push(creation(id));
    batch
}

/// Notes that the attempt with this fence is started once more, so long after its start, and forgets what is older than a day.
pub fn started_again(id: &str, fence: &str, after_ms: u64, now: Timestamp) -> [Statement; 2] {
    let after_ms = Param::Integer(i64::try_from(after_ms).unwrap_or(i64::MAX));
    [
        Statement::new(STARTED_AGAIN, [id.into(), fence.into(), now.into(), after_ms]),
        Statement::new(FORGET_STARTS, [now.saturating_sub(DAY_MS).into()]),
    ]
}

/// A creation as it is now: see [`creation_of`].
pub fn creation(id: &str) -> Statement {
    Statement::new(CREATION, [id.into()])
}

/// A creation as it is now: the fields are in the order of [`CREATION`].
#[derive(Clone, Debug, Deserialize)]
pub struct CreationRow {
    /// What the rules need of it.
    pub creation: CandidateRow,
    /// Who began the present attempt.
    pub worker: Option<String>,
    /// What that worker's reports carry.
    pub fence: Option<String>,
    /// What its owner asked for: untrusted text.
    pub prompt: String,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Where its result is.
    pub result_url: Option<String>,
    /// When a result came too late.
    #[serde(deserialize_with = "unsigned")]
    pub late_at: Option<u64>,
    /// When that was restored.
    #[serde(deserialize_with = "unsigned")]
    pub restored_at: Option<u64>,
    /// When its owner deleted it.
    #[serde(deserialize_with = "unsigned")]
    pub deleted_at: Option<u64>,
    /// When it was finished.
    #[serde(deserialize_with = "unsigned")]
    pub finished_at: Option<u64>,
}

impl CreationRow {
    /// The same as the rules take it; `None` if its status is none.
    pub fn snapshot(&self) -> Option<Snapshot<'_>> {
        Some(Snapshot {
            status: self.creation.status.parse::<Status>().ok()?,
            attempt: self.creation.attempt,
            worker: self.worker.as_deref(),
            fence: self.fence.as_deref(),
            error_code: self.error_code.as_deref(),
            result_url: self.result_url.as_deref(),
            late: self.late_at.is_some(),
            restored: self.restored_at.is_some(),
            deleted: self.deleted_at.is_some(),
        })
    }
}

/// A creation as it is now, from the rows of [`creation`]; `None` if there is no such creation.
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn creation_of(rows: &[Row]) -> Result<Option<CreationRow>, DatabaseError> {
    if rows.is_empty() { Ok(None) } else { cell(rows, "creation").map(Some) }
}

const BALANCE: &str = "SELECT tokens FROM stale_drafts_balances WHERE user_id = ?1";
const BALANCES: &str = "SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id LIMIT ?1";

/// One user's active creations, readable or not, the oldest rows first.
#[rustfmt::skip]
const ACTIVE_OF_USER: &str = concat!(
    "SELECT json_group_array(", candidate!(), ") AS candidates FROM (
       SELECT * FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
       WHERE ", active!(), " AND user_id = ?1 ORDER BY rowid LIMIT ?2)"
);

/// What a list shows of a creation, as JSON in a row of its own: D1 stores no string above 2,000,000 bytes, and 100 long prompts are
/// more. See [`super::PageRow`].
macro_rules! listed {
    () => {
        concat!(
            "json_array(",
            candidate!(),
            ", prompt, error, error_code,
         CASE typeof(finished_at) WHEN 'integer' THEN finished_at END, listed_at, refunded_tokens,
         result_url, late_at, restored_at, deleted_at, rule, stuck_status, age_ms)"
        )
    };
}

/// What went back for a creation; a restore takes it again. What failed in another system was refunded there.
macro_rules! refunded {
    () => {
        "CASE WHEN c.settled_elsewhere = 0
         THEN (SELECT tokens FROM stale_drafts_ledger WHERE entry_key = 'refund:' || c.id AND c.restored_at IS NULL)
         WHEN c.status = 'failed' THEN c.tokens END AS refunded_tokens"
    };
}

pub(super) use {listed, refunded};

/// One page of a user's creations, the newest first, without those that the user has deleted.
#[rustfmt::skip]
const PAGE: &str = concat!(
    "SELECT ", listed!(), " AS page FROM (
       SELECT c.*, ", refunded!(), " FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (?2, ?3) AND deleted_at IS NULL
       ORDER BY listed_at DESC, id DESC LIMIT ?4)"
);

/// The same for an operator: deleted ones included, and of one status if ?5 names one.
#[rustfmt::skip]
const PAGE_OF_ALL: &str = concat!(
    "SELECT ", listed!(), " AS page FROM (
       SELECT c.*, ", refunded!(), " FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (?2, ?3) AND (?5 IS NULL OR status = ?5)
       ORDER BY listed_at DESC, id DESC LIMIT ?4)"
);

/// Active creations of one user, at most `limit`: one row with `candidates`.
pub fn active_of_user(user_id: &str, limit: u32) -> Statement {
    Statement::new(ACTIVE_OF_USER, [user_id.into(), limit.into()])
}

/// The users with the first `limit` balances in alphabetical order: rows of `user_id`, `tokens`.
pub fn balances(limit: u32) -> Statement {
    Statement::new(BALANCES, [limit.into()])
}

/// A user's balance: one row with `tokens`, or none.
pub fn balance(user_id: &str) -> Statement {
    Statement::new(BALANCE, [user_id.into()])
}

/// `limit` of a user's creations after `after`, the newest first, as the user sees them: see [`super::PageRow`].
pub fn page(user_id: &str, after: &Page, limit: u32) -> Statement {
    Statement::new(PAGE, place(user_id, after, limit))
}

/// [`page`] with deleted ones, and of one status if `status` is given: as operators see them.
pub fn page_of_all(user_id: &str, status: Option<&str>, after: &Page, limit: u32) -> Statement {
    let mut params = place(user_id, after, limit);
    params.push(status.into());
    Statement::new(PAGE_OF_ALL, params)
}

fn place(user_id: &str, after: &Page, limit: u32) -> Vec<Param> {
    vec![user_id.into(), Param::Integer(after.listed_at), after.id.as_str().into(), limit.into()]
}
