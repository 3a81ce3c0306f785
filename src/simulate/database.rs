//! SQLite with the real migrations, which runs the real statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, Rows};
use serde_json::Number;
use stale_drafts::store::{self, DatabaseError, Param, Row, SCHEMA_VERSION, Statement};

use crate::image::{self, Image};
use crate::plant::Plant;
use crate::sql;

const MIGRATIONS: [&str; 4] = [
    include_str!("../../migrations/0001_creations.sql"),
    include_str!("../../migrations/0002_money.sql"),
    include_str!("../../migrations/0003_events.sql"),
    include_str!("../../migrations/0004_watch.sql"),
];

/// One connection to a database in memory, used for one seed after another.
///
/// Each seed is one outer transaction that is rolled back at its end, and each transaction of the Worker a savepoint in
/// it: that takes no time, and the schema is read once.
pub struct Sqlite {
    connection: Connection,
    clock: Arc<AtomicI64>,
    plant: Option<Plant>,
}

impl Sqlite {
    /// An empty database, with a bug planted in it or without.
    ///
    /// # Errors
    ///
    /// SQLite's words, or that the bug can't be planted.
    pub fn new(plant: Option<Plant>) -> Result<Self, String> {
        let mut text = MIGRATIONS.concat();
        if let Some(plant) = plant {
            text = plant.migrations(text)?;
        }
        let clock = Arc::new(AtomicI64::new(0));
        let connection = open(&text, &clock).map_err(|error| error.to_string())?;
        let database = Sqlite { connection, clock, plant };
        let version = database.transaction(&[store::readiness()]).map_err(|error| error.to_string())?;
        let version =
            version.first().and_then(|rows| rows.first()).and_then(|row| row.get("version")).cloned();
        if version != Some(SCHEMA_VERSION.into()) {
            return Err(format!(
                "the schema is version {version:?}: expected {SCHEMA_VERSION}; a migration is missing here"
            ));
        }
        Ok(database)
    }

    /// Empties it for the next seed.
    pub fn begin_seed(&self) -> Result<(), String> {
        let result = self.connection.execute_batch(sql::BEGIN_SEED);
        result.map_err(|error| error.to_string())
    }

    /// The counterpart of [`Sqlite::begin_seed`].
    pub fn end_seed(&self) -> Result<(), String> {
        let result = self.connection.execute_batch(sql::END_SEED);
        result.map_err(|error| error.to_string())
    }

    /// Sets what the database takes for the present time, in epoch milliseconds.
    pub fn set_clock(&self, millis: i64) {
        self.clock.store(millis, Ordering::Relaxed);
    }

    /// How many rows have been changed in all; the same number means that nothing was.
    pub fn changes(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Everything that stands in it.
    pub fn image(&self) -> Result<Image, String> {
        image::read(&self.connection).map_err(|error| error.to_string())
    }

    /// Runs statements in one transaction. The rows come out as D1 gives them.
    ///
    /// # Errors
    ///
    /// SQLite's words; with `SQLITE_CONSTRAINT` where a constraint or trigger refused, as D1 says it.
    pub fn transaction(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.step(sql::BEGIN)?;
        let results: Result<Vec<_>, _> = batch.iter().map(|statement| self.run(statement)).collect();
        if results.is_err() {
            self.step(sql::ROLL_BACK)?;
        }
        self.step(sql::COMMIT)?;
        results.map_err(worded)
    }

    fn step(&self, sql: &str) -> Result<(), DatabaseError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(drop).map_err(worded)
    }

    fn run(&self, statement: &Statement) -> rusqlite::Result<Vec<Row>> {
        let planted = self.plant.map(|plant| plant.statement(statement.sql));
        let mut prepared = self.connection.prepare_cached(planted.as_deref().unwrap_or(statement.sql))?;
        // A planted bug may have taken the last parameter away.
        let wanted = prepared.parameter_count();
        for (param, at) in statement.params.iter().zip(1..=wanted) {
            bind(&mut prepared, at, param)?;
        }
        let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
        read(prepared.raw_query(), &names)
    }
}

fn open(migrations: &str, clock: &Arc<AtomicI64>) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.set_prepared_statement_cache_capacity(200);
    // Statements are compiled once, and not again for every parameter.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // The database's own clock is the simulated one.
    let clock = Arc::clone(clock);
    connection.create_scalar_function("unixepoch", 1, FunctionFlags::SQLITE_UTF8, move |_| {
        Ok(clock.load(Ordering::Relaxed) as f64 / 1_000.0)
    })?;
    connection.execute_batch(migrations)?;
    Ok(connection)
}

fn bind(prepared: &mut CachedStatement<'_>, at: usize, param: &Param) -> rusqlite::Result<()> {
    match param {
        Param::Null => prepared.raw_bind_parameter(at, Value::Null),
        Param::Text(text) => prepared.raw_bind_parameter(at, text),
        // As D1 does.
        Param::Integer(integer) => prepared.raw_bind_parameter(at, *integer as f64),
    }
}

fn read(mut rows: Rows<'_>, names: &[String]) -> rusqlite::Result<Vec<Row>> {
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let mut object = Row::new();
        for (name, at) in names.iter().zip(0..) {
            object.insert(name.clone(), json(row.get_ref(at)?));
        }
        list.push(object);
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

fn worded(error: rusqlite::Error) -> DatabaseError {
    let constraint = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
    DatabaseError::new(format!("D1_ERROR: {error}{}", if constraint { ": SQLITE_CONSTRAINT" } else { "" }))
}
