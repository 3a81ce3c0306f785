//! Policies, drafts and instants, most of them near a limit: what a law holds on is made here.

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::strategy::Union;
use stale_drafts::rules::{
    Active, Draft, Limit, MaxAge, Phase, Policy, Preset, Setting, Status, Time, Timestamp,
};

pub const MAX: i64 = 8_640_000_000_000_000;
pub const NOON: i64 = 1_700_000_000_000;
/// What is before it looks like seconds.
pub const EARLIEST: i64 = 1_000_000_000_000;

/// Kinds of drafts; all but the last one, which names none, may stand in a policy.
pub const KINDS: [&str; 5] = ["image", "video", "pending", "$.ключ'\"[0]", ""];

/// A limit as a policy has it: a number of hours or minutes, or never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    Number(f64),
    Never,
}

impl Term {
    pub fn hours(self) -> Limit {
        match self {
            Term::Number(number) => Limit::After(MaxAge::checked(number).unwrap()),
            Term::Never => Limit::Never,
        }
    }

    pub fn minutes(self) -> Limit {
        match self {
            Term::Number(number) => Limit::After(MaxAge::minutes(number).unwrap()),
            Term::Never => Limit::Never,
        }
    }

    fn setting(self) -> Setting<'static> {
        match self {
            Term::Number(number) => Setting::Number(number, "a number"),
            Term::Never => Setting::Text("never"),
        }
    }

    /// The same, or longer.
    fn longer(self, by: f64) -> Term {
        match self {
            // In range: beyond the longest limit is only `never`.
            Term::Number(number) if number * by < 2.4e9 => Term::Number(number * by),
            _ => Term::Never,
        }
    }
}

/// The base of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base {
    Default,
    Preset(Preset),
    Hours(Term),
}

/// What a policy says of one kind, or of every kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Own {
    /// Of a kind only.
    pub max_age: Option<Term>,
    pub pending: Option<Term>,
    pub processing: Option<Term>,
    pub heartbeat: Option<Term>,
    pub total: Option<Term>,
    pub attempts: Option<u32>,
}

/// A policy before it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    pub base: Base,
    pub all: Own,
    pub kinds: Vec<(&'static str, Own)>,
    pub keep: Option<bool>,
}

pub type Settings = Vec<(Vec<&'static str>, Setting<'static>)>;

impl Terms {
    pub fn settings(&self) -> Settings {
        let mut settings = Vec::new();
        match self.base {
            Base::Default => {}
            Base::Preset(preset) => {
                let name = match preset {
                    Preset::Development => "development",
                    Preset::Budget => "budget",
                    Preset::Production => "production",
                };
                settings.push((vec!["preset"], Setting::Text(name)));
            }
            Base::Hours(term) => settings.push((vec!["max_age_hours"], term.setting())),
        }
        settings.extend(own(&[], self.all));
        settings.extend(self.kinds.iter().flat_map(|(kind, of_kind)| own(&["kinds", kind], *of_kind)));
        settings
            .extend(self.keep.map(|keep| {
                (vec!["keep_late_results"], Setting::Other(if keep { "true" } else { "false" }))
            }));
        settings
    }

    pub fn policy(&self) -> Policy {
        Policy::from_settings(self.settings()).unwrap()
    }

    /// What it says of one kind; the last of two tables wins, entry by entry.
    pub fn of(&self, kind: &str) -> Own {
        self.kinds.iter().filter(|(named, _)| *named == kind).fold(Own::default(), |own, (_, next)| Own {
            max_age: next.max_age.or(own.max_age),
            pending: next.pending.or(own.pending),
            processing: next.processing.or(own.processing),
            heartbeat: next.heartbeat.or(own.heartbeat),
            total: next.total.or(own.total),
            attempts: next.attempts.or(own.attempts),
        })
    }

    pub fn base(&self) -> Limit {
        match self.base {
            Base::Default => Limit::After(MaxAge::PRODUCTION),
            Base::Preset(preset) => Limit::After(preset.max_age()),
            Base::Hours(term) => term.hours(),
        }
    }

    /// The limit on silence, looked up once more in plain words.
    pub fn silence(&self, phase: Phase, kind: &str) -> Limit {
        let (own, all) = (self.of(kind), self.all);
        let status = |own: Own| match phase.status() {
            Active::Pending => own.pending,
            Active::Processing => own.processing,
        };
        let beating = (phase == Phase::Heartbeating).then(|| own.heartbeat.or(all.heartbeat)).flatten();
        let others = [status(own), own.max_age, status(all)];
        match (beating, others.into_iter().flatten().next()) {
            (Some(term), _) => term.minutes(),
            (None, Some(term)) => term.hours(),
            (None, None) => self.base(),
        }
    }

    pub fn total(&self, kind: &str) -> Limit {
        self.of(kind).total.or(self.all.total).map_or(Limit::Never, Term::hours)
    }

    pub fn attempts(&self, kind: &str) -> u32 {
        self.of(kind).attempts.or(self.all.attempts).unwrap_or(1)
    }

    /// The same entries, each as long or longer.
    pub fn longer(&self, by: f64) -> Terms {
        let longer = |own: Own| Own {
            max_age: own.max_age.map(|term| term.longer(by)),
            pending: own.pending.map(|term| term.longer(by)),
            processing: own.processing.map(|term| term.longer(by)),
            heartbeat: own.heartbeat.map(|term| term.longer(by)),
            total: own.total.map(|term| term.longer(by)),
            attempts: own.attempts,
        };
        Terms {
            base: match self.base {
                Base::Default | Base::Preset(_) => self.base,
                Base::Hours(term) => Base::Hours(term.longer(by)),
            },
            all: longer(self.all),
            kinds: self.kinds.iter().map(|(kind, own)| (*kind, longer(*own))).collect(),
            keep: self.keep,
        }
    }
}

fn own(path: &[&'static str], own: Own) -> Settings {
    let Own { max_age, pending, processing, heartbeat, total, attempts } = own;
    let attempts = attempts.map(|attempts| Setting::Number(f64::from(attempts), "a number"));
    [
        ("max_age_hours", max_age.map(Term::setting)),
        ("pending", pending.map(Term::setting)),
        ("processing", processing.map(Term::setting)),
        ("heartbeat_minutes", heartbeat.map(Term::setting)),
        ("total_hours", total.map(Term::setting)),
        ("attempts", attempts),
    ]
    .into_iter()
    .filter_map(|(key, setting)| Some(([path, &[key]].concat(), setting?)))
    .collect()
}

fn maybe<T: Clone + std::fmt::Debug>(strategy: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.4, strategy)
}

/// Each is hours as well as minutes.
fn term() -> impl Strategy<Value = Term> {
    prop_oneof![
        6 => select(vec![0.01, 0.5, 1.0, 1.5, 2.0, 24.0]).prop_map(Term::Number),
        3 => (0.001..50.0_f64).prop_map(Term::Number),
        1 => (1e-5..2.4e9_f64).prop_map(Term::Number),
        1 => Just(Term::Number(1.0 / 60_000.0)),
        2 => Just(Term::Never),
    ]
}

fn own_terms(of_kind: bool) -> impl Strategy<Value = Own> {
    (maybe(term()), maybe(term()), maybe(term()), maybe(term()), maybe(term()), maybe(1..=4_u32)).prop_map(
        move |(max_age, pending, processing, heartbeat, total, attempts)| Own {
            max_age: max_age.filter(|_| of_kind),
            pending,
            processing,
            heartbeat,
            total,
            attempts,
        },
    )
}

pub fn terms() -> impl Strategy<Value = Terms> {
    let base = prop_oneof![
        Just(Base::Default),
        select(vec![Preset::Development, Preset::Budget, Preset::Production]).prop_map(Base::Preset),
        term().prop_map(Base::Hours),
    ];
    let kinds = proptest::collection::vec((select(&KINDS[..4]), own_terms(true)), 0..4);
    (base, own_terms(false), kinds, proptest::option::of(any::<bool>()))
        .prop_map(|(base, all, kinds, keep)| Terms { base, all, kinds, keep })
}

pub fn now() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        6 => NOON - 1_000_000..=NOON + 1_000_000,
        2 => 0..=MAX,
        1 => 0..=10_i64,
        1 => MAX - 10..=MAX,
    ]
    .prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

/// A time before it is known what it is near to.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Missing,
    Malformed,
    At(i64),
    Ago(i64),
    /// As long ago as one of the limits of the draft, and a little more.
    Limit(usize, i64),
}

impl When {
    /// The milliseconds, of a draft of this kind: nothing if there are none, and `None` if they are malformed.
    pub fn millis(self, now: Timestamp, terms: &Terms, kind: &str) -> Option<Option<i64>> {
        let now = i64::try_from(now.as_millis()).unwrap();
        Some(Some(match self {
            When::Missing => return Some(None),
            When::Malformed => return None,
            When::At(millis) => millis,
            When::Ago(millis) => now - millis,
            When::Limit(which, more) => {
                let limits = [
                    terms.silence(Phase::Pending, kind),
                    terms.silence(Phase::Processing, kind),
                    terms.silence(Phase::Heartbeating, kind),
                    terms.total(kind),
                    terms.base(),
                ];
                match limits[which] {
                    Limit::After(max_age) => now - i64::try_from(max_age.as_millis()).unwrap() - more,
                    Limit::Never => now - more,
                }
            }
        }))
    }
}

pub fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        9 => Just(When::Missing),
        1 => Just(When::Malformed),
        1 => any::<i64>().prop_map(When::At),
        1 => select(vec![0, EARLIEST - 1, EARLIEST, MAX, MAX + 1, -1, i64::MIN, i64::MAX]).prop_map(When::At),
        1 => (NOON / 1_000 - 9..=NOON / 1_000 + 9).prop_map(When::At),
        2 => (-60_002..=-59_998_i64).prop_map(When::Ago),
        5 => (-3..=100_000_000_i64).prop_map(When::Ago),
        16 => (0..5_usize, -2..=2_i64).prop_map(|(which, more)| When::Limit(which, more)),
    ]
}

/// More time is seldom given.
fn more_time() -> impl Strategy<Value = When> {
    prop_oneof![3 => Just(When::Missing), 1 => when()]
}

/// A draft before its times are known.
#[derive(Clone, Copy, Debug)]
pub struct Sketch {
    pub status: Option<Status>,
    pub kind: &'static str,
    pub attempt: u32,
    /// `created_at`, `queued_at`, `started_at`, `heartbeat_at`, `extended_until`
    pub times: [When; 5],
}

impl Sketch {
    pub fn draft(&self, now: Timestamp, terms: &Terms) -> Draft<'static> {
        let [created_at, queued_at, started_at, heartbeat_at, extended_until] =
            self.times.map(|when| match when.millis(now, terms, self.kind) {
                Some(Some(millis)) => Time::from_millis(millis),
                Some(None) => Time::Missing,
                None => Time::Malformed,
            });
        let Sketch { status, kind, attempt, .. } = *self;
        Draft { status, kind, attempt, created_at, queued_at, started_at, heartbeat_at, extended_until }
    }
}

fn status() -> impl Strategy<Value = Option<Status>> {
    let settled = select(vec![Status::Draft, Status::Published, Status::Failed]).prop_map(Some);
    let active = select(vec![Status::Pending, Status::Processing, Status::Processing]).prop_map(Some);
    Union::new_weighted(vec![(1, Just(None).boxed()), (2, settled.boxed()), (9, active.boxed())])
}

pub fn sketch() -> impl Strategy<Value = Sketch> {
    let attempt = prop_oneof![9 => 1..=4_u32, 1 => select(vec![0, 99, 100, 101, u32::MAX])];
    (status(), select(KINDS.to_vec()), attempt, [when(), when(), when(), when()], more_time()).prop_map(
        |(status, kind, attempt, [created, queued, started, heartbeat], extended)| {
            let times = [created, queued, started, heartbeat, extended];
            Sketch { status, kind, attempt, times }
        },
    )
}

/// A draft, an instant and a policy, near one another.
#[derive(Clone, Debug)]
pub struct Scene {
    pub terms: Terms,
    pub policy: Policy,
    pub now: Timestamp,
    pub draft: Draft<'static>,
}

pub fn scene() -> impl Strategy<Value = Scene> {
    (terms(), now(), sketch()).prop_map(|(terms, now, sketch)| {
        let (policy, draft) = (terms.policy(), sketch.draft(now, &terms));
        Scene { terms, policy, now, draft }
    })
}

/// Several drafts at one instant under one policy.
#[derive(Clone, Debug)]
pub struct Crowd {
    pub policy: Policy,
    pub now: Timestamp,
    pub drafts: Vec<Draft<'static>>,
    pub ids: Vec<String>,
}

pub fn crowd() -> impl Strategy<Value = Crowd> {
    (terms(), now(), proptest::collection::vec(sketch(), 0..20)).prop_map(|(terms, now, sketches)| {
        let drafts: Vec<_> = sketches.iter().map(|sketch| sketch.draft(now, &terms)).collect();
        let ids = (0..drafts.len()).map(|at| at.to_string()).collect();
        Crowd { policy: terms.policy(), now, drafts, ids }
    })
}

/// How much time passes: mostly a few milliseconds, or as much as a limit.
pub fn passes() -> impl Strategy<Value = u64> {
    prop_oneof![0..=3_u64, 0..=200_000_000_u64, 0..=u64::MAX, Just(3_600_000_u64)]
}
