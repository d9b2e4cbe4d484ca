//! Rows of lookup tables: added, taken away, repaired.
//!
//! A lookup table is a set. A row that is there already and leads to the same place is as good as a new one; one that
//! leads elsewhere, where no owner is any more, is an orphan of a crash and is turned round.

use std::collections::BTreeMap;

use super::super::inner::Inner;
use super::super::place;
use crate::backend::Engine;
use crate::engine::{LookupEntry, LookupTable, field_value, owners, place_of_values};
use crate::error::{ERRNO_DUPLICATE_ENTRY, Error, Result, SQLSTATE_DUPLICATE_ENTRY};
use crate::gateway::Target;
use crate::topology::{KeyspaceId, KeyspaceName, ShardName};
use crate::value::Value;
use crate::vschema::vindex::VindexDefinition;
use crate::vschema::{ColumnVindex, Table};

/// Rows of a lookup table in one statement.
pub(in super::super) const ENTRIES_PER_STATEMENT: usize = 500;

/// Entries whose owners one statement asks for; each is a query of its own in it.
const OWNERS_PER_STATEMENT: usize = 100;

/// Locks of rows that stay as they are until the transaction ends.
const LOCK: &str = " for update";

/// When the owners of new rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Owners {
    /// They have changed already.
    AreThere,
    /// They are inserted afterwards.
    Follow,
}

/// A lookup vindex of a table that keeps it.
#[derive(Clone, Copy)]
pub(in super::super) struct OwnedLookup<'v> {
    pub(in super::super) owner: &'v Table,
    pub(in super::super) used: &'v ColumnVindex,
}

impl<'v> OwnedLookup<'v> {
    fn vindex(&self) -> &'v VindexDefinition {
        &self.used.vindex
    }

    fn keyspace(&self) -> &'v KeyspaceName {
        &self.owner.keyspace
    }
}

impl Inner<'_> {
    /// Adds what is missing.
    ///
    /// # Errors
    /// MySQL's error for a duplicate key when a unique vindex has the value at another place, with an owner.
    pub(in super::super) async fn add_entries(
        &mut self,
        lookup: OwnedLookup<'_>,
        entries: Vec<LookupEntry>,
        owners: Owners,
    ) -> Result<()> {
        let table = self.lookup_table(lookup.keyspace(), lookup.vindex())?;
        let entries = in_order(entries);
        let mut added: Vec<KeyspaceId> = Vec::new();
        for chunk in entries.chunks(ENTRIES_PER_STATEMENT) {
            let chunk: Vec<&LookupEntry> = chunk.iter().collect();
            let is_upsert = table.spec.autocommit && !lookup.vindex().is_unique();
            self.note_owners(lookup, &table, &chunk)?;
            let text = table.add(&chunk, is_upsert)?;
            match self.change_table(&table, &text).await {
                Err(error) if is_duplicate(&error) => {
                    for entry in chunk {
                        let fresh = if owners == Owners::Follow { added.as_slice() } else { &[] };
                        self.add_entry(lookup, &table, entry, fresh).await?;
                        added.push(entry.id.clone());
                    }
                }
                outcome => {
                    outcome?;
                    added.extend(chunk.iter().map(|entry| entry.id.clone()));
                }
            }
        }
        Ok(())
    }

    /// Takes away what no owner needs any more. Called after the owners have changed.
    pub(in super::super) async fn remove_entries(
        &mut self,
        lookup: OwnedLookup<'_>,
        entries: Vec<LookupEntry>,
    ) -> Result<()> {
        let table = self.lookup_table(lookup.keyspace(), lookup.vindex())?;
        if table.spec.autocommit || self.note_removed(lookup, &table, &entries) {
            return Ok(());
        }
        for chunk in in_order(entries).chunks(ENTRIES_PER_STATEMENT) {
            self.remove_unneeded(lookup, &table, &chunk.iter().collect::<Vec<_>>(), LOCK).await?;
        }
        Ok(())
    }

    /// Takes those of the entries away that no owner needs.
    pub(super) async fn remove_unneeded(
        &mut self,
        lookup: OwnedLookup<'_>,
        table: &LookupTable<'_>,
        entries: &[&LookupEntry],
        lock: &str,
    ) -> Result<()> {
        let needed = self.which_have_owners(lookup, entries, lock).await?;
        let unneeded = entries.iter().zip(needed).filter(|(_, is_needed)| !is_needed);
        let unneeded: Vec<&LookupEntry> = unneeded.map(|(entry, _)| *entry).collect();
        if unneeded.is_empty() {
            return Ok(());
        }
        let text = table.remove(&unneeded)?;
        self.change(&text).await.map(drop)
    }

    /// One row, where several together met one that is there. The owners of `fresh` places are still to come.
    async fn add_entry(
        &mut self,
        lookup: OwnedLookup<'_>,
        table: &LookupTable<'_>,
        entry: &LookupEntry,
        fresh: &[KeyspaceId],
    ) -> Result<()> {
        self.note_owners(lookup, table, &[entry])?;
        let add = table.add(&[entry], false)?;
        let known = self.known_places_of(table, &entry.values).await?;
        if known.contains(&entry.id) {
            return Ok(());
        }
        let error = match self.change_table(table, &add).await {
            Err(error) if is_duplicate(&error) => error,
            outcome => return outcome.map(drop),
        };
        for old in known {
            let there = LookupEntry { values: entry.values.clone(), id: old.clone() };
            if fresh.contains(&old) || self.has_owner(lookup, &there).await? {
                continue;
            }
            self.note_giver(lookup, &old)?;
            let repoint = table.repoint(entry, &old)?;
            return self.change_table(table, &repoint).await.map(drop);
        }
        Err(self.in_the_owners_words(lookup, error).await)
    }

    /// Adds all rows at once. `false`: one of them is there already, so none was added.
    pub(in super::super) async fn try_entries(
        &mut self,
        lookup: OwnedLookup<'_>,
        entries: Vec<LookupEntry>,
    ) -> Result<bool> {
        let table = self.lookup_table(lookup.keyspace(), lookup.vindex())?;
        let entries = in_order(entries);
        if table.spec.autocommit || entries.len() > ENTRIES_PER_STATEMENT {
            return Ok(false);
        }
        if entries.is_empty() {
            return Ok(true);
        }
        let entries: Vec<&LookupEntry> = entries.iter().collect();
        self.note_owners(lookup, &table, &entries)?;
        let text = table.add(&entries, false)?;
        match self.change_table(&table, &text).await {
            Err(error) if is_duplicate(&error) => Ok(false),
            outcome => outcome.map(|_| true),
        }
    }

    /// Adds a row unless it is there. `Some(true)`: it was added; `None`: a unique vindex has its value at another
    /// place, with an owner, or at a `fresh` one, whose owner is still to come.
    pub(in super::super) async fn try_entry(
        &mut self,
        lookup: OwnedLookup<'_>,
        entry: &LookupEntry,
        fresh: &[KeyspaceId],
    ) -> Result<Option<bool>> {
        let table = self.lookup_table(lookup.keyspace(), lookup.vindex())?;
        if self.known_places_of(&table, &entry.values).await?.contains(&entry.id) {
            return Ok(Some(false));
        }
        match self.add_entry(lookup, &table, entry, fresh).await {
            Err(error) if is_duplicate(&error) => Ok(None),
            outcome => outcome.map(|()| Some(true)),
        }
    }

    /// Adds a row unless it is there; tells whether it was added, or the error of a unique vindex that has its value at
    /// another place, with an owner.
    pub(in super::super) async fn claim_entry(
        &mut self,
        lookup: OwnedLookup<'_>,
        entry: &LookupEntry,
    ) -> Result<std::result::Result<bool, Error>> {
        let table = self.lookup_table(lookup.keyspace(), lookup.vindex())?;
        if self.known_places_of(&table, &entry.values).await?.contains(&entry.id) {
            return Ok(Ok(false));
        }
        match self.add_entry(lookup, &table, entry, &[]).await {
            Err(error) if is_duplicate(&error) => Ok(Err(error)),
            outcome => outcome.map(|()| Ok(true)),
        }
    }

    async fn known_places_of(
        &mut self,
        table: &LookupTable<'_>,
        values: &[Value],
    ) -> Result<Vec<KeyspaceId>> {
        let locks = !table.spec.autocommit;
        let text = table.find_entry(values, if locks { LOCK } else { "" })?;
        let rows = self.ask_table(table, &text, locks).await?;
        Ok(rows.column(0).filter_map(|stored| table.spec.place_of(stored)).collect())
    }

    /// Is there a row of the owner with the entry's values at its place?
    async fn has_owner(&mut self, lookup: OwnedLookup<'_>, entry: &LookupEntry) -> Result<bool> {
        Ok(self.which_have_owners(lookup, &[entry], LOCK).await?.contains(&true))
    }

    /// For each of the entries: is there a row of the owner with its values at its place?
    pub(super) async fn which_have_owners(
        &mut self,
        lookup: OwnedLookup<'_>,
        entries: &[&LookupEntry],
        lock: &str,
    ) -> Result<Vec<bool>> {
        let mut answers = vec![false; entries.len()];
        let Some(primary) = lookup.owner.primary_vindex() else { return Ok(answers) };
        let wanted: Vec<&str> = primary.columns.iter().map(|column| column.as_str()).collect();
        let columns: Vec<&str> = lookup.used.columns.iter().map(|column| column.as_str()).collect();
        // Locks are taken shard by shard, by all sessions in the same order.
        let mut by_target: BTreeMap<ShardName, (Target, Vec<usize>)> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(target) = self.target_of(lookup.keyspace(), &entry.id)? {
                by_target.entry(target.shard.clone()).or_insert_with(|| (target, Vec::new())).1.push(index);
            }
        }
        for (target, members) in by_target.into_values() {
            for members in members.chunks(OWNERS_PER_STATEMENT) {
                let asked: Vec<&LookupEntry> = members.iter().map(|index| entries[*index]).collect();
                let table = &lookup.owner.name;
                let text = owners(table, &wanted, &columns, &asked, lock, self.no_backslash_escapes());
                let held = self.rows_at(&target, &text).await?;
                for row in &held.rows {
                    let index = number_of(row).and_then(|number| members.get(number));
                    let index =
                        *index.ok_or_else(|| Error::bug("an owner of an entry that was not asked for"))?;
                    let fields = held.columns.iter().zip(row).skip(1);
                    let values =
                        fields.map(|(column, field)| field_value(column, field.as_deref())).collect();
                    answers[index] |= primary.vindex.is_lookup()
                        || place_of_values(&primary.vindex, values)?.as_ref() == Some(&entries[index].id);
                }
            }
        }
        Ok(answers)
    }

    /// The server of a place.
    pub(super) fn target_of(&self, keyspace: &KeyspaceName, id: &KeyspaceId) -> Result<Option<Target>> {
        let keyspace = self.keyspace(keyspace)?;
        let shard = keyspace.shard_for(id);
        Ok(shard.map(|shard| place::target(self.session, keyspace, shard.name().clone())))
    }

    /// The client knows nothing of lookup tables: an index of its own table that forbids the same is named instead.
    async fn in_the_owners_words(&mut self, lookup: OwnedLookup<'_>, error: Error) -> Error {
        self.owners_words(lookup, &error).await.unwrap_or(error)
    }

    /// The error of a row whose value another one has, if an index of the owner forbids it.
    pub(in super::super) async fn duplicate(
        &mut self,
        lookup: OwnedLookup<'_>,
        entry: &LookupEntry,
    ) -> Option<Error> {
        let values: Vec<_> = entry.values.iter().map(|value| value.as_ref().to_bytes()).collect();
        let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
        // MySQL names the table too.
        let mut shards = self.session.transaction.shards.iter();
        let is_mariadb = shards.any(|shard| shard.connection.version().engine == Engine::MariaDb);
        let key = if is_mariadb { "key" } else { "table.key" };
        let text = format!("Duplicate entry '{}' for key '{key}'", values.join("-"));
        let error = Error::from_backend(ERRNO_DUPLICATE_ENTRY, SQLSTATE_DUPLICATE_ENTRY, text.as_bytes());
        self.owners_words(lookup, &error).await
    }

    async fn owners_words(&mut self, lookup: OwnedLookup<'_>, error: &Error) -> Option<Error> {
        let keyspace = self.keyspace(lookup.keyspace()).ok()?;
        let target = place::any_shard(self.snapshot, keyspace.name(), self.session).ok()?;
        let columns: Vec<&str> = lookup.used.columns.iter().map(|column| column.as_str()).collect();
        let mut text = b"select index_name, @@version_comment from information_schema.statistics where \
                         table_schema = database() and non_unique = 0 and table_name = "
            .to_vec();
        Value::text(&*lookup.owner.name).as_ref().render_literal(&mut text, self.no_backslash_escapes());
        text.extend_from_slice(
            b" group by index_name having group_concat(column_name order by seq_in_index) = ",
        );
        Value::text(columns.join(",")).as_ref().render_literal(&mut text, self.no_backslash_escapes());
        let held = self.rows_at(&target, &text).await.ok()?;
        let row = held.rows.first()?;
        let index = String::from_utf8_lossy(row.first()?.as_deref()?).into_owned();
        let message = String::from_utf8_lossy(error.message()).into_owned();
        let (before, key) = message.rsplit_once(" for key ")?;
        // MySQL names the table too.
        let index = if key.contains('.') { format!("{}.{index}", lookup.owner.name) } else { index };
        let message = format!("{before} for key '{index}'");
        Some(Error::from_backend(error.errno(), error.sqlstate(), message.as_bytes()))
    }
}

/// Which entry's owner this is: the first column of [`owners`].
fn number_of(row: &[Option<Vec<u8>>]) -> Option<usize> {
    std::str::from_utf8(row.first()?.as_deref()?).ok()?.parse().ok()
}

fn is_duplicate(error: &Error) -> bool {
    error.kind().is_none() && error.errno() == ERRNO_DUPLICATE_ENTRY
}

/// Each once, in the order of their values: statements of other sessions take their locks in the same order.
fn in_order(mut entries: Vec<LookupEntry>) -> Vec<LookupEntry> {
    let key = |entry: &LookupEntry| {
        let values: Vec<Vec<u8>> =
            entry.values.iter().map(|value| value.as_ref().to_bytes().into_owned()).collect();
        (values, entry.id.clone())
    };
    entries.sort_by_cached_key(key);
    entries.dedup();
    entries
}
