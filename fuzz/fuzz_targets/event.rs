#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloudfront_invalidator_fuzz::event(data));
