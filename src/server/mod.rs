//! The MySQL listener: handshake, command loop, drain.

pub mod registry;
pub mod rsa_key;
pub mod tls;
pub mod users;
