//! Rows, in the text and in the binary protocol.

mod binary;
mod temporal;
mod text;

pub use binary::{
    BinaryType, binary_row_to_text, binary_value, decode_binary_row, put_binary_value, read_binary_value,
    text_row_to_binary,
};
pub use text::{TextFields, put_text_field, text_fields};
