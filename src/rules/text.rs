//! What people read. It is written without `core::fmt` and without an allocator, so that a browser's page can afford it:
//! each text is [`Words`], which go to a [`Sink`]; for everybody else, they have `Display`.

use std::fmt;

use super::draft::Unreadable;
use super::status::{Active, Status};
use super::verdict::{Action, Staleness, Verdict};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The stable code that stands beside every error text of a time-out, as `error_code`.
pub const GENERATION_TIMEOUT: &str = "generation_timeout";

/// What a text is written to.
pub trait Sink {
    /// Writes a text.
    fn text(&mut self, text: &str);

    /// Writes a digit, 0 to 9.
    fn digit(&mut self, digit: u8) {
        self.text("0123456789".get(digit.into()..=digit.into()).unwrap_or_default());
    }

    /// Writes a whole number.
    fn number(&mut self, number: u64) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.digit((number % 10) as u8);
    }
}

/// A text that can be written to any [`Sink`].
pub trait Words {
    /// Writes it.
    fn write(&self, to: &mut impl Sink);
}

impl Words for &str {
    fn write(&self, to: &mut impl Sink) {
        to.text(self);
    }
}

/// A formatter as a [`Sink`]: keeps the first error.
struct Formatted<'a, 'b> {
    formatter: &'a mut fmt::Formatter<'b>,
    result: fmt::Result,
}

impl Sink for Formatted<'_, '_> {
    fn text(&mut self, text: &str) {
        self.result = self.result.and_then(|()| self.formatter.write_str(text));
    }
}

pub(super) fn display(words: &impl Words, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut to = Formatted { formatter, result: Ok(()) };
    words.write(&mut to);
    to.result
}

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

impl Words for ErrorText {
    fn write(&self, to: &mut impl Sink) {
        self.write_with(Age(self.age_ms).parts(), to);
    }
}

impl ErrorText {
    /// Writes it, for whoever has the [`Age::parts`] already.
    pub(crate) fn write_with(&self, (count, unit): (u64, Unit), to: &mut impl Sink) {
        to.text("Generation timeout: Task stuck in ");
        to.text(self.stuck_status.as_str());
        to.text(" status for ");
        unit.write(count, to);
        if self.attempt > 1 {
            to.text(", after ");
            to.number(self.attempt.into());
            to.text(" attempts");
        }
    }
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
    }
}

impl Words for Unreadable {
    fn write(&self, to: &mut impl Sink) {
        match self {
            Unreadable::UnknownStatus => to.text("its status is unknown"),
            Unreadable::Missing => to.text("it has no time"),
            Unreadable::Malformed(field) | Unreadable::Implausible(field) => {
                to.text("its `");
                to.text(field.as_str());
                to.text(if matches!(self, Unreadable::Malformed(_)) {
                    "` is not a time"
                } else {
                    "` looks like seconds"
                });
                to.text(": expected whole epoch milliseconds");
            }
            Unreadable::Future(_) => to.text("its last sign of life is in the future"),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
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

/// The unit that an [`Age`], or [`Ago`], is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Written as hours with one decimal.
    TenthsOfHours,
    /// Written as they are.
    Minutes,
    /// Written as they are.
    Seconds,
    /// Written as they are, and never in an [`Age`].
    Days,
}

impl Unit {
    /// The word for programs, as in `error_params`: a unit of `Intl.NumberFormat`. A count of hours has one decimal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::TenthsOfHours => "hour",
            Unit::Minutes => "minute",
            Unit::Seconds => "second",
            Unit::Days => "day",
        }
    }

    fn count(self, count: u64, to: &mut impl Sink) {
        if matches!(self, Unit::TenthsOfHours) {
            to.number(count / 10);
            to.text(".");
            to.number(count % 10);
        } else {
            to.number(count);
        }
    }

    fn write(self, count: u64, to: &mut impl Sink) {
        self.count(count, to);
        to.text(match self {
            Unit::TenthsOfHours => " hours",
            Unit::Minutes => " minute",
            Unit::Seconds => " second",
            Unit::Days => " day",
        });
        if count != 1 && !matches!(self, Unit::TenthsOfHours) {
            to.text("s");
        }
    }
}

impl Words for Age {
    fn write(&self, to: &mut impl Sink) {
        let (count, unit) = self.parts();
        unit.write(count, to);
    }
}

/// `18.2 hours ago`: how long ago something was, in milliseconds; as an [`Age`], and in whole days from two days on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ago(pub u64);

impl Ago {
    /// The count and the unit that are written; hours are counted in tenths.
    pub const fn parts(self) -> (u64, Unit) {
        if self.0 < 2 * DAY { Age(self.0).parts() } else { (self.0 / DAY, Unit::Days) }
    }
}

impl Words for Ago {
    fn write(&self, to: &mut impl Sink) {
        Self::write_parts(self.parts(), to);
    }
}

impl Ago {
    /// Writes it, for whoever has the [`Ago::parts`] already.
    pub(crate) fn write_parts((count, unit): (u64, Unit), to: &mut impl Sink) {
        unit.write(count, to);
        to.text(" ago");
    }
}

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
    }
}

/// An age in short: `18.2h`.
struct ShortAge(Age);

impl Words for ShortAge {
    fn write(&self, to: &mut impl Sink) {
        let (count, unit) = self.0.parts();
        unit.count(count, to);
        to.text(match unit {
            Unit::TenthsOfHours => "h",
            Unit::Minutes => "m",
            Unit::Seconds => "s",
            Unit::Days => "d",
        });
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { display(&ShortAge(*self), f) } else { display(self, f) }
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
    Badge::of(verdict).as_str()
}

/// Which badge a creation has: see [`badge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badge {
    /// It waits for a worker.
    Pending,
    /// A worker is at it.
    Processing,
    /// It can be published.
    Draft,
    /// It is published.
    Published,
    /// It has failed, or is stale and about to be.
    Failed,
    /// It is stale, and about to be tried again.
    Retrying,
    /// Its age can't be known.
    NeedsAttention,
}

impl Badge {
    /// All of them, each at the place of its number.
    pub const ALL: [Badge; 7] = [
        Badge::Pending,
        Badge::Processing,
        Badge::Draft,
        Badge::Published,
        Badge::Failed,
        Badge::Retrying,
        Badge::NeedsAttention,
    ];

    /// The badge of a creation with this verdict.
    pub const fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Stale(staleness) if matches!(staleness.action(), Action::Retry) => Badge::Retrying,
            Verdict::Stale(_) | Verdict::Settled(Status::Failed) => Badge::Failed,
            Verdict::Fresh { status: Active::Pending, .. } | Verdict::Settled(Status::Pending) => {
                Badge::Pending
            }
            Verdict::Fresh { status: Active::Processing, .. } | Verdict::Settled(Status::Processing) => {
                Badge::Processing
            }
            Verdict::Settled(Status::Draft) => Badge::Draft,
            Verdict::Settled(Status::Published) => Badge::Published,
            Verdict::Unreadable(_) => Badge::NeedsAttention,
        }
    }

    /// A stable code for JSON. Of a status, it is the status.
    pub const fn code(self) -> &'static str {
        match self {
            Badge::Pending => Status::Pending.as_str(),
            Badge::Processing => Status::Processing.as_str(),
            Badge::Draft => Status::Draft.as_str(),
            Badge::Published => Status::Published.as_str(),
            Badge::Failed => Status::Failed.as_str(),
            Badge::Retrying => "retrying",
            Badge::NeedsAttention => "needs_attention",
        }
    }

    /// A sign, a space and words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Badge::Pending => "⏳ Pending",
            Badge::Processing => "⚙️ Processing",
            Badge::Draft => "📝 Draft",
            Badge::Published => "🌐 Published",
            Badge::Failed => "❌ Failed",
            Badge::Retrying => "🔁 Retrying",
            Badge::NeedsAttention => "⚠️ Needs attention",
        }
    }
}

/// `Auto-cleanup: Marked 3 stale creations as failed`: a sweep's line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepMessage {
    /// How many creations it marked as failed.
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
