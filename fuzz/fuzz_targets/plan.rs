//! See `language::plans`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| strake_fuzz::language::plans(text));
