//! Where a creation is, of one database and of two.

use std::cell::RefCell;

use serde_json::json;
use stale_drafts::config::{Config, Shards};
use stale_drafts::rules::Bucket;
use stale_drafts::service::find::{Found, find};
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{Cost, Database, DatabaseError, Row, Statement};

use crate::sqlite::{Sqlite, wait};
use crate::{ONE_DATABASE, add, database};

/// A database that counts what it is asked, and may answer nothing.
struct Asked<'a> {
    database: &'a Sqlite,
    queries: RefCell<u32>,
    silent: bool,
}

impl Database for Asked<'_> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        *self.queries.borrow_mut() += 1;
        if self.silent {
            return Err(DatabaseError::new("the database does not answer"));
        }
        self.database.transaction(batch)
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

/// What is found, which of them were asked for the creation, and how many queries each had.
type Outcome = (Result<Found<usize>, String>, Vec<usize>, Vec<u32>);

fn look(
    databases: &[&Sqlite],
    silent: Option<usize>,
    configured: &Shards,
    id: &str,
    user_id: Option<&str>,
) -> Outcome {
    let counting: Vec<_> = databases
        .iter()
        .enumerate()
        .map(|(at, database)| Asked { database, queries: RefCell::new(0), silent: silent == Some(at) })
        .collect();
    let shards: Vec<_> = counting.iter().map(|database| Shard { name: "D", database }).collect();
    let asked = RefCell::new(Vec::new());
    let ask = async |at: usize, database: &Asked<'_>| -> Result<Option<usize>, DatabaseError> {
        asked.borrow_mut().push(at);
        let sql = format!("SELECT id FROM stale_drafts_creations WHERE id = '{id}'");
        Ok((!database.database.read(&sql).is_empty()).then_some(at))
    };
    let found = wait(find(&shards, configured, id, user_id, false, ask)).map_err(|error| error.to_string());
    let queries = counting.iter().map(|database| *database.queries.borrow()).collect();
    (found, asked.into_inner(), queries)
}

/// Two databases, each with half of the buckets.
pub fn halves() -> Shards {
    let shards = json!([{ "binding": "A", "buckets": "0-2047" }, { "binding": "B", "buckets": "2048-4095" }]);
    Config::from_json(&json!({ "shards": shards })).unwrap().shards
}

/// A user of the first half of the buckets, or of the second.
pub fn user(second: bool) -> String {
    let is = |user: &String| (Bucket::of_user(user).number() > 2_047) == second;
    (0..).map(|n| format!("user-{n}")).find(is).unwrap()
}

#[test]
fn a_single_database_is_asked_once() {
    let one = database();
    add(&one, "a", json!({}));
    for (user_id, more) in [(None, 0), (Some("anna"), 1)] {
        let asked = vec![more];
        assert_eq!(
            look(&[&one], None, &ONE_DATABASE, "a", user_id),
            (Ok(Found::Here(0)), vec![0], asked.clone())
        );
        assert_eq!(look(&[&one], None, &ONE_DATABASE, "b", user_id), (Ok(Found::Nowhere), vec![0], asked));
    }
    // It is nobody else's.
    assert_eq!(look(&[&one], None, &ONE_DATABASE, "a", Some("ben")), (Ok(Found::Nowhere), vec![], vec![1]));
}

#[test]
fn of_two_the_owners_is_asked_or_the_one_of_the_id_or_the_one_that_knows_it() {
    let [first, second] = [database(), database()];
    let (one, other) = (user(false), user(true));
    let in_second = "019acf1e-7a00-8fff-9c3d-2f1e0a9b8c7d";
    let elsewhere = "019acf1e-7a00-8000-9c3d-2f1e0a9b8c7d";
    for id in ["own", "of both", in_second, elsewhere] {
        add(&second, id, json!({ "user_id": other, "tokens": 0 }));
    }
    add(&first, "of both", json!({ "user_id": one, "tokens": 0 }));
    let of = |id: &str, user_id: Option<&str>| look(&[&first, &second], None, &halves(), id, user_id);
    // By the owner, and nobody else is asked.
    assert_eq!(of("own", Some(&other)), (Ok(Found::Here(1)), vec![1], vec![0, 1]));
    assert_eq!(of("own", Some(&one)), (Ok(Found::Nowhere), vec![0], vec![1, 0]));
    // By the id; and where it is not, by whoever knows it.
    assert_eq!(of(in_second, None), (Ok(Found::Here(1)), vec![1], vec![0, 0]));
    assert_eq!(of(elsewhere, None), (Ok(Found::Here(1)), vec![0, 1], vec![1, 1]));
    // An app's own id says nothing.
    assert_eq!(of("own", None), (Ok(Found::Here(1)), vec![1], vec![1, 1]));
    assert_eq!(of("nobody's", None), (Ok(Found::Nowhere), vec![], vec![1, 1]));
    assert_eq!(
        of("of both", None),
        (Ok(Found::OfSeveral(vec![one.clone(), other.clone()])), vec![], vec![1, 1])
    );
    // On the way to another one both have it: that of the configuration is the one.
    add(&first, "own", json!({ "user_id": other, "tokens": 0 }));
    assert_eq!(of("own", None), (Ok(Found::Here(1)), vec![1], vec![1, 1]));
}

#[test]
fn what_may_be_where_no_answer_comes_from_is_not_nowhere() {
    let [first, second] = [database(), database()];
    let (one, other) = (user(false), user(true));
    add(&second, "b", json!({ "user_id": other, "tokens": 0 }));
    add(&second, "a", json!({ "user_id": one, "tokens": 0 }));
    let silent = Err(String::from("the database does not answer"));
    let of = |id: &str| look(&[&first, &second], Some(0), &halves(), id, None).0;
    assert_eq!(of("nobody's"), silent);
    assert_eq!(of("b"), Ok(Found::Here(1)));
    // A copy that is on its way counts only where its home says so.
    assert_eq!(of("a"), silent);
}
