//! The SQL of docs/import.md, as it stands there.

use serde_json::{Value, json};

use crate::archive::{Bucket, run as archive};
use crate::compaction::{BEFORE_OCTOBER, run as compact};
use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, NOW, at};
use stale_drafts::rules::Policy;
use stale_drafts::service::compaction::Compaction;
use stale_drafts::service::sweep::{Source, SweepRequest, mark_stale_creations_as_failed};

const DOCUMENT: &str = include_str!("../../docs/import.md");
const INVARIANTS: &str = include_str!("../invariants.sql");

/// The block of the document that begins with this mark.
fn block(mark: &str) -> &'static str {
    let begin = format!("```sql {mark}\n");
    let (_, rest) = DOCUMENT.split_once(&begin).expect(mark);
    rest.split_once("```").expect(mark).0
}

const BALANCES: &str = "SELECT user_id, tokens FROM stale_drafts_balances ORDER BY user_id";

/// An old system in which each status has been met.
fn old_system() -> Sqlite {
    let database = Sqlite::new();
    database.write(block("tables"));
    database.write(&format!(
        "INSERT INTO stale_drafts_import_users (user_id, tokens) VALUES ('ada', 80), ('ben', 0), ('cleo', 0), ('dan', 9007199254740991);
         INSERT INTO stale_drafts_import_creations (id, user_id, kind, prompt, status, tokens, created_at, error, error_code, result_url) VALUES
           ('draft', 'ada', 'image', 'a', 'draft', 10, {NOW}, NULL, NULL, 'https://r/1'),
           ('published', 'ada', 'image', 'b', 'published', 10, {NOW}, NULL, NULL, 'https://r/2'),
           ('failed', 'ada', 'image', 'c', 'failed', 10, {NOW}, 'it broke', 'broken', NULL),
           ('timed out', 'ada', 'image', 'd', 'failed', 10, {NOW}, 'too late', 'generation_timeout', NULL),
           ('pending', 'ada', 'image', 'e' || char(0) || 'f', 'pending', 10, {NOW}, NULL, NULL, NULL),
           ('processing', 'ben', 'image', 'g', 'processing', 30, {NOW}, NULL, NULL, NULL),
           ('dear', 'dan', 'image', 'h', 'draft', 9007199254740991, {NOW}, NULL, NULL, NULL),
           ('free', 'cleo', 'image', 'i', 'pending', 0, {NOW}, NULL, NULL, NULL)"
    ));
    database
}

fn import(database: &Sqlite) {
    database.write("SAVEPOINT import");
    database.write(block("import"));
    database.write("RELEASE import");
    invariants_hold(database);
}

fn invariants_hold(database: &Sqlite) {
    for query in INVARIANTS.split("-- name: ").skip(1) {
        assert_eq!(database.read(query.split_once('\n').unwrap().1), [] as [Value; 0], "{query}");
    }
}

fn sweep(database: &Sqlite, hours: u64) -> usize {
    let request = SweepRequest {
        sweep_id: &hours.to_string(),
        source: Source::Cron,
        actor: None,
        user_id: None,
        filter: stale_drafts::store::Filter::default(),
        planned: None,
        plan_id: None,
        now: at(NOW + hours * HOUR),
        policy: &Policy::default(),
        dry_run: false,
        notify: Default::default(),
        breaker: None,
        limit: 1000,
        max_queries: 980,
    };
    wait(mark_stale_creations_as_failed(database, request)).unwrap().failed.len()
}

#[test]
fn an_import_ends_with_the_balances_that_it_began_with() {
    let database = old_system();
    let balances = [json!(["ada", 80]), json!(["ben", 0]), json!(["dan", 9_007_199_254_740_991_u64])];
    for run in ["once", "again"] {
        import(&database);
        assert_eq!(database.read(BALANCES), balances, "{run}");
        assert_eq!(database.read(block("check")), [] as [Value; 0], "{run}");
        let entries =
            "SELECT entry_key, tokens FROM stale_drafts_ledger WHERE user_id IN ('ada', 'ben') ORDER BY 1";
        let expected = [
            json!(["charge:pending", -10]),
            json!(["charge:processing", -30]),
            json!(["import-active:pending", 10]),
            json!(["import-active:processing", 30]),
            json!(["import:1:ada", 80]),
        ];
        assert_eq!(database.read(entries), expected, "{run}");
    }
    assert_eq!(
        database.read("SELECT prompt FROM stale_drafts_creations WHERE id = 'pending'"),
        [json!(["e"])]
    );
    assert_eq!(
        database.read("SELECT error_code FROM stale_drafts_creations WHERE id = 'timed out'"),
        [json!(["generation_timeout"])]
    );
}

#[test]
fn what_comes_in_active_is_refunded_once_if_it_times_out() {
    let database = old_system();
    import(&database);
    assert_eq!(sweep(&database, 2), 3);
    let refunded = [json!(["ada", 90]), json!(["ben", 30]), json!(["dan", 9_007_199_254_740_991_u64])];
    assert_eq!(database.read(BALANCES), refunded);
    // A second run, and a second sweep, find nothing to do.
    import(&database);
    assert_eq!(sweep(&database, 4), 0);
    assert_eq!(database.read(BALANCES), refunded);
    invariants_hold(&database);
}

#[test]
fn what_comes_in_later_leaves_the_balances_too() {
    let database = old_system();
    import(&database);
    // One is here already, made by the app itself.
    database.write(&format!(
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         VALUES ('own', 'ada', 'image', '', 'pending', 5, {NOW});
         INSERT INTO stale_drafts_import_users (user_id, tokens) VALUES ('eve', 7);
         INSERT INTO stale_drafts_import_creations (id, user_id, kind, prompt, status, tokens, error_code) VALUES
           ('own', 'ada', 'image', '', 'pending', 5, NULL), ('later', 'ada', 'image', '', 'processing', 20, NULL),
           ('eves', 'eve', 'image', '', 'pending', 7, NULL), ('long', 'eve', 'image', '', 'failed', 7, '{}')",
        "狐".repeat(300)
    ));
    import(&database);
    let balances =
        [json!(["ada", 75]), json!(["ben", 0]), json!(["dan", 9_007_199_254_740_991_u64]), json!(["eve", 7])];
    assert_eq!(database.read(BALANCES), balances);
}

#[test]
fn an_import_of_what_can_not_be_takes_no_effect() {
    let database = old_system();
    assert!(!database.takes("UPDATE stale_drafts_import_users SET tokens = -5 WHERE user_id = 'ada'"));
    database.write("UPDATE stale_drafts_import_creations SET status = 'lost' WHERE id = 'draft'");
    database.write("SAVEPOINT import");
    assert!(!database.takes(block("import")));
    database.write("ROLLBACK TO import; RELEASE import");
    assert_eq!(database.read(BALANCES), [] as [Value; 0]);
}

/// The old system's tables as they are later.
fn later(database: &Sqlite, sql: &str) {
    database.write(block("drop"));
    database.write(block("tables"));
    database.write(sql);
    import(database);
    let before = database.read("SELECT * FROM stale_drafts_ledger");
    // The same source again changes nothing.
    database.write(block("drop"));
    database.write(block("tables"));
    database.write(sql);
    import(database);
    assert_eq!(database.read("SELECT * FROM stale_drafts_ledger"), before, "{sql}");
}

/// Ada has brought 70 tokens, and `c`, which costs 10 and is in this status.
fn one(status: &str) -> Sqlite {
    let database = Sqlite::new();
    database.write(block("tables"));
    database.write(&source(70, status, 1));
    import(&database);
    database
}

fn source(balance: u64, status: &str, refunded: u64) -> String {
    format!(
        "INSERT INTO stale_drafts_import_users (user_id, tokens) VALUES ('ada', {balance});
         INSERT INTO stale_drafts_import_creations (id, user_id, kind, prompt, status, tokens, created_at, started_at, error, refunded)
         VALUES ('c', 'ada', 'image', 'a fox', '{status}', 10, {NOW}, nullif({NOW}, iif('{status}' = 'pending', {NOW}, 0)),
           iif('{status}' = 'failed', 'broken', NULL), {refunded})"
    )
}

fn balance(database: &Sqlite) -> Value {
    database.read(BALANCES)[0][1].clone()
}

fn status(database: &Sqlite) -> Value {
    database.read("SELECT status FROM stale_drafts_creations WHERE id = 'c'")[0][0].clone()
}

#[test]
fn a_creation_that_ends_in_the_old_system_ends_here_too() {
    for begun in ["pending", "processing"] {
        for (ended, refunded, old) in [
            (begun, 1, 70),
            ("processing", 1, 70),
            ("draft", 1, 70),
            ("published", 1, 70),
            ("failed", 1, 80),
            ("failed", 0, 70),
            ("draft", 1, 20),
            ("failed", 1, 0),
            ("failed", 1, 500),
        ] {
            let database = one(begun);
            later(&database, &source(old, ended, refunded));
            assert_eq!(
                (status(&database), balance(&database)),
                (json!(ended), json!(old)),
                "{begun}, {ended}, {refunded}"
            );
            assert_eq!(database.read(block("check")), [] as [Value; 0]);
            let swept = u64::from(ended == "pending" || ended == "processing");
            assert_eq!(sweep(&database, 2) as u64, swept);
            assert_eq!(balance(&database), json!(old + 10 * swept));
            // The old system deletes it at last.
            let gone =
                format!("INSERT INTO stale_drafts_import_users (user_id, tokens) VALUES ('ada', {old})");
            later(&database, &gone);
            assert_eq!(balance(&database), json!(old + 10 * swept));
        }
    }
}

#[test]
fn a_published_draft_is_published_here_too() {
    let database = one("draft");
    later(&database, &source(70, "published", 1));
    assert_eq!((status(&database), balance(&database)), (json!("published"), json!(70)));
    // A failure of what is over is none of ours, and the check names it.
    later(&database, &source(80, "failed", 1));
    assert_eq!((status(&database), balance(&database)), (json!("published"), json!(80)));
    assert_eq!(database.read(block("check")), [json!(["c", "failed", "published"])]);
}

#[test]
fn what_moved_on_here_is_left_alone_and_refunded_once() {
    for (ended, refunded, old, here) in [
        // It has its refund from here, and its old balance.
        ("pending", 1, 70, 80),
        ("draft", 1, 70, 80),
        ("failed", 0, 70, 80),
        // It has been refunded there, so not here.
        ("failed", 1, 80, 80),
    ] {
        let database = one("pending");
        assert_eq!(sweep(&database, 2), 1);
        assert_eq!(balance(&database), json!(80));
        later(&database, &source(old, ended, refunded));
        assert_eq!(
            (status(&database), balance(&database)),
            (json!("failed"), json!(here)),
            "{ended}, {refunded}"
        );
    }
    // A worker of ours has started it: it is paid for here, and what the old system gave back is there too.
    let database = one("pending");
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'processing', started_at = {NOW}, fence = '1.a', worker = 'w' WHERE id = 'c'"
    ));
    later(&database, &source(80, "failed", 1));
    assert_eq!((status(&database), balance(&database)), (json!("processing"), json!(70)));
}

#[test]
fn one_user_who_has_spent_the_tokens_here_stops_nobody_else() {
    let database = one("pending");
    database.write(&format!(
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         VALUES ('spent', 'ada', 'image', '', 'pending', 65, {NOW})"
    ));
    // There, Ada has spent 40 of the 70: 5 are left here.
    let ben = "; INSERT INTO stale_drafts_import_users (user_id, tokens) VALUES ('ben', 9);
        INSERT INTO stale_drafts_import_creations (id, user_id, kind, prompt, status, tokens) VALUES
          ('bens', 'ben', 'image', '', 'pending', 1), ('adas', 'ada', 'image', '', 'pending', 1), ('done', 'ada', 'image', '', 'draft', 1)";
    later(&database, &(source(30, "failed", 1) + ben));
    assert_eq!(database.read(BALANCES), [json!(["ada", 5]), json!(["ben", 9])]);
    assert_eq!(status(&database), "pending");
    let mut differs: Vec<_> = database.read(block("check")).iter().map(|row| row[0].clone()).collect();
    differs.sort_by_key(ToString::to_string);
    assert_eq!(differs, ["ada", "adas", "c"]);
    // Once it can follow, it does.
    later(&database, &(source(65, "failed", 1) + ben));
    assert_eq!(database.read(BALANCES), [json!(["ada", 0]), json!(["ben", 9])]);
    assert_eq!(database.read(block("check")), [] as [Value; 0]);
}

#[test]
fn a_balance_that_would_be_too_large_stops_nobody_else() {
    let database = old_system();
    database.write(&format!(
        "INSERT INTO stale_drafts_import_creations (id, user_id, kind, prompt, status, tokens, created_at)
         VALUES ('dans', 'dan', 'image', '', 'pending', 1, {NOW})"
    ));
    import(&database);
    let differs: Vec<_> = database.read(block("check")).iter().map(|row| row[0].clone()).collect();
    assert_eq!(differs, ["dan", "dans"]);
    assert_eq!(database.read(BALANCES), [json!(["ada", 80]), json!(["ben", 0])]);
}

#[test]
fn only_an_import_takes_grants_back() {
    let database = one("pending");
    let grant = |key: &str| {
        format!(
            "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('{key}', 'ada', 'grant', -1, {NOW})"
        )
    };
    assert!(!database.takes(&grant("grant:1")) && !database.takes(&grant("app:import")));
    assert!(database.takes(&grant("import:2:ada")));
    invariants_hold(&database);
}

#[test]
fn the_document_shows_what_the_command_writes() {
    for (mark, sql) in [
        ("tables", include_str!("../../crates/import/src/sql/tables.sql")),
        ("import", include_str!("../../crates/import/src/sql/import.sql")),
        ("check", include_str!("../../crates/import/src/sql/check.sql")),
        ("drop", include_str!("../../crates/import/src/sql/drop.sql")),
    ] {
        assert_eq!(block(mark), sql, "{mark}");
    }
}

#[test]
fn what_was_settled_elsewhere_stays_so() {
    let database = old_system();
    import(&database);
    for wrong in [
        "UPDATE stale_drafts_creations SET settled_elsewhere = 0 WHERE id = 'draft'",
        "UPDATE stale_drafts_creations SET settled_elsewhere = 1 WHERE id = 'pending'",
        "UPDATE stale_drafts_creations SET tokens = 1 WHERE id = 'draft'",
        // Only what is over can have been settled.
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, settled_elsewhere)
         VALUES ('new', 'ada', 'image', '', 'pending', 10, 1)",
        // What was charged here would lose its charge.
        "INSERT OR REPLACE INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, settled_elsewhere)
         VALUES ('pending', 'ada', 'image', '', 'failed', 10, 1)",
        // It was refunded where it failed.
        "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
         VALUES ('refund:failed', 'ada', 'refund', 'failed', 10, 0)",
        // Here, only a sweep says that something has timed out.
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, error_code)
         VALUES ('new', 'ada', 'image', '', 'failed', 10, 'generation_timeout')",
    ] {
        assert!(!database.takes(wrong), "{wrong}");
    }
    invariants_hold(&database);
}

#[test]
fn whoever_fails_a_creation_by_hand_refunds_it_and_only_a_sweep_may_name_itself() {
    let database = old_system();
    import(&database);
    database.write(
        "UPDATE stale_drafts_creations SET status = 'failed', error_code = 'broken' WHERE id = 'pending'",
    );
    assert_eq!(database.read(BALANCES)[0], json!(["ada", 90]));
    invariants_hold(&database);
    // A sweep credits each owner once for all that it fails, so the trigger can't credit what bears a sweep's id. The documents
    // promise no more, and the check of the ledger finds who does it all the same.
    for document in [include_str!("../../README.md"), include_str!("../../ARCHITECTURE.md")] {
        assert!(document.contains("sweep_id"), "only a sweep may set it");
    }
}

#[test]
fn what_was_charged_here_and_is_in_a_sum_does_not_come_in_again() {
    let database = old_system();
    import(&database);
    // It failed here, and was refunded. Two months later all of it is archived and summed up.
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'failed', finished_at = {}, error = 'e', error_code = 'broken' WHERE id = 'pending'",
        NOW + 1
    ));
    let bucket = Bucket::default();
    archive(&database, &bucket, at(NOW + 60 * 24 * HOUR)).unwrap().unwrap();
    let december = at(1_701_388_800_000);
    let compacted = compact(&database, &bucket, Compaction { before: december, ..BEFORE_OCTOBER }).unwrap();
    assert_eq!(compacted.entries, 2);
    invariants_hold(&database);
    let (balances, ledger) = (database.read(BALANCES), database.read("SELECT * FROM stale_drafts_ledger"));
    // The old system still has it as pending; or has failed it since.
    for status in ["pending", "failed"] {
        database.write(&format!(
            "UPDATE stale_drafts_import_creations SET status = '{status}' WHERE id = 'pending'"
        ));
        database.write("SAVEPOINT import");
        assert!(!database.takes(block("import")), "{status}");
        database.write("ROLLBACK TO import; RELEASE import");
        assert_eq!(database.read(BALANCES), balances);
        assert_eq!(database.read("SELECT * FROM stale_drafts_ledger"), ledger);
    }
}
