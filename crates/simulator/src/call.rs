//! Who is calling the database, and what for: what the invariants judge a transaction by.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use stale_drafts::rules::{Action, Active, ActiveLimits, Policy, Report, Status, Timestamp};
use stale_drafts::service::retries::PlannedRetry;
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
    /// An operator gives more time, or ends that.
    Extend(Rc<ExtendCall>),
    /// The provider is asked about what a sweep would fail or retry.
    Ask(Rc<AskCall>),
    /// An operator looks for failed creations, or has many of them tried again.
    Bulk(Rc<BulkCall>),
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
    /// How many of its owner's may be active.
    pub limits: ActiveLimits,
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
    /// The policy that it began with: it says what becomes of what is cancelled.
    pub policy: Policy,
    pub now: Timestamp,
}

/// See [`Call::Extend`].
#[derive(Debug)]
pub struct ExtendCall {
    pub what: Extended,
    /// The end; of no matter where one is ended.
    pub until: Timestamp,
    /// The row of the audit.
    pub audit_id: String,
    pub now: Timestamp,
}

/// What gets more time.
#[derive(Clone, Debug)]
pub enum Extended {
    Creation(String),
    Kind(&'static str),
    /// The kind whose more time ends.
    End(&'static str),
}

/// Who gives more time, and why.
pub const OPERATOR: &str = "olga";
pub const REASON: &str = "the provider is down";

/// See [`Call::Ask`].
#[derive(Debug)]
pub struct AskCall {
    /// The sweep that it is for.
    pub sweep: SweepCall,
    /// What was said of which attempt.
    pub said: RefCell<BTreeMap<String, (u32, Said)>>,
    /// How many creations were completed by it, and how many got a heartbeat.
    pub done: Cell<usize>,
    pub running: Cell<usize>,
    /// How many of the latter may have got the one that they had: of the same millisecond.
    pub again: Cell<usize>,
}

/// See [`Call::Bulk`].
#[derive(Debug)]
pub struct BulkCall {
    pub plan: Vec<PlannedRetry>,
    pub audit_id: String,
    pub notify: u32,
    pub now: Timestamp,
    /// What stood before its first transaction, by database.
    pub first: RefCell<BTreeMap<usize, Rc<Image>>>,
    /// The attempts that it retried, as it was seen in the rows.
    pub done: RefCell<BTreeSet<(String, u32)>>,
}

/// What a provider says of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Done(String),
    Running,
    Unknown,
}

/// What is reported.
#[derive(Clone, Debug)]
pub enum Reported {
    Start { worker: String },
    Heartbeat { fence: String },
    Complete { fence: String, result_url: String, tokens_used: Option<u64> },
    Fail { fence: Option<String>, tokens_used: Option<u64> },
    Publish,
    Delete,
    Restore,
    Retry { attempt: u32 },
    Cancel { attempt: Option<u32> },
    FailNow { attempt: u32 },
}

/// The error code and text of a worker's failure.
pub const ERROR_CODE: &str = "provider_error";
pub const ERROR: &str = "502";

impl Reported {
    /// As the rules take it.
    pub fn report<'a>(&'a self, policy: &'a Policy) -> Report<'a> {
        match self {
            Reported::Start { worker } => Report::Start { worker },
            Reported::Heartbeat { fence } => Report::Heartbeat { fence },
            Reported::Complete { fence, result_url, tokens_used } => {
                Report::Complete { fence, result_url, tokens_used: *tokens_used }
            }
            Reported::Fail { fence, tokens_used } => {
                Report::Fail { fence: fence.as_deref(), error_code: ERROR_CODE, tokens_used: *tokens_used }
            }
            Reported::Publish => Report::Publish,
            Reported::Delete => Report::Delete,
            Reported::Restore => Report::Restore,
            Reported::Retry { attempt } => Report::Retry { attempt: *attempt },
            Reported::Cancel { attempt } => Report::Cancel { attempt: *attempt, policy },
            Reported::FailNow { attempt } => Report::FailNow { attempt: *attempt },
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
            Call::Extend(extend) => match &extend.what {
                Extended::Creation(id) => write!(f, "more time for {id} until {}", extend.until.as_millis()),
                Extended::Kind(kind) => write!(f, "more time for {kind} until {}", extend.until.as_millis()),
                Extended::End(kind) => write!(f, "end of more time for {kind}"),
            },
            Call::Ask(ask) => write!(f, "question before sweep {}", ask.sweep.sweep_id),
            Call::Bulk(bulk) => write!(f, "retry in bulk of {} creations", bulk.plan.len()),
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
            Reported::Complete { fence, tokens_used, .. } => {
                write!(f, "complete {id} with fence {fence}{}", used(*tokens_used))
            }
            Reported::Fail { fence: Some(fence), tokens_used } => {
                write!(f, "fail {id} with fence {fence}{}", used(*tokens_used))
            }
            Reported::Fail { fence: None, .. } => write!(f, "fail {id} without a fence"),
            Reported::Publish => write!(f, "publish {id} by {user_id}"),
            Reported::Delete => write!(f, "delete {id} by {user_id}"),
            Reported::Restore => write!(f, "restore {id}"),
            Reported::Retry { attempt } => write!(f, "retry attempt {attempt} of {id}{}", by(user_id)),
            Reported::Cancel { attempt: Some(attempt) } => {
                write!(f, "cancel attempt {attempt} of {id}{}", by(user_id))
            }
            Reported::FailNow { attempt } => write!(f, "fail attempt {attempt} of {id} now"),
            Reported::Cancel { attempt: None } => write!(f, "cancel {id}{}", by(user_id)),
        }
    }
}

fn used(tokens_used: Option<u64>) -> String {
    tokens_used.map(|tokens| format!(", {tokens} tokens used")).unwrap_or_default()
}

fn by(user_id: &str) -> String {
    if user_id.is_empty() { String::new() } else { format!(" by {user_id}") }
}

impl ReportCall {
    /// Whose it must be; `None` if it may be anybody's.
    pub fn owner(&self) -> Option<&str> {
        match self.what {
            Reported::Publish | Reported::Delete => Some(&self.user_id),
            Reported::Retry { .. } | Reported::Cancel { .. } => {
                Some(self.user_id.as_str()).filter(|user_id| !user_id.is_empty())
            }
            _ => None,
        }
    }
}

impl SweepCall {
    /// The sweep that was asked about, as it begins.
    pub fn again(&self) -> Self {
        SweepCall {
            sweep_id: self.sweep_id.clone(),
            user: self.user.clone(),
            planned: self.planned.clone(),
            policy: self.policy.clone(),
            first: RefCell::default(),
            ..*self
        }
    }
}
