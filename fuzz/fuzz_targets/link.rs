//! See `registry::link`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| strake_fuzz::registry::link(text));
