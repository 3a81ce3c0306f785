//! What each call is to do to a row: a second, plain implementation of the guarded writes, in Rust, by the row as it is
//! at the very moment of the transaction.

use rusqlite::types::Value;
use stale_drafts::rules::{Action, GENERATION_TIMEOUT, Staleness, Status, Timestamp, Verdict, classify};

use crate::call::{CreateCall, ERROR, ERROR_CODE, PlannedRow, ReportCall, Reported, SweepCall};
use crate::image::{Attempt, Creation, Image};

/// An instant as the database stores it.
pub fn millis(now: Timestamp) -> i64 {
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn at(now: Timestamp) -> Value {
    Value::Integer(millis(now))
}

/// How a row is stale by a sweep's own clock and policy; `None` if it is not, or the sweep is not to touch it.
pub fn stale(row: &Creation, sweep: &SweepCall) -> Option<Staleness> {
    let Verdict::Stale(staleness) = classify(&row.draft(), sweep.now, &sweep.policy) else { return None };
    let asked = match &sweep.planned {
        Some(list) => list.iter().any(|planned| {
            let PlannedRow { id, status, attempt, last_sign_of_life, action } = planned;
            (id, status, attempt) == (&row.id, &row.status, &row.attempt)
                && *last_sign_of_life == staleness.last_sign_of_life.as_millis()
                && *action == staleness.action()
        }),
        None => {
            sweep.user.as_ref().is_none_or(|user| *user == row.user_id)
                && sweep.kind.is_none_or(|kind| kind == row.kind)
                && sweep.status.is_none_or(|status| row.status == status.status())
        }
    };
    asked.then_some(staleness)
}

/// A stale row after a sweep.
pub fn swept(row: &Creation, sweep: &SweepCall, staleness: &Staleness) -> Creation {
    let mut row = row.clone();
    if staleness.action() == Action::Retry {
        row.status = Status::Pending;
        row.attempt = row.attempt.saturating_add(1);
        row.queued_at = at(sweep.now);
        (row.started_at, row.heartbeat_at) = (Value::Null, Value::Null);
        row.extended_until = Value::Null;
        (row.worker, row.fence, row.progress) = (None, None, None);
        row.event = Some(String::from("retried"));
        row.notify = sweep.notify.retry;
    } else {
        row.status = Status::Failed;
        row.finished_at = at(sweep.now);
        let reason = Reason::new(&row, staleness);
        (row.error, row.error_code, row.stuck_status) =
            (reason.error, reason.error_code, reason.stuck_status);
        (row.age_ms, row.max_age_ms, row.rule) = (reason.age_ms, reason.max_age_ms, reason.rule);
        row.sweep_id = Some(sweep.sweep_id.clone());
        row.event = Some(String::from("failed"));
        row.notify = sweep.notify.app;
    }
    row.last_sign_of_life = row.sign_of_life();
    row
}

/// Why a sweep says that an attempt is over.
struct Reason {
    error: Option<String>,
    error_code: Option<String>,
    stuck_status: Option<String>,
    age_ms: Option<i64>,
    max_age_ms: Option<i64>,
    rule: Option<String>,
}

impl Reason {
    fn new(row: &Creation, staleness: &Staleness) -> Self {
        let signed = |number: u64| i64::try_from(number).ok();
        Reason {
            error: Some(staleness.error_text().to_string()),
            error_code: Some(String::from(GENERATION_TIMEOUT)),
            stuck_status: Some(String::from(staleness.stuck_status.as_str())),
            age_ms: signed(staleness.age_ms),
            max_age_ms: signed(staleness.max_age_ms),
            rule: Some(staleness.rule.describe(staleness.stuck_status, &row.kind)),
        }
    }
}

/// What a retry leaves of the attempt that was stale.
pub fn retried(row: &Creation, sweep: &SweepCall, staleness: &Staleness) -> Attempt {
    let Reason { error, error_code, stuck_status, age_ms, max_age_ms, rule } = Reason::new(row, staleness);
    Attempt {
        outcome: String::from("retried"),
        worker: row.worker.clone(),
        fence: row.fence.clone(),
        started_at: row.started_at.clone(),
        heartbeat_at: row.heartbeat_at.clone(),
        finished_at: at(sweep.now),
        error,
        error_code,
        stuck_status,
        age_ms,
        max_age_ms,
        rule,
        sweep_id: Some(sweep.sweep_id.clone()),
    }
}

/// What a restore leaves of the failure that it undid.
pub fn undone(row: &Creation, now: Timestamp) -> Attempt {
    Attempt {
        outcome: String::from("restored"),
        worker: row.worker.clone(),
        fence: row.fence.clone(),
        started_at: row.started_at.clone(),
        heartbeat_at: row.heartbeat_at.clone(),
        finished_at: if row.finished_at == Value::Null { at(now) } else { row.finished_at.clone() },
        error: row.error.clone(),
        error_code: row.error_code.clone(),
        stuck_status: row.stuck_status.clone(),
        age_ms: row.age_ms,
        max_age_ms: row.max_age_ms,
        rule: row.rule.clone(),
        sweep_id: row.sweep_id.clone(),
    }
}

/// A row after a report, which may leave it as it is.
pub fn reported(row: &Creation, call: &ReportCall, image: &Image) -> Creation {
    let ReportCall { id, what, user_id, random, progress, keep, notify, now } = call;
    let mut row = row.clone();
    if row.id != *id {
        return row;
    }
    let holds = |fence: &str| row.status == Status::Processing && row.fence.as_deref() == Some(fence);
    let owned = row.user_id == *user_id && row.deleted_at.is_none();
    match what {
        Reported::Start { worker } if row.status == Status::Pending => {
            row.status = Status::Processing;
            row.started_at = at(*now);
            (row.heartbeat_at, row.progress) = (Value::Null, None);
            row.worker = Some(worker.clone());
            row.fence = Some(format!("{}.{random}", row.attempt));
        }
        Reported::Heartbeat { fence } if holds(fence) => {
            row.heartbeat_at = at(*now);
            row.progress = progress.map(i64::from).or(row.progress);
        }
        Reported::Complete { fence, result_url } if holds(fence) => {
            row.status = Status::Draft;
            row.finished_at = at(*now);
            row.result_url = Some(result_url.clone());
        }
        Reported::Complete { fence, result_url } if *keep && is_late(&row, fence, image) => {
            row.late_result_url = Some(result_url.clone());
            row.late_at = Some(millis(*now));
        }
        Reported::Fail { fence } if fence.as_deref().map_or(row.status == Status::Pending, holds) => {
            row.status = Status::Failed;
            row.finished_at = at(*now);
            row.error_code = Some(String::from(ERROR_CODE));
            row.error = Some(String::from(ERROR));
            row.event = Some(String::from("failed"));
            row.notify = *notify;
        }
        Reported::Publish if owned && row.status == Status::Draft => row.status = Status::Published,
        Reported::Delete if owned && row.status.active().is_none() => {
            row.deleted_at = Some(millis(*now));
            row.prompt.clear();
            (row.result_url, row.late_result_url, row.late_at) = (None, None, None);
        }
        Reported::Restore
            if row.status == Status::Failed && row.late_at.is_some() && row.deleted_at.is_none() =>
        {
            row.status = Status::Draft;
            row.result_url = row.late_result_url.clone();
            row.finished_at = row.late_at.map_or(Value::Null, Value::Integer);
            row.restored_at = Some(millis(*now));
            (row.error, row.error_code, row.stuck_status) = (None, None, None);
            (row.age_ms, row.max_age_ms, row.rule, row.sweep_id) = (None, None, None, None);
            row.event = Some(String::from("restored"));
            row.notify = *notify;
        }
        _ => {}
    }
    row.last_sign_of_life = row.sign_of_life();
    row
}

/// Whether a result with this fence comes too late, and is the first that does.
fn is_late(row: &Creation, fence: &str, image: &Image) -> bool {
    let mut attempts = image.attempts.range((row.id.clone(), 0)..=(row.id.clone(), u32::MAX));
    let of_one_before = attempts.any(|(_, attempt)| attempt.fence.as_deref() == Some(fence));
    let open = matches!(row.status, Status::Pending | Status::Processing | Status::Failed);
    let of_this = row.status == Status::Failed && row.fence.as_deref() == Some(fence);
    row.late_at.is_none() && row.deleted_at.is_none() && (of_this || (open && of_one_before))
}

/// A new row.
pub fn created(call: &CreateCall) -> Creation {
    let CreateCall { id, user_id, kind, tokens, now } = call;
    let mut row = Creation {
        id: id.clone(),
        user_id: user_id.clone(),
        kind: String::from(*kind),
        prompt: String::from("a fox"),
        status: Status::Pending,
        attempt: 1,
        tokens: i64::try_from(*tokens).unwrap_or(i64::MAX),
        created_at: at(*now),
        queued_at: Value::Null,
        started_at: Value::Null,
        heartbeat_at: Value::Null,
        finished_at: Value::Null,
        error: None,
        error_code: None,
        worker: None,
        fence: None,
        progress: None,
        result_url: None,
        late_result_url: None,
        late_at: None,
        restored_at: None,
        deleted_at: None,
        event: None,
        notify: 0,
        stuck_status: None,
        age_ms: None,
        max_age_ms: None,
        rule: None,
        sweep_id: None,
        last_sign_of_life: None,
        balance_elsewhere: false,
        extended_until: Value::Null,
    };
    row.last_sign_of_life = row.sign_of_life();
    row
}
