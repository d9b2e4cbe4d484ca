//! Changes whose rows are read first: the rows' keys are selected over all shards, and each shard changes its own.
//!
//! What Vitess calls `DMLWithInput`. The key's columns are the table's affair and known only when the statement runs.

use std::fmt;
use std::sync::Arc;

use super::{Query, Route, RouteValue, Template};
use crate::topology::KeyspaceName;
use crate::vschema::Table;

/// An UPDATE or DELETE that selects its rows before it changes them.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFirst {
    /// The statement as a whole, for a server to look for mistakes in it; `None` if no server has all its tables.
    pub check: Option<Check>,
    /// `WITH …` in the client's own words.
    pub with: Template,
    /// Everything from the tables to LIMIT, in the client's own words.
    pub from: Template,
    /// Values that are read along with each row, in the client's own words.
    pub values: Vec<Template>,
    /// LIMIT, where it is a constant.
    pub limit: Option<RouteValue>,
    /// Rows are joined with others: one may be read several times.
    pub is_joined: bool,
    /// ORDER BY or LIMIT decides in which order rows are read.
    pub is_ordered: bool,
    /// Values assign variables that they read: they are evaluated row by row, in the order of the rows.
    pub in_sequence: bool,
    /// Where the statement goes as it is, if no row of it has to move; `None` if it never can.
    pub whole: Option<Box<Route>>,
    /// The tables that are changed, in the order of the statement.
    pub targets: Vec<Target>,
}

/// Text for a server to prepare.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Whose servers know the tables.
    pub keyspace: KeyspaceName,
    /// The whole statement.
    pub query: Query,
}

/// A table that is changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The table.
    pub table: TableRef,
    /// What the statement calls it.
    pub alias: Box<str>,
    /// What is done to its rows.
    pub change: Change,
}

/// What is done to rows whose keys are known.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// They are deleted.
    Delete {
        /// IGNORE and its like, with a blank behind.
        modifiers: Box<str>,
    },
    /// They are updated.
    Update(Box<Update>),
}

/// The update of rows whose keys are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// IGNORE and its like, with a blank behind.
    pub modifiers: Box<str>,
    /// `SET`, in the order of the statement.
    pub assignments: Vec<Assigned>,
    /// `ORDER BY …`, for servers; empty without one.
    pub order: Template,
    /// Columns of the primary vindex change: rows may have to move.
    pub moves: bool,
    /// The new values of the primary vindex's columns, where all are constants.
    pub new_key: Option<Vec<RouteValue>>,
}

impl Update {
    /// Do rows that cannot be changed stay as they are, with a warning?
    pub fn ignores(&self) -> bool {
        self.modifiers.contains("ignore")
    }
}

/// One column of SET.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// The column.
    pub column: Box<str>,
    /// What it becomes.
    pub value: AssignedValue,
    /// The same, read with the row before it changes: the index in [`ReadFirst::values`]. Only where rows may move.
    pub before: Option<u32>,
}

/// What a column becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum AssignedValue {
    /// An expression that the row's own server evaluates, in servers' words.
    Expression(Template),
    /// What was read with the row: the index in [`ReadFirst::values`].
    Read(u32),
}

/// A table of the plan's VSchema. Equal when the names are.
#[derive(Clone)]
pub struct TableRef(pub Arc<Table>);

impl PartialEq for TableRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.keyspace == other.0.keyspace && self.0.name == other.0.name
    }
}

impl fmt::Debug for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableRef({}.{})", self.0.keyspace, self.0.name)
    }
}
