//! Byte transports shared by the client and the backend side: TCP, unix socket, TLS; pooled buffers and spools.
//!
//! [`PacketStream`] is what both sides hold: it reads whole packets, or raw bytes for forwarding, and owns no
//! buffer while it waits. It knows the framing of packets and nothing of what is in them.

mod buffer;
mod packet;
mod packet_stream;
mod socket;
mod spool;
mod stream;

pub use buffer::PooledBuf;
pub use packet::{Packet, PacketError};
pub use packet_stream::PacketStream;
pub use socket::HangupWatch;
pub use spool::{Spool, SpoolError, SpoolSpace};
pub use stream::{Stream, TlsSummary};
