use std::fmt;

use super::draft::{Draft, Unreadable};
use super::policy::Policy;
use super::status::Status;
use super::time::Timestamp;
use super::verdict::{Action, Staleness, Verdict, classify};

/// One creation that a sweep looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// What the rules need to know of it.
    pub draft: Draft<'a>,
}

/// What is decided about a stale creation, with all that it rests on: the write's precondition is that the creation's kind and
/// what `staleness` says of its status, attempt, phase and times are still what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// How it is stale.
    pub staleness: Staleness,
}

/// What a sweep is to do, each list in the order of the candidates. Those that are settled or fresh are in none.
///
/// These are only decisions: whoever carries them out repeats each one's precondition inside the write, and leaves alone
/// what has moved on meanwhile. Deciding again afterwards yields nothing to fail or to retry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions<'a> {
    /// To be failed and refunded.
    pub fail: Vec<Decision<'a>>,
    /// To be put back to `pending` for another attempt, with nothing refunded.
    pub retry: Vec<Decision<'a>>,
    /// To be left alone and shown, with the reason: their age can't be known.
    pub unreadable: Vec<(&'a str, Unreadable)>,
}

/// Decides what a sweep at the instant `now` is to do with `candidates`, under `policy`.
///
/// ```
/// use stale_drafts::rules::{Candidate, Draft, Policy, Status, Time, Timestamp, decide};
///
/// let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
/// let draft = Draft {
///     status: Some(Status::Pending),
///     kind: "image",
///     created_at: Time::from_millis(1_700_000_000_000 - 65_520_000),
///     ..Draft::default()
/// };
/// let decisions = decide([Candidate { id: "c1", draft }], now, &Policy::default());
/// assert_eq!(
///     decisions.fail[0].staleness.error_text().to_string(),
///     "Generation timeout: Task stuck in pending status for 18.2 hours",
/// );
/// ```
pub fn decide<'a>(
    candidates: impl IntoIterator<Item = Candidate<'a>>,
    now: Timestamp,
    policy: &Policy,
) -> Decisions<'a> {
    let mut decisions = Decisions::default();
    for Candidate { id, draft } in candidates {
        match classify(&draft, now, policy) {
            Verdict::Stale(staleness) => {
                let list = match staleness.action() {
                    Action::Fail => &mut decisions.fail,
                    Action::Retry => &mut decisions.retry,
                };
                list.push(Decision { id, kind: draft.kind, staleness });
            }
            Verdict::Unreadable(reason) => decisions.unreadable.push((id, reason)),
            Verdict::Settled(_) | Verdict::Fresh { .. } => {}
        }
    }
    decisions
}

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
    /// What was to be done about it.
    pub action: Action,
}

/// Decides whether a creation that was previewed is still to be failed or retried, at the instant `now` under `policy`.
///
/// It is only if it is stale and nothing of what the preview was decided on has changed: whoever confirmed a plan
/// confirmed exactly that. `candidate` is the creation as it is, `None` if it is gone.
///
/// # Errors
///
/// [`SkipReason`] says why it is left alone.
pub fn recheck<'a>(
    planned: &Planned<'_>,
    candidate: Option<&Candidate<'a>>,
    now: Timestamp,
    policy: &Policy,
) -> Result<Decision<'a>, SkipReason> {
    let Some(candidate) = candidate else { return Err(SkipReason::Gone) };
    match classify(&candidate.draft, now, policy) {
        Verdict::Settled(status) => Err(SkipReason::Settled(status)),
        Verdict::Unreadable(reason) => Err(SkipReason::Unreadable(reason)),
        _ if candidate.draft.attempt != planned.attempt => Err(SkipReason::Restarted),
        _ if candidate.draft.status != planned.stuck_status => Err(SkipReason::Started),
        Verdict::Stale(staleness) if staleness.last_sign_of_life.as_millis() != planned.last_sign_of_life => {
            Err(SkipReason::Alive)
        }
        Verdict::Stale(staleness) if staleness.action() != planned.action => Err(SkipReason::ActionChanged),
        Verdict::Stale(staleness) => Ok(Decision { id: candidate.id, kind: candidate.draft.kind, staleness }),
        Verdict::Fresh { deadline, .. } => Err(SkipReason::Fresh(deadline)),
    }
}

/// Why a creation of a plan is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
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
    /// The planned action (fail or retry) no longer matches the policy: the creation's kind has changed, or the attempts of
    /// that kind.
    ActionChanged,
    /// It is within its limit until this instant; for ever if there is none.
    Fresh(Option<Timestamp>),
    /// Its age can't be known.
    Unreadable(Unreadable),
}

impl SkipReason {
    /// A stable code for JSON.
    pub const fn code(self) -> &'static str {
        match self {
            SkipReason::Gone => "gone",
            SkipReason::Settled(_) => "settled",
            SkipReason::Started => "started",
            SkipReason::Restarted => "restarted",
            SkipReason::Alive => "alive",
            SkipReason::ActionChanged => "action_changed",
            SkipReason::Fresh(_) => "fresh",
            SkipReason::Unreadable(reason) => reason.code(),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::Gone => f.write_str("there is no such creation"),
            SkipReason::Settled(status) => write!(f, "it is `{status}` now"),
            SkipReason::Started => f.write_str("a worker has begun since"),
            SkipReason::Restarted => f.write_str("it is another attempt now"),
            SkipReason::Alive => f.write_str("it showed a sign of life since"),
            SkipReason::ActionChanged => f.write_str("the planned action no longer matches the policy"),
            SkipReason::Fresh(_) => f.write_str("it is within its limit now"),
            SkipReason::Unreadable(reason) => reason.fmt(f),
        }
    }
}
