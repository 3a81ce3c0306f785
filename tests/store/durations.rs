//! How long creations wait and take: what the triggers count, and that nothing takes it away again.

use serde_json::{Value, json};
use stale_drafts::rules::{Policy, Report, Timestamp};
use stale_drafts::service::sweep::SweepRequest;
use stale_drafts::store::{self, DURATION_BANDS_MS, Details, Duration};

use crate::sqlite::Sqlite;
use crate::sweeping::{request, sweep};
use crate::{HOUR, MINUTE, NOW, add, at, database, now};

const BANDS: usize = DURATION_BANDS_MS.len() + 1;

fn durations(database: &Sqlite) -> Vec<Duration> {
    store::durations_of(database.all(&[store::durations()])).unwrap()
}

/// What was measured, of what kind, how it ended, how many there are and their sum.
fn counted(database: &Sqlite) -> Vec<(String, String, String, u64, u64)> {
    let row = |row: Duration| {
        let count = row.bands.iter().sum();
        (row.measure, row.kind, row.outcome, count, row.total_ms)
    };
    durations(database).into_iter().map(row).collect()
}

fn expected(rows: &[(&str, &str, &str, u64, u64)]) -> Vec<(String, String, String, u64, u64)> {
    let own = |text: &str| text.to_owned();
    rows.iter()
        .map(|(measure, kind, outcome, count, ms)| (own(measure), own(kind), own(outcome), *count, *ms))
        .collect()
}

fn report(database: &Sqlite, id: &str, report: Report<'_>, now: Timestamp) {
    database.all(&store::report(id, &report, &Details { random: "r", ..Details::default() }, now));
}

fn start(database: &Sqlite, id: &str, now: Timestamp) {
    report(database, id, Report::Start { worker: "w" }, now);
}

#[test]
fn each_time_is_in_the_band_of_the_rust_limits() {
    // At each limit, a millisecond beyond it, and at the ends.
    let limits = DURATION_BANDS_MS.iter().flat_map(|limit| [*limit, limit + 1]);
    for millis in limits.chain([0, 1, 24 * HOUR, 365 * 24 * HOUR]) {
        let database = database();
        let band = DURATION_BANDS_MS.iter().filter(|limit| millis > **limit).count();
        let mut bands = [0; BANDS];
        bands[band] = 1;
        add(&database, "a", json!({ "created_at": NOW - millis }));
        start(&database, "a", now());
        report(
            &database,
            "a",
            Report::Complete { fence: "1.r", result_url: "https://r.example", tokens_used: None },
            at(NOW + millis),
        );
        let found: Vec<_> =
            durations(&database).into_iter().map(|row| (row.measure, row.bands, row.total_ms)).collect();
        assert_eq!(
            found,
            [(String::from("processing"), bands, millis), (String::from("wait"), bands, millis)],
            "{millis}"
        );
    }
}

#[test]
fn a_life_is_counted_once_however_often_it_is_reported() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW - MINUTE }));
    for _ in 0..3 {
        start(&database, "a", now());
    }
    for beat in 1..3 {
        report(&database, "a", Report::Heartbeat { fence: "1.r" }, at(NOW + beat));
    }
    assert_eq!(counted(&database), expected(&[("wait", "image", "started", 1, MINUTE)]));
    for _ in 0..3 {
        report(
            &database,
            "a",
            Report::Complete { fence: "1.r", result_url: "https://r.example", tokens_used: None },
            at(NOW + 7),
        );
    }
    add(&database, "b", json!({ "kind": "video", "created_at": NOW - 5 }));
    start(&database, "b", now());
    for code in ["provider_error", "other"] {
        report(
            &database,
            "b",
            Report::Fail { fence: Some("1.r"), error_code: code, tokens_used: None },
            at(NOW + 9),
        );
    }
    // One that fails before a worker has it takes no time of a worker.
    add(&database, "c", json!({ "kind": "song" }));
    report(&database, "c", Report::Fail { fence: None, error_code: "not_queued", tokens_used: None }, now());
    let all = [
        ("processing", "image", "completed", 1, 7),
        ("processing", "video", "failed", 1, 9),
        ("wait", "image", "started", 1, MINUTE),
        ("wait", "video", "started", 1, 5),
    ];
    assert_eq!(counted(&database), expected(&all));
}

#[test]
fn another_attempt_waits_from_when_it_was_put_back_and_what_sweeps_end_is_theirs() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW - 9 * HOUR, "queued_at": NOW - MINUTE, "attempt": 2 }));
    start(&database, "a", now());
    assert_eq!(counted(&database), expected(&[("wait", "image", "started", 1, MINUTE)]));
    let policy = Policy::default();
    sweep(&database, SweepRequest { now: at(NOW + 3 * HOUR), ..request(&policy) });
    assert_eq!(database.read("SELECT status FROM stale_drafts_creations"), [json!(["failed"])]);
    assert_eq!(counted(&database), expected(&[("wait", "image", "started", 1, MINUTE)]));
}

#[test]
fn a_time_that_cannot_be_is_not_counted_and_a_clock_that_is_behind_counts_as_none() {
    let database = database();
    let rows: [(&str, Value); 5] = [
        ("seconds", json!(NOW / 1_000)),
        ("text", json!("yesterday")),
        ("missing", Value::Null),
        ("old", json!(NOW - 366 * 24 * HOUR)),
        ("ahead", json!(NOW + 500)),
    ];
    for (id, created_at) in rows {
        add(&database, id, json!({ "created_at": created_at }));
        start(&database, id, now());
    }
    assert_eq!(counted(&database), expected(&[("wait", "image", "started", 1, 0)]));
}

#[test]
fn nothing_that_is_trimmed_or_removed_takes_from_it() {
    let database = database();
    add(&database, "a", json!({ "created_at": NOW - MINUTE, "tokens": 0 }));
    start(&database, "a", now());
    report(
        &database,
        "a",
        Report::Complete { fence: "1.r", result_url: "https://r.example", tokens_used: None },
        at(NOW + 7),
    );
    let before = counted(&database);
    let later = at(NOW + 5_000 * 24 * HOUR);
    database.all(&store::trim(later, later, later));
    database.write("DELETE FROM stale_drafts_creations WHERE id = 'a'");
    assert_eq!(counted(&database), before);
}

#[test]
fn several_databases_add_up() {
    let one = database();
    let two = database();
    for (database, kind, wait) in [(&one, "image", 2_000), (&two, "image", 3_000), (&two, "video", 1)] {
        add(database, kind, json!({ "kind": kind, "created_at": NOW - wait }));
        start(database, kind, now());
    }
    let rows = [&one, &two].map(|database| database.all(&[store::durations()]).remove(0));
    let sums = store::durations_of(rows).unwrap();
    let found: Vec<_> =
        sums.iter().map(|row| (row.kind.as_str(), row.bands[0], row.bands[1], row.total_ms)).collect();
    assert_eq!(found, [("image", 0, 2, 5_000), ("video", 1, 0, 1)]);
}
