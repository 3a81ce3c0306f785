//! A move of users to another database that nobody finishes.

use super::diagnosis::{Finding, Severity};
use super::evidence::Evidence;
use super::placement::swapped;
use super::text::Age;
use super::time::Timestamp;

/// A move is expected to go on at least this often, until it is over: its users can't write meanwhile.
pub const MOVE_EXPECTED_WITHIN_MS: u64 = 15 * 60_000;

/// A move of buckets of users from one database to another that is not over, as one of the two has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMove {
    /// Its id, the same in both.
    pub id: String,
    /// The database's name,
    pub shard: String,
    /// and whether it is the one that the buckets leave.
    pub is_source: bool,
    /// The name of the other one.
    pub other: String,
    /// The first of the buckets.
    pub first_bucket: u32,
    /// The last of them.
    pub last_bucket: u32,
    /// Of the source `paused`, `copied`, `verified` or `moved`; of the target `arriving`; of either `cancelling`. A target that is
    /// open is not listed.
    pub state: String,
    /// When it last went on.
    pub stepped_at: Timestamp,
}

/// The same as both databases have it.
struct Whole<'a> {
    source: Option<&'a OpenMove>,
    target: Option<&'a OpenMove>,
    silent_ms: u64,
}

impl<'a> Whole<'a> {
    fn new(first: &'a OpenMove, moves: &'a [OpenMove], now: Timestamp) -> Self {
        let rows = || moves.iter().filter(|row| row.id == first.id);
        let last = rows().map(|row| row.stepped_at).max().unwrap_or(first.stepped_at);
        Whole {
            source: rows().find(|row| row.is_source),
            target: rows().find(|row| !row.is_source),
            silent_ms: now.millis_since(last),
        }
    }

    /// Whether its users can't write: in the source until it has moved, in the target until that is open.
    fn holds(&self) -> bool {
        self.source.is_some_and(|source| source.state != "moved" || self.target.is_some())
    }
}

/// The move that has not gone on for longest, of those that hold users if there are any. Where one of its databases does not answer,
/// that is the cause.
pub(super) fn unfinished(evidence: &Evidence, now: Timestamp) -> Option<Finding> {
    let moves = evidence.moves.as_slice();
    // Then no command goes on.
    if swapped(moves).is_some() {
        return None;
    }
    let answers = |name: &str| evidence.unreachable.iter().all(|(shard, _)| shard != name);
    let new = |(at, row): &(usize, &OpenMove)| moves.iter().take(*at).all(|before| before.id != row.id);
    let stuck: Vec<_> = moves
        .iter()
        .enumerate()
        .filter(new)
        .filter(|(_, row)| answers(&row.shard) && answers(&row.other))
        .map(|(_, row)| Whole::new(row, moves, now))
        .filter(|whole| whole.silent_ms > MOVE_EXPECTED_WITHIN_MS)
        .collect();
    let worst = stuck.iter().max_by_key(|whole| (whole.holds(), whole.silent_ms))?;
    let OpenMove { shard, other, first_bucket, last_bucket, state, .. } = worst.source.or(worst.target)?;
    let (source, target) = if worst.source.is_some() { (shard, other) } else { (other, shard) };
    let command = |verb: &str| {
        format!(
            "`mark-stale-drafts shards {verb} --from {source} --to {target} --buckets {first_bucket}-{last_bucket}`"
        )
    };
    let holds = worst.holds();
    let others = match stuck.len().saturating_sub(1) {
        0 => String::new(),
        1 => String::from("; nor is 1 more"),
        others => format!("; nor are {others} more"),
    };
    Some(Finding {
        code: "move_unfinished",
        severity: if holds { Severity::Critical } else { Severity::Warning },
        error_code: None,
        cause: String::from(match (holds, worst.source.is_some()) {
            (true, _) => "a move of users to another database is not finished, and they can't write",
            (false, true) => {
                "a move of users to another database is not finished: what has moved away is still in both"
            }
            (false, false) => "a move of users to another database has begun on one side only",
        }),
        evidence: format!(
            "that of the buckets {first_bucket}-{last_bucket} from `{source}` to `{target}` is `{state}` in `{shard}`, and has not gone on for {}{others}",
            Age(worst.silent_ms)
        ),
        remedy: match state.as_str() {
            // The other side is not in the configuration any more.
            _ if evidence.placed.len() == 1 && evidence.unreachable.is_empty() => String::from(
                "put `shards` back as it was, with all databases, and deploy that; then go on with the move",
            ),
            "moved" if holds => {
                format!(
                    "give these buckets to `{target}` in the configuration, deploy it, and then: {}",
                    command("finish")
                )
            }
            "moved" => format!("remove what has moved away: {}", command("finish")),
            "cancelling" => format!("go on with {}", command("cancel")),
            _ => format!(
                "go on with {}, or undo it with `shards cancel` and the same options",
                command("move")
            ),
        }
        .into(),
    })
}
