//! Connection attributes: names and values that a client tells about itself (`program_name`, `_os`, …).
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/performance-schema-connection-attribute-tables.html>

use crate::wire::reader::{Malformed, Reader};
use crate::wire::writer::{put_lenenc_bytes, put_lenenc_int};

/// Connection attributes, still encoded; checked when they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectAttributes<'a> {
    encoded: &'a [u8],
}

impl<'a> ConnectAttributes<'a> {
    /// Reads the block and checks that it consists of pairs.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Self::from_encoded(reader.lenenc_bytes()?)
    }

    /// Attributes from pairs that [`Self::encode_pairs`] wrote.
    pub fn from_encoded(encoded: &'a [u8]) -> Result<Self, Malformed> {
        let mut pairs = Reader::new(encoded, "connection attributes");
        while !pairs.is_empty() {
            pairs.lenenc_bytes()?;
            pairs.lenenc_bytes()?;
        }
        Ok(Self { encoded })
    }

    /// Appends pairs in the form that [`Self::from_encoded`] takes.
    pub fn encode_pairs<'p>(out: &mut Vec<u8>, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) {
        for (name, value) in pairs {
            put_lenenc_bytes(out, name.as_bytes());
            put_lenenc_bytes(out, value.as_bytes());
        }
    }

    /// Appends the block with its length.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_lenenc_int(out, self.encoded.len() as u64);
        out.extend_from_slice(self.encoded);
    }

    /// Names and values, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut pairs = Reader::new(self.encoded, "connection attributes");
        std::iter::from_fn(move || {
            let name = pairs.lenenc_bytes().ok()?;
            let value = pairs.lenenc_bytes().ok()?;
            Some((name, value))
        })
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_round_trip() {
        let mut pairs = vec![];
        ConnectAttributes::encode_pairs(&mut pairs, [("program_name", "mysql"), ("_pid", "7")]);
        let attributes = ConnectAttributes::from_encoded(&pairs).unwrap();
        assert_eq!(attributes.get("_pid"), Some(&b"7"[..]));
        assert_eq!(attributes.get("_os"), None);
        assert_eq!(attributes.iter().count(), 2);
    }

    #[test]
    fn half_a_pair_is_refused() {
        assert!(ConnectAttributes::from_encoded(b"\x01a").is_err());
        assert!(ConnectAttributes::from_encoded(b"\x01a\x05b").is_err());
    }
}
