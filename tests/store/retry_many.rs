//! Many failed creations retried at once: what was previewed and nothing else, each owner as far as the balance goes, and whoever is left
//! is named.

use std::cell::Cell;

use serde_json::{Value, json};
use stale_drafts::rules::Bucket;
use stale_drafts::service::explorer::Places;
use stale_drafts::service::extensions::extend_kind;
use stale_drafts::service::retries::{
    Divided, PlannedRetry, RetryOutcome, RetryPreview, RetryRequest, RetrySkip, apply, find, preview,
};
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{
    Cost, Database, DatabaseError, Extension, LOOKED_AT, RetryAudit, Row, Sought, Statement, retry_many,
    retry_state,
};

use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, add, at, database, now};

const AUDIT_ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn request(id: &'static str) -> RetryRequest<'static> {
    RetryRequest {
        audit: RetryAudit { id, actor: "ops", reason: "the provider is back" },
        notify: 4,
        max_queries: 980,
        now: now(),
    }
}

fn failed(database: &Sqlite, id: &str, columns: Value) {
    let mut all = json!({
        "status": "failed", "error": "it broke", "error_code": "provider_down", "created_at": NOW - HOUR, "finished_at": NOW - MINUTE,
    });
    all.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
    add(database, id, all);
}

fn planned(id: &str, attempt: u32) -> PlannedRetry {
    PlannedRetry { id: id.to_owned(), attempt, user_id: None }
}

fn previewed(database: &Sqlite, plan: &[PlannedRetry]) -> RetryPreview {
    wait(preview(&Shard::one(database), &Divided::new(plan, 1, |_| Some(0)).unwrap()))
}

fn applied(database: &Sqlite, plan: &[PlannedRetry], id: &'static str) -> RetryOutcome {
    wait(apply(&Shard::one(database), &Divided::new(plan, 1, |_| Some(0)).unwrap(), request(id)))
}

fn ids(outcome: &RetryOutcome) -> Vec<&str> {
    outcome.retried.iter().map(|retried| retried.id.as_str()).collect()
}

/// Those that were left, and why.
fn left(outcome: &RetryOutcome) -> Vec<(&str, &str)> {
    outcome.skipped.iter().map(|skipped| (skipped.id.as_str(), skipped.reason.code())).collect()
}

/// Every balance is the sum of its ledger.
fn adds_up(database: &Sqlite) {
    let off = database.read(
        "SELECT b.user_id FROM stale_drafts_balances AS b
         WHERE b.tokens <> (SELECT sum(tokens) FROM stale_drafts_ledger AS l WHERE l.user_id = b.user_id)",
    );
    assert_eq!(off, Vec::<Value>::new());
}

fn balance(database: &Sqlite, user_id: &str) -> Value {
    database.read(&format!("SELECT tokens FROM stale_drafts_balances WHERE user_id = '{user_id}'"))[0][0]
        .clone()
}

/// Takes from a user all but so many tokens, by a creation that runs.
fn leave(database: &Sqlite, user_id: &str, tokens: u64) {
    let has = balance(database, user_id).as_u64().unwrap();
    add(database, &format!("spent-{user_id}"), json!({ "user_id": user_id, "tokens": has - tokens }));
}

#[test]
fn what_was_previewed_is_retried_and_charged_in_one_transaction_and_audited() {
    let database = database();
    for (id, user_id) in [("a", "anna"), ("b", "ben"), ("c", "anna")] {
        failed(&database, id, json!({ "user_id": user_id, "attempt": 2, "extended_until": NOW - MINUTE }));
    }
    let plan = [planned("a", 2), planned("b", 2), planned("c", 2), planned("a", 2)];
    let seen = previewed(&database, &plan);
    assert_eq!(seen.creations.len(), 3);
    assert!(seen.creations.iter().all(|one| one.is_covered) && seen.skipped.is_empty());
    let outcome = applied(&database, &plan, AUDIT_ID);
    assert_eq!(ids(&outcome), ["a", "b", "c"]);
    assert_eq!(outcome.skipped, []);
    assert!(outcome.retried.iter().all(|retried| (retried.attempt, retried.tokens) == (3, 5)));
    assert_eq!(
        database.read(
            "SELECT id, status, attempt, charge, queued_at, finished_at, error, error_code, extended_until
             FROM stale_drafts_creations ORDER BY id"
        ),
        ["a", "b", "c"].map(|id| json!([id, "pending", 3, 2, NOW, null, null, null, null]))
    );
    assert_eq!(
        database.read("SELECT creation_id, attempt, outcome, error, error_code FROM stale_drafts_attempts ORDER BY creation_id"),
        ["a", "b", "c"].map(|id| json!([id, 2, "failed", "it broke", "provider_down"]))
    );
    assert_eq!(
        database.read("SELECT entry_key, tokens, created_at FROM stale_drafts_ledger WHERE entry_key LIKE 'charge2:%' ORDER BY entry_key"),
        ["a", "b", "c"].map(|id| json!([format!("charge2:{id}"), -5, NOW]))
    );
    assert_eq!((balance(&database, "anna"), balance(&database, "ben")), (json!(990), json!(995)));
    adds_up(&database);
    // Once for each, for its timeline, and once for all.
    assert_eq!(
        database.read("SELECT at, actor, action, detail, subject FROM stale_drafts_audit ORDER BY id"),
        [
            json!([NOW, "ops", "retry_in_bulk", "the provider is back", "creation:a"]),
            json!([NOW, "ops", "retry_in_bulk", "the provider is back", "creation:b"]),
            json!([NOW, "ops", "retry_in_bulk", "the provider is back", "creation:c"]),
            json!([NOW, "ops", "retry_many", "3 of 3 failed creations: the provider is back", null]),
        ]
    );
    let of_uuid = database
        .read("SELECT count(*) FROM stale_drafts_audit WHERE id LIKE '01890a5d-ac96-774b-bcce-____________'");
    assert_eq!(of_uuid, [json!([4])]);
    assert_eq!(
        database.read("SELECT id, destinations FROM stale_drafts_events ORDER BY id"),
        ["a", "b", "c"].map(|id| json!([format!("retried:{id}:2"), 4]))
    );
}

#[test]
fn each_has_the_time_that_its_kind_has_now_and_none_that_it_had_itself() {
    let database = database();
    failed(&database, "a", json!({ "kind": "video", "extended_until": NOW + MINUTE }));
    failed(&database, "b", json!({ "extended_until": NOW + MINUTE }));
    let extension = Extension { until: at(NOW + HOUR), actor: "ops", reason: "it is slow", audit_id: "a1" };
    wait(extend_kind(&database, "video", extension, now())).unwrap();
    applied(&database, &[planned("a", 1), planned("b", 1)], AUDIT_ID);
    assert_eq!(
        database.read("SELECT id, status, extended_until FROM stale_drafts_creations ORDER BY id"),
        [json!(["a", "pending", NOW + HOUR]), json!(["b", "pending", null])]
    );
}

#[test]
fn a_plan_that_is_repeated_charges_nobody_twice_and_says_so() {
    let database = database();
    for id in ["a", "b"] {
        failed(&database, id, json!({}));
    }
    let plan = [planned("a", 1), planned("b", 1)];
    applied(&database, &plan, AUDIT_ID);
    let again = applied(&database, &plan, "01890a5d-ac97-774b-bcce-b302099a8057");
    assert_eq!(
        (ids(&again), left(&again)),
        (vec![], vec![("a", "already_retried"), ("b", "already_retried")])
    );
    assert_eq!(
        again.skipped[0].reason.to_string(),
        "it has been retried since: it is `pending` now, attempt 2"
    );
    assert_eq!(balance(&database, "anna"), json!(990));
    adds_up(&database);
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_audit"), [json!([3])]);
    // Once more after it has failed again, that is another attempt: the plan is still about the first.
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'failed', error = 'no', error_code = 'x', finished_at = {NOW} WHERE id = 'a'"
    ));
    let third = applied(&database, &plan, "01890a5d-ac98-774b-bcce-b302099a8057");
    assert_eq!(left(&third), [("a", "already_retried"), ("b", "already_retried")]);
    assert_eq!(ids(&applied(&database, &[planned("a", 2)], "01890a5d-ac99-774b-bcce-b302099a8057")), ["a"]);
    adds_up(&database);
}

#[test]
fn an_owner_whose_balance_does_not_cover_all_keeps_nobody_from_it() {
    let database = database();
    for (number, user_id) in (0..6).zip(["anna", "ben"].into_iter().cycle()) {
        failed(
            &database,
            &format!("c{number}"),
            json!({ "user_id": user_id, "finished_at": NOW - MINUTE + number }),
        );
    }
    failed(&database, "poor", json!({ "user_id": "nobody", "tokens": 0, "finished_at": NOW - HOUR }));
    leave(&database, "ben", 12);
    let plan: Vec<_> =
        (0..6).map(|number| planned(&format!("c{number}"), 1)).chain([planned("poor", 1)]).collect();
    let seen = previewed(&database, &plan);
    let covered: Vec<_> = seen.creations.iter().map(|one| (one.id.as_str(), one.is_covered)).collect();
    assert_eq!(
        covered,
        [("poor", true), ("c0", true), ("c1", true), ("c2", true), ("c3", true), ("c4", true), ("c5", false)]
    );
    let outcome = applied(&database, &plan, AUDIT_ID);
    assert_eq!(ids(&outcome), ["c0", "c1", "c2", "c3", "c4", "poor"]);
    assert_eq!(outcome.skipped[0].reason, RetrySkip::InsufficientTokens { balance: 2, tokens: 5 });
    assert_eq!(
        outcome.skipped[0].reason.to_string(),
        "insufficient tokens: it costs 5, and its owner's balance has 2 left for it"
    );
    assert_eq!(balance(&database, "ben"), json!(2));
    adds_up(&database);
    assert_eq!(
        database.read("SELECT detail FROM stale_drafts_audit WHERE action = 'retry_many'"),
        [json!(["6 of 7 failed creations: the provider is back"])]
    );
}

/// A small generator, so that every run sees the same plans.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn the_statement_chooses_as_the_preview_says_on_any_plan() {
    let mut random = Random(19);
    for _ in 0..60 {
        let database = database();
        let mut plan = Vec::new();
        for number in 0..random.below(14) {
            let user_id = ["anna", "ben", "cleo"][random.below(3) as usize];
            let id = format!("c{number}");
            if user_id == "cleo" {
                // She has nothing, and no row that says so.
                failed(&database, &id, json!({ "user_id": user_id, "tokens": 0 }));
            } else {
                failed(
                    &database,
                    &id,
                    json!({ "user_id": user_id, "tokens": random.below(9), "finished_at": NOW - random.below(5) }),
                );
            }
            plan.push(planned(&id, 1 + u32::from(random.below(8) == 0)));
        }
        for user_id in ["anna", "ben"] {
            leave(&database, user_id, random.below(30));
        }
        let seen = previewed(&database, &plan);
        // As it is given back: in the preview's order.
        let plan: Vec<_> = seen.creations.iter().map(|one| planned(&one.id, one.attempt)).collect();
        let expected: Vec<_> =
            seen.creations.iter().filter(|one| one.is_covered).map(|one| one.id.as_str()).collect();
        let outcome = applied(&database, &plan, AUDIT_ID);
        assert_eq!(ids(&outcome), expected);
        assert!(outcome.skipped.iter().all(|skipped| skipped.reason.code() == "insufficient_tokens"));
        assert_eq!(outcome.retried.len() + outcome.skipped.len(), plan.len());
        adds_up(&database);
    }
}

#[test]
fn each_that_is_left_is_named_with_the_reason() {
    let database = database();
    for id in ["again", "deleted", "late", "owner", "settled", "works"] {
        let settled = u8::from(id == "settled");
        failed(&database, id, json!({ "settled_elsewhere": settled }));
    }
    add(&database, "done", json!({ "status": "draft" }));
    add(&database, "app", json!({ "balance_elsewhere": 1 }));
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'failed', error = 'no', error_code = 'x', finished_at = {NOW} WHERE id = 'app';
         UPDATE stale_drafts_creations SET deleted_at = {NOW} WHERE id = 'deleted';"
    ));
    applied(&database, &[planned("again", 1), planned("works", 1)], AUDIT_ID);
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'processing', started_at = {NOW}, worker = 'w', fence = '2.x' WHERE id = 'works'"
    ));
    let somebody_else = PlannedRetry { user_id: Some(String::from("ben")), ..planned("owner", 1) };
    let plan = [
        planned("again", 1),
        planned("again", 2),
        planned("app", 1),
        planned("deleted", 1),
        planned("done", 1),
        planned("late", 7),
        planned("nowhere", 1),
        somebody_else,
        planned("settled", 1),
        planned("works", 2),
    ];
    let expected = [
        ("again", "already_retried"),
        ("again", "changed"),
        ("app", "balance_elsewhere"),
        ("deleted", "deleted"),
        ("done", "changed"),
        ("late", "changed"),
        ("nowhere", "not_found"),
        ("owner", "not_found"),
        ("settled", "settled_elsewhere"),
        ("works", "changed"),
    ];
    let seen = previewed(&database, &plan);
    assert!(seen.creations.is_empty());
    let codes: Vec<_> =
        seen.skipped.iter().map(|skipped| (skipped.id.as_str(), skipped.reason.code())).collect();
    assert_eq!(codes, expected);
    let outcome = applied(&database, &plan, "01890a5d-ac97-774b-bcce-b302099a8057");
    assert_eq!((ids(&outcome), left(&outcome)), (vec![], expected.to_vec()));
    assert_eq!(outcome.skipped[9].reason.to_string(), "it has moved on: it is `processing` now, attempt 2");
    adds_up(&database);
    // Nothing was done, so nothing is noted.
    assert_eq!(
        database.read("SELECT count(*) FROM stale_drafts_audit WHERE id LIKE '01890a5d-ac97%'"),
        [json!([0])]
    );
}

#[test]
fn what_moves_to_another_database_waits_and_the_others_do_not() {
    let database = database();
    failed(&database, "a", json!({}));
    failed(&database, "b", json!({ "user_id": "ben" }));
    let moves = |state: &str| {
        database.write(&format!(
            "DELETE FROM stale_drafts_moving_users; DELETE FROM stale_drafts_moves;
             INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
             VALUES ('m', 'source', 0, 4095, 'DB2', '{state}', {NOW}, {NOW}, {NOW});
             INSERT INTO stale_drafts_moving_users VALUES ('anna', 'm')"
        ));
    };
    moves("paused");
    let plan = [planned("a", 1), planned("b", 1)];
    assert_eq!(previewed(&database, &plan).skipped[0].reason, RetrySkip::Moving);
    let outcome = applied(&database, &plan, AUDIT_ID);
    assert_eq!((ids(&outcome), left(&outcome)), (vec!["b"], vec![("a", "moving")]));
    // It has stayed: then it is like any other.
    moves("cancelled");
    assert_eq!(ids(&applied(&database, &plan, "01890a5d-ac97-774b-bcce-b302099a8057")), ["a"]);
    adds_up(&database);
}

#[test]
fn one_row_that_the_database_rejects_is_named_and_the_others_go_through() {
    let database = database();
    let names: Vec<_> = (0..16).map(|number| format!("c{number:02}")).collect();
    for id in &names {
        failed(&database, id, json!({}));
    }
    database.write(
        "CREATE TRIGGER refuse AFTER UPDATE ON stale_drafts_creations WHEN NEW.id IN ('c05', 'c11')
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    );
    let plan: Vec<_> = names.iter().map(|id| planned(id, 1)).collect();
    let outcome = applied(&database, &plan, AUDIT_ID);
    assert_eq!(outcome.retried.len(), 14);
    assert_eq!(left(&outcome), [("c05", "rejected"), ("c11", "rejected")]);
    assert!(outcome.skipped[0].reason.to_string().contains("not this one"));
    adds_up(&database);
    // Each of its transactions has a row of its own, and together they say how many.
    let counted = database.read(
        "SELECT sum(CAST(detail AS INTEGER)), count(*) = count(DISTINCT id) FROM stale_drafts_audit WHERE action = 'retry_many'",
    );
    assert_eq!(counted, [json!([14, 1])]);
    // Within its queries it does what it can, and names the rest.
    let plan: Vec<_> = ["c05", "c11"].iter().map(|id| planned(id, 1)).collect();
    let divided = Divided::new(&plan, 1, |_| Some(0)).unwrap();
    let bounded = RetryRequest { max_queries: 10, ..request("01890a5d-ac97-774b-bcce-b302099a8057") };
    let outcome = wait(apply(&Shard::one(&database), &divided, bounded));
    assert_eq!(left(&outcome), [("c05", "rejected"), ("c11", "not_tried")]);
}

/// A database that can be away.
struct Shaky(Sqlite, Cell<bool>);

impl Database for Shaky {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        if self.1.get() { Err(DatabaseError::new("it is away")) } else { self.0.run(batch).await }
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }
}

#[test]
fn a_database_that_is_away_keeps_nothing_from_the_others() {
    let shards = [Shaky(database(), Cell::new(false)), Shaky(database(), Cell::new(true))];
    failed(&shards[0].0, "a", json!({}));
    failed(&shards[1].0, "b", json!({ "user_id": "ben" }));
    let named = [Shard { name: "DB", database: &shards[0] }, Shard { name: "DB2", database: &shards[1] }];
    let found = wait(find(&named, &Sought::default(), &Places::new(), 10));
    assert_eq!(found.plan.len(), 1);
    assert_eq!(found.missing, [(String::from("DB2"), DatabaseError::new("it is away"))]);
    // What is away is asked again.
    assert!(found.next.unwrap().get("DB2").unwrap().is_some());
    let plan = [planned("b", 1), planned("a", 1)];
    let of = |planned: &PlannedRetry| Some(usize::from(planned.id == "b"));
    let divided = Divided::new(&plan, 2, of).unwrap();
    let seen = wait(preview(&named, &divided));
    assert_eq!((seen.creations.len(), seen.skipped[0].reason.code()), (1, "unreachable"));
    let outcome = wait(apply(&named, &divided, request(AUDIT_ID)));
    assert_eq!((ids(&outcome), left(&outcome)), (vec!["a"], vec![("b", "unreachable")]));
    assert_eq!(outcome.written, [0]);
    shards[1].1.set(false);
    let outcome = wait(apply(&named, &divided, request("01890a5d-ac97-774b-bcce-b302099a8057")));
    assert_eq!((ids(&outcome), left(&outcome)), (vec!["b"], vec![("a", "already_retried")]));
    // An id that does not say where it is belongs nowhere.
    let unknown = Divided::new(&plan, 2, |planned| Bucket::of_id(&planned.id).map(|_| 0));
    assert_eq!(unknown.unwrap_err().0, 0);
}

#[test]
fn what_is_sought_is_found_page_by_page_as_plain_sql_finds_it() {
    let shards = [database(), database()];
    for number in 0..300_u64 {
        let pick = |words: &[&str]| Value::from(words[number as usize % words.len()]);
        let of = &shards[usize::from(number % 7 == 0)];
        let id = format!("c{number:03}");
        let columns = json!({
            "user_id": pick(&["anna", "ben"]), "kind": pick(&["image", "video", "image"]), "tokens": 1,
            "created_at": NOW - HOUR + number * 1_000, "error_code": pick(&["provider_down", "refused", "x", "provider_down"]),
        });
        if number % 5 == 0 {
            add(of, &id, json!({ "status": "draft" }));
        } else {
            failed(of, &id, columns);
        }
        if number % 11 == 1 {
            of.write(&format!(
                "UPDATE stale_drafts_creations SET deleted_at = {NOW} WHERE id = '{id}' AND status = 'failed'"
            ));
        }
    }
    let named = [Shard { name: "DB", database: &shards[0] }, Shard { name: "DB2", database: &shards[1] }];
    let sought = [
        (Sought::default(), String::from("true")),
        (Sought { kind: Some("video"), ..Sought::default() }, String::from("kind = 'video'")),
        (
            Sought { error_code: Some("provider_down"), user_id: Some("ben"), ..Sought::default() },
            String::from("error_code = 'provider_down' AND user_id = 'ben'"),
        ),
        (
            Sought {
                since: Some(at(NOW - HOUR + 50_000)),
                until: Some(at(NOW - HOUR + 90_000)),
                ..Sought::default()
            },
            format!("created_at >= {} AND created_at < {}", NOW - HOUR + 50_000, NOW - HOUR + 90_000),
        ),
    ];
    for (sought, condition) in sought {
        let mut expected: Vec<_> = shards
            .iter()
            .flat_map(|shard| {
                shard.read(&format!(
                    "SELECT id FROM stale_drafts_creations WHERE status = 'failed' AND deleted_at IS NULL AND {condition}"
                ))
            })
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect();
        expected.sort();
        for limit in [1, 7, 1_000] {
            let (mut ids, mut from, mut pages) = (Vec::new(), Places::new(), 0);
            loop {
                let found = wait(find(&named, &sought, &from, limit));
                assert!(found.plan.len() <= limit as usize);
                ids.extend(found.plan.into_iter().map(|planned| planned.id));
                pages += 1;
                assert!(pages < 400, "it goes on for ever");
                match found.next {
                    Some(next) => from = next,
                    None => break,
                }
            }
            ids.sort();
            assert_eq!(ids, expected, "{condition}, {limit} at a time");
        }
    }
}

#[test]
fn a_question_looks_at_a_bounded_number_of_rows_and_says_how_far_back() {
    let database = database();
    failed(&database, "old", json!({}));
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {0})
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT 'p' || n, 'ben', 'image', '', 'draft', 0, {NOW} + n FROM n",
        4 * LOOKED_AT + 10
    ));
    let named = Shard::one(&database);
    let first = wait(find(&named, &Sought::default(), &Places::new(), 10));
    assert_eq!((first.plan.len(), first.back_to), (0, Some(i64::try_from(NOW).unwrap() + 11)));
    let second = wait(find(&named, &Sought::default(), &first.next.unwrap(), 10));
    assert_eq!((second.plan.len(), second.back_to, second.next), (1, None, None));
}

#[test]
fn a_plan_is_found_by_the_primary_key() {
    let database = database();
    let rows: Vec<_> = (0..3)
        .map(|place| stale_drafts::store::RetryRow { place, id: "a", user_id: None, attempt: 1 })
        .collect();
    let batch = retry_many(&rows, request(AUDIT_ID).audit, 4, now());
    for statement in batch.iter().chain([&retry_state(&rows, "")]) {
        let sql =
            (1..=5).fold(statement.sql.to_owned(), |sql, number| sql.replace(&format!("?{number}"), "'1'"));
        let steps = database.read(&format!("EXPLAIN QUERY PLAN {sql}"));
        let steps: Vec<_> = steps.iter().map(|step| step[3].as_str().unwrap()).collect();
        // Only what is in the plan itself is walked through.
        let walks = |step: &&&str| {
            step.starts_with("SCAN")
                && !["SCAN j", "SCAN (subquery", "SCAN CONSTANT ROW"].iter().any(|of| step.starts_with(of))
        };
        let scans: Vec<_> = steps.iter().filter(walks).collect();
        assert!(scans.is_empty(), "{}\n{steps:#?}", statement.sql);
    }
}
