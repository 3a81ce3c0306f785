//! The monitor: what it observes, its alerts, and its runs.

use serde_json::{Value, json};
use stale_drafts::rules::{Finding, Policy, SetAside, Severity, Suspension, Thresholds};
use stale_drafts::service::monitor::{self, Occasion, Settings};
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{self, Alert, Observed, Row};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, LONG_AGO, MINUTE, NOW, ONE_DATABASE, add, at, database, now};

fn seen(database: &Sqlite) -> Observed {
    store::observed(database.all(&store::observe(now()))).unwrap()
}

#[test]
fn what_is_observed() {
    let database = database();
    let ended = |code: Option<&str>, ago: u64| {
        let status = if code.is_some() { "failed" } else { "draft" };
        json!({ "status": status, "error_code": code, "finished_at": NOW - ago, "created_at": LONG_AGO })
    };
    add(&database, "done", ended(None, HOUR));
    add(&database, "long ago", ended(Some("broken"), HOUR + 1));
    for id in ["a", "b", "c"] {
        add(&database, id, ended(Some("broken"), 0));
    }
    let mut timed_out = ended(Some("generation_timeout"), 0);
    timed_out.as_object_mut().unwrap().extend(crate::row(json!({
        "error": "it was stuck", "stuck_status": "pending", "age_ms": 2, "max_age_ms": 1, "rule": "pending", "sweep_id": "1",
    })));
    add(&database, "timed out", timed_out);
    // What another system has timed out says nothing of these workers.
    let mut imported = ended(Some("generation_timeout"), 0);
    imported.as_object_mut().unwrap().extend(crate::row(json!({ "settled_elsewhere": 1 })));
    add(&database, "imported", imported);
    database.write(&format!(
        "INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at, error, unreadable)
         VALUES ('1', 'cron', {}, 1, NULL, 7), ('2', 'cron', {NOW}, 1, 'lost', 6), ('3', 'tool', {NOW}, 1, NULL, 5), ('4', 'cron', {NOW}, NULL, NULL, 4);
         INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, body, failing_since)
         VALUES ('e1', 'due', {}, 1, 1, '{{}}', NULL), ('e2', 'due', {NOW}, 1, 1, '{{}}', 5), ('e3', 'due', {NOW}, 1, 1, '{{}}', 4),
           ('e4', 'dead', 1, 1, 1, '{{}}', 1)",
        NOW - 9,
        NOW - 7
    ));
    database.one(store::hold("paused", Some("ops"), "", at(NOW - 5)));
    let Observed { evidence, checked, firing, next_event_at, settles, recorded } = seen(&database);
    assert!(!settles && recorded.is_none());
    assert_eq!((evidence.finished, evidence.failed, evidence.timed_out), (6, 5, 1));
    assert_eq!(evidence.top_error, Some((String::from("broken"), 3)));
    assert_eq!((evidence.last_good_sweep, evidence.last_run), (Some(at(NOW - 9)), Some(at(NOW - 9))));
    assert_eq!((evidence.newest_sweep, evidence.newest_sweep_error), (Some(now()), None));
    assert_eq!(evidence.unreadable, 7, "by the newest sweep of cron that went well");
    assert_eq!(next_event_at, Some(at(NOW - 7)));
    assert_eq!((evidence.events_failing_since, evidence.dead_letters), (Some(at(4)), 1));
    assert_eq!(
        evidence.suspended,
        Some(Suspension::Paused { actor: String::from("ops"), since: at(NOW - 5) })
    );
    assert_eq!((checked.as_str(), firing.len(), evidence.overdue), ("anna", 0, None));
    // The schema is what a statement finds that asks for it: nothing is said of it before.
    assert_eq!(evidence.schema_version, evidence.expected_schema_version);
}

#[test]
fn the_check_of_the_ledger_goes_from_user_to_user() {
    let database = database();
    let check = || {
        let Observed { evidence, checked, .. } = seen(&database);
        database.one(store::checked(&checked, &evidence.differs));
        (checked, evidence.differs)
    };
    let is = |user: &str, differs: &[&str]| {
        (user.to_owned(), differs.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    add(&database, "c", json!({}));
    database.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'anna'");
    assert_eq!(check(), is("anna", &["anna"]));
    // What was found of others stays until their turn.
    assert_eq!(check(), is("ben", &["anna"]));
    assert_eq!(check(), is("", &["anna"]));
    assert_eq!(check(), is("anna", &["anna"]));
    database.write(
        "UPDATE stale_drafts_balances SET tokens = tokens - 1 WHERE user_id = 'anna'; UPDATE stale_drafts_ledger_check SET user_id = ''",
    );
    assert_eq!(check(), is("anna", &[]));
    database.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'ben'");
    assert_eq!(check(), is("ben", &["ben"]));
}

#[test]
fn a_user_with_more_than_500_creations_is_left_out_of_the_check() {
    let database = database();
    let some = |from, to| {
        database.write(&format!(
            "WITH RECURSIVE n (n) AS (VALUES ({from}) UNION ALL SELECT n + 1 FROM n WHERE n < {to})
             INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
             SELECT 'c' || n, 'anna', 'image', '', 'draft', 1, 1 FROM n"
        ));
    };
    some(1, 500);
    assert_eq!(seen(&database).evidence.differs, [""; 0]);
    database.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'anna'");
    assert_eq!(seen(&database).evidence.differs, ["anna"]);
    some(501, 501);
    assert_eq!(seen(&database).evidence.differs, [""; 0]);
}

#[test]
fn a_balance_that_differed_does_so_until_it_is_right_again() {
    let database = database();
    let check = || {
        let Observed { evidence, checked, .. } = seen(&database);
        database.one(store::checked(&checked, &evidence.differs));
        database.write("UPDATE stale_drafts_ledger_check SET user_id = ''");
        evidence.differs
    };
    database.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'anna'");
    assert_eq!(check(), ["anna"]);
    // More creations than are looked at of others.
    database.write(
        "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 501)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT 'c' || n, 'anna', 'image', '', 'draft', 1, 1 FROM n",
    );
    assert_eq!(check(), ["anna"]);
    // On the way to another database, not all of it may be here.
    database.write(
        "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
         VALUES ('m', 'target', 0, 4095, 'DB_2', 'open', 1, 1, 1);
         INSERT INTO stale_drafts_moving_users (user_id, move_id) VALUES ('anna', 'm')",
    );
    assert_eq!(check(), ["anna"]);
    database.write("DELETE FROM stale_drafts_moving_users");
    database.write("UPDATE stale_drafts_balances SET tokens = tokens - 1 WHERE user_id = 'anna'");
    assert_eq!(check(), [""; 0]);
    // Whoever has no balance here any more has moved.
    database
        .write("UPDATE stale_drafts_ledger_check SET user_id = 'zoe', differs = json_array('anna', 'gone')");
    assert_eq!(seen(&database).evidence.differs, ["anna"]);
}

#[test]
fn what_is_observed_is_all_of_its_results_or_an_error() {
    let error = |results: Vec<Vec<Row>>| store::observed(results).unwrap_err().to_string();
    assert_eq!(error(vec![]), "expected three results");
    assert_eq!(error(vec![vec![], vec![], vec![]]), "a result has no row");
    // A column that has another name or type is named.
    let mut results = database().all(&store::observe(now()));
    results[0][0].insert(String::from("finished"), "many".into());
    let wrong = error(results.clone());
    assert_eq!(wrong, "a result of the database: `finished` is `\"many\"`: expected u64");
    results[0][0].remove("finished");
    assert_eq!(error(results), "a result of the database: `finished` is missing: expected u64");
}

fn finding(code: &'static str) -> Finding {
    Finding {
        code,
        severity: Severity::Critical,
        error_code: None,
        cause: String::from("a cause"),
        evidence: String::from("it shows"),
        remedy: "do this".into(),
    }
}

#[test]
fn an_alert_fires_once_and_is_resolved_once() {
    let database = database();
    let (a, b) = (finding("a"), finding("b"));
    let firing = || {
        let of = |alert: Alert| {
            [alert.code, alert.since.to_string(), alert.severity, alert.cause, alert.evidence, alert.remedy]
                .join(", ")
        };
        seen(&database).firing.into_iter().map(of).collect::<Vec<_>>()
    };
    database.all(&store::record_alerts(&[&a, &b], &[], at(1), 3));
    database.all(&store::record_alerts(&[&a], &[], at(2), 3));
    let text = |code| format!("{code}, 1, critical, a cause, it shows, do this");
    assert_eq!(firing(), [text("a"), text("b")]);
    database.all(&store::record_alerts(&[], &["a", "other"], at(5), 2));
    assert_eq!(firing(), [text("b")]);
    assert_eq!(
        database.read("SELECT code, resolved_at FROM stale_drafts_alerts"),
        [json!(["a", 5]), json!(["b", null])]
    );
    let told = database.read(
        "SELECT id, due_at, destinations, created_at, body ->> '$.data.code', body ->> '$.type' FROM stale_drafts_events",
    );
    let fired = |code| json!([format!("alert.fired:{code}:1"), 1, 3, 1, code, "alert.fired"]);
    assert_eq!(told, [fired("a"), fired("b"), json!(["alert.resolved:a:1", 5, 2, 5, "a", "alert.resolved"])]);
    // It may fire again, and nobody need be told.
    database.all(&store::record_alerts(&[&a], &["b"], at(6), 0));
    assert_eq!(firing(), ["a, 6, critical, a cause, it shows, do this"]);
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_events"), [json!([3])]);
}

#[test]
fn nothing_is_written_where_no_alert_has_changed() {
    let a = finding("a");
    let count = |fired: &[&Finding], resolved: &[&str]| store::record_alerts(fired, resolved, now(), 1).len();
    assert_eq!([count(&[], &[]), count(&[&a], &[]), count(&[], &["a"]), count(&[&a], &["b"])], [0, 2, 2, 4]);
}

#[test]
fn a_row_of_the_audit() {
    let database = database();
    database.one(store::audit("1", "ops", "pause", "for the migration", now()));
    assert_eq!(
        database.read("SELECT * FROM stale_drafts_audit"),
        [json!(["1", NOW, "ops", "pause", "for the migration", null])]
    );
}

#[test]
fn what_is_older_than_its_instant_is_trimmed() {
    let database = database();
    // 0x018bcfe56800 is NOW: a UUIDv7 begins with its time.
    assert_eq!(NOW, 0x018b_cfe5_6800);
    database.write(&format!(
        "INSERT INTO stale_drafts_sweeps (id, source, started_at) VALUES ('018bcfe5-67ff-7fff', 'cron', 1), ('018bcfe5-6800-7000', 'cron', 1);
         INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, body)
         VALUES ('old', 'dead', 1, 1, 1, ''), ('new', 'dead', 2, 1, 1, ''), ('due', 'due', 1, 1, 1, '');
         INSERT INTO stale_drafts_rollups SELECT column1, 'failed', 'image', 'pending', 'x', 1, 1, 0, 0, 0, 0, 0, 0, 0
         FROM (VALUES (0), ({HOUR}), (2 * {HOUR}));
         INSERT INTO stale_drafts_alerts VALUES ('a', 1, 2 * {HOUR} - 1, '', '', '', ''), ('b', 1, 2 * {HOUR}, '', '', '', ''), ('c', 1, NULL, '', '', '', '')"
    ));
    database.all(&store::trim(now(), at(2), at(2 * HOUR)));
    assert_eq!(database.read("SELECT id FROM stale_drafts_sweeps"), [json!(["018bcfe5-6800-7000"])]);
    assert_eq!(
        database.read("SELECT id FROM stale_drafts_events ORDER BY id"),
        [json!(["due"]), json!(["new"])]
    );
    assert_eq!(database.read("SELECT hour FROM stale_drafts_rollups"), [json!([0]), json!([2 * HOUR])]);
    assert_eq!(database.read("SELECT code FROM stale_drafts_alerts"), [json!(["b"]), json!(["c"])]);
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_ledger"), [json!([2])]);
}

#[test]
fn at_most_500_rows_are_trimmed_at_once() {
    let database = database();
    database.write(
        "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 501)
         INSERT INTO stale_drafts_sweeps (id, source, started_at) SELECT printf('00%03d', n), 'cron', 1 FROM n",
    );
    database.all(&store::trim(now(), now(), now()));
    assert_eq!(database.read("SELECT id FROM stale_drafts_sweeps"), [json!(["00501"])]);
}

fn settings<'a>(policy: &'a Policy, thresholds: &'a Thresholds) -> Settings<'a> {
    Settings {
        max_ms_since_sweep: 10 * MINUTE,
        destinations: 1,
        ..crate::watching(policy, thresholds, &ONE_DATABASE)
    }
}

/// A run of the monitor with the default policy: what it says changed.
fn run(database: &Sqlite, millis: u64, occasion: Occasion) -> Option<(Vec<&'static str>, Vec<String>, bool)> {
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let changes =
        wait(monitor::run(&Shard::one(database), &settings(&policy, &thresholds), at(millis), occasion))
            .unwrap()?;
    let fired = changes.fired.iter().map(|finding| finding.code).collect();
    Some((fired, changes.resolved, !changes.events_due.is_empty()))
}

fn good_sweep(database: &Sqlite, id: &str, millis: u64) {
    database.write(&format!(
        "INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at) VALUES ('{id}', 'cron', {millis}, {millis})"
    ));
}

/// Everything that the database holds of the monitor.
fn stands(database: &Sqlite) -> Vec<Value> {
    let tables = ["sweeps", "events", "alerts", "controls", "monitor", "ledger_check", "rollups"];
    tables.iter().flat_map(|table| database.read(&format!("SELECT * FROM stale_drafts_{table}"))).collect()
}

const CRON: Occasion = Occasion::Cron { swept: true };

#[test]
fn a_run_fires_what_is_wrong_and_resolves_what_is_not_any_more() {
    let database = database();
    assert_eq!(run(&database, NOW, CRON), Some((vec!["cron_not_running"], vec![], true)));
    // It fires already. Its event is due.
    assert_eq!(run(&database, NOW + 1, CRON), Some((vec![], vec![], true)));
    database.write("DELETE FROM stale_drafts_events");
    assert_eq!(run(&database, NOW + 2, CRON), Some((vec![], vec![], false)));
    good_sweep(&database, "1", NOW + 3);
    let resolved = vec![String::from("cron_not_running")];
    assert_eq!(run(&database, NOW + 3, CRON), Some((vec![], resolved, true)));
    assert_eq!(run(&database, NOW + 4, CRON), Some((vec![], vec![], true)));
}

#[test]
fn beside_requests_one_isolate_looks_in_a_minute_and_all_others_do_not() {
    let database = database();
    good_sweep(&database, "1", NOW);
    assert!(run(&database, NOW, Occasion::Request).is_some());
    for later in [0, 1, MINUTE - 1] {
        assert_eq!(run(&database, NOW + later, Occasion::Request), None);
    }
    assert!(run(&database, NOW + MINUTE, Occasion::Request).is_some());
    // Cron always looks, and requests need not for a minute.
    assert!(run(&database, NOW + MINUTE + 1, CRON).is_some());
    assert_eq!(run(&database, NOW + 2 * MINUTE, Occasion::Request), None);
    // A clock that was ahead does not stop it.
    database.write(&format!("UPDATE stale_drafts_monitor SET looked_at = {}", NOW + 60 * MINUTE));
    assert!(run(&database, NOW + 2 * MINUTE, Occasion::Request).is_some());
}

#[test]
fn old_rows_are_removed_when_that_is_due_at_whichever_minute_and_occasion() {
    let database = database();
    let old = || {
        database.write("INSERT INTO stale_drafts_sweeps (id, source, started_at) VALUES ('0', 'tool', 1)");
    };
    let left = || database.read("SELECT id FROM stale_drafts_sweeps WHERE id = '0'").len();
    good_sweep(&database, "1", NOW);
    old();
    let odd = NOW + 17 * MINUTE;
    run(&database, odd, Occasion::Request);
    assert_eq!(left(), 0);
    old();
    run(&database, odd + 10 * MINUTE - 1, CRON);
    assert_eq!(left(), 1);
    run(&database, odd + 10 * MINUTE, CRON);
    assert_eq!(left(), 0);
}

/// A run over several databases, by cron.
fn run_all(databases: &[Sqlite], millis: u64) {
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let names: Vec<_> = (0..databases.len()).map(|at| format!("DB_{at}")).collect();
    let shards: Vec<_> =
        names.iter().zip(databases).map(|(name, database)| Shard { name, database }).collect();
    wait(monitor::run(&shards, &settings(&policy, &thresholds), at(millis), CRON)).unwrap();
}

#[test]
fn of_several_databases_one_a_minute_removes_its_old_rows() {
    let databases = [(); 3].map(|()| database());
    for database in &databases {
        database.write("INSERT INTO stale_drafts_sweeps (id, source, started_at) VALUES ('0', 'tool', 1)");
    }
    for minute in 0..3 {
        let left =
            || databases.each_ref().map(|database| database.read("SELECT id FROM stale_drafts_sweeps").len());
        let mut expected = left();
        let turn = (NOW / MINUTE + minute) % 3;
        expected[turn as usize] = 0;
        run_all(&databases, NOW + minute * MINUTE);
        assert_eq!(left(), expected);
        assert_eq!(expected.iter().sum::<usize>(), 2 - minute as usize);
    }
}

#[test]
fn in_one_run_moves_are_settled_in_eight_databases_and_the_rest_waits() {
    // The first has nothing to settle, and takes nobody's place.
    let databases: Vec<_> = (0..10).map(|_| database()).collect();
    for database in &databases[1..] {
        database.write(
            "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
             VALUES ('in', 'target', 0, 9, 'A', 'open', 1, 5, 5)",
        );
    }
    let settled = || {
        let state = |database: &Sqlite| {
            database.read("SELECT 1 FROM stale_drafts_moves WHERE state = 'settled'").len()
        };
        databases.iter().map(state).sum::<usize>()
    };
    run_all(&databases, NOW);
    assert_eq!(settled(), 8);
    run_all(&databases, NOW + MINUTE);
    assert_eq!(settled(), 9);
}

#[test]
fn a_single_database_is_not_named_and_a_bucket_that_is_not_bound_is_found() {
    let database = database();
    good_sweep(&database, "1", NOW);
    database.one(store::hold("circuit_breaker", None, "40 of 50 are stale", now()));
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let found = |settings: &Settings<'_>| {
        let health = wait(monitor::look(&Shard::one(&database), settings, now())).unwrap();
        health.findings.into_iter().map(|finding| (finding.code, finding.evidence)).collect::<Vec<_>>()
    };
    let mut settings = settings(&policy, &thresholds);
    settings.has_archive = true;
    let [(code, evidence)] = found(&settings).try_into().unwrap();
    assert_eq!(code, "circuit_breaker_open");
    assert!(evidence.starts_with("40 of 50 are stale"), "{evidence}");
    settings.keep.creations = Some(30);
    assert_eq!(found(&settings).len(), 1);
    settings.has_archive = false;
    assert!(found(&settings).iter().any(|(code, _)| *code == "archive_not_bound"));
    settings.keep.creations = None;
    assert_eq!(found(&settings).len(), 1);
}

#[test]
fn the_ledger_is_checked_in_every_run() {
    let database = database();
    good_sweep(&database, "1", NOW);
    database.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'ben'");
    assert_eq!(run(&database, NOW, Occasion::Request).unwrap().0, [""; 0]);
    assert_eq!(run(&database, NOW + MINUTE, Occasion::Request).unwrap().0, ["ledger_differs"]);
}

#[test]
fn an_open_breaker_is_released_by_a_cron_sweep_that_went_well_only() {
    let database = database();
    good_sweep(&database, "1", NOW);
    database.one(store::hold("circuit_breaker", None, "many", now()));
    assert_eq!(run(&database, NOW, Occasion::Request).unwrap().0, ["circuit_breaker_open"]);
    assert_eq!(run(&database, NOW, Occasion::Cron { swept: false }).unwrap().0, [""; 0]);
    assert_eq!(run(&database, NOW, CRON).unwrap().1, ["circuit_breaker_open"]);
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_controls"), [json!([0])]);
}

#[test]
fn a_pause_of_an_hour_is_one_warning() {
    let database = database();
    good_sweep(&database, "1", NOW - HOUR);
    add(&database, "late", json!({ "created_at": NOW - 3 * HOUR }));
    database.write(&format!(
        "INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at, error) VALUES ('2', 'cron', {NOW}, {NOW}, 'lost')"
    ));
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let codes = || {
        let health =
            wait(monitor::diagnose(&Shard::one(&database), &settings(&policy, &thresholds), now(), Some(1)))
                .unwrap();
        health.findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    let waits = "no_worker_running";
    assert_eq!(codes(), ["sweep_failing", waits]);
    database.one(store::hold("paused", Some("ops"), "", now()));
    assert_eq!(codes(), [waits, "sweeping_paused"]);
    // The sweeps were held, as their rows say. Once sweeping goes on, nothing is wrong: the next sweep is still to come.
    database.write("UPDATE stale_drafts_sweeps SET error = 'sweeping is paused by `ops`' WHERE id = '2'");
    database.one(store::release("paused"));
    assert_eq!(codes(), [waits]);
}

#[test]
fn a_look_and_a_diagnosis_write_nothing() {
    let database = database();
    add(&database, "late", json!({ "created_at": NOW - 3 * HOUR }));
    let before = stands(&database);
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let settings = settings(&policy, &thresholds);
    let looked = wait(monitor::look(&Shard::one(&database), &settings, now())).unwrap();
    assert_eq!(looked.findings.len(), 1);
    wait(monitor::diagnose(&Shard::one(&database), &settings, now(), None)).unwrap();
    assert_eq!(stands(&database), before);
}

#[test]
fn what_is_overdue_is_said_with_its_delay() {
    let database = database();
    good_sweep(&database, "1", NOW);
    let look = || {
        let (policy, thresholds) = (Policy::default(), Thresholds::default());
        let health =
            wait(monitor::look(&Shard::one(&database), &settings(&policy, &thresholds), now())).unwrap();
        health.findings.into_iter().map(|finding| finding.evidence).collect::<Vec<_>>()
    };
    // A cron that is four seconds late is no alert.
    add(&database, "late", json!({ "created_at": NOW - HOUR - 3 * MINUTE }));
    assert_eq!(look(), [""; 0]);
    add(&database, "later", json!({ "created_at": NOW - HOUR - 3 * MINUTE - 1 }));
    assert_eq!(look(), ["`later` has been stale for 3 minutes, and no sweep has failed it"]);
}

#[test]
fn what_is_set_aside_is_said_until_sweeps_have_tried_it_again() {
    let database = database();
    for id in ["a", "b"] {
        add(&database, id, json!({ "created_at": NOW - HOUR }));
        let set_aside =
            store::SetAside { id, attempt: 1, until: NOW, reason: "the app says no", together: false };
        database.one(store::set_aside(&[set_aside], now(), 60_000));
    }
    let seen =
        |millis| store::observed(database.all(&store::observe(at(millis)))).unwrap().evidence.set_aside;
    let (id, reason) = (String::from("a"), String::from("the app says no"));
    let both = Some(SetAside { count: 2, id, reason, until: now() });
    assert_eq!(
        (seen(NOW - 1), seen(NOW + 5 * MINUTE - 1), seen(NOW + 5 * MINUTE)),
        (both.clone(), both, None)
    );
}

#[test]
fn the_error_of_the_newest_sweep_is_said_unless_it_was_held() {
    let database = database();
    let seen = |id: &str, error: &str| {
        database.write(&format!(
            "INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at, error) VALUES ('{id}', 'cron', {NOW}, {NOW}, '{error}')"
        ));
        let evidence = seen(&database).evidence;
        (evidence.last_good_sweep, evidence.last_run, evidence.newest_sweep_error)
    };
    assert_eq!(seen("1", "lost"), (None, None, Some(String::from("lost"))));
    let open = Suspension::BreakerOpen { detail: String::from("many") };
    assert_eq!(seen("2", &open.to_string()), (None, Some(now()), None));
}

#[test]
fn users_who_have_arrived_are_swept_after_a_while_whoever_finishes_the_move() {
    let database = database();
    database.write(
        "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
         VALUES ('in', 'target', 0, 9, 'A', 'open', 1, 5, 5), ('empty', 'target', 10, 19, 'A', 'open', 1, 5, 5),
           ('back', 'source', 30, 39, 'A', 'cancelled', 1, 5, 5), ('out', 'source', 20, 29, 'A', 'moved', 1, 5, 5);
         INSERT INTO stale_drafts_moving_users (user_id, move_id) VALUES ('anna', 'in'), ('ben', 'out'), ('cleo', 'back')",
    );
    let users =
        |database: &Sqlite| database.read("SELECT user_id FROM stale_drafts_moving_users ORDER BY user_id");
    let states = |database: &Sqlite| database.read("SELECT state FROM stale_drafts_moves ORDER BY id");
    let settle = |arrived| store::settle_moves(at(arrived), at(9));
    assert!(seen(&database).settles);
    database.all(&settle(4));
    assert_eq!(users(&database), [json!(["anna"]), json!(["ben"]), json!(["cleo"])]);
    // Who has left waits for what is to be trimmed.
    database.all(&settle(5));
    assert_eq!(users(&database), [json!(["ben"])]);
    // Then the buckets that have arrived may move again.
    assert_eq!(
        states(&database),
        [json!(["cancelled"]), json!(["settled"]), json!(["settled"]), json!(["moved"])]
    );
    database.write("DELETE FROM stale_drafts_moving_users");
    assert!(!seen(&database).settles);
}
