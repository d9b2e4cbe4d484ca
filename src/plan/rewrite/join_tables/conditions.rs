//! The conditions of a join: which are equalities between tables, and what the others are about.
//!
//! A condition of WHERE that NULL cannot satisfy makes an outer join an inner one. What is left is asked of one table's
//! rows where they are, or, where it may not keep a row from being read, is a column beside them.

use super::sides::Optional;
use super::{Column, Key, Tables, refusal};
use crate::error::Result;
use crate::plan::primitive::{Piece, Query, Template};
use crate::plan::semantics::{conjunct, filter};
use crate::sql::ast::{BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, Select, TableFactor};
use crate::vschema::ColumnType;
use std::cmp::Ordering;

impl Tables<'_> {
    /// Each condition must be about one side or be an equality between both.
    pub(super) fn read_conditions(&mut self) -> Result<()> {
        if self.inputs.len() > 2 {
            return self.read_many();
        }
        let joined = Joined::of(self.select)?;
        self.kept = joined.kept;
        if joined.is_merged {
            self.read_merged();
        }
        let (mut on, mut of_rows) = (Vec::new(), Vec::new());
        joined.on.into_iter().for_each(|condition| conjunct::conjuncts(condition, &mut on));
        self.select.selection.iter().for_each(|condition| conjunct::conjuncts(condition, &mut of_rows));
        if let Some(kept) = self.kept
            && self.rejects_nulls(&of_rows, 1 - kept)?
        {
            self.kept = None;
        }
        for condition in on {
            self.read_condition(condition, self.kept)?;
        }
        for condition in of_rows {
            self.read_condition(condition, self.kept.map(|kept| 1 - kept))?;
        }
        if self.keys.is_empty() { Err(refusal()) } else { Ok(()) }
    }

    /// The same for more than two tables, those that meet on their shards being one side.
    fn read_many(&mut self) -> Result<()> {
        let mut inner = Vec::new();
        let mut optional = Vec::new();
        let joints = joints(self.select)?;
        if joints.len() != self.inputs.len() {
            return Err(refusal());
        }
        for (table, joint) in joints.into_iter().enumerate() {
            let mut on = Vec::new();
            joint.on.into_iter().for_each(|condition| conjunct::conjuncts(condition, &mut on));
            for condition in &on {
                // Servers know no others there.
                let tables = self.tables_of_condition(condition)?.0;
                tables
                    .iter()
                    .all(|known| (joint.first..=table).contains(known))
                    .then_some(())
                    .ok_or_else(refusal)?;
            }
            if joint.is_optional {
                optional.push(Optional { table, on });
            } else {
                inner.extend(on);
            }
        }
        self.select.selection.iter().for_each(|condition| conjunct::conjuncts(condition, &mut inner));
        while let Some(index) = self.not_optional(&optional, &inner)? {
            inner.extend(optional.remove(index).on);
        }
        let keys: Vec<Key> = inner.iter().filter_map(|condition| self.equal_columns(condition)).collect();
        self.form_sides(&keys, &optional);
        optional.iter().try_for_each(|optional| self.place_optional(optional))?;
        let count = self.sides.len();
        (self.filters, self.flags) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        (self.meets, self.is_filtered) = (vec![None; count], vec![false; count]);
        for condition in inner {
            self.read_inner(condition)?;
        }
        self.order = self.order_sides()?;
        for optional in &optional {
            let side = self.side_of_table[optional.table];
            if self.sides[side].is_optional && self.sides[side].tables == [optional.table] {
                self.read_optional(side, optional)?;
            }
        }
        if count > 1 { Ok(()) } else { Err(refusal()) }
    }

    /// The first of the tables that a condition keeps from being all NULLs.
    fn not_optional(&self, optional: &[Optional<'_>], inner: &[&Expr]) -> Result<Option<usize>> {
        for (index, optional) in optional.iter().enumerate() {
            for condition in inner {
                let is_rejected = match self.equal_columns(condition) {
                    Some(key) => key.iter().any(|end| end.table == optional.table),
                    None => {
                        filter::rejects_null(condition)
                            && self.tables_of_condition(condition)?.0 == [optional.table]
                    }
                };
                if is_rejected {
                    return Ok(Some(index));
                }
            }
        }
        Ok(None)
    }

    /// Notes a condition that all rows satisfy.
    fn read_inner(&mut self, condition: &Expr) -> Result<()> {
        let key = self.equal_columns(condition);
        if let Some(key) = &key
            && self.side_of_table[key[0].table] != self.side_of_table[key[1].table]
        {
            self.may_be_key(key)?;
            self.keys.extend(self.equal_columns(condition));
            return Ok(());
        }
        let (side, text) = self.side_of_condition(condition)?;
        if self.sides[side].is_optional {
            self.flags[side].push(text);
        } else {
            self.is_filtered[side] |= key.is_none();
            self.filter(side, text);
        }
        Ok(())
    }

    /// Notes what rows of an optional side must satisfy to meet others.
    fn read_optional(&mut self, side: usize, optional: &Optional<'_>) -> Result<()> {
        for condition in &optional.on {
            if let Some(key) = self.equal_columns(condition)
                && key.iter().any(|end| end.table == optional.table)
            {
                self.may_be_key(&key)?;
                self.keys.push(key);
                continue;
            }
            let (about, text) = self.side_of_condition(condition)?;
            if about == side {
                self.filter(side, text);
            } else if self.order[1] == side {
                self.flags[about].push(text);
            } else {
                let (known, texts) = self.meets[side].get_or_insert_with(|| (about, Vec::new()));
                if *known != about {
                    return Err(refusal());
                }
                texts.push(text);
            }
        }
        Ok(())
    }

    /// Values of some types are not compared as they are shown: better known before the first tables are joined.
    fn may_be_key(&self, key: &Key) -> Result<()> {
        let is_known = |end: &Column| {
            let columns = &self.sources[end.table].columns.known;
            let column = columns.iter().find(|known| known.name.eq_ignore_ascii_case(&end.name));
            column.is_some_and(|column| is_compared_as_shown(column.column_type))
        };
        if key.iter().all(is_known) || self.is_text(key)? { Ok(()) } else { Err(refusal()) }
    }

    /// Of a side only rows that satisfy the condition are read.
    fn filter(&mut self, side: usize, text: Template) {
        let routing = &self.inputs[self.leader(side)].routing;
        if let Query::Template(text) = Query::Template(text).narrowed(routing) {
            self.filters[side].push(text);
        }
    }

    /// `USING` and `NATURAL`: columns that both tables have are equal.
    fn read_merged(&mut self) {
        let merged = self.sources.iter().flat_map(|source| &source.merged);
        let column = |table: usize, name: &str| Column { table, name: name.to_lowercase().into() };
        let pairs: Vec<Key> = merged.map(|name| [column(0, name), column(1, name)]).collect();
        for pair in pairs {
            if !self.keys.contains(&pair) {
                self.keys.push(pair);
            }
        }
    }

    /// Is there a condition that no row of NULLs of the table satisfies?
    fn rejects_nulls(&self, conditions: &[&Expr], table: usize) -> Result<bool> {
        for condition in conditions {
            if self.equal_columns(condition).is_some()
                || filter::rejects_null(condition) && self.side_of_condition(condition)?.0 == table
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes what a condition says. `unread`: it must not keep rows of that table from being read.
    pub(super) fn read_condition(&mut self, condition: &Expr, unread: Option<usize>) -> Result<()> {
        if let Some(pair) = self.equal_columns(condition) {
            self.keys.push(pair);
            return Ok(());
        }
        let (table, text) = self.side_of_condition(condition)?;
        self.is_filtered[table] |= unread != Some(table);
        if unread == Some(table) {
            self.flags[table].push(text);
        } else {
            self.filter(table, text);
        }
        Ok(())
    }

    /// The side that a condition is about, and its text.
    fn side_of_condition(&self, condition: &Expr) -> Result<(usize, Template)> {
        let (tables, text) = self.tables_of_condition(condition)?;
        Ok((self.one_side(&tables)?.ok_or_else(refusal)?, text))
    }

    /// The tables that a condition is about, and its text.
    pub(super) fn tables_of_condition(&self, condition: &Expr) -> Result<(Vec<usize>, Template)> {
        if filter::names(condition)?.is_none() {
            return Err(refusal());
        }
        let text = filter::text(condition, self.ctx.options.mode);
        let tables = self.tables_of(&text.pieces)?;
        if tables.is_empty() { Err(refusal()) } else { Ok((tables, text)) }
    }

    /// The columns of different tables that a condition says to be equal.
    pub(super) fn equal_columns(&self, condition: &Expr) -> Option<Key> {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
        let (left, right) = (self.column(left)?, self.column(right)?);
        match left.table.cmp(&right.table) {
            Ordering::Less => Some([left, right]),
            Ordering::Equal => None,
            Ordering::Greater => Some([right, left]),
        }
    }
    /// The conditions that a side's rows have as a column of theirs, 0 or 1.
    pub(super) fn flag(&self, side: usize) -> Option<Vec<Piece>> {
        (!self.flags[side].is_empty()).then(|| Self::flag_of(&self.flags[side]))
    }

    /// Conditions as a column, 0 or 1.
    pub(super) fn flag_of(flags: &[Template]) -> Vec<Piece> {
        let mut pieces = vec![Piece::text("(1")];
        for flag in flags {
            pieces.push(Piece::text(" and ("));
            pieces.extend(flag.pieces.iter().cloned());
            pieces.push(Piece::text(")"));
        }
        pieces.push(Piece::text(") is true"));
        pieces
    }

    /// The table whose columns those are that both have and `*` shows once.
    pub(super) fn shown(&self) -> usize {
        usize::from(!self.sources[0].merged.is_empty())
    }

    /// The columns that both tables have and `*` shows once, as it names them.
    pub(super) fn merged(&self) -> Vec<Box<str>> {
        let (shown, hidden) = (&self.sources[self.shown()], &self.sources[1 - self.shown()]);
        let names = shown.columns.visible().map(|column| &column.name);
        names.filter(|name| hidden.has_merged(name)).cloned().collect()
    }
}

/// A FROM clause of two plain tables.
struct Joined<'a> {
    on: Option<&'a Expr>,
    /// The table all of whose rows stay.
    kept: Option<usize>,
    /// Columns of the same name are one.
    is_merged: bool,
}

impl<'a> Joined<'a> {
    fn of(select: &'a Select) -> Result<Self> {
        let plain = Self { on: None, kept: None, is_merged: false };
        match select.from.as_slice() {
            [a, b] if a.joins.is_empty() && b.joins.is_empty() => {
                (is_plain(&a.relation) && is_plain(&b.relation)).then_some(plain).ok_or_else(refusal)
            }
            [table] => {
                let [join] = table.joins.as_slice() else { return Err(refusal()) };
                if !is_plain(&table.relation) || !is_plain(&join.relation) {
                    return Err(refusal());
                }
                let (kept, constraint) = kind(join)?;
                Ok(match constraint {
                    JoinConstraint::On(condition) => Self { on: Some(condition), kept, ..plain },
                    JoinConstraint::None => Self { kept, ..plain },
                    JoinConstraint::Natural | JoinConstraint::Using(_) => {
                        Self { kept, is_merged: true, ..plain }
                    }
                })
            }
            _ => Err(refusal()),
        }
    }
}

/// How a table of a longer FROM clause is joined with those before it.
struct Joint<'a> {
    on: Option<&'a Expr>,
    /// Its rows may be missing.
    is_optional: bool,
    /// The first of the tables that its condition may be about.
    first: usize,
}

/// One for each table of the FROM clause.
fn joints(select: &Select) -> Result<Vec<Joint<'_>>> {
    let mut joints = Vec::new();
    for table in &select.from {
        let first = joints.len();
        joints.push(Joint { on: None, is_optional: false, first });
        let factors = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
        if !factors.clone().all(is_plain) {
            return Err(refusal());
        }
        for join in &table.joins {
            let (kept, constraint) = kind(join)?;
            let on = match constraint {
                JoinConstraint::On(condition) => Some(condition),
                JoinConstraint::None => None,
                JoinConstraint::Natural | JoinConstraint::Using(_) => return Err(refusal()),
            };
            if kept == Some(1) {
                return Err(refusal());
            }
            joints.push(Joint { on, is_optional: kept.is_some(), first });
        }
    }
    Ok(joints)
}

fn is_compared_as_shown(column_type: ColumnType) -> bool {
    use ColumnType as T;
    let is_integer = column_type.is_integral() && column_type != T::Year;
    is_integer
        || matches!(column_type, T::Date | T::Time | T::DateTime | T::Decimal | T::VarBinary | T::Binary)
}

fn kind(join: &Join) -> Result<(Option<usize>, &JoinConstraint)> {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::StraightJoin(constraint) => Ok((None, constraint)),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => Ok((Some(0), constraint)),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => Ok((Some(1), constraint)),
        _ => Err(refusal()),
    }
}

pub(super) fn is_plain(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Table { args: None, version: None, with_hints, index_hints, partitions, .. }
        if with_hints.is_empty() && index_hints.is_empty() && partitions.is_empty())
}
