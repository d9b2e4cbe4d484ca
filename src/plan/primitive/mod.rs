//! Primitives: the executable tree as plain data.
