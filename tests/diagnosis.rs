//! What operators are told: the findings of the doctor and of the watch, and the circuit breaker. Each at its boundary.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use stale_drafts::rules::{
    CircuitBreaker, DOMINANT_PERCENT, Evidence, FEW, Finding, GENERATION_TIMEOUT, ONE_WINDOW_MS, Observed,
    SILENT_AFTER_MS, START_EXPECTED_WITHIN_MS, Severity, Suspension, Thresholds, Timestamp, diagnose, watch,
};

const MINUTE: u64 = 60_000;

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).unwrap()
}

fn ago(millis: u64) -> Timestamp {
    now().saturating_sub(millis)
}

/// What is found, as `code: evidence`.
fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{}: {}", finding.code, finding.evidence)).collect()
}

fn diagnosed(evidence: Evidence) -> Vec<String> {
    said(&diagnose(&evidence, now()))
}

/// Cron has just swept; nothing else is known.
fn healthy() -> Observed {
    let evidence = Evidence { last_good_sweep: Some(now()), ..Evidence::default() };
    Observed { evidence, ..Observed::default() }
}

fn watched(observed: &Observed) -> Vec<String> {
    said(&watch(observed, &Thresholds::default(), now()))
}

#[test]
fn the_bounds_are_what_the_documentation_says() {
    assert_eq!([SILENT_AFTER_MS, START_EXPECTED_WITHIN_MS, ONE_WINDOW_MS], [300_000, 600_000, 120_000]);
    assert_eq!([FEW, DOMINANT_PERCENT], [5, 80]);
    let Thresholds { overdue_ms, stale_percent, error_percent, outbox_ms } = Thresholds::default();
    assert_eq!([overdue_ms, stale_percent, error_percent, outbox_ms], [60_000, 20, 80, 900_000]);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(diagnosed(Evidence::default()), [""; 0]);
    assert_eq!(watched(&healthy()), [""; 0]);
}

#[test]
fn critical_findings_come_first() {
    let evidence = Evidence {
        schema_version: 3,
        expected_schema_version: 4,
        unreadable: 1,
        last_sweep_error: Some(String::from("D1_ERROR: no such table")),
        ..Evidence::default()
    };
    let findings = diagnose(&evidence, now());
    let found: Vec<_> = findings.iter().map(|finding| (finding.code, finding.severity.as_str())).collect();
    let expected =
        [("schema_not_current", "critical"), ("sweep_failing", "critical"), ("unreadable_times", "warning")];
    assert_eq!(found, expected);
    assert_eq!(
        said(&findings),
        [
            "schema_not_current: the schema is version 3: expected 4",
            "sweep_failing: its error: D1_ERROR: no such table",
            "unreadable_times: 1 creation is active with times that are missing, malformed or in the future",
        ]
    );
    assert!(Severity::Critical > Severity::Warning);

    let mut observed = healthy();
    observed.suspended = Some(Suspension::Paused { actor: String::from("anna"), since: now() });
    observed.given_up = 1;
    observed.overdue = Some((String::from("c1"), MINUTE));
    observed.evidence.last_good_sweep = None;
    assert_eq!(
        watched(&observed),
        [
            "cron_not_running: it has never swept",
            "creations_overdue: `c1` has been stale for 1 minute and is not marked",
            "sweeping_paused: `anna` paused it",
            "dead_letters: 1 event was given up",
        ]
    );
}

#[test]
fn unreadable_times() {
    let of = |unreadable| diagnosed(Evidence { unreadable, ..Evidence::default() });
    assert_eq!(of(0), [""; 0]);
    let text =
        "unreadable_times: 2 creations are active with times that are missing, malformed or in the future";
    assert_eq!(of(2), [text]);
}

#[test]
fn no_worker_is_running_if_a_creation_waits_and_nothing_starts_for_more_than_ten_minutes() {
    let of = |waiting, waited: u64, idle: Option<u64>| {
        let (waiting_since, last_start) = (Some(ago(waited)), idle.map(ago));
        diagnosed(Evidence { waiting, waiting_since, last_start, ..Evidence::default() })
    };
    let long = 10 * MINUTE + 1;
    let text =
        "no_worker_running: 1 creation waits, the longest for 10 minutes; nothing has started for 10 minutes";
    assert_eq!(of(1, long, Some(long)), [text]);
    let text = "no_worker_running: 2 creations wait, the longest for 25 minutes; nothing has ever started";
    assert_eq!(of(2, 25 * MINUTE, None), [text]);
    assert_eq!(of(0, long, Some(long)), [""; 0]);
    assert_eq!(of(1, 10 * MINUTE, Some(long)), [""; 0]);
    assert_eq!(of(1, long, Some(10 * MINUTE)), [""; 0]);
}

#[test]
fn a_worker_died_if_at_least_two_fell_silent_within_two_minutes_and_nothing_is_alive() {
    let of = |silent, alive, apart: u64| {
        let silent_between = Some((ago(20 * MINUTE + apart), ago(20 * MINUTE)));
        diagnose(&Evidence { silent, alive, silent_between, ..Evidence::default() }, now())
    };
    let findings = of(2, 0, 2 * MINUTE);
    assert_eq!(findings[0].cause, "a worker died 20 minutes ago");
    assert_eq!(
        said(&findings),
        [
            "worker_died: all 2 creations in progress showed their last sign of life within 2 minutes of one another; \
          none since"
        ]
    );
    assert_eq!(of(2, 0, 2 * MINUTE + 1), []);
    assert_eq!(of(2, 1, 0), []);
    assert_eq!(of(1, 0, 0), []);
}

#[test]
fn one_kind_dominates_from_five_failures_and_80_percent_on() {
    let of = |failed, (of_kind, finished_of_kind), finished| {
        let top_kind = Some((String::from("video"), of_kind, finished_of_kind));
        diagnosed(Evidence { failed, finished, top_kind, ..Evidence::default() })
    };
    let text = "one_kind_dominates: 4 of 8 of this kind failed in the last hour, and 1 of 1 others";
    assert_eq!(of(5, (4, 8), 9), [text]);
    // Too few failures; too few of this kind; too few of it that failed; nothing else to compare with.
    assert_eq!(of(4, (4, 4), 9), [""; 0]);
    assert_eq!(of(5, (3, 4), 9), [""; 0]);
    assert_eq!(of(5, (4, 9), 10), [""; 0]);
    assert_eq!(of(5, (4, 8), 8), [""; 0]);
}

#[test]
fn one_error_dominates_from_five_failures_and_its_percentage_on() {
    let of = |failed, code: &str, count| {
        let mut observed = healthy();
        observed.evidence.failed = failed;
        observed.evidence.top_error = Some((String::from(code), count));
        watched(&observed)
    };
    let text = "one_error_dominates: 4 of 5 failures in the last hour have this code";
    assert_eq!(of(5, "quota_exceeded", 4), [text]);
    assert_eq!(of(5, "quota_exceeded", 3), [""; 0]);
    assert_eq!(of(4, "quota_exceeded", 4), [""; 0]);
    assert_eq!(of(5, GENERATION_TIMEOUT, 5), [""; 0]);
}

#[test]
fn many_stale_from_five_time_outs_and_beyond_its_percentage() {
    let of = |timed_out, finished| {
        let mut observed = healthy();
        observed.evidence.finished = finished;
        watched(&Observed { timed_out, ..observed })
    };
    let text = "many_stale: 5 of the newest 23 that ended within the last hour";
    assert_eq!(of(5, 23), [text]);
    assert_eq!(of(5, 25), [""; 0]);
    assert_eq!(of(4, 4), [""; 0]);
    assert_eq!(of(5, 0), [""; 0]);
}

#[test]
fn cron_is_not_running_beyond_the_age_that_its_last_good_sweep_may_have() {
    let of = |age, stale| {
        let last_good_sweep = Some(ago(age));
        let evidence =
            Evidence { last_good_sweep, max_ms_since_sweep: 5 * MINUTE, stale, ..Evidence::default() };
        watched(&Observed { evidence, ..Observed::default() })
    };
    assert_eq!(of(5 * MINUTE, Some(3)), [""; 0]);
    let text = |stale| format!("cron_not_running: its last good sweep was 5 minutes ago{stale}");
    // What nobody has counted is not said to be none.
    assert_eq!(of(5 * MINUTE + 1, None), [text("")]);
    assert_eq!(of(5 * MINUTE + 1, Some(0)), [text("; no creation is stale")]);
    assert_eq!(of(5 * MINUTE + 1, Some(1)), [text("; 1 creation is stale")]);
    assert_eq!(of(5 * MINUTE + 1, Some(3)), [text("; 3 creations are stale")]);
}

#[test]
fn the_ledger_differs() {
    let of = |users: &[&str]| {
        watched(&Observed { differs: users.iter().map(ToString::to_string).collect(), ..healthy() })
    };
    assert_eq!(of(&["anna"]), ["ledger_differs: that of `anna`"]);
    assert_eq!(of(&["anna", "ben", "cleo"]), ["ledger_differs: that of `anna` and 2 more"]);
}

#[test]
fn the_outbox_is_stuck_beyond_15_minutes() {
    let of = |late: Option<u64>| watched(&Observed { due_since: late.map(ago), ..healthy() });
    assert_eq!(of(Some(15 * MINUTE)), [""; 0]);
    assert_eq!(of(Some(15 * MINUTE + 1)), ["outbox_stuck: the oldest is due for 15 minutes"]);
}

#[test]
fn events_were_given_up() {
    let of = |given_up| watched(&Observed { given_up, ..healthy() });
    assert_eq!(of(1), ["dead_letters: 1 event was given up"]);
    assert_eq!(of(2), ["dead_letters: 2 events were given up"]);
}

#[test]
fn the_circuit_breaker_holds_beyond_a_number_and_beyond_a_share() {
    let breaker = CircuitBreaker { creations: 100, percent: 50, at_least: 10 };
    let detail = |stale, active| match breaker.check(stale, active) {
        Some(Suspension::BreakerOpen { detail }) => Some(detail),
        other => {
            assert_eq!(other, None);
            None
        }
    };
    let many = String::from("more than 100 creations are stale at once");
    assert_eq!(detail(100, 1_000), None);
    assert_eq!(detail(101, 1_000), Some(many.clone()));
    assert_eq!(detail(101, 101), Some(many));
    assert_eq!(detail(9, 9), None);
    assert_eq!(detail(10, 20), None);
    assert_eq!(detail(10, 19), Some(String::from("10 of 19 active creations are stale at once")));
    assert_eq!(CircuitBreaker::default(), CircuitBreaker { creations: 1_000, percent: 50, at_least: 50 });
}

#[test]
fn what_holds_says_who_or_why() {
    let paused = Suspension::Paused { actor: String::from("anna"), since: now() };
    assert_eq!(paused.to_string(), "sweeping is paused by `anna`");
    let held =
        Suspension::BreakerOpen { detail: String::from("60 of 100 active creations are stale at once") };
    assert_eq!(
        held.to_string(),
        "the circuit breaker is open: 60 of 100 active creations are stale at once, and nothing was written; find the cause, \
         or preview and apply a plan"
    );
    let text = "circuit_breaker_open: 60 of 100 active creations are stale at once";
    assert_eq!(watched(&Observed { suspended: Some(held), ..healthy() }), [text]);
}
