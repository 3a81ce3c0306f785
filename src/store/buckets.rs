//! Which buckets of users a database has on record, of several: see `migrations/0005_shards.sql`.

use serde::Deserialize;

use super::typed::{json_text, only};
use super::{Buckets, DatabaseError, Param, Row, Statement, json};
use crate::rules::{Bucket, BucketSet, Timestamp};

/// The rows of the record as one text.
macro_rules! on_record {
    () => {
        "(SELECT json_group_array(json_array(first_bucket, state)) FROM (
          SELECT first_bucket, state FROM stale_drafts_buckets ORDER BY first_bucket))"
    };
}
pub(super) use on_record;

/// So many users are looked at of those with a balance, of those with something archived, and of those with creations.
const SOME: u32 = 2_000;

const SOME_USERS: &str = "WITH RECURSIVE owners (user_id) AS (
       SELECT * FROM (SELECT user_id FROM stale_drafts_creations INDEXED BY stale_drafts_creations_of_user ORDER BY user_id LIMIT 1)
       UNION ALL
       SELECT (SELECT user_id FROM stale_drafts_creations INDEXED BY stale_drafts_creations_of_user
         WHERE user_id > owners.user_id ORDER BY user_id LIMIT 1) AS next FROM owners WHERE next IS NOT NULL
       LIMIT ?1)
     SELECT json_group_array(user_id) AS users FROM (
       SELECT * FROM (SELECT user_id FROM stale_drafts_balances ORDER BY user_id LIMIT ?1)
       UNION SELECT * FROM (SELECT user_id FROM stale_drafts_archived_users ORDER BY user_id LIMIT ?1)
       UNION SELECT user_id FROM owners WHERE user_id IS NOT NULL)";

/// The first record: what is there already stays.
const RECORD: &str = "INSERT INTO stale_drafts_buckets (first_bucket, state)
     SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_buckets)";

/// A source that has lost its side of a move, and that has none of the buckets any more by its record.
const REMOVES_AGAIN: &str = "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
     SELECT ?1, 'source', ?2, ?3, ?4, 'moved', ?5, ?5, ?5 WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_moves
       WHERE id <> ?1 AND first_bucket <= ?3 AND last_bucket >= ?2 AND state NOT IN ('trimmed', 'settled', 'cancelled'))
     ON CONFLICT (id) DO UPDATE SET state = 'moved', place = '', changed_at = ?5, stepped_at = ?5";

/// A target that knows of no move, and that has all of the buckets by its record.
const HAS_MOVED: &str = "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
     SELECT ?1, 'target', ?2, ?3, ?4, 'settled', ?5, ?5, ?5 WHERE NOT EXISTS (SELECT 1 FROM stale_drafts_moves
       WHERE id <> ?1 AND first_bucket <= ?3 AND last_bucket >= ?2 AND state NOT IN ('trimmed', 'settled', 'cancelled'))
     ON CONFLICT (id) DO NOTHING";

/// A record as the text has it.
pub(super) type BucketRows = Vec<(u16, String)>;

/// The buckets that a database has on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Those whose users it takes writes of.
    pub here: BucketSet,
    /// Those that are on the way out: their users are here, and nobody writes.
    pub leaving: BucketSet,
}

impl Recorded {
    /// Those whose users are here.
    pub fn all(&self) -> BucketSet {
        self.here.and(&self.leaving)
    }

    /// Reads the rows; `None` where there are none: the database was never one of several.
    pub(super) fn read(rows: &BucketRows) -> Option<Self> {
        let ends = rows.iter().skip(1).map(|(first, _)| first.checked_sub(1).and_then(Bucket::new));
        let ends = ends.chain([Some(Bucket::LAST)]);
        let mut recorded = Recorded::default();
        for ((first, state), last) in rows.iter().zip(ends) {
            let Some((first, last)) = Bucket::new(*first).zip(last) else { continue };
            match state.as_str() {
                "here" => recorded.here = recorded.here.with(first..=last),
                "leaving" => recorded.leaving = recorded.leaving.with(first..=last),
                _ => {}
            }
        }
        (!rows.is_empty()).then_some(recorded)
    }
}

/// Whether the database has given buckets away: a row if it has. Then it was one of several, whatever the configuration says now.
pub fn gave_away() -> Statement {
    Statement::new("SELECT 1 AS gave FROM stale_drafts_buckets WHERE state <> 'here' LIMIT 1", [])
}

/// Enters a move that its source has lost, as one that has moved: what the source has of its users is a copy, and is to be removed. The record
/// says that they are away.
pub fn removes_again(id: &str, Buckets { first, last }: Buckets, other: &str, now: Timestamp) -> Statement {
    Statement::new(REMOVES_AGAIN, [id.into(), first.into(), last.into(), other.into(), now.into()])
}

/// Enters a move that neither side knows, as one that is over in the target: what the source has of its users is a copy. Both records say so.
pub fn has_moved(id: &str, Buckets { first, last }: Buckets, other: &str, now: Timestamp) -> Statement {
    Statement::new(HAS_MOVED, [id.into(), first.into(), last.into(), other.into(), now.into()])
}

/// Some users of the database, whom the order of their ids says nothing of: a row for [`some_users_of`].
pub fn some_users() -> Statement {
    Statement::new(SOME_USERS, [SOME.into()])
}

/// The row of [`some_users`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn some_users_of(rows: Vec<Row>) -> Result<Vec<String>, DatabaseError> {
    #[derive(Deserialize)]
    struct Users {
        #[serde(deserialize_with = "json_text")]
        users: Vec<String>,
    }
    only(rows).map(|Users { users }| users)
}

/// Writes down that the database has these buckets and no others, if nothing is on record.
pub fn record(buckets: &BucketSet) -> Statement {
    let number = |bucket: Bucket| bucket.number();
    let mut rows: Vec<(u16, &str)> = Vec::new();
    for range in buckets.ranges() {
        rows.push((number(*range.start()), "here"));
        rows.extend(
            number(*range.end()).checked_add(1).and_then(Bucket::new).map(|next| (number(next), "away")),
        );
    }
    if rows.first().is_none_or(|(first, _)| *first > 0) {
        rows.insert(0, (0, "away"));
    }
    Statement::new(RECORD, [Param::Text(json(&rows))])
}
