//! The rules: which creations are stale, and what to tell their owner.
//!
//! Pure functions of their arguments. No clock, I/O, serialisation, logging or async; `now` is a parameter;
//! every input has an answer; nothing panics or overflows. They depend on nothing but std, and every shell
//! (the Worker, the browser package) decides with them and with nothing else.
//!
//! [`classify`] answers for one creation, [`decide`] for a sweep; [`Policy`] says after how long.

mod breaker;
mod bucket;
mod bucket_set;
mod cancellation;
mod covered;
mod diagnosis;
mod draft;
mod entry;
mod evidence;
mod limit;
mod open_move;
mod placement;
mod plan;
mod policy;
mod setting;
mod status;
mod text;
mod time;
mod transition;
mod verdict;

pub use breaker::{CircuitBreaker, Suspension};
pub use bucket::{BUCKETS, Bucket};
pub use bucket_set::BucketSet;
pub use cancellation::{CANCELLED, CANCELLED_TEXT, Cancellation, FAILED_BY_OPERATOR};
pub use covered::covered;
pub use diagnosis::{
    ARCHIVE_EXPECTED_WITHIN_MS, DOMINANT_PERCENT, FEW, Finding, NOT_QUEUED, ONE_TIMEOUT_MS, ONE_WINDOW_MS,
    SILENT_AFTER_MS, START_EXPECTED_WITHIN_MS, Severity, WITHOUT_SCHEMA, alerts, apply_migrations, diagnose,
    lacks_schema, no_answer, shared_by,
};
pub use draft::{Draft, Field, Phase, REDELIVERED_AFTER_MS, Signs, Unreadable};
pub use entry::{End, Movement, Used};
pub use evidence::{Ended, Evidence, SetAside, Thresholds};
pub use limit::{Attempts, InvalidMaxAge, Limit, MaxActive, MaxAge, Preset};
pub use open_move::{MOVE_EXPECTED_WITHIN_MS, OpenMove};
pub use placement::{Placed, first_records, swapped};
pub use plan::{Candidate, Decision, Decisions, Planned, SkipReason, decide, recheck};
pub use policy::{ActiveLimits, KindPolicy, Policy, Rule};
#[cfg(feature = "browser-policy")]
pub(crate) use setting::{Entry, Key, SettingError, Value};
pub use setting::{PolicyError, Setting};
pub use status::{Active, IllegalTransition, Status, UnknownStatus};
pub use text::{
    Age, Ago, Badge, ErrorText, GENERATION_TIMEOUT, MarkedMessage, RetriedMessage, Sink, SweepMessage, Unit,
    Words, badge,
};
pub use time::{Time, Timestamp};
pub use transition::{Elsewhere, Judgement, Refusal, Report, Snapshot};
pub use verdict::{Action, Applied, LAGS, Staleness, Verdict, applied, classify, classify_by};
