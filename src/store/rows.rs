//! The rows that the statements answer with and take. They are read from JSON by hand: what a derived reader would add
//! is a tenth of the Worker.

use serde::Serialize;
use serde_json::Value;

use super::{DatabaseError, Row};
use crate::rules::{Candidate, Draft, Suspension, Time, Timestamp};

/// A creation as the sweep reads it: `[id, user_id, kind, status, attempt, tokens, created_at, started_at,
/// heartbeat_at, queued_at, progress]`.
#[derive(Clone, Debug)]
pub struct CandidateRow {
    /// The creation's id.
    pub id: String,
    /// Its owner.
    pub user_id: String,
    /// Its kind.
    pub kind: String,
    /// Its status.
    pub status: String,
    /// Which attempt at generating it this is, from 1.
    pub attempt: u32,
    /// What it was charged.
    pub tokens: u64,
    /// When it was asked for.
    pub created_at: Time,
    /// When a worker began.
    pub started_at: Time,
    /// When a worker last said that it is alive.
    pub heartbeat_at: Time,
    /// When it was put back for another attempt.
    pub queued_at: Time,
    /// How far its worker says that it is, in percent.
    pub progress: Option<u64>,
}

impl CandidateRow {
    /// The texts are taken out of the cell: there may be thousands of rows.
    pub(super) fn read(cell: &mut Value) -> Option<Self> {
        let mut taken = |at| match cell.get_mut(at).map(Value::take) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let (id, user_id, kind, status) = (taken(0)?, taken(1)?, taken(2)?, taken(3)?);
        let time = |at| match cell.get(at) {
            Some(Value::Null) => Some(Time::Missing),
            Some(value) => Some(value.as_i64().map_or(Time::Malformed, Time::from_millis)),
            None => None,
        };
        Some(CandidateRow {
            id,
            user_id,
            kind,
            status,
            attempt: u32::try_from(cell.get(4)?.as_u64()?).ok()?,
            tokens: cell.get(5)?.as_u64()?,
            created_at: time(6)?,
            started_at: time(7)?,
            heartbeat_at: time(8)?,
            queued_at: time(9)?,
            progress: cell.get(10)?.as_u64(),
        })
    }

    /// The row as the rules take it.
    pub fn draft(&self) -> Draft<'_> {
        Draft {
            status: self.status.parse().ok(),
            kind: &self.kind,
            attempt: self.attempt,
            created_at: self.created_at,
            queued_at: self.queued_at,
            started_at: self.started_at,
            heartbeat_at: self.heartbeat_at,
        }
    }

    /// The row as a sweep's plan takes it.
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate { id: &self.id, draft: self.draft() }
    }
}

/// A creation as the drafts list reads it: `[a CandidateRow, prompt, error, error_code, finished_at, listed_at,
/// refunded_tokens, result_url, late_at, restored_at, deleted_at, rule]`.
#[derive(Clone, Debug)]
pub struct PageRow {
    /// What the rules need of it, and more.
    pub creation: CandidateRow,
    /// What its owner asked for: untrusted text.
    pub prompt: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The same as a stable code.
    pub error_code: Option<String>,
    /// When it was finished, in epoch milliseconds.
    pub finished_at: Option<i64>,
    /// Its place in the list.
    pub listed_at: i64,
    /// What was refunded, unless a restore took it again.
    pub refunded_tokens: Option<u64>,
    /// Where the result is.
    pub result_url: Option<String>,
    /// When a result came too late, in epoch milliseconds.
    pub late_at: Option<i64>,
    /// When that result was restored.
    pub restored_at: Option<i64>,
    /// When its owner deleted it.
    pub deleted_at: Option<i64>,
    /// The entry of the policy by which a sweep failed it.
    pub rule: Option<String>,
}

impl PageRow {
    fn read(cell: &mut Value) -> Option<Self> {
        Some(PageRow {
            creation: CandidateRow::read(cell.get_mut(0)?)?,
            prompt: text(cell.get(1)?)?,
            error: text(cell.get(2)?),
            error_code: text(cell.get(3)?),
            finished_at: cell.get(4)?.as_i64(),
            listed_at: cell.get(5)?.as_i64()?,
            refunded_tokens: cell.get(6)?.as_u64(),
            result_url: text(cell.get(7)?),
            late_at: cell.get(8)?.as_i64(),
            restored_at: cell.get(9)?.as_i64(),
            deleted_at: cell.get(10)?.as_i64(),
            rule: text(cell.get(11)?),
        })
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// One creation of a plan, as the writes take it: `[id, status, attempt, last_sign_of_life, error, age_ms,
/// max_age_ms, rule, phase, lag, processing_since, kind]`.
#[derive(Clone, Debug)]
pub struct FailureRow<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// The status that it was decided in.
    pub status: &'static str,
    /// The attempt that it was decided for.
    pub attempt: u32,
    /// The last sign of life that it was decided on, in epoch milliseconds.
    pub last_sign_of_life: u64,
    /// The error to store.
    pub error: String,
    /// Its age, in milliseconds.
    pub age_ms: u64,
    /// The limit that applied, in milliseconds.
    pub max_age_ms: u64,
    /// The entry of the policy that the limit comes from.
    pub rule: String,
    /// What it was at: a heartbeat may change that, and with it the limit, without a later sign of life.
    pub phase: &'static str,
    /// The band of its lag: see `rules::Failure::lag`.
    pub lag: usize,
    /// When it entered `processing`, in epoch milliseconds, where the limit on the total time is measured from: it may change
    /// without a later sign of life, too.
    pub processing_since: Option<u64>,
    /// Its kind: an app may correct it, and with it the limit.
    pub kind: &'a str,
    /// What it was charged; not sent, the database has it.
    pub tokens: u64,
}

impl Serialize for FailureRow<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (
            self.id,
            self.status,
            self.attempt,
            self.last_sign_of_life,
            &self.error,
            self.age_ms,
            self.max_age_ms,
            &self.rule,
            self.phase,
            self.lag,
            self.processing_since,
            self.kind,
        )
            .serialize(serializer)
    }
}

/// The creations in `column` of the only row of a result: `candidates` or `unreadable`.
///
/// # Errors
///
/// [`DatabaseError`] if they are not there or not of that shape.
pub fn candidates(rows: &[Row], column: &str) -> Result<Vec<CandidateRow>, DatabaseError> {
    list(rows, column, CandidateRow::read)
}

/// What holds sweeps back, from `suspended` of the only row of a result; `None` if nothing does.
///
/// A safety switch fails closed: whatever can't be read of it, it holds. What can't be told from a pause is one, and a
/// beginning that can't be read is the epoch.
pub fn suspended(rows: &[Row]) -> Option<Suspension> {
    let cell = rows.first()?.get("suspended")?.as_str()?;
    let value: Value = serde_json::from_str(cell).unwrap_or_default();
    let words = |at: usize| value.get(at).and_then(text).unwrap_or_default();
    Some(match value.get(0).and_then(Value::as_str) {
        Some("circuit_breaker") => Suspension::BreakerOpen { detail: words(3) },
        _ => Suspension::Paused {
            actor: words(2),
            since: value
                .get(1)
                .and_then(Value::as_i64)
                .and_then(Timestamp::from_millis)
                .unwrap_or(Timestamp::EPOCH),
        },
    })
}

/// The creations in `page` of the only row of a result.
///
/// # Errors
///
/// As [`candidates`].
pub fn page_rows(rows: &[Row]) -> Result<Vec<PageRow>, DatabaseError> {
    list(rows, "page", PageRow::read)
}

/// The ids in `failed_ids` of the only row of a result; `None` if it is `NULL`, for all of the plan.
///
/// # Errors
///
/// As [`candidates`].
pub fn failed_ids(rows: &[Row]) -> Result<Option<Vec<String>>, DatabaseError> {
    match rows.first().and_then(|row| row.get("failed_ids")) {
        Some(Value::Null) => Ok(None),
        _ => list(rows, "failed_ids", |id| text(id)).map(Some),
    }
}

/// Reads the JSON list that stands as text in `column` of the only row of a result.
fn list<T>(
    rows: &[Row],
    column: &str,
    read: impl Fn(&mut Value) -> Option<T>,
) -> Result<Vec<T>, DatabaseError> {
    let cell = rows.first().and_then(|row| row.get(column)).and_then(Value::as_str);
    let mut value: Option<Value> = cell.and_then(|text| serde_json::from_str(text).ok());
    value
        .as_mut()
        .and_then(Value::as_array_mut)
        .and_then(|cells| cells.iter_mut().map(read).collect())
        .ok_or_else(|| DatabaseError::new(format!("`{column}` of the result is not what was asked for")))
}
