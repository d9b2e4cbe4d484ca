//! What the scripts run on: per engine one plain server, four backends that hold the shards of four keyspaces,
//! and the router as its own process.
//!
//! The keyspaces `u` (unsharded), `s1`, `s2` and `s4` (1, 2 and 4 shards) have the same tables. Shards of
//! different keyspaces share servers, each in a database of its own: five servers are enough. The VSchema of `s4`
//! lists no columns, so what is planned there rests on what the servers say.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shardgate::local::Credentials;

use crate::client::{Client, Options};
use crate::servers::{self, Engine, Installation, Server};

/// Keyspaces with their shards; a shard's server is its place in the list.
const KEYSPACES: [(&str, &[&str]); 4] =
    [("u", &["-"]), ("s1", &["-"]), ("s2", &["-80", "80-"]), ("s4", &["-40", "40-80", "80-c0", "c0-"])];

/// The first backend of each keyspace, so that work is spread.
const FIRST_SERVER: [usize; 4] = [0, 1, 2, 0];
const SERVER_COUNT: usize = 4;

const SCHEMA: &str = include_str!("schema/tables.sql");
const VSCHEMA: &str = include_str!("schema/sharded.json");
/// Tables of lookup vindexes that are in the unsharded keyspace, one set for each keyspace.
const LOOKUPS: &str = include_str!("schema/lookups.sql");

/// Tables whose ids the server or a sequence makes.
const GENERATED: [&str; 2] = ["orders", "customer"];

pub const ROUTER_USER: &str = "e2e";
pub const ROUTER_PASSWORD: &str = "a secret";
/// Lines of the router's log that a message shows.
const LOG_LINES: usize = 20;

const ROUTER_WAIT: Duration = Duration::from_secs(60);

pub struct Environment {
    pub engine: Engine,
    pub folder: PathBuf,
    pub plain: Server,
    pub backends: Vec<Server>,
    pub router: Router,
    /// With `--self`: a second plain server in the router's place, which shows mistakes of the scripts.
    double: Option<Server>,
    tables: Vec<String>,
}

impl Environment {
    /// Starts everything below `folder`.
    pub fn start(engine: Engine, installation: &Installation, folder: &Path) -> Result<Self, String> {
        let names: Vec<_> = (0..SERVER_COUNT).map(|index| format!("backend{index}")).collect();
        // All at once: a start is mostly waiting.
        let (plain, backends) = std::thread::scope(|scope| {
            let start = |name: &str| {
                let folder = folder.join(name);
                scope.spawn(move || Server::start(installation, &folder))
            };
            let plain = start("plain");
            let backends: Vec<_> = names.iter().map(|name| start(name)).collect();
            let plain = join(plain)?;
            Ok::<_, String>((plain, backends.into_iter().map(join).collect::<Result<Vec<_>, _>>()?))
        })?;
        prepare_plain(&plain)?;
        for (index, backend) in backends.iter().enumerate() {
            prepare_backend(backend, index)?;
        }
        let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
        Topology::of_the_scripts().write(folder, &addresses)?;
        let router = Router::start(folder, &backends[0].credentials().app_password)?;
        Ok(Self {
            engine,
            folder: folder.to_owned(),
            plain,
            backends,
            router,
            double: None,
            tables: table_names(),
        })
    }

    /// Starts two plain servers, the second in the router's place.
    pub fn start_double(engine: Engine, installation: &Installation, folder: &Path) -> Result<Self, String> {
        let start = |name: &str| Server::start(installation, &folder.join(name));
        let (plain, double) = (start("plain")?, start("double")?);
        prepare_plain(&plain)?;
        prepare_plain(&double)?;
        let router = Router {
            address: double.address,
            http: double.address,
            log: folder.join("double/log"),
            child: None,
        };
        let double = Some(double);
        Ok(Self {
            engine,
            folder: folder.to_owned(),
            plain,
            backends: Vec::new(),
            router,
            double,
            tables: table_names(),
        })
    }

    /// Whether a plain server is in the router's place.
    pub fn is_double(&self) -> bool {
        self.double.is_some()
    }

    pub fn plain_options(&self) -> Options {
        Options::new(self.plain.address, ROUTER_USER, "")
    }

    pub fn router_options(&self) -> Options {
        let password = if self.double.is_some() { "" } else { ROUTER_PASSWORD };
        Options::new(self.router.address, ROUTER_USER, password)
    }

    /// One more router over the same servers, with its own files in `folder`.
    pub fn another_router(&self, folder: &Path, topology: &Topology) -> Result<Router, String> {
        let addresses: Vec<_> = self.backends.iter().map(|backend| backend.address).collect();
        topology.write(folder, &addresses)?;
        Router::start(folder, &self.backends[0].credentials().app_password)
    }

    /// One more router over the scripts' keyspaces, with `extra` lines at the end of its configuration.
    pub fn router_with(&self, folder: &Path, extra: &str) -> Result<Router, String> {
        let addresses: Vec<_> = self.backends.iter().map(|backend| backend.address).collect();
        Topology::of_the_scripts().write(folder, &addresses)?;
        Router::start_with(folder, &self.backends[0].credentials().app_password, extra)
    }

    /// Makes the databases of `topology`'s shards anew, each with what `statements` gives for its keyspace.
    pub fn create_databases(
        &self,
        topology: &Topology,
        statements: impl Fn(&str) -> Vec<String>,
    ) -> Result<(), String> {
        for Keyspace { name, shards, .. } in &topology.keyspaces {
            for (_, server) in shards {
                create_database(&self.backends[*server], &format!("vt_{name}"), &statements(name))?;
            }
        }
        Ok(())
    }

    /// Starts the router again after it has died, so that one test's crash is not every later test's failure.
    pub fn restart_router(&mut self) -> Result<(), String> {
        self.router = Router::start(&self.folder, &self.backends[0].credentials().app_password)?;
        Ok(())
    }

    pub fn options_of(&self, router: &Router) -> Options {
        Options::new(router.address, ROUTER_USER, ROUTER_PASSWORD)
    }

    /// The servers of a keyspace's shards, by their administrator.
    pub fn shards_of(&self, keyspace: &str) -> Vec<Options> {
        let Some(position) = KEYSPACES.iter().position(|(name, _)| *name == keyspace) else {
            return Vec::new();
        };
        let server = |shard: usize| &self.backends[(FIRST_SERVER[position] + shard) % SERVER_COUNT];
        let database = format!("vt_{keyspace}");
        (0..KEYSPACES[position].1.len()).map(|shard| server(shard).root().database(&database)).collect()
    }

    /// The server of the unsharded keyspace.
    pub fn unsharded(&self) -> Options {
        self.backends[FIRST_SERVER[0]].root().database("vt_u")
    }

    /// Empties every table of a keyspace, on both sides.
    pub fn reset(&self, keyspace: &str, generated_ids: bool) -> Result<(), String> {
        let error = |error: crate::client::ClientError| error.0;
        let position = KEYSPACES.iter().position(|(name, _)| *name == keyspace).ok_or("unknown keyspace")?;
        let mut databases = vec![(self.plain.root(), keyspace.to_owned())];
        if let Some(double) = &self.double {
            databases.push((double.root(), keyspace.to_owned()));
        }
        let shard_count = if self.double.is_some() { 0 } else { KEYSPACES[position].1.len() };
        for shard in 0..shard_count {
            let server = &self.backends[(FIRST_SERVER[position] + shard) % SERVER_COUNT];
            databases.push((server.root(), format!("vt_{keyspace}")));
        }
        for (options, database) in databases {
            let mut client = Client::login(&options.database(&database)).map_err(error)?;
            // Tables may refer to each other.
            client.run("set foreign_key_checks = 0").map_err(error)?;
            // What a script created and left behind.
            for row in client.rows("show full tables").map_err(error)? {
                let table = row[0].clone().unwrap_or_default();
                if row[1].as_deref() == Some("VIEW") {
                    client.run(&format!("drop view `{table}`")).map_err(error)?;
                } else if self.tables.contains(&table) {
                    client.run(&format!("delete from `{table}`")).map_err(error)?;
                } else if !table.ends_with("_seq") && !table.ends_with("_idx") {
                    client.run(&format!("drop table `{table}`")).map_err(error)?;
                }
            }
            if generated_ids {
                for table in GENERATED {
                    client.run(&format!("alter table {table} auto_increment = 1")).map_err(error)?;
                }
            }
        }
        if self.double.is_none() {
            let mut client = Client::login(&self.backends[0].root().database("vt_u")).map_err(error)?;
            for table in lookup_tables(keyspace) {
                client.run(&format!("delete from {table}")).map_err(error)?;
            }
        }
        if generated_ids && self.double.is_none() {
            let mut client = Client::login(&self.backends[0].root().database("vt_u")).map_err(error)?;
            for table in GENERATED {
                client.run(&format!("update {keyspace}_{table}_seq set next_id = 1")).map_err(error)?;
            }
        }
        Ok(())
    }
}

/// Makes a database anew.
pub fn create_database(server: &Server, name: &str, statements: &[String]) -> Result<(), String> {
    let mut root = server.administrator()?;
    root.run(&format!("drop database if exists {name}"))?;
    root.run(&format!("create database {name}"))?;
    root.run(&format!("use {name}"))?;
    for statement in statements {
        root.run(statement)?;
    }
    Ok(())
}

fn join(thread: std::thread::ScopedJoinHandle<'_, Result<Server, String>>) -> Result<Server, String> {
    thread.join().map_err(|_| "the start of a server panicked".to_owned())?
}

fn table_names() -> Vec<String> {
    SCHEMA
        .lines()
        .filter_map(|line| line.strip_prefix("create table "))
        .filter_map(|rest| rest.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The tables of `LOOKUPS` for one keyspace.
fn lookup_tables(keyspace: &str) -> Vec<String> {
    let names = LOOKUPS.lines().filter_map(|line| line.strip_prefix("create table "));
    names.filter_map(|rest| Some(rest.split_whitespace().next()?.replace("{ks}", keyspace))).collect()
}

fn schema_statements() -> impl Iterator<Item = &'static str> {
    SCHEMA.split(";\n").map(str::trim).filter(|statement| !statement.is_empty())
}

fn prepare_plain(plain: &Server) -> Result<(), String> {
    let mut root = plain.administrator()?;
    let mut run = |sql: &str| root.run(sql).map_err(|error| error.0);
    run(&format!("create user {ROUTER_USER}@'%' identified by ''"))?;
    run(&format!("grant all on *.* to {ROUTER_USER}@'%'"))?;
    for (keyspace, _) in KEYSPACES {
        run(&format!("create database {keyspace}"))?;
        run(&format!("use {keyspace}"))?;
        for statement in schema_statements() {
            run(statement)?;
        }
    }
    Ok(())
}

fn prepare_backend(backend: &Server, index: usize) -> Result<(), String> {
    let mut root = backend.administrator()?;
    let mut run = |sql: &str| root.run(sql).map_err(|error| error.0);
    for (position, (keyspace, shards)) in KEYSPACES.iter().enumerate() {
        if !(0..shards.len()).any(|shard| (FIRST_SERVER[position] + shard) % SERVER_COUNT == index) {
            continue;
        }
        run(&format!("create database vt_{keyspace}"))?;
        run(&format!("use vt_{keyspace}"))?;
        for statement in schema_statements() {
            run(statement)?;
        }
    }
    if index == FIRST_SERVER[0] {
        run("use vt_u")?;
        for (keyspace, _) in &KEYSPACES {
            let lookups = LOOKUPS.replace("{ks}", keyspace);
            for statement in lookups.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
                run(statement)?;
            }
            for table in GENERATED {
                let name = format!("{keyspace}_{table}_seq");
                run(&format!(
                    "create table {name} (id int, next_id bigint, cache bigint, primary key (id)) comment 'vitess_sequence'"
                ))?;
                // A cache of 1 makes the ids the ones that AUTO_INCREMENT gives.
                run(&format!("insert into {name} values (0, 1, 1)"))?;
            }
        }
    }
    Ok(())
}

/// A keyspace: its shards, each with the number of the backend that holds it, and its VSchema.
pub struct Keyspace {
    pub name: String,
    pub shards: Vec<(String, usize)>,
    pub vschema: String,
}

pub struct Topology {
    pub keyspaces: Vec<Keyspace>,
}

impl Topology {
    fn of_the_scripts() -> Self {
        let keyspaces = KEYSPACES.iter().enumerate().map(|(position, (keyspace, shards))| {
            let shards = shards
                .iter()
                .enumerate()
                .map(|(index, shard)| ((*shard).to_owned(), (FIRST_SERVER[position] + index) % SERVER_COUNT))
                .collect();
            let vschema = match *keyspace {
                "u" => unsharded_vschema(),
                "s4" => without_columns(&VSCHEMA.replace("{ks}", keyspace)),
                _ => VSCHEMA.replace("{ks}", keyspace),
            };
            Keyspace { name: (*keyspace).to_owned(), shards, vschema }
        });
        Self { keyspaces: keyspaces.collect() }
    }

    /// Writes `topology.json`, the VSchema files and `users.json`.
    fn write(&self, folder: &Path, servers: &[SocketAddr]) -> Result<(), String> {
        let vschema_folder = folder.join("vschema");
        std::fs::create_dir_all(&vschema_folder).map_err(|error| error.to_string())?;
        let write = |path: PathBuf, text: &str| {
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        let mut uid = 100;
        let mut keyspaces = serde_json::Map::new();
        for Keyspace { name: keyspace, shards, vschema } in &self.keyspaces {
            let mut of_keyspace = serde_json::Map::new();
            for (shard, server) in shards {
                let tablet = serde_json::json!({
                    "alias": format!("zone1-{uid:010}"),
                    "type": "PRIMARY",
                    "hostname": "127.0.0.1",
                    "mysql_port": servers[*server].port(),
                });
                of_keyspace.insert(shard.clone(), serde_json::json!({ "tablets": [tablet] }));
                uid += 1;
            }
            keyspaces.insert(keyspace.clone(), serde_json::json!({ "shards": of_keyspace }));
            write(vschema_folder.join(format!("{keyspace}.json")), vschema)?;
        }
        let topology = serde_json::json!({ "cells": ["zone1"], "keyspaces": keyspaces });
        write(folder.join("topology.json"), &topology.to_string())?;
        let users = serde_json::json!({ ROUTER_USER: [{ "Password": ROUTER_PASSWORD }], "user": [{ "Password": "" }] });
        write(folder.join("users.json"), &users.to_string())
    }
}

fn unsharded_vschema() -> String {
    let mut names: Vec<_> = table_names().iter().map(|name| format!("\"{name}\": {{}}")).collect();
    for (keyspace, _) in &KEYSPACES {
        names.extend(lookup_tables(keyspace).iter().map(|table| format!("\"{table}\": {{}}")));
        names.extend(
            GENERATED.iter().map(|table| format!("\"{keyspace}_{table}_seq\": {{\"type\": \"sequence\"}}")),
        );
    }
    format!("{{\"tables\": {{\n  {}\n}}}}\n", names.join(",\n  "))
}

/// A VSchema that leaves it to the router to ask the servers for columns.
fn without_columns(vschema: &str) -> String {
    let mut vschema: serde_json::Value = serde_json::from_str(vschema).unwrap_or_default();
    let tables = vschema.get_mut("tables").and_then(serde_json::Value::as_object_mut);
    for table in tables.into_iter().flat_map(serde_json::Map::values_mut) {
        if let Some(table) = table.as_object_mut() {
            table.remove("columns");
            table.remove("column_list_authoritative");
        }
    }
    vschema.to_string()
}

/// The router as a process, with everything it needs in one folder.
pub struct Router {
    pub address: SocketAddr,
    pub http: SocketAddr,
    pub log: PathBuf,
    child: Option<Child>,
}

impl Router {
    pub fn start(folder: &Path, backend_password: &str) -> Result<Self, String> {
        Self::start_with(folder, backend_password, "")
    }

    fn start_with(folder: &Path, backend_password: &str, extra: &str) -> Result<Self, String> {
        let port = servers::free_port;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port()));
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, port()));
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, port()));
        let path = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "cell = \"zone1\"\n[mysql]\nlisten = \"{address}\"\nusers = \"{}\"\n[backend]\nuser = \"{}\"\n\
             password = \"{backend_password}\"\n[topology]\nstore = \"file\"\nfile = \"{}\"\n[vschema]\ndir = \"{}\"\n\
             [http]\nlisten = \"{http}\"\n[control]\nlisten = \"{control}\"\n{extra}\n",
            path("users.json"),
            Credentials::APP_USER,
            path("topology.json"),
            path("vschema"),
        );
        std::fs::write(folder.join("shardgate.toml"), config).map_err(|error| error.to_string())?;
        let log = folder.join("router.log");
        let file = std::fs::File::create(&log).map_err(|error| error.to_string())?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_shardgate"), "serve", "--config"])
            .arg(path("shardgate.toml"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(|error| error.to_string())?)
            .stderr(file)
            .spawn()
            .map_err(|error| format!("cannot start the router: {error}"))?;
        let mut router = Self { address, http, log, child: Some(child) };
        router.wait()?;
        Ok(router)
    }

    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The end of the log, for messages.
    pub fn log_end(&self) -> String {
        let text = self.log_text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Waits until every tablet is SERVING.
    fn wait(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        let options = Options::new(self.address, ROUTER_USER, ROUTER_PASSWORD);
        loop {
            let answer = Client::login(&options).and_then(|mut client| client.rows("show vitess_tablets"));
            if let Ok(tablets) = &answer
                && tablets.iter().all(|tablet| tablet[4].as_deref() == Some("SERVING"))
            {
                return Ok(());
            }
            if !self.is_running() || begin.elapsed() > ROUTER_WAIT {
                return Err(format!("the router does not serve: {answer:?}\n{}", self.log_end()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
