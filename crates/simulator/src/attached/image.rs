//! What stands in the app's tables.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::PREFIX;
use crate::image::{Creation, Image};

/// The columns of a row beside its key, in the order of the table.
pub const COLUMNS: [&str; 11] = [
    "uid",
    "type",
    "prompt",
    "state",
    "credits_used",
    "created_at",
    "started_at",
    "updated_at",
    "finished_at",
    "result_url",
    "error_message",
];
const ROWS: &str = "SELECT gid, uid, type, prompt, state, credits_used, created_at, started_at, updated_at, finished_at, result_url, error_message
     FROM generations";
const USERS: &str = "SELECT id, credits FROM users";

/// The two tables; what the app has paid stands in its own record, which tests/attach/invariants.sql reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    /// By `gid`.
    pub rows: BTreeMap<i64, Row>,
    /// By `id`.
    pub credits: BTreeMap<i64, i64>,
}

/// A row of `generations`, by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row(pub BTreeMap<&'static str, Value>);

impl Row {
    /// What a column holds.
    pub fn get(&self, column: &str) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    /// The same for one that holds text; else it is empty.
    pub fn text(&self, column: &str) -> &str {
        match self.get(column) {
            Value::Text(text) => text,
            _ => "",
        }
    }

    /// What is at stake in it.
    pub fn state(&self) -> &str {
        self.text("state")
    }
}

/// Reads both.
pub fn read(connection: &Connection) -> rusqlite::Result<App> {
    let mut app = App::default();
    let mut prepared = connection.prepare_cached(ROWS)?;
    let mut rows = prepared.query([])?;
    while let Some(row) = rows.next()? {
        let cells = COLUMNS.iter().zip(1..).map(|(column, at)| Ok((*column, row.get(at)?)));
        app.rows.insert(row.get(0)?, Row(cells.collect::<rusqlite::Result<_>>()?));
    }
    let mut prepared = connection.prepare_cached(USERS)?;
    let mut rows = prepared.query([])?;
    while let Some(row) = rows.next()? {
        app.credits.insert(row.get(0)?, row.get(1)?);
    }
    Ok(app)
}

impl Image {
    /// The id of the creation that a row has, or would get: that of its latest life.
    pub fn creation_of(&self, gid: i64) -> String {
        let first = format!("{PREFIX}{gid}");
        let again = format!("{first}~")..format!("{first}~~");
        self.creations.range(again).next_back().map_or(first, |(id, _)| id.clone())
    }

    /// Whether a row has timed out, and was not restored.
    pub fn timed_out(&self, gid: i64) -> Option<&Creation> {
        self.creations.get(&self.creation_of(gid)).filter(|creation| creation.sweep_id.is_some())
    }
}

/// A time of the app in epoch milliseconds; 0 if it is none.
pub fn millis(time: &str) -> i64 {
    NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S")
        .map_or(0, |time| time.and_utc().timestamp_millis())
}
