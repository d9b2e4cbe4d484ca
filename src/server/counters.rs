//! What the client side counts. Hot numbers are kept per worker and summed when somebody looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Origin};
use crate::metrics::{Counter, Histogram, Metrics};

/// Kinds of commands that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandClass {
    /// COM_STMT_EXECUTE.
    Execute,
    /// Everything else.
    Other,
    /// COM_STMT_PREPARE.
    Prepare,
    /// COM_QUERY.
    Query,
}

impl CommandClass {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Execute, "execute"),
        (Self::Other, "other"),
        (Self::Prepare, "prepare"),
        (Self::Query, "query"),
    ];
}

const ORIGINS: [(Origin, &str); 3] =
    [(Origin::Backend, "backend"), (Origin::Client, "client"), (Origin::Router, "router")];

/// The numbers of one worker; its own thread writes them.
#[derive(Debug)]
pub struct WorkerCounters {
    latency: [Arc<Histogram>; CommandClass::ALL.len()],
    errors: [AtomicU64; ORIGINS.len()],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl WorkerCounters {
    /// Counts one finished command and its time.
    pub fn command(&self, class: CommandClass, took: Duration) {
        self.latency[class as usize].record_micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts one error that a client was told.
    pub fn error(&self, origin: Origin) {
        let index = match origin {
            Origin::Backend => 0,
            Origin::Client => 1,
            Origin::Router => 2,
        };
        self.errors[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes from a client.
    pub fn received(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes to a client.
    pub fn sent(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What is counted seldom, and every worker's numbers.
#[derive(Debug)]
pub struct ServerCounters {
    workers: Vec<Arc<WorkerCounters>>,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections refused because there were too many.
    pub refused: Counter,
    /// Logins that failed.
    pub auth_failures: Counter,
    /// Clients that broke the handshake or were too slow with it.
    pub handshake_failures: Counter,
    /// Sessions that ended in a panic.
    pub panics: Counter,
}

impl ServerCounters {
    /// Registers everything. `open` tells how many connections there are.
    pub fn register(
        metrics: &Metrics,
        worker_count: usize,
        open: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Arc<Self> {
        let workers: Vec<_> = (0..worker_count).map(|_| Arc::new(worker_counters(metrics))).collect();
        sum_on_render(metrics, workers.clone());
        let gauge = metrics.gauge("shardgate_client_connections", "Open client connections.", &[]);

        metrics.on_render(move || gauge.set(open() as f64));
        let connections = |result| {
            let help = "Client connections, by what became of them.";
            metrics.counter("shardgate_client_connections_total", help, &[("result", result)])
        };
        let failures = |reason| {
            metrics.counter("shardgate_client_login_failures_total", "Failed logins.", &[("reason", reason)])
        };
        Arc::new(Self {
            workers,
            accepted: connections("accepted"),
            refused: connections("refused"),
            auth_failures: failures("denied"),
            handshake_failures: failures("handshake"),
            panics: metrics.counter("shardgate_session_panics_total", "Sessions that ended in a panic.", &[]),
        })
    }

    /// Counts a login that ended in `error`.
    pub fn login_failed(&self, error: &Error) {
        match error.kind() {
            Some(ErrorKind::AccessDenied) => self.auth_failures.increment(1),
            _ => self.handshake_failures.increment(1),
        }
    }

    /// The numbers of one worker.
    pub fn worker(&self, index: usize) -> &Arc<WorkerCounters> {
        &self.workers[index]
    }
}

fn worker_counters(metrics: &Metrics) -> WorkerCounters {
    let latency = CommandClass::ALL.map(|(_, name)| {
        let help = "Time from a command's last byte to its reply's last byte.";
        metrics.histogram("shardgate_command_seconds", help, &[("command", name)])
    });
    WorkerCounters {
        latency,
        errors: Default::default(),
        bytes_in: AtomicU64::new(0),
        bytes_out: AtomicU64::new(0),
    }
}

fn sum_on_render(metrics: &Metrics, workers: Vec<Arc<WorkerCounters>>) {
    let errors = ORIGINS.map(|(_, name)| {
        let help = "Errors that clients were told, by whose fault they are.";
        metrics.counter("shardgate_client_errors_total", help, &[("origin", name)])
    });
    let bytes = |direction| {
        let help = "Bytes of the MySQL protocol exchanged with clients.";
        metrics.counter("shardgate_client_bytes_total", help, &[("direction", direction)])
    };
    let (bytes_in, bytes_out) = (bytes("in"), bytes("out"));
    metrics.on_render(move || {
        let sum = |number: &dyn Fn(&WorkerCounters) -> &AtomicU64| {
            workers.iter().map(|worker| number(worker).load(Ordering::Relaxed)).sum::<u64>()
        };
        for (index, counter) in errors.iter().enumerate() {
            counter.absolute(sum(&|worker| &worker.errors[index]));
        }
        bytes_in.absolute(sum(&|worker| &worker.bytes_in));
        bytes_out.absolute(sum(&|worker| &worker.bytes_out));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_what_workers_count() {
        let metrics = Metrics::new();
        let counters = ServerCounters::register(&metrics, 2, || 5);
        counters.worker(0).received(10);
        counters.worker(1).received(5);
        counters.worker(1).error(Origin::Client);
        counters.worker(0).command(CommandClass::Query, Duration::from_micros(70));
        counters.worker(1).command(CommandClass::Query, Duration::from_micros(70));
        counters.accepted.increment(2);
        let text = metrics.render();
        for line in [
            "shardgate_client_connections 5",
            "shardgate_client_connections_total{result=\"accepted\"} 2",
            "shardgate_client_bytes_total{direction=\"in\"} 15",
            "shardgate_client_errors_total{origin=\"client\"} 1",
            "shardgate_command_seconds_bucket{command=\"query\",le=\"0.0001\"} 2",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn classes_and_origins_are_in_the_order_of_their_indexes() {
        for (index, (class, _)) in CommandClass::ALL.iter().enumerate() {
            assert_eq!(*class as usize, index);
        }
        let metrics = Metrics::new();
        let counters = worker_counters(&metrics);
        for (index, (origin, _)) in ORIGINS.iter().enumerate() {
            counters.error(*origin);
            assert_eq!(counters.errors[index].load(Ordering::Relaxed), 1);
        }
    }
}
