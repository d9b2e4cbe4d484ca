//! Columns of its query that the ON DUPLICATE KEY UPDATE of an `INSERT … SELECT` reads.
//!
//! Over shards the query's rows pass through the router, which selects these columns beside the rows' own values and
//! writes them into the clause: <https://dev.mysql.com/doc/refman/9.0/en/insert-on-duplicate.html>.

use std::ops::Range;
use std::sync::Arc;

use super::insert_text::InsertText;
use crate::error::{Error, Result};
use crate::plan::source::Source;
use crate::plan::{FoundTable, PlanContext};
use crate::schema::Relation;
use crate::sql::ast::{GroupByExpr, SetExpr, Statement, TableFactor};
use crate::sql::{Lexed, TokenKind};
use crate::vschema::Table;

/// Where such columns stand in the clause, and where the query's list of columns ends.
#[derive(Debug, Default)]
pub(super) struct CarriedColumns {
    /// The names in the text, in its order.
    pub(super) names: Vec<Range<usize>>,
    /// Where they can be added to what is selected.
    pub(super) list_end: usize,
}

/// A table of the query by the name that the clause may give it.
struct QueryTable {
    name: String,
    relation: Option<Arc<Relation>>,
}

impl CarriedColumns {
    /// What an `INSERT … SELECT` into `table` needs.
    ///
    /// # Errors
    /// `VT12001` for columns behind DISTINCT, which more columns would change.
    pub(super) fn of(
        ctx: &PlanContext<'_>,
        lexed: &Lexed,
        insert: &InsertText<'_>,
        table: &Table,
    ) -> Result<Self> {
        let source = &insert.source;
        if insert.updated_columns().is_none() {
            return Ok(Self::default());
        }
        // What does not parse is refused elsewhere, in its own words.
        let Ok(Statement::Insert(ast)) = crate::sql::parse(source.text(), lexed, ctx.options) else {
            return Ok(Self::default());
        };
        let mut body = ast.source.as_deref().map(|query| &*query.body);
        while let Some(SetExpr::Query(inner)) = body {
            body = Some(&*inner.body);
        }
        let Some(SetExpr::Select(select)) = body else { return Ok(Self::default()) };
        // Servers know no columns of groups here.
        if !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty()) {
            return Ok(Self::default());
        }
        let mut tables = Vec::new();
        for from in &select.from {
            let joined = from.joins.iter().map(|join| &join.relation);
            tables.extend([&from.relation].into_iter().chain(joined).filter_map(|one| query_table(ctx, one)));
        }
        let target = ctx.schemas.relation(&table.keyspace, &table.name).map(Arc::as_ref);
        let names = named(insert, &insert.table_name().1, target, &tables);
        if names.is_empty() {
            return Ok(Self::default());
        }
        if select.distinct.is_some() {
            return Err(Error::unsupported(
                "columns of a query with DISTINCT in ON DUPLICATE KEY UPDATE over several shards",
            ));
        }
        let list_end = source.token_at(select.select_token.0.span.start).and_then(|at| from_of(source, at));
        let list_end = list_end.ok_or_else(|| Error::bug("tables of a query without FROM"))?;
        Ok(Self { names, list_end })
    }

    /// What is added to the selected columns.
    pub(super) fn selected(&self, source: &Source<'_>) -> String {
        self.names.iter().map(|name| format!(", {} ", source.slice(name.clone()))).collect()
    }
}

fn query_table(ctx: &PlanContext<'_>, factor: &TableFactor) -> Option<QueryTable> {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident());
            let table = &parts.next()?.value;
            let qualifier = parts.next().map(|ident| ident.value.as_str());
            let relation = match ctx.find_table(qualifier, table).ok()? {
                FoundTable::Table(found) => ctx.schemas.relation(&found.keyspace, &found.name).cloned(),
                FoundTable::System => None,
            };
            let name = alias.as_ref().map_or(table, |alias| &alias.name.value).clone();
            Some(QueryTable { name, relation })
        }
        TableFactor::Derived { alias, .. } => {
            Some(QueryTable { name: alias.as_ref()?.name.value.clone(), relation: None })
        }
        _ => None,
    }
}

/// The names in the clause that are the query's.
fn named(
    insert: &InsertText<'_>,
    target_name: &str,
    target: Option<&Relation>,
    tables: &[QueryTable],
) -> Vec<Range<usize>> {
    let source = &insert.source;
    let kind = |index: usize| source.tokens().get(index).map(|token| token.kind);
    let is_name = |index: usize| kind(index).is_some_and(TokenKind::is_name);
    let mut names = Vec::new();
    for values in insert.update_values() {
        let mut index = values.start;
        while index < values.end {
            let first = index;
            index += 1;
            if !is_name(first) {
                continue;
            }
            while kind(index) == Some(TokenKind::Dot) && is_name(index + 1) {
                index += 2;
            }
            let last = index - 1;
            if kind(index) == Some(TokenKind::LParen) {
                if source.is_keyword(first, "values") || source.is_keyword(first, "value") {
                    // A column of the new row.
                    index += 3;
                }
                continue;
            }
            let column = source.name(last);
            let is_carried = if first == last {
                target.is_some_and(|target| target.column(&column).is_none())
                    && tables.iter().any(|table| {
                        table.relation.as_ref().is_some_and(|relation| relation.column(&column).is_some())
                    })
            } else {
                let qualifier = source.name(last - 2);
                !qualifier.eq_ignore_ascii_case(target_name)
                    && tables.iter().any(|table| {
                        table.name.eq_ignore_ascii_case(&qualifier)
                            && table.relation.as_ref().is_none_or(|known| known.column(&column).is_some())
                    })
            };
            if is_carried {
                names.push(source.tokens()[first].span.range().start..source.tokens()[last].span.range().end);
            }
        }
    }
    names
}

/// Where the FROM of the SELECT at this token begins.
fn from_of(source: &Source<'_>, select: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, token) in source.tokens().iter().enumerate().skip(select) {
        match token.kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.checked_sub(1)?,
            _ if depth == 0 && source.is_keyword(index, "from") => return Some(token.span.range().start),
            _ => {}
        }
    }
    None
}
