#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| shardgate::vschema::fuzzing::vschema_json(data));
