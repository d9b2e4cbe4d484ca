//! Reading the configuration: sources in order, unknown keys, and rules that concern several keys.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::given::{Given, folder_of};
use super::keys::{Draft, KEYS, Key};
use super::{
    AuthPlugin, BackendConfig, BackendTls, Config, CursorConfig, GatherConfig, ListenConfig, LogConfig,
    LogFormat, LogLevel, MysqlConfig, QueryConfig, Secret, ServerTls, StoreKind, TopologyConfig,
    TransactionConfig, TransactionMode, VSchemaConfig,
};
use crate::limits;
use crate::topology::{TabletType, TabletTypeNames};

/// Looks up environment variables; a program passes the process's, a test a list.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is wrong with a configuration: the source, the key, the rule or remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// File name, environment variable, or `command line`.
    pub source: String,
    /// Dotted key, if one is to blame.
    pub key: Option<String>,
    /// What is expected.
    pub rule: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.source)?;
        if let Some(key) = &self.key {
            write!(f, "{key} ")?;
        }
        f.write_str(&self.rule)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Defaults, then the file, then the environment, then overrides (`("mysql.listen", "…")`).
    ///
    /// # Errors
    /// A file that cannot be read, and any key or value that is not understood.
    pub fn load(
        file: Option<&Path>,
        environment: Environment<'_>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let text = file.map(read).transpose()?;
        let sources = file.zip(text.as_deref());
        Self::assemble(sources, environment, overrides)
    }

    /// The defaults alone.
    ///
    /// # Panics
    /// Never: a test loads them.
    pub fn defaults() -> Self {
        Self::assemble(None, &|_| None, &[]).expect("defaults are valid, as a test checks")
    }

    fn assemble(
        file: Option<(&Path, &str)>,
        environment: Environment<'_>,
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut draft = Draft::blank();
        let default = |key: &Key| toml::from_str::<toml::Table>(&format!("x = {}", key.default));
        for key in KEYS {
            let table =
                default(key).map_err(|error| ConfigError::new("defaults", key.name, error.to_string()))?;
            let given = table.get("x").map(|value| Given::File { value: value.clone(), dir: PathBuf::new() });
            given.map_or(Ok(()), |given| draft.set("defaults", key, &given))?;
        }
        let source = file.map_or_else(|| "configuration".to_owned(), |(path, _)| path.display().to_string());
        if let Some((path, text)) = file {
            draft.read_file(&source, path, text)?;
        }
        for key in KEYS {
            let variable = key.environment();
            if let Some(text) = environment(&variable) {
                draft.set(&format!("environment variable {variable}"), key, &Given::Text(text))?;
            }
        }
        for (name, text) in overrides {
            let key = find(name).ok_or_else(|| unknown("command line", name))?;
            draft.set("command line", key, &Given::Text(text.clone()))?;
        }
        draft.config.fault_dir = environment(FAULT_DIR).map(PathBuf::from);
        draft.finish(&source)
    }
}

/// For tests alone, so it is no key.
const FAULT_DIR: &str = "SHARDGATE_FAULT_DIR";

fn read(path: &Path) -> Result<String, ConfigError> {
    let refuse = |rule: String| ConfigError { source: path.display().to_string(), key: None, rule };
    let size = std::fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?.len();
    if size > limits::CONFIG_FILE_BYTES_MAX as u64 {
        return Err(refuse(format!("is larger than {} bytes", limits::CONFIG_FILE_BYTES_MAX)));
    }
    std::fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {error}")))
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl ConfigError {
    fn new(source: &str, key: &str, rule: impl Into<String>) -> Self {
        Self { source: source.to_owned(), key: Some(key.to_owned()), rule: rule.into() }
    }
}

/// An unknown key's error names the nearest known one.
fn unknown(source: &str, name: &str) -> ConfigError {
    // A key in a wrong section is the commonest slip after a misspelling.
    let last = name.rsplit('.').next().unwrap_or(name);
    let distance = |key: &&Key| {
        let bare = key.name.rsplit('.').next().unwrap_or(key.name);
        edit_distance(key.name, name).min(edit_distance(bare, last) + usize::from(bare != key.name))
    };
    let nearest = KEYS.iter().min_by_key(distance).map_or("", |key| key.name);
    ConfigError::new(source, name, format!("is no known key; did you mean {nearest}?"))
}

fn unknown_section(source: &str, name: &str) -> ConfigError {
    let sections = KEYS.iter().filter_map(|key| key.name.split_once('.').map(|(section, _)| section));
    let nearest = sections.min_by_key(|section| edit_distance(section, name)).unwrap_or("");
    ConfigError::new(source, name, format!("is no known section; did you mean [{nearest}]?"))
}

/// Levenshtein's distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Draft {
    /// Placeholders; every key's default is set over them.
    fn blank() -> Self {
        let config = Config {
            cell: "".into(),
            tablet_type_names: TabletTypeNames::Classic,
            default_tablet_type: TabletType::Primary,
            workers: 0,
            grace_period: Duration::ZERO,
            mysql: MysqlConfig {
                listen: None,
                socket: None,
                users: PathBuf::new(),
                version: String::new(),
                tls: None,
                tls_required: false,
                connections_max: 0,
                auth_plugin: AuthPlugin::CachingSha2Password,
                wait_timeout_s: 0,
                interactive_timeout_s: 0,
            },
            backend: BackendConfig {
                user: String::new(),
                password: Secret::default(),
                connect_timeout: Duration::ZERO,
                tls: BackendTls::Disabled,
                tls_ca: None,
                pool_connections_max: 0,
                pool_wait: Duration::ZERO,
                pool_idle: Duration::ZERO,
                pool_lifetime: Duration::ZERO,
            },
            gather: GatherConfig { allow: true, rows_max: 0, bytes_max: 0 },
            cursor: CursorConfig { dir: PathBuf::new(), bytes_max: 0 },
            topology: TopologyConfig { store: StoreKind::File, file: PathBuf::new(), endpoints: Vec::new() },
            vschema: VSchemaConfig { dir: PathBuf::new() },
            transaction: TransactionConfig {
                mode: TransactionMode::Multi,
                user_modes: Vec::new(),
                timeout: Duration::ZERO,
                idle_timeout: Duration::ZERO,
                resolve_interval: Duration::ZERO,
                abandon_age: Duration::ZERO,
            },
            http: ListenConfig { listen: None },
            control: ListenConfig { listen: None },
            query: QueryConfig::default(),
            log: LogConfig { format: LogFormat::Text, level: LogLevel::Info },
            fault_dir: None,
        };
        Self { config, password: String::new(), password_file: None, tls_cert: None, tls_key: None }
    }

    fn set(&mut self, source: &str, key: &Key, given: &Given) -> Result<(), ConfigError> {
        (key.set)(self, given).map_err(|rule| ConfigError::new(source, key.name, rule))
    }

    fn read_file(&mut self, source: &str, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let rule = format!("is no valid TOML: {}", error.to_string().trim_end());
            ConfigError { source: source.to_owned(), key: None, rule }
        })?;
        let dir = folder_of(path);
        for (name, value) in table {
            let is_section = KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(s, _)| s == name));
            match value {
                toml::Value::Table(keys) if is_section => {
                    for (key, value) in keys {
                        self.set_from_file(source, &format!("{name}.{key}"), value, &dir)?;
                    }
                }
                _ if is_section => {
                    return Err(ConfigError::new(source, &name, format!("is a section; write [{name}]")));
                }
                toml::Value::Table(_) => return Err(unknown_section(source, &name)),
                value => self.set_from_file(source, &name, value, &dir)?,
            }
        }
        Ok(())
    }

    fn set_from_file(
        &mut self,
        source: &str,
        name: &str,
        value: toml::Value,
        dir: &Path,
    ) -> Result<(), ConfigError> {
        let key = find(name).ok_or_else(|| unknown(source, name))?;
        self.set(source, key, &Given::File { value, dir: dir.to_path_buf() })
    }

    /// The rules that concern several keys.
    fn finish(mut self, source: &str) -> Result<Config, ConfigError> {
        let refuse = |key: &str, rule: String| Err(ConfigError::new(source, key, rule));
        let mysql = &mut self.config.mysql;
        mysql.tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(ServerTls { cert, key }),
            (None, None) => None,
            (Some(_), None) => {
                return refuse("mysql.tls_key", "is missing; mysql.tls_cert needs it".to_owned());
            }
            (None, Some(_)) => {
                return refuse("mysql.tls_cert", "is missing; mysql.tls_key needs it".to_owned());
            }
        };
        if mysql.tls_required && mysql.tls.is_none() {
            return refuse("mysql.tls_required", "needs mysql.tls_cert and mysql.tls_key".to_owned());
        }
        if mysql.listen.is_none() && mysql.socket.is_none() {
            return refuse("mysql.listen", "is empty; give it or mysql.socket".to_owned());
        }
        let backend = &mut self.config.backend;
        backend.password = match self.password_file {
            None => Secret::new(self.password),
            Some(_) if !self.password.is_empty() => {
                return refuse(
                    "backend.password",
                    "is given beside backend.password_file; remove one".to_owned(),
                );
            }
            Some(path) => match read(&path) {
                Ok(text) => Secret::from_file(&text),
                Err(error) => {
                    return refuse("backend.password_file", format!("{}: {}", error.source, error.rule));
                }
            },
        };
        if backend.tls == BackendTls::Verify && backend.tls_ca.is_none() {
            return refuse("backend.tls_ca", "is missing; backend.tls = \"verify\" needs it".to_owned());
        }
        if self.config.topology.store == StoreKind::Etcd && self.config.topology.endpoints.is_empty() {
            return refuse("topology.endpoints", "is empty; topology.store = \"etcd\" needs it".to_owned());
        }
        if self.config.workers == 0 {
            self.config.workers = std::thread::available_parallelism().map_or(1, usize::from);
        }
        Ok(self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::limits;

    fn load(
        text: &str,
        environment: Environment<'_>,
        overrides: &[(&str, &str)],
    ) -> Result<Config, ConfigError> {
        let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::assemble(Some((Path::new("/etc/sg/shardgate.toml"), text)), environment, &overrides)
    }

    fn check_error(text: &str, expected: &str) {
        let error = load(text, &|_| None, &[]).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("/etc/sg/shardgate.toml: {expected}"));
    }

    #[test]
    fn defaults_agree_with_the_limits() {
        let config = Config::defaults();
        assert_eq!(config.mysql.connections_max, limits::CLIENT_CONNECTIONS_MAX);
        assert_eq!(config.backend.pool_connections_max, limits::POOL_CONNECTIONS_MAX);
        assert_eq!(config.backend.pool_wait, limits::POOL_WAIT);
        assert_eq!(config.backend.pool_idle, limits::POOL_IDLE);
        assert_eq!(config.backend.pool_lifetime, limits::POOL_LIFETIME);
        assert_eq!(config.backend.connect_timeout, limits::BACKEND_CONNECT_TIMEOUT);
        assert_eq!(config.grace_period, limits::DRAIN_TIMEOUT);
        assert_eq!(config.mysql.listen.as_deref(), Some("127.0.0.1:15306"));
        assert!(config.workers >= 1);
    }

    #[test]
    fn later_sources_win() {
        let text = "cell = \"a\"\nworkers = 3\n[mysql]\nlisten = \"h:1\"\nusers = \"u.json\"\n";
        let environment = |name: &str| (name == "SHARDGATE_MYSQL_LISTEN").then(|| "h:2".to_owned());
        let config = load(text, &environment, &[("cell", "c")]).unwrap();
        assert_eq!(config.cell, "c");
        assert_eq!(config.workers, 3);
        assert_eq!(config.mysql.listen.as_deref(), Some("h:2"));
        assert_eq!(config.mysql.users, Path::new("/etc/sg/u.json"));
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        check_error("[mysql]\nlitsen = \"\"", "mysql.litsen is no known key; did you mean mysql.listen?");
        check_error("listen = \"h:1\"", "listen is no known key; did you mean mysql.listen?");
        check_error("[mysq]\nlisten = \"\"", "mysq is no known section; did you mean [mysql]?");
        check_error("sell = \"\"", "sell is no known key; did you mean cell?");
        check_error(
            "[backend]\npasword = \"\"",
            "backend.pasword is no known key; did you mean backend.password?",
        );
        let error = load("", &|_| None, &[("mysql.port", "1")]).unwrap_err();
        assert!(error.to_string().starts_with("command line: mysql.port is no known key"), "{error}");
    }

    #[test]
    fn wrong_values_name_key_and_remedy() {
        check_error("workers = \"many\"", "workers must be a number, not a string");
        check_error(
            "[mysql]\nlisten = \"15306\"",
            "mysql.listen \"15306\" is no address; write host:port, for example 127.0.0.1:15306",
        );
        check_error("[mysql]\nlisten = \"\"", "mysql.listen is empty; give it or mysql.socket");
        check_error("[mysql]\ntls_cert = \"c\"", "mysql.tls_key is missing; mysql.tls_cert needs it");
        check_error(
            "[mysql]\ntls_required = true",
            "mysql.tls_required needs mysql.tls_cert and mysql.tls_key",
        );
        check_error(
            "[backend]\ntls = \"verify\"",
            "backend.tls_ca is missing; backend.tls = \"verify\" needs it",
        );
        check_error("[backend]\npool_wait_ms = 0", "backend.pool_wait_ms must be 1 to 86400000");
        check_error("[topology]\nstore = \"zk\"", "topology.store must be one of file, etcd, not \"zk\"");
        check_error("mysql = 1", "mysql is a section; write [mysql]");
        check_error(
            "[backend]\npassword = \"x\"\npassword_file = \"y\"",
            "backend.password is given beside backend.password_file; remove one",
        );
        let error = load("x = ", &|_| None, &[]).unwrap_err().to_string();
        assert!(error.starts_with("/etc/sg/shardgate.toml: is no valid TOML: "), "{error}");
        let environment = |name: &str| (name == "SHARDGATE_WORKERS").then(|| "x".to_owned());
        let error = load("", &environment, &[]).unwrap_err().to_string();
        assert_eq!(error, "environment variable SHARDGATE_WORKERS: workers must be 0 to 1024");
    }

    #[test]
    fn passwords_are_read_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "s3cret\n").unwrap();
        std::fs::write(dir.path().join("c.toml"), "[backend]\npassword_file = \"pw\"\n").unwrap();
        let config = Config::load(Some(&dir.path().join("c.toml")), &|_| None, &[]).unwrap();
        assert_eq!(config.backend.password.reveal(), "s3cret");
        assert!(!format!("{config:?}").contains("s3cret"));
        let missing = Config::load(Some(&dir.path().join("d.toml")), &|_| None, &[]).unwrap_err().to_string();
        assert!(missing.contains("d.toml: cannot be read"), "{missing}");
    }

    #[test]
    fn the_manual_has_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        let manual = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = manual.split_once("<!-- keys -->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end of keys -->").unwrap();
        let current = format!("{before}<!-- keys -->\n{}\n<!-- end of keys -->{after}", reference());
        if std::env::var_os("ROUTER_BLESS").is_some() {
            std::fs::write(&path, &current).unwrap();
        } else {
            assert_eq!(manual, current, "run this test with ROUTER_BLESS=1 to rewrite docs/configuration.md");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(edit_distance("listen", "litsen"), 2);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
    }
}
