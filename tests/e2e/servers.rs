//! Database servers of the tests' own: prepared once per engine, copied per server, killed on drop.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{Client, Options};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    MariaDb,
    MySql,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }

    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "mariadb" => Ok(Self::MariaDb),
            "mysql" => Ok(Self::MySql),
            _ => Err(format!("unknown engine {name}")),
        }
    }
}

/// A server that does not answer within this time is broken.
const START_WAIT: Duration = Duration::from_secs(60);

/// Where an engine's programs are; `None` if it is not installed.
pub fn programs(engine: Engine) -> Option<Programs> {
    let found = match engine {
        Engine::MariaDb => Programs {
            server: first_of(&["/usr/sbin/mariadbd", "/usr/local/sbin/mariadbd", "/usr/bin/mariadbd"])?,
            client: first_of(&["/usr/bin/mariadb", "/usr/local/bin/mariadb"])?,
            install: Some(first_of(&["/usr/bin/mariadb-install-db", "/usr/local/bin/mariadb-install-db"])?),
        },
        Engine::MySql => {
            let prefix = engines_folder()?.join("mysql/bin");
            Programs {
                server: first_of(&[prefix.join("mysqld").to_str()?])?,
                client: first_of(&[prefix.join("mysql").to_str()?])?,
                install: None,
            }
        }
    };
    Some(found)
}

/// The folder that `tests/engines/install.sh` installs into.
pub fn engines_folder() -> Option<PathBuf> {
    std::env::var_os("SHARDGATE_ENGINES")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/shardgate/engines")))
}

fn first_of(paths: &[&str]) -> Option<PathBuf> {
    paths.iter().map(PathBuf::from).find(|path| path.exists())
}

#[derive(Clone, Debug)]
pub struct Programs {
    pub server: PathBuf,
    pub client: PathBuf,
    install: Option<PathBuf>,
}

/// An empty data directory, to be copied.
pub fn prepare(engine: Engine, programs: &Programs, folder: &Path) -> Result<PathBuf, String> {
    let template = folder.join(format!("template-{}", engine.name()));
    let mut command = match &programs.install {
        Some(install) => {
            let mut command = Command::new(install);
            command.args([
                "--no-defaults",
                "--user=root",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]);
            command
        }
        None => {
            let mut command = Command::new(&programs.server);
            command.args([
                "--no-defaults",
                "--user=root",
                "--initialize-insecure",
                "--innodb-redo-log-capacity=16M",
            ]);
            command
        }
    };
    command.arg(format!("--datadir={}", template.display()));
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(template)
}

/// A running server. It dies with the thread that started it, however that ends.
pub struct Server {
    pub address: SocketAddr,
    engine: Engine,
    programs: Programs,
    folder: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Copies the template and starts; the server may not answer yet (see [`Server::wait`]).
    pub fn start(
        engine: Engine,
        programs: &Programs,
        template: &Path,
        folder: &Path,
    ) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let copy = Command::new("cp").arg("-a").arg(template).arg(folder.join("data")).status();
        if !copy.is_ok_and(|status| status.success()) {
            return Err(format!("cannot copy {} to {}", template.display(), folder.display()));
        }
        // Copies of one server would otherwise share its identity.
        let _ = std::fs::remove_file(folder.join("data/auto.cnf"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        // Tests come by TCP, where the servers know no root yet.
        let init = "create user if not exists root@'127.0.0.1';\ngrant all on *.* to root@'127.0.0.1' with grant option;\n";
        std::fs::write(folder.join("init.sql"), init).map_err(|error| error.to_string())?;
        let mut server =
            Self { address, engine, programs: programs.clone(), folder: folder.to_owned(), child: None };
        server.spawn()?;
        Ok(server)
    }

    /// Starts the process again after [`Server::kill`], on the same data and port.
    pub fn spawn(&mut self) -> Result<(), String> {
        let log = File::create(self.folder.join("log")).map_err(|error| error.to_string())?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .arg(&self.programs.server)
            .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .arg(format!("--datadir={}", self.folder.join("data").display()))
            .arg(format!("--socket={}", self.folder.join("s").display()))
            .arg(format!("--pid-file={}", self.folder.join("pid").display()))
            .arg(format!("--init-file={}", self.folder.join("init.sql").display()))
            .arg(format!("--port={}", self.address.port()))
            .arg(format!("--server-id={}", self.address.port()))
            // Plain settings of a small server; durability is of no interest here.
            .args(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--innodb-buffer-pool-size=64M"])
            .args(["--max-connections=8000", "--max-allowed-packet=64M", "--character-set-server=utf8mb4"])
            .args(["--lower-case-table-names=0", "--innodb-lock-wait-timeout=5"]);
        match self.engine {
            Engine::MariaDb => {
                command.args(["--innodb-log-file-size=16M", "--collation-server=utf8mb4_general_ci"])
            }
            Engine::MySql => {
                command.args(["--innodb-redo-log-capacity=16M", "--mysqlx=OFF", "--disable-log-bin"])
            }
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(|error| error.to_string())?).stderr(log);
        self.child = Some(command.spawn().map_err(|error| format!("{command:?}: {error}"))?);
        Ok(())
    }

    /// Waits until root can log in.
    pub fn wait(&mut self) -> Result<Client, String> {
        let begin = Instant::now();
        loop {
            if let Ok(client) = Client::login(&self.root()) {
                return Ok(client);
            }
            let exited = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if exited.is_some() || begin.elapsed() > START_WAIT {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("{} does not start: {log}", self.engine.name()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Login of an administrator without a password.
    pub fn root(&self) -> Options {
        Options::new(self.address, "root", "")
    }

    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that is free now. Nothing keeps it from being taken by another process before it is used; the kernel
/// hands out ephemeral ports in an order that makes this rare.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .expect("the loopback interface has a free port")
}
