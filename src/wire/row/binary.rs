//! Binary rows and values: what prepared statements send and receive.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>. A row is a zero byte, a
//! bitmap of NULLs that begins at its third bit, and the values that are not NULL.

use super::temporal;
use super::text::{put_text_field, text_fields};
use crate::value::{TemporalKind, Value, ValueRef};
use crate::wire::column_type::{ColumnFlags, ColumnType};
use crate::wire::reader::{Malformed, Reader};
use crate::wire::response::ColumnDefinition;
use crate::wire::writer::put_lenenc_bytes;

/// First byte of a row.
const ROW_HEADER: u8 = 0;
/// Bits at the start of a row's bitmap that belong to no column.
const ROW_BITMAP_OFFSET: usize = 2;

/// How the bytes of one value are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BinaryType {
    /// Type.
    pub column_type: ColumnType,
    /// Whether an integer is unsigned.
    pub is_unsigned: bool,
    /// Whether a string is bytes and not characters.
    pub is_binary: bool,
    /// Digits of fractions of seconds that the text form has; more than 6 for as many as are needed.
    pub decimals: u8,
}

impl BinaryType {
    /// Of a column.
    pub fn of_column(column: &ColumnDefinition) -> Self {
        Self {
            column_type: column.column_type,
            is_unsigned: column.flags.contains(ColumnFlags::UNSIGNED),
            is_binary: column.collation == ColumnDefinition::COLLATION_BINARY,
            decimals: column.decimals,
        }
    }
}

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

/// The value in what [`read_binary_value`] read. `scratch` holds the text of dates and times; what was in it is
/// overwritten.
pub fn binary_value<'a>(
    kind: BinaryType,
    bytes: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<ValueRef<'a>, Malformed> {
    let mut reader = Reader::new(bytes, "binary value");
    let unsigned = kind.is_unsigned;
    let value = match kind.column_type {
        ColumnType::NULL => ValueRef::Null,
        ColumnType::TINY => match reader.u8()? {
            byte if unsigned => ValueRef::UInt(byte.into()),
            byte => ValueRef::Int(byte.cast_signed().into()),
        },
        ColumnType::YEAR => ValueRef::UInt(reader.u16()?.into()),
        ColumnType::SHORT => match reader.u16()? {
            word if unsigned => ValueRef::UInt(word.into()),
            word => ValueRef::Int(word.cast_signed().into()),
        },
        ColumnType::LONG | ColumnType::INT24 => match reader.u32()? {
            number if unsigned => ValueRef::UInt(number.into()),
            number => ValueRef::Int(number.cast_signed().into()),
        },
        ColumnType::LONGLONG => match reader.u64()? {
            number if unsigned => ValueRef::UInt(number),
            number => ValueRef::Int(number.cast_signed()),
        },
        ColumnType::FLOAT => ValueRef::Float(f32::from_le_bytes(reader.array()?)),
        ColumnType::DOUBLE => ValueRef::Double(f64::from_le_bytes(reader.array()?)),
        ColumnType::BIT => ValueRef::Bit(reader.rest()),
        ColumnType::DECIMAL | ColumnType::NEWDECIMAL => ValueRef::Decimal(reader.rest()),
        ColumnType::GEOMETRY | ColumnType::VECTOR => ValueRef::Bytes(reader.rest()),
        // Binary by collation, but text in every respect that matters.
        ColumnType::JSON => ValueRef::Text(reader.rest()),
        other => match temporal_kind(other) {
            Some(temporal_kind) => {
                scratch.clear();
                temporal::write_text(scratch, temporal_kind, &mut reader, kind.decimals)?;
                ValueRef::Temporal(temporal_kind, scratch)
            }
            None if kind.is_binary => ValueRef::Bytes(reader.rest()),
            None => ValueRef::Text(reader.rest()),
        },
    };
    if reader.is_empty() { Ok(value) } else { Err(reader.malformed()) }
}

/// The values of a row.
pub fn decode_binary_row(columns: &[ColumnDefinition], row: &[u8]) -> Result<Vec<Value>, Malformed> {
    let mut reader = Reader::new(row, "binary row");
    if reader.u8()? != ROW_HEADER {
        return Err(reader.malformed());
    }
    let bitmap = reader.bytes(bitmap_bytes(columns.len()))?;
    let mut values = Vec::with_capacity(columns.len());
    let mut scratch = vec![];
    for (index, column) in columns.iter().enumerate() {
        let bit = index + ROW_BITMAP_OFFSET;
        let is_null = bitmap[bit / 8] & (1 << (bit % 8)) != 0;
        values.push(if is_null {
            Value::Null
        } else {
            let bytes = read_binary_value(&mut reader, column.column_type)?;
            binary_value(BinaryType::of_column(column), bytes, &mut scratch)?.to_owned()
        });
    }
    if reader.is_empty() { Ok(values) } else { Err(reader.malformed()) }
}

/// Appends the text form of a binary row, in which FLOAT values have as many digits as they need to be read back.
pub fn binary_row_to_text(
    columns: &[ColumnDefinition],
    row: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    for value in decode_binary_row(columns, row)? {
        match value {
            Value::Null => put_text_field(out, None),
            Value::Float(number) => put_text_field(out, Some(number.to_string().as_bytes())),
            value => put_text_field(out, Some(&value.as_ref().to_bytes())),
        }
    }
    Ok(())
}

/// Appends the binary form of a text row, as the server of these columns would have sent it. FLOAT and DOUBLE values are
/// only as exact as their text is.
pub fn text_row_to_binary(
    columns: &[ColumnDefinition],
    row: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    out.push(ROW_HEADER);
    let bitmap_at = out.len();
    out.resize(bitmap_at + bitmap_bytes(columns.len()), 0);
    let mut fields = text_fields(row);
    for (index, column) in columns.iter().enumerate() {
        match fields.next().ok_or(MALFORMED_TEXT_ROW)?? {
            // Of a column whose type is NULL there can be no other value.
            Some(text) if column.column_type != ColumnType::NULL => {
                put_binary_value(out, column.column_type, column.is_unsigned(), text)?;
            }
            _ => {
                let bit = index + ROW_BITMAP_OFFSET;
                out[bitmap_at + bit / 8] |= 1 << (bit % 8);
            }
        }
    }
    if fields.next().is_none() { Ok(()) } else { Err(MALFORMED_TEXT_ROW) }
}

/// Appends the binary form of one value that is not NULL, given its text form. Fails when the text is no value
/// of the type, or does not fit into it.
pub fn put_binary_value(
    out: &mut Vec<u8>,
    column_type: ColumnType,
    is_unsigned: bool,
    text: &[u8],
) -> Result<(), Malformed> {
    let integer_bytes = match column_type {
        ColumnType::NULL => return Ok(()),
        ColumnType::TINY => 1,
        ColumnType::SHORT | ColumnType::YEAR => 2,
        ColumnType::LONG | ColumnType::INT24 => 4,
        ColumnType::LONGLONG => 8,
        ColumnType::FLOAT => {
            out.extend_from_slice(&parse::<f32>(text)?.to_le_bytes());
            return Ok(());
        }
        ColumnType::DOUBLE => {
            out.extend_from_slice(&parse::<f64>(text)?.to_le_bytes());
            return Ok(());
        }
        other => {
            return match temporal_kind(other) {
                Some(kind) => temporal::put_binary(out, kind, text),
                None => {
                    put_lenenc_bytes(out, text);
                    Ok(())
                }
            };
        }
    };
    let number = integer(text, is_unsigned || column_type == ColumnType::YEAR)?;
    let (kept, cut) = number.split_at(integer_bytes);
    // What is cut off must be nothing but the sign.
    let is_negative = text.first() == Some(&b'-') && number != [0; 8];
    let sign = if is_negative { 0xFF } else { 0 };
    let top_bit_is_sign = is_unsigned || kept[integer_bytes - 1] & 0x80 == sign & 0x80;
    if cut.iter().any(|&byte| byte != sign) || !(top_bit_is_sign || column_type == ColumnType::YEAR) {
        return Err(MALFORMED_TEXT_ROW);
    }
    out.extend_from_slice(kept);
    Ok(())
}

const MALFORMED_TEXT_ROW: Malformed = Malformed::new("text row");

fn bitmap_bytes(column_count: usize) -> usize {
    (column_count + ROW_BITMAP_OFFSET).div_ceil(8)
}

fn temporal_kind(column_type: ColumnType) -> Option<TemporalKind> {
    match column_type {
        ColumnType::DATE | ColumnType::NEWDATE => Some(TemporalKind::Date),
        ColumnType::TIME | ColumnType::TIME2 => Some(TemporalKind::Time),
        ColumnType::DATETIME | ColumnType::DATETIME2 | ColumnType::TIMESTAMP | ColumnType::TIMESTAMP2 => {
            Some(TemporalKind::DateTime)
        }
        _ => None,
    }
}

fn integer(text: &[u8], is_unsigned: bool) -> Result<[u8; 8], Malformed> {
    if is_unsigned { Ok(parse::<u64>(text)?.to_le_bytes()) } else { Ok(parse::<i64>(text)?.to_le_bytes()) }
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Result<T, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| MALFORMED_TEXT_ROW)?;
    text.parse().map_err(|_| MALFORMED_TEXT_ROW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fuzzing::{RowParts, row_parts};
    use crate::wire::row::put_text_field;
    use proptest::prelude::*;

    fn column(column_type: ColumnType, flags: ColumnFlags) -> ColumnDefinition {
        ColumnDefinition { column_type, flags, ..ColumnDefinition::default() }
    }

    /// Rows that servers have sent in both protocols: the text row must become the binary row, and the binary row
    /// must decode to values with the same text.
    #[test]
    fn agrees_with_the_servers() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/row");
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            let RowParts { columns, text, binary } = row_parts(&data).unwrap();
            let mut out = vec![];
            text_row_to_binary(&columns, text, &mut out).unwrap();
            assert_eq!(out, binary, "{}", path.display());
            let values = decode_binary_row(&columns, binary).unwrap();
            for ((value, field), column) in values.iter().zip(text_fields(text)).zip(&columns) {
                let field = field.unwrap();
                let name = String::from_utf8_lossy(&column.name).into_owned();
                assert_eq!(field.is_none(), *value == Value::Null, "{} {name}", path.display());
                // The text of numbers depends on more than the value: ZEROFILL, digits of floats.
                let is_plain = !column.flags.contains(ColumnFlags::ZEROFILL)
                    && !matches!(
                        column.column_type,
                        ColumnType::FLOAT | ColumnType::DOUBLE | ColumnType::YEAR
                    );
                if is_plain {
                    let printed = value.as_ref().to_bytes().into_owned();
                    assert_eq!(printed, field.unwrap_or_default(), "{} {name}", path.display());
                }
            }
            count += 1;
        }
        assert!(count >= 8, "{count}");
    }

    fn check_integer(column_type: ColumnType, is_unsigned: bool, text: &str, expected: Option<&[u8]>) {
        let mut out = vec![];
        let result = put_binary_value(&mut out, column_type, is_unsigned, text.as_bytes());
        assert_eq!(result.ok().map(|()| &out[..]), expected, "{column_type:?} {text}");
    }

    #[test]
    fn integers_must_fit() {
        check_integer(ColumnType::TINY, false, "-128", Some(&[0x80]));
        check_integer(ColumnType::TINY, false, "127", Some(&[0x7F]));
        check_integer(ColumnType::TINY, false, "128", None);
        check_integer(ColumnType::TINY, false, "-129", None);
        check_integer(ColumnType::TINY, false, "-0", Some(&[0]));
        check_integer(ColumnType::TINY, true, "255", Some(&[0xFF]));
        check_integer(ColumnType::TINY, true, "256", None);
        check_integer(ColumnType::TINY, true, "-1", None);
        check_integer(ColumnType::YEAR, false, "2155", Some(&[0x6B, 8]));
        check_integer(ColumnType::LONG, false, "-1", Some(&[0xFF; 4]));
        check_integer(ColumnType::LONG, true, "00042", Some(&[42, 0, 0, 0]));
        check_integer(ColumnType::LONGLONG, true, "18446744073709551615", Some(&[0xFF; 8]));
        check_integer(ColumnType::LONGLONG, false, "9223372036854775808", None);
        check_integer(ColumnType::LONG, false, "x", None);
        check_integer(ColumnType::LONG, false, "", None);
    }

    #[test]
    fn rows_must_have_the_columns_announced() {
        let columns = [column(ColumnType::TINY, ColumnFlags::empty()), ColumnDefinition::text("s", 10)];
        let mut out = vec![];
        assert!(text_row_to_binary(&columns, b"\x011\x01a", &mut out).is_ok());
        assert_eq!(out, b"\0\0\x01\x01a");
        assert!(text_row_to_binary(&columns, b"\x011", &mut vec![]).is_err());
        assert!(text_row_to_binary(&columns, b"\x011\x01a\x01b", &mut vec![]).is_err());
        assert!(decode_binary_row(&columns, b"\0\0\x01\x01ab").is_err());
        assert!(decode_binary_row(&columns, b"\x01\0\x01\x01a").is_err());
        assert!(decode_binary_row(&columns, b"\0").is_err());
        assert_eq!(decode_binary_row(&columns, b"\0\x0C"), Ok(vec![Value::Null, Value::Null]));
    }

    proptest! {
        #[test]
        fn integers_round_trip(number: i64, width in 0usize..5) {
            let types =
                [ColumnType::TINY, ColumnType::SHORT, ColumnType::INT24, ColumnType::LONG, ColumnType::LONGLONG];
            let number = number >> [56, 48, 40, 32, 0][width];
            let columns = [column(types[width], ColumnFlags::empty())];
            let mut row = vec![];
            put_text_field(&mut row, Some(number.to_string().as_bytes()));
            let mut out = vec![];
            text_row_to_binary(&columns, &row, &mut out).unwrap();
            prop_assert_eq!(decode_binary_row(&columns, &out), Ok(vec![Value::Int(number)]));
        }

        #[test]
        fn arbitrary_rows_never_panic(
            types in proptest::collection::vec((any::<u8>(), any::<u16>(), any::<u8>()), 0..20),
            row in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let columns: Vec<_> = types.iter().map(|(column_type, flags, decimals)| {
                let flags = ColumnFlags::from_bits_retain(*flags);
                ColumnDefinition { decimals: *decimals, ..column(ColumnType(*column_type), flags) }
            }).collect();
            let _ = decode_binary_row(&columns, &row);
            let _ = text_row_to_binary(&columns, &row, &mut vec![]);
        }
    }
}
