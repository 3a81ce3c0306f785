//! See [`stale_drafts_fuzz::request`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stale_drafts_fuzz::request::holds(data));
