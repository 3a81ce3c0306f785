//! See [`stale_drafts_fuzz::terminal`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stale_drafts_fuzz::terminal::holds(data));
