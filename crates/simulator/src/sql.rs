//! The simulator's own SQL: what an app writes directly, and how everything is read back.

use stale_drafts::rules::Status;
use stale_drafts::store::{Param, Statement};

use crate::script::{Stamp, Write, user_id};

/// One transaction is a savepoint in the transaction of the whole seed, which is rolled back at the end.
pub const BEGIN_SEED: &str = "BEGIN";
pub const END_SEED: &str = "ROLLBACK";
pub const BEGIN: &str = "SAVEPOINT run";
pub const COMMIT: &str = "RELEASE run";
pub const ROLL_BACK: &str = "ROLLBACK TO run";

pub const CREATIONS: &str = "SELECT id, user_id, kind, prompt, status, attempt, tokens, created_at, queued_at, started_at,
       heartbeat_at, finished_at, error, error_code, worker, fence, progress, result_url, late_result_url, late_at,
       restored_at, deleted_at, event, event_destinations, stuck_status, age_ms, max_age_ms, rule, sweep_id, last_sign_of_life,
       balance_elsewhere, extended_until, charge, tokens_used
     FROM stale_drafts_creations";
pub const LEDGER: &str =
    "SELECT entry_key, user_id, type, creation_id, sweep_id, tokens, created_at FROM stale_drafts_ledger";
pub const BALANCES: &str = "SELECT user_id, tokens FROM stale_drafts_balances";
pub const REJECTED: &str = "SELECT creation_id, until FROM stale_drafts_rejected";
pub const ATTEMPTS: &str =
    "SELECT creation_id, attempt, outcome, worker, fence, started_at, heartbeat_at, finished_at, error,
       error_code, stuck_status, age_ms, max_age_ms, rule, sweep_id, tokens_used FROM stale_drafts_attempts";
pub const SWEEPS: &str =
    "SELECT id, source, actor, plan_id, started_at, finished_at, examined, failed, retried, raced,
       rejected, unreadable, refunded_tokens, more, error FROM stale_drafts_sweeps";
pub const EXTENSIONS: &str =
    "SELECT scope, name, until, since, actor, reason, ended_at, ended_by FROM stale_drafts_extensions";
pub const AUDIT: &str = "SELECT id, action, subject FROM stale_drafts_audit WHERE action IN ('extend', 'extend_kind', 'end_extension')";
pub const EVENTS: &str = "SELECT id, state, due_at, destinations, deliveries, created_at, creation_id, body, last_error FROM stale_drafts_events";

const GRANT: &str = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?2, 'grant', ?3, ?4)";
const IMPORT: &str =
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, started_at, heartbeat_at,
       finished_at, error, error_code)
     VALUES (?1, ?2, ?3, 'a fox', ?4, ?5, ?6, ?7, ?8, iif(?4 IN ('draft', 'failed'), ?9, NULL),
       iif(?4 = 'failed', 'it broke', NULL), iif(?4 = 'failed', 'provider_error', NULL))";
const START: &str = "UPDATE stale_drafts_creations SET status = 'processing', started_at = ?2 WHERE id = ?1 AND status = 'pending'";
const HEARTBEAT: &str =
    "UPDATE stale_drafts_creations SET heartbeat_at = ?2 WHERE id = ?1 AND status = 'processing'";
const COMPLETE: &str = "UPDATE stale_drafts_creations SET status = 'draft', finished_at = ?2 WHERE id = ?1 AND status = 'processing'";
const FAIL: &str = "UPDATE stale_drafts_creations SET status = 'failed', finished_at = ?2, error = 'it broke', error_code = 'provider_error'
     WHERE id = ?1 AND status IN ('pending', 'processing')";
const COMPLETE_UNGUARDED: &str =
    "UPDATE stale_drafts_creations SET status = 'draft', finished_at = ?2 WHERE id = ?1";
const GARBLE: &str = "UPDATE stale_drafts_creations SET heartbeat_at = ?2 WHERE id = ?1 AND status IN ('pending', 'processing')";
const REFUND_BY_HAND: &str =
    "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
     SELECT 'refund:' || id, user_id, 'refund', id, tokens, ?2 FROM stale_drafts_creations WHERE id = ?1";
const FORGET: &str = "DELETE FROM stale_drafts_ledger WHERE entry_key = 'charge:' || ?1";
const REPRICE: &str = "UPDATE stale_drafts_creations SET tokens = tokens + 1 WHERE id = ?1";
const REKIND: &str = "UPDATE stale_drafts_creations SET kind = ?2 WHERE id = ?1";

/// The moves of one of several databases, and whom they are about.
pub const MOVES: &str = "SELECT id, role, first_bucket, last_bucket, other, state FROM stale_drafts_moves";
pub const MOVING: &str = "SELECT user_id, move_id FROM stale_drafts_moving_users";
pub const BUCKETS: &str = "SELECT first_bucket, state FROM stale_drafts_buckets";
/// What an app writes first, of a user of this bucket: docs/scale.md.
pub const ACCEPT: &str = "INSERT INTO stale_drafts_accepts (bucket) VALUES (?1)";

/// The second transaction of the plant `ledger-in-second-transaction`.
pub const REFUND_AFTERWARDS: &str = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, sweep_id, tokens, created_at)
     SELECT iif(charge = 1, 'refund:', 'refund' || charge || ':') || id, user_id, 'refund', id, sweep_id, tokens - ifnull(tokens_used, 0),
       finished_at
     FROM stale_drafts_creations AS c
     WHERE status = 'failed' AND tokens > ifnull(tokens_used, 0)
       AND NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = iif(c.charge = 1, 'refund:', 'refund' || c.charge || ':') || c.id)";

/// The statement of a direct write at the instant `now`. `number` is unique, for a grant's key; `id` is that
/// of a creation.
pub fn write(write: &Write, now: i64, number: u64, id: impl Fn(usize) -> String) -> Statement {
    let of = |at: &usize| Param::Text(id(*at));
    let at = Param::Integer(now);
    let (sql, params) = match write {
        Write::Grant { user, tokens } => {
            let params =
                [Param::Text(number.to_string()), Param::Text(user_id(*user)), Param::Integer(*tokens)];
            (GRANT, params.into_iter().chain([at]).collect())
        }
        Write::Import { creation, user, kind, status, tokens, created, started, heartbeat } => {
            let started = if *status == Status::Pending { Stamp::Null } else { *started };
            let params = vec![
                of(creation),
                Param::Text(user_id(*user)),
                Param::from(*kind),
                Param::from(status.as_str()),
                Param::Integer(*tokens),
                stamp(*created, now),
                stamp(started, now),
                stamp(*heartbeat, now),
                at,
            ];
            (IMPORT, params)
        }
        Write::Start(creation) => (START, vec![of(creation), at]),
        Write::Heartbeat(creation) => (HEARTBEAT, vec![of(creation), at]),
        Write::Complete(creation) => (COMPLETE, vec![of(creation), at]),
        Write::Fail(creation) => (FAIL, vec![of(creation), at]),
        Write::CompleteUnguarded(creation) => (COMPLETE_UNGUARDED, vec![of(creation), at]),
        Write::Garble(creation, what) => (GARBLE, vec![of(creation), stamp(*what, now)]),
        Write::RefundByHand(creation) => (REFUND_BY_HAND, vec![of(creation), at]),
        Write::Forget(creation) => (FORGET, vec![of(creation)]),
        Write::Reprice(creation) => (REPRICE, vec![of(creation)]),
        Write::Rekind(creation, kind) => (REKIND, vec![of(creation), Param::from(*kind)]),
    };
    Statement { sql, params }
}

fn stamp(stamp: Stamp, now: i64) -> Param {
    let signed = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
    match stamp {
        Stamp::Null => Param::Null,
        Stamp::Ago(millis) => Param::Integer(now.saturating_sub(signed(millis))),
        Stamp::Ahead(millis) => Param::Integer(now.saturating_add(signed(millis))),
        Stamp::Text => Param::from("soon"),
        // The column makes a fraction of it.
        Stamp::Fraction => Param::from("1.5"),
        Stamp::Negative => Param::Integer(-5),
        Stamp::Huge => Param::Integer(9_000_000_000_000_000),
        Stamp::Seconds(millis) => Param::Integer(now.saturating_sub(signed(millis)) / 1_000),
    }
}
