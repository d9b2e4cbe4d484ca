//! Incremental scanner of a server's reply, for replies that are forwarded instead of decoded.
//!
//! It is fed the bytes as they arrive and says how many of them may go on to the client: rows and column
//! definitions at once and in pieces, OK, EOF and ERR packets only whole, because status flags in them are
//! patched and what they say is remembered. It hops from header to header and looks at the length and the
//! first byte of each packet; rows are never held, copied or decoded.
//!
//! ```text
//!   Head ──OK──────────────────────────────► Done        (MORE_RESULTS: back to Head)
//!    │ └──ERR, LOCAL INFILE─────────────────► Done
//!    └─column count─► Definitions ─[EOF]─► Rows ─terminator─► Done   (MORE_RESULTS: back to Head)
//! ```
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html>

mod captured;
mod summary;
#[cfg(test)]
mod tests;

pub use captured::{CapturedResult, read_captured};
pub use summary::ReplySummary;

use super::frame::{HEADER_BYTES, Header};
use super::reader::{Malformed, Reader};
use super::response::{
    EOF_HEADER, ERR_HEADER, EofPacket, ErrPacket, LOCAL_INFILE_HEADER, OK_HEADER, OkPacket,
    is_result_terminator,
};
use super::statement::PrepareOk;
use super::status::StatusFlags;
use crate::limits::{PACKET_PAYLOAD_BYTES_MAX, REPLY_HELD_BYTES_MAX, RESULT_COLUMNS_MAX};

/// What a reply consists of; decided by the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// COM_STMT_FETCH: rows without column definitions.
    Fetch,
    /// COM_FIELD_LIST: column definitions without a count.
    FieldList,
    /// COM_STMT_PREPARE.
    Prepare,
    /// COM_QUERY and COM_STMT_EXECUTE.
    Query,
    /// One OK, EOF or ERR packet.
    Simple,
    /// COM_STATISTICS: one packet of text.
    Statistics,
}

/// How the status flags of every OK and EOF packet are changed on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusPatch {
    /// Flags taken away.
    pub clear: StatusFlags,
    /// Flags added afterwards.
    pub set: StatusFlags,
}

impl StatusPatch {
    /// Changes nothing.
    pub const NONE: Self = Self { clear: StatusFlags::empty(), set: StatusFlags::empty() };

    fn apply(self, status: StatusFlags) -> StatusFlags {
        status.difference(self.clear).union(self.set)
    }
}

/// Result of one look at the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Bytes from the start of the buffer that may be forwarded; the next call must begin behind them.
    pub forwardable: usize,
    /// Whether the reply ends with the last of these bytes.
    pub done: bool,
}

/// What the next packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// First packet of the reply to a query.
    Head,
    /// First packet of the reply to prepare.
    PrepareHead,
    /// One of `left` column definitions, which may be 0.
    Definitions { left: u64, then: AfterDefinitions },
    /// EOF packet behind column definitions.
    DefinitionsEnd { then: AfterDefinitions },
    /// A row, or the end of rows.
    Rows,
    /// A column definition, or the end of them.
    FieldList,
    /// OK, EOF or ERR.
    Simple,
    /// Text.
    Statistics,
    /// Nothing.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterDefinitions {
    Rows,
    PreparedColumns(u64),
    Done,
}

/// Scanner of one reply. See the module's documentation.
#[derive(Clone, Debug)]
pub struct ReplyScanner {
    phase: Phase,
    deprecate_eof: bool,
    binary_rows: bool,
    /// Bytes of the packet under way that have not arrived yet; they may all be forwarded.
    pending_bytes: usize,
    /// The packet under way has full length: the next one continues it.
    is_continued: bool,
    /// Sequence number that the server's next packet must have.
    sequence: u8,
    /// Added to sequence numbers on their way.
    sequence_shift: u8,
    statement_id: Option<u32>,
    summary: ReplySummary,
}

/// What to do after a packet that needed a closer look.
enum Step {
    /// The packet goes on as it is, whether it has arrived completely or not.
    Pass(Phase),
    /// Not enough bytes to decide.
    Wait,
}

impl ReplyScanner {
    /// A scanner for the reply to one command. `deprecate_eof` says whether CLIENT_DEPRECATE_EOF is agreed with
    /// the server; `binary_rows` is true for replies to COM_STMT_EXECUTE.
    pub fn new(kind: ReplyKind, deprecate_eof: bool, binary_rows: bool) -> Self {
        let phase = match kind {
            ReplyKind::Fetch => Phase::Rows,
            ReplyKind::FieldList => Phase::FieldList,
            ReplyKind::Prepare => Phase::PrepareHead,
            ReplyKind::Query => Phase::Head,
            ReplyKind::Simple => Phase::Simple,
            ReplyKind::Statistics => Phase::Statistics,
        };
        Self {
            phase,
            deprecate_eof,
            binary_rows,
            pending_bytes: 0,
            is_continued: false,
            sequence: 1,
            sequence_shift: 0,
            statement_id: None,
            summary: ReplySummary::default(),
        }
    }

    /// Renumbers packets so that the first has sequence number `start`, for replies that continue another one.
    #[must_use]
    pub fn with_sequence(mut self, start: u8) -> Self {
        self.sequence_shift = start.wrapping_sub(self.sequence);
        self
    }

    /// Sets the number that the server's first packet must have: as many as the command had packets, which is 1 for
    /// commands of less than 16 MiB. The first packet forwarded keeps the number that it was to have.
    pub fn expect_sequence(&mut self, sequence: u8) {
        let forwarded = self.next_sequence();
        self.sequence = sequence;
        self.sequence_shift = forwarded.wrapping_sub(sequence);
    }

    /// Replaces the statement id in the reply to prepare; the summary keeps the server's own.
    #[must_use]
    pub fn with_statement_id(mut self, statement_id: u32) -> Self {
        self.statement_id = Some(statement_id);
        self
    }

    /// What is known about the reply so far; complete when a scan was `done`.
    pub fn summary(&self) -> &ReplySummary {
        &self.summary
    }

    /// As [`Self::summary`], giving the scanner up.
    pub fn into_summary(self) -> ReplySummary {
        self.summary
    }

    /// Sequence number for the packet that comes after what was scanned, as the client counts.
    pub fn next_sequence(&self) -> u8 {
        self.sequence.wrapping_add(self.sequence_shift)
    }

    /// Goes on after the file that the server asked for (`summary().local_infile`) was sent to it; `sequence` is
    /// the number that the server's next packet will have.
    pub fn resume_after_local_infile(&mut self, sequence: u8) {
        if self.summary.local_infile.take().is_some() {
            let next = self.next_sequence();
            self.sequence_shift = next.wrapping_sub(self.sequence);
            self.sequence = sequence;
            self.phase = Phase::Head;
        }
    }

    /// Looks at the bytes received so far, beginning where the last call's `forwardable` ended, and says how many
    /// may be forwarded now. Status flags are patched in place. An error means that the server does not speak the
    /// protocol, or that the connection carries something else than the expected reply.
    pub fn scan(&mut self, buf: &mut [u8], patch: StatusPatch) -> Result<Scan, Malformed> {
        let mut at = self.pending_bytes.min(buf.len());
        self.pending_bytes -= at;
        loop {
            if self.phase == Phase::Rows && !self.is_continued {
                at = self.pass_rows(buf, at)?;
            }
            if self.phase == Phase::Done && !self.is_continued {
                break;
            }
            let Some(header) = Header::first(&buf[at..]) else { break };
            if header.sequence != self.sequence {
                return Err(Malformed::new("sequence of packets"));
            }
            let step = if self.is_continued {
                Step::Pass(self.phase)
            } else {
                self.step(header.payload_bytes, &mut buf[at + HEADER_BYTES..], patch)?
            };
            let Step::Pass(next) = step else { break };
            self.phase = next;
            self.is_continued = header.is_continued();
            self.sequence = self.sequence.wrapping_add(1);
            buf[at + 3] = header.sequence.wrapping_add(self.sequence_shift);
            let end = at + HEADER_BYTES + header.payload_bytes;
            at = end.min(buf.len());
            self.pending_bytes = end - at;
        }
        let done = self.phase == Phase::Done && !self.is_continued && self.pending_bytes == 0;
        Ok(Scan { forwardable: at, done })
    }

    /// The hot loop: passes over rows until the bytes end or something comes that may be no row.
    fn pass_rows(&mut self, buf: &mut [u8], mut at: usize) -> Result<usize, Malformed> {
        let mut sequence = self.sequence;
        let mut row_count = self.summary.row_count;
        let shift = self.sequence_shift;
        // Rows of both protocols begin below 0xFE, except huge ones; binary rows begin with 0.
        let first_byte_max = if self.binary_rows { 0 } else { 0xFD };
        while let Some(start) = buf.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<5>()) {
            let [a, b, c, number, first_byte] = *start;
            let payload_bytes = u32::from_le_bytes([a, b, c, 0]) as usize;
            let is_plain = payload_bytes.wrapping_sub(1) < PACKET_PAYLOAD_BYTES_MAX - 1;
            if first_byte > first_byte_max || number != sequence || !is_plain {
                break;
            }
            start[3] = number.wrapping_add(shift);
            sequence = sequence.wrapping_add(1);
            row_count += 1;
            at += HEADER_BYTES + payload_bytes;
            if at > buf.len() {
                self.pending_bytes = at - buf.len();
                at = buf.len();
                break;
            }
        }
        self.sequence = sequence;
        self.summary.row_count = row_count;
        Ok(at)
    }

    /// Looks at a packet that is no plain row. `rest` begins with its payload and may be shorter or longer.
    fn step(&mut self, payload_bytes: usize, rest: &mut [u8], patch: StatusPatch) -> Result<Step, Malformed> {
        if payload_bytes == 0 {
            return match self.phase {
                Phase::Statistics => Ok(Step::Pass(Phase::Done)),
                _ => Err(Malformed::new("packet without content")),
            };
        }
        let Some(&first_byte) = rest.first() else { return Ok(Step::Wait) };
        match self.phase {
            Phase::Definitions { left, then } if first_byte != ERR_HEADER => {
                Ok(Step::Pass(self.after_definition(left - 1, then)))
            }
            Phase::Rows if !is_end(first_byte, payload_bytes, self.deprecate_eof) => {
                if self.binary_rows && first_byte != 0 {
                    return Err(Malformed::new("binary row"));
                }
                self.summary.row_count += 1;
                Ok(Step::Pass(Phase::Rows))
            }
            Phase::FieldList if !is_end(first_byte, payload_bytes, self.deprecate_eof) => {
                self.summary.column_count += 1;
                if self.summary.column_count > RESULT_COLUMNS_MAX {
                    return Err(Malformed::new("number of columns"));
                }
                Ok(Step::Pass(Phase::FieldList))
            }
            Phase::Statistics if first_byte != ERR_HEADER => Ok(Step::Pass(Phase::Done)),
            _ if payload_bytes > REPLY_HELD_BYTES_MAX => Err(Malformed::new("length of a packet")),
            _ => match rest.get_mut(..payload_bytes) {
                Some(payload) => self.held(first_byte, payload, patch).map(Step::Pass),
                None => Ok(Step::Wait),
            },
        }
    }

    /// Reads a packet that has arrived completely, and says what comes next.
    fn held(&mut self, first_byte: u8, payload: &mut [u8], patch: StatusPatch) -> Result<Phase, Malformed> {
        if first_byte == ERR_HEADER {
            self.summary.error = Some(ErrPacket::decode(payload)?.to_error());
            return Ok(Phase::Done);
        }
        match self.phase {
            Phase::Head => match first_byte {
                OK_HEADER => self.ok(payload, patch),
                LOCAL_INFILE_HEADER => {
                    self.summary.local_infile = Some(payload[1..].into());
                    Ok(Phase::Done)
                }
                _ => self.column_count(payload),
            },
            Phase::PrepareHead => self.prepare_ok(payload),
            Phase::DefinitionsEnd { then } => {
                self.eof(payload, patch)?;
                Ok(self.next_part(then))
            }
            Phase::Rows | Phase::FieldList | Phase::Simple if first_byte == EOF_HEADER => {
                // EOF packets always have 5 bytes, and OK packets more.
                if payload.len() == EOF_BYTES { self.eof(payload, patch) } else { self.ok(payload, patch) }
            }
            Phase::Simple => self.ok(payload, patch),
            Phase::Rows | Phase::FieldList | Phase::Definitions { .. } | Phase::Statistics | Phase::Done => {
                Err(Malformed::new("packet in this place"))
            }
        }
    }

    fn ok(&mut self, payload: &mut [u8], patch: StatusPatch) -> Result<Phase, Malformed> {
        let ok = OkPacket::decode(payload)?;
        let status = ok.status;
        self.summary.affected_rows = ok.affected_rows;
        self.summary.last_insert_id = ok.last_insert_id;
        self.summary.warnings = ok.warnings;
        self.summary.info.clear();
        self.summary.info.extend_from_slice(ok.info);
        let mut reader = Reader::new(payload, "OK packet");
        reader.skip(1)?;
        reader.lenenc_int()?;
        reader.lenenc_int()?;
        let status_at = payload.len() - reader.remaining();
        Ok(self.terminator(status, &mut payload[status_at..], patch))
    }

    fn eof(&mut self, payload: &mut [u8], patch: StatusPatch) -> Result<Phase, Malformed> {
        let eof = EofPacket::decode(payload)?;
        self.summary.warnings = eof.warnings;
        Ok(self.terminator(eof.status, &mut payload[3..], patch))
    }

    /// Remembers and patches the status flags that `bytes` begin with.
    fn terminator(&mut self, status: StatusFlags, bytes: &mut [u8], patch: StatusPatch) -> Phase {
        self.summary.status = status;
        bytes[..2].copy_from_slice(&patch.apply(status).bits().to_le_bytes());
        let more =
            matches!(self.phase, Phase::Head | Phase::Rows) && status.contains(StatusFlags::MORE_RESULTS);
        self.summary.result_count += 1;
        if more { Phase::Head } else { Phase::Done }
    }

    fn column_count(&mut self, payload: &[u8]) -> Result<Phase, Malformed> {
        let mut reader = Reader::new(payload, "number of columns");
        let count = reader.lenenc_int()?;
        if !reader.is_empty() || count == 0 || count > RESULT_COLUMNS_MAX {
            return Err(reader.malformed());
        }
        self.summary.column_count = count;
        self.summary.has_result_set = true;
        Ok(Phase::Definitions { left: count, then: AfterDefinitions::Rows })
    }

    fn prepare_ok(&mut self, payload: &mut [u8]) -> Result<Phase, Malformed> {
        let prepared = PrepareOk::decode(payload)?;
        if let Some(statement_id) = self.statement_id {
            let at = PrepareOk::STATEMENT_ID_OFFSET;
            payload[at..at + 4].copy_from_slice(&statement_id.to_le_bytes());
        }
        self.summary.prepared = Some(prepared);
        self.summary.warnings = prepared.warnings;
        self.summary.column_count = prepared.column_count.into();
        let columns = AfterDefinitions::PreparedColumns(prepared.column_count.into());
        Ok(self.definitions(prepared.parameter_count.into(), columns))
    }

    fn definitions(&self, left: u64, then: AfterDefinitions) -> Phase {
        if left == 0 { self.next_part(then) } else { Phase::Definitions { left, then } }
    }

    fn after_definition(&self, left: u64, then: AfterDefinitions) -> Phase {
        if left > 0 {
            Phase::Definitions { left, then }
        } else if self.deprecate_eof {
            self.next_part(then)
        } else {
            Phase::DefinitionsEnd { then }
        }
    }

    fn next_part(&self, then: AfterDefinitions) -> Phase {
        match then {
            AfterDefinitions::Rows => Phase::Rows,
            AfterDefinitions::PreparedColumns(left) => self.definitions(left, AfterDefinitions::Done),
            AfterDefinitions::Done => Phase::Done,
        }
    }
}

/// Bytes of an EOF packet.
const EOF_BYTES: usize = 5;

/// Whether a packet ends rows: a terminator or an error.
fn is_end(first_byte: u8, payload_bytes: usize, deprecate_eof: bool) -> bool {
    first_byte == ERR_HEADER || is_result_terminator(first_byte, payload_bytes, deprecate_eof)
}
