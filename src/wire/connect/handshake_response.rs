//! Handshake response: who the client is, and its answer to the greeting's salt (HandshakeResponse41).
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html>

use super::attributes::ConnectAttributes;
use super::ssl_request::SslRequest;
use crate::wire::capability::Capabilities;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::writer::{put_lenenc_bytes, put_null_terminated};

/// A handshake response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeResponse<'a> {
    /// What the client can do and wants.
    pub capabilities: Capabilities,
    /// Largest packet that the client takes.
    pub packet_bytes_max: u32,
    /// Low byte of the id of the collation that the client wants.
    pub collation: u8,
    /// Account name.
    pub user: &'a [u8],
    /// Answer to the salt; empty for an empty password.
    pub auth_response: &'a [u8],
    /// Database to use, if the client names one.
    pub database: Option<&'a [u8]>,
    /// Authentication plugin that `auth_response` was made with, if the client names one.
    pub auth_plugin: Option<&'a [u8]>,
    /// What the client tells about itself.
    pub attributes: ConnectAttributes<'a>,
}

impl<'a> HandshakeResponse<'a> {
    /// Appends the payload. Fields without their capability bit are left out. Without
    /// PLUGIN_AUTH_LENENC_CLIENT_DATA an `auth_response` must not pass 255 bytes; more are cut off, and the
    /// server will refuse them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let head = SslRequest {
            capabilities: self.capabilities,
            packet_bytes_max: self.packet_bytes_max,
            collation: self.collation,
        };
        head.encode(out);
        put_null_terminated(out, self.user);
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            put_lenenc_bytes(out, self.auth_response);
        } else if self.capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let count = u8::try_from(self.auth_response.len()).unwrap_or(u8::MAX);
            out.push(count);
            out.extend_from_slice(&self.auth_response[..usize::from(count)]);
        } else {
            put_null_terminated(out, self.auth_response);
        }
        if self.capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            put_null_terminated(out, self.database.unwrap_or_default());
        }
        if self.capabilities.contains(Capabilities::PLUGIN_AUTH) {
            put_null_terminated(out, self.auth_plugin.unwrap_or_default());
        }
        if self.capabilities.contains(Capabilities::CONNECT_ATTRS) {
            self.attributes.encode(out);
        }
    }

    /// Takes a payload apart. Clients older than 4.1 are refused. Some clients leave out the end of what
    /// their capabilities promise; that is forgiven where nothing can be misread.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "handshake response");
        let SslRequest { capabilities, packet_bytes_max, collation } = SslRequest::decode_head(&mut reader)?;
        if !capabilities.contains(Capabilities::PROTOCOL_41) {
            return Err(reader.malformed());
        }
        let user = reader.null_terminated()?;
        let auth_response = if reader.is_empty() {
            &[]
        } else if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            reader.lenenc_bytes()?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let count = reader.u8()?;
            reader.bytes(count.into())?
        } else {
            reader.null_terminated_or_rest()
        };
        let mut string_with = |capability| {
            let present = capabilities.contains(capability) && !reader.is_empty();
            let text = if present { reader.null_terminated_or_rest() } else { &[] };
            Some(text).filter(|text| !text.is_empty())
        };
        let database = string_with(Capabilities::CONNECT_WITH_DB);
        let auth_plugin = string_with(Capabilities::PLUGIN_AUTH);
        let mut attributes = ConnectAttributes::default();
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            attributes = ConnectAttributes::decode(&mut reader)?;
        }
        Ok(Self {
            capabilities,
            packet_bytes_max,
            collation,
            user,
            auth_response,
            database,
            auth_plugin,
            attributes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Capabilities = Capabilities::PROTOCOL_41
        .union(Capabilities::LONG_PASSWORD)
        .union(Capabilities::SECURE_CONNECTION)
        .union(Capabilities::CONNECT_WITH_DB)
        .union(Capabilities::PLUGIN_AUTH)
        .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
        .union(Capabilities::CONNECT_ATTRS);

    #[test]
    fn decodes_what_the_mysql_client_sends() {
        let mut payload = vec![0x05, 0xA2, 0x3A, 0x00, 0, 0, 0, 1, 45];
        payload.extend_from_slice(&[0; 23]);
        payload.extend_from_slice(
            b"root\0\x14ABCDEFGHIJKLMNOPQRSTmysql_native_password\0\x0c\x04_pid\x06123456",
        );
        let response = HandshakeResponse::decode(&payload).unwrap();
        assert_eq!(response.user, b"root");
        assert_eq!(response.auth_response, b"ABCDEFGHIJKLMNOPQRST");
        assert_eq!(response.database, None);
        assert_eq!(response.auth_plugin, Some(&b"mysql_native_password"[..]));
        assert_eq!(response.attributes.get("_pid"), Some(&b"123456"[..]));
    }

    #[test]
    fn missing_ends_are_forgiven_and_lies_are_not() {
        let mut head = ALL.mysql_half().to_le_bytes().to_vec();
        head.extend_from_slice(&[0; 28]);
        let decode = |tail: &[u8]| {
            let payload = [&head[..], tail].concat();
            HandshakeResponse::decode(&payload).map(|response| response.user.len())
        };
        assert_eq!(decode(b"root\0"), Ok(4));
        assert_eq!(decode(b"root\0\0"), Ok(4));
        assert_eq!(decode(b"root\0\0db"), Ok(4));
        assert!(decode(b"root").is_err());
        assert!(decode(b"root\0\x15short").is_err());
        assert!(decode(b"root\0\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").is_err());
        assert!(decode(b"root\0\0db\0plugin\0\x05\x01a").is_err());
        assert!(HandshakeResponse::decode(&head[..30]).is_err());
    }

    #[test]
    fn old_clients_are_refused() {
        assert!(HandshakeResponse::decode(b"\x85\x24\0\0\0\0root\0").is_err());
        assert!(HandshakeResponse::decode(&[0; 64]).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(
            user in proptest::collection::vec(1u8.., 0..60),
            auth_response in proptest::collection::vec(any::<u8>(), 0..255),
            database in proptest::option::of(proptest::collection::vec(1u8.., 1..60)),
            auth_plugin in proptest::option::of(proptest::collection::vec(1u8.., 1..60)),
            attributes in proptest::collection::vec(("[a-z]{0,300}", "[a-z]{0,300}"), 0..3),
            packet_bytes_max: u32, collation: u8, lenenc: bool,
        ) {
            let mut encoded = vec![];
            ConnectAttributes::encode_pairs(&mut encoded, attributes.iter().map(|(n, v)| (&n[..], &v[..])));
            let mut capabilities = ALL;
            capabilities.set(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA, lenenc);
            let response = HandshakeResponse {
                capabilities, packet_bytes_max, collation,
                user: &user, auth_response: &auth_response, database: database.as_deref(),
                auth_plugin: auth_plugin.as_deref(),
                attributes: ConnectAttributes::from_encoded(&encoded).unwrap(),
            };
            let mut out = vec![];
            response.encode(&mut out);
            prop_assert_eq!(HandshakeResponse::decode(&out), Ok(response));
        }
    }
}
