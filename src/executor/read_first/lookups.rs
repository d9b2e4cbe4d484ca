//! Lookup tables of rows that change: what the rows had before is compared with what they have afterwards.
//!
//! The rows change first. A value that goes from one row to another, at another place, is then seen to have lost its
//! old owner, in whatever order the rows were changed.

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
use crate::vschema::ColumnVindex;

/// A lookup vindex whose columns change.
pub(super) struct ChangedLookup<'a> {
    used: &'a ColumnVindex,
    /// Where its columns are in a row's part.
    positions: Vec<usize>,
}

/// What rows had and have for each changed lookup.
#[derive(Default)]
pub(super) struct LookupChanges {
    /// By the lookup's index, then before and after.
    before: Vec<Vec<LookupEntry>>,
    after: Vec<Vec<LookupEntry>>,
}

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
        note(&mut self.before, target, part)
    }

    pub(super) fn has(&mut self, target: &KeyedTarget<'_>, part: &[Value]) -> Result<()> {
        note(&mut self.after, target, part)
    }
}

fn note(lists: &mut Vec<Vec<LookupEntry>>, target: &KeyedTarget<'_>, part: &[Value]) -> Result<()> {
    if target.lookups.is_empty() {
        return Ok(());
    }
    lists.resize_with(target.lookups.len(), Vec::new);
    let id = target.id_of(part)?;
    for (list, lookup) in lists.iter_mut().zip(&target.lookups) {
        list.extend(lookup.entry(part, &id));
    }
    Ok(())
}

impl KeyedTarget<'_> {
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
                    changes.has(target, &rows.values(index)?)?;
                }
            }
        }
        Ok(())
    }

    /// Adds and takes away what the changes ask for; values of vindexes that the table does not own are checked.
    pub(super) async fn follow(
        &self,
        job: &mut Job<'_>,
        target: &KeyedTarget<'_>,
        mut changes: LookupChanges,
    ) -> Result<()> {
        let owner = &target.plan.table.0;
        let needs = job.needs();
        let snapshot = job.snapshot.clone();
        let mut inner = Inner::new(self, &mut *job.session, &snapshot, needs);
        changes.before.resize_with(target.lookups.len(), Vec::new);
        changes.after.resize_with(target.lookups.len(), Vec::new);
        for (lookup, (before, after)) in
            target.lookups.iter().zip(changes.before.into_iter().zip(changes.after))
        {
            let added: Vec<LookupEntry> =
                after.iter().filter(|entry| !before.contains(entry)).cloned().collect();
            let gone: Vec<LookupEntry> = before.into_iter().filter(|entry| !after.contains(entry)).collect();
            if lookup.used.is_owned {
                let owned = OwnedLookup { owner, used: lookup.used };
                inner.add_entries(owned, added, Owners::AreThere).await?;
                inner.remove_entries(owned, gone).await?;
                continue;
            }
            let vindex = &lookup.used.vindex;
            if vindex.lookup().is_none_or(|spec| spec.no_verify || spec.write_only) {
                continue;
            }
            for entry in added {
                let first = entry.values.get(..1).unwrap_or_default();
                let lock = Lock { is_write: false };
                let places = inner.places_of(&owner.keyspace, vindex, first, lock).await?;
                if !places.contains(&entry.id) {
                    let column = lookup.used.columns.first().map_or("", |column| column.as_str());
                    let text = format!("the new value of {column} does not map to its row's keyspace id");
                    return Err(Error::new(ErrorKind::NoShard, text));
                }
            }
        }
        Ok(())
    }
}
