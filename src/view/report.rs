use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::rules::{Staleness, Timestamp};
use crate::store::Cost;
use crate::sweep::{Marked, Report, Skipped};

/// The answer of `POST /api/generate/cleanup-stale`. `marked_as_failed` and `retried` count what was done; in a dry run,
/// what would be. `creations` holds both.
#[derive(Serialize)]
pub struct ReportJson<'a> {
    success: bool,
    marked_as_failed: usize,
    retried: usize,
    dry_run: bool,
    sweep_id: Option<&'a str>,
    plan_id: Option<String>,
    now: u64,
    examined: u32,
    raced: u32,
    refunded_tokens: u64,
    more: bool,
    suspended: Option<String>,
    cost: Cost,
    rejected: Value,
    skipped: Value,
    unreadable: Value,
    creations: Vec<CreationJson<'a>>,
}

/// See [`ReportJson`].
pub fn report_json<'a>(
    report: &'a Report,
    sweep_id: &'a str,
    now: Timestamp,
    dry_run: bool,
) -> ReportJson<'a> {
    ReportJson {
        success: true,
        marked_as_failed: report.failed.len(),
        retried: report.retried.len(),
        dry_run,
        sweep_id: (!dry_run).then_some(sweep_id),
        plan_id: dry_run.then(|| plan_id(report)),
        now: now.as_millis(),
        examined: report.examined,
        raced: report.raced,
        refunded_tokens: report.refunded_tokens,
        more: report.more,
        suspended: report.suspended.as_ref().map(ToString::to_string),
        cost: report.cost,
        rejected: report
            .rejected
            .iter()
            .map(|rejected| json!({ "id": rejected.id, "error": rejected.error }))
            .collect(),
        skipped: report
            .skipped
            .iter()
            .map(|(id, reason)| json!({ "id": id, "reason": reason.code(), "message": reason.to_string() }))
            .collect(),
        unreadable: report
            .unreadable
            .iter()
            .map(|Skipped { id, reason }| json!({ "id": id, "reason": reason.code(), "message": reason.to_string() }))
            .collect(),
        creations: report.failed.iter().chain(&report.retried).map(CreationJson::new).collect(),
    }
}

/// The name of a dry run's plan: the same for the same creations and what was decided on. 12 hexadecimal digits.
pub fn plan_id(report: &Report) -> String {
    let mut hash = Sha256::new();
    for Marked { id, attempt, staleness, .. } in report.failed.iter().chain(&report.retried) {
        let Staleness { stuck_status, last_sign_of_life, .. } = staleness;
        let decided = json!([
            id,
            attempt,
            stuck_status.as_str(),
            last_sign_of_life.as_millis(),
            staleness.action().as_str()
        ]);
        hash.update(serde_json::to_string(&decided).unwrap_or_default());
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// A creation that was marked failed, or put back. There may be thousands, so they are written as they stand.
#[derive(Serialize)]
struct CreationJson<'a> {
    id: &'a str,
    user_id: &'a str,
    kind: &'a str,
    attempt: u32,
    stuck_status: &'static str,
    last_sign_of_life: u64,
    deadline: u64,
    age_ms: u64,
    max_age_ms: u64,
    rule: String,
    tokens: u64,
    action: &'static str,
    error: String,
    error_code: &'static str,
}

impl<'a> CreationJson<'a> {
    fn new(marked: &'a Marked) -> Self {
        let staleness = &marked.staleness;
        CreationJson {
            id: &marked.id,
            user_id: &marked.user_id,
            kind: &marked.kind,
            attempt: marked.attempt,
            stuck_status: staleness.stuck_status.as_str(),
            last_sign_of_life: staleness.last_sign_of_life.as_millis(),
            deadline: staleness.deadline().as_millis(),
            age_ms: staleness.age_ms,
            max_age_ms: staleness.max_age_ms,
            rule: staleness.rule.describe(staleness.stuck_status, &marked.kind),
            tokens: marked.tokens,
            action: staleness.action().as_str(),
            error: staleness.error_text().to_string(),
            error_code: crate::rules::GENERATION_TIMEOUT,
        }
    }
}
