//! What a sweep reads and writes.

use serde_json::{Value, json};
use stale_drafts::rules::{Active, CircuitBreaker, Policy, Suspension, Time, Timestamp};
use stale_drafts::store::{
    self, Cost, Count, DatabaseError, Filter, Page, PlanRow, Row, SetAside, SweepRow, SweepStart,
    SweepTotals, Window,
};

use crate::sqlite::{CLOCK, Sqlite};
use crate::{HOUR, LONG_AGO, MINUTE, NOW, add, at, database, now, policy, row};

const ALL: Window = Window { limit: 100, unreadable: 100 };
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn stale(database: &Sqlite, policy: &Policy, filter: Filter<'_>, window: Window) -> Row {
    let mut rows = database.one(store::stale(policy, filter, now(), window, CircuitBreaker::default()));
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn ids(row: &Row, column: &str) -> Vec<String> {
    let rows = store::candidates(std::slice::from_ref(row), column).unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

fn found(database: &Sqlite, policy: &Policy, filter: Filter<'_>) -> Vec<String> {
    ids(&stale(database, policy, filter, ALL), "candidates")
}

#[test]
fn what_is_stale_is_found_by_the_limit_of_its_phase_and_kind() {
    let database = database();
    let processing =
        |kind, ago: u64| json!({ "kind": kind, "status": "processing", "created_at": NOW - ago });
    add(&database, "image at its limit", json!({ "created_at": NOW - HOUR }));
    add(&database, "image beyond", json!({ "created_at": NOW - HOUR - 1 }));
    add(&database, "video waits", json!({ "kind": "video", "created_at": NOW - HOUR - 1 }));
    add(&database, "video at its limit", processing("video", 6 * HOUR));
    add(&database, "video beyond", processing("video", 6 * HOUR + 1));
    // At the epoch, and never stale.
    add(&database, "film", json!({ "kind": "film", "created_at": LONG_AGO }));
    add(&database, "settled", json!({ "status": "draft", "created_at": LONG_AGO }));
    let beating = |ago: u64| json!({ "status": "processing", "created_at": LONG_AGO, "started_at": LONG_AGO, "heartbeat_at": NOW - ago });
    add(&database, "heartbeat at its limit", beating(2 * MINUTE));
    add(&database, "heartbeat beyond", beating(2 * MINUTE + 1));
    let policy = policy(&[
        (&["kinds", "video", "processing"], 6.0),
        (&["kinds", "film", "max_age_hours"], -1.0),
        (&["heartbeat_minutes"], 2.0),
    ]);
    let of = |kind, status| found(&database, &policy, Filter { kind, status });
    let all = ["heartbeat beyond", "image beyond", "video waits", "video beyond"];
    assert_eq!(of(None, None), all);
    assert_eq!(of(Some("video"), None), ["video waits", "video beyond"]);
    assert_eq!(of(Some("image"), None), ["heartbeat beyond", "image beyond"]);
    assert_eq!(of(Some("film"), None), [""; 0]);
    assert_eq!(of(None, Some(Active::Pending)), ["image beyond", "video waits"]);
    assert_eq!(of(None, Some(Active::Processing)), ["heartbeat beyond", "video beyond"]);
    assert_eq!(of(Some("video"), Some(Active::Processing)), ["video beyond"]);
}

#[test]
fn what_a_filter_leaves_out_is_not_found_however_old_it_is() {
    let database = database();
    add(&database, "image", json!({ "created_at": LONG_AGO }));
    add(&database, "video", json!({ "kind": "video", "created_at": LONG_AGO }));
    let only = Filter { kind: Some("video"), status: None };
    assert_eq!(found(&database, &Policy::default(), only), ["video"]);
    let only = Filter { kind: None, status: Some(Active::Processing) };
    assert_eq!(found(&database, &Policy::default(), only), [""; 0]);
}

#[test]
fn a_filter_matches_kind_and_status() {
    let matches = |kind, status| Filter { kind, status }.matches(Active::Pending, "image");
    assert!(matches(None, None));
    assert!(matches(Some("image"), None));
    assert!(matches(None, Some(Active::Pending)));
    assert!(matches(Some("image"), Some(Active::Pending)));
    assert!(!matches(Some("video"), None));
    assert!(!matches(None, Some(Active::Processing)));
    assert!(!matches(Some("video"), Some(Active::Pending)));
    assert!(!matches(Some("image"), Some(Active::Processing)));
}

#[test]
fn what_takes_too_long_in_all_is_found_too() {
    let database = database();
    let since = |kind, ago: u64| json!({ "kind": kind, "status": "processing", "created_at": LONG_AGO, "started_at": NOW - ago, "heartbeat_at": NOW });
    add(&database, "at its limit", since("image", 6 * HOUR));
    add(&database, "beyond", since("image", 6 * HOUR + 1));
    add(&database, "a film takes its time", since("film", NOW));
    add(&database, "by silence", json!({ "created_at": NOW - HOUR - 1 }));
    // Stale by both: listed once.
    add(&database, "by both", json!({ "status": "processing", "created_at": NOW - 9 * HOUR }));
    let policy = policy(&[(&["total_hours"], 6.0), (&["kinds", "film", "total_hours"], -1.0)]);
    let of = |kind, status| found(&database, &policy, Filter { kind, status });
    assert_eq!(of(None, None), ["by silence", "by both", "beyond"]);
    assert_eq!(of(Some("film"), None), [""; 0]);
    assert_eq!(of(None, Some(Active::Pending)), ["by silence"]);
    assert_eq!(found(&database, &Policy::default(), Filter::default()), ["by silence", "by both"]);
}

#[test]
fn overdue_is_what_is_stale_for_longer_than_so_long_by_silence_or_by_the_total_time() {
    let policy = policy(&[(&["total_hours"], 6.0)]);
    let overdue = |fields: Value| {
        let database = database();
        add(&database, "c", fields);
        ids(&database.one(store::overdue(&policy, now(), MINUTE)).remove(0), "candidates")
    };
    let silent = |since: u64| overdue(json!({ "created_at": since }));
    assert_eq!(silent(NOW - HOUR - MINUTE), [""; 0]);
    assert_eq!(silent(NOW - HOUR - MINUTE - 1), ["c"]);
    // Its worker lives.
    let lives = |since: u64| {
        let processing = json!({
            "status": "processing", "created_at": LONG_AGO, "started_at": since, "heartbeat_at": NOW - 1,
        });
        overdue(processing)
    };
    assert_eq!(lives(NOW - 6 * HOUR - MINUTE), [""; 0]);
    assert_eq!(lives(NOW - 6 * HOUR - MINUTE - 1), ["c"]);
}

#[test]
fn a_window_bounds_what_is_found() {
    let database = database();
    for at in 1..=4_u64 {
        add(&database, &format!("s{at}"), json!({ "created_at": NOW - 3 * HOUR + at }));
        add(&database, &format!("u{at}"), json!({ "created_at": null }));
        add(&database, &format!("f{at}"), json!({ "created_at": NOW + MINUTE + at }));
    }
    let of = |window| {
        let row = stale(&database, &Policy::default(), Filter::default(), window);
        [ids(&row, "candidates"), ids(&row, "unreadable")].map(|ids| ids.join(" "))
    };
    assert_eq!(of(ALL), ["s1 s2 s3 s4", "u1 u2 u3 u4 f1 f2 f3 f4"]);
    assert_eq!(of(Window { limit: 2, unreadable: 3 }), ["s1 s2", "u1 u2 u3 f1 f2 f3"]);
    assert_eq!(of(Window { limit: 0, unreadable: 0 }), ["", ""]);
    // A time that is now, or up to a minute later, is not in the future.
    add(&database, "now", json!({ "created_at": NOW }));
    add(&database, "a minute ahead", json!({ "created_at": NOW + MINUTE }));
    assert_eq!(of(ALL)[1], "u1 u2 u3 u4 f1 f2 f3 f4");
}

#[test]
fn active_creations_are_counted_where_the_circuit_breaker_wants_to_know() {
    let database = database();
    for at in 0..3 {
        add(&database, &format!("s{at}"), json!({ "created_at": LONG_AGO }));
        add(&database, &format!("f{at}"), json!({}));
    }
    let active = |at_least, percent| {
        let breaker = CircuitBreaker { creations: 0, percent, at_least };
        let rows = database.one(store::stale(&Policy::default(), Filter::default(), now(), ALL, breaker));
        rows[0]["active"].clone()
    };
    assert_eq!(active(4, 50), Value::Null);
    assert_eq!(active(3, 50), 6);
    // No more than it takes to see that three are at most 80 percent: 3 × 100 / 80, rounded down, and one more.
    assert_eq!(active(3, 80), 4);
    assert_eq!(active(3, 0), 6);
}

#[test]
fn a_user_has_active_creations_of_which_some_are_stale_or_unreadable() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW }));
    add(&database, "never", json!({ "kind": "film", "created_at": LONG_AGO }));
    add(&database, "younger", json!({ "created_at": NOW - 2 * HOUR }));
    add(&database, "older", json!({ "created_at": NOW - 3 * HOUR }));
    add(&database, "unreadable", json!({ "created_at": "soon" }));
    add(&database, "ahead", json!({ "created_at": NOW + MINUTE + 1 }));
    let slow = json!({ "status": "processing", "created_at": LONG_AGO, "started_at": NOW - 7 * HOUR, "heartbeat_at": NOW });
    add(&database, "slow", slow);
    add(&database, "settled", json!({ "status": "draft" }));
    add(&database, "another's", json!({ "user_id": "ben", "created_at": LONG_AGO }));
    let active = |user, limit| ids(&database.one(store::active_of_user(user, limit))[0], "candidates");
    assert_eq!(active("anna", 99), ["a", "never", "younger", "older", "unreadable", "ahead", "slow"]);
    assert_eq!(active("anna", 2), ["a", "never"]);
    let policy = policy(&[(&["total_hours"], 6.0), (&["kinds", "film", "max_age_hours"], -1.0)]);
    let stale = |user, filter, window| {
        let row = database
            .one(store::stale_of_user(user, &policy, filter, now(), window, CircuitBreaker::default()))
            .remove(0);
        [ids(&row, "candidates"), ids(&row, "unreadable")].map(|ids| ids.join(" "))
    };
    let all = Filter::default();
    assert_eq!(stale("anna", all, ALL), ["older younger slow", "unreadable ahead"]);
    // The oldest first, and what is exempt takes nobody's place.
    assert_eq!(stale("anna", all, Window { limit: 1, unreadable: 1 }), ["older", "unreadable"]);
    assert_eq!(stale("ben", all, ALL), ["another's", ""]);
    let processing = Filter { kind: None, status: Some(Active::Processing) };
    assert_eq!(stale("anna", processing, ALL)[0], "slow");
}

#[test]
fn what_was_set_aside_comes_again_when_it_is_due_and_after_the_others() {
    let database = database();
    for (id, at) in [("a", 1), ("b", 2), ("c", 3)] {
        add(&database, id, json!({ "created_at": NOW - 2 * HOUR + at }));
    }
    add(&database, "settled", json!({ "status": "draft" }));
    let aside = |id, attempt, until| {
        database.one(store::set_aside(
            &[SetAside { id, attempt, until, reason: "no", together: false }],
            now(),
            1,
        ));
    };
    let policy = Policy::default();
    let found = || {
        let of_anna = database.one(store::stale_of_user(
            "anna",
            &policy,
            Filter::default(),
            now(),
            ALL,
            CircuitBreaker::default(),
        ));
        let all = found(&database, &policy, Filter::default());
        assert_eq!(ids(&of_anna[0], "candidates"), all);
        all
    };
    let overdue = || ids(&database.one(store::overdue(&policy, now(), 0)).remove(0), "candidates");
    // Neither another attempt nor one that is over.
    aside("a", 2, NOW + 1);
    aside("settled", 1, NOW + 1);
    assert_eq!(found(), ["a", "b", "c"]);
    aside("a", 1, NOW + 1);
    assert_eq!(found(), ["b", "c"]);
    assert_eq!(overdue(), ["b"]);
    aside("a", 1, NOW);
    assert_eq!(found(), ["b", "c", "a"]);
    let rejected = || database.read("SELECT creation_id, until, reason FROM stale_drafts_rejected");
    assert_eq!(rejected(), [json!(["a", NOW, "no"])]);
    // It may show a sign of life meanwhile, and it is not set aside any more once it moves on.
    database.write(&format!("UPDATE stale_drafts_creations SET heartbeat_at = {NOW} WHERE id = 'a'"));
    assert_eq!(found(), ["b", "c"]);
    database.write("UPDATE stale_drafts_creations SET status = 'processing' WHERE id = 'a'");
    assert_eq!(rejected(), [json!(null); 0]);
    // What is set aside is no fault of the sweeps, until they should have tried it again.
    for id in ["b", "c"] {
        aside(id, 1, NOW + 1);
    }
    assert_eq!((found(), overdue()), (vec![], vec![]));
    aside("b", 1, NOW);
    assert_eq!(overdue(), ["b"]);
}

#[test]
fn a_candidate_is_read_as_it_stands() {
    let database = database();
    let (created, queued, started, beat) = (NOW - 4, NOW - 3, NOW - 2, NOW - 1);
    add(
        &database,
        "c",
        json!({
            "kind": "video", "status": "processing", "attempt": 3, "tokens": 7, "created_at": created,
            "queued_at": queued, "started_at": started, "heartbeat_at": beat, "progress": 40, "extended_until": NOW + 9,
        }),
    );
    add(
        &database,
        "garbage",
        json!({ "created_at": "soon", "started_at": 1.5, "heartbeat_at": null, "queued_at": -1, "extended_until": "later" }),
    );
    let rows = store::candidates(&database.one(store::by_id(&["c", "garbage"])), "candidates").unwrap();
    let [whole, garbage] = rows.as_slice() else { panic!("two were asked for") };
    assert_eq!((whole.id.as_str(), whole.user_id.as_str(), whole.kind.as_str()), ("c", "anna", "video"));
    assert_eq!((whole.status.as_str(), whole.attempt, whole.tokens), ("processing", 3, 7));
    let time = |millis| Time::At(at(millis));
    let times = [whole.created_at, whole.queued_at, whole.started_at, whole.heartbeat_at];
    assert_eq!(times, [created, queued, started, beat].map(time));
    assert_eq!((whole.progress, garbage.progress), (Some(40), None));
    assert_eq!((whole.extended_until, garbage.extended_until), (time(NOW + 9), Time::Malformed));
    assert_eq!(whole.draft().extended_until, time(NOW + 9));
    let times = [garbage.created_at, garbage.queued_at, garbage.started_at, garbage.heartbeat_at];
    assert_eq!(times, [Time::Malformed, Time::Malformed, Time::Malformed, Time::Missing]);
    let candidate = whole.candidate();
    let draft = candidate.draft;
    assert_eq!((candidate.id, draft.kind, draft.attempt), ("c", "video", 3));
    assert_eq!(draft.status.unwrap().as_str(), "processing");
    let times = [draft.created_at, draft.queued_at, draft.started_at, draft.heartbeat_at];
    assert_eq!(times, [created, queued, started, beat].map(time));
}

#[test]
fn what_is_not_of_the_shape_is_an_error() {
    let read = |cell: Value| {
        let rows = [row(json!({ "candidates": cell }))];
        store::candidates(&rows, "candidates").map(|rows| rows.len()).map_err(|error| error.to_string())
    };
    assert_eq!(read(json!("[]")), Ok(0));
    let whole = r#"["c","anna","image","pending",1,5,0,null,"malformed",null,40.5,null]"#;
    assert_eq!(read(json!(format!("[{whole}]"))), Ok(1));
    for cell in
        [json!(null), json!("{"), json!("{}"), json!("[1]"), json!("[[]]"), json!(format!("[{whole},[]]"))]
    {
        let error = read(cell.clone()).unwrap_err();
        assert!(
            error.starts_with("unexpected result of the database: ") && error.contains("`candidates`"),
            "{error}"
        );
    }
    let error = store::page_rows(&[row(json!({}))]).unwrap_err().to_string();
    assert_eq!(error, "unexpected result of the database: no text in `page`");
}

#[test]
fn done_ids_are_none_a_list_or_an_error() {
    let read = |rows: &[Row]| store::done_ids(rows).map_err(|error| error.to_string());
    let with = |cell: Value| read(&[row(json!({ "done_ids": cell }))]);
    assert_eq!(with(json!(null)), Ok(None));
    assert_eq!(with(json!("[]")), Ok(Some(vec![])));
    assert_eq!(with(json!(r#"["a","b"]"#)), Ok(Some(vec![String::from("a"), String::from("b")])));
    assert!(with(json!("[1]")).is_err());
    assert_eq!(read(&[]), Err(String::from("unexpected result of the database: no text in `done_ids`")));
}

#[test]
fn a_column_that_is_renamed_is_an_error_that_names_it() {
    let database = database();
    database.one(store::end_sweep(start(ID), TOTALS, None, Cost::default()));
    let rows = || database.one(store::sweeps(None, 9));
    let [sweep] = store::typed_rows::<SweepRow>(rows()).unwrap().try_into().unwrap();
    assert_eq!((sweep.id.as_str(), sweep.source.as_str(), sweep.examined, sweep.more), (ID, "tool", 9, true));
    assert_eq!((sweep.actor.as_deref(), sweep.error), (Some("ops"), None));
    let mut idle = rows();
    idle[0].insert(String::from("more"), json!(0));
    assert!(!store::typed_rows::<SweepRow>(idle).unwrap()[0].more);
    for column in ["error", "rejected", "actor"] {
        let mut rows = rows();
        rows[0].remove(column);
        let error = store::typed_rows::<SweepRow>(rows).unwrap_err().to_string();
        assert!(error.starts_with(&format!("a result of the database: `{column}` is missing")), "{error}");
    }
}

#[test]
fn what_holds_sweeps_back_is_read_where_something_is_stale() {
    let database = database();
    let suspended = || store::suspended(&[stale(&database, &Policy::default(), Filter::default(), ALL)]);
    let of_anna = || {
        let stale = store::stale_of_user(
            "anna",
            &Policy::default(),
            Filter::default(),
            now(),
            ALL,
            CircuitBreaker::default(),
        );
        store::suspended(&database.one(stale))
    };
    database.one(store::hold("circuit_breaker", None, "many at once", at(NOW - 2)));
    assert_eq!((suspended(), of_anna()), (None, None));
    add(&database, "c", json!({ "created_at": LONG_AGO }));
    let breaker = Some(Suspension::BreakerOpen { detail: String::from("many at once") });
    assert_eq!((suspended(), of_anna()), (breaker.clone(), breaker.clone()));
    // A breaker that holds already keeps its beginning, and says what is so now.
    database.one(store::hold("circuit_breaker", None, "more still", now()));
    assert_eq!(suspended(), Some(Suspension::BreakerOpen { detail: String::from("more still") }));
    assert_eq!(database.read("SELECT since FROM stale_drafts_controls"), [json!([NOW - 2])]);
    // A pause comes before a breaker.
    database.one(store::hold("paused", Some("ops"), "", at(NOW - 1)));
    let paused = Some(Suspension::Paused { actor: String::from("ops"), since: at(NOW - 1) });
    assert_eq!((suspended(), of_anna()), (paused.clone(), paused));
    database.one(store::release("paused"));
    assert_eq!(suspended(), Some(Suspension::BreakerOpen { detail: String::from("more still") }));
    database.one(store::release("circuit_breaker"));
    assert_eq!((suspended(), of_anna()), (None, None));
}

#[test]
fn a_pause_holds_whatever_can_not_be_read_of_it() {
    let suspended = |cell: &str| store::suspended(&[row(json!({ "suspended": cell }))]);
    let epoch = at(0);
    for since in ["-1", "1.5", "9.0e+999", "null", "\"yesterday\""] {
        let cell = format!("[\"paused\",{since},\"ops\",\"\"]");
        let is = suspended(&cell);
        assert!(matches!(is, Some(Suspension::Paused { since, .. }) if since == epoch), "{cell}: {is:?}");
    }
    assert_eq!(
        suspended("[\"paused\",\"yesterday\",\"ops\",\"\"]"),
        Some(Suspension::Paused { actor: String::from("ops"), since: epoch })
    );
    assert_eq!(suspended("[\"circuit_breaker\"]"), Some(Suspension::BreakerOpen { detail: String::new() }));
    // Nothing holds where there is no row.
    assert_eq!(store::suspended(&[row(json!({ "suspended": null }))]), None);
    // Nor can one be written.
    let database = database();
    for since in ["'yesterday'", "1.5", "9e999", "x'00'", "NULL"] {
        assert!(
            !database.takes(&format!(
                "INSERT INTO stale_drafts_controls (name, since, detail) VALUES ('paused', {since}, '')"
            )),
            "{since}"
        );
    }
}

fn start(sweep_id: &str) -> SweepStart<'_> {
    SweepStart { sweep_id, source: "tool", actor: Some("ops"), plan_id: Some("p1"), now: now() }
}

/// The row of a plan for a creation that was pending since two hours, at its first attempt.
fn planned(id: &str) -> PlanRow<'_> {
    PlanRow {
        id,
        status: "pending",
        attempt: 1,
        last_sign_of_life: NOW - 2 * HOUR,
        error: format!("{id} was stuck"),
        age_ms: 2 * HOUR,
        max_age_ms: HOUR,
        rule: String::from("max_age_hours"),
        phase: "pending",
        lag: 3,
        processing_since: None,
        extended_until: None,
        kind: "image",
        tokens: 5,
    }
}

/// What the last statement of a transaction notes.
fn count(totals: SweepTotals, last: bool, counted: impl ToString) -> Count {
    Count { totals, before: 0, last, counted: counted.to_string() }
}

const TOTALS: SweepTotals = SweepTotals { examined: 9, rejected: 2, unreadable: 3, more: true };
const SWEEP: &str =
    "SELECT source, actor, plan_id, started_at, finished_at, examined, failed, retried, raced, rejected,
    unreadable, refunded_tokens, more, error, queries, rows_read, rows_written FROM stale_drafts_sweeps";
const ROLLUPS: &str = "SELECT hour, outcome, kind, stuck_status, rule, creations, tokens, lag_2, lag_3 FROM stale_drafts_rollups";

fn done_ids(rows: &[Vec<Row>]) -> Option<Vec<String>> {
    store::done_ids(rows.last().unwrap()).unwrap()
}

#[test]
fn a_plan_is_marked_refunded_told_and_counted_in_one_transaction() {
    let database = database();
    for (id, user) in [("a", "anna"), ("b", "anna"), ("c", "ben")] {
        add(&database, id, json!({ "user_id": user, "created_at": NOW - 2 * HOUR }));
    }
    let plan = ["a", "b", "c"].map(planned);
    let counted = json!([["failed", "image", "pending", "max_age_hours", 3, 15, 0, 0, 0, 3, 0, 0, 3 * HOUR]])
        .to_string();
    let batch = store::mark_failed(start(ID), &plan, count(TOTALS, true, counted), 3);
    assert_eq!(done_ids(&database.all(&batch)), None);
    let failed = |id, user| {
        json!([
            id,
            user,
            "failed",
            NOW,
            format!("{id} was stuck"),
            "generation_timeout",
            "pending",
            2 * HOUR,
            HOUR,
            "max_age_hours",
            ID
        ])
    };
    assert_eq!(
        database.read(
            "SELECT id, user_id, status, finished_at, error, error_code, stuck_status, age_ms, max_age_ms, rule, sweep_id
             FROM stale_drafts_creations"
        ),
        [failed("a", "anna"), failed("b", "anna"), failed("c", "ben")]
    );
    let balances = database.read("SELECT user_id, tokens FROM stale_drafts_balances");
    assert_eq!(balances, [json!(["anna", 1_000]), json!(["ben", 1_000])]);
    let refund = |id| json!([format!("refund:{id}"), 5, NOW, ID]);
    assert_eq!(
        database.read(
            "SELECT entry_key, tokens, created_at, sweep_id FROM stale_drafts_ledger WHERE type = 'refund'"
        ),
        [refund("a"), refund("b"), refund("c")]
    );
    let events =
        database.read("SELECT id, state, due_at, destinations, creation_id FROM stale_drafts_events");
    let event = |id| json!([format!("failed:{id}:1"), "due", NOW, 3, id]);
    assert_eq!(events, [event("a"), event("b"), event("c")]);
    let row = json!(["tool", "ops", "p1", NOW, CLOCK, 9, 3, 0, 0, 2, 3, 15, 1, null, null, null, null]);
    assert_eq!(database.read(SWEEP), [row]);
    let rolled = |hour: u64| json!([hour, "failed", "image", "pending", "max_age_hours", 3, 15, 0, 3]);
    assert_eq!(database.read(ROLLUPS), [rolled(0), rolled(NOW / HOUR * HOUR)]);
    // Once more: nothing is left to be done.
    let again = store::mark_failed(start("another"), &plan, count(TOTALS, true, "[]"), 3);
    assert_eq!(done_ids(&database.all(&again)), Some(vec![]));
    assert_eq!(database.read("SELECT user_id, tokens FROM stale_drafts_balances"), balances);
    let [_, second] = database
        .read("SELECT failed, raced, refunded_tokens FROM stale_drafts_sweeps ORDER BY source, id")
        .try_into()
        .unwrap();
    assert_eq!(second, json!([0, 3, 0]));
}

#[test]
fn what_has_moved_on_is_left_alone_and_not_counted() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW - 2 * HOUR }));
    add(&database, "b", json!({ "created_at": NOW - 2 * HOUR, "tokens": 0 }));
    add(
        &database,
        "moved",
        json!({ "created_at": NOW - 2 * HOUR, "started_at": NOW, "status": "processing" }),
    );
    // It came in anew, with another price.
    add(&database, "repriced", json!({ "created_at": NOW - 2 * HOUR, "tokens": 7 }));
    let plan = [planned("a"), PlanRow { tokens: 0, ..planned("b") }, planned("moved"), planned("repriced")];
    let batch = store::mark_failed(start(ID), &plan, count(TOTALS, false, "[]"), 0);
    assert_eq!(done_ids(&database.all(&batch)), Some(vec![String::from("a"), String::from("b")]));
    let row = json!(["tool", "ops", "p1", NOW, null, 9, 2, 0, 2, 2, 3, 5, 1, null, null, null, null]);
    assert_eq!(database.read(SWEEP), [row]);
    assert_eq!(
        database
            .read("SELECT status FROM stale_drafts_creations WHERE id IN ('moved', 'repriced') ORDER BY id"),
        [json!(["processing"]), json!(["pending"])]
    );
    assert_eq!(
        database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'"),
        [json!([988])]
    );
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_events"), [json!([0])]);
    let rolled = |hour: u64| json!([hour, "failed", "image", "pending", "max_age_hours", 2, 5, 0, 2]);
    assert_eq!(database.read(ROLLUPS), [rolled(0), rolled(NOW / HOUR * HOUR)]);
}

#[test]
fn a_plan_is_put_back_recorded_told_and_counted_in_one_transaction() {
    let database = database();
    let since = NOW - 2 * HOUR;
    let beats = json!({
        "status": "processing", "created_at": LONG_AGO, "started_at": since - 1, "heartbeat_at": since, "attempt": 2,
        "worker": "w", "fence": "2.abc", "progress": 50,
    });
    add(&database, "a", beats);
    add(&database, "moved", json!({ "created_at": since }));
    let row = |id| PlanRow {
        status: "processing",
        attempt: 2,
        phase: "heartbeating",
        processing_since: Some(since - 1),
        ..planned(id)
    };
    let plan = ["a", "moved"].map(row);
    let batch = store::retry(start(ID), &plan, count(TOTALS, true, "[]"), 4);
    assert_eq!(done_ids(&database.all(&batch)), Some(vec![String::from("a")]));
    assert_eq!(
        database.read(
            "SELECT status, attempt, queued_at, started_at, heartbeat_at, worker, fence, progress FROM stale_drafts_creations
             WHERE id = 'a'"
        ),
        [json!(["pending", 3, NOW, null, null, null, null, null])]
    );
    assert_eq!(
        database.read("SELECT * FROM stale_drafts_attempts"),
        [json!([
            "a",
            2,
            "retried",
            "w",
            "2.abc",
            since - 1,
            since,
            NOW,
            "a was stuck",
            "generation_timeout",
            "processing",
            2 * HOUR,
            HOUR,
            "max_age_hours",
            ID,
            null,
        ])]
    );
    let events = database.read("SELECT id, destinations FROM stale_drafts_events");
    assert_eq!(events, [json!(["retried:a:2", 4])]);
    assert_eq!(
        database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'"),
        [json!([990])]
    );
    let row = json!(["tool", "ops", "p1", NOW, CLOCK, 9, 0, 1, 1, 2, 3, 0, 1, null, null, null, null]);
    assert_eq!(database.read(SWEEP), [row]);
    let rolled = |hour: u64| json!([hour, "retried", "image", "processing", "max_age_hours", 1, 0, 0, 1]);
    assert_eq!(database.read(ROLLUPS), [rolled(0), rolled(NOW / HOUR * HOUR)]);
}

#[test]
fn transactions_of_one_sweep_add_up_in_its_row() {
    let database = database();
    for id in ["a", "b", "c"] {
        add(&database, id, json!({ "created_at": NOW - 2 * HOUR }));
    }
    let counted = |outcome, tokens| {
        json!([[outcome, "image", "pending", "max_age_hours", 1, tokens, 0, 0, 0, 1, 0, 0, HOUR]]).to_string()
    };
    let first = SweepTotals { examined: 1, rejected: 0, unreadable: 0, more: true };
    database.all(&store::mark_failed(
        start(ID),
        &[planned("a")],
        count(first, false, counted("failed", 5)),
        0,
    ));
    assert_eq!(database.read("SELECT finished_at, more FROM stale_drafts_sweeps"), [json!([null, 1])]);
    database.all(&store::mark_failed(
        start(ID),
        &[planned("b")],
        Count { before: 1, ..count(first, false, counted("failed", 5)) },
        0,
    ));
    let last = SweepTotals { examined: 3, rejected: 1, unreadable: 2, more: false };
    let third = Count { before: 2, ..count(last, true, counted("retried", 0)) };
    database.all(&store::retry(start(ID), &[planned("c")], third, 0));
    let row = |cost: [Value; 3], error: Value| {
        let [queries, read, written] = cost;
        json!(["tool", "ops", "p1", NOW, CLOCK, 3, 2, 1, 0, 1, 2, 10, 0, error, queries, read, written])
    };
    assert_eq!(database.read(SWEEP), [row([Value::Null, Value::Null, Value::Null], Value::Null)]);
    let overall = database.read(&format!("{ROLLUPS} WHERE hour = 0"));
    let of = |outcome, creations, tokens| {
        json!([0, outcome, "image", "pending", "max_age_hours", creations, tokens, 0, creations])
    };
    assert_eq!(overall, [of("failed", 2, 10), of("retried", 1, 0)]);

    // Its end notes the cost, and an error stays.
    let cost = Cost { queries: 4, rows_read: 50, rows_written: 60 };
    let end = |error| store::end_sweep(start(ID), last, error, cost);
    database.one(end(Some("the connection was lost")));
    let noted = [json!(5), json!(50), json!(61)];
    assert_eq!(database.read(SWEEP), [row(noted.clone(), json!("the connection was lost"))]);
    database.one(end(Some("another")));
    database.one(end(None));
    assert_eq!(database.read(SWEEP), [row(noted, json!("the connection was lost"))]);
}

#[test]
fn the_end_of_a_sweep_makes_its_row_where_there_is_none() {
    let database = database();
    // The clock of the database is never before that of the sweep.
    let late = at(CLOCK + 1);
    let start = SweepStart { sweep_id: ID, source: "cron", actor: None, plan_id: None, now: late };
    database.one(store::end_sweep(start, TOTALS, None, Cost::default()));
    let row = json!(["cron", null, null, CLOCK + 1, CLOCK + 1, 9, 0, 0, 0, 2, 3, 0, 1, null, 1, 0, 1]);
    assert_eq!(database.read(SWEEP), [row]);
}

#[test]
fn the_newest_good_sweep_by_cron_is_what_counts_for_readiness() {
    let database = database();
    let ready = || {
        let row = database.one(store::readiness()).remove(0);
        (row["version"].clone(), row["last_run"].clone())
    };
    assert_eq!(ready(), (json!(store::SCHEMA_VERSION), Value::Null));
    let end = |sweep_id, source, error, now| {
        let start = SweepStart { sweep_id, source, actor: None, plan_id: None, now };
        database.one(store::end_sweep(start, SweepTotals::default(), error, Cost::default()));
    };
    end("1", "cron", None, at(CLOCK + 1));
    end("2", "tool", None, at(CLOCK + 2));
    end("3", "cron", Some("lost"), at(CLOCK + 3));
    assert_eq!(ready().1, json!(CLOCK + 1));
    // One that was held has run as it should. It is told by what a suspension says of itself.
    let paused = Suspension::Paused { actor: String::from("ops"), since: now() };
    let open = Suspension::BreakerOpen { detail: String::from("many") };
    let [paused, open] = [paused.to_string(), open.to_string()];
    for (millis, id, held) in [(4, "4", &paused), (5, "5", &open)] {
        end(id, "cron", Some(held), at(CLOCK + millis));
        assert_eq!(ready().1, json!(CLOCK + millis));
    }
}

#[test]
fn errors_are_told_apart_by_the_databases_words() {
    let database = database();
    database.write("UPDATE stale_drafts_balances SET tokens = 4 WHERE user_id = 'anna'");
    let create = |id, tokens, now| {
        let new = store::NewCreation { id, user_id: "anna", kind: "image", prompt: "a fox", tokens };
        database.transaction(&store::create(new, now)).unwrap_err()
    };
    let error = create("c", 5, now());
    assert!(error.is_insufficient() && error.is_constraint(), "{error}");
    let error = create("", 1, now());
    assert!(!error.is_insufficient() && error.is_constraint(), "{error}");
    let error = DatabaseError::new("D1_ERROR: network connection lost");
    assert!(!error.is_insufficient() && !error.is_constraint() && !error.is_too_big(), "{error}");
    assert!(DatabaseError::new("D1_ERROR: string or blob too big: SQLITE_TOOBIG").is_too_big());
    assert!(DatabaseError::new("D1_ERROR: string or blob too big").is_too_big());
    assert!(DatabaseError::new("D1_ERROR: SQLITE_TOOBIG").is_too_big());
    assert_eq!(DatabaseError::new("lost").shard(), None);
    assert_eq!(DatabaseError::new("lost").of("DB_2").shard(), Some("DB_2"));
    assert_eq!(error.to_string(), "D1_ERROR: network connection lost");
}

#[test]
fn a_place_before_every_creation() {
    let Page { listed_at, id } = Page::first();
    assert!(u64::try_from(listed_at).unwrap() > Timestamp::MAX.as_millis());
    // D1 binds it as a double.
    assert!(listed_at < 1 << 53);
    assert_eq!(id, "");
}
