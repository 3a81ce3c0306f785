//! What a draft is.
//!
//! ```js
//! rules.hours(0.5);                                            // or limits(…), or another way to say when it is stale
//! rules.check(status, created_at, queued_at, started_at, heartbeat_at, extended_until, attempt, earliest, latest);
//! const [verdict, status, badge] = answer;                       // the fields of an answer, where rules.answer() says
//! names[badge]                                                   // the lines that rules.names() has written
//! ```

use std::cell::Cell;

use wasm_bindgen::prelude::wasm_bindgen;

use super::text::{is, lines, lines_length, write};
use super::{limit, millis};
use crate::rules::{
    Action, Active, Age, Ago, Attempts, Badge, Draft, ErrorText, Field, GENERATION_TIMEOUT, Limit, MaxAge,
    Phase, Preset, Rule, Sink, Status, Time, Timestamp, Unit, Unreadable, Verdict, Words, applied,
    classify_by,
};

/// What the last draft is. JavaScript reads it where [`answer`] says, as doubles with these names in this order. A name is given
/// by its place in [`NAMES`], -1 for none.
#[derive(Clone, Copy)]
struct Answer {
    /// The name of the verdict.
    verdict: i32,
    /// The status that it has, or is about to have; none if it is unreadable.
    status: i32,
    /// The name of the badge's code; its words stand as far behind it as there are others between.
    badge: i32,
    /// The error that it has failed with, or why it is unreadable: its length in the buffer, 0 if there is none.
    error: usize,
    /// The stable code of that error.
    error_code: i32,
    /// The name of the unit of the age in it, or of the time that can't be read.
    unit: i32,
    /// How many of that unit: the age as it is written.
    count: f64,
    /// Which attempt was stale.
    attempt: f64,
    /// The last instant at which it is not stale; NaN where there is none.
    deadline: f64,
    /// How long it has shown no sign of life, or has taken in all; NaN if it is not stale.
    age_ms: f64,
    /// The limit that it was judged by; Infinity for `never`, NaN where none applies.
    max_age_ms: f64,
    /// Which limit that is: its place among the arguments of [`limits`].
    limit: i32,
    /// The first instant at which it is something else by itself: stale, or no longer in the future; NaN where there is none.
    changes_at: f64,
    /// The deadline, where an operator has put it off; NaN otherwise.
    extended_until: f64,
}

const FIELDS: usize = 14;

impl Answer {
    #[rustfmt::skip]
    fn fields(self) -> [f64; FIELDS] {
        let Answer { verdict, status, badge, error, error_code, unit, count, attempt, .. } = self;
        let Answer { deadline, age_ms, max_age_ms, limit, changes_at, extended_until, .. } = self;
        let [verdict, status, badge, error_code, limit, unit] =
            [verdict, status, badge, error_code, limit, unit].map(f64::from);
        [
            verdict, status, badge, error as f64, error_code, deadline, age_ms, max_age_ms, limit, changes_at,
            extended_until, unit, count, attempt,
        ]
    }
}

/// The codes of the badges, in the order of [`Badge::ALL`], which begins as [`Status::ALL`]; the verdicts; the badges in the same
/// order; the error codes; the units; the times, in the order of [`Field`].
const NAMES: [&str; 33] = [
    Badge::Pending.code(),
    Badge::Processing.code(),
    Badge::Draft.code(),
    Badge::Published.code(),
    Badge::Failed.code(),
    Badge::Retrying.code(),
    Badge::NeedsAttention.code(),
    "settled",
    "fresh",
    "stale",
    "unreadable",
    Badge::Pending.as_str(),
    Badge::Processing.as_str(),
    Badge::Draft.as_str(),
    Badge::Published.as_str(),
    Badge::Failed.as_str(),
    Badge::Retrying.as_str(),
    Badge::NeedsAttention.as_str(),
    GENERATION_TIMEOUT,
    Unreadable::UnknownStatus.code(),
    Unreadable::Missing.code(),
    Unreadable::Malformed(Field::CreatedAt).code(),
    Unreadable::Implausible(Field::CreatedAt).code(),
    Unreadable::IN_FUTURE,
    Unit::TenthsOfHours.as_str(),
    Unit::Minutes.as_str(),
    Unit::Seconds.as_str(),
    Unit::Days.as_str(),
    Field::CreatedAt.as_str(),
    Field::QueuedAt.as_str(),
    Field::StartedAt.as_str(),
    Field::HeartbeatAt.as_str(),
    Field::ExtendedUntil.as_str(),
];
// Where they are. A status, and the code of a badge, is at its own number; the badges are BADGES in pkg/src/check.js.
const SETTLED: i32 = 7;
const FRESH: i32 = 8;
const STALE: i32 = 9;
const UNREADABLE: i32 = 10;
const ERROR_CODES: i32 = 18;
const UNITS: i32 = 24;
const TIMES: i32 = 28;
const NONE: i32 = -1;

/// They are joined when this is compiled: a table of them would be an eighth of the module.
const LINES: &str = match str::from_utf8(&lines::<{ lines_length(&NAMES) }>(&NAMES)) {
    Ok(lines) => lines,
    Err(_) => "",
};

/// The limits that apply, and how often drafts are tried.
struct Applying {
    silence: [Cell<f64>; Phase::ALL.len()],
    total: Cell<f64>,
    attempts: Cell<f64>,
}

thread_local! {
    static ANSWER: [Cell<f64>; FIELDS] = const { [const { Cell::new(0.0) }; FIELDS] };
    static APPLYING: Applying = const { Applying {
        silence: [const { Cell::new(0.0) }; Phase::ALL.len()],
        total: Cell::new(0.0),
        attempts: Cell::new(0.0),
    } };
}

// First, the limits.

/// Sets what a policy object gives: see [`super::policy`].
#[wasm_bindgen]
pub fn limits(pending: f64, processing: f64, heartbeating: f64, total: f64, attempts: f64) {
    let _always_there = APPLYING.try_with(|applying| {
        let [at_pending, at_processing, at_heartbeating] = &applying.silence;
        at_pending.set(pending);
        at_processing.set(processing);
        at_heartbeating.set(heartbeating);
        applying.total.set(total);
        applying.attempts.set(attempts);
    });
}

/// Sets the limit that applies where nothing is said.
#[wasm_bindgen]
pub fn default_limit() {
    one_limit(Limit::default());
}

/// Sets one limit for everything, in hours; says whether that is a limit.
#[wasm_bindgen]
pub fn hours(hours: f64) -> bool {
    MaxAge::checked(hours).map(|max_age| one_limit(Limit::After(max_age))).is_some()
}

/// Sets the limit of the word in the buffer, `never` or a preset; says whether it is one.
#[wasm_bindgen]
pub fn named_limit(length: usize) -> bool {
    let limit = if is("never", length) {
        Some(Limit::Never)
    } else {
        Preset::of(|name| is(name, length)).map(|preset| Limit::After(preset.max_age()))
    };
    limit.map(one_limit).is_some()
}

/// Writes what to say of anything else.
#[wasm_bindgen]
pub fn no_policy() -> usize {
    write(&"`policy` is `{value}`: expected hours above 0, \"never\", a preset or a policy()")
}

#[inline(never)]
fn one_limit(limit: Limit) {
    let limit = millis(limit);
    limits(limit, limit, limit, f64::INFINITY, 1.0);
}

// Then, the draft.

/// Judges a draft, at an instant that is known to lie between `earliest` and `latest`: it is stale only if it is so at the
/// earliest, and in the future only if it is so at the latest.
#[wasm_bindgen]
#[expect(
    clippy::too_many_arguments,
    reason = "they are a draft's columns, and only numbers cross the boundary"
)]
pub fn check(
    status: i32,
    created_at: f64,
    queued_at: f64,
    started_at: f64,
    heartbeat_at: f64,
    extended_until: f64,
    attempt: f64,
    earliest: f64,
    latest: f64,
) {
    let draft = Draft {
        status: usize::try_from(status).ok().and_then(|place| Status::ALL.get(place)).copied(),
        created_at: time(created_at),
        queued_at: time(queued_at),
        started_at: time(started_at),
        heartbeat_at: time(heartbeat_at),
        extended_until: time(extended_until),
        attempt: if attempt >= 1.0 { attempt.min(u32::MAX.into()) as u64 as u32 } else { 1 },
        ..Draft::default()
    };
    let _always_there = APPLYING.try_with(|applying| {
        let mut place = -1;
        let attempts = Attempts::checked(applying.attempts.get()).unwrap_or(Attempts::ONE);
        let verdict = classify_by(&draft, instant(latest), attempts, |status, signs| {
            let phase = draft.phase(status);
            let [pending, processing, heartbeating] = &applying.silence;
            let silence = match phase {
                Phase::Pending => pending,
                Phase::Processing => processing,
                Phase::Heartbeating => heartbeating,
            };
            let silence = (limit(silence.get()), Rule::MaxAgeHours);
            let applied = applied(status, signs, silence, (limit(applying.total.get()), Rule::Total));
            place = if applied.rule == Rule::Total { Phase::ALL.len() as i32 } else { phase as i32 };
            applied
        });
        keep(answer_at(instant(earliest), verdict, place));
    });
}

/// The answer about a draft that was judged at the latest instant that it may be, as it is at the earliest.
fn answer_at(earliest: Timestamp, verdict: Verdict, limit: i32) -> Answer {
    let none = Answer {
        verdict: SETTLED,
        status: NONE,
        badge: Badge::of(&verdict) as i32,
        error: 0,
        error_code: NONE,
        unit: NONE,
        count: f64::NAN,
        attempt: f64::NAN,
        deadline: f64::NAN,
        age_ms: f64::NAN,
        max_age_ms: f64::NAN,
        limit,
        changes_at: f64::NAN,
        extended_until: f64::NAN,
    };
    match verdict {
        Verdict::Settled(status) => Answer { status: status as i32, ..none },
        Verdict::Fresh { status, deadline, limit, extended_until, .. } => {
            fresh(status, deadline, millis(limit), extended_until, none)
        }
        Verdict::Stale(stale) if earliest <= stale.deadline() => {
            let max_age_ms = stale.max_age_ms as f64;
            fresh(stale.stuck_status, Some(stale.deadline()), max_age_ms, stale.put_off(), none)
        }
        Verdict::Stale(mut stale) => {
            stale.age_ms = earliest.millis_since(stale.since);
            let status = match stale.action() {
                Action::Fail => Status::Failed,
                Action::Retry => Status::Pending,
            };
            let parts = Age(stale.age_ms).parts();
            let (count, unit) = written(parts);
            Answer {
                verdict: STALE,
                status: status as i32,
                error: write(&TimedOut(stale.error_text(), parts)),
                error_code: ERROR_CODES,
                unit,
                count,
                attempt: stale.attempt.into(),
                deadline: stale.deadline().as_millis() as f64,
                age_ms: stale.age_ms as f64,
                max_age_ms: stale.max_age_ms as f64,
                ..none
            }
        }
        Verdict::Unreadable(reason) => {
            let code = match reason {
                Unreadable::UnknownStatus => 1,
                Unreadable::Missing => 2,
                Unreadable::Malformed(_) => 3,
                Unreadable::Implausible(_) => 4,
                Unreadable::Future(_) => 5,
            };
            Answer {
                verdict: UNREADABLE,
                error: write(&reason),
                error_code: ERROR_CODES.saturating_add(code),
                unit: reason.field().map_or(NONE, |field| TIMES.saturating_add(field as i32)),
                changes_at: match reason {
                    Unreadable::Future(sign) => sign.readable_from().as_millis() as f64,
                    _ => f64::NAN,
                },
                ..none
            }
        }
    }
}

/// The text of a time-out, with what its age is written as.
struct TimedOut(ErrorText, (u64, Unit));

impl Words for TimedOut {
    fn write(&self, to: &mut impl Sink) {
        self.0.write_with(self.1, to);
    }
}

/// How long ago something was, as it is written.
struct Since((u64, Unit));

impl Words for Since {
    fn write(&self, to: &mut impl Sink) {
        Ago::write_parts(self.0, to);
    }
}

/// An age as it is written: how many, and the name of the unit.
fn written((count, unit): (u64, Unit)) -> (f64, i32) {
    let tenths = if unit == Unit::TenthsOfHours { 10.0 } else { 1.0 };
    (count as f64 / tenths, UNITS.saturating_add(unit as i32))
}

fn fresh(
    status: Active,
    deadline: Option<Timestamp>,
    max_age_ms: f64,
    extended_until: Option<Timestamp>,
    none: Answer,
) -> Answer {
    let badge = match status {
        Active::Pending => Badge::Pending,
        Active::Processing => Badge::Processing,
    };
    Answer {
        verdict: FRESH,
        status: status.status() as i32,
        badge: badge as i32,
        deadline: deadline.map_or(f64::NAN, |at| at.as_millis() as f64),
        max_age_ms,
        changes_at: deadline.map_or(f64::NAN, |at| at.as_millis() as f64 + 1.0),
        extended_until: extended_until.map_or(f64::NAN, |at| at.as_millis() as f64),
        ..none
    }
}

/// Whether a reading of a clock can be `now`: it can't be before any creation, when it looks like seconds.
#[wasm_bindgen]
pub fn is_now(millis: f64) -> bool {
    let earliest = Timestamp::EARLIEST_OF_CREATION.as_millis() as f64;
    earliest <= millis && millis <= Timestamp::MAX.as_millis() as f64
}

/// Writes what to say of another.
#[wasm_bindgen]
pub fn no_now() -> usize {
    write(
        &"`now` is `{value}`: expected epoch milliseconds (not seconds), a Date, RFC 3339 text with its zone, or a clock",
    )
}

/// Writes how long ago something was; its count and unit are in the answer, too.
#[wasm_bindgen]
pub fn ago(millis: f64) -> usize {
    let parts = Ago(millis as u64).parts();
    let (count, unit) = written(parts);
    let _always_there = ANSWER.try_with(|[.., kept_unit, kept_count, _attempt]| {
        kept_unit.set(unit.into());
        kept_count.set(count);
    });
    write(&Since(parts))
}

/// NaN is missing; a fraction, or what is out of range, is malformed.
fn time(millis: f64) -> Time {
    if millis.is_nan() {
        Time::Missing
    } else if millis == millis.trunc() {
        // What is out of range becomes either end, and both are beyond every timestamp.
        Time::from_millis(millis as i64)
    } else {
        Time::Malformed
    }
}

/// A clock may tell fractions: the instant is the millisecond that has begun. A bound of its error may reach beyond either end
/// of time.
fn instant(millis: f64) -> Timestamp {
    Timestamp::from_millis(millis.max(0.0) as i64).unwrap_or(Timestamp::MAX)
}

fn keep(answer: Answer) {
    let _always_there = ANSWER.try_with(|kept| {
        for (cell, field) in kept.iter().zip(answer.fields()) {
            cell.set(field);
        }
    });
}

// Last, the answer.

/// Where the answer is in the module's memory, in bytes.
#[wasm_bindgen]
pub fn answer() -> usize {
    ANSWER.try_with(|fields| fields.as_ptr().addr()).unwrap_or_default()
}

/// Writes the [`NAMES`], a line for each.
#[wasm_bindgen]
pub fn names() -> usize {
    write(&LINES)
}
