//! Tokens that come in, and the balance that can't take more.

use serde_json::{Value, json};
use stale_drafts::rules::{CircuitBreaker, Policy, Report};
use stale_drafts::service::creations::{ReportError, grant, report};
use stale_drafts::service::sweep::{Source, SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{Details, Filter, Grant};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, NOW, add, at, database, now};

const MOST: u64 = 9_007_199_254_740_991;

fn balance(database: &Sqlite, user: &str) -> Value {
    database.read(&format!("SELECT tokens FROM stale_drafts_balances WHERE user_id = '{user}'"))[0][0].clone()
}

#[test]
fn a_key_is_granted_once_whoever_writes() {
    let database = database();
    let order = Grant { key: "order-17", user_id: "cleo", tokens: 100 };
    let once = wait(grant(&database, order, now())).unwrap();
    assert_eq!((once.user_id.as_str(), once.tokens, once.balance), ("cleo", 100, 100));
    assert_eq!(once.created_at, NOW as i64);
    assert_eq!(wait(grant(&database, order, at(NOW + 1))).unwrap(), once);
    for other in [Grant { tokens: 101, ..order }, Grant { user_id: "anna", ..order }] {
        assert!(matches!(wait(grant(&database, other, now())), Err(ReportError::Different)));
    }
    // Another key is another grant; what was granted by SQL is not granted again.
    let more = wait(grant(&database, Grant { key: "order-18", ..order }, now())).unwrap();
    assert_eq!((more.tokens, more.balance), (100, 200));
    assert_eq!(
        wait(grant(&database, Grant { key: "anna", user_id: "anna", tokens: 1000 }, now())).unwrap().balance,
        1000
    );
}

#[test]
fn a_grant_that_a_balance_can_not_take_is_refused_for_good() {
    let database = database();
    let most = Grant { key: "a", user_id: "cleo", tokens: MOST };
    assert_eq!(wait(grant(&database, most, now())).unwrap().balance, MOST);
    for _ in 0..2 {
        let more = Grant { key: "b", tokens: 1, ..most };
        assert!(matches!(wait(grant(&database, more, now())), Err(ReportError::BalanceTooLarge)));
    }
    assert_eq!(balance(&database, "cleo"), json!(MOST));
}

/// A creation whose owner could not be refunded.
fn rich() -> Sqlite {
    let database = database();
    add(&database, "c", json!({}));
    wait(grant(&database, Grant { key: "a", user_id: "anna", tokens: MOST - 995 }, now())).unwrap();
    database
}

#[test]
fn a_failure_whose_refund_a_balance_can_not_take_is_refused_for_good() {
    let database = rich();
    let fail = Report::Fail { fence: None, error_code: "broken", tokens_used: None };
    let refused = wait(report(&database, "c", fail, Details::default(), now()));
    assert!(matches!(refused, Err(ReportError::BalanceTooLarge)));
    assert_eq!(database.read("SELECT status FROM stale_drafts_creations"), [json!(["pending"])]);
    assert_eq!(balance(&database, "anna"), json!(MOST));
}

fn request(user_id: Option<&str>, breaker: Option<CircuitBreaker>, source: Source) -> SweepRequest<'_> {
    static POLICY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(Policy::default);
    SweepRequest {
        sweep_id: "s",
        source,
        actor: None,
        user_id,
        filter: Filter::default(),
        planned: None,
        plan_id: None,
        now: at(NOW + 2 * HOUR),
        policy: &POLICY,
        dry_run: false,
        notify: Default::default(),
        breaker,
        limit: 1000,
        max_queries: 980,
    }
}

#[test]
fn a_sweep_sets_aside_what_it_can_not_refund_with_the_reason() {
    let database = rich();
    add(&database, "another", json!({ "user_id": "ben" }));
    let outcome = wait(mark_stale_creations_as_failed(&database, request(None, None, Source::Cron))).unwrap();
    assert_eq!((outcome.failed.len(), outcome.rejected.len()), (1, 1));
    let [aside] = &database.read("SELECT creation_id, reason FROM stale_drafts_rejected")[..] else {
        panic!("it is set aside")
    };
    assert_eq!(aside[0], json!("c"));
    assert!(aside[1].as_str().unwrap().contains("balance_too_large"), "{aside}");
    assert_eq!(balance(&database, "anna"), json!(MOST));
}

#[test]
fn the_circuit_breaker_counts_one_users_creations_too() {
    let breaker = Some(CircuitBreaker { creations: 1_000, percent: 50, at_least: 50 });
    for source in [Source::Endpoint, Source::Tool, Source::Page] {
        let database = database();
        (0..50).for_each(|number| add(&database, &format!("c{number}"), json!({})));
        let sweep = || {
            wait(mark_stale_creations_as_failed(&database, request(Some("anna"), breaker, source))).unwrap()
        };
        let held = sweep();
        assert_eq!(held.failed.len(), 0, "{source:?}");
        let why = held.suspended.unwrap().to_string();
        assert!(why.contains("50 of 50 active creations are stale at once"), "{why}");
        // It says nothing of everybody's.
        assert_eq!(database.read("SELECT name FROM stale_drafts_controls"), [] as [Value; 0]);
        // They are not abnormally many among as many again that are alive.
        (50..100).for_each(|number| {
            add(&database, &format!("c{number}"), json!({ "created_at": NOW + 2 * HOUR }))
        });
        assert_eq!(sweep().failed.len(), 50, "{source:?}");
    }
}
