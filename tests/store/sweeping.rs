//! The function that sweeps, call by call: what it asks, what it writes, and what it leaves where a call fails.

use std::cell::RefCell;

use serde_json::{Value, json};
use stale_drafts::rules::{Action, Active, CircuitBreaker, Planned, Policy, SkipReason, Status, Suspension};
use stale_drafts::service::sweep::{
    MAX_ROWS, Notify, Source, SweepError, SweepOutcome, SweepRequest, SweptCreation,
    mark_stale_creations_as_failed, max_queries,
};
use stale_drafts::store::{self, Cost, Database, DatabaseError, Filter, Param, Row, Statement};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, LONG_AGO, MINUTE, NOW, add, at, database, now, policy};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Something that happens before a call, which it may refuse: it is given how many calls were before.
type Before<'a> = Box<dyn Fn(usize) -> Result<(), DatabaseError> + 'a>;

/// The database, with a note of every call.
struct Watched<'a> {
    database: &'a Sqlite,
    before: Before<'a>,
    calls: RefCell<Vec<Vec<Statement>>>,
}

impl<'a> Watched<'a> {
    fn new(database: &'a Sqlite, before: impl Fn(usize) -> Result<(), DatabaseError> + 'a) -> Self {
        Watched { database, before: Box::new(before), calls: RefCell::default() }
    }

    /// How many statements each call had.
    fn lengths(&self) -> Vec<usize> {
        self.calls.borrow().iter().map(Vec::len).collect()
    }
}

impl Database for Watched<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let calls = self.calls.borrow().len();
        self.calls.borrow_mut().push(batch.to_vec());
        (self.before)(calls)?;
        self.database.transaction(batch)
    }

    fn cost(&self) -> Cost {
        let queries = self.lengths().iter().sum::<usize>() as u64;
        Cost { queries, rows_read: 10 * queries, rows_written: 100 * queries }
    }
}

fn whatever(_: usize) -> Result<(), DatabaseError> {
    Ok(())
}

fn lost() -> Result<(), DatabaseError> {
    Err(DatabaseError::new("the connection was lost"))
}

pub fn request(policy: &Policy) -> SweepRequest<'_> {
    SweepRequest {
        sweep_id: ID,
        source: Source::Cron,
        actor: None,
        user_id: None,
        filter: Filter::default(),
        planned: None,
        plan_id: None,
        now: now(),
        policy,
        dry_run: false,
        notify: Notify { app: 1, retry: 4 },
        breaker: None,
        limit: 1_000,
        max_queries: 980,
    }
}

fn try_sweep(database: &impl Database, request: SweepRequest<'_>) -> Result<SweepOutcome, Box<SweepError>> {
    wait(mark_stale_creations_as_failed(database, request))
}

pub fn sweep(database: &Sqlite, request: SweepRequest<'_>) -> SweepOutcome {
    try_sweep(database, request).unwrap()
}

fn ids(failed: &[SweptCreation]) -> Vec<&str> {
    failed.iter().map(|failed| failed.id.as_str()).collect()
}

/// Brings in creations that are stale since one hour, the first for longest.
fn add_stale(database: &Sqlite, ids: &[&str]) {
    for (id, later) in ids.iter().zip(0..) {
        add(database, id, json!({ "created_at": NOW - 2 * HOUR + later }));
    }
}

fn statuses(database: &Sqlite) -> Vec<Value> {
    database
        .read("SELECT status FROM stale_drafts_creations ORDER BY id")
        .into_iter()
        .map(|row| row[0].clone())
        .collect()
}

const ROW: &str = "SELECT source, examined, failed, retried, rejected, more, finished_at IS NOT NULL, error, queries FROM stale_drafts_sweeps";

/// The database refuses to write this creation.
fn refuse(database: &Sqlite, id: &str) {
    database.write(&format!(
        "CREATE TRIGGER refuse AFTER UPDATE ON stale_drafts_creations WHEN NEW.id = '{id}' BEGIN SELECT RAISE(ABORT, 'no'); END"
    ));
}

#[test]
fn a_sweep_asks_writes_and_notes_its_cost() {
    let database = database();
    add_stale(&database, &["a", "b"]);
    add(&database, "fresh", json!({}));
    let watched = Watched::new(&database, whatever);
    let report = try_sweep(&watched, request(&Policy::default())).unwrap();
    assert_eq!(watched.lengths(), [1, 3, 1]);
    assert_eq!((ids(&report.failed), report.retried.len(), report.raced), (vec!["a", "b"], 0, 0));
    assert_eq!(
        (report.examined, report.refunded_tokens, report.more, report.suspended),
        (2, 10, false, None)
    );
    assert_eq!(report.cost, Cost { queries: 5, rows_read: 50, rows_written: 500 });
    let SweptCreation { user_id, kind, attempt, tokens, staleness, .. } = &report.failed[0];
    assert_eq!((user_id.as_str(), kind.as_str(), *attempt, *tokens), ("anna", "image", 1, 5));
    assert_eq!((staleness.age_ms, staleness.stuck_status), (2 * HOUR, Active::Pending));
    // What the cost is noted with is counted by the database itself.
    assert_eq!(database.read(ROW), [json!(["cron", 2, 2, 0, 0, 0, 1, null, 5])]);
    assert_eq!(
        database.read("SELECT id, destinations FROM stale_drafts_events"),
        [json!(["failed:a:1", 1]), json!(["failed:b:1", 1])]
    );
}

#[test]
fn each_source_has_its_word() {
    let words = [Source::Cron, Source::Page, Source::Endpoint, Source::Tool].map(Source::as_str);
    assert_eq!(words, ["cron", "page", "endpoint", "tool"]);
}

#[test]
fn what_is_rolled_up_is_grouped_by_kind_status_and_rule() {
    let database = database();
    add_stale(&database, &["a", "b"]);
    add(&database, "c", json!({ "kind": "video", "created_at": LONG_AGO, "tokens": 7 }));
    add(&database, "d", json!({ "status": "processing", "created_at": NOW - HOUR - 1 }));
    let long = json!({ "status": "processing", "created_at": LONG_AGO, "started_at": NOW - 9 * HOUR, "heartbeat_at": NOW });
    add(&database, "e", long);
    add(&database, "f", json!({ "kind": "song", "created_at": NOW - 2 * HOUR }));
    let policy = policy(&[(&["total_hours"], 6.0), (&["kinds", "song", "attempts"], 2.0)]);
    sweep(&database, request(&policy));
    let rolled = database.read(
        "SELECT outcome, kind, stuck_status, rule, creations, tokens, lag_0, lag_1, lag_2, lag_3, lag_4, lag_5, lag_ms
         FROM stale_drafts_rollups WHERE hour = 0",
    );
    let rows = [
        json!(["failed", "image", "pending", "max_age_hours", 2, 10, 0, 0, 0, 2, 0, 0, 2 * HOUR - 1]),
        json!(["failed", "image", "processing", "max_age_hours", 1, 5, 1, 0, 0, 0, 0, 0, 1]),
        json!(["failed", "image", "processing", "total_hours", 1, 5, 0, 0, 0, 0, 1, 0, 3 * HOUR]),
        json!(["failed", "video", "pending", "max_age_hours", 1, 7, 0, 0, 0, 0, 0, 1, NOW - LONG_AGO - HOUR]),
        json!(["retried", "song", "pending", "max_age_hours", 1, 0, 0, 0, 0, 1, 0, 0, HOUR]),
    ];
    assert_eq!(rolled, rows);
}

#[test]
fn an_idle_page_load_leaves_no_row_and_every_other_idle_sweep_does() {
    let policy = Policy::default();
    let mut rows = Vec::new();
    for source in [Source::Page, Source::Cron, Source::Endpoint, Source::Tool] {
        let database = database();
        sweep(&database, SweepRequest { source, ..request(&policy) });
        rows.push(database.read("SELECT source FROM stale_drafts_sweeps").len());
    }
    assert_eq!(rows, [0, 1, 1, 1]);
}

#[test]
fn a_page_load_costs_what_it_writes_and_no_statement_more() {
    let database = database();
    add_stale(&database, &["a", "b", "c"]);
    add(&database, "another's", json!({ "user_id": "ben", "created_at": LONG_AGO }));
    let policy = policy(&[(&["attempts"], 2.0)]);
    let of_anna = SweepRequest { source: Source::Page, user_id: Some("anna"), ..request(&policy) };
    database.write("UPDATE stale_drafts_creations SET attempt = 2, queued_at = 1000000000001 WHERE id = 'b'");
    let watched = Watched::new(&database, whatever);
    let report = try_sweep(&watched, of_anna).unwrap();
    assert_eq!((ids(&report.failed), ids(&report.retried)), (vec!["b"], vec!["a", "c"]));
    // In one transaction.
    assert_eq!(watched.lengths(), [1, 6]);
    assert_eq!(database.read(ROW), [json!(["page", 3, 1, 2, 0, 0, 1, null, null])]);
    assert_eq!(statuses(&database), ["pending", "pending", "failed", "pending"]);
}

#[test]
fn a_filter_holds_for_a_users_creations_too() {
    let database = database();
    add_stale(&database, &["a"]);
    add(&database, "video", json!({ "kind": "video", "created_at": LONG_AGO }));
    add(&database, "begun", json!({ "status": "processing", "created_at": LONG_AGO }));
    let policy = Policy::default();
    let filter = Filter { kind: Some("image"), status: Some(Active::Pending) };
    let report = sweep(&database, SweepRequest { user_id: Some("anna"), filter, ..request(&policy) });
    assert_eq!((ids(&report.failed), report.examined), (vec!["a"], 1));
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let database = database();
    add_stale(&database, &["a", "b"]);
    add(&database, "unreadable", json!({ "created_at": null }));
    let policy = Policy::default();
    let dry = SweepRequest { dry_run: true, ..request(&policy) };
    let watched = Watched::new(&database, whatever);
    let preview = try_sweep(&watched, dry).unwrap();
    // Beside its look, it asks whom it leaves out.
    assert_eq!(watched.lengths(), [2]);
    let report = sweep(&database, SweepRequest { dry_run: false, ..dry });
    assert_eq!(preview.failed, report.failed);
    assert_eq!((preview.examined, preview.refunded_tokens), (report.examined, report.refunded_tokens));
    assert_eq!((report.examined, report.refunded_tokens, report.unreadable.len()), (3, 10, 1));
    assert_eq!(preview.unreadable, report.unreadable);
}

#[test]
fn a_sweep_does_what_its_limit_allows_and_says_whether_more_remain() {
    let policy = Policy::default();
    let limited = |limit| {
        let database = database();
        add_stale(&database, &["a", "b", "c", "d"]);
        let dry = sweep(&database, SweepRequest { dry_run: true, limit, ..request(&policy) });
        let watched = Watched::new(&database, whatever);
        let report = try_sweep(&watched, SweepRequest { limit, ..request(&policy) }).unwrap();
        assert_eq!((dry.failed, dry.more), (report.failed.clone(), report.more));
        assert_eq!(watched.lengths(), [1, 3, 1]);
        let row = database.read("SELECT failed, more, finished_at IS NOT NULL FROM stale_drafts_sweeps");
        assert_eq!(row, [json!([report.failed.len(), u8::from(report.more), 1])]);
        (ids(&report.failed).join(" "), report.more)
    };
    assert_eq!(limited(9), (String::from("a b c d"), false));
    assert_eq!(limited(4), (String::from("a b c d"), false));
    assert_eq!(limited(3), (String::from("a b c"), true));
    assert_eq!(limited(0), (String::from("a"), true));
    // Whoever asks for more than a transaction takes.
    assert_eq!(limited(u32::MAX), (String::from("a b c d"), false));
}

#[test]
fn a_sweep_asks_for_what_the_circuit_breaker_has_to_know() {
    let database = database();
    let policy = Policy::default();
    let breaker = CircuitBreaker { creations: 3, at_least: 7, ..CircuitBreaker::default() };
    let asked = |breaker, limit| {
        let watched = Watched::new(&database, whatever);
        try_sweep(&watched, SweepRequest { limit, breaker, ..request(&policy) }).unwrap();
        // Limit, how many that can't be read, and from how many on active ones are counted.
        watched.calls.into_inner()[0][0].params[2..5].to_vec()
    };
    let integers = |list: [u32; 3]| list.map(Param::from).to_vec();
    assert_eq!(asked(Some(breaker), 1), integers([4, 500, 7]));
    assert_eq!(asked(Some(breaker), 9), integers([10, 500, 7]));
    assert_eq!(asked(None, 1), integers([2, 500, u32::MAX]));
}

#[test]
fn what_the_database_rejects_is_found_by_halves_and_set_aside() {
    let policy = Policy::default();
    for (source, notes) in [(Source::Cron, true), (Source::Page, false)] {
        let database = database();
        add_stale(&database, &["a", "b", "bad", "d"]);
        refuse(&database, "bad");
        let watched = Watched::new(&database, whatever);
        let report = try_sweep(&watched, SweepRequest { source, ..request(&policy) }).unwrap();
        let [rejected] = report.rejected.as_slice() else { panic!("one is rejected: {report:?}") };
        assert_eq!(
            (rejected.id.as_str(), rejected.error.as_str()),
            ("bad", "D1_ERROR: no: SQLITE_CONSTRAINT")
        );
        assert_eq!((ids(&report.failed), report.more), (vec!["a", "b", "d"], false));
        // Select; four, two, two, one, one; set aside; end.
        assert_eq!(watched.lengths(), [1, 3, 3, 3, 3, 3, 1, 1]);
        assert_eq!(
            database.read("SELECT source, examined, failed, rejected, more, finished_at IS NOT NULL FROM stale_drafts_sweeps"),
            [json!([source.as_str(), 4, 3, 1, 0, 1])]
        );
        assert_eq!(statuses(&database), ["failed", "failed", "pending", "failed"]);
        assert_eq!(
            database.read("SELECT creation_id, until, reason FROM stale_drafts_rejected"),
            [json!(["bad", NOW + HOUR, "D1_ERROR: no: SQLITE_CONSTRAINT"])]
        );
        // It is in nobody's way, until it is due again.
        add_stale(&database, &["e"]);
        let again = |sweep_id, millis| {
            let one = SweepRequest { sweep_id, now: at(millis), limit: 1, ..request(&policy) };
            let report = sweep(&database, one);
            (ids(&report.failed).join(" "), report.rejected.len(), report.more)
        };
        assert_eq!(again("2", NOW), (String::from("e"), 0, false));
        assert_eq!(again("3", NOW + HOUR - 1), (String::new(), 0, false));
        assert_eq!(again("4", NOW + HOUR), (String::new(), 1, false));
        assert_eq!(notes, source == Source::Cron);
    }
}

#[test]
fn a_trigger_that_skips_an_update_keeps_nothing_of_what_the_sweep_did_for_it() {
    for (attempts, skipped) in [(1.0, "failed"), (2.0, "pending")] {
        let database = database();
        add_stale(&database, &["a", "skipped", "z"]);
        database.write(&format!(
            "CREATE TRIGGER app BEFORE UPDATE OF status ON stale_drafts_creations
             WHEN NEW.status = '{skipped}' AND NEW.id = 'skipped' BEGIN SELECT RAISE(IGNORE); END"
        ));
        let balances = "SELECT b.tokens, sum(l.tokens) FROM stale_drafts_balances AS b JOIN stale_drafts_ledger AS l USING (user_id)
             GROUP BY b.user_id HAVING b.tokens <> sum(l.tokens)";
        let policy = policy(&[(&["attempts"], attempts)]);
        for (sweep_id, hour) in [("1", 0), ("2", 2)] {
            let report =
                sweep(&database, SweepRequest { sweep_id, now: at(NOW + hour * HOUR), ..request(&policy) });
            let rejected: Vec<_> = report.rejected.iter().map(|rejected| rejected.id.as_str()).collect();
            assert_eq!((rejected, report.raced), (vec!["skipped"], 0), "attempts: {attempts}, {sweep_id}");
            assert!(
                report.rejected[0].error.contains("trigger_skips_the_update"),
                "{}",
                report.rejected[0].error
            );
            assert_eq!(database.read(balances), Vec::<Value>::new());
        }
        assert_eq!(
            database.read("SELECT status, attempt FROM stale_drafts_creations WHERE id = 'skipped'"),
            [json!(["pending", 1])]
        );
        assert_eq!(
            database.read("SELECT count(*) FROM stale_drafts_attempts WHERE creation_id = 'skipped'"),
            [json!([0])]
        );
        assert_eq!(
            database.read("SELECT sum(tokens) FROM stale_drafts_ledger WHERE creation_id = 'skipped' AND type = 'refund'"),
            [json!([null])]
        );
    }
}

#[test]
fn the_first_transaction_is_tried_whatever_was_asked_before() {
    let database = database();
    add_stale(&database, &["a"]);
    let report = sweep(&database, SweepRequest { max_queries: 0, ..request(&Policy::default()) });
    assert_eq!((ids(&report.failed), report.more), (vec!["a"], false));
}

#[test]
fn what_is_failed_and_what_is_retried_are_told_apart_first() {
    let policy = policy(&[(&["attempts"], 2.0)]);
    let swept = |attempts: [u32; 4]| {
        let database = database();
        for (id, attempt) in ["bad", "b", "c", "d"].into_iter().zip(attempts) {
            add(&database, id, json!({ "created_at": NOW - 2 * HOUR, "attempt": attempt }));
        }
        refuse(&database, "bad");
        let watched = Watched::new(&database, whatever);
        let report = try_sweep(&watched, request(&policy)).unwrap();
        assert_eq!((report.rejected.len(), report.failed.len() + report.retried.len()), (1, 3));
        watched.lengths()
    };
    // Select; both sorts in one; the one that is failed, the three that are retried; set aside; end.
    assert_eq!(swept([2, 1, 1, 1]), [1, 6, 3, 3, 1, 1]);
    // Of one sort, they are halved.
    assert_eq!(swept([1, 1, 1, 1]), [1, 3, 3, 3, 3, 3, 1, 1]);
    assert_eq!(swept([2, 2, 2, 2]), [1, 3, 3, 3, 3, 3, 1, 1]);
}

#[test]
fn a_sweep_tries_a_bounded_number_of_statements_and_sets_the_rest_aside_for_less_long() {
    let database = database();
    let names: Vec<_> = (0..64).map(|at| format!("{at:02}")).collect();
    add_stale(&database, &names.iter().map(String::as_str).collect::<Vec<_>>());
    // Whatever is written of them is rejected; a column of the table could not say so.
    database.write(
        "CREATE TRIGGER refuse BEFORE UPDATE ON stale_drafts_creations BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let policy = Policy::default();
    let watched = Watched::new(&database, whatever);
    let max_queries = max_queries(Source::Cron, 50);
    let report = try_sweep(&watched, SweepRequest { max_queries, ..request(&policy) }).unwrap();
    let statements = watched.lengths().iter().sum::<usize>() as u64;
    assert!(statements <= max_queries && statements > 20, "{statements} statements of {max_queries}");
    assert_eq!((report.rejected.len(), report.more), (64, true), "all of them are shown");
    let aside = database.read("SELECT count(*), min(until), max(until) FROM stale_drafts_rejected");
    assert_eq!(aside, [json!([64, NOW + 5 * MINUTE, NOW + 14 * MINUTE])]);
    // Who comes behind them has their turn at once.
    database.write("DROP TRIGGER refuse");
    add_stale(&database, &["behind"]);
    let next = sweep(&database, SweepRequest { sweep_id: "2", limit: 10, ..request(&policy) });
    assert_eq!((ids(&next.failed), next.more), (vec!["behind"], false));
}

#[test]
fn what_is_set_aside_together_comes_back_by_as_many_as_a_sweep_tells_apart() {
    let database = database();
    add_stale(&database, &["a", "b", "c", "d", "e", "f", "g", "h"]);
    database.write(
        "CREATE TRIGGER refuse BEFORE UPDATE ON stale_drafts_creations BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let policy = Policy::default();
    let watched = Watched::new(&database, whatever);
    try_sweep(&watched, SweepRequest { max_queries: 30, ..request(&policy) }).unwrap();
    // Select; eight, two fours, four twos, two ones; set aside; end. A sweep with 30 queries tells 5 of them apart.
    assert_eq!(watched.lengths(), [1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1, 1]);
    let turns =
        database.read(&format!("SELECT until - {NOW}, count(*) FROM stale_drafts_rejected GROUP BY 1"));
    assert_eq!(turns, [json!([5 * MINUTE, 5]), json!([6 * MINUTE, 1]), json!([HOUR, 2])]);
}

/// However the rejected rows lie among the others, each sweep finds some of them, and the others are failed.
#[test]
fn rejected_rows_among_others_keep_nobody_from_being_failed() {
    let database = database();
    let names: Vec<_> = (0..200).map(|at| format!("{at:03}")).collect();
    add_stale(&database, &names.iter().map(String::as_str).collect::<Vec<_>>());
    database.write(
        "CREATE TRIGGER refuse BEFORE UPDATE ON stale_drafts_creations WHEN CAST(NEW.id AS INTEGER) % 25 = 0
         BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let policy = Policy::default();
    let mut sweeps = 0;
    while database.read("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'")
        != [json!([192])]
    {
        assert!(sweeps < 60, "an hour of sweeps is enough");
        let (sweep_id, now) = (format!("{sweeps:02}"), at(NOW + sweeps * MINUTE));
        sweep(&database, SweepRequest { sweep_id: &sweep_id, now, ..request(&policy) });
        sweeps += 1;
    }
}

/// So many invocations that have something to do are needed until all of 1,000 stale creations are failed but the 300 that `refused`
/// names, with so many queries for each invocation. `owners` and `kinds` are how many there are.
fn invocations(refused: &str, owners: u32, kinds: u32, queries: u64) -> u64 {
    let database = database();
    let count = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999)";
    database.write(&format!(
        "INSERT INTO stale_drafts_ledger (entry_key, user_id, type, tokens, created_at)
         {count} SELECT 'grant:u' || n, 'u' || n, 'grant', 10000, 0 FROM n WHERE n < {owners};
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         {count} SELECT printf('%04d', n), 'u' || (n % {owners}), 'k' || (n % {kinds}), '', 'pending', 5, {NOW} - 7200000 + n
         FROM n;
         CREATE TRIGGER refuse BEFORE UPDATE ON stale_drafts_creations WHEN NEW.status = 'failed' AND {refused}
         BEGIN SELECT RAISE(ABORT, 'no'); END"
    ));
    let policy = Policy::default();
    let mut invocations = 0;
    for minute in 0..600 {
        if database.read("SELECT count(*) FROM stale_drafts_creations WHERE status = 'failed'")
            == [json!([700])]
        {
            return invocations;
        }
        let watched = Watched::new(&database, whatever);
        let (sweep_id, now) = (format!("{minute:04}"), at(NOW + minute * MINUTE));
        let max_queries = max_queries(Source::Cron, queries);
        let request = SweepRequest { sweep_id: &sweep_id, now, max_queries, ..request(&policy) };
        let report = try_sweep(&watched, request).unwrap();
        assert!(watched.cost().queries <= max_queries, "{} queries", watched.cost().queries);
        invocations += u64::from(report.examined > 0);
    }
    panic!("ten hours of sweeps are enough")
}

#[test]
fn rejected_rows_that_have_something_in_common_are_told_from_the_others_in_a_few_invocations() {
    for (what, refused, owners, kinds, queries, most) in [
        ("of a kind", "NEW.kind IN ('k1', 'k4', 'k7')", 10, 10, 50, 5),
        ("of an owner", "NEW.user_id IN ('u3', 'u4', 'u5')", 10, 1, 50, 5),
        ("the oldest", "NEW.id < '0300'", 1, 1, 1_000, 5),
        // A transaction says whether one of its rows is rejected, and no more: for what has nothing in common that takes as many
        // transactions as there are rows, however they are chosen.
        ("here and there", "NEW.id * 7919 % 1000 < 300", 1, 1, 1_000, 7),
        ("the oldest", "NEW.id < '0300'", 1, 1, 50, 60),
    ] {
        let needed = invocations(refused, owners, kinds, queries);
        println!(
            "300 rejected rows among 1,000, {what}, {queries} queries allowed: {needed} invocations until the others are failed"
        );
        assert!(needed <= most, "{what}: {needed}");
    }
}

#[test]
fn a_plan_that_is_too_big_for_the_database_is_halved() {
    let database = database();
    add_stale(&database, &["a", "b"]);
    let too_big = |calls| match calls {
        1 => Err(DatabaseError::new("D1_ERROR: string or blob too big: SQLITE_TOOBIG")),
        _ => Ok(()),
    };
    let watched = Watched::new(&database, too_big);
    let report = try_sweep(&watched, request(&Policy::default())).unwrap();
    assert_eq!((ids(&report.failed), report.rejected.len()), (vec!["a", "b"], 0));
    assert_eq!(watched.lengths(), [1, 3, 3, 3, 1]);
}

#[test]
fn the_longest_names_and_reasons_fit_into_the_databases_strings() {
    let database = database();
    // A quotation mark has two bytes as JSON. More unreadable ones than are listed, of each sort.
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM n WHERE n < 2199)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT format('%04d', n) || substr('{0}', 5), '{0}', '{0}', '', 'pending', 0, iif(n % 2, {1}, NULL) FROM n",
        "\"".repeat(200),
        NOW + HOUR,
    ));
    let longest = |watched: &Watched<'_>| {
        let calls = watched.calls.borrow();
        let texts = calls.iter().flatten().flat_map(|statement| &statement.params);
        texts.map(|param| if let Param::Text(text) = param { text.len() } else { 0 }).max().unwrap()
    };
    let policy = Policy::default();
    let results = database.one(store::stale(
        &policy,
        Filter::default(),
        now(),
        store::Window { limit: 1, unreadable: 500 },
        CircuitBreaker::default(),
    ));
    assert!(results[0]["unreadable"].as_str().unwrap().len() < 2_000_000);
    assert_eq!(sweep(&database, request(&policy)).unreadable.len(), 1_000);

    database.write("DELETE FROM stale_drafts_creations WHERE created_at IS NULL");
    database.write(&format!("UPDATE stale_drafts_creations SET created_at = {}", NOW - 2 * HOUR));
    database.write(&format!(
        "CREATE TRIGGER refuse AFTER UPDATE OF status ON stale_drafts_creations BEGIN SELECT RAISE(ABORT, '{}'); END",
        "狐".repeat(5_000)
    ));
    let watched = Watched::new(&database, whatever);
    try_sweep(&watched, request(&policy)).unwrap();
    assert!(longest(&watched) < 2_000_000, "{}", longest(&watched));
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_rejected"), [json!([1_000])]);
}

#[test]
fn a_sweep_by_halves_is_ended_by_a_statement_of_its_own() {
    let policy = Policy::default();
    for source in [Source::Cron, Source::Page] {
        let database = database();
        add_stale(&database, &["a", "bad"]);
        refuse(&database, "bad");
        let report = sweep(&database, SweepRequest { source, ..request(&policy) });
        assert_eq!((ids(&report.failed), report.rejected.len()), (vec!["a"], 1));
        assert_eq!(
            database.read("SELECT failed, rejected, finished_at IS NOT NULL FROM stale_drafts_sweeps"),
            [json!([1, 1, 1])]
        );
    }
}

#[test]
fn a_page_load_that_could_only_be_refused_leaves_a_row() {
    let database = database();
    add_stale(&database, &["bad"]);
    refuse(&database, "bad");
    let policy = Policy::default();
    sweep(&database, SweepRequest { source: Source::Page, ..request(&policy) });
    assert_eq!(
        database.read("SELECT failed, rejected, finished_at IS NOT NULL FROM stale_drafts_sweeps"),
        [json!([0, 1, 1])]
    );
}

#[test]
fn a_sweep_whose_connection_is_lost_says_what_it_did_and_why_it_stopped() {
    let database = database();
    add_stale(&database, &["a", "b"]);
    refuse(&database, "b");
    let policy = Policy::default();
    // Both are rejected, the first goes through, and then nothing does.
    let watched = Watched::new(&database, |calls| if calls == 3 { lost() } else { Ok(()) });
    let error = try_sweep(&watched, request(&policy)).unwrap_err();
    assert_eq!(
        (ids(&error.outcome.failed), error.error.to_string().as_str()),
        (vec!["a"], "the connection was lost")
    );
    assert_eq!(error.outcome.cost.queries, 11);
    assert_eq!(database.read(ROW), [json!(["cron", 2, 1, 0, 0, 0, 1, "the connection was lost", 11])]);
    assert_eq!(statuses(&database), ["failed", "pending"]);
}

#[test]
fn a_page_load_whose_connection_is_lost_leaves_a_row_too() {
    let database = database();
    let policy = Policy::default();
    let watched = Watched::new(&database, |calls| if calls == 0 { lost() } else { Ok(()) });
    try_sweep(&watched, SweepRequest { source: Source::Page, ..request(&policy) }).unwrap_err();
    assert_eq!(database.read("SELECT error FROM stale_drafts_sweeps"), [json!(["the connection was lost"])]);
}

#[test]
fn a_row_is_not_ended_before_the_sweep_is() {
    let finished =
        |database: &Sqlite| database.read("SELECT finished_at IS NOT NULL, error FROM stale_drafts_sweeps");
    let unfinished = [json!([0, null])];
    // After the first half nothing goes through any more: the row shows that it was cut off.
    let cut_off = |database: &Sqlite, request: SweepRequest<'_>, after: usize| {
        let watched = Watched::new(database, |calls| if calls >= after { lost() } else { Ok(()) });
        try_sweep(&watched, request).unwrap_err();
    };
    let once = Policy::default();
    for source in [Source::Cron, Source::Page] {
        let database = database();
        add_stale(&database, &["a", "bad"]);
        refuse(&database, "bad");
        cut_off(&database, SweepRequest { source, ..request(&once) }, 3);
        assert_eq!(finished(&database), unfinished, "the second half is lost");
    }
}

#[test]
fn that_the_cost_can_not_be_noted_is_no_failure_but_that_the_row_can_not_be_is() {
    let database = database();
    let policy = Policy::default();
    let watched = Watched::new(&database, |calls| if calls == 1 { lost() } else { Ok(()) });
    try_sweep(&watched, request(&policy)).unwrap_err();
    add_stale(&database, &["a"]);
    let watched = Watched::new(&database, |calls| if calls == 2 { lost() } else { Ok(()) });
    let report = try_sweep(&watched, request(&policy)).unwrap();
    assert_eq!(ids(&report.failed), ["a"]);
    assert_eq!(database.read(ROW), [json!(["cron", 1, 1, 0, 0, 0, 1, null, null])]);
}

const BREAKER: Option<CircuitBreaker> = Some(CircuitBreaker { creations: 2, percent: 50, at_least: 50 });
const MANY: &str = "more than 2 creations are stale at once";

fn controls(database: &Sqlite) -> Vec<Value> {
    database.read("SELECT name, detail FROM stale_drafts_controls")
}

#[test]
fn a_circuit_breaker_holds_a_sweep_of_all_until_it_would_do_few() {
    let database = database();
    add_stale(&database, &["a", "b", "c"]);
    let policy = Policy::default();
    let with_breaker = SweepRequest { breaker: BREAKER, ..request(&policy) };
    let suspended = Some(Suspension::BreakerOpen { detail: String::from(MANY) });
    let report = sweep(&database, with_breaker);
    assert_eq!((report.suspended.clone(), report.failed.len()), (suspended.clone(), 0));
    assert_eq!(controls(&database), [json!(["circuit_breaker", MANY])]);
    let text = suspended.as_ref().unwrap().to_string();
    assert_eq!(database.read("SELECT failed, error FROM stale_drafts_sweeps"), [json!([0, text])]);
    // The sweep of one user's creations goes by what that one has found, and changes nothing about it.
    for source in [Source::Page, Source::Endpoint] {
        let one = SweepRequest { source, user_id: Some("anna"), sweep_id: "2", ..with_breaker };
        assert_eq!(sweep(&database, one).suspended, suspended);
    }
    assert_eq!(controls(&database), [json!(["circuit_breaker", MANY])]);
    // A page load that is suspended leaves no row.
    assert_eq!(
        database.read("SELECT source FROM stale_drafts_sweeps"),
        [json!(["cron"]), json!(["endpoint"])]
    );
    database.write("UPDATE stale_drafts_creations SET heartbeat_at = created_at + 7200000 WHERE id = 'c'");
    let watched = Watched::new(&database, whatever);
    let report = try_sweep(&watched, SweepRequest { sweep_id: "3", ..with_breaker }).unwrap();
    assert_eq!((ids(&report.failed), report.suspended), (vec!["a", "b"], None));
    assert_eq!(controls(&database), [json!(null); 0]);
    // Once it is released, nothing is asked for it.
    assert_eq!(watched.lengths(), [1, 1, 3, 1]);
}

#[test]
fn a_circuit_breaker_sees_all_that_it_has_to_know_however_few_a_sweep_takes() {
    let policy = Policy::default();
    for limit in [1, 2, 100] {
        let few = SweepRequest { limit, ..request(&policy) };
        let many = database();
        add_stale(&many, &["a", "b", "c"]);
        assert!(sweep(&many, SweepRequest { breaker: BREAKER, ..few }).suspended.is_some());
        // It takes no more for that: what it has seen beyond its limit is left for the next one.
        let two = database();
        add_stale(&two, &["a", "b"]);
        let report = sweep(&two, SweepRequest { breaker: BREAKER, ..few });
        let taken = limit.min(2) as usize;
        assert_eq!((report.suspended.is_some(), report.failed.len(), report.more), (false, taken, taken < 2));
    }
}

#[test]
fn a_circuit_breaker_is_released_by_a_sweep_of_everything_only() {
    let policy = Policy::default();
    let image = Filter { kind: Some("image"), status: None };
    let pending = Filter { kind: None, status: Some(Active::Pending) };
    let all = Filter::default();
    for (source, filter, released) in [
        (Source::Endpoint, image, false),
        (Source::Endpoint, pending, false),
        (Source::Tool, all, false),
        (Source::Endpoint, all, true),
        (Source::Cron, all, true),
    ] {
        let database = database();
        database.one(store::hold("circuit_breaker", None, MANY, now()));
        add_stale(&database, &["a"]);
        let report = sweep(&database, SweepRequest { source, filter, breaker: BREAKER, ..request(&policy) });
        // What it does itself is not abnormal, so it is not suspended.
        assert_eq!((report.suspended.is_some(), report.failed.len()), (false, 1));
        assert_eq!(controls(&database).is_empty(), released, "{source:?} {filter:?}");
    }
}

#[test]
fn what_is_exempt_or_unreadable_of_a_user_keeps_nothing_from_its_turn() {
    let database = database();
    for id in ["a", "b", "c"] {
        add(&database, id, json!({ "kind": "film", "created_at": LONG_AGO }));
        add(&database, &format!("{id}?"), json!({ "created_at": "soon" }));
        add(&database, &format!("{id}!"), json!({}));
    }
    add_stale(&database, &["stale", "too"]);
    let policy = policy(&[(&["kinds", "film", "max_age_hours"], -1.0)]);
    let one = SweepRequest { source: Source::Page, user_id: Some("anna"), limit: 1, ..request(&policy) };
    let report = sweep(&database, one);
    assert_eq!((ids(&report.failed), report.more, report.examined), (vec!["stale"], true, 4));
    let unreadable: Vec<_> = report.unreadable.iter().map(|skipped| skipped.id.as_str()).collect();
    assert_eq!(unreadable, ["a?", "b?", "c?"]);
    let report = sweep(&database, SweepRequest { sweep_id: "2", ..one });
    assert_eq!((ids(&report.failed), report.more), (vec!["too"], false));
}

#[test]
fn a_circuit_breaker_holds_a_sweep_of_one_user_and_nobody_elses() {
    let policy = Policy::default();
    for (source, user_id) in
        [(Source::Page, Some("anna")), (Source::Endpoint, Some("anna")), (Source::Page, None)]
    {
        let database = database();
        add_stale(&database, &["a", "b", "c"]);
        let report = sweep(&database, SweepRequest { source, user_id, breaker: BREAKER, ..request(&policy) });
        let held = Some(Suspension::BreakerOpen { detail: String::from(MANY) });
        assert_eq!((report.failed.len(), report.suspended), (0, held));
        assert_eq!(database.read("SELECT name FROM stale_drafts_controls"), [] as [Value; 0]);
    }
}

#[test]
fn an_open_circuit_breaker_holds_one_users_few_as_well() {
    let policy = Policy::default();
    for (source, user_id) in
        [(Source::Page, Some("anna")), (Source::Endpoint, Some("anna")), (Source::Page, None)]
    {
        let database = database();
        add_stale(&database, &["a"]);
        database.one(store::hold("circuit_breaker", None, "many", now()));
        let report = sweep(&database, SweepRequest { source, user_id, breaker: BREAKER, ..request(&policy) });
        let held = Some(Suspension::BreakerOpen { detail: String::from("many") });
        assert_eq!((report.failed.len(), report.suspended), (0, held));
        assert_eq!(controls(&database), [json!(["circuit_breaker", "many"])]);
    }
}

#[test]
fn a_share_holds_by_the_number_of_active_ones() {
    let policy = Policy::default();
    let breaker = Some(CircuitBreaker { creations: 100, percent: 60, at_least: 2 });
    let suspended = |fresh: u64| {
        let database = database();
        add_stale(&database, &["a", "b"]);
        for at in 0..fresh {
            add(&database, &format!("f{at}"), json!({}));
        }
        sweep(&database, SweepRequest { breaker, ..request(&policy) }).suspended.is_some()
    };
    assert_eq!([suspended(0), suspended(1), suspended(2)], [true, true, false]);
}

#[test]
fn a_dry_run_says_what_would_hold_it_and_changes_nothing() {
    let database = database();
    add_stale(&database, &["a", "b", "c"]);
    let policy = Policy::default();
    let dry = SweepRequest { dry_run: true, breaker: BREAKER, ..request(&policy) };
    let report = sweep(&database, dry);
    assert_eq!(
        (report.suspended, report.failed.len()),
        (Some(Suspension::BreakerOpen { detail: String::from(MANY) }), 3)
    );
    assert_eq!(controls(&database), [json!(null); 0]);
    // Nor does it release a breaker that holds no more.
    database.one(store::hold("circuit_breaker", None, "many", now()));
    let report = sweep(&database, SweepRequest { breaker: None, ..dry });
    assert_eq!((report.suspended, report.failed.len()), (None, 3));
    assert_eq!(controls(&database), [json!(["circuit_breaker", "many"])]);
}

#[test]
fn a_pause_holds_everything_but_a_plan_that_somebody_has_confirmed() {
    let database = database();
    add_stale(&database, &["a", "b"]);
    database.one(store::hold("paused", Some("ops"), "", now()));
    let policy = Policy::default();
    let paused = Some(Suspension::Paused { actor: String::from("ops"), since: now() });
    for source in [Source::Cron, Source::Page, Source::Endpoint, Source::Tool] {
        let report = sweep(&database, SweepRequest { source, sweep_id: source.as_str(), ..request(&policy) });
        assert_eq!((report.suspended, report.failed.len()), (paused.clone(), 0));
    }
    assert_eq!(controls(&database), [json!(["paused", ""])]);
    let rows = database.read("SELECT source, error FROM stale_drafts_sweeps");
    let row = |source| json!([source, "sweeping is paused by `ops`"]);
    assert_eq!(rows, [row("cron"), row("endpoint"), row("tool")]);
    let planned = [planned("a", 0)];
    let report =
        sweep(&database, SweepRequest { source: Source::Tool, planned: Some(&planned), ..request(&policy) });
    assert_eq!((ids(&report.failed), report.suspended), (vec!["a"], None));
}

/// What a preview said of a creation of [`add_stale`].
fn planned(id: &str, later: u64) -> Planned<'_> {
    Planned {
        id,
        stuck_status: Some(Status::Pending),
        attempt: 1,
        last_sign_of_life: NOW - 2 * HOUR + later,
        action: Action::Fail,
    }
}

#[test]
fn a_plan_is_carried_out_once_for_each_creation_that_is_still_what_it_was_made_for() {
    let database = database();
    add_stale(&database, &["a", "b", "c", "d"]);
    for id in ["song", "tune"] {
        add(&database, id, json!({ "kind": "song", "created_at": NOW - 2 * HOUR }));
    }
    database.write(
        "UPDATE stale_drafts_creations SET status = 'processing', started_at = 1000000000001 WHERE id = 'c'",
    );
    let policy = policy(&[(&["kinds", "song", "attempts"], 2.0)]);
    let plan = [
        planned("a", 0),
        planned("a", 0),
        planned("b", 1),
        planned("c", 2),
        planned("gone", 0),
        Planned { action: Action::Retry, ..planned("song", 0) },
        planned("tune", 0),
    ];
    let watched = Watched::new(&database, whatever);
    let request = SweepRequest {
        source: Source::Tool,
        actor: Some("ops"),
        planned: Some(&plan),
        plan_id: Some("p1"),
        ..request(&policy)
    };
    let report = try_sweep(&watched, request).unwrap();
    assert_eq!((ids(&report.failed), ids(&report.retried)), (vec!["a", "b"], vec!["song"]));
    // Whoever confirmed the plan confirmed that `tune` would fail.
    let left = [("c", SkipReason::Started), ("gone", SkipReason::Gone), ("tune", SkipReason::ActionChanged)];
    let left = left.map(|(id, reason)| (String::from(id), reason));
    assert_eq!((report.skipped, report.examined, report.refunded_tokens), (left.to_vec(), 6, 10));
    // Whatever of it is done is done in one transaction.
    assert_eq!(watched.lengths(), [2, 6, 1]);
    let row = json!(["tool", "ops", "p1", 2, 1, 1]);
    assert_eq!(
        database.read(
            "SELECT source, actor, plan_id, failed, retried, finished_at IS NOT NULL FROM stale_drafts_sweeps"
        ),
        [row]
    );
    assert_eq!(statuses(&database), ["failed", "failed", "processing", "pending", "pending", "pending"]);
}

#[test]
fn a_plan_is_at_most_one_transaction() {
    let policy = Policy::default();
    let database = database();
    let names: Vec<_> = (0..=MAX_ROWS).map(|at| at.to_string()).collect();
    let plan: Vec<_> = names.iter().map(|id| planned(id, 0)).collect();
    for (plan, more) in [(&plan[..], true), (&plan[1..], false)] {
        let report = sweep(&database, SweepRequest { planned: Some(plan), ..request(&policy) });
        assert_eq!((report.examined, report.skipped.len(), report.more), (MAX_ROWS, MAX_ROWS as usize, more));
    }
}

#[test]
fn what_moves_on_between_the_select_and_the_write_is_left_alone_and_counted() {
    let database = database();
    add_stale(&database, &["a", "b"]);
    let watched = Watched::new(&database, |calls| {
        if calls == 1 {
            database.write(&format!("UPDATE stale_drafts_creations SET heartbeat_at = {NOW} WHERE id = 'a'"));
        }
        Ok(())
    });
    let report = try_sweep(&watched, request(&Policy::default())).unwrap();
    assert_eq!((ids(&report.failed), report.raced, report.refunded_tokens), (vec!["b"], 1, 5));
    assert_eq!(database.read("SELECT failed, raced FROM stale_drafts_sweeps"), [json!([1, 1])]);
}

#[test]
fn a_page_takes_no_more_queries_than_on_the_free_plan() {
    let allowed = [
        (Source::Page, 1_000),
        (Source::Page, 50),
        (Source::Cron, 1_000),
        (Source::Cron, 50),
        (Source::Cron, 10),
    ];
    assert_eq!(allowed.map(|(source, queries)| max_queries(source, queries)), [30, 30, 980, 30, 0]);
}
