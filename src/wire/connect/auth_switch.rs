//! Authentication switch: the server wants another plugin than the one the client answered with.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_auth_switch_request.html>

use super::Salt;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::writer::put_null_terminated;

/// A request to authenticate with another plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthSwitch<'a> {
    /// Name of the plugin.
    pub plugin: &'a [u8],
    /// Data for it: for the plugins that the router knows, a salt and a NUL.
    pub data: &'a [u8],
}

impl<'a> AuthSwitch<'a> {
    /// First byte of the packet.
    pub const HEADER: u8 = 0xFE;

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(Self::HEADER);
        put_null_terminated(out, self.plugin);
        out.extend_from_slice(self.data);
    }

    /// Takes a payload apart. The header alone is the request of servers before 4.1 for their own plugin.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "authentication switch");
        if reader.u8()? != Self::HEADER {
            return Err(reader.malformed());
        }
        if reader.is_empty() {
            return Ok(Self { plugin: b"mysql_old_password", data: &[] });
        }
        Ok(Self { plugin: reader.null_terminated_or_rest(), data: reader.rest() })
    }

    /// The salt in `data`.
    pub fn salt(&self) -> Result<Salt, Malformed> {
        let salt = self.data.strip_suffix(b"\0").unwrap_or(self.data);
        salt.try_into().map_err(|_| Malformed::new("salt of an authentication switch"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let switch = AuthSwitch { plugin: b"mysql_native_password", data: b"abcdefghij0123456789\0" };
        let mut out = vec![];
        switch.encode(&mut out);
        assert_eq!(out, b"\xFEmysql_native_password\0abcdefghij0123456789\0");
        assert_eq!(AuthSwitch::decode(&out), Ok(switch));
        assert_eq!(switch.salt(), Ok(*b"abcdefghij0123456789"));
    }

    #[test]
    fn odd_forms() {
        assert_eq!(AuthSwitch::decode(b"\xFE").map(|switch| switch.plugin), Ok(&b"mysql_old_password"[..]));
        assert!(AuthSwitch::decode(b"").is_err());
        assert!(AuthSwitch::decode(b"\x00").is_err());
        assert!(AuthSwitch::decode(b"\xFEx\0short").unwrap().salt().is_err());
    }
}
