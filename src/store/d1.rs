//! Runs the statements on Cloudflare D1, for the Worker of this crate and for Workers in Rust that have the database themselves.
//!
//! ```ignore
//! let database = stale_drafts::store::D1::new(env.d1("DB")?);
//! let row = stale_drafts::service::creations::create(&database, new_creation, now).await?;
//! ```

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use worker::d1::{D1DatabaseSession, D1SessionConstraint};
use worker::{D1Database, D1Result, D1Type, Delay, Error};

use super::{Cost, Database, DatabaseError, Param, Retry, Row, Statement};

/// A D1 database that adds up what it costs, and tries again what it could not do for the moment.
pub struct D1 {
    database: D1Database,
    cost: Cell<Cost>,
    retry: Retry,
    time_limit: Option<Duration>,
    /// By it errors say which of several databases they are of.
    name: Option<String>,
    /// For what only reads, until something is written.
    session: Option<D1DatabaseSession>,
    has_written: Cell<bool>,
    bytes: Cell<Option<u64>>,
}

impl D1 {
    /// The database behind a binding.
    pub fn new(database: D1Database) -> Self {
        D1 {
            database,
            cost: Cell::default(),
            retry: Retry::default(),
            time_limit: None,
            name: None,
            session: None,
            has_written: Cell::new(false),
            bytes: Cell::new(None),
        }
    }

    /// The same, and what only reads may be answered by a replica: <https://developers.cloudflare.com/d1/best-practices/read-replication/>.
    /// `first` says whether that holds for the first question too; what is asked after it is never answered by an older state. From the
    /// first write on, the primary answers everything: where its answer was lost, a replica might not know of it yet.
    ///
    /// # Errors
    ///
    /// The binding knows no sessions.
    pub fn in_session(self, first: D1SessionConstraint) -> worker::Result<Self> {
        let session = self.database.with_session_constraint(first)?;
        Ok(D1 { session: Some(session), ..self })
    }

    /// The same, and a transaction that has not ended within `time_limit` fails. It is not known then whether it took effect.
    #[must_use]
    pub fn within(self, time_limit: Duration) -> Self {
        D1 { time_limit: Some(time_limit), ..self }
    }

    /// The same, as one of several: its errors name it.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        D1 { name: Some(name.to_owned()), ..self }
    }

    /// How large the database was when it last answered, in bytes.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes.get()
    }

    async fn batch(&self, batch: &[Statement]) -> worker::Result<Vec<Vec<Row>>> {
        let session = self.session.as_ref().filter(|_| {
            let writes = batch.iter().any(|statement| !statement.only_reads());
            !self.has_written.replace(self.has_written.get() || writes) && !writes
        });
        let prepare = |statement: &Statement| {
            let values: Vec<_> = statement.params.iter().map(value).collect();
            let prepared = match session {
                Some(session) => session.prepare(statement.sql),
                None => self.database.prepare(statement.sql),
            };
            prepared.bind_refs(&values)
        };
        let statements = batch.iter().map(prepare).collect::<worker::Result<_>>()?;
        // Whatever comes of them, they are queries.
        let mut cost = self.cost.get();
        cost.queries = cost.queries.saturating_add(batch.len() as u64);
        self.cost.set(cost);
        let results = match session {
            Some(session) => session.batch(statements).await?,
            None => self.database.batch(statements).await?,
        };
        results.iter().map(|result| self.rows(result)).collect()
    }

    async fn in_time(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let answer =
            async { self.batch(batch).await.map_err(|error| DatabaseError::of_runtime(&message(error))) };
        let Some(limit) = self.time_limit else { return answer.await };
        match select(pin!(answer), Delay::from(limit)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                Err(DatabaseError::new(format!("it did not answer within {} s", limit.as_secs())))
            }
        }
    }

    /// The rows of a result, whose cost is added.
    fn rows(&self, result: &D1Result) -> worker::Result<Vec<Row>> {
        let meta = result.meta()?;
        let count = |count: Option<usize>| count.map_or(0, |count| count as u64);
        let mut cost = self.cost.get();
        if let Some(meta) = meta {
            self.bytes.set(meta.size_after.map(|bytes| bytes as u64).or(self.bytes.get()));
            cost.rows_read = cost.rows_read.saturating_add(count(meta.rows_read));
            cost.rows_written = cost.rows_written.saturating_add(count(meta.rows_written));
        }
        self.cost.set(cost);
        result.results()
    }
}

impl Database for D1 {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let call = async || self.in_time(batch).await;
        let answer =
            self.retry.run(call, async |millis| Delay::from(Duration::from_millis(millis)).await).await;
        answer.map_err(|error| match &self.name {
            Some(name) => error.of(name),
            None => error,
        })
    }

    fn cost(&self) -> Cost {
        self.cost.get()
    }
}

fn value(param: &Param) -> D1Type<'_> {
    match param {
        Param::Null => D1Type::Null,
        Param::Text(text) => D1Type::Text(text),
        // `D1Type::Integer` has 32 bits. D1 takes doubles; every integer here is within ±2^53.
        Param::Integer(integer) => D1Type::Real(*integer as f64),
    }
}

/// The database's own words. `Display` puts the source's whole dump around them.
fn message(error: Error) -> String {
    match error {
        Error::D1(error) => AsRef::<js_sys::Error>::as_ref(&error).message().into(),
        Error::UnknownJsError { message, .. } => message,
        error => error.to_string(),
    }
}
