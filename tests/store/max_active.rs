//! How many creations of one owner may be active when another one is made.

use serde_json::{Value, json};
use stale_drafts::rules::{ActiveLimits, MaxActive, Policy, Report};
use stale_drafts::service::creations::{self, ReportError};
use stale_drafts::store::{self, Cost, Database, DatabaseError, Details, NewCreation, Row, Statement};

use crate::archive::hold;
use crate::sqlite::{Sqlite, wait};
use crate::{add, database, now, policy};

fn limits(of_all: f64, of_kind: f64) -> ActiveLimits {
    ActiveLimits { of_all: MaxActive::checked(of_all), of_kind: MaxActive::checked(of_kind) }
}

/// Whether one is made, or which limit refuses and how many are active.
fn make(
    database: &Sqlite,
    id: &str,
    kind: &str,
    limits: ActiveLimits,
) -> Result<(), (u32, Option<String>, usize)> {
    let new = NewCreation { id, user_id: "anna", kind, prompt: "a fox", tokens: 5 };
    match wait(creations::create_within(database, new, limits, now())) {
        Ok(row) => {
            assert_eq!(row.creation.id, id);
            Ok(())
        }
        Err(ReportError::TooManyActive { limit, kind, active }) => Err((limit, kind, active.len())),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn exactly_as_many_as_the_limit_are_made() {
    let database = database();
    add(&database, "another's", json!({ "user_id": "ben" }));
    add(&database, "over", json!({ "status": "draft" }));
    for id in ["a", "b"] {
        assert_eq!(make(&database, id, "image", limits(2.0, 0.0)), Ok(()));
    }
    assert_eq!(make(&database, "c", "video", limits(2.0, 0.0)), Err((2, None, 2)));
    // It is there already: it is answered as before.
    assert_eq!(make(&database, "a", "image", limits(2.0, 0.0)), Ok(()));
    assert_eq!(make(&database, "c", "video", limits(3.0, 0.0)), Ok(()));
    let charged =
        database.read("SELECT count(*) FROM stale_drafts_ledger WHERE type = 'charge' AND user_id = 'anna'");
    assert_eq!(charged, [json!([4])]);
}

#[test]
fn of_a_kind_that_has_as_many_as_may_be_only_these_are_named() {
    let database = database();
    for at in 0..120 {
        add(&database, &format!("other-{at:03}"), json!({ "kind": "image" }));
    }
    for id in ["v1", "v2"] {
        add(&database, id, json!({ "kind": "video" }));
    }
    // They are found behind more of another kind than are listed.
    let ids = |id: &str, limits: ActiveLimits| {
        let new = NewCreation { id, user_id: "anna", kind: "video", prompt: "a fox", tokens: 0 };
        match wait(creations::create_within(&database, new, limits, now())) {
            Err(ReportError::TooManyActive { limit, kind, active }) => {
                (limit, kind, active.into_iter().map(|row| row.id).collect::<Vec<_>>())
            }
            other => panic!("{other:?}"),
        }
    };
    let video = Some(String::from("video"));
    assert_eq!(ids("v3", limits(0.0, 2.0)), (2, video.clone(), vec![String::from("v1"), String::from("v2")]));
    assert_eq!(ids("v3", limits(200.0, 2.0)).1, video);
    // Of all kinds any of them may end.
    let (limit, kind, named) = ids("v3", limits(50.0, 0.0));
    assert_eq!((limit, kind, named.len()), (50, None, 100));
}

#[test]
fn a_kind_has_its_own_limit_beside_that_of_all() {
    let database = database();
    let both = limits(3.0, 1.0);
    assert_eq!(make(&database, "a", "video", both), Ok(()));
    assert_eq!(make(&database, "b", "video", both), Err((1, Some(String::from("video")), 1)));
    assert_eq!(make(&database, "b", "image", both), Ok(()));
    assert_eq!(make(&database, "c", "song", both), Ok(()));
    assert_eq!(make(&database, "d", "other", both), Err((3, None, 3)));
    assert_eq!(make(&database, "d", "video", limits(0.0, 2.0)), Ok(()));
}

#[test]
fn more_than_are_listed_are_counted_all_the_same() {
    let database = database();
    for number in 0..120 {
        add(&database, &format!("c{number}"), json!({ "tokens": 0 }));
    }
    assert_eq!(make(&database, "x", "image", limits(120.0, 0.0)), Err((120, None, 100)));
    assert_eq!(
        make(&database, "x", "image", limits(0.0, 120.0)),
        Err((120, Some(String::from("image")), 100))
    );
    assert_eq!(make(&database, "x", "image", limits(121.0, 121.0)), Ok(()));
}

/// A failed creation of this kind, of `anna`.
fn failed(database: &Sqlite, id: &str, kind: &str) {
    add(database, id, json!({ "kind": kind }));
    database.write(&format!("UPDATE stale_drafts_creations SET status = 'failed', error = 'it broke', error_code = 'broken' WHERE id = '{id}'"));
}

/// Whether `user_id`, or an operator if that is empty, retries its first attempt.
fn retry(
    database: &impl Database,
    id: &str,
    user_id: &str,
    policy: &Policy,
) -> Result<u32, (u32, Option<String>, Vec<String>)> {
    let details = Details {
        user_id,
        max_active: (!user_id.is_empty()).then_some(policy),
        notify: 1,
        ..Details::default()
    };
    match wait(creations::report(database, id, Report::Retry { attempt: 1 }, details, now())) {
        Ok(row) => Ok(row.creation.attempt),
        Err(ReportError::TooManyActive { limit, kind, active }) => {
            Err((limit, kind, active.into_iter().map(|row| row.id).collect()))
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn an_owners_retry_counts_and_an_operators_does_not() {
    let database = database();
    for id in ["a", "b", "c"] {
        failed(&database, id, "image");
    }
    add(&database, "another's", json!({ "user_id": "ben" }));
    let policy = policy(&[(&["max_active"], 1.0)]);
    assert_eq!(retry(&database, "a", "anna", &policy), Ok(2));
    let before = database.read("SELECT * FROM stale_drafts_creations");
    assert_eq!(retry(&database, "b", "anna", &policy), Err((1, None, vec![String::from("a")])));
    // Nothing was changed, charged or recorded.
    assert_eq!(database.read("SELECT * FROM stale_drafts_creations"), before);
    assert_eq!(database.read("SELECT creation_id FROM stale_drafts_attempts"), [json!(["a"])]);
    assert_eq!(
        database.read("SELECT entry_key FROM stale_drafts_ledger WHERE entry_key GLOB 'charge2:*'"),
        [json!(["charge2:a"])]
    );
    // It is answered as before.
    assert_eq!(retry(&database, "a", "anna", &policy), Ok(2));
    assert_eq!(retry(&database, "b", "", &policy), Ok(2));
    let both = vec![String::from("a"), String::from("b")];
    assert_eq!(retry(&database, "c", "anna", &policy), Err((1, None, both)));
    hold(&database);
}

#[test]
fn a_retry_is_held_to_the_limit_of_its_kind_beside_that_of_all() {
    let database = database();
    for (id, kind) in [("a", "video"), ("b", "video"), ("c", "image"), ("d", "song"), ("e", "image")] {
        failed(&database, id, kind);
    }
    let both = policy(&[(&["max_active"], 3.0), (&["kinds", "video", "max_active"], 1.0)]);
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(retry(&database, "a", "anna", &both), Ok(2));
    assert_eq!(retry(&database, "b", "anna", &both), Err((1, Some(String::from("video")), ids(&["a"]))));
    assert_eq!(retry(&database, "c", "anna", &both), Ok(2));
    assert_eq!(retry(&database, "d", "anna", &both), Ok(2));
    assert_eq!(retry(&database, "e", "anna", &both), Err((3, None, ids(&["c", "a", "d"]))));
    let of_kind = policy(&[(&["kinds", "video", "max_active"], 2.0)]);
    assert_eq!(retry(&database, "e", "anna", &of_kind), Ok(2));
    assert_eq!(retry(&database, "b", "anna", &of_kind), Ok(2));
    hold(&database);
}

/// Somebody else makes one between what is read of a retry and what is written, if anything is.
struct Beside<'a>(&'a Sqlite);

impl Database for Beside<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        if batch.iter().any(|statement| statement.sql.contains("UPDATE")) {
            add(self.0, "beside", json!({}));
        }
        self.0.run(batch).await
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

#[test]
fn of_a_retry_and_a_creation_at_once_one_passes() {
    let database = database();
    failed(&database, "a", "image");
    let policy = policy(&[(&["max_active"], 1.0)]);
    let refused = retry(&Beside(&database), "a", "anna", &policy);
    assert_eq!(refused, Err((1, None, vec![String::from("beside")])));
    hold(&database);
}

#[test]
fn a_retry_within_limits_reads_only_what_is_active_of_its_owner() {
    let database = database();
    failed(&database, "a", "image");
    let policy = policy(&[(&["max_active"], 1.0), (&["kinds", "image", "max_active"], 1.0)]);
    let details = Details { user_id: "anna", max_active: Some(&policy), ..Details::default() };
    for statement in store::report("a", &Report::Retry { attempt: 1 }, &details, now()) {
        let mut sql = statement.sql.to_owned();
        for number in 1..=6 {
            sql = sql.replace(&format!("?{number}"), "'1'");
        }
        let scans: Vec<_> = database
            .read(&format!("EXPLAIN QUERY PLAN {sql}"))
            .into_iter()
            .filter(|step| step[3].as_str().unwrap().starts_with("SCAN stale"))
            .collect();
        assert_eq!(scans, [] as [Value; 0], "{sql}");
    }
}

#[test]
fn what_a_trigger_of_the_app_skips_is_not_there_and_no_limit_is_blamed() {
    let database = database();
    database.write(
        "CREATE TRIGGER apps_own BEFORE INSERT ON stale_drafts_creations BEGIN SELECT RAISE(IGNORE); END",
    );
    let new = NewCreation { id: "a", user_id: "anna", kind: "image", prompt: "a fox", tokens: 5 };
    assert!(matches!(wait(creations::create(&database, new, now())), Err(ReportError::NotFound)));
    assert_eq!(database.read("SELECT count(*) FROM stale_drafts_ledger WHERE type = 'charge'"), [json!([0])]);
}

#[test]
fn a_retry_that_a_trigger_of_the_app_skips_was_not_carried_out() {
    let database = database();
    add(&database, "a", json!({ "status": "failed", "finished_at": 1, "error_code": "x", "error": "y" }));
    database.write(
        "CREATE TRIGGER apps_own BEFORE UPDATE ON stale_drafts_creations BEGIN SELECT RAISE(IGNORE); END",
    );
    let report = Report::Retry { attempt: 1 };
    match wait(creations::report(&database, "a", report, Details::default(), now())) {
        Err(ReportError::Database(error)) => {
            assert_eq!(error.to_string(), "the report was not carried out");
        }
        other => panic!("{other:?}"),
    }
}
