//! GROUP BY and aggregate functions in two phases: shards group and sort, the router merges equal groups.
//!
//! Nothing is to do when each group is on one shard. `AVG` becomes a sum and a count in helper columns; its own
//! column stays for its name and type. `DISTINCT` inside of an aggregate makes its argument one more thing to
//! group by, so that each value comes once from each shard and in order.

use std::ops::Range;

use super::{filter_groups, is_constant, position, same_item};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::operator::{AggregateParts, Horizon};
use crate::plan::primitive::{AggregateColumn, AggregateFunction, ColumnRef, Piece, SortKey};
use crate::plan::semantics::analyze::group_exprs;
use crate::plan::semantics::{Resolved, Scope, walk};
use crate::sql::TokenKind;
use crate::sql::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
};

pub(crate) fn apply(horizon: &mut Horizon<'_>) -> Result<()> {
    if !horizon.shape.is_aggregated || horizon.block.groups_stay {
        return Ok(());
    }
    if horizon.shape.has_window {
        return Err(Error::unsupported("window functions over groups over several shards"));
    }
    if matches!(&horizon.select.group_by, GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty()) {
        return Err(Error::unsupported("GROUP BY WITH ROLLUP over several shards"));
    }
    if horizon.items.iter().any(|item| item.expr.is_none()) {
        return Err(Error::unsupported("* with GROUP BY over several shards"));
    }
    let mut parts =
        AggregateParts { is_scalar: horizon.layout.group_by.is_none(), ..AggregateParts::default() };
    parts.group = group_keys(horizon)?;
    horizon.aggregate = Some(parts);
    for index in 0..horizon.items.len() {
        let item = horizon.items[index].clone();
        let Some(expr) = item.expr else { continue };
        let column = horizon.visible(index).ok_or_else(|| Error::bug("a select list without positions"))?;
        if !add_column(horizon, expr, &item.range, column)? && is_scalar(horizon) && !is_constant(expr)? {
            return Err(Error::unsupported("columns beside aggregates without GROUP BY over several shards"));
        }
    }
    filter_groups::apply(horizon)
}

fn is_scalar(horizon: &Horizon<'_>) -> bool {
    horizon.aggregate.as_ref().is_some_and(|parts| parts.is_scalar)
}

/// Notes how `column`, which holds `expr`, is combined. False: it holds no aggregate.
pub(super) fn add_column(
    horizon: &mut Horizon<'_>,
    expr: &Expr,
    range: &Range<usize>,
    column: ColumnRef,
) -> Result<bool> {
    if !walk::has_aggregate(expr)? {
        return Ok(false);
    }
    let Expr::Function(function) = walk::bare(expr) else {
        return Err(Error::unsupported("expressions over aggregate functions over several shards"));
    };
    let known = horizon.aggregate.iter().flat_map(|parts| &parts.columns).any(|known| known.column == column);
    if known {
        return Ok(true);
    }
    let name = walk::function_name(function).unwrap_or_default();
    let list = match &function.args {
        FunctionArguments::List(list) if list.clauses.is_empty() => list,
        _ => return Err(Error::unsupported(format!("the aggregate function {name} over several shards"))),
    };
    let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let argument = argument_range(horizon, range)?;
    let function = match name.as_str() {
        "count" => AggregateFunction::Count,
        "sum" if !is_distinct && divides(horizon, &argument) => {
            AggregateFunction::SumOfQuotients { parts: sum_part(horizon, &argument, false) }
        }
        "sum" => AggregateFunction::Sum,
        "min" | "max" => {
            let key = horizon.sort_key(expr, range, column)?;
            if name == "min" { AggregateFunction::Min { key } } else { AggregateFunction::Max { key } }
        }
        "avg" => average_parts(horizon, &argument, is_distinct),
        _ => return Err(Error::unsupported(format!("the aggregate function {name} over several shards"))),
    };
    // The smallest and the largest are the same with and without DISTINCT.
    let is_distinct = is_distinct && !matches!(name.as_str(), "min" | "max");
    let is_distinct = is_distinct && add_distinct_keys(horizon, function_of(expr), &argument)?;
    if let Some(parts) = &mut horizon.aggregate {
        parts.columns.push(AggregateColumn { column, function, is_distinct });
    }
    Ok(true)
}

fn function_of(expr: &Expr) -> Option<&Function> {
    match walk::bare(expr) {
        Expr::Function(function) => Some(function),
        _ => None,
    }
}

/// The text between the parentheses of `avg(distinct x)`, without DISTINCT.
pub(super) fn argument_range(horizon: &Horizon<'_>, range: &Range<usize>) -> Result<Range<usize>> {
    let tokens = horizon.source.tokens();
    let first = tokens.partition_point(|token| (token.span.start as usize) < range.start);
    let last = tokens.partition_point(|token| (token.span.end as usize) <= range.end);
    let open = (first..last).find(|index| {
        tokens[*index].kind == TokenKind::LParen
            && *index > first
            && tokens[*index - 1].kind == TokenKind::Word
    });
    let close = (first..last).rev().find(|index| tokens[*index].kind == TokenKind::RParen);
    let (Some(open), Some(mut close)) = (open, close) else {
        return Err(Error::unsupported("this form of an aggregate function over several shards"));
    };
    // Parentheses around the call end behind it.
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().take(close + 1).skip(open) {
        match token.kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            close = index;
            break;
        }
    }
    let words = ["distinct", "all"];
    let skip = usize::from(words.iter().any(|word| horizon.source.is_keyword(open + 1, word)));
    let start = tokens[open + skip].span.range().end;
    Ok(start..tokens[close].span.range().start)
}

/// Does MariaDB compute with more digits than it shows? Where it groups, its table of groups has as many as are shown.
pub(super) fn divides(horizon: &Horizon<'_>, argument: &Range<usize>) -> bool {
    if horizon.layout.group_by.is_some() {
        return false;
    }
    let tokens = horizon.source.tokens();
    let first = tokens.partition_point(|token| (token.span.start as usize) < argument.start);
    let inside = tokens.iter().skip(first).take_while(|token| token.span.end as usize <= argument.end);
    inside.into_iter().any(|token| token.kind == TokenKind::Slash)
}

/// The helper column with a shard's sum. MariaDB sums quotients up with all digits that it has of them and rounds the sum;
/// MySQL, which does not read its comment, rounds each of them.
fn sum_part(horizon: &mut Horizon<'_>, argument: &Range<usize>, is_distinct: bool) -> ColumnRef {
    if is_distinct || !divides(horizon, argument) {
        return part(horizon, "sum", argument, is_distinct);
    }
    let mut pieces = vec![Piece::text("sum((")];
    pieces.extend(horizon.pieces(argument));
    pieces.push(Piece::text(") /*M! + 0.000000000000000000000000000000 */)"));
    horizon.helper(super::super::operator::joined(pieces))
}

fn part(horizon: &mut Horizon<'_>, function: &str, argument: &Range<usize>, is_distinct: bool) -> ColumnRef {
    let mut pieces = vec![Piece::text(function), Piece::text(if is_distinct { "(distinct " } else { "(" })];
    pieces.extend(horizon.pieces(argument));
    pieces.push(Piece::text(")"));
    horizon.helper(super::super::operator::joined(pieces))
}

fn average_parts(horizon: &mut Horizon<'_>, argument: &Range<usize>, is_distinct: bool) -> AggregateFunction {
    let sum = sum_part(horizon, argument, is_distinct);
    let count = part(horizon, "count", argument, is_distinct);
    AggregateFunction::Avg { sum, count, is_exact: false }
}

/// Makes the argument of a DISTINCT aggregate a key. False: its values are on one shard each, so that results of
/// shards can be added up as they are.
fn add_distinct_keys(
    horizon: &mut Horizon<'_>,
    function: Option<&Function>,
    argument: &Range<usize>,
) -> Result<bool> {
    let mut exprs = Vec::new();
    if let Some(Function { args: FunctionArguments::List(list), .. }) = function {
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => exprs.push(expr),
                _ => return Err(Error::unsupported("this form of DISTINCT aggregate over several shards")),
            }
        }
    }
    let keys: Vec<_> = exprs.iter().filter_map(|expr| column_key(expr, &horizon.scope)).collect();
    if horizon.analysis.covers_unique_vindex(&keys, &horizon.block.instances) {
        return Ok(false);
    }
    if exprs.iter().map(|expr| is_constant(expr)).collect::<Result<Vec<_>>>()?.contains(&true) {
        // A number in GROUP BY would be a position.
        return Err(Error::unsupported("DISTINCT aggregates of constants over several shards"));
    }
    let ranges = split_arguments(horizon, argument, exprs.len())?;
    let mut distinct = Vec::new();
    for (expr, range) in exprs.iter().zip(&ranges) {
        let text = horizon.pieces(range);
        let column = horizon.helper(text);
        distinct.push(horizon.sort_key(expr, range, column)?);
    }
    let parts = horizon.aggregate.as_mut().ok_or_else(|| Error::bug("no aggregate"))?;
    if !parts.distinct.is_empty() && parts.distinct != distinct {
        return Err(Error::unsupported("several different DISTINCT aggregates over several shards"));
    }
    parts.distinct = distinct;
    horizon.distinct_text = horizon.pieces(argument);
    Ok(true)
}

fn column_key(expr: &Expr, scope: &Scope<'_>) -> Option<crate::plan::semantics::KeyColumn> {
    let resolved = match walk::bare(expr) {
        Expr::Identifier(name) => scope.resolve(std::slice::from_ref(name)),
        Expr::CompoundIdentifier(names) => scope.resolve(names),
        _ => return None,
    };
    match resolved {
        Resolved::Key(key) => Some(key),
        Resolved::Plain | Resolved::Unknown => None,
    }
}

fn split_arguments(
    horizon: &Horizon<'_>,
    argument: &Range<usize>,
    count: usize,
) -> Result<Vec<Range<usize>>> {
    let mut ranges = Vec::new();
    let (mut depth, mut start) = (0_usize, argument.start);
    for token in horizon.source.tokens() {
        let span = token.span.range();
        if span.start < argument.start || span.end > argument.end {
            continue;
        }
        match token.kind {
            TokenKind::LParen => depth += 1,
            TokenKind::RParen => depth = depth.saturating_sub(1),
            TokenKind::Comma if depth == 0 => {
                ranges.push(start..span.start);
                start = span.end;
            }
            _ => {}
        }
    }
    ranges.push(start..argument.end);
    let same = ranges.len() == count;
    same.then_some(ranges)
        .ok_or_else(|| Error::unsupported("this form of DISTINCT aggregate over several shards"))
}

/// One key per GROUP BY expression.
fn group_keys(horizon: &mut Horizon<'_>) -> Result<Vec<SortKey>> {
    let Some(clause) = horizon.layout.group_by.clone() else { return Ok(Vec::new()) };
    let exprs = group_exprs(&horizon.select.group_by);
    if exprs.len() != clause.items.len() {
        return Err(Error::unsupported("this form of GROUP BY over several shards"));
    }
    let mut keys = Vec::new();
    for (expr, range) in exprs.into_iter().zip(&clause.items) {
        keys.push(match group_item(horizon, expr)? {
            Group::Item(index) => {
                let item = horizon.items[index].clone();
                let column = horizon
                    .visible(index)
                    .ok_or_else(|| Error::unsupported("GROUP BY a position behind *"))?;
                horizon.sort_key(item.expr.unwrap_or(expr), &item.range, column)?
            }
            Group::Name => horizon.name_key(range),
            Group::Expression if is_constant(expr)? => continue,
            Group::Expression => {
                let text = horizon.pieces(range);
                let column = horizon.helper(text);
                horizon.sort_key(expr, range, column)?
            }
        });
    }
    Ok(keys)
}

/// What a GROUP BY expression means.
pub(super) enum Group {
    /// Itself.
    Expression,
    /// A select item.
    Item(usize),
    /// Something over a name that is an alias, and perhaps a column as well.
    Name,
}

/// A select item is meant by position, by being the same, or by alias; a column of the tables goes before an alias.
pub(super) fn group_item(horizon: &Horizon<'_>, expr: &Expr) -> Result<Group> {
    if let Some(position) = position(expr) {
        return match horizon.items.get(position) {
            Some(_) => Ok(Group::Item(position)),
            None => {
                let message = format!("Unknown column '{}' in 'GROUP BY'", position + 1);
                Err(Error::new(ErrorKind::UnknownColumn, message))
            }
        };
    }
    let scope = &horizon.scope;
    let is_open = scope.sources.iter().any(|source| source.columns.is_open);
    if let Expr::Identifier(name) = expr
        && let Some(index) = horizon.aliased(name)
    {
        let is_column = scope.resolve(std::slice::from_ref(name)) != Resolved::Unknown;
        let aliased = horizon.items[index].expr;
        // An alias of an aggregate cannot be grouped by, so the name is a column's.
        let is_aggregate = aliased.map(walk::has_aggregate).transpose()?.unwrap_or(false);
        if is_column || is_aggregate {
            return Ok(same_item(horizon, expr).map_or(Group::Expression, Group::Item));
        }
        let is_certain = !is_open || !horizon.mentions_alias(expr)?;
        return Ok(if is_certain { Group::Item(index) } else { Group::Name });
    }
    if let Some(index) = same_item(horizon, expr) {
        return Ok(Group::Item(index));
    }
    Ok(if horizon.mentions_alias(expr)? { Group::Name } else { Group::Expression })
}

/// Makes the shards group by the distinct keys too; HAVING and ORDER BY may have added some.
pub(super) fn push_grouping(horizon: &mut Horizon<'_>) -> Result<()> {
    let Some(parts) = &horizon.aggregate else { return Ok(()) };
    if parts.distinct.is_empty() {
        return Ok(());
    }
    if parts.is_scalar {
        let has_plain = horizon.items.len()
            > parts.columns.iter().filter(|c| matches!(c.column, ColumnRef::Visible(_))).count();
        if has_plain {
            return Err(Error::unsupported("constants beside DISTINCT aggregates over several shards"));
        }
    }
    let place =
        horizon.layout.group_by.as_ref().map_or(horizon.layout.group_place, |clause| clause.range.end);
    let mut pieces = vec![Piece::text(if parts.is_scalar { " group by " } else { ", " })];
    pieces.extend(horizon.distinct_text.iter().cloned());
    horizon.edits.insert_pieces(place, pieces);
    Ok(())
}
