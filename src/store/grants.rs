//! Tokens that come in.

use serde::Deserialize;

use super::typed::only;
use super::{DatabaseError, Param, Row, Statement};
use crate::rules::Timestamp;

/// The key of the ledger is the one that an app's own SQL would use: a purchase is granted once, by whichever way.
const GRANT: &str = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
     SELECT 'grant:' || ?1, ?2, 'grant', ?3, ?4
     WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_ledger WHERE entry_key = 'grant:' || ?1)";

const GRANTED: &str = "SELECT user_id, tokens, created_at,
       (SELECT tokens FROM stale_drafts_balances WHERE user_id = l.user_id) AS balance
     FROM stale_drafts_ledger AS l WHERE entry_key = 'grant:' || ?1";

/// Tokens for a user.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// What names it: an order's id. It is granted once.
    pub key: &'a str,
    /// Whom it is for.
    pub user_id: &'a str,
    /// How many, from 1 to 2^53 − 1.
    pub tokens: u64,
}

/// Grants tokens unless that is done, and reads what was granted.
pub fn grant(grant: Grant<'_>, now: Timestamp) -> [Statement; 2] {
    let Grant { key, user_id, tokens } = grant;
    let tokens = Param::Integer(i64::try_from(tokens).unwrap_or(i64::MAX));
    [
        Statement::new(GRANT, [key.into(), user_id.into(), tokens, now.into()]),
        Statement::new(GRANTED, [key.into()]),
    ]
}

/// What was granted, now or before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GrantRow {
    /// To whom.
    pub user_id: String,
    /// How many tokens.
    pub tokens: u64,
    /// When, in epoch milliseconds.
    pub created_at: i64,
    /// The user's balance now.
    pub balance: u64,
}

/// What was granted, from the rows of the second statement of [`grant`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn granted(rows: Vec<Row>) -> Result<GrantRow, DatabaseError> {
    only(rows)
}
