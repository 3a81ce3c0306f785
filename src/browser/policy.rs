use wasm_bindgen::prelude::wasm_bindgen;

use super::{limit, millis};
use crate::rules::{Key, Limit, Meaning, Preset, Problem, Rule, entry, most_specific, value};

/// The limit of one value of a policy in milliseconds, or minus the code of what is wrong with it.
///
/// | key | is | meaning | is | answer | is |
/// |---|---|---|---|---|---|
/// | 0 | `max_age_hours` | 0 | `hours` | -1 | [`Problem::NoLimit`] |
/// | 1 | `preset` | 1 | `"never"` | -2 | [`Problem::NoPreset`] |
/// | 2 | `pending` | 2 | `"development"` | -3 | [`Problem::TwoBases`] |
/// | 3 | `processing` | 3 | `"budget"` | -4 | [`Problem::NoTable`] |
/// | 4 | `kinds` | 4 | `"production"` | -5 | [`Problem::UnknownKey`] |
/// | 5 | the empty text | other | none of these | -6 | [`Problem::UnknownKindKey`] |
/// | 6 | any other text | | | | |
/// | 7 | no key | | | | |
///
/// `other_base` is not 0 if the base is already given by the other of its two keys.
#[wasm_bindgen]
pub fn setting(first: i32, second: i32, third: i32, meaning: i32, hours: f64, other_base: i32) -> f64 {
    let limit = entry([key(first), key(second), key(third)])
        .and_then(|rule| value(rule, meant(meaning, hours), other_base != 0));
    match limit {
        Ok(limit) => millis(limit),
        Err(Problem::NoLimit) => -1.0,
        Err(Problem::NoPreset) => -2.0,
        Err(Problem::TwoBases) => -3.0,
        Err(Problem::NoTable) => -4.0,
        Err(Problem::UnknownKey) => -5.0,
        Err(Problem::UnknownKindKey) => -6.0,
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
    value(rule, meaning, false).map_or(f64::NAN, millis)
}

fn key(code: i32) -> Key {
    match code {
        0 => Key::MaxAgeHours,
        1 => Key::Preset,
        2 => Key::Pending,
        3 => Key::Processing,
        4 => Key::Kinds,
        5 => Key::Empty,
        6 => Key::Other,
        _ => Key::End,
    }
}

fn meant(code: i32, hours: f64) -> Meaning {
    match code {
        0 => Meaning::Hours(hours),
        1 => Meaning::Never,
        2 => Meaning::Preset(Preset::Development),
        3 => Meaning::Preset(Preset::Budget),
        4 => Meaning::Preset(Preset::Production),
        _ => Meaning::Nothing,
    }
}

/// Which of the limits applies: 0 the kind's own for the status, 1 the kind's own, 2 the status' own, 3 the base.
/// NaN is a limit that is not given.
#[wasm_bindgen]
pub fn rule(kind_and_status: f64, kind: f64, status: f64) -> i32 {
    match most_specific(given(kind_and_status), given(kind), given(status)) {
        Some((_, Rule::KindAndStatus)) => 0,
        Some((_, Rule::Kind)) => 1,
        Some(_) => 2,
        None => 3,
    }
}

fn given(max_age_ms: f64) -> Option<Limit> {
    (!max_age_ms.is_nan()).then(|| limit(max_age_ms))
}
