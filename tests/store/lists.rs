//! The lists of a user's creations, and balances.

use serde_json::json;
use stale_drafts::store::{self, Page, PageRow, Row};

use crate::sqlite::Sqlite;
use crate::{HOUR, NOW, add, database, row};

fn ids(rows: &[Row]) -> Vec<String> {
    store::page_rows(rows).unwrap().into_iter().map(|row| row.creation.id).collect()
}

#[test]
fn the_balances() {
    let database = database();
    database.write("UPDATE stale_drafts_balances SET tokens = 7 WHERE user_id = 'ben'");
    let [anna, ben] =
        [("anna", 1_000), ("ben", 7)].map(|(user, tokens)| row(json!({ "user_id": user, "tokens": tokens })));
    assert_eq!(database.one(store::balances(1)), std::slice::from_ref(&anna));
    assert_eq!(database.one(store::balances(9)), [anna, ben]);
    assert_eq!(database.one(store::balance("ben")), [row(json!({ "tokens": 7 }))]);
    assert_eq!(database.one(store::balance("cleo")), []);
}

/// `e` and `d` of the same instant, `c` before; `b` can't be read, and `a` is deleted.
fn listed() -> Sqlite {
    let database = database();
    add(&database, "c", json!({ "created_at": NOW - 1, "status": "draft" }));
    add(&database, "d", json!({ "status": "failed" }));
    add(&database, "e", json!({}));
    add(&database, "b", json!({ "created_at": "soon" }));
    add(&database, "a", json!({ "status": "draft", "created_at": NOW + 1, "deleted_at": NOW }));
    add(&database, "another's", json!({ "user_id": "ben" }));
    database
}

#[test]
fn a_page_is_the_newest_first_and_goes_on_after_the_last() {
    let database = listed();
    let page = |after: &Page, limit| database.one(store::page("anna", after, limit));
    assert_eq!(ids(&page(&Page::first(), 9)), ["e", "d", "c", "b"]);
    let first = page(&Page::first(), 1);
    assert_eq!(ids(&first), ["e"]);
    let last = |rows: &[Row]| {
        let PageRow { listed_at, creation, .. } = store::page_rows(rows).unwrap().pop().unwrap();
        Page { listed_at, id: creation.id }
    };
    let second = page(&last(&first), 2);
    assert_eq!(ids(&second), ["d", "c"]);
    let third = page(&last(&second), 2);
    assert_eq!(ids(&third), ["b"]);
    assert_eq!(ids(&page(&last(&third), 2)), [""; 0]);
}

#[test]
fn whatever_a_time_is_its_creation_is_listed() {
    let database = database();
    // In seconds, microseconds and nanoseconds; before 1970; and the last instants of a Date and of an integer.
    let times: [i64; 6] = [
        1_700_000_000,
        1_700_000_000_000_000,
        1_700_000_000_000_000_000,
        -5,
        8_640_000_000_000_000,
        i64::MAX,
    ];
    for (number, created_at) in times.iter().enumerate() {
        add(&database, &format!("c{number}"), json!({ "created_at": created_at, "status": "draft" }));
    }
    let all = ["c4", "c1", "c0", "c5", "c3", "c2"];
    assert_eq!(ids(&database.one(store::page("anna", &Page::first(), 9))), all);
    assert_eq!(ids(&database.one(store::page_of_all("anna", None, &Page::first(), 9))), all);
    let mut after = Page::first();
    for id in all {
        let row = store::page_rows(&database.one(store::page("anna", &after, 1))).unwrap().remove(0);
        assert_eq!(row.creation.id, id);
        after = Page { listed_at: row.listed_at, id: row.creation.id };
        assert!(after.listed_at <= 1 << 53, "a cursor holds it");
    }
}

#[test]
fn operators_see_what_is_deleted_too_and_one_status_if_they_ask() {
    let database = listed();
    let of =
        |status, after: &Page, limit| ids(&database.one(store::page_of_all("anna", status, after, limit)));
    assert_eq!(of(None, &Page::first(), 9), ["a", "e", "d", "c", "b"]);
    assert_eq!(of(None, &Page { listed_at: NOW as i64, id: String::from("d") }, 1), ["c"]);
    assert_eq!(of(Some("draft"), &Page::first(), 9), ["a", "c"]);
    assert_eq!(of(Some("draft"), &Page { listed_at: NOW as i64, id: String::from("d") }, 1), ["c"]);
}

#[test]
fn a_page_says_everything_of_a_creation() {
    let database = database();
    let whole = json!({
        "status": "failed", "finished_at": NOW + 1, "error": "it was stuck", "error_code": "generation_timeout",
        "stuck_status": "pending", "age_ms": 2 * HOUR, "max_age_ms": HOUR, "rule": "max_age_hours", "sweep_id": "s",
        "result_url": "https://r/1", "late_result_url": "https://r/2", "late_at": NOW + 2, "deleted_at": NOW + 4,
    });
    add(&database, "c", whole);
    let read = || {
        store::page_rows(&database.one(store::page_of_all("anna", None, &Page::first(), 1)))
            .unwrap()
            .remove(0)
    };
    let page = read();
    assert_eq!((page.creation.id.as_str(), page.creation.tokens, page.prompt.as_str()), ("c", 5, "a fox"));
    assert_eq!(page.error.as_deref(), Some("it was stuck"));
    assert_eq!(page.error_code.as_deref(), Some("generation_timeout"));
    assert_eq!((page.finished_at, page.listed_at), (Some(NOW as i64 + 1), NOW as i64));
    assert_eq!((page.refunded_tokens, page.result_url.as_deref()), (Some(5), Some("https://r/1")));
    assert_eq!(
        (page.late_at, page.restored_at, page.deleted_at),
        (Some(NOW as i64 + 2), None, Some(NOW as i64 + 4))
    );
    assert_eq!(page.rule.as_deref(), Some("max_age_hours"));
    // A restore takes again what went back.
    database.write("UPDATE stale_drafts_creations SET restored_at = 3");
    let page = read();
    assert_eq!((page.restored_at, page.refunded_tokens), (Some(3), None));
    // A finish that is no time is none.
    database.write("UPDATE stale_drafts_creations SET finished_at = 'soon'");
    assert_eq!(read().finished_at, None);
}

#[test]
fn a_page_of_the_longest_texts_is_read() {
    let database = database();
    // As much as D1 stores in one string. Each `\u{1}` has six bytes as JSON.
    let limit = 2_000_000;
    for (number, char) in (0..100).zip(["🦊", "\u{1}"].into_iter().cycle()) {
        let id = format!("c{number}");
        let text = char.repeat(20_000);
        add(&database, &id, json!({ "prompt": text, "status": "failed", "error": text }));
    }
    let rows = database.one(store::page("anna", &Page::first(), 101));
    assert_eq!(store::page_rows(&rows).unwrap().len(), 100);
    assert!(rows.iter().all(|row| row["page"].as_str().unwrap().len() < limit));
    let rows = database.one(store::page_of_all("anna", None, &Page::first(), 101));
    assert_eq!(store::page_rows(&rows).unwrap().len(), 100);
}

#[test]
fn what_failed_in_another_system_was_refunded_there() {
    let database = database();
    let elsewhere = |status: &str| json!({ "status": status, "settled_elsewhere": 1 });
    add(&database, "a", elsewhere("failed"));
    add(&database, "b", elsewhere("draft"));
    add(&database, "c", json!({ "status": "failed" }));
    add(&database, "d", json!({}));
    let rows = store::page_rows(&database.one(store::page("anna", &Page::first(), 9))).unwrap();
    let refunded: Vec<_> = rows.iter().map(|row| (row.creation.id.as_str(), row.refunded_tokens)).collect();
    assert_eq!(refunded, [("d", None), ("c", Some(5)), ("b", None), ("a", Some(5))]);
    let explained = database.all(&store::explain("a"));
    assert_eq!(store::page_rows(&explained[0]).unwrap()[0].refunded_tokens, Some(5));
    assert!(explained[1].is_empty(), "nothing of it is in the ledger here");
}
