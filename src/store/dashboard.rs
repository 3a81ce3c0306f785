//! What a dashboard and metrics show. None of it reads more rows than the bounds here say, whatever the table's size.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Deserialize;

use super::sweep::{candidate, cutoff, cutoffs, pairs, sweep_columns};
use super::typed::{json_text, only, sum, sum_of, typed_rows};
use super::{Alert, CandidateRow, DatabaseError, ExtensionRow, Filter, Param, Row, SetAsideRow, Statement};
use crate::rules::{Policy, Timestamp};

/// At most so many active creations are counted.
pub const COUNTED: u32 = 5_000;
/// So many of the newest creations are looked at for the rates.
pub const NEWEST: u32 = 1_000;
/// At most so many rows of the roll-ups are read, the newest ones.
const ROLLED: u32 = 50_000;
/// At most so many of their totals, sweeps, alerts and the audit are shown.
const TOTALS: u32 = 5_000;
const LISTED: u32 = 15;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// A longer time is shown by days: for each kind, status and rule its hours would be thousands of rows.
const BY_HOUR_UP_TO_MS: u64 = 168 * HOUR_MS;

/// By spans of ?3 ms. Numbers are bound as doubles, which would be divided with a fraction.
const ROLLUPS: &str = concat!(
    "SELECT hour / CAST(?3 AS INTEGER) * CAST(?3 AS INTEGER) AS hour, outcome, kind, stuck_status, rule,
       sum(creations) AS creations, ",
    sum_of!("tokens"),
    " AS tokens,
       json_array(sum(lag_0), sum(lag_1), sum(lag_2), sum(lag_3), sum(lag_4), sum(lag_5)) AS lags, ",
    sum_of!("lag_ms"),
    " AS lag_ms
     FROM (SELECT * FROM stale_drafts_rollups WHERE hour >= ?1 AND hour <= ?2 ORDER BY hour DESC LIMIT ?4)
     GROUP BY 1, outcome, kind, stuck_status, rule ORDER BY 1"
);

const TOTAL_ROLLUPS: &str = "SELECT hour, outcome, kind, stuck_status, rule, creations, tokens,
       json_array(lag_0, lag_1, lag_2, lag_3, lag_4, lag_5) AS lags, lag_ms
     FROM stale_drafts_rollups WHERE hour = 0 LIMIT ?1";

/// Active creations by phase, kind and quarter of their limit: the band is 4 beyond it, and `NULL` without a limit.
const ACTIVE: &str = concat!(
    "WITH RECURSIVE ", pairs!(), ",
     limits AS MATERIALIZED (SELECT phase, kind, ", cutoff!("phase", "kind"), " AS cutoff FROM pairs)
     SELECT phase, kind, CASE WHEN cutoff >= 0 THEN CAST(?2 - cutoff AS INTEGER) END AS max_age_ms,
       CASE WHEN cutoff >= 0 THEN CAST(min(4, max(0, ?2 - last_sign_of_life - 1) * 4 / (?2 - cutoff)) AS INTEGER) END AS band, count(*) AS creations
     FROM (SELECT l.phase, l.kind, l.cutoff, c.last_sign_of_life FROM limits AS l CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
       ON c.phase = l.phase AND c.kind = l.kind WHERE c.last_sign_of_life IS NOT NULL LIMIT ?3)
     GROUP BY phase, kind, band ORDER BY phase, kind, band"
);

/// Of each phase and kind the active creation that has shown no sign of life for longest; the longest silent first, as many as are shown.
const OLDEST: &str = concat!(
    "WITH RECURSIVE ", pairs!(), "
     SELECT json_group_array(", candidate!(), ") AS candidates FROM (
       SELECT c.* FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
       ON c.id = (SELECT id FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = pairs.phase AND kind = pairs.kind AND last_sign_of_life IS NOT NULL ORDER BY last_sign_of_life LIMIT 1)
       ORDER BY c.last_sign_of_life LIMIT ?1)"
);

const RATES: &str = "SELECT count(*) AS newest, coalesce(sum(status = 'draft' OR status = 'published'), 0) AS completed,
       coalesce(sum(status = 'failed'), 0) AS failed, coalesce(sum(sweep_id IS NOT NULL), 0) AS timed_out,
       coalesce(sum(attempt > charge), 0) AS retried, coalesce(sum(sweep_id IS NOT NULL OR attempt > charge), 0) AS stale, coalesce(sum(status = 'pending' OR status = 'processing'), 0) AS active
     FROM (SELECT status, attempt, charge, sweep_id FROM stale_drafts_creations ORDER BY rowid DESC LIMIT ?1)";

const SWEEPS: &str =
    concat!("SELECT ", sweep_columns!(), "\n     FROM stale_drafts_sweeps ORDER BY id DESC LIMIT ?1");

/// The newest alerts: of each code as many as are shown, which the key finds, and then the newest of these. `codes` hops over the key
/// from one code to the next.
const ALERTS: &str = "WITH RECURSIVE codes (code) AS MATERIALIZED (
       SELECT * FROM (SELECT code FROM stale_drafts_alerts ORDER BY code LIMIT 1)
       UNION ALL
       SELECT (SELECT code FROM stale_drafts_alerts WHERE code > codes.code ORDER BY code LIMIT 1) AS next FROM codes WHERE next IS NOT NULL)
     SELECT a.code AS code, since, resolved_at, severity, cause, evidence, remedy FROM codes CROSS JOIN stale_drafts_alerts AS a
     ON a.code = codes.code AND a.since >= (SELECT min(since) FROM (
       SELECT since FROM stale_drafts_alerts WHERE code = codes.code ORDER BY since DESC LIMIT ?1))
     ORDER BY since DESC LIMIT ?1";

/// What sweeps have set aside, as it stands in the table: to find what is tried again first, all of it would be read.
const SET_ASIDE: &str =
    "SELECT creation_id, until, reason FROM stale_drafts_rejected ORDER BY creation_id LIMIT ?1";

/// A page of the audit looks at so many rows at most.
const AUDIT_LOOKED_AT: u32 = 2_000;

/// What stands before the id ?1. A plan of many retries stands there once, and not once for each.
const AUDIT: &str = "SELECT id, at, actor, action, detail, subject FROM (
       SELECT * FROM stale_drafts_audit WHERE id < ?1 ORDER BY id DESC LIMIT ?3)
     WHERE action <> 'retry_in_bulk' ORDER BY id DESC LIMIT ?2";

/// The last row that is looked at, if there are so many.
const AUDIT_HORIZON: &str =
    "SELECT id FROM stale_drafts_audit WHERE id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2 - 1";

fn audit(before: Option<&str>, limit: u32) -> Statement {
    // Greater than every id: they begin with a hexadecimal digit.
    Statement::new(AUDIT, [before.unwrap_or("~").into(), limit.into(), AUDIT_LOOKED_AT.into()])
}

/// What operators did before the row with the id `before`, `limit` rows at most, the newest first; from the newest if it is `None`. The
/// results are for [`audited_of`].
pub fn audited(before: Option<&str>, limit: u32) -> [Statement; 2] {
    let horizon = Statement::new(AUDIT_HORIZON, [before.unwrap_or("~").into(), AUDIT_LOOKED_AT.into()]);
    [audit(before, limit), horizon]
}

/// The rows, and the id before which the next ones stand; `None` where there are no more.
///
/// # Errors
///
/// [`DatabaseError`] if the results are not of the shape that was asked for.
pub fn audited_of(
    results: Vec<Vec<Row>>,
    limit: u32,
) -> Result<(Vec<Audited>, Option<String>), DatabaseError> {
    let [rows, horizon]: [Vec<Row>; 2] =
        results.try_into().map_err(|_| DatabaseError::new("expected two results"))?;
    let rows: Vec<Audited> = typed_rows(rows)?;
    let last = rows.last().filter(|_| rows.len() >= limit as usize).map(|row| row.id.clone());
    let horizon = horizon.first().and_then(|row| row.get("id")?.as_str()).map(str::to_owned);
    Ok((rows, last.or(horizon)))
}

/// What a dashboard shows beside what the monitor says, from `since` on: see [`Dashboard::read`].
pub fn dashboard(policy: &Policy, now: Timestamp, since: Timestamp) -> [Statement; 10] {
    let cutoffs = Param::Text(cutoffs(policy, Filter::default(), now));
    let millis = |millis: u64| Param::Integer(i64::try_from(millis).unwrap_or(i64::MAX));
    let span = if now.millis_since(since) > BY_HOUR_UP_TO_MS { DAY_MS } else { HOUR_MS };
    // Hour 0 is the total.
    let first = millis(since.as_millis().max(1));
    [
        Statement::new(ROLLUPS, [first, now.into(), millis(span), ROLLED.into()]),
        Statement::new(TOTAL_ROLLUPS, [TOTALS.into()]),
        Statement::new(ACTIVE, [cutoffs, now.into(), COUNTED.into()]),
        Statement::new(OLDEST, [LISTED.into()]),
        Statement::new(RATES, [NEWEST.into()]),
        Statement::new(SWEEPS, [LISTED.into()]),
        Statement::new(ALERTS, [LISTED.into()]),
        audit(None, LISTED),
        Statement::new(SET_ASIDE, [LISTED.into()]),
        super::extensions(),
    ]
}

/// What has been read for a dashboard.
#[derive(Clone, Debug, Default)]
pub struct Dashboard {
    /// What sweeps did, by the hour, or by the day if it is more than a week.
    pub hours: Vec<Rolled>,
    /// What they did over all.
    pub totals: Vec<Rolled>,
    /// Active creations against their limits.
    pub active: Vec<ActiveBand>,
    /// Of each phase and kind the one that is silent for longest, the longest first: as many as are shown.
    pub oldest: Vec<CandidateRow>,
    /// How the newest creations ended.
    pub rates: Rates,
    /// The newest sweeps, as [`super::sweeps`] gives them, with their cost.
    pub sweeps: Vec<Row>,
    /// The newest alerts, those that are resolved among them.
    pub alerts: Vec<Alert>,
    /// What operators did.
    pub audit: Vec<Audited>,
    /// Some of what sweeps have set aside, since the database rejected what they wrote.
    pub set_aside: Vec<SetAsideRow>,
    /// What kinds were given more time, the latest end first.
    pub extensions: Vec<ExtensionRow>,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Audited {
    /// Its id, a UUIDv7.
    pub id: String,
    /// When, in epoch milliseconds.
    pub at: u64,
    /// Who: a token's name.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what, or in which words.
    pub detail: String,
    /// `creation:<id>` or `sweep:<id>`, if it is about one.
    #[serde(deserialize_with = "super::rows::nullable")]
    pub subject: Option<String>,
}

/// A row of `rollups`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Rolled {
    /// When the hour or day begins, in epoch milliseconds; 0 for all of them.
    pub hour: u64,
    /// `failed` or `retried`.
    pub outcome: String,
    /// The creations' kind.
    pub kind: String,
    /// The status that they were stuck in.
    pub stuck_status: String,
    /// The entry of the policy that the limit came from.
    pub rule: String,
    /// How many they were.
    pub creations: u64,
    /// What went back.
    #[serde(deserialize_with = "sum")]
    pub tokens: u64,
    /// By the band of the time from the deadline to the failure: see `rules::LAGS`.
    #[serde(deserialize_with = "json_text")]
    pub lags: [u64; 6],
    /// The sum of these times, in milliseconds.
    #[serde(deserialize_with = "sum")]
    pub lag_ms: u64,
}

/// Active creations of a phase and kind in a quarter of their limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ActiveBand {
    /// `pending`, `processing` or `heartbeating`.
    pub phase: String,
    /// Their kind.
    pub kind: String,
    /// Their limit, in milliseconds; `None` for `never`.
    pub max_age_ms: Option<u64>,
    /// The quarter of the limit, 0 to 3, or 4 beyond it; `None` without a limit.
    pub band: Option<u64>,
    /// How many they are.
    pub creations: u64,
}

/// How the newest creations ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Rates {
    /// So many were looked at.
    pub newest: u64,
    /// Those that were generated.
    pub completed: u64,
    /// Those that failed,
    pub failed: u64,
    /// of them by a sweep.
    pub timed_out: u64,
    /// Those that were given another attempt.
    pub retried: u64,
    /// Those that have been stale: they timed out, or were given another attempt.
    pub stale: u64,
    /// Those that are still being generated.
    pub active: u64,
}

impl Dashboard {
    /// Reads the results of [`dashboard`].
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not what was asked for.
    pub fn read(results: Vec<Vec<Row>>) -> Result<Self, DatabaseError> {
        let wrong = |_| DatabaseError::new("expected ten results");
        let [hours, totals, active, oldest, rates, sweeps, alerts, audit, set_aside, extensions]: [Vec<Row>;
            10] = results.try_into().map_err(wrong)?;
        Ok(Dashboard {
            hours: typed_rows(hours)?,
            totals: typed_rows(totals)?,
            active: typed_rows(active)?,
            oldest: super::candidates(&oldest, "candidates")?,
            rates: only(rates)?,
            sweeps,
            alerts: typed_rows(alerts)?,
            audit: typed_rows(audit)?,
            set_aside: typed_rows(set_aside)?,
            extensions: typed_rows(extensions)?,
        })
    }

    /// Says which of several databases its sweeps are of.
    pub fn name(&mut self, shard: &str) {
        for sweep in &mut self.sweeps {
            sweep.insert(String::from("shard"), shard.into());
        }
    }

    /// What two databases say together. What is listed is cut to as many as one of them lists.
    #[must_use]
    pub fn and(mut self, other: Dashboard) -> Dashboard {
        self.hours = Rolled::sums(self.hours, other.hours);
        self.totals = Rolled::sums(self.totals, other.totals);
        for band in other.active {
            let same = |one: &&mut ActiveBand| {
                (&one.phase, &one.kind, one.band) == (&band.phase, &band.kind, band.band)
            };
            match self.active.iter_mut().find(same) {
                Some(sum) => sum.creations = sum.creations.saturating_add(band.creations),
                None => self.active.push(band),
            }
        }
        self.active.sort_by(|one, other| {
            (&one.phase, &one.kind, one.band).cmp(&(&other.phase, &other.kind, other.band))
        });
        self.rates = self.rates.and(other.rates);
        merge(&mut self.oldest, other.oldest, last_sign_of_life);
        merge(&mut self.sweeps, other.sweeps, |row| {
            Reverse(row.get("id").and_then(serde_json::Value::as_str).map(str::to_owned))
        });
        merge(&mut self.alerts, other.alerts, |alert| Reverse(alert.since));
        merge_audit(&mut self.audit, other.audit);
        self.audit.truncate(LISTED as usize);
        merge(&mut self.set_aside, other.set_aside, |row| row.creation_id.clone());
        // Each of them has those that reach all.
        self.extensions.extend(other.extensions);
        self.extensions.sort_by(|one, other| (other.until, &one.kind).cmp(&(one.until, &other.kind)));
        self.extensions.dedup_by(|one, other| (&one.kind, one.until) == (&other.kind, other.until));
        self
    }
}

/// By which the longest silent comes first.
fn last_sign_of_life(row: &CandidateRow) -> Option<Timestamp> {
    let draft = row.draft();
    let signs = draft.signs_of_life(draft.status?.active()?).ok()?;
    Some(signs.last)
}

/// Adds the rows of another database, in order, and no more of them than are shown.
fn merge<T, K: Ord>(rows: &mut Vec<T>, others: Vec<T>, key: impl Fn(&T) -> K) {
    for row in others {
        let place = rows.partition_point(|before| key(before) <= key(&row));
        rows.insert(place, row);
    }
    rows.truncate(LISTED as usize);
}

/// Adds what another database has of the audit, the newest first. What an operator did to all of them stands in each, and here once.
pub fn merge_audit(rows: &mut Vec<Audited>, others: Vec<Audited>) {
    for row in others {
        let place = rows.partition_point(|before| before.id > row.id);
        if rows.get(place).is_none_or(|there| there.id != row.id) {
            rows.insert(place, row);
        }
    }
}

impl Rolled {
    fn sums(rows: Vec<Rolled>, others: Vec<Rolled>) -> Vec<Rolled> {
        let mut sums: BTreeMap<_, Rolled> = BTreeMap::new();
        for row in rows.into_iter().chain(others) {
            let Rolled { hour, outcome, kind, stuck_status, rule, .. } = row.clone();
            match sums.entry((hour, outcome, kind, stuck_status, rule)) {
                Entry::Vacant(place) => drop(place.insert(row)),
                Entry::Occupied(mut sum) => {
                    let sum = sum.get_mut();
                    sum.creations = sum.creations.saturating_add(row.creations);
                    sum.tokens = sum.tokens.saturating_add(row.tokens);
                    sum.lag_ms = sum.lag_ms.saturating_add(row.lag_ms);
                    sum.lags.iter_mut().zip(row.lags).for_each(|(sum, more)| *sum = sum.saturating_add(more));
                }
            }
        }
        sums.into_values().collect()
    }
}

impl Rates {
    const fn and(self, other: Rates) -> Rates {
        Rates {
            newest: self.newest.saturating_add(other.newest),
            completed: self.completed.saturating_add(other.completed),
            failed: self.failed.saturating_add(other.failed),
            timed_out: self.timed_out.saturating_add(other.timed_out),
            retried: self.retried.saturating_add(other.retried),
            stale: self.stale.saturating_add(other.stale),
            active: self.active.saturating_add(other.active),
        }
    }
}
