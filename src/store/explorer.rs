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

/// The conditions of a [`Sought`], ?3 to ?9.
macro_rules! sought {
    () => {
        "(?3 IS NULL OR c.user_id = ?3) AND (?4 IS NULL OR c.status = ?4) AND (?5 IS NULL OR c.kind = ?5)
         AND (?6 IS NULL OR c.error_code = ?6) AND (?7 IS NULL OR c.rule = ?7)
         AND (?8 IS NULL OR c.listed_at >= ?8) AND (?9 IS NULL OR c.listed_at < ?9)"
    };
}

/// The window that begins before the row ?1: where creations were removed, it begins at the next one that is there.
macro_rules! window {
    () => {
        "c.rowid < ?1 AND c.rowid > (SELECT max(rowid) FROM stale_drafts_creations WHERE rowid < ?1) - ?2"
    };
}

pub(super) use {sought, window};

/// Of the window before the row ?1, ?2 rows wide, those that are sought, the newest first, ?10 at most. A row comes in with the greatest
/// `rowid`, so that is the order in which they were made.
#[rustfmt::skip]
const FOUND: &str = concat!(
    "SELECT ", listed!(), " AS page, place FROM (
       SELECT c.*, c.rowid AS place, ", refunded!(), " FROM stale_drafts_creations AS c NOT INDEXED
       WHERE ", window!(), " AND ", sought!(), " ORDER BY c.rowid DESC LIMIT ?10)"
);

/// Where that window ends, and when its oldest row was made; no row if there is none.
pub(super) const WINDOW: &str = "SELECT CAST(first - ?2 + 1 AS INTEGER) AS place,
       (SELECT listed_at FROM stale_drafts_creations WHERE rowid > first - ?2 ORDER BY rowid LIMIT 1) AS listed_at,
       NOT EXISTS (SELECT 1 FROM stale_drafts_creations WHERE rowid <= first - ?2) AS last
     FROM (SELECT max(rowid) AS first FROM stale_drafts_creations WHERE rowid < ?1) WHERE first IS NOT NULL";

/// How many of the window are alike, the most frequent first; with each, how many such lines there are and what all of them sum up to.
#[rustfmt::skip]
const FACETS: &str = concat!(
    "SELECT status, kind, error_code, rule, count(*) AS creations, sum(tokens) AS tokens,
       count(*) OVER () AS lines, sum(count(*)) OVER () AS all_creations, sum(sum(tokens)) OVER () AS all_tokens
     FROM stale_drafts_creations AS c NOT INDEXED
     WHERE ", window!(), " AND ", sought!(), "
     GROUP BY status, kind, error_code, rule ORDER BY creations DESC, status, kind, error_code, rule LIMIT ?10"
);

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
       ORDER BY c.last_sign_of_life, c.rowid LIMIT ?5)"
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
}

impl Sought<'_> {
    pub(super) fn params(&self, before: i64, limit: u32) -> Vec<Param> {
        let Sought { user_id, status, kind, error_code, rule, since, until } = *self;
        let time = |time: Option<Timestamp>| time.map_or(Param::Null, Param::from);
        let mut params = vec![Param::Integer(before), LOOKED_AT.into()];
        params.extend([user_id, status, kind, error_code, rule].map(Param::from));
        params.extend([time(since), time(until), limit.into()]);
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

/// How many of the newest creations are alike: rows for [`Facets::read`].
pub fn facets(sought: &Sought<'_>, limit: u32) -> Statement {
    Statement::new(FACETS, sought.params(NEWEST, limit))
}

/// Creations that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Facet {
    /// Their status.
    pub status: String,
    /// Their kind.
    pub kind: String,
    /// Why they failed.
    pub error_code: Option<String>,
    /// The entry of the policy by which a sweep failed them.
    pub rule: Option<String>,
    /// How many they are.
    pub creations: u64,
    /// What they were charged.
    pub tokens: u64,
}

impl Facet {
    /// Whether the other one is of the same.
    pub fn is_like(&self, other: &Facet) -> bool {
        let of = |facet: &Facet| {
            (facet.status.clone(), facet.kind.clone(), facet.error_code.clone(), facet.rule.clone())
        };
        of(self) == of(other)
    }

    /// Adds what another database has.
    pub fn add(&mut self, other: &Facet) {
        self.creations = self.creations.saturating_add(other.creations);
        self.tokens = self.tokens.saturating_add(other.tokens);
    }
}

/// How many of the newest creations are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// The most frequent first.
    pub largest: Vec<Facet>,
    /// How many there are with those that are left out.
    pub lines: u64,
    /// Whether there may be more: what one of several databases leaves out, another may have or not.
    pub more: bool,
    /// How many creations all of them are.
    pub creations: u64,
    /// What all of them were charged.
    pub tokens: u64,
}

/// A row of [`FACETS`] beside the facet itself.
#[derive(Deserialize)]
struct OfAll {
    lines: u64,
    all_creations: u64,
    all_tokens: u64,
}

impl Facets {
    /// Reads the rows of [`facets`].
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(rows: Vec<Row>) -> Result<Self, DatabaseError> {
        let all: Option<OfAll> = typed_rows(rows.iter().take(1).cloned().collect())?.pop();
        let (lines, creations, tokens) =
            all.map_or((0, 0, 0), |all| (all.lines, all.all_creations, all.all_tokens));
        Ok(Facets { largest: typed_rows(rows)?, lines, more: false, creations, tokens })
    }

    /// Adds what another database has.
    pub fn add(&mut self, other: Facets) {
        let cut = |facets: &Facets| facets.lines > facets.largest.len() as u64;
        let both = self.lines > 0 && other.lines > 0;
        self.more |= other.more || (both && (cut(self) || cut(&other)));
        self.creations = self.creations.saturating_add(other.creations);
        self.tokens = self.tokens.saturating_add(other.tokens);
        for facet in other.largest {
            match self.largest.iter_mut().find(|one| one.is_like(&facet)) {
                Some(sum) => sum.add(&facet),
                None => self.largest.push(facet),
            }
        }
        self.lines = self.lines.max(other.lines).max(self.largest.len() as u64);
    }

    /// Leaves out all but so many of the most frequent.
    pub fn keep(&mut self, largest: u32) {
        self.largest.sort_by_key(|facet| std::cmp::Reverse(facet.creations));
        self.largest.truncate(largest as usize);
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
