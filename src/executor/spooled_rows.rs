//! The rows of a query for another statement, kept in a spool: they may come from the connections that they go to, and
//! from the table that they change, so all of them are read before the first is used. Memory does not grow with them.

use super::Executor;
use super::job::Job;
use crate::error::{Error, Result};
use crate::limits::{CURSOR_READ_BYTES, INSERT_BATCH_BYTES, INSERT_BATCH_ROWS, ROW_BYTES_MAX};
use crate::net::Spool;
use crate::session::cursor::spool_failed;
use crate::sql::{Lexed, lex};
use crate::wire::frame::{HEADER_BYTES, Header};
use crate::wire::reader::Reader;
use crate::wire::response::{ERR_HEADER, ErrPacket, OK_HEADER, is_result_terminator};
use crate::wire::row::text_fields;
use crate::wire::{ColumnDefinition, Malformed};

/// Rows in text form; `None` is NULL.
pub(super) type TextRows = Vec<Vec<Option<Vec<u8>>>>;

/// A result that is read part by part.
pub(super) struct SpooledRows {
    spool: Spool,
    chunk: Vec<u8>,
    at: usize,
    deprecate_eof: bool,
    has_ended: bool,
    pub(super) columns: Vec<ColumnDefinition>,
}

impl Executor {
    /// Runs a query that takes any way there is, as if the client had asked, and keeps its rows.
    pub(super) async fn spooled_rows(&self, job: &mut Job<'_>, text: &[u8]) -> Result<SpooledRows> {
        let mut lexed = Lexed::new();
        lex(text, 0, &job.session.settings.lex_options(), &mut lexed)?;
        let (found_rows, row_count) = (job.session.found_rows, job.session.row_count);
        let diagnostics = job.session.diagnostics.clone();
        job.client.begin_spool(Spool::new(self.options().cursor_space.clone()));
        let before = super::select_limit::lift(job.session);
        let outcome = Box::pin(self.dispatch(&mut job.inner(text, &lexed))).await;
        job.session.settings_override = before;
        let spooled = job.client.end_spool().await;
        (job.session.found_rows, job.session.row_count) = (found_rows, row_count);
        job.session.diagnostics = diagnostics;
        outcome?;
        let spooled = spooled.ok_or_else(|| Error::bug("the rows of a query went elsewhere"))?;
        if let Some(error) = spooled.error {
            return Err(error);
        }
        if let Some(failed) = spooled.failed {
            return Err(spool_failed(failed));
        }
        let deprecate_eof = job.client.deprecates_eof();
        let (spool, chunk, columns) = (spooled.spool, Vec::new(), Vec::new());
        let mut rows = SpooledRows { spool, chunk, at: 0, deprecate_eof, has_ended: false, columns };
        rows.read_head().await?;
        Ok(rows)
    }
}

impl SpooledRows {
    /// Rows that make a statement of a bounded size; none at the end.
    pub(super) async fn next_part(&mut self) -> Result<TextRows> {
        let mut rows = TextRows::new();
        let mut bytes = 0;
        while !self.has_ended && rows.len() < INSERT_BATCH_ROWS && bytes < INSERT_BATCH_BYTES {
            let packet = self.packet().await?;
            match packet.first() {
                Some(&ERR_HEADER) => return Err(error_of(&packet)?),
                Some(&first) if is_result_terminator(first, packet.len(), self.deprecate_eof) => {
                    self.has_ended = true;
                }
                _ => {
                    bytes += packet.len();
                    let fields: std::result::Result<Vec<_>, Malformed> = text_fields(&packet)
                        .map(|field| field.map(|field| field.map(<[u8]>::to_vec)))
                        .collect();
                    rows.push(fields.map_err(ours)?);
                }
            }
        }
        Ok(rows)
    }

    async fn read_head(&mut self) -> Result<()> {
        let head = self.packet().await?;
        match head.first() {
            Some(&ERR_HEADER) => return Err(error_of(&head)?),
            Some(&OK_HEADER) => return Err(Error::bug("a query without a result")),
            _ => {}
        }
        let count = Reader::new(&head, "number of columns").lenenc_int().map_err(ours)?;
        for _ in 0..count {
            let packet = self.packet().await?;
            self.columns.push(ColumnDefinition::decode(&packet).map_err(ours)?);
        }
        if !self.deprecate_eof {
            self.packet().await?;
        }
        Ok(())
    }

    /// The next payload, joined if it came in several packets.
    async fn packet(&mut self) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        loop {
            self.fill(HEADER_BYTES).await?;
            let header = Header::first(&self.chunk[self.at..]).ok_or_else(|| Error::bug("no header"))?;
            self.fill(HEADER_BYTES + header.payload_bytes).await?;
            let start = self.at + HEADER_BYTES;
            self.at = start + header.payload_bytes;
            payload.extend_from_slice(&self.chunk[start..self.at]);
            if payload.len() > ROW_BYTES_MAX {
                return Err(Error::unsupported(format!("a row of more than {ROW_BYTES_MAX} bytes")));
            }
            if !header.is_continued() {
                return Ok(payload);
            }
        }
    }

    /// Sees to it that so many bytes are there.
    async fn fill(&mut self, wanted: usize) -> Result<()> {
        while self.chunk.len() - self.at < wanted {
            self.chunk.drain(..self.at);
            self.at = 0;
            let read = self.spool.read(wanted.max(CURSOR_READ_BYTES), &mut self.chunk).await;
            if read.map_err(spool_failed)? == 0 {
                return Err(Error::bug("a result without end"));
            }
        }
        Ok(())
    }
}

fn error_of(packet: &[u8]) -> Result<Error> {
    Ok(ErrPacket::decode(packet).map_err(ours)?.to_error())
}

fn ours(malformed: Malformed) -> Error {
    Error::bug(format!("a reply of our own: {malformed}"))
}
