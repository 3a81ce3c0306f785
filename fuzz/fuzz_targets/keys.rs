//! See [`stale_drafts_fuzz::keys`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stale_drafts_fuzz::keys::holds(data));
