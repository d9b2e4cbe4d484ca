//! One connection to a MySQL server and its exchanges.

pub mod pool;
