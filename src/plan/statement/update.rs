//! UPDATE: where its WHERE says, or on every shard.

use super::refusal;
use super::select::narrowed;
use crate::error::{Error, Result};
use crate::plan::primitive::{Primitive, Query, Route, Routing, Several};
use crate::plan::semantics::analyze::Ctes;
use crate::plan::semantics::{Analysis, Analyzer, Scope, place, session};
use crate::plan::source::Source;
use crate::plan::{Plan, PlanContext};
use crate::sql::LexFlags;
use crate::sql::ast::{Assignment, AssignmentTarget, Update};

pub(super) fn plan(ctx: &PlanContext<'_>, source: &Source<'_>, update: &Update) -> Result<Plan> {
    let mut analyzer = Analyzer::new(ctx, source);
    session::replace(source, &|_| false, &mut analyzer.analysis.edits)?;
    if session::assigns(source) {
        analyzer.analysis.block(session::ASSIGNS);
    }
    let ctes = Ctes::default();
    let mut scope = Scope::new(None);
    if update.from.is_some() {
        return Err(Error::unsupported("UPDATE … FROM"));
    }
    analyzer.table_with_joins(&update.table, &mut scope, &ctes)?;
    let from = 0..analyzer.analysis.instances.len();
    if let Some(condition) = &update.selection {
        analyzer.restrict(condition, &scope, &from, &ctes)?;
    }
    for assignment in &update.assignments {
        analyzer.expression(&assignment.value, &scope, &ctes)?;
        check_target(&mut analyzer, assignment)?;
    }
    update.order_by.iter().try_for_each(|key| analyzer.expression(&key.expr, &scope, &ctes))?;
    let is_limited = !update.order_by.is_empty() || update.limit.is_some();
    let limited = is_limited.then_some("UPDATE with ORDER BY or LIMIT");
    finish(source, analyzer.analysis, from.len(), limited)
}

/// A row whose vindex columns change would have to move.
fn check_target(analyzer: &mut Analyzer<'_>, assignment: &Assignment) -> Result<()> {
    let AssignmentTarget::ColumnName(name) = &assignment.target else {
        return Err(Error::unsupported("assignment to several columns"));
    };
    let idents: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).cloned().collect();
    analyzer.strip_target_qualifier(&idents)?;
    let Some(column) = idents.last() else { return Err(Error::bug("an assignment to nothing")) };
    let is_vindex_column = analyzer.analysis.instances.iter().any(|instance| {
        instance.table.column_vindexes.iter().any(|v| v.columns.iter().any(|c| *c == *column.value))
    });
    if is_vindex_column {
        return Err(Error::unsupported(format!("changing the vindex column {}", column.value)));
    }
    Ok(())
}

/// The plan of an UPDATE or DELETE whose tables and conditions are known.
pub(super) fn finish(
    source: &Source<'_>,
    analysis: Analysis,
    from_count: usize,
    limited: Option<&str>,
) -> Result<Plan> {
    let query = source.query(&analysis.all_edits());
    let places = &analysis.places;
    let kind = source.lexed().kind;
    if places.system {
        return Err(Error::unsupported("changes of system tables"));
    }
    if let Some(keyspace) = &places.reference {
        if places.sharded.is_some() || places.unsharded.is_some() || places.is_mixed {
            return Err(Error::unsupported("changes of joined reference tables"));
        }
        let route = copies(source, keyspace.clone(), query, limited)?;
        return Ok(Plan { kind, root: Primitive::Route(route), tables: analysis.tables });
    }
    let place = place::of(&analysis)?;
    let several = if place.routing.is_single() {
        Several::Never
    } else {
        let is_tied = from_count > 0 && analysis.reaches_all(0, 0..analysis.instances.len());
        match (limited, &analysis.blocker) {
            (Some(what), _) => refusal(&Error::unsupported(format!("{what} over several shards")))?,
            (None, Some(blocker)) => Several::Unsupported(blocker.clone()),
            (None, None) if !is_tied => Several::Unsupported("a join or sub-query across shards".into()),
            (None, None) => Several::Write(narrowed(whole_template(source, &query), &place.routing)),
        }
    };
    let route = Route { keyspace: place.keyspace, routing: place.routing, query, several };
    Ok(Plan { kind, root: Primitive::Route(route), tables: analysis.tables })
}

/// The text as a template, so that lists in it can be narrowed.
fn whole_template(source: &Source<'_>, query: &Query) -> Query {
    match query {
        Query::Original => {
            Query::Template(source.pieces(source.range(), &crate::plan::source::Edits::default()))
        }
        Query::Template(_) => query.clone(),
    }
}

/// A change of a reference table: the same on every shard.
pub(super) fn copies(
    source: &Source<'_>,
    keyspace: crate::topology::KeyspaceName,
    query: Query,
    limited: Option<&str>,
) -> Result<Route> {
    if source.lexed().flags.contains(LexFlags::HAS_NONDETERMINISTIC) {
        return Err(Error::unsupported("random values in a change of a reference table"));
    }
    let several = match limited {
        Some(what) => Several::Unsupported(format!("{what} of a reference table").into()),
        None => Several::WriteSame(query.clone()),
    };
    Ok(Route { keyspace: Some(keyspace), routing: Routing::Scatter, query, several })
}
