//! UPDATE and DELETE of rows that are read first: over several shards with LIMIT, with joins or sub-queries that reach
//! over shards, or with a sharding key that changes. What Vitess calls DML with input.

use std::ops::Range;
use std::sync::Arc;

use super::assigned_variables::{self, Sequence};
use super::change_text::ChangeText;
use crate::error::{Error, Result};
use crate::plan::primitive::{
    Assigned, AssignedValue, Change, Check, Query, ReadFirst, RouteValue, TableRef, Target, Update,
};
use crate::plan::semantics::conjunct::constant;
use crate::plan::semantics::walk::{self, Part, bare};
use crate::plan::semantics::{Analysis, Scope, session};
use crate::plan::source::Source;
use crate::plan::{FoundTable, PlanContext};
use crate::sql::ast::{self, Expr, Ident, ObjectName, TableFactor, TableWithJoins};
use crate::vschema::{Table, TableKind};

/// A table that an UPDATE or DELETE names outside of sub-queries.
pub(super) struct Reference {
    alias: Box<str>,
    table: Arc<Table>,
}

/// One assignment of SET, as it was found.
pub(super) struct Assignment<'a> {
    target: usize,
    column: &'a Ident,
    value: &'a Expr,
}

/// The tables that can be changed. Derived tables cannot be and are left out.
pub(super) fn references(ctx: &PlanContext<'_>, tables: &[&TableWithJoins]) -> Result<Vec<Reference>> {
    let mut found = Vec::new();
    for table in tables {
        add_references(ctx, table, &mut found)?;
    }
    Ok(found)
}

fn add_references(ctx: &PlanContext<'_>, table: &TableWithJoins, found: &mut Vec<Reference>) -> Result<()> {
    let factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
    for factor in factors {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let names: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
                let (qualifier, table) = match names.as_slice() {
                    [table] => (None, *table),
                    [qualifier, table] => (Some(qualifier.value.as_str()), *table),
                    _ => return Err(Error::unsupported("a table name of more than two parts")),
                };
                // Unknown names may be those of common tables, which cannot be changed.
                if let Ok(FoundTable::Table(known)) = ctx.find_table(qualifier, &table.value) {
                    let alias = alias.as_ref().map_or(&table.value, |alias| &alias.name.value);
                    found.push(Reference { alias: alias.as_str().into(), table: known });
                }
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                add_references(ctx, table_with_joins, found)?;
            }
            _ => {}
        }
    }
    Ok(())
}

impl Reference {
    /// The table.
    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }
}

/// Which references a DELETE changes: those that it names as targets, or its only one.
pub(super) fn deleted(references: &[Reference], targets: &[ObjectName]) -> Result<Vec<usize>> {
    if targets.is_empty() {
        return if references.is_empty() { Err(not_found("")) } else { Ok(vec![0]) };
    }
    let index = |target: &ObjectName| {
        let name = target.0.last().and_then(|part| part.as_ident()).map_or("", |name| name.value.as_str());
        references.iter().position(|known| *known.alias == *name).ok_or_else(|| not_found(name))
    };
    targets.iter().map(index).collect()
}

/// Which columns of which references an UPDATE assigns to.
pub(super) fn assigned<'a>(
    references: &[Reference],
    scope: &Scope<'_>,
    assignments: &'a [ast::Assignment],
) -> Result<Vec<Assignment<'a>>> {
    let find = |assignment: &'a ast::Assignment| {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(Error::unsupported("assignment to several columns"));
        };
        let names: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let target = match names.as_slice() {
            [.., table, column] => owner(references, scope, Some(&table.value), &column.value),
            [column] => owner(references, scope, None, &column.value),
            [] => None,
        };
        let column = names.last().ok_or_else(|| Error::bug("an assignment to nothing"))?;
        let target = target.ok_or_else(|| not_found(&column.value))?;
        Ok(Assignment { target, column, value: &assignment.value })
    };
    assignments.iter().map(find).collect()
}

impl Assignment<'_> {
    /// Does it change a column of the vindex at this position of the table?
    pub(super) fn changes_vindex(&self, references: &[Reference], position: Range<usize>) -> bool {
        let vindexes = &references[self.target].table.column_vindexes;
        let position = position.start.min(vindexes.len())..position.end.min(vindexes.len());
        vindexes[position].iter().any(|vindex| vindex.columns.iter().any(|c| *c == *self.column.value))
    }

    /// Does it change a column of a vindex that is a function but does not place rows?
    pub(super) fn changes_function(&self, references: &[Reference]) -> bool {
        let others = references[self.target].table.column_vindexes.iter().skip(1);
        others
            .filter(|vindex| !vindex.vindex.is_lookup())
            .any(|vindex| vindex.columns.iter().any(|column| *column == *self.column.value))
    }

    /// Is it a change of a table whose sharding key changes in the same statement?
    fn changes_key(&self, all: &[Self], references: &[Reference]) -> bool {
        all.iter().any(|other| other.target == self.target && other.changes_vindex(references, 0..1))
    }

    /// The reference that it changes.
    pub(super) fn target(&self) -> usize {
        self.target
    }

    /// The column.
    pub(super) fn column(&self) -> &str {
        &self.column.value
    }
}

fn not_found(name: &str) -> Error {
    Error::unsupported(format!("a change of {name}, whose table is not certain,"))
}

/// The reference that a column belongs to: by its qualifier, or because only one can have it.
fn owner(references: &[Reference], scope: &Scope<'_>, table: Option<&str>, column: &str) -> Option<usize> {
    if let Some(table) = table {
        return references.iter().position(|known| *known.alias == *table);
    }
    if references.len() == 1 && scope.sources.len() == 1 {
        return Some(0);
    }
    let has = |source: &&crate::plan::semantics::TableSource| {
        source.columns.known.iter().any(|known| known.name.eq_ignore_ascii_case(column))
    };
    let mut owners = scope.sources.iter().filter(has);
    let source = match (owners.next(), owners.next()) {
        (Some(source), None) => source,
        (None, _) => {
            let mut open = scope.sources.iter().filter(|source| source.columns.is_open);
            open.next().filter(|_| open.next().is_none())?
        }
        _ => return None,
    };
    references.iter().position(|known| known.alias == source.name)
}

/// What reading and changing need beside the statement itself.
pub(super) struct Given<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) analysis: &'a Analysis,
    pub(super) references: &'a [Reference],
    pub(super) scope: &'a Scope<'a>,
    /// The statement has ORDER BY or LIMIT.
    pub(super) is_ordered: bool,
    pub(super) limit: Option<&'a Expr>,
    /// New values are read along wherever that is possible.
    pub(super) keeps_values: bool,
}

impl Given<'_> {
    /// A DELETE of these references' rows.
    pub(super) fn delete(&self, text: &ChangeText, targets: &[usize]) -> Result<ReadFirst> {
        let change =
            |index: &usize| self.target(*index, Change::Delete { modifiers: text.modifiers.as_str().into() });
        let targets = targets.iter().map(change).collect::<Result<_>>()?;
        let from = ChangeText::own_words(self.source, &text.tables);
        self.read_first(text, from, Vec::new(), targets)
    }

    /// An UPDATE.
    pub(super) fn update(&self, text: &ChangeText, assignments: &[Assignment<'_>]) -> Result<ReadFirst> {
        if text.values.len() != assignments.len() {
            return Err(Error::bug("another number of values than of columns in SET"));
        }
        let assigns = session::assigns(self.source);
        let mut values = Vec::new();
        let mut targets: Vec<(usize, Vec<Assigned>)> = Vec::new();
        for (position, (assignment, range)) in assignments.iter().zip(&text.values).enumerate() {
            let names_variables = assigns && assigned_variables::are_named(self.source, range);
            let value = if !names_variables && self.is_own(assignment)? {
                AssignedValue::Expression(self.source.pieces(range.clone(), &self.analysis.all_edits()))
            } else {
                refuse_changed_columns(assignment, &assignments[..position])?;
                values.push(ChangeText::own_words(self.source, range));
                AssignedValue::Read(u32::try_from(values.len() - 1).unwrap_or(u32::MAX))
            };
            let before = match &value {
                AssignedValue::Read(index) => Some(*index),
                // A moving row has to be found again under its new key.
                AssignedValue::Expression(_)
                    if (self.keeps_values || assignment.changes_key(assignments, self.references))
                        && !is_default(assignment.value)
                        && refuse_changed_columns(assignment, &assignments[..position]).is_ok() =>
                {
                    values.push(ChangeText::own_words(self.source, range));
                    u32::try_from(values.len() - 1).ok()
                }
                AssignedValue::Expression(_) => None,
            };
            let assigned = Assigned { column: assignment.column.value.as_str().into(), value, before };
            match targets.iter_mut().find(|(target, _)| *target == assignment.target) {
                Some((_, all)) => all.push(assigned),
                None => targets.push((assignment.target, vec![assigned])),
            }
        }
        let order = self.source.pieces(text.order.clone(), &self.analysis.all_edits());
        let order = if self.scope.sources.len() == 1 { order } else { Default::default() };
        let change = |(index, assigned): (usize, Vec<Assigned>)| {
            let moves =
                assignments.iter().any(|a| a.target == index && a.changes_vindex(self.references, 0..1));
            let change = Update {
                modifiers: text.modifiers.as_str().into(),
                assignments: assigned,
                order: order.clone(),
                moves,
                new_key: self.new_key(index, assignments),
            };
            self.target(index, Change::Update(Box::new(change)))
        };
        let targets = targets.into_iter().map(change).collect::<Result<_>>()?;
        let mut from = ChangeText::own_words(self.source, &text.tables);
        from.push_text(b" ");
        for piece in ChangeText::own_words(self.source, &text.rest).pieces {
            match piece {
                crate::plan::primitive::Piece::Text(text) => from.push_text(&text),
                piece => from.pieces.push(piece),
            }
        }
        self.read_first(text, from, values, targets)
    }

    fn read_first(
        &self,
        text: &ChangeText,
        from: crate::plan::primitive::Template,
        values: Vec<crate::plan::primitive::Template>,
        targets: Vec<Target>,
    ) -> Result<ReadFirst> {
        let in_sequence = match assigned_variables::sequence(self.source, text)? {
            Sequence::Any => false,
            Sequence::Rows if self.scope.sources.len() == 1 && text.with.is_empty() => true,
            Sequence::Rows => return Err(Error::unsupported(session::ASSIGNS)),
        };
        let mut keyspaces = self.analysis.tables.iter().map(|(keyspace, _)| keyspace);
        let first = keyspaces.next().cloned().flatten();
        let check = first.filter(|first| {
            !self.analysis.places.system && keyspaces.all(|other| other.as_ref() == Some(first))
        });
        let query: Query = self.source.query(&self.analysis.all_edits());
        Ok(ReadFirst {
            check: check.map(|keyspace| Check { keyspace, query }),
            with: ChangeText::own_words(self.source, &text.with),
            from,
            values,
            limit: self.limit.and_then(constant),
            is_joined: self.scope.sources.len() > 1,
            is_ordered: self.is_ordered,
            in_sequence,
            whole: None,
            targets,
        })
    }

    fn target(&self, index: usize, change: Change) -> Result<Target> {
        let Reference { alias, table } = &self.references[index];
        if matches!(table.kind, TableKind::Sequence) {
            return Err(Error::unsupported("changes of a sequence together with other tables"));
        }
        Ok(Target { table: TableRef(table.clone()), alias: alias.clone(), change })
    }

    /// Can the row's own server evaluate the value, given the row alone?
    fn is_own(&self, assignment: &Assignment<'_>) -> Result<bool> {
        if self.scope.sources.len() == 1 && !has_query(assignment.value)? {
            return Ok(true);
        }
        self.is_of(assignment.value, assignment.target)
    }

    fn is_of(&self, expr: &Expr, target: usize) -> Result<bool> {
        let is_target = |table: Option<&str>, column: &str| {
            owner(self.references, self.scope, table, column) == Some(target)
        };
        match bare(expr) {
            Expr::Identifier(column) => {
                // Variables look like columns, and so does DEFAULT.
                let is_column =
                    !column.value.starts_with('@') && !column.value.eq_ignore_ascii_case("default");
                Ok(!is_column || is_target(None, &column.value))
            }
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [.., table, column] => Ok(is_target(Some(&table.value), &column.value)),
                _ => Ok(false),
            },
            other => {
                let mut is_own = true;
                walk::parts(other, &mut |part| {
                    is_own &= match part {
                        Part::Expr(part) => self.is_of(part, target)?,
                        Part::Query(_) => false,
                    };
                    Ok(())
                })?;
                Ok(is_own)
            }
        }
    }

    /// The new values of the primary vindex's columns, if all are assigned constants.
    fn new_key(&self, target: usize, assignments: &[Assignment<'_>]) -> Option<Vec<RouteValue>> {
        let vindex = self.references[target].table.column_vindexes.first()?;
        let value = |column: &crate::vschema::ColumnName| {
            let last = assignments.iter().rfind(|a| a.target == target && *column == *a.column.value)?;
            constant(last.value)
        };
        vindex.columns.iter().map(value).collect()
    }
}

/// SET goes from left to right: what is read before any change must not depend on one.
fn refuse_changed_columns(assignment: &Assignment<'_>, before: &[Assignment<'_>]) -> Result<()> {
    let text = assignment.value.to_string().to_ascii_lowercase();
    let words: Vec<&str> = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).collect();
    let changed = before.iter().find(|other| {
        other.target == assignment.target && words.contains(&other.column.value.to_ascii_lowercase().as_str())
    });
    match changed {
        Some(other) => Err(Error::unsupported(format!(
            "a value of SET that is not of its own row and depends on {}, which is changed before",
            other.column.value
        ))),
        None => Ok(()),
    }
}

fn is_default(expr: &Expr) -> bool {
    matches!(bare(expr), Expr::Identifier(name) if name.value.eq_ignore_ascii_case("default"))
}

fn has_query(expr: &Expr) -> Result<bool> {
    walk::has_subquery(expr)
}
