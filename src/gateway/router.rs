//! The gateway: follows the topology, keeps one [`TabletServer`] per tablet, and finds a connection for a
//! target.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::choice::{self, Candidate};
use super::health::{ServingState, TabletStatus};
use super::poller;
use super::server::{TabletServer, backend_address};
use super::target::Target;
use crate::backend::pool::{Needs, PoolOptions, PooledConnection};
use crate::backend::{ConnectOptions, Password, Tls};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::limits;
use crate::topology::{
    CellName, KeyspaceName, ShardName, Snapshot, Tablet, TabletAlias, TabletType, Topology,
};

/// What the gateway needs to know besides the topology.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// The router's own cell: replicas there are preferred.
    pub cell: CellName,
    /// Account on every server.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Encryption towards servers.
    pub tls: Tls,
    /// Limits of each tablet's pool.
    pub pool: PoolOptions,
}

/// Finds connections for targets. One per process; cheap to share.
#[derive(Debug)]
pub struct Gateway {
    options: GatewayOptions,
    snapshots: Arc<ArcSwap<Snapshot>>,
    table: ArcSwap<Table>,
    /// Held while the table is being replaced.
    replacing: Mutex<()>,
    /// Where pollers run: the runtime that the gateway was made on.
    runtime: Handle,
    follower: Mutex<Option<AbortHandle>>,
    turn: AtomicUsize,
}

/// A tablet in its present role, with its server.
#[derive(Clone, Debug)]
struct Entry {
    tablet: Arc<Tablet>,
    server: Arc<TabletServer>,
}

type Entries = SmallVec<[Entry; 2]>;

/// The tablet to begin with, if one is healthy.
type Chosen = Option<Arc<TabletServer>>;

/// What the topology says, in the form that a statement asks for it.
#[derive(Debug, Default)]
struct Table {
    topology: Arc<Topology>,
    shards: HashMap<KeyspaceName, HashMap<ShardName, Entries, RandomState>, RandomState>,
    servers: Vec<Arc<TabletServer>>,
}

impl Gateway {
    /// Starts to poll every tablet of the current snapshot, and to follow its changes. Must be called on the
    /// runtime that is to do the polling.
    pub fn new(snapshots: Arc<ArcSwap<Snapshot>>, options: GatewayOptions) -> Arc<Self> {
        let gateway = Arc::new(Self {
            options,
            snapshots,
            table: ArcSwap::default(),
            replacing: Mutex::default(),
            runtime: Handle::current(),
            follower: Mutex::default(),
            turn: AtomicUsize::new(0),
        });
        gateway.sync();
        let following = Arc::downgrade(&gateway);
        let follower = tokio::spawn(async move {
            loop {
                tokio::time::sleep(FOLLOW_INTERVAL).await;
                let Some(gateway) = following.upgrade() else { return };
                gateway.sync();
            }
        });
        *gateway.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(follower.abort_handle());
        gateway
    }

    /// Waits until every tablet has been polled once, but not longer than a second: then those who have not
    /// answered are on their way to NOT_SERVING.
    pub async fn ready(&self) {
        let deadline = Instant::now() + FIRST_POLLS_MAX;
        for server in &self.table.load_full().servers {
            server.wait_until_known(deadline).await;
        }
    }

    /// A connection to a healthy tablet of the target. Fails at once when there is none, and within two
    /// seconds in every case but one: waiting for a free connection of a busy pool has its own limit.
    /// Nothing of a statement has been sent when this fails.
    pub async fn acquire(&self, target: &Target, needs: &Needs) -> Result<PooledConnection> {
        match self.try_acquire(target, needs) {
            Ok(connection) => Ok(connection),
            Err(chosen) => Box::pin(self.acquire_slowly(target, needs, chosen)).await,
        }
    }

    /// The usual case: a healthy tablet whose pool has an unused connection. Otherwise the tablet that was chosen,
    /// whose turn it stays.
    fn try_acquire(&self, target: &Target, needs: &Needs) -> Result<PooledConnection, Chosen> {
        let table = self.table.load();
        let server = self.choose_healthy(&table, target, &[]).ok_or(None)?;
        server.pool.try_acquire(needs).ok_or_else(|| Some(server.clone()))
    }

    async fn acquire_slowly(
        &self,
        target: &Target,
        needs: &Needs,
        mut chosen: Chosen,
    ) -> Result<PooledConnection> {
        let retries_end = Instant::now() + RETRIES_END;
        let mut tried: SmallVec<[Arc<TabletServer>; 2]> = SmallVec::new();
        let mut last_error: Option<Error> = None;
        loop {
            let server = match chosen.take() {
                Some(server) => server,
                None => match self.choose(target, &tried).await {
                    Ok(server) => server,
                    // Those that were tried are out of the question; what was wrong with them says more.
                    Err(error) => return Err(last_error.map_or(error, |last| failed(target, &last))),
                },
            };
            let acquiring = server.pool.acquire(needs);
            let outcome = match &last_error {
                None => acquiring.await,
                Some(last) => match timeout_at(retries_end, acquiring).await {
                    Ok(outcome) => outcome,
                    Err(_) => return Err(failed(target, last)),
                },
            };
            let error = match outcome {
                Ok(connection) => return Ok(connection),
                Err(error) if error.retry() != Retry::FreshConnection => return Err(error),
                Err(error) => error,
            };
            server.poke.notify_one();
            tried.push(server);
            if tried.len() == ATTEMPTS_MAX || Instant::now() >= retries_end {
                return Err(failed(target, &error));
            }
            last_error = Some(error);
        }
    }

    /// Tells the gateway that a connection of this target turned out to be broken, so that its tablet is
    /// polled now.
    pub fn report_failure(&self, target: &Target) {
        for entry in entries_of(&self.table.load(), target) {
            entry.server.poke.notify_one();
        }
    }

    /// Every tablet and its health, by keyspace, shard, type and alias.
    pub fn tablets(&self) -> Vec<TabletStatus> {
        let mut tablets: Vec<_> = self.table.load().servers.iter().map(|server| server.status()).collect();
        tablets.sort_by(|a, b| {
            let key = |status: &TabletStatus| {
                let Tablet { keyspace, shard, tablet_type, alias, .. } = &*status.tablet;
                (keyspace.clone(), shard.clone(), *tablet_type, alias.clone())
            };
            key(a).cmp(&key(b))
        });
        tablets
    }

    /// Whether every shard has a primary that serves.
    pub fn is_healthy(&self) -> bool {
        let table = self.table.load();
        table.shards.values().flat_map(HashMap::values).all(|entries| {
            entries.iter().any(|Entry { tablet, server }| {
                tablet.tablet_type == TabletType::Primary && server.state() == ServingState::Serving
            })
        })
    }

    /// Takes over the current snapshot's topology now instead of at the follower's next look.
    pub fn sync(&self) {
        let snapshot = self.snapshots.load();
        if Arc::ptr_eq(&self.table.load().topology, &snapshot.topology) {
            return;
        }
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let topology = self.snapshots.load().topology.clone();
        let before = self.table.load_full();
        let table = self.build(&topology, &before);
        let removed: Vec<_> = before.servers.iter().filter(|old| !contains(&table.servers, old)).collect();
        for server in &removed {
            server.shut();
        }
        tracing::info!(tablets = table.servers.len(), removed = removed.len(), "topology taken over");
        self.table.store(Arc::new(table));
    }

    fn build(&self, topology: &Arc<Topology>, before: &Table) -> Table {
        let known: HashMap<TabletAlias, &Arc<TabletServer>> =
            before.servers.iter().map(|server| (server.tablet().alias.clone(), server)).collect();
        let mut table = Table { topology: topology.clone(), ..Table::default() };
        for keyspace in topology.keyspaces() {
            for shard in keyspace.all_shards() {
                let entry = |tablet: &Arc<Tablet>| Entry {
                    tablet: tablet.clone(),
                    server: self.server_for(tablet, keyspace.db_name(), &known),
                };
                let entries: Entries = shard.tablets().iter().map(entry).collect();
                table.servers.extend(entries.iter().map(|entry| entry.server.clone()));
                let shards = table.shards.entry(keyspace.name().clone()).or_default();
                shards.insert(shard.name().clone(), entries);
            }
        }
        table
    }

    /// The server of a tablet: the one that is known, if it is still the same server and database.
    fn server_for(
        &self,
        tablet: &Arc<Tablet>,
        db_name: &str,
        known: &HashMap<TabletAlias, &Arc<TabletServer>>,
    ) -> Arc<TabletServer> {
        let connect = self.connect_options(tablet, db_name);
        if let Some(server) = known.get(&tablet.alias) {
            let old = server.pool.connect_options();
            if old.address == connect.address
                && old.database == connect.database
                && old.label == connect.label
            {
                if *server.tablet() != **tablet {
                    server.set_tablet(tablet.clone());
                }
                return Arc::clone(server);
            }
        }
        let server = TabletServer::new(tablet.clone(), connect, self.options.pool.clone());
        let poller = self.runtime.spawn(poller::run(Arc::downgrade(&server)));
        server.set_poller(poller.abort_handle());
        server
    }

    fn connect_options(&self, tablet: &Tablet, db_name: &str) -> ConnectOptions {
        ConnectOptions {
            label: format!("tablet {} ({}/{})", tablet.alias, tablet.keyspace, tablet.shard),
            password: self.options.password.clone(),
            database: Some(db_name.to_owned()),
            tls: self.options.tls.clone(),
            ..ConnectOptions::new(backend_address(&tablet.address), self.options.user.clone())
        }
    }

    /// The tablet to try next.
    async fn choose(&self, target: &Target, tried: &[Arc<TabletServer>]) -> Result<Arc<TabletServer>> {
        let table = self.table.load();
        if let Some(server) = self.choose_healthy(&table, target, tried) {
            return Ok(server.clone());
        }
        drop(table);
        self.choose_slowly(target, tried).await
    }

    /// Nobody healthy: the topology may have changed, or polling may only just have begun.
    async fn choose_slowly(&self, target: &Target, tried: &[Arc<TabletServer>]) -> Result<Arc<TabletServer>> {
        self.sync();
        let table = self.table.load_full();
        let deadline = Instant::now() + FIRST_POLLS_MAX;
        for Entry { server, .. } in entries_of(&table, target) {
            server.wait_until_known(deadline).await;
        }
        match self.choose_healthy(&table, target, tried) {
            Some(server) => Ok(server.clone()),
            None => Err(self.nobody_healthy(&table, target)),
        }
    }

    fn choose_healthy<'t>(
        &self,
        table: &'t Table,
        target: &'t Target,
        tried: &[Arc<TabletServer>],
    ) -> Option<&'t Arc<TabletServer>> {
        let is_candidate =
            |entry: &&Entry| entry.server.state() == ServingState::Serving && !contains(tried, &entry.server);
        let mut healthy = entries_of(table, target).filter(is_candidate);
        if target.tablet_type == TabletType::Primary {
            let first = healthy.next()?;
            let Some(second) = healthy.next() else { return Some(&first.server) };
            // Two primaries in the topology: the one that takes writes is meant.
            let is_writable = |entry: &&Entry| entry.server.health().read_only == Some(false);
            let writable = [first, second].into_iter().chain(healthy).find(is_writable);
            return Some(&writable.unwrap_or(first).server);
        }
        let healthy: SmallVec<[&Entry; 4]> = healthy.collect();
        let candidate = |(index, Entry { tablet, server }): (usize, &&Entry)| Candidate {
            index,
            lag: server.lag(),
            in_use: server.pool.in_use(),
            is_local: tablet.alias.cell == self.options.cell,
        };
        let candidates: SmallVec<[Candidate; 8]> = healthy.iter().enumerate().map(candidate).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        choice::choose(&candidates, turn).map(|index| &healthy[index].server)
    }

    fn nobody_healthy(&self, table: &Table, target: &Target) -> Error {
        let reasons: Vec<String> = entries_of(table, target)
            .map(|Entry { server, .. }| {
                let reason = &server.health().reason;
                match server.lag().filter(|_| server.state() == ServingState::Serving) {
                    Some(lag) => format!("{} is {} s behind", server.tablet().alias, lag.as_secs()),
                    None => poller::not_serving(server, reason),
                }
            })
            .collect();
        if reasons.is_empty() {
            return no_healthy_tablet(target, "the topology has none");
        }
        no_healthy_tablet(target, &reasons.join("; "))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take() {
            follower.abort();
        }
    }
}

/// Time between looks for a new topology.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// Longest wait for the first poll of a tablet.
const FIRST_POLLS_MAX: Duration = Duration::from_secs(1);

/// Tablets that one acquire tries (Vitess's `retry-count` 2).
const ATTEMPTS_MAX: usize = 3;

/// No tablet is tried later than this after the first: an acquire must not take two seconds.
const RETRIES_END: Duration = Duration::from_millis(1_800);

const _: () = assert!(limits::BACKEND_CONNECT_TIMEOUT.as_millis() < RETRIES_END.as_millis());

fn contains(servers: &[Arc<TabletServer>], server: &Arc<TabletServer>) -> bool {
    servers.iter().any(|other| Arc::ptr_eq(other, server))
}

fn entries_of<'a>(table: &'a Table, target: &'a Target) -> impl Iterator<Item = &'a Entry> {
    let shards = table.shards.get(&target.keyspace);
    let entries = shards.and_then(|shards| shards.get(&target.shard));
    entries.into_iter().flatten().filter(|Entry { tablet, .. }| {
        tablet.tablet_type == target.tablet_type
            && target.alias.as_ref().is_none_or(|alias| *alias == tablet.alias)
    })
}

/// A target for which every attempt to connect failed.
fn failed(target: &Target, error: &Error) -> Error {
    no_healthy_tablet(target, &String::from_utf8_lossy(error.message()))
}

fn no_healthy_tablet(target: &Target, why: &str) -> Error {
    let code = ErrorKind::NoHealthyTablet.code().unwrap_or_default();
    let why = why.strip_prefix(code).unwrap_or(why);
    Error::new(ErrorKind::NoHealthyTablet, format!("no healthy tablet available for '{target}': {why}"))
        .with_retry(Retry::FreshConnection)
}
