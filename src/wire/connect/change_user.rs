//! Body of COM_CHANGE_USER: a second handshake response within a connection.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html>

use super::attributes::ConnectAttributes;
use crate::wire::capability::Capabilities;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::writer::put_null_terminated;

/// Whom the client wants to be from now on. `None` stands for what the client did not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeUser<'a> {
    /// Account name.
    pub user: &'a [u8],
    /// Answer to the greeting's salt; usually wrong, and followed by an authentication switch.
    pub auth_response: &'a [u8],
    /// Database to use.
    pub database: Option<&'a [u8]>,
    /// Id of the collation that the client wants.
    pub collation: Option<u16>,
    /// Authentication plugin that `auth_response` was made with.
    pub auth_plugin: Option<&'a [u8]>,
    /// What the client tells about itself.
    pub attributes: ConnectAttributes<'a>,
}

impl<'a> ChangeUser<'a> {
    /// Appends the body. An `auth_response` of more than 255 bytes is cut off, and will be refused.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        put_null_terminated(out, self.user);
        if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let count = u8::try_from(self.auth_response.len()).unwrap_or(u8::MAX);
            out.push(count);
            out.extend_from_slice(&self.auth_response[..usize::from(count)]);
        } else {
            put_null_terminated(out, self.auth_response);
        }
        put_null_terminated(out, self.database.unwrap_or_default());
        let Some(collation) = self.collation else { return };
        out.extend_from_slice(&collation.to_le_bytes());
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            put_null_terminated(out, self.auth_plugin.unwrap_or_default());
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            self.attributes.encode(out);
        }
    }

    /// Reads what follows the command's byte.
    pub(crate) fn decode(reader: &mut Reader<'a>, capabilities: Capabilities) -> Result<Self, Malformed> {
        let user = reader.null_terminated()?;
        let auth_response = if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let count = reader.u8()?;
            reader.bytes(count.into())?
        } else {
            reader.null_terminated()?
        };
        let database = non_empty(reader.null_terminated_or_rest());
        let collation = if reader.is_empty() { None } else { Some(reader.u16()?) };
        let mut auth_plugin = None;
        if capabilities.contains(Capabilities::PLUGIN_AUTH) && !reader.is_empty() {
            auth_plugin = non_empty(reader.null_terminated_or_rest());
        }
        let mut attributes = ConnectAttributes::default();
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            attributes = ConnectAttributes::decode(reader)?;
        }
        Ok(Self { user, auth_response, database, collation, auth_plugin, attributes })
    }
}

fn non_empty(text: &[u8]) -> Option<&[u8]> {
    Some(text).filter(|text| !text.is_empty())
}
