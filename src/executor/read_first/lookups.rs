//! Lookup tables of rows that change: what the rows had before is compared with what they have afterwards.
//!
//! The rows change first. A value that goes from one row to another, at another place, is then seen to have lost its
//! old owner, in whatever order the rows were changed.

use std::collections::HashMap;

use super::statements::Chosen;
use super::target::{KeyedTarget, Where};
use super::{Job, shard_target};
use crate::engine::{LookupEntry, place_of_values, write_condition};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::Executor;
use crate::executor::inner::Inner;
use crate::executor::lookup::{Lock, OwnedLookup, Owners};
use crate::limits::KEYS_PER_STATEMENT_MAX;
use crate::plan::primitive::{Change, Target};
use crate::sql::SqlMode;
use crate::sql::ident::quoted;
use crate::topology::KeyspaceId;
use crate::value::Value;
use crate::vschema::{ColumnVindex, Table};

/// A lookup vindex whose columns change.
pub(super) struct ChangedLookup<'a> {
    used: &'a ColumnVindex,
    /// Where its columns are in a row's part.
    positions: Vec<usize>,
}

/// What rows had and have for each changed lookup.
#[derive(Default)]
pub(super) struct LookupChanges {
    /// One list per row, in the order in which rows change, with an entry per lookup.
    before: Vec<Entries>,
    after: Vec<Entries>,
    /// Which row is which is not known any more.
    is_mixed: bool,
}

/// A row's entries, one per lookup.
type Entries = Vec<Option<LookupEntry>>;

/// The lookup vindexes whose columns the target changes.
pub(super) fn changed(plan: &Target) -> Vec<&ColumnVindex> {
    let is_changed = |used: &&ColumnVindex| match &plan.change {
        Change::Delete { .. } => used.is_owned,
        Change::Update(update) => {
            let is_assigned = |column: &str| {
                update.assignments.iter().any(|assigned| assigned.column.eq_ignore_ascii_case(column))
            };
            update.moves && used.is_owned || used.columns.iter().any(|column| is_assigned(column))
        }
    };
    let lookups = plan.table.0.column_vindexes.iter().skip(1).filter(|used| used.vindex.is_lookup());
    lookups.filter(is_changed).collect()
}

impl<'a> ChangedLookup<'a> {
    pub(super) fn new(used: &'a ColumnVindex, position: &dyn Fn(&str) -> Option<usize>) -> Self {
        Self { used, positions: used.columns.iter().filter_map(|column| position(column)).collect() }
    }

    /// The table's row for an owner; `None` if nothing could find the owner by it.
    fn entry(&self, part: &[Value], id: &KeyspaceId) -> Option<LookupEntry> {
        let values: Vec<Value> = self.positions.iter().filter_map(|at| part.get(*at).cloned()).collect();
        let is_found = values.first().is_some_and(|first| *first != Value::Null);
        is_found.then(|| LookupEntry { values, id: id.clone() })
    }
}

impl LookupChanges {
    pub(super) fn had(&mut self, target: &KeyedTarget<'_>, part: &[Value]) -> Result<()> {
        if !target.lookups.is_empty() {
            self.before.push(target.entries_of(part)?);
        }
        Ok(())
    }

    /// The rows of these keys, in this order, are read back; `key_of` is the key of a row among them.
    pub(super) fn have<'v>(
        &mut self,
        target: &KeyedTarget<'_>,
        keys: impl Iterator<Item = &'v [Value]>,
        parts: &[Vec<Value>],
        key_of: impl Fn(&[Value]) -> Vec<Value>,
    ) -> Result<()> {
        if target.lookups.is_empty() {
            return Ok(());
        }
        let name = |key: &[Value]| {
            let mut name = Vec::new();
            for value in key {
                value.as_ref().render_literal(&mut name, true);
                name.push(0);
            }
            name
        };
        let mut by_key: HashMap<Vec<u8>, &Vec<Value>> =
            parts.iter().map(|part| (name(&key_of(part)), part)).collect();
        let in_order: Vec<_> = keys.filter_map(|key| by_key.remove(&name(key))).collect();
        if in_order.len() == parts.len() {
            for part in in_order {
                self.after.push(target.entries_of(part)?);
            }
            return Ok(());
        }
        // Keys that do not read as they are written: text in another case, for example.
        self.is_mixed = true;
        for part in parts {
            self.after.push(target.entries_of(part)?);
        }
        Ok(())
    }

    /// The entries of one lookup that rows gain and those that they lose.
    fn of_lookup(&self, index: usize) -> (Vec<LookupEntry>, Vec<LookupEntry>) {
        let list = |rows: &[Entries]| -> Vec<LookupEntry> {
            rows.iter().filter_map(|row| row.get(index).cloned().flatten()).collect()
        };
        let (before, after) = (list(&self.before), list(&self.after));
        let added = after.iter().filter(|entry| !before.contains(entry)).cloned().collect();
        let gone = before.into_iter().filter(|entry| !after.contains(entry)).collect();
        (added, gone)
    }

    /// A value that a row takes before another one, whose turn comes later, has given it away: one server would refuse it.
    fn taken_too_early(&self, index: usize) -> Option<&LookupEntry> {
        if self.is_mixed {
            return None;
        }
        let entry = |row: &'_ Entries| row.get(index).cloned().flatten();
        let mut owners: HashMap<Vec<u8>, usize> = HashMap::new();
        let name = |entry: &LookupEntry| {
            let mut name = Vec::new();
            entry.values.iter().for_each(|value| {
                value.as_ref().render_literal(&mut name, true);
                name.push(0);
            });
            name
        };
        for (position, row) in self.before.iter().enumerate() {
            if let Some(entry) = entry(row) {
                owners.insert(name(&entry), position);
            }
        }
        let mut rows = self.after.iter().enumerate();
        let (_, row) = rows.find(|(position, row)| {
            entry(row).is_some_and(|entry| owners.get(&name(&entry)).is_some_and(|owner| owner > position))
        })?;
        row.get(index).and_then(Option::as_ref)
    }
}

impl KeyedTarget<'_> {
    /// A row's entries, one per changed lookup; `None` where nothing could find the row by it.
    pub(super) fn entries_of(&self, part: &[Value]) -> Result<Vec<Option<LookupEntry>>> {
        if self.lookups.is_empty() {
            return Ok(Vec::new());
        }
        let id = self.id_of(part)?;
        Ok(self.lookups.iter().map(|lookup| lookup.entry(part, &id)).collect())
    }

    /// The changed lookups, `None` for those that the table does not own.
    pub(super) fn owned_lookups(&self) -> impl Iterator<Item = Option<OwnedLookup<'_>>> {
        let owner = &*self.plan.table.0;
        self.lookups
            .iter()
            .map(move |lookup| lookup.used.is_owned.then_some(OwnedLookup { owner, used: lookup.used }))
    }

    /// Does it depend on the order of its rows whether values of a lookup are free?
    pub(super) fn has_unique_lookup(&self) -> bool {
        self.lookups.iter().any(|lookup| lookup.used.is_owned && lookup.used.vindex.is_unique())
    }

    /// The place of a row.
    fn id_of(&self, part: &[Value]) -> Result<KeyspaceId> {
        let table = &self.plan.table.0;
        let primary = table.primary_vindex().ok_or_else(|| Error::bug("a sharded table without vindex"))?;
        let values = self.vindex_positions.iter().map(|at| part[*at].clone()).collect();
        place_of_values(&primary.vindex, values)?.ok_or_else(|| {
            Error::new(ErrorKind::NoShard, format!("a row of {} has no keyspace id", table.name))
        })
    }

    /// What of an UPDATE cannot be followed.
    fn check_followed(&self) -> Result<()> {
        let Change::Update(update) = &self.plan.change else { return Ok(()) };
        let is_key = |column: &str| self.key.iter().any(|known| known.eq_ignore_ascii_case(column));
        if !self.is_unique || update.assignments.iter().any(|assigned| is_key(&assigned.column)) {
            let name = &self.plan.table.0.name;
            return Err(Error::unsupported(format!(
                "changing columns of lookup vindexes together with the key of {name}, or without a key"
            )));
        }
        Ok(())
    }
}

impl Executor {
    /// Brings lookup tables up to date after rows were changed by their keys.
    pub(super) async fn follow_rows(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        chosen: &[Chosen],
    ) -> Result<()> {
        if target.lookups.is_empty() || chosen.is_empty() {
            return Ok(());
        }
        let mut changes = LookupChanges::default();
        for row in chosen {
            changes.had(target, &row.part)?;
        }
        if matches!(target.plan.change, Change::Update(_)) {
            target.check_followed()?;
            self.read_back(job, target, chosen, &mut changes).await?;
        }
        self.follow(job, target, changes).await
    }

    async fn read_back(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        chosen: &[Chosen],
        changes: &mut LookupChanges,
    ) -> Result<()> {
        let plain = job.session.settings.lex_options().mode.contains(SqlMode::NO_BACKSLASH_ESCAPES);
        let columns: Vec<String> = target.columns().map(quoted).collect();
        let key: Vec<String> = target.key.iter().map(|column| quoted(column)).collect();
        let table = quoted(&target.plan.table.0.name);
        let mut parts = Vec::with_capacity(chosen.len());
        for shard in 0..target.keyspace.shards().len() {
            let here: Vec<&[Value]> = chosen
                .iter()
                .filter(|row| row.place == Where::Shard(shard))
                .map(|row| row.key.as_slice())
                .collect();
            for keys in here.chunks(KEYS_PER_STATEMENT_MAX) {
                let mut text = format!("select {} from {table} where ", columns.join(", ")).into_bytes();
                write_condition(&key, keys, false, plain, &mut text)?;
                let rows = self.read_at(job, &shard_target(target.keyspace, shard), &text).await?;
                for index in 0..rows.len() {
                    parts.push(rows.values(index)?);
                }
            }
        }
        let keys = chosen.iter().map(|row| row.key.as_slice());
        let width = target.key.len();
        changes.have(target, keys, &parts, |part| part.get(..width).unwrap_or_default().to_vec())
    }

    /// Adds and takes away what the changes ask for; values of vindexes that the table does not own are checked.
    pub(super) async fn follow(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        changes: LookupChanges,
    ) -> Result<()> {
        let owner = &target.plan.table.0;
        let needs = job.needs();
        let snapshot = job.snapshot.clone();
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        for (index, lookup) in target.lookups.iter().enumerate() {
            let (added, gone) = changes.of_lookup(index);
            if lookup.used.is_owned {
                let owned = OwnedLookup { owner, used: lookup.used };
                if lookup.used.vindex.is_unique()
                    && let Some(entry) = changes.taken_too_early(index)
                    && let Some(error) = inner.duplicate(owned, entry).await
                {
                    return Err(error);
                }
                inner.add_entries(owned, added, Owners::AreThere).await?;
                inner.remove_entries(owned, gone).await?;
                continue;
            }
            check_unowned(&mut inner, owner, lookup.used, &added).await?;
        }
        Ok(())
    }

    /// The same check of a single row's entries.
    pub(super) async fn check_unowned_entries(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        before: &[Option<LookupEntry>],
        after: &[Option<LookupEntry>],
    ) -> Result<()> {
        let (snapshot, needs) = (job.snapshot.clone(), job.needs());
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        for (lookup, (before, after)) in target.lookups.iter().zip(before.iter().zip(after)) {
            let added: Vec<LookupEntry> = after.iter().filter(|_| before != after).cloned().collect();
            if !lookup.used.is_owned {
                check_unowned(&mut inner, &target.plan.table.0, lookup.used, &added).await?;
            }
        }
        Ok(())
    }
}

/// Values of a vindex that the table does not own must map to where its rows are.
async fn check_unowned(
    inner: &mut Inner<'_>,
    owner: &Table,
    used: &ColumnVindex,
    added: &[LookupEntry],
) -> Result<()> {
    let vindex = &used.vindex;
    if vindex.lookup().is_none_or(|spec| spec.no_verify || spec.write_only) {
        return Ok(());
    }
    for entry in added {
        let first = entry.values.get(..1).unwrap_or_default();
        let places = inner.places_of(&owner.keyspace, vindex, first, Lock { is_write: false }).await?;
        if !places.contains(&entry.id) {
            let column = used.columns.first().map_or("", |column| column.as_str());
            let text = format!("the new value of {column} does not map to its row's keyspace id");
            return Err(Error::new(ErrorKind::NoShard, text));
        }
    }
    Ok(())
}
