//! The seam between the client side and whoever runs statements.
//!
//! The server reads commands, logs clients in and keeps the connection; a [`Handler`] gives each client a
//! session and answers its commands through a [`ClientStream`].

use std::sync::Arc;

use tokio::time::Instant;

use super::client_stream::ClientStream;
use super::registry::ClientEntry;
use crate::error::Result;
use crate::wire::{Capabilities, Command, StatusFlags};

/// Who a client is, after it has proved it.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The client's place in the registry: its number and host, and where database and state are shown.
    pub entry: Arc<ClientEntry>,
    /// Name it logged in with.
    pub user: Arc<str>,
    /// Name that its statements run under (Vitess's user data); the user's name when nothing else is configured.
    pub user_data: Arc<str>,
    /// Groups of the user.
    pub groups: Arc<[String]>,
    /// What both sides agreed on.
    pub capabilities: Capabilities,
    /// Id of the collation that the client asked for.
    pub collation: u16,
    /// Database that the client asked for; may be a target such as `customer:-80@replica`.
    pub database: Option<Box<str>>,
    /// Names and values that the client tells about itself (`_client_name`, `program_name`, …).
    pub attributes: Box<[(Box<str>, Box<str>)]>,
    /// Whether nobody can listen: TLS or the unix socket.
    pub is_secure: bool,
}

impl ClientInfo {
    /// `user@host`, as `USER()` answers.
    pub fn user_at_host(&self) -> String {
        format!("{}@{}", self.user, self.entry.host())
    }
}

/// What becomes of the connection after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next command is awaited.
    Continue,
    /// The connection is closed, after what is buffered was sent: the reply cannot be finished any more.
    Close,
}

/// Runs the statements of all clients. One object serves every worker.
pub trait Handler: Send + Sync + 'static {
    /// State of one client.
    type Session: Send + 'static;

    /// Begins a session, in the database that the client named. An error is told to the client instead of the
    /// login's OK.
    fn open(&self, client: &ClientInfo) -> impl Future<Output = Result<Self::Session>> + Send;

    /// Answers one command: COM_INIT_DB, COM_QUERY, COM_FIELD_LIST and those of prepared statements. Others never
    /// come here. An error is sent as an ERR packet with the stream's next sequence number. The future is kept
    /// inside the connection's task: box what is large and rarely used.
    fn command(
        &self,
        session: &mut Self::Session,
        command: Command<'_>,
        client: &mut ClientStream,
    ) -> impl Future<Output = Result<Flow>> + Send;

    /// Makes the session a fresh one: for COM_RESET_CONNECTION with `None`, and for COM_CHANGE_USER with who the
    /// client is now.
    fn reset(
        &self,
        session: &mut Self::Session,
        client: Option<&ClientInfo>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Status flags for replies that the server itself gives; also tells whether a transaction is open.
    fn status(&self, session: &Self::Session) -> StatusFlags;

    /// Until when the session waits for its next command; `None` is for as long as its client likes. Asked after each
    /// command.
    fn patience(&self, session: &Self::Session) -> Option<Instant>;

    /// The next command did not come in time.
    fn lose_patience(&self, session: &mut Self::Session) -> impl Future<Output = ()> + Send;

    /// Ends a session whose client is gone: roll back, give connections back. After a panic the session is dropped
    /// without this.
    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send;
}
