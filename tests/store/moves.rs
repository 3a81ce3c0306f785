//! What a move takes along, whom it holds meanwhile, and when it can't begin.

use std::cell::Cell;

use serde_json::{Value, json};
use stale_drafts::config::Config;
use stale_drafts::rules::{Bucket, BucketSet, CircuitBreaker, Policy, Timestamp};
use stale_drafts::service::moves::{self, Bounds, Goal, Move, MoveError, Plan, Progress, Wrong, planned};
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{
    self, Buckets, Cost, Database, DatabaseError, Extension, Filter, GivenRow, PageSize, Param, Row,
    Statement, Window,
};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, add, at, database, now};

const ALL: Buckets = Buckets { first: 0, last: 4_095 };
const MOVE: Move<'_> = Move { id: "m1", buckets: ALL, source: "DB_1", target: "DB_2" };
const BACK: Move<'_> = Move { id: "m2", buckets: ALL, source: "DB_2", target: "DB_1" };

/// Writes down that all buckets are in the one database, if nothing is on record yet.
async fn on_record(source: &impl Database, target: &impl Database) {
    source.run(&[store::record(&BucketSet::ALL)]).await.unwrap();
    target.run(&[store::record(&BucketSet::default())]).await.unwrap();
}

async fn step(
    source: &impl Database,
    target: &impl Database,
    planned: Move<'_>,
    goal: Goal,
    when: Timestamp,
    bounds: Bounds,
) -> Result<Progress, MoveError> {
    on_record(source, target).await;
    moves::step(source, target, planned, goal, when, bounds).await
}

fn go(sides: [&Sqlite; 2], planned: Move<'_>, goal: Goal, when: Timestamp) -> Result<Progress, MoveError> {
    wait(step(sides[0], sides[1], planned, goal, when, Bounds::default()))
}

/// Goes all the way in one step.
fn reach(sides: [&Sqlite; 2], planned: Move<'_>, goal: Goal) {
    let progress = go(sides, planned, goal, at(NOW + HOUR)).unwrap();
    assert!(progress.done || progress.waits_until.is_some(), "{progress:?}");
}

/// The whole move, and the time after it.
fn finish(sides: [&Sqlite; 2], planned: Move<'_>) {
    reach(sides, planned, Goal::Moved);
    reach(sides, planned, Goal::Done);
    assert!(go(sides, planned, Goal::Done, at(NOW + 2 * HOUR)).unwrap().done);
}

fn refusal(result: Result<Progress, MoveError>) -> String {
    match result.unwrap_err() {
        MoveError::Refused(why) => why,
        error @ MoveError::Database { .. } => panic!("{error}"),
    }
}

/// Every column of every row of a table that is a user's, as SQL writes it.
fn everything(database: &Sqlite) -> Vec<Value> {
    let mut all = Vec::new();
    for table in [
        "creations",
        "attempts",
        "rejected",
        "ledger",
        "balances",
        "archived_users",
        "carries",
        "compacted_creations",
        "compacted_users",
    ] {
        let columns = database.read(&format!("SELECT name FROM pragma_table_xinfo('stale_drafts_{table}')"));
        let quoted: Vec<_> =
            columns.iter().map(|row| format!("quote({})", row[0].as_str().unwrap())).collect();
        let (first, columns) = (quoted[0].clone(), quoted.join(", "));
        all.extend(database.read(&format!(
            "SELECT '{table}', {columns} FROM stale_drafts_{table} ORDER BY {first}, {columns}"
        )));
    }
    all.extend(database.read(
        "SELECT 'extensions', quote(name), quote(until), quote(since), quote(actor), quote(reason), quote(ended_at), quote(ended_by)
         FROM stale_drafts_extensions WHERE scope = 'creation' ORDER BY name, until",
    ));
    all.extend(database.read(
        "SELECT 'audit', quote(id), quote(at), quote(actor), quote(action), quote(detail), quote(subject)
         FROM stale_drafts_audit WHERE subject GLOB 'creation:*' ORDER BY id",
    ));
    all
}

/// Rows with all that can be in one.
fn filled() -> Sqlite {
    let database = database();
    add(&database, "plain", json!({ "prompt": "a \"fox\"\n\u{1}\\ 狐 🦊", "user_id": "ben" }));
    add(
        &database,
        "failed",
        json!({ "status": "failed", "error": "e", "error_code": "broken", "finished_at": NOW }),
    );
    add(&database, "settled", json!({ "status": "failed", "settled_elsewhere": 1 }));
    add(&database, "elsewhere", json!({ "balance_elsewhere": 1 }));
    add(&database, "free", json!({ "tokens": 0, "user_id": "carl" }));
    add(&database, "late", json!({}));
    database.write(
        "UPDATE stale_drafts_creations SET status = 'failed', late_at = 1, late_result_url = 'https://a.example' WHERE id = 'late';
         UPDATE stale_drafts_creations SET status = 'draft', result_url = late_result_url, restored_at = 2, deleted_at = 3 WHERE id = 'late';
         UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'elsewhere';
         INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, finished_at, heartbeat_at) VALUES ('late', 1, 'restored', 'gpu 1', 1.5, x'00ff'),
           ('late', 2, 'retried', CAST(x'610062' AS TEXT), 'soon', '狐')",
    );
    // What is archived is in the ledger and in the sums. Of one who has nothing else, too.
    let ids = ["archived", "compacted", "0196f0f4-9a3c-8582-b2c4-5b1f0c6f7a90", "r1", "t2"];
    for id in ids {
        add(&database, id, json!({ "status": "failed" }));
    }
    let entries: Vec<_> =
        ids[1..].iter().flat_map(|id| [format!("charge:{id}"), format!("refund:{id}")]).collect();
    database.write(&format!(
        "INSERT INTO stale_drafts_archiving VALUES (1, 'o', '[]'); DELETE FROM stale_drafts_creations WHERE id IN (SELECT value FROM json_each('{}'));
         DELETE FROM stale_drafts_archiving;
         INSERT INTO stale_drafts_archived_users VALUES ('anna', 5, 0, 0, 7, NULL), ('dora', 3, 1, 0, NULL, NULL);
         INSERT INTO stale_drafts_compacting VALUES ('carry:anna:2023-11', 'anna', 1698796800000, '{}')",
        json!(ids),
        json!(entries)
    ));
    let garbage = [
        "'soon'",
        "1.5",
        "0.1",
        "0.30000000000000004",
        "123456789.123456789",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "1e300",
        "9e999",
        "-9e999",
        "x'00ff'",
        "x''",
        "''",
        "CAST(x'610062' AS TEXT)",
        "9223372036854775807",
        "NULL",
        "-1",
    ];
    for (n, value) in garbage.iter().enumerate() {
        database.write(&format!(
            "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, queued_at, started_at, heartbeat_at, extended_until, finished_at)
             VALUES ('garbage {n}', 'anna', '', '', 'pending', {n}, {value}, {value}, {value}, {value}, {value}, {value})"
        ));
    }
    database.write(
        "INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason, ended_at, ended_by)
           VALUES ('creation', 'plain', 1700000000000, 1, 'ops', 'the \"farm\" is slow', NULL, NULL), ('creation', 'plain', 1700000000001, 2, x'00', 'again', 3, 'ops'),
             ('creation', 'failed', 1700000000000, 1, 'ops', '狐', NULL, NULL);
         INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject) VALUES ('2', 1, 'ops', 'note', 'a \"note\"', 'creation:plain'),
           ('1', 1.5, x'00ff', 'note', '狐', 'creation:plain'), ('3', 'soon', 'ops', 'note', '', 'creation:late')",
    );
    database.write(&format!("INSERT INTO stale_drafts_rejected VALUES ('garbage 1', {NOW}, CAST(x'610062' AS TEXT)), ('garbage 2', 7, 'by a \"trigger\"')"));
    database
}

#[test]
fn whatever_a_row_holds_it_arrives_as_it_was() {
    let (source, target) = (filled(), Sqlite::new());
    source.write("INSERT INTO stale_drafts_events (id, due_at, destinations, created_at, creation_id, body) VALUES ('failed:failed:1', 1, 1, 1, 'failed', '{}')");
    let before = everything(&source);
    assert!(before.len() > 40, "{}", before.len());
    for bytes in [1, 300, 1_000_000] {
        let bounds = Bounds { page: PageSize { rows: 3, bytes, slice: 5 }, ..Bounds::default() };
        let planned = Move { id: "pages", ..MOVE };
        wait(step(&source, &target, planned, Goal::Moved, now(), Bounds { queries: 10_000, ..bounds }))
            .unwrap();
        assert_eq!(everything(&target), before, "{bytes}");
        if bytes < 1_000_000 {
            // It does not begin again: only what was moved is looked at here.
            return_to(&source, &target);
        }
    }
    reach([&source, &target], Move { id: "pages", ..MOVE }, Goal::Done);
    assert_eq!(everything(&target), before);
    assert_eq!(everything(&source), Vec::<Value>::new());
    // An event is delivered from where it is.
    assert_eq!(source.read("SELECT id FROM stale_drafts_events"), [json!(["failed:failed:1"])]);
    assert_eq!(target.read("SELECT id FROM stale_drafts_events"), Vec::<Value>::new());
}

/// A database whose calls are made by another one, with the longest text that it has answered.
struct Measured<'a>(&'a Sqlite, Cell<usize>);

impl Database for Measured<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let results = self.0.run(batch).await?;
        let texts = results.iter().flatten().flat_map(Row::values).filter_map(Value::as_str);
        self.1.set(texts.map(str::len).max().unwrap_or_default().max(self.1.get()));
        Ok(results)
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

/// The longest texts that the API takes: of a creation, and of each of its attempts, extensions and notes. No owner has a limit of retries.
fn longest(id: &str, attempts: u32, notes: u32) -> Sqlite {
    let database = database();
    let (prompt, error) = ("\u{1}".repeat(20_000), "🦊".repeat(20_000));
    let url = format!("https://{}", "\u{1}".repeat(2_040));
    add(&database, id, json!({ "prompt": prompt, "error": "\u{1}".repeat(20_000), "result_url": url }));
    add(&database, "the next one", json!({ "prompt": prompt, "created_at": NOW + 1 }));
    for n in 0..40 {
        add(&database, &format!("before {n}"), json!({ "prompt": prompt[..3_500], "created_at": NOW - 1 }));
    }
    let numbers =
        |n: u32| format!("WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {n})");
    database.write(&format!(
        "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, fence, finished_at, error, error_code)
           {} SELECT '{id}', n, 'failed', '{worker}', n || '.{worker}', {NOW}, '{error}', '{worker}' FROM n;
         INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason)
           {} SELECT 'creation', '{id}', 1700000000000 + n, n, 'ops', '{}' FROM n;
         INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject)
           {} SELECT format('%05d', n), n, 'ops', 'note', '{}', 'creation:{id}' FROM n;
         INSERT INTO stale_drafts_rejected VALUES ('{id}', 7, '{}')",
        numbers(attempts), numbers(notes), "🦊".repeat(1_000), numbers(notes), "🦊".repeat(2_000), "🦊".repeat(2_000),
        worker = "🦊".repeat(200),
    ));
    database
}

#[test]
fn no_creation_that_the_api_can_make_is_too_long_to_move() {
    for (attempts, notes) in [(60, 300), (13, 0), (0, 130)] {
        let (source, target) = (longest("retried", attempts, notes), Sqlite::new());
        let before = everything(&source);
        let [from, to] = [&source, &target].map(|side| Measured(side, Cell::new(0)));
        let mut progress = wait(step(&from, &to, MOVE, Goal::Moved, now(), Bounds::default())).unwrap();
        while !progress.done {
            progress = wait(step(&from, &to, MOVE, Goal::Moved, now(), Bounds::default())).unwrap();
        }
        assert_eq!(everything(&target), before);
        // It is counted once, however many pages it takes.
        assert_eq!(progress.source.unwrap().creations, Some(42));
        println!("{attempts} attempts and {notes} notes: the longest text has {} bytes", from.1.get());
        assert!(from.1.get() <= 1_000_000 && to.1.get() <= 1_000_000, "{} {}", from.1.get(), to.1.get());
    }
}

#[test]
fn what_an_app_has_made_too_long_to_move_is_named_with_the_way_out() {
    let (source, target) = (database(), Sqlite::new());
    add(&source, "short", json!({}));
    add(&source, "long", json!({ "created_at": NOW + 1 }));
    source.write(
        "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, finished_at, error)
           SELECT 'long', 1, 'failed', 1, replace(hex(zeroblob(600000)), '0', 'e')",
    );
    let before = everything(&source);
    let why = refusal(go([&source, &target], MOVE, Goal::Moved, now()));
    let expected = "a creation in `DB_1` can't move, its rows are too long";
    assert!(
        why.starts_with(expected) && why.contains("`long`, of about 1200000 bytes") && why.contains("cancel"),
        "{why}"
    );
    assert!(go([&source, &target], MOVE, Goal::Cancelled, now()).unwrap().done);
    assert_eq!(everything(&source), before);
}

/// Forgets a move by force.
fn return_to(source: &Sqlite, target: &Sqlite) {
    source.write("DELETE FROM stale_drafts_moving_users; DELETE FROM stale_drafts_moves; DELETE FROM stale_drafts_buckets");
    target.write("UPDATE stale_drafts_moves SET writing = 1");
    for table in [
        "rejected",
        "attempts",
        "ledger",
        "creations",
        "balances",
        "archived_users",
        "carries",
        "compacted_creations",
        "compacted_users",
        "extensions",
        "audit",
        "moving_users",
        "moves",
        "buckets",
    ] {
        target.write(&format!("DELETE FROM stale_drafts_{table}"));
    }
}

/// What an app's own hand may try of `anna`, and of `eve`, whom no mover has seen.
const WRITES: [&str; 7] = [
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens) VALUES ('new', 'anna', '', '', 'pending', 0)",
    "UPDATE stale_drafts_creations SET heartbeat_at = 7 WHERE id = 'c'",
    "DELETE FROM stale_drafts_creations WHERE id = 'free'",
    "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:x', 'anna', 'grant', 5, 1)",
    "DELETE FROM stale_drafts_balances WHERE user_id = 'anna'",
    "INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject) VALUES ('1', 1, 'ops', 'note', 'x', 'creation:c')",
    "INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason) VALUES ('creation', 'c', 1700000000000, 1, 'ops', 'x')",
];

/// Which of them go through.
fn taken(database: &Sqlite) -> usize {
    let taken = |sql: &&&str| {
        database.write("SAVEPOINT try");
        let taken = database.takes(sql);
        database.write("ROLLBACK TO try; RELEASE try");
        taken
    };
    WRITES.iter().filter(taken).count()
}

fn accepts(database: &Sqlite, user: &str) -> bool {
    database.takes(&format!("INSERT INTO stale_drafts_accepts VALUES ({})", Bucket::of_user(user).number()))
}

#[test]
fn nobody_else_writes_what_is_moving() {
    let (source, target) = (database(), Sqlite::new());
    add(&source, "c", json!({}));
    add(&source, "free", json!({ "tokens": 0 }));
    let anna = u32::from(Bucket::of_user("anna").number());
    let planned = Move { buckets: Buckets { first: anna, last: anna }, ..MOVE };
    assert_eq!(taken(&source), WRITES.len());
    // Nothing is on record yet, and who asks knows of several databases.
    assert!(!accepts(&source, "anna"));
    wait(on_record(&source, &target));
    assert!(accepts(&source, "anna") && accepts(&source, "ben"));

    reach([&source, &target], planned, Goal::Moved);
    assert_eq!([taken(&source), taken(&target)], [0, 0]);
    for database in [&source, &target] {
        assert!(!accepts(database, "anna"));
        // Reads and others' writes go on.
        assert_eq!(
            database.read("SELECT id FROM stale_drafts_creations ORDER BY id"),
            [json!(["c"]), json!(["free"])]
        );
    }
    assert!(accepts(&source, "ben") && !accepts(&target, "ben"));
    add(&source, "bens", json!({ "user_id": "ben" }));
    let refused = source.transaction(&store::create(new("d", "anna"), now())).unwrap_err();
    assert!(refused.is_moving() && refused.is_constraint(), "{refused}");

    reach([&source, &target], planned, Goal::Done);
    assert_eq!(taken(&target), WRITES.len());
    assert!(accepts(&target, "anna") && !accepts(&source, "anna"));
    assert_eq!(source.read("SELECT id FROM stale_drafts_creations"), [json!(["bens"])]);
    assert_eq!(source.read("SELECT user_id FROM stale_drafts_balances"), [json!(["ben"])]);
    // The ledger is append-only again.
    assert!(!target.takes("DELETE FROM stale_drafts_ledger"));
}

fn new<'a>(id: &'a str, user_id: &'a str) -> store::NewCreation<'a> {
    store::NewCreation { id, user_id, kind: "image", prompt: "", tokens: 5 }
}

#[test]
fn no_sweep_decides_on_who_is_moving_nor_soon_after() {
    let policy = Policy::default();
    let stale = |database: &Sqlite, when: u64| {
        let window = Window { limit: 10, unreadable: 10 };
        let breaker = CircuitBreaker::default();
        let all = store::stale(&policy, Filter::default(), at(when), window, breaker);
        let of_user = store::stale_of_user("anna", &policy, Filter::default(), at(when), window, breaker);
        let overdue = store::overdue(&policy, at(when), 0);
        [all, of_user, overdue]
            .map(|statement| database.one(statement)[0]["candidates"].as_str().unwrap() != "[]")
    };
    let (source, target) = (database(), Sqlite::new());
    add(&source, "c", json!({ "created_at": NOW - 3 * HOUR }));
    assert_eq!(stale(&source, NOW), [true; 3]);
    let plan = store::stale(
        &policy,
        Filter::default(),
        now(),
        Window { limit: 1, unreadable: 1 },
        CircuitBreaker::default(),
    );
    let candidates = store::candidates(&source.one(plan), "candidates").unwrap();

    reach([&source, &target], MOVE, Goal::Moved);
    assert_eq!([stale(&source, NOW), stale(&target, NOW)], [[false; 3]; 2]);
    // What a sweep has decided on before is left alone, whichever database it writes to.
    let decided =
        stale_drafts::rules::decide(candidates.iter().map(store::CandidateRow::candidate), now(), &policy);
    let rows: Vec<_> =
        decided.fail.iter().map(|decision| store::PlanRow::new(decision, candidates[0].tokens)).collect();
    for database in [&source, &target] {
        let start =
            store::SweepStart { sweep_id: "s", source: "cron", actor: None, plan_id: None, now: now() };
        let count = store::Count {
            totals: store::SweepTotals::default(),
            before: 0,
            last: true,
            counted: "[]".to_owned(),
        };
        database.all(&store::mark_failed(start, &rows, count, 0));
        assert_eq!(database.read("SELECT failed, raced FROM stale_drafts_sweeps"), [json!([0, 1])]);
    }

    let opened = NOW + HOUR;
    let wait_until = go([&source, &target], MOVE, Goal::Done, at(opened)).unwrap().waits_until;
    assert_eq!(wait_until, Some(opened + 15 * MINUTE));
    assert_eq!(stale(&target, opened), [false; 3]);
    assert!(target.takes("UPDATE stale_drafts_creations SET heartbeat_at = NULL"), "a worker reports again");
    assert!(!go([&source, &target], MOVE, Goal::Done, at(opened + 15 * MINUTE - 1)).unwrap().done);
    assert!(go([&source, &target], MOVE, Goal::Done, at(opened + 15 * MINUTE)).unwrap().done);
    assert_eq!(stale(&target, opened), [true; 3]);
}

#[test]
fn buckets_that_come_back_are_taken_again() {
    let (first, second) = (filled(), Sqlite::new());
    let before = everything(&first);
    finish([&first, &second], MOVE);
    let refused = refusal(go([&first, &second], Move { id: "m3", ..MOVE }, Goal::Moved, now()));
    assert_eq!(
        refused,
        "bucket 0 is not in `DB_1`: expected one of those that it has, as `mark-stale-drafts shards` shows; move it from where it is to `DB_2`"
    );
    finish([&second, &first], BACK);
    assert_eq!(everything(&first), before);
    assert_eq!(everything(&second), Vec::<Value>::new());
    assert!(accepts(&first, "anna") && !accepts(&second, "anna"));
    finish([&first, &second], Move { id: "m3", ..MOVE });
    assert_eq!(everything(&second), before);
    let states =
        |database: &Sqlite| database.read("SELECT id, role, state FROM stale_drafts_moves ORDER BY id");
    assert_eq!(
        states(&first),
        [
            json!(["m1", "source", "trimmed"]),
            json!(["m2", "target", "settled"]),
            json!(["m3", "source", "trimmed"])
        ]
    );
}

#[test]
fn a_mover_that_slept_while_another_one_moved_the_buckets_away_begins_nothing() {
    let (source, target) = (filled(), Sqlite::new());
    finish([&source, &target], MOVE);
    // It had looked for obstacles before that.
    source.all(&[store::begin_move("late", "source", ALL, "DB_3", "paused", now())]);
    assert_eq!(source.read("SELECT id, state FROM stale_drafts_moves"), [json!(["m1", "trimmed"])]);
    // Where they are, they can move.
    target.all(&[store::begin_move("next", "source", ALL, "DB_3", "paused", now())]);
    assert_eq!(target.read("SELECT state FROM stale_drafts_moves WHERE id = 'next'"), [json!(["paused"])]);
}

/// Another mover enters its own move right before the first one does.
struct Overtaken<'a> {
    sqlite: &'a Sqlite,
    done: Cell<bool>,
}

impl Database for Overtaken<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let begins = batch.iter().any(|statement| statement.sql.contains("INSERT INTO stale_drafts_moves"));
        if begins && !self.done.replace(true) {
            self.sqlite.all(&[store::begin_move("first", "target", ALL, "DB_1", "arriving", now())]);
        }
        self.sqlite.run(batch).await
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

#[test]
fn of_two_who_begin_at_once_one_begins_on_both_sides() {
    let (source, target) = (filled(), Sqlite::new());
    let overtaken = Overtaken { sqlite: &target, done: Cell::new(false) };
    let refused = refusal(wait(step(&source, &overtaken, MOVE, Goal::Moved, now(), Bounds::default())));
    assert_eq!(
        refused,
        "move `first` of the buckets 0-4095 from `DB_1` to `DB_2` is about some of the buckets 0-4095, and is `arriving` in `DB_2`: go on with `mark-stale-drafts shards move --from DB_1 --to DB_2 --buckets 0-4095`, which says what comes next, or undo it with `mark-stale-drafts shards cancel --from DB_1 --to DB_2 --buckets 0-4095`"
    );
    assert_eq!(source.read("SELECT id FROM stale_drafts_moves"), Vec::<Value>::new());
    finish([&source, &target], Move { id: "first", ..MOVE });
}

#[test]
fn after_a_cancelled_move_no_sweep_decides_until_workers_had_time_to_report_again() {
    let (source, target) = (filled(), Sqlite::new());
    let moving = || source.read("SELECT DISTINCT move_id FROM stale_drafts_moving_users");
    for id in ["m1", "m2"] {
        let planned = Move { id, ..MOVE };
        let few =
            Bounds { queries: 40, page: PageSize { rows: 5, bytes: 2_000, slice: 9 }, ..Bounds::default() };
        assert!(!wait(step(&source, &target, planned, Goal::Moved, now(), few)).unwrap().done);
        assert!(go([&source, &target], planned, Goal::Cancelled, now()).unwrap().done);
        // The next move takes them over from the one before.
        assert_eq!(moving(), [json!([id])]);
        // Everybody else may write.
        assert!(accepts(&source, "anna"));
        source.write("UPDATE stale_drafts_creations SET prompt = 'x' WHERE user_id = 'anna'");
    }
    source.all(&store::settle_moves(at(NOW - 1), now()));
    assert_eq!(moving(), [json!(["m2"])]);
    source.all(&store::settle_moves(now(), now()));
    assert_eq!(moving(), Vec::<Value>::new());
    finish([&source, &target], Move { id: "m3", ..MOVE });
}

#[test]
fn what_is_cancelled_is_as_before() {
    let (source, target) = (filled(), Sqlite::new());
    let before = everything(&source);
    for queries in (14..200).step_by(9) {
        let id = format!("m{queries}");
        let planned = Move { id: &id, ..MOVE };
        let small =
            Bounds { queries, page: PageSize { rows: 5, bytes: 2_000, slice: 9 }, ..Bounds::default() };
        if wait(step(&source, &target, planned, Goal::Moved, now(), small)).unwrap().done {
            break;
        }
        assert!(go([&source, &target], planned, Goal::Cancelled, now()).unwrap().done);
        assert!(go([&source, &target], planned, Goal::Cancelled, now()).unwrap().done, "again");
        assert_eq!(everything(&source), before);
        assert_eq!(everything(&target), Vec::<Value>::new());
        assert!(accepts(&source, "anna") && taken(&source) > 0);
        let again = refusal(go([&source, &target], planned, Goal::Moved, now()));
        assert_eq!(
            again,
            format!("move `{id}` was cancelled: cancel it again until it is done, and begin another one")
        );
    }
    // One that never began can't begin any more.
    let never = Move { id: "never", ..MOVE };
    assert!(go([&filled(), &Sqlite::new()], never, Goal::Cancelled, now()).unwrap().done);
}

#[test]
fn what_can_not_move_is_refused_with_what_would_be_right() {
    let sides = || (database(), Sqlite::new());
    let begin = |source: &Sqlite, target: &Sqlite| refusal(go([source, target], MOVE, Goal::Moved, now()));

    let (source, target) = sides();
    let range = Move { buckets: Buckets { first: 7, last: 4_096 }, ..MOVE };
    assert_eq!(
        refusal(go([&source, &target], range, Goal::Moved, now())),
        "invalid buckets `7-4096`: expected a range within 0-4095, such as `0-63`"
    );
    let same = Move { target: "DB_1", ..MOVE };
    assert_eq!(
        refusal(go([&source, &target], same, Goal::Moved, now())),
        "`DB_1` is source and target: expected two databases"
    );
    assert_eq!(
        refusal(go([&source, &target], MOVE, Goal::Done, now())),
        "move `m1` has not moved yet: it is `none`; expected `moved` before the target is opened"
    );

    // Another move that is not done.
    let other = Move { id: "m0", buckets: Buckets { first: 100, last: 200 }, ..MOVE };
    reach([&source, &target], other, Goal::Moved);
    assert_eq!(
        begin(&source, &target),
        "move `m0` of the buckets 100-200 from `DB_1` to `DB_2` is about some of the buckets 0-4095, and is `moved` in `DB_1`: it can't be cancelled; give its buckets to `DB_2` in the configuration, deploy that, and end it with `mark-stale-drafts shards finish --from DB_1 --to DB_2 --buckets 100-200`"
    );
    assert_eq!(
        refusal(go([&source, &target], other, Goal::Cancelled, now())),
        "move `m0` can't be cancelled any more: its buckets are in `DB_2`; move them back instead"
    );
    let wider = Move { buckets: ALL, ..other };
    assert_eq!(
        refusal(go([&source, &target], wider, Goal::Moved, now())),
        "move `m0` is another one in `DB_1`: source of buckets 100-200, with `DB_2`; expected source of buckets 0-4095, with `DB_2`"
    );

    let (source, target) = sides();
    source.write("CREATE VIEW stale_drafts_attach_generations_rows AS SELECT 1");
    assert_eq!(
        begin(&source, &target),
        "`DB_1` has an attached table, by `stale_drafts_attach_generations_rows`: its rows and their triggers can't move with the creations; detach it first"
    );

    let (source, target) = sides();
    target.write("DELETE FROM stale_drafts_schema WHERE version = 10");
    assert_eq!(
        begin(&source, &target),
        "the schema of `DB_2` is version 9: expected 10, apply the migrations"
    );

    // Whoever has rows in the target would lose them in a cancellation.
    let (source, target) = sides();
    target.write("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('g', 'anna', 'grant', 3, 1)");
    assert_eq!(
        begin(&source, &target),
        "user `anna` of `DB_1` has rows in `DB_2` already, or is of another move: expected none; remove them or move them back first. \
         Nobody writes of the users who move until this is mended and the move goes on, or it is undone: `mark-stale-drafts shards cancel --from DB_1 --to DB_2 --buckets 0-4095`"
    );
    assert!(go([&source, &target], MOVE, Goal::Cancelled, now()).unwrap().done);
    assert_eq!(target.read("SELECT user_id, tokens FROM stale_drafts_balances"), [json!(["anna", 3])]);
}

#[test]
fn an_id_of_two_users_is_named_and_the_move_can_be_cancelled() {
    let (source, target) = (database(), database());
    target.write("UPDATE stale_drafts_ledger SET user_id = user_id WHERE false");
    // The same id in two databases: an app that chose it.
    target.write("DELETE FROM stale_drafts_balances WHERE user_id = 'anna'");
    let target = {
        drop(target);
        Sqlite::new()
    };
    target.write("INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens) VALUES ('c', 'eve', '', '', 'pending', 0)");
    add(&source, "b", json!({}));
    add(&source, "c", json!({}));
    let differs = refusal(go([&source, &target], MOVE, Goal::Moved, now()));
    assert_eq!(
        differs,
        format!(
            "the creation `c` of user `anna` in `DB_1` can't move: `DB_2` has one with the same id, of user `eve`; undo the move, and leave the bucket {} out of the next one. \
         Nobody writes of the users who move until this is mended and the move goes on, or it is undone: `mark-stale-drafts shards cancel --from DB_1 --to DB_2 --buckets 0-4095`",
            Bucket::of_user("anna").number()
        )
    );
    let before = everything(&source);
    assert!(go([&source, &target], MOVE, Goal::Cancelled, now()).unwrap().done);
    assert_eq!(everything(&source), before);
    assert_eq!(target.read("SELECT id FROM stale_drafts_creations"), [json!(["c"])]);
}

#[test]
fn a_user_who_came_past_the_fences_is_taken_along() {
    let (source, target) = (database(), Sqlite::new());
    let small = Bounds { queries: 20, page: PageSize { rows: 1, bytes: 1, slice: 1 }, ..Bounds::default() };
    for n in 0..9 {
        add(&source, &format!("c{n}"), json!({}));
    }
    // An app's own SQL asks no bucket, and a new user is in no list.
    let come = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('g', 'zoe', 'grant', 9, 1)";
    let listed = "SELECT 1 FROM stale_drafts_moves WHERE state = 'paused' AND place LIKE '%creations%'";
    let mut came = false;
    while !wait(step(&source, &target, MOVE, Goal::Moved, now(), small)).unwrap().done {
        if !came && !source.read(listed).is_empty() {
            source.write(come);
            came = true;
        }
    }
    assert!(came);
    assert_eq!(
        target.read("SELECT user_id, tokens FROM stale_drafts_balances WHERE user_id = 'zoe'"),
        [json!(["zoe", 9])]
    );
    assert_eq!(everything(&target), everything(&source));
}

#[test]
fn a_thousand_creations_take_a_few_queries() {
    let queries = |creations: u32| {
        let (source, target) = (Sqlite::new(), Sqlite::new());
        source.write(&format!(
            "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
             WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 99) SELECT 'grant:' || n, 'user-' || n, 'grant', 1000000, 1 FROM n;
             INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {creations})
             SELECT 'creation-' || n, 'user-' || (n % 100), 'image', 'a fox in the snow, at dawn, in the style of an old woodcut', 'pending', 5, {NOW} FROM n"
        ));
        let mut made = [0, 0];
        for (goal, made) in [Goal::Moved, Goal::Done].into_iter().zip(&mut made) {
            for _ in 0..100 {
                let progress = go([&source, &target], MOVE, goal, at(NOW + HOUR)).unwrap();
                *made += progress.queries;
                if progress.done || progress.waits_until.is_some() {
                    break;
                }
            }
        }
        made
    };
    let [few, many] = [queries(1_000), queries(5_000)];
    let per_thousand = [0, 1].map(|at| (many[at] - few[at]) / 4);
    println!("queries for each 1,000 creations: {} to move, {} to trim", per_thousand[0], per_thousand[1]);
    assert!(per_thousand[0] <= 24 && per_thousand[1] <= 12, "{few:?} {many:?} {per_thousand:?}");
}

/// What is a user's is moved, column by column. Who adds a table or a column says here what a move does with it.
#[test]
fn every_table_and_column_of_a_user_is_known_to_the_move() {
    let database = Sqlite::new();
    let tables = database.read(
        "SELECT group_concat(name, ' ') FROM (SELECT DISTINCT t.name FROM sqlite_schema AS t JOIN pragma_table_xinfo(t.name) AS c
         WHERE t.type = 'table' AND c.name IN ('user_id', 'creation_id') ORDER BY t.name)",
    );
    // Events stay and are delivered; traces of starts stay for a day; the check of the ledger is the database's own.
    // Nobody ever sees a row of `compacting`.
    let stays = "stale_drafts_compacting stale_drafts_events stale_drafts_ledger_check stale_drafts_moving_users stale_drafts_repeated_starts";
    let moves = "stale_drafts_archived_users stale_drafts_attempts stale_drafts_balances stale_drafts_carries stale_drafts_compacted_users stale_drafts_creations stale_drafts_ledger stale_drafts_rejected";
    let mut known: Vec<_> = stays.split(' ').chain(moves.split(' ')).collect();
    known.sort_unstable();
    assert_eq!(tables, [json!([known.join(" ")])]);

    let columns = |table: &str| {
        let sql = format!(
            "SELECT group_concat(name, ' ') FROM pragma_table_xinfo('stale_drafts_{table}') WHERE hidden = 0"
        );
        database.read(&sql)[0][0].as_str().unwrap().to_owned()
    };
    assert_eq!(
        [
            "creations",
            "attempts",
            "rejected",
            "ledger",
            "balances",
            "archived_users",
            "carries",
            "compacted_creations",
            "compacted_users"
        ]
        .map(columns),
        [
            "id user_id kind prompt status attempt tokens charge tokens_used created_at queued_at started_at heartbeat_at extended_until finished_at error error_code \
             worker fence progress result_url late_result_url late_at restored_at settled_elsewhere balance_elsewhere deleted_at event \
             event_destinations stuck_status age_ms max_age_ms rule sweep_id",
            "creation_id attempt outcome worker fence started_at heartbeat_at finished_at error error_code stuck_status age_ms \
             max_age_ms rule sweep_id tokens_used",
            "creation_id until reason",
            "entry_key user_id type creation_id sweep_id tokens created_at",
            "user_id tokens",
            "user_id creations deleted tokens first_created_at last_created_at",
            "user_id created_at entries",
            "id owner hour",
            // A number is the database's own.
            "number user_id",
        ]
    );
    // Of these, what is about a creation goes with it. What kinds have, and what operators did to all, is the database's own.
    assert_eq!(
        ["extensions", "audit"].map(columns),
        ["scope name until since actor reason ended_at ended_by", "id at actor action detail subject"]
    );
}

#[test]
fn what_is_about_a_creation_goes_with_it_and_what_is_about_all_stays() {
    let (source, target) = (database(), Sqlite::new());
    for (id, user_id) in [("c", "anna"), ("b", "ben")] {
        add(&source, id, json!({ "user_id": user_id, "kind": "video" }));
        let extension = Extension { until: at(NOW + HOUR), actor: "ops", reason: "it is slow", audit_id: id };
        source.all(&store::extend(id, extension, now()));
        let note = store::note(
            &format!("note {id}"),
            "ops",
            "ask the provider",
            store::Subject::Creation(id),
            now(),
        );
        assert_eq!(source.all(&note).last().map(Vec::len), Some(1));
    }
    source.write(
        "INSERT INTO stale_drafts_extensions (scope, name, until, since, actor, reason) VALUES ('kind', 'video', 1800000000000, 1, 'ops', 'x'), ('kind', 'c', 1800000000000, 1, 'ops', 'x');
         UPDATE stale_drafts_creations SET extended_until = 1800000000000;
         INSERT INTO stale_drafts_sweeps (id, source, started_at) VALUES ('c', 'cron', 1);
         INSERT INTO stale_drafts_audit (id, at, actor, action, detail, subject) VALUES ('s', 1, 'ops', 'note', 'x', 'sweep:c'), ('all', 1, 'ops', 'paused', 'x', NULL)",
    );
    let anna = u32::from(Bucket::of_user("anna").number());
    let planned = Move { buckets: Buckets { first: anna, last: anna }, ..MOVE };
    reach([&source, &target], planned, Goal::Moved);
    // On the way nobody adds to it.
    for database in [&source, &target] {
        let note = store::note("late", "ops", "x", store::Subject::Creation("c"), now());
        assert!(database.transaction(&note).unwrap_err().is_moving());
        let extension = Extension { until: at(1_900_000_000_000), actor: "ops", reason: "x", audit_id: "y" };
        assert!(database.transaction(&store::extend("c", extension, now())).unwrap_err().is_moving());
    }
    reach([&source, &target], planned, Goal::Done);
    let about = |database: &Sqlite| {
        let given = database.read("SELECT scope, name FROM stale_drafts_extensions ORDER BY scope, name");
        (given, database.read("SELECT id FROM stale_drafts_audit ORDER BY id"))
    };
    assert_eq!(about(&target), (vec![json!(["creation", "c"])], vec![json!(["c"]), json!(["note c"])]));
    let stays = ["all", "b", "note b", "s"].map(|id| json!([id])).to_vec();
    let given = vec![json!(["creation", "b"]), json!(["kind", "c"]), json!(["kind", "video"])];
    assert_eq!(about(&source), (given, stays));
    // The creation has its time there, and says who gave it. What its kind had stays with it too: it is in the row.
    let until = target.read("SELECT extended_until FROM stale_drafts_creations");
    assert_eq!(until, [json!([1_800_000_000_000_u64])]);
    let explained = target.all(&store::explain("c"));
    let given: Vec<GivenRow> = store::typed_rows(explained[6].clone()).unwrap();
    assert_eq!(given.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>(), ["ops"]);
    assert_eq!(target.one(store::acts(store::Subject::Creation("c"))).len(), 2);
}

/// What the monitor sees of the moves of a database.
fn seen(database: &Sqlite) -> Vec<(String, u64)> {
    let results = wait(database.run(&store::observe(now()))).unwrap();
    let moves = store::observed(results).unwrap().evidence.moves;
    let rows = wait(database.run(&[store::open_moves()])).unwrap().remove(0);
    assert_eq!(store::open_moves_of(rows, "").unwrap().0, moves);
    moves.into_iter().map(|row| (row.state, row.stepped_at.as_millis())).collect()
}

#[test]
fn the_monitor_sees_how_far_a_move_is_and_when_it_last_went_on() {
    let (source, target) = (database(), Sqlite::new());
    for number in 0..20 {
        add(&source, &format!("c{number}"), json!({}));
    }
    let few = |minute: u64| {
        let bounds = Bounds {
            queries: 30,
            users: 1,
            page: PageSize { rows: 2, bytes: 300, slice: 2 },
            ..Bounds::default()
        };
        let then = at(NOW + minute * MINUTE);
        wait(step(&source, &target, MOVE, Goal::Moved, then, bounds)).unwrap()
    };
    assert_eq!((seen(&source), seen(&target)), (vec![], vec![]));
    few(0);
    assert_eq!(seen(&source), [(String::from("paused"), NOW)]);
    // It is in the same state, and goes on.
    few(1);
    let said =
        |row: &Progress| row.source.as_ref().map(|row| (row.state.clone(), row.changed_at, row.stepped_at));
    let progress = few(2);
    assert_eq!(said(&progress).unwrap(), (String::from("paused"), NOW, NOW + 2 * MINUTE));
    assert_eq!(seen(&source), [(String::from("paused"), NOW + 2 * MINUTE)]);
    assert_eq!(seen(&target), [(String::from("arriving"), NOW)]);
    reach([&source, &target], MOVE, Goal::Moved);
    assert_eq!(seen(&source), [(String::from("moved"), NOW + HOUR)]);
    // The target is open, and left to the source.
    assert!(!go([&source, &target], MOVE, Goal::Done, at(NOW + HOUR)).unwrap().done);
    assert_eq!((seen(&source), seen(&target)), (vec![], vec![]));
    // It costs the monitor no row where no move is open.
    let plan = source.read(&format!("EXPLAIN QUERY PLAN {}", store::open_moves().sql));
    assert!(
        plan.iter()
            .any(|row| row[3].as_str().unwrap().contains("INDEX stale_drafts_moves_by_is_over (is_over=?)")),
        "{plan:?}"
    );
}

#[test]
fn a_mover_that_died_between_its_first_two_writes_finds_its_move_again() {
    let (source, target) = (filled(), Sqlite::new());
    let before = everything(&source);
    let sides = || (Shard { name: "DB_1", database: &source }, Shard { name: "DB_2", database: &target });
    let configured = json!({ "shards": [{ "binding": "DB_1", "buckets": "0-4095" }, { "binding": "DB_2", "buckets": "" }] });
    let configured = Config::from_json(&configured).unwrap().shards;
    let found = |goal| wait(planned(&sides().0, &sides().1, ALL, goal, &configured)).unwrap();
    assert_eq!(found(Goal::Moved), Ok(Plan::Begins));
    wait(on_record(&source, &target));
    target.all(&[store::begin_move("m1", "target", ALL, "DB_1", "arriving", now())]);
    // Under another id it could neither go on nor end.
    let other = Move { id: "m9", ..MOVE };
    assert!(refusal(go([&source, &target], other, Goal::Moved, now())).contains("`m1`"));
    for goal in [Goal::Moved, Goal::Cancelled] {
        assert_eq!(found(goal), Ok(Plan::GoesOn(String::from("m1"))), "{goal:?}");
    }
    assert!(matches!(found(Goal::Done), Err(Wrong::NotNow(_))));
    reach([&source, &target], MOVE, Goal::Cancelled);
    assert_eq!(found(Goal::Moved), Ok(Plan::Begins));
    finish([&source, &target], other);
    assert_eq!(everything(&target), before);
    // By the configuration it could begin, and by the record the target has them.
    let Err(Wrong::NotNow(why)) = found(Goal::Moved) else { panic!() };
    assert!(why.starts_with("`DB_2` has the buckets 0-4095 already, by its record"), "{why}");
}

/// A target that says how many entries of its ledger a statement may look at, whosever they are.
struct Counted<'a> {
    sqlite: &'a Sqlite,
    most: Cell<u64>,
}

impl Database for Counted<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        for Statement { sql, params } in batch.iter().filter(|statement| statement.sql.contains("AS until")) {
            let [_, Param::Text(after), _, _, slice, until] = params.as_slice() else { panic!("{params:?}") };
            assert_eq!(*slice, Param::Null);
            let until = match until {
                Param::Text(until) => Some(until.as_str()),
                _ => None,
            };
            let after: [String; 1] = serde_json::from_str(after).unwrap();
            let sql = if sql.contains("stale_drafts_ledger") {
                let until = until.map_or(String::from("x''"), |until| format!("'{until}'"));
                format!(
                    "SELECT count(*) FROM stale_drafts_ledger WHERE entry_key > '{}' AND entry_key <= {until}",
                    after[0]
                )
            } else {
                let id = |text: &str| match text.split_at(1) {
                    ("t", hex) => format!("CAST(x'{hex}' AS TEXT)"),
                    (_, hex) => format!("x'{hex}'"),
                };
                let until = until.map_or(format!("x'{}'", "ff".repeat(17)), id);
                let after = id(&after[0]);
                format!(
                    "SELECT count(*) FROM stale_drafts_compacted_creations WHERE id > {after} AND id <= {until}"
                )
            };
            self.most.set(self.most.get().max(self.sqlite.read(&sql)[0][0].as_u64().unwrap()));
        }
        self.sqlite.run(batch).await
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

#[test]
fn a_target_with_a_large_ledger_is_compared_slice_by_slice() {
    let compacted = |database: &Sqlite, owner: (u32, &str), prefixes: &[&str], n: u32| {
        let (number, user) = owner;
        database.write(&format!("INSERT INTO stale_drafts_compacted_users VALUES ({number}, '{user}')"));
        for prefix in prefixes {
            database.write(&format!(
                "INSERT INTO stale_drafts_compacted_creations (id, owner, hour)
                 WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {n})
                 SELECT {prefix}printf('%04d', n){}, {number}, 0 FROM n",
                if prefix.starts_with("unhex") { ")" } else { "" }
            ));
        }
    };
    let bounds =
        Bounds { queries: 60, page: PageSize { rows: 10, bytes: 1_000_000, slice: 20 }, ..Bounds::default() };
    // Others have many entries in the target: before all that moves, between, and behind.
    let filled = |entries: u32| {
        let (source, target) = (database(), Sqlite::new());
        for number in 0..30 {
            add(&source, &format!("m{number}"), json!({}));
        }
        // Ids that are bytes come after all texts.
        compacted(&source, (8, "anna"), &["'m' || ", "unhex('8800' || "], 15);
        let others = [
            "'a' || ",
            "'m0007x' || ",
            "'x' || ",
            "unhex('00' || ",
            "unhex('88000007' || ",
            "unhex('ff' || ",
        ];
        compacted(&target, (7, "eve"), &others, entries);
        for prefix in ["a", "charge:m1", "charge:m2x", "grant:x", "z"] {
            target.write(&format!(
                "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
                 WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {entries})
                 SELECT '{prefix}' || '-' || printf('%04d', n), 'eve', 'grant', 1, 1 FROM n"
            ));
        }
        (source, target)
    };
    let go_on = |source: &Sqlite, target: &Sqlite| {
        let target = Counted { sqlite: target, most: Cell::new(0) };
        let mut steps = 0;
        loop {
            steps += 1;
            let progress = wait(step(source, &target, MOVE, Goal::Moved, now(), bounds));
            if !matches!(&progress, Ok(progress) if !progress.done) {
                return (progress, steps, target.most.get());
            }
            assert!(steps < 200);
        }
    };
    for (entries, least) in [(1, 1), (20, 1), (500, 6)] {
        let (source, target) = filled(entries);
        let before = everything(&source);
        let (progress, steps, most) = go_on(&source, &target);
        assert!(progress.unwrap().done);
        assert!(most <= 20 && steps >= least, "{entries}: {most} at once, {steps} steps");
        target.write("DELETE FROM stale_drafts_moving_users; DROP TRIGGER stale_drafts_ledger_is_append_only_delete; DELETE FROM stale_drafts_ledger WHERE user_id = 'eve';
          DELETE FROM stale_drafts_balances WHERE user_id = 'eve';
          DELETE FROM stale_drafts_compacted_creations WHERE owner = 7; DELETE FROM stale_drafts_compacted_users WHERE user_id = 'eve'");
        assert_eq!(everything(&target), before);
    }
    let copied = |source: &Sqlite, target: &Sqlite| {
        while source.read("SELECT state FROM stale_drafts_moves") != [json!(["copied"])] {
            let few = Bounds { queries: 15, ..bounds };
            wait(step(source, target, MOVE, Goal::Moved, now(), few)).unwrap();
        }
    };
    for id in ["'0'", "'m0007x0499x'", "'n'", "x'00'", "x'88000008ff'", "x'ff9999'"] {
        let (source, target) = filled(500);
        copied(&source, &target);
        target.write(&format!("INSERT INTO stale_drafts_compacted_creations VALUES ({id}, 8, 0)"));
        let refused = refusal(go_on(&source, &target).0);
        assert!(refused.starts_with("the compacted creations of move `m1` differ"), "{id}: {refused}");
    }
    // An entry too many is found wherever it stands.
    for key in ["0", "a-0007x", "charge:m15x", "charge:m2x-0499x", "grant:y", "zz"] {
        let (source, target) = filled(500);
        copied(&source, &target);
        target.write(&format!(
            "UPDATE stale_drafts_moves SET writing = 1;
             INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('{key}', 'anna', 'grant', 1, 1);
             UPDATE stale_drafts_moves SET writing = 0"
        ));
        let refused = refusal(go_on(&source, &target).0);
        assert!(
            refused.starts_with("the ledger of move `m1` differs")
                || refused.starts_with("the ledger of move `m1` differ"),
            "{key}: {refused}"
        );
    }
}

fn shards_of<const N: usize>(buckets: [(&str, &str); N]) -> stale_drafts::config::Shards {
    let shards: Vec<_> =
        buckets.iter().map(|(binding, buckets)| json!({ "binding": binding, "buckets": buckets })).collect();
    Config::from_json(&json!({ "shards": shards })).unwrap().shards
}

#[test]
fn another_move_that_is_in_the_way_is_named_with_what_it_waits_for() {
    let (source, target) = (filled(), Sqlite::new());
    let half = Move { buckets: Buckets { first: 2_048, last: 4_095 }, ..MOVE };
    let (one, two) = (Shard { name: "DB_1", database: &source }, Shard { name: "DB_2", database: &target });
    let configured = shards_of([("DB_1", "0-2047"), ("DB_2", "2048-4095")]);
    let ask = |from: &Shard<'_, Sqlite>, to: &Shard<'_, Sqlite>, first, last, goal| match wait(planned(
        from,
        to,
        Buckets { first, last },
        goal,
        &configured,
    ))
    .unwrap()
    {
        Err(Wrong::NotNow(why)) => why,
        other => panic!("{other:?}"),
    };
    let name = "move `m1` of the buckets 2048-4095 from `DB_1` to `DB_2` is about some of the buckets";
    let finish = "`mark-stale-drafts shards finish --from DB_1 --to DB_2 --buckets 2048-4095`";
    reach([&source, &target], half, Goal::Moved);
    // Other buckets of the same way, and the way back.
    let moved = format!(
        "and is `moved` in `DB_1`: it can't be cancelled; give its buckets to `DB_2` in the configuration, deploy that, and end it with {finish}"
    );
    for goal in [Goal::Moved, Goal::Done, Goal::Cancelled] {
        assert_eq!(ask(&one, &two, 2_048, 4_094, goal), format!("{name} 2048-4094, {moved}"), "{goal:?}");
    }
    assert!(
        ask(&two, &one, 2_048, 4_095, Goal::Moved)
            .starts_with(&format!("{name} 2048-4095, and is `arriving` in `DB_2`: "))
    );
    go([&source, &target], half, Goal::Done, at(NOW)).unwrap();
    let opened = target.read("SELECT changed_at FROM stale_drafts_moves")[0][0].as_u64().unwrap();
    let seconds = (opened / 1_000 + 15 * 60) % 86_400;
    let time = format!("{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    assert_eq!(
        ask(&two, &one, 2_048, 2_100, Goal::Moved),
        format!(
            "{name} 2048-2100, and is `open` in `DB_2`: it can't be cancelled, and is done after {time}, 15 minutes after it was opened: by cron, or by {finish}"
        )
    );
    // Once it is over, from and to that are swapped.
    assert!(go([&source, &target], half, Goal::Done, at(NOW + HOUR)).unwrap().done);
    assert_eq!(
        ask(&two, &one, 30, 40, Goal::Moved),
        "`DB_1` has the buckets 30-40 already, by its record: nothing is to move from `DB_2`. If the configuration gives them to another one, give them to `DB_1` and deploy that"
    );
    assert_eq!(wait(planned(&two, &one, half.buckets, Goal::Moved, &configured)).unwrap(), Ok(Plan::Begins));
}

#[test]
fn another_move_that_is_being_cancelled_is_to_be_cancelled_first() {
    let (source, target) = (filled(), Sqlite::new());
    wait(on_record(&source, &target));
    let half = Buckets { first: 2_048, last: 4_095 };
    source.all(&[store::begin_move("m1", "source", half, "DB_2", "paused", now())]);
    source.all(&[store::turn_move("m1", "paused", "cancelling", None, now())]);
    let sides = (Shard { name: "DB_1", database: &source }, Shard { name: "DB_2", database: &target });
    let found =
        wait(planned(&sides.0, &sides.1, ALL, Goal::Moved, &shards_of([("DB_1", "0-4095"), ("DB_2", "")])));
    assert_eq!(
        found.unwrap(),
        Err(Wrong::NotNow(String::from(
            "move `m1` of the buckets 2048-4095 from `DB_1` to `DB_2` is about some of the buckets 0-4095, and is `cancelling` in `DB_1`: end its cancellation with `mark-stale-drafts shards cancel --from DB_1 --to DB_2 --buckets 2048-4095`"
        )))
    );
}

#[test]
fn a_move_that_differs_in_one_thing_is_another_one() {
    for (role, first_bucket, last_bucket, other) in [
        ("target", 0, 4_095, "DB_2"),
        ("source", 1, 4_095, "DB_2"),
        ("source", 0, 4_094, "DB_2"),
        ("source", 0, 4_095, "DB_3"),
    ] {
        let (source, target) = (filled(), Sqlite::new());
        let state = if role == "target" { "arriving" } else { "paused" };
        wait(on_record(&source, &target));
        source.write(&format!(
            "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
             VALUES ('m1', '{role}', {first_bucket}, {last_bucket}, '{other}', '{state}', 0, 0, 0)"
        ));
        assert_eq!(
            refusal(go([&source, &target], MOVE, Goal::Moved, now())),
            format!(
                "move `m1` is another one in `DB_1`: {role} of buckets {first_bucket}-{last_bucket}, with `{other}`; expected source of buckets 0-4095, with `DB_2`"
            )
        );
    }
}

#[test]
fn what_a_restore_has_brought_back_is_removed_once_the_record_says_that_it_moved() {
    for restored_in in ["", "paused", "cancelled"] {
        let (source, target) = (filled(), Sqlite::new());
        finish([&source, &target], MOVE);
        let there = everything(&target);
        // As it was before the move, or in it.
        let restored = filled();
        wait(on_record(&restored, &Sqlite::new()));
        if !restored_in.is_empty() {
            restored.all(&[store::begin_move("m1", "source", ALL, "DB_2", "paused", now())]);
        }
        if restored_in == "cancelled" {
            restored.all(&[store::turn_move("m1", "paused", "cancelled", None, now())]);
        }
        let configured = shards_of([("DB_1", ""), ("DB_2", "0-4095")]);
        let sides =
            || (Shard { name: "DB_1", database: &restored }, Shard { name: "DB_2", database: &target });
        let found = || wait(planned(&sides().0, &sides().1, ALL, Goal::Done, &configured)).unwrap();
        let before = everything(&restored);
        assert!(matches!(found(), Err(Wrong::NotNow(_))), "{restored_in}: {:?}", found());
        assert!(
            refusal(go([&restored, &target], MOVE, Goal::Done, now()))
                .contains("docs/scale.md says how to correct")
        );
        assert_eq!(everything(&restored), before);
        restored.write("INSERT INTO stale_drafts_turned_buckets (first_bucket, last_bucket, state) VALUES (0, 4095, 'away')");
        assert_eq!(found(), Ok(Plan::GoesOn(String::from("m1"))));
        // It may die on the way.
        let few = Bounds { queries: 30, ..Bounds::default() };
        for _ in 0..40 {
            if wait(step(&restored, &target, MOVE, Goal::Done, now(), few)).unwrap().done {
                break;
            }
            assert_eq!(found(), Ok(Plan::GoesOn(String::from("m1"))));
        }
        assert_eq!((everything(&restored), everything(&target)), (Vec::new(), there.clone()));
        assert_eq!(restored.read("SELECT state FROM stale_drafts_moves"), [json!(["trimmed"])]);
        assert_eq!(restored.read("SELECT 1 FROM stale_drafts_moving_users"), Vec::<Value>::new());
        assert_eq!(
            restored.read("SELECT first_bucket, state FROM stale_drafts_buckets"),
            [json!([0, "away"])]
        );

        // What somebody wrote there afterwards, past all questions.
        restored.write("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:stray', 'ada', 'grant', 9, 0)");
        assert!(go([&restored, &target], MOVE, Goal::Done, now()).unwrap().done);
        assert!(!everything(&restored).is_empty());
        restored.write("UPDATE stale_drafts_moves SET state = 'moved' WHERE id = 'm1' AND role = 'source' AND state = 'trimmed'");
        // Who has nothing else is not removed before somebody has looked.
        let before = everything(&restored);
        assert_eq!(
            refusal(go([&restored, &target], MOVE, Goal::Done, now())),
            "user `ada` has something in `DB_1`, and nothing in `DB_2`: look what that is, grant it there, and repeat this"
        );
        assert_eq!((everything(&restored), everything(&target)), (before, there));
        target.write("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:again', 'ada', 'grant', 9, 0)");
        let there = everything(&target);
        assert!(go([&restored, &target], MOVE, Goal::Done, now()).unwrap().done);
        assert_eq!((everything(&restored), everything(&target)), (Vec::new(), there));
    }
}

/// A user of the buckets `first` to `last`.
fn user_of(first: u16, last: u16) -> String {
    let of = |user: &String| (first..=last).contains(&Bucket::of_user(user).number());
    (0..).map(|n| format!("user {n}")).find(of).unwrap()
}

const STRAY: &str = "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:' || ?1, ?1, 'grant', 9, 0)";

fn stray(database: &Sqlite, user: &str) {
    database.write(&STRAY.replace("?1", &format!("'{user}'")));
}

fn balances(database: &Sqlite) -> Vec<Value> {
    database.read("SELECT user_id FROM stale_drafts_balances ORDER BY user_id")
}

#[test]
fn copies_are_removed_without_a_move_where_both_records_say_whose_the_buckets_are() {
    let (one, two) = (Sqlite::new(), Sqlite::new());
    let [low, high] = [user_of(0, 99), user_of(100, 3_999)];
    for (database, state, other) in [(&one, "here", "away"), (&two, "away", "here")] {
        database.write(&format!(
            "INSERT INTO stale_drafts_buckets (first_bucket, state) VALUES (0, '{state}'), (100, '{other}'), (4000, 'away')"
        ));
        stray(database, &low);
        stray(database, &high);
    }
    let rest = Move { buckets: Buckets { first: 100, last: 3_999 }, ..MOVE };
    let sides = (Shard { name: "DB_1", database: &one }, Shard { name: "DB_2", database: &two });
    let configured = shards_of([("DB_1", "0-99"), ("DB_2", "100-4095")]);
    let found = |buckets| wait(planned(&sides.0, &sides.1, buckets, Goal::Done, &configured)).unwrap();
    // Not those that it has, nor those that neither has, nor with others.
    for buckets in
        [(0, 99), (4_000, 4_095), (100, 4_095), (0, 4_095)].map(|(first, last)| Buckets { first, last })
    {
        assert!(matches!(found(buckets), Err(Wrong::Unknown(_))), "{buckets:?}: {:?}", found(buckets));
        let all = [&one, &two].map(everything);
        refusal(go([&one, &two], Move { buckets, ..MOVE }, Goal::Done, now()));
        assert_eq!([&one, &two].map(everything), all);
    }
    assert_eq!(found(rest.buckets), Ok(Plan::Begins));
    assert!(go([&one, &two], rest, Goal::Done, now()).unwrap().done);
    assert_eq!(balances(&one), [json!([low])]);
    assert_eq!(balances(&two).len(), 2);
    assert_eq!(found(rest.buckets), Ok(Plan::GoesOn(String::from("m1"))));
    assert_eq!(
        two.read("SELECT first_bucket, state FROM stale_drafts_buckets"),
        [json!([0, "away"]), json!([100, "here"]), json!([4_000, "away"])]
    );
}

#[test]
fn copies_without_a_move_stay_unless_both_records_say_that_they_are_copies() {
    let record = |state: &str| {
        format!("INSERT INTO stale_drafts_buckets (first_bucket, state) VALUES (0, '{state}');")
    };
    let under_way = |role: &str, state: &str| {
        format!(
            "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
             VALUES ('m0', '{role}', 7, 8, 'DB_3', '{state}', 0, 0, 0);"
        )
    };
    let (here, away) = (record("here"), record("away"));
    for (what, in_source, in_target) in [
        ("the source has no record", String::new(), here.clone()),
        ("the source has them", here.clone(), here.clone()),
        ("the source gives some away", format!("{away}{}", under_way("source", "paused")), here.clone()),
        ("the target has no record", away.clone(), String::new()),
        ("the target does not have them", away.clone(), away.clone()),
        ("the target takes some", away.clone(), format!("{here}{}", under_way("target", "arriving"))),
    ] {
        let (one, two) = (Sqlite::new(), Sqlite::new());
        for (database, sql) in [(&one, in_source), (&two, in_target)] {
            database.write(&sql);
            stray(database, "ada");
        }
        let all = || {
            [&one, &two]
                .map(|database| (everything(database), database.read("SELECT * FROM stale_drafts_moves")))
        };
        let before = all();
        refusal(wait(moves::step(&one, &two, MOVE, Goal::Done, now(), Bounds::default())));
        assert_eq!(all(), before, "{what}");
    }
}

#[test]
fn what_is_cancelled_on_one_side_neither_goes_on_nor_is_done() {
    for (of_source, of_target) in [
        ("cancelling", "arriving"),
        ("cancelling", "cancelling"),
        ("cancelled", "cancelled"),
        ("paused", "cancelled"),
    ] {
        let (source, target) = (filled(), Sqlite::new());
        wait(on_record(&source, &target));
        for (database, role, state, other) in
            [(&source, "source", of_source, "DB_2"), (&target, "target", of_target, "DB_1")]
        {
            database.write(&format!(
                "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
                 VALUES ('m1', '{role}', 0, 4095, '{other}', '{state}', 0, 0, 0)"
            ));
        }
        for goal in [Goal::Moved, Goal::Done] {
            let why = refusal(go([&source, &target], MOVE, goal, now()));
            assert!(
                why.starts_with(
                    "move `m1` was cancelled: cancel it again until it is done, and begin another one"
                ),
                "{of_source}, {of_target}, {goal:?}: {why}"
            );
        }
    }
}

#[test]
fn what_has_come_back_since_is_not_removed() {
    let (one, two) = (filled(), Sqlite::new());
    finish([&one, &two], MOVE);
    let back = Move { id: "m2", buckets: Buckets { first: 0, last: 2_047 }, source: "DB_2", target: "DB_1" };
    finish([&two, &one], back);
    let all = [&one, &two].map(everything);
    assert!(!all[0].is_empty() && !all[1].is_empty());
    // One of those who have left comes back past the questions.
    let left = user_of(2_048, 4_095);
    stray(&two, &left);
    stray(&one, &left);
    let again = "UPDATE stale_drafts_moves SET state = 'moved' WHERE id = 'm1' AND role = 'source' AND state = 'trimmed'";
    assert!(!one.takes(again));
    // Whoever does it all the same removes nothing.
    let before = [&one, &two].map(everything);
    one.write("DROP TRIGGER stale_drafts_moves_update_again");
    one.write(again);
    let refused = refusal(go([&one, &two], MOVE, Goal::Done, now()));
    assert!(refused.starts_with("bucket 0 is not in `DB_2` by its record"), "{refused}");
    assert_eq!([&one, &two].map(everything), before);
    one.write("UPDATE stale_drafts_moves SET state = 'trimmed' WHERE id = 'm1'");
    one.write(
        "INSERT INTO stale_drafts_turned_buckets (first_bucket, last_bucket, state) VALUES (0, 2047, 'here')",
    );
    // Those that are away are removed by themselves.
    let rest = Move { id: "m3", buckets: Buckets { first: 2_048, last: 4_095 }, ..MOVE };
    assert!(go([&one, &two], rest, Goal::Done, now()).unwrap().done);
    assert_eq!(everything(&one), all[0]);
    assert_eq!(everything(&two), before[1]);
}

#[test]
fn another_database_in_place_of_the_source_neither_cancels_nor_goes_on() {
    let (source, target) = (filled(), Sqlite::new());
    reach([&source, &target], MOVE, Goal::Moved);
    let there = everything(&target);
    let other = Sqlite::new();
    for (record, why) in [
        ("SELECT 1", "`DB_2` has move `m1`, and `DB_1` has nothing on record"),
        (
            "INSERT INTO stale_drafts_buckets VALUES (0, 'away')",
            "`DB_2` has move `m1`, and bucket 0 is not in `DB_1` by its record",
        ),
        (
            "UPDATE stale_drafts_buckets SET state = 'here'",
            "user `anna` has arrived in `DB_2` by move `m1`, and `DB_1` knows of no such move",
        ),
    ] {
        other.write(record);
        for goal in [Goal::Moved, Goal::Cancelled] {
            let refused = refusal(wait(moves::step(&other, &target, MOVE, goal, now(), Bounds::default())));
            assert!(refused.starts_with(why) && refused.contains("docs/scale.md says"), "{refused}");
            assert_eq!((everything(&other), everything(&target)), (Vec::new(), there.clone()));
            assert_eq!(other.read("SELECT 1 FROM stale_drafts_moves"), Vec::<Value>::new());
        }
    }
    // Nor does it as it was before the move: what came since is in the target only.
    let restored = filled();
    for goal in [Goal::Moved, Goal::Cancelled] {
        let refused = refusal(go([&restored, &target], MOVE, goal, now()));
        assert!(refused.starts_with("user `anna` has arrived in `DB_2`"), "{refused}");
    }
    assert_eq!((everything(&restored), everything(&target)), (everything(&filled()), there.clone()));
    // The right one goes on.
    reach([&source, &target], MOVE, Goal::Done);
    assert_eq!(everything(&target), there);

    // An operator who wants to keep what the restored source has gives up the copy, as docs/scale.md says.
    let (source, target) = (filled(), Sqlite::new());
    reach([&source, &target], MOVE, Goal::Moved);
    wait(on_record(&restored, &target));
    restored.write(
        "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
         VALUES ('m1', 'source', 0, 4095, 'DB_2', 'cancelling', 0, 0, 0)",
    );
    assert!(go([&restored, &target], MOVE, Goal::Cancelled, now()).unwrap().done);
    assert_eq!((everything(&restored), everything(&target)), (everything(&filled()), Vec::new()));
    assert_eq!(restored.read("SELECT first_bucket, state FROM stale_drafts_buckets"), [json!([0, "here"])]);

    // Where it is lost for good, as docs/scale.md says: the target has all that is theirs.
    let (source, target) = (filled(), Sqlite::new());
    reach([&source, &target], MOVE, Goal::Moved);
    let there = everything(&target);
    let new = Sqlite::new();
    new.write(
        "INSERT INTO stale_drafts_buckets (first_bucket, state) VALUES (0, 'away');
         INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
         VALUES ('m1', 'source', 0, 4095, 'DB_2', 'moved', 0, 0, 0)",
    );
    finish([&new, &target], MOVE);
    assert_eq!((everything(&new), everything(&target)), (Vec::new(), there));
    assert_eq!(target.read("SELECT first_bucket, state FROM stale_drafts_buckets"), [json!([0, "here"])]);
}

#[test]
fn a_target_that_was_restored_to_before_it_was_open_is_opened_again() {
    let moved = || {
        let sides = (filled(), Sqlite::new());
        reach([&sides.0, &sides.1], MOVE, Goal::Moved);
        sides
    };
    // As it was then.
    let (_, restored) = moved();
    let there = everything(&restored);
    let (source, target) = moved();
    finish([&source, &target], MOVE);
    let refused = refusal(go([&source, &restored], MOVE, Goal::Done, now()));
    assert!(refused.contains("`trimmed` in `DB_1` and `arriving` in `DB_2`"), "{refused}");
    source.write("UPDATE stale_drafts_moves SET state = 'moved' WHERE id = 'm1' AND role = 'source' AND state = 'trimmed'");
    finish([&source, &restored], MOVE);
    assert_eq!((everything(&source), everything(&restored)), (Vec::new(), there));
}

#[test]
fn a_move_that_a_restore_has_brought_back_is_in_the_way_until_it_is_undone() {
    let (source, target) = (filled(), Sqlite::new());
    finish([&source, &target], MOVE);
    let there = everything(&target);
    // As it was in a move before this one, which was cancelled then.
    let restored = filled();
    wait(on_record(&restored, &Sqlite::new()));
    restored.all(&[store::begin_move("m0", "source", ALL, "DB_2", "paused", now())]);
    restored.write(
        "INSERT INTO stale_drafts_turned_buckets (first_bucket, last_bucket, state) VALUES (0, 4095, 'away')",
    );
    let before = everything(&restored);
    let refused = refusal(go([&restored, &target], MOVE, Goal::Done, now()));
    assert!(
        refused.contains("move `m0` of the buckets 0-4095 from `DB_1` to `DB_2`")
            && refused.contains("is `paused` in `DB_1`"),
        "{refused}"
    );
    assert_eq!((everything(&restored), everything(&target)), (before, there.clone()));
    // As it says.
    assert!(go([&restored, &target], Move { id: "m0", ..MOVE }, Goal::Cancelled, now()).unwrap().done);
    // Which has put its buckets back, by the record: that is corrected once more.
    assert!(
        refusal(go([&restored, &target], MOVE, Goal::Done, now()))
            .contains("docs/scale.md says how to correct")
    );
    restored.write(
        "INSERT INTO stale_drafts_turned_buckets (first_bucket, last_bucket, state) VALUES (0, 4095, 'away')",
    );
    assert!(go([&restored, &target], MOVE, Goal::Done, now()).unwrap().done);
    assert_eq!((everything(&restored), everything(&target)), (Vec::new(), there));
}
