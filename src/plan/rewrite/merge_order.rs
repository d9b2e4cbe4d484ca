//! ORDER BY: shards sort, the router merges. Groups that had to be merged first are sorted in memory, unless
//! the order is that of their keys, which the shards can deliver.

use std::ops::Range;

use super::{filter_groups, is_constant, position, same_item, split_aggregate};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::operator::Horizon;
use crate::plan::primitive::{ColumnRef, Piece, SortKey};
use crate::plan::semantics::walk;
use crate::sql::ast::{Expr, OrderByExpr, OrderByKind, OrderBySort};

pub(crate) fn apply(horizon: &mut Horizon<'_>) -> Result<()> {
    let order = match horizon.query.order_by.as_ref().map(|order_by| &order_by.kind) {
        Some(OrderByKind::Expressions(order)) => order.as_slice(),
        Some(OrderByKind::All(_)) => return Err(Error::unsupported("ORDER BY ALL")),
        None => &[],
    };
    let ranges = horizon.layout.order_by.as_ref().map_or(Vec::new(), |clause| clause.items.clone());
    if ranges.len() != order.len() {
        return Err(Error::unsupported("this form of ORDER BY over several shards"));
    }
    let mut keys = Vec::new();
    for (index, (key, range)) in order.iter().zip(&ranges).enumerate() {
        let range = without_direction(horizon, key, range);
        if let Some(mut sort_key) = order_key(horizon, &key.expr, &range, index)? {
            sort_key.descending = matches!(key.options.sort, Some(OrderBySort::Desc));
            keys.push(sort_key);
        }
    }
    if horizon.aggregate.is_none() {
        return order_rows(horizon, keys);
    }
    // A sum of distinct values in ORDER BY has made keys of them.
    split_aggregate::push_grouping(horizon)?;
    order_groups(horizon, keys)
}

/// Rows as the shards deliver them.
fn order_rows(horizon: &mut Horizon<'_>, keys: Vec<SortKey>) -> Result<()> {
    if horizon.distinct.is_some() || horizon.shape.is_distinct {
        let visible = |key: &SortKey| matches!(key.column, ColumnRef::Visible(_));
        if !keys.iter().all(visible) {
            // A helper column would change what is distinct.
            return Err(Error::unsupported("DISTINCT ordered by what is not selected over several shards"));
        }
    }
    horizon.merge = Some(keys);
    Ok(())
}

/// Groups: the shards sort by the group keys, in the order that the statement asks for if that is possible.
pub(super) fn order_groups(horizon: &mut Horizon<'_>, keys: Vec<SortKey>) -> Result<()> {
    let Some(parts) = &mut horizon.aggregate else { return Ok(()) };
    let mut group = Vec::new();
    let is_by_keys = keys.iter().all(|key| {
        let known = parts.group.iter().any(|group| group.column == key.column);
        if known && !group.iter().any(|other: &SortKey| other.column == key.column) {
            group.push(key.clone());
        }
        known
    });
    if !is_by_keys {
        group.clear();
        horizon.sort = Some(keys);
    }
    for key in std::mem::take(&mut parts.group) {
        if !group.iter().any(|other| other.column == key.column) {
            group.push(key);
        }
    }
    parts.group = group;
    let merge: Vec<SortKey> = parts.group.iter().chain(&parts.distinct).cloned().collect();
    let mut pieces = Vec::new();
    for key in &merge {
        pieces.push(Piece::text(if pieces.is_empty() { " order by " } else { ", " }));
        pieces.extend(horizon.text_of(key.column)?);
        if key.descending {
            pieces.push(Piece::text(" desc"));
        }
    }
    match horizon.layout.order_by.clone() {
        Some(clause) => {
            horizon.edits.forget(&clause.range);
            horizon.edits.replace(clause.range, pieces);
        }
        None => horizon.edits.insert_pieces(horizon.layout.order_place, pieces),
    }
    horizon.merge = Some(merge);
    Ok(())
}

/// The key that an ORDER BY expression stands for; `None` for a constant, which orders nothing.
fn order_key(
    horizon: &mut Horizon<'_>,
    expr: &Expr,
    range: &Range<usize>,
    index: usize,
) -> Result<Option<SortKey>> {
    if let Some(item) = ordered_item(horizon, expr)? {
        let Some(column) = horizon.visible(item) else {
            let refusal = "ORDER BY a column behind * over several shards";
            return if position(expr).is_some() {
                Err(Error::unsupported(refusal))
            } else {
                helper_key(horizon, expr, range)
            };
        };
        let item = horizon.items[item].clone();
        let expr = item.expr.unwrap_or(expr);
        return horizon.sort_key(expr, &item.range, column).map(Some);
    }
    if is_random(expr)? {
        return random_key(horizon, range, index).map(Some);
    }
    if is_constant(expr)? && !walk::has_aggregate(expr)? {
        return Ok(None);
    }
    if horizon.mentions_alias(expr)? {
        if horizon.shape.is_aggregated && walk::has_aggregate(expr)? {
            return Err(Error::unsupported("ORDER BY an expression over an alias over several shards"));
        }
        return Ok(Some(horizon.name_key(range)));
    }
    helper_key(horizon, expr, range)
}

fn helper_key(horizon: &mut Horizon<'_>, expr: &Expr, range: &Range<usize>) -> Result<Option<SortKey>> {
    let text = horizon.pieces(range);
    let column = horizon.helper(text);
    let key = horizon.sort_key(expr, range, column)?;
    if horizon.aggregate.is_some() && walk::has_aggregate(expr)? {
        let range = filter_groups::call_range(horizon, walk::bare(expr)).unwrap_or_else(|| range.clone());
        split_aggregate::add_column(horizon, expr, &range, column)?;
    }
    Ok(Some(key))
}

/// The select item that an ORDER BY expression means.
fn ordered_item(horizon: &Horizon<'_>, expr: &Expr) -> Result<Option<usize>> {
    if let Some(position) = position(expr) {
        if position >= horizon.items.len() && horizon.items.iter().all(|item| item.expr.is_some()) {
            return Err(Error::new(
                ErrorKind::UnknownColumn,
                format!("Unknown column '{}' in 'ORDER BY'", position + 1),
            ));
        }
        let is_known = horizon.items.get(position).is_some_and(|item| item.expr.is_some());
        return if is_known {
            Ok(Some(position))
        } else {
            Err(Error::unsupported("ORDER BY a position of * over several shards"))
        };
    }
    if let Expr::Identifier(name) = expr {
        if let Some(index) = horizon.aliased(name) {
            return Ok(Some(index));
        }
        // `select t.name … order by name`
        let is_same = |item: &Expr| match item {
            Expr::CompoundIdentifier(names) => {
                names.last().is_some_and(|last| last.value.eq_ignore_ascii_case(&name.value))
            }
            _ => false,
        };
        let by_name =
            horizon.items.iter().position(|item| item.alias.is_none() && item.expr.is_some_and(is_same));
        if by_name.is_some() {
            return Ok(by_name);
        }
    }
    Ok(same_item(horizon, expr))
}

fn is_random(expr: &Expr) -> Result<bool> {
    walk::any(expr, &mut |part| match part {
        Expr::Function(function) => walk::function_name(function)
            .is_some_and(|name| ["rand", "uuid", "uuid_short", "random_bytes"].contains(&name.as_str())),
        _ => false,
    })
}

/// A value that is made only once per row: it gets a name, and the shards order by that.
fn random_key(horizon: &mut Horizon<'_>, range: &Range<usize>, index: usize) -> Result<SortKey> {
    if horizon.shape.is_aggregated || horizon.shape.is_distinct {
        return Err(Error::unsupported("groups or distinct rows in random order over several shards"));
    }
    let name = format!("`__order_{index}`");
    let mut text = horizon.pieces(range);
    text.push(Piece::text(&format!(" as {name}")));
    let column = horizon.helper(text);
    horizon.edits.forget(range);
    horizon.edits.replace(range.clone(), vec![Piece::text(&name)]);
    Ok(SortKey { column, weight: None, pad: None, descending: false })
}

/// The expression without ASC or DESC.
pub(super) fn without_direction(
    horizon: &Horizon<'_>,
    key: &OrderByExpr,
    range: &Range<usize>,
) -> Range<usize> {
    if key.options.sort.is_none() {
        return range.clone();
    }
    let tokens = horizon.source.tokens();
    let last = tokens.partition_point(|token| (token.span.end as usize) <= range.end);
    let end = last.checked_sub(2).map_or(range.end, |index| tokens[index].span.range().end);
    range.start..end.max(range.start)
}
