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
fn a_balance_that_the_app_keeps_is_none_here() {
    for (fails, restored) in [(true, false), (false, false), (true, true)] {
        let database = database();
        add(&database, "own", json!({ "tokens": 5 }));
        let before = database.read("SELECT user_id, tokens FROM stale_drafts_balances");
        add(&database, "c", json!({ "tokens": 30, "balance_elsewhere": 1 }));
        assert_eq!(database.read("SELECT user_id, tokens FROM stale_drafts_balances"), before);
        if fails {
            database.write("UPDATE stale_drafts_creations SET status = 'failed', late_at = 1, late_result_url = 'https://a.example' WHERE id = 'c'");
        }
        if restored {
            let restore = "UPDATE stale_drafts_creations SET status = 'draft', result_url = late_result_url, restored_at = 2 WHERE id = 'c'";
            database.write(restore);
        }
        assert_eq!(database.read("SELECT user_id, tokens FROM stale_drafts_balances"), before);
        let entries = database
            .read("SELECT type, tokens FROM stale_drafts_ledger WHERE creation_id = 'c' ORDER BY type");
        let mut expected = Vec::new();
        if fails {
            expected.extend([json!(["charge", -30]), json!(["refund", 30])]);
        }
        if restored {
            expected.push(json!(["restore", -30]));
        }
        assert_eq!(entries, expected);
        assert!(
            !database.takes("UPDATE stale_drafts_creations SET balance_elsewhere = 1 - balance_elsewhere")
        );
        if fails {
            // Only where it was neither charged nor refunded could another row take its place.
            let again = "INSERT OR REPLACE INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, balance_elsewhere)
                 VALUES ('c', 'u', 'image', '', 'pending', 30, 1)";
            assert!(!database.takes(again));
        }
    }
    let over =
        "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, balance_elsewhere)
         VALUES ('d', 'u', 'image', '', 'failed', 30, 1)";
    assert!(!database().takes(over), "it would be refunded without a charge");
}

/// Lists make JSON of these, of many rows at once: one BLOB, or one number that is none, would be an error for all of them.
#[test]
fn what_only_sweeps_write_is_of_one_type() {
    let database = database();
    add(&database, "c", json!({ "attempt": 2 }));
    database.write(
        "INSERT INTO stale_drafts_attempts (creation_id, attempt, outcome, finished_at) VALUES ('c', 1, 'retried', 5);
         INSERT INTO stale_drafts_rejected VALUES ('c', 5, 'no')",
    );
    let takes = |table: &str, column: &str, value: &str| {
        database.takes(&format!("UPDATE stale_drafts_{table} SET {column} = {value}"))
    };
    for table in ["creations", "attempts"] {
        for column in ["age_ms", "max_age_ms"] {
            assert!(takes(table, column, "7") && takes(table, column, "NULL"), "{table}.{column}");
            for wrong in ["x'00'", "-1", "1.5", "'soon'", "9e999"] {
                assert!(!takes(table, column, wrong), "{table}.{column}: {wrong}");
            }
        }
    }
    for column in ["worker", "fence", "error", "error_code", "stuck_status", "rule", "sweep_id"] {
        assert!(takes("attempts", column, "'a'") && !takes("attempts", column, "x'00'"), "{column}");
    }
    assert!(!takes("attempts", "attempt", "x'01'") && !takes("creations", "event_destinations", "x'01'"));
    assert!(takes("rejected", "reason", "'yes'") && !takes("rejected", "reason", "x'00'"));
    assert!(!database.takes(
        "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, sweep_id, tokens, created_at) VALUES ('refund:x', 'anna', 'refund', 'x', x'00', 1, 1)"
    ));
}
