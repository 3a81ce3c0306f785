//! Moves buckets from one database to another: all of their users' rows, to the token, while nobody else writes them.
//!
//! A move goes through states that both databases hold, and [`step`] takes it on from wherever it is. A step makes a bounded number of
//! queries, may die between any two of its transactions, and may run beside another: each write repeats the state and the place that it
//! was decided on.
//!
//! | source | target | what is done |
//! |---|---|---|
//! | `paused` | `arriving` | the users are found, no one writes what is theirs any more, and it is copied |
//! | `copied` | `arriving` | users are looked for once more, and every row is compared |
//! | `verified` | `arriving` | nothing: it can still be cancelled |
//! | `moved` | `arriving` | nothing, for ever, but by the target: now the configuration is changed |
//! | `moved` | `open` | the target takes writes; the source's rows are removed |
//! | `trimmed` | `open` | for a while no sweep decides on these users: reports that were refused come again |
//! | `trimmed` | `settled` | done |
//!
//! Before `moved` it can be cancelled: the target is emptied of what arrived, and the source goes on. For a while no sweep decides on
//! these users either. What operators gave a creation, and noted about it, goes with it. What is not a user's stays in the
//! source: the rows of sweeps, roll-ups, alerts, what kinds have, the rest of the audit, the objects of the archive, and events that have
//! still to be delivered.

mod plan;
mod walk;

use std::cell::Cell;
use std::fmt;

pub use self::plan::{Plan, Route, Wrong, plan};
use self::walk::Task;
use super::shards::Shard;
use crate::config::Shards;
use crate::rules::{Bucket, Timestamp};
use crate::store::{
    self, Buckets, Database, DatabaseError, MoveRow, PageSize, Place, REMOVED_IN, Row, SCHEMA_VERSION, Stage,
    Statement,
};

/// What moves, and between which databases.
#[derive(Clone, Copy, Debug)]
pub struct Move<'a> {
    /// Its id: a UUIDv7.
    pub id: &'a str,
    /// The buckets, from the first to the last, within 0 to 4095.
    pub buckets: Buckets,
    /// The binding of the database that they leave.
    pub source: &'a str,
    /// The binding of the one that takes them.
    pub target: &'a str,
}

/// How far a move is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Everything is in the target, and nobody writes it. Then the configuration is changed and deployed.
    Moved,
    /// The target takes writes and the source is trimmed. Only once every Worker has the new configuration.
    Done,
    /// Everything is as it was before.
    Cancelled,
}

/// What one step may do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Queries, about: it ends when the next transactions may be more.
    pub queries: u64,
    /// Users that are looked at together.
    pub users: u32,
    /// A page of rows.
    pub page: PageSize,
    /// How long no sweep decides on users who have arrived, in milliseconds.
    pub grace_ms: u64,
}

/// How long no sweep decides on users who have arrived.
pub const GRACE_MS: u64 = 15 * 60_000;

impl Default for Bounds {
    /// What D1 allows an invocation, with some left for what is beside it; and strings of half of what it takes.
    fn default() -> Self {
        Bounds {
            queries: 900,
            users: 4_000,
            page: PageSize { rows: 1_000, bytes: 1_000_000, slice: 10_000 },
            grace_ms: GRACE_MS,
        }
    }
}

/// The transactions that are made before a step looks again whether it may go on.
const ROUND: u64 = 12;

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether the goal is reached.
    pub done: bool,
    /// It goes on after this instant, in epoch milliseconds: users who have arrived are left alone for a while.
    pub waits_until: Option<u64>,
    /// The move as the source has it.
    pub source: Option<MoveRow>,
    /// The move as the target has it.
    pub target: Option<MoveRow>,
    /// How many queries this step made.
    pub queries: u64,
}

/// Why a move does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// A database failed: the same step may go through the next time.
    Database {
        /// Its binding.
        binding: String,
        /// What it said.
        error: DatabaseError,
    },
    /// It can't go on as it is: why, and what would be right.
    Refused(String),
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MoveError::Database { binding, error } => write!(f, "`{binding}`: {error}"),
            MoveError::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for MoveError {}

/// Takes a move on towards its goal, as far as `bounds` allow. Called again and again until [`Progress::done`], by one mover or by
/// several.
///
/// # Errors
///
/// [`MoveError::Database`] if a database failed; what was done stands, and the next call goes on from there.
/// [`MoveError::Refused`] if the move contradicts what the databases hold: another move of these buckets, a table that is attached,
/// a user who has rows in the target already, or rows that differ.
pub async fn step(
    source: &impl Database,
    target: &impl Database,
    planned: Move<'_>,
    goal: Goal,
    now: Timestamp,
    bounds: Bounds,
) -> Result<Progress, MoveError> {
    let spent = Cell::new(0);
    let source = Side { database: source, binding: planned.source, spent: &spent };
    let target = Side { database: target, binding: planned.target, spent: &spent };
    let run = Run { source, target, planned, now, bounds };
    run.check()?;
    loop {
        let (source, target) = run.rows().await?;
        let flow = if is_reached(goal, source.as_ref(), target.as_ref()) {
            Flow::Done
        } else if run.may_go_on() {
            match run.take_on(goal, source.as_ref(), target.as_ref()).await {
                // What another mover has left behind meanwhile is no contradiction.
                Err(MoveError::Refused(why)) => {
                    if run.has_moved_on(source.as_ref(), target.as_ref()).await? {
                        continue;
                    }
                    return refused(run.with_the_way_out(goal, source.as_ref(), why));
                }
                flow => flow?,
            }
        } else {
            Flow::Stops
        };
        let (done, waits_until) = match flow {
            Flow::GoesOn => continue,
            Flow::Stops => (false, None),
            Flow::Waits(until) => (false, Some(until)),
            Flow::Done => (true, None),
        };
        return Ok(Progress { done, waits_until, source, target, queries: spent.get() });
    }
}

/// Whether the goal is reached, by the states of both sides.
fn is_reached(goal: Goal, source: Option<&MoveRow>, target: Option<&MoveRow>) -> bool {
    let states = (source.map(|row| row.state.as_str()), target.map(|row| row.state.as_str()));
    match goal {
        Goal::Moved => matches!(states.0, Some("moved" | "trimmed")),
        Goal::Done => states == (Some("trimmed"), Some("settled")),
        Goal::Cancelled => states == (Some("cancelled"), Some("cancelled")),
    }
}

/// So many of a database's newest moves of the same buckets are looked at, to find one again.
const NEWEST: u32 = 100;

/// What a request for `goal` comes to: see [`plan()`]. Who starts a move again need not know its id.
///
/// # Errors
///
/// [`DatabaseError`] if one of the databases does not answer.
pub async fn planned<S: Database, T: Database>(
    source: &Shard<'_, S>,
    target: &Shard<'_, T>,
    buckets: Buckets,
    goal: Goal,
    configured: &Shards,
) -> Result<Result<Plan, Wrong>, DatabaseError> {
    let route = Route { buckets, source: source.name, target: target.name };
    let (in_source, around_source) = around(source.database, buckets).await?;
    let (in_target, around_target) = around(target.database, buckets).await?;
    let planned = plan(route, goal, &in_source, &in_target, configured);
    let Some(lost) = route.lost_by_source(&in_source, &in_target) else {
        let in_the_way = || {
            let other = |row: &MoveRow, binding: &str| !route.is_of(row, binding);
            let source = around_source
                .overlaps
                .as_ref()
                .filter(|row| other(row, source.name))
                .map(|row| (row, source.name));
            source.or(around_target
                .overlaps
                .as_ref()
                .filter(|row| other(row, target.name))
                .map(|row| (row, target.name)))
        };
        let is_open = in_target.iter().any(|row| route.is_of(row, target.name) && row.state == "open");
        let has_moved = around_source.has_none && around_target.has_all;
        return Ok(match planned {
            Ok(Plan::GoesOn(id)) => Ok(Plan::GoesOn(id)),
            // It may have copies of their users, which are to be removed.
            Err(Wrong::Unknown(_)) if goal == Goal::Done && has_moved && in_the_way().is_none() => {
                Ok(Plan::Begins)
            }
            planned => match in_the_way() {
                Some((row, binding)) => Err(Wrong::NotNow(other_move(row, binding, buckets))),
                None if goal == Goal::Moved && around_target.has_all && !is_open => {
                    Err(Wrong::NotNow(route.has_them_already()))
                }
                None => planned,
            },
        });
    };
    // A restore has brought back rows of users who had moved. They are removed only if the record says that the source does not have them.
    if goal == Goal::Done && around_source.has_none {
        return Ok(if lost.state == "settled" {
            Ok(Plan::GoesOn(lost.id.clone()))
        } else {
            Err(Wrong::NotNow(format!(
                "{}; then repeat this, which removes what `{}` has of their users",
                other_move(lost, target.name, buckets),
                source.name
            )))
        });
    }
    Ok(planned)
}

/// What a database has on record of some buckets, and another move that is about some of them.
struct Around {
    overlaps: Option<MoveRow>,
    has_all: bool,
    has_none: bool,
}

/// The moves of exactly these buckets, and what else there is about them.
async fn around(database: &impl Database, buckets: Buckets) -> Result<(Vec<MoveRow>, Around), DatabaseError> {
    let batch = [store::moves_of(buckets, NEWEST), store::obstacles("", buckets)];
    let mut results = database.run(&batch).await?.into_iter();
    let moves = store::typed_rows(results.next().unwrap_or_default())?;
    let found = store::obstacles_of(results.next().unwrap_or_default())?;
    let overlaps = match &found.overlaps {
        Some(id) => store::move_of(
            database.run(&[store::move_by_id(id)]).await?.into_iter().next().unwrap_or_default(),
        )?,
        None => None,
    };
    let recorded = found.recorded > 0;
    let (has_all, has_none) = (recorded && found.elsewhere.is_none(), recorded && found.here.is_none());
    Ok((moves, Around { overlaps, has_all, has_none }))
}

/// Another move of some of the buckets, as the database with this binding has it: where it is, and what it waits for.
fn other_move(row: &MoveRow, binding: &str, buckets: Buckets) -> String {
    let (source, target) = match row.role.as_str() {
        "source" => (binding, row.other.as_str()),
        _ => (row.other.as_str(), binding),
    };
    if source == target {
        return format!(
            "`{binding}` has move `{}` with `{binding}` as its other side: the databases are bound otherwise than as it began, such as with `database_id`s that are swapped; `mark-stale-drafts doctor` says more",
            row.id
        );
    }
    let route = Route { buckets: Buckets { first: row.first_bucket, last: row.last_bucket }, source, target };
    let next = match row.state.as_str() {
        "open" => format!(
            "it can't be cancelled, and is done after {}, 15 minutes after it was opened: by cron, or by {}",
            clock(row.changed_at.saturating_add(GRACE_MS)),
            route.command("finish")
        ),
        "moved" => format!(
            "it can't be cancelled; give its buckets to `{target}` in the configuration, deploy that, and end it with {}",
            route.command("finish")
        ),
        "cancelling" => format!("end its cancellation with {}", route.command("cancel")),
        _ => format!(
            "go on with {}, which says what comes next, or undo it with {}",
            route.command("move"),
            route.command("cancel")
        ),
    };
    format!(
        "move `{}` of the buckets {}-{} from `{source}` to `{target}` is about some of the buckets {}-{}, and is `{}` in `{binding}`: {next}",
        row.id, row.first_bucket, row.last_bucket, buckets.first, buckets.last, row.state
    )
}

/// The time of day of an instant, in UTC.
fn clock(at_ms: u64) -> String {
    let seconds = at_ms.div_ceil(1_000) % 86_400;
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// What comes after a part of a step.
enum Flow {
    GoesOn,
    Stops,
    Waits(u64),
    Done,
}

/// One of the two databases.
struct Side<'a, D> {
    database: &'a D,
    binding: &'a str,
    spent: &'a Cell<u64>,
}

impl<D: Database> Side<'_, D> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, MoveError> {
        self.spent.set(self.spent.get().saturating_add(batch.len() as u64));
        self.database.run(batch).await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: DatabaseError) -> MoveError {
        MoveError::Database { binding: self.binding.to_owned(), error }
    }

    /// What a result says, read by `read`.
    fn read<T>(
        &self,
        results: &mut Vec<Vec<Row>>,
        read: impl FnOnce(Vec<Row>) -> Result<T, DatabaseError>,
    ) -> Result<T, MoveError> {
        read(results.pop().unwrap_or_default()).map_err(|error| self.failed(error))
    }

    fn place(&self, row: &MoveRow, stage: Stage) -> Result<Place, MoveError> {
        Place::read(&row.place, stage).map_err(|error| self.failed(error))
    }
}

struct Run<'a, S, T> {
    source: Side<'a, S>,
    target: Side<'a, T>,
    planned: Move<'a>,
    now: Timestamp,
    bounds: Bounds,
}

impl<S: Database, T: Database> Run<'_, S, T> {
    fn may_go_on(&self) -> bool {
        self.source.spent.get().saturating_add(ROUND) <= self.bounds.queries
    }

    /// What can be said without a database.
    fn check(&self) -> Result<(), MoveError> {
        let Move { buckets: Buckets { first, last }, source, target, .. } = self.planned;
        if first > last || last > 4_095 {
            return refused(format!(
                "invalid buckets `{first}-{last}`: expected a range within 0-4095, such as `0-63`"
            ));
        }
        if source == target {
            return refused(format!("`{source}` is source and target: expected two databases"));
        }
        Ok(())
    }

    /// The move as each side has it.
    async fn rows(&self) -> Result<(Option<MoveRow>, Option<MoveRow>), MoveError> {
        let Move { id, buckets, .. } = self.planned;
        let mut results = self.source.run(&[store::move_by_id(id)]).await?;
        let source = self.source.read(&mut results, store::move_of)?;
        let mut results = self.target.run(&[store::move_by_id(id)]).await?;
        let target = self.target.read(&mut results, store::move_of)?;
        let sides = [
            (&source, "source", self.source.binding, self.target.binding),
            (&target, "target", self.target.binding, self.source.binding),
        ];
        for (row, role, binding, other) in sides {
            let Some(row) = row else { continue };
            if row.role != role
                || row.other != other
                || row.first_bucket != buckets.first
                || row.last_bucket != buckets.last
            {
                return refused(format!(
                    "move `{id}` is another one in `{binding}`: {} of buckets {}-{}, with `{}`; expected {role} of buckets {}-{}, with `{other}`",
                    row.role, row.first_bucket, row.last_bucket, row.other, buckets.first, buckets.last
                ));
            }
        }
        Ok((source, target))
    }

    /// Why a move is refused, and the command that frees its users where they can't write meanwhile.
    fn with_the_way_out(&self, goal: Goal, source: Option<&MoveRow>, why: String) -> String {
        let held = source.is_some_and(|row| matches!(row.state.as_str(), "paused" | "copied" | "verified"));
        if goal != Goal::Moved || !held {
            return why;
        }
        let Move { buckets, source, target, .. } = self.planned;
        let cancel = Route { buckets, source, target }.command("cancel");
        format!(
            "{why}. Nobody writes of the users who move until this is mended and the move goes on, or it is undone: {cancel}"
        )
    }

    /// Whether a state is another one by now.
    async fn has_moved_on(
        &self,
        source: Option<&MoveRow>,
        target: Option<&MoveRow>,
    ) -> Result<bool, MoveError> {
        let now = self.rows().await?;
        let state = |row: Option<&MoveRow>| row.map(|row| row.state.clone());
        Ok(state(now.0.as_ref()) != state(source) || state(now.1.as_ref()) != state(target))
    }

    async fn take_on(
        &self,
        goal: Goal,
        source: Option<&MoveRow>,
        target: Option<&MoveRow>,
    ) -> Result<Flow, MoveError> {
        let id = self.planned.id;
        let state = |row: Option<&MoveRow>| row.map_or_else(|| "none".to_owned(), |row| row.state.clone());
        let states = (state(source), state(target));
        let settled = goal == Goal::Done && states.1 == "settled";
        let ended = !settled && (states.0.starts_with("cancel") || states.1.starts_with("cancel"));
        match (goal, states.0.as_str(), source, states.1.as_str(), target) {
            (Goal::Cancelled, "moved" | "trimmed", ..) => refused(format!(
                "move `{id}` can't be cancelled any more: its buckets are in `{}`; move them back instead",
                self.target.binding
            )),
            (Goal::Cancelled, "cancelling" | "cancelled", _, "cancelling", Some(target)) => {
                self.empty(&self.target, target, "cancelling", "cancelled").await
            }
            (Goal::Cancelled, "cancelling", _, "cancelled", _) => self.release_source().await,
            (Goal::Cancelled, from, ..) => {
                if from == "none" && states.1 != "none" {
                    self.is_where_it_began().await?;
                }
                self.begin_cancelling(from, &states.1).await
            }
            _ if ended => refused(format!(
                "move `{id}` was cancelled: cancel it again until it is done, and begin another one"
            )),
            (Goal::Moved, "none", _, from, _) => {
                if from != "none" {
                    self.is_where_it_began().await?;
                }
                self.begin().await
            }
            (Goal::Moved, "paused", Some(source), "arriving", _) => self.walk(Task::Copy, source).await,
            (Goal::Moved, "copied", Some(source), "arriving", _) => self.walk(Task::Verify, source).await,
            (Goal::Moved, "verified", _, "arriving", _) => {
                self.source.run(&[store::turn_move(id, "verified", "moved", None, self.now)]).await?;
                Ok(Flow::GoesOn)
            }
            (Goal::Done, "moved", _, "arriving", _) => {
                self.target.run(&[store::turn_move(id, "arriving", "open", None, self.now)]).await?;
                Ok(Flow::GoesOn)
            }
            // It says no longer that it has them, so that what it has of theirs is a copy.
            (
                Goal::Done,
                "none" | "paused" | "copied" | "verified" | "cancelling" | "cancelled",
                _,
                "settled",
                _,
            ) => self.enter_again().await,
            // Neither knows of a move, and by both records the target has them all.
            (Goal::Done, "none", None, "none", None) if self.has_moved().await? => Ok(Flow::GoesOn),
            (Goal::Done, "moved", Some(source), "settled", _) => {
                self.target_has_them().await?;
                if !self.find_copies().await? {
                    return Ok(Flow::GoesOn);
                }
                self.empty(&self.source, source, "moved", "trimmed").await
            }
            (Goal::Done, "moved", Some(source), "open", _) => {
                self.empty(&self.source, source, "moved", "trimmed").await
            }
            (Goal::Done, "trimmed", _, "open", Some(target)) => self.settle(target).await,
            (Goal::Done, state @ ("none" | "paused" | "copied" | "verified"), ..) => refused(format!(
                "move `{id}` has not moved yet: it is `{state}`; expected `moved` before the target is opened"
            )),
            _ => refused(format!(
                "move `{id}` is `{}` in `{}` and `{}` in `{}`: expected the states of one move. One of the two may have been restored to an earlier time",
                states.0, self.source.binding, states.1, self.target.binding
            )),
        }
    }

    /// Enters the move, the target first: where only that has it, nothing is closed that was open.
    async fn begin(&self) -> Result<Flow, MoveError> {
        let Move { id, buckets, source, target } = self.planned;
        self.look_for_obstacles(&self.source).await?;
        self.look_for_obstacles(&self.target).await?;
        let begin = store::begin_move(id, "target", buckets, source, "arriving", self.now);
        let mut results = self.target.run(&[begin, store::move_by_id(id)]).await?;
        if self.target.read(&mut results, store::move_of)?.is_none() {
            // Another mover was faster: the next look at the obstacles says which.
            return Ok(Flow::GoesOn);
        }
        self.source.run(&[store::begin_move(id, "source", buckets, target, "paused", self.now)]).await?;
        Ok(Flow::GoesOn)
    }

    async fn look_for_obstacles<D: Database>(&self, side: &Side<'_, D>) -> Result<(), MoveError> {
        let Move { buckets, source, target, .. } = self.planned;
        let found = self.obstacles(side).await?;
        let binding = side.binding;
        if found.version != Some(SCHEMA_VERSION) {
            return refused(format!(
                "the schema of `{binding}` is version {:?}: expected {SCHEMA_VERSION}, apply the migrations",
                found.version.unwrap_or_default()
            ));
        }
        if let Some(other) = found.overlaps {
            let mut results = side.run(&[store::move_by_id(&other)]).await?;
            let row = side.read(&mut results, store::move_of)?;
            return match row {
                Some(row) => refused(other_move(&row, binding, buckets)),
                None => refused(format!(
                    "move `{other}` in `{binding}` has just been about some of the buckets: try again"
                )),
            };
        }
        if let Some(made) = found.attached {
            return refused(format!(
                "`{binding}` has an attached table, by `{made}`: its rows and their triggers can't move with the creations; detach it first"
            ));
        }
        if found.recorded == 0 {
            return refused(format!(
                "it is not on record yet which buckets `{binding}` has: the cron trigger writes it down once all databases answer, unless another one is bound in place of one that had users; `mark-stale-drafts doctor` says if something is in the way"
            ));
        }
        if let Some(bucket) = found.elsewhere.filter(|_| binding == source) {
            return refused(format!(
                "bucket {bucket} is not in `{source}`: expected one of those that it has, as `mark-stale-drafts shards` shows; move it from where it is to `{target}`"
            ));
        }
        if let Some(bucket) = found.here.filter(|_| binding == target) {
            return refused(format!(
                "bucket {bucket} is in `{target}` already: expected buckets that it does not have, as `mark-stale-drafts shards` shows"
            ));
        }
        Ok(())
    }

    /// Enters the move once more in a source that was restored to an earlier time, where it is to be removed from again.
    async fn enter_again(&self) -> Result<Flow, MoveError> {
        let Move { id, buckets, source, target } = self.planned;
        let found = self.obstacles(&self.source).await?;
        // One that was begun before, and has ended since: it was brought back as it was then.
        if let Some(before) = found.overlaps {
            let mut results = self.source.run(&[store::move_by_id(&before)]).await?;
            if let Some(row) = self.source.read(&mut results, store::move_of)? {
                return refused(other_move(&row, source, buckets));
            }
        }
        if found.recorded == 0 || found.here.is_some() {
            return refused(format!(
                "`{source}` does not know that it gave the buckets {}-{} away, and has some of them on record: docs/scale.md says how to correct that; then this command removes what it has of their users",
                buckets.first, buckets.last
            ));
        }
        self.source.run(&[store::removes_again(id, buckets, target, self.now)]).await?;
        Ok(Flow::GoesOn)
    }

    /// What stands in the way of the buckets on one side.
    async fn obstacles<D: Database>(&self, side: &Side<'_, D>) -> Result<store::Obstacles, MoveError> {
        let mut results = side.run(&[store::obstacles(self.planned.id, self.planned.buckets)]).await?;
        side.read(&mut results, store::obstacles_of)
    }

    /// Enters a move that neither side knows as one that is over, where by both records the target has all of its buckets and the source none:
    /// what the source has of their users was brought there past the questions, or by a restore.
    async fn has_moved(&self) -> Result<bool, MoveError> {
        let Move { id, buckets, source, .. } = self.planned;
        let (given, taken) = (self.obstacles(&self.source).await?, self.obstacles(&self.target).await?);
        let away = given.recorded > 0 && given.here.is_none() && given.overlaps.is_none();
        let here = taken.recorded > 0 && taken.elsewhere.is_none() && taken.overlaps.is_none();
        if away && here {
            self.target.run(&[store::has_moved(id, buckets, source, self.now)]).await?;
        }
        Ok(away && here)
    }

    /// Refuses to remove from the source what may be all that there is.
    async fn target_has_them(&self) -> Result<(), MoveError> {
        let Move { source, target, .. } = self.planned;
        let found = self.obstacles(&self.target).await?;
        let missing = if found.recorded == 0 { Some(self.planned.buckets.first) } else { found.elsewhere };
        missing.map_or(Ok(()), |bucket| {
            refused(format!(
                "bucket {bucket} is not in `{target}` by its record, so what `{source}` has of it may be all that there is: nothing is removed; `mark-stale-drafts shards` shows who has which"
            ))
        })
    }

    /// Refuses to go on where the target has the move, and what is bound as its source is not the database that it began in: what the target has of the
    /// users may be all that there is.
    async fn is_where_it_began(&self) -> Result<(), MoveError> {
        let Move { id, source, target, .. } = self.planned;
        let found = self.obstacles(&self.source).await?;
        let other = |why: String| {
            refused(format!(
                "{why}: `{source}` was restored to an earlier time, or another database is bound as `{source}`. Bind the one that move `{id}` began in; docs/scale.md says what to do where that is lost"
            ))
        };
        if found.recorded == 0 {
            return other(format!("`{target}` has move `{id}`, and `{source}` has nothing on record"));
        }
        if let Some(bucket) = found.elsewhere {
            return other(format!(
                "`{target}` has move `{id}`, and bucket {bucket} is not in `{source}` by its record"
            ));
        }
        // Nobody is entered before the source has the move.
        let mut results = self.target.run(&[store::user_of_move(id)]).await?;
        if let Some(row) = results.pop().unwrap_or_default().first() {
            return other(format!(
                "user {} has arrived in `{target}` by move `{id}`, and `{source}` knows of no such move",
                quoted(row)
            ));
        }
        Ok(())
    }

    /// Finds the users of whom the source has copies; whether it has come to the end.
    async fn find_copies(&self) -> Result<bool, MoveError> {
        for stage in [Stage::Users, Stage::Owners] {
            let mut after = Some(stage.beginning().to_owned());
            while let Some(place) = after.take() {
                if !self.may_go_on() {
                    return Ok(false);
                }
                let mut results =
                    self.source.run(&[store::next_users(stage, &place, self.bounds.users)]).await?;
                let page = self.source.read(&mut results, store::users_of)?;
                let mine = self.mine(&page.users);
                if !mine.is_empty() {
                    self.are_in_target(&mine).await?;
                    self.source.run(&[store::enter_users(self.planned.id, "moved", &mine)]).await?;
                }
                after = page.place;
            }
        }
        Ok(true)
    }

    /// Refuses to remove what a user has in the source and nowhere else.
    async fn are_in_target(&self, users: &[&str]) -> Result<(), MoveError> {
        let Move { source, target, .. } = self.planned;
        let without = self.target.run(&[store::without_rows(users)]).await?;
        match without.first().and_then(|rows| rows.first()) {
            None => Ok(()),
            Some(row) => refused(format!(
                "user {} has something in `{source}`, and nothing in `{target}`: look what that is, grant it there, and repeat this",
                quoted(row)
            )),
        }
    }

    /// The users of these that are in the move's buckets.
    fn mine<'u>(&self, users: &'u [String]) -> Vec<&'u str> {
        let Buckets { first, last } = self.planned.buckets;
        let in_buckets = |user: &&str| (first..=last).contains(&u32::from(Bucket::of_user(user).number()));
        users.iter().map(String::as_str).filter(in_buckets).collect()
    }

    /// Enters users on both sides, the target first. Whoever has rows there already would be emptied by a cancellation.
    async fn enter(&self, users: &[&str]) -> Result<(), MoveError> {
        let Move { id, source, target, .. } = self.planned;
        let batch = |state| [store::enter_users(id, state, users), store::not_entered(id, users)];
        let first =
            |results: Vec<Vec<Row>>| results.into_iter().nth(1).and_then(|rows| rows.into_iter().next());
        if let Some(row) = first(self.target.run(&batch("arriving")).await?) {
            return refused(format!(
                "user {} of `{source}` has rows in `{target}` already, or is of another move: expected none; remove them or move them back first",
                quoted(&row)
            ));
        }
        // Another mover may be further: then the next look at the state says so.
        self.source.run(&batch("paused")).await?;
        Ok(())
    }

    /// Removes all that the move's users have in one of the databases.
    async fn empty<D: Database>(
        &self,
        side: &Side<'_, D>,
        row: &MoveRow,
        state: &str,
        then: &str,
    ) -> Result<Flow, MoveError> {
        let id = self.planned.id;
        let PageSize { rows, slice, .. } = self.bounds.page;
        let mut place = side.place(row, Stage::Ledger)?;
        let mut stored = row.place.clone();
        while self.may_go_on() {
            let after = match place.stage {
                stage @ (Stage::Ledger | Stage::Compacted) => {
                    let mut results = side.run(&[store::next_entries(stage, &place.after, slice)]).await?;
                    let end = side
                        .read(&mut results, Ok)?
                        .first()
                        .and_then(|row| row.get("place")?.as_str().map(str::to_owned));
                    if let Some(end) = &end {
                        side.run(&store::remove_entries(id, state, stage, &place.after, end)).await?;
                    }
                    end
                }
                Stage::Creations => {
                    let results = side.run(&store::remove_creations(id, state, rows)).await?;
                    let removed = results.get(REMOVED_IN).is_some_and(|rows| !rows.is_empty());
                    removed.then(|| place.after.clone())
                }
                _ => {
                    if !self.release(side, state, true).await? {
                        let turn = store::turn_move(id, state, then, Some(&stored), self.now);
                        side.run(&[turn]).await?;
                        return Ok(Flow::GoesOn);
                    }
                    Some(place.after.clone())
                }
            };
            let next = match (after, place.stage) {
                (Some(after), _) => Place { after, ..place.clone() },
                (None, Stage::Ledger) => Place::beginning(Stage::Compacted),
                (None, Stage::Compacted) => Place::beginning(Stage::Creations),
                (None, _) => Place::beginning(Stage::Balances),
            };
            if next != place {
                let text = next.text();
                let advanced = side.run(&[store::advance(id, state, &stored, &text, self.now)]).await?;
                if advanced.first().is_none_or(Vec::is_empty) {
                    return Ok(Flow::GoesOn);
                }
                (place, stored) = (next, text);
            }
        }
        Ok(Flow::GoesOn)
    }

    /// Lets some of the move's users go; whether there were any.
    async fn release<D: Database>(
        &self,
        side: &Side<'_, D>,
        state: &str,
        removed: bool,
    ) -> Result<bool, MoveError> {
        let batch = store::release_users(self.planned.id, state, self.bounds.page.rows, removed);
        let mut results = side.run(&batch).await?;
        results.pop();
        Ok(results.pop().is_some_and(|rows| !rows.is_empty()))
    }

    /// Users who have arrived are like any other, once their workers have had time to report again.
    async fn settle(&self, target: &MoveRow) -> Result<Flow, MoveError> {
        let until = target.changed_at.saturating_add(self.bounds.grace_ms);
        if self.now.as_millis() < until {
            return Ok(Flow::Waits(until));
        }
        while self.may_go_on() {
            if !self.release(&self.target, "open", false).await? {
                let settled = store::turn_move(self.planned.id, "open", "settled", None, self.now);
                self.target.run(&[settled]).await?;
                break;
            }
        }
        Ok(Flow::GoesOn)
    }

    /// The source decides: it can't move any more. Where a side does not know of the move, it is told, so that a mover that is behind
    /// can't begin it.
    async fn begin_cancelling(&self, source_state: &str, target_state: &str) -> Result<Flow, MoveError> {
        let Move { id, buckets, source, target } = self.planned;
        match (source_state, target_state) {
            ("none", _) => {
                let never = store::begin_move(id, "source", buckets, target, "cancelled", self.now);
                self.source.run(&[never]).await?;
            }
            ("cancelling" | "cancelled", "none") => {
                let never = store::begin_move(id, "target", buckets, source, "cancelled", self.now);
                self.target.run(&[never]).await?;
            }
            ("cancelling" | "cancelled", from) => {
                self.target.run(&[store::turn_move(id, from, "cancelling", None, self.now)]).await?;
            }
            // It may have moved meanwhile: the next look says so, before the target is touched.
            (from, _) => {
                self.source.run(&[store::turn_move(id, from, "cancelling", None, self.now)]).await?;
            }
        }
        Ok(Flow::GoesOn)
    }

    /// It takes writes again. Its users are still of the move: cron lets them go once their workers have had time to report again.
    async fn release_source(&self) -> Result<Flow, MoveError> {
        let cancelled = store::turn_move(self.planned.id, "cancelling", "cancelled", None, self.now);
        self.source.run(&[cancelled]).await?;
        Ok(Flow::GoesOn)
    }
}

fn quoted(row: &Row) -> String {
    format!("`{}`", row.get("user_id").and_then(serde_json::Value::as_str).unwrap_or_default())
}

fn refused<T>(why: String) -> Result<T, MoveError> {
    Err(MoveError::Refused(why))
}
