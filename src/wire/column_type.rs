//! Column types and flags as column definitions and statement parameters name them.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html>

/// One byte that names a type. Servers may send numbers that are not listed here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ColumnType(pub u8);

impl ColumnType {
    /// Old DECIMAL, as text.
    pub const DECIMAL: Self = Self(0x00);
    /// TINYINT, BOOL.
    pub const TINY: Self = Self(0x01);
    /// SMALLINT.
    pub const SHORT: Self = Self(0x02);
    /// INT.
    pub const LONG: Self = Self(0x03);
    /// FLOAT.
    pub const FLOAT: Self = Self(0x04);
    /// DOUBLE.
    pub const DOUBLE: Self = Self(0x05);
    /// NULL.
    pub const NULL: Self = Self(0x06);
    /// TIMESTAMP.
    pub const TIMESTAMP: Self = Self(0x07);
    /// BIGINT.
    pub const LONGLONG: Self = Self(0x08);
    /// MEDIUMINT.
    pub const INT24: Self = Self(0x09);
    /// DATE.
    pub const DATE: Self = Self(0x0A);
    /// TIME.
    pub const TIME: Self = Self(0x0B);
    /// DATETIME.
    pub const DATETIME: Self = Self(0x0C);
    /// YEAR.
    pub const YEAR: Self = Self(0x0D);
    /// DATE as stored; not sent by servers.
    pub const NEWDATE: Self = Self(0x0E);
    /// VARCHAR as stored.
    pub const VARCHAR: Self = Self(0x0F);
    /// BIT.
    pub const BIT: Self = Self(0x10);
    /// TIMESTAMP with fraction, as stored.
    pub const TIMESTAMP2: Self = Self(0x11);
    /// DATETIME with fraction, as stored.
    pub const DATETIME2: Self = Self(0x12);
    /// TIME with fraction, as stored.
    pub const TIME2: Self = Self(0x13);
    /// Typed array (MySQL, not sent).
    pub const TYPED_ARRAY: Self = Self(0x14);
    /// VECTOR (MySQL 9).
    pub const VECTOR: Self = Self(0xF2);
    /// JSON (MySQL).
    pub const JSON: Self = Self(0xF5);
    /// DECIMAL, as text.
    pub const NEWDECIMAL: Self = Self(0xF6);
    /// ENUM as stored; sent as STRING with a flag.
    pub const ENUM: Self = Self(0xF7);
    /// SET as stored; sent as STRING with a flag.
    pub const SET: Self = Self(0xF8);
    /// TINYBLOB, TINYTEXT.
    pub const TINY_BLOB: Self = Self(0xF9);
    /// MEDIUMBLOB, MEDIUMTEXT.
    pub const MEDIUM_BLOB: Self = Self(0xFA);
    /// LONGBLOB, LONGTEXT.
    pub const LONG_BLOB: Self = Self(0xFB);
    /// BLOB, TEXT.
    pub const BLOB: Self = Self(0xFC);
    /// VARCHAR, VARBINARY.
    pub const VAR_STRING: Self = Self(0xFD);
    /// CHAR, BINARY, ENUM, SET.
    pub const STRING: Self = Self(0xFE);
    /// Spatial types.
    pub const GEOMETRY: Self = Self(0xFF);

    /// Whether it is an integer type.
    pub const fn is_integer(self) -> bool {
        matches!(self, Self::TINY | Self::SHORT | Self::LONG | Self::LONGLONG | Self::INT24 | Self::YEAR)
    }

    /// Whether rows carry its values as strings with a length, in both protocols.
    pub const fn is_string(self) -> bool {
        matches!(
            self,
            Self::STRING
                | Self::VAR_STRING
                | Self::VARCHAR
                | Self::ENUM
                | Self::SET
                | Self::TINY_BLOB
                | Self::BLOB
                | Self::MEDIUM_BLOB
                | Self::LONG_BLOB
        )
    }

    /// Whether it is DATE, TIME, DATETIME or TIMESTAMP.
    pub const fn is_temporal(self) -> bool {
        matches!(
            self,
            Self::DATE
                | Self::NEWDATE
                | Self::TIME
                | Self::TIME2
                | Self::DATETIME
                | Self::DATETIME2
                | Self::TIMESTAMP
                | Self::TIMESTAMP2
        )
    }
}

bitflags::bitflags! {
    /// Properties of a column.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ColumnFlags: u16 {
        /// Cannot be NULL.
        const NOT_NULL = 0x0001;
        /// Part of the primary key.
        const PRIMARY_KEY = 0x0002;
        /// Part of a unique key.
        const UNIQUE_KEY = 0x0004;
        /// Part of a non-unique key.
        const MULTIPLE_KEY = 0x0008;
        /// BLOB or TEXT.
        const BLOB = 0x0010;
        /// UNSIGNED.
        const UNSIGNED = 0x0020;
        /// ZEROFILL.
        const ZEROFILL = 0x0040;
        /// Binary collation.
        const BINARY = 0x0080;
        /// ENUM.
        const ENUM = 0x0100;
        /// AUTO_INCREMENT.
        const AUTO_INCREMENT = 0x0200;
        /// TIMESTAMP.
        const TIMESTAMP = 0x0400;
        /// SET.
        const SET = 0x0800;
        /// Without default value.
        const NO_DEFAULT_VALUE = 0x1000;
        /// Set to NOW on UPDATE.
        const ON_UPDATE_NOW = 0x2000;
        /// Part of some key.
        const PART_KEY = 0x4000;
        /// A number.
        const NUMBER = 0x8000;
    }
}
