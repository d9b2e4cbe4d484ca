//! Rows, in the text and in the binary protocol.

mod binary;
mod text;

pub use binary::read_binary_value;
pub use text::{TextFields, put_text_field, text_fields};
