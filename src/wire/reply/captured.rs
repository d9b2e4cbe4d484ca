//! A whole reply that was kept instead of sent, taken apart: for whoever looks at what a client would have got.
//!
//! Knows the text resultset of
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html>; rows stay encoded.

use crate::error::Error;
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::reader::{Malformed, Reader};
use crate::wire::response::{ERR_HEADER, OK_HEADER, is_result_terminator};
use crate::wire::{ColumnDefinition, EofPacket, ErrPacket, OkPacket};

/// One result of a captured reply; a reply may have several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CapturedResult {
    /// The columns; none for a statement without rows.
    pub columns: Vec<ColumnDefinition>,
    /// Payloads of the row packets.
    pub rows: Vec<Vec<u8>>,
    /// Number of warnings.
    pub warnings: u16,
    /// Affected rows of a statement without rows.
    pub affected_rows: u64,
    /// What the server says about a statement without rows: `Rows matched: 1  Changed: 1  Warnings: 0`.
    pub info: Vec<u8>,
    /// The error that it ended with.
    pub error: Option<Error>,
}

/// Reads all results of a reply. `deprecate_eof`: they end with OK instead of EOF packets.
pub fn read_captured(bytes: &[u8], deprecate_eof: bool) -> Result<Vec<CapturedResult>, Malformed> {
    let mut packets = Packets { rest: bytes };
    let mut results = Vec::new();
    while let Some(head) = packets.next()? {
        results.push(read_result(&head, &mut packets, deprecate_eof)?);
    }
    Ok(results)
}

fn read_result(
    head: &[u8],
    packets: &mut Packets<'_>,
    deprecate_eof: bool,
) -> Result<CapturedResult, Malformed> {
    let mut result = CapturedResult::default();
    match head.first() {
        Some(&OK_HEADER) => {
            let ok = OkPacket::decode(head)?;
            (result.warnings, result.affected_rows) = (ok.warnings, ok.affected_rows);
            result.info = ok.info.to_vec();
            return Ok(result);
        }
        Some(&ERR_HEADER) => {
            result.error = Some(ErrPacket::decode(head)?.to_error());
            return Ok(result);
        }
        _ => {}
    }
    let count = Reader::new(head, "number of columns").lenenc_int()?;
    for _ in 0..count {
        result.columns.push(ColumnDefinition::decode(&packets.expect()?)?);
    }
    if !deprecate_eof {
        packets.expect()?;
    }
    loop {
        let packet = packets.expect()?;
        match packet.first() {
            Some(&ERR_HEADER) => {
                result.error = Some(ErrPacket::decode(&packet)?.to_error());
                return Ok(result);
            }
            Some(&first) if is_result_terminator(first, packet.len(), deprecate_eof) => {
                result.warnings = if deprecate_eof {
                    OkPacket::decode(&packet)?.warnings
                } else {
                    EofPacket::decode(&packet)?.warnings
                };
                return Ok(result);
            }
            _ => result.rows.push(packet),
        }
    }
}

/// Packets in a row, joined where one was too long.
struct Packets<'a> {
    rest: &'a [u8],
}

impl Packets<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.expect().map(Some)
    }

    fn expect(&mut self) -> Result<Vec<u8>, Malformed> {
        let mut payload = Vec::new();
        loop {
            let header = Header::first(self.rest).ok_or(Malformed::new("captured reply"))?;
            let end = HEADER_BYTES + header.payload_bytes;
            let part = self.rest.get(HEADER_BYTES..end).ok_or(Malformed::new("captured reply"))?;
            payload.extend_from_slice(part);
            self.rest = &self.rest[end..];
            if !header.is_continued() {
                return Ok(payload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::StatusFlags;
    use crate::wire::frame::{write_packet, write_packet_with};

    fn reply(deprecate_eof: bool) -> Vec<u8> {
        let (mut out, mut sequence) = (Vec::new(), 1);
        write_packet(&mut out, &mut sequence, &[1]);
        write_packet_with(&mut out, &mut sequence, |out| ColumnDefinition::integer("a").encode(out));
        let end = |out: &mut Vec<u8>, sequence: &mut u8, warnings| {
            write_packet_with(out, sequence, |out| {
                let status = StatusFlags::empty();
                if deprecate_eof {
                    OkPacket { warnings, status, ..OkPacket::default() }.encode_as_terminator(out);
                } else {
                    EofPacket { warnings, status }.encode(out);
                }
            });
        };
        if !deprecate_eof {
            end(&mut out, &mut sequence, 0);
        }
        write_packet(&mut out, &mut sequence, b"\x011");
        write_packet(&mut out, &mut sequence, b"\xfb");
        end(&mut out, &mut sequence, 3);
        out
    }

    #[test]
    fn rows_and_the_end_are_told_apart() {
        for deprecate_eof in [false, true] {
            let results = read_captured(&reply(deprecate_eof), deprecate_eof).unwrap();
            let [result] = results.as_slice() else { panic!("{results:?}") };
            assert_eq!(result.columns[0].name, b"a");
            assert_eq!((result.rows.as_slice(), result.warnings), (&[b"\x011".to_vec(), vec![0xfb]][..], 3));
        }
    }

    #[test]
    fn errors_end_a_result_and_cut_replies_are_malformed() {
        let mut bytes = reply(true);
        assert!(read_captured(&bytes[..bytes.len() - 1], true).is_err());
        write_packet(&mut bytes, &mut 9, b"\xff\x50\x04#42S02no");
        let results = read_captured(&bytes, true).unwrap();
        assert_eq!(results[1].error.as_ref().map(Error::errno), Some(1104));
    }
}
