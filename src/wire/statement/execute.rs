//! Body of COM_STMT_EXECUTE: which statement, and the values of its parameters.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html>. How many parameters
//! there are, and with `types_are_new` off also their types, only the session knows: that is why a body is
//! taken apart in two steps.

use super::long_data::LongData;
use crate::value::ValueRef;
use crate::wire::column_type::ColumnType;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::response::ColumnDefinition;
use crate::wire::row::{BinaryType, binary_value, read_binary_value};
use crate::wire::writer::put_lenenc_bytes;

/// First byte of the command.
const STMT_EXECUTE: u8 = 0x17;
/// Bytes of one parameter's type.
const TYPE_BYTES: usize = 2;

/// COM_STMT_EXECUTE with its parameters still encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StmtExecute<'a> {
    /// The prepared statement.
    pub statement_id: u32,
    /// Kind of cursor to open; 0 for none.
    pub flags: u8,
    /// Always 1.
    pub iteration_count: u32,
    /// Everything about parameters; see [`Self::parameters`].
    pub body: &'a [u8],
}

impl<'a> StmtExecute<'a> {
    /// Reads what follows the command's byte.
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let statement_id = reader.u32()?;
        let flags = reader.u8()?;
        let iteration_count = reader.u32()?;
        Ok(Self { statement_id, flags, iteration_count, body: reader.rest() })
    }

    /// Appends what follows the command's byte.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.statement_id.to_le_bytes());
        out.push(self.flags);
        out.extend_from_slice(&self.iteration_count.to_le_bytes());
        out.extend_from_slice(self.body);
    }

    /// Finds the parameters in the body. `count` is the prepared statement's; `known_types` are those of its
    /// latest execution ([`Parameters::types`]), used when this one brings none; empty if there was none.
    pub fn parameters(&self, count: usize, known_types: &'a [u8]) -> Result<Parameters<'a>, Malformed> {
        if count == 0 {
            return Ok(Parameters::default());
        }
        let mut reader = Reader::new(self.body, "COM_STMT_EXECUTE");
        let null_bitmap = reader.bytes(count.div_ceil(8))?;
        let types_are_new = reader.u8()? != 0;
        let types = if types_are_new { reader.bytes(count * TYPE_BYTES)? } else { known_types };
        if types.len() != count * TYPE_BYTES {
            return Err(reader.malformed());
        }
        Ok(Parameters { count, null_bitmap, types, types_are_new, values: reader.rest() })
    }
}

/// Type of a parameter as the client sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterType {
    /// Type.
    pub column_type: ColumnType,
    /// Whether an integer is unsigned.
    pub is_unsigned: bool,
}

/// One parameter of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Type.
    pub parameter_type: ParameterType,
    /// Value.
    pub value: ParameterValue<'a>,
}

impl<'a> Parameter<'a> {
    /// The decoded value. `scratch` holds the text of dates and times; what was in it is overwritten.
    pub fn decode(&self, scratch: &'a mut Vec<u8>) -> Result<ValueRef<'a>, Malformed> {
        let ParameterType { column_type, is_unsigned } = self.parameter_type;
        let is_binary = matches!(
            column_type,
            ColumnType::TINY_BLOB | ColumnType::MEDIUM_BLOB | ColumnType::LONG_BLOB | ColumnType::BLOB
        );
        match self.value {
            ParameterValue::Null => Ok(ValueRef::Null),
            ParameterValue::LongData(data) if is_binary => Ok(ValueRef::Bytes(data)),
            ParameterValue::LongData(data) => Ok(ValueRef::Text(data)),
            ParameterValue::Binary(bytes) => {
                let decimals = ColumnDefinition::DECIMALS_NOT_FIXED;
                binary_value(BinaryType { column_type, is_unsigned, is_binary, decimals }, bytes, scratch)
            }
        }
    }
}

/// Value of a parameter, still in the binary protocol's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterValue<'a> {
    /// Content of a value that has a length before it (strings, decimals, temporal values), or the bytes of a
    /// number, without that length.
    Binary(&'a [u8]),
    /// Sent ahead with COM_STMT_SEND_LONG_DATA.
    LongData(&'a [u8]),
    /// NULL.
    Null,
}

/// The parameters of one execution, found but not decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    count: usize,
    null_bitmap: &'a [u8],
    types: &'a [u8],
    types_are_new: bool,
    values: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The types, as sent; to be kept for executions that bring none.
    pub fn types(&self) -> &'a [u8] {
        self.types
    }

    /// Whether this execution brought its types.
    pub fn types_are_new(&self) -> bool {
        self.types_are_new
    }

    /// The parameters in order. Fails at the first that does not fit into the packet, and after the last if
    /// bytes are left over.
    pub fn iter(
        &self,
        long_data: &'a LongData,
    ) -> impl Iterator<Item = Result<Parameter<'a>, Malformed>> + use<'a> {
        let parameters = *self;
        let mut reader = Reader::new(parameters.values, "COM_STMT_EXECUTE");
        (0..parameters.count).map(move |index| {
            let parameter_type = parameters.parameter_type(index);
            let value = if let Some(data) = long_data.get(index) {
                ParameterValue::LongData(data)
            } else if parameters.is_null(index) {
                ParameterValue::Null
            } else {
                ParameterValue::Binary(read_binary_value(&mut reader, parameter_type.column_type)?)
            };
            if index + 1 == parameters.count && !reader.is_empty() {
                return Err(reader.malformed());
            }
            Ok(Parameter { parameter_type, value })
        })
    }

    /// Appends the payload of a COM_STMT_EXECUTE for another server's `statement_id`: always with types, with
    /// long data as ordinary values, and without a cursor.
    pub fn encode_execute(
        &self,
        out: &mut Vec<u8>,
        statement_id: u32,
        long_data: &LongData,
    ) -> Result<(), Malformed> {
        out.push(STMT_EXECUTE);
        out.extend_from_slice(&statement_id.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&1u32.to_le_bytes());
        if self.count == 0 {
            return Ok(());
        }
        let bitmap_at = out.len();
        out.extend_from_slice(self.null_bitmap);
        out.push(1);
        let types_at = out.len();
        out.extend_from_slice(self.types);
        if long_data.is_empty() {
            out.extend_from_slice(self.values);
            return Ok(());
        }
        let mut reader = Reader::new(self.values, "COM_STMT_EXECUTE");
        for index in 0..self.count {
            if let Some(data) = long_data.get(index) {
                out[bitmap_at + index / 8] &= !(1 << (index % 8));
                let column_type = &mut out[types_at + index * TYPE_BYTES];
                if !has_length(ColumnType(*column_type)) {
                    *column_type = ColumnType::BLOB.0;
                }
                put_lenenc_bytes(out, data);
            } else if !self.is_null(index) {
                let before = self.values.len() - reader.remaining();
                read_binary_value(&mut reader, self.parameter_type(index).column_type)?;
                out.extend_from_slice(&self.values[before..self.values.len() - reader.remaining()]);
            }
        }
        if reader.is_empty() { Ok(()) } else { Err(reader.malformed()) }
    }

    fn is_null(&self, index: usize) -> bool {
        self.null_bitmap[index / 8] & (1 << (index % 8)) != 0
    }

    fn parameter_type(&self, index: usize) -> ParameterType {
        let column_type = ColumnType(self.types[index * TYPE_BYTES]);
        ParameterType { column_type, is_unsigned: self.types[index * TYPE_BYTES + 1] & 0x80 != 0 }
    }
}

/// Whether values of a type travel as bytes with a length before them, like strings.
fn has_length(column_type: ColumnType) -> bool {
    matches!(column_type.0, 0x00 | 0x0F | 0x10 | 0xF2 | 0xF5..=0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::capability::Capabilities;
    use crate::wire::command::Command;

    fn execute(payload: &[u8]) -> StmtExecute<'_> {
        match Command::decode(payload, Capabilities::OFFERED) {
            Ok(Command::StmtExecute(execute)) => execute,
            other => panic!("{other:?}"),
        }
    }

    // Three parameters: BIGINT UNSIGNED 5, NULL, VARCHAR "abc"; with a read-only cursor.
    const PAYLOAD: &[u8] =
        b"\x17\x07\0\0\0\x01\x01\0\0\0\x02\x01\x08\x80\xFD\0\xFD\0\x05\0\0\0\0\0\0\0\x03abc";

    #[test]
    fn parameters_are_found() {
        let execute = execute(PAYLOAD);
        assert_eq!((execute.statement_id, execute.flags, execute.iteration_count), (7, 1, 1));
        let parameters = execute.parameters(3, &[]).unwrap();
        assert!(parameters.types_are_new());
        let none = LongData::default();
        let found: Vec<_> = parameters.iter(&none).map(Result::unwrap).collect();
        assert_eq!(found[0].value, ParameterValue::Binary(&[5, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(
            found[0].parameter_type,
            ParameterType { column_type: ColumnType::LONGLONG, is_unsigned: true }
        );
        assert_eq!(found[1].value, ParameterValue::Null);
        assert_eq!(found[2].value, ParameterValue::Binary(b"abc"));
    }

    #[test]
    fn parameters_are_decoded() {
        use crate::value::TemporalKind;
        let payload = b"\x17\x07\0\0\0\0\x01\0\0\0\0\x01\x0C\0\xFC\0\x01\0\
            \x0B\xE8\x07\x02\x1D\x0C\x22\x38\x01\0\0\0\x02\xFF\0\xFF";
        let execute = execute(payload);
        let parameters = execute.parameters(3, &[]).unwrap();
        let none = LongData::default();
        let mut scratch = vec![];
        let values: Vec<_> = parameters
            .iter(&none)
            .map(|parameter| parameter.unwrap().decode(&mut scratch).unwrap().to_owned())
            .collect();
        let date = b"2024-02-29 12:34:56.000001";
        assert_eq!(values[0].as_ref(), ValueRef::Temporal(TemporalKind::DateTime, date));
        assert_eq!(values[1].as_ref(), ValueRef::Bytes(&[0xFF, 0]));
        assert_eq!(values[2].as_ref(), ValueRef::Int(-1));
    }

    #[test]
    fn known_types_are_used_when_none_are_sent() {
        let payload = b"\x17\x07\0\0\0\0\x01\0\0\0\x02\0\x05\0\0\0\0\0\0\0\x03abc";
        let execute = execute(payload);
        assert!(execute.parameters(3, &[]).is_err());
        let parameters = execute.parameters(3, b"\x08\x80\xFD\0\xFD\0").unwrap();
        let mut out = vec![];
        parameters.encode_execute(&mut out, 9, &LongData::default()).unwrap();
        let expected = b"\x17\x09\0\0\0\0\x01\0\0\0\x02\x01\x08\x80\xFD\0\xFD\0\x05\0\0\0\0\0\0\0\x03abc";
        assert_eq!(out, expected);
    }

    #[test]
    fn long_data_becomes_an_ordinary_value() {
        let execute = execute(PAYLOAD);
        let parameters = execute.parameters(3, &[]).unwrap();
        let mut long_data = LongData::default();
        long_data.append(1, b"long").unwrap();
        let mut out = vec![];
        parameters.encode_execute(&mut out, 9, &long_data).unwrap();
        let expected =
            b"\x17\x09\0\0\0\0\x01\0\0\0\0\x01\x08\x80\xFD\0\xFD\0\x05\0\0\0\0\0\0\0\x04long\x03abc";
        assert_eq!(out, expected);
        assert_eq!(
            parameters.iter(&long_data).nth(1).unwrap().unwrap().value,
            ParameterValue::LongData(b"long")
        );
    }

    #[test]
    fn lies_are_refused() {
        assert!(
            execute(PAYLOAD).parameters(4, &[]).is_err() || execute(PAYLOAD).parameters(40, &[]).is_err()
        );
        let none = LongData::default();
        for end in PAYLOAD.len() - 12..PAYLOAD.len() {
            let parameters = execute(&PAYLOAD[..end]).parameters(3, &[]).unwrap();
            assert!(parameters.iter(&none).any(|parameter| parameter.is_err()), "{end}");
        }
        let longer = [PAYLOAD, b"x"].concat();
        let parameters = execute(&longer).parameters(3, &[]).unwrap();
        assert!(parameters.iter(&none).any(|parameter| parameter.is_err()));
    }

    #[test]
    fn no_parameters_need_no_body() {
        let execute = execute(b"\x17\x07\0\0\0\0\x01\0\0\0");
        let parameters = execute.parameters(0, &[]).unwrap();
        assert_eq!(parameters.iter(&LongData::default()).count(), 0);
        let mut out = vec![];
        parameters.encode_execute(&mut out, 3, &LongData::default()).unwrap();
        assert_eq!(out, b"\x17\x03\0\0\0\0\x01\0\0\0");
    }
}
