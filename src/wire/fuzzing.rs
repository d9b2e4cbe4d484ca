//! Entry points of the fuzz targets: each takes arbitrary bytes, and panics when an invariant breaks.
//!
//! The coverage-guided runs are in `fuzz/`; `tests/corpus.rs` replays the corpora and random mutations of them.

use super::capability::Capabilities;
use super::command::Command;
use super::connect::{AuthMoreData, AuthSwitch, Greeting, HandshakeResponse, SslRequest};
use super::frame::{HEADER_BYTES, Header, write_packet};
use super::reader::{Malformed, Reader};
use super::reply::{ReplyKind, ReplyScanner, ReplySummary, StatusPatch};
use super::response::ColumnDefinition;
use super::row::{decode_binary_row, text_row_to_binary};
use super::statement::{LongData, Parameters};
use super::status::StatusFlags;
use crate::value::{Value, ValueRef};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets with their names, which are also those of their corpora.
pub const TARGETS: &[(&str, Target)] =
    &[("command", command), ("frame", frame), ("handshake_response", handshake_response), ("reply", reply)];

/// Packets that are written are found again by their headers.
pub fn frame(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let mut sequence = first;
    let mut out = vec![];
    let payloads: Vec<&[u8]> = data.split(|&byte| byte == first).collect();
    for payload in &payloads {
        write_packet(&mut out, &mut sequence, payload);
    }
    let mut left = &out[..];
    for (expected, number) in payloads.iter().zip(0u8..=u8::MAX) {
        let header = Header::first(left).expect("a header before each payload");
        assert_eq!(header.sequence, first.wrapping_add(number));
        let (payload, rest) = left[HEADER_BYTES..].split_at(header.payload_bytes);
        assert_eq!(payload, *expected);
        left = rest;
    }
}

/// Every packet of the connection phase: what decodes, encodes to something that decodes alike.
pub fn handshake_response(data: &[u8]) {
    let mut out = vec![];
    if let Ok(response) = HandshakeResponse::decode(data) {
        response.encode(&mut out);
        assert_eq!(HandshakeResponse::decode(&out).as_ref(), Ok(&response));
        assert!(response.attributes.iter().count() <= data.len());
    }
    out.clear();
    if let Ok(request) = SslRequest::decode(data) {
        request.encode(&mut out);
        assert_eq!(SslRequest::decode(&out), Ok(request));
    }
    out.clear();
    if let Ok(greeting) = Greeting::decode(data) {
        greeting.encode(&mut out);
        assert_eq!(Greeting::decode(&out).as_ref(), Ok(&greeting));
        assert!(greeting.version().len() <= greeting.server_version.len());
    }
    out.clear();
    if let Ok(switch) = AuthSwitch::decode(data) {
        switch.encode(&mut out);
        assert_eq!(AuthSwitch::decode(&out), Ok(switch));
        let _ = switch.salt();
    }
    out.clear();
    if let Ok(more) = AuthMoreData::decode(data) {
        more.encode(&mut out);
        assert_eq!(out, data);
    }
}

/// A command, after eight bytes of capabilities.
pub fn command(data: &[u8]) {
    let Some((capabilities, payload)) = data.split_first_chunk() else { return };
    let capabilities = Capabilities::from_bits_retain(u64::from_le_bytes(*capabilities));
    let Ok(command) = Command::decode(payload, capabilities) else { return };
    let mut out = vec![];
    command.encode(&mut out, capabilities);
    assert!(Command::decode(&out, capabilities).is_ok(), "{command:?}");
}

/// COM_STMT_EXECUTE, after one byte with the number of parameters: what is passed on to another server has the same
/// values.
pub fn stmt_execute(data: &[u8]) {
    let Some((&count, payload)) = data.split_first() else { return };
    let count = usize::from(count);
    let Ok(Command::StmtExecute(execute)) = Command::decode(payload, Capabilities::OFFERED) else { return };
    let known_types = [0xFD, 0].repeat(count);
    let Ok(parameters) = execute.parameters(count, &known_types) else { return };
    let mut long_data = LongData::default();
    for parameter in (0..count).filter_map(|index| u16::try_from(index).ok()).filter(|index| index % 5 == 4) {
        long_data.append(parameter, b"long").expect("a few bytes are within the limit");
    }
    let before = decode_all(&parameters, &long_data);
    let mut out = vec![];
    let encoded = parameters.encode_execute(&mut out, 7, &long_data);
    let Ok(before) = before else { return };
    assert_eq!(encoded, Ok(()));
    let Ok(Command::StmtExecute(again)) = Command::decode(&out, Capabilities::OFFERED) else {
        panic!("{out:?} is no COM_STMT_EXECUTE")
    };
    let again = again.parameters(count, &[]).expect("types are always sent");
    let after = decode_all(&again, &LongData::default()).expect("what was decoded before");
    // NaN is not equal to itself, but prints alike.
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

/// The values, if the packet is sound to its end. Long data counts as bytes.
fn decode_all(parameters: &Parameters<'_>, long_data: &LongData) -> Result<Vec<Value>, Malformed> {
    let mut values = vec![];
    for parameter in parameters.iter(long_data) {
        let parameter = parameter?;
        let mut scratch = vec![];
        let value = parameter.decode(&mut scratch);
        let is_long = value.is_ok_and(|value| value.to_bytes() == &b"long"[..]);
        values.push(if is_long {
            Value::Bytes((*b"long").into())
        } else {
            value.map_or(Value::Null, ValueRef::to_owned)
        });
    }
    Ok(values)
}

/// Column definitions, a text row and a binary row; see [`row_parts`].
pub fn row(data: &[u8]) {
    let Ok(RowParts { columns, text, binary }) = row_parts(data) else { return };
    let mut out = vec![];
    if text_row_to_binary(&columns, text, &mut out).is_ok() {
        decode_binary_row(&columns, &out).expect("what was just encoded");
    }
    let _ = decode_binary_row(&columns, binary);
}

/// One row in both protocols.
pub struct RowParts<'a> {
    /// Its columns.
    pub columns: Vec<ColumnDefinition>,
    /// The row in the text protocol.
    pub text: &'a [u8],
    /// The row in the binary protocol.
    pub binary: &'a [u8],
}

/// Takes the input of [`row`] apart: the number of columns in one byte, their definitions with lengths of two bytes,
/// the text row with a length of four bytes, and the binary row.
pub fn row_parts(data: &[u8]) -> Result<RowParts<'_>, Malformed> {
    let mut reader = Reader::new(data, "fuzz input");
    let mut columns = vec![];
    for _ in 0..reader.u8()? {
        let bytes = reader.u16()?;
        columns.push(ColumnDefinition::decode(reader.bytes(bytes.into())?)?);
    }
    let text_bytes = usize::try_from(reader.u32()?).map_err(|_| reader.malformed())?;
    Ok(RowParts { columns, text: reader.bytes(text_bytes)?, binary: reader.rest() })
}

/// A server's reply, after one byte of options (kind, CLIENT_DEPRECATE_EOF, binary rows).
pub fn reply(data: &[u8]) {
    let Some((&options, bytes)) = data.split_first() else { return };
    scan_reply(usize::from(options & 0x0F), options & 0x10 != 0, options & 0x20 != 0, bytes);
}

/// Scans a reply whole and byte by byte; both must come to the same end.
pub fn scan_reply(kind: usize, deprecate_eof: bool, binary_rows: bool, bytes: &[u8]) -> Option<ReplySummary> {
    const KINDS: [ReplyKind; 6] = [
        ReplyKind::Query,
        ReplyKind::Prepare,
        ReplyKind::FieldList,
        ReplyKind::Simple,
        ReplyKind::Statistics,
        ReplyKind::Fetch,
    ];
    let kind = KINDS[kind % KINDS.len()];
    let scanner = ReplyScanner::new(kind, deprecate_eof, binary_rows).with_sequence(200);
    let whole = scan_in_steps(scanner.clone(), bytes, bytes.len());
    let steps = scan_in_steps(scanner, bytes, 1);
    match (whole, steps) {
        (Ok(whole), Ok(steps)) => {
            assert_eq!(whole, steps);
            assert!(whole.0.len() <= bytes.len());
            whole.1.then_some(whole.2)
        }
        (Err(_), Err(_)) => None,
        (whole, steps) => panic!("whole {whole:?}, byte by byte {steps:?}"),
    }
}

fn scan_in_steps(
    mut scanner: ReplyScanner,
    bytes: &[u8],
    step: usize,
) -> Result<(Vec<u8>, bool, ReplySummary), Malformed> {
    let patch = StatusPatch { clear: StatusFlags::MORE_RESULTS, set: StatusFlags::IN_TRANSACTION };
    let mut forwarded = vec![];
    let mut buffer = vec![];
    for piece in bytes.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        let scan = scanner.scan(&mut buffer, patch)?;
        forwarded.extend(buffer.drain(..scan.forwardable));
        if scan.done {
            return Ok((forwarded, true, scanner.into_summary()));
        }
    }
    Ok((forwarded, false, scanner.into_summary()))
}
