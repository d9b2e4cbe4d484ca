//! FROM clauses: tables, derived tables, joins.

use std::ops::Range;

use super::analyze::{Analyzer, Ctes};
use super::conjunct::Facts;
use super::{Binding, Columns, Instance, KeyColumn, Output, Resolved, Restriction, Scope, TableSource};
use crate::error::{Error, Result};
use crate::plan::primitive::Piece;
use crate::plan::source::quote;
use crate::plan::{FoundTable, is_system_schema};
use crate::sql::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, NamedWindowDefinition, NamedWindowExpr, ObjectName,
    TableAlias, TableFactor, TableWithJoins,
};
use crate::vschema::{ColumnType, TableKind};

/// Which side of a join keeps its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outer {
    Left,
    None,
    Right,
}

impl Analyzer<'_> {
    /// A table and what is joined to it; tables separated by commas come one by one.
    pub(crate) fn table_with_joins(
        &mut self,
        table: &TableWithJoins,
        scope: &mut Scope<'_>,
        ctes: &Ctes<'_>,
    ) -> Result<()> {
        let (first, first_source) = (self.analysis.instances.len(), scope.sources.len());
        self.table_factor(&table.relation, scope, ctes)?;
        for join in &table.joins {
            let (right, right_source) = (self.analysis.instances.len(), scope.sources.len());
            self.table_factor(&join.relation, scope, ctes)?;
            let (outer, constraint) = join_kind(join)?;
            let end = self.analysis.instances.len();
            let allowed = match outer {
                Outer::Left => right..end,
                Outer::None => first..end,
                Outer::Right => first..right,
            };
            if outer != Outer::None {
                self.analysis.instances[allowed.clone()].iter_mut().for_each(|i| i.is_nullable = true);
            }
            match constraint {
                JoinConstraint::On(condition) => self.restrict(condition, scope, &allowed, ctes)?,
                JoinConstraint::Using(columns) => {
                    self.using(columns, scope, first_source..right_source, &allowed, outer);
                }
                JoinConstraint::Natural => self.natural(scope, first_source..right_source, &allowed, outer),
                JoinConstraint::None => {}
            }
        }
        Ok(())
    }

    /// `USING (a, b)`: the columns of both sides are equal and become one.
    fn using(
        &mut self,
        columns: &[ObjectName],
        scope: &mut Scope<'_>,
        left: Range<usize>,
        allowed: &Range<usize>,
        outer: Outer,
    ) {
        let mut facts = Facts::default();
        for name in columns.iter().filter_map(|name| name.0.last().and_then(|part| part.as_ident())) {
            let side = |sources: &[TableSource]| {
                Scope { sources: sources.to_vec(), parent: None }.resolve(std::slice::from_ref(name))
            };
            let sides = (side(&scope.sources[left.clone()]), side(&scope.sources[left.end..]));
            if let (Resolved::Key(left), Resolved::Key(right)) = sides {
                facts.add_equal_columns(left, right);
            }
            let hidden = if outer == Outer::Right { left.clone() } else { left.end..scope.sources.len() };
            scope.sources[hidden]
                .iter_mut()
                .for_each(|source| source.merged.push(name.value.as_str().into()));
        }
        facts.apply(allowed, &mut self.analysis);
    }

    /// `NATURAL`: columns that both sides are known to have are equal and become one; there may be more.
    fn natural(&mut self, scope: &mut Scope<'_>, left: Range<usize>, allowed: &Range<usize>, outer: Outer) {
        let mut facts = Facts::default();
        let own = |sources: &[TableSource]| {
            let each = sources.iter().flat_map(|source| {
                source.columns.visible().filter(|column| !source.has_merged(&column.name)).cloned()
            });
            each.collect::<Vec<Output>>()
        };
        let right = left.end..scope.sources.len();
        let right_columns = own(&scope.sources[right.clone()]);
        let hidden = if outer == Outer::Right { left.clone() } else { right };
        for column in own(&scope.sources[left]) {
            let mut same = right_columns.iter().filter(|other| other.name.eq_ignore_ascii_case(&column.name));
            let (Some(other), None) = (same.next(), same.next()) else { continue };
            if let (Some(left), Some(right)) = (&column.key, &other.key) {
                facts.add_equal_columns(left.clone(), right.clone());
            }
            scope.sources[hidden.clone()]
                .iter_mut()
                .for_each(|source| source.merged.push(column.name.clone()));
        }
        facts.apply(allowed, &mut self.analysis);
    }

    fn table_factor(&mut self, factor: &TableFactor, scope: &mut Scope<'_>, ctes: &Ctes<'_>) -> Result<()> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                self.table(name, alias.as_ref(), scope, ctes)
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                let parent = if *lateral { Some(&*scope) } else { scope.parent };
                let block = self.query(subquery, parent, ctes)?;
                let name = alias.as_ref().map_or("", |alias| alias.name.value.as_str());
                self.derived(name, alias.as_ref(), block, scope);
                Ok(())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.table_with_joins(table_with_joins, scope, ctes)
            }
            TableFactor::JsonTable { json_expr, alias, .. } => {
                self.expression(json_expr, scope, ctes)?;
                let name = alias.as_ref().map_or("", |alias| alias.name.value.as_str()).into();
                let columns = Columns { is_open: true, ..Columns::default() };
                scope.sources.push(TableSource { name, columns, merged: Vec::new() });
                Ok(())
            }
            other => Err(Error::unsupported(format!("the table {other}"))),
        }
    }

    fn derived(
        &mut self,
        name: &str,
        alias: Option<&TableAlias>,
        block: super::Block,
        scope: &mut Scope<'_>,
    ) {
        if !block.instances.is_empty()
            && let Some(blocker) = block.blocker()
        {
            self.analysis.block(blocker);
        }
        let mut columns = block.outputs;
        let names = alias.map_or(&[][..], |alias| alias.columns.as_slice());
        if !names.is_empty() {
            if columns.is_open {
                columns.known.clear();
            }
            for (index, name) in names.iter().enumerate() {
                let key = columns.known.get_mut(index).and_then(|output| output.key.take());
                let column_type =
                    columns.known.get(index).map_or(ColumnType::default(), |output| output.column_type);
                let output =
                    Output { name: name.name.value.as_str().into(), key, column_type, is_invisible: false };
                if index < columns.known.len() {
                    columns.known[index] = output;
                } else {
                    columns.known.push(output);
                }
            }
            columns.is_open = false;
        }
        let source = TableSource { name: name.into(), columns, merged: Vec::new() };
        scope.sources.push(source);
    }

    /// A named table: a common table expression, a system table, or a table of some keyspace.
    fn table(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
        ctes: &Ctes<'_>,
    ) -> Result<()> {
        let idents = idents(name)?;
        let [.., table] = idents.as_slice() else { return Err(Error::bug("a table without name")) };
        if let [_] = idents.as_slice() {
            if let Some(block) = self.common_table(&table.value, scope.parent, ctes)? {
                let name = alias.map_or(table.value.as_str(), |alias| alias.name.value.as_str());
                self.derived(name, alias, block, scope);
                return Ok(());
            }
            if table.value.eq_ignore_ascii_case("dual") {
                return Ok(());
            }
        }
        let visible = alias.map_or(table.value.as_str(), |alias| alias.name.value.as_str());
        if let Some(block) = self.view(&idents)? {
            self.derived(visible, alias, block, scope);
            return Ok(());
        }
        let found = self.named_table(&idents, alias.is_some())?;
        let columns = self.add_table(found);
        scope.sources.push(TableSource { name: visible.into(), columns, merged: Vec::new() });
        Ok(())
    }

    /// Looks the name up and fits its text to the servers, where there are neither keyspaces nor routing
    /// rules.
    pub(crate) fn named_table(&mut self, idents: &[&Ident], has_alias: bool) -> Result<FoundTable> {
        let (qualifier, table) = match idents {
            [table] => (None, table),
            [keyspace, table] => (Some(*keyspace), table),
            _ => return Err(Error::unsupported("a table name of more than two parts")),
        };
        let found = self.ctx.find_table(qualifier.map(|name| name.value.as_str()), &table.value)?;
        let FoundTable::Table(resolved) = &found else { return Ok(found) };
        if let Some(qualifier) = qualifier {
            let range = self.source.ident_range(qualifier)?.start..self.source.ident_range(table)?.start;
            self.analysis.edits.remove(range);
        }
        if *resolved.name != *table.value {
            let range = self.source.ident_range(table)?;
            let mut text = quote(&resolved.name);
            if !has_alias {
                text.push_str(" as ");
                text.push_str(&quote(&table.value));
            }
            self.analysis.edits.replace(range, vec![Piece::text(&text)]);
        }
        Ok(found)
    }

    /// Notes where a table is and gives its known columns.
    pub(crate) fn add_table(&mut self, found: FoundTable) -> Columns {
        let places = &mut self.analysis.places;
        let FoundTable::Table(table) = found else {
            places.system = true;
            return Columns { is_open: true, ..Columns::default() };
        };
        let entry = (Some(table.keyspace.clone()), table.name.as_str().into());
        if !self.analysis.tables.contains(&entry) {
            self.analysis.tables.push(entry);
        }
        let place = match &table.kind {
            TableKind::Reference { .. } => &mut places.reference,
            TableKind::Sharded | TableKind::Pinned(_) => &mut places.sharded,
            TableKind::Sequence | TableKind::Unsharded => &mut places.unsharded,
        };
        match place {
            Some(known) if *known != table.keyspace => places.is_mixed = true,
            _ => *place = Some(table.keyspace.clone()),
        }
        let instance = self.analysis.instances.len();
        let is_sharded = matches!(table.kind, TableKind::Sharded);
        let mut columns = Columns { known: Vec::new(), is_open: !table.column_list_authoritative };
        let mut add = |name: &str, is_key: bool| {
            if !columns.known.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
                let key = is_key.then(|| KeyColumn { instance, name: name.into() });
                let column = table.column(name);
                let column_type = column.map_or(ColumnType::default(), |column| column.column_type);
                let is_invisible = column.is_some_and(|column| column.is_invisible);
                columns.known.push(Output { name: name.into(), key, column_type, is_invisible });
            }
        };
        // A complete list has the order of `*`; otherwise only the names count.
        if table.column_list_authoritative {
            let is_key = |name: &str| {
                is_sharded
                    && table
                        .column_vindexes
                        .iter()
                        .any(|v| v.columns.iter().any(|c| c.eq_ignore_ascii_case(name)))
            };
            table.columns.iter().for_each(|column| add(&column.name, is_key(&column.name)));
        }
        for vindex in table.column_vindexes.iter().filter(|_| is_sharded) {
            vindex.columns.iter().for_each(|column| add(column, true));
        }
        table.columns.iter().for_each(|column| add(&column.name, false));
        if is_sharded || matches!(table.kind, TableKind::Pinned(_)) {
            if let TableKind::Pinned(id) = &table.kind {
                let restriction = Restriction::Pinned(id.clone());
                self.analysis.bindings.push(Binding { instance, restriction });
            }
            self.analysis.instances.push(Instance { table, is_nullable: false });
        }
        columns
    }

    /// The common table expression of that name, analysed for this use.
    fn common_table(
        &mut self,
        name: &str,
        parent: Option<&Scope<'_>>,
        ctes: &Ctes<'_>,
    ) -> Result<Option<super::Block>> {
        let mut level = Some(ctes);
        while let Some(ctes) = level {
            if let Some(with) = ctes.with {
                let visible = &with.cte_tables[..ctes.visible];
                if let Some(index) = visible.iter().rposition(|cte| cte.alias.name.value == name) {
                    let cte = &with.cte_tables[index];
                    self.used_ctes.push(cte.alias.name.span.start);
                    let mut block = self.cte_query(cte, index, parent, ctes)?;
                    rename(&mut block, &cte.alias);
                    return Ok(Some(block));
                }
                let own = with
                    .cte_tables
                    .get(ctes.visible)
                    .filter(|cte| with.recursive && cte.alias.name.value == name);
                if own.is_some() {
                    // The recursive mention: rows made so far, of which nothing is known.
                    self.analysis.block("a recursive common table expression over several shards");
                    let outputs = Columns { is_open: true, ..Columns::default() };
                    return Ok(Some(super::Block { outputs, ..super::Block::default() }));
                }
            }
            level = ctes.outer;
        }
        Ok(None)
    }

    /// `keyspace.table.column`: servers know the table only.
    pub(super) fn strip_column_qualifier(&mut self, names: &[Ident]) -> Result<()> {
        match names {
            [keyspace, table, _] if !is_system_schema(&keyspace.value) => {
                let range = self.source.ident_range(keyspace)?.start..self.source.ident_range(table)?.start;
                self.analysis.edits.remove(range);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The target of an assignment: `[[keyspace.]table.]column`.
    pub(crate) fn strip_target_qualifier(&mut self, names: &[Ident]) -> Result<()> {
        self.strip_column_qualifier(names)
    }

    /// `keyspace.table.*`
    pub(crate) fn strip_table_qualifier(&mut self, name: &ObjectName) -> Result<()> {
        if let [keyspace, table] = idents(name)?.as_slice()
            && !is_system_schema(&keyspace.value)
        {
            let range = self.source.ident_range(keyspace)?.start..self.source.ident_range(table)?.start;
            self.analysis.edits.remove(range);
        }
        Ok(())
    }

    /// The expressions of `WINDOW w AS (…)`.
    pub(super) fn named_window(
        &mut self,
        window: &NamedWindowDefinition,
        scope: &Scope<'_>,
        ctes: &Ctes<'_>,
    ) -> Result<()> {
        let NamedWindowExpr::WindowSpec(spec) = &window.1 else { return Ok(()) };
        let order = spec.order_by.iter().map(|key| &key.expr);
        spec.partition_by.iter().chain(order).try_for_each(|expr: &Expr| self.expression(expr, scope, ctes))
    }
}

/// The identifiers of a dotted name.
pub(crate) fn idents(name: &ObjectName) -> Result<Vec<&Ident>> {
    let all: Option<Vec<_>> = name.0.iter().map(|part| part.as_ident()).collect();
    all.ok_or_else(|| Error::unsupported(format!("the name {name}")))
}

fn rename(block: &mut super::Block, alias: &TableAlias) {
    if alias.columns.is_empty() {
        return;
    }
    if block.outputs.is_open {
        block.outputs = Columns { is_open: true, ..Columns::default() };
        return;
    }
    for (output, column) in block.outputs.known.iter_mut().zip(&alias.columns) {
        output.name = column.name.value.as_str().into();
    }
}

fn join_kind(join: &Join) -> Result<(Outer, &JoinConstraint)> {
    match &join.join_operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::CrossJoin(c)
        | JoinOperator::StraightJoin(c) => Ok((Outer::None, c)),
        JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => Ok((Outer::Left, c)),
        JoinOperator::Right(c) | JoinOperator::RightOuter(c) => Ok((Outer::Right, c)),
        _ => Err(Error::unsupported("a join that is neither inner nor left nor right")),
    }
}
