//! The conditions of a join of two tables: which are equalities between both, and what the others are about.
//!
//! A condition of WHERE that NULL cannot satisfy makes an outer join an inner one. What is left is asked of one table's
//! rows where they are, or, where it may not keep a row from being read, is a column beside them.

use super::{Tables, refusal};
use crate::error::Result;
use crate::plan::primitive::{Piece, Query, Template};
use crate::plan::semantics::{conjunct, filter};
use crate::sql::ast::{BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, Select, TableFactor};

impl Tables<'_> {
    /// Each condition must be about one side or be an equality between both.
    pub(super) fn read_conditions(&mut self) -> Result<()> {
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

    /// `USING` and `NATURAL`: columns that both tables have are equal.
    fn read_merged(&mut self) {
        let merged = self.sources.iter().flat_map(|source| &source.merged);
        let pairs: Vec<_> = merged
            .map(|name| name.to_lowercase().into())
            .map(|name: Box<str>| [name.clone(), name])
            .collect();
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
                || filter::rejects_null(condition) && self.table_of(condition)?.0 == table
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
        let (table, text) = self.table_of(condition)?;
        if unread == Some(table) {
            self.flags[table].push(text);
        } else if let Query::Template(text) = Query::Template(text).narrowed(&self.inputs[table].routing) {
            self.filters[table].push(text);
        }
        Ok(())
    }

    /// The table that a condition is about, and its text.
    fn table_of(&self, condition: &Expr) -> Result<(usize, Template)> {
        if filter::names(condition)?.is_none() {
            return Err(refusal());
        }
        let text = filter::text(condition, self.ctx.options.mode);
        Ok((self.side_of(&text.pieces)?.ok_or_else(refusal)?, text))
    }

    fn equal_columns(&self, condition: &Expr) -> Option<[Box<str>; 2]> {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
        let (left, right) = (self.column(left)?, self.column(right)?);
        match (left.0, right.0) {
            (0, 1) => Some([left.1, right.1]),
            (1, 0) => Some([right.1, left.1]),
            _ => None,
        }
    }

    /// The conditions that a table's rows have as a column of theirs, 0 or 1.
    pub(super) fn flag(&self, table: usize) -> Option<Vec<Piece>> {
        let flags = &self.flags[table];
        if flags.is_empty() {
            return None;
        }
        let mut pieces = vec![Piece::text("(1")];
        for flag in flags {
            pieces.push(Piece::text(" and ("));
            pieces.extend(flag.pieces.iter().cloned());
            pieces.push(Piece::text(")"));
        }
        pieces.push(Piece::text(") is true"));
        Some(pieces)
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
