//! LIMIT: no shard need deliver more rows than the limit and the offset together, if the shards' order is the
//! final one and nothing is taken away from their rows afterwards.

use crate::error::{Error, Result};
use crate::plan::operator::Horizon;
use crate::plan::primitive::{Piece, RouteValue};
use crate::plan::semantics::conjunct::constant;
use crate::sql::ast::{Expr, LimitClause};

pub(crate) fn apply(horizon: &mut Horizon<'_>) -> Result<()> {
    let Some(clause) = &horizon.query.limit_clause else { return Ok(()) };
    let (count, offset) = values(clause)?;
    let Some(text) = horizon.layout.limit.clone() else { return Ok(()) };
    horizon.limit = Some((count.clone(), offset.clone()));
    horizon.edits.forget(&text.range);
    let has_distinct_groups =
        horizon.aggregate.as_ref().is_some_and(|parts| parts.is_scalar || !parts.distinct.is_empty());
    // Whoever counts all rows needs them all.
    let is_counted = horizon.select.select_modifiers.as_ref().is_some_and(|m| m.sql_calc_found_rows);
    let is_whole = is_counted
        || horizon.sort.is_some()
        || horizon.distinct.is_some() && horizon.aggregate.is_some()
        || horizon.predicate.is_some()
        || has_distinct_groups;
    let pieces = match (count, offset) {
        _ if is_whole => Vec::new(),
        (Some(count), None) => limit(count, RouteValue::Literal(crate::value::Value::Int(0))),
        (Some(count), Some(offset)) => limit(count, offset),
        (None, _) => Vec::new(),
    };
    horizon.edits.replace(text.range, pieces);
    Ok(())
}

fn limit(count: RouteValue, offset: RouteValue) -> Vec<Piece> {
    vec![Piece::text("limit "), Piece::RowsNeeded { count, offset }]
}

/// Row count and offset.
pub(crate) fn values(clause: &LimitClause) -> Result<(Option<RouteValue>, Option<RouteValue>)> {
    let value = |expr: &Expr| constant(expr).ok_or_else(|| Error::unsupported(format!("LIMIT {expr}")));
    match clause {
        LimitClause::LimitOffset { limit, offset, limit_by } if limit_by.is_empty() => {
            let offset = offset.as_ref().map(|offset| value(&offset.value)).transpose()?;
            Ok((limit.as_ref().map(value).transpose()?, offset))
        }
        LimitClause::LimitOffset { .. } => Err(Error::unsupported("LIMIT BY")),
        LimitClause::OffsetCommaLimit { offset, limit } => Ok((Some(value(limit)?), Some(value(offset)?))),
    }
}
