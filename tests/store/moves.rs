//! What a move takes along, whom it holds meanwhile, and when it can't begin.

use serde_json::{Value, json};
use stale_drafts::rules::{Bucket, CircuitBreaker, Policy, Timestamp};
use stale_drafts::service::moves::{Bounds, Goal, Move, MoveError, Progress, step};
use stale_drafts::store::{self, Buckets, Filter, PageSize, Window};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, add, at, database, now};

const ALL: Buckets = Buckets { first: 0, last: 4_095 };
const MOVE: Move<'_> = Move { id: "m1", buckets: ALL, source: "DB_1", target: "DB_2" };
const BACK: Move<'_> = Move { id: "m2", buckets: ALL, source: "DB_2", target: "DB_1" };

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
    for table in ["creations", "attempts", "rejected", "ledger", "balances", "archived_users"] {
        let columns = database.read(&format!("SELECT name FROM pragma_table_xinfo('stale_drafts_{table}')"));
        let quoted: Vec<_> =
            columns.iter().map(|row| format!("quote({})", row[0].as_str().unwrap())).collect();
        let (first, columns) = (quoted[0].clone(), quoted.join(", "));
        all.extend(database.read(&format!(
            "SELECT '{table}', {columns} FROM stale_drafts_{table} ORDER BY {first}, {columns}"
        )));
    }
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
         INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, finished_at) VALUES ('late', 1, 'restored', x'00ff', 1.5),
           ('late', 2, 'retried', CAST(x'610062' AS TEXT), 'soon')",
    );
    // What is archived is in the ledger and in the sums. Of one who has nothing else, too.
    add(&database, "archived", json!({ "status": "failed" }));
    database.write(
        "INSERT INTO stale_drafts_archiving VALUES (1, 'o', '[\"archived\"]'); DELETE FROM stale_drafts_creations WHERE id = 'archived';
         DELETE FROM stale_drafts_archiving;
         INSERT INTO stale_drafts_archived_users VALUES ('anna', 1, 0, 0, 7, NULL), ('dora', 3, 1, 0, NULL, NULL)",
    );
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
            "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, queued_at, started_at, heartbeat_at, finished_at, age_ms)
             VALUES ('garbage {n}', 'anna', '', '', 'pending', {n}, {value}, {value}, {value}, {value}, {value}, {value})"
        ));
    }
    database.write(&format!("INSERT INTO stale_drafts_rejected VALUES ('garbage 1', {NOW}, x'00'), ('garbage 2', 7, 'by a \"trigger\"')"));
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

/// Forgets a move by force.
fn return_to(source: &Sqlite, target: &Sqlite) {
    source.write("DELETE FROM stale_drafts_moving_users; DELETE FROM stale_drafts_moves; DELETE FROM stale_drafts_closed_buckets");
    target.write("UPDATE stale_drafts_moves SET writing = 1");
    for table in [
        "rejected",
        "attempts",
        "ledger",
        "creations",
        "balances",
        "archived_users",
        "moving_users",
        "moves",
        "closed_buckets",
    ] {
        target.write(&format!("DELETE FROM stale_drafts_{table}"));
    }
}

/// What an app's own hand may try of `anna`, and of `eve`, whom no mover has seen.
const WRITES: [&str; 5] = [
    "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens) VALUES ('new', 'anna', '', '', 'pending', 0)",
    "UPDATE stale_drafts_creations SET heartbeat_at = 7 WHERE id = 'c'",
    "DELETE FROM stale_drafts_creations WHERE id = 'free'",
    "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:x', 'anna', 'grant', 5, 1)",
    "DELETE FROM stale_drafts_balances WHERE user_id = 'anna'",
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
    assert!(accepts(&source, "anna") && accepts(&source, "ben"));

    reach([&source, &target], planned, Goal::Moved);
    assert_eq!([taken(&source), taken(&target)], [0, 0]);
    for database in [&source, &target] {
        assert!(!accepts(database, "anna") && accepts(database, "ben"));
        // Reads and others' writes go on.
        assert_eq!(
            database.read("SELECT id FROM stale_drafts_creations ORDER BY id"),
            [json!(["c"]), json!(["free"])]
        );
    }
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
    assert_eq!(refused, "bucket 0 is not in `DB_1`: it was moved away; move it from where it is to `DB_2`");
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
        "move `m0` in `DB_1` is about some of the buckets 0-4095, and is not done: end it first, or cancel it"
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
    target.write("DELETE FROM stale_drafts_schema WHERE version = 7");
    assert_eq!(
        begin(&source, &target),
        "the schema of `DB_2` is version 6: expected 7, apply the migrations"
    );

    // Whoever has rows in the target would lose them in a cancellation.
    let (source, target) = sides();
    target.write("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('g', 'anna', 'grant', 3, 1)");
    assert_eq!(
        begin(&source, &target),
        "user `anna` of `DB_1` has rows in `DB_2` already, or is of another move: expected none; remove them or move them back first"
    );
    assert!(go([&source, &target], MOVE, Goal::Cancelled, now()).unwrap().done);
    assert_eq!(target.read("SELECT user_id, tokens FROM stale_drafts_balances"), [json!(["anna", 3])]);
}

#[test]
fn a_row_that_differs_is_named_and_the_move_can_be_cancelled() {
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
        "the creations of move `m1` differ: the first row is `\"c\"` in `DB_1` and none in `DB_2`; cancel the move, and look what has written there"
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
    let stays = "stale_drafts_events stale_drafts_ledger_check stale_drafts_moving_users stale_drafts_repeated_starts";
    let moves = "stale_drafts_archived_users stale_drafts_attempts stale_drafts_balances stale_drafts_creations stale_drafts_ledger stale_drafts_rejected";
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
        ["creations", "attempts", "rejected", "ledger", "balances", "archived_users"].map(columns),
        [
            "id user_id kind prompt status attempt tokens created_at queued_at started_at heartbeat_at finished_at error error_code \
             worker fence progress result_url late_result_url late_at restored_at settled_elsewhere balance_elsewhere deleted_at event \
             event_destinations stuck_status age_ms max_age_ms rule sweep_id",
            "creation_id attempt outcome worker fence started_at heartbeat_at finished_at error error_code stuck_status age_ms \
             max_age_ms rule sweep_id",
            "creation_id until reason",
            "entry_key user_id type creation_id sweep_id tokens created_at",
            "user_id tokens",
            "user_id creations deleted tokens first_created_at last_created_at",
        ]
    );
}
