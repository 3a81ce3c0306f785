use super::draft::{Draft, Phase, Signs, Unreadable};
use super::limit::{Attempts, Limit};
use super::policy::{Policy, Rule};
use super::status::{Active, Status};
use super::time::Timestamp;

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
        /// The limit that applies.
        limit: Limit,
        /// The entry of the policy that the limit comes from.
        rule: Rule,
        /// The same instant as the deadline, where an operator has put it off: see [`Draft::extended_until`].
        extended_until: Option<Timestamp>,
    },
    /// Active, and beyond its limit: to be given another attempt if one is left, or failed and refunded.
    Stale(Staleness),
    /// Its age can't be known. It is never failed by guesswork and never hidden.
    Unreadable(Unreadable),
}

impl Verdict {
    /// The limit that applies, in milliseconds; `None` for `never`, and where no limit applies.
    pub const fn max_age_ms(&self) -> Option<u64> {
        match self {
            Verdict::Stale(staleness) => Some(staleness.max_age_ms),
            Verdict::Fresh { limit: Limit::After(max_age), .. } => Some(max_age.as_millis()),
            _ => None,
        }
    }

    /// The entry of the policy that the limit comes from; `None` where no limit applies.
    pub const fn rule(&self) -> Option<Rule> {
        match self {
            Verdict::Stale(staleness) => Some(staleness.rule),
            Verdict::Fresh { rule, .. } => Some(*rule),
            _ => None,
        }
    }
}

/// How a creation is stale, and by which limit: all that the decision rests on. Whoever carries it out repeats it
/// inside the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staleness {
    /// The status that it is stuck in.
    pub stuck_status: Active,
    /// What it is at, which chooses the limit.
    pub phase: Phase,
    /// When it entered its status: see [`Signs::entered`].
    pub entered: Option<Timestamp>,
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
    /// Until when an operator had given it more time; it is over.
    pub extended_until: Option<Timestamp>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// How many attempts the policy gives.
    pub attempts: Attempts,
}

impl Staleness {
    /// The last instant at which it was not stale.
    pub fn deadline(&self) -> Timestamp {
        self.put_off().unwrap_or(self.by_policy())
    }

    /// The deadline that an operator had given, where it was later than the policy's.
    pub fn put_off(&self) -> Option<Timestamp> {
        self.extended_until.filter(|until| self.by_policy() < *until)
    }

    const fn by_policy(&self) -> Timestamp {
        self.since.saturating_add(self.max_age_ms)
    }

    /// When a worker began it, for the limit on the total time; `None` for a pending creation. The database computes the
    /// same in the generated column `processing_since`.
    pub const fn processing_since(&self) -> Option<Timestamp> {
        match self.stuck_status {
            Active::Pending => None,
            Active::Processing => self.entered,
        }
    }

    /// What is to be done about it.
    pub const fn action(&self) -> Action {
        if self.attempts.left(self.attempt) { Action::Retry } else { Action::Fail }
    }

    /// The time from the deadline to now, in milliseconds.
    pub fn late_ms(&self) -> u64 {
        self.since.saturating_add(self.age_ms).millis_since(self.deadline())
    }

    /// The band of [`Staleness::late_ms`], 0 to 5: see [`LAGS`].
    pub fn lag(&self) -> usize {
        let late = self.late_ms();
        LAGS.iter().take_while(|limit| late > **limit).count()
    }
}

/// Up to where the bands of [`Staleness::lag`] go, in milliseconds: 1 minute, 5, 15, 1 hour, 6. The sixth band is beyond.
pub const LAGS: [u64; 5] = [60_000, 300_000, 900_000, 3_600_000, 21_600_000];

/// What is done about a stale creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is failed and refunded.
    Fail,
    /// It goes back to `pending` for another attempt, and nothing is refunded.
    Retry,
}

impl Action {
    /// The word in `creations[].action`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Fail => "fail",
            Action::Retry => "retry",
        }
    }

    /// What it has come to when it is carried out: the word in `stale_drafts_rollups.outcome`.
    pub const fn outcome(self) -> &'static str {
        match self {
            Action::Fail => "failed",
            Action::Retry => "retried",
        }
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
/// 2. A last sign of life that can't be read, or is more than a minute later than `now`, is [`Unreadable`]. That holds
///    under `never` too: a row that nobody can read is shown, whatever its limit. One that is up to a minute later counts as
///    now.
/// 3. It is [`Verdict::Stale`] if `now − last sign of life > limit`, in whole milliseconds. Exactly at the
///    limit it is [`Verdict::Fresh`]. Which limit that is depends on what the creation is at: see [`Policy`].
/// 4. Where the policy limits the total time, `processing` is stale too if `now − entered > limit`; the
///    earlier of the two deadlines counts. Where nothing but a heartbeat is known, there is no such limit.
/// 5. Up to `extended_until`, that instant included, nothing is stale: the deadline is the later of the two.
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
        Ok(signs) if signs.last > now.latest_sign_of_life() => {
            return Verdict::Unreadable(Unreadable::Future(signs.last));
        }
        Ok(signs) => signs,
        Err(reason) => return Verdict::Unreadable(reason),
    };
    let Applied { limit, rule, since } = applied(active, signs);
    let max_age_ms = match limit {
        Limit::Never => {
            return Verdict::Fresh { status: active, deadline: None, limit, rule, extended_until: None };
        }
        Limit::After(max_age) => max_age.as_millis(),
    };
    let age_ms = now.millis_since(since);
    let extended_until = draft.extended_until.instant();
    if age_ms > max_age_ms && extended_until.is_none_or(|until| until < now) {
        Verdict::Stale(Staleness {
            stuck_status: active,
            phase: draft.phase(active),
            entered: signs.entered,
            last_sign_of_life: signs.last,
            since,
            age_ms,
            max_age_ms,
            rule,
            extended_until,
            attempt: draft.attempt,
            attempts,
        })
    } else {
        let by_policy = since.saturating_add(max_age_ms);
        let extended_until = extended_until.filter(|until| by_policy < *until);
        let deadline = Some(extended_until.unwrap_or(by_policy));
        Verdict::Fresh { status: active, deadline, limit, rule, extended_until }
    }
}
