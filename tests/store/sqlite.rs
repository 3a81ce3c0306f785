//! SQLite with the real migrations, for tests of single statements. The simulator has its own, for whole runs.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{Connection, ErrorCode};
use serde_json::{Number, Value};
use stale_drafts::store::{Cost, Database, DatabaseError, Param, Row, Statement};

const MIGRATIONS: [&str; 4] = [
    include_str!("../../migrations/0001_creations.sql"),
    include_str!("../../migrations/0002_money.sql"),
    include_str!("../../migrations/0003_events.sql"),
    include_str!("../../migrations/0004_watch.sql"),
];

/// What the database takes for the present time, in epoch milliseconds.
pub const CLOCK: u64 = 1_700_000_005_000;

pub struct Sqlite(Connection);

impl Sqlite {
    pub fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .create_scalar_function(
                "unixepoch",
                1,
                FunctionFlags::SQLITE_UTF8,
                |_| Ok(CLOCK as f64 / 1_000.0),
            )
            .unwrap();
        connection.execute_batch(&MIGRATIONS.concat()).unwrap();
        Sqlite(connection)
    }

    /// Runs statements in one transaction: all take effect, or none does.
    pub fn transaction(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.write("BEGIN");
        let results: rusqlite::Result<Vec<_>> =
            batch.iter().map(|statement| self.run_one(statement.sql, &statement.params)).collect();
        self.write(if results.is_ok() { "COMMIT" } else { "ROLLBACK" });
        results.map_err(worded)
    }

    /// The same where it must go through.
    pub fn all(&self, batch: &[Statement]) -> Vec<Vec<Row>> {
        self.transaction(batch).unwrap()
    }

    /// The rows of one statement.
    pub fn one(&self, statement: Statement) -> Vec<Row> {
        self.all(&[statement]).remove(0)
    }

    /// What an app or a hand at the console writes.
    pub fn write(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }

    /// What stands, as one JSON array for each row.
    pub fn read(&self, sql: &str) -> Vec<Value> {
        let mut prepared = self.0.prepare(sql).unwrap();
        let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
        let rows = rows(prepared.query([]).unwrap(), &names).unwrap();
        rows.into_iter().map(|mut row| names.iter().map(|name| row.remove(name).unwrap()).collect()).collect()
    }

    fn run_one(&self, sql: &str, params: &[Param]) -> rusqlite::Result<Vec<Row>> {
        let mut prepared = self.0.prepare_cached(sql)?;
        assert_eq!(prepared.parameter_count(), params.len(), "{sql}");
        for (param, at) in params.iter().zip(1..) {
            match param {
                Param::Null => prepared.raw_bind_parameter(at, SqlValue::Null)?,
                Param::Text(text) => prepared.raw_bind_parameter(at, text)?,
                // As D1 does.
                Param::Integer(integer) => prepared.raw_bind_parameter(at, *integer as f64)?,
            }
        }
        let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
        rows(prepared.raw_query(), &names)
    }
}

impl Database for Sqlite {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.transaction(batch)
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

fn rows(mut rows: rusqlite::Rows<'_>, names: &[String]) -> rusqlite::Result<Vec<Row>> {
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let cells = names.iter().zip(0..).map(|(name, at)| Ok((name.clone(), json(row.get_ref(at)?))));
        list.push(cells.collect::<rusqlite::Result<Row>>()?);
    }
    Ok(list)
}

fn json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(integer) => integer.into(),
        // JavaScript has one sort of number, and writes a whole one without a point.
        ValueRef::Real(real) if real == real.trunc() => (real as i64).into(),
        ValueRef::Real(real) => Number::from_f64(real).into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
    }
}

/// As D1 words it.
fn worded(error: rusqlite::Error) -> DatabaseError {
    let constraint = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
    DatabaseError::new(format!("D1_ERROR: {error}{}", if constraint { ": SQLITE_CONSTRAINT" } else { "" }))
}

/// Waits for what never has to wait: every call of this database is answered at once.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}
