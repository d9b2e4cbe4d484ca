//! UPDATE: where its WHERE says, on every shard, or of rows that are read first.

use super::change_text::ChangeText;
use super::read_first::{self, Assignment, Given, Reference};
use super::refusal;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{Primitive, Query, ReadFirst, Route, Routing, Several};
use crate::plan::semantics::analyze::Ctes;
use crate::plan::semantics::{Analysis, Analyzer, Scope, place, relevance, session};
use crate::plan::source::Source;
use crate::plan::{Plan, PlanContext};
use crate::sql::LexFlags;
use crate::sql::ast::{AssignmentTarget, Update, With};
use crate::vschema::{Table, TableKind};

pub(super) fn plan(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    update: &Update,
    with: Option<&With>,
    reads_first: bool,
) -> Result<Plan> {
    let mut analyzer = Analyzer::new(ctx, source);
    session::replace(source, &|_| false, &mut analyzer.analysis.edits)?;
    if session::assigns(source) {
        analyzer.analysis.block(session::ASSIGNS);
    }
    if let Some(reason) = relevance::of_change(source, update.selection.as_ref())? {
        analyzer.analysis.block(reason);
    }
    let ctes = Ctes::of(with);
    let mut scope = Scope::new(None);
    if update.from.is_some() {
        return Err(Error::unsupported("UPDATE … FROM"));
    }
    analyzer.refuse_views(&update.table)?;
    analyzer.table_with_joins(&update.table, &mut scope, &ctes)?;
    let from = 0..analyzer.analysis.instances.len();
    if let Some(condition) = &update.selection {
        analyzer.restrict(condition, &scope, &from, &ctes)?;
    }
    for assignment in &update.assignments {
        analyzer.expression(&assignment.value, &scope, &ctes)?;
        if let AssignmentTarget::ColumnName(name) = &assignment.target {
            let idents: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).cloned().collect();
            analyzer.strip_target_qualifier(&idents)?;
        }
    }
    update.order_by.iter().try_for_each(|key| analyzer.expression(&key.expr, &scope, &ctes))?;
    if let Some(with) = with {
        analyzer.unused_ctes(with, None, &ctes)?;
    }
    let analysis = analyzer.analysis;
    let references = read_first::references(ctx, &[&update.table])?;
    let assignments = read_first::assigned(&references, &scope, &update.assignments);
    let moves = match &assignments {
        Ok(assignments) => check_vindexes(assignments, &references)?,
        // Who cannot tell the table must not touch what may be a vindex column of any.
        Err(error) => check_names(update, &analysis, error)?,
    };
    let limit = update.limit.as_ref();
    let is_ordered = update.limit.is_some() || !update.order_by.is_empty();
    let first = |analysis: &Analysis| {
        let assignments = assignments.as_ref().map_err(Clone::clone)?;
        let given = Given {
            source,
            analysis,
            references: &references,
            scope: &scope,
            is_ordered,
            limit,
            keeps_values: reads_first,
        };
        given.update(&ChangeText::of_update(source)?, assignments)
    };
    let targets: Vec<&Table> = match &assignments {
        Ok(assignments) => assignments.iter().map(|a| &**references[a.target()].table()).collect(),
        Err(_) => references.iter().map(|reference| &**reference.table()).collect(),
    };
    let returns = update.returning.is_some();
    let keeps_lookups = assignments.as_ref().is_ok_and(|all| keeps_lookups(all, &references));
    let form = Form {
        from_count: from.len(),
        is_limited: update.limit.is_some(),
        moves,
        keeps_lookups,
        returns,
        reads_first,
    };
    finish(source, &analysis, &form, &targets, &first)
}

/// Does a column of a primary vindex change? Tables of lookups follow; other functions would lead elsewhere.
fn check_vindexes(assignments: &[Assignment<'_>], references: &[Reference]) -> Result<bool> {
    if let Some(wrong) = assignments.iter().find(|a| a.changes_function(references)) {
        return Err(Error::unsupported(format!("changing the vindex column {}", wrong.column())));
    }
    Ok(assignments.iter().any(|a| a.changes_vindex(references, 0..1)))
}

/// Must tables of lookup vindexes follow?
fn keeps_lookups(assignments: &[Assignment<'_>], references: &[Reference]) -> bool {
    assignments.iter().any(|a| {
        let is_key = a.changes_vindex(references, 0..1);
        a.changes_vindex(references, 1..usize::MAX)
            || is_key && references[a.target()].table().has_owned_lookups()
    })
}

fn check_names(update: &Update, analysis: &Analysis, error: &Error) -> Result<bool> {
    for assignment in &update.assignments {
        let AssignmentTarget::ColumnName(name) = &assignment.target else { return Err(error.clone()) };
        let Some(column) = name.0.last().and_then(|part| part.as_ident()) else { return Err(error.clone()) };
        let is_vindex_column = analysis.instances.iter().any(|instance| {
            instance.table.column_vindexes.iter().any(|v| v.columns.iter().any(|c| *c == *column.value))
        });
        if is_vindex_column {
            return Err(Error::unsupported(format!("changing the vindex column {}", column.value)));
        }
    }
    Ok(false)
}

/// What counts of an UPDATE's or DELETE's form.
pub(super) struct Form {
    /// Sharded tables outside of sub-queries.
    pub(super) from_count: usize,
    pub(super) is_limited: bool,
    /// Rows may have to move to other shards.
    pub(super) moves: bool,
    /// Tables of lookup vindexes have to follow.
    pub(super) keeps_lookups: bool,
    /// RETURNING.
    pub(super) returns: bool,
    /// Rows are read first in any case.
    pub(super) reads_first: bool,
}

/// The plan of an UPDATE or DELETE whose tables and conditions are known. `first` makes the plan that reads rows first.
pub(super) fn finish(
    source: &Source<'_>,
    analysis: &Analysis,
    form: &Form,
    targets: &[&Table],
    first: &dyn Fn(&Analysis) -> Result<ReadFirst>,
) -> Result<Plan> {
    let query = source.query(&analysis.all_edits());
    let places = &analysis.places;
    let kind = source.lexed().kind;
    let plan = |root| {
        let year_arguments = analysis.year_arguments.clone();
        Ok(Plan { kind, root, tables: analysis.tables.clone(), told_id: None, year_arguments })
    };
    if places.system {
        return Err(Error::unsupported("changes of system tables"));
    }
    let reads = || match () {
        () if form.returns => Err(Error::unsupported("RETURNING over several shards")),
        () if form.reads_first && session::assigns(source) => Err(Error::unsupported(session::ASSIGNS)),
        () if analysis.blocker.as_deref() == Some(relevance::COUNTS) => {
            Err(Error::unsupported(relevance::COUNTS))
        }
        () => first(analysis),
    };
    if form.reads_first {
        return plan(Primitive::ReadFirst(Box::new(reads()?)));
    }
    let is_reference =
        |table: &&Table| table.is_keyspace_sharded && matches!(table.kind, TableKind::Reference { .. });
    if targets.iter().any(is_reference) {
        let is_alone = places.sharded.is_none() && places.unsharded.is_none() && !places.is_mixed;
        let (true, Some(keyspace)) = (is_alone, &places.reference) else {
            return plan(Primitive::ReadFirst(Box::new(reads()?)));
        };
        // Shards do not have the session's variables.
        let reads_first = form.is_limited || session::assigns(source);
        let mut route = copies(source, keyspace.clone(), query, reads_first.then_some(&reads))?;
        if form.returns {
            route.several = returning(route.several);
        }
        return plan(Primitive::Route(route));
    }
    if form.keeps_lookups && !form.moves {
        return plan(Primitive::ReadFirst(Box::new(reads()?)));
    }
    let place = match place::of(analysis) {
        Err(error) if error.kind() == Some(ErrorKind::Unsupported) => {
            return plan(Primitive::ReadFirst(Box::new(reads()?)));
        }
        place => place?,
    };
    let several = if is_at_one_shard(&place.routing) {
        Several::Never
    } else {
        let is_tied = form.from_count > 0 && analysis.reaches_all(0, 0..analysis.instances.len());
        if form.is_limited || analysis.blocker.is_some() || !is_tied {
            reads().map_or_else(|error| refusal(&error), |first| Ok(Several::ReadFirst(Box::new(first))))?
        } else if form.returns {
            let query = whole_template(source, &query).narrowed(&place.routing);
            Several::WriteReturning { query, is_same: false }
        } else {
            Several::Write(whole_template(source, &query).narrowed(&place.routing))
        }
    };
    let route = Route { keyspace: place.keyspace, routing: place.routing, query, several };
    if form.moves {
        let mut first = reads()?;
        // Lookup tables follow rows that were read.
        first.whole = (!form.keeps_lookups).then(|| Box::new(route));
        return plan(Primitive::ReadFirst(Box::new(first)));
    }
    plan(Primitive::Route(route))
}

/// Is it one shard, whatever the values are? A string may equal a number on any.
fn is_at_one_shard(routing: &Routing) -> bool {
    match routing {
        Routing::EqualUnique(lookup) => !lookup.is_text,
        Routing::SameShard(_) => false,
        other => other.is_single(),
    }
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

/// A change that returns rows, which every shard does alike.
pub(super) fn returning(several: Several) -> Several {
    match several {
        Several::WriteSame(query) => Several::WriteReturning { query, is_same: true },
        other => other,
    }
}

/// A change of a reference table: the same on every shard. `limited`: which rows it is must be known first.
pub(super) fn copies(
    source: &Source<'_>,
    keyspace: crate::topology::KeyspaceName,
    query: Query,
    limited: Option<&dyn Fn() -> Result<ReadFirst>>,
) -> Result<Route> {
    if source.lexed().flags.contains(LexFlags::HAS_NONDETERMINISTIC) {
        return Err(Error::unsupported("random values in a change of a reference table"));
    }
    let several = match limited {
        Some(first) => Several::ReadFirst(Box::new(first()?)),
        None => Several::WriteSame(query.clone()),
    };
    Ok(Route { keyspace: Some(keyspace), routing: Routing::Scatter, query, several })
}
