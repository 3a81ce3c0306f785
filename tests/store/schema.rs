//! What the database takes, whoever writes.

use serde_json::json;

use crate::sqlite::{CLOCK, Sqlite};
use crate::{NOW, add, database};

/// Whether a creation comes in whose `column` holds `text`.
fn takes(database: &Sqlite, column: &str, text: &str) -> bool {
    let mut row = json!({ "id": "c", "user_id": "anna", "kind": "image", "prompt": "a fox" });
    row[column] = json!(text);
    let text = |column: &str| {
        format!("'{}'", row[column].as_str().unwrap_or_default().replace('\0', "' || char(0) || '"))
    };
    database.write("SAVEPOINT try");
    let taken = database.takes(&format!(
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at, error)
         VALUES ({}, {}, {}, {}, 'failed', 0, {NOW}, {})",
        text("id"),
        text("user_id"),
        text("kind"),
        text("prompt"),
        text("error"),
    ));
    database.write("ROLLBACK TO try; RELEASE try");
    taken
}

#[test]
fn names_are_short_and_hold_no_control_characters() {
    let database = database();
    for column in ["id", "user_id", "kind"] {
        let takes = |text: &str| takes(&database, column, text);
        assert!(takes("a") && takes(&"é".repeat(100)) && takes("狐 🦊 \u{a0}\\\"%*[]"), "{column}");
        assert_eq!(takes(""), column == "kind");
        for wrong in
            [&"é".repeat(101), "a\u{1}", "\na", "a\tb", "\u{1f}", "\u{7f}", "\u{85}", "\u{9f}", "a\0b", "a\0"]
        {
            assert!(!takes(wrong), "{column}: {wrong:?}");
        }
    }
}

#[test]
fn an_id_can_stand_in_the_path_of_a_url() {
    let database = database();
    let takes = |id: &str| takes(&database, "id", id);
    assert!(takes("...") && takes(".a") && takes("Active") && takes("a/../b") && takes("publish"));
    assert!(!takes(".") && !takes("..") && !takes("active"));
}

#[test]
fn texts_are_bounded_and_hold_no_nul() {
    let database = database();
    for column in ["prompt", "error"] {
        let takes = |text: &str| takes(&database, column, text);
        assert!(takes("") && takes("a\nb\t\u{1}") && takes(&"狐".repeat(20_000)), "{column}");
        assert!(!takes(&"a".repeat(20_001)) && !takes("a\0b") && !takes("\0"), "{column}");
    }
}

#[test]
fn each_migration_states_its_number() {
    let versions = database().read("SELECT version FROM stale_drafts_schema");
    assert_eq!(
        versions,
        (1..=crate::as_d1::MIGRATIONS.len()).map(|number| json!([number])).collect::<Vec<_>>()
    );
}

#[test]
fn an_entry_of_the_ledger_has_a_plausible_time() {
    for (created_at, dated) in [
        (json!(NOW - 7), NOW - 7),
        (json!(NOW / 1_000), CLOCK),
        (json!(0), CLOCK),
        (json!(1_000_000_000_000_u64 - 1), CLOCK),
        (json!(1_000_000_000_000_u64), 1_000_000_000_000),
        (json!(8_640_000_000_000_001_u64), CLOCK),
        (json!(null), CLOCK),
    ] {
        let database = database();
        add(&database, "c", json!({ "created_at": created_at }));
        database.write(&format!(
            "UPDATE stale_drafts_creations SET status = 'failed', finished_at = {created_at}"
        ));
        let dates = database.read("SELECT created_at FROM stale_drafts_ledger WHERE creation_id = 'c'");
        assert_eq!(dates, [json!([dated]), json!([dated])], "{created_at}");
    }
}

#[test]
fn a_refund_is_paid_out_once_and_only_if_there_was_one() {
    let database = database();
    add(&database, "c", json!({ "tokens": 30 }));
    let payout = |tokens: i64| {
        database.takes(&format!(
            "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
             SELECT 'payout:' || id, user_id, 'payout', id, {tokens}, {NOW} FROM stale_drafts_creations WHERE id = 'c'"
        ))
    };
    let balance = || database.read("SELECT tokens FROM stale_drafts_balances");
    let before = balance();
    assert!(!payout(-30), "it has not failed");
    database.write("UPDATE stale_drafts_creations SET status = 'failed' WHERE id = 'c'");
    assert_ne!(balance(), before);
    assert!(!payout(30) && !payout(-29) && !payout(-31));
    assert!(payout(-30));
    assert_eq!(balance(), before);
    assert!(!payout(-30), "it is paid out");
}
