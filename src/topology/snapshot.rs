//! The immutable state that a statement works on, from parse to last row.
//!
//! The one file of this room that knows the VSchema and the schemas.

use std::fmt;
use std::sync::Arc;

use super::Topology;
use crate::schema::Schemas;
use crate::vschema::VSchema;

/// VSchema, schemas and topology at one version. Whatever is derived from them (plans, above all) carries the
/// version.
#[derive(Clone)]
pub struct Snapshot {
    /// Grows by one with each change.
    pub version: u64,
    /// The version of the last change of VSchema or topology: the schemas change more often.
    pub epoch: u64,
    /// How tables are spread. Tables that are in the schemas have their columns from there.
    pub vschema: Arc<VSchema>,
    /// What the servers say about their tables.
    pub schemas: Arc<Schemas>,
    /// Where shards and servers are.
    pub topology: Arc<Topology>,
}

impl Snapshot {
    /// VSchema and topology at a version, when nothing is known from the servers.
    pub fn new(version: u64, vschema: Arc<VSchema>, topology: Arc<Topology>) -> Self {
        Self { version, epoch: version, vschema, schemas: Arc::default(), topology }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyspaces: Vec<_> = self.topology.keyspaces().iter().map(|keyspace| keyspace.name()).collect();
        f.debug_struct("Snapshot").field("version", &self.version).field("keyspaces", &keyspaces).finish()
    }
}
