//! Every two writers, in both orders: both decided on the same state, and one of them comes second.
//!
//! Nothing here is random. For each starting point, each pair of operations runs on a database of its own. The second writer has looked
//! before the first one writes: a sweep has its plan, a worker its fence, a person the attempt that they saw. Whatever comes of it, the money
//! is right after each, and whoever is told that nothing was done has done nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use stale_drafts::rules::{Policy, Report, Setting};
use stale_drafts::service::ask::{Provider, ask};
use stale_drafts::service::creations::{self, ReportError};
use stale_drafts::service::extensions;
use stale_drafts::service::shards::Shard;
use stale_drafts::service::sweep::{SweepRequest, mark_stale_creations_as_failed};
use stale_drafts::store::{Cost, Database, DatabaseError, Details, Extension, NewCreation, Row, Statement};

use crate::sqlite::{Sqlite, wait};
use crate::sweeping::request;
use crate::{HOUR, MINUTE, NOW, at, now};

const INVARIANTS: &str = include_str!("../invariants.sql");
const PRICE: i64 = 10;
const PART: u64 = 4;

/// What somebody does with the creation `c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Writer {
    SweepFails,
    SweepRetries,
    Start,
    Heartbeat,
    Complete,
    CompleteInPart,
    Fail,
    FailInPart,
    GiveUp,
    CancelForRefund,
    CancelKeeping,
    Retry,
    /// Of the attempt before: long since done, or never to be.
    RetryOld,
    Restore,
    Publish,
    Delete,
    Extend,
    ExtendKind,
    AnswerDone,
    AnswerRunning,
}

use Writer::*;

const WRITERS: [Writer; 20] = [
    SweepFails,
    SweepRetries,
    Start,
    Heartbeat,
    Complete,
    CompleteInPart,
    Fail,
    FailInPart,
    GiveUp,
    CancelForRefund,
    CancelKeeping,
    Retry,
    RetryOld,
    Restore,
    Publish,
    Delete,
    Extend,
    ExtendKind,
    AnswerDone,
    AnswerRunning,
];

/// Where both begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    Pending,
    Processing,
    /// With heartbeats, the last of them long ago.
    Heartbeating,
    /// The same after a retry by hand: its second charge.
    ProcessingAgain,
    Failed,
    /// For the second time, after a retry by hand.
    FailedAgain,
    /// A part of its charge is used up.
    FailedInPart,
    /// A sweep has failed it, and its result came too late.
    FailedWithResult,
    /// The same of a failure by hand, with a part used up.
    FailedInPartWithResult,
    Finished,
}

use Beginning::*;

const BEGINNINGS: [Beginning; 10] = [
    Pending,
    Processing,
    Heartbeating,
    ProcessingAgain,
    Failed,
    FailedAgain,
    FailedInPart,
    FailedWithResult,
    FailedInPartWithResult,
    Finished,
];

/// What both have seen.
#[derive(Clone, Debug)]
struct Seen {
    attempt: u32,
    fence: String,
}

/// What a writer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Done,
    Nothing(String),
}

/// A database in which something happens before a call of a sweep.
struct Between<'a> {
    database: &'a Sqlite,
    calls: RefCell<usize>,
    meanwhile: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Database for Between<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let call = self.calls.replace_with(|calls| *calls + 1);
        // It has looked, and is about to write.
        if call == 1
            && let Some(meanwhile) = self.meanwhile.take()
        {
            meanwhile();
        }
        self.database.transaction(batch)
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

struct Says<'a> {
    state: &'static str,
    attempt: u32,
    meanwhile: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Provider for Says<'_> {
    async fn ask(&self, _: &str, _: &str) -> Result<String, String> {
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        let Says { state, attempt, .. } = *self;
        let of = json!({ "creation_id": "c", "attempt": attempt, "state": state, "result_url": "https://r.example/asked" });
        Ok(json!({ "creations": [of] }).to_string())
    }
}

fn policy(attempts: f64, cancel: &str) -> Policy {
    let settings =
        [(&["attempts"][..], Setting::Number(attempts, "attempts")), (&["cancel"], Setting::Text(cancel))];
    Policy::from_settings(settings).unwrap()
}

fn report(database: &Sqlite, what: Report<'_>, millis: u64) -> Result<(), ReportError> {
    let owned =
        matches!(what, Report::Publish | Report::Delete | Report::Retry { .. } | Report::Cancel { .. });
    let user_id = if owned { "anna" } else { "" };
    let details =
        Details { random: "abc", error: "it broke", keep: true, notify: 1, user_id, ..Details::default() };
    wait(creations::report(database, "c", what, details, at(millis))).map(drop)
}

fn complete(fence: &str, tokens_used: Option<u64>) -> Report<'_> {
    Report::Complete { fence, result_url: "https://r.example/1", tokens_used }
}

fn fail(fence: Option<&str>, tokens_used: Option<u64>) -> Report<'_> {
    Report::Fail { fence, error_code: "broken", tokens_used }
}

impl Writer {
    /// Does it, by what was seen. `meanwhile` happens after the decision and before the write, if there is any.
    fn act<'a>(self, database: &'a Sqlite, seen: &Seen, meanwhile: impl FnOnce() + 'a) -> Told {
        let Seen { attempt, fence } = seen;
        let (attempt, fence) = (*attempt, fence.as_str());
        let keeping = policy(1.0, "keep");
        let refunding = policy(1.0, "refund");
        let what = match self {
            SweepFails => return self.sweep(database, &policy(1.0, "refund"), Box::new(meanwhile)),
            SweepRetries => return self.sweep(database, &policy(9.0, "refund"), Box::new(meanwhile)),
            AnswerDone => return answer(database, "done", attempt, Box::new(meanwhile)),
            AnswerRunning => return answer(database, "running", attempt, Box::new(meanwhile)),
            Extend | ExtendKind => {
                meanwhile();
                return self.extend(database);
            }
            Start => Report::Start { worker: "another" },
            Heartbeat => Report::Heartbeat { fence },
            Complete => complete(fence, None),
            CompleteInPart => complete(fence, Some(PART)),
            Fail => fail(Some(fence), None),
            FailInPart => fail(Some(fence), Some(PART)),
            GiveUp => fail(None, None),
            CancelForRefund => Report::Cancel { attempt: Some(attempt), policy: &refunding },
            CancelKeeping => Report::Cancel { attempt: Some(attempt), policy: &keeping },
            Retry => Report::Retry { attempt },
            RetryOld => Report::Retry { attempt: attempt - 1 },
            Restore => Report::Restore,
            Publish => Report::Publish,
            Delete => Report::Delete,
        };
        meanwhile();
        // A little later than what is read from the row, so that each leaves a trace of its own.
        match report(database, what, NOW + 1 + self as u64) {
            Ok(()) => Told::Done,
            Err(ReportError::Refused { refusal, .. }) => Told::Nothing(refusal.code().to_owned()),
            Err(ReportError::InsufficientTokens { .. }) => Told::Nothing("insufficient".to_owned()),
            Err(other) => panic!("{self:?}: {other:?}"),
        }
    }

    fn sweep<'a>(self, database: &'a Sqlite, policy: &Policy, meanwhile: Box<dyn FnOnce() + 'a>) -> Told {
        let between = Between { database, calls: RefCell::new(0), meanwhile: RefCell::new(Some(meanwhile)) };
        let sweep_id = format!("01890a5d-ac96-774b-bcce-b3020000{:04}", self as u32);
        let request = SweepRequest { sweep_id: &sweep_id, ..request(policy) };
        let outcome = wait(mark_stale_creations_as_failed(&between, request)).unwrap();
        // Where it has found nothing, the other one comes after it.
        if let Some(meanwhile) = between.meanwhile.take() {
            assert!(outcome.failed.is_empty() && outcome.retried.is_empty());
            meanwhile();
        }
        assert!(outcome.rejected.is_empty(), "{:?}", outcome.rejected);
        match (outcome.failed.len() + outcome.retried.len(), outcome.raced) {
            (1, 0) => Told::Done,
            (0, raced) => Told::Nothing(format!("{raced} raced")),
            other => panic!("{other:?}"),
        }
    }

    fn extend(self, database: &Sqlite) -> Told {
        let of = |until, audit_id| Extension { until: at(until), actor: "olga", reason: "slow", audit_id };
        if self == ExtendKind {
            let reached =
                wait(extensions::extend_kind(database, "image", of(NOW + HOUR, "k"), now())).unwrap();
            return if reached.done.creations == 1 { Told::Done } else { Told::Nothing("none".to_owned()) };
        }
        match wait(extensions::extend(database, "c", of(NOW + 2 * HOUR, "c"), now())) {
            Ok(_) => Told::Done,
            Err(ReportError::Refused { refusal, .. }) => Told::Nothing(refusal.code().to_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Whether it ends an attempt: of two who do, only one may.
    const fn ends(self) -> bool {
        matches!(
            self,
            SweepFails
                | SweepRetries
                | Complete
                | CompleteInPart
                | Fail
                | FailInPart
                | GiveUp
                | CancelForRefund
                | CancelKeeping
                | AnswerDone
        )
    }

    /// Whether it undoes a failure.
    const fn undoes(self) -> bool {
        matches!(self, Retry | Restore)
    }

    /// Whether it shows life, or gives more time: nobody may go on with what they took for silence.
    const fn puts_off(self) -> bool {
        matches!(self, Start | Heartbeat | Extend | ExtendKind | AnswerRunning)
    }

    /// Whether it rests on how long nothing was heard.
    const fn judges(self) -> bool {
        matches!(self, SweepFails | SweepRetries | AnswerDone | AnswerRunning)
    }

    /// Whether it may be told that it is done, because `first` has done the same.
    fn repeats(self, first: Writer) -> bool {
        self == first || [self, first].iter().all(|writer| matches!(writer, CancelForRefund | CancelKeeping))
    }
}

fn answer<'a>(
    database: &'a Sqlite,
    state: &'static str,
    attempt: u32,
    meanwhile: Box<dyn FnOnce() + 'a>,
) -> Told {
    let says = Says { state, attempt, meanwhile: RefCell::new(Some(meanwhile)) };
    let asked = wait(ask(&Shard::one(database), &says, request(&policy(1.0, "refund")), 100));
    assert_eq!(asked.error, None);
    if let Some(meanwhile) = says.meanwhile.take() {
        assert_eq!(asked.creations, 0);
        meanwhile();
    }
    if asked.done + asked.running == 1 { Told::Done } else { Told::Nothing("no longer".to_owned()) }
}

/// A database in which `c` is there, and its owner has as many tokens as it costs once more, or `left`.
fn begin(beginning: Beginning, left: i64) -> (Sqlite, Seen) {
    let database = Sqlite::new();
    let grant = |key: &str, tokens: i64| {
        database.write(&format!(
            "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
             VALUES ('grant:{key}', 'anna', 'grant', {tokens}, 0)"
        ));
    };
    grant("first", 4 * PRICE);
    let early = NOW - 3 * HOUR;
    let new = NewCreation {
        id: "c",
        user_id: "anna",
        kind: "image",
        prompt: "a fox",
        tokens: PRICE.unsigned_abs(),
    };
    wait(creations::create(&database, new, at(early))).unwrap();
    let mut step = early;
    let mut does = |what: Report<'_>| {
        step += MINUTE;
        // A result that comes too late is refused, and kept.
        match report(&database, what, step) {
            Ok(()) => {}
            Err(ReportError::Refused { .. }) if matches!(what, Report::Complete { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    };
    let start = Report::Start { worker: "w" };
    let (mut attempt, mut fence) = (1, "1.abc");
    match beginning {
        Pending => {}
        Processing => does(start),
        Heartbeating => [start, Report::Heartbeat { fence: "1.abc" }].into_iter().for_each(does),
        ProcessingAgain | FailedAgain => {
            for what in [start, fail(Some("1.abc"), Some(PART)), Report::Retry { attempt: 1 }, start] {
                does(what);
            }
            if beginning == FailedAgain {
                does(fail(Some("2.abc"), None));
            }
            (attempt, fence) = (2, "2.abc");
        }
        Failed => [start, fail(Some("1.abc"), None)].into_iter().for_each(does),
        FailedInPart => [start, fail(Some("1.abc"), Some(PART))].into_iter().for_each(does),
        FailedWithResult => {
            does(start);
            let request = request_at(NOW - HOUR);
            let outcome = wait(mark_stale_creations_as_failed(&database, request)).unwrap();
            assert_eq!(outcome.failed.len(), 1);
            does(complete("1.abc", None));
        }
        FailedInPartWithResult => {
            [start, fail(Some("1.abc"), Some(PART)), complete("1.abc", None)].into_iter().for_each(does);
        }
        Finished => [start, complete("1.abc", Some(PART))].into_iter().for_each(does),
    }
    let has = sum(&database, "SELECT tokens FROM stale_drafts_balances");
    if has != left {
        // What another creation has cost.
        database.write(&format!(
            "INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
             VALUES ('other', 'anna', 'song', '', 'draft', {}, {early})",
            has - left
        ));
    }
    hold(&database);
    (database, Seen { attempt, fence: fence.to_owned() })
}

fn request_at(millis: u64) -> SweepRequest<'static> {
    static POLICY: std::sync::LazyLock<Policy> = std::sync::LazyLock::new(Policy::default);
    SweepRequest { now: at(millis), ..request(&POLICY) }
}

fn sum(database: &Sqlite, sql: &str) -> i64 {
    database.read(sql)[0][0].as_i64().unwrap_or(0)
}

/// The promises of the file, and the law of the ledger once more: what was charged is what was used and what went back.
fn hold(database: &Sqlite) {
    for query in INVARIANTS.split("-- name: ").skip(1) {
        let (name, sql) = query.split_once('\n').unwrap();
        assert_eq!(database.read(sql), [] as [Value; 0], "{name}");
    }
    let balance = sum(database, "SELECT tokens FROM stale_drafts_balances");
    assert!(balance >= 0);
    assert_eq!(balance, sum(database, "SELECT sum(tokens) FROM stale_drafts_ledger"));
    let of = |row: &Value, at: usize| row[at].as_i64();
    let row = &database.read(
        "SELECT charge, tokens_used, status IN ('pending', 'processing'), status = 'failed', restored_at IS NOT NULL
         FROM stale_drafts_creations WHERE id = 'c'",
    )[0];
    let failures = sum(
        database,
        "SELECT sum(ifnull(tokens_used, 0)) FROM stale_drafts_attempts WHERE outcome = 'failed'",
    );
    let present = match of(row, 1) {
        Some(used) => used,
        None if of(row, 3) == Some(1) => 0,
        None => PRICE,
    };
    let net = sum(database, "SELECT sum(tokens) FROM stale_drafts_ledger WHERE creation_id = 'c'");
    assert_eq!(-net, failures + present);
    let entries = |kind: &str| {
        let sql =
            format!("SELECT count(*) FROM stale_drafts_ledger WHERE creation_id = 'c' AND type = '{kind}'");
        sum(database, &sql)
    };
    assert_eq!(entries("charge"), of(row, 0).unwrap());
    assert!(entries("refund") <= entries("charge"));
    assert_eq!(entries("restore"), of(row, 4).unwrap());
    assert!(of(row, 2) == Some(0) || of(row, 1).is_none());
}

/// All that either may have changed, but for the result that a completion leaves behind.
fn everything(database: &Sqlite) -> Vec<Value> {
    let mut all = database.read(
        "SELECT status, attempt, charge, tokens_used, queued_at, started_at, heartbeat_at, extended_until, finished_at, error, error_code,
           worker, fence, result_url, restored_at, deleted_at, stuck_status, age_ms, max_age_ms, rule, sweep_id, prompt
         FROM stale_drafts_creations ORDER BY id",
    );
    for table in ["ledger", "balances", "attempts", "events"] {
        all.extend(database.read(&format!("SELECT * FROM stale_drafts_{table}")));
    }
    all
}

fn late(database: &Sqlite) -> Vec<Value> {
    database.read("SELECT late_at, late_result_url FROM stale_drafts_creations WHERE id = 'c'")
}

impl Beginning {
    /// Whether this is what a writer has done already.
    const fn is_by(self, writer: Writer) -> bool {
        matches!(
            (self, writer),
            (Failed | FailedAgain, Fail)
                | (ProcessingAgain | FailedAgain, RetryOld)
                | (FailedInPart | FailedInPartWithResult, FailInPart)
                | (Finished, CompleteInPart)
        )
    }
}

/// Runs a pair; what each was told.
fn both(beginning: Beginning, database: &Sqlite, seen: &Seen, first: Writer, second: Writer) -> (Told, Told) {
    let before = everything(database);
    let meanwhile = RefCell::new(None);
    let told = second.act(database, seen, || {
        let kept = late(database);
        let told = first.act(database, seen, || {});
        hold(database);
        let after = everything(database);
        let of_result = matches!(first, Complete | CompleteInPart);
        assert!(
            of_result || matches!(first, Restore | Delete) || late(database) == kept,
            "a result was kept"
        );
        match told {
            Told::Nothing(_) => assert_eq!(after, before, "the first one was told {told:?}"),
            Told::Done => {
                assert!(after != before || beginning.is_by(first), "the first one was told {told:?}")
            }
        }
        *meanwhile.borrow_mut() = Some((told, after, late(database)));
    });
    hold(database);
    let (first_told, middle, kept) = meanwhile.take().unwrap();
    let after = everything(database);
    assert!(second != RetryOld || after == middle, "what is over was retried");
    match told {
        Told::Nothing(_) => {
            assert_eq!(after, middle, "the second one was told {told:?}");
            assert!(
                matches!(second, Complete | CompleteInPart) || late(database) == kept,
                "a result was kept"
            );
        }
        Told::Done => assert!(
            after != middle || second.repeats(first) || beginning.is_by(second),
            "the second one was told {told:?}, after {first_told:?}"
        ),
    }
    (first_told, told)
}

#[test]
fn of_any_two_writers_the_second_one_does_its_own_or_nothing() {
    let (mut won, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for beginning in BEGINNINGS {
        // Enough for one charge more; and, where it has failed, nothing.
        let over = !matches!(beginning, Pending | Processing | Heartbeating | ProcessingAgain);
        for left in [PRICE, 0].into_iter().take(if over { 2 } else { 1 }) {
            let (database, seen) = begin(beginning, left);
            for (first, second) in WRITERS.iter().flat_map(|one| WRITERS.iter().map(move |two| (*one, *two)))
            {
                let pair = std::panic::AssertUnwindSafe(|| both(beginning, &database, &seen, first, second));
                // Each pair in a transaction that is undone: to make its beginning takes longer than all else.
                database.write("SAVEPOINT pair");
                let Ok((first_told, told)) = std::panic::catch_unwind(pair) else {
                    panic!("{beginning:?} with {left} tokens left: {first:?}, and then {second:?}");
                };
                database.write("ROLLBACK TO pair; RELEASE pair");
                let repeats = second.repeats(first) || beginning.is_by(first) || beginning.is_by(second);
                if first_told == Told::Done && told == Told::Done && !repeats {
                    assert!(
                        !first.puts_off() || !second.judges(),
                        "{beginning:?}: {first:?}, and {second:?} all the same"
                    );
                    // Whoever gives up before a worker begins names no attempt: it may be the next one.
                    let next = second == GiveUp && first == SweepRetries;
                    assert!(
                        !first.ends() || !second.ends() || next,
                        "{beginning:?}: {first:?} and {second:?} have ended it"
                    );
                    assert!(
                        !first.undoes() || !second.undoes(),
                        "{beginning:?}: {first:?} and {second:?} have undone it"
                    );
                }
                // By the other one, and not by where it began.
                match told {
                    Told::Done if !repeats => drop(won.insert(second)),
                    Told::Nothing(_) if first_told == Told::Done => drop(lost.insert(second)),
                    _ => {}
                }
            }
        }
    }
    let all = BTreeSet::from(WRITERS);
    // It is all that it can be.
    won.insert(RetryOld);
    assert_eq!(all.difference(&won).collect::<Vec<_>>(), [] as [&Writer; 0], "never won");
    assert_eq!(all.difference(&lost).collect::<Vec<_>>(), [] as [&Writer; 0], "never lost");
}
