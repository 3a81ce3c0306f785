//! The table of an app that is attached, and the app's own code, which knows nothing of us: it has no guard, no fence and no sweep.
//!
//! docs/attach.md says what it may rely on. One run in four has such a table.

mod check;
mod generate;
mod image;
mod reference;
mod write;

pub use check::check;
pub use generate::saved;
pub use image::{App, read};
pub use write::Theirs;

/// The app's tables, with its own record of what it has given and taken: `payments`.
pub const SCHEMA: &str = "
CREATE TABLE users (id INTEGER PRIMARY KEY, credits INTEGER NOT NULL);
CREATE TABLE payments (uid INTEGER NOT NULL, credits INTEGER NOT NULL);
CREATE TABLE generations (gid INTEGER PRIMARY KEY, uid INTEGER, type TEXT, prompt TEXT, state TEXT, credits_used INTEGER,
  created_at TEXT DEFAULT CURRENT_TIMESTAMP, started_at TEXT, updated_at TEXT, finished_at TEXT, result_url TEXT, error_message TEXT);
";
/// What `stale-drafts attach` writes for it.
pub const ATTACH: &str = include_str!("../../../../tests/attach/generations.sql");
/// What must be true of it at every moment.
pub const INVARIANTS: &str = include_str!("../../../../tests/attach/invariants.sql");

/// Creations and users from this number on are the app's: row 3 is the creation 1003, and its user 2 is our 1002.
pub const THEIRS: usize = 1_000;
/// What the id of each creation of a row begins with.
const PREFIX: &str = "generations:";

/// Whether the runs of `seed` have it.
pub fn is_attached(seed: u64) -> bool {
    seed % 4 == 3
}

/// The row that a creation is of.
pub fn gid(creation: &str) -> Option<i64> {
    let rest = creation.strip_prefix(PREFIX)?;
    rest.split('~').next()?.parse().ok()
}
