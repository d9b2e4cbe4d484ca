//! A table that is changed by its rows' keys: what is read of it, and where its rows are.

use std::sync::Arc;

use super::lookups::{self, ChangedLookup};
use crate::engine::{shard_index, shard_of};
use crate::error::{Error, ErrorKind, Result};
use crate::executor::table_shape::TableShape;
use crate::plan::primitive::Target;
use crate::sql::ident::quoted;
use crate::topology::{Keyspace, Snapshot};
use crate::value::Value;
use crate::vschema::TableKind;

/// Types whose text does not tell equal values from others.
const INEXACT: [&str; 5] = ["float", "json", "geometry", "point", "vector"];

/// A table that is changed, with all that is known when the statement runs.
pub(super) struct KeyedTarget<'a> {
    pub(super) plan: &'a Target,
    pub(super) shape: Arc<TableShape>,
    pub(super) keyspace: &'a Keyspace,
    /// Columns that tell its rows apart.
    pub(super) key: Vec<Box<str>>,
    /// The key is one of the table's; otherwise it is all columns, and rows may be equal.
    pub(super) is_unique: bool,
    /// Behind the key: columns of the primary vindex and of changed lookups that the key lacks.
    extra: Vec<Box<str>>,
    /// Where the vindex's columns are among those that are read.
    pub(super) vindex_positions: Vec<usize>,
    /// Lookup vindexes whose columns change.
    pub(super) lookups: Vec<ChangedLookup<'a>>,
    /// Position of its first column in rows that are read.
    pub(super) offset: usize,
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// On every shard.
    Everywhere,
    /// On the shard with this index.
    Shard(usize),
}

impl<'a> KeyedTarget<'a> {
    pub(super) fn new(
        plan: &'a Target,
        shape: Arc<TableShape>,
        snapshot: &'a Snapshot,
        offset: usize,
    ) -> Result<Self> {
        let table = &plan.table.0;
        let unknown =
            || Error::new(ErrorKind::UnknownDatabase, format!("Unknown database '{}'", table.keyspace));
        let keyspace = snapshot.topology.keyspace(&table.keyspace).ok_or_else(unknown)?;
        let (key, is_unique) = match shape.row_key() {
            Some(key) => (key.to_vec(), true),
            None => (shape.columns.iter().map(|column| column.name.clone()).collect(), false),
        };
        let is_inexact =
            |name: &str| shape.column(name).is_some_and(|column| INEXACT.contains(&&*column.data_type));
        if key.is_empty() {
            return Err(Error::unsupported(format!("changes of the view or unknown table {}", table.name)));
        }
        if key.iter().any(|name| is_inexact(name)) {
            return Err(Error::unsupported(format!(
                "finding the rows of {} again, which has no primary key and a FLOAT, JSON or spatial column",
                table.name
            )));
        }
        let vindex: Vec<Box<str>> = match &table.kind {
            TableKind::Sharded => {
                let vindex =
                    table.primary_vindex().ok_or_else(|| Error::bug("a sharded table without vindex"))?;
                if vindex.vindex.is_lookup() {
                    return Err(Error::unsupported("changes of a table whose primary vindex is a lookup"));
                }
                vindex.columns.iter().map(|column| column.as_str().into()).collect()
            }
            _ => Vec::new(),
        };
        let is_in = |list: &[Box<str>], name: &str| list.iter().any(|known| known.eq_ignore_ascii_case(name));
        let mut extra: Vec<Box<str>> = vindex.iter().filter(|name| !is_in(&key, name)).cloned().collect();
        let changed = lookups::changed(plan);
        for column in changed.iter().flat_map(|used| &used.columns) {
            if !is_in(&key, column) && !is_in(&extra, column) {
                extra.push(column.as_str().into());
            }
        }
        let position =
            |name: &str| key.iter().chain(&extra).position(|known| known.eq_ignore_ascii_case(name));
        let vindex_positions = vindex.iter().filter_map(|name| position(name)).collect();
        let lookups = changed.into_iter().map(|used| ChangedLookup::new(used, &position)).collect();
        Ok(Self { plan, shape, keyspace, key, is_unique, extra, vindex_positions, lookups, offset })
    }

    /// Has these columns read too.
    pub(super) fn also_read(&mut self, columns: &[&str]) {
        for column in columns {
            if !self.columns().any(|known| known.eq_ignore_ascii_case(column)) {
                self.extra.push((*column).into());
            }
        }
    }

    /// A column's value among those that were read of a row.
    pub(super) fn value<'r>(&self, part: &'r [Value], name: &str) -> Option<&'r Value> {
        part.get(self.columns().position(|known| known.eq_ignore_ascii_case(name))?)
    }

    /// The number of columns that are read.
    pub(super) fn width(&self) -> usize {
        self.key.len() + self.extra.len()
    }

    /// The columns that are read, as select items.
    pub(super) fn select_list(&self) -> String {
        self.columns().map(|column| self.column(column)).collect::<Vec<_>>().join(", ")
    }

    /// The columns that are read.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.key.iter().chain(&self.extra).map(|column| &**column)
    }

    /// A column, qualified.
    pub(super) fn column(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.plan.alias), quoted(name))
    }

    /// Its columns of a row; `None` where an outer join found no row.
    pub(super) fn part<'r>(&self, row: &'r [Value]) -> Option<&'r [Value]> {
        let part = row.get(self.offset..self.offset + self.width())?;
        let is_missing = match self.is_unique {
            true => part.first().is_some_and(|value| value.as_ref().is_null()),
            false => part.iter().all(|value| value.as_ref().is_null()),
        };
        (!is_missing).then_some(part)
    }

    /// Is each of its rows on every shard?
    pub(super) fn place_is_everywhere(&self) -> bool {
        let table = &self.plan.table.0;
        table.is_keyspace_sharded && matches!(table.kind, TableKind::Reference { .. })
    }

    /// Where the row is whose part of a row this is.
    pub(super) fn place(&self, part: &[Value]) -> Result<Where> {
        let table = &self.plan.table.0;
        let nowhere = || {
            Error::new(
                ErrorKind::NoShard,
                format!("a row of {} has no place in keyspace {}", table.name, table.keyspace),
            )
        };
        match &table.kind {
            TableKind::Reference { .. } if table.is_keyspace_sharded => Ok(Where::Everywhere),
            TableKind::Pinned(id) => shard_index(id, self.keyspace).map(Where::Shard).ok_or_else(nowhere),
            TableKind::Sharded => {
                let values: Vec<_> = self.vindex_positions.iter().map(|at| part[*at].clone()).collect();
                self.shard_of(&values)?.map(Where::Shard).ok_or_else(nowhere)
            }
            _ => Ok(Where::Shard(0)),
        }
    }

    /// The shard of these values of the primary vindex's columns.
    pub(super) fn shard_of(&self, values: &[Value]) -> Result<Option<usize>> {
        let vindex = self.plan.table.0.primary_vindex();
        let vindex = vindex.ok_or_else(|| Error::bug("a sharded table without vindex"))?;
        shard_of(&vindex.vindex, values, self.keyspace)
    }
}
