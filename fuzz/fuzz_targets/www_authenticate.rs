//! See `registry::www_authenticate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| strake_fuzz::registry::www_authenticate(text));
