//! All SQL: the statements, their parameters, and the rows that they answer with.
//!
//! Building a statement is pure; a shell runs it. What the statements rely on (indexes, triggers, constraints)
//! is in `migrations/`.

mod alerts;
mod archive;
mod ask;
mod buckets;
mod compaction;
mod creations;
#[cfg(feature = "worker")]
mod d1;
mod dashboard;
mod durations;
mod explorer;
mod extensions;
mod grants;
mod holds;
mod ledger;
mod monitor;
mod moves;
mod notes;
mod of_user;
mod open_moves;
mod operators;
mod outbox;
mod outline;
mod retry;
mod retry_many;
mod rows;
mod shards;
mod sweep;
mod typed;

use serde::Serialize;

use crate::rules::{Timestamp, lacks_schema};

pub use alerts::{Alert, record_alerts};
pub use archive::{
    ArchivePlace, ArchiveTurn, ArchivedOfUser, Behind, Scanned, archive_turn, archived, archived_of,
    archived_of_user, behind, behind_of, documents, documents_of, end_archive_turn, has_archives, place_of,
    remove, removed, scan, scanned, take_archive_turn,
};
pub use ask::{Done, told, told_of};
pub use buckets::{Recorded, gave_away, has_moved, record, removes_again, some_users, some_users_of};
pub use compaction::{
    Carried, EntriesScanned, EntryDocument, carried, carries, compact, compaction_under_way, end_compaction,
    entries_of, entries_scanned, entry_documents, scan_entries,
};
pub use creations::{
    ActiveRow, CreationRow, Details, NewCreation, active_instead, active_of_user, balance, balances, create,
    create_within, creation, creation_of, page, page_of_all, report, started_again,
};
#[cfg(feature = "worker")]
pub use d1::D1;
pub use dashboard::{
    ActiveBand, Audited, Dashboard, Rates, Rolled, audited, audited_of, dashboard, merge_audit,
};
pub use durations::{DURATION_BANDS_MS, Duration, durations, durations_of};
pub use explorer::{Found, LOOKED_AT, NEWEST, Reversed, Sought, seek, silent, silent_of};
pub use extensions::{
    Extension, ExtensionRow, GivenRow, KindExtended, end_extension, extend, extend_kind, extensions,
    extensions_of, kind_extended,
};
pub use grants::{Grant, GrantRow, grant, granted};
pub use holds::{HeldUsers, held_of, held_users};
pub use ledger::{
    ArchivedMoney, Ended, LedgerPart, LedgerPlace, archived_money, archived_money_of, ledger_page,
    ledger_parts,
};
pub use monitor::{
    Observed, audit, causes, checked, close_breaker, hold, observe, observed, release, settle_moves,
    take_turn, trim, turn,
};
pub use moves::{
    Buckets, LargestCreation, MoveRow, Obstacles, PageSize, Place, REMOVED_IN, Rows, Stage, TakenId,
    UserRows, advance, begin_move, copy_again, enter_users, largest_creation, largest_creation_of,
    move_by_id, move_of, moves_of, next_entries, next_users, not_entered, obstacles, obstacles_of,
    page_of_move, put, release_users, remove_creations, remove_entries, rows_of, same_page, taken_id,
    taken_id_of, turn_move, user_of_move, users_of, verified, without_rows,
};
pub use notes::{Act, Acting, Subject, acts, note};
pub use of_user::OfUser;
pub use open_moves::{open_moves, open_moves_of};
pub use operators::{active_up_to, by_id, count, explain, owner, sweeps};
pub use outbox::{Destination, Event, Settlement, claim, claimed, destination_names, events, replay, settle};
pub use outline::{Facet, Facets, FailedHour, Outline, OwnerOf, outline};
pub use retry::{PAUSES_MS, Retry};
pub use retry_many::{
    FailedPlace, Looked, RetryAudit, RetryCreation, RetryRow, RetryState, failed, retry_many, retry_rows,
    retry_state,
};
pub use rows::{
    AttemptRow, CandidateRow, LedgerRow, PageRow, PlanRow, SetAsideRow, SweepRow, candidates, done_ids,
    page_rows, suspended,
};
pub use shards::{Fullness, fullness, identity, identity_of};
pub use sweep::{
    Count, Filter, SetAside, SweepStart, SweepTotals, TOGETHER, Window, done_before, end_sweep, mark_failed,
    overdue, readiness, retry, set_aside, stale, stale_of_user, suspension,
};
pub use typed::{nearest, typed_rows};

/// The schema that the statements are written for: the newest of `migrations/`.
pub const SCHEMA_VERSION: i64 = 10;

/// One SQL statement with its parameters, `?1` first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The text.
    pub sql: &'static str,
    /// The values of its parameters.
    pub params: Vec<Param>,
}

impl Statement {
    fn new(sql: &'static str, params: impl Into<Vec<Param>>) -> Self {
        Statement { sql, params: params.into() }
    }

    /// Whether it changes nothing.
    pub fn only_reads(&self) -> bool {
        // Every other one begins with what it does.
        ["SELECT", "WITH"].iter().any(|word| self.sql.trim_start().starts_with(word))
            && !["INSERT ", "UPDATE ", "DELETE "].iter().any(|word| self.sql.contains(word))
    }
}

/// A value for a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// `NULL`
    Null,
    /// Text.
    Text(String),
    /// A whole number; within ±2^53, since D1 binds it as a double.
    Integer(i64),
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Param::Text(text.to_owned())
    }
}

impl From<Option<&str>> for Param {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Param::Null, Param::from)
    }
}

impl From<u32> for Param {
    fn from(number: u32) -> Self {
        Param::Integer(i64::from(number))
    }
}

impl From<Timestamp> for Param {
    fn from(timestamp: Timestamp) -> Self {
        Param::Integer(i64::try_from(timestamp.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A row of a result: its columns by name.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// What runs statements.
pub trait Database {
    /// Runs the statements in one transaction and answers with each one's rows: all take effect, or none does.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if one of them failed. Where the connection was lost the outcome is unknown: every
    /// write here repeats what it was decided on, so running it again is harmless.
    fn run(&self, batch: &[Statement]) -> impl Future<Output = Result<Vec<Vec<Row>>, DatabaseError>>;

    /// What has been run so far has cost.
    fn cost(&self) -> Cost;
}

/// What D1 bills, as it reports it itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Statements.
    pub queries: u64,
    /// Rows read.
    pub rows_read: u64,
    /// Rows written, index entries included.
    pub rows_written: u64,
}

/// The most tokens of a creation, a grant or a balance: the largest number that JSON, D1 and JavaScript agree on.
pub const MAX_TOKENS: u64 = 9_007_199_254_740_991;

/// A transaction that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseError {
    message: String,
    shard: Option<String>,
}

impl DatabaseError {
    /// An error with the database's own words.
    pub fn new(message: impl Into<String>) -> Self {
        DatabaseError { message: message.into(), shard: None }
    }

    /// An error with what the runtime says, cut to its cause. The local one wraps that in the answer of another process, which has its stack
    /// trace, in colours.
    pub fn of_runtime(message: &str) -> Self {
        let Some((_, cause)) = message.split_once("Failed to parse body as JSON, got: ") else {
            return Self::new(message);
        };
        let lines = cause.trim().lines().map(str::trim);
        let lines = lines.take_while(|line| !line.starts_with("at ") && !line.starts_with("\u{1b}"));
        let text = lines.collect::<Vec<_>>().join(" ");
        Self::new(text.chars().filter(|character| !character.is_control()).collect::<String>())
    }

    /// The same, of one of several databases.
    #[must_use]
    pub fn of(self, shard: &str) -> Self {
        DatabaseError { shard: Some(shard.to_owned()), ..self }
    }

    /// Of several databases, the one that failed, by its binding.
    pub fn shard(&self) -> Option<&str> {
        self.shard.as_deref()
    }

    /// Whether the database lacks what the statement names: its schema is not there, or an old one.
    pub fn is_of_schema(&self) -> bool {
        lacks_schema(&self.message)
    }

    /// Whether a constraint or a trigger rejected a row: the others may go through without it.
    pub fn is_constraint(&self) -> bool {
        self.message.contains("SQLITE_CONSTRAINT")
    }

    /// Whether a value is longer than the database takes: fewer rows may go through.
    pub fn is_too_big(&self) -> bool {
        self.message.contains("SQLITE_TOOBIG") || self.message.contains("too big")
    }

    /// Whether it may go through if it is tried again, by the words of
    /// <https://developers.cloudflare.com/d1/observability/debug-d1/>: the connection was lost, or the database began anew.
    pub fn is_transient(&self) -> bool {
        let words = [
            "Network connection lost",
            "caused object to be reset",
            "reset because its code was updated",
            "transient issue on remote node",
        ];
        words.iter().any(|words| self.message.contains(words))
    }

    /// Whether the user's bucket is being moved to another database, or has been: the same request goes through later, or there.
    pub fn is_moving(&self) -> bool {
        // Of the triggers of the schema, and of no other that says that it is removing something.
        self.message.starts_with("moving: ") || self.message.contains(" moving: ")
    }

    /// Whether it is one of several databases, and nobody has written down yet which users it has: the same request goes through later.
    pub fn is_unrecorded(&self) -> bool {
        self.message.contains("unrecorded: ")
    }

    /// Whether a balance would be larger than any may be.
    pub fn is_balance_too_large(&self) -> bool {
        self.message.contains("balance_too_large")
    }

    /// Whether the trigger that charges rejected, because the balance is too low.
    pub fn is_insufficient(&self) -> bool {
        self.message.contains("insufficient tokens")
    }
}

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DatabaseError {}

/// A place in the drafts list: after the creation with these two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// See [`PageRow::listed_at`].
    pub listed_at: i64,
    /// The creation's id.
    pub id: String,
}

impl Page {
    /// The list's beginning.
    pub fn first() -> Self {
        Page { listed_at: i64::MAX >> 10, id: String::new() }
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // Writing tuples of text and integers to a string can't fail.
    serde_json::to_string(value).unwrap_or_default()
}
