//! What operators find creations by. No index serves every question, and one for each would be written with every creation; so a question
//! looks at a bounded number of the newest rows, says how far back that is, and is continued from there.

use super::creations::{listed, refunded};
use super::sweep::{candidate, pairs};
use super::typed::{only, typed_rows};
use super::{DatabaseError, PageRow, Param, Row, Statement, page_rows};
use crate::rules::Timestamp;

use serde::Deserialize;

/// The rows that one question looks at, at most.
pub const LOOKED_AT: u32 = 5_000;

/// Before the first creation.
pub const NEWEST: i64 = 1 << 53;

/// The conditions of a [`Sought`], ?3 to ?11. Text would be later than any time, so what is none is not compared.
macro_rules! sought {
    () => {
        "(?3 IS NULL OR c.user_id = ?3) AND (?4 IS NULL OR c.status = ?4) AND (?5 IS NULL OR c.kind = ?5)
         AND (?6 IS NULL OR c.error_code = ?6) AND (?7 IS NULL OR c.rule = ?7)
         AND (?8 IS NULL OR c.listed_at >= ?8) AND (?9 IS NULL OR c.listed_at < ?9)
         AND (coalesce(?10, ?11) IS NULL OR c.status = 'failed' AND typeof(c.finished_at) = 'integer')
         AND (?10 IS NULL OR c.finished_at >= ?10) AND (?11 IS NULL OR c.finished_at < ?11)"
    };
}

/// The window that begins before the row ?1: where creations were removed, it begins at the next one that is there.
macro_rules! window {
    () => {
        "c.rowid < ?1 AND c.rowid > (SELECT max(rowid) FROM stale_drafts_creations WHERE rowid < ?1) - ?2"
    };
}

pub(super) use {sought, window};

/// Of the window before the row ?1, ?2 rows wide, those that are sought, the newest first, ?12 at most. A row comes in with the greatest
/// `rowid`, so that is the order in which they were made.
#[rustfmt::skip]
const FOUND: &str = concat!(
    "SELECT ", listed!(), " AS page, place FROM (
       SELECT c.*, c.rowid AS place, ", refunded!(), " FROM stale_drafts_creations AS c NOT INDEXED
       WHERE ", window!(), " AND ", sought!(), " ORDER BY c.rowid DESC LIMIT ?12) AS listed"
);

/// Where that window ends, and when its oldest row was made; no row if there is none. By `max(rowid)` in its place, with whatever is asked
/// of it, SQLite would read all rows.
pub(super) const WINDOW: &str = "SELECT CAST(first - ?2 + 1 AS INTEGER) AS place,
       (SELECT listed_at FROM stale_drafts_creations WHERE rowid > first - ?2 ORDER BY rowid LIMIT 1) AS listed_at,
       NOT EXISTS (SELECT 1 FROM stale_drafts_creations WHERE rowid <= first - ?2) AS last
     FROM (SELECT rowid AS first FROM stale_drafts_creations WHERE rowid < ?1 ORDER BY rowid DESC LIMIT 1)";

/// Active creations in the order of their last sign of life, after the place [?1, ?2], of the status ?3 and the kind ?4 if they are given.
/// The index finds the first ?5 of each phase and kind in use.
#[rustfmt::skip]
const SILENT: &str = concat!(
    "WITH RECURSIVE ", pairs!(), "
     SELECT ", listed!(), " AS page, last_sign_of_life, place FROM (
       SELECT c.*, c.rowid AS place, ", refunded!(), "
       FROM pairs CROSS JOIN json_each((SELECT json_group_array(rowid) FROM (
         SELECT rowid FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = pairs.phase AND kind = pairs.kind AND last_sign_of_life IS NOT NULL AND (last_sign_of_life, rowid) > (?1, ?2)
         ORDER BY last_sign_of_life, rowid LIMIT ?5))) AS first
       CROSS JOIN stale_drafts_creations AS c ON c.rowid = first.value
       WHERE (?3 IS NULL OR c.status = ?3) AND (?4 IS NULL OR c.kind = ?4)
       ORDER BY c.last_sign_of_life, c.rowid LIMIT ?5) AS listed"
);

/// What is sought: whatever is given holds for each that is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sought<'a> {
    /// Whose they are.
    pub user_id: Option<&'a str>,
    /// Their stored status.
    pub status: Option<&'a str>,
    /// Their kind.
    pub kind: Option<&'a str>,
    /// Why they failed.
    pub error_code: Option<&'a str>,
    /// The entry of the policy by which a sweep failed them.
    pub rule: Option<&'a str>,
    /// Made at this instant or later.
    pub since: Option<Timestamp>,
    /// Made before this instant.
    pub until: Option<Timestamp>,
    /// Failed at this instant or later, and not retried since.
    pub failed_since: Option<Timestamp>,
    /// The same, before this instant.
    pub failed_until: Option<Timestamp>,
}

/// A window that ends before anything can be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reversed {
    /// What it begins by.
    pub first: &'static str,
    /// What it ends by.
    pub last: &'static str,
    /// When it begins.
    pub begin: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

impl Sought<'_> {
    /// The same, unless one of its windows ends before anything can be in it: to find nothing would look like an answer.
    ///
    /// # Errors
    ///
    /// [`Reversed`], with both instants.
    pub fn in_order(self) -> Result<Self, Reversed> {
        let Sought { since, until, failed_since, failed_until, .. } = self;
        for (first, last, begin, end) in
            [("since", "until", since, until), ("failed_since", "failed_until", failed_since, failed_until)]
        {
            if let (Some(begin), Some(end)) = (begin, end)
                && end <= begin
            {
                return Err(Reversed { first, last, begin, end });
            }
        }
        Ok(self)
    }

    /// Whether nothing but a status is sought. Whoever acts on all that match has to say more, or in so many words that all are meant: a
    /// filter that was lost must not become everything.
    pub fn has_no_filter(&self) -> bool {
        Sought { status: None, ..*self } == Sought::default()
    }

    pub(super) fn params(&self, before: i64, limit: u32) -> Vec<Param> {
        let Sought { user_id, status, kind, error_code, rule, .. } = *self;
        let Sought { since, until, failed_since, failed_until, .. } = *self;
        let time = |time: Option<Timestamp>| time.map_or(Param::Null, Param::from);
        let mut params = vec![Param::Integer(before), LOOKED_AT.into()];
        params.extend([user_id, status, kind, error_code, rule].map(Param::from));
        params.extend([since, until, failed_since, failed_until].map(time));
        params.push(limit.into());
        params
    }
}

/// What is sought among the newest creations before a place: at most `limit` of them, for [`Found::read`].
pub fn seek(sought: &Sought<'_>, before: i64, limit: u32) -> [Statement; 2] {
    [
        Statement::new(FOUND, sought.params(before, limit)),
        Statement::new(WINDOW, [Param::Integer(before), LOOKED_AT.into()]),
    ]
}

/// What one database has found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The creations, the newest first, each with its place.
    pub rows: Vec<(i64, PageRow)>,
    /// Where the next question goes on, once these are taken; `None` at the end.
    pub next: Option<i64>,
    /// When the oldest row was made that was looked at.
    pub back_to: Option<i64>,
}

#[derive(Deserialize)]
struct Placed {
    place: i64,
}

/// A row of [`WINDOW`].
#[derive(Deserialize)]
pub(super) struct Window {
    place: i64,
    listed_at: i64,
    last: u8,
}

impl Window {
    /// Where the next question goes on, and how far back this one has looked. A page that is full may have ended within the window: with
    /// `last`, the place of its last row and when that was made.
    pub(super) fn end(self, last: Option<(i64, i64)>) -> (Option<i64>, i64) {
        match last {
            Some((place, listed_at)) => (Some(place), listed_at),
            None => (Some(self.place).filter(|_| self.last == 0), self.listed_at),
        }
    }
}

impl Found {
    /// From the results of [`seek`] with this `limit`.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(results: Vec<Vec<Row>>, limit: u32) -> Result<Self, DatabaseError> {
        let [rows, window]: [Vec<Row>; 2] =
            results.try_into().map_err(|_| DatabaseError::new("expected two results"))?;
        if window.is_empty() {
            return Ok(Found::default());
        }
        let window: Window = only(window)?;
        let rows = placed(rows)?;
        let full = rows.last().filter(|_| rows.len() >= limit as usize);
        let (next, back_to) = window.end(full.map(|(place, row)| (*place, row.listed_at)));
        Ok(Found { rows, next, back_to: Some(back_to) })
    }
}

/// Active creations after a place, the longest silent first, of this status and kind if they are given: rows for [`silent_of`].
pub fn silent(after: (i64, i64), status: Option<&str>, kind: Option<&str>, limit: u32) -> Statement {
    let (last_sign_of_life, place) = after;
    let after = [Param::Integer(last_sign_of_life), Param::Integer(place)];
    let [first, second] = after;
    Statement::new(SILENT, [first, second, status.into(), kind.into(), limit.into()])
}

/// A creation after its last sign of life and its place.
type SilentRow = ((i64, i64), PageRow);

/// The rows of [`silent`]: each with its last sign of life and its place.
///
/// # Errors
///
/// [`DatabaseError`] if they are not of the shape that was asked for.
pub fn silent_of(rows: Vec<Row>) -> Result<Vec<SilentRow>, DatabaseError> {
    #[derive(Deserialize)]
    struct Silent {
        last_sign_of_life: i64,
    }
    let signs: Vec<Silent> = typed_rows(rows.clone())?;
    let placed = placed(rows)?;
    let silent = signs.into_iter().zip(placed);
    Ok(silent.map(|(sign, (place, row))| ((sign.last_sign_of_life, place), row)).collect())
}

fn placed(rows: Vec<Row>) -> Result<Vec<(i64, PageRow)>, DatabaseError> {
    let pages = page_rows(&rows)?;
    let places: Vec<Placed> = typed_rows(rows)?;
    Ok(places.into_iter().map(|placed| placed.place).zip(pages).collect())
}
