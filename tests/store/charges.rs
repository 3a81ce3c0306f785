//! Of each charge, what was used and what came back are what was charged: whatever anybody reports, in any order, with wrong attempts and
//! fences. `PROPTEST_CASES=5000` tries more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use stale_drafts::rules::{Cancellation, Movement, Policy, Report, Setting};
use stale_drafts::service::creations::{self, ReportError};
use stale_drafts::service::extensions;
use stale_drafts::service::sweep::{Notify, Source, SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{self, Details, Extension, Filter, LedgerPart, LedgerPlace, NewCreation};

use crate::archive::hold;
use crate::sqlite::{Sqlite, wait};
use crate::{MINUTE, NOW, at};

/// Whose they are, of which kind, and for how much. The balance covers a few of them.
const CREATIONS: [(&str, &str, &str, u64); 4] = [
    ("a", "anna", "image", 6),
    ("b", "anna", "video", 5),
    ("c", "anna", "film", 4),
    ("free", "ben", "video", 0),
];
const GRANTED: u64 = 19;

/// Which fence a worker has.
#[derive(Clone, Copy, Debug)]
enum Fence {
    Present,
    Before,
    Wrong,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Heartbeat(Fence),
    Complete(Fence, Option<u64>),
    Fail(Option<Fence>, Option<u64>),
    /// Which attempt is meant, from the present one; whether its owner does it, who is held to a limit.
    Retry(u32, bool),
    Cancel(Option<u32>),
    Restore,
    Publish,
    Delete,
    /// Of its owner's, or of all.
    Sweep(bool),
    Extend(u64),
    ExtendKind(u64),
    EndExtension,
    Wait(u64),
}

fn fence() -> impl Strategy<Value = Fence> {
    prop_oneof![5 => Just(Fence::Present), 3 => Just(Fence::Before), 1 => Just(Fence::Wrong)]
}

fn used() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 3 => (0..8_u64).prop_map(Some)]
}

/// A step, with the creation that it is about, and whether its answer is lost, so that it is repeated.
fn step() -> impl Strategy<Value = (usize, Step, bool)> {
    let step = prop_oneof![
        8 => Just(Step::Start),
        1 => fence().prop_map(Step::Heartbeat),
        4 => (fence(), used()).prop_map(|(fence, used)| Step::Complete(fence, used)),
        6 => (proptest::option::weighted(0.7, fence()), used()).prop_map(|(fence, used)| Step::Fail(fence, used)),
        7 => (prop_oneof![6 => Just(0), 1 => Just(1)], any::<bool>()).prop_map(|(off, owner)| Step::Retry(off, owner)),
        2 => proptest::option::of(prop_oneof![3 => Just(0), 1 => Just(1_u32)]).prop_map(Step::Cancel),
        4 => Just(Step::Restore),
        1 => Just(Step::Publish),
        1 => Just(Step::Delete),
        2 => any::<bool>().prop_map(Step::Sweep),
        1 => (1..200_u64).prop_map(Step::Extend),
        1 => (1..200_u64).prop_map(Step::ExtendKind),
        1 => Just(Step::EndExtension),
        3 => (1..100_u64).prop_map(Step::Wait),
    ];
    let of = prop_oneof![4 => Just(0_usize), 3 => Just(1), 3 => Just(2), 1 => Just(3)];
    (of, step, proptest::bool::weighted(0.2))
}

/// A creation as it stands: its status, attempt and charge.
type Stands = (String, u64, usize);

struct World {
    database: Sqlite,
    policy: Policy,
    now: u64,
    runs: u64,
    /// What was used of each charge of each creation, as it was said; `None` until it is over.
    charges: BTreeMap<&'static str, Vec<Option<u64>>>,
    /// What has come to pass.
    met: RefCell<BTreeSet<&'static str>>,
}

impl World {
    fn new() -> Self {
        let database = Sqlite::new();
        for user in ["anna", "ben"] {
            database.write(&format!(
                "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at) VALUES ('grant:{user}', '{user}', 'grant', {GRANTED}, 0)"
            ));
        }
        let settings: [(&[&str], _); 4] = [
            (&["max_active"], Setting::Number(2.0, "2")),
            (&["kinds", "video", "attempts"], Setting::Number(2.0, "2")),
            (&["kinds", "video", "cancel"], Setting::Text("keep")),
            (&["kinds", "film", "cancel"], Setting::Text("never")),
        ];
        let policy = Policy::from_settings(settings).unwrap();
        World { database, policy, now: NOW, runs: 0, charges: BTreeMap::new(), met: RefCell::default() }
    }

    fn stands(&self) -> BTreeMap<String, Stands> {
        let rows = self.database.read("SELECT id, status, attempt, charge FROM stale_drafts_creations");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let number = |value: &Value| value.as_u64().unwrap();
        rows.iter()
            .map(|row| (text(&row[0]), (text(&row[1]), number(&row[2]), number(&row[3]) as usize)))
            .collect()
    }

    fn fence(&self, id: &str, which: Fence) -> String {
        let sql = match which {
            Fence::Present => "SELECT fence FROM stale_drafts_creations WHERE id = ",
            Fence::Before => "SELECT fence FROM stale_drafts_attempts WHERE creation_id = ",
            Fence::Wrong => return String::from("7.wrong"),
        };
        let rows =
            self.database.read(&format!("{sql} '{id}' AND fence IS NOT NULL ORDER BY attempt DESC LIMIT 1"));
        rows.first().map_or_else(|| String::from("1.none"), |row| row[0].as_str().unwrap().to_owned())
    }

    /// Does it; whether the answer is that it was done.
    fn does(&mut self, of: usize, step: Step) -> bool {
        let (id, user_id, kind, tokens) = CREATIONS[of];
        let now = at(self.now);
        let later = |minutes: u64| at(self.now + minutes * MINUTE);
        let Some(stands) = self.stands().remove(id) else {
            // What is not there yet is made first.
            let new = NewCreation { id, user_id, kind, prompt: "a fox", tokens };
            return self.answered(wait(creations::create(&self.database, new, now)));
        };
        let attempt = u32::try_from(stands.1).unwrap();
        self.runs += 1;
        let run = format!("{:012}", self.runs);
        let extension =
            |minutes| Extension { until: later(minutes), actor: "ops", reason: "slow", audit_id: &run };
        let details =
            Details { random: &run, error: "it broke", keep: true, notify: 1, ..Details::default() };
        let fence;
        let (report, details) = match step {
            Step::Start => (Report::Start { worker: &run }, details),
            Step::Heartbeat(which) => {
                fence = self.fence(id, which);
                (Report::Heartbeat { fence: &fence }, details)
            }
            Step::Complete(which, tokens_used) => {
                fence = self.fence(id, which);
                (Report::Complete { fence: &fence, result_url: "https://r.example/1", tokens_used }, details)
            }
            Step::Fail(which, tokens_used) => {
                fence = which.map(|which| self.fence(id, which)).unwrap_or_default();
                let fence = which.map(|_| fence.as_str());
                (Report::Fail { fence, error_code: "broken", tokens_used }, details)
            }
            Step::Retry(off, owner) => {
                let owner = owner.then_some(Details { user_id, max_active: Some(&self.policy), ..details });
                (Report::Retry { attempt: attempt.saturating_sub(off) }, owner.unwrap_or(details))
            }
            Step::Cancel(off) => {
                let attempt = off.map(|off| attempt.saturating_sub(off));
                (Report::Cancel { attempt, policy: &self.policy }, details)
            }
            Step::Restore => (Report::Restore, details),
            Step::Publish => (Report::Publish, Details { user_id, ..details }),
            Step::Delete => (Report::Delete, Details { user_id, ..details }),
            Step::Sweep(of_owner) => {
                let sweep_id = format!("01890a5d-ac96-774b-bcce-{run}");
                let request = SweepRequest {
                    sweep_id: &sweep_id,
                    source: if of_owner { Source::Page } else { Source::Cron },
                    actor: None,
                    user_id: of_owner.then_some(user_id),
                    filter: Filter::default(),
                    planned: None,
                    plan_id: None,
                    now,
                    policy: &self.policy,
                    dry_run: false,
                    notify: Notify::default(),
                    breaker: None,
                    limit: 100,
                    max_queries: 1_000,
                };
                wait(mark_stale_creations_as_failed(&self.database, request)).unwrap();
                return true;
            }
            Step::Extend(minutes) => {
                return self.answered(wait(extensions::extend(&self.database, id, extension(minutes), now)));
            }
            Step::ExtendKind(minutes) => {
                wait(extensions::extend_kind(&self.database, kind, extension(minutes), now)).unwrap();
                return true;
            }
            Step::EndExtension => {
                wait(extensions::end_extension(&self.database, kind, "ops", &run, now)).unwrap();
                return true;
            }
            Step::Wait(minutes) => {
                self.now += minutes * MINUTE;
                return true;
            }
        };
        self.answered(wait(creations::report(&self.database, id, report, details, now)))
    }

    /// Whether it was done; a refusal is no failure of the test.
    fn answered<T>(&self, result: Result<T, ReportError>) -> bool {
        let refused = match result {
            Ok(_) => return true,
            Err(error @ (ReportError::Database(_) | ReportError::Rejected(_))) => panic!("{error:?}"),
            Err(ReportError::InsufficientTokens { .. }) => "too few tokens",
            Err(ReportError::TooManyActive { .. }) => "too many active",
            Err(ReportError::Refused { refusal, .. }) => refusal.code(),
            Err(_) => "refused",
        };
        self.meet(refused);
        false
    }

    fn meet(&self, what: &'static str) {
        self.met.borrow_mut().insert(what);
    }

    /// What the step has used of a charge that was open before it, by what it said.
    fn used(&self, step: Step, status: &str, kind: &str, tokens: u64) -> u64 {
        match step {
            Step::Complete(_, used) => used.unwrap_or(tokens),
            Step::Fail(_, used) => used.unwrap_or(0),
            Step::Cancel(_) => {
                let keeps = status == "processing" && self.policy.cancellation(kind) == Cancellation::Keep;
                if keeps { tokens } else { 0 }
            }
            Step::Sweep(_) => 0,
            _ => panic!("{step:?} ended something"),
        }
    }

    /// Does it, and follows what has become of each creation.
    fn follow(&mut self, of: usize, step: Step) {
        let (before, entries) = (self.stands(), self.entries());
        let done = self.does(of, step);
        let after = self.stands();
        assert!(done || (&before, &entries) == (&after, &self.entries()), "what is refused changes nothing");
        for (id, _, kind, tokens) in CREATIONS {
            let Some((status, _, charge)) = after.get(id) else { continue };
            let Some((was, _, charged)) = before.get(id) else {
                self.charges.insert(id, vec![None]);
                continue;
            };
            let used = match (was.as_str(), status.as_str()) {
                ("pending" | "processing", "draft" | "failed") => {
                    let used = self.used(step, was, kind, tokens);
                    self.meet(match (step, status.as_str()) {
                        (Step::Sweep(_), _) => "timed out",
                        (Step::Cancel(_), _) if used > 0 => "cancelled, and kept",
                        (Step::Cancel(_), _) => "cancelled, and refunded",
                        (_, "draft") if used < tokens => "done with a part",
                        (_, "failed") if used > 0 => "failed with a part",
                        _ => "ended",
                    });
                    used
                }
                // A restore takes again what came back.
                ("failed", "draft") => {
                    self.meet(if *charge > 1 { "restored after a retry" } else { "restored" });
                    tokens
                }
                _ => {
                    match (step, charge - charged) {
                        (Step::Sweep(_), _) if was != status => self.meet("tried again by a sweep"),
                        (_, 1) if *charge > 2 => self.meet("retried twice"),
                        _ => {}
                    }
                    let charges = self.charges.get_mut(id).unwrap();
                    if charge != charged {
                        charges.push(None);
                    }
                    assert_eq!(charges.len(), *charge);
                    continue;
                }
            };
            *self.charges.get_mut(id).unwrap().last_mut().unwrap() = Some(used);
        }
    }

    fn entries(&self) -> Vec<Value> {
        self.database
            .read("SELECT entry_key, type, tokens, creation_id FROM stale_drafts_ledger ORDER BY entry_key")
    }

    /// The law, after each step.
    fn check(&self) {
        let entries = self.entries();
        for (id, _, _, tokens) in CREATIONS {
            let charges = self.charges.get(id).map_or(&[][..], Vec::as_slice);
            // Of what type, and of which charge: each at most once.
            let mut found = BTreeMap::new();
            for entry in entries.iter().filter(|entry| entry[3] == id) {
                let (key, kind) = (entry[0].as_str().unwrap(), entry[1].as_str().unwrap());
                let of = (kind, Movement::charge_of(kind, key) as usize);
                assert!((1..=charges.len()).contains(&of.1), "{entry}");
                assert_eq!(found.insert(of, entry[2].as_i64().unwrap()), None, "{entry}");
            }
            for (at, used) in charges.iter().enumerate() {
                let tokens_of = |kind| found.get(&(kind, at + 1)).copied().unwrap_or(0);
                let charged = -tokens_of("charge");
                assert_eq!(charged, tokens as i64, "{id}");
                let back = tokens_of("refund") + tokens_of("restore");
                let expected = used.map_or(0, |used| charged - used as i64);
                assert_eq!(back, expected, "charge {} of {id}: {used:?} was used: {found:?}", at + 1);
            }
        }
        for user in ["anna", "ben"] {
            let sum = self.database.read(&format!(
                "SELECT (SELECT sum(tokens) FROM stale_drafts_ledger WHERE user_id = '{user}'), tokens FROM stale_drafts_balances WHERE user_id = '{user}'"
            ));
            let balance = sum[0][1].as_i64().unwrap();
            assert_eq!(sum, [json!([balance, balance])], "{user}");
            assert_eq!(self.pages(user), balance, "{user}");
        }
        hold(&self.database);
    }

    /// The sum of what the user is told, page by page.
    fn pages(&self, user: &str) -> i64 {
        let (mut after, mut sum) = (LedgerPlace::first(), 0);
        loop {
            let parts = store::ledger_parts(&self.database.one(store::ledger_page(user, &after, 2))).unwrap();
            let entries = parts.iter().flat_map(LedgerPart::entries);
            sum += entries.map(|entry| entry.tokens).sum::<i64>();
            match parts.last() {
                Some(last) => after = last.place(),
                None => return sum,
            }
        }
    }
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(32))
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step, bool)>> {
    proptest::collection::vec(step(), 1..80)
}

fn run(world: &mut World, steps: Vec<(usize, Step, bool)>) {
    for (of, step, twice) in steps {
        for _ in 0..=usize::from(twice) {
            world.follow(of, step);
            world.check();
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn of_each_charge_what_was_used_and_what_came_back_are_what_was_charged(steps in steps()) {
        run(&mut World::new(), steps);
    }
}

/// Tries the same cases each time, with a bug planted: whether all of them hold, and what they have met.
fn tries(cases: u32, plant: &str) -> (bool, BTreeSet<&'static str>) {
    let met = RefCell::new(BTreeSet::new());
    let config = ProptestConfig {
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let hold = TestRunner::new_with_rng(config, rng).run(&steps(), |steps| {
        let mut world = World::new();
        world.database.write(plant);
        run(&mut world, steps);
        met.borrow_mut().extend(world.met.take());
        Ok(())
    });
    (hold.is_ok(), met.into_inner())
}

#[test]
fn the_steps_meet_what_they_are_there_for() {
    let (hold, met) = tries(60, "");
    assert!(hold);
    let missing: Vec<_> = [
        "done with a part",
        "failed with a part",
        "cancelled, and kept",
        "cancelled, and refunded",
        "timed out",
        "tried again by a sweep",
        "retried twice",
        "restored",
        "restored after a retry",
        "too few tokens",
        "too many active",
        "more_than_charged",
        "attempt_over",
        "wrong_fence",
        "other_attempt",
        "not_cancellable",
        "deleted",
    ]
    .into_iter()
    .filter(|what| !met.contains(what))
    .collect();
    assert_eq!(missing, [""; 0], "{met:?}");
}

#[test]
fn a_planted_bug_is_found() {
    let entry = |key: &str, tokens: &str| {
        format!(
            "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, creation_id, tokens, created_at)
          SELECT {key}, NEW.user_id, 'refund', NEW.id, {tokens}, 1 WHERE {tokens} > 0; END"
        )
    };
    let unguarded = "DROP TRIGGER stale_drafts_ledger_refunds_failures; DROP TRIGGER stale_drafts_creations_are_refunded;
      CREATE TRIGGER planted AFTER UPDATE OF status ON stale_drafts_creations WHEN NEW.status = 'failed' AND OLD.status <> 'failed' BEGIN ";
    let twice = "'refund' || (NEW.charge + 1) || ':' || NEW.id";
    let plants = [
        (
            "a failure gives all back",
            format!(
                "{unguarded}{}",
                entry(
                    "iif(NEW.charge = 1, 'refund:', 'refund' || NEW.charge || ':') || NEW.id",
                    "NEW.tokens"
                )
            ),
        ),
        (
            "a refund is that of the next charge",
            format!("{unguarded}{}", entry(twice, "NEW.tokens - ifnull(NEW.tokens_used, 0)")),
        ),
        (
            "a partial result gives nothing back",
            String::from("DROP TRIGGER stale_drafts_creations_are_refunded_in_part"),
        ),
        ("a retry is free", String::from("DROP TRIGGER stale_drafts_creations_are_charged_for_a_retry")),
        ("a restore is free", String::from("DROP TRIGGER stale_drafts_creations_are_charged_again")),
        ("the balance follows no refund", String::from("DROP TRIGGER stale_drafts_ledger_credits_balance")),
    ];
    for (what, plant) in plants {
        assert!(!tries(100, &plant).0, "{what}");
    }
}
