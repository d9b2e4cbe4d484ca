//! MySQL client/server protocol: bytes to types and back, in both directions, without I/O.
