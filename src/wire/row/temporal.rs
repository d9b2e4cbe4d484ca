//! Dates and times in the binary protocol, where trailing parts that are zero are left out.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>

use crate::value::TemporalKind;
use crate::wire::reader::{Malformed, Reader};

/// Digits of microseconds.
const FRACTION_DIGITS_MAX: usize = 6;

/// Appends the text of the binary value in `reader`, with `decimals` digits of fraction; if `decimals` is more than
/// 6, with all six of them if there is a fraction.
pub(super) fn write_text(
    out: &mut Vec<u8>,
    kind: TemporalKind,
    reader: &mut Reader<'_>,
    decimals: u8,
) -> Result<(), Malformed> {
    if kind == TemporalKind::Time {
        return write_time(out, reader, decimals);
    }
    let (mut date, mut time, mut microseconds) = ([0; 3], [0; 3], 0);
    if !reader.is_empty() {
        date = [reader.u16()?.into(), reader.u8()?.into(), reader.u8()?.into()];
    }
    if !reader.is_empty() {
        time = [reader.u8()?.into(), reader.u8()?.into(), reader.u8()?.into()];
    }
    if !reader.is_empty() {
        microseconds = reader.u32()?;
    }
    put_digits(out, date[0], 4);
    for part in &date[1..] {
        out.push(b'-');
        put_digits(out, *part, 2);
    }
    if kind == TemporalKind::DateTime {
        out.push(b' ');
        put_clock(out, time);
        put_fraction(out, microseconds, decimals);
    }
    Ok(())
}

fn write_time(out: &mut Vec<u8>, reader: &mut Reader<'_>, decimals: u8) -> Result<(), Malformed> {
    let (mut clock, mut microseconds) = ([0; 3], 0);
    if !reader.is_empty() {
        if reader.u8()? != 0 {
            out.push(b'-');
        }
        let days = u64::from(reader.u32()?);
        let hours = u64::from(reader.u8()?) + days * 24;
        clock = [hours, reader.u8()?.into(), reader.u8()?.into()];
    }
    if !reader.is_empty() {
        microseconds = reader.u32()?;
    }
    put_clock(out, clock);
    put_fraction(out, microseconds, decimals);
    Ok(())
}

/// Appends the binary form of a text, with its length.
pub(super) fn put_binary(out: &mut Vec<u8>, kind: TemporalKind, text: &[u8]) -> Result<(), Malformed> {
    let mut scanner = Scanner(text);
    let length_at = out.len();
    out.push(0);
    let mut used = length_at + 1;
    match kind {
        TemporalKind::Time => {
            let is_negative = scanner.take(b'-');
            let [hours, minutes, seconds] = scanner.clock()?;
            let microseconds = scanner.fraction()?;
            out.push(is_negative.into());
            out.extend_from_slice(&(hours / 24).to_le_bytes());
            out.extend_from_slice(&[byte(hours % 24)?, byte(minutes)?, byte(seconds)?]);
            if hours != 0 || minutes != 0 || seconds != 0 {
                used = out.len();
            }
            put_microseconds(out, &mut used, microseconds);
        }
        TemporalKind::Date | TemporalKind::DateTime => {
            let year = scanner.number()?;
            let month = scanner.number_after(b'-')?;
            let day = scanner.number_after(b'-')?;
            let year = u16::try_from(year).map_err(|_| MALFORMED)?;
            out.extend_from_slice(&year.to_le_bytes());
            out.extend_from_slice(&[byte(month)?, byte(day)?]);
            if year != 0 || month != 0 || day != 0 {
                used = out.len();
            }
            if scanner.take(b' ') {
                let clock = scanner.clock()?;
                let microseconds = scanner.fraction()?;
                for part in clock {
                    out.push(byte(part)?);
                }
                if clock != [0; 3] {
                    used = out.len();
                }
                put_microseconds(out, &mut used, microseconds);
            }
        }
    }
    out.truncate(used);
    out[length_at] = u8::try_from(used - length_at - 1).map_err(|_| MALFORMED)?;
    if scanner.0.is_empty() { Ok(()) } else { Err(MALFORMED) }
}

const MALFORMED: Malformed = Malformed::new("date or time");

fn put_microseconds(out: &mut Vec<u8>, used: &mut usize, microseconds: u32) {
    if microseconds != 0 {
        out.extend_from_slice(&microseconds.to_le_bytes());
        *used = out.len();
    }
}

fn byte(number: u32) -> Result<u8, Malformed> {
    u8::try_from(number).map_err(|_| MALFORMED)
}

fn put_digits(out: &mut Vec<u8>, number: u64, width: usize) {
    out.extend_from_slice(format!("{number:0width$}").as_bytes());
}

fn put_clock(out: &mut Vec<u8>, [hours, minutes, seconds]: [u64; 3]) {
    put_digits(out, hours, 2);
    for part in [minutes, seconds] {
        out.push(b':');
        put_digits(out, part, 2);
    }
}

fn put_fraction(out: &mut Vec<u8>, microseconds: u32, decimals: u8) {
    let digits = match usize::from(decimals) {
        digits if digits <= FRACTION_DIGITS_MAX => digits,
        _ if microseconds == 0 => 0,
        _ => FRACTION_DIGITS_MAX,
    };
    if digits > 0 {
        out.push(b'.');
        let text = format!("{microseconds:06}");
        out.extend_from_slice(&text.as_bytes()[..digits]);
    }
}

/// Cursor over the text of a date or time.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn take(&mut self, expected: u8) -> bool {
        match self.0.split_first() {
            Some((&first, rest)) if first == expected => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        if digits.is_empty() || digits.len() > 9 {
            return Err(MALFORMED);
        }
        self.0 = rest;
        Ok(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    fn number_after(&mut self, separator: u8) -> Result<u32, Malformed> {
        if self.take(separator) { self.number() } else { Err(MALFORMED) }
    }

    fn clock(&mut self) -> Result<[u32; 3], Malformed> {
        Ok([self.number()?, self.number_after(b':')?, self.number_after(b':')?])
    }

    /// Microseconds behind a point, if there is one.
    fn fraction(&mut self) -> Result<u32, Malformed> {
        if !self.take(b'.') {
            return Ok(0);
        }
        let before = self.0.len();
        let number = self.number()?;
        let digits = before - self.0.len();
        let missing = FRACTION_DIGITS_MAX.checked_sub(digits).ok_or(MALFORMED)?;
        Ok((0..missing).fold(number, |number, _| number * 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: TemporalKind, text: &str, decimals: u8, binary: &[u8]) {
        let mut out = vec![];
        put_binary(&mut out, kind, text.as_bytes()).unwrap();
        assert_eq!(out, [&[u8::try_from(binary.len()).unwrap()], binary].concat(), "{text}");
        let mut reader = Reader::new(binary, "test");
        let mut back = vec![];
        write_text(&mut back, kind, &mut reader, decimals).unwrap();
        assert_eq!(String::from_utf8_lossy(&back), text);
        assert!(reader.is_empty());
    }

    #[test]
    fn zero_parts_are_left_out() {
        use TemporalKind::{Date, DateTime, Time};
        check(Date, "2024-02-29", 0, &[0xE8, 7, 2, 29]);
        check(Date, "0000-00-00", 0, &[]);
        check(DateTime, "2024-02-29 00:00:00", 0, &[0xE8, 7, 2, 29]);
        check(DateTime, "2024-02-29 00:00:00.000", 3, &[0xE8, 7, 2, 29]);
        check(DateTime, "2024-02-29 12:34:56", 0, &[0xE8, 7, 2, 29, 12, 34, 56]);
        check(DateTime, "2024-02-29 00:00:00.5", 1, &[0xE8, 7, 2, 29, 0, 0, 0, 0x20, 0xA1, 7, 0]);
        check(DateTime, "0000-00-00 00:00:01", 39, &[0, 0, 0, 0, 0, 0, 1]);
        check(Time, "00:00:00", 0, &[]);
        check(Time, "-838:59:59", 0, &[1, 34, 0, 0, 0, 22, 59, 59]);
        check(Time, "00:00:00.000001", 39, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        check(Time, "24:00:00", 39, &[0, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn other_texts_are_refused() {
        use TemporalKind::{Date, DateTime, Time};
        for (kind, text) in [
            (Date, ""),
            (Date, "2024-02"),
            (Date, "2024-02-29x"),
            (Date, "2024-999-01"),
            (Date, "99999-01-01"),
            (DateTime, "2024-02-29 1:2"),
            (DateTime, "2024-02-29 01:02:03."),
            (DateTime, "2024-02-29 01:02:03.1234567"),
            (Time, "-"),
            (Time, "1:2:3:4"),
            (Time, "9999999999:00:00"),
        ] {
            assert!(put_binary(&mut vec![], kind, text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn cut_values_are_refused() {
        for (kind, binary) in [
            (TemporalKind::Date, &[0xE8, 7, 2][..]),
            (TemporalKind::DateTime, &[0xE8, 7, 2, 29, 1]),
            (TemporalKind::DateTime, &[0xE8, 7, 2, 29, 1, 2, 3, 4]),
            (TemporalKind::Time, &[0, 1, 0]),
        ] {
            assert!(write_text(&mut vec![], kind, &mut Reader::new(binary, "test"), 0).is_err());
        }
    }
}
