//! The byte level of a connection to a server: packets in, bytes out, liveness.
//!
//! Adds to [`PacketStream`] that every wait also ends when the connection's [`Lifeline`] is cut, and that a
//! failed write says how much had left. Knows no commands, replies or sessions.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::lifeline::Lifeline;
use crate::net::{PacketError, PacketStream, Stream};
use crate::wire::Malformed;

/// Why nothing can be read or written any more. The connection is useless afterwards.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    /// The server ended the connection.
    #[error("the server closed the connection")]
    Closed,
    /// Health polling gave the server up.
    #[error("the server has stopped answering")]
    Cut,
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server does not keep to the protocol.
    #[error("the server sent a {0}")]
    Malformed(#[from] Malformed),
    /// Framing is wrong, or a packet is larger than its reader can use.
    #[error("{0}")]
    Packet(PacketError),
}

impl From<PacketError> for ChannelError {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Io(error) => Self::Io(error),
            PacketError::Truncated => Self::Closed,
            other => Self::Packet(other),
        }
    }
}

/// A write that failed, and how much the operating system had taken by then.
#[derive(Debug)]
pub(super) struct WriteFailure {
    pub(super) accepted_bytes: usize,
    pub(super) error: ChannelError,
}

/// A stream to a server.
#[derive(Debug)]
pub(super) struct Channel {
    packets: PacketStream,
    lifeline: Arc<Lifeline>,
}

impl Channel {
    pub(super) fn new(stream: Stream, lifeline: Arc<Lifeline>) -> Self {
        Self { packets: PacketStream::new(stream), lifeline }
    }

    pub(super) fn lifeline(&self) -> &Arc<Lifeline> {
        &self.lifeline
    }

    /// Whether a clear password may be sent.
    pub(super) fn is_secure(&self) -> bool {
        self.packets.stream().is_secure()
    }

    /// Begins TLS.
    pub(super) async fn start_tls(
        self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let packets = self.packets.into_tls_client(config, name).await?;
        Ok(Self { packets, lifeline: self.lifeline })
    }

    /// Bytes that have arrived and were not consumed.
    pub(super) fn buffered(&mut self) -> &mut [u8] {
        self.packets.buffered()
    }

    /// Takes bytes out of the buffer.
    pub(super) fn consume(&mut self, count: usize) {
        self.packets.consume(count);
    }

    /// Waits for more bytes.
    pub(super) async fn fill(&mut self) -> Result<(), ChannelError> {
        match unless_cut(&self.lifeline, self.packets.fill()).await? {
            0 => Err(ChannelError::Closed),
            _ => Ok(()),
        }
    }

    /// Sequence number of the next packet in either direction.
    pub(super) fn sequence_mut(&mut self) -> &mut u8 {
        self.packets.sequence_mut()
    }

    /// The next payload, joined if it came in several packets. Valid until the next call.
    pub(super) async fn payload(&mut self, bytes_max: usize) -> Result<&[u8], ChannelError> {
        let payload = unless_cut(&self.lifeline, self.packets.read_packet(bytes_max)).await?;
        payload.ok_or(ChannelError::Closed)
    }

    /// Would [`Self::payload`] wait for nothing?
    pub(super) fn has_packet(&self) -> bool {
        self.packets.has_packet()
    }

    /// The payload that was read last, as long as nothing else was read.
    pub(super) fn last_payload(&self) -> &[u8] {
        self.packets.packet()
    }

    /// Writes everything. `accepted_bytes` of a failure is exact for what left this process, except under
    /// TLS, where a failure counts as having been accepted.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> Result<(), WriteFailure> {
        let is_tls = self.packets.stream().is_tls();
        let mut written = 0;
        let packets = &mut self.packets;
        let lifeline = &self.lifeline;
        let outcome = poll_fn(|cx| {
            while written < bytes.len() {
                match packets.poll_write(cx, &bytes[written..]) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(ChannelError::Io(io::ErrorKind::WriteZero.into())));
                    }
                    Poll::Ready(Ok(count)) => written += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending => {
                        ready!(lifeline.poll_cut(cx));
                        return Poll::Ready(Err(ChannelError::Cut));
                    }
                }
            }
            packets.poll_flush(cx).map_err(ChannelError::Io)
        })
        .await;
        let accepted_bytes = if is_tls { bytes.len() } else { written };
        outcome.map_err(|error| WriteFailure { accepted_bytes, error })
    }

    /// Writes what the operating system takes at once, for a goodbye that nobody waits for.
    pub(super) fn try_write(&mut self, bytes: &[u8]) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(Ok(_)) = self.packets.poll_write(&mut cx, bytes) {
            let _ = self.packets.poll_flush(&mut cx);
        }
    }

    /// Whether the connection is open and the server has said nothing that was not asked for. No system
    /// call unless the event loop knows that there is something to read.
    pub(super) fn is_quiet(&mut self) -> bool {
        !self.lifeline.is_cut() && self.packets.is_quiet()
    }

    /// As [`Self::is_quiet`], asking the operating system: one system call.
    pub(super) fn is_quiet_now(&mut self) -> bool {
        !self.lifeline.is_cut() && self.packets.is_quiet_now()
    }

    /// Waits until the server closes the connection or says something unasked.
    pub(super) async fn disturbed(&mut self) {
        // Whatever the outcome, the silence is over.
        let _ = self.fill().await;
    }

    /// Moves a plain socket to the event loop of the current thread.
    pub(super) fn rehome(self) -> io::Result<Self> {
        Ok(Self { packets: self.packets.rehome()?, lifeline: self.lifeline })
    }
}

/// Runs `operation`, but not longer than the lifeline holds.
async fn unless_cut<T, E>(
    lifeline: &Lifeline,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, ChannelError>
where
    ChannelError: From<E>,
{
    let mut operation = pin!(operation);
    poll_fn(|cx| match operation.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(outcome.map_err(ChannelError::from)),
        Poll::Pending => {
            ready!(lifeline.poll_cut(cx));
            Poll::Ready(Err(ChannelError::Cut))
        }
    })
    .await
}
