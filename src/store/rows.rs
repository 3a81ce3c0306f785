//! The rows that the statements answer with and take, read and written by serde. A row whose columns are others than
//! expected is an error that names the column.
//!
//! The candidates of a sweep arrive as one text cell of JSON arrays, one for each creation: a thousand rows of their own take three
//! times as long to read. A page of a list, whose texts may be long, has a row for each creation.

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DatabaseError, Row};
use crate::rules::{Candidate, Decision, Draft, Elsewhere, Snapshot, Suspension, Time, Timestamp};

/// A creation as a sweep reads it: the fields are in the order of the macro `candidate!`.
#[derive(Clone, Debug, Deserialize)]
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
    #[serde(deserialize_with = "time")]
    pub created_at: Time,
    /// When a worker began.
    #[serde(deserialize_with = "time")]
    pub started_at: Time,
    /// When a worker last said that it is alive.
    #[serde(deserialize_with = "time")]
    pub heartbeat_at: Time,
    /// When it was put back for another attempt.
    #[serde(deserialize_with = "time")]
    pub queued_at: Time,
    /// How far its worker says that it is, in percent.
    #[serde(deserialize_with = "unsigned")]
    pub progress: Option<u64>,
    /// Until when an operator has given it more time.
    #[serde(deserialize_with = "time")]
    pub extended_until: Time,
}

impl CandidateRow {
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
            extended_until: self.extended_until,
        }
    }

    /// The row as the rules decide about it.
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate { id: &self.id, draft: self.draft() }
    }
}

/// A creation as the drafts list reads it: the fields are in the order of the macro `listed!`.
#[derive(Clone, Debug, Deserialize)]
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
    /// Where its money is, if it is not here.
    #[serde(deserialize_with = "elsewhere")]
    pub elsewhere: Option<Elsewhere>,
    /// The status that it was stuck in, if a sweep failed it.
    pub stuck_status: Option<String>,
    /// How long, in milliseconds.
    #[serde(deserialize_with = "unsigned")]
    pub stuck_ms: Option<u64>,
    /// Since when its owner, who has moved, only waits for sweeps; 0 for one who is on the way to another database.
    #[serde(deserialize_with = "unsigned")]
    pub hold: Option<u64>,
}

impl PageRow {
    /// The row as the rules judge what its owner may do, who knows of no fence; `None` if its status is none.
    pub fn snapshot(&self) -> Option<Snapshot<'_>> {
        Some(Snapshot {
            status: self.creation.draft().status?,
            attempt: self.creation.attempt,
            worker: None,
            fence: None,
            kind: &self.creation.kind,
            tokens: self.creation.tokens,
            tokens_used: None,
            retried: &[],
            error_code: self.error_code.as_deref(),
            result_url: self.result_url.as_deref(),
            late: self.late_at.is_some(),
            restored: self.restored_at.is_some(),
            deleted: self.deleted_at.is_some(),
            elsewhere: self.elsewhere,
        })
    }
}

/// A decision about one creation, as the writes of a sweep take it.
#[derive(Clone, Debug, Serialize)]
pub struct PlanRow<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// The status that it was decided in.
    pub status: &'static str,
    /// The attempt that it was decided for.
    pub attempt: u32,
    /// The last sign of life that it was decided on, in epoch milliseconds.
    pub last_sign_of_life: u64,
    /// Its phase: a heartbeat may change that, and with it the limit, without a later sign of life.
    pub phase: &'static str,
    /// When it entered `processing`, in epoch milliseconds, where the limit on the total time is measured from: it may change
    /// without a later sign of life, too.
    pub processing_since: Option<u64>,
    /// Until when an operator had given it more time: there may be more since.
    pub extended_until: Option<u64>,
    /// Its kind: an app may correct it, and with it the limit.
    pub kind: &'a str,
    /// The error to store.
    pub error: String,
    /// Its age, in milliseconds.
    pub age_ms: u64,
    /// The limit that applied, in milliseconds.
    pub max_age_ms: u64,
    /// The entry of the policy that the limit comes from.
    pub rule: String,
    /// The band of its lag: see `rules::LAGS`.
    pub lag: usize,
    /// What it was charged: a row of an app that is attached may have come in anew, with another price.
    pub tokens: u64,
}

impl<'a> PlanRow<'a> {
    /// A decision about a creation that was charged `tokens`.
    pub fn new(decision: &Decision<'a>, tokens: u64) -> Self {
        let Decision { id, kind, staleness } = *decision;
        PlanRow {
            id,
            status: staleness.stuck_status.as_str(),
            attempt: staleness.attempt,
            last_sign_of_life: staleness.last_sign_of_life.as_millis(),
            phase: staleness.phase.as_str(),
            processing_since: staleness.processing_since().map(Timestamp::as_millis),
            extended_until: staleness.extended_until.map(Timestamp::as_millis),
            kind,
            error: staleness.error_text().to_string(),
            age_ms: staleness.age_ms,
            max_age_ms: staleness.max_age_ms,
            rule: staleness.rule.describe(staleness.stuck_status, kind),
            lag: staleness.lag(),
            tokens,
        }
    }
}

/// A sweep's row.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SweepRow {
    /// The sweep's id.
    pub id: String,
    /// `cron`, `page`, `endpoint` or `tool`.
    pub source: String,
    /// Who asked.
    #[serde(deserialize_with = "nullable")]
    pub actor: Option<String>,
    /// The plan that it carried out.
    #[serde(deserialize_with = "nullable")]
    pub plan_id: Option<String>,
    /// When it began, in epoch milliseconds.
    pub started_at: i64,
    /// When it ended; `None` while it runs, and if it was cut off.
    #[serde(deserialize_with = "nullable")]
    pub finished_at: Option<i64>,
    /// Creations that it looked at.
    pub examined: u64,
    /// Creations that it failed.
    pub failed: u64,
    /// Creations that it put back for another attempt.
    pub retried: u64,
    /// Creations that had moved on meanwhile.
    pub raced: u64,
    /// Creations whose write the database rejected.
    pub rejected: u64,
    /// Creations whose age can't be known.
    pub unreadable: u64,
    /// What it refunded.
    #[serde(deserialize_with = "super::typed::sum")]
    pub refunded_tokens: u64,
    /// Whether stale creations remained.
    #[serde(deserialize_with = "flag")]
    pub more: bool,
    /// What stopped or suspended it.
    #[serde(deserialize_with = "nullable")]
    pub error: Option<String>,
    /// What it cost: statements.
    #[serde(deserialize_with = "nullable")]
    pub queries: Option<u64>,
    /// Rows read.
    #[serde(deserialize_with = "nullable")]
    pub rows_read: Option<u64>,
    /// Rows written.
    #[serde(deserialize_with = "nullable")]
    pub rows_written: Option<u64>,
    /// What operators noted about it, the oldest first.
    #[serde(deserialize_with = "super::typed::json_text")]
    pub notes: Vec<super::Act>,
}

/// That sweeps leave a creation aside for a while, since the database rejected what they wrote of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SetAsideRow {
    /// The creation.
    pub creation_id: String,
    /// When a sweep tries again, in epoch milliseconds.
    pub until: u64,
    /// The database's reason.
    pub reason: String,
}

/// An entry of the ledger, as [`super::explain`] asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LedgerRow {
    /// `<type>:<creation>`
    pub entry_key: String,
    /// `charge`, `refund` or `restore`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Tokens; below zero if the owner paid.
    pub tokens: i64,
    /// When, in epoch milliseconds.
    pub created_at: i64,
    /// The sweep that refunded.
    #[serde(deserialize_with = "nullable")]
    pub sweep_id: Option<String>,
}

/// An attempt that is over, as [`super::explain`] asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct AttemptRow {
    /// Its number, from 1.
    pub attempt: u32,
    /// `retried`, `restored` or `failed`.
    pub outcome: String,
    /// What of the charge it had used up, where something was said.
    #[serde(deserialize_with = "nullable")]
    pub tokens_used: Option<u64>,
    /// Who began it.
    #[serde(deserialize_with = "nullable")]
    pub worker: Option<String>,
    /// When that was; `None` also where it is no whole number.
    #[serde(deserialize_with = "millis")]
    pub started_at: Option<i64>,
    /// Its last heartbeat.
    #[serde(deserialize_with = "millis")]
    pub heartbeat_at: Option<i64>,
    /// When it was over.
    #[serde(deserialize_with = "millis")]
    pub finished_at: Option<i64>,
    /// The status that it was stuck in.
    #[serde(deserialize_with = "nullable")]
    pub stuck_status: Option<String>,
    /// Its age, in milliseconds.
    #[serde(deserialize_with = "nullable")]
    pub age_ms: Option<u64>,
    /// The limit that applied.
    #[serde(deserialize_with = "nullable")]
    pub max_age_ms: Option<u64>,
    /// The entry of the policy that the limit comes from.
    #[serde(deserialize_with = "nullable")]
    pub rule: Option<String>,
    /// Why it ended.
    #[serde(deserialize_with = "nullable")]
    pub error: Option<String>,
    /// The same as a stable code.
    #[serde(deserialize_with = "nullable")]
    pub error_code: Option<String>,
    /// The sweep that ended it.
    #[serde(deserialize_with = "nullable")]
    pub sweep_id: Option<String>,
}

/// The creations in `column` of the only row of a result: `candidates` or `unreadable`.
///
/// # Errors
///
/// [`DatabaseError`] if they are not there or not of that shape.
pub fn candidates(rows: &[Row], column: &str) -> Result<Vec<CandidateRow>, DatabaseError> {
    cell(rows, column)
}

/// The creations in `page` of the rows of a result.
///
/// # Errors
///
/// As [`candidates`].
pub fn page_rows(rows: &[Row]) -> Result<Vec<PageRow>, DatabaseError> {
    rows.chunks(1).map(|row| cell(row, "page")).collect()
}

/// The ids in `done_ids` of the only row of a result; `None` if it is `NULL`, for all of the plan.
///
/// # Errors
///
/// As [`candidates`].
pub fn done_ids(rows: &[Row]) -> Result<Option<Vec<String>>, DatabaseError> {
    match rows.first().and_then(|row| row.get("done_ids")) {
        Some(Value::Null) => Ok(None),
        _ => cell(rows, "done_ids").map(Some),
    }
}

/// What suspends sweeps, from `suspended` of the only row of a result; `None` if nothing does.
///
/// A safety switch fails closed: whatever can't be read of it suspends. What can't be told from a pause is one, and a
/// beginning that can't be read is the epoch.
pub fn suspended(rows: &[Row]) -> Option<Suspension> {
    let cell = rows.first()?.get("suspended")?.as_str()?;
    let value: Value = serde_json::from_str(cell).unwrap_or_default();
    let words = |at: usize| value.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
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

/// Reads the JSON that stands as text in `column` of the only row of a result.
pub(super) fn cell<T: DeserializeOwned>(rows: &[Row], column: &str) -> Result<T, DatabaseError> {
    let missing = || DatabaseError::new(format!("unexpected result of the database: no text in `{column}`"));
    let text = rows.first().and_then(|row| row.get(column)).and_then(Value::as_str).ok_or_else(missing)?;
    serde_json::from_str(text).map_err(|error| unexpected(&format!("`{column}`"), &error))
}

fn unexpected(what: &str, error: &serde_json::Error) -> DatabaseError {
    DatabaseError::new(format!("unexpected result of the database: {what}: {error}"))
}

/// A time as `candidate!` gives it: anything but a whole number of milliseconds is malformed.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => Time::Missing,
        value => value.as_i64().map_or(Time::Malformed, Time::from_millis),
    })
}

/// A column that may be `NULL`, but not be missing, as serde would let an `Option`.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// A time that an app may have written: garbage is none.
fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Value::deserialize(deserializer).map(|value| value.as_i64())
}

/// The same where nothing below zero is expected.
pub(super) fn unsigned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Value::deserialize(deserializer).map(|value| value.as_u64())
}

/// Where the money of a creation is, if it is not here.
pub(super) fn elsewhere<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Elsewhere>, D::Error> {
    Ok(match Option::<String>::deserialize(deserializer)?.as_deref() {
        None => None,
        Some("balance") => Some(Elsewhere::Balance),
        Some(_) => Some(Elsewhere::Settled),
    })
}

pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    u8::deserialize(deserializer).map(|number| number != 0)
}
