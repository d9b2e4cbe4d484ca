//! Syntax errors in MySQL's own words.

use super::token::LexError;
use crate::error::{Error, ErrorKind};

/// MySQL shows this much of the text behind the place of an error.
const NEAR_BYTES_MAX: usize = 80;

/// The error for `text`, near byte `offset`.
pub fn syntax_error(text: &[u8], offset: usize) -> Error {
    let offset = offset.min(text.len());
    let near = &text[offset..text.len().min(offset + NEAR_BYTES_MAX)];
    let line = 1 + text[..offset].iter().filter(|byte| **byte == b'\n').count();
    Error::new(
        ErrorKind::Syntax,
        format!(
            "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version \
             for the right syntax to use near '{}' at line {line}",
            String::from_utf8_lossy(near)
        ),
    )
}

/// For text that cannot be cut into tokens.
pub(super) fn lexical(text: &[u8], error: LexError) -> Error {
    syntax_error(text, error.offset as usize)
}

/// For text that is longer than a command may be.
pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::PacketTooLarge, "Got a packet bigger than 'max_allowed_packet' bytes")
}
