//! Text form of approximate numbers, digit for digit as both engines print them.
//!
//! The shortest digits that read back as the same number (for `FLOAT`: at most six), in positional notation
//! while the point lies within 15 digits of them, otherwise as `d.ddde17`. Checked against MariaDB 10.11.

use std::io::Write;

/// Significant digits of a `FLOAT`.
const FLOAT_DIGITS: usize = 6;

/// Exponents (of `d.ddd`) that are written positionally.
const POSITIONAL: std::ops::RangeInclusive<i32> = -15..=14;

/// Appends a `DOUBLE`.
pub fn write_double(number: f64, out: &mut Vec<u8>) {
    write_scientific(number, format_args!("{number:e}"), out);
}

/// Appends a `FLOAT`.
pub fn write_float(number: f32, out: &mut Vec<u8>) {
    let number = f64::from(number);
    write_scientific(number, format_args!("{number:.*e}", FLOAT_DIGITS - 1), out);
}

/// `scientific` is Rust's form of the number: `-1.25e-7`.
fn write_scientific(number: f64, scientific: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    if !number.is_finite() {
        // Neither engine stores these; arithmetic gives NULL or an error instead.
        out.extend_from_slice(if number.is_nan() {
            b"nan"
        } else if number > 0.0 {
            b"inf"
        } else {
            b"-inf"
        });
        return;
    }
    let mut buffer = [0_u8; 40];
    let mut cursor = std::io::Cursor::new(&mut buffer[..]);
    cursor.write_fmt(scientific).expect("a double has at most 17 digits, a sign, a point and an exponent");
    let count = usize::try_from(cursor.position()).expect("the position lies in the buffer");
    let text = &buffer[..count];

    let text = if text[0] == b'-' {
        out.push(b'-');
        &text[1..]
    } else {
        text
    };
    let at = text.iter().position(|byte| *byte == b'e').expect("the format has an exponent");
    let exponent =
        std::str::from_utf8(&text[at + 1..]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let mut digits = [0_u8; 20];
    let mut digit_count = 0;
    for &digit in text[..at].iter().filter(|byte| **byte != b'.') {
        digits[digit_count] = digit;
        digit_count += 1;
    }
    while digit_count > 1 && digits[digit_count - 1] == b'0' {
        digit_count -= 1;
    }
    layout(&digits[..digit_count], exponent, out);
}

/// Writes `d.ddd × 10^exponent`.
fn layout(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    if !POSITIONAL.contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        write!(out, "e{exponent}").expect("writing to memory cannot fail");
        return;
    }
    let Ok(point) = usize::try_from(exponent + 1) else {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend_from_slice(digits);
        return;
    };
    if point == 0 {
        out.extend_from_slice(b"0.");
        out.extend_from_slice(digits);
    } else if digits.len() <= point {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', point - digits.len()));
    } else {
        out.extend_from_slice(&digits[..point]);
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(number: f64) -> String {
        let mut out = Vec::new();
        write_double(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn float(number: f32) -> String {
        let mut out = Vec::new();
        write_float(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn doubles_print_as_a_server_prints_them() {
        // Left: what MariaDB 10.11 answered.
        let check = |expected: &str, number: f64| assert_eq!(double(number), expected);
        check("0", 0.0);
        check("1.5", 1.5);
        check("100", 100.0);
        check("-1e15", -1e15);
        check("1e15", 1e15);
        check("100000000000000", 1e14);
        check("123456789012345", 123_456_789_012_345.0);
        check("1.234567890123456e15", 1_234_567_890_123_456.0);
        check("1.2345678901234568e16", 12_345_678_901_234_567.0);
        check("999999999999999.9", 999_999_999_999_999.9);
        check("0.00001", 1e-5);
        check("0.000000000000001", 1e-15);
        check("0.0000000000000015", 1.5e-15);
        check("1e-16", 1e-16);
        check("0.000000000123456789", 1.234_567_89e-10);
        check("0.3333333333333333", 1.0 / 3.0);
        check("1.7976931348623157e308", f64::MAX);
        check("5e-324", 5e-324);
        check("1e100", 1e100);
    }

    #[test]
    fn floats_have_six_digits() {
        let check = |expected: &str, number: f32| assert_eq!(float(number), expected);
        check("1.1", 1.1);
        check("123457000", 123_456_789.0);
        check("0.1", 0.1);
        check("0.0000000001", 1e-10);
        check("1e20", 1e20);
        check("3.4028e38", 3.4028e38);
        check("16777200", 16_777_216.0);
        check("1234570", 1_234_567.0);
        check("0.0000123457", 0.000_012_345_67);
        check("1.17549e-38", 1.175_49e-38);
    }

    proptest::proptest! {
        #[test]
        fn doubles_read_back(bits in proptest::num::u64::ANY) {
            let number = f64::from_bits(bits);
            if number.is_finite() {
                proptest::prop_assert_eq!(double(number).parse::<f64>().unwrap(), number);
            }
        }
    }
}
