use super::breaker::Suspension;
#[cfg(doc)]
use super::diagnosis::SILENT_AFTER_MS;
use super::open_move::OpenMove;
use super::placement::Placed;
use super::time::Timestamp;

/// What the database says about generation. The monitor reads the first part, which takes a few rows whatever the table's size; a
/// diagnosis reads all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// When the last good sweep of the cron trigger began.
    pub last_good_sweep: Option<Timestamp>,
    /// When the cron trigger last ran as it should: its sweep was good, or it was held.
    pub last_run: Option<Timestamp>,
    /// How old that may be; `u64::MAX` where no cron trigger is expected.
    pub max_ms_since_sweep: u64,
    /// Of several databases, the one that those two are of: where cron has not swept for longest.
    pub behind: Option<String>,
    /// Of several databases, those that do not answer, each with the error.
    pub unreachable: Vec<(String, String)>,
    /// When the newest sweep began, by whatever started it,
    pub newest_sweep: Option<Timestamp>,
    /// and its error, if it stopped early. That it was held is none.
    pub newest_sweep_error: Option<String>,
    /// What suspends sweeping.
    pub suspended: Option<Suspension>,
    /// An active creation that is stale for longer than [`Thresholds::overdue_ms`] and not set aside: its id, and for how long it has
    /// been stale.
    pub overdue: Option<(String, u64)>,
    /// What sweeps have set aside, since the database rejected what they wrote.
    pub set_aside: Option<SetAside>,
    /// Those of the newest creations that ended within the last hour.
    pub finished: u64,
    /// Of these, the failed ones,
    pub failed: u64,
    /// and those that timed out.
    pub timed_out: u64,
    /// The most frequent error code among the failed ones.
    pub top_error: Option<(String, u64)>,
    /// The same of more of the newest creations, where likely root causes are looked for.
    pub more: Ended,
    /// Users whose balance is not the sum of their ledger.
    pub differs: Vec<String>,
    /// Since when the event that has failed for longest fails.
    pub events_failing_since: Option<Timestamp>,
    /// Events that could not be delivered.
    pub dead_letters: u64,
    /// The databases that answer, each with what tells it from all others.
    pub databases: Vec<(String, String)>,
    /// Moves of buckets between databases that are not over, as each of the two has them.
    pub moves: Vec<OpenMove>,
    /// The databases that answer, each with the buckets that it is to have and those that it has.
    pub placed: Vec<Placed>,

    /// Creations that wait for a worker.
    pub waiting: u64,
    /// The longest-waiting one's last sign of life.
    pub waiting_since: Option<Timestamp>,
    /// When a worker last began a creation that is in progress, or one of the newest 1,000.
    pub last_start: Option<Timestamp>,
    /// Creations in progress whose workers have sent no heartbeat: they may well be busy.
    pub busy: u64,
    /// Creations in progress whose worker sent a heartbeat within [`SILENT_AFTER_MS`].
    pub alive: u64,
    /// Creations in progress whose worker has sent heartbeats before, and none since. One without any heartbeat proves nothing.
    pub silent: u64,
    /// The earliest and the latest of the last heartbeats.
    pub silent_between: Option<(Timestamp, Timestamp)>,
    /// Active creations beyond their limit that no sweep has failed yet; `None` if nobody has counted them.
    pub stale: Option<u64>,
    /// Active creations whose age can't be known. The newest sweep by cron has counted them; a diagnosis counts them anew.
    pub unreadable: u64,
    /// The most frequent kind among the failed ones, how many failed, and how many of that kind ended.
    pub top_kind: Option<(String, u64, u64)>,
    /// Attempts that their worker started once more within the last day, while it was at it: the creation's id, and how long after
    /// the first start, in ms, as [`Draft::started_again`](super::Draft::started_again) says. The newest first, without those that
    /// failed at once.
    pub started_again: Vec<(String, u64)>,
    /// Whether creations that ended long ago are to be archived.
    pub archives: bool,
    /// Whether they have nowhere to go, since no bucket is bound.
    pub archive_not_bound: bool,
    /// When that was switched on; `None` until the cron trigger has first seen it.
    pub archive_since: Option<Timestamp>,
    /// When a run of that last ended well.
    pub archive_ended_at: Option<Timestamp>,
    /// Of several databases, the one that those two are of: which has waited for longest.
    pub archive_of: Option<String>,
    /// Of several databases, those whose schema is another one, with its version; `None` where so much is missing that it does not say.
    pub other_schemas: Vec<(String, Option<i64>)>,
    /// The schema that the database has.
    pub schema_version: i64,
    /// The schema that is expected.
    pub expected_schema_version: i64,
}

impl Evidence {
    /// What two databases say together. A code or a kind that is most frequent on neither is not looked for.
    #[must_use]
    pub fn and(self, other: Evidence) -> Evidence {
        let behind = other.last_run < self.last_run;
        let (late, early) = if behind { (&other, &self) } else { (&self, &other) };
        // Of the one that waits for longest. One that was never asked does not wait.
        let archived_until =
            |one: &Evidence| one.archive_since.max(one.archive_ended_at).unwrap_or(Timestamp::MAX);
        let waits = if archived_until(&other) < archived_until(&self) { &other } else { &self };
        let (archive_since, archive_ended_at) = (waits.archive_since, waits.archive_ended_at);
        let archive_of = waits.archive_of.clone();
        let sum = |one: u64, other: u64| one.saturating_add(other);
        let earliest = |one: Option<Timestamp>, other: Option<Timestamp>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let newest_failed = self.newest_sweep_error.is_some() >= other.newest_sweep_error.is_some();
        let (newest, _) = if newest_failed { (&self, &other) } else { (&other, &self) };
        Evidence {
            last_good_sweep: late.last_good_sweep.min(early.last_good_sweep),
            last_run: late.last_run,
            behind: late.behind.clone(),
            max_ms_since_sweep: self.max_ms_since_sweep,
            newest_sweep: newest.newest_sweep,
            newest_sweep_error: newest.newest_sweep_error.clone(),
            suspended: match (&self.suspended, &other.suspended) {
                (Some(Suspension::BreakerOpen { .. }) | None, Some(paused @ Suspension::Paused { .. })) => {
                    Some(paused.clone())
                }
                (one, other) => one.clone().or_else(|| other.clone()),
            },
            set_aside: match (self.set_aside, other.set_aside) {
                (Some(one), Some(other)) => {
                    let count = sum(one.count, other.count);
                    Some(SetAside { count, ..if other.until < one.until { other } else { one } })
                }
                (one, other) => one.or(other),
            },
            overdue: [self.overdue, other.overdue].into_iter().flatten().max_by_key(|(_, age_ms)| *age_ms),
            finished: sum(self.finished, other.finished),
            failed: sum(self.failed, other.failed),
            timed_out: sum(self.timed_out, other.timed_out),
            top_error: top(self.top_error, other.top_error),
            more: self.more.and(other.more),
            top_kind: match (self.top_kind, other.top_kind) {
                (Some((one, failed, ended)), Some((same, more_failed, more_ended))) if one == same => {
                    Some((one, sum(failed, more_failed), sum(ended, more_ended)))
                }
                (one, other) => [one, other].into_iter().flatten().max_by_key(|(_, failed, _)| *failed),
            },
            unreachable: [self.unreachable, other.unreachable].concat(),
            differs: [self.differs, other.differs].concat(),
            events_failing_since: earliest(self.events_failing_since, other.events_failing_since),
            dead_letters: sum(self.dead_letters, other.dead_letters),
            databases: [self.databases, other.databases].concat(),
            moves: [self.moves, other.moves].concat(),
            placed: [self.placed, other.placed].concat(),
            waiting: sum(self.waiting, other.waiting),
            waiting_since: earliest(self.waiting_since, other.waiting_since),
            last_start: self.last_start.max(other.last_start),
            busy: sum(self.busy, other.busy),
            alive: sum(self.alive, other.alive),
            silent: sum(self.silent, other.silent),
            silent_between: match (self.silent_between, other.silent_between) {
                (Some((first, last)), Some((earlier, later))) => Some((first.min(earlier), last.max(later))),
                (one, other) => one.or(other),
            },
            stale: match (self.stale, other.stale) {
                (Some(one), Some(other)) => Some(sum(one, other)),
                (one, other) => one.or(other),
            },
            unreadable: sum(self.unreadable, other.unreadable),
            started_again: [self.started_again, other.started_again].concat(),
            archives: self.archives || other.archives,
            archive_not_bound: self.archive_not_bound || other.archive_not_bound,
            archive_since,
            archive_ended_at,
            archive_of,
            other_schemas: [self.other_schemas, other.other_schemas].concat(),
            schema_version: self.schema_version.min(other.schema_version),
            expected_schema_version: self.expected_schema_version,
        }
    }
}

/// How creations ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// How many.
    pub finished: u64,
    /// Of these, the failed ones,
    pub failed: u64,
    /// and those that timed out.
    pub timed_out: u64,
    /// The most frequent error code among the failed ones.
    pub top_error: Option<(String, u64)>,
}

impl Ended {
    fn and(self, other: Self) -> Self {
        Ended {
            finished: self.finished.saturating_add(other.finished),
            failed: self.failed.saturating_add(other.failed),
            timed_out: self.timed_out.saturating_add(other.timed_out),
            top_error: top(self.top_error, other.top_error),
        }
    }
}

/// The most frequent error code of both.
fn top(one: Option<(String, u64)>, other: Option<(String, u64)>) -> Option<(String, u64)> {
    match (one, other) {
        (Some((one, count)), Some((same, more))) if one == same => Some((one, count.saturating_add(more))),
        (one, other) => [one, other].into_iter().flatten().max_by_key(|(_, count)| *count),
    }
}

/// Creations that sweeps have set aside: how many, and one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// How many there are.
    pub count: u64,
    /// The id of the one that is tried again first.
    pub id: String,
    /// Why the database rejected it.
    pub reason: String,
    /// When a sweep tries it again.
    pub until: Timestamp,
}

/// From which values on something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// How long a creation may be stale before a sweep fails it, in ms; three minutes by default: more than the time between two sweeps
    /// of a cron trigger that runs each minute.
    pub overdue_ms: u64,
    /// The share of time-outs among the newest finished creations, in percent; 20 by default.
    pub stale_percent: u64,
    /// The share of failures among the newest finished creations, time-outs aside, in percent; 50 by default.
    pub failed_percent: u64,
    /// The share of one error among the failures, in percent; 80 by default.
    pub error_percent: u64,
    /// How long the deliveries of an event may fail, in ms; 15 minutes by default.
    pub outbox_ms: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            overdue_ms: 180_000,
            stale_percent: 20,
            failed_percent: 50,
            error_percent: 80,
            outbox_ms: 900_000,
        }
    }
}
