//! A user's ledger, page by page.

use serde_json::{Value, json};
use stale_drafts::rules::Report;
use stale_drafts::store::{self, ArchivedMoney, Details, LedgerPart, LedgerPlace};

use crate::sqlite::Sqlite;
use crate::{HOUR, NOW, add, database};

fn page(database: &Sqlite, after: &LedgerPlace, limit: u32) -> Vec<LedgerPart> {
    store::ledger_parts(&database.one(store::ledger_page("anna", after, limit))).unwrap()
}

/// The keys of the entries, in pages of so many.
fn keys(database: &Sqlite, limit: u32) -> Vec<String> {
    let (mut after, mut keys) = (LedgerPlace::first(), Vec::new());
    loop {
        let parts = page(database, &after, limit);
        keys.extend(parts.iter().flat_map(LedgerPart::entries).map(|entry| entry.entry_key.clone()));
        match parts.last() {
            Some(last) => after = last.place(),
            None => return keys,
        }
    }
}

fn grant(database: &Sqlite, key: &str, at: i64) {
    database.write(&format!(
        "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('{key}', 'anna', 'grant', 7, {at})"
    ));
}

/// Grants at any time, and creations of every fate.
fn filled() -> Sqlite {
    let database = database();
    add(&database, "made", json!({ "created_at": NOW }));
    add(&database, "free", json!({ "created_at": NOW, "tokens": 0 }));
    add(&database, "failed", json!({ "created_at": NOW - HOUR, "status": "failed", "error": "no answer" }));
    add(
        &database,
        "gone",
        json!({ "created_at": NOW - 2 * HOUR, "status": "draft", "deleted_at": NOW, "prompt": "" }),
    );
    add(&database, "unreadable", json!({ "created_at": "soon" }));
    add(&database, "another's", json!({ "user_id": "ben" }));
    let now = NOW as i64;
    for (key, at) in [
        ("grant:same", now),
        ("z", now - 1),
        ("a", now - 1),
        ("grant:last", i64::MAX - 1),
        ("grant:before", -5),
    ] {
        grant(&database, key, at);
    }
    database
}

#[test]
fn it_has_every_entry_once_the_newest_creation_first_in_pages_of_any_size() {
    let database = filled();
    let whole = keys(&database, 100);
    assert_eq!(
        whole,
        [
            "grant:last",
            "charge:made",
            "grant:same",
            "z",
            "a",
            "refund:failed",
            "charge:failed",
            "charge:gone",
            "charge:unreadable",
            "grant:anna",
            "grant:before",
        ]
    );
    for limit in 1..=12 {
        assert_eq!(keys(&database, limit), whole, "pages of {limit}");
    }
    let entries = database.read("SELECT count(*) FROM stale_drafts_ledger WHERE user_id = 'anna'");
    assert_eq!(entries, [json!([whole.len()])]);
}

#[test]
fn a_part_says_what_it_is_of_and_why_it_failed() {
    let database = filled();
    let parts = page(&database, &LedgerPlace::first(), 100);
    let of = |id: &str| parts.iter().find(|part| part.creation_id.as_deref() == Some(id)).unwrap();
    let failed = of("failed");
    assert_eq!((failed.kind.as_deref(), failed.prompt.as_deref()), (Some("image"), Some("a fox")));
    assert_eq!((failed.error.as_deref(), failed.is_deleted()), (Some("no answer"), false));
    let tokens: Vec<_> = failed.entries().map(|entry| (entry.kind.as_str(), entry.tokens)).collect();
    assert_eq!(tokens, [("refund", 5), ("charge", -5)]);
    assert!(of("gone").is_deleted());
    assert_eq!(of("free").entries().count(), 0);
    let granted = parts.iter().find(|part| part.creation_id.is_none()).unwrap();
    assert_eq!(
        (granted.kind.as_deref(), granted.prompt.as_deref(), granted.error.as_deref()),
        (None, None, None)
    );
}

#[test]
fn a_restored_creation_has_three_entries_and_the_reason_of_its_refund() {
    let database = database();
    add(
        &database,
        "c",
        json!({ "status": "failed", "error": "no answer", "late_result_url": "https://r/1", "late_at": NOW, "finished_at": NOW }),
    );
    let details = Details::default();
    database.all(&store::report("c", &Report::Restore, &details, crate::now()));
    let [part] = <[_; 1]>::try_from(page(&database, &LedgerPlace::first(), 1)).unwrap();
    let entries: Vec<_> = part.entries().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(entries, ["restore", "refund", "charge"]);
    assert_eq!(part.error.as_deref(), Some("no answer"));
}

#[test]
fn long_texts_are_cut() {
    let database = database();
    add(
        &database,
        "c",
        json!({ "status": "failed", "prompt": "🦊".repeat(201), "error": "x".repeat(1_001) }),
    );
    add(
        &database,
        "d",
        json!({ "status": "failed", "prompt": "🦊".repeat(200), "error": "x".repeat(1_000) }),
    );
    let parts = page(&database, &LedgerPlace::first(), 2);
    let lengths =
        |at: usize| [&parts[at].prompt, &parts[at].error].map(|text| text.as_ref().unwrap().chars().count());
    assert_eq!((lengths(0), lengths(1)), ([200, 1_000], [200, 1_000]));
    assert!(parts[1].prompt.as_ref().unwrap().ends_with("🦊…"));
}

#[test]
fn what_was_carried_over_is_shown_and_another_users_is_not() {
    let database = database();
    database.write("INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
      VALUES ('carry:anna:2023-10', 'anna', 'carry', 0, 1), ('carry:anna:x:2023-10', 'anna:x', 'carry', 0, 1), ('carry:annab:2023-10', 'annab', 'carry', 0, 1)");
    assert_eq!(keys(&database, 1), ["carry:anna:2023-10", "grant:anna"]);
}

#[test]
fn what_is_archived_is_one_sum() {
    let database = database();
    let archived = || store::archived_money_of(database.one(store::archived_money("anna"))).unwrap();
    assert_eq!(archived(), None);
    database.write("INSERT INTO stale_drafts_archived_users VALUES ('anna', 3, 1, -12, NULL, 5)");
    let money = ArchivedMoney { creations: 3, tokens: -12, first_created_at: None, last_created_at: Some(5) };
    assert_eq!(archived(), Some(money));
}

#[test]
fn no_statement_reads_what_is_not_on_the_page() {
    let database = filled();
    let mut sql = store::ledger_page("anna", &LedgerPlace::first(), 5).sql.to_owned();
    for number in 1..=6 {
        sql = sql.replace(&format!("?{number}"), "'1'");
    }
    let plan = database.read(&format!("EXPLAIN QUERY PLAN {sql}"));
    let scans: Vec<_> = plan
        .iter()
        .filter_map(|row| row.get(3).and_then(Value::as_str))
        .filter(|step| {
            step.starts_with("SCAN stale") || step.contains("TEMP B-TREE") && !step.contains("ORDER BY")
        })
        .collect();
    assert_eq!(scans, [""; 0]);
}
