//! The walk over queries and expressions that collects an [`Analysis`].

use std::ops::Range;

use super::conjunct::{Facts, add_edge, conjuncts, key_of, ties_alone};
use super::walk::{self, Part, bare};
use super::{Analysis, Block, Columns, KeyColumn, Output, Scope};
use crate::error::{Error, Result};
use crate::plan::PlanContext;
use crate::plan::layout::Layout;
use crate::plan::source::Source;
use crate::sql::ast::{
    Cte, Distinct, Expr, Function, GroupByExpr, Ident, Location, NamedWindowExpr, OrderBy, OrderByKind,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier,
    WindowType, With,
};
use crate::sql::{LexFlags, TokenKind};
use crate::vschema::ColumnType;

/// Collects facts about one statement.
pub(crate) struct Analyzer<'a> {
    pub(super) ctx: &'a PlanContext<'a>,
    pub(super) source: &'a Source<'a>,
    pub(crate) analysis: Analysis,
    /// Nesting of queries, against hostile texts.
    depth: usize,
    /// Where the common table expressions that were used are defined.
    pub(super) used_ctes: Vec<Location>,
}

/// Common table expressions that a query sees, innermost last.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ctes<'q> {
    pub(super) with: Option<&'q With>,
    /// Only the first so many of `with` are visible (all when it is recursive).
    pub(super) visible: usize,
    pub(super) outer: Option<&'q Ctes<'q>>,
}

impl<'q> Ctes<'q> {
    /// All that the WITH of a whole statement defines.
    pub(crate) fn of(with: Option<&'q With>) -> Self {
        Self { with, visible: with.map_or(0, |with| with.cte_tables.len()), outer: None }
    }
}

const QUERY_DEPTH_MAX: usize = 64;

/// Servers cut longer names of columns, each at another place.
const NAME_BYTES_MAX: usize = 200;

impl<'a> Analyzer<'a> {
    pub(crate) fn new(ctx: &'a PlanContext<'a>, source: &'a Source<'a>) -> Self {
        Self { ctx, source, analysis: Analysis::default(), depth: 0, used_ctes: Vec::new() }
    }

    /// For a text inside of this one: it goes on with the analysis, which must be taken back.
    pub(super) fn inside<'v>(&mut self, ctx: &'v PlanContext<'v>, source: &'v Source<'v>) -> Analyzer<'v> {
        let analysis = std::mem::take(&mut self.analysis);
        Analyzer { ctx, source, analysis, depth: self.depth + 1, used_ctes: Vec::new() }
    }

    /// A query with its WITH, ORDER BY and LIMIT.
    pub(crate) fn query(
        &mut self,
        query: &Query,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> Result<Block> {
        if self.depth >= QUERY_DEPTH_MAX {
            return Err(Error::unsupported("queries nested that deep"));
        }
        self.depth += 1;
        let inner = Ctes {
            with: query.with.as_ref(),
            visible: query.with.as_ref().map_or(0, |with| with.cte_tables.len()),
            outer: Some(ctes),
        };
        let first = self.analysis.instances.len();
        let ctes = if query.with.is_some() { &inner } else { ctes };
        let order_by = query.order_by.as_ref();
        let mut block = match &*query.body {
            SetExpr::Select(select) => self.select(select, order_by, parent, ctes)?,
            body => {
                let block = self.body(body, parent, ctes)?;
                // Of a union only positions and output names can be ordered by.
                order_exprs(order_by)
                    .try_for_each(|expr| self.expression(expr, &Scope::new(parent), ctes))?;
                block
            }
        };
        if let Some(with) = &query.with {
            self.unused_ctes(with, parent, ctes)?;
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            block
                .horizon_blocker
                .get_or_insert_with(|| "LIMIT in a derived table over several shards".into());
            forget_keys(&mut block.outputs);
        }
        block.instances = first..self.analysis.instances.len();
        self.depth -= 1;
        Ok(block)
    }

    /// Common table expressions are analysed where they are used; unused ones only need their names fitted.
    pub(crate) fn unused_ctes(
        &mut self,
        with: &With,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> Result<()> {
        for (index, cte) in with.cte_tables.iter().enumerate() {
            if self.used_ctes.contains(&cte.alias.name.span.start) {
                continue;
            }
            let instances = self.analysis.instances.len();
            let (edges, bindings) = (self.analysis.edges.len(), self.analysis.bindings.len());
            let blocker = self.analysis.blocker.clone();
            self.cte_query(cte, index, parent, ctes)?;
            self.analysis.instances.truncate(instances);
            self.analysis.edges.truncate(edges);
            self.analysis.bindings.truncate(bindings);
            self.analysis.blocker = blocker;
        }
        Ok(())
    }

    /// The body of a common table expression, which sees the ones before it.
    pub(super) fn cte_query(
        &mut self,
        cte: &Cte,
        index: usize,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> Result<Block> {
        let visible = Ctes { with: ctes.with, visible: index, outer: ctes.outer };
        self.query(&cte.query, parent, &visible)
    }

    fn body(&mut self, body: &SetExpr, parent: Option<&Scope<'_>>, ctes: &Ctes<'_>) -> Result<Block> {
        match body {
            SetExpr::Select(select) => self.select(select, None, parent, ctes),
            SetExpr::Query(query) => self.query(query, parent, ctes),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let first = self.analysis.instances.len();
                let left = self.body(left, parent, ctes)?;
                let right = self.body(right, parent, ctes)?;
                let is_all = *op == SetOperator::Union && *set_quantifier == SetQuantifier::All;
                let blocker: Option<Box<str>> = match (is_all, left.anchor, right.anchor) {
                    (false, ..) => Some(format!("{op} over several shards").into()),
                    (true, Some(_), Some(_)) => left.blocker().or(right.blocker()).map(Into::into),
                    (true, ..) => Some("UNION ALL with a part that is on every shard".into()),
                };
                let is_distinct = *op == SetOperator::Union
                    && matches!(set_quantifier, SetQuantifier::Distinct | SetQuantifier::None);
                let gives_all = |part: &Block| {
                    let is_union = part.is_distinct_union && part.horizon_blocker.is_none();
                    part.anchor.is_some() && (is_union || part.blocker().is_none())
                };
                let is_distinct_union = is_distinct && gives_all(&left) && gives_all(&right);
                let mut outputs = left.outputs;
                forget_keys(&mut outputs);
                let instances = first..self.analysis.instances.len();
                Ok(Block {
                    is_distinct_union,
                    outputs,
                    instances,
                    anchor: left.anchor,
                    join_blocker: blocker,
                    ..Block::default()
                })
            }
            SetExpr::Values(values) => {
                let rows = values.rows.iter().flat_map(|row| row.content.iter());
                rows.into_iter().try_for_each(|expr| self.expression(expr, &Scope::new(parent), ctes))?;
                Ok(Block { outputs: Columns { is_open: true, ..Columns::default() }, ..Block::default() })
            }
            other => Err(Error::unsupported(format!("the query {other}"))),
        }
    }

    fn select(
        &mut self,
        select: &Select,
        order_by: Option<&OrderBy>,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> Result<Block> {
        let first = self.analysis.instances.len();
        let mut scope = Scope::new(parent);
        for table in &select.from {
            self.table_with_joins(table, &mut scope, ctes)?;
        }
        let from = first..self.analysis.instances.len();
        if let Some(condition) = &select.selection {
            self.restrict(condition, &scope, &from, ctes)?;
        }
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    self.expression(expr, &scope, ctes)?;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    self.strip_table_qualifier(name)?;
                }
                SelectItem::Wildcard(_) => {}
                other => return Err(Error::unsupported(format!("the select item {other}"))),
            }
        }
        let groups = group_exprs(&select.group_by);
        let rest = groups.iter().copied().chain(&select.having).chain(order_exprs(order_by));
        rest.into_iter().try_for_each(|expr| self.expression(expr, &scope, ctes))?;
        for window in &select.named_window {
            self.named_window(window, &scope, ctes)?;
        }
        self.keep_names(select)?;
        let instances = first..self.analysis.instances.len();
        self.block_of_select(select, order_by, scope, from, instances)
    }

    /// A column without alias is named after its text: when that is edited, the name must be given.
    fn keep_names(&mut self, select: &Select) -> Result<()> {
        // A plain column keeps its name when only its qualifier goes; variables look like columns here.
        let is_variable = |ident: &Ident| ident.quote_style.is_none() && ident.value.starts_with('@');
        let is_plain = |expr: &Expr| match expr {
            Expr::Identifier(ident) => !is_variable(ident),
            Expr::CompoundIdentifier(idents) => !idents.first().is_some_and(is_variable),
            _ => false,
        };
        let is_unnamed = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_));
        let lexed = self.source.lexed();
        let has_parameters = lexed.flags.contains(LexFlags::HAS_PLACEHOLDER);
        if self.analysis.edits.is_empty() && !has_parameters || !select.projection.iter().any(is_unnamed) {
            return Ok(());
        }
        let token = self.source.token_at(select.select_token.0.span.start);
        let layout = token.and_then(|token| Layout::of_select(self.source, token));
        let layout = layout.filter(|layout| layout.items.len() == select.projection.len());
        if layout.is_none() && self.analysis.edits.is_empty() {
            return Ok(());
        }
        let layout = layout.ok_or_else(|| Error::unsupported("this form of select list"))?;
        // Where the value of a parameter is put in, the name still has its question mark.
        let has_parameter = |range: &Range<usize>| {
            let tokens = self.source.tokens();
            let first = tokens.partition_point(|token| (token.span.start as usize) < range.start);
            range.len() <= NAME_BYTES_MAX
                && tokens[first..]
                    .iter()
                    .take_while(|token| (token.span.end as usize) <= range.end)
                    .any(|token| token.kind == TokenKind::Placeholder)
        };
        for (item, range) in select.projection.iter().zip(layout.items) {
            let SelectItem::UnnamedExpr(expr) = item else { continue };
            let edits = &self.analysis.edits;
            if has_parameters && has_parameter(&range)
                || edits.adds_to(&range)
                || !is_plain(expr) && edits.touches(&range)
            {
                let alias = (range.end, self.source.slice(range).into_owned());
                if !self.analysis.aliases.contains(&alias) {
                    self.analysis.aliases.push(alias);
                }
            }
        }
        Ok(())
    }

    fn block_of_select(
        &self,
        select: &Select,
        order_by: Option<&OrderBy>,
        scope: Scope<'_>,
        from: Range<usize>,
        instances: Range<usize>,
    ) -> Result<Block> {
        let anchor = from.clone().find(|instance| !self.analysis.instances[*instance].is_nullable);
        let mut outputs = outputs_of(select, &scope);
        let shape = Shape::of(select, order_by)?;
        // Super-aggregates (WITH ROLLUP) are over all rows.
        let has_modifiers = matches!(&select.group_by, GroupByExpr::Expressions(_, all) if !all.is_empty());
        let grouped_by = if has_modifiers { Vec::new() } else { group_exprs(&select.group_by) };
        let group_keys: Vec<KeyColumn> = grouped_by.iter().filter_map(|expr| key_of(expr, &scope)).collect();
        if shape.is_aggregated {
            for output in &mut outputs.known {
                output.key = output.key.take().filter(|key| group_keys.contains(key));
            }
        }
        if shape.has_window {
            forget_keys(&mut outputs);
        }
        let covers = |keys: &[KeyColumn]| self.analysis.covers_unique_vindex(keys, &from);
        let keys: Vec<KeyColumn> = outputs.known.iter().filter_map(|output| output.key.clone()).collect();
        let is_tied = anchor.is_some_and(|anchor| self.analysis.reaches_all(anchor, instances.clone()));
        let join_blocker =
            (!instances.is_empty() && !is_tied).then(|| "a join or sub-query across shards".into());
        let window_blocks =
            shape.has_window && !self.windows_stay_in_shards(select, order_by, &scope, &from)?;
        let horizon_blocker = if instances.is_empty() {
            None
        } else if window_blocks {
            Some("window functions over several shards".into())
        } else if shape.is_aggregated && !covers(&group_keys) {
            Some("aggregation in a derived table over several shards".into())
        } else if shape.is_distinct && !shape.is_aggregated && !covers(&keys) {
            Some("DISTINCT in a derived table over several shards".into())
        } else {
            None
        };
        let groups_stay = covers(&group_keys);
        let rows_are_distinct = covers(&keys);
        Ok(Block {
            outputs,
            sources: scope.sources,
            instances,
            anchor,
            join_blocker,
            horizon_blocker,
            window_blocks,
            groups_stay,
            rows_are_distinct,
            is_distinct_union: false,
        })
    }

    /// Is every window partitioned by columns that decide the shard?
    fn windows_stay_in_shards(
        &self,
        select: &Select,
        order_by: Option<&OrderBy>,
        scope: &Scope<'_>,
        from: &Range<usize>,
    ) -> Result<bool> {
        let covers = |partition: &[Expr]| {
            let keys: Vec<KeyColumn> = partition.iter().filter_map(|expr| key_of(expr, scope)).collect();
            self.analysis.covers_unique_vindex(&keys, from)
        };
        let mut stay = select.named_window.iter().all(|window| match &window.1 {
            NamedWindowExpr::WindowSpec(spec) => spec.window_name.is_some() || covers(&spec.partition_by),
            NamedWindowExpr::NamedWindow(_) => true,
        });
        for expr in item_exprs(select).chain(order_exprs(order_by)) {
            let crosses = walk::any(expr, &mut |part| match part {
                Expr::Function(Function { over: Some(WindowType::WindowSpec(spec)), .. }) => {
                    spec.window_name.is_none() && !covers(&spec.partition_by)
                }
                _ => false,
            })?;
            stay &= !crosses;
        }
        Ok(stay)
    }

    /// Conditions that restrict the rows of the instances in `allowed`.
    pub(crate) fn restrict(
        &mut self,
        condition: &Expr,
        scope: &Scope<'_>,
        allowed: &Range<usize>,
        ctes: &Ctes<'_>,
    ) -> Result<()> {
        let mut all = Vec::new();
        conjuncts(condition, &mut all);
        let mut facts = Facts::default();
        for conjunct in all {
            facts.add(conjunct, scope);
            match conjunct {
                Expr::InSubquery { expr, subquery, negated: false } => {
                    self.expression(expr, scope, ctes)?;
                    self.in_subquery(expr, subquery, false, scope, Some(allowed), ctes)?;
                }
                other => self.expression(other, scope, ctes)?,
            }
        }
        facts.apply(allowed, &mut self.analysis);
        Ok(())
    }

    /// Walks an expression for names to fit and sub-queries to analyse.
    pub(crate) fn expression(&mut self, expr: &Expr, scope: &Scope<'_>, ctes: &Ctes<'_>) -> Result<()> {
        self.system_schema_condition(expr);
        match expr {
            Expr::CompoundIdentifier(names) => self.strip_column_qualifier(names),
            Expr::InSubquery { expr, subquery, negated } => {
                self.expression(expr, scope, ctes)?;
                self.in_subquery(expr, subquery, *negated, scope, None, ctes)
            }
            other => {
                self.note_years(other, scope)?;
                walk::parts(other, &mut |part| match part {
                    Part::Expr(expr) => self.expression(expr, scope, ctes),
                    Part::Query(query) => self.query(query, Some(scope), ctes).map(|_| ()),
                })
            }
        }
    }

    /// `a.id in (select b.id …)` is on the shard of `a`'s row, if the sub-query gives the same rows there.
    fn in_subquery(
        &mut self,
        expr: &Expr,
        query: &Query,
        is_negated: bool,
        scope: &Scope<'_>,
        restricts: Option<&Range<usize>>,
        ctes: &Ctes<'_>,
    ) -> Result<()> {
        let block = self.query(query, Some(scope), ctes)?;
        let columns = match bare(expr) {
            Expr::Tuple(columns) => columns.iter().collect(),
            other => vec![other],
        };
        // With `*` over unknown columns positions mean nothing.
        let known = if block.outputs.is_open { &[] } else { block.outputs.known.as_slice() };
        for (column, output) in columns.into_iter().zip(known) {
            let (Some(outer), Some(inner)) = (key_of(column, scope), &output.key) else { continue };
            // NOT IN is NULL where the list has a NULL, wherever that is.
            let has_nulls = self.analysis.instances[inner.instance].is_nullable;
            if is_negated && has_nulls || !ties_alone(&outer, inner, &self.analysis) {
                continue;
            }
            add_edge(outer.instance, inner.instance, &block.instances, &mut self.analysis);
            if let Some(allowed) = restricts {
                add_edge(inner.instance, outer.instance, allowed, &mut self.analysis);
            }
        }
        Ok(())
    }
}

/// What stands above a SELECT's FROM and WHERE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) is_aggregated: bool,
    pub(crate) is_distinct: bool,
    pub(crate) has_window: bool,
}

impl Shape {
    pub(crate) fn of(select: &Select, order_by: Option<&OrderBy>) -> Result<Self> {
        let mut shape = Self {
            is_aggregated: !group_exprs(&select.group_by).is_empty(),
            is_distinct: matches!(select.distinct, Some(Distinct::Distinct)),
            has_window: !select.named_window.is_empty(),
        };
        for expr in item_exprs(select).chain(&select.having).chain(order_exprs(order_by)) {
            shape.is_aggregated |= walk::has_aggregate(expr)?;
            shape.has_window |= walk::has_window(expr)?;
        }
        Ok(shape)
    }
}

/// The expressions of a select list.
pub(crate) fn item_exprs(select: &Select) -> impl Iterator<Item = &Expr> {
    select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    })
}

/// The expressions of a GROUP BY; empty without one.
pub(crate) fn group_exprs(group_by: &GroupByExpr) -> Vec<&Expr> {
    match group_by {
        GroupByExpr::All(_) => Vec::new(),
        GroupByExpr::Expressions(exprs, _) => exprs.iter().collect(),
    }
}

/// The expressions of an ORDER BY.
pub(crate) fn order_exprs(order_by: Option<&OrderBy>) -> impl Iterator<Item = &Expr> {
    let keys = match order_by.map(|order_by| &order_by.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.as_slice(),
        Some(OrderByKind::All(_)) | None => &[],
    };
    keys.iter().map(|key| &key.expr)
}

fn forget_keys(outputs: &mut Columns) {
    outputs.known.iter_mut().for_each(|output| output.key = None);
}

fn outputs_of(select: &Select, scope: &Scope<'_>) -> Columns {
    let mut outputs = Columns::default();
    let mut star = |columns: &Columns| {
        outputs.known.extend(columns.visible().cloned());
        outputs.is_open |= columns.is_open;
    };
    for item in &select.projection {
        let (name, expr) = match item {
            SelectItem::Wildcard(_) => {
                for source in &scope.sources {
                    let is_own = |column: &&Output| !source.has_merged(&column.name);
                    let known = source.columns.visible().filter(is_own).cloned().collect();
                    // Columns that a join has made one stand first: only names count then, not places.
                    star(&Columns { known, is_open: source.columns.is_open || !source.merged.is_empty() });
                }
                continue;
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let table = name.0.last().and_then(|part| part.as_ident());
                let source = table.and_then(|table| scope.source(&table.value));
                star(
                    source.map_or(&Columns { is_open: true, ..Columns::default() }, |source| &source.columns),
                );
                continue;
            }
            SelectItem::ExprWithAlias { expr, alias } => (Some(alias), expr),
            SelectItem::UnnamedExpr(expr) => match bare(expr) {
                Expr::Identifier(name) => (Some(name), expr),
                Expr::CompoundIdentifier(names) => (names.last(), expr),
                _ => (None, expr),
            },
            _ => continue,
        };
        let name = name.map_or("", |name| name.value.as_str()).into();
        let column_type = match bare(expr) {
            Expr::Identifier(name) => scope.column_type(std::slice::from_ref(name)),
            Expr::CompoundIdentifier(names) => scope.column_type(names),
            _ => ColumnType::default(),
        };
        let output = Output { name, key: key_of(expr, scope), column_type, is_invisible: false };
        let column = Columns { known: vec![output], is_open: false };
        star(&column);
    }
    outputs
}
