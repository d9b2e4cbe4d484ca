//! The list of every configuration key: name, default, documentation and setter.

use super::given::Given;
use super::{AuthPlugin, BackendTls, Config, LogFormat, LogLevel, Secret, StoreKind, TransactionMode};
use crate::topology::{TabletType, TabletTypeNames};

/// One key. Its environment variable is [`Key::environment`].
pub(super) struct Key {
    /// Dotted, as in `mysql.listen`.
    pub(super) name: &'static str,
    /// TOML text of the default.
    pub(super) default: &'static str,
    /// One sentence or two for the manual.
    pub(super) about: &'static str,
    /// Stores a given value.
    pub(super) set: fn(&mut Draft, &Given) -> Result<(), String>,
}

/// A configuration in the making, with what is checked against other keys at the end.
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) password: String,
    pub(super) password_file: Option<std::path::PathBuf>,
    pub(super) tls_cert: Option<std::path::PathBuf>,
    pub(super) tls_key: Option<std::path::PathBuf>,
}

impl Key {
    /// The environment variable that overrides it.
    pub(super) fn environment(&self) -> String {
        format!("SHARDGATE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

macro_rules! keys {
    ($($name:literal = $default:literal, $about:literal, |$draft:ident, $given:ident| $set:expr;)*) => {
        &[$(Key {
            name: $name,
            default: $default,
            about: $about,
            set: |$draft, $given| { $set; Ok(()) },
        },)*]
    };
}

/// Every key, in the order of the manual: keys without a section come first.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = keys! {
    "cell" = r#""zone1""#,
        "The cell that this router stands in. Replicas of this cell are preferred.",
        |draft, given| draft.config.cell = given.some_text()?.into();
    "workers" = "0",
        "Worker threads; 0 means one for each CPU.",
        |draft, given| draft.config.workers = given.count(0, 1_024)?;
    "grace_period_s" = "10",
        "Seconds that a stopping router waits for running statements and transactions before it closes them.",
        |draft, given| draft.config.grace_period = given.seconds()?;
    "default_tablet_type" = r#""primary""#,
        "Tablets that a session is routed to before it names a type itself: `primary`, `replica` or `rdonly`.",
        |draft, given| draft.config.default_tablet_type = given.choice(&TABLET_TYPES)?;
    "tablet_type_names" = r#""classic""#,
        "Words of `show vitess_tablets`: `classic` says MASTER; `primary` says PRIMARY and adds the column PrimaryTermStartTime.",
        |draft, given| draft.config.tablet_type_names = given.choice(&TYPE_NAMES)?;

    "mysql.listen" = r#""127.0.0.1:15306""#,
        "Address for MySQL clients, `host:port`. Empty: only `mysql.socket` is served.",
        |draft, given| draft.config.mysql.listen = given.optional_address()?;
    "mysql.socket" = r#""""#,
        "Path of a Unix socket for MySQL clients on this machine. Empty: none.",
        |draft, given| draft.config.mysql.socket = given.optional_path()?;
    "mysql.users" = r#""users.json""#,
        "File of users, in the JSON form of Vitess's static authentication. Reread when it changes.",
        |draft, given| draft.config.mysql.users = given.path()?;
    "mysql.version" = r#""8.4.0-Shardgate""#,
        "Server version told to clients. Drivers decide by its leading number what they may send.",
        |draft, given| draft.config.mysql.version = version(given)?;
    "mysql.tls_cert" = r#""""#,
        "PEM file with the certificate chain shown to clients. Empty: a certificate is made at start.",
        |draft, given| draft.tls_cert = given.optional_path()?;
    "mysql.tls_key" = r#""""#,
        "PEM file with the private key of `mysql.tls_cert`.",
        |draft, given| draft.tls_key = given.optional_path()?;
    "mysql.tls_required" = "false",
        "Refuse clients that come over TCP without TLS.",
        |draft, given| draft.config.mysql.tls_required = given.flag()?;
    "mysql.max_connections" = "20000",
        "Clients at once; more are refused with MySQL's error 1040.",
        |draft, given| draft.config.mysql.connections_max = given.count(1, 1_000_000)?;
    "mysql.auth_plugin" = r#""caching_sha2_password""#,
        "Authentication plugin offered first: `caching_sha2_password` or `mysql_native_password`.",
        |draft, given| draft.config.mysql.auth_plugin = given.choice(&AUTH_PLUGINS)?;
    "mysql.wait_timeout_s" = "28_800",
        "Seconds after which a client is disconnected that sends no command; a session may say otherwise (`SET wait_timeout`).",
        |draft, given| draft.config.mysql.wait_timeout_s = seconds_of_a_year(given)?;
    "mysql.interactive_timeout_s" = "28_800",
        "The same for clients that call themselves interactive, as `mysql` at a terminal does.",
        |draft, given| draft.config.mysql.interactive_timeout_s = seconds_of_a_year(given)?;

    "backend.user" = r#""vt_app""#,
        "User that the router logs in as at every server.",
        |draft, given| draft.config.backend.user = given.some_text()?;
    "backend.password" = r#""""#,
        "Password of `backend.user`. Prefer `backend.password_file` or the environment.",
        |draft, given| draft.password = given.text()?;
    "backend.password_file" = r#""""#,
        "File whose first line is the password of `backend.user`.",
        |draft, given| draft.password_file = given.optional_path()?;
    "backend.connect_timeout_ms" = "1500",
        "Milliseconds that connecting and logging in to a server may take.",
        |draft, given| draft.config.backend.connect_timeout = given.milliseconds()?;
    "backend.tls" = r#""disabled""#,
        "Encryption towards servers: `disabled`, `preferred` (if offered), `required` (certificates are not checked) or `verify` (certificate and host name are checked).",
        |draft, given| draft.config.backend.tls = given.choice(&BACKEND_TLS)?;
    "backend.tls_ca" = r#""""#,
        "PEM file of the certificate authorities accepted by `backend.tls = \"verify\"`.",
        |draft, given| draft.config.backend.tls_ca = given.optional_path()?;
    "backend.pool_connections_max" = "120",
        "Connections to one tablet at once.",
        |draft, given| draft.config.backend.pool_connections_max = given.count(1, 100_000)?;
    "backend.pool_wait_ms" = "10000",
        "Milliseconds that a statement waits for a free connection.",
        |draft, given| draft.config.backend.pool_wait = given.milliseconds()?;
    "backend.pool_idle_s" = "300",
        "Seconds after which an unused connection is closed; keep it below the servers' `wait_timeout`.",
        |draft, given| draft.config.backend.pool_idle = given.seconds()?;
    "backend.pool_lifetime_s" = "3600",
        "Seconds after which a connection is no longer reused.",
        |draft, given| draft.config.backend.pool_lifetime = given.seconds()?;

    "gather.allow" = "true",
        "Queries that no shard can answer alone have the rows of their tables copied to one server, which evaluates them. Sessions may say otherwise: `SET allow_gather = 0`.",
        |draft, given| draft.config.gather.allow = given.flag()?;
    "gather.rows_max" = "5000000",
        "Rows that one such query may have copied.",
        |draft, given| draft.config.gather.rows_max = given.number(1, u64::MAX)?;
    "gather.bytes_max" = "1073741824",
        "Bytes of rows that one such query may have copied. They lie in temporary tables of the server, not in the router.",
        |draft, given| draft.config.gather.bytes_max = given.number(1, u64::MAX)?;

    "cursor.dir" = r#""/var/tmp""#,
        "Folder for the rows of cursors that are too many for memory. The files have no names and are gone with their cursors.",
        |draft, given| draft.config.cursor.dir = given.path()?;
    "cursor.bytes_max" = "8589934592",
        "Bytes of rows that wait in all cursors together until clients fetch them.",
        |draft, given| draft.config.cursor.bytes_max = given.number(1, u64::MAX)?;

    "topology.store" = r#""file""#,
        "Where the topology is kept: `file` or `etcd`.",
        |draft, given| draft.config.topology.store = given.choice(&STORES)?;
    "topology.file" = r#""topology.json""#,
        "Topology of `store = \"file\"`. Reread when it changes.",
        |draft, given| draft.config.topology.file = given.path()?;
    "topology.endpoints" = r#"["127.0.0.1:2379"]"#,
        "Servers of `store = \"etcd\"`; in the environment, separated by commas.",
        |draft, given| draft.config.topology.endpoints = given.addresses()?;
    "vschema.dir" = r#""vschema""#,
        "Folder with one `<keyspace>.json` for each keyspace, and `routing_rules.json`. Reread when a file changes. With etcd they are kept there instead.",
        |draft, given| draft.config.vschema.dir = given.path()?;
    "transaction.mode" = r#""multi""#,
        "How transactions over several shards commit: `single` (changes on one shard only), `multi` (shard by shard) or `twopc` (all or none).",
        |draft, given| draft.config.transaction.mode = given.choice(&TRANSACTION_MODES)?;
    "transaction.user_modes" = "[]",
        "The same for certain users, as a list of `\"user=mode\"`. A session may choose with `SET transaction_mode`.",
        |draft, given| draft.config.transaction.user_modes = given.choices(&TRANSACTION_MODES)?;
    "transaction.timeout_ms" = "0",
        "Milliseconds that a transaction may be open; 0 is no limit. It is rolled back at once then. A session may choose less with `SET transaction_timeout`.",
        |draft, given| draft.config.transaction.timeout = given.milliseconds_or_none()?;
    "transaction.idle_timeout_ms" = "0",
        "Milliseconds that an open transaction may wait for its client's next statement; 0 is no limit. It is rolled back at once then.",
        |draft, given| draft.config.transaction.idle_timeout = given.milliseconds_or_none()?;
    "transaction.resolve_interval_ms" = "2000",
        "Milliseconds between looks for transactions of mode `twopc` that were left in doubt.",
        |draft, given| draft.config.transaction.resolve_interval = given.milliseconds()?;
    "transaction.abandon_age_ms" = "15000",
        "Milliseconds after which a prepared transaction without decision is rolled back.",
        |draft, given| draft.config.transaction.abandon_age = given.milliseconds()?;
    "http.listen" = r#""127.0.0.1:15000""#,
        "Address of status page and metrics, `host:port`. Empty: off.",
        |draft, given| draft.config.http.listen = given.optional_address()?;
    "control.listen" = r#""127.0.0.1:15999""#,
        "Address of the control API that `shardgate ctl` talks to, `host:port`. Empty: off.",
        |draft, given| draft.config.control.listen = given.optional_address()?;
    "query.timeout_ms" = "0",
        "Milliseconds that a query or a change of rows may run; 0 is no limit. A session may say otherwise (`SET query_timeout`), and a statement too (`/*vt+ QUERY_TIMEOUT_MS=… */`).",
        |draft, given| draft.config.query.timeout = given.milliseconds_or_none()?;
    "query.no_scatter" = "false",
        "Refuse queries and changes of rows that would go to all shards, unless they say `/*vt+ ALLOW_SCATTER */`.",
        |draft, given| draft.config.query.no_scatter = given.flag()?;
    "log.format" = r#""text""#,
        "`text`, or `json` for one object a line.",
        |draft, given| draft.config.log.format = given.choice(&LOG_FORMATS)?;
    "log.level" = r#""info""#,
        "Least important level written: `error`, `warn`, `info`, `debug` or `trace`.",
        |draft, given| draft.config.log.level = given.choice(&LOG_LEVELS)?;
};

const TABLET_TYPES: [(&str, TabletType); 4] = [
    ("primary", TabletType::Primary),
    ("replica", TabletType::Replica),
    ("rdonly", TabletType::Rdonly),
    ("master", TabletType::Primary),
];
const TYPE_NAMES: [(&str, TabletTypeNames); 2] =
    [("classic", TabletTypeNames::Classic), ("primary", TabletTypeNames::Primary)];
const TRANSACTION_MODES: [(&str, TransactionMode); 3] = [
    ("single", TransactionMode::Single),
    ("multi", TransactionMode::Multi),
    ("twopc", TransactionMode::TwoPc),
];
const AUTH_PLUGINS: [(&str, AuthPlugin); 2] = [
    ("caching_sha2_password", AuthPlugin::CachingSha2Password),
    ("mysql_native_password", AuthPlugin::MysqlNativePassword),
];
const BACKEND_TLS: [(&str, BackendTls); 4] = [
    ("disabled", BackendTls::Disabled),
    ("preferred", BackendTls::Preferred),
    ("required", BackendTls::Required),
    ("verify", BackendTls::Verify),
];
const STORES: [(&str, StoreKind); 2] = [("file", StoreKind::File), ("etcd", StoreKind::Etcd)];
const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// The range of `wait_timeout`.
fn seconds_of_a_year(given: &Given) -> Result<u32, String> {
    given.count(1, 31_536_000).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// The greeting holds the version as zero-terminated ASCII, and drivers want a number in front.
fn version(given: &Given) -> Result<String, String> {
    let version = given.some_text()?;
    let printable = version.bytes().all(|byte| byte.is_ascii_graphic()) && version.len() <= 60;
    if printable && version.starts_with(|c: char| c.is_ascii_digit()) {
        Ok(version)
    } else {
        Err("must begin with a digit and have at most 60 printable ASCII characters, like 8.4.0-Shardgate"
            .to_owned())
    }
}

impl Secret {
    /// Takes the first line of a password file.
    pub(super) fn from_file(text: &str) -> Self {
        Self::new(text.lines().next().unwrap_or_default())
    }
}

/// The table of keys in `docs/configuration.md`, in Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    let mut section = None;
    for key in KEYS {
        let (in_section, name) =
            key.name.split_once('.').map_or((None, key.name), |(s, name)| (Some(s), name));
        if section != Some(in_section) {
            section = Some(in_section);
            let title = in_section.map_or_else(|| "No section".to_owned(), |name| format!("`[{name}]`"));
            text.push_str(&format!(
                "\n### {title}\n\n| key | default | environment | meaning |\n|---|---|---|---|\n"
            ));
        }
        let (default, variable, about) = (key.default, key.environment(), key.about);
        text.push_str(&format!("| `{name}` | `{default}` | `{variable}` | {about} |\n"));
    }
    text
}
