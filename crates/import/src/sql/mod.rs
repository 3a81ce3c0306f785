//! The SQL of docs/import.md, and a file of it for `wrangler d1 execute --file`.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::creation::{Creation, User};

/// The two tables that an import is filled into.
pub const TABLES: &str = include_str!("tables.sql");
/// What brings them in. It may run again, over the same tables or newer ones.
pub const IMPORT: &str = include_str!("import.sql");
/// What must give no row afterwards.
pub const CHECK: &str = include_str!("check.sql");
/// What removes the two tables.
pub const DROP: &str = include_str!("drop.sql");

/// Bytes of a statement. D1 allows 100,000.
const STATEMENT: usize = 90_000;

const CREATION: &str = "INSERT INTO stale_drafts_import_creations (id, user_id, kind, prompt, status, tokens, created_at, \
                        started_at, heartbeat_at, finished_at, error, error_code, result_url, refunded) VALUES";
const USER: &str = "INSERT INTO stale_drafts_import_users (user_id, tokens) VALUES";

/// Writes the file, a statement at a time.
pub struct Script<W> {
    out: W,
    /// The statement that rows are being added to: how it begins, and what it is so far.
    begin: &'static str,
    statement: String,
}

impl<W: Write> Script<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// Those of the writer, here and below.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(
            b"-- Made by `mark-stale-drafts import`, for `wrangler d1 execute NAME --file`: see docs/import.md.\n\
              DROP TABLE IF EXISTS stale_drafts_import_users;\n\
              DROP TABLE IF EXISTS stale_drafts_import_creations;\n",
        )?;
        out.write_all(TABLES.as_bytes())?;
        Ok(Script { out, begin: "", statement: String::new() })
    }

    /// Adds a balance.
    pub fn user(&mut self, user: &User) -> io::Result<()> {
        self.row(USER, &format!("({}, {})", literal(&user.user_id), user.tokens))
    }

    /// Adds a creation.
    pub fn creation(&mut self, creation: &Creation) -> io::Result<()> {
        let row = row(creation);
        if row.len() <= STATEMENT {
            return self.row(CREATION, &row);
        }
        // Its texts together are too long for one statement, and none of them alone is.
        let short = Creation { prompt: String::new(), error: None, ..creation.clone() };
        self.row(CREATION, &self::row(&short))?;
        self.flush()?;
        let id = literal(&creation.id);
        for (column, text) in [("prompt", Some(&creation.prompt)), ("error", creation.error.as_ref())] {
            if let Some(text) = text {
                let text = literal(text);
                writeln!(
                    self.out,
                    "UPDATE stale_drafts_import_creations SET {column} = {text} WHERE id = {id};"
                )?;
            }
        }
        Ok(())
    }

    fn row(&mut self, begin: &'static str, row: &str) -> io::Result<()> {
        if self.begin != begin || self.statement.len().saturating_add(row.len()) > STATEMENT {
            self.flush()?;
            self.begin = begin;
            self.statement.push_str(begin);
        } else {
            self.statement.push(',');
        }
        self.statement.push('\n');
        self.statement.push_str(row);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.statement.is_empty() {
            self.statement.push_str(";\n");
            self.out.write_all(self.statement.as_bytes())?;
            self.statement.clear();
        }
        self.begin = "";
        Ok(())
    }

    /// Ends the file: what has been written takes effect, and the two tables go.
    pub fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.out.write_all(IMPORT.as_bytes())?;
        self.out.write_all(DROP.as_bytes())?;
        self.out.flush()
    }
}

fn row(creation: &Creation) -> String {
    let Creation { tokens, refunded, status, .. } = creation;
    let [id, user_id, kind, prompt] =
        [&creation.id, &creation.user_id, &creation.kind, &creation.prompt].map(|text| literal(text));
    let [created_at, started_at, heartbeat_at, finished_at] =
        [creation.created_at, creation.started_at, creation.heartbeat_at, creation.finished_at].map(number);
    let [error, error_code, result_url] = [&creation.error, &creation.error_code, &creation.result_url]
        .map(|text| text.as_ref().map_or(String::from("NULL"), |text| literal(text)));
    let (status, refunded) = (status.as_str(), u8::from(*refunded));
    format!(
        "({id}, {user_id}, {kind}, {prompt}, '{status}', {tokens}, {created_at}, {started_at}, {heartbeat_at}, {finished_at}, \
         {error}, {error_code}, {result_url}, {refunded})"
    )
}

fn number(value: Option<i64>) -> String {
    value.map_or(String::from("NULL"), |value| value.to_string())
}

/// A text in SQL. wrangler removes two words from a file wherever they stand, so they are written in two parts.
pub fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len().saturating_add(2));
    // Writing to a string can't fail.
    let _ = write!(literal, "'{}'", text.replace('\'', "''"));
    if literal.contains("BEGIN TRANSACTION") {
        return literal.replace("BEGIN TRANSACTION", "BEGIN' || ' TRANSACTION");
    }
    literal
}
