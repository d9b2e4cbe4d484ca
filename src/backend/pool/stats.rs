//! Numbers about one pool, for metrics and status pages.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// An exchange failed or broke the protocol.
    Broken,
    /// Made room for a connection of another flavor.
    Evicted,
    /// Unused for too long.
    Idle,
    /// Its statement was given up and killed.
    Killed,
    /// Too old.
    Lifetime,
    /// The pool was closed or suspended.
    PoolClosed,
    /// Resetting its session state failed.
    ResetFailed,
    /// The server had closed it while it was unused.
    Stale,
}

impl CloseReason {
    /// Every reason, in the order of [`PoolStats::closed`].
    pub const ALL: [Self; 8] = [
        Self::Broken,
        Self::Evicted,
        Self::Idle,
        Self::Killed,
        Self::Lifetime,
        Self::PoolClosed,
        Self::ResetFailed,
        Self::Stale,
    ];

    /// The word for metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Evicted => "evicted",
            Self::Idle => "idle",
            Self::Killed => "killed",
            Self::Lifetime => "lifetime",
            Self::PoolClosed => "pool_closed",
            Self::ResetFailed => "reset_failed",
            Self::Stale => "stale",
        }
    }
}

/// A pool's numbers at one moment. Counts are since the pool was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Most connections that may be open.
    pub connections_max: usize,
    /// Open connections, in use or not.
    pub open: usize,
    /// Connections handed out.
    pub in_use: usize,
    /// Unused open connections.
    pub idle: usize,
    /// Statements that wait for a connection now.
    pub waiting: usize,
    /// Connections handed out so far.
    pub acquired: u64,
    /// Of these, after waiting.
    pub waits: u64,
    /// Sum of the time waited.
    pub wait_time: Duration,
    /// Waits that ended without a connection.
    pub wait_timeouts: u64,
    /// Connections made.
    pub created: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Connections taken over from another worker.
    pub stolen: u64,
    /// Connections whose session state was reset.
    pub resets: u64,
    /// Connections closed, by [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) acquired: Count,
    pub(super) released: Count,
    pub(super) waits: Count,
    pub(super) wait_micros: Count,
    pub(super) wait_timeouts: Count,
    pub(super) created: Count,
    pub(super) connect_failures: Count,
    pub(super) stolen: Count,
    pub(super) resets: Count,
    pub(super) closed: [Count; CloseReason::ALL.len()],
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn count_closed(&self, reason: CloseReason) {
        self.closed[reason as usize].add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_in_the_order_of_their_numbers() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.as_str());
        }
    }
}
