//! The functions that workers, owners and operators report with: what the Worker's routes call, and what a Worker in
//! Rust that has the database itself can call directly.
//!
//! One transaction each: a guarded write, then a read of the row. The rules judge the row, so an answer is the
//! same whether the report took effect now or did so before. A start that is noted as repeated takes a second one.

use crate::rules::{ActiveLimits, Judgement, MaxActive, Refusal, Report, Timestamp};
use crate::store::{
    self, ActiveRow, CreationRow, Database, DatabaseError, Details, Grant, GrantRow, NewCreation, Row,
    Statement,
};

/// Why a report did not take effect.
#[derive(Clone, Debug)]
pub enum ReportError {
    /// There is no such creation; or it is not the caller's.
    NotFound,
    /// The rules refuse it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The creation as it is now.
        row: Box<CreationRow>,
    },
    /// The balance does not cover the charge.
    InsufficientTokens {
        /// The owner's balance.
        balance: u64,
        /// What it would cost.
        tokens: u64,
    },
    /// As many of the owner's creations are active as may be.
    TooManyActive {
        /// So many may be.
        limit: u32,
        /// The kind whose limit it is; `None` for that of all kinds.
        kind: Option<String>,
        /// What is active, at most 100.
        active: Vec<ActiveRow>,
    },
    /// There is a creation with this id, or a grant with this key, that is not the same.
    Different,
    /// All that is the owner's is being moved to another database: repeating it is harmless, and goes through when that is done.
    Moving,
    /// The owner's balance would be larger than any may be.
    BalanceTooLarge,
    /// A constraint of the database rejects it, such as a trigger of the app: repeating it is of no use.
    Rejected(DatabaseError),
    /// The database did not answer. It is not known whether the report took effect; repeating it is harmless.
    Database(DatabaseError),
}

impl From<DatabaseError> for ReportError {
    fn from(error: DatabaseError) -> Self {
        if error.is_moving() {
            ReportError::Moving
        } else if error.is_balance_too_large() {
            ReportError::BalanceTooLarge
        } else if error.is_constraint() && !error.is_unrecorded() {
            ReportError::Rejected(error)
        } else {
            ReportError::Database(error)
        }
    }
}

/// Makes a creation and charges its owner, in one transaction. Repeating it with the same id is harmless.
///
/// # Errors
///
/// [`ReportError::InsufficientTokens`], [`ReportError::Different`], [`ReportError::Rejected`] or [`ReportError::Database`].
pub async fn create(
    database: &impl Database,
    new: NewCreation<'_>,
    now: Timestamp,
) -> Result<CreationRow, ReportError> {
    create_within(database, new, ActiveLimits::default(), now).await
}

/// The same, if no more of the owner's creations are active then than `limits` say. Without any it costs nothing more.
///
/// # Errors
///
/// As [`create`], and [`ReportError::TooManyActive`].
pub async fn create_within(
    database: &impl Database,
    new: NewCreation<'_>,
    limits: ActiveLimits,
    now: Timestamp,
) -> Result<CreationRow, ReportError> {
    let batch = if limits == ActiveLimits::default() {
        store::create(new, now).to_vec()
    } else {
        store::create_within(new, limits, now).to_vec()
    };
    let mut results = match database.run(&batch).await {
        Ok(results) => results,
        Err(error) => return Err(charging(database, error, new.user_id, new.tokens).await),
    };
    let row = match last_row(&results) {
        Err(ReportError::NotFound) if results.len() == 3 => {
            return Err(too_many(store::active_instead(results.swap_remove(1))?, new.kind, limits));
        }
        row => row?,
    };
    let same = row.creation.user_id == new.user_id
        && row.creation.kind == new.kind
        && row.creation.tokens == new.tokens
        && (row.prompt == new.prompt || row.deleted_at.is_some());
    if same { Ok(row) } else { Err(ReportError::Different) }
}

/// Which limit keeps another one from being made.
fn too_many(mut active: Vec<ActiveRow>, kind: &str, limits: ActiveLimits) -> ReportError {
    let of_kind = limits.of_kind.map(MaxActive::get).filter(|limit| {
        let there = active.iter().filter(|row| row.kind == kind).count();
        u32::try_from(there).is_ok_and(|there| there >= *limit)
    });
    match (of_kind, limits.of_all) {
        // Of more than are listed, that of all kinds is the one.
        (None, Some(of_all)) => ReportError::TooManyActive { limit: of_all.get(), kind: None, active },
        (limit, _) => {
            // Only when one of these has ended there is room.
            active.retain(|row| row.kind == kind);
            let limit = limit.or(limits.of_kind.map(MaxActive::get)).unwrap_or(0);
            ReportError::TooManyActive { limit, kind: Some(kind.to_owned()), active }
        }
    }
}

/// Carries out a report and answers with the creation after it. A retry within limits is refused where one more active creation of its
/// owner would be too many.
///
/// # Errors
///
/// Any of [`ReportError`] but [`ReportError::Different`].
pub async fn report(
    database: &impl Database,
    id: &str,
    report: Report<'_>,
    details: Details<'_>,
    now: Timestamp,
) -> Result<CreationRow, ReportError> {
    let mut results = match database.run(&store::report(id, &report, &details, now)).await {
        Ok(results) => results,
        Err(error) if !error.is_insufficient() => return Err(error.into()),
        Err(error) => {
            let results = database.run(&[store::creation(id)]).await?;
            let row = results.first().map(|rows| store::creation_of(rows)).transpose()?.flatten();
            let Some(row) = row else { return Err(ReportError::NotFound) };
            // A restore takes what went back; a retry all of it.
            let due = if matches!(report, Report::Restore) { row.refunded() } else { row.creation.tokens };
            return Err(charging(database, error, &row.creation.user_id, due).await);
        }
    };
    let mut row = last_row(&results)?;
    // What is somebody else's is not there.
    let owned = match report {
        Report::Publish | Report::Delete => true,
        Report::Retry { .. } | Report::Cancel { .. } => !details.user_id.is_empty(),
        _ => false,
    };
    if owned && row.creation.user_id != details.user_id {
        return Err(ReportError::NotFound);
    }
    let mut judgement = judge(&report, &row)?;
    if matches!((&report, &judgement), (Report::Start { .. }, Judgement::Repeat))
        && let Some(note) = repeated_start(&row, now)
    {
        // With the report itself: it may have moved on meanwhile, and the answer is what it is then.
        let batch: Vec<_> = note.into_iter().chain(store::report(id, &report, &details, now)).collect();
        row = last_row(&database.run(&batch).await?)?;
        judgement = judge(&report, &row)?;
    }
    match judgement {
        Judgement::Refuse(refusal) => Err(ReportError::Refused { refusal, row: Box::new(row) }),
        Judgement::Accept if matches!(report, Report::Retry { .. }) && details.limits_retry() => {
            let active = store::active_instead(results.swap_remove(results.len().saturating_sub(2)))?;
            let limits = details
                .max_active
                .map_or_else(ActiveLimits::default, |policy| policy.max_active(&row.creation.kind));
            Err(too_many(active, &row.creation.kind, limits))
        }
        // A heartbeat would be accepted again. Anything else that still would be was not carried out.
        Judgement::Accept if !matches!(report, Report::Heartbeat { .. }) => {
            Err(ReportError::Database(DatabaseError::new("the report was not carried out")))
        }
        Judgement::Accept | Judgement::Repeat => Ok(row),
    }
}

fn last_row(results: &[Vec<Row>]) -> Result<CreationRow, ReportError> {
    let row = results.last().map(|rows| store::creation_of(rows)).transpose()?.flatten();
    row.ok_or(ReportError::NotFound)
}

fn judge(report: &Report<'_>, row: &CreationRow) -> Result<Judgement, DatabaseError> {
    let snapshot = row.snapshot().ok_or_else(|| DatabaseError::new("the creation's status is unknown"))?;
    Ok(report.judge(&snapshot))
}

/// What notes that an attempt is started once more. A broker that delivers a task again which is still in progress is found by this: see
/// [`Draft::started_again`](crate::rules::Draft::started_again).
fn repeated_start(row: &CreationRow, now: Timestamp) -> Option<[Statement; 2]> {
    let CreationRow { creation, fence, .. } = row;
    let after = creation.draft().started_again(now)?;
    Some(store::started_again(&creation.id, fence.as_deref()?, after, now))
}

/// Grants tokens to a user. Repeating it with the same key is harmless.
///
/// # Errors
///
/// [`ReportError::BalanceTooLarge`], [`ReportError::Different`], [`ReportError::Rejected`] or [`ReportError::Database`].
pub async fn grant(
    database: &impl Database,
    grant: Grant<'_>,
    now: Timestamp,
) -> Result<GrantRow, ReportError> {
    let mut results = database.run(&store::grant(grant, now)).await?;
    let row = store::granted(results.pop().unwrap_or_default())?;
    let same = row.user_id == grant.user_id && row.tokens == grant.tokens;
    if same { Ok(row) } else { Err(ReportError::Different) }
}

async fn charging(database: &impl Database, error: DatabaseError, user_id: &str, tokens: u64) -> ReportError {
    if !error.is_insufficient() {
        return error.into();
    }
    match database.run(&[store::balance(user_id)]).await {
        Ok(results) => {
            let row = results.first().and_then(|rows| rows.first());
            let balance = row.and_then(|row| row.get("tokens")).and_then(serde_json::Value::as_u64);
            ReportError::InsufficientTokens { balance: balance.unwrap_or(0), tokens }
        }
        Err(error) => error.into(),
    }
}
