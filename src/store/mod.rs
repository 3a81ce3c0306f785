//! All SQL: the statements, their parameters, and the rows that they answer with.
//!
//! Building a statement is pure; a shell runs it. What the statements rely on (indexes, triggers, constraints)
//! stands in `migrations/`.

mod operators;
mod statements;

use serde::{Deserialize, Serialize};

use crate::rules::{Candidate, Draft, Time, Timestamp};

pub use operators::{by_id, count, evidence, evidence_of, explain, page_by_status, sweeps};
pub use statements::{
    Filter, SweepStart, SweepTotals, active_of_user, balance, balances, begin_sweep, end_sweep, mark_failed,
    page, readiness, stale,
};

/// The schema that the statements are written for: the newest of `migrations/`.
pub const SCHEMA_VERSION: i64 = 2;

/// One SQL statement with its parameters, `?1` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub sql: &'static str,
    /// The values of its parameters.
    pub params: Vec<Param>,
}

impl Statement {
    fn new(sql: &'static str, params: impl Into<Vec<Param>>) -> Self {
        Statement { sql, params: params.into() }
    }
}

/// A value for a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// `NULL`
    Null,
    /// Text.
    Text(String),
    /// A whole number; within ±2^53, since D1 binds it as a double.
    Integer(i64),
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Param::Text(text.to_owned())
    }
}

impl From<Option<&str>> for Param {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Param::Null, Param::from)
    }
}

impl From<u32> for Param {
    fn from(number: u32) -> Self {
        Param::Integer(i64::from(number))
    }
}

impl From<Timestamp> for Param {
    fn from(timestamp: Timestamp) -> Self {
        Param::Integer(i64::try_from(timestamp.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A row of a result: its columns by name.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// What runs statements.
pub trait Database {
    /// Runs the statements in one transaction and answers with each one's rows: all take effect, or none does.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if one of them failed. Where the connection was lost the outcome is unknown: every
    /// write here repeats what it was decided on, so running it again is harmless.
    fn run(&self, batch: &[Statement]) -> impl Future<Output = Result<Vec<Vec<Row>>, DatabaseError>>;

    /// What has been run so far has cost.
    fn cost(&self) -> Cost;
}

/// What D1 bills, as it reports it itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Statements.
    pub queries: u64,
    /// Rows read.
    pub rows_read: u64,
    /// Rows written, index entries included.
    pub rows_written: u64,
}

/// A transaction that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseError {
    message: String,
}

impl DatabaseError {
    /// An error with the database's own words.
    pub fn new(message: impl Into<String>) -> Self {
        DatabaseError { message: message.into() }
    }

    /// Whether a constraint or a trigger refused a row: the others may go through without it.
    pub fn is_constraint(&self) -> bool {
        self.message.contains("SQLITE_CONSTRAINT")
    }
}

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DatabaseError {}

/// A time as a row holds it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum TimeCell {
    /// An integer.
    Integer(i64),
    /// `NULL`
    Null(()),
    /// Anything else.
    Malformed(serde::de::IgnoredAny),
}

impl From<&TimeCell> for Time {
    fn from(cell: &TimeCell) -> Self {
        match cell {
            TimeCell::Integer(millis) => Time::from_millis(*millis),
            TimeCell::Null(()) => Time::Missing,
            TimeCell::Malformed(_) => Time::Malformed,
        }
    }
}

/// A creation as the sweep reads it: `[id, user_id, kind, status, attempt, tokens, created_at, started_at,
/// heartbeat_at]`.
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
    pub created_at: TimeCell,
    /// When a worker began.
    pub started_at: TimeCell,
    /// When a worker last said that it is alive.
    pub heartbeat_at: TimeCell,
}

impl CandidateRow {
    /// The row as the rules take it.
    pub fn draft(&self) -> Draft<'_> {
        Draft {
            status: self.status.parse().ok(),
            kind: &self.kind,
            created_at: (&self.created_at).into(),
            started_at: (&self.started_at).into(),
            heartbeat_at: (&self.heartbeat_at).into(),
        }
    }

    /// The row as a sweep's plan takes it.
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate { id: &self.id, attempt: self.attempt, draft: self.draft() }
    }
}

/// A creation as the drafts list reads it: `[a CandidateRow, prompt, error, error_code, finished_at, listed_at,
/// refunded_tokens]`.
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
    /// What was refunded.
    pub refunded_tokens: Option<u64>,
}

/// One creation of a plan, as the writes take it: `[id, status, attempt, last_sign_of_life, error, age_ms,
/// max_age_ms]`.
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
        )
            .serialize(serializer)
    }
}

/// A place in the drafts list: after the creation with these two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// See [`PageRow::listed_at`].
    pub listed_at: i64,
    /// The creation's id.
    pub id: String,
}

impl Page {
    /// The list's beginning.
    pub fn first() -> Self {
        Page { listed_at: i64::MAX >> 10, id: String::new() }
    }
}

/// Reads the JSON text in `column` of the only row of a result.
///
/// # Errors
///
/// [`DatabaseError`] if it is not there or not of that shape.
pub fn cell<T: for<'de> Deserialize<'de>>(rows: &[Row], column: &str) -> Result<T, DatabaseError> {
    let text = rows.first().and_then(|row| row.get(column)).and_then(serde_json::Value::as_str);
    let text = text.ok_or_else(|| DatabaseError::new(format!("the result has no text in `{column}`")))?;
    serde_json::from_str(text)
        .map_err(|error| DatabaseError::new(format!("`{column}` of the result: {error}")))
}

/// The same for a cell that may be `NULL`.
///
/// # Errors
///
/// As [`cell`].
pub fn optional_cell<T: for<'de> Deserialize<'de>>(
    rows: &[Row],
    column: &str,
) -> Result<Option<T>, DatabaseError> {
    match rows.first().and_then(|row| row.get(column)) {
        Some(serde_json::Value::Null) => Ok(None),
        _ => cell(rows, column).map(Some),
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // Writing tuples of text and integers to a string can't fail.
    serde_json::to_string(value).unwrap_or_default()
}
