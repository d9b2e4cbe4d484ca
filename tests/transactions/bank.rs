//! A bank on three shards: its servers, its routers, and the audit.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shardgate::local::{
    Cluster, ClusterSpec, Durability, Engine, Installation, KeyspaceSpec, ListenAddresses, Silent,
    TabletHandle,
};

use crate::client::{Client, Options};

pub const SHARDS: [&str; 3] = ["-55", "55-aa", "aa-"];
pub const ACCOUNTS: u64 = 120;
const BALANCE: i64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

const SCHEMA: &str = "
CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE holder (id bigint PRIMARY KEY, email varchar(60) NOT NULL, UNIQUE KEY (email));
CREATE TABLE email_idx (email varchar(60) PRIMARY KEY, keyspace_id varbinary(16) NOT NULL);
CREATE TABLE journal (account bigint, transfer varchar(40), amount bigint, PRIMARY KEY (account, transfer));
";
const VSCHEMA: &str = r#"{
  "sharded": true,
  "vindexes": {
    "hash": { "type": "hash" },
    "text": { "type": "unicode_loose_xxhash" },
    "email_lookup": {
      "type": "consistent_lookup_unique",
      "owner": "holder",
      "params": { "table": "email_idx", "from": "email", "to": "keyspace_id" }
    }
  },
  "tables": {
    "account": { "column_vindexes": [{ "column": "id", "name": "hash" }] },
    "holder": { "column_vindexes": [{ "column": "id", "name": "hash" }, { "column": "email", "name": "email_lookup" }] },
    "email_idx": { "column_vindexes": [{ "column": "email", "name": "text" }] },
    "journal": { "column_vindexes": [{ "column": "account", "name": "hash" }] }
  }
}"#;

pub struct Bank {
    cluster: Cluster,
}

impl Bank {
    /// Starts the servers and opens the accounts.
    pub fn start(installation: &Installation, dir: &Path, durability: Durability) -> Self {
        let shards: Vec<(&str, [u32; 1])> =
            SHARDS.iter().zip(1..).map(|(&shard, uid)| (shard, [uid])).collect();
        let shards: Vec<(&str, &[u32])> = shards.iter().map(|(shard, uids)| (*shard, &uids[..])).collect();
        Self::start_on(&shards, installation, dir, durability)
    }

    /// The same on other shards: each with the uids of its servers, the primary's first.
    pub fn start_on(
        shards: &[(&str, &[u32])],
        installation: &Installation,
        dir: &Path,
        durability: Durability,
    ) -> Self {
        let keyspace = KeyspaceSpec::sharded("bank", shards).with_schema(SCHEMA, VSCHEMA);
        let mut spec = ClusterSpec::new(vec![keyspace]);
        spec.server.durability = durability;
        spec.server.options = vec!["--innodb-lock-wait-timeout=1".to_owned()];
        let cluster = Cluster::start(&spec, installation, dir, false, &Silent).unwrap();
        let bank = Self { cluster };
        let listen = ListenAddresses { mysql: free_address(), http: free_address(), control: free_address() };
        bank.cluster.write_config(&listen).unwrap();
        bank.reset();
        bank
    }

    pub fn engine(&self) -> Engine {
        self.cluster.engine()
    }

    /// The cluster's topology, with another port for one of its servers.
    pub fn topology_with(&self, index: usize, port: u16) -> String {
        let text = std::fs::read_to_string(self.cluster.topology_path()).unwrap();
        let (old, new) = (self.server(index).port().to_string(), port.to_string());
        assert_eq!(text.matches(&old).count(), 1, "{text}");
        text.replace(&old, &new)
    }

    /// Makes a shard's other server its primary, as a tool for failovers would.
    pub fn promote(&self, old: usize, new: usize) {
        let stop = match self.engine() {
            Engine::MariaDb => "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0",
            Engine::MySql => {
                "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = 0; SET GLOBAL read_only = 0"
            }
        };
        self.server(new).client().run(None, stop).unwrap();
        let path = self.cluster.topology_path();
        let mut topology: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for (index, tablet_type) in [(old, "REPLICA"), (new, "PRIMARY")] {
            *type_of(&mut topology, self.server(index).alias()) = tablet_type.into();
        }
        // In one step: routers read it at any time.
        let written = path.with_extension("new");
        std::fs::write(&written, serde_json::to_string_pretty(&topology).unwrap()).unwrap();
        std::fs::rename(written, path).unwrap();
    }

    pub fn server(&self, index: usize) -> &TabletHandle {
        &self.cluster.tablets()[index]
    }

    /// All accounts as in the beginning.
    pub fn reset(&self) {
        let router = Router::start(self, "multi", None);
        let mut client = router.client();
        client.run("delete from journal").unwrap();
        client.run("delete from account").unwrap();
        let rows: Vec<String> = (1..=ACCOUNTS).map(|id| format!("({id}, {BALANCE})")).collect();
        client.run(&format!("insert into account (id, balance) values {}", rows.join(", "))).unwrap();
    }

    /// Waits until nothing is in doubt on any server, and nothing of a transaction is left.
    pub fn settle(&self) {
        let router = Router::start(self, "twopc", None);
        until("recovery has ended everything", || {
            self.cluster.tablets().iter().all(|server| {
                let branches = server.client().run(None, "XA RECOVER").unwrap();
                let records =
                    server.client().run(None, "SELECT dtid FROM _shardgate.twopc WHERE decision = 'COMMIT'");
                let open = server.client().run(None, "SELECT trx_id FROM information_schema.innodb_trx");
                // No log: nothing was ever decided there.
                branches.is_empty() && records.unwrap_or_default().is_empty() && open.unwrap().is_empty()
            })
        });
        let unresolved = router.client().rows("show unresolved transactions").unwrap();
        assert!(unresolved.is_empty(), "{unresolved:?}");
    }

    /// No money was made or lost.
    pub fn check_sum(&self) {
        let sum: i64 = self.numbers("SELECT COALESCE(SUM(balance), 0) FROM account").iter().sum();
        assert_eq!(sum, BALANCE * i64::try_from(ACCOUNTS).unwrap());
    }

    /// Which accounts each transfer has changed.
    pub fn journal(&self) -> BTreeMap<String, Vec<u64>> {
        let mut journal: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for server in self.cluster.tablets() {
            let rows = server.client().run(Some("vt_bank"), "SELECT transfer, account FROM journal").unwrap();
            for row in rows.lines() {
                let (transfer, account) = row.split_once('\t').unwrap();
                journal.entry(transfer.to_owned()).or_default().push(account.parse().unwrap());
            }
        }
        journal
    }

    /// A report of a partial commit names for each shard what really became of it.
    pub fn check_report(&self, text: &str, accounts: &[u64], found: &[u64]) {
        let part = |words: &str| {
            let rest = text.split_once(words).map_or("", |(_, rest)| rest);
            rest.split(';').next().unwrap_or_default().to_owned()
        };
        let (committed, not_committed) = (part("after committing to "), part("; not committed: "));
        for (index, shard) in SHARDS.iter().enumerate() {
            let here = format!(
                "SELECT id FROM account WHERE id IN ({})",
                accounts.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
            );
            let rows = self.server(index).client().run(Some("vt_bank"), &here).unwrap();
            let mut on_shard = rows.lines().map(|id| id.parse::<u64>().unwrap());
            let names_shard = |list: &str| list.contains(&format!("shard:\"{shard}\""));
            if names_shard(&committed) {
                assert!(on_shard.all(|id| found.contains(&id)), "{shard}: {text}; found {found:?}");
            } else if names_shard(&not_committed) {
                assert!(!on_shard.any(|id| found.contains(&id)), "{shard}: {text}; found {found:?}");
            }
        }
    }

    fn numbers(&self, sql: &str) -> Vec<i64> {
        let number = |server: &TabletHandle| {
            server.client().run(Some("vt_bank"), sql).unwrap().trim().parse().unwrap()
        };
        self.cluster.tablets().iter().map(number).collect()
    }
}

/// The `type` of a tablet in a topology file.
fn type_of<'t>(topology: &'t mut serde_json::Value, alias: &str) -> &'t mut serde_json::Value {
    let shards = topology["keyspaces"]["bank"]["shards"].as_object_mut().unwrap();
    let mut tablets = shards.values_mut().flat_map(|shard| shard["tablets"].as_array_mut().unwrap());
    &mut tablets.find(|tablet| tablet["alias"] == alias).unwrap()["type"]
}

/// A failed test shows what the servers have to say: a server that has ended says why in its log.
impl Drop for Bank {
    fn drop(&mut self) {
        const LINES: usize = 40;
        if !std::thread::panicking() {
            return;
        }
        for server in self.cluster.tablets() {
            let log = std::fs::read(server.log_path()).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LINES)..];
            println!(
                "{} ({}), running: {}; the end of its log:\n{}",
                server.alias(),
                self.engine(),
                server.is_running(),
                tail.join("\n")
            );
        }
    }
}

/// A router as a process; dropping it kills it with SIGKILL.
pub struct Router {
    pub address: SocketAddr,
    child: Child,
}

impl Router {
    pub fn start(bank: &Bank, mode: &str, faults: Option<&Path>) -> Self {
        Self::start_at(bank, mode, faults, free_address())
    }

    pub fn start_at(bank: &Bank, mode: &str, faults: Option<&Path>, address: SocketAddr) -> Self {
        Self::start_with(bank, mode, faults, address, &bank.cluster.topology_path())
    }

    /// A router that leaves slow commits alone.
    pub fn start_patient(bank: &Bank, mode: &str, faults: &Path) -> Self {
        let topology = bank.cluster.topology_path();
        Self::start_process(bank, mode, Some(faults), free_address(), &topology, Duration::from_secs(120))
    }

    /// A router that finds the servers by another topology.
    pub fn start_with(
        bank: &Bank,
        mode: &str,
        faults: Option<&Path>,
        address: SocketAddr,
        topology: &Path,
    ) -> Self {
        Self::start_process(bank, mode, faults, address, topology, Duration::from_millis(700))
    }

    fn start_process(
        bank: &Bank,
        mode: &str,
        faults: Option<&Path>,
        address: SocketAddr,
        topology: &Path,
        abandon_age: Duration,
    ) -> Self {
        let config = bank.cluster.topology_path().with_file_name("shardgate.toml");
        let log = std::fs::File::create(config.with_file_name(format!("router-{}.log", address.port())));
        let log = log.unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_shardgate"), "serve", "--config"])
            .arg(config);
        for (key, value) in [
            ("mysql.listen", address.to_string()),
            ("http.listen", String::new()),
            ("control.listen", String::new()),
            ("topology.file", topology.display().to_string()),
            ("transaction.mode", mode.to_owned()),
            ("transaction.resolve_interval_ms", "200".to_owned()),
            ("transaction.abandon_age_ms", abandon_age.as_millis().to_string()),
        ] {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        if let Some(dir) = faults {
            command.env("SHARDGATE_FAULT_DIR", dir);
        }
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let router = Self { address, child };
        until("the router serves", || {
            Client::login(&router.options())
                .and_then(|mut client| client.rows("show vitess_tablets"))
                .is_ok_and(|tablets| {
                    tablets.iter().filter(|tablet| is_primary(tablet)).all(|tablet| serves(tablet))
                })
        });
        router
    }

    pub fn options(&self) -> Options {
        options(self.address)
    }

    pub fn client(&self) -> Client {
        Client::login(&self.options()).unwrap()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_primary(tablet: &[Option<String>]) -> bool {
    tablet[3].as_deref() == Some("MASTER")
}

/// A row of `show vitess_tablets`.
pub fn serves(tablet: &[Option<String>]) -> bool {
    tablet[4].as_deref() == Some("SERVING")
}

pub fn options(address: SocketAddr) -> Options {
    Options::new(address, "user", "").database("bank")
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).unwrap()
}

pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
