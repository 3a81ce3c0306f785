//! What is used up and what goes back, charge by charge: partial results, retries by hand and cancellations.

use serde_json::{Value, json};
use stale_drafts::rules::{CANCELLED, CANCELLED_TEXT, FAILED_BY_OPERATOR, Policy, Refusal, Report, Setting};
use stale_drafts::service::creations::{self, ReportError};
use stale_drafts::service::sweep::{Notify, Source, SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{self, Acting, CreationRow, Dashboard, Details, NewCreation};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, NOW, add, at, database, now};

const INVARIANTS: &str = include_str!("../invariants.sql");

fn hold(database: &Sqlite) {
    for query in INVARIANTS.split("-- name: ").skip(1) {
        assert_eq!(database.read(query.split_once('\n').unwrap().1), [] as [Value; 0], "{query}");
    }
}

/// Reports of `c` at `now`, whoever asks.
fn report(database: &Sqlite, report: Report<'_>) -> Result<CreationRow, ReportError> {
    let details = Details { random: "abc", error: "it broke", keep: true, notify: 3, ..Details::default() };
    let result = wait(creations::report(database, "c", report, details, now()));
    hold(database);
    result
}

fn refused(database: &Sqlite, what: Report<'_>) -> Refusal {
    match report(database, what).unwrap_err() {
        ReportError::Refused { refusal, .. } => refusal,
        other => panic!("{other:?}"),
    }
}

/// One of `anna`'s at the price of 10 that `w` has begun, with the fence `1.abc`.
fn begun() -> Sqlite {
    let database = database();
    let new = NewCreation { id: "c", user_id: "anna", kind: "video", prompt: "a fox", tokens: 10 };
    wait(creations::create(&database, new, at(NOW - 1))).unwrap();
    report(&database, Report::Start { worker: "w" }).unwrap();
    database
}

fn failed() -> Sqlite {
    let database = begun();
    report(&database, fail("1.abc", None)).unwrap();
    database
}

fn complete(fence: &str, tokens_used: Option<u64>) -> Report<'_> {
    Report::Complete { fence, result_url: "https://r/1", tokens_used }
}

fn fail(fence: &str, tokens_used: Option<u64>) -> Report<'_> {
    Report::Fail { fence: Some(fence), error_code: "broken", tokens_used }
}

fn balance(database: &Sqlite) -> u64 {
    database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'")[0][0].as_u64().unwrap()
}

/// What the ledger has of `c`, as its page shows it.
fn ledger(database: &Sqlite) -> Vec<(String, i64)> {
    let ledger = store::explain("c").swap_remove(1);
    let rows = database.one(ledger);
    let entry =
        |row: store::Row| (row["entry_key"].as_str().unwrap().to_owned(), row["tokens"].as_i64().unwrap());
    rows.into_iter().map(entry).collect()
}

fn entries(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(key, tokens)| ((*key).to_owned(), *tokens)).collect()
}

fn sweep(database: &Sqlite, policy: &Policy, millis: u64) {
    let sweep_id = format!("01890a5d-ac96-774b-bcce-{millis:012x}");
    let request = SweepRequest {
        sweep_id: &sweep_id,
        source: Source::Cron,
        actor: None,
        user_id: None,
        filter: store::Filter::default(),
        planned: None,
        plan_id: None,
        now: at(millis),
        policy,
        dry_run: false,
        notify: Notify::default(),
        breaker: None,
        limit: 100,
        max_queries: 1_000,
    };
    wait(mark_stale_creations_as_failed(database, request)).unwrap();
    hold(database);
}

#[test]
fn a_result_that_used_less_gives_the_rest_back_once() {
    for (tokens_used, back, kept) in
        [(Some(7), 3_u64, 993), (Some(0), 10, 1_000), (Some(10), 0, 990), (None, 0, 990)]
    {
        let database = begun();
        for _ in 0..2 {
            let row = report(&database, complete("1.abc", tokens_used)).unwrap();
            assert_eq!(row.creation.status, "draft");
            assert_eq!((row.used(), row.refunded()), (tokens_used.unwrap_or(10), back));
            assert_eq!(balance(&database), kept);
        }
        let refund = (back > 0).then_some(("refund:c", back as i64));
        let expected: Vec<_> = [("charge:c", -10)].into_iter().chain(refund).collect();
        assert_eq!(ledger(&database), entries(&expected));
        // What its list shows.
        let page = database.one(store::page("anna", &store::Page::first(), 9));
        let row = store::page_rows(&page).unwrap().remove(0);
        assert_eq!(row.refunded_tokens, (back > 0).then_some(back));
        // Another number is another report, and changes nothing.
        let other = refused(&database, complete("1.abc", Some(5)));
        assert_eq!(other.code(), "illegal_transition");
        assert_eq!(balance(&database), kept);
    }
}

#[test]
fn more_than_was_charged_is_refused_and_changes_nothing() {
    let database = begun();
    let more = Refusal::MoreThanCharged { tokens_used: 11, tokens: 10 };
    assert_eq!(refused(&database, complete("1.abc", Some(11))), more);
    assert_eq!(refused(&database, fail("1.abc", Some(11))), more);
    assert_eq!(
        database.read("SELECT status, tokens_used FROM stale_drafts_creations"),
        [json!(["processing", null])]
    );
    report(&database, complete("1.abc", Some(1))).unwrap();
    assert_eq!(balance(&database), 999);
}

#[test]
fn a_failure_that_used_something_gives_the_rest_back_once() {
    let database = begun();
    for _ in 0..2 {
        let row = report(&database, fail("1.abc", Some(4))).unwrap();
        assert_eq!((row.used(), row.refunded()), (4, 6));
    }
    assert_eq!(ledger(&database), entries(&[("charge:c", -10), ("refund:c", 6)]));
    let event = database.read("SELECT body ->> '$.data.refunded_tokens' FROM stale_drafts_events");
    assert_eq!(event, [json!([6])]);
    // Of what failed and used all, nothing goes back.
    let database = begun();
    report(&database, fail("1.abc", Some(10))).unwrap();
    assert_eq!(ledger(&database), entries(&[("charge:c", -10)]));
}

#[test]
fn a_restore_takes_what_went_back_and_no_more() {
    for (tokens_used, back) in [(None, 10), (Some(4), 6), (Some(10), 0)] {
        let database = begun();
        report(&database, fail("1.abc", tokens_used)).unwrap();
        assert_eq!(refused(&database, complete("1.abc", Some(1))), Refusal::Over);
        for _ in 0..2 {
            let row = report(&database, Report::Restore).unwrap();
            assert_eq!(row.charged_again.unwrap_or(0), back);
            assert_eq!(row.refunded(), 0);
        }
        assert_eq!(balance(&database), 990);
        assert_eq!(
            database.read("SELECT status, tokens_used FROM stale_drafts_creations"),
            [json!(["draft", null])]
        );
        let recorded = database.read("SELECT outcome, tokens_used FROM stale_drafts_attempts");
        assert_eq!(recorded, [json!(["restored", tokens_used])]);
    }
}

#[test]
fn nobody_says_afterwards_or_before_what_was_used() {
    let database = begun();
    assert!(!database.takes("UPDATE stale_drafts_creations SET tokens_used = 1"));
    report(&database, complete("1.abc", Some(7))).unwrap();
    for change in ["tokens_used = 6", "tokens_used = NULL", "status = 'published', tokens_used = 6"] {
        assert!(!database.takes(&format!("UPDATE stale_drafts_creations SET {change}")), "{change}");
    }
    report(&database, Report::Delete).unwrap_err();
    // A refund of another amount, of another charge, or a second one.
    for (key, tokens) in
        [("refund:c", 3), ("refund2:c", 3), ("refund02:c", 3), ("refund1:c", 3), ("refund2:c", 10)]
    {
        assert!(
            !database.takes(&format!(
                "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
             VALUES ('{key}', 'anna', 'refund', 'c', {tokens}, 0)"
            )),
            "{key}"
        );
    }
    // Nor can more be said than was charged, or of what is charged elsewhere.
    let used = |columns: Value| {
        let database = crate::database();
        let row = columns.as_object().unwrap();
        let names: Vec<_> = row.keys().cloned().collect();
        let values: Vec<_> = row.values().map(Value::to_string).collect();
        database.takes(&format!(
            "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, tokens, status, {}) VALUES ('d', 'anna', 'image', '', 5, 'draft', {})",
            names.join(", "), values.join(", ")
        ))
    };
    assert!(used(json!({ "tokens_used": 5 })) && used(json!({ "tokens_used": 0 })));
    assert!(!used(json!({ "tokens_used": 6 })) && !used(json!({ "tokens_used": -1 })));
    assert!(!used(json!({ "tokens_used": 4, "settled_elsewhere": 1 })));
    assert!(!used(json!({ "tokens_used": 4, "restored_at": 1 })));
    assert!(!used(json!({ "charge": 2, "attempt": 2 })));
}

#[test]
fn what_comes_in_as_over_is_refunded_what_it_did_not_use() {
    let database = database();
    add(&database, "c", json!({ "status": "draft", "tokens_used": 2 }));
    assert_eq!(ledger(&database), entries(&[("charge:c", -5), ("refund:c", 3)]));
    hold(&database);
    let database = crate::database();
    add(&database, "c", json!({ "status": "failed", "tokens_used": 2 }));
    assert_eq!(ledger(&database), entries(&[("charge:c", -5), ("refund:c", 3)]));
    hold(&database);
}

#[test]
fn a_retry_is_another_attempt_and_another_charge() {
    let database = begun();
    report(&database, fail("1.abc", Some(4))).unwrap();
    let row = report(&database, Report::Retry { attempt: 1 }).unwrap();
    assert_eq!((row.creation.status.as_str(), row.creation.attempt), ("pending", 2));
    assert_eq!((row.worker, row.fence, row.error_code, row.finished_at), (None, None, None, None));
    assert_eq!((row.retried.as_slice(), balance(&database)), ([1].as_slice(), 986));
    let expected = entries(&[("charge:c", -10), ("charge2:c", -10), ("refund:c", 6)]);
    assert_eq!(ledger(&database), expected);
    assert_eq!(
        database.read("SELECT charge, tokens_used, queued_at, started_at, error FROM stale_drafts_creations"),
        [json!([2, null, NOW, null, null])]
    );
    assert_eq!(
        database.read("SELECT attempt, outcome, worker, fence, finished_at, error, error_code, tokens_used FROM stale_drafts_attempts"),
        [json!([1, "failed", "w", "1.abc", NOW, "it broke", "broken", 4])]
    );
    // The app and the workers hear of it.
    assert_eq!(
        database.read(
            "SELECT id, destinations, body ->> '$.data.attempt', body ->> '$.data.charged_tokens', body ->> '$.data.refunded_tokens'
             FROM stale_drafts_events ORDER BY id DESC LIMIT 1"
        ),
        [json!(["retried:c:1", 3, 2, 10, 0])]
    );
    // Repeating it is the same one, whatever has become of it since.
    let again = report(&database, Report::Retry { attempt: 1 }).unwrap();
    assert_eq!((again.creation.attempt, balance(&database)), (2, 986));
    report(&database, Report::Start { worker: "w2" }).unwrap();
    report(&database, fail("2.abc", None)).unwrap();
    assert_eq!(balance(&database), 996);
    report(&database, Report::Retry { attempt: 1 }).unwrap();
    assert_eq!((balance(&database), ledger(&database).len()), (996, 4));
    report(&database, Report::Retry { attempt: 2 }).unwrap();
    report(&database, Report::Start { worker: "w3" }).unwrap();
    let row = report(&database, complete("3.abc", Some(1))).unwrap();
    assert_eq!((row.refunded(), balance(&database)), (9, 995));
    let keys: Vec<_> = ledger(&database).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["charge:c", "charge2:c", "charge3:c", "refund2:c", "refund3:c", "refund:c"]);
    assert_eq!(refused(&database, Report::Retry { attempt: 3 }).code(), "illegal_transition");
    // The list shows the present charge's refund.
    let page = database.one(store::page("anna", &store::Page::first(), 9));
    assert_eq!(store::page_rows(&page).unwrap().remove(0).refunded_tokens, Some(9));
    // The monitor's check adds all of them up.
    let differs = store::observed(database.all(&store::observe(now()))).unwrap().evidence.differs;
    assert_eq!(differs, [""; 0]);
}

#[test]
fn a_retry_that_the_balance_does_not_cover_changes_nothing() {
    let database = failed();
    let spend = NewCreation { id: "other", user_id: "anna", kind: "video", prompt: "", tokens: 991 };
    wait(creations::create(&database, spend, now())).unwrap();
    match report(&database, Report::Retry { attempt: 1 }) {
        Err(ReportError::InsufficientTokens { balance: 9, tokens: 10 }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_attempts"), [json!([0])]);
    assert_eq!(
        database.read("SELECT status, charge FROM stale_drafts_creations WHERE id = 'c'"),
        [json!(["failed", 1])]
    );
}

#[test]
fn what_can_t_be_retried_is_refused_in_words() {
    let retry = Report::Retry { attempt: 1 };
    assert_eq!(refused(&begun(), retry), Refusal::Active);
    let database = begun();
    report(&database, complete("1.abc", None)).unwrap();
    assert_eq!(refused(&database, retry).code(), "illegal_transition");
    let other = Refusal::OtherAttempt { attempt: 2, present: 1 };
    assert_eq!(refused(&failed(), Report::Retry { attempt: 2 }), other);
    let database = failed();
    let anna = Details { user_id: "anna", ..Details::default() };
    wait(creations::report(&database, "c", Report::Delete, anna, now())).unwrap();
    assert_eq!(refused(&database, retry), Refusal::Deleted);
    for (elsewhere, refusal) in
        [("settled_elsewhere", Refusal::SettledElsewhere), ("balance_elsewhere", Refusal::BalanceElsewhere)]
    {
        let database = crate::database();
        let begins = if elsewhere == "settled_elsewhere" { "failed" } else { "pending" };
        add(&database, "c", json!({ "status": begins, elsewhere: 1 }));
        database.write("UPDATE stale_drafts_creations SET status = 'failed', error_code = 'app_failed'");
        assert_eq!(refused(&database, retry), refusal);
    }
    // Somebody else's is not there.
    let ben = Details { user_id: "ben", ..Details::default() };
    let database = failed();
    for report in [retry, Report::Cancel { attempt: None, policy: &Policy::default() }] {
        let answer = wait(creations::report(&database, "c", report, ben, now()));
        assert!(matches!(answer, Err(ReportError::NotFound)), "{answer:?}");
    }
    let anna = wait(creations::report(&database, "c", retry, anna, now())).unwrap();
    assert_eq!(anna.creation.attempt, 2);
}

#[test]
fn nobody_retries_by_hand_past_the_triggers() {
    let database = failed();
    for change in [
        "status = 'pending'",
        "status = 'pending', attempt = 2",
        "charge = 2",
        "charge = 2, attempt = 2, fence = NULL",
        "status = 'pending', attempt = 2, fence = NULL, charge = 3",
        "status = 'pending', attempt = 3, fence = NULL, charge = 2",
        "status = 'processing', attempt = 2, charge = 2",
    ] {
        assert!(!database.takes(&format!("UPDATE stale_drafts_creations SET {change}")), "{change}");
    }
    // By hand it is charged all the same.
    database
        .write("UPDATE stale_drafts_creations SET status = 'pending', attempt = 2, fence = NULL, charge = 2");
    assert_eq!(balance(&database), 990);
}

#[test]
fn a_worker_of_the_attempt_before_changes_nothing_of_the_new_one() {
    let database = failed();
    report(&database, Report::Retry { attempt: 1 }).unwrap();
    assert_eq!(refused(&database, fail("1.abc", None)), Refusal::Over);
    assert_eq!(refused(&database, Report::Heartbeat { fence: "1.abc" }), Refusal::Over);
    // Its result is kept.
    assert_eq!(refused(&database, complete("1.abc", Some(3))), Refusal::Over);
    assert_eq!(database.read("SELECT late_at FROM stale_drafts_creations"), [json!([NOW])]);
    // If the new attempt fails, it can be restored, and takes what that gave back.
    report(&database, Report::Start { worker: "w2" }).unwrap();
    report(&database, fail("2.abc", Some(2))).unwrap();
    let row = report(&database, Report::Restore).unwrap();
    assert_eq!((row.charged_again, balance(&database)), (Some(8), 990));
    let restored = ledger(&database).into_iter().find(|(_, tokens)| *tokens == -8).unwrap();
    assert_eq!(restored.0, "restore2:c");
}

#[test]
fn a_swept_creation_can_be_retried_and_swept_again() {
    let database = begun();
    let hour = Policy::default();
    sweep(&database, &hour, NOW + HOUR + 1);
    assert_eq!(balance(&database), 1_000);
    report(&database, Report::Retry { attempt: 1 }).unwrap();
    // It has its whole limit again.
    sweep(&database, &hour, NOW + HOUR);
    assert_eq!(database.read("SELECT status FROM stale_drafts_creations"), [json!(["pending"])]);
    sweep(&database, &hour, NOW + HOUR + 2);
    assert_eq!(database.read("SELECT status FROM stale_drafts_creations"), [json!(["failed"])]);
    let keys: Vec<_> = ledger(&database).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["charge:c", "charge2:c", "refund:c", "refund2:c"]);
    assert_eq!(balance(&database), 1_000);
    // Both sweeps are told of, and the roll-ups count both.
    let sweeps = store::explain("c").swap_remove(2);
    assert_eq!(database.one(sweeps).len(), 2);
    let rolled = database
        .read("SELECT creations, tokens FROM stale_drafts_rollups WHERE hour = 0 ORDER BY stuck_status");
    assert_eq!(rolled, [json!([1, 10]), json!([1, 10])]);
}

fn says(word: &str) -> Policy {
    Policy::from_settings([(["kinds", "video", "cancel"], Setting::Text(word))]).unwrap()
}

#[test]
fn what_is_cancelled_goes_back_by_the_policy() {
    for (word, begun_one) in [("refund", Some(1_000)), ("keep", Some(990)), ("never", None)] {
        let policy = says(word);
        let cancel = Report::Cancel { attempt: None, policy: &policy };
        // What waits is refunded whole.
        let database = database();
        let new = NewCreation { id: "c", user_id: "anna", kind: "video", prompt: "a fox", tokens: 10 };
        wait(creations::create(&database, new, now())).unwrap();
        for _ in 0..2 {
            let row = report(&database, cancel).unwrap();
            assert_eq!((row.error_code.as_deref(), row.refunded()), (Some(CANCELLED), 10));
        }
        assert_eq!(balance(&database), 1_000);
        assert_eq!(
            database.read(
                "SELECT id, body ->> '$.data.error_code', body ->> '$.data.error' FROM stale_drafts_events"
            ),
            [json!(["failed:c:1", CANCELLED, CANCELLED_TEXT])]
        );
        let database = begun();
        let Some(left) = begun_one else {
            assert_eq!(refused(&database, cancel), Refusal::NotCancellable);
            // Another kind has the policy's own word.
            database.write("UPDATE stale_drafts_creations SET kind = 'image'");
            report(&database, cancel).unwrap();
            continue;
        };
        for _ in 0..2 {
            let row = report(&database, cancel).unwrap();
            assert_eq!(row.refunded(), left - 990);
        }
        assert_eq!(balance(&database), left);
        // Its worker is told to stop, and what it delivers is a late result.
        assert_eq!(refused(&database, Report::Heartbeat { fence: "1.abc" }), Refusal::Cancelled);
        assert_eq!(refused(&database, complete("1.abc", None)), Refusal::Cancelled);
        let row = report(&database, Report::Restore).unwrap();
        assert_eq!((row.charged_again.unwrap_or(0), balance(&database)), (left - 990, 990));
    }
}

#[test]
fn what_an_operator_fails_goes_back_whole_whatever_a_cancellation_would_keep() {
    let database = begun();
    let other = Refusal::OtherAttempt { attempt: 2, present: 1 };
    assert_eq!(refused(&database, Report::FailNow { attempt: 2 }), other);
    for _ in 0..2 {
        let row = report(&database, Report::FailNow { attempt: 1 }).unwrap();
        assert_eq!((row.error_code.as_deref(), row.refunded()), (Some(FAILED_BY_OPERATOR), 10));
    }
    assert_eq!(balance(&database), 1_000);
    let event = "SELECT id, body ->> '$.data.error_code', body ->> '$.data.error' FROM stale_drafts_events";
    assert_eq!(database.read(event), [json!(["failed:c:1", FAILED_BY_OPERATOR, "it broke"])]);
    assert_eq!(refused(&database, Report::Heartbeat { fence: "1.abc" }), Refusal::Over);
    assert_eq!(refused(&database, complete("1.abc", None)), Refusal::Over);
    assert_eq!(report(&database, Report::Restore).unwrap().charged_again, Some(10));
    // What an app keeps itself is the app's.
    let database = crate::database();
    add(&database, "c", json!({ "balance_elsewhere": 1 }));
    assert_eq!(refused(&database, Report::FailNow { attempt: 1 }), Refusal::BalanceElsewhere);
}

#[test]
fn who_acts_is_kept_once_and_only_if_it_was_done() {
    let database = begun();
    let policy = Policy::default();
    let act = |number: u32, what: Report<'_>| {
        let audit_id = number.to_string();
        let act = Some(Acting { audit_id: &audit_id, actor: "ops" });
        let details = Details { random: "abc", error: "it broke", keep: true, act, ..Details::default() };
        drop(wait(creations::report(&database, "c", what, details, now())));
    };
    // What is refused, what is repeated, and what a worker reports, leave nothing.
    let done = [
        Report::Restore,
        Report::Retry { attempt: 1 },
        Report::Heartbeat { fence: "1.abc" },
        Report::FailNow { attempt: 1 },
        Report::FailNow { attempt: 1 },
        Report::Retry { attempt: 1 },
        Report::Retry { attempt: 1 },
        Report::Cancel { attempt: None, policy: &policy },
        Report::Cancel { attempt: None, policy: &policy },
        complete("1.abc", None),
        Report::Restore,
        Report::Restore,
    ];
    for (number, what) in (10..).zip(done) {
        act(number, what);
    }
    let kept = database.read("SELECT id, actor, action, detail, subject FROM stale_drafts_audit ORDER BY id");
    let row = |id: &str, action: &str, detail: &str| json!([id, "ops", action, detail, "creation:c"]);
    let expected = [
        row("13", "fail", "it broke"),
        row("15", "retry", "attempt 1"),
        row("17", "cancel", ""),
        row("20", "restore", ""),
    ];
    assert_eq!(kept, expected);
}

#[test]
fn a_cancellation_of_another_attempt_or_of_an_app_s_own_row_is_refused() {
    let policy = Policy::default();
    let cancel = |attempt| Report::Cancel { attempt, policy: &policy };
    let database = failed();
    assert_eq!(refused(&database, cancel(None)).code(), "illegal_transition");
    report(&database, Report::Retry { attempt: 1 }).unwrap();
    assert_eq!(refused(&database, cancel(Some(1))), Refusal::OtherAttempt { attempt: 1, present: 2 });
    let row = report(&database, cancel(Some(2))).unwrap();
    assert_eq!((row.creation.status.as_str(), balance(&database)), ("failed", 1_000));
    // Whoever has changed their mind retries it.
    report(&database, Report::Retry { attempt: 2 }).unwrap();

    let database = crate::database();
    add(&database, "c", json!({ "balance_elsewhere": 1 }));
    assert_eq!(refused(&database, cancel(None)), Refusal::BalanceElsewhere);
}

/// Each statement repeats what it was decided on: between two of them anything may have happened.
#[test]
fn what_moved_on_meanwhile_is_left_alone() {
    let policy = Policy::default();
    let acts = |fence| {
        [
            Report::Retry { attempt: 1 },
            Report::Cancel { attempt: None, policy: &policy },
            Report::FailNow { attempt: 1 },
            Report::Restore,
            Report::Delete,
            fail(fence, Some(4)),
            complete(fence, Some(4)),
        ]
    };
    for first in acts("1.abc") {
        for second in acts("1.abc") {
            for begin in [begun, failed] {
                let database = begin();
                database.write("UPDATE stale_drafts_creations SET late_at = 1, late_result_url = 'https://r/2' WHERE status = 'failed'");
                let details = Details {
                    random: "abc",
                    error: "it broke",
                    user_id: "anna",
                    keep: true,
                    notify: 3,
                    ..Details::default()
                };
                let mut before: Option<(Report<'_>, bool, u64)> = None;
                // Each of them twice: the second time is answered as the first, and nothing more is charged or goes back.
                for act in [first, first, second, second] {
                    let result = wait(creations::report(&database, "c", act, details, now()));
                    hold(&database);
                    let stands = (act, result.is_ok(), balance(&database));
                    if before.is_some_and(|(same, ..)| same == act) {
                        assert_eq!(before, Some(stands), "{first:?}, {second:?}");
                    }
                    before = Some(stands);
                    sweep(&database, &policy, NOW);
                }
            }
        }
    }
}

#[test]
fn a_retry_by_hand_has_not_gone_stale() {
    let database = failed();
    report(&database, Report::Retry { attempt: 1 }).unwrap();
    let rates =
        Dashboard::read(database.all(&store::dashboard(&Policy::default(), now(), now()))).unwrap().rates;
    assert_eq!((rates.newest, rates.retried, rates.stale), (1, 0, 0));
}
