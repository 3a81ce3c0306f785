//! SQLite with the real migrations, for tests of single statements.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;
use stale_drafts::store::{Cost, Database, DatabaseError, Row, Statement};

use crate::as_d1::{self, MIGRATIONS, rows, worded};

/// What the database takes for the present time, in epoch milliseconds.
pub const CLOCK: u64 = 1_700_000_005_000;

/// An empty database. To make one takes longer than most tests do, and to prepare statements far longer than to run them. So each is one
/// outer transaction that is rolled back at its end, and its connection is the next one's, with all that it has prepared.
pub struct Sqlite(Option<Connection>);

static FREE: Mutex<Vec<Connection>> = Mutex::new(Vec::new());

impl Drop for Sqlite {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        if connection.execute_batch("ROLLBACK").is_ok() {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Sqlite {
    pub fn new() -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = free.unwrap_or_else(connect);
        connection.execute_batch("BEGIN").unwrap();
        Sqlite(Some(connection))
    }

    fn connection(&self) -> &Connection {
        self.0.as_ref().unwrap()
    }

    /// Runs statements in one transaction: all take effect, or none does. It may be within another one, which a test rolls back.
    pub fn transaction(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.write("SAVEPOINT run");
        let results: rusqlite::Result<Vec<_>> =
            batch.iter().map(|statement| self.run_one(statement)).collect();
        self.write(if results.is_ok() { "RELEASE run" } else { "ROLLBACK TO run; RELEASE run" });
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
        self.connection().execute_batch(sql).unwrap();
    }

    /// Whether such a write goes through.
    pub fn takes(&self, sql: &str) -> bool {
        self.connection().execute_batch(sql).is_ok()
    }

    /// What stands, as one JSON array for each row.
    pub fn read(&self, sql: &str) -> Vec<Value> {
        self.read_with(sql, &[])
    }

    /// The same with texts as parameters, so that it is prepared once.
    pub fn read_with(&self, sql: &str, params: &[&str]) -> Vec<Value> {
        let mut prepared = self.connection().prepare_cached(sql).unwrap();
        let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
        let rows = rows(prepared.query(params_from_iter(params)).unwrap(), &names).unwrap();
        rows.into_iter().map(|mut row| names.iter().map(|name| row.remove(name).unwrap()).collect()).collect()
    }

    fn run_one(&self, statement: &Statement) -> rusqlite::Result<Vec<Row>> {
        let prepared = self.connection().prepare_cached(statement.sql)?;
        assert_eq!(prepared.parameter_count(), statement.params.len(), "{}", statement.sql);
        assert_eq!(prepared.readonly(), statement.only_reads(), "{}", statement.sql);
        drop(prepared);
        as_d1::run(self.connection(), statement, statement.sql)
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

fn connect() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .create_scalar_function("unixepoch", 1, FunctionFlags::SQLITE_UTF8, |_| Ok(CLOCK as f64 / 1_000.0))
        .unwrap();
    connection.execute_batch(&MIGRATIONS.concat()).unwrap();
    // D1 stores and makes no longer string.
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 2_000_000).unwrap();
    connection.set_prepared_statement_cache_capacity(400);
    connection
}

/// Waits for what never has to wait: every call of this database is answered at once.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}
