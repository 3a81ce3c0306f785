//! A data point per sweep for Analytics Engine, where the binding `ANALYTICS` is configured.

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

use super::console;
use super::context::Context;
use crate::service::sweep::{Source, SweepOutcome};
use crate::view;

#[wasm_bindgen]
extern "C" {
    type Dataset;
    #[wasm_bindgen(method, catch, js_name = writeDataPoint)]
    fn write(this: &Dataset, point: &Object) -> Result<(), JsValue>;
}

/// Writes it; nothing depends on it.
pub(super) fn note(context: &Context, report: &SweepOutcome, source: Source) {
    if try_note(context, report, source).is_err() {
        console::error(&view::failed_delivery_line("ANALYTICS", "the data point was not taken"));
    }
}

fn try_note(context: &Context, report: &SweepOutcome, source: Source) -> Result<(), JsValue> {
    let binding = Reflect::get(&context.env, &"ANALYTICS".into())?;
    if !binding.is_object() {
        return Ok(());
    }
    // docs/dashboard.md says what each place holds.
    let doubles: Array = [
        report.failed.len() as u64,
        report.retried.len() as u64,
        u64::from(report.raced),
        report.rejected.len() as u64,
        report.unreadable.len() as u64,
        report.refunded_tokens,
        report.cost.queries,
        report.cost.rows_read,
        report.cost.rows_written,
    ]
    .map(|number| JsValue::from_f64(number as f64))
    .iter()
    .collect();
    let suspended = report.suspended.as_ref().map(ToString::to_string).unwrap_or_default();
    let blobs = Array::of2(&source.as_str().into(), &suspended.into());
    let point = Object::new();
    Reflect::set(&point, &"indexes".into(), &Array::of1(&source.as_str().into()))?;
    Reflect::set(&point, &"blobs".into(), &blobs)?;
    Reflect::set(&point, &"doubles".into(), &doubles)?;
    binding.unchecked_into::<Dataset>().write(&point)
}
