//! Who watches the sweeper: what is wrong, and what holds sweeps back. Each statement reads a number of rows that does not
//! depend on how many creations there are.

use serde_json::{Value, json};

use super::sweep::{alert_codes, last_good_sweep, suspended};
use super::{DatabaseError, Param, Row, Statement, json, rows};
use crate::rules::{Evidence, Finding, Observed, Timestamp};

/// So many of the newest creations are looked at.
const NEWEST: u32 = 200;
const HOUR_MS: i64 = 3_600_000;
/// A user with more creations than this is left out of the incremental check: it would read too much at once.
const CREATIONS_OF_A_USER: u32 = 500;
/// So many rows are trimmed of each table at once.
const TRIMMED: u32 = 500;

const OBSERVE: &str = concat!(
    "WITH newest AS MATERIALIZED (
       SELECT status, error_code FROM (SELECT status, error_code, finished_at FROM stale_drafts_creations ORDER BY rowid DESC LIMIT ?2)
       WHERE typeof(finished_at) = 'integer' AND finished_at BETWEEN ?1 - ?3 AND ?1),
     errors AS (SELECT error_code, count(*) AS n FROM newest WHERE status = 'failed' AND error_code IS NOT NULL
       GROUP BY error_code ORDER BY n DESC LIMIT 1)
     SELECT (SELECT count(*) FROM newest) AS finished,
       (SELECT count(*) FROM newest WHERE status = 'failed') AS failed,
       (SELECT count(*) FROM newest WHERE error_code = 'generation_timeout') AS timed_out,
       (SELECT error_code FROM errors) AS error_code, (SELECT n FROM errors) AS error_count,
       ",
    last_good_sweep!("started_at"),
    ",
       (SELECT due_at FROM stale_drafts_events WHERE state = 'due' ORDER BY due_at LIMIT 1) AS due_since,
       (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_events WHERE state = 'dead' LIMIT 100)) AS given_up,
       (SELECT differs FROM stale_drafts_ledger_check) AS differs, ",
    suspended!(),
    " AS suspended"
);

/// The next user's balance beside the sum of their ledger, which is found by their grants and their creations.
const CHECK: &str = "WITH next AS (SELECT user_id, tokens FROM stale_drafts_balances WHERE user_id > (SELECT user_id FROM stale_drafts_ledger_check) ORDER BY user_id LIMIT 1),
     own AS MATERIALIZED (SELECT c.id FROM next CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user ON c.user_id = next.user_id LIMIT ?1)
     SELECT user_id, tokens, (SELECT count(*) FROM own) AS creations,
       (SELECT coalesce(sum(l.tokens), 0) FROM stale_drafts_ledger AS l INDEXED BY stale_drafts_ledger_grants WHERE l.type = 'grant' AND l.user_id = next.user_id)
       + (SELECT coalesce(sum(l.tokens), 0) FROM own CROSS JOIN stale_drafts_ledger AS l
          ON l.entry_key IN ('charge:' || own.id, 'refund:' || own.id, 'restore:' || own.id)) AS sum
     FROM next";

const FIRING: &str = "SELECT code, since, severity, cause, evidence, remedy FROM stale_drafts_alerts WHERE resolved_at IS NULL ORDER BY since";

/// Tells of alerts that fire; of one that does already, nothing is told again.
const TELL_FIRED: &str = "INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body)
     SELECT 'alert.fired:' || (value ->> 0) || ':' || CAST(?2 AS INTEGER), ?2, ?3, ?2, json_object(
       'id', 'alert.fired:' || (value ->> 0) || ':' || CAST(?2 AS INTEGER), 'type', 'alert.fired', 'created_at', CAST(?2 AS INTEGER),
       'data', json_object('code', value ->> 0, 'severity', value ->> 1, 'cause', value ->> 2, 'evidence', value ->> 3,
         'remedy', value ->> 4))
     FROM json_each(?1) WHERE ?3 > 0
       AND NOT EXISTS (SELECT 1 FROM stale_drafts_alerts WHERE code = value ->> 0 AND resolved_at IS NULL)";

const FIRE: &str = "INSERT INTO stale_drafts_alerts (code, since, severity, cause, evidence, remedy)
     SELECT value ->> 0, ?2, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1) WHERE true
     ON CONFLICT DO NOTHING";

const TELL_RESOLVED: &str = "INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body)
     SELECT 'alert.resolved:' || code || ':' || since, ?2, ?3, ?2, json_object(
       'id', 'alert.resolved:' || code || ':' || since, 'type', 'alert.resolved', 'created_at', CAST(?2 AS INTEGER),
       'data', json_object('code', code, 'severity', severity, 'cause', cause, 'since', since))
     FROM stale_drafts_alerts WHERE resolved_at IS NULL AND ?3 > 0 AND code IN (SELECT value FROM json_each(?1))";

const RESOLVE: &str = "UPDATE stale_drafts_alerts SET resolved_at = ?2
     WHERE resolved_at IS NULL AND code IN (SELECT value FROM json_each(?1))";

const CHECKED: &str = "UPDATE stale_drafts_ledger_check SET user_id = ?1, differs = ?2";

const HOLD: &str = "INSERT INTO stale_drafts_controls (name, since, actor, detail) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (name) DO UPDATE SET detail = excluded.detail";

const RELEASE: &str = "DELETE FROM stale_drafts_controls WHERE name = ?1";

const AUDIT: &str =
    "INSERT INTO stale_drafts_audit (id, at, actor, action, detail) VALUES (?1, ?2, ?3, ?4, ?5)";

const TRIM_SWEEPS: &str = "DELETE FROM stale_drafts_sweeps WHERE id IN (SELECT id FROM stale_drafts_sweeps WHERE id < ?1 ORDER BY id LIMIT ?2)";
const TRIM_EVENTS: &str = "DELETE FROM stale_drafts_events WHERE (state, due_at, id) IN (
       SELECT state, due_at, id FROM stale_drafts_events WHERE state = 'dead' AND due_at < ?1 ORDER BY due_at LIMIT ?2)";
const TRIM_ROLLUPS: &str = "DELETE FROM stale_drafts_rollups WHERE (hour, outcome, kind, stuck_status, rule) IN (
       SELECT hour, outcome, kind, stuck_status, rule FROM stale_drafts_rollups WHERE hour > 0 AND hour < ?1 ORDER BY hour LIMIT ?2)";
/// What was resolved before an instant fired before it too, and the key finds that.
const TRIM_ALERTS: &str = concat!(
    "WITH RECURSIVE ",
    alert_codes!(),
    "
     DELETE FROM stale_drafts_alerts WHERE (code, since) IN (
       SELECT a.code, a.since FROM codes CROSS JOIN stale_drafts_alerts AS a ON a.code = codes.code AND a.since < ?1
       WHERE a.resolved_at < ?1 LIMIT ?2)"
);

/// What is looked at: see [`observed`].
pub fn observe(now: Timestamp) -> [Statement; 3] {
    [
        Statement::new(OBSERVE, [now.into(), NEWEST.into(), Param::Integer(HOUR_MS)]),
        Statement::new(CHECK, [CREATIONS_OF_A_USER.saturating_add(1).into()]),
        Statement::new(FIRING, []),
    ]
}

/// An alert that is firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// Its code.
    pub code: String,
    /// When it fired, in epoch milliseconds.
    pub since: u64,
    /// `critical` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub cause: String,
    /// What said so when it fired.
    pub evidence: String,
    /// What to do about it.
    pub remedy: String,
}

/// What [`observe`] has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// For the rules; what is overdue is not in it.
    pub observed: Observed,
    /// The user that the check has come to; empty at the end of a round.
    pub checked: String,
    /// The alerts that are firing.
    pub firing: Vec<Firing>,
}

/// Reads the results of [`observe`].
///
/// # Errors
///
/// [`DatabaseError`] if they are not of the shape that was asked for.
pub fn observed(results: &[Vec<Row>]) -> Result<Seen, DatabaseError> {
    let [seen, check, firing] = results else {
        return Err(DatabaseError::new("expected three results"));
    };
    let row = seen.first().ok_or_else(|| DatabaseError::new("nothing was observed"))?;
    let number = |column: &str| row.get(column).and_then(Value::as_u64).unwrap_or(0);
    let at = |column: &str| row.get(column).and_then(Value::as_i64).and_then(Timestamp::from_millis);
    let noted: Value = serde_json::from_str(&text(row, "differs")).unwrap_or_default();
    let noted = noted.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut differs: Vec<String> = noted.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let checked = check.first().map(|user| {
        let id = text(user, "user_id");
        let of = |column: &str| user.get(column).and_then(Value::as_i64).unwrap_or(0);
        differs.retain(|other| *other != id);
        if of("creations") <= i64::from(CREATIONS_OF_A_USER) && of("sum") != of("tokens") {
            differs.push(id.clone());
        }
        id
    });
    let error_code = row.get("error_code").and_then(Value::as_str).map(str::to_owned);
    let observed = Observed {
        evidence: Evidence {
            finished: number("finished"),
            failed: number("failed"),
            top_error: error_code.map(|code| (code, number("error_count"))),
            last_good_sweep: at("last_good_sweep"),
            ..Evidence::default()
        },
        timed_out: number("timed_out"),
        overdue: None,
        differs,
        due_since: at("due_since"),
        given_up: number("given_up"),
        suspended: rows::suspended(seen),
    };
    let firing = firing.iter().map(|row| Firing {
        code: text(row, "code"),
        since: row.get("since").and_then(Value::as_u64).unwrap_or(0),
        severity: text(row, "severity"),
        cause: text(row, "cause"),
        evidence: text(row, "evidence"),
        remedy: text(row, "remedy"),
    });
    Ok(Seen { observed, checked: checked.unwrap_or_default(), firing: firing.collect() })
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Writes what has changed: alerts that fire, and those that are resolved. `event_destinations` says whom it is told: see
/// `events.destinations`. Nothing is written for what fires already.
pub fn alerts(fired: &[&Finding], resolved: &[&str], now: Timestamp, notify: u32) -> Vec<Statement> {
    let list = |finding: &&Finding| {
        json!([finding.code, finding.severity.as_str(), finding.cause, finding.evidence, finding.remedy])
    };
    let fired: Vec<_> = fired.iter().map(list).collect();
    let both = |list: String, tell, write| {
        let params = [Param::Text(list), now.into()];
        let told: Vec<_> = params.iter().cloned().chain([notify.into()]).collect();
        [Statement::new(tell, told), Statement::new(write, params)]
    };
    let fire = (!fired.is_empty()).then(|| both(json(&fired), TELL_FIRED, FIRE));
    let resolve = (!resolved.is_empty()).then(|| both(json(resolved), TELL_RESOLVED, RESOLVE));
    fire.into_iter().chain(resolve).flatten().collect()
}

/// Notes how far the check of the ledger is, and whose balance differs.
pub fn checked(user_id: &str, differs: &[String]) -> Statement {
    Statement::new(CHECKED, [user_id.into(), Param::Text(json(differs))])
}

/// Holds sweeps back: `name` is `paused` or `circuit_breaker`. One that holds already keeps its beginning.
pub fn hold(name: &str, actor: Option<&str>, detail: &str, now: Timestamp) -> Statement {
    Statement::new(HOLD, [name.into(), now.into(), actor.into(), detail.into()])
}

/// Lets sweeps go on.
pub fn release(name: &str) -> Statement {
    Statement::new(RELEASE, [name.into()])
}

/// A row of the audit.
pub fn audit(id: &str, actor: &str, action: &str, detail: &str, now: Timestamp) -> Statement {
    Statement::new(AUDIT, [id.into(), now.into(), actor.into(), action.into(), detail.into()])
}

/// Removes what is older than the instants given, at most 500 rows of each: sweeps, events that were given up, roll-ups and
/// alerts. The ledger is never trimmed.
pub fn trim(sweeps: Timestamp, events: Timestamp, rollups: Timestamp) -> [Statement; 4] {
    // A UUIDv7 begins with its time.
    let millis = sweeps.as_millis();
    let oldest = format!("{:08x}-{:04x}", millis >> 16, millis & 0xffff);
    [
        Statement::new(TRIM_SWEEPS, [Param::Text(oldest), TRIMMED.into()]),
        Statement::new(TRIM_EVENTS, [events.into(), TRIMMED.into()]),
        Statement::new(TRIM_ROLLUPS, [rollups.into(), TRIMMED.into()]),
        Statement::new(TRIM_ALERTS, [rollups.into(), TRIMMED.into()]),
    ]
}
