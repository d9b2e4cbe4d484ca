//! Where a statement goes, and what happens there.

use std::fmt;
use std::sync::Arc;

use super::{Candidates, Finish, Gather, Primitive, Query, RouteValue};
use crate::topology::{KeyspaceId, KeyspaceName};
use crate::vschema::vindex::VindexDefinition;

/// A whole statement, at the shards that its routing gives.
///
/// When that is at most one shard, `query` is sent there and the reply is forwarded as it comes; nothing
/// else of the plan is looked at. Several shards: see [`Several`].
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The keyspace; `None` is the session's own, or any when it has none.
    pub keyspace: Option<KeyspaceName>,
    /// Which of its shards.
    pub routing: Routing,
    /// The whole statement, for one shard.
    pub query: Query,
    /// What to do when there are several.
    pub several: Several,
}

/// Which shards of a keyspace a statement concerns. Decided when it runs: arguments and topology count.
#[derive(Clone, Debug, PartialEq)]
pub enum Routing {
    /// Any one shard will do: reference tables, no tables at all.
    AnyShard,
    /// The shard of one value of a unique vindex.
    EqualUnique(Lookup),
    /// The shards of several values of a unique vindex.
    In(Lookup),
    /// The predicate can never be true: any one shard says so, with the right columns.
    None,
    /// The shard of this keyspace id (pinned tables).
    Pinned(KeyspaceId),
    /// Every group of tables must be on one and the same shard, otherwise the statement joins shards. The
    /// lookups of one group bind the same rows, so their shards are intersected.
    SameShard(Vec<Vec<Lookup>>),
    /// All shards.
    Scatter,
    /// Shards that every one of these lookups gives (`id = 5 and id in (5, 6)`).
    Intersect(Vec<Lookup>),
    /// System schema tables: any shard of the keyspace that the values name (by keyspace or database name),
    /// or of the session's keyspace.
    SystemSchema(Vec<Candidates>),
    /// The shards of any of these groups (parts of a UNION ALL), each group's lookups intersected.
    Union(Vec<Vec<Lookup>>),
    /// The only shard of an unsharded keyspace.
    Unsharded,
}

/// Values for the columns of a vindex.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// The vindex.
    pub vindex: VindexRef,
    /// What its columns are equal to.
    pub keys: Keys,
    /// A column is known to be a string. Servers compare it with a number as numbers, so that any string may be equal.
    pub is_text: bool,
}

/// How a [`Lookup`]'s values are given.
#[derive(Clone, Debug, PartialEq)]
pub enum Keys {
    /// Each column by itself, in the vindex's order; all combinations. May be a prefix of its columns.
    Columns(Vec<Candidates>),
    /// `LIKE 'abc%'`, for a vindex whose ids begin as its values do.
    Prefix(RouteValue),
    /// Between two values, both included; `None` is no bound. For a vindex whose ids have the order of its values.
    Range(Option<RouteValue>, Option<RouteValue>),
    /// Combinations as written: `(a, b) IN ((1, 2), (3, 4))`, in the vindex's order.
    Tuples(Vec<Vec<RouteValue>>),
}

/// A vindex of the plan's VSchema. Equal when the names are.
#[derive(Clone)]
pub struct VindexRef(pub Arc<VindexDefinition>);

/// What to do with the statement when its routing gives several shards.
#[derive(Clone, Debug, PartialEq)]
pub enum Several {
    /// Cannot happen.
    Never,
    /// Rows of the shards are combined by this tree; its leaf is [`Primitive::EachShard`].
    Combine(Box<Primitive>),
    /// Rows of the shards are combined, and a server does the rest.
    Finish(Box<Finish>),
    /// Rows of all tables are gathered at one server.
    Gather(Box<Gather>),
    /// Rows are read before they are changed.
    ReadFirst(Box<super::ReadFirst>),
    /// Cannot be done yet: the construct, for `VT12001`.
    Unsupported(Box<str>),
    /// A statement without rows: this query goes to each, affected rows are added up.
    Write(Query),
    /// A change that returns rows (`DELETE … RETURNING`): this query goes to each shard.
    WriteReturning {
        /// What goes to each.
        query: Query,
        /// It does the same on each shard: the rows are those of one.
        is_same: bool,
    },
    /// A statement without rows that does the same on each shard: affected rows are those of one.
    WriteSame(Query),
}

impl Several {
    /// Are rows of the shards combined, by a query of the router's making?
    pub fn is_combined(&self) -> bool {
        matches!(self, Self::Combine(_) | Self::Finish(_))
    }
}

impl VindexRef {
    /// The vindex's name in its keyspace.
    pub fn name(&self) -> &str {
        self.0.name()
    }
}

impl PartialEq for VindexRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.name() == other.name()
    }
}

impl fmt::Debug for VindexRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VindexRef({})", self.name())
    }
}

impl Lookup {
    /// Is it certainly one value of a unique vindex, which gives one shard?
    pub fn is_one_value(&self) -> bool {
        if !self.vindex.0.is_unique() {
            return false;
        }
        match &self.keys {
            Keys::Columns(columns) => {
                columns.len() == self.vindex.0.column_count() && columns.iter().all(Candidates::is_one)
            }
            Keys::Tuples(rows) => rows.len() == 1,
            Keys::Prefix(_) | Keys::Range(..) => false,
        }
    }

    /// Is a condition other than equality behind it, which only narrows the shards down?
    pub fn is_range(&self) -> bool {
        matches!(self.keys, Keys::Prefix(_) | Keys::Range(..))
    }
}

impl Lookup {
    /// Are its places kept in a table?
    pub fn asks_table(&self) -> bool {
        self.vindex.0.is_lookup()
    }
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.vindex.name())?;
        match &self.keys {
            Keys::Columns(columns) => {
                for (index, column) in columns.iter().enumerate() {
                    write!(f, "{}{column}", if index == 0 { "" } else { ", " })?;
                }
            }
            Keys::Prefix(pattern) => write!(f, "like {pattern}")?,
            Keys::Range(low, high) => {
                let show =
                    |bound: &Option<RouteValue>| bound.as_ref().map_or(String::new(), ToString::to_string);
                write!(f, "{}..{}", show(low), show(high))?;
            }
            Keys::Tuples(rows) => {
                for (index, row) in rows.iter().enumerate() {
                    f.write_str(if index == 0 { "(" } else { ", (" })?;
                    for (index, value) in row.iter().enumerate() {
                        write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                    }
                    f.write_str(")")?;
                }
            }
        }
        f.write_str(")")
    }
}

impl Routing {
    /// Gives it at most one shard, whatever the arguments and the topology are?
    pub fn is_single(&self) -> bool {
        match self {
            Self::AnyShard
            | Self::EqualUnique(_)
            | Self::None
            | Self::Pinned(_)
            | Self::SameShard(_)
            | Self::SystemSchema(_)
            | Self::Unsharded => true,
            Self::In(_) | Self::Scatter | Self::Union(_) => false,
            Self::Intersect(lookups) => lookups.iter().any(Lookup::is_one_value),
        }
    }

    /// Must tables be asked for places before the shards are known?
    pub fn asks_tables(&self) -> bool {
        match self {
            Self::EqualUnique(lookup) | Self::In(lookup) => lookup.asks_table(),
            Self::Intersect(lookups) => lookups.iter().any(Lookup::asks_table),
            Self::SameShard(groups) | Self::Union(groups) => groups.iter().flatten().any(Lookup::asks_table),
            Self::AnyShard
            | Self::None
            | Self::Pinned(_)
            | Self::Scatter
            | Self::SystemSchema(_)
            | Self::Unsharded => false,
        }
    }

    /// The lookups that tables must be asked for.
    pub fn table_lookups(&self) -> Vec<&Lookup> {
        let all: Vec<&Lookup> = match self {
            Self::EqualUnique(lookup) | Self::In(lookup) => vec![lookup],
            Self::Intersect(lookups) => lookups.iter().collect(),
            Self::SameShard(groups) | Self::Union(groups) => groups.iter().flatten().collect(),
            Self::AnyShard
            | Self::None
            | Self::Pinned(_)
            | Self::Scatter
            | Self::SystemSchema(_)
            | Self::Unsharded => Vec::new(),
        };
        all.into_iter().filter(|lookup| lookup.asks_table()).collect()
    }

    /// The routing's name in plans.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AnyShard => "AnyShard",
            Self::EqualUnique(_) => "EqualUnique",
            Self::In(_) => "In",
            Self::Intersect(_) => "Intersect",
            Self::None => "None",
            Self::Pinned(_) => "Pinned",
            Self::SameShard(_) => "SameShard",
            Self::Scatter => "Scatter",
            Self::SystemSchema(_) => "SystemSchema",
            Self::Union(_) => "Union",
            Self::Unsharded => "Unsharded",
        }
    }
}
