//! Configuration: `shardgate.toml`, environment variables, command-line overrides.
//!
//! [`keys::KEYS`] is the one list of keys, with their defaults and documentation; `docs/configuration.md` is
//! written from it. Later sources win: defaults, file, environment, overrides. Nothing here is global: the
//! environment is passed in.

mod given;
mod keys;
mod load;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use keys::reference;
pub use load::{ConfigError, Environment};

use crate::topology::{CellName, TabletType, TabletTypeNames};

/// Everything that an operator can set. Made by [`Config::load`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The cell that this router stands in; its tablets are preferred.
    pub cell: CellName,
    /// Words of `show vitess_tablets`.
    pub tablet_type_names: TabletTypeNames,
    /// Tablets that a session is routed to before it names a type.
    pub default_tablet_type: TabletType,
    /// Worker threads.
    pub workers: usize,
    /// How long a stopping router waits for running statements and transactions.
    pub grace_period: Duration,
    /// The client side.
    pub mysql: MysqlConfig,
    /// The servers' side.
    pub backend: BackendConfig,
    /// Queries whose tables are gathered at one server.
    pub gather: GatherConfig,
    /// Rows that wait until clients fetch them.
    pub cursor: CursorConfig,
    /// Where keyspaces, shards and servers are listed.
    pub topology: TopologyConfig,
    /// Where the tables' distribution is described.
    pub vschema: VSchemaConfig,
    /// Transactions over several shards.
    pub transaction: TransactionConfig,
    /// Status page and metrics.
    pub http: ListenConfig,
    /// Control API of `shardgate ctl`.
    pub control: ListenConfig,
    /// Limits of statements.
    pub query: QueryConfig,
    /// Log output.
    pub log: LogConfig,
    /// Where tests stop commits (`SHARDGATE_FAULT_DIR`); there is no key for it.
    pub fault_dir: Option<PathBuf>,
}

/// `[gather]`: queries that no shard can answer alone, for which rows are copied to one server.
#[derive(Clone, Copy, Debug)]
pub struct GatherConfig {
    /// Whether sessions may use it that do not say otherwise.
    pub allow: bool,
    /// Rows that one statement may copy.
    pub rows_max: u64,
    /// Bytes of rows that one statement may copy.
    pub bytes_max: u64,
}

/// `[cursor]`: results of cursors, until clients fetch their rows.
#[derive(Clone, Debug)]
pub struct CursorConfig {
    /// Folder for what is too much for memory.
    pub dir: PathBuf,
    /// Bytes of all cursors together.
    pub bytes_max: u64,
}

/// `[query]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryConfig {
    /// Longest run of a query or change of rows; zero is no limit.
    pub timeout: Duration,
    /// Statements for all shards are refused.
    pub no_scatter: bool,
}

/// `[mysql]`: listening for clients.
#[derive(Clone, Debug)]
pub struct MysqlConfig {
    /// `host:port`; `None` when only the socket is served.
    pub listen: Option<String>,
    /// Path of a Unix socket to listen on.
    pub socket: Option<PathBuf>,
    /// File of users, in Vitess's static-auth JSON.
    pub users: PathBuf,
    /// The version told in the greeting and by `@@version`.
    pub version: String,
    /// Certificate and key for TLS, both PEM files.
    pub tls: Option<ServerTls>,
    /// Whether clients without TLS are refused; Unix sockets count as secure.
    pub tls_required: bool,
    /// Clients at once.
    pub connections_max: usize,
    /// Authentication plugin named in the greeting.
    pub auth_plugin: AuthPlugin,
    /// Seconds that a client may send no command.
    pub wait_timeout_s: u32,
    /// The same for clients that say that a human sits there.
    pub interactive_timeout_s: u32,
}

/// PEM files of the router's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// How clients prove who they are, unless a user's entry needs the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthPlugin {
    /// MySQL 8's default, the only one of MySQL 9 clients.
    CachingSha2Password,
    /// For clients older than MySQL 8.
    MysqlNativePassword,
}

/// `[backend]`: connections to the servers.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// User at every server.
    pub user: String,
    /// Its password, given or read from `password_file`.
    pub password: Secret,
    /// Wait for TCP connect and authentication.
    pub connect_timeout: Duration,
    /// Encryption towards the servers.
    pub tls: BackendTls,
    /// PEM file of accepted certificate authorities; the system's when absent.
    pub tls_ca: Option<PathBuf>,
    /// Connections to one tablet.
    pub pool_connections_max: usize,
    /// Wait for a free connection.
    pub pool_wait: Duration,
    /// An unused connection is closed after this.
    pub pool_idle: Duration,
    /// A connection is not reused after this age.
    pub pool_lifetime: Duration,
}

/// Encryption towards the servers; Unix sockets are never encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendTls {
    /// Never.
    Disabled,
    /// If the server offers it; certificates are not checked.
    Preferred,
    /// Always; certificates are not checked.
    Required,
    /// Always, with the certificate and its host name checked.
    Verify,
}

/// `[topology]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyConfig {
    /// Which store is read.
    pub store: StoreKind,
    /// The file of the file store.
    pub file: PathBuf,
    /// The etcd servers, `host:port` each.
    pub endpoints: Vec<String>,
}

/// Kinds of topology stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// etcd.
    Etcd,
    /// A JSON file and a folder of VSchema files.
    File,
}

/// `[vschema]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VSchemaConfig {
    /// Folder of `<keyspace>.json` files and `routing_rules.json`.
    pub dir: PathBuf,
}

/// `[transaction]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// How they commit.
    pub mode: TransactionMode,
    /// The same for certain users.
    pub user_modes: Vec<(String, TransactionMode)>,
    /// Longest life of a transaction; zero is no limit.
    pub timeout: Duration,
    /// Longest time that an open transaction may wait for its client; zero is no limit.
    pub idle_timeout: Duration,
    /// Time between looks for transactions in doubt.
    pub resolve_interval: Duration,
    /// A prepared transaction that has had no decision for so long is rolled back.
    pub abandon_age: Duration,
}

/// How transactions over several shards commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionMode {
    /// There are none.
    Single,
    /// Shard by shard.
    Multi,
    /// In two phases.
    TwoPc,
}

/// `[http]` and `[control]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// `host:port`; `None` turns it off.
    pub listen: Option<String>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Words.
    Text,
}

/// Importance of log lines, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something may fail.
    Warn,
    /// What the router does.
    Info,
    /// Why it does so.
    Debug,
    /// Everything.
    Trace,
}

/// Text that logs and debug output never show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(empty)" } else { "Secret(…)" })
    }
}
