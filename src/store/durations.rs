//! How long creations wait for a worker, and how long workers take: counted by triggers, see `migrations/0009_observability.sql`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::typed::{json_text, sum, typed_rows};
use super::{DatabaseError, Row, Statement};

/// Up to where the bands of a [`Duration`] go, in milliseconds; the last band is beyond.
pub const DURATION_BANDS_MS: [u64; 11] =
    [1_000, 5_000, 15_000, 30_000, 60_000, 120_000, 300_000, 900_000, 1_800_000, 3_600_000, 21_600_000];

/// At most so many rows are read: one for each kind and outcome.
const READ: u32 = 5_000;

const DURATIONS: &str = "SELECT measure, kind, outcome, total_ms,
       json_array(band_0, band_1, band_2, band_3, band_4, band_5, band_6, band_7, band_8, band_9, band_10, band_11) AS bands
     FROM stale_drafts_durations ORDER BY measure, kind, outcome LIMIT ?1";

/// How long something took, over all time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Duration {
    /// `wait`, from being asked for or put back to the start; or `processing`, from the start to the worker's last report.
    pub measure: String,
    /// The creations' kind.
    pub kind: String,
    /// `started`; or `completed`, `failed` or `cancelled`.
    pub outcome: String,
    /// The sum, in milliseconds.
    #[serde(deserialize_with = "sum")]
    pub total_ms: u64,
    /// How many there were by the band: see [`DURATION_BANDS_MS`].
    #[serde(deserialize_with = "json_text")]
    pub bands: [u64; 12],
}

/// All durations: rows for [`durations_of`].
pub fn durations() -> Statement {
    Statement::new(DURATIONS, [READ.into()])
}

/// The durations of one database or several, added up.
///
/// # Errors
///
/// [`DatabaseError`] if they are not what was asked for.
pub fn durations_of(databases: impl IntoIterator<Item = Vec<Row>>) -> Result<Vec<Duration>, DatabaseError> {
    let mut sums: BTreeMap<(String, String, String), Duration> = BTreeMap::new();
    for rows in databases {
        for row in typed_rows::<Duration>(rows)? {
            let key = (row.measure.clone(), row.kind.clone(), row.outcome.clone());
            let Some(sum) = sums.get_mut(&key) else {
                sums.insert(key, row);
                continue;
            };
            sum.total_ms = sum.total_ms.saturating_add(row.total_ms);
            sum.bands.iter_mut().zip(row.bands).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        }
    }
    Ok(sums.into_values().collect())
}
