//! See `fixes::fixes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| strake_fuzz::fixes::fixes(text));
