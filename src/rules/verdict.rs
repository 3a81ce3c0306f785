use std::fmt;

use super::limit::Limit;
use super::policy::{Policy, Rule};
use super::status::{Active, Status};
use super::time::{Time, Timestamp};

/// What the rules need to know of one creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// Its status; `None` if what stands there is no status.
    pub status: Option<Status>,
    /// Its kind, such as `image` or `video`: the key of the policy's per-kind limits.
    pub kind: &'a str,
    /// When it was asked for: when it entered `pending`.
    pub created_at: Time,
    /// When a worker began: when it entered `processing`.
    pub started_at: Time,
    /// When a worker last said that it is alive.
    pub heartbeat_at: Time,
}

impl Draft<'_> {
    /// The last sign of life of an active creation: the latest of when it entered its status and its last
    /// heartbeat.
    ///
    /// | status | the latest of |
    /// |---|---|
    /// | `pending` | `created_at`, `heartbeat_at` |
    /// | `processing` | `created_at`, `started_at`, `heartbeat_at` |
    ///
    /// Times that are missing are passed over, so a `NULL` heartbeat never lets a creation escape, and
    /// `processing` without `started_at` falls back to `created_at`. `created_at` counts for `processing`
    /// too, so that a worker whose clock runs behind can't make its creation look older than it is.
    ///
    /// The database computes the same in the generated column `creations.last_sign_of_life`, which is `NULL`
    /// where this is an error.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if one of those times is malformed, or all are missing.
    pub fn last_sign_of_life(&self, status: Active) -> Result<Timestamp, Unreadable> {
        let started_at = match status {
            Active::Pending => Time::Missing,
            Active::Processing => self.started_at,
        };
        let times = [
            (Field::CreatedAt, self.created_at),
            (Field::StartedAt, started_at),
            (Field::HeartbeatAt, self.heartbeat_at),
        ];
        let mut latest = None;
        for (field, time) in times {
            match time {
                Time::Missing => {}
                Time::Malformed => return Err(Unreadable::Malformed(field)),
                Time::At(timestamp) => latest = latest.max(Some(timestamp)),
            }
        }
        latest.ok_or(Unreadable::Missing)
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
///     started_at: Time::Missing,
///     heartbeat_at: Time::Missing,
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
    /// Active, and beyond its limit: to be failed and refunded.
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
    /// Milliseconds from its last sign of life to now.
    pub age_ms: u64,
    /// The limit that applied, in milliseconds; `age_ms` is greater.
    pub max_age_ms: u64,
    /// The entry of the policy that the limit comes from.
    pub rule: Rule,
}

impl Staleness {
    /// The last instant at which it was not stale.
    pub const fn deadline(&self) -> Timestamp {
        self.last_sign_of_life.saturating_add(self.max_age_ms)
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
    /// `started_at`
    StartedAt,
    /// `heartbeat_at`
    HeartbeatAt,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::CreatedAt => "created_at",
            Field::StartedAt => "started_at",
            Field::HeartbeatAt => "heartbeat_at",
        })
    }
}

/// Decides what a creation is at the instant `now`, under `policy`.
///
/// 1. A status that is no status is [`Unreadable`]; one that is not active is [`Verdict::Settled`].
/// 2. A last sign of life that can't be read, or is later than `now`, is [`Unreadable`]. That holds under
///    `never` too: a row that nobody can read is shown, whatever its limit.
/// 3. It is [`Verdict::Stale`] if `now − last sign of life > limit`, in whole milliseconds. Exactly at the
///    limit it is [`Verdict::Fresh`].
///
/// It is total: every input has a verdict, and nothing overflows or panics.
pub fn classify(draft: &Draft<'_>, now: Timestamp, policy: &Policy) -> Verdict {
    classify_by(draft, now, |status| policy.limit(status, draft.kind))
}

/// [`classify`] for a caller that keeps its limits in another form than a [`Policy`].
pub fn classify_by(
    draft: &Draft<'_>,
    now: Timestamp,
    limit: impl FnOnce(Active) -> (Limit, Rule),
) -> Verdict {
    let Some(status) = draft.status else {
        return Verdict::Unreadable(Unreadable::UnknownStatus);
    };
    let Some(active) = status.active() else {
        return Verdict::Settled(status);
    };
    let last_sign_of_life = match draft.last_sign_of_life(active) {
        Ok(timestamp) if timestamp > now => return Verdict::Unreadable(Unreadable::Future),
        Ok(timestamp) => timestamp,
        Err(reason) => return Verdict::Unreadable(reason),
    };
    let (limit, rule) = limit(active);
    let max_age_ms = match limit {
        Limit::Never => return Verdict::Fresh { status: active, deadline: None },
        Limit::After(max_age) => max_age.as_millis(),
    };
    let age_ms = now.millis_since(last_sign_of_life);
    if age_ms > max_age_ms {
        Verdict::Stale(Staleness { stuck_status: active, last_sign_of_life, age_ms, max_age_ms, rule })
    } else {
        Verdict::Fresh { status: active, deadline: Some(last_sign_of_life.saturating_add(max_age_ms)) }
    }
}
