//! A whole server over real sockets, with a small handler behind it and scripted peers before it.

mod commands;
mod drain;
mod hostile;
mod login;
mod memory;
mod peer;
mod stock_client;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use tokio::time::Instant;

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{Capabilities, ColumnDefinition, Command, OkPacket, StatusFlags};
use peer::Peer;

/// Answers a handful of statements without any database.
#[derive(Default)]
struct Echo {
    open: AtomicUsize,
    closed: AtomicUsize,
}

struct EchoSession {
    user: String,
    database: String,
    status: StatusFlags,
    resets: usize,
}

impl Handler for Echo {
    type Session = EchoSession;

    async fn open(&self, client: &ClientInfo) -> Result<EchoSession> {
        let database = client.database.as_deref().unwrap_or_default().to_owned();
        match database.as_str() {
            "panic" => panic!("asked for"),
            "nosuch" => Err(Error::new(ErrorKind::UnknownDatabase, "Unknown database 'nosuch'")),
            _ => {
                self.open.fetch_add(1, Ordering::Relaxed);
                let user = client.user_at_host();
                Ok(EchoSession { user, database, status: StatusFlags::AUTOCOMMIT, resets: 0 })
            }
        }
    }

    async fn command(
        &self,
        session: &mut EchoSession,
        command: Command<'_>,
        client: &mut ClientStream,
    ) -> Result<Flow> {
        match command {
            Command::Query(text) => Box::pin(query(session, &String::from_utf8_lossy(text), client)).await,
            Command::InitDb(name) => {
                session.database = String::from_utf8_lossy(name).into_owned();
                client.ok(&OkPacket { status: session.status, ..OkPacket::default() });
                Ok(Flow::Continue)
            }
            _ => Err(Error::unsupported("this command")),
        }
    }

    async fn reset(&self, session: &mut EchoSession, client: Option<&ClientInfo>) -> Result<()> {
        session.resets += 1;
        session.status = StatusFlags::AUTOCOMMIT;
        if let Some(client) = client {
            session.user = client.user_at_host();
            session.database = client.database.as_deref().unwrap_or_default().to_owned();
        }
        Ok(())
    }

    fn status(&self, session: &EchoSession) -> StatusFlags {
        session.status
    }

    fn patience(&self, session: &EchoSession) -> Option<Instant> {
        // Nobody is awaited at all in this database, and yet every command is answered.
        (session.database == "hasty").then(Instant::now)
    }

    async fn lose_patience(&self, session: &mut EchoSession) {
        session.resets += 1;
    }

    async fn close(&self, _: EchoSession) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

type Answer = Box<dyn Iterator<Item = String> + Send>;

fn one(row: String) -> Answer {
    Box::new(std::iter::once(row))
}

async fn query(session: &mut EchoSession, text: &str, client: &mut ClientStream) -> Result<Flow> {
    let end = ResultEnd { status: session.status, warnings: 0 };
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let answer: Answer = match word {
        "panic" => panic!("asked for"),
        "begin" | "commit" => {
            session.status.set(StatusFlags::IN_TRANSACTION, word == "begin");
            client.ok(&OkPacket { status: session.status, ..OkPacket::default() });
            return Ok(Flow::Continue);
        }
        "wait" => {
            let interrupt = client.interrupt_watch().interrupted().await;
            return Err(Error::new(ErrorKind::QueryInterrupted, format!("{interrupt:?}")));
        }
        "raw" => {
            // An OK packet as a server would send it.
            let forwarded = client.write(b"\x07\0\0\x01\0\x05\0\x02\0\0\0").await;
            forwarded.map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
            return Ok(Flow::Continue);
        }
        // MySQL's client asks `select $$` first, and takes anything but an error for a promise.
        "select" if rest != "$$" => {
            let what = match rest {
                "user" => session.user.clone(),
                "database" => session.database.clone(),
                "resets" => session.resets.to_string(),
                "id" => client.entry().id().0.to_string(),
                other => other.to_owned(),
            };
            one(what)
        }
        // Length only: for statements larger than a packet.
        "length" => one(text.len().to_string()),
        "bytes" => one("x".repeat(rest.parse().unwrap())),
        "rows" => Box::new((0..rest.parse::<usize>().unwrap()).map(|row| row.to_string())),
        _ => return Err(Error::new(ErrorKind::Syntax, "You have an error in your SQL syntax")),
    };
    let rows = answer.map(|row| [Some(row)]);
    let sent = client.text_result(&[ColumnDefinition::text(rest, 100)], rows, end).await;
    sent.map_err(|error| Error::new(ErrorKind::Other, error.to_string()))?;
    Ok(Flow::Continue)
}

/// `root` without password, `ann` with "secret", `nat` and `crypt` with hashes of "secret" for one plugin only.
const USERS: &str = r#"{
    "root": {},
    "ann": [{ "Password": "old" }, { "Password": "secret", "UserData": "app" }],
    "nat": { "MysqlNativePassword": "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7" },
    "crypt": { "CachingSha2Password": "CRYPT" },
    "local": { "Password": "secret", "SourceHost": "localhost" }
}"#;

/// Making a key takes seconds in a debug build: all tests share one.
static RSA_KEY: OnceLock<Arc<RsaKey>> = OnceLock::new();

/// A server that runs until it is dropped.
struct Fixture {
    address: SocketAddr,
    socket: PathBuf,
    handler: Arc<Echo>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let mut options = Options {
            listen: Some("127.0.0.1:0".to_owned()),
            socket: Some(socket.clone()),
            version: "8.4.0-shardgate".to_owned(),
            tls: Some(tls::self_signed().unwrap()),
            rsa_key: RSA_KEY.get_or_init(|| Arc::new(RsaKey::lazy())).clone(),
            ..Options::default()
        };
        change(&mut options);
        let registry = Arc::new(Registry::new());
        let metrics = Arc::new(Metrics::new());
        let handler = Arc::new(Echo::default());
        let users = Users::parse(&USERS.replace("CRYPT", peer::CRYPT_OF_SECRET)).unwrap();
        let parts = Parts {
            users: Arc::new(UserStore::fixed(users)),
            registry: registry.clone(),
            workers: Arc::new(Workers::start(2).unwrap()),
            metrics: &metrics,
            handler: handler.clone(),
        };
        let server = Server::bind(options, parts).await.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { address, socket, handler, registry, metrics, stop: Some(stop), running, _dir: dir }
    }

    /// A connection that has received its greeting.
    async fn greeted(&self) -> Peer {
        Peer::connect(self.address).await
    }

    /// A connection of `root`.
    async fn logged_in(&self) -> Peer {
        self.logged_in_with(Capabilities::OFFERED).await
    }

    async fn logged_in_with(&self, capabilities: Capabilities) -> Peer {
        let mut peer = self.greeted().await;
        peer.respond("root", b"", "caching_sha2_password", capabilities).await;
        peer.expect_ok().await;
        peer
    }

    /// Begins to stop the server.
    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    fn counter(&self, line: &str) -> u64 {
        let text = self.metrics.render();
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        found.map_or(0, |number| number.trim().parse().unwrap())
    }

    /// Waits until every connection has left.
    async fn emptied(&self) {
        until(|| self.registry.count() == 0).await;
        until(|| self.handler.open.load(Ordering::Relaxed) == self.handler.closed.load(Ordering::Relaxed))
            .await;
    }
}

/// Waits for something that must happen.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
