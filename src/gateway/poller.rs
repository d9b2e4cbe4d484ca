//! The task that polls one tablet's server.
//!
//! It keeps one connection of its own. A server that dies closes it, which is noticed at once; a server that
//! freezes misses its answer, which is noticed by time. A poll that got no answer in time is not given up:
//! the answer is the first thing that a thawed server sends. Giving up connections in mid-handshake again and
//! again would also make MySQL block our host (`max_connect_errors`).

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::health::ServingState;
use super::probe::{ProbeAnswer, probe};
use super::server::TabletServer;
use crate::backend::{BackendConnection, ConnectOptions, Flavor};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::topology::TabletType;

/// Polls until the tablet is dropped.
pub(super) async fn run(server: Weak<TabletServer>) {
    let Some(connect) = server.upgrade().map(|server| server.pool.connect_options().clone()) else { return };
    let connect =
        Arc::new(ConnectOptions { timeout: limits::HEALTH_PATIENCE, ..ConnectOptions::clone(&connect) });
    let mut poller = Poller { connect, connection: None, answered_heartbeat: 0, silent_since: None };
    loop {
        let Some(server) = server.upgrade() else { return };
        poller.poll(&server).await;
        server.pool.maintain();
        poller.wait(&server).await;
    }
}

struct Poller {
    connect: Arc<ConnectOptions>,
    connection: Option<BackendConnection>,
    /// The heartbeat of the last poll that was answered.
    answered_heartbeat: u64,
    /// Since when the server has not answered, if it is silent rather than gone.
    silent_since: Option<Instant>,
}

impl Poller {
    async fn poll(&mut self, server: &Arc<TabletServer>) {
        let is_replica = server.tablet().tablet_type != TabletType::Primary;
        let pool = &server.pool;
        pool.heartbeat().begin_poll();
        let heartbeat = pool.heartbeat().current();
        let released = pool.released_count();
        let outcome = {
            let mut asking = pin!(ask(&self.connect, &mut self.connection, is_replica));
            match timeout(limits::HEALTH_POLL_TIMEOUT, &mut asking).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    // Under heavy load polls may be slow while statements are answered: that is life too.
                    if pool.released_count() == released {
                        let since = *self.silent_since.get_or_insert_with(Instant::now);
                        report_silence(server, self.answered_heartbeat, since);
                    }
                    patiently(asking).await
                }
            }
        };
        match outcome {
            Ok(answer) => {
                self.answered_heartbeat = heartbeat;
                self.silent_since = None;
                report(server, server.health().answered(answer, Instant::now()));
            }
            Err(error) => {
                self.connection = None;
                let reason = String::from_utf8_lossy(error.message()).into_owned();
                report(server, server.health().failed(reason));
            }
        }
    }

    /// Until the next poll is due: earlier if the server closes the connection, or somebody asks.
    async fn wait(&mut self, server: &TabletServer) {
        tokio::select! {
            () = sleep(limits::HEALTH_POLL_INTERVAL) => {}
            () = closed(self.connection.as_mut()) => self.connection = None,
            () = server.poke.notified() => {
                // Many failing statements ask at once; one poll answers all of them.
                sleep(POKE_PAUSE).await;
            }
        }
    }
}

/// Least time between polls that were asked for.
const POKE_PAUSE: Duration = Duration::from_millis(20);

async fn closed(connection: Option<&mut BackendConnection>) {
    match connection {
        Some(connection) => connection.closed().await,
        None => std::future::pending().await,
    }
}

async fn patiently(asking: impl Future<Output = Result<ProbeAnswer>>) -> Result<ProbeAnswer> {
    match timeout(limits::HEALTH_PATIENCE, asking).await {
        Ok(outcome) => outcome,
        Err(_) => Err(silence(limits::HEALTH_PATIENCE + limits::HEALTH_POLL_TIMEOUT)),
    }
}

fn silence(duration: Duration) -> Error {
    Error::new(ErrorKind::NoHealthyTablet, format!("the server has not answered for {duration:?}"))
}

/// One poll on the kept connection, or on a new one if the kept one turns out to be closed.
async fn ask(
    connect: &Arc<ConnectOptions>,
    kept: &mut Option<BackendConnection>,
    is_replica: bool,
) -> Result<ProbeAnswer> {
    if let Some(connection) = kept {
        if let Ok(answer) = probe(connection, is_replica).await {
            return Ok(answer);
        }
        *kept = None;
    }
    let connection = kept.insert(BackendConnection::connect(connect, Flavor::default()).await?);
    probe(connection, is_replica).await
}

fn report_silence(server: &TabletServer, answered_heartbeat: u64, since: Instant) {
    let health = server.health();
    let reason = String::from_utf8_lossy(silence(limits::HEALTH_POLL_TIMEOUT).message()).into_owned();
    report(server, health.failed(reason));
    // Exchanges that began when the server was already silent cannot be just long.
    let cut_since = if since.elapsed() >= limits::SILENCE_MAX { 0 } else { answered_heartbeat };
    let count = server.pool.cut_exchanges_since(cut_since);
    if count > 0 {
        tracing::warn!(tablet = %server.tablet().alias, count, "cut exchanges with a silent server");
    }
}

/// Publishes a new state and lets the pool follow it.
fn report(server: &TabletServer, health: super::health::Health) {
    let before = server.state();
    let after = health.state;
    let reason = health.reason.clone();
    match after {
        ServingState::NotServing => {
            server.pool.suspend(Error::new(ErrorKind::NoHealthyTablet, not_serving(server, &reason)));
        }
        ServingState::Serving | ServingState::Unknown => server.pool.resume(),
    }
    server.set_health(health);
    if before == after {
        return;
    }
    let tablet = server.tablet();
    match after {
        ServingState::NotServing => tracing::warn!(tablet = %tablet.alias, %reason, "tablet is NOT_SERVING"),
        _ => tracing::info!(tablet = %tablet.alias, %reason, "tablet is SERVING"),
    }
}

/// How errors say that a tablet is out of service.
pub(super) fn not_serving(server: &TabletServer, reason: &str) -> String {
    format!("{} is NOT_SERVING: {reason}", server.tablet().alias)
}
