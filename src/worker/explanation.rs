//! All about one creation.

use serde::Serialize;
use serde_json::Value;

use super::draft::DraftView;
use crate::rules::{Policy, Timestamp, classify};
use crate::store::{self, DatabaseError, Row};

/// All about one creation, for `GET /api/creations/{id}` and the dashboard: what it is, by which rule, and everything that
/// touched it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    now: u64,
    /// Its owner.
    pub user_id: String,
    /// The entry of the policy by which it is judged, or was failed.
    pub rule: Option<String>,
    /// How many attempts its kind has.
    pub max_attempts: u32,
    /// The creation.
    pub creation: DraftView,
    ledger: Vec<Row>,
    sweeps: Vec<SweepRow>,
    attempts: Vec<Row>,
    events: Vec<Row>,
}

impl Explanation {
    /// From the results of [`store::explain`]; `None` if there is no such creation.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(
        results: Vec<Vec<Row>>,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Option<Self>, DatabaseError> {
        let [page, ledger, sweeps, attempts, events]: [Vec<Row>; 5] =
            results.try_into().map_err(|_| DatabaseError::new("expected five results"))?;
        let Some(row) = store::page_rows(&page)?.into_iter().next() else { return Ok(None) };
        let draft = row.creation.draft();
        let active =
            draft.status.and_then(|status| status.active()).zip(classify(&draft, now, policy).rule());
        let applies = active.map(|(status, rule)| rule.describe(status, &row.creation.kind));
        Ok(Some(Explanation {
            now: now.as_millis(),
            user_id: row.creation.user_id.clone(),
            // What is not active any more was failed by the rule of its time.
            rule: applies.or_else(|| row.rule.clone()),
            max_attempts: policy.attempts(&row.creation.kind).get(),
            creation: DraftView::new(row, now, policy),
            ledger,
            sweeps: sweeps.into_iter().map(SweepRow::new).collect(),
            attempts,
            events,
        }))
    }
}

/// A row of the audit of sweeps. `skipped` are those that a sweep could not mark: unreadable, or rejected by the database.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct SweepRow(Row);

impl SweepRow {
    /// With what follows from its columns.
    pub fn new(mut row: Row) -> Self {
        let number = |key: &str| row.get(key).and_then(Value::as_i64);
        let sum =
            |one: &str, other: &str| number(one).unwrap_or(0).saturating_add(number(other).unwrap_or(0));
        let skipped = sum("unreadable", "rejected");
        let duration = number("finished_at")
            .zip(number("started_at"))
            .map(|(finished, started)| finished.saturating_sub(started).max(0));
        let more = number("more") == Some(1);
        row.insert(String::from("skipped"), skipped.into());
        row.insert(String::from("duration_ms"), duration.into());
        row.insert(String::from("more"), more.into());
        SweepRow(row)
    }
}
