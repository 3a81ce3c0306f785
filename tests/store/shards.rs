//! Several databases as one: a sweep of all of them, the circuit breaker over all of them, and one that does not answer.

use std::cell::Cell;

use serde_json::json;
use stale_drafts::rules::{CircuitBreaker, Finding, Planned, Policy, SkipReason, Thresholds};
use stale_drafts::service::monitor::{self, Occasion, Settings};
use stale_drafts::service::shards::{Shard, mark_stale_creations_as_failed, sweep_beside};
use stale_drafts::service::sweep::{Notify, Source, SweepOutcome, SweepRequest};
use stale_drafts::service::together::{Numbers, look};
use stale_drafts::store::{self, Cost, Database, DatabaseError, Filter, Row, Statement};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, add, at, database, now, policy, watching};
use crate::{MINUTE, NOW, ONE_DATABASE};

/// A database that can be away.
struct Shaky {
    sqlite: Sqlite,
    away: Cell<bool>,
}

impl Database for Shaky {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        if self.away.get() {
            return Err(DatabaseError::new("it is away"));
        }
        self.sqlite.run(batch).await
    }

    fn cost(&self) -> Cost {
        self.sqlite.cost()
    }
}

const NAMES: [&str; 3] = ["A", "B", "C"];

/// Three databases, each with so many creations that are stale by two hours, and so many fresh ones.
fn three(stale: [u32; 3], fresh: [u32; 3]) -> [Shaky; 3] {
    [0, 1, 2].map(|at| {
        let sqlite = database();
        for number in 0..stale[at] {
            add(&sqlite, &format!("{}{number}", NAMES[at]), json!({ "created_at": NOW - 2 * HOUR }));
        }
        for number in 0..fresh[at] {
            add(&sqlite, &format!("{}-fresh{number}", NAMES[at]), json!({}));
        }
        Shaky { sqlite, away: Cell::new(false) }
    })
}

fn shards(databases: &[Shaky; 3]) -> [Shard<'_, Shaky>; 3] {
    [0, 1, 2].map(|at| Shard { name: NAMES[at], database: &databases[at] })
}

fn request<'a>(policy: &'a Policy, planned: Option<&'a [Planned<'a>]>) -> SweepRequest<'a> {
    SweepRequest {
        sweep_id: "018bcfe5-6800-7000-8000-000000000000",
        source: Source::Cron,
        actor: None,
        user_id: None,
        filter: Filter::default(),
        planned,
        plan_id: None,
        now: now(),
        policy,
        dry_run: false,
        notify: Notify::default(),
        breaker: Some(CircuitBreaker { creations: 10, percent: 50, at_least: 4 }),
        limit: 1_000,
        max_queries: 100,
    }
}

fn sweep(databases: &[Shaky; 3]) -> SweepOutcome {
    let policy = policy(&[(&["max_age_hours"], 1.0)]);
    wait(mark_stale_creations_as_failed(&shards(databases), request(&policy, None), None)).unwrap()
}

fn number(database: &Shaky, sql: &str) -> u64 {
    database.sqlite.read(sql)[0][0].as_u64().unwrap()
}

fn failed(databases: &[Shaky; 3]) -> [u64; 3] {
    [0, 1, 2].map(|at| {
        number(&databases[at], "SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'")
    })
}

#[test]
fn all_are_swept_as_one() {
    let databases = three([2, 0, 1], [9, 9, 9]);
    let outcome = sweep(&databases);
    assert_eq!((outcome.failed.len(), outcome.refunded_tokens, outcome.more), (3, 15, false));
    let each: Vec<_> = outcome
        .shards
        .iter()
        .map(|shard| (shard.shard.as_str(), shard.failed, shard.refunded_tokens))
        .collect();
    assert_eq!(each, [("A", 2, 10), ("B", 0, 0), ("C", 1, 5)]);
    assert_eq!(failed(&databases), [2, 0, 1]);
    for database in &databases {
        assert_eq!(
            number(database, "SELECT count(*) FROM stale_drafts_sweeps WHERE finished_at IS NOT NULL"),
            1
        );
    }
}

#[test]
fn one_that_is_away_keeps_nothing_from_the_others() {
    let databases = three([1, 1, 1], [9, 9, 9]);
    databases[1].away.set(true);
    let outcome = sweep(&databases);
    assert_eq!(
        outcome.shards.iter().map(|shard| shard.error.as_deref()).collect::<Vec<_>>(),
        [None, Some("it is away"), None]
    );
    databases.iter().for_each(|database| database.away.set(true));
    let policy = Policy::default();
    let error =
        wait(mark_stale_creations_as_failed(&shards(&databases), request(&policy, None), None)).unwrap_err();
    assert_eq!(error.error.to_string(), "it is away");
    databases.iter().for_each(|database| database.away.set(false));
    assert_eq!(failed(&databases), [1, 0, 1]);
    assert_eq!(sweep(&databases).failed.len(), 1);
    assert_eq!(failed(&databases), [1, 1, 1]);
}

#[test]
fn the_circuit_breaker_judges_all_of_them_together() {
    // 4 of 8 is no more than half; 4 of 7 is.
    assert_eq!(sweep(&three([2, 1, 1], [4, 0, 0])).suspended, None);
    let databases = three([2, 1, 1], [1, 1, 1]);
    let outcome = sweep(&databases);
    assert_eq!(
        outcome.suspended.map(|suspended| suspended.to_string()),
        Some(String::from(
            "the circuit breaker is open: 4 of 7 active creations are stale at once, and nothing was written; \
             find the cause, or preview and apply a plan"
        ))
    );
    assert_eq!(failed(&databases), [0, 0, 0]);
    // So many at once would be too many for one of them; for all of them they are not.
    assert_eq!(sweep(&three([4, 4, 3], [50, 50, 50])).suspended, None);
    // Where few are stale on each, and few in all, their share says nothing.
    assert_eq!(sweep(&three([1, 1, 1], [0, 0, 0])).suspended, None);
    // What is abnormal on one holds that one only.
    let databases = three([4, 1, 1], [0, 30, 0]);
    assert_eq!(sweep(&databases).failed.len(), 2);
    assert_eq!(failed(&databases), [0, 1, 1]);
}

fn beside(database: &Shaky, others: Numbers, dry_run: bool) -> SweepOutcome {
    let policy = policy(&[(&["max_age_hours"], 1.0)]);
    let request = SweepRequest { dry_run, ..request(&policy, None) };
    wait(sweep_beside(&[Shard { name: "A", database }], request, None, others)).unwrap()
}

#[test]
fn one_that_is_swept_alone_is_judged_with_the_numbers_of_the_others() {
    let held = |others: Numbers| {
        let [database, _, _] = three([3, 0, 0], [1, 0, 0]);
        let outcome = beside(&database, others, false);
        let held = number(&database, "SELECT count(*) FROM stale_drafts_controls") == 1;
        assert_eq!((outcome.suspended.is_some(), outcome.failed.len()), (held, if held { 0 } else { 3 }));
        held
    };
    // 3 are too few for a share; 4 of 8 are no more than half; 4 of 7 are.
    assert!(!held(Numbers::default()));
    assert!(!held(Numbers { stale: 1, active: 4 }));
    assert!(held(Numbers { stale: 1, active: 3 }));
    // What is stale here only was judged here.
    assert!(!held(Numbers { stale: 0, active: 0 }));
}

#[test]
fn who_sweeps_one_that_did_not_answer_is_told_what_the_others_had() {
    let databases = three([2, 1, 0], [3, 0, 4]);
    let others = |databases: &[Shaky; 3]| {
        sweep(databases).shards.into_iter().map(|shard| shard.others).collect::<Vec<_>>()
    };
    databases[1].away.set(true);
    let numbers = |stale, active| Some(Numbers { stale, active });
    assert_eq!(others(&databases), [numbers(0, 4), numbers(2, 9), numbers(2, 5)]);
    // They were swept meanwhile. What all of them answer to, one invocation judges.
    databases[1].away.set(false);
    assert_eq!(others(&databases), [None, None, None]);
}

#[test]
fn however_few_are_counted_the_verdict_is_that_of_all() {
    let policy = policy(&[(&["max_age_hours"], 1.0)]);
    let breaker = CircuitBreaker { creations: 10, percent: 50, at_least: 4 };
    let mut seed = 7_u32;
    let mut dice = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) % below
    };
    let mut seen = [0, 0];
    for _ in 0..60 {
        let stale = [0, 1, 2].map(|_| dice(6));
        let fresh = [0, 1, 2].map(|_| [0, dice(6), dice(60)][dice(3) as usize]);
        let databases = three(stale, fresh);
        let numbers = wait(look(&shards(&databases), request(&policy, None), 1)).unwrap();
        let sum = |each: [u32; 3]| u64::from(each.iter().sum::<u32>());
        let several = stale.iter().filter(|stale| **stale > 0).count() > 1;
        let all =
            CircuitBreaker { creations: u32::MAX, ..breaker }.check(sum(stale), sum(stale) + sum(fresh));
        for at in 0..3 {
            let own = breaker.check(stale[at].into(), u64::from(stale[at] + fresh[at])).is_some();
            let together = several && stale[at] > 0 && all.is_some();
            let outcome = beside(&databases[at], Numbers::of_others(&numbers, at), true);
            assert_eq!(
                outcome.suspended.is_some(),
                own || together,
                "{at}: {stale:?} stale, {fresh:?} fresh: {numbers:?}"
            );
            seen[usize::from(!own && together)] += 1;
        }
    }
    assert!(seen[0] > 20 && seen[1] > 20, "{seen:?}");
}

#[test]
fn two_bindings_of_one_database_are_noticed() {
    let [one, other, _] = three([0, 0, 0], [0, 0, 0]);
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let settings = watching(&policy, &thresholds, &ONE_DATABASE);
    let found = |databases: [&Shaky; 2]| {
        let shards =
            [Shard { name: "A", database: databases[0] }, Shard { name: "B", database: databases[1] }];
        let health = wait(monitor::look(&shards, &settings, now())).unwrap();
        health
            .findings
            .into_iter()
            .map(|finding| format!("{}: {}", finding.code, finding.evidence))
            .collect::<Vec<_>>()
    };
    assert_eq!(found([&one, &other]), [""; 0]);
    let text = "database_shared: `A` and `B` are one and the same, or one is a copy of the other";
    assert_eq!(found([&one, &one]), [text]);
}

#[test]
fn a_database_with_another_schema_does_answer() {
    let databases = three([0; 3], [0; 3]);
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let settings = watching(&policy, &thresholds, &ONE_DATABASE);
    databases[1].sqlite.write("DROP TABLE stale_drafts_monitor; DROP TABLE stale_drafts_alerts");
    databases[2].sqlite.write("INSERT INTO stale_drafts_schema (version) VALUES (99)");
    let shards = shards(&databases);
    let said = |findings: Vec<Finding>| -> Vec<_> {
        findings.into_iter().map(|finding| format!("{}: {}", finding.code, finding.evidence)).collect()
    };
    let missing = "that of `B` is not there, or too old to say its version";
    let newer = "that of `C` is version 99";
    let expected = store::SCHEMA_VERSION;
    // The monitor sees what it can't read; who diagnoses asks for the version.
    let looked = wait(monitor::look(&shards, &settings, now())).unwrap().findings;
    assert_eq!(said(looked), [format!("schema_not_current: {missing}: expected {expected}")]);
    let diagnosed = wait(monitor::diagnose(&shards, &settings, now(), None)).unwrap().findings;
    assert_eq!(said(diagnosed), [format!("schema_not_current: {newer}; {missing}: expected {expected}")]);
}

#[test]
fn a_limit_counts_over_all_of_them() {
    let databases = three([3, 3, 3], [20, 20, 20]);
    let policy = policy(&[(&["max_age_hours"], 1.0)]);
    let outcome =
        wait(mark_stale_creations_as_failed(&shards(&databases), request(&policy, None), Some(4))).unwrap();
    assert_eq!((outcome.failed.len(), outcome.more, failed(&databases)), (4, true, [3, 1, 0]));
}

#[test]
fn a_plan_is_carried_out_where_its_creations_are() {
    let databases = three([1, 1, 1], [9, 9, 9]);
    let policy = policy(&[(&["max_age_hours"], 1.0)]);
    let plan = |id| Planned {
        id,
        stuck_status: "pending".parse().ok(),
        attempt: 1,
        last_sign_of_life: NOW - 2 * HOUR,
        action: stale_drafts::rules::Action::Fail,
    };
    let planned = ["A0", "B0", "C0", "nowhere"].map(plan);
    databases[2].away.set(true);
    let outcome =
        wait(mark_stale_creations_as_failed(&shards(&databases), request(&policy, Some(&planned)), None))
            .unwrap();
    // Where one does not answer, what is not found elsewhere may be there.
    assert_eq!((outcome.failed.len(), outcome.skipped.as_slice()), (2, [].as_slice()));
    databases[2].away.set(false);
    let outcome =
        wait(mark_stale_creations_as_failed(&shards(&databases), request(&policy, Some(&planned)), None))
            .unwrap();
    assert_eq!(outcome.failed.len(), 1);
    let skipped: Vec<_> = outcome.skipped.iter().map(|(id, reason)| (id.as_str(), reason.code())).collect();
    assert_eq!(skipped, [("A0", "settled"), ("B0", "settled"), ("nowhere", SkipReason::Gone.code())]);
    assert_eq!(failed(&databases), [1, 1, 1]);
}

#[test]
fn the_monitor_says_which_does_not_answer_and_fires_once() {
    let databases = three([0, 0, 0], [0, 0, 0]);
    let (policy, thresholds) = (Policy::default(), Thresholds::default());
    let settings = Settings { destinations: 1, ..watching(&policy, &thresholds, &ONE_DATABASE) };
    let look = |minute: u64| {
        let (shards, then) = (shards(&databases), at(NOW + minute * MINUTE));
        let changes =
            wait(monitor::run(&shards, &settings, then, Occasion::Cron { swept: true })).unwrap().unwrap();
        let fired: Vec<_> =
            changes.fired.iter().map(|finding| (finding.code, finding.evidence.clone())).collect();
        (fired, changes.resolved, changes.events_due)
    };
    assert_eq!(look(0), (vec![], vec![], vec![]));
    // The first one is away: the alert stands in the second.
    databases[0].away.set(true);
    let away = String::from("`A` does not answer: it is away");
    assert_eq!(look(1), (vec![("database_unreachable", away)], vec![], vec![1]));
    assert_eq!(look(2).0, vec![]);
    databases[0].away.set(false);
    assert_eq!(look(3).1, ["database_unreachable"]);
    assert_eq!(look(4).1, Vec::<String>::new());
    // What is wrong in one is found, whichever it is.
    databases[2].sqlite.write("UPDATE stale_drafts_balances SET tokens = tokens + 1 WHERE user_id = 'anna'");
    let found: Vec<_> = (5..9).flat_map(|minute| look(minute).0).collect();
    assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["ledger_differs"]);
    databases.iter().for_each(|database| database.away.set(true));
    assert!(wait(monitor::look(&shards(&databases), &settings, now())).is_err());
}
