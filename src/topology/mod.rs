//! Cells, keyspaces, shards, key ranges and tablets; the immutable snapshot a statement works on.
//!
//! The vocabulary of every room. Pure: where a topology is stored is [`crate::store`]'s business, and whether
//! a tablet is alive is the gateway's. Follows Vitess's `topodata` messages and its `key` package in meaning.

mod destination;
mod file;
mod key_range;
mod keyspace;
mod keyspace_id;
mod name;
mod snapshot;
mod tablet;
mod target;

pub use destination::Destination;
pub use file::{KeyspaceFile, ShardFile, TabletFile, TopologyError, TopologyFile};
pub use key_range::{InvalidKeyRange, KeyRange};
pub use keyspace::{Keyspace, Shard, Topology};
pub use keyspace_id::{InvalidKeyspaceId, KeyspaceId};
pub use name::{CellName, KeyspaceName, ShardName};
pub use snapshot::Snapshot;
pub use tablet::{InvalidTabletAlias, Tablet, TabletAddress, TabletAlias, TabletType, TabletTypeNames};
pub use target::{TargetDestination, TargetString};
