//! What the queries find, beside what the rules say of every row there is.

use std::collections::BTreeSet;

use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use stale_drafts::rules::{
    Active, Candidate, CircuitBreaker, Decisions, Phase, SILENT_AFTER_MS, Status, Time, Unreadable, Verdict,
    classify, decide,
};
use stale_drafts::store::{self, CandidateRow, Filter, Row, SetAside, Window};

use crate::config;
use crate::generate::KINDS;
use crate::rows::{Table, table};
use crate::sqlite::{Creation, Sqlite, with};

const ALL: Window = Window { limit: 1_000_000, unreadable: 1_000_000 };

fn decided<'a>(creations: &'a [Creation], table: &Table) -> Decisions<'a> {
    let candidates = creations.iter().map(|row| Candidate { id: &row.id, draft: row.draft() });
    decide(candidates, table.now, &table.policy)
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
fn same(found: &[CandidateRow], creations: &[Creation]) -> Result<(), TestCaseError> {
    for row in found {
        let stands = creations.iter().find(|other| other.id == row.id).unwrap();
        prop_assert_eq!(row.draft(), stands.draft());
        prop_assert_eq!((&row.user_id, row.tokens), (&stands.user_id, stands.tokens));
    }
    Ok(())
}

fn active(row: &Creation) -> Option<Active> {
    row.draft().status.and_then(Status::active)
}

/// Its last sign of life, unless it can't be known at `now`.
fn readable(row: &Creation, table: &Table) -> Option<u64> {
    let last = row.draft().signs_of_life(active(row)?).ok()?.last;
    (last <= table.now.latest_sign_of_life()).then_some(last.as_millis())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_generated_columns_are_the_rules(table in table()) {
        let creations = with(&table.rows, Sqlite::creations);
        for row in &creations {
            let draft = row.draft();
            let Some(status) = active(row) else {
                prop_assert_eq!((row.last_sign_of_life, row.phase.as_deref(), row.processing_since), (None, None, None));
                continue;
            };
            let millis = |at: stale_drafts::rules::Timestamp| i64::try_from(at.as_millis()).unwrap();
            let signs = draft.signs_of_life(status);
            prop_assert_eq!(row.last_sign_of_life, signs.ok().map(|signs| millis(signs.last)));
            // No heartbeat, be it garbage, changes when it began.
            let silent = stale_drafts::rules::Draft { heartbeat_at: Time::Missing, extended_until: Time::Missing, ..draft };
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
            let creations = sqlite.creations();
            let Decisions { fail, retry, unreadable } = decided(&creations, &table);
            let statement = store::stale(&table.policy, Filter::default(), table.now, ALL, CircuitBreaker::default());
            let found = sqlite.run(&statement);
            let mut stale: Vec<_> = fail.iter().chain(&retry).map(|failure| failure.id).collect();
            stale.sort_unstable();
            prop_assert_eq!(sorted(ids(&found, "candidates")), stale);
            let mut unreadable: Vec<_> = unreadable.into_iter().map(|(id, _)| id).collect();
            unreadable.sort_unstable();
            prop_assert_eq!(sorted(ids(&found, "unreadable")), unreadable);
            for column in ["candidates", "unreadable"] {
                same(&store::candidates(&found, column).unwrap(), &creations)?;
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_sweep_of_one_kind_or_status_finds_what_is_stale_of_it(table in table(), filter in filter()) {
        with(&table.rows, |sqlite| {
            let creations = sqlite.creations();
            let Decisions { fail, retry, .. } = decided(&creations, &table);
            let stale: BTreeSet<_> = fail.iter().chain(&retry).map(|failure| failure.id).collect();
            let asked = |row: &&Creation| {
                stale.contains(row.id.as_str()) && active(row).is_some_and(|status| filter.matches(status, &row.kind))
            };
            let mut expected: Vec<_> = creations.iter().filter(asked).map(|row| row.id.as_str()).collect();
            expected.sort_unstable();
            let statement = store::stale(&table.policy, filter, table.now, ALL, CircuitBreaker::default());
            prop_assert_eq!(sorted(ids(&sqlite.run(&statement), "candidates")), expected);
            Ok(())
        })?;
    }

    #[test]
    fn a_sweep_called_again_and_again_finds_the_whole(table in table(), limit in 1..8_u32) {
        with(&table.rows, |sqlite| {
            let stale = |window| store::stale(&table.policy, Filter::default(), table.now, window, CircuitBreaker::default());
            let whole = ids(&sqlite.run(&stale(ALL)), "candidates");
            let mut found = Vec::new();
            while found.len() < whole.len() {
                let next = ids(&sqlite.run(&stale(Window { limit, unreadable: 0 })), "candidates");
                prop_assert!(!next.is_empty() && next.len() <= limit as usize);
                // The database rejects all of them: then they are in nobody's way.
                let creations = sqlite.creations();
                let until = table.now.as_millis() + 1;
                let aside = |id: &String| {
                    let row = creations.iter().find(|row| row.id == *id).unwrap();
                    SetAside { id: &row.id, attempt: row.attempt, until, reason: "no", together: false }
                };
                let aside: Vec<_> = next.iter().map(aside).collect();
                sqlite.run(&store::set_aside(&aside, table.now, 1));
                found.extend(next);
            }
            prop_assert_eq!(ids(&sqlite.run(&stale(ALL)), "candidates"), Vec::<String>::new());
            prop_assert_eq!(sorted(found), sorted(whole.clone()));
            // Once they are due again, they are found again.
            sqlite.write("UPDATE stale_drafts_rejected SET until = ?1", &[&(table.now.as_millis() as i64)]);
            prop_assert_eq!(sorted(ids(&sqlite.run(&stale(ALL)), "candidates")), sorted(whole));
            Ok(())
        })?;
    }

    #[test]
    fn the_circuit_breaker_is_told_how_many_are_active(table in table(), at_least in 0..20_u32, percent in 1..=100_u32) {
        with(&table.rows, |sqlite| {
            let breaker = CircuitBreaker { at_least, percent, ..CircuitBreaker::default() };
            let found = sqlite.run(&store::stale(&table.policy, Filter::default(), table.now, ALL, breaker));
            let stale = ids(&found, "candidates").len() as u64;
            let active = sqlite.creations().iter().filter(|row| row.last_sign_of_life.is_some()).count() as u64;
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
    fn a_page_load_finds_what_is_stale_or_unreadable_of_its_owner(table in table(), filter in filter()) {
        with(&table.rows, |sqlite| {
            let creations = sqlite.creations();
            for user in ["ada", "bob"] {
                let own: Vec<_> = creations.iter().filter(|row| row.user_id == user).collect();
                let active: Vec<_> = own.iter().filter(|row| active(row).is_some()).map(|row| row.id.clone()).collect();
                prop_assert_eq!(&ids(&sqlite.run(&store::active_of_user(user, 1_000)), "candidates"), &active);
                let verdict = |row: &Creation| classify(&row.draft(), table.now, &table.policy);
                let asked = |row: &Creation| {
                    row.draft().status.and_then(Status::active).is_some_and(|status| filter.matches(status, &row.kind))
                };
                let of = |is: &dyn Fn(&Creation) -> bool| {
                    sorted(own.iter().filter(|row| is(row)).map(|row| row.id.clone()).collect())
                };
                let found = sqlite.run(&store::stale_of_user(user, &table.policy, filter, table.now, ALL, CircuitBreaker::default()));
                let stale = of(&|row| asked(row) && matches!(verdict(row), Verdict::Stale(_)));
                prop_assert_eq!(sorted(ids(&found, "candidates")), stale);
                let unreadable = of(&|row| matches!(verdict(row), Verdict::Unreadable(_)));
                prop_assert_eq!(sorted(ids(&found, "unreadable")), unreadable);
                same(&store::candidates(&found, "candidates").unwrap(), &creations)?;
            }
            let all: Vec<_> = creations.iter().rev().map(|row| row.id.as_str()).collect();
            let by_id = sqlite.run(&store::by_id(&all));
            prop_assert_eq!(ids(&by_id, "candidates"), all);
            same(&store::candidates(&by_id, "candidates").unwrap(), &creations)
        })?;
    }

    #[test]
    fn what_operators_are_told_is_what_the_rules_say(table in table()) {
        with(&table.rows, |sqlite| {
            let creations = sqlite.creations();
            let now = table.now.as_millis();
            let unreadable = |row: &&Creation| matches!(classify(&row.draft(), table.now, &table.policy),
                Verdict::Unreadable(reason) if reason != Unreadable::UnknownStatus);
            let mut observed = store::Observed::default();
            observed.add_causes(sqlite.run(&store::causes(table.now))).unwrap();
            let evidence = observed.evidence;
            prop_assert_eq!(evidence.unreadable, creations.iter().filter(unreadable).count() as u64);
            let last = |phase| {
                let of = creations.iter().filter(move |row| active(row).map(|status| row.draft().phase(status)) == Some(phase));
                of.filter_map(|row| readable(row, &table)).collect::<Vec<_>>()
            };
            let (waiting, heartbeats) = (last(Phase::Pending), last(Phase::Heartbeating));
            prop_assert_eq!(evidence.waiting, waiting.len() as u64);
            prop_assert_eq!(evidence.waiting_since.map(|at| at.as_millis()), waiting.into_iter().min());
            let silent = heartbeats.iter().filter(|last| now.saturating_sub(**last) > SILENT_AFTER_MS).count() as u64;
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
            for row in creations.iter().filter(|row| active(row).is_some()) {
                let band = readable(row, &table).map_or(-1, |last| {
                    bands.iter().filter(|band| now.saturating_sub(last) > **band).count() as i64
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
