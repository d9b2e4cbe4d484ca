//! EOF packet: column definitions or rows end, where CLIENT_DEPRECATE_EOF is not agreed.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_eof_packet.html>

use super::EOF_HEADER;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::status::StatusFlags;

/// An EOF packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EofPacket {
    /// Number of warnings.
    pub warnings: u16,
    /// State of the session.
    pub status: StatusFlags,
}

impl EofPacket {
    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(EOF_HEADER);
        out.extend_from_slice(&self.warnings.to_le_bytes());
        out.extend_from_slice(&self.status.bits().to_le_bytes());
    }

    /// Takes a payload apart.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "EOF packet");
        if reader.u8()? != EOF_HEADER {
            return Err(reader.malformed());
        }
        let warnings = reader.u16()?;
        let status = StatusFlags::from_bits_retain(reader.u16()?);
        if !reader.is_empty() {
            return Err(reader.malformed());
        }
        Ok(Self { warnings, status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let eof = EofPacket { warnings: 3, status: StatusFlags::AUTOCOMMIT | StatusFlags::MORE_RESULTS };
        let mut out = vec![];
        eof.encode(&mut out);
        assert_eq!(out, b"\xFE\x03\x00\x0A\x00");
        assert_eq!(EofPacket::decode(&out), Ok(eof));
        assert!(EofPacket::decode(&out[..4]).is_err());
        assert!(EofPacket::decode(b"\xFE\x03\x00\x0A\x00\x00").is_err());
    }
}
