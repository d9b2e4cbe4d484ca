//! DELETE: where its WHERE says, or on every shard.

use super::update::finish;
use crate::error::{Error, Result};
use crate::plan::semantics::analyze::Ctes;
use crate::plan::semantics::{Analyzer, Scope, session};
use crate::plan::source::Source;
use crate::plan::{Plan, PlanContext};
use crate::sql::ast::{Delete, FromTable};

pub(super) fn plan(ctx: &PlanContext<'_>, source: &Source<'_>, delete: &Delete) -> Result<Plan> {
    let mut analyzer = Analyzer::new(ctx, source);
    session::replace(source, &|_| false, &mut analyzer.analysis.edits)?;
    if session::assigns(source) {
        analyzer.analysis.block(session::ASSIGNS);
    }
    let ctes = Ctes::default();
    let mut scope = Scope::new(None);
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let tables = match &delete.using {
        Some(using) => {
            // `delete from a, b using …`: what stands behind FROM are targets only.
            for target in from {
                if let crate::sql::ast::TableFactor::Table { name, .. } = &target.relation {
                    analyzer.strip_table_qualifier(name)?;
                }
            }
            using
        }
        None => from,
    };
    for table in tables {
        analyzer.table_with_joins(table, &mut scope, &ctes)?;
    }
    for target in &delete.tables {
        analyzer.strip_table_qualifier(target)?;
    }
    let instances = 0..analyzer.analysis.instances.len();
    if analyzer.analysis.instances.iter().any(|instance| instance.table.has_owned_lookups()) {
        return Err(Error::unsupported("DELETE from a table with lookup vindexes"));
    }
    if let Some(condition) = &delete.selection {
        analyzer.restrict(condition, &scope, &instances, &ctes)?;
    }
    delete.order_by.iter().try_for_each(|key| analyzer.expression(&key.expr, &scope, &ctes))?;
    let is_limited = !delete.order_by.is_empty() || delete.limit.is_some();
    finish(source, analyzer.analysis, instances.len(), is_limited.then_some("DELETE with ORDER BY or LIMIT"))
}
