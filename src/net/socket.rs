//! A connected TCP or unix socket that several owners can look at: the stream that reads and writes it, and
//! watches that wait for its end.
//!
//! Reading goes through `&self` on purpose: a watch can then run beside an exchange without a lock.

use std::future::poll_fn;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::coop;
use tokio::time::Sleep;

/// Quiet time after which the kernel asks whether the peer is still there.
const KEEPALIVE_QUIET: Duration = Duration::from_secs(60);

/// Time between looks at a peer that has sent more commands, so that its socket stays readable.
const HANGUP_POLL: Duration = Duration::from_millis(500);

/// A connected socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! each {
    ($socket:expr, $inner:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($inner) => $call,
            Socket::Unix($inner) => $call,
        }
    };
}

impl Socket {
    /// Takes a TCP connection over: small packets are sent at once, and dead peers are noticed.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_QUIET))?;
        Ok(Self::Tcp(stream))
    }

    /// Registers with the current thread's event loop instead of the one it was made on.
    fn rehome(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Self::Unix(stream) => Self::Unix(UnixStream::from_std(stream.into_std()?)?),
        })
    }

    pub(super) fn peer_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Reads what is there, without a second system call to learn that there is no more: a short read says so. What
    /// the event loop has noted is tried before a wake-up is asked for, which costs more.
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if !coop::has_budget_remaining() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let mut received = None;
            let tried = self.try_io(Interest::READABLE, || {
                let count = each!(self, inner => (&*SockRef::from(inner)).read(buf))?;
                received = Some(count);
                // "Would block" clears the readiness. With edge-triggered events, the next bytes set it again.
                let is_short = count > 0 && count < buf.len();
                if is_short { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (received, tried) {
                (Some(count), tried) => {
                    if tried.is_ok() {
                        // A full buffer leaves the socket ready: whoever always finds it full must yield in the end.
                        let _uses_budget = self.poll_read_ready(cx);
                    }
                    return Poll::Ready(Ok(count));
                }
                (None, Err(error)) if is_interruption(&error) => {}
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => ready!(self.poll_read_ready(cx))?,
            }
        }
    }

    /// Ready when a read might find something.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.try_io(Interest::READABLE, || Ok(())) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => self.poll_read_ready(cx),
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_read_ready(cx))
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let written = self.try_io(
                Interest::WRITABLE,
                || each!(self, inner => SockRef::from(inner).send_with_flags(bytes, libc::MSG_NOSIGNAL)),
            );
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(each!(self, inner => inner.poll_write_ready(cx)))?;
                }
                Err(error) if is_interruption(&error) => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn shutdown(&self) -> io::Result<()> {
        let shut = each!(self, inner => SockRef::from(inner).shutdown(std::net::Shutdown::Write));
        match shut {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }

    /// Runs `action` if the event loop has noted that the socket is ready; a "would block" takes that note away.
    fn try_io<T>(&self, interest: Interest, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        each!(self, inner => inner.try_io(interest, action))
    }

    /// Whether the event loop has seen the end of what the peer sends, or an error.
    fn is_read_closed(&self, cx: &mut Context<'_>) -> bool {
        let ready = pin!(async { each!(self, inner => inner.ready(Interest::READABLE).await) });
        matches!(ready.poll(cx), Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Bytes that could be read now, at most one; 0 at the end of the stream.
    fn try_peek(&self) -> io::Result<usize> {
        let mut byte = [MaybeUninit::uninit()];
        self.try_io(Interest::READABLE, || each!(self, inner => SockRef::from(inner).peek(&mut byte)))
    }

    /// Whether there is nothing to read and no end, asked from the operating system itself.
    fn is_silent_now(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = each!(self, inner => SockRef::from(inner).peek(&mut byte));
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether there is nothing to read and no end, as far as the event loop knows: usually no system call.
    fn is_silent(&self) -> bool {
        matches!(self.try_peek(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn is_interruption(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

/// Waits for a peer to hang up, beside the stream that talks to it. Cheap to make and to drop: no descriptor, no
/// system call, and nothing to take back from the event loop.
///
/// It uses the stream's own place for whom to wake when there is something to read, so it belongs into the task that
/// reads the stream.
#[derive(Debug)]
pub struct HangupWatch {
    socket: Arc<Socket>,
    /// Time until the next look at a peer that has sent more commands.
    pause: Option<Pin<Box<Sleep>>>,
}

impl HangupWatch {
    /// Ready when the peer has closed the connection or its sending side, even if bytes that it sent before were not
    /// read yet. Takes nothing from the stream.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let readable = ready!(self.socket.poll_read_ready(cx));
            if readable.is_err() || self.socket.is_read_closed(cx) {
                return Poll::Ready(());
            }
            match self.socket.try_peek() {
                Ok(0) => return Poll::Ready(()),
                // There is more to read, which stays so: readiness says nothing new until the end comes.
                Ok(_) => self.pause = Some(Box::pin(tokio::time::sleep(HANGUP_POLL))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// As [`Self::poll_closed`].
    pub async fn closed(&mut self) {
        poll_fn(|cx| self.poll_closed(cx)).await;
    }
}

/// A socket as a byte stream, which may begin with bytes that were read from it earlier.
#[derive(Debug)]
pub(super) struct Transport {
    socket: Arc<Socket>,
    early: Vec<u8>,
    early_read: usize,
}

impl Transport {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket: Arc::new(socket), early: vec![], early_read: 0 }
    }

    /// Gives bytes back that were read already; only once, before anything else is read.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.early_read, self.early.len());
        self.early = bytes.to_vec();
        self.early_read = 0;
    }

    /// Moves to the current thread's event loop, unless a watch still looks at the socket.
    pub(super) fn rehome(self) -> io::Result<Self> {
        let socket = match Arc::try_unwrap(self.socket) {
            Ok(socket) => Arc::new(socket.rehome()?),
            Err(watched) => watched,
        };
        Ok(Self { socket, ..self })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn is_silent_now(&self) -> bool {
        self.socket.is_silent_now()
    }

    pub(super) fn is_silent(&self) -> bool {
        self.early.is_empty() && self.socket.is_silent()
    }

    pub(super) fn hangup_watch(&self) -> HangupWatch {
        HangupWatch { socket: Arc::clone(&self.socket), pause: None }
    }

    /// Ready when a read might find something.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() { self.socket.poll_readable(cx) } else { Poll::Ready(Ok(())) }
    }

    pub(super) fn poll_read_slice(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.early.is_empty() {
            let early = &self.early[self.early_read..];
            let count = early.len().min(buf.len());
            buf[..count].copy_from_slice(&early[..count]);
            self.early_read += count;
            if self.early_read == self.early.len() {
                self.early = vec![];
                self.early_read = 0;
            }
            return Poll::Ready(Ok(count));
        }
        self.socket.poll_read(cx, buf)
    }

    pub(super) fn poll_write_slice(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, bytes)
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(self.get_mut().poll_read_slice(cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slice(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown())
    }
}
