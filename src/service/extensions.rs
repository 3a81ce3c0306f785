//! More time for creations, by operators: for one, or for all of a kind, with an end.

use crate::rules::{Refusal, Timestamp};
use crate::service::creations::ReportError;
use crate::store::{self, CreationRow, Database, DatabaseError, Extension, KindExtended};

/// So many creations are changed in one transaction,
const ROWS: u32 = 500;
/// and so often in one call: with several databases, in each.
const BATCHES: u32 = 8;

/// Gives one creation more time, and answers with it as it is then. An end that is later already stays.
///
/// # Errors
///
/// [`ReportError::NotFound`], [`ReportError::Refused`] if it is not active, [`ReportError::Moving`], [`ReportError::Rejected`] or
/// [`ReportError::Database`].
pub async fn extend(
    database: &impl Database,
    id: &str,
    extension: Extension<'_>,
    now: Timestamp,
) -> Result<CreationRow, ReportError> {
    let results = database.run(&store::extend(id, extension, now)).await?;
    let row = results.last().map(|rows| store::creation_of(rows)).transpose()?.flatten();
    let row = row.ok_or(ReportError::NotFound)?;
    let active = row.creation.draft().status.and_then(|status| status.active());
    if active.is_none() {
        return Err(ReportError::Refused { refusal: Refusal::NotActive, row: Box::new(row) });
    }
    Ok(row)
}

/// What was done for a kind in one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// How many creations were changed, and what the kind has then.
    pub done: KindExtended,
    /// Whether some are left: the same call goes on.
    pub more: bool,
}

/// Gives a kind more time: what is active gets it now, as many as one call may reach, and what is made before the end as it is made.
/// Repeating it goes on.
///
/// # Errors
///
/// [`DatabaseError`] if the database does not take it. What was done before stays.
pub async fn extend_kind(
    database: &impl Database,
    kind: &str,
    extension: Extension<'_>,
    now: Timestamp,
) -> Result<Reached, DatabaseError> {
    let reached = repeat(database, || store::extend_kind(kind, extension, now, ROWS)).await?;
    // Of another one that runs nothing is left: it was there before.
    let same = reached.done.extension.as_ref().is_some_and(|found| {
        found.ended_at.is_none() && u64::try_from(found.until) == Ok(extension.until.as_millis())
    });
    Ok(Reached { more: reached.more && same, ..reached })
}

/// Ends what a kind has, and takes it from what is active. Repeating it goes on.
///
/// # Errors
///
/// As [`extend_kind`].
pub async fn end_extension(
    database: &impl Database,
    kind: &str,
    actor: &str,
    audit_id: &str,
    now: Timestamp,
) -> Result<Reached, DatabaseError> {
    repeat(database, || store::end_extension(kind, actor, audit_id, now, ROWS)).await
}

async fn repeat(
    database: &impl Database,
    batch: impl Fn() -> [store::Statement; 4],
) -> Result<Reached, DatabaseError> {
    let mut reached = Reached::default();
    for _ in 0..BATCHES {
        let mut results = database.run(&batch()).await?;
        let done = store::kind_extended(results.pop().unwrap_or_default())?;
        reached.more = done.creations >= u64::from(ROWS);
        reached.done.creations = reached.done.creations.saturating_add(done.creations);
        reached.done.extension = done.extension;
        if !reached.more {
            break;
        }
    }
    Ok(reached)
}
