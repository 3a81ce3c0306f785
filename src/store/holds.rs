//! Users on whom no sweep decides, since they move to another database or have just moved: see `stale_drafts_moving_users`.

use serde_json::Value;

use super::{Row, Statement};

/// So many users of a move are counted.
const COUNTED: u32 = 100_000;

/// Since when its users only wait for sweeps, as after a move that has ended; 0 while it is under way.
macro_rules! waits_since {
    () => {
        "iif(m.state IN ('open', 'cancelled'), m.changed_at, 0)"
    };
}

/// What holds the user `$user`: since when they only wait for sweeps, or 0; `NULL` if nothing does. Where nobody moves it reads no row.
macro_rules! hold {
    ($user:literal) => {
        concat!(
            "(SELECT iif(m.state IN ('open', 'cancelled'), m.changed_at, 0) FROM stale_drafts_moving_users AS u CROSS JOIN stale_drafts_moves AS m ON m.id = u.move_id WHERE u.user_id = ",
            $user,
            ")"
        )
    };
}
pub(super) use hold;

/// Whether sweeps decide on what has moved away, the target says.
macro_rules! is_here {
    () => {
        "(m.role = 'target' OR m.state NOT IN ('moved', 'trimmed'))"
    };
}

/// It hops over the index from one move to the next, so it reads no row where nobody moves: the table of moves keeps all of them.
#[rustfmt::skip]
const HELD: &str = concat!(
    "WITH RECURSIVE ids (id) AS (
       SELECT * FROM (SELECT move_id FROM stale_drafts_moving_users INDEXED BY stale_drafts_moving_users_of_move ORDER BY move_id LIMIT 1)
       UNION ALL
       SELECT (SELECT move_id FROM stale_drafts_moving_users INDEXED BY stale_drafts_moving_users_of_move
         WHERE move_id > ids.id ORDER BY move_id LIMIT 1) AS next FROM ids WHERE next IS NOT NULL)
     SELECT m.id AS move_id, ", waits_since!(), " AS since, (SELECT count(*) FROM (
       SELECT 1 FROM stale_drafts_moving_users INDEXED BY stale_drafts_moving_users_of_move WHERE move_id = m.id LIMIT ?1)) AS users
     FROM ids CROSS JOIN stale_drafts_moves AS m ON m.id = ids.id WHERE ", is_here!()
);

/// The same of one user, who is asked for where the configuration has them: nowhere else is it said.
#[rustfmt::skip]
const HELD_USER: &str = concat!(
    "SELECT m.id AS move_id, ", waits_since!(), " AS since, 1 AS users
     FROM stale_drafts_moving_users AS u CROSS JOIN stale_drafts_moves AS m ON m.id = u.move_id WHERE u.user_id = ?1"
);

/// A move with users on whom no sweep decides, as one database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldUsers {
    /// Its id, the same in both databases.
    pub move_id: String,
    /// Since when they only wait for sweeps, in epoch milliseconds; 0 while it is under way.
    pub since: u64,
    /// How many users, counted up to 100,000.
    pub users: u64,
}

/// On whom no sweep decides, of all users or of this one: rows for [`held_of`].
pub fn held_users(user_id: Option<&str>) -> Statement {
    match user_id {
        Some(user_id) => Statement::new(HELD_USER, [user_id.into()]),
        None => Statement::new(HELD, [COUNTED.into()]),
    }
}

/// The rows of [`held_users`].
pub fn held_of(rows: &[Row]) -> Vec<HeldUsers> {
    let number = |row: &Row, key: &str| row.get(key).and_then(Value::as_u64).unwrap_or(0);
    let held = |row: &Row| HeldUsers {
        move_id: row.get("move_id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        since: number(row, "since"),
        users: number(row, "users"),
    };
    rows.iter().map(held).collect()
}
