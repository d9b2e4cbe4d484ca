//! Values as SQL literals, written so that a server reads back the same type and value.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/literals.html>

use super::{ValueRef, double};

/// Appends `value` as a literal.
pub(super) fn render(value: ValueRef<'_>, out: &mut Vec<u8>, no_backslash_escapes: bool) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"NULL"),
        ValueRef::Int(number) => write_int(number, out),
        ValueRef::UInt(number) => write_uint(number, out),
        ValueRef::Double(number) => write_approximate(out, |out| double::write_double(number, out)),
        ValueRef::Float(number) => write_approximate(out, |out| double::write_float(number, out)),
        ValueRef::Decimal(text) => write_decimal(text, out),
        ValueRef::Text(text) | ValueRef::Temporal(_, text) => quote_string(text, out, no_backslash_escapes),
        // The introducer makes it a string also where a bare hexadecimal literal would be a number.
        ValueRef::Bytes(bytes) => {
            out.extend_from_slice(b"_binary x'");
            write_hex(bytes, out);
            out.push(b'\'');
        }
        ValueRef::Bit(bytes) => {
            out.extend_from_slice(b"x'");
            write_hex(bytes, out);
            out.push(b'\'');
        }
    }
}

/// Appends `text` as a quoted string literal.
///
/// Text in a character set whose characters may contain the byte of a backslash or quote (gbk, sjis, …) must
/// not come here: send such text as the client wrote it, or as [`ValueRef::Bytes`].
pub fn quote_string(text: &[u8], out: &mut Vec<u8>, no_backslash_escapes: bool) {
    out.reserve(text.len() + 2);
    out.push(b'\'');
    for &byte in text {
        match byte {
            b'\'' => out.extend_from_slice(b"''"),
            _ if no_backslash_escapes => out.push(byte),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0 => out.extend_from_slice(b"\\0"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x1a => out.extend_from_slice(b"\\Z"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

/// Appends decimal digits with a sign where negative.
pub(super) fn write_int(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    write_uint(number.unsigned_abs(), out);
}

/// Appends decimal digits.
pub(super) fn write_uint(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).expect("a remainder of ten is one digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// A literal is approximate only with an exponent: `1.5` is exact, `1.5e0` is not.
fn write_approximate(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let text = &out[start..];
    if !text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e')) {
        // NaN and infinities cannot be written; MySQL itself never stores them.
        out.truncate(start);
        out.extend_from_slice(b"NULL");
    } else if !text.contains(&b'e') {
        out.extend_from_slice(b"e0");
    }
}

/// A decimal without a point would be read as an integer.
fn write_decimal(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    if !text.contains(&b'.') {
        out.push(b'.');
    }
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: ValueRef<'_>, expected: &str) {
        let mut out = Vec::new();
        value.render_literal(&mut out, false);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn literals_keep_type_and_value() {
        check(ValueRef::Null, "NULL");
        check(ValueRef::Int(-5), "-5");
        check(ValueRef::UInt(5), "5");
        check(ValueRef::Double(5.0), "5e0");
        check(ValueRef::Double(1e100), "1e100");
        check(ValueRef::Double(f64::NAN), "NULL");
        check(ValueRef::Decimal(b"10.50"), "10.50");
        check(ValueRef::Decimal(b"10"), "10.");
        check(ValueRef::Bytes(&[0, 0xff]), "_binary x'00FF'");
        check(ValueRef::Bit(&[5]), "x'05'");
        check(ValueRef::Text(b"it's\n\\\0\x1a"), "'it''s\\n\\\\\\0\\Z'");
    }

    #[test]
    fn without_backslash_escapes_only_quotes_are_doubled() {
        let mut out = Vec::new();
        ValueRef::Text(b"a\\b'c\n").render_literal(&mut out, true);
        assert_eq!(out, b"'a\\b''c\n'");
    }
}
