//! One connection to a MySQL or MariaDB server, its exchanges, and pools of such connections.
//!
//! An exchange has two halves: commands are queued and sent ([`BackendConnection::queue`],
//! [`BackendConnection::send`]), and their replies received in the same order, into a sink as packets
//! ([`BackendConnection::receive`]), as rows ([`RowStream`]) or as a plain success
//! ([`BackendConnection::receive_ok`]). Several commands may be on their way at once. This room knows no
//! targets, no plans and no sessions; `wire` knows the bytes. MySQL manual: "Client/Server Protocol".

mod auth;
mod channel;
mod connect;
mod connection;
mod exchange;
#[cfg(test)]
pub(crate) mod fake_server;
mod kill;
mod lifeline;
mod options;
mod parameter_kinds;
pub mod pool;
mod settings;
mod statements;
mod tls;
mod version;

pub use connection::{BackendConnection, SessionState};
pub use exchange::{ControlResult, Discard, LoadReply, ReplySink, RowStream};
pub use kill::Killer;
pub use lifeline::Heartbeat;
pub use options::{BackendAddress, ConnectOptions, Flavor, Password};
pub use parameter_kinds::ParameterKinds;
pub use settings::{Names, SessionSettings};
pub use statements::PreparedStatement;
pub use tls::{Tls, TlsMode};
pub use version::{Engine, ServerVersion};
