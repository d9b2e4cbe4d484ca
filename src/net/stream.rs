//! One connection's byte stream: plain or TLS, over TCP or a unix socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::socket::{HangupWatch, Socket, Transport};

/// A connected byte stream.
pub struct Stream(Kind);

enum Kind {
    Plain(Transport),
    TlsClient(Box<client::TlsStream<Transport>>),
    TlsServer(Box<server::TlsStream<Transport>>),
}

/// What a TLS session agreed on, in the words of `SHOW STATUS LIKE 'Ssl_%'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSummary {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
}

impl Stream {
    /// A TCP connection. Turns Nagle's algorithm off and keepalive on.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        Ok(Self(Kind::Plain(Transport::new(Socket::tcp(stream)?))))
    }

    /// A connection by unix socket.
    pub fn unix(stream: UnixStream) -> Self {
        Self(Kind::Plain(Transport::new(Socket::Unix(stream))))
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        !matches!(self.0, Kind::Plain(_))
    }

    /// Whether it is a unix socket, whose other end is on this machine.
    pub fn is_unix(&self) -> bool {
        matches!(self.transport().socket(), Socket::Unix(_))
    }

    /// Whether a password may be sent over it in the clear: nobody on the way can read it.
    pub fn is_secure(&self) -> bool {
        self.is_tls() || self.is_unix()
    }

    /// Address of the peer of a TCP connection.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.transport().socket().peer_address()
    }

    /// What was agreed, for a TLS session.
    pub fn tls(&self) -> Option<TlsSummary> {
        let (version, suite) = match &self.0 {
            Kind::Plain(_) => return None,
            Kind::TlsClient(stream) => {
                let session = stream.get_ref().1;
                (session.protocol_version(), session.negotiated_cipher_suite())
            }
            Kind::TlsServer(stream) => {
                let session = stream.get_ref().1;
                (session.protocol_version(), session.negotiated_cipher_suite())
            }
        };
        let version = if version == Some(rustls::ProtocolVersion::TLSv1_3) { "TLSv1.3" } else { "TLSv1.2" };
        let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
        // rustls says TLS13_AES_…, everybody else TLS_AES_….
        Some(TlsSummary { version, cipher: cipher.replacen("TLS13_", "TLS_", 1) })
    }

    /// Whether the socket has nothing to read, not even the stream's end. Always one system call.
    pub(super) fn is_silent_now(&self) -> bool {
        self.transport().is_silent_now()
    }

    /// As [`Self::is_silent_now`], as far as the event loop knows; `None` where only reading can tell.
    pub(super) fn is_silent(&self) -> Option<bool> {
        match &self.0 {
            Kind::Plain(transport) => Some(transport.is_silent()),
            Kind::TlsClient(_) | Kind::TlsServer(_) => None,
        }
    }

    /// Waits for the peer to hang up.
    pub fn hangup_watch(&self) -> HangupWatch {
        self.transport().hangup_watch()
    }

    /// Registers a plain socket with the event loop of the current thread.
    pub(super) fn rehome(self) -> io::Result<Self> {
        match self.0 {
            Kind::Plain(transport) => Ok(Self(Kind::Plain(transport.rehome()?))),
            tls @ (Kind::TlsClient(_) | Kind::TlsServer(_)) => Ok(Self(tls)),
        }
    }

    /// Begins TLS as the client. `early` are bytes that were read after the last packet in the clear; a server
    /// has no reason to send any.
    pub(super) async fn into_tls_client(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        early: &[u8],
    ) -> io::Result<Self> {
        let transport = self.into_plain()?;
        if !early.is_empty() {
            return Err(invalid("the server sent data before TLS began"));
        }
        let stream = TlsConnector::from(config).connect(name, transport).await?;
        Ok(Self(Kind::TlsClient(Box::new(stream))))
    }

    /// Begins TLS as the server. `early` are bytes that were read after the request for TLS: they belong to the
    /// TLS session, never to the packets in the clear.
    pub(super) async fn into_tls_server(self, config: Arc<ServerConfig>, early: &[u8]) -> io::Result<Self> {
        let mut transport = self.into_plain()?;
        if early.first().is_some_and(|&byte| byte != TLS_HANDSHAKE_RECORD) {
            return Err(invalid("the client sent plain text after its request for TLS"));
        }
        transport.unread(early);
        let stream = TlsAcceptor::from(config).accept(transport).await?;
        Ok(Self(Kind::TlsServer(Box::new(stream))))
    }

    /// Ready when [`Self::poll_read_slice`] might be: for callers who take a buffer only then.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Plain(transport) => transport.poll_readable(cx),
            Kind::TlsClient(_) | Kind::TlsServer(_) => Poll::Ready(Ok(())),
        }
    }

    /// Reads into `buf`; 0 at the end of the stream.
    pub(super) fn poll_read_slice(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read;
        let outcome = match &mut self.0 {
            Kind::Plain(transport) => return transport.poll_read_slice(cx, buf),
            Kind::TlsClient(stream) => {
                read = ReadBuf::new(buf);
                ready!(Pin::new(stream).poll_read(cx, &mut read))
            }
            Kind::TlsServer(stream) => {
                read = ReadBuf::new(buf);
                ready!(Pin::new(stream).poll_read(cx, &mut read))
            }
        };
        outcome.or_else(end_without_goodbye)?;
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Writes some of `bytes`.
    pub(super) fn poll_write_slice(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Plain(transport) => transport.poll_write_slice(cx, bytes),
            Kind::TlsClient(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::TlsServer(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Makes sure that everything written is on its way.
    pub(super) fn poll_flush_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(_) => Poll::Ready(Ok(())),
            Kind::TlsClient(stream) => Pin::new(stream).poll_flush(cx),
            Kind::TlsServer(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Ends the sending side, with TLS's goodbye where there is TLS.
    pub(super) fn poll_shutdown_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(transport) => Pin::new(transport).poll_shutdown(cx),
            Kind::TlsClient(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::TlsServer(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn transport(&self) -> &Transport {
        match &self.0 {
            Kind::Plain(transport) => transport,
            Kind::TlsClient(stream) => stream.get_ref().0,
            Kind::TlsServer(stream) => stream.get_ref().0,
        }
    }

    fn into_plain(self) -> io::Result<Transport> {
        match self.0 {
            Kind::Plain(transport) => Ok(transport),
            Kind::TlsClient(_) | Kind::TlsServer(_) => Err(invalid("TLS within TLS")),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.is_tls() { "TLS over " } else { "" };
        match self.transport().socket() {
            Socket::Unix(_) => write!(f, "Stream({tls}unix socket)"),
            socket @ Socket::Tcp(_) => write!(f, "Stream({tls}{:?})", socket.peer_address()),
        }
    }
}

/// First byte of a TLS session.
const TLS_HANDSHAKE_RECORD: u8 = 0x16;

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// MySQL's peers close TCP without TLS's goodbye. COM_QUIT says goodbye, and packets have lengths, so a cut
/// stream is noticed anyway; here it is the end.
fn end_without_goodbye(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) }
}
