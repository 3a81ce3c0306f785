use super::draft::Phase;
use super::limit::{Limit, MaxAge};
use super::policy::{Attempts, Preset, Rule};

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
    /// `heartbeat_minutes`
    HeartbeatMinutes,
    /// `total_hours`
    TotalHours,
    /// `attempts`
    Attempts,
    /// `keep_late_results`
    KeepLateResults,
    /// `kinds`
    Kinds,
    /// The empty text, which names no kind.
    Empty,
    /// Any other text.
    Other,
    /// No key: the path ended before.
    End,
}

/// What an entry of a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A limit.
    Limit(Rule),
    /// How many attempts there are; of one kind, or of every kind.
    Attempts {
        /// Whether it is of one kind.
        of_kind: bool,
    },
    /// Whether results that come too late are kept.
    KeepLateResults,
}

/// What a value of a policy means, wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// A number: of hours, minutes or attempts, by its entry.
    Number(f64),
    /// `"never"`
    Never,
    /// The name of a preset.
    Preset(Preset),
    /// `true` or `false`.
    Flag(bool),
    /// None of these.
    Nothing,
}

/// What a value gives to its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// A limit.
    Limit(Limit),
    /// A number of attempts.
    Attempts(Attempts),
    /// Yes or no.
    Flag(bool),
}

/// Why a value of a policy is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is neither hours nor `"never"`.
    NoLimit,
    /// It is neither minutes nor `"never"`.
    NoMinutes,
    /// It is no number of attempts.
    NoAttempts,
    /// It is neither `true` nor `false`.
    NoFlag,
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
pub const fn entry(path: [Key; 3]) -> Result<Entry, Problem> {
    let rule = match path {
        [Key::MaxAgeHours, Key::End, Key::End] => Rule::MaxAgeHours,
        // Which preset it is stands in the value.
        [Key::Preset, Key::End, Key::End] => Rule::Preset(Preset::Production),
        [Key::Pending | Key::Processing, Key::End, Key::End] => Rule::Status,
        [Key::HeartbeatMinutes, Key::End, Key::End] => Rule::Heartbeat,
        [Key::TotalHours, Key::End, Key::End] => Rule::Total,
        [Key::Attempts, Key::End, Key::End] => return Ok(Entry::Attempts { of_kind: false }),
        [Key::KeepLateResults, Key::End, Key::End] => return Ok(Entry::KeepLateResults),
        [Key::Kinds, _, Key::End] => return Err(Problem::NoTable),
        [Key::Kinds, Key::Empty, _] => return Err(Problem::UnknownKey),
        [Key::Kinds, _, Key::MaxAgeHours] => Rule::Kind,
        [Key::Kinds, _, Key::Pending | Key::Processing] => Rule::KindAndStatus,
        [Key::Kinds, _, Key::HeartbeatMinutes] => Rule::KindHeartbeat,
        [Key::Kinds, _, Key::TotalHours] => Rule::KindTotal,
        [Key::Kinds, _, Key::Attempts] => return Ok(Entry::Attempts { of_kind: true }),
        [Key::Kinds, ..] => return Err(Problem::UnknownKindKey),
        _ => return Err(Problem::UnknownKey),
    };
    Ok(Entry::Limit(rule))
}

/// What a value gives to its entry. `other_base` says whether the base is already given by the other of its two keys.
///
/// # Errors
///
/// [`Problem::TwoBases`], or that the value is not what belongs there.
pub fn value(entry: Entry, meaning: Meaning, other_base: bool) -> Result<Given, Problem> {
    let minutes = matches!(entry, Entry::Limit(Rule::Heartbeat | Rule::KindHeartbeat));
    let no_limit = if minutes { Problem::NoMinutes } else { Problem::NoLimit };
    match (entry, meaning) {
        (Entry::Limit(Rule::Preset(_) | Rule::MaxAgeHours), _) if other_base => Err(Problem::TwoBases),
        (Entry::Limit(Rule::Preset(_)), Meaning::Preset(preset)) => Ok(Limit::After(preset.max_age())),
        (Entry::Limit(Rule::Preset(_)), _) => Err(Problem::NoPreset),
        (Entry::Limit(_), Meaning::Number(number)) => {
            let max_age = if minutes { MaxAge::minutes(number) } else { MaxAge::checked(number) };
            max_age.map(Limit::After).ok_or(no_limit)
        }
        (Entry::Limit(_), Meaning::Never) => Ok(Limit::Never),
        (Entry::Limit(_), _) => Err(no_limit),
        (Entry::Attempts { .. }, Meaning::Number(number)) => {
            return Attempts::checked(number).map(Given::Attempts).ok_or(Problem::NoAttempts);
        }
        (Entry::Attempts { .. }, _) => Err(Problem::NoAttempts),
        (Entry::KeepLateResults, Meaning::Flag(flag)) => return Ok(Given::Flag(flag)),
        (Entry::KeepLateResults, _) => Err(Problem::NoFlag),
    }
    .map(Given::Limit)
}

/// The limit on silence that applies, and the entry that it comes from: the most specific of those that are given;
/// `None` where only the base is left. Those by heartbeat count only for a worker that sends heartbeats.
pub fn most_specific(
    phase: Phase,
    heartbeats: [Option<Limit>; 2],
    others: [Option<Limit>; 3],
) -> Option<(Limit, Rule)> {
    let [kind_heartbeat, heartbeat] =
        if matches!(phase, Phase::Heartbeating) { heartbeats } else { [None; 2] };
    let [kind_and_status, kind, status] = others;
    match (kind_heartbeat, heartbeat, kind_and_status, kind, status) {
        (Some(limit), ..) => Some((limit, Rule::KindHeartbeat)),
        (_, Some(limit), ..) => Some((limit, Rule::Heartbeat)),
        (_, _, Some(limit), ..) => Some((limit, Rule::KindAndStatus)),
        (.., Some(limit), _) => Some((limit, Rule::Kind)),
        (.., Some(limit)) => Some((limit, Rule::Status)),
        (None, None, None, None, None) => None,
    }
}
