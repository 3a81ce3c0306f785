//! How full a database is, of several.

use serde::Deserialize;

use super::buckets::{BucketRows, Recorded, on_record};
use super::moves::{MoveRow, moves};
use super::sweep::active;
use super::typed::{json_text, json_text_if_any, only, typed_rows};
use super::{DatabaseError, Row, Statement};

/// At most so many active creations are counted.
const COUNTED: u32 = 100_000;
/// So many moves are shown, the newest.
const MOVES: u32 = 20;

/// One row: see [`Fullness`]. To count all creations, all would be read: their rowids say how many there are at the most.
const FULLNESS: &str = concat!(
    "SELECT (SELECT count(*) FROM (SELECT 1 FROM stale_drafts_creations INDEXED BY stale_drafts_creations_active_of_user WHERE ",
    active!(),
    " LIMIT ?1)) AS active,
       ifnull((SELECT max(rowid) FROM stale_drafts_creations) - (SELECT min(rowid) FROM stale_drafts_creations) + 1, 0) AS creations,
       (SELECT json_array(started_at, finished_at, error) FROM stale_drafts_sweeps WHERE source = 'cron' ORDER BY id DESC LIMIT 1) AS last_sweep, ",
    on_record!(),
    " AS buckets"
);

/// How full a database is, and which buckets move or have moved: for [`Fullness::read`].
pub fn fullness() -> [Statement; 2] {
    [Statement::new(FULLNESS, [COUNTED.into()]), moves(MOVES)]
}

/// What tells a database from all others, and from none that is a copy of it: a row for [`identity_of`].
pub fn identity() -> Statement {
    Statement::new("SELECT identity FROM stale_drafts_ledger_check", [])
}

/// The row of [`identity`].
///
/// # Errors
///
/// [`DatabaseError`] if it is not of the shape that was asked for.
pub fn identity_of(rows: Vec<Row>) -> Result<String, DatabaseError> {
    #[derive(Deserialize)]
    struct Identity {
        identity: String,
    }
    only(rows).map(|Identity { identity }| identity)
}

/// How full a database is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fullness {
    /// Active creations, counted up to 100,000.
    pub active: u64,
    /// No more creations than this.
    pub creations: u64,
    /// The newest sweep by cron: when it began, when it ended, and its error.
    pub last_sweep: Option<(i64, Option<i64>, Option<String>)>,
    /// The buckets that are on record.
    pub recorded: Option<Recorded>,
    /// Buckets that move or have moved, the newest first.
    pub moves: Vec<MoveRow>,
}

impl Fullness {
    /// Reads the results of [`fullness`].
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not what was asked for.
    pub fn read(results: Vec<Vec<Row>>) -> Result<Self, DatabaseError> {
        #[derive(Deserialize)]
        struct Numbers {
            active: u64,
            creations: u64,
            #[serde(deserialize_with = "json_text_if_any")]
            last_sweep: Option<(i64, Option<i64>, Option<String>)>,
            #[serde(deserialize_with = "json_text")]
            buckets: BucketRows,
        }
        let [numbers, moves]: [Vec<Row>; 2] =
            results.try_into().map_err(|_| DatabaseError::new("expected two results"))?;
        let Numbers { active, creations, last_sweep, buckets } = only(numbers)?;
        let recorded = Recorded::read(&buckets);
        Ok(Fullness { active, creations, last_sweep, recorded, moves: typed_rows(moves)? })
    }
}
