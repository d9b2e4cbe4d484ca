//! More authentication data: what a plugin of the server has to say in the middle of its exchange.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_more_data.html>

use crate::wire::reader::{Malformed, Reader};

/// Data from the server's authentication plugin for the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthMoreData<'a> {
    /// What the plugin defines.
    pub data: &'a [u8],
}

impl<'a> AuthMoreData<'a> {
    /// First byte of the packet.
    pub const HEADER: u8 = 0x01;

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(Self::HEADER);
        out.extend_from_slice(self.data);
    }

    /// Takes a payload apart.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "authentication data");
        if reader.u8()? != Self::HEADER {
            return Err(reader.malformed());
        }
        Ok(Self { data: reader.rest() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let mut out = vec![];
        AuthMoreData { data: &[4] }.encode(&mut out);
        assert_eq!(out, [1, 4]);
        assert_eq!(AuthMoreData::decode(&out), Ok(AuthMoreData { data: &[4] }));
        assert!(AuthMoreData::decode(&[]).is_err());
        assert!(AuthMoreData::decode(&[0, 4]).is_err());
    }
}
