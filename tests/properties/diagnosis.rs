//! The circuit breaker, the alerts and the diagnosis: an answer for any evidence.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;
use stale_drafts::rules::{
    Bucket, BucketSet, CircuitBreaker, Ended, Evidence, Finding, OpenMove, Placed, SetAside, Severity,
    Suspension, Thresholds, Timestamp, alerts, diagnose, first_records,
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
    let creations = (number(), at(), at(), number(), number(), number(), option::of((now(), now())));
    let found = (option::of(number()), number(), number(), number(), number());
    let more = (number(), number(), number(), option::of((code(), number()))).prop_map(
        |(finished, failed, timed_out, top_error)| Ended { finished, failed, timed_out, top_error },
    );
    let tops = (option::of((code(), number())), option::of((code(), number(), number())), more).boxed();
    let sweeps = (at(), at(), at(), number(), option::of(".*"));
    let again = vec((".*", number()), 0..6);
    let schema = (-1..=5_i64, prop_oneof![any::<i64>(), 3..=5_i64], again);
    let set_aside =
        option::of((".*", ".*", now(), 1..=1_000_u64).prop_map(|(id, reason, until, count)| SetAside {
            count,
            id,
            reason,
            until,
        }));
    let overdue = option::of((".*", any::<u64>()));
    let databases = vec(("[A-C]", "[a-c]"), 0..3);
    let several = (
        option::of(".*"),
        vec((".*", ".*"), 0..3),
        (any::<bool>(), any::<bool>()),
        (at(), at(), option::of(".*")),
        vec(open_move(), 0..4),
        databases,
        vec(placed(), 0..4),
        vec(("[A-C]", option::of(0..5_i64)), 0..2),
    );
    let monitored =
        (overdue, set_aside, vec(".*", 0..3), at(), number(), option::of(suspended()), several).boxed();
    (creations, found, tops, sweeps, schema, monitored).prop_map(
        |(
            creations,
            found,
            (top_error, top_kind, more),
            sweeps,
            (schema_version, expected, started_again),
            monitored,
        )| {
            let (waiting, waiting_since, last_start, busy, alive, silent, silent_between) = creations;
            let (stale, unreadable, finished, failed, timed_out) = found;
            let (last_good_sweep, held, newest, max_ms_since_sweep, newest_sweep_error) = sweeps;
            let last_run = last_good_sweep.max(held);
            let (overdue, set_aside, differs, events_failing_since, dead_letters, suspended, several) =
                monitored;
            let (
                behind,
                unreachable,
                (archives, archive_not_bound),
                (archive_since, archive_ended_at, archive_of),
                moves,
                databases,
                placed,
                other_schemas,
            ) = several;
            Evidence {
                last_good_sweep,
                last_run,
                behind,
                unreachable,
                max_ms_since_sweep,
                newest_sweep: newest.max(last_run),
                newest_sweep_error,
                suspended,
                overdue,
                set_aside,
                finished,
                failed,
                timed_out,
                top_error,
                differs,
                events_failing_since,
                dead_letters,
                moves,
                placed,
                databases,
                waiting,
                waiting_since,
                last_start,
                busy,
                alive,
                silent,
                silent_between,
                stale,
                unreadable,
                top_kind,
                more,
                started_again,
                archives,
                archive_not_bound,
                archive_since,
                archive_ended_at,
                archive_of,
                other_schemas,
                schema_version,
                expected_schema_version: expected,
            }
        },
    )
}

fn bucket() -> impl Strategy<Value = Bucket> {
    prop_oneof![0..=9_u16, 0..=4_095_u16, Just(4_095)].prop_map(|number| Bucket::new(number).unwrap())
}

fn buckets() -> impl Strategy<Value = BucketSet> {
    vec((bucket(), bucket()).prop_map(|(one, other)| one.min(other)..=one.max(other)), 0..4)
        .prop_map(BucketSet::from_iter)
}

fn placed() -> impl Strategy<Value = Placed> {
    ("[A-C]", buckets(), option::of(buckets()), option::of(buckets())).prop_map(
        |(shard, configured, recorded, users)| Placed {
            shard,
            configured,
            recorded,
            users: users.filter(|_| recorded.is_none()).unwrap_or_default(),
        },
    )
}

fn open_move() -> impl Strategy<Value = OpenMove> {
    let states = ["paused", "copied", "verified", "moved", "arriving", "cancelling"];
    ("[ab]", "[AB]", any::<bool>(), "[AB]", 0..=4_095_u32, select(states.to_vec()), now()).prop_map(
        |(id, shard, is_source, other, bucket, state, stepped_at)| OpenMove {
            id,
            shard,
            is_source,
            other,
            first_bucket: bucket,
            last_bucket: bucket,
            state: state.to_owned(),
            stepped_at,
        },
    )
}

fn suspended() -> impl Strategy<Value = Suspension> {
    prop_oneof![
        (".*", now()).prop_map(|(actor, since)| Suspension::Paused { actor, since }),
        ".*".prop_map(|detail| Suspension::BreakerOpen { detail }),
    ]
}

fn thresholds() -> impl Strategy<Value = Thresholds> {
    (number(), number(), number(), number(), number()).prop_map(
        |(overdue_ms, stale_percent, failed_percent, error_percent, outbox_ms)| Thresholds {
            overdue_ms,
            stale_percent,
            failed_percent,
            error_percent,
            outbox_ms,
        },
    )
}

const ALERTS: [&str; 19] = [
    "schema_not_current",
    "database_unreachable",
    "database_shared",
    "buckets_misplaced",
    "move_unfinished",
    "cron_not_running",
    "sweep_failing",
    "creations_overdue",
    "creations_rejected",
    "circuit_breaker_open",
    "ledger_differs",
    "many_stale",
    "many_failed",
    "one_error_dominates",
    "outbox_stuck",
    "dead_letters",
    "sweeping_paused",
    "archive_not_bound",
    "unreadable_times",
];
const CAUSES: [&str; 9] = [
    // By more of the newest creations than alerts look at.
    "many_stale",
    "many_failed",
    "one_error_dominates",
    "archive_stuck",
    "sweep_failing",
    "no_worker_running",
    "worker_died",
    "one_kind_dominates",
    "tasks_redelivered",
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
    fn every_diagnosis_is_in_order_and_says_what_the_alerts_say_but_for_what_a_cause_explains(evidence in evidence(), thresholds in thresholds(), now in now()) {
        let alerts = alerts(&evidence, &thresholds, now);
        prop_assert!(in_order(&alerts, &ALERTS));
        let mut diagnosis = diagnose(&evidence, &thresholds, now);
        let explained = ["no_worker_running", "worker_died", "one_kind_dominates"].iter().any(|cause| has(&diagnosis, cause));
        let said = |alert: &Finding| diagnosis.contains(alert) != (explained && alert.code == "many_stale");
        prop_assert!(alerts.iter().all(said));
        // One worker that died is said once.
        prop_assert!(!(has(&diagnosis, "worker_died") && has(&diagnosis, "no_worker_running")));
        prop_assert!(!(has(&diagnosis, "one_error_dominates") && has(&diagnosis, "one_kind_dominates")));
        // A wrong schema may explain everything else.
        if let Some(at) = diagnosis.iter().position(|finding| finding.code == "schema_not_current") {
            prop_assert_eq!(at, 0);
        }
        diagnosis.retain(|finding| !alerts.contains(finding));
        prop_assert!(in_order(&diagnosis, &CAUSES));
    }

    #[test]
    fn what_a_suspension_explains_is_not_said_beside_it(evidence in evidence(), thresholds in thresholds(), now in now()) {
        let findings = diagnose(&evidence, &thresholds, now);
        let suspended = has(&findings, "circuit_breaker_open") || has(&findings, "sweeping_paused");
        prop_assert_eq!(suspended, evidence.suspended.is_some());
        let sweeping = ["cron_not_running", "sweep_failing", "creations_overdue"].map(|code| has(&findings, code));
        prop_assert!(!(suspended && sweeping.contains(&true)));
        prop_assert!(!(sweeping[0] && (sweeping[1] || sweeping[2])));
        prop_assert_eq!(has(&findings, "creations_rejected"), evidence.set_aside.is_some());
        prop_assert_eq!(has(&findings, "ledger_differs"), !evidence.differs.is_empty());
        prop_assert_eq!(has(&findings, "dead_letters"), evidence.dead_letters > 0);
    }

    #[test]
    fn what_is_wrong_does_not_heal_by_waiting(evidence in evidence(), thresholds in thresholds(), now in now(), later in passes()) {
        let found = diagnose(&evidence, &thresholds, now);
        // What is overdue is so for longer.
        let overdue = evidence.overdue.map(|(id, by)| (id, by.saturating_add(later)));
        let after = diagnose(&Evidence { overdue, ..evidence }, &thresholds, now.saturating_add(later));
        // A cause may take the place of what it leads to.
        let worst = |findings: &[Finding]| findings.iter().map(|finding| finding.severity).max();
        prop_assert!(worst(&found) <= worst(&after));
    }

    #[test]
    fn nothing_that_is_in_order_is_found(now in now(), alive in number(), finished in number()) {
        let evidence = Evidence { alive, finished, last_good_sweep: Some(now), last_run: Some(now), ..Evidence::default() };
        prop_assert_eq!(diagnose(&evidence, &Thresholds::default(), now), []);
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
    fn buckets_are_misplaced_exactly_where_a_record_differs(placed in vec(placed(), 1..4)) {
        let placed: Vec<_> = placed.into_iter().filter(|place| place.recorded.is_some()).collect();
        let differs = placed.iter().any(|place| place.recorded != Some(place.configured));
        let evidence = Evidence { placed, ..Evidence::default() };
        prop_assert_eq!(has(&alerts(&evidence, &Thresholds::default(), Timestamp::EPOCH), "buckets_misplaced"), differs);
    }

    #[test]
    fn no_first_record_has_what_is_on_record_or_moves_or_what_another_one_has(placed in vec(placed(), 0..4), moves in vec(open_move(), 0..2)) {
        let recorded = placed.iter().filter_map(|place| place.recorded.as_ref()).fold(BucketSet::default(), |all, one| all.and(one));
        // The configuration gives each bucket to one.
        let mut given = BucketSet::default();
        let mut own = Vec::new();
        for place in placed {
            let configured = place.configured.without(&given);
            given = given.and(&configured);
            own.push(Placed { shard: own.len().to_string(), configured, ..place });
        }
        let bucket = |number: u32| Bucket::new(u16::try_from(number).unwrap()).unwrap();
        let moving: BucketSet = moves.iter().map(|row| bucket(row.first_bucket)..=bucket(row.last_bucket)).collect();
        let recorded = recorded.and(&moving);
        let mut taken = recorded;
        for (shard, buckets) in first_records(&own, &moves) {
            prop_assert!(buckets.within(&taken).is_empty());
            taken = taken.and(&buckets);
            let place = own.iter().find(|place| place.shard == shard).unwrap();
            prop_assert!(place.recorded.is_none());
            // Nobody's users are written off: a record has all of them.
            prop_assert!(place.users.without(&buckets).is_empty());
            prop_assert!(place.users.without(&place.configured).is_empty() || buckets == BucketSet::ALL.without(&recorded));
        }
        // A database that is a side of a move and has nothing on record has lost it.
        let lost: Vec<_> = own.iter().filter(|place| place.recorded.is_none()).map(|place| OpenMove {
            id: String::from("m"), shard: place.shard.clone(), is_source: true, other: String::from("B"),
            first_bucket: 0, last_bucket: 0, state: String::from("moved"), stepped_at: Timestamp::EPOCH,
        }).collect();
        prop_assert!(lost.is_empty() || first_records(&own, &lost).is_empty());
    }

    #[test]
    fn a_set_of_buckets_is_what_its_ranges_say(one in buckets(), other in buckets(), bucket in bucket()) {
        prop_assert_eq!(one.ranges().into_iter().collect::<BucketSet>(), one);
        prop_assert_eq!(one.and(&other).has(bucket), one.has(bucket) || other.has(bucket));
        prop_assert_eq!(one.within(&other).has(bucket), one.has(bucket) && other.has(bucket));
        prop_assert_eq!(one.without(&other).has(bucket), one.has(bucket) && !other.has(bucket));
        let len: u32 = one.ranges().iter().map(|range| u32::from(range.end().number() - range.start().number()) + 1).sum();
        prop_assert_eq!((one.len(), one.is_empty()), (len, len == 0));
        let text = one.to_string();
        let number = |text: &str| Bucket::new(text.parse().unwrap()).unwrap();
        let ends = |text: &str| text.split_once('-').map(|(first, last)| number(first)..=number(last));
        let range = |text: &str| ends(text).unwrap_or_else(|| number(text)..=number(text));
        let read: BucketSet = text.split(',').filter(|text| !text.is_empty()).map(range).collect();
        prop_assert_eq!(read, one);
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
