//! The MySQL listener: handshake, command loop, drain.

pub mod counters;
pub mod registry;
pub mod rsa_key;
pub mod tls;
pub mod users;
pub mod worker;
