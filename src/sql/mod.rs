//! SQL text: lexer, fingerprint, classification, parsing, rendering. The only room that names the parser crate.
