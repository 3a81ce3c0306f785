//! Whom sweeps leave out because of a move, and until when.

use serde_json::json;
use stale_drafts::rules::{CircuitBreaker, Policy};
use stale_drafts::service::holds::{LeftOut, left_out, until};
use stale_drafts::service::shards::{Shard, mark_stale_creations_as_failed};
use stale_drafts::service::sweep::{Notify, Source, SweepRequest};
use stale_drafts::store::{self, Filter, HeldUsers};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, add, at, database, now};

/// A database with a move in this state and role since NOW, and its users.
fn with_move(role: &str, state: &str, users: &[&str]) -> Sqlite {
    let database = database();
    enter(&database, role, state, users);
    database
}

fn enter(database: &Sqlite, role: &str, state: &str, users: &[&str]) {
    database.write(&format!(
        "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
         VALUES ('m', '{role}', 0, 9, 'B', '{state}', {NOW}, {NOW}, {NOW})"
    ));
    for user in users {
        database.write(&format!("INSERT INTO stale_drafts_moving_users VALUES ('{user}', 'm')"));
    }
}

fn said(databases: &[&Sqlite], user: Option<&str>) -> Vec<LeftOut> {
    let rows = databases.iter().flat_map(|database| store::held_of(&database.one(store::held_users(user))));
    left_out(&rows.collect::<Vec<HeldUsers>>())
}

fn left(users: u64, until: Option<u64>) -> Vec<LeftOut> {
    vec![LeftOut { move_id: String::from("m"), users, until }]
}

#[test]
fn both_sides_of_a_move_say_once_whom_it_leaves_out_and_until_when() {
    let ends = Some(NOW + 15 * MINUTE);
    for (source, target, expected) in [
        (
            with_move("source", "paused", &["anna", "ben"]),
            with_move("target", "arriving", &["anna"]),
            left(2, None),
        ),
        (with_move("source", "moved", &["anna"]), with_move("target", "arriving", &["anna"]), left(1, None)),
        (with_move("source", "moved", &["anna"]), with_move("target", "open", &["anna"]), left(1, ends)),
        // What has moved away is the target's to decide on, and it does.
        (with_move("source", "moved", &["anna"]), with_move("target", "settled", &[]), Vec::new()),
        (with_move("source", "cancelled", &["anna"]), with_move("target", "cancelled", &[]), left(1, ends)),
        (
            with_move("source", "cancelled", &["anna"]),
            with_move("target", "cancelling", &["anna"]),
            left(1, None),
        ),
    ] {
        assert_eq!(said(&[&source, &target], None), expected);
        assert_eq!(said(&[&source, &target], Some("ben")).len(), usize::from(expected == left(2, None)));
    }
}

#[test]
fn a_dry_run_says_whom_it_leaves_out() {
    let policy = Policy::default();
    let sweep = |database: &Sqlite, dry_run: bool| {
        let request = SweepRequest {
            sweep_id: "018bcfe5-6800-7000-8000-000000000000",
            source: Source::Tool,
            actor: None,
            user_id: None,
            filter: Filter::default(),
            planned: None,
            plan_id: None,
            now: now(),
            policy: &policy,
            dry_run,
            notify: Notify::default(),
            breaker: Some(CircuitBreaker::default()),
            limit: 10,
            max_queries: 100,
        };
        wait(mark_stale_creations_as_failed(&Shard::one(database), request, None)).unwrap()
    };
    let moving = database();
    add(&moving, "c", json!({ "created_at": NOW - 3 * HOUR }));
    assert_eq!((sweep(&moving, true).failed.len(), sweep(&moving, true).held), (1, Vec::new()));
    enter(&moving, "source", "copied", &["anna"]);
    let outcome = sweep(&moving, true);
    assert_eq!((outcome.failed.len(), left_out(&outcome.held)), (0, left(1, None)));
    // Nobody reads what cron does.
    assert_eq!(sweep(&moving, false).held, []);
    // A move that is over is kept for ever, and holds nobody.
    assert_eq!(said(&[&with_move("source", "trimmed", &[])], None), []);
}

#[test]
fn a_hold_ends_when_sweeps_decide_again_and_no_sooner_than_they_can() {
    let since_now = |minutes| until(NOW, at(NOW + minutes * MINUTE)).as_millis();
    assert_eq!(since_now(0), NOW + 15 * MINUTE);
    // Cron has still to end it.
    assert!(since_now(20) > NOW + 21 * MINUTE && since_now(20) <= NOW + 22 * MINUTE);
    // While the move is under way: the earliest end that there may be, the same for a minute.
    let under_way = until(0, now()).as_millis();
    assert!(under_way > NOW + 15 * MINUTE && under_way <= NOW + 16 * MINUTE);
    assert_eq!(under_way % MINUTE, 0);
}
