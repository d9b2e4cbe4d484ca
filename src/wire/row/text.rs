//! Text rows: each field as its text with a length before it, NULL as one byte.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_row.html>

use crate::wire::reader::{Malformed, Reader};
use crate::wire::writer::put_lenenc_bytes;

/// The fields of a row; `None` is NULL.
pub fn text_fields(row: &[u8]) -> TextFields<'_> {
    TextFields { reader: Reader::new(row, "text row") }
}

/// Iterator over the fields of a text row. After an error it ends.
#[derive(Clone, Copy, Debug)]
pub struct TextFields<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for TextFields<'a> {
    type Item = Result<Option<&'a [u8]>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let field = self.reader.lenenc_bytes_or_null();
        if field.is_err() {
            self.reader.rest();
        }
        Some(field)
    }
}

impl<'a> TextFields<'a> {
    /// What was not yet iterated, as encoded.
    pub fn rest(mut self) -> &'a [u8] {
        self.reader.rest()
    }
}

/// Appends a field.
pub fn put_text_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(text) => put_lenenc_bytes(out, text),
        None => out.push(0xFB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_row_is_one_error() {
        let fields: Vec<_> = text_fields(b"\x01a\xFB\x05bc").collect();
        assert_eq!(fields, [Ok(Some(&b"a"[..])), Ok(None), Err(Malformed::new("text row"))]);
    }

    proptest! {
        #[test]
        fn round_trip(fields in proptest::collection::vec(
            proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300)), 0..10)
        ) {
            let mut row = vec![];
            for field in &fields {
                put_text_field(&mut row, field.as_deref());
            }
            let decoded: Vec<_> = text_fields(&row).map(|field| field.unwrap().map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(decoded, fields);
        }
    }
}
