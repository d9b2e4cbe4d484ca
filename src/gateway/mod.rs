//! From a target (keyspace, shard, tablet type) to a backend connection: health, tablet choice, retry.
//!
//! The three steps are *logical* (a destination, resolved by the topology), *concrete* (a [`Target`]) and
//! *endpoint* (one tablet's pool). This room does the last: it polls each tablet's server, routes around
//! those out of service, and retries only while nothing of a statement has reached a server. It knows
//! nothing of statements, sessions or plans. Vitess: `TabletGateway` and `HealthCheck`.

mod choice;
mod health;
mod poller;
mod probe;
mod router;
mod server;
mod target;
#[cfg(test)]
mod tests;

pub use health::{ServingState, TabletStatus};
pub use probe::ReplicationStatus;
pub use router::{Gateway, GatewayOptions};
pub use target::Target;
