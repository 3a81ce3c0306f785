//! See [`stale_drafts_fuzz::page`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stale_drafts_fuzz::page::holds(data));
