//! SELECT and its relatives, and EXPLAIN of a statement.

use super::refusal;
use crate::error::{Error, Result};
use crate::plan::primitive::{
    EachShard, Limit, Piece, Primitive, Query, Route, RouteList, Routing, Several, Template,
};
use crate::plan::semantics::analyze::Ctes;
use crate::plan::semantics::{Analysis, Analyzer, Block, place, session};
use crate::plan::source::{Edits, Source};
use crate::plan::{Plan, PlanContext, is_system_schema, rewrite};
use crate::sql::ast::{self, SetExpr};
use crate::sql::{Lexed, StatementKind};

pub(super) fn plan(ctx: &PlanContext<'_>, source: &Source<'_>, query: &ast::Query) -> Result<Plan> {
    let mut analyzer = Analyzer::new(ctx, source);
    // A server's own DATABASE() is what its system tables are compared with.
    let system = mentions_system_schema(ctx, source);
    session::replace(source, &|_| system, &mut analyzer.analysis.edits)?;
    let block = analyzer.query(query, None, &Ctes::default())?;
    let analysis = analyzer.analysis;
    let mut place = place::of(&analysis)?;
    if let Routing::SameShard(groups) = &place.routing
        && matches!(&*query.body, SetExpr::SetOperation { .. })
        && combine(source, query, &analysis, &block).is_ok()
    {
        // The parts of a UNION ALL need not meet.
        place.routing = Routing::Union(groups.clone());
    }
    let several = if place.routing.is_single() {
        Several::Never
    } else {
        match combine(source, query, &analysis, &block) {
            Ok(tree) => Several::Combine(Box::new(narrow_lists(tree, &place.routing))),
            Err(error) => refusal(&error)?,
        }
    };
    let query = source.query(&analysis.all_edits());
    let route = Route { keyspace: place.keyspace, routing: place.routing, query, several };
    Ok(Plan { kind: source.lexed().kind, root: Primitive::Route(route), tables: analysis.tables })
}

fn combine(source: &Source<'_>, query: &ast::Query, analysis: &Analysis, block: &Block) -> Result<Primitive> {
    if let Some(blocker) = &analysis.blocker {
        return Err(Error::unsupported(blocker.as_ref()));
    }
    match &*query.body {
        SetExpr::Select(select) => rewrite::combine(source, query, select, analysis, block),
        _ => union_all(source, query, analysis, block),
    }
}

/// UNION ALL, every part of which each shard can make by itself.
fn union_all(
    source: &Source<'_>,
    query: &ast::Query,
    analysis: &Analysis,
    block: &Block,
) -> Result<Primitive> {
    if let Some(blocker) = &block.join_blocker {
        return Err(Error::unsupported(blocker.as_ref()));
    }
    if query.order_by.is_some() || !matches!(&*query.body, SetExpr::SetOperation { .. }) {
        return Err(Error::unsupported("ORDER BY of a UNION over several shards"));
    }
    let query_text = source.query(&analysis.all_edits());
    let tree = Primitive::EachShard(EachShard { query: query_text, helpers: 0 });
    match query.limit_clause.as_ref().map(rewrite::limit_values).transpose()? {
        None => Ok(tree),
        Some((count, None)) => Ok(Primitive::Limit(Limit { count, offset: None, input: Box::new(tree) })),
        Some(_) => Err(Error::unsupported("OFFSET of a UNION over several shards")),
    }
}

/// `id in (…)`: each shard need only look for its own values.
pub(super) fn narrow_lists(mut tree: Primitive, routing: &Routing) -> Primitive {
    let mut node = &mut tree;
    loop {
        node = match node {
            Primitive::EachShard(leaf) => {
                leaf.query = narrowed(std::mem::replace(&mut leaf.query, Query::Original), routing);
                return tree;
            }
            Primitive::Aggregate(inner) => &mut inner.input,
            Primitive::Distinct(inner) => &mut inner.input,
            Primitive::Filter(inner) => &mut inner.input,
            Primitive::Limit(inner) => &mut inner.input,
            Primitive::MergeSort(inner) => &mut inner.input,
            Primitive::Sort(inner) => &mut inner.input,
            Primitive::Truncate(inner) => &mut inner.input,
            Primitive::Insert(_) | Primitive::Route(_) => return tree,
        };
    }
}

/// The query with the list that decides the shards cut down for each of them.
pub(super) fn narrowed(query: Query, routing: &Routing) -> Query {
    use crate::plan::primitive::{Candidates, Keys};
    let Routing::In(lookup) = routing else { return query };
    let Keys::Columns(columns) = &lookup.keys else { return query };
    let [Candidates::Many(RouteList::Arg(list))] = columns.as_slice() else { return query };
    let Query::Template(mut template) = query else { return query };
    for piece in &mut template.pieces {
        if *piece == Piece::List(*list) {
            *piece = Piece::ListForShard(*list);
        }
    }
    Query::Template(template)
}

fn mentions_system_schema(ctx: &PlanContext<'_>, source: &Source<'_>) -> bool {
    ctx.keyspace.is_some_and(|keyspace| is_system_schema(keyspace))
        || (0..source.tokens().len()).any(|index| {
            source.tokens()[index].kind.is_name()
                && is_system_schema(source.token_text(index).trim_matches('`'))
        })
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
    let planned = super::plan(ctx, text, &inner)?;
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
    Ok(Plan { kind: StatementKind::Explain, root: Primitive::Route(route), tables: planned.tables })
}
