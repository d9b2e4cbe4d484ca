//! The MySQL listener: handshake, command loop, drain.
//!
//! One accepting task hands each connection to the least loaded worker thread, where it stays. The server knows
//! nothing of SQL: a [`Handler`] answers what clients ask. Start: [`Workers::start`], [`Server::bind`],
//! [`Server::run`].

pub mod auth;
mod client_stream;
mod connection;
pub mod counters;
pub mod handler;
mod handshake;
mod listener;
mod out_buffer;
pub mod registry;
pub mod rsa_key;
pub mod tls;
pub mod users;
pub mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

pub use client_stream::{Captured, ClientStream, InterruptWatch, ResultEnd, Spooled};
pub use handler::{ClientInfo, Flow, Handler};
pub use registry::{ClientEntry, ConnectionId, Interrupt, Kill, Registry};
pub use users::{UserStore, Users};
pub use worker::Workers;

use crate::config::{AuthPlugin, Config};
use crate::limits;
use crate::metrics::Metrics;
use auth::Authenticator;
use counters::ServerCounters;
use handshake::Handshake;
use listener::Listeners;
use registry::Bounded;
use rsa_key::RsaKey;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port`; port 0 takes a free one.
    pub listen: Option<String>,
    /// Path of a unix socket.
    pub socket: Option<PathBuf>,
    /// Version told in the greeting.
    pub version: String,
    /// What TLS sessions are made with; see [`tls`].
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether logins over plain TCP are refused.
    pub tls_required: bool,
    /// Plugin named in the greeting.
    pub auth_plugin: AuthPlugin,
    /// With which whole passwords come over unencrypted connections.
    pub rsa_key: Arc<RsaKey>,
    /// Clients at once.
    pub connections_max: usize,
    /// Clients at once that have not logged in.
    pub logins_max: usize,
    /// Wait for a client to log in.
    pub login_timeout: Duration,
    /// Largest command.
    pub command_bytes_max: usize,
    /// Grace for running statements and transactions when the server stops.
    pub grace_period: Duration,
}

impl Options {
    /// As an operator configured it. Without a certificate of their own, servers make one.
    ///
    /// # Errors
    /// Names the TLS file that is wrong.
    pub fn from_config(config: &Config) -> Result<Self, String> {
        let mysql = &config.mysql;
        let tls = match &mysql.tls {
            Some(files) => tls::from_files(&files.cert, &files.key)?,
            None => tls::self_signed()?,
        };
        Ok(Self {
            listen: mysql.listen.clone(),
            socket: mysql.socket.clone(),
            version: mysql.version.clone(),
            tls: Some(tls),
            tls_required: mysql.tls_required,
            auth_plugin: mysql.auth_plugin,
            connections_max: mysql.connections_max,
            grace_period: config.grace_period,
            ..Self::default()
        })
    }
}

impl Default for Options {
    /// Listens nowhere; limits are those of [`limits`].
    fn default() -> Self {
        Self {
            listen: None,
            socket: None,
            version: String::new(),
            tls: None,
            tls_required: false,
            auth_plugin: AuthPlugin::CachingSha2Password,
            rsa_key: Arc::new(RsaKey::lazy()),
            connections_max: limits::CLIENT_CONNECTIONS_MAX,
            logins_max: limits::CLIENT_LOGINS_MAX,
            login_timeout: limits::HANDSHAKE_TIMEOUT,
            command_bytes_max: limits::COMMAND_BYTES_MAX,
            grace_period: limits::DRAIN_TIMEOUT,
        }
    }
}

/// What a server works with; made by whoever starts it.
pub struct Parts<'a, H> {
    /// Who may log in.
    pub users: Arc<UserStore>,
    /// Who is connected; shared with whoever answers SHOW PROCESSLIST and KILL.
    pub registry: Arc<Registry>,
    /// Where sessions run.
    pub workers: Arc<Workers>,
    /// Where the server's numbers go.
    pub metrics: &'a Metrics,
    /// Answers the clients.
    pub handler: Arc<H>,
}

/// A server that is bound to its addresses.
pub struct Server<H> {
    shared: Arc<Shared<H>>,
    workers: Arc<Workers>,
    listeners: Listeners,
}

/// What all connections share.
struct Shared<H> {
    handler: Arc<H>,
    handshake: Handshake,
    registry: Arc<Registry>,
    counters: Arc<ServerCounters>,
    options: Options,
    connections: Bounded,
    logins: Bounded,
    draining: AtomicBool,
    started: Instant,
}

impl<H: Handler> Server<H> {
    /// Binds the addresses. From now on clients can connect, and wait for [`Self::run`].
    ///
    /// # Errors
    /// When an address cannot be had; the text names it.
    pub async fn bind(options: Options, parts: Parts<'_, H>) -> io::Result<Self> {
        let listeners = Listeners::bind(&options).await?;
        let Parts { users, registry, workers, metrics, handler } = parts;
        let open = {
            let registry = registry.clone();
            move || registry.count()
        };
        let shared = Arc::new(Shared {
            handler,
            handshake: Handshake {
                authenticator: Authenticator::new(users, options.rsa_key.clone(), options.auth_plugin),
                version: options.version.clone(),
                tls: options.tls.clone(),
                tls_required: options.tls_required,
            },
            registry,
            counters: ServerCounters::register(metrics, workers.all().len(), open),
            connections: Bounded::new(options.connections_max),
            logins: Bounded::new(options.logins_max),
            draining: AtomicBool::new(false),
            started: Instant::now(),
            options,
        });
        Ok(Self { shared, workers, listeners })
    }

    /// The TCP address, once bound.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listeners.local_addr()
    }

    /// Serves clients until `stop` is ready; then refuses new ones, lets running statements and transactions end
    /// within the grace period, and returns when every client is gone.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { shared, workers, listeners } = self;
        {
            let accept = listener::accept_until(&shared, &workers, listeners, stop);
            tokio::select! {
                () = accept => {}
                () = shared.end_idle_clients() => {}
            }
        }
        shared.drain().await;
    }
}

/// Time between looks at the clients that are left while the server stops.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// Time between looks for clients that have idled too long; limits are whole seconds.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);

/// Time that killed sessions get to end.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

impl<H> Shared<H> {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The fuller the server is with clients that do not log in, the less time they get.
    fn login_timeout(&self) -> Duration {
        let used = f64::from(self.logins.used()) / f64::from(self.logins.max());
        self.options.login_timeout.mul_f64(1.0 - 0.9 * used.clamp(0.0, 1.0))
    }

    /// One line for COM_STATISTICS.
    fn statistics(&self) -> String {
        let uptime = self.started.elapsed().as_secs();
        format!("Uptime: {uptime}  Threads: {}", self.registry.count())
    }

    /// One look at all clients instead of a timer for each command of each.
    async fn end_idle_clients(&self) {
        loop {
            tokio::time::sleep(IDLE_INTERVAL).await;
            self.registry.end_idle();
        }
    }

    async fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        tracing::info!(clients = self.registry.count(), "stopping: no new connections");
        let deadline = Instant::now() + self.options.grace_period;
        // Looked at again and again: a session may have become idle just before it could see that we stop.
        while self.registry.count() > 0 && Instant::now() < deadline {
            for entry in self.registry.entries() {
                if entry.is_idle() {
                    entry.kill(Kill::Connection);
                }
            }
            tokio::time::sleep(DRAIN_INTERVAL).await;
        }
        let late = self.registry.entries();
        if late.is_empty() {
            return;
        }
        tracing::warn!(clients = late.len(), "the grace period is over: ending what still runs");
        for entry in late {
            entry.kill(Kill::Connection);
        }
        let deadline = Instant::now() + KILL_PATIENCE;
        while self.registry.count() > 0 && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests;
