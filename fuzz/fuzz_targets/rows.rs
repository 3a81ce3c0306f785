//! See [`stale_drafts_fuzz::rows`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stale_drafts_fuzz::rows::holds(data));
