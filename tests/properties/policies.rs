//! Policies: any settings are read or refused, and the most specific entry applies.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_assert_ne, proptest};
use proptest::sample::{Index, select};
use stale_drafts::rules::{
    Active, Attempts, Draft, Limit, MaxAge, Phase, Policy, Rule, Setting, Time, Verdict, classify,
};

use crate::generate::{KINDS, Own, Scene, Settings, Term, now, scene, sketch, terms};

const KEYS: [&str; 14] = [
    "max_age_hours",
    "preset",
    "pending",
    "processing",
    "heartbeat_minutes",
    "total_hours",
    "attempts",
    "max_active",
    "keep_late_results",
    "cancel",
    "kinds",
    "video",
    "",
    "kinds.video",
];

fn key() -> impl Strategy<Value = String> {
    proptest::prop_oneof![9 => select(KEYS.to_vec()).prop_map(String::from), 1 => ".{0,5}"]
}

fn path() -> impl Strategy<Value = Vec<String>> {
    proptest::prop_oneof![
        2 => proptest::collection::vec(key(), 0..5),
        2 => key().prop_map(|key| vec![key]),
        2 => (key(), key()).prop_map(|(kind, key)| vec![String::from("kinds"), kind, key]),
    ]
}

/// A value, however wrong.
#[derive(Clone, Debug)]
enum Value {
    Number(f64),
    Text(String),
    Other(String),
}

fn value() -> impl Strategy<Value = Value> {
    let number = proptest::prop_oneof![
        any::<f64>(),
        proptest::num::f64::ANY,
        (-2..=102).prop_map(f64::from),
        0.0..3e9_f64,
        select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 2.4e9, 1.3e-7]),
    ];
    let words = || {
        select(vec![
            "never",
            "development",
            "budget",
            "production",
            "true",
            "false",
            "",
            "1",
            "Never",
            "keep",
            "refund",
        ])
    };
    proptest::prop_oneof![
        number.prop_map(Value::Number),
        words().prop_map(|word| Value::Text(word.to_owned())),
        words().prop_map(|word| Value::Other(word.to_owned())),
        ".*".prop_map(Value::Text),
        ".*".prop_map(Value::Other),
    ]
}

type Given = Vec<(Vec<String>, Value, String)>;

fn given() -> impl Strategy<Value = Given> {
    let entry = (path(), value()).prop_map(|(path, value)| {
        let text = match &value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) | Value::Other(text) => text.clone(),
        };
        (path, value, text)
    });
    proptest::collection::vec(entry, 0..5)
}

fn read(given: &Given) -> Result<Policy, String> {
    let settings: Vec<(Vec<&str>, Setting<'_>)> = given
        .iter()
        .map(|(path, value, text)| {
            let setting = match value {
                Value::Number(number) => Setting::Number(*number, text),
                Value::Text(text) => Setting::Text(text),
                Value::Other(text) => Setting::Other(text),
            };
            (path.iter().map(String::as_str).collect(), setting)
        })
        .collect();
    Policy::from_settings(settings).map_err(|error| error.to_string())
}

/// The settings in another order.
fn shuffled(settings: Settings) -> impl Strategy<Value = (Settings, Settings)> {
    (Just(settings.clone()), Just(settings).prop_shuffle())
}

fn is_stale(draft: &Draft<'_>, now: stale_drafts::rules::Timestamp, policy: &Policy) -> bool {
    matches!(classify(draft, now, policy), Verdict::Stale(_))
}

proptest! {
    #[test]
    fn any_settings_are_a_policy_or_an_error_that_names_the_key_and_quotes_the_value(given in given()) {
        match read(&given) {
            Ok(policy) => {
                // It is understood wholly: each entry alone is, too.
                for entry in &given {
                    prop_assert!(read(&vec![entry.clone()]).is_ok());
                }
                for kind in policy.kinds() {
                    prop_assert!(given.iter().any(|(path, ..)| path.get(1).is_some_and(|named| named == kind)));
                    prop_assert_ne!(kind, "");
                }
                for kind in KINDS {
                    prop_assert!((1..=100).contains(&policy.attempts(kind).get()));
                }
            }
            Err(error) => {
                let key = |path: &Vec<String>| path.join(".");
                let said = |(path, value, text): &(Vec<String>, Value, String)| {
                    let quoted = match value {
                        Value::Text(text) => format!("\"{text}\""),
                        Value::Number(_) | Value::Other(_) => text.clone(),
                    };
                    error.starts_with(&format!("`{}` is `{quoted}`: expected ", key(path)))
                        || error.starts_with(&format!("unknown key `{}`: expected ", key(path)))
                };
                let bases = ["preset", "max_age_hours"];
                let both = bases.iter().all(|base| given.iter().any(|(path, ..)| path == &[*base]));
                let two = both && error == "`preset` and `max_age_hours` exclude each other: give one";
                prop_assert!(two || given.iter().any(said), "{error}");
            }
        }
    }

    #[test]
    fn settings_come_in_any_order(
        (settings, again) in terms()
            .prop_map(|terms| {
                let mut kinds = Vec::new();
                // Of two entries for one key the last one wins.
                let once = |kinds: &mut Vec<&str>, kind| !kinds.contains(&kind) && { kinds.push(kind); true };
                let mut terms = terms;
                terms.kinds.retain(|(kind, _)| once(&mut kinds, kind));
                terms.settings()
            })
            .prop_flat_map(shuffled),
    ) {
        prop_assert_eq!(Policy::from_settings(settings), Policy::from_settings(again));
    }

    #[test]
    fn a_policy_answers_by_its_most_specific_entry(terms in terms()) {
        let policy = terms.policy();
        for kind in KINDS {
            for phase in Phase::ALL {
                prop_assert_eq!(policy.limit_in(phase, kind).0, terms.silence(phase, kind));
            }
            for status in Active::ALL {
                let phase = if status == Active::Pending { Phase::Pending } else { Phase::Processing };
                prop_assert_eq!(policy.limit(status, kind), policy.limit_in(phase, kind));
            }
            prop_assert_eq!(policy.total(kind).0, terms.total(kind));
            prop_assert_eq!(policy.attempts(kind).get(), terms.attempts(kind));
        }
        prop_assert_eq!(policy.keeps_late_results(), terms.keep.unwrap_or(true));
        let totals = KINDS.iter().any(|kind| policy.total(kind).0 != Limit::Never);
        prop_assert!(policy.limits_total() || !totals);
        let kinds: Vec<_> = policy.kinds().collect();
        prop_assert!(kinds.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn the_rule_names_the_entry_that_gave_the_limit(terms in terms()) {
        let (policy, settings) = (terms.policy(), terms.settings());
        for kind in KINDS {
            for (status, (limit, rule)) in Phase::ALL
                .map(|phase| (phase.status(), policy.limit_in(phase, kind)))
                .into_iter()
                .chain([(Active::Processing, policy.total(kind))])
            {
                let name = rule.describe(status, kind);
                // The last of two entries counts.
                let entry = settings.iter().rfind(|(path, _)| path.join(".") == name);
                let Some((path, setting)) = entry else {
                    // None of these stands there: it is the default.
                    let default = Limit::After(MaxAge::PRODUCTION);
                    let expected = if name == "total_hours" { Limit::Never } else { default };
                    prop_assert_eq!(limit, expected);
                    continue;
                };
                let minutes = path.last() == Some(&"heartbeat_minutes");
                let said = match setting {
                    Setting::Number(number, _) if minutes => MaxAge::minutes(*number).map(Limit::After),
                    Setting::Number(number, _) => MaxAge::checked(*number).map(Limit::After),
                    Setting::Text("development") => Some(Limit::After(MaxAge::DEVELOPMENT)),
                    Setting::Text("budget") => Some(Limit::After(MaxAge::BUDGET)),
                    Setting::Text("production") => Some(Limit::After(MaxAge::PRODUCTION)),
                    _ => Some(Limit::Never),
                };
                prop_assert_eq!(Some(limit), said);
            }
        }
    }

    #[test]
    fn longer_limits_never_make_more_stale(Scene { terms, policy, now, draft } in scene(), by in 1.0..3.0_f64) {
        prop_assert!(is_stale(&draft, now, &policy) || !is_stale(&draft, now, &terms.longer(by).policy()));
    }

    #[test]
    fn a_kind_that_has_every_entry_has_nothing_from_the_others(
        Scene { terms, now, draft, .. } in scene(),
        other in terms(),
    ) {
        let term = Term::Number(1.0);
        let every = |own: Own| Own {
            pending: own.pending.or(Some(term)),
            processing: own.processing.or(Some(term)),
            heartbeat: own.heartbeat.or(Some(term)),
            total: own.total.or(Some(term)),
            attempts: own.attempts.or(Some(2)),
            ..own
        };
        let mut terms = terms;
        // All of them, in the last table of this kind.
        terms.kinds.push(("image", every(terms.of("image"))));
        let mut others = terms.clone();
        (others.base, others.all) = (other.base, other.all);
        others.kinds.extend(other.kinds.into_iter().filter(|(kind, _)| *kind != "image"));
        let draft = Draft { kind: "image", ..draft };
        prop_assert_eq!(classify(&draft, now, &terms.policy()), classify(&draft, now, &others.policy()));
    }

    #[test]
    fn a_kind_depends_on_no_other_kinds_entries(Scene { terms, policy, now, draft } in scene()) {
        let mut alone = terms;
        alone.kinds.retain(|(kind, _)| *kind == draft.kind);
        prop_assert_eq!(classify(&draft, now, &alone.policy()), classify(&draft, now, &policy));
    }

    #[test]
    fn never_is_never_stale(Scene { now, draft, .. } in scene(), attempts in 1..=4_u32) {
        for policy in [
            Policy::uniform(Limit::Never),
            Policy::from_settings([
                (["max_age_hours"].as_slice(), Setting::Text("never")),
                (["total_hours"].as_slice(), Setting::Text("never")),
                (["attempts"].as_slice(), Setting::Number(f64::from(attempts), "")),
            ])
            .unwrap(),
        ] {
            prop_assert!(!is_stale(&draft, now, &policy));
            if let Verdict::Fresh { deadline, .. } = classify(&draft, now, &policy) {
                prop_assert_eq!(deadline, None);
            }
        }
    }

    #[test]
    fn one_maximum_age_replaces_every_limit_by_age_but_never(
        terms in terms(),
        millis in 1..=8_640_000_000_000_000_u64,
        (now, sketch) in (now(), sketch()),
    ) {
        let policy = terms.policy();
        let max_age = MaxAge::from_millis(millis).unwrap();
        let replaced = policy.with_max_age(max_age);
        for kind in KINDS {
            for phase in Phase::ALL {
                let expected = match policy.limit_in(phase, kind) {
                    // Whoever keeps the limit between heartbeats is alive, whatever is asked for.
                    (limit, Rule::Heartbeat | Rule::KindHeartbeat) => limit,
                    (Limit::After(own), _) if phase == Phase::Heartbeating => Limit::After(own.max(max_age)),
                    (Limit::After(_), _) => Limit::After(max_age),
                    (Limit::Never, _) => Limit::Never,
                };
                prop_assert_eq!(replaced.limit_in(phase, kind).0, expected);
            }
            prop_assert_eq!(replaced.total(kind), policy.total(kind));
            prop_assert_eq!(replaced.attempts(kind), policy.attempts(kind));
        }
        prop_assert_eq!(replaced.keeps_late_results(), policy.keeps_late_results());
        prop_assert_eq!(replaced.with_max_age(max_age), replaced.clone());
        // A longer one never makes more stale.
        let draft = sketch.draft(now, &terms);
        let longer = policy.with_max_age(MaxAge::from_millis(millis.saturating_mul(2)).unwrap_or(max_age));
        prop_assert!(is_stale(&draft, now, &replaced) || !is_stale(&draft, now, &longer));
    }

    #[test]
    fn the_last_of_two_entries_for_one_key_wins(terms in terms(), at in any::<Index>(), hours in 0.1..9.0_f64) {
        let mut settings = terms.settings();
        settings.retain(|(path, _)| path.last().is_some_and(|key| *key == "pending" || *key == "processing"));
        if settings.is_empty() {
            return Ok(());
        }
        let path = settings[at.index(settings.len())].0.clone();
        let last = (path.clone(), Setting::Number(hours, ""));
        let both = Policy::from_settings(settings.iter().cloned().chain([last.clone()]));
        settings.retain(|(other, _)| *other != path);
        prop_assert_eq!(both, Policy::from_settings(settings.into_iter().chain([last])));
    }

    #[test]
    fn attempts_are_whole_numbers_from_1_to_100(
        number in proptest::prop_oneof![proptest::num::f64::ANY, (-5..=105).prop_map(f64::from)],
        attempt in any::<u32>(),
    ) {
        let attempts = Attempts::checked(number);
        let whole = (1..=100_u32).find(|whole| f64::from(*whole) == number);
        prop_assert_eq!(attempts.map(Attempts::get), whole);
        if let Some(attempts) = attempts {
            prop_assert_eq!(attempts.left(attempt), attempt.max(1) < attempts.get());
        }
    }

    #[test]
    fn an_unknown_time_is_no_time_of_a_policy(Scene { policy, now, draft, .. } in scene()) {
        // The policy decides on what is readable only.
        let draft = Draft { created_at: Time::Malformed, ..draft };
        prop_assert!(!is_stale(&draft, now, &policy));
    }
}
