//! SELECT and its relatives, and EXPLAIN of a statement.

use std::borrow::Cow;

use super::refusal;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::primitive::{
    EachShard, Finish, Gather, Piece, Primitive, Query, Route, Routing, Several, Template,
};
use crate::plan::semantics::analyze::Ctes;
use crate::plan::semantics::{Analysis, Analyzer, Block, place, relevance, session};
use crate::plan::source::{Edits, Source};
use crate::plan::{Plan, PlanContext, is_system_schema, rewrite};
use crate::sql::ast::{self, SetExpr};
use crate::sql::{Lexed, StatementKind};

pub(super) fn plan(ctx: &PlanContext<'_>, mut source: Source<'_>, query: &ast::Query) -> Result<Plan> {
    let mut edits = Edits::default();
    let query = without_parentheses(&mut source, query, &mut edits);
    let (source, query) = (&source, &*query);
    let (analysis, block) = analysed(ctx, source, query, edits)?;
    let mut place = match place::of(&analysis) {
        Ok(place) => place,
        Err(error) => {
            let gather = gather(ctx, source, query, &analysis, &block, &error)?;
            let kind = source.lexed().kind;
            return Ok(Plan {
                kind,
                root: Primitive::Gather(gather),
                tables: analysis.tables,
                told_id: None,
                year_arguments: analysis.year_arguments,
            });
        }
    };
    if let Routing::SameShard(groups) = &place.routing
        && matches!(&*query.body, SetExpr::SetOperation { .. })
        && combine(source, query, &analysis, &block).is_ok()
    {
        // The parts of a UNION need not meet.
        place.routing = Routing::Union(groups.clone());
    }
    let several = if let Routing::SameShard(_) = &place.routing {
        // Only when it runs does it turn out whether the tables meet.
        let error = Error::unsupported("a join or sub-query across shards");
        Several::Gather(Box::new(gather(ctx, source, query, &analysis, &block, &error)?))
    } else if place.routing.is_single() {
        Several::Never
    } else {
        match combine(source, query, &analysis, &block) {
            Ok(tree) => Several::Combine(Box::new(narrow_lists(tree, &place.routing))),
            Err(error) => match finish(source, query, &analysis, &block) {
                Ok(mut finish) => {
                    *finish.rows = narrow_lists(*finish.rows, &place.routing);
                    Several::Finish(Box::new(finish))
                }
                Err(_) => match gather(ctx, source, query, &analysis, &block, &error) {
                    Ok(gather) => Several::Gather(Box::new(gather)),
                    Err(error) => refusal(&error)?,
                },
            },
        }
    };
    let query = source.query(&analysis.all_edits());
    let route = Route { keyspace: place.keyspace, routing: place.routing, query, several };
    Ok(Plan {
        kind: source.lexed().kind,
        root: Primitive::Route(route),
        tables: analysis.tables,
        told_id: None,
        year_arguments: analysis.year_arguments,
    })
}

/// The plan for one server, when `refused` is why no cheaper one is possible.
fn gather(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    query: &ast::Query,
    analysis: &Analysis,
    block: &Block,
    refused: &Error,
) -> Result<Gather> {
    let Several::Unsupported(reason) = refusal(refused)? else { return Err(refused.clone()) };
    super::gather::plan(ctx, source, query, analysis, block, &reason)
}

/// Plans the query for one server, whatever cheaper plan it has.
pub(super) fn gathered(ctx: &PlanContext<'_>, mut source: Source<'_>, query: &ast::Query) -> Result<Plan> {
    let mut edits = Edits::default();
    let query = without_parentheses(&mut source, query, &mut edits);
    let (analysis, block) = analysed(ctx, &source, &query, edits)?;
    let refused = Error::unsupported("a plan that its values do not allow");
    let gather = gather(ctx, &source, &query, &analysis, &block, &refused)?;
    Ok(Plan {
        kind: source.lexed().kind,
        root: Primitive::Gather(gather),
        tables: analysis.tables,
        told_id: None,
        year_arguments: analysis.year_arguments,
    })
}

fn analysed(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    query: &ast::Query,
    edits: Edits,
) -> Result<(Analysis, Block)> {
    let mut analyzer = Analyzer::new(ctx, source);
    analyzer.analysis.edits = edits;
    // A server's own DATABASE() is what its system tables are compared with.
    let system = mentions_system_schema(ctx, source);
    session::replace(source, &|_| system, &mut analyzer.analysis.edits)?;
    if session::assigns(source) {
        analyzer.analysis.block(session::ASSIGNS);
    }
    if let Some(reason) = relevance::of_query(source, query)? {
        analyzer.analysis.block(reason);
    }
    let block = analyzer.query(query, None, &Ctes::default())?;
    Ok((analyzer.analysis, block))
}

/// `(select … order by a) limit 5`: what stands outside of the parentheses is said of the query inside, unless
/// that has its own.
fn without_parentheses<'q>(
    source: &mut Source<'_>,
    query: &'q ast::Query,
    edits: &mut Edits,
) -> Cow<'q, ast::Query> {
    let mut query = Cow::Borrowed(query);
    while let SetExpr::Query(inner) = &*query.body {
        let is_limited = |query: &ast::Query| query.limit_clause.is_some() || query.fetch.is_some();
        let says = |query: &ast::Query| query.order_by.is_some() || is_limited(query);
        // An order outside would sort the rows that a limit inside has chosen.
        let fits = !says(&query) || !says(inner) || query.order_by.is_none() && !is_limited(inner);
        if query.with.is_some() || !fits || !inner.locks.is_empty() && says(&query) {
            break;
        }
        let mut merged = (**inner).clone();
        if query.order_by.is_some() {
            merged.order_by.clone_from(&query.order_by);
        }
        if is_limited(&query) {
            merged.limit_clause.clone_from(&query.limit_clause);
            merged.fetch.clone_from(&query.fetch);
        }
        if merged.locks.is_empty() {
            merged.locks.clone_from(&query.locks);
            merged.settings.clone_from(&query.settings);
        }
        let Some(parentheses) = source.strip_parentheses() else { break };
        parentheses.into_iter().for_each(|range| edits.remove(range));
        query = Cow::Owned(merged);
    }
    query
}

fn combine(source: &Source<'_>, query: &ast::Query, analysis: &Analysis, block: &Block) -> Result<Primitive> {
    if let Some(blocker) = &analysis.blocker {
        return Err(Error::unsupported(blocker.as_ref()));
    }
    match &*query.body {
        SetExpr::Select(select) => match rewrite::combine(source, query, select, analysis, block) {
            // Every server says so in its own words.
            Err(error) if error.kind() == Some(ErrorKind::UnknownColumn) => {
                let query = source.query(&analysis.all_edits());
                Ok(Primitive::EachShard(EachShard { query, helpers: 0, typed: None }))
            }
            combined => combined,
        },
        _ => rewrite::unite(source, query, analysis, block),
    }
}

/// Groups that the shards and the router make, and a server does the rest with.
fn finish(source: &Source<'_>, query: &ast::Query, analysis: &Analysis, block: &Block) -> Result<Finish> {
    match (&*query.body, &analysis.blocker) {
        (SetExpr::Select(select), None) => rewrite::finish_groups(source, query, select, analysis, block),
        _ => Err(Error::unsupported("this query over several shards")),
    }
}

/// `id in (…)`: each shard need only look for its own values.
pub(super) fn narrow_lists(mut tree: Primitive, routing: &Routing) -> Primitive {
    let mut node = &mut tree;
    loop {
        node = match node {
            Primitive::EachShard(leaf) => {
                leaf.query = std::mem::replace(&mut leaf.query, Query::Original).narrowed(routing);
                if let Some(typed) = leaf.typed.take() {
                    leaf.typed = match Query::Template(*typed).narrowed(routing) {
                        Query::Template(typed) => Some(Box::new(typed)),
                        Query::Original => None,
                    };
                }
                return tree;
            }
            Primitive::Aggregate(inner) => &mut inner.input,
            Primitive::Distinct(inner) => &mut inner.input,
            Primitive::Filter(inner) => &mut inner.input,
            Primitive::Limit(inner) => &mut inner.input,
            Primitive::MergeSort(inner) => &mut inner.input,
            Primitive::Sort(inner) => &mut inner.input,
            Primitive::Truncate(inner) => &mut inner.input,
            Primitive::Gather(_)
            | Primitive::Insert(_)
            | Primitive::Join(_)
            | Primitive::ReadFirst(_)
            | Primitive::Route(_) => {
                return tree;
            }
        };
    }
}

fn mentions_system_schema(ctx: &PlanContext<'_>, source: &Source<'_>) -> bool {
    ctx.keyspace.is_some_and(|keyspace| is_system_schema(keyspace))
        || (0..source.tokens().len())
            .any(|index| source.tokens()[index].kind.is_name() && is_system_schema(&source.name(index)))
}

/// EXPLAIN of a statement: where the statement would go, or else at any shard of its keyspace.
pub(super) fn explain(ctx: &PlanContext<'_>, text: &[u8], lexed: &Lexed) -> Result<Plan> {
    let source = Source::new(text, lexed, ctx.options)?;
    let verbs = ["select", "insert", "replace", "update", "delete", "with", "table", "values"];
    let verb =
        (1..source.tokens().len()).find(|index| verbs.iter().any(|verb| source.is_keyword(*index, verb)));
    let verb = verb.ok_or_else(|| Error::unsupported("this form of EXPLAIN"))?;
    let start = source.tokens()[verb].span.range().start;
    let mut inner = Lexed::new();
    crate::sql::lex(text, start, ctx.options, &mut inner)?;
    let planned = super::plan(ctx, text, &inner, false)?;
    let Primitive::Route(mut route) = planned.root else {
        return Err(Error::unsupported("EXPLAIN of this statement"));
    };
    // Arguments of the inner statement are counted in its own text: only untouched text can be sent.
    if route.query != Query::Original {
        let Query::Template(template) = &route.query else {
            return Err(Error::bug("a query of unknown kind"));
        };
        let all_text = template.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)));
        if !all_text {
            return Err(Error::unsupported("EXPLAIN of a statement whose text must be changed"));
        }
        let mut whole = source.pieces(source.range().start..start, &Edits::default());
        template.pieces.iter().for_each(|piece| whole.pieces.push(piece.clone()));
        route.query = Query::Template(Template { pieces: whole.pieces });
    }
    if !matches!(route.routing, Routing::Unsharded | Routing::SystemSchema(_)) {
        route.routing = Routing::AnyShard;
    }
    route.several = Several::Never;
    Ok(Plan {
        kind: StatementKind::Explain,
        root: Primitive::Route(route),
        tables: planned.tables,
        told_id: None,
        year_arguments: Vec::new(),
    })
}
