use wasm_bindgen::prelude::wasm_bindgen;

use super::limit;
use crate::rules::{
    Age, Applied, Attempts, Draft, Field, Rule, Signs, Status, Time, Timestamp, Unit, Unreadable, Verdict,
    classify_by,
};

/// Answers that are no time and no age stand below every time and age: this minus their code.
const CODES: f64 = -9e15;

/// What a draft is, for a `now` that is known to lie between `earliest` and `latest`.
///
/// | answer | verdict |
/// |---|---|
/// | 0 or more | fresh; the deadline, or Infinity for `never` |
/// | -8.64e15 to -1 | stale; minus the age in milliseconds |
/// | -9e15 | settled |
/// | -9e15 - 1 | unreadable: unknown status |
/// | -9e15 - 2 | unreadable: no time |
/// | -9e15 - 3 | unreadable: in the future |
/// | -9e15 - 4, 5, 6 | unreadable: `created_at`, `entered_at`, `heartbeat_at` is malformed |
///
/// `entered_at` is `queued_at` of a pending draft, and `started_at` of any other. Where the limit on the total time
/// applies, no heartbeat is given. It is stale only if it is so at `earliest`, and in the future only if it is so at
/// `latest`.
#[wasm_bindgen(js_name = classify)]
pub fn verdict(
    status: i32,
    created_at: f64,
    entered_at: f64,
    heartbeat_at: f64,
    max_age_ms: f64,
    earliest: f64,
    latest: f64,
) -> f64 {
    let entered_at = time(entered_at);
    let draft = Draft {
        status: match status {
            0 => Some(Status::Pending),
            1 => Some(Status::Processing),
            2 => Some(Status::Draft),
            3 => Some(Status::Published),
            4 => Some(Status::Failed),
            _ => None,
        },
        created_at: time(created_at),
        queued_at: entered_at,
        started_at: entered_at,
        heartbeat_at: time(heartbeat_at),
        ..Draft::default()
    };
    let earliest = instant(earliest);
    let limit = limit(max_age_ms);
    let applied = |_, signs: Signs| Applied { limit, rule: Rule::MaxAgeHours, since: signs.last };
    match classify_by(&draft, instant(latest), Attempts::ONE, applied) {
        Verdict::Settled(_) => CODES,
        Verdict::Fresh { deadline, .. } => deadline.map_or(f64::INFINITY, |at| at.as_millis() as f64),
        Verdict::Stale(stale) if earliest <= stale.deadline() => stale.deadline().as_millis() as f64,
        Verdict::Stale(stale) => -(earliest.millis_since(stale.since) as f64),
        Verdict::Unreadable(reason) => CODES - code(reason),
    }
}

/// An age as it is written: its count times four, plus its unit: 0 hours, counted in tenths, 1 minutes,
/// 2 seconds.
#[wasm_bindgen]
pub fn age(age_ms: f64) -> f64 {
    let (count, unit) = Age(age_ms as u64).parts();
    let unit = match unit {
        Unit::TenthsOfHours => 0,
        Unit::Minutes => 1,
        Unit::Seconds => 2,
    };
    count.saturating_mul(4).saturating_add(unit) as f64
}

pub(super) fn time(millis: f64) -> Time {
    if millis.is_nan() {
        Time::Missing
    } else if millis == millis.trunc() {
        // What is out of range becomes either end, and both are beyond every timestamp.
        Time::from_millis(millis as i64)
    } else {
        Time::Malformed
    }
}

/// A clock may tell fractions: the instant is the millisecond that has begun. A bound of its error may reach
/// beyond either end of time.
pub(super) fn instant(millis: f64) -> Timestamp {
    Timestamp::from_millis(millis.max(0.0) as i64).unwrap_or(Timestamp::MAX)
}

fn code(reason: Unreadable) -> f64 {
    match reason {
        Unreadable::UnknownStatus => 1.0,
        Unreadable::Missing => 2.0,
        Unreadable::Future => 3.0,
        Unreadable::Malformed(Field::CreatedAt) => 4.0,
        Unreadable::Malformed(Field::QueuedAt | Field::StartedAt) => 5.0,
        Unreadable::Malformed(Field::HeartbeatAt) => 6.0,
    }
}
