//! Primitives: the executable tree as plain data.
//!
//! A primitive says what is done, never how: [`crate::engine`] interprets it. Every primitive is comparable
//! and printable, so golden tests need no engine. Follows Vitess's engine primitives in meaning.

mod column;
mod combine;
mod finish;
mod gather;
mod insert;
mod join;
mod load;
mod query;
mod read_first;
mod route;
mod value;

pub use column::{ColumnRef, SortKey};
pub use combine::{
    Aggregate, AggregateColumn, AggregateFunction, Comparison, Condition, Distinct, EachShard, Filter, Limit,
    MergeSort, Predicate, Sort, Truncate,
};
pub use finish::Finish;
pub use gather::{Gather, GatherFilter, GatherInput, GatherReducer};
pub use insert::{Generated, Insert, InsertLookup, InsertRows, InsertVindex, Replaces, ToldId, Upsert};
pub use join::{Join, JoinQuery, JoinRows, JoinSide, JoinedColumn, KeptSide};
pub use load::{Load, LoadRows, LookedAt, Takes};
pub use query::{Piece, Query, SessionValue, Template};
pub use read_first::{Assigned, AssignedValue, Change, Check, ReadFirst, TableRef, Target, Update};
pub use route::{Keys, Lookup, Route, Routing, Several, VindexRef};
pub use value::{Candidates, RouteList, RouteValue};

/// A node of the executable tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Primitive {
    /// Combines sorted rows of equal groups.
    Aggregate(Aggregate),
    /// Removes repeated rows.
    Distinct(Distinct),
    /// Sends a query to every shard of the enclosing route; rows come in any order.
    EachShard(EachShard),
    /// Keeps the rows that satisfy conditions.
    Filter(Filter),
    /// Gathers rows of all tables at one server, which evaluates the statement.
    Gather(Gather),
    /// Sends the rows of an INSERT or REPLACE to their shards.
    Insert(Insert),
    /// Joins tables whose rows meet on no shard.
    Join(Box<Join>),
    /// Skips and counts rows.
    Limit(Limit),
    /// Merges the shards' sorted streams.
    MergeSort(MergeSort),
    /// Reads the rows of an UPDATE or DELETE before it changes them.
    ReadFirst(Box<ReadFirst>),
    /// The whole statement at the shards that a routing gives.
    Route(Route),
    /// Sorts in memory.
    Sort(Sort),
    /// Drops helper columns.
    Truncate(Truncate),
}
