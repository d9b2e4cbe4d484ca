//! Shardgate: a MySQL-protocol query router that talks directly to MySQL and MariaDB servers.
//!
//! Modules are listed in reading order, lowest layer first; `tests/tidy.rs` holds the table of who may
//! use whom. `ARCHITECTURE.md` has the map.

// Vocabulary: may be used by every room.
pub mod clock;
pub mod config;
pub mod error;
pub mod limits;
pub mod metrics;

// Layers 0 and 1: pure. No I/O, no clock, no async.
pub mod schema;
pub mod sql;
pub mod topology;
pub mod value;
pub mod vschema;
pub mod wire;

// Layer 2: planning. Pure and deterministic.
pub mod plan;

// Layer 3: running plans against small traits; byte transports.
pub mod engine;
pub mod net;

// Layer 4: reaching MySQL servers, and where topology is stored.
pub mod backend;
pub mod gateway;
pub mod store;
pub mod tracker;
pub mod twopc;

// Layer 5: one client's conversation.
pub mod executor;
pub mod server;
pub mod session;

// Layer 6: the edges.
pub mod admin;
pub mod cli;
pub mod control;
pub mod local;
pub mod router;
