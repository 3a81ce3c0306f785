//! A user's ledger, without an index of it by user: the entries of a creation are found by their keys, and the others by an index of
//! their own, which a creation never writes.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::rows::cell;
use super::typed::typed;
use super::{DatabaseError, LedgerRow, Param, Row, Statement};
use crate::rules::{CANCELLED, End, Movement, Used};

/// A text, cut to so many characters: the creation has the whole.
macro_rules! cut {
    ($text:expr, $length:literal) => {
        concat!(
            "iif(length(",
            $text,
            ") > ",
            $length,
            ", substr(",
            $text,
            ", 1, ",
            $length,
            " - 1) || '…', ",
            $text,
            ")"
        )
    };
}

/// What is told of an entry.
macro_rules! told {
    () => {
        "json_object('entry_key', entry_key, 'type', type, 'tokens', tokens, 'created_at', created_at, 'sweep_id', sweep_id)"
    };
}

/// The entry with this key, if there is one.
macro_rules! entry {
    ($key:expr) => {
        concat!("(SELECT ", told!(), " FROM stale_drafts_ledger WHERE entry_key = ", $key, ")")
    };
}

/// How a charge ended, for what failed: see [`Ended`].
macro_rules! ended {
    ($charge:literal) => {
        concat!(
            "json_array(",
            $charge,
            ", ",
            cut!("error", "1000"),
            ", error_code, tokens_used, stuck_status, age_ms, attempt)"
        )
    };
}

/// One page: so many of the user's creations and of the entries that are of none, the newest first, each with its entries. Times that an
/// app has written may be any integer, so they come as text: D1 binds numbers as doubles.
///
/// Entries of the first charge are found by their keys, and those of retries by an index that others never write. The nth failure that
/// somebody retried is how the nth charge ended; the creation says it of the last one. A creation would have to be retried some 2,000 times
/// before its row is longer than the database takes.
///
/// What was carried over has the user in its key, by which it is found. A user's id may be the beginning of another's.
#[rustfmt::skip]
const LEDGER_PAGE: &str = concat!(
    "WITH mine AS MATERIALIZED (
       SELECT listed_at AS at, 1 AS of_creation, id AS key, kind, prompt, deleted_at IS NOT NULL AS deleted, restored_at IS NOT NULL AS restored,
         status, charge, error, error_code, tokens_used, stuck_status, age_ms, attempt
       FROM stale_drafts_creations INDEXED BY stale_drafts_creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (CAST(?2 AS INTEGER), ?3)
       ORDER BY listed_at DESC, id DESC LIMIT ?6),
     grants AS MATERIALIZED (
       SELECT created_at AS at, entry_key AS key FROM stale_drafts_ledger INDEXED BY stale_drafts_ledger_grants
       WHERE type = 'grant' AND user_id = ?1 AND (created_at, entry_key) < (CAST(?4 AS INTEGER), ?5)
       ORDER BY created_at DESC, entry_key DESC LIMIT ?6),
     carried AS MATERIALIZED (
       SELECT created_at AS at, entry_key AS key FROM stale_drafts_ledger
       WHERE entry_key > 'carry:' || ?1 || ':' AND entry_key < 'carry:' || ?1 || ';' AND user_id = ?1
         AND (created_at, entry_key) < (CAST(?4 AS INTEGER), ?5)
       ORDER BY created_at DESC, entry_key DESC LIMIT ?6),
     places AS MATERIALIZED (
       SELECT * FROM mine
       UNION ALL SELECT at, 0, key, NULL, NULL, 0, 0, NULL, 1, NULL, NULL, NULL, NULL, NULL, 1 FROM grants
       UNION ALL SELECT at, 0, key, NULL, NULL, 0, 0, NULL, 1, NULL, NULL, NULL, NULL, NULL, 1 FROM carried
       ORDER BY at DESC, of_creation DESC, key DESC LIMIT ?6),
     told AS (
       SELECT at, of_creation, key, kind, deleted, ", cut!("prompt", "200"), " AS prompt, restored,
         NOT restored AND ifnull(status IN ('draft', 'published'), 0) AS done,
         ifnull(iif(restored, (SELECT ", ended!("charge"), " FROM stale_drafts_attempts WHERE creation_id = key AND outcome = 'restored'), NULL),
           ", ended!("charge"), ") AS ended,
         iif(charge > 1, (SELECT json_group_array(", ended!("number"), ") FROM (
           SELECT *, row_number() OVER (ORDER BY attempt) AS number FROM stale_drafts_attempts
           WHERE creation_id = key AND outcome = 'failed' ORDER BY attempt DESC LIMIT 100)), '[]') AS ended_before,
         ", entry!("iif(of_creation, 'restore:' || key, NULL)"), " AS restore,
         ", entry!("iif(of_creation, 'refund:' || key, NULL)"), " AS refund,
         ", entry!("iif(of_creation, 'charge:' || key, key)"), " AS first,
         iif(charge > 1, (SELECT json_group_array(", told!(), ") FROM stale_drafts_ledger INDEXED BY stale_drafts_ledger_retries
           WHERE creation_id = key AND entry_key <> type || ':' || creation_id), '[]') AS by_retries
       FROM places)
     SELECT json_object('at', at, 'creation_id', iif(of_creation, key, NULL), 'key', key, 'kind', kind, 'prompt', prompt, 'deleted', deleted,
       'done', done, 'restored', restored, 'ended', json(ended), 'ended_before', json(ended_before),
       'first', json_array(json(restore), json(refund), json(first)), 'by_retries', json(by_retries)) AS place
     FROM told ORDER BY at DESC, of_creation DESC, key DESC"
);

/// What of a user's is archived: the entries of creations that are not here. What of that is in the sums of months is told one by one.
const ARCHIVED: &str = "SELECT creations, tokens - carried AS tokens, carried, first_created_at, last_created_at FROM (
       SELECT *, (SELECT ifnull(sum(tokens), 0) FROM stale_drafts_ledger
         WHERE entry_key > 'carry:' || ?1 || ':' AND entry_key < 'carry:' || ?1 || ';' AND user_id = ?1) AS carried
       FROM stale_drafts_archived_users WHERE user_id = ?1)";

/// A place in a user's ledger: after this. At the same instant, creations are before the entries that are of none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerPlace {
    /// When its creation was made, or it was.
    pub at: i64,
    /// Whether it is a creation.
    pub of_creation: bool,
    /// The creation's id, or the entry's key.
    pub key: String,
}

impl LedgerPlace {
    /// The ledger's beginning.
    pub const fn first() -> Self {
        LedgerPlace { at: i64::MAX, of_creation: true, key: String::new() }
    }
}

/// `limit` of a user's creations, and of the entries that are of none, after `after`, the newest first: see [`LedgerPart`].
pub fn ledger_page(user_id: &str, after: &LedgerPlace, limit: u32) -> Statement {
    let LedgerPlace { at, of_creation, key } = after;
    let text = |at: i64| Param::Text(at.to_string());
    // Nothing is before the empty text: after an entry of none, all creations of its instant have been.
    let (creations, others) = if *of_creation {
        ((text(*at), key.as_str()), (text(at.saturating_add(1)), ""))
    } else {
        ((text(*at), ""), (text(*at), key.as_str()))
    };
    Statement::new(
        LEDGER_PAGE,
        [user_id.into(), creations.0, creations.1.into(), others.0, others.1.into(), limit.into()],
    )
}

/// What the archive has of a user's money: a row for [`archived_money_of`], or none.
pub fn archived_money(user_id: &str) -> Statement {
    Statement::new(ARCHIVED, [user_id.into()])
}

/// A creation of a user with its entries in the ledger, the newest first; or an entry that is of none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LedgerPart {
    at: i64,
    key: String,
    /// The creation; `None` for an entry that is of none.
    pub creation_id: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// What its owner asked for, cut to 200 characters: untrusted text.
    pub prompt: Option<String>,
    deleted: u8,
    done: u8,
    restored: u8,
    ended: Ended,
    ended_before: Vec<Ended>,
    first: [Option<LedgerRow>; 3],
    by_retries: Vec<LedgerRow>,
}

/// How a charge of a creation ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// Which charge, from 1.
    charge: u32,
    /// Why it failed, cut to 1,000 characters.
    error: Option<String>,
    /// The same as a code.
    pub error_code: Option<String>,
    /// What of it was used, where something was said.
    tokens_used: Option<u64>,
    /// Of a time-out, the status that it was stuck in.
    pub stuck_status: Option<String>,
    /// Of a time-out, how long, in milliseconds.
    pub stuck_ms: Option<u64>,
    /// Its last attempt, from 1.
    pub attempt: u32,
}

impl LedgerPart {
    /// Where the next page begins, if this is the last one of a page.
    pub fn place(&self) -> LedgerPlace {
        LedgerPlace { at: self.at, of_creation: self.creation_id.is_some(), key: self.key.clone() }
    }

    /// Whether its owner has deleted the creation.
    pub const fn is_deleted(&self) -> bool {
        self.deleted != 0
    }

    /// Its entries, the newest first; none of what was free.
    pub fn entries(&self) -> Vec<&LedgerRow> {
        let mut entries: Vec<_> = self.by_retries.iter().chain(self.first.iter().flatten()).collect();
        let of_charge =
            |kind: &str| ["restore", "refund"].iter().position(|first| *first == kind).unwrap_or(2);
        entries.sort_by_key(|entry| {
            (Reverse(Movement::charge_of(&entry.kind, &entry.entry_key)), of_charge(&entry.kind))
        });
        entries
    }

    /// How the charge of an entry ended, as far as it failed.
    pub fn ended(&self, entry: &LedgerRow) -> Option<&Ended> {
        let charge = Movement::charge_of(&entry.kind, &entry.entry_key);
        let mut ended = self.ended_before.iter().chain([&self.ended].into_iter().filter(|_| self.done == 0));
        ended.find(|ended| ended.charge == charge)
    }

    /// What an entry of it says to its owner.
    pub fn movement<'a>(&'a self, entry: &'a LedgerRow) -> Movement<'a> {
        let charge = Movement::charge_of(&entry.kind, &entry.entry_key);
        let is_charge = entry.kind == "charge";
        let used = |ended: &Ended| match ended.tokens_used {
            None | Some(0) => Used::Nothing,
            Some(used) if is_charge && used >= entry.tokens.unsigned_abs() => Used::All,
            Some(_) => Used::Part,
        };
        let failed = |ended: &'a Ended| End::Failed {
            error: ended.error.as_deref(),
            cancelled: ended.error_code.as_deref() == Some(CANCELLED),
            used: used(ended),
        };
        let is_of_last = charge == self.ended.charge;
        // What its owner has after all was not charged for nothing.
        let end = match is_of_last && (self.done != 0 || is_charge && self.restored != 0) {
            true => Some(End::Done),
            false => self.ended(entry).map(failed),
        };
        Movement::of(&entry.kind, &entry.entry_key, end)
    }
}

/// The rows of [`ledger_page`].
///
/// # Errors
///
/// [`DatabaseError`] if they are not of the shape that was asked for.
pub fn ledger_parts(rows: &[Row]) -> Result<Vec<LedgerPart>, DatabaseError> {
    rows.chunks(1).map(|row| cell(row, "place")).collect()
}

/// What the archive has of a user's money.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ArchivedMoney {
    /// How many creations, with those that the user has deleted.
    pub creations: u64,
    /// The sum of their entries, but of those that are in the sum of a month: below zero if the user paid.
    pub tokens: i64,
    /// The sum of those that are.
    #[serde(skip_serializing)]
    pub carried: i64,
    /// When the oldest was made, in epoch milliseconds; `None` if no time can be read.
    pub first_created_at: Option<i64>,
    /// The newest.
    pub last_created_at: Option<i64>,
}

/// Reads the rows of [`archived_money`]; `None` if nothing is archived.
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn archived_money_of(rows: Vec<Row>) -> Result<Option<ArchivedMoney>, DatabaseError> {
    rows.into_iter().next().map(typed).transpose()
}
