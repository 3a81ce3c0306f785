//! What a sweep writes: exactly what is still as it was decided on, whatever was written meanwhile.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::{Index, select};
use rusqlite::types::Value;
use stale_drafts::rules::{
    Active, Candidate, Failure, Phase, Plan, Status, Timestamp, Verdict, classify, plan,
};
use stale_drafts::store::{self, FailureRow, SweepStart, SweepTotals};

use crate::config;
use crate::generate::{Base, KINDS, NOON, Own, Term, Terms};
use crate::rows::{Cell, Stored, Table, cell, table};
use crate::sqlite::{Sqlite, Standing, with};

/// What somebody writes between the decision and the write.
#[derive(Clone, Debug)]
enum Meanwhile {
    Set(&'static str, Cell),
    Kind(&'static str),
    Start(Cell),
    Complete,
    Fail,
    PutBack(Cell),
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    let columns = vec![
        "UPDATE stale_drafts_creations SET created_at = ?2 WHERE id = ?1",
        "UPDATE stale_drafts_creations SET queued_at = ?2 WHERE id = ?1",
        "UPDATE stale_drafts_creations SET started_at = ?2 WHERE id = ?1",
        "UPDATE stale_drafts_creations SET heartbeat_at = ?2 WHERE id = ?1",
    ];
    prop_oneof![
        6 => (select(columns), cell()).prop_map(|(sql, cell)| Meanwhile::Set(sql, cell)),
        1 => select(KINDS.to_vec()).prop_map(Meanwhile::Kind),
        2 => cell().prop_map(Meanwhile::Start),
        1 => proptest::prelude::Just(Meanwhile::Complete),
        1 => proptest::prelude::Just(Meanwhile::Fail),
        2 => cell().prop_map(Meanwhile::PutBack),
    ]
}

impl Meanwhile {
    /// The database may refuse it: then nothing has changed.
    fn write(&self, sqlite: &Sqlite, row: &Standing, table: &Table) {
        let value = |cell: &Cell| cell.value(table.now, &table.terms, &row.kind);
        let id = &row.id;
        match self {
            Meanwhile::Set(sql, cell) => sqlite.write(sql, &[id, &value(cell)]),
            Meanwhile::Kind(kind) => sqlite.write("UPDATE stale_drafts_creations SET kind = ?2 WHERE id = ?1", &[id, kind]),
            Meanwhile::Start(cell) => {
                sqlite.write("UPDATE stale_drafts_creations SET status = 'processing', started_at = ?2 WHERE id = ?1", &[id, &value(cell)])
            }
            Meanwhile::Complete => sqlite.write("UPDATE stale_drafts_creations SET status = 'draft' WHERE id = ?1", &[id]),
            Meanwhile::Fail => sqlite.write("UPDATE stale_drafts_creations SET status = 'failed' WHERE id = ?1", &[id]),
            Meanwhile::PutBack(cell) => sqlite.write(
                "UPDATE stale_drafts_creations SET status = 'pending', attempt = attempt + 1, queued_at = ?2, started_at = NULL,
                   heartbeat_at = NULL WHERE id = ?1",
                &[id, &value(cell)],
            ),
        };
    }
}

/// What the guard compares.
type Basis<'a> = (Option<Status>, u32, Option<Timestamp>, Option<Phase>, Option<Timestamp>, &'a str);

fn basis(row: &Standing) -> Basis<'_> {
    let draft = row.draft();
    let active = draft.status.and_then(Status::active);
    let signs = active.and_then(|status| draft.signs_of_life(status).ok());
    let last = signs.map(|signs| signs.last);
    let entered = signs.filter(|_| active == Some(Active::Processing)).and_then(|signs| signs.entered);
    (draft.status, draft.attempt, last, active.map(|status| draft.phase(status)), entered, &row.kind)
}

fn failure_row<'a>(failure: &Failure<'a>, row: &'a Standing) -> FailureRow<'a> {
    let staleness = failure.staleness;
    FailureRow {
        id: failure.id,
        status: staleness.stuck_status.as_str(),
        attempt: staleness.attempt,
        last_sign_of_life: staleness.last_sign_of_life.as_millis(),
        error: staleness.error_text().to_string(),
        age_ms: staleness.age_ms,
        max_age_ms: staleness.max_age_ms,
        rule: staleness.rule.describe(staleness.stuck_status, &row.kind),
        phase: row.draft().phase(staleness.stuck_status).as_str(),
        lag: failure.lag(),
        processing_since: basis(row).4.map(Timestamp::as_millis),
        kind: &row.kind,
        tokens: row.tokens,
    }
}

/// Fails and puts back what the plan says, if it still is what the plan was made for.
fn carry_out(sqlite: &Sqlite, plan: &Plan<'_>, decided: &[Standing], now: Timestamp) {
    let by_id: BTreeMap<_, _> = decided.iter().map(|row| (row.id.as_str(), row)).collect();
    let rows = |failures: &[Failure<'_>]| -> Vec<_> {
        let row = |failure: &Failure<'_>| {
            let row = by_id[failure.id];
            failure_row(&Failure { id: row.id.as_str(), ..*failure }, row)
        };
        failures.iter().map(row).collect()
    };
    let start = SweepStart { sweep_id: "s1", source: "cron", actor: None, plan_id: None, now };
    let totals = SweepTotals::default();
    let (fail, retry) = (rows(&plan.fail), rows(&plan.retry));
    let fail = store::mark_failed(start, &fail, totals, 0, false, String::from("[]"));
    let retry = store::retry(start, &retry, totals, 0, true, String::from("[]"));
    for statement in fail.iter().chain(&retry) {
        sqlite.run(statement);
    }
}

fn planned<'a>(rows: &'a [Standing], table: &Table) -> Plan<'a> {
    let candidates = rows.iter().map(|row| Candidate { id: &row.id, draft: row.draft() });
    plan(candidates, table.now, &table.policy)
}

type Changes = [(Index, Meanwhile)];

/// A sweep decides, somebody writes, the sweep writes: the rows that it decided on, those that it found then, and those after it.
fn sweep(sqlite: &Sqlite, table: &Table, meanwhile: &Changes) -> [Vec<Standing>; 3] {
    let decided = sqlite.standing();
    for (at, change) in meanwhile.iter().filter(|_| !decided.is_empty()) {
        change.write(sqlite, at.get(&decided), table);
    }
    let before = sqlite.standing();
    carry_out(sqlite, &planned(&decided, table), &decided, table.now);
    [decided, before, sqlite.standing()]
}

fn changes() -> impl Strategy<Value = Vec<(Index, Meanwhile)>> {
    vec((proptest::prelude::any::<Index>(), meanwhile()), 0..40)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_sweep_writes_what_is_as_it_was_decided_on_and_nothing_else(table in table(), changes in changes()) {
        with(&table.rows, |sqlite| {
            let [decided, before, after] = sweep(sqlite, &table, &changes);
            let plan = planned(&decided, &table);
            for ((decided, before), after) in decided.iter().zip(&before).zip(&after) {
                let fails = plan.fail.iter().any(|failure| failure.id == decided.id);
                let retries = plan.retry.iter().any(|failure| failure.id == decided.id);
                let as_planned = (fails || retries) && basis(decided) == basis(before);
                let (status, attempt) = match as_planned {
                    true if fails => ("failed", before.attempt),
                    true => ("pending", before.attempt + 1),
                    false => (before.status.as_str(), before.attempt),
                };
                prop_assert_eq!((after.status.as_str(), after.attempt), (status, attempt), "{}", decided.id);
                if !as_planned {
                    prop_assert_eq!(after.draft(), before.draft());
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_a_sweep_writes_is_stale_when_it_is_written(table in table(), changes in changes()) {
        with(&table.rows, |sqlite| {
            let [_, before, after] = sweep(sqlite, &table, &changes);
            for (before, after) in before.iter().zip(&after) {
                let written = before.status != after.status || before.attempt != after.attempt;
                let stale = matches!(classify(&before.draft(), table.now, &table.policy), Verdict::Stale(_));
                prop_assert!(stale || !written, "{}: {:?}", before.id, before.draft());
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_second_sweep_at_the_same_instant_finds_nothing(table in table()) {
        with(&table.rows, |sqlite| {
            let [.., after] = sweep(sqlite, &table, &[]);
            let Plan { fail, retry, .. } = planned(&after, &table);
            prop_assert_eq!((fail, retry), (vec![], vec![]));
            Ok(())
        })?;
    }
}

/// A limit on the total time is measured from the beginning, which can be corrected without a sign of life.
#[test]
fn a_beginning_that_was_corrected_meanwhile_is_one() {
    let hours_ago = |hours: i64| Value::Integer(NOON - hours * 3_600_000);
    let total = Own { total: Some(Term::Number(6.0)), ..Own::default() };
    let terms = Terms { base: Base::Hours(Term::Number(2.0)), all: total, kinds: Vec::new(), keep: None };
    let row = Stored {
        user_id: "ada",
        kind: String::from("image"),
        status: Status::Processing,
        attempt: 1,
        tokens: 2,
        times: [hours_ago(9), Value::Null, hours_ago(8), hours_ago(1)],
    };
    let now = Timestamp::from_millis(NOON).unwrap();
    let table = Table { policy: terms.policy(), terms, now, rows: vec![row] };
    for (corrected, expected) in [(hours_ago(8), "failed"), (hours_ago(4), "processing")] {
        with(&table.rows, |sqlite| {
            let decided = sqlite.standing();
            let plan = planned(&decided, &table);
            assert_eq!(plan.fail.len(), 1);
            sqlite.write("UPDATE stale_drafts_creations SET started_at = ?1", &[&corrected]);
            carry_out(sqlite, &plan, &decided, now);
            assert_eq!(sqlite.standing()[0].status, expected);
        });
    }
}
