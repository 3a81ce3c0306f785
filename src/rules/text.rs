use std::fmt;

use super::status::{Active, Status};
use super::verdict::{Action, Staleness, Verdict};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The stable code that stands beside every error text of a time-out, as `error_code`.
pub const GENERATION_TIMEOUT: &str = "generation_timeout";

impl Staleness {
    /// The error that is stored and shown to the owner.
    pub const fn error_text(&self) -> ErrorText {
        ErrorText { stuck_status: self.stuck_status, age_ms: self.age_ms, attempt: self.attempt }
    }
}

/// `Generation timeout: Task stuck in pending status for 18.2 hours`
///
/// The age is an [`Age`], written out. From the second attempt on, `, after 2 attempts` stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorText {
    /// The status that the creation was stuck in.
    pub stuck_status: Active,
    /// How long, in milliseconds.
    pub age_ms: u64,
    /// Which attempt it was, from 1.
    pub attempt: u32,
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Generation timeout: Task stuck in {} status for {}", self.stuck_status, Age(self.age_ms))?;
        if self.attempt > 1 { write!(f, ", after {} attempts", self.attempt) } else { Ok(()) }
    }
}

/// An age in milliseconds, as people read it: from one hour on, hours with one decimal, half up; below, whole
/// minutes; below one minute, whole seconds. Whole means begun and finished: 59.9 s are `59 seconds`.
///
/// `{}` writes it out (`18.2 hours`, `12 minutes`, `1 minute`, `36 seconds`), `{:#}` in short (`18.2h`, `12m`,
/// `36s`). It is computed in integers, because `{:.1}`, JavaScript's `toFixed` and SQL's `printf` disagree
/// about ties.
///
/// ```
/// use stale_drafts::rules::Age;
///
/// assert_eq!(Age(65_520_000).to_string(), "18.2 hours");
/// assert_eq!(format!("{:#}", Age(720_000)), "12m");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(pub u64);

impl Age {
    /// The count and the unit that are written; hours are counted in tenths.
    pub const fn parts(self) -> (u64, Unit) {
        if self.0 >= HOUR {
            // Tenths of an hour, half up. The remainder is below one hour, so nothing overflows.
            let part = (self.0 % HOUR).saturating_mul(10).saturating_add(HOUR / 2) / HOUR;
            ((self.0 / HOUR).saturating_mul(10).saturating_add(part), Unit::TenthsOfHours)
        } else if self.0 >= MINUTE {
            (self.0 / MINUTE, Unit::Minutes)
        } else {
            (self.0 / SECOND, Unit::Seconds)
        }
    }
}

/// The unit that an [`Age`] is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Written as hours with one decimal.
    TenthsOfHours,
    /// Written as they are.
    Minutes,
    /// Written as they are.
    Seconds,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = self.parts();
        let (one, many, short) = match unit {
            Unit::TenthsOfHours => ("hours", "hours", "h"),
            Unit::Minutes => ("minute", "minutes", "m"),
            Unit::Seconds => ("second", "seconds", "s"),
        };
        match unit {
            Unit::TenthsOfHours => write!(f, "{}.{}", count / 10, count % 10)?,
            Unit::Minutes | Unit::Seconds => write!(f, "{count}")?,
        }
        if f.alternate() { f.write_str(short) } else { write!(f, " {}", if count == 1 { one } else { many }) }
    }
}

/// The badge of a creation with this verdict: a sign and a word.
///
/// | verdict | badge |
/// |---|---|
/// | stale with an attempt left | `🔁 Retrying` |
/// | stale, or settled as `failed` | `❌ Failed` |
/// | fresh | `⏳ Pending`, `⚙️ Processing` |
/// | settled | `📝 Draft`, `🌐 Published` |
/// | unreadable | `⚠️ Needs attention` |
pub const fn badge(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Stale(staleness) if matches!(staleness.action(), Action::Retry) => "🔁 Retrying",
        Verdict::Stale(_) | Verdict::Settled(Status::Failed) => "❌ Failed",
        Verdict::Fresh { status: Active::Pending, .. } | Verdict::Settled(Status::Pending) => "⏳ Pending",
        Verdict::Fresh { status: Active::Processing, .. } | Verdict::Settled(Status::Processing) => {
            "⚙️ Processing"
        }
        Verdict::Settled(Status::Draft) => "📝 Draft",
        Verdict::Settled(Status::Published) => "🌐 Published",
        Verdict::Unreadable(_) => "⚠️ Needs attention",
    }
}

/// `Auto-cleanup: Marked 3 stale creations as failed`: a sweep's line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepMessage {
    /// How many creations it marked failed.
    pub marked: u64,
}

impl fmt::Display for SweepMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.marked == 1 { "" } else { "s" };
        write!(f, "Auto-cleanup: Marked {} stale creation{plural} as failed", self.marked)
    }
}

/// `Marked stale creation abc123... as failed (age: 18.2h)`: a creation's line in the log. An id of more than
/// six characters is cut after six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkedMessage<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// Its age, in milliseconds.
    pub age_ms: u64,
}

impl fmt::Display for MarkedMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Marked stale creation {} as failed (age: {:#})", Short(self.id), Age(self.age_ms))
    }
}

/// `Put stale creation abc123... back for attempt 2 (age: 18.2h)`: the line of a creation that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetriedMessage<'a> {
    /// The creation's id.
    pub id: &'a str,
    /// The age of the attempt that was stale, in milliseconds.
    pub age_ms: u64,
    /// The attempt that was stale.
    pub attempt: u32,
}

impl fmt::Display for RetriedMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = self.attempt.saturating_add(1);
        let age = Age(self.age_ms);
        write!(f, "Put stale creation {} back for attempt {next} (age: {age:#})", Short(self.id))
    }
}

/// An id, cut after six characters.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(6) {
            Some((end, _)) => write!(f, "{}...", self.0.get(..end).unwrap_or(self.0)),
            None => f.write_str(self.0),
        }
    }
}
