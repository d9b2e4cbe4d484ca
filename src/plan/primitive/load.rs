//! LOAD DATA: the text for servers, and how a file's rows find their shards.

use super::{Insert, Query};
use crate::sql::statement::FileFormat;
use crate::topology::KeyspaceName;

/// A LOAD DATA statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The keyspace of the table.
    pub keyspace: KeyspaceName,
    /// The statement for servers. Where rows are looked at, without what the router does itself: the lines that are
    /// skipped are none, and a column that is generated comes first.
    pub query: Query,
    /// How rows are looked at; `None`: one server reads the file as it is.
    pub rows: Option<Box<LoadRows>>,
}

/// How the rows of a file find their shards.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadRows {
    /// The table's vindexes and sequence, with positions among the fields of a row. It has no rows of its own.
    pub insert: Insert,
    /// How the file is cut into rows and fields.
    pub format: FileFormat,
    /// Fields of a row.
    pub field_count: usize,
    /// Lines at the file's beginning that are no rows.
    pub skipped_lines: u64,
    /// The file's character set; `None`: the database's.
    pub charset: Option<Box<str>>,
    /// Fields whose values are looked at, in ascending order, with their columns' types.
    pub looked_at: Vec<LookedAt>,
    /// Columns that SET gives values to, which only servers know.
    pub assigned: Vec<Box<str>>,
}

/// A field whose value decides something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookedAt {
    /// Its position in a row.
    pub position: usize,
    /// Its column.
    pub column: Box<str>,
    /// What the column takes.
    pub takes: Takes,
}

/// What a column makes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Whole numbers.
    Integers,
    /// Something that has other texts than those that it was given: times, decimals.
    Other,
    /// The text as it is, up to so many characters; 0: nobody knows how many.
    Texts(u32),
    /// Nobody knows: the VSchema does not say.
    Unknown,
}
