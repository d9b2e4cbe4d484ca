//! MySQL client/server protocol: bytes to types and back, in both directions, without I/O.
//!
//! The router is the server of its clients and a client of its servers, so every packet has an encoder and
//! a decoder. Decoders read through [`Reader`] and fail with [`Malformed`]; nothing in here panics on
//! hostile bytes, waits, or keeps more memory than the packet it was given. A folder per phase of
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>. Only this room knows byte layouts.

pub mod auth;
pub mod capability;
pub mod charset;
pub mod column_type;
pub mod command;
pub mod connect;
pub mod frame;
pub mod fuzzing;
pub mod reader;
pub mod reply;
pub mod response;
pub mod row;
pub mod statement;
pub mod status;
pub mod writer;

pub use capability::Capabilities;
pub use column_type::{ColumnFlags, ColumnType};
pub use command::Command;
pub use reader::{Malformed, Reader};
pub use reply::{CapturedResult, ReplyKind, ReplyScanner, ReplySummary, Scan, StatusPatch, read_captured};
pub use response::{ColumnDefinition, EofPacket, ErrPacket, OkPacket};
pub use status::StatusFlags;
