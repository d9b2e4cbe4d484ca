//! ERR packet: a command failed, or a connection is refused.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html>. Before the
//! handshake, when no capabilities are agreed, it has no SQLSTATE.

use super::ERR_HEADER;
use crate::error::Error;
use crate::wire::reader::{Malformed, Reader};

/// An ERR packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrPacket<'a> {
    /// MySQL's error number.
    pub errno: u16,
    /// Five ASCII characters.
    pub sqlstate: [u8; 5],
    /// Text, in the connection's character set.
    pub message: &'a [u8],
}

impl<'a> ErrPacket<'a> {
    /// What a server says with ERR packets that have no SQLSTATE.
    const SQLSTATE_UNKNOWN: [u8; 5] = *b"HY000";

    /// The packet that tells a client of `error`.
    pub fn from_error(error: &'a Error) -> Self {
        Self { errno: error.errno(), sqlstate: error.sqlstate(), message: error.message() }
    }

    /// The router's form of a server's error.
    pub fn to_error(&self) -> Error {
        Error::from_backend(self.errno, self.sqlstate, self.message)
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(ERR_HEADER);
        out.extend_from_slice(&self.errno.to_le_bytes());
        out.push(b'#');
        out.extend_from_slice(&self.sqlstate);
        out.extend_from_slice(self.message);
    }

    /// Appends the payload in the form for a connection that is refused instead of greeted.
    pub fn encode_before_handshake(&self, out: &mut Vec<u8>) {
        out.push(ERR_HEADER);
        out.extend_from_slice(&self.errno.to_le_bytes());
        out.extend_from_slice(self.message);
    }

    /// Takes a payload apart, in either form.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "ERR packet");
        if reader.u8()? != ERR_HEADER {
            return Err(reader.malformed());
        }
        let errno = reader.u16()?;
        let mut sqlstate = Self::SQLSTATE_UNKNOWN;
        if reader.peek() == Some(b'#') {
            reader.skip(1)?;
            sqlstate = reader.array()?;
        }
        Ok(Self { errno, sqlstate, message: reader.rest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn round_trip() {
        let error = Error::new(ErrorKind::UnknownTable, "Table 'a.b' doesn't exist");
        let err = ErrPacket::from_error(&error);
        let mut out = vec![];
        err.encode(&mut out);
        assert_eq!(out, b"\xFF\x7A\x04#42S02Table 'a.b' doesn't exist");
        assert_eq!(ErrPacket::decode(&out), Ok(err));
        assert_eq!(err.to_error().errno(), 1146);
    }

    #[test]
    fn before_the_handshake_there_is_no_sqlstate() {
        let err = ErrPacket { errno: 1040, sqlstate: *b"HY000", message: b"Too many connections" };
        let mut out = vec![];
        err.encode_before_handshake(&mut out);
        assert_eq!(out, b"\xFF\x10\x04Too many connections");
        assert_eq!(ErrPacket::decode(&out), Ok(err));
    }

    #[test]
    fn truncated_packets_are_refused() {
        for payload in [&b""[..], b"\xFF", b"\xFF\x01", b"\xFF\x01\x00#42S", b"\x00\x01\x00"] {
            assert!(ErrPacket::decode(payload).is_err(), "{payload:?}");
        }
    }
}
