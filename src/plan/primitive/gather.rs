//! Gather and delegate: rows of each table reference are gathered into a temporary table on one server, and that
//! server evaluates the rest of the statement there.

use super::{Routing, Several, Template, VindexRef};
use crate::topology::KeyspaceName;

/// A query that no shard can answer alone, and that the router leaves to one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// The keyspace on one of whose shards the query is evaluated.
    pub host: KeyspaceName,
    /// One for each table reference in `query`, named by [`super::Piece::Gathered`].
    pub inputs: Vec<GatherInput>,
    /// The whole statement over the temporary tables.
    pub query: Template,
    /// Arguments stand more than once in `query`: it cannot be prepared with the client's parameters.
    pub repeats_arguments: bool,
    /// Why the statement is not run in a cheaper way.
    pub reason: Box<str>,
    /// How the router can join the tables without gathering them, if what their columns turn out to be allows it: a
    /// [`Several::Combine`] or [`Several::Finish`] over a [`super::Join`].
    pub joined: Option<Box<Several>>,
}

/// One table reference.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherInput {
    /// The table's keyspace.
    pub keyspace: KeyspaceName,
    /// The table.
    pub table: Box<str>,
    /// What the statement calls it.
    pub alias: Box<str>,
    /// Each shard of the keyspace has all of its rows, or there is one shard only: where the query is evaluated in
    /// that keyspace, the table can be read as it is.
    pub is_everywhere: bool,
    /// The columns that the statement may mention, in lower case, some of which other tables have; `None` is all.
    pub columns: Option<Vec<Box<str>>>,
    /// Conditions on its rows.
    pub filters: Vec<GatherFilter>,
    /// Equalities with columns of other inputs: only rows with a value of theirs are needed.
    pub reducers: Vec<GatherReducer>,
    /// Other inputs of the same FROM clause: a name that one of them has as well is not certainly this one's.
    pub rivals: Vec<u32>,
    /// Where its rows are, as far as the filters say.
    pub routing: Routing,
    /// `PARTITION (…)` behind its name, or nothing.
    pub partitions: Box<str>,
    /// `FOR UPDATE` or the like, or nothing.
    pub lock: Box<str>,
}

/// An equality that all needed rows satisfy with some row of another input.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherReducer {
    /// The column, in lower case.
    pub column: Box<str>,
    /// The other input.
    pub other: u32,
    /// Its column, in lower case.
    pub other_column: Box<str>,
    /// The vindex by which the column alone decides the shard.
    pub vindex: Option<VindexRef>,
}

/// A condition that only rows of one input decide.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherFilter {
    /// The condition.
    pub text: Template,
    /// Columns that it names, in lower case; when the table does not have them, it is the server's to complain.
    pub columns: Vec<Box<str>>,
    /// All of them are qualified by the input's alias.
    pub is_qualified: bool,
}
