//! Rows for clients that executed a prepared statement: binary instead of text.

use super::seam::{ResultSink, StreamEnd};
use crate::error::Result;
use crate::wire::response::ColumnDefinition;
use crate::wire::row::text_row_to_binary;

/// Turns text rows into binary rows on their way to `inner`.
pub struct BinaryRows<'s, S> {
    inner: &'s mut S,
    columns: Vec<ColumnDefinition>,
    scratch: Vec<u8>,
}

impl<'s, S: ResultSink> BinaryRows<'s, S> {
    /// Gives `inner` the same result in binary form.
    pub fn new(inner: &'s mut S) -> Self {
        Self { inner, columns: Vec::new(), scratch: Vec::new() }
    }
}

impl<S: ResultSink> ResultSink for BinaryRows<'_, S> {
    async fn columns(&mut self, columns: &[ColumnDefinition]) -> Result<()> {
        self.columns = columns.to_vec();
        self.inner.columns(columns).await
    }

    async fn row(&mut self, row: &[u8]) -> Result<()> {
        self.scratch.clear();
        text_row_to_binary(&self.columns, row, &mut self.scratch).map_err(|_| super::key::broken_row())?;
        self.inner.row(&self.scratch).await
    }

    async fn finish(&mut self, end: StreamEnd) -> Result<()> {
        self.inner.finish(end).await
    }
}
