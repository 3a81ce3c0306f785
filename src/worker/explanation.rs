//! All about one creation.

use serde::Serialize;

use super::draft::DraftView;
use crate::rules::{Policy, Timestamp, classify};
use crate::store::{self, Act, AttemptRow, DatabaseError, GivenRow, LedgerRow, Row, SetAsideRow, SweepRow};

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
    /// The worker that has the present attempt.
    pub worker: Option<String>,
    /// What its owner was charged and given back.
    pub ledger: Vec<LedgerRow>,
    /// The sweeps that touched it.
    pub sweeps: Vec<SweepAudit>,
    /// The attempts that are over.
    pub attempts: Vec<AttemptRow>,
    /// Its events that are not delivered.
    pub events: Vec<Row>,
    /// Who has given it more time, the newest first.
    pub extensions: Vec<GivenRow>,
    /// Whether sweeps leave it aside.
    pub set_aside: Option<SetAsideRow>,
    /// What operators did to it and noted about it, the oldest first.
    pub acts: Vec<Act>,
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
        let [page, ledger, sweeps, attempts, events, set_aside, extensions, acts]: [Vec<Row>; 8] =
            results.try_into().map_err(|_| DatabaseError::new("expected eight results"))?;
        let worker = page.first().and_then(|row| row.get("worker")?.as_str()).map(str::to_owned);
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
            worker,
            ledger: store::typed_rows(ledger)?,
            sweeps: SweepAudit::read(sweeps)?,
            attempts: store::typed_rows(attempts)?,
            events,
            extensions: store::typed_rows(extensions)?,
            set_aside: store::typed_rows(set_aside)?.into_iter().next(),
            acts: store::typed_rows(acts)?,
        }))
    }
}

impl Explanation {
    /// What its owner was charged in all, and what went back: of every attempt. Of what is accounted elsewhere the ledger has nothing.
    pub fn money(&self) -> (u64, u64) {
        if self.ledger.is_empty() {
            return (self.creation.tokens, self.creation.refunded_tokens);
        }
        let sum = |paid: bool| {
            let own = self.ledger.iter().filter(|entry| (entry.tokens < 0) == paid);
            own.fold(0_u64, |sum, entry| sum.saturating_add(entry.tokens.unsigned_abs()))
        };
        (sum(true), sum(false))
    }
}

/// A row of the audit of sweeps. `skipped` are those that a sweep could not mark: unreadable, or rejected by the database.
#[derive(Clone, Debug, Serialize)]
pub struct SweepAudit {
    #[serde(flatten)]
    row: SweepRow,
    skipped: u64,
    duration_ms: Option<i64>,
    /// Of several databases, the one that it was on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

impl SweepAudit {
    /// Of the rows of [`store::sweeps`].
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(rows: Vec<Row>) -> Result<Vec<Self>, DatabaseError> {
        Ok(store::typed_rows(rows)?.into_iter().map(Self::new).collect())
    }

    fn new(row: SweepRow) -> Self {
        let duration_ms = row.finished_at.map(|finished| finished.saturating_sub(row.started_at).max(0));
        let skipped = row.unreadable.saturating_add(row.rejected);
        SweepAudit { skipped, duration_ms, shard: None, row }
    }

    /// The sweep's id.
    pub fn id(&self) -> &str {
        &self.row.id
    }

    /// What ran it, and who asked for it: `tool, ops`.
    pub fn by(&self) -> String {
        let actor = self.row.actor.as_ref().map(|actor| format!(", {actor}")).unwrap_or_default();
        format!("{}{actor}", self.row.source)
    }

    /// What operators noted about it.
    pub fn notes(&self) -> &[Act] {
        &self.row.notes
    }
}
