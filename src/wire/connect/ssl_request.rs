//! TLS request: the first 32 bytes of a handshake response, sent alone, after which TLS begins.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_ssl_request.html>

use crate::wire::capability::Capabilities;
use crate::wire::reader::{Malformed, Reader};

/// A request to go on in TLS. The handshake response that follows says everything again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SslRequest {
    /// What the client can do and wants, as far as it says so in the clear.
    pub capabilities: Capabilities,
    /// Largest packet that the client takes.
    pub packet_bytes_max: u32,
    /// Low byte of the id of the collation that the client wants.
    pub collation: u8,
}

impl SslRequest {
    /// Bytes of the payload.
    pub const BYTES: usize = 32;

    /// Whether a client's first packet is a TLS request and not a handshake response.
    pub fn matches(payload: &[u8]) -> bool {
        payload.len() == Self::BYTES && Self::decode(payload).is_ok()
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.capabilities.mysql_half().to_le_bytes());
        out.extend_from_slice(&self.packet_bytes_max.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&[0; 19]);
        let uses_mariadb_half = !self.capabilities.contains(Capabilities::LONG_PASSWORD);
        let mariadb = if uses_mariadb_half { self.capabilities.mariadb_half() } else { 0 };
        out.extend_from_slice(&mariadb.to_le_bytes());
    }

    /// Takes a payload apart; refuses one that does not ask for TLS.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "TLS request");
        let request = Self::decode_head(&mut reader)?;
        if !reader.is_empty() || !request.capabilities.contains(Capabilities::SSL) {
            return Err(reader.malformed());
        }
        Ok(request)
    }

    /// Reads the part that TLS request and handshake response share.
    pub(super) fn decode_head(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mysql = reader.u32()?;
        let packet_bytes_max = reader.u32()?;
        let collation = reader.u8()?;
        reader.skip(19)?;
        let mariadb = reader.u32()?;
        let mut capabilities = Capabilities::from_halves(mysql, 0);
        if !capabilities.contains(Capabilities::LONG_PASSWORD) {
            capabilities = Capabilities::from_halves(mysql, mariadb);
        }
        Ok(Self { capabilities, packet_bytes_max, collation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let request = SslRequest {
            capabilities: Capabilities::SSL | Capabilities::PROTOCOL_41 | Capabilities::LONG_PASSWORD,
            packet_bytes_max: 1 << 24,
            collation: 45,
        };
        let mut out = vec![];
        request.encode(&mut out);
        assert_eq!(out.len(), SslRequest::BYTES);
        assert!(SslRequest::matches(&out));
        assert_eq!(SslRequest::decode(&out), Ok(request));
        out.push(0);
        assert!(!SslRequest::matches(&out));
        assert!(!SslRequest::matches(&[0; SslRequest::BYTES]));
    }
}
