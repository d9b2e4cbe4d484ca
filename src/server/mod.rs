//! The MySQL listener: handshake, command loop, drain.
