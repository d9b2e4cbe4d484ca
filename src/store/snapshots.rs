//! The current snapshot, read by everybody, replaced by the store.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::StoreError;
use crate::topology::{Snapshot, Topology};
use crate::vschema::VSchema;

/// Holds the current snapshot. Reading it takes no lock.
#[derive(Debug)]
pub struct Snapshots {
    current: Arc<ArcSwap<Snapshot>>,
    error: ArcSwapOption<StoreError>,
    version: watch::Sender<u64>,
}

impl Snapshots {
    /// Begins with this snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        let (version, _) = watch::channel(snapshot.version);
        Self { current: Arc::new(ArcSwap::from_pointee(snapshot)), error: ArcSwapOption::empty(), version }
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
        let version = self.current.load().version + 1;
        self.current.store(Arc::new(Snapshot::new(version, vschema, topology)));
        self.error.store(None);
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
}
