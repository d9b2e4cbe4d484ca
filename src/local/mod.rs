//! A local cluster of real database servers: one process per tablet, with GTID replication.
//!
//! The demo, the tests and the benchmarks share it. It blocks (plain threads, no async): call it before a
//! runtime starts or from `spawn_blocking`. It knows nothing of the router: what it hands over is files
//! (`shardgate.toml`, `topology.json`, `users.json`, `vschema/`) and the addresses of the servers.

mod client;
mod cluster;
mod datadir;
pub mod demo;
mod engine;
mod error;
mod files;
mod ports;
mod progress;
mod replication;
mod server;
mod spec;
mod state;
mod supervisor;

pub use client::SqlClient;
pub use cluster::{Cluster, PlainServer, TabletHandle};
pub use datadir::Credentials;
pub use engine::{Engine, EngineChoice, Installation};
pub use error::Error;
pub use files::ListenAddresses;
pub use progress::{Bar, Lines, Progress, Silent};
pub use spec::{ClusterSpec, Durability, KeyspaceSpec, ServerSpec, ShardSpec, TabletSpec};

/// Result of this room.
pub type Result<T> = std::result::Result<T, Error>;
