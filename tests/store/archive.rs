//! What ended long ago moves to the archive, and its money stays.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::{Value, json};
use stale_drafts::config::Keep;
use stale_drafts::rules::{Policy, Report, Thresholds, Timestamp};
use stale_drafts::service::archive::{Archive, Archived, Retention, Stopped, archive, archive_each};
use stale_drafts::service::creations;
use stale_drafts::service::monitor::{self, Occasion, Settings};
use stale_drafts::service::shards::Shard;
use stale_drafts::service::sweep::{Notify, Source, SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{self, Cost, Database, DatabaseError, Details, NewCreation, Row, Statement};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, NOW, ONE_DATABASE, add, at, database, now, policy};

const DAY: u64 = 24 * HOUR;
const KEEP: u32 = 30;
/// What ended before this goes.
const BEFORE: u64 = NOW / HOUR * HOUR - 30 * DAY;
const INVARIANTS: &str = include_str!("../invariants.sql");

/// A bucket in memory, which may refuse what it is given.
#[derive(Default)]
pub struct Bucket {
    pub objects: RefCell<BTreeMap<String, String>>,
    pub refuses: Cell<bool>,
}

impl Archive for Bucket {
    async fn put(&self, key: &str, content: String) -> Result<(), String> {
        if self.refuses.get() {
            return Err(String::from("the bucket does not answer"));
        }
        let before = self.objects.borrow_mut().insert(key.to_owned(), content.clone());
        assert!(before.is_none_or(|before| before == content), "{key} is overwritten by other content");
        Ok(())
    }
}

impl Bucket {
    pub fn lines(&self) -> Vec<(String, Value)> {
        let objects = self.objects.borrow();
        let lines = objects.iter().flat_map(|(key, content)| content.lines().map(move |line| (key, line)));
        lines.map(|(key, line)| (key.clone(), serde_json::from_str(line).unwrap())).collect()
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> =
            self.lines().iter().map(|(_, line)| line["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }
}

/// The database, whose calls fail from the `fails_at`th on: before they take effect, or after. What is `before` a call is written first.
struct Failing<'a> {
    database: &'a Sqlite,
    calls: Cell<u32>,
    fails_at: u32,
    after: bool,
    before: Option<(&'a str, &'a str)>,
}

impl<'a> Failing<'a> {
    fn new(database: &'a Sqlite, fails_at: u32, after: bool) -> Self {
        Failing { database, calls: Cell::new(0), fails_at, after, before: None }
    }
}

impl Database for Failing<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.calls.set(self.calls.get() + 1);
        if let Some((pattern, sql)) = self.before
            && batch.iter().any(|statement| statement.sql.contains(pattern))
        {
            self.database.write(sql);
        }
        let failed = self.calls.get() >= self.fails_at;
        if failed && (!self.after || self.calls.get() > self.fails_at) {
            return Err(DatabaseError::new("the database does not answer"));
        }
        let results = self.database.transaction(batch);
        if failed { Err(DatabaseError::new("its answer was lost")) } else { results }
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

fn retention() -> Retention<'static> {
    Retention { keep_days: KEEP, shard: "DB", max_objects: 20, max_queries: 1_000 }
}

pub fn run(database: &impl Database, bucket: &Bucket, now: Timestamp) -> Result<Option<Archived>, Stopped> {
    wait(archive(database, bucket, retention(), now))
}

pub fn hold(database: &Sqlite) {
    for query in INVARIANTS.split("-- name: ").skip(1) {
        assert_eq!(database.read(query.split_once('\n').unwrap().1), [] as [Value; 0], "{query}");
    }
}

fn ids(database: &Sqlite) -> Vec<String> {
    let rows = database.read("SELECT id FROM stale_drafts_creations ORDER BY id");
    rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

/// One that ended a minute before the day that is kept.
pub fn done(database: &Sqlite, id: &str, columns: Value) {
    let mut row = json!({ "status": "draft", "created_at": BEFORE - HOUR, "finished_at": BEFORE - 1, "result_url": "https://r.example/1" });
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    add(database, id, row);
}

/// A sweep's failure of a pending creation, with the sweep's row and roll-ups as a sweep leaves them.
fn timed_out(database: &Sqlite, id: &str, sweep_id: &str) {
    add(database, id, json!({ "created_at": BEFORE - 2 * HOUR }));
    let counted =
        json!([["failed", "image", "pending", "max_age_hours", 1, 5, 1, 0, 0, 0, 0, 0, 1]]).to_string();
    database.write(&format!(
        "SAVEPOINT swept;
         INSERT INTO stale_drafts_sweeps (id, source, started_at, finished_at, failed, refunded_tokens, counted)
           VALUES ('{sweep_id}', 'cron', {started}, {started}, 1, 5, '{counted}');
         UPDATE stale_drafts_balances SET tokens = tokens + 5 WHERE user_id = 'anna';
         UPDATE stale_drafts_creations SET status = 'failed', finished_at = {started}, error = 'it was stuck', error_code = 'generation_timeout',
           stuck_status = 'pending', age_ms = 2, max_age_ms = 1, rule = 'max_age_hours', sweep_id = '{sweep_id}' WHERE id = '{id}';
         RELEASE swept",
        started = BEFORE - HOUR,
    ));
}

#[test]
fn what_ended_before_the_days_that_are_kept_goes_and_nothing_else() {
    let database = database();
    for (id, columns) in [
        ("draft", json!({})),
        ("published", json!({ "status": "published" })),
        ("failed", json!({ "status": "failed", "error": "it broke", "error_code": "broken" })),
        ("free", json!({ "tokens": 0 })),
        ("deleted", json!({ "prompt": "", "result_url": null, "deleted_at": BEFORE - 1 })),
        ("seconds", json!({ "created_at": BEFORE / 1_000 })),
        ("garbage", json!({ "created_at": "yesterday", "started_at": "x" })),
        ("imported", json!({ "settled_elsewhere": 1, "finished_at": null, "status": "failed" })),
        ("attached", json!({ "status": "processing", "balance_elsewhere": 1 })),
    ] {
        done(&database, id, columns);
    }
    database.write("UPDATE stale_drafts_creations SET status = 'draft' WHERE id = 'attached'");
    let stay = [
        ("pending", json!({ "status": "pending", "finished_at": null })),
        ("processing", json!({ "status": "processing", "finished_at": null })),
        ("just", json!({ "finished_at": BEFORE })),
        ("long", json!({ "finished_at": NOW })),
        (
            "late",
            json!({ "status": "failed", "late_at": BEFORE - 1, "late_result_url": "https://r.example/2" }),
        ),
        ("just deleted", json!({ "deleted_at": BEFORE, "prompt": "", "result_url": null })),
        ("no end", json!({ "finished_at": null })),
        ("end in seconds", json!({ "finished_at": BEFORE / 1_000 })),
        ("end is text", json!({ "finished_at": "yesterday" })),
        ("ended before it was made", json!({ "created_at": BEFORE })),
        ("imported, no time", json!({ "settled_elsewhere": 1, "finished_at": null, "created_at": null })),
        ("attached~1", json!({ "status": "processing", "balance_elsewhere": 1 })),
        ("attached and failed", json!({ "status": "processing", "balance_elsewhere": 1 })),
    ];
    let mut expected: Vec<_> = stay.iter().map(|(id, _)| (*id).to_owned()).collect();
    expected.sort();
    for (id, columns) in stay {
        done(&database, id, columns);
    }
    database.write(
        "UPDATE stale_drafts_creations SET status = 'draft' WHERE id = 'attached~1';
         UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'attached and failed'",
    );
    hold(&database);
    let balances = database.read("SELECT * FROM stale_drafts_balances");
    let ledger = database.read("SELECT * FROM stale_drafts_ledger");
    let bucket = Bucket::default();

    let archived = run(&database, &bucket, now()).unwrap().unwrap();

    hold(&database);
    assert_eq!(ids(&database), expected);
    let gone =
        ["attached", "deleted", "draft", "failed", "free", "garbage", "imported", "published", "seconds"];
    assert_eq!(bucket.ids(), gone);
    assert_eq!((archived.creations, archived.raced, archived.more), (9, 0, false));
    // The two that are active are not over, and `ended before it was made` is too young to be counted.
    assert_eq!(archived.left, 10);
    assert_eq!(database.read("SELECT * FROM stale_drafts_balances"), balances);
    assert_eq!(database.read("SELECT * FROM stale_drafts_ledger"), ledger);
    // Once an hour.
    assert_eq!(run(&database, &bucket, now()), Ok(None));
}

#[test]
fn a_line_has_everything_that_was_here() {
    let database = database();
    let sql = "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, worker, started_at, finished_at, error, sweep_id)
         VALUES ('c', 1, 'retried', 'w0', 4, 5, 'it was \"stuck\"', '018')";
    done(
        &database,
        "c",
        json!({ "attempt": 2, "prompt": "a \"fox\"\n\u{1}狐", "progress": 90, "worker": "w1", "fence": "2.f" }),
    );
    database.write(sql);
    let bucket = Bucket::default();
    run(&database, &bucket, now()).unwrap();
    let [(key, line)] = bucket.lines().try_into().unwrap();
    let expected = json!({
        "id": "c", "user_id": "anna", "kind": "image", "prompt": "a \"fox\"\n\u{1}狐", "status": "draft", "attempt": 2, "tokens": 5,
        "created_at": BEFORE - HOUR, "finished_at": BEFORE - 1, "worker": "w1", "fence": "2.f", "progress": 90,
        "result_url": "https://r.example/1",
        "attempts": [{ "attempt": 1, "outcome": "retried", "worker": "w0", "started_at": 4, "finished_at": 5,
          "error": "it was \"stuck\"", "sweep_id": "018" }],
        "ledger": [{ "entry_key": "charge:c", "tokens": -5, "created_at": BEFORE - HOUR }],
    });
    assert_eq!(line, expected);
    // 1,700,000,000,000 ms is 2023-11-14T22:13:20Z, and 30 days and an hour before is the hour of its creation.
    assert!(key.starts_with("creations/2023-10-15/21/DB/") && key.ends_with(".ndjson"), "{key}");
    assert_eq!(ids(&database), [""; 0]);
    assert_eq!(database.read("SELECT * FROM stale_drafts_attempts"), [] as [Value; 0]);
    let counted = database.read(
        "SELECT object, first_id, last_id, creations, tokens, failed, retried FROM stale_drafts_archives",
    );
    assert_eq!(counted, [json!([key, "c", "c", 1, -5, 0, 1])]);
}

#[test]
fn what_a_sweep_failed_goes_after_the_row_of_the_sweep() {
    let database = database();
    timed_out(&database, "c", "018b");
    let bucket = Bucket::default();
    let archived = run(&database, &bucket, now()).unwrap().unwrap();
    assert_eq!((archived.creations, archived.left), (0, 1));
    database.write("DELETE FROM stale_drafts_sweeps");
    hold(&database);
    // What could not be archived is looked at again a day later.
    assert_eq!(run(&database, &bucket, at(NOW + HOUR)).unwrap().unwrap().creations, 0);
    assert_eq!(run(&database, &bucket, at(NOW + DAY)).unwrap().unwrap().creations, 1);
    hold(&database);
    assert_eq!(database.read("SELECT failed, tokens FROM stale_drafts_archives"), [json!([1, 0])]);
    let [(_, line)] = bucket.lines().try_into().unwrap();
    assert_eq!(line["ledger"].as_array().unwrap().len(), 2);
    // Neither can it be refunded once more, nor charged.
    for (kind, tokens) in [("refund", 5), ("charge", -5), ("restore", -5)] {
        let key = format!("{kind}:c");
        assert!(!database.takes(&format!(
            "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
             VALUES ('{key}', 'anna', '{kind}', 'c', {tokens}, 0)"
        )));
    }
    // Nor can it be made again.
    let again = store::create(
        NewCreation { id: "c", user_id: "anna", kind: "image", prompt: "a fox", tokens: 5 },
        now(),
    );
    assert!(database.transaction(&again).is_err());
}

#[test]
fn whoever_dies_at_any_call_loses_nothing_and_the_next_run_goes_on() {
    for after in [false, true] {
        for fails_at in 1.. {
            let database = database();
            for n in 0..6 {
                done(&database, &format!("c{n}"), json!({ "created_at": BEFORE - HOUR * (1 + n / 2) }));
            }
            let everything = ids(&database);
            let bucket = Bucket::default();
            let failing = Failing::new(&database, fails_at, after);
            let died = run(&failing, &bucket, now()).is_err();
            hold(&database);
            let mut kept: Vec<_> = ids(&database);
            kept.extend(bucket.ids());
            kept.sort();
            kept.dedup();
            assert_eq!(kept, everything);
            // The one that died had the turn to itself for ten minutes.
            let next = run(&database, &bucket, at(NOW + HOUR)).unwrap().unwrap();
            hold(&database);
            assert_eq!((ids(&database), bucket.ids()), (vec![], everything));
            if !died {
                assert_eq!(next.creations, 0);
                break;
            }
        }
    }
}

#[test]
fn a_bucket_that_does_not_answer_removes_nothing() {
    let database = database();
    done(&database, "c", json!({}));
    let bucket = Bucket::default();
    bucket.refuses.set(true);
    let stopped = run(&database, &bucket, now()).unwrap_err();
    assert_eq!(stopped.error, "the bucket does not answer");
    assert_eq!(ids(&database), ["c"]);
    hold(&database);
    bucket.refuses.set(false);
    assert_eq!(run(&database, &bucket, at(NOW + 9 * 60_000)), Ok(None));
    assert_eq!(run(&database, &bucket, at(NOW + 10 * 60_000)).unwrap().unwrap().creations, 1);
}

#[test]
fn what_has_changed_since_it_was_read_stays() {
    for change in [
        "UPDATE stale_drafts_creations SET deleted_at = 1, prompt = '', result_url = NULL WHERE id = 'b'",
        "UPDATE stale_drafts_creations SET status = 'published' WHERE id = 'b'",
        "UPDATE stale_drafts_creations SET result_url = 'https://r.example/3' WHERE id = 'b'",
        "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, finished_at) VALUES ('b', 1, 'retried', 5)",
    ] {
        let database = database();
        for id in ["a", "b", "c"] {
            done(&database, id, json!({ "attempt": 2 }));
            if id != "b" {
                database.write(&format!("INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, finished_at) VALUES ('{id}', 1, 'retried', 5)"));
            }
        }
        let bucket = Bucket::default();
        let failing = Failing {
            before: Some(("INTO stale_drafts_archiving", change)),
            ..Failing::new(&database, 99, false)
        };
        let archived = run(&failing, &bucket, now()).unwrap().unwrap();
        assert_eq!((archived.creations, archived.raced), (2, 1), "{change}");
        assert_eq!(ids(&database), ["b"]);
        assert_eq!(
            database.read("SELECT first_id, last_id, creations FROM stale_drafts_archives"),
            [json!(["a", "c", 2])]
        );
        // It goes the next day, as it is then.
        run(&database, &bucket, at(NOW + DAY)).unwrap();
        assert_eq!(ids(&database), [""; 0]);
        assert_eq!(bucket.ids(), ["a", "b", "b", "c"]);
    }
}

#[test]
fn two_runs_at_once_count_everything_once() {
    let database = database();
    for id in ["a", "b"] {
        done(&database, id, json!({}));
    }
    let bucket = Bucket::default();
    // The other one does all of it between this one's object and its transaction.
    struct Other<'a>(&'a Sqlite, &'a Bucket, Cell<bool>);
    impl Database for Other<'_> {
        async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
            if batch.len() > 1 && !self.2.replace(true) {
                self.0.write("UPDATE stale_drafts_archive_scan SET due_at = 0");
                assert_eq!(run(self.0, self.1, now()).unwrap().unwrap().creations, 2);
            }
            self.0.transaction(batch)
        }

        fn cost(&self) -> Cost {
            Cost::default()
        }
    }
    let archived = run(&Other(&database, &bucket, Cell::new(false)), &bucket, now()).unwrap().unwrap();
    assert_eq!((archived.creations, archived.raced), (0, 2));
    hold(&database);
    assert_eq!(database.read("SELECT sum(creations) FROM stale_drafts_archives"), [json!([2])]);
    assert_eq!(bucket.ids(), ["a", "b"]);
}

#[test]
fn a_run_is_bounded_and_says_that_there_is_more() {
    let database = database();
    database.write("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('g', 'anna', 'grant', 100000, 0)");
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 4999)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, finished_at)
         SELECT printf('c%05d', n), 'anna', 'image', '', 'draft', 5, {} + n * 1000, {} FROM n",
        BEFORE - 2 * HOUR,
        BEFORE - 1
    ));
    let bucket = Bucket::default();
    let retention = Retention { max_objects: 2, ..retention() };
    let next = |now| wait(archive(&database, &bucket, retention, now)).unwrap();
    let first = next(now()).unwrap();
    // Two objects of at most 1,000, which hold an hour each.
    assert_eq!((first.creations, first.objects, first.more), (2_000, 2, true));
    let mut runs = 1;
    // It is due again at once.
    while let Some(archived) = next(now()) {
        runs += 1;
        assert!(archived.objects <= 2);
    }
    assert_eq!(runs, 3);
    assert_eq!(ids(&database), [""; 0]);
    hold(&database);
    let hours: Vec<_> = bucket.objects.borrow().keys().map(|key| key[..24].to_owned()).collect();
    assert!(
        hours
            .iter()
            .all(|hour| ["creations/2023-10-15/20/", "creations/2023-10-15/21/"].contains(&hour.as_str())),
        "{hours:?}"
    );
    // What may no longer be asked is left to the next run.
    assert_eq!(
        wait(archive(&database, &bucket, Retention { max_queries: 3, ..retention }, at(NOW + DAY))),
        Ok(None)
    );
}

#[test]
fn the_search_goes_on_where_young_ones_begin() {
    let database = database();
    done(&database, "old", json!({}));
    add(&database, "young", json!({ "status": "draft", "created_at": NOW - HOUR, "finished_at": NOW }));
    done(&database, "imported later", json!({}));
    let bucket = Bucket::default();
    assert_eq!(run(&database, &bucket, now()).unwrap().unwrap().creations, 2);
    assert_eq!(database.read("SELECT after_rowid FROM stale_drafts_archive_scan"), [json!([1])]);
    let later = NOW + 30 * DAY;
    assert_eq!(run(&database, &bucket, at(later + HOUR)).unwrap().unwrap().creations, 1);
}

/// So many that are too young, each with a time of its own.
fn young(database: &Sqlite, name: &str, count: u32) {
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, finished_at)
         SELECT '{name}' || n, 'anna', 'image', '', 'draft', 0, {NOW} - n, {NOW} FROM n"
    ));
}

#[test]
fn what_is_behind_younger_ones_is_found_some_rows_an_hour() {
    let (database, bucket) = (database(), Bucket::default());
    let positions =
        || database.read("SELECT after_rowid, behind_rowid FROM stale_drafts_archive_scan").remove(0);
    let archived_at = |now| run(&database, &bucket, at(now)).unwrap().unwrap().creations;
    // One whose clock was wrong would be in front of all others for a century.
    done(&database, "of the future", json!({ "created_at": NOW * 2, "finished_at": NOW * 2 }));
    young(&database, "y", 6_000);
    done(&database, "moved here", json!({}));
    assert_eq!((archived_at(NOW), positions()), (0, json!([0, 5_000])));
    assert_eq!((archived_at(NOW + HOUR), positions()), (1, json!([0, null])));
    hold(&database);
    // The next round begins a day after the last one.
    done(&database, "moved later", json!({}));
    assert_eq!((archived_at(NOW + 2 * HOUR), positions()), (0, json!([0, null])));
    assert_eq!((archived_at(NOW + DAY), positions()), (0, json!([0, 5_000])));
    assert_eq!((archived_at(NOW + DAY + HOUR), positions()), (1, json!([0, null])));
    hold(&database);
    assert_eq!(bucket.ids(), ["moved here", "moved later"]);
}

#[test]
fn behind_younger_ones_a_run_goes_on_as_long_as_it_finds_something() {
    let (database, bucket) = (database(), Bucket::default());
    let old = |name: &str, count: u32| {
        database.write(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, finished_at)
             SELECT '{name}' || n, 'anna', 'image', '', 'draft', 0, {}, {} FROM n",
            BEFORE - HOUR,
            BEFORE - 1
        ));
    };
    // A move brings user by user what is old and what is young.
    for user in ["a", "b", "c"] {
        young(&database, &format!("{user}-young"), 2_500);
        old(&format!("{user}-old"), 2_500);
    }
    let bounded = Retention { max_objects: 5, ..retention() };
    let first = wait(archive(&database, &bucket, bounded, now())).unwrap().unwrap();
    assert_eq!((first.creations, first.objects, first.more), (4_500, 5, true));
    // It is due again at once, and goes on where it was.
    let next = wait(archive(&database, &bucket, retention(), now())).unwrap().unwrap();
    assert_eq!((next.creations, next.more), (3_000, false));
    hold(&database);
    assert_eq!(
        database.read("SELECT count(*) FROM stale_drafts_creations WHERE finished_at < 1690000000000"),
        [json!([0])]
    );
    assert_eq!(database.read("SELECT behind_rowid FROM stale_drafts_archive_scan"), [json!([null])]);
}

#[test]
fn what_can_not_go_keeps_the_search_behind_younger_ones_from_nothing() {
    let (database, bucket) = (database(), Bucket::default());
    young(&database, "y", 10);
    for n in 0..50 {
        done(
            &database,
            &format!("late{n}"),
            json!({ "status": "failed", "late_at": BEFORE - 1, "late_result_url": "https://r.example/2" }),
        );
    }
    done(&database, "goes", json!({}));
    let archived = run(&database, &bucket, now()).unwrap().unwrap();
    assert_eq!((archived.creations, archived.more), (1, false));
    assert_eq!(bucket.ids(), ["goes"]);
}

#[test]
fn since_when_it_is_switched_on() {
    let (database, bucket) = (database(), Bucket::default());
    let since =
        || database.read("SELECT since FROM stale_drafts_archive_scan").remove(0)[0].as_u64().unwrap();
    run(&database, &bucket, now()).unwrap();
    assert_eq!(since(), NOW);
    // A bucket that does not answer for hours does not begin it anew,
    done(&database, "c", json!({}));
    bucket.refuses.set(true);
    for minutes in (0..600).step_by(10) {
        drop(run(&database, &bucket, at(NOW + HOUR + minutes * 60_000)));
    }
    assert_eq!(since(), NOW);
    // and a week without it does.
    bucket.refuses.set(false);
    run(&database, &bucket, at(NOW + 7 * DAY)).unwrap();
    assert_eq!(since(), NOW + 7 * DAY);
}

/// A database that counts its queries.
struct Counting(Sqlite, Cell<u64>);

impl Database for Counting {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.1.set(self.1.get() + batch.len() as u64);
        self.0.transaction(batch)
    }

    fn cost(&self) -> Cost {
        Cost { queries: self.1.get(), ..Cost::default() }
    }
}

/// Databases with so many creations each, all of which are to be archived and of an hour of their own.
fn databases_with<const N: usize>(creations: [u64; N]) -> [Counting; N] {
    creations.map(|count| {
        let sqlite = database();
        for n in 0..count {
            done(&sqlite, &format!("c{n}"), json!({ "tokens": 1, "created_at": BEFORE - (n + 1) * HOUR }));
        }
        Counting(sqlite, Cell::new(0))
    })
}

#[test]
fn a_backlog_of_one_database_leaves_the_others_their_share() {
    let databases = databases_with([100, 3, 0, 100]);
    let shards: Vec<_> =
        databases.iter().zip(["A", "B", "C", "D"]).map(|(database, name)| Shard { name, database }).collect();
    let bucket = Bucket::default();
    let run = |max_queries| {
        let before: u64 = databases.iter().map(|database| database.1.get()).sum();
        let retention = Retention { shard: "", max_queries, ..retention() };
        let done = wait(archive_each(&shards, &bucket, retention, now()));
        let made = databases.iter().map(|database| database.1.get()).sum::<u64>() - before;
        assert!(made <= max_queries, "{made} of {max_queries}");
        done.into_iter()
            .map(|there| {
                assert_eq!(there.error, None);
                (there.shard, there.archived.creations, there.archived.more)
            })
            .collect::<Vec<_>>()
    };
    let first = run(150);
    let creations =
        |name: &str| first.iter().find(|(shard, ..)| shard == name).map(|(_, creations, _)| *creations);
    // What B and C did not need went to the two that have more to do.
    assert_eq!((creations("B"), creations("C")), (Some(3), Some(0)), "{first:?}");
    // Each has its own keys.
    let keys = |name: &str| {
        bucket.objects.borrow().keys().filter(|key| key.contains(&format!("/{name}/"))).count() as u64
    };
    assert_eq!(["A", "B", "D"].map(|name| Some(keys(name))), ["A", "B", "D"].map(creations), "{first:?}");
    let (a, d) = (creations("A").unwrap(), creations("D").unwrap());
    assert!(a.min(d) >= 5 && a + d >= 14, "{first:?}");
    // The ones that are done are not due; each goes on where it was.
    let second = run(150);
    assert!(
        second
            .iter()
            .all(|(shard, creations, more)| ["A", "D"].contains(&shard.as_str()) && *creations >= 5 && *more),
        "{second:?}"
    );
    // Too few for all of them: nobody is begun that could not do anything.
    assert_eq!(run(12).len(), 1);
    let alone = run(2_000);
    assert!(
        alone.iter().all(|(_, creations, _)| *creations == 20),
        "at most so many objects of each: {alone:?}"
    );
}

#[test]
fn what_others_did_not_need_is_no_reason_for_more_objects_than_the_most() {
    let databases = databases_with([100, 0]);
    let shards = [0, 1].map(|at| Shard { name: ["A", "B"][at], database: &databases[at] });
    // Half of the queries are too few for 20 objects, and twice as many as that half are enough for more.
    let retention = Retention { max_queries: 200, ..retention() };
    let done = wait(archive_each(&shards, &Bucket::default(), retention, now()));
    assert_eq!((done[0].shard.as_str(), done[0].archived.objects), ("A", 20));
}

#[test]
fn no_query_is_made_that_could_do_nothing() {
    let queries = |creations, max_queries| {
        let databases = databases_with([creations]);
        let shards = [Shard { name: "A", database: &databases[0] }];
        let retention = Retention { max_queries, ..retention() };
        let done = wait(archive_each(&shards, &Bucket::default(), retention, now()));
        (done[0].archived.objects, done[0].archived.more, databases[0].1.get())
    };
    // The turn, a look at the rows, the documents of each object and the six statements that remove them, and the end of the turn. Of one
    // object more the documents are read before it is known that it is too many.
    assert_eq!(queries(100, 1_000), (20, true, 1 + 1 + 20 * 7 + 1 + 1));
    // It is looked behind the last row too.
    assert_eq!(queries(3, 1_000), (3, false, 1 + 1 + 3 * 7 + 1 + 1));
    // Too few for an object: it is not tried again in the same run.
    assert_eq!(queries(100, 10), (0, true, 1 + 1 + 1 + 1));
}

#[test]
fn a_database_that_is_dead_keeps_the_archive_of_no_other_one() {
    let databases = databases_with([2, 2]);
    let failing = [Failing::new(&databases[0].0, 1, false), Failing::new(&databases[1].0, 99, false)];
    let shards = [0, 1].map(|at| Shard { name: ["A", "B"][at], database: &failing[at] });
    let done = wait(archive_each(&shards, &Bucket::default(), retention(), now()));
    let [dead, alive] = <[_; 2]>::try_from(done).unwrap();
    assert_eq!((dead.shard.as_str(), dead.error.as_deref()), ("A", Some("the database does not answer")));
    assert_eq!((alive.shard.as_str(), alive.archived.creations, alive.error), ("B", 2, None));
}

#[test]
fn long_texts_are_spread_over_objects() {
    let database = database();
    let prompt = "\u{1}".repeat(20_000);
    for n in 0..30 {
        done(&database, &format!("c{n:02}"), json!({ "prompt": prompt, "tokens": 1 }));
    }
    let bucket = Bucket::default();
    let archived = run(&database, &bucket, now()).unwrap().unwrap();
    assert_eq!(archived.creations, 30);
    assert!(archived.objects > 2, "{archived:?}");
    assert!(bucket.objects.borrow().values().all(|content| content.len() < 1_500_001));
}

#[test]
fn nobody_else_removes_what_the_ledger_refers_to() {
    let database = database();
    done(&database, "paid", json!({}));
    done(&database, "free", json!({ "tokens": 0 }));
    assert!(!database.takes("DELETE FROM stale_drafts_creations WHERE id = 'paid'"));
    assert!(database.takes("DELETE FROM stale_drafts_creations WHERE id = 'free'"));
    add(&database, "pending", json!({}));
    database.write("INSERT INTO stale_drafts_archiving VALUES (1, 'k', '[]')");
    assert!(!database.takes("DELETE FROM stale_drafts_creations WHERE id = 'pending'"));
}

#[test]
fn the_check_of_the_ledger_counts_what_is_archived() {
    let database = database();
    done(&database, "c", json!({}));
    add(&database, "d", json!({}));
    run(&database, &Bucket::default(), now()).unwrap();
    let differs = || store::observed(database.all(&store::observe(now()))).unwrap().evidence.differs;
    assert_eq!(differs(), [""; 0]);
    database.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'anna'");
    assert_eq!(differs(), ["anna"]);
}

#[test]
fn where_an_archived_creation_is() {
    let database = database();
    done(&database, "b", json!({}));
    done(&database, "d", json!({ "deleted_at": BEFORE - 1, "prompt": "", "result_url": null }));
    done(&database, "other", json!({ "user_id": "ben", "created_at": "x" }));
    let bucket = Bucket::default();
    run(&database, &bucket, now()).unwrap();
    let place = |id, created_at| store::place_of(database.one(store::archived(id, created_at))).unwrap();
    let found = place("b", None).unwrap();
    assert_eq!(found.prefix, "creations/2023-10-15/21/");
    assert_eq!(found.user_id.as_deref(), Some("anna"));
    assert!(found.objects.len() == 1 && bucket.objects.borrow().contains_key(&found.objects[0]), "{found:?}");
    // One of which the ledger knows nothing is found by the time in its id.
    assert_eq!(place("c", None), None);
    let guess = place("c", Some(at(BEFORE - HOUR))).unwrap();
    assert_eq!((guess.objects.len(), guess.user_id), (1, None));
    assert_eq!(place("e", Some(at(BEFORE - HOUR))).unwrap().objects, [""; 0]);

    let of = |user| store::archived_of(database.one(store::archived_of_user(user))).unwrap();
    let anna = of("anna").unwrap();
    assert_eq!(
        (anna.creations, anna.first_created_at, anna.last_created_at),
        (1, Some(BEFORE - HOUR), Some(BEFORE - HOUR))
    );
    assert_eq!(of("ben").unwrap().last_created_at, None);
    assert_eq!(of("nobody"), None);
}

/// Numbers that look random and repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Whatever comes in, ends, fails, is deleted, restored, swept, trimmed and archived in any order, with a death in the middle of an
/// archive: the invariants hold after each step, and every creation is here or in the archive, as it was.
#[test]
fn whatever_happens_no_creation_and_no_token_is_lost() {
    let policy = policy(&[(&["max_age_hours"], 1.0), (&["attempts"], 2.0)]);
    let keep = Keep { sweeps: 1, creations: Some(2), ..Keep::default() };
    let mut archived = 0;
    for seed in 0..20 {
        let (database, bucket, mut random) = (database(), Bucket::default(), Random(seed));
        let (mut time, mut made, mut fences) = (NOW, 0_u64, BTreeMap::new());
        for step in 0..120 {
            time += random.below(6 * HOUR);
            let now = at(time);
            let id = format!("c{}", random.below(made.max(1)));
            let fence: String = fences.get(&id).cloned().unwrap_or_default();
            let user = ["anna", "ben"][usize::try_from(random.below(2)).unwrap()];
            let details = Details { random: "f", user_id: user, keep: true, ..Details::default() };
            let report = |report| wait(creations::report(&database, &id, report, details, now));
            match random.below(12) {
                0..=2 => {
                    let tokens = random.below(9);
                    let id = format!("c{made}");
                    let new = NewCreation { id: &id, user_id: user, kind: "image", prompt: "a fox", tokens };
                    made += u64::from(wait(creations::create(&database, new, now)).is_ok());
                }
                3 | 4 => {
                    if let Ok(row) = report(Report::Start { worker: "w" }) {
                        fences.insert(id.clone(), row.fence.unwrap_or_default());
                    }
                }
                5 | 6 => {
                    let tokens_used = Some(random.below(9)).filter(|used| *used < 6);
                    let result_url = "https://r.example/1";
                    drop(report(Report::Complete { fence: &fence, result_url, tokens_used }));
                }
                7 => {
                    let tokens_used = Some(random.below(9)).filter(|used| *used < 3);
                    drop(report(Report::Fail { fence: Some(&fence), error_code: "broken", tokens_used }));
                }
                8 => drop(report(if random.below(2) == 0 { Report::Publish } else { Report::Delete })),
                9 => drop(report(match random.below(4) {
                    0 => Report::Cancel { attempt: None, policy: &policy },
                    1 => Report::Restore,
                    _ => {
                        let attempt = format!("SELECT attempt FROM stale_drafts_creations WHERE id = '{id}'");
                        let attempt = database.read(&attempt).first().and_then(|row| row[0].as_u64());
                        Report::Retry { attempt: u32::try_from(attempt.unwrap_or(1)).unwrap() }
                    }
                })),
                10 => {
                    sweep(
                        &database,
                        &policy,
                        &format!("{:08x}-{:04x}-7{step:03x}", time >> 16, time & 0xffff),
                        now,
                    );
                    let settings = Settings {
                        policy: &policy,
                        thresholds: &Thresholds::default(),
                        max_ms_since_sweep: u64::MAX,
                        keep,
                        destinations: 0,
                        shards: &ONE_DATABASE,
                        has_archive: false,
                    };
                    wait(monitor::run(
                        &Shard::one(&database),
                        &settings,
                        now,
                        Occasion::Cron { swept: true },
                    ))
                    .unwrap();
                }
                _ => {
                    let rows = "SELECT id, status, deleted_at, restored_at FROM stale_drafts_creations";
                    let before = database.read(rows);
                    let fails_at = u32::try_from(random.below(12)).unwrap() + 1;
                    let failing = Failing::new(&database, fails_at, random.below(2) == 0);
                    let retention = Retention { keep_days: 2, ..retention() };
                    drop(wait(archive(&failing, &bucket, retention, now)));
                    let (after, lines) = (database.read(rows), bucket.lines());
                    for row in before.iter().filter(|row| !after.contains(row)) {
                        archived += 1;
                        let same = |line: &Value| {
                            line["id"] == row[0]
                                && line["status"] == row[1]
                                && line["deleted_at"] == row[2]
                                && line["restored_at"] == row[3]
                        };
                        assert!(lines.iter().any(|(_, line)| same(line)), "seed {seed}, step {step}: {row}");
                        assert!(
                            row[1] != "pending" && row[1] != "processing",
                            "seed {seed}, step {step}: {row}"
                        );
                    }
                }
            }
            hold(&database);
            let mut there = ids(&database);
            there.extend(bucket.ids());
            let missing: Vec<_> =
                (0..made).map(|n| format!("c{n}")).filter(|id| !there.contains(id)).collect();
            assert_eq!(missing, [""; 0], "seed {seed}, step {step}");
        }
    }
    assert!(archived >= 50, "{archived}");
}

fn sweep(database: &Sqlite, policy: &Policy, sweep_id: &str, now: Timestamp) {
    let request = SweepRequest {
        sweep_id,
        source: Source::Cron,
        actor: None,
        user_id: None,
        filter: store::Filter::default(),
        planned: None,
        plan_id: None,
        now,
        policy,
        dry_run: false,
        notify: Notify::default(),
        breaker: None,
        limit: 100,
        max_queries: 1_000,
    };
    wait(mark_stale_creations_as_failed(database, request)).unwrap();
}

#[test]
fn an_attempt_whose_time_is_a_blob_stays_and_holds_up_no_other() {
    for column in ["started_at", "heartbeat_at", "finished_at"] {
        let (database, bucket) = (database(), Bucket::default());
        done(&database, "bytes", json!({ "attempt": 2 }));
        done(&database, "goes", json!({ "attempt": 2 }));
        database.write(
            "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, finished_at) VALUES ('bytes', 1, 'retried', 5), ('goes', 1, 'retried', 5)",
        );
        database.write(&format!(
            "UPDATE stale_drafts_attempts SET {column} = x'313630' WHERE creation_id = 'bytes'"
        ));
        let archived = run(&database, &bucket, now()).unwrap().unwrap();
        assert_eq!((archived.creations, archived.left), (1, 1), "{column}");
        assert_eq!(bucket.ids(), ["goes"], "{column}");
        assert_eq!(ids(&database), ["bytes"], "{column}");
    }
}
