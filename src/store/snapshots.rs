//! The current snapshot, read by everybody, replaced by the store and by those who follow the servers' schemas.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::StoreError;
use crate::schema::Schemas;
use crate::topology::{Snapshot, Topology};
use crate::vschema::VSchema;

/// Holds the current snapshot. Reading it takes no lock.
#[derive(Debug)]
pub struct Snapshots {
    current: Arc<ArcSwap<Snapshot>>,
    /// The VSchema as it is stored, without what the schemas add. Locked while a snapshot is being replaced.
    stored: Mutex<Arc<VSchema>>,
    error: ArcSwapOption<StoreError>,
    version: watch::Sender<u64>,
}

impl Snapshots {
    /// Begins with this snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        let (version, _) = watch::channel(snapshot.version);
        Self {
            stored: Mutex::new(snapshot.vschema.clone()),
            current: Arc::new(ArcSwap::from_pointee(snapshot)),
            error: ArcSwapOption::empty(),
            version,
        }
    }

    /// The current snapshot. A statement takes it once and keeps it to its end.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The place where the current snapshot always is, for those who follow it.
    pub fn shared(&self) -> Arc<ArcSwap<Snapshot>> {
        self.current.clone()
    }

    /// The current snapshot without counting a reference, for short looks.
    pub fn peek(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Tells versions as they come.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Why the last change was not taken over; `None` when all is well.
    pub fn last_error(&self) -> Option<Arc<StoreError>> {
        self.error.load_full()
    }

    /// Takes over a new state, as the next version, which is returned. Only the store calls this.
    pub(super) fn replace(&self, vschema: Arc<VSchema>, topology: Arc<Topology>) -> u64 {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        *stored = vschema;
        let schemas = self.current.load().schemas.only(|keyspace| topology.keyspace(keyspace).is_some());
        let epoch = self.current.load().version + 1;
        let version = self.publish(epoch, &stored, Arc::new(schemas), topology);
        self.error.store(None);
        version
    }

    /// Takes over what has been read from servers, as the next version, which is returned. `change` is given what
    /// is known and answers with what is known now; `None`: nothing new.
    pub fn update_schemas(&self, change: impl FnOnce(&Snapshot) -> Option<Schemas>) -> Option<u64> {
        let stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load();
        let schemas = change(&current)?;
        Some(self.publish(current.epoch, &stored, Arc::new(schemas), current.topology.clone()))
    }

    /// Called with the lock held.
    fn publish(
        &self,
        epoch: u64,
        stored: &Arc<VSchema>,
        schemas: Arc<Schemas>,
        topology: Arc<Topology>,
    ) -> u64 {
        let version = self.current.load().version + 1;
        let vschema = match schemas.iter().next() {
            Some(_) => Arc::new(schemas.complete(stored)),
            None => stored.clone(),
        };
        self.current.store(Arc::new(Snapshot { version, epoch, vschema, schemas, topology }));
        self.version.send_replace(version);
        version
    }

    pub(super) fn set_error(&self, error: Option<StoreError>) {
        self.error.store(error.map(Arc::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Relation, Schema};
    use crate::topology::{TabletType, TopologyFile};
    use crate::vschema::model::Model;
    use crate::vschema::vindex::no_files;

    #[test]
    fn versions_grow_and_errors_go_with_success() {
        let snapshots = Snapshots::new(Snapshot::new(1, Arc::default(), Arc::default()));
        let mut versions = snapshots.subscribe();
        assert!(!versions.has_changed().unwrap());
        snapshots.set_error(Some(StoreError { file: "f".into(), reason: "bad".into() }));
        assert_eq!(snapshots.last_error().unwrap().to_string(), "f: bad");
        let old = snapshots.current();
        assert_eq!(snapshots.replace(Arc::default(), Arc::default()), 2);
        assert_eq!((old.version, snapshots.peek().version), (1, 2));
        assert_eq!(*versions.borrow_and_update(), 2);
        assert!(snapshots.last_error().is_none());
    }

    #[test]
    fn schemas_complete_the_stored_vschema_and_outlive_it() {
        let topology = TopologyFile::parse(r#"{"keyspaces": {"u": {"shards": {"0": {}}}}}"#).unwrap();
        let topology = Arc::new(topology.build().unwrap());
        let vschema = |name: &str| {
            let text = format!(r#"{{"keyspaces": {{"u": {{"tables": {{"{name}": {{}}}}}}}}}}"#);
            Arc::new(VSchema::build(Model::parse(&text, &mut Vec::new()).unwrap(), &no_files))
        };
        let snapshots = Snapshots::new(Snapshot::new(1, vschema("a"), topology.clone()));
        let columns_of = |name: &str| {
            let snapshot = snapshots.current();
            let found = snapshot.vschema.find_table(Some("u"), name, TabletType::Primary).unwrap();
            found.columns.len()
        };
        let relation = |name: &str, columns: &[&str]| Relation {
            columns: columns.iter().map(|name| Column::new(name, "int", "int")).collect(),
            ..Relation::new(name)
        };
        let learn = |columns: &[&str]| {
            let schema = Schema::new([relation("a", columns), relation("b", &["y"])], None);
            snapshots.update_schemas(|known| Some(known.schemas.with("u".into(), Arc::new(schema))))
        };
        assert_eq!(learn(&["x"]), Some(2));
        assert_eq!(snapshots.update_schemas(|_| None), None);
        assert_eq!((columns_of("a"), columns_of("b")), (1, 1));
        assert_eq!(learn(&["x", "z"]), Some(3));
        assert_eq!((columns_of("a"), columns_of("b")), (2, 1));
        assert_eq!((snapshots.current().version, snapshots.current().epoch), (3, 1));
        assert_eq!(snapshots.replace(vschema("b"), topology), 4);
        assert_eq!((snapshots.current().version, snapshots.current().epoch), (4, 4));
        assert_eq!((columns_of("a"), columns_of("b")), (2, 1));
        // A keyspace that is gone is forgotten.
        assert_eq!(snapshots.replace(vschema("b"), Arc::default()), 5);
        assert_eq!((columns_of("b"), snapshots.current().schemas.iter().count()), (0, 0));
    }
}
