use std::fmt;

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
    },
    /// It can't be generated. Without a fence only before a worker has begun.
    Fail {
        /// The fence.
        fence: Option<&'a str>,
        /// Why, as a stable code.
        error_code: &'a str,
    },
    /// Its owner publishes it.
    Publish,
    /// Its owner deletes it.
    Delete,
    /// An operator restores the result that came too late: the failure and its refund are undone.
    Restore,
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
                (Ok(()), _) => Judgement::Refuse(Refusal::Over),
            },
            Report::Complete { fence, result_url: url } => match (snapshot.check(fence), status) {
                (Err(refusal), _) => Judgement::Refuse(refusal),
                (Ok(()), Status::Processing) => Judgement::Accept,
                (Ok(()), Status::Draft | Status::Published)
                    if result_url == Some(url) && !snapshot.restored =>
                {
                    Judgement::Repeat
                }
                (Ok(()), Status::Failed) => Judgement::Refuse(Refusal::Over),
                (Ok(()), _) => snapshot.illegal(Status::Draft),
            },
            Report::Fail { fence: None, error_code: code } => match (status, snapshot.fence) {
                (Status::Pending, _) => Judgement::Accept,
                (Status::Failed, None) if error_code == Some(code) => Judgement::Repeat,
                (Status::Processing, _) => Judgement::Refuse(Refusal::FenceMissing),
                _ => snapshot.illegal(Status::Failed),
            },
            Report::Fail { fence: Some(fence), error_code: code } => match (snapshot.check(fence), status) {
                (Err(refusal), _) => Judgement::Refuse(refusal),
                (Ok(()), Status::Processing) => Judgement::Accept,
                (Ok(()), Status::Failed) if error_code == Some(code) => Judgement::Repeat,
                (Ok(()), Status::Failed) => Judgement::Refuse(Refusal::Over),
                (Ok(()), _) => snapshot.illegal(Status::Failed),
            },
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
        }
    }
}

impl Snapshot<'_> {
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
        })
    }
}
