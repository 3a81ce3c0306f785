use std::fmt;

use super::cancellation::{CANCELLED, Cancellation, FAILED_BY_OPERATOR};
use super::policy::Policy;
use super::status::{IllegalTransition, Status};

/// A creation as the database has it now, as far as a report depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// Its status.
    pub status: Status,
    /// The present attempt, from 1.
    pub attempt: u32,
    /// Who began the present attempt; `None` before anybody has.
    pub worker: Option<&'a str>,
    /// What the reports of the present attempt carry; `None` before it has begun.
    pub fence: Option<&'a str>,
    /// Its kind.
    pub kind: &'a str,
    /// What its owner was charged.
    pub tokens: u64,
    /// What of that is used up, where something was said: see [`Snapshot::used`].
    pub tokens_used: Option<u64>,
    /// The attempts that have failed, and that somebody has retried.
    pub retried: &'a [u32],
    /// Why it failed.
    pub error_code: Option<&'a str>,
    /// Where its result is.
    pub result_url: Option<&'a str>,
    /// Whether a result that came too late is kept.
    pub late: bool,
    /// Whether such a result has been restored.
    pub restored: bool,
    /// Whether its owner has deleted it.
    pub deleted: bool,
    /// Who else has charged for it; `None` if it was charged here.
    pub elsewhere: Option<Elsewhere>,
}

/// Where a creation's money is, if it is not in the ledger here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It was over before it came in, and another system has settled it.
    Settled,
    /// The app keeps its owner's balance itself.
    Balance,
}

/// What somebody reports about a creation.
///
/// A worker that starts an attempt is given a **fence**: the attempt's number, a dot and random letters. Its later
/// reports carry the fence, and one whose fence is not the present one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report<'a> {
    /// A worker begins. `worker` names this run of the task: the same one may repeat itself, another one is refused.
    Start {
        /// The worker's name for itself.
        worker: &'a str,
    },
    /// A worker is alive.
    Heartbeat {
        /// The fence.
        fence: &'a str,
    },
    /// A worker has the result.
    Complete {
        /// The fence.
        fence: &'a str,
        /// Where the result is.
        result_url: &'a str,
        /// What of the charge was used; all of it if it is `None`. The rest goes back.
        tokens_used: Option<u64>,
    },
    /// It can't be generated. Without a fence only before a worker has begun.
    Fail {
        /// The fence.
        fence: Option<&'a str>,
        /// Why, as a stable code.
        error_code: &'a str,
        /// What of the charge was used all the same; nothing if it is `None`. The rest goes back.
        tokens_used: Option<u64>,
    },
    /// Its owner publishes it.
    Publish,
    /// Its owner deletes it.
    Delete,
    /// An operator restores the result that came too late: the failure and its refund are undone.
    Restore,
    /// Somebody has a failed creation generated once more, and its owner is charged again.
    Retry {
        /// The attempt that has failed. So a retry that is repeated is the same one.
        attempt: u32,
    },
    /// Somebody does not want it any more.
    Cancel {
        /// The attempt that is meant; whichever there is if it is `None`.
        attempt: Option<u32>,
        /// Says what becomes of the tokens once a worker has begun.
        policy: &'a Policy,
    },
    /// An operator fails what is active, in words of their own. All tokens go back, whatever the policy says of a cancellation.
    FailNow {
        /// The attempt that is meant.
        attempt: u32,
    },
}

/// What becomes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It takes effect.
    Accept,
    /// It took effect before: it is answered as it was then, and changes nothing.
    Repeat,
    /// It changes nothing.
    Refuse(Refusal),
}

/// Why a report is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The creation's status does not allow it.
    Illegal(IllegalTransition),
    /// Another worker has begun this attempt.
    Taken,
    /// The fence is that of an attempt that is over.
    Over,
    /// The fence is not one of this creation.
    WrongFence,
    /// A worker has begun: only it may say that it failed.
    FenceMissing,
    /// It is still being generated.
    Active,
    /// It is not generated any more, so there is nothing to give more time to.
    NotActive,
    /// No result has come too late.
    NothingKept,
    /// Its owner has deleted it.
    Deleted,
    /// It was cancelled.
    Cancelled,
    /// Once a worker has begun, the policy lets nobody cancel it.
    NotCancellable,
    /// More is said to be used than was charged.
    MoreThanCharged {
        /// What is said.
        tokens_used: u64,
        /// What was charged.
        tokens: u64,
    },
    /// It is about another attempt than the present one.
    OtherAttempt {
        /// The one that it is about.
        attempt: u32,
        /// The present one.
        present: u32,
    },
    /// Another system has settled it.
    SettledElsewhere,
    /// The app keeps its owner's balance itself.
    BalanceElsewhere,
}

impl Report<'_> {
    /// Decides what becomes of a report, given the creation as it is now. The statements that carry it out repeat the same condition;
    /// `tests/worker/reports.test.mjs` compares the two on every status.
    pub fn judge(&self, snapshot: &Snapshot<'_>) -> Judgement {
        let Snapshot { status, worker, error_code, result_url, .. } = *snapshot;
        match *self {
            Report::Start { worker: who } => match status {
                Status::Pending => Judgement::Accept,
                _ if worker == Some(who) => Judgement::Repeat,
                Status::Processing => Judgement::Refuse(Refusal::Taken),
                _ => snapshot.illegal(Status::Processing),
            },
            Report::Heartbeat { fence } => match (snapshot.check(fence), status) {
                (Err(refusal), _) => Judgement::Refuse(refusal),
                (Ok(()), Status::Processing) => Judgement::Accept,
                (Ok(()), _) => snapshot.over(),
            },
            Report::Complete { fence, result_url: url, tokens_used } => match (snapshot.check(fence), status)
            {
                (Err(refusal), _) => Judgement::Refuse(refusal),
                (Ok(()), Status::Processing) => snapshot.uses(tokens_used),
                (Ok(()), Status::Draft | Status::Published)
                    if result_url == Some(url)
                        && !snapshot.restored
                        && tokens_used.unwrap_or(snapshot.tokens) == snapshot.used() =>
                {
                    Judgement::Repeat
                }
                (Ok(()), Status::Failed) => snapshot.over(),
                (Ok(()), _) => snapshot.illegal(Status::Draft),
            },
            Report::Fail { fence: None, error_code: code, tokens_used } => match (status, snapshot.fence) {
                (Status::Pending, _) => snapshot.uses(tokens_used),
                (Status::Failed, None) if snapshot.failed_by(code, tokens_used) => Judgement::Repeat,
                (Status::Processing, _) => Judgement::Refuse(Refusal::FenceMissing),
                _ => snapshot.illegal(Status::Failed),
            },
            Report::Fail { fence: Some(fence), error_code: code, tokens_used } => {
                match (snapshot.check(fence), status) {
                    (Err(refusal), _) => Judgement::Refuse(refusal),
                    (Ok(()), Status::Processing) => snapshot.uses(tokens_used),
                    (Ok(()), Status::Failed) if snapshot.failed_by(code, tokens_used) => Judgement::Repeat,
                    (Ok(()), Status::Failed) => snapshot.over(),
                    (Ok(()), _) => snapshot.illegal(Status::Failed),
                }
            }
            Report::Publish => match status {
                _ if snapshot.deleted => Judgement::Refuse(Refusal::Deleted),
                Status::Draft => Judgement::Accept,
                Status::Published => Judgement::Repeat,
                _ => snapshot.illegal(Status::Published),
            },
            Report::Delete => match status {
                Status::Pending | Status::Processing => Judgement::Refuse(Refusal::Active),
                _ if snapshot.deleted => Judgement::Repeat,
                _ => Judgement::Accept,
            },
            Report::Restore => match status {
                _ if snapshot.deleted => Judgement::Refuse(Refusal::Deleted),
                Status::Draft | Status::Published if snapshot.restored => Judgement::Repeat,
                Status::Pending | Status::Processing => Judgement::Refuse(Refusal::Active),
                Status::Failed if snapshot.late => Judgement::Accept,
                Status::Failed => Judgement::Refuse(Refusal::NothingKept),
                _ => snapshot.illegal(Status::Draft),
            },
            Report::Retry { attempt } => match status {
                _ if snapshot.retried.contains(&attempt) => Judgement::Repeat,
                _ if snapshot.attempt != attempt => snapshot.another(attempt),
                _ if snapshot.deleted => Judgement::Refuse(Refusal::Deleted),
                Status::Pending | Status::Processing => Judgement::Refuse(Refusal::Active),
                Status::Draft | Status::Published => snapshot.illegal(Status::Pending),
                Status::Failed => match snapshot.elsewhere {
                    Some(Elsewhere::Settled) => Judgement::Refuse(Refusal::SettledElsewhere),
                    Some(Elsewhere::Balance) => Judgement::Refuse(Refusal::BalanceElsewhere),
                    None => Judgement::Accept,
                },
            },
            Report::Cancel { attempt, policy } => match status {
                _ if attempt.is_some_and(|attempt| attempt != snapshot.attempt) => {
                    snapshot.another(attempt.unwrap_or_default())
                }
                Status::Failed if error_code == Some(CANCELLED) => Judgement::Repeat,
                Status::Draft | Status::Published | Status::Failed => snapshot.illegal(Status::Failed),
                _ if snapshot.elsewhere.is_some() => Judgement::Refuse(Refusal::BalanceElsewhere),
                Status::Pending => Judgement::Accept,
                Status::Processing => match policy.cancellation(snapshot.kind) {
                    Cancellation::Refund | Cancellation::Keep => Judgement::Accept,
                    Cancellation::Never => Judgement::Refuse(Refusal::NotCancellable),
                },
            },
            Report::FailNow { attempt } => match status {
                _ if attempt != snapshot.attempt => snapshot.another(attempt),
                Status::Failed if error_code == Some(FAILED_BY_OPERATOR) => Judgement::Repeat,
                Status::Draft | Status::Published | Status::Failed => snapshot.illegal(Status::Failed),
                _ if snapshot.elsewhere.is_some() => Judgement::Refuse(Refusal::BalanceElsewhere),
                Status::Pending | Status::Processing => Judgement::Accept,
            },
        }
    }
}

impl Snapshot<'_> {
    /// What of the charge is used up. Where nothing was said: nothing if it failed, else all. The rest has gone back.
    pub fn used(&self) -> u64 {
        self.tokens_used.unwrap_or(if self.status == Status::Failed { 0 } else { self.tokens })
    }

    /// Accepts what is said to be used, if it was charged here.
    const fn uses(&self, tokens_used: Option<u64>) -> Judgement {
        match tokens_used {
            Some(tokens_used) if tokens_used > self.tokens => {
                Judgement::Refuse(Refusal::MoreThanCharged { tokens_used, tokens: self.tokens })
            }
            Some(_) if self.elsewhere.is_some() => Judgement::Refuse(Refusal::BalanceElsewhere),
            _ => Judgement::Accept,
        }
    }

    /// Whether it has failed by this report.
    fn failed_by(&self, error_code: &str, tokens_used: Option<u64>) -> bool {
        self.error_code == Some(error_code) && tokens_used.unwrap_or(0) == self.used()
    }

    /// The refusal of what a worker reports of an attempt that is over.
    fn over(&self) -> Judgement {
        let cancelled = self.status == Status::Failed && self.error_code == Some(CANCELLED);
        Judgement::Refuse(if cancelled { Refusal::Cancelled } else { Refusal::Over })
    }

    const fn another(&self, attempt: u32) -> Judgement {
        Judgement::Refuse(Refusal::OtherAttempt { attempt, present: self.attempt })
    }

    fn illegal(&self, to: Status) -> Judgement {
        Judgement::Refuse(Refusal::Illegal(IllegalTransition { from: self.status, to }))
    }

    /// Whether a fence is that of the present attempt.
    fn check(&self, fence: &str) -> Result<(), Refusal> {
        let attempt = fence.split_once('.').and_then(|(attempt, _)| attempt.parse::<u32>().ok());
        match attempt {
            _ if self.fence == Some(fence) => Ok(()),
            Some(attempt) if attempt < self.attempt => Err(Refusal::Over),
            _ => Err(Refusal::WrongFence),
        }
    }
}

impl Refusal {
    /// A stable code for JSON.
    pub const fn code(self) -> &'static str {
        match self {
            Refusal::Illegal(_) => "illegal_transition",
            Refusal::Taken => "taken",
            Refusal::Over => "attempt_over",
            Refusal::WrongFence => "wrong_fence",
            Refusal::FenceMissing => "fence_missing",
            Refusal::Active => "active",
            Refusal::NotActive => "not_active",
            Refusal::NothingKept => "nothing_kept",
            Refusal::Deleted => "deleted",
            Refusal::Cancelled => "cancelled",
            Refusal::NotCancellable => "not_cancellable",
            Refusal::MoreThanCharged { .. } => "more_than_charged",
            Refusal::OtherAttempt { .. } => "other_attempt",
            Refusal::SettledElsewhere => "settled_elsewhere",
            Refusal::BalanceElsewhere => "balance_elsewhere",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Illegal(illegal) => return illegal.fmt(f),
            Refusal::Taken => "another worker has begun this attempt",
            Refusal::Over => "the attempt of this fence is over",
            Refusal::WrongFence => {
                "the fence does not belong to this creation: expected the one that its start gave"
            }
            Refusal::FenceMissing => "a worker has begun: expected the fence that its start gave",
            Refusal::Active => "it is still being generated: wait until it is finished or failed",
            Refusal::NotActive => {
                "it is not generated any more: only what is `pending` or `processing` takes more time"
            }
            Refusal::NothingKept => "no result has come in too late: there is nothing to restore",
            Refusal::Deleted => "its owner has deleted it",
            Refusal::Cancelled => "it was cancelled: the attempt of this fence is over",
            Refusal::NotCancellable => {
                "a worker has begun, and the policy has `cancel = \"never\"`: wait until it is finished or failed"
            }
            Refusal::MoreThanCharged { tokens_used, tokens } => {
                return write!(f, "`tokens_used` is `{tokens_used}`: expected at most {tokens}, which were charged");
            }
            Refusal::OtherAttempt { attempt, present } => {
                return write!(f, "`attempt` is `{attempt}`: expected {present}, the present one");
            }
            Refusal::SettledElsewhere => {
                "another system has charged and settled it: make a new creation in its place"
            }
            Refusal::BalanceElsewhere => {
                "the app keeps its owner's balance itself: it is done in the app's own row, see docs/attach.md"
            }
        })
    }
}
