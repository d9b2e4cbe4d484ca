//! INSERT into tables with lookup vindexes.

use std::collections::HashMap;

use super::super::inner::Inner;
use super::Lock;
use super::entries::{OwnedLookup, Owners};
use crate::backend::Engine;
use crate::engine::{InsertBatch, LookupEntry, ShardExecutor, WriteOutcome};
use crate::error::{ERRNO_DUPLICATE_ENTRY, Error, ErrorKind, Result};
use crate::plan::primitive::{Insert, InsertLookup};
use crate::session::diagnostics::{Diagnostic, Diagnostics, Level};
use crate::topology::KeyspaceId;
use crate::value::Value;
use crate::vschema::{ColumnVindex, Table};

const FOR_KEY: &str = " for key ";

impl Inner<'_> {
    /// Rows, and what lookup tables have to say or to learn about them.
    pub(in super::super) async fn insert_with_lookups(
        &mut self,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
    ) -> Result<WriteOutcome> {
        let compound = self.executor.begin_compound(self.session).await?;
        let outcome = self.insert_rows(insert, batch).await;
        self.executor.end_compound(self.session, compound, outcome).await
    }

    /// The same within a statement that has begun.
    pub(in super::super) async fn insert_rows(
        &mut self,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
    ) -> Result<WriteOutcome> {
        let told = self.told_places(insert, batch).await?;
        batch.place(&told)?;
        for lookup in insert.lookups.iter().filter(|lookup| !lookup.is_owned) {
            self.check_unowned(insert, lookup, batch).await?;
        }
        let found = self.snapshot.vschema.find_table(
            Some(&insert.keyspace),
            &insert.table,
            self.session.target.tablet_type,
        )?;
        let has_owned = insert.lookups.iter().any(|lookup| lookup.is_owned);
        if has_owned && (insert.is_ignore || insert.updated.is_some()) {
            return Box::pin(self.insert_one_by_one(insert, batch, &found.table)).await;
        }
        for lookup in insert.lookups.iter().filter(|lookup| lookup.is_owned) {
            let entries: Vec<LookupEntry> =
                batch.entries(lookup)?.into_iter().map(|(_, entry)| entry).collect();
            let owned = OwnedLookup { owner: &found.table, used: used_by(&found.table, lookup)? };
            if let Err(error) = self.add_entries(owned, entries, Owners::Follow).await {
                return Err(self.first_error(batch, error).await);
            }
        }
        batch.write(&mut self.access()).await
    }

    /// Servers look at a row's values before they look for duplicates: what is wrong with them comes first. Only of one row
    /// is it known that the errors are about the same.
    async fn first_error(&mut self, batch: &InsertBatch<'_>, of_lookup: Error) -> Error {
        if of_lookup.errno() != ERRNO_DUPLICATE_ENTRY || batch.row_count() != 1 {
            return of_lookup;
        }
        match batch.write(&mut self.access()).await {
            Err(error) if error.kind().is_none() && error.errno() != ERRNO_DUPLICATE_ENTRY => error,
            _ => of_lookup,
        }
    }

    /// IGNORE and ON DUPLICATE KEY UPDATE: whether a row is inserted is only known afterwards, and what it has to do with
    /// the next one too.
    async fn insert_one_by_one(
        &mut self,
        insert: &Insert,
        batch: &mut InsertBatch<'_>,
        table: &Table,
    ) -> Result<WriteOutcome> {
        let mut entries: Vec<(OwnedLookup<'_>, HashMap<usize, LookupEntry>)> = Vec::new();
        for lookup in insert.lookups.iter().filter(|lookup| lookup.is_owned) {
            let owned = OwnedLookup { owner: table, used: used_by(table, lookup)? };
            entries.push((owned, batch.entries(lookup)?.into_iter().collect()));
        }
        let mut outcomes = Vec::new();
        let mut diagnostics = Diagnostics::default();
        let mut keys = HashMap::new();
        for row in 0..batch.row_count() {
            let mut added: Vec<(OwnedLookup<'_>, LookupEntry)> = Vec::new();
            let mut taken = None;
            for (index, (owned, of_lookup)) in entries.iter().enumerate() {
                let Some(entry) = of_lookup.get(&row) else { continue };
                match self.try_entry(*owned, entry, &[]).await? {
                    Some(true) => added.push((*owned, entry.clone())),
                    Some(false) => {}
                    None if insert.updated.is_some() => {
                        let column = owned.used.columns.first().map_or("", |column| column.as_str());
                        return Err(Error::unsupported(format!(
                            "ON DUPLICATE KEY UPDATE of a row on another shard that has the value of {column}"
                        )));
                    }
                    None if taken.is_none() => taken = Some((index, *owned, entry)),
                    None => {}
                }
            }
            if let Some((index, owned, entry)) = taken {
                let key = match keys.get(&index) {
                    Some(known) => known,
                    None => &*keys.entry(index).or_insert(self.key_name(owned, entry).await),
                };
                let message = is_in_the_way(entry, key.as_deref(), row);
                let code = ERRNO_DUPLICATE_ENTRY;
                diagnostics.push(Diagnostic { level: Level::Warning, code, message });
                outcomes.push(WriteOutcome { warnings: 1, ..WriteOutcome::default() });
            } else {
                let queries = batch.queries(&|index| index == row)?;
                let mut written = self.access().write(&insert.keyspace, queries).await?;
                let said = std::mem::take(&mut self.session.diagnostics);
                let again = self.say_once(&said, &mut diagnostics);
                written
                    .iter_mut()
                    .for_each(|outcome| outcome.warnings = outcome.warnings.saturating_sub(again));
                outcomes.extend(written);
            }
            for (owned, entry) in added {
                // What became no row needs none.
                self.remove_entries(owned, vec![entry]).await?;
            }
        }
        self.session.diagnostics = diagnostics;
        Ok(batch.outcome(outcomes))
    }

    /// The name of the index that forbids what a lookup vindex forbids, if there is one.
    async fn key_name(&mut self, owned: OwnedLookup<'_>, entry: &LookupEntry) -> Option<String> {
        let error = self.duplicate(owned, entry).await?;
        let text = String::from_utf8_lossy(error.message()).into_owned();
        text.rsplit_once(FOR_KEY).map(|(_, key)| key.to_owned())
    }

    /// Adds what a server says of a row to what was said of others; tells how much of it is left out. MySQL says only once in
    /// a statement that a column cannot be NULL.
    fn say_once(&self, said: &Diagnostics, told: &mut Diagnostics) -> u32 {
        let mut shards = self.session.transaction.shards.iter();
        let is_mysql = shards.any(|shard| shard.connection.version().engine == Engine::MySql);
        let mut again = 0;
        for entry in said.entries() {
            if is_mysql && entry.code == ErrorKind::NullColumn.errno() && told.entries().contains(entry) {
                again += 1;
            } else {
                told.push(entry.clone());
            }
        }
        again
    }

    /// Places that the table of the primary vindex tells.
    pub(in super::super) async fn told_places(
        &mut self,
        insert: &Insert,
        batch: &InsertBatch<'_>,
    ) -> Result<Vec<Option<KeyspaceId>>> {
        let values = batch.values_to_place()?;
        let Some(vindex) = insert.vindexes.first().filter(|_| !values.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut told = Vec::with_capacity(values.len());
        for value in values {
            let values = if value == Value::Null { Vec::new() } else { vec![value] };
            let lock = Lock { is_write: true };
            let places = self.places_of(&insert.keyspace, &vindex.vindex.0, &values, lock).await?;
            if places.len() > 1 {
                return Err(Error::unsupported(format!(
                    "a value with several places in the unique vindex {}",
                    vindex.vindex.name()
                )));
            }
            told.push(places.into_iter().next());
        }
        Ok(told)
    }

    /// A row that shares a lookup vindex must be where the vindex says.
    pub(in super::super) async fn check_unowned(
        &mut self,
        insert: &Insert,
        lookup: &InsertLookup,
        batch: &mut InsertBatch<'_>,
    ) -> Result<()> {
        let vindex = &lookup.vindex.vindex.0;
        if vindex.lookup().is_none_or(|spec| spec.no_verify || spec.write_only) {
            return Ok(());
        }
        for (row, entry) in batch.entries(lookup)? {
            let lock = Lock { is_write: false };
            let values = entry.values.get(..1).unwrap_or_default();
            let places = self.places_of(&insert.keyspace, vindex, values, lock).await?;
            if places.contains(&entry.id) {
                continue;
            }
            if !insert.is_ignore {
                return Err(batch.misplaced(lookup, row));
            }
            batch.leave_out(row);
        }
        Ok(())
    }
}

/// The table's own use of the vindex.
pub(in super::super) fn used_by<'t>(table: &'t Table, lookup: &InsertLookup) -> Result<&'t ColumnVindex> {
    let mut all = table.column_vindexes.iter();
    let is_same = |used: &&ColumnVindex| {
        used.vindex.name() == lookup.vindex.vindex.name()
            && used.columns.iter().zip(&lookup.vindex.columns).all(|(a, b)| *a == **b)
    };
    all.find(is_same).ok_or_else(|| Error::bug(format!("table {} has lost a vindex", table.name)))
}

/// The warning about a row that has a value of another one. `key`: the index that forbids it, in quotes.
fn is_in_the_way(entry: &LookupEntry, key: Option<&str>, row: usize) -> Vec<u8> {
    let Some(key) = key else {
        return format!("Duplicate entry in row {} at another shard", row + 1).into_bytes();
    };
    let values: Vec<_> = entry.values.iter().map(|value| value.as_ref().to_bytes()).collect();
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    format!("Duplicate entry '{}'{FOR_KEY}{key}", values.join("-")).into_bytes()
}
