//! The MySQL listener: handshake, command loop, drain.

pub mod registry;
pub mod users;
