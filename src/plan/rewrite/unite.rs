//! UNION whose parts each shard can make by itself: shards answer the whole statement, and the router merges their
//! orders and removes rows that several of them have.
//!
//! Only where values say by themselves which rows are equal or come first: a union has no place for weights of texts.

use super::push_limit::values as limit_values;
use crate::error::{Error, Result};
use crate::plan::primitive::{ColumnRef, Distinct, EachShard, Limit, MergeSort, Primitive, SortKey};
use crate::plan::semantics::{Analysis, Block, Output};
use crate::plan::source::Source;
use crate::sql::LexFlags;
use crate::sql::ast::{Expr, OrderByExpr, OrderByKind, OrderBySort, Query, SetExpr};
use crate::vschema::ColumnType;

/// The tree that combines the shards' rows of a UNION. Errors are refusals (`VT12001`).
pub(crate) fn apply(
    source: &Source<'_>,
    query: &Query,
    analysis: &Analysis,
    block: &Block,
) -> Result<Primitive> {
    let outputs = &block.outputs;
    let is_by_value = !outputs.is_open && outputs.known.iter().all(is_by_value);
    if let Some(blocker) = block.join_blocker.as_ref().filter(|_| !block.is_distinct_union || !is_by_value) {
        return Err(Error::unsupported(blocker.as_ref()));
    }
    if !matches!(&*query.body, SetExpr::SetOperation { .. }) {
        return Err(Error::unsupported("ORDER BY of a UNION over several shards"));
    }
    if (0..source.tokens().len()).any(|index| source.is_keyword(index, "into")) {
        return Err(Error::unsupported("INTO of a UNION over several shards"));
    }
    if query.limit_clause.is_some() && source.lexed().flags.contains(LexFlags::HAS_SQL_CALC_FOUND_ROWS) {
        return Err(Error::unsupported("counting all rows of a UNION over several shards"));
    }
    let keys = order(query, block)?;
    let query_text = source.query(&analysis.all_edits());
    let mut tree = Primitive::EachShard(EachShard { query: query_text, helpers: 0, typed: None });
    if !keys.is_empty() {
        tree = Primitive::MergeSort(MergeSort { keys, input: Box::new(tree) });
    }
    if block.is_distinct_union {
        tree = Primitive::Distinct(Distinct { keys: Vec::new(), is_by_value: true, input: Box::new(tree) });
    }
    match query.limit_clause.as_ref().map(limit_values).transpose()? {
        None => Ok(tree),
        Some((count, None)) => Ok(Primitive::Limit(Limit { count, offset: None, input: Box::new(tree) })),
        Some(_) => Err(Error::unsupported("OFFSET of a UNION over several shards")),
    }
}

fn order(query: &Query, block: &Block) -> Result<Vec<SortKey>> {
    let refusal = || Error::unsupported("ORDER BY of a UNION over several shards");
    let keys = match query.order_by.as_ref().map(|order_by| &order_by.kind) {
        None => return Ok(Vec::new()),
        Some(OrderByKind::Expressions(keys)) => keys,
        Some(OrderByKind::All(_)) => return Err(refusal()),
    };
    let outputs = &block.outputs;
    if outputs.is_open || query.limit_clause.is_some() && query.fetch.is_some() {
        return Err(refusal());
    }
    let key = |key: &OrderByExpr| {
        let index = column(&key.expr, &outputs.known)?;
        let column = ColumnRef::Visible(u32::try_from(index).ok()?);
        let descending = matches!(key.options.sort, Some(OrderBySort::Desc));
        outputs.known.get(index).filter(|output| is_by_value(output))?;
        Some(SortKey { column, weight: None, pad: None, descending })
    };
    keys.iter().map(|expr| key(expr).ok_or_else(refusal)).collect()
}

/// The output column that is meant by position or name.
fn column(expr: &Expr, outputs: &[Output]) -> Option<usize> {
    if let Some(position) = super::position(expr) {
        return Some(position);
    }
    let Expr::Identifier(name) = expr else { return None };
    let is_named = |output: &Output| output.name.eq_ignore_ascii_case(&name.value);
    let mut found = (0..outputs.len()).filter(|index| is_named(&outputs[*index]));
    found.next().filter(|_| found.next().is_none())
}

/// May values of this type be compared as they are shown? What they really are decides when it runs.
fn is_by_value(output: &Output) -> bool {
    !matches!(
        output.column_type,
        ColumnType::Unspecified
            | ColumnType::Text
            // Servers sort by its beginning.
            | ColumnType::Blob
            | ColumnType::VarChar
            | ColumnType::Char
            | ColumnType::Enum
            | ColumnType::Set
            | ColumnType::Float32
            | ColumnType::Float64
            | ColumnType::Timestamp
            | ColumnType::Json
            | ColumnType::Geometry
            | ColumnType::Bit
            | ColumnType::Year
    )
}
