//! What a sweep writes: exactly what is still as it was decided on, whatever was written meanwhile.

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::{Index, select};
use rusqlite::types::Value;
use stale_drafts::rules::{
    Active, Candidate, Decision, Decisions, Phase, Status, Timestamp, Verdict, classify, decide,
};
use stale_drafts::store::{self, Count, PlanRow, SweepStart, SweepTotals};

use crate::config;
use crate::generate::{Base, KINDS, NOON, Own, Term, Terms};
use crate::rows::{Cell, Stored, Table, cell, table};
use crate::sqlite::{Creation, Sqlite, with};

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
        "UPDATE stale_drafts_creations SET extended_until = ?2 WHERE id = ?1",
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
    fn write(&self, sqlite: &Sqlite, row: &Creation, table: &Table) {
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
                   heartbeat_at = NULL, extended_until = NULL WHERE id = ?1",
                &[id, &value(cell)],
            ),
        };
    }
}

/// What the guard compares.
type Basis<'a> =
    (Option<Status>, u32, Option<Timestamp>, Option<Phase>, Option<Timestamp>, Option<Timestamp>, &'a str);

fn basis(row: &Creation) -> Basis<'_> {
    let draft = row.draft();
    let active = draft.status.and_then(Status::active);
    let signs = active.and_then(|status| draft.signs_of_life(status).ok());
    let last = signs.map(|signs| signs.last);
    let entered = signs.filter(|_| active == Some(Active::Processing)).and_then(|signs| signs.entered);
    (
        draft.status,
        draft.attempt,
        last,
        active.map(|status| draft.phase(status)),
        entered,
        draft.extended_until.instant(),
        &row.kind,
    )
}

/// Fails and puts back what was decided, if it still is what that was decided on.
fn carry_out(sqlite: &Sqlite, found: &[Creation], decisions: &Decisions<'_>, now: Timestamp) {
    fn rows<'a>(found: &[Creation], list: &[Decision<'a>]) -> Vec<PlanRow<'a>> {
        let tokens = |id: &str| found.iter().find(|row| row.id == id).map_or(0, |row| row.tokens);
        list.iter().map(|decision| PlanRow::new(decision, tokens(decision.id))).collect()
    }
    let start = SweepStart { sweep_id: "s1", source: "cron", actor: None, plan_id: None, now };
    let count = |last| Count { totals: SweepTotals::default(), before: 0, last, counted: String::from("[]") };
    let fail = store::mark_failed(start, &rows(found, &decisions.fail), count(false), 0);
    let retry = store::retry(start, &rows(found, &decisions.retry), count(true), 0);
    for statement in fail.iter().chain(&retry) {
        sqlite.run(statement);
    }
}

fn decided<'a>(rows: &'a [Creation], table: &Table) -> Decisions<'a> {
    let candidates = rows.iter().map(|row| Candidate { id: &row.id, draft: row.draft() });
    decide(candidates, table.now, &table.policy)
}

type Changes = [(Index, Meanwhile)];

/// A sweep decides, somebody writes, the sweep writes: the rows that it decided on, those that it found then, and those after it.
fn sweep(sqlite: &Sqlite, table: &Table, meanwhile: &Changes) -> [Vec<Creation>; 3] {
    let rows = sqlite.creations();
    for (at, change) in meanwhile.iter().filter(|_| !rows.is_empty()) {
        change.write(sqlite, at.get(&rows), table);
    }
    let before = sqlite.creations();
    carry_out(sqlite, &rows, &decided(&rows, table), table.now);
    [rows, before, sqlite.creations()]
}

fn changes() -> impl Strategy<Value = Vec<(Index, Meanwhile)>> {
    vec((proptest::prelude::any::<Index>(), meanwhile()), 0..40)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_sweep_writes_what_is_as_it_was_decided_on_and_nothing_else(table in table(), changes in changes()) {
        with(&table.rows, |sqlite| {
            let [rows, before, after] = sweep(sqlite, &table, &changes);
            let Decisions { fail, retry, .. } = decided(&rows, &table);
            for ((row, before), after) in rows.iter().zip(&before).zip(&after) {
                let fails = fail.iter().any(|decision| decision.id == row.id);
                let retries = retry.iter().any(|decision| decision.id == row.id);
                let as_planned = (fails || retries) && basis(row) == basis(before);
                let (status, attempt) = match as_planned {
                    true if fails => ("failed", before.attempt),
                    true => ("pending", before.attempt + 1),
                    false => (before.status.as_str(), before.attempt),
                };
                prop_assert_eq!((after.status.as_str(), after.attempt), (status, attempt), "{}", row.id);
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
            let Decisions { fail, retry, .. } = decided(&after, &table);
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
        times: [hours_ago(9), Value::Null, hours_ago(8), hours_ago(1), Value::Null],
    };
    let now = Timestamp::from_millis(NOON).unwrap();
    let table = Table { policy: terms.policy(), terms, now, rows: vec![row] };
    for (corrected, expected) in [(hours_ago(8), "failed"), (hours_ago(4), "processing")] {
        with(&table.rows, |sqlite| {
            let rows = sqlite.creations();
            let decisions = decided(&rows, &table);
            assert_eq!(decisions.fail.len(), 1);
            sqlite.write("UPDATE stale_drafts_creations SET started_at = ?1", &[&corrected]);
            carry_out(sqlite, &rows, &decisions, now);
            assert_eq!(sqlite.creations()[0].status, expected);
        });
    }
}
