//! What a provider says of creations before a sweep decides on them: see `docs/asking.md`.

use serde::Serialize;

use super::sweep::as_planned;
use super::{Param, PlanRow, Row, Statement, json};
use crate::rules::Timestamp;

/// The same as the report of the present attempt's worker, under the precondition of a sweep. What is attached is done in the app's own row.
#[rustfmt::skip]
const DONE: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     SET status = 'draft', finished_at = ?2, result_url = j.value ->> 'result_url'
     FROM j WHERE ", as_planned!(), " AND +c.status = 'processing' AND c.balance_elsewhere = 0
     RETURNING id"
);

/// A heartbeat, under the same.
#[rustfmt::skip]
const RUNNING: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     SET heartbeat_at = ?2
     FROM j WHERE ", as_planned!(), " AND +c.status = 'processing'
     RETURNING id"
);

/// A creation that is done, and what the question about it rested on.
#[derive(Clone, Debug, Serialize)]
pub struct Done<'a> {
    /// What a sweep would have decided on.
    #[serde(flatten)]
    pub plan: PlanRow<'a>,
    /// Where its result is.
    pub result_url: &'a str,
}

/// Completes those that are done, and notes a heartbeat of those that are running, in this order. Each answers with a row for each
/// creation that was still what the question rested on.
pub fn told(done: &[Done<'_>], running: &[PlanRow<'_>], now: Timestamp) -> [Statement; 2] {
    [
        Statement::new(DONE, [Param::Text(json(done)), now.into()]),
        Statement::new(RUNNING, [Param::Text(json(running)), now.into()]),
    ]
}

/// How many creations each of the two statements of [`told`] has changed.
pub fn told_of(results: &[Vec<Row>]) -> (usize, usize) {
    let count = |at: usize| results.get(at).map_or(0, Vec::len);
    (count(0), count(1))
}
