use std::cell::Cell;

use ::worker::{D1Database, D1PreparedStatement};
use wasm_bindgen::JsValue;

use crate::store::{Cost, Database, DatabaseError, Param, Row, Statement};

/// A D1 database that adds up what it costs.
pub(super) struct D1 {
    database: D1Database,
    cost: Cell<Cost>,
}

impl D1 {
    pub(super) fn new(database: D1Database) -> Self {
        D1 { database, cost: Cell::default() }
    }

    fn prepare(&self, statement: &Statement) -> ::worker::Result<D1PreparedStatement> {
        let values: Vec<_> = statement.params.iter().map(value).collect();
        self.database.prepare(statement.sql).bind(&values)
    }

    fn add(&self, meta: Option<::worker::D1ResultMeta>) {
        let mut cost = self.cost.get();
        let count = |rows: Option<usize>| rows.unwrap_or(0) as u64;
        cost.queries = cost.queries.saturating_add(1);
        if let Some(meta) = meta {
            cost.rows_read = cost.rows_read.saturating_add(count(meta.rows_read));
            cost.rows_written = cost.rows_written.saturating_add(count(meta.rows_written));
        }
        self.cost.set(cost);
    }

    async fn batch(&self, batch: &[Statement]) -> ::worker::Result<Vec<Vec<Row>>> {
        let statements = batch.iter().map(|statement| self.prepare(statement)).collect::<Result<_, _>>()?;
        let results = self.database.batch(statements).await?;
        results
            .iter()
            .map(|result| {
                self.add(result.meta()?);
                result.results::<Row>()
            })
            .collect()
    }
}

impl Database for D1 {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.batch(batch).await.map_err(|error| {
            DatabaseError::new(match error {
                ::worker::Error::D1(error) => AsRef::<js_sys::Error>::as_ref(&error).message().into(),
                error => error.to_string(),
            })
        })
    }

    fn cost(&self) -> Cost {
        self.cost.get()
    }
}

fn value(param: &Param) -> JsValue {
    match param {
        Param::Null => JsValue::NULL,
        Param::Text(text) => JsValue::from_str(text),
        // D1 takes doubles; every integer here is within ±2^53.
        Param::Integer(integer) => JsValue::from_f64(*integer as f64),
    }
}
