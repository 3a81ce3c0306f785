//! What is tried again, and that a lost answer changes nothing: each write stands as if it had been heard the first time.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};
use stale_drafts::rules::{Report, Thresholds, WITHOUT_SCHEMA, no_answer};
use stale_drafts::service::creations;
use stale_drafts::service::monitor::{self, Occasion, Settings};
use stale_drafts::service::retries::{self, Divided, PlannedRetry, RetryRequest};
use stale_drafts::service::shards::Shard;
use stale_drafts::service::sweep::{Notify, Source, SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{
    self, Cost, Database, DatabaseError, Details, Filter, NewCreation, PAUSES_MS, Retry, RetryAudit, Row,
    Statement,
};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, NOW, ONE_DATABASE, add, at, database, now, policy, watching};

/// What D1 says of what may be tried again.
const TRANSIENT: [&str; 5] = [
    "D1_ERROR: Network connection lost.",
    "D1 DB reset because its code was updated.",
    "Internal error in D1 DB storage caused object to be reset.",
    "Cannot resolve D1 DB due to transient issue on remote node.",
    "D1 DB storage operation exceeded timeout which caused object to be reset.",
];

#[test]
fn what_is_transient_is_known_by_the_databases_words() {
    for words in TRANSIENT {
        assert!(DatabaseError::new(words).is_transient(), "{words}");
    }
    for words in
        ["D1_ERROR: no: SQLITE_CONSTRAINT", "string or blob too big: SQLITE_TOOBIG", "no such table", ""]
    {
        assert!(!DatabaseError::new(words).is_transient(), "{words}");
    }
}

#[test]
fn what_a_runtime_says_is_cut_to_its_cause() {
    // As the local one says it of a database that another process has locked.
    let traced = "D1_ERROR: Failed to parse body as JSON, got: Error: internal error; reference = t928fofjemn\n    at D1DatabaseObject.queryExecute (file:///x/miniflare/dist/src/workers/d1/database.worker.js:196:73)\n\u{1b}[2m    at async D1DatabaseObject.fetch\u{1b}[0m";
    for (said, cause) in [
        (traced, "Error: internal error; reference = t928fofjemn"),
        ("D1_ERROR: no such table: t: SQLITE_ERROR", "D1_ERROR: no such table: t: SQLITE_ERROR"),
        // What a trigger of an app says stays as it is: whoever shows it makes its control characters visible.
        ("D1_ERROR: no:\n\u{7}never: SQLITE_CONSTRAINT", "D1_ERROR: no:\n\u{7}never: SQLITE_CONSTRAINT"),
    ] {
        assert_eq!(DatabaseError::of_runtime(said).to_string(), cause);
    }
    assert!(DatabaseError::of_runtime("D1_ERROR: no:\nnever: SQLITE_CONSTRAINT").is_constraint());
    assert_eq!(no_answer("no such table: t"), ("lacks the schema", WITHOUT_SCHEMA));
    assert_eq!(no_answer("it is away"), ("does not answer", "it is away"));
}

/// Calls with this retry, of which the first `failures` fail so; gives the result, and the pauses.
fn call(retry: &Retry, failures: usize, words: &str) -> (Result<usize, DatabaseError>, Vec<u64>) {
    let (calls, pauses) = (Cell::new(0), RefCell::new(Vec::new()));
    let call = async || {
        calls.set(calls.get() + 1);
        if calls.get() > failures { Ok(calls.get()) } else { Err(DatabaseError::new(words)) }
    };
    let result = wait(retry.run(call, async |millis| pauses.borrow_mut().push(millis)));
    (result, pauses.into_inner())
}

#[test]
fn a_call_is_tried_again_after_a_pause_and_no_oftener_than_that() {
    for words in TRANSIENT {
        for failures in 0..=PAUSES_MS.len() {
            let (result, pauses) = call(&Retry::default(), failures, words);
            assert_eq!((result, pauses.as_slice()), (Ok(failures + 1), &PAUSES_MS[..failures]));
        }
        let (result, pauses) = call(&Retry::default(), 9, words);
        assert_eq!((result, pauses.as_slice()), (Err(DatabaseError::new(words)), &PAUSES_MS[..]));
    }
    let (result, pauses) = call(&Retry::default(), 1, "SQLITE_CONSTRAINT");
    assert_eq!((result, pauses), (Err(DatabaseError::new("SQLITE_CONSTRAINT")), vec![]));
}

#[test]
fn a_database_that_stays_away_is_waited_for_once_in_an_invocation() {
    let retry = Retry::default();
    assert_eq!(call(&retry, 9, TRANSIENT[0]).1, PAUSES_MS);
    assert_eq!(call(&retry, 9, TRANSIENT[0]).1, [0; 0]);
    // One that goes through ends that.
    assert_eq!(call(&retry, 0, TRANSIENT[0]).0, Ok(1));
    assert_eq!(call(&retry, 1, TRANSIENT[0]).0, Ok(2));
}

/// How the first try of a call is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    Before,
    After,
}

/// A database that loses the first try of one call, and is asked again.
struct Lossy<'a> {
    database: &'a Sqlite,
    retry: Retry,
    loses: Option<(usize, Lost)>,
    calls: Cell<usize>,
    /// What somebody else does between the first call and the second.
    meanwhile: &'a str,
}

impl<'a> Lossy<'a> {
    fn new(database: &'a Sqlite, loses: Option<(usize, Lost)>) -> Self {
        Lossy { database, retry: Retry::default(), loses, calls: Cell::new(0), meanwhile: "" }
    }
}

impl Database for Lossy<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let number = self.calls.replace(self.calls.get() + 1);
        if number == 1 {
            self.database.write(self.meanwhile);
        }
        let lost = Cell::new(self.loses.filter(|(call, _)| *call == number).map(|(_, lost)| lost));
        let call = async || {
            let lost = lost.take();
            if lost == Some(Lost::Before) {
                return Err(DatabaseError::new(TRANSIENT[0]));
            }
            let result = self.database.transaction(batch);
            if lost == Some(Lost::After) { Err(DatabaseError::new(TRANSIENT[0])) } else { result }
        };
        self.retry.run(call, async |_| {}).await
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

/// Everything that stands.
fn stands(database: &Sqlite) -> Vec<Value> {
    let tables = database.read(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'stale_drafts_%' ORDER BY name",
    );
    let rows = |name: &Value| {
        // What tells one database from another is random.
        let columns = database.read(&format!(
            "SELECT name FROM pragma_table_info('{}') WHERE name <> 'identity'",
            name[0].as_str().unwrap()
        ));
        let columns: Vec<_> = columns.iter().map(|column| column[0].as_str().unwrap()).collect();
        json!([
            name,
            database.read(&format!(
                "SELECT {0} FROM {1} ORDER BY {0}",
                columns.join(", "),
                name[0].as_str().unwrap()
            ))
        ])
    };
    tables.iter().map(rows).collect()
}

/// Does the same over a database as `stage` leaves it: with nothing lost, and with each call lost before it and after it. Everything
/// stands as if nothing had been lost, and the answer is the same.
fn loses_nothing(stage: impl Fn(&Sqlite), meanwhile: &str, does: impl Fn(&Lossy<'_>) -> Value) {
    let run = |loses| {
        let database = database();
        stage(&database);
        let lossy = Lossy { meanwhile, ..Lossy::new(&database, loses) };
        let answer = does(&lossy);
        (answer, stands(&database), lossy.calls.get())
    };
    let calm = run(None);
    assert!(calm.2 > 0);
    for number in 0..calm.2 {
        for lost in [Lost::Before, Lost::After] {
            let (answer, stands, _) = run(Some((number, lost)));
            let label = format!("call {number} is lost {lost:?}");
            assert_eq!(answer, calm.0, "{label}");
            assert_eq!(stands, calm.1, "{label}");
        }
    }
}

/// Three are failed, two are put back, and one is rejected.
fn stage_sweep(database: &Sqlite) {
    for (id, kind) in
        [("a", "image"), ("b", "image"), ("bad", "image"), ("moves", "image"), ("v", "video"), ("w", "video")]
    {
        add(database, id, json!({ "kind": kind, "created_at": NOW - 2 * HOUR }));
    }
}

fn refuse(database: &Sqlite) {
    database.write(
        "CREATE TRIGGER refuse AFTER UPDATE ON stale_drafts_creations WHEN NEW.id = 'bad' AND NEW.status = 'failed'
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
}

fn sweep(database: &Lossy<'_>, source: Source) -> Value {
    let policy = policy(&[(&["kinds", "video", "attempts"], 2.0)]);
    let request = SweepRequest {
        sweep_id: "01890a5d-ac96-774b-bcce-b302099a8057",
        source,
        actor: None,
        user_id: None,
        filter: Filter::default(),
        planned: None,
        plan_id: None,
        now: now(),
        policy: &policy,
        dry_run: false,
        notify: Notify { app: 1, retry: 4 },
        breaker: None,
        limit: 1_000,
        max_queries: 980,
    };
    let done = wait(mark_stale_creations_as_failed(database, request)).unwrap();
    let ids = |list: &[_]| {
        list.iter()
            .map(|swept: &stale_drafts::service::sweep::SweptCreation| swept.id.clone())
            .collect::<Vec<_>>()
    };
    json!([
        ids(&done.failed),
        ids(&done.retried),
        done.raced,
        done.refunded_tokens,
        done.rejected.len(),
        done.more
    ])
}

#[test]
fn a_sweep_whose_answers_are_lost_counts_and_rolls_up_once_and_calls_nothing_raced() {
    let moved = "UPDATE stale_drafts_creations SET status = 'processing', started_at = 1700000000000 WHERE id = 'moves'";
    for source in [Source::Cron, Source::Page] {
        for meanwhile in ["", moved] {
            loses_nothing(stage_sweep, meanwhile, |database| sweep(database, source));
            let halved = |database: &Sqlite| {
                stage_sweep(database);
                refuse(database);
            };
            loses_nothing(halved, meanwhile, |database| sweep(database, source));
        }
    }
    // What that is of: nothing stands for nothing.
    let database = database();
    stage_sweep(&database);
    let lossy = Lossy { meanwhile: moved, ..Lossy::new(&database, Some((1, Lost::After))) };
    assert_eq!(sweep(&lossy, Source::Cron), json!([["a", "b", "bad"], ["v", "w"], 1, 15, 0, false]));
    assert_eq!(
        database.read("SELECT failed, retried, raced, refunded_tokens, error FROM stale_drafts_sweeps"),
        [json!([3, 2, 1, 15, null])]
    );
    assert_eq!(
        database.read("SELECT outcome, creations, tokens FROM stale_drafts_rollups WHERE hour = 0"),
        [json!(["failed", 3, 15]), json!(["retried", 2, 0])]
    );
}

/// Reports, and says what the reporter hears.
fn report(database: &Lossy<'_>, random: &str, report: Report<'_>) -> Value {
    let details = Details {
        random,
        progress: Some(40),
        error: "it broke",
        user_id: "anna",
        keep: true,
        notify: 3,
        max_active: None,
        act: None,
    };
    match wait(creations::report(database, "c", report, details, now())) {
        Ok(row) => json!([row.creation.status, row.fence, row.result_url, row.error_code]),
        Err(error) => json!(format!("{error:?}")),
    }
}

#[test]
fn a_report_whose_answer_is_lost_is_answered_as_if_it_had_been_heard() {
    let new = NewCreation { id: "c", user_id: "anna", kind: "image", prompt: "a fox", tokens: 7 };
    let life = |last: for<'a> fn(&'a str) -> Report<'a>| {
        move |database: &Lossy<'_>| {
            let made = wait(creations::create(database, new, at(NOW - 1))).unwrap();
            let begun = report(database, "abc", Report::Start { worker: "w" });
            let fence = begun[1].as_str().unwrap().to_owned();
            assert_eq!(fence, "1.abc", "the fence of the start that was committed");
            let alive = report(database, "", Report::Heartbeat { fence: &fence });
            let ended = report(database, "", last(&fence));
            json!([made.creation.status, begun, alive, ended])
        }
    };
    loses_nothing(
        |_| {},
        "",
        life(|fence| Report::Complete { fence, result_url: "https://r/1", tokens_used: None }),
    );
    loses_nothing(
        |_| {},
        "",
        life(|fence| Report::Fail { fence: Some(fence), error_code: "broken", tokens_used: None }),
    );

    let draft = |database: &Sqlite| add(database, "c", json!({ "status": "draft", "finished_at": NOW }));
    loses_nothing(draft, "", |database| report(database, "", Report::Publish));
    loses_nothing(draft, "", |database| report(database, "", Report::Delete));
    let late = |database: &Sqlite| {
        add(database, "c", json!({}));
        database.write(
            "UPDATE stale_drafts_creations SET status = 'processing', fence = '1.abc', worker = 'w', started_at = 1700000000000;
             UPDATE stale_drafts_creations SET status = 'failed', error_code = 'cancelled', finished_at = 1700000000000;",
        );
    };
    loses_nothing(late, "", |database| {
        let kept = report(
            database,
            "",
            Report::Complete { fence: "1.abc", result_url: "https://r/1", tokens_used: None },
        );
        json!([kept, report(database, "", Report::Restore)])
    });
}

#[test]
fn what_operators_do_is_done_and_noted_once() {
    loses_nothing(
        |_| {},
        "",
        |database| {
            let batch = [
                store::hold("paused", Some("ops"), "why", now()),
                store::audit("1", "ops", "paused", "why", now()),
            ];
            wait(database.run(&batch)).unwrap();
            wait(database.run(&[store::release("paused")])).unwrap();
            Value::Null
        },
    );
    let dead = |database: &Sqlite| {
        database.write(
            "INSERT INTO stale_drafts_events (id, state, due_at, destinations, created_at, body, deliveries, last_error)
             VALUES ('a', 'dead', 1, 1, 1, '{}', 12, '503'), ('b', 'dead', 2, 1, 1, '{}', 12, '503'), ('c', 'due', 2, 1, 1, '{}', 1, '503')",
        );
    };
    loses_nothing(dead, "", |database| {
        let ids = wait(database.run(&[store::replay(Some(&["a"]), now())])).unwrap();
        json!([ids, wait(database.run(&[store::replay(None, at(NOW + 1))])).unwrap()])
    });
}

#[test]
fn an_alert_fires_once_and_is_told_once() {
    let stale = |database: &Sqlite| add(database, "c", json!({ "created_at": NOW - 2 * HOUR }));
    let (policy, thresholds) = (policy(&[]), Thresholds::default());
    let settings = Settings {
        max_ms_since_sweep: HOUR,
        destinations: 1,
        ..watching(&policy, &thresholds, &ONE_DATABASE)
    };
    loses_nothing(stale, "", |database| {
        let fired =
            wait(monitor::run(&Shard::one(database), &settings, now(), Occasion::Cron { swept: true }))
                .unwrap();
        database
            .database
            .write("UPDATE stale_drafts_creations SET status = 'failed', error_code = 'cancelled'");
        let later = at(NOW + 60_000);
        let resolved =
            wait(monitor::run(&Shard::one(database), &settings, later, Occasion::Cron { swept: true }))
                .unwrap();
        json!([format!("{fired:?}"), format!("{resolved:?}")])
    });
}

#[test]
fn a_plan_of_retries_whose_answer_is_lost_charges_once_and_says_what_was_retried() {
    let stage = |database: &Sqlite| {
        for (id, user_id, tokens) in [("a", "anna", 5), ("b", "anna", 5), ("dear", "ben", 1_000)] {
            add(
                database,
                id,
                json!({
                    "user_id": user_id, "tokens": tokens, "status": "failed", "error": "no", "error_code": "x", "finished_at": NOW,
                }),
            );
        }
        add(database, "spent", json!({ "user_id": "ben", "tokens": 999 }));
    };
    let plan = ["a", "dear", "b"].map(|id| PlannedRetry { id: id.to_owned(), attempt: 1, user_id: None });
    loses_nothing(stage, "", |database| {
        let request = RetryRequest {
            audit: RetryAudit { id: "01890a5d-ac96-774b-bcce-b302099a8057", actor: "ops", reason: "" },
            notify: 4,
            max_queries: 980,
            now: now(),
        };
        let divided = Divided::new(&plan, 1, |_| Some(0)).unwrap();
        let done = wait(retries::apply(&Shard::one(database), &divided, request));
        let retried: Vec<_> = done.retried.iter().map(|retried| retried.id.clone()).collect();
        let left: Vec<_> =
            done.skipped.iter().map(|skipped| (skipped.id.clone(), skipped.reason.code())).collect();
        assert_eq!((retried.len(), left.len()), (2, 1), "{retried:?} {left:?}");
        json!([retried, left])
    });
}
