#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tailrace_fuzz::checks::repeats::check(data));
