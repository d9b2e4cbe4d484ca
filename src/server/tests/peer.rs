//! A client that says exactly what a test wants, right or wrong.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::wire::connect::{AuthMoreData, Greeting};
use crate::wire::connect::{AuthSwitch, ChangeUser, ConnectAttributes, HandshakeResponse, Salt, SslRequest};
use crate::wire::frame::{Header, write_packet};
use crate::wire::row::text_fields;
use crate::wire::{Capabilities, Command, EofPacket, ErrPacket, OkPacket, StatusFlags};

/// What MySQL stores for "secret", in JSON's escapes.
pub(super) const CRYPT_OF_SECRET: &str = concat!(
    r"$A$00A$BwRlw\u000e Add\u00049.G\u0022JE[\u0019\u0012",
    "pFxnA2JMZxEGP25.I4akUBPzPidd4wFQyq1/qwVQ5q8"
);

trait Io: AsyncRead + AsyncWrite + Unpin + Send + Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> Io for T {}

#[derive(Debug)]
pub(super) struct Peer {
    io: Box<dyn Io>,
    /// Number of the next packet, either way.
    pub(super) sequence: u8,
    pub(super) salt: Salt,
    pub(super) offered: Capabilities,
    capabilities: Capabilities,
}

impl Peer {
    /// Connects and takes the greeting.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::greet(Box::new(TcpStream::connect(address).await.unwrap())).await
    }

    /// The same through a unix socket.
    pub(super) async fn connect_unix(path: &Path) -> Self {
        Self::greet(Box::new(UnixStream::connect(path).await.unwrap())).await
    }

    async fn greet(io: Box<dyn Io>) -> Self {
        let none = Capabilities::empty();
        let mut peer = Self { io, sequence: 0, salt: [0; 20], offered: none, capabilities: none };
        let packet = peer.read().await.unwrap();
        let greeting = Greeting::decode(&packet).unwrap();
        (peer.salt, peer.offered) = (greeting.salt, greeting.capabilities);
        assert_eq!(greeting.auth_plugin, b"caching_sha2_password");
        peer
    }

    // --- packets

    /// Writes bytes that need not be packets.
    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    pub(super) async fn send(&mut self, payload: &[u8]) {
        let mut out = vec![];
        write_packet(&mut out, &mut self.sequence, payload);
        // The server may have hung up already; then reading tells.
        let _ = self.io.write_all(&out).await;
    }

    /// The next payload, with parts of 16 MB joined; `None` when the server has hung up.
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        let mut payload = vec![];
        loop {
            let mut header = [0; 4];
            self.io.read_exact(&mut header).await.ok()?;
            let header = Header::decode(header);
            assert_eq!(header.sequence, self.sequence, "sequence number");
            self.sequence = self.sequence.wrapping_add(1);
            let start = payload.len();
            payload.resize(start + header.payload_bytes, 0);
            self.io.read_exact(&mut payload[start..]).await.ok()?;
            if !header.is_continued() {
                return Some(payload);
            }
        }
    }

    // --- login

    pub(super) async fn respond(
        &mut self,
        user: &str,
        auth_response: &[u8],
        plugin: &str,
        capabilities: Capabilities,
    ) {
        self.respond_to("", user, auth_response, plugin, capabilities).await;
    }

    pub(super) async fn respond_to(
        &mut self,
        database: &str,
        user: &str,
        auth_response: &[u8],
        plugin: &str,
        capabilities: Capabilities,
    ) {
        self.capabilities = capabilities & self.offered;
        let mut attributes = vec![];
        ConnectAttributes::encode_pairs(&mut attributes, [("_client_name", "peer")]);
        let response = HandshakeResponse {
            capabilities,
            packet_bytes_max: 1 << 24,
            collation: 45,
            user: user.as_bytes(),
            auth_response,
            database: Some(database.as_bytes()),
            auth_plugin: Some(plugin.as_bytes()),
            attributes: ConnectAttributes::from_encoded(&attributes).unwrap(),
        };
        let mut payload = vec![];
        response.encode(&mut payload);
        self.send(&payload).await;
    }

    /// Asks for TLS and goes on in there.
    pub(super) async fn start_tls(mut self) -> Self {
        let mut payload = vec![];
        let capabilities = Capabilities::OFFERED | Capabilities::SSL;
        SslRequest { capabilities, packet_bytes_max: 1 << 24, collation: 45 }.encode(&mut payload);
        self.send(&payload).await;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let io: Box<dyn Io> = Box::new(connector.connect(name, self.io).await.unwrap());
        Self { io, ..self }
    }

    pub(super) async fn change_user(&mut self, user: &str, database: &str) {
        let change = ChangeUser {
            user: user.as_bytes(),
            auth_response: b"12345678901234567890",
            database: Some(database.as_bytes()),
            collation: Some(45),
            auth_plugin: Some(b"caching_sha2_password"),
            attributes: ConnectAttributes::default(),
        };
        self.command(&Command::ChangeUser(change)).await;
    }

    /// Takes a switch to `plugin` and its salt.
    pub(super) async fn expect_switch(&mut self, plugin: &str) {
        let packet = self.read().await.expect("a switch");
        let switch = AuthSwitch::decode(&packet).unwrap();
        assert_eq!(switch.plugin, plugin.as_bytes());
        let salt = switch.salt().unwrap();
        assert_ne!(salt, self.salt, "a fresh salt");
        self.salt = salt;
    }

    pub(super) async fn expect_more(&mut self) -> Vec<u8> {
        let packet = self.read().await.expect("more data");
        AuthMoreData::decode(&packet).unwrap().data.to_vec()
    }

    // --- commands

    pub(super) async fn command(&mut self, command: &Command<'_>) {
        let mut payload = vec![];
        command.encode(&mut payload, self.capabilities);
        self.sequence = 0;
        self.send(&payload).await;
    }

    pub(super) async fn query(&mut self, text: &str) {
        self.command(&Command::Query(text.as_bytes())).await;
    }

    /// Runs a query whose result has one column.
    pub(super) async fn rows(&mut self, text: &str) -> Vec<String> {
        self.query(text).await;
        let deprecates_eof = self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        let head = self.read().await.unwrap();
        assert_eq!(head, [1], "{:?}", ErrPacket::decode(&head));
        self.read().await.unwrap();
        if !deprecates_eof {
            EofPacket::decode(&self.read().await.unwrap()).unwrap();
        }
        let mut rows = vec![];
        loop {
            let packet = self.read().await.unwrap();
            if packet[0] == 0xFE && packet.len() < 9 {
                match deprecates_eof {
                    true => drop(OkPacket::decode(&packet).unwrap()),
                    false => drop(EofPacket::decode(&packet).unwrap()),
                }
                return rows;
            }
            let field = text_fields(&packet).next().unwrap().unwrap().unwrap();
            rows.push(String::from_utf8(field.to_vec()).unwrap());
        }
    }

    pub(super) async fn value(&mut self, text: &str) -> String {
        self.rows(text).await.remove(0)
    }

    pub(super) async fn expect_ok(&mut self) -> StatusFlags {
        let packet = self.read().await.expect("an OK packet");
        match OkPacket::decode(&packet) {
            Ok(ok) if packet[0] == 0 => ok.status,
            _ => panic!("no OK: {:?}", ErrPacket::decode(&packet)),
        }
    }

    /// Takes an ERR packet: number, SQLSTATE and text.
    pub(super) async fn expect_error(&mut self) -> (u16, String, String) {
        let packet = self.read().await.expect("an ERR packet");
        let error = ErrPacket::decode(&packet).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (error.errno, text(&error.sqlstate), text(error.message))
    }

    /// An ERR packet of a server that counted differently: number and text.
    pub(super) async fn error_of_any_sequence(&mut self) -> (u16, String) {
        let mut header = [0; 4];
        self.io.read_exact(&mut header).await.unwrap();
        let header = Header::decode(header);
        let mut payload = vec![0; header.payload_bytes];
        self.io.read_exact(&mut payload).await.unwrap();
        self.sequence = header.sequence.wrapping_add(1);
        let error = ErrPacket::decode(&payload).unwrap();
        (error.errno, String::from_utf8_lossy(error.message).into_owned())
    }

    pub(super) async fn expect_closed(&mut self) {
        assert_eq!(self.read().await, None);
    }
}

/// Self-signed certificates are what tests have.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
