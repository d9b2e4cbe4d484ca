//! OK packet: a command succeeded, or (with EOF's header, under CLIENT_DEPRECATE_EOF) a result ended.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html>. The manual says
//! that without CLIENT_SESSION_TRACK the text goes up to the end of the packet; both engines nevertheless
//! write its length before it, so that is written, and either is read.

use super::{EOF_HEADER, OK_HEADER};
use crate::wire::reader::{Malformed, Reader};
use crate::wire::status::StatusFlags;
use crate::wire::writer::{put_lenenc_bytes, put_lenenc_int};

/// An OK packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OkPacket<'a> {
    /// Rows changed, or found with CLIENT_FOUND_ROWS.
    pub affected_rows: u64,
    /// First generated AUTO_INCREMENT value, or 0.
    pub last_insert_id: u64,
    /// State of the session.
    pub status: StatusFlags,
    /// Number of warnings.
    pub warnings: u16,
    /// Text for people, such as `Rows matched: 1  Changed: 1  Warnings: 0`.
    pub info: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// Appends the payload as the answer to a command.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_with_header(out, OK_HEADER);
    }

    /// Appends the payload as the end of a result (only under CLIENT_DEPRECATE_EOF).
    pub fn encode_as_terminator(&self, out: &mut Vec<u8>) {
        self.encode_with_header(out, EOF_HEADER);
    }

    fn encode_with_header(&self, out: &mut Vec<u8>, header: u8) {
        out.push(header);
        put_lenenc_int(out, self.affected_rows);
        put_lenenc_int(out, self.last_insert_id);
        out.extend_from_slice(&self.status.bits().to_le_bytes());
        out.extend_from_slice(&self.warnings.to_le_bytes());
        if !self.info.is_empty() {
            put_lenenc_bytes(out, self.info);
        }
    }

    /// Takes a payload apart, with either header. Session state changes behind the text are passed over.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "OK packet");
        if !matches!(reader.u8()?, OK_HEADER | EOF_HEADER) {
            return Err(reader.malformed());
        }
        let affected_rows = reader.lenenc_int()?;
        let last_insert_id = reader.lenenc_int()?;
        let status = StatusFlags::from_bits_retain(reader.u16()?);
        let warnings = reader.u16()?;
        let text = reader.rest();
        let mut counted = Reader::new(text, "OK packet");
        let info = match counted.lenenc_bytes() {
            Ok(info) if counted.is_empty() || status.contains(StatusFlags::SESSION_STATE_CHANGED) => info,
            _ => text,
        };
        Ok(Self { affected_rows, last_insert_id, status, warnings, info })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_the_text_are_read() {
        let counted = b"\x00\x01\x02\x02\x00\x03\x00\x04info";
        let plain = b"\x00\x01\x02\x02\x00\x03\x00info";
        let tracked = b"\x00\x01\x02\x02\x40\x03\x00\x04info\x02\x00\x00";
        for payload in [&counted[..], plain, tracked] {
            let ok = OkPacket::decode(payload).unwrap();
            assert_eq!((ok.affected_rows, ok.last_insert_id, ok.warnings), (1, 2, 3));
            assert_eq!(ok.info, b"info");
        }
    }

    #[test]
    fn other_packets_are_refused() {
        for payload in [&b""[..], b"\x00", b"\xFE\x00\x00\x02\x00", b"\xFF\x00\x00\x02\x00\x00\x00"] {
            assert!(OkPacket::decode(payload).is_err(), "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(
            affected_rows: u64,
            last_insert_id: u64,
            status: u16,
            warnings: u16,
            info in proptest::collection::vec(any::<u8>(), 0..300),
            terminator: bool,
        ) {
            let status = StatusFlags::from_bits_retain(status);
            let ok = OkPacket { affected_rows, last_insert_id, status, warnings, info: &info };
            let mut out = vec![];
            if terminator { ok.encode_as_terminator(&mut out) } else { ok.encode(&mut out) }
            prop_assert_eq!(OkPacket::decode(&out), Ok(ok));
        }
    }
}
