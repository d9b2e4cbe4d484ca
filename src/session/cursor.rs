//! A cursor of a prepared statement: the packets of its rows, which wait for COM_STMT_FETCH.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_fetch.html>. As on a server, the whole
//! result is made when the statement is executed, so a cursor sees no later change and outlives transactions. It must
//! not know where the rows came from.

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{CAPTURED_REPLY_BYTES_MAX, CURSOR_READ_BYTES};
use crate::net::{Spool, SpoolError};
use crate::wire::frame::{HEADER_BYTES, Header};

/// Rows that are yet to be fetched.
#[derive(Debug)]
pub struct Cursor {
    spool: Spool,
    /// What was read from the spool; used up to `at`.
    chunk: Vec<u8>,
    at: usize,
    /// Bytes of the current packet that follow.
    packet_left: usize,
    /// The next packet continues the current one's payload.
    is_continued: bool,
}

/// Why [`Cursor::rows`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Enough for one write; there is more.
    Part,
    /// All rows that were asked for.
    All,
    /// There are no more rows.
    End,
}

/// What a reply begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Number and definitions of columns, in so many packets: rows follow.
    Columns { packets: u32 },
    /// There is no result; the packets are the whole reply.
    NoResult,
}

impl Cursor {
    /// A cursor over a whole reply; its head must be taken first.
    pub fn new(spool: Spool) -> Self {
        Self { spool, chunk: Vec::new(), at: 0, packet_left: 0, is_continued: false }
    }

    /// Takes the packets before the rows; the one that ends the columns' definitions, if `has_eof`, is left out.
    pub async fn head(&mut self, has_eof: bool, out: &mut Vec<u8>) -> Result<Head> {
        // OK, ERR and LOCAL INFILE; anything else is a number of columns.
        const NO_RESULT: [u8; 3] = [0x00, 0xFF, 0xFB];
        if !self.fill(HEADER_BYTES + 1).await? || NO_RESULT.contains(&self.chunk[HEADER_BYTES]) {
            while self.fill(1).await? {
                self.take_all(out)?;
            }
            return Ok(Head::NoResult);
        }
        let first = out.len() + HEADER_BYTES;
        self.packet(out).await?;
        // 0xFC: two bytes follow. No server makes more columns.
        let columns = match out[first..] {
            [0xFC, low, high] => u16::from_le_bytes([low, high]).into(),
            [count] => u32::from(count),
            _ => return Err(Error::bug("a result begins with no number")),
        };
        for _ in 0..columns {
            self.packet(out).await?;
        }
        if has_eof {
            self.packet(&mut Vec::new()).await?;
        }
        Ok(Head::Columns { packets: columns + 1 })
    }

    /// Appends the packets of up to `rows` rows, which is counted down, with new sequence numbers.
    pub async fn rows(&mut self, rows: &mut u32, sequence: &mut u8, out: &mut Vec<u8>) -> Result<Fetched> {
        loop {
            if self.packet_left > 0 {
                self.part_of_packet(out).await?;
            } else if *rows == 0 && !self.is_continued {
                return Ok(Fetched::All);
            } else if !self.begin_row(rows, sequence, out).await? {
                return Ok(Fetched::End);
            }
            if out.len() >= CURSOR_READ_BYTES {
                return Ok(Fetched::Part);
            }
        }
    }

    /// Holds no buffer until the next fetch.
    pub fn rest(&mut self) {
        self.spool.unread(self.chunk.len() - self.at);
        (self.chunk, self.at) = (Vec::new(), 0);
    }

    /// Takes a header; `false` at the end of the rows.
    async fn begin_row(&mut self, rows: &mut u32, sequence: &mut u8, out: &mut Vec<u8>) -> Result<bool> {
        // First byte of a binary row; what ends a result begins with another.
        const ROW: u8 = 0;
        let wanted = HEADER_BYTES + usize::from(!self.is_continued);
        if !self.fill(wanted).await? {
            return Err(Error::bug("a result without end"));
        }
        let rest = &self.chunk[self.at..];
        if !self.is_continued && rest[HEADER_BYTES] != ROW {
            return Ok(false);
        }
        let header = Header::first(rest).ok_or_else(|| Error::bug("a packet without header"))?;
        self.is_continued = header.is_continued();
        *rows -= u32::from(!self.is_continued);
        self.packet_left = header.payload_bytes;
        self.at += HEADER_BYTES;
        out.extend_from_slice(&Header { sequence: *sequence, ..header }.encode());
        *sequence = sequence.wrapping_add(1);
        Ok(true)
    }

    async fn part_of_packet(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if !self.fill(1).await? {
            return Err(Error::bug("a packet without end"));
        }
        let count = self.packet_left.min(self.chunk.len() - self.at);
        out.extend_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        self.packet_left -= count;
        Ok(())
    }

    /// Appends one whole packet of the head as it is.
    async fn packet(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if !self.fill(HEADER_BYTES).await? {
            return Err(Error::bug("a result without end"));
        }
        let header = Header::first(&self.chunk[self.at..]);
        self.packet_left = HEADER_BYTES + header.map_or(0, |header| header.payload_bytes);
        while self.packet_left > 0 {
            self.part_of_packet(out).await?;
        }
        check_head(out)
    }

    fn take_all(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self.chunk[self.at..]);
        self.at = self.chunk.len();
        check_head(out)
    }

    /// Sees to it that so many bytes are in the chunk; `false` if there are not so many.
    async fn fill(&mut self, wanted: usize) -> Result<bool> {
        while self.chunk.len() - self.at < wanted {
            self.chunk.drain(..self.at);
            self.at = 0;
            if self.spool.read(CURSOR_READ_BYTES, &mut self.chunk).await.map_err(spool_failed)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn check_head(head: &[u8]) -> Result<()> {
    if head.len() <= CAPTURED_REPLY_BYTES_MAX {
        return Ok(());
    }
    let text = format!("more than {CAPTURED_REPLY_BYTES_MAX} bytes of columns (CAPTURED_REPLY_BYTES_MAX)");
    Err(Error::new(ErrorKind::LimitExceeded, text))
}

/// The error of a cursor whose rows cannot be kept.
pub fn spool_failed(error: SpoolError) -> Error {
    Error::new(ErrorKind::LimitExceeded, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::limits::PACKET_PAYLOAD_BYTES_MAX;
    use crate::net::SpoolSpace;
    use crate::wire::frame::write_packet;

    async fn cursor_over(payloads: &[&[u8]]) -> Cursor {
        let mut spool = Spool::new(Arc::new(SpoolSpace::new(std::env::temp_dir(), u64::MAX)));
        let (mut bytes, mut sequence) = (Vec::new(), 1);
        payloads.iter().for_each(|payload| write_packet(&mut bytes, &mut sequence, payload));
        for piece in bytes.chunks(100_000) {
            spool.append(piece).await.unwrap();
        }
        Cursor::new(spool)
    }

    async fn fetch(cursor: &mut Cursor, mut rows: u32) -> (Vec<u8>, Fetched) {
        let (mut out, mut sequence) = (Vec::new(), 1);
        loop {
            let fetched = cursor.rows(&mut rows, &mut sequence, &mut out).await.unwrap();
            if fetched != Fetched::Part {
                cursor.rest();
                return (out, fetched);
            }
        }
    }

    fn packets(payloads: &[&[u8]]) -> Vec<u8> {
        let (mut bytes, mut sequence) = (Vec::new(), 1);
        payloads.iter().for_each(|payload| write_packet(&mut bytes, &mut sequence, payload));
        bytes
    }

    #[tokio::test]
    async fn rows_come_in_portions_with_numbers_of_their_own() {
        let long = vec![0; PACKET_PAYLOAD_BYTES_MAX + 10];
        let reply: [&[u8]; 8] =
            [b"\x01", b"column", b"\xfe\0\0\0\0", b"\0a", &long, b"\0c", b"\0d", b"\xfe\0\0\0\0"];
        let mut cursor = cursor_over(&reply).await;
        let mut head = Vec::new();
        assert_eq!(cursor.head(true, &mut head).await.unwrap(), Head::Columns { packets: 2 });
        assert_eq!(head, packets(&[b"\x01", b"column"]));
        assert_eq!(fetch(&mut cursor, 0).await, (vec![], Fetched::All));
        assert!(fetch(&mut cursor, 2).await == (packets(&[b"\0a", &long]), Fetched::All));
        assert_eq!(fetch(&mut cursor, 2).await, (packets(&[b"\0c", b"\0d"]), Fetched::All));
        assert_eq!(fetch(&mut cursor, 9).await, (vec![], Fetched::End));
    }

    #[tokio::test]
    async fn replies_without_rows_are_taken_whole() {
        let ok: &[u8] = b"\0\0\0\x02\0\0\0";
        let mut head = Vec::new();
        let mut cursor = cursor_over(&[ok]).await;
        assert_eq!(cursor.head(true, &mut head).await.unwrap(), Head::NoResult);
        assert_eq!(head, packets(&[ok]));
    }
}
