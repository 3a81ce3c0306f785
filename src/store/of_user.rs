use super::{Cost, Database, DatabaseError, Param, Row, Statement};
use crate::rules::Bucket;

/// Fails while the bucket ?1 is being moved to another database, or has been, and while nothing is on record: see the view
/// `stale_drafts_accepts`.
const ACCEPT: &str = "INSERT INTO stale_drafts_accepts (bucket) VALUES (?1)";

/// One of several databases, for what concerns a user of one bucket. Whatever is written asks first, in the same transaction, whether the
/// database still has that bucket: another isolate may go by a configuration that is older than a move. A database that is new among
/// several, or lost its record, says no to everybody until [`record`](crate::store::record) has been there: to ask is to know of the others.
///
/// The triggers of the schema hold the users that are known there, whoever writes; this holds those who are new.
#[derive(Debug)]
pub struct OfUser<'a, D> {
    database: &'a D,
    bucket: Option<Bucket>,
}

impl<'a, D> OfUser<'a, D> {
    /// The database as the users of `bucket` reach it; `None` where it is the only one, and has all.
    pub const fn new(database: &'a D, bucket: Option<Bucket>) -> Self {
        OfUser { database, bucket }
    }
}

impl<D: Database> Database for OfUser<'_, D> {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let writes = batch.iter().any(|statement| !statement.only_reads());
        let Some(bucket) = self.bucket.filter(|_| writes) else { return self.database.run(batch).await };
        let accept = Statement::new(ACCEPT, [Param::Integer(bucket.number().into())]);
        let guarded: Vec<_> = [accept].into_iter().chain(batch.iter().cloned()).collect();
        let mut results = self.database.run(&guarded).await?;
        Ok(results.split_off(1.min(results.len())))
    }

    fn cost(&self) -> Cost {
        self.database.cost()
    }
}
