//! Cells, keyspaces, shards, key ranges and tablets; the immutable snapshot a statement works on.
