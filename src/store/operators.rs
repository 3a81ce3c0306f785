//! What operators ask the database. Every statement here only reads, and is bounded.

use super::creations::{listed, refunded};
use super::extensions::OF_CREATION;
use super::sweep::{active, candidate, sweep_columns};
use super::typed::sum_of;
use super::{Param, Statement, Subject, acts, json};
use crate::rules::Timestamp;

/// At most this many active creations are counted: a query reads no more rows than that.
const COUNTED: u32 = 100_000;

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
    "SELECT status, kind, band, count(*) AS creations, ",
    sum_of!("tokens"),
    " AS tokens FROM (
       SELECT status, kind, tokens, CASE WHEN last_sign_of_life IS NULL OR last_sign_of_life > ?4 THEN -1 ELSE
         (SELECT count(*) FROM json_each(?2) WHERE ?1 - last_sign_of_life > value) END AS band
       FROM stale_drafts_creations WHERE ",
    active!(),
    " LIMIT ?3)
     GROUP BY status, kind, band ORDER BY status, kind, band"
);

/// So many active creations at most: what a circuit breaker has to know of several databases together.
const ACTIVE: &str = concat!(
    "SELECT count(*) AS active FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
     WHERE ",
    active!(),
    " LIMIT ?1)"
);

/// The owner of a creation.
const OWNER: &str = "SELECT user_id FROM stale_drafts_creations WHERE id = ?1";

/// The sweeps before ?1, the newest first.
const SWEEPS: &str = concat!(
    "SELECT ",
    sweep_columns!(),
    "\n     FROM stale_drafts_sweeps WHERE id < ?1 ORDER BY id DESC LIMIT ?2"
);

/// One creation with everything that the list shows of it, if there is one.
const ONE: &str = concat!(
    "SELECT ",
    listed!(),
    " AS page, worker
     FROM (SELECT c.*, ",
    refunded!(),
    " FROM stale_drafts_creations AS c WHERE c.id = ?1) AS listed"
);

const LEDGER_OF: &str = "SELECT entry_key, type, tokens, created_at, sweep_id FROM stale_drafts_ledger
     WHERE entry_key IN ('charge:' || ?1, 'refund:' || ?1, 'restore:' || ?1)
     UNION ALL SELECT entry_key, type, tokens, created_at, sweep_id FROM stale_drafts_ledger INDEXED BY stale_drafts_ledger_retries
     WHERE creation_id = ?1 AND entry_key <> type || ':' || creation_id ORDER BY created_at, entry_key";

const SWEEPS_OF: &str = concat!(
    "SELECT ",
    sweep_columns!(),
    "
     FROM stale_drafts_sweeps WHERE id IN (SELECT sweep_id FROM stale_drafts_creations WHERE id = ?1
       UNION ALL SELECT sweep_id FROM stale_drafts_attempts WHERE creation_id = ?1) ORDER BY id"
);

const ATTEMPTS_OF: &str =
    "SELECT attempt, outcome, tokens_used, worker, started_at, heartbeat_at, finished_at, stuck_status, age_ms, max_age_ms, rule,
       error, error_code, sweep_id
     FROM stale_drafts_attempts WHERE creation_id = ?1 ORDER BY attempt";

/// Looks at the newest 1,000 that are due and as many that are dead: an index to find them all by would be written with every event.
const EVENTS_OF: &str = "SELECT id, state, due_at, deliveries, last_error FROM (
       SELECT * FROM (SELECT * FROM stale_drafts_events WHERE state = 'due' ORDER BY due_at DESC, id DESC LIMIT 1000)
       UNION ALL SELECT * FROM (SELECT * FROM stale_drafts_events WHERE state = 'dead' ORDER BY due_at DESC, id DESC LIMIT 1000))
     WHERE creation_id = ?1 ORDER BY due_at, id LIMIT 20";

const SET_ASIDE: &str = "SELECT creation_id, until, reason FROM stale_drafts_rejected WHERE creation_id = ?1";

/// The creations with these ids: the same row as [`super::stale`].
pub fn by_id(ids: &[&str]) -> Statement {
    Statement::new(BY_ID, [Param::Text(json(ids))])
}

/// How many creations are active, counted up to `limit`: one row with `active`.
pub fn active_up_to(limit: u64) -> Statement {
    Statement::new(ACTIVE, [Param::Integer(i64::try_from(limit).unwrap_or(i64::MAX))])
}

/// Whose creation it is: one row with `user_id`, or none.
pub fn owner(id: &str) -> Statement {
    Statement::new(OWNER, [id.into()])
}

/// Counts active creations by age. `bands` are milliseconds, ascending. Rows of `status`, `kind`, `band` (how many of
/// `bands` the age exceeds; −1 if it can't be known), `creations`, `tokens`.
pub fn count(now: Timestamp, bands: &[u64]) -> Statement {
    let latest = now.latest_sign_of_life().into();
    Statement::new(COUNT, [now.into(), Param::Text(json(bands)), COUNTED.into(), latest])
}

/// `limit` sweeps before the one with the id `before`, the newest first; from the newest if it is `None`.
pub fn sweeps(before: Option<&str>, limit: u32) -> Statement {
    // Greater than every id: they begin with a hexadecimal digit.
    Statement::new(SWEEPS, [before.unwrap_or("~").into(), limit.into()])
}

/// All about one creation: its [`super::PageRow`] in `page` and the `worker` of its attempt, the ledger's entries, the sweeps that touched it, the
/// attempts that are over, and the events that have not been delivered, among the newest 1,000 that are due and the newest 1,000 that
/// are dead: in a larger backlog an older one is not shown. Then whether sweeps have set it aside: rows for [`super::SetAsideRow`]; who has
/// given it more time: rows for [`super::GivenRow`]; and what operators did: [`super::acts`].
pub fn explain(id: &str) -> Vec<Statement> {
    let about = [ONE, LEDGER_OF, SWEEPS_OF, ATTEMPTS_OF, EVENTS_OF, SET_ASIDE, OF_CREATION];
    let about = about.into_iter().map(|sql| Statement::new(sql, [id.into()]));
    about.chain([acts(Subject::Creation(id))]).collect()
}
