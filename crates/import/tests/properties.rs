//! Whatever a source holds: nothing panics, nothing is lost, and what is written is SQL that the database takes.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use stale_drafts_import::mapping::Mapping;
use stale_drafts_import::sources::Sources;
use stale_drafts_import::sql::{DROP, Script};
use stale_drafts_import::verify::verify;
use stale_drafts_import::{each_row, import};

const MIGRATIONS: [&str; 3] = [
    include_str!("../../../migrations/0001_creations.sql"),
    include_str!("../../../migrations/0002_money.sql"),
    include_str!("../../../migrations/0005_shards.sql"),
];

fn mapping() -> Mapping {
    let fields = [
        ("user_id", "userId"),
        ("kind", "kind"),
        ("prompt", "prompt"),
        ("status", "status"),
        ("tokens", "tokens"),
        ("created_at", "at"),
        ("error", "error"),
        ("error_code", "code"),
        ("result_url", "url"),
        ("refunded", "refunded"),
        ("balance", "tokens"),
    ];
    let fields: serde_json::Map<_, _> =
        fields.map(|(ours, theirs)| (ours.into(), theirs.into())).into_iter().collect();
    let mapping = json!({
        "collection": "creations", "users": "users", "times": "milliseconds", "fields": fields,
        "values": { "refunded": true }, "statuses": { "done": "draft" },
    });
    mapping.to_string().parse().unwrap()
}

/// A file for one case.
struct Source(PathBuf);

impl Source {
    fn new(bytes: &[u8]) -> Self {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stale-drafts-import-{}-{number}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Source(path)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn typed() -> impl Strategy<Value = Json> {
    let text = prop_oneof![
        Just(String::from("pending")),
        Just(String::from("done")),
        Just(String::from("failed")),
        Just(String::from("generation_timeout")),
        Just(String::from("it's; BEGIN TRANSACTION\n--")),
        "[0-9]{1,4}",
        ".{0,300}",
        "\\PC{0,8}",
    ];
    prop_oneof![
        4 => text.prop_map(|text| json!({ "stringValue": text })),
        2 => any::<i64>().prop_map(|number| json!({ "integerValue": number.to_string() })),
        2 => (0..100_i64).prop_map(|number| json!({ "integerValue": number })),
        1 => (1_000_000_000_000..2_000_000_000_000_i64).prop_map(|number| json!({ "integerValue": number.to_string() })),
        1 => any::<f64>().prop_map(|number| json!({ "doubleValue": number })),
        1 => any::<bool>().prop_map(|value| json!({ "booleanValue": value })),
        1 => "2026-11-[0-3][0-9]T0[0-9]:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-]0[0-9]:00)"
            .prop_map(|text| json!({ "timestampValue": text })),
        1 => Just(json!({ "nullValue": null })),
        1 => Just(json!({ "arrayValue": {} })),
        1 => Just(json!({ "referenceValue": "projects/p/databases/d/documents/users/ada" })),
        1 => Just(json!({})),
    ]
}

/// Documents that are often right: each field has the right type half of the time.
fn document() -> impl Strategy<Value = Json> {
    let right =
        (0..4_u8, 0..5_usize, 0..50_u32, any::<bool>()).prop_map(|(user, status, tokens, refunded)| {
            let status = ["pending", "processing", "done", "published", "failed"][status];
            json!({
                "userId": { "stringValue": format!("u{user}") }, "kind": { "stringValue": "image" },
                "status": { "stringValue": status }, "tokens": { "integerValue": tokens.to_string() },
                "at": { "timestampValue": "2026-11-20T12:00:00Z" }, "refunded": { "booleanValue": refunded },
            })
        });
    let name = prop::sample::select(vec![
        "userId", "kind", "prompt", "status", "tokens", "at", "error", "code", "url", "refunded",
    ]);
    let changes = prop::collection::vec((name, typed()), 0..3);
    let place = prop_oneof![
        6 => "creations/c[0-9]{1,2}",
        1 => "users/u[0-9]/creations/[a-z]{1,3}",
        3 => "users/u[0-9]",
        1 => "others/[a-z]{1,3}",
        1 => "creations/\\PC{1,4}",
        1 => Just(String::from("creations/active")),
        1 => Just(String::from("creations")),
    ];
    (place, right, changes).prop_map(|(path, mut fields, changes)| {
        for (name, value) in changes {
            fields[name] = value;
        }
        json!({ "name": format!("projects/p/databases/d/documents/{path}"), "fields": fields, "createTime": "2026-11-19T00:00:00Z" })
    })
}

/// A database with our tables.
fn database() -> Connection {
    let database = Connection::open_in_memory().unwrap();
    database.execute_batch(&MIGRATIONS.concat()).unwrap();
    database
}

fn rows(database: &Connection, sql: &str) -> Vec<serde_json::Map<String, Json>> {
    let mut statement = database.prepare(sql).unwrap();
    let names: Vec<_> = statement.column_names().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row<'_>| {
        names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let value = match row.get_ref(at)? {
                    rusqlite::types::ValueRef::Null => Json::Null,
                    rusqlite::types::ValueRef::Integer(integer) => integer.into(),
                    rusqlite::types::ValueRef::Real(real) => real.into(),
                    rusqlite::types::ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap().into(),
                    rusqlite::types::ValueRef::Blob(_) => panic!("a blob"),
                };
                Ok((name.clone(), value))
            })
            .collect()
    };
    statement.query_map([], row).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn ledger(database: &Connection) -> Vec<serde_json::Map<String, Json>> {
    rows(database, "SELECT entry_key, tokens FROM stale_drafts_ledger ORDER BY entry_key")
}

/// Writes the SQL of a source, and checks that the report adds up.
fn script(path: &Path) -> String {
    let mut sql = Vec::new();
    let mut script = Script::new(&mut sql).unwrap();
    let mut listed = 0;
    let mut seen = 0;
    let report = import(
        &Sources::new([path]),
        &mapping(),
        Some(&mut script),
        &mut |_| {
            listed += 1;
            Ok(())
        },
        &mut || seen += 1,
    )
    .unwrap();
    script.end().unwrap();
    let others: u64 = report.others.values().sum();
    assert_eq!(report.documents, report.creations_in_all() + report.users + others + report.unreadable);
    assert_eq!((listed, seen), (report.unreadable, report.documents));
    String::from_utf8(sql).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_documents_come_in_or_are_listed(documents in prop::collection::vec(document(), 0..40)) {
        let source = Source::new(json!({ "documents": documents }).to_string().as_bytes());
        let sql = script(&source.0);
        let database = database();
        database.execute_batch(&sql).unwrap();
        let verdict = verify(&Sources::new([&source.0]), &mapping(), &mut |sql| Ok(rows(&database, sql)), &mut || ()).unwrap();
        prop_assert_eq!(&verdict.named, &Vec::<String>::new());
        prop_assert_eq!(verdict.moved_on, 0);
        let before = ledger(&database);
        database.execute_batch(&sql).unwrap();
        prop_assert_eq!(before, ledger(&database));
        prop_assert!(!sql.contains("BEGIN TRANSACTION"));
    }

    /// The source moves on in any way, and much has happened here: the file is taken, and a repetition changes nothing.
    #[test]
    fn any_second_import_is_taken(
        first in prop::collection::vec(document(), 0..40),
        second in prop::collection::vec(document(), 0..40),
        failed in 0..10_u8,
    ) {
        let database = database();
        let sources = [&first, &second].map(|documents| Source::new(json!({ "documents": documents }).to_string().as_bytes()));
        database.execute_batch(&script(&sources[0].0)).unwrap();
        let fail = format!(
            "UPDATE stale_drafts_creations SET status = 'failed' WHERE status IN ('pending', 'processing') AND id LIKE '%{failed}'"
        );
        database.execute_batch(&fail).unwrap();
        let sql = script(&sources[1].0);
        database.execute_batch(&sql).unwrap();
        let before = ledger(&database);
        database.execute_batch(&sql).unwrap();
        prop_assert_eq!(before, ledger(&database));
        let wrong = rows(&database, "SELECT user_id FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id) \
            FULL JOIN stale_drafts_balances USING (user_id) WHERE sum IS NOT tokens");
        prop_assert_eq!(wrong, Vec::new());
    }

    #[test]
    fn a_changed_file_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), file in 0..5_usize) {
        let name = ["managed/all_namespaces/all_kinds/output-0", "pages.json", "lines.ndjson", "firestore-export-import.json",
            "node-firestore-import-export.json"][file];
        let mut bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/import/fixtures/small").join(name)).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let source = Source::new(&bytes);
        let _ = each_row(&Sources::new([&source.0]), &mapping(), &mut |_| ControlFlow::Continue(()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let source = Source::new(&bytes);
        let _ = each_row(&Sources::new([&source.0]), &mapping(), &mut |_| ControlFlow::Continue(()));
    }
}

#[test]
fn no_statement_is_longer_than_the_database_takes() {
    let long = |n: u32| {
        json!({ "name": format!("projects/p/databases/d/documents/creations/c{n}"), "fields": {
            "userId": { "stringValue": "ada" }, "kind": { "stringValue": "image" }, "status": { "stringValue": "failed" },
            "tokens": { "integerValue": "1" }, "prompt": { "stringValue": "🦊".repeat(20_001) },
            "error": { "stringValue": "'".repeat(20_001) },
        } })
    };
    let documents: Vec<_> = (0..5).map(long).collect();
    let source = Source::new(json!({ "documents": documents }).to_string().as_bytes());
    let sql = script(&source.0);
    let before_import = sql.split("-- Who owns creations").next().unwrap();
    assert!(before_import.split(";\n").all(|statement| statement.len() < 100_000));
    let database = database();
    database.execute_batch(&sql).unwrap();
    let found = rows(
        &database,
        "SELECT length(prompt) AS prompt, length(error) AS error FROM stale_drafts_creations",
    );
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|row| row["prompt"] == 20_000 && row["error"] == 20_000));
    assert!(!sql.contains("CREATE TABLE stale_drafts_creations") && sql.ends_with(DROP));
}
