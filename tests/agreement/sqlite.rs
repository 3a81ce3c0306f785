//! SQLite with the real migrations, and the store's statements on it.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql};
use stale_drafts::rules::{Draft, Time};
use stale_drafts::store::{Param, Row, SCHEMA_VERSION, Statement};

use crate::rows::Stored;

pub struct Sqlite(Connection);

/// A creation as it stands in the table, read without the store.
pub struct Standing {
    pub id: String,
    pub user_id: String,
    pub kind: String,
    pub status: String,
    pub attempt: u32,
    pub tokens: u64,
    /// `created_at`, `queued_at`, `started_at`, `heartbeat_at`
    pub times: [Time; 4],
    pub last_sign_of_life: Option<i64>,
    pub phase: Option<String>,
    pub processing_since: Option<i64>,
}

impl Standing {
    pub fn draft(&self) -> Draft<'_> {
        let [created_at, queued_at, started_at, heartbeat_at] = self.times;
        Draft {
            status: self.status.parse().ok(),
            kind: &self.kind,
            attempt: self.attempt,
            created_at,
            queued_at,
            started_at,
            heartbeat_at,
        }
    }
}

const INSERT: &str =
    "INSERT INTO creations (id, user_id, kind, prompt, status, attempt, tokens, created_at, queued_at,
    started_at, heartbeat_at) VALUES (?1, ?2, ?3, 'a fox', ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const STANDING: &str =
    "SELECT id, user_id, kind, status, attempt, tokens, created_at, queued_at, started_at, heartbeat_at,
    last_sign_of_life, phase, processing_since FROM creations ORDER BY rowid";

thread_local! {
    static DATABASE: Sqlite = Sqlite::new();
}

/// Runs `test` on a table of these rows, which is empty again afterwards.
pub fn with<T>(rows: &[Stored], test: impl FnOnce(&Sqlite) -> T) -> T {
    /// Also where a test fails: the shorter table that is tried next finds nothing.
    struct End<'a>(&'a Sqlite);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.0.execute_batch("ROLLBACK").unwrap();
        }
    }
    DATABASE.with(|sqlite| {
        sqlite.0.execute_batch("BEGIN").unwrap();
        let end = End(sqlite);
        for user in ["ada", "bob"] {
            let grant = "INSERT INTO ledger (entry_key, user_id, type, tokens, created_at) VALUES (?1, ?2, 'grant', 1000000, 0)";
            sqlite.write(grant, &[&format!("grant:{user}"), &user]);
        }
        let mut insert = sqlite.0.prepare_cached(INSERT).unwrap();
        for (row, at) in rows.iter().zip(0..) {
            let [created, queued, started, heartbeat] = &row.times;
            let params: [&dyn ToSql; 10] = [
                &format!("c{at}"), &row.user_id, &row.kind, &row.status.as_str(), &row.attempt, &row.tokens, created,
                queued, started, heartbeat,
            ];
            insert.execute(params).unwrap();
        }
        test(end.0)
    })
}

impl Sqlite {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.set_prepared_statement_cache_capacity(100);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for file in files {
            connection.execute_batch(&std::fs::read_to_string(file).unwrap()).unwrap();
        }
        let sqlite = Sqlite(connection);
        let version = sqlite.run(&stale_drafts::store::readiness())[0]["version"].as_i64();
        assert_eq!(version, Some(SCHEMA_VERSION));
        sqlite
    }

    /// Writes as an app does; whether the database took it.
    pub fn write(&self, sql: &str, params: &[&dyn ToSql]) -> bool {
        match self.0.prepare_cached(sql).unwrap().execute(params) {
            Ok(_) => true,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => false,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// Runs a statement of the store. The rows come out as D1 gives them.
    pub fn run(&self, statement: &Statement) -> Vec<Row> {
        let mut prepared = self.0.prepare_cached(statement.sql).unwrap();
        let names: Vec<_> = prepared.column_names().map(str::to_owned).collect();
        let params = statement.params.iter().map(|param| match param {
            Param::Null => Value::Null,
            Param::Text(text) => Value::Text(text.clone()),
            // As D1 does.
            Param::Integer(integer) => Value::Real(*integer as f64),
        });
        let mut rows = prepared.query(rusqlite::params_from_iter(params)).unwrap();
        let mut list = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let cell = |at| match row.get_ref(at).unwrap() {
                ValueRef::Integer(integer) => integer.into(),
                ValueRef::Real(real) => real.into(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                ValueRef::Null | ValueRef::Blob(_) => serde_json::Value::Null,
            };
            list.push(names.iter().zip(0..).map(|(name, at)| (name.clone(), cell(at))).collect());
        }
        list
    }

    /// Every creation, the oldest row first.
    pub fn standing(&self) -> Vec<Standing> {
        let mut prepared = self.0.prepare_cached(STANDING).unwrap();
        let rows = prepared.query_map([], |row| {
            let time = |at| {
                Ok::<_, rusqlite::Error>(match row.get_ref(at)? {
                    ValueRef::Null => Time::Missing,
                    ValueRef::Integer(millis) => Time::from_millis(millis),
                    _ => Time::Malformed,
                })
            };
            Ok(Standing {
                id: row.get(0)?,
                user_id: row.get(1)?,
                kind: row.get(2)?,
                status: row.get(3)?,
                attempt: row.get(4)?,
                tokens: row.get::<_, u32>(5)?.into(),
                times: [time(6)?, time(7)?, time(8)?, time(9)?],
                last_sign_of_life: row.get(10)?,
                phase: row.get(11)?,
                processing_since: row.get(12)?,
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}
