#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ecg_io_fuzz::segments(data));
