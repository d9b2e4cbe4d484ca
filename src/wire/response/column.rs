//! Column definition: name and type of one column of a result, or of one statement parameter.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_column_definition.html>

use crate::wire::column_type::{ColumnFlags, ColumnType};
use crate::wire::reader::{Malformed, Reader};
use crate::wire::writer::put_lenenc_bytes;

/// A column definition. Names are in the connection's character set, which the router keeps at utf8mb4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// Always `def`.
    pub catalog: Vec<u8>,
    /// Database.
    pub schema: Vec<u8>,
    /// Table, by its alias.
    pub table: Vec<u8>,
    /// Table, by its own name.
    pub org_table: Vec<u8>,
    /// Column, by its alias.
    pub name: Vec<u8>,
    /// Column, by its own name.
    pub org_name: Vec<u8>,
    /// Id of a collation; see `wire::charset`. 63 is binary.
    pub collation: u16,
    /// Longest value, in bytes as displayed.
    pub length: u32,
    /// Type.
    pub column_type: ColumnType,
    /// Properties.
    pub flags: ColumnFlags,
    /// Digits shown after the point; 31 for floats without fixed digits, 0..=6 for fractions of seconds.
    pub decimals: u8,
}

impl Default for ColumnDefinition {
    /// An empty VARCHAR column in utf8mb4.
    fn default() -> Self {
        Self {
            catalog: b"def".to_vec(),
            schema: vec![],
            table: vec![],
            org_table: vec![],
            name: vec![],
            org_name: vec![],
            collation: Self::COLLATION_UTF8MB4,
            length: 0,
            column_type: ColumnType::VAR_STRING,
            flags: ColumnFlags::empty(),
            decimals: 0,
        }
    }
}

impl ColumnDefinition {
    /// Collation of binary strings and of everything that is no text.
    pub const COLLATION_BINARY: u16 = 63;
    /// A collation of utf8mb4 that both engines know under one id (utf8mb4_general_ci).
    pub const COLLATION_UTF8MB4: u16 = 45;
    /// `decimals` of values whose number of digits is not fixed.
    pub const DECIMALS_NOT_FIXED: u8 = 31;

    /// Column of text that the router makes itself, of up to `characters_max` characters.
    pub fn text(name: impl Into<Vec<u8>>, characters_max: u32) -> Self {
        Self {
            name: name.into(),
            length: characters_max.saturating_mul(4),
            decimals: Self::DECIMALS_NOT_FIXED,
            ..Self::default()
        }
    }

    /// Column of BIGINT numbers that the router makes itself.
    pub fn integer(name: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            collation: Self::COLLATION_BINARY,
            length: 21,
            column_type: ColumnType::LONGLONG,
            flags: ColumnFlags::BINARY | ColumnFlags::NUMBER,
            ..Self::default()
        }
    }

    /// Whether values are unsigned integers.
    pub fn is_unsigned(&self) -> bool {
        self.flags.contains(ColumnFlags::UNSIGNED)
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let names = [&self.catalog, &self.schema, &self.table, &self.org_table, &self.name, &self.org_name];
        for name in names {
            put_lenenc_bytes(out, name);
        }
        out.push(FIXED_BYTES);
        out.extend_from_slice(&self.collation.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.push(self.column_type.0);
        out.extend_from_slice(&self.flags.bits().to_le_bytes());
        out.push(self.decimals);
        out.extend_from_slice(&[0, 0]);
    }

    /// Appends the payload as COM_FIELD_LIST wants it, with the column's default value.
    pub fn encode_for_field_list(&self, out: &mut Vec<u8>, default: Option<&[u8]>) {
        self.encode(out);
        match default {
            Some(default) => put_lenenc_bytes(out, default),
            None => out.push(0xFB),
        }
    }

    /// Takes a payload apart. A default value behind it (COM_FIELD_LIST) is passed over.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "column definition");
        let mut name = || reader.lenenc_bytes().map(<[u8]>::to_vec);
        let (catalog, schema, table, org_table) = (name()?, name()?, name()?, name()?);
        let (name, org_name) = (name()?, name()?);
        if reader.lenenc_int()? != u64::from(FIXED_BYTES) {
            return Err(reader.malformed());
        }
        let collation = reader.u16()?;
        let length = reader.u32()?;
        let column_type = ColumnType(reader.u8()?);
        let flags = ColumnFlags::from_bits_retain(reader.u16()?);
        let decimals = reader.u8()?;
        reader.skip(2)?;
        Ok(Self {
            catalog,
            schema,
            table,
            org_table,
            name,
            org_name,
            collation,
            length,
            column_type,
            flags,
            decimals,
        })
    }
}

/// Bytes of the part after the names, which the packet announces.
const FIXED_BYTES: u8 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes_what_a_server_sends() {
        // MariaDB 10.11: select 1 as a
        let payload = b"\x03def\x00\x00\x00\x01a\x00\x0c\x3f\x00\x01\x00\x00\x00\x03\x81\x80\x00\x00\x00";
        let column = ColumnDefinition::decode(payload).unwrap();
        assert_eq!(column.name, b"a");
        assert_eq!(column.column_type, ColumnType::LONG);
        assert_eq!(column.flags, ColumnFlags::NOT_NULL | ColumnFlags::BINARY | ColumnFlags::NUMBER);
        let mut out = vec![];
        column.encode(&mut out);
        assert_eq!(out, payload);
        for end in 0..payload.len() {
            assert!(ColumnDefinition::decode(&payload[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn default_values_of_field_lists_are_passed_over() {
        let column = ColumnDefinition::integer("id");
        for default in [None, Some(&b"17"[..])] {
            let mut out = vec![];
            column.encode_for_field_list(&mut out, default);
            assert_eq!(ColumnDefinition::decode(&out), Ok(column.clone()));
        }
    }

    proptest! {
        #[test]
        fn round_trip(
            names in proptest::array::uniform5(proptest::collection::vec(any::<u8>(), 0..300)),
            numbers: (u16, u32, u8, u16, u8),
        ) {
            let [schema, table, org_table, name, org_name] = names;
            let (collation, length, column_type, flags, decimals) = numbers;
            let column = ColumnDefinition {
                catalog: b"def".to_vec(), schema, table, org_table, name, org_name, collation, length,
                column_type: ColumnType(column_type), flags: ColumnFlags::from_bits_retain(flags), decimals,
            };
            let mut out = vec![];
            column.encode(&mut out);
            prop_assert_eq!(ColumnDefinition::decode(&out), Ok(column));
        }
    }
}
