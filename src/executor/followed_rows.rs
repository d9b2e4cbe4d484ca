//! INSERT IGNORE, REPLACE and ON DUPLICATE KEY UPDATE with foreign keys over shards: row by row, because what becomes of
//! one row decides what becomes of the next.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/create-table-foreign-keys.html>

use super::Executor;
use super::exchange::settle;
use super::foreign_keys::parent_is_missing;
use super::inner::Inner;
use super::job::Job;
use super::new_rows::{NewRows, Told};
use crate::backend::Engine;
use crate::engine::{InsertBatch, ShardExecutor, ShardQuery, WriteOutcome, write_condition};
use crate::error::{Error, Result};
use crate::gateway::Target;
use crate::plan::Link;
use crate::plan::primitive::{Insert, InsertRows};
use crate::session::Session;
use crate::session::diagnostics::{Diagnostic, Diagnostics, Level};
use crate::sql::SqlMode;
use crate::sql::ident::quoted;
use crate::value::Value;
use crate::wire::CapturedResult;

/// A row that has a unique key of a new one.
enum InTheWay {
    Nothing,
    /// What refers to it must be looked for.
    ReferredTo,
    /// What refers to it may refer to the new row.
    Equal,
}

impl Executor {
    /// INSERT IGNORE: rows without parents are left out, with a warning.
    pub(super) async fn add_or_ignore(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
        (new, told): (&NewRows<'_>, &Told),
    ) -> Result<WriteOutcome> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut is_whole = true;
        for (link, wanted) in new.links().iter().zip(&told.wanted) {
            let values: Vec<Vec<Value>> = wanted.values().cloned().collect();
            is_whole &= self.missing_parents(job, link, &values).await?.is_empty();
        }
        if is_whole {
            return Inner::new(self, &mut *job.session, &snapshot, needs).insert_rows(insert, batch).await;
        }
        let mut outcomes = Vec::with_capacity(batch.row_count());
        let mut diagnostics = Diagnostics::default();
        for row in 0..batch.row_count() {
            let queries = batch.queries(&|index| index == row)?;
            if queries.is_empty() {
                // It contradicts a lookup vindex.
                continue;
            }
            let lacking = self.lacks_parent(job, new.links(), told, row).await?;
            let Some(lacking) = lacking else {
                let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
                outcomes.extend(inner.access().write(&insert.keyspace, queries).await?);
                say(job, &mut diagnostics);
                continue;
            };
            if self.keeps_keys_above_storage(job.session).await? {
                // Such a row is not even counted.
                let info = b"Records: 0  Duplicates: 0  Warnings: 1".to_vec();
                let info = if batch.row_count() > 1 { info } else { Vec::new() };
                outcomes.push(WriteOutcome { warnings: 1, info, ..WriteOutcome::default() });
                diagnostics.push(lacks(job, lacking));
                continue;
            }
            // It may be a duplicate as well: InnoDB looks for that first.
            let Some(ShardQuery { shard, text, .. }) = queries.into_iter().next() else { continue };
            let target = Target::primary(insert.keyspace.clone(), shard);
            let mut outcome = self.step_with_savepoint(job.session, &needs, &target, &text).await?;
            say(job, &mut diagnostics);
            if outcome.affected_rows > 0 {
                self.take_back_step(job.session, &target).await?;
                diagnostics.push(lacks(job, lacking));
                outcome.affected_rows = 0;
                outcome.warnings += 1;
                outcome.info.clear();
            }
            outcomes.push(outcome);
        }
        job.session.diagnostics = diagnostics;
        Ok(batch.outcome(outcomes))
    }

    /// REPLACE INTO a table that others refer to: rows in the way are deleted as by a DELETE of the client.
    pub(super) async fn replace_followed(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
        (new, told): (&NewRows<'_>, &Told),
    ) -> Result<WriteOutcome> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let conditions = self.key_conditions(job, insert, batch)?;
        let is_counted = batch.row_count() > 1 || matches!(insert.rows, InsertRows::Select { .. });
        let mut outcomes = Vec::with_capacity(batch.row_count());
        let mut diagnostics = Diagnostics::default();
        for (row, conditions) in conditions.iter().enumerate() {
            let deleted = self.clear_the_way(job, insert, conditions, Some((new, told, row))).await?;
            job.session.diagnostics = Diagnostics::default();
            let lacking = self.lacks_parent(job, new.links(), told, row).await?;
            let queries = batch.queries(&|index| index == row)?;
            let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
            let written = inner.access().write(&insert.keyspace, queries).await?;
            if let Some(link) = lacking {
                return Err(parent_is_missing(job, link));
            }
            say(job, &mut diagnostics);
            let Some(mut outcome) = written.into_iter().next() else { continue };
            outcome.affected_rows += deleted;
            if is_counted {
                let warnings = outcome.warnings;
                outcome.info =
                    format!("Records: 1  Duplicates: {deleted}  Warnings: {warnings}").into_bytes();
            }
            outcomes.push(outcome);
        }
        job.session.diagnostics = diagnostics;
        Ok(batch.outcome(outcomes))
    }

    /// Row by row: what says that a row has one of the unique keys of a new one.
    pub(super) fn key_conditions(
        &self,
        job: &Job<'_>,
        insert: &Insert,
        batch: &InsertBatch<'_>,
    ) -> Result<Vec<Vec<Vec<u8>>>> {
        let is_plain = job.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
        let mut conditions: Vec<Vec<Vec<u8>>> = vec![Vec::new(); batch.row_count()];
        for key in insert.keys_over_shards() {
            let columns: Vec<String> = key.vindex.columns.iter().map(|column| quoted(column)).collect();
            for (row, entry) in batch.entries(key)? {
                if !entry.values.contains(&Value::Null) {
                    let mut condition = Vec::new();
                    write_condition(&columns, &[&entry.values], false, is_plain, &mut condition)?;
                    conditions[row].push(condition);
                }
            }
        }
        Ok(conditions)
    }

    /// Deletes the rows that a new one takes the places of, as a DELETE of the client would; tells how many.
    pub(super) async fn clear_the_way(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        conditions: &[Vec<u8>],
        followed: Option<(&NewRows<'_>, &Told, usize)>,
    ) -> Result<u64> {
        let table = format!("{}.{}", quoted(&insert.keyspace), quoted(&insert.table));
        let mut deleted = 0;
        for condition in conditions {
            let in_the_way = match followed {
                Some(of_row) => self.row_in_the_way(job, &table, condition, of_row).await?,
                None => InTheWay::Equal,
            };
            let text = [format!("delete from {table} where ").as_bytes(), condition].concat();
            let result = match in_the_way {
                InTheWay::Nothing => continue,
                InTheWay::ReferredTo => self.followed_change(job, &text).await?,
                InTheWay::Equal => self.captured(job, &text, None).await?.pop().unwrap_or_default(),
            };
            if let Some(error) = result.error {
                return Err(error);
            }
            deleted += result.affected_rows;
        }
        Ok(deleted)
    }

    /// What is to be done with children of the row in the way. For MySQL that depends on whether the new one has the same
    /// values of what they refer to.
    async fn row_in_the_way(
        &self,
        job: &mut Job<'_>,
        table: &str,
        condition: &[u8],
        (new, told, row): (&NewRows<'_>, &Told, usize),
    ) -> Result<InTheWay> {
        let is_plain = job.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
        let mut text = b"select 1".to_vec();
        for (link, by_row) in new.incoming().iter().zip(&told.referred) {
            text.extend_from_slice(b", ");
            match by_row.get(&row).filter(|values| !values.contains(&Value::Null)) {
                Some(values) => {
                    let columns: Vec<String> =
                        link.key.parent_columns.iter().map(|column| quoted(column.as_str())).collect();
                    write_condition(&columns, &[values], false, is_plain, &mut text)?;
                }
                None => text.push(b'0'),
            }
        }
        text.extend_from_slice(format!(" from {table} where ").as_bytes());
        text.extend_from_slice(condition);
        text.extend_from_slice(b" for update");
        let held = self.held_rows(job, &text).await?;
        let Some(found) = held.rows.first() else { return Ok(InTheWay::Nothing) };
        if !self.keeps_keys_above_storage(job.session).await? {
            return Ok(InTheWay::ReferredTo);
        }
        let same = found.iter().skip(1).filter(|field| field.as_deref() == Some(b"1")).count();
        match same {
            0 => Ok(InTheWay::ReferredTo),
            count if count == new.incoming().len() => Ok(InTheWay::Equal),
            _ => Err(Error::unsupported(
                "REPLACE of a row with new values for some foreign keys over shards, and its own for others",
            )),
        }
    }

    /// From MySQL 9.6 on it is not InnoDB that keeps foreign keys, unless a server is told so.
    ///
    /// <https://dev.mysql.com/doc/refman/9.6/en/innodb-parameters.html#sysvar_innodb_native_foreign_keys>
    pub(super) async fn keeps_keys_above_storage(&self, session: &mut Session) -> Result<bool> {
        // The statement's last reader may still have the only connection.
        self.recover(session).await;
        let Some(shard) = session.transaction.shards.first_mut() else { return Ok(false) };
        let version = shard.connection.version();
        if version.engine != Engine::MySql || !version.is_at_least(9, 6, 0) {
            return Ok(false);
        }
        settle(&mut shard.connection).await?;
        let answer = shard.connection.query_all("SELECT @@innodb_native_foreign_keys AS v").await?;
        Ok(answer.value(0, "v") == Some(b"0"))
    }

    /// Runs a change as if the client had asked for it: with its foreign keys.
    pub(super) async fn followed_change(&self, job: &mut Job<'_>, text: &[u8]) -> Result<CapturedResult> {
        let without_checks = job.session.settings_override.take();
        let results = self.captured(job, text, None).await;
        job.session.settings_override = without_checks;
        let result = results?.pop().unwrap_or_default();
        match result.error {
            Some(error) => Err(error),
            None => Ok(result),
        }
    }
}

/// The warning for a row that INSERT IGNORE leaves out.
fn lacks(job: &Job<'_>, link: &Link) -> Diagnostic {
    let error = parent_is_missing(job, link);
    Diagnostic { level: Level::Warning, code: error.errno(), message: error.message().to_vec() }
}

/// Keeps what servers said of a row.
fn say(job: &mut Job<'_>, diagnostics: &mut Diagnostics) {
    let said = std::mem::take(&mut job.session.diagnostics);
    said.entries().iter().for_each(|entry| diagnostics.push(entry.clone()));
}
