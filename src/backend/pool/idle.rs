//! Connections that wait for their next use, in one list per worker.
//!
//! The most recently used one is taken first, so that the surplus grows old and expires. Each list has its
//! own lock, which only its worker and the rare thief touch.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::Needs;
use super::permits::lock;
use crate::backend::BackendConnection;
use crate::clock;

/// One unused connection.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: Box<BackendConnection>,
    pub(super) since: Instant,
}

/// All unused connections of a pool.
#[derive(Debug)]
pub(super) struct IdleLists {
    lists: Box<[List]>,
    count: AtomicUsize,
}

/// Aligned to cache lines, so that workers do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct List(Mutex<Vec<Idle>>);

impl IdleLists {
    pub(super) fn new(workers: usize) -> Self {
        let lists = (0..workers.max(1)).map(|_| List::default()).collect();
        Self { lists, count: AtomicUsize::new(0) }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Puts a connection into a worker's list.
    pub(super) fn put(&self, worker: usize, connection: Box<BackendConnection>) {
        let idle = Idle { connection, since: clock::recent() };
        self.count.fetch_add(1, Ordering::SeqCst);
        lock(&self.list(worker).0).push(idle);
    }

    /// Takes the best fitting connection of a worker's list: same flavor, if possible same settings.
    pub(super) fn take(&self, worker: usize, needs: &Needs) -> Option<Idle> {
        self.take_from(self.list(worker), needs)
    }

    /// Takes a fitting connection from any other worker's list.
    pub(super) fn steal(&self, worker: usize, needs: &Needs) -> Option<Idle> {
        let own = worker % self.lists.len();
        let others = self.lists.iter().enumerate().filter(|(index, _)| *index != own);
        others.map(|(_, list)| list).find_map(|list| self.take_from(list, needs))
    }

    /// Takes any connection, the one unused longest in its list, to make room for another flavor.
    pub(super) fn evict(&self) -> Option<Idle> {
        let taken = self.lists.iter().find_map(|List(list)| {
            let mut list = lock(list);
            (!list.is_empty()).then(|| list.remove(0))
        })?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(taken)
    }

    /// Takes out what `keep` refuses.
    pub(super) fn retain(&self, mut keep: impl FnMut(&mut Idle) -> bool) -> Vec<Idle> {
        let mut removed = Vec::new();
        for List(list) in &self.lists {
            let mut list = lock(list);
            removed.extend(list.extract_if(.., |idle| !keep(idle)));
        }
        self.count.fetch_sub(removed.len(), Ordering::SeqCst);
        removed
    }

    fn list(&self, worker: usize) -> &List {
        &self.lists[worker % self.lists.len()]
    }

    fn take_from(&self, List(list): &List, needs: &Needs) -> Option<Idle> {
        let mut list = lock(list);
        let mut fallback = None;
        let mut chosen = None;
        for (index, idle) in list.iter().enumerate().rev() {
            if idle.connection.flavor() != needs.flavor {
                continue;
            }
            if idle.connection.settings_hash() == needs.settings {
                chosen = Some(index);
                break;
            }
            fallback = fallback.or(Some(index));
        }
        let taken = list.remove(chosen.or(fallback)?);
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(taken)
    }
}
