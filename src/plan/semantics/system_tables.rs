//! Queries of system tables: `table_schema = 'customer'` names a keyspace, of which servers know the database.
//!
//! <https://dev.mysql.com/doc/refman/9.0/en/information-schema.html>; Vitess does the same for `=` alone.

use std::ops::Range;

use super::analyze::Analyzer;
use super::conjunct::{constant, constant_list};
use crate::plan::primitive::{Candidates, Piece, RouteList, RouteValue};
use crate::sql::TokenKind;
use crate::sql::ast::{BinaryOperator, Expr};
use crate::value::Value;

/// Columns of system tables that have names of databases.
const COLUMNS: [&str; 10] = [
    "constraint_schema",
    "event_schema",
    "index_schema",
    "referenced_table_schema",
    "routine_schema",
    "schema_name",
    "table_schema",
    "trigger_schema",
    "unique_constraint_schema",
    "view_schema",
];

impl Analyzer<'_> {
    /// Puts the names of databases in the place of keyspaces' names that are compared with such a column. What a row
    /// must have also says which keyspace's servers are asked.
    pub(super) fn system_schema_condition(&mut self, expr: &Expr) {
        if !self.analysis.places.system {
            return;
        }
        match expr {
            Expr::BinaryOp { left, op, right } => {
                let decides = match op {
                    BinaryOperator::Eq | BinaryOperator::Spaceship => true,
                    BinaryOperator::NotEq => false,
                    _ => return,
                };
                match (is_schema(left), is_schema(right)) {
                    (true, false) => self.names_schema(right, decides),
                    (false, true) => self.names_schema(left, decides),
                    _ => {}
                }
            }
            Expr::Like { negated, expr, pattern, .. } if is_schema(expr) => {
                self.pattern_of_schema(expr, pattern, !negated);
            }
            Expr::InList { expr, list, negated } if is_schema(expr) => match constant_list(list) {
                Some(RouteList::Arg(index)) => {
                    let Some(range) = self.source.arg_range(index) else { return };
                    self.analysis.edits.replace(range, vec![Piece::DatabaseNames(index)]);
                    if !negated {
                        let named = Candidates::Many(RouteList::Arg(index));
                        self.analysis.places.system_schemas.push(named);
                    }
                }
                _ => list.iter().for_each(|item| self.names_schema(item, !negated)),
            },
            _ => {}
        }
    }

    fn names_schema(&mut self, value: &Expr, decides: bool) {
        let named = constant(value);
        let range = match &named {
            Some(RouteValue::Arg(index)) => self.source.arg_range(*index),
            // In select lists, whose text is the columns' name.
            Some(RouteValue::Literal(Value::Text(_))) => self.literal_range(value),
            _ => None,
        };
        if let Some((value, range)) = named.zip(range) {
            self.analysis.edits.replace(range, vec![Piece::DatabaseName(value.clone())]);
            if decides {
                self.analysis.places.system_schemas.push(Candidates::One(value));
            }
        }
    }
}

impl Analyzer<'_> {
    /// A pattern may match a keyspace's name and not its database's: the column is what changes. A pattern without
    /// wildcards also names the keyspace.
    fn pattern_of_schema(&mut self, column: &Expr, pattern: &Expr, decides: bool) {
        if let Some(range) = self.schema_range(column) {
            let name = self.source.slice(range.clone()).into_owned();
            let text = |text: String| Piece::Text(text.into_bytes().into());
            let pieces =
                vec![text(format!("case {name}")), Piece::DatabaseCases, text(format!(" else {name} end"))];
            self.analysis.edits.replace(range, pieces);
        }
        if decides && let Some(value) = constant(pattern) {
            self.analysis.places.system_schemas.push(Candidates::One(value));
        }
    }

    fn schema_range(&self, column: &Expr) -> Option<Range<usize>> {
        match column {
            Expr::Identifier(name) => self.source.ident_range(name).ok(),
            Expr::CompoundIdentifier(names) => {
                let first = self.source.ident_range(names.first()?).ok()?;
                Some(first.start..self.source.ident_range(names.last()?).ok()?.end)
            }
            Expr::Nested(inner) => self.schema_range(inner),
            _ => None,
        }
    }

    fn literal_range(&self, expr: &Expr) -> Option<Range<usize>> {
        let Expr::Value(value) = expr else { return None };
        let token = self.source.tokens().get(self.source.token_at(value.span.start)?)?;
        (token.kind == TokenKind::String).then(|| token.span.range())
    }
}

fn is_schema(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(names) => match names.last() {
            Some(name) => name,
            None => return false,
        },
        Expr::Nested(inner) => return is_schema(inner),
        _ => return false,
    };
    COLUMNS.iter().any(|known| name.value.eq_ignore_ascii_case(known))
}
