use super::policy::Policy;
use super::status::{Active, Status};
use super::time::Timestamp;
use super::verdict::{Draft, Staleness, Unreadable, Verdict, classify};

/// One creation that a sweep looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// What the rules need to know of it.
    pub draft: Draft<'a>,
}

/// What a sweep is to do: which creations it fails, which it puts back for another attempt, and which it leaves alone
/// and why.
///
/// Every candidate is in exactly one of the lists, in the order in which it was given. A plan is only a
/// decision: whoever carries it out repeats each [`Failure`]'s precondition inside the write, and leaves alone
/// what has moved on meanwhile. Planning again after carrying it out yields nothing to fail or to retry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// To be marked failed and refunded.
    pub fail: Vec<Failure<'a>>,
    /// To be put back to `pending` for another attempt, with nothing refunded.
    pub retry: Vec<Failure<'a>>,
    /// To be left alone.
    pub skip: Vec<Skip<'a>>,
}

/// A creation whose attempt is stale, with all that the decision rests on: the write's precondition is that
/// `staleness.attempt`, `.stuck_status` and `.last_sign_of_life`, and the draft's kind, phase and beginning of `processing`, are still what
/// they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// How it is stale.
    pub staleness: Staleness,
}

/// Up to where the bands of [`Failure::lag`] go, in milliseconds: 1 minute, 5, 15, 1 hour, 6. The sixth band is beyond.
pub const LAGS: [u64; 5] = [60_000, 300_000, 900_000, 3_600_000, 21_600_000];

impl Failure<'_> {
    /// The band of the time from the deadline to now, 0 to 5: see [`LAGS`].
    pub fn lag(&self) -> usize {
        let late = self.staleness.age_ms.saturating_sub(self.staleness.max_age_ms);
        LAGS.iter().take_while(|limit| late > **limit).count()
    }
}

/// A creation that a sweep leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// Why.
    pub reason: SkipReason,
}

/// Why a sweep leaves a creation alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// It is not active.
    Settled(Status),
    /// It is within its limit.
    Fresh {
        /// The status that it is in.
        status: Active,
        /// See [`Verdict::Fresh`].
        deadline: Option<Timestamp>,
    },
    /// Its age can't be known: it is counted and shown.
    Unreadable(Unreadable),
}

/// Decides what a sweep at the instant `now` is to do with `candidates`, under `policy`.
///
/// ```
/// use stale_drafts::rules::{Candidate, Draft, Policy, Status, Time, Timestamp, plan};
///
/// let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
/// let draft = Draft {
///     status: Some(Status::Pending),
///     kind: "image",
///     created_at: Time::from_millis(1_700_000_000_000 - 65_520_000),
///     ..Draft::default()
/// };
/// let plan = plan([Candidate { id: "c1", draft }], now, &Policy::default());
/// assert_eq!(
///     plan.fail[0].staleness.error_text().to_string(),
///     "Generation timeout: Task stuck in pending status for 18.2 hours",
/// );
/// ```
pub fn plan<'a>(
    candidates: impl IntoIterator<Item = Candidate<'a>>,
    now: Timestamp,
    policy: &Policy,
) -> Plan<'a> {
    let mut plan = Plan::default();
    for Candidate { id, draft } in candidates {
        let reason = match classify(&draft, now, policy) {
            Verdict::Stale(staleness) => {
                let list = if staleness.retries() { &mut plan.retry } else { &mut plan.fail };
                list.push(Failure { id, staleness });
                continue;
            }
            Verdict::Settled(status) => SkipReason::Settled(status),
            Verdict::Fresh { status, deadline } => SkipReason::Fresh { status, deadline },
            Verdict::Unreadable(reason) => SkipReason::Unreadable(reason),
        };
        plan.skip.push(Skip { id, reason });
    }
    plan
}
