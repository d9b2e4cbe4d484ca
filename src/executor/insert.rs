//! INSERT and REPLACE with rows or a query: each row to its shard, lookup tables along with them.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/insert-select.html>

use super::Executor;
use super::arguments::{Arguments, Placeholders};
use super::exact_text;
use super::foreign_keys::{NewRowLinks, Way};
use super::inner::Inner;
use super::job::Job;
use super::new_rows::NewRows;
use super::scatter::SequenceAccess;
use super::session_values::SessionValues;
use super::spooled_rows::SpooledRows;
use crate::engine::{self, InsertBatch, InsertSource, Run, WriteOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Insert, InsertRows};
use crate::session::diagnostics::Diagnostics;
use crate::sql::{Lexed, SqlMode};
use crate::wire::{ColumnDefinition, ColumnType};

const NOT_EXACT: &str = "INSERT … SELECT over shards in a session whose character set is not utf8mb4";

impl Executor {
    /// Runs an INSERT or REPLACE and replies.
    pub(super) async fn insert(&self, job: &mut Job<'_>, insert: &Insert) -> Result<()> {
        self.insert_below(job, insert, None).await
    }

    /// The same, into a table whose foreign keys the router keeps.
    pub(super) async fn insert_below(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        followed: Option<&NewRowLinks>,
    ) -> Result<()> {
        let needs = job.needs();
        let snapshot = job.snapshot.clone();
        let unknown =
            || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{}'", insert.keyspace));
        let keyspace = snapshot.topology.keyspace(&insert.keyspace).ok_or_else(unknown)?;
        let options = job.session.settings.lex_options();
        let (arguments, values) = (Arguments::new(job, Placeholders::Inline), SessionValues::new(self, job));
        let run = Run {
            keyspace: &insert.keyspace,
            parts: &[],
            text: job.text,
            args: &arguments,
            session: &values,
        };
        let source = InsertSource {
            lexed: job.lexed,
            options: &options,
            keyspace,
            zero_is_a_value: options.mode.contains(SqlMode::NO_AUTO_VALUE_ON_ZERO),
        };
        let last_insert_id = job.session.last_insert_id;
        let is_followed = |way: Way| followed.is_some_and(|followed| followed.way == way);
        let with_keys = match insert.upsert {
            Some(_) => Box::pin(self.with_keys_to_update(job, insert, is_followed(Way::Upsert))).await?,
            None => self.with_keys_over_shards(job, insert, is_followed(Way::Replace)).await?,
        };
        let insert = with_keys.as_ref().unwrap_or(insert);
        if insert.returns {
            let is_followed = followed.is_some();
            return Box::pin(self.insert_returning(job, insert, &run, &source, is_followed)).await;
        }
        let is_upsert = insert.upsert.as_ref().is_some_and(|upsert| upsert.keys > 0);
        let (outcome, is_remembered) = match &insert.rows {
            InsertRows::Select { .. } => self.insert_query(job, insert, &run, &source, followed).await?,
            InsertRows::Set { .. } | InsertRows::Values { .. } if followed.is_some() => {
                let mut batch = InsertBatch::read(insert, &run, &source)?;
                let compound = self.begin_compound(job.session).await?;
                let mut new = followed.map(NewRows::new);
                let outcome = match self.insert_part(job, insert, &mut batch, new.as_mut()).await {
                    Ok(outcome) => self.check_new(job, new.as_ref()).await.map(|()| outcome),
                    Err(error) => Err(error),
                };
                let outcome = self.end_compound(job.session, compound, outcome).await?;
                batch.with_memory(outcome)
            }
            InsertRows::Values { .. } if is_upsert => {
                let mut batch = InsertBatch::read(insert, &run, &source)?;
                let steps = self.begin_steps(job.session).await?;
                let outcome = Box::pin(self.upsert_rows(job, insert, &mut batch, None)).await;
                let outcome = self.end_compound(job.session, steps, outcome).await?;
                batch.with_memory(outcome)
            }
            InsertRows::Set { .. } | InsertRows::Values { .. } => {
                let mut batch = InsertBatch::read(insert, &run, &source)?;
                let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
                let outcome = inner.insert_batch(insert, &mut batch).await?;
                batch.with_memory(outcome)
            }
        };
        let is_remembered = match insert.generated {
            Some(_) => is_remembered,
            None => outcome.last_insert_id == 0 || !self.are_ids_given(job, insert, &source),
        };
        self.send_outcome(job, &outcome);
        if !is_remembered {
            // Numbers that rows bring along are told, but not remembered.
            job.session.last_insert_id = last_insert_id;
        }
        Ok(())
    }

    async fn check_new(&self, job: &mut Job<'_>, new: Option<&NewRows<'_>>) -> Result<()> {
        match new {
            Some(new) => self.check_new_rows(job, new).await,
            None => Ok(()),
        }
    }

    /// `INSERT … SELECT`: the query's rows are read whole, because they may come from the connections that they go to, and
    /// from the table that they change; then they are inserted part by part.
    async fn insert_query(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        run: &Run<'_>,
        source: &InsertSource<'_>,
        followed: Option<&NewRowLinks>,
    ) -> Result<(WriteOutcome, bool)> {
        let before = exact_text::begin(job.session);
        let outcome = self.insert_exact_query(job, insert, run, source, followed).await;
        job.session.settings_override = before;
        outcome
    }

    async fn insert_exact_query(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        run: &Run<'_>,
        source: &InsertSource<'_>,
        followed: Option<&NewRowLinks>,
    ) -> Result<(WriteOutcome, bool)> {
        let InsertRows::Select { query, tail, behind_carried, .. } = &insert.rows else {
            return Err(Error::bug("an INSERT without query"));
        };
        if !exact_text::is_exact(job.session) {
            return Err(Error::unsupported(NOT_EXACT));
        }
        let mut text = Vec::new();
        engine::render(query, run.args, run.session, None, b"", &mut text)?;
        let mut tail_parts = Vec::with_capacity(1 + behind_carried.len());
        for part in [tail].into_iter().chain(behind_carried) {
            let mut rendered = Vec::new();
            engine::render(part, run.args, run.session, None, b"", &mut rendered)?;
            tail_parts.push(rendered);
        }
        if !tail_parts[0].is_empty() {
            tail_parts[0].insert(0, b' ');
        }
        let compound = self.begin_compound(job.session).await?;
        let outcome = match self.spooled_rows(job, &text).await {
            Ok(mut rows) => {
                let mut new = followed.map(NewRows::new);
                let tail = (tail_parts.as_slice(), new.as_mut());
                match self.insert_spooled(job, insert, (run, source), &mut rows, tail).await {
                    Ok(outcome) => self.check_new(job, new.as_ref()).await.map(|()| outcome),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        self.end_compound(job.session, compound, outcome).await
    }

    async fn insert_spooled(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        (run, source): (&Run<'_>, &InsertSource<'_>),
        held: &mut SpooledRows,
        (tail_parts, mut new): (&[Vec<u8>], Option<&mut NewRows<'_>>),
    ) -> Result<(WriteOutcome, bool)> {
        let carried = held.columns.split_off(held.columns.len().saturating_sub(tail_parts.len() - 1));
        if carried.iter().any(|column| column.column_type == ColumnType::FLOAT) {
            return Err(Error::unsupported(
                "a FLOAT column of a query in ON DUPLICATE KEY UPDATE over several shards",
            ));
        }
        // What is wrong with the columns is wrong without rows too.
        InsertBatch::of_query(insert, run, source, b"", &held.columns, &[])?;
        let mut total = WriteOutcome::default();
        let mut first_number = None;
        let mut last_insert_id = 0;
        let mut diagnostics = Diagnostics::default();
        loop {
            let rows = held.next_part().await?;
            if rows.is_empty() {
                break;
            }
            // A row that brings columns along for the clause behind it is a statement of its own.
            let row_count = if carried.is_empty() { rows.len() } else { 1 };
            for rows in rows.chunks(row_count) {
                let tail =
                    filled(tail_parts, &carried, rows[0].get(held.columns.len()..).unwrap_or_default(), run);
                let mut batch = InsertBatch::of_query(insert, run, source, &tail, &held.columns, rows)?;
                let outcome = self.insert_part(job, insert, &mut batch, new.as_deref_mut()).await?;
                if batch.is_remembered(&outcome) {
                    first_number.get_or_insert(outcome.last_insert_id);
                }
                last_insert_id = outcome.last_insert_id;
                total = engine::sum(vec![total, outcome]);
                let said = std::mem::take(&mut job.session.diagnostics);
                said.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
            }
        }
        job.session.diagnostics = diagnostics;
        total.last_insert_id = first_number.unwrap_or(last_insert_id);
        if total.info.is_empty() {
            total.info = b"Records: 0  Duplicates: 0  Warnings: 0".to_vec();
        }
        Ok((total, first_number.is_some()))
    }

    /// Some rows of a statement that has begun.
    async fn insert_part(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
        new: Option<&mut NewRows<'_>>,
    ) -> Result<WriteOutcome> {
        if let Some(new) = new {
            return Box::pin(self.add_rows(job, insert, batch, new)).await;
        }
        if insert.upsert.as_ref().is_some_and(|upsert| upsert.keys > 0) {
            return Box::pin(self.upsert_rows(job, insert, batch, None)).await;
        }
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        inner.fill_in(insert, batch).await?;
        let mut sequences = SequenceAccess { executor: self, snapshot: &snapshot };
        batch.number(&mut sequences).await?;
        match insert.asks_tables() {
            true if !insert.keys_over_shards().is_empty() => inner.replace_rows(insert, batch).await,
            true => inner.insert_rows(insert, batch).await,
            false => {
                batch.place(&[])?;
                batch.write(&mut inner.access()).await
            }
        }
    }
}

impl Inner<'_> {
    async fn insert_batch(&mut self, insert: &Insert, batch: &mut InsertBatch<'_>) -> Result<WriteOutcome> {
        self.fill_in(insert, batch).await?;
        let mut sequences = SequenceAccess { executor: self.executor, snapshot: self.snapshot };
        batch.number(&mut sequences).await?;
        if !insert.keys_over_shards().is_empty() {
            let compound = self.executor.begin_compound(self.session).await?;
            let outcome = self.replace_rows(insert, batch).await;
            return self.executor.end_compound(self.session, compound, outcome).await;
        }
        if insert.asks_tables() {
            return self.insert_with_lookups(insert, batch).await;
        }
        batch.place(&[])?;
        batch.write(&mut self.access()).await
    }
}

/// What stands behind a row: the parts of the tail, and between them what the row has for the columns that it carries.
fn filled(
    parts: &[Vec<u8>],
    columns: &[ColumnDefinition],
    fields: &[Option<Vec<u8>>],
    run: &Run<'_>,
) -> Vec<u8> {
    let mut tail = parts[0].clone();
    for ((part, column), field) in parts[1..].iter().zip(columns).zip(fields) {
        let value = engine::field_value(column, field.as_deref());
        tail.extend_from_slice(&engine::literal_of(&value, run.session.no_backslash_escapes()));
        tail.extend_from_slice(part);
    }
    tail
}

/// What is prepared at a server in the place of a statement whose tables no one server has: it has the same parameters
/// and no columns.
pub(super) fn stand_in(insert: &Insert, lexed: &Lexed) -> Option<Vec<u8>> {
    let InsertRows::Select { .. } = &insert.rows else { return None };
    let count = lexed.placeholder_count as usize;
    Some(match count {
        0 => b"do 0".to_vec(),
        count => format!("do {}", vec!["?"; count].join(", ")).into_bytes(),
    })
}
