#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| shardgate::wire::fuzzing::handshake_response(data));
