//! Moves of buckets that are not over, and which buckets are on record: what the monitor and `/readyz` look at.

use serde::Deserialize;

use super::buckets::{BucketRows, Recorded, on_record};
use super::typed::{json_text, only};
use super::{DatabaseError, Row, Statement};
use crate::rules::{OpenMove, Timestamp};

/// Those that are not over, as one text: all of them, since what a database may have is also what none of them is about. No two are about
/// the same bucket.
macro_rules! not_over {
    () => {
        "(SELECT json_group_array(json_array(id, role, first_bucket, last_bucket, other, state, stepped_at)) FROM (
          SELECT * FROM stale_drafts_moves INDEXED BY stale_drafts_moves_by_is_over WHERE is_over = 0))"
    };
}
pub(super) use not_over;

const OPEN_MOVES: &str = concat!("SELECT ", not_over!(), " AS moves, ", on_record!(), " AS buckets");

/// A move as the text has it.
pub(super) type OpenMoveRow = (String, String, u32, u32, String, String, i64);

/// The same for the rules; the name of the database is still to be added.
pub(super) fn open_move(row: OpenMoveRow) -> OpenMove {
    let (id, role, first_bucket, last_bucket, other, state, stepped_at) = row;
    OpenMove {
        id,
        shard: String::new(),
        is_source: role == "source",
        other,
        first_bucket,
        last_bucket,
        state,
        stepped_at: Timestamp::from_millis(stepped_at).unwrap_or(Timestamp::EPOCH),
    }
}

/// The moves that are not over, and which buckets are on record: a row for [`open_moves_of`].
pub fn open_moves() -> Statement {
    Statement::new(OPEN_MOVES, [])
}

/// Reads the row of [`open_moves`] of the database called `shard`.
///
/// # Errors
///
/// [`DatabaseError`] if it is not what was asked for.
pub fn open_moves_of(
    rows: Vec<Row>,
    shard: &str,
) -> Result<(Vec<OpenMove>, Option<Recorded>), DatabaseError> {
    #[derive(Deserialize)]
    struct Moves {
        #[serde(deserialize_with = "json_text")]
        moves: Vec<OpenMoveRow>,
        #[serde(deserialize_with = "json_text")]
        buckets: BucketRows,
    }
    let Moves { moves, buckets } = only(rows)?;
    let named = |row| OpenMove { shard: shard.to_owned(), ..open_move(row) };
    Ok((moves.into_iter().map(named).collect(), Recorded::read(&buckets)))
}
