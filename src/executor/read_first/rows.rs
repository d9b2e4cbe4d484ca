//! Rows that are read in the session's transaction, and their values.

use crate::engine::field_value;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::executor::inner::{HeldRows, Inner};
use crate::executor::job::Job;
use crate::gateway::Target;
use crate::value::Value;

/// Rows in memory.
pub(super) struct ReadRows(HeldRows);

impl ReadRows {
    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.0.rows.len()
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

impl Executor {
    /// The rows of a query in the session's words.
    pub(super) async fn read_rows(&self, job: &mut Job<'_>, text: &[u8]) -> Result<ReadRows> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        Inner::new(self, &mut *job.session, &snapshot, needs).rows(text).await.map(ReadRows)
    }

    /// The rows of a query in servers' words, from one shard.
    pub(super) async fn read_at(&self, job: &mut Job<'_>, target: &Target, text: &[u8]) -> Result<ReadRows> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        Inner::new(self, &mut *job.session, &snapshot, needs).rows_at(target, text).await.map(ReadRows)
    }
}
