//! Moves of buckets that are not over: what the monitor and `/readyz` look at. There are none but while buckets move.

use serde::Deserialize;

use super::typed::{json_text, only};
use super::{DatabaseError, Row, Statement};
use crate::rules::{OpenMove, Timestamp};

/// Those that are not over, as one text.
macro_rules! not_over {
    () => {
        "(SELECT json_group_array(json_array(id, role, first_bucket, last_bucket, other, state, stepped_at)) FROM (
          SELECT * FROM stale_drafts_moves INDEXED BY stale_drafts_moves_by_is_over WHERE is_over = 0 LIMIT 20))"
    };
}
pub(super) use not_over;

const OPEN_MOVES: &str = concat!("SELECT ", not_over!(), " AS moves");

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

/// The moves that are not over, at most 20: a row for [`open_moves_of`].
pub fn open_moves() -> Statement {
    Statement::new(OPEN_MOVES, [])
}

/// Reads the row of [`open_moves`] of the database called `shard`.
///
/// # Errors
///
/// [`DatabaseError`] if it is not what was asked for.
pub fn open_moves_of(rows: Vec<Row>, shard: &str) -> Result<Vec<OpenMove>, DatabaseError> {
    #[derive(Deserialize)]
    struct Moves {
        #[serde(deserialize_with = "json_text")]
        moves: Vec<OpenMoveRow>,
    }
    let Moves { moves } = only(rows)?;
    Ok(moves.into_iter().map(|row| OpenMove { shard: shard.to_owned(), ..open_move(row) }).collect())
}
