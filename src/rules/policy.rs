use super::cancellation::Cancellation;
use super::draft::Phase;
use super::limit::{Attempts, Limit, MaxActive, MaxAge, Preset};
use super::setting::{Entry, Key, PolicyError, Says, Setting, SettingError};
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
    every: Table,
    /// In alphabetical order.
    kinds: Vec<(String, Table)>,
    /// What somebody asked for in place of the limits by age: see [`Policy::with_max_age`].
    asked: Option<MaxAge>,
}

impl Default for Policy {
    /// One hour for everything.
    fn default() -> Self {
        Policy { every: Table::EMPTY, kinds: Vec::new(), asked: None }
    }
}

impl Policy {
    /// One limit for every status and kind.
    pub const fn uniform(limit: Limit) -> Self {
        let every = Table { max_age: Some(limit), ..Table::EMPTY };
        Policy { every, kinds: Vec::new(), asked: None }
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
    /// | `cancel` | `"refund"`, the default, `"keep"` or `"never"`: see [`Cancellation`] |
    /// | `max_active` | a whole number from 1 to 10,000: how many of one owner's creations may be active, of all kinds |
    /// | `keep_late_results` | `true`, the default, or `false` |
    /// | `kinds.<kind>.` | all of them but `preset` and `keep_late_results`; `max_active` is how many of this kind, beside that of all |
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
        for (path, setting) in settings {
            let path = path.as_ref();
            let keys: Vec<_> = path.iter().map(|text| Key::of(|word| word == *text)).collect();
            Entry::read(&keys, setting.value())
                .and_then(|entry| policy.table(path).set(entry.says))
                .map_err(|error| PolicyError::new(error, path, setting))?;
        }
        Ok(policy)
    }

    /// The table that the entry at `path` belongs to.
    fn table(&mut self, path: &[&str]) -> &mut Table {
        let [_, kind, _] = path else { return &mut self.every };
        let at = match self.kinds.binary_search_by(|(known, _)| known.as_str().cmp(kind)) {
            Ok(at) => at,
            Err(at) => {
                self.kinds.insert(at, ((*kind).to_owned(), Table::EMPTY));
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "`at` was found or inserted on the lines above")]
        &mut self.kinds[at].1
    }

    /// What the policy says of creations of `kind`.
    pub fn of(&self, kind: &str) -> KindPolicy {
        let own = self.kinds.iter().find(|(known, _)| known == kind);
        KindPolicy {
            every: self.every,
            own: own.map_or(Table::EMPTY, |(_, table)| *table),
            asked: self.asked,
        }
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

    /// See [`KindPolicy::silence`].
    pub fn limit_in(&self, phase: Phase, kind: &str) -> (Limit, Rule) {
        self.of(kind).silence(phase)
    }

    /// See [`KindPolicy::total`].
    pub fn total(&self, kind: &str) -> (Limit, Rule) {
        self.of(kind).total()
    }

    /// Whether any limit on the total time is given.
    pub fn limits_total(&self) -> bool {
        self.every.total.is_some() || self.kinds.iter().any(|(_, table)| table.total.is_some())
    }

    /// The limit on the total time of the kind that has the longest one; `never` where any kind has none.
    pub fn longest_run(&self) -> Limit {
        let own = self.kinds.iter().map(|(_, table)| table.total.or(self.every.total));
        let limits = own.chain([self.every.total]).map(|limit| limit.unwrap_or(Limit::Never));
        let longer = |one, other| match (one, other) {
            (Limit::After(one), Limit::After(other)) => Limit::After(one.max(other)),
            _ => Limit::Never,
        };
        limits.reduce(longer).unwrap_or(Limit::Never)
    }

    /// How often creations of `kind` are tried.
    pub fn attempts(&self, kind: &str) -> Attempts {
        self.of(kind).attempts()
    }

    /// What cancelling creations of `kind` does while a worker is at them.
    pub fn cancellation(&self, kind: &str) -> Cancellation {
        self.of(kind).cancellation()
    }

    /// How many of an owner's creations may be active when one of `kind` is made.
    pub fn max_active(&self, kind: &str) -> ActiveLimits {
        let KindPolicy { every, own, .. } = self.of(kind);
        ActiveLimits { of_all: every.max_active, of_kind: own.max_active }
    }

    /// Whether a result that comes too late is kept, for an operator to restore.
    pub fn keeps_late_results(&self) -> bool {
        self.every.keep_late_results.unwrap_or(true)
    }

    /// The kinds that have entries of their own, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|(kind, _)| kind.as_str())
    }

    /// The same policy with every limit by age replaced by `max_age`; what is `never` stale stays so, and the limits between
    /// heartbeats and on the total time and the attempts stay as they are. Where there is no limit between heartbeats, that by age
    /// stands for it, and is never made shorter: whoever sends heartbeats as the policy asks is alive, whatever is asked for.
    ///
    /// This is what `--max-age-hours` and `?max_age_hours=` do.
    #[must_use]
    pub fn with_max_age(&self, max_age: MaxAge) -> Self {
        Policy { asked: Some(max_age), ..self.clone() }
    }
}

/// How many creations of one owner may be active, the one that is made among them. Both limits hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActiveLimits {
    /// Of all kinds.
    pub of_all: Option<MaxActive>,
    /// Of the kind.
    pub of_kind: Option<MaxActive>,
}

/// What a policy says of one kind of creation: which of its entries apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindPolicy {
    every: Table,
    own: Table,
    asked: Option<MaxAge>,
}

impl KindPolicy {
    /// A policy without any entry.
    pub const DEFAULT: KindPolicy = KindPolicy { every: Table::EMPTY, own: Table::EMPTY, asked: None };

    /// Adds an entry; one of a kind is taken for this kind's.
    #[cfg(feature = "browser-policy")]
    pub(crate) fn set(&mut self, entry: Entry) -> Result<(), SettingError> {
        if entry.of_kind { self.own.set(entry.says) } else { self.every.set(entry.says) }
    }

    /// The limit on silence at `phase`, and the entry that it comes from: the first of these that is given.
    pub fn silence(&self, phase: Phase) -> (Limit, Rule) {
        let status = phase.status();
        let between_heartbeats =
            |table: Table| table.heartbeat.filter(|_| matches!(phase, Phase::Heartbeating));
        let by_precedence = [
            (between_heartbeats(self.own), Rule::KindHeartbeat),
            (between_heartbeats(self.every), Rule::Heartbeat),
            (self.own.status(status), Rule::KindAndStatus),
            (self.own.max_age, Rule::Kind),
            (self.every.status(status), Rule::Status),
        ];
        let given = by_precedence.into_iter().find_map(|(limit, rule)| Some((limit?, rule)));
        let (limit, rule) = given.unwrap_or_else(|| self.every.base());
        match (limit, rule, self.asked) {
            (_, Rule::Heartbeat | Rule::KindHeartbeat, _) => (limit, rule),
            (Limit::After(own), _, Some(asked)) if own < asked || !matches!(phase, Phase::Heartbeating) => {
                (Limit::After(asked), rule.of_what_is_asked())
            }
            _ => (limit, rule),
        }
    }

    /// The limit on the total time in `processing`, and the entry that it comes from; `never` where none is given.
    pub fn total(&self) -> (Limit, Rule) {
        match self.own.total {
            Some(limit) => (limit, Rule::KindTotal),
            None => (self.every.total.unwrap_or(Limit::Never), Rule::Total),
        }
    }

    /// How often such creations are tried.
    pub fn attempts(&self) -> Attempts {
        self.own.attempts.or(self.every.attempts).unwrap_or(Attempts::ONE)
    }

    /// What cancelling one does while a worker is at it.
    pub fn cancellation(&self) -> Cancellation {
        self.own.cancel.or(self.every.cancel).unwrap_or_default()
    }
}

/// The entries for every kind, or those of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    max_age: Option<Limit>,
    preset: Option<Preset>,
    pending: Option<Limit>,
    processing: Option<Limit>,
    heartbeat: Option<Limit>,
    total: Option<Limit>,
    attempts: Option<Attempts>,
    cancel: Option<Cancellation>,
    max_active: Option<MaxActive>,
    keep_late_results: Option<bool>,
}

impl Table {
    const EMPTY: Table = Table {
        max_age: None,
        preset: None,
        pending: None,
        processing: None,
        heartbeat: None,
        total: None,
        attempts: None,
        cancel: None,
        max_active: None,
        keep_late_results: None,
    };

    fn set(&mut self, says: Says) -> Result<(), SettingError> {
        match says {
            Says::MaxAge(_) if self.preset.is_some() => return Err(SettingError::TwoBases),
            Says::Preset(_) if self.max_age.is_some() => return Err(SettingError::TwoBases),
            Says::MaxAge(limit) => self.max_age = Some(limit),
            Says::Preset(preset) => self.preset = Some(preset),
            Says::Pending(limit) => self.pending = Some(limit),
            Says::Processing(limit) => self.processing = Some(limit),
            Says::Heartbeat(limit) => self.heartbeat = Some(limit),
            Says::Total(limit) => self.total = Some(limit),
            Says::Attempts(attempts) => self.attempts = Some(attempts),
            Says::Cancel(cancellation) => self.cancel = Some(cancellation),
            Says::MaxActive(max_active) => self.max_active = Some(max_active),
            Says::KeepLateResults(keep) => self.keep_late_results = Some(keep),
        }
        Ok(())
    }

    const fn status(&self, status: Active) -> Option<Limit> {
        match status {
            Active::Pending => self.pending,
            Active::Processing => self.processing,
        }
    }

    /// The limit where no other applies.
    fn base(&self) -> (Limit, Rule) {
        match self.preset {
            Some(preset) => (Limit::After(preset.max_age()), Rule::Preset(preset)),
            None => (self.max_age.unwrap_or_default(), Rule::MaxAgeHours),
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
    /// The entry that what somebody asks for takes the place of: a preset is no number of hours.
    const fn of_what_is_asked(self) -> Self {
        match self {
            Rule::Preset(_) => Rule::MaxAgeHours,
            rule => rule,
        }
    }

    /// The entry's path, for a creation of `kind` in `status`.
    pub fn describe(self, status: Active, kind: &str) -> String {
        self.path(status).replace("{kind}", kind)
    }

    /// The entry's path, with `{kind}` where the kind's name is to stand.
    pub(crate) const fn path(self, status: Active) -> &'static str {
        match (self, status) {
            (Rule::Preset(_), _) => "preset",
            (Rule::MaxAgeHours, _) => "max_age_hours",
            (Rule::Status, status) => status.as_str(),
            (Rule::Kind, _) => "kinds.{kind}.max_age_hours",
            (Rule::KindAndStatus, Active::Pending) => "kinds.{kind}.pending",
            (Rule::KindAndStatus, Active::Processing) => "kinds.{kind}.processing",
            (Rule::Heartbeat, _) => "heartbeat_minutes",
            (Rule::KindHeartbeat, _) => "kinds.{kind}.heartbeat_minutes",
            (Rule::Total, _) => "total_hours",
            (Rule::KindTotal, _) => "kinds.{kind}.total_hours",
        }
    }
}
