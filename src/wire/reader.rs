//! Checked cursor over the bytes of one packet; the only way that this room takes bytes apart.
//!
//! Integers are little-endian. Length-encoded integers:
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html>

use crate::error::{Error, ErrorKind};

/// A packet that is not what the protocol says. Whose fault that is, the caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}")]
pub struct Malformed {
    /// The packet or field that is wrong.
    pub what: &'static str,
}

impl Malformed {
    /// A new complaint about `what`.
    pub const fn new(what: &'static str) -> Self {
        Self { what }
    }

    /// The error for a client that sent it.
    pub fn into_client_error(self) -> Error {
        Error::new(ErrorKind::MalformedPacket, format!("Malformed communication packet: {}", self.what))
    }

    /// The error for a server that sent it.
    pub fn into_backend_error(self) -> Error {
        Error::new(ErrorKind::BackendProtocol, format!("the server sent a malformed {}", self.what))
    }
}

/// Cursor over the payload of one packet. Every read is checked and fails with [`Malformed`] naming the
/// packet that the reader was made for.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names the packet in errors.
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    /// The complaint that this reader's errors are made of.
    pub const fn malformed(&self) -> Malformed {
        Malformed { what: self.what }
    }

    /// Bytes not yet read.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next byte, left in place.
    pub fn peek(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Three bytes.
    pub fn u24(&mut self) -> Result<u32, Malformed> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A fixed number of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.bytes.split_first_chunk::<N>().ok_or(Malformed { what: self.what })?;
        self.bytes = rest;
        Ok(*head)
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.bytes.split_at_checked(count).ok_or(Malformed { what: self.what })?;
        self.bytes = rest;
        Ok(head)
    }

    /// Passes over `count` bytes.
    pub fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.bytes(count).map(|_| ())
    }

    /// A length-encoded integer. The markers 0xFB (NULL) and 0xFF (error) are no integers.
    pub fn lenenc_int(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            short @ 0..=0xFA => Ok(short.into()),
            0xFC => Ok(self.u16()?.into()),
            0xFD => Ok(self.u24()?.into()),
            0xFE => self.u64(),
            0xFB | 0xFF => Err(self.malformed()),
        }
    }

    /// Bytes with a length-encoded integer before them.
    pub fn lenenc_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = usize::try_from(self.lenenc_int()?).map_err(|_| self.malformed())?;
        self.bytes(count)
    }

    /// As [`Self::lenenc_bytes`]; the marker 0xFB gives `None`, which is how text rows say NULL.
    pub fn lenenc_bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.peek() == Some(0xFB) {
            self.bytes = &self.bytes[1..];
            return Ok(None);
        }
        self.lenenc_bytes().map(Some)
    }

    /// Bytes up to a NUL, which is taken but not returned. A missing NUL is an error.
    pub fn null_terminated(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.bytes.iter().position(|&byte| byte == 0).ok_or(Malformed { what: self.what })?;
        let head = &self.bytes[..end];
        self.bytes = &self.bytes[end + 1..];
        Ok(head)
    }

    /// Bytes up to a NUL or to the end: the last string of a packet often comes without its NUL.
    pub fn null_terminated_or_rest(&mut self) -> &'a [u8] {
        match self.null_terminated() {
            Ok(head) => head,
            Err(_) => self.rest(),
        }
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::writer::put_lenenc_int;
    use proptest::prelude::*;

    #[test]
    fn short_reads_are_errors_that_take_nothing() {
        let mut reader = Reader::new(&[1, 2, 3], "test");
        assert_eq!(reader.u32(), Err(Malformed::new("test")));
        assert_eq!(reader.remaining(), 3);
        assert_eq!(reader.u24(), Ok(0x03_0201));
        assert_eq!(reader.u8(), Err(Malformed::new("test")));
        assert_eq!(reader.bytes(usize::MAX), Err(Malformed::new("test")));
    }

    #[test]
    fn lenenc_markers_are_not_integers() {
        assert!(Reader::new(&[0xFB], "test").lenenc_int().is_err());
        assert!(Reader::new(&[0xFF], "test").lenenc_int().is_err());
        assert_eq!(Reader::new(&[0xFB, 7], "test").lenenc_bytes_or_null(), Ok(None));
        let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        assert!(Reader::new(&huge, "test").lenenc_bytes().is_err());
    }

    #[test]
    fn strings_end_at_nul() {
        let mut reader = Reader::new(b"ab\0cd", "test");
        assert_eq!(reader.null_terminated(), Ok(&b"ab"[..]));
        assert!(reader.null_terminated().is_err());
        assert_eq!(reader.null_terminated_or_rest(), b"cd");
        assert!(reader.is_empty());
    }

    proptest! {
        #[test]
        fn lenenc_int_round_trip(value: u64) {
            let mut out = Vec::new();
            put_lenenc_int(&mut out, value);
            let mut reader = Reader::new(&out, "test");
            prop_assert_eq!(reader.lenenc_int(), Ok(value));
            prop_assert!(reader.is_empty());
        }
    }
}
