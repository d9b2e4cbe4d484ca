//! Distributed transactions over plain servers: names, the log of decisions, and the resolver.
//!
//! The first shard of a transaction, its *coordinator*, takes part with an ordinary transaction. Every later one is a
//! branch, begun with `XA START`. To commit, the branches are prepared while a row with the decision is written inside
//! of the coordinator's own transaction; the coordinator's COMMIT is the decision; then the branches are committed.
//! See `docs/transactions.md`, and Vitess's "Atomic distributed transaction". Knows no clients and no sessions.

mod fault;
mod log;
mod name;
mod resolver;
mod survey;

pub use fault::{FaultPoint, Faults};
pub use log::{Decision, create_log, record_query, record_statement};
pub use name::{new_dtid, place_name, xid};
pub use resolver::{Options, Resolver, ResolverTask};
pub use survey::{Phase, Unresolved};

use std::sync::atomic::{AtomicU64, Ordering};

/// How transactions over several shards have ended, since the router started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Committed on every shard, in any mode.
    pub committed: AtomicU64,
    /// Mode MULTI: committed on some shards only.
    pub partial: AtomicU64,
    /// Mode TWOPC: rolled back everywhere because a shard could not be prepared.
    pub rolled_back: AtomicU64,
    /// Mode TWOPC: the decision was not confirmed; recovery finds out.
    pub undecided: AtomicU64,
    /// Mode TWOPC: committed, but a branch was left to recovery.
    pub left_to_recovery: AtomicU64,
    /// Branches that recovery has committed.
    pub recovered_commits: AtomicU64,
    /// Branches that recovery has rolled back.
    pub recovered_rollbacks: AtomicU64,
    /// Transactions in doubt, as of the last look.
    pub unresolved: AtomicU64,
}

impl Counters {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
