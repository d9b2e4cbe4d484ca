//! First packet of the reply to COM_STMT_PREPARE; definitions of parameters, then of columns follow it.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html>

use crate::wire::reader::{Malformed, Reader};
use crate::wire::response::OK_HEADER;

/// A statement was prepared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrepareOk {
    /// The server's id of the statement, valid on this connection.
    pub statement_id: u32,
    /// Columns of the result; 0 for statements without one.
    pub column_count: u16,
    /// Parameters (`?`).
    pub parameter_count: u16,
    /// Number of warnings.
    pub warnings: u16,
}

impl PrepareOk {
    /// Where in the payload the statement's id is.
    pub(crate) const STATEMENT_ID_OFFSET: usize = 1;

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(OK_HEADER);
        out.extend_from_slice(&self.statement_id.to_le_bytes());
        out.extend_from_slice(&self.column_count.to_le_bytes());
        out.extend_from_slice(&self.parameter_count.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&self.warnings.to_le_bytes());
    }

    /// Takes a payload apart.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "reply to prepare");
        if reader.u8()? != OK_HEADER {
            return Err(reader.malformed());
        }
        let statement_id = reader.u32()?;
        let column_count = reader.u16()?;
        let parameter_count = reader.u16()?;
        // A filler byte and the warning count were not sent by the first servers that had this packet.
        let warnings = if reader.remaining() >= 3 {
            reader.skip(1)?;
            reader.u16()?
        } else {
            0
        };
        Ok(Self { statement_id, column_count, parameter_count, warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let ok = PrepareOk { statement_id: 7, column_count: 1, parameter_count: 2, warnings: 3 };
        let mut out = vec![];
        ok.encode(&mut out);
        assert_eq!(out, b"\x00\x07\0\0\0\x01\0\x02\0\0\x03\0");
        assert_eq!(PrepareOk::decode(&out), Ok(ok));
        assert!(PrepareOk::decode(&out[..8]).is_err());
        assert!(PrepareOk::decode(b"\xFF\x07\0\0\0\x01\0\x02\0\0\x03\0").is_err());
    }
}
