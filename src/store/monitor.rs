//! The monitor: what is wrong, and what suspends sweeping. What it reads is a number of rows that does not depend on how many creations
//! there are.

use serde::Deserialize;

use super::alerts::{Alert, firing};
use super::buckets::{BucketRows, Recorded, on_record};
use super::creations::DAY_MS;
use super::open_moves::{OpenMoveRow, not_over, open_move};
use super::sweep::{held, newest_by_cron, suspended};
use super::typed::{instant_if_any, json_text, json_text_if_any, only, typed, typed_rows};
use super::{DatabaseError, Param, Row, Statement, json, rows};
use crate::rules::{
    Ended, Evidence, FEW, REDELIVERED_AFTER_MS, SILENT_AFTER_MS, SetAside, Suspension, Timestamp,
};

/// So many of the newest creations are looked at,
const NEWEST: u32 = 200;
/// and so many for a diagnosis.
const RECENT: u32 = 1_000;
/// So many of the newest starts that came once more are looked at.
const REPEATED: u32 = 200;
/// A diagnosis counts at most so many active creations.
const COUNTED: u32 = 100_000;
const HOUR_MS: u64 = 3_600_000;
/// A user with more creations than this is left out of the incremental check: it would read too much at once.
const CREATIONS_OF_A_USER: u32 = 500;
/// So many rows are removed of each table at once.
const TRIMMED: u32 = 500;
/// So many users who have arrived are let go at once.
const SETTLED: u32 = 10_000;
/// How often old rows are removed.
const TRIM_EVERY_MS: u32 = 600_000;
/// What was set aside is said to be so until a sweep has tried it again, which takes no longer than this.
const TRIED_AGAIN_WITHIN_MS: u64 = 5 * 60_000;

/// Takes the turn to look, if nobody has for ?2 ms. A time in the future, by another clock, is not waited for.
const TAKE_TURN: &str = "UPDATE stale_drafts_monitor
     SET looked_at = ?1, trimmed_at = iif(abs(?1 - trimmed_at) >= ?3, ?1, trimmed_at)
     WHERE abs(?1 - looked_at) >= ?2
     RETURNING trimmed_at = ?1 AS trims";

/// Those whose balance differed and who have none here any more, for they have moved, are left out.
const OBSERVE: &str = concat!(
    "WITH newest AS MATERIALIZED (
       SELECT status, error_code, sweep_id FROM (SELECT status, error_code, sweep_id, finished_at FROM stale_drafts_creations ORDER BY rowid DESC LIMIT ?2)
       WHERE typeof(finished_at) = 'integer' AND finished_at BETWEEN ?1 - ?3 AND ?1 AND ifnull(error_code, '') NOT IN ('cancelled', 'failed_by_operator')),
     errors AS (SELECT error_code, count(*) AS n FROM newest WHERE status = 'failed' AND error_code IS NOT NULL
       GROUP BY error_code ORDER BY n DESC LIMIT 1)
     SELECT (SELECT count(*) FROM newest) AS finished,
       (SELECT count(*) FROM newest WHERE status = 'failed') AS failed,
       (SELECT count(*) FROM newest WHERE sweep_id IS NOT NULL) AS timed_out,
       (SELECT error_code FROM errors) AS error_code, (SELECT n FROM errors) AS error_count,
       ",
    newest_by_cron!("started_at", "error IS NULL"),
    " AS last_good_sweep, ",
    newest_by_cron!("started_at", concat!("error IS NULL OR ", held!())),
    " AS last_run, ifnull(",
    newest_by_cron!("unreadable", "error IS NULL"),
    ", 0) AS unreadable,
       (SELECT started_at FROM stale_drafts_sweeps ORDER BY id DESC LIMIT 1) AS newest_sweep,
       (SELECT iif(", held!(), ", NULL, error) FROM stale_drafts_sweeps ORDER BY id DESC LIMIT 1) AS newest_sweep_error,
       (SELECT json_array(creation_id, reason, min(until), count(*)) FROM (SELECT * FROM stale_drafts_rejected LIMIT 1000)
        WHERE until > ?1 - ?4 HAVING count(*) > 0) AS set_aside,
       (SELECT due_at FROM stale_drafts_events WHERE state = 'due' ORDER BY due_at LIMIT 1) AS next_event_at,
       (SELECT failing_since FROM stale_drafts_events INDEXED BY stale_drafts_events_failing
        WHERE state = 'due' AND failing_since IS NOT NULL ORDER BY failing_since LIMIT 1) AS events_failing_since,
       (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_events WHERE state = 'dead' LIMIT 100)) AS dead_letters,
       (SELECT json_array(identity, json(iif(differs = '[]', differs, (
          SELECT json_group_array(value) FROM json_each(differs)
          WHERE EXISTS (SELECT 1 FROM stale_drafts_balances WHERE user_id = value))))) FROM stale_drafts_ledger_check) AS ledger_check, ",
    suspended!(),
    " AS suspended,
       EXISTS (SELECT 1 FROM stale_drafts_moving_users)
       OR EXISTS (SELECT 1 FROM stale_drafts_moves INDEXED BY stale_drafts_moves_open WHERE state = 'open') AS settles, ",
    not_over!(),
    " AS moves, ",
    on_record!(),
    " AS buckets"
);

/// One row of numbers; [`Evidence`] says what they mean. What was cancelled has not failed by itself. What is set aside waits for no worker; where nothing is, as normally, no id
/// is read to know that. A start that comes once more and ends in a failure at once was sent in the stead of a run that Celery ended.
const CAUSES: &str = "WITH
     pending AS MATERIALIZED (
       SELECT count(*) AS n, min(last_sign_of_life) AS since FROM (
         SELECT last_sign_of_life FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = 'pending' AND last_sign_of_life IS NOT NULL AND last_sign_of_life <= ?6
           AND (NOT EXISTS (SELECT 1 FROM stale_drafts_rejected)
             OR NOT EXISTS (SELECT 1 FROM stale_drafts_rejected WHERE creation_id = stale_drafts_creations.id)) LIMIT ?4)),
     heartbeats AS MATERIALIZED (
       SELECT coalesce(sum(last_sign_of_life >= ?1 - ?2), 0) AS alive, coalesce(sum(last_sign_of_life < ?1 - ?2), 0) AS silent,
         min(last_sign_of_life) AS earliest, max(last_sign_of_life) AS latest FROM (
         SELECT last_sign_of_life FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = 'heartbeating' AND last_sign_of_life IS NOT NULL AND last_sign_of_life <= ?6 LIMIT ?4)),
     busy AS MATERIALIZED (
       SELECT count(*) AS n FROM (
         SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
         WHERE phase = 'processing' AND last_sign_of_life IS NOT NULL LIMIT ?4)),
     in_progress AS MATERIALIZED (
       SELECT max(processing_since) AS last_start FROM (
         SELECT processing_since FROM stale_drafts_creations INDEXED BY stale_drafts_creations_processing
         WHERE processing_since IS NOT NULL AND processing_since <= ?6 LIMIT ?4)),
     recent AS MATERIALIZED (
       SELECT status, kind, started_at, finished_at, error_code, sweep_id FROM stale_drafts_creations ORDER BY rowid DESC LIMIT ?5),
     finished AS MATERIALIZED (
       SELECT status, kind, error_code, sweep_id FROM recent
       WHERE typeof(finished_at) = 'integer' AND finished_at BETWEEN ?1 - ?3 AND ?1 AND ifnull(error_code, '') NOT IN ('cancelled', 'failed_by_operator')),
     errors AS (SELECT error_code, count(*) AS n FROM finished WHERE status = 'failed' AND error_code IS NOT NULL
       GROUP BY error_code ORDER BY n DESC LIMIT 1),
     kinds AS (SELECT kind, sum(status = 'failed') AS failed, count(*) AS n FROM finished
       GROUP BY kind ORDER BY failed DESC LIMIT 1)
     SELECT pending.n AS waiting, pending.since AS waiting_since,
       busy.n AS busy, heartbeats.alive AS alive, heartbeats.silent AS silent, heartbeats.earliest AS earliest, heartbeats.latest AS latest,
       (SELECT max(at) FROM (
          SELECT max(started_at) AS at FROM recent WHERE typeof(started_at) = 'integer' AND started_at BETWEEN ?7 AND ?6
          UNION ALL SELECT last_start FROM in_progress)) AS last_start,
       (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_unreadable
          WHERE status IN ('pending', 'processing') AND last_sign_of_life IS NULL LIMIT ?5))
       + (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active
          WHERE phase IN ('pending', 'processing', 'heartbeating') AND last_sign_of_life IS NOT NULL
            AND last_sign_of_life > ?6 LIMIT ?5)) AS unreadable,
       (SELECT count(*) FROM finished) AS finished,
       (SELECT count(*) FROM finished WHERE status = 'failed') AS failed,
       (SELECT count(*) FROM finished WHERE sweep_id IS NOT NULL) AS timed_out,
       (SELECT error_code FROM errors) AS error_code, (SELECT n FROM errors) AS error_count,
       (SELECT kind FROM kinds) AS kind, (SELECT failed FROM kinds) AS kind_failed, (SELECT n FROM kinds) AS kind_finished,
       (SELECT json_group_array(json_array(creation_id, after_ms)) FROM (
          SELECT creation_id, min(after_ms) AS after_ms FROM (
            SELECT * FROM stale_drafts_repeated_starts WHERE at >= ?8 ORDER BY at DESC LIMIT ?9) AS again
          WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_creations AS c WHERE c.id = again.creation_id AND c.attempt = again.attempt
            AND c.status = 'failed' AND c.sweep_id IS NULL AND c.finished_at <= again.at + ?10)
          GROUP BY creation_id, attempt ORDER BY max(at) DESC)) AS started_again,
       (SELECT max(version) FROM stale_drafts_schema) AS schema_version,
       (SELECT nullif(since, 0) FROM stale_drafts_archive_scan) AS archive_since,
       (SELECT nullif(ended_at, 0) FROM stale_drafts_archive_scan) AS archive_ended_at
     FROM pending, busy, heartbeats";

/// The next user's balance beside the sum of their ledger, which is found by their grants and their creations. What is archived of them
/// was added up then. Of one who is on the way to another shard not all is here, so `ledger` is NULL: a move compares all of it itself.
/// Of one whose balance differed, all creations are looked at: else nobody would see that it is right again.
const NEXT_BALANCE: &str = "WITH next AS MATERIALIZED (
       SELECT b.user_id, b.tokens, EXISTS (SELECT 1 FROM json_each(k.differs) WHERE value = b.user_id) AS differed
       FROM stale_drafts_ledger_check AS k CROSS JOIN stale_drafts_balances AS b ON b.user_id > k.user_id ORDER BY b.user_id LIMIT 1),
     own AS MATERIALIZED (SELECT c.id, c.charge FROM next CROSS JOIN stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user
       ON c.user_id = next.user_id LIMIT (SELECT iif(differed, -1, ?1) FROM next))
     SELECT user_id, tokens, (SELECT count(*) FROM own) AS creations,
       iif(EXISTS (SELECT 1 FROM stale_drafts_moving_users AS m WHERE m.user_id = next.user_id), NULL,
       (SELECT coalesce(sum(l.tokens), 0) FROM stale_drafts_ledger AS l INDEXED BY stale_drafts_ledger_grants
        WHERE l.type = 'grant' AND l.user_id = next.user_id)
       + (SELECT coalesce(sum(l.tokens), 0) FROM own CROSS JOIN stale_drafts_ledger AS l
          ON l.entry_key IN ('charge:' || own.id, 'refund:' || own.id, 'restore:' || own.id))
       + (SELECT coalesce(sum(l.tokens), 0) FROM own CROSS JOIN stale_drafts_ledger AS l INDEXED BY stale_drafts_ledger_retries
          ON l.creation_id = own.id AND l.entry_key <> l.type || ':' || l.creation_id WHERE own.charge > 1)
       + ifnull((SELECT tokens FROM stale_drafts_archived_users AS a WHERE a.user_id = next.user_id), 0)) AS ledger
     FROM next";

const CHECKED: &str = "UPDATE stale_drafts_ledger_check SET user_id = ?1, differs = ?2";

const HOLD: &str = "INSERT INTO stale_drafts_controls (name, since, actor, detail) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (name) DO UPDATE SET detail = excluded.detail";

const RELEASE: &str = "DELETE FROM stale_drafts_controls WHERE name = ?1";

const CLOSE_BREAKER: &str = "DELETE FROM stale_drafts_controls
     WHERE name = 'circuit_breaker' AND NOT EXISTS (SELECT 1 FROM stale_drafts_controls WHERE name = 'paused')";

const AUDIT: &str = "INSERT INTO stale_drafts_audit (id, at, actor, action, detail) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING";

const TRIM_SWEEPS: &str = "DELETE FROM stale_drafts_sweeps WHERE id IN (
       SELECT id FROM stale_drafts_sweeps WHERE id < ?1 ORDER BY id LIMIT ?2)";
const TRIM_EVENTS: &str = "DELETE FROM stale_drafts_events WHERE (state, due_at, id) IN (
       SELECT state, due_at, id FROM stale_drafts_events WHERE state = 'dead' AND due_at < ?1 ORDER BY due_at LIMIT ?2)";
const TRIM_ROLLUPS: &str = "DELETE FROM stale_drafts_rollups WHERE (hour, outcome, kind, stuck_status, rule) IN (
       SELECT hour, outcome, kind, stuck_status, rule FROM stale_drafts_rollups WHERE hour > 0 AND hour < ?1 ORDER BY hour LIMIT ?2)";
/// `codes` hops over the key from one code to the next: they are few, however many alerts there are. What was resolved before an
/// instant fired before it too, and the key finds that.
const TRIM_ALERTS: &str = "WITH RECURSIVE codes (code) AS MATERIALIZED (
       SELECT * FROM (SELECT code FROM stale_drafts_alerts ORDER BY code LIMIT 1)
       UNION ALL
       SELECT (SELECT code FROM stale_drafts_alerts WHERE code > codes.code ORDER BY code LIMIT 1) AS next FROM codes WHERE next IS NOT NULL)
     DELETE FROM stale_drafts_alerts WHERE (code, since) IN (
       SELECT a.code, a.since FROM codes CROSS JOIN stale_drafts_alerts AS a ON a.code = codes.code AND a.since < ?1
       WHERE a.resolved_at < ?1 LIMIT ?2)";

/// Lets users go who have arrived, or have stayed since their move was cancelled.
const SETTLE_USERS: &str = "DELETE FROM stale_drafts_moving_users WHERE user_id IN (
       SELECT u.user_id FROM stale_drafts_moves AS m CROSS JOIN stale_drafts_moving_users AS u INDEXED BY stale_drafts_moving_users_of_move
       ON u.move_id = m.id WHERE (m.state = 'open' OR m.state = 'cancelled') AND m.changed_at <= ?1 LIMIT ?2)";
/// Ends the moves that have none of them any more, so that their buckets may move again.
const SETTLE_MOVES: &str =
    "UPDATE stale_drafts_moves SET state = 'settled', place = '', changed_at = ?2, stepped_at = ?2
     WHERE state = 'open' AND changed_at <= ?1
       AND NOT EXISTS (SELECT 1 FROM stale_drafts_moving_users AS u WHERE u.move_id = stale_drafts_moves.id)";

/// Takes the turn to look at `now`, unless somebody has looked within the last `interval_ms`: a row for [`turn`], or none.
pub fn take_turn(now: Timestamp, interval_ms: u32) -> Statement {
    Statement::new(TAKE_TURN, [now.into(), interval_ms.into(), TRIM_EVERY_MS.into()])
}

/// Whether old rows are to be removed in this turn, from the rows of [`take_turn`]; `None` if it is not our turn.
///
/// # Errors
///
/// [`DatabaseError`] if the row is not what was asked for.
pub fn turn(rows: Vec<Row>) -> Result<Option<bool>, DatabaseError> {
    #[derive(Deserialize)]
    struct Turn {
        trims: u8,
    }
    let turn: Option<Turn> = rows.into_iter().next().map(typed).transpose()?;
    Ok(turn.map(|turn| turn.trims == 1))
}

/// What the monitor looks at: see [`observed`].
pub fn observe(now: Timestamp) -> [Statement; 3] {
    [
        Statement::new(OBSERVE, [now.into(), NEWEST.into(), millis(HOUR_MS), millis(TRIED_AGAIN_WITHIN_MS)]),
        Statement::new(NEXT_BALANCE, [CREATIONS_OF_A_USER.saturating_add(1).into()]),
        firing(),
    ]
}

/// What a diagnosis looks at beside [`observe`]: see [`Observed::add_causes`].
pub fn causes(now: Timestamp) -> Statement {
    let windows = [now.into(), millis(SILENT_AFTER_MS), millis(HOUR_MS)];
    let readable = [now.latest_sign_of_life().into(), Timestamp::EARLIEST_OF_CREATION.into()];
    let repeated = [now.saturating_sub(DAY_MS).into(), REPEATED.into(), millis(REDELIVERED_AFTER_MS)];
    let params = windows.into_iter().chain([COUNTED.into(), RECENT.into()]).chain(readable).chain(repeated);
    Statement::new(CAUSES, params.collect::<Vec<_>>())
}

fn millis(duration: u64) -> Param {
    Param::Integer(i64::try_from(duration).unwrap_or(i64::MAX))
}

/// What [`observe`] has found.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// For the rules; what is overdue is not in it.
    pub evidence: Evidence,
    /// The user that the check of the ledger has come to; empty at the end of a round.
    pub checked: String,
    /// The alerts that are firing.
    pub firing: Vec<Alert>,
    /// When the next event is due.
    pub next_event_at: Option<Timestamp>,
    /// Whether [`settle_moves`] may have something to do.
    pub settles: bool,
    /// The buckets that are on record.
    pub recorded: Option<Recorded>,
}

#[derive(Deserialize)]
struct ObservedRow {
    unreadable: u64,
    finished: u64,
    failed: u64,
    timed_out: u64,
    error_code: Option<String>,
    error_count: Option<u64>,
    #[serde(deserialize_with = "instant_if_any")]
    last_good_sweep: Option<Timestamp>,
    #[serde(deserialize_with = "instant_if_any")]
    last_run: Option<Timestamp>,
    #[serde(deserialize_with = "instant_if_any")]
    newest_sweep: Option<Timestamp>,
    newest_sweep_error: Option<String>,
    #[serde(deserialize_with = "json_text_if_any")]
    set_aside: Option<(String, String, i64, u64)>,
    #[serde(deserialize_with = "instant_if_any")]
    next_event_at: Option<Timestamp>,
    #[serde(deserialize_with = "instant_if_any")]
    events_failing_since: Option<Timestamp>,
    dead_letters: u64,
    #[serde(deserialize_with = "json_text")]
    ledger_check: (String, Vec<String>),
    #[serde(deserialize_with = "json_text")]
    moves: Vec<OpenMoveRow>,
    #[serde(deserialize_with = "json_text")]
    buckets: BucketRows,
    settles: u8,
}

#[derive(Deserialize)]
struct BalanceRow {
    user_id: String,
    tokens: i64,
    creations: u64,
    ledger: Option<i64>,
}

#[derive(Deserialize)]
struct CausesRow {
    waiting: u64,
    #[serde(deserialize_with = "instant_if_any")]
    waiting_since: Option<Timestamp>,
    #[serde(deserialize_with = "instant_if_any")]
    last_start: Option<Timestamp>,
    busy: u64,
    alive: u64,
    silent: u64,
    #[serde(deserialize_with = "instant_if_any")]
    earliest: Option<Timestamp>,
    #[serde(deserialize_with = "instant_if_any")]
    latest: Option<Timestamp>,
    unreadable: u64,
    finished: u64,
    failed: u64,
    timed_out: u64,
    error_code: Option<String>,
    error_count: Option<u64>,
    kind: Option<String>,
    kind_failed: Option<u64>,
    kind_finished: Option<u64>,
    #[serde(deserialize_with = "json_text")]
    started_again: Vec<(String, u64)>,
    schema_version: i64,
    #[serde(deserialize_with = "instant_if_any")]
    archive_since: Option<Timestamp>,
    #[serde(deserialize_with = "instant_if_any")]
    archive_ended_at: Option<Timestamp>,
}

/// Reads the results of [`observe`].
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn observed(results: Vec<Vec<Row>>) -> Result<Observed, DatabaseError> {
    let results = <[_; 3]>::try_from(results).map_err(|_| DatabaseError::new("expected three results"))?;
    let [row, balance, alerts] = results;
    let suspended = rows::suspended(&row);
    let row: ObservedRow = only(row)?;
    let (identity, mut differs) = row.ledger_check;
    let balance: Option<BalanceRow> = balance.into_iter().next().map(typed).transpose()?;
    let checked = balance.map(|balance| {
        let is_whole =
            balance.creations <= u64::from(CREATIONS_OF_A_USER) || differs.contains(&balance.user_id);
        // Whoever can't be compared stays as they were.
        if let Some(ledger) = balance.ledger.filter(|_| is_whole) {
            differs.retain(|other| *other != balance.user_id);
            if ledger != balance.tokens {
                differs.push(balance.user_id.clone());
            }
        }
        balance.user_id
    });
    let evidence = Evidence {
        finished: row.finished,
        failed: row.failed,
        timed_out: row.timed_out,
        top_error: row.error_code.zip(row.error_count),
        last_good_sweep: row.last_good_sweep,
        last_run: row.last_run,
        unreadable: row.unreadable,
        newest_sweep: row.newest_sweep,
        newest_sweep_error: row.newest_sweep_error,
        set_aside: row.set_aside.map(|(id, reason, until, count)| {
            let until = Timestamp::from_millis(until).unwrap_or(Timestamp::EPOCH);
            SetAside { count, id, reason, until }
        }),
        events_failing_since: row.events_failing_since,
        dead_letters: row.dead_letters,
        differs,
        suspended,
        moves: row.moves.into_iter().map(open_move).collect(),
        databases: vec![(String::new(), identity)],
        schema_version: super::SCHEMA_VERSION,
        expected_schema_version: super::SCHEMA_VERSION,
        ..Evidence::default()
    };
    Ok(Observed {
        evidence,
        checked: checked.unwrap_or_default(),
        firing: typed_rows(alerts)?,
        next_event_at: row.next_event_at,
        settles: row.settles != 0,
        recorded: Recorded::read(&row.buckets),
    })
}

impl Observed {
    /// Says which of several databases it is of, where that is not told by an id.
    pub fn name(&mut self, shard: &str) {
        let of = |detail: &mut String| *detail = format!("`{shard}`: {detail}");
        self.evidence.behind = Some(shard.to_owned());
        self.evidence.archive_of = Some(shard.to_owned());
        let version = self.evidence.schema_version;
        if version != self.evidence.expected_schema_version {
            self.evidence.other_schemas.push((shard.to_owned(), Some(version)));
        }
        self.evidence.moves.iter_mut().for_each(|row| shard.clone_into(&mut row.shard));
        self.evidence.databases.iter_mut().for_each(|(name, _)| shard.clone_into(name));
        self.evidence.newest_sweep_error.iter_mut().for_each(of);
        if let Some(Suspension::BreakerOpen { detail }) = &mut self.evidence.suspended {
            of(detail);
        }
    }

    /// What two databases say together.
    #[must_use]
    pub fn and(self, other: Observed) -> Observed {
        Observed {
            evidence: self.evidence.and(other.evidence),
            checked: self.checked,
            firing: [self.firing, other.firing].concat(),
            next_event_at: match (self.next_event_at, other.next_event_at) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            settles: self.settles || other.settles,
            recorded: None,
        }
    }

    /// Adds what [`causes`] has found to the evidence.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if it is not what was asked for.
    pub fn add_causes(&mut self, rows: Vec<Row>) -> Result<(), DatabaseError> {
        let row: CausesRow = only(rows)?;
        // Few failures say nothing, and are not worth naming.
        let enough = row.failed >= FEW;
        let kind = row.kind.zip(row.kind_failed.zip(row.kind_finished));
        self.evidence = Evidence {
            waiting: row.waiting,
            waiting_since: row.waiting_since,
            last_start: row.last_start,
            busy: row.busy,
            alive: row.alive,
            silent: row.silent,
            silent_between: row.earliest.zip(row.latest),
            unreadable: row.unreadable,
            more: Ended {
                finished: row.finished,
                failed: row.failed,
                timed_out: row.timed_out,
                top_error: row.error_code.zip(row.error_count).filter(|_| enough),
            },
            top_kind: kind.filter(|_| enough).map(|(kind, (failed, finished))| (kind, failed, finished)),
            started_again: row.started_again,
            schema_version: row.schema_version,
            archive_since: row.archive_since,
            archive_ended_at: row.archive_ended_at,
            ..std::mem::take(&mut self.evidence)
        };
        Ok(())
    }
}

/// Notes how far the check of the ledger is, and whose balance differs.
pub fn checked(user_id: &str, differs: &[String]) -> Statement {
    Statement::new(CHECKED, [user_id.into(), Param::Text(json(differs))])
}

/// Suspends sweeping: `name` is `paused` or `circuit_breaker`. One that suspends it already keeps its beginning.
pub fn hold(name: &str, actor: Option<&str>, detail: &str, now: Timestamp) -> Statement {
    Statement::new(HOLD, [name.into(), now.into(), actor.into(), detail.into()])
}

/// Ends a suspension.
pub fn release(name: &str) -> Statement {
    Statement::new(RELEASE, [name.into()])
}

/// Closes the circuit breaker, unless sweeping is paused: a paused sweep says nothing of what is stale.
pub fn close_breaker() -> Statement {
    Statement::new(CLOSE_BREAKER, [])
}

/// A row of the audit.
pub fn audit(id: &str, actor: &str, action: &str, detail: &str, now: Timestamp) -> Statement {
    Statement::new(AUDIT, [id.into(), now.into(), actor.into(), action.into(), detail.into()])
}

/// Removes what is older than the instants given, at most 500 rows of each: sweeps, dead letters, roll-ups and alerts. The ledger is
/// never trimmed.
pub fn trim(sweeps: Timestamp, events: Timestamp, rollups: Timestamp) -> [Statement; 4] {
    // A UUIDv7 begins with its time.
    let millis = sweeps.as_millis();
    let oldest = format!("{:08x}-{:04x}", millis >> 16, millis & 0xffff);
    [
        Statement::new(TRIM_SWEEPS, [Param::Text(oldest), TRIMMED.into()]),
        Statement::new(TRIM_EVENTS, [events.into(), TRIMMED.into()]),
        Statement::new(TRIM_ROLLUPS, [rollups.into(), TRIMMED.into()]),
        Statement::new(TRIM_ALERTS, [rollups.into(), TRIMMED.into()]),
    ]
}

/// Users who have arrived from another database before `arrived`, or whose move was cancelled before that, are from now on like any other,
/// whether or not anybody has finished the move. Where that was the last of them, the buckets may move again.
pub fn settle_moves(arrived: Timestamp, now: Timestamp) -> [Statement; 2] {
    [
        Statement::new(SETTLE_USERS, [arrived.into(), SETTLED.into()]),
        Statement::new(SETTLE_MOVES, [arrived.into(), now.into()]),
    ]
}
