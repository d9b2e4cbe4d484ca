//! `sql_select_limit` over several shards: a LIMIT of the whole result, for queries that have none of their own.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/server-system-variables.html#sysvar_sql_select_limit>

use std::sync::Arc;

use super::job::Job;
use crate::backend::SessionSettings;
use crate::plan::primitive::{Limit, Primitive, RouteValue};
use crate::session::Session;
use crate::value::Value;

const VARIABLE: &str = "sql_select_limit";

/// As a server has it by default.
pub(super) const NO_LIMIT: &str = "18446744073709551615";

/// Lifts the limit for what the router reads on behalf of another statement: it is about a client's own SELECT only.
/// Returns what the session's `settings_override` must be afterwards.
pub(super) fn lift(session: &mut Session) -> Option<Arc<SessionSettings>> {
    let before = session.settings_override.clone();
    let settings = session.statement_settings();
    if settings.variable(VARIABLE).is_some_and(|limit| limit != NO_LIMIT) {
        let lifted = settings.variables().map(|(name, value)| match name {
            VARIABLE => (name, NO_LIMIT),
            _ => (name, value),
        });
        let lifted = SessionSettings::new(lifted, settings.names().cloned());
        session.settings_override = Some(lifted);
    }
    before
}

/// The tree with the session's limit on top, if it applies. Shards cut their rows by the same variable, unless the
/// router needs all of them: then they run without it.
pub(super) fn apply(job: &mut Job<'_>, shard_count: usize, tree: &Primitive) -> Option<Primitive> {
    let limit = job.session.settings.backend().variable(VARIABLE)?;
    let count: u64 = limit.parse().ok()?;
    let is_lifted = job.session.statement_settings().variable(VARIABLE) == Some(NO_LIMIT);
    if is_lifted || shard_count == 1 || count == u64::MAX || !job.lexed.kind.is_query() {
        return None;
    }
    let is_plain = is_plain(tree);
    if !is_plain || has_limit(tree) {
        let settings = job.session.settings.with_variable(VARIABLE, None);
        job.session.settings_override = Some(Arc::clone(settings.backend()));
    }
    if has_limit(tree) {
        return None;
    }
    let count = Some(RouteValue::Literal(Value::UInt(count)));
    let limit = |input: &Primitive| Limit { count, offset: None, input: Box::new(input.clone()) };
    Some(match tree {
        // A limit stands below what drops helper columns, where a sort may make use of it.
        Primitive::Truncate(truncate) => {
            let mut truncate = truncate.clone();
            truncate.input = Box::new(Primitive::Limit(limit(&truncate.input)));
            Primitive::Truncate(truncate)
        }
        tree => Primitive::Limit(limit(tree)),
    })
}

/// Are the first rows of the whole among the first rows of each shard?
fn is_plain(tree: &Primitive) -> bool {
    match tree {
        Primitive::EachShard(_) => true,
        Primitive::MergeSort(merge) => is_plain(&merge.input),
        Primitive::Truncate(truncate) => is_plain(&truncate.input),
        _ => false,
    }
}

fn has_limit(tree: &Primitive) -> bool {
    match tree {
        Primitive::Limit(_) => true,
        Primitive::Truncate(truncate) => has_limit(&truncate.input),
        _ => false,
    }
}
