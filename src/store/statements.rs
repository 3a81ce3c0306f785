use super::{FailureRow, Page, Param, Statement};
use crate::rules::{Active, Limit, Policy, Timestamp};

/// What the rules need of a creation, as one JSON array: see [`super::CandidateRow`]. A time that is not an
/// integer becomes the text `malformed`, because JSON can't hold every SQL value and one bad row must not stop
/// a sweep.
macro_rules! candidate {
    () => {
        "json_array(id, user_id, kind, status, attempt, tokens,
         CASE typeof(created_at) WHEN 'integer' THEN created_at WHEN 'null' THEN NULL ELSE 'malformed' END,
         CASE typeof(started_at) WHEN 'integer' THEN started_at WHEN 'null' THEN NULL ELSE 'malformed' END,
         CASE typeof(heartbeat_at) WHEN 'integer' THEN heartbeat_at WHEN 'null' THEN NULL ELSE 'malformed' END)"
    };
}

/// The literal that the partial indexes are declared with. SQLite uses them for exactly this text.
macro_rules! active {
    () => {
        "status IN ('pending', 'processing')"
    };
}

pub(super) use {active, candidate};

/// Creations that are stale by the limits in ?1, and active ones whose times can't be read.
///
/// `pairs` hops over the index from one (status, kind) to the next, so its cost is the number of kinds in use
/// and not the number of creations. A limit is looked up as [`Policy::limit`] does; `never` is a cutoff of −1.
const STALE: &str = concat!(
    "WITH RECURSIVE
     limits (status, kind, cutoff) AS MATERIALIZED (
       SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)),
     pairs (status, kind) AS MATERIALIZED (
       SELECT s.column1, (SELECT kind FROM creations INDEXED BY creations_active
         WHERE status = s.column1 AND last_sign_of_life IS NOT NULL ORDER BY kind LIMIT 1)
       FROM (VALUES ('pending'), ('processing')) AS s
       UNION ALL
       SELECT status, (SELECT kind FROM creations INDEXED BY creations_active
         WHERE status = pairs.status AND kind > pairs.kind AND last_sign_of_life IS NOT NULL ORDER BY kind LIMIT 1)
       FROM pairs WHERE kind IS NOT NULL),
     stale AS (
       SELECT c.* FROM pairs CROSS JOIN creations AS c INDEXED BY creations_active
       ON c.status = pairs.status AND c.kind = pairs.kind
         AND c.last_sign_of_life < (
           SELECT cutoff FROM limits WHERE limits.status = pairs.status
             AND (limits.kind = pairs.kind OR limits.kind IS NULL)
           ORDER BY limits.kind IS NULL LIMIT 1)
       LIMIT ?3 OFFSET ?4),
     unreadable AS (
       SELECT * FROM (
         SELECT * FROM creations INDEXED BY creations_unreadable
         WHERE ", active!(), " AND last_sign_of_life IS NULL LIMIT ?5)
       UNION ALL
       SELECT * FROM (
         SELECT c.* FROM pairs CROSS JOIN creations AS c INDEXED BY creations_active
         ON c.status = pairs.status AND c.kind = pairs.kind AND c.last_sign_of_life > ?2
         LIMIT ?5))
     SELECT (SELECT json_group_array(", candidate!(), ") FROM stale) AS candidates,
            (SELECT json_group_array(", candidate!(), ") FROM unreadable) AS unreadable"
);

/// One user's active creations, readable or not, the oldest rows first.
const ACTIVE_OF_USER: &str = concat!(
    "SELECT json_group_array(",
    candidate!(),
    ") AS candidates, '[]' AS unreadable FROM (
       SELECT * FROM creations INDEXED BY creations_active_of_user
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
         AND +c.last_sign_of_life = j.value ->> 3"
    };
}

/// Credits each owner with the sum of what is about to be refunded: one write per user.
const CREDIT_BALANCES: &str = concat!(
    "INSERT INTO balances (user_id, tokens)
     SELECT c.user_id, sum(c.tokens) FROM json_each(?1) AS j CROSS JOIN creations AS c INDEXED BY sqlite_autoindex_creations_1 ON ",
    as_planned!(),
    "
     WHERE c.tokens > 0 GROUP BY c.user_id
     ON CONFLICT (user_id) DO UPDATE SET tokens = tokens + excluded.tokens"
);

/// Marks the creations failed; the trigger `creations_are_refunded` writes the ledger.
const MARK_FAILED: &str = concat!(
    "WITH j AS MATERIALIZED (SELECT value FROM json_each(?1))
     UPDATE creations AS c INDEXED BY sqlite_autoindex_creations_1
     SET status = 'failed', finished_at = ?2, error_code = 'generation_timeout',
       error = j.value ->> 4, stuck_status = j.value ->> 1, age_ms = j.value ->> 5, max_age_ms = j.value ->> 6,
       sweep_id = ?3
     FROM j WHERE ", as_planned!()
);

/// Counts what [`MARK_FAILED`] just did, in the same transaction: `changes()` is its number of rows. The sum and
/// the ids are read back only if a creation had moved on; otherwise they are those of the plan, and `marked_ids`
/// is `NULL`. The last transaction of a sweep also ends its row.
const COUNT_MARKED: &str = "UPDATE sweeps SET
       marked = marked + changes(),
       raced = raced + ?3 - changes(),
       refunded_tokens = refunded_tokens + CASE WHEN changes() = ?3 THEN ?4 ELSE (
         SELECT coalesce(sum(l.tokens), 0) FROM json_each(?2) AS j
         CROSS JOIN ledger AS l ON l.entry_key = 'refund:' || (j.value ->> 0) WHERE l.sweep_id = ?1) END,
       examined = ?5, refused = ?6, unreadable = ?7, more = ?8,
       finished_at = CASE WHEN ?9 THEN max(started_at, CAST(unixepoch('subsec') * 1000 AS INTEGER)) END
     WHERE id = ?1
     RETURNING CASE WHEN changes() <> ?3 THEN (
       SELECT json_group_array(c.id) FROM json_each(?2) AS j
       CROSS JOIN creations AS c INDEXED BY sqlite_autoindex_creations_1
       ON c.id = j.value ->> 0 WHERE +c.sweep_id = ?1) END AS marked_ids";

const BEGIN_SWEEP: &str = "INSERT INTO sweeps (id, source, actor, plan_id, started_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING";

/// Ends a sweep's row. An error that is there already stays.
const END_SWEEP: &str = "INSERT INTO sweeps
       (id, source, actor, plan_id, started_at, finished_at, examined, refused, unreadable, more, error)
     VALUES (?1, ?2, ?3, ?4, ?5, max(?5, CAST(unixepoch('subsec') * 1000 AS INTEGER)), ?6, ?7, ?8, ?9, ?10)
     ON CONFLICT (id) DO UPDATE SET finished_at = excluded.finished_at, examined = excluded.examined,
       refused = excluded.refused, unreadable = excluded.unreadable, more = excluded.more,
       error = ifnull(error, excluded.error)";

const BALANCE: &str = "SELECT tokens FROM balances WHERE user_id = ?1";

/// One page of a user's creations, the newest first, with what was refunded for each.
const PAGE: &str = concat!(
    "SELECT json_group_array(json_array(",
    candidate!(),
    ", prompt, error, error_code,
         CASE typeof(finished_at) WHEN 'integer' THEN finished_at END, listed_at, refunded_tokens)) AS page
     FROM (
       SELECT c.*, (SELECT tokens FROM ledger WHERE entry_key = 'refund:' || c.id) AS refunded_tokens
       FROM creations AS c INDEXED BY creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (?2, ?3)
       ORDER BY listed_at DESC, id DESC LIMIT ?4)"
);

/// The same, of one status.
pub(super) const PAGE_BY_STATUS: &str = concat!(
    "SELECT json_group_array(json_array(",
    candidate!(),
    ", prompt, error, error_code,
         CASE typeof(finished_at) WHEN 'integer' THEN finished_at END, listed_at, refunded_tokens)) AS page
     FROM (
       SELECT c.*, (SELECT tokens FROM ledger WHERE entry_key = 'refund:' || c.id) AS refunded_tokens
       FROM creations AS c INDEXED BY creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (?2, ?3) AND status = ?5
       ORDER BY listed_at DESC, id DESC LIMIT ?4)"
);

const READINESS: &str = "SELECT
       (SELECT max(version) FROM stale_drafts_schema) AS version,
       (SELECT finished_at FROM sweeps WHERE source = 'cron' AND finished_at IS NOT NULL AND error IS NULL
        ORDER BY id DESC LIMIT 1) AS last_good_sweep";

/// Which creations are looked at; `None` leaves nothing out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// Only those of this kind.
    pub kind: Option<&'a str>,
    /// Only those in this status.
    pub status: Option<Active>,
}

impl Filter<'_> {
    /// Whether a creation of this status and kind is looked at.
    pub fn matches(&self, status: Active, kind: &str) -> bool {
        self.kind.is_none_or(|only| only == kind) && self.status.is_none_or(|only| only == status)
    }
}

/// Creations that are stale at `now` under `policy`, `limit` of them after the first `offset`, and up to
/// `unreadable` ones of each sort whose age can't be known. One row: `candidates`, `unreadable`.
pub fn stale(
    policy: &Policy,
    filter: Filter<'_>,
    now: Timestamp,
    limit: u32,
    offset: u32,
    unreadable: u32,
) -> Statement {
    let cutoffs = cutoffs(policy, filter, now);
    let params = [Param::Text(cutoffs), now.into(), limit.into(), offset.into(), unreadable.into()];
    Statement::new(STALE, params)
}

/// `[status, kind or null, cutoff]` for every limit of the policy: stale is a last sign of life before the cutoff.
/// What the filter leaves out is never before it.
fn cutoffs(policy: &Policy, filter: Filter<'_>, now: Timestamp) -> String {
    let kinds = policy.kinds().chain(filter.kind).map(Some).chain([None]);
    let rows: Vec<_> = kinds
        .flat_map(|kind| Active::ALL.map(|status| (status, kind)))
        .map(|(status, kind)| {
            // An unnamed kind has the limit that any kind without entries has. Kinds are never empty in a policy.
            let cutoff = match policy.limit(status, kind.unwrap_or_default()).0 {
                _ if !filter.matches(status, kind.unwrap_or_default()) => -1,
                Limit::Never => -1,
                Limit::After(max_age) => signed(now.as_millis().saturating_sub(max_age.as_millis())),
            };
            (status.as_str(), kind, cutoff)
        })
        .collect();
    super::json(&rows)
}

/// Active creations of one user: `limit` of them after the first `offset`. The same row as [`stale`].
pub fn active_of_user(user_id: &str, limit: u32, offset: u32) -> Statement {
    Statement::new(ACTIVE_OF_USER, [user_id.into(), limit.into(), offset.into()])
}

/// The writes of one transaction of a sweep, in order: credit, mark, count. The last one answers with `marked_ids`, a
/// JSON array, or `NULL` if all of them were marked. `last` ends the sweep's row.
pub fn mark_failed(
    sweep_id: &str,
    now: Timestamp,
    failures: &[FailureRow<'_>],
    totals: SweepTotals,
    last: bool,
) -> [Statement; 3] {
    let plan = super::json(failures);
    let tokens = failures.iter().fold(0_i64, |sum, failure| sum.saturating_add(signed(failure.tokens)));
    let count = i64::try_from(failures.len()).unwrap_or(i64::MAX);
    let mut counts =
        vec![sweep_id.into(), Param::Text(plan.clone()), Param::Integer(count), Param::Integer(tokens)];
    counts.extend(totals.params());
    counts.push(u32::from(last).into());
    [
        Statement::new(CREDIT_BALANCES, [Param::Text(plan.clone())]),
        Statement::new(MARK_FAILED, [Param::Text(plan), now.into(), sweep_id.into()]),
        Statement::new(COUNT_MARKED, counts),
    ]
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

/// A sweep's row as it begins.
pub fn begin_sweep(start: SweepStart<'_>) -> Statement {
    Statement::new(BEGIN_SWEEP, start.params())
}

/// What a sweep's row says, beside what its transactions count themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepTotals {
    /// Candidates looked at.
    pub examined: u32,
    /// Candidates that the database refused to mark.
    pub refused: u32,
    /// Creations whose age can't be known.
    pub unreadable: u32,
    /// Whether stale creations remain.
    pub more: bool,
}

impl SweepTotals {
    fn params(self) -> [Param; 4] {
        [self.examined.into(), self.refused.into(), self.unreadable.into(), u32::from(self.more).into()]
    }
}

/// A sweep's row as it ends, with the error that stopped it; also makes the row, where there is none yet.
pub fn end_sweep(start: SweepStart<'_>, totals: SweepTotals, error: Option<&str>) -> Statement {
    let mut params = start.params();
    params.extend(totals.params());
    params.push(error.into());
    Statement::new(END_SWEEP, params)
}

/// The users with the first `limit` balances in alphabetical order: rows of `user_id`, `tokens`.
pub fn balances(limit: u32) -> Statement {
    Statement::new("SELECT user_id, tokens FROM balances ORDER BY user_id LIMIT ?1", [limit.into()])
}

/// A user's balance: one row with `tokens`, or none.
pub fn balance(user_id: &str) -> Statement {
    Statement::new(BALANCE, [user_id.into()])
}

/// `limit` of a user's creations after `after`, the newest first: see [`super::PageRow`].
pub fn page(user_id: &str, after: &Page, limit: u32) -> Statement {
    let params = [user_id.into(), Param::Integer(after.listed_at), after.id.as_str().into(), limit.into()];
    Statement::new(PAGE, params)
}

/// One row: `version` of the schema, and when the `last_good_sweep` of the cron trigger finished.
pub fn readiness() -> Statement {
    Statement::new(READINESS, [])
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
