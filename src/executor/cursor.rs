//! Cursors: COM_STMT_EXECUTE with CURSOR_TYPE_READ_ONLY, and COM_STMT_FETCH.
//!
//! The reply of any plan goes to a spool instead of the client, and its rows leave in the portions that the client
//! asks for (<https://dev.mysql.com/doc/refman/9.0/en/mysql-stmt-attr-set.html>).

use super::Executor;
use super::job::Job;
use super::scatter::client_lost;
use crate::error::{Error, ErrorKind, Result};
use crate::net::Spool;
use crate::server::{ClientStream, ResultEnd};
use crate::session::Session;
use crate::session::cursor::{Cursor, Fetched, Head, spool_failed};
use crate::wire::{ErrPacket, StatusFlags};

/// CURSOR_TYPE_READ_ONLY: servers open this kind whatever other flags say.
const READ_ONLY: u8 = 1;

/// Does the client want to fetch this statement's rows?
pub(super) fn is_wanted(flags: u8, job: &Job<'_>) -> bool {
    // Variables take the rows of `SELECT … INTO`.
    flags & READ_ONLY != 0 && job.lexed.kind.is_query() && super::into::of(job).is_none()
}

impl Executor {
    /// Runs the statement and tells the client of its columns. `None`: it has none, and the client its whole reply.
    pub(super) async fn run_for_cursor(&self, job: &mut Job<'_>) -> Result<Option<Box<Cursor>>> {
        job.client.begin_spool(Spool::new(self.options().cursor_space.clone()));
        let outcome = self.run(job).await;
        let spooled = job.client.end_spool().await;
        outcome?;
        let spooled = spooled.ok_or_else(|| Error::bug("a cursor's reply went elsewhere"))?;
        if let Some(error) = spooled.error {
            // Counted and remembered already.
            let error = job.client.entry().timeout().unwrap_or(error);
            job.client.packet(|out| ErrPacket::from_error(&error).encode(out));
            return Ok(None);
        }
        let opened = match spooled.failed {
            Some(failed) => Err(spool_failed(failed)),
            None => open(job.session, job.client, spooled.spool).await,
        };
        opened.inspect_err(|error| job.session.diagnostics.push_error(error))
    }

    /// COM_STMT_FETCH.
    pub(super) async fn fetch(
        &self,
        session: &mut Session,
        id: u32,
        mut rows: u32,
        client: &mut ClientStream,
    ) -> Result<()> {
        let statement = session.prepared.get_mut(id, "mysqld_stmt_fetch")?;
        let Some(mut cursor) = statement.cursor.take() else {
            let end = if self.options().version.contains("MariaDB") { "" } else { "." };
            let text = format!("The statement ({id}) has no open cursor{end}");
            return Err(Error::new(ErrorKind::NoOpenCursor, text));
        };
        let mut sequence = client.sequence();
        let mut out = Vec::new();
        let fetched = loop {
            let fetched = cursor.rows(&mut rows, &mut sequence, &mut out).await?;
            if !out.is_empty() {
                client.write(&out).await.map_err(client_lost)?;
                out.clear();
            }
            if fetched != Fetched::Part {
                break fetched;
            }
        };
        let mut status = session.status();
        if fetched == Fetched::All {
            status |= StatusFlags::CURSOR_EXISTS;
            cursor.rest();
            session.prepared.get_mut(id, "mysqld_stmt_fetch")?.cursor = Some(cursor);
        } else {
            status |= StatusFlags::LAST_ROW_SENT;
        }
        client.set_sequence(sequence);
        client.end_result(ResultEnd { status, warnings: 0 });
        Ok(())
    }
}

/// Takes the head off the reply and sends it.
async fn open(session: &Session, client: &mut ClientStream, spool: Spool) -> Result<Option<Box<Cursor>>> {
    let mut cursor = Cursor::new(spool);
    let mut head = Vec::new();
    let kind = cursor.head(!client.deprecates_eof(), &mut head).await?;
    cursor.rest();
    client.write(&head).await.map_err(client_lost)?;
    let Head::Columns { packets } = kind else { return Ok(None) };
    let [sequence, ..] = packets.wrapping_add(client.sequence().into()).to_le_bytes();
    client.set_sequence(sequence);
    let status = session.status() | StatusFlags::CURSOR_EXISTS;
    let warnings = u16::try_from(session.diagnostics.warning_count()).unwrap_or(u16::MAX);
    client.end_result(ResultEnd { status, warnings });
    Ok(Some(Box::new(cursor)))
}
