//! From a fresh socket to a client that has proved who it is: greeting, TLS, handshake response, authentication.
//!
//! "Connection Phase" in
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>.

use std::sync::Arc;

use rustls::ServerConfig;

use super::auth::{Attempt, Authenticator, plugin_from_name, plugin_name, random_salt};
use super::client_stream::ClientStream;
use super::handler::ClientInfo;
use super::users::UserEntry;
use crate::config::AuthPlugin;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::net::{Packet, PacketError};
use crate::wire::connect::{ChangeUser, ConnectAttributes, Greeting, HandshakeResponse, SslRequest};
use crate::wire::{Capabilities, StatusFlags};

/// What every handshake needs.
pub struct Handshake {
    /// Who may log in.
    pub authenticator: Authenticator,
    /// Version told in the greeting.
    pub version: String,
    /// For clients that ask for TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether logins over plain TCP are refused.
    pub tls_required: bool,
}

/// What a client asked for when it logged in.
struct Request {
    user: Box<str>,
    database: Option<Box<str>>,
    collation: u16,
    attributes: Box<[(Box<str>, Box<str>)]>,
}

/// What a client answers to the greeting.
pub enum First {
    /// The payload of its handshake response.
    Response(Packet),
    /// It wants TLS, made with this, and will send its response in there.
    Tls(Arc<ServerConfig>),
}

impl Handshake {
    /// Greets the client and waits for its first packet. `None` means that it went away without a word, as port
    /// checks do.
    ///
    /// # Errors
    /// What the client should be told before the connection is closed; so below.
    pub async fn greet(&self, stream: &mut ClientStream) -> Result<Option<First>> {
        let salt = random_salt()?;
        stream.set_salt(salt);
        let greeting = Greeting {
            server_version: self.version.as_bytes(),
            connection_id: stream.entry().id().0,
            salt,
            capabilities: self.offered(),
            collation: GREETING_COLLATION,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin: plugin_name(self.authenticator.default_plugin).as_bytes(),
        };
        stream.packet(|out| greeting.encode(out));
        let answer = stream.exchange(limits::HANDSHAKE_PACKET_BYTES_MAX).await;
        let Some(packet) = answer.map_err(PacketError::into_client_error)? else { return Ok(None) };
        if !SslRequest::matches(&packet) {
            return Ok(Some(First::Response(packet)));
        }
        let config = self.tls.clone().ok_or_else(|| bad_handshake("TLS is not configured"))?;
        Ok(Some(First::Tls(config)))
    }

    /// Logs the client in by its handshake response; the final OK is left to the caller.
    ///
    /// # Errors
    /// As above.
    pub async fn log_in(&self, stream: &mut ClientStream, response: &[u8]) -> Result<ClientInfo> {
        let response =
            HandshakeResponse::decode(response).map_err(|malformed| bad_handshake(malformed.what))?;
        stream.set_capabilities(response.capabilities & self.offered());
        if self.tls_required && !stream.is_secure() {
            let text =
                "Connections using insecure transport are prohibited while --require_secure_transport=ON.";
            return Err(Error::new(ErrorKind::InsecureTransport, text));
        }
        let request = Request {
            user: text(response.user)?,
            database: response.database.map(text).transpose()?,
            collation: response.collation.into(),
            attributes: attributes(response.attributes),
        };
        let attempt = Attempt {
            user: &request.user,
            plugin: plugin_of(stream.capabilities(), response.auth_plugin),
            response: Some(response.auth_response),
        };
        let entry = self.authenticator.authenticate(stream, attempt).await?;
        Ok(client_info(stream, request, &entry))
    }

    /// COM_CHANGE_USER: who the client is from now on. The final OK is left to the caller.
    ///
    /// # Errors
    /// What the client should be told before the connection is closed.
    pub async fn change_user(
        &self,
        stream: &mut ClientStream,
        change: &ChangeUser<'_>,
    ) -> Result<ClientInfo> {
        let request = Request {
            user: text(change.user)?,
            database: change.database.map(text).transpose()?,
            collation: change.collation.unwrap_or(0),
            attributes: attributes(change.attributes),
        };
        // Which salt the answer was made with, only clients know that cannot be asked again: the greeting's.
        let can_switch = stream.capabilities().contains(Capabilities::PLUGIN_AUTH);
        let attempt = Attempt {
            user: &request.user,
            plugin: plugin_of(stream.capabilities(), change.auth_plugin),
            response: (!can_switch).then_some(change.auth_response),
        };
        let entry = self.authenticator.authenticate(stream, attempt).await?;
        Ok(client_info(stream, request, &entry))
    }

    fn offered(&self) -> Capabilities {
        let mut offered = Capabilities::OFFERED;
        offered.set(Capabilities::SSL, self.tls.is_some());
        offered
    }
}

/// utf8mb4_general_ci, the utf8mb4 collation that clients of both engines know.
const GREETING_COLLATION: u8 = 45;

/// Longest user or database name taken from a client; MySQL's own limits are 32 and 64 characters, targets with
/// key ranges are longer.
const NAME_BYTES_MAX: usize = 1024;

fn bad_handshake(what: &str) -> Error {
    Error::new(ErrorKind::BadHandshake, format!("Bad handshake: {what}"))
}

/// Clients without PLUGIN_AUTH mean the plugin that was the only one in their time.
fn plugin_of(capabilities: Capabilities, name: Option<&[u8]>) -> Option<AuthPlugin> {
    match name {
        Some(name) => plugin_from_name(name),
        None if capabilities.contains(Capabilities::PLUGIN_AUTH) => None,
        None => Some(AuthPlugin::MysqlNativePassword),
    }
}

fn text(bytes: &[u8]) -> Result<Box<str>> {
    if bytes.len() > NAME_BYTES_MAX {
        return Err(bad_handshake("a name is too long"));
    }
    Ok(String::from_utf8_lossy(bytes).into())
}

fn attributes(encoded: ConnectAttributes<'_>) -> Box<[(Box<str>, Box<str>)]> {
    let lossy = |bytes: &[u8]| Box::from(&*String::from_utf8_lossy(bytes));
    encoded.iter().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

fn client_info(stream: &ClientStream, request: Request, entry: &UserEntry) -> ClientInfo {
    let user: Arc<str> = request.user.into();
    stream.entry().set_user(user.clone());
    let user_data = match entry.user_data() {
        data if data.is_empty() => user.clone(),
        data => data.clone(),
    };
    ClientInfo {
        entry: stream.entry().clone(),
        user,
        user_data,
        groups: entry.groups().clone(),
        capabilities: stream.capabilities(),
        collation: request.collation,
        database: request.database,
        attributes: request.attributes,
        is_secure: stream.is_secure(),
    }
}
