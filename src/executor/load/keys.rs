//! Files for tables whose keys reach over shards: rows in the way of `REPLACE` on whatever shard, and what rows refer to
//! with foreign keys that the router keeps.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/load-data.html>

use super::rows::{FilePart, Loaded};
use crate::engine::{InsertBatch, WriteOutcome};
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::executor::foreign_keys::{Way, not_stored_as_written, parent_is_missing, without_checks};
use crate::executor::job::Job;
use crate::executor::new_rows::NewRows;
use crate::executor::read_first::name_of;
use crate::plan::primitive::{Insert, InsertVindex, Load, LoadRows};
use crate::plan::{Link, fields_looked_at};
use crate::session::diagnostics::{Diagnostic, Level};

impl Executor {
    /// Runs the statement with what the table's keys ask of it, and replies.
    pub(super) async fn load_rows_with_keys(
        &self,
        job: &mut Job<'_>,
        plan: &Load,
        rows: &LoadRows,
    ) -> Result<()> {
        let (insert, links) = match self.followed_file(job, &rows.insert)? {
            Some((insert, links)) => (Some(insert), Some(links)),
            None => (None, None),
        };
        let all = links.as_ref().is_some_and(|links| links.way == Way::Replace);
        let placed = insert.as_ref().unwrap_or(&rows.insert);
        let insert = self.with_keys_over_shards(job, placed, all).await?.or(insert);
        let Some(insert) = insert else {
            return self.load_rows(job, plan, rows, None).await;
        };
        refuse_assigned(&insert, rows)?;
        let tablet_type = job.session.target.tablet_type;
        let found = job.snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        let looked_at = fields_looked_at(&insert, &found.table);
        let rows = LoadRows { insert, looked_at, ..rows.clone() };
        let before = job.session.settings_override.clone();
        if links.is_some() {
            job.session.settings_override = Some(without_checks(job));
        }
        let outcome = self.load_rows(job, plan, &rows, links.as_ref()).await;
        job.session.settings_override = before;
        outcome
    }

    /// Row by row: the first key by which it has no parent. Parents that are there are locked.
    pub(super) async fn lacking_parents<'l>(
        &self,
        job: &mut Job<'_>,
        insert: &Insert,
        new: &NewRows<'l>,
        placed: &InsertBatch<'_>,
    ) -> Result<Vec<Option<&'l Link>>> {
        let told = new.told(insert, placed)?;
        let mut lacking = vec![None; placed.row_count()];
        for (index, (link, wanted)) in new.links().iter().zip(&told.wanted).enumerate() {
            // In the order of the rows: it decides whose locks come first.
            let rows = (0..placed.row_count()).filter(|row| !told.is_own_parent(index, *row));
            let rows: Vec<_> = rows.filter_map(|row| Some((row, wanted.get(&row)?))).collect();
            let values: Vec<_> = rows.iter().map(|(_, values)| (*values).clone()).collect();
            let missing = self.missing_parents(job, link, &values).await?;
            let missing: Vec<Vec<u8>> = missing.iter().map(|values| name_of(values)).collect();
            for (row, values) in rows {
                if !missing.contains(&name_of(values)) {
                    continue;
                }
                if !self.reads_as_stored(job, link, values) {
                    return Err(not_stored_as_written(link));
                }
                if new.way() != Way::Ignore {
                    return Err(parent_is_missing(job, link));
                }
                lacking[row].get_or_insert(link);
            }
        }
        Ok(lacking)
    }

    /// REPLACE: deletes the rows that the file's row takes the places of.
    pub(super) async fn clear_way_of_file(
        &self,
        job: &mut Job<'_>,
        (insert, new): (&Insert, Option<&NewRows<'_>>),
        placed: &InsertBatch<'_>,
        loaded: &mut Loaded,
    ) -> Result<()> {
        if insert.keys_over_shards().is_empty() {
            return Ok(());
        }
        let new = new.filter(|new| new.way() == Way::Replace);
        let told = new.map(|new| new.told(insert, placed)).transpose()?;
        let mut deleted = 0;
        for (row, conditions) in self.key_conditions(job, insert, placed)?.iter().enumerate() {
            let followed = new.zip(told.as_ref()).map(|(new, told)| (new, told, row));
            deleted += self.clear_the_way(job, insert, conditions, followed).await?;
        }
        job.session.diagnostics.clear();
        let info = format!("Records: 0  Deleted: {deleted}  Skipped: 0  Warnings: 0").into_bytes();
        loaded.outcomes.push(WriteOutcome { affected_rows: deleted, info, ..WriteOutcome::default() });
        Ok(())
    }

    /// A row without a parent is left out, with a warning; unless it is left out as a duplicate, which InnoDB looks for first.
    pub(super) async fn leave_out_orphan(
        &self,
        job: &mut Job<'_>,
        part: &FilePart<'_>,
        (row, link): (usize, &Link),
        loaded: &mut Loaded,
    ) -> Result<()> {
        let refused = parent_is_missing(job, link);
        let is_above_storage = self.keeps_keys_above_storage(job.session).await?;
        if !is_above_storage {
            let compound = self.begin_compound(job.session).await?;
            let mut tried = Loaded::default();
            let sent = self.send_part(job, part, row..row + 1, &mut tried).await;
            let has_come = matches!(sent, Ok(false));
            let outcome = if has_come { Err(refused.clone()) } else { sent };
            match self.end_compound(job.session, compound, outcome).await {
                Err(error) if !has_come => return Err(error),
                Err(_) => {}
                Ok(_) => {
                    loaded.outcomes.append(&mut tried.outcomes);
                    tried
                        .diagnostics
                        .entries()
                        .iter()
                        .for_each(|entry| loaded.diagnostics.push(entry.clone()));
                    return Ok(());
                }
            }
            job.session.transaction.check()?;
        }
        let (code, message) = (refused.errno(), refused.message().to_vec());
        loaded.diagnostics.push(Diagnostic { level: Level::Warning, code, message });
        // Above the storage such a row is not even counted.
        let count = u8::from(!is_above_storage);
        let info = format!("Records: {count}  Deleted: 0  Skipped: {count}  Warnings: 1").into_bytes();
        loaded.outcomes.push(WriteOutcome { warnings: 1, info, ..WriteOutcome::default() });
        Ok(())
    }
}

/// The values of keys must be in the file.
fn refuse_assigned(insert: &Insert, rows: &LoadRows) -> Result<()> {
    let lookups = insert.lookups.iter().map(|lookup| &lookup.vindex);
    let has = |vindex: &InsertVindex, name: &str| vindex.columns.iter().any(|c| c.eq_ignore_ascii_case(name));
    let is_of_key = |name: &&str| insert.vindexes.iter().chain(lookups.clone()).any(|v| has(v, name));
    match rows.assigned.iter().map(|name| &**name).find(is_of_key) {
        Some(name) => Err(Error::unsupported(format!(
            "SET {name} in LOAD DATA over several shards, which is part of a key"
        ))),
        None => Ok(()),
    }
}
