//! The engine: runs primitives against small traits, without sockets or pools.
//!
//! Rows are text-protocol row packets; an operator decodes only the columns that it needs, and bytes of visible
//! columns are copied, never made anew, unless a value is combined. Shards' streams are polled concurrently in
//! the caller's task. What operators hold in memory is limited by [`crate::limits`].

mod aggregate;
mod arguments;
mod execute;
mod field;
mod file_rows;
mod insert;
mod join;
mod key;
mod keyed;
mod lookup;
mod render;
mod routing;
mod seam;
mod source;
mod stage;
mod text_keys;
mod write;

pub use arguments::{Arguments, value_of};
pub use execute::{Run, execute, execute_counting};
pub use field::{field_value, place_of_values};
pub use file_rows::{FieldValue, FileRow, FileRows, NextRow};
pub use insert::{InsertBatch, InsertSource, RowIds, UnknownValue, insert, literal_of, row_ids};
pub use keyed::{shard_index, shard_of, write_condition};
pub use lookup::{LookupEntry, LookupTable, owners};
pub use render::{RowCounts, SessionValues, render};
pub use routing::{FoundPlaces, ShardPart, Shards, resolve, resolve_with, values_to_find};
pub use seam::{ResultSink, RowStream, Sequences, ShardExecutor, ShardQuery, StreamEnd, WriteOutcome};
pub use write::{sum, write};

#[cfg(test)]
mod fake_shards;
#[cfg(test)]
mod tests;
