//! What several databases say together. Which findings follow from it is in diagnosis.rs.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use stale_drafts::rules::{Ended, Evidence, OpenMove, SetAside, Suspension, Timestamp};

fn at(millis: i64) -> Option<Timestamp> {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// What is most frequent, and how often that is.
fn top(what: &str, count: u64) -> Option<(String, u64)> {
    Some((what.to_owned(), count))
}

/// The same of a kind, and how many of it ended.
fn kind(kind: &str, failed: u64, ended: u64) -> Option<(String, u64, u64)> {
    Some((kind.to_owned(), failed, ended))
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

fn of_move(shard: &str) -> OpenMove {
    OpenMove {
        id: String::from("m"),
        shard: shard.to_owned(),
        is_source: true,
        other: String::from("DB_9"),
        first_bucket: 0,
        last_bucket: 1,
        state: String::from("paused"),
        stepped_at: at(0).unwrap(),
    }
}

/// What comes of two in this order, and in the other one.
fn both<T>(one: &Evidence, other: &Evidence, of: impl Fn(Evidence) -> T) -> [T; 2] {
    [of(one.clone().and(other.clone())), of(other.clone().and(one.clone()))]
}

#[test]
fn what_each_has_is_added_up_or_listed_and_of_times_the_worse_one_counts() {
    let one = Evidence {
        last_good_sweep: at(1),
        last_run: at(2),
        max_ms_since_sweep: 9,
        behind: text("DB"),
        unreachable: vec![pair("DB_3", "gone")],
        newest_sweep: at(3),
        newest_sweep_error: text("lost"),
        overdue: top("c1", 5),
        finished: 10,
        failed: 20,
        timed_out: 30,
        differs: vec![String::from("anna")],
        events_failing_since: at(4),
        dead_letters: 40,
        databases: vec![pair("DB", "a")],
        moves: vec![of_move("DB")],
        waiting: 50,
        waiting_since: at(5),
        last_start: at(6),
        busy: 60,
        alive: 70,
        silent: 80,
        silent_between: Some((at(7).unwrap(), at(8).unwrap())),
        stale: Some(90),
        unreadable: 100,
        started_again: vec![(String::from("c1"), 1)],
        archives: true,
        archive_ended_at: at(9),
        other_schemas: vec![(String::from("DB"), Some(3))],
        schema_version: 3,
        expected_schema_version: 4,
        ..Evidence::default()
    };
    let other = Evidence {
        last_good_sweep: at(11),
        last_run: at(12),
        max_ms_since_sweep: 9,
        behind: text("DB_2"),
        unreachable: vec![pair("DB_4", "slow")],
        newest_sweep: at(13),
        newest_sweep_error: None,
        overdue: top("c2", 6),
        finished: 1,
        failed: 2,
        timed_out: 3,
        differs: vec![String::from("ben")],
        events_failing_since: at(14),
        dead_letters: 4,
        databases: vec![pair("DB_2", "b")],
        moves: vec![of_move("DB_2")],
        waiting: 5,
        waiting_since: at(15),
        last_start: at(16),
        busy: 6,
        alive: 7,
        silent: 8,
        silent_between: Some((at(6).unwrap(), at(17).unwrap())),
        stale: Some(9),
        unreadable: 1,
        started_again: vec![(String::from("c2"), 2)],
        archives: false,
        archive_ended_at: at(19),
        other_schemas: vec![(String::from("DB_2"), None)],
        schema_version: 4,
        expected_schema_version: 4,
        ..Evidence::default()
    };
    let together = Evidence {
        last_good_sweep: at(1),
        last_run: at(2),
        max_ms_since_sweep: 9,
        behind: text("DB"),
        unreachable: vec![pair("DB_3", "gone"), pair("DB_4", "slow")],
        newest_sweep: at(3),
        newest_sweep_error: text("lost"),
        overdue: top("c2", 6),
        finished: 11,
        failed: 22,
        timed_out: 33,
        differs: vec![String::from("anna"), String::from("ben")],
        events_failing_since: at(4),
        dead_letters: 44,
        databases: vec![pair("DB", "a"), pair("DB_2", "b")],
        moves: vec![of_move("DB"), of_move("DB_2")],
        waiting: 55,
        waiting_since: at(5),
        last_start: at(16),
        busy: 66,
        alive: 77,
        silent: 88,
        silent_between: Some((at(6).unwrap(), at(17).unwrap())),
        stale: Some(99),
        unreadable: 101,
        started_again: vec![(String::from("c1"), 1), (String::from("c2"), 2)],
        archives: true,
        archive_ended_at: at(9),
        other_schemas: vec![(String::from("DB"), Some(3)), (String::from("DB_2"), None)],
        schema_version: 3,
        expected_schema_version: 4,
        ..Evidence::default()
    };
    assert_eq!(one.and(other), together);
}

#[test]
fn the_database_that_cron_has_not_run_in_for_longest_is_named() {
    let of = |last_run, last_good_sweep, behind: &str| Evidence {
        last_run,
        last_good_sweep,
        behind: text(behind),
        ..Evidence::default()
    };
    let named = |late: &Evidence, early: &Evidence| both(late, early, |together| together.behind.unwrap());
    let (late, early) = (of(at(1), at(1), "late"), of(at(2), at(2), "early"));
    assert_eq!(named(&late, &early), ["late", "late"]);
    assert_eq!(named(&of(None, None, "never"), &late), ["never", "never"]);
    // Of two that are equally late, the first.
    assert_eq!(named(&of(at(1), at(1), "first"), &of(at(1), at(1), "second")), ["first", "second"]);
    // Sweeps of the other one have been held for longer.
    let held = of(at(2), at(0), "held");
    let times = |together: Evidence| (together.last_run, together.last_good_sweep);
    assert_eq!(both(&late, &held, times), [(at(1), at(0)); 2]);
}

#[test]
fn a_newest_sweep_that_failed_comes_before_one_that_did_not() {
    let of = |newest_sweep, error: Option<&str>| Evidence {
        newest_sweep,
        newest_sweep_error: error.map(str::to_owned),
        ..Evidence::default()
    };
    let newest =
        |one, other| both(&one, &other, |together| (together.newest_sweep, together.newest_sweep_error));
    let failed = (at(1), text("lost"));
    assert_eq!(newest(of(at(1), Some("lost")), of(at(2), None)), [failed.clone(), failed.clone()]);
    // Else the first one's.
    assert_eq!(newest(of(at(1), None), of(at(2), None)), [(at(1), None), (at(2), None)]);
    let later = (at(2), text("full"));
    assert_eq!(newest(of(at(1), Some("lost")), of(at(2), Some("full"))), [failed, later]);
}

#[test]
fn a_pause_comes_before_an_open_circuit_breaker() {
    let paused = Suspension::Paused { actor: String::from("anna"), since: at(0).unwrap() };
    let open = Suspension::BreakerOpen { detail: String::from("many") };
    let suspended = |one: Option<&Suspension>, other: Option<&Suspension>| {
        let of = |suspended: Option<&Suspension>| Evidence {
            suspended: suspended.cloned(),
            ..Evidence::default()
        };
        both(&of(one), &of(other), |together| together.suspended)
    };
    assert_eq!(suspended(Some(&paused), Some(&open)), [Some(paused.clone()), Some(paused.clone())]);
    assert_eq!(suspended(Some(&paused), None), [Some(paused.clone()), Some(paused.clone())]);
    assert_eq!(suspended(Some(&open), None), [Some(open.clone()), Some(open)]);
    assert_eq!(suspended(None, None), [None, None]);
    let later = Suspension::Paused { actor: String::from("ben"), since: at(1).unwrap() };
    assert_eq!(suspended(Some(&paused), Some(&later)), [Some(paused), Some(later)]);
}

#[test]
fn of_what_is_set_aside_the_number_is_of_both_and_the_example_is_tried_again_first() {
    let of = |id: &str, count, until| SetAside {
        count,
        id: id.to_owned(),
        reason: format!("no {id}"),
        until: at(until).unwrap(),
    };
    let set_aside = |one: Option<SetAside>, other: Option<SetAside>| {
        let of = |set_aside| Evidence { set_aside, ..Evidence::default() };
        both(&of(one), &of(other), |together| together.set_aside)
    };
    let (soon, late) = (of("c1", 2, 1), of("c2", 3, 2));
    let both = Some(of("c1", 5, 1));
    assert_eq!(set_aside(Some(soon.clone()), Some(late)), [both.clone(), both]);
    // At the same time, the first.
    let same = of("c3", 3, 1);
    assert_eq!(set_aside(Some(soon.clone()), Some(same)), [Some(of("c1", 5, 1)), Some(of("c3", 5, 1))]);
    assert_eq!(set_aside(Some(soon.clone()), None), [Some(soon.clone()), Some(soon)]);
    assert_eq!(set_aside(None, None), [None, None]);
}

#[test]
fn what_is_most_frequent_in_both_is_added_up_and_otherwise_the_more_frequent_one_counts() {
    let errors = |one, other| {
        let of = |top_error: &Option<(String, u64)>| Evidence {
            top_error: top_error.clone(),
            more: Ended { top_error: top_error.clone(), ..Ended::default() },
            ..Evidence::default()
        };
        let together = both(&of(&one), &of(&other), |together| {
            assert_eq!(together.more.top_error, together.top_error);
            together.top_error
        });
        assert_eq!(together[0], together[1]);
        together[0].clone()
    };
    assert_eq!(errors(top("quota", 5), top("quota", 6)), top("quota", 11));
    assert_eq!(errors(top("quota", 5), top("down", 6)), top("down", 6));
    assert_eq!(errors(top("quota", 5), None), top("quota", 5));
    assert_eq!(errors(None, None), None);
    let kinds = |one, other| {
        let of = |top_kind| Evidence { top_kind, ..Evidence::default() };
        let together = both(&of(one), &of(other), |together| together.top_kind);
        assert_eq!(together[0], together[1]);
        together[0].clone()
    };
    assert_eq!(kinds(kind("video", 5, 7), kind("video", 6, 9)), kind("video", 11, 16));
    assert_eq!(kinds(kind("video", 5, 70), kind("image", 6, 9)), kind("image", 6, 9));
    assert_eq!(kinds(kind("video", 5, 7), None), kind("video", 5, 7));
    assert_eq!(kinds(None, None), None);
}

#[test]
fn what_more_of_the_newest_say_is_added_up_too() {
    let of = |finished, failed, timed_out| Evidence {
        more: Ended { finished, failed, timed_out, top_error: None },
        ..Evidence::default()
    };
    let together = Ended { finished: 11, failed: 22, timed_out: 33, top_error: None };
    assert_eq!(of(10, 20, 30).and(of(1, 2, 3)).more, together);
}

#[test]
fn what_only_one_says_is_what_both_say() {
    let said = Evidence {
        overdue: top("c1", 5),
        events_failing_since: at(1),
        waiting_since: at(2),
        last_start: at(3),
        silent_between: Some((at(4).unwrap(), at(5).unwrap())),
        stale: Some(0),
        archives: true,
        ..Evidence::default()
    };
    assert_eq!(both(&said, &Evidence::default(), |together| together), [said.clone(), said]);
    // Where a run of the archive has not ended for longest since it is switched on, that is what both say; who was never asked says nothing.
    let times = |together: Evidence| (together.archive_since, together.archive_ended_at);
    let on = Evidence { archive_since: at(1), ..Evidence::default() };
    let ended = Evidence { archive_since: at(0), archive_ended_at: at(2), ..Evidence::default() };
    assert_eq!(both(&ended, &on, times), [(at(1), None); 2]);
    assert_eq!(both(&ended, &Evidence::default(), times), [(at(0), at(2)); 2]);
    // Of two that wait as long, the first.
    let of = |shard: &str| Evidence { archive_of: Some(String::from(shard)), ..ended.clone() };
    assert_eq!(of("A").and(of("B")).archive_of.as_deref(), Some("A"));
    assert!(!Evidence::default().and(Evidence::default()).archives);
    // Nobody has counted in either.
    assert_eq!(Evidence::default().and(Evidence::default()).stale, None);
}
