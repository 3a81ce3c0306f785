//! SQLite with the real migrations, which runs the real statements.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use stale_drafts::store::{self, DatabaseError, Row, SCHEMA_VERSION, Statement};

use crate::as_d1::{self, MIGRATIONS, worded};
use crate::attached::{ATTACH, INVARIANTS as THEIR_INVARIANTS, SCHEMA, is_attached};
use crate::image::{self, Image};
use crate::plant::Plant;
use crate::{sharded, sql};

/// What must be true at every moment: see there.
const INVARIANTS: &str = include_str!("../../../tests/invariants.sql");

/// The databases that seeds run on.
pub struct Pool {
    plain: Rc<Sqlite>,
    attached: Rc<Sqlite>,
    others: Vec<Rc<Sqlite>>,
}

impl Pool {
    /// Empty ones, with a bug planted in each or without.
    ///
    /// # Errors
    ///
    /// Those of [`Sqlite::new`].
    pub fn new(plant: Option<Plant>) -> Result<Self, String> {
        let make = |attached| Sqlite::new(plant, attached).map(Rc::new);
        let others = (1..sharded::MAX).map(|_| make(false)).collect::<Result<_, _>>()?;
        Ok(Pool { plain: make(false)?, attached: make(true)?, others })
    }

    /// Those of a seed: one, with an app's tables or without, or several.
    pub fn of(&self, seed: u64) -> Vec<Rc<Sqlite>> {
        if is_attached(seed) {
            return vec![Rc::clone(&self.attached)];
        }
        let others = self.others.iter().take(sharded::databases(seed).saturating_sub(1));
        [&self.plain].into_iter().chain(others).map(Rc::clone).collect()
    }
}

/// One connection to a database in memory, used for one seed after another.
///
/// Each seed is one outer transaction that is rolled back at its end, and each transaction of the Worker a savepoint in
/// it: that takes no time, and the schema is read once.
pub struct Sqlite {
    connection: Connection,
    clock: Arc<AtomicI64>,
    plant: Option<Plant>,
    attached: bool,
}

impl Sqlite {
    /// An empty database, with a bug planted in it or without; `attached` has an app's tables too.
    ///
    /// # Errors
    ///
    /// SQLite's words, or that the bug can't be planted.
    pub fn new(plant: Option<Plant>, attached: bool) -> Result<Self, String> {
        let (mut text, mut attach) = (MIGRATIONS.concat(), String::from(ATTACH));
        if let Some(plant) = plant {
            text = plant.migrations(text)?;
            attach = plant.attach(attach)?;
        }
        if attached {
            text = [&text, SCHEMA, &attach].concat();
        }
        let clock = Arc::new(AtomicI64::new(0));
        let connection = open(&text, &clock).map_err(|error| error.to_string())?;
        let database = Sqlite { connection, clock, plant, attached };
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

    /// Everything that stands in it; `shard` is which of several it is.
    pub fn image(&self, shard: Option<usize>) -> Result<Image, String> {
        image::read(&self.connection, self.attached, shard).map_err(|error| error.to_string())
    }

    /// The first promise of `tests/invariants.sql` that is broken, and a row that breaks it.
    pub fn broken(&self) -> Result<Option<(&'static str, String)>, String> {
        self.broken_of(INVARIANTS)
    }

    /// The same for `tests/attach/invariants.sql`.
    pub fn broken_of_theirs(&self) -> Result<Option<(&'static str, String)>, String> {
        if self.attached { self.broken_of(THEIR_INVARIANTS) } else { Ok(None) }
    }

    fn broken_of(&self, list: &'static str) -> Result<Option<(&'static str, String)>, String> {
        for query in list.split("\n-- name: ").skip(1) {
            let (name, sql) = query.split_once('\n').ok_or("a query of the invariants has no name")?;
            let first = || {
                let mut prepared = self.connection.prepare_cached(sql)?;
                let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
                as_d1::rows(prepared.query([])?, &names)
            };
            let rows = first().map_err(|error| format!("{name}: {error}"))?;
            if let Some(row) = rows.into_iter().next() {
                return Ok(Some((name, serde_json::Value::Object(row).to_string())));
            }
        }
        Ok(None)
    }

    /// Runs statements in one transaction. The rows come out as D1 gives them.
    ///
    /// # Errors
    ///
    /// SQLite's words; with `SQLITE_CONSTRAINT` where a constraint or trigger rejected, as D1 says it.
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
        as_d1::run(&self.connection, statement, planted.as_deref().unwrap_or(statement.sql))
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
