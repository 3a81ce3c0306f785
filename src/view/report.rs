use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::rules::Timestamp;
use crate::sweep::{Marked, Report};

/// The answer of `POST /api/generate/cleanup-stale`. `marked_as_failed` and `retried` count what was done; in a dry run,
/// what would be. `creations` holds both.
pub fn report_json(report: &Report, sweep_id: &str, now: Timestamp, dry_run: bool) -> Value {
    json!({
        "success": true,
        "marked_as_failed": report.marked.len(),
        "retried": report.retried.len(),
        "dry_run": dry_run,
        "sweep_id": if dry_run { None } else { Some(sweep_id) },
        "plan_id": if dry_run { Some(plan_id(report)) } else { None },
        "now": now.as_millis(),
        "examined": report.examined,
        "raced": report.raced,
        "refunded_tokens": report.refunded_tokens,
        "more": report.more,
        "held": report.held.as_ref().map(ToString::to_string),
        "cost": report.cost,
        "refused": report.refused.iter().map(|refused| json!({
            "id": refused.id,
            "error": refused.error,
        })).collect::<Vec<_>>(),
        "unqualified": report.unqualified.iter().map(|(id, reason)| json!({
            "id": id,
            "reason": reason.code(),
            "message": reason.to_string(),
        })).collect::<Vec<_>>(),
        "unreadable": report.unreadable.iter().map(|skipped| json!({
            "id": skipped.id,
            "reason": skipped.reason.code(),
            "message": skipped.reason.to_string(),
        })).collect::<Vec<_>>(),
        "creations": report.marked.iter().chain(&report.retried).map(marked_json).collect::<Vec<_>>(),
    })
}

/// The name of a dry run's plan: the same for the same creations and what was decided on. 12 hexadecimal digits.
pub fn plan_id(report: &Report) -> String {
    let mut hash = Sha256::new();
    for Marked { id, attempt, staleness, .. } in report.marked.iter().chain(&report.retried) {
        let decided =
            json!([id, attempt, staleness.stuck_status.as_str(), staleness.last_sign_of_life.as_millis()]);
        hash.update(serde_json::to_string(&decided).unwrap_or_default());
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn marked_json(marked: &Marked) -> Value {
    let staleness = &marked.staleness;
    json!({
        "id": marked.id,
        "user_id": marked.user_id,
        "kind": marked.kind,
        "attempt": marked.attempt,
        "stuck_status": staleness.stuck_status.as_str(),
        "last_sign_of_life": staleness.last_sign_of_life.as_millis(),
        "deadline": staleness.deadline().as_millis(),
        "age_ms": staleness.age_ms,
        "max_age_ms": staleness.max_age_ms,
        "rule": staleness.rule.describe(staleness.stuck_status, &marked.kind),
        "tokens": marked.tokens,
        "action": if staleness.retries() { "retry" } else { "fail" },
        "error": staleness.error_text().to_string(),
        "error_code": crate::rules::GENERATION_TIMEOUT,
    })
}
