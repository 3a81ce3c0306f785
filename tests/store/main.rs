//! Every statement of `src/store`, one by one, against SQLite with the real migrations; and a sweep and the reports over them.
//!
//! The simulator finds what goes wrong between statements; this says what each of them does.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![cfg(not(target_arch = "wasm32"))]

mod archive;
#[path = "../../crates/simulator/src/as_d1.rs"]
mod as_d1;
mod ask;
mod audit;
mod charges;
mod compaction;
mod durations;
mod explorer;
mod extensions;
mod find;
mod grants;
mod holds;
mod import;
mod interleavings;
mod ledger;
mod lists;
mod max_active;
mod money;
mod monitor;
mod move_plans;
mod moves;
mod moving;
mod operators;
mod outbox;
mod placement;
mod reports;
mod retries;
mod retry_many;
mod schema;
mod shards;
mod sqlite;
mod sweeping;
mod sweeps;

use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use sqlite::Sqlite;
use stale_drafts::config::{Keep, Shards};
use stale_drafts::rules::{Policy, Setting, Thresholds, Timestamp};
use stale_drafts::service::monitor::Settings;

/// The instant that everything here is measured from.
const NOW: u64 = 1_700_000_000_000;
/// The earliest time that a creation may have.
const LONG_AGO: u64 = 1_000_000_000_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 3_600_000;

/// The configuration of a single database.
static ONE_DATABASE: LazyLock<Shards> = LazyLock::new(|| Shards::one("DB"));

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap()).unwrap()
}

fn now() -> Timestamp {
    at(NOW)
}

/// An empty database in which `anna` and `ben` have 1,000 tokens each.
fn database() -> Sqlite {
    let database = Sqlite::new();
    for user in ["anna", "ben"] {
        database.write(&format!(
            "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
             VALUES ('grant:{user}', '{user}', 'grant', 1000, 0)"
        ));
    }
    database
}

/// Brings in a creation: one of `anna`, an image for 5 tokens, pending since now; and what `columns` says otherwise.
fn add(database: &Sqlite, id: &str, columns: Value) {
    let mut row = json!({
        "id": id, "user_id": "anna", "kind": "image", "prompt": "a fox", "status": "pending", "tokens": 5, "created_at": NOW,
    });
    let row = row.as_object_mut().unwrap();
    row.extend(columns.as_object().unwrap().clone());
    let literal = |value: &Value| match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    };
    let names: Vec<_> = row.keys().map(String::as_str).collect();
    let values: Vec<_> = row.values().map(literal).collect();
    database.write(&format!(
        "INSERT INTO stale_drafts_creations ({}) VALUES ({})",
        names.join(", "),
        values.join(", ")
    ));
}

/// What a monitor goes by that expects no sweep, keeps the default, and tells nobody.
fn watching<'a>(policy: &'a Policy, thresholds: &'a Thresholds, shards: &'a Shards) -> Settings<'a> {
    Settings {
        policy,
        thresholds,
        max_ms_since_sweep: u64::MAX,
        keep: Keep::default(),
        destinations: 0,
        shards,
        has_archive: false,
    }
}

/// A policy from its numbers; a number below zero is `"never"`.
fn policy(settings: &[(&[&str], f64)]) -> Policy {
    let setting =
        |number: f64| if number < 0.0 { Setting::Text("never") } else { Setting::Number(number, "") };
    Policy::from_settings(settings.iter().map(|(path, number)| (*path, setting(*number)))).unwrap()
}

/// A row of a result.
fn row(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}
