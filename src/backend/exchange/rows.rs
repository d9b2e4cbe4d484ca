//! A result set read row by row, for operators that look into rows.

use std::ops::DerefMut;

use super::control::ok_summary;
use crate::backend::channel::ChannelError;
use crate::backend::connection::BackendConnection;
use crate::error::{Error, Result};
use crate::limits;
use crate::wire::response::{EOF_HEADER, ERR_HEADER, LOCAL_INFILE_HEADER, OK_HEADER, is_result_terminator};
use crate::wire::{
    ColumnDefinition, EofPacket, ErrPacket, Malformed, OkPacket, Reader, ReplySummary, StatusFlags,
};

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

    /// The connection, for what is asked behind the last row.
    pub fn connection_mut(&mut self) -> &mut BackendConnection {
        &mut self.connection
    }

    /// The connection, for its killer.
    pub fn connection(&self) -> &BackendConnection {
        &self.connection
    }

    /// Would [`Self::next_row`] wait for nothing?
    pub fn is_ready(&self) -> bool {
        self.is_ended || self.connection.channel.has_packet()
    }

    /// What holds the connection.
    pub fn lease(&self) -> &C {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Flavor;
    use crate::backend::connection::Fate;
    use crate::backend::fake_server::{connected_pair, result_packets};
    use crate::error::{ErrorKind, Origin};
    use crate::wire::Command;
    use crate::wire::frame::write_packet;

    const FLAVORS: [Flavor; 2] = [
        Flavor { deprecate_eof: true, found_rows: false },
        Flavor { deprecate_eof: false, found_rows: false },
    ];

    /// Columns, rows, and what became of the connection, for a server that sends `reply` in pieces of
    /// `piece_bytes`.
    async fn check(
        flavor: Flavor,
        reply: Vec<u8>,
        piece_bytes: usize,
    ) -> (Result<(Vec<String>, Vec<Vec<u8>>)>, Fate) {
        let (mut connection, mut peer) = connected_pair(flavor);
        connection.queue(&Command::Query(b"SELECT"));
        connection.flush().await.unwrap();
        let server = tokio::spawn(async move {
            for piece in reply.chunks(piece_bytes) {
                peer.send_bytes(piece).await;
                tokio::task::yield_now().await;
            }
            peer
        });
        let read = read(&mut connection).await;
        drop(server.await.unwrap());
        (read, connection.fate())
    }

    async fn read(connection: &mut BackendConnection) -> Result<(Vec<String>, Vec<Vec<u8>>)> {
        let mut stream = RowStream::open(connection, false).await?;
        let names = stream.columns().iter().map(|column| String::from_utf8(column.name.clone()).unwrap());
        let names = names.collect();
        let mut rows = Vec::new();
        while let Some(row) = stream.next_row().await? {
            rows.push(row.to_vec());
        }
        assert!(stream.is_ended());
        assert_eq!(stream.next_row().await?, None);
        assert_eq!(stream.summary().row_count, rows.len() as u64);
        Ok((names, rows))
    }

    fn result(flavor: Flavor, rows: &[Vec<Option<String>>]) -> Vec<u8> {
        let mut reply = Vec::new();
        result_packets(&mut reply, &mut 1, flavor.deprecate_eof, &["a", "b"], rows);
        reply
    }

    fn row(a: &str) -> Vec<Option<String>> {
        vec![Some(a.to_owned()), None]
    }

    #[tokio::test]
    async fn rows_come_whole_however_the_bytes_come() {
        for flavor in FLAVORS {
            for piece_bytes in [1, 7, 1 << 20] {
                let reply = result(flavor, &[row("x"), row("yy")]);
                let (read, fate) = check(flavor, reply, piece_bytes).await;
                let expected: Vec<Vec<u8>> = vec![b"\x01x\xFB".to_vec(), b"\x02yy\xFB".to_vec()];
                assert_eq!((read.unwrap(), fate), ((vec!["a".into(), "b".into()], expected), Fate::Reuse));
            }
        }
    }

    #[tokio::test]
    async fn rows_larger_than_buffers_and_packets_are_joined() {
        for bytes in [30_000, limits::PACKET_PAYLOAD_BYTES_MAX + 10] {
            let reply = result(FLAVORS[0], &[row(&"x".repeat(bytes)), row("y")]);
            let (read, fate) = check(FLAVORS[0], reply, 1 << 16).await;
            let rows = read.unwrap().1;
            assert_eq!((rows.len(), fate), (2, Fate::Reuse));
            assert!(rows[0].len() > bytes);
        }
    }

    #[tokio::test]
    async fn a_statement_without_result_gives_no_columns() {
        let mut reply = Vec::new();
        write_packet(&mut reply, &mut 1, &[0, 3, 9, 2, 0, 1, 0]);
        let (read, fate) = check(FLAVORS[0], reply, 5).await;
        assert_eq!((read.unwrap(), fate), ((vec![], vec![]), Fate::Reuse));
    }

    #[tokio::test]
    async fn errors_of_the_server_leave_the_connection_usable() {
        let error = b"\xFF\x25\x05#70100stopped";
        let mut at_once = Vec::new();
        write_packet(&mut at_once, &mut 1, error);
        let mut behind_rows = result(FLAVORS[0], &[row("x")]);
        behind_rows.truncate(behind_rows.len() - 11);
        write_packet(&mut behind_rows, &mut 5, error);
        for reply in [at_once, behind_rows] {
            let (read, fate) = check(FLAVORS[0], reply, 1 << 20).await;
            let error = read.unwrap_err();
            assert_eq!((error.errno(), error.origin(), fate), (1317, Origin::Backend, Fate::Reuse));
        }
    }

    #[tokio::test]
    async fn hostile_replies_break_the_connection() {
        let good = result(FLAVORS[0], &[row("x")]);
        let packet = |payload: &[u8]| {
            let mut out = Vec::new();
            write_packet(&mut out, &mut 1, payload);
            out
        };
        let several_results = {
            let mut reply = good.clone();
            let status = reply.len() - 4;
            reply[status] |= 0x08;
            reply
        };
        let empty_row = {
            let mut reply = good[..good.len() - 11].to_vec();
            write_packet(&mut reply, &mut 5, b"");
            reply
        };
        let replies = [
            (several_results, ErrorKind::BackendProtocol),
            (empty_row, ErrorKind::BackendProtocol),
            (packet(b"\xFBfile"), ErrorKind::BackendProtocol),
            (packet(b""), ErrorKind::BackendProtocol),
            (packet(b"\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), ErrorKind::BackendProtocol),
            (packet(b"\x02\x02"), ErrorKind::BackendProtocol),
            (vec![0xFF, 0xFF, 0xFF, 1, 0], ErrorKind::BackendProtocol),
            (vec![1, 0, 0, 7, 1], ErrorKind::BackendProtocol),
            (good[..good.len() - 2].to_vec(), ErrorKind::BackendLost),
        ];
        for (reply, kind) in replies {
            let (mut connection, mut peer) = connected_pair(FLAVORS[0]);
            connection.queue(&Command::Query(b"SELECT"));
            connection.flush().await.unwrap();
            peer.send_bytes(&reply).await;
            drop(peer);
            let error = read(&mut connection).await.unwrap_err();
            assert_eq!((error.kind(), connection.fate()), (Some(kind), Fate::Close), "{reply:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_stream_given_up_is_killed_and_a_drained_one_reused() {
        let reply = result(FLAVORS[0], &[row("x"), row("y"), row("z")]);
        for (bytes_max, ended, fate) in [(1, false, Fate::Kill), (100, true, Fate::Reuse)] {
            let (mut connection, mut peer) = connected_pair(FLAVORS[0]);
            connection.queue(&Command::Query(b"SELECT"));
            connection.flush().await.unwrap();
            peer.send_bytes(&reply).await;
            let mut stream = RowStream::open(&mut connection, false).await.unwrap();
            assert_eq!(stream.drain(bytes_max).await.unwrap(), ended);
            assert_eq!(connection.fate(), fate);
        }
    }
}
