//! Rows as an app, or anybody, may have written them.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::sample::select;
use rusqlite::types::Value;
use stale_drafts::rules::{Policy, Status, Timestamp};

use crate::generate::{EARLIEST, KINDS, MAX, Terms, When, now, terms, when};

/// A creation before it is in the table.
#[derive(Clone, Debug)]
pub struct Stored {
    pub user_id: &'static str,
    pub kind: String,
    pub status: Status,
    pub attempt: u32,
    pub tokens: u32,
    /// `created_at`, `queued_at`, `started_at`, `heartbeat_at`, `extended_until`
    pub times: [Value; 5],
}

/// What a column of times may hold, before it is known what it is near to.
#[derive(Clone, Debug)]
pub enum Cell {
    When(When),
    Garbage(Value),
}

pub fn cell() -> impl Strategy<Value = Cell> {
    let text =
        ["soon", "", "1700000000000", "1.5", "1e3", "-1", " 7 ", "0x10", "2023-11-14T22:13:20Z", "٣", "a\0b"];
    let real =
        [1.5, -0.5, 5.0, 1.7e12, 8.64e15, 9e15, 1e19, -1e300, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE];
    let integer = [-1, EARLIEST - 1, EARLIEST, MAX + 1, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1];
    let garbage = prop_oneof![
        select(text.to_vec()).prop_map(|text| Value::Text(String::from(text))),
        select(real.to_vec()).prop_map(Value::Real),
        select(integer.to_vec()).prop_map(Value::Integer),
        vec(proptest::prelude::any::<u8>(), 0..9).prop_map(Value::Blob),
        Just(Value::Null),
    ];
    prop_oneof![9 => when().prop_map(Cell::When), 1 => garbage.prop_map(Cell::Garbage)]
}

impl Cell {
    pub fn value(&self, now: Timestamp, terms: &Terms, kind: &str) -> Value {
        match self {
            Cell::When(when) => match when.millis(now, terms, kind) {
                Some(Some(millis)) => Value::Integer(millis),
                Some(None) => Value::Null,
                None => Value::Text(String::from("soon")),
            },
            Cell::Garbage(value) => value.clone(),
        }
    }
}

/// A table, a policy and an instant, near one another.
#[derive(Clone, Debug)]
pub struct Table {
    pub terms: Terms,
    pub policy: Policy,
    pub now: Timestamp,
    pub rows: Vec<Stored>,
}

pub fn table() -> impl Strategy<Value = Table> {
    let status = prop_oneof![
        4 => select(vec![Status::Pending, Status::Processing, Status::Processing]),
        1 => select(vec![Status::Draft, Status::Published, Status::Failed]),
    ];
    // Also kinds that no policy names, and what JSON has to escape.
    let kind = prop_oneof![
        9 => select(KINDS.to_vec()).prop_map(String::from),
        1 => select(vec!["\"\\\u{ad}", "Image", "zzz", "IMAGE ", "😀"]).prop_map(String::from),
    ];
    let attempt = prop_oneof![9 => 1..=4_u32, 1 => select(vec![99, 100, u32::MAX])];
    // More time is seldom given.
    let more_time = prop_oneof![3 => Just(Cell::When(When::Missing)), 1 => cell()];
    let row = (
        select(vec!["ada", "bob"]),
        kind,
        status,
        attempt,
        0..3_u32,
        [cell(), cell(), cell(), cell()],
        more_time,
    );
    (terms(), now(), vec(row, 0..64)).prop_map(|(terms, now, rows)| {
        let store =
            |(user_id, kind, status, attempt, tokens, times, more): (_, String, _, _, _, [Cell; 4], Cell)| {
                let [created, queued, started, heartbeat] = times;
                let times =
                    [created, queued, started, heartbeat, more].map(|cell| cell.value(now, &terms, &kind));
                Stored { user_id, kind, status, attempt, tokens, times }
            };
        let rows = rows.into_iter().map(store).collect();
        Table { policy: terms.policy(), terms, now, rows }
    })
}
