//! The plan of last resort for queries: gather the rows of all tables at one server and leave the rest to it.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::plan::primitive::{Gather, GatherInput, GatherReducer, Query, Template, VindexRef};
use crate::plan::semantics::references::{Reference, collect};
use crate::plan::semantics::{Analysis, Block, place, relevance, session};
use crate::plan::source::Source;
use crate::plan::{PlanContext, rewrite};
use crate::sql::ident::name_of;
use crate::sql::{TokenKind, ast};
use crate::topology::KeyspaceName;
use crate::vschema::{ColumnVindex, TableKind};

/// Tables that one statement may gather: each takes a temporary table.
const INPUTS_MAX: usize = 64;

/// Plans `query`, whose analysis says how its text fits the servers.
pub(super) fn plan(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    query: &ast::Query,
    analysis: &Analysis,
    block: &Block,
    reason: &str,
) -> Result<Gather> {
    if relevance::of_query(source, query)? == Some(relevance::RANKS) {
        return Err(Error::unsupported(relevance::RANKS));
    }
    let found = collect(ctx, source, query, analysis)?;
    if found.references.len() > INPUTS_MAX {
        return Err(Error::unsupported(format!("a query over shards of more than {INPUTS_MAX} tables")));
    }
    // A host has no temporary table for a view; its definition takes its place.
    if let Some(view) = found.references.iter().find(|reference| is_view(ctx, reference)) {
        return Err(Error::unsupported(format!(
            "a query over several shards with the view {}",
            view.table.name
        )));
    }
    let host = host(&found.references).ok_or_else(|| Error::unsupported(reason))?;
    let mentioned = Mentioned::of(source);
    // Which rows a server looks at counts where it assigns to variables on the way.
    let counts_rows = session::assigns(source) && !assigns_behind_limit(source, query);
    let inputs = found.references.iter().enumerate().map(|(index, reference)| {
        let routing = place::of_instance(index, &found.analysis);
        let mut input = input(reference, routing, &mentioned);
        if counts_rows {
            input.filters.clear();
            input.reducers.clear();
        }
        input
    });
    let inputs: Vec<GatherInput> = inputs.collect();
    let joined = match &*query.body {
        ast::SetExpr::Select(select) if !counts_rows => {
            rewrite::join_tables(ctx, source, query, select, analysis, block, &inputs).ok().map(Box::new)
        }
        _ => None,
    };
    let query = Template { pieces: source.pieces(source.range(), &found.edits).pieces };
    Ok(Gather {
        host,
        inputs,
        query,
        repeats_arguments: found.repeats_arguments,
        reason: reason.into(),
        joined,
    })
}

/// Are variables assigned only when a derived table has been made, of whose rows all are looked at?
fn assigns_behind_limit(source: &Source<'_>, query: &ast::Query) -> bool {
    let ast::SetExpr::Select(select) = &*query.body else { return false };
    let is_plain = select.selection.is_none()
        && select.having.is_none()
        && select.distinct.is_none()
        && matches!(&select.group_by, ast::GroupByExpr::Expressions(keys, _) if keys.is_empty())
        && query.order_by.is_none()
        && query.limit_clause.is_none();
    let [from] = select.from.as_slice() else { return false };
    let ast::TableFactor::Derived { lateral: false, subquery, .. } = &from.relation else { return false };
    let ast::SetExpr::Select(inner) = &*subquery.body else { return false };
    let Some(begin) = source.token_at(inner.select_token.0.span.start) else { return false };
    let assigns = |index: usize| source.tokens()[index].kind == TokenKind::Assign;
    is_plain
        && from.joins.is_empty()
        && subquery.limit_clause.is_some()
        && !(begin..source.tokens().len()).any(assigns)
}

fn is_view(ctx: &PlanContext<'_>, reference: &Reference) -> bool {
    let table = &reference.table;
    ctx.schemas.view(&table.keyspace, &table.name).is_some()
}

/// The keyspace whose tables are best left where they are: one that is not sharded, if there is one.
fn host(references: &[Reference]) -> Option<KeyspaceName> {
    let is_sharded =
        |reference: &&Reference| matches!(reference.table.kind, TableKind::Sharded | TableKind::Pinned(_));
    let all = references.iter().filter(|reference| !is_sharded(reference));
    let plain = all.filter(|reference| !matches!(reference.table.kind, TableKind::Reference { .. }));
    let mut counted: Vec<(KeyspaceName, usize)> = Vec::new();
    for reference in plain {
        match counted.iter_mut().find(|(keyspace, _)| *keyspace == reference.table.keyspace) {
            Some((_, count)) => *count += 1,
            None => counted.push((reference.table.keyspace.clone(), 1)),
        }
    }
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let sharded = references.iter().find(is_sharded).or(references.first());
    let sharded = sharded.map(|reference| reference.table.keyspace.clone());
    counted.into_iter().next().map(|(keyspace, _)| keyspace).or(sharded)
}

fn input(
    reference: &Reference,
    routing: crate::plan::primitive::Routing,
    mentioned: &Mentioned,
) -> GatherInput {
    let mut filters = reference.filters.clone();
    for filter in &mut filters {
        let text = std::mem::take(&mut filter.text);
        if let Query::Template(text) = Query::Template(text).narrowed(&routing) {
            filter.text = text;
        }
    }
    GatherInput {
        keyspace: reference.table.keyspace.clone(),
        table: reference.table.name.as_str().into(),
        alias: reference.alias.clone(),
        is_everywhere: !matches!(reference.table.kind, TableKind::Sharded | TableKind::Pinned(_)),
        columns: (!reference.is_whole).then(|| mentioned.columns(&reference.alias)),
        filters,
        reducers: reducers(reference),
        rivals: reference.rivals.iter().filter_map(|index| u32::try_from(*index).ok()).collect(),
        routing,
        partitions: reference.partitions.as_str().into(),
        lock: reference.lock.as_str().into(),
    }
}

fn reducers(reference: &Reference) -> Vec<GatherReducer> {
    let vindex = |name: &str| {
        let mut vindexes = reference.table.column_vindexes.iter();
        let is_it = |vindex: &&ColumnVindex| {
            vindex.is_unique
                && !vindex.vindex.is_lookup()
                && matches!(vindex.columns.as_slice(), [only] if only.eq_ignore_ascii_case(name))
        };
        vindexes.find(is_it).map(|vindex| VindexRef(vindex.vindex.clone()))
    };
    let each = reference.reducers.iter().filter_map(|equality| {
        Some(GatherReducer {
            column: equality.column.clone(),
            other: u32::try_from(equality.other).ok()?,
            other_column: equality.other_column.clone(),
            vindex: vindex(&equality.column),
        })
    });
    each.collect()
}

/// All names of a statement that may be columns. Read from its tokens, so that none is overlooked.
struct Mentioned {
    unqualified: BTreeSet<String>,
    /// Qualifier and name.
    qualified: BTreeSet<(String, String)>,
}

impl Mentioned {
    fn of(source: &Source<'_>) -> Self {
        let mut mentioned = Self { unqualified: BTreeSet::new(), qualified: BTreeSet::new() };
        let tokens = source.tokens();
        let kind = |index: usize| tokens.get(index).map(|token| token.kind);
        let name = |index: usize| name_of(source.token_text(index).as_bytes()).into_owned();
        for index in (0..tokens.len()).filter(|index| tokens[*index].kind.is_name()) {
            let follows = kind(index + 1);
            let is_quoted = tokens[index].kind == TokenKind::QuotedIdentifier;
            if follows == Some(TokenKind::Dot) || follows == Some(TokenKind::LParen) && !is_quoted {
                continue;
            }
            if index >= 2 && kind(index - 1) == Some(TokenKind::Dot) {
                mentioned.qualified.insert((name(index - 2), name(index).to_lowercase()));
            } else if is_quoted || !crate::sql::is_clause_word(&name(index)) {
                mentioned.unqualified.insert(name(index).to_lowercase());
            }
        }
        mentioned
    }

    fn columns(&self, alias: &str) -> Vec<Box<str>> {
        let own = self.qualified.iter().filter(|(qualifier, _)| qualifier.eq_ignore_ascii_case(alias));
        let all: BTreeSet<&String> = own.map(|(_, name)| name).chain(&self.unqualified).collect();
        all.into_iter().map(|name| name.as_str().into()).collect()
    }
}
