//! How many creations of one owner may be active when another one is made.

use serde_json::json;
use stale_drafts::rules::{ActiveLimits, MaxActive};
use stale_drafts::service::creations::{self, ReportError};
use stale_drafts::store::NewCreation;

use crate::sqlite::{Sqlite, wait};
use crate::{add, database, now};

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
