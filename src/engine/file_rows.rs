//! The rows of a file of LOAD DATA: where each begins and ends, and the values of the few fields that place it.
//!
//! Follows what servers do with the same bytes step by step, oddities included, because a server reads each row again:
//! <https://dev.mysql.com/doc/refman/9.0/en/load-data.html#load-data-field-line-handling>.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::ROW_BYTES_MAX;
use crate::sql::statement::FileFormat;

/// A file that arrives in parts.
#[derive(Debug)]
pub struct FileRows<'a> {
    format: &'a FileFormat,
    /// Fields of a row.
    field_count: usize,
    /// Fields whose values are wanted, in ascending order.
    wanted: &'a [usize],
    lines_to_skip: u64,
    buffer: Vec<u8>,
    /// What is before is done with.
    start: usize,
    is_whole: bool,
    /// With fewer bytes a row that was not whole is not looked at again, so that a huge one is not read over and over.
    retry_bytes: usize,
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum NextRow<'a> {
    /// The file has ended.
    End,
    /// More of the file is needed.
    NeedsMore,
    /// A row.
    Row(FileRow<'a>),
}

/// A row.
#[derive(Debug, PartialEq, Eq)]
pub struct FileRow<'a> {
    /// Its bytes, without what LINES STARTING BY names, with what ends it.
    pub bytes: &'a [u8],
    /// The values of the wanted fields.
    pub values: Vec<FieldValue>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// The row has fewer fields.
    Missing,
    Null,
    Text(Vec<u8>),
}

impl<'a> FileRows<'a> {
    /// A file of which nothing has arrived.
    pub fn new(format: &'a FileFormat, field_count: usize, wanted: &'a [usize], lines_to_skip: u64) -> Self {
        let (buffer, start, is_whole, retry_bytes) = (Vec::new(), 0, false, 0);
        Self { format, field_count, wanted, lines_to_skip, buffer, start, is_whole, retry_bytes }
    }

    /// Adds a part of the file.
    pub fn push(&mut self, part: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(part);
    }

    /// The file has come to its end.
    pub fn end(&mut self) {
        self.is_whole = true;
    }

    /// The next row, if enough of the file is there.
    ///
    /// # Errors
    /// A row that is too long to be held.
    pub fn next_row(&mut self) -> Result<NextRow<'_>> {
        if !self.is_whole && self.buffer.len() - self.start < self.retry_bytes {
            return Ok(NextRow::NeedsMore);
        }
        while self.lines_to_skip > 0 {
            let mut reader = self.reader();
            match reader.skip_line() {
                Ok(_) => self.start += reader.at,
                Err(Starved) => return self.starved(),
            }
            self.lines_to_skip -= 1;
        }
        let start = self.start;
        let mut reader = self.reader();
        let found = reader.row(self.field_count, self.wanted);
        let end = start + reader.at;
        match found {
            Err(Starved) => self.starved(),
            Ok(None) => {
                self.start = self.buffer.len();
                Ok(NextRow::End)
            }
            Ok(Some((range, values))) => {
                self.start = end;
                self.retry_bytes = 0;
                let bytes = &self.buffer[start + range.start..start + range.end];
                Ok(NextRow::Row(FileRow { bytes, values }))
            }
        }
    }

    fn reader(&self) -> Reader<'_> {
        let bytes = &self.buffer[self.start..];
        Reader { bytes, at: 0, is_whole: self.is_whole, format: self.format }
    }

    fn starved(&mut self) -> Result<NextRow<'_>> {
        let held = self.buffer.len() - self.start;
        if held > ROW_BYTES_MAX {
            let text = format!("a row of a file may have at most {ROW_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        self.retry_bytes = held * 2;
        Ok(NextRow::NeedsMore)
    }
}

/// What has arrived does not tell.
struct Starved;

type Read<T> = std::result::Result<T, Starved>;

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    is_whole: bool,
    format: &'b FileFormat,
}

/// A field, and what came behind it.
struct Field {
    value: FieldValue,
    ends_line: bool,
}

impl Reader<'_> {
    /// The row's bytes and wanted values; `None`: the file has ended.
    fn row(&mut self, field_count: usize, wanted: &[usize]) -> Read<Option<(Range<usize>, Vec<FieldValue>)>> {
        if !self.format.line_start.is_empty() && !self.pass_line_start()? {
            return Ok(None);
        }
        let start = self.at;
        if self.peek()?.is_none() {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(wanted.len());
        let mut has_ended = false;
        for index in 0..field_count {
            if has_ended || index > 0 && self.peek()?.is_none() {
                has_ended = true;
                break;
            }
            let is_wanted = wanted.binary_search(&index).is_ok();
            let field = self.field(is_wanted)?;
            has_ended = field.ends_line;
            if is_wanted {
                values.push(field.value);
            }
        }
        values.resize(wanted.len(), FieldValue::Missing);
        if !has_ended {
            self.skip_line()?;
        }
        Ok(Some((start..self.at, values)))
    }

    /// Up to behind the next line's end, whatever is enclosed; `false` at the end of the file.
    fn skip_line(&mut self) -> Read<bool> {
        while let Some(byte) = self.get()? {
            if Some(byte) == self.format.escape {
                if self.get()?.is_none() {
                    return Ok(false);
                }
            } else if self.ends(byte, &self.format.line_end)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn pass_line_start(&mut self) -> Read<bool> {
        while let Some(byte) = self.get()? {
            if self.ends(byte, &self.format.line_start)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn field(&mut self, is_wanted: bool) -> Read<Field> {
        let format = self.format;
        let quote = format.enclosed.filter(|quote| self.bytes.get(self.at) == Some(quote));
        if quote.is_some() {
            self.at += 1;
        }
        let mut text = Vec::new();
        let mut has_null = false;
        let mut keep = |byte: u8| {
            if is_wanted {
                text.push(byte);
            }
        };
        // How the field ended: does that end the line, and was it enclosed?
        let (ends_line, was_enclosed) = loop {
            let Some(mut byte) = self.get()? else { break (true, false) };
            if Some(byte) == format.escape {
                let Some(escaped) = self.get()? else {
                    keep(byte);
                    break (true, false);
                };
                if format.escape != format.enclosed || Some(escaped) == format.escape {
                    has_null |= escaped == b'N';
                    keep(unescaped(escaped));
                    continue;
                }
                self.at -= 1;
                byte = escaped_quote(format);
            }
            if quote.is_none() && self.ends(byte, &format.line_end)? {
                break (true, false);
            }
            if quote == Some(byte) {
                match self.get()? {
                    Some(second) if Some(second) == quote => {
                        keep(second);
                        continue;
                    }
                    None => break (true, true),
                    Some(next) if self.ends(next, &format.line_end)? => break (true, true),
                    Some(next) if self.ends(next, &format.field_end)? => break (false, true),
                    Some(_) => self.at -= 1,
                }
            } else if quote.is_none() && self.ends(byte, &format.field_end)? {
                break (false, false);
            }
            keep(byte);
        };
        if quote.is_some() && !was_enclosed {
            // Never closed: the quote is a part of the value.
            text.insert(0, quote.unwrap_or_default());
        }
        let is_word = format.enclosed.is_some() && !was_enclosed && text == b"NULL";
        let is_null = is_word || has_null && text.len() == 1;
        let value = if is_null { FieldValue::Null } else { FieldValue::Text(text) };
        Ok(Field { value, ends_line })
    }

    fn peek(&self) -> Read<Option<u8>> {
        match self.bytes.get(self.at) {
            Some(byte) => Ok(Some(*byte)),
            None if self.is_whole => Ok(None),
            None => Err(Starved),
        }
    }

    fn get(&mut self) -> Read<Option<u8>> {
        let byte = self.peek()?;
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    /// Does the byte that was read begin this terminator? Then the rest of it is read too.
    fn ends(&mut self, byte: u8, terminator: &[u8]) -> Read<bool> {
        let Some((first, rest)) = terminator.split_first() else { return Ok(false) };
        if *first != byte {
            return Ok(false);
        }
        let there = &self.bytes[self.at..];
        if there.starts_with(rest) {
            self.at += rest.len();
            return Ok(true);
        }
        if !self.is_whole && rest.starts_with(there) { Err(Starved) } else { Ok(false) }
    }
}

fn escaped_quote(format: &FileFormat) -> u8 {
    format.escape.unwrap_or_default()
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'0' => 0,
        b'Z' => 26,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv() -> FileFormat {
        FileFormat { field_end: b",".to_vec(), enclosed: Some(b'"'), ..FileFormat::default() }
    }

    /// Rows as `bytes|value|value`, whether the file comes at once or byte by byte.
    fn check(format: &FileFormat, field_count: usize, skipped: u64, file: &str, expected: &[&str]) {
        let wanted: Vec<usize> = (0..field_count).collect();
        for size in [1, 3, file.len().max(1)] {
            let mut rows = FileRows::new(format, field_count, &wanted, skipped);
            let mut parts = file.as_bytes().chunks(size);
            let mut found = Vec::new();
            loop {
                match rows.next_row().unwrap() {
                    NextRow::End => break,
                    NextRow::NeedsMore => match parts.next() {
                        Some(part) => rows.push(part),
                        None => rows.end(),
                    },
                    NextRow::Row(row) => found.push(shown(&row)),
                }
            }
            assert_eq!(found, expected, "{file:?} in parts of {size}");
        }
    }

    fn shown(row: &FileRow<'_>) -> String {
        let mut text = String::from_utf8_lossy(row.bytes).into_owned();
        for value in &row.values {
            text.push('|');
            text.push_str(&match value {
                FieldValue::Missing => "missing".into(),
                FieldValue::Null => "NULL".into(),
                FieldValue::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
            });
        }
        text
    }

    #[test]
    fn lines_and_tabs() {
        let format = FileFormat::default();
        check(&format, 2, 0, "", &[]);
        check(&format, 2, 0, "1\ta\n2\tb", &["1\ta\n|'1'|'a'", "2\tb|'2'|'b'"]);
        check(&format, 2, 1, "id\tx\n1\ta\n", &["1\ta\n|'1'|'a'"]);
        check(&format, 2, 0, "\n3\n", &["\n|''|missing", "3\n|'3'|missing"]);
        check(&format, 1, 0, "1\t2\\\n3\n4\n", &["1\t2\\\n3\n|'1'", "4\n|'4'"]);
        check(
            &format,
            2,
            0,
            "a\\tb\t\\N\n\\\\\tx\\\ny\n",
            &["a\\tb\t\\N\n|'a\tb'|NULL", "\\\\\tx\\\ny\n|'\\'|'x\ny'"],
        );
        check(&format, 1, 5, "1\n2\n", &[]);
    }

    #[test]
    fn quotes() {
        let format = csv();
        check(&format, 2, 0, "\"1,\n2\",b\n", &["\"1,\n2\",b\n|'1,\n2'|'b'"]);
        check(&format, 2, 0, "\"a\"\"b\",NULL\n", &["\"a\"\"b\",NULL\n|'a\"b'|NULL"]);
        check(&format, 2, 0, "\"NULL\",a\"b\"\n", &["\"NULL\",a\"b\"\n|'NULL'|'a\"b\"'"]);
        check(&format, 2, 0, "\"a\"x\",b\n", &["\"a\"x\",b\n|'a\"x'|'b'"]);
        check(&format, 2, 0, "\"a,b\nc", &["\"a,b\nc|'\"a,b\nc'|missing"]);
        // A quote means nothing behind the last column.
        check(&format, 1, 0, "1,\"a\nb\"\n", &["1,\"a\n|'1'", "b\"\n|'b\"'"]);
        let same = FileFormat { escape: Some(b'"'), ..csv() };
        check(&same, 2, 0, "\"fie\"\"ld\",\"b\"\n", &["\"fie\"\"ld\",\"b\"\n|'fie\"ld'|'b'"]);
    }

    #[test]
    fn longer_terminators() {
        let format = FileFormat {
            field_end: b"||".to_vec(),
            line_end: b"\r\n".to_vec(),
            line_start: b"xx".to_vec(),
            ..FileFormat::default()
        };
        check(
            &format,
            2,
            0,
            "xx1|x||a\r\nno\r\nyxx2||b\rc\r\n",
            &["1|x||a\r\n|'1|x'|'a'", "2||b\rc\r\n|'2'|'b\rc'"],
        );
        check(&format, 2, 0, "nothing here\r\n", &[]);
    }
}
