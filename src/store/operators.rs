//! What operators ask the database. Every statement here only reads, and is bounded.

use serde_json::Value;

use super::creations::{listed, refunded};
use super::sweep::{active, candidate, last_good_sweep, sweep_columns};
use super::{Param, Row, Statement, json};
use crate::rules::{Evidence, FEW, SILENT_AFTER_MS, Timestamp};

/// At most this many active creations are counted: a query reads no more rows than that.
const COUNTED: u32 = 100_000;
/// The newest creations, by which recent starts and failures are judged.
const RECENT: u32 = 1_000;
const HOUR_MS: u64 = 3_600_000;

/// Creations by id; those that are not there are left out.
const BY_ID: &str = concat!(
    "SELECT json_group_array(",
    candidate!(),
    ") AS candidates, '[]' AS unreadable FROM (
       SELECT c.* FROM json_each(?1) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
       ON c.id = j.value)"
);

/// Active creations by status, kind and band of age: the band is the number of limits in ?2 that its age exceeds.
const COUNT: &str = concat!(
    "SELECT status, kind, band, count(*) AS creations, sum(tokens) AS tokens FROM (
       SELECT status, kind, tokens, CASE WHEN last_sign_of_life IS NULL OR last_sign_of_life > ?1 THEN -1 ELSE
         (SELECT count(*) FROM json_each(?2) WHERE ?1 - last_sign_of_life > value) END AS band
       FROM stale_drafts_creations WHERE ",
    active!(),
    " LIMIT ?3)
     GROUP BY status, kind, band ORDER BY status, kind, band"
);

/// The sweeps before ?1, the newest first.
const SWEEPS: &str = concat!(
    "SELECT ",
    sweep_columns!(),
    "\n     FROM stale_drafts_sweeps WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
);

/// One creation with everything that the list shows of it, as a list of one.
const ONE: &str = concat!(
    "SELECT ",
    listed!(),
    " AS page
     FROM (SELECT c.*, ",
    refunded!(),
    " FROM stale_drafts_creations AS c WHERE c.id = ?1)"
);

const LEDGER_OF: &str = "SELECT entry_key, type, tokens, created_at, sweep_id FROM stale_drafts_ledger
     WHERE entry_key IN ('charge:' || ?1, 'refund:' || ?1, 'restore:' || ?1) ORDER BY created_at, entry_key";

const SWEEPS_OF: &str = concat!(
    "SELECT ",
    sweep_columns!(),
    "
     FROM stale_drafts_sweeps WHERE id IN (SELECT sweep_id FROM stale_drafts_creations WHERE id = ?1
       UNION ALL SELECT sweep_id FROM stale_drafts_attempts WHERE creation_id = ?1) ORDER BY id"
);

const ATTEMPTS_OF: &str =
    "SELECT attempt, outcome, worker, started_at, heartbeat_at, finished_at, stuck_status, age_ms, max_age_ms, rule,
       error, error_code, sweep_id
     FROM stale_drafts_attempts WHERE creation_id = ?1 ORDER BY attempt";

/// Looks at the newest 1,000 that are due and as many that are dead: an index to find them all by would be written with every event.
const EVENTS_OF: &str = "SELECT id, state, due_at, deliveries, last_error FROM (
       SELECT * FROM (SELECT * FROM stale_drafts_events WHERE state = 'due' ORDER BY due_at DESC, id DESC LIMIT 1000)
       UNION ALL SELECT * FROM (SELECT * FROM stale_drafts_events WHERE state = 'dead' ORDER BY due_at DESC, id DESC LIMIT 1000))
     WHERE creation_id = ?1 ORDER BY due_at, id LIMIT 20";

/// One row of numbers; `rules::Evidence` says what they mean.
const EVIDENCE: &str = concat!(
    "WITH
     pending AS MATERIALIZED (
       SELECT count(*) AS n, min(last_sign_of_life) AS since FROM (
         SELECT last_sign_of_life FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = 'pending' AND last_sign_of_life IS NOT NULL AND last_sign_of_life <= ?1 LIMIT ?4)),
     progress AS MATERIALIZED (
       SELECT coalesce(sum(last_sign_of_life >= ?1 - ?2), 0) AS alive, coalesce(sum(last_sign_of_life < ?1 - ?2), 0) AS silent,
         min(last_sign_of_life) AS earliest, max(last_sign_of_life) AS latest FROM (
         SELECT last_sign_of_life FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase IN ('processing', 'heartbeating') AND last_sign_of_life IS NOT NULL AND last_sign_of_life <= ?1 LIMIT ?4)),
     recent AS MATERIALIZED (
       SELECT status, kind, started_at, finished_at, error_code FROM stale_drafts_creations ORDER BY rowid DESC LIMIT ?5),
     finished AS MATERIALIZED (
       SELECT status, kind, error_code FROM recent WHERE typeof(finished_at) = 'integer' AND finished_at BETWEEN ?1 - ?3 AND ?1),
     errors AS (SELECT error_code, count(*) AS n FROM finished WHERE status = 'failed' AND error_code IS NOT NULL
       GROUP BY error_code ORDER BY n DESC LIMIT 1),
     kinds AS (SELECT kind, sum(status = 'failed') AS failed, count(*) AS n FROM finished
       GROUP BY kind ORDER BY failed DESC LIMIT 1),
     newest AS (SELECT error FROM stale_drafts_sweeps ORDER BY id DESC LIMIT 1)
     SELECT pending.n AS waiting, since AS waiting_since, alive, silent, earliest, latest,
       (SELECT max(started_at) FROM recent WHERE typeof(started_at) = 'integer' AND started_at <= ?1) AS last_start,
       (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_unreadable
         WHERE ", active!(), " AND last_sign_of_life IS NULL LIMIT ?5))
       + (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase IN ('pending', 'processing', 'heartbeating') AND last_sign_of_life IS NOT NULL AND last_sign_of_life > ?1 LIMIT ?5)) AS unreadable,
       (SELECT count(*) FROM finished) AS finished,
       (SELECT count(*) FROM finished WHERE status = 'failed') AS failed,
       (SELECT error_code FROM errors) AS error_code, (SELECT n FROM errors) AS error_count,
       (SELECT kind FROM kinds) AS kind, (SELECT failed FROM kinds) AS kind_failed, (SELECT n FROM kinds) AS kind_finished,
       (SELECT error FROM newest) AS last_sweep_error,
       (SELECT max(version) FROM stale_drafts_schema) AS version,
       ", last_good_sweep!("started_at"), "
     FROM pending, progress"
);

/// The creations with these ids: the same row as [`super::stale`].
pub fn by_id(ids: &[&str]) -> Statement {
    Statement::new(BY_ID, [Param::Text(json(ids))])
}

/// Counts active creations by age. `bands` are milliseconds, ascending. Rows of `status`, `kind`, `band` (how many of
/// `bands` the age exceeds; −1 if it can't be known), `creations`, `tokens`.
pub fn count(now: Timestamp, bands: &[u64]) -> Statement {
    Statement::new(COUNT, [now.into(), Param::Text(json(bands)), COUNTED.into()])
}

/// `limit` sweeps before the one with the id `before`, the newest first; from the newest if it is `None`.
pub fn sweeps(before: Option<&str>, limit: u32) -> Statement {
    // Greater than every id: they begin with a hexadecimal digit.
    Statement::new(SWEEPS, [before.unwrap_or("~").into(), limit.into()])
}

/// All about one creation: its [`super::PageRow`] in `page`, the ledger's entries, the sweeps that touched it, the
/// attempts that are over, and the events that have not been delivered, among the newest 1,000 that are due and the newest 1,000 that
/// are dead: in a larger backlog an older one is not shown.
pub fn explain(id: &str) -> [Statement; 5] {
    [ONE, LEDGER_OF, SWEEPS_OF, ATTEMPTS_OF, EVENTS_OF].map(|sql| Statement::new(sql, [id.into()]))
}

/// What a diagnosis rests on: see [`evidence_of`].
pub fn evidence(now: Timestamp) -> Statement {
    let window = |millis: u64| Param::Integer(i64::try_from(millis).unwrap_or(i64::MAX));
    let params = [now.into(), window(SILENT_AFTER_MS), window(HOUR_MS), COUNTED.into(), RECENT.into()];
    Statement::new(EVIDENCE, params)
}

/// The evidence in the row of [`evidence`]; what the database can't know is left at its default.
pub fn evidence_of(row: &Row) -> Option<Evidence> {
    let number = |column: &str| row.get(column).and_then(Value::as_u64);
    let text = |column: &str| row.get(column).and_then(Value::as_str).map(str::to_owned);
    let at = |column: &str| row.get(column).and_then(Value::as_i64).and_then(Timestamp::from_millis);
    let failed = number("failed")?;
    // Few failures say nothing, and are not worth naming.
    let enough = failed >= FEW;
    Some(Evidence {
        waiting: number("waiting")?,
        waiting_since: at("waiting_since"),
        last_start: at("last_start"),
        alive: number("alive")?,
        silent: number("silent")?,
        silent_between: at("earliest").zip(at("latest")),
        unreadable: number("unreadable")?,
        finished: number("finished")?,
        failed,
        top_error: text("error_code").zip(number("error_count")).filter(|_| enough),
        top_kind: text("kind")
            .zip(number("kind_failed").zip(number("kind_finished")))
            .filter(|_| enough)
            .map(|(kind, (failed, finished))| (kind, failed, finished)),
        last_good_sweep: at("last_good_sweep"),
        last_sweep_error: text("last_sweep_error"),
        schema_version: row.get("version").and_then(Value::as_i64).unwrap_or(0),
        expected_schema_version: super::SCHEMA_VERSION,
        ..Evidence::default()
    })
}
