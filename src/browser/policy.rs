use wasm_bindgen::prelude::wasm_bindgen;

use super::draft::{instant, time};
use super::{limit, millis};
use crate::rules::{
    Active, Attempts, Entry, Given, Key, Limit, Meaning, Phase, Preset, Problem, Rule, Signs, Time, applied,
    entry, most_specific, value,
};

/// What one value of a policy gives, or minus the code of what is wrong with it: a limit in milliseconds, a number of
/// attempts, or 1 and 0 for `true` and `false`.
///
/// | key | is | meaning | is | answer | is |
/// |---|---|---|---|---|---|
/// | 0 | `max_age_hours` | 0 | a number | -1 | [`Problem::NoLimit`] |
/// | 1 | `preset` | 1 | `"never"` | -2 | [`Problem::NoPreset`] |
/// | 2 | `pending` | 2 | `"development"` | -3 | [`Problem::TwoBases`] |
/// | 3 | `processing` | 3 | `"budget"` | -4 | [`Problem::NoTable`] |
/// | 4 | `heartbeat_minutes` | 4 | `"production"` | -5 | [`Problem::UnknownKey`] |
/// | 5 | `total_hours` | 5 | `true` | -6 | [`Problem::UnknownKindKey`] |
/// | 6 | `attempts` | 6 | `false` | -7 | [`Problem::NoMinutes`] |
/// | 7 | `keep_late_results` | other | none of these | -8 | [`Problem::NoAttempts`] |
/// | 8 | `kinds` | | | -9 | [`Problem::NoFlag`] |
/// | 9 | the empty text | | | | |
/// | 10 | any other text | | | | |
/// | 11 | no key | | | | |
///
/// `other_base` is not 0 if the base is already given by the other of its two keys.
#[wasm_bindgen]
pub fn setting(first: i32, second: i32, third: i32, meaning: i32, number: f64, other_base: i32) -> f64 {
    let given = entry([key(first), key(second), key(third)])
        .and_then(|entry| value(entry, meant(meaning, number), other_base != 0));
    match given {
        Ok(Given::Limit(limit)) => millis(limit),
        Ok(Given::Attempts(attempts)) => f64::from(attempts.get()),
        Ok(Given::Flag(flag)) => f64::from(u8::from(flag)),
        Err(Problem::NoLimit) => -1.0,
        Err(Problem::NoPreset) => -2.0,
        Err(Problem::TwoBases) => -3.0,
        Err(Problem::NoTable) => -4.0,
        Err(Problem::UnknownKey) => -5.0,
        Err(Problem::UnknownKindKey) => -6.0,
        Err(Problem::NoMinutes) => -7.0,
        Err(Problem::NoAttempts) => -8.0,
        Err(Problem::NoFlag) => -9.0,
    }
}

/// The limit of a policy that is no table, in milliseconds: hours, `"never"` or a preset, with the codes of
/// [`setting`], or 5 for the default. NaN if it is none of them.
#[wasm_bindgen]
pub fn base(meaning: i32, hours: f64) -> f64 {
    if meaning == 5 {
        return millis(Limit::default());
    }
    let meaning = meant(meaning, hours);
    let rule = match meaning {
        Meaning::Preset(preset) => Rule::Preset(preset),
        _ => Rule::MaxAgeHours,
    };
    match value(Entry::Limit(rule), meaning, false) {
        Ok(Given::Limit(limit)) => millis(limit),
        _ => f64::NAN,
    }
}

fn key(code: i32) -> Key {
    match code {
        0 => Key::MaxAgeHours,
        1 => Key::Preset,
        2 => Key::Pending,
        3 => Key::Processing,
        4 => Key::HeartbeatMinutes,
        5 => Key::TotalHours,
        6 => Key::Attempts,
        7 => Key::KeepLateResults,
        8 => Key::Kinds,
        9 => Key::Empty,
        10 => Key::Other,
        _ => Key::End,
    }
}

fn meant(code: i32, number: f64) -> Meaning {
    match code {
        0 => Meaning::Number(number),
        1 => Meaning::Never,
        2 => Meaning::Preset(Preset::Development),
        3 => Meaning::Preset(Preset::Budget),
        4 => Meaning::Preset(Preset::Production),
        5 => Meaning::Flag(true),
        6 => Meaning::Flag(false),
        _ => Meaning::Nothing,
    }
}

/// Which of the limits on silence applies to a draft: 0 the kind's own by heartbeat, 1 the one by heartbeat, 2 the
/// kind's own for the status, 3 the kind's own, 4 the status' own, 5 the base. NaN is a limit that is not given.
#[wasm_bindgen]
#[expect(clippy::too_many_arguments, reason = "numbers are all that goes in without a memory")]
pub fn rule(
    status: i32,
    entered_at: f64,
    heartbeat_at: f64,
    kind_heartbeat: f64,
    heartbeat: f64,
    kind_and_status: f64,
    kind: f64,
    of_status: f64,
) -> i32 {
    let at = |millis: f64| (!millis.is_nan()).then(|| instant(millis));
    let phase = Phase::of(active(status), at(entered_at), at(heartbeat_at));
    let heartbeats = [kind_heartbeat, heartbeat].map(given);
    match most_specific(phase, heartbeats, [kind_and_status, kind, of_status].map(given)) {
        Some((_, Rule::KindHeartbeat)) => 0,
        Some((_, Rule::Heartbeat)) => 1,
        Some((_, Rule::KindAndStatus)) => 2,
        Some((_, Rule::Kind)) => 3,
        Some(_) => 4,
        None => 5,
    }
}

/// Whether the limit on the total time applies to a draft, and not the one on silence. Not if its age can't be known at
/// `latest`.
#[wasm_bindgen]
pub fn total(
    status: i32,
    created_at: f64,
    entered_at: f64,
    heartbeat_at: f64,
    silence_ms: f64,
    total_ms: f64,
    latest: f64,
) -> bool {
    // The greater of two numbers is the one that is one; whatever is malformed is infinite, and so later than now.
    let entered = created_at.max(entered_at);
    let last = entered.max(heartbeat_at);
    let known = (!entered.is_nan()).then(|| instant(entered));
    let signs = Signs { entered: known, last: instant(last) };
    let silence = (limit(silence_ms), Rule::MaxAgeHours);
    let applied = applied(active(status), signs, silence, (limit(total_ms), Rule::Total));
    let readable = !matches!(time(heartbeat_at), Time::Malformed) && last <= latest;
    readable && matches!(applied.rule, Rule::Total)
}

fn active(status: i32) -> Active {
    if status == 1 { Active::Processing } else { Active::Pending }
}

/// Whether a stale draft is given another attempt. NaN is a number of attempts that is not given.
#[wasm_bindgen]
pub fn retries(attempt: f64, attempts: f64) -> bool {
    // The cast makes NaN 0: what is no attempt is before the first. None is left after the hundredth, whichever it is.
    let attempt = if attempt >= 100.0 { 100 } else { attempt as u32 };
    Attempts::checked(attempts).is_some_and(|attempts| attempts.left(attempt))
}

fn given(max_age_ms: f64) -> Option<Limit> {
    (!max_age_ms.is_nan()).then(|| limit(max_age_ms))
}
