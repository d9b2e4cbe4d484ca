//! Operators: what stands between a statement and its primitives while it is being planned.
//!
//! A statement that one shard can answer is a route at once. Otherwise its outermost SELECT becomes a
//! [`Horizon`]: select list, grouping, DISTINCT, ORDER BY and LIMIT above rows that each shard can make by
//! itself. The rules of [`crate::plan::rewrite`] push as much of it as possible into the shards' query, by
//! editing the text, and note what is left to do with their rows. Joins across shards will stand beside it.

mod horizon;
mod key;

pub(crate) use horizon::{AggregateParts, Horizon, Item};
pub(crate) use key::joined;
