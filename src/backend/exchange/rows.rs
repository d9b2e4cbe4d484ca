//! A result set read row by row, for operators that look into rows.

use std::ops::DerefMut;

use super::control::ok_summary;
use crate::backend::channel::ChannelError;
use crate::backend::connection::BackendConnection;
use crate::error::{Error, Result};
use crate::limits;
use crate::wire::response::{ERR_HEADER, LOCAL_INFILE_HEADER, OK_HEADER, is_result_terminator};
use crate::wire::{ColumnDefinition, EofPacket, ErrPacket, Malformed, OkPacket, ReplySummary, StatusFlags};
use crate::wire::{Reader, response::EOF_HEADER};

/// The reply to a query that was sent, as a stream of rows. `C` is a connection or something that holds one,
/// such as a [`PooledConnection`](crate::backend::pool::PooledConnection). Dropped before the end, it leaves
/// the connection in mid-reply, so that its pool will have the statement killed.
#[derive(Debug)]
pub struct RowStream<C> {
    connection: C,
    columns: Vec<ColumnDefinition>,
    binary_rows: bool,
    is_ended: bool,
    summary: ReplySummary,
}

/// Bytes that all column definitions of a result may have.
const COLUMNS_BYTES_MAX: usize = limits::CONTROL_RESULT_BYTES_MAX;

impl<C: DerefMut<Target = BackendConnection>> RowStream<C> {
    /// Receives the reply's head: column definitions, or the OK packet of a statement without result, which
    /// gives a stream without columns. `binary_rows` is true for replies to COM_STMT_EXECUTE. A server's
    /// error leaves the connection usable.
    pub async fn open(mut connection: C, binary_rows: bool) -> Result<Self> {
        connection.begin_reply()?;
        let head = read_head(&mut connection).await?;
        let mut stream = Self {
            connection,
            columns: Vec::new(),
            binary_rows,
            is_ended: false,
            summary: ReplySummary::default(),
        };
        match head {
            Head::Ok(summary) => stream.end(summary)?,
            Head::Columns(count) => stream.read_columns(count).await?,
        }
        Ok(stream)
    }

    /// The columns; empty if the statement has no result set.
    pub fn columns(&self) -> &[ColumnDefinition] {
        &self.columns
    }

    /// Whether rows are in binary form.
    pub fn has_binary_rows(&self) -> bool {
        self.binary_rows
    }

    /// The next row's payload; `None` at the end. Rows larger than [`limits::ROW_BYTES_MAX`] break the
    /// connection; an error of the server ends the stream and leaves the connection usable.
    pub async fn next_row(&mut self) -> Result<Option<&[u8]>> {
        if self.is_ended {
            return Ok(None);
        }
        let deprecate_eof = self.connection.flavor().deprecate_eof;
        let payload = match self.connection.channel.payload(limits::ROW_BYTES_MAX).await {
            Ok(payload) => payload,
            Err(error) => return Err(self.connection.fail(error)),
        };
        let first_byte = payload.first().copied();
        let is_row = match first_byte {
            Some(ERR_HEADER) => false,
            Some(first_byte) => !is_result_terminator(first_byte, payload.len(), deprecate_eof),
            None => false,
        };
        if is_row {
            self.summary.row_count += 1;
            return Ok(Some(self.connection.channel.last_payload()));
        }
        match decode_end(payload) {
            Ok(Ok(summary)) => self.end(summary).map(|()| None),
            Ok(Err(refused)) => {
                self.is_ended = true;
                self.connection.end_reply(None);
                self.summary.error = Some(refused.clone());
                Err(refused)
            }
            Err(malformed) => Err(self.connection.fail(malformed.into())),
        }
    }

    /// What the reply said besides its rows; complete after the last row.
    pub fn summary(&self) -> &ReplySummary {
        &self.summary
    }

    /// Whether everything has been received.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Reads and forgets the rows that are left, but not more than `bytes_max` of them. Says whether the end
    /// was reached; if not, the connection cannot be used any more.
    pub async fn drain(&mut self, bytes_max: usize) -> Result<bool> {
        let mut bytes_left = bytes_max;
        while let Some(row) = self.next_row().await? {
            match bytes_left.checked_sub(row.len()) {
                Some(left) => bytes_left = left,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The connection, for its killer.
    pub fn connection(&self) -> &BackendConnection {
        &self.connection
    }

    /// Gives the connection back.
    pub fn into_connection(self) -> C {
        self.connection
    }

    async fn read_columns(&mut self, count: u64) -> Result<()> {
        let mut bytes_left = COLUMNS_BYTES_MAX;
        for _ in 0..count {
            let decoded = match self.connection.channel.payload(bytes_left).await {
                Ok(payload) => {
                    bytes_left -= payload.len();
                    ColumnDefinition::decode(payload)
                }
                Err(error) => return Err(self.connection.fail(error)),
            };
            self.columns.push(decoded.map_err(|malformed| self.connection.fail(malformed.into()))?);
        }
        if !self.connection.flavor().deprecate_eof {
            let decoded = match self.connection.channel.payload(limits::REPLY_HELD_BYTES_MAX).await {
                Ok(payload) => EofPacket::decode(payload).map(drop),
                Err(error) => return Err(self.connection.fail(error)),
            };
            decoded.map_err(|malformed| self.connection.fail(malformed.into()))?;
        }
        self.summary.column_count = count;
        self.summary.has_result_set = true;
        Ok(())
    }

    fn end(&mut self, end: ReplySummary) -> Result<()> {
        if end.status.contains(StatusFlags::MORE_RESULTS) {
            let unexpected = Malformed::new("reply: it has several results where one was expected");
            return Err(self.connection.fail(unexpected.into()));
        }
        self.is_ended = true;
        let ReplySummary { column_count, row_count, has_result_set, .. } = self.summary;
        self.summary = ReplySummary { column_count, row_count, has_result_set, ..end };
        self.connection.end_scanned_reply(&self.summary);
        Ok(())
    }
}

enum Head {
    Columns(u64),
    Ok(ReplySummary),
}

async fn read_head(connection: &mut BackendConnection) -> Result<Head> {
    let decoded = match connection.channel.payload(limits::REPLY_HELD_BYTES_MAX).await {
        Ok(payload) => decode_head(payload),
        Err(error) => return Err(connection.fail(error)),
    };
    match decoded {
        Ok(Ok(head)) => Ok(head),
        Ok(Err(refused)) => {
            connection.end_reply(None);
            Err(refused)
        }
        Err(malformed) => Err(connection.fail(ChannelError::Malformed(malformed))),
    }
}

/// The outer error is the protocol's, the inner one the server's.
fn decode_head(payload: &[u8]) -> Result<Result<Head>, Malformed> {
    match payload.first() {
        Some(&ERR_HEADER) => Ok(Err(ErrPacket::decode(payload)?.to_error())),
        Some(&OK_HEADER) => Ok(Ok(Head::Ok(ok_summary(&OkPacket::decode(payload)?)))),
        Some(&LOCAL_INFILE_HEADER) => Err(Malformed::new("request for a local file")),
        _ => {
            let mut reader = Reader::new(payload, "number of columns");
            let count = reader.lenenc_int()?;
            if count == 0 || count > limits::RESULT_COLUMNS_MAX || !reader.is_empty() {
                return Err(reader.malformed());
            }
            Ok(Ok(Head::Columns(count)))
        }
    }
}

fn decode_end(payload: &[u8]) -> Result<Result<ReplySummary, Error>, Malformed> {
    match payload.first() {
        Some(&ERR_HEADER) => Ok(Err(ErrPacket::decode(payload)?.to_error())),
        Some(&EOF_HEADER) if payload.len() == EOF_BYTES => {
            let EofPacket { warnings, status, .. } = EofPacket::decode(payload)?;
            Ok(Ok(ReplySummary { warnings, status, result_count: 1, ..ReplySummary::default() }))
        }
        Some(&EOF_HEADER) => Ok(Ok(ok_summary(&OkPacket::decode(payload)?))),
        _ => Err(Malformed::new("row without content")),
    }
}

/// Bytes of an EOF packet; OK packets have more.
const EOF_BYTES: usize = 5;
