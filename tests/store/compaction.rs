//! Old entries of the ledger become sums, and nothing that their keys did is forgotten.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use stale_drafts::rules::Report;
use stale_drafts::service::compaction::{Compacted, Compaction, Stopped, compact};
use stale_drafts::store::{self, Cost, Database, DatabaseError, Details, Grant, NewCreation, Row, Statement};

use crate::archive::{Bucket, done, hold, run as archive};
use crate::sqlite::{Sqlite, wait};
use crate::{NOW, add, at, database, now};

/// The first of August, September and October 2023, in UTC; [`NOW`] is the 14th of November.
const AUGUST: u64 = 1_690_848_000_000;
const SEPTEMBER: u64 = 1_693_526_400_000;
const OCTOBER: u64 = 1_696_118_400_000;
const DAY: u64 = 86_400_000;
const UUID: &str = "0196f0f4-9a3c-8582-b2c4-5b1f0c6f7a90";

pub const BEFORE_OCTOBER: Compaction<'_> = Compaction {
    before: match stale_drafts::rules::Timestamp::from_millis(1_696_118_400_000) {
        Some(instant) => instant,
        None => panic!(),
    },
    dry_run: false,
    after: "",
    shard: "DB",
    actor: "ops",
    max_objects: 20,
    max_queries: 1_000,
};

pub fn run(
    database: &impl Database,
    bucket: &Bucket,
    compaction: Compaction<'_>,
) -> Result<Compacted, Stopped> {
    static ID: AtomicU64 = AtomicU64::new(0);
    let new_id = || Ok::<_, String>(format!("{:08}", ID.fetch_add(1, Ordering::Relaxed)));
    wait(compact(database, bucket, compaction, new_id, now()))
}

/// A creation of that time that is over.
fn over(database: &Sqlite, id: &str, created_at: u64, columns: Value) {
    let mut row = json!({ "created_at": created_at, "finished_at": created_at + 1_000 });
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    done(database, id, row);
}

/// One that failed half an hour later, and was refunded then.
fn failed(database: &Sqlite, id: &str, created_at: u64, finished_at: u64, columns: Value) {
    let mut row =
        json!({ "status": "pending", "created_at": created_at, "finished_at": null, "result_url": null });
    row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    done(database, id, row);
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'failed', finished_at = {finished_at}, error = 'it broke', error_code = 'broken' WHERE id = '{id}'"
    ));
}

/// Some of two users, in August, September and later, all archived but `here`.
fn filled() -> (Sqlite, Bucket) {
    let (database, bucket) = (database(), Bucket::default());
    over(&database, "a1", AUGUST, json!({}));
    over(&database, UUID, AUGUST + DAY, json!({ "tokens": 7 }));
    over(&database, "a2", SEPTEMBER - 1, json!({}));
    failed(&database, "a3", SEPTEMBER - 1, SEPTEMBER + 5, json!({ "tokens": 3 }));
    over(&database, "b1", AUGUST + 2, json!({ "user_id": "ben" }));
    failed(&database, "b2", SEPTEMBER, SEPTEMBER + 1, json!({ "user_id": "ben" }));
    over(&database, "young", OCTOBER, json!({}));
    failed(&database, "refunded later", OCTOBER - 1, OCTOBER, json!({}));
    add(&database, "here", json!({ "created_at": AUGUST }));
    assert_eq!(archive(&database, &bucket, now()).unwrap().unwrap().creations, 8);
    hold(&database);
    (database, bucket)
}

fn ledger(database: &Sqlite) -> Vec<Value> {
    database.read(
        "SELECT entry_key, tokens, entries FROM stale_drafts_ledger AS l LEFT JOIN stale_drafts_carries AS k
           ON l.type = 'carry' AND k.user_id = l.user_id AND k.created_at = l.created_at ORDER BY entry_key",
    )
}

fn balances(database: &Sqlite) -> Vec<Value> {
    database.read(
        "SELECT user_id, tokens, (SELECT sum(tokens) FROM stale_drafts_ledger AS l WHERE l.user_id = b.user_id) FROM stale_drafts_balances AS b",
    )
}

/// Whatever is in the database, but when it was counted.
fn everything(database: &Sqlite) -> Vec<(String, Vec<Value>)> {
    let tables =
        database.read("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'stale_drafts_*'");
    let name = |row: &Value| row[0].as_str().unwrap().to_owned();
    tables
        .iter()
        .map(name)
        .map(|name| (name.clone(), database.read(&format!("SELECT * FROM {name}"))))
        .collect()
}

fn key(line: &Value) -> String {
    line["entry_key"].as_str().unwrap().to_owned()
}

/// The lines of the objects of the ledger, and the key of the object of each.
fn exported(bucket: &Bucket) -> Vec<(String, Value)> {
    bucket.lines().into_iter().filter(|(object, _)| object.starts_with("ledger/")).collect()
}

#[test]
fn what_is_archived_becomes_one_entry_for_a_user_and_month() {
    let (database, bucket) = filled();
    let before = balances(&database);
    let compacted = run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    hold(&database);
    assert_eq!(
        ledger(&database),
        [
            json!(["carry:anna:2023-08", -20, 4]),
            json!(["carry:anna:2023-09", 3, 1]),
            json!(["carry:ben:2023-08", -5, 1]),
            json!(["carry:ben:2023-09", 0, 2]),
            json!(["charge:here", -5, null]),
            json!(["charge:refunded later", -5, null]),
            json!(["charge:young", -5, null]),
            json!(["grant:anna", 1000, null]),
            json!(["grant:ben", 1000, null]),
            json!(["refund:refunded later", 5, null]),
        ]
    );
    assert_eq!(balances(&database), before);
    assert_eq!((compacted.entries, compacted.carries, compacted.objects, compacted.next), (8, 4, 2, None));
    let dated =
        database.read("SELECT DISTINCT created_at FROM stale_drafts_ledger WHERE type = 'carry' ORDER BY 1");
    assert_eq!(dated, [json!([AUGUST]), json!([SEPTEMBER])]);
    // Each entry is in the archive as it was.
    let lines = exported(&bucket);
    let keys: BTreeSet<_> = lines.iter().map(|(_, line)| key(line)).collect();
    let uuid = format!("charge:{UUID}");
    let expected =
        ["charge:a1", &uuid, "charge:a2", "charge:a3", "refund:a3", "charge:b1", "charge:b2", "refund:b2"];
    assert_eq!(keys, expected.iter().map(|key| (*key).to_owned()).collect());
    let (object, line) = lines.iter().find(|(_, line)| key(line) == "refund:a3").unwrap();
    assert!(object.starts_with("ledger/2023-08/DB/") && object.ends_with(".ndjson"), "{object}");
    let expected = json!({ "entry_key": "refund:a3", "user_id": "anna", "type": "refund", "creation_id": "a3", "tokens": 3,
        "created_at": SEPTEMBER + 5, "carry": "carry:anna:2023-09" });
    assert_eq!(line, &expected);
    let audit = database.read("SELECT actor, action, detail FROM stale_drafts_audit");
    let objects: BTreeSet<_> = lines.iter().map(|(object, _)| object.clone()).collect();
    let noted: Vec<_> = objects.iter().map(|object| json!(["ops", "compact_ledger", object])).collect();
    assert_eq!(audit, noted);
    // A second time there is nothing to do.
    let stands = everything(&database);
    assert_eq!(run(&database, &bucket, BEFORE_OCTOBER), Ok(Compacted::default()));
    assert_eq!(everything(&database), stands);
}

#[test]
fn a_month_adds_up_when_more_of_it_is_archived_later() {
    let (database, bucket) = filled();
    run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    over(&database, "late", AUGUST + 9, json!({ "tokens": 100 }));
    database.write("UPDATE stale_drafts_archive_scan SET due_at = 0, begun_at = 0");
    archive(&database, &bucket, at(NOW + DAY)).unwrap().unwrap();
    let compacted = run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    hold(&database);
    assert_eq!((compacted.entries, compacted.carries), (1, 0));
    assert!(ledger(&database).contains(&json!(["carry:anna:2023-08", -120, 5])));
}

#[test]
fn what_keys_still_guard_stays() {
    let (database, bucket) = filled();
    database.write(&format!(
        "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES
           ('grant:order-1', 'anna', 'grant', 9, {AUGUST}), ('app', 'anna', 'grant', 9, {AUGUST}),
           ('import:1:anna', 'anna', 'grant', 9, {AUGUST}), ('import-active:a1', 'anna', 'grant', 9, {AUGUST}),
           ('import-failed:a1', 'anna', 'grant', -9, {AUGUST});
         INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
           VALUES ('m', 'source', 0, 1, 'DB_2', 'paused', 0, 0, 0);
         INSERT INTO stale_drafts_moving_users (user_id, move_id) VALUES ('ben', 'm')"
    ));
    let kept = |database: &Sqlite| {
        database.read("SELECT * FROM stale_drafts_ledger WHERE type = 'grant' OR user_id = 'ben'")
    };
    let before = kept(&database);
    let compacted = run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    assert_eq!((compacted.entries, compacted.carries), (5, 2));
    assert_eq!(kept(&database), before);
    hold(&database);
    // A grant that is repeated is granted once.
    let again = store::grant(Grant { key: "order-1", user_id: "anna", tokens: 9 }, now());
    let balance = balances(&database);
    database.all(&again);
    assert_eq!(balances(&database), balance);
}

#[test]
fn what_is_in_a_sum_can_t_be_charged_refunded_or_made_again() {
    let (database, bucket) = filled();
    run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    for id in ["a1", "a3", UUID] {
        for (kind, tokens) in [("refund", 5), ("charge", -5), ("restore", -5)] {
            assert!(!database.takes(&format!(
                "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
                 VALUES ('{kind}:{id}', 'anna', '{kind}', '{id}', {tokens}, 0)"
            )));
        }
        for user_id in ["anna", "ben"] {
            let again =
                store::create(NewCreation { id, user_id, kind: "image", prompt: "a fox", tokens: 5 }, now());
            let error = database.transaction(&again).unwrap_err();
            assert!(error.is_constraint(), "{error}");
        }
        // Nor by an import, or by an app that keeps the balance itself, or for nothing.
        for columns in ["'draft', 5, 1, 0", "'pending', 5, 0, 1", "'pending', 0, 0, 0"] {
            for or in ["", "OR REPLACE", "OR IGNORE"] {
                let _ = database.takes(&format!(
                    "INSERT {or} INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, settled_elsewhere, balance_elsewhere)
                     SELECT '{id}', 'anna', 'image', '', {columns}"
                ));
                assert_eq!(
                    database.read(&format!("SELECT 1 FROM stale_drafts_creations WHERE id = '{id}'")),
                    [] as [Value; 0]
                );
            }
        }
    }
    // The same bytes as another text are another id.
    for id in [UUID.to_uppercase(), UUID.replace('-', ""), format!("{UUID} ")] {
        let new = store::create(
            NewCreation { id: &id, user_id: "anna", kind: "image", prompt: "", tokens: 1 },
            now(),
        );
        database.all(&new);
    }
    hold(&database);
}

/// One that failed, was retried at `again`, and failed again.
fn retried(database: &Sqlite, id: &str, created_at: u64, again: u64) {
    retried_of(database, "anna", id, created_at, again);
}

/// The same of this user.
fn retried_of(database: &Sqlite, user: &str, id: &str, created_at: u64, again: u64) {
    failed(database, id, created_at, created_at + 1_000, json!({ "tokens": 9, "user_id": user }));
    let retry = Report::Retry { attempt: 1 };
    database.all(&store::report(id, &retry, &Details::default(), at(again)));
    let fail = Report::Fail { fence: None, error_code: "broken", tokens_used: Some(2) };
    database.all(&store::report(
        id,
        &fail,
        &Details { error: "it broke", ..Details::default() },
        at(again + 1_000),
    ));
}

#[test]
fn what_retries_charged_is_summed_up_with_the_rest_of_its_creation_and_never_comes_again() {
    let (database, bucket) = (database(), Bucket::default());
    retried(&database, "old", AUGUST, SEPTEMBER);
    retried(&database, UUID, AUGUST, AUGUST + DAY);
    retried(&database, "young", AUGUST, OCTOBER);
    assert_eq!(archive(&database, &bucket, now()).unwrap().unwrap().creations, 3);
    hold(&database);
    let before = balances(&database);
    assert_eq!(before[0], json!(["anna", 994, 994]));
    let dry = run(&database, &bucket, Compaction { dry_run: true, ..BEFORE_OCTOBER }).unwrap();
    let compacted = run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    hold(&database);
    assert_eq!((compacted.entries, compacted.carries), (8, 2));
    assert_eq!((dry.entries, dry.carries), (8, 2));
    assert_eq!(balances(&database), before);
    // Of one whose last entry is too young, every entry stays.
    assert_eq!(
        ledger(&database),
        [
            json!(["carry:anna:2023-08", -2, 6]),
            json!(["carry:anna:2023-09", -2, 2]),
            json!(["charge2:young", -9, null]),
            json!(["charge:young", -9, null]),
            json!(["grant:anna", 1000, null]),
            json!(["grant:ben", 1000, null]),
            json!(["refund2:young", 7, null]),
            json!(["refund:young", 9, null]),
        ]
    );
    let lines = exported(&bucket);
    let of_old: BTreeSet<_> =
        lines.iter().map(|(_, line)| key(line)).filter(|key| key.ends_with("old")).collect();
    assert_eq!(
        of_old.into_iter().collect::<Vec<_>>(),
        ["charge2:old", "charge:old", "refund2:old", "refund:old"]
    );
    for id in ["old", UUID, "young"] {
        for (kind, tokens) in [("refund", 7), ("refund", 9), ("charge", -9), ("restore", -7), ("restore", -9)]
        {
            for number in ["", "2", "3"] {
                assert!(!database.takes(&format!(
                    "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
                     VALUES ('{kind}{number}:{id}', 'anna', '{kind}', '{id}', {tokens}, 0)"
                )));
            }
        }
        let new = NewCreation { id, user_id: "anna", kind: "image", prompt: "a fox", tokens: 5 };
        assert!(database.transaction(&store::create(new, now())).unwrap_err().is_constraint());
    }
    assert_eq!(balances(&database), before);
    assert_eq!(run(&database, &bucket, BEFORE_OCTOBER), Ok(Compacted::default()));
    // A month later the rest of it goes too.
    let next = at(OCTOBER + 31 * DAY);
    let rest = run(&database, &bucket, Compaction { before: next, ..BEFORE_OCTOBER }).unwrap();
    hold(&database);
    assert_eq!((rest.entries, rest.carries), (4, 1));
    assert_eq!(balances(&database), before);
}

#[test]
fn only_the_one_way_in_changes_a_sum() {
    let (database, bucket) = filled();
    let insert = |carry: &str, user: &str, at: u64, entries: &Value| {
        format!("INSERT INTO stale_drafts_compacting VALUES ('{carry}', '{user}', {at}, '{entries}')")
    };
    let august = |entries: Value| insert("carry:anna:2023-08", "anna", AUGUST, &entries);
    for (refused, sql) in [
        ("a creation that is here", august(json!(["charge:here"]))),
        ("a grant", august(json!(["grant:anna"]))),
        ("no entry", august(json!(["charge:nothing"]))),
        ("no text", august(json!([1]))),
        ("one of them is not", august(json!(["charge:a1", "charge:here"]))),
        ("another user's", august(json!(["charge:b1"]))),
        ("another month's", august(json!(["refund:a3"]))),
        ("another key", insert("carry:anna:2023-09", "anna", AUGUST, &json!(["charge:a1"]))),
        (
            "not the beginning of the month",
            insert("carry:anna:2023-08", "anna", AUGUST + 1, &json!(["charge:a1"])),
        ),
        ("an entry is removed", "DELETE FROM stale_drafts_ledger WHERE entry_key = 'charge:a1'".to_owned()),
        (
            "an entry is changed",
            "UPDATE stale_drafts_ledger SET tokens = -6 WHERE entry_key = 'charge:a1'".to_owned(),
        ),
        (
            "a sum of nothing",
            format!(
                "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('carry:anna:2023-08', 'anna', 'carry', 5, {AUGUST})"
            ),
        ),
        (
            "a grant with the key of a sum",
            format!(
                "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('carry:anna:2023-08', 'anna', 'grant', 5, {AUGUST})"
            ),
        ),
    ] {
        let stands = everything(&database);
        assert!(!database.takes(&sql), "{refused}");
        assert_eq!(everything(&database), stands, "{refused}");
    }
    // What is named twice is in it once.
    database.write(&august(json!(["charge:a1", "charge:a1", "charge:a2"])));
    assert!(ledger(&database).contains(&json!(["carry:anna:2023-08", -10, 2])));
    hold(&database);
    for sql in [
        "UPDATE stale_drafts_ledger SET tokens = 0 WHERE type = 'carry'",
        "DELETE FROM stale_drafts_ledger WHERE type = 'carry'",
        "INSERT OR REPLACE INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('carry:anna:2023-08', 'anna', 'carry', 0, 0)",
    ] {
        assert!(!database.takes(sql), "{sql}");
    }
    run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    assert!(ledger(&database).contains(&json!(["carry:anna:2023-08", -20, 4])));
    hold(&database);
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let (database, bucket) = filled();
    let (stands, objects) = (everything(&database), bucket.objects.borrow().clone());
    let dry = run(&database, &bucket, Compaction { dry_run: true, ..BEFORE_OCTOBER }).unwrap();
    assert_eq!(dry, Compacted { entries: 8, carries: 4, ..Compacted::default() });
    assert_eq!(everything(&database), stands);
    assert_eq!(*bucket.objects.borrow(), objects);
}

#[test]
fn after_a_window_that_is_not_full_nothing_is_looked_for() {
    let (database, bucket) = filled();
    let counted = Between::undisturbed(&database);
    run(&counted, &bucket, Compaction { dry_run: true, ..BEFORE_OCTOBER }).unwrap();
    // A window of charges and one of restored ones, and two questions for each of two months.
    assert_eq!(counted.calls.get(), 2 + 2 * 2);
}

#[test]
fn whoever_sums_up_is_known_until_it_has_come_to_its_end() {
    let (database, bucket) = filled();
    let at_it = |now: u64| {
        let rows = database.one(store::compaction_under_way(at(now)));
        rows.first().map(|row| row["actor"].as_str().unwrap().to_owned())
    };
    let one = Compaction { max_objects: 1, ..BEFORE_OCTOBER };
    let ops = Some(String::from("ops"));
    assert!(run(&database, &bucket, one).unwrap().next.is_some());
    // Whoever is stopped there is at it for a minute more, by whatever clock.
    assert_eq!(
        (at_it(NOW), at_it(NOW + 60_000), at_it(NOW + 60_001), at_it(NOW - 1)),
        (ops.clone(), ops, None, None)
    );
    run(&database, &bucket, Compaction { dry_run: true, ..BEFORE_OCTOBER }).unwrap();
    assert!(at_it(NOW).is_some());
    run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    assert_eq!(at_it(NOW), None);
    // One that ends beside another one, or beside a later request of its own, says nothing of that.
    for (actor, now) in [("bo", NOW), ("ops", NOW + 1)] {
        let until = now + 60_000;
        database.write(&format!("INSERT INTO stale_drafts_compaction VALUES (1, '{actor}', {until})"));
        run(&database, &bucket, BEFORE_OCTOBER).unwrap();
        assert_eq!(at_it(now).as_deref(), Some(actor));
        database.write("DELETE FROM stale_drafts_compaction");
    }
}

/// The database, that dies at a call, before it takes effect or after; before each call somebody else acts.
struct Between<'a> {
    database: &'a Sqlite,
    calls: Cell<u32>,
    queries: Cell<u64>,
    fails_at: u32,
    after: bool,
    other: &'a dyn Fn(&Sqlite, u32),
}

impl<'a> Between<'a> {
    fn undisturbed(database: &'a Sqlite) -> Self {
        Self::new(database, u32::MAX, false, &|_, _| {})
    }

    fn new(database: &'a Sqlite, fails_at: u32, after: bool, other: &'a dyn Fn(&Sqlite, u32)) -> Self {
        Between { database, calls: Cell::new(0), queries: Cell::new(0), fails_at, after, other }
    }
}

impl Database for Between<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let call = self.calls.get();
        self.calls.set(call + 1);
        self.queries.set(self.queries.get() + batch.len() as u64);
        (self.other)(self.database, call);
        if call == self.fails_at && !self.after {
            return Err(DatabaseError::new("the database does not answer"));
        }
        let results = self.database.transaction(batch);
        if call == self.fails_at { Err(DatabaseError::new("its answer was lost")) } else { results }
    }

    fn cost(&self) -> Cost {
        Cost { queries: self.queries.get(), ..Cost::default() }
    }
}

#[test]
fn whoever_dies_at_any_call_and_whoever_acts_in_between_the_sums_are_right() {
    type Other<'a> = &'a dyn Fn(&Sqlite, u32);
    let grants: Other<'_> = &|database, call| {
        database.all(&store::grant(Grant { key: &format!("g{call}"), user_id: "anna", tokens: 3 }, now()));
    };
    let creates_and_fails: Other<'_> = &|database, call| {
        failed(database, &format!("n{call}"), AUGUST, SEPTEMBER, json!({}));
    };
    let repeats: Other<'_> = &|database, _| {
        for id in ["a1", "b2", UUID] {
            let again = NewCreation { id, user_id: "anna", kind: "image", prompt: "a fox", tokens: 5 };
            assert!(database.transaction(&store::create(again, now())).is_err());
        }
    };
    let archives: Other<'_> = &|database, call| {
        over(database, &format!("o{call}"), AUGUST + 5, json!({}));
        database.write("UPDATE stale_drafts_archive_scan SET due_at = 0, begun_at = 0");
        archive(database, &Bucket::default(), at(NOW + DAY)).unwrap().unwrap();
    };
    let compacts: Other<'_> = &|database, call| {
        if call % 2 == 1 {
            run(database, &Bucket::default(), BEFORE_OCTOBER).unwrap();
        }
    };
    for (what, other) in [
        ("grant", grants),
        ("refund", creates_and_fails),
        ("repeat", repeats),
        ("archive", archives),
        ("compact", compacts),
    ] {
        for after in [false, true] {
            for fails_at in 0.. {
                let (database, bucket) = filled();
                let between = Between::new(&database, fails_at, after, other);
                let one = Compaction { max_objects: 1, ..BEFORE_OCTOBER };
                let stopped = run(&between, &bucket, one).err();
                hold(&database);
                // It is taken on until nothing is left.
                let is_left = || run(&database, &bucket, BEFORE_OCTOBER).unwrap() != Compacted::default();
                assert!((0..20).any(|_| !is_left()), "it comes to its end");
                hold(&database);
                let old = database.read(&format!(
                    "SELECT l.entry_key FROM stale_drafts_ledger AS l LEFT JOIN stale_drafts_creations AS c ON c.id = l.creation_id
                     WHERE l.creation_id IS NOT NULL AND c.id IS NULL AND l.creation_id <> 'refunded later' AND l.created_at < {OCTOBER}"
                ));
                assert_eq!(old, [] as [Value; 0], "{what}, {after}, {fails_at}");
                let sums =
                    "SELECT entry_key, tokens FROM stale_drafts_ledger WHERE entry_key GLOB 'carry:ben:*'";
                let sums = database.read(sums);
                assert_eq!(
                    sums,
                    [json!(["carry:ben:2023-08", -5]), json!(["carry:ben:2023-09", 0])],
                    "{what}"
                );
                let Some(Stopped { error, .. }) = stopped else { break };
                assert_eq!(error, if after { "its answer was lost" } else { "the database does not answer" });
            }
        }
    }
}

#[test]
fn a_run_keeps_its_budget_of_queries_and_does_what_it_allows() {
    let needed = {
        let (database, bucket) = filled();
        let counted = Between::undisturbed(&database);
        assert_eq!(run(&counted, &bucket, BEFORE_OCTOBER).unwrap().next, None);
        counted.queries.get()
    };
    for max_queries in 0..=needed {
        let (database, bucket) = filled();
        let counted = Between::undisturbed(&database);
        let compacted = run(&counted, &bucket, Compaction { max_queries, ..BEFORE_OCTOBER }).unwrap();
        assert!(counted.queries.get() <= max_queries, "{max_queries}: {}", counted.queries.get());
        assert_eq!(compacted.next.is_none(), max_queries == needed, "{max_queries}");
        hold(&database);
    }
}

#[test]
fn a_bucket_that_does_not_answer_sums_nothing_up() {
    let (database, bucket) = filled();
    bucket.refuses.set(true);
    let stands = everything(&database);
    let stopped = run(&database, &bucket, BEFORE_OCTOBER).unwrap_err();
    assert_eq!((stopped.error.as_str(), stopped.compacted.entries), ("the bucket does not answer", 0));
    assert_eq!(everything(&database), stands);
}

#[test]
fn a_run_is_bounded_and_goes_on_by_its_key() {
    let (database, bucket) = (database(), Bucket::default());
    database.write("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('g', 'anna', 'grant', 100000, 0)");
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 5999)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, finished_at)
         SELECT printf('c%05d', n), iif(n % 2, 'anna', 'ben'), 'image', '', 'draft', n % 3 = 0, {AUGUST} + n * 600000, {SEPTEMBER} + 86400000 * 20 FROM n"
    ));
    while archive(&database, &bucket, now()).unwrap().is_some_and(|archived| archived.more) {}
    // The first window is full of those that are not archived.
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 4999)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT printf('a%05d', n), 'anna', 'image', '', 'pending', 1, {AUGUST} FROM n"
    ));
    let before = balances(&database);
    let mut after = String::new();
    let mut calls = 0;
    let (mut entries, mut carries) = (0, 0);
    loop {
        let compacted =
            run(&database, &bucket, Compaction { after: &after, max_objects: 1, ..BEFORE_OCTOBER }).unwrap();
        hold(&database);
        assert!(compacted.objects <= 1 && compacted.entries <= 500);
        (calls, entries, carries) = (calls + 1, entries + compacted.entries, carries + compacted.carries);
        assert!(calls < 20, "it comes to its end");
        let Some(next) = compacted.next else { break };
        after = next;
    }
    assert_eq!((calls, entries, carries), (5, 2_000, 4));
    assert_eq!(balances(&database), before);
    let exported: BTreeSet<_> = exported(&bucket).iter().map(|(_, line)| key(line)).collect();
    assert_eq!(exported.len(), 2_000);
}

#[test]
fn entries_with_long_ids_are_summed_up_in_parts_that_the_database_takes() {
    let (database, bucket) = (database(), Bucket::default());
    // In JSON each of these characters takes two: 300 creations with four entries each are more than the 2,000,000 bytes of a string.
    let user = "\"".repeat(200);
    database.all(&store::grant(Grant { key: "order-1", user_id: &user, tokens: 1_000_000 }, now()));
    for number in 0..300 {
        retried_of(&database, &user, &format!("{}{number:03}", "\"".repeat(180)), AUGUST, AUGUST + DAY);
    }
    while archive(&database, &bucket, now()).unwrap().is_some_and(|archived| archived.more) {}
    let before = balances(&database);
    let compacted = run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    hold(&database);
    assert_eq!((compacted.entries, compacted.carries, compacted.objects), (1_200, 1, 2));
    assert_eq!(balances(&database), before);
    let exported: BTreeSet<_> = exported(&bucket).iter().map(|(_, line)| key(line)).collect();
    assert_eq!(exported.len(), 1_200);
}

#[test]
fn explain_knows_where_a_compacted_creation_is_and_the_check_of_the_ledger_holds() {
    let (database, bucket) = filled();
    let place = |id| store::place_of(database.one(store::archived(id, None))).unwrap().unwrap();
    let before: Vec<_> = ["a3", UUID].map(place).into();
    assert_eq!(before[0].ledger_prefix, None);
    run(&database, &bucket, BEFORE_OCTOBER).unwrap();
    for (id, before) in ["a3", UUID].into_iter().zip(before) {
        let after = place(id);
        assert_eq!(after.ledger_prefix.as_deref(), Some("ledger/2023-08/"), "{id}");
        assert_eq!(
            (after.prefix, after.objects, after.user_id),
            (before.prefix, before.objects, before.user_id)
        );
    }
    let differs = || store::observed(database.all(&store::observe(now()))).unwrap().evidence.differs;
    assert_eq!(differs(), [""; 0]);
}
