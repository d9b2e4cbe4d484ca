//! HAVING over groups of several shards: conditions on whole groups are checked when the groups are whole.
//!
//! Only comparisons of an aggregate or a group key with a constant are done here, as numbers; everything else is
//! refused. (When each group is on one shard this rule is not asked: HAVING stays in the shards' query.)

use super::split_aggregate::Group;
use super::{position, same_item, split_aggregate};
use crate::error::{Error, Result};
use crate::plan::operator::{Horizon, joined};
use crate::plan::primitive::{
    AggregateColumn, AggregateFunction, ColumnRef, Comparison, Condition, Piece, Predicate,
};
use crate::plan::semantics::analyze::group_exprs;
use crate::plan::semantics::conjunct::constant;
use crate::plan::semantics::walk::{self, bare};
use crate::sql::ast::{BinaryOperator, Expr, Ident, UnaryOperator};

pub(crate) fn apply(horizon: &mut Horizon<'_>) -> Result<()> {
    let Some(having) = &horizon.select.having else { return Ok(()) };
    horizon.predicate = Some(predicate(horizon, having)?);
    if let Some(clause) = horizon.layout.having.clone() {
        horizon.edits.forget(&clause.range);
        horizon.edits.remove(clause.range);
    }
    Ok(())
}

fn predicate(horizon: &mut Horizon<'_>, expr: &Expr) -> Result<Predicate> {
    Ok(match bare(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            Predicate::And(vec![predicate(horizon, left)?, predicate(horizon, right)?])
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Predicate::Or(vec![predicate(horizon, left)?, predicate(horizon, right)?])
        }
        Expr::BinaryOp { left, op, right } => {
            let comparison = comparison(op).ok_or_else(refusal)?;
            if constant(right).is_some() {
                compare(horizon, left, comparison, right)?
            } else {
                compare(horizon, right, comparison.flipped(), left)?
            }
        }
        Expr::Between { expr, negated, low, high } => {
            let column = column_of(horizon, bare(expr))?;
            if exact(horizon, column)? != column {
                // MariaDB rounds an average for comparisons, but not here.
                return Err(refusal());
            }
            let parts = vec![
                compare(horizon, expr, Comparison::GreaterOrEqual, low)?,
                compare(horizon, expr, Comparison::LessOrEqual, high)?,
            ];
            negated_if(*negated, Predicate::And(parts))
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Predicate::Not(Box::new(predicate(horizon, expr)?)),
        Expr::IsNull(expr) => Predicate::IsNull(column_of(horizon, bare(expr))?),
        Expr::IsNotNull(expr) => negated_if(true, Predicate::IsNull(column_of(horizon, bare(expr))?)),
        _ => return Err(refusal()),
    })
}

fn negated_if(is_negated: bool, predicate: Predicate) -> Predicate {
    if is_negated { Predicate::Not(Box::new(predicate)) } else { predicate }
}

fn refusal() -> Error {
    Error::unsupported("this HAVING over several shards")
}

fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::NotEq => Comparison::NotEqual,
        _ => return None,
    })
}

fn compare(
    horizon: &mut Horizon<'_>,
    expr: &Expr,
    comparison: Comparison,
    value: &Expr,
) -> Result<Predicate> {
    let value = constant(value).ok_or_else(refusal)?;
    let column = column_of(horizon, bare(expr))?;
    let column = exact(horizon, column)?;
    Ok(Predicate::Compare(Condition { column, comparison, value }))
}

/// MySQL compares an average with more digits than it shows: a helper column has them.
fn exact(horizon: &mut Horizon<'_>, column: ColumnRef) -> Result<ColumnRef> {
    let mut columns = horizon.aggregate.iter().flat_map(|parts| &parts.columns);
    let Some(known) = columns.find(|known| known.column == column) else { return Ok(column) };
    let AggregateFunction::Avg { sum, count, is_exact: false } = known.function else { return Ok(column) };
    let is_distinct = known.is_distinct;
    let mut text = vec![Piece::text("(")];
    text.extend(match column {
        ColumnRef::Visible(index) => horizon.item_pieces(&horizon.items[index as usize]),
        ColumnRef::Helper(index) => horizon.helper_texts()[index as usize].clone(),
    });
    text.push(Piece::text(")"));
    let column = horizon.helper(joined(text));
    let function = AggregateFunction::Avg { sum, count, is_exact: true };
    let parts = horizon.aggregate.as_mut().ok_or_else(refusal)?;
    if !parts.columns.iter().any(|known| known.column == column) {
        parts.columns.push(AggregateColumn { column, function, is_distinct });
    }
    Ok(column)
}

/// The column that holds an aggregate or a group key; an aggregate that is not in the select list becomes a
/// helper column.
fn column_of(horizon: &mut Horizon<'_>, expr: &Expr) -> Result<ColumnRef> {
    let aliased = match expr {
        Expr::Identifier(name) => horizon.aliased(name),
        _ => None,
    };
    if let Expr::Identifier(name) = expr
        && horizon.mentions_alias(expr)?
        && is_grouped_by(horizon, name)?
    {
        // HAVING takes the column, not the alias, and the server warns: the server shall do it.
        return Err(refusal());
    }
    if position(expr).is_some() {
        return Err(refusal());
    }
    if let Some(index) = aliased.or_else(|| same_item(horizon, expr)) {
        let column = horizon.visible(index).ok_or_else(refusal)?;
        let is_aggregate = horizon.items[index].expr.map(walk::has_aggregate).transpose()?.unwrap_or(false);
        let parts = horizon.aggregate.as_ref().ok_or_else(refusal)?;
        let is_key = parts.group.iter().any(|key| key.column == column);
        return if is_aggregate || is_key { Ok(column) } else { Err(refusal()) };
    }
    if !matches!(expr, Expr::Function(_)) || !walk::is_aggregate(expr) {
        return Err(refusal());
    }
    let range = call_range(horizon, expr).ok_or_else(refusal)?;
    let text = horizon.pieces(&range);
    let column = horizon.helper(text);
    split_aggregate::add_column(horizon, expr, &range, column)?;
    Ok(column)
}

/// Is a column of that name grouped by, under whatever alias?
fn is_grouped_by(horizon: &Horizon<'_>, name: &Ident) -> Result<bool> {
    for key in group_exprs(&horizon.select.group_by) {
        let column = match split_aggregate::group_item(horizon, key)? {
            Group::Item(index) => horizon.items[index].expr,
            Group::Expression => Some(key),
            Group::Name => return Ok(true),
        };
        let last = match column.map(bare) {
            Some(Expr::Identifier(own)) => Some(own),
            Some(Expr::CompoundIdentifier(names)) => names.last(),
            _ => None,
        };
        if last.is_some_and(|last| last.value.eq_ignore_ascii_case(&name.value)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where a function call stands in the text.
pub(super) fn call_range(horizon: &Horizon<'_>, expr: &Expr) -> Option<std::ops::Range<usize>> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.0.first()?.as_ident()?;
    let source = horizon.source;
    let first = source.token_at(name.span.start)?;
    let tokens = source.tokens();
    let mut depth = 0_usize;
    for token in &tokens[first + 1..] {
        match token.kind {
            crate::sql::TokenKind::LParen => depth += 1,
            crate::sql::TokenKind::RParen => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return None,
            _ => {}
        }
        if depth == 0 {
            return Some(tokens[first].span.start as usize..token.span.end as usize);
        }
    }
    None
}
