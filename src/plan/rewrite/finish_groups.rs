//! Whatever a SELECT computes from its groups and aggregates is computed by a server, once the groups are whole.
//!
//! Each shard groups its own rows, [`super::split_aggregate`] combines the groups, and they go into a temporary table
//! with one column per GROUP BY expression and per aggregate. The rest of the statement is asked of that table,
//! with those columns in the places of what they hold: select list, HAVING, windows, DISTINCT, ORDER BY and LIMIT.
//! It costs a row per group where gathering the tables would cost all of their rows.

use std::ops::Range;

use super::filter_groups::call_range;
use super::{is_constant, merge_order, position, split_aggregate};
use crate::error::{Error, Result};
use crate::plan::operator::{AggregateParts, Horizon, Item};
use crate::plan::primitive::{AggregateColumn, AggregateFunction, Finish, Piece, Primitive, Template};
use crate::plan::semantics::analyze::{group_exprs, order_exprs};
use crate::plan::semantics::walk::{self, Part, bare};
use crate::plan::semantics::{Analysis, Block};
use crate::plan::source::{Edits, Source, quote};
use crate::sql::ast::{Expr, GroupByExpr, Ident, OrderByKind, Query, Select};

/// What the temporary table is called in the rest of the statement.
const TABLE: &str = "`__groups`";

/// Splits the SELECT at its groups. Errors are refusals (`VT12001`).
pub(crate) fn apply(
    source: &Source<'_>,
    query: &Query,
    select: &Select,
    analysis: &Analysis,
    block: &Block,
) -> Result<Finish> {
    apply_to(source, query, select, analysis, block, &|horizon| Ok(horizon.finish()))
}

/// As [`apply`], with rows of `tree`.
pub(super) fn apply_to(
    source: &Source<'_>,
    query: &Query,
    select: &Select,
    analysis: &Analysis,
    block: &Block,
    tree: &dyn Fn(Horizon<'_>) -> Result<Primitive>,
) -> Result<Finish> {
    super::refuse_join(block)?;
    let original = Horizon::new(source, query, select, analysis, block)?;
    refuse(&original)?;
    let groups = Groups::collect(&original)?;
    let rest = groups.rest(&original)?;
    let mut horizon = Horizon::new(source, query, select, analysis, block)?;
    let description = without_rows(&original, analysis.all_edits());
    let definition = groups.definition(&mut horizon)?;
    let divides = groups.columns.iter().any(|column| column.part.is_some());
    let rows = Box::new(tree(groups.combine(horizon)?)?);
    let sums_quotients = groups.sum_quotients(&original);
    Ok(Finish { definition, description, rows, query: rest, divides, sums_quotients })
}

fn refuse(horizon: &Horizon<'_>) -> Result<()> {
    let select = horizon.select;
    let has_modifiers =
        matches!(&select.group_by, GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty());
    let calculates_found_rows =
        select.select_modifiers.as_ref().is_some_and(|modifiers| modifiers.sql_calc_found_rows);
    if !horizon.shape.is_aggregated
        || horizon.block.groups_stay
        || has_modifiers
        || calculates_found_rows
        || horizon.layout.has_into
        || horizon.query.fetch.is_some()
        || !select.named_window.is_empty()
        || !horizon.query.locks.is_empty()
        || horizon.items.iter().any(|item| item.expr.is_none())
    {
        return Err(refusal());
    }
    Ok(())
}

fn refusal() -> Error {
    Error::unsupported("this form of grouping over several shards")
}

/// What is computed from groups: select list, HAVING and ORDER BY.
fn computed<'h, 'a: 'h>(horizon: &'h Horizon<'a>) -> impl Iterator<Item = &'a Expr> + 'h {
    let items = horizon.items.iter().filter_map(|item| item.expr);
    items.chain(&horizon.select.having).chain(order_exprs(horizon.query.order_by.as_ref()))
}

/// A column of the temporary table.
struct Column<'a> {
    item: Item<'a>,
    is_key: bool,
    /// The sum or the count that an average is made of, and the average's column.
    part: Option<(AggregateFunction, usize)>,
}

/// What the shards and the router make: keys first, then aggregates.
struct Groups<'a> {
    columns: Vec<Column<'a>>,
}

impl<'a> Groups<'a> {
    fn collect(horizon: &Horizon<'a>) -> Result<Self> {
        let mut groups = Self { columns: Vec::new() };
        let select = horizon.select;
        let exprs = group_exprs(&select.group_by);
        let ranges = horizon.layout.group_by.as_ref().map_or(&[][..], |clause| clause.items.as_slice());
        if exprs.len() != ranges.len() {
            return Err(refusal());
        }
        for (expr, range) in exprs.into_iter().zip(ranges) {
            let item = group_item(horizon, expr, range)?;
            if has_query(item.expr)? {
                return Err(refusal());
            }
            groups.columns.push(Column { item, is_key: true, part: None });
        }
        for expr in computed(horizon) {
            groups.add_aggregates(horizon, expr)?;
        }
        let items = horizon.items.iter().filter_map(|item| item.expr);
        let order = order_exprs(horizon.query.order_by.as_ref());
        let inner = items.chain(order).filter(|expr| !walk::is_aggregate(bare(expr)));
        let mut is_inner = false;
        for expr in inner.chain(&horizon.select.having) {
            is_inner |= has_average(expr)?;
        }
        if let Some(having) = &horizon.select.having {
            // It may name one by its alias.
            is_inner |= horizon.mentions_alias(having)?;
        }
        if is_inner {
            groups.add_parts_of_averages(horizon)?;
        }
        Ok(groups)
    }

    /// An average has more digits inside of an expression than it shows: sums and counts give it anew.
    fn add_parts_of_averages(&mut self, horizon: &Horizon<'a>) -> Result<()> {
        for index in 0..self.columns.len() {
            let item = self.columns[index].item.clone();
            let Some(Expr::Function(function)) = item.expr.filter(|_| !self.columns[index].is_key) else {
                continue;
            };
            if walk::function_name(function).as_deref() != Some("avg") {
                continue;
            }
            if walk::is_distinct(function) {
                return Err(refusal());
            }
            let argument = horizon.pieces(&split_aggregate::argument_range(horizon, &item.range)?);
            for (name, part) in [("sum(", AggregateFunction::Sum), ("count(", AggregateFunction::Count)] {
                let mut text = vec![Piece::text(name)];
                text.extend(argument.iter().cloned());
                text.push(Piece::text(")"));
                let item = Item { text: Some(text), ..item.clone() };
                self.columns.push(Column { item, is_key: false, part: Some((part, index)) });
            }
        }
        Ok(())
    }

    /// Is a quotient in the argument of a SUM or AVG?
    fn sum_quotients(&self, horizon: &Horizon<'a>) -> bool {
        self.columns.iter().filter(|column| !column.is_key).any(|column| {
            let name = match column.item.expr {
                Some(Expr::Function(function)) => walk::function_name(function).unwrap_or_default(),
                _ => return false,
            };
            matches!(name.as_str(), "avg" | "sum") && split_aggregate::divides(horizon, &column.item.range)
        })
    }

    /// A column for each aggregate call in `expr`.
    fn add_aggregates(&mut self, horizon: &Horizon<'a>, expr: &'a Expr) -> Result<()> {
        if walk::is_aggregate(expr) {
            let range = call_range(horizon, expr).ok_or_else(refusal)?;
            if self.aggregate(expr).is_none() {
                let item = Item { expr: Some(expr), alias: None, range, text: None };
                self.columns.push(Column { item, is_key: false, part: None });
            }
            return Ok(());
        }
        walk::parts(expr, &mut |part| match part {
            Part::Expr(part) => self.add_aggregates(horizon, part),
            Part::Query(_) => Err(refusal()),
        })
    }

    /// The column with that aggregate.
    fn aggregate(&self, expr: &Expr) -> Option<usize> {
        self.columns.iter().position(|column| !column.is_key && column.item.expr == Some(expr))
    }

    /// The statement over the temporary table.
    fn rest(&self, horizon: &Horizon<'a>) -> Result<Template> {
        let edits = horizon.analysis.edits.clone();
        let mut rest = Rest { groups: self, horizon, edits, is_exact: false };
        let mut text = Template::default();
        text.push_text(if horizon.shape.is_distinct { b"select distinct " } else { b"select " });
        for (index, item) in horizon.items.iter().enumerate() {
            text.push_text(if index == 0 { b"" } else { b", " });
            rest.item(item, &mut text)?;
        }
        text.push_text(b" from ");
        text.pieces.push(Piece::Gathered(0));
        text.push_text(format!(" as {TABLE}").as_bytes());
        rest.having(&mut text)?;
        rest.order_by(&mut text)?;
        if let Some(limit) = &horizon.layout.limit {
            text.push_text(b" ");
            append(&mut text, rest.pieces(&limit.range));
        }
        Ok(text)
    }

    /// Turns `horizon`'s select list and grouping into those of the temporary table, and gives its query so far.
    fn definition(&self, horizon: &mut Horizon<'a>) -> Result<Template> {
        let (Some(first), Some(last)) = (horizon.layout.items.first(), horizon.layout.items.last()) else {
            return Err(refusal());
        };
        let list = first.start..last.end;
        let mut pieces = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            pieces.push(Piece::text(if index == 0 { "" } else { ", " }));
            pieces.extend(horizon.item_pieces(&column.item));
            pieces.push(Piece::text(&format!(" as {}", name(index))));
        }
        horizon.edits.forget(&list);
        horizon.edits.replace(list, pieces);
        let keys = self.columns.iter().filter(|column| column.is_key).count();
        if let Some(clause) = horizon.layout.group_by.clone() {
            let positions: Vec<_> = (1..=keys).map(|position| position.to_string()).collect();
            horizon.edits.forget(&clause.range);
            let text = format!("group by {}", positions.join(", "));
            horizon.edits.replace(clause.range, vec![Piece::text(&text)]);
        }
        for clause in [horizon.layout.having.clone(), horizon.layout.limit.clone()].into_iter().flatten() {
            horizon.edits.forget(&clause.range);
            horizon.edits.remove(clause.range);
        }
        horizon.items = self.columns.iter().map(|column| column.item.clone()).collect();
        Ok(without_rows(horizon, horizon.edits.clone()))
    }

    /// What makes the groups whole.
    fn combine(&self, mut horizon: Horizon<'a>) -> Result<Horizon<'a>> {
        let is_scalar = horizon.layout.group_by.is_none();
        horizon.aggregate = Some(AggregateParts { is_scalar, ..AggregateParts::default() });
        for (index, column) in self.columns.iter().enumerate() {
            let visible = horizon.visible(index).ok_or_else(refusal)?;
            let expr = column.item.expr.ok_or_else(refusal)?;
            if let Some((function, _)) = &column.part {
                let function = function.clone();
                let columns = horizon.aggregate.as_mut().map(|parts| &mut parts.columns);
                columns.ok_or_else(refusal)?.push(AggregateColumn {
                    column: visible,
                    function,
                    is_distinct: false,
                });
            } else if !column.is_key {
                split_aggregate::add_column(&mut horizon, expr, &column.item.range, visible)?;
            } else if !is_constant(expr)? {
                let key = horizon.sort_key(expr, &column.item.range, visible)?;
                if let Some(parts) = &mut horizon.aggregate {
                    parts.group.push(key);
                }
            }
        }
        split_aggregate::push_grouping(&mut horizon)?;
        merge_order::order_groups(&mut horizon, Vec::new())?;
        Ok(horizon)
    }
}

/// The statement with `edits`, and with a limit of no rows in the place of its order and limit.
pub(super) fn without_rows(horizon: &Horizon<'_>, mut edits: Edits) -> Template {
    let no_rows = || vec![Piece::text(" limit 0")];
    let (order, limit) = (&horizon.layout.order_by, &horizon.layout.limit);
    for clause in [order, limit].into_iter().flatten() {
        edits.forget(&clause.range);
    }
    match (order, limit) {
        (Some(order), limit) => {
            edits.replace(order.range.clone(), no_rows());
            limit.iter().for_each(|limit| edits.remove(limit.range.clone()));
        }
        (None, Some(limit)) => edits.replace(limit.range.clone(), no_rows()),
        (None, None) => edits.insert_pieces(horizon.layout.order_place, no_rows()),
    }
    horizon.source.pieces(horizon.source.range(), &edits)
}

fn name(column: usize) -> String {
    format!("`c{column}`")
}

fn has_query(expr: Option<&Expr>) -> Result<bool> {
    expr.map_or(Ok(false), walk::has_subquery)
}

/// The expression that a GROUP BY item stands for, and where it stands.
fn group_item<'a>(horizon: &Horizon<'a>, expr: &'a Expr, range: &Range<usize>) -> Result<Item<'a>> {
    let itself = || Item { expr: Some(expr), alias: None, range: range.clone(), text: None };
    let selected = match split_aggregate::group_item(horizon, expr)? {
        split_aggregate::Group::Name => return Err(refusal()),
        split_aggregate::Group::Expression => return Ok(itself()),
        split_aggregate::Group::Item(index) => horizon.items.get(index).ok_or_else(refusal)?,
    };
    let same = Item { alias: None, ..selected.clone() };
    if selected.expr.map(walk::has_aggregate).transpose()?.unwrap_or(true) {
        return Err(refusal());
    }
    Ok(same)
}

fn append(text: &mut Template, pieces: Vec<Piece>) {
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_text(&part),
            other => text.pieces.push(other),
        }
    }
}

/// Rewrites what is left of the statement.
struct Rest<'g, 'a> {
    groups: &'g Groups<'a>,
    horizon: &'g Horizon<'a>,
    edits: Edits,
    /// Averages are made of their sums and counts.
    is_exact: bool,
}

impl<'a> Rest<'_, 'a> {
    fn pieces(&self, range: &Range<usize>) -> Vec<Piece> {
        self.horizon.source.pieces(range.clone(), &self.edits).pieces
    }

    fn item(&mut self, item: &Item<'a>, text: &mut Template) -> Result<()> {
        let expr = item.expr.ok_or_else(refusal)?;
        self.is_exact = !walk::is_aggregate(bare(expr));
        self.replace(expr, &item.range, false)?;
        append(text, self.pieces(&item.range));
        let name: Option<String> = match (item.alias, expr) {
            (Some(alias), _) => Some(alias.value.clone()),
            (None, Expr::Identifier(name)) => Some(name.value.clone()),
            (None, Expr::CompoundIdentifier(names)) => names.last().map(|name| name.value.clone()),
            // Text that is as it was names its column as it did.
            _ if !self.edits.touches(&item.range) => None,
            _ => Some(self.horizon.source.slice(item.range.clone()).into_owned()),
        };
        if let Some(name) = name {
            text.push_text(format!(" as {}", quote(&name)).as_bytes());
        }
        Ok(())
    }

    /// Conditions on groups are conditions on the rows of the table.
    fn having(&mut self, text: &mut Template) -> Result<()> {
        let (Some(having), Some(clause)) = (&self.horizon.select.having, &self.horizon.layout.having) else {
            return Ok(());
        };
        let (Some(first), Some(last)) = (clause.items.first(), clause.items.last()) else {
            return Err(refusal());
        };
        let range = first.start..last.end;
        self.is_exact = true;
        self.replace_aliases(having)?;
        self.replace(having, &range, true)?;
        text.push_text(b" where ");
        append(text, self.pieces(&range));
        Ok(())
    }

    /// WHERE knows no aliases: what they stand for is written in their place.
    fn replace_aliases(&mut self, expr: &Expr) -> Result<()> {
        if let Expr::Identifier(name) = expr
            && let Some(index) = self.horizon.aliased(name)
        {
            if self.key_named(name).is_some() {
                // A column and an alias of one name: the server knows which is meant.
                return Err(refusal());
            }
            let mut pieces = vec![Piece::text("(")];
            match self.horizon.items[index].expr.map(bare) {
                Some(item) if walk::is_aggregate(item) => {
                    pieces.push(Piece::text(&self.held(item).ok_or_else(refusal)?));
                }
                _ => pieces.extend(self.pieces(&self.horizon.items[index].range)),
            }
            pieces.push(Piece::text(")"));
            let range = self.horizon.source.ident_range(name)?;
            self.edits.forget(&range);
            self.edits.replace(range, pieces);
            return Ok(());
        }
        if walk::is_aggregate(expr) {
            return Ok(());
        }
        walk::parts(expr, &mut |part| match part {
            Part::Expr(part) => self.replace_aliases(part),
            Part::Query(_) => Err(refusal()),
        })
    }

    fn order_by(&mut self, text: &mut Template) -> Result<()> {
        let Some(clause) = self.horizon.layout.order_by.clone() else { return Ok(()) };
        let keys = match self.horizon.query.order_by.as_ref().map(|order_by| &order_by.kind) {
            Some(OrderByKind::Expressions(keys)) if keys.len() == clause.items.len() => keys,
            _ => return Err(refusal()),
        };
        for (key, range) in keys.iter().zip(&clause.items) {
            let (expr, range) = (&key.expr, merge_order::without_direction(self.horizon, key, range));
            let is_alias = matches!(expr, Expr::Identifier(name) if self.horizon.aliased(name).is_some());
            if position(expr).is_some() || is_alias {
                continue;
            }
            if self.horizon.mentions_alias(expr)? {
                return Err(refusal());
            }
            self.is_exact = !walk::is_aggregate(bare(expr));
            self.replace(expr, &range, false)?;
        }
        text.push_text(b" ");
        append(text, self.pieces(&clause.range));
        Ok(())
    }

    /// Puts the table's columns into the places of what they hold. `range` is where the whole expression stands. `aliases_done`: names of select items have been replaced.
    fn replace(&mut self, expr: &Expr, range: &Range<usize>, aliases_done: bool) -> Result<()> {
        if let Some(held) = self.held(expr) {
            let place = place(self.horizon, expr).unwrap_or_else(|| range.clone());
            return self.put(place, &held);
        }
        match expr {
            Expr::Identifier(name) if name.quote_style.is_none() && name.value.starts_with('@') => Ok(()),
            Expr::CompoundIdentifier(names)
                if names.first().is_some_and(|name| name.value.starts_with('@')) =>
            {
                Ok(())
            }
            Expr::Identifier(name) if aliases_done && self.horizon.aliased(name).is_some() => Ok(()),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::MatchAgainst { .. } => Err(refusal()),
            Expr::Nested(inner) => self.replace_part(inner, aliases_done),
            _ => walk::parts(expr, &mut |part| match part {
                Part::Expr(part) => self.replace_part(part, aliases_done),
                Part::Query(_) => Err(refusal()),
            }),
        }
    }

    fn replace_part(&mut self, expr: &Expr, aliases_done: bool) -> Result<()> {
        match place(self.horizon, expr) {
            Some(range) => self.replace(expr, &range, aliases_done),
            // Its place in the text is not known, so only its parts can be replaced.
            None if self.held(expr).is_some() => Err(refusal()),
            None => self.replace(expr, &(0..0), aliases_done),
        }
    }

    /// What stands in the table for `expr`.
    fn held(&self, expr: &Expr) -> Option<String> {
        let column = |index: usize| format!("{TABLE}.{}", name(index));
        if walk::is_aggregate(expr) {
            let index = self.groups.aggregate(expr)?;
            let is_part = |held: &Column<'_>| matches!(held.part, Some((_, average)) if average == index);
            let first = self.groups.columns.iter().position(is_part).filter(|_| self.is_exact);
            // The count stands behind the sum.
            return Some(
                first.map_or_else(|| column(index), |sum| format!("({} / {})", column(sum), column(sum + 1))),
            );
        }
        let keys = self.groups.columns.iter().take_while(|column| column.is_key);
        let same = keys.clone().position(|key| key.item.expr.map(bare) == Some(bare(expr)));
        let index = same.or_else(|| match expr {
            Expr::Identifier(name) => self.key_named(name),
            Expr::CompoundIdentifier(names) => {
                let found = self.key_named(names.last()?)?;
                let key = self.groups.columns[found].item.expr.map(bare);
                matches!(key, Some(Expr::Identifier(_))).then_some(found)
            }
            _ => None,
        });
        index.map(column)
    }

    /// The only GROUP BY column of that name.
    fn key_named(&self, name: &Ident) -> Option<usize> {
        let is_named = |column: &Column<'_>| {
            let last = match column.item.expr.map(bare) {
                Some(Expr::Identifier(own)) => Some(own),
                Some(Expr::CompoundIdentifier(names)) => names.last(),
                _ => None,
            };
            column.is_key && last.is_some_and(|last| last.value.eq_ignore_ascii_case(&name.value))
        };
        let mut found = (0..self.groups.columns.len()).filter(|index| is_named(&self.groups.columns[*index]));
        found.next().filter(|_| found.next().is_none())
    }

    fn put(&mut self, range: Range<usize>, text: &str) -> Result<()> {
        if range.is_empty() {
            return Err(refusal());
        }
        self.edits.forget(&range);
        self.edits.replace(range, vec![Piece::text(text)]);
        Ok(())
    }
}

fn has_average(expr: &Expr) -> Result<bool> {
    walk::any(expr, &mut |part| {
        let Expr::Function(function) = part else { return false };
        walk::is_aggregate(part) && walk::function_name(function).as_deref() == Some("avg")
    })
}

/// Where an expression stands in the text, if that can be told from the names in it.
fn place(horizon: &Horizon<'_>, expr: &Expr) -> Option<Range<usize>> {
    let source = horizon.source;
    match expr {
        Expr::Identifier(name) => source.ident_range(name).ok(),
        Expr::CompoundIdentifier(names) => {
            let first = source.ident_range(names.first()?).ok()?;
            let last = source.ident_range(names.last()?).ok()?;
            Some(first.start..last.end)
        }
        Expr::Function(function) if function.over.is_none() => call_range(horizon, expr),
        _ => None,
    }
}
