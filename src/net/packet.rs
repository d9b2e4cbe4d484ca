//! A packet that was read, and the ways in which reading one fails.

use std::fmt;
use std::io;
use std::ops::{Deref, Range};

use super::buffer::PooledBuf;
use crate::error::{Error, ErrorKind};

/// Payload of one packet that owns its bytes, so that its stream can be written to meanwhile. Usually they are
/// still in the buffer that they were received in.
pub struct Packet(Content);

enum Content {
    Buffered(PooledBuf, Range<usize>),
    Joined(Vec<u8>),
}

impl Packet {
    pub(super) fn buffered(buffer: PooledBuf, payload: Range<usize>) -> Self {
        Self(Content::Buffered(buffer, payload))
    }

    pub(super) fn joined(payload: Vec<u8>) -> Self {
        Self(Content::Joined(payload))
    }
}

impl Deref for Packet {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Content::Buffered(buffer, payload) => &buffer[payload.clone()],
            Content::Joined(payload) => payload,
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes)", self.len())
    }
}

/// Why no packet could be read. After any of these the stream is useless.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Sequence numbers do not follow each other.
    #[error("packets out of order: expected sequence number {expected}, received {received}")]
    OutOfOrder {
        /// Number that the packet should have.
        expected: u8,
        /// Number that it has.
        received: u8,
    },
    /// The packet is larger than the reader allows.
    #[error("a packet is larger than {bytes_max} bytes")]
    TooLarge {
        /// What the reader allows.
        bytes_max: usize,
    },
    /// The peer hung up within a packet.
    #[error("connection closed within a packet")]
    Truncated,
}

impl PacketError {
    /// The error for a client that caused it.
    pub fn into_client_error(self) -> Error {
        match self {
            Self::OutOfOrder { .. } => Error::new(ErrorKind::PacketsOutOfOrder, "Got packets out of order"),
            Self::TooLarge { bytes_max } => {
                let text = format!("Got a packet bigger than 'max_allowed_packet' bytes ({bytes_max})");
                Error::new(ErrorKind::PacketTooLarge, text)
            }
            Self::Io(_) | Self::Truncated => Error::new(ErrorKind::Other, format!("lost the client: {self}")),
        }
    }

    /// The error for a client whose server caused it.
    pub fn into_backend_error(self) -> Error {
        match self {
            Self::OutOfOrder { .. } => Error::new(ErrorKind::BackendProtocol, self.to_string()),
            Self::TooLarge { .. } => Error::new(ErrorKind::LimitExceeded, self.to_string()),
            Self::Io(_) | Self::Truncated => {
                Error::new(ErrorKind::BackendLost, format!("lost connection to the server: {self}"))
            }
        }
    }
}
