//! Semantics: which tables a statement names, how they hang together, and which values bind them.
//!
//! One walk over the syntax tree collects facts about *table instances* (each mention of a sharded table):
//! - an *edge* `a → b`: rows of `b` that matter for a row of `a` are on that row's shard, because columns of
//!   the same unique vindex are equal there;
//! - a *binding*: only rows of the instance with these values of a unique vindex matter;
//! - what keeps a query block from being the plain union of what it gives on each shard.
//!
//! [`place`] draws the conclusions. Nothing here changes the statement; edits only fit names to the servers.

pub(crate) mod analyze;
pub(crate) mod conjunct;
pub(crate) mod filter;
mod from;
pub(crate) mod place;
pub(crate) mod references;
pub(crate) mod relevance;
mod scope;
pub(crate) mod session;
mod system_tables;
mod view;
pub(crate) mod walk;
mod year;

use std::ops::Range;
use std::sync::Arc;

pub(crate) use analyze::Analyzer;
pub(crate) use from::idents;
pub(crate) use scope::{Columns, KeyColumn, Output, Resolved, Scope, TableSource};

use super::primitive::{Candidates, Lookup};
use super::source::Edits;
use crate::topology::{KeyspaceId, KeyspaceName};
use crate::vschema::{ColumnVindex, Table};

/// One mention of a sharded or pinned table.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) table: Arc<Table>,
    /// On the inner side of an outer join: its columns may be NULL although the table's are not.
    pub(crate) is_nullable: bool,
}

/// What restricts the rows of an instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Restriction {
    /// Rows with these values.
    Lookup(Lookup),
    /// No row at all.
    Never,
    /// All rows are here.
    Pinned(KeyspaceId),
}

/// Only some rows of an instance matter.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) instance: usize,
    pub(crate) restriction: Restriction,
}

/// Keyspaces that a statement touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) sharded: Option<KeyspaceName>,
    pub(crate) unsharded: Option<KeyspaceName>,
    /// Of reference tables.
    pub(crate) reference: Option<KeyspaceName>,
    /// System tables such as `information_schema.tables`.
    pub(crate) system: bool,
    /// `table_schema = …`.
    pub(crate) system_schemas: Vec<Candidates>,
    /// Tables of two keyspaces of one kind.
    pub(crate) is_mixed: bool,
}

/// What a query block turned out to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    /// Its output columns.
    pub(crate) outputs: Columns,
    /// Its FROM clause, for a plain SELECT.
    pub(crate) sources: Vec<TableSource>,
    /// The table instances in it and in its sub-queries.
    pub(crate) instances: Range<usize>,
    /// The instance whose shard each of its rows belongs to.
    pub(crate) anchor: Option<usize>,
    /// Why its FROM, WHERE and sub-queries cannot be left to each shard.
    pub(crate) join_blocker: Option<Box<str>>,
    /// Why, even so, its rows are not simply the rows that each shard gives.
    pub(crate) horizon_blocker: Option<Box<str>>,
    /// Windows reach over shards.
    pub(crate) window_blocks: bool,
    /// Each group of its GROUP BY is on one shard.
    pub(crate) groups_stay: bool,
    /// Equal output rows are on one shard.
    pub(crate) rows_are_distinct: bool,
    /// A UNION: its rows are the distinct ones among those that each shard gives. As a part of something else it has a
    /// blocker all the same.
    pub(crate) is_distinct_union: bool,
}

impl Block {
    /// Why its rows are not simply the rows that each shard gives; `None`: they are.
    pub(crate) fn blocker(&self) -> Option<&str> {
        self.join_blocker.as_deref().or(self.horizon_blocker.as_deref())
    }
}

/// All that is known about a statement.
#[derive(Debug, Default)]
pub(crate) struct Analysis {
    pub(crate) instances: Vec<Instance>,
    pub(crate) edges: Vec<(usize, usize)>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) places: Places,
    pub(crate) edits: Edits,
    /// Names to be given to select items whose text is edited: the end of the item and the name.
    pub(crate) aliases: Vec<(usize, String)>,
    /// Keyspace and name of each table, each once.
    pub(crate) tables: Vec<(Option<KeyspaceName>, Box<str>)>,
    /// Why the statement cannot be spread over shards although its outermost block could.
    pub(crate) blocker: Option<Box<str>>,
    /// Arguments that are compared with YEAR columns.
    pub(crate) year_arguments: Vec<u32>,
}

impl Analysis {
    /// All edits that the statement as a whole needs.
    pub(crate) fn all_edits(&self) -> Edits {
        let mut edits = self.edits.clone();
        for (end, name) in &self.aliases {
            edits.insert(*end, &format!(" as {}", crate::plan::source::quote(name)));
        }
        edits
    }

    /// Notes the first reason.
    pub(crate) fn block(&mut self, reason: impl Into<Box<str>>) {
        self.blocker.get_or_insert_with(|| reason.into());
    }

    /// Can every instance of `range` be reached from `anchor`?
    pub(crate) fn reaches_all(&self, anchor: usize, range: Range<usize>) -> bool {
        let reached = self.reach(&[anchor]);
        range.into_iter().all(|instance| reached[instance])
    }

    /// Which instances are on the shard of a row of one of `from`?
    pub(crate) fn reach(&self, from: &[usize]) -> Vec<bool> {
        let mut reached = vec![false; self.instances.len()];
        let mut open = from.to_vec();
        while let Some(instance) = open.pop() {
            if std::mem::replace(&mut reached[instance], true) {
                continue;
            }
            open.extend(self.edges.iter().filter(|(a, _)| *a == instance).map(|(_, b)| *b));
        }
        reached
    }

    /// Do these columns contain all columns of a unique vindex of a table that is never NULL in `range`?
    /// Rows that agree in them are on one shard then.
    pub(crate) fn covers_unique_vindex(&self, columns: &[KeyColumn], range: &Range<usize>) -> bool {
        range.clone().filter(|instance| !self.instances[*instance].is_nullable).any(|instance| {
            let has = |name: &str| {
                columns.iter().any(|c| c.instance == instance && c.name.eq_ignore_ascii_case(name))
            };
            self.instances[instance].routing_vindexes().any(|v| v.columns.iter().all(|name| has(name)))
        })
    }
}

impl Instance {
    /// The vindexes that give exactly one keyspace id without asking a table.
    pub(crate) fn routing_vindexes(&self) -> impl Iterator<Item = &ColumnVindex> {
        let is_function = |column: &&ColumnVindex| column.is_unique && !column.vindex.is_lookup();
        self.table.column_vindexes.iter().filter(is_function)
    }

    /// The vindexes that give equal values one place, in whatever table.
    pub(crate) fn tying_vindexes(&self) -> impl Iterator<Item = &ColumnVindex> {
        let is_certain = |column: &&ColumnVindex| {
            let is_kept = column.vindex.lookup().is_none_or(|spec| !spec.write_only && !spec.no_verify);
            column.is_unique && is_kept
        };
        self.table.column_vindexes.iter().filter(is_certain)
    }

    /// The vindexes whose table can be asked for places. Their first column is what is looked up.
    pub(crate) fn lookup_vindexes(&self) -> impl Iterator<Item = &ColumnVindex> {
        let is_read = |column: &&ColumnVindex| column.vindex.lookup().is_some_and(|spec| !spec.write_only);
        self.table.column_vindexes.iter().filter(is_read)
    }
}
