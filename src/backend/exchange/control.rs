//! Whole exchanges that the router makes for its own purposes, and replies without rows.

use std::sync::Arc;

use super::rows::RowStream;
use crate::backend::channel::ChannelError;
use crate::backend::connection::BackendConnection;
use crate::backend::statements::PreparedStatement;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::wire::response::{EOF_HEADER, ERR_HEADER, OK_HEADER};
use crate::wire::row::text_fields;
use crate::wire::{Command, EofPacket, ErrPacket, Malformed, OkPacket, ReplyKind, ReplySummary, StatusPatch};

/// A small result, read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlResult {
    /// Column names.
    pub columns: Vec<String>,
    /// Values in text form; `None` is NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl ControlResult {
    /// A value by the name of its column; `None` if it is NULL or there is no such row or column.
    pub fn value(&self, row: usize, column: &str) -> Option<&[u8]> {
        let index = self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))?;
        self.rows.get(row)?.get(index)?.as_deref()
    }
}

impl BackendConnection {
    /// Receives a reply that consists of one OK or EOF packet. An ERR packet becomes an error, and leaves the
    /// connection usable.
    pub async fn receive_ok(&mut self) -> Result<ReplySummary> {
        self.begin_reply()?;
        let decoded = match self.channel.payload(limits::REPLY_HELD_BYTES_MAX).await {
            Ok(payload) => decode_simple(payload),
            Err(error) => return Err(self.fail(error)),
        };
        self.end_simple(decoded)
    }

    /// Runs a statement that has no result set.
    pub async fn execute(&mut self, sql: &str) -> Result<ReplySummary> {
        self.queue(&Command::Query(sql.as_bytes()));
        self.flush().await?;
        self.receive_ok().await
    }

    /// Runs a statement and reads its result whole. More than [`limits::CONTROL_RESULT_BYTES_MAX`] of it
    /// give [`ErrorKind::LimitExceeded`] and break the connection.
    pub async fn query_all(&mut self, sql: &str) -> Result<ControlResult> {
        self.queue(&Command::Query(sql.as_bytes()));
        self.flush().await?;
        let mut stream = RowStream::open(&mut *self, false).await?;
        let names = stream.columns().iter().map(|column| String::from_utf8_lossy(&column.name).into_owned());
        let mut result = ControlResult { columns: names.collect(), rows: Vec::new() };
        let mut bytes_left = limits::CONTROL_RESULT_BYTES_MAX;
        while let Some(row) = stream.next_row().await? {
            bytes_left = bytes_left.checked_sub(row.len()).ok_or_else(|| {
                let bytes_max = limits::CONTROL_RESULT_BYTES_MAX;
                Error::new(ErrorKind::LimitExceeded, format!("the result has more than {bytes_max} bytes"))
            })?;
            let fields: Result<Vec<_>, Malformed> =
                text_fields(row).map(|field| field.map(|field| field.map(<[u8]>::to_vec))).collect();
            result.rows.push(fields.map_err(Malformed::into_backend_error)?);
        }
        Ok(result)
    }

    /// Asks for a sign of life.
    pub async fn ping(&mut self) -> Result<()> {
        self.queue(&Command::Ping);
        self.flush().await?;
        self.receive_ok().await.map(drop)
    }

    /// Brings the session back to the state after connecting: rolls back, drops temporary tables, locks,
    /// variables and prepared statements.
    pub async fn reset(&mut self) -> Result<()> {
        self.queue(&Command::ResetConnection);
        // The server falls back to its own default character set, not to the one agreed while connecting.
        let names = self.connect_names();
        let collation = names.collation.as_deref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        let set_names = format!("SET NAMES {}{collation}", names.charset);
        self.queue(&Command::Query(set_names.as_bytes()));
        self.flush().await?;
        self.receive_ok().await?;
        self.forget_session();
        self.receive_ok().await?;
        Ok(())
    }

    /// Prepares a statement at the server, even if the same text is prepared already: the reply is as fresh as
    /// the tables. It replaces the older statement, which is closed along with the next command.
    pub async fn prepare(&mut self, text: &[u8]) -> Result<Arc<PreparedStatement>> {
        self.queue(&Command::StmtPrepare(text));
        self.flush().await?;
        let mut packets = Vec::new();
        let received = self.receive(ReplyKind::Prepare, StatusPatch::NONE, &mut packets).await;
        let summary = match received {
            Ok(ReplySummary { error: Some(error), .. }) => return Err(error),
            Ok(summary) => summary,
            Err(error) if error.kind() == Some(ErrorKind::ClientLost) => {
                // The sink was ours: the reply was larger than it takes.
                return Err(Error::new(ErrorKind::LimitExceeded, String::from_utf8_lossy(error.message())));
            }
            Err(error) => return Err(error),
        };
        let Some(prepared) = summary.prepared else {
            return Err(self.fail(ChannelError::Malformed(Malformed::new("reply to prepare"))));
        };
        let counts = (prepared.parameter_count, prepared.column_count);
        let statement =
            Arc::new(PreparedStatement::new(prepared.statement_id, counts, prepared.warnings, packets));
        let settings = self.settings_hash();
        for id in self.statements.insert(text, settings, statement.clone()) {
            self.queue(&Command::StmtClose(id));
        }
        Ok(statement)
    }
}

/// The outer error is the protocol's, the inner one the server's.
pub(super) fn decode_simple(payload: &[u8]) -> Result<Result<ReplySummary>, Malformed> {
    let summary = match payload.first() {
        Some(&OK_HEADER) => ok_summary(&OkPacket::decode(payload)?),
        Some(&EOF_HEADER) => {
            let EofPacket { warnings, status, .. } = EofPacket::decode(payload)?;
            ReplySummary { warnings, status, result_count: 1, ..ReplySummary::default() }
        }
        Some(&ERR_HEADER) => return Ok(Err(ErrPacket::decode(payload)?.to_error())),
        _ => return Err(Malformed::new("reply to a statement without result")),
    };
    Ok(Ok(summary))
}

pub(super) fn ok_summary(ok: &OkPacket<'_>) -> ReplySummary {
    ReplySummary {
        affected_rows: ok.affected_rows,
        last_insert_id: ok.last_insert_id,
        warnings: ok.warnings,
        status: ok.status,
        info: ok.info.into(),
        result_count: 1,
        ..ReplySummary::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::connection::Fate;
    use crate::backend::fake_server::{Answer, FakeServer};
    use crate::backend::{Flavor, Names, SessionSettings, SessionState};
    use crate::wire::StatusFlags;

    async fn connect(server: &FakeServer) -> BackendConnection {
        BackendConnection::connect(&server.options(), Flavor::default()).await.unwrap()
    }

    #[tokio::test]
    async fn small_results_are_read_by_name() {
        let server = FakeServer::start().await;
        let rows = vec![vec![Some("1".to_owned()), None], vec![Some("2".to_owned()), Some("b".to_owned())]];
        server.answer("SELECT", Answer::Rows(&["Id", "Name"], rows));
        let mut connection = connect(&server).await;
        let result = connection.query_all("SELECT").await.unwrap();
        assert_eq!((result.value(0, "ID"), result.value(0, "name")), (Some(&b"1"[..]), None));
        assert_eq!((result.value(1, "name"), result.value(2, "name")), (Some(&b"b"[..]), None));
        assert_eq!(result.value(0, "other"), None);
        connection.ping().await.unwrap();
        assert!(connection.is_reusable());
    }

    #[tokio::test]
    async fn results_that_are_too_large_break_the_connection() {
        let server = FakeServer::start().await;
        let row = vec![Some("x".repeat(1 << 20))];
        server.answer("SELECT", Answer::Rows(&["v"], vec![row; 5]));
        let mut connection = connect(&server).await;
        let error = connection.query_all("SELECT").await.unwrap_err();
        assert_eq!((error.kind(), connection.fate()), (Some(ErrorKind::LimitExceeded), Fate::Kill));
    }

    #[tokio::test]
    async fn settings_travel_once_and_are_undone() {
        let server = FakeServer::start().await;
        let mut connection = connect(&server).await;
        let names = Names { charset: "latin1".into(), collation: None };
        let settings = SessionSettings::new([("sql_mode", "'ANSI'")], Some(names));
        assert!(connection.sync_settings(&settings));
        assert!(!connection.sync_settings(&settings));
        connection.queue(&Command::Query(b"SELECT 1"));
        connection.flush().await.unwrap();
        connection.receive_ok().await.unwrap();
        connection.receive_ok().await.unwrap();
        assert_eq!(connection.fate(), Fate::Reuse);
        assert!(connection.sync_settings(SessionSettings::empty()));
        connection.flush().await.unwrap();
        connection.receive_ok().await.unwrap();
        let expected = [
            "1: SET NAMES latin1, @@session.sql_mode = 'ANSI'",
            "1: SELECT 1",
            "1: SET NAMES utf8mb4 COLLATE utf8mb4_general_ci, @@session.sql_mode = DEFAULT",
        ];
        assert_eq!(server.log(), expected);
    }

    #[tokio::test]
    async fn refused_settings_make_a_reset_necessary() {
        let server = FakeServer::start().await;
        server.answer("SET @@session.sql_mode = 'X'", Answer::Error(1231, "no"));
        let mut connection = connect(&server).await;
        connection.sync_settings(&SessionSettings::new([("sql_mode", "'X'")], None));
        connection.flush().await.unwrap();
        assert_eq!(connection.receive_ok().await.unwrap_err().errno(), 1231);
        assert_eq!(connection.session_state(), SessionState::SETTINGS);
        assert_eq!(connection.fate(), Fate::Reset);
        connection.reset().await.unwrap();
        assert_eq!((connection.fate(), connection.settings_hash()), (Fate::Reuse, 0));
        assert_eq!(server.log()[1..], ["1: RESET", "1: SET NAMES utf8mb4 COLLATE utf8mb4_general_ci"]);
    }

    #[tokio::test]
    async fn transactions_and_changed_autocommit_make_a_reset_necessary() {
        let server = FakeServer::start().await;
        server.answer("BEGIN", Answer::Status(StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANSACTION));
        server.answer("SET autocommit = 0", Answer::Status(StatusFlags::empty()));
        let mut connection = connect(&server).await;
        for sql in ["BEGIN", "SET autocommit = 0"] {
            connection.execute(sql).await.unwrap();
            assert_eq!(connection.fate(), Fate::Reset);
            connection.execute("back").await.unwrap();
            assert_eq!(connection.fate(), Fate::Reuse);
        }
    }

    #[tokio::test]
    async fn prepared_statements_are_kept_by_text_and_closed_with_the_next_command() {
        let server = FakeServer::start().await;
        let mut connection = connect(&server).await;
        assert!(connection.prepared(b"SELECT ?").is_none());
        let first = connection.prepare(b"SELECT ?").await.unwrap();
        assert_eq!(connection.prepared(b"SELECT ?").unwrap(), first);
        let second = connection.prepare(b"SELECT ?").await.unwrap();
        assert_eq!((first.statement_id, second.statement_id, connection.prepared_count()), (1, 2, 1));
        assert_eq!(connection.fate(), Fate::Reuse, "a queued COM_STMT_CLOSE does no harm");
        connection.execute("next").await.unwrap();
        let expected = ["1: PREPARE SELECT ?", "1: PREPARE SELECT ?", "1: CLOSE 1", "1: next"];
        assert_eq!(server.log(), expected);
        connection.forget_prepared(2);
        assert!(connection.prepared(b"SELECT ?").is_none());
    }

    #[tokio::test]
    async fn the_oldest_prepared_statement_is_closed_at_the_limit() {
        let server = FakeServer::start().await;
        let mut connection = connect(&server).await;
        for number in 0..=limits::PREPARED_STATEMENTS_PER_BACKEND_MAX {
            connection.prepare(format!("SELECT {number}").as_bytes()).await.unwrap();
        }
        connection.ping().await.unwrap();
        assert_eq!(connection.prepared_count(), limits::PREPARED_STATEMENTS_PER_BACKEND_MAX);
        assert!(server.log().contains(&"1: CLOSE 1".to_owned()));
        connection.reset().await.unwrap();
        assert_eq!(connection.prepared_count(), 0);
    }

    #[tokio::test]
    async fn awaiting_a_reply_that_nobody_owes_is_our_mistake() {
        let server = FakeServer::start().await;
        let mut connection = connect(&server).await;
        assert_eq!(connection.receive_ok().await.unwrap_err().kind(), Some(ErrorKind::Bug));
        connection.queue(&Command::Ping);
        assert_eq!(connection.receive_ok().await.unwrap_err().kind(), Some(ErrorKind::Bug));
        assert_eq!(connection.fate(), Fate::Close, "a command that was queued and never sent");
    }

    #[tokio::test]
    async fn killers_reach_the_right_thread() {
        let server = FakeServer::start().await;
        let connection = connect(&server).await;
        connection.killer().kill_query().await.unwrap();
        server.answer("KILL 1", Answer::Error(1094, "Unknown thread id: 1"));
        connection.killer().kill_connection().await.unwrap();
        assert_eq!(server.log(), ["2: KILL QUERY 1", "3: KILL 1"]);
    }
}
