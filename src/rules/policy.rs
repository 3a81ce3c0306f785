use std::fmt;

use super::draft::Phase;
use super::entry::{Entry, Given, Key, Meaning, Problem, entry, most_specific, value};
use super::limit::{Limit, MaxAge};
use super::status::Active;

/// How long a creation may show no sign of life: per status, and per kind of creation. And how long it may take in all,
/// and how often it is tried.
///
/// The most specific entry applies:
///
/// 1. for a worker that sends heartbeats, the kind's own by heartbeat (`kinds.video.heartbeat_minutes`),
/// 2. likewise, the one for every kind (`heartbeat_minutes`),
/// 3. the kind's own for the status (`kinds.video.processing`),
/// 4. the kind's own (`kinds.video.max_age_hours`),
/// 5. the status' own (`processing`),
/// 6. the base (`max_age_hours`, or `preset`; 1 hour if neither is given).
///
/// `total_hours` limits how long `processing` may take, heartbeats or not; there is no such limit by default.
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
    all: Own,
    kinds: Vec<KindLimits>,
    keep_late_results: bool,
}

/// What a policy says of one kind, or of all of them, beside the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Own {
    statuses: PerStatus,
    heartbeat: Option<Limit>,
    total: Option<Limit>,
    attempts: Option<Attempts>,
}

impl Own {
    /// Changes the limits on silence.
    fn map(self, change: impl Fn(Limit) -> Limit) -> Self {
        Own { statuses: self.statuses.map(&change), heartbeat: self.heartbeat.map(&change), ..self }
    }
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
    own: Own,
}

/// How often a creation is tried: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempts(u32);

impl Attempts {
    /// One attempt, the default: what is stale is failed.
    pub const ONE: Attempts = Attempts(1);

    /// So many attempts; `None` if that is no whole number from 1 to 100.
    pub fn checked(number: f64) -> Option<Self> {
        // In range and whole, the cast is exact.
        ((1.0..=100.0).contains(&number) && number == number.trunc()).then_some(Attempts(number as u32))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether there is another one after this; what is before the first counts as the first.
    pub const fn left(self, attempt: u32) -> bool {
        attempt < self.0 && self.0 > 1
    }
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
        let all = Own { statuses, heartbeat: None, total: None, attempts: None };
        Policy { base: limit, base_rule: Rule::MaxAgeHours, all, kinds: Vec::new(), keep_late_results: true }
    }

    /// A policy from its settings: pairs of a path of keys and a value, in any order.
    ///
    /// | path | value |
    /// |---|---|
    /// | `max_age_hours` | hours, or `"never"` |
    /// | `preset` | `"development"`, `"budget"` or `"production"`, in place of `max_age_hours` |
    /// | `pending`, `processing` | hours, or `"never"` |
    /// | `heartbeat_minutes` | minutes, or `"never"`: between two heartbeats |
    /// | `total_hours` | hours, or `"never"`: from a worker's beginning |
    /// | `attempts` | a whole number from 1 to 100; 1 if left out |
    /// | `keep_late_results` | `true`, the default, or `false` |
    /// | `kinds.<kind>.` | all of them but `preset` and `keep_late_results` |
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
            let entry = entry(keys).map_err(error)?;
            let meaning = setting.meaning();
            let given = value(entry, meaning, base_key.is_some_and(|other| other != first)).map_err(error)?;
            match (entry, given) {
                (Entry::Limit(Rule::Preset(_) | Rule::MaxAgeHours), Given::Limit(limit)) => {
                    base_key = Some(first);
                    policy.base = limit;
                    policy.base_rule = match meaning {
                        Meaning::Preset(preset) => Rule::Preset(preset),
                        _ => Rule::MaxAgeHours,
                    };
                }
                (Entry::Limit(rule), Given::Limit(limit)) => policy.set(rule, kind, [first, last], limit),
                (Entry::Attempts { of_kind: false }, Given::Attempts(attempts)) => {
                    policy.all.attempts = Some(attempts);
                }
                (_, Given::Attempts(attempts)) => policy.kind_mut(kind).own.attempts = Some(attempts),
                (_, Given::Flag(keep)) => policy.keep_late_results = keep,
                // `value` gives a limit to a limit only.
                (_, Given::Limit(_)) => {}
            }
        }
        Ok(policy)
    }

    fn set(&mut self, rule: Rule, kind: &str, [first, last]: [Key; 2], limit: Limit) {
        match rule {
            Rule::Preset(_) | Rule::MaxAgeHours => self.base = limit,
            Rule::Status => self.all.statuses.set(first, limit),
            Rule::Heartbeat => self.all.heartbeat = Some(limit),
            Rule::Total => self.all.total = Some(limit),
            Rule::Kind => self.kind_mut(kind).base = Some(limit),
            Rule::KindAndStatus => self.kind_mut(kind).own.statuses.set(last, limit),
            Rule::KindHeartbeat => self.kind_mut(kind).own.heartbeat = Some(limit),
            Rule::KindTotal => self.kind_mut(kind).own.total = Some(limit),
        }
    }

    fn kind_mut(&mut self, kind: &str) -> &mut KindLimits {
        let at = match self.kinds.binary_search_by(|entry| entry.kind.as_str().cmp(kind)) {
            Ok(at) => at,
            Err(at) => {
                let new = KindLimits { kind: kind.to_owned(), base: None, own: Own::default() };
                self.kinds.insert(at, new);
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "`at` was found or inserted on the lines above")]
        &mut self.kinds[at]
    }

    fn kind(&self, kind: &str) -> Option<&KindLimits> {
        self.kinds.iter().find(|entry| entry.kind == kind)
    }

    /// The limit on silence for creations of `kind` in `status` whose worker sends no heartbeats, and the entry that it
    /// comes from.
    pub fn limit(&self, status: Active, kind: &str) -> (Limit, Rule) {
        let phase = match status {
            Active::Pending => Phase::Pending,
            Active::Processing => Phase::Processing,
        };
        self.limit_in(phase, kind)
    }

    /// The limit on silence for creations of `kind` that are at `phase`, and the entry that it comes from.
    pub fn limit_in(&self, phase: Phase, kind: &str) -> (Limit, Rule) {
        let own = self.kind(kind);
        most_specific(
            phase,
            [own.and_then(|kind| kind.own.heartbeat), self.all.heartbeat],
            [
                own.and_then(|kind| kind.own.statuses.get(phase.status())),
                own.and_then(|kind| kind.base),
                self.all.statuses.get(phase.status()),
            ],
        )
        .unwrap_or((self.base, self.base_rule))
    }

    /// The limit on the total time of creations of `kind` in `processing`, and the entry that it comes from; `never`
    /// where none is given.
    pub fn total(&self, kind: &str) -> (Limit, Rule) {
        match (self.kind(kind).and_then(|kind| kind.own.total), self.all.total) {
            (Some(limit), _) => (limit, Rule::KindTotal),
            (None, limit) => (limit.unwrap_or(Limit::Never), Rule::Total),
        }
    }

    /// Whether any limit on the total time is given.
    pub fn limits_total(&self) -> bool {
        self.all.total.is_some() || self.kinds.iter().any(|kind| kind.own.total.is_some())
    }

    /// How often creations of `kind` are tried.
    pub fn attempts(&self, kind: &str) -> Attempts {
        self.kind(kind).and_then(|kind| kind.own.attempts).or(self.all.attempts).unwrap_or(Attempts::ONE)
    }

    /// Whether a result that comes too late is kept, for an operator to restore.
    pub const fn keeps_late_results(&self) -> bool {
        self.keep_late_results
    }

    /// The kinds that have entries of their own, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|entry| entry.kind.as_str())
    }

    /// The same policy with every limit on silence replaced by `max_age`; what is `never` stale stays so, and the limits
    /// on the total time and the attempts stay as they are.
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
            all: self.all.map(change),
            kinds: self
                .kinds
                .iter()
                .map(|entry| KindLimits {
                    kind: entry.kind.clone(),
                    base: entry.base.map(change),
                    own: entry.own.map(change),
                })
                .collect(),
            keep_late_results: self.keep_late_results,
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
            "heartbeat_minutes" => Key::HeartbeatMinutes,
            "total_hours" => Key::TotalHours,
            "attempts" => Key::Attempts,
            "keep_late_results" => Key::KeepLateResults,
            "kinds" => Key::Kinds,
            "" => Key::Empty,
            _ => Key::Other,
        }
    }
}

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
    fn meaning(self) -> Meaning {
        match self {
            Setting::Number(number, _) => Meaning::Number(number),
            Setting::Text("never") => Meaning::Never,
            Setting::Text("development") => Meaning::Preset(Preset::Development),
            Setting::Text("budget") => Meaning::Preset(Preset::Budget),
            Setting::Text("production") => Meaning::Preset(Preset::Production),
            Setting::Other("true") => Meaning::Flag(true),
            Setting::Other("false") => Meaning::Flag(false),
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
    /// `heartbeat_minutes`
    Heartbeat,
    /// `kinds.<kind>.heartbeat_minutes`
    KindHeartbeat,
    /// `total_hours`
    Total,
    /// `kinds.<kind>.total_hours`
    KindTotal,
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
            Rule::Heartbeat => String::from("heartbeat_minutes"),
            Rule::KindHeartbeat => format!("kinds.{kind}.heartbeat_minutes"),
            Rule::Total => String::from("total_hours"),
            Rule::KindTotal => format!("kinds.{kind}.total_hours"),
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
            Problem::NoMinutes => {
                format!(
                    "`{key}` is `{setting}`: expected minutes above 0, such as `2` or `0.5`, or `\"never\"`"
                )
            }
            Problem::NoAttempts => format!("`{key}` is `{setting}`: expected a whole number from 1 to 100"),
            Problem::NoFlag => format!("`{key}` is `{setting}`: expected `true` or `false`"),
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
                "unknown key `{key}`: expected `preset`, `max_age_hours`, `pending`, `processing`, `heartbeat_minutes`, \
                 `total_hours`, `attempts`, `keep_late_results` or `kinds.<kind>`"
            ),
            Problem::UnknownKindKey => {
                format!(
                    "unknown key `{key}`: expected `max_age_hours`, `pending`, `processing`, \
                     `heartbeat_minutes`, `total_hours` or `attempts`"
                )
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
