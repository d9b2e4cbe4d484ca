//! One authenticated connection: what it has agreed with its server, what state its session is in, and how
//! far its exchanges have come.
//!
//! ```text
//!            write                         read
//!   Rest ──────────▶ Writing ──▶ Rest ──────────▶ Reading ──▶ Rest
//!                       │                            │
//!                       └── failure ──▶ Broken ◀─────┘
//! ```
//! The state is set before each wait, so a future dropped in the middle leaves `Writing` or `Reading`
//! behind, and such a connection is never used again. Reading and writing are in `exchange/`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::channel::{Channel, ChannelError};
use super::kill::Killer;
use super::options::{ConnectOptions, Flavor};
use super::parameter_kinds::ParameterKinds;
use super::settings::{Names, SessionSettings};
use super::statements::{PreparedStatement, StatementCache};
use super::version::{Engine, ServerVersion};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::wire::command::reply_sequences;
use crate::wire::frame::write_packet_with;
use crate::wire::{Capabilities, Command, ReplySummary, StatusFlags};
use crate::{clock, limits};

bitflags::bitflags! {
    /// State that a statement leaves in a session at the server, beyond the settings that the connection
    /// keeps track of. A connection with any of it is reset before somebody else gets it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SessionState: u16 {
        /// A temporary table exists.
        const TEMPORARY_TABLE = 1;
        /// `GET_LOCK` holds a lock.
        const USER_LOCK = 1 << 1;
        /// `LOCK TABLES` or `FLUSH TABLES WITH READ LOCK` holds.
        const TABLE_LOCK = 1 << 2;
        /// A user variable has a value.
        const USER_VARIABLE = 1 << 3;
        /// Session variables have values that nobody keeps track of.
        const SETTINGS = 1 << 4;
        /// Another default database than the one connected to.
        const DATABASE = 1 << 5;
        /// A server-side cursor or `HANDLER` is open.
        const CURSOR = 1 << 6;
        /// Anything else.
        const OTHER = 1 << 7;
    }
}

/// What connecting has settled.
#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) capabilities: Capabilities,
    pub(super) flavor: Flavor,
    /// Character set and collation of a fresh connection.
    pub(super) names: Names,
    pub(super) status: StatusFlags,
    pub(super) thread_id: u32,
    pub(super) version: Arc<ServerVersion>,
}

/// What becomes of a connection that nobody uses any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Useless: close it.
    Close,
    /// Its statement still runs: kill that, then close.
    Kill,
    /// Its session has state: reset it, then reuse.
    Reset,
    /// Clean.
    Reuse,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Broken,
    Reading,
    Rest,
    Writing,
}

/// A reply that the server owes us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    /// Number that its first packet will have.
    sequence: u8,
    /// Whether it is that of the `SET` which [`BackendConnection::sync_settings`] queued.
    pub(super) is_for_settings: bool,
}

/// A connection to a server. See the room's documentation for the order of calls.
#[derive(Debug)]
pub struct BackendConnection {
    pub(super) channel: Channel,
    agreement: Agreement,
    options: Arc<ConnectOptions>,
    activity: Activity,
    /// Commands that were queued and not yet sent.
    outgoing: Vec<u8>,
    /// Replies owed, those of unsent commands last.
    owed: VecDeque<Owed>,
    /// How many of `owed` belong to unsent commands.
    unsent_count: usize,
    status: StatusFlags,
    session_state: SessionState,
    settings: Arc<SessionSettings>,
    pub(super) statements: StatementCache,
    created_at: Instant,
    worker: usize,
}

impl BackendConnection {
    pub(super) fn new(
        channel: Channel,
        agreement: Agreement,
        options: Arc<ConnectOptions>,
        worker: usize,
    ) -> Self {
        Self {
            channel,
            status: agreement.status,
            agreement,
            options,
            activity: Activity::Rest,
            outgoing: Vec::new(),
            owed: VecDeque::new(),
            unsent_count: 0,
            session_state: SessionState::empty(),
            settings: SessionSettings::empty().clone(),
            statements: StatementCache::new(limits::PREPARED_STATEMENTS_PER_BACKEND_MAX),
            created_at: Instant::now(),
            worker,
        }
    }

    /// The server's engine and release.
    pub fn version(&self) -> &Arc<ServerVersion> {
        &self.agreement.version
    }

    /// Capabilities agreed with the server.
    pub fn capabilities(&self) -> Capabilities {
        self.agreement.capabilities
    }

    /// The choices that it was connected with.
    pub fn flavor(&self) -> Flavor {
        self.agreement.flavor
    }

    /// The server's id of this connection, as `SHOW PROCESSLIST` has it.
    pub fn thread_id(&self) -> u32 {
        self.agreement.thread_id
    }

    /// Character set and collation of the connection without any settings.
    pub fn connect_names(&self) -> &Names {
        &self.agreement.names
    }

    /// How it was connected.
    pub fn options(&self) -> &Arc<ConnectOptions> {
        &self.options
    }

    /// The server's status flags as of the last OK or EOF packet.
    pub fn status(&self) -> StatusFlags {
        self.status
    }

    /// Whether a transaction is open at the server, as of the last OK or EOF packet.
    pub fn is_in_transaction(&self) -> bool {
        self.status.contains(StatusFlags::IN_TRANSACTION)
    }

    /// Whether an exchange has failed, so that nothing more can be done with it.
    pub fn is_broken(&self) -> bool {
        self.activity == Activity::Broken || self.channel.lifeline().is_cut()
    }

    /// Whether it could go back to its pool as it is: every reply was received, no transaction is open, and
    /// no session state is left.
    pub fn is_reusable(&self) -> bool {
        self.fate() == Fate::Reuse
    }

    /// Number of replies that are owed and not yet received.
    pub fn owed_count(&self) -> usize {
        self.owed.len()
    }

    /// Remembers that a statement leaves state in the session.
    pub fn mark(&mut self, state: SessionState) {
        self.session_state |= state;
    }

    /// Remembers that this state is gone again.
    pub fn unmark(&mut self, state: SessionState) {
        self.session_state -= state;
    }

    /// State that statements have left in the session.
    pub fn session_state(&self) -> SessionState {
        self.session_state
    }

    /// Remembers that the connection must not be used by anybody else: it is closed instead of pooled.
    pub fn condemn(&mut self) {
        self.activity = Activity::Broken;
    }

    /// A means to interrupt what this connection does, usable while an exchange is in progress.
    pub fn killer(&self) -> Killer {
        Killer::new(self.options.clone(), self.agreement.thread_id)
    }

    /// Hash of the settings that it has.
    pub fn settings_hash(&self) -> u64 {
        self.settings.hash()
    }

    /// The settings that it has, or will have when what is queued has been sent.
    pub fn settings(&self) -> &Arc<SessionSettings> {
        &self.settings
    }

    /// Queues the `SET` that gives the session these settings, unless it has them. If this returns true, the
    /// reply is the first to be received, with [`Self::receive_ok`]. When the server refuses, the connection
    /// is reset before its next use, and the statement that was sent along has run with wrong settings: so
    /// only settings that a server has accepted before should be given.
    pub fn sync_settings(&mut self, wanted: &Arc<SessionSettings>) -> bool {
        if Arc::ptr_eq(&self.settings, wanted) {
            return false;
        }
        let sql = self.settings.transition(wanted, &self.agreement.names);
        self.settings = wanted.clone();
        let Some(sql) = sql else { return false };
        self.queue(&Command::Query(sql.as_bytes()));
        if let Some(owed) = self.owed.back_mut() {
            owed.is_for_settings = true;
        }
        true
    }

    /// Takes note of settings that the session has got by other means, such as a client's own `SET`.
    pub fn assume_settings(&mut self, settings: Arc<SessionSettings>) {
        self.settings = settings;
    }

    /// Queues a command; [`Self::send`] or [`Self::flush`] sends it.
    pub fn queue(&mut self, command: &Command<'_>) {
        let mut sequence = 0;
        write_packet_with(&mut self.outgoing, &mut sequence, |out| {
            command.encode(out, self.agreement.capabilities);
        });
        if command.has_reply() {
            self.owe(sequence);
        }
    }

    /// Queues commands that are packets already, each beginning with sequence number 0, and together
    /// answered by so many replies.
    pub fn queue_packets(&mut self, packets: &[u8], reply_count: usize) {
        self.outgoing.extend_from_slice(packets);
        self.owe_replies_to(packets, reply_count);
    }

    /// Sends everything that is queued, and `packets` behind it, in one write. An error with
    /// [`Retry::FreshConnection`] means that nothing at all was sent; after any other the server may have
    /// run the commands.
    pub async fn send(&mut self, packets: &[u8], reply_count: usize) -> Result<()> {
        self.owe_replies_to(packets, reply_count);
        if self.outgoing.is_empty() {
            return self.write(packets).await;
        }
        if packets.len() < JOINED_WRITE_BYTES_MAX {
            self.outgoing.extend_from_slice(packets);
            return self.flush().await;
        }
        let queued = std::mem::take(&mut self.outgoing);
        self.write(&queued).await?;
        self.write(packets).await.map_err(|error| error.with_retry(Retry::Never))
    }

    /// Sends everything that is queued. Errors as for [`Self::send`].
    pub async fn flush(&mut self) -> Result<()> {
        let mut queued = std::mem::take(&mut self.outgoing);
        if queued.is_empty() {
            return Ok(());
        }
        let outcome = self.write(&queued).await;
        if queued.capacity() <= OUTGOING_BYTES_KEPT {
            queued.clear();
            self.outgoing = queued;
        }
        outcome
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.activity != Activity::Rest {
            return Err(self.closed_error());
        }
        self.activity = Activity::Writing;
        self.channel.lifeline().mark_sent();
        match self.channel.write_all(bytes).await {
            Ok(()) => {
                self.activity = Activity::Rest;
                self.unsent_count = 0;
                Ok(())
            }
            Err(failure) => {
                let error = self.fail(failure.error);
                let nothing_sent = failure.accepted_bytes == 0;
                Err(if nothing_sent { error.with_retry(Retry::FreshConnection) } else { error })
            }
        }
    }

    /// Sends packets in the middle of a reply: the file that a server asked for.
    pub(super) async fn write_in_reply(&mut self, packets: &[u8]) -> Result<()> {
        if self.activity != Activity::Reading {
            return Err(self.closed_error());
        }
        self.activity = Activity::Rest;
        self.write(packets).await.map_err(|error| error.with_retry(Retry::Never))?;
        self.activity = Activity::Reading;
        Ok(())
    }

    fn owe_replies_to(&mut self, packets: &[u8], reply_count: usize) {
        let before = self.owed.len();
        for sequence in reply_sequences(packets) {
            self.owe(sequence);
        }
        debug_assert_eq!(self.owed.len() - before, reply_count, "commands and replies do not fit");
    }

    fn owe(&mut self, sequence: u8) {
        self.owed.push_back(Owed { sequence, is_for_settings: false });
        self.unsent_count += 1;
    }

    /// Begins to read the next reply; returns the number of its first packet.
    pub(super) fn begin_reply(&mut self) -> Result<u8> {
        if self.activity != Activity::Rest {
            return Err(self.closed_error());
        }
        let Some(Owed { sequence, .. }) = self.owed.front().copied().filter(|_| self.sent_count() > 0) else {
            return Err(Error::bug("a reply is awaited that no sent command will get"));
        };
        self.activity = Activity::Reading;
        *self.channel.sequence_mut() = sequence;
        Ok(sequence)
    }

    /// The whole reply has been read. `status` is that of its last OK or EOF packet.
    pub(super) fn end_reply(&mut self, status: Option<StatusFlags>) -> Option<Owed> {
        self.activity = Activity::Rest;
        if let Some(status) = status {
            self.status = status;
        }
        let owed = self.owed.pop_front();
        if self.sent_count() == 0 {
            self.channel.lifeline().mark_idle();
            if !self.channel.buffered().is_empty() {
                // The server says something that was not asked for: what it means, nobody can know.
                self.activity = Activity::Broken;
            }
        }
        owed
    }

    /// As [`Self::end_reply`], with the status from a scanner's summary.
    pub(super) fn end_scanned_reply(&mut self, summary: &ReplySummary) -> Option<Owed> {
        self.end_reply((summary.result_count > 0).then_some(summary.status))
    }

    /// Notes that the connection is useless, and says so.
    pub(super) fn fail(&mut self, error: ChannelError) -> Error {
        self.activity = Activity::Broken;
        let label = &self.options.label;
        match error {
            ChannelError::Malformed(_) | ChannelError::Packet(_) => {
                Error::new(ErrorKind::BackendProtocol, format!("{label}: {error}"))
            }
            ChannelError::Closed | ChannelError::Cut | ChannelError::Io(_) => Error::new(
                ErrorKind::BackendLost,
                format!("lost connection to {label} during a statement, whose outcome is unknown: {error}"),
            ),
        }
    }

    fn closed_error(&self) -> Error {
        let text = format!("the connection to {} was given up in the middle of a reply", self.options.label);
        Error::new(ErrorKind::BackendLost, text)
    }

    /// Replies owed to commands that were sent.
    fn sent_count(&self) -> usize {
        self.owed.len() - self.unsent_count
    }

    /// What must happen to it when it is no longer used.
    pub(super) fn fate(&self) -> Fate {
        if self.is_broken() {
            Fate::Close
        } else if self.activity != Activity::Rest || self.sent_count() > 0 {
            Fate::Kill
        } else if self.unsent_count > 0 {
            Fate::Close
        } else if self.is_in_transaction() || self.has_other_autocommit() || !self.session_state.is_empty() {
            Fate::Reset
        } else {
            Fate::Reuse
        }
    }

    /// Whether a statement has changed `autocommit` behind the back of the settings.
    fn has_other_autocommit(&self) -> bool {
        let changed = self.status ^ self.agreement.status;
        changed.contains(StatusFlags::AUTOCOMMIT) && self.settings.variable("autocommit").is_none()
    }

    /// Takes note of what `COM_RESET_CONNECTION` does.
    pub(super) fn forget_session(&mut self) {
        self.statements.clear();
        self.session_state = SessionState::empty();
        self.settings = SessionSettings::empty().clone();
        self.status = self.agreement.status;
    }

    /// The statement that was prepared from `text` under the current settings, if it still is.
    pub fn prepared(&mut self, text: &[u8]) -> Option<Arc<PreparedStatement>> {
        self.statements.get(text, self.settings.hash())
    }

    /// The same for an execution whose parameters have this past; a server that remembers them has no other one.
    pub fn prepared_for(&mut self, text: &[u8], past: &ParameterKinds) -> Option<Arc<PreparedStatement>> {
        match self.version().engine {
            Engine::MariaDb => self.prepared(text),
            Engine::MySql => self.statements.get_with_past(text, self.settings.hash(), past),
        }
    }

    /// Forgets a prepared statement that the server says it does not know.
    pub fn forget_prepared(&mut self, statement_id: u32) {
        self.statements.remove(statement_id);
    }

    /// Number of statements prepared at the server.
    pub fn prepared_count(&self) -> usize {
        self.statements.len()
    }

    /// Returns when the server closes the connection or says something unasked; for connections at rest.
    pub async fn closed(&mut self) {
        self.channel.disturbed().await;
    }

    /// Whether it is connected and silent. Usually without a system call.
    pub(super) fn is_open(&mut self) -> bool {
        self.channel.is_quiet()
    }

    /// As [`Self::is_open`], for one that has been unused for a while: the event loop may have been kept from
    /// looking at it.
    pub(super) fn is_still_open(&mut self, unused: Duration) -> bool {
        self.is_open() && (unused < TRUSTED_UNUSED || self.channel.is_quiet_now())
    }

    /// Age since it was connected.
    pub fn age(&self) -> Duration {
        clock::recent().saturating_duration_since(self.created_at)
    }

    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// Moves it to another worker's event loop, the current one.
    pub(super) fn move_to_worker(self: Box<Self>, worker: usize) -> std::io::Result<Box<Self>> {
        let mut connection = *self;
        connection.channel = connection.channel.rehome()?;
        connection.worker = worker;
        Ok(Box::new(connection))
    }

    /// Says goodbye if that is possible without waiting, and closes the socket.
    pub(super) fn close(mut self: Box<Self>) {
        if self.activity == Activity::Rest && self.owed.is_empty() && !self.is_broken() {
            let mut quit = Vec::new();
            write_packet_with(&mut quit, &mut 0, |out| {
                Command::Quit.encode(out, self.agreement.capabilities);
            });
            self.channel.try_write(&quit);
        }
    }

    /// What a `SET` that was refused leaves behind.
    pub(super) fn note_refused_settings(&mut self) {
        self.session_state |= SessionState::SETTINGS;
    }
}

/// A connection used so recently is not looked at with a system call of its own: a busy worker's event loop
/// looks far more often.
const TRUSTED_UNUSED: Duration = Duration::from_millis(50);

/// Up to this size, commands are copied together so that they leave in one write.
const JOINED_WRITE_BYTES_MAX: usize = 64 << 10;

/// Capacity that the buffer for queued commands may keep while the connection is idle.
const OUTGOING_BYTES_KEPT: usize = 4 << 10;
