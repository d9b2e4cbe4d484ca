//! Semi-joins: rows of one table for which a sub-query on another has a row, `IN (SELECT …)` and `EXISTS` with equalities.
//! Anti-joins: rows for which it has none, `NOT EXISTS`, and `NOT IN` where neither side can be NULL. They are outer joins
//! of which only rows stay that meet no other.
//!
//! Inside of the sub-query names mean its own table first; beyond its equalities it must not know the outer one.

use super::conditions::is_plain;
use super::{Column, Key, Tables, refusal};
use crate::error::Result;
use crate::plan::primitive::{GatherInput, Piece, Template, VindexRef};
use crate::plan::semantics::{TableSource, conjunct, references};
use crate::plan::source::quote;
use crate::plan::{FoundTable, PlanContext};
use crate::sql::ast::{BinaryOperator, Distinct, Expr, GroupByExpr, Query, Select, SelectItem, SetExpr};
use crate::vschema::{ColumnVindex, Table};
use std::sync::Arc;

impl<'a> Tables<'a> {
    /// Of the conditions one must ask for rows of the other table.
    pub(super) fn read_semi(&mut self) -> Result<()> {
        let select = self.select;
        let [table] = select.from.as_slice() else { return Err(refusal()) };
        if !table.joins.is_empty() || !is_plain(&table.relation) {
            return Err(refusal());
        }
        if self.sources[0].name.eq_ignore_ascii_case(&self.sources[1].name) {
            return Err(refusal());
        }
        self.seen = Some(0);
        let mut all = Vec::new();
        select.selection.iter().for_each(|condition| conjunct::conjuncts(condition, &mut all));
        for condition in all {
            match condition {
                Expr::InSubquery { expr, subquery, negated } => {
                    self.read_in(expr, subquery)?;
                    if *negated {
                        self.read_none(true)?;
                    }
                }
                Expr::Exists { subquery, negated } => {
                    self.read_exists(subquery)?;
                    if *negated {
                        self.read_none(false)?;
                    }
                }
                other => self.read_condition(other, None)?,
            }
        }
        if self.keys.is_empty() { Err(refusal()) } else { Ok(()) }
    }

    /// Only rows that meet none of the sub-query's are shown. With `has_nulls` a NULL on either side would decide otherwise.
    fn read_none(&mut self, has_nulls: bool) -> Result<()> {
        let Some([outer, own]) = self.keys.last() else { return Err(refusal()) };
        let own = &own.name;
        if has_nulls && (self.may_be_null(0, &outer.name) || self.may_be_null(1, own)) {
            return Err(refusal());
        }
        // No row that meets another has NULL there.
        let column = format!("{}.{}", quote(&self.inputs[1].alias), quote(own));
        self.flags[1].push(Template { pieces: vec![Piece::text(&format!("{column} is null"))] });
        self.kept = Some(0);
        self.needs_not_null |= has_nulls;
        Ok(())
    }

    fn may_be_null(&self, table: usize, column: &str) -> bool {
        let input = &self.inputs[table];
        let known = self.ctx.schemas.relation(&input.keyspace, &input.table);
        let column =
            known.and_then(|known| known.columns.iter().find(|c| c.name.eq_ignore_ascii_case(column)));
        column.is_none_or(|column| column.is_nullable)
    }

    fn read_in(&mut self, expr: &Expr, query: &'a Query) -> Result<()> {
        let key = self.column(expr).ok_or_else(refusal)?;
        let select = plain(query)?;
        let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
            select.projection.as_slice()
        else {
            return Err(refusal());
        };
        self.seen = Some(1);
        let own = self.column(item).ok_or_else(refusal)?;
        self.keys.push([key, own]);
        for condition in conditions(select) {
            self.read_condition(condition, None)?;
        }
        self.seen = Some(0);
        Ok(())
    }

    fn read_exists(&mut self, query: &'a Query) -> Result<()> {
        let select = plain(query)?;
        let is_row = |item: &SelectItem| match item {
            SelectItem::Wildcard(_) => true,
            SelectItem::UnnamedExpr(expr) => matches!(expr, Expr::Value(_)),
            _ => false,
        };
        if !select.projection.iter().all(is_row) {
            return Err(refusal());
        }
        self.seen = Some(1);
        for condition in conditions(select) {
            match self.correlated(condition) {
                Some(pair) => self.keys.push(pair),
                None => self.read_condition(condition, None)?,
            }
        }
        self.seen = Some(0);
        Ok(())
    }

    /// An equality of a column of the outer table with one of the sub-query's.
    fn correlated(&mut self, condition: &Expr) -> Option<Key> {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
        let (left, right) = (self.column_of_either(left)?, self.column_of_either(right)?);
        match (left.table, right.table) {
            (0, 1) => Some([left, right]),
            (1, 0) => Some([right, left]),
            _ => None,
        }
    }

    fn column_of_either(&mut self, expr: &Expr) -> Option<Column> {
        self.column(expr).or_else(|| {
            self.seen = Some(0);
            let found = self.column(expr);
            self.seen = Some(1);
            found
        })
    }

    /// The vindex by which a column alone decides the shard.
    pub(super) fn vindex_of(&self, table: usize, column: &str) -> Option<VindexRef> {
        let table = table_of(self.ctx, &self.inputs[table]).ok()?;
        let is_it = |vindex: &&ColumnVindex| {
            vindex.is_unique
                && !vindex.vindex.is_lookup()
                && matches!(vindex.columns.as_slice(), [only] if only.eq_ignore_ascii_case(column))
        };
        table.column_vindexes.iter().find(is_it).map(|vindex| VindexRef(vindex.vindex.clone()))
    }
}

/// The table of a sub-query, as it names it.
pub(super) fn source_of(ctx: &PlanContext<'_>, input: &GatherInput) -> Result<TableSource> {
    let columns = references::columns_of(&*table_of(ctx, input)?, 0);
    Ok(TableSource { name: input.alias.clone(), columns, merged: Vec::new() })
}

fn table_of(ctx: &PlanContext<'_>, input: &GatherInput) -> Result<Arc<Table>> {
    match ctx.find_table(Some(input.keyspace.as_str()), &input.table)? {
        FoundTable::Table(table) if table.keyspace == input.keyspace && *table.name == *input.table => {
            Ok(table)
        }
        _ => Err(refusal()),
    }
}

fn conditions(select: &Select) -> Vec<&Expr> {
    let mut all = Vec::new();
    select.selection.iter().for_each(|condition| conjunct::conjuncts(condition, &mut all));
    all
}

/// A sub-query of one table, with nothing but conditions.
fn plain(query: &Query) -> Result<&Select> {
    let SetExpr::Select(select) = &*query.body else { return Err(refusal()) };
    let [table] = select.from.as_slice() else { return Err(refusal()) };
    let has_groups = !matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers)
        if keys.is_empty() && modifiers.is_empty());
    let is_plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && matches!(select.distinct, None | Some(Distinct::Distinct))
        && select.select_modifiers.is_none()
        && select.into.is_none()
        && select.having.is_none()
        && !has_groups
        && table.joins.is_empty()
        && is_plain(&table.relation);
    is_plain.then_some(&**select).ok_or_else(refusal)
}
