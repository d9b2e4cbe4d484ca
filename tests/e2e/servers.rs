//! Database servers of the tests and benchmarks: `shardgate::local`'s, with an administrator that logs in over TCP.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use shardgate::local::{Credentials, Durability, EngineChoice, PlainServer, ServerSpec};
pub use shardgate::local::{Engine, Installation};

use crate::client::{Client, Options};

/// The programs of an engine; `None` if it is not installed.
pub fn installation(engine: Engine) -> Option<Installation> {
    Installation::find(EngineChoice::Exactly(engine), None).ok()
}

/// A running server. Dropping it ends it.
pub struct Server {
    pub address: SocketAddr,
    server: PlainServer,
}

impl Server {
    /// Starts a server on a copy of an initialised data directory, in a new folder.
    pub fn start(installation: &Installation, folder: &Path) -> Result<Self, String> {
        let options = [
            "--skip-log-bin",
            "--max-connections=8000",
            "--max-allowed-packet=64M",
            "--local-infile=1",
            "--innodb-lock-wait-timeout=5",
        ];
        let engine_options: &[&str] = match installation.engine {
            Engine::MariaDb => &[],
            Engine::MySql => {
                &["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--innodb-native-foreign-keys=ON"]
            }
        };
        let spec = ServerSpec {
            durability: Durability::Relaxed,
            performance_schema: false,
            options: options.iter().chain(engine_options).map(|&option| option.to_owned()).collect(),
        };
        let server =
            PlainServer::start(installation, folder, &spec, &[]).map_err(|error| error.to_string())?;
        // Tests come by TCP and without a password, which no account of a cluster may.
        let root = "create user root@'127.0.0.1'; grant all on *.* to root@'127.0.0.1' with grant option";
        server.client().run(None, root).map_err(|error| error.to_string())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.port()));
        Ok(Self { address, server })
    }

    /// Login of the administrator.
    pub fn root(&self) -> Options {
        Options::new(self.address, "root", "")
    }

    pub fn administrator(&self) -> Result<Client, String> {
        Ok(Client::login(&self.root())?)
    }

    /// Passwords of the accounts that the router uses.
    pub fn credentials(&self) -> &Credentials {
        self.server.credentials()
    }

    pub fn process_id(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&self) {
        self.server.kill();
    }

    /// Starts the process again after [`Server::kill`], on the same data and port.
    pub fn restart(&self) -> Result<(), String> {
        self.server.restart().map_err(|error| error.to_string())
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
