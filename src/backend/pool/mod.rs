//! A pool of connections to one tablet.
//!
//! Acquire: take a permit (or queue for one, in order), then an unused connection of the same flavor,
//! preferably with the same settings, else connect. A connection comes back only through its guard, and only
//! if its last exchange ended in a known state (see `guard.rs`). While the tablet is known to be out of
//! service the pool is *suspended*: it answers at once with the reason. Knows no topology and no health.

mod guard;
mod idle;
mod permits;
mod stats;
mod tablet_pool;
#[cfg(test)]
mod tests;
mod worker;

pub use guard::PooledConnection;
pub use stats::{CloseReason, PoolStats};
pub use tablet_pool::{Needs, PoolOptions, TabletPool};
