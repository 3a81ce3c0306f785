//! What the queries find, beside what the rules say of every row there is.

use std::collections::BTreeSet;

use proptest::prelude::{Strategy, prop_assert_eq, proptest};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use stale_drafts::rules::{
    Active, Candidate, CircuitBreaker, Phase, Plan, SILENT_AFTER_MS, SkipReason, Status, Time, Unreadable,
    Verdict, classify, plan,
};
use stale_drafts::store::{self, CandidateRow, Filter, Row, Window};

use crate::config;
use crate::generate::KINDS;
use crate::rows::{Table, table};
use crate::sqlite::{Sqlite, Standing, with};

const ALL: Window = Window { limit: 1_000_000, offset: 0, unreadable: 1_000_000 };

fn planned<'a>(standing: &'a [Standing], table: &Table) -> Plan<'a> {
    let candidates = standing.iter().map(|row| Candidate { id: &row.id, draft: row.draft() });
    plan(candidates, table.now, &table.policy)
}

fn ids(rows: &[Row], column: &str) -> Vec<String> {
    store::candidates(rows, column).unwrap().into_iter().map(|row| row.id).collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

fn filter() -> impl Strategy<Value = Filter<'static>> {
    let kind = proptest::option::of(select(KINDS.to_vec()));
    let status = proptest::option::of(select(Active::ALL.to_vec()));
    (kind, status).prop_map(|(kind, status)| Filter { kind, status })
}

/// Whether the rows that a query answers with are the drafts that stand there.
fn same(found: &[CandidateRow], standing: &[Standing]) -> Result<(), TestCaseError> {
    for row in found {
        let stands = standing.iter().find(|other| other.id == row.id).unwrap();
        prop_assert_eq!(row.draft(), stands.draft());
        prop_assert_eq!((&row.user_id, row.tokens), (&stands.user_id, stands.tokens));
    }
    Ok(())
}

fn active(row: &Standing) -> Option<Active> {
    row.draft().status.and_then(Status::active)
}

/// Its last sign of life, unless it can't be known at `now`.
fn readable(row: &Standing, table: &Table) -> Option<u64> {
    let last = row.draft().signs_of_life(active(row)?).ok()?.last;
    (last <= table.now).then_some(last.as_millis())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_generated_columns_are_the_rules(table in table()) {
        let standing = with(&table.rows, Sqlite::standing);
        for row in &standing {
            let draft = row.draft();
            let Some(status) = active(row) else {
                prop_assert_eq!((row.last_sign_of_life, row.phase.as_deref(), row.processing_since), (None, None, None));
                continue;
            };
            let millis = |at: stale_drafts::rules::Timestamp| i64::try_from(at.as_millis()).unwrap();
            let signs = draft.signs_of_life(status);
            prop_assert_eq!(row.last_sign_of_life, signs.ok().map(|signs| millis(signs.last)));
            // No heartbeat, be it garbage, changes when it began.
            let silent = stale_drafts::rules::Draft { heartbeat_at: Time::Missing, ..draft };
            let entered = silent.signs_of_life(status).ok().and_then(|signs| signs.entered);
            let expected = entered.filter(|_| status == Active::Processing).map(millis);
            prop_assert_eq!(row.processing_since, expected);
            match signs {
                Ok(_) => prop_assert_eq!(row.phase.as_deref(), Some(draft.phase(status).as_str())),
                // What can't be read is at something of its status; nothing depends on more.
                Err(_) => {
                    let phase = Phase::ALL.into_iter().find(|phase| Some(phase.as_str()) == row.phase.as_deref());
                    prop_assert_eq!(phase.map(Phase::status), Some(status));
                }
            }
        }
    }

    #[test]
    fn a_sweep_finds_exactly_what_is_stale_and_what_is_unreadable(table in table()) {
        with(&table.rows, |sqlite| {
            let standing = sqlite.standing();
            let Plan { fail, retry, skip } = planned(&standing, &table);
            let statement = store::stale(&table.policy, Filter::default(), table.now, ALL, CircuitBreaker::default());
            let found = sqlite.run(&statement);
            let mut stale: Vec<_> = fail.iter().chain(&retry).map(|failure| failure.id).collect();
            stale.sort_unstable();
            prop_assert_eq!(sorted(ids(&found, "candidates")), stale);
            let unreadable = skip.iter().filter(|skip| matches!(skip.reason, SkipReason::Unreadable(_)));
            let mut unreadable: Vec<_> = unreadable.map(|skip| skip.id).collect();
            unreadable.sort_unstable();
            prop_assert_eq!(sorted(ids(&found, "unreadable")), unreadable);
            for column in ["candidates", "unreadable"] {
                same(&store::candidates(&found, column).unwrap(), &standing)?;
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_sweep_of_one_kind_or_status_finds_what_is_stale_of_it(table in table(), filter in filter()) {
        with(&table.rows, |sqlite| {
            let standing = sqlite.standing();
            let Plan { fail, retry, .. } = planned(&standing, &table);
            let stale: BTreeSet<_> = fail.iter().chain(&retry).map(|failure| failure.id).collect();
            let asked = |row: &&Standing| {
                stale.contains(row.id.as_str()) && active(row).is_some_and(|status| filter.matches(status, &row.kind))
            };
            let mut expected: Vec<_> = standing.iter().filter(asked).map(|row| row.id.as_str()).collect();
            expected.sort_unstable();
            let statement = store::stale(&table.policy, filter, table.now, ALL, CircuitBreaker::default());
            prop_assert_eq!(sorted(ids(&sqlite.run(&statement), "candidates")), expected);
            Ok(())
        })?;
    }

    #[test]
    fn pages_of_a_sweep_are_the_whole(table in table(), limit in 1..8_u32) {
        with(&table.rows, |sqlite| {
            let page = |window| sqlite.run(&store::stale(&table.policy, Filter::default(), table.now, window, CircuitBreaker::default()));
            let whole = ids(&page(ALL), "candidates");
            let mut pages = Vec::new();
            for offset in (0..).step_by(limit as usize) {
                let next = ids(&page(Window { limit, offset, unreadable: 0 }), "candidates");
                if next.is_empty() {
                    break;
                }
                pages.extend(next);
            }
            prop_assert_eq!(pages, whole);
            Ok(())
        })?;
    }

    #[test]
    fn the_circuit_breaker_is_told_how_many_are_active(table in table(), at_least in 0..20_u32, percent in 1..=100_u32) {
        with(&table.rows, |sqlite| {
            let breaker = CircuitBreaker { at_least, percent, ..CircuitBreaker::default() };
            let found = sqlite.run(&store::stale(&table.policy, Filter::default(), table.now, ALL, breaker));
            let stale = ids(&found, "candidates").len() as u64;
            let active = sqlite.standing().iter().filter(|row| row.last_sign_of_life.is_some()).count() as u64;
            match found[0]["active"].as_u64() {
                None => prop_assert_eq!(breaker.check(stale, u64::MAX), None),
                // Fewer are counted where more would change nothing.
                Some(counted) => prop_assert_eq!(breaker.check(stale, counted), breaker.check(stale, active).map(|held| {
                    let share = format!("{stale} of {active} ");
                    match held {
                        stale_drafts::rules::Suspension::BreakerOpen { detail } => stale_drafts::rules::Suspension::BreakerOpen {
                            detail: detail.replace(&share, &format!("{stale} of {counted} ")),
                        },
                        held => held,
                    }
                })),
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_page_load_finds_what_is_active_of_its_owner(table in table(), limit in 1..8_u32) {
        with(&table.rows, |sqlite| {
            let standing = sqlite.standing();
            for user in ["ada", "bob"] {
                let of_user = |row: &&Standing| row.user_id == user && active(row).is_some();
                let expected: Vec<_> = standing.iter().filter(of_user).map(|row| row.id.clone()).collect();
                let whole = sqlite.run(&store::active_of_user(user, 1_000, 0));
                prop_assert_eq!(&ids(&whole, "candidates"), &expected);
                same(&store::candidates(&whole, "candidates").unwrap(), &standing)?;
                for (chunk, offset) in expected.chunks(limit as usize).zip((0..).step_by(limit as usize)) {
                    let page = sqlite.run(&store::active_of_user(user, limit, offset));
                    prop_assert_eq!(ids(&page, "candidates"), chunk);
                }
            }
            let all: Vec<_> = standing.iter().rev().map(|row| row.id.as_str()).collect();
            let by_id = sqlite.run(&store::by_id(&all));
            prop_assert_eq!(ids(&by_id, "candidates"), all);
            same(&store::candidates(&by_id, "candidates").unwrap(), &standing)
        })?;
    }

    #[test]
    fn what_operators_are_told_is_what_the_rules_say(table in table()) {
        with(&table.rows, |sqlite| {
            let standing = sqlite.standing();
            let now = table.now.as_millis();
            let unreadable = |row: &&Standing| matches!(classify(&row.draft(), table.now, &table.policy),
                Verdict::Unreadable(reason) if reason != Unreadable::UnknownStatus);
            let mut observed = store::Observed::default();
            observed.add_causes(sqlite.run(&store::causes(table.now))).unwrap();
            let evidence = observed.evidence;
            prop_assert_eq!(evidence.unreadable, standing.iter().filter(unreadable).count() as u64);
            let last = |phase| {
                let of = standing.iter().filter(move |row| active(row).map(|status| row.draft().phase(status)) == Some(phase));
                of.filter_map(|row| readable(row, &table)).collect::<Vec<_>>()
            };
            let (waiting, heartbeats) = (last(Phase::Pending), last(Phase::Heartbeating));
            prop_assert_eq!(evidence.waiting, waiting.len() as u64);
            prop_assert_eq!(evidence.waiting_since.map(|at| at.as_millis()), waiting.into_iter().min());
            let silent = heartbeats.iter().filter(|last| now - **last > SILENT_AFTER_MS).count() as u64;
            prop_assert_eq!((evidence.silent, evidence.alive), (silent, heartbeats.len() as u64 - silent));

            let bands = [60_000, 3_600_000, 86_400_000];
            let counted = sqlite.run(&store::count(table.now, &bands));
            let mut counted: Vec<_> = counted.iter().map(|row| {
                let text = |column: &str| row[column].as_str().unwrap().to_owned();
                let number = |column: &str| row[column].as_i64().unwrap();
                (text("status"), text("kind"), number("band"), number("creations"), number("tokens"))
            }).collect();
            counted.sort();
            let mut expected = std::collections::BTreeMap::<_, (i64, i64)>::new();
            for row in standing.iter().filter(|row| active(row).is_some()) {
                let band = readable(row, &table).map_or(-1, |last| {
                    bands.iter().filter(|band| now - last > **band).count() as i64
                });
                let sum = expected.entry((row.status.clone(), row.kind.clone(), band)).or_default();
                *sum = (sum.0 + 1, sum.1 + row.tokens as i64);
            }
            let expected: Vec<_> = expected.into_iter()
                .map(|((status, kind, band), (creations, tokens))| (status, kind, band, creations, tokens)).collect();
            prop_assert_eq!(counted, expected);
            Ok(())
        })?;
    }
}
