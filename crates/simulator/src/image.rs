//! Everything that stands in the database at one moment.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row};
use stale_drafts::rules::{Draft, Status, Time};

use crate::attached::{self, App};
use crate::sharded::{self, Moves};
use crate::sql;

/// The tables, and those of the app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Of which database it is, where there are several.
    pub shard: usize,
    pub creations: BTreeMap<String, Creation>,
    pub ledger: BTreeMap<String, Entry>,
    pub balances: BTreeMap<String, i64>,
    pub attempts: BTreeMap<(String, u32), Attempt>,
    pub sweeps: BTreeMap<String, SweepRow>,
    /// Creations that sweeps leave aside, and until when.
    pub rejected: BTreeMap<String, i64>,
    /// What operators have put off: by scope, name and end.
    pub extensions: BTreeMap<(String, String, i64), Extension>,
    /// What of that the audit knows, by id.
    pub audit: BTreeMap<String, Audit>,
    /// In the order of the table, in which one id could stand twice.
    pub events: Vec<Event>,
    /// The tables of the app that is attached, if there is one.
    pub app: App,
    /// The moves of buckets, where there are several databases.
    pub moves: Moves,
}

/// A row of `creations`.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    pub id: String,
    pub user_id: String,
    pub kind: String,
    pub prompt: String,
    pub status: Status,
    pub attempt: u32,
    pub tokens: i64,
    pub created_at: Value,
    pub queued_at: Value,
    pub started_at: Value,
    pub heartbeat_at: Value,
    pub finished_at: Value,
    pub error: Option<String>,
    pub error_code: Option<String>,
    pub worker: Option<String>,
    pub fence: Option<String>,
    pub progress: Option<i64>,
    pub result_url: Option<String>,
    pub late_result_url: Option<String>,
    pub late_at: Option<i64>,
    pub restored_at: Option<i64>,
    pub deleted_at: Option<i64>,
    pub event: Option<String>,
    pub notify: u32,
    pub stuck_status: Option<String>,
    pub age_ms: Option<i64>,
    pub max_age_ms: Option<i64>,
    pub rule: Option<String>,
    pub sweep_id: Option<String>,
    pub last_sign_of_life: Option<i64>,
    pub balance_elsewhere: bool,
    pub extended_until: Value,
    /// The number of its owner's charge for it.
    pub charge: u32,
    pub tokens_used: Option<i64>,
}

impl Creation {
    /// The row as the rules take it.
    pub fn draft(&self) -> Draft<'_> {
        Draft {
            status: Some(self.status),
            kind: &self.kind,
            attempt: self.attempt,
            created_at: time(&self.created_at),
            queued_at: time(&self.queued_at),
            started_at: time(&self.started_at),
            heartbeat_at: time(&self.heartbeat_at),
            extended_until: time(&self.extended_until),
        }
    }

    /// What of its charge is used up, or was as it ended; where nothing was said, nothing if it failed, and else all.
    pub fn used(&self) -> i64 {
        self.tokens_used.unwrap_or(if self.status == Status::Failed { 0 } else { self.tokens })
    }

    /// What of its charge has gone back.
    pub fn unused(&self) -> i64 {
        self.tokens.saturating_sub(self.used())
    }

    /// What the generated column is to be: the rules' last sign of life.
    pub fn sign_of_life(&self) -> Option<i64> {
        let signs = self.draft().signs_of_life(self.status.active()?).ok()?;
        i64::try_from(signs.last.as_millis()).ok()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let status: String = row.get(4)?;
        let status = status.parse().map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok(Creation {
            id: row.get(0)?,
            user_id: row.get(1)?,
            kind: row.get(2)?,
            prompt: row.get(3)?,
            status,
            attempt: row.get(5)?,
            tokens: row.get(6)?,
            created_at: row.get(7)?,
            queued_at: row.get(8)?,
            started_at: row.get(9)?,
            heartbeat_at: row.get(10)?,
            finished_at: row.get(11)?,
            error: row.get(12)?,
            error_code: row.get(13)?,
            worker: row.get(14)?,
            fence: row.get(15)?,
            progress: row.get(16)?,
            result_url: row.get(17)?,
            late_result_url: row.get(18)?,
            late_at: row.get(19)?,
            restored_at: row.get(20)?,
            deleted_at: row.get(21)?,
            event: row.get(22)?,
            notify: row.get(23)?,
            stuck_status: row.get(24)?,
            age_ms: row.get(25)?,
            max_age_ms: row.get(26)?,
            rule: row.get(27)?,
            sweep_id: row.get(28)?,
            last_sign_of_life: row.get(29)?,
            balance_elsewhere: row.get(30)?,
            extended_until: row.get(31)?,
            charge: row.get(32)?,
            tokens_used: row.get(33)?,
        })
    }
}

fn time(value: &Value) -> Time {
    match value {
        Value::Null => Time::Missing,
        Value::Integer(millis) => Time::from_millis(*millis),
        _ => Time::Malformed,
    }
}

/// A row of `ledger`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub user_id: String,
    pub kind: String,
    pub creation_id: Option<String>,
    pub sweep_id: Option<String>,
    pub tokens: i64,
    pub created_at: i64,
}

/// A row of `attempts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub outcome: String,
    pub worker: Option<String>,
    pub fence: Option<String>,
    pub started_at: Value,
    pub heartbeat_at: Value,
    pub finished_at: Value,
    pub error: Option<String>,
    pub error_code: Option<String>,
    pub stuck_status: Option<String>,
    pub age_ms: Option<i64>,
    pub max_age_ms: Option<i64>,
    pub rule: Option<String>,
    pub sweep_id: Option<String>,
    pub tokens_used: Option<i64>,
}

/// A row of `extensions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    pub since: i64,
    pub actor: String,
    pub reason: String,
    pub ended_at: Option<i64>,
    pub ended_by: Option<String>,
}

/// A row of `audit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    pub action: String,
    /// `creation:<id>`, where it is about one.
    pub subject: Option<String>,
}

/// A row of `sweeps`.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRow {
    pub source: String,
    pub actor: Option<String>,
    pub plan_id: Option<String>,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub examined: u32,
    pub failed: u32,
    pub retried: u32,
    pub raced: u32,
    pub rejected: u32,
    pub unreadable: u32,
    pub refunded_tokens: u64,
    pub more: bool,
    pub error: Option<String>,
}

/// A row of `events`.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub state: String,
    pub due_at: i64,
    pub destinations: u32,
    pub deliveries: u32,
    pub created_at: i64,
    pub creation_id: String,
    pub body: String,
    pub last_error: Option<String>,
}

/// Reads everything; `shard` is which of several databases it is.
pub fn read(connection: &Connection, attached: bool, shard: Option<usize>) -> rusqlite::Result<Image> {
    let mut image = Image::default();
    if attached {
        image.app = attached::read(connection)?;
    }
    if let Some(shard) = shard {
        (image.shard, image.moves) = (shard, sharded::read(connection)?);
    }
    each(connection, sql::CREATIONS, |row| {
        let creation = Creation::read(row)?;
        image.creations.insert(creation.id.clone(), creation);
        Ok(())
    })?;
    each(connection, sql::LEDGER, |row| {
        let entry = Entry {
            key: row.get(0)?,
            user_id: row.get(1)?,
            kind: row.get(2)?,
            creation_id: row.get(3)?,
            sweep_id: row.get(4)?,
            tokens: row.get(5)?,
            created_at: row.get(6)?,
        };
        image.ledger.insert(entry.key.clone(), entry);
        Ok(())
    })?;
    each(connection, sql::BALANCES, |row| {
        image.balances.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    each(connection, sql::REJECTED, |row| {
        image.rejected.insert(row.get(0)?, row.get(1)?);
        Ok(())
    })?;
    each(connection, sql::ATTEMPTS, |row| {
        let attempt = Attempt {
            outcome: row.get(2)?,
            worker: row.get(3)?,
            fence: row.get(4)?,
            started_at: row.get(5)?,
            heartbeat_at: row.get(6)?,
            finished_at: row.get(7)?,
            error: row.get(8)?,
            error_code: row.get(9)?,
            stuck_status: row.get(10)?,
            age_ms: row.get(11)?,
            max_age_ms: row.get(12)?,
            rule: row.get(13)?,
            sweep_id: row.get(14)?,
            tokens_used: row.get(15)?,
        };
        image.attempts.insert((row.get(0)?, row.get(1)?), attempt);
        Ok(())
    })?;
    each(connection, sql::SWEEPS, |row| {
        let sweep = SweepRow {
            source: row.get(1)?,
            actor: row.get(2)?,
            plan_id: row.get(3)?,
            started_at: row.get(4)?,
            finished_at: row.get(5)?,
            examined: row.get(6)?,
            failed: row.get(7)?,
            retried: row.get(8)?,
            raced: row.get(9)?,
            rejected: row.get(10)?,
            unreadable: row.get(11)?,
            refunded_tokens: row.get::<_, i64>(12)?.unsigned_abs(),
            more: row.get(13)?,
            error: row.get(14)?,
        };
        image.sweeps.insert(row.get(0)?, sweep);
        Ok(())
    })?;
    each(connection, sql::EXTENSIONS, |row| {
        let extension = Extension {
            since: row.get(3)?,
            actor: row.get(4)?,
            reason: row.get(5)?,
            ended_at: row.get(6)?,
            ended_by: row.get(7)?,
        };
        image.extensions.insert((row.get(0)?, row.get(1)?, row.get(2)?), extension);
        Ok(())
    })?;
    each(connection, sql::AUDIT, |row| {
        image.audit.insert(row.get(0)?, Audit { action: row.get(1)?, subject: row.get(2)? });
        Ok(())
    })?;
    each(connection, sql::EVENTS, |row| {
        image.events.push(Event {
            id: row.get(0)?,
            state: row.get(1)?,
            due_at: row.get(2)?,
            destinations: row.get(3)?,
            deliveries: row.get(4)?,
            created_at: row.get(5)?,
            creation_id: row.get(6)?,
            body: row.get(7)?,
            last_error: row.get(8)?,
        });
        Ok(())
    })?;
    Ok(image)
}

pub fn each(
    connection: &Connection,
    sql: &str,
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}
