//! What a request about a move of buckets comes to: which move it is about, and whether that can go there.

use std::fmt;

use super::{Goal, is_reached};
use crate::config::Shards;
use crate::rules::Bucket;
use crate::store::{Buckets, MoveRow};

/// Buckets, and the databases between which they move.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The buckets.
    pub buckets: Buckets,
    /// The binding of the database that they leave.
    pub source: &'a str,
    /// The binding of the one that takes them.
    pub target: &'a str,
}

impl Route<'_> {
    /// The operators' command: `move`, `finish` or `cancel`.
    pub fn command(&self, verb: &str) -> String {
        let Route { buckets: Buckets { first, last }, source, target } = self;
        format!("`mark-stale-drafts shards {verb} --from {source} --to {target} --buckets {first}-{last}`")
    }

    /// The first of its buckets that the configuration gives to another database than `owners`, with those behind it that have the same one:
    /// in words, and that database.
    fn foreign<'c>(&self, configured: &'c Shards, owners: &[&str]) -> Option<(String, &'c str)> {
        let Buckets { first, last } = self.buckets;
        let of = |number: u32| {
            let bucket = u16::try_from(number).ok().and_then(Bucket::new)?;
            configured.iter().nth(configured.of(bucket)).map(|shard| shard.binding.as_str())
        };
        let numbers = || first..=last.min(u32::from(Bucket::LAST.number()));
        let (begins, shard) =
            numbers().find_map(|number| Some((number, of(number).filter(|of| !owners.contains(of))?)))?;
        let ends = numbers()
            .skip_while(|number| *number < begins)
            .take_while(|number| of(*number) == Some(shard))
            .last();
        let buckets = match ends.filter(|ends| *ends > begins) {
            Some(ends) => format!("the buckets {begins}-{ends}"),
            None => format!("bucket {begins}"),
        };
        Some((buckets, shard))
    }

    /// Whether a move, as the database with this binding has it, is of exactly these buckets and between these two.
    pub(super) fn is_of(&self, row: &MoveRow, binding: &str) -> bool {
        let (own, other) = match row.role.as_str() {
            "source" => (self.source, self.target),
            _ => (self.target, self.source),
        };
        (row.first_bucket, row.last_bucket) == (self.buckets.first, self.buckets.last)
            && own == binding
            && row.other == other
    }

    /// The move as the target has it, where that took the buckets and the source does not know: see [`Phase::SourceLost`].
    pub(super) fn lost_by_source<'r>(
        &self,
        in_source: &[MoveRow],
        in_target: &'r [MoveRow],
    ) -> Option<&'r MoveRow> {
        let lost = |target: &&MoveRow| {
            let source = in_source.iter().find(|source| source.id == target.id);
            Known { source, target: Some(target) }.phase() == Phase::SourceLost
        };
        in_target.iter().filter(|row| row.role == "target" && self.is_of(row, self.target)).find(lost)
    }

    /// Why nothing moves to a database that has the buckets.
    pub(super) fn has_them_already(&self) -> String {
        let Route { buckets: Buckets { first, last }, source, target } = self;
        format!(
            "`{target}` has the buckets {first}-{last} already, by its record: nothing is to move from `{source}`. If the configuration gives them to another one, give them to `{target}` and deploy that"
        )
    }

    /// What is left to do where a move is cancelled: who gave the buckets to the target takes that back.
    pub fn after_cancelling(&self, configured: &Shards) -> Option<String> {
        let (buckets, shard) =
            self.foreign(configured, &[self.source]).filter(|(_, shard)| *shard == self.target)?;
        Some(format!(
            "the configuration gives {buckets} to `{shard}`: give them to `{}` again and deploy that; until then their users see nothing of theirs and can't write",
            self.source
        ))
    }
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The move with this id goes on, or is where it is to be.
    GoesOn(String),
    /// A new one begins.
    Begins,
}

/// What can't be done: where the move is, and the next command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There is no such move.
    Unknown(String),
    /// It is at another step.
    NotNow(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Unknown(why) | Wrong::NotNow(why) => f.write_str(why),
        }
    }
}

/// One move, as each of its databases has it.
#[derive(Clone, Copy)]
struct Known<'a> {
    source: Option<&'a MoveRow>,
    target: Option<&'a MoveRow>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Steps 1 to 3.
    Begun,
    /// Steps 4 and 5.
    Moved,
    /// Steps 6 to 8.
    Open,
    Done,
    Cancelling,
    Cancelled,
    /// The target took the buckets, and the source does not know.
    SourceLost,
    /// The source gave them away, and the target does not know.
    TargetLost,
}

impl<'a> Known<'a> {
    fn state(row: Option<&'a MoveRow>) -> &'a str {
        row.map_or("none", |row| row.state.as_str())
    }

    fn phase(&self) -> Phase {
        let states = (Self::state(self.source), Self::state(self.target));
        match states {
            _ if is_reached(Goal::Cancelled, self.source, self.target) => Phase::Cancelled,
            _ if is_reached(Goal::Done, self.source, self.target) => Phase::Done,
            // No step leads here: one of them was restored to an earlier time, or another database is bound.
            ("trimmed", "arriving") | ("moved" | "trimmed", "none" | "cancelling" | "cancelled") => {
                Phase::TargetLost
            }
            ("none" | "paused" | "copied" | "verified" | "cancelling" | "cancelled", "open" | "settled") => {
                Phase::SourceLost
            }
            (source, target) if source.starts_with("cancel") || target.starts_with("cancel") => {
                Phase::Cancelling
            }
            ("trimmed", _) | (_, "open" | "settled") => Phase::Open,
            ("moved", _) => Phase::Moved,
            _ => Phase::Begun,
        }
    }

    fn started(&self) -> (u64, &'a str) {
        self.source.or(self.target).map_or((0, ""), |row| (row.started_at, row.id.as_str()))
    }

    /// Where it is, in words.
    fn place(&self, route: Route<'_>) -> String {
        let (_, id) = self.started();
        format!(
            "move `{id}` is `{}` in `{}` and `{}` in `{}`",
            Self::state(self.source),
            route.source,
            Self::state(self.target),
            route.target
        )
    }
}

/// The move that a request for `goal` is about, of those that both databases have: one of exactly these buckets that is under way; else the
/// newest that was not cancelled, of several that began in the same millisecond as the newest; else the newest.
///
/// Whose the buckets are is the configuration's to say too: of the source until they have moved, of the target afterwards. Only a
/// cancellation does not depend on it.
///
/// # Errors
///
/// [`Wrong`] says where it is, and the command that comes next.
pub fn plan(
    route: Route<'_>,
    goal: Goal,
    in_source: &[MoveRow],
    in_target: &[MoveRow],
    configured: &Shards,
) -> Result<Plan, Wrong> {
    let of_route = |row: &&MoveRow, role: &str, other: &str| {
        let same = (row.first_bucket, row.last_bucket) == (route.buckets.first, route.buckets.last);
        row.role == role && same && row.other == other
    };
    let sources: Vec<_> = in_source.iter().filter(|row| of_route(row, "source", route.target)).collect();
    let targets: Vec<_> = in_target.iter().filter(|row| of_route(row, "target", route.source)).collect();
    let with_source = sources.iter().map(|source| Known {
        source: Some(source),
        target: targets.iter().find(|target| target.id == source.id).copied(),
    });
    let lone = targets.iter().filter(|target| sources.iter().all(|source| source.id != target.id));
    let mut all: Vec<_> =
        with_source.chain(lone.map(|target| Known { source: None, target: Some(target) })).collect();
    all.sort_by_key(|known| std::cmp::Reverse(known.started()));
    let Some(newest) = all.first() else { return none(route, goal, configured) };
    let over = |known: &Known<'_>| matches!(known.phase(), Phase::Done | Phase::Cancelled);
    let at_once = || all.iter().filter(|known| known.started().0 == newest.started().0);
    let known = all.iter().find(|known| !over(known));
    let known = known.or_else(|| at_once().find(|known| known.phase() != Phase::Cancelled));
    judge(route, goal, known.unwrap_or(newest), configured)
}

fn none(route: Route<'_>, goal: Goal, configured: &Shards) -> Result<Plan, Wrong> {
    let Route { buckets: Buckets { first, last }, source, target } = route;
    let missing = format!("there is no move of the buckets {first}-{last} from `{source}` to `{target}`");
    match goal {
        Goal::Moved => begins(route, &missing, configured),
        Goal::Done | Goal::Cancelled => {
            Err(Wrong::Unknown(format!("{missing}: begin it with {}", route.command("move"))))
        }
    }
}

/// A new one, if the configuration gives all of its buckets to the database that they are to leave.
fn begins(route: Route<'_>, place: &str, configured: &Shards) -> Result<Plan, Wrong> {
    let Some((buckets, shard)) = route.foreign(configured, &[route.source]) else { return Ok(Plan::Begins) };
    let next = if shard == route.target {
        format!(
            "give them to `{}`, which they are to leave, deploy that, and begin with {}",
            route.source,
            route.command("move")
        )
    } else {
        format!(
            "expected `{}`, which they are to leave. `mark-stale-drafts shards` shows which database has them on record: give them to that one, deploy that, and move them from there",
            route.source
        )
    };
    Err(Wrong::NotNow(format!("{place}, and the configuration gives {buckets} to `{shard}`: {next}")))
}

fn judge(route: Route<'_>, goal: Goal, known: &Known<'_>, configured: &Shards) -> Result<Plan, Wrong> {
    let goes_on = || Ok(Plan::GoesOn(known.started().1.to_owned()));
    let not_now = |what: String| Err(Wrong::NotNow(format!("{}: {what}", known.place(route))));
    let (not_of_source, not_of_target) =
        (route.foreign(configured, &[route.source]), route.foreign(configured, &[route.target]));
    // On the way they are of the one or of the other.
    let of_a_third = route.foreign(configured, &[route.source, route.target]);
    let take_on = |(buckets, shard): (String, &str)| {
        not_now(format!(
            "the configuration gives {buckets} to `{shard}`; give them to `{}`, deploy that, and go on with {}",
            route.target,
            route.command("finish")
        ))
    };
    match (goal, known.phase()) {
        (_, Phase::TargetLost) => not_now(format!(
            "`{0}` does not know that it was given the buckets; it was restored to an earlier time, or another database is bound as `{0}`. Bind the one that has them, or restore it to a time after that, and go on with {1}; docs/scale.md says what to do where that is lost",
            route.target,
            route.command("finish")
        )),
        (_, Phase::SourceLost) => not_now(format!(
            "`{0}` does not know that it gave the buckets away; it was restored to an earlier time, or another database is bound as `{0}`. Bind the one that gave them away, or restore it to a time after that, and go on with {1}; docs/scale.md says how to correct the record of `{0}` where that is lost",
            route.source,
            route.command("finish")
        )),
        // Given away too early: both wait for the same.
        (Goal::Moved | Goal::Done, Phase::Begun) if not_of_source.is_some() => {
            let (buckets, shard) = not_of_source.unwrap_or_default();
            not_now(format!(
                "the configuration gives {buckets} to `{shard}` before they have moved; give them to `{}` again, deploy that, and go on with {}, or undo it with {}",
                route.source,
                route.command("move"),
                route.command("cancel")
            ))
        }
        (Goal::Moved, Phase::Moved) if not_of_target.is_none() => not_now(format!(
            "the buckets have moved, and the configuration gives them to `{}`; go on with {}",
            route.target,
            route.command("finish")
        )),
        (Goal::Moved, Phase::Moved) if of_a_third.is_some() => take_on(of_a_third.unwrap_or_default()),
        (Goal::Done, Phase::Moved | Phase::Open) if not_of_target.is_some() => {
            take_on(not_of_target.unwrap_or_default())
        }
        (Goal::Moved, Phase::Done) if not_of_target.is_none() => {
            not_now(format!("the buckets are in `{}`, and nothing is left to do", route.target))
        }
        (Goal::Moved, Phase::Done | Phase::Cancelled) => begins(route, &known.place(route), configured),
        (Goal::Moved, Phase::Begun | Phase::Moved)
        | (Goal::Done, Phase::Moved | Phase::Open | Phase::Done)
        | (Goal::Cancelled, Phase::Begun | Phase::Cancelling | Phase::Cancelled) => goes_on(),
        (Goal::Moved, Phase::Open) => {
            not_now(format!("the buckets have moved; go on with {}", route.command("finish")))
        }
        (Goal::Moved | Goal::Done, Phase::Cancelling) => {
            not_now(format!("end its cancellation with {}", route.command("cancel")))
        }
        (Goal::Done, Phase::Begun) => not_now(format!(
            "expected `moved` in `{}` before it is finished; go on with {}",
            route.source,
            route.command("move")
        )),
        (Goal::Done, Phase::Cancelled) => {
            not_now(format!("it was cancelled; begin another one with {}", route.command("move")))
        }
        (Goal::Cancelled, phase @ (Phase::Moved | Phase::Open | Phase::Done)) => {
            let back = Route { source: route.target, target: route.source, ..route };
            let finish = match phase {
                Phase::Done => String::new(),
                _ => format!("finish it with {}, and then ", route.command("finish")),
            };
            not_now(format!(
                "it can't be cancelled any more; {finish}move the buckets back with {}",
                back.command("move")
            ))
        }
    }
}
