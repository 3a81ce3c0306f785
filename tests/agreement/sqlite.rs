//! SQLite with the real migrations, and the store's statements on it.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, ToSql};
use stale_drafts::rules::{Draft, Time};
use stale_drafts::store::{Row, SCHEMA_VERSION, Statement};

use crate::as_d1::{self, MIGRATIONS};
use crate::rows::Stored;

pub struct Sqlite(Connection);

/// A creation as it stands in the table, read without the store.
pub struct Creation {
    pub id: String,
    pub user_id: String,
    pub kind: String,
    pub status: String,
    pub attempt: u32,
    pub tokens: u64,
    /// `created_at`, `queued_at`, `started_at`, `heartbeat_at`, `extended_until`
    pub times: [Time; 5],
    pub last_sign_of_life: Option<i64>,
    pub phase: Option<String>,
    pub processing_since: Option<i64>,
}

impl Creation {
    pub fn draft(&self) -> Draft<'_> {
        let [created_at, queued_at, started_at, heartbeat_at, extended_until] = self.times;
        Draft {
            status: self.status.parse().ok(),
            kind: &self.kind,
            attempt: self.attempt,
            created_at,
            queued_at,
            started_at,
            heartbeat_at,
            extended_until,
        }
    }
}

const INSERT: &str =
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, attempt, tokens, created_at, queued_at,
    started_at, heartbeat_at, extended_until) VALUES (?1, ?2, ?3, 'a fox', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const CREATION: &str =
    "SELECT id, user_id, kind, status, attempt, tokens, created_at, queued_at, started_at, heartbeat_at, extended_until,
    last_sign_of_life, phase, processing_since FROM stale_drafts_creations ORDER BY rowid";

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
            let grant = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES (?1, ?2, 'grant', 1000000, 0)";
            sqlite.write(grant, &[&format!("grant:{user}"), &user]);
        }
        let mut insert = sqlite.0.prepare_cached(INSERT).unwrap();
        for (row, at) in rows.iter().zip(0..) {
            let [created, queued, started, heartbeat, extended] = &row.times;
            let params: [&dyn ToSql; 11] = [
                &format!("c{at}"), &row.user_id, &row.kind, &row.status.as_str(), &row.attempt, &row.tokens, created,
                queued, started, heartbeat, extended,
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
        connection.execute_batch(&MIGRATIONS.concat()).unwrap();
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

    /// Runs a statement of the store.
    pub fn run(&self, statement: &Statement) -> Vec<Row> {
        as_d1::run(&self.0, statement, statement.sql).unwrap()
    }

    /// Every creation, the oldest row first.
    pub fn creations(&self) -> Vec<Creation> {
        let mut prepared = self.0.prepare_cached(CREATION).unwrap();
        let rows = prepared.query_map([], |row| {
            let time = |at| {
                Ok::<_, rusqlite::Error>(match row.get_ref(at)? {
                    ValueRef::Null => Time::Missing,
                    ValueRef::Integer(millis) => Time::from_millis(millis),
                    _ => Time::Malformed,
                })
            };
            Ok(Creation {
                id: row.get(0)?,
                user_id: row.get(1)?,
                kind: row.get(2)?,
                status: row.get(3)?,
                attempt: row.get(4)?,
                tokens: row.get::<_, u32>(5)?.into(),
                times: [time(6)?, time(7)?, time(8)?, time(9)?, time(10)?],
                last_sign_of_life: row.get(11)?,
                phase: row.get(12)?,
                processing_since: row.get(13)?,
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}
