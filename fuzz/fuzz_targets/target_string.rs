#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| shardgate::vschema::fuzzing::target_string(data));
