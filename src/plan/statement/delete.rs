//! DELETE: where its WHERE says, on every shard, or of rows that are read first.

use super::change_text::ChangeText;
use super::read_first::{self, Given};
use super::update::{Form, finish};
use crate::error::Result;
use crate::plan::semantics::analyze::Ctes;
use crate::plan::semantics::{Analysis, Analyzer, Scope, relevance, session};
use crate::plan::source::Source;
use crate::plan::{Plan, PlanContext};
use crate::sql::ast::{Delete, FromTable, TableFactor, TableWithJoins, With};
use crate::vschema::Table;

pub(super) fn plan(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    delete: &Delete,
    with: Option<&With>,
    reads_first: bool,
) -> Result<Plan> {
    let mut analyzer = Analyzer::new(ctx, source);
    session::replace(source, &|_| false, &mut analyzer.analysis.edits)?;
    if session::assigns(source) {
        analyzer.analysis.block(session::ASSIGNS);
    }
    if let Some(reason) = relevance::of_change(source, delete.selection.as_ref())? {
        analyzer.analysis.block(reason);
    }
    let ctes = Ctes::of(with);
    let mut scope = Scope::new(None);
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let tables = match &delete.using {
        Some(using) => {
            // `delete from a, b using …`: what stands behind FROM are targets only.
            for target in from {
                if let TableFactor::Table { name, .. } = &target.relation {
                    analyzer.strip_table_qualifier(name)?;
                }
            }
            using
        }
        None => from,
    };
    for table in tables {
        analyzer.refuse_views(table)?;
        analyzer.table_with_joins(table, &mut scope, &ctes)?;
    }
    for target in &delete.tables {
        analyzer.strip_table_qualifier(target)?;
    }
    let instances = 0..analyzer.analysis.instances.len();
    if let Some(condition) = &delete.selection {
        analyzer.restrict(condition, &scope, &instances, &ctes)?;
    }
    delete.order_by.iter().try_for_each(|key| analyzer.expression(&key.expr, &scope, &ctes))?;
    if let Some(with) = with {
        analyzer.unused_ctes(with, None, &ctes)?;
    }
    let analysis = analyzer.analysis;
    let tables: Vec<&TableWithJoins> = tables.iter().collect();
    let references = read_first::references(ctx, &tables)?;
    let deleted = read_first::deleted(&references, &delete.tables);
    let targets: Vec<&Table> = match &deleted {
        Ok(deleted) => deleted.iter().map(|index| &**references[*index].table()).collect(),
        Err(_) => references.iter().map(|reference| &**reference.table()).collect(),
    };
    let limit = delete.limit.as_ref();
    let is_ordered = delete.limit.is_some() || !delete.order_by.is_empty();
    let first = |analysis: &Analysis| {
        let deleted = deleted.as_ref().map_err(Clone::clone)?;
        let given = Given {
            source,
            analysis,
            references: &references,
            scope: &scope,
            is_ordered,
            limit,
            keeps_values: false,
        };
        given.delete(&ChangeText::of_delete(source, !delete.tables.is_empty())?, deleted)
    };
    let form = Form {
        from_count: instances.len(),
        is_limited: delete.limit.is_some(),
        moves: false,
        keeps_lookups: targets.iter().any(|table| table.has_owned_lookups()),
        returns: delete.returning.is_some(),
        reads_first,
    };
    finish(source, &analysis, &form, &targets, &first)
}
