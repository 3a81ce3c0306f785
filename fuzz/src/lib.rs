//! What holds for every input that a stranger can send: one module for each target of `cargo fuzz`, with a function `holds`
//! that panics where a law is broken. `tests/corpus.rs` runs the same functions over the corpus on any compiler.
//!
//! Inputs are text that can be read and written by hand: see `docs/fuzzing.md`.

pub mod keys;
pub mod page;
pub mod policy;
pub mod request;
pub mod rows;
pub mod terminal;
pub mod text;
pub mod token;

use stale_drafts::rules::Timestamp;

/// A target: its name, which is also that of its corpus, and what it holds.
pub type Target = (&'static str, fn(&[u8]));

/// Each target.
pub const TARGETS: [Target; 8] = [
    ("token", token::holds),
    ("keys", keys::holds),
    ("request", request::holds),
    ("policy", policy::holds),
    ("text", text::holds),
    ("rows", rows::holds),
    ("page", page::holds),
    ("terminal", terminal::holds),
];

/// The instant at which inputs are judged, in epoch milliseconds.
pub const NOW_MS: i64 = 1_700_000_000_000;

/// The same.
pub fn now() -> Timestamp {
    Timestamp::from_millis(NOW_MS).expect("it is in range")
}

/// The input as the runtime hands it over: what is no UTF-8 is replaced.
pub fn as_text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}
