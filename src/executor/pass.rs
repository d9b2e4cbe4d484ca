//! Statements that go to one place as they are, and results that the router makes itself.

use super::Executor;
use super::exchange::Payload;
use super::job::Job;
use super::table::{ColumnKind, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::Target;
use crate::server::ResultEnd;
use crate::wire::row::put_text_field;
use crate::wire::writer::put_lenenc_bytes;

impl Executor {
    /// Sends the statement's own text to a target.
    pub(super) async fn pass_to(&self, job: &mut Job<'_>, target: Target) -> Result<()> {
        let text = job.text;
        self.pass_text_to(job, target, text).await
    }

    /// Sends a text in place of the statement's own to a target, and forwards the reply.
    pub(super) async fn pass_text_to(&self, job: &mut Job<'_>, target: Target, text: &[u8]) -> Result<()> {
        let payload = match job.execution {
            Some(execution) => Payload::Execute(text, execution),
            None => Payload::Query(text),
        };
        let is_write = job.is_write();
        self.forward(job, &target, payload, is_write).await.map(drop)
    }

    /// Replies with a result that the router made.
    pub(super) async fn send_table(&self, job: &mut Job<'_>, table: Table) -> Result<()> {
        let status = job.status();
        let definitions = table.definitions();
        let sent = async {
            job.client.begin_result(&definitions, status).await?;
            for row in &table.rows {
                let binary = job.execution.is_some();
                job.client.row(|out| encode_row(out, row, &table.kinds, binary)).await?;
            }
            job.client.end_result(ResultEnd { status, warnings: 0 });
            std::io::Result::Ok(())
        };
        sent.await.map_err(|error| Error::new(ErrorKind::ClientLost, error.to_string()))?;
        job.session.row_count = -1;
        if !super::query::shows_diagnostics(job) {
            job.session.found_rows = table.rows.len() as u64;
        }
        Ok(())
    }
}

/// One row in the text or the binary protocol.
pub(super) fn encode_row(out: &mut Vec<u8>, row: &[Option<Vec<u8>>], kinds: &[ColumnKind], binary: bool) {
    if !binary {
        for cell in row {
            put_text_field(out, cell.as_deref());
        }
        return;
    }
    // The first two bits of a binary row's NULL bitmap are not used.
    const BITMAP_OFFSET: usize = 2;
    out.push(0);
    let bitmap_at = out.len();
    out.resize(bitmap_at + (row.len() + BITMAP_OFFSET).div_ceil(8), 0);
    for (index, (cell, kind)) in row.iter().zip(kinds).enumerate() {
        match (cell, kind) {
            (None, _) => {
                let bit = index + BITMAP_OFFSET;
                out[bitmap_at + bit / 8] |= 1 << (bit % 8);
            }
            (Some(text), ColumnKind::Text) => put_lenenc_bytes(out, text),
            (Some(text), ColumnKind::ErrorNumber) => {
                let number: u32 =
                    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
                out.extend_from_slice(&number.to_le_bytes());
            }
            (Some(text), ColumnKind::Integer | ColumnKind::Unsigned | ColumnKind::UnsignedNotNull) => {
                let number: u64 =
                    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_rows_have_a_bitmap_and_typed_values() {
        let mut out = Vec::new();
        let row = [Some(b"7".to_vec()), None, Some(b"ab".to_vec())];
        encode_row(&mut out, &row, &[ColumnKind::Integer, ColumnKind::Text, ColumnKind::Text], true);
        assert_eq!(out, b"\x00\x08\x07\0\0\0\0\0\0\0\x02ab");
    }
}
