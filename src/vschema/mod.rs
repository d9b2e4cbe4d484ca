//! VSchema: Vitess's JSON model, its validation, and name resolution.

pub mod vindex;

/// How the tables of every keyspace are spread.
#[derive(Debug, Default)]
pub struct VSchema {}
