//! What workers, owners and operators report, and the lists of what there is.
//!
//! Each report is one transaction: a guarded write, and then a read of the row. Where the write did not take effect, the
//! row says why.

use std::slice;

use serde::{Deserialize, Serialize};

use super::holds::hold;
use super::notes::{Acting, acted};
use super::rows::{cell, elsewhere, unsigned};
use super::sweep::{active, candidate};
use super::typed::typed_rows;
use super::{CandidateRow, DatabaseError, Page, Param, Row, Statement, json};
use crate::rules::{
    ActiveLimits, CANCELLED, CANCELLED_TEXT, Elsewhere, FAILED_BY_OPERATOR, MaxActive, Policy, Report,
    Snapshot, Status, Timestamp,
};

/// How long the trace of a start that came once more is kept.
pub(super) const DAY_MS: u64 = 86_400_000;
/// At most so many active creations are named where another one is too many.
const ACTIVE_LISTED: u32 = 100;

const CREATE: &str =
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
     VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?6) ON CONFLICT (id) DO NOTHING";

/// The same within limits: ?7 of all kinds, ?8 of this one; `NULL` is none. What is counted is counted in the statement that inserts, so two
/// at once do not both pass.
const CREATE_WITHIN: &str = concat!(
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
     SELECT ?1, ?2, ?3, ?4, 'pending', ?5, ?6
     WHERE (?7 IS NULL OR (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
         WHERE ", active!(), " AND user_id = ?2 LIMIT ?7)) < ?7)
       AND (?8 IS NULL OR (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
         WHERE ", active!(), " AND user_id = ?2 AND kind = ?3 LIMIT ?8)) < ?8)
     ON CONFLICT (id) DO NOTHING"
);

/// What is active of a user, that of the kind ?4 before others and the oldest rows first, if the creation ?1 is not there: that is why.
const ACTIVE_INSTEAD: &str = concat!(
    "SELECT id, kind, status FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
     WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_creations WHERE id = ?1)
       AND ",
    active!(),
    " AND user_id = ?2 ORDER BY kind <> ?4, rowid LIMIT ?3"
);

const START: &str =
    "UPDATE stale_drafts_creations SET status = 'processing', started_at = ?2, heartbeat_at = NULL, progress = NULL, worker = ?3,
       fence = attempt || '.' || ?4
     WHERE id = ?1 AND status = 'pending'";

/// The trace of a start that comes once more, if the attempt still is what that was decided on.
const STARTED_AGAIN: &str = "INSERT INTO stale_drafts_repeated_starts (at, creation_id, attempt, after_ms)
     SELECT ?3, id, attempt, ?4 FROM stale_drafts_creations WHERE id = ?1 AND status = 'processing' AND fence = ?2
     ON CONFLICT DO NOTHING";

/// Such traces are removed where new ones come in, so that nothing is to be done where none do.
const FORGET_STARTS: &str = "DELETE FROM stale_drafts_repeated_starts WHERE at < ?1";

const HEARTBEAT: &str = "UPDATE stale_drafts_creations SET heartbeat_at = ?2, progress = ifnull(?4, progress)
     WHERE id = ?1 AND status = 'processing' AND fence = ?3";

/// The trigger `stale_drafts_creations_are_refunded_in_part` gives back what was not used.
const COMPLETE: &str =
    "UPDATE stale_drafts_creations SET status = 'draft', finished_at = ?2, result_url = ?4, tokens_used = ?5
     WHERE id = ?1 AND status = 'processing' AND fence = ?3 AND (?5 IS NULL OR ?5 <= tokens AND balance_elsewhere = 0)";

/// A result that comes too late is kept, the first of them: of the attempt that failed, or of one before.
const KEEP: &str = "UPDATE stale_drafts_creations SET late_result_url = ?4, late_at = ?2
     WHERE id = ?1 AND late_at IS NULL AND deleted_at IS NULL
       AND ((status = 'failed' AND fence = ?3)
         OR (status IN ('pending', 'processing', 'failed')
           AND EXISTS (SELECT 1 FROM stale_drafts_attempts WHERE creation_id = ?1 AND fence = ?3)))";

const FAIL: &str =
    "UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?2, error_code = ?4, error = ?5,
       event = 'failed', event_destinations = ?6, tokens_used = ?7
     WHERE id = ?1 AND ((status = 'processing' AND fence = ?3) OR (status = 'pending' AND ?3 IS NULL))
       AND (?7 IS NULL OR ?7 <= tokens AND balance_elsewhere = 0)";

/// What a policy says in ?8 about cancelling such a creation: see [`cancellations`].
macro_rules! cancellation {
    () => {
        "ifnull((SELECT value ->> 1 FROM json_each(?8, '$.kinds') WHERE value ->> 0 = kind), ?8 ->> '$.others')"
    };
}

/// Ends what nobody wants any more; ?6 is its owner, or `''` for anybody.
const CANCEL: &str = concat!(
    "UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?2, error_code = ?3, error = ?4,
       event = 'failed', event_destinations = ?5,
       tokens_used = iif(status = 'processing' AND ",
    cancellation!(),
    " = 'keep', tokens, NULL)
     WHERE id = ?1 AND (?6 = '' OR user_id = ?6) AND (?7 IS NULL OR attempt = ?7) AND balance_elsewhere = 0
       AND (status = 'pending' OR status = 'processing' AND ",
    cancellation!(),
    " <> 'never')"
);

/// Fails what is active, as an operator wants it. The money of an attached app's row is its own.
const FAIL_NOW: &str =
    "UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?2, error_code = ?3, error = ?4,
       event = 'failed', event_destinations = ?5
     WHERE id = ?1 AND attempt = ?6 AND status IN ('pending', 'processing') AND balance_elsewhere = 0";

/// Whether the attempt ?3 has failed and may be retried, by its owner ?4, or by anybody if that is `''`.
macro_rules! retriable {
    () => {
        "id = ?1 AND status = 'failed' AND attempt = ?3 AND deleted_at IS NULL AND settled_elsewhere = 0 AND balance_elsewhere = 0
       AND (?4 = '' OR user_id = ?4)"
    };
}

/// Whether one more of the owner ?4 may be active, by the limits of a policy in `$limits`: see [`limits`]. It stands in each statement of
/// a retry, in one transaction, so two at once do not both pass.
macro_rules! within {
    ($limits:literal) => {
        concat!(
            "
       AND (",
            $limits,
            " ->> '$.all' IS NULL OR (SELECT count(*) FROM (
         SELECT 1 FROM stale_drafts_creations AS a INDEXED BY stale_drafts_creations_active_of_user
         WHERE a.",
            active!(),
            " AND a.user_id = ?4 LIMIT ",
            $limits,
            " ->> '$.all')) < ",
            $limits,
            " ->> '$.all')
       AND NOT EXISTS (SELECT 1 FROM json_each(",
            $limits,
            ", '$.kinds') WHERE value ->> 0 = kind AND value ->> 1 <= (
         SELECT count(*) FROM stale_drafts_creations AS a INDEXED BY stale_drafts_creations_active_of_user
         WHERE a.",
            active!(),
            " AND a.user_id = ?4 AND a.kind = stale_drafts_creations.kind))"
        )
    };
}

/// What stays of a failure that somebody retries, at the instant ?2; the rows follow.
macro_rules! record_retried {
    () => {
        "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, tokens_used, worker, fence, started_at, heartbeat_at,
       finished_at, error, error_code, stuck_status, age_ms, max_age_ms, rule, sweep_id)
     SELECT id, attempt, 'failed', tokens_used, worker, fence, started_at, heartbeat_at, ifnull(finished_at, ?2), error, error_code,
       stuck_status, age_ms, max_age_ms, rule, sweep_id "
    };
}

/// What a retry at the instant ?2 sets; its event goes to these destinations. The trigger
/// `stale_drafts_creations_are_charged_for_a_retry` charges. What an operator gave the attempt before ends with it;
/// `stale_drafts_creations_attempt_extended` gives what the kind has.
macro_rules! retried {
    ($destinations:literal) => {
        concat!(
            "status = 'pending', attempt = attempt + 1, charge = charge + 1, tokens_used = NULL,
       queued_at = ?2, started_at = NULL, heartbeat_at = NULL, extended_until = NULL, finished_at = NULL, worker = NULL, fence = NULL,
       progress = NULL, error = NULL, error_code = NULL, stuck_status = NULL, age_ms = NULL, max_age_ms = NULL, rule = NULL,
       sweep_id = NULL, event = 'retried', event_destinations = ",
            $destinations
        )
    };
}

pub(super) use {record_retried, retried};

/// The failure that somebody is about to retry.
const RECORD_RETRIED: &str = concat!(record_retried!(), "FROM stale_drafts_creations WHERE ", retriable!());
const RECORD_RETRIED_WITHIN: &str =
    concat!(record_retried!(), "FROM stale_drafts_creations WHERE ", retriable!(), within!("?5"));

const RETRY: &str = concat!("UPDATE stale_drafts_creations SET ", retried!("?5"), " WHERE ", retriable!());
const RETRY_WITHIN: &str =
    concat!("UPDATE stale_drafts_creations SET ", retried!("?5"), " WHERE ", retriable!(), within!("?6"));

/// What is active of the owner ?4, that of its kind first and then the oldest rows, if the creation has not been retried: that is why.
const ACTIVE_INSTEAD_OF_RETRY: &str = concat!(
    "SELECT id, kind, status FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
     WHERE EXISTS (SELECT 1 FROM stale_drafts_creations WHERE ",
    retriable!(),
    ")
       AND ",
    active!(),
    " AND user_id = ?4 ORDER BY kind <> (SELECT kind FROM stale_drafts_creations WHERE id = ?1), rowid LIMIT ?2"
);

const PUBLISH: &str = "UPDATE stale_drafts_creations SET status = 'published'
     WHERE id = ?1 AND status = 'draft' AND deleted_at IS NULL AND user_id = ?2";

/// What is the owner's goes; what the ledger refers to stays.
const DELETE: &str =
    "UPDATE stale_drafts_creations SET deleted_at = ?3, prompt = '', result_url = NULL, late_result_url = NULL,
       late_at = NULL
     WHERE id = ?1 AND status IN ('draft', 'published', 'failed') AND deleted_at IS NULL AND user_id = ?2";

/// The failure that a restore is about to undo.
const RECORD_FAILURE: &str = "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, tokens_used, worker, fence, started_at,
       heartbeat_at, finished_at, error, error_code, stuck_status, age_ms, max_age_ms, rule, sweep_id)
     SELECT id, attempt, 'restored', tokens_used, worker, fence, started_at, heartbeat_at, ifnull(finished_at, ?2), error, error_code,
       stuck_status, age_ms, max_age_ms, rule, sweep_id
     FROM stale_drafts_creations WHERE id = ?1 AND status = 'failed' AND late_at IS NOT NULL AND deleted_at IS NULL";

/// The trigger `stale_drafts_creations_are_charged_again` charges. An attempt that began after the result came in is not the one that it is
/// of: what is known of that one stands among the attempts.
const RESTORE: &str = "UPDATE stale_drafts_creations SET status = 'draft', result_url = late_result_url, finished_at = late_at,
       started_at = iif(started_at > late_at, NULL, started_at), heartbeat_at = iif(started_at > late_at, NULL, heartbeat_at),
       worker = iif(started_at > late_at, NULL, worker), restored_at = ?2, tokens_used = NULL, error = NULL, error_code = NULL, stuck_status = NULL, age_ms = NULL, max_age_ms = NULL,
       rule = NULL, sweep_id = NULL, event = 'restored', event_destinations = ?3
     WHERE id = ?1 AND status = 'failed' AND late_at IS NOT NULL AND deleted_at IS NULL";

#[rustfmt::skip]
const CREATION: &str = concat!(
    "SELECT json_array(", candidate!(), ", worker, fence, prompt, error_code, result_url, late_result_url, late_at, restored_at, deleted_at,
       CASE typeof(finished_at) WHEN 'integer' THEN finished_at END, tokens_used,
       json(iif(charge = 1, '[]', (SELECT json_group_array(attempt) FROM stale_drafts_attempts
         WHERE creation_id = ?1 AND outcome = 'failed'))),
       CASE WHEN restored_at IS NOT NULL THEN (SELECT -tokens FROM stale_drafts_ledger
         WHERE entry_key = iif(c.charge = 1, 'restore:', 'restore' || c.charge || ':') || ?1) END,
       CASE WHEN settled_elsewhere = 1 THEN 'settled' WHEN balance_elsewhere = 1 THEN 'balance' END) AS creation
     FROM stale_drafts_creations AS c WHERE id = ?1"
);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NewCreation<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its owner, who is charged.
    pub user_id: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// What the owner asks for: untrusted text.
    pub prompt: &'a str,
    /// What it costs, at most 2^53 − 1.
    pub tokens: u64,
}

/// Makes a creation unless it is there, and reads it.
pub fn create(new: NewCreation<'_>, now: Timestamp) -> [Statement; 2] {
    let NewCreation { id, user_id, kind, prompt, tokens } = new;
    let tokens = Param::Integer(i64::try_from(tokens).unwrap_or(i64::MAX));
    let params = [id.into(), user_id.into(), kind.into(), prompt.into(), tokens, now.into()];
    [Statement::new(CREATE, params), creation(id)]
}

/// The same within the limits of a policy. The last statement answers with what is active instead, where it is not made: rows for
/// [`active_instead`].
pub fn create_within(new: NewCreation<'_>, limits: ActiveLimits, now: Timestamp) -> [Statement; 3] {
    let [mut create, read] = create(new, now);
    let limit = |limit: Option<MaxActive>| limit.map_or(Param::Null, |limit| limit.get().into());
    create.sql = CREATE_WITHIN;
    create.params.extend([limit(limits.of_all), limit(limits.of_kind)]);
    let instead = [new.id.into(), new.user_id.into(), ACTIVE_LISTED.into(), new.kind.into()];
    [create, Statement::new(ACTIVE_INSTEAD, instead), read]
}

/// One of the creations that are active, where another one is too many.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ActiveRow {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// `pending` or `processing`.
    pub status: String,
}

/// What is active, from the rows of the last statement but one of [`create_within`], or of a retry within limits.
///
/// # Errors
///
/// [`DatabaseError`] if they are not of the shape that was asked for.
pub fn active_instead(rows: Vec<Row>) -> Result<Vec<ActiveRow>, DatabaseError> {
    typed_rows(rows)
}

/// What a report writes beside what the rules need of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// The random part of the fence that a start gives.
    pub random: &'a str,
    /// How far a heartbeat says that it is, in percent.
    pub progress: Option<u32>,
    /// Why it failed, in words.
    pub error: &'a str,
    /// Whose it must be, for what owners report; for a retry or a cancellation anybody's if it is empty.
    pub user_id: &'a str,
    /// Whether a result that comes too late is kept.
    pub keep: bool,
    /// Where the event of a failure, a restore or a retry goes: see `stale_drafts_events.destinations`.
    pub notify: u32,
    /// Who acts, where that is to be kept: see [`acted`].
    pub act: Option<Acting<'a>>,
    /// For a retry by its owner: the policy that says how many of theirs may be active, with it. The last result but one has what is
    /// active instead: see [`Details::limits_retry`].
    pub max_active: Option<&'a Policy>,
}

impl Details<'_> {
    /// Whether a retry is held to a limit.
    pub fn limits_retry(&self) -> bool {
        self.max_active.is_some_and(|policy| limits(policy).is_some())
    }
}

/// The writes of a report, and a read of the creation after them.
pub fn report(id: &str, report: &Report<'_>, details: &Details<'_>, now: Timestamp) -> Vec<Statement> {
    let Details { random, progress, error, user_id, keep, notify, act, max_active } = *details;
    let (id_, now_): (Param, Param) = (id.into(), now.into());
    let mut batch = match *report {
        Report::Start { worker } => vec![Statement::new(START, [id_, now_, worker.into(), random.into()])],
        Report::Heartbeat { fence } => {
            let progress = progress.map_or(Param::Null, Param::from);
            vec![Statement::new(HEARTBEAT, [id_, now_, fence.into(), progress])]
        }
        Report::Complete { fence, result_url, tokens_used } => {
            let params = [id_, now_, fence.into(), result_url.into()];
            let late = keep.then(|| Statement::new(KEEP, params.clone()));
            let params: Vec<_> = params.into_iter().chain([used(tokens_used)]).collect();
            [Statement::new(COMPLETE, params)].into_iter().chain(late).collect()
        }
        Report::Fail { fence, error_code, tokens_used } => {
            let used = used(tokens_used);
            let params = [id_, now_, fence.into(), error_code.into(), error.into(), notify.into(), used];
            vec![Statement::new(FAIL, params)]
        }
        Report::Publish => vec![Statement::new(PUBLISH, [id_, user_id.into()])],
        Report::Delete => vec![Statement::new(DELETE, [id_, user_id.into(), now_])],
        Report::Restore => vec![
            Statement::new(RECORD_FAILURE, [id_.clone(), now_.clone()]),
            Statement::new(RESTORE, [id_, now_, notify.into()]),
        ],
        Report::Retry { attempt } => {
            let params = [id_.clone(), now_, attempt.into(), user_id.into()];
            let and = |more: &[Param]| params.iter().chain(more).cloned().collect::<Vec<_>>();
            match max_active.and_then(limits).map(Param::Text) {
                None => vec![
                    Statement::new(RECORD_RETRIED, params.clone()),
                    Statement::new(RETRY, and(&[notify.into()])),
                ],
                Some(limits) => vec![
                    Statement::new(RECORD_RETRIED_WITHIN, and(slice::from_ref(&limits))),
                    Statement::new(RETRY_WITHIN, and(&[notify.into(), limits])),
                    Statement::new(
                        ACTIVE_INSTEAD_OF_RETRY,
                        [id_, ACTIVE_LISTED.into(), attempt.into(), user_id.into()],
                    ),
                ],
            }
        }
        Report::Cancel { attempt, policy } => {
            let (code, text): (Param, Param) = (CANCELLED.into(), CANCELLED_TEXT.into());
            let attempt = attempt.map_or(Param::Null, Param::from);
            let says = Param::Text(cancellations(policy));
            vec![Statement::new(
                CANCEL,
                [id_, now_, code, text, notify.into(), user_id.into(), attempt, says],
            )]
        }
        Report::FailNow { attempt } => {
            let code = FAILED_BY_OPERATOR.into();
            vec![Statement::new(FAIL_NOW, [id_, now_, code, error.into(), notify.into(), attempt.into()])]
        }
    };
    let done = match *report {
        Report::Restore => Some(("restore", String::new())),
        Report::Retry { attempt } => Some(("retry", format!("attempt {attempt}"))),
        Report::Cancel { .. } => Some(("cancel", String::new())),
        Report::FailNow { .. } => Some(("fail", error.to_owned())),
        _ => None,
    };
    batch.extend(act.zip(done).map(|(by, (action, detail))| acted(id, by, action, detail, now)));
    batch.push(creation(id));
    batch
}

fn used(tokens_used: Option<u64>) -> Param {
    tokens_used.map_or(Param::Null, |tokens| Param::Integer(i64::try_from(tokens).unwrap_or(i64::MAX)))
}

/// What a policy says about cancelling: `{"kinds": [[kind, word], …], "others": word}`.
fn cancellations(policy: &Policy) -> String {
    let of = |kind: &str| policy.cancellation(kind).as_str();
    let kinds: Vec<_> = policy.kinds().map(|kind| (kind, of(kind))).collect();
    json(&serde_json::json!({ "kinds": kinds, "others": of("") }))
}

/// How many of an owner's creations may be active: `{"all": limit, "kinds": [[kind, limit], …]}`; `None` if a policy limits none.
fn limits(policy: &Policy) -> Option<String> {
    let all = policy.max_active("").of_all.map(MaxActive::get);
    let of = |kind| Some((kind, policy.max_active(kind).of_kind?.get()));
    let kinds: Vec<_> = policy.kinds().filter_map(of).collect();
    (all.is_some() || !kinds.is_empty()).then(|| json(&serde_json::json!({ "all": all, "kinds": kinds })))
}

/// Notes that the attempt with this fence is started once more, so long after its start, and forgets what is older than a day.
pub fn started_again(id: &str, fence: &str, after_ms: u64, now: Timestamp) -> [Statement; 2] {
    let after_ms = Param::Integer(i64::try_from(after_ms).unwrap_or(i64::MAX));
    [
        Statement::new(STARTED_AGAIN, [id.into(), fence.into(), now.into(), after_ms]),
        Statement::new(FORGET_STARTS, [now.saturating_sub(DAY_MS).into()]),
    ]
}

/// A creation as it is now: see [`creation_of`].
pub fn creation(id: &str) -> Statement {
    Statement::new(CREATION, [id.into()])
}

/// A creation as it is now: the fields are in the order of [`CREATION`].
#[derive(Clone, Debug, Deserialize)]
pub struct CreationRow {
    /// What the rules need of it.
    pub creation: CandidateRow,
    /// Who began the present attempt.
    pub worker: Option<String>,
    /// What that worker's reports carry.
    pub fence: Option<String>,
    /// What its owner asked for: untrusted text.
    pub prompt: String,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Where its result is.
    pub result_url: Option<String>,
    /// Where the one is that came too late and is kept.
    pub late_result_url: Option<String>,
    /// When a result came too late.
    #[serde(deserialize_with = "unsigned")]
    pub late_at: Option<u64>,
    /// When that was restored.
    #[serde(deserialize_with = "unsigned")]
    pub restored_at: Option<u64>,
    /// When its owner deleted it.
    #[serde(deserialize_with = "unsigned")]
    pub deleted_at: Option<u64>,
    /// When it was finished.
    #[serde(deserialize_with = "unsigned")]
    pub finished_at: Option<u64>,
    /// What of the charge is used up, where something was said.
    pub tokens_used: Option<u64>,
    /// The attempts that failed and were retried by hand.
    pub retried: Vec<u32>,
    /// What a restore has charged again.
    pub charged_again: Option<u64>,
    /// Where its money is, if it is not here.
    #[serde(deserialize_with = "elsewhere")]
    pub elsewhere: Option<Elsewhere>,
}

impl CreationRow {
    /// What of the charge is used up, or was in the attempt that is over.
    pub fn used(&self) -> u64 {
        self.snapshot().map_or(0, |snapshot| snapshot.used())
    }

    /// What of the charge has gone back with that.
    pub fn refunded(&self) -> u64 {
        self.creation.tokens.saturating_sub(self.used())
    }

    /// The same as the rules take it; `None` if its status is none.
    pub fn snapshot(&self) -> Option<Snapshot<'_>> {
        Some(Snapshot {
            status: self.creation.status.parse::<Status>().ok()?,
            attempt: self.creation.attempt,
            worker: self.worker.as_deref(),
            fence: self.fence.as_deref(),
            kind: &self.creation.kind,
            tokens: self.creation.tokens,
            tokens_used: self.tokens_used,
            retried: &self.retried,
            error_code: self.error_code.as_deref(),
            result_url: self.result_url.as_deref(),
            late: self.late_at.is_some(),
            restored: self.restored_at.is_some(),
            deleted: self.deleted_at.is_some(),
            elsewhere: self.elsewhere,
        })
    }
}

/// A creation as it is now, from the rows of [`creation`]; `None` if there is no such creation.
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn creation_of(rows: &[Row]) -> Result<Option<CreationRow>, DatabaseError> {
    if rows.is_empty() { Ok(None) } else { cell(rows, "creation").map(Some) }
}

const BALANCE: &str = "SELECT tokens FROM stale_drafts_balances WHERE user_id = ?1";
const BALANCES: &str = "SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id LIMIT ?1";

/// One user's active creations, readable or not, the oldest rows first.
#[rustfmt::skip]
const ACTIVE_OF_USER: &str = concat!(
    "SELECT json_group_array(", candidate!(), ") AS candidates, ", hold!("?1"), " AS hold FROM (
       SELECT * FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user
       WHERE ", active!(), " AND user_id = ?1 ORDER BY rowid LIMIT ?2)"
);

/// What a list shows of a creation, as JSON in a row of its own: D1 stores no string above 2,000,000 bytes, and 100 long prompts are
/// more. See [`super::PageRow`].
macro_rules! listed {
    () => {
        concat!(
            "json_array(",
            candidate!(),
            ", prompt, error, error_code,
         CASE typeof(finished_at) WHEN 'integer' THEN finished_at END, listed_at, refunded_tokens,
         result_url, late_at, restored_at, deleted_at, rule,
         CASE WHEN settled_elsewhere = 1 THEN 'settled' WHEN balance_elsewhere = 1 THEN 'balance' END, stuck_status, age_ms,
         ",
            crate::store::holds::hold!("listed.user_id"),
            ")"
        )
    };
}

/// What went back of a creation's present charge; a restore takes it again. What failed in another system was refunded there.
macro_rules! refunded {
    () => {
        "CASE WHEN c.settled_elsewhere = 0
         THEN (SELECT tokens FROM stale_drafts_ledger
           WHERE entry_key = iif(c.charge = 1, 'refund:', 'refund' || c.charge || ':') || c.id AND c.restored_at IS NULL)
         WHEN c.status = 'failed' THEN c.tokens END AS refunded_tokens"
    };
}

pub(super) use {listed, refunded};

/// One page of a user's creations, the newest first, without those that the user has deleted.
#[rustfmt::skip]
const PAGE: &str = concat!(
    "SELECT ", listed!(), " AS page FROM (
       SELECT c.*, ", refunded!(), " FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (?2, ?3) AND deleted_at IS NULL
       ORDER BY listed_at DESC, id DESC LIMIT ?4) AS listed"
);

/// The same for an operator: deleted ones included, and of one status if ?5 names one.
#[rustfmt::skip]
const PAGE_OF_ALL: &str = concat!(
    "SELECT ", listed!(), " AS page FROM (
       SELECT c.*, ", refunded!(), " FROM stale_drafts_creations AS c INDEXED BY stale_drafts_creations_of_user
       WHERE user_id = ?1 AND (listed_at, id) < (?2, ?3) AND (?5 IS NULL OR status = ?5)
       ORDER BY listed_at DESC, id DESC LIMIT ?4) AS listed"
);

/// Active creations of one user, at most `limit`: one row with `candidates`, and `hold` as [`super::PageRow`] has it.
pub fn active_of_user(user_id: &str, limit: u32) -> Statement {
    Statement::new(ACTIVE_OF_USER, [user_id.into(), limit.into()])
}

/// The users with the first `limit` balances in alphabetical order: rows of `user_id`, `tokens`.
pub fn balances(limit: u32) -> Statement {
    Statement::new(BALANCES, [limit.into()])
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
    params.push(status.into());
    Statement::new(PAGE_OF_ALL, params)
}

fn place(user_id: &str, after: &Page, limit: u32) -> Vec<Param> {
    vec![user_id.into(), Param::Integer(after.listed_at), after.id.as_str().into(), limit.into()]
}
