//! Runs the statements on Cloudflare D1, for the Worker of this crate and for Workers in Rust that have the database
//! themselves.
//!
//! ```ignore
//! let database = stale_drafts::d1::D1::new(&env, "DB").ok_or("there is no D1 database bound as `DB`")?;
//! let row = stale_drafts::service::creations::create(&database, new_creation, now).await?;
//! ```
//!
//! A list comes out of the database as one JSON text, so a row has few cells, and each is taken as it is. Neither the database's types
//! of the crate `worker` nor `serde-wasm-bindgen` is used for them: what both bring for errors in foreign types is a twentieth of the
//! Worker.

use std::cell::Cell;

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
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

    type TextEncoder;
    #[wasm_bindgen(constructor)]
    fn new() -> TextEncoder;
    #[wasm_bindgen(method)]
    fn encode(this: &TextEncoder, text: &JsValue) -> Uint8Array;
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
        let mut plan = None;
        for statement in batch {
            let values: Array = statement.params.iter().map(|param| value(param, &mut plan)).collect();
            statements.push(&self.binding.prepare(statement.sql)?.bind(&values)?);
        }
        let results = JsFuture::from(self.binding.batch(&statements)?).await?;
        let results = results.dyn_into::<Array>();
        let results =
            results.map_err(|_| JsValue::from_str("the database's answer is no list of results"))?;
        Ok(results.iter().map(|result| self.rows(&result)).collect())
    }

    /// The rows of a result, whose cost is added.
    fn rows(&self, result: &JsValue) -> Vec<Row> {
        let meta = get(result, "meta");
        let count = |key: &str| get(&meta, key).as_f64().unwrap_or(0.0) as u64;
        let mut cost = self.cost.get();
        cost.queries = cost.queries.saturating_add(1);
        cost.rows_read = cost.rows_read.saturating_add(count("rows_read"));
        cost.rows_written = cost.rows_written.saturating_add(count("rows_written"));
        self.cost.set(cost);
        let rows = get(result, "results").dyn_into::<Array>().unwrap_or_default();
        rows.iter().map(|row| Row::from_iter(cells(&row))).collect()
    }
}

/// A property; undefined where there is none.
fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or_default()
}

fn cells(row: &JsValue) -> impl Iterator<Item = (String, Value)> {
    let entries = row.dyn_ref::<Object>().map(Object::entries).unwrap_or_default();
    entries.into_iter().filter_map(|entry| Some((get(&entry, "0").as_string()?, cell(&get(&entry, "1")))))
}

/// A text; `None` if it is none. A list of rows is long, and is encoded by the runtime: the way of `as_string`, from one character to
/// the next, takes a fifteenth of a sweep.
fn text(value: &JsValue) -> Option<String> {
    if value.is_string() { String::from_utf8(TextEncoder::new().encode(value).to_vec()).ok() } else { None }
}

/// What is no text and no number is `NULL`: no statement answers with anything else.
fn cell(value: &JsValue) -> Value {
    match (text(value), value.as_f64()) {
        (Some(text), _) => Value::String(text),
        // D1 gives doubles; what is whole is an integer.
        (None, Some(number)) if number == (number as i64) as f64 => Value::from(number as i64),
        (None, Some(number)) => Value::from(number),
        (None, None) => Value::Null,
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

/// From so many bytes on, a text is worth a comparison.
const LONG: usize = 1_000;

/// The value to bind. The statements of a transaction have its plan in common, which may be long: it is handed over once.
fn value<'a>(param: &'a Param, plan: &mut Option<(&'a str, JsValue)>) -> JsValue {
    match param {
        Param::Null => JsValue::NULL,
        Param::Text(text) if text.len() < LONG => JsValue::from_str(text),
        Param::Text(text) => match plan {
            Some((known, value)) if *known == text => value.clone(),
            _ => plan.insert((text, JsValue::from_str(text))).1.clone(),
        },
        // D1 takes doubles; every integer here is within ±2^53.
        Param::Integer(integer) => JsValue::from_f64(*integer as f64),
    }
}
