//! Plans by fingerprint. A key carries what a plan depends on but for the schemas of its tables, which are compared
//! when they may have changed: a stale plan cannot be found, and DDL on one table costs no plan of another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;

use crate::limits::PLAN_CACHE_ENTRIES_MAX;
use crate::plan::Plan;
use crate::schema::Relation;
use crate::topology::Snapshot;

/// What a plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlanKey {
    /// The text without its arguments.
    pub fingerprint: u128,
    /// The session's target, see `SessionTarget::plan_hash`.
    pub target: u64,
    /// Flags of `sql_mode` that change how text is read.
    pub mode: u8,
    /// Version of VSchema and topology; of the schemas too where names alone may mean other tables by them.
    pub version: u64,
}

/// A plan and what it was made from.
struct Entry {
    plan: Arc<Plan>,
    /// The schemas of the plan's tables.
    relations: Box<[Option<Arc<Relation>>]>,
    /// Version of the last snapshot in which the tables were found to be the same.
    version: AtomicU64,
}

/// The plans of all sessions.
pub struct PlanCache {
    plans: Cache<PlanKey, Arc<Entry>>,
    /// Lookups that found a plan which no longer fits.
    outdated: AtomicU64,
}

impl Default for PlanCache {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self { plans: Cache::new(PLAN_CACHE_ENTRIES_MAX), outdated: AtomicU64::new(0) }
    }

    /// The plan, if it is one for this snapshot.
    pub fn get(&self, key: &PlanKey, snapshot: &Snapshot) -> Option<Arc<Plan>> {
        let entry = self.plans.get(key)?;
        if !entry.fits(snapshot) {
            self.outdated.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(entry.plan.clone())
    }

    /// Keeps a plan that was made for this snapshot.
    pub fn insert(&self, key: PlanKey, plan: Arc<Plan>, snapshot: &Snapshot) {
        let relations = relations(&plan, snapshot).map(|relation| relation.cloned()).collect();
        let version = AtomicU64::new(snapshot.version);
        self.plans.insert(key, Arc::new(Entry { plan, relations, version }));
    }

    /// Whether no plan is held.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }

    /// Number of plans held.
    pub fn len(&self) -> usize {
        self.plans.len()
    }

    /// Lookups that found a plan, and that did not.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        let outdated = self.outdated.load(Ordering::Relaxed);
        (self.plans.hits().saturating_sub(outdated), self.plans.misses() + outdated)
    }
}

impl Entry {
    fn fits(&self, snapshot: &Snapshot) -> bool {
        if self.version.load(Ordering::Relaxed) == snapshot.version {
            return true;
        }
        // What has not changed keeps its address from one version of the schemas to the next.
        let is_same = |(known, now): (&Option<Arc<Relation>>, Option<&Arc<Relation>>)| match (known, now) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (None, None) => true,
            _ => false,
        };
        let fits = self.relations.iter().zip(relations(&self.plan, snapshot)).all(is_same);
        if fits {
            self.version.store(snapshot.version, Ordering::Relaxed);
        }
        fits
    }
}

/// The schemas of a plan's tables, in their order.
fn relations<'s>(plan: &'s Plan, snapshot: &'s Snapshot) -> impl Iterator<Item = Option<&'s Arc<Relation>>> {
    let relation = |keyspace: &str, name: &str| snapshot.schemas.relation(keyspace, name);
    plan.tables.iter().map(move |(keyspace, name)| relation(keyspace.as_deref()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::primitive::{Primitive, Query, Route, Routing, Several};
    use crate::schema::{Column, Schema, Schemas};
    use crate::sql::StatementKind;

    #[test]
    fn only_a_change_of_its_own_tables_outdates_a_plan() {
        let relation = |name: &str, column: &str| Relation {
            columns: vec![Column::new(column, "int", "int")],
            ..Relation::new(name)
        };
        let snapshot = |version, before: Option<&Snapshot>, relations: Vec<Relation>| {
            let before = before.and_then(|before| before.schemas.schema("ks")).map(|schema| &**schema);
            let schema = Arc::new(Schema::new(relations, before));
            let schemas = Arc::new(Schemas::default().with("ks".into(), schema));
            Snapshot { version, schemas, ..Snapshot::new(1, Arc::default(), Arc::default()) }
        };
        let route = Route {
            keyspace: None,
            routing: Routing::AnyShard,
            query: Query::Original,
            several: Several::Never,
        };
        let tables =
            vec![(Some("ks".into()), "a".into()), (Some("ks".into()), "none".into()), (None, "x".into())];
        let (kind, root) = (StatementKind::Select, Primitive::Route(route));
        let plan = Arc::new(Plan { kind, root, tables, told_id: None, year_arguments: Vec::new() });
        let key = PlanKey { fingerprint: 1, target: 2, mode: 0, version: 1 };
        let plans = PlanCache::new();
        let first = snapshot(1, None, vec![relation("a", "x"), relation("b", "x")]);
        plans.insert(key, plan, &first);
        let finds = |snapshot: &Snapshot| plans.get(&key, snapshot).is_some();
        let of_another = snapshot(2, Some(&first), vec![relation("a", "x"), relation("b", "y")]);
        assert!(finds(&first) && finds(&of_another));
        let of_its_own = snapshot(3, Some(&of_another), vec![relation("a", "y"), relation("b", "y")]);
        assert!(!finds(&of_its_own) && finds(&first));
        let of_one_that_was_unknown =
            snapshot(4, Some(&first), vec![relation("a", "x"), relation("none", "x")]);
        assert!(!finds(&of_one_that_was_unknown));
        assert!(!finds(&snapshot(5, Some(&first), Vec::new())));
    }
}
