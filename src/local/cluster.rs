//! A cluster of running servers, and the single plain server that tests compare it with.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::client::SqlClient;
use super::datadir::{Credentials, Prepared, make_private_dir, remove_dir};
use super::engine::{Engine, Installation};
use super::files::{Files, ListenAddresses};
use super::ports::Ports;
use super::progress::Progress;
use super::replication;
use super::server::{Server, ServerPlace, StartError};
use super::spec::{ClusterSpec, Durability, ServerSpec};
use super::state::{ClusterState, DirectoryLock, tablets_dir, wipe};
use super::supervisor::Signal;
use super::{Error, Result};
use crate::topology::TabletType;

/// Longest path of a unix socket that both the kernel (108 bytes) and the servers (with suffixes like `.lock`) take.
const SOCKET_PATH_BYTES_MAX: usize = 96;

/// Tries to start one server on another port when its port was taken meanwhile.
const PORT_TRIES: usize = 5;

/// A running cluster. Dropping it stops every server.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    files: Files,
    cell: String,
    engine: Engine,
    credentials: Credentials,
    tablets: Vec<TabletHandle>,
    servers: Servers,
    // Last: the directory is let go of when the servers are down.
    _lock: DirectoryLock,
}

/// One tablet of a running cluster. The handle may be used from any thread.
#[derive(Clone, Debug)]
pub struct TabletHandle {
    alias: String,
    keyspace: String,
    shard: String,
    db_name: String,
    engine: Engine,
    files: Files,
    server: std::sync::Arc<Server>,
}

impl Cluster {
    /// Starts the cluster of `dir`, making it on the first run; `is_fresh` throws away what is there. Blocks
    /// until every server answers and every replica has caught up.
    ///
    /// # Errors
    /// The directory is in use or holds something else, a server does not start, or a statement of the
    /// specification fails. Everything that was started is stopped again.
    pub fn start(
        spec: &ClusterSpec,
        installation: &Installation,
        dir: &Path,
        is_fresh: bool,
        progress: &dyn Progress,
    ) -> Result<Self> {
        make_private_dir(dir)?;
        let dir = &fs::canonicalize(dir).map_err(Error::io("cannot enter", dir))?;
        let note = |what: &str| progress.note(what);
        let lock = DirectoryLock::take(dir, &note)?;
        let mut old = if is_fresh { None } else { ClusterState::read(dir)? };
        if old.as_ref().is_none_or(|state| !state.is_complete) {
            wipe(dir)?;
            old = None;
        }
        let is_new = old.is_none();
        if let Some(state) = &old {
            check_same(dir, state, spec, installation.engine)?;
        }
        progress.begin(spec.tablets().count() + 1);
        let prepared = if is_new { Some(Prepared::get(installation, dir, &note)?) } else { None };
        let state = old.or_else(|| Some(new_state(installation, prepared.as_ref()?)));
        let Some(mut state) = state else { return Err(Error::directory(dir, "has no state")) };
        let cluster = Self::lay_out(spec, installation, dir, lock, &mut state)?;
        state.write(dir)?;
        cluster.files.write_once(spec)?;
        cluster.files.write_client_options(&state.credentials)?;

        let types = cluster.files.read_types();
        let ports = Mutex::new(Ports::new(spec.first_port));
        let first_ports = cluster.first_ports(&ports, &state.ports);
        cluster.start_servers(spec, &types, prepared.as_ref(), &|server, is_read_only| {
            let first_port = first_ports.get(&server.place().name).copied();
            start_on_free_port(server, is_read_only, &ports, first_port)?;
            progress.advance(&format!("{} listens on port {}", server.place().name, server.port()));
            Ok(())
        })?;
        state.ports = cluster.tablets.iter().map(|tablet| (tablet.alias.clone(), tablet.port())).collect();
        cluster.files.write_topology(spec, &state.ports)?;
        cluster.start_replication()?;
        progress.advance("replicas have caught up");
        state.is_complete = true;
        installation.version.clone_into(&mut state.version);
        state.write(dir)?;
        progress.finish();
        Ok(cluster)
    }

    /// The engine whose data a directory holds, if it holds a cluster.
    pub fn engine_of(dir: &Path) -> Option<Engine> {
        let state = ClusterState::read(dir).ok()??;
        Engine::ALL.into_iter().find(|engine| engine.as_str() == state.engine)
    }

    /// Every tablet, in the order of the specification.
    pub fn tablets(&self) -> &[TabletHandle] {
        &self.tablets
    }

    /// The tablet with this alias.
    pub fn tablet(&self, alias: &str) -> Option<&TabletHandle> {
        self.tablets.iter().find(|tablet| tablet.alias == alias)
    }

    /// The tablet that `topology.json` names as a shard's primary now.
    pub fn primary(&self, keyspace: &str, shard: &str) -> Option<&TabletHandle> {
        let types = self.files.read_types();
        let is_primary = |tablet: &&TabletHandle| types.get(&tablet.alias) == Some(&TabletType::Primary);
        self.tablets
            .iter()
            .filter(|tablet| tablet.keyspace == keyspace && tablet.shard == shard)
            .find(is_primary)
    }

    /// The engine that all its servers are of.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The cluster's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `topology.json`.
    pub fn topology_path(&self) -> PathBuf {
        self.files.topology()
    }

    /// `users.json`.
    pub fn users_path(&self) -> PathBuf {
        self.files.users()
    }

    /// The directory of the VSchema files.
    pub fn vschema_dir(&self) -> PathBuf {
        self.files.vschema()
    }

    /// Passwords of the servers' accounts.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Writes `shardgate.toml` for a router that listens at these addresses, and gives its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_config(&self, listen: &ListenAddresses) -> Result<PathBuf> {
        self.files.write_config(&self.credentials, &self.cell, listen)?;
        Ok(self.files.config())
    }

    /// Waits until every replica has what its primary has now.
    ///
    /// # Errors
    /// A replica does not get there within a minute, or a server does not answer.
    pub fn wait_for_replicas(&self) -> Result<()> {
        self.each_replica(|primary, replica| {
            replication::catch_up(self.engine, &replica.alias, &primary.client(), &replica.client())
        })
    }

    /// Stops every server cleanly; the data stays.
    pub fn stop(self) {
        self.servers.stop_all();
    }

    /// The cluster with all its servers still down.
    fn lay_out(
        spec: &ClusterSpec,
        installation: &Installation,
        dir: &Path,
        lock: DirectoryLock,
        state: &mut ClusterState,
    ) -> Result<Self> {
        let files = Files::new(dir);
        let socket_dir = socket_dir(spec, dir, state)?;
        let mut tablets = Vec::new();
        for (keyspace, shard, tablet) in spec.tablets() {
            let alias = spec.alias(tablet);
            let place = ServerPlace {
                name: alias.clone(),
                server_id: tablet.uid,
                dir: tablets_dir(dir).join(&alias),
                socket: socket_dir.join(format!("{:010}.sock", tablet.uid)),
                defaults_file: files.client_options(),
            };
            tablets.push(TabletHandle {
                alias,
                keyspace: keyspace.name.clone(),
                shard: shard.name.clone(),
                db_name: keyspace.db_name.clone(),
                engine: installation.engine,
                files: files.clone(),
                server: std::sync::Arc::new(Server::new(place, installation, &spec.server)),
            });
        }
        let servers = Servers {
            all: tablets.iter().map(|tablet| tablet.server.clone()).collect(),
            durability: spec.server.durability,
            socket_dir: state.socket_dir.clone(),
        };
        Ok(Self {
            dir: dir.to_owned(),
            files,
            cell: spec.cell.clone(),
            engine: installation.engine,
            credentials: state.credentials.clone(),
            tablets,
            servers,
            _lock: lock,
        })
    }

    /// A port for each tablet: its old one where that is free, otherwise the next free one in order.
    fn first_ports(&self, ports: &Mutex<Ports>, old: &BTreeMap<String, u16>) -> BTreeMap<String, u16> {
        let mut ports = ports.lock().unwrap_or_else(PoisonError::into_inner);
        self.tablets
            .iter()
            .filter_map(|tablet| Some((tablet.alias.clone(), ports.take(old.get(&tablet.alias).copied())?)))
            .collect()
    }

    /// Starts all servers at once, and makes the databases of new ones.
    fn start_servers(
        &self,
        spec: &ClusterSpec,
        types: &BTreeMap<String, TabletType>,
        prepared: Option<&Prepared>,
        start: &(dyn Fn(&Server, bool) -> Result<()> + Sync),
    ) -> Result<()> {
        let all: Vec<_> = self.tablets.iter().zip(spec.tablets()).collect();
        in_parallel(&all, |(handle, (keyspace, shard, tablet))| {
            let is_primary = *types.get(&handle.alias).unwrap_or(&tablet.tablet_type) == TabletType::Primary;
            let Some(prepared) = prepared else { return start(&handle.server, !is_primary) };
            prepared.copy_to(&handle.server.data_dir())?;
            start(&handle.server, !is_primary)?;
            if is_primary {
                let client = handle.client();
                client.run(None, &format!("CREATE DATABASE `{}`", keyspace.db_name))?;
                client
                    .run(Some(&keyspace.db_name), &[keyspace.schema_sql.as_str(), &shard.sql].join("\n"))?;
            }
            Ok(())
        })
    }

    fn start_replication(&self) -> Result<()> {
        self.each_replica(|primary, replica| {
            let client = replica.client();
            replication::follow(self.engine, &client, primary.port(), &self.credentials)?;
            replication::catch_up(self.engine, &replica.alias, &primary.client(), &client)
        })
    }

    /// Does something for every tablet that is no primary, with its shard's primary. A shard without a primary
    /// (which a failover that was cut short leaves) is passed over.
    fn each_replica(&self, act: impl Fn(&TabletHandle, &TabletHandle) -> Result<()> + Sync) -> Result<()> {
        let pairs: Vec<_> = self
            .tablets
            .iter()
            .filter_map(|tablet| Some((self.primary(&tablet.keyspace, &tablet.shard)?, tablet)))
            .filter(|(primary, tablet)| primary.alias != tablet.alias)
            .collect();
        in_parallel(&pairs, |(primary, replica)| act(primary, replica))
    }
}

impl TabletHandle {
    /// `zone1-0120139806`.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Name of its keyspace.
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }

    /// Name of its shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// Name of its database.
    pub fn db_name(&self) -> &str {
        &self.db_name
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Path of its unix socket.
    pub fn socket(&self) -> &Path {
        &self.server.place().socket
    }

    /// Process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Path of the server's error log.
    pub fn log_path(&self) -> PathBuf {
        self.server.place().dir.join("error.log")
    }

    /// Whether its process runs (a frozen one does).
    pub fn is_running(&self) -> bool {
        self.server.is_running()
    }

    /// Runs SQL on this very server as its administrator, past the router.
    pub fn client(&self) -> SqlClient {
        self.server.client()
    }

    /// Ends the server as a crash would (SIGKILL).
    pub fn kill(&self) {
        self.server.signal(Signal::Kill);
    }

    /// Freezes the server (SIGSTOP): connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.server.signal(Signal::Stop);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server.signal(Signal::Continue);
    }

    /// Stops the server cleanly.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Starts the server again on its old port, read-only unless `topology.json` calls it the primary; a replica
    /// goes on replicating.
    ///
    /// # Errors
    /// The server does not start, or its port was taken meanwhile.
    pub fn restart(&self) -> Result<()> {
        self.server.stop();
        let types = self.files.read_types();
        let is_primary = types.get(&self.alias) == Some(&TabletType::Primary);
        self.server.start(self.port(), !is_primary).map_err(|error| match error {
            StartError::Other(error) => error,
            StartError::PortTaken => Error::Server {
                name: self.alias.clone(),
                reason: format!("port {} was taken by another program", self.port()),
                log: String::new(),
            },
        })?;
        if is_primary { Ok(()) } else { replication::resume(self.engine, &self.client()) }
    }
}

/// One server on its own: the oracle that tests compare the router with. Dropping it stops the server.
#[derive(Debug)]
pub struct PlainServer {
    servers: Servers,
    server: std::sync::Arc<Server>,
    credentials: Credentials,
    engine: Engine,
}

impl PlainServer {
    /// Starts a server in `dir`, which must be empty, with databases made by the given statements:
    /// `(database, statements)`.
    ///
    /// # Errors
    /// The server does not start, or a statement fails.
    pub fn start(
        installation: &Installation,
        dir: &Path,
        spec: &ServerSpec,
        databases: &[(&str, &str)],
    ) -> Result<Self> {
        make_private_dir(dir)?;
        let dir = &fs::canonicalize(dir).map_err(Error::io("cannot enter", dir))?;
        let prepared = Prepared::get(installation, dir, &|_| ())?;
        let files = Files::new(dir);
        files.write_client_options(&prepared.credentials)?;
        let (socket_dir, is_outside) = short_dir(dir, "server.sock".len())?;
        let place = ServerPlace {
            name: "plain".to_owned(),
            server_id: 1,
            dir: dir.clone(),
            socket: socket_dir.join("server.sock"),
            defaults_file: files.client_options(),
        };
        prepared.copy_to(&dir.join("data"))?;
        let server = std::sync::Arc::new(Server::new(place, installation, spec));
        let servers = Servers {
            all: vec![server.clone()],
            durability: spec.durability,
            socket_dir: is_outside.then_some(socket_dir),
        };
        let plain = Self { servers, server, credentials: prepared.credentials, engine: installation.engine };
        start_on_free_port(&plain.server, false, &Mutex::new(Ports::new(None)), None)?;
        for (database, sql) in databases {
            plain.client().run(None, &format!("CREATE DATABASE `{database}`"))?;
            plain.client().run(Some(database), sql)?;
        }
        Ok(plain)
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Path of its unix socket.
    pub fn socket(&self) -> &Path {
        &self.server.place().socket
    }

    /// Process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Its engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Passwords of its accounts.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Runs SQL as its administrator.
    pub fn client(&self) -> SqlClient {
        self.server.client()
    }

    /// Ends the server as a crash would (SIGKILL).
    pub fn kill(&self) {
        self.server.signal(Signal::Kill);
    }

    /// Starts the server again on its old port.
    ///
    /// # Errors
    /// The server does not start, or its port was taken meanwhile.
    pub fn restart(&self) -> Result<()> {
        self.server.stop();
        self.server.start(self.port(), false).map_err(|error| match error {
            StartError::Other(error) => error,
            StartError::PortTaken => Error::Server {
                name: self.server.place().name.clone(),
                reason: format!("port {} was taken by another program", self.port()),
                log: String::new(),
            },
        })
    }

    /// Stops the server cleanly.
    pub fn stop(self) {
        self.servers.stop_all();
    }
}

/// Servers that stop together.
#[derive(Debug)]
struct Servers {
    all: Vec<std::sync::Arc<Server>>,
    durability: Durability,
    /// Directory of the sockets, if it is a temporary one.
    socket_dir: Option<PathBuf>,
}

impl Servers {
    /// All at once: one that hangs does not keep the others waiting.
    fn stop_all(&self) {
        thread::scope(|scope| {
            for server in &self.all {
                scope.spawn(|| server.stop());
            }
        });
        if let Some(dir) = &self.socket_dir {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if self.durability == Durability::Relaxed {
            // Nobody wants this data again: no need to wait for a clean end.
            thread::scope(|scope| {
                for server in &self.all {
                    scope.spawn(|| server.signal(Signal::Kill));
                }
            });
        }
        self.stop_all();
    }
}

/// Starts a server on `first_port`, which was handed out for it, or on another one if somebody else takes that.
fn start_on_free_port(
    server: &Server,
    is_read_only: bool,
    ports: &Mutex<Ports>,
    mut first_port: Option<u16>,
) -> Result<()> {
    let failed = |reason: &str| Error::Server {
        name: server.place().name.clone(),
        reason: reason.to_owned(),
        log: String::new(),
    };
    let next_port = || ports.lock().unwrap_or_else(PoisonError::into_inner).take(None);
    for _ in 0..PORT_TRIES {
        let port = first_port.take().or_else(next_port).ok_or_else(|| failed("there is no free TCP port"))?;
        match server.start(port, is_read_only) {
            Ok(()) => return Ok(()),
            Err(StartError::PortTaken) => {}
            Err(StartError::Other(error)) => return Err(error),
        }
    }
    Err(failed("every port it tried was taken by another program"))
}

fn new_state(installation: &Installation, prepared: &Prepared) -> ClusterState {
    ClusterState {
        engine: installation.engine.as_str().to_owned(),
        version: installation.version.clone(),
        is_complete: false,
        credentials: prepared.credentials.clone(),
        socket_dir: None,
        ports: BTreeMap::new(),
    }
}

/// A directory that was made for something else is refused.
fn check_same(dir: &Path, state: &ClusterState, spec: &ClusterSpec, engine: Engine) -> Result<()> {
    let engine = engine.as_str();
    if state.engine != engine {
        let reason = format!(
            "holds a cluster of {}, not of {engine}: use `--engine {}`, another directory, or --fresh to throw it away",
            state.engine, state.engine
        );
        return Err(Error::directory(dir, reason));
    }
    let wanted: Vec<_> = spec.tablets().map(|(_, _, tablet)| spec.alias(tablet)).collect();
    if wanted.len() != state.ports.len() || wanted.iter().any(|alias| !state.ports.contains_key(alias)) {
        return Err(Error::directory(dir, "holds a cluster of other tablets; use --fresh to throw it away"));
    }
    Ok(())
}

/// Where the sockets of a cluster go; remembered in its state when that is outside its directory.
fn socket_dir(spec: &ClusterSpec, dir: &Path, state: &mut ClusterState) -> Result<PathBuf> {
    if let Some(old) = state.socket_dir.take() {
        let _ = fs::remove_dir_all(old);
    }
    let name_bytes =
        spec.tablets().map(|(_, _, tablet)| format!("{:010}.sock", tablet.uid).len()).max().unwrap_or(0);
    let (socket_dir, is_outside) = short_dir(dir, name_bytes)?;
    if is_outside {
        state.socket_dir = Some(socket_dir.clone());
    }
    Ok(socket_dir)
}

/// `dir/sockets`, or a new directory under the system's temporary one if paths in that would be too long for a
/// socket of `name_bytes`; the flag tells which.
fn short_dir(dir: &Path, name_bytes: usize) -> Result<(PathBuf, bool)> {
    let inside = dir.join("sockets");
    if inside.as_os_str().len() + 1 + name_bytes <= SOCKET_PATH_BYTES_MAX {
        remove_dir(&inside)?;
        make_private_dir(&inside)?;
        return Ok((inside, false));
    }
    let mut bytes = [0; 6];
    let _ = getrandom::fill(&mut bytes);
    let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let outside = std::env::temp_dir().join(format!("shardgate-{name}"));
    // Not recursive: a directory that somebody else made there first is an error.
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&outside)
        .map_err(Error::io("cannot make directory", &outside))?;
    Ok((outside, true))
}

/// Does something for every item at once; the first error wins, the others are waited for.
fn in_parallel<T: Sync>(items: &[T], act: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || act(item))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .fold(Ok(()), Result::and)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::KeyspaceSpec;

    fn state(engine: &str, aliases: &[&str]) -> ClusterState {
        ClusterState {
            engine: engine.to_owned(),
            version: "1.0".to_owned(),
            is_complete: true,
            credentials: Credentials {
                app_password: String::new(),
                repl_password: String::new(),
                dba_password: String::new(),
            },
            socket_dir: None,
            ports: aliases.iter().map(|alias| ((*alias).to_owned(), 1)).collect(),
        }
    }

    #[test]
    fn a_directory_of_another_cluster_is_refused_with_the_remedy() {
        let spec = ClusterSpec::new(vec![KeyspaceSpec::unsharded("commerce", &[1])]);
        let check = |state: ClusterState, remedy: Option<&str>| {
            let found =
                check_same(Path::new("/data"), &state, &spec, Engine::MySql).err().map(|e| e.to_string());
            match remedy {
                Some(remedy) => {
                    assert!(found.as_ref().is_some_and(|text| text.contains(remedy)), "{found:?}")
                }
                None => assert_eq!(found, None),
            }
        };
        check(state("mysql", &["zone1-0000000001"]), None);
        check(state("mariadb", &["zone1-0000000001"]), Some("--engine mariadb"));
        check(state("mysql", &["zone1-0000000002"]), Some("--fresh"));
        check(state("mysql", &["zone1-0000000001", "zone1-0000000002"]), Some("--fresh"));
    }

    #[test]
    fn sockets_of_long_directories_go_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, is_outside) = short_dir(dir.path(), 15).unwrap();
        assert!(!is_outside && inside.starts_with(dir.path()));
        let long = dir.path().join("d".repeat(90));
        let (outside, is_outside) = short_dir(&long, 15).unwrap();
        assert!(is_outside && outside.as_os_str().len() + 16 <= SOCKET_PATH_BYTES_MAX, "{outside:?}");
        fs::remove_dir(outside).unwrap();
    }

    #[test]
    fn the_first_error_wins_and_all_are_waited_for() {
        let done = std::sync::atomic::AtomicUsize::new(0);
        let result = in_parallel(&[1, 2, 3], |number| {
            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if *number == 1 { Ok(()) } else { Err(Error::directory(Path::new("x"), number.to_string())) }
        });
        assert_eq!(result.unwrap_err().to_string(), "x: 2");
        assert_eq!(done.into_inner(), 3);
    }
}
