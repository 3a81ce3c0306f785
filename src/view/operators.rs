use serde_json::{Value, json};

use super::draft::DraftView;
use crate::rules::{Active, Finding, Limit, Policy, Severity, Timestamp, classify};
use crate::store::{PageRow, Row};

/// The answer of `GET /api/creations`: a user's creations as an operator sees them.
pub fn creations_json(
    now: Timestamp,
    user_id: &str,
    balance: u64,
    creations: &[DraftView],
    next_cursor: Option<String>,
) -> Value {
    json!({
        "now": now.as_millis(),
        "user_id": user_id,
        "balance": balance,
        "creations": creations,
        "next_cursor": next_cursor,
    })
}

/// All that the database has of one creation: see [`crate::store::explain`].
#[derive(Clone, Debug)]
pub struct Explained {
    /// The creation.
    pub creation: PageRow,
    /// Its entries of the ledger.
    pub ledger: Vec<Row>,
    /// The sweeps that touched it.
    pub sweeps: Vec<Row>,
    /// Its attempts that are over.
    pub attempts: Vec<Row>,
    /// What has not been delivered of it.
    pub events: Vec<Row>,
}

/// The answer of `GET /api/creations/{id}`: what it is, by which rule, and everything that touched it.
pub fn explanation_json(now: Timestamp, explained: Explained, policy: &Policy) -> Value {
    let Explained { creation: row, ledger, sweeps, attempts, events } = explained;
    let kind = row.creation.kind.clone();
    let draft = row.creation.draft();
    let active = draft.status.and_then(|status| status.active());
    let applies = active.zip(classify(&draft, now, policy).rule());
    let applies = applies.map(|(status, rule)| rule.describe(status, &kind));
    // What is not active any more was failed by the rule of its time.
    let rule = applies.or_else(|| row.rule.clone());
    json!({
        "now": now.as_millis(),
        "user_id": row.creation.user_id.clone(),
        "rule": rule,
        "max_attempts": policy.attempts(&kind).get(),
        "creation": DraftView::new(row, now, policy),
        "ledger": ledger,
        "sweeps": sweeps.into_iter().map(sweep_json).collect::<Vec<_>>(),
        "attempts": attempts,
        "events": events,
    })
}

/// One row of `sweeps`. `skipped` are those that a sweep could not mark: unreadable, or rejected by the database.
fn sweep_json(mut sweep: Row) -> Value {
    let number = |row: &Row, key: &str| row.get(key).and_then(Value::as_i64);
    let skipped =
        number(&sweep, "unreadable").unwrap_or(0).saturating_add(number(&sweep, "rejected").unwrap_or(0));
    let duration = number(&sweep, "finished_at")
        .zip(number(&sweep, "started_at"))
        .map(|(finished, started)| finished.saturating_sub(started).max(0));
    let more = number(&sweep, "more") == Some(1);
    sweep.insert(String::from("skipped"), skipped.into());
    sweep.insert(String::from("duration_ms"), duration.into());
    sweep.insert(String::from("more"), more.into());
    Value::Object(sweep)
}

/// The answer of `GET /api/sweeps`; `limit` of the rows are on this page.
pub fn sweeps_json(now: Timestamp, mut rows: Vec<Row>, limit: usize) -> Value {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).and_then(|row| row.get("id")?.as_str()).map(str::to_owned);
    let sweeps: Vec<_> = rows.into_iter().map(sweep_json).collect();
    json!({ "now": now.as_millis(), "sweeps": sweeps, "next_cursor": next_cursor })
}

/// The answer of `GET /api/counts`: active creations by status, kind and band of age. A band is named by the age above
/// which it begins and the one up to which it goes, in milliseconds.
pub fn counts_json(now: Timestamp, bands: &[u64], rows: &[Row], policy: &Policy) -> Value {
    let counts: Vec<_> = rows
        .iter()
        .map(|row| {
            let band = row.get("band").and_then(Value::as_i64).and_then(|band| usize::try_from(band).ok());
            let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
            let status = Active::ALL.into_iter().find(|status| status.as_str() == text("status"));
            let max_age_ms = status.and_then(|status| match policy.limit(status, text("kind")).0 {
                Limit::After(max_age) => Some(max_age.as_millis()),
                Limit::Never => None,
            });
            json!({
                "status": text("status"),
                "kind": text("kind"),
                "readable": band.is_some(),
                "above_ms": band.map(|band| band.checked_sub(1).and_then(|below| bands.get(below)).copied().unwrap_or(0)),
                "up_to_ms": band.and_then(|band| bands.get(band)),
                "max_age_ms": max_age_ms,
                "creations": row.get("creations"),
                "tokens": row.get("tokens"),
            })
        })
        .collect();
    json!({ "now": now.as_millis(), "bands_ms": bands, "counts": counts })
}

/// The answer of `GET /api/doctor`. It is healthy if nothing is critical.
pub fn diagnosis_json(now: Timestamp, findings: &[Finding]) -> Value {
    let list: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "severity": finding.severity.as_str(),
                "cause": finding.cause,
                "evidence": finding.evidence,
                "remedy": finding.remedy,
            })
        })
        .collect();
    let healthy = findings.iter().all(|finding| finding.severity < Severity::Critical);
    json!({ "now": now.as_millis(), "healthy": healthy, "findings": list })
}
