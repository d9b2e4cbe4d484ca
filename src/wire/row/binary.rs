//! Binary rows and values: what prepared statements send and receive.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>

use crate::wire::column_type::ColumnType;
use crate::wire::reader::{Malformed, Reader};

/// Reads the bytes of one value that is not NULL: those of a number, or the content of a value that has a
/// length before it, without the length.
pub fn read_binary_value<'a>(
    reader: &mut Reader<'a>,
    column_type: ColumnType,
) -> Result<&'a [u8], Malformed> {
    match column_type {
        ColumnType::NULL => Ok(&[]),
        ColumnType::TINY => reader.bytes(1),
        ColumnType::SHORT | ColumnType::YEAR => reader.bytes(2),
        ColumnType::LONG | ColumnType::INT24 | ColumnType::FLOAT => reader.bytes(4),
        ColumnType::LONGLONG | ColumnType::DOUBLE => reader.bytes(8),
        _ if column_type.is_temporal() => {
            let count = reader.u8()?;
            reader.bytes(count.into())
        }
        _ => reader.lenenc_bytes(),
    }
}
