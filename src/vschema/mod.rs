//! VSchema: Vitess's JSON model, its validation, and what names mean.
//!
//! Files written for Vitess load unchanged. Pure: text comes in, a [`VSchema`] comes out; where the text is kept
//! is [`crate::store`]'s business, and which shards exist is the topology's.

mod build;
mod column_type;
pub mod fuzzing;
pub mod model;
mod resolve;
mod schema;
mod table;
pub mod vindex;

pub use column_type::ColumnType;
pub use resolve::ResolvedTable;
pub use schema::{ColumnsOfTables, KeyspaceSchema, Mirror, VSchema};
pub use table::{
    AutoIncrement, Column, ColumnName, ColumnVindex, QualifiedTable, Table, TableKind, TableName,
};
