//! One server process: its command line, and when it is ready.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Error;
use super::client::SqlClient;
use super::datadir::{last_lines, make_private_dir, user_option};
use super::engine::{Engine, Installation};
use super::replication;
use super::spec::{Durability, ServerSpec};
use super::supervisor::{Signal, Supervised};

/// Wait for a server to greet its first client. Crash recovery of a small data directory on a busy machine
/// takes seconds.
const START_WAIT: Duration = Duration::from_secs(90);

/// Wait for a stopping server, a little more than its supervisor gives it.
const STOP_WAIT: Duration = Duration::from_secs(13);

/// Where a server lives.
#[derive(Clone, Debug)]
pub(super) struct ServerPlace {
    /// Alias of the tablet, for messages.
    pub(super) name: String,
    /// Unique within a replication topology.
    pub(super) server_id: u32,
    /// Directory with `data/` and `error.log`.
    pub(super) dir: PathBuf,
    /// Unix socket; short enough for the kernel.
    pub(super) socket: PathBuf,
    /// Option file of the administrator's client.
    pub(super) defaults_file: PathBuf,
}

/// One server, running or not.
#[derive(Debug)]
pub(super) struct Server {
    place: ServerPlace,
    port: AtomicU16,
    installation: Installation,
    spec: ServerSpec,
    process: Mutex<Option<Supervised>>,
}

/// Why a start failed.
pub(super) enum StartError {
    /// Another process took the port first: worth another try on another port.
    PortTaken,
    /// Anything else.
    Other(Error),
}

impl Server {
    pub(super) fn new(place: ServerPlace, installation: &Installation, spec: &ServerSpec) -> Self {
        let (installation, spec) = (installation.clone(), spec.clone());
        Self { place, port: AtomicU16::new(0), installation, spec, process: Mutex::new(None) }
    }

    pub(super) fn place(&self) -> &ServerPlace {
        &self.place
    }

    /// The port of its last start; 0 before that.
    pub(super) fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// The directory of its tables.
    pub(super) fn data_dir(&self) -> PathBuf {
        self.place.dir.join("data")
    }

    /// MariaDB deletes all temporary tables there when it starts, those of other servers too, which then crash.
    fn temporary_dir(&self) -> PathBuf {
        self.place.dir.join("tmp")
    }

    pub(super) fn client(&self) -> SqlClient {
        let place = &self.place;
        SqlClient::new(&place.name, &self.installation.client, &place.defaults_file, &place.socket)
    }

    /// Starts the process on a TCP port and waits until it greets clients.
    pub(super) fn start(&self, port: u16, is_read_only: bool) -> Result<(), StartError> {
        self.port.store(port, Ordering::Relaxed);
        let log = self.place.dir.join("error.log");
        let log_start = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        make_private_dir(&self.temporary_dir()).map_err(StartError::Other)?;
        let process = Supervised::spawn(&self.command_line(is_read_only), &log).map_err(StartError::Other)?;
        *self.process() = Some(process);
        let deadline = Instant::now() + START_WAIT;
        loop {
            if greets(&self.place.socket) {
                return Ok(());
            }
            let is_late = Instant::now() > deadline;
            if self.is_running() && !is_late {
                sleep(Duration::from_millis(20));
                continue;
            }
            *self.process() = None;
            return Err(self.start_error(&log, log_start, is_late));
        }
    }

    fn start_error(&self, log: &Path, log_start: u64, is_late: bool) -> StartError {
        let text = fs::read(log).unwrap_or_default();
        let start = usize::try_from(log_start).unwrap_or(0).min(text.len());
        let text = String::from_utf8_lossy(&text[start..]);
        if text.contains("Address already in use") {
            return StartError::PortTaken;
        }
        let reason = if is_late {
            format!("did not answer within {} s", START_WAIT.as_secs())
        } else {
            "ended while starting".to_owned()
        };
        StartError::Other(Error::Server { name: self.place.name.clone(), reason, log: last_lines(&text) })
    }

    pub(super) fn is_running(&self) -> bool {
        self.process().as_mut().is_some_and(Supervised::is_running)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Supervised::pid)
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Some(process) = self.process().as_mut() {
            process.signal(signal);
        }
    }

    /// Asks the process to end and waits for it; it is killed if it takes too long.
    pub(super) fn stop(&self) {
        if self.is_running() {
            // A server that does not answer is stopped all the same.
            let _ = replication::release_replicas(self.installation.engine, &self.client());
        }
        if let Some(mut process) = self.process().take() {
            process.begin_stop();
            process.wait_for_exit(STOP_WAIT);
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Supervised>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command_line(&self, is_read_only: bool) -> Vec<String> {
        let place = &self.place;
        let mut line = vec![self.installation.server.display().to_string(), "--no-defaults".to_owned()];
        line.extend(user_option());
        line.push(format!("--datadir={}", self.data_dir().display()));
        line.push(format!("--tmpdir={}", self.temporary_dir().display()));
        line.push(format!("--socket={}", place.socket.display()));
        line.push(format!("--pid-file={}", place.dir.join("server.pid").display()));
        line.push(format!("--port={}", self.port()));
        line.push(format!("--report-port={}", self.port()));
        line.push(format!("--server-id={}", place.server_id));
        line.push(format!("--performance-schema={}", on_off(self.spec.performance_schema)));
        line.push(format!("--read-only={}", on_off(is_read_only)));
        line.extend(COMMON_OPTIONS.iter().map(|&option| option.to_owned()));
        let own: &[&str] = match self.installation.engine {
            Engine::MariaDb => MARIADB_OPTIONS,
            Engine::MySql => MYSQL_OPTIONS,
        };
        line.extend(own.iter().map(|&option| option.to_owned()));
        if self.installation.engine == Engine::MySql {
            line.push(format!("--super-read-only={}", on_off(is_read_only)));
        }
        let durability = match self.spec.durability {
            Durability::Durable => DURABLE_OPTIONS,
            Durability::Relaxed => RELAXED_OPTIONS,
        };
        line.extend(durability.iter().map(|&option| option.to_owned()));
        line.extend(self.spec.options.iter().cloned());
        line
    }
}

/// Options that both engines share. Small buffers: a cluster is many servers on one machine.
const COMMON_OPTIONS: &[&str] = &[
    "--bind-address=127.0.0.1",
    "--report-host=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--max-connections=500",
    "--innodb-buffer-pool-size=32M",
    // The kernel's asynchronous I/O is a scarce resource of the whole machine, and of no use at this size.
    "--innodb-use-native-aio=OFF",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--relay-log=relay",
    "--relay-log-recovery=ON",
];

const MARIADB_OPTIONS: &[&str] = &[
    "--log-slave-updates",
    "--gtid-strict-mode=ON",
    "--skip-slave-start",
    "--innodb-log-file-size=16M",
    "--innodb-temp-data-file-path=ibtmp1:4M:autoextend",
];

const MYSQL_OPTIONS: &[&str] = &[
    "--log-replica-updates=ON",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--skip-replica-start",
    "--innodb-redo-log-capacity=16M",
    "--mysqlx=OFF",
    "--log-error-verbosity=2",
];

/// MySQL's defaults; MariaDB's leaves the binary log to the kernel, and a replica could then get ahead of its primary.
const DURABLE_OPTIONS: &[&str] = &["--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"];

/// A crash of the machine may lose data, but a crash of the server loses nothing: every commit reaches the
/// kernel, and the double-write buffer stays, because a killed process can leave half a page behind.
const RELAXED_OPTIONS: &[&str] =
    &["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-flush-method=nosync"];

fn on_off(value: bool) -> &'static str {
    if value { "ON" } else { "OFF" }
}

/// Whether a server at a socket sends the first packet of the protocol: it does so once it is fully up.
fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    if stream.set_read_timeout(Some(Duration::from_secs(2))).is_err() {
        return false;
    }
    let mut start = [0; 5];
    // Byte 4 is the protocol version; an error packet (0xFF) there means "not yet".
    stream.read_exact(&mut start).is_ok() && start[4] == 10
}
