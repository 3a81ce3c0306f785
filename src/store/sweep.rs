//! What a sweep asks and writes.
//!
//! `INDEXED BY` and `CROSS JOIN` fix the order in which SQLite walks: without them it may read the whole table once for each row,
//! above all after an ANALYZE of a table that was small then. `sqlite_autoindex_stale_drafts_creations_1` is the index of the
//! primary key. Statements keep their own line breaks, so `rustfmt` leaves them alone.

use serde::Serialize;

use super::{Param, PlanRow, Statement};
use crate::rules::{Active, CircuitBreaker, Limit, Phase, Policy, Timestamp};

/// What the rules need of a creation, as one JSON array: see [`super::CandidateRow`]. A time that is not an
/// integer becomes the text `malformed`, because JSON can't hold every SQL value and one bad row must not stop
/// a sweep.
macro_rules! candidate {
    () => {
        "json_array(id, user_id, kind, status, attempt, tokens,
         CASE typeof(created_at) WHEN 'integer' THEN created_at WHEN 'null' THEN NULL ELSE 'malformed' END,
         CASE typeof(started_at) WHEN 'integer' THEN started_at WHEN 'null' THEN NULL ELSE 'malformed' END,
         CASE typeof(heartbeat_at) WHEN 'integer' THEN heartbeat_at WHEN 'null' THEN NULL ELSE 'malformed' END,
         CASE typeof(queued_at) WHEN 'integer' THEN queued_at WHEN 'null' THEN NULL ELSE 'malformed' END,
         progress,
         CASE typeof(extended_until) WHEN 'integer' THEN extended_until WHEN 'null' THEN NULL ELSE 'malformed' END)"
    };
}

/// The literal that the partial indexes are declared with. SQLite uses them for exactly this text.
macro_rules! active {
    () => {
        "status IN ('pending', 'processing')"
    };
}

/// The cutoff for a kind in a phase, from ?1: the kind's own, or the one for every other kind. It reads a row for each kind
/// that the policy names, and none otherwise.
macro_rules! cutoff {
    ($phase:literal, $kind:literal) => {
        concat!(
            "ifnull((SELECT value ->> 1 FROM json_each(?1, '$.kinds.' || ",
            $phase,
            ") WHERE value ->> 0 = ",
            $kind,
            "),
           ?1 ->> ('$.others.' || ",
            $phase,
            "))"
        )
    };
}

/// What suspends sweeps, a pause before a breaker: `[name, since, actor, detail]`, or `NULL`. A sweep that finds nothing does not
/// ask.
macro_rules! suspended {
    () => {
        "(SELECT json_array(name, since, actor, detail) FROM stale_drafts_controls ORDER BY name DESC LIMIT 1)"
    };
}

/// The pairs of phase and kind that are in use: it hops over the index from one to the next.
macro_rules! pairs {
    () => {
        "pairs (phase, kind) AS MATERIALIZED (
       SELECT s.column1, (SELECT kind FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = s.column1 AND last_sign_of_life IS NOT NULL ORDER BY kind LIMIT 1) AS kind
       FROM (VALUES ('pending'), ('processing'), ('heartbeating')) AS s WHERE kind IS NOT NULL
       UNION ALL
       SELECT phase, (SELECT kind FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = pairs.phase AND kind > pairs.kind AND last_sign_of_life IS NOT NULL ORDER BY kind LIMIT 1) AS next
       FROM pairs WHERE next IS NOT NULL
       ORDER BY 1, 2)"
    };
}

/// Whether a creation's owner is not on the way to another shard. Their worker's reports are refused meanwhile, so silence says nothing.
/// No user is, as a rule, and then it costs no row.
macro_rules! stays {
    ($creation:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = ",
            $creation,
            ".user_id)"
        )
    };
}

/// Whether an operator has given a creation no more time than until the instant `$now`: the rule of `Draft::extended_until`. It stands beside
/// what an index finds by, so that what is put off is read.
macro_rules! not_put_off {
    ($creation:literal, $now:literal) => {
        concat!("(", $creation, ".extended_until IS NULL OR ", $creation, ".extended_until < ", $now, ")")
    };
}

/// The creations of a plan that still are what it was decided on. Each statement that carries a plan out joins with this, so
/// the precondition stands inside every write. The unary `+` keeps SQLite on the primary key.
macro_rules! as_planned {
    () => {
        "c.id = j.value ->> 'id'
         AND +c.status = j.value ->> 'status'
         AND +c.attempt = j.value ->> 'attempt'
         AND +c.last_sign_of_life = j.value ->> 'last_sign_of_life'
         AND +c.phase = j.value ->> 'phase'
         AND +c.processing_since IS j.value ->> 'processing_since'
         AND +c.extended_until IS j.value ->> 'extended_until'
         AND +c.kind = j.value ->> 'kind'
         AND +c.tokens = j.value ->> 'tokens'
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = c.user_id)"
    };
}

pub(super) use {active, as_planned, candidate, cutoff, pairs, stays, suspended};

/// Creations that are stale by the cutoffs in ?1, and active ones whose times can't be read: a last sign of life after ?2 is in
/// the future.
///
/// `pairs` hops over the index from one (phase, kind) to the next, so its cost is the number of kinds in use
/// and not the number of creations; `totals` does the same for the limits on the total time, if there are any. What was set
/// aside comes last, so it keeps nothing from its turn.
///
/// `active` is how many creations are active, as far as the circuit breaker has to know: so many that the share of the `n` stale
/// ones is within bounds, and no more. Those that are stale by silence are not among the ones that are counted, and those that are
/// stale by the total time are (`shows_life`). Numbers are bound as doubles, and a `LIMIT` that is not whole is an error, so it is
/// cast.
#[rustfmt::skip]
const STALE: &str = concat!(
    "WITH RECURSIVE
     ", pairs!(), ",
     totals (kind) AS MATERIALIZED (
       SELECT (SELECT kind FROM stale_drafts_creations INDEXED BY stale_drafts_creations_processing
         WHERE processing_since IS NOT NULL ORDER BY kind LIMIT 1) AS first
       WHERE ?1 ->> '$.limits_total' AND first IS NOT NULL
       UNION ALL
       SELECT (SELECT kind FROM stale_drafts_creations INDEXED BY stale_drafts_creations_processing
         WHERE kind > totals.kind AND processing_since IS NOT NULL ORDER BY kind LIMIT 1) AS next
       FROM totals WHERE next IS NOT NULL),
     stale AS NOT MATERIALIZED (
       SELECT c.*, 0 AS shows_life
       FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
       ON c.phase = pairs.phase AND c.kind = pairs.kind AND c.last_sign_of_life < ", cutoff!("pairs.phase", "pairs.kind"), "
       WHERE ", not_put_off!("c", "?7"), " AND NOT EXISTS (SELECT 1 FROM stale_drafts_rejected WHERE creation_id = c.id) AND ", stays!("c"), "
       UNION ALL
       SELECT c.*, 1 AS shows_life
       FROM totals CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_processing
       ON c.kind = totals.kind AND c.processing_since < ", cutoff!("'total'", "totals.kind"), "
         AND c.last_sign_of_life <= ?2 AND c.last_sign_of_life >= ", cutoff!("c.phase", "totals.kind"), "
       WHERE ", not_put_off!("c", "?7"), " AND NOT EXISTS (SELECT 1 FROM stale_drafts_rejected WHERE creation_id = c.id) AND ", stays!("c"), "
       UNION ALL
       SELECT c.*, c.last_sign_of_life >= ", cutoff!("c.phase", "c.kind"), " AS shows_life
       FROM stale_drafts_rejected AS r
       CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1 ON c.id = r.creation_id
       WHERE r.until <= ?7 AND c.last_sign_of_life <= ?2 AND ", not_put_off!("c", "?7"), " AND ", stays!("c"), "
         AND (c.last_sign_of_life < ", cutoff!("c.phase", "c.kind"), "
           OR c.processing_since < ", cutoff!("'total'", "c.kind"), ")
       LIMIT ?3),
     unreadable AS (
       SELECT * FROM (
         SELECT * FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_unreadable
         WHERE ", active!(), " AND last_sign_of_life IS NULL AND ", stays!("c"), " LIMIT ?4)
       UNION ALL
       SELECT * FROM (
         SELECT c.* FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
         ON c.phase = pairs.phase AND c.kind = pairs.kind AND c.last_sign_of_life > ?2
         WHERE ", stays!("c"), " LIMIT ?4)),
     found AS MATERIALIZED (
       SELECT json_group_array(", candidate!(), ") AS candidates, count(*) AS n, sum(shows_life) AS show_life FROM stale)
     SELECT candidates,
       (SELECT json_group_array(", candidate!(), ") FROM unreadable) AS unreadable,
       CASE WHEN n > 0 THEN ", suspended!(), " END AS suspended,
       CASE WHEN n >= ?5 THEN n - show_life + (SELECT count(*) FROM (
         SELECT 1 FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
         ON c.phase = pairs.phase AND c.kind = pairs.kind
           AND c.last_sign_of_life >= ", cutoff!("pairs.phase", "pairs.kind"), "
         WHERE ", stays!("c"), "
         UNION ALL
         SELECT 1 FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_extended
         WHERE ", active!(), " AND c.extended_until >= ?7 AND c.last_sign_of_life < ", cutoff!("c.phase", "c.kind"), " AND ", stays!("c"), "
         LIMIT (SELECT max(0, CAST(n * 100 / ?6 AS INTEGER) + 1 - n + show_life) FROM found))) END AS active
     FROM found"
);

/// The same of one user's creations, all of which it looks at: they are few. ?7 is how many stale ones the circuit breaker asks about.
#[rustfmt::skip]
const STALE_OF_USER: &str = concat!(
    "WITH mine AS MATERIALIZED (
       SELECT *, last_sign_of_life IS NULL OR last_sign_of_life > ?2 AS unreadable
       FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
       WHERE ", active!(), " AND user_id = ?5
         AND NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users WHERE user_id = ?5)
         AND (last_sign_of_life IS NULL OR last_sign_of_life > ?2
           OR (last_sign_of_life < ", cutoff!("phase", "kind"), "
             OR processing_since < ", cutoff!("'total'", "kind"), ")
           AND ", not_put_off!("stale_drafts_creations", "?6"), ")),
     found AS MATERIALIZED (
       SELECT json_group_array(", candidate!(), ") AS candidates, count(*) AS n FROM (
         SELECT mine.* FROM mine LEFT JOIN stale_drafts_rejected AS r ON r.creation_id = mine.id
         WHERE NOT unreadable AND ifnull(r.until, 0) <= ?6
         ORDER BY r.until IS NOT NULL, last_sign_of_life LIMIT ?3))
     SELECT candidates,
       (SELECT json_group_array(", candidate!(), ") FROM (SELECT * FROM mine WHERE unreadable LIMIT ?4)) AS unreadable,
       CASE WHEN n > 0 THEN ", suspended!(), " END AS suspended,
       CASE WHEN n >= ?7 THEN (SELECT count(*) FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
         WHERE ", active!(), " AND user_id = ?5) END AS active
     FROM found"
);

/// Credits each owner with the sum of what is about to be refunded: one write per user.
#[rustfmt::skip]
const CREDIT_BALANCES: &str = concat!(
    "INSERT INTO stale_drafts_balances (user_id, tokens)
     SELECT c.user_id, sum(c.tokens)
     FROM json_each(?1) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     ON ", as_planned!(), "
     WHERE c.tokens > 0 GROUP BY c.user_id
     ON CONFLICT (user_id) DO UPDATE SET tokens = tokens + excluded.tokens"
);

/// Marks the creations failed; the trigger `stale_drafts_creations_are_refunded` writes the ledger, and `stale_drafts_creations_emit` the event.
#[rustfmt::skip]
const MARK_FAILED: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     SET status = 'failed', finished_at = ?2, error_code = 'generation_timeout', error = j.value ->> 'error',
       stuck_status = j.value ->> 'status', age_ms = j.value ->> 'age_ms', max_age_ms = j.value ->> 'max_age_ms',
       rule = j.value ->> 'rule', sweep_id = ?3, event = 'failed', event_destinations = ?4
     FROM j WHERE ", as_planned!()
);

/// Records the attempts that are about to be over.
#[rustfmt::skip]
const RECORD_ATTEMPTS: &str = concat!(
    "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, fence, started_at, heartbeat_at, finished_at,
       error, error_code, stuck_status, age_ms, max_age_ms, rule, sweep_id)
     SELECT c.id, c.attempt, 'retried', c.worker, c.fence, c.started_at, c.heartbeat_at, ?2,
       j.value ->> 'error', 'generation_timeout', j.value ->> 'status', j.value ->> 'age_ms', j.value ->> 'max_age_ms',
       j.value ->> 'rule', ?3
     FROM json_each(?1) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     ON ", as_planned!()
);

/// Puts the creations back to pending, for their next attempt.
#[rustfmt::skip]
const RETRY: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     SET status = 'pending', attempt = c.attempt + 1, queued_at = ?2, started_at = NULL, heartbeat_at = NULL,
       worker = NULL, fence = NULL, progress = NULL, extended_until = NULL,
       event = 'retried', event_destinations = ?3
     FROM j WHERE ", as_planned!()
);

/// How many have moved on since they were read: so many of the plan (?7, in ?6) the statement before did not change. Where one of these
/// is as planned still, a trigger has skipped it by `RAISE(IGNORE)`: then it is -1, which the table refuses, and the transaction with it. For
/// what the sweep did before (the owner's credit, the attempt's row) would stay without what it was done for.
macro_rules! raced {
    () => {
        concat!(
            "CASE WHEN changes() = ?7 THEN 0
         WHEN EXISTS (SELECT 1 FROM json_each(?6) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
           ON ",
            as_planned!(),
            ") THEN -1
         ELSE ?7 - changes() END"
        )
    };
}

/// Counts what [`MARK_FAILED`] just did, in the same transaction: `changes()` is its number of rows. What it was about is
/// read back only if a creation had moved on; otherwise it is the plan, and `done_ids` is `NULL`. The first
/// transaction of a sweep makes its row, and the last one ends it. A trigger rolls `counted` up.
///
/// A transaction may be repeated that was committed, and whose answer was lost. Then the sweep's row is beyond the creations that
/// were settled `before` it, nothing is counted again, and there is no answer: see [`done_before`].
#[rustfmt::skip]
const COUNT_FAILED: &str = concat!(
    "INSERT INTO stale_drafts_sweeps (id, source, actor, plan_id, started_at, failed, raced, refunded_tokens,
       examined, rejected, unreadable, more, finished_at, counted)
     VALUES (?1, ?2, ?3, ?4, ?5, changes(), ", raced!(), ",
       CASE WHEN changes() = ?7 THEN ?8 ELSE (
         SELECT coalesce(sum(c.tokens), 0) FROM json_each(?6) AS j
         CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
         ON c.id = j.value ->> 'id' WHERE +c.sweep_id = ?1) END,
       ?9, ?10, ?11, ?12, CASE WHEN ?13 THEN max(?5, CAST(unixepoch('subsec') * 1000 AS INTEGER)) END,
       CASE WHEN changes() = ?7 THEN ?14 ELSE (
         SELECT json_group_array(json_array('failed', c.kind, c.stuck_status, c.rule, 1, c.tokens,
           j.value ->> 'lag' = 0, j.value ->> 'lag' = 1, j.value ->> 'lag' = 2,
           j.value ->> 'lag' = 3, j.value ->> 'lag' = 4, j.value ->> 'lag' = 5,
           (j.value ->> 'age_ms') - (j.value ->> 'max_age_ms')))
         FROM json_each(?6) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
         ON c.id = j.value ->> 'id' WHERE +c.sweep_id = ?1) END)
     ON CONFLICT (id) DO UPDATE SET failed = failed + excluded.failed, raced = raced + excluded.raced,
       refunded_tokens = refunded_tokens + excluded.refunded_tokens, examined = excluded.examined, rejected = excluded.rejected,
       unreadable = excluded.unreadable, more = excluded.more, finished_at = excluded.finished_at, counted = excluded.counted
     WHERE failed + retried + raced = ?15
     RETURNING CASE WHEN changes() <> ?7 THEN (
       SELECT json_group_array(c.id) FROM json_each(?6) AS j
       CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
       ON c.id = j.value ->> 'id' WHERE +c.sweep_id = ?1) END AS done_ids"
);

/// Counts what [`RETRY`] just did, as [`COUNT_FAILED`] does; nothing is refunded.
#[rustfmt::skip]
const COUNT_RETRIED: &str = concat!(
    "INSERT INTO stale_drafts_sweeps (id, source, actor, plan_id, started_at, retried, raced,
       examined, rejected, unreadable, more, finished_at, counted)
     VALUES (?1, ?2, ?3, ?4, ?5, changes(), ", raced!(), ",
       ?8, ?9, ?10, ?11, CASE WHEN ?12 THEN max(?5, CAST(unixepoch('subsec') * 1000 AS INTEGER)) END,
       CASE WHEN changes() = ?7 THEN ?13 ELSE (
         SELECT json_group_array(json_array('retried', c.kind, a.stuck_status, a.rule, 1, 0,
           j.value ->> 'lag' = 0, j.value ->> 'lag' = 1, j.value ->> 'lag' = 2,
           j.value ->> 'lag' = 3, j.value ->> 'lag' = 4, j.value ->> 'lag' = 5,
           (j.value ->> 'age_ms') - (j.value ->> 'max_age_ms')))
         FROM json_each(?6) AS j
         CROSS JOIN stale_drafts_attempts AS a ON a.creation_id = j.value ->> 'id' AND a.attempt = j.value ->> 'attempt'
         CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1 ON c.id = a.creation_id
         WHERE a.sweep_id = ?1) END)
     ON CONFLICT (id) DO UPDATE SET retried = retried + excluded.retried, raced = raced + excluded.raced,
       examined = excluded.examined, rejected = excluded.rejected,
       unreadable = excluded.unreadable, more = excluded.more, finished_at = excluded.finished_at, counted = excluded.counted
     WHERE failed + retried + raced = ?14
     RETURNING CASE WHEN changes() <> ?7 THEN (
       SELECT json_group_array(a.creation_id) FROM json_each(?6) AS j
       CROSS JOIN stale_drafts_attempts AS a ON a.creation_id = j.value ->> 'id' AND a.attempt = j.value ->> 'attempt'
       WHERE a.sweep_id = ?1) END AS done_ids"
);

/// What a sweep has done of a plan.
#[rustfmt::skip]
const DONE_BEFORE: &str =
    "SELECT json_group_array(j.value ->> 'id') AS done_ids FROM json_each(?2) AS j
     WHERE EXISTS (SELECT 1 FROM stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
         WHERE c.id = j.value ->> 'id' AND +c.sweep_id = ?1)
       OR EXISTS (SELECT 1 FROM stale_drafts_attempts AS a
         WHERE a.creation_id = j.value ->> 'id' AND a.attempt = j.value ->> 'attempt' AND a.sweep_id = ?1)";

/// Sets creations aside whose write the database rejected, unless they have moved on. Those that were only rejected together with
/// others come after all who wait for such a turn already: so no two parts are joined again, which would go on for ever.
#[rustfmt::skip]
const SET_ASIDE: &str = concat!(
    "INSERT INTO stale_drafts_rejected (creation_id, until, reason)
     SELECT c.id, (j.value ->> 'until') + iif(j.value ->> 'together', waiting.shift, 0), j.value ->> 'reason'
     FROM (SELECT max(0, ifnull(max(until), 0) + ?3 - ?2) AS shift FROM stale_drafts_rejected
       WHERE until >= ?2 AND reason LIKE 'rejected together with others: %'
         AND creation_id NOT IN (SELECT value ->> 'id' FROM json_each(?1))) AS waiting
     CROSS JOIN json_each(?1) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     ON c.id = j.value ->> 'id' AND +c.attempt = j.value ->> 'attempt' AND +c.", active!(), "
     WHERE ", stays!("c"), "
     ON CONFLICT (creation_id) DO UPDATE SET until = excluded.until, reason = excluded.reason"
);

/// Ends a sweep's row. An error that is there already stays.
const END_SWEEP: &str = "INSERT INTO stale_drafts_sweeps
       (id, source, actor, plan_id, started_at, finished_at, examined, rejected, unreadable, more, error,
        queries, rows_read, rows_written)
     VALUES (?1, ?2, ?3, ?4, ?5, max(?5, CAST(unixepoch('subsec') * 1000 AS INTEGER)), ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
     ON CONFLICT (id) DO UPDATE SET finished_at = excluded.finished_at, examined = excluded.examined,
       rejected = excluded.rejected, unreadable = excluded.unreadable, more = excluded.more,
       error = ifnull(error, excluded.error),
       queries = excluded.queries, rows_read = excluded.rows_read, rows_written = excluded.rows_written";

/// What is shown of a sweep: see [`super::SweepRow`].
macro_rules! sweep_columns {
    () => {
        "id, source, actor, plan_id, started_at, finished_at, examined, failed, retried, raced, rejected,
       unreadable, refunded_tokens, more, error, queries, rows_read, rows_written,
       (SELECT json_group_array(json_object('id', id, 'at', at, 'actor', actor, 'action', action, 'detail', detail)) FROM (
         SELECT * FROM stale_drafts_audit INDEXED BY stale_drafts_audit_of_subject
         WHERE subject = 'sweep:' || stale_drafts_sweeps.id ORDER BY id LIMIT 100)) AS notes"
    };
}

/// `$column` of the newest sweep by cron that has ended `$well`, among the newest 1,000 sweeps: where none of these has, the answer
/// is the same as where there is none, and the rest of the table is not read.
macro_rules! newest_by_cron {
    ($column:literal, $well:expr) => {
        concat!(
            "(SELECT ",
            $column,
            " FROM (SELECT source, started_at, finished_at, error, unreadable FROM stale_drafts_sweeps ORDER BY id DESC LIMIT 1000)
        WHERE source = 'cron' AND finished_at IS NOT NULL AND (",
            $well,
            ") LIMIT 1)"
        )
    };
}

/// Whether a sweep was held, by its error: that is how [`crate::rules::Suspension`] says it.
macro_rules! held {
    () => {
        "error GLOB 'sweeping is paused by *' OR error GLOB 'the circuit breaker is open: *'"
    };
}

pub(super) use {held, newest_by_cron, sweep_columns};

#[rustfmt::skip]
const READINESS: &str = concat!(
    "SELECT (SELECT max(version) FROM stale_drafts_schema) AS version,
       ", newest_by_cron!("finished_at", concat!("error IS NULL OR ", held!())), " AS last_run"
);

/// Which creations are looked at; `None` leaves nothing out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Only those of this kind.
    pub kind: Option<&'a str>,
    /// Only those in this status.
    pub status: Option<Active>,
}

impl Filter<'_> {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.kind.is_none() && self.status.is_none()
    }

    /// Whether a creation of this status and kind is looked at.
    pub fn matches(&self, status: Active, kind: &str) -> bool {
        self.kind.is_none_or(|only| only == kind) && self.status.is_none_or(|only| only == status)
    }
}

/// At most how many rows [`stale`] answers with.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Stale creations.
    pub limit: u32,
    /// Creations whose age can't be known, of each sort.
    pub unreadable: u32,
}

/// Creations that are stale at `now` under `policy`. One row: `candidates`, `unreadable`, what suspends sweeps as `suspended`, and
/// `active`: how many creations are active, where the circuit breaker wants to know; no more are counted than it takes to see that
/// the share of the stale ones is within bounds.
pub fn stale(
    policy: &Policy,
    filter: Filter<'_>,
    now: Timestamp,
    window: Window,
    breaker: CircuitBreaker,
) -> Statement {
    stale_by(cutoffs(policy, filter, now), now, window, breaker, now)
}

/// One creation that has been stale for more than `overdue_ms`, if there is one. What is set aside is none, until sweeps should have
/// tried it again. The same row as [`stale`].
pub fn overdue(policy: &Policy, now: Timestamp, overdue_ms: u64) -> Statement {
    let one = Window { limit: 1, unreadable: 0 };
    let since = now.saturating_sub(overdue_ms);
    // Nobody asks for the breaker's share, and it counts from more than one on.
    stale_by(cutoffs(policy, Filter::default(), since), now, one, CircuitBreaker::default(), since)
}

fn stale_by(
    cutoffs: String,
    now: Timestamp,
    window: Window,
    breaker: CircuitBreaker,
    set_aside_until: Timestamp,
) -> Statement {
    let Window { limit, unreadable } = window;
    let CircuitBreaker { at_least, percent, .. } = breaker;
    Statement::new(
        STALE,
        [
            Param::Text(cutoffs),
            now.latest_sign_of_life().into(),
            limit.into(),
            unreadable.into(),
            at_least.into(),
            percent.max(1).into(),
            set_aside_until.into(),
        ],
    )
}

/// The same of one user's creations.
pub fn stale_of_user(
    user_id: &str,
    policy: &Policy,
    filter: Filter<'_>,
    now: Timestamp,
    window: Window,
    breaker: CircuitBreaker,
) -> Statement {
    let Window { limit, unreadable } = window;
    let cutoffs = Param::Text(cutoffs(policy, filter, now));
    let latest = now.latest_sign_of_life().into();
    Statement::new(
        STALE_OF_USER,
        [
            cutoffs,
            latest,
            limit.into(),
            unreadable.into(),
            user_id.into(),
            now.into(),
            breaker.at_least.into(),
        ],
    )
}

/// A cutoff before which nothing is.
const NEVER: i64 = -1;

/// The cutoffs of every limit of the policy: stale is a last sign of life before the cutoff, and for the phase `total` a
/// worker's beginning before it. `{"kinds": {phase: [[kind, cutoff], …]}, "others": {phase: cutoff}, "limits_total": …}`. `never`,
/// and what the filter leaves out, is −1.
pub(super) fn cutoffs(policy: &Policy, filter: Filter<'_>, now: Timestamp) -> String {
    let cutoff = |status, kind: &str, limit| match limit {
        _ if !filter.matches(status, kind) => NEVER,
        Limit::Never => NEVER,
        Limit::After(max_age) => signed(now.as_millis().saturating_sub(max_age.as_millis())),
    };
    let named: Vec<_> = policy.kinds().chain(filter.kind).collect();
    let (mut kinds, mut others) = (serde_json::Map::new(), serde_json::Map::new());
    // An unnamed kind has the limit that any kind without entries has. Kinds are never empty in a policy; in a filter they may
    // be, and then the others are left out all the same.
    let mut add = |phase: &str, limit: &dyn Fn(&str) -> i64| {
        let of_kinds = named.iter().map(|kind| serde_json::json!([kind, limit(kind)])).collect();
        kinds.insert(phase.to_owned(), serde_json::Value::Array(of_kinds));
        others.insert(phase.to_owned(), if filter.kind.is_some() { NEVER } else { limit("") }.into());
    };
    for phase in Phase::ALL {
        add(phase.as_str(), &|kind| cutoff(phase.status(), kind, policy.limit_in(phase, kind).0));
    }
    add("total", &|kind| cutoff(Active::Processing, kind, policy.total(kind).0));
    serde_json::json!({ "kinds": kinds, "others": others, "limits_total": policy.limits_total() }).to_string()
}

/// The writes of one transaction of a sweep that fails creations, in order: credit, mark, count. The last one answers with
/// [`super::done_ids`].
pub fn mark_failed(
    start: SweepStart<'_>,
    plan: &[PlanRow<'_>],
    count: Count,
    destinations: u32,
) -> [Statement; 3] {
    let rows = super::json(plan);
    let SweepStart { sweep_id, now, .. } = start;
    let tokens = plan.iter().fold(0_i64, |sum, row| sum.saturating_add(signed(row.tokens)));
    let mut params = start.params();
    params.extend([Param::Text(rows.clone()), whole(plan.len()), Param::Integer(tokens)]);
    params.extend(count.params());
    [
        Statement::new(CREDIT_BALANCES, [Param::Text(rows.clone())]),
        Statement::new(MARK_FAILED, [Param::Text(rows), now.into(), sweep_id.into(), destinations.into()]),
        Statement::new(COUNT_FAILED, params),
    ]
}

/// The writes of one transaction of a sweep that puts creations back for another attempt, in order: record, put back,
/// count. As [`mark_failed`].
pub fn retry(start: SweepStart<'_>, plan: &[PlanRow<'_>], count: Count, destinations: u32) -> [Statement; 3] {
    let rows = super::json(plan);
    let SweepStart { sweep_id, now, .. } = start;
    let mut params = start.params();
    params.extend([Param::Text(rows.clone()), whole(plan.len())]);
    params.extend(count.params());
    [
        Statement::new(RECORD_ATTEMPTS, [Param::Text(rows.clone()), now.into(), sweep_id.into()]),
        Statement::new(RETRY, [Param::Text(rows), now.into(), destinations.into()]),
        Statement::new(COUNT_RETRIED, params),
    ]
}

/// What a sweep has done of a plan: a row for [`super::done_ids`]. It is asked where the answer of [`mark_failed`] or [`retry`] is
/// empty, since a transaction that was committed before was repeated.
pub fn done_before(sweep_id: &str, plan: &[PlanRow<'_>]) -> Statement {
    Statement::new(DONE_BEFORE, [sweep_id.into(), Param::Text(super::json(plan))])
}

/// Leaves creations aside whose write the database rejected: no sweep looks at one before its `until`. The turns of those that were
/// rejected together begin at `first_turn`, or `turn_ms` after the last of those who wait already.
pub fn set_aside(creations: &[SetAside<'_>], first_turn: Timestamp, turn_ms: u32) -> Statement {
    Statement::new(SET_ASIDE, [Param::Text(super::json(creations)), first_turn.into(), turn_ms.into()])
}

/// A creation to be set aside.
#[derive(Clone, Debug, Serialize)]
pub struct SetAside<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// The attempt that was stale.
    pub attempt: u32,
    /// When it is due again, in epoch milliseconds.
    pub until: u64,
    /// What the database said.
    pub reason: &'a str,
    /// Whether it was only rejected together with others; then [`TOGETHER`] begins the reason.
    pub together: bool,
}

/// How the reason of those begins that were only rejected together with others.
pub const TOGETHER: &str = "rejected together with others: ";

/// What a sweep's row says of it from the beginning.
#[derive(Clone, Copy, Debug)]
pub struct SweepStart<'a> {
    /// The sweep's id.
    pub sweep_id: &'a str,
    /// `cron`, `page`, `endpoint` or `tool`.
    pub source: &'a str,
    /// Who asked: a user's id, a token's name.
    pub actor: Option<&'a str>,
    /// The plan that it carries out.
    pub plan_id: Option<&'a str>,
    /// The instant that it measures from.
    pub now: Timestamp,
}

impl SweepStart<'_> {
    fn params(self) -> Vec<Param> {
        vec![
            self.sweep_id.into(),
            self.source.into(),
            self.actor.into(),
            self.plan_id.into(),
            self.now.into(),
        ]
    }
}

/// What a sweep's row says, beside what its transactions count themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepTotals {
    /// Candidates looked at.
    pub examined: u32,
    /// Candidates whose write the database rejected.
    pub rejected: u32,
    /// Creations whose age can't be known.
    pub unreadable: u32,
    /// Whether stale creations remain.
    pub more: bool,
}

impl SweepTotals {
    fn params(self) -> [Param; 4] {
        [self.examined.into(), self.rejected.into(), self.unreadable.into(), u32::from(self.more).into()]
    }
}

/// What the last statement of a transaction notes of its sweep.
#[derive(Clone, Debug)]
pub struct Count {
    /// The totals up to now.
    pub totals: SweepTotals,
    /// How many creations the sweep's transactions before have settled: done or left alone.
    pub before: u32,
    /// Whether it ends the sweep's row.
    pub last: bool,
    /// What is rolled up if all of the plan goes through: see `sweeps.counted`.
    pub counted: String,
}

impl Count {
    fn params(self) -> Vec<Param> {
        let mut params = self.totals.params().to_vec();
        params.extend([u32::from(self.last).into(), Param::Text(self.counted), self.before.into()]);
        params
    }
}

/// A sweep's row as it ends, with the error that stopped it; also makes the row, where there is none yet.
/// It notes what the sweep has cost, this statement included.
pub fn end_sweep(
    start: SweepStart<'_>,
    totals: SweepTotals,
    error: Option<&str>,
    cost: super::Cost,
) -> Statement {
    let mut params = start.params();
    params.extend(totals.params());
    params.push(error.into());
    params.extend(noted(cost));
    Statement::new(END_SWEEP, params)
}

/// A cost with that of the statement that notes it: one query, and one row written.
fn noted(cost: super::Cost) -> [Param; 3] {
    let super::Cost { queries, rows_read, rows_written } = cost;
    [queries.saturating_add(1), rows_read, rows_written.saturating_add(1)]
        .map(|number| Param::Integer(signed(number)))
}

/// One row: `version` of the schema, and when the `last_run` of the cron trigger ended that swept well or was held, if it is among
/// the newest 1,000 sweeps.
pub fn readiness() -> Statement {
    Statement::new(READINESS, [])
}

/// What suspends sweeping: a row for [`super::suspended`].
pub fn suspension() -> Statement {
    Statement::new(concat!("SELECT ", suspended!(), " AS suspended"), [])
}

fn whole(count: usize) -> Param {
    Param::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
