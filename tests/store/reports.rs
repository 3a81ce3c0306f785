//! What workers, owners and operators report: the statements, and the functions over them.

use std::cell::Cell;

use serde_json::{Value, json};
use stale_drafts::rules::{Refusal, Report, Status};
use stale_drafts::service::creations::{self, ReportError};
use stale_drafts::store::{
    self, Cost, CreationRow, Database, DatabaseError, Details, NewCreation, Row, Statement,
};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, add, at, database, now, row};

const STANDS: &str =
    "SELECT status, attempt, worker, fence, started_at, heartbeat_at, progress, finished_at, error,
    error_code, result_url FROM stale_drafts_creations";

fn new(tokens: u64) -> NewCreation<'static> {
    NewCreation { id: "c", user_id: "anna", kind: "image", prompt: "a fox", tokens }
}

fn details() -> Details<'static> {
    Details {
        random: "abc",
        progress: Some(40),
        error: "it broke",
        user_id: "anna",
        keep: true,
        notify: 3,
        max_active: None,
        act: None,
    }
}

fn creation(database: &Sqlite) -> CreationRow {
    store::creation_of(&database.one(store::creation("c"))).unwrap().unwrap()
}

/// Reports at `now`, and says what stands after it.
fn report(database: &Sqlite, report: Report<'_>) -> CreationRow {
    let results = database.all(&store::report("c", &report, &details(), now()));
    store::creation_of(results.last().unwrap()).unwrap().unwrap()
}

/// A database in which something happens after the first call.
struct Moving<'a> {
    database: &'a Sqlite,
    calls: Cell<u32>,
    meanwhile: &'static str,
}

impl Database for Moving<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        if self.calls.replace(self.calls.get() + 1) == 1 {
            self.database.write(self.meanwhile);
        }
        self.database.transaction(batch)
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

#[test]
fn a_creation_is_made_and_charged_once() {
    let database = database();
    for (prompt, now) in [("a fox", at(NOW)), ("another", at(NOW + 1))] {
        database.all(&store::create(NewCreation { prompt, ..new(7) }, now));
    }
    assert_eq!(
        database.read("SELECT id, user_id, kind, prompt, status, attempt, tokens, created_at FROM stale_drafts_creations"),
        [json!(["c", "anna", "image", "a fox", "pending", 1, 7, NOW])]
    );
    assert_eq!(
        database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'"),
        [json!([993])]
    );
    let row = creation(&database);
    assert_eq!((row.creation.id.as_str(), row.creation.tokens, row.prompt.as_str()), ("c", 7, "a fox"));
    assert_eq!((row.worker, row.fence, row.error_code, row.result_url), (None, None, None, None));
    assert_eq!((row.late_at, row.restored_at, row.deleted_at, row.finished_at), (None, None, None, None));
}

#[test]
fn a_creation_goes_its_way_by_reports() {
    let database = database();
    add(&database, "c", json!({}));
    report(&database, Report::Start { worker: "w" });
    let begun = json!(["processing", 1, "w", "1.abc", NOW, null, null, null, null, null, null]);
    assert_eq!(database.read(STANDS), [begun]);
    report(&database, Report::Heartbeat { fence: "1.abc" });
    let beating = json!(["processing", 1, "w", "1.abc", NOW, NOW, 40, null, null, null, null]);
    assert_eq!(database.read(STANDS), [beating]);
    // A heartbeat that says nothing of progress keeps it.
    let silent = Details { progress: None, ..details() };
    database.all(&store::report("c", &Report::Heartbeat { fence: "1.abc" }, &silent, at(NOW + 1)));
    assert_eq!(
        database.read("SELECT heartbeat_at, progress FROM stale_drafts_creations"),
        [json!([NOW + 1, 40])]
    );
    for stranger in [
        Report::Heartbeat { fence: "1.xyz" },
        Report::Complete { fence: "1.xyz", result_url: "https://r/1", tokens_used: None },
        Report::Fail { fence: Some("1.xyz"), error_code: "broken", tokens_used: None },
        Report::Fail { fence: None, error_code: "broken", tokens_used: None },
        Report::Start { worker: "another" },
        Report::Publish,
        Report::Delete,
        Report::Restore,
    ] {
        report(&database, stranger);
        assert_eq!(
            database.read("SELECT status, worker, heartbeat_at FROM stale_drafts_creations"),
            [json!(["processing", "w", NOW + 1])]
        );
    }
    let row =
        report(&database, Report::Complete { fence: "1.abc", result_url: "https://r/1", tokens_used: None });
    assert_eq!((row.finished_at, row.result_url.as_deref()), (Some(NOW), Some("https://r/1")));
    assert_eq!((row.worker.as_deref(), row.fence.as_deref()), (Some("w"), Some("1.abc")));
    let done = json!(["draft", 1, "w", "1.abc", NOW, NOW + 1, 40, NOW, null, null, "https://r/1"]);
    assert_eq!(database.read(STANDS), [done]);
    let of_ben = Details { user_id: "ben", ..details() };
    for owners in [Report::Publish, Report::Delete] {
        database.all(&store::report("c", &owners, &of_ben, now()));
        assert_eq!(
            database.read("SELECT status, deleted_at FROM stale_drafts_creations"),
            [json!(["draft", null])]
        );
    }
    let row = report(&database, Report::Publish);
    assert_eq!(row.creation.status, "published");
    let row = report(&database, Report::Delete);
    assert_eq!((row.deleted_at, row.prompt.as_str(), row.result_url), (Some(NOW), "", None));
    assert_eq!(row.creation.status, "published");
}

#[test]
fn a_start_that_comes_once_more_leaves_a_trace_if_the_first_run_may_be_at_it_still() {
    const AGAIN: &str =
        "SELECT at, creation_id, attempt, after_ms FROM stale_drafts_repeated_starts ORDER BY at";
    let started = |heartbeat_at: Option<u64>| {
        let database = database();
        let begun = json!({
            "status": "processing", "attempt": 2, "worker": "w", "fence": "2.abc", "started_at": NOW - HOUR,
            "heartbeat_at": heartbeat_at,
        });
        add(&database, "c", begun);
        database
    };
    let start = |database: &Sqlite, millis| {
        let begun = creations::report(database, "c", Report::Start { worker: "w" }, details(), at(millis));
        assert_eq!(wait(begun).unwrap().fence.as_deref(), Some("2.abc"));
        database.read(AGAIN)
    };
    let trace = [json!([NOW, "c", 2, HOUR])];
    // One that sends no heartbeats may be at it; one that sends them is at it if they have come lately.
    assert_eq!(start(&started(None), NOW), trace);
    assert_eq!(start(&started(Some(NOW + MINUTE)), NOW), trace);
    assert_eq!(start(&started(Some(NOW - MINUTE)), NOW), trace);
    assert_eq!(start(&started(Some(NOW - MINUTE - 1)), NOW), [json!(null); 0]);
    // Soon after the start, it is the answer that was lost.
    assert_eq!(start(&started(None), NOW - HOUR + MINUTE), [json!(null); 0]);
    let soonest = NOW - HOUR + MINUTE + 1;
    assert_eq!(start(&started(None), soonest), [json!([soonest, "c", 2, MINUTE + 1])]);

    // It is noted as often as it happens, once at a time, and forgotten after a day.
    let database = started(None);
    start(&database, NOW);
    assert_eq!(start(&database, NOW), trace);
    let day = 24 * HOUR;
    assert_eq!(start(&database, NOW + day), [trace[0].clone(), json!([NOW + day, "c", 2, HOUR + day])]);
    let after = json!([NOW + day + 1, "c", 2, HOUR + day + 1]);
    assert_eq!(start(&database, NOW + day + 1), [json!([NOW + day, "c", 2, HOUR + day]), after]);
}

#[test]
fn a_start_that_comes_once_more_is_answered_with_what_the_creation_is_when_it_is_noted() {
    let begun = json!({ "status": "processing", "worker": "w", "fence": "1.abc", "started_at": NOW - HOUR });
    let retried =
        "UPDATE stale_drafts_creations SET status = 'pending', attempt = 2, worker = NULL, fence = NULL,
                     started_at = NULL, finished_at = NULL, queued_at = 1700000000000 WHERE id = 'c'";
    let failed =
        "UPDATE stale_drafts_creations SET status = 'failed', error_code = 'a', error = 'b' WHERE id = 'c'";
    // Of an attempt that is over it gets the answer of the first start: its first heartbeat is refused.
    for (meanwhile, answer) in [(retried, ("processing", "2.abc")), (failed, ("failed", "1.abc"))] {
        let database = database();
        add(&database, "c", begun.clone());
        let moving = Moving { database: &database, calls: Cell::new(0), meanwhile };
        let row =
            wait(creations::report(&moving, "c", Report::Start { worker: "w" }, details(), now())).unwrap();
        assert_eq!((row.creation.status.as_str(), row.fence.as_deref().unwrap()), answer);
        assert_eq!(database.read("SELECT * FROM stale_drafts_repeated_starts"), [json!(null); 0]);
    }
}

#[test]
fn what_is_no_start_that_comes_once_more_leaves_no_trace() {
    let traces = |database: &Sqlite| database.read("SELECT * FROM stale_drafts_repeated_starts").len();
    let begun = json!({ "status": "processing", "worker": "w", "fence": "1.abc", "started_at": NOW - HOUR });
    let database = database();
    add(&database, "c", begun.clone());
    let send = |report| wait(creations::report(&database, "c", report, details(), now()));
    assert!(send(Report::Start { worker: "another" }).is_err());
    send(Report::Heartbeat { fence: "1.abc" }).unwrap();
    assert_eq!(traces(&database), 0);
    // Nobody is at it any more.
    send(Report::Complete { fence: "1.abc", result_url: "https://r/1", tokens_used: None }).unwrap();
    send(Report::Start { worker: "w" }).unwrap();
    assert_eq!(traces(&database), 0);
    // It has moved on since that was decided.
    add(&database, "d", begun);
    for (id, fence) in [("d", "1.xyz"), ("c", "1.abc"), ("e", "1.abc")] {
        database.all(&store::started_again(id, fence, 1, now()));
    }
    assert_eq!(traces(&database), 0);
    database.all(&store::started_again("d", "1.abc", 1, now()));
    assert_eq!(traces(&database), 1);
}

#[test]
fn a_start_that_comes_once_more_is_not_answered_where_its_trace_is_lost() {
    let stands = |started_at: u64| {
        let creation =
            json!(["c", "anna", "image", "processing", 1, 5, NOW, started_at, null, null, null, null]);
        let cell = json!([
            creation,
            "w",
            "1.abc",
            "a fox",
            null,
            null,
            null,
            null,
            null,
            null,
            null,
            null,
            [],
            null,
            null
        ])
        .to_string();
        Ok(vec![vec![], vec![row(json!({ "creation": cell }))]])
    };
    let lost = || Err(DatabaseError::new("the connection was lost"));
    let start = |database: Scripted| {
        let answer = wait(creations::report(&database, "c", Report::Start { worker: "w" }, details(), now()));
        (answer.is_ok(), database.calls.get())
    };
    // A start that is not repeated costs no further call.
    assert_eq!(start(scripted([stands(NOW), lost()])), (true, 1));
    assert_eq!(start(scripted([stands(NOW - HOUR), lost()])), (false, 2));
}

#[test]
fn a_failure_is_refunded_and_told() {
    for (status, fence) in [("pending", None), ("processing", Some("1.abc"))] {
        let database = database();
        add(&database, "c", json!({ "status": status, "fence": fence }));
        let row = report(&database, Report::Fail { fence, error_code: "broken", tokens_used: None });
        assert_eq!((row.error_code.as_deref(), row.finished_at), (Some("broken"), Some(NOW)));
        let failed = json!(["failed", NOW, "it broke", "broken"]);
        assert_eq!(
            database.read("SELECT status, finished_at, error, error_code FROM stale_drafts_creations"),
            [failed]
        );
        assert_eq!(
            database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'"),
            [json!([1_000])]
        );
        assert_eq!(
            database.read("SELECT id, destinations FROM stale_drafts_events"),
            [json!(["failed:c:1", 3])]
        );
    }
}

#[test]
fn a_result_that_comes_too_late_is_kept_and_can_be_restored() {
    let database = database();
    let failed = json!({
        "status": "failed", "attempt": 2, "worker": "w", "fence": "2.abc", "started_at": NOW - 2, "heartbeat_at": NOW - 1,
        "finished_at": NOW - 1, "error": "it was stuck", "error_code": "generation_timeout", "stuck_status": "processing",
        "age_ms": 2 * HOUR, "max_age_ms": HOUR, "rule": "processing", "sweep_id": "s",
    });
    add(&database, "c", failed);
    let late = |fence, result_url| Report::Complete { fence, result_url, tokens_used: None };
    let forget = Details { keep: false, ..details() };
    database.all(&store::report("c", &late("2.abc", "https://r/0"), &forget, now()));
    assert_eq!(report(&database, late("2.xyz", "https://r/0")).late_at, None);
    // Without one, there is nothing to restore.
    assert_eq!(report(&database, Report::Restore).creation.status, "failed");
    let row = report(&database, late("2.abc", "https://r/1"));
    assert_eq!((row.late_at, row.result_url, row.creation.status.as_str()), (Some(NOW), None, "failed"));
    report(&database, late("2.abc", "https://r/2"));
    let row = report(&database, Report::Restore);
    assert_eq!((row.restored_at, row.result_url.as_deref()), (Some(NOW), Some("https://r/1")));
    let restored = json!(["draft", 2, "w", "2.abc", NOW - 2, NOW - 1, null, NOW, null, null, "https://r/1"]);
    assert_eq!(database.read(STANDS), [restored]);
    let none = json!([null, null, null, null, null]);
    assert_eq!(
        database.read("SELECT stuck_status, age_ms, max_age_ms, rule, sweep_id FROM stale_drafts_creations"),
        [none]
    );
    assert_eq!(
        database.read("SELECT * FROM stale_drafts_attempts"),
        [json!([
            "c",
            2,
            "restored",
            "w",
            "2.abc",
            NOW - 2,
            NOW - 1,
            NOW - 1,
            "it was stuck",
            "generation_timeout",
            "processing",
            2 * HOUR,
            HOUR,
            "processing",
            "s",
            null,
        ])]
    );
    assert_eq!(
        database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'"),
        [json!([995])]
    );
    assert_eq!(
        database.read("SELECT id, destinations, due_at FROM stale_drafts_events"),
        [json!(["restored:c:2", 3, NOW])]
    );
}

#[test]
fn a_late_result_of_an_attempt_before_is_kept_too() {
    let database = database();
    add(&database, "c", json!({ "attempt": 2 }));
    database.write(&format!(
        "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, fence, finished_at) VALUES ('c', 1, 'retried', '1.abc', {NOW})"
    ));
    report(&database, Report::Complete { fence: "2.abc", result_url: "https://r/2", tokens_used: None });
    assert_eq!(database.read("SELECT late_result_url FROM stale_drafts_creations"), [json!([null])]);
    report(&database, Report::Complete { fence: "1.abc", result_url: "https://r/1", tokens_used: None });
    let kept = json!(["pending", "https://r/1", NOW]);
    assert_eq!(database.read("SELECT status, late_result_url, late_at FROM stale_drafts_creations"), [kept]);
}

#[test]
fn a_restored_result_was_not_made_by_an_attempt_that_began_after_it_came_in() {
    // Of the one that failed last if that had begun before, and of no other if it had begun after.
    for (started_at, began) in
        [(NOW - 5, json!([NOW - 5, NOW - 2, "w", NOW])), (NOW + 1, json!([null, null, null, NOW]))]
    {
        let database = database();
        let failed = json!({
            "status": "failed", "tokens": 0, "late_at": NOW, "late_result_url": "https://r/1", "attempt": 2,
            "started_at": started_at, "heartbeat_at": NOW - 2, "worker": "w", "finished_at": NOW + 3, "error": "x", "error_code": "y",
        });
        add(&database, "c", failed);
        let row = report(&database, Report::Restore);
        assert_eq!((row.creation.status.as_str(), row.finished_at), ("draft", Some(NOW)));
        assert_eq!(
            database.read("SELECT started_at, heartbeat_at, worker, finished_at FROM stale_drafts_creations"),
            [began]
        );
        // What it was is kept with the attempt.
        let attempt = "SELECT attempt, outcome, worker, started_at, finished_at FROM stale_drafts_attempts";
        assert_eq!(database.read(attempt), [json!([2, "restored", "w", started_at, NOW + 3])]);
    }
}

#[test]
fn what_stands_is_read_as_the_rules_take_it() {
    let database = database();
    let whole = json!({
        "status": "failed", "attempt": 2, "worker": "w", "fence": "2.abc", "error_code": "broken",
        "result_url": "https://r/1", "late_result_url": "https://r/2", "late_at": 1, "restored_at": 2, "deleted_at": 3,
        "finished_at": 4,
    });
    add(&database, "c", whole);
    let row = creation(&database);
    assert_eq!(
        [row.late_at, row.restored_at, row.deleted_at, row.finished_at],
        [Some(1), Some(2), Some(3), Some(4)]
    );
    let stands = row.snapshot().unwrap();
    assert_eq!((stands.status, stands.attempt), (Status::Failed, 2));
    assert_eq!((stands.worker, stands.fence), (Some("w"), Some("2.abc")));
    assert_eq!((stands.error_code, stands.result_url), (Some("broken"), Some("https://r/1")));
    assert!(stands.late && stands.restored && stands.deleted);

    database.write(
        "UPDATE stale_drafts_creations SET late_at = NULL, late_result_url = NULL, restored_at = NULL, deleted_at = NULL",
    );
    let row = creation(&database);
    let stands = row.snapshot().unwrap();
    assert!(!stands.late && !stands.restored && !stands.deleted);
    assert!(
        CreationRow {
            creation: store::CandidateRow { status: String::from("lost"), ..row.creation.clone() },
            ..row
        }
        .snapshot()
        .is_none()
    );
}

#[test]
fn a_creation_is_nothing_or_an_error_where_it_is_not_of_the_shape() {
    let database = database();
    assert!(store::creation_of(&database.one(store::creation("c"))).unwrap().is_none());
    let read = |cell: Value| store::creation_of(&[row(json!({ "creation": cell }))]);
    assert!(store::creation_of(&[]).unwrap().is_none());
    for cell in [json!(null), json!("{"), json!("[]"), json!("[[]]")] {
        let error = read(cell).unwrap_err().to_string();
        assert!(
            error.starts_with("unexpected result of the database: ") && error.contains("`creation`"),
            "{error}"
        );
    }
}

/// What a report that is not carried out is answered with.
fn refused(database: &impl Database, of: Report<'_>, details: Details<'_>) -> ReportError {
    wait(creations::report(database, "c", of, details, now())).unwrap_err()
}

#[test]
fn creating_is_answered_alike_when_it_is_repeated() {
    let database = database();
    let create = |new| wait(creations::create(&database, new, now()));
    for _ in 0..2 {
        assert_eq!(create(new(5)).unwrap().creation.id, "c");
    }
    for other in [
        NewCreation { user_id: "ben", ..new(5) },
        NewCreation { kind: "video", ..new(5) },
        NewCreation { prompt: "a cat", ..new(5) },
        new(6),
    ] {
        let error = create(other).unwrap_err();
        assert!(matches!(error, ReportError::Different), "{error:?}");
    }
    // What its owner has deleted has no prompt any more.
    database.write("UPDATE stale_drafts_creations SET status = 'failed', prompt = '', deleted_at = 1");
    assert_eq!(create(new(5)).unwrap().deleted_at, Some(1));
    let error = create(NewCreation { id: "d", ..new(1_001) }).unwrap_err();
    assert!(matches!(error, ReportError::InsufficientTokens { balance: 1_000, tokens: 1_001 }), "{error:?}");
    let error = create(NewCreation { id: "d", user_id: "cleo", ..new(1) }).unwrap_err();
    assert!(matches!(error, ReportError::InsufficientTokens { balance: 0, tokens: 1 }), "{error:?}");
    let error = create(NewCreation { id: "", ..new(1) }).unwrap_err();
    assert!(matches!(&error, ReportError::Rejected(error) if error.is_constraint()), "{error:?}");
}

#[test]
fn a_report_is_answered_by_what_stands() {
    let database = database();
    let of = |report| refused(&database, report, details());
    let start = Report::Start { worker: "w" };
    assert!(matches!(of(start), ReportError::NotFound));
    add(&database, "c", json!({}));
    for report in [start, start, Report::Heartbeat { fence: "1.abc" }, Report::Heartbeat { fence: "1.abc" }] {
        assert_eq!(
            wait(creations::report(&database, "c", report, details(), now())).unwrap().fence.unwrap(),
            "1.abc"
        );
    }
    match of(Report::Start { worker: "another" }) {
        ReportError::Refused { refusal, row } => {
            assert_eq!(refusal, Refusal::Taken);
            assert_eq!(row.worker.as_deref(), Some("w"));
        }
        other => panic!("{other:?}"),
    }
    // What is somebody else's is not there, for what owners report.
    let of_ben = Details { user_id: "ben", ..details() };
    for report in [Report::Publish, Report::Delete] {
        let error = refused(&database, report, of_ben);
        assert!(matches!(error, ReportError::NotFound), "{error:?}");
        let error = of(report);
        assert!(matches!(error, ReportError::Refused { .. }), "{error:?}");
    }
    let beat = Report::Heartbeat { fence: "1.abc" };
    assert!(wait(creations::report(&database, "c", beat, of_ben, now())).is_ok());
}

#[test]
fn a_restore_that_the_balance_does_not_cover() {
    let database = database();
    let failed = json!({ "status": "failed", "tokens": 5, "late_at": NOW, "late_result_url": "https://r/1" });
    add(&database, "c", failed);
    database.write("UPDATE stale_drafts_balances SET tokens = 4 WHERE user_id = 'anna'");
    let error = refused(&database, Report::Restore, details());
    assert!(matches!(error, ReportError::InsufficientTokens { balance: 4, tokens: 5 }), "{error:?}");
    assert_eq!(database.read("SELECT status FROM stale_drafts_creations"), [json!(["failed"])]);
    let error = wait(creations::report(&database, "d", Report::Restore, details(), now())).unwrap_err();
    assert!(matches!(error, ReportError::NotFound), "{error:?}");
}

/// Answers each call with what is said beforehand.
struct Scripted {
    answers: Vec<Result<Vec<Vec<Row>>, DatabaseError>>,
    calls: Cell<usize>,
}

impl Database for Scripted {
    async fn run(&self, _: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let at = self.calls.replace(self.calls.get() + 1);
        self.answers[at].clone()
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

fn scripted<const N: usize>(answers: [Result<Vec<Vec<Row>>, DatabaseError>; N]) -> Scripted {
    Scripted { answers: answers.into(), calls: Cell::new(0) }
}

#[test]
fn an_answer_that_can_not_be_is_an_error_and_no_success() {
    let stands = |status: &str| {
        let creation = json!(["c", "anna", "image", status, 1, 5, NOW, null, null, null, null, null]);
        let cell = json!([
            creation,
            null,
            null,
            "a fox",
            null,
            null,
            null,
            null,
            null,
            null,
            null,
            null,
            [],
            null,
            null
        ])
        .to_string();
        Ok(vec![vec![], vec![row(json!({ "creation": cell }))]])
    };
    let text = |error| match error {
        ReportError::Database(error) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let start = Report::Start { worker: "w" };
    let not_done = refused(&scripted([stands("pending")]), start, details());
    assert_eq!(text(not_done), "the report was not carried out");
    let unknown = refused(&scripted([stands("lost")]), start, details());
    assert_eq!(text(unknown), "the creation's status is unknown");
    let lost = || Err(DatabaseError::new("the connection was lost"));
    assert_eq!(text(refused(&scripted([lost()]), start, details())), "the connection was lost");
    // Where the balance can't be asked for, that is the error.
    let insufficient = || Err(DatabaseError::new("insufficient tokens"));
    assert_eq!(
        text(refused(&scripted([insufficient(), lost()]), start, details())),
        "the connection was lost"
    );
    let database = scripted([insufficient(), lost()]);
    assert_eq!(
        text(wait(creations::create(&database, new(5), now())).unwrap_err()),
        "the connection was lost"
    );
}

#[test]
fn what_the_app_itself_rejects_is_refused_for_good_with_its_reason() {
    let database = database();
    add(&database, "c", json!({}));
    for what in ["UPDATE", "INSERT"] {
        database.write(&format!(
            "CREATE TRIGGER refuse_{what} AFTER {what} ON stale_drafts_creations BEGIN SELECT RAISE(ABORT, 'closed on Sundays'); END"
        ));
    }
    database.write("CREATE TRIGGER refuse_grant AFTER INSERT ON stale_drafts_ledger BEGIN SELECT RAISE(ABORT, 'closed on Sundays'); END");
    let rejected = |error: ReportError| match error {
        ReportError::Rejected(error) => assert!(error.to_string().contains("closed on Sundays"), "{error}"),
        other => panic!("{other:?}"),
    };
    rejected(refused(&database, Report::Start { worker: "w" }, details()));
    rejected(refused(
        &database,
        Report::Fail { fence: None, error_code: "broken", tokens_used: None },
        details(),
    ));
    rejected(wait(creations::create(&database, NewCreation { id: "d", ..new(7) }, now())).unwrap_err());
    let grant = store::Grant { key: "order-17", user_id: "anna", tokens: 1 };
    rejected(wait(creations::grant(&database, grant, now())).unwrap_err());
    assert_eq!(database.read("SELECT status FROM stale_drafts_creations"), [json!(["pending"])]);
}
