//! Who is calling the database, and what for: what the invariants judge a transaction by.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use stale_drafts::rules::{Action, Active, Policy, Report, Status, Timestamp};
use stale_drafts::service::sweep::{Notify, Source};

use crate::attached::Theirs;
use crate::image::Image;
use crate::sharded::Moving;

/// One invocation of the Worker, or one direct write.
#[derive(Debug)]
pub enum Call {
    /// A sweep, or a dry run.
    Sweep(Rc<SweepCall>),
    /// Somebody asks for a creation.
    Create(Rc<CreateCall>),
    /// Somebody reports.
    Report(Rc<ReportCall>),
    /// The outbox takes what is due, and notes what came of it.
    Courier,
    /// A direct write.
    App,
    /// The app's own code writes its own table.
    Theirs(Rc<TheirsCall>),
    /// A mover takes buckets to another database.
    Move(Moving),
}

/// See [`Call::Theirs`].
#[derive(Clone, Debug)]
pub struct TheirsCall {
    pub write: Theirs,
    /// The app's own clock.
    pub now: i64,
    /// What makes an address of a result unique.
    pub number: u64,
}

/// See [`Call::Sweep`].
#[derive(Debug)]
pub struct SweepCall {
    pub sweep_id: String,
    pub source: Source,
    pub user: Option<String>,
    pub kind: Option<&'static str>,
    pub status: Option<Active>,
    /// The creations of the plan that is carried out.
    pub planned: Option<Vec<PlannedRow>>,
    /// The sweep's own `now`, by its host's clock.
    pub now: Timestamp,
    /// The policy that it began with.
    pub policy: Policy,
    pub notify: Notify,
    pub dry_run: bool,
    /// What stood when it first looked, by database.
    pub first: RefCell<BTreeMap<usize, Rc<Image>>>,
}

/// One creation of a plan.
#[derive(Clone, Debug)]
pub struct PlannedRow {
    pub id: String,
    pub status: Status,
    pub attempt: u32,
    pub last_sign_of_life: u64,
    pub action: Action,
}

/// See [`Call::Create`].
#[derive(Debug)]
pub struct CreateCall {
    pub id: String,
    pub user_id: String,
    pub kind: &'static str,
    pub tokens: u64,
    pub now: Timestamp,
}

/// See [`Call::Report`].
#[derive(Debug)]
pub struct ReportCall {
    pub id: String,
    pub what: Reported,
    pub user_id: String,
    pub random: String,
    pub progress: Option<u32>,
    /// Whether a result that comes too late is kept.
    pub keep: bool,
    pub notify: u32,
    pub now: Timestamp,
}

/// What is reported.
#[derive(Clone, Debug)]
pub enum Reported {
    Start { worker: String },
    Heartbeat { fence: String },
    Complete { fence: String, result_url: String },
    Fail { fence: Option<String> },
    Publish,
    Delete,
    Restore,
}

/// The error code and text of a worker's failure.
pub const ERROR_CODE: &str = "provider_error";
pub const ERROR: &str = "502";

impl Reported {
    /// As the rules take it.
    pub fn report(&self) -> Report<'_> {
        match self {
            Reported::Start { worker } => Report::Start { worker },
            Reported::Heartbeat { fence } => Report::Heartbeat { fence },
            Reported::Complete { fence, result_url } => {
                Report::Complete { fence, result_url, tokens_used: None }
            }
            Reported::Fail { fence } => {
                Report::Fail { fence: fence.as_deref(), error_code: ERROR_CODE, tokens_used: None }
            }
            Reported::Publish => Report::Publish,
            Reported::Delete => Report::Delete,
            Reported::Restore => Report::Restore,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::Sweep(sweep) => {
                let what = match sweep.planned {
                    _ if sweep.dry_run => "dry run",
                    Some(_) => "plan by sweep",
                    None => "sweep",
                };
                write!(f, "{what} {}", sweep.sweep_id)
            }
            Call::Create(create) => write!(f, "create {} for {}", create.id, create.user_id),
            Call::Report(report) => Self::describe(report, f),
            Call::Courier => f.write_str("outbox"),
            Call::App => f.write_str("direct write"),
            Call::Theirs(theirs) => theirs.write.fmt(f),
            Call::Move(moving) => moving.fmt(f),
        }
    }
}

impl Call {
    fn describe(report: &ReportCall, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReportCall { id, what, user_id, .. } = report;
        match what {
            Reported::Start { worker } => write!(f, "start {id} by {worker}"),
            Reported::Heartbeat { fence } => write!(f, "heartbeat of {id} with fence {fence}"),
            Reported::Complete { fence, .. } => write!(f, "complete {id} with fence {fence}"),
            Reported::Fail { fence: Some(fence) } => write!(f, "fail {id} with fence {fence}"),
            Reported::Fail { fence: None } => write!(f, "fail {id} without a fence"),
            Reported::Publish => write!(f, "publish {id} by {user_id}"),
            Reported::Delete => write!(f, "delete {id} by {user_id}"),
            Reported::Restore => write!(f, "restore {id}"),
        }
    }
}
