use std::fmt;

use super::cancellation::Cancellation;
use super::limit::{Attempts, Limit, MaxActive, MaxAge, Preset};

/// One value of a policy, as its configuration gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting<'a> {
    /// A number, and how it was written.
    Number(f64, &'a str),
    /// Text.
    Text(&'a str),
    /// Anything else, as it was written: `true`, `false`, or what is always refused.
    Other(&'a str),
}

impl Setting<'_> {
    pub(super) fn value(self) -> Value {
        match self {
            Setting::Number(number, _) => Value::Number(number),
            Setting::Text(text) => Value::of(|word| word == text),
            Setting::Other("true") => Value::Bool(true),
            Setting::Other("false") => Value::Bool(false),
            Setting::Other(_) => Value::Other,
        }
    }
}

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Number(_, text) | Setting::Other(text) => f.write_str(text),
            Setting::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

/// A policy that is not understood. Its text names the key, quotes the value and says what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError(String);

impl PolicyError {
    pub(super) fn new(error: SettingError, path: &[&str], setting: Setting<'_>) -> Self {
        let (key, value) = (path.join("."), setting.to_string());
        let around_values = error.message().split("{value}");
        PolicyError(around_values.map(|text| text.replace("{key}", &key)).collect::<Vec<_>>().join(&value))
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}

/// One key on the way to a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    MaxAgeHours,
    Preset,
    Pending,
    Processing,
    HeartbeatMinutes,
    TotalHours,
    Attempts,
    MaxActive,
    KeepLateResults,
    Cancel,
    Kinds,
    /// The empty text, which names no kind.
    Empty,
    /// Any other text.
    Other,
}

impl Key {
    /// The key whose text `is` this.
    pub(crate) fn of(is: impl Fn(&str) -> bool) -> Self {
        let known = [
            ("max_age_hours", Key::MaxAgeHours),
            ("preset", Key::Preset),
            ("pending", Key::Pending),
            ("processing", Key::Processing),
            ("heartbeat_minutes", Key::HeartbeatMinutes),
            ("total_hours", Key::TotalHours),
            ("attempts", Key::Attempts),
            ("max_active", Key::MaxActive),
            ("keep_late_results", Key::KeepLateResults),
            ("cancel", Key::Cancel),
            ("kinds", Key::Kinds),
            ("", Key::Empty),
        ];
        known.into_iter().find(|(text, _)| is(text)).map_or(Key::Other, |(_, key)| key)
    }
}

/// A value, as far as it can be understood without its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Hours, minutes or attempts.
    Number(f64),
    /// `"never"`
    Never,
    Preset(Preset),
    /// `"refund"` or `"keep"`
    Cancellation(Cancellation),
    Bool(bool),
    /// Anything else.
    Other,
}

impl Value {
    /// The value whose text `is` this.
    pub(crate) fn of(is: impl Fn(&str) -> bool) -> Self {
        let known = [
            ("never", Value::Never),
            ("refund", Value::Cancellation(Cancellation::Refund)),
            ("keep", Value::Cancellation(Cancellation::Keep)),
        ];
        match known.into_iter().find(|(text, _)| is(text)) {
            Some((_, value)) => value,
            None => Preset::of(is).map_or(Value::Other, Value::Preset),
        }
    }
}

/// A setting that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whether it is for one kind, or for all of them.
    pub(crate) of_kind: bool,
    pub(crate) says: Says,
}

/// What a setting says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    MaxAge(Limit),
    Preset(Preset),
    Pending(Limit),
    Processing(Limit),
    Heartbeat(Limit),
    Total(Limit),
    Attempts(Attempts),
    MaxActive(MaxActive),
    KeepLateResults(bool),
    Cancel(Cancellation),
}

impl Entry {
    /// Understands the setting at `path`.
    pub(crate) fn read(path: &[Key], value: Value) -> Result<Self, SettingError> {
        let (of_kind, key) = match path {
            [Key::Kinds] | [Key::Kinds, _] => return Err(SettingError::NoTable),
            [Key::Kinds, kind, key] if !matches!(kind, Key::Empty) => (true, *key),
            [key] => (false, *key),
            _ => return Err(SettingError::UnknownKey),
        };
        let says = match key {
            Key::MaxAgeHours => Says::MaxAge(hours(value)?),
            Key::Pending => Says::Pending(hours(value)?),
            Key::Processing => Says::Processing(hours(value)?),
            Key::TotalHours => Says::Total(hours(value)?),
            Key::HeartbeatMinutes => Says::Heartbeat(minutes(value)?),
            Key::Attempts => Says::Attempts(attempts(value)?),
            Key::Cancel => Says::Cancel(cancellation(value)?),
            Key::MaxActive => Says::MaxActive(max_active(value)?),
            Key::Preset if !of_kind => Says::Preset(preset(value)?),
            Key::KeepLateResults if !of_kind => Says::KeepLateResults(flag(value)?),
            _ if of_kind => return Err(SettingError::UnknownKindKey),
            _ => return Err(SettingError::UnknownKey),
        };
        Ok(Entry { of_kind, says })
    }
}

fn hours(value: Value) -> Result<Limit, SettingError> {
    limit(value, MaxAge::checked).ok_or(SettingError::NoHours)
}

fn minutes(value: Value) -> Result<Limit, SettingError> {
    limit(value, MaxAge::minutes).ok_or(SettingError::NoMinutes)
}

fn limit(value: Value, max_age: fn(f64) -> Option<MaxAge>) -> Option<Limit> {
    match value {
        Value::Number(number) => max_age(number).map(Limit::After),
        Value::Never => Some(Limit::Never),
        _ => None,
    }
}

fn attempts(value: Value) -> Result<Attempts, SettingError> {
    match value {
        Value::Number(number) => Attempts::checked(number).ok_or(SettingError::NoAttempts),
        _ => Err(SettingError::NoAttempts),
    }
}

fn max_active(value: Value) -> Result<MaxActive, SettingError> {
    match value {
        Value::Number(number) => MaxActive::checked(number).ok_or(SettingError::NoMaxActive),
        _ => Err(SettingError::NoMaxActive),
    }
}

const fn preset(value: Value) -> Result<Preset, SettingError> {
    match value {
        Value::Preset(preset) => Ok(preset),
        _ => Err(SettingError::NoPreset),
    }
}

const fn cancellation(value: Value) -> Result<Cancellation, SettingError> {
    match value {
        Value::Never => Ok(Cancellation::Never),
        Value::Cancellation(cancellation) => Ok(cancellation),
        _ => Err(SettingError::NoCancellation),
    }
}

const fn flag(value: Value) -> Result<bool, SettingError> {
    match value {
        Value::Bool(flag) => Ok(flag),
        _ => Err(SettingError::NoFlag),
    }
}

/// Why a setting is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingError {
    /// Neither hours nor `"never"`.
    NoHours,
    /// Neither minutes nor `"never"`.
    NoMinutes,
    NoAttempts,
    NoMaxActive,
    NoFlag,
    NoCancellation,
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

impl SettingError {
    /// The message, with `{key}` and `{value}` where the setting's own are to stand.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            SettingError::NoHours => {
                "`{key}` is `{value}`: expected hours above 0, such as `1` or `0.5`, or `\"never\"`"
            }
            SettingError::NoMinutes => {
                "`{key}` is `{value}`: expected minutes above 0, such as `2` or `0.5`, or `\"never\"`"
            }
            SettingError::NoAttempts => "`{key}` is `{value}`: expected a whole number from 1 to 100",
            SettingError::NoMaxActive => "`{key}` is `{value}`: expected a whole number from 1 to 10000",
            SettingError::NoFlag => "`{key}` is `{value}`: expected `true` or `false`",
            SettingError::NoCancellation => {
                "`{key}` is `{value}`: expected `\"refund\"`, `\"keep\"` or `\"never\"`"
            }
            SettingError::NoPreset => {
                "`{key}` is `{value}`: expected `\"development\"` (10 minutes), `\"budget\"` (30 minutes) or \
                 `\"production\"` (1 hour)"
            }
            SettingError::TwoBases => "`preset` and `max_age_hours` exclude each other: give one",
            SettingError::NoTable => {
                "`{key}` is `{value}`: expected a table such as `kinds.video = { processing = 6 }`"
            }
            SettingError::UnknownKey => {
                "unknown key `{key}`: expected `preset`, `max_age_hours`, `pending`, `processing`, `heartbeat_minutes`, \
                 `total_hours`, `attempts`, `cancel`, `max_active`, `keep_late_results` or `kinds.<kind>`"
            }
            SettingError::UnknownKindKey => {
                "unknown key `{key}`: expected `max_age_hours`, `pending`, `processing`, `heartbeat_minutes`, \
                 `total_hours`, `attempts`, `cancel` or `max_active`"
            }
        }
    }
}
