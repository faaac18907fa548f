//! See `registry::document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| strake_fuzz::registry::document(text));
