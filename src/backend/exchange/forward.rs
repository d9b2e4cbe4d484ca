//! Replies that are forwarded as packets, without being decoded or copied.

use super::sink::ReplySink;
use crate::backend::channel::ChannelError;
use crate::backend::connection::{BackendConnection, Owed};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{Malformed, ReplyKind, ReplyScanner, ReplySummary, StatusPatch};

impl BackendConnection {
    /// Receives the next reply into `sink`. A reply that *begins* with an error is not forwarded but returned
    /// as that error, so that the caller can still react to it; an error behind rows is forwarded and noted
    /// in the summary. For replies to COM_STMT_EXECUTE and other needs see [`Self::receive_scanned`].
    pub async fn receive<S: ReplySink>(
        &mut self,
        kind: ReplyKind,
        patch: StatusPatch,
        sink: &mut S,
    ) -> Result<ReplySummary> {
        let scanner = self.scanner(kind, false);
        self.receive_scanned(scanner, patch, sink).await
    }

    /// A scanner for this connection's replies; `binary_rows` for those to COM_STMT_EXECUTE.
    pub fn scanner(&self, kind: ReplyKind, binary_rows: bool) -> ReplyScanner {
        ReplyScanner::new(kind, self.flavor().deprecate_eof, binary_rows)
    }

    /// As [`Self::receive`], with a scanner that the caller has set up: renumbering packets, replacing a
    /// statement's id, expecting binary rows.
    pub async fn receive_scanned<S: ReplySink>(
        &mut self,
        mut scanner: ReplyScanner,
        patch: StatusPatch,
        sink: &mut S,
    ) -> Result<ReplySummary> {
        self.begin_reply()?;
        let mut has_passed = false;
        // Bytes may be there already, behind an earlier reply.
        let mut needs_more = self.channel.buffered().is_empty();
        loop {
            if needs_more {
                self.channel.fill().await.map_err(|error| self.fail(error))?;
            }
            let scanned = scanner.scan(self.channel.buffered(), patch);
            let scan = scanned.map_err(|malformed| self.fail(malformed.into()))?;
            if scan.done {
                return self.finish(scanner.into_summary(), has_passed, scan.forwardable, sink).await;
            }
            if scan.forwardable > 0 {
                self.pass_on(scan.forwardable, sink).await?;
                has_passed = true;
            }
            // What is left, if anything, is the beginning of a packet that must be whole.
            needs_more = true;
        }
    }

    async fn finish<S: ReplySink>(
        &mut self,
        mut summary: ReplySummary,
        has_passed: bool,
        last_bytes: usize,
        sink: &mut S,
    ) -> Result<ReplySummary> {
        if summary.local_infile.is_some() {
            // Never agreed to: the capability is not requested.
            return Err(self.fail(ChannelError::Malformed(Malformed::new("request for a local file"))));
        }
        if !has_passed && begins_with_error(&summary) {
            self.channel.consume(last_bytes);
            if self.end_scanned_reply(&summary) == Some(Owed::Settings) {
                self.note_refused_settings();
            }
            return Err(summary.error.take().unwrap_or_else(|| Error::bug("a failed reply has no error")));
        }
        self.pass_on(last_bytes, sink).await?;
        self.end_scanned_reply(&summary);
        Ok(summary)
    }

    async fn pass_on<S: ReplySink>(&mut self, count: usize, sink: &mut S) -> Result<()> {
        let written = sink.write(&self.channel.buffered()[..count]).await;
        self.channel.consume(count);
        written.map_err(|error| {
            // The connection stays in mid-reply: its owner has the statement killed by letting go of it.
            Error::new(ErrorKind::ClientLost, format!("cannot pass a reply on: {error}"))
        })
    }
}

/// Whether an error is all that the reply consists of.
fn begins_with_error(summary: &ReplySummary) -> bool {
    let ReplySummary { error, result_count, has_result_set, column_count, row_count, prepared, .. } = summary;
    error.is_some()
        && *result_count == 0
        && !has_result_set
        && *column_count == 0
        && *row_count == 0
        && prepared.is_none()
}
