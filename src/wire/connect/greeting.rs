//! Greeting: the server's first packet (HandshakeV10).
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html>
//! MariaDB leaves capability bit 0 off and puts its own capabilities into reserved bytes:
//! <https://mariadb.com/kb/en/connection/>

use super::{SALT_BYTES, Salt};
use crate::wire::capability::Capabilities;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::status::StatusFlags;
use crate::wire::writer::put_null_terminated;

/// Version of the handshake, the packet's first byte.
const PROTOCOL_VERSION: u8 = 10;
/// Bytes of the salt before the capabilities; the others come behind them.
const SALT_HEAD_BYTES: usize = 8;
/// What MariaDB puts before its version, because old replicas take "10." for a 1.0.
const MARIADB_VERSION_PREFIX: &[u8] = b"5.5.5-";

/// A greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// Version, as the server writes it.
    pub server_version: &'a [u8],
    /// Id of the connection at that server.
    pub connection_id: u32,
    /// Random data for the first authentication plugin.
    pub salt: Salt,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// Low byte of the server's default collation id.
    pub collation: u8,
    /// State of the session.
    pub status: StatusFlags,
    /// Authentication plugin that the salt is meant for.
    pub auth_plugin: &'a [u8],
}

impl<'a> Greeting<'a> {
    /// Whether the server is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        !self.capabilities.contains(Capabilities::LONG_PASSWORD)
            || self.server_version.windows(7).any(|window| window.eq_ignore_ascii_case(b"mariadb"))
    }

    /// Version without the prefix that MariaDB sends for the sake of old replicas.
    pub fn version(&self) -> &'a [u8] {
        match self.server_version.strip_prefix(MARIADB_VERSION_PREFIX) {
            Some(version) if self.is_mariadb() => version,
            _ => self.server_version,
        }
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let [cap0, cap1, cap2, cap3] = self.capabilities.mysql_half().to_le_bytes();
        let [status0, status1] = self.status.bits().to_le_bytes();
        out.push(PROTOCOL_VERSION);
        put_null_terminated(out, self.server_version);
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(&self.salt[..SALT_HEAD_BYTES]);
        out.extend_from_slice(&[0, cap0, cap1, self.collation, status0, status1, cap2, cap3]);
        let has_plugin = self.capabilities.contains(Capabilities::PLUGIN_AUTH);
        out.push(if has_plugin { SALT_WITH_NUL_BYTES } else { 0 });
        out.extend_from_slice(&[0; 6]);
        let uses_mariadb_half = !self.capabilities.contains(Capabilities::LONG_PASSWORD);
        let mariadb = if uses_mariadb_half { self.capabilities.mariadb_half() } else { 0 };
        out.extend_from_slice(&mariadb.to_le_bytes());
        out.extend_from_slice(&self.salt[SALT_HEAD_BYTES..]);
        out.push(0);
        if has_plugin {
            put_null_terminated(out, self.auth_plugin);
        }
    }

    /// Takes a payload apart. Servers older than 4.1 are refused.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "greeting");
        if reader.u8()? != PROTOCOL_VERSION {
            return Err(reader.malformed());
        }
        let server_version = reader.null_terminated()?;
        let connection_id = reader.u32()?;
        let mut salt = [0; SALT_BYTES];
        salt[..SALT_HEAD_BYTES].copy_from_slice(reader.bytes(SALT_HEAD_BYTES)?);
        reader.skip(1)?;
        let low = reader.u16()?;
        let collation = reader.u8()?;
        let status = StatusFlags::from_bits_retain(reader.u16()?);
        let high = reader.u16()?;
        let salt_bytes = usize::from(reader.u8()?);
        reader.skip(6)?;
        let mariadb = reader.u32()?;
        let mysql = u32::from(low) | u32::from(high) << 16;
        let mut capabilities = Capabilities::from_halves(mysql, 0);
        if !capabilities.contains(Capabilities::LONG_PASSWORD) {
            capabilities = Capabilities::from_halves(mysql, mariadb);
        }
        if !capabilities.contains(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
            return Err(reader.malformed());
        }
        // The manual: the second part has max(13, length - 8) bytes, the last of them NUL.
        let tail = reader.bytes(salt_bytes.saturating_sub(SALT_HEAD_BYTES).max(SALT_TAIL_WITH_NUL_BYTES))?;
        salt[SALT_HEAD_BYTES..].copy_from_slice(&tail[..SALT_BYTES - SALT_HEAD_BYTES]);
        let has_plugin = capabilities.contains(Capabilities::PLUGIN_AUTH);
        let auth_plugin = if has_plugin { reader.null_terminated_or_rest() } else { NATIVE_PASSWORD };
        Ok(Self { server_version, connection_id, salt, capabilities, collation, status, auth_plugin })
    }
}

/// What a server means that names no plugin.
const NATIVE_PASSWORD: &[u8] = b"mysql_native_password";
/// Announced length of the whole salt.
const SALT_WITH_NUL_BYTES: u8 = 21;
const SALT_TAIL_WITH_NUL_BYTES: usize = SALT_BYTES - SALT_HEAD_BYTES + 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: Salt = *b"abcdefgh0123456789AB";

    fn greeting(capabilities: Capabilities, version: &[u8]) -> Greeting<'_> {
        Greeting {
            server_version: version,
            connection_id: 0x0403_0201,
            salt: SALT,
            capabilities,
            collation: 255,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin: b"caching_sha2_password",
        }
    }

    #[test]
    fn layout_is_the_manuals() {
        let capabilities = Capabilities::from_halves(0x0108_8201, 0);
        let mut out = vec![];
        greeting(capabilities, b"8.4.6").encode(&mut out);
        let expected = b"\x0a8.4.6\0\x01\x02\x03\x04abcdefgh\0\x01\x82\xff\x02\0\x08\x01\x15\
            \0\0\0\0\0\0\0\0\0\x000123456789AB\0caching_sha2_password\0";
        assert_eq!(out, expected);
        assert_eq!(Greeting::decode(&out), Ok(greeting(capabilities, b"8.4.6")));
        for end in 0..out.len() - b"caching_sha2_password\0".len() {
            assert!(Greeting::decode(&out[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn mariadb_is_recognised() {
        let base = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH;
        let mariadb = base | Capabilities::MARIADB_STMT_BULK_OPERATIONS;
        let mut out = vec![];
        greeting(mariadb, b"5.5.5-10.11.6-MariaDB-1").encode(&mut out);
        let decoded = Greeting::decode(&out).unwrap();
        assert!(decoded.is_mariadb());
        assert_eq!(decoded.version(), b"10.11.6-MariaDB-1");
        assert_eq!(decoded.capabilities, mariadb);

        let mysql = greeting(base | Capabilities::LONG_PASSWORD, b"5.5.5-m3");
        assert!(!mysql.is_mariadb());
        assert_eq!(mysql.version(), b"5.5.5-m3");
    }

    #[test]
    fn old_servers_are_refused() {
        let mut out = vec![];
        greeting(Capabilities::LONG_PASSWORD, b"3.23").encode(&mut out);
        assert!(Greeting::decode(&out).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(
            server_version in proptest::collection::vec(1u8.., 0..60),
            auth_plugin in proptest::collection::vec(1u8.., 0..60),
            connection_id: u32, salt: Salt, capabilities: u64, collation: u8, status: u16,
        ) {
            let needed = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH;
            let mut capabilities = Capabilities::from_bits_retain(capabilities) | needed;
            if capabilities.contains(Capabilities::LONG_PASSWORD) {
                capabilities = Capabilities::from_halves(capabilities.mysql_half(), 0);
            }
            let greeting = Greeting {
                server_version: &server_version, connection_id, salt, capabilities, collation,
                status: StatusFlags::from_bits_retain(status), auth_plugin: &auth_plugin,
            };
            let mut out = vec![];
            greeting.encode(&mut out);
            prop_assert_eq!(Greeting::decode(&out), Ok(greeting));
        }
    }
}
