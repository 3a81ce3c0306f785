use super::limit::{Limit, MaxAge};
use super::policy::{Preset, Rule};

/// One key on the way to a policy's value, as far as the rules know it.
///
/// This file is the law of a policy without any text: [`Policy`](super::Policy) reads settings with it, and so
/// does the browser package, which leaves the wording of the messages to JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `max_age_hours`
    MaxAgeHours,
    /// `preset`
    Preset,
    /// `pending`
    Pending,
    /// `processing`
    Processing,
    /// `kinds`
    Kinds,
    /// The empty text, which names no kind.
    Empty,
    /// Any other text.
    Other,
    /// No key: the path ended before.
    End,
}

/// What a value of a policy means, wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// A number, of hours.
    Hours(f64),
    /// `"never"`
    Never,
    /// The name of a preset.
    Preset(Preset),
    /// None of these.
    Nothing,
}

/// Why a value of a policy is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is neither hours nor `"never"`.
    NoLimit,
    /// It is no preset.
    NoPreset,
    /// `preset` and `max_age_hours` are both given.
    TwoBases,
    /// It stands where a table of a kind's limits belongs.
    NoTable,
    /// No policy has this key.
    UnknownKey,
    /// No kind has this key.
    UnknownKindKey,
}

/// The entry that `path` names; longer paths than these three keys name none.
///
/// # Errors
///
/// [`Problem::NoTable`], [`Problem::UnknownKey`] or [`Problem::UnknownKindKey`].
pub const fn entry(path: [Key; 3]) -> Result<Rule, Problem> {
    match path {
        [Key::MaxAgeHours, Key::End, Key::End] => Ok(Rule::MaxAgeHours),
        // Which preset it is stands in the value.
        [Key::Preset, Key::End, Key::End] => Ok(Rule::Preset(Preset::Production)),
        [Key::Pending | Key::Processing, Key::End, Key::End] => Ok(Rule::Status),
        [Key::Kinds, _, Key::End] => Err(Problem::NoTable),
        [Key::Kinds, Key::Empty, _] => Err(Problem::UnknownKey),
        [Key::Kinds, _, Key::MaxAgeHours] => Ok(Rule::Kind),
        [Key::Kinds, _, Key::Pending | Key::Processing] => Ok(Rule::KindAndStatus),
        [Key::Kinds, ..] => Err(Problem::UnknownKindKey),
        _ => Err(Problem::UnknownKey),
    }
}

/// The limit that a value gives to the entry of `rule`. `other_base` says whether the base is already given by
/// the other of its two keys.
///
/// # Errors
///
/// [`Problem::TwoBases`], [`Problem::NoPreset`] or [`Problem::NoLimit`].
pub fn value(rule: Rule, meaning: Meaning, other_base: bool) -> Result<Limit, Problem> {
    match (rule, meaning) {
        (Rule::Preset(_) | Rule::MaxAgeHours, _) if other_base => Err(Problem::TwoBases),
        (Rule::Preset(_), Meaning::Preset(preset)) => Ok(Limit::After(preset.max_age())),
        (Rule::Preset(_), _) => Err(Problem::NoPreset),
        (_, Meaning::Hours(hours)) => MaxAge::checked(hours).map(Limit::After).ok_or(Problem::NoLimit),
        (_, Meaning::Never) => Ok(Limit::Never),
        (_, Meaning::Preset(_) | Meaning::Nothing) => Err(Problem::NoLimit),
    }
}

/// The most specific of the limits that are given, and the entry that it comes from; `None` where only the base
/// is left.
pub const fn most_specific(
    kind_and_status: Option<Limit>,
    kind: Option<Limit>,
    status: Option<Limit>,
) -> Option<(Limit, Rule)> {
    match (kind_and_status, kind, status) {
        (Some(limit), ..) => Some((limit, Rule::KindAndStatus)),
        (_, Some(limit), _) => Some((limit, Rule::Kind)),
        (.., Some(limit)) => Some((limit, Rule::Status)),
        (None, None, None) => None,
    }
}
