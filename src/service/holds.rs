//! Until when no sweep decides on a user who moves to another database: their workers' reports were refused, so silence says nothing.

use serde::Serialize;

use super::moves::GRACE_MS;
use crate::rules::Timestamp;
use crate::store::HeldUsers;

const MINUTE_MS: u64 = 60_000;

/// The users of a move on whom a sweep does not decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The move.
    pub move_id: String,
    /// How many they are.
    pub users: u64,
    /// Until when, in epoch milliseconds; `None` while the move is under way, for then nobody knows.
    pub until: Option<u64>,
}

/// Before this, in epoch milliseconds, no sweep decides on a user who only waits `since` then, or is on the way (0). While the move is
/// under way it is the earliest end that there may be, in whole minutes; and where cron has still to end it, the next minute.
pub fn until(since: u64, now: Timestamp) -> Timestamp {
    let ends = Timestamp::EPOCH.saturating_add(since).saturating_add(GRACE_MS);
    let whole = |ms: u64| {
        let at = now.saturating_add(ms);
        at.saturating_add(MINUTE_MS.saturating_sub(at.as_millis() % MINUTE_MS))
    };
    ends.max(whole(if since > 0 { MINUTE_MS } else { GRACE_MS }))
}

/// Of each move, what its databases say together: both have rows of the users while both have copies.
pub fn left_out(held: &[HeldUsers]) -> Vec<LeftOut> {
    let mut moves: Vec<LeftOut> = Vec::new();
    for HeldUsers { move_id, since, users } in held {
        let until = (*since > 0).then(|| since.saturating_add(GRACE_MS));
        match moves.iter_mut().find(|left| left.move_id == *move_id) {
            Some(left) => {
                left.users = left.users.max(*users);
                left.until = left.until.and(until).and(left.until.max(until));
            }
            None => moves.push(LeftOut { move_id: move_id.clone(), users: *users, until }),
        }
    }
    moves
}
