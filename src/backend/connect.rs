//! The connection phase, from dialling to a connection that takes commands.
//!
//! ```text
//!   dial ─greeting─▶ [TLS] ─handshake response─▶ auth exchange (auth.rs) ─OK─▶ ready
//! ```
//! The whole of it has one time limit. Whatever fails, nothing of a statement has been sent, so every error
//! allows another try. MySQL manual: "Connection Phase".

use std::sync::Arc;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::auth;
use super::channel::{Channel, ChannelError};
use super::connection::{Agreement, BackendConnection};
use super::lifeline::Lifeline;
use super::options::{BackendAddress, ConnectOptions, Flavor};
use super::settings::Names;
use super::tls::TlsMode;
use super::version::{Engine, ServerVersion};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::limits;
use crate::net::Stream;
use crate::wire::connect::{ConnectAttributes, Greeting, HandshakeResponse, Salt, SslRequest};
use crate::wire::frame::write_packet_with;
use crate::wire::response::ERR_HEADER;
use crate::wire::{Capabilities, ErrPacket};

impl BackendConnection {
    /// Connects and authenticates. The connection is in the given database, its character set is utf8mb4,
    /// and all other session variables are as the server's configuration has them. Errors are of kind
    /// [`ErrorKind::ConnectFailed`] and allow another try.
    pub async fn connect(options: &Arc<ConnectOptions>, flavor: Flavor) -> Result<Self> {
        Self::connect_with(options, flavor, Arc::default(), 0).await
    }

    /// As [`Self::connect`], for a pool.
    pub(super) async fn connect_with(
        options: &Arc<ConnectOptions>,
        flavor: Flavor,
        lifeline: Arc<Lifeline>,
        worker: usize,
    ) -> Result<Self> {
        let outcome = match timeout(options.timeout, handshake(options, flavor, lifeline)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectError(format!("no answer within {:?}", options.timeout))),
        };
        match outcome {
            Ok((channel, agreement)) => Ok(Self::new(channel, agreement, options.clone(), worker)),
            Err(ConnectError(reason)) => Err(failure(options, &reason)),
        }
    }
}

/// Why connecting failed, in words that follow "cannot connect to …:".
pub(super) struct ConnectError(pub(super) String);

impl<E: Into<ChannelError>> From<E> for ConnectError {
    fn from(error: E) -> Self {
        Self(error.into().to_string())
    }
}

impl ConnectError {
    /// The server's refusal in an ERR packet.
    pub(super) fn refused(payload: &[u8]) -> Self {
        match ErrPacket::decode(payload) {
            Ok(error) => {
                let text = String::from_utf8_lossy(error.message);
                Self(format!("{text} (errno {})", error.errno))
            }
            Err(malformed) => malformed.into(),
        }
    }
}

fn failure(options: &ConnectOptions, reason: &str) -> Error {
    let ConnectOptions { label, address, user, .. } = options;
    let text = format!("cannot connect to {label} at {address} as '{user}': {reason}");
    Error::new(ErrorKind::ConnectFailed, text).with_retry(Retry::FreshConnection)
}

/// What of the greeting is needed after its packet is gone.
struct Greeted {
    capabilities: Capabilities,
    salt: Salt,
    plugin: Vec<u8>,
    thread_id: u32,
    version: ServerVersion,
}

async fn handshake(
    options: &ConnectOptions,
    flavor: Flavor,
    lifeline: Arc<Lifeline>,
) -> Result<(Channel, Agreement), ConnectError> {
    let mut channel = Channel::new(dial(&options.address).await?, lifeline);
    let greeted = read_greeting(&mut channel).await?;
    let capabilities = agree(&greeted, options, flavor)?;
    let collation = connect_collation(&greeted.version);
    if capabilities.contains(Capabilities::SSL) {
        channel = start_tls(channel, options, capabilities, collation.id).await?;
    }
    let is_secure = channel.is_secure();
    let plugin = auth::Plugin::for_greeting(&greeted.plugin);
    let auth_response = plugin.answer(&options.password, &greeted.salt, is_secure);
    let mut attributes = Vec::new();
    let program = [("program_name", "shardgate"), ("_client_version", env!("CARGO_PKG_VERSION"))];
    ConnectAttributes::encode_pairs(&mut attributes, program);
    let response = HandshakeResponse {
        capabilities,
        packet_bytes_max: PACKET_BYTES_MAX,
        collation: collation.id,
        user: options.user.as_bytes(),
        auth_response: &auth_response,
        database: options.database.as_deref().map(str::as_bytes),
        auth_plugin: Some(plugin.name()),
        attributes: ConnectAttributes::from_encoded(&attributes)?,
    };
    send(&mut channel, |out| response.encode(out)).await?;
    let status = auth::run(&mut channel, plugin, &greeted.salt, &options.password, is_secure).await?;
    let agreement = Agreement {
        capabilities,
        flavor,
        names: Names { charset: "utf8mb4".into(), collation: Some(collation.name.into()) },
        status,
        thread_id: greeted.thread_id,
        version: Arc::new(greeted.version),
    };
    Ok((channel, agreement))
}

/// What we tell servers to be the largest packet that we take; they ignore it.
const PACKET_BYTES_MAX: u32 = 1 << 30;

async fn dial(address: &BackendAddress) -> Result<Stream, ConnectError> {
    Ok(match address {
        BackendAddress::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            Stream::tcp(stream)?
        }
        BackendAddress::Unix(path) => Stream::unix(UnixStream::connect(path).await?),
    })
}

async fn read_greeting(channel: &mut Channel) -> Result<Greeted, ConnectError> {
    let payload = channel.payload(limits::HANDSHAKE_PACKET_BYTES_MAX).await?;
    if payload.first() == Some(&ERR_HEADER) {
        return Err(ConnectError::refused(payload));
    }
    let greeting = Greeting::decode(payload)?;
    Ok(Greeted {
        capabilities: greeting.capabilities,
        salt: greeting.salt,
        plugin: greeting.auth_plugin.to_vec(),
        thread_id: greeting.connection_id,
        version: ServerVersion::parse(greeting.server_version),
    })
}

/// The capabilities of the connection.
fn agree(greeted: &Greeted, options: &ConnectOptions, flavor: Flavor) -> Result<Capabilities, ConnectError> {
    let mut needed = Capabilities::LONG_PASSWORD | Capabilities::PROTOCOL_41;
    needed.set(Capabilities::DEPRECATE_EOF, flavor.deprecate_eof);
    needed.set(Capabilities::FOUND_ROWS, flavor.found_rows);
    needed.set(Capabilities::CONNECT_WITH_DB, options.database.is_some());
    // LONG_PASSWORD is how MariaDB tells that it has capabilities of its own, not a feature.
    let missing = needed.difference(greeted.capabilities).difference(Capabilities::LONG_PASSWORD);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter_names().map(|(name, _)| name).collect();
        return Err(ConnectError(format!("the server does not support {}", names.join(", "))));
    }
    let mut agreed = needed | Capabilities::REQUESTED.intersection(greeted.capabilities);
    agreed.set(Capabilities::SSL, wants_tls(greeted, options)?);
    Ok(agreed)
}

fn wants_tls(greeted: &Greeted, options: &ConnectOptions) -> Result<bool, ConnectError> {
    let is_local = matches!(options.address, BackendAddress::Unix(_));
    let is_offered = greeted.capabilities.contains(Capabilities::SSL);
    match options.tls.mode() {
        TlsMode::Disabled => Ok(false),
        TlsMode::Preferred => Ok(is_offered && !is_local),
        TlsMode::Required | TlsMode::Verify if is_offered => Ok(true),
        TlsMode::Required | TlsMode::Verify => {
            Err(ConnectError("encryption is required, and the server does not offer it".to_owned()))
        }
    }
}

async fn start_tls(
    mut channel: Channel,
    options: &ConnectOptions,
    capabilities: Capabilities,
    collation: u8,
) -> Result<Channel, ConnectError> {
    let host = match &options.address {
        BackendAddress::Tcp { host, .. } => host.as_str(),
        BackendAddress::Unix(_) => "localhost",
    };
    let configured = options.tls.for_host(host).map_err(|error| ConnectError(error.to_string()))?;
    let Some((config, name)) = configured else {
        return Err(ConnectError("TLS is not configured".to_owned()));
    };
    let request = SslRequest { capabilities, packet_bytes_max: PACKET_BYTES_MAX, collation };
    send(&mut channel, |out| request.encode(out)).await?;
    channel
        .start_tls(config, name)
        .await
        .map_err(|error| ConnectError(format!("TLS handshake failed: {error}")))
}

/// Sends one packet of the handshake, numbered behind the last one.
pub(super) async fn send(
    channel: &mut Channel,
    encode: impl FnOnce(&mut Vec<u8>),
) -> Result<(), ConnectError> {
    let mut packet = Vec::new();
    write_packet_with(&mut packet, channel.sequence_mut(), encode);
    channel.write_all(&packet).await.map_err(|failure| failure.error.into())
}

/// A collation of utf8mb4.
struct Collation {
    id: u8,
    name: &'static str,
}

/// The default collation that the engine itself gives to utf8mb4; older ones do not know the newer id.
fn connect_collation(version: &ServerVersion) -> Collation {
    if version.engine == Engine::MySql && version.is_at_least(8, 0, 1) {
        Collation { id: 255, name: "utf8mb4_0900_ai_ci" }
    } else {
        Collation { id: 45, name: "utf8mb4_general_ci" }
    }
}
