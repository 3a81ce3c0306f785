//! What operators are told: alerts, likely causes, and the circuit breaker. Each at its boundary.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use stale_drafts::rules::{
    ARCHIVE_EXPECTED_WITHIN_MS, CircuitBreaker, DOMINANT_PERCENT, Ended, Evidence, FEW, Finding,
    GENERATION_TIMEOUT, MOVE_EXPECTED_WITHIN_MS, ONE_TIMEOUT_MS, ONE_WINDOW_MS, OpenMove,
    REDELIVERED_AFTER_MS, SILENT_AFTER_MS, START_EXPECTED_WITHIN_MS, SetAside, Severity, Suspension,
    Thresholds, Timestamp, WITHOUT_SCHEMA, alerts, diagnose, lacks_schema, no_answer,
};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

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
    said(&all(&evidence))
}

fn all(evidence: &Evidence) -> Vec<Finding> {
    diagnose(evidence, &Thresholds::default(), now())
}

/// Cron has just swept; nothing else is known.
fn healthy() -> Evidence {
    Evidence { last_good_sweep: Some(now()), last_run: Some(now()), ..Evidence::default() }
}

fn alerted(evidence: &Evidence) -> Vec<String> {
    said(&alerts(evidence, &Thresholds::default(), now()))
}

fn codes(evidence: Evidence) -> Vec<&'static str> {
    all(&evidence).iter().map(|finding| finding.code).collect()
}

fn alerts_of(evidence: &Evidence) -> Vec<&'static str> {
    alerts(evidence, &Thresholds::default(), now()).iter().map(|finding| finding.code).collect()
}

fn paused() -> Suspension {
    Suspension::Paused { actor: String::from("anna"), since: now() }
}

#[test]
fn the_bounds_are_what_the_documentation_says() {
    assert_eq!([SILENT_AFTER_MS, START_EXPECTED_WITHIN_MS, ONE_WINDOW_MS], [300_000, 600_000, 120_000]);
    assert_eq!([ONE_TIMEOUT_MS, REDELIVERED_AFTER_MS], [120_000, 60_000]);
    assert_eq!([FEW, DOMINANT_PERCENT], [5, 80]);
    assert_eq!([ARCHIVE_EXPECTED_WITHIN_MS, MOVE_EXPECTED_WITHIN_MS], [2 * HOUR, 15 * MINUTE]);
    let Thresholds { overdue_ms, stale_percent, failed_percent, error_percent, outbox_ms } =
        Thresholds::default();
    assert_eq!(
        [overdue_ms, stale_percent, failed_percent, error_percent, outbox_ms],
        [180_000, 20, 50, 80, 900_000]
    );
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(diagnosed(healthy()), [""; 0]);
    assert_eq!(alerted(&healthy()), [""; 0]);
}

#[test]
fn a_wrong_schema_comes_first_then_what_is_critical() {
    let evidence = Evidence {
        schema_version: 3,
        expected_schema_version: 4,
        unreadable: 1,
        newest_sweep: Some(now()),
        newest_sweep_error: Some(String::from("D1_ERROR: no such table")),
        dead_letters: 1,
        differs: vec![String::from("anna")],
        ..healthy()
    };
    let findings = all(&evidence);
    let severities: Vec<_> = findings.iter().map(|finding| finding.severity.as_str()).collect();
    assert_eq!(severities, ["critical", "critical", "critical", "warning", "warning"]);
    assert_eq!(
        said(&findings),
        [
            "schema_not_current: the schema is version 3: expected 4",
            "ledger_differs: that of `anna`",
            "sweep_failing: its error: D1_ERROR: no such table",
            "dead_letters: 1 event could not be delivered",
            "unreadable_times: 1 creation is active with times that are missing, malformed, in seconds or in the future",
        ]
    );
    assert!(Severity::Critical > Severity::Warning);
    // A diagnosis says all that the alerts say.
    let alerts = alerted(&evidence);
    assert_eq!(alerts.len(), 4);
    assert!(alerts.iter().all(|alert| said(&findings).contains(alert)));
}

#[test]
fn of_several_databases_those_with_another_schema_are_named_with_the_commands() {
    let other = |shard: &str, version| (shard.to_owned(), version);
    // The newer one has the smaller number of none.
    let evidence = Evidence {
        other_schemas: vec![other("DB_1", Some(5)), other("DB_2", None)],
        schema_version: 4,
        expected_schema_version: 4,
        ..healthy()
    };
    let [finding] = <[_; 1]>::try_from(all(&evidence)).unwrap();
    assert_eq!(
        finding.evidence,
        "that of `DB_1` is version 5; that of `DB_2` is not there, or too old to say its version: expected 4"
    );
    assert_eq!(
        finding.remedy,
        "apply the migrations: `npx wrangler d1 migrations apply DB_1 --remote` (or `--local`); `DB_2`: if another database was bound there before, bind that one again; if not, apply the migrations: `npx wrangler d1 migrations apply DB_2 --remote` (or `--local`)"
    );
    assert_eq!(alerted(&evidence).len(), 1);
}

#[test]
fn what_a_suspension_explains_is_not_said_beside_it() {
    let evidence = Evidence {
        overdue: Some((String::from("c1"), 20 * MINUTE)),
        last_good_sweep: Some(ago(20 * MINUTE)),
        newest_sweep: Some(now()),
        newest_sweep_error: Some(String::from("lost")),
        max_ms_since_sweep: 10 * MINUTE,
        ..Evidence::default()
    };
    assert_eq!(codes(evidence.clone()), ["sweep_failing"]);
    assert_eq!(codes(Evidence { suspended: Some(paused()), ..evidence.clone() }), ["sweeping_paused"]);
    let open = Suspension::BreakerOpen { detail: String::from("many") };
    assert_eq!(codes(Evidence { suspended: Some(open.clone()), ..evidence }), ["circuit_breaker_open"]);
    // What it does not explain is.
    let other = Evidence { suspended: Some(open), dead_letters: 1, unreadable: 1, ..healthy() };
    assert_eq!(codes(other), ["circuit_breaker_open", "dead_letters", "unreadable_times"]);
}

#[test]
fn what_was_held_is_not_said_once_sweeping_goes_on() {
    // A minute after an hour's pause: cron has run all the time, and its next sweep is still to come.
    let evidence = Evidence {
        overdue: Some((String::from("c1"), 50 * MINUTE)),
        last_good_sweep: Some(ago(60 * MINUTE)),
        last_run: Some(ago(MINUTE)),
        newest_sweep: Some(ago(MINUTE)),
        max_ms_since_sweep: 10 * MINUTE,
        ..Evidence::default()
    };
    assert_eq!(codes(evidence.clone()), [""; 0]);
    // If it does not come, that is found.
    assert_eq!(codes(Evidence { last_run: Some(ago(11 * MINUTE)), ..evidence }), ["cron_not_running"]);
}

#[test]
fn a_creation_is_overdue_once_a_sweep_has_left_it() {
    let of = |swept: u64, max| {
        let evidence = Evidence {
            overdue: Some((String::from("c1"), 50 * MINUTE)),
            max_ms_since_sweep: max,
            last_good_sweep: Some(ago(swept)),
            last_run: Some(ago(swept)),
            ..Evidence::default()
        };
        assert_eq!(codes(evidence.clone()), alerts_of(&evidence));
        codes(evidence)
    };
    assert_eq!(of(MINUTE, 10 * MINUTE), ["creations_overdue"]);
    // Cron runs each hour: its turn is still to come.
    assert_eq!(of(50 * MINUTE, 75 * MINUTE), [""; 0]);
    assert_eq!(of(50 * MINUTE - 1, 75 * MINUTE), ["creations_overdue"]);
    // It has stopped.
    assert_eq!(of(50 * MINUTE, 10 * MINUTE), ["cron_not_running"]);
    // Cron has swept since and left it, and then it was paused, or has stopped: that explains it.
    assert_eq!(of(20 * MINUTE, 10 * MINUTE), ["cron_not_running"]);
    let left =
        Evidence { overdue: Some((String::from("c1"), 50 * MINUTE)), suspended: Some(paused()), ..healthy() };
    assert_eq!(codes(left), ["sweeping_paused"]);
    // None is expected, and owners sweep their own.
    assert_eq!(codes(Evidence { max_ms_since_sweep: u64::MAX, ..Evidence::default() }), [""; 0]);
}

#[test]
fn a_sweep_that_fails_is_no_cron_trigger_that_does_not_run() {
    let of = |swept: u64, newest: u64| {
        let evidence = Evidence {
            last_good_sweep: Some(ago(swept)),
            last_run: Some(ago(swept)),
            newest_sweep: Some(ago(newest)),
            newest_sweep_error: Some(String::from("lost")),
            max_ms_since_sweep: 10 * MINUTE,
            ..Evidence::default()
        };
        (codes(evidence.clone()), alerts_of(&evidence))
    };
    // One that fails is no alert yet: the next one carries on.
    assert_eq!(of(MINUTE, 0), (vec!["sweep_failing"], vec![]));
    assert_eq!(of(11 * MINUTE, 0), (vec!["sweep_failing"], vec!["sweep_failing"]));
    // It failed, and nothing has swept since.
    assert_eq!(of(25 * MINUTE, 20 * MINUTE), (vec!["cron_not_running"], vec!["cron_not_running"]));
}

#[test]
fn what_the_database_rejects_is_said_with_its_reason() {
    let of = |count, until: Timestamp| {
        let (id, reason) = (String::from("c1"), String::from("the app says no"));
        alerted(&Evidence { set_aside: Some(SetAside { count, id, reason, until }), ..healthy() })
    };
    let again = |rest| format!("creations_rejected: `c1`: the app says no; a sweep tries it again {rest}");
    let soon = now().saturating_add(42 * MINUTE);
    assert_eq!(of(1, soon), [again("in 42 minutes")]);
    assert_eq!(of(2, soon), [again("in 42 minutes; 1 more is set aside")]);
    assert_eq!(of(3, ago(MINUTE)), [again("at its next run; 2 more are set aside")]);
}

#[test]
fn what_a_cause_leads_to_is_not_said_beside_it() {
    let waits = Evidence { waiting: 3, waiting_since: Some(ago(HOUR)), ..healthy() };
    let died = Evidence { silent: 2, silent_between: Some((ago(HOUR), ago(HOUR))), ..waits.clone() };
    let timed_out = Evidence { timed_out: 6, finished: 6, failed: 6, ..healthy() };
    assert_eq!(codes(timed_out.clone()), ["many_stale"]);
    for (evidence, cause) in [(waits, "no_worker_running"), (died, "worker_died")] {
        assert_eq!(codes(Evidence { timed_out: 6, finished: 6, failed: 6, ..evidence }), [cause]);
    }
    // The provider fails, and one kind's creations are those that ended; or only this kind times out.
    let top_kind = Some((String::from("video"), 6, 6));
    let top_error = Some((String::from("quota_exceeded"), 6));
    let of_one_kind = Evidence { top_kind, finished: 7, ..timed_out };
    assert_eq!(codes(of_one_kind.clone()), ["one_kind_dominates"]);
    // How many fail is said beside why.
    let both = ["many_failed", "one_error_dominates"];
    assert_eq!(codes(Evidence { top_error, timed_out: 0, ..of_one_kind }), both);
}

#[test]
fn unreadable_times() {
    let of = |unreadable| diagnosed(Evidence { unreadable, ..healthy() });
    assert_eq!(of(0), [""; 0]);
    let text = "unreadable_times: 2 creations are active with times that are missing, malformed, in seconds or in the future";
    assert_eq!(of(2), [text]);
}

#[test]
fn no_worker_is_running_if_a_creation_waits_and_nothing_starts_for_more_than_ten_minutes() {
    let of = |waiting, waited: u64, idle: Option<u64>| {
        let (waiting_since, last_start) = (Some(ago(waited)), idle.map(ago));
        diagnosed(Evidence { waiting, waiting_since, last_start, ..healthy() })
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
    // All workers are busy, with or without heartbeats, and have started nothing for long.
    let busy = |alive, busy| {
        diagnosed(Evidence { waiting: 1, waiting_since: Some(ago(long)), alive, busy, ..healthy() }).len()
    };
    assert_eq!([busy(0, 0), busy(1, 0), busy(0, 1)], [1, 0, 0]);
}

#[test]
fn a_worker_died_if_at_least_two_fell_silent_within_two_minutes_and_nothing_is_alive() {
    let of = |silent, alive, apart: u64| {
        let silent_between = Some((ago(20 * MINUTE + apart), ago(20 * MINUTE)));
        all(&Evidence { silent, alive, silent_between, ..healthy() })
    };
    let findings = of(2, 0, 2 * MINUTE);
    assert_eq!(findings[0].cause, "a worker died 20 minutes ago");
    assert_eq!(
        said(&findings),
        [
            "worker_died: the last heartbeats of all 2 creations in progress that had any came within 2 minutes of \
             one another; none since"
        ]
    );
    assert_eq!(of(2, 0, 2 * MINUTE + 1), []);
    assert_eq!(of(2, 1, 0), []);
    assert_eq!(of(1, 0, 0), []);
}

#[test]
fn tasks_are_redelivered_if_at_least_two_were_started_twice_within_two_minutes_of_one_timeout() {
    let of = |again: &[(&str, u64)]| {
        let started_again = again.iter().map(|(id, after)| ((*id).to_owned(), *after)).collect();
        all(&Evidence { started_again, ..healthy() })
    };
    let findings = of(&[("c3", HOUR + 2 * MINUTE), ("c2", 5 * MINUTE), ("c1", HOUR)]);
    assert_eq!(
        said(&findings),
        [
            "tasks_redelivered: 2 attempts were started twice within a day, 1.0 hours apart; the last was that of `c3`"
        ]
    );
    assert_eq!(findings[0].severity, Severity::Warning);
    assert!(findings[0].remedy.contains("`visibility_timeout`"));
    // One may be a worker that was killed, and so may several that took each another time.
    assert_eq!(of(&[]), []);
    assert_eq!(of(&[("c1", HOUR)]), []);
    assert_eq!(of(&[("c2", HOUR + 2 * MINUTE + 1), ("c1", HOUR)]), []);
    // Of two timeouts, the one that most came back by.
    let two = of(&[
        ("d2", 7 * MINUTE),
        ("c2", 20 * MINUTE),
        ("d1", 5 * MINUTE),
        ("d3", 6 * MINUTE),
        ("c1", 21 * MINUTE),
    ]);
    assert_eq!(
        said(&two),
        [
            "tasks_redelivered: 3 attempts were started twice within a day, 5 minutes apart; the last was that of `d2`"
        ]
    );
    // It is no alert: what it says of is a day old at most, and one look a minute need not read it.
    let started_again = vec![(String::new(), u64::MAX), (String::new(), u64::MAX)];
    assert_eq!(alerted(&Evidence { started_again, ..healthy() }), [""; 0]);
}

#[test]
fn one_kind_dominates_from_five_failures_and_80_percent_on() {
    let of = |failed, (of_kind, finished_of_kind), finished| {
        let top_kind = Some((String::from("video"), of_kind, finished_of_kind));
        diagnosed(Evidence { failed, finished, top_kind, ..healthy() })
    };
    let text = "one_kind_dominates: 4 of 8 of this kind failed in the last hour, and 1 of 3 others, among the newest creations";
    assert_eq!(of(5, (4, 8), 11), [text]);
    // Too few failures; too few of this kind; too few of it that failed.
    assert_eq!(of(4, (4, 4), 11), [""; 0]);
    assert_eq!(of(5, (3, 4), 11), [""; 0]);
    assert_eq!(of(5, (4, 9), 11), [""; 0]);
    // Nothing else to compare with; that so many fail is another finding, and said beside it where there is.
    assert_eq!(
        of(5, (4, 8), 8),
        ["many_failed: 5 of 8 that ended within the last hour failed, among the newest creations"]
    );
    let many = "many_failed: 5 of 9 that ended within the last hour failed, among the newest creations";
    let text = "one_kind_dominates: 4 of 8 of this kind failed in the last hour, and 1 of 1 others, among the newest creations";
    assert_eq!(of(5, (4, 8), 9), [many, text]);
    // More of the newest creations are known: their share counts.
    let of_more = |failed| {
        let more = Ended { failed, finished: 30, ..Ended::default() };
        let top_kind = Some((String::from("video"), 8, 8));
        diagnosed(Evidence { failed: 9, finished: 20, top_kind, more, ..healthy() })
    };
    let text = "one_kind_dominates: 8 of 8 of this kind failed in the last hour, and 2 of 22 others, among the newest creations";
    assert_eq!((of_more(10), of_more(11)), (vec![text.to_owned()], vec![]));
}

#[test]
fn an_alert_about_the_newest_is_found_whatever_more_of_them_say() {
    let down = |count| Some((String::from("provider_down"), count));
    let many = Ended { finished: 1_000, failed: 300, timed_out: 45, top_error: down(210) };
    let newest = Evidence { finished: 200, failed: 200, timed_out: 45, top_error: down(170), ..healthy() };
    let found = ["many_stale", "many_failed", "one_error_dominates"];
    assert_eq!(alerts_of(&newest), found);
    assert_eq!(codes(Evidence { more: many.clone(), ..newest }), found);
    // And what only more of them show is found without an alert.
    let only_more = Evidence { more: Ended { top_error: down(290), ..many }, ..healthy() };
    assert_eq!((alerts_of(&only_more), codes(only_more.clone())), (vec![], vec!["one_error_dominates"]));
}

#[test]
fn one_error_dominates_from_five_failures_and_its_percentage_on() {
    let of = |failed, code: &str, count| {
        let top_error = Some((String::from(code), count));
        alerted(&Evidence { failed, top_error, ..healthy() })
    };
    let text =
        "one_error_dominates: 4 of 5 failures of the last hour, among the newest creations, have this code";
    assert_eq!(of(5, "quota_exceeded", 4), [text]);
    assert_eq!(of(5, "quota_exceeded", 3), [""; 0]);
    assert_eq!(of(4, "quota_exceeded", 4), [""; 0]);
    assert_eq!(of(5, GENERATION_TIMEOUT, 5), [""; 0]);
    // Whose problem it is.
    let whose = |code: &str| {
        let top_error = Some((String::from(code), 5));
        let finding = all(&Evidence { failed: 5, top_error, ..healthy() }).remove(0);
        (finding.cause, finding.remedy)
    };
    let (cause, remedy) = whose("api_key_invalid");
    assert_eq!(cause, "the provider or its key has a problem: `api_key_invalid`");
    assert!(remedy.contains("the key"), "{remedy}");
    let (cause, remedy) = whose("not_queued");
    assert_eq!(cause, "the app can't reach its queue: `not_queued`");
    assert!(remedy.contains("Redis"), "{remedy}");
}

#[test]
fn many_stale_from_five_time_outs_and_beyond_its_percentage() {
    let of = |timed_out, finished| alerted(&Evidence { timed_out, finished, ..healthy() });
    let text = "many_stale: 5 of 23 that ended within the last hour, among the newest creations";
    assert_eq!(of(5, 23), [text]);
    assert_eq!(of(5, 25), [""; 0]);
    assert_eq!(of(4, 4), [""; 0]);
    assert_eq!(of(5, 0), [""; 0]);
}

#[test]
fn many_failed_from_five_failures_and_its_percentage_on_time_outs_aside() {
    let down = Some((String::from("provider_down"), 4));
    let of = |failed, timed_out, finished, top_error: &Option<(String, u64)>| {
        let top_error = top_error.clone();
        all(&Evidence { failed, timed_out, finished, top_error, ..healthy() })
            .into_iter()
            .filter(|finding| finding.code == "many_failed")
            .map(|finding| (finding.severity, finding.evidence, finding.error_code))
            .collect::<Vec<_>>()
    };
    let text =
        |rest| format!("5 of 10 that ended within the last hour failed, among the newest creations{rest}");
    let by = text(", 4 of them with `provider_down`");
    assert_eq!(of(5, 0, 10, &down), [(Severity::Critical, by, Some(String::from("provider_down")))]);
    assert_eq!(of(5, 0, 10, &None), [(Severity::Critical, text(""), None)]);
    // What timed out is another finding's, and so is its code.
    let timed_out = Some((String::from(GENERATION_TIMEOUT), 6));
    assert_eq!(of(11, 6, 10, &timed_out), [(Severity::Critical, text(""), None)]);
    assert_eq!(
        [of(5, 1, 5, &down), of(4, 0, 4, &down), of(5, 0, 11, &down), of(5, 0, 0, &down)],
        [const { Vec::new() }; 4]
    );
    // By its own percentage.
    let evidence = Evidence { failed: 5, finished: 11, ..healthy() };
    let found = |failed_percent| {
        let thresholds = Thresholds { failed_percent, ..Thresholds::default() };
        alerts(&evidence, &thresholds, now()).iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!([found(45), found(46)], [vec!["many_failed"], vec![]]);
}

#[test]
fn cron_is_not_running_beyond_the_age_that_its_last_good_sweep_may_have() {
    let of = |age, stale| {
        let last_good_sweep = Some(ago(age));
        alerted(&Evidence { last_good_sweep, max_ms_since_sweep: 5 * MINUTE, stale, ..Evidence::default() })
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
fn of_several_databases_the_one_that_has_not_been_swept_is_named() {
    let of = |last_good_sweep, behind: Option<&str>| {
        let behind = behind.map(str::to_owned);
        alerted(&Evidence { last_good_sweep, max_ms_since_sweep: 5 * MINUTE, behind, ..Evidence::default() })
    };
    assert_eq!(of(None, None), ["cron_not_running: it has never swept"]);
    assert_eq!(of(None, Some("DB_2")), ["cron_not_running: there was never a good sweep of `DB_2`"]);
    let late = Some(ago(HOUR));
    assert_eq!(of(late, Some("DB_2")), ["cron_not_running: its last good sweep of `DB_2` was 1.0 hours ago"]);
}

#[test]
fn the_databases_that_do_not_answer_are_named() {
    let of = |shards: &[(&str, &str)]| {
        let unreachable =
            shards.iter().map(|(shard, error)| ((*shard).to_owned(), (*error).to_owned())).collect();
        alerts(&Evidence { unreachable, ..healthy() }, &Thresholds::default(), now())
    };
    assert_eq!(of(&[]), []);
    let one = of(&[("DB_2", "no answer in 10 seconds")]);
    assert_eq!(said(&one), ["database_unreachable: `DB_2` does not answer: no answer in 10 seconds"]);
    assert_eq!(one[0].severity, Severity::Critical);
    let evidence = "`DB_2` does not answer: gone; nor does `DB_5`; nor does `DB_7`";
    let three = of(&[("DB_2", "gone"), ("DB_5", "gone"), ("DB_7", "slow")]);
    assert_eq!(said(&three), [format!("database_unreachable: {evidence}")]);
}

#[test]
fn two_shards_that_are_one_database_are_named() {
    let of = |databases: &[(&str, &str)]| {
        let databases =
            databases.iter().map(|(name, identity)| ((*name).to_owned(), (*identity).to_owned())).collect();
        alerted(&Evidence { databases, ..healthy() })
    };
    assert_eq!(of(&[("DB", "a"), ("DB_2", "b"), ("DB_3", "c")]), [""; 0]);
    let text = "database_shared: `DB` and `DB_3` are one and the same, or one is a copy of the other";
    assert_eq!(of(&[("DB", "a"), ("DB_2", "b"), ("DB_3", "a")]), [text]);
}

#[test]
fn the_ledger_differs() {
    let of = |users: &[&str]| {
        alerted(&Evidence { differs: users.iter().map(ToString::to_string).collect(), ..healthy() })
    };
    assert_eq!(of(&["anna"]), ["ledger_differs: that of `anna`"]);
    assert_eq!(of(&["anna", "ben", "cleo"]), ["ledger_differs: that of `anna` and 2 more"]);
}

#[test]
fn the_outbox_is_stuck_if_an_event_fails_for_more_than_15_minutes() {
    let of = |failing: u64| alerted(&Evidence { events_failing_since: Some(ago(failing)), ..healthy() });
    assert_eq!(of(15 * MINUTE), [""; 0]);
    assert_eq!(of(15 * MINUTE + 1), ["outbox_stuck: the deliveries of one have failed for 15 minutes"]);
}

#[test]
fn there_are_dead_letters() {
    let of = |dead_letters| alerted(&Evidence { dead_letters, ..healthy() });
    assert_eq!(of(1), ["dead_letters: 1 event could not be delivered"]);
    assert_eq!(of(2), ["dead_letters: 2 events could not be delivered"]);
}

#[test]
fn the_circuit_breaker_opens_beyond_a_number_and_beyond_a_share() {
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
fn a_suspension_says_who_or_why() {
    assert_eq!(paused().to_string(), "sweeping is paused by `anna`");
    let open =
        Suspension::BreakerOpen { detail: String::from("60 of 100 active creations are stale at once") };
    assert_eq!(
        open.to_string(),
        "the circuit breaker is open: 60 of 100 active creations are stale at once, and nothing was written; find the cause, \
         or preview and apply a plan"
    );
    let text = "circuit_breaker_open: 60 of 100 active creations are stale at once";
    assert_eq!(alerted(&Evidence { suspended: Some(open), ..healthy() }), [text]);
    let text = "sweeping_paused: `anna` paused it";
    assert_eq!(alerted(&Evidence { suspended: Some(paused()), ..healthy() }), [text]);
}

#[test]
fn an_archive_is_expected_to_run_where_it_is_configured() {
    let at = |past: u64| Evidence { archives: true, archive_ended_at: Some(ago(past)), ..healthy() };
    assert_eq!(diagnosed(at(ARCHIVE_EXPECTED_WITHIN_MS)), [""; 0]);
    assert_eq!(
        diagnosed(at(ARCHIVE_EXPECTED_WITHIN_MS + 60_000)),
        ["archive_stuck: the last run that ended well was 2.0 hours ago"]
    );
    // What is old already when it is switched on is not archived at once, nor is that noticed before the first cron.
    let on = |past: u64| Evidence { archives: true, archive_since: Some(ago(past)), ..healthy() };
    assert_eq!(diagnosed(Evidence { archives: true, ..healthy() }), [""; 0]);
    assert_eq!(diagnosed(on(ARCHIVE_EXPECTED_WITHIN_MS)), [""; 0]);
    let never = on(ARCHIVE_EXPECTED_WITHIN_MS + 60_000);
    let text = "archive_stuck: no run has ended well since it was switched on 2.0 hours ago";
    assert_eq!(diagnosed(never.clone()), [text]);
    assert_eq!(diagnosed(Evidence { archives: false, ..never.clone() }), [""; 0]);
    // It was off in between.
    let again = |past| Evidence { archive_ended_at: Some(ago(99 * 3_600_000)), ..on(past) };
    assert_eq!(diagnosed(again(ARCHIVE_EXPECTED_WITHIN_MS)), [""; 0]);
    assert_eq!(diagnosed(again(ARCHIVE_EXPECTED_WITHIN_MS + 60_000)), [text]);
    // A run of the moment in which it was switched on has ended since.
    let since = ago(ARCHIVE_EXPECTED_WITHIN_MS + 60_000);
    let at_once = Evidence { archive_ended_at: Some(since), ..on(ARCHIVE_EXPECTED_WITHIN_MS + 60_000) };
    assert_eq!(diagnosed(at_once), ["archive_stuck: the last run that ended well was 2.0 hours ago"]);
    // Of several databases, the one that waits for longest is named; one that cron has not come to yet does not wait.
    for other in [at(0), on(0), healthy()] {
        let both = |one: &Evidence, other: &Evidence| {
            diagnosed(Evidence { archives: true, databases: Vec::new(), ..one.clone().and(other.clone()) })
        };
        let of = |shard: &str, one: &Evidence| Evidence { archive_of: Some(shard.to_owned()), ..one.clone() };
        let (never, other) = (of("DB_1", &never), of("DB_2", &other));
        let named = text.replace("no run", "no run of `DB_1`");
        assert_eq!((both(&never, &other), both(&other, &never)), (vec![named.clone()], vec![named]));
    }
}

#[test]
fn without_a_bucket_nothing_is_archived_and_that_is_said_at_once_and_instead_of_that_it_is_stuck() {
    let stuck = Evidence { archives: true, archive_since: Some(ago(99 * HOUR)), ..healthy() };
    assert_eq!(codes(stuck.clone()), ["archive_stuck"]);
    let evidence = Evidence { archive_not_bound: true, ..stuck };
    let text = "archive_not_bound: `keep_days.creations` is set, and no R2 bucket is bound as `ARCHIVE`";
    assert_eq!(
        (alerted(&evidence), diagnosed(evidence.clone())),
        (vec![text.to_owned()], vec![text.to_owned()])
    );
    let [found] = &all(&evidence)[..] else { panic!("one") };
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.remedy.contains("[[r2_buckets]]"), "{}", found.remedy);
    assert_eq!(codes(evidence.and(healthy())), ["archive_not_bound"]);
}

/// A move from `A` to `B` as one of them has it, which last went on so long ago.
fn of_move(id: &str, shard: &str, state: &str, silent: u64) -> OpenMove {
    OpenMove {
        id: id.to_owned(),
        shard: shard.to_owned(),
        is_source: shard == "A",
        other: String::from(if shard == "A" { "B" } else { "A" }),
        first_bucket: 1_024,
        last_bucket: 2_047,
        state: state.to_owned(),
        stepped_at: ago(silent),
    }
}

#[test]
fn a_move_is_unfinished_once_neither_side_has_gone_on_for_more_than_15_minutes() {
    let long = 15 * MINUTE + 1;
    let found = |moves: &[OpenMove]| {
        let evidence = Evidence { moves: moves.to_vec(), ..healthy() };
        assert_eq!(all(&evidence), alerts(&evidence, &Thresholds::default(), now()));
        all(&evidence)
    };
    let both = |source: (&str, u64), target: (&str, u64)| {
        found(&[of_move("m", "B", target.0, target.1), of_move("m", "A", source.0, source.1)])
    };
    assert_eq!(both(("paused", 15 * MINUTE), ("arriving", HOUR)), []);
    assert_eq!(both(("cancelling", HOUR), ("cancelling", 15 * MINUTE)), []);
    let [stuck] = &both(("copied", long), ("arriving", HOUR))[..] else { panic!() };
    assert_eq!((stuck.code, stuck.severity), ("move_unfinished", Severity::Critical));
    assert_eq!(stuck.cause, "a move of users to another database is not finished, and they can't write");
    assert_eq!(
        stuck.evidence,
        "that of the buckets 1024-2047 from `A` to `B` is `copied` in `A`, and has not gone on for 15 minutes"
    );
    // What to do is a command that can be pasted.
    let command =
        |verb: &str| format!("`mark-stale-drafts shards {verb} --from A --to B --buckets 1024-2047`");
    let remedy =
        |source: &str, target: &str| both((source, long), (target, long)).remove(0).remedy.into_owned();
    let go_on =
        format!("go on with {}, or undo it with `shards cancel` and the same options", command("move"));
    for state in ["paused", "copied", "verified"] {
        assert_eq!(remedy(state, "arriving"), go_on);
    }
    let configure = "give these buckets to `B` in the configuration, deploy it, and then: ";
    assert_eq!(remedy("moved", "arriving"), format!("{configure}{}", command("finish")));
    assert_eq!(remedy("cancelling", "cancelling"), format!("go on with {}", command("cancel")));
    // The target is open: nobody waits, and only room is lost.
    let [trims] = &found(&[of_move("m", "A", "moved", HOUR)])[..] else { panic!() };
    assert_eq!(trims.severity, Severity::Warning);
    assert_eq!(trims.remedy, format!("remove what has moved away: {}", command("finish")));
    // The mover died between its first two writes.
    let [begun] = &found(&[of_move("m", "B", "arriving", HOUR)])[..] else { panic!() };
    assert_eq!((begun.severity, begun.remedy.as_ref()), (Severity::Warning, go_on.as_str()));
    assert_eq!(begun.cause, "a move of users to another database has begun on one side only");
}

#[test]
fn of_several_moves_the_one_that_holds_users_for_longest_is_said() {
    let moves = vec![
        of_move("trims", "A", "moved", 5 * HOUR),
        of_move("new", "A", "paused", MINUTE),
        of_move("one", "A", "verified", HOUR),
        of_move("other", "A", "copied", 2 * HOUR),
    ];
    let evidence = Evidence { moves, ..healthy() };
    let text = "move_unfinished: that of the buckets 1024-2047 from `A` to `B` is `copied` in `A`, and has not gone on for 2.0 hours; nor are 2 more";
    assert_eq!(diagnosed(evidence.clone()), [text]);
    // Where one of the two does not answer, that is why.
    let unreachable = vec![(String::from("B"), String::from("gone"))];
    assert_eq!(codes(Evidence { unreachable, ..evidence.clone() }), ["database_unreachable"]);
    let another = vec![(String::from("C"), String::from("gone"))];
    let both = ["database_unreachable", "move_unfinished"];
    assert_eq!(codes(Evidence { unreachable: another, ..evidence }), both);
}

#[test]
fn a_database_without_the_schema_is_told_from_one_that_does_not_answer() {
    for missing in ["D1_ERROR: no such table: stale_drafts_moves", "no such column: c.user_id at offset 7"] {
        assert!(lacks_schema(missing));
        assert_eq!(no_answer(missing), ("lacks the schema", WITHOUT_SCHEMA));
    }
    assert!(!lacks_schema("Network connection lost"));
    assert_eq!(no_answer("Network connection lost"), ("does not answer", "Network connection lost"));
}
