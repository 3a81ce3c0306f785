//! See [`stale_drafts_fuzz::text`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stale_drafts_fuzz::text::holds(data));
