//! Runs the statements on Cloudflare D1, for the Worker of this crate and for Workers in Rust that have the database themselves.
//!
//! ```ignore
//! let database = stale_drafts::store::D1::new(env.d1("DB")?);
//! let row = stale_drafts::service::creations::create(&database, new_creation, now).await?;
//! ```

use std::cell::Cell;
use std::time::Duration;

use worker::{D1Database, D1Result, D1Type, Delay, Error};

use super::{Cost, Database, DatabaseError, Param, Retry, Row, Statement};

/// A D1 database that adds up what it costs, and tries again what it could not do for the moment.
pub struct D1 {
    database: D1Database,
    cost: Cell<Cost>,
    retry: Retry,
}

impl D1 {
    /// The database behind a binding.
    pub fn new(database: D1Database) -> Self {
        D1 { database, cost: Cell::default(), retry: Retry::default() }
    }

    async fn batch(&self, batch: &[Statement]) -> worker::Result<Vec<Vec<Row>>> {
        let prepare = |statement: &Statement| {
            let values: Vec<_> = statement.params.iter().map(value).collect();
            self.database.prepare(statement.sql).bind_refs(&values)
        };
        let statements = batch.iter().map(prepare).collect::<worker::Result<_>>()?;
        // Whatever comes of them, they are queries.
        let mut cost = self.cost.get();
        cost.queries = cost.queries.saturating_add(batch.len() as u64);
        self.cost.set(cost);
        let results = self.database.batch(statements).await?;
        results.iter().map(|result| self.rows(result)).collect()
    }

    /// The rows of a result, whose cost is added.
    fn rows(&self, result: &D1Result) -> worker::Result<Vec<Row>> {
        let meta = result.meta()?;
        let count = |count: Option<usize>| count.map_or(0, |count| count as u64);
        let mut cost = self.cost.get();
        if let Some(meta) = meta {
            cost.rows_read = cost.rows_read.saturating_add(count(meta.rows_read));
            cost.rows_written = cost.rows_written.saturating_add(count(meta.rows_written));
        }
        self.cost.set(cost);
        result.results()
    }
}

impl Database for D1 {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let call = async || self.batch(batch).await.map_err(|error| DatabaseError::new(message(error)));
        self.retry.run(call, async |millis| Delay::from(Duration::from_millis(millis)).await).await
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
