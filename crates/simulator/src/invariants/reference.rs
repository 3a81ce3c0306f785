//! What each call is to do to a row: a second, plain implementation of the guarded writes, in Rust, by the row as it is
//! at the very moment of the transaction.

use rusqlite::types::Value;
use stale_drafts::rules::{
    Action, ActiveLimits, CANCELLED, CANCELLED_TEXT, Cancellation, FAILED_BY_OPERATOR, GENERATION_TIMEOUT,
    MaxActive, Staleness, Status, Timestamp, Verdict, classify,
};

use crate::call::{
    AskCall, CreateCall, ERROR, ERROR_CODE, ExtendCall, Extended, OPERATOR, PlannedRow, REASON, ReportCall,
    Reported, Said, SweepCall,
};
use crate::image::{Attempt, Audit, Creation, Extension, Image};

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
pub fn swept(row: &Creation, sweep: &SweepCall, staleness: &Staleness, image: &Image) -> Creation {
    let mut row = row.clone();
    if staleness.action() == Action::Retry {
        row.status = Status::Pending;
        row.attempt = row.attempt.saturating_add(1);
        row.queued_at = at(sweep.now);
        (row.started_at, row.heartbeat_at) = (Value::Null, Value::Null);
        row.extended_until = of_kind(image, &row.kind, sweep.now);
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
        tokens_used: None,
    }
}

/// What a restore leaves of the failure that it undid (`restored`), and a retry by hand of the one before it (`failed`).
pub fn undone(row: &Creation, outcome: &str, now: Timestamp) -> Attempt {
    Attempt {
        outcome: String::from(outcome),
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
        tokens_used: row.tokens_used,
    }
}

/// A row after a report, which may leave it as it is.
pub fn reported(row: &Creation, call: &ReportCall, image: &Image) -> Creation {
    let ReportCall { id, what, user_id, random, progress, keep, notify, policy, now } = call;
    let mut row = row.clone();
    if row.id != *id {
        return row;
    }
    let holds = |fence: &str| row.status == Status::Processing && row.fence.as_deref() == Some(fence);
    let owned = row.user_id == *user_id && row.deleted_at.is_none();
    let allowed = user_id.is_empty() || row.user_id == *user_id;
    let uses = |tokens_used: &Option<u64>| {
        tokens_used.is_none_or(|used| used <= row.tokens.unsigned_abs() && !row.balance_elsewhere)
    };
    let said = |tokens_used: &Option<u64>| tokens_used.and_then(|used| i64::try_from(used).ok());
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
        Reported::Complete { fence, result_url, tokens_used } if holds(fence) && uses(tokens_used) => {
            row.tokens_used = said(tokens_used);
            row.status = Status::Draft;
            row.finished_at = at(*now);
            row.result_url = Some(result_url.clone());
        }
        Reported::Complete { fence, result_url, .. } if *keep && is_late(&row, fence, image) => {
            row.late_result_url = Some(result_url.clone());
            row.late_at = Some(millis(*now));
        }
        Reported::Fail { fence, tokens_used }
            if fence.as_deref().map_or(row.status == Status::Pending, holds) && uses(tokens_used) =>
        {
            row.tokens_used = said(tokens_used);
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
            // What began after the result came in has not made it. By SQLite's order a text is greater than each number.
            let began_after = match &row.started_at {
                Value::Integer(at) => row.late_at.is_some_and(|late_at| *at > late_at),
                Value::Text(_) | Value::Blob(_) => true,
                Value::Null | Value::Real(_) => false,
            };
            if began_after {
                (row.started_at, row.heartbeat_at, row.worker) = (Value::Null, Value::Null, None);
            }
            row.status = Status::Draft;
            row.result_url = row.late_result_url.clone();
            row.finished_at = row.late_at.map_or(Value::Null, Value::Integer);
            row.restored_at = Some(millis(*now));
            row.tokens_used = None;
            (row.error, row.error_code, row.stuck_status) = (None, None, None);
            (row.age_ms, row.max_age_ms, row.rule, row.sweep_id) = (None, None, None, None);
            row.event = Some(String::from("restored"));
            row.notify = *notify;
        }
        Reported::Retry { attempt }
            if row.status == Status::Failed
                && row.attempt == *attempt
                && row.deleted_at.is_none()
                && !row.balance_elsewhere
                && allowed
                // Operators are not limited.
                && (user_id.is_empty()
                    || !is_full(policy.max_active(&row.kind), user_id, &row.kind, image)) =>
        {
            return retried_by_hand(&row, *now, *notify, image);
        }
        Reported::Cancel { attempt }
            if attempt.is_none_or(|attempt| attempt == row.attempt)
                && !row.balance_elsewhere
                && allowed
                && (row.status == Status::Pending
                    || row.status == Status::Processing
                        && policy.cancellation(&row.kind) != Cancellation::Never) =>
        {
            let kept =
                row.status == Status::Processing && policy.cancellation(&row.kind) == Cancellation::Keep;
            row.tokens_used = kept.then_some(row.tokens);
            row.status = Status::Failed;
            row.finished_at = at(*now);
            row.error_code = Some(String::from(CANCELLED));
            row.error = Some(String::from(CANCELLED_TEXT));
            row.event = Some(String::from("failed"));
            row.notify = *notify;
        }
        Reported::FailNow { attempt }
            if row.attempt == *attempt && row.status.active().is_some() && !row.balance_elsewhere =>
        {
            row.status = Status::Failed;
            row.finished_at = at(*now);
            row.error_code = Some(String::from(FAILED_BY_OPERATOR));
            row.error = Some(String::from(ERROR));
            row.event = Some(String::from("failed"));
            row.notify = *notify;
        }
        _ => {}
    }
    row.last_sign_of_life = row.sign_of_life();
    row
}

/// A failed row after somebody had it tried again, for another charge.
pub fn retried_by_hand(row: &Creation, now: Timestamp, notify: u32, image: &Image) -> Creation {
    let mut row = row.clone();
    row.status = Status::Pending;
    row.attempt = row.attempt.saturating_add(1);
    row.charge = row.charge.saturating_add(1);
    row.tokens_used = None;
    row.queued_at = at(now);
    (row.started_at, row.heartbeat_at, row.finished_at) = (Value::Null, Value::Null, Value::Null);
    row.extended_until = of_kind(image, &row.kind, now);
    (row.worker, row.fence, row.progress) = (None, None, None);
    (row.error, row.error_code, row.stuck_status) = (None, None, None);
    (row.age_ms, row.max_age_ms, row.rule, row.sweep_id) = (None, None, None, None);
    row.event = Some(String::from("retried"));
    row.notify = notify;
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

/// Why a retry or a cancellation is refused, by the row as it is then; `None` if it took effect.
pub fn refusal(row: &Creation, call: &ReportCall, image: &Image) -> Option<&'static str> {
    match &call.what {
        Reported::Retry { attempt } => {
            let before = image.attempts.get(&(row.id.clone(), *attempt));
            match row.status {
                _ if before.is_some_and(|before| before.outcome == "failed") => None,
                _ if row.attempt != *attempt => Some("other_attempt"),
                _ if row.deleted_at.is_some() => Some("deleted"),
                Status::Pending | Status::Processing => Some("active"),
                Status::Draft | Status::Published => Some("illegal_transition"),
                Status::Failed => row.balance_elsewhere.then_some("balance_elsewhere"),
            }
        }
        Reported::Cancel { attempt } => match row.status {
            _ if attempt.is_some_and(|attempt| attempt != row.attempt) => Some("other_attempt"),
            Status::Failed if row.error_code.as_deref() == Some(CANCELLED) => None,
            Status::Draft | Status::Published | Status::Failed => Some("illegal_transition"),
            _ if row.balance_elsewhere => Some("balance_elsewhere"),
            Status::Pending => None,
            Status::Processing => {
                (call.policy.cancellation(&row.kind) == Cancellation::Never).then_some("not_cancellable")
            }
        },
        Reported::FailNow { attempt } => match row.status {
            _ if row.attempt != *attempt => Some("other_attempt"),
            Status::Failed if row.error_code.as_deref() == Some(FAILED_BY_OPERATOR) => None,
            Status::Draft | Status::Published | Status::Failed => Some("illegal_transition"),
            Status::Pending | Status::Processing => row.balance_elsewhere.then_some("balance_elsewhere"),
        },
        _ => None,
    }
}

/// A row after the provider was asked: the one that it was asked about, as far as a sweep would still decide on it.
pub fn told(row: &Creation, call: &AskCall) -> Creation {
    let said = call.said.borrow();
    let said = said.get(&row.id).filter(|(attempt, _)| *attempt == row.attempt).map(|(_, said)| said);
    let mut row = row.clone();
    if row.status == Status::Processing && stale(&row, &call.sweep).is_some() {
        match said {
            Some(Said::Done(result_url)) => {
                row.status = Status::Draft;
                row.finished_at = at(call.sweep.now);
                row.result_url = Some(result_url.clone());
            }
            Some(Said::Running) => row.heartbeat_at = at(call.sweep.now),
            Some(Said::Unknown) | None => {}
        }
    }
    row.last_sign_of_life = row.sign_of_life();
    row
}

/// Whether a provider who was asked has said of a row that it is running, so that it gets a heartbeat.
pub fn runs(row: &Creation, call: &AskCall) -> bool {
    let said = call.said.borrow();
    let runs = said.get(&row.id).is_some_and(|said| *said == (row.attempt, Said::Running));
    runs && row.status == Status::Processing && stale(row, &call.sweep).is_some()
}

/// Whether as many of a user's creations are active as may be, of all kinds or of this one.
pub fn is_full(limits: ActiveLimits, user_id: &str, kind: &str, image: &Image) -> bool {
    let active = |of_kind: bool| {
        let active = image.creations.values().filter(|row| {
            row.user_id == user_id && row.status.active().is_some() && (!of_kind || row.kind == kind)
        });
        u32::try_from(active.count()).unwrap_or(u32::MAX)
    };
    let full = |limit: Option<MaxActive>, of_kind| limit.is_some_and(|limit| active(of_kind) >= limit.get());
    full(limits.of_all, false) || full(limits.of_kind, true)
}

/// When a kind's more time ends, if it has any that lasts for longer than until `after`.
fn end_of_kind(image: &Image, kind: &str, after: i64) -> Option<i64> {
    let ends = image.extensions.iter().filter(|((scope, name, until), row)| {
        scope == "kind" && name == kind && row.ended_at.is_none() && *until > after
    });
    ends.map(|((.., until), _)| *until).max()
}

/// The more time with which an attempt begins: that of its kind.
fn of_kind(image: &Image, kind: &str, now: Timestamp) -> Value {
    end_of_kind(image, kind, millis(now)).map_or(Value::Null, Value::Integer)
}

/// A row after an operator has given more time, or ended that. `image` is what stood before.
pub fn extended(row: &Creation, call: &ExtendCall, image: &Image) -> Creation {
    let (until, now) = (millis(call.until), millis(call.now));
    let mut row = row.clone();
    let has = match row.extended_until {
        Value::Integer(has) => Some(has),
        _ => None,
    };
    let found = row.status.active().is_some() && row.last_sign_of_life.is_some();
    match &call.what {
        Extended::Creation(id) => {
            if row.id == *id && row.status.active().is_some() && has.is_none_or(|has| has < until) {
                row.extended_until = Value::Integer(until);
            }
        }
        Extended::Kind(kind) => {
            let there = image.extensions.get(&(String::from("kind"), String::from(*kind), until));
            let begins = end_of_kind(image, kind, until).is_none();
            let runs = there.map_or(begins, |there| there.ended_at.is_none());
            let stays = !image.moves.users.contains_key(&row.user_id);
            if runs && found && stays && row.kind == *kind && has.is_none_or(|has| has < until) {
                row.extended_until = Value::Integer(until);
            }
        }
        Extended::End(kind) => {
            // What runs is ended in the same transaction.
            let of_kind = |has: i64| {
                has > now && image.extensions.contains_key(&(String::from("kind"), String::from(*kind), has))
            };
            let stays = !image.moves.users.contains_key(&row.user_id);
            if found && stays && row.kind == *kind && has.is_some_and(of_kind) {
                row.extended_until = Value::Integer(now);
            }
        }
    }
    row.last_sign_of_life = row.sign_of_life();
    row
}

/// What is noted of more time after an operator has given some, or ended it.
pub fn noted(before: &Image, call: &ExtendCall) -> Image {
    let (until, now) = (millis(call.until), millis(call.now));
    let mut image =
        Image { extensions: before.extensions.clone(), audit: before.audit.clone(), ..Image::default() };
    let new = Extension {
        since: now,
        actor: String::from(OPERATOR),
        reason: String::from(REASON),
        ended_at: None,
        ended_by: None,
    };
    let (key, writes, action) = match &call.what {
        Extended::Creation(id) => {
            let then = before.creations.get(id);
            let changes =
                then.is_some_and(|then| extended(then, call, before).extended_until != then.extended_until);
            ((String::from("creation"), id.clone(), until), changes, "extend")
        }
        Extended::Kind(kind) => {
            let begins = end_of_kind(before, kind, until).is_none();
            ((String::from("kind"), String::from(*kind), until), begins, "extend_kind")
        }
        Extended::End(kind) => {
            let running = image.extensions.iter_mut().filter(|((scope, name, until), row)| {
                scope == "kind" && name == kind && row.ended_at.is_none() && *until > now
            });
            let mut ended = false;
            for (_, row) in running {
                (row.ended_at, row.ended_by) = (Some(now), Some(String::from(OPERATOR)));
                ended = true;
            }
            if ended {
                let row = Audit { action: String::from("end_extension"), subject: None };
                image.audit.insert(call.audit_id.clone(), row);
            }
            return image;
        }
    };
    // A later attempt may be given the end that one before it had: who gave it last is noted. A kind has each end once.
    if writes && (action == "extend" || !before.extensions.contains_key(&key)) {
        image.extensions.insert(key, new);
        let subject = match &call.what {
            Extended::Creation(id) => Some(format!("creation:{id}")),
            _ => None,
        };
        image.audit.insert(call.audit_id.clone(), Audit { action: String::from(action), subject });
    }
    image
}

/// A new row.
pub fn created(call: &CreateCall, image: &Image) -> Creation {
    let CreateCall { id, user_id, kind, tokens, now, .. } = call;
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
        extended_until: of_kind(image, kind, *now),
        charge: 1,
        tokens_used: None,
    };
    row.last_sign_of_life = row.sign_of_life();
    row
}
