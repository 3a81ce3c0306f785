//! The circuit breaker, the watch and the doctor: an answer for any evidence.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stale_drafts::rules::{
    CircuitBreaker, Evidence, Finding, Observed, Severity, Suspension, Thresholds, Timestamp, diagnose, watch,
};

use crate::generate::{now, passes};

fn breaker() -> impl Strategy<Value = CircuitBreaker> {
    let number = || prop_oneof![0..=100_u32, any::<u32>()];
    (number(), number(), number()).prop_map(|(creations, percent, at_least)| CircuitBreaker {
        creations,
        percent,
        at_least,
    })
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..=12_u64, 2 => 0..=200_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn at() -> impl Strategy<Value = Option<Timestamp>> {
    option::of(now())
}

fn code() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::from("generation_timeout")), Just(String::from("provider_error")), ".*"]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let creations = (number(), at(), at(), number(), number(), option::of((now(), now())));
    let found = (option::of(number()), number(), number(), number());
    let tops = (option::of((code(), number())), option::of((code(), number(), number())));
    let sweeps = (at(), number(), option::of(".*"), -1..=5_i64, prop_oneof![any::<i64>(), 3..=5_i64]);
    (creations, found, tops, sweeps).prop_map(|(creations, found, (top_error, top_kind), sweeps)| {
        let (waiting, waiting_since, last_start, alive, silent, silent_between) = creations;
        let (stale, unreadable, finished, failed) = found;
        let (last_good_sweep, max_ms_since_sweep, last_sweep_error, schema_version, expected) = sweeps;
        Evidence {
            waiting,
            waiting_since,
            last_start,
            alive,
            silent,
            silent_between,
            stale,
            unreadable,
            finished,
            failed,
            top_error,
            top_kind,
            last_good_sweep,
            max_ms_since_sweep,
            last_sweep_error,
            schema_version,
            expected_schema_version: expected,
        }
    })
}

fn suspended() -> impl Strategy<Value = Suspension> {
    prop_oneof![
        (".*", now()).prop_map(|(actor, since)| Suspension::Paused { actor, since }),
        ".*".prop_map(|detail| Suspension::BreakerOpen { detail }),
    ]
}

fn observed() -> impl Strategy<Value = Observed> {
    let overdue = option::of((".*", any::<u64>()));
    (evidence(), number(), overdue, vec(".*", 0..3), at(), number(), option::of(suspended())).prop_map(
        |(evidence, timed_out, overdue, differs, due_since, given_up, suspended)| Observed {
            evidence,
            timed_out,
            overdue,
            differs,
            due_since,
            given_up,
            suspended,
        },
    )
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (number(), number(), number(), number()).prop_map(
        |(overdue_ms, stale_percent, error_percent, outbox_ms)| Thresholds {
            overdue_ms,
            stale_percent,
            error_percent,
            outbox_ms,
        },
    )
}

const DIAGNOSED: [&str; 6] = [
    "schema_not_current",
    "sweep_failing",
    "no_worker_running",
    "worker_died",
    "one_kind_dominates",
    "unreadable_times",
];
const WATCHED: [&str; 9] = [
    "cron_not_running",
    "creations_overdue",
    "circuit_breaker_open",
    "ledger_differs",
    "many_stale",
    "one_error_dominates",
    "outbox_stuck",
    "dead_letters",
    "sweeping_paused",
];

/// Whether findings are what everybody who shows them relies on: known codes, each once, with texts, the critical ones first.
fn in_order(findings: &[Finding], known: &[&str]) -> bool {
    let mut codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    let once = codes.is_sorted_by(|a, b| a < b) && codes.iter().all(|code| known.contains(code));
    let said = |finding: &Finding| !(finding.cause.is_empty() || finding.remedy.is_empty());
    let critical = |finding: &Finding| finding.severity == Severity::Critical;
    once && findings.iter().all(said) && findings.is_sorted_by(|a, b| critical(a) >= critical(b))
}

fn has(findings: &[Finding], code: &str) -> bool {
    findings.iter().any(|finding| finding.code == code)
}

proptest! {
    #[test]
    fn every_diagnosis_is_in_order(evidence in evidence(), now in now()) {
        prop_assert!(in_order(&diagnose(&evidence, now), &DIAGNOSED));
    }

    #[test]
    fn every_watch_is_in_order(observed in observed(), thresholds in thresholds(), now in now()) {
        let findings = watch(&observed, &thresholds, now);
        prop_assert!(in_order(&findings, &WATCHED));
        let suspended = has(&findings, "circuit_breaker_open") || has(&findings, "sweeping_paused");
        prop_assert_eq!(suspended, observed.suspended.is_some());
        prop_assert_eq!(has(&findings, "creations_overdue"), observed.overdue.is_some());
        prop_assert_eq!(has(&findings, "ledger_differs"), !observed.differs.is_empty());
        prop_assert_eq!(has(&findings, "dead_letters"), observed.given_up > 0);
    }

    #[test]
    fn what_is_wrong_does_not_heal_by_waiting(observed in observed(), thresholds in thresholds(), now in now(), later in passes()) {
        let later = now.saturating_add(later);
        let codes = |now| {
            let (watched, diagnosed) = (watch(&observed, &thresholds, now), diagnose(&observed.evidence, now));
            watched.into_iter().chain(diagnosed).map(|finding| finding.code).collect::<Vec<_>>()
        };
        let after = codes(later);
        prop_assert!(codes(now).iter().all(|code| after.contains(code)));
    }

    #[test]
    fn nothing_that_is_in_order_is_found(now in now(), alive in number(), finished in number()) {
        let evidence = Evidence { alive, finished, last_good_sweep: Some(now), ..Evidence::default() };
        prop_assert_eq!(diagnose(&evidence, now), []);
        prop_assert_eq!(watch(&Observed { evidence, ..Observed::default() }, &Thresholds::default(), now), []);
    }

    #[test]
    fn a_circuit_breaker_holds_more_of_fewer(breaker in breaker(), stale in number(), active in number(), more in number()) {
        let suspended = breaker.check(stale, active).is_some();
        // More stale ones, or fewer active ones, never release it.
        prop_assert!(!suspended || breaker.check(stale.saturating_add(more), active).is_some());
        prop_assert!(!suspended || breaker.check(stale, active.saturating_sub(more)).is_some());
        // Nothing to do is nothing to hold.
        prop_assert_eq!(breaker.check(0, active), None);
    }

    #[test]
    fn a_circuit_breaker_holds_by_the_number_or_by_the_share(breaker in breaker(), stale in number(), active in number()) {
        let CircuitBreaker { creations, percent, at_least } = breaker;
        let (stale_, active_) = (u128::from(stale), u128::from(active));
        let many = stale > u64::from(creations);
        let share = stale >= u64::from(at_least) && stale_ * 100 > active_ * u128::from(percent);
        // No database holds so many that the products don't fit.
        if stale < 1 << 57 && active < 1 << 31 {
            prop_assert_eq!(breaker.check(stale, active).is_some(), many || share);
        }
        if let Some(suspended) = breaker.check(stale, active) {
            prop_assert!(suspended.to_string().starts_with("the circuit breaker is open: "));
        }
    }

    #[test]
    fn what_holds_is_said(suspended in suspended()) {
        let text = suspended.to_string();
        let (said, by_whom) = match suspended {
            Suspension::Paused { actor, .. } => (text.contains(&format!("`{actor}`")), text.contains("paused")),
            Suspension::BreakerOpen { detail } => (text.contains(&detail), text.contains("circuit breaker")),
        };
        prop_assert!(said && by_whom);
    }
}
