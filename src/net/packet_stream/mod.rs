//! A stream that packets are read from and bytes are written to.
//!
//! Two ways to read: whole packets ([`PacketStream::read_packet`], [`PacketStream::take_packet`]), joined from
//! their parts and with checked sequence numbers; and raw bytes for forwarding ([`PacketStream::fill`],
//! [`PacketStream::buffered`], [`PacketStream::consume`]), where the caller looks at the framing itself. Both work
//! on one pooled buffer, which is held only while it has unread bytes: an idle connection holds none.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::buffer::PooledBuf;
use super::packet::{Packet, PacketError};
use super::socket::HangupWatch;
use super::stream::Stream;
use crate::limits::TRANSPORT_BUFFER_BYTES;
use crate::wire::frame::{HEADER_BYTES, Header};

/// Step in which memory for a large packet is taken, as its bytes arrive: a peer that only announces one gets
/// nothing.
const JOIN_STEP_BYTES: usize = 256 << 10;

/// A connection that speaks packets. See the module's documentation.
#[derive(Debug)]
pub struct PacketStream {
    stream: Stream,
    /// Present while bytes in it are unread or lent.
    buffer: Option<PooledBuf>,
    /// Unread bytes in the buffer.
    unread: Range<usize>,
    /// Bytes at the start of `unread` that belong to the packet returned last; given up by the next read.
    lent_bytes: usize,
    /// Payload of the packet returned last, if it was too large for the buffer.
    joined: Vec<u8>,
    /// What is still to come of a large packet that is being joined; a cancelled read goes on from here.
    joining: Option<Joining>,
    /// Number that the next packet must have.
    sequence: u8,
}

/// A part of a large packet that has not arrived whole.
#[derive(Clone, Copy, Debug)]
struct Joining {
    missing: usize,
    /// Another part follows.
    is_continued: bool,
}

/// Where a packet that was read is.
enum Place {
    /// In the buffer, at the start of the unread bytes.
    Buffered { payload_bytes: usize },
    /// In `joined`.
    Joined,
}

impl PacketStream {
    /// Takes a connection over. The first packet must have sequence number 0.
    pub fn new(stream: Stream) -> Self {
        Self { stream, buffer: None, unread: 0..0, lent_bytes: 0, joined: vec![], joining: None, sequence: 0 }
    }

    /// The byte stream below, for what is known about it.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The sequence number of the exchange's next packet, in either direction: reading checks and advances it,
    /// and whoever writes packets numbers them from here and leaves the next number here.
    pub fn sequence_mut(&mut self) -> &mut u8 {
        &mut self.sequence
    }

    /// The sequence number that the next packet read must have: 0 before each command of a client, 1 before the
    /// reply to a command.
    pub fn set_sequence(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// Reads a packet of up to `bytes_max` bytes, joined from its parts. The payload stays valid until the next
    /// read. `None` when the peer hung up between packets. May be cancelled: the next read goes on where this one
    /// was.
    pub async fn read_packet(&mut self, bytes_max: usize) -> Result<Option<&[u8]>, PacketError> {
        match self.read_whole(bytes_max).await? {
            None => Ok(None),
            Some(Place::Joined) => Ok(Some(&self.joined)),
            Some(Place::Buffered { payload_bytes }) => {
                let start = self.unread.start + HEADER_BYTES;
                Ok(self.buffer.as_ref().map(|buffer| &buffer[start..start + payload_bytes]))
            }
        }
    }

    /// The payload that [`Self::read_packet`] returned last, as long as it is valid; otherwise empty.
    pub fn packet(&self) -> &[u8] {
        let payload = self.unread.start + HEADER_BYTES..self.unread.start + self.lent_bytes;
        match &self.buffer {
            Some(buffer) if self.lent_bytes > 0 => &buffer[payload],
            _ => &self.joined,
        }
    }

    /// Is the next packet in the buffer already, so that reading it waits for nothing?
    pub fn has_packet(&self) -> bool {
        let unread = self.unread.start + self.lent_bytes..self.unread.end;
        let unread = self.buffer.as_ref().and_then(|buffer| buffer.get(unread)).unwrap_or_default();
        Header::first(unread).is_some_and(|header| unread.len() >= HEADER_BYTES + header.payload_bytes)
    }

    /// As [`Self::take_packet`], for a packet that has arrived whole and is not numbered wrongly; otherwise `None`, and
    /// nothing is taken.
    pub fn take_arrived(&mut self, bytes_max: usize) -> Option<Packet> {
        self.settle();
        let unread = self.buffer.as_ref()?.get(self.unread.clone())?;
        let Header { payload_bytes, sequence, .. } = Header::first(unread)?;
        let is_whole = unread.len() >= HEADER_BYTES + payload_bytes;
        if !is_whole || sequence != self.sequence || payload_bytes > bytes_max || self.joining.is_some() {
            return None;
        }
        self.lent_bytes = HEADER_BYTES + payload_bytes;
        self.sequence = self.sequence.wrapping_add(1);
        self.joined = vec![];
        self.detach(payload_bytes)
    }

    /// As [`Self::read_packet`]; the packet owns its bytes, so the stream can be used while it is looked at.
    pub async fn take_packet(&mut self, bytes_max: usize) -> Result<Option<Packet>, PacketError> {
        match self.read_whole(bytes_max).await? {
            None => Ok(None),
            Some(Place::Joined) => Ok(Some(Packet::joined(std::mem::take(&mut self.joined)))),
            Some(Place::Buffered { payload_bytes }) => Ok(self.detach(payload_bytes)),
        }
    }

    /// Reads more bytes into the buffer, behind those that are there. Returns how many; 0 when the peer has hung
    /// up. Fails when the buffer is full: something must be consumed first. May be cancelled.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.settle();
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// The bytes that were read and not consumed.
    pub fn buffered(&mut self) -> &mut [u8] {
        self.settle();
        match &mut self.buffer {
            Some(buffer) => &mut buffer[self.unread.clone()],
            None => &mut [],
        }
    }

    /// Gives up the first `count` bytes of [`Self::buffered`]. The buffer goes back to the pool with the last one.
    pub fn consume(&mut self, count: usize) {
        self.settle();
        assert!(count <= self.unread.len(), "more consumed than was read");
        self.unread.start += count;
        if self.unread.is_empty() {
            self.unread = 0..0;
            self.buffer = None;
        }
    }

    /// Writes all bytes. Not to be cancelled, if the stream is to be used afterwards.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        poll_fn(|cx| {
            while !left.is_empty() {
                match ready!(self.stream.poll_write_slice(cx, left))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => left = &left[count..],
                }
            }
            self.stream.poll_flush_all(cx)
        })
        .await
    }

    /// Writes some of `bytes`, for callers that must know how many have left. To be followed by
    /// [`Self::poll_flush`].
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_write_slice(cx, bytes)
    }

    /// Makes sure that everything written is on its way.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush_all(cx)
    }

    /// Moves the stream to the event loop of the current thread, so that its wake-ups no longer cross threads.
    /// Streams that cannot be moved (TLS, or watched by a [`HangupWatch`]) stay where they are, and work.
    pub fn rehome(self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.rehome()?, ..self })
    }

    /// Ends the sending side.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.stream.poll_shutdown_all(cx)).await
    }

    /// Returns when the peer has hung up. Takes nothing from the stream, so commands that the client sent ahead
    /// stay there.
    pub async fn closed(&self) {
        self.hangup_watch().closed().await;
    }

    /// As [`Self::closed`], for use beside reads and writes of this stream.
    pub fn hangup_watch(&self) -> HangupWatch {
        self.stream.hangup_watch()
    }

    /// Whether the peer has sent nothing and has not hung up, as it must be with a server between exchanges.
    /// Answers at once, usually without a system call, and as far as the runtime has heard of it: what came since
    /// it last looked for events is not seen.
    pub fn is_quiet(&mut self) -> bool {
        self.settle();
        if !self.unread.is_empty() || self.joining.is_some() {
            return false;
        }
        self.stream.is_silent().unwrap_or_else(|| {
            let mut cx = Context::from_waker(Waker::noop());
            self.poll_fill(&mut cx).is_pending()
        })
    }

    /// As [`Self::is_quiet`], but asks the operating system and not the event loop, which may not have looked for a
    /// while: one system call.
    pub fn is_quiet_now(&mut self) -> bool {
        self.settle();
        self.unread.is_empty() && self.joining.is_none() && self.stream.is_silent_now()
    }

    /// Begins TLS as the server, after the client's request for it was read. What the client has sent behind the
    /// request must be TLS; plain text there (an attempt to have it taken for encrypted commands) is refused.
    pub async fn into_tls_server(mut self, config: Arc<ServerConfig>) -> io::Result<Self> {
        let early = self.buffered().to_vec();
        let stream = self.stream.into_tls_server(config, &early).await?;
        Ok(Self { sequence: self.sequence, ..Self::new(stream) })
    }

    /// Begins TLS as the client, after the request for it was written. Fails if the server has sent anything
    /// behind its greeting.
    pub async fn into_tls_client(
        mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let early = self.buffered().to_vec();
        let stream = self.stream.into_tls_client(config, name, &early).await?;
        Ok(Self { sequence: self.sequence, ..Self::new(stream) })
    }

    /// Reads a whole packet and says where it is.
    async fn read_whole(&mut self, bytes_max: usize) -> Result<Option<Place>, PacketError> {
        self.settle();
        if self.joining.is_some() {
            self.join(bytes_max).await?;
            return Ok(Some(Place::Joined));
        }
        self.joined = vec![];
        let Some(header) = self.wait_for_header().await? else { return Ok(None) };
        let payload_bytes = header.payload_bytes;
        if payload_bytes > bytes_max {
            return Err(self.too_large(bytes_max));
        }
        if HEADER_BYTES + payload_bytes > TRANSPORT_BUFFER_BYTES {
            self.begin_part(header, bytes_max)?;
            self.join(bytes_max).await?;
            return Ok(Some(Place::Joined));
        }
        while self.unread.len() < HEADER_BYTES + payload_bytes {
            self.fill_more().await?;
        }
        self.lent_bytes = HEADER_BYTES + payload_bytes;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(Some(Place::Buffered { payload_bytes }))
    }

    /// Reads until the header of the next packet is in the buffer; `None` at the end of the stream.
    async fn wait_for_header(&mut self) -> Result<Option<Header>, PacketError> {
        while self.unread.len() < HEADER_BYTES {
            if self.fill().await? == 0 {
                return if self.unread.is_empty() { Ok(None) } else { Err(PacketError::Truncated) };
            }
        }
        let header = Header::first(self.buffered()).ok_or(PacketError::Truncated)?;
        let (expected, received) = (self.sequence, header.sequence);
        if received == expected {
            Ok(Some(header))
        } else {
            Err(PacketError::OutOfOrder { expected, received })
        }
    }

    async fn fill_more(&mut self) -> Result<(), PacketError> {
        match self.fill().await? {
            0 => Err(PacketError::Truncated),
            _ => Ok(()),
        }
    }

    /// The packet is not read; but it counts, so that an answer has the number that the peer expects behind it.
    fn too_large(&mut self, bytes_max: usize) -> PacketError {
        self.sequence = self.sequence.wrapping_add(1);
        PacketError::TooLarge { bytes_max }
    }

    /// Takes the header of a part off the buffer.
    fn begin_part(&mut self, header: Header, bytes_max: usize) -> Result<(), PacketError> {
        if header.payload_bytes > bytes_max.saturating_sub(self.joined.len()) {
            return Err(self.too_large(bytes_max));
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.consume(HEADER_BYTES);
        let is_continued = header.is_continued();
        self.joining = Some(Joining { missing: header.payload_bytes, is_continued });
        Ok(())
    }

    /// Joins a packet that does not fit into the buffer, or that has several parts. Memory is taken as bytes
    /// arrive. Everything that has arrived is in `self` at each wait.
    async fn join(&mut self, bytes_max: usize) -> Result<(), PacketError> {
        while let Some(Joining { missing, is_continued }) = self.joining {
            if missing == 0 && !is_continued {
                self.joining = None;
            } else if missing == 0 {
                let header = self.wait_for_header().await?.ok_or(PacketError::Truncated)?;
                self.begin_part(header, bytes_max)?;
            } else {
                let count = match self.unread.len().min(missing) {
                    0 => self.read_joined(missing).await?,
                    count => {
                        let mut joined = std::mem::take(&mut self.joined);
                        joined.extend_from_slice(&self.buffered()[..count]);
                        self.joined = joined;
                        self.consume(count);
                        count
                    }
                };
                self.joining = Some(Joining { missing: missing - count, is_continued });
            }
        }
        Ok(())
    }

    /// Reads behind what is joined, without the buffer between.
    async fn read_joined(&mut self, missing: usize) -> Result<usize, PacketError> {
        let Self { stream, joined, .. } = self;
        let start = joined.len();
        let count = poll_fn(|cx| {
            joined.resize(start + missing.min(JOIN_STEP_BYTES), 0);
            let read = stream.poll_read_slice(cx, &mut joined[start..]);
            joined.truncate(start + if let Poll::Ready(Ok(count)) = &read { *count } else { 0 });
            read
        })
        .await?;
        if count == 0 { Err(PacketError::Truncated) } else { Ok(count) }
    }

    /// Gives the lent packet away together with its buffer. Bytes behind it move to another buffer, or, if the
    /// packet is shorter than these, the packet does.
    fn detach(&mut self, payload_bytes: usize) -> Option<Packet> {
        let payload = self.unread.start + HEADER_BYTES..self.unread.start + self.lent_bytes;
        debug_assert_eq!(payload.len(), payload_bytes);
        let behind = payload.end..self.unread.end;
        if !behind.is_empty() && payload_bytes < behind.len() {
            let mut other = PooledBuf::take();
            other[..payload_bytes].copy_from_slice(&self.buffer.as_ref()?[payload]);
            self.settle();
            return Some(Packet::buffered(other, 0..payload_bytes));
        }
        let buffer = self.buffer.take()?;
        self.lent_bytes = 0;
        self.unread = 0..behind.len();
        if !behind.is_empty() {
            let mut other = PooledBuf::take();
            other[self.unread.clone()].copy_from_slice(&buffer[behind]);
            self.buffer = Some(other);
        }
        Some(Packet::buffered(buffer, payload))
    }

    /// Gives up the packet that the last read has lent.
    fn settle(&mut self) {
        let lent = std::mem::take(&mut self.lent_bytes);
        if lent > 0 {
            self.consume(lent);
        }
    }

    /// Reads into the buffer. While nothing comes, and nothing was there before, no buffer is held.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => {
                ready!(self.stream.poll_readable(cx))?;
                PooledBuf::take()
            }
        };
        if self.unread.end == buffer.len() && self.unread.start > 0 {
            buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let free = &mut buffer[self.unread.end..];
        let polled = if free.is_empty() {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, "the transport buffer is full")))
        } else {
            self.stream.poll_read_slice(cx, free)
        };
        if let Poll::Ready(Ok(count)) = polled {
            self.unread.end += count;
        }
        if !self.unread.is_empty() {
            self.buffer = Some(buffer);
        }
        polled
    }
}

#[cfg(test)]
mod tests;
