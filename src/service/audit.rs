//! What operators did, over all databases, the newest first.

use super::shards::{Shard, Unreachable, part, run_each};
use crate::store::{self, Audited, Database, DatabaseError};

/// A page of it.
#[derive(Debug, Default)]
pub struct AuditPage {
    /// What was done.
    pub rows: Vec<Audited>,
    /// The id before which the next page begins; `None` at the end.
    pub next: Option<String>,
    /// The databases that did not answer: what they have is missing.
    pub unreachable: Vec<Unreachable>,
}

/// The newest `limit` rows before the one with the id `before`.
///
/// # Errors
///
/// [`DatabaseError`] if none of them answers, or not as asked.
pub async fn audit<D: Database>(
    shards: &[Shard<'_, D>],
    before: Option<&str>,
    limit: u32,
) -> Result<AuditPage, DatabaseError> {
    let answers = run_each(shards, &store::audited(before, limit)).await;
    let (answers, unreachable) = part(shards, answers)?;
    let mut page = AuditPage { unreachable, ..AuditPage::default() };
    for (_, results) in answers {
        let (rows, end) = store::audited_of(results, limit)?;
        store::merge_audit(&mut page.rows, rows);
        page.next = page.next.max(end);
    }
    // Beyond the end of one database, the rows of the others wait for its next ones.
    let AuditPage { rows, next, .. } = &mut page;
    rows.retain(|row| next.as_ref().is_none_or(|end| row.id >= *end));
    if rows.len() > limit as usize {
        rows.truncate(limit as usize);
        *next = rows.last().map(|row| row.id.clone());
    }
    Ok(page)
}
