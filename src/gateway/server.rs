//! One tablet at run time: its pool, its health, and the task that polls it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::health::{Health, ServingState, TabletStatus};
use crate::backend::pool::{PoolOptions, TabletPool};
use crate::backend::{BackendAddress, ConnectOptions};
use crate::topology::{Tablet, TabletAddress};

/// A tablet with everything that outlives a change of its role.
#[derive(Debug)]
pub(super) struct TabletServer {
    tablet: ArcSwap<Tablet>,
    pub(super) pool: TabletPool,
    /// The state alone, for the hot path.
    state: AtomicU8,
    health: ArcSwap<Health>,
    changes: watch::Sender<ServingState>,
    /// Asks the poller to poll now.
    pub(super) poke: Notify,
    poller: std::sync::OnceLock<AbortHandle>,
}

impl TabletServer {
    pub(super) fn new(tablet: Arc<Tablet>, connect: ConnectOptions, pool: PoolOptions) -> Arc<Self> {
        Arc::new(Self {
            tablet: ArcSwap::new(tablet),
            pool: TabletPool::new(Arc::new(connect), pool),
            state: AtomicU8::new(ServingState::Unknown as u8),
            health: ArcSwap::from_pointee(Health::unknown()),
            changes: watch::Sender::new(ServingState::Unknown),
            poke: Notify::new(),
            poller: std::sync::OnceLock::new(),
        })
    }

    /// Keeps the poller's task, to be ended with the tablet.
    pub(super) fn set_poller(&self, poller: AbortHandle) {
        if let Err(second) = self.poller.set(poller) {
            second.abort();
        }
    }

    pub(super) fn tablet(&self) -> Arc<Tablet> {
        self.tablet.load_full()
    }

    /// Takes over a changed description of the same server: another role, mostly.
    pub(super) fn set_tablet(&self, tablet: Arc<Tablet>) {
        self.tablet.store(tablet);
        self.poke.notify_one();
    }

    pub(super) fn state(&self) -> ServingState {
        match self.state.load(Ordering::Acquire) {
            1 => ServingState::Serving,
            2 => ServingState::NotServing,
            _ => ServingState::Unknown,
        }
    }

    pub(super) fn health(&self) -> Arc<Health> {
        self.health.load_full()
    }

    pub(super) fn set_health(&self, health: Health) {
        let state = health.state;
        self.health.store(Arc::new(health));
        self.state.store(state as u8, Ordering::Release);
        self.changes.send_replace(state);
    }

    /// Waits until the first poll has ended, or until `deadline`.
    pub(super) async fn wait_until_known(&self, deadline: Instant) {
        let mut changes = self.changes.subscribe();
        let known = changes.wait_for(|state| *state != ServingState::Unknown);
        // Running into the deadline means that the caller goes on without knowing.
        let _ = tokio::time::timeout_at(deadline, known).await;
    }

    pub(super) fn lag(&self) -> Option<Duration> {
        self.health.load().lag.map(|lag| lag.estimate(Instant::now()))
    }

    pub(super) fn status(&self) -> TabletStatus {
        let health = self.health();
        TabletStatus {
            tablet: self.tablet(),
            state: health.state,
            reason: health.reason.clone(),
            since: health.since,
            read_only: health.read_only,
            replication_lag: health.lag.map(|lag| lag.estimate(Instant::now())),
            replication: health.replication.clone(),
            version: health.version.clone(),
            pool: self.pool.stats(),
        }
    }

    /// Ends polling and closes the pool: the tablet has left the topology.
    pub(super) fn shut(&self) {
        if let Some(poller) = self.poller.get() {
            poller.abort();
        }
        self.pool.close();
    }
}

impl Drop for TabletServer {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Where a tablet's server listens.
pub(super) fn backend_address(address: &TabletAddress) -> BackendAddress {
    match address {
        TabletAddress::Tcp { hostname, port } => BackendAddress::Tcp { host: hostname.clone(), port: *port },
        TabletAddress::Unix(path) => BackendAddress::Unix(path.clone()),
    }
}
