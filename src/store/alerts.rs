//! Alerts: which are firing, and what changes that. A change is written with its event, in one transaction.

use serde::Deserialize;

use super::{Param, Statement, json};
use crate::rules::{Finding, Timestamp};

const FIRING: &str =
    "SELECT code, since, resolved_at, severity, cause, evidence, remedy FROM stale_drafts_alerts
     WHERE resolved_at IS NULL ORDER BY since";

/// Emits the alerts that fire; of one that fires already, nothing is emitted again.
const EMIT_FIRED: &str = "INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body)
     SELECT 'alert.fired:' || (value ->> 'code') || ':' || CAST(?2 AS INTEGER), ?2, ?3, ?2, json_object(
       'id', 'alert.fired:' || (value ->> 'code') || ':' || CAST(?2 AS INTEGER), 'type', 'alert.fired',
       'created_at', CAST(?2 AS INTEGER),
       'data', json_object('code', value ->> 'code', 'severity', value ->> 'severity', 'error_code', value ->> 'error_code', 'cause', value ->> 'cause',
         'evidence', value ->> 'evidence', 'remedy', value ->> 'remedy'))
     FROM json_each(?1) WHERE ?3 > 0
       AND NOT EXISTS (SELECT 1 FROM stale_drafts_alerts WHERE code = value ->> 'code' AND resolved_at IS NULL)";

const FIRE: &str = "INSERT INTO stale_drafts_alerts (code, since, severity, cause, evidence, remedy)
     SELECT value ->> 'code', ?2, value ->> 'severity', value ->> 'cause', value ->> 'evidence', value ->> 'remedy'
     FROM json_each(?1) WHERE true
     ON CONFLICT DO NOTHING";

const EMIT_RESOLVED: &str = "INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, body)
     SELECT 'alert.resolved:' || code || ':' || since, ?2, ?3, ?2, json_object(
       'id', 'alert.resolved:' || code || ':' || since, 'type', 'alert.resolved', 'created_at', CAST(?2 AS INTEGER),
       'data', json_object('code', code, 'severity', severity, 'cause', cause, 'evidence', evidence, 'since', since))
     FROM stale_drafts_alerts WHERE resolved_at IS NULL AND ?3 > 0 AND code IN (SELECT value FROM json_each(?1))";

const RESOLVE: &str = "UPDATE stale_drafts_alerts SET resolved_at = ?2
     WHERE resolved_at IS NULL AND code IN (SELECT value FROM json_each(?1))";

/// An episode of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Alert {
    /// Its code.
    pub code: String,
    /// When it fired, in epoch milliseconds.
    pub since: u64,
    /// When it was resolved; `None`: it is firing.
    pub resolved_at: Option<u64>,
    /// `critical` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub cause: String,
    /// What showed it when it fired.
    pub evidence: String,
    /// What to do about it.
    pub remedy: String,
}

/// The alerts that are firing: rows for [`Alert`].
pub(super) fn firing() -> Statement {
    Statement::new(FIRING, [])
}

/// Writes what has changed: alerts that fire, and those that are resolved, with their events for `destinations`: bits of
/// [`super::Destination`]. Nothing is written for what fires already.
pub fn record_alerts(
    fired: &[&Finding],
    resolved: &[&str],
    now: Timestamp,
    destinations: u32,
) -> Vec<Statement> {
    let list = |finding: &&Finding| {
        serde_json::json!({
            "code": finding.code,
            "severity": finding.severity.as_str(),
            "error_code": finding.error_code,
            "cause": finding.cause,
            "evidence": finding.evidence,
            "remedy": finding.remedy,
        })
    };
    let fired: Vec<_> = fired.iter().map(list).collect();
    let both = |list: String, emit, write| {
        let params = [Param::Text(list), now.into()];
        let emitted: Vec<_> = params.iter().cloned().chain([destinations.into()]).collect();
        [Statement::new(emit, emitted), Statement::new(write, params)]
    };
    let fire = (!fired.is_empty()).then(|| both(json(&fired), EMIT_FIRED, FIRE));
    let resolve = (!resolved.is_empty()).then(|| both(json(resolved), EMIT_RESOLVED, RESOLVE));
    fire.into_iter().chain(resolve).flatten().collect()
}
