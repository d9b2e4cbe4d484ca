//! Literal source text -> value.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/string-literals.html>

use super::charset::is_ascii_superset;
use super::lex::{Arg, ArgKind};
use super::options::{LexOptions, Multibyte, SqlMode};
use crate::value::ValueRef;

/// Why an argument has no value that can be read from the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiteralError {
    /// A string with an introducer whose characters are not those of the connection.
    Charset,
    /// The span does not hold such a literal.
    Malformed,
    /// A placeholder, variable or list: its value is elsewhere.
    NotALiteral,
}

/// The value of a literal argument of `text`. Strings are decoded into `scratch` only if they have escapes.
pub fn arg_value<'a>(
    text: &'a [u8],
    arg: &Arg,
    options: &LexOptions,
    scratch: &'a mut Vec<u8>,
) -> Result<ValueRef<'a>, LiteralError> {
    let source = arg.span.of(text);
    match arg.kind {
        ArgKind::Integer => integer(source),
        ArgKind::Decimal => Ok(ValueRef::Decimal(source)),
        ArgKind::Float => {
            let number = std::str::from_utf8(source).ok().and_then(|text| text.parse().ok());
            number.map(ValueRef::Double).ok_or(LiteralError::Malformed)
        }
        ArgKind::Hex => hex(source, scratch).map(ValueRef::Bytes),
        ArgKind::Bit => bits(source, scratch).map(ValueRef::Bit),
        ArgKind::String => string(source, options, scratch).map(ValueRef::Text),
        // National strings are utf8: the same bytes as in utf8mb4, and in others while they are ASCII.
        ArgKind::NString => string(source.get(1..).unwrap_or_default(), options, scratch).map(ValueRef::Text),
        ArgKind::CharsetString => introduced(source, options, scratch),
        ArgKind::Placeholder(_) | ArgKind::UserVariable | ArgKind::List { .. } => {
            Err(LiteralError::NotALiteral)
        }
    }
}

/// The bytes of a quoted string literal, or of several that follow each other. Borrows from `source` unless
/// there is something to decode.
pub fn string<'a>(
    source: &'a [u8],
    options: &LexOptions,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], LiteralError> {
    let quote = *source.first().ok_or(LiteralError::Malformed)?;
    if !matches!(quote, b'\'' | b'"') {
        return Err(LiteralError::Malformed);
    }
    if let Some(inner) = source[1..].strip_suffix(&[quote])
        && options.multibyte == Multibyte::Safe
        && !inner.iter().any(|byte| *byte == quote || *byte == b'\\')
    {
        return Ok(inner);
    }
    scratch.clear();
    let mut rest = source;
    while let Some(open) = rest.iter().position(|byte| matches!(byte, b'\'' | b'"')) {
        // Between adjacent strings there are only blanks and comments; comments with quotes are skipped whole.
        rest = match comment_before(rest, open) {
            Some(end) => &rest[end..],
            None => decode_quoted(&rest[open..], options, scratch)?,
        };
    }
    Ok(scratch)
}

/// The bytes of `x'…'` or `0x…`; an odd number of digits has a zero in front.
fn hex<'a>(source: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], LiteralError> {
    let digits = digits_of(source)?;
    scratch.clear();
    let mut high = (digits.len() % 2 == 1).then_some(0);
    for digit in digits {
        let value = char::from(*digit).to_digit(16).ok_or(LiteralError::Malformed)?;
        let value = u8::try_from(value).map_err(|_| LiteralError::Malformed)?;
        match high.take() {
            Some(first) => scratch.push(first << 4 | value),
            None => high = Some(value),
        }
    }
    Ok(scratch)
}

/// The bytes of `b'…'` or `0b…`, most significant first, filled with zeros in front.
fn bits<'a>(source: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], LiteralError> {
    let digits = digits_of(source)?;
    scratch.clear();
    for group in digits.rchunks(8).rev() {
        let byte = group.iter().try_fold(0_u8, |byte, digit| match digit {
            b'0' | b'1' => Ok(byte << 1 | (digit - b'0')),
            _ => Err(LiteralError::Malformed),
        })?;
        scratch.push(byte);
    }
    Ok(scratch)
}

/// `x'1f'` and `0x1f` -> `1f`.
fn digits_of(source: &[u8]) -> Result<&[u8], LiteralError> {
    match source {
        [_, b'\'', digits @ .., b'\''] => Ok(digits),
        [b'0', b'x' | b'b', digits @ ..] => Ok(digits),
        _ => Err(LiteralError::Malformed),
    }
}

fn integer(source: &[u8]) -> Result<ValueRef<'_>, LiteralError> {
    let digits = source.strip_prefix(b"-").unwrap_or(source).trim_ascii_start();
    let is_negative = digits.len() < source.len();
    let number = digits
        .iter()
        .try_fold(0_u64, |sum, byte| sum.checked_mul(10)?.checked_add(u64::from(byte.wrapping_sub(b'0'))));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(LiteralError::Malformed);
    }
    Ok(match number {
        Some(number) if is_negative => match 0_i64.checked_sub_unsigned(number) {
            Some(number) => ValueRef::Int(number),
            None => ValueRef::Decimal(source),
        },
        Some(number) => i64::try_from(number).map_or(ValueRef::UInt(number), ValueRef::Int),
        // Integers beyond 64 bits are decimals.
        None => ValueRef::Decimal(source),
    })
}

fn introduced<'a>(
    source: &'a [u8],
    options: &LexOptions,
    scratch: &'a mut Vec<u8>,
) -> Result<ValueRef<'a>, LiteralError> {
    let name_end =
        source.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(source.len());
    let name = source[..name_end].get(1..).unwrap_or_default();
    let start = literal_start(&source[name_end..]).ok_or(LiteralError::Malformed)?;
    let literal = &source[name_end + start..];
    let bytes = match literal {
        [b'\'' | b'"', ..] => string(literal, options, scratch)?,
        [b'x' | b'X', ..] | [b'0', b'x', ..] => hex(literal, scratch)?,
        _ => bits(literal, scratch)?,
    };
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if is("binary") {
        return Ok(ValueRef::Bytes(bytes));
    }
    let is_utf8 = is("utf8mb4") || is("utf8") || is("utf8mb3");
    if is_utf8 || (is_ascii_superset(name) && bytes.is_ascii()) {
        return Ok(ValueRef::Text(bytes));
    }
    Err(LiteralError::Charset)
}

/// Skips blanks and comments.
fn literal_start(source: &[u8]) -> Option<usize> {
    let mut index = 0;
    loop {
        let rest = source.get(index..)?;
        match rest.first()? {
            b'/' | b'#' | b'-' => index += comment_length(rest)?,
            byte if byte.is_ascii_whitespace() || *byte == 0x0b => index += 1,
            _ => return Some(index),
        }
    }
}

/// If a comment begins before the quote at `open`: where it ends.
fn comment_before(text: &[u8], open: usize) -> Option<usize> {
    let start = text[..open].iter().position(|byte| matches!(byte, b'/' | b'#' | b'-'))?;
    comment_length(&text[start..]).map(|count| start + count)
}

fn comment_length(text: &[u8]) -> Option<usize> {
    match text {
        [b'/', b'*', b'!', ..] => Some(3 + text[3..].iter().take_while(|byte| byte.is_ascii_digit()).count()),
        [b'/', b'*', rest @ ..] => Some(2 + rest.windows(2).position(|pair| pair == b"*/")? + 2),
        _ => Some(text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1)),
    }
}

/// Decodes the string at the start of `source` and returns what follows it.
fn decode_quoted<'a>(
    source: &'a [u8],
    options: &LexOptions,
    out: &mut Vec<u8>,
) -> Result<&'a [u8], LiteralError> {
    let quote = source[0];
    let has_escapes = !options.mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
    let mut index = 1;
    loop {
        let byte = *source.get(index).ok_or(LiteralError::Malformed)?;
        let next = source.get(index + 1).copied();
        index += 1;
        if byte == quote {
            if next != Some(quote) {
                return Ok(&source[index..]);
            }
            out.push(quote);
            index += 1;
        } else if byte == b'\\' && has_escapes {
            unescape(next.ok_or(LiteralError::Malformed)?, out);
            index += 1;
        } else {
            out.push(byte);
            if let Some(trail) = next
                && options.multibyte.is_pair(byte, trail)
            {
                out.push(trail);
                index += 1;
            }
        }
    }
}

/// `escaped` stood behind a backslash.
fn unescape(escaped: u8, out: &mut Vec<u8>) {
    match escaped {
        b'0' => out.push(0),
        b'b' => out.push(8),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'Z' => out.push(0x1a),
        // Patterns of LIKE need the backslash.
        b'%' | b'_' => out.extend_from_slice(&[b'\\', escaped]),
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Lexed, lex};
    use crate::value::{Value, ValueRef};

    fn value_with(source: &str, options: &LexOptions) -> Result<Value, LiteralError> {
        let text = format!("select 1 from t where a = {source}");
        let mut lexed = Lexed::new();
        lex(text.as_bytes(), 0, options, &mut lexed).unwrap();
        assert_eq!(lexed.args.len(), 1, "{source}");
        let mut scratch = Vec::new();
        arg_value(text.as_bytes(), &lexed.args[0], options, &mut scratch).map(ValueRef::to_owned)
    }

    fn value(source: &str) -> Result<Value, LiteralError> {
        value_with(source, &LexOptions::default())
    }

    #[test]
    fn literals_have_their_values() {
        let check = |source: &str, expected: Value| assert_eq!(value(source), Ok(expected), "{source}");
        check("5", Value::Int(5));
        check("9223372036854775808", Value::UInt(9_223_372_036_854_775_808));
        check("18446744073709551616", Value::Decimal(b"18446744073709551616".as_slice().into()));
        check("1.50", Value::Decimal(b"1.50".as_slice().into()));
        check("1e3", Value::Double(1000.0));
        check("x'4a'", Value::bytes([0x4a]));
        check("0xfff", Value::bytes([0x0f, 0xff]));
        check("b'100000001'", Value::Bit([1, 1].into()));
        check("'it''s'", Value::text("it's"));
        check("\"a\\\"b\"", Value::text("a\"b"));
        check(r"'\0\n\t\Z\%\_\x\\'", Value::text(b"\0\n\t\x1a\\%\\_x\\"));
        check("'a' 'b' /* ' */ \"c\"", Value::text("abc"));
        check("N'x'", Value::text("x"));
        check("_utf8mb4'x'", Value::text("x"));
        check("_utf8mb4 x'41'", Value::text("A"));
        check("_binary 'x'", Value::bytes("x"));
        check("_binary x'41'", Value::bytes("A"));
        check("_latin1 'ascii'", Value::text("ascii"));
    }

    #[test]
    fn strings_of_other_character_sets_are_not_guessed() {
        assert_eq!(value("_latin1 x'E9'"), Err(LiteralError::Charset));
        assert_eq!(value("_utf16 x'0041'"), Err(LiteralError::Charset));
        assert_eq!(value("?"), Err(LiteralError::NotALiteral));
        assert_eq!(value("@x"), Err(LiteralError::NotALiteral));
    }

    #[test]
    fn sql_mode_and_character_set_change_strings() {
        let plain = LexOptions::with_mode(SqlMode::NO_BACKSLASH_ESCAPES);
        assert_eq!(value_with(r"'a\nb'", &plain), Ok(Value::text(r"a\nb")));
        let gbk = LexOptions { multibyte: Multibyte::Gbk, ..LexOptions::default() };
        let mut scratch = Vec::new();
        assert_eq!(string(b"'\x95\x5cn'", &gbk, &mut scratch), Ok(&b"\x95\x5cn"[..]));
    }

    #[test]
    fn negative_items_of_lists() {
        assert_eq!(integer(b"-5"), Ok(ValueRef::Int(-5)));
        assert_eq!(integer(b"- 9223372036854775808"), Ok(ValueRef::Int(i64::MIN)));
        assert_eq!(integer(b"-"), Err(LiteralError::Malformed));
    }
}
