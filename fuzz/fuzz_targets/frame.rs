#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| shardgate::wire::fuzzing::frame(data));
