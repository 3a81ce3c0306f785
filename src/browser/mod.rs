//! The rules for the browser package: functions of numbers, so that the module needs no memory, no glue and no
//! start-up. Text stays outside: `pkg/src` turns statuses and dates into numbers, and numbers into messages.
//!
//! | number | is |
//! |---|---|
//! | a status | its place in [`Status::ALL`]; any other number is no status |
//! | a time | epoch milliseconds; NaN is missing; what is no [`Timestamp`] is malformed |
//! | a limit | milliseconds; Infinity is `never` |
//!
//! A cast of a number that is out of range saturates in WebAssembly. In JavaScript by wasm2js it gives 0, or the least number
//! if there are negative ones; so each cast here has to be right for both.

mod draft;
mod policy;

use crate::rules::{Limit, MaxAge};

fn limit(max_age_ms: f64) -> Limit {
    // Infinity is beyond every `MaxAge` or, as 0, below, and NaN is.
    MaxAge::from_millis(max_age_ms as u64).map_or(Limit::Never, Limit::After)
}

fn millis(limit: Limit) -> f64 {
    match limit {
        Limit::After(max_age) => max_age.as_millis() as f64,
        Limit::Never => f64::INFINITY,
    }
}
