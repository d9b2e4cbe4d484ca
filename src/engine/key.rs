//! Keys of rows as bytes whose order is the servers' order.
//!
//! Each part of a key is encoded so that plain byte comparison gives what the server's comparison gives: merging,
//! grouping, sorting and removing repetitions all work on these bytes. A part begins with 0 for NULL (which is
//! smallest) or 1; descending parts have their bits turned round.

use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{ColumnRef, SortKey};
use crate::value::Decimal;
use crate::wire::column_type::{ColumnFlags, ColumnType};
use crate::wire::response::ColumnDefinition;
use crate::wire::row::text_fields;

/// How the values of a column are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Bytes,
    Decimal,
    Float,
    Integer,
    /// Text of fixed width per column.
    Moment,
    /// By weight string.
    Text,
    Time,
}

/// One key, with its columns found in the rows.
#[derive(Clone, Debug)]
pub(super) struct KeyPart {
    column: usize,
    weight: Option<usize>,
    pad: Option<usize>,
    is_descending: bool,
    class: Class,
}

/// What a key is for: MIN and MAX compare ENUM and SET values as strings, everything else by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Extreme,
    Order,
}

/// Longest weight of one space: longer ones come from collations of several levels, whose weights cannot be
/// padded from outside.
const PAD_BYTES_MAX: usize = 4;

/// The index of a column in rows of `count` columns, of which the last `helpers` are helpers.
pub(super) fn index_of(column: ColumnRef, count: usize, helpers: usize) -> Result<usize> {
    let index = match column {
        ColumnRef::Helper(index) => count.checked_sub(helpers).map(|visible| visible + index as usize),
        ColumnRef::Visible(index) => Some(index as usize),
    };
    index
        .filter(|index| *index < count)
        .ok_or_else(|| Error::bug("a plan names a column that rows do not have"))
}

impl KeyPart {
    pub(super) fn new(
        key: &SortKey,
        columns: &[ColumnDefinition],
        helpers: usize,
        purpose: Use,
    ) -> Result<Self> {
        let find = |column| index_of(column, columns.len(), helpers);
        let column = find(key.column)?;
        let weight = key.weight.map(find).transpose()?;
        if purpose == Use::Order
            && let Some(weight) = weight
            && let Some(class) = number_of(&columns[column], &columns[weight])
        {
            return Ok(Self {
                column: weight,
                weight: None,
                pad: None,
                is_descending: key.descending,
                class,
            });
        }
        let class = class_of(&columns[column], purpose)?;
        if class == Class::Text && weight.is_none() {
            // The plan took it for a number: it was one, or it is one in a part of a union.
            let name = String::from_utf8_lossy(&columns[column].name).into_owned();
            return Err(Error::unsupported(format!("comparing the text column {name} without weights")));
        }
        let pad = key.pad.map(find).transpose()?;
        Ok(Self { column, weight, pad, is_descending: key.descending, class })
    }

    /// Keys of two columns whose equal values have equal keys, where servers compare their values as they are shown.
    pub(super) fn joining(a: (usize, &ColumnDefinition), b: (usize, &ColumnDefinition)) -> Result<[Self; 2]> {
        let refuse = || Error::unsupported("joining columns of these types across shards");
        let (Some(mut own), Some(other)) = (class_as_shown(a.1), class_as_shown(b.1)) else {
            return Err(refuse());
        };
        if own != other {
            let is_number = |class| matches!(class, Class::Integer | Class::Decimal);
            if !is_number(own) || !is_number(other) {
                return Err(refuse());
            }
            own = Class::Decimal;
        } else if own == Class::Moment && a.1.column_type != b.1.column_type {
            return Err(refuse());
        }
        Ok([Self::of_class(a.0, own), Self::of_class(b.0, own)])
    }

    /// The key of text by its weights, and the weight of a space behind them.
    pub(super) fn by_weights(
        (weight, definition): (usize, &ColumnDefinition),
        pad: (usize, &ColumnDefinition),
    ) -> Result<Self> {
        let are_weights = [definition, pad.1].iter().all(|column| {
            column.column_type == ColumnType::NULL
                || column.column_type.is_string() && column.collation == ColumnDefinition::COLLATION_BINARY
        });
        if !are_weights {
            return Err(Error::unsupported("joining text without weights across shards"));
        }
        Ok(Self { pad: Some(pad.0), weight: Some(weight), ..Self::of_class(weight, Class::Text) })
    }

    /// The key of a column whose values are equal just when they are shown so.
    pub(super) fn by_value((column, definition): (usize, &ColumnDefinition)) -> Result<Self> {
        let class = class_as_shown(definition);
        let class =
            class.ok_or_else(|| Error::unsupported("UNION of columns of these types over several shards"));
        class.map(|class| Self::of_class(column, class))
    }

    fn of_class(column: usize, class: Class) -> Self {
        Self { column, weight: None, pad: None, is_descending: false, class }
    }

    /// Appends a value of a [`KeyPart::joining`] column as SQL. False: a constant might be read otherwise.
    /// `charset` is the word before those of bytes: `_binary`.
    pub(super) fn put_literal(&self, value: &[u8], charset: &[u8], out: &mut Vec<u8>) -> bool {
        match self.class {
            Class::Integer | Class::Decimal => out.extend_from_slice(value),
            Class::Bytes => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(charset);
                out.extend_from_slice(b" x'");
                for byte in value {
                    out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
                }
                out.push(b'\'');
            }
            // Parts of dates that are zero are an error in some modes.
            Class::Moment | Class::Time if !value.windows(3).any(|part| part == b"-00") => {
                out.push(b'\'');
                out.extend_from_slice(value);
                out.push(b'\'');
            }
            Class::Float | Class::Moment | Class::Text | Class::Time => return false,
        }
        true
    }

    fn encode(&self, fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let source = if self.class == Class::Text { self.weight.unwrap_or(self.column) } else { self.column };
        match fields.get(source)? {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                match self.class {
                    Class::Bytes => put_bytes(value, out),
                    Class::Decimal => put_decimal(value, out)?,
                    Class::Float => put_float(value, out)?,
                    Class::Integer => put_integer(value, out)?,
                    Class::Moment => put_bytes(without_fraction_zeros(value), out),
                    Class::Text => match self.pad.map(|pad| fields.get(pad)).transpose()?.flatten() {
                        Some(pad) if !pad.is_empty() => put_padded(value, pad, out)?,
                        _ => put_bytes(value, out),
                    },
                    Class::Time => put_time(value, out)?,
                }
            }
        }
        if self.is_descending {
            out[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
        Ok(())
    }
}

/// Replaces `out` by the key of a row.
pub(super) fn encode(parts: &[KeyPart], fields: &Fields<'_>, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    parts.iter().try_for_each(|part| part.encode(fields, out))
}

/// The fields of a row, by index.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a> {
    fields: smallvec::SmallVec<[Option<&'a [u8]>; 16]>,
}

impl<'a> Fields<'a> {
    /// Reads `count` fields, which must be all.
    pub(super) fn read(row: &'a [u8], count: usize) -> Result<Self> {
        let mut fields = smallvec::SmallVec::with_capacity(count);
        for field in text_fields(row) {
            fields.push(field.map_err(|_| broken_row())?);
        }
        if fields.len() == count { Ok(Self { fields }) } else { Err(broken_row()) }
    }

    pub(super) fn get(&self, index: usize) -> Result<Option<&'a [u8]>> {
        self.fields.get(index).copied().ok_or_else(broken_row)
    }
}

/// A server sent a row that does not have the columns it announced, or values not of their types.
pub(super) fn broken_row() -> Error {
    Error::new(ErrorKind::BackendProtocol, "a row does not fit its columns")
}

/// The class of a weight that is a number, because the column is of a type that weights do not order.
fn number_of(column: &ColumnDefinition, weight: &ColumnDefinition) -> Option<Class> {
    match weight.column_type {
        kind if kind.is_integer() && is_set(column) => Some(Class::Integer),
        ColumnType::DOUBLE if column.column_type == ColumnType::FLOAT => Some(Class::Float),
        _ => None,
    }
}

/// Is it an ENUM or SET, whose values are ordered by their numbers?
pub(super) fn is_set(column: &ColumnDefinition) -> bool {
    column.flags.intersects(ColumnFlags::ENUM | ColumnFlags::SET)
        || matches!(column.column_type, ColumnType::ENUM | ColumnType::SET)
}

/// The class of a column whose values servers compare as they are shown.
fn class_as_shown(column: &ColumnDefinition) -> Option<Class> {
    match column.column_type {
        _ if is_set(column) => None,
        // An hour of every year is there twice.
        ColumnType::YEAR | ColumnType::TIMESTAMP | ColumnType::TIMESTAMP2 => None,
        ColumnType::BIT | ColumnType::NULL | ColumnType::DOUBLE => None,
        _ => class_of(column, Use::Order).ok().filter(|class| *class != Class::Text),
    }
}

fn class_of(column: &ColumnDefinition, purpose: Use) -> Result<Class> {
    let refuse = |what: &str| {
        let name = String::from_utf8_lossy(&column.name).into_owned();
        Err(Error::unsupported(format!("comparing the {what} column {name} over several shards")))
    };
    match column.column_type {
        _ if is_set(column) && purpose == Use::Extreme => Ok(Class::Text),
        _ if is_set(column) => refuse("ENUM or SET"),
        // Of values that look alike any may be the largest.
        ColumnType::FLOAT if purpose == Use::Extreme => Ok(Class::Float),
        ColumnType::FLOAT => refuse("FLOAT"),
        ColumnType::JSON => refuse("JSON"),
        ColumnType::GEOMETRY => refuse("GEOMETRY"),
        ColumnType::VECTOR => refuse("VECTOR"),
        kind if kind.is_integer() => Ok(Class::Integer),
        ColumnType::DECIMAL | ColumnType::NEWDECIMAL => Ok(Class::Decimal),
        ColumnType::DOUBLE => Ok(Class::Float),
        ColumnType::TIME | ColumnType::TIME2 => Ok(Class::Time),
        kind if kind.is_temporal() => Ok(Class::Moment),
        // Servers take the largest of bits by another order than the one that they sort by.
        ColumnType::BIT if purpose == Use::Extreme => refuse("BIT"),
        ColumnType::BIT | ColumnType::NULL => Ok(Class::Bytes),
        _ if column.collation == ColumnDefinition::COLLATION_BINARY => Ok(Class::Bytes),
        _ => Ok(Class::Text),
    }
}

/// Zero bytes are escaped, so that the end is smaller than every continuation.
fn put_bytes(value: &[u8], out: &mut Vec<u8>) {
    for byte in value {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

fn put_integer(value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let text = std::str::from_utf8(value).map_err(|_| broken_row())?;
    if let Some(digits) = text.strip_prefix('-') {
        let number: u64 = digits.parse().map_err(|_| broken_row())?;
        out.push(u8::from(number == 0));
        out.extend_from_slice(&if number == 0 { 0 } else { !number }.to_be_bytes());
    } else {
        let number: u64 = text.parse().map_err(|_| broken_row())?;
        out.push(1);
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

fn put_decimal(value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    Decimal::parse(value).ok_or_else(broken_row)?;
    let is_negative = value.first() == Some(&b'-');
    let digits = value.strip_prefix(b"-").or(value.strip_prefix(b"+")).unwrap_or(value);
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let whole = &digits[..point];
    let whole = &whole[whole.iter().take_while(|byte| **byte == b'0').count()..];
    let fraction = digits.get(point + 1..).unwrap_or_default();
    let fraction = &fraction[..fraction.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1)];
    if whole.is_empty() && fraction.is_empty() {
        out.push(1);
        return Ok(());
    }
    out.push(if is_negative { 0 } else { 2 });
    let start = out.len();
    out.push(u8::try_from(whole.len()).map_err(|_| broken_row())?);
    out.extend_from_slice(whole);
    out.extend_from_slice(fraction);
    out.push(0);
    if is_negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(())
}

fn put_float(value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let text = std::str::from_utf8(value).map_err(|_| broken_row())?;
    let number: f64 = text.parse().map_err(|_| broken_row())?;
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    let is_negative = bits >> 63 == 1;
    let ordered = if is_negative { !bits } else { bits | 1 << 63 };
    out.extend_from_slice(&ordered.to_be_bytes());
    Ok(())
}

fn put_time(value: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let (is_negative, digits) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let text = std::str::from_utf8(digits).map_err(|_| broken_row())?;
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds = 0_i64;
    for part in clock.split(':') {
        let number: i64 = part.parse().map_err(|_| broken_row())?;
        seconds = seconds.checked_mul(60).and_then(|s| s.checked_add(number)).ok_or_else(broken_row)?;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().map_err(|_| broken_row())?;
    let total = seconds.checked_mul(1_000_000).and_then(|s| s.checked_add(micros)).ok_or_else(broken_row)?;
    let total = if is_negative { -total } else { total };
    out.extend_from_slice(&(total.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    Ok(())
}

fn without_fraction_zeros(value: &[u8]) -> &[u8] {
    if !value.contains(&b'.') {
        return value;
    }
    let end = value.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    let value = &value[..end];
    value.strip_suffix(b".").unwrap_or(value)
}

/// A weight string of a collation that compares as if both strings went on with spaces for ever.
///
/// `pad` is the weight of one space. What follows at a position is, from smallest to largest: a weight below the
/// pad (1), pads and then something below (2), nothing but pads (3), pads and then something above (4), a
/// weight above (5).
fn put_padded(weights: &[u8], pad: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if pad.len() > PAD_BYTES_MAX || !weights.len().is_multiple_of(pad.len()) {
        return Err(Error::unsupported("comparing text of this collation over several shards"));
    }
    let units = || weights.chunks_exact(pad.len());
    let end = units().rposition(|unit| unit != pad).map_or(0, |last| last + 1);
    let mut run_goes_below = false;
    let mut run_end = 0;
    for (index, unit) in units().take(end).enumerate() {
        if unit != pad {
            out.push(if unit < pad { 1 } else { 5 });
            out.extend_from_slice(unit);
            continue;
        }
        if index >= run_end {
            let next = units().take(end).enumerate().skip(index).find(|(_, unit)| *unit != pad);
            (run_end, run_goes_below) = next.map_or((end, false), |(at, unit)| (at, unit < pad));
        }
        out.push(if run_goes_below { 2 } else { 4 });
    }
    out.push(3);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::row::put_text_field;

    fn column(column_type: ColumnType) -> ColumnDefinition {
        ColumnDefinition { column_type, ..ColumnDefinition::default() }
    }

    fn key_of(columns: &[ColumnDefinition], key: &SortKey, fields: &[Option<&[u8]>]) -> Vec<u8> {
        let mut row = Vec::new();
        fields.iter().for_each(|field| put_text_field(&mut row, *field));
        let part = KeyPart::new(key, columns, 0, Use::Order).unwrap();
        let mut out = Vec::new();
        encode(&[part], &Fields::read(&row, columns.len()).unwrap(), &mut out).unwrap();
        out
    }

    fn plain(descending: bool) -> SortKey {
        SortKey { column: ColumnRef::Visible(0), weight: None, pad: None, descending }
    }

    #[test]
    fn numbers_and_moments_are_ordered_by_value() {
        let check = |column_type, ordered: &[&str]| {
            for (index, low) in ordered.iter().enumerate() {
                for high in &ordered[index + 1..] {
                    let key = |text: &str, desc| {
                        key_of(&[column(column_type)], &plain(desc), &[Some(text.as_bytes())])
                    };
                    assert!(key(low, false) < key(high, false), "{low} {high}");
                    assert!(key(low, true) > key(high, true), "{low} {high} descending");
                    let null = key_of(&[column(column_type)], &plain(false), &[None]);
                    assert!(null < key(low, false));
                }
            }
        };
        check(
            ColumnType::LONGLONG,
            &["-9223372036854775808", "-10", "-9", "0", "9", "10", "18446744073709551615"],
        );
        check(
            ColumnType::NEWDECIMAL,
            &["-100.5", "-100", "-9.99", "-0.001", "0", "0.1", "0.11", "9", "10", "10.0001"],
        );
        check(ColumnType::DOUBLE, &["-1e300", "-2", "-1.5", "0", "1e-5", "2", "1e17"]);
        check(
            ColumnType::TIME,
            &["-838:59:59", "-02:00:00", "-01:00:00.5", "00:00:00", "09:00:00", "100:00:00"],
        );
        check(
            ColumnType::DATETIME,
            &["2020-01-01 00:00:00", "2020-01-01 00:00:00.001", "2020-01-01 00:00:01"],
        );
    }

    #[test]
    fn equal_values_have_equal_keys() {
        let check = |column_type, a: &str, b: &str| {
            let key = |text: &str| key_of(&[column(column_type)], &plain(false), &[Some(text.as_bytes())]);
            assert_eq!(key(a), key(b), "{a} {b}");
        };
        check(ColumnType::NEWDECIMAL, "1.50", "1.5");
        check(ColumnType::NEWDECIMAL, "-0.00", "0");
        check(ColumnType::DOUBLE, "-0", "0");
        check(ColumnType::LONG, "-0", "0");
        check(ColumnType::LONG, "007", "7");
        check(ColumnType::DATETIME, "2020-01-01 00:00:00.100", "2020-01-01 00:00:00.1");
    }

    #[test]
    fn enum_float_and_json_are_refused() {
        for column_type in [ColumnType::ENUM, ColumnType::FLOAT, ColumnType::JSON] {
            let error = KeyPart::new(&plain(false), &[column(column_type)], 0, Use::Order).unwrap_err();
            assert_eq!(error.kind(), Some(ErrorKind::Unsupported));
        }
    }

    /// Compares as MySQL does in PAD SPACE collations: both strings go on with spaces.
    fn pad_compare(a: &[u8], b: &[u8]) -> Ordering {
        let count = a.len().max(b.len());
        let unit = |text: &[u8], index: usize| text.get(index).copied().unwrap_or(b' ');
        (0..count)
            .map(|index| unit(a, index).cmp(&unit(b, index)))
            .find(|o| o.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    proptest! {
        #[test]
        fn padded_text_is_ordered_as_if_it_went_on_with_spaces(
            a in proptest::collection::vec(proptest::sample::select(b" \tab".to_vec()), 0..6),
            b in proptest::collection::vec(proptest::sample::select(b" \tab".to_vec()), 0..6),
        ) {
            let columns = vec![column(ColumnType::VAR_STRING); 3];
            let key = SortKey {
                column: ColumnRef::Visible(0),
                weight: Some(ColumnRef::Visible(1)),
                pad: Some(ColumnRef::Visible(2)),
                descending: false,
            };
            let of = |text: &[u8]| key_of(&columns, &key, &[Some(text), Some(text), Some(b" ")]);
            prop_assert_eq!(of(&a).cmp(&of(&b)), pad_compare(&a, &b));
        }

        #[test]
        fn bytes_are_ordered_as_bytes(a: Vec<u8>, b: Vec<u8>, c: Vec<u8>) {
            let binary = ColumnDefinition { collation: 63, ..ColumnDefinition::default() };
            let columns = vec![binary; 2];
            let part = |index| SortKey { column: ColumnRef::Visible(index), ..plain(false) };
            let of = |first: &[u8], second: &[u8]| {
                let mut row = Vec::new();
                put_text_field(&mut row, Some(first));
                put_text_field(&mut row, Some(second));
                let parts: Vec<_> =
                    [part(0), part(1)].iter().map(|key| KeyPart::new(key, &columns, 0, Use::Order).unwrap()).collect();
                let mut out = Vec::new();
                encode(&parts, &Fields::read(&row, 2).unwrap(), &mut out).unwrap();
                out
            };
            prop_assert_eq!(of(&a, &c).cmp(&of(&b, &c)), a.cmp(&b));
            prop_assert_eq!(of(&a, &b).cmp(&of(&c, &a)), (&a, &b).cmp(&(&c, &a)));
        }
    }
}
