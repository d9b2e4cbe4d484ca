//! Rows that are read in the session's transaction, and their values.

use crate::engine::field_value;
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::inner::{HeldRows, Inner};
use crate::executor::job::Job;
use crate::executor::select_limit;
use crate::gateway::Target;
use crate::sql::LexFlags;
use crate::value::Value;
use crate::wire::row::text_fields;
use crate::wire::{CapturedResult, Malformed};

/// Rows in memory.
pub(super) struct ReadRows(HeldRows);

impl ReadRows {
    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Keeps the first rows only.
    pub(super) fn truncate(&mut self, count: u64) {
        self.0.rows.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// The number of columns.
    pub(super) fn width(&self) -> usize {
        self.0.columns.len()
    }

    /// The values of one row.
    pub(super) fn values(&self, index: usize) -> Result<Vec<Value>> {
        let row = self.0.rows.get(index).ok_or_else(|| Error::bug("a row that was not read"))?;
        if row.len() != self.width() {
            return Err(Error::bug("a row with another number of fields than of columns"));
        }
        let fields = self.0.columns.iter().zip(row);
        Ok(fields.map(|(column, field)| field_value(column, field.as_deref())).collect())
    }
}

fn held(result: CapturedResult) -> Result<HeldRows> {
    let mut rows = HeldRows { columns: result.columns, ..HeldRows::default() };
    for row in &result.rows {
        let fields: std::result::Result<Vec<_>, Malformed> =
            text_fields(row).map(|field| field.map(|field| field.map(<[u8]>::to_vec))).collect();
        rows.rows.push(fields.map_err(Malformed::into_backend_error)?);
    }
    Ok(rows)
}

impl Executor {
    /// The rows of a query in the session's words.
    pub(super) async fn read_rows(&self, job: &mut Job<'_>, text: &[u8]) -> Result<ReadRows> {
        self.held_rows(job, text).await.map(ReadRows)
    }

    /// The same, as they are.
    pub(in crate::executor) async fn held_rows(&self, job: &mut Job<'_>, text: &[u8]) -> Result<HeldRows> {
        self.check_scatter_of(job, text)?;
        if job.lexed.flags.contains(LexFlags::HAS_ASSIGNMENT | LexFlags::HAS_USER_VARIABLE) {
            // A server needs the session's variables, and what they become is the session's.
            return self.read_captured(job, text).await;
        }
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let rows = Inner::new(self, &mut *job.session, &snapshot, needs).rows(text).await;
        match rows {
            Err(error) if error.kind() == Some(ErrorKind::Unsupported) => self.read_captured(job, text).await,
            rows => rows,
        }
    }

    /// The same, of a query that takes any way there is, as if the client had asked.
    async fn read_captured(&self, job: &mut Job<'_>, text: &[u8]) -> Result<HeldRows> {
        let (found_rows, row_count) = (job.session.found_rows, job.session.row_count);
        let diagnostics = job.session.diagnostics.clone();
        let before = select_limit::lift(job.session);
        let results = self.captured(job, text, None).await;
        job.session.settings_override = before;
        (job.session.found_rows, job.session.row_count) = (found_rows, row_count);
        job.session.diagnostics = diagnostics;
        let result = results?.pop().unwrap_or_default();
        match result.error {
            Some(error) => Err(error),
            None => held(result),
        }
    }

    /// The rows of a query in servers' words, from one shard.
    pub(super) async fn read_at(&self, job: &mut Job<'_>, target: &Target, text: &[u8]) -> Result<ReadRows> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        Inner::new(self, &mut *job.session, &snapshot, needs).rows_at(target, text).await.map(ReadRows)
    }
}
