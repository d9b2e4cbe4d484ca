//! REPLACE into sharded tables: rows in the way that are on other shards.
//!
//! A row's own shard deletes what is in its way there. A unique key without the sharding key may be taken on any shard:
//! then rows go one after the other, each with a DELETE for the shards that it does not go to.
//! <https://dev.mysql.com/doc/refman/9.0/en/replace.html>

use super::Executor;
use super::inner::Inner;
use super::job::Job;
use super::lookup::{OwnedLookup, Owners, used_by};
use crate::engine::{
    InsertBatch, LookupEntry, ShardQuery, WriteOutcome, field_value, place_of_values, write_condition,
};
use crate::error::{Error, Result};
use crate::gateway::Target;
use crate::plan::primitive::{Insert, InsertLookup, InsertRows, InsertVindex};
use crate::sql::ident::quoted;
use crate::topology::{KeyspaceId, Shard};
use crate::value::Value;
use crate::vschema::Table;

impl Executor {
    /// The plan with the table's unique keys that may be taken on other shards; `None`: there are none. `all`: and with
    /// those that may be taken on the same shard.
    pub(super) async fn with_keys_over_shards(
        &self,
        job: &Job<'_>,
        insert: &Insert,
        all: bool,
    ) -> Result<Option<Insert>> {
        let (Some(_), Some(primary)) = (&insert.replaces, insert.vindexes.first()) else {
            return Ok(None);
        };
        let tablet_type = job.session.target.tablet_type;
        let found = job.snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        let shape = self.table_shape(job, &found.table).await?;
        // Rows of lookup tables go with the rows that are replaced, on whatever shard.
        let has_owned = insert.lookups.iter().any(|lookup| lookup.is_owned);
        let mut keys = Vec::new();
        for key in &shape.unique {
            let has = |name: &str| key.columns.iter().any(|column| column.eq_ignore_ascii_case(name));
            if !all && !has_owned && primary.columns.iter().all(|column| has(column)) {
                continue;
            }
            let is_computed = |name: &str| shape.column(name).is_some_and(|column| column.is_generated);
            if key.columns.iter().any(|column| column.is_empty() || is_computed(column)) {
                let text = format!("REPLACE with the unique key {}, a part of which is no column", key.name);
                return Err(Error::unsupported(text));
            }
            let position = |name: &str| {
                let at = insert.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
                at.and_then(|at| u32::try_from(at).ok())
            };
            let positions = key.columns.iter().map(|name| position(name)).collect();
            let vindex =
                InsertVindex { vindex: primary.vindex.clone(), columns: key.columns.clone(), positions };
            keys.push(InsertLookup { vindex, is_owned: false });
        }
        if keys.is_empty() {
            return Ok(None);
        }
        if primary.vindex.0.is_lookup() {
            return Err(Error::unsupported("REPLACE INTO a table whose primary vindex is a lookup"));
        }
        if matches!(insert.rows, InsertRows::Set { .. }) {
            return Err(Error::unsupported(
                "REPLACE … SET into a table with lookup vindexes, or with a unique key that does not have the sharding key",
            ));
        }
        let mut insert = insert.clone();
        if let Some(replaces) = &mut insert.replaces {
            replaces.keys = keys.len();
        }
        insert.lookups.extend(keys);
        Ok(Some(insert))
    }
}

/// Rows that a new one takes the places of.
struct InTheWay {
    ids: Vec<KeyspaceId>,
    /// Their rows in lookup tables, lookup by lookup.
    entries: Vec<Vec<LookupEntry>>,
}

impl Inner<'_> {
    /// Rows one after the other: one may be in the way of the next.
    pub(super) async fn replace_rows(
        &mut self,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
    ) -> Result<WriteOutcome> {
        batch.place(&[])?;
        let keys = insert.keys_over_shards();
        let snapshot = self.snapshot;
        let tablet_type = self.session.target.tablet_type;
        let found = snapshot.vschema.find_table(Some(&insert.keyspace), &insert.table, tablet_type)?;
        let mut owned = Vec::new();
        for lookup in &insert.lookups[..insert.lookups.len() - keys.len()] {
            if lookup.is_owned {
                owned.push((
                    lookup,
                    OwnedLookup { owner: &found.table, used: used_by(&found.table, lookup)? },
                ));
            } else {
                self.check_unowned(insert, lookup, batch).await?;
            }
        }
        let conditions = self.conditions(keys, batch)?;
        let keyspace = self.keyspace(&insert.keyspace)?;
        let is_counted = batch.row_count() > 1 || matches!(insert.rows, InsertRows::Select { .. });
        let mut outcomes = Vec::with_capacity(batch.row_count());
        for (row, condition) in conditions.iter().enumerate() {
            let mut before = match owned.is_empty() {
                true => None,
                false => Some(self.rows_in_the_way(&found.table, &owned, condition).await?),
            };
            let queries = batch.queries(&|index| index == row)?;
            let Some(ShardQuery { shard: own, text, .. }) = queries.into_iter().next() else { continue };
            let target = |shard| Target::primary(insert.keyspace.clone(), shard);
            let mut work = vec![(target(own.clone()), vec![text])];
            if !condition.is_empty() {
                let has_rows = |shard: &Shard| {
                    before
                        .as_ref()
                        .is_none_or(|before| before.ids.iter().any(|id| shard.key_range().contains(id)))
                };
                let others = keyspace.shards().iter().filter(|shard| *shard.name() != own && has_rows(shard));
                let delete =
                    [format!("delete from {} where ", quoted(&insert.table)).as_bytes(), condition].concat();
                work.extend(others.map(|shard| (target(shard.name().clone()), vec![delete.clone()])));
            }
            let mut done = self.executor.step(self.session, &self.needs, &work).await?.into_iter().flatten();
            let Some(mut outcome) = done.next() else { continue };
            outcome.affected_rows += done.map(|deleted| deleted.affected_rows).sum::<u64>();
            if is_counted {
                let duplicates = outcome.affected_rows.saturating_sub(1);
                let warnings = outcome.warnings;
                outcome.info =
                    format!("Records: 1  Duplicates: {duplicates}  Warnings: {warnings}").into_bytes();
            }
            outcomes.push(outcome);
            // Those that are taken away first are free for the new row.
            for (index, (_, owned)) in owned.iter().enumerate() {
                let entries = before.as_mut().map(|before| std::mem::take(&mut before.entries[index]));
                self.remove_entries(*owned, entries.unwrap_or_default()).await?;
            }
            for (lookup, owned) in &owned {
                let entries = batch.entries(lookup)?.into_iter().filter(|(of, _)| *of == row);
                let entries = entries.map(|(_, entry)| entry).collect();
                self.add_entries(*owned, entries, Owners::AreThere).await?;
            }
        }
        Ok(batch.outcome(outcomes))
    }

    /// The rows that REPLACE deletes, on all shards: where they are and what lookup tables have of them.
    async fn rows_in_the_way(
        &mut self,
        table: &Table,
        owned: &[(&InsertLookup, OwnedLookup<'_>)],
        condition: &[u8],
    ) -> Result<InTheWay> {
        let mut found = InTheWay { ids: Vec::new(), entries: vec![Vec::new(); owned.len()] };
        let Some(primary) = table.primary_vindex().filter(|_| !condition.is_empty()) else {
            return Ok(found);
        };
        let lookups = owned.iter().flat_map(|(lookup, _)| lookup.vindex.columns.iter().map(|name| &**name));
        let columns = primary.columns.iter().map(|name| name.as_str()).chain(lookups);
        let columns: Vec<String> = columns.map(quoted).collect();
        let name = format!("{}.{}", quoted(&table.keyspace), quoted(&table.name));
        let mut text = format!("select {} from {name} where ", columns.join(", ")).into_bytes();
        text.extend_from_slice(condition);
        text.extend_from_slice(b" for update");
        let held = self.rows(&text).await?;
        for row in &held.rows {
            let mut values: Vec<Value> = held
                .columns
                .iter()
                .zip(row)
                .map(|(column, field)| field_value(column, field.as_deref()))
                .collect();
            let mut rest = values.split_off(primary.columns.len());
            let id = place_of_values(&primary.vindex, values)?;
            let id = id.ok_or_else(|| Error::bug("a row without a place"))?;
            for (entries, (lookup, _)) in found.entries.iter_mut().zip(owned) {
                let after = rest.split_off(lookup.vindex.columns.len());
                let values = std::mem::replace(&mut rest, after);
                if values.first().is_some_and(|first| *first != Value::Null) {
                    entries.push(LookupEntry { values, id: id.clone() });
                }
            }
            found.ids.push(id);
        }
        Ok(found)
    }

    /// What each row must not share with any other; empty if it shares nothing.
    fn conditions(&self, keys: &[InsertLookup], batch: &InsertBatch<'_>) -> Result<Vec<Vec<u8>>> {
        let plain = self.no_backslash_escapes();
        let mut conditions = vec![Vec::new(); batch.row_count()];
        for key in keys {
            let columns: Vec<String> = key.vindex.columns.iter().map(|column| quoted(column)).collect();
            for (row, entry) in batch.entries(key)? {
                if entry.values.contains(&Value::Null) {
                    continue;
                }
                let condition: &mut Vec<u8> = &mut conditions[row];
                if !condition.is_empty() {
                    condition.extend_from_slice(b" or ");
                }
                write_condition(&columns, &[&entry.values], false, plain, condition)?;
            }
        }
        Ok(conditions)
    }
}
