//! What operators ask, and what a dashboard shows.

use serde_json::{Value, json};
use stale_drafts::rules::{Ended, Evidence};
use stale_drafts::store::{
    self, ActiveBand, AttemptRow, Dashboard, Observed, Outline, Rates, Rolled, Row, SetAsideRow, Sought,
};

use crate::sqlite::Sqlite;
use crate::{HOUR, LONG_AGO, MINUTE, NOW, add, at, database, now, policy, row};

fn sweep(database: &Sqlite, id: &str, source: &str, started_at: u64, error: Option<&str>) {
    let error = error.map_or(String::from("NULL"), |error| format!("'{error}'"));
    database.write(&format!(
        "INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at, error)
         VALUES ('{id}', '{source}', {started_at}, {started_at}, {error})"
    ));
}

fn column(rows: &[Row], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}

#[test]
fn creations_by_id() {
    let database = database();
    add(&database, "a", json!({}));
    add(&database, "b", json!({ "status": "draft" }));
    let rows = database.one(store::by_id(&["b", "gone", "a"]));
    let of = |name| store::candidates(&rows, name).unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!((of("candidates"), of("unreadable")), (vec![String::from("b"), String::from("a")], vec![]));
}

#[test]
fn active_creations_are_counted_by_the_limits_that_their_age_exceeds() {
    let database = database();
    for (id, ago) in [("a", 0), ("b", HOUR), ("c", HOUR + 1), ("d", 2 * HOUR + 1)] {
        add(&database, id, json!({ "created_at": NOW - ago }));
    }
    add(&database, "future", json!({ "created_at": NOW + MINUTE + 1 }));
    add(&database, "missing", json!({ "created_at": null, "kind": "video" }));
    add(&database, "settled", json!({ "status": "draft" }));
    let rows = database.one(store::count(now(), &[HOUR, 2 * HOUR]));
    let of = |kind, band, creations| {
        row(
            json!({ "status": "pending", "kind": kind, "band": band, "creations": creations, "tokens": creations * 5 }),
        )
    };
    let expected =
        [of("image", -1, 1), of("image", 0, 2), of("image", 1, 1), of("image", 2, 1), of("video", -1, 1)];
    assert_eq!(rows, expected);
}

#[test]
fn sweeps_are_listed_from_the_newest_on() {
    let database = database();
    for id in ["1", "2", "3"] {
        sweep(&database, id, "tool", NOW, None);
    }
    let of = |before, limit| column(&database.one(store::sweeps(before, limit)), "id");
    assert_eq!(of(None, 9), ["3", "2", "1"]);
    assert_eq!(of(None, 1), ["3"]);
    assert_eq!(of(Some("3"), 1), ["2"]);
    assert_eq!(of(Some("1"), 9), [""; 0]);
}

#[test]
fn everything_about_one_creation() {
    let database = database();
    let failed = json!({
        "status": "failed", "attempt": 2, "error": "it was stuck", "error_code": "generation_timeout",
        "stuck_status": "pending", "age_ms": 2 * HOUR, "max_age_ms": HOUR, "rule": "max_age_hours", "sweep_id": "2",
    });
    add(&database, "c", failed);
    add(&database, "another", json!({}));
    for id in ["1", "2", "3"] {
        sweep(&database, id, "cron", NOW, None);
    }
    database.write(
        "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, started_at, heartbeat_at, finished_at, sweep_id)
         VALUES ('c', 1, 'retried', 'yesterday', 7, 9, '1');
         INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, creation_id, body)
         VALUES ('e1', 1, 1, 1, 'c', '{}'), ('e2', 1, 1, 1, 'another', '{}')",
    );
    let [page, ledger, sweeps, attempts, events, set_aside, extensions, acts] =
        database.all(&store::explain("c")).try_into().unwrap();
    let page = store::page_rows(&page).unwrap();
    assert_eq!((page.len(), page[0].creation.id.as_str(), page[0].refunded_tokens), (1, "c", Some(5)));
    // A creation that is brought in failed is refunded at once, by the database's clock.
    assert_eq!(column(&ledger, "entry_key"), ["charge:c", "refund:c"]);
    assert_eq!(column(&sweeps, "id"), ["1", "2"]);
    let [attempt] = store::typed_rows::<AttemptRow>(attempts).unwrap().try_into().unwrap();
    // What an app wrote that is no time is none.
    let times = (attempt.started_at, attempt.heartbeat_at, attempt.finished_at);
    assert_eq!((attempt.attempt, times), (1, (None, Some(7), Some(9))));
    assert_eq!(column(&events, "id"), ["e1"]);
    assert_eq!(set_aside, []);
    assert_eq!((extensions, acts), (vec![], vec![]));
}

#[test]
fn what_is_set_aside_is_shown_with_its_reason_and_until_when() {
    let database = database();
    add(&database, "c", json!({}));
    let set_aside =
        store::SetAside { id: "c", attempt: 1, until: NOW + 7, reason: "the app says no", together: false };
    database.one(store::set_aside(&[set_aside], now(), 60_000));
    let row = SetAsideRow {
        creation_id: String::from("c"),
        until: NOW + 7,
        reason: String::from("the app says no"),
    };
    let explained = database.all(&store::explain("c")).remove(5);
    assert_eq!(store::typed_rows::<SetAsideRow>(explained).unwrap(), std::slice::from_ref(&row));
    let results = database.all(&store::dashboard(&policy(&[]), now(), now()));
    assert_eq!(Dashboard::read(results).unwrap().set_aside, [row]);
}

#[test]
fn the_newest_alerts_of_all_codes_are_shown() {
    let database = database();
    let shown = || {
        let results = database.all(&store::dashboard(&policy(&[]), now(), now()));
        Dashboard::read(results).unwrap().alerts.iter().map(|alert| alert.since).collect::<Vec<_>>()
    };
    assert_eq!(shown(), [0; 0]);
    // Codes take turns, but for one that has the most, and one that is old.
    database.write(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 60)
         INSERT INTO stale_drafts_alerts (code, since, resolved_at, severity, cause, evidence, remedy)
         SELECT CASE WHEN n = 0 THEN 'old' WHEN n < 40 THEN 'many' ELSE 'code ' || n % 2 END, n, 99, 'warning', 'c', 'e', 'r' FROM n",
    );
    assert_eq!(shown(), (46..=60).rev().collect::<Vec<_>>());
    // What is older than the instant goes, of whichever code; what is resolved after it stays.
    database.write(
        "UPDATE stale_drafts_alerts SET resolved_at = since + 1; UPDATE stale_drafts_alerts SET resolved_at = NULL WHERE since = 7",
    );
    database.all(&store::trim(at(0), at(0), at(50)));
    assert_eq!(shown(), [60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 7]);
}

fn evidence(database: &Sqlite) -> Evidence {
    let mut observed = Observed::default();
    observed.add_causes(database.one(store::causes(now()))).unwrap();
    observed.evidence
}

#[test]
fn there_is_evidence_of_nothing_in_an_empty_database() {
    let version = store::SCHEMA_VERSION;
    assert_eq!(evidence(&database()), Evidence { schema_version: version, ..Evidence::default() });
    let error = Observed::default().add_causes(vec![row(json!({}))]).unwrap_err().to_string();
    assert_eq!(error, "a result of the database: `waiting` is missing: expected u64");
}

#[test]
fn the_evidence_of_a_diagnosis() {
    let database = database();
    add(&database, "waits", json!({ "created_at": NOW - 3 }));
    add(&database, "aside", json!({ "created_at": NOW - HOUR }));
    let set_aside = store::SetAside {
        id: "aside",
        attempt: 1,
        until: NOW + 7,
        reason: "the app says no",
        together: false,
    };
    database.one(store::set_aside(&[set_aside], now(), 60_000));
    add(&database, "waits too", json!({ "created_at": NOW - 2 }));
    let heartbeat = |ago: u64| json!({ "status": "processing", "created_at": LONG_AGO, "started_at": NOW - 9 * MINUTE, "heartbeat_at": NOW - ago });
    add(&database, "alive", heartbeat(5 * MINUTE));
    for (id, ago) in [("silent", 5 * MINUTE + 1), ("more silent", 6 * MINUTE), ("most silent", 7 * MINUTE)] {
        add(&database, id, heartbeat(ago));
    }
    // Without a heartbeat it may be as alive as it ever was.
    add(
        &database,
        "no heartbeat",
        json!({ "status": "processing", "created_at": LONG_AGO, "started_at": NOW - 8 * MINUTE }),
    );
    for id in ["u1", "u2"] {
        add(&database, id, json!({ "created_at": null }));
    }
    add(&database, "future", json!({ "created_at": NOW + MINUTE + 1 }));
    let ended = |kind: &str, code: Option<&str>, ago: u64| {
        let status = if code.is_some() { "failed" } else { "draft" };
        json!({ "kind": kind, "status": status, "error_code": code, "finished_at": NOW - ago, "created_at": LONG_AGO })
    };
    for (at, code) in ["broken", "broken", "broken", "other", "other"].into_iter().enumerate() {
        add(
            &database,
            &format!("failed {at}"),
            ended(if at == 0 { "image" } else { "video" }, Some(code), at as u64),
        );
    }
    // Another system has timed it out.
    let mut imported = ended("image", Some("generation_timeout"), 0);
    imported.as_object_mut().unwrap().extend(row(json!({ "settled_elsewhere": 1 })));
    add(&database, "imported", imported);
    let mut timed_out = ended("image", Some("generation_timeout"), 0);
    timed_out.as_object_mut().unwrap().extend(row(json!({
        "error": "it was stuck", "stuck_status": "pending", "age_ms": 2, "max_age_ms": 1, "rule": "pending", "sweep_id": "1",
    })));
    add(&database, "timed out", timed_out);
    add(&database, "done", ended("video", None, HOUR));
    add(&database, "done long ago", ended("video", None, HOUR + 1));
    let version = store::SCHEMA_VERSION;
    let expected = Evidence {
        waiting: 2,
        waiting_since: Some(at(NOW - 3)),
        last_start: Some(at(NOW - 8 * MINUTE)),
        busy: 1,
        alive: 1,
        silent: 3,
        silent_between: Some((at(NOW - 7 * MINUTE), at(NOW - 5 * MINUTE))),
        unreadable: 3,
        more: Ended { finished: 8, failed: 7, timed_out: 1, top_error: Some((String::from("broken"), 3)) },
        top_kind: Some((String::from("video"), 4, 5)),
        schema_version: version,
        ..Evidence::default()
    };
    let found = evidence(&database);
    assert_eq!(found, expected);
}

#[test]
fn what_was_started_once_more_within_a_day_is_evidence_the_newest_first() {
    let database = database();
    let again = || evidence(&database).started_again;
    let found = |found: &[(&str, u64)]| {
        found.iter().map(|(id, after)| ((*id).to_owned(), *after)).collect::<Vec<_>>()
    };
    let day = NOW - 24 * HOUR;
    database.write(&format!(
        "INSERT INTO stale_drafts_repeated_starts (at, creation_id, attempt, after_ms)
         VALUES ({day} - 1, 'long ago', 1, 1), ({day}, 'a day ago', 1, 2),
           ({NOW} - 5, 'hourly', 1, 3), ({NOW} - 4, 'other', 1, 5), ({NOW} - 3, 'hourly', 1, 4), ({NOW} - 6, 'hourly', 2, 6)"
    ));
    // An attempt that comes back each hour is one, and its first return says by which timeout.
    assert_eq!(again(), found(&[("hourly", 3), ("other", 5), ("hourly", 6), ("a day ago", 2)]));
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 200)
         INSERT INTO stale_drafts_repeated_starts SELECT {NOW} + n, 'n' || n, 1, 7 FROM n"
    ));
    let newest = again();
    assert_eq!(
        (newest.len(), &newest[0], &newest[199]),
        (200, &(String::from("n200"), 7), &(String::from("n1"), 7))
    );
}

#[test]
fn what_was_started_once_more_only_to_fail_it_is_no_evidence() {
    let database = database();
    let ended = |id: &str, columns: Value| {
        let mut of = json!({ "status": "failed", "attempt": 2, "error_code": "time_limit", "finished_at": NOW - HOUR + MINUTE });
        of.as_object_mut().unwrap().extend(row(columns));
        add(&database, id, of);
        database.write(&format!(
            "INSERT INTO stale_drafts_repeated_starts VALUES ({NOW} - {HOUR}, '{id}', 2, 7)"
        ));
    };
    ended("ended", json!({}));
    assert_eq!(evidence(&database).started_again, []);
    ended("later", json!({ "finished_at": NOW - HOUR + MINUTE + 1 }));
    ended("done", json!({ "status": "draft", "error_code": null }));
    ended("another attempt", json!({ "attempt": 3 }));
    let timed_out = json!({
        "error": "it was stuck", "error_code": "generation_timeout", "stuck_status": "processing", "age_ms": 2, "max_age_ms": 1,
        "rule": "processing", "sweep_id": "1",
    });
    ended("timed out", timed_out);
    let mut again: Vec<_> = evidence(&database).started_again.into_iter().map(|(id, _)| id).collect();
    again.sort();
    assert_eq!(again, ["another attempt", "done", "later", "timed out"]);
}

#[test]
fn what_is_in_progress_has_started_however_many_are_newer() {
    let database = database();
    add(&database, "works", json!({ "status": "processing", "created_at": LONG_AGO, "started_at": NOW - 7 }));
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT 'n' || n, 'anna', 'image', '', 'pending', 0, {NOW} FROM n"
    ));
    assert_eq!(evidence(&database).last_start, Some(at(NOW - 7)));
}

#[test]
fn few_failures_are_not_worth_naming() {
    let database = database();
    let ended =
        json!({ "status": "failed", "error_code": "broken", "finished_at": NOW, "created_at": LONG_AGO });
    for at in 0..4 {
        add(&database, &format!("f{at}"), ended.clone());
    }
    // What somebody cancelled says nothing about a provider.
    for at in 0..9 {
        let cancelled = json!({ "status": "failed", "error_code": "cancelled", "finished_at": NOW, "created_at": LONG_AGO });
        add(&database, &format!("c{at}"), cancelled);
    }
    let found = evidence(&database);
    assert_eq!((found.more.failed, found.more.top_error, found.top_kind), (4, None, None));
    add(&database, "f5", ended);
    let found = evidence(&database);
    assert_eq!(found.more.top_error, Some((String::from("broken"), 5)));
    assert_eq!(found.top_kind, Some((String::from("image"), 5, 5)));
}

/// When the present hour begins.
const BEGIN: u64 = NOW / HOUR * HOUR;

fn rolled(hour: u64, creations: u64) -> Rolled {
    Rolled {
        hour,
        outcome: String::from("failed"),
        kind: String::from("image"),
        stuck_status: String::from("pending"),
        rule: String::from("max_age_hours"),
        creations,
        tokens: 5,
        lags: [10, 11, 12, 13, 14, 15],
        lag_ms: 16,
    }
}

#[test]
fn a_dashboard_reads_everything() {
    let database = database();
    for (hour, creations) in [(0, 99), (BEGIN - 2 * HOUR, 2), (BEGIN - HOUR, 3), (BEGIN, 4), (NOW + 1, 5)] {
        database.write(&format!(
            "INSERT INTO stale_drafts_rollups VALUES ({hour}, 'failed', 'image', 'pending', 'max_age_hours', {creations}, 5, 10, 11, 12, 13, 14, 15, 16)"
        ));
    }
    for (id, ago) in [("old", HOUR + 1), ("at its limit", HOUR), ("half", HOUR / 2 + 1), ("new", 0)] {
        add(&database, id, json!({ "created_at": NOW - ago }));
    }
    add(&database, "song", json!({ "kind": "song", "created_at": LONG_AGO }));
    add(&database, "again", json!({ "status": "draft", "attempt": 2 }));
    add(&database, "published", json!({ "status": "published" }));
    let timed_out = json!({
        "status": "failed", "error": "it was stuck", "error_code": "generation_timeout", "stuck_status": "pending",
        "age_ms": 2 * HOUR, "max_age_ms": HOUR, "rule": "max_age_hours", "sweep_id": "1",
    });
    add(&database, "timed out", timed_out);
    for code in ["a", "b"] {
        add(&database, code, json!({ "status": "failed", "error_code": code }));
    }
    add(
        &database,
        "imported",
        json!({ "status": "failed", "error_code": "generation_timeout", "settled_elsewhere": 1 }),
    );
    sweep(&database, "1", "cron", NOW, None);
    sweep(&database, "2", "cron", NOW, None);
    database.write(
        "INSERT INTO stale_drafts_alerts VALUES ('a', 1, 2, 'critical', 'c', 'e', 'r'), ('b', 2, NULL, 'warning', 'c', 'e', 'r');
         INSERT INTO stale_drafts_audit (id, at, actor, action, detail) VALUES ('1', 1, 'ops', 'pause', ''), ('2', 2, 'ops', 'resume', '')",
    );
    let policy = policy(&[(&["kinds", "song", "max_age_hours"], -1.0)]);
    let results = database.all(&store::dashboard(&policy, now(), at(BEGIN - HOUR)));
    let read = Dashboard::read(results).unwrap();
    assert_eq!(read.hours, [rolled(BEGIN - HOUR, 3), rolled(BEGIN, 4)]);
    assert_eq!(read.totals, [rolled(0, 99)]);
    let band = |kind: &str, max_age_ms, band| ActiveBand {
        phase: String::from("pending"),
        kind: String::from(kind),
        max_age_ms,
        band,
        creations: 1,
    };
    let image = |quarter| band("image", Some(HOUR), Some(quarter));
    assert_eq!(read.active, [image(0), image(2), image(3), image(4), band("song", None, None)]);
    let oldest: Vec<_> = read.oldest.iter().map(|row| row.id.as_str()).collect();
    // The longest silent one first, whatever its kind.
    assert_eq!(oldest, ["song", "old"]);
    let rates = Rates { newest: 11, completed: 2, failed: 4, timed_out: 1, retried: 1, stale: 2, active: 5 };
    assert_eq!(read.rates, rates);
    assert_eq!(column(&read.sweeps, "id"), ["2", "1"]);
    let alerts: Vec<_> = read.alerts.iter().map(|alert| (alert.code.as_str(), alert.resolved_at)).collect();
    assert_eq!(alerts, [("b", None), ("a", Some(2))]);
    let audit: Vec<_> = read.audit.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(audit, ["resume", "pause"]);
}

#[test]
fn a_dashboard_is_all_of_its_results_or_an_error() {
    let error = Dashboard::read(vec![Vec::new(); 7]).unwrap_err();
    assert_eq!(error.to_string(), "expected ten results");
    // From the beginning on is all but what stands over all.
    let database = database();
    database
        .write("INSERT INTO stale_drafts_rollups VALUES (0, 'failed', 'image', 'pending', 'x', 1, 1, 0, 0, 0, 0, 0, 0, 0)");
    let results = database.all(&store::dashboard(&policy(&[]), now(), at(0)));
    let read = Dashboard::read(results).unwrap();
    assert_eq!((read.hours.len(), read.totals.len()), (0, 1));
}

#[test]
fn a_month_of_many_kinds_is_shown_by_the_day_up_to_the_present_hour() {
    let database = database();
    // 4 kinds and 2 statuses in each of 720 hours: more rows than are shown.
    database.write(&format!(
        "WITH RECURSIVE hours (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM hours WHERE n < 719)
         INSERT INTO stale_drafts_rollups SELECT {BEGIN} - n * {HOUR}, 'failed', k.column1, s.column1, 'x', 1, 2, 1, 0, 0, 0, 0, 0, 0
         FROM hours, (VALUES ('a'), ('b'), ('c'), ('d')) AS k, (VALUES ('pending'), ('processing')) AS s"
    ));
    let read = |hours: u64| {
        let since = at(NOW - hours * HOUR);
        Dashboard::read(database.all(&store::dashboard(&policy(&[]), now(), since))).unwrap().hours
    };
    let month = read(720);
    let sum = |rows: &[Rolled]| {
        rows.iter()
            .map(|row| (row.creations, row.tokens, row.lags[0]))
            .fold((0, 0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1, sum.2 + row.2))
    };
    assert_eq!(sum(&month), (5_760, 11_520, 5_760));
    assert_eq!(month.last().unwrap().hour, NOW / (24 * HOUR) * 24 * HOUR);
    assert_eq!(month.len(), 8 * 31);
    let week = read(168);
    assert_eq!((week.len(), week.last().unwrap().hour), (8 * 168, BEGIN));
}

#[test]
fn a_dashboard_of_many_kinds_shows_those_that_are_silent_for_longest() {
    let database = database();
    // The whole of it would be longer than the database takes.
    database.write(&format!(
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 11999)
         SELECT format('%036d', n), format('%036d', n), format('lora-%036d', n), '', 'pending', 0, {BEGIN} + n FROM n"
    ));
    let read = Dashboard::read(database.all(&store::dashboard(&policy(&[]), now(), now()))).unwrap();
    let oldest: Vec<_> = read.oldest.iter().map(|row| row.id.parse::<u32>().unwrap()).collect();
    assert_eq!(oldest, (0..15).collect::<Vec<u32>>());
}

#[test]
fn sums_that_no_double_holds_stop_no_page() {
    let database = database();
    let most = (1_u64 << 53) - 1;
    // As many as no integer holds together, in hours of their own and in one.
    for n in 0..1_030 {
        let elsewhere = json!({ "status": "failed", "settled_elsewhere": 1, "tokens": most, "user_id": format!("u{}", n % 2) });
        add(&database, &format!("c{n}"), elsewhere);
    }
    database.write(&format!(
        "INSERT INTO stale_drafts_rollups VALUES ({BEGIN}, 'failed', 'image', 'pending', 'x', 2, {sum}, 0, 0, 0, 0, 0, 0, {sum}),
           (0, 'failed', 'image', 'pending', 'x', 2, {sum}, 0, 0, 0, 0, 0, 0, {sum});
         INSERT INTO stale_drafts_sweeps (id, source, started_at, refunded_tokens) VALUES ('1', 'cron', 1, {sum})",
        sum = 2 * most
    ));
    let doubles = |mut results: Vec<Vec<Row>>| {
        for row in results.iter_mut().flatten() {
            for value in row.values_mut().filter(|value| value.as_u64().is_some_and(|number| number > most)) {
                *value = json!(value.as_u64().unwrap() as f64);
            }
        }
        results
    };
    let read = Dashboard::read(doubles(database.all(&store::dashboard(&policy(&[]), now(), at(1))))).unwrap();
    assert_eq!((read.hours[0].tokens, read.hours[0].lag_ms), (2 * most, 2 * most));
    assert_eq!((read.totals[0].tokens, read.totals[0].lag_ms), (2 * most, 2 * most));
    let sweeps = doubles(vec![database.one(store::sweeps(None, 9))]).remove(0);
    assert_eq!(store::typed_rows::<store::SweepRow>(sweeps).unwrap()[0].refunded_tokens, 2 * most);
    let sought = Sought::default();
    let outline = store::outline(&sought, 12, (at(0), now()));
    let outline = Outline::read(doubles(database.all(&outline))).unwrap();
    // What an integer holds at most is what is shown of more.
    assert_eq!((outline.facets.tokens, outline.facets.largest[0].tokens), (1 << 63, 1 << 63));
    assert_eq!(outline.owners[0].tokens, (515 * most) as f64 as u64);
    assert_eq!(outline.facets.creations, 1_030);
}
