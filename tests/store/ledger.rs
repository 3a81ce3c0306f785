//! A user's ledger, page by page.

use serde_json::{Value, json};
use stale_drafts::rules::{Policy, Report};
use stale_drafts::service::compaction::Compaction;
use stale_drafts::service::creations;
use stale_drafts::store::{self, ArchivedMoney, Details, LedgerPart, LedgerPlace, NewCreation};

use crate::archive::{Bucket, hold, run as archive};
use crate::compaction::{BEFORE_OCTOBER, run as compact};
use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, NOW, add, at, database, now};

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

/// What its entries say, the newest first.
fn words(part: &LedgerPart) -> Vec<String> {
    part.entries().into_iter().map(|entry| part.movement(entry).to_string()).collect()
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
    assert!(!failed.is_deleted());
    let tokens: Vec<_> =
        failed.entries().into_iter().map(|entry| (entry.kind.as_str(), entry.tokens)).collect();
    assert_eq!(tokens, [("refund", 5), ("charge", -5)]);
    assert_eq!(words(failed), ["Refunded, since it failed: no answer", "Charged when it was asked for"]);
    assert!(of("gone").is_deleted());
    assert_eq!(of("free").entries().len(), 0);
    let granted = parts.iter().find(|part| part.creation_id.is_none()).unwrap();
    assert_eq!((granted.kind.as_deref(), granted.prompt.as_deref()), (None, None));
    assert_eq!(words(granted), ["Added to the balance"]);
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
    database.all(&store::report("c", &Report::Restore, &details, now()));
    let [part] = <[_; 1]>::try_from(page(&database, &LedgerPlace::first(), 1)).unwrap();
    let entries: Vec<_> = part.entries().into_iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(entries, ["restore", "refund", "charge"]);
    assert_eq!(words(&part)[1], "Refunded, since it failed: no answer");
}

#[test]
fn what_was_restored_by_hand_is_told_without_a_reason() {
    let database = database();
    add(&database, "c", json!({}));
    database.write(
        "UPDATE stale_drafts_creations SET status = 'failed', error = 'no answer', late_at = 1, late_result_url = 'https://a.example' WHERE id = 'c';
         UPDATE stale_drafts_creations SET status = 'draft', result_url = late_result_url, restored_at = 2, error = NULL WHERE id = 'c'",
    );
    let parts = page(&database, &LedgerPlace::first(), 1);
    assert_eq!(words(&parts[0])[1], "Refunded, since it failed");
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
    let why = |part: &LedgerPart| {
        let words = words(part).swap_remove(0);
        words.strip_prefix("Refunded, since it failed: ").unwrap().chars().count()
    };
    let lengths = |at: usize| [parts[at].prompt.as_ref().unwrap().chars().count(), why(&parts[at])];
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
fn what_is_archived_is_one_sum_beside_those_of_months() {
    let database = database();
    let archived = || store::archived_money_of(database.one(store::archived_money("anna"))).unwrap();
    assert_eq!(archived(), None);
    database.write("INSERT INTO stale_drafts_archived_users VALUES ('anna', 3, 1, -12, NULL, 5)");
    let money = ArchivedMoney {
        creations: 3,
        tokens: -12,
        carried: 0,
        first_created_at: None,
        last_created_at: Some(5),
    };
    assert_eq!(archived(), Some(money.clone()));
    // Those are told one by one.
    database.write("DROP TRIGGER stale_drafts_ledger_carries_begin_empty;
      INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
      VALUES ('carry:anna:2023-10', 'anna', 'carry', -5, 1), ('carry:anna:2023-11', 'anna', 'carry', -3, 1), ('carry:anna:x:2023-10', 'anna:x', 'carry', 40, 1)");
    assert_eq!(archived(), Some(ArchivedMoney { tokens: -4, carried: -8, ..money }));
}

/// Reports of `anna`'s creation of this id, whoever asks.
fn report(database: &Sqlite, id: &str, millis: u64, report: Report<'_>) {
    let details = Details { random: "abc", error: "it broke", keep: true, ..Details::default() };
    wait(creations::report(database, id, report, details, at(millis))).unwrap();
}

fn fail(error_code: &str, fence: &'static str, tokens_used: Option<u64>) -> Report<'static> {
    Report::Fail {
        fence: Some(fence),
        error_code: if error_code == "broken" { "broken" } else { "other" },
        tokens_used,
    }
}

/// A creation that failed with a part used, was retried, cancelled, retried, timed out, and is done with a part used at the fourth charge.
fn retried(database: &Sqlite) {
    let new = NewCreation { id: "c", user_id: "anna", kind: "video", prompt: "a fox", tokens: 10 };
    wait(creations::create(database, new, at(NOW - HOUR))).unwrap();
    // All within one millisecond: no time says which failure a refund is of.
    report(database, "c", NOW, Report::Start { worker: "w" });
    report(database, "c", NOW, fail("broken", "1.abc", Some(4)));
    report(database, "c", NOW, Report::Retry { attempt: 1 });
    report(database, "c", NOW, Report::Cancel { attempt: None, policy: &Policy::default() });
    report(database, "c", NOW, Report::Retry { attempt: 2 });
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'failed', finished_at = {NOW}, error = 'it hung', error_code = 'hung' WHERE id = 'c'"
    ));
    report(database, "c", NOW, Report::Retry { attempt: 3 });
    report(database, "c", NOW, Report::Start { worker: "w" });
    report(
        database,
        "c",
        NOW,
        Report::Complete { fence: "4.abc", result_url: "https://r/1", tokens_used: Some(7) },
    );
}

#[test]
fn a_retried_creation_has_the_entries_of_every_charge_each_with_the_reason_of_its_own_attempt() {
    let database = database();
    retried(&database);
    let [part, _] = <[_; 2]>::try_from(page(&database, &LedgerPlace::first(), 9)).unwrap();
    let told: Vec<_> = part
        .entries()
        .into_iter()
        .map(|entry| {
            (
                entry.entry_key.as_str(),
                entry.tokens,
                part.movement(entry).code(),
                part.movement(entry).to_string(),
            )
        })
        .collect();
    let expected = [
        ("refund4:c", 3, "not_used", "What was not used came back"),
        ("charge4:c", -10, "retried", "Charged again, as it was retried after its failure"),
        ("refund3:c", 10, "refunded", "Refunded, since it failed: it hung"),
        ("charge3:c", -10, "retried", "Charged again, as it was retried after its failure"),
        ("refund2:c", 10, "cancelled", "Refunded, since it was cancelled"),
        ("charge2:c", -10, "retried", "Charged again, as it was retried after its failure"),
        ("refund:c", 6, "refunded_in_part", "It failed, and what was not used came back: it broke"),
        ("charge:c", -10, "charged", "Charged when it was asked for"),
    ]
    .map(|(key, tokens, code, words)| (key, tokens, code, words.to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn a_failure_that_used_all_of_its_charge_says_so_and_a_restored_result_was_charged_for() {
    let database = database();
    let new = NewCreation { id: "c", user_id: "anna", kind: "video", prompt: "a fox", tokens: 10 };
    wait(creations::create(&database, new, at(NOW - HOUR))).unwrap();
    report(&database, "c", NOW, Report::Start { worker: "w" });
    report(&database, "c", NOW, fail("broken", "1.abc", Some(10)));
    report(&database, "c", NOW, Report::Retry { attempt: 1 });
    report(&database, "c", NOW, Report::Start { worker: "w" });
    report(&database, "c", NOW, fail("broken", "2.abc", Some(10)));
    let told = || {
        let [part, _] = <[_; 2]>::try_from(page(&database, &LedgerPlace::first(), 9)).unwrap();
        part.entries().into_iter().map(|entry| part.movement(entry).to_string()).collect::<Vec<_>>()
    };
    let used_up = "Charged, and not refunded: it failed, and had used all of it: it broke";
    assert_eq!(told(), [used_up, used_up]);
    // Its result came after all.
    let late = Report::Complete { fence: "2.abc", result_url: "https://r/1", tokens_used: None };
    let details = Details { keep: true, ..Details::default() };
    wait(creations::report(&database, "c", late, details, now())).unwrap_err();
    report(&database, "c", NOW, Report::Restore);
    assert_eq!(told(), ["Charged again, as it was retried after its failure", used_up]);
}

#[test]
fn a_charge_of_a_retry_that_is_restored_is_told_like_the_first() {
    let database = database();
    let new = NewCreation { id: "c", user_id: "anna", kind: "video", prompt: "a fox", tokens: 10 };
    wait(creations::create(&database, new, at(NOW - HOUR))).unwrap();
    report(&database, "c", NOW, Report::Start { worker: "w" });
    report(&database, "c", NOW, fail("broken", "1.abc", None));
    report(&database, "c", NOW, Report::Retry { attempt: 1 });
    let late = Report::Complete { fence: "1.abc", result_url: "https://r/1", tokens_used: None };
    let details = Details { keep: true, ..Details::default() };
    wait(creations::report(&database, "c", late, details, now())).unwrap_err();
    report(&database, "c", NOW, Report::Fail { fence: None, error_code: "other", tokens_used: Some(1) });
    report(&database, "c", NOW, Report::Restore);
    let parts = page(&database, &LedgerPlace::first(), 1);
    assert_eq!(
        words(&parts[0]),
        [
            "Charged again: its result came after the refund, and was restored",
            "It failed, and what was not used came back: it broke",
            "Charged again, as it was retried after its failure",
            "Refunded, since it failed: it broke",
            "Charged when it was asked for",
        ]
    );
    assert_eq!(sum(&database), balance(&database));
}

fn sum(database: &Sqlite) -> i64 {
    let (mut after, mut sum) = (LedgerPlace::first(), 0);
    loop {
        let parts = page(database, &after, 2);
        sum += parts.iter().flat_map(LedgerPart::entries).map(|entry| entry.tokens).sum::<i64>();
        let Some(last) = parts.last() else { break };
        after = last.place();
    }
    let archived = store::archived_money_of(database.one(store::archived_money("anna"))).unwrap();
    sum + archived.map_or(0, |archived| archived.tokens)
}

fn balance(database: &Sqlite) -> i64 {
    database.read("SELECT tokens FROM stale_drafts_balances WHERE user_id = 'anna'")[0][0].as_i64().unwrap()
}

#[test]
fn all_pages_and_what_is_archived_are_the_balance_whatever_became_of_a_creation() {
    let database = filled();
    retried(&database);
    add(&database, "elsewhere", json!({ "balance_elsewhere": 1 }));
    database.write("UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'elsewhere'");
    assert_eq!(sum(&database), balance(&database));
    // Archived, and then summed up, months later.
    let bucket = Bucket::default();
    let later = NOW + 100 * 24 * HOUR;
    archive(&database, &bucket, at(later)).unwrap().unwrap();
    assert!(database.read("SELECT id FROM stale_drafts_creations WHERE id = 'c'").is_empty());
    assert_eq!(sum(&database), balance(&database));
    let compaction = Compaction { before: at(later - later % (24 * HOUR)), ..BEFORE_OCTOBER };
    let compacted = compact(&database, &bucket, compaction).unwrap();
    assert!(compacted.entries >= 8, "{compacted:?}");
    assert_eq!(sum(&database), balance(&database));
    hold(&database);
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
