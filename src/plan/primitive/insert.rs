//! INSERT and REPLACE: rows are found in the statement's text when it runs, so the size of the text is no
//! matter for the plan.

use super::{RouteValue, Template, VindexRef};
use crate::topology::{KeyspaceId, KeyspaceName};

/// An INSERT or REPLACE with values.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// The keyspace of the table.
    pub keyspace: KeyspaceName,
    /// Where rows go: the table's vindexes, the primary one first. Empty for unsharded and pinned tables.
    pub vindexes: Vec<InsertVindex>,
    /// Vindexes whose tables are kept or asked, behind the primary one.
    pub lookups: Vec<InsertLookup>,
    /// The table, as its servers know it.
    pub table: Box<str>,
    /// The names of a row's values; empty where nothing depends on them.
    pub columns: Box<[Box<str>]>,
    /// All rows go here (pinned tables).
    pub pinned: Option<KeyspaceId>,
    /// ON DUPLICATE KEY UPDATE, with the columns that it changes.
    pub updated: Option<Vec<Box<str>>>,
    /// ON DUPLICATE KEY UPDATE of a sharded table.
    pub upsert: Option<Box<Upsert>>,
    /// REPLACE into a sharded table.
    pub replaces: Option<Replaces>,
    /// Every shard gets every row (reference tables).
    pub is_copied: bool,
    /// IGNORE: a row that has no place is left out instead of being an error.
    pub is_ignore: bool,
    /// RETURNING: the reply has rows.
    pub returns: bool,
    /// The column that a sequence fills.
    pub generated: Option<Generated>,
    /// Where the rows are.
    pub rows: InsertRows,
}

impl Insert {
    /// Unique keys by which rows are found that are in the way: for REPLACE those that rows on other shards may have too,
    /// or all of them if lookup tables are kept; for ON DUPLICATE KEY UPDATE all.
    pub fn keys_over_shards(&self) -> &[InsertLookup] {
        let count = self.replaces.as_ref().map_or(0, |replaces| replaces.keys);
        let count = self.upsert.as_ref().map_or(count, |upsert| upsert.keys);
        &self.lookups[self.lookups.len().saturating_sub(count)..]
    }

    /// Must tables be asked or kept for it?
    pub fn asks_tables(&self) -> bool {
        !self.lookups.is_empty() || self.vindexes.first().is_some_and(|vindex| vindex.vindex.0.is_lookup())
    }
}

/// What REPLACE needs to find rows that are in the way on other shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replaces {
    /// So many of the last [`Insert::lookups`] are no vindexes but unique keys without the sharding key; the table's
    /// keys are only known when the statement runs.
    pub keys: usize,
}

/// What ON DUPLICATE KEY UPDATE needs to change rows on any shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upsert {
    /// The names of a row's values.
    pub columns: Vec<Box<str>>,
    /// Columns of vindexes that get another value than their own.
    pub changed: Vec<Box<str>>,
    /// As [`Replaces::keys`].
    pub keys: usize,
}

/// Where an INSERT's rows are.
#[derive(Clone, Debug, PartialEq)]
pub enum InsertRows {
    /// `SET a = 1, …`: one row; the whole statement is the template.
    Set {
        /// The statement, with [`super::Piece::Sequence`] where a generated value belongs.
        query: Template,
        /// Values of the columns that `vindexes` and `generated` refer to by position.
        values: Vec<RouteValue>,
        /// Positions of values that are no constants; there is something else in their place.
        opaque: Box<[u32]>,
    },
    /// `SELECT …`: the rows of a query, planned when it runs like any other.
    Select {
        /// The statement up to the query, then VALUES, with the column that is generated added as below.
        head: Box<[u8]>,
        /// The query.
        query: Template,
        /// What stands behind it.
        tail: Template,
        /// The query's last columns, one for each of these, are no values of the rows: ON DUPLICATE KEY UPDATE reads them. Each
        /// stands between the part of the tail before it and this one.
        behind_carried: Box<[Template]>,
        /// Values that each row must have; `None`: the server knows.
        columns: Option<u32>,
    },
    /// `VALUES (…), (…)`: `head`, then rows as they stand in the text, then the text behind the last row.
    Values {
        /// The statement up to and including VALUES, with the column that is generated added at the end of
        /// the list when it is missing; `None`: as it stands in the text.
        head: Option<Box<[u8]>>,
        /// Values that each row must have in the text.
        columns: Option<u32>,
    },
}

/// A lookup vindex of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertLookup {
    /// The vindex and its columns.
    pub vindex: InsertVindex,
    /// The statement keeps the lookup table; otherwise it only checks that the row belongs where the table says.
    pub is_owned: bool,
}

/// A vindex of the table and the positions of its columns in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertVindex {
    /// The vindex.
    pub vindex: VindexRef,
    /// The columns' names, for errors.
    pub columns: Vec<Box<str>>,
    /// Position of each column in a row's values; `None` is the generated column that the row lacks, or a column that
    /// gets its default.
    pub positions: Vec<Option<u32>>,
}

/// The reply to an INSERT tells the number of its last row even if the row brought it along, or if the row that has the
/// number was changed by ON DUPLICATE KEY UPDATE; `LAST_INSERT_ID()` is only about numbers that were generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldId {
    /// Where a row of VALUES has its value for the AUTO_INCREMENT column; `None`: nowhere, or the rows are no VALUES.
    pub position: Option<u32>,
    /// It has IGNORE: not every row is inserted.
    pub is_ignore: bool,
    /// It has ON DUPLICATE KEY UPDATE.
    pub is_upsert: bool,
}

/// A column that is filled from a sequence where a row has NULL, 0, DEFAULT or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The column.
    pub column: Box<str>,
    /// Its position in a row's values; `None`: added at the end of every row.
    pub position: Option<u32>,
    /// The keyspace of the sequence.
    pub keyspace: KeyspaceName,
    /// The sequence's table.
    pub sequence: Box<str>,
}
