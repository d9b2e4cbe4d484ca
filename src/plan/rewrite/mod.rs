//! Rewrites of a [`Horizon`], one rule per file, applied once each in a fixed order: every rule decides
//! whether its part of the statement may stay in the shards' query or has to be done with their rows.

mod distinct_rows;
mod filter_groups;
mod finish_groups;
mod join_tables;
mod merge_order;
mod push_limit;
mod split_aggregate;
mod unite;

pub(crate) use finish_groups::apply as finish_groups;
pub(crate) use join_tables::apply as join_tables;
pub(crate) use unite::apply as unite;

use super::operator::Horizon;
use super::primitive::Primitive;
use super::semantics::{Analysis, Block};
use super::source::Source;
use crate::error::{Error, Result};
use crate::sql::ast::{Expr, Query, Select};

/// The tree that combines the shards' rows of a SELECT. Errors are refusals (`VT12001`).
pub(crate) fn combine(
    source: &Source<'_>,
    query: &Query,
    select: &Select,
    analysis: &Analysis,
    block: &Block,
) -> Result<Primitive> {
    horizon(source, query, select, analysis, block).map(Horizon::finish)
}

/// What is left of the SELECT above its shards' queries, with all rules applied.
fn horizon<'a>(
    source: &'a Source<'a>,
    query: &'a Query,
    select: &'a Select,
    analysis: &'a Analysis,
    block: &'a Block,
) -> Result<Horizon<'a>> {
    refuse(query, block)?;
    let mut horizon = Horizon::new(source, query, select, analysis, block)?;
    if horizon.layout.has_into {
        return Err(Error::unsupported("SELECT … INTO OUTFILE or DUMPFILE over several shards"));
    }
    split_aggregate::apply(&mut horizon)?;
    distinct_rows::apply(&mut horizon)?;
    merge_order::apply(&mut horizon)?;
    push_limit::apply(&mut horizon)?;
    Ok(horizon)
}

fn refuse(query: &Query, block: &Block) -> Result<()> {
    if query.fetch.is_some() {
        return Err(Error::unsupported("FETCH over several shards"));
    }
    refuse_join(block)?;
    if block.window_blocks {
        return Err(Error::unsupported("window functions over several shards"));
    }
    Ok(())
}

/// FROM, WHERE and sub-queries must be what each shard can do by itself.
fn refuse_join(block: &Block) -> Result<()> {
    match &block.join_blocker {
        Some(blocker) => Err(Error::unsupported(blocker.as_ref())),
        None => Ok(()),
    }
}

/// The position that a bare integer in ORDER BY or GROUP BY means, counted from 0.
fn position(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            crate::sql::ast::Value::Number(digits, _) => digits.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

/// Does every row of a group have the same value, and every shard's group too?
fn is_constant(expr: &Expr) -> Result<bool> {
    let has_column = super::semantics::walk::any(expr, &mut |part| {
        matches!(part, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::MatchAgainst { .. })
    })?;
    Ok(!has_column && !super::semantics::walk::has_subquery(expr)?)
}

/// The select item that is the same expression.
fn same_item(horizon: &Horizon<'_>, expr: &Expr) -> Option<usize> {
    horizon.items.iter().position(|item| item.expr == Some(expr))
}
