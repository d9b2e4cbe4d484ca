//! Planning: from a parsed statement and a VSchema to a plan, which is a plain value.

pub mod primitive;
