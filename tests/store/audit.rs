//! What operators did, page by page, over one database and over several.

use stale_drafts::service::audit::{AuditPage, audit};
use stale_drafts::service::shards::{Shard, Unreachable};
use stale_drafts::store::{Audited, Cost, Database, DatabaseError, Row, Statement, audited_of, merge_audit};

use crate::sqlite::{Sqlite, wait};

struct Away;

impl Database for Away {
    async fn run(&self, _: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        Err(DatabaseError::new("it is away"))
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }
}

fn id(at: u32) -> String {
    format!("{at:08}-0000-7000-8000-000000000000")
}

fn database(rows: impl IntoIterator<Item = u32>) -> Sqlite {
    let database = Sqlite::new();
    for at in rows {
        database.write(&format!(
            "INSERT INTO stale_drafts_audit (id, at, actor, action, detail) VALUES ('{}', {at}, 'ops', 'pause', '')",
            id(at)
        ));
    }
    database
}

/// All of it, and the sizes of its pages.
fn all<D: Database>(shards: &[Shard<'_, D>], limit: u32) -> (Vec<u64>, Vec<usize>) {
    let (mut instants, mut sizes, mut before) = (Vec::new(), Vec::new(), None);
    loop {
        let AuditPage { rows, next, unreachable } = wait(audit(shards, before.as_deref(), limit)).unwrap();
        assert_eq!(unreachable, []);
        sizes.push(rows.len());
        instants.extend(rows.iter().map(|row| row.at));
        match next {
            Some(next) => before = Some(next),
            None => return (instants, sizes),
        }
    }
}

#[test]
fn each_row_is_shown_once_the_newest_first_whichever_database_has_it() {
    let one = database((1..=20).filter(|at| at % 3 != 0));
    // Those that stand in each, long after the others, and some of its own.
    let other = database((1..=20).filter(|at| at % 3 == 0 || at % 5 == 0).chain(40..=52));
    let shards = [Shard { name: "A", database: &one }, Shard { name: "B", database: &other }];
    let expected: Vec<u64> = (40..=52).rev().chain((1..=20).rev()).collect();
    for limit in [1, 2, 3, 7, 33, 34, 100] {
        let (instants, sizes) = all(&shards, limit);
        assert_eq!(instants, expected, "{limit}");
        assert!(sizes.iter().all(|size| *size <= limit as usize), "{limit}: {sizes:?}");
    }
    // They fill one page, so there is no second one.
    assert_eq!(all(&shards, 33).1, [33]);
    assert_eq!(all(&Shard::one(&database([])), 5), (vec![], vec![0]));
}

#[test]
fn a_page_that_is_all_of_many_at_once_says_where_the_next_one_begins() {
    let database = database([1, 5_001]);
    database.write(
        "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
         INSERT INTO stale_drafts_audit (id, at, actor, action, detail)
         SELECT printf('%08d-0000-7000-8000-000000000000', n), n, 'ops', 'retry_in_bulk', '' FROM n",
    );
    let shards = Shard::one(&database);
    let page = wait(audit(&shards, None, 10)).unwrap();
    // 2,000 rows are looked at: that one, and 1,999 of the many.
    assert_eq!((page.rows.len(), page.next), (1, Some(id(2_002))));
    assert_eq!(all(&shards, 10), (vec![5_001, 1], vec![1, 0, 1]));
}

#[test]
fn a_database_that_is_away_is_named_and_the_others_are_shown() {
    enum Either {
        There(Sqlite),
        Away(Away),
    }
    impl Database for Either {
        async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
            match self {
                Either::There(database) => database.run(batch).await,
                Either::Away(database) => database.run(batch).await,
            }
        }

        fn cost(&self) -> Cost {
            Cost::default()
        }
    }
    let (there, away) = (Either::There(database([1, 2])), Either::Away(Away));
    let shards = [Shard { name: "A", database: &there }, Shard { name: "B", database: &away }];
    let page = wait(audit(&shards, None, 10)).unwrap();
    assert_eq!(page.rows.iter().map(|row| row.at).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(
        page.unreachable,
        [Unreachable { shard: String::from("B"), error: String::from("it is away") }]
    );
    assert_eq!(wait(audit(&Shard::one(&away), None, 10)).unwrap_err().to_string(), "it is away");
}

#[test]
fn what_stands_in_each_database_is_there_once() {
    let row = |at: u32| Audited {
        id: id(at),
        at: at.into(),
        actor: String::from("ops"),
        action: String::from("pause"),
        detail: String::new(),
        subject: None,
    };
    let mut rows = vec![row(9), row(5)];
    merge_audit(&mut rows, vec![row(10), row(9), row(7), row(5), row(1)]);
    assert_eq!(rows.iter().map(|row| row.at).collect::<Vec<_>>(), [10, 9, 7, 5, 1]);
    assert_eq!(audited_of(vec![], 1).unwrap_err().to_string(), "expected two results");
}
