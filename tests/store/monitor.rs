//! The watch, its alerts, and the outbox.

use serde_json::json;
use stale_drafts::rules::{Finding, Severity, Suspension};
use stale_drafts::store::{self, Claimed, Outcome, Row, Seen};

use crate::sqlite::Sqlite;
use crate::{HOUR, MINUTE, NOW, add, at, database, now};

fn seen(database: &Sqlite) -> Seen {
    store::observed(&database.all(&store::observe(now()))).unwrap()
}

#[test]
fn what_is_observed() {
    let database = database();
    let ended = |code: Option<&str>, ago: u64| {
        let status = if code.is_some() { "failed" } else { "draft" };
        json!({ "status": status, "error_code": code, "finished_at": NOW - ago, "created_at": 0 })
    };
    add(&database, "done", ended(None, HOUR));
    add(&database, "long ago", ended(Some("broken"), HOUR + 1));
    for id in ["a", "b"] {
        add(&database, id, ended(Some("broken"), 0));
    }
    let mut timed_out = ended(Some("generation_timeout"), 0);
    timed_out.as_object_mut().unwrap().extend(crate::row(json!({
        "error": "it was stuck", "stuck_status": "pending", "age_ms": 2, "max_age_ms": 1, "rule": "pending", "sweep_id": "1",
    })));
    add(&database, "timed out", timed_out);
    database.write(&format!(
        "INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at, error)
         VALUES ('1', 'cron', {}, 1, NULL), ('2', 'cron', {NOW}, 1, 'lost'), ('3', 'tool', {NOW}, 1, NULL), ('4', 'cron', {NOW}, NULL, NULL);
         INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, body)
         VALUES ('e1', 'due', {}, 1, 1, '{{}}'), ('e2', 'due', {NOW}, 1, 1, '{{}}'), ('e3', 'dead', 1, 1, 1, '{{}}')",
        NOW - 9,
        NOW - 7
    ));
    database.one(store::hold("paused", Some("ops"), "", at(NOW - 5)));
    let Seen { observed, checked, firing } = seen(&database);
    let evidence = &observed.evidence;
    assert_eq!((evidence.finished, evidence.failed, observed.timed_out), (4, 3, 1));
    assert_eq!(evidence.top_error, Some((String::from("broken"), 2)));
    assert_eq!(evidence.last_good_sweep, Some(at(NOW - 9)));
    assert_eq!((observed.due_since, observed.given_up), (Some(at(NOW - 7)), 1));
    assert_eq!(
        observed.suspended,
        Some(Suspension::Paused { actor: String::from("ops"), since: at(NOW - 5) })
    );
    assert_eq!((checked.as_str(), firing.len(), observed.overdue), ("anna", 0, None));
}

#[test]
fn the_check_of_the_ledger_goes_from_user_to_user() {
    let database = database();
    let check = || {
        let Seen { observed, checked, .. } = seen(&database);
        database.one(store::checked(&checked, &observed.differs));
        (checked, observed.differs)
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
    assert_eq!(seen(&database).observed.differs, [""; 0]);
    database.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'anna'");
    assert_eq!(seen(&database).observed.differs, ["anna"]);
    some(501, 501);
    assert_eq!(seen(&database).observed.differs, [""; 0]);
}

#[test]
fn what_is_observed_is_all_of_its_results_or_an_error() {
    let error = |results: &[Vec<Row>]| store::observed(results).unwrap_err().to_string();
    assert_eq!(error(&[]), "expected three results");
    assert_eq!(error(&[vec![], vec![], vec![]]), "nothing was observed");
}

fn finding(code: &'static str) -> Finding {
    Finding {
        code,
        severity: Severity::Critical,
        cause: String::from("a cause"),
        evidence: String::from("it shows"),
        remedy: "do this",
    }
}

#[test]
fn an_alert_fires_once_and_is_resolved_once() {
    let database = database();
    let (a, b) = (finding("a"), finding("b"));
    let firing = || {
        let of = |alert: store::Firing| {
            [alert.code, alert.since.to_string(), alert.severity, alert.cause, alert.evidence, alert.remedy]
                .join(", ")
        };
        seen(&database).firing.into_iter().map(of).collect::<Vec<_>>()
    };
    database.all(&store::alerts(&[&a, &b], &[], at(1), 3));
    database.all(&store::alerts(&[&a], &[], at(2), 3));
    let text = |code| format!("{code}, 1, critical, a cause, it shows, do this");
    assert_eq!(firing(), [text("a"), text("b")]);
    database.all(&store::alerts(&[], &["a", "other"], at(5), 2));
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
    database.all(&store::alerts(&[&a], &["b"], at(6), 0));
    assert_eq!(firing(), ["a, 6, critical, a cause, it shows, do this"]);
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_events"), [json!([3])]);
}

#[test]
fn nothing_is_written_where_no_alert_has_changed() {
    let a = finding("a");
    let count = |fired: &[&Finding], resolved: &[&str]| store::alerts(fired, resolved, now(), 1).len();
    assert_eq!([count(&[], &[]), count(&[&a], &[]), count(&[], &["a"]), count(&[&a], &["b"])], [0, 2, 2, 4]);
}

#[test]
fn a_row_of_the_audit() {
    let database = database();
    database.one(store::audit("1", "ops", "pause", "for the migration", now()));
    assert_eq!(
        database.read("SELECT * FROM stale_drafts_audit"),
        [json!(["1", NOW, "ops", "pause", "for the migration"])]
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
         INSERT INTO stale_drafts_rollups SELECT column1, 'failed', 'image', 'pending', 'x', 1, 1, 0, 0, 0, 0, 0, 0
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

/// Events that are due at 1, 2 and 3.
fn outbox() -> Sqlite {
    let database = database();
    database.write(
        "INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, creation_id, body)
         VALUES ('a', 1, 3, 1, 'c', '{\"n\":1}'), ('b', 2, 1, 1, NULL, '{\"n\":2}'), ('c', 3, 7, 1, NULL, '{\"n\":3}')",
    );
    database
}

fn claim(database: &Sqlite, now: u64, limit: u32) -> Vec<Claimed> {
    let mut claimed = store::claimed(&database.one(store::claim(at(now), limit)));
    claimed.sort_by(|a, b| a.id.cmp(&b.id));
    claimed
}

fn ids(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|event| event.id.as_str()).collect()
}

#[test]
fn what_is_due_is_claimed_for_one_try() {
    let database = outbox();
    assert_eq!(ids(&claim(&database, 0, 9)), [""; 0]);
    assert_eq!(ids(&claim(&database, 3, 1)), ["a"]);
    let claimed = claim(&database, 3, 9);
    assert_eq!(ids(&claimed), ["b", "c"]);
    let Claimed { destinations, due_at, body, .. } = &claimed[1];
    assert_eq!((*destinations, *due_at, body.as_str()), (7, 3 + MINUTE as i64 / 2, "{\"n\":3}"));
    assert_eq!(ids(&claim(&database, 3, 9)), [""; 0]);
    let row = json!(["c", "due", 3 + MINUTE / 2, 7, 1]);
    assert_eq!(
        database.read(
            "SELECT id, state, due_at, destinations, deliveries FROM stale_drafts_events WHERE id = 'c'"
        ),
        [row]
    );
}

#[test]
fn the_wait_between_tries_doubles_up_to_an_hour() {
    let database = outbox();
    database.write("DELETE FROM stale_drafts_events WHERE id > 'a'");
    let mut now = 1;
    let waits: Vec<_> = (0..9)
        .map(|_| {
            let due_at = claim(&database, now, 1)[0].due_at as u64;
            let wait = due_at - now;
            now = due_at;
            wait
        })
        .collect();
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600].map(|seconds: u64| seconds * 1_000));
}

#[test]
fn what_was_delivered_goes_and_what_was_not_stays_until_it_is_given_up() {
    let database = outbox();
    let settle = |claimed: &[Claimed], left: u32, max| {
        let outcomes: Vec<_> = claimed
            .iter()
            .map(|event| Outcome {
                event,
                left: if event.id == "a" { 0 } else { left },
                error: if event.id == "a" { String::new() } else { String::from("no answer") },
            })
            .collect();
        database.all(&store::settle(&outcomes, max));
    };
    let stands = || {
        database.read(
            "SELECT id, state, destinations, deliveries, last_error FROM stale_drafts_events ORDER BY id",
        )
    };
    let claimed = claim(&database, 3, 9);
    settle(&claimed, 1, 2);
    let row = |id, state, deliveries| json!([id, state, 1, deliveries, "no answer"]);
    assert_eq!(stands(), [row("b", "due", 1), row("c", "due", 1)]);
    let again = claim(&database, NOW, 1);
    // What another sender has claimed since is not settled by an old claim.
    settle(&claimed, 4, 2);
    assert_eq!(stands(), [row("b", "due", 2), json!(["c", "due", 4, 1, "no answer"])]);
    settle(&again, 1, 2);
    assert_eq!(stands(), [row("b", "dead", 2), json!(["c", "due", 4, 1, "no answer"])]);

    let replay = |ids: Option<&[&str]>| database.one(store::replay(ids, at(9))).len();
    assert_eq!([replay(Some(&["c", "other"])), replay(Some(&["b"])), replay(Some(&["b"]))], [0, 1, 0]);
    let due = json!(["b", "due", 9, 0]);
    assert_eq!(
        database.read("SELECT id, state, due_at, deliveries FROM stale_drafts_events WHERE id = 'b'"),
        [due]
    );
    database.write("UPDATE stale_drafts_events SET state = 'dead'");
    assert_eq!(replay(None), 2);
}

#[test]
fn events_are_listed_by_state_and_place() {
    let database = outbox();
    database.write("UPDATE stale_drafts_events SET state = 'dead', last_error = 'no answer' WHERE id = 'c'");
    let list = |state, after, limit| database.one(store::events(state, after, limit));
    let ids = |rows: &[Row]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&list("due", (0, ""), 9)), ["a", "b"]);
    assert_eq!(ids(&list("due", (0, ""), 1)), ["a"]);
    assert_eq!(ids(&list("due", (1, "a"), 9)), ["b"]);
    let expected = crate::row(json!({
        "id": "c", "state": "dead", "due_at": 3, "destinations": 7, "deliveries": 0, "created_at": 1, "creation_id": null,
        "last_error": "no answer",
    }));
    assert_eq!(list("dead", (0, ""), 9), [expected]);
}

#[test]
fn the_bits_of_targets_have_names() {
    let of = |destinations| {
        let names: Vec<_> =
            store::events_of(destinations).iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        names.join(" ")
    };
    assert_eq!(
        [0, 1, 2, 3, 4, 5, 6, 7].map(of),
        [
            "",
            "queue",
            "webhook",
            "queue webhook",
            "generations",
            "queue generations",
            "webhook generations",
            "queue webhook generations"
        ]
    );
}
