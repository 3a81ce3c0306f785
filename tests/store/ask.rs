//! What a provider says before a sweep: what takes effect, and that nothing else does.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};
use stale_drafts::rules::{Active, CircuitBreaker, Policy};
use stale_drafts::service::ask::{Asked, Provider, ask};
use stale_drafts::service::shards::Shard;
use stale_drafts::service::sweep::SweepRequest;
use stale_drafts::store::{Cost, Database, DatabaseError, Filter, Row, Statement};

use crate::sqlite::{Sqlite, wait};
use crate::sweeping::{request, sweep};
use crate::{HOUR, NOW, add, database, policy};

/// A provider with an answer, which notes the questions. Something may happen while it thinks.
struct Fake<'a> {
    answer: Result<String, String>,
    meanwhile: Box<dyn Fn() + 'a>,
    questions: RefCell<Vec<Value>>,
}

impl<'a> Fake<'a> {
    fn new(answer: Value) -> Self {
        Fake { answer: Ok(answer.to_string()), meanwhile: Box::new(|| {}), questions: RefCell::default() }
    }

    fn asked(&self) -> usize {
        self.questions.borrow().len()
    }
}

impl Provider for Fake<'_> {
    async fn ask(&self, id: &str, question: &str) -> Result<String, String> {
        let question: Value = serde_json::from_str(question).unwrap();
        assert_eq!(question["id"], id);
        self.questions.borrow_mut().push(question);
        (self.meanwhile)();
        self.answer.clone()
    }
}

fn put(database: &Sqlite, fake: &Fake<'_>, request: SweepRequest<'_>, most: u32) -> Asked {
    wait(ask(&Shard::one(database), fake, request, most))
}

/// A creation that a worker has begun two hours ago, and that has been silent since.
fn stale(database: &Sqlite, id: &str) {
    let columns = json!({ "status": "processing", "created_at": NOW - 3 * HOUR, "started_at": NOW - 2 * HOUR, "fence": "1.f", "worker": "w" });
    add(database, id, columns);
}

fn of(id: &str, state: &str) -> Value {
    json!({ "creation_id": id, "attempt": 1, "state": state, "result_url": "https://r.example/1" })
}

fn answer(entries: &[Value]) -> Fake<'static> {
    Fake::new(json!({ "creations": entries }))
}

fn states(database: &Sqlite) -> Vec<Value> {
    database.read("SELECT id, status, result_url, heartbeat_at FROM stale_drafts_creations ORDER BY id")
}

/// All that a write could change.
fn everything(database: &Sqlite) -> Vec<Value> {
    let tables = ["creations", "ledger", "balances", "sweeps", "events", "attempts", "durations"];
    let read = |table| database.read(&format!("SELECT * FROM stale_drafts_{table}"));
    tables.into_iter().flat_map(read).collect()
}

#[test]
fn what_is_done_is_completed_what_runs_is_alive_and_the_sweep_decides_on_the_rest() {
    let database = database();
    ["done", "running", "unknown", "silent"].into_iter().for_each(|id| stale(&database, id));
    add(&database, "pending", json!({ "created_at": NOW - 3 * HOUR }));
    let fake = answer(&[of("done", "done"), of("running", "running"), of("unknown", "unknown")]);
    let policy = Policy::default();
    let asked = put(&database, &fake, request(&policy), 100);
    assert_eq!(asked, Asked { creations: 4, done: 1, running: 1, error: None });
    let question = fake.questions.borrow()[0].clone();
    assert_eq!((&question["type"], &question["created_at"]), (&json!("creations.ask"), &json!(NOW)));
    let expected = json!({
        "creation_id": "done", "user_id": "anna", "kind": "image", "attempt": 1,
        "started_at": NOW - 2 * HOUR, "last_sign_of_life": NOW - 2 * HOUR,
    });
    assert_eq!(question["data"]["creations"][0], expected);
    sweep(&database, request(&policy));
    let rows = [
        json!(["done", "draft", "https://r.example/1", null]),
        json!(["pending", "failed", null, null]),
        json!(["running", "processing", null, NOW]),
        json!(["silent", "failed", null, null]),
        json!(["unknown", "failed", null, null]),
    ];
    assert_eq!(states(&database), rows);
    // What is done was paid for, and what failed is refunded: once each.
    assert_eq!(
        database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'"),
        [json!([990])]
    );
    let ended = database.read("SELECT outcome, creations, total_ms FROM stale_drafts_durations");
    assert_eq!(ended, [json!(["completed", 1, 2 * HOUR])]);
}

#[test]
fn what_is_attached_is_done_in_the_apps_own_row() {
    let database = database();
    for id in ["done", "running"] {
        let columns = json!({ "status": "processing", "created_at": NOW - 3 * HOUR, "started_at": NOW - 2 * HOUR, "balance_elsewhere": 1 });
        add(&database, id, columns);
    }
    let policy = Policy::default();
    let fake = answer(&[of("done", "done"), of("running", "running")]);
    let asked = put(&database, &fake, request(&policy), 100);
    assert_eq!((asked.done, asked.running), (0, 1));
    let rows = [json!(["done", "processing", null, null]), json!(["running", "processing", null, NOW])];
    assert_eq!(states(&database), rows);
}

#[test]
fn an_answer_that_cannot_be_understood_changes_nothing() {
    let long = format!("https://r.example/{}", "x".repeat(2_048));
    let with = |key: &str, value: Value| {
        let mut entry = of("a", "done");
        entry[key] = value;
        json!({ "creations": [entry] })
    };
    let answers = [
        json!({ "creations": [] }),
        json!({ "creations": [{}, 1, null, "a", [of("a", "done")]] }),
        json!({ "creations": {} }),
        json!([of("a", "done")]),
        json!(null),
        json!({ "creations": [of("b", "done")] }),
        json!({ "creations": [of("a", "DONE")] }),
        json!({ "creations": [of("a", "failed")] }),
        // Two answers about the same are none, whatever they say.
        json!({ "creations": [of("a", "done"), of("a", "running")] }),
        json!({ "creations": [of("a", "running"), of("a", "running"), of("a", "running")] }),
        with("attempt", json!(2)),
        with("attempt", json!("1")),
        with("attempt", json!(1.5)),
        with("creation_id", json!(["a"])),
        with("result_url", Value::Null),
        with("result_url", json!("r.example/1")),
        with("result_url", json!("javascript:alert(1)")),
        with("result_url", json!("https://ops@r.example/1")),
        with("result_url", json!(long)),
        json!({ "creations": [of("a", "done")], "padding": "x".repeat(1_000_000) }),
    ];
    let policy = Policy::default();
    for said in answers.map(Fake::new).into_iter().chain([
        Fake { answer: Ok(String::from("{")), ..Fake::new(json!(0)) },
        Fake { answer: Err(String::from("it did not answer within 5000 ms")), ..Fake::new(json!(0)) },
    ]) {
        let database = database();
        stale(&database, "a");
        let before = everything(&database);
        let asked = put(&database, &said, request(&policy), 100);
        assert_eq!((asked.creations, asked.done, asked.running), (1, 0, 0), "{:?}", said.answer);
        let error = match &said.answer {
            Err(error) => Some(error.clone()),
            Ok(text) if text.len() > 1_000_000 => {
                Some(format!("the answer has {} bytes: expected at most 1000000", text.len()))
            }
            Ok(text) if text.contains("\"creations\":[") => None,
            Ok(_) => Some(String::from("the answer can't be read: expected `{\"creations\": […]}`")),
        };
        assert_eq!(asked.error, error);
        assert_eq!(everything(&database), before, "{:?}", said.answer);
        // And the sweep goes on as without.
        sweep(&database, request(&policy));
        assert_eq!(states(&database), [json!(["a", "failed", null, null])]);
    }
}

#[test]
fn the_longest_answer_counts() {
    let database = database();
    stale(&database, "a");
    let said = |padding: usize| json!({ "creations": [of("a", "done")], "padding": "x".repeat(padding) });
    let beside = said(0).to_string().len();
    let policy = Policy::default();
    let asked = put(&database, &Fake::new(said(1_000_000 - beside)), request(&policy), 100);
    assert_eq!((asked.done, asked.error), (1, None));
}

#[test]
fn whoever_moved_on_meanwhile_is_left_alone() {
    let moves = [
        "UPDATE stale_drafts_creations SET heartbeat_at = 1700000000000",
        "UPDATE stale_drafts_creations SET status = 'draft', finished_at = 5, result_url = 'https://own.example'",
        "UPDATE stale_drafts_creations SET status = 'failed', finished_at = 5, error = 'x', error_code = 'y'",
        "UPDATE stale_drafts_creations SET status = 'pending', attempt = 2, queued_at = 1700000000000, started_at = NULL, fence = NULL;
         UPDATE stale_drafts_creations SET status = 'processing', started_at = 1700000000000, fence = '2.f'",
        "UPDATE stale_drafts_creations SET kind = 'video'",
        "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
           VALUES ('m', 'source', 0, 4095, 'DB_1', 'paused', 1, 1, 1);
         INSERT INTO stale_drafts_moving_users VALUES ('anna', 'm')",
    ];
    let policy = Policy::default();
    for sql in moves {
        for state in ["done", "running"] {
            let database = database();
            stale(&database, "a");
            let changed = RefCell::new(Vec::new());
            let fake = Fake {
                meanwhile: Box::new(|| {
                    database.write(sql);
                    *changed.borrow_mut() = everything(&database);
                }),
                ..answer(&[of("a", state)])
            };
            let asked = put(&database, &fake, request(&policy), 100);
            assert_eq!((asked.creations, asked.done, asked.running), (1, 0, 0), "{state}: {sql}");
            assert_eq!(everything(&database), *changed.borrow(), "{state}: {sql}");
        }
    }
}

#[test]
fn nobody_is_asked_by_a_dry_run_by_a_plan_while_it_is_paused_or_about_nothing() {
    let database = database();
    stale(&database, "a");
    let fake = answer(&[of("a", "done")]);
    let policy = Policy::default();
    let all = request(&policy);
    let pending = Filter { status: Some(Active::Pending), ..Filter::default() };
    let before = everything(&database);
    for request in [
        SweepRequest { dry_run: true, ..all },
        SweepRequest { planned: Some(&[]), ..all },
        SweepRequest { filter: pending, ..all },
        SweepRequest { user_id: Some("ben"), ..all },
        SweepRequest { filter: Filter { kind: Some("video"), ..Filter::default() }, ..all },
    ] {
        assert_eq!(put(&database, &fake, request, 100), Asked::default());
    }
    database.write("INSERT INTO stale_drafts_controls VALUES ('paused', 1, 'ops', 'x')");
    assert_eq!(put(&database, &fake, all, 100), Asked::default());
    assert_eq!((fake.asked(), everything(&database)), (0, before));
    // The circuit breaker holds back what is abnormal; an answer may say that it is not.
    database.write("UPDATE stale_drafts_controls SET name = 'circuit_breaker'");
    assert_eq!(put(&database, &fake, SweepRequest { user_id: Some("anna"), ..all }, 100).done, 1);
}

#[test]
fn it_asks_about_no_more_than_it_may_the_longest_silent_first_and_of_all_shards_together() {
    let databases = [database(), database()];
    for (database, name) in databases.iter().zip(["x", "y"]) {
        for n in 0..5 {
            let at = NOW - 2 * HOUR - n;
            add(
                database,
                &format!("{name}{n}"),
                json!({ "status": "processing", "created_at": at, "started_at": at }),
            );
        }
        add(database, &format!("{name}p"), json!({ "created_at": NOW - 9 * HOUR }));
    }
    let shards = [Shard { name: "x", database: &databases[0] }, Shard { name: "y", database: &databases[1] }];
    let policy = Policy::default();
    let fake = answer(&[of("x4", "done"), of("y4", "running"), of("y0", "done")]);
    let asked = wait(ask(&shards, &fake, request(&policy), 7));
    assert_eq!(asked, Asked { creations: 7, done: 1, running: 1, error: None });
    let ids = |question: &Value| -> Vec<String> {
        let creations = question["data"]["creations"].as_array().unwrap();
        creations.iter().map(|one| one["creation_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&fake.questions.borrow()[0]), ["x4", "x3", "x2", "x1", "x0", "y4", "y3"]);
    assert_eq!(
        databases[1].read("SELECT status FROM stale_drafts_creations WHERE id = 'y0'"),
        [json!(["processing"])]
    );
    // What waits for its start takes no place of these, and no more rows are read than it may ask about, whatever a sweep would need.
    for breaker in [None, Some(CircuitBreaker::default())] {
        let reading = databases.each_ref().map(|database| Reading(database, Cell::new(0)));
        let shards = ["x", "y"].map(|name| Shard { name, database: &reading[usize::from(name == "y")] });
        let fake = answer(&[]);
        let asked = wait(ask(&shards, &fake, SweepRequest { breaker, ..request(&policy) }, 2));
        // One more shows a sweep that there are more.
        assert_eq!((asked.creations, reading[0].1.get()), (2, 3));
        assert_eq!(ids(&fake.questions.borrow()[0]), ["x3", "x2"]);
    }
}

/// A database that counts the candidates that it gives.
struct Reading<'a>(&'a Sqlite, Cell<usize>);

impl Database for Reading<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let results = self.0.transaction(batch)?;
        let found = results.iter().flatten().filter_map(|row| row.get("candidates")?.as_str());
        let candidates: usize =
            found.map(|text| serde_json::from_str::<Vec<Value>>(text).unwrap().len()).sum();
        self.1.set(self.1.get() + candidates);
        Ok(results)
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

#[test]
fn a_heartbeat_does_not_extend_the_total_time_and_one_that_may_be_retried_is_asked_about_too() {
    let database = database();
    stale(&database, "a");
    let policy = policy(&[(&["total_hours"], 1.5), (&["attempts"], 2.0)]);
    assert_eq!(put(&database, &answer(&[of("a", "running")]), request(&policy), 100).running, 1);
    sweep(&database, request(&policy));
    assert_eq!(database.read("SELECT status, attempt FROM stale_drafts_creations"), [json!(["pending", 2])]);
}

#[test]
fn what_a_trigger_of_the_app_rejects_is_said_and_changes_nothing() {
    let database = database();
    stale(&database, "a");
    stale(&database, "b");
    database.write("CREATE TRIGGER app BEFORE UPDATE OF result_url ON stale_drafts_creations WHEN NEW.id = 'b' BEGIN SELECT RAISE(ABORT, 'no'); END");
    let before = everything(&database);
    let policy = Policy::default();
    let asked = put(&database, &answer(&[of("a", "done"), of("b", "done")]), request(&policy), 100);
    assert_eq!((asked.done, asked.error.is_some(), everything(&database)), (0, true, before));
}
