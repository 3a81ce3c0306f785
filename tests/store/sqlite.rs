//! SQLite with the real migrations, for tests of single statements.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use serde_json::Value;
use stale_drafts::store::{Cost, Database, DatabaseError, Row, Statement};

use crate::as_d1::{self, MIGRATIONS, rows, worded};

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
        // Preparing takes far longer than running does here.
        connection.set_prepared_statement_cache_capacity(200);
        Sqlite(connection)
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
        self.0.execute_batch(sql).unwrap();
    }

    /// Whether such a write goes through.
    pub fn takes(&self, sql: &str) -> bool {
        self.0.execute_batch(sql).is_ok()
    }

    /// What stands, as one JSON array for each row.
    pub fn read(&self, sql: &str) -> Vec<Value> {
        let mut prepared = self.0.prepare_cached(sql).unwrap();
        let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
        let rows = rows(prepared.query([]).unwrap(), &names).unwrap();
        rows.into_iter().map(|mut row| names.iter().map(|name| row.remove(name).unwrap()).collect()).collect()
    }

    fn run_one(&self, statement: &Statement) -> rusqlite::Result<Vec<Row>> {
        let wanted = self.0.prepare_cached(statement.sql)?.parameter_count();
        assert_eq!(wanted, statement.params.len(), "{}", statement.sql);
        as_d1::run(&self.0, statement, statement.sql)
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

/// Waits for what never has to wait: every call of this database is answered at once.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}
