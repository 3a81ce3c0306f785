//! What a dashboard and metrics show. None of it reads more rows than the bounds here say, whatever the table's size.

use serde_json::Value;

use super::sweep::{alert_codes, candidate, cutoff, cutoffs, pairs, sweep_columns};
use super::{CandidateRow, DatabaseError, Filter, Param, Row, Statement};
use crate::rules::{Policy, Timestamp};

/// At most so many active creations are counted.
pub const COUNTED: u32 = 5_000;
/// So many of the newest creations are looked at for the rates.
pub const NEWEST: u32 = 1_000;
/// At most so many rows of the roll-ups, sweeps, alerts and the audit are shown.
const ROLLED: u32 = 5_000;
const LISTED: u32 = 15;

const ROLLUPS: &str =
    "SELECT hour, outcome, kind, stuck_status, rule, creations, tokens, lag_0, lag_1, lag_2, lag_3, lag_4, lag_5
     FROM stale_drafts_rollups WHERE hour >= ?1 AND hour <= ?2 ORDER BY hour LIMIT ?3";

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

/// Of each phase and kind the active creation that has shown no sign of life for longest.
const OLDEST: &str = concat!(
    "WITH RECURSIVE ", pairs!(), "
     SELECT json_group_array(", candidate!(), ") AS candidates FROM (
       SELECT c.* FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
       ON c.id = (SELECT id FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = pairs.phase AND kind = pairs.kind AND last_sign_of_life IS NOT NULL ORDER BY last_sign_of_life LIMIT 1))"
);

const RATES: &str = "SELECT count(*) AS newest, coalesce(sum(status = 'draft' OR status = 'published'), 0) AS completed,
       coalesce(sum(status = 'failed'), 0) AS failed, coalesce(sum(error_code = 'generation_timeout'), 0) AS timed_out,
       coalesce(sum(attempt > 1), 0) AS retried, coalesce(sum(status = 'pending' OR status = 'processing'), 0) AS active
     FROM (SELECT status, attempt, error_code FROM stale_drafts_creations ORDER BY rowid DESC LIMIT ?1)";

const SWEEPS: &str =
    concat!("SELECT ", sweep_columns!(), "\n     FROM stale_drafts_sweeps ORDER BY id DESC LIMIT ?1");

/// The newest alerts: of each code as many as are shown, which the key finds, and then the newest of these.
const ALERTS: &str = concat!(
    "WITH RECURSIVE ",
    alert_codes!(),
    "
     SELECT a.code, since, resolved_at, severity, cause, evidence, remedy FROM codes CROSS JOIN stale_drafts_alerts AS a
     ON a.code = codes.code AND a.since >= (SELECT min(since) FROM (
       SELECT since FROM stale_drafts_alerts WHERE code = codes.code ORDER BY since DESC LIMIT ?1))
     ORDER BY since DESC LIMIT ?1"
);

const AUDIT: &str = "SELECT at, actor, action, detail FROM stale_drafts_audit ORDER BY id DESC LIMIT ?1";

/// What a dashboard shows beside what is watched, from `since` on: see [`Dashboard::read`].
pub fn dashboard(policy: &Policy, now: Timestamp, since: Timestamp) -> [Statement; 8] {
    let cutoffs = Param::Text(cutoffs(policy, Filter::default(), now));
    let first = since.as_millis().max(1);
    let all = [Param::Integer(0), Param::Integer(0), ROLLED.into()];
    [
        Statement::new(
            ROLLUPS,
            [Param::Integer(i64::try_from(first).unwrap_or(i64::MAX)), now.into(), ROLLED.into()],
        ),
        Statement::new(ROLLUPS, all),
        Statement::new(ACTIVE, [cutoffs, now.into(), COUNTED.into()]),
        Statement::new(OLDEST, []),
        Statement::new(RATES, [NEWEST.into()]),
        Statement::new(SWEEPS, [LISTED.into()]),
        Statement::new(ALERTS, [LISTED.into()]),
        Statement::new(AUDIT, [LISTED.into()]),
    ]
}

/// What has been read for a dashboard.
#[derive(Clone, Debug, Default)]
pub struct Dashboard {
    /// What sweeps did, by the hour.
    pub hours: Vec<Rolled>,
    /// What they did over all.
    pub totals: Vec<Rolled>,
    /// Active creations against their limits.
    pub active: Vec<ActiveBand>,
    /// Of each phase and kind the one that is silent for longest.
    pub oldest: Vec<CandidateRow>,
    /// How the newest creations ended.
    pub rates: Rates,
    /// The newest sweeps, as [`super::sweeps`] gives them, with their cost.
    pub sweeps: Vec<Row>,
    /// The newest alerts, those that are resolved among them.
    pub alerts: Vec<Row>,
    /// What operators did.
    pub audit: Vec<Row>,
}

/// A row of `rollups`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rolled {
    /// When the hour begins, in epoch milliseconds; 0 for all of them.
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
    pub tokens: u64,
    /// By the band of the time from the deadline to the mark: see `rules::LAGS`.
    pub lags: [u64; 6],
}

/// Active creations of a phase and kind in a quarter of their limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Those that are still being generated.
    pub active: u64,
}

fn number(row: &Row, column: &str) -> u64 {
    row.get(column).and_then(Value::as_u64).unwrap_or(0)
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn rolled(row: &Row) -> Rolled {
    Rolled {
        hour: number(row, "hour"),
        outcome: text(row, "outcome"),
        kind: text(row, "kind"),
        stuck_status: text(row, "stuck_status"),
        rule: text(row, "rule"),
        creations: number(row, "creations"),
        tokens: number(row, "tokens"),
        lags: ["lag_0", "lag_1", "lag_2", "lag_3", "lag_4", "lag_5"].map(|column| number(row, column)),
    }
}

fn active(row: &Row) -> ActiveBand {
    ActiveBand {
        phase: text(row, "phase"),
        kind: text(row, "kind"),
        max_age_ms: row.get("max_age_ms").and_then(Value::as_u64),
        band: row.get("band").and_then(Value::as_u64),
        creations: number(row, "creations"),
    }
}

impl Dashboard {
    /// Reads the results of [`dashboard`].
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(results: Vec<Vec<Row>>) -> Result<Self, DatabaseError> {
        let wrong = |_| DatabaseError::new("expected eight results");
        let [hours, totals, bands, oldest, rates, sweeps, alerts, audit]: [Vec<Row>; 8] =
            results.try_into().map_err(wrong)?;
        let rates = rates.first();
        let rate = |column: &str| rates.map_or(0, |row| number(row, column));
        Ok(Dashboard {
            hours: hours.iter().map(rolled).collect(),
            totals: totals.iter().map(rolled).collect(),
            active: bands.iter().map(active).collect(),
            oldest: super::candidates(&oldest, "candidates")?,
            rates: Rates {
                newest: rate("newest"),
                completed: rate("completed"),
                failed: rate("failed"),
                timed_out: rate("timed_out"),
                retried: rate("retried"),
                active: rate("active"),
            },
            sweeps,
            alerts,
            audit,
        })
    }
}
