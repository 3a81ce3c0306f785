use std::fmt;

use super::entry::{Key, Meaning, Problem, entry, most_specific, value};
use super::limit::{Limit, MaxAge};
use super::status::Active;

/// How long a creation may show no sign of life: per status, and per kind of creation.
///
/// The most specific entry applies:
///
/// 1. the kind's own for the status (`kinds.video.processing`),
/// 2. the kind's own (`kinds.video.max_age_hours`),
/// 3. the status' own (`processing`),
/// 4. the base (`max_age_hours`, or `preset`; 1 hour if neither is given).
///
/// ```
/// use stale_drafts::rules::{Active, Limit, MaxAge, Policy, Setting};
///
/// let policy = Policy::from_settings([
///     (["preset"].as_slice(), Setting::Text("budget")),
///     (["kinds", "video", "processing"].as_slice(), Setting::Number(6.0, "6")),
///     (["kinds", "song", "max_age_hours"].as_slice(), Setting::Text("never")),
/// ])?;
/// assert_eq!(policy.limit(Active::Pending, "image").0, Limit::After(MaxAge::BUDGET));
/// let (_, rule) = policy.limit(Active::Processing, "video");
/// assert_eq!(rule.describe(Active::Processing, "video"), "kinds.video.processing");
/// assert_eq!(policy.limit(Active::Pending, "song").0, Limit::Never);
///
/// let error = Policy::from_settings([(["processing"].as_slice(), Setting::Number(-1.0, "-1"))]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`processing` is `-1`: expected hours above 0, such as `1` or `0.5`, or `\"never\"`",
/// );
/// # Ok::<(), stale_drafts::rules::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    base: Limit,
    base_rule: Rule,
    statuses: PerStatus,
    kinds: Vec<KindLimits>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PerStatus {
    pending: Option<Limit>,
    processing: Option<Limit>,
}

impl PerStatus {
    const fn get(self, status: Active) -> Option<Limit> {
        match status {
            Active::Pending => self.pending,
            Active::Processing => self.processing,
        }
    }

    /// Sets the limit of the status that `key` names.
    fn set(&mut self, key: Key, limit: Limit) {
        match key {
            Key::Pending => self.pending = Some(limit),
            Key::Processing => self.processing = Some(limit),
            _ => {}
        }
    }

    fn map(self, change: impl Fn(Limit) -> Limit) -> Self {
        PerStatus { pending: self.pending.map(&change), processing: self.processing.map(&change) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KindLimits {
    kind: String,
    base: Option<Limit>,
    statuses: PerStatus,
}

impl Default for Policy {
    /// One hour for everything.
    fn default() -> Self {
        Policy::uniform(Limit::default())
    }
}

impl Policy {
    /// One limit for every status and kind.
    pub const fn uniform(limit: Limit) -> Self {
        let statuses = PerStatus { pending: None, processing: None };
        Policy { base: limit, base_rule: Rule::MaxAgeHours, statuses, kinds: Vec::new() }
    }

    /// A policy from its settings: pairs of a path of keys and a value, in any order.
    ///
    /// | path | value |
    /// |---|---|
    /// | `max_age_hours` | hours, or `"never"` |
    /// | `preset` | `"development"`, `"budget"` or `"production"`, in place of `max_age_hours` |
    /// | `pending`, `processing` | hours, or `"never"` |
    /// | `kinds.<kind>.max_age_hours`, `.pending`, `.processing` | hours, or `"never"` |
    ///
    /// # Errors
    ///
    /// [`PolicyError`] names the key, quotes the value and says what would be right. Nothing is decided with
    /// a policy that is not wholly understood.
    pub fn from_settings<'a, P>(
        settings: impl IntoIterator<Item = (P, Setting<'a>)>,
    ) -> Result<Self, PolicyError>
    where
        P: AsRef<[&'a str]>,
    {
        let mut policy = Policy::default();
        let mut base_key = None;
        for (path, setting) in settings {
            let path = path.as_ref();
            let error = |problem| PolicyError::new(problem, path, setting);
            let (keys, kind) = match path {
                [key] => ([Key::of(key), Key::End, Key::End], ""),
                [first, second] => ([Key::of(first), Key::of(second), Key::End], ""),
                [first, kind, key] => ([Key::of(first), Key::of(kind), Key::of(key)], *kind),
                _ => return Err(error(Problem::UnknownKey)),
            };
            let [first, _, last] = keys;
            let rule = entry(keys).map_err(error)?;
            let meaning = setting.meaning();
            let limit = value(rule, meaning, base_key.is_some_and(|other| other != first)).map_err(error)?;
            match rule {
                Rule::Preset(_) | Rule::MaxAgeHours => {
                    base_key = Some(first);
                    policy.base = limit;
                    policy.base_rule = match meaning {
                        Meaning::Preset(preset) => Rule::Preset(preset),
                        _ => Rule::MaxAgeHours,
                    };
                }
                Rule::Status => policy.statuses.set(first, limit),
                Rule::Kind => policy.kind_mut(kind).base = Some(limit),
                Rule::KindAndStatus => policy.kind_mut(kind).statuses.set(last, limit),
            }
        }
        Ok(policy)
    }

    fn kind_mut(&mut self, kind: &str) -> &mut KindLimits {
        let at = match self.kinds.binary_search_by(|entry| entry.kind.as_str().cmp(kind)) {
            Ok(at) => at,
            Err(at) => {
                let new = KindLimits { kind: kind.to_owned(), base: None, statuses: PerStatus::default() };
                self.kinds.insert(at, new);
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "`at` was found or inserted on the lines above")]
        &mut self.kinds[at]
    }

    /// The limit for creations of `kind` in `status`, and the entry that it comes from.
    pub fn limit(&self, status: Active, kind: &str) -> (Limit, Rule) {
        let own = self.kinds.iter().find(|entry| entry.kind == kind);
        most_specific(
            own.and_then(|own| own.statuses.get(status)),
            own.and_then(|own| own.base),
            self.statuses.get(status),
        )
        .unwrap_or((self.base, self.base_rule))
    }

    /// The kinds that have entries of their own, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|entry| entry.kind.as_str())
    }

    /// The same policy with every limit replaced by `max_age`; what is `never` stale stays so.
    ///
    /// This is what `--max-age-hours` and `?max_age_hours=` do.
    #[must_use]
    pub fn with_max_age(&self, max_age: MaxAge) -> Self {
        let change = |limit| match limit {
            Limit::After(_) => Limit::After(max_age),
            Limit::Never => Limit::Never,
        };
        Policy {
            base: change(self.base),
            base_rule: Rule::MaxAgeHours,
            statuses: self.statuses.map(change),
            kinds: self
                .kinds
                .iter()
                .map(|entry| KindLimits {
                    kind: entry.kind.clone(),
                    base: entry.base.map(change),
                    statuses: entry.statuses.map(change),
                })
                .collect(),
        }
    }
}

impl Key {
    fn of(text: &str) -> Self {
        match text {
            "max_age_hours" => Key::MaxAgeHours,
            "preset" => Key::Preset,
            "pending" => Key::Pending,
            "processing" => Key::Processing,
            "kinds" => Key::Kinds,
            "" => Key::Empty,
            _ => Key::Other,
        }
    }
}

/// One value of a policy, as its configuration gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting<'a> {
    /// A number, of hours, and how it was written.
    Number(f64, &'a str),
    /// Text.
    Text(&'a str),
    /// Anything else, as it was written; always refused.
    Other(&'a str),
}

impl Setting<'_> {
    fn meaning(self) -> Meaning {
        match self {
            Setting::Number(hours, _) => Meaning::Hours(hours),
            Setting::Text("never") => Meaning::Never,
            Setting::Text("development") => Meaning::Preset(Preset::Development),
            Setting::Text("budget") => Meaning::Preset(Preset::Budget),
            Setting::Text("production") => Meaning::Preset(Preset::Production),
            Setting::Text(_) | Setting::Other(_) => Meaning::Nothing,
        }
    }
}

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Number(_, text) => f.write_str(text),
            Setting::Text(text) => write!(f, "\"{text}\""),
            Setting::Other(text) => f.write_str(text),
        }
    }
}

/// A named limit for a whole policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// [`MaxAge::DEVELOPMENT`]
    Development,
    /// [`MaxAge::BUDGET`]
    Budget,
    /// [`MaxAge::PRODUCTION`]
    Production,
}

impl Preset {
    /// The limit that it stands for.
    pub const fn max_age(self) -> MaxAge {
        match self {
            Preset::Development => MaxAge::DEVELOPMENT,
            Preset::Budget => MaxAge::BUDGET,
            Preset::Production => MaxAge::PRODUCTION,
        }
    }
}

/// The entry of a policy that a limit comes from; [`Rule::describe`] writes it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `preset`
    Preset(Preset),
    /// `max_age_hours`, given or by default
    MaxAgeHours,
    /// `pending` or `processing`
    Status,
    /// `kinds.<kind>.max_age_hours`
    Kind,
    /// `kinds.<kind>.pending` or `kinds.<kind>.processing`
    KindAndStatus,
}

impl Rule {
    /// The entry's path, for a creation of `kind` in `status`.
    pub fn describe(self, status: Active, kind: &str) -> String {
        match self {
            Rule::Preset(_) => String::from("preset"),
            Rule::MaxAgeHours => String::from("max_age_hours"),
            Rule::Status => String::from(status.as_str()),
            Rule::Kind => format!("kinds.{kind}.max_age_hours"),
            Rule::KindAndStatus => format!("kinds.{kind}.{status}"),
        }
    }
}

/// A policy that is not understood. Its text names the key, quotes the value and says what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError(String);

impl PolicyError {
    fn new(problem: Problem, path: &[&str], setting: Setting<'_>) -> Self {
        let key = path.join(".");
        PolicyError(match problem {
            Problem::NoLimit => {
                format!(
                    "`{key}` is `{setting}`: expected hours above 0, such as `1` or `0.5`, or `\"never\"`"
                )
            }
            Problem::NoPreset => format!(
                "`{key}` is `{setting}`: expected `\"development\"` (10 minutes), `\"budget\"` (30 minutes) or \
                 `\"production\"` (1 hour)"
            ),
            Problem::TwoBases => String::from("`preset` and `max_age_hours` exclude each other: give one"),
            Problem::NoTable => {
                format!(
                    "`{key}` is `{setting}`: expected a table such as `kinds.video = {{ processing = 6 }}`"
                )
            }
            Problem::UnknownKey => format!(
                "unknown key `{key}`: expected `preset`, `max_age_hours`, `pending`, `processing` or \
                 `kinds.<kind>`"
            ),
            Problem::UnknownKindKey => {
                format!("unknown key `{key}`: expected `max_age_hours`, `pending` or `processing`")
            }
        })
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PolicyError {}
