//! Laws that the rules keep on any input. `PROPTEST_CASES=100000` makes more than 256 cases of each.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![cfg(not(target_arch = "wasm32"))]

mod diagnosis;
mod generate;
mod parsing;
mod plans;
mod policies;
mod reports;
mod texts;
mod verdicts;
