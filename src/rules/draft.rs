use super::status::{Active, Status};
use super::time::{Time, Timestamp};

/// A worker that lives sends heartbeats, and repeats a start whose answer was lost, within this time.
pub const REDELIVERED_AFTER_MS: u64 = 60_000;

/// What the rules need to know of one creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Its status; `None` if the text is not a status.
    pub status: Option<Status>,
    /// Its kind, such as `image` or `video`: the key of the policy's per-kind limits.
    pub kind: &'a str,
    /// Which attempt at generating it this is, from 1.
    pub attempt: u32,
    /// When it was asked for: when it first entered `pending`.
    pub created_at: Time,
    /// When it was put back for another attempt: when it last entered `pending`.
    pub queued_at: Time,
    /// When a worker began: when it entered `processing`.
    pub started_at: Time,
    /// When a worker last said that it is alive.
    pub heartbeat_at: Time,
    /// Until when an operator has given it more time: it is not stale before that, whatever its limit.
    pub extended_until: Time,
}

impl Default for Draft<'_> {
    /// A first attempt of which nothing else is known.
    fn default() -> Self {
        Draft {
            status: None,
            kind: "",
            attempt: 1,
            created_at: Time::Missing,
            queued_at: Time::Missing,
            started_at: Time::Missing,
            heartbeat_at: Time::Missing,
            extended_until: Time::Missing,
        }
    }
}

/// What an active creation is at, as far as limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for a worker.
    Pending,
    /// A worker has begun, and has not sent a heartbeat.
    Processing,
    /// A worker has begun, and has sent heartbeats since.
    Heartbeating,
}

impl Phase {
    /// All of them, in the order of a creation's life.
    pub const ALL: [Phase; 3] = [Phase::Pending, Phase::Processing, Phase::Heartbeating];

    /// See [`Draft::phase`].
    pub fn of(status: Active, started_at: Option<Timestamp>, heartbeat_at: Option<Timestamp>) -> Self {
        match status {
            Active::Pending => Phase::Pending,
            // No start is before every heartbeat.
            Active::Processing if heartbeat_at.is_some() && heartbeat_at >= started_at => Phase::Heartbeating,
            Active::Processing => Phase::Processing,
        }
    }

    /// The word that the database uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Processing => "processing",
            Phase::Heartbeating => "heartbeating",
        }
    }

    /// The status that it belongs to.
    pub const fn status(self) -> Active {
        match self {
            Phase::Pending => Active::Pending,
            Phase::Processing | Phase::Heartbeating => Active::Processing,
        }
    }
}

impl Draft<'_> {
    /// The signs of life of an active creation. The last one is the latest of when it entered its status and its last
    /// heartbeat.
    ///
    /// | status | the latest of |
    /// |---|---|
    /// | `pending` | `created_at`, `queued_at`, `heartbeat_at` |
    /// | `processing` | `created_at`, `started_at`, `heartbeat_at` |
    ///
    /// Times that are missing are passed over, so a `NULL` heartbeat never lets a creation escape, and
    /// `processing` without `started_at` falls back to `created_at`. `created_at` counts for `processing`
    /// too, so that a worker whose clock runs behind can't make its creation look older than it is.
    ///
    /// The database computes the same in the generated columns `creations.last_sign_of_life`, which is `NULL`
    /// where this is an error, and `creations.processing_since`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if one of those times or `extended_until` is malformed or implausible, or all of those are missing.
    pub fn signs_of_life(&self, status: Active) -> Result<Signs, Unreadable> {
        let (field, entered_at) = match status {
            Active::Pending => (Field::QueuedAt, self.queued_at),
            Active::Processing => (Field::StartedAt, self.started_at),
        };
        let entered = later(later(None, Field::CreatedAt, self.created_at)?, field, entered_at)?;
        let last = later(entered, Field::HeartbeatAt, self.heartbeat_at)?.ok_or(Unreadable::Missing)?;
        // It is no sign of life, but without it nobody knows whether this is stale.
        later(None, Field::ExtendedUntil, self.extended_until)?;
        Ok(Signs { entered, last })
    }

    /// How long after its start, in ms, this attempt is started at `now` once more by the same worker, where that is the trace of a
    /// broker that delivers a task again which is still in progress.
    ///
    /// It is none within [`REDELIVERED_AFTER_MS`]: there the answer was lost, and is asked for again. And it is none if the last
    /// heartbeat is older than that: there the first run died, and its task comes back, as it should. A first run that sends no
    /// heartbeats may be at it still.
    ///
    /// ```
    /// use stale_drafts::rules::{Draft, Status, Time, Timestamp};
    ///
    /// let now = Timestamp::from_millis(1_700_003_600_000).unwrap();
    /// let started_at = Time::from_millis(1_700_000_000_000);
    /// let heartbeat_at = Time::from_millis(1_700_003_590_000);
    /// let draft = Draft { status: Some(Status::Processing), started_at, heartbeat_at, ..Draft::default() };
    /// assert_eq!(draft.started_again(now), Some(3_600_000));
    /// ```
    pub fn started_again(&self, now: Timestamp) -> Option<u64> {
        let after = now.millis_since(self.started_at.instant()?);
        let alive = match self.heartbeat_at {
            Time::Missing => true,
            time => time.instant().is_some_and(|last| now.millis_since(last) <= REDELIVERED_AFTER_MS),
        };
        (self.status == Some(Status::Processing) && alive && after > REDELIVERED_AFTER_MS).then_some(after)
    }

    /// What it is at. A heartbeat from before the worker began says nothing of this worker.
    pub fn phase(&self, status: Active) -> Phase {
        Phase::of(status, self.started_at.instant(), self.heartbeat_at.instant())
    }
}

/// When an active creation showed that it is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// When it entered its status, which no heartbeat moves; `None` if nothing but a heartbeat is known.
    pub entered: Option<Timestamp>,
    /// The latest.
    pub last: Timestamp,
}

fn later(latest: Option<Timestamp>, field: Field, time: Time) -> Result<Option<Timestamp>, Unreadable> {
    match time {
        Time::Missing => Ok(latest),
        Time::Malformed => Err(Unreadable::Malformed(field)),
        Time::Implausible => Err(Unreadable::Implausible(field)),
        Time::At(timestamp) => Ok(latest.max(Some(timestamp))),
    }
}

/// Why a creation's age can't be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its status is none of the five.
    UnknownStatus,
    /// It is active, and none of the times that count is set.
    Missing,
    /// This time is set to something that is not an instant: text, a fraction, a negative number.
    Malformed(Field),
    /// This time is before [`Timestamp::EARLIEST_OF_CREATION`]: it looks like seconds.
    Implausible(Field),
    /// Its last sign of life, at this instant, is more than a minute ahead of now.
    Future(Timestamp),
}

impl Unreadable {
    /// The code of the only reason that goes by itself: [`Unreadable::Future`].
    pub const IN_FUTURE: &str = "time_in_future";

    /// A stable code for JSON and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Unreadable::UnknownStatus => "unknown_status",
            Unreadable::Missing => "time_missing",
            Unreadable::Malformed(_) => "time_malformed",
            Unreadable::Implausible(_) => "time_implausible",
            Unreadable::Future(_) => Self::IN_FUTURE,
        }
    }

    /// The time that can't be read, where it is one.
    pub const fn field(self) -> Option<Field> {
        match self {
            Unreadable::Malformed(field) | Unreadable::Implausible(field) => Some(field),
            _ => None,
        }
    }
}

/// A time of a creation, by the name of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `created_at`
    CreatedAt,
    /// `queued_at`
    QueuedAt,
    /// `started_at`
    StartedAt,
    /// `heartbeat_at`
    HeartbeatAt,
    /// `extended_until`
    ExtendedUntil,
}

impl Field {
    /// The column's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Field::CreatedAt => "created_at",
            Field::QueuedAt => "queued_at",
            Field::StartedAt => "started_at",
            Field::HeartbeatAt => "heartbeat_at",
            Field::ExtendedUntil => "extended_until",
        }
    }
}
