//! The table references of a query, each with the rows and columns of it that the query may look at: what must be
//! gathered when no shard can answer alone. Knows nothing of temporary tables but that each reference needs its own:
//! MySQL cannot open a temporary table twice in one statement, so a common table expression that is used twice is
//! written twice.

use std::ops::Range;

mod frame;
mod search;
mod text;

use super::analyze::{group_exprs, item_exprs, order_exprs};
use super::conjunct::{Facts, conjuncts};
use super::filter::{self, Names};
use super::from::idents;
use super::walk::{self, Part};
use super::{Analysis, Columns, Instance, KeyColumn, Output, Scope, TableSource};
use crate::error::{Error, Result};
use crate::plan::primitive::GatherFilter;
use crate::plan::source::{Edits, Source, quote};
use crate::plan::{FoundTable, PlanContext};
use crate::sql::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Location, LockClause, LockType,
    NamedWindowExpr, NonBlock, ObjectName, OrderBy, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor, TableWithJoins, With,
};
use crate::sql::parse::lock_wait;
use frame::Frame;
use search::Search;

use crate::vschema::{ColumnType, Table, TableKind};
use std::sync::Arc;

/// One mention of a table in a FROM clause.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) table: Arc<Table>,
    pub(crate) alias: Box<str>,
    /// All of its columns are wanted.
    pub(crate) is_whole: bool,
    pub(crate) filters: Vec<GatherFilter>,
    pub(crate) reducers: Vec<Equality>,
    /// The other references of the same FROM clause.
    pub(crate) rivals: Vec<usize>,
    pub(crate) partitions: String,
    pub(crate) lock: String,
}

/// A column of a reference equals a column of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Equality {
    pub(crate) column: Box<str>,
    pub(crate) other: usize,
    pub(crate) other_column: Box<str>,
}

/// All references of a statement.
pub(crate) struct References {
    pub(crate) references: Vec<Reference>,
    /// One instance for each reference, with the bindings that its filters give.
    pub(crate) analysis: Analysis,
    /// The statement's text over the gathered tables.
    pub(crate) edits: Edits,
    pub(crate) repeats_arguments: bool,
}

/// Collects the references of `query`. `analysis` has the edits that fit the text to servers.
pub(crate) fn collect(
    ctx: &PlanContext<'_>,
    source: &Source<'_>,
    query: &Query,
    analysis: &Analysis,
) -> Result<References> {
    let base = analysis.all_edits();
    let named = analysis.aliases.iter().map(|(end, _)| *end).collect();
    let mut walk = Walk {
        ctx,
        source,
        named,
        texts: vec![Text { edits: base.clone(), touched: Vec::new() }],
        base,
        references: Vec::new(),
        analysis: Analysis::default(),
        uses: Vec::new(),
        copies: 0,
        repeats_arguments: false,
        frames: Vec::new(),
        searches: Vec::new(),
        filtered: Vec::new(),
    };
    walk.query(query, None, 0)?;
    walk.place_searches(0)?;
    let edits = walk.texts.swap_remove(0).edits;
    let Walk { references, analysis, repeats_arguments, .. } = walk;
    Ok(References { references, analysis, edits, repeats_arguments })
}

/// The words of a lock of `query`, as both engines know them: ` for update nowait`.
pub(crate) fn lock_words(lock: &LockClause, query: &Query, source: &Source<'_>) -> String {
    // MariaDB knows the older words only.
    let is_for_share = (1..source.tokens().len())
        .any(|at| source.is_keyword(at, "share") && source.is_keyword(at - 1, "for"));
    let words = match lock.lock_type {
        LockType::Update => " for update",
        LockType::Share if is_for_share => " for share",
        LockType::Share => " lock in share mode",
    };
    let nonblock = match lock.nonblock {
        Some(NonBlock::Nowait) => " nowait",
        Some(NonBlock::SkipLocked) => " skip locked",
        None => "",
    };
    match lock_wait(query) {
        Some(seconds) => format!("{words} wait {seconds}"),
        None => format!("{words}{nonblock}"),
    }
}

/// A version of the statement's text: the statement itself, or a copy of a common table expression.
struct Text {
    edits: Edits,
    /// What was replaced for gathering.
    touched: Vec<Range<usize>>,
}

struct Walk<'a> {
    ctx: &'a PlanContext<'a>,
    source: &'a Source<'a>,
    base: Edits,
    /// Ends of select items that have been given a name.
    named: Vec<usize>,
    texts: Vec<Text>,
    references: Vec<Reference>,
    analysis: Analysis,
    /// Common table expressions that are used: the text that they stand in, and where.
    uses: Vec<(usize, Location)>,
    copies: usize,
    repeats_arguments: bool,
    /// The FROM clauses of the queries around the current one, innermost last.
    frames: Vec<Frame>,
    /// `MATCH … AGAINST` in the current query and around it.
    searches: Vec<Search>,
    /// Searches that filter a reference: where they stand, the reference and its filter.
    filtered: Vec<(usize, usize, usize)>,
}

/// Common table expressions in sight.
struct Level<'q> {
    with: &'q With,
    /// Only the first so many can be seen.
    visible: usize,
    /// The one that is being defined is known by this name in its own body.
    own_name: Option<String>,
    text: usize,
    outer: Option<&'q Level<'q>>,
}

/// What a FROM clause, or a part of it, names.
#[derive(Default)]
struct Members {
    all: Vec<usize>,
    /// Those whose rows a condition on the whole may restrict: not the inner side of an outer join.
    kept: Vec<usize>,
}

impl Members {
    fn join(&mut self, other: Members) {
        self.all.extend(other.all);
        self.kept.extend(other.kept);
    }
}

/// A query block's FROM clause.
#[derive(Default)]
struct Block {
    scope: Scope<'static>,
    /// The references that the scope's sources are.
    inputs: Vec<Option<usize>>,
    members: Members,
    /// Columns of several tables are one column: unqualified names mean no certain table.
    is_merged: bool,
}

impl Block {
    fn push(&mut self, source: TableSource, input: Option<usize>) {
        self.scope.sources.push(source);
        self.inputs.push(input);
    }

    fn frame(&self) -> Frame {
        let sources = self.scope.sources.iter().cloned().zip(self.inputs.iter().copied()).collect();
        Frame { sources, is_merged: self.is_merged }
    }
}

impl Walk<'_> {
    fn query(&mut self, query: &Query, outer: Option<&Level<'_>>, text: usize) -> Result<()> {
        let Some(with) = &query.with else { return self.body_of(query, outer, text) };
        let level = Level { with, visible: with.cte_tables.len(), own_name: None, text, outer };
        self.body_of(query, Some(&level), text)?;
        for (index, cte) in with.cte_tables.iter().enumerate() {
            // Servers look at unused ones too.
            if !self.uses.contains(&(text, cte.alias.name.span.start)) {
                self.define(&level, cte, index, None, text)?;
            }
        }
        Ok(())
    }

    fn body_of(&mut self, query: &Query, level: Option<&Level<'_>>, text: usize) -> Result<()> {
        let first = self.references.len();
        self.body(&query.body, query.order_by.as_ref(), level, text)?;
        if !matches!(&*query.body, SetExpr::Select(_)) {
            for expr in order_exprs(query.order_by.as_ref()) {
                self.expression(expr, level, text)?;
            }
        }
        for lock in &query.locks {
            self.lock(lock, query, first)?;
        }
        Ok(())
    }

    fn lock(&mut self, lock: &LockClause, query: &Query, first: usize) -> Result<()> {
        let of = lock.of.as_ref().map(idents).transpose()?;
        let name = of.and_then(|names| names.last().map(|name| name.value.clone()));
        let words = lock_words(lock, query, self.source);
        for reference in &mut self.references[first..] {
            if name.as_ref().is_none_or(|name| **name == *reference.alias) {
                reference.lock.clone_from(&words);
            }
        }
        Ok(())
    }

    fn body(
        &mut self,
        body: &SetExpr,
        order_by: Option<&OrderBy>,
        level: Option<&Level<'_>>,
        text: usize,
    ) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.select(select, order_by, level, text),
            SetExpr::Query(query) => self.query(query, level, text),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left, None, level, text)?;
                self.body(right, None, level, text)
            }
            SetExpr::Values(values) => values
                .rows
                .iter()
                .flat_map(|row| row.content.iter())
                .try_for_each(|expr| self.expression(expr, level, text)),
            other => Err(Error::unsupported(format!("the query {other}"))),
        }
    }

    fn select(
        &mut self,
        select: &Select,
        order_by: Option<&OrderBy>,
        level: Option<&Level<'_>>,
        text: usize,
    ) -> Result<()> {
        let mut block = Block::default();
        let first_search = self.searches.len();
        for table in &select.from {
            let members = self.table_with_joins(table, &mut block, level, text)?;
            block.members.join(members);
        }
        for index in &block.members.all {
            self.references[*index].rivals =
                block.members.all.iter().copied().filter(|i| i != index).collect();
        }
        self.frames.push(block.frame());
        self.join_conditions(select, &block)?;
        if let Some(condition) = &select.selection {
            self.restrict(condition, &block, &block.members, true)?;
            self.expression(condition, level, text)?;
        }
        self.wildcards(select, &block);
        let exprs = item_exprs(select)
            .chain(group_exprs(&select.group_by))
            .chain(&select.having)
            .chain(order_exprs(order_by));
        for expr in exprs {
            self.expression(expr, level, text)?;
        }
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &window.1 {
                let order = spec.order_by.iter().map(|key| &key.expr);
                for expr in spec.partition_by.iter().chain(order) {
                    self.expression(expr, level, text)?;
                }
            }
        }
        self.place_searches(first_search)?;
        self.frames.pop();
        self.keep_names(select, text)
    }

    /// `*` and `t.*` want all columns.
    fn wildcards(&mut self, select: &Select, block: &Block) {
        for item in &select.projection {
            let table = match item {
                SelectItem::Wildcard(_) => None,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    name.0.last().and_then(|part| part.as_ident())
                }
                _ => continue,
            };
            for index in &block.members.all {
                let reference = &mut self.references[*index];
                reference.is_whole |= table.is_none_or(|table| *table.value == *reference.alias);
            }
        }
    }

    fn expression(&mut self, expr: &Expr, level: Option<&Level<'_>>, text: usize) -> Result<()> {
        if let Expr::MatchAgainst { columns, .. } = expr {
            return self.note_search(columns, text);
        }
        walk::parts(expr, &mut |part| match part {
            Part::Expr(expr) => self.expression(expr, level, text),
            Part::Query(query) => self.query(query, level, text),
        })
    }

    fn table_with_joins(
        &mut self,
        table: &TableWithJoins,
        block: &mut Block,
        level: Option<&Level<'_>>,
        text: usize,
    ) -> Result<Members> {
        let mut members = self.table_factor(&table.relation, block, level, text)?;
        for join in &table.joins {
            let right = self.table_factor(&join.relation, block, level, text)?;
            let (side, constraint) = join_kind(join)?;
            match constraint {
                JoinConstraint::On(condition) => self.expression(condition, level, text)?,
                JoinConstraint::Using(_) => block.is_merged = true,
                JoinConstraint::Natural => {
                    block.is_merged = true;
                    for index in members.all.iter().chain(&right.all) {
                        self.references[*index].is_whole = true;
                    }
                }
                JoinConstraint::None => {}
            }
            members = joined(members, right, side);
        }
        Ok(members)
    }

    /// Conditions of joins restrict their operands; known when the whole FROM clause is.
    fn join_conditions(&mut self, select: &Select, block: &Block) -> Result<()> {
        let mut next = 0;
        for table in &select.from {
            self.conditions_of(table, block, &mut next)?;
        }
        Ok(())
    }

    fn conditions_of(&mut self, table: &TableWithJoins, block: &Block, next: &mut usize) -> Result<Members> {
        let mut members = self.members_of(&table.relation, block, next)?;
        for join in &table.joins {
            let right = self.members_of(&join.relation, block, next)?;
            let (side, constraint) = join_kind(join)?;
            let mut restricted = Members::default();
            match side {
                Side::Both => restricted.kept.extend(members.kept.iter().chain(&right.kept)),
                Side::Left => restricted.kept.extend(&right.kept),
                Side::Right => restricted.kept.extend(&members.kept),
            }
            match constraint {
                JoinConstraint::On(condition) => self.restrict(condition, block, &restricted, false)?,
                JoinConstraint::Using(columns) if block.scope.sources.len() == 2 => {
                    let names = columns.iter().filter_map(|name| name.0.last()?.as_ident());
                    if let ([left], [right]) = (members.all.as_slice(), right.all.as_slice()) {
                        names.for_each(|name| self.reduce_by(name, [*left, *right], &restricted.kept));
                    }
                }
                JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => {}
            }
            members = joined(members, right, side);
        }
        Ok(members)
    }

    /// The references of a table factor again, in the order in which they were found.
    fn members_of(&mut self, factor: &TableFactor, block: &Block, next: &mut usize) -> Result<Members> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.conditions_of(table_with_joins, block, next)
            }
            TableFactor::Table { name, alias, .. } => {
                let names = idents(name)?;
                let visible = alias.as_ref().map(|alias| &alias.name).or(names.last().copied());
                let index = block.members.all.get(*next).copied();
                let is_it = |index: &usize| {
                    visible.is_some_and(|name| *name.value == *self.references[*index].alias)
                        && self.references[*index].table.name
                            == *names.last().map_or("", |n| n.value.as_str())
                };
                let index = index.filter(is_it);
                *next += usize::from(index.is_some());
                let all: Vec<usize> = index.into_iter().collect();
                Ok(Members { kept: all.clone(), all })
            }
            _ => Ok(Members::default()),
        }
    }

    fn table_factor(
        &mut self,
        factor: &TableFactor,
        block: &mut Block,
        level: Option<&Level<'_>>,
        text: usize,
    ) -> Result<Members> {
        let open = |name: &str| TableSource {
            name: name.into(),
            columns: Columns { is_open: true, ..Columns::default() },
            merged: Vec::new(),
        };
        let name_of = |alias: &Option<TableAlias>| {
            alias.as_ref().map_or(String::new(), |alias| alias.name.value.clone())
        };
        match factor {
            TableFactor::Table { name, alias, args: None, version, partitions, index_hints, .. } => {
                let names = idents(name)?;
                let [.., table] = names.as_slice() else { return Err(Error::bug("a table without name")) };
                if let [_] = names.as_slice()
                    && (table.value.eq_ignore_ascii_case("dual")
                        || self.common_table(table, alias.as_ref(), level, text)?)
                {
                    block.push(open(alias.as_ref().map_or(&table.value, |a| &a.name.value)), None);
                    return Ok(Members::default());
                }
                if version.is_some() {
                    return Err(Error::unsupported("FOR SYSTEM_TIME over several shards"));
                }
                self.table(name, alias.as_ref(), partitions, !index_hints.is_empty(), block, text)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                self.query(subquery, level, text)?;
                block.push(open(&name_of(alias)), None);
                Ok(Members::default())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.table_with_joins(table_with_joins, block, level, text)
            }
            TableFactor::JsonTable { json_expr, alias, .. } => {
                self.expression(json_expr, level, text)?;
                block.push(open(&name_of(alias)), None);
                Ok(Members::default())
            }
            other => Err(Error::unsupported(format!("the table {other}"))),
        }
    }

    /// A table of some keyspace: its name gives way to that of its gathered rows.
    fn table(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        partitions: &[Ident],
        has_hints: bool,
        block: &mut Block,
        text: usize,
    ) -> Result<Members> {
        let names = idents(name)?;
        let (qualifier, table) = match names.as_slice() {
            [table] => (None, *table),
            [keyspace, table] => (Some(*keyspace), *table),
            _ => return Err(Error::unsupported("a table name of more than two parts")),
        };
        let visible = alias.map_or(table.value.as_str(), |alias| alias.name.value.as_str());
        let found = self.ctx.find_table(qualifier.map(|name| name.value.as_str()), &table.value)?;
        let FoundTable::Table(found) = found else {
            let columns = Columns { is_open: true, ..Columns::default() };
            block.push(TableSource { name: visible.into(), columns, merged: Vec::new() }, None);
            return Ok(Members::default());
        };
        let index = self.references.len();
        let range =
            self.source.ident_range(qualifier.unwrap_or(table))?.start..self.source.ident_range(table)?.end;
        let last = alias.map_or(table, |alias| &alias.name);
        self.replace_table(
            index,
            range,
            &quote(visible),
            last,
            !partitions.is_empty(),
            has_hints,
            alias.is_some(),
            text,
        )?;
        let columns = columns_of(&found, index);
        block.push(TableSource { name: visible.into(), columns, merged: Vec::new() }, Some(index));
        self.analysis.instances.push(Instance { table: found.clone(), is_nullable: false });
        if let TableKind::Pinned(id) = &found.kind {
            let restriction = super::Restriction::Pinned(id.clone());
            self.analysis.bindings.push(super::Binding { instance: index, restriction });
        }
        let partitions = match partitions {
            [] => String::new(),
            names => {
                let names: Vec<_> = names.iter().map(|name| quote(&name.value)).collect();
                format!(" partition ({})", names.join(", "))
            }
        };
        self.references.push(Reference {
            table: found,
            alias: visible.into(),
            is_whole: false,
            filters: Vec::new(),
            reducers: Vec::new(),
            rivals: Vec::new(),
            partitions,
            lock: String::new(),
        });
        Ok(Members { all: vec![index], kept: vec![index] })
    }

    /// Notes what a condition says about the rows of the members that it restricts.
    fn restrict(&mut self, condition: &Expr, block: &Block, members: &Members, is_where: bool) -> Result<()> {
        let mut all = Vec::new();
        conjuncts(condition, &mut all);
        let mut facts = Facts::default();
        for conjunct in &all {
            facts.add(conjunct, &block.scope);
        }
        if !block.is_merged {
            for index in &members.kept {
                facts.apply(&(*index..index + 1), &mut self.analysis);
            }
        }
        let restricted = if is_where { &members.all } else { &members.kept };
        all.iter().for_each(|conjunct| self.reduce(conjunct, restricted));
        for conjunct in all {
            let Some(names) = filter::names(conjunct)? else { continue };
            // Behind an outer join, what NULL cannot satisfy restricts the inner side too.
            let rejects_null = is_where && filter::rejects_null(conjunct);
            let candidates = if rejects_null { &members.all } else { &members.kept };
            for index in candidates {
                let reference = &mut self.references[*index];
                if let Some(filter) = filter_of(conjunct, &names, &reference.alias, block, self.ctx) {
                    reference.filters.push(filter);
                    let filter = reference.filters.len() - 1;
                    if members.kept.contains(index) {
                        self.note_filter(conjunct, *index, filter);
                    }
                }
            }
        }
        Ok(())
    }

    /// `USING (x)` of two references, as [`Self::reduce`].
    fn reduce_by(&mut self, name: &Ident, references: [usize; 2], restricted: &[usize]) {
        let column: Box<str> = name.value.to_lowercase().into();
        for (own, other) in [(references[0], references[1]), (references[1], references[0])] {
            if restricted.contains(&own) {
                let equality = Equality { column: column.clone(), other, other_column: column.clone() };
                self.references[own].reducers.push(equality);
            }
        }
    }

    /// `a.x = b.y`: rows of one side that no row of the other equals are of no use.
    fn reduce(&mut self, conjunct: &Expr, restricted: &[usize]) {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = conjunct else { return };
        let (Some(left), Some(right)) = (self.column(left), self.column(right)) else { return };
        for (own, other) in [(&left, &right), (&right, &left)] {
            if own.0 != other.0 && restricted.contains(&own.0) {
                let (column, other_column) = (own.1.clone(), other.1.clone());
                let equality = Equality { column, other: other.0, other_column };
                let reducers = &mut self.references[own.0].reducers;
                if !reducers.contains(&equality) {
                    reducers.push(equality);
                }
            }
        }
    }

    /// The reference and its column that an expression is, in the current query or one around it.
    fn column(&self, expr: &Expr) -> Option<(usize, Box<str>)> {
        let names = match walk::bare(expr) {
            Expr::Identifier(name) => std::slice::from_ref(name),
            Expr::CompoundIdentifier(names) => names.as_slice(),
            _ => return None,
        };
        self.frames.iter().rev().find_map(|frame| frame.column(names)).flatten()
    }
}

fn filter_of(
    conjunct: &Expr,
    names: &Names<'_>,
    alias: &str,
    block: &Block,
    ctx: &PlanContext<'_>,
) -> Option<GatherFilter> {
    let is_own = names.qualifiers.iter().all(|qualifier| *qualifier == alias);
    if !is_own || !names.is_qualified && block.is_merged {
        return None;
    }
    let text = filter::text(conjunct, ctx.options.mode);
    let mut columns: Vec<Box<str>> = names.columns.iter().map(|name| name.to_lowercase().into()).collect();
    columns.sort_unstable();
    columns.dedup();
    Some(GatherFilter { text, columns, is_qualified: names.is_qualified })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    /// All rows of the left side stay.
    Left,
    Right,
}

fn joined(left: Members, right: Members, side: Side) -> Members {
    let kept = match side {
        Side::Both => left.kept.iter().chain(&right.kept).copied().collect(),
        Side::Left => left.kept.clone(),
        Side::Right => right.kept.clone(),
    };
    let mut all = left.all;
    all.extend(right.all);
    Members { all, kept }
}

fn join_kind(join: &Join) -> Result<(Side, &JoinConstraint)> {
    match &join.join_operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::CrossJoin(c)
        | JoinOperator::StraightJoin(c) => Ok((Side::Both, c)),
        JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => Ok((Side::Left, c)),
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => Ok((Side::Right, c)),
        _ => Err(Error::unsupported("a join that is neither inner nor left nor right")),
    }
}

/// The columns that the VSchema knows of a table.
pub(crate) fn columns_of(table: &Table, instance: usize) -> Columns {
    let mut columns = Columns { known: Vec::new(), is_open: !table.column_list_authoritative };
    let mut add = |name: &str, is_key: bool| {
        if !columns.known.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
            let key = is_key.then(|| KeyColumn { instance, name: name.into() });
            columns.known.push(Output {
                name: name.into(),
                key,
                column_type: ColumnType::default(),
                is_invisible: false,
            });
        }
    };
    if matches!(table.kind, TableKind::Sharded) {
        table.column_vindexes.iter().for_each(|v| v.columns.iter().for_each(|column| add(column, true)));
    }
    table.columns.iter().for_each(|column| add(&column.name, false));
    columns
}
