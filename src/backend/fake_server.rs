//! A server for tests: listens on a loopback port, speaks the protocol, and does what the test says.
//!
//! [`FakeServer`] answers by itself, keeps a log of what it was told, and can freeze, refuse and restart.
//! [`Peer`] is one accepted connection under the control of a script.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::channel::Channel;
use super::connection::{Agreement, BackendConnection};
use super::options::{BackendAddress, ConnectOptions, Flavor};
use super::settings::Names;
use super::version::ServerVersion;
use crate::net::{PacketStream, Stream};
use crate::wire::connect::{Greeting, HandshakeResponse, Salt};
use crate::wire::frame::write_packet_with;
use crate::wire::row::put_text_field;
use crate::wire::statement::PrepareOk;
use crate::wire::{Capabilities, ColumnDefinition, Command, EofPacket, ErrPacket, OkPacket, StatusFlags};

pub(crate) const SALT: Salt = *b"abcdefghijklmnopqrst";

/// A connection as a script sees it.
pub(crate) struct Peer {
    pub(crate) packets: PacketStream,
    pub(crate) capabilities: Capabilities,
}

/// A connection as it is after its handshake, and its server.
pub(crate) fn connected_pair(flavor: Flavor) -> (BackendConnection, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let agreement = Agreement {
        capabilities: Capabilities::REQUESTED,
        flavor,
        names: Names { charset: "utf8mb4".into(), collation: None },
        status: StatusFlags::AUTOCOMMIT,
        thread_id: 1,
        version: Arc::new(ServerVersion::parse(b"9.7.0")),
    };
    let options = Arc::new(ConnectOptions::new(BackendAddress::Unix("/nowhere".into()), "app"));
    let channel = Channel::new(Stream::unix(ours), Arc::default());
    let mut peer = Peer::new(Stream::unix(theirs));
    peer.capabilities.set(Capabilities::DEPRECATE_EOF, flavor.deprecate_eof);
    (BackendConnection::new(channel, agreement, options, 0), peer)
}

/// What a handshake response said.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) database: Option<String>,
    pub(crate) auth_response: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { packets: PacketStream::new(stream), capabilities: Capabilities::empty() }
    }

    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        Self::new(Stream::tcp(stream).unwrap())
    }

    /// Sends one packet, numbered behind the last one.
    pub(crate) async fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write_packet_with(&mut out, self.packets.sequence_mut(), encode);
        // The client may be gone, which the script will notice.
        let _ = self.packets.write_all(&out).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.packets.write_all(bytes).await;
    }

    pub(crate) async fn read(&mut self) -> Option<Vec<u8>> {
        self.packets.read_packet(64 << 20).await.ok().flatten().map(<[u8]>::to_vec)
    }

    pub(crate) async fn greet(&mut self, plugin: &str, extra: Capabilities, version: &str, id: u32) {
        let capabilities =
            Capabilities::OFFERED | Capabilities::PLUGIN_AUTH | Capabilities::FOUND_ROWS | extra;
        let greeting = Greeting {
            server_version: version.as_bytes(),
            connection_id: id,
            salt: SALT,
            capabilities,
            collation: 45,
            status: StatusFlags::AUTOCOMMIT,
            auth_plugin: plugin.as_bytes(),
        };
        self.send(|out| greeting.encode(out)).await;
    }

    pub(crate) async fn login(&mut self) -> Option<Login> {
        let payload = self.read().await?;
        let response = HandshakeResponse::decode(&payload).unwrap();
        self.capabilities = response.capabilities;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Login {
            user: text(response.user),
            database: response.database.map(text),
            auth_response: response.auth_response.to_vec(),
        })
    }

    /// Greets with an account without password and lets everybody in.
    pub(crate) async fn welcome(&mut self, id: u32) -> Option<Login> {
        self.greet("mysql_native_password", Capabilities::empty(), "10.11.6-MariaDB", id).await;
        let login = self.login().await?;
        self.ok(StatusFlags::AUTOCOMMIT).await;
        Some(login)
    }

    /// The next command's payload; `None` when the client has hung up.
    pub(crate) async fn command(&mut self) -> Option<Vec<u8>> {
        self.packets.set_sequence(0);
        self.read().await
    }

    pub(crate) async fn ok(&mut self, status: StatusFlags) {
        self.send(|out| OkPacket { status, ..OkPacket::default() }.encode(out)).await;
    }

    pub(crate) async fn err(&mut self, errno: u16, message: &str) {
        let error = ErrPacket { errno, sqlstate: *b"HY000", message: message.as_bytes() };
        self.send(|out| error.encode(out)).await;
    }

    /// A result set of text columns, in one write.
    pub(crate) async fn result(&mut self, columns: &[&str], rows: &[Vec<Option<String>>]) {
        let mut out = Vec::new();
        let deprecate_eof = self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        result_packets(&mut out, self.packets.sequence_mut(), deprecate_eof, columns, rows);
        self.send_bytes(&out).await;
    }
}

/// Appends the packets of a result set of text columns.
pub(crate) fn result_packets(
    out: &mut Vec<u8>,
    sequence: &mut u8,
    deprecate_eof: bool,
    columns: &[&str],
    rows: &[Vec<Option<String>>],
) {
    let status = StatusFlags::AUTOCOMMIT;
    let eof = EofPacket { warnings: 0, status };
    write_packet_with(out, sequence, |out| out.push(u8::try_from(columns.len()).unwrap()));
    for column in columns {
        write_packet_with(out, sequence, |out| ColumnDefinition::text(*column, 100).encode(out));
    }
    if !deprecate_eof {
        write_packet_with(out, sequence, |out| eof.encode(out));
    }
    for row in rows {
        write_packet_with(out, sequence, |out| {
            for value in row {
                put_text_field(out, value.as_deref().map(str::as_bytes));
            }
        });
    }
    write_packet_with(out, sequence, |out| {
        if deprecate_eof {
            OkPacket { status, ..OkPacket::default() }.encode_as_terminator(out);
        } else {
            eof.encode(out);
        }
    });
}

/// What a [`FakeServer`] answers to a query.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Error(u16, &'static str),
    /// Nothing, ever.
    Hang,
    /// Closes the connection instead.
    HangUp,
    Rows(&'static [&'static str], Vec<Vec<Option<String>>>),
    Status(StatusFlags),
}

#[derive(Default)]
struct Behaviour {
    answers: Mutex<HashMap<String, Answer>>,
    log: Mutex<Vec<String>>,
    is_frozen: AtomicBool,
    thawed: Notify,
    is_refusing: AtomicBool,
    connections: AtomicUsize,
    connected: AtomicUsize,
    next_id: AtomicU32,
}

/// A server that answers by itself.
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    behaviour: Arc<Behaviour>,
    listening: Option<JoinHandle<()>>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            behaviour: Arc::default(),
            listening: None,
            tasks: Arc::default(),
        };
        server.answer("SELECT @@global.read_only", Answer::rows(&["@@global.read_only"], &["0"]));
        server.listen().await;
        server
    }

    /// Listens (again), on the same port.
    pub(crate) async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let (behaviour, tasks) = (self.behaviour.clone(), self.tasks.clone());
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = tokio::spawn(serve(stream, behaviour.clone()));
                tasks.lock().unwrap().push(serving);
            }
        }));
    }

    /// Dies: closes the port and every connection.
    pub(crate) async fn stop(&mut self) {
        let listening = self.listening.take().unwrap();
        listening.abort();
        let _ = listening.await;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
    }

    /// Closes every connection, but keeps listening.
    pub(crate) async fn drop_connections(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        for task in tasks {
            task.abort();
            let _ = task.await;
        }
    }

    /// Stops answering anything, greetings included; sockets stay open.
    pub(crate) fn freeze(&self) {
        self.behaviour.is_frozen.store(true, Ordering::SeqCst);
    }

    pub(crate) fn thaw(&self) {
        self.behaviour.is_frozen.store(false, Ordering::SeqCst);
        self.behaviour.thawed.notify_waiters();
    }

    /// Refuses logins.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.behaviour.is_refusing.store(refuse, Ordering::SeqCst);
    }

    pub(crate) fn answer(&self, sql: &str, answer: Answer) {
        self.behaviour.answers.lock().unwrap().insert(sql.to_owned(), answer);
    }

    /// Every command so far, as `<thread id>: <text>`, without those of health polls.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = self.behaviour.log.lock().unwrap();
        log.iter().filter(|line| !line.contains("@@global.read_only")).cloned().collect()
    }

    /// Waits until the log has a line with this text.
    pub(crate) async fn wait_for(&self, text: &str) {
        while !self.log().iter().any(|line| line.contains(text)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.behaviour.connections.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub(crate) fn connected(&self) -> usize {
        self.behaviour.connected.load(Ordering::SeqCst)
    }

    pub(crate) fn options(&self) -> Arc<ConnectOptions> {
        let address = BackendAddress::Tcp { host: "127.0.0.1".into(), port: self.address.port() };
        Arc::new(ConnectOptions { label: "tablet test-1".into(), ..ConnectOptions::new(address, "app") })
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }
}

impl Answer {
    /// One row.
    pub(crate) fn rows(columns: &'static [&'static str], row: &[&str]) -> Self {
        Self::Rows(columns, vec![row.iter().map(|value| Some((*value).to_owned())).collect()])
    }
}

struct Connected(Arc<Behaviour>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connected.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(stream: TcpStream, behaviour: Arc<Behaviour>) {
    let id = behaviour.next_id.fetch_add(1, Ordering::SeqCst) + 1;
    behaviour.connections.fetch_add(1, Ordering::SeqCst);
    behaviour.connected.fetch_add(1, Ordering::SeqCst);
    let _connected = Connected(behaviour.clone());
    let mut peer = Peer::new(Stream::tcp(stream).unwrap());
    behaviour.frozen().await;
    if behaviour.is_refusing.load(Ordering::SeqCst) {
        peer.greet("mysql_native_password", Capabilities::empty(), "9.7.0", id).await;
        if peer.login().await.is_some() {
            peer.err(1045, "Access denied for user 'app'").await;
        }
        return;
    }
    if peer.welcome(id).await.is_none() {
        return;
    }
    let mut statement_id = 0;
    while let Some(payload) = peer.command().await {
        behaviour.frozen().await;
        let capabilities = peer.capabilities;
        match Command::decode(&payload, capabilities).unwrap() {
            Command::Quit => return,
            Command::Query(sql) => {
                let sql = String::from_utf8_lossy(sql).into_owned();
                behaviour.note(id, &sql);
                let answer = behaviour.answers.lock().unwrap().get(&sql).cloned();
                match answer {
                    None => peer.ok(StatusFlags::AUTOCOMMIT).await,
                    Some(Answer::Status(status)) => peer.ok(status).await,
                    Some(Answer::Error(errno, text)) => peer.err(errno, text).await,
                    Some(Answer::Rows(columns, rows)) => peer.result(columns, &rows).await,
                    Some(Answer::HangUp) => return,
                    Some(Answer::Hang) => std::future::pending().await,
                }
            }
            Command::StmtPrepare(sql) => {
                behaviour.note(id, &format!("PREPARE {}", String::from_utf8_lossy(sql)));
                statement_id += 1;
                let prepared = PrepareOk { statement_id, column_count: 0, parameter_count: 0, warnings: 0 };
                peer.send(|out| prepared.encode(out)).await;
            }
            Command::StmtClose(statement_id) => behaviour.note(id, &format!("CLOSE {statement_id}")),
            Command::ResetConnection => {
                behaviour.note(id, "RESET");
                peer.ok(StatusFlags::AUTOCOMMIT).await;
            }
            other => {
                behaviour.note(id, &format!("{other:?}"));
                peer.ok(StatusFlags::AUTOCOMMIT).await;
            }
        }
    }
}

impl Behaviour {
    fn note(&self, id: u32, text: &str) {
        self.log.lock().unwrap().push(format!("{id}: {text}"));
    }

    /// Returns at once unless the server is frozen.
    async fn frozen(&self) {
        while self.is_frozen.load(Ordering::SeqCst) {
            let thawed = self.thawed.notified();
            if self.is_frozen.load(Ordering::SeqCst) {
                thawed.await;
            }
        }
    }
}
