//! SQLite that is asked as D1 is, and answers as D1 does. The tests of the statements use it too.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, Rows};
use serde_json::Number;
use stale_drafts::store::{DatabaseError, Param, Row, Statement};

/// The real migrations, in order.
pub const MIGRATIONS: [&str; 10] = [
    include_str!("../../../migrations/0001_creations.sql"),
    include_str!("../../../migrations/0002_money.sql"),
    include_str!("../../../migrations/0003_events.sql"),
    include_str!("../../../migrations/0004_monitor.sql"),
    include_str!("../../../migrations/0005_shards.sql"),
    include_str!("../../../migrations/0006_archive.sql"),
    include_str!("../../../migrations/0007_compaction.sql"),
    include_str!("../../../migrations/0008_extensions.sql"),
    include_str!("../../../migrations/0009_observability.sql"),
    include_str!("../../../migrations/0010_notes.sql"),
];

/// Runs a statement, whose text `sql` may be another than its own: a planted bug may even have taken its last parameter away.
pub fn run(connection: &Connection, statement: &Statement, sql: &str) -> rusqlite::Result<Vec<Row>> {
    let mut prepared = connection.prepare_cached(sql)?;
    let wanted = prepared.parameter_count();
    for (param, at) in statement.params.iter().zip(1..=wanted) {
        match param {
            Param::Null => prepared.raw_bind_parameter(at, Value::Null)?,
            Param::Text(text) => prepared.raw_bind_parameter(at, text)?,
            // As D1 does.
            Param::Integer(integer) => prepared.raw_bind_parameter(at, *integer as f64)?,
        }
    }
    let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
    rows(prepared.raw_query(), &names)
}

/// Rows whose columns have these names.
pub fn rows(mut rows: Rows<'_>, names: &[String]) -> rusqlite::Result<Vec<Row>> {
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = names.iter().zip(0..).map(|(name, at)| Ok((name.clone(), json(row.get_ref(at)?))));
        list.push(cells.collect::<rusqlite::Result<Row>>()?);
    }
    Ok(list)
}

fn json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Integer(integer) => integer.into(),
        // JavaScript has one sort of number, and writes a whole one without a point.
        ValueRef::Real(real) if real == real.trunc() && real.abs() < 9.0e15 => (real as i64).into(),
        ValueRef::Real(real) => Number::from_f64(real).into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Null | ValueRef::Blob(_) => serde_json::Value::Null,
    }
}

/// An error in D1's words.
pub fn worded(error: rusqlite::Error) -> DatabaseError {
    let constraint = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
    DatabaseError::new(format!("D1_ERROR: {error}{}", if constraint { ": SQLITE_CONSTRAINT" } else { "" }))
}
