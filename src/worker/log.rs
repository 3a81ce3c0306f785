//! The lines of the log: one JSON object each.

use serde::Serialize;
use serde_json::{Value, json};

use crate::rules::{Finding, MarkedMessage, RetriedMessage, Staleness, SweepMessage};
use crate::service::archive::Archived;
use crate::service::ask::Asked;
use crate::service::sweep::{Source, SweepOutcome, SweptCreation};

/// A line for the log. No prompt and no credential is in it, and of users only one whose ledger differs.
fn line(level: &str, event: &str, message: &str, fields: Value) -> String {
    let mut line = json!({ "level": level, "event": event, "message": message });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
    }
    serde_json::to_string(&line).unwrap_or_default()
}

/// A line for a creation of a sweep. There may be thousands, so they are written without a JSON value between.
#[derive(Serialize)]
struct CreationLine<'a> {
    level: &'static str,
    event: &'static str,
    message: String,
    creation_id: &'a str,
    kind: &'a str,
    stuck_status: &'static str,
    age_ms: u64,
    max_age_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    sweep_id: &'a str,
}

/// A line for each creation that a sweep marked or could not mark, then one for the sweep.
pub fn sweep(outcome: &SweepOutcome, sweep_id: &str, source: Source) -> Vec<String> {
    let of = |marked: &SweptCreation, event, message: &dyn ToString, refunded_tokens, attempt| {
        let Staleness { stuck_status, age_ms, max_age_ms, .. } = marked.staleness;
        let line = CreationLine {
            level: "info",
            event,
            message: message.to_string(),
            creation_id: &marked.id,
            kind: &marked.kind,
            stuck_status: stuck_status.as_str(),
            age_ms,
            max_age_ms,
            refunded_tokens,
            attempt,
            sweep_id,
        };
        serde_json::to_string(&line).unwrap_or_default()
    };
    let marked = outcome.failed.iter().map(|marked| {
        let message = MarkedMessage { id: &marked.id, age_ms: marked.staleness.age_ms };
        of(marked, "creation_marked", &message, Some(marked.tokens), None)
    });
    let retried = outcome.retried.iter().map(|retried| {
        let (age_ms, attempt) = (retried.staleness.age_ms, retried.attempt);
        of(
            retried,
            "creation_retried",
            &RetriedMessage { id: &retried.id, age_ms, attempt },
            None,
            Some(attempt),
        )
    });
    let rejected = outcome.rejected.iter().map(|rejected| {
        let fields = json!({ "creation_id": rejected.id, "error": rejected.error, "sweep_id": sweep_id });
        line("error", "creation_rejected", "The database rejected the write of a stale creation", fields)
    });
    let message = SweepMessage { marked: outcome.failed.len() as u64 }.to_string();
    let fields = json!({
        "sweep_id": sweep_id,
        "source": source.as_str(),
        "examined": outcome.examined,
        "failed": outcome.failed.len(),
        "retried": outcome.retried.len(),
        "raced": outcome.raced,
        "rejected": outcome.rejected.len(),
        "unreadable": outcome.unreadable.len(),
        "refunded_tokens": outcome.refunded_tokens,
        "more": outcome.more,
        "cost": outcome.cost,
    });
    marked.chain(retried).chain(rejected).chain([line("info", "sweep", &message, fields)]).collect()
}

/// A sweep that stopped early.
pub fn failed_sweep(sweep_id: &str, source: Source, error: &str) -> String {
    let fields = json!({ "sweep_id": sweep_id, "source": source.as_str(), "error": error });
    line("error", "sweep_failed", "Auto-cleanup: The sweep stopped early; the next one carries on", fields)
}

/// A caller who was turned away: the reason, and nothing of the credential.
pub fn refused_caller(path: &str, reason: &str) -> String {
    line("warn", "unauthorized", "Rejected a caller", json!({ "path": path, "reason": reason }))
}

/// A creation that an operator restored.
pub fn restored(creation_id: &str, actor: &str) -> String {
    let fields = json!({ "creation_id": creation_id, "actor": actor });
    line("info", "creation_restored", "Restored a result that came too late, and charged for it", fields)
}

/// A failed creation that somebody had tried again.
pub fn retried(creation_id: &str, actor: &str) -> String {
    let fields = json!({ "creation_id": creation_id, "actor": actor });
    line("info", "creation_retried", "Retried a failed creation, and charged for it", fields)
}

/// A creation that the app cancelled.
pub fn cancelled(creation_id: &str, actor: &str) -> String {
    let fields = json!({ "creation_id": creation_id, "actor": actor });
    line("info", "creation_cancelled", "Cancelled a creation", fields)
}

/// An active creation that an operator failed.
pub fn failed_by_operator(creation_id: &str, actor: &str) -> String {
    let fields = json!({ "creation_id": creation_id, "actor": actor });
    line("info", "creation_failed", "Failed a creation by hand, and refunded it", fields)
}

/// An alert that fires.
pub fn alert_fired(finding: &Finding) -> String {
    let Finding { code, severity, evidence, remedy, .. } = finding;
    let fields =
        json!({ "code": code, "severity": severity.as_str(), "evidence": evidence, "remedy": remedy });
    line("error", "alert_fired", &finding.cause, fields)
}

/// An alert that is resolved.
pub fn alert_resolved(code: &str) -> String {
    line("info", "alert_resolved", "An alert is resolved", json!({ "code": code }))
}

/// What an operator did on the dashboard.
pub fn operator_action(actor: &str, action: &str) -> String {
    line("info", "operator", "An operator acted", json!({ "actor": actor, "action": action }))
}

/// An event that could not be delivered now.
pub fn failed_delivery(destination: &str, error: &str) -> String {
    line(
        "error",
        "delivery_failed",
        "An event was not delivered",
        json!({ "destination": destination, "error": error }),
    )
}

fn counts(asked: &Asked, sweep_id: &str) -> Value {
    let Asked { creations, done, running, .. } = asked;
    json!({ "sweep_id": sweep_id, "creations": creations, "done": done, "running": running })
}

/// What a provider said before a sweep.
pub fn asked(asked: &Asked, sweep_id: &str) -> String {
    line("info", "asked", "Asked the provider about stale creations", counts(asked, sweep_id))
}

/// A provider that did not, or what it said could not be written down.
pub fn failed_ask(asked: &Asked, sweep_id: &str, error: &str) -> String {
    let mut fields = counts(asked, sweep_id);
    if let Value::Object(fields) = &mut fields {
        fields.insert(String::from("error"), error.into());
    }
    line("error", "ask_failed", "The provider did not say what became of stale creations", fields)
}

/// What moved to the archive.
pub fn archived(archived: &Archived) -> String {
    let Archived { creations, objects, bytes, raced, left, more } = *archived;
    let fields = json!({
        "creations": creations, "objects": objects, "bytes": bytes, "raced": raced, "left": left, "more": more,
    });
    line("info", "archived", "Creations that ended long ago moved to the archive", fields)
}

/// A run that did not archive what it should have.
pub fn failed_archive(error: &str) -> String {
    line(
        "error",
        "archive_failed",
        "Creations were not archived; it is tried again",
        json!({ "error": error }),
    )
}

/// A question that the database did not answer.
pub fn failed_read(error: &str) -> String {
    line("error", "read_failed", "The database did not answer", json!({ "error": error }))
}

/// A request that meets a configuration that is not understood.
pub fn misconfigured(path: &str, reason: &str) -> String {
    line("error", "misconfigured", reason, json!({ "path": path }))
}
