use super::{FailureRow, Page, Param, Statement};
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
         progress)"
    };
}

/// The literal that the partial indexes are declared with. SQLite uses them for exactly this text.
macro_rules! active {
    () => {
        "status IN ('pending', 'processing')"
    };
}

pub(super) use {active, candidate};

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

/// What holds sweeps back, a pause before a breaker: `[name, since, actor, detail]`, or `NULL`. A sweep that finds nothing does not
/// ask.
macro_rules! suspended {
    () => {
        "(SELECT json_array(name, since, actor, detail) FROM stale_drafts_controls ORDER BY name DESC LIMIT 1)"
    };
}

pub(super) use suspended;

/// The pairs of phase and kind that are in use: it hops over the index from one to the next. They are in order, whichever there
/// are: a sweep's offset relies on it.
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

pub(super) use {cutoff, pairs};

/// How many creations are active, as far as the circuit breaker has to know: so many that the share of the `n` stale ones is within bounds,
/// and no more. Numbers are bound as doubles, and a `LIMIT` that is not whole is an error, so it is cast.
macro_rules! share {
    ($less:literal) => {
        concat!("(SELECT max(0, CAST(n * 100 / ?7 AS INTEGER) + 1", $less, ") FROM found)")
    };
}

/// The parts of [`STALE`] and [`STALE_BY_TOTAL`]; the latter has `$by_total` in its list of stale creations, and `$active` counts
/// the active ones.
macro_rules! stale {
    ($totals:literal, $by_total:expr, $active:expr) => {
        concat!(
            "WITH RECURSIVE ",
            pairs!(),
            ",",
            $totals,
            "
     stale AS NOT MATERIALIZED (
       SELECT c.* FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
       ON c.phase = pairs.phase AND c.kind = pairs.kind
         AND c.last_sign_of_life < ",
            cutoff!("pairs.phase", "pairs.kind"),
            $by_total,
            "
       LIMIT ?3 OFFSET ?4),
     unreadable AS (
       SELECT * FROM (
         SELECT * FROM stale_drafts_creations INDEXED BY stale_drafts_creations_unreadable
         WHERE ",
            active!(),
            " AND last_sign_of_life IS NULL LIMIT ?5)
       UNION ALL
       SELECT * FROM (
         SELECT c.* FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
         ON c.phase = pairs.phase AND c.kind = pairs.kind AND c.last_sign_of_life > ?2
         LIMIT ?5)),
     found AS MATERIALIZED (SELECT json_group_array(",
            candidate!(),
            ") AS candidates, count(*) AS n FROM stale)
     SELECT candidates, (SELECT json_group_array(",
            candidate!(),
            ") FROM unreadable) AS unreadable,
            CASE WHEN n > 0 THEN ",
            suspended!(),
            " END AS suspended,
            CASE WHEN n >= ?6 THEN ",
            $active,
            " END AS active
     FROM found"
        )
    };
}

/// Creations that are stale by the limits on silence in ?1, and active ones whose times can't be read.
///
/// `pairs` hops over the index from one (phase, kind) to the next, so its cost is the number of kinds in use
/// and not the number of creations. A limit is looked up as [`Policy::limit_in`] does; `never` is a cutoff of −1.
///
/// The stale ones are known to be active, so only the others are counted.
const STALE: &str = stale!(
    "",
    "",
    concat!(
        "n + (SELECT count(*) FROM (
              SELECT 1 FROM pairs CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_active
              ON c.phase = pairs.phase AND c.kind = pairs.kind AND c.last_sign_of_life >= ",
        cutoff!("pairs.phase", "pairs.kind"),
        "
              LIMIT ",
        share!(" - n"),
        "))"
    )
);

/// The same, and those that are stale by the limits on the total time, which stand in ?1 as the phase `total`. These may show
/// signs of life, so all that are active are counted.
const STALE_BY_TOTAL: &str = stale!(
    "
     totals (kind) AS MATERIALIZED (
       SELECT (SELECT kind FROM stale_drafts_creations INDEXED BY stale_drafts_creations_processing
         WHERE processing_since IS NOT NULL ORDER BY kind LIMIT 1) AS first WHERE first IS NOT NULL
       UNION ALL
       SELECT (SELECT kind FROM stale_drafts_creations INDEXED BY stale_drafts_creations_processing
         WHERE kind > totals.kind AND processing_since IS NOT NULL ORDER BY kind LIMIT 1) AS next
       FROM totals WHERE next IS NOT NULL),",
    concat!(
        "
       UNION ALL
       SELECT c.* FROM totals CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_processing
       ON c.kind = totals.kind AND c.processing_since < ",
        cutoff!("'total'", "totals.kind"),
        "
         AND c.last_sign_of_life <= ?2 AND c.last_sign_of_life >= ",
        cutoff!("c.phase", "totals.kind")
    ),
    concat!(
        "(SELECT count(*) FROM (
              SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active WHERE last_sign_of_life IS NOT NULL
              LIMIT ",
        share!(""),
        "))"
    )
);

/// One user's active creations, readable or not, the oldest rows first.
const ACTIVE_OF_USER: &str = concat!(
    "SELECT json_group_array(",
    candidate!(),
    ") AS candidates, '[]' AS unreadable, CASE WHEN count(*) > 0 THEN ",
    suspended!(),
    " END AS suspended FROM (
       SELECT * FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
       WHERE ",
    active!(),
    " AND user_id = ?1 ORDER BY rowid LIMIT ?2 OFFSET ?3)"
);

/// The creations of a plan that still are what the plan was decided on. Each statement that carries a plan out
/// joins with this, so the precondition stands inside every write. `CROSS JOIN`, `MATERIALIZED`, `INDEXED BY` and the unary
/// `+` keep SQLite on the primary key; without them it may walk the whole table once per row, above all after an
/// ANALYZE of a table that was small then.
macro_rules! as_planned {
    () => {
        "c.id = j.value ->> 0 AND +c.status = j.value ->> 1 AND +c.attempt = j.value ->> 2
         AND +c.last_sign_of_life = j.value ->> 3 AND +c.phase = j.value ->> 8 AND +c.processing_since IS j.value ->> 10
         AND +c.kind = j.value ->> 11"
    };
}

/// Credits each owner with the sum of what is about to be refunded: one write per user.
const CREDIT_BALANCES: &str = concat!(
    "INSERT INTO stale_drafts_balances (user_id, tokens)
     SELECT c.user_id, sum(c.tokens) FROM json_each(?1) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1 ON ",
    as_planned!(),
    "
     WHERE c.tokens > 0 GROUP BY c.user_id
     ON CONFLICT (user_id) DO UPDATE SET tokens = tokens + excluded.tokens"
);

/// Marks the creations failed; the trigger `stale_drafts_creations_are_refunded` writes the ledger, and `stale_drafts_creations_emit` the event.
const MARK_FAILED: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     SET status = 'failed', finished_at = ?2, error_code = 'generation_timeout',
       error = j.value ->> 4, stuck_status = j.value ->> 1, age_ms = j.value ->> 5, max_age_ms = j.value ->> 6,
       rule = j.value ->> 7, sweep_id = ?3, event = 'failed', event_destinations = ?4
     FROM j WHERE ", as_planned!()
);

/// Records the attempts that are about to be over.
const RECORD_ATTEMPTS: &str = concat!(
    "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, fence, started_at, heartbeat_at, finished_at,
       error, error_code, stuck_status, age_ms, max_age_ms, rule, sweep_id)
     SELECT c.id, c.attempt, 'retried', c.worker, c.fence, c.started_at, c.heartbeat_at, ?2,
       j.value ->> 4, 'generation_timeout', j.value ->> 1, j.value ->> 5, j.value ->> 6, j.value ->> 7, ?3
     FROM json_each(?1) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1 ON ",
    as_planned!()
);

/// Puts the creations back to pending, for their next attempt.
const RETRY: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
     SET status = 'pending', attempt = c.attempt + 1, queued_at = ?2, started_at = NULL, heartbeat_at = NULL,
       worker = NULL, fence = NULL, progress = NULL, event = 'retried', event_destinations = ?3
     FROM j WHERE ",
    as_planned!()
);

/// The lags of a plan's creation, by its band: see `rollups`.
macro_rules! lags {
    () => {
        "j.value ->> 9 = 0, j.value ->> 9 = 1, j.value ->> 9 = 2, j.value ->> 9 = 3, j.value ->> 9 = 4, j.value ->> 9 = 5"
    };
}

/// The parts of [`COUNT_FAILED`] and [`COUNT_RETRIED`]: into which column it counts, and, where a creation of the plan had
/// moved on, from what it reads back the tokens that were refunded, the ids, and what is rolled up.
macro_rules! count {
    ($column:literal, $tokens:literal, $ids:literal, $counted:expr) => {
        concat!(
            "INSERT INTO stale_drafts_sweeps (id, source, actor, plan_id, started_at, ", $column, ", raced, refunded_tokens,
       examined, rejected, unreadable, more, finished_at, counted)
     VALUES (?1, ?2, ?3, ?4, ?5, changes(), ?7 - changes(), ", $tokens, ",
       ?9, ?10, ?11, ?12, CASE WHEN ?13 THEN max(?5, CAST(unixepoch('subsec') * 1000 AS INTEGER)) END,
       CASE WHEN changes() = ?7 THEN ?14 ELSE (", $counted, ") END)
     ON CONFLICT (id) DO UPDATE SET ", $column, " = ", $column, " + excluded.", $column, ", raced = raced + excluded.raced,
       refunded_tokens = refunded_tokens + excluded.refunded_tokens, examined = excluded.examined, rejected = excluded.rejected,
       unreadable = excluded.unreadable, more = excluded.more, finished_at = excluded.finished_at, counted = excluded.counted
     RETURNING CASE WHEN changes() <> ?7 THEN (", $ids, ") END AS failed_ids"
        )
    };
}

/// Counts what [`MARK_FAILED`] just did, in the same transaction: `changes()` is its number of rows. What it was about is
/// read back only if a creation had moved on; otherwise it is the plan, and `failed_ids` is `NULL`. The first
/// transaction of a sweep makes its row, and the last one ends it. A trigger rolls `counted` up.
const COUNT_FAILED: &str = count!(
    "failed",
    "CASE WHEN changes() = ?7 THEN ?8 ELSE (SELECT coalesce(sum(l.tokens), 0) FROM json_each(?6) AS j
         CROSS JOIN stale_drafts_ledger AS l ON l.entry_key = 'refund:' || (j.value ->> 0) WHERE l.sweep_id = ?1) END",
    "SELECT json_group_array(c.id) FROM json_each(?6) AS j
       CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
       ON c.id = j.value ->> 0 WHERE +c.sweep_id = ?1",
    concat!(
        "SELECT json_group_array(json_array('failed', c.kind, c.stuck_status, c.rule, 1, c.tokens, ",
        lags!(),
        ")) FROM json_each(?6) AS j CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1
       ON c.id = j.value ->> 0 WHERE +c.sweep_id = ?1"
    )
);

/// Counts what [`RETRY`] just did, as [`COUNT_FAILED`] does; nothing is refunded.
const COUNT_RETRIED: &str = count!(
    "retried",
    "0 * ?8",
    "SELECT json_group_array(a.creation_id) FROM json_each(?6) AS j
       CROSS JOIN stale_drafts_attempts AS a ON a.creation_id = j.value ->> 0 AND a.attempt = j.value ->> 2
       WHERE a.sweep_id = ?1",
    concat!(
        "SELECT json_group_array(json_array('retried', c.kind, a.stuck_status, a.rule, 1, 0, ",
        lags!(),
        ")) FROM json_each(?6) AS j
       CROSS JOIN stale_drafts_attempts AS a ON a.creation_id = j.value ->> 0 AND a.attempt = j.value ->> 2
       CROSS JOIN stale_drafts_creations AS c INDEXED BY sqlite_autoindex_stale_drafts_creations_1 ON c.id = a.creation_id
       WHERE a.sweep_id = ?1"
    )
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

const BALANCE: &str = "SELECT tokens FROM stale_drafts_balances WHERE user_id = ?1";

/// What a list shows of a creation: see [`super::PageRow`].
macro_rules! listed {
    () => {
        concat!(
            "json_group_array(json_array(",
            candidate!(),
            ", prompt, error, error_code,
         CASE typeof(finished_at) WHEN 'integer' THEN finished_at END, listed_at, refunded_tokens,
         result_url, late_at, restored_at, deleted_at, rule))"
        )
    };
}

/// What went back for a creation; a restore takes it again.
macro_rules! refunded {
    () => {
        "(SELECT tokens FROM stale_drafts_ledger WHERE entry_key = 'refund:' || c.id AND c.restored_at IS NULL) AS refunded_tokens"
    };
}

pub(super) use {listed, refunded};

/// One page of a user's creations, the newest first, with what was refunded for each; those that meet `$condition`.
macro_rules! page {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            listed!(),
            " AS page
     FROM (
       SELECT c.*, ",
            refunded!(),
            "
       FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (?2, ?3) AND ",
            $condition,
            "
       ORDER BY listed_at DESC, id DESC LIMIT ?4)"
        )
    };
}

/// Without those that the user has deleted.
const PAGE: &str = page!("deleted_at IS NULL");
/// For an operator, deleted ones included.
const PAGE_OF_ALL: &str = page!("true");
/// The same, of one status.
const PAGE_BY_STATUS: &str = page!("status = ?5");

/// What is shown of a sweep.
macro_rules! sweep_columns {
    () => {
        "id, source, actor, plan_id, started_at, finished_at, examined, failed, retried, raced, rejected,
       unreadable, refunded_tokens, more, error, queries, rows_read, rows_written"
    };
}

/// `$column` of the newest good sweep by cron, among the newest 1,000 sweeps: where none of these is good, the answer is the
/// same as where there is none, and the rest of the table is not read.
macro_rules! last_good_sweep {
    ($column:literal) => {
        concat!(
            "(SELECT ",
            $column,
            " FROM (SELECT source, started_at, finished_at, error FROM stale_drafts_sweeps ORDER BY id DESC LIMIT 1000)
        WHERE source = 'cron' AND finished_at IS NOT NULL AND error IS NULL LIMIT 1) AS last_good_sweep"
        )
    };
}

pub(super) use sweep_columns;

const READINESS: &str = concat!(
    "SELECT (SELECT max(version) FROM stale_drafts_schema) AS version,
       ",
    last_good_sweep!("finished_at")
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

/// How many rows [`stale`] looks for.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// So many stale creations,
    pub limit: u32,
    /// after the first so many.
    pub offset: u32,
    /// Up to so many of each sort whose age can't be known.
    pub unreadable: u32,
}

/// Creations that are stale at `now` under `policy`. One row: `candidates`, `unreadable`, what holds sweeps back as `suspended`, and
/// `active`: how many creations are active, where the circuit breaker wants to know; no more are counted than it takes to see that
/// the share of the stale ones is within bounds.
pub fn stale(
    policy: &Policy,
    filter: Filter<'_>,
    now: Timestamp,
    window: Window,
    breaker: CircuitBreaker,
) -> Statement {
    stale_for(0, policy, filter, now, window, breaker)
}

/// One creation that has been stale for more than `overdue_ms`, if there is one. The same row as [`stale`].
pub fn overdue(policy: &Policy, now: Timestamp, overdue_ms: u64) -> Statement {
    let one = Window { limit: 1, offset: 0, unreadable: 0 };
    // Nobody asks for the breaker's share, and it counts from more than one on.
    stale_for(overdue_ms, policy, Filter::default(), now, one, CircuitBreaker::default())
}

fn stale_for(
    millis: u64,
    policy: &Policy,
    filter: Filter<'_>,
    now: Timestamp,
    window: Window,
    breaker: CircuitBreaker,
) -> Statement {
    let cutoffs = cutoffs(policy, filter, now.saturating_sub(millis));
    let Window { limit, offset, unreadable } = window;
    let CircuitBreaker { at_least, percent, .. } = breaker;
    let window = [limit, offset, unreadable, at_least, percent.max(1)].map(Param::from);
    let params: Vec<_> = [Param::Text(cutoffs), now.into()].into_iter().chain(window).collect();
    Statement::new(if policy.limits_total() { STALE_BY_TOTAL } else { STALE }, params)
}

/// The cutoffs of every limit of the policy: stale is a last sign of life before the cutoff, and for the phase `total` a
/// worker's beginning before it. `{"kinds": {phase: [[kind, cutoff], …]}, "others": {phase: cutoff}}`. `never`, and what
/// the filter leaves out, is −1.
pub(super) fn cutoffs(policy: &Policy, filter: Filter<'_>, now: Timestamp) -> String {
    let cutoff = |status, kind: &str, limit| match limit {
        _ if !filter.matches(status, kind) => -1,
        Limit::Never => -1,
        Limit::After(max_age) => signed(now.as_millis().saturating_sub(max_age.as_millis())),
    };
    let named: Vec<_> = policy.kinds().chain(filter.kind).collect();
    let (mut kinds, mut others) = (Vec::new(), Vec::new());
    // An unnamed kind has the limit that any kind without entries has. Kinds are never empty in a policy; in a filter they may
    // be, and then the others are left out all the same.
    let mut add = |phase: &str, limit: &dyn Fn(&str) -> i64| {
        let of_kinds: Vec<_> = named.iter().map(|kind| (*kind, limit(kind))).collect();
        kinds.push(format!("\"{phase}\":{}", super::json(&of_kinds)));
        others.push(format!("\"{phase}\":{}", if filter.kind.is_some() { -1 } else { limit("") }));
    };
    for phase in Phase::ALL {
        add(phase.as_str(), &|kind| cutoff(phase.status(), kind, policy.limit_in(phase, kind).0));
    }
    add("total", &|kind| cutoff(Active::Processing, kind, policy.total(kind).0));
    format!("{{\"kinds\":{{{}}},\"others\":{{{}}}}}", kinds.join(","), others.join(","))
}

/// Active creations of one user: `limit` of them after the first `offset`. The same row as [`stale`].
pub fn active_of_user(user_id: &str, limit: u32, offset: u32) -> Statement {
    Statement::new(ACTIVE_OF_USER, [user_id.into(), limit.into(), offset.into()])
}

/// The writes of one transaction of a sweep that fails creations, in order: credit, mark, count. The last one answers
/// with `failed_ids`, a JSON array, or `NULL` if all of them were failed. `last` ends the sweep's row. `event_destinations` says
/// whom it is told: see `events.destinations`.
pub fn mark_failed(
    start: SweepStart<'_>,
    failures: &[FailureRow<'_>],
    totals: SweepTotals,
    notify: u32,
    last: bool,
    counted: String,
) -> [Statement; 3] {
    let plan = super::json(failures);
    let SweepStart { sweep_id, now, .. } = start;
    [
        Statement::new(CREDIT_BALANCES, [Param::Text(plan.clone())]),
        Statement::new(MARK_FAILED, [Param::Text(plan.clone()), now.into(), sweep_id.into(), notify.into()]),
        Statement::new(COUNT_FAILED, counts(start, plan, failures, totals, last, counted)),
    ]
}

/// The writes of one transaction of a sweep that puts creations back for another attempt, in order: record, put back,
/// count. As [`mark_failed`].
pub fn retry(
    start: SweepStart<'_>,
    stale: &[FailureRow<'_>],
    totals: SweepTotals,
    notify: u32,
    last: bool,
    counted: String,
) -> [Statement; 3] {
    let plan = super::json(stale);
    let SweepStart { sweep_id, now, .. } = start;
    [
        Statement::new(RECORD_ATTEMPTS, [Param::Text(plan.clone()), now.into(), sweep_id.into()]),
        Statement::new(RETRY, [Param::Text(plan.clone()), now.into(), notify.into()]),
        Statement::new(COUNT_RETRIED, counts(start, plan, stale, totals, last, counted)),
    ]
}

fn counts(
    start: SweepStart<'_>,
    plan: String,
    rows: &[FailureRow<'_>],
    totals: SweepTotals,
    last: bool,
    counted: String,
) -> Vec<Param> {
    let tokens = rows.iter().fold(0_i64, |sum, row| sum.saturating_add(signed(row.tokens)));
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let mut params = start.params();
    params.extend([Param::Text(plan), Param::Integer(count), Param::Integer(tokens)]);
    params.extend(totals.params());
    params.extend([u32::from(last).into(), Param::Text(counted)]);
    params
}

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
    /// Candidates that the database refused to mark.
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

/// The users with the first `limit` balances in alphabetical order: rows of `user_id`, `tokens`.
pub fn balances(limit: u32) -> Statement {
    Statement::new(
        "SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id LIMIT ?1",
        [limit.into()],
    )
}

/// A user's balance: one row with `tokens`, or none.
pub fn balance(user_id: &str) -> Statement {
    Statement::new(BALANCE, [user_id.into()])
}

/// `limit` of a user's creations after `after`, the newest first, as the user sees them: see [`super::PageRow`].
pub fn page(user_id: &str, after: &Page, limit: u32) -> Statement {
    Statement::new(PAGE, place(user_id, after, limit))
}

/// [`page`] with deleted ones, and of one status if `status` is given: as operators see them.
pub fn page_of_all(user_id: &str, status: Option<&str>, after: &Page, limit: u32) -> Statement {
    let mut params = place(user_id, after, limit);
    let Some(status) = status else { return Statement::new(PAGE_OF_ALL, params) };
    params.push(status.into());
    Statement::new(PAGE_BY_STATUS, params)
}

fn place(user_id: &str, after: &Page, limit: u32) -> Vec<Param> {
    vec![user_id.into(), Param::Integer(after.listed_at), after.id.as_str().into(), limit.into()]
}

/// One row: `version` of the schema, and when the `last_good_sweep` of the cron trigger finished, if it is among the newest 1,000.
pub fn readiness() -> Statement {
    Statement::new(READINESS, [])
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
