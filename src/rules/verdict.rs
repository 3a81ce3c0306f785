use std::fmt;

use super::limit::Limit;
use super::policy::{Attempts, Policy, Rule};
use super::status::{Active, Status};
use super::time::{Time, Timestamp};

/// What the rules need to know of one creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Its status; `None` if what stands there is no status.
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
    /// [`Unreadable`] if one of those times is malformed, or all are missing.
    pub fn signs_of_life(&self, status: Active) -> Result<Signs, Unreadable> {
        let (field, entered_at) = match status {
            Active::Pending => (Field::QueuedAt, self.queued_at),
            Active::Processing => (Field::StartedAt, self.started_at),
        };
        let entered = later(later(None, Field::CreatedAt, self.created_at)?, field, entered_at)?;
        let last = later(entered, Field::HeartbeatAt, self.heartbeat_at)?.ok_or(Unreadable::Missing)?;
        Ok(Signs { entered, last })
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
        Time::At(timestamp) => Ok(latest.max(Some(timestamp))),
    }
}

/// What the rules say of a creation. Every creation has exactly one verdict.
///
/// ```
/// use stale_drafts::rules::{Draft, Policy, Status, Time, Timestamp, Verdict, classify};
///
/// let hour = 3_600_000;
/// let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
/// let draft = Draft {
///     status: Some(Status::Pending),
///     kind: "image",
///     created_at: Time::from_millis(1_700_000_000_000 - hour),
///     ..Draft::default()
/// };
///
/// // Exactly at the limit of one hour it is not stale yet; one millisecond later it is.
/// assert!(matches!(classify(&draft, now, &Policy::default()), Verdict::Fresh { .. }));
/// assert!(matches!(classify(&draft, now.saturating_add(1), &Policy::default()), Verdict::Stale(_)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not active: nothing is being waited for.
    Settled(Status),
    /// Active, and within its limit.
    Fresh {
        /// The status that it is in.
        status: Active,
        /// The last instant at which it is not stale; `None` where the policy says `never`.
        deadline: Option<Timestamp>,
    },
    /// Active, and beyond its limit: to be given another attempt if one is left, or failed and refunded.
    Stale(Staleness),
    /// Its age can't be known. It is never failed by guesswork and never hidden.
    Unreadable(Unreadable),
}

/// How a creation is stale, and by which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staleness {
    /// The status that it is stuck in.
    pub stuck_status: Active,
    /// Its last sign of life.
    pub last_sign_of_life: Timestamp,
    /// What the limit is measured from: its last sign of life, or for the limit on the total time [`Signs::entered`].
    pub since: Timestamp,
    /// Milliseconds from `since` to now.
    pub age_ms: u64,
    /// The limit that applied, in milliseconds; `age_ms` is greater.
    pub max_age_ms: u64,
    /// The entry of the policy that the limit comes from.
    pub rule: Rule,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many attempts the policy gives.
    pub attempts: Attempts,
}

impl Staleness {
    /// The last instant at which it was not stale.
    pub const fn deadline(&self) -> Timestamp {
        self.since.saturating_add(self.max_age_ms)
    }

    /// Whether it is given another attempt instead of being failed.
    pub const fn retries(&self) -> bool {
        self.attempts.left(self.attempt)
    }
}

/// Why a creation's age can't be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its status is none of the five.
    UnknownStatus,
    /// It is active, and none of the times that count is set.
    Missing,
    /// This time is set to something that is no instant: text, a fraction, a negative number.
    Malformed(Field),
    /// Its last sign of life is later than now.
    Future,
}

impl Unreadable {
    /// A stable code for JSON and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Unreadable::UnknownStatus => "unknown_status",
            Unreadable::Missing => "time_missing",
            Unreadable::Malformed(_) => "time_malformed",
            Unreadable::Future => "time_in_future",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::UnknownStatus => f.write_str("its status is unknown"),
            Unreadable::Missing => f.write_str("it has no time"),
            Unreadable::Malformed(field) => {
                write!(f, "its `{field}` is no time: expected whole epoch milliseconds")
            }
            Unreadable::Future => f.write_str("its last sign of life is in the future"),
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
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::CreatedAt => "created_at",
            Field::QueuedAt => "queued_at",
            Field::StartedAt => "started_at",
            Field::HeartbeatAt => "heartbeat_at",
        })
    }
}

/// The limit that applies to a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The limit.
    pub limit: Limit,
    /// The entry of the policy that it comes from.
    pub rule: Rule,
    /// What it is measured from.
    pub since: Timestamp,
}

/// Which of two limits applies: that on silence, measured from the last sign of life, or that on the total time in
/// `processing`. It is the one whose deadline is earlier, and the one on silence if they are the same, or if it is not known
/// when the total time began.
pub fn applied(status: Active, signs: Signs, silence: (Limit, Rule), total: (Limit, Rule)) -> Applied {
    let by_silence = Applied { limit: silence.0, rule: silence.1, since: signs.last };
    let Some(since) = signs.entered else { return by_silence };
    let by_total = Applied { limit: total.0, rule: total.1, since };
    match (status, by_silence.deadline(), by_total.deadline()) {
        (Active::Processing, Some(by_silence), Some(total)) if total < by_silence => by_total,
        (Active::Processing, None, Some(_)) => by_total,
        _ => by_silence,
    }
}

impl Applied {
    /// The last instant within the limit; `None` for `never`.
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self.limit {
            Limit::After(max_age) => Some(self.since.saturating_add(max_age.as_millis())),
            Limit::Never => None,
        }
    }
}

/// Decides what a creation is at the instant `now`, under `policy`.
///
/// 1. A status that is no status is [`Unreadable`]; one that is not active is [`Verdict::Settled`].
/// 2. A last sign of life that can't be read, or is later than `now`, is [`Unreadable`]. That holds under
///    `never` too: a row that nobody can read is shown, whatever its limit.
/// 3. It is [`Verdict::Stale`] if `now − last sign of life > limit`, in whole milliseconds. Exactly at the
///    limit it is [`Verdict::Fresh`]. Which limit that is depends on what the creation is at: see [`Policy`].
/// 4. Where the policy limits the total time, `processing` is stale too if `now − entered > limit`; the
///    earlier of the two deadlines counts. Where nothing but a heartbeat is known, there is no such limit.
///
/// It is total: every input has a verdict, and nothing overflows or panics.
pub fn classify(draft: &Draft<'_>, now: Timestamp, policy: &Policy) -> Verdict {
    classify_by(draft, now, policy.attempts(draft.kind), |status, signs| {
        let silence = policy.limit_in(draft.phase(status), draft.kind);
        applied(status, signs, silence, policy.total(draft.kind))
    })
}

/// [`classify`] for a caller that keeps its limits in another form than a [`Policy`].
pub fn classify_by(
    draft: &Draft<'_>,
    now: Timestamp,
    attempts: Attempts,
    applied: impl FnOnce(Active, Signs) -> Applied,
) -> Verdict {
    let Some(status) = draft.status else {
        return Verdict::Unreadable(Unreadable::UnknownStatus);
    };
    let Some(active) = status.active() else {
        return Verdict::Settled(status);
    };
    let signs = match draft.signs_of_life(active) {
        Ok(signs) if signs.last > now => return Verdict::Unreadable(Unreadable::Future),
        Ok(signs) => signs,
        Err(reason) => return Verdict::Unreadable(reason),
    };
    let Applied { limit, rule, since } = applied(active, signs);
    let max_age_ms = match limit {
        Limit::Never => return Verdict::Fresh { status: active, deadline: None },
        Limit::After(max_age) => max_age.as_millis(),
    };
    let age_ms = now.millis_since(since);
    if age_ms > max_age_ms {
        Verdict::Stale(Staleness {
            stuck_status: active,
            last_sign_of_life: signs.last,
            since,
            age_ms,
            max_age_ms,
            rule,
            attempt: draft.attempt,
            attempts,
        })
    } else {
        Verdict::Fresh { status: active, deadline: Some(since.saturating_add(max_age_ms)) }
    }
}
