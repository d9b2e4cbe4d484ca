//! VSchema: Vitess's JSON model, its validation, and name resolution.

pub mod vindex;
