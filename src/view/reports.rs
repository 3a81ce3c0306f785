use serde_json::{Value, json};

use crate::rules::{Limit, Phase, Policy, Refusal, Report, Status, Timestamp};
use crate::store::{Row, StandingRow, destination_names};

/// The answer of `POST /api/creations`: what was made, whatever has become of it since.
pub fn created_json(row: &StandingRow) -> Value {
    json!({
        "id": row.creation.id,
        "user_id": row.creation.user_id,
        "kind": row.creation.kind,
        "status": Status::Pending.as_str(),
        "attempt": 1,
        "tokens": row.creation.tokens,
        "created_at": row.creation.created_at.instant().map(Timestamp::as_millis),
    })
}

/// The answer to a report that took effect, now or before.
pub fn reported_json(report: &Report<'_>, row: &StandingRow, policy: &Policy) -> Value {
    let draft = row.creation.draft();
    let status = match report {
        Report::Start { .. } | Report::Heartbeat { .. } => Status::Processing,
        Report::Complete { .. } | Report::Restore => Status::Draft,
        Report::Fail { .. } => Status::Failed,
        Report::Publish => Status::Published,
        Report::Delete => draft.status.unwrap_or(Status::Failed),
    };
    let mut answer =
        json!({ "id": row.creation.id, "status": status.as_str(), "attempt": row.creation.attempt });
    let mut add = |key: &str, value: Value| {
        if let Value::Object(answer) = &mut answer {
            answer.insert(key.to_owned(), value);
        }
    };
    match report {
        Report::Start { .. } => {
            // Once it has sent a heartbeat, this is how long it may be silent.
            let silence = match policy.limit_in(Phase::Heartbeating, &row.creation.kind).0 {
                Limit::After(max_age) => Some(max_age.as_millis()),
                Limit::Never => None,
            };
            add("fence", row.fence.clone().into());
            add("user_id", row.creation.user_id.clone().into());
            add("kind", row.creation.kind.clone().into());
            add("prompt", row.prompt.clone().into());
            add("started_at", row.creation.started_at.instant().map(Timestamp::as_millis).into());
            add("max_silence_ms", silence.into());
        }
        Report::Heartbeat { .. } => {
            add("heartbeat_at", row.creation.heartbeat_at.instant().map(Timestamp::as_millis).into());
        }
        Report::Complete { .. } => add("finished_at", row.finished_at.into()),
        Report::Fail { .. } => {
            add("finished_at", row.finished_at.into());
            add("refunded_tokens", row.creation.tokens.into());
        }
        Report::Restore => {
            add("restored_at", row.restored_at.into());
            add("charged_tokens", row.creation.tokens.into());
            add("result_url", row.result_url.clone().into());
        }
        Report::Publish => {}
        Report::Delete => add("deleted_at", row.deleted_at.into()),
    }
    answer
}

/// The answer to a report that was refused: status 409.
pub fn refused_json(refusal: Refusal, row: &StandingRow, kept: bool) -> Value {
    let next = row.creation.draft().status.map(Status::next).unwrap_or_default();
    json!({
        "error": refusal.to_string(),
        "code": refusal.code(),
        "status": row.creation.status,
        "attempt": row.creation.attempt,
        "next": next.iter().map(|status| status.as_str()).collect::<Vec<_>>(),
        "kept": kept,
    })
}

/// The answer of `GET /api/events`; `limit` of the rows are on this page.
pub fn events_json(now: Timestamp, mut rows: Vec<Row>, limit: usize) -> Value {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = |row: &Row| {
        let (due_at, id) = (row.get("due_at")?.as_i64()?, row.get("id")?.as_str()?);
        Some(format!("{due_at}.{id}"))
    };
    let next_cursor = rows.last().filter(|_| more).and_then(cursor);
    for row in &mut rows {
        let destinations = row.get("destinations").and_then(Value::as_u64).unwrap_or(0);
        row.insert(String::from("destinations"), destination_names(destinations).into());
    }
    json!({ "now": now.as_millis(), "events": rows, "next_cursor": next_cursor })
}
