//! Column types as VSchema files name them: the names and numbers of Vitess's `query.Type`.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! column_types {
    ($($name:ident = $number:literal $text:literal,)*) => {
        /// The type of a column; the default says nothing.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are MySQL's own type names")]
        pub enum ColumnType { #[default] $($name,)* }

        impl ColumnType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in VSchema files, upper case.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $text,)* } }

            /// The number in VSchema files.
            pub const fn number(self) -> u16 { match self { $(Self::$name => $number,)* } }
        }
    };
}

column_types! {
    Unspecified = 0 "NULL_TYPE",
    Int8 = 257 "INT8",
    UInt8 = 770 "UINT8",
    Int16 = 259 "INT16",
    UInt16 = 772 "UINT16",
    Int24 = 261 "INT24",
    UInt24 = 774 "UINT24",
    Int32 = 263 "INT32",
    UInt32 = 776 "UINT32",
    Int64 = 265 "INT64",
    UInt64 = 778 "UINT64",
    Float32 = 1035 "FLOAT32",
    Float64 = 1036 "FLOAT64",
    Timestamp = 2061 "TIMESTAMP",
    Date = 2062 "DATE",
    Time = 2063 "TIME",
    DateTime = 2064 "DATETIME",
    Year = 785 "YEAR",
    Decimal = 18 "DECIMAL",
    Text = 6163 "TEXT",
    Blob = 10260 "BLOB",
    VarChar = 6165 "VARCHAR",
    VarBinary = 10262 "VARBINARY",
    Char = 6167 "CHAR",
    Binary = 10264 "BINARY",
    Bit = 2073 "BIT",
    Enum = 2074 "ENUM",
    Set = 2075 "SET",
    Tuple = 28 "TUPLE",
    Geometry = 2077 "GEOMETRY",
    Json = 2078 "JSON",
    Expression = 31 "EXPRESSION",
    HexNum = 4128 "HEXNUM",
    HexVal = 4129 "HEXVAL",
    BitNum = 4130 "BITNUM",
    Vector = 2083 "VECTOR",
}

impl ColumnType {
    /// Reads a name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }

    /// Reads a number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| u64::from(kind.number()) == number)
    }

    /// Whether values are whole numbers.
    pub const fn is_integral(self) -> bool {
        self.number() & INTEGRAL != 0
    }

    /// Whether values are character strings, compared by a collation.
    pub const fn is_text(self) -> bool {
        self.number() & TEXT != 0 || matches!(self, Self::Enum | Self::Set)
    }

    /// Whether values are numbers of any kind.
    pub const fn is_number(self) -> bool {
        self.is_integral() || matches!(self, Self::Float32 | Self::Float64 | Self::Decimal)
    }
}

/// Bits that the numbers are made of.
const INTEGRAL: u16 = 256;
const TEXT: u16 = 4096;

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read_back() {
        for kind in ColumnType::ALL {
            assert_eq!(ColumnType::parse(&kind.as_str().to_lowercase()), Some(*kind));
            assert_eq!(ColumnType::from_number(u64::from(kind.number())), Some(*kind));
        }
        assert_eq!(ColumnType::parse("INTEGER"), None);
        assert_eq!(ColumnType::from_number(1), None);
    }

    #[test]
    fn kinds() {
        assert!(ColumnType::Year.is_integral() && !ColumnType::Decimal.is_integral());
        assert!(ColumnType::VarChar.is_text() && !ColumnType::VarBinary.is_text());
        assert!(ColumnType::Decimal.is_number() && !ColumnType::Bit.is_number());
    }
}
