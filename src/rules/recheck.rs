use std::fmt;

use super::plan::{Candidate, Failure};
use super::policy::Policy;
use super::status::Status;
use super::time::Timestamp;
use super::verdict::{Unreadable, Verdict, classify};

/// A creation as a plan was made for it: what was previewed, and what it was decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// The status that it was in; `None` if the plan names no status that there is.
    pub stuck_status: Option<Status>,
    /// The attempt that was stale.
    pub attempt: u32,
    /// Its last sign of life, in epoch milliseconds.
    pub last_sign_of_life: u64,
    /// Whether it was to get another attempt, instead of being failed and refunded.
    pub retries: bool,
}

/// Decides whether a creation that was previewed is still to be failed or retried, at the instant `now` under `policy`.
///
/// It is only if it is stale and nothing of what the preview was decided on has changed: whoever confirmed a plan
/// confirmed exactly that. `candidate` is the creation as it is, `None` if it is gone.
///
/// # Errors
///
/// [`Unqualified`] says why it is left alone.
pub fn recheck<'a>(
    planned: &Planned<'a>,
    candidate: Option<&Candidate<'_>>,
    now: Timestamp,
    policy: &Policy,
) -> Result<Failure<'a>, Unqualified> {
    let Some(candidate) = candidate else { return Err(Unqualified::Gone) };
    match classify(&candidate.draft, now, policy) {
        Verdict::Settled(status) => Err(Unqualified::Settled(status)),
        Verdict::Unreadable(reason) => Err(Unqualified::Unreadable(reason)),
        _ if candidate.draft.attempt != planned.attempt => Err(Unqualified::Restarted),
        _ if candidate.draft.status != planned.stuck_status => Err(Unqualified::Started),
        Verdict::Stale(staleness) if staleness.last_sign_of_life.as_millis() != planned.last_sign_of_life => {
            Err(Unqualified::Alive)
        }
        Verdict::Stale(staleness) if staleness.retries() != planned.retries => Err(Unqualified::Otherwise),
        Verdict::Stale(staleness) => Ok(Failure { id: planned.id, staleness }),
        Verdict::Fresh { deadline, .. } => Err(Unqualified::Fresh(deadline)),
    }
}

/// Why a creation of a plan is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unqualified {
    /// There is no creation with this id.
    Gone,
    /// It is not active any more.
    Settled(Status),
    /// A worker has begun since.
    Started,
    /// It is another attempt.
    Restarted,
    /// It showed a sign of life since, and is stale again.
    Alive,
    /// It was to be failed and would get another attempt, or the other way round: its kind has changed, or the attempts of
    /// that kind.
    Otherwise,
    /// It is within its limit until this instant; for ever if there is none.
    Fresh(Option<Timestamp>),
    /// Its age can't be known.
    Unreadable(Unreadable),
}

impl Unqualified {
    /// A stable code for JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Unqualified::Gone => "gone",
            Unqualified::Settled(_) => "settled",
            Unqualified::Started => "started",
            Unqualified::Restarted => "restarted",
            Unqualified::Alive => "alive",
            Unqualified::Otherwise => "otherwise",
            Unqualified::Fresh(_) => "fresh",
            Unqualified::Unreadable(reason) => reason.code(),
        }
    }
}

impl fmt::Display for Unqualified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unqualified::Gone => f.write_str("there is no such creation"),
            Unqualified::Settled(status) => write!(f, "it is `{status}` now"),
            Unqualified::Started => f.write_str("a worker has begun since"),
            Unqualified::Restarted => f.write_str("it is another attempt now"),
            Unqualified::Alive => f.write_str("it showed a sign of life since"),
            Unqualified::Otherwise => f.write_str("the policy would do something else with it now"),
            Unqualified::Fresh(_) => f.write_str("it is within its limit now"),
            Unqualified::Unreadable(reason) => reason.fmt(f),
        }
    }
}
