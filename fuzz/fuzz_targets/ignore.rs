//! See `ignore::agrees`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| strake_fuzz::ignore::agrees(text));
