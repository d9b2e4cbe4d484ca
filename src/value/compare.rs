//! Order of column values in their text form, for the types whose order does not depend on a collation.
//!
//! Character strings are compared by the server's own `WEIGHT_STRING()`, which arrives as [`ColumnClass::Bytes`].

use std::cmp::Ordering;

use super::decimal::Decimal;

/// How values of a column compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnClass {
    /// Byte by byte: binary strings, weight strings, `BIT`.
    Bytes,
    /// `DATE`, `DATETIME`, `TIMESTAMP`.
    DateTime,
    /// `DECIMAL`, and integers of any size.
    Decimal,
    /// `FLOAT`, `DOUBLE`.
    Float,
    /// Integer types and `YEAR`.
    Integer,
    /// `TIME`.
    Time,
}

/// Compares two values of one class; `NULL` (`None`) comes before everything, as in `ORDER BY`.
pub fn compare(class: ColumnClass, left: Option<&[u8]>, right: Option<&[u8]>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => compare_text(class, left, right),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

/// Compares two values that are not `NULL`. Text that is no value of the class compares by its bytes.
pub fn compare_text(class: ColumnClass, left: &[u8], right: &[u8]) -> Ordering {
    match class {
        ColumnClass::Bytes => left.cmp(right),
        ColumnClass::DateTime => trim_fraction(left).cmp(trim_fraction(right)),
        ColumnClass::Decimal => by_key(left, right, Decimal::parse),
        ColumnClass::Float => match (parse_float(left), parse_float(right)) {
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            _ => left.cmp(right),
        },
        ColumnClass::Integer => by_key(left, right, parse_integer),
        ColumnClass::Time => by_key(left, right, parse_time),
    }
}

fn by_key<K: Ord>(left: &[u8], right: &[u8], key: impl Fn(&[u8]) -> Option<K>) -> Ordering {
    match (key(left), key(right)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => left.cmp(right),
    }
}

fn parse_float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Wide enough for signed and unsigned 64-bit integers at once.
fn parse_integer(text: &[u8]) -> Option<i128> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || digits.len() > 30 {
        return None;
    }
    let number = digits
        .iter()
        .try_fold(0_i128, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i128::from(byte - b'0')))?;
    Some(sign * number)
}

/// `[-]hhh:mm:ss[.ffffff]` in microseconds.
fn parse_time(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text {
        [b'-', rest @ ..] => (-1, rest),
        rest => (1, rest),
    };
    let text = std::str::from_utf8(text).ok()?;
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() || fraction.len() > 6 {
        return None;
    }
    let micros: u32 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let micros = i64::from(micros) * 10_i64.pow(6 - u32::try_from(fraction.len()).ok()?);
    let seconds = (i64::from(hours) * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
    Some(sign * (seconds * 1_000_000 + micros))
}

/// `12:00:00.500` and `12:00:00.5` are the same moment.
fn trim_fraction(text: &[u8]) -> &[u8] {
    if !text.contains(&b'.') {
        return text;
    }
    let end = text.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
    let trimmed = &text[..end];
    trimmed.strip_suffix(b".").unwrap_or(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ordered_as_their_type_says() {
        let check = |class, left: &str, right: &str, expected| {
            assert_eq!(compare_text(class, left.as_bytes(), right.as_bytes()), expected, "{left} {right}");
            assert_eq!(
                compare_text(class, right.as_bytes(), left.as_bytes()),
                expected.reverse(),
                "{right} {left}"
            );
        };
        check(ColumnClass::Integer, "9", "10", Ordering::Less);
        check(ColumnClass::Integer, "-9", "-10", Ordering::Greater);
        check(ColumnClass::Integer, "18446744073709551615", "-1", Ordering::Greater);
        check(ColumnClass::Decimal, "1.50", "1.5", Ordering::Equal);
        check(ColumnClass::Decimal, "-0.1", "0", Ordering::Less);
        check(ColumnClass::Float, "1e20", "99", Ordering::Greater);
        check(ColumnClass::Bytes, "a", "B", Ordering::Greater);
        check(ColumnClass::DateTime, "2024-01-01 00:00:00", "2024-01-01 00:00:00.000", Ordering::Equal);
        check(ColumnClass::DateTime, "2024-01-01 00:00:00", "2024-01-01 00:00:00.001", Ordering::Less);
        check(ColumnClass::Time, "-01:00:00", "-02:00:00", Ordering::Greater);
        check(ColumnClass::Time, "100:00:00", "99:59:59.9", Ordering::Greater);
    }

    #[test]
    fn null_comes_first() {
        assert_eq!(compare(ColumnClass::Integer, None, Some(b"-5")), Ordering::Less);
        assert_eq!(compare(ColumnClass::Integer, None, None), Ordering::Equal);
    }
}
