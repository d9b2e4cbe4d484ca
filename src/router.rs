//! The running router: from a [`Config`] to open listeners, and back down again.
//!
//! Everything is passed along explicitly; nothing here is global, so several routers can run in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::backend::pool::PoolOptions;
use crate::backend::{Password, Tls, TlsMode};
use crate::config::{BackendTls, Config, StoreKind, TransactionMode};
use crate::control::Control;
use crate::executor::{Executor, ExecutorOptions, GatherLimits, TransactionTimeouts};
use crate::gateway::{Gateway, GatewayOptions};
use crate::limits;
use crate::metrics::Metrics;
use crate::net::SpoolSpace;
use crate::server::{Options, Parts, Registry, Server, UserStore, Workers};
use crate::session::settings::IdleLimits;
use crate::session::transaction::Mode;
use crate::store::Snapshots;
use crate::store::file::{FilePaths, FileStore};
use crate::tracker::Tracker;
use crate::twopc::{self, Faults, Resolver, ResolverTask};

/// Why a router did not start: which part, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// A router that accepts connections as soon as it runs.
pub struct Router {
    server: Server<Executor>,
    http: Option<(Admin, TcpListener)>,
    control: Option<(Control, TcpListener)>,
    store: FileStore,
    users: Arc<UserStore>,
    gateway: Arc<Gateway>,
    tracker: Arc<Tracker>,
    resolver: ResolverTask,
}

impl Router {
    /// Reads the cluster's files, starts to poll its servers, and binds the listeners.
    ///
    /// # Errors
    /// Names the file, address or key that is to blame.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let store = open_store(config)?;
        let users = UserStore::from_file(&config.mysql.users).map_err(StartError)?;
        let users = Arc::new(users);
        let metrics = Arc::new(Metrics::new());
        let registry = Arc::new(Registry::new());
        let workers =
            Workers::start(config.workers).map_err(|error| StartError(format!("worker threads: {error}")))?;
        let workers = Arc::new(workers);
        let gateway = Gateway::new(store.snapshots().shared(), gateway_options(config, workers.all().len())?);
        let tracker = Arc::new(Tracker::new(store.snapshots().clone(), gateway.clone(), &metrics));
        let (resolver, resolver_task) =
            Resolver::new(gateway.clone(), store.snapshots().shared(), resolver_options(config));
        let executor = Arc::new(Executor::new(
            store.snapshots().shared(),
            gateway.clone(),
            tracker.clone(),
            registry.clone(),
            resolver.clone(),
            executor_options(config)?,
        ));
        register_metrics(&metrics, &gateway, &executor, store.snapshots());
        register_transactions(&metrics, &resolver);
        let options = Options::from_config(config).map_err(StartError)?;
        let parts = Parts {
            users: users.clone(),
            registry: registry.clone(),
            workers,
            metrics: &metrics,
            handler: executor,
        };
        let server = Server::bind(options, parts).await.map_err(|error| StartError(error.to_string()))?;
        let snapshots = store.snapshots().clone();
        let http = bind(config.http.listen.as_deref(), "http.listen").await?;
        let http = http.map(|listener| (admin(metrics, &gateway, snapshots.clone()), listener));
        let control = bind(config.control.listen.as_deref(), "control.listen").await?;
        let control =
            control.map(|listener| (Control { gateway: gateway.clone(), snapshots, resolver }, listener));
        gateway.ready().await;
        tracker.ready().await;
        Ok(Self { server, http, control, store, users, gateway, tracker, resolver: resolver_task })
    }

    /// The address for MySQL clients.
    pub fn mysql_address(&self) -> Option<SocketAddr> {
        self.server.local_addr()
    }

    /// The address of the status pages.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().and_then(|(_, listener)| listener.local_addr().ok())
    }

    /// What finds connections: for those who want to know about tablets.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Serves until `stop` is ready, then lets sessions end within the grace period.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut background = JoinSet::new();
        background.spawn(self.store.run());
        background.spawn(self.tracker.run());
        background.spawn(self.resolver.run());
        let users = self.users;
        background.spawn(async move { users.watch(limits::FILE_POLL_INTERVAL).await });
        if let Some((admin, listener)) = self.http {
            background.spawn(async move {
                if let Err(error) = admin.serve(listener).await {
                    tracing::error!(%error, "the HTTP side has failed");
                }
            });
        }
        if let Some((control, listener)) = self.control {
            background.spawn(async move {
                if let Err(error) = control.serve(listener).await {
                    tracing::error!(%error, "the control API has failed");
                }
            });
        }
        self.server.run(stop).await;
        background.shutdown().await;
    }
}

async fn bind(address: Option<&str>, key: &str) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|error| StartError(format!("cannot listen on {address} ({key}): {error}")))
}

fn open_store(config: &Config) -> Result<FileStore, StartError> {
    match config.topology.store {
        StoreKind::File => {
            let paths =
                FilePaths { topology: config.topology.file.clone(), vschema_dir: config.vschema.dir.clone() };
            FileStore::open(paths).map_err(|error| StartError(error.to_string()))
        }
        StoreKind::Etcd => Err(StartError(
            "topology.store = \"etcd\" is not supported by this version: use \"file\"".to_owned(),
        )),
    }
}

fn gateway_options(config: &Config, workers: usize) -> Result<GatewayOptions, StartError> {
    let backend = &config.backend;
    let mode = match backend.tls {
        BackendTls::Disabled => TlsMode::Disabled,
        BackendTls::Preferred => TlsMode::Preferred,
        BackendTls::Required => TlsMode::Required,
        BackendTls::Verify => TlsMode::Verify,
    };
    let read = |path: &PathBuf| {
        std::fs::read(path)
            .map_err(|error| StartError(format!("{} (backend.tls_ca): {error}", path.display())))
    };
    let authorities = backend.tls_ca.as_ref().map(read).transpose()?;
    let tls = Tls::new(mode, authorities.as_deref(), None)
        .map_err(|error| StartError(format!("backend.tls: {error}")))?;
    Ok(GatewayOptions {
        cell: config.cell.clone(),
        user: backend.user.clone(),
        password: Password::new(backend.password.reveal()),
        tls,
        pool: PoolOptions {
            connections_max: backend.pool_connections_max,
            waiters_max: limits::POOL_WAITERS_MAX,
            wait: backend.pool_wait,
            idle: backend.pool_idle,
            lifetime: backend.pool_lifetime,
            workers,
        },
    })
}

fn executor_options(config: &Config) -> Result<ExecutorOptions, StartError> {
    let seed = getrandom::u64().map_err(|error| StartError(format!("no randomness: {error}")))?;
    Ok(ExecutorOptions {
        version: config.mysql.version.as_str().into(),
        default_tablet_type: config.default_tablet_type,
        tablet_type_names: config.tablet_type_names,
        query_timeout: config.query.timeout,
        no_scatter: config.query.no_scatter,
        idle: IdleLimits {
            wait_s: config.mysql.wait_timeout_s,
            interactive_s: config.mysql.interactive_timeout_s,
        },
        fingerprint_seed: seed,
        transaction_mode: mode(config.transaction.mode),
        user_modes: config
            .transaction
            .user_modes
            .iter()
            .map(|(user, chosen)| (user.clone(), mode(*chosen)))
            .collect(),
        cursor_space: Arc::new(SpoolSpace::new(config.cursor.dir.clone(), config.cursor.bytes_max)),
        transaction_timeouts: TransactionTimeouts {
            total: config.transaction.timeout,
            idle: config.transaction.idle_timeout,
        },
        faults: Faults::new(config.fault_dir.clone()),
        gather: GatherLimits {
            is_allowed: config.gather.allow,
            rows_max: config.gather.rows_max,
            bytes_max: config.gather.bytes_max,
        },
    })
}

fn mode(mode: TransactionMode) -> Mode {
    match mode {
        TransactionMode::Single => Mode::Single,
        TransactionMode::Multi => Mode::Multi,
        TransactionMode::TwoPc => Mode::TwoPc,
    }
}

fn resolver_options(config: &Config) -> twopc::Options {
    twopc::Options {
        interval: config.transaction.resolve_interval,
        abandon_age: config.transaction.abandon_age,
    }
}

fn register_metrics(
    metrics: &Arc<Metrics>,
    gateway: &Arc<Gateway>,
    executor: &Arc<Executor>,
    snapshots: &Arc<Snapshots>,
) {
    let entries = metrics.gauge("shardgate_plan_cache_entries", "Plans in the plan cache.", &[]);
    let hits = metrics.counter("shardgate_plan_cache_hits_total", "Lookups that found a plan.", &[]);
    let misses = metrics.counter("shardgate_plan_cache_misses_total", "Lookups that found no plan.", &[]);
    let gathers = metrics.counter("shardgate_gathers_total", "Queries whose tables were gathered.", &[]);
    let gathered = metrics.counter("shardgate_gathered_rows_total", "Rows gathered for them.", &[]);
    let waiting = metrics.gauge("shardgate_cursor_bytes", "Bytes of rows that wait in cursors.", &[]);
    let version = metrics.gauge("shardgate_snapshot_version", "Version of VSchema and topology.", &[]);
    let (gateway, executor, snapshots) = (gateway.clone(), executor.clone(), snapshots.clone());
    let weak = Arc::downgrade(metrics);
    metrics.on_render(move || {
        let (count, hit_count, miss_count) = executor.plan_cache_numbers();
        entries.set(count as f64);
        hits.absolute(hit_count);
        misses.absolute(miss_count);
        let (gather_count, row_count) = executor.gather_numbers();
        gathers.absolute(gather_count);
        gathered.absolute(row_count);
        waiting.set(executor.cursor_bytes() as f64);
        version.set(snapshots.peek().version as f64);
        let Some(metrics) = weak.upgrade() else { return };
        for (name, count) in executor.workload_numbers() {
            let about = "Statements whose comment names their workload.";
            let labels = [("workload", name.as_str())];
            metrics.counter("shardgate_workload_statements_total", about, &labels).absolute(count);
        }
        for status in gateway.tablets() {
            let alias = status.tablet.alias.to_string();
            let labels = [
                ("keyspace", status.tablet.keyspace.as_str()),
                ("shard", status.tablet.shard.as_str()),
                ("type", status.tablet.tablet_type.as_str()),
                ("alias", alias.as_str()),
            ];
            let serving =
                metrics.gauge("shardgate_tablet_serving", "1 if statements are sent to the tablet.", &labels);
            serving.set(if status.state.as_str() == "SERVING" { 1.0 } else { 0.0 });
            let pool = &status.pool;
            for (name, help, value) in [
                ("shardgate_pool_open", "Connections to the tablet.", pool.open as u64),
                ("shardgate_pool_in_use", "Connections in use.", pool.in_use as u64),
                ("shardgate_pool_waiting", "Statements that wait for a connection.", pool.waiting as u64),
            ] {
                metrics.gauge(name, help, &labels).set(value as f64);
            }
        }
    });
}

fn register_transactions(metrics: &Arc<Metrics>, resolver: &Arc<Resolver>) {
    let ended = |outcome: &'static str| {
        let help = "Transactions over several shards, by how they ended.";
        metrics.counter("shardgate_distributed_transactions_total", help, &[("outcome", outcome)])
    };
    let recovered = |outcome: &'static str| {
        let help = "Branches of transactions in doubt that this router has ended.";
        metrics.counter("shardgate_recovered_branches_total", help, &[("outcome", outcome)])
    };
    let (committed, partial, rolled_back) = (ended("committed"), ended("partial"), ended("rolled_back"));
    let (undecided, late) = (ended("undecided"), ended("left_to_recovery"));
    let (commits, rollbacks) = (recovered("commit"), recovered("rollback"));
    let help = "Transactions in doubt, as of the last look.";
    let unresolved = metrics.gauge("shardgate_unresolved_transactions", help, &[]);
    let resolver = resolver.clone();
    metrics.on_render(move || {
        let counters = resolver.counters();
        for (series, count) in [
            (&committed, &counters.committed),
            (&partial, &counters.partial),
            (&rolled_back, &counters.rolled_back),
            (&undecided, &counters.undecided),
            (&late, &counters.left_to_recovery),
            (&commits, &counters.recovered_commits),
            (&rollbacks, &counters.recovered_rollbacks),
        ] {
            series.absolute(count.load(Ordering::Relaxed));
        }
        unresolved.set(counters.unresolved.load(Ordering::Relaxed) as f64);
    });
}

fn admin(metrics: Arc<Metrics>, gateway: &Arc<Gateway>, snapshots: Arc<Snapshots>) -> Admin {
    let (for_health, for_status) = (gateway.clone(), gateway.clone());
    let (for_vschema, for_topology) = (snapshots.clone(), snapshots.clone());
    Admin::new(metrics)
        .health(move || match for_health.is_healthy() {
            true => Ok(()),
            false => Err("a shard has no serving primary: see /debug/status".to_owned()),
        })
        .page("/debug/status", "tablets and their health", move || {
            json!({
                "snapshot_version": snapshots.peek().version,
                "store_error": snapshots.last_error().map(|error| error.to_string()),
                "tablets": tablets(&for_status),
            })
        })
        .page("/debug/vschema", "the VSchema in force, with its errors", move || {
            let vschema = for_vschema.current().vschema.clone();
            json!({
                "vschema": serde_json::to_value(vschema.model()).unwrap_or(Value::Null),
                "errors": vschema.errors().collect::<Vec<_>>(),
                "warnings": vschema.warnings(),
            })
        })
        .page("/debug/topology", "keyspaces, shards and tablets", move || topology(&for_topology))
}

fn tablets(gateway: &Gateway) -> Vec<Value> {
    let row = |status: crate::gateway::TabletStatus| {
        json!({
            "alias": status.tablet.alias.to_string(),
            "keyspace": status.tablet.keyspace.as_str(),
            "shard": status.tablet.shard.as_str(),
            "type": status.tablet.tablet_type.as_str(),
            "hostname": status.tablet.hostname.to_string(),
            "state": status.state.as_str(),
            "reason": status.reason.as_ref(),
            "lag_seconds": status.replication_lag.map(|lag| lag.as_secs()),
            "read_only": status.read_only,
            "connections_open": status.pool.open,
            "connections_in_use": status.pool.in_use,
        })
    };
    gateway.tablets().into_iter().map(row).collect()
}

fn topology(snapshots: &Snapshots) -> Value {
    let snapshot = snapshots.current();
    let keyspaces = snapshot.topology.keyspaces().iter().map(|keyspace| {
        let shards: Vec<Value> = keyspace
            .all_shards()
            .iter()
            .map(|shard| {
                let tablets: Vec<String> =
                    shard.tablets().iter().map(|tablet| tablet.alias.to_string()).collect();
                json!({ "shard": shard.name().as_str(), "serving": shard.is_serving(), "tablets": tablets })
            })
            .collect();
        json!({ "keyspace": keyspace.name().as_str(), "db_name": keyspace.db_name(), "shards": shards })
    });
    Value::Array(keyspaces.collect())
}
