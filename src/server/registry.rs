//! Who is connected: for the process list, KILL, drain and the connection limits.
//!
//! Each session owns one [`ClientEntry`] and writes it with relaxed stores and its own uncontended lock; the
//! registry itself is locked only when sessions come and go and when somebody lists them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::error::Error;
use crate::limits::{CLIENT_WRITE_TIMEOUT, PROCESS_TEXT_BYTES_MAX};

/// Number of a client connection: unique in this process, and what `CONNECTION_ID()` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// What a KILL ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// The session with all it holds.
    Connection,
    /// The running statement only.
    Query,
}

/// Why a session should stop what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The client has closed its connection.
    HungUp,
    /// The client has sent no command for longer than it may.
    Idle,
    /// Somebody killed the connection, or the router stops.
    KillConnection,
    /// Somebody killed the statement.
    KillQuery,
}

/// One client in the registry. The session updates it; others read it or ask the session to stop.
#[derive(Debug)]
pub struct ClientEntry {
    id: ConnectionId,
    host: Box<str>,
    /// `COM_*` byte of the running command, [`IDLE`] between commands.
    command: AtomicU8,
    in_transaction: AtomicBool,
    has_timed_out: AtomicBool,
    /// Milliseconds after the registry's epoch when the current command, or the idling, began.
    since_ms: AtomicU64,
    kill: AtomicU8,
    /// Seconds that the client may idle (`wait_timeout`); 0 is no limit.
    idle_limit: Arc<AtomicU32>,
    /// Seconds that the client may take for bytes of a reply (`net_write_timeout`); 0 is the router's own limit.
    write_limit: Arc<AtomicU32>,
    /// Set while the session does something that must not be given up halfway.
    shield: Arc<AtomicBool>,
    waker: AtomicWaker,
    details: Mutex<Details>,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Details {
    user: Arc<str>,
    database: Option<Arc<str>>,
    text: Vec<u8>,
    state: &'static str,
    /// What a statement that took too long ends with.
    timeout: Option<Error>,
}

/// `COM_SLEEP`, never sent by a client.
const IDLE: u8 = 0;
/// A connection that has not logged in.
const CONNECTING: u8 = 0x0B;

const KILL_NONE: u8 = 0;
const KILL_QUERY: u8 = 1;
const KILL_CONNECTION: u8 = 2;
/// Concerns only a session that waits for its client.
const KILL_IDLE: u8 = 3;

impl ClientEntry {
    /// The connection's number.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Where the client is, as in `user@host`: an address, or `localhost` for a unix socket.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Notes that a command begins; `text` is its statement, cut to what the process list shows.
    pub fn begin(&self, command: u8, text: &[u8], now: Instant) {
        self.command.store(command, Ordering::Relaxed);
        self.since_ms.store(millis_between(self.epoch, now), Ordering::Relaxed);
        if !text.is_empty() {
            let mut details = self.details();
            details.text.clear();
            details.text.extend_from_slice(&text[..text.len().min(PROCESS_TEXT_BYTES_MAX)]);
        }
    }

    /// Notes that the session waits for its next command. A KILL of the finished statement is forgotten.
    pub fn end(&self, in_transaction: bool, now: Instant) {
        self.command.store(IDLE, Ordering::Relaxed);
        self.since_ms.store(millis_between(self.epoch, now), Ordering::Relaxed);
        self.in_transaction.store(in_transaction, Ordering::Relaxed);
        if self.has_timed_out.load(Ordering::Relaxed) {
            self.has_timed_out.store(false, Ordering::Relaxed);
        }
        let kill = self.kill.load(Ordering::Relaxed);
        if matches!(kill, KILL_QUERY | KILL_IDLE) {
            let _ = self.kill.compare_exchange(kill, KILL_NONE, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Who logged in; empty before that.
    pub fn user(&self) -> Arc<str> {
        self.details().user.clone()
    }

    /// Notes who logged in.
    pub fn set_user(&self, user: Arc<str>) {
        self.details().user = user;
        self.command.store(IDLE, Ordering::Relaxed);
    }

    /// Notes the current database (keyspace target).
    pub fn set_database(&self, database: Option<Arc<str>>) {
        self.details().database = database;
    }

    /// Notes what the running statement does, in a few words for the process list.
    pub fn set_state(&self, state: &'static str) {
        self.details().state = state;
    }

    /// Seconds that the client may idle, for whoever keeps the session's `wait_timeout`; 0 is no limit.
    pub fn idle_limit(&self) -> &Arc<AtomicU32> {
        &self.idle_limit
    }

    /// Seconds that the client may take for bytes of a reply, for whoever keeps the session's `net_write_timeout`; 0 is
    /// the router's own limit.
    pub fn write_limit(&self) -> &Arc<AtomicU32> {
        &self.write_limit
    }

    /// How long to wait until the client takes bytes.
    pub(super) fn write_timeout(&self) -> Duration {
        match self.write_limit.load(Ordering::Relaxed) {
            0 => CLIENT_WRITE_TIMEOUT,
            seconds => Duration::from_secs(seconds.into()),
        }
    }

    /// Whether the client was found to idle for too long.
    pub fn has_idled_out(&self) -> bool {
        self.kill.load(Ordering::Relaxed) == KILL_IDLE
    }

    fn end_if_idle(&self, now_ms: u64) {
        let limit = self.idle_limit.load(Ordering::Relaxed);
        if limit == 0 || self.command.load(Ordering::Relaxed) != IDLE {
            return;
        }
        let idle_ms = now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed));
        if idle_ms >= u64::from(limit) * 1000 {
            let _ = self.kill.compare_exchange(KILL_NONE, KILL_IDLE, Ordering::AcqRel, Ordering::Relaxed);
            self.waker.wake();
        }
    }

    /// Set it while something is done that must not be given up halfway: interrupts then wait for its end.
    pub fn shield(&self) -> &Arc<AtomicBool> {
        &self.shield
    }

    /// The KILL of the running statement is being followed: what the statement still says goes to the client.
    pub fn accept_kill_query(&self) {
        let _ = self.kill.compare_exchange(KILL_QUERY, KILL_NONE, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The running statement takes too long: its server is told to end it, and the interruption that the server
    /// speaks of is this error.
    pub fn set_timed_out(&self, error: Error) {
        self.details().timeout = Some(error);
        self.has_timed_out.store(true, Ordering::Relaxed);
    }

    /// The error of [`Self::set_timed_out`].
    pub fn timeout(&self) -> Option<Error> {
        self.has_timed_out.load(Ordering::Relaxed).then(|| self.details().timeout.clone()).flatten()
    }

    /// Why the session should stop, if somebody said so: one load. [`Interrupt::Idle`] is nothing to one that is busy.
    pub fn interrupt(&self) -> Option<Interrupt> {
        match self.kill.load(Ordering::Relaxed) {
            KILL_NONE => None,
            KILL_QUERY => Some(Interrupt::KillQuery),
            KILL_IDLE => Some(Interrupt::Idle),
            _ => Some(Interrupt::KillConnection),
        }
    }

    /// Ready when somebody wants the session to stop; otherwise wakes `cx` when that happens.
    pub fn poll_interrupt(&self, cx: &Context<'_>) -> Poll<Interrupt> {
        if let Some(interrupt) = self.interrupt() {
            return Poll::Ready(interrupt);
        }
        self.waker.register(cx.waker());
        // A KILL between the first look and the registration has woken nobody.
        match self.kill.load(Ordering::Acquire) {
            KILL_NONE => Poll::Pending,
            KILL_QUERY => Poll::Ready(Interrupt::KillQuery),
            KILL_IDLE => Poll::Ready(Interrupt::Idle),
            _ => Poll::Ready(Interrupt::KillConnection),
        }
    }

    /// Asks the session to stop. A connection's KILL is final; a statement's does nothing to an idle session.
    pub fn kill(&self, kill: Kill) {
        match kill {
            Kill::Connection => self.kill.store(KILL_CONNECTION, Ordering::Release),
            Kill::Query => {
                if self.command.load(Ordering::Relaxed) == IDLE {
                    return;
                }
                let _ =
                    self.kill.compare_exchange(KILL_NONE, KILL_QUERY, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        self.waker.wake();
    }

    /// Whether the session only waits for its client, outside of a transaction.
    pub fn is_idle(&self) -> bool {
        self.command.load(Ordering::Relaxed) == IDLE && !self.in_transaction.load(Ordering::Relaxed)
    }

    fn row(&self) -> ProcessRow {
        let command = self.command.load(Ordering::Relaxed);
        let since = self.since_ms.load(Ordering::Relaxed);
        let details = self.details();
        ProcessRow {
            id: self.id,
            user: details.user.clone(),
            host: self.host.clone(),
            database: details.database.clone(),
            command: command_name(command),
            seconds: millis_between(self.epoch, Instant::now()).saturating_sub(since) / 1000,
            state: if command == IDLE { "" } else { details.state },
            text: (command != IDLE && !details.text.is_empty()).then(|| details.text.clone()),
            is_in_transaction: self.in_transaction.load(Ordering::Relaxed),
        }
    }

    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One row of the process list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRow {
    /// The connection's number.
    pub id: ConnectionId,
    /// Who logged in; empty before that.
    pub user: Arc<str>,
    /// Address of the client.
    pub host: Box<str>,
    /// Current database.
    pub database: Option<Arc<str>>,
    /// What it does, in the words of MySQL's process list.
    pub command: &'static str,
    /// How long it has been doing that.
    pub seconds: u64,
    /// What the statement does just now.
    pub state: &'static str,
    /// The running statement, cut to [`PROCESS_TEXT_BYTES_MAX`].
    pub text: Option<Vec<u8>>,
    /// Whether a transaction is open.
    pub is_in_transaction: bool,
}

/// All clients of one server.
#[derive(Debug)]
pub struct Registry {
    clients: Mutex<Clients>,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Clients {
    by_id: BTreeMap<ConnectionId, Arc<ClientEntry>>,
    last_id: u32,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self { clients: Mutex::default(), epoch: Instant::now() }
    }

    /// Adds a connection that has not logged in yet; it leaves when the guard is dropped.
    pub fn add(self: &Arc<Self>, host: Box<str>) -> Registration {
        let mut clients = self.clients();
        let id = clients.next_id();
        let entry = Arc::new(ClientEntry {
            id,
            host,
            command: AtomicU8::new(CONNECTING),
            in_transaction: AtomicBool::new(false),
            has_timed_out: AtomicBool::new(false),
            since_ms: AtomicU64::new(millis_between(self.epoch, Instant::now())),
            kill: AtomicU8::new(KILL_NONE),
            idle_limit: Arc::default(),
            write_limit: Arc::default(),
            shield: Arc::default(),
            waker: AtomicWaker::new(),
            details: Mutex::default(),
            epoch: self.epoch,
        });
        clients.by_id.insert(id, entry.clone());
        Registration { entry, registry: self.clone() }
    }

    /// How many clients are connected, including those that are just logging in.
    pub fn count(&self) -> usize {
        self.clients().by_id.len()
    }

    /// The client with this number.
    pub fn find(&self, id: ConnectionId) -> Option<Arc<ClientEntry>> {
        self.clients().by_id.get(&id).cloned()
    }

    /// Asks a session to stop; false when there is no such connection.
    pub fn kill(&self, id: ConnectionId, kill: Kill) -> bool {
        self.find(id).map(|entry| entry.kill(kill)).is_some()
    }

    /// Everybody, by number.
    pub fn list(&self) -> Vec<ProcessRow> {
        self.entries().iter().map(|entry| entry.row()).collect()
    }

    /// Handles on everybody, by number.
    pub fn entries(&self) -> Vec<Arc<ClientEntry>> {
        self.clients().by_id.values().cloned().collect()
    }

    /// Ends the sessions whose clients have sent no command for longer than they may.
    pub fn end_idle(&self) {
        let now_ms = millis_between(self.epoch, Instant::now());
        self.clients().by_id.values().for_each(|entry| entry.end_if_idle(now_ms));
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Clients {
    /// Numbers go up; after 2^32 connections they start again and skip those in use.
    fn next_id(&mut self) -> ConnectionId {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = ConnectionId(self.last_id);
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }
}

/// Keeps one connection in the registry until it is dropped.
#[derive(Debug)]
pub struct Registration {
    entry: Arc<ClientEntry>,
    registry: Arc<Registry>,
}

impl Registration {
    /// The connection's entry.
    pub fn entry(&self) -> &Arc<ClientEntry> {
        &self.entry
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.clients().by_id.remove(&self.entry.id);
    }
}

/// A count with an upper bound, given back when the guard is dropped.
#[derive(Clone, Debug)]
pub struct Bounded {
    used: Arc<AtomicU32>,
    max: u32,
}

impl Bounded {
    /// Nothing used, at most `max`.
    pub fn new(max: usize) -> Self {
        Self { used: Arc::default(), max: u32::try_from(max).unwrap_or(u32::MAX) }
    }

    /// The bound.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// One more, or `None` at the bound.
    pub fn take(&self) -> Option<BoundedGuard> {
        let used = self.used.fetch_add(1, Ordering::AcqRel);
        let guard = BoundedGuard(self.used.clone());
        (used < self.max).then_some(guard)
    }

    /// How many are out.
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

/// One of a [`Bounded`].
#[derive(Debug)]
pub struct BoundedGuard(Arc<AtomicU32>);

impl Drop for BoundedGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn millis_between(start: Instant, end: Instant) -> u64 {
    u64::try_from(end.saturating_duration_since(start).as_millis()).unwrap_or(u64::MAX)
}

/// MySQL's words for commands in the process list.
fn command_name(command: u8) -> &'static str {
    match command {
        IDLE => "Sleep",
        0x01 => "Quit",
        0x02 => "Init DB",
        0x03 => "Query",
        0x04 => "Field List",
        0x09 => "Statistics",
        CONNECTING => "Connect",
        0x0E => "Ping",
        0x11 => "Change user",
        0x16 => "Prepare",
        0x17 => "Execute",
        0x18 => "Long Data",
        0x19 => "Close stmt",
        0x1A => "Reset stmt",
        0x1B => "Set option",
        0x1C => "Fetch",
        0x1F => "Reset Connection",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Arc<Registry> {
        Arc::new(Registry::new())
    }

    #[test]
    fn lists_clients_while_their_registration_lives() {
        let registry = registry();
        let first = registry.add("10.0.0.1:5".into());
        let second = registry.add("localhost".into());
        first.entry().set_user("ann".into());
        first.entry().set_database(Some("commerce".into()));
        first.entry().begin(0x03, b"select 1", Instant::now());
        let rows = registry.list();
        assert_eq!(rows.len(), 2);
        assert_eq!((&*rows[0].user, rows[0].command), ("ann", "Query"));
        assert_eq!(rows[0].text.as_deref(), Some(&b"select 1"[..]));
        assert_eq!(rows[1].command, "Connect");
        drop(second);
        first.entry().end(true, Instant::now());
        let rows = registry.list();
        assert_eq!((rows.len(), rows[0].command, rows[0].is_in_transaction), (1, "Sleep", true));
        assert_eq!(rows[0].text, None);
    }

    #[test]
    fn cuts_long_statements() {
        let registry = registry();
        let client = registry.add("h".into());
        client.entry().begin(0x03, &[b'x'; 10_000], Instant::now());
        assert_eq!(registry.list()[0].text.as_ref().map(Vec::len), Some(PROCESS_TEXT_BYTES_MAX));
    }

    #[test]
    fn kill_query_touches_only_a_running_statement_and_ends_with_it() {
        let registry = registry();
        let client = registry.add("h".into());
        let entry = client.entry();
        entry.set_user("ann".into());
        assert!(registry.kill(entry.id(), Kill::Query));
        assert_eq!(entry.interrupt(), None);
        entry.begin(0x03, b"select sleep(9)", Instant::now());
        registry.kill(entry.id(), Kill::Query);
        assert_eq!(entry.interrupt(), Some(Interrupt::KillQuery));
        entry.end(false, Instant::now());
        assert_eq!(entry.interrupt(), None);
        registry.kill(entry.id(), Kill::Connection);
        entry.end(false, Instant::now());
        assert_eq!(entry.interrupt(), Some(Interrupt::KillConnection));
        assert!(!registry.kill(ConnectionId(999), Kill::Query));
    }

    #[tokio::test]
    async fn kill_wakes_a_waiting_session() {
        let registry = registry();
        let client = registry.add("h".into());
        let entry = client.entry().clone();
        let waiting = tokio::spawn(async move { std::future::poll_fn(|cx| entry.poll_interrupt(cx)).await });
        tokio::task::yield_now().await;
        registry.kill(client.entry().id(), Kill::Connection);
        assert_eq!(waiting.await.unwrap(), Interrupt::KillConnection);
    }

    #[test]
    fn only_clients_that_idle_for_too_long_are_ended() {
        let registry = registry();
        let client = registry.add("h".into());
        let entry = client.entry();
        entry.idle_limit().store(1, Ordering::Relaxed);
        let long_ago = registry.epoch;
        let entry_at = |seconds: u64| {
            entry.end(false, long_ago);
            entry.end_if_idle(seconds * 1000);
            entry.interrupt()
        };
        assert_eq!(entry_at(0), None);
        assert_eq!(entry_at(1), Some(Interrupt::Idle));
        entry.begin(3, b"select 1", long_ago);
        entry.end_if_idle(5_000);
        entry.end(false, long_ago);
        assert_eq!(entry.interrupt(), None);
        entry.idle_limit().store(0, Ordering::Relaxed);
        assert_eq!(entry_at(1_000_000), None);
    }

    #[test]
    fn numbers_wrap_around_and_skip_those_in_use() {
        let mut clients = Clients { last_id: u32::MAX - 1, ..Clients::default() };
        assert_eq!(clients.next_id(), ConnectionId(u32::MAX));
        assert_eq!(clients.next_id(), ConnectionId(1));
    }

    #[test]
    fn bounded_refuses_one_more_than_its_bound() {
        let bounded = Bounded::new(2);
        let first = bounded.take();
        let second = bounded.take();
        assert!(first.is_some() && second.is_some() && bounded.take().is_none());
        drop(first);
        assert!(bounded.take().is_some());
        assert_eq!(bounded.used(), 1);
    }
}
