//! What is compared, and the servers behind: one with all rows for the plain connection, HAProxy and MySQL Router, two
//! with a shard each for Shardgate. All are reached over TCP on the loopback interface.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Options;
use crate::client::{Client, Options as Login};
use crate::process::Process;
use crate::servers::{self, Engine, Server, free_port};

/// The keyspace, and on the plain server the database.
pub const KEYSPACE: &str = "bench";
pub const TABLE_ROWS: u64 = 10_000;
const GROUP_COUNT: u64 = 1_000;
const GROUP_ROWS: u64 = 100;
const DISTINCT_K: u64 = 1_000;
/// Names another binary of the router than the one that was built with this program: one with a profile, say.
const BINARY_VARIABLE: &str = "SHARDGATE_BINARY";
const START_WAIT: Duration = Duration::from_secs(30);
const STOP_WAIT: Duration = Duration::from_secs(10);
const INSERT_ROWS: u64 = 500;
const HALVES: [&str; 2] = ["-80", "80-"];
const QUARTERS: [&str; 4] = ["-40", "40-80", "80-c0", "c0-"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Direct,
    HaProxy,
    MySqlRouter,
    Shardgate,
}

impl Target {
    pub const ALL: [Self; 4] = [Self::Direct, Self::HaProxy, Self::MySqlRouter, Self::Shardgate];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::HaProxy => "haproxy",
            Self::MySqlRouter => "mysqlrouter",
            Self::Shardgate => "shardgate",
        }
    }

    pub fn parse(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|target| target.name() == name)
            .ok_or_else(|| format!("unknown target {name}"))
    }
}

/// A target that serves.
pub struct Running {
    pub kind: Target,
    pub address: SocketAddr,
    /// The proxy; none for the direct connection.
    pub process: Option<Process>,
    /// The database servers behind it.
    pub servers: Vec<Process>,
    child: Option<Child>,
}

impl Running {
    pub fn options(&self) -> Login {
        Login::new(self.address, "bench", "").database(KEYSPACE)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // A program that was built to note what it does writes that down when it is asked to end.
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let deadline = Instant::now() + STOP_WAIT;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

pub struct Targets {
    // Dropped in this order: proxies first.
    pub list: Vec<Running>,
    _servers: Vec<Server>,
}

impl Targets {
    pub fn start(options: &Options, folder: &Path) -> Result<Self, String> {
        let installation = servers::installation(Engine::MariaDb)
            .ok_or("MariaDB is not installed (run tests/engines/install.sh)")?;
        let start = |name: &str| Server::start(&installation, &folder.join(name));
        let plain = start("plain")?;
        create_user_and_tables(&plain, KEYSPACE)?;
        load_points(&plain.root().database(KEYSPACE))?;
        load_stream(&plain.root().database(KEYSPACE), 1, 1, options.stream_rows)?;
        let plain_process = vec![process_of(&plain)?];
        let mut list = Vec::new();
        let mut started = Vec::new();
        for &kind in &options.targets {
            let running = match kind {
                Target::Direct => Running {
                    kind,
                    address: plain.address,
                    process: None,
                    servers: plain_process.clone(),
                    child: None,
                },
                Target::HaProxy => {
                    spawn(kind, folder, haproxy(folder, plain.address)?, plain_process.clone())?
                }
                Target::MySqlRouter => match mysql_router(folder, plain.address)? {
                    Some(command) => spawn(kind, folder, command, plain_process.clone())?,
                    None => {
                        eprintln!(
                            "*** MySQL Router is not installed (run tests/engines/install.sh --bench) ***"
                        );
                        continue;
                    }
                },
                Target::Shardgate => {
                    let shards = vec![start("shard0")?, start("shard1")?];
                    for shard in &shards {
                        create_user_and_tables(shard, &format!("vt_{KEYSPACE}"))?;
                    }
                    let processes = shards.iter().map(process_of).collect::<Result<Vec<_>, _>>()?;
                    let running = spawn(kind, folder, shardgate(folder, &shards, &HALVES)?, processes)?;
                    load_points(&running.options())?;
                    for (index, shard) in shards.iter().enumerate() {
                        let login = shard.root().database(&format!("vt_{KEYSPACE}"));
                        load_stream(&login, index as u64 + 1, 2, options.stream_rows)?;
                    }
                    started.extend(shards);
                    running
                }
            };
            list.push(running);
        }
        started.push(plain);
        Ok(Self { list, _servers: started })
    }
}

impl Targets {
    /// Shardgate over some shards alone, with what `fill` puts into each.
    pub fn shards(
        folder: &Path,
        count: u64,
        fill: impl Fn(&Login, u64) -> Result<(), String>,
    ) -> Result<(Running, Vec<Server>), String> {
        let installation = servers::installation(Engine::MariaDb)
            .ok_or("MariaDB is not installed (run tests/engines/install.sh)")?;
        let mut shards = Vec::new();
        for index in 0..count {
            let server = Server::start(&installation, &folder.join(format!("shard{index}")))?;
            create_user_and_tables(&server, &format!("vt_{KEYSPACE}"))?;
            fill(&server.root().database(&format!("vt_{KEYSPACE}")), index)?;
            shards.push(server);
        }
        let processes = shards.iter().map(process_of).collect::<Result<Vec<_>, _>>()?;
        let command = shardgate(folder, &shards, &QUARTERS)?;
        Ok((spawn(Target::Shardgate, folder, command, processes)?, shards))
    }
}

fn process_of(server: &Server) -> Result<Process, String> {
    server.process_id().map(Process).ok_or_else(|| "a server has ended".to_owned())
}

fn create_user_and_tables(server: &Server, database: &str) -> Result<(), String> {
    let mut root = server.administrator()?;
    let statements = [
        "create user bench@'%' identified by ''",
        "grant all on *.* to bench@'%'",
        &format!("create database {database}"),
        &format!("use {database}"),
        "create table sbtest1 (id int not null, k int not null default 0, c char(120) not null default '', \
         pad char(60) not null default '', primary key (id), key k_1 (k))",
        "create table line_items (customer_id bigint not null, line int not null, c char(60) not null, primary key (customer_id, line))",
        "create table measures (id bigint not null, value int not null, word varchar(40) not null, primary key (id))",
        "create table stream_rows (id bigint not null, payload varchar(100) not null, primary key (id))",
    ];
    statements.iter().try_for_each(|statement| root.run(statement).map_err(|error| error.0))
}

/// The same statements for a plain server and for Shardgate, which splits them.
fn load_points(login: &Login) -> Result<(), String> {
    let mut client = Client::login(login).map_err(|error| error.0)?;
    let mut insert = |head: &str, count: u64, row: &dyn Fn(u64) -> String| -> Result<(), String> {
        let mut next = 0;
        while next < count {
            let mut sql = head.to_owned();
            for index in next..count.min(next + INSERT_ROWS) {
                let separator = if index == next { "" } else { "," };
                let _ = write!(sql, "{separator}{}", row(index));
            }
            client.run(&sql).map_err(|error| error.0)?;
            next += INSERT_ROWS;
        }
        Ok(())
    };
    insert("insert into sbtest1 (id, k, c, pad) values ", TABLE_ROWS, &|index| {
        format!(
            "({}, {}, '{:0>119}', '{:0>59}')",
            index + 1,
            index % DISTINCT_K,
            index * 7_919,
            index * 104_729
        )
    })?;
    insert("insert into line_items (customer_id, line, c) values ", GROUP_COUNT * GROUP_ROWS, &|index| {
        format!("({}, {}, '{:0>59}')", index / GROUP_ROWS + 1, index % GROUP_ROWS, index * 7_919)
    })
}

/// Every `step`-th row from `first`, made by the server itself.
fn load_stream(login: &Login, first: u64, step: u64, rows: u64) -> Result<(), String> {
    let mut client = Client::login(login).map_err(|error| error.0)?;
    client
        .run(&format!("insert into stream_rows select seq, concat('a row of the stream, number ', seq) from seq_{first}_to_{rows}_step_{step}"))
        .map_err(|error| error.0)
}

fn spawn(
    kind: Target,
    folder: &Path,
    (mut command, address): (Command, SocketAddr),
    servers: Vec<Process>,
) -> Result<Running, String> {
    let log = folder.join(format!("{}.log", kind.name()));
    let output = std::fs::File::create(&log).map_err(|error| error.to_string())?;
    let child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(|error| error.to_string())?)
        .stderr(output)
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let process = Some(Process(child.id()));
    let mut running = Running { kind, address, process, servers, child: Some(child) };
    let begin = Instant::now();
    loop {
        let error = match Client::login(&running.options())
            .and_then(|mut client| client.run("select count(*) from sbtest1"))
        {
            Ok(()) => return Ok(running),
            Err(error) => error,
        };
        let exited = running.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if exited || begin.elapsed() > START_WAIT {
            let output = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{} does not serve: {error}\n{output}", kind.name()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The folder that `tests/engines/install.sh` installs into.
fn engines_folder() -> Option<PathBuf> {
    std::env::var_os("SHARDGATE_ENGINES")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/shardgate/engines")))
}

fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A child that dies with this program.
fn program(path: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(path);
    command
}

fn haproxy(folder: &Path, backend: SocketAddr) -> Result<(Command, SocketAddr), String> {
    let address = free_address();
    let config = folder.join("haproxy.cfg");
    write_file(
        &config,
        &format!(
            "global\n    maxconn 9000\ndefaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
             listen mysql\n    bind {address}\n    server plain {backend}\n"
        ),
    )?;
    let mut command = program("haproxy");
    command.arg("-db").arg("-f").arg(config);
    Ok((command, address))
}

fn mysql_router(folder: &Path, backend: SocketAddr) -> Result<Option<(Command, SocketAddr)>, String> {
    let Some(path) =
        engines_folder().map(|folder| folder.join("mysql/bin/mysqlrouter")).filter(|path| path.exists())
    else {
        return Ok(None);
    };
    let address = free_address();
    let config = folder.join("mysqlrouter.conf");
    write_file(
        &config,
        &format!(
            "[DEFAULT]\nlogging_folder={0}\nruntime_folder={0}\ndata_folder={0}\nmax_total_connections=10000\n\
             [routing:bench]\nbind_address={1}\nbind_port={2}\ndestinations={backend}\nrouting_strategy=first-available\nprotocol=classic\n\
             client_ssl_mode=DISABLED\nserver_ssl_mode=DISABLED\nmax_connections=9000\n",
            folder.display(),
            address.ip(),
            address.port()
        ),
    )?;
    let mut command = program(path);
    command.arg("-c").arg(config);
    Ok(Some((command, address)))
}

fn shardgate(folder: &Path, servers: &[Server], names: &[&str]) -> Result<(Command, SocketAddr), String> {
    let address = free_address();
    let shards: Vec<String> = servers
        .iter()
        .zip(names)
        .enumerate()
        .map(|(index, (server, name))| {
            format!(
                "\"{name}\": {{\"tablets\": [{{\"alias\": \"zone1-{:010}\", \"type\": \"PRIMARY\", \"hostname\": \"127.0.0.1\", \"mysql_port\": {}}}]}}",
                100 + index,
                server.address.port()
            )
        })
        .collect();
    write_file(
        &folder.join("topology.json"),
        &format!(
            "{{\"cells\": [\"zone1\"], \"keyspaces\": {{\"{KEYSPACE}\": {{\"shards\": {{{}}}}}}}}}\n",
            shards.join(", ")
        ),
    )?;
    std::fs::create_dir_all(folder.join("vschema")).map_err(|error| error.to_string())?;
    write_file(
        &folder.join("vschema").join(format!("{KEYSPACE}.json")),
        "{\"sharded\": true, \"vindexes\": {\"hash\": {\"type\": \"hash\"}}, \"tables\": {\n\
         \"sbtest1\": {\"column_vindexes\": [{\"column\": \"id\", \"name\": \"hash\"}]},\n\
         \"line_items\": {\"column_vindexes\": [{\"column\": \"customer_id\", \"name\": \"hash\"}]},\n\
         \"measures\": {\"column_vindexes\": [{\"column\": \"id\", \"name\": \"hash\"}]},\n\
         \"stream_rows\": {\"column_vindexes\": [{\"column\": \"id\", \"name\": \"hash\"}]}}}\n",
    )?;
    write_file(&folder.join("users.json"), "{\"bench\": [{\"Password\": \"\"}]}\n")?;
    let config = folder.join("shardgate.toml");
    let path = |name: &str| folder.join(name).display().to_string();
    write_file(
        &config,
        &format!(
            "cell = \"zone1\"\n[mysql]\nlisten = \"{address}\"\nusers = \"{}\"\n[backend]\nuser = \"bench\"\npassword = \"\"\n\
             [topology]\nstore = \"file\"\nfile = \"{}\"\n[vschema]\ndir = \"{}\"\n[http]\nlisten = \"{}\"\n[control]\nlisten = \"{}\"\n",
            path("users.json"),
            path("topology.json"),
            path("vschema"),
            free_address(),
            free_address(),
        ),
    )?;
    let binary = std::env::var_os(BINARY_VARIABLE).unwrap_or_else(|| env!("CARGO_BIN_EXE_shardgate").into());
    let mut command = program(binary);
    command.args(["serve", "--config"]).arg(config);
    Ok((command, address))
}
