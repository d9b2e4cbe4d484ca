//! Packet framing: three bytes of length, one of sequence number, then the payload; payloads of 16 MiB - 1
//! and more continue in further packets.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>

use crate::limits::PACKET_PAYLOAD_BYTES_MAX;

/// Bytes before each payload.
pub const HEADER_BYTES: usize = 4;

/// The header of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow the header; [`PACKET_PAYLOAD_BYTES_MAX`] means that the next packet continues it.
    pub payload_bytes: usize,
    /// Number of this packet within its exchange, modulo 256.
    pub sequence: u8,
}

impl Header {
    /// Takes a header apart; every four bytes are one.
    pub const fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [a, b, c, sequence] = bytes;
        Self { payload_bytes: u32::from_le_bytes([a, b, c, 0]) as usize, sequence }
    }

    /// The header's bytes. `payload_bytes` must not pass [`PACKET_PAYLOAD_BYTES_MAX`].
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        assert!(self.payload_bytes <= PACKET_PAYLOAD_BYTES_MAX);
        let [a, b, c, ..] = self.payload_bytes.to_le_bytes();
        [a, b, c, self.sequence]
    }

    /// The first header of `bytes`, when they are enough.
    pub fn first(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|header| Self::decode(*header))
    }

    /// Whether the next packet continues this one.
    pub const fn is_continued(self) -> bool {
        self.payload_bytes == PACKET_PAYLOAD_BYTES_MAX
    }
}

/// Where a packet that is being written began; to be given back to [`end_packet`].
#[derive(Debug)]
#[must_use = "the packet has no header until end_packet"]
pub struct PacketStart(usize);

/// Leaves room for a header; what is appended next is the payload.
pub fn begin_packet(out: &mut Vec<u8>) -> PacketStart {
    let start = PacketStart(out.len());
    out.extend_from_slice(&[0; HEADER_BYTES]);
    start
}

/// Writes the header of the packet begun at `start`, splits payloads that need several packets, and
/// advances `sequence` once per packet.
pub fn end_packet(out: &mut Vec<u8>, start: PacketStart, sequence: &mut u8) {
    let PacketStart(start) = start;
    let payload_bytes = out.len() - start - HEADER_BYTES;
    if payload_bytes >= PACKET_PAYLOAD_BYTES_MAX {
        make_room_for_headers(out, start, payload_bytes);
    }
    let mut at = start;
    let mut left = payload_bytes;
    loop {
        let part = left.min(PACKET_PAYLOAD_BYTES_MAX);
        let header = Header { payload_bytes: part, sequence: *sequence };
        out[at..at + HEADER_BYTES].copy_from_slice(&header.encode());
        *sequence = sequence.wrapping_add(1);
        at += HEADER_BYTES + part;
        left -= part;
        if part < PACKET_PAYLOAD_BYTES_MAX {
            return;
        }
    }
}

/// Appends a whole packet.
pub fn write_packet(out: &mut Vec<u8>, sequence: &mut u8, payload: &[u8]) {
    write_packet_with(out, sequence, |out| out.extend_from_slice(payload));
}

/// Appends a packet whose payload `encode` appends.
pub fn write_packet_with(out: &mut Vec<u8>, sequence: &mut u8, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = begin_packet(out);
    encode(out);
    end_packet(out, start, sequence);
}

/// Moves the parts of a long payload apart, last one first, so that a header fits before each.
fn make_room_for_headers(out: &mut Vec<u8>, start: usize, payload_bytes: usize) {
    let parts = payload_bytes / PACKET_PAYLOAD_BYTES_MAX;
    let payload = start + HEADER_BYTES;
    out.resize(out.len() + parts * HEADER_BYTES, 0);
    for part in (1..=parts).rev() {
        let from = payload + part * PACKET_PAYLOAD_BYTES_MAX;
        let to = (from + PACKET_PAYLOAD_BYTES_MAX).min(payload + payload_bytes);
        out.copy_within(from..to, from + part * HEADER_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins packets back, checking headers.
    fn join(mut bytes: &[u8], mut sequence: u8) -> Vec<Vec<u8>> {
        let mut payloads = vec![];
        let mut open = vec![];
        while !bytes.is_empty() {
            let header = Header::first(bytes).unwrap();
            assert_eq!(header.sequence, sequence);
            sequence = sequence.wrapping_add(1);
            open.extend_from_slice(&bytes[HEADER_BYTES..HEADER_BYTES + header.payload_bytes]);
            bytes = &bytes[HEADER_BYTES + header.payload_bytes..];
            if !header.is_continued() {
                payloads.push(std::mem::take(&mut open));
            }
        }
        assert!(open.is_empty());
        payloads
    }

    fn check(payload_bytes: usize, packets: u8) {
        let payload: Vec<u8> = (0..=250).cycle().take(payload_bytes).collect();
        let mut out = b"before".to_vec();
        let mut sequence = 254;
        write_packet(&mut out, &mut sequence, &payload);
        write_packet(&mut out, &mut sequence, b"next");
        assert_eq!(sequence, 254u8.wrapping_add(packets).wrapping_add(1));
        assert_eq!(&out[..6], b"before");
        let joined = join(&out[6..], 254);
        assert_eq!(joined.len(), 2);
        assert!(joined[0] == payload);
        assert_eq!(joined[1], b"next");
    }

    #[test]
    fn payloads_are_split_at_16_mib() {
        check(0, 1);
        check(1000, 1);
        check(PACKET_PAYLOAD_BYTES_MAX - 1, 1);
        check(PACKET_PAYLOAD_BYTES_MAX, 2);
        check(PACKET_PAYLOAD_BYTES_MAX + 1, 2);
        check(2 * PACKET_PAYLOAD_BYTES_MAX + 17, 3);
    }
}
