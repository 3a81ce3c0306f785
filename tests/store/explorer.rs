//! What operators find creations by: every question against plain SQL, over one database and over three.

use std::cell::Cell;

use serde_json::{Value, json};
use stale_drafts::rules::Timestamp;
use stale_drafts::service::explorer::{Explored, Places, ROUNDS, newest, silent};
use stale_drafts::service::shards::Shard;
use stale_drafts::store::{
    self, Cost, Database, DatabaseError, LOOKED_AT, Outline, Reversed, Row, Sought, Statement,
};

use crate::find::{halves, user};
use crate::sqlite::{Sqlite, wait};
use crate::{HOUR, MINUTE, NOW, ONE_DATABASE, add, at, database};

/// A database that can be away, and counts what it is asked.
struct Shaky {
    sqlite: Sqlite,
    away: Cell<bool>,
    queries: Cell<u64>,
}

impl Shaky {
    fn new(sqlite: Sqlite) -> Self {
        Shaky { sqlite, away: Cell::new(false), queries: Cell::new(0) }
    }
}

impl Database for Shaky {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        if self.away.get() {
            return Err(DatabaseError::new("it is away"));
        }
        self.queries.set(self.queries.get() + batch.len() as u64);
        self.sqlite.run(batch).await
    }

    fn cost(&self) -> Cost {
        self.sqlite.cost()
    }
}

fn ids(explored: &Explored) -> Vec<String> {
    explored.rows.iter().map(|row| row.creation.id.clone()).collect()
}

/// Every page of what is sought, one after the other, and how many pages that were.
fn all<D: Database>(shards: &[Shard<'_, D>], sought: &Sought<'_>, limit: u32) -> (Vec<String>, u32) {
    let (mut found, mut pages, mut from) = (Vec::new(), 0, Places::new());
    loop {
        let page = wait(newest(shards, &ONE_DATABASE, sought, &from, limit));
        assert!(page.missing.is_empty(), "{:?}", page.missing);
        assert!(page.rows.len() <= limit as usize);
        found.extend(ids(&page));
        pages += 1;
        assert!(pages < 1_000, "it goes on for ever");
        match page.next {
            Some(next) => from = next,
            None => return (found, pages),
        }
    }
}

/// A few hundred creations that differ in everything that can be sought.
fn many() -> Sqlite {
    let database = database();
    for number in 0..240_u64 {
        let pick = |words: &[&str]| Value::from(words[number as usize % words.len()]);
        let status = ["pending", "draft", "failed", "published", "failed"][number as usize % 5];
        let failed = status == "failed";
        add(
            &database,
            &format!("c{number}"),
            json!({
                "user_id": pick(&["anna", "ben", "ben"]),
                "kind": pick(&["image", "video"]),
                "status": status,
                "tokens": 1,
                "created_at": NOW - (240 - number) * MINUTE,
                // Now and then a time that is none.
                "finished_at": match (failed, number % 35) {
                    (false, _) => Value::Null,
                    (true, 2) => Value::from("soon"),
                    (true, _) => Value::from(NOW - (240 - number) * MINUTE + number % 20 * MINUTE),
                },
                "error_code": if failed { pick(&["provider_down", "refused", "unknown"]) } else { Value::Null },
                "error": if failed { Value::from("no") } else { Value::Null },
            }),
        );
    }
    database
}

/// What may be sought: how SQL says it, and how a question does.
type Condition = (String, Box<dyn Fn(&mut Sought<'static>)>);

fn word(column: &str, word: &'static str, set: fn(&mut Sought<'static>, &'static str)) -> Condition {
    (format!("{column} = '{word}'"), Box::new(move |sought| set(sought, word)))
}

fn time(sql: &str, minutes_ago: u64, set: fn(&mut Sought<'static>, Timestamp)) -> Condition {
    let time = at(NOW - minutes_ago * MINUTE);
    (format!("{sql} {}", time.as_millis()), Box::new(move |sought| set(sought, time)))
}

#[test]
fn whatever_is_sought_is_what_sql_finds() {
    let database = many();
    let shards = Shard::one(&database);
    let failed = |sql| format!("status = 'failed' AND typeof(finished_at) = 'integer' AND finished_at {sql}");
    let conditions = [
        vec![
            word("user_id", "anna", |sought, user_id| sought.user_id = Some(user_id)),
            word("user_id", "nobody", |sought, user_id| sought.user_id = Some(user_id)),
        ],
        vec![
            word("status", "failed", |sought, status| sought.status = Some(status)),
            word("status", "pending", |sought, status| sought.status = Some(status)),
        ],
        vec![word("kind", "video", |sought, kind| sought.kind = Some(kind))],
        vec![word("error_code", "provider_down", |sought, code| sought.error_code = Some(code))],
        vec![time("created_at >=", 100, |sought, since| sought.since = Some(since))],
        vec![time("created_at <", 50, |sought, until| sought.until = Some(until))],
        vec![time(&failed(">="), 90, |sought, since| sought.failed_since = Some(since))],
        vec![time(&failed("<"), 60, |sought, until| sought.failed_until = Some(until))],
    ];
    // With none of the conditions, and with each of them, beside all that came before.
    let mut questions = vec![(Sought::default(), String::from("true"))];
    for either in &conditions {
        for (sought, sql) in questions.clone() {
            questions.extend(either.iter().map(|(also, set)| {
                let mut sought = sought;
                set(&mut sought);
                (sought, format!("{sql} AND {also}"))
            }));
        }
    }
    assert_eq!(questions.len(), 3 * 3 * 64);
    let mut some = 0;
    for (sought, sql) in questions {
        let sql = format!("SELECT id FROM stale_drafts_creations WHERE {sql} ORDER BY created_at DESC");
        let id = |row: Value| row[0].as_str().unwrap().to_owned();
        let expected: Vec<String> = database.read(&sql).into_iter().map(id).collect();
        some += usize::from(sought.failed_since.is_some() && !expected.is_empty());
        for limit in [7, 100] {
            assert_eq!(all(&shards, &sought, limit).0, expected, "{sought:?} by {limit}");
        }
    }
    assert!(some > 20);
}

#[test]
fn what_sweeps_failed_is_found_by_its_rule() {
    let database = database();
    add(&database, "a", json!({}));
    add(&database, "b", json!({}));
    database.write(&format!(
        "UPDATE stale_drafts_creations SET status = 'failed', error = 'x', error_code = 'generation_timeout', finished_at = {NOW},
           stuck_status = 'pending', age_ms = 2, max_age_ms = 1, rule = 'max_age_hours', sweep_id = 's' WHERE id = 'b'"
    ));
    let found = |rule| all(&Shard::one(&database), &Sought { rule: Some(rule), ..Sought::default() }, 9).0;
    assert_eq!(found("max_age_hours"), ["b"]);
    assert_eq!(found("kinds.video.max_age_hours"), [""; 0]);
}

/// As many creations as ten windows have, and one in each that is sought; most of those in the middle are gone.
fn long() -> Sqlite {
    let database = Sqlite::new();
    let rows = u64::from(LOOKED_AT) * 10;
    database.write(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < {rows} - 1)
         INSERT INTO stale_drafts_creations (id, user_id, kind, prompt, status, tokens, created_at)
         SELECT 'c' || n, 'anna', iif(n % {LOOKED_AT} = 7, 'video', 'image'), '', 'draft', 0, {NOW} - ({rows} - n) FROM n"
    ));
    database.write(&format!(
        "DELETE FROM stale_drafts_creations WHERE kind = 'image' AND rowid BETWEEN {} AND {}",
        2 * LOOKED_AT,
        8 * LOOKED_AT
    ));
    database
}

#[test]
fn a_page_looks_at_a_bounded_number_of_rows_and_the_next_one_goes_on() {
    let database = Shaky::new(long());
    let shards = Shard::one(&database);
    let sought = Sought { kind: Some("video"), ..Sought::default() };
    let expected: Vec<_> = (0..10).rev().map(|n| format!("c{}", n * LOOKED_AT + 7)).collect();
    assert_eq!(all(&shards, &sought, 100).0, expected);
    assert_eq!(all(&shards, &sought, 1).0, expected);
    let before = database.queries.get();
    let page =
        wait(newest(&shards, &ONE_DATABASE, &Sought { kind: Some("audio"), ..sought }, &Places::new(), 100));
    assert_eq!(database.queries.get() - before, u64::from(ROUNDS) * 2);
    assert!(page.rows.is_empty() && page.next.is_some());
    // So far back, and not one row further.
    let looked_at = page.next.unwrap()["DB"].unwrap().0;
    let oldest = database.sqlite.read(&format!(
        "SELECT listed_at FROM stale_drafts_creations WHERE rowid >= {looked_at} ORDER BY rowid LIMIT 1"
    ));
    assert_eq!(page.back_to, oldest[0][0].as_i64());
}

#[test]
fn no_page_leads_to_an_empty_one() {
    let (databases, expected) = three();
    for limit in [1, 4, 6, 10, 60] {
        let pages = expected.len().div_ceil(limit as usize) as u32;
        assert_eq!(all(&named(&databases), &Sought::default(), limit).1, pages, "newest by {limit}");
        let (mut silents, mut from) = (0, Some(Places::new()));
        while let Some(place) = from {
            from = wait(silent(&named(&databases), &ONE_DATABASE, None, None, &place, limit)).next;
            silents += 1;
        }
        assert_eq!(silents, pages, "silent by {limit}");
    }
}

#[test]
fn where_nothing_is_the_list_is_empty_and_at_its_end() {
    let database = Sqlite::new();
    let page = wait(newest(&Shard::one(&database), &ONE_DATABASE, &Sought::default(), &Places::new(), 5));
    assert!(page.rows.is_empty() && page.next.is_none() && page.back_to.is_none());
    let page = wait(silent(&Shard::one(&database), &ONE_DATABASE, None, None, &Places::new(), 5));
    assert!(page.rows.is_empty() && page.next.is_none());
}

/// Three databases, whose creations were made one after the other, now here and now there.
fn three() -> ([Shaky; 3], Vec<String>) {
    let databases = [(); 3].map(|()| Shaky::new(database()));
    let mut newest = Vec::new();
    for number in 0..60_u64 {
        let id = format!("c{number}");
        let place = (number * number % 7 % 3) as usize;
        add(
            &databases[place].sqlite,
            &id,
            json!({ "created_at": NOW - (60 - number) * MINUTE, "tokens": 0 }),
        );
        newest.insert(0, id);
    }
    (databases, newest)
}

fn named(databases: &[Shaky; 3]) -> [Shard<'_, Shaky>; 3] {
    [0, 1, 2].map(|at| Shard { name: ["A", "B", "C"][at], database: &databases[at] })
}

#[test]
fn over_several_databases_there_is_one_order() {
    let (databases, expected) = three();
    for limit in [1, 4, 7, 100] {
        assert_eq!(all(&named(&databases), &Sought::default(), limit).0, expected, "by {limit}");
    }
}

#[test]
fn a_database_that_does_not_answer_is_named_and_asked_again_by_the_next_page() {
    let (databases, expected) = three();
    databases[1].away.set(true);
    let page = wait(newest(&named(&databases), &ONE_DATABASE, &Sought::default(), &Places::new(), 100));
    assert_eq!(page.missing.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["B"]);
    // Of what it has nobody knows how old it is, so nothing is said of how far back the page has looked.
    assert_eq!(page.back_to, None);
    databases[1].away.set(false);
    let rest =
        wait(newest(&named(&databases), &ONE_DATABASE, &Sought::default(), &page.next.clone().unwrap(), 100));
    assert!(rest.missing.is_empty() && rest.next.is_none());
    let mut both = [ids(&page), ids(&rest)].concat();
    both.sort_by_key(|id| expected.iter().position(|one| one == id));
    assert_eq!(both, expected);
}

#[test]
fn what_moves_is_in_two_databases_and_shown_once_by_the_one_that_has_its_bucket() {
    let (configured, user) = (halves(), user(true));
    let databases = ["A", "B"].map(|name| {
        let database = database();
        for (id, user) in [("c1", user.as_str()), ("c2", "anna")] {
            // What does not move is shown wherever it is.
            if (id, name) != ("c2", "B") {
                add(&database, id, json!({ "user_id": user, "kind": name, "tokens": 0 }));
            }
        }
        database.write(&format!(
            "INSERT INTO stale_drafts_moves (id, role, first_bucket, last_bucket, other, state, started_at, changed_at, stepped_at)
               VALUES ('m', 'source', 0, 1, 'other', 'paused', 0, 0, 0);
             INSERT INTO stale_drafts_moving_users VALUES ('{user}', 'm')"
        ));
        database
    });
    let shards = [0, 1].map(|at| Shard { name: ["A", "B"][at], database: &databases[at] });
    let found = [
        wait(newest(&shards, &configured, &Sought::default(), &Places::new(), 10)),
        wait(silent(&shards, &configured, None, None, &Places::new(), 10)),
    ];
    for page in found {
        let mut shown: Vec<_> =
            page.rows.iter().map(|row| (row.creation.id.as_str(), row.creation.kind.as_str())).collect();
        shown.sort_unstable();
        assert_eq!(shown, [("c1", "B"), ("c2", "A")]);
    }
}

#[test]
fn the_longest_silent_come_first_of_every_phase_kind_and_database() {
    let databases = [(); 3].map(|()| Shaky::new(database()));
    let mut expected = Vec::new();
    for number in 0..50_u64 {
        let id = format!("c{number:02}");
        let silent_since = NOW - HOUR - (number * 37 % 50) * MINUTE;
        let status = if number % 3 == 0 { "processing" } else { "pending" };
        let kind = ["image", "video"][number as usize % 2];
        let columns = json!({ "status": status, "kind": kind, "created_at": silent_since, "tokens": 0 });
        add(&databases[(number % 3) as usize].sqlite, &id, columns);
        expected.push((silent_since, status, kind, id));
    }
    expected.sort();
    for (status, kind) in
        [(None, None), (Some("pending"), None), (None, Some("video")), (Some("processing"), Some("image"))]
    {
        let ids_of: Vec<_> = expected
            .iter()
            .filter(|(_, one, other, _)| {
                status.is_none_or(|status| status == *one) && kind.is_none_or(|kind| kind == *other)
            })
            .map(|(.., id)| id.clone())
            .collect();
        for limit in [1, 7, 100] {
            let (mut found, mut from) = (Vec::new(), Places::new());
            for pages in 0.. {
                assert!(pages < 100, "it goes on for ever");
                let page = wait(silent(&named(&databases), &ONE_DATABASE, status, kind, &from, limit));
                found.extend(ids(&page));
                match page.next {
                    Some(next) => from = next,
                    None => break,
                }
            }
            assert_eq!(found, ids_of, "{status:?} {kind:?} by {limit}");
        }
    }
}

/// What the newest of a database amount to, with what failed from two hours ago on.
fn outline_of(database: &Sqlite, sought: &Sought<'_>, largest: u32) -> Outline {
    let within = (at(NOW - 2 * HOUR), at(NOW));
    Outline::read(wait(database.run(&store::outline(sought, largest, within))).unwrap()).unwrap()
}

#[test]
fn owners_are_what_sql_counts() {
    let database = many();
    let sought = Sought { kind: Some("video"), ..Sought::default() };
    let counted = |of| {
        database.read(&format!(
            "SELECT user_id, count(*), sum(status = 'failed'), sum(tokens) FROM stale_drafts_creations
             WHERE {of} GROUP BY 1 ORDER BY 2 DESC, 1"
        ))
    };
    let said = |outline: &Outline| -> Vec<Value> {
        let said = |one: &store::OwnerOf| json!([one.user_id, one.creations, one.failed, one.tokens]);
        outline.owners.iter().map(said).collect()
    };
    let outline = outline_of(&database, &sought, 9);
    assert_eq!((said(&outline), outline.all_owners), (counted("kind = 'video'"), 2));
    assert_eq!(said(&outline_of(&database, &Sought::default(), 1)), counted("true")[..1]);
    // Of several databases nobody is in two, and those with most are kept.
    let mut both = outline_of(&database, &sought, 9);
    let other = Sqlite::new();
    add(&other, "c", json!({ "user_id": "zoe", "tokens": 0 }));
    both.add(outline_of(&other, &Sought::default(), 9));
    both.keep(2);
    assert_eq!((said(&both), both.all_owners), (counted("kind = 'video'"), 3));
}

#[test]
fn failures_are_what_sql_counts_by_the_hour_within_their_bounds() {
    let database = many();
    let hours = |sought| {
        let mut failures = outline_of(&database, &sought, 1).failures;
        failures.sort_by(|one, other| (one.hour, &one.error_code).cmp(&(other.hour, &other.error_code)));
        failures.iter().map(|one| json!([one.hour, one.error_code, one.creations])).collect::<Vec<_>>()
    };
    let counted = |of: &str| {
        database.read(&format!(
            "SELECT finished_at / 3600000 * 3600000 AS hour, error_code, count(*) FROM stale_drafts_creations
             WHERE status = 'failed' AND typeof(finished_at) = 'integer' AND finished_at BETWEEN {} AND {NOW} AND {of}
             GROUP BY 1, 2 ORDER BY 1, 2",
            NOW - 2 * HOUR
        ))
    };
    assert!(counted("true").len() > 6);
    assert_eq!(hours(Sought::default()), counted("true"));
    let of_ben = Sought { user_id: Some("ben"), error_code: Some("refused"), ..Sought::default() };
    assert_eq!(hours(of_ben), counted("user_id = 'ben' AND error_code = 'refused'"));
    // At both ends, and not beyond; one without a code; a time that is none is in no hour.
    let database = Sqlite::new();
    for (id, finished_at) in [
        ("a", json!(NOW)),
        ("b", json!(NOW + 1)),
        ("c", json!(NOW - 2 * HOUR)),
        ("d", json!(NOW - 2 * HOUR - 1)),
        ("e", json!("soon")),
    ] {
        add(
            &database,
            id,
            json!({ "status": "failed", "error": "x", "finished_at": finished_at, "tokens": 0 }),
        );
    }
    let failures = outline_of(&database, &Sought::default(), 1).failures;
    assert_eq!(
        failures.iter().map(|one| (one.creations, one.error_code.as_deref())).collect::<Vec<_>>(),
        [(1, None), (1, None)]
    );
}

#[test]
fn facets_are_what_sql_counts() {
    let database = many();
    let read = |largest| outline_of(&database, &Sought::default(), largest).facets;
    let facets = read(100).largest;
    let counted = database.read(
        "SELECT status, kind, error_code, rule, count(*) AS creations, sum(tokens) AS tokens FROM stale_drafts_creations
         GROUP BY 1, 2, 3, 4 ORDER BY creations DESC, 1, 2, 3, 4",
    );
    assert_eq!(facets.len(), counted.len());
    for (facet, counted) in facets.iter().zip(counted) {
        let store::Facet { status, kind, error_code, rule, creations, tokens } = facet;
        assert_eq!(json!([status, kind, error_code, rule, creations, tokens]), counted);
    }
    // What a limit leaves out is counted all the same.
    let few = read(3);
    assert_eq!(few.largest, facets[..3]);
    assert_eq!((few.lines, few.more, few.creations, few.tokens), (facets.len() as u64, false, 240, 240));
    // Of several databases the sums are exact, and lines that are alike are one.
    let mut both = outline_of(&database, &Sought::default(), 3);
    both.add(outline_of(&database, &Sought::default(), 100));
    both.keep(3);
    let both = both.facets;
    assert_eq!((both.largest.len(), both.lines, both.more), (3, facets.len() as u64, true));
    assert_eq!((both.creations, both.tokens, both.largest[0].creations), (480, 480, 2 * facets[0].creations));
}

#[test]
fn a_window_that_ends_before_it_begins_is_refused_with_both_instants() {
    let at = |millis| Timestamp::from_millis(millis);
    let sought = |since, until| Sought { since, until, ..Sought::default() };
    let failed = |since, until| Sought { failed_since: since, failed_until: until, ..Sought::default() };
    for (since, until) in [(None, None), (at(5), None), (None, at(5)), (at(5), at(6))] {
        assert_eq!(sought(since, until).in_order(), Ok(sought(since, until)));
        assert_eq!(failed(since, until).in_order(), Ok(failed(since, until)));
    }
    for (begin, end) in [(5, 5), (1_764_410_400_000, 1_764_331_200_000)] {
        let window =
            |first, last| Err(Reversed { first, last, begin: at(begin).unwrap(), end: at(end).unwrap() });
        assert_eq!(sought(at(begin), at(end)).in_order(), window("since", "until"));
        assert_eq!(failed(at(begin), at(end)).in_order(), window("failed_since", "failed_until"));
    }
}
