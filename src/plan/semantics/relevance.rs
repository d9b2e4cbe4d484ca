//! `MATCH … AGAINST` over shards. A full-text index weighs words by the rows that its own shard has, so relevance means
//! nothing from shard to shard; whether a row matches at all is that row's own affair.
//! <https://dev.mysql.com/doc/refman/9.0/en/fulltext-natural-language.html>

use super::walk::{self, Part, bare};
use crate::error::Result;
use crate::plan::source::Source;
use crate::sql::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Query, SearchModifier, Select, SetExpr, TableFactor,
    TableWithJoins, UnaryOperator,
};

/// Why relevance keeps a statement from being spread over shards.
pub(crate) const COUNTS: &str = "MATCH … AGAINST as anything but a condition over several shards: \
                                 each shard's full-text index weighs words by its own rows";
/// Why its order does.
pub(crate) const RANKS: &str =
    "LIMIT without ORDER BY behind MATCH … AGAINST over several shards: it takes the most relevant rows";

/// Why a query whose shards answer on their own would show that; `None`: each row decides for itself.
pub(crate) fn of_query(source: &Source<'_>, query: &Query) -> Result<Option<&'static str>> {
    of(source, |conditions| conditions.query(query))
}

/// The same for a change of rows that meet `condition`.
pub(crate) fn of_change(source: &Source<'_>, condition: Option<&Expr>) -> Result<Option<&'static str>> {
    of(source, |conditions| condition.map_or(Ok(()), |condition| conditions.condition(condition)))
}

fn of<'e>(
    source: &Source<'_>,
    visit: impl FnOnce(&mut Conditions) -> Result<()> + 'e,
) -> Result<Option<&'static str>> {
    // The word is reserved: unquoted it is nothing else.
    let total = (0..source.tokens().len()).filter(|index| source.is_keyword(*index, "match")).count();
    if total == 0 {
        return Ok(None);
    }
    let mut conditions = Conditions::default();
    visit(&mut conditions)?;
    Ok(match conditions {
        Conditions { count, .. } if count < total => Some(COUNTS),
        Conditions { is_ranked: true, .. } => Some(RANKS),
        _ => None,
    })
}

/// Does the search look at rows beside the one that it is asked about?
pub(crate) fn is_own_affair(modifier: Option<&SearchModifier>) -> bool {
    !matches!(
        modifier,
        Some(SearchModifier::WithQueryExpansion | SearchModifier::InNaturalLanguageModeWithQueryExpansion)
    )
}

/// Searches that are conditions.
#[derive(Default)]
struct Conditions {
    count: usize,
    /// A natural-language search decides the order of the current block's rows, if nothing else does.
    orders: bool,
    /// … and only its first rows are wanted.
    is_ranked: bool,
}

impl Conditions {
    fn query(&mut self, query: &Query) -> Result<()> {
        if let Some(with) = &query.with {
            with.cte_tables.iter().try_for_each(|cte| self.query(&cte.query))?;
        }
        let before = std::mem::take(&mut self.orders);
        self.body(&query.body)?;
        let is_cut = query.limit_clause.is_some() || query.fetch.is_some();
        self.is_ranked |= self.orders && is_cut && query.order_by.is_none();
        self.orders = before;
        if let Some(order) = &query.order_by {
            super::analyze::order_exprs(Some(order)).try_for_each(|expr| self.within(expr))?;
        }
        Ok(())
    }

    fn body(&mut self, body: &SetExpr) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            _ => Ok(()),
        }
    }

    fn select(&mut self, select: &Select) -> Result<()> {
        select.from.iter().try_for_each(|table| self.tables(table))?;
        super::analyze::item_exprs(select)
            .chain(super::analyze::group_exprs(&select.group_by))
            .chain(&select.having)
            .try_for_each(|expr| self.within(expr))?;
        select.selection.iter().try_for_each(|condition| self.condition(condition))
    }

    fn tables(&mut self, tables: &TableWithJoins) -> Result<()> {
        self.table(&tables.relation)?;
        for join in &tables.joins {
            self.table(&join.relation)?;
            if let JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::CrossJoin(constraint)
            | JoinOperator::StraightJoin(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint) = &join.join_operator
                && let JoinConstraint::On(condition) = constraint
            {
                self.condition(condition)?;
            }
        }
        Ok(())
    }

    fn table(&mut self, factor: &TableFactor) -> Result<()> {
        match factor {
            TableFactor::Derived { subquery, .. } => {
                let before = self.orders;
                self.query(subquery)?;
                self.orders = before;
                Ok(())
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.tables(table_with_joins),
            _ => Ok(()),
        }
    }

    /// An expression of which only counts whether it is true.
    fn condition(&mut self, expr: &Expr) -> Result<()> {
        match bare(expr) {
            Expr::MatchAgainst { opt_search_modifier: modifier, .. } => {
                self.count += usize::from(is_own_affair(modifier.as_ref()));
                self.orders |= !matches!(modifier, Some(SearchModifier::InBooleanMode));
                Ok(())
            }
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor,
                right,
            } => {
                self.condition(left)?;
                self.condition(right)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr }
            | Expr::IsTrue(expr)
            | Expr::IsNotTrue(expr)
            | Expr::IsFalse(expr)
            | Expr::IsNotFalse(expr) => self.condition(expr),
            other => self.within(other),
        }
    }

    /// Sub-queries of any other expression.
    fn within(&mut self, expr: &Expr) -> Result<()> {
        walk::parts(expr, &mut |part| match part {
            Part::Expr(part) => self.within(part),
            Part::Query(query) => self.query(query),
        })
    }
}
