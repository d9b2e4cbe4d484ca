//! HAVING over groups of several shards: conditions on whole groups are checked when the groups are whole.
//!
//! Only comparisons of an aggregate or a group key with a constant are done here, as numbers; everything else is
//! refused. (When each group is on one shard this rule is not asked: HAVING stays in the shards' query.)

use super::{position, same_item, split_aggregate};
use crate::error::{Error, Result};
use crate::plan::operator::Horizon;
use crate::plan::primitive::{ColumnRef, Comparison, Condition, RouteValue};
use crate::plan::semantics::conjunct::{conjuncts, constant};
use crate::plan::semantics::walk::{self, bare};
use crate::sql::ast::{BinaryOperator, Expr};

pub(crate) fn apply(horizon: &mut Horizon<'_>) -> Result<()> {
    let Some(having) = &horizon.select.having else { return Ok(()) };
    let mut all = Vec::new();
    conjuncts(having, &mut all);
    for conjunct in all {
        match conjunct {
            Expr::Between { expr, negated: false, low, high } => {
                add(horizon, expr, Comparison::GreaterOrEqual, low)?;
                add(horizon, expr, Comparison::LessOrEqual, high)?;
            }
            Expr::BinaryOp { left, op, right } => {
                let comparison = comparison(op).ok_or_else(refusal)?;
                if constant(right).is_some() {
                    add(horizon, left, comparison, right)?;
                } else {
                    add(horizon, right, comparison.flipped(), left)?;
                }
            }
            _ => return Err(refusal()),
        }
    }
    if let Some(clause) = horizon.layout.having.clone() {
        horizon.edits.forget(&clause.range);
        horizon.edits.remove(clause.range);
    }
    Ok(())
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

fn add(horizon: &mut Horizon<'_>, expr: &Expr, comparison: Comparison, value: &Expr) -> Result<()> {
    let value = constant(value).ok_or_else(refusal)?;
    if matches!(&value, RouteValue::Literal(crate::value::Value::Text(_))) {
        return Err(refusal());
    }
    let column = column_of(horizon, bare(expr))?;
    horizon.conditions.push(Condition { column, comparison, value });
    Ok(())
}

/// The column that holds an aggregate or a group key; an aggregate that is not in the select list becomes a
/// helper column.
fn column_of(horizon: &mut Horizon<'_>, expr: &Expr) -> Result<ColumnRef> {
    let aliased = match expr {
        Expr::Identifier(name) => horizon.aliased(name),
        _ => None,
    };
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
