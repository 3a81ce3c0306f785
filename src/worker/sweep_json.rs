//! What a sweep did, as JSON.

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::rules::{GENERATION_TIMEOUT, Staleness, Timestamp};
use crate::service::holds::{LeftOut, left_out};
use crate::service::shards::ShardOutcome;
use crate::service::sweep::{SweepOutcome, SweptCreation};
use crate::store::Cost;

/// What a sweep did: the answer of `POST /api/generate/cleanup-stale`. `marked_as_failed` and `retried` count what was done; in a
/// dry run, what would be. `creations` holds both.
#[derive(Debug, Serialize)]
pub struct SweepJson<'a> {
    success: bool,
    /// How many were failed.
    pub marked_as_failed: usize,
    /// How many were put back for another attempt.
    pub retried: usize,
    dry_run: bool,
    sweep_id: Option<&'a str>,
    plan_id: Option<String>,
    now: u64,
    examined: u32,
    raced: u32,
    refunded_tokens: u64,
    more: bool,
    /// What suspended the sweep.
    pub suspended: Option<String>,
    /// On whom it does not decide, since they move to another database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    cost: Cost,
    /// What was done on each of several databases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shards: Vec<ShardJson<'a>>,
    rejected: Vec<RejectedJson<'a>>,
    skipped: Vec<ReasonJson<'a>>,
    unreadable: Vec<ReasonJson<'a>>,
    /// What was failed or retried.
    pub creations: Vec<CreationJson<'a>>,
}

/// What was done on one of several databases. One with an `error` was reached in part, or not at all.
#[derive(Debug, Serialize)]
struct ShardJson<'a> {
    shard: &'a str,
    marked_as_failed: u32,
    retried: u32,
    refunded_tokens: u64,
    more: bool,
    suspended: Option<String>,
    error: Option<&'a str>,
}

/// A creation whose write the database rejected.
#[derive(Debug, Serialize)]
struct RejectedJson<'a> {
    id: &'a str,
    error: &'a str,
}

/// A creation that was left alone.
#[derive(Debug, Serialize)]
struct ReasonJson<'a> {
    id: &'a str,
    reason: &'static str,
    message: String,
}

/// A creation that was failed, or put back for another attempt.
#[derive(Debug, Serialize)]
pub struct CreationJson<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its owner.
    pub user_id: &'a str,
    /// Its kind.
    pub kind: &'a str,
    attempt: u32,
    /// The status that it was stuck in.
    pub stuck_status: &'static str,
    last_sign_of_life: u64,
    deadline: u64,
    /// How long it had shown no sign of life.
    pub age_ms: u64,
    max_age_ms: u64,
    /// The entry of the policy that the limit came from.
    pub rule: String,
    /// What it was charged.
    pub tokens: u64,
    /// `fail` or `retry`.
    pub action: &'static str,
    error: String,
    error_code: &'static str,
}

impl<'a> SweepJson<'a> {
    /// What `outcome` says; in a dry run, what the sweep would do.
    pub fn new(outcome: &'a SweepOutcome, sweep_id: &'a str, now: Timestamp, dry_run: bool) -> Self {
        let rejected = outcome.rejected.iter();
        let skipped = outcome.skipped.iter();
        let unreadable = outcome.unreadable.iter();
        SweepJson {
            success: true,
            marked_as_failed: outcome.failed.len(),
            retried: outcome.retried.len(),
            dry_run,
            sweep_id: (!dry_run).then_some(sweep_id),
            plan_id: dry_run.then(|| plan_id(outcome)),
            now: now.as_millis(),
            examined: outcome.examined,
            raced: outcome.raced,
            refunded_tokens: outcome.refunded_tokens,
            more: outcome.more,
            suspended: outcome.suspended.as_ref().map(ToString::to_string),
            left_out: left_out(&outcome.held),
            cost: outcome.cost,
            shards: outcome.shards.iter().map(ShardJson::new).collect(),
            rejected: rejected.map(|row| RejectedJson { id: &row.id, error: &row.error }).collect(),
            skipped: skipped
                .map(|(id, reason)| ReasonJson { id, reason: reason.code(), message: reason.to_string() })
                .collect(),
            unreadable: unreadable
                .map(|row| ReasonJson {
                    id: &row.id,
                    reason: row.reason.code(),
                    message: row.reason.to_string(),
                })
                .collect(),
            creations: outcome.failed.iter().chain(&outcome.retried).map(CreationJson::new).collect(),
        }
    }
}

impl SweepJson<'_> {
    /// Of several databases, those that were reached in part or not at all, each with the error.
    pub fn unreached(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shards.iter().filter_map(|shard| Some((shard.shard, shard.error?)))
    }
}

impl<'a> ShardJson<'a> {
    fn new(outcome: &'a ShardOutcome) -> Self {
        ShardJson {
            shard: &outcome.shard,
            marked_as_failed: outcome.failed,
            retried: outcome.retried,
            refunded_tokens: outcome.refunded_tokens,
            more: outcome.more,
            suspended: outcome.suspended.as_ref().map(ToString::to_string),
            error: outcome.error.as_deref(),
        }
    }
}

impl<'a> CreationJson<'a> {
    fn new(marked: &'a SweptCreation) -> Self {
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
            error_code: GENERATION_TIMEOUT,
        }
    }
}

/// The name of a dry run's plan: the same for the same creations and what was decided on. 12 hexadecimal digits.
fn plan_id(outcome: &SweepOutcome) -> String {
    let mut hash = Sha256::new();
    for SweptCreation { id, attempt, staleness, .. } in outcome.failed.iter().chain(&outcome.retried) {
        let Staleness { stuck_status, last_sign_of_life, .. } = staleness;
        let (status, action) = (stuck_status.as_str(), staleness.action().as_str());
        let decided = json!([id, attempt, status, last_sign_of_life.as_millis(), action]);
        hash.update(decided.to_string());
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
