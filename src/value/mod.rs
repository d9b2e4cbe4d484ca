//! SQL values and their text, comparison and arithmetic as MySQL defines them.
//!
//! A [`Value`] is what a literal, a bound parameter or a decoded column holds. Its text form is what MySQL
//! prints for it, and it is also what the vindexes hash. Knows no packets and no SQL grammar.

pub mod compare;
pub mod decimal;
pub mod double;
mod literal;

use std::borrow::Cow;
use std::fmt;

pub use compare::{ColumnClass, compare_text};
pub use decimal::Decimal;

/// Which of the temporal types a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TemporalKind {
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD hh:mm:ss[.ffffff]`, also `TIMESTAMP`.
    DateTime,
    /// `[-]hhh:mm:ss[.ffffff]`.
    Time,
}

/// An owned value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Bits of a `BIT` value or `b'…'` literal, most significant byte first.
    Bit(Box<[u8]>),
    /// Binary string.
    Bytes(Box<[u8]>),
    /// Exact number in its text form.
    Decimal(Box<[u8]>),
    /// Approximate number, 64 bits.
    Double(f64),
    /// Approximate number, 32 bits.
    Float(f32),
    /// Signed integer.
    Int(i64),
    /// SQL `NULL`.
    #[default]
    Null,
    /// Date or time in MySQL's text form.
    Temporal(TemporalKind, Box<[u8]>),
    /// Character string, in the bytes and character set of the connection.
    Text(Box<[u8]>),
    /// Unsigned integer.
    UInt(u64),
}

/// A borrowed [`Value`]; variants mean the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ValueRef<'a> {
    /// See [`Value::Bit`].
    Bit(&'a [u8]),
    /// See [`Value::Bytes`].
    Bytes(&'a [u8]),
    /// See [`Value::Decimal`].
    Decimal(&'a [u8]),
    /// See [`Value::Double`].
    Double(f64),
    /// See [`Value::Float`].
    Float(f32),
    /// See [`Value::Int`].
    Int(i64),
    /// See [`Value::Null`].
    #[default]
    Null,
    /// See [`Value::Temporal`].
    Temporal(TemporalKind, &'a [u8]),
    /// See [`Value::Text`].
    Text(&'a [u8]),
    /// See [`Value::UInt`].
    UInt(u64),
}

/// Why a value is no unsigned 64-bit integer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnInteger {
    text: String,
}

impl fmt::Display for NotAnInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot parse uint64 from {:?}", self.text)
    }
}

impl std::error::Error for NotAnInteger {}

impl Value {
    /// The same value, borrowed.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Bit(bytes) => ValueRef::Bit(bytes),
            Self::Bytes(bytes) => ValueRef::Bytes(bytes),
            Self::Decimal(text) => ValueRef::Decimal(text),
            Self::Double(number) => ValueRef::Double(*number),
            Self::Float(number) => ValueRef::Float(*number),
            Self::Int(number) => ValueRef::Int(*number),
            Self::Null => ValueRef::Null,
            Self::Temporal(kind, text) => ValueRef::Temporal(*kind, text),
            Self::Text(text) => ValueRef::Text(text),
            Self::UInt(number) => ValueRef::UInt(*number),
        }
    }

    /// A character string.
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// A binary string.
    pub fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bytes(bytes.as_ref().into())
    }

    /// Bytes of memory that the value holds outside of itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Bit(b) | Self::Bytes(b) | Self::Decimal(b) | Self::Temporal(_, b) | Self::Text(b) => {
                b.len()
            }
            Self::Double(_) | Self::Float(_) | Self::Int(_) | Self::Null | Self::UInt(_) => 0,
        }
    }
}

impl<'a> ValueRef<'a> {
    /// An owned copy.
    pub fn to_owned(self) -> Value {
        match self {
            Self::Bit(bytes) => Value::Bit(bytes.into()),
            Self::Bytes(bytes) => Value::Bytes(bytes.into()),
            Self::Decimal(text) => Value::Decimal(text.into()),
            Self::Double(number) => Value::Double(number),
            Self::Float(number) => Value::Float(number),
            Self::Int(number) => Value::Int(number),
            Self::Null => Value::Null,
            Self::Temporal(kind, text) => Value::Temporal(kind, text.into()),
            Self::Text(text) => Value::Text(text.into()),
            Self::UInt(number) => Value::UInt(number),
        }
    }

    /// Is it SQL `NULL`?
    pub fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value's bytes as MySQL prints them in a text row (Vitess's `ToBytes`): integers in decimal
    /// digits, strings as they are, hexadecimal and bit literals decoded, `NULL` empty.
    pub fn to_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Bit(b) | Self::Bytes(b) | Self::Decimal(b) | Self::Temporal(_, b) | Self::Text(b) => {
                Cow::Borrowed(b)
            }
            Self::Null => Cow::Borrowed(b""),
            Self::Double(_) | Self::Float(_) | Self::Int(_) | Self::UInt(_) => {
                let mut out = Vec::with_capacity(20);
                self.write_text(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// Appends what [`ValueRef::to_bytes`] gives.
    pub fn write_text(self, out: &mut Vec<u8>) {
        match self {
            Self::Bit(b) | Self::Bytes(b) | Self::Decimal(b) | Self::Temporal(_, b) | Self::Text(b) => {
                out.extend_from_slice(b);
            }
            Self::Null => {}
            Self::Double(number) => double::write_double(number, out),
            Self::Float(number) => double::write_float(number, out),
            Self::Int(number) => literal::write_int(number, out),
            Self::UInt(number) => literal::write_uint(number, out),
        }
    }

    /// The value as an unsigned 64-bit integer (Vitess's `ToCastUint64`): its text must be decimal digits
    /// only, so `-1`, `1.0`, `aa` and `NULL` are errors.
    pub fn to_uint64(self) -> Result<u64, NotAnInteger> {
        match self {
            Self::UInt(number) => Ok(number),
            Self::Int(number) => u64::try_from(number).map_err(|_| self.not_an_integer()),
            Self::Text(text) | Self::Bytes(text) | Self::Decimal(text) => {
                parse_uint(text).ok_or_else(|| self.not_an_integer())
            }
            Self::Bit(_) | Self::Double(_) | Self::Float(_) | Self::Null | Self::Temporal(..) => {
                parse_uint(&self.to_bytes()).ok_or_else(|| self.not_an_integer())
            }
        }
    }

    /// The value as a signed 64-bit integer, from an integer or from its decimal text.
    pub fn to_int64(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number),
            Self::UInt(number) => i64::try_from(number).ok(),
            Self::Null => None,
            other => std::str::from_utf8(&other.to_bytes()).ok()?.parse().ok(),
        }
    }

    /// Is it an integer type (not a string that holds digits)?
    pub fn is_integer(self) -> bool {
        matches!(self, Self::Int(_) | Self::UInt(_))
    }

    /// Appends the value as an SQL literal that means the same type and value on a server.
    ///
    /// With `no_backslash_escapes` (the `sql_mode` flag) strings are quoted by doubling quotes only.
    pub fn render_literal(self, out: &mut Vec<u8>, no_backslash_escapes: bool) {
        literal::render(self, out, no_backslash_escapes);
    }

    fn not_an_integer(self) -> NotAnInteger {
        NotAnInteger { text: String::from_utf8_lossy(&self.to_bytes()).into_owned() }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        value.as_ref()
    }
}

pub use literal::quote_string;

/// Decimal digits only; leading zeros are fine.
fn parse_uint(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_bytes_is_the_text_that_mysql_prints() {
        let check = |value: ValueRef<'_>, expected: &str| assert_eq!(value.to_bytes(), expected.as_bytes());
        check(ValueRef::Int(-7), "-7");
        check(ValueRef::Int(i64::MIN), "-9223372036854775808");
        check(ValueRef::UInt(u64::MAX), "18446744073709551615");
        check(ValueRef::Text(b"abc"), "abc");
        check(ValueRef::Null, "");
        check(ValueRef::Double(1.5), "1.5");
        check(ValueRef::Temporal(TemporalKind::Date, b"2024-02-29"), "2024-02-29");
    }

    #[test]
    fn to_uint64_takes_only_digits() {
        let check = |value: ValueRef<'_>, expected: Option<u64>| assert_eq!(value.to_uint64().ok(), expected);
        check(ValueRef::Int(1), Some(1));
        check(ValueRef::Int(-1), None);
        check(ValueRef::Text(b"18446744073709551615"), Some(u64::MAX));
        check(ValueRef::Text(b"18446744073709551616"), None);
        check(ValueRef::Text(b"000000000000000000000000007"), Some(7));
        check(ValueRef::Decimal(b"1.0"), None);
        check(ValueRef::Text(b"aa"), None);
        check(ValueRef::Null, None);
        let error = ValueRef::Text(b"aa").to_uint64().unwrap_err();
        assert_eq!(error.to_string(), "cannot parse uint64 from \"aa\"");
    }
}
