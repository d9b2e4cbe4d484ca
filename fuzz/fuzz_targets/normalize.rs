#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| shardgate::sql::fuzzing::normalize(data));
