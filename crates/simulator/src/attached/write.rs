//! What the app's own code writes: plain SQL by the key of a row, as it stands in many apps.

use std::fmt;

use chrono::DateTime;
use rusqlite::types::Value;
use stale_drafts::store::{Param, Statement};

use super::image::{COLUMNS, Row};

/// One transaction of the app.
#[derive(Clone, Debug, PartialEq)]
pub struct Theirs {
    /// What it does to a row.
    pub what: What,
    /// What it gives to a user in the same transaction, or takes.
    pub pays: Option<Pays>,
}

/// See [`Theirs::pays`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pays {
    /// To whom.
    pub user: i64,
    /// How many; negative if it is a charge.
    pub credits: i64,
    /// Only if its write has changed a row.
    pub if_changed: bool,
}

/// See [`Theirs::what`].
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A user comes, with credits.
    Join(Pays),
    /// A new row.
    Insert(Insert),
    /// A worker begins.
    Start(i64),
    /// A sign of life.
    Beat(i64, When),
    /// A worker has a result.
    Succeed(i64),
    /// It has none.
    Fail(i64),
    /// The app tries it again.
    Requeue(i64),
    /// A status word, which the mapping may not know.
    Word(i64, Option<&'static str>),
    /// A column that has nothing to do with us.
    Title(i64),
    /// Another owner.
    Own(i64, Option<i64>),
    /// Another price.
    Price(i64, i64),
    /// Another key.
    Move(i64, i64),
    /// A whole row, as it was read a while ago but for its status, as an ORM writes it.
    Save(i64, Box<Row>),
    /// It is deleted.
    Delete(i64),
}

/// See [`What::Insert`].
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// Its key; `None` lets SQLite choose.
    pub gid: Option<i64>,
    /// How it is inserted.
    pub verb: Verb,
    /// Its owner.
    pub user: Option<i64>,
    /// Its kind.
    pub kind: &'static str,
    /// Its status.
    pub state: &'static str,
    /// Its price.
    pub credits: Option<i64>,
    /// `created_at`
    pub created: When,
}

/// How a row is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `INSERT`
    Plain,
    /// `INSERT OR IGNORE`
    Ignore,
    /// `INSERT OR REPLACE`
    Replace,
    /// `INSERT … ON CONFLICT DO UPDATE` of status and time.
    Upsert,
}

/// A time that the app writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So many milliseconds ago.
    Ago(i64),
    /// `NULL`
    Never,
    /// Text that can't be read as a time.
    Garbage,
}

impl When {
    fn value(self, now: i64) -> Value {
        match self {
            When::Ago(millis) => time(now.saturating_sub(millis)),
            When::Never => Value::Null,
            When::Garbage => text("soon"),
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A time as `datetime()` gives it: without a fraction.
pub fn time(millis: i64) -> Value {
    let at = DateTime::from_timestamp_millis(millis).unwrap_or_default();
    Value::Text(at.format("%Y-%m-%d %H:%M:%S").to_string())
}

const JOIN_PAYS: &str =
    "INSERT INTO payments (uid, credits) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM users WHERE id = ?1)";
const JOIN: &str = "INSERT OR IGNORE INTO users (id, credits) VALUES (?1, ?2)";
const RECORD: &str =
    "INSERT INTO payments (uid, credits) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM users WHERE id = ?1)";
const RECORD_IF_CHANGED: &str = "INSERT INTO payments (uid, credits) SELECT ?1, ?2 WHERE changes() > 0 AND EXISTS (SELECT 1 FROM users WHERE id = ?1)";
const PAY: &str = "UPDATE users SET credits = credits + ?2 WHERE id = ?1 AND changes() > 0";
const DELETE: &str = "DELETE FROM generations WHERE gid = ?1";

impl Theirs {
    /// A write that pays nothing.
    pub fn free(what: What) -> Self {
        Theirs { what, pays: None }
    }

    /// Its statements at the instant `now`. `number` is unique, for the address of a result.
    pub fn statements(&self, now: i64, number: u64) -> Vec<Statement> {
        let paid = |pays: &Pays| vec![Param::Integer(pays.user), Param::Integer(pays.credits)];
        let gid = |gid: &i64| Param::Integer(*gid);
        let mut list = match &self.what {
            What::Join(pays) => vec![
                Statement { sql: JOIN_PAYS, params: paid(pays) },
                Statement { sql: JOIN, params: paid(pays) },
            ],
            What::Delete(key) => vec![Statement { sql: DELETE, params: vec![gid(key)] }],
            What::Insert(insert) => {
                let values = insert.values(now, number).into_iter().map(|(_, value)| param(value));
                let key = insert.gid.map_or(Param::Null, Param::Integer);
                vec![Statement { sql: insert.verb.sql(), params: [key].into_iter().chain(values).collect() }]
            }
            What::Move(key, to) => {
                vec![Statement { sql: self.what.sql(), params: vec![gid(key), Param::Integer(*to)] }]
            }
            what => {
                let values = what.set(now, number).into_iter().map(|(_, value)| param(value));
                let key = what.gid().map_or(Param::Null, Param::Integer);
                vec![Statement { sql: what.sql(), params: [key].into_iter().chain(values).collect() }]
            }
        };
        if let Some(pays) = &self.pays {
            let record = if pays.if_changed { RECORD_IF_CHANGED } else { RECORD };
            list.push(Statement { sql: record, params: paid(pays) });
            // Only if that was recorded: the user may not be there.
            list.push(Statement { sql: PAY, params: paid(pays) });
        }
        list
    }
}

fn param(value: Value) -> Param {
    match value {
        Value::Integer(integer) => Param::Integer(integer),
        Value::Text(text) => Param::Text(text),
        _ => Param::Null,
    }
}

impl What {
    /// The row that it is about.
    pub fn gid(&self) -> Option<i64> {
        match self {
            What::Join(_) => None,
            What::Insert(insert) => insert.gid,
            What::Start(gid)
            | What::Beat(gid, _)
            | What::Succeed(gid)
            | What::Fail(gid)
            | What::Requeue(gid)
            | What::Word(gid, _)
            | What::Title(gid)
            | What::Own(gid, _)
            | What::Price(gid, _)
            | What::Move(gid, _)
            | What::Save(gid, _)
            | What::Delete(gid) => Some(*gid),
        }
    }

    /// The columns that an update sets, in the order of its parameters from the second one on.
    pub fn set(&self, now: i64, number: u64) -> Vec<(&'static str, Value)> {
        match self {
            What::Start(_) => {
                vec![("state", text("running")), ("started_at", time(now)), ("updated_at", time(now))]
            }
            What::Beat(_, when) => vec![("updated_at", when.value(now))],
            What::Succeed(_) => vec![
                ("state", text("succeeded")),
                ("result_url", Value::Text(format!("https://cdn.example/{number}"))),
                ("finished_at", time(now)),
                ("updated_at", time(now)),
            ],
            What::Fail(_) => vec![
                ("state", text("error")),
                ("error_message", text("out of memory")),
                ("finished_at", time(now)),
            ],
            What::Requeue(_) => vec![("state", text("queued")), ("started_at", Value::Null)],
            What::Word(_, word) => vec![("state", word.map_or(Value::Null, text))],
            What::Title(_) => vec![("prompt", Value::Text(format!("a fox, {number}")))],
            What::Own(_, user) => vec![("uid", user.map_or(Value::Null, Value::Integer))],
            What::Price(_, credits) => vec![("credits_used", Value::Integer(*credits))],
            What::Save(_, row) => COLUMNS.iter().map(|column| (*column, row.get(column).clone())).collect(),
            What::Join(_) | What::Insert(_) | What::Move(..) | What::Delete(_) => Vec::new(),
        }
    }

    fn sql(&self) -> &'static str {
        match self {
            What::Start(_) => "UPDATE generations SET state = ?2, started_at = ?3, updated_at = ?4 WHERE gid = ?1",
            What::Beat(..) => "UPDATE generations SET updated_at = ?2 WHERE gid = ?1",
            What::Succeed(_) => {
                "UPDATE generations SET state = ?2, result_url = ?3, finished_at = ?4, updated_at = ?5 WHERE gid = ?1"
            }
            What::Fail(_) => {
                "UPDATE generations SET state = ?2, error_message = ?3, finished_at = ?4 WHERE gid = ?1"
            }
            What::Requeue(_) => "UPDATE generations SET state = ?2, started_at = ?3 WHERE gid = ?1",
            What::Title(_) => "UPDATE generations SET prompt = ?2 WHERE gid = ?1",
            What::Own(..) => "UPDATE generations SET uid = ?2 WHERE gid = ?1",
            What::Price(..) => "UPDATE generations SET credits_used = ?2 WHERE gid = ?1",
            What::Save(..) => {
                "UPDATE generations SET uid = ?2, type = ?3, prompt = ?4, state = ?5, credits_used = ?6, created_at = ?7,
                   started_at = ?8, updated_at = ?9, finished_at = ?10, result_url = ?11, error_message = ?12 WHERE gid = ?1"
            }
            What::Move(..) => "UPDATE generations SET gid = ?2 WHERE gid = ?1",
            _ => "UPDATE generations SET state = ?2 WHERE gid = ?1",
        }
    }
}

impl Insert {
    /// The columns that it sets, in the order of its parameters from the second one on.
    pub fn values(&self, now: i64, number: u64) -> Vec<(&'static str, Value)> {
        let whole = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
        let result = Value::Text(format!("https://cdn.example/{number}"));
        vec![
            ("uid", whole(self.user)),
            ("type", text(self.kind)),
            ("prompt", text("a fox")),
            ("state", text(self.state)),
            ("credits_used", whole(self.credits)),
            ("created_at", self.created.value(now)),
            ("result_url", if self.state == "succeeded" { result } else { Value::Null }),
        ]
    }
}

impl Verb {
    fn sql(self) -> &'static str {
        match self {
            Verb::Plain => {
                "INSERT INTO generations (gid, uid, type, prompt, state, credits_used, created_at, result_url)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            }
            Verb::Ignore => {
                "INSERT OR IGNORE INTO generations (gid, uid, type, prompt, state, credits_used, created_at, result_url)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            }
            Verb::Replace => {
                "INSERT OR REPLACE INTO generations (gid, uid, type, prompt, state, credits_used, created_at, result_url)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            }
            Verb::Upsert => {
                "INSERT INTO generations (gid, uid, type, prompt, state, credits_used, created_at, result_url)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (gid) DO UPDATE SET state = excluded.state, updated_at = excluded.created_at"
            }
        }
    }
}

impl fmt::Display for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)?;
        match &self.pays {
            None => Ok(()),
            Some(Pays { user, credits, if_changed }) => {
                let only = if *if_changed { ", if that changed it" } else { "" };
                write!(f, ", and user {user} gets {credits:+} credits{only}")
            }
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the app ")?;
        match self {
            What::Join(Pays { user, credits, .. }) => {
                write!(f, "has a user {user}, with {credits} credits if it is a new one")
            }
            What::Insert(insert) => {
                let Insert { gid, verb, user, kind, state, credits, created } = insert;
                let gid = gid.map_or(String::from("a new row"), |gid| format!("row {gid}"));
                let number =
                    |number: &Option<i64>| number.map_or(String::from("NULL"), |number| number.to_string());
                write!(
                    f,
                    "inserts {gid} ({verb:?}): {kind}, {state}, of user {}, {} credits, created {created:?}",
                    number(user),
                    number(credits)
                )
            }
            What::Start(gid) => write!(f, "starts row {gid}"),
            What::Beat(gid, when) => write!(f, "shows a sign of life of row {gid}: {when:?}"),
            What::Succeed(gid) => write!(f, "has a result of row {gid}"),
            What::Fail(gid) => write!(f, "fails row {gid}"),
            What::Requeue(gid) => write!(f, "queues row {gid} again"),
            What::Word(gid, word) => write!(f, "makes the status of row {gid} {}", word.unwrap_or("NULL")),
            What::Title(gid) => write!(f, "changes the prompt of row {gid}"),
            What::Own(gid, user) => write!(f, "gives row {gid} to user {user:?}"),
            What::Price(gid, credits) => write!(f, "makes row {gid} cost {credits} credits"),
            What::Move(gid, to) => write!(f, "makes row {gid} row {to}"),
            What::Save(gid, row) => write!(f, "saves the whole row {gid}, {}", row.state()),
            What::Delete(gid) => write!(f, "deletes row {gid}"),
        }
    }
}
