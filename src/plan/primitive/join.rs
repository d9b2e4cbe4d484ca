//! Tables whose rows meet on no shard, joined by the router: few round trips, whatever the number of rows is.
//!
//! The rows of one table are read first; of the other one only those with values of theirs, as one `IN (…)` for each
//! shard and batch. Rows meet in a hash table. The first of both may be a join itself, so any number of tables is joined
//! one after the other.

use super::{Routing, Template, VindexRef};
use crate::topology::KeyspaceName;

/// A join by equality. It stands in the place of an [`super::EachShard`]; its rows come in no order.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The one that is read first, and the other one, which is never a join.
    pub sides: [JoinSide; 2],
    /// The columns of a joined row.
    pub columns: Vec<JoinedColumn>,
    /// How many of them, at the end, are helpers.
    pub helpers: u32,
    /// For each of `columns` the name that it gets; `None`: the one that its side's query gives it.
    pub names: Vec<Option<Box<str>>>,
    /// Whose rows all stay, if it is an outer join.
    pub kept: Option<KeptSide>,
    /// The side of which only counts whether it has a row: rows of the other one are shown once.
    pub exists: Option<u8>,
    /// Where among the keys those of each pair of text columns begin. They are four: the bytes of the value, by which the
    /// other side is asked, its weights, the weight of a space where the collation ignores spaces at the end, and the
    /// collation, which must be the same for all rows. Rows meet by the weights.
    pub text_keys: Vec<usize>,
    /// Keys must be NOT NULL on both sides: otherwise a NULL among them decides about rows that it does not meet.
    pub needs_not_null: bool,
    /// Columns that [`JoinedColumn::Rest`] leaves out, because they are named one by one.
    pub merged: Vec<Box<str>>,
    /// A query without rows whose columns are described as the statement's are, for a shard of the first side's keyspace.
    pub description: Option<Template>,
}

/// The side of an outer join all of whose rows stay.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptSide {
    /// Which of the two.
    pub side: u8,
    /// The other side's query for the one row of NULLs that meets what nothing else meets; any shard of its keyspace can
    /// be asked.
    pub nulls: Template,
}

/// One side of a [`Join`].
#[derive(Clone, Debug, PartialEq)]
pub struct JoinSide {
    /// Where its rows come from. The first columns are those of `keys`; if rows stand for groups, the next one is the
    /// number of rows that a group stands for; if there is a flag, it comes next.
    pub rows: JoinRows,
    /// A condition, 0 or 1. Only rows of a kept side that satisfy it meet others; of the other side only such rows are
    /// shown.
    pub has_flag: bool,
    /// What equals that of the other side, as SQL.
    pub keys: Vec<Box<str>>,
}

/// Where the rows of a [`JoinSide`] come from.
#[derive(Clone, Debug, PartialEq)]
pub enum JoinRows {
    /// Another join. It has no helpers and no names.
    Joined(Box<Join>),
    /// A query at shards.
    Query(JoinQuery),
}

/// A query for the rows of tables of one keyspace that meet on its shards.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinQuery {
    /// The keyspace.
    pub keyspace: KeyspaceName,
    /// Where the rows are, as far as their own conditions say.
    pub routing: Routing,
    /// The query, up to where a condition can be added.
    pub head: Template,
    /// `GROUP BY …`: joined rows stand for as many rows as both groups make together.
    pub tail: Option<Template>,
    /// The key whose values are asked for, and the vindex by which it alone decides the shard.
    pub asked: (usize, Option<VindexRef>),
    /// The column of that key.
    pub asked_column: Box<str>,
}

/// A column of a joined row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinedColumn {
    /// A column of one side, counted behind the leading ones.
    One {
        /// The side.
        side: u8,
        /// The column.
        column: u32,
        /// It is a count or a sum over a group, for each row of the other side's group.
        is_multiplied: bool,
    },
    /// All columns that the side has behind those that are named one by one.
    Rest {
        /// The side.
        side: u8,
    },
    /// The number of rows that a joined row stands for.
    Weight,
}

impl Join {
    /// Do rows stand for groups?
    pub fn is_grouped(&self) -> bool {
        match &self.sides[0].rows {
            JoinRows::Joined(join) => join.is_grouped(),
            JoinRows::Query(query) => query.tail.is_some(),
        }
    }

    /// The query of a side; of a side that is a join the first one.
    pub fn query(&self, side: usize) -> &JoinQuery {
        let mut rows = &self.sides[side].rows;
        loop {
            match rows {
                JoinRows::Joined(join) => rows = &join.sides[0].rows,
                JoinRows::Query(query) => return query,
            }
        }
    }

    /// Is the second side asked only for rows with values of the first?
    pub fn asks_by_values(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.side == 0)
    }

    /// How many columns of a side come before those that make joined rows.
    pub fn leading_columns(&self, side: usize) -> usize {
        let side = &self.sides[side];
        side.keys.len() + usize::from(self.is_grouped()) + usize::from(side.has_flag)
    }

    /// How many columns of a side are named one by one.
    pub fn named_columns(&self, side: usize) -> usize {
        let of_side = |column: &&JoinedColumn| match column {
            JoinedColumn::One { side: own, .. } => usize::from(*own) == side,
            JoinedColumn::Rest { .. } | JoinedColumn::Weight => false,
        };
        self.columns.iter().filter(of_side).count()
    }
}
