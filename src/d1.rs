//! Runs the statements on Cloudflare D1, for the Worker of this crate and for Workers in Rust that have the database
//! themselves.
//!
//! ```ignore
//! let database = stale_drafts::d1::D1::new(&env, "DB").ok_or("there is no D1 database bound as `DB`")?;
//! let row = stale_drafts::report::create(&database, new_creation, now).await?;
//! ```
//!
//! Rows come out as one JSON text that is read once. Neither the database's types of the crate `worker` nor
//! `serde-wasm-bindgen` is used for them: what both bring for errors in foreign types is a twentieth of the Worker.

use std::cell::Cell;

use js_sys::{Array, JSON, Promise, Reflect};
use serde_json::Value;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::store::{Cost, Database, DatabaseError, Param, Row, Statement};

#[wasm_bindgen]
extern "C" {
    type Binding;
    #[wasm_bindgen(method, catch)]
    fn prepare(this: &Binding, sql: &str) -> Result<Prepared, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn batch(this: &Binding, statements: &Array) -> Result<Promise, JsValue>;

    type Prepared;
    #[wasm_bindgen(method, catch, variadic)]
    fn bind(this: &Prepared, values: &Array) -> Result<JsValue, JsValue>;
}

/// A D1 database that adds up what it costs.
pub struct D1 {
    binding: Binding,
    cost: Cell<Cost>,
}

impl D1 {
    /// The database that is bound as `name`; `None` if there is none.
    pub fn new(env: &JsValue, name: &str) -> Option<Self> {
        let binding = Reflect::get(env, &name.into()).ok().filter(JsValue::is_object)?;
        Some(D1 { binding: binding.unchecked_into(), cost: Cell::default() })
    }

    async fn batch(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, JsValue> {
        let statements = Array::new();
        for statement in batch {
            let values: Array = statement.params.iter().map(value).collect();
            statements.push(&self.binding.prepare(statement.sql)?.bind(&values)?);
        }
        let results = JsFuture::from(self.binding.batch(&statements)?).await?;
        let text = JSON::stringify(&results)?.as_string().unwrap_or_default();
        let Ok(Value::Array(results)) = serde_json::from_str(&text) else {
            return Err(JsValue::from_str("the database's answer is no list of results"));
        };
        Ok(results.into_iter().map(|result| self.rows(result)).collect())
    }

    /// The rows of a result, whose cost is added.
    fn rows(&self, mut result: Value) -> Vec<Row> {
        let count = |key: &str| result.pointer(key).and_then(Value::as_u64).unwrap_or(0);
        let mut cost = self.cost.get();
        cost.queries = cost.queries.saturating_add(1);
        cost.rows_read = cost.rows_read.saturating_add(count("/meta/rows_read"));
        cost.rows_written = cost.rows_written.saturating_add(count("/meta/rows_written"));
        self.cost.set(cost);
        let rows = match result.get_mut("results").map(Value::take) {
            Some(Value::Array(rows)) => rows,
            _ => Vec::new(),
        };
        let row = |row| match row {
            Value::Object(row) => Some(row),
            _ => None,
        };
        rows.into_iter().filter_map(row).collect()
    }
}

impl Database for D1 {
    async fn run(&self, batch: &[Statement]) -> Result<Vec<Vec<Row>>, DatabaseError> {
        self.batch(batch).await.map_err(|error| {
            let message = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
            DatabaseError::new(message.or(error.as_string()).unwrap_or_else(|| String::from("it failed")))
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
