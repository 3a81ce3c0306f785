//! The rules and the database agree on any rows: the real statements and migrations, on SQLite, under any policy.
//!
//! `PROPTEST_CASES=4000` makes more than 96 tables of each test, of 32 rows in the mean.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![cfg(not(target_arch = "wasm32"))]

#[path = "../../crates/simulator/src/as_d1.rs"]
#[allow(dead_code, reason = "the tests of the statements use all of it")]
mod as_d1;
#[path = "../properties/generate.rs"]
#[allow(dead_code, reason = "the laws of the rules use all of it")]
mod generate;
mod guard;
mod queries;
mod rows;
mod sqlite;

use proptest::test_runner::Config;

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    Config::with_cases(cases.unwrap_or(96))
}
