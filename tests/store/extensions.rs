//! More time, for one creation and for a kind.

use serde_json::{Value, json};
use stale_drafts::rules::{CircuitBreaker, Policy, Refusal, Report, Timestamp};
use stale_drafts::service::creations::{self, ReportError};
use stale_drafts::service::extensions;
use stale_drafts::service::sweep::{Notify, Source, SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{self, Details, Extension, ExtensionRow, Filter, GivenRow, Window};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, add, at, database, now, policy};

fn extension(until: u64) -> Extension<'static> {
    Extension { until: at(until), actor: "ops", reason: "the provider is down", audit_id: "a1" }
}

fn until(database: &Sqlite, id: &str) -> Value {
    database.read(&format!("SELECT extended_until FROM stale_drafts_creations WHERE id = '{id}'"))[0][0]
        .clone()
}

fn stale(database: &Sqlite, now: Timestamp) -> Vec<String> {
    let window = Window { limit: 100, unreadable: 100 };
    let statement =
        store::stale(&Policy::default(), Filter::default(), now, window, CircuitBreaker::default());
    let rows = store::candidates(&database.one(statement), "candidates").unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

fn extend_kind(database: &Sqlite, kind: &str, until: u64) -> extensions::Reached {
    wait(extensions::extend_kind(database, kind, extension(until), now())).unwrap()
}

#[test]
fn one_creation_is_not_stale_before_its_end_and_is_after_it() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW - 2 * HOUR }));
    add(&database, "b", json!({ "created_at": NOW - 2 * HOUR }));
    let end = NOW + HOUR;
    let row = wait(extensions::extend(&database, "a", extension(end), now())).unwrap();
    assert_eq!(row.creation.extended_until.instant(), Some(at(end)));
    assert_eq!(stale(&database, now()), ["b"]);
    assert_eq!(stale(&database, at(end)), ["b"]);
    let mut both = stale(&database, at(end + 1));
    both.sort();
    assert_eq!(both, ["a", "b"]);
}

#[test]
fn a_later_end_stays_what_is_no_time_does_not_and_each_is_noted_once() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW }));
    let give = |until| wait(extensions::extend(&database, "a", extension(until), now())).unwrap();
    give(NOW + HOUR);
    give(NOW + HOUR);
    give(NOW + MINUTE);
    assert_eq!(until(&database, "a"), json!(NOW + HOUR));
    database.write("UPDATE stale_drafts_creations SET extended_until = 'later'");
    give(NOW + 2 * HOUR);
    assert_eq!(until(&database, "a"), json!(NOW + 2 * HOUR));
    let notes = database
        .read("SELECT scope, name, until, since, actor, reason FROM stale_drafts_extensions ORDER BY until");
    let note = |until: u64| json!(["creation", "a", until, NOW, "ops", "the provider is down"]);
    assert_eq!(notes, [note(NOW + HOUR), note(NOW + 2 * HOUR)]);
    let audit = database.read("SELECT at, actor, action, detail, subject FROM stale_drafts_audit");
    let detail = format!("until {}: the provider is down", NOW + HOUR);
    assert_eq!(audit, [json!([NOW, "ops", "extend", detail, "creation:a"])]);
}

#[test]
fn what_is_over_or_not_there_takes_no_more_time() {
    let database = database();
    add(&database, "done", json!({ "status": "draft" }));
    let give = |id| wait(extensions::extend(&database, id, extension(NOW + HOUR), now()));
    assert!(matches!(give("done"), Err(ReportError::Refused { refusal: Refusal::NotActive, .. })));
    assert!(matches!(give("nobody"), Err(ReportError::NotFound)));
    assert_eq!(until(&database, "done"), Value::Null);
    assert_eq!(database.read("SELECT * FROM stale_drafts_extensions"), [] as [Value; 0]);
    assert_eq!(database.read("SELECT * FROM stale_drafts_audit"), [] as [Value; 0]);
}

#[test]
fn a_kind_reaches_what_is_active_and_what_is_made_before_its_end() {
    let database = database();
    for (id, columns) in [
        ("pending", json!({})),
        ("working", json!({ "status": "processing", "started_at": NOW })),
        ("beating", json!({ "status": "processing", "started_at": NOW, "heartbeat_at": NOW })),
        ("longer", json!({ "extended_until": NOW + 9 * HOUR })),
        ("over", json!({ "status": "draft" })),
        ("other", json!({ "kind": "video" })),
    ] {
        add(&database, id, columns);
    }
    let end = NOW + HOUR;
    let reached = extend_kind(&database, "image", end);
    assert_eq!((reached.done.creations, reached.more), (3, false));
    // Repeating it changes nothing, and is no second row of the audit.
    assert_eq!(extend_kind(&database, "image", end).done.creations, 0);
    assert_eq!(database.read("SELECT action, detail FROM stale_drafts_audit").len(), 1);
    add(&database, "new", json!({}));
    add(&database, "new other", json!({ "kind": "video" }));
    add(&database, "made after", json!({ "created_at": end }));
    add(&database, "came over", json!({ "status": "failed" }));
    let ends = [
        "pending",
        "working",
        "beating",
        "longer",
        "over",
        "other",
        "new",
        "new other",
        "made after",
        "came over",
    ]
    .map(|id| until(&database, id));
    let (given, none) = (json!(end), Value::Null);
    let expected =
        [&given, &given, &given, &json!(NOW + 9 * HOUR), &none, &none, &given, &none, &none, &none]
            .map(Clone::clone);
    assert_eq!(ends, expected);
}

#[test]
fn a_kind_that_has_a_later_end_keeps_it_and_one_that_was_ended_is_not_begun_again() {
    let database = database();
    add(&database, "a", json!({}));
    extend_kind(&database, "image", NOW + 2 * HOUR);
    let earlier = extend_kind(&database, "image", NOW + HOUR);
    assert_eq!((earlier.done.creations, earlier.more), (0, false));
    assert_eq!(earlier.done.extension.unwrap().until, (NOW + 2 * HOUR) as i64);
    // A later one takes its place.
    assert_eq!(extend_kind(&database, "image", NOW + 3 * HOUR).done.creations, 1);
    assert_eq!(until(&database, "a"), json!(NOW + 3 * HOUR));
    wait(extensions::end_extension(&database, "image", "ops", "a2", now())).unwrap();
    let again = extend_kind(&database, "image", NOW + 3 * HOUR);
    assert_eq!(again.done.creations, 0);
    assert_eq!(again.done.extension.unwrap().ended_at, Some(NOW as i64));
}

#[test]
fn one_that_a_later_one_has_taken_the_place_of_does_not_go_on() {
    let database = database();
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT 'c' || n, 'anna', 'image', '', 'pending', 0, {NOW} FROM n"
    ));
    assert!(extend_kind(&database, "image", NOW + HOUR).more);
    assert!(extend_kind(&database, "image", NOW + 2 * HOUR).more);
    // There are as many left as one call reaches, and they are the later one's.
    let earlier = extend_kind(&database, "image", NOW + HOUR);
    assert_eq!((earlier.done.creations, earlier.more), (4_000, false));
    assert!(extend_kind(&database, "image", NOW + 2 * HOUR).more);
}

#[test]
fn its_end_takes_back_what_it_gave_and_nothing_else() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW - 2 * HOUR }));
    add(&database, "own", json!({ "created_at": NOW - 2 * HOUR }));
    add(&database, "other", json!({ "kind": "video", "created_at": NOW - 2 * HOUR }));
    extend_kind(&database, "image", NOW + HOUR);
    extend_kind(&database, "video", NOW + HOUR);
    wait(extensions::extend(&database, "own", extension(NOW + 2 * HOUR), now())).unwrap();
    let later = at(NOW + MINUTE);
    let ended = wait(extensions::end_extension(&database, "image", "ada", "a2", later)).unwrap();
    assert_eq!((ended.done.creations, ended.more), (1, false));
    let ends = ["a", "own", "other"].map(|id| until(&database, id));
    assert_eq!(ends, [json!(NOW + MINUTE), json!(NOW + 2 * HOUR), json!(NOW + HOUR)]);
    assert_eq!(stale(&database, at(NOW + MINUTE + 1)), ["a"]);
    add(&database, "new", json!({}));
    assert_eq!(until(&database, "new"), Value::Null);
    let again = wait(extensions::end_extension(&database, "image", "bo", "a3", later)).unwrap();
    assert_eq!(again.done.creations, 0);
    let rows = store::extensions_of(database.one(store::extensions())).unwrap();
    let row = |kind: &str, ended: Option<&str>| ExtensionRow {
        kind: kind.to_owned(),
        until: (NOW + HOUR) as i64,
        since: NOW as i64,
        actor: String::from("ops"),
        reason: String::from("the provider is down"),
        ended_at: ended.map(|_| (NOW + MINUTE) as i64),
        ended_by: ended.map(str::to_owned),
    };
    assert_eq!(rows, [row("image", Some("ada")), row("video", None)]);
    assert_eq!(rows.iter().map(|row| row.runs(later)).collect::<Vec<_>>(), [false, true]);
    // One that runs takes the place of those of its kind with an earlier end, and of no others.
    let row = |kind: &str, until: u64, ended_at: Option<i64>| ExtensionRow {
        kind: kind.to_owned(),
        until: i64::try_from(until).unwrap(),
        ended_at,
        ..rows[1].clone()
    };
    let given = [
        row("video", NOW + 3, Some(1)),
        row("video", NOW + 2, None),
        row("image", NOW + 1, None),
        row("video", NOW + 1, None),
        row("video", NOW - 1, None),
    ];
    let holds = |(place, row): (usize, &ExtensionRow)| row.holds(given[..place].iter(), now());
    assert_eq!(given.iter().enumerate().map(holds).collect::<Vec<_>>(), [false, true, true, false, false]);
    assert!(rows[1].runs(at(NOW + HOUR)) && !rows[1].runs(at(NOW + HOUR + 1)));
}

#[test]
fn a_kind_of_many_is_reached_in_parts() {
    let database = database();
    database.write(&format!(
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT 'c' || value, 'anna', 'image', '', 'pending', 0, {NOW} FROM generate_series(1, 4500)"
    ).replace("generate_series(1, 4500)", "(WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 4500) SELECT value FROM n)"));
    let reached = extend_kind(&database, "image", NOW + HOUR);
    assert_eq!((reached.done.creations, reached.more), (4_000, true));
    let rest = extend_kind(&database, "image", NOW + HOUR);
    assert_eq!((rest.done.creations, rest.more), (500, false));
}

#[test]
fn another_attempt_begins_without() {
    let database = database();
    add(&database, "a", json!({ "extended_until": NOW + HOUR }));
    let next = "UPDATE stale_drafts_creations SET status = 'pending', attempt = 2";
    assert!(!database.takes(next), "nobody carries it on");
    assert!(database.takes(&format!("{next}, extended_until = NULL")));
}

/// One of each sort of another attempt: by hand, and by a sweep. Each had more time by itself.
fn retried(database: &Sqlite) -> [Value; 2] {
    add(database, "hand", json!({ "kind": "video", "extended_until": NOW + MINUTE }));
    add(database, "sweep", json!({ "kind": "video", "created_at": NOW - 2 * HOUR }));
    database.write(
        "UPDATE stale_drafts_creations SET status = 'failed', error = 'it broke', error_code = 'broken' WHERE id = 'hand';
         UPDATE stale_drafts_creations SET status = 'processing', started_at = created_at, extended_until = created_at + 60000 WHERE id = 'sweep'",
    );
    let retry = Report::Retry { attempt: 1 };
    wait(creations::report(database, "hand", retry, Details::default(), at(NOW + 1))).unwrap();
    let policy = policy(&[(&["kinds", "video", "attempts"], 2.0)]);
    let request = SweepRequest {
        sweep_id: "01890a5d-ac96-774b-bcce-b302099a8057",
        source: Source::Cron,
        actor: None,
        user_id: None,
        filter: Filter::default(),
        planned: None,
        plan_id: None,
        now: at(NOW + 1),
        policy: &policy,
        dry_run: false,
        notify: Notify::default(),
        breaker: None,
        limit: 100,
        max_queries: 1_000,
    };
    let swept = wait(mark_stale_creations_as_failed(database, request)).unwrap();
    assert_eq!(swept.retried.len(), 1);
    assert_eq!(
        database.read("SELECT status, attempt FROM stale_drafts_creations"),
        [json!(["pending", 2]), json!(["pending", 2])]
    );
    ["hand", "sweep"].map(|id| until(database, id))
}

#[test]
fn another_attempt_has_what_its_kind_has_then_and_nothing_of_the_attempt_before() {
    assert_eq!(retried(&database()), [Value::Null, Value::Null]);
    // What a kind has is given to attempts as to what is made, also where its creations were not reached.
    let given = |sql: &str| {
        let database = database();
        database.write(&format!("INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason, ended_at, ended_by) VALUES {sql}"));
        database.write(
            "CREATE TEMP TRIGGER unreached AFTER INSERT ON stale_drafts_creations BEGIN
          UPDATE stale_drafts_creations SET extended_until = NULL WHERE id = NEW.id AND id = 'sweep'; END",
        );
        retried(&database)
    };
    let end = NOW + HOUR;
    let runs = format!("('kind', 'video', {end}, 1, 'ops', 'x', NULL, NULL)");
    assert_eq!(given(&runs), [json!(end), json!(end)]);
    for none in [
        format!("('kind', 'image', {end}, 1, 'ops', 'x', NULL, NULL)"),
        format!("('kind', 'video', {end}, 1, 'ops', 'x', {NOW}, 'ops')"),
        format!("('kind', 'video', {}, 1, 'ops', 'x', NULL, NULL)", NOW + 1),
        format!("('creation', 'hand', {end}, 1, 'ops', 'x', NULL, NULL)"),
    ] {
        assert_eq!(given(&none), [Value::Null, Value::Null], "{none}");
    }
}

#[test]
fn a_retry_by_hand_begins_without() {
    let database = database();
    add(&database, "a", json!({}));
    wait(extensions::extend(&database, "a", extension(NOW + HOUR), now())).unwrap();
    database.write("UPDATE stale_drafts_creations SET status = 'failed'");
    let report = |what| wait(creations::report(&database, "a", what, Details::default(), now()));
    let row = report(Report::Retry { attempt: 1 }).unwrap();
    assert_eq!((row.creation.status.as_str(), row.creation.attempt), ("pending", 2));
    assert_eq!(until(&database, "a"), Value::Null);
}

#[test]
fn a_creation_says_who_gave_it_time() {
    let database = database();
    add(&database, "a", json!({}));
    wait(extensions::extend(&database, "a", extension(NOW + MINUTE), now())).unwrap();
    extend_kind(&database, "image", NOW + HOUR);
    let explained = database.all(&store::explain("a"));
    let given: Vec<GivenRow> = store::typed_rows(explained[6].clone()).unwrap();
    let mut given: Vec<_> =
        given.iter().map(|row| (row.scope.as_str(), row.name.as_str(), row.until)).collect();
    given.sort_unstable();
    assert_eq!(given, [("creation", "a", (NOW + MINUTE) as i64), ("kind", "image", (NOW + HOUR) as i64)]);
}

#[test]
fn who_is_on_the_way_to_another_shard_is_left_alone() {
    let database = database();
    add(&database, "a", json!({}));
    add(&database, "b", json!({ "user_id": "ben" }));
    database.write(
        "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
           VALUES ('m', 'source', 0, 4095, 'DB_2', 'paused', 1, 1, 1);
         INSERT INTO stale_drafts_moving_users VALUES ('anna', 'm')",
    );
    assert_eq!(extend_kind(&database, "image", NOW + HOUR).done.creations, 1);
    assert_eq!([until(&database, "a"), until(&database, "b")], [Value::Null, json!(NOW + HOUR)]);
}

#[test]
fn of_two_who_give_two_attempts_the_same_end_the_last_is_shown_and_the_audit_has_both() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW }));
    let give = |actor: &'static str, reason: &'static str, audit_id: &'static str, when| {
        let given = Extension { until: at(NOW + HOUR), actor, reason, audit_id };
        database.all(&store::extend("a", given, at(when)));
    };
    give("anna", "the farm is slow", "1", NOW);
    database.write(
        "UPDATE stale_drafts_creations SET status = 'failed', finished_at = 5, error = 'e', error_code = 'broken';
         UPDATE stale_drafts_creations SET status = 'pending', attempt = 2, charge = 2, extended_until = NULL, fence = NULL, finished_at = NULL, error = NULL, error_code = NULL",
    );
    give("ben", "it is slow again", "2", NOW + MINUTE);
    assert_eq!(until(&database, "a"), json!(NOW + HOUR));
    let notes = database.read("SELECT until, since, actor, reason FROM stale_drafts_extensions");
    assert_eq!(notes, [json!([NOW + HOUR, NOW + MINUTE, "ben", "it is slow again"])]);
    let audit = database.read("SELECT actor, detail FROM stale_drafts_audit ORDER BY id");
    let detail = |reason: &str| format!("until {}: {reason}", NOW + HOUR);
    assert_eq!(
        audit,
        [json!(["anna", detail("the farm is slow")]), json!(["ben", detail("it is slow again")])]
    );
    // Nothing is changed by the same once more.
    give("carl", "me too", "3", NOW + 2 * MINUTE);
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_audit"), [json!([2])]);
}
