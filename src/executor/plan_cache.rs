//! Plans by fingerprint. A key carries everything that a plan depends on, so a stale plan cannot be found.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::limits::PLAN_CACHE_ENTRIES_MAX;
use crate::plan::Plan;

/// What a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlanKey {
    /// The text without its arguments.
    pub(super) fingerprint: u128,
    /// The session's target, see `SessionTarget::plan_hash`.
    pub(super) target: u64,
    /// Flags of `sql_mode` that change how text is read.
    pub(super) mode: u8,
    /// Version of VSchema and topology.
    pub(super) version: u64,
}

/// The plans of all sessions.
pub(super) struct PlanCache {
    plans: Cache<PlanKey, Arc<Plan>>,
}

impl PlanCache {
    pub(super) fn new() -> Self {
        Self { plans: Cache::new(PLAN_CACHE_ENTRIES_MAX) }
    }

    pub(super) fn get(&self, key: &PlanKey) -> Option<Arc<Plan>> {
        self.plans.get(key)
    }

    pub(super) fn insert(&self, key: PlanKey, plan: Arc<Plan>) {
        self.plans.insert(key, plan);
    }

    /// Number of plans held.
    pub(super) fn len(&self) -> usize {
        self.plans.len()
    }

    /// Lookups that found a plan, and that did not.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        (self.plans.hits(), self.plans.misses())
    }
}
