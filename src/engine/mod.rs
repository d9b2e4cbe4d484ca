//! The engine: runs primitives against small traits, without sockets or pools.
